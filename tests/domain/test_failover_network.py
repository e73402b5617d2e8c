# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Failover addresses on the lab's world: what is set, what is left alone, and bad nights."""

from __future__ import annotations

import copy
import ipaddress
from collections import Counter

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.failover_network import (
    EMPTY,
    AdapterSettings,
    Family,
    SetFailoverNetwork,
)
from campaigns import FATES
from direct import Loss, perform
from hypothesis import given, settings
from hypothesis import strategies as st
from replica_lab import scenario

HOST = "HV"


def nets(*texts):
    return tuple(map(ipaddress.ip_interface, texts))


def ips(*texts):
    return tuple(map(ipaddress.ip_address, texts))


V4 = Family(nets("192.0.2.10/24"), ips("192.0.2.1"), ips("192.0.2.53"))
V6 = Family(nets("2001:db8::10/64"), ips("2001:db8::1"), ())
OTHER = {
    "IPAddresses": ["198.51.100.7", "2001:db8:1::7"],
    "Subnets": ["255.255.255.0", "64"],
    "DefaultGateways": ["198.51.100.1"],
    "DNSServers": ["2001:db8:1::53"],
    "DHCPEnabled": False,
}


def world_of(machines=None, fates=(), switches=None):
    machines = machines or [{}]
    vms = [
        {
            "name": f"vm {index}",
            "mode": "replica",
            "nics": [{"name": "LAN", "failover": OTHER}, {"name": "Backup"}],
            **machine,
        }
        for index, machine in enumerate(machines)
    ]
    hosts = {HOST: {"vms": vms}}
    return scenario.load(
        {"clock": {"rate": 0}, "hosts": hosts, "fates": [dict(f) for f in fates], "assumptions": switches or {}}
    )


def verb(*said, **fields):
    return SetFailoverNetwork(adapters=said or (AdapterSettings(name="lan", **fields),))


def failover_of(world, vm=0, nic=0):
    return world.hosts[HOST].vms[vm].nics[nic].failover


def test_a_family_is_set_and_the_other_one_stays():
    world = world_of()
    result, sends = perform(verb(ipv4=V4), world, HOST, ["vm 0"])
    assert result["vms"][0]["outcome"] == "changed", result["msg"]
    found = failover_of(world)
    assert found["IPAddresses"] == ["192.0.2.10", "2001:db8:1::7"]
    assert found["Subnets"] == ["255.255.255.0", "64"]
    assert found["DefaultGateways"] == ["192.0.2.1"]
    assert found["DNSServers"] == ["192.0.2.53", "2001:db8:1::53"]
    assert (found["DHCPEnabled"], found["ProtocolIFType"]) == (False, 4098)
    assert failover_of(world, nic=1) == {}
    assert "192.0.2.10/24" in result["diff"][0]["after"]
    assert "198.51.100.7/24" in result["diff"][0]["before"]
    again, sends = perform(verb(ipv4=V4), world, HOST, ["vm 0"])
    assert (again["changed"], sends.calls) == (False, [])


def test_what_is_not_said_of_a_family_stays():
    world = world_of()
    perform(verb(ipv4=Family(gateways=ips("198.51.100.254"))), world, HOST, ["vm 0"])
    found = failover_of(world)
    assert found["DefaultGateways"] == ["198.51.100.254"]
    assert found["IPAddresses"] == OTHER["IPAddresses"]
    assert found["DNSServers"] == OTHER["DNSServers"]


@pytest.mark.parametrize(
    ("said", "addresses", "dhcp"),
    [
        ({"ipv4": EMPTY, "ipv6": EMPTY, "dhcp": False}, [], False),
        ({"ipv6": EMPTY}, ["198.51.100.7"], False),
        ({"dhcp": True}, ["2001:db8:1::7"], True),
    ],
)
def test_addresses_are_cleared(said, addresses, dhcp):
    world = world_of()
    result, _sends = perform(verb(**said), world, HOST, ["vm 0"])
    assert result["vms"][0]["outcome"] == "changed", result["msg"]
    assert (failover_of(world)["IPAddresses"], failover_of(world)["DHCPEnabled"]) == (addresses, dhcp)
    again, _sends = perform(verb(**said), world, HOST, ["vm 0"])
    assert not again["changed"]


def test_static_addresses_end_dhcp():
    world = world_of([{"nics": [{"name": "LAN", "failover": {"DHCPEnabled": True}}]}])
    perform(verb(ipv4=V4), world, HOST, ["vm 0"])
    assert failover_of(world)["DHCPEnabled"] is False


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ((AdapterSettings(name="WAN", ipv4=V4),), "not_found"),
        ((AdapterSettings(index=2, ipv4=V4),), "not_found"),
        ((AdapterSettings(mac="000000000000", ipv4=V4),), "not_found"),
        ((AdapterSettings(name="LAN", ipv4=V4), AdapterSettings(index=0, ipv6=V6)), "ambiguous_name"),
        ((AdapterSettings(name="LAN", ipv6=Family(gateways=ips(*(f"2001:db8::{n}" for n in range(1, 6))))),),
         "settings_conflict"),
    ],
)
def test_an_adapter_that_cannot_be_meant_is_refused_before_any_call(said, error):
    for check_mode in (True, False):
        result, sends = perform(verb(*said), world_of(), HOST, ["vm 0"], check_mode=check_mode)
        assert (result["vms"][0]["error_class"], sends.calls) == (error, [])
    if error != "settings_conflict":
        assert "LAN" in result["vms"][0]["hint"]


def test_two_adapters_of_one_name_are_told_apart_by_index_and_mac():
    world = world_of([{"nics": [{"name": "LAN"}, {"name": "LAN"}]}])
    refused, _sends = perform(verb(ipv4=V4), world, HOST, ["vm 0"])
    assert refused["vms"][0]["error_class"] == "ambiguous_name"
    mac = world.hosts[HOST].vms[0].nics[0].mac
    result, _sends = perform(verb(AdapterSettings(mac=mac, ipv6=V6)), world, HOST, ["vm 0"])
    assert result["changed"]
    assert failover_of(world)["IPAddresses"] == ["2001:db8::10"]
    assert failover_of(world, nic=1) == {}


@pytest.mark.parametrize("count", [1, 30])
def test_the_number_of_queries_does_not_grow_with_the_vms(count):
    result, sends = perform(verb(ipv4=V4), world_of([{}] * count), HOST, None, check_mode=True)
    assert (result["summary"]["would_change"], sends.queries) == (count, 9)


def test_jobs_of_no_documented_type_do_not_matter():
    world = world_of(switches={"FAILOVER_NETWORK_JOB_TYPE": 0})
    loss = Loss("SetFailoverNetworkAdapterSettings", after_effect=True)
    result, sends = perform(verb(ipv4=V4), world, HOST, ["vm 0"], losses=[loss])
    assert (result["vms"][0]["outcome"], len(sends.calls)) == ("changed", 1), result["msg"]


MACHINES = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["replica", "replica", "primary", "none"]),
        "state": st.sampled_from(["replicating", "suspended", "critical"]),
        "power": st.sampled_from(["off", "running"]),
    }
).map(lambda machine: {**machine, "state": 0} if machine["mode"] == "none" else machine)
SAID = st.sampled_from(
    [{"ipv4": V4}, {"ipv6": V6}, {"ipv4": V4, "ipv6": V6}, {"dhcp": True}, {"ipv4": EMPTY, "ipv6": EMPTY}]
)
LOSSES = st.builds(
    Loss,
    method=st.just("SetFailoverNetworkAdapterSettings"),
    after_effect=st.booleans(),
    nth=st.integers(1, 2),
    silence=st.sampled_from([0, 2, 40]),
)
NIGHTS = FATES.map(lambda fate: {**fate, "method": "SetFailoverNetworkAdapterSettings"})


@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    st.lists(MACHINES, min_size=1, max_size=3),
    SAID,
    st.lists(NIGHTS, max_size=1),
    st.lists(LOSSES, max_size=1),
    st.sampled_from([0.0, 20.0]),
)
def test_whatever_happens_the_end_is_honest(machines, said, fates, losses, waiting_slice):
    world = world_of(machines, fates)
    vms = {vm.id: vm for vm in world.hosts[HOST].vms}
    before = {vm_id: [copy.deepcopy(nic.failover) for nic in vm.nics] for vm_id, vm in vms.items()}
    options = {"losses": losses, "waiting_slice": waiting_slice, "wait_timeout": 60}
    result, sends = perform(verb(**said), world, HOST, None, **options)
    assert not [call for call, count in Counter(sends.calls).items() if count > 1]
    called = {vm_id for _method, vm_id in sends.calls}
    for vm in result["vms"]:
        same = [nic.failover for nic in vms[vm["id"]].nics] == before[vm["id"]]
        if vm["outcome"] == "changed":
            assert not same
        if vm["certainty"] == "nothing_changed":
            assert same, vm["msg"]
        if vm["outcome"] in ("unchanged", "not_applicable"):
            assert vm["id"] not in called
        if vm["outcome"] == "failed":
            assert vm["error_class"]
            assert vm["hint"]
    world.fates.clear()
    world.advance(600)
    second, _sends = perform(verb(**said), world, HOST, None)
    third, sends = perform(verb(**said), world, HOST, None)
    if not second.get("failed"):
        assert (third["changed"], sends.calls) == (False, [])
