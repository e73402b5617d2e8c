# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""``state: failed_over``: the replica runs, or can run, in place of its primary.

Source: InitiateFailover method of Msvm_ReplicationService. The method does not look whether the primary still runs, and
neither can this host: a planned failover is known by the point that the preparation of the primary has left here, and
for an unplanned one somebody has to say that the primary is down.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import timedelta

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    LAST_ROW,
    PRIMARY,
    REPLICA,
    Decision,
    Effect,
    Fact,
    PowerState,
    Row,
    Target,
    gates,
    power_state,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import RecoveryPoint, VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    FailoverType,
    JobType,
    Power,
    ReplicationMode,
    ReplicationState,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import guid
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import (
    Act,
    Expected,
    Part,
    Reading,
    Verb,
    expecting,
    on_service,
    request_replication_state,
    start,
    with_state,
)

_S = ReplicationState

LATEST = "latest"
LATEST_CONSISTENT = "latest_app_consistent"
_SLACK = timedelta(seconds=1)
"""The host may note the arrival of the last changes a moment after it has made the point of them."""


class FailoverKind(enum.Enum):
    PLANNED = "planned"
    UNPLANNED = "unplanned"


_CAN_FAIL_OVER = frozenset({_S.REPLICATING, _S.DISK_UPDATE_IN_PROGRESS})
_COULD = _CAN_FAIL_OVER | {_S.SUSPENDED}

UNUSABLE = (
    Row(
        Effect.REFUSE,
        "The initial replication of the VM is not complete.",
        ErrorClass.NOT_READY,
        modes=REPLICA,
        states=frozenset({_S.DISABLED, _S.WAITING_TO_COMPLETE_INITIAL_REPLICATION}),
    ),
    Row(
        Effect.REFUSE,
        "The VM is in a resynchronization, or one was interrupted: its disks are not consistent.",
        ErrorClass.RESYNCHRONIZING,
        modes=REPLICA,
        states=frozenset({_S.RESYNCHRONIZING, _S.RESYNCHRONIZATION_SUSPENDED}),
    ),
    Row(
        Effect.REFUSE,
        "The replication of the VM has stopped with an error on this side.",
        ErrorClass.SUSPENDED,
        modes=REPLICA,
        states=frozenset({_S.CRITICAL, _S.DISK_UPDATE_CRITICAL}),
        hint="Look into the Hyper-V-VMMS event log of this host. Resume the replication (module replication, "
        "state=replicating), then run again.",
    ),
)
"""A replica whose disks cannot be run from, whether it is failed over or a copy is made of it."""

FAILED_OVER = Target(
    name="failed_over",
    methods=("RequestReplicationStateChangeEx (3) where it is suspended", "InitiateFailover"),
    noun="the failover",
    action="fail_over",
    done="failed over",
    foretold="failed_over",
    own_jobs=frozenset({JobType.INITIATE_FAILOVER}),
    rows=(
        *gates("a failover", frozenset({_S.FAILED_OVER})),
        Row(
            Effect.REFUSE,
            "The VM is a primary here: it is failed over on the host of its replica.",
            ErrorClass.WRONG_SIDE,
            modes=PRIMARY,
        ),
        Row(
            Effect.REFUSE,
            "The extended relationship of this VM (to a third site) is in a failover.",
            ErrorClass.EXTENDED_UNSUPPORTED,
            modes=frozenset({ReplicationMode.REPLICA}),
            when=frozenset({Fact.EXTENDED_IN_FAILOVER}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is failed over already, and not in the way or to the recovery point that the task asks for (or the "
            "host does not say to which).",
            ErrorClass.OTHER_POINT,
            modes=REPLICA,
            states=frozenset({_S.FAILED_OVER}),
            when=frozenset({Fact.OTHER_POINT}),
        ),
        Row(
            Effect.WAIT,
            "The VM is failed over, and shall run.",
            modes=REPLICA,
            states=frozenset({_S.FAILED_OVER}),
            when=frozenset({Fact.ON_ITS_WAY}),
        ),
        Row(
            Effect.CALL,
            "The VM is failed over, and off, and shall run.",
            modes=REPLICA,
            states=frozenset({_S.FAILED_OVER}),
            when=frozenset({Fact.TO_BE_STARTED}),
        ),
        Row(
            Effect.NOTHING,
            "The VM is failed over.",
            modes=REPLICA,
            states=frozenset({_S.FAILED_OVER}),
        ),
        Row(
            Effect.NOTHING,
            "The VM is failed over, and the failover is committed.",
            modes=REPLICA,
            states=frozenset({_S.COMMITTED}),
        ),
        *UNUSABLE,
        Row(
            Effect.REFUSE,
            "The replication of the VM is suspended, and suspended is not set to resume.",
            ErrorClass.SUSPENDED,
            modes=REPLICA,
            states=frozenset({_S.SUSPENDED}),
            unless=frozenset({Fact.MAY_RESUME}),
            consent="suspended",
        ),
        Row(
            Effect.REFUSE,
            "Nothing was ever replicated to the VM.",
            ErrorClass.NOT_READY,
            modes=REPLICA,
            states=_COULD,
            when=frozenset({Fact.NEVER_REPLICATED}),
        ),
        Row(
            Effect.REFUSE,
            "A test copy of the VM exists.",
            ErrorClass.TEST_COPY_PRESENT,
            modes=REPLICA,
            states=_COULD,
            when=frozenset({Fact.TEST_COPY}),
        ),
        Row(
            Effect.REFUSE,
            "A planned failover is asked for, and the newest recovery point of the VM is not that of a prepared "
            "primary.",
            ErrorClass.NOT_PREPARED,
            modes=REPLICA,
            states=_COULD,
            when=frozenset({Fact.PLANNED}),
            unless=frozenset({Fact.PLANNED_POINT}),
        ),
        Row(
            Effect.REFUSE,
            "An unplanned failover is asked for, and nobody has said that the primary is down. If it runs, there are "
            "two of this VM.",
            ErrorClass.NOT_CONFIRMED,
            modes=REPLICA,
            states=_COULD,
            unless=frozenset({Fact.PLANNED, Fact.PRIMARY_IS_DOWN}),
            consent="primary_is_down",
            hint="Make sure that the primary is down and stays down, then say so: primary_is_down=true.",
        ),
        Row(
            Effect.REFUSE,
            "The VM has no recovery point of that kind or id.",
            ErrorClass.POINT_NOT_FOUND,
            modes=REPLICA,
            states=_COULD,
            unless=frozenset({Fact.POINT}),
        ),
        Row(
            Effect.CALL,
            "The VM is a replica that can be failed over.",
            modes=REPLICA,
            states=_CAN_FAIL_OVER,
            needs_off=True,
        ),
        Row(
            Effect.CALL,
            "The VM is a replica whose replication is suspended, which is resumed first.",
            modes=REPLICA,
            states=frozenset({_S.SUSPENDED}),
            needs_off=True,
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class FailOver(Verb):
    """``point``: LATEST, LATEST_CONSISTENT, or the id of a recovery point (also its GUID alone)."""

    kind: FailoverKind = FailoverKind.PLANNED
    primary_is_down: bool = False
    point: str = LATEST
    resume: bool = False
    start_vm: bool = False

    @property
    def target(self) -> Target:
        return FAILED_OVER

    @property
    def gather(self) -> frozenset[str]:
        return super().gather | {"recovery_points", "failed_over_point"}

    @property
    def rereads(self) -> bool:
        return True  # the point that the VM was failed over to is part of the result

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        wanted = self._wanted(vm)
        holds = {
            Fact.PLANNED: self.kind is FailoverKind.PLANNED,
            Fact.PLANNED_POINT: planned_point(vm) is not None,
            Fact.PRIMARY_IS_DOWN: self.primary_is_down,
            Fact.MAY_RESUME: self.resume,
            Fact.NEVER_REPLICATED: vm.last_replication_time is None,
            Fact.POINT: self.point == LATEST or wanted is not None,
            Fact.OTHER_POINT: self._other_point(vm, wanted),
            Fact.TO_BE_STARTED: self.start_vm and power_state(vm.power) is PowerState.OFF,
            Fact.ON_ITS_WAY: self.start_vm and power_state(vm.power) is PowerState.CHANGING,
        }
        return super().facts(vm) | {fact for fact, held in holds.items() if held}

    def decide(self, vm: VirtualMachine) -> Decision:
        """A start that is under way, perhaps that of a run before, is not yet a VM that runs."""
        decision = super().decide(vm)
        started = decision.effect is Effect.WAIT and Fact.ON_ITS_WAY in decision.row.when
        return replace(decision, wait_for_power=decision.wait_for_power or started)

    def _wanted(self, vm: VirtualMachine) -> RecoveryPoint | None:
        return planned_point(vm) if self.kind is FailoverKind.PLANNED else point_named(vm, self.point)

    def _other_point(self, vm: VirtualMachine, wanted: RecoveryPoint | None) -> bool:
        """Whether a VM that is failed over is not so in the way that is asked for, as far as the host tells."""
        if self.kind is FailoverKind.PLANNED:
            return vm.failover_type != FailoverType.PLANNED
        if not vm.failed_over_point:
            # The kind of the failover is all that is left to tell by.
            consistent = vm.failover_type == FailoverType.APPLICATION_CONSISTENT
            return not (self.point == LATEST or (self.point == LATEST_CONSISTENT and consistent))
        return wanted is None or not same_point(wanted.id, vm.failed_over_point)

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        starting = (start(vm, _failed_over(vm)),) if self.start_vm else ()
        if vm.state == _S.FAILED_OVER:
            return starting
        wanted = None if self.point == LATEST and self.kind is FailoverKind.UNPLANNED else self._wanted(vm)
        call = on_service(
            "InitiateFailover",
            ComputerSystem=vm.reference,
            SnapshotSettingData=wanted.reference if wanted else None,  # NULL is the latest there is when it runs
        )
        off_by_us = decision.power_off is not None
        expected = expecting(vm, off_by_us=off_by_us, unmoved=self.kind is FailoverKind.PLANNED)
        main = Act(Part.MAIN, "the failover", call, vm.reference, expected, FAILED_OVER.own_jobs, self.reading)
        if vm.state != _S.SUSPENDED:
            return (main, *starting)
        resume = Act(
            Part.BEFORE,
            "the resumption of the replication",
            request_replication_state(vm, _S.REPLICATING),
            vm.reference,
            expecting(vm, off_by_us=off_by_us),
            frozenset({int(JobType.CHANGE_REPLICATION_STATE)}),
            lambda before, after: Reading.LEFT if after.state == _S.REPLICATING else Reading.PENDING,
        )
        resumed = with_state(expecting(vm, off_by_us=off_by_us), _S.REPLICATING)
        return (resume, replace(main, expected=resumed), *starting)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        if after.mode != before.mode:
            return Reading.ODD
        if after.state == _S.FAILED_OVER:
            return Reading.LEFT
        pending = (before.state, _S.FAILOVER_IN_PROGRESS, _S.REPLICATING)
        return Reading.PENDING if after.state in pending else Reading.ODD

    def hint(self, before: VirtualMachine, done: bool) -> str:
        if not done:
            return ""
        if self.kind is FailoverKind.PLANNED:
            return "Keep it with the module replication (state=reversed), or undo it: here first, then on the primary."
        return (
            "Keep the old primary off the network: it may start by itself with its host. Keep the failover with "
            "state=committed, or undo it with state=reverted."
        )


def planned_point(vm: VirtualMachine) -> RecoveryPoint | None:
    """The point that the preparation of the primary has left, if nothing was replicated after it.

    Assumption: the point appears on the replica when the last changes have arrived (no page says when).
    """
    newest = vm.recovery_points[-1] if vm.recovery_points else None
    if newest is None or newest.type != "planned_failover":
        return None
    primary = vm.relationship(0)
    if primary is not None and primary.last_replication_type == FailoverType.PLANNED:
        return newest
    later = (
        newest.time is not None
        and vm.last_replication_time is not None
        and vm.last_replication_time > newest.time + _SLACK
    )
    return None if later else newest


def point_named(vm: VirtualMachine, name: str) -> RecoveryPoint | None:
    """The recovery point that LATEST, LATEST_CONSISTENT or an id means; None where the VM has none such."""
    points = vm.recovery_points or ()
    if name == LATEST:
        return points[-1] if points else None
    if name == LATEST_CONSISTENT:
        return next((point for point in reversed(points) if point.type == "application_consistent"), None)
    return next((point for point in points if same_point(point.id, name)), None)


def same_point(one: str, other: str) -> bool:
    """Whether two texts name one recovery point: its InstanceID, or the GUID at the end of it."""
    ids = [guid(text.strip().rpartition(":")[2]) or text.strip().casefold() for text in (one, other)]
    return ids[0] == ids[1]


def _failed_over(vm: VirtualMachine) -> Expected:
    """What the VM must show right before it is started."""
    return (
        ("ReplicationMode", (vm.mode,)),
        ("ReplicationState", (int(_S.FAILED_OVER),)),
        ("EnabledState", (int(Power.OFF), int(Power.OFF_CRITICAL))),
    )
