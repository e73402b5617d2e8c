# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison of combinations itself: a difference planted in one of them is found, what only passes is not."""

from __future__ import annotations

import typing as t
from copy import deepcopy

import pytest
from rehearsal import stories
from rehearsal.alike import differences
from rehearsal.combinations import COMBINATIONS
from rehearsal.stage import Performance, Phase

STORY = stories.read(
    {
        "story": "one",
        "world": {"vms": [{"name": "App 01", "mode": "replica"}]},
        "revert": {"name": "App 01"},
        "expect": {"task": "ok", "vms": {"App 01": "unchanged"}},
        "phases": ["run"],
    },
    "planted",
)
VM_ID = "0F1E2D3C-4B5A-6978-8796-A5B4C3D2E1F0"
JOB_ID = "11111111-2222-3333-4444-555555555555"
OTHER_JOB_ID = "99999999-8888-7777-6666-555555555555"


def performed(transport: str, **changes: t.Any) -> Performance:
    """A performance in which one VM was reverted, over one transport."""
    vm = {"id": VM_ID, "name": "App 01", "mode": 2, "state": 3, "enabled_state": 3, "relationships": []}
    vm |= {"discarded_writes": 0, "guest_writes": 0}
    world = {"hosts": {"HV-REPLICA": {"vms": [vm]}}}
    result: dict[str, t.Any] = {
        "transport": transport,
        "changed": True,
        "msg": f"reverted by job {JOB_ID if transport == 'wsman' else OTHER_JOB_ID}",
        "vms": [{"id": VM_ID, "outcome": "changed", "started": f"2026-11-26T00:00:0{len(transport)}Z"}],
    }
    call = {"host": "HV-REPLICA", "method": "RevertFailover", "vm_id": VM_ID, "return_value": 4096}
    phase = Phase(
        changes.pop("status", "changed"),
        {**result, **changes.pop("result", {})},
        changes.pop("calls", [call]),
        {"HV-REPLICA": {"methods": {"RevertFailover": 1}, **changes.pop("counters", {})}},
        deepcopy(world),
        deepcopy(world),
    )
    phase.after["hosts"]["HV-REPLICA"]["vms"][0].update(changes.pop("vm", {}))
    assert not changes
    return Performance(COMBINATIONS[0], 0.0, {STORY.slug: {"run": phase}}, "", "", 0)


def test_transport_moments_and_the_ids_of_jobs_are_no_difference() -> None:
    assert differences(STORY, performed("wsman"), performed("powershell")) == []


BROKE = "VM 'A': the connection broke before the answer was complete. Nothing was changed. The host says: "
UNREAD = "{} (reading the state of the virtual machines). Nothing was changed."


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # What a library or a plugin says of a connection.
        (
            f"{BROKE}http://127.0.0.1:5985/wsman: ConnectionError: ('Connection aborted.') Check that the host is up.",
            f"{BROKE}AnsibleConnectionFailure: ntlm: no Check that the host is up.",
        ),
        # What became unreadable.
        (
            UNREAD.format("the answer to the query for Msvm_A is not well-formed XML: x at line 1, column 7")
            + " The host says: it begins with: <s:Envelope",
            UNREAD.format("PowerShell on the host ran no module to its end") + " The host says: Module result failed",
        ),
        # The same refusal by WinRM and by WMI, and what WinRM adds.
        (
            "Revert: access denied (0x00000005). The host says: No. [Operation: ExecQuery] [ProviderName: VmmsWmi]",
            "Revert: access denied (0x80041003). The host says: No.",
        ),
    ],
)
def test_the_words_of_a_way_are_no_difference(one: str, other: str) -> None:
    assert differences(STORY, performed("wsman", result={"msg": one}), performed("x", result={"msg": other})) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (BROKE + "OSError: x", BROKE.replace("broke before the answer was complete", "was refused") + "OSError: x"),
        (BROKE + "OSError: x", BROKE.replace(" Nothing was changed.", "") + "OSError: x"),
        (BROKE + "OSError: x\nVM 'B' failed.", BROKE + "OSError: x\nVM 'C' failed."),
        (BROKE + "The disk is full", BROKE + "The disk is empty"),
        (UNREAD.format("PowerShell on the host ran no module to its end"), "Nothing was changed."),
        ("failed (0x80041003)", "failed (0x80041001)"),
    ],
)
def test_the_words_of_the_collection_are_compared(one: str, other: str) -> None:
    (line,) = differences(STORY, performed("wsman", result={"msg": one}), performed("x", result={"msg": other}))
    assert line.startswith("run: result.msg")


def test_a_warning_of_the_connection_plugin_is_no_difference_and_one_of_ours_is() -> None:
    foreign = "Failed to cleanup running WinRM command, resources might still be in use on the target server"
    assert differences(STORY, performed("wsman"), performed("x", result={"warnings": [foreign]})) == []
    (line,) = differences(STORY, performed("wsman"), performed("x", result={"warnings": [foreign, "ours"]}))
    assert line.startswith("run: result.warnings")


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ({"status": "failed"}, "run: task"),
        ({"result": {"changed": False}}, "run: result.changed"),
        ({"result": {"error_class": "busy"}}, "run: result.error_class"),
        ({"result": {"invocation": {}}}, "run: result.invocation"),
        ({"calls": []}, "run: calls"),
        ({"counters": {"methods": {"RevertFailover": 2}}}, "run: sent.RevertFailover"),
        ({"vm": {"state": 5}}, "run: world"),
    ],
)
def test_a_planted_difference_is_found(planted: dict[str, t.Any], found: str) -> None:
    (line,) = differences(STORY, performed("wsman"), performed("powershell", **planted))
    assert line.startswith(found)
