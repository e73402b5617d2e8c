# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Failover addresses: every situation has its intended answer, written down a second time as a grid."""

from __future__ import annotations

import ipaddress
import itertools
from dataclasses import replace

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.embedded import read_instance
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import decide as d
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import FailoverAddresses, NetworkAdapter
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.failover_network import (
    AdapterSettings,
    Addresses,
    Family,
    SetFailoverNetwork,
    bare_mac,
    protocol_of,
    put_together,
    taken_apart,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Reading
from ansible_collections.hyperv.replica.tests.unit.plugins.plugin_utils.replica.situations import (
    JOBS,
    MODES,
    NEVER,
    POWERS,
    STATES,
    busy_or_waiting,
    job,
    letter_of,
    machine,
)

# "!" the table is asked for the adapters, "b" busy, "?" refused as unexpected, "0" not replicated, "t" a test copy.
GRID = {
    **NEVER,
    1: "!!!!!??!!!!!b??!!??????",
    2: "!?!!?!!!!?!!b??!!??????",
    4: "!?!!?!!!!?!!b??!!??????",
}
ERRORS = {
    "0": ErrorClass.NOT_REPLICATED,
    "t": ErrorClass.TEST_COPY,
    "b": ErrorClass.BUSY,
    "?": ErrorClass.UNEXPECTED_STATE,
}


def interface(text):
    return (ipaddress.ip_interface(text),)


V4 = Family(interface("192.0.2.10/24"))
SET = FailoverAddresses("L", 4096, False, ("192.0.2.10",), ("255.255.255.0",))
FIVE = replace(SET, gateways=tuple(f"192.0.2.{n}" for n in range(1, 6)))
LAN = NetworkAdapter(r"Microsoft:A\\1", "LAN", "00155D000001", FailoverAddresses("L"))
MORE = Family(gateways=(ipaddress.ip_address("fe80::1"),))
# what the adapters are, what is said of them, and what follows where the grid has "!"
ADAPTERS = {
    "differs": ((LAN,), AdapterSettings(name="lan", ipv4=V4), ("call", None)),
    "the same": ((replace(LAN, failover=SET),), AdapterSettings(name="LAN", ipv4=V4), ("nothing", None)),
    "missing": ((), AdapterSettings(name="LAN", ipv4=V4), ("refuse", ErrorClass.NOT_FOUND)),
    "out of reach": (
        (replace(LAN, failover=None),),
        AdapterSettings(index=0, ipv4=V4),
        ("refuse", ErrorClass.NOT_FOUND),
    ),
    "two": ((LAN, replace(LAN, id="2")), AdapterSettings(name="LAN", ipv4=V4), ("refuse", ErrorClass.AMBIGUOUS_NAME)),
    "too many": (
        (replace(LAN, failover=FIVE),),
        AdapterSettings(mac="00155D000001", ipv6=MORE),
        ("refuse", ErrorClass.SETTINGS_CONFLICT),
    ),
}


@pytest.mark.parametrize("case", ADAPTERS)
def test_every_mode_state_job_and_power_has_its_answer(case):
    adapters, said, answer = ADAPTERS[case]
    verb = SetFailoverNetwork(adapters=(said,))
    wrong = []
    all_jobs = {**JOBS, "92": (job(92),)}
    for mode, state, (jobs, running), power in itertools.product(MODES, STATES, all_jobs.items(), POWERS[:6]):
        vm = machine(mode, state, running, power=power, adapters=adapters)
        expected = busy_or_waiting(mode, jobs, "92", state, frozenset())
        letter = letter_of(GRID, mode, state)
        if expected is None:
            expected = (*answer, None) if letter == "!" else ("refuse", ERRORS[letter], None)
        decision = verb.decide(vm)
        got = (decision.effect.value, decision.error, decision.power_off)
        if got != expected:
            wrong.append((mode, state, jobs, power, got, expected))
    assert not wrong, f"{len(wrong)} wrong, the first: {wrong[0]}"


@pytest.mark.parametrize(("side", "mode"), [(d.Side.REPLICA, 1), (d.Side.PRIMARY, 2), (d.Side.PRIMARY, 4)])
def test_the_other_side_is_refused(side, mode):
    verb = SetFailoverNetwork(side, adapters=(AdapterSettings(index=0, ipv4=V4),))
    assert verb.decide(machine(mode, 3, adapters=(LAN,))).error is ErrorClass.WRONG_SIDE


@pytest.mark.parametrize(
    ("after", "reading"),
    [
        ({}, Reading.PENDING),
        ({"addresses": ("192.0.2.10",), "subnets": ("255.255.255.0",)}, Reading.LEFT),
        ({"addresses": ("192.0.2.10",), "subnets": ("24",)}, Reading.LEFT),
        ({"addresses": ("192.0.2.11",), "subnets": ("255.255.255.0",)}, Reading.ODD),
    ],
)
def test_only_the_wanted_addresses_are_the_end(after, reading):
    verb = SetFailoverNetwork(adapters=(AdapterSettings(index=0, ipv4=V4),))
    before = machine(2, 3, adapters=(LAN,))
    now = machine(2, 3, adapters=(replace(LAN, failover=FailoverAddresses("L", **after)),))
    assert verb.reading(before, now) is reading
    assert verb.reading(before, replace(now, mode=1)) is Reading.ODD
    assert verb.reading(before, replace(now, adapters=())) is Reading.ODD


def test_the_text_for_the_host_holds_what_every_entry_needs():
    both = FailoverAddresses("L", 4098, False, ("192.0.2.10", "2001:db8::1"), ("255.255.255.0", "64"))
    found = read_instance(put_together("L", taken_apart(both)))
    assert dict(found.properties) == {
        "InstanceID": "L",
        "ProtocolIFType": 4098,
        "DHCPEnabled": False,
        "IPAddresses": both.addresses,
        "Subnets": both.subnets,
        "DefaultGateways": (),
        "DNSServers": (),
    }
    empty = read_instance(put_together("L", Addresses()))
    assert (empty.get("IPAddresses"), empty.get("DHCPEnabled")) == ((), False)


@pytest.mark.parametrize(
    ("addresses", "number"),
    [
        (Addresses(), 0),
        (Addresses(dhcp=True), 4096),
        (Addresses(ipv4=V4), 4096),
        (Addresses(ipv6=MORE), 4097),
        (Addresses(V4, MORE), 4098),
    ],
)
def test_the_type_is_that_of_the_families(addresses, number):
    assert protocol_of(addresses) == number


def test_what_is_no_address_on_the_host_is_shown_and_makes_no_difference_by_itself():
    odd = replace(SET, dns_servers=("localhost",))
    assert "localhost" in taken_apart(odd).text()
    verb = SetFailoverNetwork(adapters=(AdapterSettings(index=0, ipv4=V4),))
    assert verb.decide(machine(2, 3, adapters=(replace(LAN, failover=odd),))).effect is d.Effect.NOTHING


@pytest.mark.parametrize(
    ("text", "bare"),
    [("00-15-5d-00-00-01", "00155D000001"), ("00:15:5D:00:00:01", "00155D000001"), ("0015.5d00.0001", "00155D000001")]
    + [(text, "") for text in ("", "00-15-5D", "00155D00000G", "00155D00000111")],
)
def test_a_mac_address_has_many_spellings(text, bare):
    assert bare_mac(text) == bare


def test_link_local_gateways_are_on_every_link():
    family = Family(interface("2001:db8::1/64"), tuple(map(ipaddress.ip_address, ("fe80::1", "2001:db8:1::1"))))
    assert family.stray_gateways() == ["2001:db8:1::1"]
