# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schema table against the class definitions, and what is asked of it."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import schema

HERE = Path(__file__).parent
SOURCES = (
    HERE.parents[3] / "lab" / "replica_lab" / "cim-schema.json",
    HERE / "fixtures" / "cim-schema-rest.json",
)


def definitions() -> dict[str, t.Any]:
    classes: dict[str, t.Any] = {}
    for source in reversed(SOURCES):
        classes.update(json.loads(source.read_text(encoding="utf-8"))["classes"])
    return classes


def spelled(cim_type: schema.CimType) -> str:
    """The type as the definitions write it: their language knows int8 where CIM has sint8."""
    name = f"ref {cim_type.refers_to}" if cim_type.name == "ref" else cim_type.name.replace("sint", "int")
    return f"{name}[]" if cim_type.array else name


@pytest.mark.parametrize("name", sorted(schema.CLASSES))
def test_a_class_has_the_properties_of_its_definition_and_no_others(name: str) -> None:
    known = {prop: spelled(cim_type) for prop, cim_type in schema.CLASSES[name].properties.items()}
    assert known == definitions()[name]["properties"]


@pytest.mark.parametrize(
    ("name", "method"), sorted((entry.name, method) for entry in schema.CLASSES.values() for method in entry.methods)
)
def test_a_method_has_the_parameters_of_its_definition_in_their_order(name: str, method: str) -> None:
    known = schema.method_parameters(name, method)
    defined = definitions()[name]["methods"][method]
    assert [(key, spelled(value)) for key, value in known.inputs.items()] == list(defined["in"].items())
    assert [(key, spelled(value)) for key, value in known.outputs.items()] == list(defined["out"].items())


@pytest.mark.parametrize("name", sorted(schema.CLASSES))
def test_keys_are_properties_and_never_arrays(name: str) -> None:
    for key in schema.keys(name):
        assert not schema.CLASSES[name].properties[key].array


def test_only_what_is_embedded_has_no_keys() -> None:
    assert {name for name in schema.CLASSES if not schema.keys(name)} == {"Msvm_ReplicationStatistics", "Msvm_Error"}


def test_the_methods_are_those_of_the_verbs_of_this_collection() -> None:
    # Whoever adds a method here widens what the collection can do to a host.
    assert {f"{entry.name}.{method}" for entry in schema.CLASSES.values() for method in entry.methods} == {
        "Msvm_ComputerSystem.RequestReplicationStateChange",
        "Msvm_ComputerSystem.RequestReplicationStateChangeEx",
        "Msvm_ComputerSystem.RequestStateChange",
        "Msvm_ConcreteJob.GetError",
        "Msvm_ConcreteJob.GetErrorEx",
        "Msvm_ConcreteJob.RequestStateChange",
        "Msvm_ReplicationService.AddAuthorizationEntry",
        "Msvm_ReplicationService.ChangeReplicationModeToPrimary",
        "Msvm_ReplicationService.CommitFailover",
        "Msvm_ReplicationService.CreateReplicationRelationship",
        "Msvm_ReplicationService.GetReplicationStatistics",
        "Msvm_ReplicationService.GetReplicationStatisticsEx",
        "Msvm_ReplicationService.ImportInitialReplica",
        "Msvm_ReplicationService.InitiateFailover",
        "Msvm_ReplicationService.ModifyAuthorizationEntry",
        "Msvm_ReplicationService.ModifyReplicationSettings",
        "Msvm_ReplicationService.ModifyServiceSettings",
        "Msvm_ReplicationService.RemoveAuthorizationEntry",
        "Msvm_ReplicationService.RemoveReplicationRelationshipEx",
        "Msvm_ReplicationService.Resynchronize",
        "Msvm_ReplicationService.ReverseReplicationRelationship",
        "Msvm_ReplicationService.RevertFailover",
        "Msvm_ReplicationService.SetFailoverNetworkAdapterSettings",
        "Msvm_ReplicationService.StartReplication",
        "Msvm_ReplicationService.TestReplicaSystem",
        "Msvm_ReplicationService.TestReplicationConnection",
        "Msvm_ShutdownComponent.InitiateShutdown",
        "Msvm_VirtualSystemManagementService.DestroySystem",
        "Msvm_VirtualSystemManagementService.ModifyResourceSettings",
    }


def test_questions_about_what_the_table_does_not_know() -> None:
    assert schema.property_type("Msvm_ComputerSystem", "OperationalStatus") == "uint16"
    assert schema.is_array("Msvm_ComputerSystem", "OperationalStatus")
    assert schema.property_type("Msvm_ComputerSystem", "Colour") is None
    assert schema.property_type("Win32_Process", "Handle") is None
    assert not schema.is_array("Win32_Process", "Handle")
    assert schema.keys("Win32_Process") == ()
    with pytest.raises(KeyError):
        schema.method_parameters("Msvm_ReplicationService", "StopService")
