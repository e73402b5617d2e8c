# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests one by one, as over WS-Management, and in lists with one answer, as over PowerShell: the same result."""

from __future__ import annotations

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimError, Kind
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.carry_out import Conductor, along
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import read_host
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.run import Order
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reverted import Revert
from direct import DirectSession, Loss, revert
from replica_lab import scenario

VM = {"name": "vm", "mode": "replica", "state": "failed_over", "points": [{"age": 300}]}
YES = {"discard_guest_writes": True}
SLICES = pytest.mark.parametrize("waiting_slice", [0.0, 20.0])


def world_of(*fates, **host):
    return scenario.load({"clock": {"rate": 0}, "hosts": {"HV": {"vms": [VM], **host}}, "fates": list(fates)})


def planned(session):
    """A revert that is about to be carried out."""
    order = Order(Revert(**YES))
    conductor = Conductor(session, order, session.clock)
    conductor.plan(read_host(session, beside=along(session, order)).virtual_machines)
    return conductor


@SLICES
@pytest.mark.parametrize("after_effect", [False, True])
def test_the_point_that_was_reverted_is_known_also_when_the_answer_to_the_call_is_lost(waiting_slice, after_effect):
    losses = [Loss("RevertFailover", after_effect)]
    result, _sends = revert(world_of(), "HV", losses=losses, waiting_slice=waiting_slice, **YES)
    (vm,) = result["vms"]
    assert vm["outcome"] == ("changed" if after_effect else "failed")
    assert vm["failed_over_point"]["id"].startswith("Microsoft:")


@SLICES
def test_a_run_that_is_only_checked_does_not_ask_for_the_point(waiting_slice):
    result, sends = revert(world_of(), "HV", waiting_slice=waiting_slice, check_mode=True, **YES)
    assert result["vms"][0]["failed_over_point"]["id"] == ""
    assert sends.queries == 6


class Forgetful(DirectSession):
    """Has no answer the first time it is asked for the points."""

    asked = 0

    def _query(self, wql):
        if "Msvm_LastAppliedSnapshot" in wql:
            self.asked += 1
            if self.asked == 1:
                raise CimError(Kind.UNAVAILABLE, "not now")
        return super()._query(wql)


def test_the_point_is_asked_for_with_the_calls_where_the_first_reading_did_not_tell_it():
    session = Forgetful(world_of(), "HV", waiting_slice=20.0)
    conductor = planned(session)
    conductor.run()
    (run,) = conductor.runs
    assert (session.asked, run.point[:10]) == (2, "Microsoft:")


@SLICES
@pytest.mark.parametrize("seconds", [0, 60])
def test_of_a_job_that_is_gone_only_its_id_is_told_whether_it_was_seen_before_or_not(waiting_slice, seconds):
    world = world_of({"outcome": "job_vanishes", "effect": True, "seconds": seconds})
    result, _sends = revert(world, "HV", waiting_slice=waiting_slice, **YES)
    (vm,) = result["vms"]
    assert vm["outcome"] == "changed"
    assert vm["job"]["id"]
    assert (vm["job"]["type"], vm["job"]["state"]) == ("unreadable", "unreadable")


@SLICES
def test_a_task_that_ends_while_its_calls_are_on_their_way_names_them(waiting_slice):
    session = DirectSession(world_of(), "HV", waiting_slice=waiting_slice)
    conductor = planned(session)
    assert conductor.in_flight() == []

    def interrupted(_steps, **_options):
        raise KeyboardInterrupt

    session.run = interrupted
    with pytest.raises(KeyboardInterrupt):
        conductor.run()
    assert [run.before.name for run in conductor.in_flight()] == ["vm"]
    assert not conductor.in_flight()[0].touched


@SLICES
def test_the_time_to_wait_begins_when_the_call_is_sent(waiting_slice):
    """And not when its answer is here, which comes with the first slice of waiting."""
    world = world_of({"outcome": "job_slow", "seconds": 25})
    result, _sends = revert(world, "HV", waiting_slice=waiting_slice, wait_timeout=15, poll_interval=5, **YES)
    assert result["error_class"] == "job_timeout"


@pytest.mark.parametrize("many", [20, 200])
def test_many_changes_cost_two_lists_and_one_for_each_slice_of_waiting(many):
    """And a slice ends with the jobs that end first, so that there are not more than there are calls."""
    host = {"vms": [{**VM, "name": f"vm {index}"} for index in range(many)]}
    world = scenario.load({"clock": {"rate": 0}, "hosts": {"HV": host}})
    result, sends = revert(world, "HV", waiting_slice=20.0, **YES)
    assert result["summary"]["changed"] == many
    assert sends.lists <= 2 + sends.waits
    assert sends.waits <= many / Order.max_parallel
