# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The failover module. What it does is documented in plugins/modules/failover.yml."""

from __future__ import annotations

import typing as t

from ansible_collections.hyperv.replica.plugins.plugin_utils import _vm_action
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import RunningVm, Side
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reverted import REVERTED, Revert
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Verb

ARGUMENT_SPEC: dict[str, t.Any] = {
    "state": {"type": "str", "required": True, "choices": [REVERTED.name]},
    **_vm_action.VM_OPTIONS,
    "discard_guest_writes": {"type": "bool", "default": False},
    **_vm_action.POWER_OPTIONS,
    "side": {"type": "str", "choices": [choice.value for choice in Side], "default": "any"},
    **_vm_action.RUN_OPTIONS,
}


class ActionModule(_vm_action.VmAction):
    SPEC = ARGUMENT_SPEC

    def verb(self, arguments: dict[str, t.Any]) -> Verb:
        return Revert(
            side=Side(arguments["side"]),
            running_vm=RunningVm(arguments["running_vm"]),
            discard_guest_writes=arguments["discard_guest_writes"],
        )
