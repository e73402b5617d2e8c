# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The failover_network module. What it does is documented in plugins/modules/failover_network.yml."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.hyperv.replica.plugins.plugin_utils import _action, _vm_action
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimSession
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import Side
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.failover_network import (
    EMPTY,
    MAX_GATEWAYS,
    AdapterSettings,
    Family,
    SetFailoverNetwork,
    bare_mac,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Verb

_FAMILY: dict[str, t.Any] = {
    "type": "dict",
    "options": {
        "addresses": {"type": "list", "elements": "str"},
        "gateways": {"type": "list", "elements": "str"},
        "dns_servers": {"type": "list", "elements": "str"},
    },
}

ARGUMENT_SPEC: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "adapters": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str"},
            "mac": {"type": "str"},
            "index": {"type": "int"},
            "ipv4": _FAMILY,
            "ipv6": _FAMILY,
            "dhcp": {"type": "bool"},
        },
    },
    **_vm_action.VM_OPTIONS,
    "side": {"type": "str", "choices": [choice.value for choice in Side], "default": "any"},
    **_vm_action.RUN_OPTIONS,
}


class ActionModule(_vm_action.VmAction):
    SPEC = ARGUMENT_SPEC

    def verb(self, arguments: dict[str, t.Any]) -> Verb:
        return SetFailoverNetwork(Side(arguments["side"]), adapters=_adapters(arguments))

    def act(self, session: CimSession, arguments: dict[str, t.Any], talk: _action.Talk) -> dict[str, t.Any]:
        result = super().act(session, arguments, talk)
        warnings = [
            f"Gateway {gateway} of the adapter with {adapter.which} is in none of its subnets."
            for adapter in _adapters(arguments)
            for family in (adapter.ipv4, adapter.ipv6)
            for gateway in (family.stray_gateways() if family else ())
        ]
        if warnings:
            result["warnings"] = [*result.get("warnings", []), *warnings]
        return result


def _refuse(message: str, hint: str = "") -> ReplicaError:
    return ReplicaError(ErrorClass.INVALID_ARGUMENT, message, hint=hint)


def _adapters(arguments: t.Mapping[str, t.Any]) -> tuple[AdapterSettings, ...]:
    """What the task says, checked. Raises ReplicaError."""
    if not arguments["adapters"]:
        raise _refuse("adapters is empty.", "Name the network adapters that are meant.")
    absent = arguments["state"] == "absent"
    return tuple(_adapter(f"adapters[{index}]", each, absent) for index, each in enumerate(arguments["adapters"]))


def _adapter(where: str, written: t.Mapping[str, t.Any], absent: bool) -> AdapterSettings:
    named = {key: written.get(key) for key in ("name", "mac", "index") if written.get(key) not in (None, "")}
    if len(named) != 1:
        raise _refuse(f"{where} needs exactly one of name, mac and index, and has {', '.join(named) or 'none'}.")
    if "mac" in named:
        mac = bare_mac(named["mac"])
        if not mac:
            raise _refuse(f"{where}: {named['mac']!r} is no MAC address.")
        named["mac"] = mac
    if named.get("index", 0) < 0:
        raise _refuse(f"{where}: index is {named['index']}; it counts from 0.")
    families = {key: written.get(key) for key in ("ipv4", "ipv6")}
    dhcp = written.get("dhcp")
    if absent:
        said = [key for key, family in families.items() if family is not None] or ["ipv4", "ipv6"]
        if dhcp is not None or any(value for family in families.values() for value in (family or {}).values()):
            raise _refuse(f"{where} says what to set, and state is absent.")
        gone = {key: EMPTY if key in said else None for key in families}
        return AdapterSettings(**named, **gone, dhcp=False if "ipv4" in said else None)
    read = {key: _family(f"{where}.{key}", families[key], int(key[-1])) for key in families}
    if dhcp and read["ipv4"] is not None and read["ipv4"].addresses:
        raise _refuse(f"{where}: dhcp is true, and ipv4.addresses are given. An adapter has one or the other.")
    if sum(len(family.gateways or ()) for family in read.values() if family) > MAX_GATEWAYS:
        raise _refuse(f"{where} has more than {MAX_GATEWAYS} gateways.")
    if dhcp is None and not any(read.values()):
        raise _refuse(f"{where} says nothing to set.", "Give ipv4, ipv6 or dhcp.")
    return AdapterSettings(**named, **read, dhcp=dhcp)


def _family(where: str, written: t.Mapping[str, t.Any] | None, version: int) -> Family | None:
    if written is None:
        return None
    lists = {key: _each(f"{where}.{key}", written.get(key), version, key == "addresses") for key in EMPTY.__dict__}
    return Family(**lists)


def _each(where: str, texts: list[str] | None, version: int, interfaces: bool) -> tuple[t.Any, ...] | None:
    if texts is None:
        return None
    found = tuple(_address(where, text.strip(), version, interfaces) for text in texts if text.strip())
    bare = [each.ip if interfaces else each for each in found]
    if len(set(bare)) != len(bare):
        raise _refuse(f"{where} names an address twice.")
    return found


def _address(where: str, text: str, version: int, interface: bool) -> t.Any:
    if interface and "/" not in text:
        raise _refuse(f"{where}: {text!r} has no prefix.", "Write it with its prefix: 192.0.2.10/24, 2001:db8::10/64.")
    try:
        found: t.Any = ipaddress.ip_interface(text) if interface else ipaddress.ip_address(text)
    except ValueError:
        raise _refuse(f"{where}: {text!r} is no {'address with a prefix' if interface else 'address'}.") from None
    if found.version != version:
        raise _refuse(f"{where}: {text!r} is of IPv{found.version}.")
    if "%" in text or found.is_multicast or found.is_unspecified or found.is_loopback:
        raise _refuse(f"{where}: {text!r} is not an address that a guest could be given or could reach.")
    return found
