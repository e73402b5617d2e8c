# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""The decision tables: what a wanted state means for a VM in the state it is in.

A table is a list of rows; the first row that fits decides. A row names what it looks at and what follows, and
carries its reason. Everything a row can look at is one field of :class:`Situation`, everything that can follow is
one :class:`Effect`. There is no other place where it is decided whether a method is called.

The order of the rows carries the safety:

* Before anything is said about a VM, it must be one that takes part (not replicated, a test copy, the side that
  the play did not mean).
* Then nobody else may be at work on it. The host shows the *target* of a change while the change runs, so 4 and 5
  mean "prepared" and "failed over" only when nothing runs.
* Then come the states that a revert is for, and the ones it is too late for.
* Then, mode by mode, the documented states in which there is nothing to revert.
* Whatever is left is refused: a number that nobody documented is never a reason to act, nor to say all is well.

Sources: "Hyper-V WMI provider (V2)", the pages of RevertFailover, Msvm_ReplicationRelationship and
Msvm_ConcreteJob. Which states occur in which mode is not documented; it is what the client shows, and the states
beyond it are refused.
"""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Job, VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    BACKGROUND_JOBS,
    JobType,
    Power,
    ReplicationMode,
    ReplicationState,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass


class Side(enum.Enum):
    """The side of a pair that a play means."""

    REPLICA = "replica"
    PRIMARY = "primary"
    ANY = "any"


class RunningVm(enum.Enum):
    """What may be done to a VM that is not off."""

    FAIL = "fail"
    TURN_OFF = "turn_off"


class Jobs(enum.Enum):
    """What works on a VM, the most telling job deciding."""

    NONE = "none"
    BACKGROUND = "background"  # moves data or reads; a healthy relationship does so all the time
    OWN = "own"  # a job that leads to the wanted state
    FOREIGN = "foreign"  # any other


class Effect(enum.Enum):
    """What follows from a row."""

    NOTHING = "nothing"  # the wanted state is there
    CALL = "call"
    WAIT = "wait"  # a job that leads there runs already
    REFUSE = "refuse"


class PowerState(enum.Enum):
    """What a power number means where the VM must be off."""

    OFF = "off"
    RUNNING = "running"
    SAVED = "saved"
    CHANGING = "changing"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Consent:
    """What the play allows."""

    discard_guest_writes: bool = False
    running_vm: RunningVm = RunningVm.FAIL
    side: Side = Side.ANY


@dataclass(frozen=True)
class Situation:
    """Everything a row can look at."""

    mode: int | None
    state: int | None
    jobs: Jobs = Jobs.NONE
    wrong_side: bool = False
    agrees: bool = True
    extended_state: int | None = None
    test_copy: bool = False


@dataclass(frozen=True)
class Row:
    """One row. None means "whatever it is"."""

    effect: Effect
    reason: str
    error: ErrorClass | None = None
    modes: frozenset[int] | None = None
    states: frozenset[int] | None = None
    jobs: frozenset[Jobs] | None = None
    wrong_side: bool | None = None
    agrees: bool | None = None
    extended_states: frozenset[int] | None = None
    test_copy: bool | None = None
    discards: bool = False
    """Whether the call throws away what the guest wrote: needs ``discard_guest_writes``."""

    def fits(self, situation: Situation) -> bool:
        return (
            (self.modes is None or situation.mode in self.modes)
            and (self.states is None or situation.state in self.states)
            and (self.jobs is None or situation.jobs in self.jobs)
            and (self.wrong_side is None or situation.wrong_side is self.wrong_side)
            and (self.agrees is None or situation.agrees is self.agrees)
            and (self.extended_states is None or situation.extended_state in self.extended_states)
            and (self.test_copy is None or situation.test_copy is self.test_copy)
        )


@dataclass(frozen=True)
class Target:
    """A wanted state: its table, and the method that leads there."""

    name: str
    rows: tuple[Row, ...]
    method: str
    """Of Msvm_ReplicationService, with the VM as its argument ComputerSystem."""
    own_jobs: frozenset[int]
    pending_states: frozenset[int]
    """States that contradict success after the call: as long as one of them is read, it is not done."""
    noun: str
    """What the method does, for sentences: "the revert"."""


@dataclass(frozen=True)
class Decision:
    """What is to be done about one VM. ``error`` is set exactly for REFUSE; ``row`` tells why."""

    effect: Effect
    row: Row
    error: ErrorClass | None = None
    power_off: bool = False
    wait_for_power: bool = False
    consent_missing: str = ""


_PAIR = frozenset({ReplicationMode.PRIMARY, ReplicationMode.REPLICA, ReplicationMode.EXTENDED_REPLICA})
_REPLICA = frozenset({ReplicationMode.REPLICA, ReplicationMode.EXTENDED_REPLICA})
_PRIMARY = frozenset({ReplicationMode.PRIMARY})
_S = ReplicationState

_AT_REST_EVERYWHERE = frozenset(
    {
        _S.DISABLED,
        _S.WAITING_TO_COMPLETE_INITIAL_REPLICATION,
        _S.REPLICATING,
        _S.SUSPENDED,
        _S.CRITICAL,
        _S.RESYNCHRONIZING,
        _S.RESYNCHRONIZATION_SUSPENDED,
        _S.DISK_UPDATE_IN_PROGRESS,
        _S.DISK_UPDATE_CRITICAL,
    }
)
_AT_REST_ON_A_PRIMARY = _AT_REST_EVERYWHERE | {_S.READY_FOR_REPLICATION, _S.WAITING_TO_START_RESYNCHRONIZATION}

REVERTED = Target(
    name="reverted",
    method="RevertFailover",
    noun="the revert",
    # On a primary the host may run it as type 101 (not documented): both are ours to wait for.
    own_jobs=frozenset({JobType.REVERT_FAILOVER, JobType.CANCEL_SYNCED_REPLICATION}),
    pending_states=frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER, _S.FAILED_OVER, _S.FAILOVER_IN_PROGRESS}),
    rows=(
        Row(
            Effect.REFUSE,
            "The VM is not replicated.",
            ErrorClass.NOT_REPLICATED,
            modes=frozenset({ReplicationMode.NONE}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is the copy of a test failover.",
            ErrorClass.TEST_COPY,
            modes=frozenset({ReplicationMode.TEST_REPLICA}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is on the side that the task did not mean.",
            ErrorClass.WRONG_SIDE,
            modes=_PAIR,
            wrong_side=True,
        ),
        Row(
            Effect.REFUSE,
            "The VM and its replication relationship show different states, also when read again.",
            ErrorClass.UNEXPECTED_STATE,
            modes=_PAIR,
            agrees=False,
        ),
        Row(
            Effect.WAIT,
            "A revert of this VM runs already.",
            modes=_PAIR,
            jobs=frozenset({Jobs.OWN}),
        ),
        Row(
            Effect.REFUSE,
            "Another replication job of this VM runs.",
            ErrorClass.BUSY,
            modes=_PAIR,
            jobs=frozenset({Jobs.FOREIGN}),
        ),
        Row(
            Effect.REFUSE,
            "A failover operation is in progress on this VM, and its job is not visible.",
            ErrorClass.BUSY,
            modes=_PAIR,
            states=frozenset({_S.FAILOVER_IN_PROGRESS}),
        ),
        Row(
            Effect.REFUSE,
            "Replication data of this VM is still being moved, so its state may only be the one it is changing to.",
            ErrorClass.BUSY,
            modes=_PAIR,
            states=frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER, _S.FAILED_OVER}),
            jobs=frozenset({Jobs.BACKGROUND}),
        ),
        Row(
            Effect.REFUSE,
            "The extended relationship of this VM (to a third site) is in a failover.",
            ErrorClass.EXTENDED_UNSUPPORTED,
            modes=frozenset({ReplicationMode.REPLICA}),
            extended_states=frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER, _S.FAILED_OVER, _S.FAILOVER_IN_PROGRESS}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is failed over, and a test copy of it exists.",
            ErrorClass.TEST_COPY_PRESENT,
            modes=_REPLICA,
            states=frozenset({_S.FAILED_OVER}),
            test_copy=True,
        ),
        Row(
            Effect.CALL,
            "The VM is failed over.",
            modes=_REPLICA,
            states=frozenset({_S.FAILED_OVER}),
            discards=True,
        ),
        Row(
            Effect.CALL,
            "The VM is prepared for a planned failover, which is called off.",
            modes=_PRIMARY,
            states=frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER}),
        ),
        Row(
            Effect.REFUSE,
            "The failover is committed: there is nothing left to revert to.",
            ErrorClass.COMMITTED,
            modes=_REPLICA,
            states=frozenset({_S.COMMITTED}),
        ),
        Row(
            Effect.NOTHING,
            "The VM is a primary and not in a failover (also when a failover was committed and reversed).",
            modes=_PRIMARY,
            states=_AT_REST_ON_A_PRIMARY,
        ),
        Row(
            Effect.NOTHING,
            "The VM is a replica and not failed over.",
            modes=_REPLICA,
            states=_AT_REST_EVERYWHERE,
        ),
        Row(
            Effect.REFUSE,
            "The mode and state that were read do not belong together, or nobody documented them.",
            ErrorClass.UNEXPECTED_STATE,
        ),
    ),
)

TARGETS: dict[str, Target] = {REVERTED.name: REVERTED}

POWER: dict[int, PowerState] = {
    Power.OFF: PowerState.OFF,
    Power.OFF_CRITICAL: PowerState.OFF,
    Power.RUNNING: PowerState.RUNNING,
    Power.PAUSED: PowerState.RUNNING,
    Power.RUNNING_CRITICAL: PowerState.RUNNING,
    Power.PAUSED_CRITICAL: PowerState.RUNNING,
    Power.SAVED: PowerState.SAVED,
    Power.SAVED_CRITICAL: PowerState.SAVED,
    Power.FAST_SAVED: PowerState.SAVED,
    Power.HIBERNATED: PowerState.SAVED,
    Power.SHUTTING_DOWN: PowerState.CHANGING,
    Power.STARTING: PowerState.CHANGING,
    Power.SAVING: PowerState.CHANGING,
    Power.PAUSING: PowerState.CHANGING,
    Power.RESUMING: PowerState.CHANGING,
    Power.FAST_SAVING: PowerState.CHANGING,
    Power.FORCE_SHUTDOWN: PowerState.CHANGING,
    Power.FORCE_REBOOT: PowerState.CHANGING,
}
"""Where a VM must be off. What is not in here is refused."""


@dataclass(frozen=True)
class PowerRow:
    """What follows, for a VM that must be off, from its power and the consent."""

    power: PowerState
    allowed: RunningVm | None
    effect: Effect
    error: ErrorClass | None = None
    power_off: bool = False


POWER_ROWS: tuple[PowerRow, ...] = (
    PowerRow(PowerState.OFF, None, Effect.CALL),
    PowerRow(PowerState.RUNNING, RunningVm.TURN_OFF, Effect.CALL, power_off=True),
    PowerRow(PowerState.RUNNING, None, Effect.REFUSE, ErrorClass.VM_RUNNING),
    # That a power-off drops the saved state is an assumption: the documentation names no other way to lose it.
    PowerRow(PowerState.SAVED, RunningVm.TURN_OFF, Effect.CALL, power_off=True),
    PowerRow(PowerState.SAVED, None, Effect.REFUSE, ErrorClass.VM_SAVED),
    PowerRow(PowerState.CHANGING, None, Effect.WAIT),
    PowerRow(PowerState.UNKNOWN, None, Effect.REFUSE, ErrorClass.UNEXPECTED_STATE),
)


def power_state(raw: int | None) -> PowerState:
    return PowerState.UNKNOWN if raw is None else POWER.get(raw, PowerState.UNKNOWN)


def jobs_seen(target: Target, jobs: t.Iterable[Job]) -> Jobs:
    """The most telling of a VM's unfinished jobs: a foreign one outweighs our own, both outweigh background."""
    seen = Jobs.NONE
    for job in jobs:
        if job.type in BACKGROUND_JOBS:
            seen = Jobs.BACKGROUND if seen is Jobs.NONE else seen
        elif job.type in target.own_jobs and job.running:
            seen = Jobs.OWN if seen is not Jobs.FOREIGN else seen
        else:
            return Jobs.FOREIGN
    return seen


def situation_of(target: Target, vm: VirtualMachine, side: Side) -> Situation:
    extended = vm.relationship(1)
    return Situation(
        mode=vm.mode,
        state=vm.state,
        jobs=jobs_seen(target, vm.jobs),
        wrong_side=(side is Side.PRIMARY and vm.mode in _REPLICA) or (side is Side.REPLICA and vm.mode in _PRIMARY),
        agrees=vm.relationship_agrees,
        extended_state=extended.state if extended else None,
        test_copy=bool(vm.test_copies),
    )


def row_for(rows: t.Sequence[Row], situation: Situation) -> Row:
    """The first row that fits. The last row of every table fits everything."""
    return next(row for row in rows if row.fits(situation))


def decide(target: Target, situation: Situation, power: int | None, consent: Consent) -> Decision:
    """What to do about a VM in this situation, with this power and this consent."""
    row = row_for(target.rows, situation)
    if row.effect is not Effect.CALL:
        return Decision(row.effect, row, row.error)
    if row.discards and not consent.discard_guest_writes:
        return Decision(Effect.REFUSE, row, ErrorClass.WOULD_DISCARD, consent_missing="discard_guest_writes")
    state = power_state(power)
    found = next(
        power_row
        for power_row in POWER_ROWS
        if power_row.power is state and power_row.allowed in (None, consent.running_vm)
    )
    return Decision(
        found.effect,
        row,
        found.error,
        power_off=found.power_off,
        wait_for_power=found.effect is Effect.WAIT,
        consent_missing="running_vm" if found.error in (ErrorClass.VM_RUNNING, ErrorClass.VM_SAVED) else "",
    )
