# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The replication_connection module. What it does is documented in plugins/modules/replication_connection.yml."""

from __future__ import annotations

import typing as t

from ansible_collections.hyperv.replica.plugins.plugin_utils import _action
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimSession
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import AuthenticationType
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.server import Route, check_connection

ARGUMENT_SPEC: dict[str, t.Any] = {
    **_action.HOST_SPEC,
    "server": {"type": "str", "required": True},
    "port": {"type": "int"},
    "authentication": {"type": "str", "choices": ["kerberos", "certificate"], "default": "kerberos"},
    "certificate_thumbprint": {"type": "str"},
    "bypass_proxy": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 120},
    "poll_interval": {"type": "float", "default": 2.0},
}

_WAYS = {"kerberos": (AuthenticationType.KERBEROS, 80), "certificate": (AuthenticationType.CERTIFICATE, 443)}
_RANGES = {"port": (1, 65535), "wait_timeout": (1, 86400), "poll_interval": (0.1, 3600)}


class ActionModule(_action.ReplicaAction):
    SPEC = ARGUMENT_SPEC

    def check(self, arguments: dict[str, t.Any], written: t.Mapping[str, t.Any]) -> None:
        _action.within(arguments, _RANGES)
        _route(arguments)

    def act(self, session: CimSession, arguments: dict[str, t.Any], talk: _action.Talk) -> dict[str, t.Any]:
        route = _route(arguments)
        there = f"{route.server}, port {route.port}, {arguments['authentication']}"
        if self._task.check_mode:
            msg = f"Skipped: only a method call can tell, and in check mode none is sent ({there})."
            return {"changed": False, "skipped": True, "host": talk.host, "reachable": None, "msg": msg}
        clock = _action.SystemClock()
        timeout, poll = arguments["wait_timeout"], arguments["poll_interval"]
        called = check_connection(session, clock, route, timeout=timeout, poll=poll)
        if called.error is not None:
            raise ReplicaError(
                called.error,
                f"{called.cause.rstrip('.')} ({there})",
                hint=called.hint or _HINTS.get(called.error, ""),
                unreachable=called.unreachable and not called.sent,
                data={"detail": called.detail},
            )
        msg = f"The server takes replication from this host ({there})."
        return {"changed": False, "host": talk.host, "reachable": True, "msg": msg}


_HINTS = {
    ErrorClass.JOB_FAILED: "Check on the server that it is enabled as a replica server, with this port and way to "
    "authenticate, that it authorizes this host, and that its firewall lets it in.",
    ErrorClass.JOB_TIMEOUT: "The server did not answer so far. Check name, port and firewall.",
}


def _route(arguments: t.Mapping[str, t.Any]) -> Route:
    """Raises ReplicaError."""
    server = arguments["server"].strip()
    if not server:
        raise ReplicaError(ErrorClass.INVALID_ARGUMENT, "server is empty.")
    kind, usual = _WAYS[arguments["authentication"]]
    written = arguments["certificate_thumbprint"]
    thumbprint = _action.thumbprint(written) if written else None
    if kind is AuthenticationType.CERTIFICATE and thumbprint is None:
        raise ReplicaError(ErrorClass.INVALID_ARGUMENT, "authentication=certificate needs certificate_thumbprint.")
    return Route(server, arguments["port"] or usual, int(kind), thumbprint, arguments["bypass_proxy"])
