# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written twice, in ``_CimBridge.psm1`` and in the controller's half, says the same."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import over_wsman, schema, session
from tree import ROOT

BRIDGE = ROOT / "plugins" / "module_utils" / "_CimBridge.psm1"
JOB_QUERIES = [
    (["B", "A"], ""),
    (["A"], "JobType >= 90 AND JobState <> 7"),
    (['a"b\\c'], ""),
    ([f"JOB-{number:02}" for number in range(40)], "JobType = 98"),
    ([f"JOB-{number:02}" for number in range(41)], "JobType = 98"),
]


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory, run_script: Callable[..., t.Any]) -> dict[str, t.Any]:
    asked = tmp_path_factory.mktemp("lists") / "job_queries.json"
    asked.write_text(json.dumps([{"ids": ids, "others": others} for ids, others in JOB_QUERIES]), encoding="utf-8")
    lists: dict[str, t.Any] = run_script("lists.ps1", BRIDGE, asked)
    return lists


def test_the_namespace(bridge: dict[str, t.Any]) -> None:
    assert bridge["namespace"].replace("\\", "/") == session.NAMESPACE


def test_the_classes_are_those_of_the_schema_that_a_host_has_instances_of(bridge: dict[str, t.Any]) -> None:
    assert bridge["classes"] == sorted(name for name, known in schema.CLASSES.items() if known.keys)


def test_the_methods_and_their_parameters_are_those_of_the_schema(bridge: dict[str, t.Any]) -> None:
    assert bridge["methods"] == {
        f"{name}.{method}": {
            parameter: declared.name + ("[]" if declared.array else "")
            for parameter, declared in signature.inputs.items()
        }
        for name, known in schema.CLASSES.items()
        for method, signature in known.methods.items()
    }


def test_jobs_are_asked_for_with_the_same_query(bridge: dict[str, t.Any]) -> None:
    assert bridge["job_queries"] == [session.jobs_query(ids, others) for ids, others in JOB_QUERIES]


def test_a_wait_and_a_chain_end_alike(bridge: dict[str, t.Any]) -> None:
    assert frozenset(bridge["running"]) == over_wsman.RUNNING_JOB_STATES
    assert tuple(bridge["accepted"]) == over_wsman._ACCEPTED
    assert bridge["timeout"] == over_wsman.OPERATION_TIMEOUT
    assert bridge["many_jobs"] == session._MANY_JOBS
