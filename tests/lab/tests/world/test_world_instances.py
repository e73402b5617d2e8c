# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the world looks as CIM: classes, types, keys, associations, and the traps that real hosts set."""

from __future__ import annotations

import enum
import json
import typing as t
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from replica_lab import scenario, schema
from replica_lab.clock import Clock
from replica_lab.provider import CimObject, InvalidCall, NotFound, Ref
from replica_lab.world import World
from replica_lab.world.instances import SERVED
from world_kit import JOB, PRIMARY, REPLICA, SYSTEM, Client, one, world_of

NOT_ON_THE_PRIMARY = {
    "Msvm_AffectedJobElement",
    "Msvm_ConcreteJob",
    "Msvm_LastAppliedSnapshot",
    "Msvm_ReplicaSystemDependency",
    "Msvm_SnapshotOfVirtualSystem",
}
UNSET = datetime(1601, 1, 1, tzinfo=timezone.utc)


@pytest.fixture(name="drill")
def _drill() -> World:
    world = scenario.load("drill", clock=Clock(0))
    world.advance(1)
    return world


def by_name(objects: t.Iterable[CimObject], name: str) -> dict[str, t.Any]:
    return next(each.properties for each in objects if each.properties["ElementName"] == name)


@pytest.mark.parametrize("class_name", SERVED)
@pytest.mark.parametrize("host", [REPLICA, PRIMARY])
def test_every_instance_has_every_property_in_its_type(drill: World, host: str, class_name: str) -> None:
    shape = schema.classes()[class_name]
    found = Client(drill, host).all(class_name)
    assert found or (host == PRIMARY and class_name in NOT_ON_THE_PRIMARY)
    for each in found:
        assert set(each.properties) == set(shape.properties)
        assert each.ref.class_name == class_name
        assert {name for name, _value in each.ref.keys} == set(shape.keys)
        for name, value in each.properties.items():
            assert schema.fits(value, shape.properties[name]), f"{class_name}.{name} = {value!r}"
            assert not isinstance(value, enum.Enum), f"{class_name}.{name} is not a plain number"
        for name, value in each.ref.keys:
            if isinstance(each.properties[name], str):
                assert each.properties[name] == value


@pytest.mark.parametrize("class_name", SERVED)
def test_what_is_enumerated_can_be_fetched_by_its_reference(drill: World, class_name: str) -> None:
    client = Client(drill)
    for each in client.all(class_name):
        assert client.get(each.ref) == each


def test_a_superclass_finds_all_its_subclasses(drill: World) -> None:
    client = Client(drill)
    switches = client.all("Msvm_VirtualEthernetSwitch")
    assert switches and len(client.all("CIM_ComputerSystem")) == len(client.all(SYSTEM)) + len(switches)
    settings = {each.ref.class_name for each in client.all("CIM_SettingData")}
    assert settings == {
        "Msvm_EthernetPortAllocationSettingData",
        "Msvm_FailoverNetworkAdapterSettingData",
        "Msvm_ReplicationAuthorizationSettingData",
        "Msvm_ReplicationSettingData",
        "Msvm_ReplicationServiceSettingData",
        "Msvm_SyntheticEthernetPortSettingData",
        "Msvm_VirtualSystemSettingData",
    }
    assert client.all("cim_managedelement")  # class names know no case


def test_an_unknown_class_is_not_found(drill: World) -> None:
    client = Client(drill)
    with pytest.raises(NotFound) as caught:
        client.all("Msvm_Nonsense")
    assert caught.value.what == "class"
    with pytest.raises(NotFound):
        client.get(Ref.of("Win32_Process", Handle="4"))


def test_a_get_takes_some_of_the_keys_where_they_fit_one_instance(drill: World) -> None:
    client = Client(drill)
    vm = client.ref("SQL 01")
    assert client.get(Ref.of(SYSTEM, Name=dict(vm.keys)["Name"].lower())).ref == vm
    assert client.get(Ref.of("Msvm_ReplicationService")).properties["Name"] == "replicasvc"
    assert client.get(Ref.of("CIM_Service", Name="vmms")).ref.class_name == "Msvm_VirtualSystemManagementService"
    with pytest.raises(NotFound) as caught:
        client.get(Ref.of(SYSTEM, CreationClassName=SYSTEM))
    assert caught.value.what == "instance"
    with pytest.raises(NotFound):
        client.get(Ref.of(SYSTEM, Name="00000000-0000-0000-0000-000000000000"))
    with pytest.raises(InvalidCall):
        client.get(Ref.of(SYSTEM, Name=dict(vm.keys)["Name"], ElementName="SQL 01"))


def test_the_host_is_one_of_the_computer_systems_and_comes_first(drill: World) -> None:
    systems = Client(drill).all(SYSTEM)
    host = systems[0].properties
    assert (host["Name"], host["ElementName"], host["ReplicationMode"]) == (REPLICA, REPLICA, 0)
    assert host["LastReplicationTime"] == UNSET
    assert host["CommunicationStatus"] is None


def test_names_are_not_unique_and_hold_everything_a_name_can_hold(drill: World) -> None:
    names = [each.properties["ElementName"] for each in Client(drill).all(SYSTEM)]
    assert names.count("Shop") == 2
    joined = "".join(names)
    assert all(sign in joined for sign in ("'", '"', "\\", " ", "Æ", "仮"))


def test_both_sides_of_a_replication_share_the_id(drill: World) -> None:
    here, there = Client(drill).vm("SQL 01"), Client(drill, PRIMARY).vm("SQL 01")
    assert here["Name"] == there["Name"] == here["Name"].upper()
    settings = [
        by_name(Client(drill, host).all("Msvm_ReplicationSettingData"), "SQL 01") for host in (REPLICA, PRIMARY)
    ]
    for each in settings:
        assert each["InstanceID"] == rf"Microsoft:{here['Name']}\HVR\0"
        assert each["PrimaryHostSystem"] == "HV-PRIMARY.lab.example"
        assert each["RecoveryHostSystem"] == "HV-REPLICA.lab.example"


def test_recovery_points_are_told_by_their_type(drill: World) -> None:
    client = Client(drill)
    vm = client.vm("ERP Payroll")["Name"]
    drill.act(REPLICA, "ERP Payroll", "checkpoint")
    types = [
        each.properties["VirtualSystemType"].removeprefix("Microsoft:Hyper-V:")
        for each in client.all("Msvm_VirtualSystemSettingData")
        if each.properties["VirtualSystemIdentifier"] == vm
    ]
    assert types == [
        "System:Realized",
        "Snapshot:Replica:Standard",
        "Snapshot:Replica:PlannedFailover",
        "Snapshot:Realized",
    ]
    points = [
        each.properties["Dependent"]
        for each in client.all("Msvm_SnapshotOfVirtualSystem")
        if each.properties["Antecedent"] == client.ref("ERP Payroll")
    ]
    assert len(points) == 3


def test_numbers_can_be_as_large_as_their_type(drill: World) -> None:
    (settings,) = (
        each.properties
        for each in Client(drill).all("Msvm_VirtualSystemSettingData")
        if each.properties["ElementName"] == "SQL 01"
    )
    assert settings["HighMmioGapBase"] == 2**64 - 1


def test_a_german_and_a_japanese_host_speak_unevenly() -> None:
    texts = {}
    for locale in ("en-US", "de-DE", "ja-JP"):
        world = scenario.load({"hosts": {"H": {"locale": locale, "vms": [{"name": "vm"}]}}}, clock=Clock(0))
        host, vm = (each.properties for each in Client(world, "H").all(SYSTEM))
        texts[locale] = (host["Caption"], host["Description"], vm["Caption"], vm["Description"])
    assert len({each[2] for each in texts.values()}) == 3
    assert texts["ja-JP"][1] != texts["en-US"][1]
    assert texts["ja-JP"][3] == texts["en-US"][3]
    assert texts["de-DE"][3] != texts["en-US"][3]


def test_windows_server_2012_has_no_relationship_class_and_does_not_number_it() -> None:
    world = scenario.load(
        {"hosts": {"H": {"version": "2012", "vms": [{"name": "vm", "mode": "replica"}]}}}, clock=Clock(0)
    )
    client = Client(world, "H")
    with pytest.raises(NotFound):
        client.all("Msvm_ReplicationRelationship")
    assert client.all("Msvm_ReplicationSettingData")[0].properties["InstanceID"].endswith(r"\HVR")
    with pytest.raises(InvalidCall):
        client.request(7)
    assert client.invoke(client.ref(), "RequestReplicationStateChange", RequestedState=7)[0] == 4096


def test_a_scenario_can_make_an_instance_lie() -> None:
    overrides = {SYSTEM: {"ReplicationState": None}, "Msvm_ReplicationRelationship": {"ReplicationState": 99}}
    client = Client(one("replica", 5, overrides=overrides))
    assert client.vm()["ReplicationState"] is None
    assert client.all("Msvm_ReplicationRelationship")[0].properties["ReplicationState"] == 99
    assert client.revert()[0] == 4096  # the truth is another matter


def test_a_skewed_host_tells_its_own_time() -> None:
    times = []
    for skew in (0, 3600):
        clock = Clock(0, start=datetime(2026, 11, 1, tzinfo=timezone.utc))
        document = {"hosts": {"H": {"skew": skew, "vms": [{"name": "vm", "mode": "replica", "state": 5}]}}}
        client = Client(scenario.load(document, clock=clock), "H")
        job = client.job(client.revert()[1])
        times.append((client.vm()["LastReplicationTime"], job["StartTime"], client.vm()["LastSuccessfulBackupTime"]))
    hour = timedelta(hours=1)
    assert times[1] == (times[0][0] + hour, times[0][1] + hour, UNSET)


def test_only_the_class_asked_for_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 VMs with two points each are read class by class; a Get looks at the VM it names."""
    client = Client(scenario.load("big", clock=Clock(0)))
    asked: list[str] = []
    for name, generator in SERVED.items():

        def counted(host: t.Any, vms: t.Any, name: str = name, generator: t.Any = generator) -> t.Any:
            asked.append(f"{name} {len(tuple(vms))}")
            return generator(host, vms)

        monkeypatch.setitem(SERVED, name, counted)
    assert len(client.all(SYSTEM)) == 2001
    client.vm("VM 1234")
    assert asked == [f"{SYSTEM} 2000", f"{SYSTEM} 1"]
    assert len(client.all("Msvm_VirtualSystemSettingData")) == 6000


def test_values_fit_their_types() -> None:
    system = Ref.of(SYSTEM, Name="x")
    good = [(1, "uint16"), (65535, "uint16"), (None, "uint16"), ("", "string"), ([], "uint16[]"), ([1], "uint16[]")]
    good += [(system, "ref CIM_ComputerSystem"), (True, "boolean"), (timedelta(1), "datetime"), (-1, "int8")]
    bad = [(65536, "uint16"), (-1, "uint16"), (True, "uint16"), ("1", "uint16"), (1, "string"), ("a", "string[]")]
    bad += [(Ref.of(JOB, InstanceID="x"), "ref CIM_ComputerSystem"), (1, "boolean"), ([None], "string[]")]
    assert [pair for pair in good if not schema.fits(*pair)] == []
    assert [pair for pair in bad if schema.fits(*pair)] == []


def test_the_schema_names_its_source_and_licence() -> None:
    document = json.loads(Path(schema.__file__).with_name("cim-schema.json").read_text(encoding="utf-8"))
    assert "microsoft/wmi" in document["source"] and document["licence"].startswith("MIT License. Copyright")
    for name, found in schema.classes().items():
        assert set(found.keys) <= set(found.properties), name


def test_a_relationship_of_an_unreplicated_vm_is_an_assumption() -> None:
    for choice, count in (("present", 1), ("absent", 0)):
        world = world_of([{"name": "vm"}], assumptions={"RELATIONSHIP_WITHOUT_REPLICATION": choice})
        client = Client(world)
        assert len(client.all("Msvm_ReplicationRelationship")) == count
        assert len(client.all("Msvm_SystemReplicationRelationship")) == count
        assert len(client.all("Msvm_ReplicationSettingData")) == 1
