# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The states of a relationship: every situation has its intended answer, written down a second time as grids."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.embedded import read_instance
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import decide as d
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Settings
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import TestCopy as Copy
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.absent import Remove
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.as_replica import AsReplica
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.continued import Continue
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.enabled import Enable
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.replicating import Resume
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.resynchronized import Resynchronize
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reversed import Reverse
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.settings import (
    Authentication,
    Stated,
    same_host,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.started import Initial, StartReplication
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.suspended import Suspend
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Part, Reading
from ansible_collections.hyperv.replica.tests.unit.plugins.plugin_utils.replica.situations import (
    JOBS,
    MODES,
    NEVER,
    POWERS,
    STATES,
    WRONG,
    busy_or_waiting,
    job,
    letter_of,
    machine,
    power_answer,
)

# "." nothing to do, "!" call, "w" wrong side, "n" not ready, "s" suspended or stopped, "y" resynchronizing, "b" busy,
# "f" not failed over, "c" not committed, "i" in a failover, "e" a third site in the way, "x" no such thing,
# "?" refused as unexpected, "0" not replicated, "t" a test copy.
ERRORS = {
    "0": ErrorClass.NOT_REPLICATED,
    "t": ErrorClass.TEST_COPY,
    "w": ErrorClass.WRONG_SIDE,
    "n": ErrorClass.NOT_READY,
    "s": ErrorClass.SUSPENDED,
    "y": ErrorClass.RESYNCHRONIZING,
    "b": ErrorClass.BUSY,
    "f": ErrorClass.NOT_FAILED_OVER,
    "c": ErrorClass.NOT_COMMITTED,
    "i": ErrorClass.IN_FAILOVER,
    "e": ErrorClass.EXTENDED_PRESENT,
    "x": ErrorClass.NOT_FOUND,
    "?": ErrorClass.UNEXPECTED_STATE,
}


def ends(primary, replica):
    """A grid of relationship 0: what is so at its sending and at its receiving end."""
    return {**NEVER, 1: primary, 2: replica, 4: replica}


OWN = Settings(
    0,
    recovery_host="HV-B.lab.example",
    recovery_connection_point="broker.lab.example",
    primary_connection_point="HV-A.lab.example",
    authentication_type=1,
    stated=(
        ("InstanceID", r"Microsoft:A\HVR\0"),
        ("AuthenticationType", 1),
        ("CompressionEnabled", True),
        ("IncludedDisks", ("disk",)),
        ("PrimaryConnectionPoint", "HV-A.lab.example"),
        ("RecoveryConnectionPoint", "broker.lab.example"),
        ("RecoveryServerPortNumber", 80),
        ("ReplicationInterval", 300),
    ),
)
SECOND = replace(OWN, index=1)


def vm_of(mode, state, jobs=(), **fields):
    return machine(mode, state, jobs, settings=(OWN, SECOND), **fields)


RESUME = ends("?n..i??!!y.!b??.!??????", "??..?ii!!?.!b??.!??????")
SUSPEND = ends("?n!!i??.sy!.b??bs??????", "??!!?ii.s?!.b??bs??????")
START = ends("?!...??.....b??..??????", WRONG)
RESYNC = ends("?nn.i??s!!b!b??.!??????", WRONG)
FORCED = ends("?nn!i??!!!b!b??b!??????", WRONG)
REVERSE = ends("?...w??.....b??..??????", "f?ff?c!ff?ffb??ff??????")
PLANNED = ends("?...w??.....b??..??????", "f?ff?!!ff?ffb??ff??????")
TURN = ends("?nn!i??!!!y!b??bb??????", "??..?ww..?..b??..??????")
GO_ON = {**ends("?....??.....b??..??????", "f?ff?cxff?ffb??ff??????"), 4: WRONG}
REMOVE = {**ends("!!!!i??!!!!!b??!!??????", "!!!!?c!!!!!!b??!!??????"), 0: "." * 23}
SETTINGS = {**ends("?!!!i??!!!b!b??b!??????", WRONG), 0: "!" * 23}
AS_THEY_ARE = {**ends("?....??.....b??..??????", WRONG), 0: "!" * 23}

LESS = Stated(replica_server="hv-b", compression=False)
SAME = Stated(replica_server="BROKER", compression=True, interval=300)

# The verb, its grid, its own jobs, the states that mean something only when nothing moves, and the modes it is for.
WALKS = {
    "replicating": (Resume(), RESUME, (96,), set(), (1, 2, 4)),
    "suspended": (Suspend(), SUSPEND, (96,), set(), (1, 2, 4)),
    "started": (StartReplication(), START, (94, 118), set(), (1, 2, 4)),
    "resynchronized": (Resynchronize(), RESYNC, (107, 121), set(), (1, 2, 4)),
    "resynchronized by force": (Resynchronize(force=True), FORCED, (107, 121), set(), (1, 2, 4)),
    "reversed": (Reverse(), REVERSE, (104,), {5, 6}, (1, 2, 4)),
    "as replica": (AsReplica(confirm=True), TURN, (96,), set(), (1, 2, 4)),
    "continued": (Continue(confirm=True), GO_ON, (123,), {5, 6}, (1, 2, 4)),
    "absent": (Remove(confirm=True), REMOVE, (93,), set(), (0, 1, 2, 4)),
    "enabled": (Enable(settings=LESS), SETTINGS, (91, 92), set(), (0, 1, 2, 4)),
    "enabled as it is": (Enable(settings=SAME), AS_THEY_ARE, (91, 92), set(), (0, 1, 2, 4)),
}
TYPES = (91, 92, 93, 94, 95, 96, 97, 98, 104, 107, 109, 110, 118, 121, 123)
BACKGROUND = (105, 106, 108, 111, 116, 117, 119, 120)


def answer(letter, power, verb):
    """Effect, error class and way off that a letter stands for."""
    if letter == ".":
        return "nothing", None, None
    if letter != "!":
        return "refuse", ERRORS[letter], None
    return power_answer(power, verb.running_vm) if isinstance(verb, AsReplica) else ("call", None, None)


def got(decision):
    return decision.effect.value, decision.error, decision.power_off


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize("how", [d.RunningVm.FAIL, d.RunningVm.TURN_OFF])
def test_every_mode_state_job_and_power_has_its_answer(walk, how):
    verb, grid, own, moved, part = WALKS[walk]
    verb = replace(verb, running_vm=how)
    wrong = []
    kinds = {str(kind): (job(kind),) for kind in (*TYPES, *BACKGROUND)}
    for mode, state, (name, running), power in itertools.product(MODES, STATES, {**JOBS, **kinds}.items(), POWERS):
        letter = letter_of(grid, mode, state)
        if power != 3 and not (letter == "!" and isinstance(verb, AsReplica) and name == "none"):
            continue  # the power of the VM is not looked at
        quiet = {int(name)} if name.isdigit() else set()
        ends_it = isinstance(verb, Suspend) and quiet & {107, 121}
        jobs = "background" if quiet & set(BACKGROUND) or ends_it else "own" if quiet & set(own) else name
        expected = busy_or_waiting(mode, jobs, "own", state, moved, part) or answer(letter, power, verb)
        decision = got(verb.decide(vm_of(mode, state, running, power=power)))
        if decision != expected:
            wrong.append((mode, state, name, power, decision, expected))
    assert not wrong, f"{len(wrong)} wrong, the first: {wrong[0]}"


OF_THE_SECOND = {
    "replicating": (Resume(relationship=1), RESUME),
    "suspended": (Suspend(relationship=1), SUSPEND),
    "started": (StartReplication(relationship=1), START),
    "resynchronized": (Resynchronize(relationship=1), RESYNC),
    "absent": (Remove(relationship=1, confirm=True), REMOVE),
    "enabled": (Enable(relationship=1, settings=LESS), SETTINGS),
}


@pytest.mark.parametrize("walk", OF_THE_SECOND)
def test_the_middle_of_a_chain_is_the_sending_end_of_its_second_relationship(walk):
    verb, grid = OF_THE_SECOND[walk]
    for state in STATES[1:]:
        letter = grid[1][state]
        decision = verb.decide(vm_of(2, 3, extended=state))
        assert got(decision) == answer(letter, 3, verb), f"{state} is {letter}"


@pytest.mark.parametrize("walk", OF_THE_SECOND)
@pytest.mark.parametrize("mode", [1, 2, 4])
def test_a_second_relationship_that_is_not_there(walk, mode):
    verb, _grid = OF_THE_SECOND[walk]
    expected = {
        "absent": ("nothing", None, None),
        "enabled": ("call", None, None) if mode == 2 else ("refuse", ErrorClass.WRONG_SIDE, None),
    }.get(walk, ("refuse", ErrorClass.NOT_FOUND, None))
    assert got(verb.decide(vm_of(mode, 3))) == expected


@pytest.mark.parametrize(
    ("verb", "mode", "state", "fields"),
    [
        (AsReplica(), 1, 8, {}),
        (Continue(), 2, 6, {"extended": 3}),
        (Remove(), 1, 3, {}),
        (Remove(), 2, 3, {}),
        (Remove(relationship=1), 2, 3, {"extended": 3}),
    ],
)
def test_what_cannot_be_taken_back_has_to_be_confirmed(verb, mode, state, fields):
    vm = vm_of(mode, state, **fields)
    decision = verb.decide(vm)
    assert (decision.error, decision.consent_missing) == (ErrorClass.NOT_CONFIRMED, "confirm")
    assert replace(verb, confirm=True).decide(vm).effect is d.Effect.CALL


@pytest.mark.parametrize("state", STATES)
def test_a_failover_that_was_planned_is_turned_round_without_a_commit(state):
    decision = Reverse().decide(vm_of(2, state, failover_type=3))
    letter = letter_of(PLANNED, 2, state)
    assert got(decision) == answer(letter, 3, Reverse())


@pytest.mark.parametrize("extended", STATES[1:])
def test_a_third_site_stands_in_the_way_of_a_reversal_and_of_a_removal(extended):
    for state in (5, 6):
        vm = vm_of(2, state, extended=extended, failover_type=3)
        assert Reverse().decide(vm).error is ErrorClass.EXTENDED_PRESENT
    assert Reverse().decide(vm_of(2, 3, extended=extended)).error is ErrorClass.NOT_FAILED_OVER
    assert Remove(confirm=True).decide(vm_of(2, 3, extended=extended)).error is ErrorClass.EXTENDED_PRESENT
    decision = Continue(confirm=True).decide(vm_of(2, 6, extended=extended))
    assert decision.error is (ErrorClass.EXTENDED_UNSUPPORTED if extended in (4, 5, 12) else None)


def test_a_test_copy_stands_in_the_way():
    copies = [Copy("C", "vm - Test")]
    assert Reverse().decide(vm_of(2, 6, copies=copies)).error is ErrorClass.TEST_COPY_PRESENT
    assert Remove(confirm=True).decide(vm_of(2, 3, copies=copies)).error is ErrorClass.TEST_COPY_PRESENT


def test_a_replica_is_extended_only_while_it_replicates():
    verb = Enable(relationship=1, settings=LESS)
    for state in STATES[1:]:
        decision = verb.decide(vm_of(2, state))
        assert decision.error is (None if state == 3 else ErrorClass.NOT_READY)


@pytest.mark.parametrize(
    ("verb", "mode", "state", "error"),
    [
        (Enable(settings=Stated(compression=False)), 0, 0, ErrorClass.INVALID_ARGUMENT),
        (Enable(relationship=1), 2, 3, ErrorClass.INVALID_ARGUMENT),
        (Enable(settings=replace(LESS, authentication=Authentication.CERTIFICATE)), 0, 0, ErrorClass.INVALID_ARGUMENT),
        (Enable(settings=Stated(authentication=Authentication.CERTIFICATE)), 1, 3, ErrorClass.INVALID_ARGUMENT),
        (Enable(settings=Stated(replica_server="HV-C")), 1, 3, ErrorClass.SETTINGS_CONFLICT),
        (Enable(relationship=1, settings=LESS), 0, 0, ErrorClass.NOT_REPLICATED),
        (Reverse(settings=Stated(authentication=Authentication.CERTIFICATE)), 2, 6, ErrorClass.INVALID_ARGUMENT),
    ],
)
def test_settings_that_cannot_be(verb, mode, state, error):
    assert verb.decide(vm_of(mode, state)).error is error


def test_a_replica_that_does_not_know_its_primary_needs_to_be_told():
    vm = machine(2, 6, settings=(replace(OWN, primary_connection_point=""),))
    assert Reverse().decide(vm).error is ErrorClass.NOT_FOUND
    assert Reverse(settings=Stated(replica_server="HV-A")).decide(vm).effect is d.Effect.CALL


# --- what is sent -----------------------------------------------------------------------------------------


def sent(verb, vm):
    """The acts, and the arguments of the last of them."""
    acts = verb.acts(vm, verb.decide(vm))
    return acts, dict(acts[-1].call.arguments)


def test_a_reversal_sends_the_own_settings_with_the_old_primary_as_the_new_replica():
    _acts, arguments = sent(Reverse(settings=Stated(replica_port=8080)), vm_of(2, 6))
    told = read_instance(arguments["ReplicationSettingData"]).properties
    assert told["RecoveryConnectionPoint"] == "HV-A.lab.example"
    assert told["RecoveryServerPortNumber"] == 8080
    assert (told["CompressionEnabled"], told["IncludedDisks"], told["ReplicationInterval"]) == (True, ("disk",), 300)


def test_a_change_of_settings_leaves_the_others_as_they_were():
    _acts, arguments = sent(Enable(settings=LESS), vm_of(1, 3))
    told = read_instance(arguments["ReplicationSettingData"]).properties
    assert told == {**dict(OWN.stated), "CompressionEnabled": False}


def test_a_new_relationship_says_where_to_and_how():
    thumbprint = "A" * 40
    settings = Stated(
        replica_server="HV-B", authentication=Authentication.CERTIFICATE, certificate_thumbprint=thumbprint
    )
    acts, arguments = sent(Enable(settings=settings), machine(0, 0))
    told = read_instance(arguments["ReplicationSettingData"]).properties
    assert acts[0].call.method == "CreateReplicationRelationship"
    assert told == {
        "RecoveryConnectionPoint": "HV-B",
        "AuthenticationType": 2,
        "RecoveryServerPortNumber": 443,
        "CertificateThumbPrint": thumbprint,
    }


@pytest.mark.parametrize(("initial", "number"), [(Initial.NETWORK, 1), (Initial.EXPORT, 2), (Initial.SEEDED, 3)])
def test_a_start_says_how_the_first_copy_gets_across(initial, number):
    at = datetime(2026, 11, 30, tzinfo=timezone.utc)
    _acts, arguments = sent(StartReplication(initial=initial, export_path="E:", at=at), vm_of(1, 1))
    assert (arguments["InitialReplicationType"], arguments["StartTime"]) == (number, at)


@pytest.mark.parametrize(("state", "asked"), [(7, 3), (8, 3), (11, 3), (16, 15)])
@pytest.mark.parametrize("link", [0, 1])
def test_a_resumption_asks_for_the_state_that_belongs_to_the_present_one(state, asked, link):
    verb = Resume(relationship=link)
    vm = vm_of(2, 3, extended=state) if link else vm_of(1, state)
    (act,), arguments = sent(verb, vm)
    assert arguments["RequestedState"] == asked
    named = arguments["ReplicationRelationship"]
    assert (read_instance(named).properties["InstanceID"] == "1") if link else named is None
    watched = {reference.class_name: dict(expected).get("ReplicationState") for reference, expected in act.guards}
    both = {"Msvm_ComputerSystem": (3,), "Msvm_ReplicationRelationship": (state,)}
    assert watched == (both if link else {"Msvm_ComputerSystem": (state,)})


def test_a_resynchronization_that_is_forced_suspends_first():
    (suspend, main), _arguments = sent(Resynchronize(force=True), vm_of(1, 3))
    assert (suspend.part, main.part) == (Part.BEFORE, Part.MAIN)
    assert dict(suspend.expected)["ReplicationState"] == (3,)
    assert dict(main.expected)["ReplicationState"] == (7,)


@pytest.mark.parametrize(
    ("verb", "before", "after", "reading"),
    [
        (Resume(), (1, 7), (1, 3), Reading.LEFT),
        (Resume(), (1, 7), (1, 2), Reading.LEFT),
        (Resume(), (1, 7), (1, 7), Reading.PENDING),
        (Resume(), (1, 7), (1, 9), Reading.ODD),
        (Resume(), (1, 7), (2, 3), Reading.ODD),
        (Suspend(), (1, 3), (1, 7), Reading.LEFT),
        (Suspend(), (1, 10), (1, 11), Reading.LEFT),
        (Suspend(), (1, 3), (1, 3), Reading.PENDING),
        (Suspend(), (1, 3), (1, 8), Reading.ODD),
        (StartReplication(), (1, 1), (1, 2), Reading.LEFT),
        (StartReplication(), (1, 1), (1, 1), Reading.PENDING),
        (StartReplication(), (1, 1), (2, 2), Reading.ODD),
        (Resynchronize(), (1, 9), (1, 3), Reading.LEFT),
        (Resynchronize(), (1, 9), (1, 10), Reading.PENDING),
        (Resynchronize(), (1, 9), (1, 8), Reading.ODD),
        (Resynchronize(force=True), (1, 3), (1, 3), Reading.PENDING),
        (Reverse(), (2, 6), (1, 1), Reading.LEFT),
        (Reverse(), (2, 6), (2, 6), Reading.PENDING),
        (Reverse(), (2, 6), (2, 3), Reading.ODD),
        (Reverse(), (2, 6), (1, 22), Reading.ODD),
        (AsReplica(), (1, 8), (2, 2), Reading.LEFT),
        (AsReplica(), (1, 8), (1, 2), Reading.PENDING),
        (AsReplica(), (1, 8), (1, 3), Reading.ODD),
        (Continue(), (2, 6), (1, 3), Reading.LEFT),
        (Continue(), (2, 6), (2, 6), Reading.PENDING),
        (Continue(), (2, 6), (2, 5), Reading.ODD),
        (Remove(), (1, 3), (0, 0), Reading.LEFT),
        (Remove(), (1, 3), (1, 3), Reading.PENDING),
        (Remove(), (1, 3), (2, 3), Reading.ODD),
        (Enable(settings=LESS), (0, 0), (1, 1), Reading.LEFT),
        (Enable(settings=LESS), (0, 0), (0, 0), Reading.PENDING),
        (Enable(settings=LESS), (1, 3), (1, 3), Reading.PENDING),
        (Enable(settings=LESS), (1, 3), (2, 3), Reading.ODD),
    ],
)
def test_what_a_later_reading_says(verb, before, after, reading):
    assert verb.reading(vm_of(*before), vm_of(*after)) is reading


def test_a_forced_resynchronization_shows_by_what_has_arrived():
    vm = vm_of(1, 3)
    link = replace(vm.relationships[0], last_replication_time=datetime(2026, 11, 26, tzinfo=timezone.utc))
    assert Resynchronize(force=True).reading(vm, replace(vm, relationships=(link,))) is Reading.LEFT


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("HV-B", "hv-b.lab.example", True),
        ("hv-b.lab.example", "HV-B.LAB.EXAMPLE.", True),
        ("hv-b.lab.example", "hv-b.other.example", False),
        ("HV-B", "HV-C.lab.example", False),
    ],
)
def test_two_names_of_one_host(one, other, same):
    assert same_host(one, other) is same


def test_a_time_of_day_is_the_same_however_the_host_writes_it():
    stated = Stated(auto_resync_start=timedelta(hours=18, minutes=30))
    name = "AutoResynchronizeIntervalStart"
    for value in (timedelta(hours=18, minutes=30), datetime(2026, 1, 1, 18, 30, tzinfo=timezone.utc)):
        assert not stated.differences(replace(OWN, stated=((name, value),)))
    assert stated.differences(OWN) == {name: timedelta(hours=18, minutes=30)}
