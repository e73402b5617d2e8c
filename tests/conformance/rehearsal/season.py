# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All performances of one run of the tests, and the table of what came of them: story × combination."""

from __future__ import annotations

import typing as t
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rehearsal.alike import differences
from rehearsal.combinations import COMBINATIONS, Combination
from rehearsal.stage import Performance, perform
from rehearsal.stories import Story
from rehearsal.verdict import judge


class Season:
    def __init__(self) -> None:
        self.make_directory: Callable[[str], Path] | None = None
        self._wanted: dict[str, dict[str, Story]] = {}
        self._given: dict[str, Performance] = {}
        self._cells: dict[tuple[str, str], str] = {}
        self._left_out: dict[tuple[str, str], str] = {}

    def want(self, combination: Combination, story: Story) -> None:
        """A selected test asks for this."""
        self._wanted.setdefault(combination.name, {})[story.slug] = story

    def leave_out(self, combination: Combination, story: Story, reason: str) -> None:
        """No test asks for this, and why."""
        self._left_out[story.slug, combination.name] = reason

    def wanted(self, combination: Combination) -> list[Story]:
        return list(self._wanted.get(combination.name, {}).values())

    def given(self, combination: Combination) -> Performance:
        """The performance of all wanted stories over a combination; given once."""
        if combination.name not in self._given:
            assert self.make_directory is not None
            wanted = list(self._wanted[combination.name].values())
            self._given[combination.name] = perform(combination, wanted, self.make_directory(combination.name))
        return self._given[combination.name]

    def complaints(self, combination: Combination, story: Story) -> list[str]:
        """What is not as the story has it, and what differs from the first combination that was played."""
        performance = self.given(combination)
        complaints = judge(story, performance)
        cell = "FAILED" if complaints else "ok"
        first = next(one for one in COMBINATIONS if story.slug in self._wanted.get(one.name, {}))
        if first is not combination:
            differ = differences(story, self.given(first), performance)
            complaints += [f"differs from {first.name}: {line}" for line in differ]
            cell = "DIFFERS" if differ and cell == "ok" else cell
        self._cells[story.slug, combination.name] = cell
        return complaints

    def table(self) -> t.Iterator[str]:
        """Story × combination, with the seconds that each performance took, and why there is nothing in a cell."""
        columns = [name for name in self._wanted if name in self._given]
        stories = {slug: story for wanted in self._wanted.values() for slug, story in wanted.items()}
        if not columns:
            return
        width = max(len(story.name) for story in stories.values())
        yield f"{'':{width}}  " + "  ".join(columns)
        for slug, story in stories.items():
            cells = (f"{self._cells.get((slug, name), '-'):^{len(name)}}" for name in columns)
            yield f"{story.name:{width}}  " + "  ".join(cells).rstrip()
        times = (f"{f'{self._given[name].seconds:.0f} s':^{len(name)}}" for name in columns)
        yield f"{f'{len(stories)} stories':{width}}  " + "  ".join(times).rstrip()
        for name in columns:
            reasons = Counter(self._left_out[slug, name] for slug in stories if (slug, name) in self._left_out)
            for reason, count in reasons.most_common():
                yield f"{name}: {count} not played: {reason}"
