# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the CIM cmdlets ask and get, as values: no PowerShell is needed for these."""

from __future__ import annotations

import typing as t

import pytest
from replica_lab.powershell import cim_front
from replica_lab.scenario import load
from replica_lab.wire.assumptions import WireAssumptions

V2 = "root/virtualization/v2"
SYSTEM, SERVICE = "Msvm_ComputerSystem", "Msvm_ReplicationService"


@pytest.fixture
def host() -> t.Any:
    return load("drill").hosts["HV-REPLICA"]


def ask(host: t.Any, user: str = "operator", locale: str = "en-US", **request: t.Any) -> t.Any:
    return cim_front.answer(request, host, user, locale, WireAssumptions())


def rows(answer: t.Any) -> list[dict[str, t.Any]]:
    assert "instances" in answer, answer
    return [
        {name: value for (name, _type, _key), value in zip(answer["classes"][name_of], values, strict=True)}
        for name_of, values in answer["instances"]
    ]


def instance(answer: t.Any, **where: t.Any) -> dict[str, t.Any]:
    """The instance of an answer as the cmdlet hands it back."""
    (found,) = (row for row in rows(answer) if all(row[name] == value for name, value in where.items()))
    class_name = answer["instances"][0][0]
    keys = {name: found[name] for name, _type, key in answer["classes"][class_name] if key}
    return {"class": class_name, "namespace": V2, "keys": keys, "from_host": True}


def systems(host: t.Any) -> t.Any:
    return ask(host, do="enumerate", namespace=V2, **{"class": SYSTEM})


def invoke(host: t.Any, target: t.Any, method: str, user: str = "operator", **arguments: t.Any) -> t.Any:
    class_name = target["class"] if target else SERVICE
    return ask(
        host, user, do="invoke", namespace=V2, instance=target, method=method, arguments=arguments,
        **{"class": class_name},
    )  # fmt: skip


def refused(answer: t.Any) -> tuple[str, int, int]:
    error = answer["error"]
    return error["exception"], error.get("native", 0), error.get("hresult", 0)


# --- reading -----------------------------------------------------------------------------------------------


def test_instances_with_all_their_properties_and_keys(host: t.Any) -> None:
    answer = systems(host)
    assert answer["host"] == "HV-REPLICA"
    properties = {name: (cim_type, key) for name, cim_type, key in answer["classes"][SYSTEM]}
    assert properties["Name"] == ("string", True)
    assert properties["OperationalStatus"] == ("uint16[]", False)
    (sql,) = (row for row in rows(answer) if row["ElementName"] == "SQL 01")
    assert (sql["ReplicationState"], sql["OperationalStatus"]) == (5, [2])
    assert sql["LastReplicationTime"].endswith("Z")


def test_a_query_with_a_projection_leaves_the_rest_null(host: t.Any) -> None:
    query = f"SELECT ElementName FROM {SYSTEM} WHERE ReplicationState = 7"
    (found,) = rows(ask(host, do="query", namespace="ROOT\\virtualization\\V2", query=query))
    assert {name: value for name, value in found.items() if value is not None} == {"ElementName": "Intranet"}


def test_intervals_references_and_associations(host: t.Any) -> None:
    vm = instance(systems(host), ElementName="CRM")
    (job,) = rows(
        ask(host, do="associators", namespace=V2, instance=vm, association="Msvm_AffectedJobElement", result_class=None)
    )
    assert isinstance(job["ElapsedTime"], int)
    links = rows(ask(host, do="enumerate", namespace=V2, **{"class": "Msvm_AffectedJobElement"}))
    assert {"class": SYSTEM, "keys": vm["keys"]} in [link["AffectedElement"] for link in links]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"do": "enumerate", "namespace": "root/cimv2", "class": SYSTEM}, (5, 0x80041010)),
        ({"do": "enumerate", "namespace": "root/nowhere", "class": SYSTEM}, (3, 0x8004100E)),
        ({"do": "enumerate", "namespace": V2, "class": "Msvm_Nothing"}, (5, 0x80041010)),
        ({"do": "query", "namespace": V2, "query": "SELECT"}, (15, 0x80041017)),
        (
            {"do": "get", "instance": {"class": SYSTEM, "namespace": V2, "keys": {"Name": "gone"}, "from_host": False}},
            (6, 0x80041002),
        ),
        (
            {"do": "get", "instance": {"class": SYSTEM, "namespace": V2, "keys": {}, "from_host": False}},
            (4, 0x80041008),
        ),
    ],
)
def test_reads_that_are_refused(host: t.Any, request_: dict[str, t.Any], expected: tuple[int, int]) -> None:
    assert refused(ask(host, **request_)) == ("CimException", *expected)


def test_a_refusal_in_the_language_of_the_host(host: t.Any) -> None:
    texts = {
        ask(host, locale=locale, do="query", namespace=V2, query="SELECT")["error"]["message"]
        for locale in ("en-US", "de-DE", "ja-JP", "zh-TW")
    }
    assert len(texts) == 4


def test_who_may_not_read_or_call(host: t.Any) -> None:
    denied = ("CimException", 2, 0x80041003)
    assert refused(ask(host, "stranger", do="enumerate", namespace=V2, **{"class": SYSTEM})) == denied
    service = instance(ask(host, do="enumerate", namespace=V2, **{"class": SERVICE}))
    vm = {"reference": instance(systems(host), ElementName="SQL 01")}
    assert refused(invoke(host, service, "RevertFailover", "auditor", ComputerSystem=vm)) == denied
    assert ask(host, "filtered", do="enumerate", namespace=V2, **{"class": SYSTEM})["instances"] == []


# --- calling -----------------------------------------------------------------------------------------------


@pytest.fixture
def service(host: t.Any) -> dict[str, t.Any]:
    return instance(ask(host, do="enumerate", namespace=V2, **{"class": SERVICE}))


def test_a_method_answers_with_its_typed_out_parameters(host: t.Any, service: t.Any) -> None:
    vm = {"reference": instance(systems(host), ElementName="SQL 01")}
    (job, code) = invoke(host, service, "revertfailover", computersystem=vm)["out"]
    assert code == ("ReturnValue", "uint32", 4096)
    assert job[:2] == ("Job", "ref CIM_ConcreteJob")
    assert job[2]["class"] == "Msvm_ConcreteJob"
    assert [call["method"] for call in host.world.calls] == ["RevertFailover"]


def test_an_out_parameter_without_a_value_is_null(host: t.Any, service: t.Any) -> None:
    vm = {"reference": instance(systems(host), ElementName="Jump Box")}
    assert invoke(host, service, "RevertFailover", ComputerSystem=vm)["out"][0][2] is None


@pytest.mark.parametrize(
    ("value", "exception"),
    [
        ("SQL 01", "InvalidCastException"),
        ({"other": "System.Management.Automation.PSReference"}, "InvalidCastException"),
        (5, "InvalidCastException"),
    ],
)
def test_a_reference_must_be_an_instance(host: t.Any, service: t.Any, value: t.Any, exception: str) -> None:
    assert invoke(host, service, "RevertFailover", ComputerSystem=value)["error"]["exception"] == exception


@pytest.mark.parametrize(
    ("value", "exception"),
    [(70000, "OverflowException"), (True, "InvalidCastException"), ("x", "InvalidCastException")],
)
def test_a_number_must_fit_its_type(host: t.Any, value: t.Any, exception: str) -> None:
    vm = instance(systems(host), ElementName="Jump Box")
    assert invoke(host, vm, "RequestStateChange", RequestedState=value)["error"]["exception"] == exception


def test_calls_that_the_cmdlet_itself_refuses(host: t.Any, service: t.Any) -> None:
    vm = {"reference": instance(systems(host), ElementName="SQL 01")}
    assert refused(invoke(host, service, "RevertFailover", Computer=vm))[0] == "ArgumentException"
    made = {**service, "from_host": False}
    assert refused(invoke(host, made, "RevertFailover", ComputerSystem=vm))[0] == "NullReferenceException"


def test_calls_that_the_host_refuses(host: t.Any, service: t.Any) -> None:
    vm = {"reference": instance(systems(host), ElementName="SQL 01")}
    assert refused(invoke(host, service, "Nothing", ComputerSystem=vm)) == ("CimException", 17, 0x8004102E)
    assert refused(invoke(host, None, "RevertFailover", ComputerSystem=vm)) == ("CimException", 4, 0x8004102F)
    job = {"reference": {"class": "Msvm_ConcreteJob", "namespace": V2, "keys": {"InstanceID": "1"}, "from_host": True}}
    assert refused(invoke(host, service, "RevertFailover", ComputerSystem=job)) == ("CimException", 4, 0x8004102F)
    assert list(host.world.calls) == []


def test_a_parameter_that_nobody_names_is_null(host: t.Any, service: t.Any) -> None:
    answer = invoke(host, service, "RevertFailover")
    assert "error" not in answer
    (call,) = host.world.calls
    assert (call["arguments"], call["return_value"]) == ({"ComputerSystem": None}, 32773)
