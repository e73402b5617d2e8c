# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""The CIM classes this collection talks to: properties, keys and methods, with their types.

An answer on the wire does not say whether a single value is an array of one, or whether ``3`` is a number:
the table does, so that both transports return the same values. It is also the list of what may be called:
a class or a method that is not in here is refused before anything is sent.

Names and types: the class definitions of root/virtualization/v2 on Windows Server 2019 and 23H2, as published in
github.com/microsoft/wmi; keys and the order of parameters: "Hyper-V WMI provider (V2)", learn.microsoft.com.
Windows Server 2012 lacks what 2012 R2 added; what a host leaves out of an answer is simply not in the Instance.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class CimType:
    """``name`` is a CIM type (``string``, ``uint16``, ``datetime`` ..), or ``ref`` with the class it may refer to."""

    name: str
    array: bool = False
    refers_to: str = ""


@dataclass(frozen=True)
class Method:
    """One method: what goes in and what comes out, each in the order of the MOF. All return uint32."""

    inputs: t.Mapping[str, CimType]
    outputs: t.Mapping[str, CimType]


@dataclass(frozen=True)
class CimClass:
    name: str
    keys: tuple[str, ...]
    properties: t.Mapping[str, CimType]
    methods: t.Mapping[str, Method]


TEXT = CimType("string")
"""How a property is read that no class in the table has: as the text it came in."""

_METHOD = re.compile(r"(\w+)\((.*)\)")
_PARAMETER = re.compile(r"(out )?(?:(\w+) REF|(\w+)) (\w+)(\[\])?")


def _types(text: str) -> dict[str, CimType]:
    """``uint16: A B string[]: C`` -> the type of A, B and C."""
    types = {}
    current = TEXT
    for word in text.split():
        if word.endswith(":"):
            name = word[:-1]
            array = name.endswith("[]")
            name = name[:-2] if array else name
            current = CimType("ref", array, name[4:]) if name.startswith("ref=") else CimType(name, array)
        else:
            types[word] = current
    return types


def _method(text: str) -> tuple[str, Method]:
    """``Name(uint16 In, out CIM_X REF Out)`` -> the name and its parameters."""
    signature = _matched(_METHOD, text)
    inputs: dict[str, CimType] = {}
    outputs: dict[str, CimType] = {}
    for parameter in filter(None, signature[2].split(", ")):
        out, refers_to, scalar, name, array = _matched(_PARAMETER, parameter).groups()
        (outputs if out else inputs)[name] = CimType(scalar or "ref", bool(array), refers_to or "")
    return signature[1], Method(inputs, outputs)


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError(f"a slip in the schema table: {text}")
    return found


def _class(name: str, keys: str, properties: str, *methods: str) -> CimClass:
    return CimClass(name, tuple(keys.split()), _types(properties), dict(map(_method, methods)))


# What several classes inherit, named as in the CIM schema.
_MANAGED_ELEMENT = "string: Caption Description ElementName InstanceID "
_SYSTEM_ELEMENT = _MANAGED_ELEMENT + (
    "string: Name Status uint16: CommunicationStatus DetailedStatus HealthState OperatingStatus PrimaryStatus "
    "uint16[]: OperationalStatus string[]: StatusDescriptions datetime: InstallDate "
)
_ENABLED_ELEMENT = _SYSTEM_ELEMENT + (
    "string: OtherEnabledState uint16[]: AvailableRequestedStates datetime: TimeOfLastStateChange "
    "uint16: EnabledDefault EnabledState RequestedState TransitioningToState "
)
_SERVICE = _ENABLED_ELEMENT + (
    "string: CreationClassName PrimaryOwnerContact PrimaryOwnerName StartMode SystemCreationClassName SystemName "
    "boolean: Started "
)
_SERVICE_KEYS = "CreationClassName Name SystemCreationClassName SystemName"
_DEVICE_KEYS = "CreationClassName DeviceID SystemCreationClassName SystemName"
_ALLOCATION = _MANAGED_ELEMENT + (
    "string: Address AddressOnParent AllocationUnits OtherEndpointMode OtherResourceType Parent PoolID "
    "ResourceSubType VirtualQuantityUnits boolean: AutomaticAllocation AutomaticDeallocation "
    "string[]: Connection HostResource "
    "uint16: ConsumerVisibility DesiredVLANEndpointMode MappingBehavior ResourceType "
    "uint64: Limit Reservation VirtualQuantity uint32: Weight "
)
_SYSTEM_SETTINGS = _MANAGED_ELEMENT + (
    "string: ConfigurationDataRoot ConfigurationFile ConfigurationID LogDataRoot RecoveryFile "
    "SnapshotDataRoot SuspendDataRoot SwapFileDataRoot VirtualSystemIdentifier VirtualSystemType "
    "uint16: AutomaticRecoveryAction AutomaticShutdownAction AutomaticStartupAction "
    "AutomaticStartupActionSequenceNumber datetime: AutomaticStartupActionDelay CreationTime string[]: Notes "
)
_DEPENDENCY = ("Antecedent Dependent", "ref=CIM_ManagedElement: Antecedent Dependent")
_COMPONENT = ("GroupComponent PartComponent", "ref=CIM_ManagedElement: GroupComponent PartComponent")
_SETTING = ("ManagedElement SettingData", "ref=CIM_ManagedElement: ManagedElement ref=CIM_SettingData: SettingData ")

_VM = "CIM_ComputerSystem REF ComputerSystem"
_POINT = "CIM_VirtualSystemSettingData REF SnapshotSettingData"
_JOB = "out CIM_ConcreteJob REF Job"
_STATISTICS = f"out string ReplicationStatistics[], out string ReplicationHealthIssues[], {_JOB}"

CLASSES: t.Mapping[str, CimClass] = {
    entry.name: entry
    for entry in (
        _class(
            "Msvm_ComputerSystem",
            "CreationClassName Name",
            _ENABLED_ELEMENT + "string: CreationClassName NameFormat PrimaryOwnerContact PrimaryOwnerName "
            "string[]: IdentifyingDescriptions OtherDedicatedDescriptions OtherIdentifyingInfo Roles "
            "uint16[]: Dedicated PowerManagementCapabilities uint16: EnhancedSessionModeState "
            "FailedOverReplicationType LastReplicationType NumberOfNumaNodes ReplicationHealth ReplicationMode "
            "ReplicationState ResetCapability uint32: HwThreadsPerCoreRealized ProcessID uint64: OnTimeInMilliseconds "
            "datetime: LastApplicationConsistentReplicationTime LastReplicationTime LastSuccessfulBackupTime "
            "TimeOfLastConfigurationChange",
            f"RequestStateChange(uint16 RequestedState, {_JOB}, datetime TimeoutPeriod)",
            f"RequestReplicationStateChange(uint16 RequestedState, {_JOB}, datetime TimeoutPeriod)",
            "RequestReplicationStateChangeEx(string ReplicationRelationship, uint16 RequestedState, "
            f"{_JOB}, datetime TimeoutPeriod)",
        ),
        _class(
            "Msvm_ReplicationService",
            _SERVICE_KEYS,
            _SERVICE,
            f"RevertFailover({_VM}, {_JOB})",
            f"InitiateFailover({_VM}, {_POINT}, {_JOB})",
            f"CommitFailover({_VM}, {_JOB})",
            f"ReverseReplicationRelationship({_VM}, string ReplicationSettingData, {_JOB})",
            f"TestReplicaSystem({_VM}, {_POINT}, out CIM_ComputerSystem REF ResultingSystem, {_JOB})",
            f"StartReplication({_VM}, uint16 InitialReplicationType, string InitialReplicationExportLocation, "
            f"datetime StartTime, {_JOB})",
            f"Resynchronize({_VM}, datetime StartTime, {_JOB})",
            f"SetFailoverNetworkAdapterSettings({_VM}, string NetworkSettings[], {_JOB})",
            f"CreateReplicationRelationship({_VM}, string ReplicationSettingData, {_JOB})",
            f"ModifyReplicationSettings({_VM}, string ReplicationSettingData, {_JOB})",
            f"RemoveReplicationRelationshipEx({_VM}, string ReplicationRelationship, {_JOB})",
            f"ChangeReplicationModeToPrimary({_VM}, string ReplicationRelationship, {_JOB})",
            f"ImportInitialReplica({_VM}, string InitialReplicationImportLocation, {_JOB})",
            f"ModifyServiceSettings(string SettingData, {_JOB})",
            f"AddAuthorizationEntry(string AuthorizationEntry, {_JOB})",
            f"ModifyAuthorizationEntry(string AuthorizationEntry, {_JOB})",
            f"RemoveAuthorizationEntry(string AllowedPrimaryHostSystem, {_JOB})",
            f"GetReplicationStatistics({_VM}, {_STATISTICS})",
            f"GetReplicationStatisticsEx({_VM}, string ReplicationRelationship, {_STATISTICS})",
            "TestReplicationConnection(string RecoveryConnectionPoint, uint16 RecoveryServerPortNumber, "
            f"uint16 AuthenticationType, string CertificateThumbPrint, boolean BypassProxyServer, {_JOB})",
        ),
        _class(
            "Msvm_ReplicationRelationship",
            "InstanceID",
            _SYSTEM_ELEMENT + "uint16: FailedOverReplicationType LastReplicationType ReplicationHealth "
            "ReplicationState datetime: LastApplicationConsistentReplicationTime LastApplyTime LastReplicationTime",
        ),
        _class(
            "Msvm_ReplicationSettingData",
            "InstanceID",
            _SYSTEM_SETTINGS + "string: AdditionalSettings CertificateThumbPrint PrimaryConnectionPoint "
            "PrimaryHostSystem RecoveryConnectionPoint RecoveryHostSystem ReplicationProvider "
            "RootCertificateThumbPrint uint16: ApplicationConsistentSnapshotInterval AuthenticationType "
            "RecoveryHistory RecoveryServerPortNumber ReplicationInterval boolean: AutoResynchronizeEnabled "
            "BypassProxyServer CompressionEnabled EnableWriteOrderPreservationAcrossDisks ReplicateHostKvpItems "
            "datetime: AutoResynchronizeIntervalEnd AutoResynchronizeIntervalStart string[]: IncludedDisks",
        ),
        _class(
            "Msvm_ReplicationServiceSettingData",
            "InstanceID",
            _MANAGED_ELEMENT + "string: CertificateThumbPrint uint16: AllowedAuthenticationType HttpPort HttpsPort "
            "uint32: MonitoringInterval datetime: MonitoringStartTime boolean: RecoveryServerEnabled",
        ),
        _class(
            "Msvm_ReplicationAuthorizationSettingData",
            "InstanceID",
            _MANAGED_ELEMENT + "string: AllowedPrimaryHostSystem ReplicaStorageLocation TrustGroup",
        ),
        _class(
            "Msvm_ReplicationStatistics",
            "",
            _MANAGED_ELEMENT + "uint32: ApplicationConsistentSnapshotFailureCount MaxReplicationLatency "
            "NetworkFailureCount ReplicationFailureCount ReplicationHealth ReplicationLatency ReplicationMissCount "
            "ReplicationSuccessCount uint64: MaxReplicationSize PendingReplicationSize ReplicationSize "
            "datetime: EndStatisticTime LastTestFailoverTime StartStatisticTime",
        ),
        _class(
            "Msvm_ConcreteJob",
            "InstanceID",
            _SYSTEM_ELEMENT + "boolean: Cancellable DeleteOnCompletion string: ErrorDescription "
            "ErrorSummaryDescription JobStatus Notify OtherRecoveryAction Owner RunStartInterval uint16: ErrorCode "
            "JobState JobType LocalOrUtcTime PercentComplete RecoveryAction RunDayOfWeek RunMonth sint8: RunDay "
            "uint32: JobRunTimes Priority datetime: ElapsedTime ScheduledStartTime StartTime TimeBeforeRemoval "
            "TimeOfLastStateChange TimeSubmitted UntilTime",
            "GetError(out string Error)",
            "GetErrorEx(out string Errors[])",
            "RequestStateChange(uint16 RequestedState, datetime TimeoutPeriod)",
        ),
        _class(
            "Msvm_Error",
            "",
            "uint16: CIMStatusCode ErrorSourceFormat ErrorType PerceivedSeverity ProbableCause "
            "string: CIMStatusCodeDescription ErrorSource Message MessageID OtherErrorSourceFormat OtherErrorType "
            "OwningEntity ProbableCauseDescription string[]: MessageArguments RecommendedActions",
        ),
        _class(
            "Msvm_VirtualSystemSettingData",
            "InstanceID",
            _SYSTEM_SETTINGS + "string: AdditionalRecoveryInformation AutomaticCriticalErrorActionTimeout BIOSGUID "
            "BIOSSerialNumber BaseBoardSerialNumber BootPciExpressInstanceFilter ChassisAssetTag ChassisSerialNumber "
            "FirmwareFile GuestStateDataRoot GuestStateFile MemoryHostingJobObjectName Parent SecureBootTemplateId "
            "Version WorkerJobObjectName boolean: AllowFullSCSICommandSet AllowReducedFcRedundancy "
            "AutomaticSnapshotsEnabled BIOSNumLock BootPciExpress EnableHibernation GuestControlledCacheTypes "
            "GuestStateIsolationEnabled IncrementalBackupEnabled IsAutomaticSnapshot IsSaved LockOnDisconnect "
            "PauseAfterBootFailure SecureBootEnabled TurnOffOnGuestRestart VirtualNumaEnabled WatchdogEnabled "
            "uint16: Architecture AutomaticCriticalErrorAction ClusterWideNodeCapabilitiesValidationMode ConsoleMode "
            "DebugPortEnabled EnhancedSessionTransportType GuestStateIsolationMode GuestStateIsolationType "
            "NetworkBootPreferredProtocol UserSnapshotType VMBusMessageRedirection VirtualSlitType "
            "VirtualSystemSubType Vtl2AddressSpaceConfigurationMode uint16[]: BootOrder "
            "string[]: BootSourceOrder NumaNodeTopologyArray uint32: DebugChannelId DebugPort "
            "uint8[]: FirmwareParameters uint64: GuestFeatureSet HighMmioGapBase HighMmioGapSize LowMmioGapSize "
            "Vtl2AddressRangeBase Vtl2AddressRangeSize Vtl2MmioAddressRangeSize",
        ),
        _class(
            "Msvm_VirtualSystemManagementService",
            _SERVICE_KEYS,
            _SERVICE,
            f"DestroySystem(CIM_ComputerSystem REF AffectedSystem, {_JOB})",
            "ModifyResourceSettings(string ResourceSettings[], "
            f"out CIM_ResourceAllocationSettingData REF ResultingResourceSettings[], {_JOB})",
        ),
        _class(
            "Msvm_ShutdownComponent",
            _DEVICE_KEYS,
            _ENABLED_ELEMENT + "string: CreationClassName DeviceID ErrorDescription SystemCreationClassName SystemName "
            "string[]: IdentifyingDescriptions OtherIdentifyingInfo uint16: Availability StatusInfo "
            "uint16[]: AdditionalAvailability PowerManagementCapabilities boolean: ErrorCleared "
            "PowerManagementSupported uint32: LastErrorCode uint64: MaxQuiesceTime PowerOnHours TotalPowerOnHours",
            "InitiateShutdown(boolean Force, string Reason)",
        ),
        _class(
            "Msvm_FailoverNetworkAdapterSettingData",
            "InstanceID",
            _MANAGED_ELEMENT + "boolean: DHCPEnabled string[]: DNSServers DefaultGateways IPAddresses Subnets "
            "uint16: ProtocolIFType",
        ),
        _class(
            "Msvm_SyntheticEthernetPortSettingData",
            "InstanceID",
            _ALLOCATION + "boolean: AllowDirectTranslatedP2P AllowPacketDirect ClusterMonitored DeviceNamingEnabled "
            "InterruptModeration NumaAwarePlacement StaticMacAddress string[]: VirtualSystemIdentifiers "
            "uint32: MediaType",
        ),
        _class(
            "Msvm_EmulatedEthernetPortSettingData",
            "InstanceID",
            _ALLOCATION + "boolean: ClusterMonitored StaticMacAddress",
        ),
        _class(
            "Msvm_EthernetPortAllocationSettingData",
            "InstanceID",
            _ALLOCATION
            + "string: CompartmentGuid LastKnownSwitchName PortName TestReplicaPoolID TestReplicaSwitchName "
            "string[]: RequiredFeatureHints RequiredFeatures uint16: EnabledState",
        ),
        _class(
            "Msvm_VirtualEthernetSwitch",
            "CreationClassName Name",
            _ENABLED_ELEMENT + "string: CreationClassName NameFormat PrimaryOwnerContact PrimaryOwnerName "
            "string[]: IdentifyingDescriptions OtherDedicatedDescriptions OtherIdentifyingInfo Roles "
            "uint16[]: Dedicated PowerManagementCapabilities uint16: ResetCapability "
            "uint32: MaxIOVOffloads MaxVMQOffloads",
        ),
        _class("Msvm_SystemReplicationRelationship", *_DEPENDENCY),
        _class("Msvm_ReplicaSystemDependency", *_DEPENDENCY),
        _class("Msvm_SnapshotOfVirtualSystem", *_DEPENDENCY),
        _class("Msvm_MostCurrentSnapshotInBranch", *_DEPENDENCY),
        _class("Msvm_LastAppliedSnapshot", *_DEPENDENCY),
        _class("Msvm_ParentChildSettingData", *_DEPENDENCY),
        _class("Msvm_EthernetPortFailoverSettingDataComponent", *_COMPONENT),
        _class("Msvm_VirtualSystemSettingDataComponent", *_COMPONENT),
        _class("Msvm_SettingsDefineState", *_SETTING),
        _class("Msvm_ElementSettingData", _SETTING[0], _SETTING[1] + "uint16: IsCurrent IsDefault IsNext"),
        _class(
            "Msvm_AffectedJobElement",
            "AffectedElement AffectingElement",
            "ref=CIM_ManagedElement: AffectedElement ref=CIM_Job: AffectingElement uint16[]: ElementEffects "
            "string[]: OtherElementEffectsDescriptions",
        ),
    )
}


def property_type(class_name: str, name: str) -> str | None:
    """The CIM type of a property (``uint16``, ``ref`` ..), or None where the table does not know it."""
    known = CLASSES.get(class_name)
    found = known.properties.get(name) if known else None
    return found.name if found else None


def is_array(class_name: str, name: str) -> bool:
    """Whether a property is an array; False where the table does not know it."""
    known = CLASSES.get(class_name)
    return known is not None and known.properties.get(name, TEXT).array


def keys(class_name: str) -> tuple[str, ...]:
    """The key properties of a class; none for an unknown class, and for those that only live embedded."""
    known = CLASSES.get(class_name)
    return known.keys if known else ()


def method_parameters(class_name: str, method: str) -> Method:
    """The parameters of a method, each way in the order of the MOF. KeyError: not in the table, must not be called."""
    return CLASSES[class_name].methods[method]
