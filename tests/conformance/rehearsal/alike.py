# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happened over one combination, held against what happened over another.

Times, ids of jobs, ports and the transport differ; whatever else differs is a defect, even where each alone would
be acceptable.
"""

from __future__ import annotations

import re
import typing as t

from rehearsal.stage import BEHIND, Performance, Phase
from rehearsal.stories import Story
from rehearsal.verdict import _truth

_PASSING = {"started", "ended", "percent", "transport", "start_time", "attempts", "timedout"}
"""Keys whose values tell the moment or the way, and not the story."""
_BEGUN = {"starting": "<begun>", "running": "<begun>", 3: "<begun>", 4: "<begun>"}
"""The state of a job that runs: how far it has come when it is read is a matter of the machine."""
_UNREAD = "<unreadable>"
_MASKS = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z)"), "<time>"),
    (re.compile(r"\d\d/\d\d/\d{4} - \d\d:\d\d:\d\d"), "<time>"),
    (re.compile(r"https?://no-such-host\.invalid:\d+/wsman"), "<address>"),
    (re.compile(r"https?://127\.0\.0\.1:\d+/wsman"), "<address>"),
    (re.compile(r"\d+ %"), "<percent>"),
    (re.compile(r"Timed out after \d+ second"), "Timed out after <n> second"),
    (re.compile(r"\bcolumn \d+"), "<column>"),
    (re.compile(r"\bstate (?:starting \(3\)|running \(4\))"), "state <begun>"),
    # The words of a library or of a connection plugin for a connection that broke or was not made: the rest of a line.
    (re.compile(r"(?<=The host says: )(?:<address>: )?[A-Z]\w*(?:Error|Exception|Failure|Timeout): .*"), "<library>"),
    # What became unreadable, in the words of what reads it.
    (re.compile(r"the answer to (?:the query for )?\w+ is not well-formed XML: .* at line \d+, <column>"), _UNREAD),
    (re.compile(r"PowerShell on the host ran no module to its end"), _UNREAD),
    (re.compile(rf"({_UNREAD}.*?) The host says: .*"), r"\1"),
    # WinRM has a number of its own for what WMI refuses, and tells in a fault what the provider was about to do.
    (re.compile(r"\(0x80041003\)"), "(0x00000005)"),
    (re.compile(r" \[(?:FaultDetail|Operation|ParameterInfo|ProviderName): [^]]*\]"), ""),
)
_FOREIGN_WARNING = "Failed to cleanup running WinRM command, resources might still be in use on the target server"
"""What Ansible's winrm plugin says when it cleans up over a connection that has broken. There is no such command over
WS-Management."""
_PROGRESS = re.compile(r"\d+ of \d+ done, \d+ running; slowest: ")
"""Said every ten seconds: how often is a matter of the machine."""
_GUID = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}", re.IGNORECASE)


def differences(story: Story, one: Performance, other: Performance) -> list[str]:
    """How a story went differently over the second combination than over the first."""
    found = []
    for name in story.phases:
        phases = [performance.phases.get(story.slug, {}).get(name) for performance in (one, other)]
        if None in phases:
            continue  # not played: a failure of its own
        first, second = (normal(t.cast(Phase, phase)) for phase in phases)
        found += [f"{name}: {line}" for line in _differ("", first, second)]
    if set(one.phases.get(story.slug, ())) != set(other.phases.get(story.slug, ())):
        return found  # not all phases were played over both
    first_lines, second_lines = (
        [
            mask(line, known_ids(performance.phases[story.slug]["run"]))
            for line in performance.lines_of(story)
            if not _PROGRESS.search(line)
        ]
        for performance in (one, other)
    )
    return found + [f"stderr: {line}" for line in _differ("", first_lines, second_lines)]


def normal(phase: Phase) -> dict[str, t.Any]:
    """What of a phase has to be the same whatever carried it."""
    known = known_ids(phase)
    sent = {
        method: count for counters in phase.counters.values() for method, count in sorted(counters["methods"].items())
    }
    return {
        "task": phase.status,
        "result": _masked({key: value for key, value in _own(phase.result) if not key.startswith("_")}, known),
        "calls": [f"{call['host']}: {call['method']} {call['vm_id']} = {call['return_value']}" for call in phase.calls],
        "sent": sent,
        "world": {
            key: {name: vm[name] for name in ("mode", "state", "power")} for key, vm in _truth(phase.after).items()
        },
    }


def _own(result: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, t.Any]]:
    """What of a result is the collection's, and the story's.

    The last attempt of a task that is tried again may meet a job that runs or has ended: it depends on when it began.
    """
    for key, value in result.items():
        if key == "vms" and "attempts" in result:
            value = [{**vm, "job": "<masked>"} for vm in value]
        if key == "warnings":
            value = [warning for warning in value if warning != _FOREIGN_WARNING]
        if value or key != "warnings":
            yield key, value


def known_ids(phase: Phase) -> frozenset[str]:
    """The ids of the VMs; all others are those of jobs and the like."""
    worlds = (phase.before, phase.after)
    return frozenset(vm["id"] for world in worlds for host in world["hosts"].values() for vm in host["vms"])


def _masked(value: t.Any, known: frozenset[str]) -> t.Any:
    if isinstance(value, dict):
        return {
            key: "<masked>" if key in _PASSING and item is not None else _masked(item, known)
            for key, item in (_begun(value) if "percent" in value else value).items()
            if key != "exception"
        }
    if isinstance(value, list):
        return [_masked(item, known) for item in value]
    return mask(value, known) if isinstance(value, str) else value


def _begun(job: dict[str, t.Any]) -> dict[str, t.Any]:
    return {**job, **{key: _BEGUN.get(job[key], job[key]) for key in ("state", "state_raw") if key in job}}


def mask(text: str, known: frozenset[str]) -> str:
    for pattern, shown in _MASKS:
        text = pattern.sub(shown, text)
    return _GUID.sub(lambda match: match.group() if match.group().upper() in known else "<id>", text)


def _differ(path: str, one: t.Any, other: t.Any) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return [
            line
            for key in keys
            for line in _differ(
                f"{path}.{key}" if path else key, one.get(key, "<missing>"), other.get(key, "<missing>")
            )
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            line
            for index, pair in enumerate(zip(one, other, strict=True))
            for line in _differ(f"{path}.{index}" if path else str(index), *pair)
        ]
    return [] if one == other else [f"{path}: {one!r} / {other!r}"]


def difference(one: t.Any, other: t.Any, known: frozenset[str]) -> list[str]:
    """How two values differ, whatever moment and way they tell of. ``known``: the ids of the VMs."""
    return _differ("", _masked(one, known), _masked(other, known))


__all__ = ["BEHIND", "difference", "differences", "known_ids", "mask", "normal"]
