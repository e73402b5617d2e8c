# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""Which transport carries a task.

``auto`` is PowerShell. Nobody has recorded a method call over WS-Management on a real pair, so that one is used only
where it was asked for: when PowerShell cannot be run, the task ends, and nothing is tried on another way. What ``auto``
means may change once there is a recording; the other two say what they mean.
"""

from __future__ import annotations

import enum
import typing as t

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import over_powershell, over_wsman
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimSession

VARIABLE = "hyperv_replica_transport"
"""The variable that says it for every task that does not."""


class Transport(enum.Enum):
    AUTO = "auto"
    POWERSHELL = "powershell"
    WSMAN = "wsman"


def open_session(
    transport: Transport, connection: t.Any, execute: over_powershell.Execute, *, become: bool
) -> CimSession:
    """A session over one transport for the whole task: no method call is ever followed by a switch.

    ``execute`` runs the module cim_bridge. Raises CimError; nothing was sent to the host by then that changes it.
    """
    if transport is Transport.WSMAN:
        return over_wsman.open_session(connection, become)
    return over_powershell.open_session(connection, execute)
