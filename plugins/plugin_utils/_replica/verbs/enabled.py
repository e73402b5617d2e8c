# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""``state: enabled``: the relationship exists, with the settings that the task states.

Sources: CreateReplicationRelationship and ModifyReplicationSettings methods of Msvm_ReplicationService. A relationship
that leads to another server is never replaced: that would give up a replica. Settings belong to the sending end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Value
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    LAST_ROW,
    PAIR,
    REPLICA,
    Decision,
    Effect,
    Fact,
    Row,
    Target,
    gates,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Settings, VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    JobType,
    ReplicationMode,
    ReplicationState,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.relationship import OfRelationship
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.settings import Stated
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Act, Reading, on_service, said

_S = ReplicationState

_SETTABLE = frozenset(
    {
        _S.READY_FOR_REPLICATION,
        _S.WAITING_TO_COMPLETE_INITIAL_REPLICATION,
        _S.REPLICATING,
        _S.SUSPENDED,
        _S.CRITICAL,
        _S.WAITING_TO_START_RESYNCHRONIZATION,
        _S.RESYNCHRONIZATION_SUSPENDED,
        _S.DISK_UPDATE_CRITICAL,
    }
)
_UNDER_WAY = frozenset({_S.RESYNCHRONIZING, _S.DISK_UPDATE_IN_PROGRESS})
_PREPARED = frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER})
_NONE = frozenset({ReplicationMode.NONE})
_PAIR_OR_NONE = PAIR | _NONE

ENABLED = Target(
    name="enabled",
    methods=("CreateReplicationRelationship or ModifyReplicationSettings",),
    noun="the setting of the replication",
    action="enable",
    done="replicated with these settings",
    foretold="ready_for_replication",
    own_jobs=frozenset({JobType.CREATE_RELATIONSHIP, JobType.MODIFY_RELATIONSHIP}),
    rows=(
        *gates("a change of the relationship", unreplicated=True),
        Row(
            Effect.REFUSE,
            "The VM is not replicated: a relationship to a third site hangs off a replica.",
            ErrorClass.NOT_REPLICATED,
            modes=_NONE,
            when=frozenset({Fact.SECOND}),
        ),
        Row(
            Effect.REFUSE,
            "Only the replica in the middle of a chain has a relationship to a third site.",
            ErrorClass.WRONG_SIDE,
            modes=PAIR - {ReplicationMode.REPLICA},
            when=frozenset({Fact.SECOND}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is at the receiving end here: its settings are those of the host that sends.",
            ErrorClass.WRONG_SIDE,
            modes=REPLICA,
            unless=frozenset({Fact.SECOND}),
        ),
        Row(
            Effect.REFUSE,
            "Authentication by certificate is wanted, and no thumbprint is known.",
            ErrorClass.INVALID_ARGUMENT,
            modes=_PAIR_OR_NONE,
            when=frozenset({Fact.NO_CERTIFICATE}),
            hint="Give the thumbprint of a certificate of this host in certificate_thumbprint.",
        ),
        Row(
            Effect.REFUSE,
            "The VM is to be replicated, and replica_server is not given.",
            ErrorClass.INVALID_ARGUMENT,
            modes=_NONE,
            when=frozenset({Fact.NO_SERVER}),
            hint="Give the replica server, or the Replica Broker of a cluster, in replica_server.",
        ),
        Row(
            Effect.CALL,
            "The VM is not replicated.",
            modes=_NONE,
        ),
        Row(
            Effect.REFUSE,
            "The VM is to be replicated to a third site, and replica_server is not given.",
            ErrorClass.INVALID_ARGUMENT,
            modes=PAIR,
            when=frozenset({Fact.NO_RELATIONSHIP, Fact.NO_SERVER}),
            hint="Give the server of the third site in replica_server.",
        ),
        Row(
            Effect.REFUSE,
            "The VM is to be replicated to a third site, and does not replicate itself.",
            ErrorClass.NOT_READY,
            modes=PAIR,
            when=frozenset({Fact.NO_RELATIONSHIP, Fact.CANNOT_EXTEND}),
            hint="A replica is extended while it receives from its primary (state replicating).",
        ),
        Row(
            Effect.CALL,
            "The VM is a replica without a third site.",
            modes=PAIR,
            when=frozenset({Fact.NO_RELATIONSHIP}),
        ),
        Row(
            Effect.REFUSE,
            "The VM replicates to another server than the one that is asked for.",
            ErrorClass.SETTINGS_CONFLICT,
            modes=PAIR,
            states=_SETTABLE | _UNDER_WAY | _PREPARED,
            when=frozenset({Fact.OTHER_SERVER}),
        ),
        Row(
            Effect.NOTHING,
            "The VM is replicated with these settings.",
            modes=PAIR,
            states=_SETTABLE | _UNDER_WAY | _PREPARED,
            unless=frozenset({Fact.DIFFERS}),
        ),
        Row(
            Effect.CALL,
            "Settings of the replication differ from those of the task.",
            modes=PAIR,
            states=_SETTABLE,
        ),
        Row(
            Effect.REFUSE,
            "The VM is prepared for a planned failover, and its settings are not changed now.",
            ErrorClass.IN_FAILOVER,
            modes=PAIR,
            states=_PREPARED,
        ),
        Row(
            Effect.REFUSE,
            "A resynchronization or a change of the set of disks is under way, and the settings are not changed now.",
            ErrorClass.BUSY,
            modes=PAIR,
            states=_UNDER_WAY,
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class Enable(OfRelationship):
    settings: Stated = field(default_factory=Stated)

    @property
    def target(self) -> Target:
        return ENABLED

    @property
    def rereads(self) -> bool:
        return True  # the settings

    def _there(self, vm: VirtualMachine) -> Settings | None:
        """The settings of the relationship, where it exists."""
        exists = vm.mode != ReplicationMode.NONE and (self.link == 0 or vm.relationship(1) is not None)
        return vm.settings_of(self.link) if exists else None

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        there = self._there(vm)
        holds = {
            Fact.NO_SERVER: self.settings.replica_server is None,
            Fact.NO_CERTIFICATE: self.settings.without_certificate(there),
            Fact.CANNOT_EXTEND: vm.state != _S.REPLICATING,
            Fact.OTHER_SERVER: there is not None and self.settings.other_server(there),
            Fact.DIFFERS: there is not None and bool(self.settings.differences(there)),
        }
        return super().facts(vm) | {fact for fact, held in holds.items() if held}

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        there = self._there(vm)
        if there is None:
            prepared = None if self.link else vm.settings_of(0)
            text, method = self.settings.new(prepared), "CreateReplicationRelationship"
            jobs = frozenset({int(JobType.CREATE_RELATIONSHIP)})
        else:
            text, method = self.settings.changed(there), "ModifyReplicationSettings"
            jobs = frozenset({int(JobType.MODIFY_RELATIONSHIP)})
        call = on_service(method, ComputerSystem=vm.reference, ReplicationSettingData=text)
        return (self.act(call, vm, ENABLED.noun, jobs),)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        there = self._there(after)
        if there is not None and (self._there(before) is None or not self.settings.differences(there)):
            return Reading.LEFT
        return Reading.PENDING if after.mode == before.mode else Reading.ODD

    def lines(self, vm: VirtualMachine) -> dict[str, str]:
        there = self._there(vm)
        settings = {name: "" if there is None else _shown(there.get(name)) for name in self.settings.values()}
        server = "" if there is None else there.recovery_connection_point
        return {**super().lines(vm), "RecoveryConnectionPoint": server, **settings}

    def foretold(self, vm: VirtualMachine, decision: Decision) -> dict[str, str]:
        settings = {name: _shown(value) for name, value in self.settings.values().items()}
        if self._there(vm) is not None:
            return settings
        mode = {} if self.link else {"mode": said(ReplicationMode, ReplicationMode.PRIMARY)}
        server = {"RecoveryConnectionPoint": self.settings.replica_server or ""}
        return {**super().foretold(vm, decision), **mode, **server, **settings}

    def hint(self, before: VirtualMachine, done: bool) -> str:
        if self._there(before) is not None:
            return ""
        return "Nothing is replicated until the initial replication is started (state=started)."


def _shown(value: Value) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
