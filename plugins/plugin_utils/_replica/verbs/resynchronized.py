# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""``state: resynchronized``: what differs between the two ends was sent, and the replication goes on.

Source: Resynchronize method of Msvm_ReplicationService. It reads the disks of both ends as a whole, which can take
hours, so that it is called only where the state says that it is needed, or where somebody forces it.
Assumption: its job runs until the resynchronization is done (the page of the job names the type and no more).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    LAST_ROW,
    PAIR,
    Decision,
    Effect,
    Fact,
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
    RECEIVES,
    OfRelationship,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Act, Part, Reading, on_service

_S = ReplicationState

_NEEDED = frozenset({_S.CRITICAL, _S.WAITING_TO_START_RESYNCHRONIZATION, _S.RESYNCHRONIZATION_SUSPENDED})
_FORCED = frozenset({Fact.FORCED})

RESYNCHRONIZED = Target(
    name="resynchronized",
    methods=("RequestReplicationStateChangeEx (7) where it replicates and is forced", "Resynchronize"),
    noun="the resynchronization",
    action="resynchronize",
    done="resynchronized",
    foretold="replicating",
    own_jobs=frozenset({JobType.RESYNCHRONIZE, JobType.RESYNCHRONIZE_EXTENDED}),
    rows=(
        *gates("a resynchronization"),
        NO_SUCH,
        RECEIVES,
        *FAILOVER[:1],
        Row(
            Effect.CALL,
            "The two ends have to be compared.",
            modes=PAIR,
            states=_NEEDED | {_S.DISK_UPDATE_CRITICAL},
        ),
        Row(
            Effect.CALL,
            "The replication is suspended, or under way, and a resynchronization is forced.",
            modes=PAIR,
            states=frozenset({_S.SUSPENDED, _S.REPLICATING}),
            when=_FORCED,
        ),
        Row(
            Effect.REFUSE,
            "The replication is suspended, and nothing says that the two ends have to be compared.",
            ErrorClass.SUSPENDED,
            modes=PAIR,
            states=frozenset({_S.SUSPENDED}),
            consent="force",
            hint="Resume it with state=replicating, or set force to true.",
        ),
        Row(
            Effect.NOTHING,
            "The replication is under way, and the two ends need not be compared.",
            modes=PAIR,
            states=frozenset({_S.REPLICATING}),
        ),
        Row(
            Effect.REFUSE,
            "The set of disks of the VM is being changed.",
            ErrorClass.BUSY,
            modes=PAIR,
            states=frozenset({_S.DISK_UPDATE_IN_PROGRESS}),
            when=_FORCED,
        ),
        Row(
            Effect.NOTHING,
            "The replication is under way, with a change of the set of disks.",
            modes=PAIR,
            states=frozenset({_S.DISK_UPDATE_IN_PROGRESS}),
        ),
        Row(
            Effect.REFUSE,
            "A resynchronization is in progress on this VM, and its job is not visible.",
            ErrorClass.BUSY,
            modes=PAIR,
            states=frozenset({_S.RESYNCHRONIZING}),
        ),
        Row(
            Effect.REFUSE,
            "The initial replication of the VM is not complete.",
            ErrorClass.NOT_READY,
            modes=PAIR,
            states=frozenset({_S.READY_FOR_REPLICATION, _S.WAITING_TO_COMPLETE_INITIAL_REPLICATION}),
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class Resynchronize(OfRelationship):
    """``force``: also where nothing says that it is needed. ``at``: when to begin; None is now."""

    force: bool = False
    at: datetime | None = None

    @property
    def target(self) -> Target:
        return RESYNCHRONIZED

    @property
    def leaves_no_trace(self) -> bool:
        return self.at is not None

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        return super().facts(vm) | (_FORCED if self.force else frozenset())

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        call = on_service("Resynchronize", ComputerSystem=vm.reference, StartTime=self.at)
        if self.state_of(vm) != _S.REPLICATING:
            return (self.act(call, vm, "the resynchronization", RESYNCHRONIZED.own_jobs),)
        # The states from which it may be called do not include "replicating" (client behaviour; the page is silent).
        suspend = replace(
            self.act(
                self.request(vm, _S.SUSPENDED),
                vm,
                "the suspension",
                frozenset({int(JobType.CHANGE_REPLICATION_STATE)}),
                part=Part.BEFORE,
            ),
            shows=self._suspended,
        )
        return suspend, self.act(call, vm, "the resynchronization", RESYNCHRONIZED.own_jobs, state=_S.SUSPENDED)

    def _suspended(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        return Reading.LEFT if self.state_of(after) == _S.SUSPENDED else Reading.PENDING

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        was, state = self.state_of(before), self.state_of(after)
        if after.mode != before.mode:
            return Reading.ODD
        if state == _S.REPLICATING and was != _S.REPLICATING:
            return Reading.LEFT
        if state == was and was == _S.REPLICATING:
            # Forced: the state of before is also that of the end, and the newest arrival tells them apart.
            return Reading.LEFT if _received(after, self.link) != _received(before, self.link) else Reading.PENDING
        return Reading.PENDING if state in (was, _S.SUSPENDED, _S.RESYNCHRONIZING) else Reading.ODD

    def foretold(self, vm: VirtualMachine, decision: Decision) -> dict[str, str]:
        if self.at is None:
            return super().foretold(vm, decision)
        return {"state": f"resynchronized from {self.at.isoformat()}"}

    def hint(self, before: VirtualMachine, done: bool) -> str:
        return "" if self.at is None else "The host begins by itself at that time; no property shows the time."


def _received(vm: VirtualMachine, link: int) -> datetime | None:
    own = vm.relationship(link)
    return own.last_replication_time if own else None
