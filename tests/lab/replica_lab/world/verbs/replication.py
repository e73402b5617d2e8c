# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Getting data across: initial replication, its import, resynchronization."""

from __future__ import annotations

import typing as t
from datetime import datetime

from replica_lab.numbers import Code, FailoverType, Health, InitialReplicationType, JobType, Mode, State
from replica_lab.provider import Value
from replica_lab.world import connection
from replica_lab.world.jobs import Answered, Course, JobFailed, Plan
from replica_lab.world.model import UNSET_TIME, Authorization, PointType, Relationship, Vm
from replica_lab.world.verbs.common import REPLICA_SIDE, lose_connection, need, need_idle, new_point

if t.TYPE_CHECKING:
    from replica_lab.world.host import Host

SERVICE_OWNER = r"NT AUTHORITY\SYSTEM"
"""Who owns the jobs that the host starts by itself."""

_BEFORE_RESYNC = frozenset(map(State, (7, 8, 9, 11, 16)))
_RECEIVES_RESYNC = frozenset(map(State, (2, 3, 7, 8, 10, 11)))

TRANSFERS = frozenset(
    {JobType.SEND_INITIAL_REPLICA, JobType.RESYNCHRONIZE_INITIAL_REPLICA, JobType.EXPORT_INITIAL_REPLICA}
)
RESYNC_JOBS = {0: JobType.RESYNCHRONIZE, 1: JobType.RESYNCHRONIZE_EXTENDED}
"""The job of a resynchronization, by relationship."""

Partner = t.Union[tuple[Vm, Relationship], None]


# --- what both ends see -----------------------------------------------------------------------------------


def reach(vm: Vm, relationship: Relationship) -> Partner:
    """The other end; None where it lies outside of the world. Raises JobFailed where it should be there and is not."""
    partner = vm.partner(relationship.index)
    there = connection.find(vm.host, relationship.peer)
    gone = partner is None and there is not None
    if gone or (partner is not None and (partner[0].host.stopped or not takes_from(partner[0], vm.host))):
        raise JobFailed(vm.host.world.assumptions.CONNECTION_FAILURE_CODE)
    return partner


def takes_from(vm: Vm, primary: Host) -> bool:
    """Whether a receiving VM's own authorization entry, if it has one, lets this host send."""
    bound = vm.authorization is not None and vm.host.world.assumptions.AUTHORIZATION_OF_A_VM == "restricts"
    return not bound or t.cast(Authorization, vm.authorization).allows(primary)


def replicating(vm: Vm, relationship: Relationship, partner: Partner, kind: FailoverType) -> None:
    """Everything has arrived: both ends replicate, and what the receiving end had of its own is gone."""
    now = vm.host.world.time
    vm.send(relationship)
    for end in (relationship, *([partner[1]] if partner else [])):
        end.state, end.health = State.REPLICATING, Health.OK
        end.last_time, end.last_type = now, kind
        end.exported = ""
    if partner:
        partner[1].last_apply_time = now
        partner[0].discard_unsent_writes()
        new_point(partner[0], PointType.STANDARD)


def start_time(vm: Vm, argument: Value) -> datetime | None:
    """When something is to begin, in world time; None is now. Raises Answered for an interval."""
    need(argument is None or isinstance(argument, datetime), Code.INVALID_PARAMETER)
    if argument is None or argument == UNSET_TIME:
        return None
    when = t.cast(datetime, argument) - vm.host.skew
    if when > vm.host.world.time:
        return when
    need(vm.host.world.assumptions.START_TIME_IN_THE_PAST == "now", Code.INVALID_PARAMETER)
    return None


def _at(vm: Vm, when: datetime, begin: t.Callable[[], Plan]) -> None:
    """Let the host begin by itself then, if that still makes sense."""

    def attempt() -> None:
        if vm.host.vm(vm.id) is vm and not vm.host.stopped:
            try:
                vm.host.start(begin(), Course(), SERVICE_OWNER)
            except Answered:
                return

    vm.host.world.schedule.at(when, attempt)


# --- StartReplication, ImportInitialReplica -------------------------------------------------------------------

_TRANSFER_OF = {
    InitialReplicationType.NETWORK: JobType.SEND_INITIAL_REPLICA,
    InitialReplicationType.EXPORT: JobType.EXPORT_INITIAL_REPLICA,
    InitialReplicationType.SEEDED: JobType.RESYNCHRONIZE_INITIAL_REPLICA,
}


def sending_index(vm: Vm) -> int:
    """The relationship on which a VM sends: a primary's own, a replica's extended one. Raises Answered."""
    need(vm.mode == Mode.PRIMARY or (vm.mode == Mode.REPLICA and vm.relationship(1) is not None))
    return 0 if vm.mode == Mode.PRIMARY else 1


def start_replication(vm: Vm, kind: int | None, location: str | None = None, start: Value = None) -> Plan:
    """Begin the initial replication: over the network, into a folder, or onto a restored copy."""
    assumptions = vm.host.world.assumptions
    need(kind in set(InitialReplicationType), Code.INVALID_PARAMETER)
    kind = InitialReplicationType(t.cast(int, kind))
    exports = kind is InitialReplicationType.EXPORT
    need(bool(location) or not exports, Code.INVALID_PARAMETER)
    when = None if exports else start_time(vm, start)  # ignored for an export
    need_idle(vm)
    relationship = t.cast(Relationship, vm.relationship(sending_index(vm)))
    need(relationship.state == State.READY_FOR_REPLICATION)
    if when is not None:
        scheduled = t.cast(int, assumptions.STATE_UNTIL_SCHEDULED_START)

        def schedule() -> None:
            relationship.state = scheduled
            _at(vm, when, lambda: _begun_as_planned(vm, relationship, kind, scheduled))

        return Plan("start_replication", JobType.START_REPLICATION, vm, finish=schedule)
    return _start(vm, relationship, kind, location or "")


def _begun_as_planned(vm: Vm, relationship: Relationship, kind: InitialReplicationType, scheduled: int) -> Plan:
    need_idle(vm)
    need(vm.relationship(relationship.index) is relationship and relationship.state == scheduled)
    return _start(vm, relationship, kind)


def _start(vm: Vm, relationship: Relationship, kind: InitialReplicationType, location: str = "") -> Plan:
    def begin() -> None:
        relationship.state = State.WAITING_TO_COMPLETE_INITIAL_REPLICATION

    def finish() -> None:
        reach(vm, relationship)
        relationship.state = State.WAITING_TO_COMPLETE_INITIAL_REPLICATION
        send_initial_replica(vm, relationship, kind, location)

    return Plan("start_replication", JobType.START_REPLICATION, vm, begin, finish)


def send_initial_replica(
    vm: Vm,
    relationship: Relationship,
    kind: InitialReplicationType = InitialReplicationType.NETWORK,
    location: str = "",
) -> None:
    """The long part: a job of the host's own, in nobody's way."""

    def arrived() -> None:
        waiting = State.WAITING_TO_COMPLETE_INITIAL_REPLICATION
        current = vm.relationship(relationship.index) is relationship and vm.sends(relationship.index)
        if not current or relationship.state != waiting:
            raise JobFailed
        if kind is InitialReplicationType.EXPORT:
            relationship.exported = location
            return
        try:
            partner = reach(vm, relationship)
            if partner and partner[1].state != waiting:
                raise JobFailed
        except JobFailed:
            lose_connection(vm, relationship, State.CRITICAL)
            raise
        replicating(vm, relationship, partner, FailoverType.REGULAR)

    plan = Plan("initial_replication", _TRANSFER_OF[kind], vm, finish=arrived)
    vm.host.start(plan, Course(shows=False), SERVICE_OWNER)


def import_replica(vm: Vm, location: str | None) -> Plan:
    """The other half of an export: the folder has been carried over."""
    need(bool(location), Code.INVALID_PARAMETER)
    need_idle(vm)
    relationship = vm.relationships[0]
    need(vm.mode in REPLICA_SIDE and relationship.state == State.WAITING_TO_COMPLETE_INITIAL_REPLICATION)

    def finish() -> None:
        partner = vm.partner(0)
        if partner and not _is_there(vm, partner[1].exported, t.cast(str, location)):
            raise JobFailed(Code.FILE_NOT_FOUND)
        if partner:
            replicating(*partner, (vm, relationship), FailoverType.REGULAR)
            return
        relationship.state, relationship.health = State.REPLICATING, Health.OK
        relationship.last_time = relationship.last_apply_time = vm.host.world.time
        vm.discard_unsent_writes()
        new_point(vm, PointType.STANDARD)

    return Plan("import", JobType.IMPORT_REPLICA, vm, finish=finish)


def _is_there(vm: Vm, exported: str, location: str) -> bool:
    """Whether the exported folder is found at a location of the replica's host."""
    same = exported.rstrip("\\").casefold() == location.rstrip("\\").casefold()
    return bool(exported) and (same or vm.host.world.assumptions.IMPORT_LOCATION == "any")


# --- Resynchronize --------------------------------------------------------------------------------------------


def resynchronize(vm: Vm, start: Value = None) -> Plan:
    """Compare both ends and send what differs."""
    when = start_time(vm, start)
    need_idle(vm)
    index = sending_index(vm)
    relationship = t.cast(Relationship, vm.relationship(index))
    need(relationship.state in _BEFORE_RESYNC)
    if when is None:
        return _resynchronize(vm, relationship)

    def begin_later() -> Plan:
        need_idle(vm)
        need(vm.relationship(index) is relationship and vm.sends(index) and relationship.state in _BEFORE_RESYNC)
        return _resynchronize(vm, relationship)

    return Plan("state_change", RESYNC_JOBS[index], vm, finish=lambda: _at(vm, when, begin_later))


def _resynchronize(vm: Vm, relationship: Relationship) -> Plan:
    before: list[tuple[Relationship, int]] = []

    def begin() -> None:
        relationship.state = State.RESYNCHRONIZING
        partner = vm.partner(relationship.index)
        if partner and partner[1].state in _RECEIVES_RESYNC:
            before.append((partner[1], partner[1].state))
            partner[1].state = State.RESYNCHRONIZING

    def undo() -> None:
        for there, state in before:
            if there.state == State.RESYNCHRONIZING:
                there.state = state

    def finish() -> None:
        partner = reach(vm, relationship)
        if relationship.state != State.RESYNCHRONIZING or (partner and partner[1].state not in _RECEIVES_RESYNC):
            raise JobFailed
        replicating(vm, relationship, partner, FailoverType.REGULAR)

    return Plan("resynchronize", RESYNC_JOBS[relationship.index], vm, begin, finish, undo=undo)
