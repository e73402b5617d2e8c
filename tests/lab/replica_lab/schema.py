# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shapes of the CIM classes that the lab serves: types, keys, superclasses, methods.

``cim-schema.json`` beside this file is derived from the class definitions in microsoft/wmi (MIT); its
``licence`` entry carries the notice. The keys come from the pages of the "Hyper-V WMI provider (V2)".
Types are CIM types; ``[]`` at the end is an array; ``ref X`` is a reference to X or one of its subclasses;
``datetime`` is both a time and an interval.
"""

from __future__ import annotations

import functools
import json
import typing as t
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from replica_lab.provider import Ref

_SYSTEM_KEYS = ("CreationClassName", "Name")
_SERVICE_KEYS = ("CreationClassName", "Name", "SystemCreationClassName", "SystemName")
_DEPENDENCY_KEYS = ("Antecedent", "Dependent")
_SETTING_KEYS = ("ManagedElement", "SettingData")
_COMPONENT_KEYS = ("GroupComponent", "PartComponent")

_KEYS: dict[str, tuple[str, ...]] = {
    "Msvm_ComputerSystem": _SYSTEM_KEYS,
    "Msvm_ReplicationService": _SERVICE_KEYS,
    "Msvm_VirtualSystemManagementService": _SERVICE_KEYS,
    "Msvm_ReplicationRelationship": ("InstanceID",),
    "Msvm_ReplicationSettingData": ("InstanceID",),
    "Msvm_ReplicationServiceSettingData": ("InstanceID",),
    "Msvm_VirtualSystemSettingData": ("InstanceID",),
    "Msvm_ConcreteJob": ("InstanceID",),
    "Msvm_AffectedJobElement": ("AffectedElement", "AffectingElement"),
    "Msvm_ReplicaSystemDependency": _DEPENDENCY_KEYS,
    "Msvm_LastAppliedSnapshot": _DEPENDENCY_KEYS,
    "Msvm_SnapshotOfVirtualSystem": _DEPENDENCY_KEYS,
    "Msvm_SystemReplicationRelationship": _DEPENDENCY_KEYS,
    "Msvm_ElementSettingData": _SETTING_KEYS,
    "Msvm_SettingsDefineState": _SETTING_KEYS,
    "Msvm_ReplicationAuthorizationSettingData": ("InstanceID",),
    "Msvm_FailoverNetworkAdapterSettingData": ("InstanceID",),
    "Msvm_SyntheticEthernetPortSettingData": ("InstanceID",),
    "Msvm_EthernetPortAllocationSettingData": ("InstanceID",),
    "Msvm_EthernetPortFailoverSettingDataComponent": _COMPONENT_KEYS,
    "Msvm_VirtualSystemSettingDataComponent": _COMPONENT_KEYS,
    "Msvm_VirtualEthernetSwitch": _SYSTEM_KEYS,
    "Msvm_ShutdownComponent": ("CreationClassName", "DeviceID", "SystemCreationClassName", "SystemName"),
}

_INTEGERS = {f"uint{bits}": range(1 << bits) for bits in (8, 16, 32, 64)} | {
    f"{name}{bits}": range(-(1 << bits - 1), 1 << bits - 1) for name in ("int", "sint") for bits in (8, 16, 32, 64)
}

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {"boolean": (bool,), "string": (str,), "datetime": (datetime, timedelta)}


@dataclass(frozen=True)
class MethodShape:
    """A method: its in and out parameters with their types, in declaration order."""

    inputs: t.Mapping[str, str]
    outputs: t.Mapping[str, str]
    optional: frozenset[str]
    """In parameters that a caller may leave out."""


@dataclass(frozen=True)
class ClassShape:
    """A class with everything it inherits."""

    name: str
    superclasses: tuple[str, ...]
    properties: t.Mapping[str, str]
    keys: tuple[str, ...]
    methods: t.Mapping[str, MethodShape]

    def is_a(self, class_name: str) -> bool:
        wanted = class_name.casefold()
        return wanted == self.name.casefold() or any(wanted == name.casefold() for name in self.superclasses)


@functools.cache
def classes() -> dict[str, ClassShape]:
    """All classes by name, in the order of the file."""
    document = json.loads(Path(__file__).with_name("cim-schema.json").read_text(encoding="utf-8"))
    return {
        name: ClassShape(
            name=name,
            superclasses=tuple(entry["superclasses"]),
            properties=entry["properties"],
            keys=_KEYS.get(name, ()),
            methods={
                method: MethodShape(shape["in"], shape["out"], frozenset(shape.get("optional", ())))
                for method, shape in entry.get("methods", {}).items()
            },
        )
        for name, entry in document["classes"].items()
    }


@functools.lru_cache(maxsize=512)
def shape(class_name: str) -> ClassShape | None:
    """One class by name, without regard to case; None when there is none (or it is only a superclass)."""
    wanted = class_name.casefold()
    return next((found for name, found in classes().items() if name.casefold() == wanted), None)


@functools.lru_cache(maxsize=512)
def concrete(class_name: str) -> tuple[ClassShape, ...]:
    """The class itself and its subclasses, as far as they are served; empty for an unknown name."""
    return tuple(found for found in classes().values() if found.keys and found.is_a(class_name))


def fits(value: object, cim_type: str) -> bool:
    """Whether a value can travel as this CIM type. NULL always can."""
    if value is None:
        return True
    if cim_type.endswith("[]"):
        return isinstance(value, list) and all(item is not None and fits(item, cim_type[:-2]) for item in value)
    if cim_type.startswith("ref "):
        return isinstance(value, Ref) and _refers_to(value.class_name, cim_type[4:])
    if cim_type in _INTEGERS:
        return isinstance(value, int) and not isinstance(value, bool) and value in _INTEGERS[cim_type]
    return isinstance(value, _PYTHON_TYPES[cim_type])


def _refers_to(class_name: str, wanted: str) -> bool:
    found = shape(class_name)
    return found.is_a(wanted) if found else class_name.casefold() == wanted.casefold()
