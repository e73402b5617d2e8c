# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each phase of each story came to, as lines of JSON: the task's result, and what the lab saw of it.

The strategy hands a host its next task only after the callbacks have had the result of the last one. So what the
lab says here belongs to the phase that has just ended, and what is done here has happened before the next begins.
The time of a world passes with the looks that are taken at it, and not with that of the machine: a story goes the same
way however long a process has to queue or PowerShell takes to start. In check mode, which never waits, it stands still.
"""

from __future__ import annotations

import importlib
import json
import os
import urllib.request

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: witness
type: notification
short_description: Writes what the stories of the conformance suite came to
description: [Writes lines of JSON into the file named by the environment variable REHEARSAL_RECORDS.]
"""

PHASES = ("check", "run", "again")
SHARED = (
    "winrm",
    "requests_ntlm",
    "pypsrp.wsman",
    "ansible_collections.hyperv.replica.plugins.plugin_utils._action",
)


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "witness"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook):
        # Imported once here, and not anew in the process of every task.
        for name in SHARED:
            importlib.import_module(name)

    def v2_runner_on_start(self, host, task):
        if task.name in PHASES:
            stage = host.get_vars()["stage"]
            if task.name != "check":
                _ask(stage, "/pace", stage["pace"], "POST")

    def v2_runner_on_ok(self, result):
        self._record(result, "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._record(result, "failed")

    def v2_runner_on_unreachable(self, result):
        self._record(result, "unreachable")

    def v2_runner_on_skipped(self, result):
        self._record(result, "skipped")

    def _record(self, result, status):
        task, host, values = (
            getattr(result, name, None) or getattr(result, f"_{name}") for name in ("task", "host", "result")
        )
        if task.name not in PHASES:
            return
        stage = host.get_vars()["stage"]
        _ask(stage, "/pace", {**stage["pace"], "seconds": 0}, "POST")
        record = {
            "story": host.name,
            "phase": task.name,
            "status": "changed" if status == "ok" and values.get("changed") else status,
            "result": values,
            "calls": _ask(stage, "/calls"),
            "counters": _ask(stage, "/counters"),
            "state": _ask(stage, "/state"),
        }
        if task.name == "run":
            for path, body in stage["between"]:
                _ask(stage, path, body, "DELETE" if body is None else "POST")
        _ask(stage, "/counters/reset", {}, "POST")
        record["next"] = _ask(stage, "/state")
        with open(os.environ["REHEARSAL_RECORDS"], "a", encoding="utf-8") as records:
            records.write(json.dumps(record, default=str) + "\n")


def _ask(stage, path, body=None, method="GET"):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(stage["control"] + path, data=data, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
