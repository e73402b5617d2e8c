# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test copies made and removed: every situation has its intended answer, written down a second time as grids."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Reference
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import decide as d
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Connection, Switch
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import TestCopy as Copy
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs import test_failover as tested
from ansible_collections.hyperv.replica.tests.unit.plugins.plugin_utils.replica.situations import (
    CHANGING,
    JOBS,
    MODES,
    OFF,
    PAUSED,
    POWERS,
    RUNNING,
    SAVED,
    STATES,
    job,
    machine,
)

# One column a state, 0 to 22. "!" call, "w" wrong side, "n" not ready, "s" stopped, "y" resynchronizing, "b" busy,
# "f" failed over, "c" committed, "?" refused as unexpected, "0" not replicated, "t" a test copy.
REPLICA = "n?n!?fc!s?yyb??bs??????"
PRESENT = {0: "0" * 23, 1: "w" * 12 + "b" + "w" * 10, 2: REPLICA, 3: "t" * 23, 4: REPLICA, 5: "?" * 23}
ERRORS = {
    "0": ErrorClass.NOT_REPLICATED,
    "t": ErrorClass.TEST_COPY,
    "w": ErrorClass.WRONG_SIDE,
    "n": ErrorClass.NOT_READY,
    "s": ErrorClass.SUSPENDED,
    "y": ErrorClass.RESYNCHRONIZING,
    "b": ErrorClass.BUSY,
    "f": ErrorClass.IN_FAILOVER,
    "c": ErrorClass.COMMITTED,
    "?": ErrorClass.UNEXPECTED_STATE,
}
COPY_REFERENCE = Reference.of("Msvm_ComputerSystem", Name="C")
COPY = Copy("C", "vm - Test", COPY_REFERENCE, 3, 3)
ALL_JOBS = {**JOBS, **{str(kind): (job(kind),) for kind in (3, 12, 102, 103)}}
LAN, DRILL = (Switch(name, name, f"path of {name}") for name in ("LAN", "DRILL"))


def replica(mode=2, state=3, jobs=(), **fields):
    arrived = datetime(2026, 11, 26, tzinfo=timezone.utc)
    return machine(mode, state, jobs, **{"last_replication_time": arrived, **fields})


def on(switch="", vm_id="C"):
    return Connection("N", vm_id, Reference.of("Msvm_EthernetPortAllocationSettingData", InstanceID="N"), switch)


def said(decision):
    return decision.effect.value, decision.error


def made(mode, state, jobs):
    """What is intended for a VM without a copy; written without looking at the table."""
    if mode in (1, 2, 4) and jobs == "102":
        return "wait", None
    if mode in (1, 2, 4) and jobs not in ("none", "background"):
        return "refuse", ErrorClass.BUSY
    same = set(PRESENT[mode]) - {"b"} if mode is not None else {"?"}
    letter = PRESENT[mode][state] if None not in (mode, state) else same.pop() if len(same) == 1 else "?"
    return ("call", None) if letter == "!" else ("refuse", ERRORS[letter])


@pytest.mark.parametrize("jobs", ALL_JOBS)
def test_every_mode_state_job_and_power_has_its_answer(jobs):
    for mode, state, power in itertools.product(MODES, STATES, POWERS):
        vm = replica(mode, state, ALL_JOBS[jobs], power=power)
        assert said(tested.MakeTestCopy().decide(vm)) == made(mode, state, jobs), (mode, state, power)


@pytest.mark.parametrize("state", set(STATES) - {12})
def test_a_copy_that_is_there_is_enough_whatever_the_state_of_its_replica(state):
    vm = replica(2, state, copies=(COPY,))
    assert tested.MakeTestCopy().decide(vm).effect is d.Effect.NOTHING
    assert tested.MakeTestCopy(start_vm=True).decide(vm).effect is d.Effect.CALL


def removed(mode, power, jobs, copies, meant):
    if mode == 0:
        return "refuse", ErrorClass.NOT_REPLICATED
    if mode == 1:
        return "refuse", ErrorClass.WRONG_SIDE
    if mode in (None, 5):
        return "refuse", ErrorClass.UNEXPECTED_STATE
    if mode == 3 and not meant:
        return "refuse", ErrorClass.TEST_COPY
    if jobs in ("3", "103"):
        return "wait", None
    if jobs not in ("none", "background"):
        return "refuse", ErrorClass.BUSY
    if mode != 3 and not copies:
        return "nothing", None
    if power in CHANGING:
        return "wait", None
    known = OFF | RUNNING | PAUSED | SAVED
    return ("call", None) if power in known else ("refuse", ErrorClass.UNEXPECTED_STATE)


@pytest.mark.parametrize("jobs", ALL_JOBS)
@pytest.mark.parametrize("every_vm", [False, True])
def test_every_mode_job_and_power_of_a_copy_has_its_answer(jobs, every_vm):
    verb = tested.RemoveTestCopy(every_vm=every_vm)
    for mode, state, power, copies in itertools.product(MODES, STATES, POWERS, ((), (replace(COPY, power=3),))):
        copies = tuple(replace(copy, power=power) for copy in copies)
        vm = replica(mode, state, ALL_JOBS[jobs], power=power, copies=copies)
        assert said(verb.decide(vm)) == removed(mode, power, jobs, copies, not every_vm), (mode, state, power, copies)


@pytest.mark.parametrize(
    ("orphans", "replica_id", "meant"), [(False, "", False), (True, "", True), (True, "A", False), (False, "A", False)]
)
def test_of_all_copies_only_orphans_are_meant_by_themselves_and_only_where_the_task_says_so(orphans, replica_id, meant):
    decision = tested.RemoveTestCopy(every_vm=True, orphans=orphans).decide(machine(3, 0, replica_id=replica_id))
    assert (decision.effect is d.Effect.CALL) is meant


@pytest.mark.parametrize("verb", [tested.MakeTestCopy(), tested.RemoveTestCopy()])
@pytest.mark.parametrize("copy", [replace(COPY, mode=0), replace(COPY, mode=2), replace(COPY, reference=None)])
def test_what_is_named_as_a_copy_and_is_none_is_never_touched(verb, copy):
    assert verb.decide(replica(copies=(copy,))).error is ErrorClass.UNEXPECTED_STATE


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("switch", "switches", "error"),
    [
        ("LAN", (LAN, DRILL), ErrorClass.PRODUCTION_SWITCH),
        ("nowhere", (LAN, DRILL), ErrorClass.NOT_FOUND),
        ("drill", (LAN, DRILL, replace(DRILL, id="D2")), ErrorClass.AMBIGUOUS_NAME),
    ],
)
def test_a_switch_that_cannot_be_used_is_refused_with_and_without_a_copy(exists, switch, switches, error):
    copies = (replace(COPY, connections=(on(),), adapters=1),) if exists else ()
    vm = replica(copies=copies, switches=switches, connections=(on("LAN", "A"),))
    assert tested.MakeTestCopy(switch=switch, start_vm=True).decide(vm).error is error


@pytest.mark.parametrize(
    ("connections", "adapters", "switch", "answer"),
    [
        ((on(),), 1, "DRILL", ("call", None)),
        ((on("DRILL"),), 1, "DRILL", ("nothing", None)),
        ((on("DRILL"),), 2, "DRILL", ("refuse", ErrorClass.NOT_SUPPORTED)),
        ((), 0, "DRILL", ("refuse", ErrorClass.NOT_SUPPORTED)),
        ((on("LAN"),), 1, "DRILL", ("call", None)),
        ((on("LAN"),), 1, "", ("nothing", None)),
    ],
)
def test_a_copy_is_connected_where_that_is_to_be_done(connections, adapters, switch, answer):
    copy = replace(COPY, connections=connections, adapters=adapters)
    vm = replica(copies=(copy,), switches=(LAN, DRILL), connections=(on("LAN", "A"),))
    assert said(tested.MakeTestCopy(switch=switch).decide(vm)) == answer


@pytest.mark.parametrize("switch", ["", "DRILL"])
def test_a_copy_on_the_network_of_its_replica_is_never_the_next_to_be_started(switch):
    copy = replace(COPY, connections=(on("LAN"),), adapters=1)
    vm = replica(copies=(copy,), switches=(LAN, DRILL), connections=(on("LAN", "A"),))
    verb = tested.MakeTestCopy(switch=switch, start_vm=True)
    decision = verb.decide(vm)
    if switch:
        assert [act.call.method for act in verb.acts(vm, decision)] == ["ModifyResourceSettings"]
    else:
        assert decision.error is ErrorClass.PRODUCTION_SWITCH


@pytest.mark.parametrize("power", POWERS)
def test_the_acts_of_a_removal_are_about_the_copy_and_nothing_else(power):
    vm = replica(copies=(replace(COPY, power=power),))
    verb = tested.RemoveTestCopy()
    decision = verb.decide(vm)
    if decision.effect is d.Effect.CALL:
        acts = verb.acts(vm, decision)
        on_first = power in RUNNING | PAUSED
        assert [act.call.method for act in acts] == ["RequestStateChange"] * on_first + ["DestroySystem"]
        assert {act.guarded for act in acts} == {COPY_REFERENCE}
        assert all(("ReplicationMode", (3,)) in act.expected for act in acts)


@pytest.mark.parametrize("target", [tested.PRESENT, tested.ABSENT], ids=["present", "absent"])
def test_no_row_is_out_of_reach_and_the_last_one_refuses(target):
    facts = sorted({fact for row in target.rows for fact in row.when | row.unless}, key=lambda fact: fact.name)
    held = [frozenset(some) for size in (0, 1, 2, 3) for some in itertools.combinations(facts, size)]
    situations = (d.Situation(*parts) for parts in itertools.product(MODES, STATES, d.Jobs, held))
    reached = {target.rows.index(d.row_for(target.rows, situation)) for situation in situations}
    assert reached == set(range(len(target.rows)))
    assert target.rows[-1] is d.LAST_ROW
