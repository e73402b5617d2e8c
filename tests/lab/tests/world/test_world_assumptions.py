# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every assumption, switched to everything it can be, and what a client sees of that."""

from __future__ import annotations

import typing as t
from datetime import timedelta

import pytest
from replica_lab.assumptions import ASSUMPTIONS, AssumptionError, Assumptions
from replica_lab.provider import Ref, Unavailable
from replica_lab.world import World
from world_kit import JOB, MANAGEMENT, PRIMARY, REPLICA, SERVICE, SYSTEM, Client, world_of
from world_rows import ROWS

SETTLED = 60
"""Seconds after which every job has ended, and none is forgotten yet."""

USERS = {
    "operator": {"password": "x"},
    "other": {"password": "x"},
    "filtered": {"password": "x", "rights": "hidden"},
}


class Pair:
    """A VM on both hosts, with one assumption switched."""

    def __init__(self, name: str, choice: t.Any, replica: dict[str, t.Any], primary: dict[str, t.Any] | None) -> None:
        mode = {"mode": "replica"} if "mode" not in replica else {}
        self.world: World = world_of(
            [{"name": "vm", **mode, **replica}],
            [{"name": "vm", "mode": "primary", **primary}] if primary is not None else [],
            assumptions={name: choice},
            users=USERS,
        )
        self.replica, self.primary = Client(self.world), Client(self.world, PRIMARY)

    def wait(self, seconds: float = SETTLED) -> None:
        self.world.advance(seconds)

    def states(self) -> tuple[int, int]:
        return self.replica.vm()["ReplicationState"], self.primary.vm()["ReplicationState"]

    def after(self, call: t.Callable[[], t.Any], name: str = "ReplicationState") -> t.Any:
        call()
        self.wait()
        return self.replica.vm()[name]

    def during(self, call: t.Callable[[], t.Any], name: str = "ReplicationState") -> t.Any:
        call()
        return self.replica.vm()[name]

    def test(self) -> tuple[int, Ref | None]:
        return self.replica.service("TestReplicaSystem", SnapshotSettingData=None)

    def destroy(self, name: str) -> tuple[int, Ref | None]:
        return self.replica.invoke(Ref.of(MANAGEMENT), "DestroySystem", AffectedSystem=self.replica.ref(name))

    def commit(self) -> tuple[int, Ref | None]:
        return self.replica.service("CommitFailover")

    def names(self) -> list[t.Any]:
        return [each.properties["ElementName"] for each in self.replica.all(SYSTEM)[1:]]

    def restart(self) -> None:
        self.world.act(REPLICA, None, "restart_vmms")


Experiment = t.Callable[[Pair], t.Any]
OVER = {"state": 5}
RUNNING = {"state": 5, "power": "running"}


def power_and_revert(pair: Pair) -> tuple[int, int, int]:
    code = pair.replica.revert()[0]
    power = pair.replica.vm()["EnabledState"]
    pair.wait()
    return code, power, pair.replica.vm()["ReplicationState"]


def planned_points(pair: Pair) -> int:
    pair.primary.revert()
    pair.wait()
    return len(pair.replica.truth().points)


def resume(pair: Pair) -> tuple[int, int]:
    pair.primary.request(3)
    pair.wait()
    return pair.states()


def moved_times(pair: Pair) -> tuple[bool, bool]:
    times = [pair.replica.vm()["TimeOfLastConfigurationChange"]]
    for call in (pair.replica.revert, pair.replica.failover):
        call()
        pair.wait()
        times.append(pair.replica.vm()["TimeOfLastConfigurationChange"])
    return times[0] < times[1], times[1] < times[2]


def log_given_up(pair: Pair) -> list[int]:
    pair.replica.failover()
    pair.wait(5)
    states = [pair.primary.vm()["ReplicationState"]]
    for seconds in (99, 1, 10000):
        pair.wait(seconds)
        states.append(pair.primary.vm()["ReplicationState"])
    return states


def merging(pair: Pair) -> list[bool]:
    pair.commit()
    pair.wait(6)
    seen = []
    for seconds in (0, 99, 1):
        pair.wait(seconds)
        seen.append(32772 in pair.replica.vm()["OperationalStatus"])
    return seen


def remove_while_merging(pair: Pair) -> int:
    pair.commit()
    pair.wait(6)
    pair.replica.truth().merging_until = pair.world.time + timedelta(seconds=100)
    return pair.replica.service("RemoveReplicationRelationship")[0]


def resulting_system(pair: Pair) -> bool:
    pair.test()
    return pair.world.calls[0]["out"]["ResultingSystem"] is not None


def remove_type(pair: Pair) -> t.Any:
    pair.test()
    pair.wait()
    return pair.replica.job(pair.destroy("vm - Test")[1])["JobType"]


def cancel(pair: Pair) -> tuple[t.Any, int, int]:
    _code, job = pair.replica.revert()
    assert job is not None
    cancellable = pair.replica.job(job)["Cancellable"]
    answer = pair.replica.invoke(job, "RequestStateChange", RequestedState=4, TimeoutPeriod=None)[0]
    return cancellable, answer, pair.replica.job(job)["JobState"]


def cancelled_by_others(pair: Pair) -> t.Any:
    _code, job = pair.replica.revert()
    pair.world.act(REPLICA, "vm", "cancel_job")
    return pair.replica.job(job)["JobState"]


def foreign_jobs(pair: Pair) -> tuple[int, int]:
    pair.replica.revert()
    other = Client(pair.world, user="other")
    return len(other.all(JOB)), len(other.all("Msvm_AffectedJobElement"))


def associations(pair: Pair) -> tuple[int, int]:
    pair.replica.revert()
    running = len(pair.replica.all("Msvm_AffectedJobElement"))
    pair.wait()
    return running, len(pair.replica.all("Msvm_AffectedJobElement"))


def jobs_after_restart(pair: Pair) -> int:
    pair.replica.revert()
    pair.restart()
    return len(pair.replica.all(JOB))


def state_after_restart(pair: Pair) -> int:
    pair.replica.revert()
    pair.restart()
    return t.cast(int, pair.replica.vm()["ReplicationState"])


def stopped(pair: Pair) -> str:
    pair.world.act(REPLICA, None, "stop_vmms")
    try:
        return f"{len(pair.replica.all(SERVICE))} services"
    except Unavailable:
        return "an error"


def name_of_test(pair: Pair) -> list[t.Any]:
    pair.replica.host.locale = "ja-JP"
    pair.test()
    pair.wait()
    return pair.names()


def second_test(pair: Pair) -> tuple[int, int]:
    pair.test()
    pair.wait()
    return pair.test()[0], len(pair.names())


def unknown_vm(pair: Pair) -> int:
    return pair.replica.invoke(Ref.of(SERVICE), "RevertFailover", ComputerSystem=Ref.of(SYSTEM, Name="X"))[0]


def busy(pair: Pair) -> int:
    pair.replica.revert()
    return pair.replica.revert()[0]


def state_of_test(pair: Pair) -> t.Any:
    pair.test()
    pair.wait()
    return pair.replica.vm("vm - Test")["ReplicationState"]


# name -> the two VMs, what is tried, and what is seen for each choice
TABLE: dict[str, tuple[dict[str, t.Any], dict[str, t.Any] | None, Experiment, dict[t.Any, t.Any]]] = {
    "REVERT_RUNNING_VM": (
        RUNNING,
        None,
        power_and_revert,
        {
            "refuse_32775": (32775, 2, 5),
            "refuse_32774": (32774, 2, 5),
            "accept_and_power_off": (4096, 3, 3),
            "accept": (4096, 2, 3),
        },
    ),
    "REVERT_SAVED_VM": (
        {"state": 5, "power": "saved"},
        None,
        power_and_revert,
        {
            "refuse_32775": (32775, 6, 5),
            "refuse_32774": (32774, 6, 5),
            "accept_and_power_off": (4096, 3, 3),
            "accept": (4096, 6, 3),
        },
    ),
    "REVERT_NOTHING": ({}, None, lambda pair: pair.replica.revert(), {32775: (32775, None), 0: (0, None)}),
    "REVERT_IN_STATE_12": ({"state": 12}, None, lambda pair: pair.after(pair.replica.revert), {32775: 12, "accept": 3}),
    "REVERT_WITH_TEST_COPY": (
        {"state": 5, "test_copy": True},
        None,
        lambda pair: pair.replica.revert()[0],
        {"accept": 4096, 32774: 32774, 32775: 32775},
    ),
    "REVERT_WITH_EXTENDED": (
        {"state": 5, "relationship_1": {"state": 3}},
        None,
        lambda pair: pair.replica.revert()[0],
        {"accept": 4096, 32775: 32775},
    ),
    "STATE_WHILE_REVERTING": (
        OVER,
        None,
        lambda pair: pair.during(pair.replica.revert),
        {12: 12, "target": 3, "before": 5},
    ),
    "STATE_AFTER_REVERT_REPLICA": (OVER, None, lambda pair: pair.after(pair.replica.revert), {3: 3, 7: 7, 8: 8}),
    "FAILED_OVER_TYPE_AFTER_REVERT": (
        OVER,
        None,
        lambda pair: pair.after(pair.replica.revert, "FailedOverReplicationType"),
        {"none": 0, "kept": 1},
    ),
    "PRIMARY_REVERT_JOB_TYPE": (
        {},
        {"state": 4},
        lambda pair: pair.primary.job(pair.primary.revert()[1])["JobType"],
        {98: 98, 101: 101},
    ),
    "PLANNED_POINT_AFTER_CALLING_OFF": (
        {"points": [{"type": "planned_failover"}]},
        {"state": 4},
        planned_points,
        {"removed": 0, "kept": 1},
    ),
    "STATE_WHILE_FAILING_OVER": (
        {},
        None,
        lambda pair: pair.during(pair.replica.failover),
        {12: 12, "target": 5, "before": 3},
    ),
    "FAILOVER_FROM_SUSPENDED": (
        {"state": 7},
        None,
        lambda pair: pair.replica.failover()[0],
        {32775: 32775, "accept": 4096},
    ),
    "FAILOVER_TOUCHES_CONFIGURATION_TIME": (OVER, None, moved_times, {True: (True, True), False: (False, False)}),
    "LAST_APPLIED_SNAPSHOT_AFTER_FAILOVER": (
        OVER,
        None,
        lambda pair: len(pair.replica.all("Msvm_LastAppliedSnapshot")),
        {True: 1, False: 0},
    ),
    "PRIMARY_AFTER_UNPLANNED_FAILOVER": (
        {},
        {},
        lambda pair: (pair.after(pair.replica.failover), pair.states()[1]),
        {8: (5, 8), 3: (5, 3), 7: (5, 7)},
    ),
    "RESYNC_NEEDED_AFTER": ({}, {}, log_given_up, {3600: [8, 8, 8, 9], 0: [8, 8, 8, 8], 100: [8, 8, 9, 9]}),
    "RESUME_TO_FAILED_OVER_REPLICA": (OVER, {"state": 8}, resume, {"job_fails": (5, 8), "accept": (5, 3)}),
    "CALL_OFF_BY_STATE_CHANGE": ({}, {"state": 4}, resume, {32775: (3, 4), "accept": (3, 3)}),
    "STATE_WHILE_COMMITTING": (OVER, None, lambda pair: pair.during(pair.commit), {"target": 6, 12: 12, "before": 5}),
    "MERGE_AFTER_COMMIT_SECONDS": (OVER, None, merging, {0: [False, False, False], 100: [True, True, False]}),
    "METHOD_WHILE_MERGING": (OVER, None, remove_while_merging, {"accept": 4096, 32774: 32774, 32775: 32775}),
    "TEST_COPY_NAME": ({}, None, name_of_test, {"english": ["vm", "vm - Test"], "localised": ["vm", "vm - テスト"]}),
    "TEST_COPY_STATE": ({}, None, state_of_test, {0: 0, 3: 3}),
    "SECOND_TEST_COPY": ({}, None, second_test, {32775: (32775, 2), "accept": (4096, 2)}),
    "RESULTING_SYSTEM_WITH_JOB": ({}, None, resulting_system, {False: False, True: True}),
    "REMOVE_TEST_JOB_TYPE": ({}, None, remove_type, {3: 3, 103: 103}),
    "DESTROY_REPLICATED_VM": ({}, None, lambda pair: pair.destroy("vm")[0], {32775: 32775, "accept": 4096}),
    "POWER_CHANGE_ANSWER": (RUNNING, None, lambda pair: pair.replica.power(3)[0], {"job": 4096, "sync": 0}),
    "POWER_ALREADY_THERE": ({}, None, lambda pair: pair.replica.power(3)[0], {32775: 32775, 0: 0}),
    "DROP_SAVED_STATE_BY_TURN_OFF": (
        {"power": "saved"},
        None,
        lambda pair: pair.replica.power(3)[0],
        {"accept": 4096, 32775: 32775},
    ),
    "START_REPLICA": ({}, None, lambda pair: pair.replica.power(2)[0], {32775: 32775, "accept": 4096}),
    "METHOD_WHILE_JOB_RUNS": (OVER, None, busy, {32775: 32775, 32774: 32774}),
    "METHOD_WHILE_BACKUP": (
        {"state": 5, "in_backup": True},
        None,
        lambda pair: pair.replica.revert()[0],
        {32774: 32774, 32775: 32775},
    ),
    "UNKNOWN_VM": ({}, None, unknown_vm, {32773: 32773, 32779: 32779}),
    "JOBS_CANCELLABLE": (OVER, None, cancel, {False: (False, 4097, 3), True: (True, 0, 8)}),
    "CANCELLED_JOB_ENDS_IN": (OVER, None, cancelled_by_others, {8: 8, 9: 9}),
    "FOREIGN_JOBS": (OVER, None, foreign_jobs, {"visible": (1, 1), "hidden": (0, 0)}),
    "ENDED_JOB_ASSOCIATION": (OVER, None, associations, {"kept": (1, 1), "dropped": (1, 0)}),
    "VMMS_RESTART_LOSES_JOBS": (OVER, None, jobs_after_restart, {True: 0, False: 1}),
    "VMMS_RESTART_RUNNING_CHANGES": (
        OVER,
        None,
        state_after_restart,
        {"roll_back": 5, "complete": 3, "stay_between": 12},
    ),
    "VMMS_STOPPED": ({}, None, stopped, {"error": "an error", "empty": "0 services"}),
    "UAC_FILTER_HIDES_SERVICES": (
        {},
        None,
        lambda pair: len(Client(pair.world, user="filtered").all("CIM_Service")),
        {True: 0, False: 2},
    ),
    "RELATIONSHIP_WITHOUT_REPLICATION": (
        {"mode": "none"},
        None,
        lambda pair: len(pair.replica.all("Msvm_ReplicationRelationship")),
        {"present": 1, "absent": 0},
    ),
    **ROWS,
}


@pytest.mark.parametrize(("name", "choice"), [(name, choice) for name, row in TABLE.items() for choice in row[3]])
def test_what_a_choice_makes_of_the_world(name: str, choice: t.Any) -> None:
    replica, primary, experiment, seen = TABLE[name]
    assert experiment(Pair(name, choice, replica, primary)) == seen[choice]


def test_every_choice_of_every_assumption_is_tried() -> None:
    assert set(TABLE) == set(ASSUMPTIONS)
    for name, entry in ASSUMPTIONS.items():
        tried = {repr(choice) for choice in TABLE[name][3]}
        assert tried >= {repr(choice) for choice in (entry.default, *entry.alternatives)}, name
        assert len(tried) > 1, name


def test_every_assumption_says_why() -> None:
    for entry in ASSUMPTIONS.values():
        assert entry.reason.endswith(".") and entry.section and entry.default not in entry.alternatives


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("REVERT_NOTING", 0, "did you mean REVERT_NOTHING"),
        ("REVERT_NOTHING", 1, "it takes 32775, 0"),
        ("REVERT_NOTHING", False, "it takes 32775, 0"),
        ("JOBS_CANCELLABLE", 1, "it takes False, True"),
        ("RESYNC_NEEDED_AFTER", -1, "it takes seconds"),
    ],
)
def test_a_switch_that_makes_no_sense_is_refused(name: str, value: t.Any, words: str) -> None:
    with pytest.raises(AssumptionError, match=words):
        Assumptions({name: value})


def test_the_switched_ones_are_told() -> None:
    assert Assumptions({"REVERT_NOTHING": 0, "JOBS_CANCELLABLE": False}).switched() == {"REVERT_NOTHING": 0}
    with pytest.raises(AttributeError):
        Assumptions().NONSENSE  # noqa: B018
