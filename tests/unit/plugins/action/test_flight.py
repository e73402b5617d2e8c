# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of a VM when a task is ended from outside."""

from __future__ import annotations

import typing as t
from types import SimpleNamespace

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._action import _flight
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Reference

JOB = Reference.of("Msvm_ConcreteJob", InstanceID="J")


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"touched": True, "job_reference": JOB}, "VM 'App 01' (1): running, job J"),
        ({"touched": True, "job_reference": None}, "VM 'App 01' (1): running"),
        # Over PowerShell the answer to the call comes with the first slice of waiting.
        (
            {"touched": False, "job_reference": None},
            "VM 'App 01' (1): its call is on its way, and its job is not known yet",
        ),
    ],
)
def test_what_goes_on_without_the_task(state: dict[str, t.Any], says: str) -> None:
    run: t.Any = SimpleNamespace(before=SimpleNamespace(name="App 01", id="1"), doing="running", **state)
    assert _flight(run) == says
