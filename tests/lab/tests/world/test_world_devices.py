# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What belongs to a VM beside its disks: network adapters, switches, the component that shuts its guest down."""

from __future__ import annotations

import typing as t

import pytest
from replica_lab import scenario
from replica_lab.clock import Clock
from replica_lab.provider import NotFound, Ref
from replica_lab.scenario import ScenarioError
from replica_lab.world import World, embedded
from world_kit import MANAGEMENT, PRIMARY, REPLICA, SYSTEM, Client, one
from world_rows import add_switch, connect, failover_text, set_addresses, shut_down

SHUTDOWN = "Msvm_ShutdownComponent"
CONNECTION = "Msvm_EthernetPortAllocationSettingData"


# --- shut down ----------------------------------------------------------------------------------------------------


def test_a_guest_shuts_down_by_itself_and_takes_its_time() -> None:
    world = one("none", 0, "running")
    client = Client(world)
    (component,) = client.all(SHUTDOWN)
    assert component.properties["SystemName"] == client.truth().id
    assert shut_down(client) == 0
    assert client.all("Msvm_ConcreteJob") == []
    world.advance(5)
    assert client.vm()["EnabledState"] == 4
    assert shut_down(client) == 32775  # it is at it
    world.advance(2)
    assert client.vm()["EnabledState"] == 3
    assert client.all(SHUTDOWN) == []
    with pytest.raises(NotFound):
        client.get(component.ref)


GUESTS = {  # guest -> (answer, answer with Force, power afterwards without and with Force)
    "willing": (0, 0, 3, 3),
    "hangs": (0, 0, 4, 4),
    "needs_force": (32775, 0, 2, 3),
    "refuses": (32775, 32775, 2, 2),
}


@pytest.mark.parametrize("guest", GUESTS)
@pytest.mark.parametrize("force", [False, True])
def test_how_guests_take_it(guest: str, force: bool) -> None:
    world = one("none", 0, "running", guest=guest)
    client = Client(world)
    assert shut_down(client, force) == GUESTS[guest][force]
    world.advance(600)
    assert client.vm()["EnabledState"] == GUESTS[guest][2 + force]


def test_a_guest_that_hangs_is_turned_off() -> None:
    world = one("none", 0, "running", guest="hangs")
    client = Client(world)
    shut_down(client)
    world.advance(600)
    assert client.power(3)[0] == 4096
    world.advance(10)
    assert client.vm()["EnabledState"] == 3


def test_a_vm_that_was_started_again_is_not_shut_down_late() -> None:
    world = one("none", 0, "running")
    client = Client(world)
    shut_down(client)
    client.power(3)
    world.advance(2.5)
    client.power(2)
    world.advance(60)
    assert client.vm()["EnabledState"] == 2


@pytest.mark.parametrize("power", ["off", "saved", "paused", "starting"])
def test_only_a_running_vm_has_the_component(power: str) -> None:
    assert Client(one("none", 0, power)).all(SHUTDOWN) == []


def test_no_integration_services_no_component() -> None:
    assert Client(one("none", 0, "running", guest="no_services")).all(SHUTDOWN) == []


@pytest.mark.parametrize(
    ("fate", "code", "power"),
    [
        ({"outcome": "return", "code": 32768}, 32768, 2),
        ({"outcome": "no_effect_0"}, 0, 2),
        ({"outcome": "job_hangs"}, 0, 4),
        ({"outcome": "job_fails"}, 0, 2),
        ({"outcome": "job_slow", "seconds": 1000}, 0, 4),
        ({"outcome": "sync"}, 0, 3),
    ],
)
def test_fates_strike_a_method_without_a_job(fate: dict[str, t.Any], code: int, power: int) -> None:
    world = one("none", 0, "running")
    client = Client(world)
    world.fate({**fate, "method": "InitiateShutdown"})
    assert shut_down(client) == code
    world.advance(100)
    assert client.vm()["EnabledState"] == power


def test_a_shut_down_lets_the_primary_be_prepared() -> None:
    world = one("primary", 3, "running")
    client = Client(world)
    assert client.request(4)[0] == 32775
    assert world.act(REPLICA, "vm", "shut_down") == {"return_value": 0, "job": None}
    world.advance(10)
    assert client.request(4)[0] == 4096


# --- adapters -------------------------------------------------------------------------------------------------------


def networked(**more: t.Any) -> tuple[World, Client]:
    nics = [{"name": "Front", "switch": "LAN"}, {"name": "Back"}]
    vm = {"name": "vm", "mode": "replica", "nics": nics, **more}
    world = scenario.load({"hosts": {REPLICA: {"switches": ["LAN", "Isolated"], "vms": [vm]}}}, clock=Clock(0))
    return world, Client(world)


def parts(client: Client, class_name: str) -> dict[str, t.Any]:
    return {each.properties["ElementName"]: each for each in client.all(class_name)}


def test_settings_lead_to_adapters_and_those_to_their_failover_settings() -> None:
    _world, client = networked()
    vm_id = client.truth().id
    adapters = parts(client, "Msvm_SyntheticEthernetPortSettingData")
    assert list(adapters) == ["Front", "Back"]
    assert all(dict(each.ref.keys)["InstanceID"].startswith(rf"Microsoft:{vm_id}" + "\\") for each in adapters.values())
    links = [each.properties for each in client.all("Msvm_EthernetPortFailoverSettingDataComponent")]
    settings = parts(client, "Msvm_FailoverNetworkAdapterSettingData")
    assert [(each["GroupComponent"], each["PartComponent"]) for each in links] == [
        (adapters[name].ref, settings[name].ref) for name in ("Front", "Back")
    ]
    components = [each.properties for each in client.all("Msvm_VirtualSystemSettingDataComponent")]
    assert {dict(each["GroupComponent"].keys)["InstanceID"] for each in components} == {f"Microsoft:{vm_id}"}
    assert len(components) == 4  # two adapters, two connections


def test_a_connection_names_its_switch() -> None:
    _world, client = networked()
    lan = parts(client, "Msvm_VirtualEthernetSwitch")["LAN"]
    front, back = (each.properties for each in client.all(CONNECTION))
    keys = f'CreationClassName="Msvm_VirtualEthernetSwitch",Name="{lan.properties["Name"]}"'
    path = rf"\\HV-REPLICA\root\virtualization\v2:Msvm_VirtualEthernetSwitch.{keys}"
    assert front["HostResource"] == [path]
    assert (front["EnabledState"], front["LastKnownSwitchName"]) == (2, "LAN")
    assert (back["EnabledState"], back["HostResource"]) == (3, [])


def test_addresses_after_a_failover_are_kept_by_adapter() -> None:
    _world, client = networked()
    settings = parts(client, "Msvm_FailoverNetworkAdapterSettingData")
    text = embedded.write(
        "Msvm_FailoverNetworkAdapterSettingData",
        {
            "InstanceID": settings["Front"].properties["InstanceID"],
            "DHCPEnabled": False,
            "IPAddresses": ["192.0.2.10", "2001:db8::10"],
            "Subnets": ["255.255.255.0", "64"],
            "DefaultGateways": ["192.0.2.1"],
            "DNSServers": ["192.0.2.53"],
            "ProtocolIFType": 4098,
        },
    )
    code, job = client.service("SetFailoverNetworkAdapterSettings", NetworkSettings=[text])
    assert code == 4096
    client.world.advance(10)
    shown = parts(client, "Msvm_FailoverNetworkAdapterSettingData")
    assert shown["Front"].properties["IPAddresses"] == ["192.0.2.10", "2001:db8::10"]
    assert shown["Front"].properties["ProtocolIFType"] == 4098
    assert shown["Back"] == settings["Back"]
    cleared = embedded.write(
        "Msvm_FailoverNetworkAdapterSettingData",
        {
            "InstanceID": settings["Front"].properties["InstanceID"],
            "DHCPEnabled": False,
            "IPAddresses": [],
            "Subnets": [],
            "DefaultGateways": [],
            "DNSServers": [],
            "ProtocolIFType": 0,
        },
    )
    client.service("SetFailoverNetworkAdapterSettings", NetworkSettings=[cleared])
    client.world.advance(10)
    assert parts(client, "Msvm_FailoverNetworkAdapterSettingData") == settings


BAD_ADDRESSES: dict[str, dict[str, t.Any]] = {
    "no addresses": {"IPAddresses": None},
    "nothing about DHCP": {"DHCPEnabled": None},
    "no such adapter": {"InstanceID": "Microsoft:nonsense"},
    "no adapter": {"InstanceID": None},
    "too many gateways": {"DefaultGateways": [f"192.0.2.{last}" for last in range(6)]},
    "subnets without addresses": {"Subnets": ["255.255.255.0"]},
    "no address": {"IPAddresses": ["192.0.2.300"], "Subnets": ["24"]},
}


@pytest.mark.parametrize("why", BAD_ADDRESSES)
def test_addresses_that_make_no_sense_change_nothing(why: str) -> None:
    client = Client(one("replica", 3, nics=[{"name": "NIC"}]))
    before = client.world.snapshot()
    assert set_addresses(client, **BAD_ADDRESSES[why]) == (32773, None)
    assert client.world.snapshot() == before


@pytest.mark.parametrize("texts", [None, [], ["no xml"]])
def test_no_settings_at_all(texts: t.Any) -> None:
    client = Client(one("replica", 3, nics=[{"name": "NIC"}]))
    assert client.service("SetFailoverNetworkAdapterSettings", NetworkSettings=texts)[0] == 32773


def test_one_bad_entry_spoils_them_all() -> None:
    client = Client(one("replica", 3, nics=[{"name": "NIC"}]))
    good = failover_text(client, IPAddresses=["192.0.2.1"], Subnets=["255.255.255.0"])
    texts = [good, good.replace("192.0.2.1", "nonsense")]
    assert client.service("SetFailoverNetworkAdapterSettings", NetworkSettings=texts)[0] == 32773
    client.world.advance(10)
    assert client.truth().nics[0].failover == {}


# --- a test copy is connected ---------------------------------------------------------------------------------------


def copy_of(client: Client) -> None:
    assert client.service("TestReplicaSystem", SnapshotSettingData=None)[0] == 4096
    client.world.advance(10)


def connection_of(client: Client, name: str) -> t.Any:
    vm_id = client.truth(name).id
    return next(each for each in client.all(CONNECTION) if vm_id in each.properties["InstanceID"])


def path_of(client: Client, switch: str) -> str:
    from replica_lab.world.found import object_path

    return object_path(client.host, parts(client, "Msvm_VirtualEthernetSwitch")[switch].ref)


def test_a_test_copy_is_on_no_network_until_it_is_connected() -> None:
    _world, client = networked()
    copy_of(client)
    connection = connection_of(client, "vm - Test")
    assert (connection.properties["EnabledState"], connection.properties["HostResource"]) == (3, [])
    text = embedded.write(
        CONNECTION,
        {
            "InstanceID": connection.properties["InstanceID"],
            "HostResource": [path_of(client, "Isolated")],
            "EnabledState": 2,
        },
    )
    code, out = client.ask(Ref.of(MANAGEMENT), "ModifyResourceSettings", ResourceSettings=[text])
    assert (code, out) == (0, {"ResultingResourceSettings": [connection.ref], "Job": None})
    assert connection_of(client, "vm - Test").properties["LastKnownSwitchName"] == "Isolated"
    assert connection_of(client, "vm").properties["LastKnownSwitchName"] == "LAN"  # the replica is as it was


def test_an_adapter_without_a_connection_is_given_one() -> None:
    world, client = networked()
    world.assumptions.switch("DISCONNECTED_NETWORK", "absent")
    copy_of(client)
    vm_id = client.truth("vm - Test").id
    assert not any(vm_id in each.properties["InstanceID"] for each in client.all(CONNECTION))
    adapter = next(
        each for each in client.all("Msvm_SyntheticEthernetPortSettingData") if vm_id in each.properties["InstanceID"]
    )
    from replica_lab.world.found import object_path

    text = embedded.write(
        CONNECTION, {"Parent": object_path(client.host, adapter.ref), "HostResource": [path_of(client, "Isolated")]}
    )
    settings = Ref.of("Msvm_VirtualSystemSettingData", InstanceID=f"Microsoft:{vm_id}")
    arguments = {"AffectedConfiguration": settings, "ResourceSettings": [text]}
    assert client.ask(Ref.of(MANAGEMENT), "AddResourceSettings", **arguments)[0] == 0
    assert connection_of(client, "vm - Test").properties["LastKnownSwitchName"] == "Isolated"
    assert client.ask(Ref.of(MANAGEMENT), "AddResourceSettings", **arguments)[0] == 32773  # it has one now
    foreign = Ref.of("Msvm_VirtualSystemSettingData", InstanceID="Microsoft:X")
    again = {"AffectedConfiguration": foreign, "ResourceSettings": [text]}
    assert client.ask(Ref.of(MANAGEMENT), "AddResourceSettings", **again)[0] == 32773


def test_a_copy_goes_to_the_switch_that_its_replica_names_for_tests() -> None:
    _world, client = networked(nics=[{"name": "Front", "switch": "LAN", "test_switch": "Isolated"}])
    copy_of(client)
    assert connection_of(client, "vm - Test").properties["LastKnownSwitchName"] == "Isolated"


def test_connections_that_make_no_sense() -> None:
    client = Client(one("replica", 3, nics=[{"name": "NIC"}]))
    lan = add_switch(client, "LAN")
    assert connect(client, lan, InstanceID="Microsoft:X")[0] == 32773
    assert connect(client, Ref.of(SYSTEM, Name="X"))[0] == 32773  # no switch
    assert connect(client, lan, HostResource=["nonsense"])[0] == 32773
    assert connect(client, None, HostResource=[path_of(client, "LAN")] * 2)[0] == 32773
    adapter = embedded.write("Msvm_SyntheticEthernetPortSettingData", {"InstanceID": "Microsoft:X"})
    for texts, code in (([], 32773), (["no xml"], 32773), ([adapter], 32770)):
        assert client.ask(Ref.of(MANAGEMENT), "ModifyResourceSettings", ResourceSettings=texts)[0] == code
    assert connect(client, lan)[0] == 0
    assert connect(client, None, HostResource=None, EnabledState=3)[0] == 0
    assert client.all(CONNECTION)[0].properties["HostResource"] == []
    assert client.all(CONNECTION)[0].properties["LastKnownSwitchName"] == "LAN"


def test_an_orphan_has_no_replica_and_can_still_be_destroyed() -> None:
    world, client = networked()
    copy_of(client)
    world.act(REPLICA, "vm - Test", "orphan_test_copy")
    assert client.all("Msvm_ReplicaSystemDependency") == []
    assert client.vm("vm - Test")["ReplicationMode"] == 3
    assert client.service("TestReplicaSystem", SnapshotSettingData=None)[0] == 4096  # a second one
    copy = client.truth("vm - Test")
    assert client.invoke(Ref.of(MANAGEMENT), "DestroySystem", AffectedSystem=client.host.vm_ref(copy))[0] == 4096


def test_a_scenario_says_what_is_wrong_with_a_network() -> None:
    vm = {"name": "vm", "nics": [{"switch": "WAN"}]}
    with pytest.raises(ScenarioError, match="no switch 'WAN'; there are: LAN"):
        scenario.load({"hosts": {PRIMARY: {"switches": ["LAN"], "vms": [vm]}}})
    vm = {"name": "vm", "nics": [{"failover": {"IPAddresses": "192.0.2.1"}}]}
    with pytest.raises(ScenarioError, match=r"IPAddresses is string\[\]"):
        scenario.load({"hosts": {PRIMARY: {"vms": [vm]}}})
