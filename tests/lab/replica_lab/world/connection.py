# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host speaks to another: whether that one is there, takes replication, and from whom."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from replica_lab.numbers import AuthenticationType
from replica_lab.provider import Value
from replica_lab.world.jobs import JobFailed

if t.TYPE_CHECKING:
    from replica_lab.world.host import Host


@dataclass(frozen=True)
class Route:
    """Where to, and how: the part of Msvm_ReplicationSettingData that says how the other host is reached."""

    to: str
    port: int
    authentication: int
    certificate: str

    @classmethod
    def of(cls, settings: t.Mapping[str, Value]) -> Route:
        authentication = t.cast(int, settings.get("AuthenticationType") or AuthenticationType.KERBEROS)
        usual = 443 if authentication == AuthenticationType.CERTIFICATE else 80
        return cls(
            t.cast(str, settings.get("RecoveryConnectionPoint") or ""),
            t.cast(int, settings.get("RecoveryServerPortNumber") or usual),
            authentication,
            t.cast(str, settings.get("CertificateThumbPrint") or ""),
        )


def find(here: Host, name: str) -> Host | None:
    """The other host of that name, where the world has it."""
    return next((host for host in here.world.hosts.values() if host is not here and host.is_called(name)), None)


def connect(here: Host, route: Route) -> Host:
    """The host at the other end, if it takes replication from here that way. Raises JobFailed."""
    there = find(here, route.to)
    if there is None or not takes(there, here, route):
        raise JobFailed(here.world.assumptions.CONNECTION_FAILURE_CODE)
    return there


def takes(there: Host, here: Host, route: Route) -> bool:
    """Whether a host is a replica server for another one, on that port and with that authentication."""
    server = there.server
    port = server.https_port if route.authentication == AuthenticationType.CERTIFICATE else server.http_port
    return (
        not there.stopped
        and server.enabled
        and bool(server.authentication & route.authentication)
        and route.port == port
        and any(entry.allows(here) for entry in there.authorizations)
    )
