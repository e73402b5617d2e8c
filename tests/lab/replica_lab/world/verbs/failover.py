# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fail over, revert, commit, test: what the replica (and for a revert the primary) is asked for."""

from __future__ import annotations

import typing as t

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
from replica_lab.world.jobs import Plan
from replica_lab.world.model import Point, Relationship, Vm
from replica_lab.world.texts import DEFAULT_LOCALE, text
from replica_lab.world.verbs.common import (
    REPLICA_SIDE,
    RUNS_BY_ITSELF,
    forget_planned_point,
    lose_connection,
    merge_points,
    need,
    need_choice,
    need_idle,
    show,
    touch_configuration,
)

REVERTIBLE = {
    Mode.PRIMARY: State.PREPARED_FOR_PLANNED_FAILOVER,
    Mode.REPLICA: State.FAILED_OVER,
    Mode.EXTENDED_REPLICA: State.FAILED_OVER,
}
"""The one state of each mode that RevertFailover undoes."""


def revert_failover(vm: Vm) -> Plan:
    """Undo a failover on the replica, or call off a prepared one on the primary."""
    assumptions = vm.host.world.assumptions
    relationship = vm.relationships[0]
    need_idle(vm)
    need(vm.mode in REVERTIBLE)
    wanted = REVERTIBLE[Mode(vm.mode)]
    need(relationship.state != State.COMMITTED)
    if relationship.state == State.FAILOVER_IN_PROGRESS:
        need_choice(assumptions.REVERT_IN_STATE_12)
    else:
        need(relationship.state == wanted, assumptions.REVERT_NOTHING)
    extended = vm.relationship(1)
    if extended is not None and extended.state != State.DISABLED:
        need_choice(assumptions.REVERT_WITH_EXTENDED)
    if vm.test_copies():
        need_choice(assumptions.REVERT_WITH_TEST_COPY)
    power_off = _revert_and_power(vm)

    on_primary = vm.mode == Mode.PRIMARY
    after = State.REPLICATING if on_primary else assumptions.STATE_AFTER_REVERT_REPLICA

    def begin() -> None:
        if power_off:
            vm.set_power(Power.OFF)
        show(relationship, assumptions.STATE_WHILE_REVERTING, after)

    def finish() -> None:
        relationship.state = after
        if on_primary:
            forget_planned_point(vm)
            partner = vm.partner(0)
            if partner and partner[1].state in RUNS_BY_ITSELF:  # as after any failover, it cannot send
                lose_connection(vm, relationship, state=assumptions.PRIMARY_AFTER_UNPLANNED_FAILOVER)
            return
        vm.count_writes()
        vm.discarded_writes += vm.guest_writes
        vm.guest_writes = 0.0
        vm.failed_over, vm.failed_over_point = False, ""
        if assumptions.FAILED_OVER_TYPE_AFTER_REVERT == "none":
            relationship.failed_over_type = FailoverType.NONE
        touch_configuration(vm)

    job_type = assumptions.PRIMARY_REVERT_JOB_TYPE if on_primary else JobType.REVERT_FAILOVER
    return Plan("revert", job_type, vm, begin, finish)


def _revert_and_power(vm: Vm) -> bool:
    """Whether the revert cuts the power itself; answers where it does not accept the VM's power state."""
    assumptions = vm.host.world.assumptions
    if vm.power in POWERED_OFF:
        return False
    need(vm.power in POWERED_ON | STATE_SAVED)
    choice = assumptions.REVERT_RUNNING_VM if vm.power in POWERED_ON else assumptions.REVERT_SAVED_VM
    need(choice != "refuse_32774", Code.IN_USE)
    need(choice != "refuse_32775")
    return bool(choice == "accept_and_power_off")


def initiate_failover(vm: Vm, point_id: str | None = None) -> Plan:
    """Fail a replica over to a recovery point; None is the latest."""
    assumptions = vm.host.world.assumptions
    relationship = vm.relationships[0]
    need_idle(vm)
    need(vm.mode in REPLICA_SIDE)
    if relationship.state in (State.SUSPENDED, State.RESYNCHRONIZING):
        need_choice(assumptions.FAILOVER_FROM_SUSPENDED)
    else:
        need(relationship.state in (State.REPLICATING, State.DISK_UPDATE_IN_PROGRESS))
    need(relationship.last_time is not None)
    need(vm.is_off)
    point = _chosen_point(vm, point_id)
    kind = point.type.failover_type if point else FailoverType.REGULAR

    def finish() -> None:
        relationship.state = State.FAILED_OVER
        relationship.failed_over_type = kind
        vm.count_writes()
        vm.guest_writes = 0.0
        vm.failed_over, vm.failed_over_point = True, point.id if point else ""
        touch_configuration(vm)
        extended = vm.relationship(1)
        if extended and extended.state == State.REPLICATING and assumptions.EXTENDED_AFTER_FAILOVER != "kept":
            extended.state = assumptions.EXTENDED_AFTER_FAILOVER
        partner = vm.partner(0)
        if partner and partner[1].state in (State.REPLICATING, State.RESYNCHRONIZING):
            lose_connection(*partner, state=assumptions.PRIMARY_AFTER_UNPLANNED_FAILOVER)

    return Plan(
        "failover",
        JobType.INITIATE_FAILOVER,
        vm,
        lambda: show(relationship, assumptions.STATE_WHILE_FAILING_OVER, State.FAILED_OVER),
        finish,
    )


def _chosen_point(vm: Vm, point_id: str | None) -> Point | None:
    """The recovery point of that id, or the latest; None where the VM keeps none."""
    points = vm.recovery_points()
    if point_id is None:
        return points[-1] if points else None
    found = next((point for point in points if point.id == point_id), None)
    need(found is not None, Code.INVALID_PARAMETER)
    return found


def commit_failover(vm: Vm) -> Plan:
    """Keep the failover for good: the recovery points are merged."""
    world = vm.host.world
    relationship = vm.relationships[0]
    need_idle(vm)
    need(vm.mode in REPLICA_SIDE)
    need(relationship.state == State.FAILED_OVER)

    def finish() -> None:
        relationship.state, relationship.health = State.COMMITTED, Health.WARNING
        merge_points(vm)
        vm.failed_over_point = ""

    return Plan(
        "commit",
        JobType.COMMIT_FAILOVER,
        vm,
        lambda: show(relationship, world.assumptions.STATE_WHILE_COMMITTING, State.COMMITTED),
        finish,
    )


def make_test_copy(vm: Vm, point_id: str | None = None) -> Plan:
    """Make a test copy of a replica: a VM of its own, on no network."""
    world = vm.host.world
    need_idle(vm)
    need(vm.mode in REPLICA_SIDE)
    need(vm.state in (State.REPLICATING, State.SUSPENDED))
    need(vm.relationships[0].last_time is not None)
    _chosen_point(vm, point_id)
    if vm.test_copies():
        need_choice(world.assumptions.SECOND_TEST_COPY)
    copy = new_test_copy(vm)
    reference = vm.host.vm_ref(copy)

    def finish() -> None:
        vm.host.add(copy)
        vm.relationships[0].statistics.last_test = world.time

    return Plan(
        "test",
        JobType.INITIATE_TEST_REPLICA,
        vm,
        finish=finish,
        out={"ResultingSystem": reference},
        out_early=bool(world.assumptions.RESULTING_SYSTEM_WITH_JOB),
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
    for nic in vm.nics:
        switch = vm.host.switch(nic.test_switch) if nic.test_switch else None
        connected = switch is not None or world.assumptions.DISCONNECTED_NETWORK == "disabled"
        copy.add_nic(nic.name, switch=switch.id if switch else "", connected=connected)
    return copy
