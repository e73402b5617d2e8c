# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays of which one task on one host is not the whole story: several hosts, several tasks, a controller that dies."""

from __future__ import annotations

import json
import os
import signal
import time
import typing as t
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rehearsal.stage import Ended, playbook, start
from replica_lab.lab import Lab

FAILOVER = "hyperv.replica.failover"
CALLBACKS = Path(__file__).parent / "callback_plugins"
FAILED_OVER = {"name": "App 01", "mode": "replica", "state": "failed_over"}
RUNNING = {**FAILED_OVER, "power": "running"}
PREPARED = {"name": "App 02", "mode": "primary", "state": "prepared_for_planned_failover"}
PATIENCE = 60
"""Seconds after which what a test waits for has not happened."""
Labs = Callable[..., Lab]


def pair(replica: dict[str, t.Any], rate: float = 20, **more: t.Any) -> dict[str, t.Any]:
    return {
        "clock": {"rate": rate},
        "hosts": {"HV-REPLICA": {"vms": [replica]}, "HV-PRIMARY": {"vms": [PREPARED]}},
        **more,
    }


def revert(**more: t.Any) -> dict[str, t.Any]:
    """The task of all these plays, with keywords of its own."""
    options = {"state": "reverted", "all": True, "discard_guest_writes": True, "running_vm": "turn_off"}
    return {"name": "Revert", FAILOVER: {**options, "poll_interval": 0.2, **more.pop("options", {})}, **more}


def prepare(lab: Lab, directory: Path, tasks: list[dict[str, t.Any]], hosts: str) -> list[str]:
    """The files of a play; the arguments that play it."""
    whole = [{"name": "Revert", "hosts": hosts, "gather_facts": False, "tasks": tasks}]
    (directory / "hosts.yml").write_text(yaml.safe_dump(lab.inventory()), "utf-8")
    (directory / "play.yml").write_text(yaml.safe_dump(whole), "utf-8")
    return ["-i", "hosts.yml", "play.yml"]


def play(
    lab: Lab, directory: Path, *tasks: dict[str, t.Any], hosts: str = "hyperv", options: t.Sequence[str] = ()
) -> tuple[Ended, dict[str, t.Any]]:
    """Play tasks with a JSON callback; how it ended, and what stdout holds, which has to be JSON."""
    arguments = prepare(lab, directory, list(tasks), hosts)
    ended = playbook(
        [*arguments, *options],
        directory,
        ANSIBLE_STDOUT_CALLBACK="one_document",
        ANSIBLE_CALLBACK_PLUGINS=str(CALLBACKS),
        ANSIBLE_VERBOSE_TO_STDERR="true",
    )
    return ended, json.loads(ended.stdout)


def results(document: dict[str, t.Any], task: str) -> dict[str, dict[str, t.Any]]:
    """What a task came to, by host, with its status."""
    return {one["host"]: {**one["result"], "_": one["status"]} for one in document["results"] if one["task"] == task}


def calls(lab: Lab) -> Counter[tuple[str, str]]:
    return Counter((call["host"], call["method"]) for call in lab.calls)


def wait_for(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


# --- stdout and stderr -----------------------------------------------------------------------------


def test_a_json_callback_can_be_parsed_while_progress_is_shown(lab: Labs, tmp_path: Path) -> None:
    """Jobs of 24 real seconds on two hosts at once: each says twice how it stands, on stderr."""
    started = lab(pair(FAILED_OVER, rate=1, fates=[{"outcome": "job_slow", "seconds": 24}]))
    ended, document = play(started, tmp_path, revert())
    assert ended.returncode == 0, ended.stderr
    assert {host: result["_"] for host, result in results(document, "Revert").items()} == {
        "HV-REPLICA": "ok",
        "HV-PRIMARY": "ok",
    }
    assert document["recap"]["HV-REPLICA"]["changed"] == 1
    lines = [line for line in ended.stderr.splitlines() if "slowest" in line]
    assert Counter(line.partition(": ")[0] for line in lines) == {"HV-REPLICA": 2, "HV-PRIMARY": 2}, ended.stderr
    for line in lines:
        assert "0 of 1 done, 1 running; slowest: 'App 0" in line


def test_every_vm_is_followed_where_somebody_asks_for_more_words(lab: Labs, tmp_path: Path) -> None:
    started = lab(pair(FAILED_OVER, fates=[{"outcome": "job_slow", "seconds": 40}]))
    ended, document = play(started, tmp_path, revert(), options=["-vv"])
    assert results(document, "Revert")["HV-REPLICA"]["changed"] is True
    for host, name in (("HV-REPLICA", "App 01"), ("HV-PRIMARY", "App 02")):
        assert f"{host}: {name}: running" in ended.stderr


# --- keywords --------------------------------------------------------------------------------------


def test_run_once_asks_the_first_host_and_no_other(lab: Labs, tmp_path: Path) -> None:
    started = lab(pair(FAILED_OVER))
    show = {"name": "Show", "ansible.builtin.debug": {"msg": "{{ revert.vms | map(attribute='name') | list }}"}}
    _ended, document = play(
        started, tmp_path, revert(run_once=True, register="revert"), show, hosts="HV-REPLICA:HV-PRIMARY"
    )
    assert calls(started) == {("HV-REPLICA", "RevertFailover"): 1}
    assert not started.hosts["HV-PRIMARY"].counters.as_dict()["soap"]
    # Ansible hands the result of the one host to all.
    assert {host: shown["msg"] for host, shown in results(document, "Show").items()} == {
        "HV-REPLICA": ["App 01"],
        "HV-PRIMARY": ["App 01"],
    }


def test_a_play_goes_on_after_an_ignored_error_and_branches_on_its_class(lab: Labs, tmp_path: Path) -> None:
    started = lab(pair(RUNNING))
    no_consent = revert(options={"running_vm": "fail"}, register="first", ignore_errors=True)
    consent = revert(when="first.error_class == 'vm_running' and first.certainty == 'nothing_changed'")
    consent["name"] = "With consent"
    ended, document = play(started, tmp_path, no_consent, consent, hosts="HV-REPLICA")
    assert ended.returncode == 0
    assert results(document, "Revert")["HV-REPLICA"]["_"] == "ignored"
    assert results(document, "With consent")["HV-REPLICA"]["changed"] is True
    assert calls(started) == {("HV-REPLICA", "RequestStateChange"): 1, ("HV-REPLICA", "RevertFailover"): 1}


def test_a_rescue_knows_what_changed_before_the_failure(lab: Labs, tmp_path: Path) -> None:
    started = lab(pair(RUNNING, fates=[{"method": "RevertFailover", "outcome": "job_fails"}]))
    rescue = {"name": "Rescue", "ansible.builtin.debug": {"var": "ansible_failed_result.vms[0].powered_off"}}
    whole = {"name": "Try", "block": [revert()], "rescue": [rescue]}
    ended, document = play(started, tmp_path, whole, hosts="HV-REPLICA")
    assert ended.returncode == 0
    failed = results(document, "Revert")["HV-REPLICA"]
    assert (failed["error_class"], failed["certainty"], failed["changed"]) == ("job_failed", "between_states", True)
    assert results(document, "Rescue")["HV-REPLICA"]["ansible_failed_result.vms[0].powered_off"] is True


# --- a controller that dies ------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """A process and all below it. Workers of ansible-core 2.19 are in process groups of their own."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue  # it has just ended
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def kill(process: t.Any) -> None:
    """As a power failure would: nobody of it can say or do anything more."""
    for pid in family(process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="no /proc here, which tells what belongs to a play"
)


@proc
def test_a_controller_killed_between_power_off_and_call(lab: Labs, tmp_path: Path) -> None:
    started = lab(pair(RUNNING))
    # The second guard gets no answer: the VM is off, and the call was not sent.
    started.fault(do="hang", host="HV-REPLICA", operation="Get", skip=1, times=1)
    process = start(prepare(started, tmp_path, [revert()], "HV-REPLICA"), tmp_path)
    try:
        wait_for(lambda: started.hosts["HV-REPLICA"].counters.as_dict()["soap"].get("Get", 0) == 2, "the second guard")
    finally:
        kill(process)
    assert calls(started) == {("HV-REPLICA", "RequestStateChange"): 1}
    started.clear_faults()

    _ended, document = play(started, tmp_path, revert(), hosts="HV-REPLICA")
    (vm,) = results(document, "Revert")["HV-REPLICA"]["vms"]
    assert (vm["outcome"], vm["certainty"], vm["powered_off"]) == ("changed", "changed", False)
    assert vm["before"]["power"] == "off"
    assert calls(started) == {("HV-REPLICA", "RequestStateChange"): 1, ("HV-REPLICA", "RevertFailover"): 1}

    _ended, document = play(started, tmp_path, revert(options={"report": "all"}), hosts="HV-REPLICA")
    (vm,) = results(document, "Revert")["HV-REPLICA"]["vms"]
    assert (vm["outcome"], vm["certainty"]) == ("not_applicable", "nothing_changed")
    assert len(started.calls) == 2


@proc
def test_a_controller_killed_while_the_revert_runs(lab: Labs, tmp_path: Path) -> None:
    started = lab(pair(FAILED_OVER, rate=0))
    process = start(prepare(started, tmp_path, [revert()], "HV-REPLICA"), tmp_path)
    try:
        wait_for(lambda: started.calls, "the call")
    finally:
        kill(process)
    started.world.clock.rate = 20
    _ended, document = play(started, tmp_path, revert(options={"all": False, "name": "App 01"}), hosts="HV-REPLICA")
    (vm,) = results(document, "Revert")["HV-REPLICA"]["vms"]
    assert (vm["outcome"], vm["certainty"], vm["after"]["state"]) == ("unchanged", "nothing_changed", "replicating")
    assert calls(started) == {("HV-REPLICA", "RevertFailover"): 1}
