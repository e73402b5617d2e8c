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
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import decide as d
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import TestCopy as Copy
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.absent import ABSENT
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.as_replica import AS_REPLICA
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.committed import COMMITTED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.continued import CONTINUED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.enabled import ENABLED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.failed_over import FAILED_OVER
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.failover_network import FAILOVER_NETWORK
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.prepared import PREPARED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.replicating import REPLICATING
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.resynchronized import RESYNCHRONIZED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reversed import REVERSED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reverted import REVERTED, Revert
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.started import STARTED
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.suspended import SUSPENDED
from ansible_collections.hyperv.replica.tests.unit.plugins.plugin_utils.replica.situations import (
    JOBS,
    MODES,
    POWERS,
    SHUTDOWN,
    STATES,
    machine,
    power_answer,
)

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


def expected(mode, state, jobs, consent, power, can_shut_down=False):
    """Effect, error class and power-off that are intended; written without looking at the table."""
    letter = "?" if mode is None or state is None else AT_REST[mode][state]
    if mode == 0:
        letter = "0"
    elif mode == 3:
        letter = "t"
    elif mode in (1, 2, 4):
        if (consent.side is d.Side.PRIMARY and mode != 1) or (consent.side is d.Side.REPLICA and mode == 1):
            return "refuse", ErrorClass.WRONG_SIDE, None
        if jobs in ("98", "101", "98 and background"):
            return "wait", None, None
        if jobs not in ("none", "background"):
            return "refuse", ErrorClass.BUSY, None
        if jobs == "background" and state in (4, 5):
            return "refuse", ErrorClass.BUSY, None
    if letter in ERRORS:
        return "refuse", ERRORS[letter], None
    if letter == ".":
        return "nothing", None, None
    if letter == "R" and not consent.discard_guest_writes:
        return "refuse", ErrorClass.WOULD_DISCARD, None
    return power_answer(power, consent.running_vm, can_shut_down)


CONSENTS = [
    Revert(discard_guest_writes=discard, running_vm=running, side=side)
    for discard, running, side in itertools.product((False, True), d.RunningVm, d.Side)
]


@pytest.mark.parametrize("jobs", JOBS)
def test_every_mode_state_job_power_and_consent_has_its_answer(jobs):
    wrong = []
    for mode, state, power, component in itertools.product(MODES, STATES, POWERS, (None, SHUTDOWN)):
        vm = machine(mode, state, JOBS[jobs], power=power, shutdown=component)
        for consent in CONSENTS:
            if component and consent.running_vm is not d.RunningVm.SHUT_DOWN:
                continue  # read only where the task asks for a shutdown
            decision = consent.decide(vm)
            got = (decision.effect.value, decision.error, decision.power_off)
            if got != expected(mode, state, jobs, consent, power, component is not None):
                wrong.append((mode, state, power, consent, got))
    assert not wrong, f"{len(wrong)} wrong, the first: {wrong[0]}"


def test_a_refusal_always_has_a_class_and_nothing_else_has_one():
    for mode, state, power, jobs in itertools.product(MODES, STATES, POWERS, JOBS.values()):
        decision = Revert().decide(machine(mode, state, jobs, power=power))
        assert (decision.error is not None) == (decision.effect is d.Effect.REFUSE)


ALLOWED = Revert(discard_guest_writes=True, running_vm=d.RunningVm.TURN_OFF)


@pytest.mark.parametrize("mode", [2, 4])
@pytest.mark.parametrize("state", STATES)
def test_a_test_copy_stands_in_the_way_of_a_failed_over_replica_only(mode, state):
    with_copy = ALLOWED.decide(machine(mode, state, copies=[Copy("C", "vm - Test")]))
    without = ALLOWED.decide(machine(mode, state))
    if state == 5:
        assert with_copy.error is ErrorClass.TEST_COPY_PRESENT
    else:
        assert with_copy == without


@pytest.mark.parametrize("extended", STATES)
@pytest.mark.parametrize("state", STATES)
def test_an_extended_relationship_in_a_failover_is_left_alone(state, extended):
    decision = ALLOWED.decide(machine(2, state, extended=extended))
    if extended in (4, 5, 12) and state != 12:
        assert decision.error is ErrorClass.EXTENDED_UNSUPPORTED
    else:
        assert decision == ALLOWED.decide(machine(2, state))


@pytest.mark.parametrize(("state", "shown"), [(5, 3), (3, 5), (5, None), (4, 3), (6, 5)])
@pytest.mark.parametrize("mode", [1, 2, 4])
def test_two_stories_about_one_vm_are_no_story(mode, state, shown):
    assert ALLOWED.decide(machine(mode, state, shown=shown)).error is ErrorClass.UNEXPECTED_STATE


@pytest.mark.parametrize("mode", [1, 2, 4])
def test_a_pair_without_its_relationship_is_refused(mode):
    vm = machine(mode, 5)
    lonely = VirtualMachine(**{**vm.__dict__, "relationships": ()})
    assert ALLOWED.decide(lonely).error is ErrorClass.UNEXPECTED_STATE


def test_server_2012_has_no_relationships_to_compare_with():
    vm = machine(2, 5)
    old = VirtualMachine(**{**vm.__dict__, "relationships": (), "relationships_known": False})
    assert ALLOWED.decide(old).effect is d.Effect.CALL


TARGETS = {
    target.name: target
    for target in (
        REVERTED,
        PREPARED,
        FAILED_OVER,
        COMMITTED,
        ENABLED,
        STARTED,
        REPLICATING,
        SUSPENDED,
        RESYNCHRONIZED,
        REVERSED,
        AS_REPLICA,
        CONTINUED,
        ABSENT,
        FAILOVER_NETWORK,
    )
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_last_row_of_a_table_fits_everything_and_refuses(target):
    assert target.rows[-1] is d.LAST_ROW
    empty = d.Row(d.Effect.REFUSE, d.LAST_ROW.reason, ErrorClass.UNEXPECTED_STATE)
    assert empty == d.LAST_ROW


def sorted_names(facts):
    return sorted(fact.name for fact in facts)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_no_row_is_out_of_reach(target):
    """A row that no situation reaches is a mistake in the order of the table."""
    # Not every set of facts, which are too many, but those that let some rows fit and keep others from it.
    looked_at = sorted({facts for row in target.rows for facts in (row.when, row.unless) if facts}, key=sorted_names)
    held = {frozenset().union(*some) for size in range(5) for some in itertools.combinations(looked_at, size)}
    situations = (d.Situation(*parts) for parts in itertools.product(MODES, STATES, d.Jobs, held))
    reached = {target.rows.index(d.row_for(target.rows, situation)) for situation in situations}
    assert reached == set(range(len(target.rows)))
