# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What a task says of the settings of a relationship, and the text in which the host is told.

Class: Msvm_ReplicationSettingData. What the task leaves out stays as the host has it: the whole instance goes back to
the host, as the vendor's sample does it, with only those properties changed that the task names.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.embedded import write_instance
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Value
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Settings
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import AuthenticationType


class Authentication(enum.Enum):
    KERBEROS = "kerberos"
    CERTIFICATE = "certificate"


_CLASS = "Msvm_ReplicationSettingData"
_TYPES = {
    Authentication.KERBEROS: AuthenticationType.KERBEROS,
    Authentication.CERTIFICATE: AuthenticationType.CERTIFICATE,
}
_PORTS = {Authentication.KERBEROS: 80, Authentication.CERTIFICATE: 443}
"""Where a replica server listens unless it was told otherwise; class Msvm_ReplicationServiceSettingData."""


@dataclass(frozen=True)
class Stated:
    """Settings by the names of the options; None is not said."""

    replica_server: str | None = None
    replica_port: int | None = None
    authentication: Authentication | None = None
    certificate_thumbprint: str | None = None
    compression: bool | None = None
    bypass_proxy: bool | None = None
    interval: int | None = None
    recovery_history: int | None = None
    app_consistent_interval: int | None = None
    auto_resync: bool | None = None
    auto_resync_start: timedelta | None = None
    auto_resync_end: timedelta | None = None
    replicate_kvp: bool | None = None

    def values(self) -> dict[str, Value]:
        """What is said, by property; without the server, which is no setting that could be changed."""
        authentication = None if self.authentication is None else int(_TYPES[self.authentication])
        said: dict[str, Value] = {
            "RecoveryServerPortNumber": self.replica_port,
            "AuthenticationType": authentication,
            "CertificateThumbPrint": self.certificate_thumbprint,
            "CompressionEnabled": self.compression,
            "BypassProxyServer": self.bypass_proxy,
            "ReplicationInterval": self.interval,
            "RecoveryHistory": self.recovery_history,
            "ApplicationConsistentSnapshotInterval": self.app_consistent_interval,
            "AutoResynchronizeEnabled": self.auto_resync,
            "AutoResynchronizeIntervalStart": self.auto_resync_start,
            "AutoResynchronizeIntervalEnd": self.auto_resync_end,
            "ReplicateHostKvpItems": self.replicate_kvp,
        }
        return {name: value for name, value in said.items() if value is not None}

    def differences(self, present: Settings) -> dict[str, Value]:
        """What is said and is not so."""
        return {name: value for name, value in self.values().items() if not _same(value, present.get(name))}

    def other_server(self, present: Settings) -> bool:
        """Whether the relationship leads to another server than the one that is said."""
        wanted = self.replica_server
        known = [present.recovery_connection_point, present.recovery_host]
        return wanted is not None and not any(same_host(wanted, name) for name in known if name)

    def without_certificate(self, present: Settings | None) -> bool:
        """Whether authentication by certificate is wanted, or there, and no certificate is named."""
        there = present or Settings(0)
        kind = self.values().get("AuthenticationType", there.authentication_type)
        named = self.certificate_thumbprint or there.get("CertificateThumbPrint")
        return kind == AuthenticationType.CERTIFICATE and not named

    def new(self, present: Settings | None) -> str:
        """The text for a relationship that is to be made, on top of what the host has prepared for the VM.

        Assumption: the instance that exists before replication is enabled names the disks that are replicated by
        default. Where it names none, none are named to the host.
        """
        values = {name: value for name, value in (present.stated if present else ()) if value not in ("", ())}
        # What the host has prepared points nowhere.
        values.pop("PrimaryConnectionPoint", None)
        authentication = self.authentication or Authentication.KERBEROS
        said: dict[str, Value] = {
            "RecoveryConnectionPoint": self.replica_server,
            "AuthenticationType": int(_TYPES[authentication]),
            "RecoveryServerPortNumber": _PORTS[authentication],
        }
        return write_instance(_CLASS, {**values, **said, **self.values()})

    def changed(self, present: Settings) -> str:
        """The text for a relationship that is there."""
        return write_instance(_CLASS, {**dict(present.stated), **self.values()})

    def turned_round(self, present: Settings) -> str:
        """The text that a reversal asks for: what was the primary is where it replicates to from now on."""
        server = self.replica_server or present.primary_connection_point
        of_the_way = Stated(
            replica_port=self.replica_port,
            authentication=self.authentication,
            certificate_thumbprint=self.certificate_thumbprint,
        )
        turned = {**dict(present.stated), "RecoveryConnectionPoint": server}
        return write_instance(_CLASS, {**turned, **of_the_way.values()})


def same_host(one: str, other: str) -> bool:
    """Whether two names are of one host, without regard to case; a name without a domain fits one with it."""
    names = [one.casefold().rstrip("."), other.casefold().rstrip(".")]
    if any("." not in name for name in names):
        names = [name.partition(".")[0] for name in names]
    return names[0] == names[1]


def _same(wanted: Value, found: Value) -> bool:
    if isinstance(wanted, str) and isinstance(found, str):
        return wanted.casefold() == found.casefold()
    if isinstance(wanted, timedelta) and isinstance(found, datetime):
        # Assumption: a time of day that comes as a date means its time.
        found = timedelta(hours=found.hour, minutes=found.minute, seconds=found.second)
    return wanted == found
