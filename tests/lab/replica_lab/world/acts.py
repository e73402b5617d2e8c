# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What other people do: the same verbs through the same state machine, and things that happen to a host."""

from __future__ import annotations

import inspect
import typing as t
from datetime import timedelta

from replica_lab.numbers import Code, FailoverType, Health, InitialReplicationType, JobState, Mode, Power, State, number
from replica_lab.world import embedded
from replica_lab.world.errors import WorldError, one_of
from replica_lab.world.jobs import Answered, Course, Job, Plan
from replica_lab.world.model import Authorization, PointType, Vm
from replica_lab.world.verbs import failover, power, relationship, replication, states
from replica_lab.world.verbs.common import REPLICA_SIDE, lose_connection, new_point

if t.TYPE_CHECKING:
    from replica_lab.world.host import Host

OTHER_OPERATOR = "LAB\\other-operator"


# --- verbs that make a job --------------------------------------------------------------------------------


def _initiate_failover(vm: Vm, point: int | str | None = None) -> Plan:
    """``point``: an id, or a position among the recovery points (0 is the oldest, -1 the latest)."""
    if isinstance(point, int):
        try:
            point = vm.recovery_points()[point].id
        except IndexError:
            raise WorldError(f"{vm.name} has no recovery point {point}") from None
    return failover.initiate_failover(vm, point)


def _request(state: State) -> t.Callable[..., Plan]:
    return lambda vm, relationship=0: states.request_replication_state(vm, relationship, state)


def _enable_replication(vm: Vm, to: str, **settings: t.Any) -> Plan:
    """``to``: the recovery server; the rest are properties of Msvm_ReplicationSettingData."""
    return relationship.create(vm, _settings_text({"RecoveryConnectionPoint": to, **settings}))


def _reverse(vm: Vm, **settings: t.Any) -> Plan:
    to = {"RecoveryConnectionPoint": vm.relationships[0].peer}
    return relationship.reverse(vm, _settings_text({**to, **settings}))


def _settings_text(settings: t.Mapping[str, t.Any]) -> str:
    return embedded.write(relationship.SETTINGS, settings)


def _start_replication(vm: Vm, type: str = "network", location: str | None = None) -> Plan:
    kind = InitialReplicationType[
        one_of("initial replication type", type.upper(), InitialReplicationType.__members__)
    ]  # fmt: skip
    return replication.start_replication(vm, kind, location)


PLANNED: dict[str, t.Callable[..., Plan]] = {
    "revert": failover.revert_failover,
    "initiate_failover": _initiate_failover,
    "commit": failover.commit_failover,
    "test_failover": failover.make_test_copy,
    "prepare": _request(State.PREPARED_FOR_PLANNED_FAILOVER),
    "suspend": _request(State.SUSPENDED),
    "resume": _request(State.REPLICATING),
    "as_replica": _request(State.WAITING_TO_COMPLETE_INITIAL_REPLICATION),
    "cancel_initial_replication": _request(State.READY_FOR_REPLICATION),
    "cancel_resynchronization": _request(State.WAITING_TO_START_RESYNCHRONIZATION),
    "enable_replication": _enable_replication,
    "modify_replication": lambda vm, **settings: relationship.modify(vm, _settings_text(settings)),
    "remove_replication": lambda vm, index=0: relationship.remove(vm, index),
    "start_replication": _start_replication,
    "import_replica": lambda vm, location="D:\\Carried": replication.import_replica(vm, location),
    "resynchronize": replication.resynchronize,
    "reverse": _reverse,
    "continue_to_third_site": lambda vm: relationship.change_to_primary(vm, 1),
    "start": lambda vm: power.request_power(vm, Power.RUNNING),
    "turn_off": lambda vm: power.request_power(vm, Power.OFF),
    "shut_down": power.shut_down,
    "save": lambda vm: power.request_power(vm, Power.SAVED),
    "pause": lambda vm: power.request_power(vm, Power.PAUSED),
    "destroy": power.destroy,
}


# --- things that happen to a VM ---------------------------------------------------------------------------


def _state_change(
    vm: Vm,
    state: int | str | None = None,
    health: int | str | None = None,
    mode: int | str | None = None,
    power: int | str | None = None,
    failed_over_type: int | str | None = None,
    relationship: int = 0,
) -> None:
    """Write numbers into the VM past the state machine: for states that nobody can explain."""
    found = vm.relationship(relationship)
    if found is None:
        raise WorldError(f"{vm.name} has no relationship {relationship}")
    if mode is not None:
        vm.mode = number(Mode, mode)
    if state is not None:
        found.state = number(State, state)
    if health is not None:
        found.health = number(Health, health)
    if failed_over_type is not None:
        found.failed_over_type = number(FailoverType, failed_over_type)
    if power is not None:
        vm.set_power(number(Power, power))


def _rename(vm: Vm, name: str) -> None:
    vm.name = name


def _appear(vm: Vm) -> None:
    vm.visible = True


def _disappear(vm: Vm) -> None:
    vm.visible = False


def _move_away(vm: Vm, to: str | None = None) -> None:
    """Live migration: the VM leaves this host, for another one of the world or for one nobody sees."""
    target = vm.host.world.host(to) if to is not None else None
    if target is not None and target.vm(vm.id) is not None:
        raise WorldError(f"{vm.name} cannot move to {to}: the other side of its replication is there")
    running = vm.host.job_in_the_way(vm)
    if running is not None:
        running.cancel(JobState.EXCEPTION, Code.SYSTEM_NOT_AVAILABLE)
    vm.host.remove(vm)
    if target is not None:
        target.add(vm)


def _break_link(vm: Vm, relationship: int = 0) -> None:
    """The network between the two sides is gone: the sender turns critical, the receiver only unhealthy."""
    for end, found in _ends(vm, relationship):
        if end.sends(found.index) and found.state in (State.REPLICATING, State.RESYNCHRONIZING):
            lose_connection(end, found, State.CRITICAL)
        found.health = Health.CRITICAL
        found.statistics.network_failures += 1


def _mend_link(vm: Vm, relationship: int = 0) -> None:
    for _end, found in _ends(vm, relationship):
        if found.state == State.CRITICAL:
            found.state = State.REPLICATING
        found.health = Health.OK


def _ends(vm: Vm, index: int) -> list[tuple[Vm, t.Any]]:
    own = vm.relationship(index)
    if own is None:
        raise WorldError(f"{vm.name} has no relationship {index}")
    partner = vm.partner(index)
    return [(vm, own), *([partner] if partner else [])]


_FULL_STORAGE = {
    Power.RUNNING: Power.PAUSED_CRITICAL,
    Power.PAUSED: Power.PAUSED_CRITICAL,
    Power.OFF: Power.OFF_CRITICAL,
    Power.SAVED: Power.SAVED_CRITICAL,
}
_FREE_STORAGE = {
    Power.PAUSED_CRITICAL: Power.RUNNING,
    Power.OFF_CRITICAL: Power.OFF,
    Power.SAVED_CRITICAL: Power.SAVED,
}


def _fill_storage(vm: Vm) -> None:
    vm.set_power(_FULL_STORAGE.get(t.cast(Power, vm.power), vm.power))


def _free_storage(vm: Vm) -> None:
    vm.set_power(_FREE_STORAGE.get(t.cast(Power, vm.power), vm.power))


def _begin_backup(vm: Vm) -> None:
    vm.in_backup = True


def _end_backup(vm: Vm) -> None:
    vm.in_backup = False


def _expire_points(vm: Vm, keep: int = 0) -> None:
    """The oldest recovery points go; the one that a failover runs on stays."""
    points = vm.recovery_points()
    gone = {found.id for found in points[: max(len(points) - keep, 0)]} - {vm.failed_over_point}
    vm.points = [found for found in vm.points if found.id not in gone]


def _replicate(vm: Vm, type: str = "standard") -> None:
    """A delta arrives at the replica: a new recovery point, and new times on both sides."""
    kind = PointType[one_of("point type", type.upper(), PointType.__members__)]
    if vm.mode not in REPLICA_SIDE or vm.state != State.REPLICATING:
        raise WorldError(f"{vm.name} receives nothing: mode {vm.mode}, state {vm.state}")
    new_point(vm, kind)
    now = vm.host.world.time
    partner = vm.partner(0)
    if partner:
        partner[0].send(partner[1])
    for _end, found in _ends(vm, 0):
        found.last_time, found.last_type = now, kind.failover_type
        if kind is PointType.APPLICATION_CONSISTENT:
            found.last_consistent_time = now
    vm.relationships[0].last_apply_time = now


def _checkpoint(vm: Vm) -> None:
    """A user's checkpoint: a snapshot, but no recovery point."""
    new_point(vm, PointType.CHECKPOINT)


def _orphan_test_copy(vm: Vm) -> None:
    """A test copy loses its replica: on a cluster, when the two were on different nodes."""
    if vm.mode != Mode.TEST_REPLICA:
        raise WorldError(f"{vm.name} is no test copy")
    vm.replica = None


def _running_job(vm: Vm) -> Job:
    job = next((job for job in vm.host.jobs if job.vm is vm and job.running), None)
    if job is None:
        raise WorldError(f"no job of {vm.name} runs")
    return job


def _release_job(vm: Vm) -> None:
    """Let a hanging job come to its end."""
    _running_job(vm).finish()


def _cancel_job(vm: Vm) -> None:
    _running_job(vm).cancel(vm.host.world.assumptions.CANCELLED_JOB_ENDS_IN)


ON_VM: dict[str, t.Callable[..., None]] = {
    "state_change": _state_change,
    "rename": _rename,
    "appear": _appear,
    "disappear": _disappear,
    "move_away": _move_away,
    "break_link": _break_link,
    "mend_link": _mend_link,
    "fill_storage": _fill_storage,
    "free_storage": _free_storage,
    "begin_backup": _begin_backup,
    "end_backup": _end_backup,
    "expire_points": _expire_points,
    "replicate": _replicate,
    "checkpoint": _checkpoint,
    "orphan_test_copy": _orphan_test_copy,
    "release_job": _release_job,
    "cancel_job": _cancel_job,
}


# --- things that happen to a host -------------------------------------------------------------------------


def _stop_vmms(host: Host) -> None:
    assumptions = host.world.assumptions
    if assumptions.VMMS_RESTART_LOSES_JOBS:
        lost, host.jobs = list(host.jobs), []
        for job in lost:
            job.lose(assumptions.VMMS_RESTART_RUNNING_CHANGES)
    host.stopped = True


def _start_vmms(host: Host) -> None:
    host.stopped = False


def _restart_vmms(host: Host, seconds: float = 0) -> None:
    """``seconds``: how long the service is away."""
    _stop_vmms(host)
    if seconds:
        host.world.schedule.at(host.world.time + timedelta(seconds=seconds), lambda: _start_vmms(host))
    else:
        _start_vmms(host)


def _serve_replication(host: Host, enabled: bool = True, **fields: t.Any) -> None:
    """The replica server on or off; the rest are fields of ``ReplicaServer``."""
    for name, value in {"enabled": enabled, **fields}.items():
        if not hasattr(host.server, name):
            raise WorldError(f"serve_replication: unknown field {name!r}")
        setattr(host.server, name, value)


def _authorize(host: Host, primary: str, trust_group: str = "lab", storage: str = "C:\\Replica") -> None:
    host.authorizations.append(Authorization(primary, trust_group, storage))


def _deauthorize(host: Host, primary: str | None = None) -> None:
    """Take replication from this host no more; without a name, from nobody."""
    kept = [found for found in host.authorizations if primary and found.primary.casefold() != primary.casefold()]
    host.authorizations = kept


ON_HOST: dict[str, t.Callable[..., None]] = {
    "serve_replication": _serve_replication,
    "authorize": _authorize,
    "deauthorize": _deauthorize,
    "stop_vmms": _stop_vmms,
    "start_vmms": _start_vmms,
    "restart_vmms": _restart_vmms,
}

VERBS: tuple[str, ...] = (*PLANNED, *ON_VM, *ON_HOST)


# --- the way in -------------------------------------------------------------------------------------------


def perform(host: Host, vm: Vm | None, verb: str, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Do it now; raises WorldError where the words are wrong.

    A verb of the state machine answers like the method: ``return_value`` and ``job`` (its id or None). Those
    also take ``owner``, ``seconds`` (0: done at once), ``percent`` (how far the job is already) and
    ``hangs_at`` (a percentage).
    """
    if one_of("verb", verb, VERBS) in ON_HOST:
        _call(ON_HOST[verb], verb, host, arguments)
        return {"return_value": 0, "job": None}
    if vm is None:
        raise WorldError(f"{verb} needs a VM")
    if verb in ON_VM:
        _call(ON_VM[verb], verb, vm, arguments)
        return {"return_value": 0, "job": None}
    rest = dict(arguments)
    owner = rest.pop("owner", OTHER_OPERATOR)
    seconds = rest.pop("seconds", None)
    course = Course(
        seconds=seconds,
        sync=seconds == 0,
        percent_done=rest.pop("percent", 0),
        hangs_at=rest.pop("hangs_at", None),
    )
    try:
        plan = _call(PLANNED[verb], verb, vm, rest)
    except Answered as answered:
        return {"return_value": int(answered.code), "job": None}
    code, out = host.carry_out(plan, course, owner)
    job = t.cast(t.Any, out.get("Job"))
    return {"return_value": int(code), "job": dict(job.keys)["InstanceID"] if job else None}


def _call(function: t.Callable[..., t.Any], verb: str, subject: object, arguments: t.Mapping[str, t.Any]) -> t.Any:
    try:
        bound = inspect.signature(function).bind(subject, **arguments)
    except TypeError as error:
        raise WorldError(f"{verb}: {error}") from None
    try:
        return function(*bound.args, **bound.kwargs)
    except WorldError:
        raise
    except ValueError as error:
        raise WorldError(f"{verb}: {error}") from None
