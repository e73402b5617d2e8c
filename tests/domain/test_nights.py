# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nights that need an exact order of events."""

from __future__ import annotations

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import RunningVm
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.failed_over import FailOver, FailoverKind
from direct import DirectSession, Loss, perform, revert
from replica_lab import scenario

FAILED_OVER = {"mode": "replica", "state": "failed_over", "points": [{"age": 300}], "guest_writes": 10}
YES = {"discard_guest_writes": True}


def world_of(*jobs, **vms):
    host = {"vms": [{"name": name, **spec} for name, spec in vms.items()], "jobs": list(jobs)}
    return scenario.load({"clock": {"rate": 0}, "hosts": {"HV": host}})


def state_of(world, name):
    return next(vm.state for vm in world.hosts["HV"].vms if vm.name == name)


def test_an_older_revert_is_not_taken_for_the_one_that_was_lost():
    """Our first revert worked, somebody failed over anew, and our second revert never reached the host.

    The job of the first is still remembered by the host. It proves nothing about the second.
    """
    world = world_of(vm=FAILED_OVER)
    first, _sends = revert(world, "HV", **YES)
    assert first["vms"][0]["outcome"] == "changed"
    world.act("HV", "vm", "initiate_failover")
    world.advance(60)
    assert state_of(world, "vm") == 5
    second, sends = revert(world, "HV", losses=[Loss("RevertFailover", after_effect=False)], **YES)
    assert [method for method, _vm in sends.calls] == ["RevertFailover"]
    (vm,) = second["vms"]
    assert (vm["outcome"], vm["certainty"], vm["error_class"]) == ("failed", "unknown", "connection_lost")
    assert state_of(world, "vm") == 5


def test_a_lost_answer_whose_job_is_there_is_followed():
    world = world_of(vm=FAILED_OVER)
    result, sends = revert(world, "HV", losses=[Loss("RevertFailover", after_effect=True)], **YES)
    (vm,) = result["vms"]
    assert (vm["outcome"], vm["changed"], vm["job"]["type_raw"]) == ("changed", True, 98)
    assert [method for method, _vm in sends.calls] == ["RevertFailover"]


def test_somebody_fails_the_vm_over_again_while_our_answer_is_lost():
    """5 -> 3 -> 5: the state is that of before, and still our call had its effect."""
    world = world_of(vm=FAILED_OVER)
    world.happening({"when": {"after_job": {"type": 98}}, "host": "HV", "do": "initiate_failover", "vm": "vm"})
    loss = Loss("RevertFailover", after_effect=True, silence=12)
    result, sends = revert(world, "HV", losses=[loss], **YES)
    assert world.happened
    (vm,) = result["vms"]
    assert vm["state_raw"] == 5
    assert (vm["outcome"], vm["changed"]) == ("failed", True)
    assert vm["certainty"] in ("changed", "unknown")
    assert [method for method, _vm in sends.calls] == ["RevertFailover"]


def test_a_lost_power_off_is_not_followed_by_a_guess():
    """The power-off never reached the host: the VM runs on, and the revert is not sent."""
    world = world_of(vm={**FAILED_OVER, "power": "running"})
    result, sends = revert(
        world,
        "HV",
        losses=[Loss("RequestStateChange", after_effect=False)],
        running_vm=RunningVm.TURN_OFF,
        **YES,
    )
    assert [method for method, _vm in sends.calls] == ["RequestStateChange"]
    (vm,) = result["vms"]
    assert (vm["outcome"], vm["certainty"], vm["powered_off"]) == ("failed", "unknown", False)


def test_a_vm_that_somebody_restarts_after_our_power_off_is_left_alone():
    world = world_of(vm={**FAILED_OVER, "power": "running"})
    world.happening(
        {"when": {"after_job": {"type": 13}}, "host": "HV", "do": "state_change", "vm": "vm", "power": "running"}
    )
    result, sends = revert(world, "HV", running_vm=RunningVm.TURN_OFF, **YES)
    assert [method for method, _vm in sends.calls] == ["RequestStateChange"]
    (vm,) = result["vms"]
    assert (vm["outcome"], vm["error_class"], vm["certainty"]) == ("failed", "vm_running", "between_states")


def test_max_parallel_bounds_the_jobs_on_the_host():
    world = world_of(**{f"vm {number}": FAILED_OVER for number in range(12)})
    most = 0
    host = world.hosts["HV"]
    original = host.start

    def start(*args):
        nonlocal most
        job = original(*args)
        most = max(most, sum(1 for one in host.jobs if one.running))
        return job

    host.start = start
    result, _sends = revert(world, "HV", max_parallel=3, **YES)
    assert result["summary"]["changed"] == 12
    assert most == 3


def test_jobs_that_do_not_end_keep_their_places():
    """With every place taken by jobs that hang, the others are not started: trouble does not spread."""
    world = world_of(**{f"vm {number}": FAILED_OVER for number in range(5)})
    world.fate({"method": "RevertFailover", "outcome": "job_hangs"})
    result, sends = revert(world, "HV", max_parallel=2, wait_timeout=30, **YES)
    assert len(sends.calls) == 2
    assert result["summary"]["in_progress"] == 2
    assert result["summary"]["not_attempted"] == 3
    assert (result["error_class"], result["certainty"]) == ("job_timeout", "between_states")


@pytest.mark.parametrize("count", [1, 30, 200])
def test_a_revert_costs_one_call_and_one_guard_a_vm_and_one_query_a_tick(count):
    world = world_of(**{f"vm {number}": FAILED_OVER for number in range(count)})
    _result, sends = revert(world, "HV", max_parallel=0, **YES)
    assert len(sends.calls) == sends.gets == count
    # 6 to read, the service, the failover points, 2 to verify; jobs of 4 s at a tick every 2 s.
    assert sends.queries == 6 + 2 + 2 + 2


@pytest.mark.parametrize(("count", "wait", "running"), [(1, True, 0), (12, True, 0), (5, True, 2), (5, False, 0)])
def test_where_lists_are_dear_a_change_costs_two_and_one_for_each_slice_of_waiting(count, wait, running):
    machines = {f"vm {number}": dict(FAILED_OVER) for number in range(count)}
    for number in range(running):
        machines[f"vm {number}"]["power"] = "running"
    world = world_of(**machines)
    order = {"running_vm": RunningVm.TURN_OFF, "waiting_slice": 20.0, "wait": wait, **YES}
    result, sends = revert(world, "HV", **order)
    assert result["summary"]["changed" if wait else "in_progress"] == count
    assert sends.lists == 1 + (sends.waits or 1), sends
    again, sends = revert(world, "HV", **order)
    assert (again["changed"], sends.lists) == (False, 1)


def test_nothing_to_do_costs_the_reading_only():
    world = world_of(one={"mode": "replica", "state": 3}, two={"mode": "primary", "state": 3})
    result, sends = revert(world, "HV", **YES)
    assert (result["changed"], sends.calls, sends.queries, sends.gets) == (False, [], 6, 0)


def test_a_power_off_that_does_not_end_is_not_called_a_revert():
    world = world_of(vm={**FAILED_OVER, "power": "running"})
    world.fate({"method": "RequestStateChange", "outcome": "job_hangs"})
    result, sends = revert(world, "HV", running_vm=RunningVm.TURN_OFF, wait_timeout=30, **YES)
    assert [method for method, _vm in sends.calls] == ["RequestStateChange"]
    (vm,) = result["vms"]
    assert (vm["outcome"], vm["error_class"], vm["certainty"]) == ("in_progress", "job_timeout", "between_states")
    assert "turns the VM off" in vm["msg"]
    assert "revert has not failed" not in vm["hint"]


def test_a_vm_that_does_not_come_to_rest_is_given_up_after_a_minute():
    """Somebody starts it, and the host does not get done: no call, and nothing changed by us."""
    world = world_of({"do": "start", "vm": "vm", "seconds": 300}, vm=FAILED_OVER, other=FAILED_OVER)
    began = world.clock.now()
    result, sends = revert(world, "HV", running_vm=RunningVm.TURN_OFF, wait_timeout=600, **YES)
    vm, other = sorted(result["vms"], key=lambda one: one["name"], reverse=True)
    assert sends.calls == [("RevertFailover", other["id"])]
    assert (vm["outcome"], vm["error_class"], vm["certainty"]) == ("failed", "vm_busy", "nothing_changed")
    assert "After 60 s" in vm["msg"]
    assert other["outcome"] == "changed"
    assert 60 <= (world.clock.now() - began).total_seconds() < 120


def test_a_host_without_the_replication_service_is_not_a_vm_that_is_missing(monkeypatch):
    """The service goes between the reading and the call: the VM is there all the time."""
    query = DirectSession._query
    without = "Msvm_ReplicationService"
    monkeypatch.setattr(DirectSession, "_query", lambda self, wql: () if wql.endswith(without) else query(self, wql))
    result, sends = revert(world_of(vm=FAILED_OVER), "HV", **YES)
    (vm,) = result["vms"]
    assert not sends.calls
    assert (vm["outcome"], vm["error_class"], vm["certainty"]) == ("failed", "service_unavailable", "nothing_changed")


def test_a_start_without_effect_is_not_called_started():
    """The failover is done and stays so; that the VM shall run as well is another thing, and it does not."""
    world = world_of(vm={"mode": "replica", "state": 3})
    world.fate({"method": "RequestStateChange", "outcome": "no_effect_0"})
    verb = FailOver(kind=FailoverKind.UNPLANNED, primary_is_down=True, start_vm=True)
    result, _sends = perform(verb, world, "HV")
    (vm,) = result["vms"]
    assert (vm["outcome"], vm["certainty"], vm["error_class"]) == ("failed", "changed", "method_failed")
    assert "does not run" in vm["msg"]
    assert state_of(world, "vm") == 5
    again, _sends = perform(verb, world, "HV")  # nothing but the start is left, and who knows what that did
    assert (again["vms"][0]["outcome"], again["vms"][0]["certainty"]) == ("failed", "unknown")
    world.fates.clear()
    again, _sends = perform(verb, world, "HV")
    assert (again["vms"][0]["outcome"], again["vms"][0]["power"]) == ("changed", "running")


def test_a_start_that_is_under_way_is_waited_for_and_not_sent_again():
    """As of a run before that was ended: the VM is failed over, and it does not run yet."""
    world = world_of({"do": "start", "vm": "vm", "seconds": 30}, vm=FAILED_OVER)
    verb = FailOver(kind=FailoverKind.UNPLANNED, primary_is_down=True, start_vm=True)
    result, sends = perform(verb, world, "HV", ["vm"])
    (vm,) = result["vms"]
    assert (vm["outcome"], vm["power"], vm["certainty"]) == ("unchanged", "running", "nothing_changed")
    assert not sends.calls


def test_a_resumption_that_hangs_is_what_has_not_failed_and_the_failover_was_not_sent():
    world = scenario.load(
        {
            "clock": {"rate": 0},
            "hosts": {"HV": {"vms": [{"name": "vm", "mode": "replica", "state": "suspended"}]}},
            "fates": [{"method": "RequestReplicationStateChangeEx", "outcome": "job_hangs"}],
        }
    )
    verb = FailOver(kind=FailoverKind.UNPLANNED, primary_is_down=True, resume=True)
    result, sends = perform(verb, world, "HV", ["vm"], wait_timeout=30)
    assert [method for method, _vm in sends.calls] == ["RequestReplicationStateChangeEx"]
    (vm,) = result["vms"]
    assert (vm["error_class"], vm["certainty"]) == ("job_timeout", "between_states")
    assert vm["hint"].startswith("The resumption of the replication has not failed")
