# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test_failover module. What it does is documented in plugins/modules/test_failover.yml."""

from __future__ import annotations

import typing as t

from ansible_collections.hyperv.replica.plugins.plugin_utils import _vm_action
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Host
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.present import copy_dict
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.failed_over import LATEST
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.test_failover import (
    ABSENT,
    PRESENT,
    MakeTestCopy,
    RemoveTestCopy,
    copies_of,
    is_orphan,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Verb

ARGUMENT_SPEC: dict[str, t.Any] = {
    "state": {"type": "str", "required": True, "choices": [PRESENT.name, ABSENT.name]},
    **_vm_action.VM_OPTIONS,
    "recovery_point": {"type": "str", "default": LATEST},
    "switch": {"type": "str"},
    "start_vm": {"type": "bool", "default": False},
    "orphans": {"type": "str", "choices": ["ignore", "remove"], "default": "ignore"},
    **_vm_action.RUN_OPTIONS,
}


class ActionModule(_vm_action.VmAction):
    SPEC = ARGUMENT_SPEC

    def verb(self, arguments: dict[str, t.Any]) -> Verb:
        switch = (arguments["switch"] or "").strip()
        if arguments["switch"] is not None and not switch:
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT, "switch is empty.", hint="Name a switch, or leave it out for no network."
            )
        if arguments["state"] == ABSENT.name:
            _refuse_what_is_of_present(arguments)
            return RemoveTestCopy(every_vm=arguments["all"], orphans=arguments["orphans"] == "remove")
        if arguments["orphans"] == "remove":
            raise ReplicaError(ErrorClass.INVALID_ARGUMENT, "orphans=remove goes with state=absent only.")
        if (switch or arguments["start_vm"]) and not arguments["wait"]:
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT,
                "switch and start_vm need wait: a copy can be connected and started when it is there.",
                hint="Leave wait out, or connect and start the copy in a later task: it is the same one, waiting.",
            )
        return MakeTestCopy(
            point=arguments["recovery_point"].strip() or LATEST, switch=switch, start_vm=arguments["start_vm"]
        )

    def complete(self, result: dict[str, t.Any], host: Host) -> None:
        orphans = [vm for vm in host.virtual_machines if is_orphan(vm)]
        result["orphans"] = [copy_dict(copy) for vm in orphans for copy in copies_of(vm)]


def _refuse_what_is_of_present(arguments: t.Mapping[str, t.Any]) -> None:
    """Raises ReplicaError."""
    if arguments["orphans"] == "remove" and not arguments["all"]:
        raise ReplicaError(
            ErrorClass.INVALID_ARGUMENT,
            "orphans=remove goes with all=true only.",
            hint="A test copy that is named itself is removed anyway.",
        )
    if arguments["switch"] is not None or arguments["start_vm"] or arguments["recovery_point"].strip() != LATEST:
        raise ReplicaError(
            ErrorClass.INVALID_ARGUMENT, "recovery_point, switch and start_vm go with state=present only."
        )
