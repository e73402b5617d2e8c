# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The failover module. What it does is documented in plugins/modules/failover.yml."""

from __future__ import annotations

import typing as t

from ansible_collections.hyperv.replica.plugins.plugin_utils import _action, _vm_action
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimSession
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import RunningVm, Side
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.committed import COMMITTED, Commit
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.failed_over import (
    FAILED_OVER,
    LATEST,
    FailOver,
    FailoverKind,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.prepared import PREPARED, Prepare
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reverted import REVERTED, Revert
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Verb

TARGETS = (PREPARED, FAILED_OVER, COMMITTED, REVERTED)

ARGUMENT_SPEC: dict[str, t.Any] = {
    "state": {"type": "str", "required": True, "choices": [target.name for target in TARGETS]},
    **_vm_action.VM_OPTIONS,
    "kind": {"type": "str", "choices": [choice.value for choice in FailoverKind]},
    "primary_is_down": {"type": "bool", "default": False},
    "recovery_point": {"type": "str", "default": LATEST},
    "suspended": {"type": "str", "choices": ["fail", "resume"], "default": "fail"},
    "start_vm": {"type": "bool", "default": False},
    "confirm": {"type": "bool", "default": False},
    "discard_guest_writes": {"type": "bool", "default": False},
    **_vm_action.POWER_OPTIONS,
    "side": {"type": "str", "choices": [choice.value for choice in Side], "default": "any"},
    **_vm_action.RUN_OPTIONS,
}


class ActionModule(_vm_action.VmAction):
    SPEC = ARGUMENT_SPEC

    def verb(self, arguments: dict[str, t.Any]) -> Verb:
        state = arguments["state"]
        side, running_vm = Side(arguments["side"]), RunningVm(arguments["running_vm"])
        if state == REVERTED.name:
            return Revert(side, running_vm, arguments["discard_guest_writes"])
        if state == PREPARED.name:
            return Prepare(side, running_vm)
        if state == COMMITTED.name:
            return Commit(side, running_vm, arguments["confirm"])
        return _fail_over(arguments, side, running_vm)

    def act(self, session: CimSession, arguments: dict[str, t.Any], talk: _action.Talk) -> dict[str, t.Any]:
        result = super().act(session, arguments, talk)
        if arguments["state"] == FAILED_OVER.name and arguments["kind"] == FailoverKind.UNPLANNED.value:
            result["primary_is_down"] = arguments["primary_is_down"]  # what somebody has stated, for the record
        return result


def _fail_over(arguments: t.Mapping[str, t.Any], side: Side, running_vm: RunningVm) -> FailOver:
    """Raises ReplicaError."""
    if arguments["kind"] is None:
        raise ReplicaError(
            ErrorClass.INVALID_ARGUMENT,
            "state=failed_over needs kind.",
            hint="Say kind=planned for a prepared primary, or kind=unplanned if the primary is lost.",
        )
    kind, point = FailoverKind(arguments["kind"]), arguments["recovery_point"].strip() or LATEST
    if kind is FailoverKind.PLANNED and point != LATEST:
        raise ReplicaError(
            ErrorClass.INVALID_ARGUMENT,
            f"kind=planned goes to the point that the preparation has left, and not to recovery_point={point}.",
            hint="Leave recovery_point out. An older point is an unplanned failover, and loses what came after it.",
        )
    if arguments["start_vm"] and not arguments["wait"]:
        raise ReplicaError(
            ErrorClass.INVALID_ARGUMENT,
            "start_vm needs wait: a VM can be started when its failover is done.",
            hint="Leave wait out, or start the VM in a later task.",
        )
    return FailOver(
        side,
        running_vm,
        kind,
        primary_is_down=arguments["primary_is_down"],
        point=point,
        resume=arguments["suspended"] == "resume",
        start_vm=arguments["start_vm"],
    )
