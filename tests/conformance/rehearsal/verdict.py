# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happened, held against what a story expects: a list of complaints, empty where all is well."""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

from replica_lab.numbers import Mode, Power, State, name_of

from rehearsal.combinations import Combination
from rehearsal.stage import Performance, Phase
from rehearsal.stories import FAILOVER, Expected, Story

OUTCOMES = (
    "unchanged",
    "changed",
    "would_change",
    "would_wait",
    "not_applicable",
    "not_here",
    "not_attempted",
    "in_progress",
    "failed",
)
_FORBIDDEN = {"rc", "results", "stdout", "stderr"}
_LINES = 10
Complaints = list[str]


def judge(story: Story, performance: Performance) -> Complaints:
    """Everything about a story that is not as it should be."""
    played = performance.phases.get(story.slug, {})
    complaints = [f"the lab broke: {error}" for error in performance.errors[story.slug]]
    for name in story.phases:
        phase = played.get(name)
        if phase is None:
            complaints.append(f"{name}: it was not played")
            continue
        expected = story.expected.get(name) or predicted(story, story.expected["run"])
        said = [*compare(story, expected, phase), *rules(name, phase, performance.combination)]
        complaints += [f"{name}: {complaint}" for complaint in said]
    expected_lines = [pattern for name in story.phases for pattern in story.expected.get(name, _QUIET).stderr]
    lines = performance.lines_of(story)
    complaints += _lines(expected_lines, lines)
    if story.silent and lines:
        complaints.append(f"it was to be silent, and wrote {lines}")
    return complaints


_QUIET = Expected("ok")


def predicted(story: Story, run: Expected) -> Expected:
    """What check mode has to say of a run in which nobody interferes: the same, in the words of a prediction."""
    if run.vms is None:
        return replace(run, calls=(), sent=None, world={})
    vms = {name: _predicted(vm) for name, vm in run.vms.items()}
    return replace(
        run,
        vms=vms,
        calls=(),
        sent=None,
        world={},
        changed=any(_vm(vm).get("changed") for vm in vms.values()) if run.task == "failed" else None,
        certainty="nothing_changed" if run.task == "failed" else None,
        msg=(),
        result={},
        stderr=(),
    )


def _predicted(vm: t.Any) -> dict[str, t.Any]:
    told = _vm(vm)
    if "outcome" not in told:
        return told
    if told["outcome"] == "changed":
        return {"outcome": "would_change"}
    kept = {key: told[key] for key in ("outcome", "error_class")}
    return {**kept, "changed": False, "certainty": "nothing_changed"}


# --- one phase ---------------------------------------------------------------------------------------------


def compare(story: Story, expected: Expected, phase: Phase) -> Complaints:
    result = phase.result
    complaints = []
    if phase.status != expected.task:
        complaints.append(f"the task is {phase.status}, not {expected.task}: {result.get('msg')}")
    failed = expected.task in ("failed", "unreachable")
    wanted = {
        "error_class": expected.error_class,
        "certainty": expected.certainty or ("nothing_changed" if failed else None),
    }
    if failed and expected.error_class is None:
        wanted = {}
    for key, value in wanted.items():
        if result.get(key) != value:
            complaints.append(f"{key} is {result.get(key)!r}, not {value!r}: {result.get('msg')}")
    complaints += _changed(expected, result)
    complaints += [
        f"msg does not say {text!r}: {result.get('msg')!r}"
        for text in expected.msg
        if text not in str(result.get("msg"))
    ]
    for path, value in expected.result.items():
        found = at(result, path)
        if found != value:
            complaints.append(f"{path} is {found!r}, not {value!r}")
    if "censored" not in result:
        complaints += _vms(expected.vms, result.get("vms"))
    complaints += _calls(expected, phase)
    complaints += _world(story, expected, phase)
    queries = sum(len(counters["queries"]) for counters in phase.counters.values())
    counted = result.get("transport") != "powershell"  # where a query costs no start, one more is asked
    if counted and expected.queries is not None and queries != expected.queries:
        complaints.append(f"{queries} queries, not {expected.queries}")
    return complaints


def _changed(expected: Expected, result: t.Mapping[str, t.Any]) -> Complaints:
    wanted = expected.changed
    if wanted is None:
        vms = [_vm(vm) for vm in (expected.vms or {}).values()]
        wanted = expected.task == "changed" or any(vm.get("changed") for vm in vms)
    return [] if bool(result.get("changed")) is wanted else [f"changed is {result.get('changed')}, not {wanted}"]


def at(result: t.Any, path: str) -> t.Any:
    """The value at a dotted path; a number is a position."""
    for step in path.split("."):
        if isinstance(result, list):
            result = result[int(step)] if int(step) < len(result) else None
        else:
            result = (result or {}).get(step)
    return result


def _vm(written: t.Any) -> dict[str, t.Any]:
    """What is expected of one VM, with the defaults filled in."""
    told = {"outcome": written} if isinstance(written, str) else dict(written)
    if "outcome" not in told:
        return told  # of replication_info
    outcome = told["outcome"]
    if outcome not in OUTCOMES:
        raise ValueError(f"no outcome {outcome!r}")
    told.setdefault("error_class", None)
    told.setdefault("certainty", "changed" if outcome == "changed" else "nothing_changed")
    told.setdefault("changed", outcome in ("changed", "would_change") or told["certainty"] != "nothing_changed")
    told.setdefault("powered_off", False)
    return told


_TEXTS = ("msg", "hint")


def _vms(expected: t.Mapping[str, t.Any] | None, found: t.Any) -> Complaints:
    if expected is None:
        return [f"there is a list of VMs: {[vm['name'] for vm in found]}"] if found else []
    if not isinstance(found, list):
        return ["there is no list of VMs"]
    complaints = []
    names = [vm["name"] for vm in found]
    left = list(found)
    for name, written in expected.items():
        vm = next((vm for vm in left if vm["id"] == name or (vm["name"] == name and names.count(name) == 1)), None)
        if vm is None:
            complaints.append(f"{name} is not in the list of VMs: {names}")
            continue
        left.remove(vm)
        for key, value in _vm(written).items():
            complaints += [f"{name}: {complaint}" for complaint in _property(key, value, vm)]
    return complaints + [f"{vm['name']} is in the list of VMs: {vm.get('msg')}" for vm in left]


def _property(key: str, value: t.Any, vm: t.Mapping[str, t.Any]) -> Complaints:
    if key in _TEXTS:
        wanted = [value] if isinstance(value, str) else value
        return [f"{key} does not say {text!r}: {vm[key]!r}" for text in wanted if text not in vm[key]]
    if key == "job":
        found = vm["job"] and {name: vm["job"][name] for name in value} if isinstance(value, dict) else vm["job"]
        found = found["state"] if isinstance(value, str) and found else found
        return [] if found == value else [f"its job is {vm['job']}, not {value}"]
    found = at(vm, key)
    value = "off" if value is False and key.split(".")[-1] == "power" else value  # YAML reads off as false
    return [] if found == value else [f"{key} is {found!r}, not {value!r}: {vm.get('msg')}"]


def _calls(expected: Expected, phase: Phase) -> Complaints:
    seen = [" ".join(filter(None, (call["method"], call["vm_name"]))) for call in phase.calls]
    values = [f"{text} = {call['return_value']}" for text, call in zip(seen, phase.calls, strict=True)]
    fits = len(seen) == len(expected.calls) and all(
        wanted in pair for wanted, pair in zip(expected.calls, zip(seen, values, strict=True), strict=True)
    )
    complaints = [] if fits else [f"the calls are {values}, not {list(expected.calls)}"]
    wanted = dict(expected.sent) if expected.sent is not None else _count(expected.calls)
    sent = {
        name.rpartition(".")[2]: count
        for counters in phase.counters.values()
        for name, count in counters["methods"].items()
    }
    return complaints + ([] if sent == wanted else [f"sent on the wire: {sent}, not {wanted}"])


def _count(calls: t.Iterable[str]) -> dict[str, int]:
    methods = [call.partition(" ")[0] for call in calls]
    return {method: methods.count(method) for method in methods}


# --- the world ---------------------------------------------------------------------------------------------

GONE = "gone"
NEW = "new"


def _world(story: Story, expected: Expected, phase: Phase) -> Complaints:
    before, after = _truth(phase.before), _truth(phase.after)
    wanted: dict[str, t.Any] = {name: dict(vm) for name, vm in before.items()}
    free: dict[str, set[str]] = {}
    for written, changes in expected.world.items():
        keys = list(_keys(story, written, phase))
        if len(keys) != 1:
            return [f"world: {written!r} fits {keys}"]
        if changes == GONE:
            del wanted[keys[0]]
            continue
        if changes == NEW:
            wanted[keys[0]] = dict(after.get(keys[0], {}))
            continue
        values = {name: "off" if value is False and name == "power" else value for name, value in changes.items()}
        wanted.setdefault(keys[0], {}).update(values)
        free[keys[0]] = set(values)
    complaints = []
    for key in sorted({*wanted, *after}):
        if key not in after:
            complaints.append(f"world: {key} is gone")
        elif key not in wanted:
            complaints.append(f"world: {key} has come")
        else:
            told = wanted[key]
            compared = _WATCHED | free.get(key, set())
            complaints += [
                f"world: {key}: {name} is {after[key][name]!r}, not {told[name]!r}"
                for name in sorted(compared)
                if name in told and not _same(told[name], after[key][name])
            ]
    return complaints


_WATCHED = {"mode", "state", "power", "discarded_writes"}


def _same(wanted: t.Any, found: t.Any) -> bool:
    if isinstance(wanted, str) and wanted.startswith(">"):
        return bool(found > float(wanted[1:]))
    return bool(wanted == found)


def _truth(snapshot: t.Mapping[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """The VMs of a snapshot by host and id, in words."""
    return {
        f"{host}/{vm['name']}/{vm['id']}": {
            "mode": name_of(Mode, vm["mode"]),
            "state": name_of(State, vm["state"]),
            "power": name_of(Power, vm["enabled_state"]),
            "discarded_writes": vm["discarded_writes"],
            "guest_writes": vm["guest_writes"],
            "extended_state": next((name_of(State, r["state"]) for r in vm["relationships"] if r["index"] == 1), None),
        }
        for host, described in snapshot["hosts"].items()
        for vm in described["vms"]
    }


def _keys(story: Story, written: str, phase: Phase) -> t.Iterator[str]:
    for key in {**_truth(phase.before), **_truth(phase.after)}:
        host, _slash, rest = key.partition("/")
        name, _slash, vm_id = rest.rpartition("/")
        if written in (f"{host}/{name}", f"{host}/{vm_id}") or (host == story.host and written in (name, vm_id)):
            yield key


# --- rules that hold for every phase of every story -----------------------------------------------------------


def rules(name: str, phase: Phase, combination: Combination) -> Complaints:
    """What holds whatever happens."""
    result = phase.result
    complaints = [f"the result holds {key}" for key in sorted(_FORBIDDEN & set(result) - {"results"})]
    for host, counters in phase.counters.items():
        if counters["shells"] and combination.carries == "wsman":
            complaints.append(f"{counters['shells']} shells were opened on {host}")
    for host, listener in phase.after["listeners"].items():
        if listener["open_enumerations"]:
            complaints.append(f"{listener['open_enumerations']} enumerations were left open on {host}")
    if name == "check" and phase.calls:
        complaints.append("check mode called a method")
    if phase.status == "unreachable" and any(counters["methods"] for counters in phase.counters.values()):
        complaints.append("unreachable, although a method was sent")
    if len(str(result.get("msg", "")).splitlines()) > _LINES:
        complaints.append(f"msg has more than {_LINES} lines")
    if result.get("error_class"):
        complaints += [f"a failure without {key}" for key in ("msg", "hint", "certainty") if not result.get(key)]
    if result.get("transport") not in (None, combination.carries):
        complaints.append(f"the transport is {result['transport']}")
    if "summary" in result:
        complaints += _summary(result)
    for vm in result.get("vms") or ():
        if vm.get("error_class"):
            complaints += [f"{vm['name']}: a failure without {key}" for key in ("msg", "hint") if not vm.get(key)]
        if vm.get("outcome") == "failed" and not vm["error_class"]:
            complaints.append(f"{vm['name']}: failed without a class")
    return complaints


def _summary(result: t.Mapping[str, t.Any]) -> Complaints:
    summary = result["summary"]
    if set(summary) != {*OUTCOMES, "total"}:
        return [f"the summary counts {sorted(summary)}"]
    complaints = []
    if summary["total"] != sum(summary[outcome] for outcome in OUTCOMES):
        complaints.append(f"the summary does not add up: {summary}")
    outcomes = [vm["outcome"] for vm in result["vms"]]
    for outcome in set(outcomes):
        if outcomes.count(outcome) != summary[outcome]:
            complaints.append(f"{outcomes.count(outcome)} {outcome} in vms, {summary[outcome]} in the summary")
    return complaints


def _lines(expected: t.Sequence[str], lines: t.Sequence[str]) -> Complaints:
    left = list(lines)
    for pattern in expected:
        while left and not re.search(pattern, left[0]):
            left.pop(0)
        if not left:
            return [f"stderr holds no line {pattern!r}: {list(lines)}"]
        left.pop(0)
    return []


def is_failover(story: Story) -> bool:
    return FAILOVER in story.task
