# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad nights by the thousand: random hosts, random consents, random faults, and what must hold after each of them."""

from __future__ import annotations

import typing as t
from collections import Counter

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import RunningVm
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.run import OnError
from direct import Loss, revert
from hypothesis import given, settings
from hypothesis import strategies as st
from replica_lab import scenario

IN_A_FAILOVER = {4, 5, 12}
HOST = "HV"

POWERS = st.sampled_from(["off", "off", "running", "paused", "saved", "off_critical", "starting"])
MACHINES = st.one_of(
    st.fixed_dictionaries(
        {
            "mode": st.just("replica"),
            "state": st.just("failed_over"),
            "power": POWERS,
            "guest_writes": st.just(1000),
        }
    ),
    st.fixed_dictionaries(
        {"mode": st.just("replica"), "state": st.sampled_from([3, 6, 7, 8, 10, 12]), "power": st.just("off")}
    ),
    st.fixed_dictionaries({"mode": st.just("primary"), "state": st.sampled_from([3, 4, 8, 9]), "power": POWERS}),
    st.fixed_dictionaries({"mode": st.just("none"), "power": POWERS}),
)

CALLS = st.sampled_from(["RevertFailover", "RequestStateChange"])
FATES = st.fixed_dictionaries(
    {"method": CALLS, "times": st.integers(1, 2)},
).flatmap(
    lambda fate: st.sampled_from(
        [
            {"outcome": "return", "code": code}
            for code in (32768, 32769, 32770, 32771, 32772, 32773, 32774, 32775, 32776, 32777, 32778, 32779, 40000)
        ]
        + [
            {"outcome": "no_effect_0"},
            {"outcome": "no_effect_job"},
            {"outcome": "sync"},
            {"outcome": "job_fails", "error_code": 32768},
            {"outcome": "job_cancelled"},
            {"outcome": "job_warning"},
            {"outcome": "job_unknown_state", "state": 77},
            {"outcome": "job_unknown_state", "state": 11, "effect": True},
            {"outcome": "job_hangs"},
            {"outcome": "job_vanishes", "effect": True},
            {"outcome": "job_vanishes", "effect": False},
            {"outcome": "job_hidden"},
            {"outcome": "job_slow", "seconds": 45},
            {"outcome": "lost_job_ref"},
        ]
    ).map(lambda outcome: {**fate, **outcome})
)
LOSSES = st.builds(
    Loss, method=CALLS, after_effect=st.booleans(), nth=st.integers(1, 3), silence=st.sampled_from([0, 0, 2, 40])
)
SWITCHES = st.fixed_dictionaries(
    {},
    optional={
        "STATE_WHILE_REVERTING": st.sampled_from(["target", "before"]),
        "STATE_AFTER_REVERT_REPLICA": st.sampled_from([7, 8]),
        "PRIMARY_REVERT_JOB_TYPE": st.just(101),
        "POWER_CHANGE_ANSWER": st.just("sync"),
        "FAILOVER_TOUCHES_CONFIGURATION_TIME": st.just(False),
        "DROP_SAVED_STATE_BY_TURN_OFF": st.just(32775),
        "ENDED_JOB_ASSOCIATION": st.just("dropped"),
    },
)
ORDERS = st.fixed_dictionaries(
    {
        "discard_guest_writes": st.booleans(),
        "running_vm": st.sampled_from(RunningVm),
        "max_parallel": st.sampled_from([0, 1, 2, 10]),
        "on_error": st.sampled_from(OnError),
        "wait_timeout": st.sampled_from([30, 600]),
        "waiting_slice": st.sampled_from([0.0, 20.0]),  # as over WS-Management, as over PowerShell
    }
)


def world_of(machines: list[dict[str, t.Any]], switches: dict[str, t.Any], fates: t.Sequence[dict[str, t.Any]] = ()):
    vms = [{"name": f"vm {index}", **machine} for index, machine in enumerate(machines)]
    return scenario.load(
        {
            "clock": {"rate": 0},
            "assumptions": switches,
            "hosts": {HOST: {"vms": vms}},
            "fates": [dict(fate) for fate in fates],
        }
    )


def picture(world) -> dict[str, tuple[t.Any, ...]]:
    return {vm.id: (vm.mode, vm.state, vm.power, vm.discarded_writes) for vm in world.hosts[HOST].vms}


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(MACHINES, min_size=1, max_size=4), SWITCHES, ORDERS)
def test_without_faults_check_mode_is_the_truth(machines, switches, order):
    world = world_of(machines, switches)
    before = picture(world)
    foretold, sends = revert(world, HOST, check_mode=True, **order)
    assert not sends.calls
    assert sends.queries <= 6
    assert picture(world) == before
    done, _sends = revert(world, HOST, **order)
    would = {"would_change": "changed"}
    for told, became in zip(foretold["vms"], done["vms"], strict=True):
        if told["outcome"] != "would_wait" and became["error_class"] != "invalid_state":
            # What check mode cannot know: a host that refuses (here: to drop a saved state), and what comes after it.
            if became["outcome"] == "not_attempted" and order["on_error"] is OnError.STOP:
                continue
            assert would.get(told["outcome"], told["outcome"]) == became["outcome"], became["msg"]
    again, sends = revert(world, HOST, **order)
    methods = [method for method, _vm in sends.calls]
    if not done.get("failed"):
        assert not again["changed"]
        assert not methods


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(
    st.lists(MACHINES, min_size=1, max_size=4),
    SWITCHES,
    ORDERS,
    st.lists(FATES, max_size=2),
    st.lists(LOSSES, max_size=2),
)
def test_whatever_happens_the_end_is_honest(machines, switches, order, fates, losses):
    world = world_of(machines, switches, fates)
    before = picture(world)
    result, sends = revert(world, HOST, losses=losses, **order)
    after = picture(world)

    # Never twice.
    assert not {call: count for call, count in Counter(sends.calls).items() if count > 1}
    # Never silently destructive.
    for vm_id, (_mode, _state, power, discarded) in after.items():
        if not order["discard_guest_writes"] and before[vm_id][0] != 1:
            assert discarded == before[vm_id][3]
        if order["running_vm"] is not RunningVm.TURN_OFF and before[vm_id][2] != 10:
            assert power == before[vm_id][2]
    called = {vm_id for _method, vm_id in sends.calls}
    for vm in result["vms"]:
        mode, state, _power, _discarded = after[vm["id"]]
        untouched = after[vm["id"]] == before[vm["id"]]
        if vm["id"] not in called:
            assert not vm["changed"], vm["msg"]
        # Never a guess: what is called changed has changed, what is called untouched is as it was.
        if vm["outcome"] == "changed":
            assert state not in IN_A_FAILOVER, vm["msg"]
            assert mode == vm["mode_raw"]
        if vm["outcome"] in ("unchanged", "not_applicable", "not_attempted"):
            assert vm["id"] not in called, vm["msg"]
        if vm["certainty"] == "nothing_changed" and before[vm["id"]][2] != 10:
            assert untouched, (vm["msg"], before[vm["id"]], after[vm["id"]])
        if vm["return_value"] in (32771, 32772):
            assert vm["certainty"] != "nothing_changed", vm["msg"]
        # An honest end: a failure has a class, a sentence and something to do next.
        if vm["outcome"] == "failed":
            assert vm["error_class"]
            assert vm["hint"]
            assert vm["msg"]
        else:
            assert vm["error_class"] in (None, "job_timeout")
    assert bool(result.get("failed") or result.get("unreachable")) == any(
        vm["error_class"] is not None for vm in result["vms"]
    )


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(MACHINES, min_size=1, max_size=3), ORDERS, st.lists(FATES, max_size=1), st.lists(LOSSES, max_size=1))
def test_the_same_task_again_brings_it_to_an_end(machines, order, fates, losses):
    """After a bad night the same play run again is safe, and says of each VM what is true."""
    world = world_of(machines, {}, fates)
    revert(world, HOST, losses=losses, **order)
    world.fates.clear()
    world.advance(600)
    second, _sends = revert(world, HOST, **order)
    for vm in second["vms"]:
        _mode, state, _power, _discarded = picture(world)[vm["id"]]
        if vm["outcome"] in ("changed", "unchanged"):
            assert state not in IN_A_FAILOVER
    world.advance(600)
    third, sends = revert(world, HOST, **order)
    if not second.get("failed"):
        assert not third["changed"]
        assert not sends.calls
