# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RequestReplicationStateChange(Ex): what a replication state may be asked to become."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from replica_lab.numbers import Code, FailoverType, Health, JobType, Mode, State
from replica_lab.world.jobs import Plan
from replica_lab.world.model import PointType, Relationship, Vm
from replica_lab.world.verbs.common import (
    REPLICA_SIDE,
    forget_planned_point,
    need,
    need_choice,
    need_idle,
    new_point,
    reconnect,
)
from replica_lab.world.verbs.replication import RESYNC_JOBS, TRANSFERS, reach, send_initial_replica


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
    """Prepare a planned failover (4), resume (3), suspend (7), be a replica (2), and the rest of the table."""
    assumptions = vm.host.world.assumptions
    relationship = vm.relationship(index)
    need(relationship is not None, Code.INVALID_PARAMETER)
    assert relationship is not None
    resync = RESYNC_JOBS[index]
    # A resynchronization, which can take hours, gives way to the requests that end it.
    need_idle(vm, {resync} if relationship.state == State.RESYNCHRONIZING else ())
    if requested == State.WAITING_TO_COMPLETE_INITIAL_REPLICATION and index == 0:
        return as_replica(vm)
    if requested == State.REPLICATING and relationship.state == State.PREPARED_FOR_PLANNED_FAILOVER:
        return _call_off(vm, relationship)
    row = next(
        (row for row in STATE_CHANGES if row.to == requested and vm.mode in row.modes and row.relationship == index),
        None,
    )
    need(row is not None and relationship.state in row.allowed)
    assert row is not None
    preparing = row.to == State.PREPARED_FOR_PLANNED_FAILOVER
    need(not preparing or vm.is_off)
    resuming = row.to == State.REPLICATING
    if resuming and relationship.state == State.WAITING_TO_START_RESYNCHRONIZATION:
        need_choice(assumptions.RESUME_WHERE_RESYNC_IS_NEEDED)
    unfinished = resuming and not relationship.ever_sent and assumptions.RESUME_UNFINISHED_INITIAL_REPLICATION
    shown = State.WAITING_TO_COMPLETE_INITIAL_REPLICATION if unfinished else row.to

    def begin() -> None:
        relationship.state = shown

    def finish() -> None:
        vm.host.stop_jobs(vm, {resync})
        if row.to == State.READY_FOR_REPLICATION:
            vm.host.stop_jobs(vm, TRANSFERS)
        relationship.state = shown
        partner = reach(vm, relationship) if resuming or preparing else vm.partner(index)
        if unfinished:
            if vm.sends(index):
                send_initial_replica(vm, relationship)
        elif resuming:
            reconnect(vm, relationship, partner)
        elif preparing:
            vm.send(relationship)
            if partner:
                _send_last_changes(relationship, *partner)
        elif row.to == State.WAITING_TO_START_RESYNCHRONIZATION:
            relationship.health = Health.CRITICAL
            if partner and partner[1].state == State.RESYNCHRONIZING:
                partner[1].state = State.REPLICATING

    return Plan("prepare" if preparing else "state_change", row.job_type, vm, begin, finish)


def as_replica(vm: Vm) -> Plan:
    """Be the replica from now on: an old primary after an unplanned failover, or a copy of a VM that will be one."""
    assumptions = vm.host.world.assumptions
    relationship = vm.relationships[0]
    need(vm.mode in (Mode.NONE, Mode.PRIMARY))
    allowed = _STOPPED if assumptions.AS_REPLICA_FROM == "broken" else _STOPPED | _NOT_IN_CHANGE
    need(vm.mode == Mode.NONE or relationship.state in allowed)
    if not vm.is_off:
        need_choice(assumptions.AS_REPLICA_RUNNING_VM)

    def finish() -> None:
        vm.host.stop_jobs(vm, TRANSFERS)
        vm.count_writes()
        vm.mode = Mode.REPLICA
        relationship.state = State.WAITING_TO_COMPLETE_INITIAL_REPLICATION
        relationship.health, relationship.last_time = Health.OK, None

    return Plan("state_change", JobType.REPLICATE_STATE_CHANGE, vm, finish=finish)


_STOPPED = frozenset(map(State, (7, 8, 9, 11)))
_NOT_IN_CHANGE = frozenset(map(State, (1, 3)))


def _call_off(vm: Vm, relationship: Relationship) -> Plan:
    need_choice(vm.host.world.assumptions.CALL_OFF_BY_STATE_CHANGE)

    def finish() -> None:
        relationship.state = State.REPLICATING
        forget_planned_point(vm, relationship.index)

    def begin() -> None:
        relationship.state = State.REPLICATING

    return Plan("state_change", JobType.REPLICATE_STATE_CHANGE, vm, begin, finish)


def _send_last_changes(here: Relationship, replica: Vm, there: Relationship) -> None:
    now = replica.host.world.time
    new_point(replica, PointType.PLANNED_FAILOVER)
    for relationship in (here, there):
        relationship.last_time, relationship.last_type = now, FailoverType.PLANNED
    there.last_apply_time = now
