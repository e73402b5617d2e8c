# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The replication_server module. What it does is documented in plugins/modules/replication_server.yml."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.hyperv.replica.plugins.plugin_utils import _action
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimSession, Value
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.server import (
    ALLOWED,
    PROPERTIES,
    Allowed,
    Entry,
    Wanted,
    set_up,
    time_of_day,
)

ARGUMENT_SPEC: dict[str, t.Any] = {
    **_action.HOST_SPEC,
    "enabled": {"type": "bool"},
    "authentication": {"type": "str", "choices": [choice.value for choice in Allowed]},
    "http_port": {"type": "int"},
    "https_port": {"type": "int"},
    "certificate_thumbprint": {"type": "str"},
    "monitoring_interval": {"type": "int"},
    "monitoring_start": {"type": "str"},
    "authorization": {
        "type": "list",
        "elements": "dict",
        "options": {
            "primary": {"type": "str", "required": True},
            "storage": {"type": "str"},
            "trust_group": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
    },
    "wait_timeout": {"type": "int", "default": 60},
    "poll_interval": {"type": "float", "default": 2.0},
}

_RANGES = {
    "http_port": (1, 65535),
    "https_port": (1, 65535),
    "monitoring_interval": (3600, 604800),
    "wait_timeout": (1, 86400),
    "poll_interval": (0.1, 3600),
}
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


class ActionModule(_action.ReplicaAction):
    SPEC = ARGUMENT_SPEC

    def check(self, arguments: dict[str, t.Any], written: t.Mapping[str, t.Any]) -> None:
        _action.within(arguments, _RANGES)
        _wanted(arguments)  # what it refuses is refused before any host is asked

    def act(self, session: CimSession, arguments: dict[str, t.Any], talk: _action.Talk) -> dict[str, t.Any]:
        result = set_up(
            session,
            _action.SystemClock(),
            _wanted(arguments),
            check_mode=self._task.check_mode,
            diff=self._task.diff,
            timeout=arguments["wait_timeout"],
            poll=arguments["poll_interval"],
        )
        return {"host": talk.host, **result}


def _wanted(arguments: t.Mapping[str, t.Any]) -> Wanted:
    """What the task says. Raises ReplicaError."""
    said: dict[str, Value] = {}
    for option, name in PROPERTIES.items():
        value = arguments[option]
        if value is None or value == "":  # an empty text field of a survey
            continue
        if option == "authentication":
            value = ALLOWED[Allowed(value)]
        elif option == "certificate_thumbprint":
            value = _action.thumbprint(value)
        elif option == "monitoring_start":
            found = _TIME.fullmatch(value.strip())
            if found is None:
                raise ReplicaError(
                    ErrorClass.INVALID_ARGUMENT,
                    f"monitoring_start is {value!r}; it must be a time of day (UTC) like 03:00.",
                    hint='Quote it: monitoring_start: "03:00"',
                )
            value = time_of_day(int(found[1]), int(found[2]))
        said[name] = value
    entries = tuple(
        Entry(
            each["primary"].strip(),
            (each["storage"] or "").strip() or None,
            (each["trust_group"] or "").strip() or None,
            each["state"] == "present",
        )
        for each in arguments["authorization"] or ()
    )
    names = [entry.primary.casefold() for entry in entries]
    if "" in names:
        raise ReplicaError(ErrorClass.INVALID_ARGUMENT, "authorization holds an entry with an empty primary.")
    twice = next((entry.primary for entry in entries if names.count(entry.primary.casefold()) > 1), None)
    if twice is not None:
        raise ReplicaError(ErrorClass.INVALID_ARGUMENT, f"authorization names {twice!r} twice.")
    return Wanted(said, entries)
