# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every situation, known or not, has one intended answer.

The answers are written down here a second time, as a grid a person can check against the documentation, and every
combination is walked.
"""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Reference
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import decide as d
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import (
    Job,
    Relationship,
    VirtualMachine,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import (
    TestCopy as Copy,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass

MODES = [None, 0, 1, 2, 3, 4, 5]
STATES = [None, *range(23)]

# One column a state, 0 to 22. "." nothing to do, "r" revert, "R" revert that discards what the guest wrote,
# "c" committed, "b" busy, "?" refused as unexpected, "0" not replicated, "t" a test copy.
AT_REST = {
    0: "00000000000000000000000",
    1: "....r??.....b??..??????",
    2: ".?..?Rc..?..b??..??????",
    3: "ttttttttttttttttttttttt",
    4: ".?..?Rc..?..b??..??????",
    5: "???????????????????????",
}
ERRORS = {
    "0": ErrorClass.NOT_REPLICATED,
    "t": ErrorClass.TEST_COPY,
    "c": ErrorClass.COMMITTED,
    "b": ErrorClass.BUSY,
    "?": ErrorClass.UNEXPECTED_STATE,
}

OFF = {3, 32786}
RUNNING = {2, 9, 32785, 32789}
SAVED = {6, 32788, 32779, 32783}
CHANGING = {4, 10, 32773, 32776, 32777, 32780, 32781, 32782}
POWERS = [None, *range(13), *range(32766, 32800)]


def job(kind: int | None, state: int | None = 4) -> Job:
    return Job(Reference.of("Msvm_ConcreteJob", InstanceID="J"), "J", kind, state)


JOBS = {
    "none": (),
    "98": (job(98),),
    "101": (job(101),),
    "97": (job(97),),
    "background": (job(106),),
    "98 and 97": (job(98), job(97)),
    "98 and background": (job(106), job(98)),
    "98 in a state nobody knows": (job(98, 11),),
    "a type nobody knows": (job(126),),
    "no type": (job(None),),
}


def machine(mode, state, jobs=(), *, power=3, extended=None, copies=(), shown=...):
    links = []
    if mode not in (0, 3):
        links.append(Relationship("0", 0, state if shown is ... else shown, 1, 0))
    if extended is not None:
        links.append(Relationship("1", 1, extended, 1, 0))
    return VirtualMachine(
        id="A",
        name="vm",
        reference=Reference.of("Msvm_ComputerSystem", Name="A"),
        mode=mode,
        state=state,
        health=1,
        failover_type=0,
        power=power,
        relationships=tuple(links),
        jobs=tuple(jobs),
        test_copies=tuple(copies),
    )


def decided(vm, consent):
    return d.decide(d.REVERTED, d.situation_of(d.REVERTED, vm, consent.side), vm.power, consent)


def expected(mode, state, jobs, consent, power):
    """Effect, error class and power-off that are intended; written without looking at the table."""
    letter = "?" if mode is None or state is None else AT_REST[mode][state]
    if mode == 0:
        letter = "0"
    elif mode == 3:
        letter = "t"
    elif mode in (1, 2, 4):
        if (consent.side is d.Side.PRIMARY and mode != 1) or (consent.side is d.Side.REPLICA and mode == 1):
            return "refuse", ErrorClass.WRONG_SIDE, False
        if jobs in ("98", "101", "98 and background"):
            return "wait", None, False
        if jobs not in ("none", "background"):
            return "refuse", ErrorClass.BUSY, False
        if jobs == "background" and state in (4, 5):
            return "refuse", ErrorClass.BUSY, False
    if letter in ERRORS:
        return "refuse", ERRORS[letter], False
    if letter == ".":
        return "nothing", None, False
    if letter == "R" and not consent.discard_guest_writes:
        return "refuse", ErrorClass.WOULD_DISCARD, False
    allowed = consent.running_vm is d.RunningVm.TURN_OFF
    if power in OFF:
        return "call", None, False
    if power in RUNNING:
        return ("call", None, True) if allowed else ("refuse", ErrorClass.VM_RUNNING, False)
    if power in SAVED:
        return ("call", None, True) if allowed else ("refuse", ErrorClass.VM_SAVED, False)
    if power in CHANGING:
        return "wait", None, False
    return "refuse", ErrorClass.UNEXPECTED_STATE, False


CONSENTS = [
    d.Consent(discard, running, side)
    for discard, running, side in itertools.product((False, True), d.RunningVm, d.Side)
]


@pytest.mark.parametrize("jobs", JOBS)
def test_every_mode_state_job_power_and_consent_has_its_answer(jobs):
    wrong = []
    for mode, state, power in itertools.product(MODES, STATES, POWERS):
        vm = machine(mode, state, JOBS[jobs], power=power)
        for consent in CONSENTS:
            decision = decided(vm, consent)
            got = (decision.effect.value, decision.error, decision.power_off)
            if got != expected(mode, state, jobs, consent, power):
                wrong.append((mode, state, power, consent, got))
    assert not wrong, f"{len(wrong)} wrong, the first: {wrong[0]}"


def test_a_refusal_always_has_a_class_and_nothing_else_has_one():
    for mode, state, power, jobs in itertools.product(MODES, STATES, POWERS, JOBS.values()):
        decision = decided(machine(mode, state, jobs, power=power), d.Consent())
        assert (decision.error is not None) == (decision.effect is d.Effect.REFUSE)


ALLOWED = d.Consent(discard_guest_writes=True, running_vm=d.RunningVm.TURN_OFF)


@pytest.mark.parametrize("mode", [2, 4])
@pytest.mark.parametrize("state", STATES)
def test_a_test_copy_stands_in_the_way_of_a_failed_over_replica_only(mode, state):
    with_copy = decided(machine(mode, state, copies=[Copy("C", "vm - Test")]), ALLOWED)
    without = decided(machine(mode, state), ALLOWED)
    if state == 5:
        assert with_copy.error is ErrorClass.TEST_COPY_PRESENT
    else:
        assert with_copy == without


@pytest.mark.parametrize("extended", STATES)
@pytest.mark.parametrize("state", STATES)
def test_an_extended_relationship_in_a_failover_is_left_alone(state, extended):
    decision = decided(machine(2, state, extended=extended), ALLOWED)
    if extended in (4, 5, 12) and state != 12:
        assert decision.error is ErrorClass.EXTENDED_UNSUPPORTED
    else:
        assert decision == decided(machine(2, state), ALLOWED)


@pytest.mark.parametrize(("state", "shown"), [(5, 3), (3, 5), (5, None), (4, 3), (6, 5)])
@pytest.mark.parametrize("mode", [1, 2, 4])
def test_two_stories_about_one_vm_are_no_story(mode, state, shown):
    assert decided(machine(mode, state, shown=shown), ALLOWED).error is ErrorClass.UNEXPECTED_STATE


@pytest.mark.parametrize("mode", [1, 2, 4])
def test_a_pair_without_its_relationship_is_refused(mode):
    vm = machine(mode, 5)
    lonely = VirtualMachine(**{**vm.__dict__, "relationships": ()})
    assert decided(lonely, ALLOWED).error is ErrorClass.UNEXPECTED_STATE


def test_server_2012_has_no_relationships_to_compare_with():
    vm = machine(2, 5)
    old = VirtualMachine(**{**vm.__dict__, "relationships": (), "relationships_known": False})
    assert decided(old, ALLOWED).effect is d.Effect.CALL


@pytest.mark.parametrize("target", d.TARGETS.values(), ids=d.TARGETS)
def test_the_last_row_of_a_table_fits_everything_and_refuses(target):
    last = target.rows[-1]
    assert last.effect is d.Effect.REFUSE
    assert last == d.Row(d.Effect.REFUSE, last.reason, last.error)


@pytest.mark.parametrize("target", d.TARGETS.values(), ids=d.TARGETS)
def test_no_row_is_out_of_reach(target):
    """A row that no situation reaches is a mistake in the order of the table."""
    situations = (
        d.Situation(mode, state, jobs, wrong_side, agrees, extended, copy)
        for mode, state, jobs, wrong_side, agrees, extended, copy in itertools.product(
            MODES, STATES, d.Jobs, (False, True), (False, True), (None, 3, 5), (False, True)
        )
    )
    reached = {target.rows.index(d.row_for(target.rows, situation)) for situation in situations}
    assert reached == set(range(len(target.rows)))
