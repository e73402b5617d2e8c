# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""``state: reversed``: the failed-over replica is the primary, and replicates back to where it came from.

Source: ReverseReplicationRelationship method of Msvm_ReplicationService; the setting data as the vendor's sample makes
it. After a planned failover the old primary is prepared and takes its new part by itself. After an unplanned one the
failover is committed first (assumption: the client does not look at the state, and the documentation describes it in
this order), and the old primary has to be told that it is a replica (``as_replica``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    LAST_ROW,
    PRIMARY,
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
    FailoverType,
    JobType,
    ReplicationMode,
    ReplicationState,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.relationship import OfRelationship
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reverted import (
    AT_REST_ON_A_PRIMARY,
    AT_REST_ON_A_REPLICA,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.settings import Stated
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Act, Reading, on_service, said

_S = ReplicationState

_FAILED_OVER = frozenset({_S.FAILED_OVER, _S.COMMITTED})

REVERSED = Target(
    name="reversed",
    methods=("ReverseReplicationRelationship",),
    noun="the reversal",
    action="reverse",
    done="made the primary, which replicates back",
    foretold="replicating or ready_for_replication",
    own_jobs=frozenset({JobType.REVERSE_RELATIONSHIP}),
    changing=_FAILED_OVER,
    rows=(
        *gates("a reversal", _FAILED_OVER),
        Row(
            Effect.NOTHING,
            "The VM is the primary here.",
            modes=PRIMARY,
            states=AT_REST_ON_A_PRIMARY - {_S.DISABLED},
        ),
        Row(
            Effect.REFUSE,
            "The VM is the prepared primary here: the replication is turned round on the host of its replica.",
            ErrorClass.WRONG_SIDE,
            modes=PRIMARY,
            states=frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER}),
        ),
        Row(
            Effect.REFUSE,
            "The VM has a relationship to a third site, and cannot be turned round while it exists.",
            ErrorClass.EXTENDED_PRESENT,
            modes=REPLICA,
            states=_FAILED_OVER,
            when=frozenset({Fact.EXTENDED}),
            hint="Go on with the third site (state=continued), or remove that relationship first (state=absent, "
            "relationship=1).",
        ),
        Row(
            Effect.REFUSE,
            "A test copy of the VM exists.",
            ErrorClass.TEST_COPY_PRESENT,
            modes=REPLICA,
            states=_FAILED_OVER,
            when=frozenset({Fact.TEST_COPY}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is failed over without a plan, and the failover is not committed.",
            ErrorClass.NOT_COMMITTED,
            modes=REPLICA,
            states=frozenset({_S.FAILED_OVER}),
            unless=frozenset({Fact.FAILOVER_WAS_PLANNED}),
        ),
        Row(
            Effect.REFUSE,
            "The settings of the VM do not name its old primary, and replica_server is not given.",
            ErrorClass.NOT_FOUND,
            modes=REPLICA,
            states=_FAILED_OVER,
            when=frozenset({Fact.NO_SERVER}),
            hint="Give the server to which the VM shall replicate in replica_server.",
        ),
        Row(
            Effect.REFUSE,
            "The relationship authenticates by certificate, and no thumbprint is known for this host.",
            ErrorClass.INVALID_ARGUMENT,
            modes=REPLICA,
            states=_FAILED_OVER,
            when=frozenset({Fact.NO_CERTIFICATE}),
            hint="Give the thumbprint of a certificate of this host in certificate_thumbprint.",
        ),
        Row(
            Effect.CALL,
            "The VM is failed over.",
            modes=REPLICA,
            states=_FAILED_OVER,
        ),
        Row(
            Effect.REFUSE,
            "The VM is a replica that is not failed over.",
            ErrorClass.NOT_FAILED_OVER,
            modes=REPLICA,
            states=AT_REST_ON_A_REPLICA,
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class Reverse(OfRelationship):
    """``settings``: how the old primary is reached from here, where that is not as the settings have it."""

    settings: Stated = field(default_factory=Stated)

    @property
    def target(self) -> Target:
        return REVERSED

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        own = vm.settings_of(0)
        holds = {
            Fact.FAILOVER_WAS_PLANNED: vm.failover_type == FailoverType.PLANNED,
            Fact.NO_SERVER: own is None or not (self.settings.replica_server or own.primary_connection_point),
            Fact.NO_CERTIFICATE: self.settings.without_certificate(own),
        }
        return super().facts(vm) | {fact for fact, held in holds.items() if held}

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        own = vm.settings_of(0) or Settings(0)
        call = on_service(
            "ReverseReplicationRelationship",
            ComputerSystem=vm.reference,
            ReplicationSettingData=self.settings.turned_round(own),
        )
        return (self.act(call, vm, REVERSED.noun, REVERSED.own_jobs),)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        if after.mode in PRIMARY:
            return Reading.ODD if after.state_is_unknown else Reading.LEFT
        same = after.mode == before.mode and after.state in (before.state, _S.FAILOVER_IN_PROGRESS)
        return Reading.PENDING if same else Reading.ODD

    def foretold(self, vm: VirtualMachine, decision: Decision) -> dict[str, str]:
        planned = vm.failover_type == FailoverType.PLANNED
        state = _S.REPLICATING if planned else _S.READY_FOR_REPLICATION
        return {
            "mode": said(ReplicationMode, ReplicationMode.PRIMARY),
            "state": state.name.lower(),
        }

    def hint(self, before: VirtualMachine, done: bool) -> str:
        if before.failover_type == FailoverType.PLANNED:
            return ""
        if not done:
            return "The old primary must be a replica by then: state=as_replica on its host."
        return "The VM is not protected until its initial replication is started (state=started)."
