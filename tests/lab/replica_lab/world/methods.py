# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The methods that do something, as a table; every other method of the schema answers 32770.

To add a verb: write it in ``verbs``, add a row here.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from replica_lab.numbers import Code, JobState
from replica_lab.provider import Ref, Value
from replica_lab.world import verbs
from replica_lab.world.instances import (
    MANAGEMENT_SERVICE,
    REPLICATION_SERVICE,
    SYSTEM,
    error_text,
    settings_id,
)
from replica_lab.world.jobs import Answered, Job, Plan
from replica_lab.world.model import Vm

Arguments = t.Mapping[str, Value]


@dataclass(frozen=True)
class OnVm:
    """A method that changes a VM: the VM is the target itself, or the argument of this name."""

    parameter: str | None
    verb: t.Callable[[Vm, Arguments], Plan]


@dataclass(frozen=True)
class OnJob:
    """A method of a job; answers at once: return value and out parameters."""

    work: t.Callable[[Job, Arguments], tuple[int, dict[str, Value]]]


# --- arguments ------------------------------------------------------------------------------------------


def _point_id(vm: Vm, argument: Value) -> str | None:
    """The point that a reference means; None for NULL. A point of another VM is an invalid parameter."""
    if argument is None:
        return None
    wanted = dict(t.cast(Ref, argument).keys).get("InstanceID", "").casefold()
    for point in vm.points:
        if settings_id(point.id).casefold() == wanted:
            return point.id
    raise Answered(Code.INVALID_PARAMETER)


def _relationship_index(vm: Vm, argument: Value) -> int:
    r"""The relationship that an embedded Msvm_ReplicationRelationship means; NULL is the primary one.

    InstanceID is ``Microsoft:<vmid>\HVR\<index>``.
    """
    if argument is None:
        return 0
    try:
        document = fromstring(t.cast(str, argument))
    except (ParseError, DefusedXmlException):
        raise Answered(Code.INVALID_PARAMETER) from None
    text = document.findtext("./PROPERTY[@NAME='InstanceID']/VALUE") or ""
    match = re.fullmatch(rf"Microsoft:{vm.id}\\HVR(?:\\([01]))?", text, re.IGNORECASE)
    if match is None:
        raise Answered(Code.INVALID_PARAMETER)
    return int(match[1] or 0)


def _number(argument: Value) -> int:
    if argument is None:
        raise Answered(Code.INVALID_PARAMETER)
    return t.cast(int, argument)


# --- jobs -----------------------------------------------------------------------------------------------

_TERMINATE, _KILL = 4, 5
_INVALID_TRANSITION, _JOB_INVALID_PARAMETER = 4097, 5


def _job_state_change(job: Job, arguments: Arguments) -> tuple[int, dict[str, Value]]:
    """RequestStateChange method of Msvm_ConcreteJob: terminate and kill, where jobs can be cancelled."""
    requested = arguments["RequestedState"]
    assumptions = job.host.world.assumptions
    if requested not in (_TERMINATE, _KILL):
        return _JOB_INVALID_PARAMETER, {}
    if not job.running or not assumptions.JOBS_CANCELLABLE:
        return _INVALID_TRANSITION, {}
    job.cancel(JobState.KILLED if requested == _KILL else assumptions.CANCELLED_JOB_ENDS_IN)
    return 0, {}


def _errors(job: Job) -> list[str]:
    """GetErrorEx method of Msvm_ConcreteJob: nothing while it runs or when it ended well."""
    if job.running or not job.error_code:
        return []
    error = Element("INSTANCE", CLASSNAME="Msvm_Error")
    values = (
        ("ErrorSource", "string", job.vm.id if job.vm else ""),
        ("Message", "string", error_text(job.host, job)),
        ("MessageID", "string", str(job.error_code)),
        ("ProbableCause", "uint16", "0"),
    )
    for name, cim_type, value in values:
        SubElement(SubElement(error, "PROPERTY", NAME=name, TYPE=cim_type), "VALUE").text = value
    return [tostring(error, encoding="unicode")]


def _get_error(job: Job, arguments: Arguments) -> tuple[int, dict[str, Value]]:
    return 0, {"Error": next(iter(_errors(job)), None)}


def _get_error_ex(job: Job, arguments: Arguments) -> tuple[int, dict[str, Value]]:
    return 0, {"Errors": t.cast("Value", _errors(job)) or None}


# --- the table ------------------------------------------------------------------------------------------

METHODS: dict[tuple[str, str], OnVm | OnJob] = {
    (REPLICATION_SERVICE, "RevertFailover"): OnVm("ComputerSystem", lambda vm, _args: verbs.revert_failover(vm)),
    (REPLICATION_SERVICE, "InitiateFailover"): OnVm(
        "ComputerSystem", lambda vm, args: verbs.initiate_failover(vm, _point_id(vm, args["SnapshotSettingData"]))
    ),
    (REPLICATION_SERVICE, "CommitFailover"): OnVm("ComputerSystem", lambda vm, _args: verbs.commit_failover(vm)),
    (REPLICATION_SERVICE, "TestReplicaSystem"): OnVm(
        "ComputerSystem", lambda vm, args: verbs.make_test_copy(vm, _point_id(vm, args["SnapshotSettingData"]))
    ),
    (SYSTEM, "RequestReplicationStateChangeEx"): OnVm(
        None,
        lambda vm, args: verbs.request_replication_state(
            vm, _relationship_index(vm, args["ReplicationRelationship"]), _number(args["RequestedState"])
        ),
    ),
    (SYSTEM, "RequestReplicationStateChange"): OnVm(
        None, lambda vm, args: verbs.request_replication_state(vm, 0, _number(args["RequestedState"]))
    ),
    (SYSTEM, "RequestStateChange"): OnVm(
        None, lambda vm, args: verbs.request_power(vm, _number(args["RequestedState"]))
    ),
    (MANAGEMENT_SERVICE, "DestroySystem"): OnVm("AffectedSystem", lambda vm, _args: verbs.destroy(vm)),
    ("Msvm_ConcreteJob", "RequestStateChange"): OnJob(_job_state_change),
    ("Msvm_ConcreteJob", "GetError"): OnJob(_get_error),
    ("Msvm_ConcreteJob", "GetErrorEx"): OnJob(_get_error_ex),
}
