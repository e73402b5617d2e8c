# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module cim_bridge run by a real play: through Ansible's own wrapper, in PowerShell on a simulated host."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rehearsal.stage import playbook
from replica_lab.lab import Lab
from replica_lab.powershell.engine import Engine, NoPowerShell

VM_ID = "0F1E2D3C-4B5A-6978-8796-A5B4C3D2E1F0"
VM = {"class": "Msvm_ComputerSystem", "keys": {"CreationClassName": "Msvm_ComputerSystem", "Name": VM_ID}}
WORLD = {
    "clock": {"rate": 20},
    "users": {"operator": {"password": "replica-lab", "rights": "full"}},
    "hosts": {
        "HV-REPLICA": {
            "vms": [{"name": "App 01", "id": VM_ID, "mode": "replica", "state": "failed_over", "guest_writes": 1}],
            "jobs": [{"type": 106, "vm": "App 01", "seconds": 9000}],
        }
    },
}
QUERY = {"do": "query", "wql": "SELECT * FROM Msvm_ComputerSystem"}
AFFECTED = {"do": "query", "wql": "SELECT * FROM Msvm_AffectedJobElement"}
GUARD = {"do": "guard", "chain": "a", "reference": VM, "expected": {"ReplicationState": [5]}}
WRONG_GUARD = {**GUARD, "expected": {"ReplicationState": [3]}}
TURN_OFF = {
    "do": "call",
    "chain": "a",
    "target": VM,
    "method": "RequestStateChange",
    "arguments": {"RequestedState": 2},
}
WAIT = {"do": "wait", "jobs": [], "seconds": 20, "poll_interval": 0.2, "others": ""}
FOREIGN_CLASS = {"do": "query", "wql": "SELECT * FROM Win32_Process"}
FOREIGN_METHOD = {**TURN_OFF, "chain": "b", "method": "DestroySystem", "arguments": {}}
LISTS = {
    "carried": ([QUERY, AFFECTED, GUARD, TURN_OFF, WAIT], False),
    "guarded": ([WRONG_GUARD, TURN_OFF], False),
    "checked": ([QUERY, GUARD, TURN_OFF], True),
    "refused": ([FOREIGN_CLASS, FOREIGN_METHOD], False),
}

Answers = dict[str, list[dict[str, t.Any]]]


@pytest.fixture(scope="module")
def engine() -> Engine:
    try:
        return Engine.find()
    except NoPowerShell as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["winrm", "psrp"])
def told(
    request: pytest.FixtureRequest, lab: Callable[..., Lab], engine: Engine, tmp_path: Path
) -> tuple[Answers, Lab]:
    """The answers to all lists, each in a task of one play; and the lab."""
    running = lab(WORLD, powershell=engine)
    tasks: list[dict[str, t.Any]] = [
        {
            "name": name,
            "hyperv.replica.cim_bridge": {"steps": steps, "properties": {"Msvm_ComputerSystem": ["ElementName"]}},
            "check_mode": check,
            "register": name,
        }
        for name, (steps, check) in LISTS.items()
    ]
    told = "{{ {" + ", ".join(f"'{name}': {name}.answers" for name in LISTS) + "} | to_json }}"
    copy = {"content": told, "dest": str(tmp_path / "told"), "mode": "0600"}
    here = {"delegate_to": "localhost", "vars": {"ansible_connection": "local"}}
    tasks.append({"name": "Tell", "ansible.builtin.copy": copy, **here})
    play = {"name": "Bridge", "hosts": "HV-REPLICA", "gather_facts": False, "tasks": tasks}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(running.inventory(request.param)), "utf-8")
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), "utf-8")
    ended = playbook(["-i", "hosts.yml", "play.yml"], tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads((tmp_path / "told").read_text("utf-8")), running


def test_what_each_step_answers(told: tuple[Answers, Lab]) -> None:
    answers, lab = told
    query, affected, guard, call, wait = answers["carried"]
    (table,) = query["instances"]
    assert (table["properties"], [["HV-REPLICA"], ["App 01"]]) == (["ElementName"], table["rows"])
    (links,) = affected["instances"]
    assert VM in [end for row in links["rows"] for end in row]  # references keep their keys
    assert guard["held"] is True
    assert (call["sent"], call["return_value"]) == (True, 4096)
    assert call["out"]["Job"]["class"] == "Msvm_ConcreteJob"
    (jobs,) = wait["jobs"]
    assert (len(jobs["rows"]), wait["unseen"]) == (1, [])

    broken, skipped = answers["guarded"]
    assert (broken["held"], skipped) == (False, {"skipped": True})

    _query, held, refused = answers["checked"]
    assert (held["held"], refused["error"]["sent"]) == (True, False)
    assert "check mode" in refused["error"]["message"]

    for answer in answers["refused"]:
        assert answer["error"]["exception"] == "System.NotSupportedException"
        assert answer["error"]["sent"] is False

    assert [call["method"] for call in lab.calls] == ["RequestStateChange"]
