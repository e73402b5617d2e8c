# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test copies: made once, connected and started where asked for, thrown away; and nights on which it goes wrong."""

from __future__ import annotations

import typing as t
from collections import Counter

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.test_failover import (
    MakeTestCopy,
    RemoveTestCopy,
)
from campaigns import FATES, SWITCHES
from direct import DirectSession, Loss, perform
from hypothesis import given, settings
from hypothesis import strategies as st
from replica_lab import scenario
from replica_lab.world import World

HOST = "HV"
NICS = [{"name": "Network Adapter", "switch": "LAN"}, {"name": "Second"}]
REPLICA = {"mode": "replica", "nics": NICS, "points": [{"type": "application_consistent", "age": 900}, {"age": 60}]}


def world_of(vms: t.Sequence[dict[str, t.Any]], fates: t.Sequence[t.Any] = (), **assumptions: t.Any) -> World:
    return scenario.load(
        {
            "clock": {"rate": 0},
            "assumptions": assumptions,
            "hosts": {HOST: {"switches": ["LAN", "Drill", "Other"], "vms": list(vms)}},
            "fates": [dict(fate) for fate in fates],
        }
    )


def copies(world: World) -> list[t.Any]:
    return [vm for vm in world.hosts[HOST].vms if vm.mode == 3]


def networks(world: World, vm: t.Any) -> list[str]:
    return [switch.name if (switch := world.hosts[HOST].switch(nic.switch)) else "" for nic in vm.nics]


def methods(sends: t.Any) -> list[str]:
    return [method for method, _about in sends.calls]


@pytest.mark.parametrize("outcome", ["no_effect_0", "no_effect_job"])
def test_a_copy_that_was_promised_and_is_not_there_is_not_made_a_second_time(outcome):
    world = world_of([{"name": "App", **REPLICA}], [{"method": "TestReplicaSystem", "outcome": outcome}])
    result, sends = perform(MakeTestCopy(switch="Drill", start_vm=True), world, HOST, ["App"])
    assert methods(sends) == ["TestReplicaSystem"]
    (vm,) = result["vms"]
    assert (vm["outcome"], vm["error_class"], vm["certainty"]) == ("failed", "method_failed", "unknown")


@pytest.mark.parametrize("slice_", [0.0, 20.0])
@pytest.mark.parametrize("answer", ["sync", "job"])
def test_a_copy_is_made_connected_and_started_once(answer, slice_):
    world = world_of([{"name": "App", **REPLICA}], RESOURCE_SETTINGS_ANSWER=answer)
    verb = MakeTestCopy(switch="drill", start_vm=True)
    foretold, sends = perform(verb, world, HOST, ["App"], check_mode=True)
    assert (foretold["vms"][0]["outcome"], sends.calls, copies(world)) == ("would_change", [], [])
    assert "on drill, running" in foretold["diff"][0]["after"]

    done, sends = perform(verb, world, HOST, ["App"], waiting_slice=slice_)
    (copy,) = copies(world)
    assert done["vms"][0]["outcome"] == "changed", done["msg"]
    assert done["vms"][0]["test_copy"] == {"id": copy.id, "name": copy.name, "power": "running", "power_raw": 2}
    assert methods(sends) == ["TestReplicaSystem", "ModifyResourceSettings", "RequestStateChange"]
    assert networks(world, copy) == ["Drill", "Drill"]
    assert copy.name in done["diff"][0]["after"]

    again, sends = perform(verb, world, HOST, ["App"])
    assert (again["vms"][0]["outcome"], sends.calls) == ("unchanged", [])


def test_a_copy_that_exists_is_connected_and_started_and_stays_the_only_one():
    world = world_of([{"name": "App", **REPLICA}])
    _made, sends = perform(MakeTestCopy(), world, HOST, ["App"])
    assert methods(sends) == ["TestReplicaSystem"]
    (copy,) = copies(world)
    assert networks(world, copy) == ["", ""]
    done, sends = perform(MakeTestCopy(switch="Drill"), world, HOST, ["App"])
    assert (done["vms"][0]["outcome"], methods(sends)) == ("changed", ["ModifyResourceSettings"]), done["msg"]
    done, sends = perform(MakeTestCopy(switch="Drill", start_vm=True), world, HOST, ["App"])
    assert (done["vms"][0]["outcome"], methods(sends)) == ("changed", ["RequestStateChange"]), done["msg"]
    done, sends = perform(MakeTestCopy(switch="Other"), world, HOST, ["App"])
    assert (done["vms"][0]["outcome"], methods(sends)) == ("changed", ["ModifyResourceSettings"]), done["msg"]
    assert copies(world) == [copy]
    assert networks(world, copy) == ["Other", "Other"]


@pytest.mark.parametrize(
    ("switch", "error"), [("LAN", "production_switch"), ("lan", "production_switch"), ("Nowhere", "not_found")]
)
@pytest.mark.parametrize("exists", [False, True])
def test_a_switch_that_is_refused_is_so_before_anything_is_made(switch, error, exists):
    world = world_of([{"name": "App", **REPLICA, "test_copy": exists}])
    result, sends = perform(MakeTestCopy(switch=switch), world, HOST, ["App"])
    assert (result["error_class"], result["certainty"], sends.calls) == (error, "nothing_changed", [])


def test_a_copy_that_the_host_connects_with_production_is_not_started():
    nics = [{"name": "Network Adapter", "switch": "LAN", "test_switch": "LAN"}]
    world = world_of([{"name": "App", **REPLICA, "nics": nics}])
    result, sends = perform(MakeTestCopy(start_vm=True), world, HOST, ["App"])
    assert (result["error_class"], result["certainty"]) == ("production_switch", "between_states"), result["msg"]
    assert methods(sends) == ["TestReplicaSystem"]
    assert copies(world)[0].power == 3
    result, sends = perform(MakeTestCopy(switch="Drill", start_vm=True), world, HOST, ["App"])
    assert networks(world, copies(world)[0]) == ["Drill"]
    assert result["vms"][0]["outcome"] == "changed"


def test_an_adapter_without_connection_settings_is_said():
    world = world_of([{"name": "App", **REPLICA}], DISCONNECTED_NETWORK="absent")
    result, sends = perform(MakeTestCopy(switch="Drill", start_vm=True), world, HOST, ["App"])
    assert (result["error_class"], result["certainty"]) == ("not_supported", "between_states"), result["msg"]
    assert methods(sends) == ["TestReplicaSystem"]


@pytest.mark.parametrize("power", ["off", "running", "paused", "saved"])
@pytest.mark.parametrize("job_type", [3, 103])
@pytest.mark.parametrize("by_itself", [False, True])
def test_a_copy_is_thrown_away_and_its_replica_stays(power, job_type, by_itself):
    world = world_of(
        [{"name": "App", **REPLICA, "test_copy": {"power": power}}, {"name": "On its own", "power": "running"}],
        REMOVE_TEST_JOB_TYPE=job_type,
    )
    (copy,) = copies(world)
    rest = [vm for vm in world.hosts[HOST].vms if vm is not copy]
    name = copy.id if by_itself else "App"
    told, sends = perform(RemoveTestCopy(), world, HOST, [name], check_mode=True)
    assert (told["vms"][0]["outcome"], sends.calls) == ("would_change", [])
    done, sends = perform(RemoveTestCopy(), world, HOST, [name])
    assert done["vms"][0]["outcome"] == "changed", done["msg"]
    assert methods(sends) == ["RequestStateChange"] * (power in ("running", "paused")) + ["DestroySystem"]
    assert {about for _method, about in sends.calls} == {copy.id}
    assert list(world.hosts[HOST].vms) == rest
    again, sends = perform(RemoveTestCopy(), world, HOST, [name])
    assert not sends.calls
    assert again.get("error_class") == ("vm_not_found" if by_itself else None)


def test_orphans_are_known_by_their_mode_and_removed_only_where_that_is_asked_for():
    others = [{"name": "App - Test"}, {"name": "No copy - Test"}]
    world = world_of([{"name": "App", **REPLICA, "test_copy": True}, *others])
    (copy,) = copies(world)
    copy.replica = None
    result, sends = perform(RemoveTestCopy(every_vm=True), world, HOST)
    assert (result["changed"], sends.calls) == (False, [])
    result, sends = perform(RemoveTestCopy(every_vm=True, orphans=True), world, HOST)
    assert [about for _method, about in sends.calls] == [copy.id]
    assert {vm.name for vm in world.hosts[HOST].vms} == {"App", "App - Test", "No copy - Test"}
    refused, sends = perform(RemoveTestCopy(), world, HOST, ["No copy - Test"])
    assert (refused["error_class"], sends.calls) == ("not_replicated", [])


@pytest.mark.parametrize(
    ("verb", "outcome"), [(MakeTestCopy(), "unchanged"), (RemoveTestCopy(), "changed")], ids=["make", "remove"]
)
def test_a_copy_that_somebody_makes_between_two_queries_is_read_once_more(verb, outcome):
    world = world_of([{"name": "App", **REPLICA}])
    world.happening({"when": {"after_reads": 1}, "host": HOST, "do": "test_failover", "vm": "App", "seconds": 0})
    result, sends = perform(verb, world, HOST, ["App"])
    assert result["vms"][0]["outcome"] == outcome, result["msg"]
    assert methods(sends) == ["DestroySystem"] * (outcome == "changed")


def taken_away(world: World, copy: t.Any, **moment: t.Any) -> None:
    world.happening({"when": moment, "host": HOST, "do": "destroy", "vm": copy.id, "seconds": 0})


def test_a_copy_that_somebody_else_takes_away_right_before_the_call_is_gone_and_nothing_was_done():
    world = world_of([{"name": name, **REPLICA, "test_copy": True} for name in ("App 1", "App 2")])
    _first, second = copies(world)
    taken_away(world, second, after_call={"method": "DestroySystem"})
    result, sends = perform(RemoveTestCopy(), world, HOST, ["App 1", "App 2"], max_parallel=1)
    assert [vm["outcome"] for vm in result["vms"]] == ["changed", "unchanged"], result["msg"]
    assert result["vms"][1]["test_copy"] is None
    assert methods(sends) == ["DestroySystem"]


def test_an_orphan_that_somebody_else_takes_away_right_before_the_call_is_gone_and_nothing_was_done():
    world = world_of([{"name": "Left", "mode": "test_replica"}])
    taken_away(world, copies(world)[0], after_reads=1)
    result, sends = perform(RemoveTestCopy(), world, HOST, ["Left"])
    assert (result["vms"][0]["outcome"], sends.calls) == ("unchanged", []), result["msg"]


@pytest.mark.parametrize("orphan", [False, True])
def test_a_copy_that_somebody_else_takes_away_after_our_power_off_is_gone_and_that_is_a_change(orphan):
    power = {"power": "running"}
    machine = {"mode": "test_replica", **power} if orphan else {**REPLICA, "test_copy": power}
    world = world_of([{"name": "App", **machine}])
    taken_away(world, copies(world)[0], after_job={"type": 13})
    result, sends = perform(RemoveTestCopy(), world, HOST, ["App"])
    (vm,) = result["vms"]
    assert (vm["outcome"], vm["changed"], vm["certainty"]) == ("changed", True, "changed"), vm["msg"]
    assert methods(sends) == ["RequestStateChange"]


def test_a_copy_that_is_listed_and_cannot_be_got_is_not_looked_for_for_ever(monkeypatch):
    monkeypatch.setattr(DirectSession, "_get", lambda self, reference: None)
    world = world_of([{"name": "App", **REPLICA, "test_copy": True}])
    result, sends = perform(RemoveTestCopy(), world, HOST, ["App"])
    assert (result["error_class"], result["certainty"]) == ("vm_not_found", "nothing_changed"), result["msg"]
    assert not sends.calls


def test_a_host_that_falls_silent_after_a_copy_was_taken_away_is_not_asked_for_ever(monkeypatch):
    def gone(session: DirectSession, reference: t.Any) -> None:
        session.silence = 1_000_000

    monkeypatch.setattr(DirectSession, "_get", gone)
    world = world_of([{"name": "App", **REPLICA, "test_copy": True}])
    before = world.clock.now()
    result, sends = perform(RemoveTestCopy(), world, HOST, ["App"], wait_timeout=30)
    assert (result["error_class"], result["certainty"], result["unreachable"]) == (
        "connection_lost",
        "nothing_changed",
        True,
    ), result["msg"]
    assert not sends.calls
    assert (world.clock.now() - before).total_seconds() < 60  # of the world: no more than the task allows


@pytest.mark.parametrize("verb", [MakeTestCopy(start_vm=True), RemoveTestCopy()], ids=["make", "remove"])
def test_who_is_at_work_on_a_copy_is_named(verb):
    world = world_of([{"name": "App", **REPLICA, "test_copy": True}])
    world.act(HOST, copies(world)[0].name, "start", seconds=3600)
    result, sends = perform(verb, world, HOST, ["App"])
    assert (result["error_class"], sends.calls) == ("busy", [])
    assert result["vms"][0]["job"]["type"] == "start_vm"
    assert "start_vm (12)" in result["vms"][0]["msg"]


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(
    "method", ["TestReplicaSystem", "ModifyResourceSettings", "RequestStateChange", "DestroySystem"]
)
def test_a_lost_answer_is_never_answered_by_a_second_call(method, after_effect):
    world = world_of([{"name": "App", **REPLICA}])
    if method == "DestroySystem":
        perform(MakeTestCopy(), world, HOST, ["App"])
        verb: t.Any = RemoveTestCopy()
    else:
        verb = MakeTestCopy(switch="Drill", start_vm=True)
    result, sends = perform(verb, world, HOST, ["App"], losses=[Loss(method, after_effect)])
    assert not [one for one, count in Counter(methods(sends)).items() if count > 1]
    vm = result["vms"][0]
    if after_effect:
        assert vm["outcome"] == "changed", vm["msg"]
    else:
        assert (vm["outcome"], vm["certainty"], vm["error_class"]) == ("failed", "unknown", "connection_lost")
    assert len(copies(world)) == (
        (0 if after_effect else 1) if method == "DestroySystem" else (method != "TestReplicaSystem" or after_effect)
    )


MACHINES = st.one_of(
    st.fixed_dictionaries(
        {
            "mode": st.just("replica"),
            "state": st.sampled_from([3, 3, 3, 7, 5, 6, 8, 10, 15]),
            "nics": st.just(NICS),
            "test_copy": st.one_of(
                st.booleans(),
                st.fixed_dictionaries({"power": st.sampled_from(["off", "running", "paused", "saved", "starting"])}),
            ),
        }
    ),
    st.fixed_dictionaries({"mode": st.sampled_from(["primary", "none"]), "power": st.just("running")}),
)
CALLS = st.sampled_from(["TestReplicaSystem", "ModifyResourceSettings", "RequestStateChange", "DestroySystem"])
NIGHT = st.builds(lambda fate, method: {**fate, "method": method}, FATES, CALLS)
LOSSES = st.builds(
    Loss, method=CALLS, after_effect=st.booleans(), nth=st.integers(1, 3), silence=st.sampled_from([0, 0, 2, 40])
)
VERBS = st.one_of(
    st.builds(
        MakeTestCopy,
        switch=st.sampled_from(["", "Drill", "LAN", "Nowhere"]),
        start_vm=st.booleans(),
        point=st.sampled_from(["latest", "latest_app_consistent", "7b2c0a61-0000-0000-0000-000000000001"]),
    ),
    st.builds(RemoveTestCopy, every_vm=st.just(True), orphans=st.booleans()),
)
ORDERS = st.fixed_dictionaries(
    {"max_parallel": st.sampled_from([0, 1, 10]), "waiting_slice": st.sampled_from([0.0, 20.0])}
)


def picture(world: World) -> dict[str, t.Any]:
    """The replicas, which nothing here may touch."""
    return {vm.id: (vm.mode, vm.state, vm.power, len(vm.points)) for vm in world.hosts[HOST].vms if vm.mode != 3}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(MACHINES, min_size=1, max_size=3),
    SWITCHES,
    VERBS,
    ORDERS,
    st.lists(NIGHT, max_size=2),
    st.lists(LOSSES, max_size=2),
)
def test_whatever_happens_the_end_is_honest_and_the_replicas_are_as_they_were(
    machines, switches, verb, order, fates, losses
):
    vms = [{"name": f"vm {number}", **machine} for number, machine in enumerate(machines)]
    world = world_of(vms, fates, **switches)
    before, old = picture(world), {vm.id: vm.power for vm in copies(world)}
    foretold, sends = perform(verb, world, HOST, check_mode=True)
    assert not sends.calls
    result, sends = perform(verb, world, HOST, losses=losses, **order)
    assert picture(world) == before
    named = [call for call in sends.calls if call[0] != "ModifyResourceSettings"]  # whose adapters, only its text says
    assert not {call: count for call, count in Counter(named).items() if count > 1}
    by_replica = Counter(vm.replica.id for vm in copies(world) if vm.replica)
    assert all(count == 1 for count in by_replica.values())
    for told, vm in zip(foretold["vms"], result["vms"], strict=True):
        if vm["outcome"] == "changed":
            assert (vm["id"] in by_replica) == isinstance(verb, MakeTestCopy), vm["msg"]
        if vm["outcome"] == "changed" and isinstance(verb, MakeTestCopy):
            (copy,) = (copy for copy in copies(world) if copy.replica and copy.replica.id == vm["id"])
            assert vm["test_copy"]["id"] == copy.id
            assert not verb.start_vm or copy.power in (2, 9), vm["msg"]
            assert not verb.switch or set(networks(world, copy)) == {verb.switch}
        if vm["outcome"] in ("unchanged", "not_applicable"):
            assert told["outcome"] in (vm["outcome"], "would_wait")
        if vm["certainty"] == "nothing_changed" and told["outcome"] != "would_wait" and vm["id"] in before:
            theirs = {copy.id: copy.power for copy in copies(world) if copy.replica and copy.replica.id == vm["id"]}
            assert set(theirs) <= set(old), vm["msg"]
        if vm["outcome"] == "failed":
            assert vm["error_class"]
            assert vm["hint"]
