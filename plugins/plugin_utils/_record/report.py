# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""The report: what of a recording is as assumed, what differs, what was not seen."""

from __future__ import annotations

import enum
import typing as t

from ansible_collections.hyperv.replica.plugins.plugin_utils._record.evidence import Evidence
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.expectations import ROWS, Expectation
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.observe import Seen
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.recording import Json


class Verdict(enum.Enum):
    DIFFERS = "differs"
    CONFIRMED = "confirmed"
    NOT_SEEN = "not seen"


def report(evidence: Evidence) -> list[Json]:
    """One entry for each row, in the order of the rows."""
    return [_entry(row, evidence) for row in ROWS]


def _entry(row: Expectation, evidence: Evidence) -> Json:
    groups = [("", evidence)] if row.pair else list(evidence.groups())
    seen: dict[Seen, list[str]] = {}
    for host, group in groups:
        transport = group.exchanges[0].transport if group.exchanges and not row.pair else ""
        place = f"{host} over {transport}" if transport else "the pair"
        for value in dict.fromkeys(row.read(group)):
            seen.setdefault(_plain(value), []).append(place)
    differing = [value for value in seen if not _expected(value, row)]
    verdict = Verdict.DIFFERS if differing else Verdict.CONFIRMED if seen else Verdict.NOT_SEEN
    return {
        "id": row.id,
        "verdict": verdict.value,
        "assumed": row.says,
        "expected": sorted((_plain(value) for value in row.expected), key=str),
        "seen": [{"value": value, "where": places} for value, places in seen.items()],
        "assumption": row.assumption,
        "section": row.section,
    }


def _plain(value: Seen) -> Seen:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _expected(value: Seen, row: Expectation) -> bool:
    # True is 1 to Python, and to nobody else.
    return any(value == wanted and isinstance(value, bool) is isinstance(wanted, bool) for wanted in row.expected)


def summary(recording: Json, file: str) -> list[str]:
    """What a person reads at the end, line by line: what differs first, and where the file is."""
    entries: list[Json] = recording["report"]
    counts = {verdict: sum(entry["verdict"] == verdict.value for entry in entries) for verdict in Verdict}
    confirmed, differ, unseen = (counts[one] for one in (Verdict.CONFIRMED, Verdict.DIFFERS, Verdict.NOT_SEEN))
    total = f"Of {len(entries)} things assumed of a real pair"
    lines = [f"{total}, {confirmed} are confirmed, {differ} differ, {unseen} were not seen."]
    for entry in entries:
        if entry["verdict"] == Verdict.DIFFERS.value:
            seen = "; ".join(f"{one['value']} ({', '.join(one['where'])})" for one in entry["seen"])
            named = f" [{entry['assumption']}]" if entry["assumption"] else ""
            lines.append(f"DIFFERS: {entry['assumed']}{named} Seen: {_short(seen)}")
    for part in recording["hosts"]:
        for transport, missing in part["transports"].items():
            lines.append(f"{part['host']} over {transport}: {missing or 'recorded'}")
    lines.append(f"The recording is in {file}. Look through it before you pass it on.")
    return lines


def _short(text: str, length: int = 400) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def table(entries: t.Sequence[Json]) -> str:
    """The whole report as text, for a file beside the recording."""
    parts = []
    for verdict in Verdict:
        found = [entry for entry in entries if entry["verdict"] == verdict.value]
        if found:
            parts.append(f"{verdict.value} ({len(found)})\n")
        for entry in found:
            named = f"  [{entry['assumption']}]" if entry["assumption"] else ""
            parts.append(f"  {entry['id']}: {entry['assumed']}{named}")
            if verdict is Verdict.DIFFERS:
                parts.append(f"      expected: {', '.join(str(value) for value in entry['expected'])}")
            for one in entry["seen"] if verdict is Verdict.DIFFERS else ():
                parts.append(f"      seen: {one['value']}, {', '.join(one['where'])}")
        if found:
            parts.append("")
    return "\n".join(parts)
