# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is in the world: virtual machines, their relationships and recovery points, and users."""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timezone

from replica_lab.numbers import CHANGING_POWER, POWERED_OFF, FailoverType, Health, Mode, Power, State

if t.TYPE_CHECKING:
    from replica_lab.world.host import Host

UNSET_TIME = datetime(1601, 1, 1, tzinfo=timezone.utc)
"""How a time that never was looks: the zero of Windows file times."""

NOT_APPLICABLE = 12
"""RequestedState when nothing is requested: CIM_EnabledLogicalElement."""

WRITES_PER_SECOND = 1.0
"""How fast a running guest writes, in writes per world second."""


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
    """The host on the other end, where the scenario names one that is not in the world."""


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
    discarded_writes: float = 0.0
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

    def partner(self, index: int) -> tuple[Vm, Relationship] | None:
        """The VM and the relationship at the other end of one of its own, where the world holds them."""
        wanted = _PARTNERS.get((self.mode, index))
        if wanted is None:
            return None
        for host in self.host.world.hosts.values():
            vm = host.vm(self.id)
            if host is not self.host and vm is not None and vm.mode == wanted[0]:
                relationship = vm.relationship(wanted[1])
                return (vm, relationship) if relationship else None
        return None

    def count_writes(self) -> None:
        """Bring the guest's writes up to now. To be called before whatever ends or begins its writing."""
        now = self.host.world.time
        if self.failed_over and self.power in (Power.RUNNING, Power.RUNNING_CRITICAL):
            self.guest_writes += WRITES_PER_SECOND * (now - self.counted).total_seconds()
        self.counted = now

    def set_power(self, power: int) -> None:
        self.count_writes()
        self.power = power
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
