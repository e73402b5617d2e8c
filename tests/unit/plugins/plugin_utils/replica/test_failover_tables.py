# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prepared, failed over and committed: every situation has its intended answer, written down a second time as grids."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Reference
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import decide as d
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import RecoveryPoint
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import TestCopy as Copy
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.committed import Commit
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.failed_over import (
    FailOver,
    FailoverKind,
    planned_point,
    same_point,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.prepared import Prepare
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Part, Reading
from ansible_collections.hyperv.replica.tests.unit.plugins.plugin_utils.replica.situations import (
    JOBS,
    MODES,
    NEVER,
    POWERS,
    SHUTDOWN,
    STATES,
    WRONG,
    busy_or_waiting,
    job,
    letter_of,
    machine,
    power_answer,
)

# One column a state, 0 to 22. "." nothing to do, "!" call, "w" wrong side, "n" not ready, "s" suspended or stopped,
# "y" resynchronizing, "b" busy, "f" not failed over, "?" refused as unexpected, "0" not replicated, "t" a test copy.
PREPARED = {**NEVER, 1: "nnn!.??ssyyyb??bs??????", 2: WRONG, 4: WRONG}
FAILED_OVER = {**NEVER, 1: WRONG, 2: "n?n!?..ss?yyb??!s??????", 4: "n?n!?..ss?yyb??!s??????"}
COMMITTED = {**NEVER, 1: WRONG, 2: "f?ff?!.ff?ffb??ff??????", 4: "f?ff?!.ff?ffb??ff??????"}
ERRORS = {
    "0": ErrorClass.NOT_REPLICATED,
    "t": ErrorClass.TEST_COPY,
    "w": ErrorClass.WRONG_SIDE,
    "n": ErrorClass.NOT_READY,
    "s": ErrorClass.SUSPENDED,
    "y": ErrorClass.RESYNCHRONIZING,
    "b": ErrorClass.BUSY,
    "f": ErrorClass.NOT_FAILED_OVER,
    "?": ErrorClass.UNEXPECTED_STATE,
}

NOW = datetime(2026, 11, 26, 3, tzinfo=timezone.utc)


def point(name, kind="standard", age=60):
    reference = Reference.of("Msvm_VirtualSystemSettingData", InstanceID=f"Microsoft:{name}")
    return RecoveryPoint(f"Microsoft:{name}", name, kind, NOW - timedelta(seconds=age), reference)


OLD = point("11111111-0000-0000-0000-000000000001", age=600)
CONSISTENT = point("11111111-0000-0000-0000-000000000002", "application_consistent", 400)
NEW = point("11111111-0000-0000-0000-000000000003", age=60)
PLANNED = point("11111111-0000-0000-0000-000000000004", "planned_failover", 30)


def replica(mode=2, state=3, jobs=(), **fields):
    defaults = {
        "recovery_points": (OLD, CONSISTENT, NEW),
        "failed_over_point": NEW.id,
        "failover_type": 1,
        "last_replication_time": NEW.time,
    }
    return machine(mode, state, jobs, **{**defaults, **fields})


WALKS = {
    "prepared": (Prepare, PREPARED, "100", {4}, 100, True),
    "failed over": (
        lambda **power: FailOver(kind=FailoverKind.UNPLANNED, primary_is_down=True, **power),
        FAILED_OVER,
        "97",
        {5},
        97,
        True,
    ),
    "committed": (lambda **power: Commit(confirm=True, **power), COMMITTED, "99", {5, 6}, 99, False),
}


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize("how", d.RunningVm)
def test_every_mode_state_job_and_power_has_its_answer(walk, how):
    make, grid, own, moved, kind, must_be_off = WALKS[walk]
    verb = make(running_vm=how)
    wrong = []
    component = SHUTDOWN if how is d.RunningVm.SHUT_DOWN else None
    all_jobs = {**JOBS, own: (job(kind),)}
    for mode, state, (jobs, running), power in itertools.product(MODES, STATES, all_jobs.items(), POWERS):
        letter = letter_of(grid, mode, state)
        if letter != "!" and power not in (None, 2, 3):
            continue  # the table of the power is not reached
        vm = replica(mode, state, running, power=power, shutdown=component)
        expected = busy_or_waiting(mode, jobs, own, state, moved)
        if expected is None and letter == ".":
            expected = ("nothing", None, None)
        elif expected is None and letter == "!":
            expected = power_answer(power, how, component is not None) if must_be_off else ("call", None, None)
        elif expected is None:
            expected = ("refuse", ERRORS[letter], None)
        decision = verb.decide(vm)
        got = (decision.effect.value, decision.error, decision.power_off)
        if got != expected:
            wrong.append((mode, state, jobs, power, got, expected))
    assert not wrong, f"{len(wrong)} wrong, the first: {wrong[0]}"


CAN = [(mode, state) for mode in (2, 4) for state in (3, 7, 15)]


@pytest.mark.parametrize(("mode", "state"), CAN)
def test_an_unplanned_failover_needs_somebody_who_says_that_the_primary_is_down(mode, state):
    decision = FailOver(kind=FailoverKind.UNPLANNED, resume=True).decide(replica(mode, state))
    assert (decision.error, decision.consent_missing) == (ErrorClass.NOT_CONFIRMED, "primary_is_down")


@pytest.mark.parametrize(("mode", "state"), CAN)
def test_a_planned_failover_needs_the_point_of_a_prepared_primary(mode, state):
    verb = FailOver(resume=True)
    assert verb.decide(replica(mode, state)).error is ErrorClass.NOT_PREPARED
    prepared = replica(mode, state, recovery_points=(OLD, NEW, PLANNED))
    assert verb.decide(prepared).effect is d.Effect.CALL
    (*_resume, act) = verb.acts(prepared, verb.decide(prepared))
    assert dict(act.call.arguments)["SnapshotSettingData"] == PLANNED.reference


@pytest.mark.parametrize(
    ("points", "arrived", "kind", "current"),
    [
        ((), 0, 0, False),
        ((NEW,), 60, 0, False),
        ((PLANNED, NEW), 60, 0, False),  # called off, and replicated since
        ((NEW, PLANNED), 30, 0, True),
        ((NEW, PLANNED), 29, 0, True),
        ((NEW, PLANNED), 5, 0, False),  # something came after it
        ((NEW, PLANNED), 5, 3, True),  # ... which was the last of the preparation, as the relationship says
    ],
)
def test_which_point_is_that_of_a_prepared_primary(points, arrived, kind, current):
    points = tuple(sorted(points, key=lambda one: one.time)) if points != (PLANNED, NEW) else points
    vm = replica(recovery_points=points, last_replication_time=NOW - timedelta(seconds=arrived))
    link = vm.relationships[0].__class__(**{**vm.relationships[0].__dict__, "last_replication_type": kind})
    vm = vm.__class__(**{**vm.__dict__, "relationships": (link,)})
    assert (planned_point(vm) is not None) is current


UNPLANNED = {"kind": FailoverKind.UNPLANNED, "primary_is_down": True}


@pytest.mark.parametrize("asked", ["latest_app_consistent", OLD.id, OLD.id.rpartition(":")[2].lower(), NEW.id])
def test_the_point_that_is_asked_for_is_the_one_that_is_sent(asked):
    verb = FailOver(point=asked, **UNPLANNED)
    vm = replica()
    (act,) = verb.acts(vm, verb.decide(vm))
    wanted = CONSISTENT if asked == "latest_app_consistent" else NEW if asked == NEW.id else OLD
    assert dict(act.call.arguments)["SnapshotSettingData"] == wanted.reference


def test_the_latest_point_is_left_to_the_host():
    verb = FailOver(**UNPLANNED)
    (act,) = verb.acts(replica(), verb.decide(replica()))
    assert dict(act.call.arguments)["SnapshotSettingData"] is None


@pytest.mark.parametrize("asked", ["latest_app_consistent", "Microsoft:0", "11111111-0000-0000-0000-00000000000F"])
def test_a_point_that_is_not_there_is_refused(asked):
    vm = replica(recovery_points=(OLD, NEW))
    assert FailOver(point=asked, **UNPLANNED).decide(vm).error is ErrorClass.POINT_NOT_FOUND


@pytest.mark.parametrize(
    ("verb", "at", "kind", "there"),
    [
        (FailOver(**UNPLANNED), NEW.id, 1, True),
        (FailOver(**UNPLANNED), OLD.id, 1, False),
        (FailOver(**UNPLANNED), "", 1, True),  # failed over, and the host does not say to what
        (FailOver(point=OLD.id, **UNPLANNED), OLD.id, 1, True),
        (FailOver(point=OLD.id, **UNPLANNED), NEW.id, 1, False),
        (FailOver(point=OLD.id, **UNPLANNED), "", 1, False),
        (FailOver(point="latest_app_consistent", **UNPLANNED), CONSISTENT.id, 2, True),
        (FailOver(point="latest_app_consistent", **UNPLANNED), NEW.id, 1, False),
        (FailOver(point="latest_app_consistent", **UNPLANNED), "", 2, True),
        (FailOver(point="latest_app_consistent", **UNPLANNED), "", 1, False),
        (FailOver(), PLANNED.id, 3, True),
        (FailOver(), NEW.id, 1, False),
    ],
)
def test_a_vm_that_is_failed_over_already_is_where_it_was_asked_to_be_or_refused(verb, at, kind, there):
    decision = verb.decide(replica(2, 5, failed_over_point=at, failover_type=kind))
    assert decision.effect is (d.Effect.NOTHING if there else d.Effect.REFUSE)
    assert there or decision.error is ErrorClass.OTHER_POINT


def test_a_suspended_replica_is_resumed_only_where_that_is_allowed():
    vm = replica(2, 7)
    assert FailOver(**UNPLANNED).decide(vm).error is ErrorClass.SUSPENDED
    verb = FailOver(resume=True, **UNPLANNED)
    resume, main = verb.acts(vm, verb.decide(vm))
    assert (resume.part, main.part) == (Part.BEFORE, Part.MAIN)
    assert dict(resume.expected)["ReplicationState"] == (7,)
    assert dict(main.expected)["ReplicationState"] == (3,)


@pytest.mark.parametrize(
    ("power", "effect"),
    [
        (3, d.Effect.CALL),
        (32786, d.Effect.CALL),
        (2, d.Effect.NOTHING),
        (10, d.Effect.WAIT),
        (4, d.Effect.WAIT),
        (0, d.Effect.NOTHING),
    ],
)
def test_a_vm_that_is_failed_over_and_off_is_started_where_it_shall_run(power, effect):
    verb = FailOver(start_vm=True, **UNPLANNED)
    vm = replica(2, 5, power=power)
    decision = verb.decide(vm)
    assert (decision.effect, decision.wait_for_power) == (effect, effect is d.Effect.WAIT)
    if effect is d.Effect.CALL:
        assert [act.part for act in verb.acts(vm, decision)] == [Part.AFTER]
    assert FailOver(**UNPLANNED).decide(vm).effect is d.Effect.NOTHING


@pytest.mark.parametrize(("mode", "state"), CAN)
def test_a_test_copy_and_a_replica_that_never_received_anything_are_refused(mode, state):
    verb = FailOver(resume=True, **UNPLANNED)
    copy = replica(mode, state, copies=[Copy("C", "vm - Test")])
    assert verb.decide(copy).error is ErrorClass.TEST_COPY_PRESENT
    assert verb.decide(replica(mode, state, last_replication_time=None)).error is ErrorClass.NOT_READY


def test_a_commit_has_to_be_confirmed_and_waits_for_no_test_copy():
    assert Commit().decide(replica(2, 5)).error is ErrorClass.NOT_CONFIRMED
    copy = replica(2, 5, copies=[Copy("C", "vm - Test")])
    assert Commit(confirm=True).decide(copy).error is ErrorClass.TEST_COPY_PRESENT


@pytest.mark.parametrize("extended", STATES)
@pytest.mark.parametrize("verb", [FailOver(**UNPLANNED), Commit(confirm=True)])
def test_an_extended_relationship_in_a_failover_is_left_alone(verb, extended):
    vm = replica(2, 3 if isinstance(verb, FailOver) else 5, extended=extended)
    refused = verb.decide(vm).error is ErrorClass.EXTENDED_UNSUPPORTED
    assert refused is (extended in (4, 5, 12))


@pytest.mark.parametrize(
    ("verb", "before", "reached"), [(Prepare(), (1, 3), 4), (FailOver(), (2, 3), 5), (Commit(), (2, 5), 6)]
)
@pytest.mark.parametrize("state", STATES)
def test_what_a_later_reading_says(verb, before, reached, state):
    mode, was = before
    pending = {was, 12} | ({3} if isinstance(verb, FailOver) else set())
    reading = verb.reading(machine(mode, was), machine(mode, state))
    assert reading is (Reading.LEFT if state == reached else Reading.PENDING if state in pending else Reading.ODD)
    assert verb.reading(machine(mode, was), machine(3 - mode, reached)) is Reading.ODD


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Microsoft:AB", "microsoft:ab ", True),
        (NEW.id, NEW.id.rpartition(":")[2].lower(), True),
        (NEW.id, "{" + NEW.id.rpartition(":")[2] + "}", True),
        (NEW.id, OLD.id, False),
        ("Microsoft:AB", "AB", False),
    ],
)
def test_two_ways_to_write_one_point(one, other, same):
    assert same_point(one, other) is same
