# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host as a replica server, the connection test and the statistics, on the lab's world."""

from __future__ import annotations

from collections import Counter

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import read_host
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.server import (
    Entry,
    Route,
    Wanted,
    check_connection,
    set_up,
    time_of_day,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.statistics import read_statistics
from campaigns import FATES
from direct import DirectSession, Loss
from hypothesis import given, settings
from hypothesis import strategies as st
from replica_lab import scenario

HOST = "HV"
METHODS = ("ModifyServiceSettings", "AddAuthorizationEntry", "ModifyAuthorizationEntry", "RemoveAuthorizationEntry")


def world_of(fates=(), switches=None, **host):
    return scenario.load(
        {
            "clock": {"rate": 0},
            "assumptions": switches or {},
            "hosts": {HOST: {"vms": [], **host}, "OTHER": {"replica_server": {"enabled": True}, "vms": []}},
            "fates": [dict(fate) for fate in fates],
        }
    )


def perform(wanted, world, losses=(), check_mode=False, waiting_slice=0.0):
    session = DirectSession(world, HOST, losses, waiting_slice)
    result = set_up(session, session.clock, wanted, check_mode=check_mode, diff=True, timeout=60, poll=2)
    return result, session.sends


def truth(world):
    host = world.hosts[HOST]
    return dict(vars(host.server)), sorted((e.primary, e.storage, e.trust_group) for e in host.authorizations)


ENTRIES = (
    Entry("hv-a.example.net", "D:\\Replica", "shop"),
    Entry("*", present=False),
)
WANTED = Wanted({"RecoveryServerEnabled": True, "HttpPort": 8080, "MonitoringStartTime": time_of_day(3, 30)}, ENTRIES)


def test_a_replica_server_is_set_up_once():
    world = world_of(replica_server={"enabled": False})
    before = truth(world)
    foretold, sends = perform(WANTED, world, check_mode=True)
    assert (foretold["changed"], sends.calls, truth(world)) == (True, [], before)
    result, sends = perform(WANTED, world)
    assert "error_class" not in result, result["msg"]
    assert [method for method, _vm in sends.calls] == [METHODS[0], METHODS[1], METHODS[3]]
    server, entries = truth(world)
    assert (server["enabled"], server["http_port"], server["https_port"]) == (True, 8080, 443)
    assert entries == [("hv-a.example.net", "D:\\Replica", "shop")]
    assert result["diff"]["after"] == foretold["diff"]["after"]
    again, sends = perform(WANTED, world)
    assert (again["changed"], sends.calls) == (False, [])


@pytest.mark.parametrize("waiting_slice", [0.0, 20.0], ids=["wsman", "powershell"])
@pytest.mark.parametrize("after_effect", [False, True])
def test_a_lost_answer_is_looked_for_and_never_taken_for_a_guard_that_did_not_hold(after_effect, waiting_slice):
    world = world_of(replica_server={"enabled": False})
    lost = [Loss("ModifyServiceSettings", after_effect)]
    result, sends = perform(Wanted({"HttpPort": 8080}, ()), world, lost, waiting_slice=waiting_slice)
    assert [method for method, _vm in sends.calls] == ["ModifyServiceSettings"]
    assert result["changed"]
    if after_effect:
        assert "error_class" not in result, result["msg"]
    else:
        assert (result["error_class"], result["certainty"]) == ("connection_lost", "unknown"), result["msg"]


@pytest.mark.parametrize(
    ("entry", "method"),
    [
        (Entry("HV-A.Example.NET"), None),
        (Entry("hv-a.example.net", "d:\\replica\\"), None),
        (Entry("HV-A.example.net", trust_group="other"), "ModifyAuthorizationEntry"),
        (Entry("HV-A.example.net", present=False), "RemoveAuthorizationEntry"),
        (Entry("hv-b.example.net", present=False), None),
    ],
)
def test_names_of_hosts_and_folders_know_no_case(entry, method):
    there = {"primary": "hv-a.example.net", "storage": "D:\\Replica", "trust_group": "shop"}
    world = world_of(authorizations=[there])
    result, sends = perform(Wanted({}, (entry,)), world)
    assert [sent for sent, _vm in sends.calls] == ([method] if method else []), result["msg"]
    if method == "ModifyAuthorizationEntry":
        assert truth(world)[1] == [("hv-a.example.net", "D:\\Replica", "other")]


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (Wanted({}, (Entry("new", "D:\\R"),)), ErrorClass.INVALID_ARGUMENT),
        (Wanted({"RecoveryServerEnabled": True, "AllowedAuthenticationType": 3}), ErrorClass.SETTINGS_CONFLICT),
    ],
)
def test_what_cannot_be_carried_out_is_said_before_anything_is_sent(wanted, error):
    with pytest.raises(ReplicaError) as caught:
        perform(wanted, world_of(), check_mode=True)
    assert caught.value.error_class is error


def test_a_cluster_node_names_the_broker():
    result, _sends = perform(WANTED, world_of(cluster=True))
    assert (result["error_class"], result["certainty"]) == ("not_supported", "nothing_changed")
    assert not result["changed"]
    assert "Replica Broker" in result["hint"]


@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    st.lists(st.builds(lambda fate, method: {**fate, "method": method}, FATES, st.sampled_from(METHODS)), max_size=2),
    st.lists(
        st.builds(
            Loss,
            method=st.sampled_from(METHODS),
            after_effect=st.booleans(),
            silence=st.sampled_from([0, 2, 40]),
        ),
        max_size=2,
    ),
    st.sampled_from([0.0, 20.0]),
)
def test_whatever_happens_the_end_is_honest(fates, losses, waiting_slice):
    world = world_of(fates)
    before = truth(world)
    result, sends = perform(WANTED, world, losses, waiting_slice=waiting_slice)
    same = truth(world) == before
    assert not [call for call, count in Counter(sends.calls).items() if count > 1]
    if "error_class" not in result:
        server, entries = truth(world)
        assert (server["http_port"], [entry[0] for entry in entries]) == (8080, ["hv-a.example.net"])
        assert result["changed"]
    elif result["certainty"] == "nothing_changed":
        assert same, result["msg"]
    else:
        assert result["hint"]
    if not result["changed"]:
        assert same
    world.fates.clear()
    world.advance(600)
    if any(job.running for job in world.hosts[HOST].jobs):  # one that hangs
        with pytest.raises(ReplicaError, match="right now"):
            perform(WANTED, world)
        return
    perform(WANTED, world)
    again, sends = perform(WANTED, world)
    assert (again["changed"], sends.calls) == (False, [])


@pytest.mark.parametrize(
    ("route", "fate", "error"),
    [
        (Route("OTHER", 80, 1), None, None),
        (Route("OTHER", 81, 1), None, ErrorClass.JOB_FAILED),
        (Route("NOBODY", 80, 1), None, ErrorClass.JOB_FAILED),
        (Route("OTHER", 80, 1), {"outcome": "return", "code": 32769}, ErrorClass.ACCESS_DENIED),
        (Route("OTHER", 80, 1), {"outcome": "return", "code": 32771}, ErrorClass.STATUS_UNKNOWN),
        (Route("OTHER", 80, 1), {"outcome": "job_hangs"}, ErrorClass.JOB_TIMEOUT),
        (Route("OTHER", 80, 1), {"outcome": "job_vanishes", "effect": True}, ErrorClass.JOB_LOST),
    ],
)
def test_a_connection_is_tried_and_nothing_changes(route, fate, error):
    world = world_of([{**fate, "method": "TestReplicationConnection"}] if fate else [])
    session = DirectSession(world, HOST)
    called = check_connection(session, session.clock, route, timeout=60, poll=2)
    assert (called.error, called.changed, called.certainty.value) == (error, False, "nothing_changed"), called.cause


MACHINES = [
    {"name": "good", "mode": "replica"},
    {"name": "broken", "mode": "primary", "state": "critical", "health": "critical"},
    {"name": "chain", "mode": "replica", "relationship_1": {"state": "replicating"}},
    {"name": "plain"},
]


@pytest.mark.parametrize("answer", ["sync", "job_with_results", "job"])
def test_statistics_come_with_the_answer_or_are_said_to_be_missing(answer):
    world = scenario.load(
        {"clock": {"rate": 0}, "assumptions": {"STATISTICS_ANSWER": answer}, "hosts": {HOST: {"vms": MACHINES}}}
    )
    session = DirectSession(world, HOST)
    host = read_host(session)
    found = read_statistics(session, host.virtual_machines, session.clock)
    by_name = {vm.name: found[vm.id] for vm in host.virtual_machines}
    assert [len(by_name[name]) for name in ("good", "broken", "chain", "plain")] == [1, 1, 2, 0]
    assert not [job for job in world.hosts[HOST].jobs if job.running]
    for counted in found.values():
        for each in counted:
            assert (each.error is ErrorClass.STATUS_UNKNOWN) is (answer == "job")
            assert (each.numbers is None) is (answer == "job")
    if answer != "job":
        (issue,) = by_name["broken"][0].issues
        assert (issue.kind, issue.severity) == ("replication_stopped", 6)
        assert by_name["good"][0].issues == ()
        assert by_name["good"][0].numbers["pending_size"] == 0
