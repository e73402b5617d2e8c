# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""How it is decided what a wanted state means for a VM in the state it is in: the engine, not the tables.

The tables are in ``verbs``, one for each wanted state. A table is a list of rows; the first row that fits decides. A
row names what it looks at and what follows, and carries its reason. Everything a row can look at is in one
:class:`Situation`, everything that can follow is one :class:`Effect`. There is no other place where it is decided
whether a method is called.

The order of the rows carries the safety, and :func:`gates` writes the part that all tables begin with:

* Before anything is said about a VM, it must be one that takes part (not replicated, a test copy, the side that
  the play did not mean).
* Then nobody else may be at work on it. The host shows the *target* of a change while the change runs, so a state
  means something only when nothing runs.
* Then come the states that the verb is for, and the ones it is too early or too late for, each consent a row.
* Then, mode by mode, the documented states in which nothing is to be done.
* Whatever is left is refused: a number that nobody documented is never a reason to act, nor to say all is well.

Sources: "Hyper-V WMI provider (V2)", the pages of the methods, Msvm_ReplicationRelationship and Msvm_ConcreteJob.
Which states occur in which mode is not documented; it is what the client shows, and the states beyond it are refused.
"""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Job
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    BACKGROUND_JOBS,
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
    SHUT_DOWN = "shut_down"
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
    PAUSED = "paused"
    SAVED = "saved"
    CHANGING = "changing"
    UNKNOWN = "unknown"


class Fact(enum.Enum):
    """What holds of a VM or of the task, beside mode, state and jobs. The value is how a table in the docs says it.

    A consent is a fact like any other: a table has a row for the case that it is missing.
    """

    # Of the VM
    WRONG_SIDE = "on the side that `side` does not mean"
    DISAGREES = "VM and relationship 0 show different states, twice"
    TEST_COPY = "a test copy of it exists"
    EXTENDED = "relationship 1 exists"
    EXTENDED_IN_FAILOVER = "relationship 1 is prepared, failed over or in progress"
    CAN_SHUT_DOWN = "its guest can be asked to shut down"
    # Of the task
    MAY_DISCARD = "`discard_guest_writes`"
    CONFIRMED = "`confirm`"
    MAY_RESUME = "`suspended=resume`"
    PLANNED = "`kind=planned`"
    PRIMARY_IS_DOWN = "`primary_is_down`"
    # Of both
    PLANNED_POINT = "its newest recovery point is that of a prepared primary"
    NEVER_REPLICATED = "it has never received anything"
    POINT = "it has the recovery point"
    OTHER_POINT = "it is failed over in another way or to another point"
    TO_BE_STARTED = "`start_vm`, and it is off"
    ON_ITS_WAY = "`start_vm`, and it is changing its power"
    # Of test copies
    UNPROVEN_COPY = "what the host names as its test copy is not in the mode of one"
    COPY_TO_BE_CONNECTED = "an adapter of its test copy is not on `switch`"
    COPY_TO_BE_STARTED = "`start_vm`, and its test copy is off"
    COPY_WITHOUT_CONNECTION = "its test copy has an adapter without connection settings, or none at all"
    COPY_ON_PRODUCTION = "its test copy is on a switch that the replica uses, and `switch` names no other"
    COPY_ON = "a test copy is running or paused"
    COPY_CHANGING = "a test copy is changing its power"
    COPY_POWER_UNKNOWN = "a test copy shows a power that nobody documented"
    COPY_MEANT = "named itself, or an orphan with `orphans=remove`"
    SWITCH_MISSING = "the host has no switch of that name"
    SWITCH_AMBIGUOUS = "the host has several switches of that name"
    SWITCH_OF_REPLICA = "`switch` is one that the replica uses"
    # Of a relationship
    SECOND = "`relationship=1`"
    SENDS = "it is the sending end of the relationship"
    NO_RELATIONSHIP = "it has no such relationship"
    FORCED = "`force`"
    FAILOVER_WAS_PLANNED = "its failover is a planned one"
    NO_SERVER = "neither the task nor its settings say to which server it shall replicate"
    NO_CERTIFICATE = "authentication by certificate, and no thumbprint"
    CANNOT_EXTEND = "its relationship 0 is not replicating"
    OTHER_SERVER = "it replicates to another server than `replica_server`"
    ADAPTER_MISSING = "it has no such network adapter"
    ADAPTER_AMBIGUOUS = "several of its network adapters are meant by one entry, or one by several"
    TOO_MANY_GATEWAYS = "with those of the other family an adapter would have more than five gateways"
    DIFFERS = "a setting differs from what the task says"


@dataclass(frozen=True)
class Situation:
    """Everything a row can look at."""

    mode: int | None
    state: int | None
    jobs: Jobs = Jobs.NONE
    facts: frozenset[Fact] = frozenset()


@dataclass(frozen=True)
class Row:
    """One row. None means "whatever it is"."""

    effect: Effect
    reason: str
    error: ErrorClass | None = None
    modes: frozenset[int] | None = None
    states: frozenset[int] | None = None
    jobs: frozenset[Jobs] | None = None
    when: frozenset[Fact] = frozenset()
    """All of these hold."""
    unless: frozenset[Fact] = frozenset()
    """None of these holds."""
    needs_off: bool = False
    """Of a call: the VM must be off for it, so the power table has the last word."""
    consent: str = ""
    """Of a refusal: the option that would allow it."""
    hint: str = ""
    """Of a refusal: what to do, where the hint of its class does not say it."""

    def fits(self, situation: Situation) -> bool:
        return (
            (self.modes is None or situation.mode in self.modes)
            and (self.states is None or situation.state in self.states)
            and (self.jobs is None or situation.jobs in self.jobs)
            and self.when <= situation.facts
            and not self.unless & situation.facts
        )


@dataclass(frozen=True)
class Target:
    """A wanted state: its table, and the words for it."""

    name: str
    rows: tuple[Row, ...]
    own_jobs: frozenset[int]
    """Types of the jobs that lead there. One that runs already is waited for."""
    methods: tuple[str, ...]
    """What a CALL comes to, for the documentation."""
    noun: str
    """What is done, for sentences: "the revert"."""
    action: str
    """The same as a word of the result: "revert"."""
    done: str
    """The same as a participle: "reverted"."""
    foretold: str
    """What check mode can say of the state after it."""
    changing: frozenset[int] = frozenset()
    """States that mean something only when no data is moved: the host shows them while it is still on the way."""
    ends: frozenset[int] = frozenset()
    """Types of jobs that a call may end, and so does not wait for: they count as background."""


@dataclass(frozen=True)
class Decision:
    """What is to be done about one VM. ``error`` is set exactly for REFUSE; ``row`` tells why."""

    effect: Effect
    row: Row
    error: ErrorClass | None = None
    power_off: RunningVm | None = None
    """How the VM is brought off first; None where it is not."""
    wait_for_power: bool = False
    consent_missing: str = ""
    hint: str = ""
    """What to do, where the hint of the class does not say it."""


PAIR = frozenset({ReplicationMode.PRIMARY, ReplicationMode.REPLICA, ReplicationMode.EXTENDED_REPLICA})
REPLICA = frozenset({ReplicationMode.REPLICA, ReplicationMode.EXTENDED_REPLICA})
PRIMARY = frozenset({ReplicationMode.PRIMARY})


def gates(noun: str, changing: frozenset[int] = frozenset(), *, unreplicated: bool = False) -> tuple[Row, ...]:
    """The rows that a table of a verb begins with.

    ``changing``: see :class:`Target`. ``unreplicated``: a VM that is not replicated takes part as well.
    """
    part = PAIR | {ReplicationMode.NONE} if unreplicated else PAIR
    outside = (
        Row(
            Effect.REFUSE,
            "The VM is not replicated.",
            ErrorClass.NOT_REPLICATED,
            modes=frozenset({ReplicationMode.NONE}),
        ),
    )
    moved = (
        Row(
            Effect.REFUSE,
            "Replication data of this VM is still being moved, so its state may only be the one it is changing to.",
            ErrorClass.BUSY,
            modes=PAIR,
            states=changing,
            jobs=frozenset({Jobs.BACKGROUND}),
        ),
    )
    return (
        *(() if unreplicated else outside),
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
            modes=PAIR,
            when=frozenset({Fact.WRONG_SIDE}),
        ),
        Row(
            Effect.REFUSE,
            "The VM and its replication relationship show different states, also when read again.",
            ErrorClass.UNEXPECTED_STATE,
            modes=PAIR,
            when=frozenset({Fact.DISAGREES}),
        ),
        Row(
            Effect.WAIT,
            f"{noun[0].upper()}{noun[1:]} of this VM runs already.",
            modes=part,
            jobs=frozenset({Jobs.OWN}),
        ),
        Row(
            Effect.REFUSE,
            "Another replication job of this VM runs.",
            ErrorClass.BUSY,
            modes=part,
            jobs=frozenset({Jobs.FOREIGN}),
        ),
        Row(
            Effect.REFUSE,
            "A failover operation is in progress on this VM, and its job is not visible.",
            ErrorClass.BUSY,
            modes=PAIR,
            states=frozenset({ReplicationState.FAILOVER_IN_PROGRESS}),
        ),
        *(moved if changing else ()),
    )


LAST_ROW = Row(
    Effect.REFUSE,
    "The mode and state that were read do not belong together, or nobody documented them.",
    ErrorClass.UNEXPECTED_STATE,
)
"""What every table ends with."""

POWER: dict[int, PowerState] = {
    Power.OFF: PowerState.OFF,
    Power.OFF_CRITICAL: PowerState.OFF,
    Power.RUNNING: PowerState.RUNNING,
    Power.RUNNING_CRITICAL: PowerState.RUNNING,
    Power.PAUSED: PowerState.PAUSED,
    Power.PAUSED_CRITICAL: PowerState.PAUSED,
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
    first: RunningVm | None = None
    when: frozenset[Fact] = frozenset()
    hint: str = ""


_NO_SHUTDOWN = (
    "Its guest does not take a shutdown from the host (no integration services, or they do not answer): shut it down "
    "from the inside, or allow a hard power-off with running_vm=turn_off."
)

POWER_ROWS: tuple[PowerRow, ...] = (
    PowerRow(PowerState.OFF, None, Effect.CALL),
    PowerRow(PowerState.RUNNING, RunningVm.TURN_OFF, Effect.CALL, first=RunningVm.TURN_OFF),
    PowerRow(
        PowerState.RUNNING,
        RunningVm.SHUT_DOWN,
        Effect.CALL,
        first=RunningVm.SHUT_DOWN,
        when=frozenset({Fact.CAN_SHUT_DOWN}),
    ),
    PowerRow(PowerState.RUNNING, RunningVm.SHUT_DOWN, Effect.REFUSE, ErrorClass.VM_RUNNING, hint=_NO_SHUTDOWN),
    PowerRow(PowerState.RUNNING, None, Effect.REFUSE, ErrorClass.VM_RUNNING),
    PowerRow(PowerState.PAUSED, RunningVm.TURN_OFF, Effect.CALL, first=RunningVm.TURN_OFF),
    PowerRow(PowerState.PAUSED, None, Effect.REFUSE, ErrorClass.VM_RUNNING),
    # That a power-off drops the saved state is an assumption: the documentation names no other way to lose it.
    PowerRow(PowerState.SAVED, RunningVm.TURN_OFF, Effect.CALL, first=RunningVm.TURN_OFF),
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
        if job.type in target.own_jobs and job.running:
            seen = Jobs.OWN if seen is not Jobs.FOREIGN else seen
        elif job.type in BACKGROUND_JOBS | target.ends:
            seen = Jobs.BACKGROUND if seen is Jobs.NONE else seen
        else:
            return Jobs.FOREIGN
    return seen


def row_for(rows: t.Sequence[Row], situation: Situation) -> Row:
    """The first row that fits. The last row of every table fits everything."""
    return next(row for row in rows if row.fits(situation))


def decide(target: Target, situation: Situation, power: int | None, running_vm: RunningVm) -> Decision:
    """What to do about a VM in this situation, with this power."""
    row = row_for(target.rows, situation)
    if row.effect is not Effect.CALL or not row.needs_off:
        return Decision(row.effect, row, row.error, consent_missing=row.consent, hint=row.hint)
    state = power_state(power)
    found = next(
        power_row
        for power_row in POWER_ROWS
        if power_row.power is state
        and power_row.allowed in (None, running_vm)
        and power_row.when <= situation.facts
    )
    return Decision(
        found.effect,
        row,
        found.error,
        power_off=found.first,
        wait_for_power=found.effect is Effect.WAIT,
        consent_missing="running_vm" if found.error in (ErrorClass.VM_RUNNING, ErrorClass.VM_SAVED) else "",
        hint=found.hint,
    )
