# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plays of docs/whole_failovers.md, ended somewhere and run again from their start.

What they promise: they come to the same end from wherever they were ended; each method reaches the world once for each
VM; a task that is done says so, or is refused because a later one has overtaken it; and a call that is still under way
is waited for or keeps others away. A play whose end is its beginning would promise none of it: it begins anew.
"""

from __future__ import annotations

import copy
import json
import os
import re
import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from rehearsal.combinations import engine
from rehearsal.lives import CALLBACKS, FAILOVER, REPLICATION, VM, A, B
from rehearsal.stage import ROOT, Ended, playbook, start
from replica_lab.lab import Lab
from test_whole_plays import kill, proc

Labs = Callable[..., Lab]
Play = dict[str, t.Any]
PAGE = ROOT / "docs" / "whole_failovers.md"
INFO = "hyperv.replica.replication_info"
STATE_CHANGE = "RequestReplicationStateChangeEx"


TRANSPORTS = ("wsman", "powershell") if os.environ.get("EVERYTHING") else ("wsman",)


@dataclass(frozen=True)
class Procedure:
    """What somebody wants done, with some of the plays of the page, in their order."""

    plays: tuple[str, ...]
    calls: tuple[tuple[str, str], ...]
    """Host and method of every call that it takes, in order."""
    overtaken: frozenset[str]
    """The states that are refused when the VM has been turned round."""
    in_the_way: frozenset[str]
    """The methods whose job is met by a task before their own one."""


PROCEDURES = {
    "planned": Procedure(
        ("Move VMs to this host",),
        (
            (A, "InitiateShutdown"),
            (A, STATE_CHANGE),
            (B, "InitiateFailover"),
            (B, "RequestStateChange"),
            (B, "ReverseReplicationRelationship"),
        ),
        overtaken=frozenset({"prepared", "failed_over"}),
        in_the_way=frozenset({"ReverseReplicationRelationship"}),
    ),
    "unplanned": Procedure(
        ("Go on without the old primary", "Keep what runs here, and replicate it to the old primary"),
        (
            (B, "InitiateFailover"),
            (B, "RequestStateChange"),
            (B, "CommitFailover"),
            (A, "RequestStateChange"),
            (A, STATE_CHANGE),
            (B, "ReverseReplicationRelationship"),
            (B, "StartReplication"),
        ),
        overtaken=frozenset({"failed_over", "committed"}),
        in_the_way=frozenset({"CommitFailover", "ReverseReplicationRelationship"}),
    ),
}
END = {
    A: {"mode": "replica", "state": "replicating", "power": "off"},
    B: {"mode": "primary", "state": "replicating", "power": "running"},
}
"""Where both lead."""


# --- the plays ------------------------------------------------------------------------------------------------


def documented() -> dict[str, Play]:
    """The plays of the page, by name."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return {play["name"]: play for block in blocks for play in yaml.safe_load(block)}


def of(procedure: Procedure, **variables: t.Any) -> list[Play]:
    """Its plays, with variables in place of theirs; what the page leaves to the inventory stays there."""
    found = [copy.deepcopy(documented()[name]) for name in procedure.plays]
    for play in found:
        play.update(
            hosts=B,
            vars=variables,
            module_defaults={module: {"poll_interval": 0.1} for module in (FAILOVER, REPLICATION)},
        )
    return found


def changing(tasks: list[dict[str, t.Any]]) -> t.Iterator[tuple[list[dict[str, t.Any]], dict[str, t.Any]]]:
    """The tasks that change something, in order, each with the list that holds it."""
    for task in tasks:
        if "block" in task:
            yield from changing(task["block"])
        elif INFO not in task:
            yield tasks, task


def ended_after(plays: list[Play], count: int) -> list[Play]:
    """The plays without the tasks after so many that change something."""
    found = [pair for play in plays for pair in changing(play["tasks"])]
    for holder, task in found[count:]:
        holder.remove(task)
        if not holder:
            holder.append({"name": "Nothing yet", "ansible.builtin.meta": "noop"})
    return plays


def without_a_look(plays: list[Play], vms: list[str]) -> list[Play]:
    """The plays as somebody would have them who does not look first, and goes on whatever happens."""
    for play in plays:
        play["tasks"] = [{**task, "ignore_errors": True} for _holder, task in changing(play["tasks"])]
        for task in play["tasks"]:
            task.pop("when", None)
            task.pop("vars", None)
        play["vars"]["others"] = vms
    return plays


def options(task: dict[str, t.Any]) -> dict[str, t.Any]:
    return next(value for key, value in task.items() if key.startswith("hyperv.replica."))


def write(directory: Path, inventory: dict[str, t.Any], plays: list[Play]) -> list[str]:
    (directory / "hosts.yml").write_text(yaml.safe_dump(inventory), "utf-8")
    (directory / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False), "utf-8")
    return ["-i", "hosts.yml", "play.yml", "--forks", "20"]


def run(directory: Path, arguments: list[str]) -> tuple[Ended, list[dict[str, t.Any]]]:
    """How it ended, and what each task came to, in order."""
    ended = playbook(
        arguments,
        directory,
        ANSIBLE_STDOUT_CALLBACK="one_document",
        ANSIBLE_CALLBACK_PLUGINS=str(CALLBACKS),
        ANSIBLE_VERBOSE_TO_STDERR="true",
    )
    return ended, json.loads(ended.stdout)["results"]


# --- the hosts ------------------------------------------------------------------------------------------------


def pair(vms: t.Sequence[str], **more: t.Any) -> dict[str, t.Any]:
    """Two hosts that replicate; the VMs run on the first."""
    return {
        "clock": {"rate": 20},
        "durations": {"initial_replication": 0},
        "assumptions": {"RESYNC_NEEDED_AFTER": 0},
        "hosts": {
            A: {"vms": [{"name": name, "mode": "primary", "power": "running"} for name in vms]},
            B: {"vms": [{"name": name, "mode": "replica"} for name in vms]},
        },
        **more,
    }


def at_the_end(lab: Lab) -> dict[str, list[dict[str, t.Any]]]:
    """Mode, state and power of all VMs, by host."""
    return {
        name: [{"mode": vm["mode_name"], "state": vm["state_name"], "power": vm["power_name"]} for vm in host["vms"]]
        for name, host in lab.world.snapshot()["hosts"].items()
    }


def calls_of(lab: Lab, vm: str = VM) -> list[tuple[str, str]]:
    return [(call["host"], call["method"]) for call in lab.calls if call["vm_name"] == vm]


# --- between two tasks ----------------------------------------------------------------------------------------


def foretold(states: list[str], count: int, overtaken: t.Container[str], looks: bool) -> list[str]:
    """What the tasks say of a VM with which the first ``count`` of them are done."""
    due = ["changed"] * (len(states) - count)
    turned_round = states.index("reversed") + 1
    if count < turned_round:
        return ["unchanged"] * count + due
    passed_over = turned_round if looks else 0
    return ["wrong_side" if state in overtaken else "unchanged" for state in states[passed_over:count]] + due


@pytest.mark.parametrize("looks", [True, False], ids=["as documented", "without a look"])
@pytest.mark.parametrize("name", PROCEDURES)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_play_that_was_ended_after_any_task_is_run_again(
    transport: str, name: str, looks: bool, lab: Labs, tmp_path: Path
) -> None:
    """One VM for each task after which a play can be ended; the next run has them all, each where it was left."""
    pwsh = engine() if transport == "powershell" else None
    if isinstance(pwsh, str):
        pytest.skip(pwsh)
    procedure = PROCEDURES[name]
    states = [options(task)["state"] for play in of(procedure) for _holder, task in changing(play["tasks"])]
    vms = [f"ended-after-{count}" for count in range(len(states) + 1)]
    started = lab(pair(vms), powershell=pwsh)  # its inventory leaves the transport out then: PowerShell is the default
    ended_plays = [
        play for count, vm in enumerate(vms) for play in ended_after(of(procedure, vms=[vm], old_primary=A), count)
    ]
    ended, _results = run(tmp_path, write(tmp_path, started.inventory(), ended_plays))
    assert ended.returncode == 0, ended.stdout + ended.stderr

    again = of(procedure, vms=vms, old_primary=A)
    if not looks:
        again = without_a_look(again, vms)
    arguments = write(tmp_path, started.inventory(), again)
    ended, results = run(tmp_path, arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told: dict[str, list[str]] = {vm: [] for vm in vms}
    for result in results:
        for vm in result["result"].get("vms", []):
            if "outcome" in vm:  # not those of the look
                told[vm["name"]].append(vm["error_class"] or vm["outcome"])
                assert vm["certainty"] == ("changed" if vm["outcome"] == "changed" else "nothing_changed")
    expected = {vm: foretold(states, count, procedure.overtaken, looks) for count, vm in enumerate(vms)}
    assert told == expected

    assert at_the_end(started) == {host: [shown] * len(vms) for host, shown in END.items()}
    assert {vm: calls_of(started, vm) for vm in vms} == {vm: list(procedure.calls) for vm in vms}
    if looks:
        ended, results = run(tmp_path, arguments)
        assert (ended.returncode, any(one["result"].get("changed") for one in results)) == (0, False)
        assert len(started.calls) == len(vms) * len(procedure.calls)


# --- within a call --------------------------------------------------------------------------------------------

NOT_CARRIED_OUT, UNDER_WAY = "not carried out", "under way"
JOBLESS = frozenset({"InitiateShutdown"})
PATIENCE = 600
"""Seconds after which a call has not been sent at all."""


@dataclass
class Case:
    """A pair of hosts on which the controller dies in one certain call."""

    name: str
    lab: Lab
    host: str
    method: str
    kind: str

    @property
    def reached(self) -> bool:
        """Whether the play has come to that call, and hangs in it."""
        if self.kind == NOT_CARRIED_OUT:
            return any(fault["left"] == 0 for fault in self.lab.faults.as_list())
        return (self.host, self.method) in calls_of(self.lab)

    def go_on(self) -> None:
        """Let the host do what it can: nothing of a request that is lost, the rest of one that it has begun."""
        if self.kind == NOT_CARRIED_OUT:
            self.lab.clear_faults()
        else:
            self.lab.world.act(self.host, VM, "release_job")


def cases(procedure: Procedure, lab: Labs) -> list[Case]:
    found = []
    for number, (host, method) in enumerate(procedure.calls):
        for kind in (NOT_CARRIED_OUT, UNDER_WAY):
            if kind == UNDER_WAY and method in JOBLESS:
                continue
            fate = {"host": host, "method": method, "outcome": "job_hangs", "times": 1}
            started = lab(pair([VM], fates=[fate] if kind == UNDER_WAY else []))
            if kind == NOT_CARRIED_OUT:
                started.fault(do="hang", host=host, method=method, times=1)
            found.append(Case(f"{number + 1} {method} {kind}".replace(" ", "-"), started, host, method, kind))
    return found


def stage(cases: t.Iterable[Case]) -> dict[str, t.Any]:
    """An inventory of the replica hosts of all pairs, each with its old primary behind it."""
    here: dict[str, t.Any] = {}
    there: dict[str, t.Any] = {}
    for case in cases:
        group = case.lab.inventory()["all"]["children"]["hyperv"]
        shared = {**group["vars"], "ansible_winrm_read_timeout_sec": 3600}
        there[f"{case.name}-old"] = {**shared, **group["hosts"][A]}
        here[case.name] = {**shared, **group["hosts"][B], "old_primary": f"{case.name}-old"}
    return {"all": {"children": {"here": {"hosts": here}, "there": {"hosts": there}}}}


def one_play(procedure: Procedure, **defaults: t.Any) -> list[Play]:
    """Its plays as one, in which no host waits for another."""
    first, *others = of(procedure, vms=[VM])
    first.update(hosts="here", strategy="ansible.builtin.free")
    first["tasks"] = [*first["tasks"], *(task for play in others for task in play["tasks"])]
    for module in first["module_defaults"].values():
        module.update(defaults)
    return [first]


@proc
@pytest.mark.parametrize("name", PROCEDURES)
def test_a_play_whose_controller_died_within_any_call_is_run_again(name: str, lab: Labs, tmp_path: Path) -> None:
    procedure = PROCEDURES[name]
    played = cases(procedure, lab)
    # An hour to wait: on a busy machine the first must not have given up when the last one gets there.
    process = start(write(tmp_path, stage(played), one_play(procedure, wait_timeout=3600)), tmp_path)
    try:
        deadline = time.monotonic() + PATIENCE
        while not all(case.reached for case in played):
            missing = [case.name for case in played if not case.reached]
            assert process.poll() is None and time.monotonic() < deadline, (missing, (tmp_path / "stdout").read_text())
            time.sleep(0.1)
    finally:
        kill(process)

    # While a call is under way nothing is sent: its own task waits for it, and from any other it is in the way.
    begun = [case for case in played if case.kind == UNDER_WAY and case.method != "RequestStateChange"]
    before = [calls_of(case.lab) for case in begun]
    _ended, results = run(tmp_path, write(tmp_path, stage(begun), one_play(procedure, wait_timeout=1)))
    told = {one["host"]: one["result"]["vms"][0] for one in results if one["status"] == "failed"}
    assert {case: (vm["error_class"], vm["certainty"]) for case, vm in told.items()} == {
        case.name: ("busy" if case.method in procedure.in_the_way else "job_timeout", "nothing_changed")
        for case in begun
    }
    assert [calls_of(case.lab) for case in begun] == before

    for case in played:
        case.go_on()
    ended, results = run(tmp_path, write(tmp_path, stage(played), one_play(procedure)))
    assert ended.returncode == 0, [one for one in results if one["status"] == "failed"]
    for case in played:
        assert (case.name, at_the_end(case.lab)) == (case.name, {host: [shown] for host, shown in END.items()})
        assert (case.name, calls_of(case.lab)) == (case.name, list(procedure.calls))
        sent = sum(sum(host.counters.as_dict()["methods"].values()) for host in case.lab.hosts.values())
        assert (case.name, sent) == (case.name, len(procedure.calls) + (case.kind == NOT_CARRIED_OUT))
