# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The numbers of the lab's world, by name: raw WMI numbers, never the integers of PowerShell enumerations.

The lab keeps its own table on purpose: it is the witness against which the collection's table is tested.
Sources: pages of the "Hyper-V WMI provider (V2)" documentation, named at each enumeration.
"""

from __future__ import annotations

import difflib
import enum


class Mode(enum.IntEnum):
    """Msvm_ComputerSystem, ReplicationMode."""

    NONE = 0
    PRIMARY = 1
    REPLICA = 2
    TEST_REPLICA = 3
    EXTENDED_REPLICA = 4


class State(enum.IntEnum):
    """Msvm_ReplicationRelationship, ReplicationState."""

    DISABLED = 0
    READY_FOR_REPLICATION = 1
    WAITING_TO_COMPLETE_INITIAL_REPLICATION = 2
    REPLICATING = 3
    PREPARED_FOR_PLANNED_FAILOVER = 4
    FAILED_OVER = 5
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


_BOTH_SIDES = frozenset(map(State, (2, 3, 7, 8, 10, 11, 12, 15, 16, 18)))
_PRIMARY_SIDE = _BOTH_SIDES | frozenset(map(State, (0, 1, 4, 9, 19, 20)))
_REPLICA_SIDE = _BOTH_SIDES | frozenset(map(State, (0, 5, 6, 13, 14, 21)))

STATES_OF_MODE: dict[Mode, frozenset[State]] = {
    Mode.NONE: frozenset({State.DISABLED}),
    Mode.PRIMARY: _PRIMARY_SIDE,
    Mode.REPLICA: _REPLICA_SIDE,
    Mode.TEST_REPLICA: frozenset({State.DISABLED, State.REPLICATING}),
    Mode.EXTENDED_REPLICA: _REPLICA_SIDE,
}
"""Where a state occurs. Msvm_ReplicationRelationship, with what each verb's page says of its side."""


class Health(enum.IntEnum):
    """Msvm_ReplicationRelationship, ReplicationHealth."""

    NOT_APPLICABLE = 0
    OK = 1
    WARNING = 2
    CRITICAL = 3


class FailoverType(enum.IntEnum):
    """Msvm_ReplicationRelationship, FailedOverReplicationType and LastReplicationType."""

    NONE = 0
    REGULAR = 1
    APPLICATION_CONSISTENT = 2
    PLANNED = 3


class Power(enum.IntEnum):
    """EnabledState: 0 to 10 of Msvm_ComputerSystem; the rest as in the public generated code of microsoft/wmi."""

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


POWERED_OFF = frozenset({Power.OFF, Power.OFF_CRITICAL})
POWERED_ON = frozenset({Power.RUNNING, Power.RUNNING_CRITICAL, Power.PAUSED, Power.PAUSED_CRITICAL})
STATE_SAVED = frozenset({Power.SAVED, Power.SAVED_CRITICAL, Power.FAST_SAVED, Power.HIBERNATED})
CHANGING_POWER = frozenset({Power.STARTING, Power.SHUTTING_DOWN, Power.SAVING, Power.PAUSING, Power.RESUMING})


class AuthenticationType(enum.IntEnum):
    """Msvm_ReplicationSettingData, AuthenticationType; the service's AllowedAuthenticationType may be both (3)."""

    KERBEROS = 1
    CERTIFICATE = 2


class InitialReplicationType(enum.IntEnum):
    """StartReplication method of Msvm_ReplicationService, InitialReplicationType."""

    NETWORK = 1
    EXPORT = 2
    SEEDED = 3


class JobState(enum.IntEnum):
    """Msvm_ConcreteJob, JobState; 32768 from the vendor's Replica sample."""

    NEW = 2
    STARTING = 3
    RUNNING = 4
    SUSPENDED = 5
    SHUTTING_DOWN = 6
    COMPLETED = 7
    TERMINATED = 8
    KILLED = 9
    EXCEPTION = 10
    SERVICE = 11
    COMPLETED_WITH_WARNINGS = 32768


class JobType(enum.IntEnum):
    """Msvm_ConcreteJob, JobType: those that the world itself starts."""

    DESTROY_VM = 3
    START_VM = 12
    POWER_OFF_VM = 13
    SAVE_VM = 14
    RESTORE_VM = 15
    PAUSE_VM = 26
    RESUME_VM = 27
    MODIFY_SERVICE_SETTINGS = 90
    CREATE_RELATIONSHIP = 91
    MODIFY_RELATIONSHIP = 92
    REMOVE_RELATIONSHIP = 93
    START_REPLICATION = 94
    IMPORT_REPLICA = 95
    REPLICATE_STATE_CHANGE = 96
    INITIATE_FAILOVER = 97
    REVERT_FAILOVER = 98
    COMMIT_FAILOVER = 99
    INITIATE_SYNCED_REPLICATION = 100
    CANCEL_SYNCED_REPLICATION = 101
    INITIATE_TEST_REPLICA = 102
    REMOVE_TEST_REPLICA = 103
    REVERSE_RELATIONSHIP = 104
    RESYNCHRONIZE = 107
    STATISTICS = 111
    TEST_CONNECTION = 115
    SEND_INITIAL_REPLICA = 116
    RESYNCHRONIZE_INITIAL_REPLICA = 117
    EXPORT_INITIAL_REPLICA = 118
    RESET_STATISTICS = 119
    RESYNCHRONIZE_EXTENDED = 121
    MODE_TO_PRIMARY = 123


BACKGROUND_JOB_TYPES = frozenset({105, 106, 108, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 122})
"""Jobs that move data or only look (send and receive delta, statistics, ...): no verb waits for them."""


class Code(enum.IntEnum):
    """What a method with a Job returns: RevertFailover method of Msvm_ReplicationService."""

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


def name_of(kind: type[enum.IntEnum], raw: int) -> str:
    """The name of a raw number in lower case; the number itself where it has none."""
    try:
        return kind(raw).name.lower()
    except ValueError:
        return str(raw)


def number(kind: type[enum.IntEnum], written: int | str) -> int:
    """A number as a person writes it: by name, or raw (any number, known or not). ValueError for other words."""
    if isinstance(written, int) and not isinstance(written, bool):
        return int(written)
    names = {member.name.lower(): member for member in kind}
    try:
        return int(names[str(written).lower()])
    except KeyError:
        near = difflib.get_close_matches(str(written).lower(), names, 1, 0.4)
        hint = f"; did you mean {near[0]}?" if near else f"; one of {', '.join(names)}"
        raise ValueError(f"{written!r} is no {kind.__name__.lower()}{hint}") from None
