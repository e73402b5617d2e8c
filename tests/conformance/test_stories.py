# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every story over every combination: as it is told, and the same as over the first combination."""

from __future__ import annotations

from rehearsal.combinations import Combination
from rehearsal.season import Season
from rehearsal.stories import Story


def test_story(combination: Combination, story: Story, season: Season) -> None:
    complaints = season.complaints(combination, story)
    assert not complaints, "\n".join([f"{story.file}.yml: {story.name}", *complaints])
