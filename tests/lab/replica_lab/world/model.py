# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is in the world: virtual machines, their relationships and recovery points, and users."""

from __future__ import annotations

import enum
import typing as t
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone

from replica_lab.numbers import CHANGING_POWER, POWERED_OFF, FailoverType, Health, Mode, Power, State
from replica_lab.provider import Value

if t.TYPE_CHECKING:
    from replica_lab.world.host import Host

UNSET_TIME = datetime(1601, 1, 1, tzinfo=timezone.utc)
"""How a time that never was looks: the zero of Windows file times."""

NOT_APPLICABLE = 12
"""RequestedState when nothing is requested: CIM_EnabledLogicalElement."""

WRITES_PER_SECOND = 1.0
"""How fast a running guest writes, in writes per world second."""

BYTES_PER_WRITE = 4096


class Guest(enum.Enum):
    """How a guest takes a request to shut down."""

    WILLING = "willing"
    NO_SERVICES = "no_services"  # no integration services: there is nobody to ask
    HANGS = "hangs"  # begins, and never goes off
    NEEDS_FORCE = "needs_force"  # something holds it up that Force overrides
    REFUSES = "refuses"  # whatever is asked


class Rights(enum.Enum):
    """What a user may do on a host."""

    FULL = "full"
    HIDDEN = "hidden"  # UAC filtered: neither VMs nor the host itself
    HIDDEN_VMS = "hidden_vms"  # sees the host, no VM
    READ_ONLY = "read_only"  # reads everything, calls nothing
    DENIED = "denied"  # not even reads


@dataclass(frozen=True)
class User:
    """Somebody who can log on."""

    name: str
    password: str
    rights: Rights = Rights.FULL


class PointType(enum.Enum):
    """Kinds of snapshot: Msvm_VirtualSystemSettingData, VirtualSystemType, behind "Microsoft:Hyper-V:Snapshot:"."""

    STANDARD = "Replica:Standard"
    APPLICATION_CONSISTENT = "Replica:ApplicationConsistent"
    PLANNED_FAILOVER = "Replica:PlannedFailover"
    CHECKPOINT = "Realized"  # made by a user: no recovery point

    @property
    def failover_type(self) -> FailoverType:
        return _FAILOVER_TYPES[self]


_FAILOVER_TYPES = {
    PointType.STANDARD: FailoverType.REGULAR,
    PointType.APPLICATION_CONSISTENT: FailoverType.APPLICATION_CONSISTENT,
    PointType.PLANNED_FAILOVER: FailoverType.PLANNED,
    PointType.CHECKPOINT: FailoverType.NONE,
}


@dataclass
class Point:
    """A recovery point, or a user's checkpoint."""

    id: str
    type: PointType
    created: datetime


@dataclass
class Statistics:
    """What Msvm_ReplicationStatistics counts, since the last reset."""

    since: datetime = UNSET_TIME
    successes: int = 0
    failures: int = 0
    network_failures: int = 0
    size: int = 0
    max_size: int = 0
    last_test: datetime = UNSET_TIME

    def sent(self, size: int) -> None:
        """A delta went over."""
        self.successes += 1
        self.size = size
        self.max_size = max(self.max_size, size)


@dataclass
class Authorization:
    """Msvm_ReplicationAuthorizationSettingData: a primary host from which replication is taken."""

    primary: str
    trust_group: str = ""
    storage: str = ""

    def allows(self, host: Host) -> bool:
        r"""Whether it means this host: ``*``, ``*.domain`` or the name."""
        allowed, name = self.primary.casefold(), host.fqdn.casefold()
        return allowed == "*" or (allowed.startswith("*.") and name.endswith(allowed[1:])) or host.is_called(allowed)


@dataclass
class Switch:
    """Msvm_VirtualEthernetSwitch."""

    id: str
    name: str


@dataclass
class Nic:
    """A network adapter of a VM, its connection, and the addresses it is to have after a failover."""

    id: str
    name: str
    mac: str
    switch: str = ""
    """The id of the switch it is connected to; empty: not connected."""
    connected: bool = True
    """Whether there is a connection at all, enabled or not (Msvm_EthernetPortAllocationSettingData)."""
    last_switch: str = ""
    test_switch: str = ""
    """The name of the switch to which a test copy is connected."""
    failover: dict[str, Value] = field(default_factory=dict)
    """What of Msvm_FailoverNetworkAdapterSettingData was set."""


@dataclass
class Relationship:
    """Msvm_ReplicationRelationship: 0 is the primary one, 1 the extended one. Raw numbers."""

    index: int
    state: int = State.DISABLED
    health: int = Health.NOT_APPLICABLE
    failed_over_type: int = FailoverType.NONE
    last_type: int = FailoverType.NONE
    last_time: datetime | None = None
    last_consistent_time: datetime | None = None
    last_apply_time: datetime | None = None
    peer: str = ""
    """The host on the other end, in the world or outside of it."""
    settings: dict[str, Value] = field(default_factory=dict)
    """What of Msvm_ReplicationSettingData differs from the default."""
    statistics: Statistics = field(default_factory=Statistics)
    exported: str = ""
    """The folder to which the initial replication was written, while it waits to be imported."""

    @property
    def ever_sent(self) -> bool:
        return self.last_time is not None


# Who stands at the other end: (own mode, own relationship) -> (mode there, relationship there).
_PARTNERS: dict[tuple[int, int], tuple[Mode, int]] = {
    (Mode.PRIMARY, 0): (Mode.REPLICA, 0),
    (Mode.REPLICA, 0): (Mode.PRIMARY, 0),
    (Mode.REPLICA, 1): (Mode.EXTENDED_REPLICA, 0),
    (Mode.EXTENDED_REPLICA, 0): (Mode.REPLICA, 1),
}


@dataclass(eq=False, repr=False)
class Vm:
    """A virtual machine on one host. The same GUID on another host is the other side of its replication."""

    host: Host
    id: str
    name: str
    mode: int = Mode.NONE
    power: int = Power.OFF
    requested_power: int = NOT_APPLICABLE
    relationships: list[Relationship] = field(default_factory=lambda: [Relationship(0)])
    points: list[Point] = field(default_factory=list)
    failed_over: bool = False
    failed_over_point: str = ""
    replica: Vm | None = None
    """Of a test copy: the VM it was made of."""
    guest_writes: float = 0.0
    """Writes since the failover: what a revert throws away."""
    unsent_writes: float = 0.0
    """Of a primary: writes that no replica has yet."""
    discarded_writes: float = 0.0
    guest: Guest = Guest.WILLING
    shutting_down: bool = False
    """The guest was asked to, and did not say no."""
    nics: list[Nic] = field(default_factory=list)
    authorization: Authorization | None = None
    """Of a replica: the primary that it is bound to (SetAuthorizationEntry)."""
    counted: datetime = UNSET_TIME
    visible: bool = True
    in_backup: bool = False
    merging_until: datetime = UNSET_TIME
    installed: datetime = UNSET_TIME
    configured: datetime = UNSET_TIME
    power_changed: datetime = UNSET_TIME
    overrides: dict[str, dict[str, t.Any]] = field(default_factory=dict)
    """What instances of a class show in place of the truth: class name -> property -> value."""

    @property
    def state(self) -> int:
        """The state of the primary relationship."""
        return self.relationships[0].state

    @property
    def is_off(self) -> bool:
        return self.power in POWERED_OFF

    def relationship(self, index: int) -> Relationship | None:
        return next((found for found in self.relationships if found.index == index), None)

    def point(self, point_id: str) -> Point | None:
        return next((found for found in self.points if found.id == point_id), None)

    def recovery_points(self) -> list[Point]:
        """Its recovery points, oldest first; checkpoints of users are none."""
        points = [found for found in self.points if found.type is not PointType.CHECKPOINT]
        return sorted(points, key=lambda found: found.created)

    def test_copies(self) -> list[Vm]:
        return [vm for vm in self.host.vms if vm.replica is self]

    def sends(self, index: int) -> bool:
        """Whether this is the sending end of its relationship."""
        return self.mode == Mode.PRIMARY or index == 1

    def twins(self) -> list[Vm]:
        """The VMs of the same id on other hosts, whatever their mode."""
        hosts = self.host.world.hosts.values()
        return [vm for host in hosts if host is not self.host and (vm := host.vm(self.id)) is not None]

    def partner(self, index: int) -> tuple[Vm, Relationship] | None:
        """The VM and the relationship at the other end of one of its own, where the world holds them.

        Each end knows its peer by name. One of the two may have moved to another host, so one name that fits
        is enough; none fits where the other end has long had somebody else, whom it knows better.
        """
        found = self._nearest(index)
        if found is None:
            return None
        back = found[0]._nearest(found[1].index)
        return found if back is not None and back[0] is self else None

    def _nearest(self, index: int) -> tuple[Vm, Relationship] | None:
        """Whom this end takes for its partner."""
        wanted = _PARTNERS.get((self.mode, index))
        own = self.relationship(index)
        if wanted is None or own is None:
            return None
        fitting = []
        for vm in self.twins():
            there = vm.relationship(wanted[1])
            if vm.mode == wanted[0] and there is not None:
                known = [vm.host.is_called(own.peer), self.host.is_called(there.peer)]
                if any(known) or not (own.peer or there.peer):
                    fitting.append((sum(known), vm, there))
        best = max(fitting, key=lambda entry: entry[0], default=None)
        return best[1:] if best else None

    def nic(self, nic_id: str) -> Nic | None:
        return next((nic for nic in self.nics if nic.id == nic_id.upper()), None)

    def add_nic(self, name: str, **fields: t.Any) -> Nic:
        """A network adapter more. Its id is made of the VM's, so that both sides of a replication have the same."""
        number = len(self.nics)
        nic_id = str(uuid.uuid5(uuid.UUID(self.id), str(number))).upper()
        nic = Nic(nic_id, name, mac=f"00155D{nic_id[:4]}{number:02X}", **fields)
        self.nics.append(nic)
        return nic

    def count_writes(self) -> None:
        """Bring the guest's writes up to now. To be called before whatever ends or begins its writing."""
        now = self.host.world.time
        if self.power in (Power.RUNNING, Power.RUNNING_CRITICAL):
            writes = WRITES_PER_SECOND * (now - self.counted).total_seconds()
            if self.failed_over:
                self.guest_writes += writes
            elif self.mode == Mode.PRIMARY:
                self.unsent_writes += writes
        self.counted = now

    def keep_guest_writes(self) -> None:
        """What was written since the failover becomes the VM's own data, which nobody else has yet."""
        self.count_writes()
        self.unsent_writes += self.guest_writes
        self.guest_writes = 0.0
        self.failed_over, self.failed_over_point = False, ""

    def discard_unsent_writes(self) -> None:
        """The other side's disks replace this one's."""
        self.count_writes()
        self.discarded_writes += self.unsent_writes
        self.unsent_writes = 0.0

    def send(self, relationship: Relationship) -> None:
        """What it wrote goes over one of its relationships."""
        self.count_writes()
        relationship.statistics.sent(int(self.unsent_writes) * BYTES_PER_WRITE)
        self.unsent_writes = 0.0

    def set_power(self, power: int) -> None:
        self.count_writes()
        self.power = power
        self.shutting_down = False
        self.power_changed = self.host.world.time

    def remember(self) -> t.Callable[[], None]:
        """What puts the replication states back as they are now, and a power change that never got through."""
        power, requested = self.power, self.requested_power
        states = [(found, found.state, found.health) for found in self.relationships]

        def restore() -> None:
            if self.power in CHANGING_POWER:
                self.set_power(power)
            self.requested_power = requested
            for relationship, state, health in states:
                relationship.state, relationship.health = state, health

        return restore
