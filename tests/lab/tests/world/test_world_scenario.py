# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scenarios: those built in, and what is said about those that cannot be read."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from replica_lab import scenario
from replica_lab.clock import Clock
from replica_lab.numbers import Mode, State
from replica_lab.scenario import ScenarioError
from replica_lab.world import Rights
from replica_lab.world.acts import VERBS
from replica_lab.world.methods import METHODS
from world_kit import PRIMARY, REPLICA, SYSTEM, THIRD, Client


def test_the_built_in_scenarios() -> None:
    names = scenario.names()
    assert set(names) == {"drill", "quiet", "empty", "big", "pair", "nothing", "chain"}
    assert all(names.values())
    for name in names:
        world = scenario.load(name, {"count": 3} if name == "big" else None, Clock(0))
        assert (world.name, world.description) == (name, names[name])
        assert set(world.hosts) == {REPLICA, PRIMARY, *([THIRD] if name == "chain" else [])}
        json.dumps(world.snapshot())


def test_of_nothing_a_pair_is_made_once_the_host_takes_replication() -> None:
    world = scenario.load("nothing", clock=Clock(0))
    assert {vm["mode_name"] for vm in world.snapshot()["hosts"][PRIMARY]["vms"]} == {"none"}
    enable = {"to": REPLICA, "seconds": 1}
    world.act(PRIMARY, "App 02", "enable_replication", **enable)
    world.advance(5)
    assert world.find_vm(world.hosts[PRIMARY], "App 02").mode == Mode.NONE  # nobody takes it
    world.act(REPLICA, None, "serve_replication")
    world.act(REPLICA, None, "authorize", primary="*.lab.example")
    for verb, arguments in (("enable_replication", enable), ("start_replication", {})):
        assert world.act(PRIMARY, "App 02", verb, **arguments)["return_value"] == 4096
        world.advance(60)
    ends = [world.find_vm(world.hosts[host], "App 02") for host in (PRIMARY, REPLICA)]
    assert [(vm.mode, vm.state) for vm in ends] == [(Mode.PRIMARY, 3), (Mode.REPLICA, 3)]
    assert [nic.name for nic in ends[1].nics] == ["Front", "Back"]


def test_the_chain_can_be_continued_at_its_third_site() -> None:
    world = scenario.load("chain", clock=Clock(0))
    assert world.act(REPLICA, "Lost 01", "reverse")["return_value"] == 32775
    assert world.act(REPLICA, "Lost 01", "continue_to_third_site")["return_value"] == 4096
    world.advance(60)
    ends = [world.find_vm(world.hosts[host], "Lost 01") for host in (REPLICA, THIRD)]
    assert [(vm.mode, vm.state) for vm in ends] == [(Mode.PRIMARY, 3), (Mode.REPLICA, 3)]


def test_the_drill_covers_the_decision_table() -> None:
    world = scenario.load("drill", clock=Clock(0))
    world.advance(5)
    seen = {
        host: {(vm["mode_name"], vm["state_name"]) for vm in world.snapshot()["hosts"][host]["vms"]}
        for host in (REPLICA, PRIMARY)
    }
    assert seen[REPLICA] == {
        ("none", "disabled"),
        ("test_replica", "disabled"),
        ("replica", "replicating"),
        ("replica", "failed_over"),
        ("replica", "committed"),
        ("replica", "suspended"),
        ("replica", "failover_in_progress"),
        ("replica", "firedrill_in_progress"),
    }
    assert seen[PRIMARY] == {
        ("primary", "replicating"),
        ("primary", "prepared_for_planned_failover"),
        ("primary", "suspended"),
        ("primary", "critical"),
        ("primary", "waiting_to_start_resynchronization"),
    }
    vms = {vm["name"]: vm for vm in world.snapshot()["hosts"][REPLICA]["vms"]}
    assert vms["Web O'Brien"]["guest_writes"] == 1205 and vms["Web O'Brien"]["power_name"] == "running"
    assert vms['File "Archive"']["failed_over_type"] == 2
    assert vms["ERP Payroll"]["failed_over_type"] == 3
    assert vms["Exchange 02"]["test_copies"]
    assert [each["state"] for each in vms["Site C Relay"]["relationships"]] == [5, 4]
    running = {job["vm_name"]: job["type"] for job in world.snapshot()["hosts"][REPLICA]["jobs"] if job["running"]}
    assert running == {"Ledger": 99, "CRM": 97, "Print Server": 106}
    assert {user.rights for user in world.users.values()} == set(Rights)


def test_a_run_over_the_drill_reverts_what_can_be_reverted_and_then_there_is_nothing_left() -> None:
    world = scenario.load("drill", clock=Clock(0))
    client = Client(world)
    client.power(3, "Web O'Brien")
    world.advance(10)
    codes: list[list[str]] = []
    for _turn in range(2):
        codes.append([vm.name for vm in client.host.vms if client.service("RevertFailover", vm.id)[0] == 4096])
        world.advance(10)
    assert codes == [
        [
            "SQL 01",
            "Web O'Brien",
            'File "Archive"',
            "Ærø büro 仮想",
            "ERP Payroll",
            "Shop",
            "Exchange 02",
            "Site C Relay",
        ],
        [],
    ]
    assert client.truth("Web O'Brien").discarded_writes == 1200


def test_the_same_scenario_has_the_same_ids() -> None:
    snapshots = []
    for _turn in range(2):
        world = scenario.load("drill", clock=Clock(0))
        snapshots.append([vm["id"] for vm in world.snapshot()["hosts"][REPLICA]["vms"]])
    assert snapshots[0] == snapshots[1]


def test_a_parameter_says_how_many() -> None:
    world = scenario.load("big", {"count": 12, "failed_over": 2}, Clock(0))
    names = [each.properties["ElementName"] for each in Client(world).all(SYSTEM)]
    assert names[1:3] == ["VM 01", "VM 02"] and names[-2:] == ["Failed over 1", "Failed over 2"]
    assert len(names) == 15
    with pytest.raises(ScenarioError, match="did you mean 'count'"):
        scenario.load("big", {"cont": 12})


def test_a_scenario_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("description: mine\nclock: {rate: 60}\nhosts: {H: {}}\n", encoding="utf-8")
    world = scenario.load(path)
    assert (world.name, world.description, world.clock.rate) == ("mine", "mine", 60)
    assert scenario.load(str(path)).name == "mine"
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"mine\.yml"):
        scenario.load(path)
    with pytest.raises(ScenarioError, match="drill"):
        scenario.load("dril")


def test_off_is_a_power_state_although_yaml_thinks_otherwise() -> None:
    document = yaml.safe_load("hosts: {H: {vms: [{name: vm, mode: replica, state: failed_over, power: off}]}}")
    assert scenario.load(document).hosts["H"].vms[0].power == 3


def test_numbers_and_names_are_equally_good() -> None:
    for mode, state in ((2, 5), ("replica", "failed_over"), ("REPLICA", "Failed_Over")):
        (vm,) = scenario.load({"hosts": {"H": {"vms": [{"name": "vm", "mode": mode, "state": state}]}}}).hosts["H"].vms
        assert (vm.mode, vm.state) == (Mode.REPLICA, State.FAILED_OVER)
    (vm,) = scenario.load({"hosts": {"H": {"vms": [{"name": "vm", "mode": 5, "state": 22}]}}}).hosts["H"].vms
    assert (vm.mode, vm.state) == (5, 22)


def test_a_recovery_point_may_have_an_id_of_ones_own() -> None:
    written = "7b2c0a61-0000-0000-0000-000000000001"
    vm = {"name": "vm", "mode": "replica", "points": [{"id": written, "age": 60}, {"age": 30}]}
    first, second = scenario.load({"hosts": {"H": {"vms": [vm]}}}).hosts["H"].vms[0].points
    assert first.id == written.upper()
    assert second.id not in ("", first.id)


def test_jobs_in_flight() -> None:
    document = {
        "hosts": {
            "H": {
                "vms": [{"name": "vm", "mode": "replica", "state": 5}],
                "jobs": [
                    {"do": "revert", "vm": "vm", "seconds": 100, "percent": 40, "owner": "LAB\\jo"},
                    {"type": 105, "count": 200, "seconds": 1000},
                    {"type": 111, "vm": "vm", "hangs_at": 7, "hidden": True},
                ],
            }
        }
    }
    world = scenario.load(document, clock=Clock(0))
    client = Client(world, "H")
    jobs = [each.properties for each in client.all("Msvm_ConcreteJob")]
    assert len(jobs) == 201
    assert (jobs[0]["JobType"], jobs[0]["PercentComplete"], jobs[0]["Owner"]) == (98, 40, "LAB\\jo")
    world.advance(60)
    assert client.vm()["ReplicationState"] == 3


def vm(**fields: t.Any) -> dict[str, t.Any]:
    return {"hosts": {"H": {"vms": [{"name": "vm", **fields}]}}}


BROKEN: list[tuple[t.Any, str]] = [
    (["hosts"], "must be a mapping"),
    ({"host": {}}, "unknown key 'host'; did you mean 'hosts'"),
    ({"hosts": []}, "hosts: must be a mapping"),
    ({"hosts": {"H": {"vm": []}}}, "hosts: H: unknown key 'vm'; did you mean 'vms'"),
    ({"hosts": {"H": {"locale": "de-CH"}}}, "locale: unknown locale 'de-CH'; did you mean 'de-DE'"),
    ({"hosts": {"H": {"version": 2012}}}, "unknown version 2012"),
    ({"hosts": {"H": {"vms": ["vm"]}}}, r"vms\[0\] must be a mapping"),
    ({"hosts": {"H": {"vms": [{}]}}}, r"vms\[0\]: a VM needs a name"),
    ({"hosts": {"H": {"vms": [{"name": 42}]}}}, "must be a text, not 42: quote it"),
    ({"hosts": {"H": {"vms": [{"name": "a"}, {"name": "a"}]}}}, r"vms\[1\]: 'a' has the id of another VM of H"),
    (vm(stat="failed_over"), "unknown key 'stat'; did you mean 'state'"),
    (vm(state="failedover"), "did you mean failed_over"),
    (vm(mode="secondary"), "'secondary' is no mode"),
    (vm(power="on"), "'on' is no power"),
    (vm(power=True), "True is no power"),
    (vm(id="x"), "id: badly formed"),
    (vm(count=3), "must hold {n}"),
    (vm(guest_writes="many"), "guest_writes: must be a number"),
    (vm(points=[{"type": "planned"}]), "did you mean 'planned_failover'"),
    (vm(mode="replica", state=5, failed_over_point=7), "there is no recovery point 7"),
    (vm(relationship_1={"stat": 3}), "relationship_1: unknown key 'stat'"),
    (vm(test_copy={"names": "x"}), "test_copy: unknown key 'names'"),
    (vm(overrides={"Msvm_Computer": {}}), "did you mean 'Msvm_ComputerSystem'"),
    (vm(overrides={"Msvm_ComputerSystem": {"ReplicationStat": 1}}), "did you mean 'ReplicationState'"),
    (vm(overrides={"Msvm_ComputerSystem": {"ReplicationState": "x"}}), "ReplicationState is uint16"),
    ({"clock": {"rat": 1}}, "clock: unknown key 'rat'; did you mean 'rate'"),
    ({"durations": {"reverts": 1}}, "did you mean 'revert'"),
    ({"assumptions": {"REVERT_NOTHIN": 0}}, "did you mean REVERT_NOTHING"),
    ({"users": {"a": {"rights": "ful"}}}, "did you mean 'full'"),
    ({"fates": [{"outcome": "sync", "vm": "nobody"}]}, "unknown VM 'nobody'"),
    ({"happenings": [{"do": "revert"}]}, "when is missing"),
    ({"hosts": {"H": {"jobs": [{"vm": "nobody", "do": "revert"}]}}}, "unknown VM 'nobody' on H"),
    ({"hosts": {"H": {"jobs": [{"do": "rewert"}]}}}, "did you mean 'revert'"),
    ({"hosts": {"H": {"jobs": [{}]}}}, "needs do"),
    (
        {"hosts": {"H": {"vms": [{"name": "vm"}], "jobs": [{"do": "revert", "vm": "vm"}]}}},
        "revert is refused with 32775",
    ),
]


@pytest.mark.parametrize(("document", "words"), BROKEN)
def test_a_broken_scenario_says_where_and_what(document: t.Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(ScenarioError, match=words):
        scenario.load(path)


def test_the_readme_names_every_act_and_method() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    methods = {name.removesuffix("Ex") for _class_name, name in METHODS}
    assert [name for name in (*VERBS, *sorted(methods)) if not re.search(rf"\b{name}\b", text)] == []
