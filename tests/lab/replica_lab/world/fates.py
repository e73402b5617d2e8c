# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fates: what becomes of a method call that a story wants to go wrong, or to go its own way."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from replica_lab.numbers import Code, JobState
from replica_lab.world.errors import WorldError, one_of, refuse_unknown
from replica_lab.world.jobs import Course
from replica_lab.world.model import Vm

if t.TYPE_CHECKING:
    from replica_lab.world import World
    from replica_lab.world.host import Host


@dataclass(frozen=True)
class Outcome:
    """One kind of fate: its parameters with their defaults (None: must be given), and the job's course."""

    parameters: dict[str, t.Any]
    course: t.Callable[..., Course]


def _vanishes(seconds: float | None, effect: bool) -> Course:
    return Course(seconds=seconds, vanishes=True, effect=effect)


_REQUIRED = object()
_SECONDS: dict[str, t.Any] = {"seconds": None}

OUTCOMES: dict[str, Outcome] = {
    "return": Outcome({"code": _REQUIRED}, lambda code: Course()),
    "no_effect_0": Outcome({}, lambda: Course(sync=True, effect=False)),
    "no_effect_job": Outcome(_SECONDS, lambda seconds: Course(seconds=seconds, shows=False, effect=False)),
    "sync": Outcome({}, lambda: Course(sync=True)),
    "job_fails": Outcome(
        {**_SECONDS, "error_code": int(Code.FAILED), "text": ""},
        lambda seconds, error_code, text: Course(
            seconds=seconds, effect=False, ends_in=JobState.EXCEPTION, error_code=error_code, text=text
        ),
    ),
    "job_cancelled": Outcome(
        {**_SECONDS, "state": int(JobState.TERMINATED)},
        lambda seconds, state: Course(seconds=seconds, effect=False, ends_in=state),
    ),
    "job_warning": Outcome(
        {**_SECONDS, "error_code": 0, "text": ""},
        lambda seconds, error_code, text: Course(
            seconds=seconds, ends_in=JobState.COMPLETED_WITH_WARNINGS, error_code=error_code, text=text
        ),
    ),
    "job_unknown_state": Outcome(
        {**_SECONDS, "state": _REQUIRED, "effect": False},
        lambda seconds, state, effect: Course(seconds=seconds, ends_in=state, effect=effect),
    ),
    "job_hangs": Outcome(
        {**_SECONDS, "percent": 50}, lambda seconds, percent: Course(seconds=seconds, hangs_at=percent)
    ),
    "job_vanishes": Outcome({**_SECONDS, "effect": _REQUIRED}, _vanishes),
    "job_hidden": Outcome(_SECONDS, lambda seconds: Course(seconds=seconds, hidden=True)),
    "job_slow": Outcome({"seconds": _REQUIRED}, lambda seconds: Course(seconds=seconds)),
    "lost_job_ref": Outcome(_SECONDS, lambda seconds: Course(seconds=seconds, referenced=False)),
}


@dataclass
class Fate:
    """What becomes of a matching call. None in ``host``, ``vm`` or ``method`` matches all of them."""

    course: Course
    code: int | None = None
    """Set: the call only returns this, and nothing else happens."""
    host: Host | None = None
    vm: str | None = None
    method: str | None = None
    times: int | None = None
    """How often it still strikes; None is every time."""

    def matches(self, host: Host, method: str, vm: Vm | None) -> bool:
        return (
            self.times != 0
            and self.host in (None, host)
            and self.method in (None, method)
            and (self.vm is None or (vm is not None and is_named(vm, self.vm)))
        )

    def spend(self) -> None:
        if self.times is not None:
            self.times -= 1


@dataclass
class Fates:
    """All fates of a world; the first that matches decides."""

    _all: list[Fate] = field(default_factory=list)

    def match(self, host: Host, method: str, vm: Vm | None) -> Fate | None:
        return next((fate for fate in self._all if fate.matches(host, method, vm)), None)

    def clear(self) -> None:
        self._all.clear()

    def add(self, world: World, spec: t.Mapping[str, t.Any]) -> None:
        """A fate as a scenario writes it. Raises WorldError, naming what is wrong."""
        name = spec.get("outcome")
        outcome = OUTCOMES[one_of("outcome", name, OUTCOMES)]
        refuse_unknown("fate", spec, {"host", "vm", "method", "times", "outcome", *outcome.parameters})
        parameters = {key: spec.get(key, default) for key, default in outcome.parameters.items()}
        missing = [key for key, value in parameters.items() if value is _REQUIRED]
        if missing:
            raise WorldError(f"fate: outcome {name} needs {', '.join(missing)}")
        host = world.host(spec["host"]) if spec.get("host") is not None else None
        if spec.get("vm") is not None:
            world.check_vm_exists(spec["vm"], host)
        if spec.get("method") is not None:
            world.check_method_exists(spec["method"])
        self._all.append(
            Fate(
                course=outcome.course(**parameters),
                code=parameters.get("code"),
                host=host,
                vm=spec.get("vm"),
                method=spec.get("method"),
                times=spec.get("times"),
            )
        )


def is_named(vm: Vm, written: str) -> bool:
    """Whether a person means this VM: by its GUID (with or without braces) or its name, without regard to case."""
    return written.strip("{}").upper() == vm.id or written.casefold() == vm.name.casefold()
