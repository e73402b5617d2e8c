# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""WQL: what each statement finds, and which are refused."""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta, timezone

import pytest
from replica_lab import wql
from replica_lab.provider import CimObject, NotFound, Ref
from replica_lab.scenario import load


@pytest.fixture
def host(wire: t.Any) -> t.Any:
    def vm(name: str, **properties: t.Any) -> CimObject:
        return wire.system(f"ID-{name.upper()}", ElementName=name, **properties)

    when = datetime(2026, 10, 8, 15, 0, tzinfo=timezone.utc)
    return wire.tiny_world(
        vm("web01", ReplicationState=5, EnabledState=3, InstallDate=when, OperationalStatus=[2]),
        vm("Web02", ReplicationState=3, EnabledState=2, Caption="x"),
        vm("db_1", ReplicationState=3, EnabledState=3),
        vm("db%1", ReplicationState=None),
        vm("it's", ReplicationState=4),
        vm('"quoted"', ReplicationState=6),
        vm("back\\slash", ReplicationState=7),
        CimObject(
            Ref.of("Msvm_ConcreteJob", InstanceID="J"),
            {"InstanceID": "J", "Cancellable": True, "ElapsedTime": timedelta(seconds=5)},
        ),
    ).hosts["HV01"]


def found(host: t.Any, condition: str) -> list[str]:
    return [str(one.properties["ElementName"]) for one in wql.evaluate(host, condition, "operator")]


ALL = ["web01", "Web02", "db_1", "db%1", "it's", '"quoted"', "back\\slash"]


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("ElementName = 'web01'", ["web01"]),
        ('ELEMENTNAME="WEB02"', ["Web02"]),
        ("'web01' = ElementName", ["web01"]),
        ("ElementName <> 'web01'", ALL[1:]),
        ("ElementName != 'web01'", ALL[1:]),
        (r"ElementName = 'it\'s'", ["it's"]),
        ('ElementName = "it\'s"', ["it's"]),
        (r'ElementName = "\"quoted\""', ['"quoted"']),
        (r"ElementName = 'back\\slash'", ["back\\slash"]),
        ("ReplicationState = 3", ["Web02", "db_1"]),
        ("ReplicationState = '3'", ["Web02", "db_1"]),
        ("ReplicationState > 4", ["web01", '"quoted"', "back\\slash"]),
        ("4 < ReplicationState", ["web01", '"quoted"', "back\\slash"]),
        ("ReplicationState >= 6", ['"quoted"', "back\\slash"]),
        ("ReplicationState < 4", ["Web02", "db_1"]),
        ("ReplicationState <= 4", ["Web02", "db_1", "it's"]),
        ("ReplicationState <> 3", ["web01", "it's", '"quoted"', "back\\slash"]),
        ("ReplicationState IS NULL", ["db%1"]),
        ("ReplicationState = NULL", ["db%1"]),
        ("ReplicationState is not null", [name for name in ALL if name != "db%1"]),
        ("ReplicationState <> NULL", [name for name in ALL if name != "db%1"]),
        ("ReplicationState = 3 AND EnabledState = 2", ["Web02"]),
        ("ReplicationState = 5 OR ReplicationState = 3 AND EnabledState = 2", ["web01", "Web02"]),
        ("(ReplicationState = 5 OR ReplicationState = 3) and EnabledState = 3", ["web01", "db_1"]),
        ("NOT (ReplicationState = 5 OR ReplicationState IS NULL)", [name for name in ALL[1:] if name != "db%1"]),
        ("ElementName LIKE 'WEB%'", ["web01", "Web02"]),
        ("ElementName LIKE '_eb0_'", ["web01", "Web02"]),
        ("ElementName LIKE 'web0[1-1]'", ["web01"]),
        ("ElementName LIKE 'web0[^1]'", ["Web02"]),
        ("ElementName LIKE 'db[_]1'", ["db_1"]),
        ("ElementName LIKE 'db[%]1'", ["db%1"]),
        ("ElementName LIKE 'web'", []),
        ("ElementName LIKE '%.%'", []),
        ("NOT ElementName LIKE '%e%'", ["db_1", "db%1", "it's", "back\\slash"]),
        ("Caption = 'x'", ["Web02"]),
        ("Caption LIKE '%'", ["Web02"]),
        ("InstallDate = '20261008170000.000000+120'", ["web01"]),
        ("InstallDate > '20261008150000.000000+000'", []),
    ],
)
def test_where(host: t.Any, condition: str, names: list[str]) -> None:
    assert found(host, f"SELECT * FROM Msvm_ComputerSystem WHERE {condition}") == names


def test_select_without_condition_in_any_spelling(host: t.Any) -> None:
    assert found(host, "  select  *\nfrom Msvm_ComputerSystem ") == ALL


def test_booleans_and_intervals(host: t.Any) -> None:
    for condition in ("Cancellable = TRUE", "Cancellable <> false", "ElapsedTime > '00000000000004.000000:000'"):
        assert len(wql.evaluate(host, f"SELECT * FROM Msvm_ConcreteJob WHERE {condition}", "operator")) == 1
    assert not wql.evaluate(host, "SELECT * FROM Msvm_ConcreteJob WHERE Cancellable = FALSE", "operator")


def test_a_projection_keeps_the_reference(host: t.Any) -> None:
    only = wql.evaluate(host, "SELECT elementNAME, EnabledState FROM Msvm_ComputerSystem WHERE Name='ID-WEB01'", "x")
    assert [one.properties for one in only] == [{"ElementName": "web01", "EnabledState": 3}]
    assert dict(only[0].ref.keys)["Name"] == "ID-WEB01"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT",
        "SELECT * FROM",
        "DELETE FROM Msvm_ComputerSystem",
        "SELECT * FROM Msvm_ComputerSystem WHERE",
        "SELECT * FROM Msvm_ComputerSystem WHERE Name",
        "SELECT * FROM Msvm_ComputerSystem WHERE Name = ",
        "SELECT * FROM Msvm_ComputerSystem WHERE Name = 'x",
        "SELECT * FROM Msvm_ComputerSystem WHERE Name = 'x' y",
        "SELECT * FROM Msvm_ComputerSystem WHERE (Name = 'x'",
        "SELECT * FROM Msvm_ComputerSystem WHERE Name ~ 'x'",
        "SELECT * FROM Msvm_ComputerSystem WHERE Name LIKE 5",
        "SELECT * FROM Msvm_ComputerSystem WHERE Name < NULL",
        "SELECT * FROM Msvm_ComputerSystem WHERE Nome = 'x'",
        "SELECT Nome FROM Msvm_ComputerSystem",
        "SELECT *, Name FROM Msvm_ComputerSystem",
        "SELECT * FROM Msvm_ComputerSystem WHERE Name = 5",
        "SELECT * FROM Msvm_ComputerSystem WHERE ReplicationState = 'five'",
        "SELECT * FROM Msvm_ComputerSystem WHERE OperationalStatus = 2",
        "SELECT * FROM Msvm_ComputerSystem WHERE InstallDate > 'yesterday'",
        "ASSOCIATORS OF {}",
        "ASSOCIATORS OF {Msvm_ComputerSystem}",
        "ASSOCIATORS OF {Msvm_ComputerSystem.Name=}",
        "ASSOCIATORS OF {Msvm_ComputerSystem.Name='ID-WEB01'} WHERE ClassDefsOnly",
        "ASSOCIATORS OF {Msvm_ComputerSystem.Name='ID-WEB01'} WHERE Colour=Blue",
        "REFERENCES OF {Msvm_ComputerSystem.Name='ID-WEB01'} WHERE AssocClass=X",
    ],
)
def test_what_is_no_query_is_refused(host: t.Any, text: str) -> None:
    with pytest.raises(wql.WqlError):
        wql.evaluate(host, text, "operator")


def test_an_unknown_class_is_not_found(host: t.Any) -> None:
    with pytest.raises(NotFound):
        wql.evaluate(host, "SELECT * FROM No_Class", "operator")


@pytest.mark.parametrize(
    "path",
    [
        'Msvm_ComputerSystem.CreationClassName="Msvm_ComputerSystem",Name="ID"',
        "Msvm_ComputerSystem.Name='ID', CreationClassName='Msvm_ComputerSystem'",
        r'\\HV01\root\virtualization\v2:Msvm_ComputerSystem.CreationClassName="Msvm_ComputerSystem",Name="ID"',
        'root/virtualization/v2:Msvm_ComputerSystem.CreationClassName="Msvm_ComputerSystem",Name="ID"',
    ],
)
def test_object_paths(path: str) -> None:
    keys = {"CreationClassName": "Msvm_ComputerSystem", "Name": "ID"}
    assert wql.parse_path(path) == Ref.of("Msvm_ComputerSystem", **keys)


def test_an_object_path_with_everything_that_needs_care() -> None:
    path = r'Msvm_ReplicationRelationship.InstanceID="Microsoft:A}\\HVR\\0,\"x\"=1"'
    assert wql.parse_path(path) == Ref.of("Msvm_ReplicationRelationship", InstanceID='Microsoft:A}\\HVR\\0,"x"=1')


# --- associations, in the real world ---------------------------------------------------------------------

SCENARIO = {
    "name": "associations",
    "hosts": {
        "HV01": {
            "vms": [
                {"name": "alpha", "mode": "replica", "relationship_1": {"state": "replicating", "peer": "C"}},
                {"name": "beta", "mode": "replica", "state": "replicating", "test_copy": {"name": "beta - Test"}},
                {"name": "gamma"},
            ]
        }
    },
}


@pytest.fixture
def real() -> t.Any:
    return load(SCENARIO).hosts["HV01"]


def path_of(host: t.Any, name: str) -> str:
    vm = next(vm for vm in host.vms if vm.name == name)
    return f'Msvm_ComputerSystem.CreationClassName="Msvm_ComputerSystem",Name="{vm.id}"'


def test_associators_through_one_class(real: t.Any) -> None:
    wanted = f"ASSOCIATORS OF {{{path_of(real, 'alpha')}}} WHERE AssocClass=Msvm_SystemReplicationRelationship"
    found = wql.evaluate(real, wanted, "operator")
    assert [one.ref.class_name for one in found] == ["Msvm_ReplicationRelationship"] * 2
    assert [str(one.properties["InstanceID"])[-1] for one in found] == ["0", "1"]


def test_associators_of_a_partial_path_and_by_result_class(real: t.Any) -> None:
    vm = next(vm for vm in real.vms if vm.name == "alpha")
    wanted = f"associators of {{Msvm_ComputerSystem.Name='{vm.id.lower()}'}} where resultclass = CIM_SettingData"
    found = wql.evaluate(real, wanted, "operator")
    assert {one.ref.class_name for one in found} == {"Msvm_ReplicationSettingData", "Msvm_VirtualSystemSettingData"}


def test_associators_by_role(real: t.Any) -> None:
    template = "ASSOCIATORS OF {%s} WHERE AssocClass=Msvm_ReplicaSystemDependency %s"
    copy, replica = path_of(real, "beta - Test"), path_of(real, "beta")

    def names(path: str, role: str) -> list[t.Any]:
        return [one.properties["ElementName"] for one in wql.evaluate(real, template % (path, role), "operator")]

    assert names(copy, "ResultRole=Antecedent") == ["beta"]
    assert names(copy, "ResultRole=Dependent") == []
    assert names(replica, "Role=Antecedent") == ["beta - Test"]
    assert names(replica, "Role=Dependent") == []
    assert names(path_of(real, "gamma"), "") == []


def test_references_are_the_links_themselves(real: t.Any) -> None:
    wanted = f"REFERENCES OF {{{path_of(real, 'beta')}}} WHERE ResultClass=Msvm_ReplicaSystemDependency"
    found = wql.evaluate(real, wanted, "operator")
    assert [one.ref.class_name for one in found] == ["Msvm_ReplicaSystemDependency"]
    every = wql.evaluate(real, f"REFERENCES OF {{{path_of(real, 'beta')}}}", "operator")
    assert len({one.ref.class_name for one in every}) > 3


def test_what_surrounds_nothing_is_not_found(real: t.Any) -> None:
    with pytest.raises(NotFound):
        wql.evaluate(real, 'ASSOCIATORS OF {Msvm_ComputerSystem.Name="none"}', "operator")


def test_a_large_host_is_read_once_a_query(wire: t.Any) -> None:
    systems = [wire.system(f"{index:04}", ElementName=f"vm{index}") for index in range(2000)]
    host = wire.tiny_world(*systems).hosts["HV01"]
    reads = []
    instances = host.instances
    host.instances = lambda *arguments: reads.append(arguments) or instances(*arguments)
    conditions = " OR ".join(f"ElementName='VM{index}'" for index in range(0, 2000, 50))
    assert len(wql.evaluate(host, f"SELECT * FROM Msvm_ComputerSystem WHERE {conditions}", "operator")) == 40
    assert len(reads) == 1
