# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a play costs on the wire and in memory, counted by the lab. Figures are printed; see them with ``-s``."""

from __future__ import annotations

import typing as t
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from rehearsal.costs import FAILOVER, INFO, REVERT, Costs, big, play
from replica_lab.lab import Lab

Labs = Callable[..., Lab]
MEMORY = 300 * 1024 * 1024


def tell(what: str, costs: Costs) -> None:
    counters = costs.counters
    print(
        f"\n{what}: {counters['soap']}, {counters['bytes_in']} bytes to the host, {counters['bytes_out']} from it, "
        f"result {costs.result_size} bytes, controller at most {costs.peak_memory // 1024 // 1024} MiB"
    )


@pytest.mark.parametrize("count", [1, 100, 2000])
@pytest.mark.parametrize(
    ("module", "arguments", "queries"),
    [
        (FAILOVER, {"state": "reverted", "all": True}, 6),
        (INFO, {}, 6),
        (INFO, {"gather": ["recovery_points"]}, 7),
    ],
    ids=["failover", "info", "info and points"],
)
def test_a_reading_costs_the_same_queries_for_any_number_of_vms(
    lab: Labs, tmp_path: Path, module: str, arguments: dict[str, t.Any], queries: int, count: int
) -> None:
    costs = play(lab(big(count)), tmp_path, module, **arguments)
    counters = costs.counters
    tell(f"{module} {arguments}, {count} VMs", costs)
    assert set(counters["soap"]) <= {"Enumerate", "Pull"}
    assert counters["soap"]["Enumerate"] == len(counters["queries"]) == queries
    assert not counters["methods"]
    assert not counters["shells"]
    assert costs.peak_memory < MEMORY


def test_a_run_with_nothing_to_do_sends_the_reading_only(lab: Labs, tmp_path: Path) -> None:
    costs = play(lab(big(10)), tmp_path, FAILOVER, **REVERT, running_vm="turn_off")
    assert costs.counters["soap"] == {"Enumerate": 6}


@pytest.mark.parametrize("count", [1, 30])
def test_a_revert_adds_one_call_and_one_guard_a_vm_and_one_query_a_tick_for_all(
    lab: Labs, tmp_path: Path, count: int
) -> None:
    started = lab(big(5, failed_over=count, rate=10))
    costs = play(started, tmp_path, FAILOVER, **REVERT)
    counters = costs.counters
    tell(f"a revert of {count} VMs", costs)
    assert counters["methods"] == {"Msvm_ReplicationService.RevertFailover": count}
    assert counters["soap"]["Invoke"] == count
    assert counters["soap"]["Get"] == count
    # The reading, the service, the points failed over to, the ticks, and two queries that verify the end.
    assert costs.ticks >= 1
    assert counters["soap"]["Enumerate"] == 6 + 1 + 1 + costs.ticks + 2
    assert Counter(call["vm_id"] for call in started.calls).most_common(1)[0][1] == 1
