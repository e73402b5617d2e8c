# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of docs/design.md that are in the code too: rendered from the code, so that they cannot differ.

    PYTHONPATH=.build .venv/bin/python tests/tools/tables.py    writes them into the page

Each stands between a line ``<!-- table: NAME -->`` and a line ``<!-- end -->``. A workshop test compares them.
"""

from __future__ import annotations

import functools
import re
import typing as t
from collections.abc import Callable, Collection
from enum import IntEnum

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    POWER,
    POWER_ROWS,
    Effect,
    Fact,
    PowerState,
    Row,
    Target,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    Power,
    ReplicationMode,
    ReplicationState,
    ReturnCode,
    name_of,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import (
    LOST_ANSWERS,
    RETURN_CODES,
    ErrorClass,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.absent import ABSENT
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.as_replica import AS_REPLICA
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.committed import COMMITTED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.continued import CONTINUED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.enabled import ENABLED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.failed_over import FAILED_OVER
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.failover_network import FAILOVER_NETWORK
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.prepared import PREPARED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.replicating import REPLICATING
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.resynchronized import RESYNCHRONIZED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reversed import REVERSED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reverted import REVERTED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.started import STARTED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.suspended import SUSPENDED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.test_failover import (
    ABSENT as TEST_ABSENT,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.test_failover import (
    PRESENT as TEST_PRESENT,
)
from tree import ROOT

PAGE = ROOT / "docs" / "design.md"
_PLACE = re.compile(r"(?<=<!-- table: )(?P<name>[a-z_ ]+)( -->\n)(?P<table>.*?)(?=<!-- end -->)", re.DOTALL)


def table(heads: t.Sequence[str], rows: t.Iterable[t.Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def numbers(kind: type[IntEnum], raw: Collection[int] | None) -> str:
    if raw is None:
        return "any"
    return ", ".join(f"{name_of(kind, number)} ({number})" for number in sorted(raw))


def condition(row: Row) -> str:
    """What a row of a decision table looks at beside mode and state."""
    conditions = []
    if row.jobs is not None:
        conditions.append(f"jobs: {', '.join(sorted(jobs.value for jobs in row.jobs))}")
    for fact in Fact:
        if fact in row.when:
            conditions.append(fact.value)
        elif fact in row.unless:
            conditions.append(f"not: {fact.value}")
    return "; ".join(conditions)


def effect(kind: Effect, error: ErrorClass | None, methods: str) -> str:
    texts = {
        Effect.NOTHING: "nothing to do",
        Effect.CALL: methods,
        Effect.WAIT: "wait, read, decide again",
        Effect.REFUSE: f"fail with `{error.value if error else ''}`",
    }
    return texts[kind]


def decisions(target: Target) -> str:
    rows = []
    for number, row in enumerate(target.rows, 1):
        what = effect(row.effect, row.error, f"call {', then '.join(target.methods)}")
        if row.needs_off:
            what += " (the VM must be off)"
        modes, states = numbers(ReplicationMode, row.modes), numbers(ReplicationState, row.states)
        rows.append((str(number), modes, states, condition(row), what, row.reason))
    return table(("", "mode", "state", "and", "what happens", "because"), rows)


def power() -> str:
    rows = []
    for row in POWER_ROWS:
        raw = [number for number, state in POWER.items() if state is row.power]
        what = effect(row.effect, row.error, "call")
        if row.first is not None:
            what = f"{row.first.value.replace('_', ' ')}, then {what}"
        elif row.effect is Effect.WAIT:
            what += f", for a minute at most (then fail with `{ErrorClass.VM_BUSY.value}`)"
        values = "any other" if row.power is PowerState.UNKNOWN else numbers(Power, raw)
        allowed = "; ".join([*([row.allowed.value] if row.allowed else []), *(fact.value for fact in row.when)])
        rows.append((row.power.value, values, allowed, what))
    return table(("power", "EnabledState", "running_vm", "what happens"), rows)


def return_codes() -> str:
    rows = [
        (str(int(code)), code.name.lower(), f"`{RETURN_CODES[code].value}`", "yes" if code in LOST_ANSWERS else "")
        for code in ReturnCode
        if code in RETURN_CODES
    ]
    return table(("code", "meaning", "error class", "treated like a lost answer"), rows)


TARGETS = {
    target.name: target
    for target in (
        REVERTED,
        PREPARED,
        FAILED_OVER,
        COMMITTED,
        ENABLED,
        STARTED,
        REPLICATING,
        SUSPENDED,
        RESYNCHRONIZED,
        REVERSED,
        AS_REPLICA,
        CONTINUED,
        ABSENT,
        FAILOVER_NETWORK,
    )
}

TABLES: dict[str, Callable[[], str]] = {
    **{name: functools.partial(decisions, target) for name, target in TARGETS.items()},
    "test present": functools.partial(decisions, TEST_PRESENT),
    "test absent": functools.partial(decisions, TEST_ABSENT),
    "power": power,
    "return codes": return_codes,
}


def places(text: str) -> dict[str, str]:
    """The tables of a page by name, as they stand there."""
    return {match["name"]: match["table"] for match in _PLACE.finditer(text)}


def filled(text: str) -> str:
    """The page with every table as the code has it."""
    return _PLACE.sub(lambda match: f"{match['name']}{match[2]}{TABLES[match['name']]()}", text)


def main() -> None:
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
