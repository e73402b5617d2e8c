# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The targets that are meant for a real pair, played on simulated hosts: nobody else runs them before that person."""

from __future__ import annotations

import typing as t
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rehearsal.stage import Ended, playbook
from replica_lab.lab import Lab

TARGETS = Path(__file__).with_name("targets")
WITH_TESTS = sorted(path.parent.name for path in TARGETS.glob("*/aliases"))
VM = "Nobody's"
OTHER = "Somebody's"
CALLS = {
    "replication_info": Counter(),
    "failover": Counter(
        {
            ("HV-PRIMARY", "RequestReplicationStateChangeEx"): 2,  # it prepares, and at the end it resumes
            ("HV-PRIMARY", "RevertFailover"): 1,
            ("HV-REPLICA", "InitiateFailover"): 1,
            ("HV-REPLICA", "RevertFailover"): 1,
        }
    ),
}


def pair() -> dict[str, t.Any]:
    return {
        "clock": {"rate": 50},
        "hosts": {
            "HV-REPLICA": {"vms": [{"name": name, "mode": "replica"} for name in (VM, OTHER)]},
            "HV-PRIMARY": {"vms": [{"name": name, "mode": "primary"} for name in (VM, OTHER)]},
        },
    }


def play(lab: Lab, target: str, directory: Path) -> Ended:
    """A play as the README has it."""
    inventory = lab.inventory()
    inventory["all"]["vars"] = {"pair_vm": VM, "pair_primary": "HV-PRIMARY", "pair_replica": "HV-REPLICA"}
    faster = {f"hyperv.replica.{module}": {"poll_interval": 0.1} for module in ("failover", "replication")}
    whole = {"name": target, "hosts": "hyperv", "gather_facts": False, "roles": [target], "module_defaults": faster}
    (directory / "hosts.yml").write_text(yaml.safe_dump(inventory), "utf-8")
    (directory / "play.yml").write_text(yaml.safe_dump([whole]), "utf-8")
    return playbook(["-i", "hosts.yml", "play.yml"], directory, ANSIBLE_ROLES_PATH=str(TARGETS))


def states(lab: Lab) -> dict[tuple[str, str], tuple[str, str]]:
    hosts = lab.world.snapshot()["hosts"]
    return {
        (host, vm["name"]): (vm["state_name"], vm["power_name"]) for host, found in hosts.items() for vm in found["vms"]
    }


@pytest.mark.parametrize("target", WITH_TESTS)
def test_a_target_passes_and_leaves_the_pair_as_it_was(
    lab: Callable[..., Lab], tmp_path: Path, target: str
) -> None:
    started = lab(pair())
    before = states(started)
    ended = play(started, target, tmp_path)
    assert ended.returncode == 0, ended.stdout[-4000:]
    assert Counter((call["host"], call["method"]) for call in started.calls) == CALLS[target]
    assert {call["vm_name"] for call in started.calls} <= {VM}
    assert states(started) == before


def test_a_target_that_fails_half_way_cleans_up_and_fails(lab: Callable[..., Lab], tmp_path: Path) -> None:
    """The revert that is to be tested fails; the clean-up has to do it."""
    fate = {"host": "HV-REPLICA", "method": "RevertFailover", "outcome": "job_fails", "times": 1}
    started = lab({**pair(), "fates": [fate]})
    before = states(started)
    ended = play(started, "failover", tmp_path)
    assert ended.returncode == 2, ended.stdout[-4000:]
    assert [call["method"] for call in started.calls if call["host"] == "HV-REPLICA"][-2:] == ["RevertFailover"] * 2
    assert states(started) == before


def test_a_target_does_not_begin_with_a_vm_that_is_not_at_rest(lab: Callable[..., Lab], tmp_path: Path) -> None:
    world = pair()
    world["hosts"]["HV-PRIMARY"]["vms"][0]["power"] = "running"
    started = lab(world)
    ended = play(started, "failover", tmp_path)
    assert ended.returncode == 2
    assert "has to replicate from HV-PRIMARY to HV-REPLICA, off" in ended.stdout
    assert not started.calls
