# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""Which VMs of a host are meant.

By GUID, or by exact name without regard to case; never by wildcard, never the host itself. A name that does not
lead to exactly one VM is refused before anything is done to any other.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Host, VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import guid


@dataclass(frozen=True)
class Refusal:
    """A name that cannot be acted on."""

    name: str
    error_class: ErrorClass
    message: str


@dataclass(frozen=True)
class Choice:
    vms: tuple[VirtualMachine, ...]
    not_here: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()


def choose(
    host: Host,
    names: t.Sequence[str] | None,
    *,
    exclude: t.Sequence[str] = (),
    ignore_missing: bool = False,
    comma_text: str = "",
) -> Choice:
    """The VMs meant by ``names`` (None: all of the host), without those meant by ``exclude``.

    ``comma_text``: the text that a list of names, or of exclusions, was split from. If a VM bears the whole of it
    as its name, nobody can tell what was meant.
    """
    if comma_text and _matches(host, comma_text):
        refusal = Refusal(
            comma_text,
            ErrorClass.AMBIGUOUS_NAME,
            f"{comma_text!r} is the name of one VM on this host and was also split at the commas into several names.",
        )
        return Choice((), refusals=(refusal,))
    # A mistyped exclusion would leave a VM in that somebody wanted out: it is refused like any other name.
    excluded, _absent, refusals = _resolve(host, exclude)
    chosen: list[VirtualMachine] = list(host.virtual_machines)
    absent: list[str] = []
    if names is not None:
        chosen, absent, refused = _resolve(host, names)
        refusals += refused
    if ignore_missing:
        refusals = [refusal for refusal in refusals if refusal.error_class is not ErrorClass.VM_NOT_FOUND]
    hidden = {vm.id for vm in excluded}
    return Choice(
        tuple(vm for vm in chosen if vm.id not in hidden), tuple(absent) if ignore_missing else (), tuple(refusals)
    )


def _resolve(host: Host, names: t.Sequence[str]) -> tuple[list[VirtualMachine], list[str], list[Refusal]]:
    found: dict[str, VirtualMachine] = {}
    absent: list[str] = []
    refusals: list[Refusal] = []
    for name in names:
        matches = _matches(host, name)
        if len(matches) == 1:
            found[matches[0].id] = matches[0]
        elif matches:
            ids = ", ".join(sorted(vm.id for vm in matches))
            refusals.append(
                Refusal(name, ErrorClass.AMBIGUOUS_NAME, f"{len(matches)} VMs on this host are called {name!r}: {ids}.")
            )
        elif "*" in name or "?" in name:
            refusals.append(
                Refusal(
                    name,
                    ErrorClass.INVALID_ARGUMENT,
                    f"{name!r} looks like a wildcard, and no VM bears it as its name. Names are never expanded: "
                    "a pattern could reach a VM that nobody meant.",
                )
            )
        else:
            absent.append(name)
            refusals.append(Refusal(name, ErrorClass.VM_NOT_FOUND, f"No VM on this host is called {name!r}."))
    return list(found.values()), absent, refusals


def _matches(host: Host, name: str) -> list[VirtualMachine]:
    wanted = name.casefold()
    vm_id = guid(name)
    return [vm for vm in host.virtual_machines if vm.name.casefold() == wanted or (vm_id and vm.id == vm_id)]
