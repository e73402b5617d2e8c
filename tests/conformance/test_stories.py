# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every story over every combination: as it is told, and the same as over the first combination."""

from __future__ import annotations

import pytest
from rehearsal.combinations import Combination, combinations
from rehearsal.season import Season
from rehearsal.stories import Story
from replica_lab.powershell import engine


def test_story(combination: Combination, story: Story, season: Season) -> None:
    complaints = season.complaints(combination, story)
    assert not complaints, "\n".join([f"{story.file}.yml: {story.name}", *complaints])


@pytest.mark.skipif(not engine.BESIDE.is_file(), reason="no PowerShell engine lies beside the repository")
def test_powershell_is_not_missing_where_an_engine_lies_beside_the_repository() -> None:
    missing = {one.name: one.missing for one in combinations() if one.name in ("powershell-winrm", "powershell-psrp")}
    assert missing == {"powershell-winrm": "", "powershell-psrp": ""}
