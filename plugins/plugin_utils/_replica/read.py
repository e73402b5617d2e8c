# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""Reading a host: a fixed number of queries, whatever the number of VMs.

Six queries make a reading: the VMs (and the host itself, which is of the same class), their relationships, their
settings, the replication jobs that have not ended, which job concerns which VM, and the test copies.
"""

from __future__ import annotations

import re
import typing as t
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Answer,
    CimSession,
    Failed,
    Get,
    Instance,
    Kind,
    Query,
    Reference,
    Value,
    quote,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import (
    Connection,
    FailoverAddresses,
    Host,
    Job,
    NetworkAdapter,
    RecoveryPoint,
    Relationship,
    Settings,
    Switch,
    TestCopy,
    VirtualMachine,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    JOB_ENDED,
    REPLICATION_JOBS,
    JobType,
    ReplicationMode,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError

RUNNING_REPLICATION_JOBS = (
    f"JobType >= {REPLICATION_JOBS.start} AND JobType < {REPLICATION_JOBS.stop} AND "
    + " AND ".join(f"JobState <> {int(state)}" for state in sorted(JOB_ENDED))
)
"""A WQL condition on Msvm_ConcreteJob. Unknown states count as not ended."""

COMPUTER_SYSTEMS = Query("SELECT * FROM Msvm_ComputerSystem")
RELATIONSHIPS = Query("SELECT * FROM Msvm_ReplicationRelationship")
SETTINGS = Query("SELECT * FROM Msvm_ReplicationSettingData")
JOBS = Query(f"SELECT * FROM Msvm_ConcreteJob WHERE {RUNNING_REPLICATION_JOBS}")
AFFECTED = Query("SELECT * FROM Msvm_AffectedJobElement")
TEST_COPIES = Query("SELECT * FROM Msvm_ReplicaSystemDependency")
READING: tuple[Query, ...] = (COMPUTER_SYSTEMS, RELATIONSHIPS, SETTINGS, JOBS, AFFECTED, TEST_COPIES)

LAST_APPLIED = Query("SELECT * FROM Msvm_LastAppliedSnapshot")
RECOVERY_POINTS = Query(
    "SELECT * FROM Msvm_VirtualSystemSettingData WHERE VirtualSystemType LIKE 'Microsoft:Hyper-V:Snapshot:Replica:%'"
)
SHUTDOWN = Query("SELECT * FROM Msvm_ShutdownComponent")
COPY_JOBS = Query(
    "SELECT * FROM Msvm_ConcreteJob WHERE "
    f"(JobType = {int(JobType.DESTROY_VM)} OR JobType = {int(JobType.START_VM)} "
    f"OR JobType = {int(JobType.POWER_OFF_VM)}) AND "
    + " AND ".join(f"JobState <> {int(state)}" for state in sorted(JOB_ENDED))
)
SWITCHES = Query("SELECT * FROM Msvm_VirtualEthernetSwitch")
CONNECTIONS = Query("SELECT * FROM Msvm_EthernetPortAllocationSettingData")
ADAPTERS = Query("SELECT * FROM Msvm_SyntheticEthernetPortSettingData")
EMULATED_ADAPTERS = Query("SELECT * FROM Msvm_EmulatedEthernetPortSettingData")
FAILOVER_ADDRESSES = Query("SELECT * FROM Msvm_FailoverNetworkAdapterSettingData")
ADAPTER_FAILOVER = Query("SELECT * FROM Msvm_EthernetPortFailoverSettingDataComponent")
EXTRA: dict[str, Query] = {
    "adapter_failover": ADAPTER_FAILOVER,
    "adapters": ADAPTERS,
    "connections": CONNECTIONS,
    "copy_jobs": COPY_JOBS,
    "emulated_adapters": EMULATED_ADAPTERS,
    "failover_addresses": FAILOVER_ADDRESSES,
    "failed_over_point": LAST_APPLIED,
    "recovery_points": RECOVERY_POINTS,
    "shutdown": SHUTDOWN,
    "switches": SWITCHES,
}
"""What can be read beside the six queries, each for one query more."""

NETWORK = frozenset({"adapters", "adapter_failover", "failover_addresses"})
"""What has to be read for the network adapters of a VM and their failover addresses."""

SETTINGS_AGAIN = (
    "InstanceID",
    "AdditionalSettings",
    "ApplicationConsistentSnapshotInterval",
    "AuthenticationType",
    "AutoResynchronizeEnabled",
    "AutoResynchronizeIntervalEnd",
    "AutoResynchronizeIntervalStart",
    "BypassProxyServer",
    "CertificateThumbPrint",
    "CompressionEnabled",
    "IncludedDisks",
    "PrimaryConnectionPoint",
    "RecoveryConnectionPoint",
    "RecoveryHistory",
    "RecoveryServerPortNumber",
    "ReplicateHostKvpItems",
    "ReplicationInterval",
    "ReplicationProvider",
    "RootCertificateThumbPrint",
)
"""What of Msvm_ReplicationSettingData is told to the host again where some of it is to change."""

# Windows Server 2012 has no relationships, and nobody says that every host has adapters of the old kind.
_OPTIONAL = (RELATIONSHIPS, EMULATED_ADAPTERS)

# A longer list of conditions costs the host more than the few instances it spares.
_NARROW = 40

_GUID = re.compile(r"\A\{?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?\Z", re.IGNORECASE)
_OF_A_VM = re.compile(r"\AMicrosoft:([0-9a-f-]{36})\\", re.IGNORECASE)
_SWITCH_PATH = re.compile(r":Msvm_VirtualEthernetSwitch\..*\bName=[\"']([0-9a-f-]{36})[\"']", re.IGNORECASE)
_HVR = re.compile(r"\AMicrosoft:([0-9a-f-]{36})\\HVR(?:\\([01]))?\Z", re.IGNORECASE)
_ENABLED = 2
_NEVER = 1601  # the year of a datetime that was never set
_POINT_TYPES = {
    "Standard": "standard",
    "ApplicationConsistent": "application_consistent",
    "PlannedFailover": "planned_failover",
}


def guid(text: str) -> str:
    """The GUID in a text, upper case and without braces; empty when it is none."""
    match = _GUID.match(text.strip())
    return match.group(1).upper() if match else ""


def read_host(session: CimSession, *, gather: t.Collection[str] = (), beside: t.Collection[str] = ()) -> Host:
    """One reading of the host.

    Where a VM and its relationship 0 show different states, or a test copy is named and not among the VMs, they are
    read once more: a change may have come between the queries. What does not fit then is left for the tables.

    ``gather``: names in EXTRA; ``beside``: others, without whose answer the reading is still one. Raises ReplicaError.
    """
    dispensable = [EXTRA[name] for name in sorted(set(beside) - set(gather))]
    answers = ask(session, [*queries_of(gather), *dispensable], _OPTIONAL, dispensable)
    host = _host(answers)
    vms = host.virtual_machines
    unseen = any(copy.reference is None for vm in vms for copy in vm.test_copies)
    if unseen or any(not vm.relationship_agrees for vm in vms):
        again = [COMPUTER_SYSTEMS, RELATIONSHIPS, *([TEST_COPIES] if unseen else [])]
        answers.update(ask(session, again, optional=_OPTIONAL))
        host = _host(answers)
    return host


def queries_of(gather: t.Collection[str] = ()) -> list[Query]:
    """What one reading of a host asks. ``gather``: names in EXTRA."""
    return [*READING, *(EXTRA[name] for name in sorted(gather))]


def answered_host(queries: t.Sequence[Query], answered: t.Sequence[Answer]) -> Host:
    """The host, from the answers to :func:`queries_of`. Raises ReplicaError."""
    return _host(_sorted_out(queries, answered, optional=_OPTIONAL))


def read_again(session: CimSession, before: t.Sequence[VirtualMachine]) -> dict[str, VirtualMachine]:
    """The VMs as they are now: mode, state, power and relationships; the rest as it was. Missing ones are gone.

    Two queries, whatever the number of VMs. Raises ReplicaError.
    """
    queries = queries_again(before)
    return answered_again(before, queries, session.run(list(queries)))


def queries_again(before: t.Sequence[VirtualMachine]) -> list[Query]:
    """What :func:`read_again` asks."""
    if len(before) > _NARROW:
        return [COMPUTER_SYSTEMS, RELATIONSHIPS]
    names = " OR ".join(f"Name = {quote(vm.id)}" for vm in before)
    ids = " OR ".join(f"InstanceID = {quote(link.id)}" for vm in before for link in vm.relationships)
    queries = [Query(f"{COMPUTER_SYSTEMS.wql} WHERE {names}")]
    return [*queries, Query(f"{RELATIONSHIPS.wql} WHERE {ids}")] if ids else queries


def answered_again(
    before: t.Sequence[VirtualMachine], queries: t.Sequence[Query], answered: t.Sequence[Answer]
) -> dict[str, VirtualMachine]:
    """What :func:`read_again` makes of the answers. Raises ReplicaError."""
    answers = _sorted_out(queries, answered, optional=tuple(queries[1:]))
    relationships = _relationships(answers[queries[1]]) if len(queries) > 1 else {}
    result = {}
    known = {vm.id: vm for vm in before}
    for instance in answers[queries[0]] or ():
        vm = _virtual_machine(instance)
        if vm is not None and vm.id in known:
            result[vm.id] = replace(
                known[vm.id],
                name=vm.name,
                mode=vm.mode,
                state=vm.state,
                health=vm.health,
                failover_type=vm.failover_type,
                power=vm.power,
                last_replication_time=vm.last_replication_time,
                configuration_time=vm.configuration_time,
                relationships=relationships.get(vm.id, ()),
            )
    return result


def read_job(session: CimSession, reference: Reference) -> Job | None:
    """One job by its reference; None when the host no longer knows it. Raises ReplicaError."""
    (answer,) = session.run([Get(reference)])
    if isinstance(answer, Failed):
        raise ReplicaError.from_cim(answer.error, "reading a job")
    return job_of(answer) if isinstance(answer, Instance) else None


def read_affected(session: CimSession, jobs: t.Iterable[Job]) -> dict[str, list[Job]]:
    """For each VM id its jobs among ``jobs``. One query. Raises ReplicaError."""
    answers = ask(session, [AFFECTED])
    by_job = _affected(answers[AFFECTED] or ())
    result: dict[str, list[Job]] = {}
    for job in jobs:
        for vm_id in by_job.get(job.id, ()):
            result.setdefault(vm_id, []).append(job)
    return result


def failed_over_points(instances: t.Iterable[Instance]) -> dict[str, str]:
    """VM id → id of the recovery point it was failed over to, from Msvm_LastAppliedSnapshot."""
    points = {}
    for instance in instances:
        ends = [end for end in instance.properties.values() if isinstance(end, Reference)]
        vm_id = next((guid(end.key("Name") or "") for end in ends if end.class_name == "Msvm_ComputerSystem"), "")
        point = next((end.key("InstanceID") or "" for end in ends if end.key("InstanceID")), "")
        if vm_id and point:
            points[vm_id] = point
    return points


def ask(
    session: CimSession,
    queries: t.Sequence[Query],
    optional: t.Collection[Query] = (),
    dispensable: t.Collection[Query] = (),
) -> dict[Query, tuple[Instance, ...] | None]:
    """Queries in one go.

    An optional one is answered with None where the host has no such class, a dispensable one whatever went wrong.
    """
    return _sorted_out(queries, session.run(list(queries)), optional, dispensable)


def _sorted_out(
    queries: t.Sequence[Query],
    answered: t.Sequence[Answer],
    optional: t.Collection[Query],
    dispensable: t.Collection[Query] = (),
) -> dict[Query, tuple[Instance, ...] | None]:
    result: dict[Query, tuple[Instance, ...] | None] = {}
    for query, answer in zip(queries, answered, strict=True):
        if isinstance(answer, Failed):
            if query in dispensable or (query in optional and answer.error.kind is Kind.NOT_FOUND):
                result[query] = None
                continue
            raise ReplicaError.from_cim(answer.error, "reading the state of the virtual machines")
        if not isinstance(answer, tuple):
            raise ReplicaError(ErrorClass.PROTOCOL_ERROR, f"a query was answered with {type(answer).__name__}")
        result[query] = answer
    return result


def job_of(instance: Instance) -> Job:
    job_id = _text(instance.get("InstanceID"))
    return Job(
        reference=instance.reference or Reference.of(instance.class_name, InstanceID=job_id),
        id=job_id,
        type=_number(instance.get("JobType")),
        state=_number(instance.get("JobState")),
        percent=_number(instance.get("PercentComplete")),
        error_code=_number(instance.get("ErrorCode")),
        error_text=_text(instance.get("ErrorDescription")),
        owner=_text(instance.get("Owner")),
        start_time=_time(instance.get("StartTime")),
    )


def _host(answers: t.Mapping[Query, tuple[Instance, ...] | None]) -> Host:
    host_name = ""
    found: list[VirtualMachine] = []
    systems = answers[COMPUTER_SYSTEMS] or ()
    for instance in systems:
        vm = _virtual_machine(instance)
        if vm is None:
            host_name = _text(instance.get("ElementName")) or _text(instance.get("Name"))
        else:
            found.append(vm)
    if not systems:
        raise ReplicaError(
            ErrorClass.ACCESS_FILTERED,
            "The host answered, but showed no virtual machine and not even itself. That is what a filtered user sees; "
            "it does not mean that there are none.",
        )
    relationship_instances = answers[RELATIONSHIPS]
    relationships = _relationships(relationship_instances)
    settings = _settings(answers[SETTINGS] or ())
    affected = _affected(answers[AFFECTED] or ())
    running = [job_of(instance) for instance in answers[JOBS] or ()]
    jobs: dict[str, list[Job]] = {}
    for job in running:
        for vm_id in affected.get(job.id, ()):
            jobs.setdefault(vm_id, []).append(job)
    remembered: dict[str, set[str]] = {}
    for job_id, vm_ids in affected.items():
        for vm_id in vm_ids:
            remembered.setdefault(vm_id, set()).add(job_id)
    of_copies: dict[str, list[Job]] = {vm_id: list(theirs) for vm_id, theirs in jobs.items()}
    for job in map(job_of, answers.get(COPY_JOBS) or ()):
        for vm_id in affected.get(job.id, ()):
            of_copies.setdefault(vm_id, []).append(job)
    connections = _connections(answers.get(CONNECTIONS) or ())
    adapters = _adapters([*(answers.get(ADAPTERS) or ()), *(answers.get(EMULATED_ADAPTERS) or ())])
    switches = _switches(answers.get(SWITCHES) or (), host_name)
    by_id = {vm.id: vm for vm in found}
    copies: dict[str, list[TestCopy]] = {}
    replica_of: dict[str, str] = {}
    for instance in answers[TEST_COPIES] or ():
        replica, copy = _vm_id(instance.get("Antecedent")), _vm_id(instance.get("Dependent"))
        if replica and copy:
            seen = replace(
                _test_copy(copy, by_id.get(copy)),
                jobs=tuple(of_copies.get(copy, ())),
                known_jobs=frozenset(remembered.get(copy, ())),
                connections=connections.get(copy, ()),
                adapters=adapters.get(copy, 0),
            )
            copies.setdefault(replica, []).append(seen)
            replica_of[copy] = replica
    points = _recovery_points(answers[RECOVERY_POINTS] or ()) if RECOVERY_POINTS in answers else None
    points_applied = answers.get(LAST_APPLIED)
    applied = None if points_applied is None else failed_over_points(points_applied)
    shutdowns = _shutdowns(answers.get(SHUTDOWN) or ())
    network = _network(answers) if FAILOVER_ADDRESSES in answers else None
    complete = [
        replace(
            vm,
            relationships=relationships.get(vm.id, ()),
            relationships_known=relationship_instances is not None,
            settings=settings.get(vm.id, ()),
            jobs=tuple((of_copies if vm.mode == ReplicationMode.TEST_REPLICA else jobs).get(vm.id, ())),
            known_jobs=frozenset(remembered.get(vm.id, ())),
            test_copies=tuple(copies.get(vm.id, ())),
            replica_id=replica_of.get(vm.id, ""),
            recovery_points=None if points is None else tuple(points.get(vm.id, ())),
            failed_over_point=None if applied is None else applied.get(vm.id, ""),
            shutdown=shutdowns.get(vm.id),
            adapters=None if network is None else tuple(network.get(vm.id, ())),
            connections=connections.get(vm.id, ()),
            switches=switches,
        )
        for vm in found
    ]
    return Host(
        name=host_name,
        virtual_machines=tuple(complete),
        unattributed_jobs=tuple(job for job in running if not affected.get(job.id)),
    )


def _test_copy(copy_id: str, vm: VirtualMachine | None) -> TestCopy:
    return TestCopy(copy_id, "") if vm is None else TestCopy(vm.id, vm.name, vm.reference, vm.mode, vm.power)


def _connections(instances: t.Iterable[Instance]) -> dict[str, tuple[Connection, ...]]:
    result: dict[str, list[Connection]] = {}
    for instance in instances:
        connection_id = _text(instance.get("InstanceID"))
        match = _OF_A_VM.match(connection_id)
        if match is None:
            continue  # of the host itself, or of a definition
        resources = instance.get("HostResource")
        paths = [_text(path) for path in resources] if isinstance(resources, tuple) else []
        connected = instance.get("EnabledState") in (None, _ENABLED)
        found = next(filter(None, map(_SWITCH_PATH.search, paths)), None) if connected else None
        vm_id = match.group(1).upper()
        reference = instance.reference or Reference.of(instance.class_name, InstanceID=connection_id)
        switch_id = found.group(1).upper() if found else ""
        result.setdefault(vm_id, []).append(Connection(connection_id, vm_id, reference, switch_id))
    return {vm_id: tuple(sorted(found, key=lambda one: one.id)) for vm_id, found in result.items()}


def _adapters(instances: t.Iterable[Instance]) -> dict[str, int]:
    """How many network adapters each VM has."""
    matches = [_OF_A_VM.match(_text(instance.get("InstanceID"))) for instance in instances]
    return Counter(match.group(1).upper() for match in matches if match)


def _switches(instances: t.Iterable[Instance], host: str) -> tuple[Switch, ...]:
    result = []
    for instance in instances:
        if instance.reference is not None:
            keys = ",".join(f'{name}="{value}"' for name, value in instance.reference.keys)
            # Assumption: a path made of the keys that the host returned is the one that it would give itself.
            path = rf"\\{host or '.'}\root\virtualization\v2:{instance.class_name}.{keys}"
            result.append(Switch(_text(instance.get("Name")).upper(), _text(instance.get("ElementName")), path))
    return tuple(result)


def _shutdowns(instances: t.Iterable[Instance]) -> dict[str, Reference]:
    """VM id → the component of its guest; Msvm_ShutdownComponent names the VM in SystemName."""
    result = {}
    for instance in instances:
        vm_id = guid(_text(instance.get("SystemName")))
        # 2 is "enabled" (page: Msvm_ShutdownComponent, EnabledState); a component that is off takes no request.
        if vm_id and instance.reference is not None and instance.get("EnabledState") == _ENABLED:
            result[vm_id] = instance.reference
    return result


def _network(answers: t.Mapping[Query, tuple[Instance, ...] | None]) -> dict[str, list[NetworkAdapter]]:
    """VM id → its network adapters, in the order of their ids; those of snapshots and templates belong to no VM."""
    found = {_text(each.get("InstanceID")).casefold(): each for each in answers[FAILOVER_ADDRESSES] or ()}
    settings: dict[str, Instance] = {}
    for instance in answers[ADAPTER_FAILOVER] or ():
        adapter, part = instance.get("GroupComponent"), instance.get("PartComponent")
        if isinstance(adapter, Reference) and isinstance(part, Reference):
            wanted = found.get((part.key("InstanceID") or "").casefold())
            if wanted is not None:
                settings[(adapter.key("InstanceID") or "").casefold()] = wanted
    result: dict[str, list[NetworkAdapter]] = {}
    for instance in sorted(answers[ADAPTERS] or (), key=lambda each: _text(each.get("InstanceID"))):
        adapter_id = _text(instance.get("InstanceID"))
        match = _OF_A_VM.match(adapter_id)
        if match is not None:
            addresses = settings.get(adapter_id.casefold())
            result.setdefault(match.group(1).upper(), []).append(
                NetworkAdapter(
                    id=adapter_id,
                    name=_text(instance.get("ElementName")),
                    mac=_text(instance.get("Address")).upper(),
                    failover=None if addresses is None else _failover_addresses(addresses),
                )
            )
    return result


def _failover_addresses(instance: Instance) -> FailoverAddresses:
    return FailoverAddresses(
        id=_text(instance.get("InstanceID")),
        protocol=_number(instance.get("ProtocolIFType")),
        dhcp=instance.get("DHCPEnabled") is True,
        addresses=_texts(instance.get("IPAddresses")),
        subnets=_texts(instance.get("Subnets")),
        gateways=_texts(instance.get("DefaultGateways")),
        dns_servers=_texts(instance.get("DNSServers")),
    )


def _virtual_machine(instance: Instance) -> VirtualMachine | None:
    """The VM of an Msvm_ComputerSystem; None for the host, whose Name is no GUID."""
    name = _text(instance.get("Name"))
    vm_id = guid(name)
    if not vm_id:
        return None
    reference = instance.reference or Reference.of(
        instance.class_name, CreationClassName=_text(instance.get("CreationClassName")), Name=name
    )
    return VirtualMachine(
        id=vm_id,
        name=_text(instance.get("ElementName")),
        reference=reference,
        mode=_number(instance.get("ReplicationMode")),
        state=_number(instance.get("ReplicationState")),
        health=_number(instance.get("ReplicationHealth")),
        failover_type=_number(instance.get("FailedOverReplicationType")),
        power=_number(instance.get("EnabledState")),
        last_replication_time=_time(instance.get("LastReplicationTime")),
        configuration_time=_time(instance.get("TimeOfLastConfigurationChange")),
    )


def _relationships(instances: tuple[Instance, ...] | None) -> dict[str, tuple[Relationship, ...]]:
    result: dict[str, list[Relationship]] = {}
    for instance in instances or ():
        instance_id = _text(instance.get("InstanceID"))
        match = _HVR.match(instance_id)
        if match is None:
            raise ReplicaError(
                ErrorClass.PROTOCOL_ERROR,
                f"A replication relationship has the id {instance_id!r}, which names no VM. Nothing was decided on it.",
            )
        result.setdefault(match.group(1).upper(), []).append(
            Relationship(
                id=instance_id,
                index=int(match.group(2) or 0),
                state=_number(instance.get("ReplicationState")),
                health=_number(instance.get("ReplicationHealth")),
                failover_type=_number(instance.get("FailedOverReplicationType")),
                last_replication_type=_number(instance.get("LastReplicationType")),
                last_replication_time=_time(instance.get("LastReplicationTime")),
                last_application_consistent_replication_time=_time(
                    instance.get("LastApplicationConsistentReplicationTime")
                ),
                last_apply_time=_time(instance.get("LastApplyTime")),
            )
        )
    return {vm_id: tuple(sorted(links, key=lambda link: link.index)) for vm_id, links in result.items()}


def _settings(instances: t.Iterable[Instance]) -> dict[str, tuple[Settings, ...]]:
    result: dict[str, list[Settings]] = {}
    for instance in instances:
        match = _HVR.match(_text(instance.get("InstanceID")))
        if match is None:
            continue  # a template of the host, of no VM
        result.setdefault(match.group(1).upper(), []).append(
            Settings(
                index=int(match.group(2) or 0),
                primary_host=_text(instance.get("PrimaryHostSystem")),
                recovery_host=_text(instance.get("RecoveryHostSystem")),
                primary_connection_point=_text(instance.get("PrimaryConnectionPoint")),
                recovery_connection_point=_text(instance.get("RecoveryConnectionPoint")),
                recovery_port=_number(instance.get("RecoveryServerPortNumber")),
                authentication_type=_number(instance.get("AuthenticationType")),
                replication_interval=_number(instance.get("ReplicationInterval")),
                id=_text(instance.get("InstanceID")),
                reference=instance.reference,
                stated=tuple(
                    (name, instance.get(name)) for name in SETTINGS_AGAIN if instance.get(name) is not None
                ),
            )
        )
    return {vm_id: tuple(sorted(found, key=lambda one: one.index)) for vm_id, found in result.items()}


def _affected(instances: t.Iterable[Instance]) -> dict[str, list[str]]:
    """Job id → the ids of the VMs it concerns."""
    result: dict[str, list[str]] = {}
    for instance in instances:
        job = instance.get("AffectingElement")
        vm_id = _vm_id(instance.get("AffectedElement"))
        job_id = job.key("InstanceID") if isinstance(job, Reference) else None
        if job_id and vm_id:
            result.setdefault(job_id, []).append(vm_id)
    return result


def _recovery_points(instances: t.Iterable[Instance]) -> dict[str, list[RecoveryPoint]]:
    result: dict[str, list[RecoveryPoint]] = {}
    for instance in instances:
        kind = _text(instance.get("VirtualSystemType")).rpartition(":")[2]
        vm_id = guid(_text(instance.get("VirtualSystemIdentifier")))
        result.setdefault(vm_id, []).append(
            RecoveryPoint(
                id=_text(instance.get("InstanceID")),
                name=_text(instance.get("ElementName")),
                type=_POINT_TYPES.get(kind, "unknown"),
                time=_time(instance.get("CreationTime")),
                reference=instance.reference
                or Reference.of(instance.class_name, InstanceID=_text(instance.get("InstanceID"))),
            )
        )
    oldest = datetime.min.replace(tzinfo=timezone.utc)
    return {vm_id: sorted(points, key=lambda point: point.time or oldest) for vm_id, points in result.items()}


def _vm_id(value: Value) -> str:
    return guid(value.key("Name") or "") if isinstance(value, Reference) else ""


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Value) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, tuple) else ()


def _number(value: Value) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _time(value: Value) -> datetime | None:
    return value if isinstance(value, datetime) and value.year > _NEVER else None
