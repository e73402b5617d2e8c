# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The replication_info module. What it shows is documented in plugins/modules/replication_info.yml."""

from __future__ import annotations

import typing as t

from ansible_collections.hyperv.replica.plugins.plugin_utils import _action
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimSession
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import present, statistics
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.choose import choose
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import EXTRA, NETWORK, read_host

SUBSETS = ("recovery_points", "statistics", "pending", "health_issues", "network")

ARGUMENT_SPEC: dict[str, t.Any] = {
    **_action.HOST_SPEC,
    "name": {"type": "list", "elements": "str"},
    "missing": {"type": "str", "choices": ["fail", "ignore"], "default": "fail"},
    "gather": {"type": "list", "elements": "str", "choices": list(SUBSETS), "default": []},
}


class ActionModule(_action.ReplicaAction):
    SPEC = ARGUMENT_SPEC

    def check(self, arguments: dict[str, t.Any], written: t.Mapping[str, t.Any]) -> None:
        arguments["comma_text"] = _action.names_in(written, "name")
        if arguments["name"] is None or written.get("name") == "":
            arguments["name"] = None  # an empty text field of a survey is no name
            return
        arguments["name"] = _action.clean_names(arguments["name"], "name")
        if not arguments["name"]:
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT, "name is empty.", hint="Leave name out to read every VM of the host."
            )

    def act(self, session: CimSession, arguments: dict[str, t.Any], talk: _action.Talk) -> dict[str, t.Any]:
        gather = set(arguments["gather"])
        host = read_host(session, gather=(gather & EXTRA.keys()) | (NETWORK if "network" in gather else frozenset()))
        choice = choose(
            host,
            arguments["name"],
            ignore_missing=arguments["missing"] == "ignore",
            comma_text=arguments["comma_text"],
        )
        counted = None
        asked = gather & set(statistics.SUBSETS)
        if asked and not self._task.check_mode:
            counted = statistics.read_statistics(session, choice.vms, _action.SystemClock())
        result = present.info_result(host, host.name or talk.host, choice, asked, counted)
        if asked and counted is None:
            result["warnings"] = [
                f"Not gathered in check mode: {', '.join(sorted(asked))}. Only a method call tells, and none is sent."
            ]
        return result
