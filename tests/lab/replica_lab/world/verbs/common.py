# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the verbs share: guards that let a VM pass or answer, and pieces of what a change does."""

from __future__ import annotations

import typing as t
from datetime import timedelta

from replica_lab.numbers import Code, Health, Mode, State
from replica_lab.world.jobs import Answered, JobFailed
from replica_lab.world.model import Point, PointType, Relationship, Vm

REPLICA_SIDE = frozenset({Mode.REPLICA, Mode.EXTENDED_REPLICA})
RUNS_BY_ITSELF = frozenset({State.FAILED_OVER, State.COMMITTED, State.FAILOVER_IN_PROGRESS})
"""The states of a replica that has no place for the changes of its primary."""


# --- guards: each lets the VM pass or answers ----------------------------------------------------------


def need(condition: bool, code: int = Code.INVALID_STATE) -> None:
    if not condition:
        raise Answered(code)


def need_choice(choice: t.Any) -> None:
    """An assumption whose value is either 'accept' or the code of the refusal."""
    need(choice == "accept", choice if isinstance(choice, int) else Code.INVALID_STATE)


def need_idle(vm: Vm, besides: t.Collection[int] = ()) -> None:
    """No job that changes this VM (but for jobs of the types ``besides``), no backup and no merge that holds it."""
    assumptions = vm.host.world.assumptions
    need(not vm.in_backup, assumptions.METHOD_WHILE_BACKUP)
    if vm.merging_until > vm.host.world.time:
        need_choice(assumptions.METHOD_WHILE_MERGING)
    need(vm.host.job_in_the_way(vm, besides) is None, assumptions.METHOD_WHILE_JOB_RUNS)


# --- what a change does ----------------------------------------------------------------------------------


def show(relationship: Relationship, assumption: object, target: int) -> None:
    """The state to see while a change runs."""
    if assumption == "target":
        relationship.state = target
    elif assumption != "before":
        relationship.state = t.cast(int, assumption)


def touch_configuration(vm: Vm) -> None:
    if vm.host.world.assumptions.FAILOVER_TOUCHES_CONFIGURATION_TIME:
        vm.configured = vm.host.world.time


def merge_points(vm: Vm) -> None:
    """The recovery points go, and a user's checkpoints stay. The disks take their time, while the VM may be used."""
    world = vm.host.world
    if vm.recovery_points():
        vm.merging_until = world.time + timedelta(seconds=world.assumptions.MERGE_AFTER_COMMIT_SECONDS)
    vm.points = [found for found in vm.points if found.type is PointType.CHECKPOINT]


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
    relationship.statistics.failures += 1
    since = world.time

    def give_up() -> None:
        current = vm.relationship(relationship.index) is relationship and vm.sends(relationship.index)
        if current and relationship.state == State.CRITICAL and vm.host.job_in_the_way(vm) is None:
            relationship.state = State.WAITING_TO_START_RESYNCHRONIZATION

    if state == State.CRITICAL and world.assumptions.RESYNC_NEEDED_AFTER:
        world.schedule.at(since + timedelta(seconds=world.assumptions.RESYNC_NEEDED_AFTER), give_up)


def forget_planned_point(primary: Vm, index: int = 0) -> None:
    """The replica's planned point, unless the replica runs on it."""
    partner = primary.partner(index)
    if partner and primary.host.world.assumptions.PLANNED_POINT_AFTER_CALLING_OFF == "removed":
        replica = partner[0]
        replica.points = [
            found
            for found in replica.points
            if found.type is not PointType.PLANNED_FAILOVER or found.id == replica.failed_over_point
        ]


def reconnect(vm: Vm, relationship: Relationship, partner: tuple[Vm, Relationship] | None) -> None:
    """Both sides replicate again; a replica that runs by itself has no place for the changes."""
    if partner is None:
        relationship.health = Health.OK
        return
    there = partner[1]
    sending = vm.mode == Mode.PRIMARY or relationship.index == 1
    strict = vm.host.world.assumptions.RESUME_TO_FAILED_OVER_REPLICA == "job_fails"
    if sending and strict and there.state in RUNS_BY_ITSELF:
        raise JobFailed
    relationship.health = Health.OK
    if sending:
        vm.send(relationship)
    if sending and there.state in (State.CRITICAL, State.RESYNCHRONIZING, State.REPLICATING):
        there.state, there.health = State.REPLICATING, Health.OK
