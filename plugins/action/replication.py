# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The replication module. What it does is documented in plugins/modules/replication.yml."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from ansible_collections.hyperv.replica.plugins.plugin_utils import _vm_action
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import RunningVm, Side
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.absent import ABSENT, Remove
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.as_replica import AS_REPLICA, AsReplica
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.continued import CONTINUED, Continue
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.enabled import ENABLED, Enable
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.replicating import REPLICATING, Resume
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.resynchronized import (
    RESYNCHRONIZED,
    Resynchronize,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reversed import REVERSED, Reverse
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.settings import Authentication, Stated
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.started import (
    STARTED,
    Initial,
    StartReplication,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.suspended import SUSPENDED, Suspend
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Verb

Arguments = t.Mapping[str, t.Any]

INTERVALS = (30, 300, 900)
RANGES: dict[str, range] = {
    "replica_port": range(1, 65536),
    "recovery_history": range(25),
    "app_consistent_interval": range(13),
}
_TIME_OF_DAY = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_THUMBPRINT = re.compile(r"[0-9A-F]{40,128}")
_OF_THE_PAIR = (REVERSED.name, AS_REPLICA.name, CONTINUED.name)


def _common(arguments: Arguments) -> tuple[Side, RunningVm, int]:
    return Side(arguments["side"]), RunningVm(arguments["running_vm"]), int(arguments["relationship"])


def _start(given: Arguments) -> StartReplication:
    """Raises ReplicaError."""
    initial, path, at = Initial(given["initial"]), (given["export_path"] or "").strip(), _moment(given)
    if (initial is Initial.EXPORT) is not bool(path):
        raise ReplicaError(
            ErrorClass.INVALID_ARGUMENT,
            "initial=export needs export_path." if initial is Initial.EXPORT else "export_path needs initial=export.",
        )
    if initial is Initial.EXPORT and at is not None:
        raise ReplicaError(
            ErrorClass.INVALID_ARGUMENT,
            "An export begins at once: start_time does not go with initial=export.",
        )
    return StartReplication(*_common(given), initial=initial, export_path=path, at=at)


VERBS: dict[str, Callable[[Arguments], Verb]] = {
    ENABLED.name: lambda given: Enable(*_common(given), settings=_stated(given)),
    STARTED.name: _start,
    REPLICATING.name: lambda given: Resume(*_common(given)),
    SUSPENDED.name: lambda given: Suspend(*_common(given)),
    RESYNCHRONIZED.name: lambda given: Resynchronize(*_common(given), force=given["force"], at=_moment(given)),
    REVERSED.name: lambda given: Reverse(*_common(given), settings=_stated(given)),
    AS_REPLICA.name: lambda given: AsReplica(*_common(given), confirm=given["confirm"]),
    CONTINUED.name: lambda given: Continue(*_common(given), confirm=given["confirm"]),
    ABSENT.name: lambda given: Remove(*_common(given), confirm=given["confirm"]),
}

ARGUMENT_SPEC: dict[str, t.Any] = {
    "state": {"type": "str", "required": True, "choices": list(VERBS)},
    **_vm_action.VM_OPTIONS,
    "relationship": {"type": "int", "choices": [0, 1], "default": 0},
    "confirm": {"type": "bool", "default": False},
    "replica_server": {"type": "str"},
    "replica_port": {"type": "int"},
    "authentication": {"type": "str", "choices": [choice.value for choice in Authentication]},
    "certificate_thumbprint": {"type": "str"},
    "compression": {"type": "bool"},
    "bypass_proxy": {"type": "bool"},
    "interval": {"type": "int", "choices": list(INTERVALS)},
    "recovery_history": {"type": "int"},
    "app_consistent_interval": {"type": "int"},
    "auto_resync": {"type": "bool"},
    "auto_resync_start": {"type": "str"},
    "auto_resync_end": {"type": "str"},
    "replicate_kvp": {"type": "bool"},
    "initial": {"type": "str", "choices": [choice.value for choice in Initial], "default": Initial.NETWORK.value},
    "export_path": {"type": "str"},
    "start_time": {"type": "str"},
    "force": {"type": "bool", "default": False},
    **_vm_action.POWER_OPTIONS,
    "side": {"type": "str", "choices": [choice.value for choice in Side], "default": "any"},
    **_vm_action.RUN_OPTIONS,
}


class ActionModule(_vm_action.VmAction):
    SPEC = ARGUMENT_SPEC

    def verb(self, arguments: dict[str, t.Any]) -> Verb:
        state = arguments["state"]
        if arguments["relationship"] == 1 and state in _OF_THE_PAIR:
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT,
                f"state={state} is about the relationship of the pair, and not about relationship=1.",
                hint="Leave relationship out.",
            )
        if arguments["all"] and state == ENABLED.name:
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT,
                "state=enabled and all=true would replicate every VM of the host.",
                hint="Give the VMs in name.",
            )
        _stated(arguments), _moment(arguments)  # what is no setting and no time is refused with any state
        return VERBS[state](arguments)


def _moment(given: Arguments) -> datetime | None:
    """The time of start_time, in UTC. Raises ReplicaError."""
    text = (given["start_time"] or "").strip()
    if not text:
        return None
    try:
        # Python 3.10 knows no Z.
        moment = datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text))
    except ValueError:
        raise ReplicaError(
            ErrorClass.INVALID_ARGUMENT, f"start_time is {text!r}, which is no time in ISO 8601 (2026-11-30T22:00:00Z)."
        ) from None
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


def _stated(given: Arguments) -> Stated:
    """Raises ReplicaError."""
    for name, allowed in RANGES.items():
        if given[name] is not None and given[name] not in allowed:
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT,
                f"{name} is {given[name]}; it must be from {allowed.start} to {allowed.stop - 1}.",
            )
    return Stated(
        replica_server=(given["replica_server"] or "").strip() or None,
        replica_port=given["replica_port"],
        authentication=Authentication(given["authentication"]) if given["authentication"] else None,
        certificate_thumbprint=_thumbprint(given["certificate_thumbprint"]),
        compression=given["compression"],
        bypass_proxy=given["bypass_proxy"],
        interval=given["interval"],
        recovery_history=given["recovery_history"],
        app_consistent_interval=given["app_consistent_interval"],
        auto_resync=given["auto_resync"],
        auto_resync_start=_time_of_day("auto_resync_start", given),
        auto_resync_end=_time_of_day("auto_resync_end", given),
        replicate_kvp=given["replicate_kvp"],
    )


def _thumbprint(text: str | None) -> str | None:
    """As the certificate store writes it: people copy it with blanks, colons and an invisible mark in front."""
    if not (text or "").strip():
        return None
    plain = re.sub("[^0-9A-Z]", "", str(text).upper())
    if not _THUMBPRINT.fullmatch(plain):
        raise ReplicaError(
            ErrorClass.INVALID_ARGUMENT, f"certificate_thumbprint is {text!r}, which is no thumbprint of a certificate."
        )
    return plain


def _time_of_day(name: str, given: Arguments) -> timedelta | None:
    text = (given[name] or "").strip()
    if not text:
        return None
    found = _TIME_OF_DAY.fullmatch(text)
    if found is None:
        raise ReplicaError(
            ErrorClass.INVALID_ARGUMENT,
            f"{name} is {text!r}, which is no time of day (18:30).",
            hint="Put the time in quotes: YAML reads 18:30 without them as a number.",
        )
    return timedelta(hours=int(found[1]), minutes=int(found[2]))
