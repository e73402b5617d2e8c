# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the walks through the decision tables have in common: every number there is, and VMs in every situation."""

from __future__ import annotations

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Reference
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import decide as d
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Job, Relationship, VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass

MODES = [None, 0, 1, 2, 3, 4, 5]
STATES = [None, *range(23)]

OFF = {3, 32786}
RUNNING = {2, 32785}
PAUSED = {9, 32789}
SAVED = {6, 32788, 32779, 32783}
CHANGING = {4, 10, 32773, 32776, 32777, 32780, 32781, 32782}
POWERS = [None, *range(13), *range(32766, 32800)]


def job(kind: int | None, state: int | None = 4) -> Job:
    return Job(Reference.of("Msvm_ConcreteJob", InstanceID="J"), "J", kind, state)


JOBS = {
    "none": (),
    "98": (job(98),),
    "101": (job(101),),
    "97": (job(97),),
    "background": (job(106),),
    "98 and 97": (job(98), job(97)),
    "98 and background": (job(106), job(98)),
    "98 in a state nobody knows": (job(98, 11),),
    "a type nobody knows": (job(126),),
    "no type": (job(None),),
}


def machine(mode, state, jobs=(), *, power=3, extended=None, copies=(), shown=..., **fields):
    links = []
    if mode not in (0, 3):
        links.append(Relationship("0", 0, state if shown is ... else shown, 1, 0))
    if extended is not None:
        links.append(Relationship("1", 1, extended, 1, 0))
    return VirtualMachine(
        id="A",
        name="vm",
        reference=Reference.of("Msvm_ComputerSystem", Name="A"),
        mode=mode,
        state=state,
        health=1,
        **{"failover_type": 0, **fields},
        power=power,
        relationships=tuple(links),
        jobs=tuple(jobs),
        test_copies=tuple(copies),
    )


SHUTDOWN = Reference.of("Msvm_ShutdownComponent", SystemName="A")


def power_answer(power, how, can_shut_down=False):
    """Effect, error class and way off that are intended where a VM must be off."""
    if power in OFF:
        return "call", None, None
    if power in RUNNING and (how is d.RunningVm.TURN_OFF or (how is d.RunningVm.SHUT_DOWN and can_shut_down)):
        return "call", None, how
    if power in PAUSED | SAVED and how is d.RunningVm.TURN_OFF:
        return "call", None, how
    if power in RUNNING | PAUSED:
        return "refuse", ErrorClass.VM_RUNNING, None
    if power in SAVED:
        return "refuse", ErrorClass.VM_SAVED, None
    if power in CHANGING:
        return "wait", None, None
    return "refuse", ErrorClass.UNEXPECTED_STATE, None


# Grids have one column a state, 0 to 22; what no verb has anything to say to:
NEVER = {0: "0" * 23, 3: "t" * 23, 5: "?" * 23}
WRONG = "w" * 12 + "b" + "w" * 10


def letter_of(grid, mode, state):
    if mode is None:
        return "?"
    same = set(grid[mode]) - {"b"}
    return grid[mode][state] if state is not None else same.pop() if len(same) == 1 else "?"


def busy_or_waiting(mode, jobs, own, state, moved, part=(1, 2, 4)):
    """What other people's jobs make of it, before anything else is looked at; None where they do not matter."""
    if mode not in part:
        return None
    if jobs == own:
        return "wait", None, None
    if jobs not in ("none", "background") or (jobs == "background" and state in moved):
        return "refuse", ErrorClass.BUSY, None
    return None
