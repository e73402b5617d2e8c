# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What other people and the hosts do, when it happens, and who sees how much of it."""

from __future__ import annotations

import typing as t

import pytest
from replica_lab.numbers import Power
from replica_lab.provider import AccessDenied, NotFound, Ref, Unavailable
from replica_lab.world import World, WorldError
from world_kit import JOB, PRIMARY, REPLICA, SERVICE, SYSTEM, Client, one, world_of


def failed_over(count: int = 1, **top: t.Any) -> tuple[World, Client]:
    names = ["vm", *(f"vm {number}" for number in range(2, count + 1))]
    world = world_of([{"name": name, "mode": "replica", "state": 5} for name in names], **top)
    return world, Client(world)


# --- other operators ------------------------------------------------------------------------------------


def test_another_operator_goes_through_the_same_state_machine() -> None:
    world, client = failed_over()
    answer = world.act(REPLICA, "vm", "commit")
    assert answer["return_value"] == 4096
    (job,) = client.all(JOB)
    assert (job.properties["InstanceID"], job.properties["Owner"]) == (answer["job"], "LAB\\other-operator")
    assert world.act(REPLICA, "vm", "revert") == {"return_value": 32775, "job": None}
    assert world.calls == []  # nobody called this over the wire
    world.advance(10)
    assert client.vm()["ReplicationState"] == 6


def test_somebody_reverts_and_fails_over_again_between_two_readings() -> None:
    world, client = failed_over()
    before = client.vm()
    for verb in ("revert", "initiate_failover"):
        assert world.act(REPLICA, "vm", verb, seconds=0) == {"return_value": 0, "job": None}
        world.advance(1)
    after = client.vm()
    assert (before["ReplicationState"], after["ReplicationState"]) == (5, 5)
    assert after["TimeOfLastConfigurationChange"] > before["TimeOfLastConfigurationChange"]


ACTS: list[tuple[str, dict[str, t.Any], str, t.Any]] = [
    # verb, arguments, what it changes in the snapshot of the VM, to what
    ("rename", {"name": "new name"}, "name", "new name"),
    ("state_change", {"state": 21}, "state", 21),
    ("state_change", {"state": "suspended", "health": "warning"}, "health", 2),
    ("state_change", {"mode": 1}, "mode", 1),
    ("state_change", {"power": "running"}, "enabled_state", 2),
    ("state_change", {"failed_over_type": 3}, "failed_over_type", 3),
    ("disappear", {}, "visible", False),
    ("appear", {}, "visible", True),
    ("begin_backup", {}, "in_backup", True),
    ("end_backup", {}, "in_backup", False),
    ("fill_storage", {}, "enabled_state", Power.OFF_CRITICAL),
    ("free_storage", {}, "enabled_state", Power.OFF),
    ("turn_off", {}, "enabled_state", Power.OFF),
    ("break_link", {}, "health", 3),
    ("mend_link", {}, "health", 1),
]


@pytest.mark.parametrize(("verb", "arguments", "key", "value"), ACTS)
def test_things_that_happen_to_a_vm(verb: str, arguments: dict[str, t.Any], key: str, value: t.Any) -> None:
    world, client = failed_over()
    vm_id = client.truth().id
    world.act(REPLICA, "vm", verb, **arguments)
    (vm,) = world.snapshot()["hosts"][REPLICA]["vms"]
    assert (vm["id"], vm[key]) == (vm_id, value)


def test_full_storage_pauses_a_running_vm() -> None:
    world = one("replica", 5, "running")
    world.act(REPLICA, "vm", "fill_storage")
    vm = Client(world).vm()
    assert (vm["EnabledState"], vm["HealthState"], vm["OperationalStatus"]) == (32789, 25, [3])
    world.act(REPLICA, "vm", "free_storage")
    assert Client(world).vm()["EnabledState"] == 2


def test_points_expire_but_not_the_one_in_use() -> None:
    world, client = failed_over()
    world.act(REPLICA, "vm", "checkpoint")
    world.act(REPLICA, "vm", "expire_points")
    kept = client.truth().points
    assert [point.type.name for point in kept] == ["STANDARD", "CHECKPOINT"]
    assert kept[0].id == client.truth().failed_over_point


def test_a_delta_arrives() -> None:
    world = world_of([{"name": "vm", "mode": "replica"}], [{"name": "vm", "mode": "primary"}])
    world.act(REPLICA, "vm", "replicate", type="application_consistent")
    for host in (REPLICA, PRIMARY):
        vm = Client(world, host).vm()
        assert vm["LastReplicationTime"] == vm["LastApplicationConsistentReplicationTime"] == world.time
        assert vm["LastReplicationType"] == 2
    assert len(Client(world).truth().points) == 3
    with pytest.raises(WorldError, match="receives nothing"):
        world.act(PRIMARY, "vm", "replicate")


def test_a_broken_link_stops_the_sender_only() -> None:
    world = world_of([{"name": "vm", "mode": "replica"}], [{"name": "vm", "mode": "primary"}])
    world.act(REPLICA, "vm", "break_link")
    sides = [Client(world, host).vm() for host in (REPLICA, PRIMARY)]
    assert [(vm["ReplicationState"], vm["ReplicationHealth"]) for vm in sides] == [(3, 3), (8, 3)]
    world.act(PRIMARY, "vm", "mend_link")
    sides = [Client(world, host).vm() for host in (REPLICA, PRIMARY)]
    assert [(vm["ReplicationState"], vm["ReplicationHealth"]) for vm in sides] == [(3, 1), (3, 1)]


def test_a_vm_moves_away_and_its_job_with_it() -> None:
    world, client = failed_over()
    _code, job = client.revert()
    ref = client.ref()
    world.act(REPLICA, "vm", "move_away", to=PRIMARY)
    assert len(client.all(SYSTEM)) == 1
    with pytest.raises(NotFound):
        client.get(ref)
    assert client.job(job)["JobState"] == 10
    assert client.all("Msvm_AffectedJobElement") == []
    moved = Client(world, PRIMARY)
    assert moved.vm()["ReplicationState"] == 5
    assert moved.revert()[0] == 4096


@pytest.mark.parametrize(
    ("vm", "verb", "arguments", "words"),
    [
        ("vm", "rewert", {}, "did you mean 'revert'"),
        ("nobody", "revert", {}, "unknown VM 'nobody'"),
        (None, "revert", {}, "needs a VM"),
        ("vm", "rename", {}, "missing a required argument: 'name'"),
        ("vm", "rename", {"name": "x", "why": "y"}, "unexpected keyword argument 'why'"),
        ("vm", "state_change", {"state": "replicatin"}, "did you mean replicating"),
        ("vm", "state_change", {"state": 1, "relationship": 1}, "no relationship 1"),
        ("vm", "release_job", {}, "no job of vm runs"),
        ("vm", "initiate_failover", {"point": 9}, "no recovery point 9"),
        ("vm", "move_away", {"to": "nowhere"}, "unknown host 'nowhere'"),
    ],
)
def test_an_act_that_makes_no_sense_is_refused(vm: str, verb: str, arguments: dict[str, t.Any], words: str) -> None:
    world, _client = failed_over()
    with pytest.raises(WorldError, match=words):
        world.act(REPLICA, vm, verb, **arguments)


def test_a_name_that_fits_two_vms_names_their_ids() -> None:
    first, second = "5B0E1B52-7A1B-4E0D-9C3F-0A5D2C4E6F01", "5B0E1B52-7A1B-4E0D-9C3F-0A5D2C4E6F02"
    world = world_of([{"name": "Shop", "id": each, "mode": "replica", "state": 5} for each in (first, second)])
    with pytest.raises(WorldError, match=f"{first}, {second}"):
        world.act(REPLICA, "shop", "revert")
    assert world.act(REPLICA, f"{{{second.lower()}}}", "revert")["return_value"] == 4096


# --- the management service --------------------------------------------------------------------------------


@pytest.mark.parametrize(("choice", "state"), [("roll_back", 5), ("complete", 3), ("stay_between", 12)])
def test_a_restart_of_the_service_loses_jobs(choice: str, state: int) -> None:
    world, client = failed_over(2, assumptions={"VMMS_RESTART_RUNNING_CHANGES": choice})
    _code, ended = client.revert("vm 2")
    world.advance(60)
    _code, running = client.revert()
    world.act(REPLICA, None, "restart_vmms")
    assert client.all(JOB) == []
    for job in (ended, running):
        with pytest.raises(NotFound):
            client.job(job)
    assert client.vm()["ReplicationState"] == state
    world.advance(60)
    assert client.vm()["ReplicationState"] == state


def test_a_restart_may_keep_jobs() -> None:
    world, client = failed_over(assumptions={"VMMS_RESTART_LOSES_JOBS": False})
    _code, job = client.revert()
    world.act(REPLICA, None, "restart_vmms", seconds=30)
    world.advance(30)
    assert client.job(job)["JobState"] == 7


def test_a_stopped_service_answers_nobody() -> None:
    world, client = failed_over()
    world.act(REPLICA, None, "restart_vmms", seconds=30)
    for look in (lambda: client.all(SYSTEM), lambda: client.get(Ref.of(SERVICE)), client.revert):
        with pytest.raises(Unavailable):
            look()
    world.advance(29)
    with pytest.raises(Unavailable):
        client.all(SYSTEM)
    world.advance(1)
    assert len(client.all(SYSTEM)) == 2


def test_a_stopped_service_may_look_empty() -> None:
    world, client = failed_over(assumptions={"VMMS_STOPPED": "empty"})
    world.act(REPLICA, None, "stop_vmms")
    assert client.all(SERVICE) == client.all(SYSTEM) == []
    with pytest.raises(NotFound):
        client.revert()
    world.act(REPLICA, None, "start_vmms")
    assert client.revert()[0] == 4096


# --- happenings -------------------------------------------------------------------------------------------


def test_something_happens_between_reading_and_calling() -> None:
    world, client = failed_over()
    world.happening({"when": {"after_reads": 2}, "host": REPLICA, "do": "start", "vm": "vm", "seconds": 0})
    client.all("CIM_ComputerSystem")
    assert client.vm()["EnabledState"] == 3
    assert client.all(SYSTEM)[1].properties["EnabledState"] == 3  # the reading itself is the old one
    assert client.vm()["EnabledState"] == 2
    assert client.revert()[0] == 32775


def test_something_happens_right_before_a_call() -> None:
    world, client = failed_over(2)
    moment = {"before_call": {"method": "RevertFailover", "vm": "vm"}}
    world.happening({"when": moment, "host": REPLICA, "do": "commit", "vm": "vm", "seconds": 0})
    assert client.revert("vm 2")[0] == 4096
    assert client.vm()["ReplicationState"] == 5
    assert client.revert()[0] == 32775
    assert client.vm()["ReplicationState"] == 6


def test_a_vm_is_gone_when_its_call_arrives() -> None:
    world, client = failed_over()
    world.happening({"when": {"before_call": {}}, "host": REPLICA, "do": "move_away", "vm": "vm"})
    assert client.revert()[0] == 32773


def test_somebody_starts_the_vm_again_after_our_power_off() -> None:
    world = one("replica", 5, "running")
    client = Client(world)
    world.happening(
        {"when": {"after_job": {"type": 13, "vm": "vm"}}, "host": REPLICA, "do": "start", "vm": "vm", "seconds": 1}
    )
    client.power(3)
    world.advance(2)
    assert client.vm()["EnabledState"] == 10
    world.advance(10)
    assert client.vm()["EnabledState"] == 2
    assert world.happened[0]["return_value"] == 4096


def test_something_happens_some_time_after_the_third_call() -> None:
    world, client = failed_over(3)
    world.happening({"when": {"after_calls": 3, "delay": 5}, "host": REPLICA, "do": "stop_vmms"})
    for name in ("vm", "vm 2", "vm 3"):
        assert client.revert(name)[0] == 4096
    world.advance(4.9)
    assert client.all(JOB)
    world.advance(0.1)
    with pytest.raises(Unavailable):
        client.all(JOB)


def test_something_happens_at_a_time_and_on_the_other_host() -> None:
    world = world_of(
        [{"name": "vm", "mode": "replica"}, {"name": "late", "mode": "replica", "visible": False}],
        [{"name": "vm", "mode": "primary"}],
        happenings=[
            {"when": {"at": 30}, "host": REPLICA, "do": "appear", "vm": "late"},
            {"when": {"after_call": {"host": REPLICA}}, "host": PRIMARY, "do": "prepare", "vm": "vm"},
        ],
    )
    client = Client(world)
    assert len(client.all(SYSTEM)) == 2
    assert client.revert("late")[0] == 32773  # and that was a call
    assert Client(world, PRIMARY).vm()["ReplicationState"] == 4
    world.advance(30)
    assert len(client.all(SYSTEM)) == 3


def test_a_happening_that_comes_too_late_is_recorded_and_disturbs_nobody() -> None:
    world, client = failed_over()
    world.happening({"when": {"after_calls": 1}, "host": REPLICA, "do": "revert", "vm": "vm"})
    world.happening({"when": {"after_calls": 1}, "host": REPLICA, "do": "release_job", "vm": "vm"})
    world.happening({"when": {"after_calls": 1}, "host": REPLICA, "do": "release_job", "vm": "vm"})
    assert client.revert()[0] == 4096
    assert [each.get("error") or each["return_value"] for each in world.snapshot()["happened"]] == [
        32775,
        0,
        "no job of vm runs",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"when": None}, "when must be a mapping"),
        ({"when": {}}, "when must be a mapping"),
        ({"when": {"after_call": {}, "at": 3}}, "exactly one moment"),
        ({"when": {"after_cals": 3}}, "did you mean 'after_calls'"),
        ({"when": {"before_call": {"metod": "x"}}}, "did you mean 'method'"),
        ({"when": {"before_call": {"method": "x"}}}, "no class has a method 'x'"),
        ({"when": {"before_call": 3}}, "must be a mapping"),
        ({"do": "explode"}, "unknown verb 'explode'"),
        ({"host": "nowhere"}, "unknown host"),
        ({"vm": "nobody"}, "unknown VM"),
    ],
)
def test_a_happening_that_makes_no_sense_is_refused(change: dict[str, t.Any], words: str) -> None:
    world, _client = failed_over()
    with pytest.raises(WorldError, match=words):
        world.happening({"when": {"at": 1}, "host": REPLICA, "do": "start", "vm": "vm", **change})
    with pytest.raises(WorldError, match="host is missing"):
        world.happening({"when": {"at": 1}, "do": "start"})


# --- who sees what --------------------------------------------------------------------------------------


USERS = {name: {"password": "x", "rights": name} for name in ("full", "hidden", "hidden_vms", "read_only", "denied")}


def test_rights() -> None:
    world, _client = failed_over(users=USERS)
    world.act(REPLICA, "vm", "commit", seconds=3600)
    counts = {
        user: [len(Client(world, user=user).all(name)) for name in (SYSTEM, SERVICE, JOB, "CIM_ManagedElement")]
        for user in ("full", "hidden", "hidden_vms", "read_only")
    }
    full = counts["full"]
    assert full[:3] == [2, 1, 1]
    assert counts == {"full": full, "hidden": [0, 0, 0, 0], "hidden_vms": [1, 1, 0, 5], "read_only": full}
    for user in ("denied", "nobody"):
        with pytest.raises(AccessDenied):
            Client(world, user=user).all(SYSTEM)
        with pytest.raises(AccessDenied):
            Client(world, user=user).get(Ref.of(SERVICE))


def test_what_is_hidden_cannot_be_called_either() -> None:
    world, _client = failed_over(users=USERS)
    assert Client(world, user="hidden_vms").revert() == (32773, None)
    with pytest.raises(NotFound):
        Client(world, user="hidden").revert()
    with pytest.raises(NotFound):
        Client(world, user="hidden_vms").power(2)
    for user in ("read_only", "denied"):
        with pytest.raises(AccessDenied):
            Client(world, user=user).revert()
    assert [call["user"] for call in world.calls] == ["hidden_vms"]


def test_filtered_users_may_see_the_services() -> None:
    world, _client = failed_over(users=USERS, assumptions={"UAC_FILTER_HIDES_SERVICES": False})
    client = Client(world, user="hidden")
    assert len(client.all(SERVICE)) == 1 and client.all(SYSTEM) == []


@pytest.mark.parametrize("name", ["full", "FULL", "LAB\\full", "Full@lab.example"])
def test_a_user_is_known_with_and_without_a_domain(name: str) -> None:
    world, _client = failed_over(users=USERS)
    assert len(Client(world, user=name).all(SYSTEM)) == 2


def test_jobs_of_others_may_be_seen_by_reference_only() -> None:
    users = {name: {"password": "x"} for name in ("me", "other")}
    world, _client = failed_over(users=users, assumptions={"FOREIGN_JOBS": "hidden"})
    me, other = (Client(world, user=name) for name in users)
    _code, job = other.revert()
    assert (me.all(JOB), me.all("Msvm_AffectedJobElement")) == ([], [])
    assert me.job(job)["Owner"] == "other"
    assert len(other.all(JOB)) == 1


def test_a_host_can_have_users_of_its_own() -> None:
    document = {
        "users": {"a": {"password": "1"}, "b": {"password": "2"}},
        "hosts": {"H1": {"users": {"a": {"password": "3", "rights": "denied"}}}, "H2": {}},
    }
    from replica_lab import scenario

    world = scenario.load(document)
    assert {name: user.password for name, user in world.hosts["H1"].users.items()} == {"a": "3", "b": "2"}
    with pytest.raises(AccessDenied):
        world.hosts["H1"].instances(SYSTEM, "a")
    assert len(world.hosts["H2"].instances(SYSTEM, "a")) == 1
