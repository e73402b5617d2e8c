# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an instance is before anybody asks for its properties, and how instances are named."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from functools import lru_cache, partial

from replica_lab.provider import Ref, Value
from replica_lab.world.jobs import Job
from replica_lab.world.model import Relationship, Vm

if t.TYPE_CHECKING:
    from replica_lab.world.host import Host

Properties = dict[str, Value]
Vms = t.Iterable[Vm]

SYSTEM = "Msvm_ComputerSystem"
REPLICATION_SERVICE = "Msvm_ReplicationService"
MANAGEMENT_SERVICE = "Msvm_VirtualSystemManagementService"
SETTINGS = "Msvm_VirtualSystemSettingData"


@dataclass
class Found:
    """An instance that exists: cheap to make, its properties wait in ``build``."""

    ref: Ref
    build: t.Callable[[], Properties]
    vm: Vm | None = None
    """The VM it tells about: who may not see that, does not see this. None is the host itself."""
    job: Job | None = None
    listed: bool = True
    """False: not enumerated, but there for who has the reference."""
    service: bool = False


# --- references -------------------------------------------------------------------------------------------


@lru_cache(maxsize=8192)
def system_ref(name: str) -> Ref:
    return Ref.of(SYSTEM, CreationClassName=SYSTEM, Name=name)


def service_ref(host: Host, class_name: str, name: str) -> Ref:
    return Ref.of(
        class_name,
        CreationClassName=class_name,
        Name=name,
        SystemCreationClassName=SYSTEM,
        SystemName=host.host_name,
    )


def settings_id(identifier: str) -> str:
    """InstanceID of the setting data of a VM, or of one of its points."""
    return f"Microsoft:{identifier}"


def relationship_id(host: Host, vm: Vm, relationship: Relationship) -> str:
    """InstanceID of a relationship and of its settings; 2012 knows only one and does not number it."""
    return rf"Microsoft:{vm.id}\HVR" + (rf"\{relationship.index}" if host.version.extended else "")


def object_path(host: Host, ref: Ref) -> str:
    """A reference as WMI writes it, as the key of an association."""
    keys = ",".join('{}="{}"'.format(name, value.replace("\\", r"\\").replace('"', r"\"")) for name, value in ref.keys)
    return rf"\\{host.host_name}\root\virtualization\v2:{ref.class_name}.{keys}"


def association(host: Host, class_name: str, vm: Vm | None, **ends: Ref) -> Found:
    keys = {name: object_path(host, ref) for name, ref in ends.items()}
    return Found(Ref.of(class_name, **keys), partial(dict, ends), vm)


def settings_ref(identifier: str) -> Ref:
    return Ref.of(SETTINGS, InstanceID=settings_id(identifier))
