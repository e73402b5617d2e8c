# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""Every number Hyper-V Replica speaks in, with its name.

The rest of the collection uses the names; a raw number appears here and nowhere else. All of them are *raw
WMI numbers*: the integers of the PowerShell enumerations differ by one from 3 to 16 and are never used.

Sources are pages of the "Hyper-V WMI provider (V2)" documentation, named at each enumeration.
"""

from __future__ import annotations

import enum


class ReplicationMode(enum.IntEnum):
    """Which part a VM plays. Page: Msvm_ComputerSystem, ReplicationMode."""

    NONE = 0
    PRIMARY = 1
    REPLICA = 2
    TEST_REPLICA = 3
    EXTENDED_REPLICA = 4


class ReplicationState(enum.IntEnum):
    """Where a relationship stands. Page: Msvm_ReplicationRelationship, ReplicationState.

    While a change runs the host already shows the state it is changing to.
    """

    DISABLED = 0
    READY_FOR_REPLICATION = 1
    WAITING_TO_COMPLETE_INITIAL_REPLICATION = 2
    REPLICATING = 3
    PREPARED_FOR_PLANNED_FAILOVER = 4  # page: "Synced replication complete"
    FAILED_OVER = 5  # page: "Recovered"
    COMMITTED = 6
    SUSPENDED = 7
    CRITICAL = 8
    WAITING_TO_START_RESYNCHRONIZATION = 9
    RESYNCHRONIZING = 10
    RESYNCHRONIZATION_SUSPENDED = 11
    FAILOVER_IN_PROGRESS = 12
    FAILBACK_IN_PROGRESS = 13
    FAILBACK_COMPLETE = 14
    DISK_UPDATE_IN_PROGRESS = 15
    DISK_UPDATE_CRITICAL = 16
    UNKNOWN = 17
    REPURPOSE_IN_PROGRESS = 18
    PREPARED_FOR_SYNC_REPLICATION = 19
    PREPARED_FOR_GROUP_REVERSE_REPLICATION = 20
    FIREDRILL_IN_PROGRESS = 21


class ReplicationHealth(enum.IntEnum):
    """Page: Msvm_ReplicationRelationship, ReplicationHealth."""

    NOT_APPLICABLE = 0
    OK = 1
    WARNING = 2
    CRITICAL = 3


class FailoverType(enum.IntEnum):
    """What a VM was failed over to. Page: Msvm_ReplicationRelationship, FailedOverReplicationType."""

    NONE = 0
    REGULAR = 1
    APPLICATION_CONSISTENT = 2
    PLANNED = 3


class AuthenticationType(enum.IntEnum):
    """Page: Msvm_ReplicationSettingData, AuthenticationType."""

    KERBEROS = 1
    CERTIFICATE = 2


class InitialReplicationType(enum.IntEnum):
    """Page: StartReplication method of Msvm_ReplicationService."""

    NETWORK = 1
    EXPORT = 2
    SEEDED = 3


class Power(enum.IntEnum):
    """EnabledState. Page: Msvm_ComputerSystem for 0 to 10; the rest as microsoft/wmi names them.

    So the meaning of the rest is an assumption. Were 32786 not an off VM, the host would refuse the call (32775).
    """

    UNKNOWN = 0
    OTHER = 1
    RUNNING = 2
    OFF = 3
    SHUTTING_DOWN = 4
    NOT_APPLICABLE = 5
    SAVED = 6
    IN_TEST = 7
    DEFERRED = 8
    PAUSED = 9
    STARTING = 10
    RESET = 11
    SAVING = 32773
    PAUSING = 32776
    RESUMING = 32777
    FAST_SAVED = 32779
    FAST_SAVING = 32780
    FORCE_SHUTDOWN = 32781
    FORCE_REBOOT = 32782
    HIBERNATED = 32783
    COMPONENT_SERVICING = 32784
    RUNNING_CRITICAL = 32785
    OFF_CRITICAL = 32786
    STOPPING_CRITICAL = 32787
    SAVED_CRITICAL = 32788
    PAUSED_CRITICAL = 32789
    STARTING_CRITICAL = 32790
    RESET_CRITICAL = 32791
    SAVING_CRITICAL = 32792
    PAUSING_CRITICAL = 32793
    RESUMING_CRITICAL = 32794
    FAST_SAVED_CRITICAL = 32795
    FAST_SAVING_CRITICAL = 32796


class RequestedState(enum.IntEnum):
    """What RequestStateChange of a VM takes. Page: RequestStateChange method of Msvm_ComputerSystem."""

    RUNNING = 2
    OFF = 3  # a power cut, not a shutdown


class JobState(enum.IntEnum):
    """Page: Msvm_ConcreteJob, JobState; 32768 as in the vendor's Hyper-V Replica sample."""

    NEW = 2
    STARTING = 3
    RUNNING = 4
    SUSPENDED = 5
    SHUTTING_DOWN = 6
    COMPLETED = 7
    TERMINATED = 8
    KILLED = 9
    EXCEPTION = 10
    COMPLETED_WITH_WARNINGS = 32768


JOB_RUNNING = frozenset({JobState.NEW, JobState.STARTING, JobState.RUNNING, JobState.SUSPENDED, JobState.SHUTTING_DOWN})
JOB_SUCCEEDED = frozenset({JobState.COMPLETED, JobState.COMPLETED_WITH_WARNINGS})
JOB_CANCELLED = frozenset({JobState.TERMINATED, JobState.KILLED})
JOB_FAILED = frozenset({JobState.EXCEPTION})
JOB_ENDED = JOB_SUCCEEDED | JOB_CANCELLED | JOB_FAILED


class JobType(enum.IntEnum):
    """Page: Msvm_ConcreteJob, JobType. Only those that replication, or this collection, starts."""

    DESTROY_VM = 3
    START_VM = 12
    POWER_OFF_VM = 13
    MODIFY_SERVICE_SETTINGS = 90
    CREATE_RELATIONSHIP = 91
    MODIFY_RELATIONSHIP = 92
    REMOVE_RELATIONSHIP = 93
    START_INITIAL_REPLICATION = 94
    IMPORT_INITIAL_REPLICA = 95
    CHANGE_REPLICATION_STATE = 96
    INITIATE_FAILOVER = 97
    REVERT_FAILOVER = 98
    COMMIT_FAILOVER = 99
    INITIATE_SYNCED_REPLICATION = 100
    CANCEL_SYNCED_REPLICATION = 101
    INITIATE_TEST_REPLICA = 102
    REMOVE_TEST_REPLICA = 103
    REVERSE_RELATIONSHIP = 104
    SEND_DELTA = 105
    RECEIVE_DELTA = 106
    RESYNCHRONIZE = 107
    APPLY_CHANGE_LOG = 108
    STOP_INITIAL_REPLICATION = 109
    STOP_RESYNCHRONIZATION = 110
    STATISTICS = 111
    CONSISTENCY_CHECK = 112
    CONSISTENCY_CHECK_RUN = 113
    CONSISTENCY_CHECK_STOP = 114
    TEST_CONNECTION = 115
    SEND_INITIAL_REPLICATION = 116
    SEND_RESYNCHRONIZATION = 117
    EXPORT_INITIAL_REPLICATION = 118
    RESET_STATISTICS = 119
    APPLY_REGISTERED_DELTAS = 120
    RESYNCHRONIZE_EXTENDED = 121
    READ_TEST_CONFIGURATION = 122
    CHANGE_MODE_TO_PRIMARY = 123
    FAILBACK = 124
    UPDATE_DISK_SET = 125


REPLICATION_JOBS = range(JobType.MODIFY_SERVICE_SETTINGS, JobType.UPDATE_DISK_SET + 1)

BACKGROUND_JOBS = frozenset(
    {
        JobType.SEND_DELTA,
        JobType.RECEIVE_DELTA,
        JobType.APPLY_CHANGE_LOG,
        JobType.STATISTICS,
        JobType.CONSISTENCY_CHECK,
        JobType.CONSISTENCY_CHECK_RUN,
        JobType.CONSISTENCY_CHECK_STOP,
        JobType.TEST_CONNECTION,
        JobType.SEND_INITIAL_REPLICATION,
        JobType.SEND_RESYNCHRONIZATION,
        JobType.RESET_STATISTICS,
        JobType.APPLY_REGISTERED_DELTAS,
        JobType.READ_TEST_CONFIGURATION,
    }
)
"""Jobs that move data or read: a healthy relationship runs them all the time, and none moves its state."""


class ProtocolType(enum.IntEnum):
    """Page: Msvm_FailoverNetworkAdapterSettingData, ProtocolIFType."""

    UNKNOWN = 0
    OTHER = 1
    IPV4 = 4096
    IPV6 = 4097
    BOTH = 4098


class Severity(enum.IntEnum):
    """Page: Msvm_Error, PerceivedSeverity (of CIM_Error)."""

    UNKNOWN = 0
    OTHER = 1
    INFORMATION = 2
    WARNING = 3
    MINOR = 4
    MAJOR = 5
    CRITICAL = 6
    FATAL = 7


class ReturnCode(enum.IntEnum):
    """What a method with a Job answers. Page: RevertFailover method of Msvm_ReplicationService."""

    COMPLETED = 0
    JOB_STARTED = 4096
    FAILED = 32768
    ACCESS_DENIED = 32769
    NOT_SUPPORTED = 32770
    STATUS_UNKNOWN = 32771
    TIMEOUT = 32772
    INVALID_PARAMETER = 32773
    IN_USE = 32774
    INVALID_STATE = 32775
    INCORRECT_DATA_TYPE = 32776
    SYSTEM_NOT_AVAILABLE = 32777
    OUT_OF_MEMORY = 32778
    FILE_NOT_FOUND = 32779


def name_of(kind: type[enum.IntEnum], raw: int | None) -> str:
    """The name that a result shows for a raw number: lower case, ``unknown`` where there is none.

    An unknown number never gets a known name: the raw number stands beside the name everywhere.
    """
    if raw is None:
        return "unreadable"
    try:
        return kind(raw).name.lower()
    except ValueError:
        return "unknown"
