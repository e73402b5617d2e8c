# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How network adapters, switches and the shutdown component look as CIM instances; see ``instances``."""

from __future__ import annotations

import typing as t
from functools import partial

from replica_lab.provider import Ref
from replica_lab.world.found import SYSTEM, Found, Properties, Vms, association, object_path, settings_ref
from replica_lab.world.model import NOT_APPLICABLE, Nic, Switch, Vm
from replica_lab.world.texts import text
from replica_lab.world.verbs.network import (
    ADAPTER,
    CONNECTION,
    DISABLED,
    ENABLED,
    FAILOVER_SETTINGS,
    SWITCH,
    adapter_id,
    connection_id,
    failover_id,
)
from replica_lab.world.verbs.power import has_shutdown_component

if t.TYPE_CHECKING:
    from replica_lab.world.host import Host

SHUTDOWN = "Msvm_ShutdownComponent"

_SHUTDOWN_SERVICE = "9F8233AC-BE49-4C79-8EE3-E7E1985B2077"
_ETHERNET_ADAPTER, _ETHERNET_CONNECTION = 10, 33
"""ResourceType of CIM_ResourceAllocationSettingData."""


def switch_ref(switch: Switch) -> Ref:
    return Ref.of(SWITCH, CreationClassName=SWITCH, Name=switch.id)


def switches(host: Host, vms: Vms) -> t.Iterator[Found]:
    for switch in host.switches:
        yield Found(switch_ref(switch), partial(_switch, host, switch))


def _switch(host: Host, switch: Switch) -> Properties:
    return {
        "Caption": text(host.locale, "switch"),
        "CreationClassName": SWITCH,
        "Description": text(host.locale, "switch"),
        "ElementName": switch.name,
        "EnabledDefault": 2,
        "EnabledState": 2,
        "HealthState": 5,
        "InstallDate": host.shown(host.installed),
        "Name": switch.id,
        "OperationalStatus": [2],
        "RequestedState": NOT_APPLICABLE,
        "StatusDescriptions": [text(host.locale, "ok")],
    }


# --- adapters, their connections, their failover settings ------------------------------------------------------


def adapter_ref(vm: Vm, nic: Nic) -> Ref:
    return Ref.of(ADAPTER, InstanceID=adapter_id(vm, nic))


def adapters(host: Host, vms: Vms) -> t.Iterator[Found]:
    for vm in vms:
        for nic in vm.nics:
            yield Found(adapter_ref(vm, nic), partial(_adapter, host, vm, nic), vm)


def _adapter(host: Host, vm: Vm, nic: Nic) -> Properties:
    return {
        "Address": nic.mac,
        "AutomaticAllocation": True,
        "AutomaticDeallocation": True,
        "Caption": text(host.locale, "adapter"),
        "ClusterMonitored": True,
        "ConsumerVisibility": 3,
        "Description": text(host.locale, "adapter"),
        "ElementName": nic.name,
        "InstanceID": adapter_id(vm, nic),
        "Limit": 0,
        "Reservation": 1,
        "ResourceSubType": "Microsoft:Hyper-V:Synthetic Ethernet Port",
        "ResourceType": _ETHERNET_ADAPTER,
        "StaticMacAddress": False,
        "VirtualQuantity": 1,
        "VirtualQuantityUnits": "count",
        "VirtualSystemIdentifiers": [f"{{{nic.id}}}"],
        "Weight": 0,
    }


def connections(host: Host, vms: Vms) -> t.Iterator[Found]:
    for vm in vms:
        for nic in vm.nics:
            if nic.connected:
                ref = Ref.of(CONNECTION, InstanceID=connection_id(vm, nic))
                yield Found(ref, partial(_connection, host, vm, nic), vm)


def _connection(host: Host, vm: Vm, nic: Nic) -> Properties:
    switch = host.switch(nic.switch) if nic.switch else None
    return {
        "Address": "",
        "AutomaticAllocation": True,
        "AutomaticDeallocation": True,
        "Caption": text(host.locale, "connection"),
        "Description": text(host.locale, "connection"),
        "ElementName": text(host.locale, "connection"),
        "EnabledState": ENABLED if switch else DISABLED,
        "HostResource": [object_path(host, switch_ref(switch))] if switch else [],
        "InstanceID": connection_id(vm, nic),
        "LastKnownSwitchName": switch.name if switch else nic.last_switch,
        "Parent": object_path(host, adapter_ref(vm, nic)),
        "ResourceSubType": "Microsoft:Hyper-V:Ethernet Connection",
        "ResourceType": _ETHERNET_CONNECTION,
        "TestReplicaPoolID": "",
        "TestReplicaSwitchName": nic.test_switch,
        "VirtualQuantity": 1,
        "VirtualQuantityUnits": "count",
    }


def _failover_ref(vm: Vm, nic: Nic) -> Ref:
    return Ref.of(FAILOVER_SETTINGS, InstanceID=failover_id(vm, nic))


def failover_settings(host: Host, vms: Vms) -> t.Iterator[Found]:
    for vm in vms:
        for nic in vm.nics:
            yield Found(_failover_ref(vm, nic), partial(_failover, host, vm, nic), vm)


def _failover(host: Host, vm: Vm, nic: Nic) -> Properties:
    return {
        "Caption": text(host.locale, "failover_network"),
        "DHCPEnabled": False,
        "DNSServers": [],
        "DefaultGateways": [],
        "Description": text(host.locale, "failover_network"),
        "ElementName": nic.name,
        "IPAddresses": [],
        "InstanceID": failover_id(vm, nic),
        "ProtocolIFType": 0,
        "Subnets": [],
        **nic.failover,
    }


def failover_associations(host: Host, vms: Vms) -> t.Iterator[Found]:
    for vm in vms:
        for nic in vm.nics:
            yield association(
                host,
                "Msvm_EthernetPortFailoverSettingDataComponent",
                vm,
                GroupComponent=adapter_ref(vm, nic),
                PartComponent=_failover_ref(vm, nic),
            )


def component_associations(host: Host, vms: Vms) -> t.Iterator[Found]:
    """The settings of a VM to those of its adapters and their connections."""
    for vm in vms:
        for part in (*adapters(host, [vm]), *connections(host, [vm])):
            yield association(
                host,
                "Msvm_VirtualSystemSettingDataComponent",
                vm,
                GroupComponent=settings_ref(vm.id),
                PartComponent=part.ref,
            )


# --- the shutdown component ----------------------------------------------------------------------------------------


def shutdown_components(host: Host, vms: Vms) -> t.Iterator[Found]:
    """One for each VM that runs and has integration services. The form of DeviceID is assumed: take it as it comes."""
    for vm in vms:
        if has_shutdown_component(vm):
            ref = Ref.of(
                SHUTDOWN,
                CreationClassName=SHUTDOWN,
                DeviceID=rf"Microsoft:{vm.id}\{_SHUTDOWN_SERVICE}",
                SystemCreationClassName=SYSTEM,
                SystemName=vm.id,
            )
            yield Found(ref, partial(_shutdown_component, host, vm, ref), vm)


def _shutdown_component(host: Host, vm: Vm, ref: Ref) -> Properties:
    return {
        **dict(ref.keys),
        "Caption": text(host.locale, "shutdown"),
        "Description": text(host.locale, "shutdown"),
        "ElementName": text(host.locale, "shutdown"),
        "EnabledDefault": 2,
        "EnabledState": 2,
        "HealthState": 5,
        "InstallDate": host.shown(vm.power_changed),
        "OperationalStatus": [2],
        "RequestedState": NOT_APPLICABLE,
        "StatusDescriptions": [text(host.locale, "ok")],
    }
