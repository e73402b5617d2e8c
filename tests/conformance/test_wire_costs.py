# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a play costs on the wire and in memory, counted by the lab. Figures are printed; see them with ``-s``."""

from __future__ import annotations

import re
import typing as t
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rehearsal.stage import Ended, playbook
from replica_lab import scenario
from replica_lab.lab import Lab

Labs = Callable[..., Lab]
JOBS = re.compile(r"FROM Msvm_ConcreteJob WHERE .*InstanceID|FROM Msvm_ConcreteJob$")
QUIET = "hyperv.replica.failover"
INFO = "hyperv.replica.replication_info"
MEMORY = 300 * 1024 * 1024


def play(lab: Lab, directory: Path, module: str, **arguments: t.Any) -> tuple[Ended, int]:
    """One task on the replica host; how it ended, and the size of its result as JSON in bytes."""
    lab.reset_counters()
    tasks = [
        {"name": "Ask", module: arguments, "register": "answer"},
        {"name": "Size", "ansible.builtin.debug": {"msg": "SIZE={{ answer | to_json | length }}"}},
    ]
    whole = [{"name": "Costs", "hosts": "HV-REPLICA", "gather_facts": False, "tasks": tasks}]
    (directory / "hosts.yml").write_text(yaml.safe_dump(lab.inventory()), "utf-8")
    (directory / "play.yml").write_text(yaml.safe_dump(whole), "utf-8")
    ended = playbook(["-i", "hosts.yml", "play.yml"], directory)
    assert ended.returncode == 0, ended.stdout
    size = re.search(r"SIZE=(\d+)", ended.stdout)
    return ended, int(size.group(1)) if size else 0


def big(count: int, failed_over: int = 0, rate: float = 0) -> t.Any:
    world = scenario.load("big", {"count": count, "failed_over": failed_over})
    world.clock.rate = rate
    return world


def tell(what: str, lab: Lab, ended: Ended, size: int) -> None:
    counters = lab.hosts["HV-REPLICA"].counters.as_dict()
    print(
        f"\n{what}: {counters['soap']}, {counters['bytes_in']} bytes to the host, {counters['bytes_out']} from it, "
        f"result {size} bytes, controller at most {ended.peak_memory // 1024 // 1024} MiB"
    )


@pytest.mark.parametrize("count", [1, 100, 2000])
@pytest.mark.parametrize(
    ("module", "arguments", "queries"),
    [
        (QUIET, {"state": "reverted", "all": True}, 6),
        (INFO, {}, 6),
        (INFO, {"gather": ["recovery_points"]}, 7),
    ],
    ids=["failover", "info", "info and points"],
)
def test_a_reading_costs_the_same_queries_for_any_number_of_vms(
    lab: Labs, tmp_path: Path, module: str, arguments: dict[str, t.Any], queries: int, count: int
) -> None:
    started = lab(big(count))
    ended, size = play(started, tmp_path, module, **arguments)
    counters = started.hosts["HV-REPLICA"].counters.as_dict()
    tell(f"{module} {arguments}, {count} VMs", started, ended, size)
    assert set(counters["soap"]) <= {"Enumerate", "Pull"}
    assert counters["soap"]["Enumerate"] == len(counters["queries"]) == queries
    assert not counters["methods"]
    assert not counters["shells"]
    assert ended.peak_memory < MEMORY


def test_a_run_with_nothing_to_do_sends_the_reading_only(lab: Labs, tmp_path: Path) -> None:
    started = lab(big(10))
    play(started, tmp_path, QUIET, state="reverted", all=True, discard_guest_writes=True, running_vm="turn_off")
    assert started.hosts["HV-REPLICA"].counters.as_dict()["soap"] == {"Enumerate": 6}


@pytest.mark.parametrize("count", [1, 30])
def test_a_revert_adds_one_call_and_one_guard_a_vm_and_one_query_a_tick_for_all(
    lab: Labs, tmp_path: Path, count: int
) -> None:
    started = lab(big(5, failed_over=count, rate=10))
    arguments = {"state": "reverted", "all": True, "discard_guest_writes": True, "max_parallel": 0}
    ended, size = play(started, tmp_path, QUIET, **arguments)
    counters = started.hosts["HV-REPLICA"].counters.as_dict()
    tell(f"a revert of {count} VMs", started, ended, size)
    ticks = sum(1 for query in counters["queries"] if JOBS.search(query))
    assert counters["methods"] == {"Msvm_ReplicationService.RevertFailover": count}
    assert counters["soap"]["Invoke"] == count
    assert counters["soap"]["Get"] == count
    # The reading, the service, the points failed over to, the ticks, and two queries that verify the end.
    assert ticks >= 1
    assert counters["soap"]["Enumerate"] == 6 + 1 + 1 + ticks + 2
    assert Counter(call["vm_id"] for call in started.calls).most_common(1)[0][1] == 1
