# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What a host has counted of a relationship, and what it finds wrong with it.

Only a method tells: GetReplicationStatisticsEx, once for each relationship, all in one list of steps. It changes
nothing, so an answer that is lost is no more than a reading that failed. A host may make a job of it (type 111); the
numbers still come with the answer, and the job is waited for, so that it is in nobody's way afterwards.

Source: GetReplicationStatisticsEx method of Msvm_ReplicationService; Msvm_ReplicationStatistics; Msvm_Error.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.embedded import read_instance, write_instance
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Call,
    CimError,
    CimSession,
    Failed,
    Instance,
    MethodCall,
    MethodResult,
    Reference,
    Wait,
    WaitResult,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import PAIR
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import ReplicationState, ReturnCode
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import (
    KINDS,
    UNREACHABLE,
    ErrorClass,
    ReplicaError,
    class_of_return_code,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import job_of
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.run import Clock
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import on_service

SUBSETS = ("statistics", "pending", "health_issues")
"""What of an info module's subsets comes from here."""
JOB_WAIT = 60.0
"""Seconds for which jobs of this are waited for."""
_POLL = 1.0
_BATCH = 50
"""Calls in one list: over PowerShell a list must fit into one run of the module."""

_NUMBERS = {
    "success_count": "ReplicationSuccessCount",
    "miss_count": "ReplicationMissCount",
    "failure_count": "ReplicationFailureCount",
    "network_failure_count": "NetworkFailureCount",
    "app_consistent_failure_count": "ApplicationConsistentSnapshotFailureCount",
    "latency": "ReplicationLatency",
    "max_latency": "MaxReplicationLatency",
    "size": "ReplicationSize",
    "max_size": "MaxReplicationSize",
    "pending_size": "PendingReplicationSize",
    "health_raw": "ReplicationHealth",
}
_TIMES = {"start": "StartStatisticTime", "end": "EndStatisticTime", "last_test_failover": "LastTestFailoverTime"}

CLASSES: dict[int, str] = {
    ReplicationState.SUSPENDED: "suspended",
    ReplicationState.CRITICAL: "replication_stopped",
    ReplicationState.WAITING_TO_START_RESYNCHRONIZATION: "resync_needed",
    ReplicationState.RESYNCHRONIZATION_SUSPENDED: "resync_needed",
    ReplicationState.RESYNCHRONIZING: "resynchronizing",
    ReplicationState.FAILED_OVER: "failed_over",
    ReplicationState.COMMITTED: "not_reversed",
    ReplicationState.DISK_UPDATE_CRITICAL: "disk_update_failed",
}
"""What an issue is about. No list of the host's own message numbers is public, and its texts are in its language, so
the class comes from the state of the relationship; in any other state it is ``other``."""


@dataclass(frozen=True)
class Issue:
    """One Msvm_Error."""

    kind: str
    message_id: str
    message: str
    severity: int | None
    error_type: int | None
    probable_cause: int | None
    status_code: int | None


@dataclass(frozen=True)
class Counted:
    """What the host says of one relationship, or why it does not."""

    index: int
    numbers: t.Mapping[str, int | None] | None = None
    times: t.Mapping[str, datetime | None] | None = None
    issues: tuple[Issue, ...] | None = None
    error: ErrorClass | None = None
    message: str = ""


def read_statistics(
    session: CimSession, vms: t.Sequence[VirtualMachine], clock: Clock
) -> dict[str, tuple[Counted, ...]]:
    """VM id → what the host counted of each of its relationships. Raises ReplicaError when the host is out of reach."""
    asked = [(vm, index) for vm in vms if vm.mode in PAIR for index in _indexes(vm)]
    result: dict[str, tuple[Counted, ...]] = {vm.id: () for vm in vms}
    for start in range(0, len(asked), _BATCH):
        batch = asked[start : start + _BATCH]
        answers = session.run([Call(f"{vm.id}/{index}", _call(vm, index)) for vm, index in batch])
        jobs: list[Reference] = []
        for (vm, index), answer in zip(batch, answers, strict=True):
            if isinstance(answer, MethodResult) and answer.job is not None:
                jobs.append(answer.job)
            result[vm.id] = (*result[vm.id], _counted(vm, index, answer))
        _await(session, jobs, clock)
    return result


def _indexes(vm: VirtualMachine) -> tuple[int, ...]:
    return tuple(link.index for link in vm.relationships) if vm.relationships_known else (0,)


def _call(vm: VirtualMachine, index: int) -> MethodCall:
    if not vm.relationships_known:  # Windows Server 2012 has only this
        return on_service("GetReplicationStatistics", ComputerSystem=vm.reference)
    link = vm.relationship(index)
    text = write_instance("Msvm_ReplicationRelationship", {"InstanceID": link.id if link else ""})
    return on_service("GetReplicationStatisticsEx", ComputerSystem=vm.reference, ReplicationRelationship=text)


def _counted(vm: VirtualMachine, index: int, answer: object) -> Counted:
    if isinstance(answer, Failed):
        if answer.error.kind in UNREACHABLE:
            raise ReplicaError.from_cim(answer.error, "reading the statistics")
        return Counted(index, error=KINDS[answer.error.kind], message=answer.error.message)
    if not isinstance(answer, MethodResult):
        return Counted(index, error=ErrorClass.CONNECTION_LOST, message="The statistics were not asked for any more.")
    if answer.return_value not in (ReturnCode.COMPLETED, ReturnCode.JOB_STARTED):
        message = f"The host answered {answer.return_value} when it was asked for the statistics."
        return Counted(index, error=class_of_return_code(answer.return_value), message=message)
    texts = _texts(answer.out.get("ReplicationStatistics"))
    if not texts:
        message = "The host answered without an error and without statistics."
        return Counted(index, error=ErrorClass.STATUS_UNKNOWN, message=message)
    try:
        numbers = read_instance(texts[0])
        errors = [read_instance(text) for text in _texts(answer.out.get("ReplicationHealthIssues"))]
    except CimError as error:
        return Counted(index, error=KINDS[error.kind], message=error.message)
    link = vm.relationship(index)
    state = vm.state if link is None else link.state
    return Counted(
        index,
        {name: _number(numbers, key) for name, key in _NUMBERS.items()},
        {name: _time(numbers, key) for name, key in _TIMES.items()},
        tuple(_issue(error, state) for error in errors),
    )


def _issue(error: Instance, state: int | None) -> Issue:
    return Issue(
        kind=CLASSES.get(-1 if state is None else state, "other"),
        message_id=str(error.get("MessageID") or ""),
        message=str(error.get("Message") or ""),
        severity=_number(error, "PerceivedSeverity"),
        error_type=_number(error, "ErrorType"),
        probable_cause=_number(error, "ProbableCause"),
        status_code=_number(error, "CIMStatusCode"),
    )


def _await(session: CimSession, jobs: list[Reference], clock: Clock) -> None:
    """Until they have ended, for a while: nothing depends on their ends."""
    deadline = clock.monotonic() + JOB_WAIT
    while jobs and clock.monotonic() < deadline:
        (answer,) = session.run([Wait(tuple(jobs), min(session.waiting_slice, JOB_WAIT), _POLL)])
        if not isinstance(answer, WaitResult):
            return
        running = {job.id for job in map(job_of, answer.jobs) if job.running}
        jobs = [job for job in jobs if job.key("InstanceID") in running]


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, tuple) else []


def _number(instance: Instance, name: str) -> int | None:
    value = instance.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _time(instance: Instance, name: str) -> datetime | None:
    value = instance.get(name)
    return value if isinstance(value, datetime) and value.year > 1601 else None
