# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""Test failovers: a copy of a replica, made of a recovery point, that can be started and thrown away.

Sources: TestReplicaSystem method of Msvm_ReplicationService, DestroySystem and ModifyResourceSettings methods of
Msvm_VirtualSystemManagementService, Msvm_ReplicaSystemDependency.

The replica goes on as it is. Its copy is found by its association, and it is one by its ReplicationMode; never by the
name, which everybody can change and which is not the same in every language.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.embedded import write_instance
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import MethodCall, Reference
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    LAST_ROW,
    PRIMARY,
    REPLICA,
    Decision,
    Effect,
    Fact,
    Jobs,
    PowerState,
    Row,
    Target,
    gates,
    power_state,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import (
    Job,
    Switch,
    TestCopy,
    VirtualMachine,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    JobType,
    Power,
    ReplicationMode,
    ReplicationState,
    RequestedState,
    name_of,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import guid
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.failed_over import (
    LATEST,
    UNUSABLE,
    point_named,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import (
    Act,
    Expected,
    Part,
    Reading,
    Verb,
    expecting,
    on_service,
    request_state,
)

_S = ReplicationState
MANAGEMENT = Reference.of("Msvm_VirtualSystemManagementService")
_ENABLED = 2

_TESTABLE = frozenset({_S.REPLICATING, _S.SUSPENDED})
"""As for a failover, but for 10 and 15. A suspended replica keeps its points, so that a copy can be made of them."""

_COPIED = frozenset({Fact.TEST_COPY})

PRESENT = Target(
    name="present",
    methods=("TestReplicaSystem", "ModifyResourceSettings with `switch`", "RequestStateChange (2) with `start_vm`"),
    noun="the test failover",
    action="test_failover",
    done="given a test copy as the task describes it",
    foretold="unchanged",
    own_jobs=frozenset({JobType.INITIATE_TEST_REPLICA}),
    rows=(
        *gates("a test failover"),
        Row(
            Effect.REFUSE,
            "The VM is a primary here: its test copies are on the host of its replica.",
            ErrorClass.WRONG_SIDE,
            modes=PRIMARY,
        ),
        Row(
            Effect.REFUSE,
            "This host has no switch of the name or GUID that switch gives.",
            ErrorClass.NOT_FOUND,
            modes=REPLICA,
            when=frozenset({Fact.SWITCH_MISSING}),
        ),
        Row(
            Effect.REFUSE,
            "This host has several switches of the name that switch gives.",
            ErrorClass.AMBIGUOUS_NAME,
            modes=REPLICA,
            when=frozenset({Fact.SWITCH_AMBIGUOUS}),
            hint="Give the GUID of the switch that is meant in place of its name.",
        ),
        Row(
            Effect.REFUSE,
            "The switch is one that the replica itself uses: a test copy on it would meet the machines of production.",
            ErrorClass.PRODUCTION_SWITCH,
            modes=REPLICA,
            when=frozenset({Fact.SWITCH_OF_REPLICA}),
        ),
        Row(
            Effect.REFUSE,
            "The host names a VM as the test copy of this one, and that VM is not in the mode of a test copy.",
            ErrorClass.UNEXPECTED_STATE,
            modes=REPLICA,
            when=_COPIED | {Fact.UNPROVEN_COPY},
        ),
        Row(
            Effect.REFUSE,
            "The test copy exists, and has a network adapter without connection settings, or no adapter at all: it "
            "cannot be connected.",
            ErrorClass.NOT_SUPPORTED,
            modes=REPLICA,
            when=_COPIED | {Fact.COPY_WITHOUT_CONNECTION},
            hint="Connect the copy in Hyper-V Manager, or run the task without switch.",
        ),
        Row(
            Effect.WAIT,
            "A test copy of the VM exists, and shall run.",
            modes=REPLICA,
            when=_COPIED | {Fact.COPY_CHANGING},
        ),
        Row(
            Effect.CALL,
            "A test copy of the VM exists, and is not connected to the switch.",
            modes=REPLICA,
            when=_COPIED | {Fact.COPY_TO_BE_CONNECTED},
        ),
        Row(
            Effect.REFUSE,
            "A test copy of the VM exists, shall run, and is connected to a switch that the replica itself uses.",
            ErrorClass.PRODUCTION_SWITCH,
            modes=REPLICA,
            when=_COPIED | {Fact.COPY_TO_BE_STARTED, Fact.COPY_ON_PRODUCTION},
        ),
        Row(
            Effect.CALL,
            "A test copy of the VM exists, and is off, and shall run.",
            modes=REPLICA,
            when=_COPIED | {Fact.COPY_TO_BE_STARTED},
        ),
        Row(
            Effect.NOTHING,
            "A test copy of the VM exists.",
            modes=REPLICA,
            when=_COPIED,
        ),
        Row(
            Effect.REFUSE,
            "The VM is failed over itself.",
            ErrorClass.IN_FAILOVER,
            modes=REPLICA,
            states=frozenset({_S.FAILED_OVER}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is failed over itself, and the failover is committed.",
            ErrorClass.COMMITTED,
            modes=REPLICA,
            states=frozenset({_S.COMMITTED}),
        ),
        *UNUSABLE,
        Row(
            Effect.REFUSE,
            "The disks of the VM are being updated.",
            ErrorClass.BUSY,
            modes=REPLICA,
            states=frozenset({_S.DISK_UPDATE_IN_PROGRESS}),
        ),
        Row(
            Effect.REFUSE,
            "Nothing was ever replicated to the VM.",
            ErrorClass.NOT_READY,
            modes=REPLICA,
            states=_TESTABLE,
            when=frozenset({Fact.NEVER_REPLICATED}),
        ),
        Row(
            Effect.REFUSE,
            "The VM has no recovery point of that kind or id.",
            ErrorClass.POINT_NOT_FOUND,
            modes=REPLICA,
            states=_TESTABLE,
            unless=frozenset({Fact.POINT}),
        ),
        Row(
            Effect.CALL,
            "The VM is a replica, and has no test copy.",
            modes=REPLICA,
            states=frozenset({_S.REPLICATING}),
        ),
        Row(
            Effect.CALL,
            "The VM is a replica, and has no test copy. Its replication is suspended, so a copy is as old as that.",
            modes=REPLICA,
            states=frozenset({_S.SUSPENDED}),
        ),
        LAST_ROW,
    ),
)

_WITH_COPIES = REPLICA | {ReplicationMode.TEST_REPLICA}

ABSENT = Target(
    name="absent",
    methods=("RequestStateChange (3) of the copy", "DestroySystem of the copy"),
    noun="the removal of the test copy",
    action="remove_test_copy",
    done="without a test copy",
    foretold="unchanged",
    own_jobs=frozenset({JobType.REMOVE_TEST_REPLICA, JobType.DESTROY_VM}),
    rows=(
        Row(
            Effect.REFUSE,
            "The VM is not replicated.",
            ErrorClass.NOT_REPLICATED,
            modes=frozenset({ReplicationMode.NONE}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is a primary here: its test copies are on the host of its replica.",
            ErrorClass.WRONG_SIDE,
            modes=PRIMARY,
        ),
        Row(
            Effect.REFUSE,
            "The VM is a test copy, and not one that the task means.",
            ErrorClass.TEST_COPY,
            modes=frozenset({ReplicationMode.TEST_REPLICA}),
            unless=frozenset({Fact.COPY_MEANT}),
        ),
        Row(
            Effect.WAIT,
            "A test copy is being removed already.",
            modes=_WITH_COPIES,
            jobs=frozenset({Jobs.OWN}),
        ),
        Row(
            Effect.REFUSE,
            "Another job of this VM or of its test copy runs.",
            ErrorClass.BUSY,
            modes=_WITH_COPIES,
            jobs=frozenset({Jobs.FOREIGN}),
        ),
        Row(
            Effect.NOTHING,
            "No test copy of the VM exists.",
            modes=REPLICA,
            unless=_COPIED,
        ),
        Row(
            Effect.REFUSE,
            "The host names a VM as the test copy of this one, and that VM is not in the mode of a test copy.",
            ErrorClass.UNEXPECTED_STATE,
            modes=REPLICA,
            when=frozenset({Fact.UNPROVEN_COPY}),
        ),
        Row(
            Effect.REFUSE,
            "The test copy shows a power state that nobody documented.",
            ErrorClass.UNEXPECTED_STATE,
            modes=_WITH_COPIES,
            when=frozenset({Fact.COPY_POWER_UNKNOWN}),
        ),
        Row(
            Effect.WAIT,
            "A test copy exists.",
            modes=_WITH_COPIES,
            when=frozenset({Fact.COPY_CHANGING}),
        ),
        Row(
            Effect.CALL,
            "A test copy exists, and is on: it is turned off first.",
            modes=_WITH_COPIES,
            when=frozenset({Fact.COPY_ON}),
        ),
        Row(
            Effect.CALL,
            "A test copy exists.",
            modes=_WITH_COPIES,
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class _OfCopies(Verb):
    """What both have in common: they read the copies, and their jobs, too."""

    @property
    def gather(self) -> frozenset[str]:
        return super().gather | {"copy_jobs"}

    @property
    def rereads(self) -> bool:
        return True  # a copy is not in the short reading

    def jobs(self, vm: VirtualMachine) -> tuple[Job, ...]:
        jobs = [*vm.jobs, *(job for copy in vm.test_copies for job in copy.jobs)]
        return tuple({job.id: job for job in jobs}.values())

    def decide(self, vm: VirtualMachine) -> Decision:
        decision = super().decide(vm)
        changing = decision.effect is Effect.WAIT and Fact.COPY_CHANGING in decision.row.when
        return replace(decision, wait_for_power=changing)

    def moved(self, before: VirtualMachine, after: VirtualMachine) -> bool:
        def seen(vm: VirtualMachine) -> list[tuple[str, int | None, tuple[str, ...]]]:
            return [(copy.id, copy.power, tuple(on.switch_id for on in copy.connections)) for copy in copies_of(vm)]

        return seen(before) != seen(after)


@dataclass(frozen=True)
class MakeTestCopy(_OfCopies):
    """``point``: LATEST, LATEST_CONSISTENT, or the id of a recovery point. ``switch``: a name or GUID, or nothing."""

    point: str = LATEST
    switch: str = ""
    start_vm: bool = False

    @property
    def target(self) -> Target:
        return PRESENT

    @property
    def gather(self) -> frozenset[str]:
        network = {"adapters", "connections", "emulated_adapters", "switches"} if self.goes_on else set()
        return super().gather | {"recovery_points"} | network

    @property
    def goes_on(self) -> bool:
        return bool(self.switch) or self.start_vm

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        switches = self._switches(vm)
        used = {on.switch_id for on in vm.connections} - {""}
        wanted = switches[0].id if len(switches) == 1 else ""
        copies = vm.test_copies
        holds = {
            Fact.NEVER_REPLICATED: vm.last_replication_time is None,
            Fact.POINT: self.point == LATEST or point_named(vm, self.point) is not None,
            Fact.SWITCH_MISSING: bool(self.switch) and not switches,
            Fact.SWITCH_AMBIGUOUS: len(switches) > 1,
            Fact.SWITCH_OF_REPLICA: bool(wanted) and wanted in used,
            Fact.UNPROVEN_COPY: any(not _proven(copy) for copy in copies),
            Fact.COPY_WITHOUT_CONNECTION: bool(self.switch)
            and any(not copy.connections or len(copy.connections) < copy.adapters for copy in copies),
            Fact.COPY_TO_BE_CONNECTED: bool(self.switch)
            and any(on.switch_id != wanted for copy in copies for on in copy.connections),
            Fact.COPY_TO_BE_STARTED: self.start_vm and any(_startable(copy) for copy in copies),
            Fact.COPY_CHANGING: self.start_vm and _changing(copies),
            Fact.COPY_ON_PRODUCTION: not self.switch
            and any(on.switch_id in used for copy in copies for on in copy.connections),
        }
        return super().facts(vm) | {fact for fact, held in holds.items() if held}

    def _switches(self, vm: VirtualMachine) -> list[Switch]:
        if not self.switch:
            return []
        name, switch_id = self.switch.casefold(), guid(self.switch)
        return [one for one in vm.switches if one.name.casefold() == name or (switch_id and one.id == switch_id)]

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        """What is due next. The copy's own acts are known when it is there, and the host is read then."""
        facts = self.facts(vm)
        if not vm.test_copies:
            return (self._make(vm),)
        if Fact.COPY_TO_BE_CONNECTED in facts:
            (switch,) = self._switches(vm)
            unconnected = (copy for copy in vm.test_copies if any(on.switch_id != switch.id for on in copy.connections))
            return tuple(_connect(copy, switch) for copy in unconnected)
        return tuple(_start(copy) for copy in vm.test_copies if _startable(copy))

    def _make(self, vm: VirtualMachine) -> Act:
        point = None if self.point == LATEST else point_named(vm, self.point)
        call = on_service(
            "TestReplicaSystem",
            ComputerSystem=vm.reference,
            SnapshotSettingData=point.reference if point else None,  # NULL is the latest
        )
        # The power of a replica is not looked at: no page says that it matters, and it is off while it receives.
        expected = expecting(vm, any_power=True)
        return Act(Part.MAIN, "the test failover", call, vm.reference, expected, PRESENT.own_jobs, _made)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        if after.mode != before.mode:
            return Reading.ODD
        facts = self.facts(after)
        short = {
            Fact.COPY_TO_BE_CONNECTED,
            Fact.COPY_WITHOUT_CONNECTION,
            Fact.COPY_TO_BE_STARTED,
            Fact.COPY_CHANGING,
        }
        return Reading.LEFT if Fact.TEST_COPY in facts and not short & facts else Reading.PENDING

    def lines(self, vm: VirtualMachine) -> dict[str, str]:
        copies = "; ".join(self._text(vm, copy) for copy in vm.test_copies)
        return {**super().lines(vm), "test_copy": copies or "none"}

    def _text(self, vm: VirtualMachine, copy: TestCopy) -> str:
        names = {switch.id: switch.name for switch in vm.switches}
        on = sorted({names.get(each.switch_id, each.switch_id) for each in copy.connections if each.switch_id})
        network = f", on {', '.join(on) or 'no switch'}" if self.goes_on else ""
        return f"{copy.name} ({copy.id}), {name_of(Power, copy.power)}{network}"

    def foretold(self, vm: VirtualMachine, decision: Decision) -> dict[str, str]:
        copies = [f"{copy.name} ({copy.id})" for copy in vm.test_copies] or ["a new VM"]
        more = (f", on {self.switch}" if self.switch else "") + (", running" if self.start_vm else "")
        return {"test_copy": "; ".join(f"{copy}{more}" for copy in copies)}

    def hint(self, before: VirtualMachine, done: bool) -> str:
        return "The copy is thrown away with state=absent. While it exists the replica cannot be failed over." * done


@dataclass(frozen=True)
class RemoveTestCopy(_OfCopies):
    """``every_vm``: the task names nobody, so a test copy is only meant through its replica.

    ``orphans``: it means those copies as well that the host connects with no replica.
    """

    every_vm: bool = False
    orphans: bool = False

    @property
    def target(self) -> Target:
        return ABSENT

    @property
    def ends_in_absence(self) -> bool:
        return True

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        powers = {power_state(copy.power) for copy in copies_of(vm)}
        holds = {
            Fact.UNPROVEN_COPY: any(not _proven(copy) for copy in vm.test_copies),
            Fact.COPY_MEANT: is_test_copy(vm) and (not self.every_vm or (self.orphans and is_orphan(vm))),
            Fact.COPY_ON: bool(powers & _ON),
            Fact.COPY_CHANGING: _changing(copies_of(vm)),
            Fact.COPY_POWER_UNKNOWN: PowerState.UNKNOWN in powers,
        }
        return super().facts(vm) | {fact for fact, held in holds.items() if held}

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        acts: list[Act] = []
        for copy in copies_of(vm):
            if power_state(copy.power) in _ON:
                acts.append(_turn_off(copy))
            acts.append(_destroy(copy))
        return tuple(acts)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        if after.mode != before.mode:
            return Reading.ODD
        left = {copy.id for copy in copies_of(before)} & {copy.id for copy in copies_of(after)}
        return Reading.PENDING if left else Reading.LEFT

    def lines(self, vm: VirtualMachine) -> dict[str, str]:
        if is_test_copy(vm):
            return super().lines(vm)
        texts = (f"{copy.name} ({copy.id}), {name_of(Power, copy.power)}" for copy in vm.test_copies)
        return {**super().lines(vm), "test_copy": "; ".join(texts) or "none"}

    def foretold(self, vm: VirtualMachine, decision: Decision) -> dict[str, str]:
        return dict.fromkeys(self.lines(vm), "gone") if is_test_copy(vm) else {"test_copy": "none"}


# --- copies ---------------------------------------------------------------------------------------------

_ON = frozenset({PowerState.RUNNING, PowerState.PAUSED})
_OFF_OR_SAVED = tuple(
    int(power)
    for power in Power
    if power_state(power) in (PowerState.OFF, PowerState.SAVED)
)
"""DestroySystem takes both (its page: the VM must be powered off or saved), so a saved state is not dropped first."""


def is_test_copy(vm: VirtualMachine) -> bool:
    return vm.mode == ReplicationMode.TEST_REPLICA


def is_orphan(vm: VirtualMachine) -> bool:
    """A test copy that the host connects with no replica: moved without it, or left behind by it."""
    return is_test_copy(vm) and not vm.replica_id


def copies_of(vm: VirtualMachine) -> tuple[TestCopy, ...]:
    """The test copies of a replica; of a test copy itself."""
    if is_test_copy(vm):
        itself = TestCopy(vm.id, vm.name, vm.reference, vm.mode, vm.power, vm.jobs, vm.known_jobs)
        return (itself,)
    return vm.test_copies


def _proven(copy: TestCopy) -> bool:
    return copy.reference is not None and copy.mode == ReplicationMode.TEST_REPLICA


def _changing(copies: tuple[TestCopy, ...]) -> bool:
    return any(power_state(copy.power) is PowerState.CHANGING for copy in copies)


def _startable(copy: TestCopy) -> bool:
    return power_state(copy.power) in (PowerState.OFF, PowerState.SAVED)


def _reference(copy: TestCopy) -> Reference:
    if copy.reference is None:
        raise AssertionError("the table refuses a copy that the host names and does not show")
    return copy.reference


def _expecting(*powers: int | None) -> Expected:
    """What a copy must still show: above all that it is one."""
    return (("ReplicationMode", (int(ReplicationMode.TEST_REPLICA),)), ("EnabledState", powers))


def _now(vm: VirtualMachine, copy: TestCopy) -> TestCopy | None:
    return next((found for found in copies_of(vm) if found.id == copy.id), None)


def _made(before: VirtualMachine, after: VirtualMachine) -> Reading:
    known = {copy.id for copy in before.test_copies}
    return Reading.LEFT if any(copy.id not in known for copy in after.test_copies) else Reading.PENDING


def _connect(copy: TestCopy, switch: Switch) -> Act:
    """All of its adapters to the switch. The connections are the host's own; what is left out of a text stays."""

    def shows(before: VirtualMachine, after: VirtualMachine) -> Reading:
        now = _now(after, copy)
        there = now is not None and all(on.switch_id == switch.id for on in now.connections)
        return Reading.LEFT if there else Reading.PENDING

    texts = tuple(
        write_instance(
            on.reference.class_name,
            {"EnabledState": _ENABLED, "HostResource": (switch.path,), "InstanceID": on.id},
        )
        for on in copy.connections
        if on.switch_id != switch.id
    )
    call = MethodCall(MANAGEMENT, "ModifyResourceSettings", (("ResourceSettings", texts),))
    noun = "the connection of the test copy"
    return Act(Part.AFTER, noun, call, _reference(copy), _expecting(copy.power), frozenset(), shows)


def _start(copy: TestCopy) -> Act:
    def shows(before: VirtualMachine, after: VirtualMachine) -> Reading:
        now = _now(after, copy)
        running = now is not None and power_state(now.power) is PowerState.RUNNING
        return Reading.LEFT if running else Reading.PENDING

    call = request_state(_reference(copy), RequestedState.RUNNING)
    jobs = frozenset({int(JobType.START_VM)})
    return Act(Part.AFTER, "the start of the test copy", call, _reference(copy), _expecting(copy.power), jobs, shows)


def _turn_off(copy: TestCopy) -> Act:
    def shows(before: VirtualMachine, after: VirtualMachine) -> Reading:
        now = _now(after, copy)
        off = now is not None and power_state(now.power) is PowerState.OFF
        return Reading.LEFT if off else Reading.PENDING

    call = request_state(_reference(copy), RequestedState.OFF)
    jobs = frozenset({int(JobType.POWER_OFF_VM)})
    noun = "the power-off of the test copy"
    return Act(Part.BEFORE, noun, call, _reference(copy), _expecting(copy.power), jobs, shows)


def _destroy(copy: TestCopy) -> Act:
    def shows(before: VirtualMachine, after: VirtualMachine) -> Reading:
        return Reading.PENDING if _now(after, copy) else Reading.LEFT

    call = MethodCall(MANAGEMENT, "DestroySystem", (("AffectedSystem", _reference(copy)),))
    expected = _expecting(*_OFF_OR_SAVED)
    noun = "the removal of the test copy"
    return Act(Part.MAIN, noun, call, _reference(copy), expected, ABSENT.own_jobs, shows)
