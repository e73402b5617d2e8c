# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network adapters: the addresses a guest gets after a failover, and the switch that a VM is connected to."""

from __future__ import annotations

import ipaddress
import typing as t

from replica_lab import wql
from replica_lab.numbers import Code, Mode
from replica_lab.provider import Ref, Value
from replica_lab.world import embedded
from replica_lab.world.jobs import Answered, Plan
from replica_lab.world.model import Nic, Switch, Vm
from replica_lab.world.verbs.common import need, need_choice, need_idle

if t.TYPE_CHECKING:
    from replica_lab.world.host import Host

FAILOVER_SETTINGS = "Msvm_FailoverNetworkAdapterSettingData"
CONNECTION = "Msvm_EthernetPortAllocationSettingData"
ADAPTER = "Msvm_SyntheticEthernetPortSettingData"
SWITCH = "Msvm_VirtualEthernetSwitch"

MAX_GATEWAYS = 5
ENABLED, DISABLED = 2, 3
"""EnabledState of a connection."""

_NO_JOB_TYPE = 0


# --- names -----------------------------------------------------------------------------------------------------


def adapter_id(vm: Vm, nic: Nic) -> str:
    """InstanceID of an adapter's settings; those of its connection and of its failover settings begin with it."""
    return rf"Microsoft:{vm.id}\{nic.id}"


def connection_id(vm: Vm, nic: Nic) -> str:
    return adapter_id(vm, nic) + r"\C"


def failover_id(vm: Vm, nic: Nic) -> str:
    return adapter_id(vm, nic) + r"\FailoverSettings"


# --- SetFailoverNetworkAdapterSettings ---------------------------------------------------------------------------


def set_failover_addresses(vm: Vm, texts: Value) -> Plan:
    """For each adapter that a text names: what its guest is given after a failover. The others stay as they are."""
    assumptions = vm.host.world.assumptions
    need(isinstance(texts, list) and bool(texts), Code.INVALID_PARAMETER)
    entries = [_failover_entry(vm, t.cast(Value, text)) for text in t.cast("list[t.Any]", texts)]
    need_idle(vm)
    if vm.mode == Mode.NONE:
        need_choice(assumptions.FAILOVER_NETWORK_OF_UNREPLICATED)
    need(vm.mode != Mode.TEST_REPLICA)

    def finish() -> None:
        for nic, settings in entries:
            nic.failover = {**nic.failover, **settings}

    return Plan("network", assumptions.FAILOVER_NETWORK_JOB_TYPE, vm, finish=finish)


def _failover_entry(vm: Vm, text: Value) -> tuple[Nic, embedded.Properties]:
    found = embedded.read(text, FAILOVER_SETTINGS)
    need("IPAddresses" in found and "DHCPEnabled" in found, Code.INVALID_PARAMETER)
    named = str(found.pop("InstanceID", "")).casefold()
    nic = next((nic for nic in vm.nics if failover_id(vm, nic).casefold() == named), None)
    need(nic is not None, Code.INVALID_PARAMETER)
    lists = {name: t.cast("list[str]", found.get(name, [])) for name in _ADDRESSES}
    need(len(lists["DefaultGateways"]) <= MAX_GATEWAYS, Code.INVALID_PARAMETER)
    if len(lists["Subnets"]) != len(lists["IPAddresses"]):
        need_choice(vm.host.world.assumptions.FAILOVER_SUBNETS_NOT_PARALLEL)
    if not all(_is_address(each) for name in _ADDRESSES[1:] for each in lists[name]):
        need_choice(vm.host.world.assumptions.FAILOVER_ADDRESS_THAT_IS_NONE)
    return t.cast(Nic, nic), {name: found[name] for name in found if name not in ("Caption", "Description")}


_ADDRESSES = ("Subnets", "IPAddresses", "DefaultGateways", "DNSServers")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# --- ModifyResourceSettings, AddResourceSettings ------------------------------------------------------------------


def modify_connections(host: Host, texts: Value) -> Plan:
    """ModifyResourceSettings, for the connections of adapters only: to which switch, or to none."""

    def named(found: embedded.Properties) -> tuple[Vm, Nic]:
        wanted = str(found.get("InstanceID", "")).casefold()
        pairs = ((vm, nic) for vm in host.vms for nic in vm.nics if nic.connected and vm.visible)
        return _only((vm, nic) for vm, nic in pairs if connection_id(vm, nic).casefold() == wanted)

    return _connections(host, texts, named)


def add_connections(host: Host, configuration: Value, texts: Value) -> Plan:
    """AddResourceSettings, for the connections of adapters only: Parent is the adapter, which has none so far."""
    settings = dict(configuration.keys).get("InstanceID", "") if isinstance(configuration, Ref) else ""
    vm = next((vm for vm in host.vms if vm.visible and f"Microsoft:{vm.id}".casefold() == settings.casefold()), None)
    if vm is None:
        raise Answered(host.world.assumptions.UNKNOWN_VM)

    def named(found: embedded.Properties) -> tuple[Vm, Nic]:
        wanted = dict(_path(found.get("Parent")).keys).get("InstanceID", "").casefold()
        return _only((vm, nic) for nic in vm.nics if adapter_id(vm, nic).casefold() == wanted and not nic.connected)

    return _connections(host, texts, named)


def _connections(host: Host, texts: Value, named: t.Callable[[embedded.Properties], tuple[Vm, Nic]]) -> Plan:
    need(isinstance(texts, list) and bool(texts), Code.INVALID_PARAMETER)
    changes: list[tuple[Nic, dict[str, t.Any]]] = []
    vms: list[Vm] = []
    refs: list[t.Any] = []
    for text in t.cast("list[str]", texts):
        need(f'"{ADAPTER}"' not in text, Code.NOT_SUPPORTED)  # adapters themselves are nobody's business here
        found = embedded.read(text, CONNECTION)
        vm, nic = named(found)
        vms.append(vm)
        refs.append(Ref.of(CONNECTION, InstanceID=connection_id(vm, nic)))
        changes.append((nic, _connection(host, nic, found)))
    need(len(set(map(id, vms))) == 1, Code.INVALID_PARAMETER)
    need_idle(vms[0])

    def finish() -> None:
        for nic, change in changes:
            for name, value in change.items():
                setattr(nic, name, value)

    at_once = host.world.assumptions.RESOURCE_SETTINGS_ANSWER == "sync"
    out: dict[str, Value] = {"ResultingResourceSettings": refs}
    return Plan("network", _NO_JOB_TYPE, vms[0], finish=finish, out=out, at_once=at_once)


def _connection(host: Host, nic: Nic, found: embedded.Properties) -> dict[str, t.Any]:
    """What becomes of an adapter: HostResource names its switch; without one, or disabled, it is not connected."""
    change: dict[str, t.Any] = {"connected": True}
    if "TestReplicaSwitchName" in found:
        change["test_switch"] = found["TestReplicaSwitchName"]
    resources = t.cast("list[str]", found.get("HostResource", []))
    need(len(resources) <= 1, Code.INVALID_PARAMETER)
    if resources and found.get("EnabledState", ENABLED) == ENABLED:
        switch = _switch(host, resources[0])
        change["switch"], change["last_switch"] = switch.id, switch.name
    elif "HostResource" in found or found.get("EnabledState") == DISABLED:
        change["switch"] = ""
    return change


def _switch(host: Host, path: str) -> Switch:
    ref = _path(path)
    switch = host.switch(dict(ref.keys).get("Name", "")) if ref.class_name.casefold() == SWITCH.casefold() else None
    need(switch is not None, Code.INVALID_PARAMETER)
    return t.cast(Switch, switch)


def _path(text: Value) -> Ref:
    try:
        return wql.parse_path(str(text or ""))
    except wql.WqlError:
        raise Answered(Code.INVALID_PARAMETER) from None


def _only(found: t.Iterator[tuple[Vm, Nic]]) -> tuple[Vm, Nic]:
    first = next(found, None)
    need(first is not None, Code.INVALID_PARAMETER)
    return t.cast("tuple[Vm, Nic]", first)
