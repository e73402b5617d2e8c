# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pair made, prepared and turned round through both libraries: texts in texts, arrays, datetimes, references."""

from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET
from datetime import timedelta
from xml.sax.saxutils import escape

import pytest
from replica_lab.clock import Clock
from replica_lab.scenario import load
from replica_lab.world import embedded

PRIMARY, REPLICA = "HV-PRIMARY", "HV-REPLICA"
SERVICE, SYSTEM = "Msvm_ReplicationService", "Msvm_ComputerSystem"
LIBRARIES = ["pypsrp-http-ntlm", "pywinrm-http-basic"]
WILD = "Ærø & <仮想> \"two\" 'one' ]]>"


class Operator:
    """Somebody at one host, with nothing but a library."""

    def __init__(self, wire: t.Any, running: t.Any, host: str, library: str) -> None:
        self.wire, self.world = wire, running.world
        self.library = wire.Library(library, running, host, "operator", "replica-lab")
        self.vm = next(vm for vm in running.world.hosts[PRIMARY].vms if vm.name == "App 02")

    def call(self, method: str, arguments: str, system: bool = True) -> ET.Element:
        """A method of the replication service; the out parameters."""
        uri = f"{self.wire.V2}/{SERVICE}"
        vm = self.wire.epr(CreationClassName=SYSTEM, Name=self.vm.id)
        about = f"<p:ComputerSystem>{vm}</p:ComputerSystem>" if system else ""
        spaces = f'xmlns:p="{uri}" xmlns:cim="{self.wire.NS["cim"]}" xmlns:xsi="{self.wire.NS["xsi"]}"'
        body = f"<p:{method}_INPUT {spaces}>{about}{arguments}</p:{method}_INPUT>"
        answer = self.library.send(f"{uri}/{method}", uri, body, CreationClassName=SERVICE)
        (out,) = answer.iterfind(f".//{{{uri}}}{method}_OUTPUT")
        return out

    def done(self, method: str, arguments: str, code: str = "4096") -> ET.Element:
        out = self.call(method, arguments)
        assert out.findtext("{*}ReturnValue") == code
        self.world.advance(20)
        return out

    def instances(self, class_name: str) -> list[ET.Element]:
        body = (
            "<n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>100</w:MaxElements>"
            f'<w:Filter Dialect="{self.wire.WQL}">SELECT * FROM {class_name}</w:Filter></n:Enumerate>'
        )
        answer = self.library.send(f"{self.wire.NS['n']}/Enumerate", f"{self.wire.V2}/*", body)
        return list(answer.iterfind(f".//{{*}}{class_name}"))


@pytest.fixture(params=LIBRARIES)
def operators(lab: t.Any, wire: t.Any, request: t.Any) -> t.Iterator[t.Callable[..., tuple[Operator, Operator]]]:
    made: list[Operator] = []

    def make(replicated: bool = True) -> tuple[Operator, Operator]:
        world = load("nothing", clock=Clock(0))
        world.act(REPLICA, None, "serve_replication")
        world.act(REPLICA, None, "authorize", primary="*")
        running = lab(world)
        made.extend(Operator(wire, running, host, request.param) for host in (PRIMARY, REPLICA))
        if replicated:
            world.act(PRIMARY, "App 02", "enable_replication", to=REPLICA, seconds=0)
            world.act(PRIMARY, "App 02", "start_replication", seconds=0)
            world.advance(60)
        return made[0], made[1]

    yield make
    for operator in made:
        operator.library.close()


def parameter(name: str, *values: str) -> str:
    """A parameter; an array repeats it."""
    return "".join(f"<p:{name}>{escape(value)}</p:{name}>" for value in values)


def settings(**stated: t.Any) -> str:
    return embedded.write("Msvm_ReplicationSettingData", stated)


def test_a_pair_from_nothing_with_a_start_at_a_time(operators: t.Any) -> None:
    primary, replica = operators(replicated=False)
    world = primary.world
    text = settings(RecoveryConnectionPoint=REPLICA, RecoveryHistory=4, AdditionalSettings=WILD)
    primary.done("CreateReplicationRelationship", parameter("ReplicationSettingData", text))
    (shown,) = (
        each for each in primary.instances("Msvm_ReplicationSettingData") if each.findtext("{*}ElementName") == "App 02"
    )
    assert (shown.findtext("{*}RecoveryHistory"), shown.findtext("{*}AdditionalSettings")) == ("4", WILD)
    (there,) = world.hosts[REPLICA].vms
    assert there.relationships[0].settings["AdditionalSettings"] == WILD

    kind = parameter("InitialReplicationType", "1") + '<p:InitialReplicationExportLocation xsi:nil="true"/>'
    when = world.time + timedelta(hours=1)
    for spelling in (
        f"<p:StartTime><cim:Datetime>{when:%Y-%m-%dT%H:%M:%S}Z</cim:Datetime></p:StartTime>",
        f"<p:StartTime>{when:%Y%m%d%H%M%S}.000000+000</p:StartTime>",
    ):
        primary.done("StartReplication", kind + spelling)
        assert (primary.vm.state, there.state) == (1, 2)
    interval = "<p:StartTime><cim:Interval>PT1H</cim:Interval></p:StartTime>"
    primary.done("StartReplication", kind + interval, "32773")
    world.advance(3500)
    assert primary.vm.state == 1
    world.advance(120)
    assert (primary.vm.state, there.state) == (3, 3)
    (system,) = (each for each in replica.instances(SYSTEM) if each.findtext("{*}ElementName") == "App 02")
    assert system.findtext("{*}ReplicationMode") == "2"


def test_addresses_of_two_adapters_in_one_call(operators: t.Any) -> None:
    _primary, replica = operators()
    name = "Msvm_FailoverNetworkAdapterSettingData"
    before = {each.findtext("{*}ElementName"): each.findtext("{*}InstanceID") for each in replica.instances(name)}
    wanted = {"Front": ["192.0.2.10", "2001:db8::10"], "Back": ["198.51.100.7"]}
    subnets = {"Front": ["255.255.255.0", "64"], "Back": ["255.255.255.0"]}
    texts = [
        embedded.write(
            name,
            {"InstanceID": before[nic], "DHCPEnabled": False, "IPAddresses": wanted[nic], "Subnets": subnets[nic]},
        )
        for nic in wanted
    ]
    replica.done("SetFailoverNetworkAdapterSettings", parameter("NetworkSettings", *texts))
    shown = {
        each.findtext("{*}ElementName"): [item.text for item in each.iterfind("{*}IPAddresses")]
        for each in replica.instances(name)
    }
    assert shown == wanted
    replica.done("SetFailoverNetworkAdapterSettings", '<p:NetworkSettings xsi:nil="true"/>', "32773")
    one_of_one = parameter("NetworkSettings", texts[0].replace("192.0.2.10", "192.0.2.11"))
    replica.done("SetFailoverNetworkAdapterSettings", one_of_one)
    (front,) = (each for each in replica.instances(name) if each.findtext("{*}ElementName") == "Front")
    assert [item.text for item in front.iterfind("{*}IPAddresses")] == ["192.0.2.11", "2001:db8::10"]


def test_a_point_by_reference_and_the_way_back_by_a_text(operators: t.Any, wire: t.Any) -> None:
    primary, replica = operators()
    primary.world.act(PRIMARY, "App 02", "prepare", seconds=0)
    point = replica.instances("Msvm_VirtualSystemSettingData")
    (planned,) = (
        each.findtext("{*}InstanceID") or ""
        for each in point
        if (each.findtext("{*}VirtualSystemType") or "").endswith("PlannedFailover")
    )
    reference = wire.epr("Msvm_VirtualSystemSettingData", InstanceID=planned)
    unknown = wire.epr("Msvm_VirtualSystemSettingData", InstanceID="Microsoft:X")
    replica.done("InitiateFailover", f"<p:SnapshotSettingData>{unknown}</p:SnapshotSettingData>", "32773")
    replica.done("InitiateFailover", f"<p:SnapshotSettingData>{reference}</p:SnapshotSettingData>")
    (there,) = replica.world.hosts[REPLICA].vms
    assert (there.state, there.relationships[0].failed_over_type) == (5, 3)
    text = settings(RecoveryConnectionPoint=PRIMARY)
    replica.done("ReverseReplicationRelationship", parameter("ReplicationSettingData", text))
    assert [(vm.mode, vm.state) for vm in (there, primary.vm)] == [(1, 3), (2, 3)]


def test_statistics_and_health_come_as_texts_in_arrays(operators: t.Any) -> None:
    primary, _replica = operators()
    primary.vm.name = WILD
    text = (
        '<INSTANCE CLASSNAME="Msvm_ReplicationRelationship"><PROPERTY NAME="InstanceID" TYPE="string">'
        rf"<VALUE>Microsoft:{primary.vm.id}\HVR\0</VALUE></PROPERTY></INSTANCE>"
    )
    primary.world.act(PRIMARY, WILD, "suspend", seconds=0)
    primary.vm.relationships[0].health = 2
    out = primary.done("GetReplicationStatisticsEx", parameter("ReplicationRelationship", text), "0")
    (statistics,) = (each.text or "" for each in out.iterfind("{*}ReplicationStatistics"))
    (issue,) = (each.text or "" for each in out.iterfind("{*}ReplicationHealthIssues"))
    counted = embedded.read(statistics, "Msvm_ReplicationStatistics")
    assert (counted["ElementName"], counted["ReplicationHealth"], counted["ReplicationSuccessCount"]) == (WILD, 2, 1)
    assert counted["EndStatisticTime"] == primary.world.time - timedelta(seconds=20)
    assert WILD in str(embedded.read(issue, "Msvm_Error")["Message"])
