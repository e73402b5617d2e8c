# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the lab's wire does where no document and no recording says what Windows does.

Each is a field with its reason, so that a test can run a client against both answers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WireAssumptions:
    """The defaults are the likelier, or else the stricter behaviour."""

    null_out_parameters: str = "nil"
    """``nil`` or ``absent``: how an out parameter without value (Job beside ReturnValue 0) is written. Not
    recorded from Windows for any method; properties that are NULL are recorded with ``xsi:nil``."""

    empty_arrays: str = "absent"
    """``nil`` or ``absent``: an array property without elements. Public clients report it left out altogether."""

    parameters_in_order: bool = True
    """Whether parameters out of MOF order are refused. Openwsman keeps the order on purpose since hosts
    misread them otherwise; what exactly they answer is not recorded, so the lab refuses."""

    identify_host_in_faults: bool = True
    """Whether ``f:WSManFault`` carries the host's name as Machine, as the recorded faults do."""
