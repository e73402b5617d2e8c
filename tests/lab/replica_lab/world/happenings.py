# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Happenings: things that other people or the host do at a chosen moment of a story."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from datetime import timedelta

from replica_lab.world.acts import VERBS, perform
from replica_lab.world.errors import WorldError, one_of, refuse_unknown
from replica_lab.world.fates import is_named
from replica_lab.world.jobs import Job
from replica_lab.world.model import Vm

if t.TYPE_CHECKING:
    from replica_lab.world import World
    from replica_lab.world.host import Host

_CALL_KEYS = frozenset({"method", "vm", "host"})
_COUNT_KEYS = frozenset({"count", "host"})
MOMENTS: dict[str, frozenset[str]] = {
    "after_calls": _COUNT_KEYS,
    "after_reads": _COUNT_KEYS,
    "before_call": _CALL_KEYS,
    "after_call": _CALL_KEYS,
    "after_job": frozenset({"type", "vm", "host"}),
    "at": frozenset(),
}


@dataclass
class Happening:
    """One thing that will happen once, ``delay`` world seconds after its moment."""

    host: Host
    verb: str
    vm: str | None
    arguments: dict[str, t.Any]
    moment: str
    """One of MOMENTS."""
    where: Host
    """The host whose calls, reads or jobs are watched."""
    remaining: int = 1
    method: str | None = None
    of_vm: str | None = None
    job_type: int | None = None
    delay: float = 0

    def happen(self) -> None:
        """Do it, and keep in the world's records how it went: it may have been refused, or the VM be gone."""
        world = self.host.world
        record = {"at": world.time.isoformat(), "host": self.host.host_name, "do": self.verb, "vm": self.vm}
        try:
            vm = world.find_vm(self.host, self.vm) if self.vm is not None else None
            record.update(perform(self.host, vm, self.verb, self.arguments))
        except WorldError as error:
            record["error"] = str(error)
        world.happened.append(record)


@dataclass
class Happenings:
    """All that wait for their moment."""

    _waiting: list[Happening] = field(default_factory=list)

    def clear(self) -> None:
        self._waiting.clear()

    def add(self, world: World, spec: t.Mapping[str, t.Any]) -> None:
        """A happening as a scenario writes it. Raises WorldError, naming what is wrong."""
        for key in ("when", "host", "do"):
            if key not in spec:
                raise WorldError(f"happening: {key} is missing")
        one_of("verb", spec["do"], VERBS)
        host = world.host(spec["host"])
        when = spec["when"]
        if not isinstance(when, t.Mapping) or not when:
            raise WorldError("happening: when must be a mapping with one moment, e.g. {after_calls: 2}")
        refuse_unknown("happening: when", when, {*MOMENTS, "delay"})
        moments = [key for key in when if key != "delay"]
        if len(moments) != 1:
            raise WorldError("happening: when takes exactly one moment")
        moment, detail = moments[0], when[moments[0]]
        arguments = {key: value for key, value in spec.items() if key not in ("when", "host", "do", "vm")}
        if spec.get("vm") is not None:
            world.check_vm_exists(spec["vm"], None)
        happening = Happening(host, spec["do"], spec.get("vm"), arguments, moment, host, delay=when.get("delay", 0))
        if moment == "at":
            world.schedule.at(world.time + timedelta(seconds=detail + happening.delay), happening.happen)
            return
        if isinstance(detail, int) and "count" in MOMENTS[moment]:
            detail = {"count": detail}
        if not isinstance(detail, t.Mapping):
            raise WorldError(f"happening: {moment} must be a mapping of {', '.join(sorted(MOMENTS[moment]))}")
        refuse_unknown(f"happening: {moment}", detail, MOMENTS[moment])
        happening.remaining = detail.get("count", 1)
        happening.method, happening.of_vm = detail.get("method"), detail.get("vm")
        happening.job_type = detail.get("type")
        if "host" in detail:
            happening.where = world.host(detail["host"])
        if happening.method is not None:
            world.check_method_exists(happening.method)
        if happening.of_vm is not None:
            world.check_vm_exists(happening.of_vm, None)
        self._waiting.append(happening)

    def called(self, moment: str, host: Host, method: str, vm: Vm | None) -> None:
        """A call is about to reach its method (before_call) or has left it (after_call)."""
        moments = {moment, "after_calls"} if moment == "after_call" else {moment}
        self._strike(
            lambda each: (
                each.moment in moments
                and each.where is host
                and each.method in (None, method)
                and (each.of_vm is None or (vm is not None and is_named(vm, each.of_vm)))
            )
        )

    def read(self, host: Host) -> None:
        """The VMs of this host were enumerated."""
        self._strike(lambda each: each.moment == "after_reads" and each.where is host)

    def job_ended(self, job: Job) -> None:
        self._strike(
            lambda each: (
                each.moment == "after_job"
                and each.where is job.host
                and each.job_type in (None, job.type)
                and (each.of_vm is None or (job.vm is not None and is_named(job.vm, each.of_vm)))
            )
        )

    def _strike(self, matches: t.Callable[[Happening], bool]) -> None:
        struck = [each for each in self._waiting if matches(each)]
        for each in struck:
            each.remaining -= 1
        due = [each for each in struck if each.remaining <= 0]
        self._waiting = [each for each in self._waiting if each not in due]
        for each in due:
            world = each.host.world
            if each.delay:
                world.schedule.at(world.time + timedelta(seconds=each.delay), each.happen)
            else:
                each.happen()
