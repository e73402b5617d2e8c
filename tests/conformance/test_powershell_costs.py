# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How often a play starts PowerShell on a host, counted by the lab."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from rehearsal.combinations import engine
from rehearsal.costs import FAILOVER, JOBS, big, play
from replica_lab.lab import Lab
from replica_lab.powershell.engine import Engine


@pytest.mark.parametrize("failed_over", [0, 20, 200])
def test_two_hundred_vms_start_powershell_twice_and_once_for_each_slice_of_waiting(
    lab: Callable[..., Lab], tmp_path: Path, failed_over: int
) -> None:
    found = engine()
    if not isinstance(found, Engine):
        pytest.skip(found)
    started = lab(big(200 - failed_over, failed_over=failed_over, rate=20), powershell=found)
    arguments = {"state": "reverted", "all": True, "discard_guest_writes": True}
    counters = play(started, tmp_path, FAILOVER, **arguments).counters
    # Between two slices something else is asked: the service for the next calls, or the VMs at the end.
    slices = [waited for waited, _group in itertools.groupby(counters["queries"][7:], lambda q: bool(JOBS.search(q)))]
    assert counters["methods"] == ({"Msvm_ReplicationService.RevertFailover": failed_over} if failed_over else {})
    assert counters["powershell"] <= (2 + slices.count(True) if failed_over else 1), counters["powershell"]
    print(f"\n{failed_over} of 200 reverted: {counters['powershell']} starts, {slices.count(True)} slices of waiting")
