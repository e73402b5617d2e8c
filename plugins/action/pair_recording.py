# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pair_recording module. What it does is documented in plugins/modules/pair_recording.yml."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import time
import typing as t
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible.release import __version__ as core_version
from ansible_collections.hyperv.replica.plugins.plugin_utils import _action
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import over_powershell, over_wsman
from ansible_collections.hyperv.replica.plugins.plugin_utils._record import recording
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.evidence import evidence
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.host import Verbs, record
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.masking import Mask
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.report import report, summary, table
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError

ARGUMENT_SPEC: dict[str, t.Any] = {
    "do": {"type": "str", "choices": ["record", "report"], "default": "record"},
    "directory": {"type": "path", "required": True},
    "mask_key": {"type": "str", "required": True, "no_log": True},
    "transports": {
        "type": "list",
        "elements": "str",
        "choices": ["powershell", "wsman"],
        "default": ["powershell", "wsman"],
    },
    "verbs": {"type": "bool", "default": False},
    "vm": {"type": "str"},
    "vm_may_be_lost": {"type": "bool", "default": False},
    "poll_interval": {"type": "float", "default": 0.5},
    "job_timeout": {"type": "int", "default": 600},
}

RECORDING, REPORT = "recording.json", "report.txt"
PART = "part-{key}-{host}.json"
"""Both are digests: a part left behind says of what host it is to nobody, and belongs to no other recording."""

# What carries the messages, where it is installed.
LIBRARIES = ("pywinrm", "pypsrp", "requests", "requests-ntlm", "requests-credssp", "pyspnego", "xmltodict", "urllib3")


class ActionModule(_action.ReplicaAction):
    SPEC = ARGUMENT_SPEC
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = ActionBase.run(self, tmp, task_vars)
        try:
            arguments = self._arguments()
            directory = Path(arguments["directory"]).absolute()
            if (directory / RECORDING).exists():
                raise ReplicaError(
                    ErrorClass.INVALID_ARGUMENT,
                    f"{directory} holds a recording already.",
                    hint="Take another directory, or move the recording away.",
                )
            act = self._report if arguments["do"] == "report" else self._record
            result.update(act(directory, arguments, task_vars or {}))
        except ReplicaError as error:
            result.update(_action.failure(error))
        except OSError as error:
            words = f"The files could not be written on the controller: {error}"
            result.update(_action.failure(ReplicaError(ErrorClass.INVALID_ARGUMENT, words)))
        return result

    def check(self, arguments: dict[str, t.Any], written: t.Mapping[str, t.Any]) -> None:
        if not arguments["mask_key"]:
            raise ReplicaError(ErrorClass.INVALID_ARGUMENT, "mask_key is empty.")
        _action.names_in(written, "vm")
        arguments["vm"] = (arguments["vm"] or "").strip()
        if arguments["verbs"] and not (arguments["vm"] and arguments["vm_may_be_lost"]):
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT,
                "The verbs were asked for, and it is not said of a VM that it may be lost.",
                hint="Name a VM that nobody needs, and say that it may be lost. Or leave the verbs out.",
            )

    def _record(self, directory: Path, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        name = str(task_vars.get("inventory_hostname", ""))
        mask = Mask(arguments["mask_key"].encode("utf-8"))
        recorder = recording.Recorder(mask)
        openers: dict[str, t.Any] = {
            "powershell": lambda one: over_powershell.open_session(
                self._connection, one.listening(self._bridge(task_vars))
            ),
            "wsman": lambda one: over_wsman.open_session(
                self._connection, _action.becomes(self), on_exchange=one.on_exchange
            ),
        }
        order = None
        if arguments["verbs"] and not self._task.check_mode:
            order = Verbs(
                arguments["vm"], time.sleep, time.monotonic, arguments["poll_interval"], arguments["job_timeout"]
            )
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = directory / PART.format(key=mask.digest(""), host=mask.digest(name))
        _write(file, "")  # what cannot be written is better known before anything is asked
        try:
            part, said = record(recorder, name, {one: openers[one] for one in arguments["transports"]}, order)
        except BaseException:
            if order is not None:
                where = f"while a failover and a revert were tried on {order.vm!r}"
                _action.Talk(name, self._task.no_log).say(f"ended from outside, perhaps {where}: look at that VM")
            raise
        hosts = task_vars.get("ansible_play_hosts_all") or [name]
        part["place"] = hosts.index(name) if name in hosts else len(hosts)
        _write(file, json.dumps(part))
        over = [f"{transport}: {missing or 'recorded'}" for transport, missing in part["transports"].items()]
        return {
            "changed": any("end" in tried for tried in part["verbs"].values()),
            "msg": "\n".join([f"{name}: {', '.join(over)}", *said]),
            "file": str(file),
        }

    def _report(self, directory: Path, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        digest = Mask(arguments["mask_key"].encode("utf-8")).digest("")
        parts = [path for path in directory.glob(PART.format(key=digest, host="*")) if path.stat().st_size]
        if not parts:
            raise ReplicaError(ErrorClass.INVALID_ARGUMENT, f"No host was recorded in {directory}.")
        whole = recording.document([json.loads(part.read_text("utf-8")) for part in parts], made_with())
        whole["report"] = report(evidence(whole))
        _write(directory / RECORDING, recording.written(whole))
        _write(directory / REPORT, table(whole["report"]))
        for part in parts:
            part.unlink()
        lines = summary(whole, str(directory / RECORDING))
        return {
            "changed": True,
            "msg": "\n".join(lines),
            "file": str(directory / RECORDING),
            "report": whole["report"],
        }


def made_with() -> dict[str, str]:
    """The versions of all that takes part on the controller."""
    versions = {"hyperv.replica": _collection_version(), "ansible-core": core_version}
    versions["python"] = platform.python_version()
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _collection_version() -> str:
    """From the manifest of an installed collection, else from what it is built from."""
    top = Path(__file__).resolve().parents[2]
    for name, pattern in (("MANIFEST.json", r'"version": *"([^"]+)"'), ("galaxy.yml", r"^version: *(\S+)")):
        path = top / name
        found = re.search(pattern, path.read_text("utf-8"), re.MULTILINE) if path.exists() else None
        if found:
            return found[1]
    return "unknown"


def _write(file: Path, text: str) -> None:
    """Write a file that nobody else on the controller reads, and never half of one."""
    new = file.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
    new.replace(file)
