# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""A recording: what was sent to the hosts of a pair and what they answered, masked from the start.

A host is recorded by a process of its own, which makes one *part*. The parts of a pair become one document, in which
the report stands first and every exchange below it::

    {"format": "hyperv.replica recording", "version": 1, "made_with": {...}, "report": [...],
     "hosts": [{"host": "NAME-1", "transports": {"wsman": null, "powershell": "why not"}, "verbs": {...},
                "exchanges": [{"moment": "reading", "transport": "wsman", "request": [...], "response": [...]},
                              {"moment": "reading", "transport": "powershell", "arguments": {...}, "result": {...}}]}]}

A message is a list of lines, so that two recordings can be compared line by line. HTTP headers and credentials never
come near it: the taps are above them.
"""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimError
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.masking import Mask, renumbered

FORMAT = "hyperv.replica recording"
VERSION = 1

Json = dict[str, t.Any]
Execute = Callable[[Json], Mapping[str, t.Any]]

# What Ansible and PowerShell put around the answers of the module, and what of it says something.
_RESULT_KEYS = ("answers", "changed", "failed", "skipped", "unreachable", "rc", "msg", "module_stderr", "module_stdout")


class Moment:
    """When something was asked. Part of the format."""

    READING = "reading"
    BEFORE = "before the verbs"
    NOTHING_TO_REVERT = "revert with nothing to revert"
    UNKNOWN_VM = "revert of a VM that does not exist"
    FAILING_OVER = "failing over"
    FAILED_OVER = "failed over"
    REVERTING = "reverting"
    REVERTED = "reverted"
    END = "at the end"


@dataclass
class Recorder:
    """Listens at both transports. Only what is masked is kept."""

    mask: Mask
    exchanges: list[Json] = field(default_factory=list)
    moment: str = Moment.READING

    def on_exchange(self, request: bytes, answer: bytes | CimError) -> None:
        """See :class:`~.carriers.Tapped`."""
        exchange: Json = {"moment": self.moment, "transport": "wsman", "request": self.mask.xml(request)}
        if isinstance(answer, CimError):
            exchange["error"] = self.mask.error(answer)
        else:
            exchange["response"] = self.mask.xml(answer)
        self.exchanges.append(exchange)

    def listening(self, execute: Execute) -> Execute:
        """The function that runs the PowerShell module, listened to, and asked for every property of an instance."""

        def run(arguments: Json) -> Mapping[str, t.Any]:
            arguments = {**arguments, "properties": {}}
            exchange: Json = {
                "moment": self.moment,
                "transport": "powershell",
                "arguments": self.mask.data(arguments),
            }
            self.exchanges.append(exchange)
            try:
                result = execute(arguments)
            except Exception as error:
                exchange["error"] = {"kind": type(error).__name__, "message": self.mask.text(str(error))}
                raise
            # Plain values, whatever the core has wrapped or tagged them with.
            plain = json.loads(json.dumps({key: result[key] for key in _RESULT_KEYS if key in result}, default=str))
            exchange["result"] = self.mask.data(plain)
            return result

        return run


def document(parts: t.Sequence[Json], made_with: Mapping[str, str]) -> Json:
    """One recording of the parts, with replacements counted from 1. The report is still empty.

    A part may have a ``place``, so that two recordings of the same hosts have them in the same order.
    """
    ordered = sorted(parts, key=lambda part: int(part.get("place", 0)))
    texts = renumbered([json.dumps({name: part[name] for name in part if name != "place"}) for part in ordered])
    return {
        "format": FORMAT,
        "version": VERSION,
        "made_with": dict(made_with),
        "report": [],
        "hosts": [json.loads(text) for text in texts],
    }


def written(recording: Json) -> str:
    """The text of the file."""
    return json.dumps(recording, indent=1, ensure_ascii=False) + "\n"


def read(text: str) -> Json:
    """A recording from its file. Raises ValueError for anything else."""
    recording = json.loads(text)
    if not isinstance(recording, dict) or (recording.get("format"), recording.get("version")) != (FORMAT, VERSION):
        raise ValueError(f"this is no {FORMAT} of version {VERSION}")
    return recording
