# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one task on a large host costs, as the lab counts it: for the tests of the counts, and for the benchmark."""

from __future__ import annotations

import re
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import yaml
from replica_lab import scenario
from replica_lab.lab import Lab
from replica_lab.world import World

from rehearsal.stage import playbook

HOST = "HV-REPLICA"
FAILOVER = "hyperv.replica.failover"
INFO = "hyperv.replica.replication_info"
REVERT: dict[str, t.Any] = {"state": "reverted", "all": True, "discard_guest_writes": True, "max_parallel": 0}
JOBS = re.compile(r"FROM Msvm_ConcreteJob WHERE .*InstanceID|FROM Msvm_ConcreteJob$")
"""The query of a tick."""


@dataclass(frozen=True)
class Costs:
    """What a play of one task came to."""

    counters: dict[str, t.Any]
    """Counters of the host that it was about."""
    result_size: int
    """Of the result as JSON, in bytes."""
    peak_memory: int
    """Bytes of the largest process on the controller."""
    seconds: float
    """Of the whole play, the start of Ansible included."""

    @property
    def requests(self) -> int:
        return sum(self.counters["soap"].values())

    @property
    def ticks(self) -> int:
        return sum(1 for query in self.counters["queries"] if JOBS.search(query))


def big(count: int, failed_over: int = 0, rate: float = 0) -> World:
    """A large host: so many VMs that need nothing, and so many more that are failed over."""
    world = scenario.load("big", {"count": count, "failed_over": failed_over})
    world.clock.rate = rate
    return world


def play(lab: Lab, directory: Path, module: str, **arguments: t.Any) -> Costs:
    """One task on the replica host. Raises RuntimeError where it does not end well."""
    lab.reset_counters()
    tasks = [
        {"name": "Ask", module: arguments, "register": "answer"},
        {"name": "Size", "ansible.builtin.debug": {"msg": "SIZE={{ answer | to_json | length }}"}},
    ]
    whole = [{"name": "Costs", "hosts": HOST, "gather_facts": False, "tasks": tasks}]
    (directory / "hosts.yml").write_text(yaml.safe_dump(lab.inventory()), "utf-8")
    (directory / "play.yml").write_text(yaml.safe_dump(whole), "utf-8")
    began = time.monotonic()
    ended = playbook(["-i", "hosts.yml", "play.yml"], directory)
    seconds = time.monotonic() - began
    size = re.search(r"SIZE=(\d+)", ended.stdout)
    if ended.returncode or size is None:
        raise RuntimeError(f"ansible-playbook ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}")
    return Costs(lab.hosts[HOST].counters.as_dict(), int(size.group(1)), ended.peak_memory, seconds)
