# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine: what each verb needs, shows while it runs, and does, here and on the other side.

A verb looks at a VM and either answers at once (``Answered``) or returns a ``Plan``. It changes nothing
itself: the plan's ``begin`` and ``finish`` do, when and if the job's course lets them. Documented rules are
written down as they are; the rest asks ``assumptions``.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import timedelta

from replica_lab.numbers import (
    POWERED_OFF,
    POWERED_ON,
    STATE_SAVED,
    Code,
    FailoverType,
    Health,
    JobType,
    Mode,
    Power,
    State,
)
from replica_lab.world.jobs import Answered, JobFailed, Plan
from replica_lab.world.model import NOT_APPLICABLE, Point, PointType, Relationship, Vm
from replica_lab.world.texts import DEFAULT_LOCALE, text

REPLICA_SIDE = frozenset({Mode.REPLICA, Mode.EXTENDED_REPLICA})

REVERTIBLE = {
    Mode.PRIMARY: State.PREPARED_FOR_PLANNED_FAILOVER,
    Mode.REPLICA: State.FAILED_OVER,
    Mode.EXTENDED_REPLICA: State.FAILED_OVER,
}
"""The one state of each mode that RevertFailover undoes."""


# --- guards: each lets the VM pass or answers ----------------------------------------------------------


def _need(condition: bool, code: int = Code.INVALID_STATE) -> None:
    if not condition:
        raise Answered(code)


def _need_choice(choice: t.Any) -> None:
    """An assumption whose value is either 'accept' or the code of the refusal."""
    _need(choice == "accept", choice if isinstance(choice, int) else Code.INVALID_STATE)


def need_idle(vm: Vm) -> None:
    """No job that changes this VM, no backup that holds it."""
    assumptions = vm.host.world.assumptions
    _need(not vm.in_backup, assumptions.METHOD_WHILE_BACKUP)
    _need(vm.host.job_in_the_way(vm) is None, assumptions.METHOD_WHILE_JOB_RUNS)


# --- what a change does ----------------------------------------------------------------------------------


def _show(relationship: Relationship, assumption: object, target: int) -> None:
    """The state to see while a change runs."""
    if assumption == "target":
        relationship.state = target
    elif assumption != "before":
        relationship.state = t.cast(int, assumption)


def _touch_configuration(vm: Vm) -> None:
    if vm.host.world.assumptions.FAILOVER_TOUCHES_CONFIGURATION_TIME:
        vm.configured = vm.host.world.time


def new_point(vm: Vm, kind: PointType) -> Point:
    """A point of this moment."""
    point = Point(vm.host.world.new_id(), kind, vm.host.world.time)
    vm.points.append(point)
    return point


def lose_connection(vm: Vm, relationship: Relationship, state: int) -> None:
    """A sending side that cannot send any more; after a while its log is given up and 8 becomes 9."""
    world = vm.host.world
    relationship.state = state
    relationship.health = Health.CRITICAL if state == State.CRITICAL else relationship.health
    since = world.time

    def give_up() -> None:
        if relationship.state == State.CRITICAL and vm.host.job_in_the_way(vm) is None:
            relationship.state = State.WAITING_TO_START_RESYNCHRONIZATION

    if state == State.CRITICAL and world.assumptions.RESYNC_NEEDED_AFTER:
        world.schedule.at(since + timedelta(seconds=world.assumptions.RESYNC_NEEDED_AFTER), give_up)


# --- Msvm_ReplicationService --------------------------------------------------------------------------


def revert_failover(vm: Vm) -> Plan:
    """Undo a failover on the replica, or call off a prepared one on the primary."""
    assumptions = vm.host.world.assumptions
    relationship = vm.relationships[0]
    need_idle(vm)
    _need(vm.mode in REVERTIBLE)
    wanted = REVERTIBLE[Mode(vm.mode)]
    _need(relationship.state != State.COMMITTED)
    if relationship.state == State.FAILOVER_IN_PROGRESS:
        _need_choice(assumptions.REVERT_IN_STATE_12)
    else:
        _need(relationship.state == wanted, assumptions.REVERT_NOTHING)
    extended = vm.relationship(1)
    if extended is not None and extended.state != State.DISABLED:
        _need_choice(assumptions.REVERT_WITH_EXTENDED)
    if vm.test_copies():
        _need_choice(assumptions.REVERT_WITH_TEST_COPY)
    power_off = _revert_and_power(vm)

    on_primary = vm.mode == Mode.PRIMARY
    after = State.REPLICATING if on_primary else assumptions.STATE_AFTER_REVERT_REPLICA

    def begin() -> None:
        if power_off:
            vm.set_power(Power.OFF)
        _show(relationship, assumptions.STATE_WHILE_REVERTING, after)

    def finish() -> None:
        relationship.state = after
        if on_primary:
            _forget_planned_point(vm)
            return
        vm.count_writes()
        vm.discarded_writes += vm.guest_writes
        vm.guest_writes = 0.0
        vm.failed_over, vm.failed_over_point = False, ""
        if assumptions.FAILED_OVER_TYPE_AFTER_REVERT == "none":
            relationship.failed_over_type = FailoverType.NONE
        _touch_configuration(vm)

    job_type = assumptions.PRIMARY_REVERT_JOB_TYPE if on_primary else JobType.REVERT_FAILOVER
    return Plan("revert", job_type, vm, begin, finish)


def _revert_and_power(vm: Vm) -> bool:
    """Whether the revert cuts the power itself; answers where it does not accept the VM's power state."""
    assumptions = vm.host.world.assumptions
    if vm.power in POWERED_OFF:
        return False
    _need(vm.power in POWERED_ON | STATE_SAVED)
    choice = assumptions.REVERT_RUNNING_VM if vm.power in POWERED_ON else assumptions.REVERT_SAVED_VM
    _need(choice != "refuse_32774", Code.IN_USE)
    _need(choice != "refuse_32775")
    return bool(choice == "accept_and_power_off")


def _forget_planned_point(primary: Vm) -> None:
    """The replica's planned point, unless the replica runs on it."""
    partner = primary.partner(0)
    if partner and primary.host.world.assumptions.PLANNED_POINT_AFTER_CALLING_OFF == "removed":
        replica = partner[0]
        replica.points = [
            found
            for found in replica.points
            if found.type is not PointType.PLANNED_FAILOVER or found.id == replica.failed_over_point
        ]


def initiate_failover(vm: Vm, point_id: str | None = None) -> Plan:
    """Fail a replica over to a recovery point; None is the latest."""
    assumptions = vm.host.world.assumptions
    relationship = vm.relationships[0]
    need_idle(vm)
    _need(vm.mode in REPLICA_SIDE)
    if relationship.state in (State.SUSPENDED, State.RESYNCHRONIZING):
        _need_choice(assumptions.FAILOVER_FROM_SUSPENDED)
    else:
        _need(relationship.state in (State.REPLICATING, State.DISK_UPDATE_IN_PROGRESS))
    _need(relationship.last_time is not None)
    _need(vm.is_off)
    point = _chosen_point(vm, point_id)
    kind = point.type.failover_type if point else FailoverType.REGULAR

    def finish() -> None:
        relationship.state = State.FAILED_OVER
        relationship.failed_over_type = kind
        vm.count_writes()
        vm.guest_writes = 0.0
        vm.failed_over, vm.failed_over_point = True, point.id if point else ""
        _touch_configuration(vm)
        partner = vm.partner(0)
        if partner and partner[1].state in (State.REPLICATING, State.RESYNCHRONIZING):
            lose_connection(*partner, state=assumptions.PRIMARY_AFTER_UNPLANNED_FAILOVER)

    return Plan(
        "failover",
        JobType.INITIATE_FAILOVER,
        vm,
        lambda: _show(relationship, assumptions.STATE_WHILE_FAILING_OVER, State.FAILED_OVER),
        finish,
    )


def _chosen_point(vm: Vm, point_id: str | None) -> Point | None:
    """The recovery point of that id, or the latest; None where the VM keeps none."""
    points = vm.recovery_points()
    if point_id is None:
        return points[-1] if points else None
    found = next((point for point in points if point.id == point_id), None)
    _need(found is not None, Code.INVALID_PARAMETER)
    return found


def commit_failover(vm: Vm) -> Plan:
    """Keep the failover for good: the recovery points are merged."""
    world = vm.host.world
    relationship = vm.relationships[0]
    need_idle(vm)
    _need(vm.mode in REPLICA_SIDE)
    _need(relationship.state == State.FAILED_OVER)

    def finish() -> None:
        relationship.state, relationship.health = State.COMMITTED, Health.WARNING
        vm.points = [found for found in vm.points if found.type is PointType.CHECKPOINT]
        vm.failed_over_point = ""
        vm.merging_until = world.time + timedelta(seconds=world.assumptions.MERGE_AFTER_COMMIT_SECONDS)

    return Plan(
        "commit",
        JobType.COMMIT_FAILOVER,
        vm,
        lambda: _show(relationship, world.assumptions.STATE_WHILE_COMMITTING, State.COMMITTED),
        finish,
    )


def make_test_copy(vm: Vm, point_id: str | None = None) -> Plan:
    """Make a test copy of a replica: a VM of its own, on no network."""
    world = vm.host.world
    need_idle(vm)
    _need(vm.mode in REPLICA_SIDE)
    _need(vm.state in (State.REPLICATING, State.SUSPENDED))
    _need(vm.relationships[0].last_time is not None)
    _chosen_point(vm, point_id)
    if vm.test_copies():
        _need_choice(world.assumptions.SECOND_TEST_COPY)
    copy = new_test_copy(vm)
    reference = vm.host.vm_ref(copy)
    return Plan(
        "test",
        JobType.INITIATE_TEST_REPLICA,
        vm,
        finish=lambda: vm.host.add(copy),
        out={"ResultingSystem": reference},
    )


def new_test_copy(vm: Vm, **fields: t.Any) -> Vm:
    """A test copy that is not on the host yet."""
    world = vm.host.world
    locale = vm.host.locale if world.assumptions.TEST_COPY_NAME == "localised" else DEFAULT_LOCALE
    copy = Vm(
        vm.host,
        world.new_id(),
        vm.name + text(locale, "test_suffix"),
        mode=Mode.TEST_REPLICA,
        relationships=[Relationship(0, state=world.assumptions.TEST_COPY_STATE)],
        replica=vm,
        installed=world.time,
        configured=world.time,
        power_changed=world.time,
    )
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


# --- RequestReplicationStateChange(Ex) -----------------------------------------------------------------


@dataclass(frozen=True)
class StateChange:
    """One row of what a replication state may be asked to become."""

    to: State
    modes: frozenset[Mode]
    relationship: int
    allowed: frozenset[State]
    job_type: JobType = JobType.REPLICATE_STATE_CHANGE


def _rows() -> t.Iterator[StateChange]:
    primary, replica = frozenset({Mode.PRIMARY}), REPLICA_SIDE
    middle = frozenset({Mode.REPLICA})
    prepared, replicating = State.PREPARED_FOR_PLANNED_FAILOVER, State.REPLICATING
    stopped = frozenset(map(State, (7, 8, 9, 11)))
    updating = frozenset(map(State, (15, 16)))
    synced = JobType.INITIATE_SYNCED_REPLICATION
    yield StateChange(prepared, primary, 0, frozenset({replicating}), synced)
    yield StateChange(prepared, middle, 1, frozenset({replicating}) | updating, synced)
    yield StateChange(replicating, primary, 0, stopped | updating)
    yield StateChange(replicating, replica, 0, stopped | updating | {State.RESYNCHRONIZING})
    yield StateChange(replicating, middle, 1, stopped | updating)
    for sides, index in ((primary | replica, 0), (middle, 1)):
        yield StateChange(State.SUSPENDED, sides, index, frozenset(map(State, (2, 3, 10))))
        yield StateChange(State.DISK_UPDATE_IN_PROGRESS, sides, index, frozenset({State.DISK_UPDATE_CRITICAL}))
    for sides, index in ((primary, 0), (middle, 1)):
        yield StateChange(State.READY_FOR_REPLICATION, sides, index, frozenset(map(State, (2, 7, 8))))
        yield StateChange(State.WAITING_TO_START_RESYNCHRONIZATION, sides, index, frozenset({State.RESYNCHRONIZING}))


STATE_CHANGES = tuple(_rows())
"""RequestReplicationStateChangeEx, RequestedState, with what the vendor's client asks for in which state."""


def request_replication_state(vm: Vm, index: int, requested: int) -> Plan:
    """Prepare a planned failover (4), resume (3), suspend (7), and the other requests of the table."""
    need_idle(vm)
    relationship = vm.relationship(index)
    _need(relationship is not None, Code.INVALID_PARAMETER)
    assert relationship is not None
    if requested == State.REPLICATING and relationship.state == State.PREPARED_FOR_PLANNED_FAILOVER:
        return _call_off(vm, relationship)
    row = next(
        (row for row in STATE_CHANGES if row.to == requested and vm.mode in row.modes and row.relationship == index),
        None,
    )
    _need(row is not None and relationship.state in row.allowed)
    assert row is not None
    preparing = row.to == State.PREPARED_FOR_PLANNED_FAILOVER
    _need(not preparing or vm.is_off)

    def begin() -> None:
        relationship.state = row.to

    def finish() -> None:
        partner = vm.partner(index)
        if row.to == State.REPLICATING:
            _reconnect(vm, relationship, partner)
        elif preparing and partner:
            _send_last_changes(relationship, *partner)
        relationship.state = row.to

    return Plan("prepare" if preparing else "state_change", row.job_type, vm, begin, finish)


def _call_off(vm: Vm, relationship: Relationship) -> Plan:
    _need_choice(vm.host.world.assumptions.CALL_OFF_BY_STATE_CHANGE)

    def finish() -> None:
        relationship.state = State.REPLICATING
        _forget_planned_point(vm)

    def begin() -> None:
        relationship.state = State.REPLICATING

    return Plan("state_change", JobType.REPLICATE_STATE_CHANGE, vm, begin, finish)


def _send_last_changes(here: Relationship, replica: Vm, there: Relationship) -> None:
    now = replica.host.world.time
    new_point(replica, PointType.PLANNED_FAILOVER)
    for relationship in (here, there):
        relationship.last_time, relationship.last_type = now, FailoverType.PLANNED
    there.last_apply_time = now


def _reconnect(vm: Vm, relationship: Relationship, partner: tuple[Vm, Relationship] | None) -> None:
    """Both sides replicate again; a replica that runs by itself has no place for the changes."""
    if partner is None:
        relationship.health = Health.OK
        return
    there = partner[1]
    sending = vm.mode == Mode.PRIMARY or relationship.index == 1
    strict = vm.host.world.assumptions.RESUME_TO_FAILED_OVER_REPLICA == "job_fails"
    if sending and strict and there.state in (State.FAILED_OVER, State.COMMITTED, State.FAILOVER_IN_PROGRESS):
        raise JobFailed
    relationship.health = Health.OK
    if sending and there.state in (State.CRITICAL, State.RESYNCHRONIZING, State.REPLICATING):
        there.state, there.health = State.REPLICATING, Health.OK


# --- power, destroy ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PowerChange:
    """One row of what the power state may be asked to become."""

    to: Power
    allowed: frozenset[Power]
    job_type: JobType
    meanwhile: Power
    kind: str


_RUNNING = frozenset({Power.RUNNING, Power.RUNNING_CRITICAL})
_PAUSED = frozenset({Power.PAUSED, Power.PAUSED_CRITICAL})

POWER_CHANGES = (
    PowerChange(Power.RUNNING, POWERED_OFF, JobType.START_VM, Power.STARTING, "start"),
    PowerChange(Power.RUNNING, STATE_SAVED, JobType.RESTORE_VM, Power.STARTING, "start"),
    PowerChange(Power.RUNNING, _PAUSED, JobType.RESUME_VM, Power.RESUMING, "start"),
    PowerChange(Power.OFF, _RUNNING | _PAUSED | STATE_SAVED, JobType.POWER_OFF_VM, Power.SHUTTING_DOWN, "turn_off"),
    PowerChange(Power.SAVED, _RUNNING | _PAUSED, JobType.SAVE_VM, Power.SAVING, "save"),
    PowerChange(Power.PAUSED, _RUNNING, JobType.PAUSE_VM, Power.PAUSING, "pause"),
)
"""RequestStateChange method of Msvm_ComputerSystem; job types as on the Msvm_ConcreteJob page."""


def request_power(vm: Vm, requested: int) -> Plan:
    """Start (2), power cut (3), save (6) or pause (9)."""
    assumptions = vm.host.world.assumptions
    need_idle(vm)
    _need(vm.power != requested, assumptions.POWER_ALREADY_THERE)
    row = next((row for row in POWER_CHANGES if row.to == requested and vm.power in row.allowed), None)
    _need(row is not None)
    assert row is not None
    if requested == Power.OFF and vm.power in STATE_SAVED:
        _need_choice(assumptions.DROP_SAVED_STATE_BY_TURN_OFF)
    if requested == Power.RUNNING:
        _need(vm.mode != Mode.PRIMARY or vm.state != State.PREPARED_FOR_PLANNED_FAILOVER)
        if vm.mode in REPLICA_SIDE and vm.state not in (State.FAILED_OVER, State.COMMITTED):
            _need_choice(assumptions.START_REPLICA)

    def begin() -> None:
        vm.requested_power = requested
        vm.set_power(row.meanwhile)

    def finish() -> None:
        vm.requested_power = NOT_APPLICABLE
        vm.set_power(row.to)

    return Plan(row.kind, row.job_type, vm, begin, finish)


def destroy(vm: Vm) -> Plan:
    """DestroySystem: the VM must be off or saved (documented)."""
    assumptions = vm.host.world.assumptions
    need_idle(vm)
    _need(vm.power in POWERED_OFF | STATE_SAVED)
    if vm.mode not in (Mode.NONE, Mode.TEST_REPLICA):
        _need_choice(assumptions.DESTROY_REPLICATED_VM)
    job_type = assumptions.REMOVE_TEST_JOB_TYPE if vm.mode == Mode.TEST_REPLICA else JobType.DESTROY_VM
    return Plan("destroy", job_type, vm, finish=lambda: vm.host.remove(vm))
