# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""``state: suspended``: nothing is replicated until somebody resumes it.

Source: RequestReplicationStateChangeEx method of Msvm_ComputerSystem, RequestedState 7. An initial replication and a
resynchronization are interrupted by it and can be resumed.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    LAST_ROW,
    PAIR,
    Decision,
    Effect,
    Row,
    Target,
    gates,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import JobType, ReplicationState
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.relationship import (
    FAILOVER,
    NO_SUCH,
    SENDING,
    OfRelationship,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Act, Reading

_S = ReplicationState

_RUNS = frozenset({_S.WAITING_TO_COMPLETE_INITIAL_REPLICATION, _S.REPLICATING, _S.RESYNCHRONIZING})
_SUSPENDED = frozenset({_S.SUSPENDED, _S.RESYNCHRONIZATION_SUSPENDED})

SUSPENDED = Target(
    name="suspended",
    methods=("RequestReplicationStateChangeEx (7)",),
    noun="the suspension",
    action="suspend",
    done="suspended",
    foretold="suspended",
    own_jobs=frozenset({JobType.CHANGE_REPLICATION_STATE}),
    ends=frozenset({JobType.RESYNCHRONIZE, JobType.RESYNCHRONIZE_EXTENDED}),
    rows=(
        *gates("a change of the replication state"),
        NO_SUCH,
        *FAILOVER,
        Row(
            Effect.NOTHING,
            "The replication is suspended.",
            modes=PAIR,
            states=_SUSPENDED,
        ),
        Row(
            Effect.CALL,
            "The replication, or what leads to it, is under way.",
            modes=PAIR,
            states=_RUNS,
        ),
        Row(
            Effect.REFUSE,
            "The replication has stopped with an error, and is not suspended.",
            ErrorClass.SUSPENDED,
            modes=PAIR,
            states=frozenset({_S.CRITICAL, _S.DISK_UPDATE_CRITICAL}),
            hint="Nothing is replicated now. Resume or resynchronize it (state=replicating, state=resynchronized).",
        ),
        Row(
            Effect.REFUSE,
            "The VM waits for a resynchronization.",
            ErrorClass.RESYNCHRONIZING,
            modes=PAIR,
            states=frozenset({_S.WAITING_TO_START_RESYNCHRONIZATION}),
            when=SENDING,
            hint="Nothing is replicated now. Compare the two ends with state=resynchronized.",
        ),
        Row(
            Effect.REFUSE,
            "The set of disks of the VM is being changed.",
            ErrorClass.BUSY,
            modes=PAIR,
            states=frozenset({_S.DISK_UPDATE_IN_PROGRESS}),
        ),
        Row(
            Effect.REFUSE,
            "The initial replication has not been started.",
            ErrorClass.NOT_READY,
            modes=PAIR,
            states=frozenset({_S.READY_FOR_REPLICATION}),
            when=SENDING,
            hint="There is nothing to suspend.",
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class Suspend(OfRelationship):
    @property
    def target(self) -> Target:
        return SUSPENDED

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        return (self.act(self.request(vm, _S.SUSPENDED), vm, "the suspension", SUSPENDED.own_jobs),)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        state = self.state_of(after)
        if after.mode != before.mode:
            return Reading.ODD
        if state in _SUSPENDED:
            return Reading.LEFT
        return Reading.PENDING if state == self.state_of(before) else Reading.ODD

    def hint(self, before: VirtualMachine, done: bool) -> str:
        return "The VM is not protected until the replication is resumed (state=replicating)." if done else ""
