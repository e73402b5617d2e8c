# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What is assumed of a real pair of hosts, one row each, and how a recording shows whether it is so.

``assumption`` names the switch of the simulated hosts (tests/lab) that a row checks; a row without one checks the shape
of what a host answers, on which the readers of this collection rely. ``section`` points into the project's notes: ``R``
on the Hyper-V Replica API, ``W`` on WS-Management.

A row reads values from the recording and says which of them are expected. None read is "not seen", which is no
confirmation. Assumptions that cannot be checked without doing harm have no row: a revert of a running VM, a commit, a
second operator, a service that is stopped.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Kind
from ansible_collections.hyperv.replica.plugins.plugin_utils._record import observe
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.evidence import Evidence
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.observe import Seen
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.recording import Moment
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    JOB_ENDED,
    JOB_RUNNING,
    Power,
    ReplicationMode,
    ReplicationState,
)


@dataclass(frozen=True)
class Expectation:
    """One row. ``read`` gets what one host answered over one transport; with ``pair``, the whole recording."""

    id: str
    says: str
    section: str
    expected: Collection[Seen]
    read: Callable[[Evidence], Iterable[Seen]]
    assumption: str = ""
    pair: bool = False


_PAIRS: t.Mapping[int, t.Collection[int]] = {
    ReplicationMode.NONE: (0,),
    ReplicationMode.PRIMARY: (0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 15, 16, 18, 19, 20),
    ReplicationMode.REPLICA: (0, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 18, 21),
    ReplicationMode.TEST_REPLICA: (0, 3),
    ReplicationMode.EXTENDED_REPLICA: (0, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 18, 21),
}

# --- the rows ----------------------------------------------------------------------------------------

_S = ReplicationState

ROWS: tuple[Expectation, ...] = (
    # --- VMs and hosts
    Expectation("vm-name", "The Name of a VM is its GUID.", "R3", ("upper-case GUID",), observe.vm_names),
    Expectation(
        "host-instance",
        "The host is one Msvm_ComputerSystem whose Name is no GUID.",
        "R3",
        (1,),
        observe.host_instances,
    ),
    Expectation(
        "mode-and-state",
        "Modes and states come in the documented pairs.",
        "R4",
        frozenset(f"{int(mode)}/{state}" for mode, states in _PAIRS.items() for state in states),
        observe.modes_and_states,
    ),
    Expectation(
        "replication-on-the-vm", "A VM shows its mode and state itself.", "R3.2", (True,), observe.replication_on_the_vm
    ),
    Expectation("states-agree", "A VM and its relationship 0 show one state.", "R3.2", (True,), observe.states_agree),
    Expectation("unset-time", "A time that was never set is in the year 1601.", "W2.2", ("1601",), observe.unset_times),
    Expectation("same-ids", "A VM has one GUID on both hosts.", "R3", (True,), observe.same_ids, pair=True),
    Expectation(
        "test-copy-state",
        "The copy of a test failover is in state 0.",
        "R9",
        (0,),
        observe.test_copy_states,
        "TEST_COPY_STATE",
    ),
    Expectation(
        "primary-after-failover",
        "After a failover without warning the primary is critical, later in need of a resync.",
        "R7",
        (_S.CRITICAL, _S.WAITING_TO_START_RESYNCHRONIZATION),
        observe.primaries_of_failed_over,
        "PRIMARY_AFTER_UNPLANNED_FAILOVER",
        pair=True,
    ),
    Expectation(
        "filtered-services",
        "Who sees no VM and no host sees no service.",
        "R3",
        (True,),
        observe.filtered,
        "UAC_FILTER_HIDES_SERVICES",
    ),
    # --- relationships, services, points
    Expectation(
        "relationship-id",
        "The id of a relationship names its VM and its number.",
        "R5",
        (r"Microsoft:<vm>\HVR\<0|1>",),
        observe.link_ids,
    ),
    Expectation("relationship-vm", "A relationship belongs to a VM of the host.", "R5", (True,), observe.links_of_vms),
    Expectation(
        "relationship-without-replication",
        "A VM that is not replicated has a relationship too.",
        "R5, R13.13",
        ("present",),
        observe.links_without_replication,
        "RELATIONSHIP_WITHOUT_REPLICATION",
    ),
    Expectation("one-service", "There is one replication service.", "R1", (1,), observe.services),
    Expectation(
        "service-keys",
        "The replication service has these keys.",
        "R1",
        ("Msvm_ReplicationService, replicasvc, Msvm_ComputerSystem",),
        observe.service_keys,
    ),
    Expectation(
        "service-system",
        "The SystemName of the service is the Name of the host.",
        "R1",
        (True,),
        observe.service_system,
    ),
    Expectation(
        "point-types",
        "Recovery points are of the documented types.",
        "R5",
        ("Replica:Standard", "Replica:ApplicationConsistent", "Replica:PlannedFailover"),
        observe.point_types,
    ),
    # --- jobs
    Expectation("job-id", "The InstanceID of a job is a GUID.", "R6", ("GUID",), observe.job_ids),
    Expectation(
        "job-state", "A job is in a documented state.", "R6", frozenset({*JOB_RUNNING, *JOB_ENDED}), observe.job_states
    ),
    Expectation("job-removal", "A job stays for five minutes.", "R6", ("300 s",), observe.job_removal),
    Expectation("job-that-is-gone", "Get of a job that is gone says so.", "W2.3", ("not found",), observe.missing_jobs),
    Expectation(
        "class-that-is-not-there",
        "A query for a class that is not there is an error.",
        "W3",
        (Kind.NOT_FOUND.value,),
        observe.missing_classes,
    ),
    Expectation(
        "primary-revert-job",
        "Calling off a planned failover is a job of type 98.",
        "R13.4",
        (98,),
        observe.primary_revert_jobs,
        "PRIMARY_REVERT_JOB_TYPE",
    ),
    # --- the verbs
    Expectation(
        "revert-nothing",
        "A revert with nothing to revert is refused.",
        "R13.2",
        (32775,),
        observe.revert_of_nothing,
        "REVERT_NOTHING",
    ),
    Expectation(
        "unknown-vm",
        "A call for a VM that is not there is refused.",
        "R9",
        (32773,),
        lambda seen: observe.codes(seen, Moment.UNKNOWN_VM),
        "UNKNOWN_VM",
    ),
    Expectation("verbs-answer", "A verb is done or a job.", "R1.1", (0, 4096), observe.verb_codes),
    Expectation(
        "verbs-job", "The job of a verb is an Msvm_ConcreteJob.", "W2.4", (observe.JOB,), observe.job_references
    ),
    Expectation("failover-job", "A failover is a job of type 97.", "R6", (97,), observe.types_of(Moment.FAILING_OVER)),
    Expectation("revert-job", "A revert is a job of type 98.", "R6", (98,), observe.types_of(Moment.REVERTING)),
    Expectation(
        "job-cancellable",
        "A failover or a revert cannot be cancelled.",
        "R6, R13.15",
        (False,),
        observe.cancellable,
        "JOBS_CANCELLABLE",
    ),
    Expectation(
        "ended-job",
        "Which VM a job was about can be read after its end.",
        "R5.1",
        ("kept",),
        observe.associations_of_ended,
        "ENDED_JOB_ASSOCIATION",
    ),
    Expectation(
        "state-while-failing-over",
        "During a failover the VM shows state 12.",
        "R7",
        (12,),
        observe.states_while(Moment.FAILING_OVER, _S.REPLICATING, _S.FAILED_OVER),
        "STATE_WHILE_FAILING_OVER",
    ),
    Expectation(
        "state-failed-over",
        "After a failover the VM is in state 5.",
        "R7",
        (5,),
        observe.number_after(Moment.FAILED_OVER, "ReplicationState"),
    ),
    Expectation(
        "power-failed-over",
        "A failover does not start the VM.",
        "R7",
        (int(Power.OFF),),
        observe.number_after(Moment.FAILED_OVER, "EnabledState"),
    ),
    Expectation(
        "failover-type",
        "A failed-over VM says to what kind of point.",
        "R7",
        (1, 2, 3),
        observe.number_after(Moment.FAILED_OVER, "FailedOverReplicationType"),
    ),
    Expectation(
        "failover-configuration",
        "A failover changes the configuration of the VM.",
        "R3",
        (True,),
        observe.configuration_touched,
        "FAILOVER_TOUCHES_CONFIGURATION_TIME",
    ),
    Expectation(
        "last-applied",
        "A failed-over VM has its point as the last applied snapshot.",
        "R5.1",
        (True,),
        observe.applied,
        "LAST_APPLIED_SNAPSHOT_AFTER_FAILOVER",
    ),
    Expectation(
        "state-while-reverting",
        "During a revert the VM shows state 12.",
        "R3, R9",
        (12,),
        observe.states_while(Moment.REVERTING, _S.FAILED_OVER, _S.REPLICATING),
        "STATE_WHILE_REVERTING",
    ),
    Expectation(
        "state-reverted",
        "After a revert the VM is in state 3.",
        "R7, R13.3",
        (3,),
        observe.number_after(Moment.REVERTED, "ReplicationState"),
        "STATE_AFTER_REVERT_REPLICA",
    ),
    Expectation(
        "power-reverted",
        "A revert leaves the VM off.",
        "R7",
        (int(Power.OFF),),
        observe.number_after(Moment.REVERTED, "EnabledState"),
    ),
    Expectation(
        "type-reverted",
        "After a revert the VM is failed over to nothing.",
        "R7, R13.3",
        ("none",),
        observe.failover_types_after,
        "FAILED_OVER_TYPE_AFTER_REVERT",
    ),
    # --- the wire
    Expectation(
        "first-page", "The answer to Enumerate holds the first items.", "W2.1", ("items",), observe.first_pages
    ),
    Expectation(
        "reference",
        "A reference is an address and its parameters, without a wrapper.",
        "W2.4",
        ("plain",),
        observe.reference_forms,
    ),
    Expectation(
        "reference-namespace",
        "A reference has no selector for the namespace.",
        "W2.4",
        (False,),
        observe.namespace_selectors,
    ),
    Expectation(
        "time",
        "Dates are in cim:Datetime, in UTC; intervals in cim:Interval.",
        "W2.2",
        ("Datetime, Z", "Interval, duration"),
        observe.time_forms,
    ),
    Expectation("null", "A property without a value is xsi:nil.", "W2.2", ("xsi:nil",), observe.null_forms),
    Expectation(
        "property-order", "Properties come in alphabetical order.", "W2.2", ("alphabetical",), observe.property_order
    ),
    Expectation(
        "property-namespace",
        "Properties are in the namespace of the class.",
        "W2.2",
        (True,),
        observe.property_namespaces,
    ),
    Expectation(
        "null-out",
        "A method that started no job answers Job as xsi:nil.",
        "W2.4",
        ("nil",),
        observe.null_out_parameters,
        "null_out_parameters",
    ),
    Expectation(
        "empty-array",
        "An array without elements is left out.",
        "W2.2",
        ("absent",),
        observe.empty_arrays,
        "empty_arrays",
        pair=True,
    ),
    Expectation(
        "fault-machine",
        "A fault of WinRM names the host.",
        "W3",
        (True,),
        observe.fault_machines,
        "identify_host_in_faults",
    ),
    # --- both transports
    Expectation(
        "same-instances",
        "Both transports show the same instances.",
        "W2",
        ("all",),
        observe.same_instances,
        pair=True,
    ),
    Expectation(
        "same-values",
        "Both transports show the same values.",
        "W2",
        ("all",),
        observe.same_values,
        pair=True,
    ),
)
