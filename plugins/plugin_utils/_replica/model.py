# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What was read from a host, as values.

Numbers stay raw (``int``, or None where the host gave NULL): a number nobody knows must survive until the
decision tables see it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Reference, Value
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import numbers


@dataclass(frozen=True)
class Relationship:
    """Msvm_ReplicationRelationship: 0 is the primary relationship, 1 the extended one."""

    id: str
    index: int
    state: int | None
    health: int | None
    failover_type: int | None
    last_replication_type: int | None = None
    last_replication_time: datetime | None = None
    last_application_consistent_replication_time: datetime | None = None
    last_apply_time: datetime | None = None


@dataclass(frozen=True)
class Job:
    """Msvm_ConcreteJob. Texts are the host's words in the host's language: shown, never decided on."""

    reference: Reference
    id: str
    type: int | None
    state: int | None
    percent: int | None = None
    error_code: int | None = None
    error_text: str = ""
    owner: str = ""
    start_time: datetime | None = None

    @classmethod
    def forgotten(cls, reference: Reference) -> Job:
        """A job that the host no longer knows. How it was seen last, if it was, is a matter of when somebody looked."""
        return cls(reference, reference.key("InstanceID") or "", type=None, state=None)

    @property
    def running(self) -> bool:
        return self.state in numbers.JOB_RUNNING


@dataclass(frozen=True)
class Settings:
    """Msvm_ReplicationSettingData of one relationship: who talks to whom."""

    index: int
    primary_host: str = ""
    recovery_host: str = ""
    primary_connection_point: str = ""
    recovery_connection_point: str = ""
    recovery_port: int | None = None
    authentication_type: int | None = None
    replication_interval: int | None = None
    id: str = ""
    reference: Reference | None = None
    stated: tuple[tuple[str, Value], ...] = ()
    """What of it can be said to the host again, by the names of the properties; without those that are NULL."""

    def get(self, name: str) -> Value:
        return dict(self.stated).get(name)


@dataclass(frozen=True)
class Switch:
    """Msvm_VirtualEthernetSwitch. Its id is a GUID; its name may be that of another one, too."""

    id: str
    name: str
    path: str
    """Its object path, as a setting that names it wants it."""


@dataclass(frozen=True)
class Connection:
    """Msvm_EthernetPortAllocationSettingData: what one network adapter of a VM is connected to."""

    id: str
    vm_id: str
    reference: Reference
    switch_id: str
    """Empty: to nothing."""


@dataclass(frozen=True)
class TestCopy:
    """The VM that a test failover made of a replica (Msvm_ReplicaSystemDependency)."""

    id: str
    name: str
    reference: Reference | None = None
    """None where the host named it and did not show it."""
    mode: int | None = None
    power: int | None = None
    jobs: tuple[Job, ...] = ()
    """As those of a VM: the jobs that had not ended ..."""
    known_jobs: frozenset[str] = frozenset()
    """... and the ids of all that the host still remembers."""
    connections: tuple[Connection, ...] = ()
    """As far as they were read."""
    adapters: int = 0
    """How many network adapters it has, as far as they were read."""


@dataclass(frozen=True)
class RecoveryPoint:
    """Msvm_VirtualSystemSettingData of a recovery point."""

    id: str
    name: str
    type: str  # standard, application_consistent, planned_failover
    time: datetime | None
    reference: Reference | None = None


@dataclass(frozen=True)
class FailoverAddresses:
    """Msvm_FailoverNetworkAdapterSettingData: what the guest is given after a failover. Texts as the host has them."""

    id: str
    protocol: int | None = None
    dhcp: bool = False
    addresses: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    """Parallel to the addresses: a mask for IPv4, the length of the prefix for IPv6."""
    gateways: tuple[str, ...] = ()
    dns_servers: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkAdapter:
    """Msvm_SyntheticEthernetPortSettingData of a VM."""

    id: str
    name: str
    mac: str
    failover: FailoverAddresses | None = None
    """None where the host shows no such settings of it."""


@dataclass(frozen=True)
class VirtualMachine:
    """One VM as Msvm_ComputerSystem showed it at one moment, and what belongs to it."""

    id: str
    name: str
    reference: Reference
    mode: int | None
    state: int | None
    health: int | None
    failover_type: int | None
    power: int | None
    last_replication_time: datetime | None = None
    configuration_time: datetime | None = None
    """TimeOfLastConfigurationChange: moves when somebody fails the VM over anew."""
    relationships: tuple[Relationship, ...] = ()
    relationships_known: bool = True
    """False on Windows Server 2012, which has no relationship class."""
    jobs: tuple[Job, ...] = ()
    """The replication jobs of this VM that had not ended."""
    known_jobs: frozenset[str] = frozenset()
    """The ids of all jobs of this VM the host still remembers, ended ones too."""
    test_copies: tuple[TestCopy, ...] = ()
    replica_id: str = ""
    """Of a test copy: the replica it was made of, where the host said so."""
    settings: tuple[Settings, ...] = ()
    failed_over_point: str | None = None
    """The id of the recovery point it was failed over to, empty where the host names none; None: not read."""
    recovery_points: tuple[RecoveryPoint, ...] | None = None
    """From the oldest to the newest; None: not read."""
    shutdown: Reference | None = None
    """The component through which the guest can be asked to shut down; None: not read, or there is none."""
    adapters: tuple[NetworkAdapter, ...] | None = None
    """None: not read."""

    connections: tuple[Connection, ...] = ()
    """Of its network adapters, as far as they were read."""
    switches: tuple[Switch, ...] = ()
    """Those of its host, as far as they were read."""

    def relationship(self, index: int) -> Relationship | None:
        return next((found for found in self.relationships if found.index == index), None)

    def settings_of(self, index: int) -> Settings | None:
        return next((found for found in self.settings if found.index == index), None)

    @property
    def position(self) -> tuple[object, ...]:
        """What a change of any kind moves: power, mode, and the state of each relationship."""
        return self.power, self.mode, self.state, tuple((link.index, link.state) for link in self.relationships)

    @property
    def state_is_unknown(self) -> bool:
        """Whether the state could not be read, or is a number that nobody documented."""
        return self.state not in set(numbers.ReplicationState)

    @property
    def relationship_agrees(self) -> bool:
        """Whether relationship 0 shows the same state as the VM (nothing to compare with on 2012)."""
        if not self.relationships_known:
            return True
        primary = self.relationship(0)
        if primary is None:
            return self.mode in (numbers.ReplicationMode.NONE, numbers.ReplicationMode.TEST_REPLICA)
        return primary.state == self.state

    @property
    def jobs_known(self) -> frozenset[str]:
        """The ids of the jobs that concern the VM or its test copies, ended ones too."""
        return self.known_jobs.union(*(copy.known_jobs for copy in self.test_copies))

    @property
    def peer_host(self) -> str:
        """The host on the other end of the primary relationship, as the settings name it."""
        for settings in self.settings:
            if settings.index == 0:
                if self.mode == numbers.ReplicationMode.PRIMARY:
                    return settings.recovery_host or settings.recovery_connection_point
                return settings.primary_host or settings.primary_connection_point
        return ""


@dataclass(frozen=True)
class Host:
    """One reading of a host. ``name`` is empty where the host's own instance was not visible."""

    name: str
    virtual_machines: tuple[VirtualMachine, ...]
    unattributed_jobs: tuple[Job, ...] = field(default=())
    """Running replication jobs that the host did not connect with any VM."""

    def virtual_machine(self, vm_id: str) -> VirtualMachine | None:
        return next((vm for vm in self.virtual_machines if vm.id == vm_id), None)
