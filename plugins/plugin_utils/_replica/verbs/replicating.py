# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""``state: replicating``: the replication goes on where it was suspended or has stopped.

Source: RequestReplicationStateChangeEx method of Msvm_ComputerSystem, RequestedState 3; 15 where the set of disks was
being changed. Each end is resumed by itself. Where the two ends have to be compared, resuming is not enough.
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
    AT_WORK,
    FAILOVER,
    NO_SUCH,
    SENDING,
    OfRelationship,
    sends,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Act, Reading

_S = ReplicationState

_STOPPED = frozenset({_S.SUSPENDED, _S.CRITICAL, _S.RESYNCHRONIZATION_SUSPENDED})

REPLICATING = Target(
    name="replicating",
    methods=("RequestReplicationStateChangeEx (3; from 16: 15)",),
    noun="the resumption",
    action="resume",
    done="resumed",
    foretold="replicating",
    own_jobs=frozenset({JobType.CHANGE_REPLICATION_STATE}),
    rows=(
        *gates("a change of the replication state"),
        NO_SUCH,
        *FAILOVER,
        Row(
            Effect.NOTHING,
            "The replication is under way.",
            modes=PAIR,
            states=frozenset({_S.REPLICATING, _S.DISK_UPDATE_IN_PROGRESS}),
        ),
        Row(
            Effect.NOTHING,
            "The initial replication is under way, and the replication goes on from there.",
            modes=PAIR,
            states=frozenset({_S.WAITING_TO_COMPLETE_INITIAL_REPLICATION}),
        ),
        Row(
            Effect.NOTHING,
            "A resynchronization is under way, and the replication goes on from there.",
            modes=PAIR,
            states=frozenset({_S.RESYNCHRONIZING}),
        ),
        Row(
            Effect.CALL,
            "The replication is suspended or has stopped.",
            modes=PAIR,
            states=_STOPPED | {_S.DISK_UPDATE_CRITICAL},
        ),
        Row(
            Effect.REFUSE,
            "The VM waits for a resynchronization, and resuming does not replace it.",
            ErrorClass.RESYNCHRONIZING,
            modes=PAIR,
            states=frozenset({_S.WAITING_TO_START_RESYNCHRONIZATION}),
            when=SENDING,
            hint="Compare the two ends with state=resynchronized.",
        ),
        Row(
            Effect.REFUSE,
            "The initial replication has not been started.",
            ErrorClass.NOT_READY,
            modes=PAIR,
            states=frozenset({_S.READY_FOR_REPLICATION}),
            when=SENDING,
            hint="Start it with state=started.",
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class Resume(OfRelationship):
    @property
    def target(self) -> Target:
        return REPLICATING

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        update = self.state_of(vm) == _S.DISK_UPDATE_CRITICAL
        call = self.request(vm, _S.DISK_UPDATE_IN_PROGRESS if update else _S.REPLICATING)
        return (self.act(call, vm, "the resumption", REPLICATING.own_jobs),)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        state = self.state_of(after)
        if after.mode != before.mode:
            return Reading.ODD
        # Suspended in its initial replication or in a resynchronization, it goes on with that.
        if state in AT_WORK | {_S.RESYNCHRONIZING, _S.DISK_UPDATE_IN_PROGRESS}:
            return Reading.LEFT
        return Reading.PENDING if state == self.state_of(before) else Reading.ODD

    def hint(self, before: VirtualMachine, done: bool) -> str:
        return "" if sends(before, self.link) else "This is the receiving end: look at the one that sends as well."
