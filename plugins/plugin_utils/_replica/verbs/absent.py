# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""``state: absent``: this side has no such relationship any more.

Source: RemoveReplicationRelationshipEx method of Msvm_ReplicationService. Each side is removed by itself, and the VMs
and their disks stay. On a replica the primary relationship cannot go while the extended one exists.
"""

from __future__ import annotations

from dataclasses import dataclass

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
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    JobType,
    ReplicationMode,
    ReplicationState,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.relationship import (
    FAILOVER,
    SENDING,
    OfRelationship,
    embedded_relationship,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Act, Reading, on_service, said

_S = ReplicationState

_ENDS = frozenset(
    {
        _S.DISABLED,
        _S.READY_FOR_REPLICATION,
        _S.WAITING_TO_COMPLETE_INITIAL_REPLICATION,
        _S.REPLICATING,
        _S.SUSPENDED,
        _S.CRITICAL,
        _S.WAITING_TO_START_RESYNCHRONIZATION,
        _S.RESYNCHRONIZING,
        _S.RESYNCHRONIZATION_SUSPENDED,
        _S.DISK_UPDATE_IN_PROGRESS,
        _S.DISK_UPDATE_CRITICAL,
    }
)

ABSENT = Target(
    name="absent",
    methods=("RemoveReplicationRelationshipEx",),
    noun="the removal of the relationship",
    action="remove",
    done="removed from this side of the replication",
    foretold="disabled",
    own_jobs=frozenset({JobType.REMOVE_RELATIONSHIP}),
    rows=(
        *gates("a removal of the relationship", unreplicated=True),
        Row(
            Effect.NOTHING,
            "The VM is not replicated.",
            modes=frozenset({ReplicationMode.NONE}),
        ),
        Row(
            Effect.NOTHING,
            "The VM has no relationship to a third site.",
            modes=PAIR,
            when=frozenset({Fact.NO_RELATIONSHIP}),
        ),
        Row(
            Effect.REFUSE,
            "The VM has a relationship to a third site, which has to go first.",
            ErrorClass.EXTENDED_PRESENT,
            modes=REPLICA,
            when=frozenset({Fact.EXTENDED}),
            unless=frozenset({Fact.SECOND}),
            hint="Remove that one first (relationship=1), or continue the replication there (state=continued).",
        ),
        Row(
            Effect.REFUSE,
            "A test copy of the VM exists, and is found by the relationship alone.",
            ErrorClass.TEST_COPY_PRESENT,
            modes=REPLICA,
            when=frozenset({Fact.TEST_COPY}),
            unless=frozenset({Fact.SECOND}),
        ),
        FAILOVER[0],
        Row(
            Effect.REFUSE,
            "The VM is failed over, and that is neither committed nor undone.",
            ErrorClass.NOT_COMMITTED,
            modes=PAIR,
            states=frozenset({_S.FAILED_OVER}),
            unless=SENDING,
        ),
        Row(
            Effect.REFUSE,
            "The relationship would be removed on this side, and confirm is not set.",
            ErrorClass.NOT_CONFIRMED,
            modes=PAIR,
            states=_ENDS | {_S.COMMITTED},
            unless=frozenset({Fact.CONFIRMED}),
            consent="confirm",
        ),
        Row(
            Effect.CALL,
            "The relationship is there.",
            modes=PAIR,
            states=_ENDS,
        ),
        Row(
            Effect.CALL,
            "The VM is failed over and committed, and goes on without a replication.",
            modes=PAIR,
            states=frozenset({_S.COMMITTED}),
            unless=SENDING,
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class Remove(OfRelationship):
    """``confirm``: the VM may lose its protection."""

    confirm: bool = False

    @property
    def target(self) -> Target:
        return ABSENT

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        return super().facts(vm) | ({Fact.CONFIRMED} if self.confirm else set())

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        call = on_service(
            "RemoveReplicationRelationshipEx",
            ComputerSystem=vm.reference,
            ReplicationRelationship=embedded_relationship(vm, self.link),
        )
        return (self.act(call, vm, ABSENT.noun, ABSENT.own_jobs),)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        gone = after.relationship(1) is None if self.link else after.mode == ReplicationMode.NONE
        if gone:
            return Reading.LEFT
        return Reading.PENDING if after.mode == before.mode else Reading.ODD

    def foretold(self, vm: VirtualMachine, decision: Decision) -> dict[str, str]:
        if self.link:
            return {"state": "absent"}
        return {**super().foretold(vm, decision), "mode": said(ReplicationMode, ReplicationMode.NONE)}

    def hint(self, before: VirtualMachine, done: bool) -> str:
        return "The other side is not told: remove it there as well." if done else ""
