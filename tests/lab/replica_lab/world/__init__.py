# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The world of the lab: Hyper-V Replica hosts, their virtual machines, and the rules by which they change.

Start here: a ``World`` holds the hosts and the time. ``host`` is the door through which clients look and
call; ``methods`` is the table of what can be called; ``verbs`` are the rules; ``jobs`` carry them out;
``instances`` is how everything looks as CIM; ``acts``, ``fates`` and ``happenings`` are how a story
interferes. Nothing in here does I/O or knows of XML messages.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import typing as t
import uuid
from datetime import datetime, timedelta

from replica_lab import schema
from replica_lab.assumptions import Assumptions
from replica_lab.clock import Clock
from replica_lab.numbers import Mode, Power, State, name_of
from replica_lab.provider import Ref, Value
from replica_lab.world.acts import VERBS, perform
from replica_lab.world.errors import WorldError
from replica_lab.world.fates import OUTCOMES, Fates, is_named
from replica_lab.world.happenings import MOMENTS, Happenings
from replica_lab.world.host import Host
from replica_lab.world.jobs import Job
from replica_lab.world.model import UNSET_TIME, Nic, Rights, User, Vm

__all__ = ["MOMENTS", "OUTCOMES", "VERBS", "Host", "Rights", "User", "Vm", "World", "WorldError"]

DURATIONS: dict[str, float] = {
    "revert": 4,
    "failover": 5,
    "commit": 6,
    "prepare": 4,
    "state_change": 2,
    "test": 4,
    "destroy": 2,
    "start": 2,
    "turn_off": 2,
    "save": 3,
    "pause": 2,
    "shut_down": 6,
    "create": 5,
    "modify": 2,
    "remove": 3,
    "reverse": 5,
    "mode_to_primary": 3,
    "start_replication": 2,
    "initial_replication": 8,
    "import": 5,
    "resynchronize": 8,
    "network": 2,
    "service": 1,
    "connection": 2,
    "statistics": 1,
    "other": 5,
}
"""How long a job of each kind takes, in world seconds."""


class Schedule:
    """What will happen by itself, in the order of time."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, t.Callable[[], object]]] = []
        self._order = itertools.count()

    def at(self, when: datetime, action: t.Callable[[], object]) -> None:
        heapq.heappush(self._heap, (when, next(self._order), action))

    def due(self, now: datetime) -> tuple[datetime, t.Callable[[], object]] | None:
        """Take the next thing that is due."""
        if not self._heap or self._heap[0][0] > now:
            return None
        when, _order, action = heapq.heappop(self._heap)
        return when, action


class World:
    """Hosts, and the time that passes for all of them.

    Whatever is asked, the world first catches up with its clock: changes take effect at their own moment and
    in their order, however late anybody looks. All public methods take ``lock``.
    """

    def __init__(
        self,
        name: str = "",
        clock: Clock | None = None,
        assumptions: Assumptions | None = None,
        durations: t.Mapping[str, float] | None = None,
    ) -> None:
        self.name = name
        self.description = ""
        self.lock = threading.RLock()
        self.clock = clock or Clock()
        self.assumptions = assumptions or Assumptions()
        self.durations: dict[str, float] = {**DURATIONS, **(durations or {})}
        self.hosts: dict[str, Host] = {}
        self.users: dict[str, User] = {}
        """Users of the whole world; a host's own are in ``Host.users``, which holds both."""
        self.calls: list[dict[str, t.Any]] = []
        """Every call that reached a method, oldest first."""
        self.happened: list[dict[str, t.Any]] = []
        """What the happenings did: the answer of their verb, or the error that kept them from it."""
        self.fates = Fates()
        self.happenings = Happenings()
        self.schedule = Schedule()
        self.time = self.clock.now()
        """The moment the world has caught up with."""
        self._random = random.Random(name)  # a name is a seed: the same scenario has the same ids

    # --- time

    def settle(self) -> None:
        """Catch up with the clock."""
        now = self.clock.now()
        while (event := self.schedule.due(now)) is not None:
            when, action = event
            self.time = max(self.time, when)
            action()
        self.time = max(self.time, now)

    def advance(self, seconds: float) -> None:
        """Let world time pass at once."""
        with self.lock:
            self.clock.advance(seconds)
            self.settle()

    def new_id(self) -> str:
        """A GUID as Hyper-V writes it: upper case, no braces."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4)).upper()

    # --- stories

    def act(self, host: str, vm: str | None, verb: str, **arguments: t.Any) -> dict[str, t.Any]:
        """Somebody else does something now, through the same state machine (``VERBS``; see ``acts.perform``).

        ``vm`` is a GUID or a name; None for a verb on the host. Returns ``return_value`` (as the method
        would answer) and ``job`` (its id, or None). Raises WorldError for words that make no sense.
        """
        with self.lock:
            self.settle()
            place = self.host(host)
            return perform(place, self.find_vm(place, vm) if vm is not None else None, verb, arguments)

    def fate(self, spec: t.Mapping[str, t.Any]) -> None:
        """Decide what becomes of matching calls: ``outcome`` (OUTCOMES) and ``host``, ``vm``, ``method``, ``times``."""
        with self.lock:
            self.fates.add(self, spec)

    def happening(self, spec: t.Mapping[str, t.Any]) -> None:
        """Let something happen at a moment: ``when`` (MOMENTS), ``host``, ``do`` (VERBS), ``vm``, and its arguments."""
        with self.lock:
            self.settle()
            self.happenings.add(self, spec)

    def clear_fates(self) -> None:
        """Forget all fates, and the happenings that still wait for a call, a read or a job."""
        with self.lock:
            self.fates.clear()
            self.happenings.clear()

    # --- finding

    def host(self, name: str) -> Host:
        for known, host in self.hosts.items():
            if known.casefold() == str(name).casefold():
                return host
        raise WorldError(f"unknown host {name!r}; there are {', '.join(self.hosts)}")

    def find_vm(self, host: Host, written: str) -> Vm:
        """A VM of a host by GUID or name. Raises WorldError when none or several fit."""
        found = [vm for vm in host.vms if is_named(vm, written)]
        if not found:
            raise WorldError(f"unknown VM {written!r} on {host.host_name}")
        if len(found) > 1:
            raise WorldError(f"VM {written!r} fits {', '.join(vm.id for vm in found)} on {host.host_name}: use the id")
        return found[0]

    def check_vm_exists(self, written: object, host: Host | None) -> None:
        """Raise WorldError unless a VM of that name or id is on the host (None: on any)."""
        if not isinstance(written, str):
            raise WorldError(f"a VM is named by a text, not {written!r}: quote it")
        places = [host] if host else list(self.hosts.values())
        if not any(is_named(vm, written) for place in places for vm in place.vms):
            raise WorldError(f"unknown VM {written!r} on {', '.join(place.host_name for place in places)}")

    @staticmethod
    def check_method_exists(name: str) -> None:
        if not any(name in shape.methods for shape in schema.classes().values()):
            raise WorldError(f"no class has a method {name!r}")

    # --- told by the hosts

    def read_systems(self, host: Host) -> None:
        self.happenings.read(host)

    def before_call(self, host: Host, method: str, vm: Vm | None) -> None:
        self.happenings.called("before_call", host, method, vm)

    def job_ended(self, job: Job) -> None:
        self.happenings.job_ended(job)

    def after_call(
        self,
        host: Host,
        account: User,
        target: Ref,
        method: str,
        vm: Vm | None,
        arguments: t.Mapping[str, Value],
        code: int,
        out: t.Mapping[str, Value],
    ) -> None:
        self.calls.append(
            {
                "at": self.time.isoformat(),
                "host": host.host_name,
                "user": account.name,
                "class": target.class_name,
                "method": method,
                "target": dict(target.keys),
                "vm_id": vm.id if vm else None,
                "vm_name": vm.name if vm else None,
                "arguments": {name: plain(value) for name, value in arguments.items()},
                "return_value": int(code),
                "out": {name: plain(value) for name, value in out.items()},
            }
        )
        self.happenings.called("after_call", host, method, vm)

    # --- the witness

    def snapshot(self) -> dict[str, t.Any]:
        """Everything as it truly is now, JSON-able: what no client may be able to fake."""
        with self.lock:
            self.settle()
            return {
                "name": self.name,
                "time": self.time.isoformat(),
                "rate": self.clock.rate,
                "assumptions": self.assumptions.switched(),
                "happened": list(self.happened),
                "hosts": {name: _host_snapshot(host) for name, host in self.hosts.items()},
            }


def plain(value: Value) -> t.Any:
    """A CIM value as JSON can hold it."""
    if isinstance(value, Ref):
        return {"class": value.class_name, "keys": dict(value.keys)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def _when(time: datetime | None) -> str | None:
    return None if time is None or time == UNSET_TIME else time.isoformat()


def _host_snapshot(host: Host) -> dict[str, t.Any]:
    copies: dict[str, list[dict[str, str]]] = {}
    for vm in host.vms:
        if vm.replica is not None:
            copies.setdefault(vm.replica.id, []).append({"id": vm.id, "name": vm.name})
    return {
        "locale": host.locale,
        "version": host.version_name,
        "vmms_running": not host.stopped,
        "replica_server": {name: plain(value) for name, value in vars(host.server).items()},
        "authorizations": [vars(entry).copy() for entry in host.authorizations],
        "switches": [switch.name for switch in host.switches],
        "vms": [_vm_snapshot(vm, copies.get(vm.id, [])) for vm in host.vms],
        "jobs": [_job_snapshot(job) for job in host.history],
    }


def _vm_snapshot(vm: Vm, copies: list[dict[str, str]]) -> dict[str, t.Any]:
    vm.count_writes()
    relationship = vm.relationships[0]
    return {
        "id": vm.id,
        "name": vm.name,
        "visible": vm.visible,
        "mode": int(vm.mode),
        "mode_name": name_of(Mode, vm.mode),
        "state": int(vm.state),
        "state_name": name_of(State, vm.state),
        "health": int(relationship.health),
        "enabled_state": int(vm.power),
        "power_name": name_of(Power, vm.power),
        "failed_over_type": int(relationship.failed_over_type),
        "failed_over_point": vm.failed_over_point or None,
        "guest_writes": int(vm.guest_writes),
        "unsent_writes": int(vm.unsent_writes),
        "discarded_writes": int(vm.discarded_writes),
        "in_backup": vm.in_backup,
        "relationships": [
            {
                "index": found.index,
                "state": int(found.state),
                "health": int(found.health),
                "failed_over_type": int(found.failed_over_type),
                "last_replication_time": _when(found.last_time),
                "peer": found.peer or None,
                "settings": {name: plain(value) for name, value in found.settings.items()},
            }
            for found in vm.relationships
        ],
        "recovery_points": [
            {"id": point.id, "type": point.type.name.lower(), "created": point.created.isoformat()}
            for point in vm.points
        ],
        "test_copies": copies,
        "test_copy_of": vm.replica.id if vm.replica else None,
        "nics": [_nic_snapshot(vm, nic) for nic in vm.nics],
    }


def _nic_snapshot(vm: Vm, nic: Nic) -> dict[str, t.Any]:
    switch = vm.host.switch(nic.switch) if nic.switch else None
    return {
        "id": nic.id,
        "name": nic.name,
        "switch": switch.name if switch else None,
        "failover": {name: plain(value) for name, value in nic.failover.items()},
    }


def _job_snapshot(job: Job) -> dict[str, t.Any]:
    return {
        "id": job.id,
        "type": int(job.type),
        "state": int(job.state),
        "running": job.running,
        "percent": job.percent,
        "vm_id": job.vm.id if job.vm else None,
        "vm_name": job.vm.name if job.vm else None,
        "owner": job.owner,
        "started": job.started.isoformat(),
        "ended": _when(job.ended),
        "error_code": job.error_code,
        "did": job.did,
        "known": job in job.host.jobs,
    }
