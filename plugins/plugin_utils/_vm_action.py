# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What the modules that act on VMs have in common: which VMs, how to wait, and the run itself.

A module adds its own options and says which verb they make; see ``_replica.verbs.verb``.
"""

from __future__ import annotations

import typing as t

from ansible_collections.hyperv.replica.plugins.plugin_utils import _action
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimSession
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import present
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.carry_out import Conductor, along
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.choose import choose
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import RunningVm
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Host
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import read_host
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.run import OnError, Order
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Verb

VM_OPTIONS: dict[str, t.Any] = {
    **_action.HOST_SPEC,
    "name": {"type": "list", "elements": "str"},
    "all": {"type": "bool", "default": False},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "missing": {"type": "str", "choices": ["fail", "ignore"], "default": "fail"},
    "max_changes": {"type": "int"},
}
"""Documented in the fragments ``host`` (transport, missing) and ``vms``."""

RUN_OPTIONS: dict[str, t.Any] = {
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 600},
    "poll_interval": {"type": "float", "default": 2.0},
    "max_parallel": {"type": "int", "default": 10},
    "on_error": {"type": "str", "choices": [choice.value for choice in OnError], "default": "continue"},
    "report": {"type": "str", "choices": ["touched", "all"], "default": "touched"},
}
"""Documented in the fragment ``run``."""

POWER_OPTIONS: dict[str, t.Any] = {
    "running_vm": {"type": "str", "choices": [choice.value for choice in RunningVm], "default": "fail"},
    "shutdown_timeout": {"type": "int", "default": 300},
}

LEAST: dict[str, float] = {
    "wait_timeout": 1,
    "shutdown_timeout": 1,
    "poll_interval": 0.1,
    "max_parallel": 0,
    "max_changes": 0,
}


class VmAction(_action.ReplicaAction):
    """A module that brings VMs into a state. A subclass has a spec and a ``verb``."""

    def verb(self, arguments: dict[str, t.Any]) -> Verb:
        """What the task wants of each VM. Raises ReplicaError for options that do not go together."""
        raise NotImplementedError

    def complete(self, result: dict[str, t.Any], host: Host) -> None:
        """What a module adds to the result, from the reading at the beginning."""

    def check(self, arguments: dict[str, t.Any], written: t.Mapping[str, t.Any]) -> None:
        arguments["comma_text"] = ""
        for key in ("name", "exclude"):  # of which one has to be empty, see below
            arguments["comma_text"] += _action.names_in(written, key)
            arguments[key] = _action.clean_names(arguments[key], key)
        if bool(arguments["name"]) == arguments["all"]:
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT,
                "Both name and all are given." if arguments["all"] else "Neither name nor all is given.",
                hint="Give the VMs in name, or set all to true, and not both.",
            )
        if arguments["exclude"] and not arguments["all"]:
            raise ReplicaError(ErrorClass.INVALID_ARGUMENT, "exclude goes with all=true only.")
        for key, least in LEAST.items():
            if arguments.get(key) is not None and not arguments[key] >= least:
                raise ReplicaError(
                    ErrorClass.INVALID_ARGUMENT, f"{key} is {arguments[key]}; it must be {least:g} or more."
                )
        self.verb(arguments)  # what it refuses is refused before any host is asked

    def act(self, session: CimSession, arguments: dict[str, t.Any], talk: _action.Talk) -> dict[str, t.Any]:
        verb = self.verb(arguments)
        order = Order(
            verb=verb,
            every_vm=arguments["all"],
            check_mode=self._task.check_mode,
            wait=arguments["wait"],
            wait_timeout=arguments["wait_timeout"],
            poll_interval=arguments["poll_interval"],
            shutdown_timeout=arguments.get("shutdown_timeout", Order.shutdown_timeout),
            max_parallel=arguments["max_parallel"],
            max_changes=arguments["max_changes"],
            on_error=OnError(arguments["on_error"]),
        )
        host = read_host(session, gather=verb.gather, beside=along(session, order))
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
        self.complete(result, host)
        if result.get("failed") and result.get("diff"):
            talk.say("the task failed, so Ansible shows no diff; what changed:\n" + present.diff_text(result["diff"]))
        return result
