# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the world looks as CIM instances: one generator for each class, properties built only when asked for.

A generator takes the VMs to tell about: all of the host, or the few that a reference can mean.
"""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta
from functools import partial

from replica_lab.numbers import POWERED_OFF, Health, JobState, Mode, Power
from replica_lab.provider import Ref
from replica_lab.world import devices
from replica_lab.world.found import (
    MANAGEMENT_SERVICE,
    REPLICATION_SERVICE,
    SETTINGS,
    SYSTEM,
    Found,
    Properties,
    Vms,
    association,
    object_path,
    relationship_id,
    service_ref,
    settings_id,
    settings_ref,
    system_ref,
)
from replica_lab.world.jobs import REMOVED_AFTER, Job
from replica_lab.world.model import NOT_APPLICABLE, UNSET_TIME, Authorization, Point, Relationship, Vm
from replica_lab.world.texts import job_text, text
from replica_lab.world.verbs import server

if t.TYPE_CHECKING:
    from replica_lab.world.host import Host

UINT64_MAX = (1 << 64) - 1
DEFAULT_PROVIDER = "22391CDC-272C-4DDF-BA88-9BEFB1A0975C"  # Msvm_ReplicationProvider: the built-in one

_OPERATIONAL_OK = 2
_OPERATIONAL_DEGRADED = 3
_OPERATIONAL_ERROR = 6
_OPERATIONAL_IN_SERVICE = 11
_OPERATIONAL_MERGING = 32772
_HEALTH_OK = 5
_HEALTH_CRITICAL = 25


# --- systems and services ---------------------------------------------------------------------------------


def computer_systems(host: Host, vms: Vms) -> t.Iterator[Found]:
    """The host comes first: it is one of them."""
    yield Found(system_ref(host.host_name), partial(_host_system, host))
    for vm in vms:
        yield Found(system_ref(vm.id), partial(_vm_system, host, vm), vm)


def _host_system(host: Host) -> Properties:
    return {
        "Caption": text(host.locale, "host_caption"),
        "CreationClassName": SYSTEM,
        "Description": text(host.locale, "host_description"),
        "ElementName": host.host_name,
        "EnabledDefault": 2,
        "EnabledState": 2,
        "FailedOverReplicationType": 0,
        "HealthState": _HEALTH_OK,
        "InstallDate": host.shown(host.installed),
        "LastApplicationConsistentReplicationTime": UNSET_TIME,
        "LastReplicationTime": UNSET_TIME,
        "LastReplicationType": 0,
        "LastSuccessfulBackupTime": UNSET_TIME,
        "Name": host.host_name,
        "OperationalStatus": [_OPERATIONAL_OK],
        "ReplicationHealth": 0,
        "ReplicationMode": 0,
        "ReplicationState": 0,
        "RequestedState": NOT_APPLICABLE,
        "ResetCapability": 1,
        "Status": text(host.locale, "ok"),
        "StatusDescriptions": [text(host.locale, "ok")],
        "TimeOfLastConfigurationChange": host.shown(host.installed),
        "TimeOfLastStateChange": host.shown(host.installed),
    }


def _vm_system(host: Host, vm: Vm) -> Properties:
    relationship = vm.relationships[0]
    now = host.world.time
    running = vm.power not in POWERED_OFF
    critical = Power.RUNNING_CRITICAL <= vm.power <= Power.FAST_SAVING_CRITICAL
    merging = vm.merging_until > now
    status: list[t.Any] = [_OPERATIONAL_IN_SERVICE, _OPERATIONAL_MERGING] if merging else [_OPERATIONAL_OK]
    texts: list[t.Any] = [text(host.locale, "running_normally")]
    return {
        "Caption": text(host.locale, "vm_caption"),
        "CreationClassName": SYSTEM,
        "Description": text(host.locale, "vm_description"),
        "ElementName": vm.name,
        "EnabledDefault": 2,
        "EnabledState": int(vm.power),
        "EnhancedSessionModeState": 2,
        "FailedOverReplicationType": int(relationship.failed_over_type),
        "HealthState": _HEALTH_CRITICAL if critical else _HEALTH_OK,
        "InstallDate": host.shown(vm.installed),
        "LastApplicationConsistentReplicationTime": host.shown(relationship.last_consistent_time),
        "LastReplicationTime": host.shown(relationship.last_time),
        "LastReplicationType": int(relationship.last_type),
        "LastSuccessfulBackupTime": UNSET_TIME,
        "Name": vm.id,
        "NumberOfNumaNodes": 1,
        "OnTimeInMilliseconds": int((now - vm.power_changed) / timedelta(milliseconds=1)) if running else 0,
        "OperationalStatus": [_OPERATIONAL_DEGRADED] if critical else status,
        "ProcessID": 4 + 4 * (vm.installed.microsecond % 8192) if running else None,
        "ReplicationHealth": int(relationship.health),
        "ReplicationMode": int(vm.mode),
        "ReplicationState": int(relationship.state),
        "RequestedState": int(vm.requested_power),
        "ResetCapability": 1,
        "Status": text(host.locale, "ok"),
        "StatusDescriptions": texts + ([text(host.locale, "merging")] if merging else []),
        "TimeOfLastConfigurationChange": host.shown(vm.configured),
        "TimeOfLastStateChange": host.shown(vm.power_changed),
    }


def _service(host: Host, class_name: str, name: str, texts: str) -> Found:
    ref = service_ref(host, class_name, name)

    def build() -> Properties:
        return {
            **dict(ref.keys),
            "Caption": text(host.locale, f"{texts}_caption"),
            "Description": text(host.locale, f"{texts}_description"),
            "ElementName": text(host.locale, f"{texts}_caption"),
            "EnabledDefault": 2,
            "EnabledState": 2,
            "HealthState": _HEALTH_OK,
            "OperationalStatus": [_OPERATIONAL_OK],
            "RequestedState": NOT_APPLICABLE,
            "Started": True,
            "Status": "OK",
            "StatusDescriptions": [text(host.locale, "ok")],
            "TransitioningToState": NOT_APPLICABLE,
        }

    return Found(ref, build, service=True)


def replication_services(host: Host, vms: Vms) -> t.Iterator[Found]:
    yield _service(host, REPLICATION_SERVICE, "replicasvc", "replication_service")


def management_services(host: Host, vms: Vms) -> t.Iterator[Found]:
    yield _service(host, MANAGEMENT_SERVICE, "vmms", "management_service")


def service_settings(host: Host, vms: Vms) -> t.Iterator[Found]:
    instance_id = f"Microsoft:{host.host_name}\\ReplicationService"

    def build() -> Properties:
        return {
            "Caption": text(host.locale, "replication_settings"),
            "ElementName": text(host.locale, "replication_settings"),
            "InstanceID": instance_id,
            **{name: getattr(host.server, field) for name, field in server.FIELDS.items()},
            "AllowedAuthenticationType": int(host.server.authentication),
        }

    yield Found(Ref.of(server.SETTINGS, InstanceID=instance_id), build)


def authorizations(host: Host, vms: Vms) -> t.Iterator[Found]:
    """Whom the host takes replication from. The form of InstanceID is assumed: take it as it comes."""
    for entry in host.authorizations:
        instance_id = f"Microsoft:{host.host_name}\\ReplicationService\\{entry.primary}"
        yield Found(Ref.of(server.AUTHORIZATION, InstanceID=instance_id), partial(_authorization, host, entry))


def _authorization(host: Host, entry: Authorization) -> Properties:
    return {
        "AllowedPrimaryHostSystem": entry.primary,
        "Caption": text(host.locale, "replication_settings"),
        "ElementName": entry.primary,
        "InstanceID": f"Microsoft:{host.host_name}\\ReplicationService\\{entry.primary}",
        "ReplicaStorageLocation": entry.storage,
        "TrustGroup": entry.trust_group,
    }


# --- replication ------------------------------------------------------------------------------------------


def _relationships(host: Host, vms: Vms) -> t.Iterator[tuple[Vm, Relationship]]:
    absent = host.world.assumptions.RELATIONSHIP_WITHOUT_REPLICATION == "absent"
    for vm in vms:
        for relationship in vm.relationships:
            if not (absent and vm.mode in (Mode.NONE, Mode.TEST_REPLICA)):
                yield vm, relationship


def relationships(host: Host, vms: Vms) -> t.Iterator[Found]:
    for vm, relationship in _relationships(host, vms):
        yield Found(
            Ref.of("Msvm_ReplicationRelationship", InstanceID=relationship_id(host, vm, relationship)),
            partial(_relationship, host, vm, relationship),
            vm,
        )


def _relationship(host: Host, vm: Vm, relationship: Relationship) -> Properties:
    return {
        "Caption": text(host.locale, "relationship"),
        "Description": text(host.locale, "relationship"),
        "ElementName": vm.name,
        "FailedOverReplicationType": int(relationship.failed_over_type),
        "HealthState": _HEALTH_OK if relationship.health != Health.CRITICAL else _HEALTH_CRITICAL,
        "InstanceID": relationship_id(host, vm, relationship),
        "LastApplicationConsistentReplicationTime": host.shown(relationship.last_consistent_time),
        "LastApplyTime": host.shown(relationship.last_apply_time),
        "LastReplicationTime": host.shown(relationship.last_time),
        "LastReplicationType": int(relationship.last_type),
        "OperationalStatus": [_OPERATIONAL_OK],
        "ReplicationHealth": int(relationship.health),
        "ReplicationState": int(relationship.state),
        "StatusDescriptions": [text(host.locale, "ok")],
    }


def replication_settings(host: Host, vms: Vms) -> t.Iterator[Found]:
    """Every VM has them, replicated or not."""
    for vm in vms:
        for relationship in vm.relationships:
            yield Found(
                _replication_settings_ref(host, vm, relationship),
                partial(_settings_of, host, vm, relationship),
                vm,
            )


def _replication_settings_ref(host: Host, vm: Vm, relationship: Relationship) -> Ref:
    return Ref.of("Msvm_ReplicationSettingData", InstanceID=relationship_id(host, vm, relationship))


def _settings_of(host: Host, vm: Vm, relationship: Relationship) -> Properties:
    replicated = vm.mode in (Mode.PRIMARY, Mode.REPLICA, Mode.EXTENDED_REPLICA)
    sends = vm.sends(relationship.index)
    partner = vm.partner(relationship.index)
    here, there = host.fqdn, partner[0].host.fqdn if partner else relationship.peer
    primary, recovery = ((here, there) if sends else (there, here)) if replicated else ("", "")
    return {
        "AdditionalSettings": "",
        "ApplicationConsistentSnapshotInterval": 4 if replicated else 0,
        "AuthenticationType": 1,
        "AutoResynchronizeEnabled": False,
        "AutoResynchronizeIntervalEnd": timedelta(hours=6),
        "AutoResynchronizeIntervalStart": timedelta(hours=18, minutes=30),
        "BypassProxyServer": False,
        "Caption": text(host.locale, "replication_settings"),
        "CertificateThumbPrint": "",
        "CompressionEnabled": True,
        "Description": text(host.locale, "replication_settings"),
        "ElementName": vm.name,
        "EnableWriteOrderPreservationAcrossDisks": True,
        "IncludedDisks": [f"Microsoft:{vm.id}\\0\\0\\L"] if replicated else [],
        "InstanceID": relationship_id(host, vm, relationship),
        "PrimaryConnectionPoint": primary,
        "PrimaryHostSystem": primary,
        "RecoveryConnectionPoint": recovery,
        "RecoveryHistory": 4 if replicated else 0,
        "RecoveryHostSystem": recovery,
        "RecoveryServerPortNumber": 80 if replicated else 0,
        "ReplicateHostKvpItems": True,
        "ReplicationInterval": 300,
        "ReplicationProvider": DEFAULT_PROVIDER,
        "RootCertificateThumbPrint": "",
        "VirtualSystemIdentifier": vm.id,
        "VirtualSystemType": "Microsoft:Hyper-V:Replica",
        **relationship.settings,
    }


def relationship_associations(host: Host, vms: Vms) -> t.Iterator[Found]:
    for vm, relationship in _relationships(host, vms):
        dependent = Ref.of("Msvm_ReplicationRelationship", InstanceID=relationship_id(host, vm, relationship))
        yield association(
            host, "Msvm_SystemReplicationRelationship", vm, Antecedent=system_ref(vm.id), Dependent=dependent
        )


def element_settings(host: Host, vms: Vms) -> t.Iterator[Found]:
    """VM to its replication settings, the replication service to its own."""
    (service,), (own,) = replication_services(host, vms), service_settings(host, vms)
    for setting in (own, *authorizations(host, vms)):
        yield association(host, "Msvm_ElementSettingData", None, ManagedElement=service.ref, SettingData=setting.ref)
    for vm in vms:
        for relationship in vm.relationships:
            settings = _replication_settings_ref(host, vm, relationship)
            yield association(
                host, "Msvm_ElementSettingData", vm, ManagedElement=system_ref(vm.id), SettingData=settings
            )


def test_copy_associations(host: Host, vms: Vms) -> t.Iterator[Found]:
    for vm in vms:
        if vm.replica is not None and host.vm(vm.replica.id) is vm.replica:
            yield association(
                host,
                "Msvm_ReplicaSystemDependency",
                vm,
                Antecedent=system_ref(vm.replica.id),
                Dependent=system_ref(vm.id),
            )


# --- settings and points ----------------------------------------------------------------------------------


def system_settings(host: Host, vms: Vms) -> t.Iterator[Found]:
    """The settings of each VM, followed by those of its points."""
    for vm in vms:
        yield Found(settings_ref(vm.id), partial(_realized, host, vm), vm)
        for point in vm.points:
            yield Found(settings_ref(point.id), partial(_point, host, vm, point), vm)


def _realized(host: Host, vm: Vm) -> Properties:
    return {
        "AllowReducedFcRedundancy": False,
        "AutomaticCriticalErrorAction": 1,
        "AutomaticCriticalErrorActionTimeout": "00000000000030.000000:000",
        "AutomaticShutdownAction": 3,
        "AutomaticStartupAction": 2,
        "AutomaticStartupActionDelay": timedelta(0),
        "AutomaticStartupActionSequenceNumber": 0,
        "BIOSNumLock": False,
        "Caption": text(host.locale, "settings"),
        "ConfigurationID": vm.id,
        "CreationTime": host.shown(vm.installed),
        "Description": text(host.locale, "settings"),
        "ElementName": vm.name,
        "GuestFeatureSet": 0,
        "HighMmioGapBase": UINT64_MAX,
        "HighMmioGapSize": 512,
        "IncrementalBackupEnabled": False,
        "InstanceID": settings_id(vm.id),
        "IsSaved": vm.power in (Power.SAVED, Power.SAVED_CRITICAL),
        "Notes": [],
        "UserSnapshotType": 3,
        "Version": "9.0",
        "VirtualNumaEnabled": True,
        "VirtualSystemIdentifier": vm.id,
        "VirtualSystemType": "Microsoft:Hyper-V:System:Realized",
    }


def _point(host: Host, vm: Vm, point: Point) -> Properties:
    created = host.shown(point.created)
    return {
        **_realized(host, vm),
        "ConfigurationID": point.id,
        "CreationTime": created,
        "ElementName": f"{vm.name} - ({created:%m/%d/%Y - %H:%M:%S})",
        "InstanceID": settings_id(point.id),
        "IsSaved": False,
        "Parent": object_path(host, settings_ref(vm.id)),
        "VirtualSystemType": f"Microsoft:Hyper-V:Snapshot:{point.type.value}",
    }


def settings_associations(host: Host, vms: Vms) -> t.Iterator[Found]:
    for vm in vms:
        yield association(
            host,
            "Msvm_SettingsDefineState",
            vm,
            ManagedElement=system_ref(vm.id),
            SettingData=settings_ref(vm.id),
        )


def point_associations(host: Host, vms: Vms) -> t.Iterator[Found]:
    for vm in vms:
        for point in vm.points:
            yield association(
                host,
                "Msvm_SnapshotOfVirtualSystem",
                vm,
                Antecedent=system_ref(vm.id),
                Dependent=settings_ref(point.id),
            )


def applied_points(host: Host, vms: Vms) -> t.Iterator[Found]:
    """Antecedent is the snapshot here, Dependent the VM: the other way round than in Msvm_SnapshotOfVirtualSystem."""
    if not host.world.assumptions.LAST_APPLIED_SNAPSHOT_AFTER_FAILOVER:
        return
    for vm in vms:
        if vm.failed_over_point and vm.point(vm.failed_over_point):
            yield association(
                host,
                "Msvm_LastAppliedSnapshot",
                vm,
                Antecedent=settings_ref(vm.failed_over_point),
                Dependent=system_ref(vm.id),
            )


# --- jobs -------------------------------------------------------------------------------------------------


def jobs(host: Host, vms: Vms) -> t.Iterator[Found]:
    for job in host.jobs:
        yield Found(job.ref, partial(_job, host, job), job.vm, job, listed=not job.course.hidden)


def _job(host: Host, job: Job) -> Properties:
    now = host.world.time
    name = job.vm.name if job.vm else ""
    failed = bool(job.error_code) or job.ended_in in (JobState.EXCEPTION, JobState.TERMINATED, JobState.KILLED)
    failed = failed and not job.running
    description = error_text(host, job) if job.error_code else ""
    title = job_text(host.locale, job.type)
    return {
        "Cancellable": bool(host.world.assumptions.JOBS_CANCELLABLE) and job.running,
        "Caption": title,
        "DeleteOnCompletion": False,
        "Description": title,
        "ElapsedTime": (job.ended or now) - job.started,
        "ElementName": name,
        "ErrorCode": job.error_code,
        "ErrorDescription": description,
        "ErrorSummaryDescription": text(host.locale, "job_summary") if description else "",
        "HealthState": _HEALTH_OK,
        "InstallDate": host.shown(job.started),
        "InstanceID": job.id,
        "JobRunTimes": 1,
        "JobState": int(job.state),
        "JobStatus": text(host.locale, "ok"),
        "JobType": int(job.type),
        "LocalOrUtcTime": 2,
        "Name": title,
        "OperationalStatus": [_OPERATIONAL_ERROR if failed else _OPERATIONAL_OK],
        "Owner": job.owner,
        "PercentComplete": job.percent,
        "StartTime": host.shown(job.started),
        "Status": text(host.locale, "ok"),
        "StatusDescriptions": [text(host.locale, "ok")],
        "TimeBeforeRemoval": REMOVED_AFTER,
        "TimeOfLastStateChange": host.shown(job.ended or job.started),
        "TimeSubmitted": host.shown(job.started),
        "UntilTime": UNSET_TIME,
    }


def error_text(host: Host, job: Job) -> str:
    """The words of a failed job: its own, or the host's stock phrase."""
    name = job.vm.name if job.vm else host.host_name
    return job.text or text(host.locale, "job_failed", name=name, code=job.error_code)


def affected_elements(host: Host, vms: Vms) -> t.Iterator[Found]:
    kept = host.world.assumptions.ENDED_JOB_ASSOCIATION == "kept"
    for job in host.jobs:
        vm = job.vm
        if vm is None or host.vm(vm.id) is not vm or not (job.running or kept):
            continue
        ends = {"AffectedElement": system_ref(vm.id), "AffectingElement": job.ref}
        found = association(host, "Msvm_AffectedJobElement", vm, **ends)
        found.build = partial(dict, ends, ElementEffects=[0], OtherElementEffectsDescriptions=[""])
        found.job, found.listed = job, not job.course.hidden
        yield found


SERVED: dict[str, t.Callable[[Host, Vms], t.Iterator[Found]]] = {
    SYSTEM: computer_systems,
    REPLICATION_SERVICE: replication_services,
    MANAGEMENT_SERVICE: management_services,
    server.SETTINGS: service_settings,
    server.AUTHORIZATION: authorizations,
    "Msvm_ReplicationRelationship": relationships,
    "Msvm_ReplicationSettingData": replication_settings,
    "Msvm_SystemReplicationRelationship": relationship_associations,
    "Msvm_ElementSettingData": element_settings,
    "Msvm_ReplicaSystemDependency": test_copy_associations,
    SETTINGS: system_settings,
    "Msvm_SettingsDefineState": settings_associations,
    "Msvm_SnapshotOfVirtualSystem": point_associations,
    "Msvm_LastAppliedSnapshot": applied_points,
    "Msvm_ConcreteJob": jobs,
    "Msvm_AffectedJobElement": affected_elements,
    devices.SWITCH: devices.switches,
    devices.ADAPTER: devices.adapters,
    devices.CONNECTION: devices.connections,
    devices.FAILOVER_SETTINGS: devices.failover_settings,
    "Msvm_EthernetPortFailoverSettingDataComponent": devices.failover_associations,
    "Msvm_VirtualSystemSettingDataComponent": devices.component_associations,
    devices.SHUTDOWN: devices.shutdown_components,
}


def shown_time(when: datetime | None, skew: timedelta) -> datetime:
    """A time as a host with that skew reports it; what never was stays at the zero date."""
    return UNSET_TIME if when is None or when == UNSET_TIME else when + skew
