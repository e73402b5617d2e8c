# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The methods that do something, as a table; every other method of the schema answers 32770.

To add a verb: write it in ``verbs``, add a row here.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from replica_lab.numbers import Code, JobState
from replica_lab.provider import Ref, Value
from replica_lab.world import embedded
from replica_lab.world.devices import SHUTDOWN
from replica_lab.world.found import MANAGEMENT_SERVICE, REPLICATION_SERVICE, SYSTEM, settings_id
from replica_lab.world.instances import error_text
from replica_lab.world.jobs import Answered, Job, Plan
from replica_lab.world.model import Vm
from replica_lab.world.verbs import failover, network, power, relationship, replication, server, states, statistics

if t.TYPE_CHECKING:
    from replica_lab.world.host import Host

Arguments = t.Mapping[str, Value]


@dataclass(frozen=True)
class OnVm:
    """A method that changes a VM: the VM is the target itself, or the argument of this name."""

    parameter: str | None
    verb: t.Callable[[Vm, Arguments], Plan]


@dataclass(frozen=True)
class OnHost:
    """A method that changes the host, or finds its VM in a text."""

    verb: t.Callable[[Host, Arguments], Plan]


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
    """The relationship that an embedded Msvm_ReplicationRelationship means; NULL is the primary one (documented)."""
    if argument is None:
        return 0
    found = embedded.read(argument, "Msvm_ReplicationRelationship")
    return relationship.relationship_index(vm, str(found.get("InstanceID") or ""))


def _named_relationship(vm: Vm, argument: Value) -> int:
    """The same for the methods of the service, whose pages do not say what NULL means."""
    if argument is None and vm.host.world.assumptions.NULL_RELATIONSHIP != "primary":
        raise Answered(Code.INVALID_PARAMETER)
    return _relationship_index(vm, argument)


def _text(argument: Value) -> str | None:
    return t.cast("str | None", argument)


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
    return [
        embedded.write(
            "Msvm_Error",
            {
                "ErrorSource": job.vm.id if job.vm else "",
                "Message": error_text(job.host, job),
                "MessageID": str(job.error_code),
                "ProbableCause": 0,
            },
        )
    ]


def _get_error(job: Job, arguments: Arguments) -> tuple[int, dict[str, Value]]:
    return 0, {"Error": next(iter(_errors(job)), None)}


def _get_error_ex(job: Job, arguments: Arguments) -> tuple[int, dict[str, Value]]:
    return 0, {"Errors": t.cast("Value", _errors(job)) or None}


# --- the table ------------------------------------------------------------------------------------------

_ON_VM_OF_SERVICE: dict[str, t.Callable[[Vm, Arguments], Plan]] = {
    "ChangeReplicationModeToPrimary": lambda vm, args: relationship.change_to_primary(
        vm, _named_relationship(vm, args["ReplicationRelationship"])
    ),
    "CommitFailover": lambda vm, _args: failover.commit_failover(vm),
    "CreateReplicationRelationship": lambda vm, args: relationship.create(vm, args["ReplicationSettingData"]),
    "GetReplicationStatistics": lambda vm, _args: statistics.get(vm, 0),
    "GetReplicationStatisticsEx": lambda vm, args: statistics.get(
        vm, _named_relationship(vm, args["ReplicationRelationship"])
    ),
    "ImportInitialReplica": lambda vm, args: replication.import_replica(
        vm, _text(args["InitialReplicationImportLocation"])
    ),
    "InitiateFailover": lambda vm, args: failover.initiate_failover(vm, _point_id(vm, args["SnapshotSettingData"])),
    "ModifyReplicationSettings": lambda vm, args: relationship.modify(vm, args["ReplicationSettingData"]),
    "RemoveReplicationRelationship": lambda vm, _args: relationship.remove(vm),
    "RemoveReplicationRelationshipEx": lambda vm, args: relationship.remove(
        vm, _named_relationship(vm, args["ReplicationRelationship"])
    ),
    "ResetReplicationStatistics": lambda vm, _args: statistics.reset(vm, 0),
    "ResetReplicationStatisticsEx": lambda vm, args: statistics.reset(
        vm, _named_relationship(vm, args["ReplicationRelationship"])
    ),
    "Resynchronize": lambda vm, args: replication.resynchronize(vm, args["StartTime"]),
    "ReverseReplicationRelationship": lambda vm, args: relationship.reverse(vm, args["ReplicationSettingData"]),
    "RevertFailover": lambda vm, _args: failover.revert_failover(vm),
    "SetAuthorizationEntry": lambda vm, args: server.set_authorization(vm, args["AuthorizationEntry"]),
    "SetFailoverNetworkAdapterSettings": lambda vm, args: network.set_failover_addresses(vm, args["NetworkSettings"]),
    "StartReplication": lambda vm, args: replication.start_replication(
        vm,
        _number(args["InitialReplicationType"]),
        _text(args["InitialReplicationExportLocation"]),
        args["StartTime"],
    ),
    "TestReplicaSystem": lambda vm, args: failover.make_test_copy(vm, _point_id(vm, args["SnapshotSettingData"])),
}
"""Methods of Msvm_ReplicationService with a parameter ComputerSystem."""

_OF_SERVICE: dict[str, t.Callable[[Host, Arguments], Plan]] = {
    "AddAuthorizationEntry": lambda host, args: server.add_authorization(host, args["AuthorizationEntry"]),
    "ModifyAuthorizationEntry": lambda host, args: server.modify_authorization(host, args["AuthorizationEntry"]),
    "ModifyServiceSettings": lambda host, args: server.modify_settings(host, args["SettingData"]),
    "RemoveAuthorizationEntry": lambda host, args: server.remove_authorization(
        host, args["AllowedPrimaryHostSystem"]
    ),
    "TestReplicationConnection": lambda host, args: server.check_connection(
        host,
        args["RecoveryConnectionPoint"],
        args["RecoveryServerPortNumber"],
        args["AuthenticationType"],
        args["CertificateThumbPrint"],
    ),
}

METHODS: dict[tuple[str, str], OnVm | OnHost | OnJob] = {
    **{(REPLICATION_SERVICE, name): OnVm("ComputerSystem", verb) for name, verb in _ON_VM_OF_SERVICE.items()},
    **{(REPLICATION_SERVICE, name): OnHost(verb) for name, verb in _OF_SERVICE.items()},
    (SYSTEM, "RequestReplicationStateChangeEx"): OnVm(
        None,
        lambda vm, args: states.request_replication_state(
            vm, _relationship_index(vm, args["ReplicationRelationship"]), _number(args["RequestedState"])
        ),
    ),
    (SYSTEM, "RequestReplicationStateChange"): OnVm(
        None, lambda vm, args: states.request_replication_state(vm, 0, _number(args["RequestedState"]))
    ),
    (SYSTEM, "RequestStateChange"): OnVm(
        None, lambda vm, args: power.request_power(vm, _number(args["RequestedState"]))
    ),
    (SHUTDOWN, "InitiateShutdown"): OnVm(None, lambda vm, args: power.shut_down(vm, bool(args["Force"]))),
    (MANAGEMENT_SERVICE, "DestroySystem"): OnVm("AffectedSystem", lambda vm, _args: power.destroy(vm)),
    (MANAGEMENT_SERVICE, "ModifyResourceSettings"): OnHost(
        lambda host, args: network.modify_connections(host, args["ResourceSettings"])
    ),
    (MANAGEMENT_SERVICE, "AddResourceSettings"): OnHost(
        lambda host, args: network.add_connections(host, args["AffectedConfiguration"], args["ResourceSettings"])
    ),
    ("Msvm_ConcreteJob", "RequestStateChange"): OnJob(_job_state_change),
    ("Msvm_ConcreteJob", "GetError"): OnJob(_get_error),
    ("Msvm_ConcreteJob", "GetErrorEx"): OnJob(_get_error_ex),
}
