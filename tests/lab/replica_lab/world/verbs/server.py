# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host as a replica server: its settings, whom it takes replication from, and whether another one takes it."""

from __future__ import annotations

import typing as t
from datetime import datetime

from replica_lab.numbers import AuthenticationType, Code, JobType
from replica_lab.provider import Value
from replica_lab.world import connection, embedded
from replica_lab.world.connection import Route
from replica_lab.world.jobs import Plan
from replica_lab.world.model import Authorization, Vm
from replica_lab.world.verbs.common import REPLICA_SIDE, need, need_choice, need_idle

if t.TYPE_CHECKING:
    from replica_lab.world.host import Host

SETTINGS = "Msvm_ReplicationServiceSettingData"
AUTHORIZATION = "Msvm_ReplicationAuthorizationSettingData"

FIELDS = {
    "RecoveryServerEnabled": "enabled",
    "AllowedAuthenticationType": "authentication",
    "HttpPort": "http_port",
    "HttpsPort": "https_port",
    "CertificateThumbPrint": "certificate",
    "MonitoringInterval": "monitoring_interval",
    "MonitoringStartTime": "monitoring_start",
}
"""Properties of the settings, and where the world keeps them."""

_ALLOWED: dict[str, t.Container[object]] = {
    "AllowedAuthenticationType": range(4),
    "HttpPort": range(1, 1 << 16),
    "HttpsPort": range(1, 1 << 16),
    "MonitoringInterval": range(3600, 604801),
}


# --- the host's own settings -----------------------------------------------------------------------------------


def modify_settings(host: Host, text: Value) -> Plan:
    """What a text states becomes so; what it leaves out, or has as NULL, stays."""
    if host.cluster:
        need_choice(host.world.assumptions.CLUSTER_NODE_SERVICE_SETTINGS)
    found = embedded.read(text, SETTINGS)
    for name, allowed in _ALLOWED.items():
        need(name not in found or found[name] in allowed, Code.INVALID_PARAMETER)
    need(isinstance(found.get("MonitoringStartTime", host.server.monitoring_start), datetime), Code.INVALID_PARAMETER)
    change = {FIELDS[name]: value for name, value in found.items() if name in FIELDS}
    authentication = t.cast(int, change.get("authentication", host.server.authentication))
    certificate = change.get("certificate", host.server.certificate)
    enabled = change.get("enabled", host.server.enabled)
    need(
        not enabled or not authentication & AuthenticationType.CERTIFICATE or bool(certificate), Code.INVALID_PARAMETER
    )

    def finish() -> None:
        for name, value in change.items():
            setattr(host.server, name, value)

    return Plan("service", JobType.MODIFY_SERVICE_SETTINGS, None, finish=finish)


# --- authorization entries ---------------------------------------------------------------------------------------


def find_authorization(host: Host, primary: str) -> Authorization | None:
    """The entry of that name; host names know no case."""
    return next((found for found in host.authorizations if found.primary.casefold() == primary.casefold()), None)


def _entry(host: Host, text: Value) -> Authorization:
    found = embedded.read(text, AUTHORIZATION)
    entry = Authorization(
        str(found.get("AllowedPrimaryHostSystem", "")),
        str(found.get("TrustGroup", "")),
        str(found.get("ReplicaStorageLocation", "")),
    )
    need(bool(entry.primary), Code.INVALID_PARAMETER)
    if not (entry.trust_group and entry.storage):
        need_choice(host.world.assumptions.AUTHORIZATION_WITH_BLANKS)
    return entry


def _need_no_cluster(host: Host) -> None:
    need(not host.cluster, Code.NOT_SUPPORTED)  # the Replica Broker has them


def add_authorization(host: Host, text: Value) -> Plan:
    _need_no_cluster(host)
    entry = _entry(host, text)
    if find_authorization(host, entry.primary) is not None:
        need_choice(host.world.assumptions.AUTHORIZATION_THAT_EXISTS)
    return _plan(lambda: _put(host, entry))


def modify_authorization(host: Host, text: Value) -> Plan:
    _need_no_cluster(host)
    entry = _entry(host, text)
    need(find_authorization(host, entry.primary) is not None, host.world.assumptions.UNKNOWN_AUTHORIZATION)
    return _plan(lambda: _put(host, entry))


def _put(host: Host, entry: Authorization) -> None:
    old = find_authorization(host, entry.primary)
    if old is None:
        host.authorizations.append(entry)
    else:
        old.trust_group, old.storage = entry.trust_group, entry.storage


def remove_authorization(host: Host, primary: Value) -> Plan:
    _need_no_cluster(host)
    entry = find_authorization(host, str(primary or ""))
    need(entry is not None, host.world.assumptions.UNKNOWN_AUTHORIZATION)

    def finish() -> None:
        host.authorizations = [found for found in host.authorizations if found is not entry]

    return _plan(finish)


def set_authorization(vm: Vm, text: Value) -> Plan:
    """Bind a replica to one of the primaries that its host allows."""
    entry = _entry(vm.host, text)
    need_idle(vm)
    need(vm.mode in REPLICA_SIDE)
    if find_authorization(vm.host, entry.primary) is None:
        need_choice(vm.host.world.assumptions.SET_AUTHORIZATION_UNKNOWN_TO_HOST)

    def finish() -> None:
        vm.authorization = entry

    return Plan("service", JobType.MODIFY_RELATIONSHIP, vm, finish=finish)


def _plan(finish: t.Callable[[], None]) -> Plan:
    return Plan("service", JobType.MODIFY_SERVICE_SETTINGS, None, finish=finish)


# --- TestReplicationConnection -----------------------------------------------------------------------------------


def check_connection(host: Host, to: Value, port: Value, authentication: Value, certificate: Value) -> Plan:
    """Ask whether that host takes replication from here; the job fails where it does not."""
    need(bool(to) and bool(port) and authentication in set(AuthenticationType), Code.INVALID_PARAMETER)
    by_certificate = authentication == AuthenticationType.CERTIFICATE
    need(bool(certificate) or not by_certificate, Code.INVALID_PARAMETER)
    route = Route(str(to), t.cast(int, port), t.cast(int, authentication), str(certificate or ""))
    return Plan(
        "connection", JobType.TEST_CONNECTION, None, finish=lambda: t.cast(None, connection.connect(host, route))
    )
