# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host as a replica server, whom it takes replication from, and what is counted."""

from __future__ import annotations

import typing as t
from datetime import datetime, timezone

import pytest
from replica_lab import scenario
from replica_lab.clock import Clock
from replica_lab.provider import Value
from replica_lab.world import World, embedded
from world_kit import PRIMARY, REPLICA, SERVICE, Client, one, relationship_text, world_of
from world_rows import authorization_text, authorize, set_authorization, statistics

SETTINGS = "Msvm_ReplicationServiceSettingData"
ENTRY = "Msvm_ReplicationAuthorizationSettingData"


def modify(client: Client, **settings: Value) -> int:
    return client.on_service("ModifyServiceSettings", SettingData=embedded.write(SETTINGS, settings))[0]


# --- settings --------------------------------------------------------------


def test_what_a_text_leaves_out_stays() -> None:
    client = Client(world_of())
    code, job = client.on_service(
        "ModifyServiceSettings", SettingData=embedded.write(SETTINGS, {"HttpPort": 8080, "HttpsPort": None})
    )
    assert (code, client.job(job)["JobType"]) == (4096, 90)
    client.world.advance(5)
    shown = client.all(SETTINGS)[0].properties
    assert (shown["HttpPort"], shown["HttpsPort"], shown["RecoveryServerEnabled"]) == (8080, 443, True)
    assert modify(client, RecoveryServerEnabled=False) == 4096
    client.world.advance(5)
    assert client.all(SETTINGS)[0].properties["RecoveryServerEnabled"] is False


@pytest.mark.parametrize(
    "settings",
    [
        {"AllowedAuthenticationType": 4},
        {"AllowedAuthenticationType": 2},  # without a certificate
        {"HttpPort": 0},
        {"MonitoringInterval": 3599},
        {"MonitoringInterval": 604801},
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Value]) -> None:
    assert modify(Client(world_of()), **settings) == 32773


def test_a_certificate_opens_the_other_port() -> None:
    world = world_of()
    assert modify(Client(world), AllowedAuthenticationType=3, CertificateThumbPrint="AB" * 20) == 4096
    world.advance(5)
    assert connection(world, Client(world, PRIMARY), port=443, kind=2) == 0
    assert connection(world, Client(world, PRIMARY)) == 0


def test_a_node_of_a_cluster_leaves_it_to_the_broker() -> None:
    world = scenario.load({"hosts": {REPLICA: {"cluster": True}}}, clock=Clock(0))
    client = Client(world)
    for verb in ("Add", "Modify"):
        assert authorize(client, verb, "HV-X") == 32770
    assert client.on_service("RemoveAuthorizationEntry", AllowedPrimaryHostSystem="*")[0] == 32770
    assert modify(client, HttpPort=81) == 32770


# --- authorization entries --------------------------------------------------------------


def entries(client: Client) -> dict[str, tuple[str, str]]:
    client.world.advance(5)
    shown = [each.properties for each in client.all(ENTRY)]
    return {each["AllowedPrimaryHostSystem"]: (each["TrustGroup"], each["ReplicaStorageLocation"]) for each in shown}


def test_entries_come_change_and_go() -> None:
    client = Client(world_of())
    assert entries(client) == {"*": ("lab", "C:\\Replica")}
    assert authorize(client, "Add", "hv-primary.lab.example") == 4096
    assert client.on_service("RemoveAuthorizationEntry", AllowedPrimaryHostSystem="*")[0] == 4096
    assert entries(client) == {"hv-primary.lab.example": ("lab", "C:\\")}
    assert authorize(client, "Modify", "HV-PRIMARY.lab.example", TrustGroup="other") == 4096  # names know no case
    assert entries(client) == {"hv-primary.lab.example": ("other", "C:\\")}
    links = [each.properties for each in client.all("Msvm_ElementSettingData")]
    assert [each["SettingData"].class_name for each in links] == [SETTINGS, ENTRY]
    assert client.on_service("RemoveAuthorizationEntry", AllowedPrimaryHostSystem="HV-X")[0] == 32773
    assert client.on_service("AddAuthorizationEntry", AuthorizationEntry="no xml")[0] == 32773
    assert authorize(client, "Add", "") == 32773


def test_a_replica_is_bound_to_a_primary() -> None:
    client = Client(one("replica", 3))
    assert set_authorization(client, "*") == 4096
    client.world.advance(5)
    assert client.truth().authorization is not None
    assert set_authorization(Client(one("primary", 3)), "*") == 32775
    text = authorization_text("")
    assert client.service("SetAuthorizationEntry", AuthorizationEntry=text)[0] == 32773


# --- TestReplicationConnection --------------------------------------------------------------


def connection(world: World, client: Client, to: str = REPLICA, port: int = 80, kind: int = 1) -> t.Any:
    """The ErrorCode of the job."""
    code, job = client.on_service(
        "TestReplicationConnection",
        RecoveryConnectionPoint=to,
        RecoveryServerPortNumber=port,
        AuthenticationType=kind,
        CertificateThumbPrint="CD" * 20 if kind == 2 else None,
        BypassProxyServer=False,
    )
    if job is None:
        return code
    assert client.job(job)["JobType"] == 115
    world.advance(10)
    return client.job(job)["ErrorCode"]


def test_a_connection_is_there_or_not() -> None:
    world = world_of()
    client = Client(world, PRIMARY)
    assert connection(world, client) == 0
    assert connection(world, client, to="hv-replica.lab.example") == 0
    assert connection(world, client, to="HV-NOBODY") == 32768
    assert connection(world, client, port=81) == 32768
    assert connection(world, client, kind=2, port=443) == 32768
    assert connection(world, client, kind=3) == 32773
    assert connection(world, client, to="") == 32773
    world.act(REPLICA, None, "deauthorize")
    assert connection(world, client) == 32768
    world.act(REPLICA, None, "authorize", primary="*.lab.example")
    assert connection(world, client) == 0
    world.act(REPLICA, None, "serve_replication", enabled=False)
    assert connection(world, client) == 32768
    world.act(REPLICA, None, "serve_replication")
    world.act(REPLICA, None, "stop_vmms")
    assert connection(world, client) == 32768


# --- statistics --------------------------------------------------------------


def numbers(client: Client) -> embedded.Properties:
    code, out = statistics(client)
    (text,) = t.cast("list[str]", out["ReplicationStatistics"])
    assert code == 0
    return embedded.read(text, "Msvm_ReplicationStatistics")


def issues(client: Client) -> list[t.Any]:
    texts = t.cast("list[str]", statistics(client)[1]["ReplicationHealthIssues"])
    return [embedded.read(text, "Msvm_Error") for text in texts]


def test_statistics_move_with_what_the_guest_writes() -> None:
    world = world_of([{"name": "vm", "mode": "replica"}], [{"name": "vm", "mode": "primary", "power": "running"}])
    primary = Client(world, PRIMARY)
    assert (numbers(primary)["PendingReplicationSize"], numbers(primary)["ReplicationSuccessCount"]) == (0, 0)
    world.advance(10)
    assert numbers(primary)["PendingReplicationSize"] == 10 * 4096
    assert numbers(Client(world))["PendingReplicationSize"] == 0  # the replica does not know
    world.act(REPLICA, "vm", "replicate")
    after = numbers(primary)
    sizes = {name: after[name] for name in ("PendingReplicationSize", "ReplicationSize", "ReplicationSuccessCount")}
    assert sizes == {"PendingReplicationSize": 0, "ReplicationSize": 40960, "ReplicationSuccessCount": 1}
    assert isinstance(after["StartStatisticTime"], datetime) and issues(primary) == []
    world.advance(60)
    text = relationship_text(primary.truth(), 0)
    code, job = primary.service("ResetReplicationStatisticsEx", ReplicationRelationship=text)
    assert (code, primary.job(job)["JobType"]) == (4096, 119)
    world.advance(5)
    again = numbers(primary)
    assert (again["ReplicationSuccessCount"], again["MaxReplicationSize"]) == (0, 0)
    assert t.cast(datetime, again["StartStatisticTime"]) > after["StartStatisticTime"]


def test_a_test_failover_is_remembered() -> None:
    client = Client(one("replica", 3))
    assert numbers(client)["LastTestFailoverTime"] == datetime(1601, 1, 1, tzinfo=timezone.utc)
    client.service("TestReplicaSystem", SnapshotSettingData=None)
    client.world.advance(10)
    remembered = t.cast(datetime, numbers(client)["LastTestFailoverTime"])
    assert remembered > client.world.time.replace(year=2000)
    assert client.service("ResetReplicationStatistics")[0] == 4096
    client.world.advance(10)
    after = numbers(client)
    assert t.cast(datetime, after["StartStatisticTime"]) > remembered
    assert after["LastTestFailoverTime"] == remembered


@pytest.mark.parametrize(
    ("state", "severity"),
    [("replicating", None), ("critical", 6), ("suspended", 3), ("waiting_to_start_resynchronization", 6)],
)
def test_health_issues(state: str, severity: int | None) -> None:
    found = issues(Client(one("primary", state)))
    assert [each["PerceivedSeverity"] for each in found] == ([severity] if severity else [])


def test_there_are_no_statistics_where_nothing_is_replicated() -> None:
    client = Client(one("none", 0))
    assert client.service("GetReplicationStatistics")[0] == 32775
    assert statistics(client)[0] == 32775
    replica = Client(one("replica", 3))
    text = relationship_text(replica.truth(), 1)
    assert replica.service("GetReplicationStatisticsEx", ReplicationRelationship=text)[0] == 32773
    assert replica.service("ResetReplicationStatistics")[0] == 4096


def test_two_numbered_relationships_are_counted_apart() -> None:
    client = Client(one("replica", 3, relationship_1={"state": "critical"}))
    for index, expected in ((0, 1), (1, 3)):
        text = relationship_text(client.truth(), index)
        ref = client.all(SERVICE)[0].ref
        _code, out = client.ask(
            ref, "GetReplicationStatisticsEx", ComputerSystem=client.ref(), ReplicationRelationship=text
        )
        (found,) = t.cast("list[str]", out["ReplicationStatistics"])
        assert embedded.read(found, "Msvm_ReplicationStatistics")["ReplicationHealth"] == expected
