# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Transport × connection: the columns of the table."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Combination:
    """One way to a host."""

    name: str
    connection: str
    auth: str
    https: bool = False
    transport: str = "wsman"
    """For the variable hyperv_replica_transport; empty leaves it unset."""
    carries: str = "wsman"
    """The transport that a result has to name."""

    @property
    def variables(self) -> dict[str, t.Any]:
        """What the inventory says beside the address and the credentials."""
        return {"hyperv_replica_transport": self.transport} if self.transport else {}


COMBINATIONS = (
    Combination("winrm-basic", "winrm", "basic"),
    Combination("winrm-ntlm", "winrm", "ntlm"),
    Combination("winrm-https", "winrm", "basic", https=True),
    Combination("psrp-ntlm", "psrp", "ntlm"),
    Combination("psrp-https", "psrp", "basic", https=True),
    Combination("powershell-winrm", "winrm", "ntlm", transport="powershell", carries="powershell"),
    Combination("powershell-psrp", "psrp", "ntlm", transport="powershell", carries="powershell"),
)
"""The first is the one that the others are compared with."""


def named(name: str) -> Combination:
    return next(combination for combination in COMBINATIONS if combination.name == name)
