# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""The host as a replica server: its settings, whom it takes replication from, and whether another one takes it.

Sources: Msvm_ReplicationServiceSettingData, Msvm_ReplicationAuthorizationSettingData; ModifyServiceSettings,
AddAuthorizationEntry, ModifyAuthorizationEntry, RemoveAuthorizationEntry and TestReplicationConnection methods of
Msvm_ReplicationService.
"""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.embedded import write_instance
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimSession, Query, Reference, Value
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.call_once import Called, HostAct, call_once
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import JobType
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import (
    WORST_CERTAINTY,
    Certainty,
    ErrorClass,
    ReplicaError,
    hint_of,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import JOBS, ask, job_of
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.run import Clock
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import on_service

SETTINGS = Query("SELECT * FROM Msvm_ReplicationServiceSettingData")
AUTHORIZATIONS = Query("SELECT * FROM Msvm_ReplicationAuthorizationSettingData")
_SETTINGS, _AUTHORIZATION = "Msvm_ReplicationServiceSettingData", "Msvm_ReplicationAuthorizationSettingData"

BROKER = (
    "On a node of a cluster these settings belong to the Hyper-V Replica Broker of the cluster, not to the node. "
    "Change them there: Failover Cluster Manager, Replication Settings of the broker role."
)


class Allowed(enum.Enum):
    """How others may authenticate. Page: Msvm_ReplicationServiceSettingData, AllowedAuthenticationType."""

    KERBEROS = "kerberos"
    CERTIFICATE = "certificate"
    BOTH = "both"


ALLOWED: dict[Allowed, int] = {Allowed.KERBEROS: 1, Allowed.CERTIFICATE: 2, Allowed.BOTH: 3}
_CERTIFICATE = 2

PROPERTIES: dict[str, str] = {
    "enabled": "RecoveryServerEnabled",
    "authentication": "AllowedAuthenticationType",
    "certificate_thumbprint": "CertificateThumbPrint",
    "http_port": "HttpPort",
    "https_port": "HttpsPort",
    "monitoring_interval": "MonitoringInterval",
    "monitoring_start": "MonitoringStartTime",
}
"""Options of the module, and the properties they set."""


@dataclass(frozen=True)
class Entry:
    """An authorization entry; of a task, None is not said."""

    primary: str
    storage: str | None = None
    trust_group: str | None = None
    present: bool = True
    reference: Reference | None = None

    def shown(self) -> dict[str, str]:
        return {"primary": self.primary, "storage": self.storage or "", "trust_group": self.trust_group or ""}


@dataclass(frozen=True)
class Server:
    """One reading of the host."""

    settings: t.Mapping[str, Value]
    reference: Reference | None
    entries: tuple[Entry, ...]

    def entry(self, primary: str) -> Entry | None:
        return next((each for each in self.entries if each.primary.casefold() == primary.casefold()), None)

    def shown(self) -> dict[str, t.Any]:
        """As a result has it: names beside numbers, times as text."""
        raw = self.settings.get("AllowedAuthenticationType")
        start = self.settings.get("MonitoringStartTime")
        names = {number: kind.value for kind, number in ALLOWED.items()}
        return {
            **{name: self.settings.get(key) for name, key in PROPERTIES.items()},
            "authentication": names.get(raw if isinstance(raw, int) else 0, "unknown"),
            "authentication_raw": raw,
            "monitoring_start": f"{start:%H:%M}" if isinstance(start, datetime) else None,
            "authorization": [each.shown() for each in self.entries],
        }

    def text(self) -> str:
        """For a diff."""
        shown = self.shown()
        lines = [f"{name}: {shown[name]}" for name in PROPERTIES]
        lines += [
            f"authorization {each['primary']}: {each['storage']} ({each['trust_group']})"
            for each in sorted(shown["authorization"], key=lambda one: one["primary"].casefold())
        ]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Wanted:
    """What the task says. ``settings`` by property."""

    settings: t.Mapping[str, Value]
    entries: tuple[Entry, ...] = ()

    def differences(self, server: Server) -> dict[str, Value]:
        return {name: value for name, value in self.settings.items() if not _same(value, server.settings.get(name))}

    def differing(self, server: Server) -> list[Entry]:
        return [entry for entry in self.entries if _differs(entry, server.entry(entry.primary))]

    def over(self, server: Server) -> Server:
        """The host as it would be."""
        kept = {each.primary.casefold(): each for each in server.entries}
        for entry in self.entries:
            key, there = entry.primary.casefold(), server.entry(entry.primary)
            if entry.present:
                kept[key] = _merged(entry, there)
            else:
                kept.pop(key, None)
        return Server({**server.settings, **self.differences(server)}, server.reference, tuple(kept.values()))

    def refusal(self, server: Server) -> ReplicaError | None:
        """What cannot be carried out, said before anything is sent."""
        then = {**server.settings, **self.settings}
        kind = then.get("AllowedAuthenticationType")
        lacking = isinstance(kind, int) and bool(kind & _CERTIFICATE) and not then.get("CertificateThumbPrint")
        if self.differences(server) and then.get("RecoveryServerEnabled") and lacking:
            return ReplicaError(
                ErrorClass.SETTINGS_CONFLICT,
                "The host would take replication with certificates, and no certificate is set.",
                hint="Give certificate_thumbprint, or authentication=kerberos.",
            )
        for entry in self.differing(server):
            if entry.present and server.entry(entry.primary) is None and not (entry.storage and entry.trust_group):
                return ReplicaError(
                    ErrorClass.INVALID_ARGUMENT,
                    f"The entry for {entry.primary!r} is not there, and a new one needs storage and trust_group.",
                )
        return None


def _same(wanted: Value, found: Value) -> bool:
    if isinstance(wanted, datetime) and isinstance(found, datetime):
        return (wanted.hour, wanted.minute) == (found.hour, found.minute)
    if isinstance(wanted, str):
        return wanted.casefold() == (found.casefold() if isinstance(found, str) else "")
    return wanted == found


def _folder(path: str | None) -> str:
    return (path or "").rstrip("\\/").casefold()


def _differs(entry: Entry, there: Entry | None) -> bool:
    if not entry.present or there is None:
        return entry.present is not (there is not None)
    return (entry.storage is not None and _folder(entry.storage) != _folder(there.storage)) or (
        entry.trust_group is not None and entry.trust_group != there.trust_group
    )


def _merged(entry: Entry, there: Entry | None) -> Entry:
    if there is None:
        return entry
    return Entry(
        there.primary,
        there.storage if entry.storage is None else entry.storage,
        there.trust_group if entry.trust_group is None else entry.trust_group,
    )


def read_server(session: CimSession) -> tuple[Server, bool]:
    """The host, and whether somebody is changing it now. Three queries. Raises ReplicaError."""
    answers = ask(session, [SETTINGS, AUTHORIZATIONS, JOBS])
    instances = answers[SETTINGS] or ()
    if not instances:
        raise ReplicaError(
            ErrorClass.SERVICE_UNAVAILABLE,
            "The host shows no settings of a replica server.",
            hint="Check that this is a Hyper-V host, that its Virtual Machine Management service (vmms) runs, and that "
            "the user may see it: UAC hides it from a remote local administrator.",
        )
    names = (*PROPERTIES.values(), "InstanceID")
    entries = tuple(
        Entry(
            _text(each.get("AllowedPrimaryHostSystem")),
            _text(each.get("ReplicaStorageLocation")),
            _text(each.get("TrustGroup")),
            reference=each.reference,
        )
        for each in answers[AUTHORIZATIONS] or ()
    )
    jobs = [job_of(each) for each in answers[JOBS] or ()]
    busy = any(job.type == JobType.MODIFY_SERVICE_SETTINGS and job.running for job in jobs)
    first = instances[0]
    return Server({name: first.get(name) for name in names}, first.reference, entries), busy


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""


def acts_for(session: CimSession, wanted: Wanted, server: Server) -> list[HostAct]:
    """The calls that lead from what was read to what is wanted, the settings first."""
    acts = []
    different = wanted.differences(server)
    if different:
        # The whole instance, as it was read: whether the host would keep what is left out is not documented.
        values = {name: value for name, value in server.settings.items() if value not in (None, "")}
        acts.append(
            HostAct(
                "the change of the settings of the replica server",
                on_service("ModifyServiceSettings", SettingData=write_instance(_SETTINGS, {**values, **different})),
                lambda: not wanted.differences(read_server(session)[0]),
                server.reference,
                tuple(
                    (name, (value,))
                    for name, value in server.settings.items()
                    if name not in ("MonitoringStartTime", "InstanceID")
                ),
            )
        )
    for entry in wanted.differing(server):
        acts.append(_entry_act(session, entry, server.entry(entry.primary)))
    return acts


def _entry_act(session: CimSession, entry: Entry, there: Entry | None) -> HostAct:
    def shows() -> bool:
        return not _differs(entry, read_server(session)[0].entry(entry.primary))

    guard = (
        (
            ("ReplicaStorageLocation", (there.storage,)),
            ("TrustGroup", (there.trust_group,)),
        )
        if there is not None
        else ()
    )
    reference = there.reference if there is not None else None
    if not entry.present:
        call = on_service("RemoveAuthorizationEntry", AllowedPrimaryHostSystem=(there or entry).primary)
        return HostAct(f"the removal of the entry for {entry.primary}", call, shows, reference, guard)
    merged = _merged(entry, there)
    text = write_instance(
        _AUTHORIZATION,
        {
            "AllowedPrimaryHostSystem": merged.primary,
            "TrustGroup": merged.trust_group or "",
            "ReplicaStorageLocation": merged.storage or "",
        },
    )
    method = "AddAuthorizationEntry" if there is None else "ModifyAuthorizationEntry"
    return HostAct(
        f"the entry for {entry.primary}", on_service(method, AuthorizationEntry=text), shows, reference, guard
    )


def set_up(
    session: CimSession, clock: Clock, wanted: Wanted, *, check_mode: bool, diff: bool, timeout: float, poll: float
) -> dict[str, t.Any]:
    """What the module replication_server does; its result. Raises ReplicaError before anything was sent."""
    server, busy = read_server(session)
    refused = wanted.refusal(server)
    if refused is not None:
        raise refused
    acts = acts_for(session, wanted, server)
    if acts and busy:
        raise ReplicaError(
            ErrorClass.BUSY,
            "Somebody is changing the settings of the replica server right now.",
            hint="Wait until the job of that is done, then run again.",
        )
    done: list[Called] = []
    if not check_mode:
        for act in acts:
            done.append(call_once(session, clock, act, timeout=timeout, poll=poll))
            if done[-1].error is not None:
                break
    after: Server | None = wanted.over(server)
    if not check_mode and acts:
        try:
            after = read_server(session)[0]
        except ReplicaError:
            after = None
    return _result(server, after, acts, done, check_mode=check_mode, diff=diff)


def _result(
    before: Server, after: Server | None, acts: list[HostAct], done: list[Called], *, check_mode: bool, diff: bool
) -> dict[str, t.Any]:
    changed = bool(acts) if check_mode else any(each.changed for each in done)
    result: dict[str, t.Any] = {
        "changed": changed,
        "before": before.shown(),
        "after": None if after is None or check_mode else after.shown(),
        "calls": [_call_dict(each) for each in done],
    }
    failed = next((each for each in done if each.error is not None), None)
    if failed is None:
        verb = "would be changed" if check_mode else "was changed"
        result["msg"] = (
            f"The replica server {verb}: {', '.join(act.noun for act in acts)}."
            if acts
            else "The replica server is as the task says."
        )
    else:
        error = failed.error or ErrorClass.METHOD_FAILED
        seen = {each.certainty for each in done}
        worst = next(each for each in WORST_CERTAINTY if each in seen)
        left = len(acts) - len(done)
        hint = failed.hint or (BROKER if error is ErrorClass.NOT_SUPPORTED else hint_of(error, failed.act.noun))
        result["error_class"], result["certainty"], result["hint"] = error.value, worst.value, hint
        result["msg"] = " ".join(
            filter(
                None,
                (
                    failed.cause,
                    f"The host says: {failed.detail}" if failed.detail else "",
                    _SAYS[worst],
                    f"{left} more calls were not sent." if left else "",
                ),
            )
        )
        gone = failed.unreachable and not any(each.sent for each in done)
        result["unreachable" if gone else "failed"] = True
    if diff and changed:
        result["diff"] = {
            "before_header": "replica server",
            "after_header": "replica server",
            "before": before.text(),
            "after": "unknown\n" if after is None else after.text(),
        }
    return result


_SAYS = {
    Certainty.NOTHING_CHANGED: "Nothing was changed.",
    Certainty.CHANGED: "The host was changed.",
    Certainty.BETWEEN_STATES: "The host is between two states.",
    Certainty.UNKNOWN: "Whether anything changed is not known; nothing was sent twice.",
}


def _call_dict(called: Called) -> dict[str, t.Any]:
    return {
        "method": called.act.call.method,
        "noun": called.act.noun,
        "changed": called.changed,
        "return_value": called.return_value,
        "job_id": called.job.id if called.job else None,
        "certainty": called.certainty.value,
        "error_class": called.error.value if called.error else None,
    }


def time_of_day(hours: int, minutes: int) -> datetime:
    """MonitoringStartTime is a datetime of which only the time counts (UTC).

    Assumption: the host takes the zero of Windows file times for its date, as it shows it itself.
    """
    return datetime(1601, 1, 1, tzinfo=timezone.utc) + timedelta(hours=hours, minutes=minutes)


@dataclass(frozen=True)
class Route:
    """To which server, and how."""

    server: str
    port: int
    authentication: int
    certificate_thumbprint: str | None = None
    bypass_proxy: bool = False


def check_connection(session: CimSession, clock: Clock, route: Route, *, timeout: float, poll: float) -> Called:
    """Ask the host whether that server takes replication from it. Nothing is changed by it."""
    call = on_service(
        "TestReplicationConnection",
        RecoveryConnectionPoint=route.server,
        RecoveryServerPortNumber=route.port,
        AuthenticationType=route.authentication,
        CertificateThumbPrint=route.certificate_thumbprint,
        BypassProxyServer=route.bypass_proxy,
    )
    return call_once(session, clock, HostAct("the connection test", call), timeout=timeout, poll=poll)
