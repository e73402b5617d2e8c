# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""World time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from replica_lab.clock import Clock

START = datetime(2026, 11, 1, 3, 0, tzinfo=timezone.utc)


class Ticks:
    """Real time that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_world_time_runs_at_its_rate_and_keeps_what_went_before_when_that_changes() -> None:
    ticks = Ticks()
    clock = Clock(10, START, ticks)
    ticks.seconds = 3
    assert clock.now() == START + timedelta(seconds=30)
    clock.rate = 0
    ticks.seconds = 100
    assert clock.now() == START + timedelta(seconds=30)
    clock.advance(5)
    clock.rate = 1
    ticks.seconds = 101
    assert clock.now() == START + timedelta(seconds=36)


def test_time_never_goes_back() -> None:
    clock = Clock(0)
    with pytest.raises(ValueError):
        clock.advance(-1)
    with pytest.raises(ValueError):
        clock.rate = -1
    with pytest.raises(ValueError):
        Clock(-1)


def test_a_clock_begins_now_in_utc() -> None:
    assert Clock(0).now().utcoffset() == timedelta(0)
    assert abs(Clock(0).now() - datetime.now(timezone.utc)) < timedelta(minutes=1)
