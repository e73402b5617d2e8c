# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad nights for the states of a replication: random hosts, faults and lost answers, and what must hold after each."""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import replace

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import RunningVm
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.absent import Remove
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.as_replica import AsReplica
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.continued import Continue
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.enabled import Enable
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.replicating import Resume
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.resynchronized import Resynchronize
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reversed import Reverse
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.settings import Stated
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.started import StartReplication
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.suspended import Suspend
from direct import Loss, perform
from hypothesis import given, settings
from hypothesis import strategies as st
from replica_lab import scenario

HOST, FAR = "HV", "FAR"

VERBS = (
    Resume(),
    Resume(relationship=1),
    Suspend(),
    Suspend(relationship=1),
    StartReplication(),
    StartReplication(relationship=1),
    Resynchronize(),
    Resynchronize(relationship=1),
    Reverse(),
    AsReplica(confirm=True, running_vm=RunningVm.TURN_OFF),
    AsReplica(),
    Continue(confirm=True),
    Remove(confirm=True),
    Remove(relationship=1, confirm=True),
    Remove(),
    Enable(settings=Stated(replica_server=FAR, interval=30, compression=False)),
    Enable(relationship=1, settings=Stated(replica_server=FAR, interval=30)),
)
PRIMARIES = st.fixed_dictionaries(
    {
        "mode": st.just("primary"),
        "state": st.sampled_from([1, 2, 3, 4, 7, 8, 9, 11, 16]),
        "power": st.sampled_from(["off", "running"]),
        "peer": st.sampled_from([FAR, "GONE"]),
    }
)
REPLICAS = st.fixed_dictionaries(
    {
        "mode": st.just("replica"),
        "state": st.sampled_from([2, 3, 5, 6, 7, 8, 11]),
        "failed_over_type": st.sampled_from([1, 3]),
        "peer": st.just("GONE"),
    },
    optional={"relationship_1": st.fixed_dictionaries({"state": st.sampled_from([1, 3, 4, 7, 8, 9])})},
).map(lambda vm: vm if vm["state"] == 5 else {**vm, "failed_over_type": 0})
OTHERS = st.sampled_from([{"mode": "none"}, {"mode": "extended_replica"}])
MACHINES = st.lists(st.one_of(PRIMARIES, REPLICAS, OTHERS), min_size=1, max_size=4)

METHODS = (
    "RequestReplicationStateChangeEx",
    "StartReplication",
    "Resynchronize",
    "ReverseReplicationRelationship",
    "ChangeReplicationModeToPrimary",
    "RemoveReplicationRelationshipEx",
    "CreateReplicationRelationship",
    "ModifyReplicationSettings",
    "RequestStateChange",
)
OUTCOMES: list[dict[str, t.Any]] = [
    *({"outcome": "return", "code": code} for code in (32768, 32770, 32771, 32772, 32774, 32775, 40000)),
    {"outcome": "no_effect_0"},
    {"outcome": "no_effect_job"},
    {"outcome": "sync"},
    {"outcome": "job_fails", "error_code": 32768},
    {"outcome": "job_cancelled"},
    {"outcome": "job_warning"},
    {"outcome": "job_hangs"},
    {"outcome": "job_vanishes", "effect": True},
    {"outcome": "job_vanishes", "effect": False},
    {"outcome": "job_hidden"},
    {"outcome": "job_slow", "seconds": 45},
    {"outcome": "lost_job_ref"},
]
FATES = st.builds(
    lambda method, outcome: {"method": method, "times": 1, **outcome},
    st.sampled_from(METHODS),
    st.sampled_from(OUTCOMES),
)
LOSSES = st.builds(
    Loss,
    method=st.sampled_from(METHODS),
    after_effect=st.booleans(),
    nth=st.integers(1, 2),
    silence=st.sampled_from([0, 0, 2, 40]),
)
SLICES = st.sampled_from([0.0, 20.0])


def world_of(machines, fates=()):
    vms = [{"name": f"vm {index}", **machine} for index, machine in enumerate(machines)]
    return scenario.load(
        {
            "clock": {"rate": 0},
            "assumptions": {"RESYNC_NEEDED_AFTER": 0},
            "hosts": {HOST: {"vms": vms}, FAR: {}},
            "fates": [dict(fate) for fate in fates],
        }
    )


def picture(world) -> dict[str, t.Any]:
    return {
        vm.id: (
            vm.mode,
            vm.power,
            vm.discarded_writes,
            tuple(
                (link.index, link.state, tuple(sorted(map(str, link.settings.items())))) for link in vm.relationships
            ),
        )
        for vm in world.hosts[HOST].vms
    }


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(VERBS), MACHINES, SLICES)
def test_without_faults_check_mode_is_the_truth_and_a_second_run_has_nothing_to_do(verb, machines, waiting_slice):
    world = world_of(machines)
    before = picture(world)
    foretold, sends = perform(verb, world, HOST, check_mode=True, **all_of(world))
    assert not sends.calls
    assert picture(world) == before
    done, _sends = perform(verb, world, HOST, waiting_slice=waiting_slice, **all_of(world))
    for told, became in zip(foretold["vms"], done["vms"], strict=True):
        expected = {"would_change": "changed"}.get(told["outcome"], told["outcome"])
        # What check mode cannot know: that the other host is not there, or does not take part.
        if became["error_class"] not in ("job_failed", "invalid_state"):
            assert expected == became["outcome"], became["msg"]
    again, sends = perform(verb, world, HOST, **all_of(world))
    repeated = {vm["id"] for vm in done["vms"] if vm["outcome"] in ("changed", "unchanged")}
    assert not [call for call in sends.calls if call[1] in repeated]
    assert not any(vm["changed"] for vm in again["vms"] if vm["id"] in repeated)


def all_of(world) -> dict[str, t.Any]:
    return {"names": [vm.id for vm in world.hosts[HOST].vms]}


@settings(max_examples=800, deadline=None, derandomize=True)
@given(st.sampled_from(VERBS), MACHINES, SLICES, st.lists(FATES, max_size=2), st.lists(LOSSES, max_size=2))
def test_whatever_happens_the_end_is_honest(verb, machines, waiting_slice, fates, losses):
    world = world_of(machines, fates)
    before = picture(world)
    result, sends = perform(
        verb, world, HOST, losses=losses, waiting_slice=waiting_slice, wait_timeout=120, **all_of(world)
    )
    after = picture(world)
    # Never twice.
    assert not {call: count for call, count in Counter(sends.calls).items() if count > 1}
    called = {vm_id for _method, vm_id in sends.calls}
    for vm in result["vms"]:
        if vm["id"] not in called:
            assert not vm["changed"], vm["msg"]
        if vm["outcome"] == "unchanged":
            assert vm["id"] not in called, vm["msg"]
        # What is called changed has changed, what is called untouched is as it was.
        if vm["outcome"] == "changed":
            assert after[vm["id"]] != before[vm["id"]] or isinstance(verb, StartReplication), vm["msg"]
        if vm["certainty"] == "nothing_changed":
            assert after[vm["id"]] == before[vm["id"]], (vm["msg"], before[vm["id"]], after[vm["id"]])
        if vm["outcome"] == "failed":
            assert vm["error_class"]
            assert vm["hint"]
            assert vm["msg"]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(VERBS), MACHINES, st.lists(FATES, max_size=1), st.lists(LOSSES, max_size=1))
def test_the_same_task_again_brings_it_to_an_end(verb, machines, fates, losses):
    world = world_of(machines, fates)
    perform(verb, world, HOST, losses=losses, wait_timeout=120, **all_of(world))
    world.fates.clear()
    world.advance(3600)
    second, _sends = perform(verb, world, HOST, **all_of(world))
    world.advance(3600)
    third, sends = perform(verb, world, HOST, **all_of(world))
    there = {vm["id"] for vm in second["vms"] if vm["outcome"] in ("changed", "unchanged")}
    assert not [call for call in sends.calls if call[1] in there]
    assert not any(vm["changed"] for vm in third["vms"] if vm["id"] in there)


def test_a_resynchronization_under_way_is_waited_for_and_can_be_suspended():
    machine = {"mode": "primary", "state": "waiting_to_start_resynchronization"}
    fates = [{"method": "Resynchronize", "outcome": "job_slow", "seconds": 3600}]
    world = world_of([machine], fates)
    begun, _sends = perform(Resynchronize(), world, HOST, wait=False, **all_of(world))
    assert begun["vms"][0]["outcome"] == "in_progress"
    again, sends = perform(Resynchronize(), world, HOST, check_mode=True, **all_of(world))
    assert (again["vms"][0]["outcome"], sends.calls) == ("would_wait", [])
    suspended, _sends = perform(Suspend(), world, HOST, **all_of(world))
    assert suspended["vms"][0]["outcome"] == "changed"


@pytest.mark.parametrize("verb", [Remove(), AsReplica(), replace(VERBS[-1], settings=Stated())])
def test_what_is_refused_is_refused_without_a_call(verb):
    world = world_of([{"mode": "primary", "state": "critical"}, {"mode": "replica"}])
    result, sends = perform(verb, world, HOST, **all_of(world))
    assert result["failed"]
    assert sends.calls == []
