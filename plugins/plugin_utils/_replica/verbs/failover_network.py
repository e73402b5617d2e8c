# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""The addresses that a guest is given after a failover: one method call for all adapters of a VM.

Sources: SetFailoverNetworkAdapterSettings method of Msvm_ReplicationService; Msvm_FailoverNetworkAdapterSettingData.
An adapter has both families in the same lists. They are taken apart here, so that what the task says of one family
leaves the other as it is.
"""

from __future__ import annotations

import ipaddress
import typing as t
from collections import Counter
from dataclasses import dataclass, replace

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.embedded import write_instance
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    LAST_ROW,
    PRIMARY,
    REPLICA,
    Decision,
    Effect,
    Fact,
    Row,
    Target,
    gates,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import (
    FailoverAddresses,
    NetworkAdapter,
    VirtualMachine,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    JobType,
    ProtocolType,
    ReplicationState,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import NETWORK
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reverted import (
    AT_REST_ON_A_PRIMARY,
    AT_REST_ON_A_REPLICA,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import (
    Act,
    Part,
    Reading,
    Verb,
    expecting,
    on_service,
)

_S = ReplicationState
_CLASS = "Msvm_FailoverNetworkAdapterSettingData"
MAX_GATEWAYS = 5
"""DefaultGateways of an adapter, both families together."""

_PRIMARY_STATES = AT_REST_ON_A_PRIMARY | {_S.PREPARED_FOR_PLANNED_FAILOVER}
_REPLICA_STATES = AT_REST_ON_A_REPLICA | {_S.FAILED_OVER, _S.COMMITTED}
_CAN = ((PRIMARY, _PRIMARY_STATES), (REPLICA, _REPLICA_STATES))


def _rows(effect: Effect, reason: str, error: ErrorClass | None, *when: Fact) -> tuple[Row, ...]:
    return tuple(
        Row(effect, reason, error, modes=modes, states=frozenset(states), when=frozenset(when))
        for modes, states in _CAN
    )


FAILOVER_NETWORK = Target(
    name="failover_network",
    methods=("SetFailoverNetworkAdapterSettings",),
    noun="the change of the failover addresses",
    action="set_failover_addresses",
    done="given other failover addresses",
    foretold="",
    # Assumption: the documentation names no type of job for this method; the addresses are settings of the
    # relationship. A job of another type is not found after a lost answer, and the addresses decide.
    own_jobs=frozenset({JobType.MODIFY_RELATIONSHIP}),
    rows=(
        *gates("a change of settings"),
        *_rows(
            Effect.REFUSE,
            "The VM has no network adapter that the task names.",
            ErrorClass.NOT_FOUND,
            Fact.ADAPTER_MISSING,
        ),
        *_rows(
            Effect.REFUSE,
            "Which network adapter of the VM is meant is not clear.",
            ErrorClass.AMBIGUOUS_NAME,
            Fact.ADAPTER_AMBIGUOUS,
        ),
        *_rows(
            Effect.REFUSE,
            "A network adapter would have more than five gateways, those of the other family included.",
            ErrorClass.SETTINGS_CONFLICT,
            Fact.TOO_MANY_GATEWAYS,
        ),
        *_rows(Effect.CALL, "The failover addresses of the VM differ from those of the task.", None, Fact.DIFFERS),
        *_rows(Effect.NOTHING, "The failover addresses of the VM are those of the task.", None),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class Family:
    """What one family of an adapter has, or is to have. None is not said."""

    addresses: tuple[ipaddress.IPv4Interface | ipaddress.IPv6Interface, ...] | None = None
    gateways: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...] | None = None
    dns_servers: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...] | None = None

    @property
    def blank(self) -> bool:
        return not (self.addresses or self.gateways or self.dns_servers)

    def over(self, present: Family) -> Family:
        """What is said, and the rest as it is."""
        return Family(
            present.addresses if self.addresses is None else self.addresses,
            present.gateways if self.gateways is None else self.gateways,
            present.dns_servers if self.dns_servers is None else self.dns_servers,
        )

    def stray_gateways(self) -> list[str]:
        """Gateways that no stated address can reach; link-local ones are on every link."""
        nets = [each.network for each in self.addresses or ()]
        strays = [
            each
            for each in self.gateways or ()
            if nets and not each.is_link_local and not any(each.version == n.version and each in n for n in nets)
        ]
        return [str(each) for each in strays]


EMPTY = Family((), (), ())


@dataclass(frozen=True)
class Addresses:
    """The settings of an adapter, its families apart. ``odd``: entries of a host that are no addresses."""

    ipv4: Family = EMPTY
    ipv6: Family = EMPTY
    dhcp: bool = False
    odd: tuple[str, ...] = ()

    @property
    def gateways(self) -> int:
        return len(self.ipv4.gateways or ()) + len(self.ipv6.gateways or ())

    def text(self) -> str:
        """For a diff."""
        parts = ["DHCP"] if self.dhcp else []
        for name in ("addresses", "gateways", "dns_servers"):
            found = [str(each) for family in (self.ipv4, self.ipv6) for each in getattr(family, name) or ()]
            parts += [f"{name} {', '.join(found)}"] if found else []
        parts += [f"not understood: {', '.join(self.odd)}"] if self.odd else []
        return "; ".join(parts) or "none"


@dataclass(frozen=True)
class AdapterSettings:
    """What the task says of one adapter. Exactly one of ``name``, ``mac`` and ``index`` says which."""

    name: str | None = None
    mac: str | None = None
    index: int | None = None
    ipv4: Family | None = None
    ipv6: Family | None = None
    dhcp: bool | None = None

    @property
    def which(self) -> str:
        if self.name is not None:
            return f"name {self.name!r}"
        return f"mac {self.mac}" if self.mac is not None else f"index {self.index}"

    def means(self, adapters: t.Sequence[NetworkAdapter]) -> list[NetworkAdapter]:
        if self.name is not None:
            return [each for each in adapters if each.name.casefold() == self.name.casefold()]
        if self.mac is not None:
            return [each for each in adapters if bare_mac(each.mac) == self.mac]
        return list(adapters[self.index or 0 :][:1])

    def wanted(self, present: Addresses) -> Addresses:
        """What the adapter is to have. Stated IPv4 addresses and DHCP exclude each other: the stated one stays."""
        ipv4 = present.ipv4 if self.ipv4 is None else self.ipv4.over(present.ipv4)
        ipv6 = present.ipv6 if self.ipv6 is None else self.ipv6.over(present.ipv6)
        dhcp = present.dhcp if self.dhcp is None else self.dhcp
        if self.dhcp and ipv4.addresses:
            ipv4 = replace(ipv4, addresses=())
        elif self.dhcp is None and self.ipv4 is not None and self.ipv4.addresses:
            dhcp = False
        return Addresses(ipv4, ipv6, dhcp, present.odd)


def bare_mac(text: str) -> str:
    """The twelve digits of a MAC address; empty where it is none."""
    digits = "".join(character for character in text if character not in ":-. ").upper()
    return digits if len(digits) == 12 and all(character in "0123456789ABCDEF" for character in digits) else ""


def taken_apart(settings: FailoverAddresses) -> Addresses:
    """The lists of a host by family. What is no address is kept, and shown as it is."""
    odd: list[str] = []
    interfaces: list[t.Any] = []
    for index, address in enumerate(settings.addresses):
        subnet = settings.subnets[index] if index < len(settings.subnets) else ""
        _put(interfaces, odd, ipaddress.ip_interface, f"{address}/{subnet}" if subnet else address)
    lists: dict[str, list[t.Any]] = {"gateways": [], "dns_servers": []}
    for name, found in lists.items():
        for text in getattr(settings, name):
            _put(found, odd, ipaddress.ip_address, text)
    ipv4, ipv6 = (
        Family(
            tuple(each for each in interfaces if each.version == version),
            tuple(each for each in lists["gateways"] if each.version == version),
            tuple(each for each in lists["dns_servers"] if each.version == version),
        )
        for version in (4, 6)
    )
    return Addresses(ipv4, ipv6, settings.dhcp, tuple(odd))


def _put(found: list[t.Any], odd: list[str], read: t.Callable[[str], t.Any], text: str) -> None:
    try:
        found.append(read(text))
    except ValueError:
        odd.append(text)


def put_together(settings_id: str, wanted: Addresses) -> str:
    """The text for the host. IPAddresses and DHCPEnabled are in every entry, as the method's page asks for."""
    both = (wanted.ipv4, wanted.ipv6)
    interfaces = [each for family in both for each in family.addresses or ()]
    return write_instance(
        _CLASS,
        {
            "InstanceID": settings_id,
            "ProtocolIFType": int(protocol_of(wanted)),
            "DHCPEnabled": wanted.dhcp,
            "IPAddresses": tuple(str(each.ip) for each in interfaces),
            "Subnets": tuple(
                str(each.netmask) if each.version == 4 else str(each.network.prefixlen) for each in interfaces
            ),
            "DefaultGateways": tuple(str(each) for family in both for each in family.gateways or ()),
            "DNSServers": tuple(str(each) for family in both for each in family.dns_servers or ()),
        },
    )


def protocol_of(wanted: Addresses) -> ProtocolType:
    """Assumption: without any address the type is the one of an adapter that was never given one (0)."""
    ipv4, ipv6 = wanted.dhcp or not wanted.ipv4.blank, not wanted.ipv6.blank
    if ipv4 and ipv6:
        return ProtocolType.BOTH
    return ProtocolType.IPV4 if ipv4 else ProtocolType.IPV6 if ipv6 else ProtocolType.UNKNOWN


@dataclass(frozen=True)
class SetFailoverNetwork(Verb):
    adapters: tuple[AdapterSettings, ...] = ()

    @property
    def target(self) -> Target:
        return FAILOVER_NETWORK

    @property
    def gather(self) -> frozenset[str]:
        return super().gather | NETWORK

    @property
    def rereads(self) -> bool:
        return True

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        wanted = self._wanted(vm)
        holds = {
            Fact.ADAPTER_MISSING: bool(self._missing(vm)),
            Fact.ADAPTER_AMBIGUOUS: bool(self._unclear(vm)),
            Fact.TOO_MANY_GATEWAYS: any(each.gateways > MAX_GATEWAYS for each in wanted.values()),
            Fact.DIFFERS: bool(self._differing(vm)),
        }
        return super().facts(vm) | {fact for fact, held in holds.items() if held}

    def decide(self, vm: VirtualMachine) -> Decision:
        """As the table says; a refusal names the adapter that it is about."""
        decision = super().decide(vm)
        about = {
            ErrorClass.NOT_FOUND: self._missing(vm),
            ErrorClass.AMBIGUOUS_NAME: self._unclear(vm),
        }.get(decision.error or ErrorClass.BUSY, [])
        if not about:
            return decision
        there = ", ".join(f"{index} {each.name!r} ({each.mac})" for index, each in enumerate(vm.adapters or ()))
        hint = f"The network adapters of this VM: {there or 'none'}. An index or a MAC address fits one only."
        row = replace(decision.row, reason=f"{decision.row.reason[:-1]}: {', '.join(about)}.")
        return replace(decision, row=row, hint=hint)

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        texts = tuple(put_together(each, wanted) for each, wanted in self._differing(vm).items())
        call = on_service("SetFailoverNetworkAdapterSettings", ComputerSystem=vm.reference, NetworkSettings=texts)
        expected = expecting(vm, any_power=True)
        noun = FAILOVER_NETWORK.noun
        return (Act(Part.MAIN, noun, call, vm.reference, expected, FAILOVER_NETWORK.own_jobs, self.reading),)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        if after.mode != before.mode or self._missing(after) or self._unclear(after):
            return Reading.ODD
        if not self._differing(after):
            return Reading.LEFT
        return Reading.PENDING if self._present(after) == self._present(before) else Reading.ODD

    def lines(self, vm: VirtualMachine) -> dict[str, str]:
        present = self._present(vm)
        return {
            f"adapter {each.name} ({each.mac})": present[each.failover.id].text()
            for each in vm.adapters or ()
            if each.failover is not None
        }

    def foretold(self, vm: VirtualMachine, decision: Decision) -> dict[str, str]:
        wanted = self._wanted(vm)
        return {
            f"adapter {each.name} ({each.mac})": wanted[each.failover.id].text()
            for each in vm.adapters or ()
            if each.failover is not None and each.failover.id in wanted
        }

    def _matches(self, vm: VirtualMachine) -> list[tuple[AdapterSettings, list[NetworkAdapter]]]:
        return [(said, said.means(vm.adapters or ())) for said in self.adapters]

    def _missing(self, vm: VirtualMachine) -> list[str]:
        """An adapter without failover settings is one that this method cannot reach."""
        return [
            said.which
            for said, found in self._matches(vm)
            if not found or (len(found) == 1 and found[0].failover is None)
        ]

    def _unclear(self, vm: VirtualMachine) -> list[str]:
        matches = self._matches(vm)
        counts = Counter(found[0].id for _said, found in matches if len(found) == 1)
        return [
            said.which for said, found in matches if len(found) > 1 or (len(found) == 1 and counts[found[0].id] > 1)
        ]

    def _present(self, vm: VirtualMachine) -> dict[str, Addresses]:
        return {
            each.failover.id: taken_apart(each.failover) for each in vm.adapters or () if each.failover is not None
        }

    def _wanted(self, vm: VirtualMachine) -> dict[str, Addresses]:
        present = self._present(vm)
        return {
            found[0].failover.id: said.wanted(present[found[0].failover.id])
            for said, found in self._matches(vm)
            if len(found) == 1 and found[0].failover is not None
        }

    def _differing(self, vm: VirtualMachine) -> dict[str, Addresses]:
        present = self._present(vm)
        return {each: wanted for each, wanted in self._wanted(vm).items() if wanted != present[each]}
