# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role revert_failover on pairs of simulated hosts: what it does, in which order, and what it refuses to do."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rehearsal.stage import Ended, playbook
from replica_lab.lab import Lab

GUID = "0F1E2D3C-4B5A-6978-8796-A5B4C3D2E1F0"
WITH_CONSENT = {"discard_guest_writes": True, "running_vm": "turn_off"}
PLANNED = {
    "replica": {"name": "Planned", "mode": "replica", "state": "failed_over"},
    "primary": {"name": "Planned", "mode": "primary", "state": "prepared_for_planned_failover"},
}
CALLED_OFF = {**PLANNED, "replica": {"name": "Planned", "mode": "replica"}}
SUDDEN = {
    "replica": {"name": "Sudden", "mode": "replica", "state": "failed_over", "power": "running"},
    "primary": {"name": "Sudden", "mode": "primary", "state": "critical"},
}
QUIET = {
    "replica": {"name": "Quiet", "mode": "replica"},
    "primary": {"name": "Quiet", "mode": "primary", "power": "running"},
}
COMMITTED = {
    "replica": {"name": "Planned", "mode": "replica", "state": "committed"},
    "primary": PLANNED["primary"],
}
Vms = list[dict[str, t.Any]]


def world(replicas: Vms, primaries: Vms, **more: t.Any) -> dict[str, t.Any]:
    return {
        "clock": {"rate": 20},
        "users": {"operator": {"password": "replica-lab", "rights": "full"}},
        "hosts": {"HV-REPLICA": {"vms": replicas}, "HV-PRIMARY": {"vms": primaries}},
        **more,
    }


def pairs(*kinds: dict[str, dict[str, t.Any]], **more: t.Any) -> dict[str, t.Any]:
    """A world with these pairs of VMs."""
    return world([kind["replica"] for kind in kinds], [kind["primary"] for kind in kinds], **more)


class Stage:
    """One lab, and plays with the role on its hosts."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory

    def revert(
        self,
        *options: str,
        names: list[str] | None = None,
        play: dict[str, t.Any] | None = None,
        closed: str = "",
        **variables: t.Any,
    ) -> Ended:
        """Run the role on both hosts with its variables, given without their prefix; ``closed`` cannot be reached."""
        inventory = self.lab.inventory()
        if closed:
            inventory["all"]["children"]["hyperv"]["hosts"][closed]["ansible_port"] = 9
        role = {f"revert_failover_{name}": value for name, value in variables.items()}
        if names is not None:
            role["revert_failover_names"] = names
        whole = {
            "name": "Revert",
            "hosts": "hyperv",
            "gather_facts": False,
            "module_defaults": {"hyperv.replica.failover": {"poll_interval": 0.2}},
            "any_errors_fatal": True,
            "roles": [{"role": "hyperv.replica.revert_failover", "vars": role}],
            **(play or {}),
        }
        (self.directory / "hosts.yml").write_text(yaml.safe_dump(inventory), "utf-8")
        (self.directory / "play.yml").write_text(yaml.safe_dump([whole]), "utf-8")
        return playbook(["-i", "hosts.yml", "play.yml", *options], self.directory)

    def calls(self) -> list[tuple[str, str, str]]:
        return [(call["host"], call["method"], call["vm_name"]) for call in self.lab.calls]

    def states(self) -> dict[tuple[str, str], str]:
        hosts = self.lab.world.snapshot()["hosts"]
        return {(name, vm["name"]): vm["state_name"] for name, host in hosts.items() for vm in host["vms"]}


@pytest.fixture
def stage(lab: Callable[..., Lab], tmp_path: Path) -> Callable[[dict[str, t.Any]], Stage]:
    return lambda scenario: Stage(lab(scenario), tmp_path)


def recap(ended: Ended, word: str) -> dict[str, int]:
    """What the recap counts under a word, by host."""
    found = re.findall(rf"^(\S+) +: .*\b{word}=(\d+)", ended.stdout.rpartition("PLAY RECAP")[2], re.MULTILINE)
    return {host: int(count) for host, count in found}


REPLICA_SIDE = ("HV-REPLICA", "RevertFailover", "Planned")
PRIMARY_SIDE = ("HV-PRIMARY", "RevertFailover", "Planned")


def test_check_run_and_again(stage: Callable[..., Stage]) -> None:
    pair = stage(pairs(PLANNED, SUDDEN, QUIET))
    checked = pair.revert("--check", "--diff", all=True, **WITH_CONSENT)
    assert (checked.returncode, recap(checked, "changed")) == (0, {"HV-PRIMARY": 1, "HV-REPLICA": 1})
    assert pair.calls() == []
    assert "3 of 3 would get there." in checked.stdout

    done = pair.revert(all=True, **WITH_CONSENT)
    assert (done.returncode, recap(done, "changed")) == (0, {"HV-PRIMARY": 1, "HV-REPLICA": 1})
    assert sorted(pair.calls()[:-1]) == [
        ("HV-REPLICA", "RequestStateChange", "Sudden"),
        ("HV-REPLICA", "RevertFailover", "Planned"),
        ("HV-REPLICA", "RevertFailover", "Sudden"),
    ]
    assert pair.calls()[-1] == PRIMARY_SIDE
    assert "Sudden on HV-PRIMARY (critical)" in done.stdout  # what a revert does not mend is named

    again = pair.revert(all=True, **WITH_CONSENT)
    assert (again.returncode, recap(again, "changed")) == (0, {"HV-PRIMARY": 0, "HV-REPLICA": 0})
    assert len(pair.calls()) == 4
    assert "There was nothing to do." in again.stdout


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        pytest.param({}, "Set either revert_failover_names", id="neither"),
        pytest.param({"names": ["Planned"], "all": True}, "Set either revert_failover_names", id="both"),
        pytest.param({"names": ["Planned", "Sudden"]}, "Planned on HV-REPLICA (replica, failed_over", id="consent"),
        pytest.param({"names": ["Planned", "nobody"], **WITH_CONSENT}, "nobody: no host that was read", id="nowhere"),
        pytest.param({"names": ["Plan*"], **WITH_CONSENT}, "looks like a wildcard", id="wildcard"),
        pytest.param({"all": True, "max_changes": 1, **WITH_CONSENT}, "allows 1", id="too many"),
        pytest.param({"names": [815], **WITH_CONSENT}, "not text", id="number"),
    ],
)
def test_what_stands_in_the_way_ends_the_play_before_anything_is_changed(
    stage: Callable[..., Stage], variables: dict[str, t.Any], said: str
) -> None:
    pair = stage(pairs(PLANNED, SUDDEN))
    ended = pair.revert(**variables)
    assert ended.returncode == 2
    assert said in ended.stdout + ended.stderr
    assert pair.calls() == []


def test_a_survey_gives_texts(stage: Callable[..., Stage]) -> None:
    pair = stage(pairs(PLANNED, SUDDEN))
    ended = pair.revert(
        "-e", "revert_failover_names='Planned,Sudden' revert_failover_all=false",
        "-e", "revert_failover_discard_guest_writes=yes revert_failover_running_vm=turn_off",
    )  # fmt: skip
    assert ended.returncode == 0
    assert set(pair.states().values()) == {"replicating", "critical"}


def test_one_name_for_two_vms_that_are_no_pair(stage: Callable[..., Stage]) -> None:
    stranger = {**PLANNED["primary"], "id": GUID}
    pair = stage(world([PLANNED["replica"]], [stranger]))
    ended = pair.revert(names=["planned"], unready="skip", **WITH_CONSENT)
    assert ended.returncode == 2
    assert "2 VMs bear this name" in ended.stdout and GUID in ended.stdout
    assert pair.calls() == []


def test_one_name_for_two_vms_of_one_host(stage: Callable[..., Stage]) -> None:
    pair = stage(world([PLANNED["replica"], {**PLANNED["replica"], "id": GUID}], [PLANNED["primary"]]))
    ended = pair.revert(names=["Planned"], unready="skip", **WITH_CONSENT)
    assert ended.returncode == 2
    assert GUID in ended.stdout
    assert pair.calls() == []


def test_the_same_vm_twice_on_one_side(stage: Callable[..., Stage]) -> None:
    pair = stage(world([PLANNED["replica"]], [{**PLANNED["replica"], "peer": "HV-C"}]))
    ended = pair.revert(names=["Planned"], unready="skip", **WITH_CONSENT)
    assert ended.returncode == 2
    assert "found 2 times as replica, on HV-PRIMARY, HV-REPLICA" in ended.stdout
    assert pair.calls() == []


def test_a_vm_that_somebody_else_works_on(stage: Callable[..., Stage]) -> None:
    scenario = pairs(PLANNED, SUDDEN)
    scenario["hosts"]["HV-REPLICA"]["jobs"] = [{"do": "commit", "vm": "Planned", "seconds": 7200, "owner": r"LAB\jo"}]
    pair = stage(scenario)
    stopped = pair.revert(all=True, **WITH_CONSENT)
    assert stopped.returncode == 2
    assert "busy, commit_failover is at" in stopped.stdout
    assert pair.calls() == []

    skipped = pair.revert(all=True, unready="skip", **WITH_CONSENT)
    assert skipped.returncode == 2
    assert [call for call in pair.calls() if call[2] != "Sudden"] == []
    assert pair.states()["HV-REPLICA", "Sudden"] == "replicating"
    assert "Planned on HV-PRIMARY (primary): NOT THERE. Left alone" in skipped.stdout


@pytest.mark.parametrize("unready", ["stop", "skip"])
@pytest.mark.parametrize("closed", ["HV-PRIMARY", "HV-REPLICA"])
def test_a_host_that_cannot_be_reached(stage: Callable[..., Stage], unready: str, closed: str) -> None:
    pair = stage(pairs(PLANNED))
    ended = pair.revert(names=["Planned"], closed=closed, unready=unready, **WITH_CONSENT)
    assert ended.returncode == 2
    assert f"{closed}: not read." in ended.stdout
    # Whatever may be skipped: a primary is never released without a word of its replica.
    allowed = [REPLICA_SIDE] if unready == "skip" and closed == "HV-PRIMARY" else []
    assert pair.calls() == allowed


def test_a_primary_alone_is_released_only_by_consent(stage: Callable[..., Stage]) -> None:
    pair = stage(pairs(CALLED_OFF))
    alone = pair.revert("--limit", "HV-PRIMARY", names=["Planned"])
    assert alone.returncode == 2
    assert "no host that was read has its replica" in alone.stdout
    assert pair.calls() == []

    consented = pair.revert("--limit", "HV-PRIMARY", names=["Planned"], allow_primary_without_replica=True)
    assert consented.returncode == 0
    assert pair.calls() == [PRIMARY_SIDE]


def test_a_replica_that_does_not_get_there_keeps_its_primary(stage: Callable[..., Stage]) -> None:
    fate = {"method": "RevertFailover", "vm": "Planned", "host": "HV-REPLICA", "outcome": "job_fails"}
    pair = stage(pairs(PLANNED, SUDDEN, fates=[fate]))
    ended = pair.revert(all=True, **WITH_CONSENT)
    assert ended.returncode == 2
    assert PRIMARY_SIDE not in pair.calls()
    assert pair.states()["HV-PRIMARY", "Planned"] == "prepared_for_planned_failover"
    assert pair.states()["HV-REPLICA", "Sudden"] == "replicating"
    assert "Planned on HV-REPLICA (replica): NOT THERE. job_failed" in ended.stdout
    assert "Planned on HV-PRIMARY (primary): NOT THERE. Left alone" in ended.stdout
    assert recap(ended, "failed")["HV-REPLICA"] == 1


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        # The module itself notices, before its task ends.
        pytest.param({"after_job": {"type": 98, "vm": "Planned"}}, "NOT THERE. ", id="at once"),
        # Two readings plan and decide, the third confirms the revert: only the role looks again after that.
        pytest.param({"after_reads": 3}, "NOT THERE. It was reverted, and is fail", id="a little later"),
    ],
)
def test_a_replica_that_somebody_fails_over_again_keeps_its_primary(
    stage: Callable[..., Stage], moment: dict[str, t.Any], said: str
) -> None:
    again = {"when": moment, "host": "HV-REPLICA", "vm": "Planned", "do": "initiate_failover"}
    pair = stage(pairs(PLANNED, happenings=[again]))
    ended = pair.revert(all=True, **WITH_CONSENT)
    assert ended.returncode == 2
    assert pair.calls() == [REPLICA_SIDE]
    assert pair.states()["HV-PRIMARY", "Planned"] == "prepared_for_planned_failover"
    assert f"Planned on HV-REPLICA (replica): {said}" in ended.stdout
    assert "Planned on HV-PRIMARY (primary): NOT THERE. Left alone" in ended.stdout


def test_a_committed_replica_keeps_its_primary(stage: Callable[..., Stage]) -> None:
    pair = stage(pairs(COMMITTED))
    ended = pair.revert(all=True, **WITH_CONSENT)
    assert ended.returncode == 2
    assert pair.calls() == []
    assert "Planned on HV-PRIMARY (primary): NOT THERE. Left alone" in ended.stdout


def test_a_host_that_goes_away_in_the_middle(stage: Callable[..., Stage]) -> None:
    pair = stage(pairs(PLANNED))
    pair.lab.fault(do="refuse_port", host="HV-PRIMARY", method="RevertFailover")
    ended = pair.revert(all=True, wait_timeout=2, **WITH_CONSENT)
    assert ended.returncode == 2
    assert pair.calls() == [REPLICA_SIDE]
    assert recap(ended, "failed")["HV-PRIMARY"] == 1
    assert "Planned on HV-PRIMARY (primary): NOT THERE." in ended.stdout


def test_half_of_the_hosts_at_a_time_is_refused(stage: Callable[..., Stage]) -> None:
    pair = stage(pairs(PLANNED))
    ended = pair.revert(all=True, play={"serial": 1}, **WITH_CONSENT)
    assert ended.returncode == 2
    assert "Remove the keyword serial" in ended.stdout + ended.stderr
    assert pair.calls() == []


def test_names_that_look_like_templates_are_only_names(stage: Callable[..., Stage]) -> None:
    names = ["{{ 7 * 7 }}", "{% for", "[1, 2]", "True", "{a: b}", "{{ lookup('pipe', 'touch lured') }}"]
    pair = stage(world([{"name": name, "mode": "replica", "state": "failed_over"} for name in names], []))
    ended = pair.revert(all=True, **WITH_CONSENT)
    assert ended.returncode == 0
    assert set(pair.states().values()) == {"replicating"}
    assert "{{ 7 * 7 }} on HV-REPLICA (replica): changed" in ended.stdout
    assert not (pair.directory / "lured").exists()
