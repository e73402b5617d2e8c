# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What a play wants of a VM: a table, and the acts that lead to what the table asks for.

A :class:`Verb` is a wanted state together with what the task said about it. It is asked four things, all of them
values in and values out: what holds of this VM (``facts``), what has to be called in which order (``acts``), whether a
later reading shows the wanted state (``reading``), and what a person should know afterwards (``hint``). ``carry_out``
does the rest in the same way for every verb.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import MethodCall, Reference, Value
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    PRIMARY,
    REPLICA,
    Decision,
    Fact,
    PowerState,
    RunningVm,
    Side,
    Situation,
    Target,
    decide,
    jobs_seen,
    power_state,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Job, VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    JobType,
    Power,
    ReplicationMode,
    ReplicationState,
    RequestedState,
    name_of,
)

SERVICE = Reference.of("Msvm_ReplicationService")

Expected = tuple[tuple[str, tuple[Value, ...]], ...]


class Reading(enum.Enum):
    """What a VM shows after a call, held against what was read before it."""

    PENDING = "pending"  # as if the call had had no effect, or not yet
    LEFT = "left"  # the effect is there, and the state of before positively left
    ODD = "odd"  # neither


class Part(enum.Enum):
    """What an act is to its verb."""

    TURN_OFF = "turn_off"  # brings the VM off, hard
    SHUT_DOWN = "shut_down"  # asks the guest to go off; no job tells when it is
    BEFORE = "before"  # something else that has to come first
    MAIN = "main"  # the verb itself
    AFTER = "after"  # what the task wants on top, once the verb is done


DOING: dict[Part, str] = {
    Part.TURN_OFF: "powering off",
    Part.SHUT_DOWN: "shutting down",
    Part.BEFORE: "getting ready",
    Part.MAIN: "running",
    Part.AFTER: "finishing",
}
"""What a person following the task reads while an act runs."""


@dataclass(frozen=True)
class Act:
    """One call, and what it takes to make it once and to know what became of it."""

    part: Part
    noun: str
    """For sentences: "the revert"."""
    call: MethodCall
    guarded: Reference
    """The object that is read right before the call ..."""
    expected: Expected
    """... and what it must show then."""
    jobs: frozenset[int]
    """The types of the job that this call starts: by them it is found when its answer was lost."""
    shows: Callable[[VirtualMachine, VirtualMachine], Reading]
    """Whether a later reading shows the effect of this call."""
    also: tuple[tuple[Reference, Expected], ...] = ()
    """Further objects that are read right before the call, and what they must show."""

    @property
    def guards(self) -> tuple[tuple[Reference, Expected], ...]:
        return ((self.guarded, self.expected), *self.also)


@dataclass(frozen=True)
class Verb:
    """A wanted state and what the task said about it. The base says what all verbs have in common."""

    side: Side = Side.ANY
    running_vm: RunningVm = RunningVm.FAIL

    @property
    def target(self) -> Target:
        raise NotImplementedError

    @property
    def gather(self) -> frozenset[str]:
        """What has to be read beside the six queries of every reading; see ``read.EXTRA``."""
        return frozenset({"shutdown"}) if self.running_vm is RunningVm.SHUT_DOWN else frozenset()

    @property
    def rereads(self) -> bool:
        """Whether ``reading`` looks at more than mode, state, power and relationships."""
        return False

    @property
    def leaves_no_trace(self) -> bool:
        """Whether a call may be carried out without anything to be read of it, as a time that is set for later."""
        return False

    @property
    def link(self) -> int:
        """The relationship whose state the verb looks at."""
        return 0

    def state_of(self, vm: VirtualMachine) -> int | None:
        """The state of that relationship; of the primary one, what the VM itself shows."""
        found = vm.relationship(self.link) if self.link else None
        return found.state if found else None if self.link else vm.state

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        extended = vm.relationship(1)
        in_failover = (
            ReplicationState.PREPARED_FOR_PLANNED_FAILOVER,
            ReplicationState.FAILED_OVER,
            ReplicationState.FAILOVER_IN_PROGRESS,
        )
        holds = {
            Fact.WRONG_SIDE: (self.side is Side.PRIMARY and vm.mode in REPLICA)
            or (self.side is Side.REPLICA and vm.mode in PRIMARY),
            Fact.DISAGREES: not vm.relationship_agrees,
            Fact.TEST_COPY: bool(vm.test_copies),
            Fact.EXTENDED: extended is not None,
            Fact.EXTENDED_IN_FAILOVER: extended is not None and extended.state in in_failover,
            Fact.CAN_SHUT_DOWN: vm.shutdown is not None,
        }
        return frozenset(fact for fact, held in holds.items() if held)

    def jobs(self, vm: VirtualMachine) -> tuple[Job, ...]:
        """The running jobs that the verb heeds."""
        return vm.jobs

    def situation(self, vm: VirtualMachine) -> Situation:
        return Situation(vm.mode, self.state_of(vm), jobs_seen(self.target, self.jobs(vm)), self.facts(vm))

    def decide(self, vm: VirtualMachine) -> Decision:
        return decide(self.target, self.situation(vm), vm.power, self.running_vm)

    def acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        """What has to be called for a VM on which CALL was decided, in this order."""
        first = () if decision.power_off is None else (_off(vm, decision.power_off),)
        return (*first, *self.main_acts(vm, decision))

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        """The acts but for the one that brings the VM off."""
        raise NotImplementedError

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        raise NotImplementedError

    @property
    def goes_on(self) -> bool:
        """Whether the host is read once more when the acts are done, for acts that only then can be known."""
        return False

    @property
    def ends_in_absence(self) -> bool:
        """Whether a VM that is no longer on the host is in the wanted state."""
        return False

    def moved(self, before: VirtualMachine, after: VirtualMachine) -> bool:
        """Whether two readings differ in what the acts of this verb change on the way."""
        return after.position != before.position

    def lines(self, vm: VirtualMachine) -> dict[str, str]:
        """What a diff shows of a reading."""
        return {
            "mode": said(ReplicationMode, vm.mode),
            "state": said(ReplicationState, self.state_of(vm)),
            "power": said(Power, vm.power),
        }

    def foretold(self, vm: VirtualMachine, decision: Decision) -> dict[str, str]:
        """Those of the lines of which check mode can say what they would be."""
        return {
            "state": self.target.foretold,
            **({"power": said(Power, Power.OFF)} if decision.power_off else {}),
        }

    def warning(self, decision: Decision) -> str:
        """What is lost on the way by what was decided, though the task allowed it; empty for nothing."""
        return ""

    def hint(self, before: VirtualMachine, done: bool) -> str:
        """What a person should know about a call on this VM, foretold, under way or ``done``; empty for nothing."""
        return ""


def said(kind: type[enum.IntEnum], raw: int | None) -> str:
    return name_of(kind, raw) if raw is None else f"{name_of(kind, raw)} ({raw})"


# --- building blocks -----------------------------------------------------------------------------------


def on_service(method: str, **arguments: Value) -> MethodCall:
    """A call of Msvm_ReplicationService; arguments in the order of the MOF."""
    return MethodCall(SERVICE, method, tuple(arguments.items()))


def expecting(
    vm: VirtualMachine, *, off_by_us: bool = False, any_power: bool = False, unmoved: bool = False
) -> Expected:
    """What a VM must still show right before a call.

    ``off_by_us``: an act before it brought the VM off. ``any_power``: its power does not matter.
    ``unmoved``: no replication may have arrived since the reading, nor a change of configuration; not for a VM that
    receives or sends changes all the time.
    """
    expected: list[tuple[str, tuple[Value, ...]]] = [
        ("ReplicationMode", (vm.mode,)),
        ("ReplicationState", (vm.state,)),
        ("FailedOverReplicationType", (vm.failover_type,)),
    ]
    if not any_power:
        expected.append(("EnabledState", (int(Power.OFF), int(Power.OFF_CRITICAL)) if off_by_us else (vm.power,)))
    if unmoved and vm.last_replication_time is not None:
        expected.append(("LastReplicationTime", (vm.last_replication_time,)))
    if unmoved and not off_by_us and vm.configuration_time is not None:
        # Moves when somebody reverts and fails over anew; our own power-off may move it as well.
        expected.append(("TimeOfLastConfigurationChange", (vm.configuration_time,)))
    return tuple(expected)


def with_state(expected: Expected, state: ReplicationState) -> Expected:
    """The same, after an act that has led to another replication state."""
    return tuple((name, (int(state),) if name == "ReplicationState" else values) for name, values in expected)


def request_replication_state(
    vm: VirtualMachine, state: ReplicationState, relationship: str | None = None
) -> MethodCall:
    """RequestReplicationStateChangeEx. ``relationship``: the text of relationship 1; NULL is the primary one."""
    requested = ("RequestedState", int(state))
    if not vm.relationships_known:  # Windows Server 2012 has only this
        return MethodCall(vm.reference, "RequestReplicationStateChange", (requested,))
    arguments = (("ReplicationRelationship", relationship), requested)
    return MethodCall(vm.reference, "RequestReplicationStateChangeEx", arguments)


def power_reading(wanted: PowerState) -> Callable[[VirtualMachine, VirtualMachine], Reading]:
    """Whether the VM has come to this power."""

    def reading(before: VirtualMachine, after: VirtualMachine) -> Reading:
        return Reading.LEFT if power_state(after.power) is wanted else Reading.PENDING

    return reading


def request_state(vm: Reference, state: RequestedState) -> MethodCall:
    """RequestStateChange of a VM: 2 starts it, 3 is a power cut."""
    return MethodCall(vm, "RequestStateChange", (("RequestedState", int(state)),))


def _off(vm: VirtualMachine, how: RunningVm) -> Act:
    expected = expecting(vm, unmoved=True) if how is RunningVm.TURN_OFF else expecting(vm)
    reading = power_reading(PowerState.OFF)
    if how is RunningVm.SHUT_DOWN and vm.shutdown is not None:
        reason = "Planned failover of this virtual machine"
        call = MethodCall(vm.shutdown, "InitiateShutdown", (("Force", False), ("Reason", reason)))
        return Act(Part.SHUT_DOWN, "the shutdown", call, vm.reference, expected, frozenset(), reading)
    call = request_state(vm.reference, RequestedState.OFF)
    jobs = frozenset({int(JobType.POWER_OFF_VM)})
    return Act(Part.TURN_OFF, "the power-off", call, vm.reference, expected, jobs, reading)


def start(vm: VirtualMachine, expected: Expected) -> Act:
    """Start the VM when the verb is done."""
    call = request_state(vm.reference, RequestedState.RUNNING)
    jobs = frozenset({int(JobType.START_VM)})
    return Act(Part.AFTER, "the start", call, vm.reference, expected, jobs, power_reading(PowerState.RUNNING))
