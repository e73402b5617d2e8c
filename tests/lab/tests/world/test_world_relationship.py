# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replication relationships: made, turned round, passed on, ended; both sides, and the third site."""

from __future__ import annotations

import typing as t
from datetime import timedelta

import pytest
from replica_lab import scenario
from replica_lab.clock import Clock
from replica_lab.provider import Ref
from replica_lab.world import World
from world_kit import PRIMARY, REPLICA, SYSTEM, THIRD, Client, modes, one, relationship_text, settings_text, world_of


def pair(
    replica: dict[str, t.Any] | None = None, primary: dict[str, t.Any] | None = None, **top: t.Any
) -> tuple[World, Client, Client]:
    here = {"name": "vm", "mode": "replica", **(replica or {})}
    there = {"name": "vm", "mode": "primary", **(primary or {})}
    world = world_of([here], [there], **top)
    return world, Client(world), Client(world, PRIMARY)


def chain(**top: t.Any) -> tuple[World, Client, Client, Client]:
    """A VM on three hosts: primary, replica, third site."""
    hosts = {
        PRIMARY: {"vms": [{"name": "vm", "mode": "primary"}]},
        REPLICA: {"vms": [{"name": "vm", "mode": "replica", "relationship_1": {"state": "replicating"}}]},
        THIRD: {"vms": [{"name": "vm", "mode": "extended_replica"}]},
    }
    world = scenario.load({"hosts": hosts, **top}, clock=Clock(0))
    return world, Client(world, PRIMARY), Client(world, REPLICA), Client(world, THIRD)


def done(world: World, client: Client, call: tuple[int, Ref | None], seconds: float = 20) -> t.Any:
    """Wait for the end of a job that must have begun; its ErrorCode."""
    code, job = call
    assert code == 4096
    world.advance(seconds)
    shown = client.job(job)
    assert shown["JobState"] == (10 if shown["ErrorCode"] else 7)
    return shown["ErrorCode"]


# --- from nothing to a pair --------------------------------------------------------------------------------------


def test_a_pair_is_built_from_nothing() -> None:
    world = world_of(primary=[{"name": "vm", "power": "running"}])
    primary, replica = Client(world, PRIMARY), Client(world)
    code, job = primary.enable("hv-replica.LAB.example", ReplicationInterval=30, RecoveryHistory=8)
    assert (code, primary.job(job)["JobType"], len(replica.all(SYSTEM))) == (4096, 91, 1)
    world.advance(10)
    assert primary.job(job)["JobState"] == 7
    assert modes(primary, replica) == ((1, 1), (2, 2))
    for client in (primary, replica):
        (settings,) = (each.properties for each in client.all("Msvm_ReplicationSettingData"))
        assert (settings["ReplicationInterval"], settings["RecoveryHistory"]) == (30, 8)
        assert settings["PrimaryHostSystem"] == "HV-PRIMARY.lab.example"
        assert settings["RecoveryHostSystem"] == "HV-REPLICA.lab.example"
    assert replica.failover()[0] == 32775  # it has nothing yet
    code, job = primary.begin()
    assert primary.job(job)["JobType"] == 94
    world.advance(3)
    assert (primary.job(job)["JobState"], *modes(primary, replica)) == (7, (1, 2), (2, 2))
    assert {each.properties["JobType"] for each in primary.all("Msvm_ConcreteJob")} == {91, 94, 116}
    world.advance(10)
    assert modes(primary, replica) == ((1, 3), (2, 3))
    assert len(replica.truth().points) == 1
    assert replica.failover()[0] == 4096


REFUSALS: dict[str, tuple[dict[str, t.Any], dict[str, t.Any]]] = {
    "no such host": ({"to": "HV-NOBODY"}, {}),
    "no replica server": ({}, {"replica_server": {"enabled": False}}),
    "another port": ({"RecoveryServerPortNumber": 8080}, {}),
    "another authentication": ({"AuthenticationType": 2, "CertificateThumbPrint": "AB" * 20}, {}),
    "nobody allowed": ({}, {"authorizations": []}),
    "others allowed": ({}, {"authorizations": [{"primary": "*.other.example"}, {"primary": "HV-X"}]}),
    "a VM of that id": ({}, {"vms": [{"name": "vm"}]}),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_a_host_that_takes_no_replication_lets_the_job_fail(why: str) -> None:
    call, there = REFUSALS[why]
    hosts = {PRIMARY: {"vms": [{"name": "vm"}]}, REPLICA: there}
    world = scenario.load({"hosts": hosts}, clock=Clock(0))
    primary = Client(world, PRIMARY)
    code, job = primary.enable(**{"to": REPLICA, **call})
    assert code == 4096
    world.advance(10)
    assert (primary.job(job)["JobState"], primary.job(job)["ErrorCode"]) == (10, 32768)
    assert modes(primary) == ((0, 0),)


@pytest.mark.parametrize("allowed", ["*", "*.LAB.example", "hv-primary", "HV-PRIMARY.lab.example"])
def test_who_is_allowed(allowed: str) -> None:
    hosts = {PRIMARY: {"vms": [{"name": "vm"}]}, REPLICA: {"authorizations": [{"primary": allowed}]}}
    world = scenario.load({"hosts": hosts}, clock=Clock(0))
    primary = Client(world, PRIMARY)
    assert done(world, primary, primary.enable(REPLICA)) == 0


BAD_SETTINGS = {
    "": 32773,
    "no xml": 32773,
    "<INSTANCE/>": 32773,
    '<INSTANCE CLASSNAME="Msvm_ComputerSystem"/>': 32773,
    '<!DOCTYPE a [<!ENTITY b "c">]><INSTANCE CLASSNAME="Msvm_ReplicationSettingData"/>': 32773,
    settings_text(): 32773,  # no recovery server
    settings_text(RecoveryConnectionPoint=PRIMARY): 32773,
    settings_text(RecoveryConnectionPoint=REPLICA, ReplicationInterval=60): 32773,
    settings_text(RecoveryConnectionPoint=REPLICA, RecoveryHistory=25): 32773,
    settings_text(RecoveryConnectionPoint=REPLICA, AuthenticationType=2): 32773,  # no certificate
    settings_text(RecoveryConnectionPoint=REPLICA).replace("RecoveryC", "C"): 32773,  # no such property
    settings_text(RecoveryConnectionPoint=REPLICA, RecoveryHistory=1).replace(">1<", ">one<"): 32776,
    settings_text(RecoveryConnectionPoint=REPLICA, RecoveryHistory=1).replace(">1<", ">70000<"): 32776,
    settings_text(RecoveryConnectionPoint=REPLICA, RecoveryHistory=1).replace("uint16", "uint32"): 32776,
    settings_text(RecoveryConnectionPoint=REPLICA, IncludedDisks=["x"]).replace(".ARRAY", ""): 32776,
}


@pytest.mark.parametrize("text", BAD_SETTINGS)
@pytest.mark.parametrize("method", ["CreateReplicationRelationship", "ReverseReplicationRelationship"])
def test_settings_that_make_no_sense(method: str, text: str) -> None:
    world, replica, _primary = pair({"state": 6}, {"state": 8})
    target = replica
    if method.startswith("Create"):
        world = world_of(primary=[{"name": "vm"}])
        target = Client(world, PRIMARY)
    elif text == settings_text():
        return  # there the recovery server is known
    elif text == settings_text(RecoveryConnectionPoint=PRIMARY):
        text = settings_text(RecoveryConnectionPoint=REPLICA)  # itself
    before = world.snapshot()
    assert target.service(method, ReplicationSettingData=text) == (BAD_SETTINGS.get(text, 32773), None)
    assert world.snapshot() == before


def test_qualifiers_and_null_properties_are_passed_over() -> None:
    world = world_of(primary=[{"name": "vm"}])
    text = settings_text(RecoveryConnectionPoint=REPLICA, RecoveryHistory=None, Notes=None)
    text = text.replace("<PROPERTY ", '<QUALIFIER NAME="a" TYPE="boolean"><VALUE>TRUE</VALUE></QUALIFIER><PROPERTY ', 1)
    primary = Client(world, PRIMARY)
    assert primary.service("CreateReplicationRelationship", ReplicationSettingData=text)[0] == 4096


def test_initial_replication_can_be_carried_in_a_folder() -> None:
    world = world_of(primary=[{"name": "vm"}])
    primary, replica = Client(world, PRIMARY), Client(world)
    done(world, primary, primary.enable(REPLICA))
    place = {"InitialReplicationImportLocation": "E:\\In"}
    assert primary.begin(2)[0] == 32773  # where to?
    assert replica.service("ImportInitialReplica", InitialReplicationImportLocation=None)[0] == 32773
    assert done(world, replica, replica.service("ImportInitialReplica", **place)) == 32779  # nothing was exported
    done(world, primary, primary.begin(2, InitialReplicationExportLocation="D:\\Out"))
    assert 118 in {each.properties["JobType"] for each in primary.all("Msvm_ConcreteJob")}
    assert modes(primary, replica) == ((1, 2), (2, 2))
    code, job = replica.service("ImportInitialReplica", **place)
    assert (code, replica.job(job)["JobType"]) == (4096, 95)
    world.advance(10)
    assert modes(primary, replica) == ((1, 3), (2, 3))


def test_initial_replication_onto_a_restored_copy_and_at_a_time() -> None:
    world = world_of(primary=[{"name": "vm"}], replica=[{"name": "vm"}])
    primary, replica = Client(world, PRIMARY), Client(world)
    assert done(world, replica, replica.request(2)) == 0  # this copy will be the replica
    assert modes(replica) == ((2, 2),)
    assert done(world, primary, primary.enable(REPLICA)) == 0
    assert primary.begin(3, StartTime=timedelta(hours=1))[0] == 32773
    assert primary.begin(4)[0] == 32773
    assert done(world, primary, primary.begin(3, StartTime=world.time + timedelta(hours=1))) == 0
    assert modes(primary) == ((1, 1),)
    world.advance(3600)
    assert 117 in {each.properties["JobType"] for each in primary.all("Msvm_ConcreteJob")}
    world.advance(20)
    assert modes(primary, replica) == ((1, 3), (2, 3))


def test_initial_replication_is_cancelled_suspended_and_resumed() -> None:
    world = world_of(primary=[{"name": "vm"}])
    primary, replica = Client(world, PRIMARY), Client(world)
    done(world, primary, primary.enable(REPLICA))
    done(world, primary, primary.begin(), 3)
    done(world, primary, primary.request(1))  # cancel
    world.advance(30)
    assert modes(primary, replica) == ((1, 1), (2, 2))
    done(world, primary, primary.begin(), 3)
    done(world, primary, primary.request(7), 3)
    world.advance(30)
    assert modes(primary, replica) == ((1, 7), (2, 2))
    done(world, primary, primary.request(3), 3)
    assert modes(primary, replica) == ((1, 2), (2, 2))
    world.advance(30)
    assert modes(primary, replica) == ((1, 3), (2, 3))


def test_initial_replication_to_a_replica_that_went_away() -> None:
    world = world_of(primary=[{"name": "vm"}])
    primary, replica = Client(world, PRIMARY), Client(world)
    done(world, primary, primary.enable(REPLICA))
    done(world, primary, primary.begin(), 3)
    done(world, replica, replica.remove())
    assert modes(primary, replica) == ((1, 8), (0, 0))


# --- settings ----------------------------------------------------------------------------------------------------


def test_what_a_text_leaves_out_stays() -> None:
    world, replica, primary = pair(primary={"settings": {"RecoveryHistory": 2, "CompressionEnabled": False}})
    text = settings_text(InstanceID=rf"Microsoft:{primary.truth().id}\HVR\0", ReplicationInterval=900, Notes=None)
    code, job = primary.service("ModifyReplicationSettings", ReplicationSettingData=text)
    assert primary.job(job)["JobType"] == 92
    world.advance(10)
    (settings,) = (each.properties for each in primary.all("Msvm_ReplicationSettingData"))
    changed = {name: settings[name] for name in ("ReplicationInterval", "RecoveryHistory", "CompressionEnabled")}
    assert changed == {"ReplicationInterval": 900, "RecoveryHistory": 2, "CompressionEnabled": False}
    (settings,) = (each.properties for each in replica.all("Msvm_ReplicationSettingData"))
    assert settings["ReplicationInterval"] == 900
    other = settings_text(InstanceID=r"Microsoft:00000000-0000-0000-0000-000000000000\HVR\0")
    assert primary.service("ModifyReplicationSettings", ReplicationSettingData=other)[0] == 32773
    assert replica.service("ModifyReplicationSettings", ReplicationSettingData=text)[0] == 32775
    lonely = Client(one("none", 0))
    assert lonely.service("ModifyReplicationSettings", ReplicationSettingData=settings_text())[0] == 32775


# --- turned round ------------------------------------------------------------------------------------------------


def test_a_planned_failover_is_reversed_and_goes_on_replicating() -> None:
    world, replica, primary = pair()
    done(world, primary, primary.request(4))
    done(world, replica, replica.failover())
    done(world, replica, replica.power(2))
    world.advance(80)
    code, job = replica.reverse()
    assert (code, replica.job(job)["JobType"]) == (4096, 104)
    world.advance(10)
    assert modes(replica, primary) == ((1, 3), (2, 3))
    assert replica.vm()["FailedOverReplicationType"] == 0
    assert replica.truth().points == [] and replica.truth().unsent_writes >= 80
    assert primary.truth().discarded_writes == 0
    for client in (replica, primary):
        (settings,) = (each.properties for each in client.all("Msvm_ReplicationSettingData"))
        assert settings["PrimaryHostSystem"] == "HV-REPLICA.lab.example"
        assert settings["RecoveryConnectionPoint"] == "HV-PRIMARY.lab.example"
    # and back again, the same way
    done(world, replica, replica.power(3))
    done(world, replica, replica.request(4))
    done(world, primary, primary.failover())
    done(world, primary, primary.service("CommitFailover"))
    done(world, primary, primary.reverse())
    assert modes(replica, primary) == ((2, 3), (1, 3))


def test_a_planned_failover_whose_primary_was_called_off_is_not_reversed() -> None:
    world, replica, primary = pair()
    done(world, primary, primary.request(4))
    done(world, replica, replica.failover())
    done(world, primary, primary.revert())
    assert done(world, replica, replica.reverse()) == 32775
    assert modes(replica, primary) == ((2, 5), (1, 8))


SLOW = {"MERGE_AFTER_COMMIT_SECONDS": 600}
MERGING, AT_REST = [11, 32772], [2]


def test_the_disks_merge_on_after_a_planned_failover_was_reversed() -> None:
    """No commit comes before it: it is the reversal that ends the recovery points."""
    world, replica, primary = pair(assumptions=SLOW)
    done(world, primary, primary.request(4))
    done(world, replica, replica.failover())
    assert replica.vm()["OperationalStatus"] == AT_REST
    done(world, replica, replica.reverse())
    assert (modes(replica, primary), replica.truth().points) == (((1, 3), (2, 3)), [])
    assert (replica.vm()["OperationalStatus"], primary.vm()["OperationalStatus"]) == (MERGING, AT_REST)
    # in nobody's way: the VM starts, and what it writes goes over
    done(world, replica, replica.power(2))
    assert replica.vm()["OperationalStatus"] == MERGING
    world.act(PRIMARY, "vm", "replicate")
    world.advance(600)
    assert replica.vm()["OperationalStatus"] == AT_REST


def test_a_merge_that_a_commit_began_is_not_begun_anew_by_the_reversal() -> None:
    world, replica, primary = pair(assumptions={**SLOW, "REVERSE_TO_UNTOLD_PRIMARY": "accept"})
    done(world, replica, replica.failover())
    done(world, replica, replica.service("CommitFailover"))
    world.advance(300)
    done(world, replica, replica.reverse())
    assert (modes(replica, primary), replica.vm()["OperationalStatus"]) == (((1, 1), (2, 2)), MERGING)
    world.advance(280)
    assert replica.vm()["OperationalStatus"] == AT_REST


def test_after_an_unplanned_failover_the_old_primary_has_to_be_told() -> None:
    world, replica, primary = pair(primary={"power": "running"})
    world.advance(30)
    done(world, replica, replica.failover())
    assert replica.reverse()[0] == 32775  # not committed
    done(world, replica, replica.service("CommitFailover"))
    assert done(world, replica, replica.reverse()) == 32768  # the primary runs
    assert primary.request(2)[0] == 32775
    done(world, primary, primary.power(3))
    assert done(world, replica, replica.reverse()) == 32775  # it was not told
    assert modes(replica, primary) == ((2, 6), (1, 8))
    done(world, primary, primary.request(2))
    assert modes(primary) == ((2, 2),)
    assert done(world, replica, replica.reverse()) == 0
    assert modes(replica, primary) == ((1, 1), (2, 2))
    unsent = primary.truth().unsent_writes
    assert unsent > 30 and primary.truth().discarded_writes == 0
    done(world, replica, replica.begin())
    assert modes(replica, primary) == ((1, 3), (2, 3))
    assert primary.truth().discarded_writes == unsent  # what the old primary had of its own is gone


@pytest.mark.parametrize("state", range(22))
@pytest.mark.parametrize("mode", ["none", "primary", "replica", "test_replica", "extended_replica"])
def test_only_a_failed_over_replica_is_reversed(mode: str, state: int) -> None:
    client = Client(one(mode, state, peer="HV-ELSEWHERE"))
    expected = 4096 if mode in ("replica", "extended_replica") and state == 6 else 32775
    assert client.reverse(to="HV-ELSEWHERE")[0] == expected


def test_a_peer_outside_of_the_world_is_believed() -> None:
    world = one("replica", 6, peer="HV-ELSEWHERE")
    client = Client(world)
    assert done(world, client, client.reverse(to="HV-ELSEWHERE")) == 0
    assert modes(client) == ((1, 1),)
    assert done(world, client, client.begin()) == 0
    assert modes(client) == ((1, 3),)


# --- the third site ----------------------------------------------------------------------------------------------


def test_a_third_site_is_added_to_a_pair_and_taken_away() -> None:
    hosts = {
        PRIMARY: {"vms": [{"name": "vm", "mode": "primary"}]},
        REPLICA: {"vms": [{"name": "vm", "mode": "replica"}]},
        THIRD: {},
    }
    world = scenario.load({"hosts": hosts}, clock=Clock(0))
    first, middle, third = (Client(world, host) for host in (PRIMARY, REPLICA, THIRD))
    done(world, middle, middle.enable(THIRD))
    assert modes(first, middle, third) == ((1, 3), (2, 3), (4, 2))
    assert [each.state for each in middle.truth().relationships] == [3, 1]
    assert middle.enable(THIRD)[0] == 32775 and third.enable(PRIMARY)[0] == 32775
    done(world, middle, middle.begin())
    assert [each.state for each in middle.truth().relationships] == [3, 3]
    assert modes(third) == ((4, 3),)
    ids = [each.properties["InstanceID"][-1] for each in middle.all("Msvm_ReplicationRelationship")]
    assert ids == ["0", "1"] and len(middle.all("Msvm_SystemReplicationRelationship")) == 2
    assert middle.remove(0)[0] == 32775
    done(world, middle, middle.remove(1))
    assert (len(middle.truth().relationships), *modes(third)) == (1, (4, 3))
    assert done(world, third, third.remove()) == 0 and modes(third) == ((0, 0),)


def test_a_third_site_has_no_third_site_of_its_own() -> None:
    waiting = {"name": "vm", "mode": "replica", "state": "waiting_to_complete_initial_replication"}
    hosts = {
        REPLICA: {"vms": [{"name": "vm", "mode": "replica", "peer": "HV-FAR"}]},
        THIRD: {"vms": [{**waiting, "relationship_1": {"peer": "HV-FAR"}}]},
    }
    world = scenario.load({"hosts": hosts}, clock=Clock(0))
    middle, third = Client(world, REPLICA), Client(world, THIRD)
    third.truth().relationships[0].peer = ""
    before = modes(middle, third)
    assert done(world, middle, middle.enable(THIRD)) == 32768
    assert modes(middle, third) == before
    assert len(middle.truth().relationships) == 1


def test_reverse_is_refused_with_a_third_site_and_replication_goes_on_there() -> None:
    world, first, middle, third = chain()
    done(world, middle, middle.failover())
    done(world, middle, middle.service("CommitFailover"))
    assert modes(first, middle, third) == ((1, 8), (2, 6), (4, 3))
    assert middle.reverse()[0] == 32775
    own = relationship_text(middle.truth(), 0)
    assert middle.service("ChangeReplicationModeToPrimary", ReplicationRelationship=own)[0] == 32773
    text = relationship_text(middle.truth(), 1)
    code, job = middle.service("ChangeReplicationModeToPrimary", ReplicationRelationship=text)
    assert middle.job(job)["JobType"] == 123
    world.advance(10)
    assert modes(first, middle, third) == ((1, 8), (1, 3), (2, 3))
    assert [each.index for each in middle.truth().relationships] == [0]
    assert middle.truth().partner(0) == (third.truth(), third.truth().relationships[0])
    assert first.truth().partner(0) is None
    # the new pair is one as any other
    done(world, third, third.failover())
    assert modes(first, middle, third) == ((1, 8), (1, 8), (2, 5))


@pytest.mark.parametrize("state", [3, 5, 7])
def test_only_a_committed_replica_goes_on(state: int) -> None:
    client = Client(one("replica", state, relationship_1={"state": "replicating"}))
    text = relationship_text(client.truth(), 1)
    assert client.service("ChangeReplicationModeToPrimary", ReplicationRelationship=text)[0] == 32775


def test_the_third_site_is_prepared_and_reversed() -> None:
    world, first, middle, third = chain()
    done(world, middle, middle.request(4, relationship=relationship_text(middle.truth(), 1)))
    done(world, third, third.failover())
    assert third.vm()["FailedOverReplicationType"] == 3
    done(world, third, third.reverse())
    assert modes(first, middle, third) == ((1, 3), (2, 3), (1, 3))
    assert middle.truth().relationships[0].peer == "HV-THIRD.lab.example"


def test_a_failover_of_the_third_site_is_committed_and_reversed() -> None:
    world, first, middle, third = chain(assumptions={"REVERSE_TO_UNTOLD_PRIMARY": "accept", **SLOW})
    done(world, third, third.failover())
    # the first site goes on sending to the second, which has lost the third
    assert modes(first, middle, third) == ((1, 3), (2, 3), (4, 5))
    assert middle.truth().relationships[1].state == 8
    assert third.service("CommitFailover")[0] == 4096
    assert third.service("CommitFailover")[0] == 32775  # one change at a time
    world.advance(20)
    assert modes(first, middle, third) == ((1, 3), (2, 3), (4, 6))
    assert (third.truth().points, third.vm()["OperationalStatus"]) == ([], MERGING)
    for call in (third.revert(), third.failover(), third.service("CommitFailover")):
        assert call[0] == 32775
    assert third.truth().failed_over
    done(world, third, third.reverse())
    assert modes(middle, third) == ((2, 2), (1, 1))
    assert [each.index for each in middle.truth().relationships] == [0]
    assert middle.truth().partner(0) == (third.truth(), third.truth().relationships[0])
    assert first.truth().partner(0) is None
    done(world, third, third.begin())
    world.advance(300)
    assert modes(middle, third) == ((2, 3), (1, 3))


def test_a_committed_third_site_is_reversed_only_where_that_is_assumed() -> None:
    world, first, middle, third = chain(assumptions={"REVERSE_ON_THIRD_SITE": 32775})
    done(world, third, third.failover())
    done(world, third, third.service("CommitFailover"))
    before = modes(first, middle, third)
    assert third.reverse()[0] == 32775
    assert modes(first, middle, third) == before == ((1, 3), (2, 3), (4, 6))


# --- ended ---------------------------------------------------------------------------------------------------------


def test_each_side_is_removed_by_itself() -> None:
    world, replica, primary = pair()
    done(world, replica, replica.remove())
    assert modes(replica, primary) == ((0, 0), (1, 8))
    assert replica.truth().points == []
    assert len(replica.all("Msvm_ReplicationSettingData")) == 1  # they are there all the same
    done(world, primary, primary.service("RemoveReplicationRelationship"))
    assert modes(replica, primary) == ((0, 0), (0, 0))
    assert primary.remove()[0] == 32775
    assert replica.power(2)[0] == 4096  # it is a VM as any other now


def test_removing_the_primary_leaves_the_replica_as_it_is() -> None:
    world, replica, primary = pair()
    done(world, primary, primary.remove())
    assert modes(replica, primary) == ((2, 3), (0, 0))
    assert replica.failover()[0] == 4096


# --- resynchronize ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", range(22))
@pytest.mark.parametrize("mode", ["none", "primary", "replica", "test_replica", "extended_replica"])
def test_only_a_sender_that_is_stopped_is_resynchronized(mode: str, state: int) -> None:
    expected = 4096 if mode == "primary" and state in (7, 8, 9, 11, 16) else 32775
    assert Client(one(mode, state)).resync()[0] == expected


def test_both_ends_show_a_resynchronization() -> None:
    world, replica, primary = pair(primary={"state": 9, "unsent_writes": 50})
    code, job = primary.resync()
    assert (primary.job(job)["JobType"], modes(replica, primary)) == (107, ((2, 10), (1, 10)))
    world.advance(20)
    assert modes(replica, primary) == ((2, 3), (1, 3))
    assert (primary.truth().unsent_writes, primary.truth().discarded_writes) == (0, 0)


def test_a_resynchronization_gives_way_to_those_who_end_it() -> None:
    for requested, state in ((9, 9), (7, 7)):
        world, replica, primary = pair(primary={"state": 9})
        _code, job = primary.resync()
        assert primary.power(2)[0] == 32775
        done(world, primary, primary.request(requested), 5)
        assert primary.job(job)["JobState"] == 8
        world.advance(100)
        assert modes(primary) == ((1, state),)


def test_a_resynchronization_at_a_later_time() -> None:
    world, replica, primary = pair(primary={"state": 9})
    when = world.time + timedelta(hours=2)
    done(world, primary, primary.resync(start=when))
    assert modes(primary) == ((1, 9),)
    world.advance(7183)
    assert modes(replica, primary) == ((2, 10), (1, 10))
    world.advance(20)
    assert modes(replica, primary) == ((2, 3), (1, 3))


def test_nothing_is_resynchronized_to_a_replica_that_runs_by_itself() -> None:
    world, replica, primary = pair({"state": 5}, {"state": 9})
    assert done(world, primary, primary.resync()) == 32768
    assert modes(replica, primary) == ((2, 5), (1, 9))


def test_a_replica_resynchronizes_its_third_site() -> None:
    world, _first, middle, third = chain()
    middle.truth().relationships[1].state = 9
    _code, job = middle.resync()
    assert middle.job(job)["JobType"] == 121
    assert ([each.state for each in middle.truth().relationships], *modes(third)) == ([3, 10], (4, 10))
    world.advance(20)
    assert [each.state for each in middle.truth().relationships] == [3, 3]


def test_what_was_never_sent_to_a_new_replica_has_no_time() -> None:
    """After an unplanned failover both ends begin anew: the old primary as a replica, the new one as its sender."""
    world, replica, primary = pair({"state": 6}, {"state": 8})
    done(world, primary, primary.request(2))
    assert primary.truth().relationships[0].last_time is None
    done(world, replica, replica.reverse())
    assert [each.truth().relationships[0].last_time for each in (replica, primary)] == [None, None]


@pytest.mark.parametrize("state", range(22))
def test_initial_replication_begins_from_one_state_only(state: int) -> None:
    client = Client(one("primary", state, peer="HV-ELSEWHERE"))
    assert client.begin()[0] == (4096 if state == 1 else 32775)


def test_an_export_pays_no_heed_to_a_time() -> None:
    world, _replica, primary = pair({"state": 2}, {"state": 1})
    when = world.time + timedelta(hours=1)
    done(world, primary, primary.begin(2, InitialReplicationExportLocation="D:\\Out", StartTime=when))
    assert primary.truth().relationships[0].exported == "D:\\Out"


def test_a_resynchronization_that_fails_leaves_both_ends_as_they_were() -> None:
    world, replica, primary = pair({"state": 7}, {"state": 9})
    world.fate({"method": "Resynchronize", "outcome": "job_fails"})
    done(world, primary, primary.resync())
    assert modes(replica, primary) == ((2, 7), (1, 9))


def test_a_start_time_is_that_of_the_host_s_clock() -> None:
    hosts = {PRIMARY: {"skew": 3600, "vms": [{"name": "vm", "mode": "primary", "state": 1, "peer": "HV-X"}]}}
    world = scenario.load({"hosts": hosts}, clock=Clock(0))
    primary = Client(world, PRIMARY)
    done(world, primary, primary.begin(StartTime=world.time + timedelta(minutes=61)))
    assert modes(primary) == ((1, 1),)
    world.advance(120)
    assert modes(primary) == ((1, 3),)


def test_a_cancelled_transfer_does_not_go_on() -> None:
    world, _replica, primary = pair({"state": 2}, {"state": 1})
    done(world, primary, primary.begin(), 3)
    done(world, primary, primary.request(1), 3)
    assert not [job for job in primary.host.jobs if job.running]
