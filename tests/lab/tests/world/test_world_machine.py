# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine: each verb, from every mode and state, by table."""

from __future__ import annotations

import itertools
import typing as t

import pytest
from replica_lab.numbers import FailoverType, Mode, Power
from replica_lab.provider import Ref
from replica_lab.world import World
from replica_lab.world.jobs import Course, Plan
from world_kit import JOB, MANAGEMENT, PRIMARY, SYSTEM, Client, one, relationship_text, world_of

MODES = tuple(Mode)
STATES = tuple(range(22))

# What each verb accepts: (mode, state) -> the state afterwards. Everything else is 32775.
REVERT = {(1, 4): 3, (2, 5): 3, (4, 5): 3}
FAILOVER = {(2, 3): 5, (2, 15): 5, (4, 3): 5, (4, 15): 5}
COMMIT = {(2, 5): 6, (4, 5): 6}
TEST = {(2, 3): 3, (2, 7): 7, (4, 3): 3, (4, 7): 7}
PREPARE = {(1, 3): 4}
SUSPEND = {(mode, state): 7 for mode in (1, 2, 4) for state in (2, 3, 10)}
RESUME = {(mode, state): 3 for mode in (1, 2, 4) for state in (7, 8, 9, 11, 15, 16)} | {(2, 10): 3, (4, 10): 3}

VERBS: dict[str, tuple[t.Callable[[Client], tuple[int, Ref | None]], dict[tuple[int, int], int], int]] = {
    "revert": (lambda client: client.revert(), REVERT, 98),
    "failover": (lambda client: client.failover(), FAILOVER, 97),
    "commit": (lambda client: client.service("CommitFailover"), COMMIT, 99),
    "test": (lambda client: client.service("TestReplicaSystem", SnapshotSettingData=None), TEST, 102),
    "prepare": (lambda client: client.request(4), PREPARE, 100),
    "suspend": (lambda client: client.request(7), SUSPEND, 96),
    "resume": (lambda client: client.request(3), RESUME, 96),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_works_from_exactly_its_states(verb: str) -> None:
    call, allowed, job_type = VERBS[verb]
    for mode, state in itertools.product(MODES, STATES):
        world = one(mode.name.lower(), state, last_replication=300)
        client = Client(world)
        code, job = call(client)
        expected = 4096 if (mode, state) in allowed else 32775
        assert code == expected, f"{verb} in mode {mode}, state {state}"
        if job is None:
            assert client.vm()["ReplicationState"] == state
            continue
        assert client.job(job)["JobType"] == job_type
        world.advance(60)
        assert client.job(job)["JobState"] == 7
        assert client.vm()["ReplicationState"] == allowed[mode, state]


def test_state_numbers_show_the_target_while_a_change_runs() -> None:
    for state, call, meanwhile in (
        (3, lambda client: client.request(4), 4),
        (3, lambda client: client.request(7), 7),
    ):
        world = one("primary", state)
        client = Client(world)
        call(client)
        assert client.vm()["ReplicationState"] == meanwhile
    for mode, state, method, meanwhile in (
        ("replica", 5, "RevertFailover", 12),
        ("primary", 4, "RevertFailover", 12),
        ("replica", 5, "CommitFailover", 6),
    ):
        world = one(mode, state)
        client = Client(world)
        client.service(method)
        assert client.vm()["ReplicationState"] == meanwhile
        assert client.all("Msvm_ReplicationRelationship")[0].properties["ReplicationState"] == meanwhile


# --- revert ---------------------------------------------------------------------------------------------

POWER_AND_REVERT = {
    **dict.fromkeys(Power, 32775),
    Power.OFF: 4096,
    Power.OFF_CRITICAL: 4096,
}


@pytest.mark.parametrize("power", POWER_AND_REVERT)
def test_revert_needs_the_vm_to_be_off(power: Power) -> None:
    client = Client(one("replica", 5, power.name.lower()))
    assert client.revert()[0] == POWER_AND_REVERT[power]


@pytest.mark.parametrize("power", list(Power))
def test_a_failover_needs_the_vm_to_be_off(power: Power) -> None:
    expected = 4096 if power in (Power.OFF, Power.OFF_CRITICAL) else 32775
    assert Client(one("replica", 3, power.name.lower())).failover()[0] == expected


def test_answers_are_plain_numbers() -> None:
    """An enumeration would be written by its name somewhere on the way to a client."""
    client = Client(one("replica", 5))
    assert [type(client.revert()[0]), type(client.revert()[0])] == [int, int]


def test_revert_discards_what_the_guest_wrote() -> None:
    world = one("replica", "failed_over", "running", guest_writes=100)
    client = Client(world)
    world.advance(30)
    assert client.revert()[0] == 32775
    client.power(3)
    world.advance(10)
    assert client.truth().guest_writes == 130  # a VM that shuts down writes no more
    client.revert()
    world.advance(10)
    vm = world.snapshot()["hosts"]["HV-REPLICA"]["vms"][0]
    assert (vm["guest_writes"], vm["discarded_writes"]) == (0, 130)
    assert (vm["state"], vm["failed_over_type"], vm["failed_over_point"]) == (3, 0, None)


def test_revert_can_cut_the_power_itself_where_that_is_assumed() -> None:
    world = one("replica", 5, "running", guest_writes=7, assumptions={"REVERT_RUNNING_VM": "accept_and_power_off"})
    client = Client(world)
    assert client.revert()[0] == 4096
    assert client.vm()["EnabledState"] == 3
    world.advance(10)
    assert client.truth().discarded_writes == 7


def test_after_a_revert_a_failover_can_be_started_again_on_another_point() -> None:
    world = one("replica", 5)
    client = Client(world)
    client.revert()
    world.advance(10)
    oldest = client.truth().recovery_points()[0]
    assert (
        client.failover(point=Ref.of("Msvm_VirtualSystemSettingData", InstanceID=f"Microsoft:{oldest.id}"))[0] == 4096
    )
    world.advance(10)
    assert client.vm()["FailedOverReplicationType"] == FailoverType.APPLICATION_CONSISTENT
    assert client.truth().failed_over_point == oldest.id


def test_a_committed_failover_cannot_be_reverted_even_where_nothing_to_do_answers_0() -> None:
    client = Client(one("replica", 6, assumptions={"REVERT_NOTHING": 0}))
    assert client.revert() == (32775, None)


# --- both sides -----------------------------------------------------------------------------------------


def pair(state: str = "replicating", **top: t.Any) -> tuple[World, Client, Client]:
    world = world_of(
        [{"name": "vm", "mode": "replica", "state": state}],
        [{"name": "vm", "mode": "primary"}],
        **top,
    )
    return world, Client(world), Client(world, PRIMARY)


def test_a_planned_failover_is_seen_on_the_replica() -> None:
    world, replica, primary = pair()
    primary.request(4)
    world.advance(10)
    assert primary.vm()["ReplicationState"] == 4
    newest = replica.truth().recovery_points()[-1]
    assert newest.type.value == "Replica:PlannedFailover"
    assert primary.power(2)[0] == 32775  # it cannot be started until the preparation is called off
    replica.failover()
    world.advance(10)
    assert (replica.vm()["ReplicationState"], replica.vm()["FailedOverReplicationType"]) == (5, 3)
    assert primary.vm()["ReplicationState"] == 4
    primary.revert()
    world.advance(10)
    # It replicates again, and finds a replica that runs by itself.
    assert (primary.vm()["ReplicationState"], replica.vm()["ReplicationState"]) == (8, 5)
    assert newest in replica.truth().points  # the replica runs on it


def test_calling_a_planned_failover_off_takes_its_point_away() -> None:
    world, replica, primary = pair()
    primary.request(4)
    world.advance(10)
    primary.revert()
    world.advance(10)
    assert all(point.type.value != "Replica:PlannedFailover" for point in replica.truth().points)


def test_preparing_needs_the_vm_to_be_off() -> None:
    world = one("primary", 3, "running")
    client = Client(world)
    assert client.request(4)[0] == 32775
    client.power(3)
    world.advance(10)
    assert client.request(4)[0] == 4096


def test_an_unplanned_failover_leaves_the_primary_behind_and_a_revert_does_not_heal_it() -> None:
    world, replica, primary = pair(assumptions={"RESYNC_NEEDED_AFTER": 100})
    replica.failover()
    world.advance(5)
    assert (primary.vm()["ReplicationState"], primary.vm()["ReplicationHealth"]) == (8, 3)
    replica.revert()
    world.advance(50)
    assert (replica.vm()["ReplicationState"], primary.vm()["ReplicationState"]) == (3, 8)
    world.advance(100)
    assert primary.vm()["ReplicationState"] == 9
    primary.request(3)
    world.advance(10)
    assert (primary.vm()["ReplicationState"], primary.vm()["ReplicationHealth"]) == (3, 1)


def test_a_primary_cannot_resume_to_a_replica_that_runs_by_itself() -> None:
    world, replica, primary = pair()
    replica.failover()
    world.advance(10)
    _code, job = primary.request(3)
    assert primary.vm()["ReplicationState"] == 3  # shown while it is tried
    world.advance(10)
    assert (primary.job(job)["JobState"], primary.job(job)["ErrorCode"]) == (10, 32768)
    assert primary.vm()["ReplicationState"] == 8


def test_commit_merges_the_points_and_stays_a_warning() -> None:
    world = one("replica", 5, assumptions={"MERGE_AFTER_COMMIT_SECONDS": 60})
    client = Client(world)
    client.service("CommitFailover")
    world.advance(10)
    assert (client.vm()["ReplicationState"], client.vm()["ReplicationHealth"]) == (6, 2)
    assert client.vm()["OperationalStatus"] == [11, 32772]
    assert client.truth().points == []
    world.advance(60)
    assert client.vm()["OperationalStatus"] == [2]


# --- the extended relationship ----------------------------------------------------------------------------


def test_the_extended_relationship_is_asked_by_its_embedded_instance() -> None:
    world = one("replica", 3, relationship_1={"state": "replicating"})
    client = Client(world)
    assert client.request(4)[0] == 32775  # relationship 0 of a replica is never prepared
    assert client.request(4, relationship=relationship_text(client.truth(), 1))[0] == 4096
    world.advance(10)
    found = [each.properties for each in client.all("Msvm_ReplicationRelationship")]
    assert [(each["InstanceID"][-1], each["ReplicationState"]) for each in found] == [("0", 3), ("1", 4)]
    assert client.vm()["ReplicationState"] == 3


@pytest.mark.parametrize("text", ["", "no xml", "<INSTANCE/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><INSTANCE/>"])
def test_a_relationship_that_is_none_is_an_invalid_parameter(text: str) -> None:
    assert Client(one("replica", 3)).request(3, relationship=text)[0] == 32773


def test_the_third_site_and_the_middle_are_partners() -> None:
    world = world_of(
        [{"name": "vm", "mode": "replica", "relationship_1": {"state": "replicating"}}],
        [{"name": "vm", "mode": "extended_replica"}],
    )
    third = Client(world, PRIMARY)
    third.failover()
    world.advance(10)
    middle = Client(world).truth()
    assert [relationship.state for relationship in middle.relationships] == [3, 8]


# --- test failover, destroy, power -----------------------------------------------------------------------


def destroy(client: Client, name: str) -> tuple[int, Ref | None]:
    return client.invoke(Ref.of(MANAGEMENT, Name="vmms"), "DestroySystem", AffectedSystem=client.ref(name))


def test_a_test_copy_is_a_vm_of_its_own_until_it_is_destroyed() -> None:
    world = one("replica", 3)
    client = Client(world)
    client.service("TestReplicaSystem", SnapshotSettingData=None)
    assert len(client.all(SYSTEM)) == 2
    world.advance(10)
    copy = client.vm("vm - Test")
    assert copy["ReplicationMode"] == 3 and copy["Name"] != client.vm()["Name"]
    (dependency,) = client.all("Msvm_ReplicaSystemDependency")
    assert dependency.properties == {"Antecedent": client.ref(), "Dependent": client.ref("vm - Test")}
    assert client.vm()["ReplicationState"] == 3
    assert client.service("TestReplicaSystem", SnapshotSettingData=None)[0] == 32775
    assert client.service("RevertFailover", "vm - Test")[0] == 32775
    client.power(2, "vm - Test")
    world.advance(10)
    assert destroy(client, "vm - Test")[0] == 32775  # running
    client.power(3, "vm - Test")
    world.advance(10)
    assert destroy(client, "vm - Test")[0] == 4096
    world.advance(10)
    assert len(client.all(SYSTEM)) == 2 and not client.all("Msvm_ReplicaSystemDependency")


def test_a_replicated_vm_is_not_destroyed() -> None:
    assert destroy(Client(one("replica", 3)), "vm")[0] == 32775
    assert destroy(Client(one("none", 0)), "vm")[0] == 4096


POWER = {  # (from, requested) -> (meanwhile, afterwards, job type)
    (Power.OFF, 2): (Power.STARTING, Power.RUNNING, 12),
    (Power.SAVED, 2): (Power.STARTING, Power.RUNNING, 15),
    (Power.PAUSED, 2): (Power.RESUMING, Power.RUNNING, 27),
    (Power.RUNNING, 3): (Power.SHUTTING_DOWN, Power.OFF, 13),
    (Power.PAUSED, 3): (Power.SHUTTING_DOWN, Power.OFF, 13),
    (Power.SAVED, 3): (Power.SHUTTING_DOWN, Power.OFF, 13),
    (Power.PAUSED_CRITICAL, 2): (Power.RESUMING, Power.RUNNING, 27),
    (Power.PAUSED_CRITICAL, 3): (Power.SHUTTING_DOWN, Power.OFF, 13),
    (Power.PAUSED_CRITICAL, 6): (Power.SAVING, Power.SAVED, 14),
    (Power.RUNNING, 6): (Power.SAVING, Power.SAVED, 14),
    (Power.PAUSED, 6): (Power.SAVING, Power.SAVED, 14),
    (Power.RUNNING, 9): (Power.PAUSING, Power.PAUSED, 26),
}


@pytest.mark.parametrize("power", [Power.OFF, Power.RUNNING, Power.SAVED, Power.PAUSED, Power.PAUSED_CRITICAL])
@pytest.mark.parametrize("requested", [2, 3, 4, 6, 9, 10, 77])
def test_power(power: Power, requested: int) -> None:
    world = one("none", 0, power.name.lower())
    client = Client(world)
    code, job = client.power(requested)
    expected = POWER.get((power, requested))
    if expected is None:
        assert code == 32775 and client.vm()["EnabledState"] == power
        return
    meanwhile, afterwards, job_type = expected
    assert (client.vm()["EnabledState"], client.vm()["RequestedState"]) == (meanwhile, requested)
    assert client.job(job)["JobType"] == job_type
    world.advance(10)
    assert (client.vm()["EnabledState"], client.vm()["RequestedState"]) == (afterwards, 12)


@pytest.mark.parametrize(("state", "code"), [(3, 32775), (4, 32775), (5, 4096), (6, 4096), (8, 32775)])
def test_a_replica_can_be_started_only_after_a_failover(state: int, code: int) -> None:
    assert Client(one("replica", state)).power(2)[0] == code


# --- who may at the same time ---------------------------------------------------------------------------------


def test_one_change_at_a_time() -> None:
    world = one("replica", 5)
    client = Client(world)
    client.revert()
    for again in (client.revert, client.failover, lambda: client.power(2), lambda: client.request(7)):
        assert again() == (32775, None)
    world.advance(10)
    assert client.failover()[0] == 4096


def test_a_backup_holds_the_vm() -> None:
    world = one("replica", 5, in_backup=True)
    client = Client(world)
    assert client.revert()[0] == 32774
    world.act("HV-REPLICA", "vm", "end_backup")
    assert client.revert()[0] == 4096


def test_jobs_that_only_move_data_are_in_nobodys_way() -> None:
    for job_type, code in ((105, 4096), (106, 4096), (111, 4096), (94, 32775), (97, 32775), (12, 32775)):
        client = Client(one("replica", 5))
        client.host.start(Plan("other", job_type, client.truth()), Course(seconds=3600), "somebody")
        assert client.revert()[0] == code, job_type


def test_the_time_of_a_failover_and_its_point_tell_one_failover_from_another() -> None:
    world = one("replica", 5)
    client = Client(world)
    seen = (client.vm()["TimeOfLastConfigurationChange"], client.truth().failed_over_point)
    (applied,) = client.all("Msvm_LastAppliedSnapshot")
    assert applied.properties["Dependent"] == client.ref()
    assert applied.properties["Antecedent"] == Ref.of(
        "Msvm_VirtualSystemSettingData", InstanceID=f"Microsoft:{seen[1]}"
    )
    client.revert()
    world.advance(10)
    assert not client.all("Msvm_LastAppliedSnapshot")
    world.act("HV-REPLICA", "vm", "initiate_failover", point=0)
    world.advance(10)
    now = (client.vm()["TimeOfLastConfigurationChange"], client.truth().failed_over_point)
    assert client.vm()["ReplicationState"] == 5
    assert now[0] > seen[0] and now[1] != seen[1]


def test_nobody_can_fail_over_to_the_point_of_another_vm() -> None:
    world = world_of([{"name": "vm", "mode": "replica"}, {"name": "other", "mode": "replica"}])
    client = Client(world)
    foreign = client.truth("other").points[0]
    for wanted in (foreign.id, client.truth().id, "nonsense"):
        point = Ref.of("Msvm_VirtualSystemSettingData", InstanceID=f"Microsoft:{wanted}")
        assert client.failover(point=point) == (32773, None)
    assert client.all(JOB) == []


def test_a_replica_that_never_received_anything_cannot_be_failed_over() -> None:
    assert Client(one("replica", 3, last_replication="never", points=[])).failover()[0] == 32775
