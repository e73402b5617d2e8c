# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The results of stories, held against what the modules say that they return."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

from documentation import ansible_doc

COLLECTION = "hyperv.replica."
_OF_ANSIBLE = frozenset(
    {"attempts", "deprecations", "exception", "invocation", "item", "timedout", "warnings"}
)
"""Keys that Ansible adds to a result, whatever the module."""
_TAKEN_OUT = frozenset({"failed", "skipped"})
"""Keys that a callback does not always see. A play finds ``failed`` in every result."""
_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "dict": (dict,),
    "float": (float, int),
    "int": (int,),
    "list": (list,),
    "str": (str,),
}

Returned = t.Mapping[str, t.Any]


def module_of(task: Returned) -> str | None:
    """The module of this collection that a task uses, if it uses one."""
    return next((key for key in task if key.startswith(COLLECTION)), None)


def documented(module: str) -> dict[str, t.Any]:
    """The RETURN block of a module, as Ansible reads it."""
    described: dict[str, t.Any] = ansible_doc(module)[module]["return"]
    return described


def results(result: Returned) -> Iterator[Returned]:
    """The results of the module in the result of a task: of a loop several, of a job in the background none."""
    if "results" in result:
        for each in result["results"]:
            yield from results(each)
    elif "changed" in result and not {"ansible_job_id", "censored", "skip_reason"} & set(result):
        yield {key: value for key, value in result.items() if not key.startswith(("_", "ansible_"))}


def complaints(module: str, result: Returned) -> list[str]:
    """What a result has and the documentation has not, or has otherwise; and what it should have."""
    described = documented(module)
    shown = {key: value for key, value in result.items() if key in described or key not in _OF_ANSIBLE}
    expected = {key: about for key, about in described.items() if key not in _TAKEN_OUT or key in shown}
    return list(_complaints(expected, shown, ""))


def _complaints(described: Returned, found: Returned, path: str) -> Iterator[str]:
    for key in sorted(set(found) - set(described)):
        yield f"{path}{key} is returned and not documented"
    for key, about in described.items():
        if key not in found:
            if about["returned"] == "always":
                yield f"{path}{key} is documented as always returned, and is not there"
            continue
        yield from _value_complaints(about, found[key], f"{path}{key}")


def _value_complaints(about: Returned, value: t.Any, path: str) -> Iterator[str]:
    if value is None:
        return
    kind = about["type"]
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "bool"):
        yield f"{path} is documented as {kind} and is {value!r}"
        return
    if about.get("choices") and value not in about["choices"]:
        yield f"{path} is {value!r}, which is none of its documented choices"
    for number, each in enumerate(value) if kind == "list" else ():
        inner = {**about, "type": about["elements"], "choices": None}
        yield from _value_complaints(inner, each, f"{path}.{number}")
    if kind == "dict" and about.get("contains"):
        yield from _complaints(about["contains"], value, f"{path}.")


def every_key(module: str) -> set[str]:
    """The dotted paths of all documented keys."""
    return set(_keys(documented(module), "")) - _TAKEN_OUT


def _keys(described: Returned, path: str) -> Iterator[str]:
    for key, about in described.items():
        yield f"{path}{key}"
        yield from _keys(about.get("contains") or {}, f"{path}{key}.")


def keys_seen(result: t.Any, path: str = "") -> set[str]:
    """The dotted paths of the keys that have a value; positions in lists left out."""
    if isinstance(result, list):
        return {key for each in result for key in keys_seen(each, path)}
    if not isinstance(result, dict):
        return set()
    return {f"{path}{key}" for key, value in result.items() if value is not None}.union(
        *(keys_seen(value, f"{path}{key}.") for key, value in result.items())
    )
