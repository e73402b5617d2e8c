# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The failover module. What it does is documented in plugins/modules/failover.yml."""

from __future__ import annotations

import typing as t

from ansible_collections.hyperv.replica.plugins.plugin_utils import _action
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimSession
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import present
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.carry_out import Conductor
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.choose import choose
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import TARGETS, Consent, RunningVm, Side
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import read_host
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.run import OnError, Order

ARGUMENT_SPEC: dict[str, t.Any] = {
    **_action.HOST_SPEC,
    "state": {"type": "str", "required": True, "choices": list(TARGETS)},
    "name": {"type": "list", "elements": "str"},
    "all": {"type": "bool", "default": False},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "missing": {"type": "str", "choices": ["fail", "ignore"], "default": "fail"},
    "max_changes": {"type": "int"},
    "discard_guest_writes": {"type": "bool", "default": False},
    "running_vm": {"type": "str", "choices": [choice.value for choice in RunningVm], "default": "fail"},
    "side": {"type": "str", "choices": [choice.value for choice in Side], "default": "any"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 600},
    "poll_interval": {"type": "float", "default": 2.0},
    "max_parallel": {"type": "int", "default": 10},
    "on_error": {"type": "str", "choices": [choice.value for choice in OnError], "default": "continue"},
    "report": {"type": "str", "choices": ["touched", "all"], "default": "touched"},
}

_LEAST: dict[str, float] = {"wait_timeout": 1, "poll_interval": 0.1, "max_parallel": 0, "max_changes": 0}


class ActionModule(_action.ReplicaAction):
    SPEC = ARGUMENT_SPEC

    def check(self, arguments: dict[str, t.Any], written: t.Mapping[str, t.Any]) -> None:
        for key in ("name", "exclude"):
            comma_text = _action.names_in(written, key)
            arguments[key] = _action.clean_names(arguments[key], key)
            if key == "name":
                arguments["comma_text"] = comma_text
        if bool(arguments["name"]) == arguments["all"]:
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT,
                "Both name and all are given." if arguments["all"] else "Neither name nor all is given.",
                hint="Give the VMs in name, or set all to true, and not both.",
            )
        if arguments["exclude"] and not arguments["all"]:
            raise ReplicaError(ErrorClass.INVALID_ARGUMENT, "exclude goes with all=true only.")
        for key, least in _LEAST.items():
            if arguments[key] is not None and not arguments[key] >= least:
                raise ReplicaError(
                    ErrorClass.INVALID_ARGUMENT, f"{key} is {arguments[key]}; it must be {least:g} or more."
                )

    def act(self, session: CimSession, arguments: dict[str, t.Any], talk: _action.Talk) -> dict[str, t.Any]:
        order = Order(
            target=TARGETS[arguments["state"]],
            consent=Consent(
                discard_guest_writes=arguments["discard_guest_writes"],
                running_vm=RunningVm(arguments["running_vm"]),
                side=Side(arguments["side"]),
            ),
            every_vm=arguments["all"],
            check_mode=self._task.check_mode,
            wait=arguments["wait"],
            wait_timeout=arguments["wait_timeout"],
            poll_interval=arguments["poll_interval"],
            max_parallel=arguments["max_parallel"],
            max_changes=arguments["max_changes"],
            on_error=OnError(arguments["on_error"]),
        )
        host = read_host(session)
        choice = choose(
            host,
            None if arguments["all"] else arguments["name"],
            exclude=arguments["exclude"],
            ignore_missing=arguments["missing"] == "ignore",
            comma_text=arguments["comma_text"],
        )
        everyone = arguments["report"] == "all" or not arguments["all"]
        conductor = Conductor(session, order, _action.SystemClock(), talk.progress)
        talk.conductor = conductor
        refused = conductor.plan(choice.vms, refused=bool(choice.refusals))
        if refused is None and not order.check_mode:
            conductor.run()
        result = present.result_of(
            conductor, host.name or talk.host, choice, refused, everyone=everyone, diff=self._task.diff
        )
        if result.get("failed") and result.get("diff"):
            talk.say("the task failed, so Ansible shows no diff; what changed:\n" + present.diff_text(result["diff"]))
        return result
