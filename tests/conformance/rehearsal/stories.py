# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stories: what there is, what a play asks for, what goes wrong, and what has to come of it. See README.md."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace
from pathlib import Path

import replica_lab
import yaml

FOLDER = Path(__file__).parent.parent / "stories"
BUILT_IN = Path(replica_lab.__file__).parent / "scenarios"
FAILOVER = "hyperv.replica.failover"
REPLICATION = "hyperv.replica.replication"
TEST_FAILOVER = "hyperv.replica.test_failover"
OPTIONS_OF_A_RUN = (FAILOVER, REPLICATION, TEST_FAILOVER)
"""The modules that act on VMs and have the options of a run."""
PHASES = ("check", "run", "again")
REPLICA_HOST = "HV-REPLICA"
PACE = 10.0
"""World seconds that pass with each look at the VMs or the jobs."""

_HOST_KEYS = frozenset(
    {"authorizations", "cluster", "domain", "jobs", "locale", "replica_server", "skew", "switches", "version", "vms"}
)


class StoryError(ValueError):
    """A story that cannot be read. The text says which, and why."""


@dataclass(frozen=True)
class Expected:
    """What one phase has to come to. What is not said has the default of a play in which nothing went wrong."""

    task: str
    """ok, changed, failed or unreachable."""
    error_class: str | None = None
    certainty: str | None = None
    changed: bool | None = None
    """Of a task that failed; None: whether any VM of it changed."""
    vms: t.Mapping[str, t.Any] | None = None
    """By name, by GUID where the name is not enough; a text is an outcome. None: the result has no list of VMs."""
    msg: tuple[str, ...] = ()
    result: t.Mapping[str, t.Any] = field(default_factory=dict)
    """Dotted paths into the result, and their values."""
    calls: tuple[str, ...] = ()
    """The method calls that reached the world, in order: "RevertFailover App 01", with " = 32775" where it matters."""
    sent: t.Mapping[str, int] | None = None
    """Method calls on the wire by method, where it is not those that reached the world."""
    world: t.Mapping[str, t.Any] = field(default_factory=dict)
    """What differs at the end from what it was before the phase. By VM; HOST/VM for a VM of another host."""
    stderr: tuple[str, ...] = ()
    """Regular expressions that a line of this host on stderr fits, in this order."""
    queries: int | None = None
    """Enumerate requests over WS-Management."""


@dataclass(frozen=True)
class Story:
    name: str
    file: str
    scenario: t.Mapping[str, t.Any]
    host: str
    task: t.Mapping[str, t.Any]
    expected: t.Mapping[str, Expected]
    """By phase; only those that are played and judged."""
    phases: tuple[str, ...]
    faults: tuple[t.Mapping[str, t.Any], ...] = ()
    between: tuple[t.Mapping[str, t.Any], ...] = ()
    """What is done through the control port after the run and before it is played again."""
    variables: t.Mapping[str, t.Any] = field(default_factory=dict)
    front: t.Mapping[str, t.Any] | None = None
    """Variables of the inventory host that the play names, where the task is delegated to the simulated one."""
    calm: bool = True
    """Nobody else acts and nothing goes wrong: check mode has to predict the run."""
    only: tuple[str, ...] = ()
    """Combinations over which it makes sense; none is all of them."""
    silent: bool = False
    """Its tasks must not write one word to stderr."""

    @property
    def slug(self) -> str:
        """Its name as an inventory host."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def load(folder: Path = FOLDER) -> list[Story]:
    """All stories, in the order of the files. Raises StoryError."""
    stories = [
        read(document, path.stem) for path in sorted(folder.glob("*.yml")) for document in _documents(path)
    ]
    seen: dict[str, Story] = {}
    for story in stories:
        if story.slug in seen:
            raise StoryError(f"{story.file}: {story.name!r} is told twice, also in {seen[story.slug].file}")
        seen[story.slug] = story
    return stories


def _documents(path: Path) -> list[t.Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(found, list):
        raise StoryError(f"{path.name} must be a list of stories")
    return found


def read(document: t.Mapping[str, t.Any], file: str) -> Story:
    """One story from its mapping."""
    rest = dict(document)
    name = rest.pop("story", None)
    if not isinstance(name, str):
        raise StoryError(f"{file}: a story needs a name (story: ...)")
    try:
        return _read(name, file, rest)
    except (KeyError, TypeError, ValueError) as error:
        raise StoryError(f"{file}: {name!r}: {error}") from error


def _read(name: str, file: str, rest: dict[str, t.Any]) -> Story:
    host = rest.pop("host", REPLICA_HOST)
    scenario = _scenario(name, host, rest.pop("world", {}))
    fates, happenings = rest.pop("fates", []), rest.pop("happenings", [])
    faults = tuple(rest.pop("faults", []))
    scenario["fates"] = [*scenario.get("fates", []), *fates]
    scenario["happenings"] = [*scenario.get("happenings", []), *({"host": host, **each} for each in happenings)]
    calm = not (scenario["fates"] or scenario["happenings"] or faults)
    task = _task(rest)
    phases = tuple(rest.pop("phases", PHASES if calm or "check" in rest else PHASES[1:]))
    expected = {"run": _expected(rest.pop("expect"))}
    if "check" in phases:
        check = rest.pop("check", None)
        if check is not None:
            expected["check"] = _expected(check)
        elif not calm:
            raise StoryError("check: what check mode says has to be told where something goes wrong")
    if "again" in phases:
        again = rest.pop("again", None)
        if again is None and not calm:
            raise StoryError("again: what the same play does again has to be told where something goes wrong")
        expected["again"] = _again(again, expected["run"], _options(task))
    story = Story(
        name=name,
        file=file,
        scenario=scenario,
        host=host,
        task=task,
        expected=expected,
        phases=phases,
        faults=faults,
        between=tuple(rest.pop("between", [])),
        variables=rest.pop("vars", {}),
        front=rest.pop("front", None),
        calm=calm,
        only=tuple(rest.pop("only", [])),
        silent=rest.pop("silent", False),
    )
    if rest:
        raise StoryError(f"unknown: {', '.join(rest)}")
    return story


def _scenario(name: str, host: str, written: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A scenario of the lab. In short form, keys of a host stand for the one host that there is."""
    world = dict(written)
    base = world.pop("base", None)
    if base is not None:
        world = {**yaml.safe_load((BUILT_IN / f"{base}.yml").read_text(encoding="utf-8")), **world}
    own = {key: world.pop(key) for key in _HOST_KEYS & set(world)}
    if own:
        world["hosts"] = {host: own, **world.get("hosts", {})}
    # The name is the seed of the ids that the world gives out.
    return {"name": name, "clock": {"rate": 0}, **world}


def _task(rest: dict[str, t.Any]) -> dict[str, t.Any]:
    """A task as it stands in a play; ``revert`` is short for the options of a revert."""
    if ("revert" in rest) == ("task" in rest):
        raise StoryError("exactly one of revert and task")
    if "task" in rest:
        return dict(rest.pop("task"))
    return {FAILOVER: {"state": "reverted", **rest.pop("revert")}}


def _options(task: t.Mapping[str, t.Any]) -> t.Any:
    """The options of the module of this collection that a task names."""
    return next((value for key, value in task.items() if key.startswith("hyperv.replica.")), {})


def _again(written: t.Any, run: Expected, options: t.Any) -> Expected:
    """What the same task comes to a second time: as told, or nothing to do, or the same refusal."""
    if written is None:
        written = "unchanged" if run.task == "changed" else "same"
    if written == "same":
        return replace(run, calls=(), sent=None, world={}, queries=None)
    if written != "unchanged":
        return _expected(written)
    vms = dict(run.vms or {})
    if isinstance(options, dict) and options.get("all") is True and options.get("report") != "all":
        vms = {}  # who needs nothing is not listed
    calm = {"changed": "unchanged", "in_progress": "unchanged"}
    outcomes = {name: vm if isinstance(vm, str) else vm["outcome"] for name, vm in vms.items()}
    return Expected("ok", vms={name: calm.get(outcome, outcome) for name, outcome in outcomes.items()})


def _expected(written: t.Any) -> Expected:
    fields = dict(written)
    for key in ("msg", "calls", "stderr"):
        value = fields.get(key, ())
        fields[key] = (value,) if isinstance(value, str) else tuple(value)
    return Expected(**fields)
