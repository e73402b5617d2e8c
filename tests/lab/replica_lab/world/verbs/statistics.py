# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GetReplicationStatistics(Ex) and ResetReplicationStatistics(Ex)."""

from __future__ import annotations

import typing as t

from replica_lab.numbers import Code, Health, JobType, State
from replica_lab.provider import Value
from replica_lab.world import embedded
from replica_lab.world.jobs import Plan
from replica_lab.world.model import BYTES_PER_WRITE, Relationship, Statistics, Vm
from replica_lab.world.texts import text
from replica_lab.world.verbs.common import need
from replica_lab.world.verbs.relationship import REPLICATED

_WARNING, _CRITICAL = 3, 6
"""PerceivedSeverity of CIM_Error: degraded/warning, critical."""

_ISSUES = {
    State.CRITICAL: "issue_critical",
    State.WAITING_TO_START_RESYNCHRONIZATION: "issue_resync",
    State.SUSPENDED: "issue_suspended",
    State.COMMITTED: "issue_committed",
    State.FAILED_OVER: "issue_failed_over",
}


def _need_relationship(vm: Vm, index: int) -> Relationship:
    need(vm.mode in REPLICATED)
    relationship = vm.relationship(index)
    need(relationship is not None, Code.INVALID_PARAMETER)
    return t.cast(Relationship, relationship)


def get(vm: Vm, index: int) -> Plan:
    """The numbers of one relationship, and what is wrong with it, as embedded instances."""
    relationship = _need_relationship(vm, index)
    answer = vm.host.world.assumptions.STATISTICS_ANSWER
    return Plan(
        "statistics",
        JobType.STATISTICS,
        vm,
        out={
            "ReplicationStatistics": [_numbers(vm, relationship)],
            "ReplicationHealthIssues": _issues(vm, relationship),
        },
        at_once=answer == "sync",
        out_early=answer == "job_with_results",
    )


def reset(vm: Vm, index: int) -> Plan:
    """Count anew."""
    relationship = _need_relationship(vm, index)

    def finish() -> None:
        last_test = relationship.statistics.last_test
        relationship.statistics = Statistics(since=vm.host.world.time, last_test=last_test)

    return Plan("statistics", JobType.RESET_STATISTICS, vm, finish=finish)


def pending_bytes(vm: Vm, relationship: Relationship) -> int:
    """What still has to go over; only the sending end knows."""
    vm.count_writes()
    return int(vm.unsent_writes) * BYTES_PER_WRITE if vm.sends(relationship.index) else 0


def _numbers(vm: Vm, relationship: Relationship) -> str:
    host, counted = vm.host, relationship.statistics
    return embedded.write(
        "Msvm_ReplicationStatistics",
        {
            "ApplicationConsistentSnapshotFailureCount": 0,
            "Caption": None,
            "Description": None,
            "ElementName": vm.name,
            "EndStatisticTime": host.shown(host.world.time),
            "InstanceID": None,
            "LastTestFailoverTime": host.shown(counted.last_test),
            "MaxReplicationLatency": 12 if counted.successes else 0,
            "MaxReplicationSize": counted.max_size,
            "NetworkFailureCount": counted.network_failures,
            "PendingReplicationSize": pending_bytes(vm, relationship),
            "ReplicationFailureCount": counted.failures,
            "ReplicationHealth": int(relationship.health),
            "ReplicationLatency": 5 if counted.successes else 0,
            "ReplicationMissCount": counted.failures,
            "ReplicationSize": counted.size,
            "ReplicationSuccessCount": counted.successes,
            "StartStatisticTime": host.shown(counted.since),
        },
    )


def _issues(vm: Vm, relationship: Relationship) -> Value:
    if relationship.health not in (Health.WARNING, Health.CRITICAL):
        return []
    host = vm.host
    key = _ISSUES.get(t.cast(State, relationship.state), "issue_other")
    severity = _CRITICAL if relationship.health == Health.CRITICAL else _WARNING
    return [
        embedded.write(
            "Msvm_Error",
            {
                "ErrorSource": vm.id,
                "Message": text(host.locale, key, name=vm.name),
                "MessageID": str(host.world.assumptions.HEALTH_ISSUE_MESSAGE_ID),
                "PerceivedSeverity": severity,
                "ProbableCause": 0,
            },
        )
    ]
