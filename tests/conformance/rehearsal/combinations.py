# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Transport × connection: the columns of the table."""

from __future__ import annotations

import functools
import shutil
import typing as t
import zlib
from dataclasses import dataclass, replace

from ansible.release import __version__ as ansible_version
from replica_lab.faults import Do
from replica_lab.powershell import host
from replica_lab.powershell.engine import Engine, NoPowerShell

from rehearsal.stories import FOLDER, Story


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

    missing: str = ""
    """Why it is not played on this machine."""

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
    Combination("powershell-ssh", "ssh", "", transport="powershell", carries="powershell"),
    Combination("powershell-local", "local", "", transport="powershell", carries="powershell"),
)
"""The first is the one that the others are compared with."""

CORE_RELEASE = tuple(int(part) for part in ansible_version.split(".")[:2])

REVERT = frozenset(path.stem for path in FOLDER.glob("[01]*.yml"))
"""The files with the stories of the revert."""
CORE = frozenset({"01_decision_table", "14_transport"})
"""All rows of its table, and the choice of the transport."""
TROUBLE = frozenset({"05_answers", "07_lost_answers", "09_hosts", "10_wire", "11_connections"})
"""What a host or a connection can do to it: the error classes and the faults."""
IN_TURN = ("powershell-winrm", "powershell-psrp")
"""Over these, stories beyond the core are played by turns."""


def _has_its_turn(story: Story, combination: Combination) -> bool:
    """Whether a story is played over this combination each time.

    Starting PowerShell takes up to two seconds of the processor, and a story starts it several times. So the core is
    played over every combination; what can go wrong, and of the other verbs the stories in which nothing does, over one
    of two; and of all of them the run alone. EVERYTHING=1 in the environment plays all stories over all combinations,
    with check mode and the second run.
    """
    if story.file in CORE:
        return True
    turns = [name for name in IN_TURN if all(_can_befall(fault, named(name)) for fault in story.faults)]
    turn = turns[zlib.crc32(story.slug.encode()) % len(turns)]
    return combination.name == turn and (story.file in TROUBLE or (story.file not in REVERT and story.calm))


@functools.cache
def engine() -> Engine | str:
    """The PowerShell for the lab's hosts, or why there is none."""
    try:
        return Engine.find()
    except NoPowerShell as reason:
        return str(reason)


def combinations() -> list[Combination]:
    """All, each with the reason if it cannot be played here."""
    return [replace(one, missing=_missing(one)) for one in COMBINATIONS]


def _missing(combination: Combination) -> str:
    found = engine()
    if combination.carries == "powershell" and isinstance(found, str):
        return found
    if combination.connection == "ssh" and shutil.which("ssh") is None:
        return "no ssh on PATH"
    if combination.connection == "local" and CORE_RELEASE < (2, 21):
        return "ansible-core runs PowerShell on its own machine since 2.21"
    return ""


def played_over(story: Story, combination: Combination, everything: bool) -> Story | None:
    """The story as it is played over this combination; None where it makes no sense there, or has no turn."""
    if story.only and combination.name not in story.only:
        return None
    if combination.carries == "wsman":
        return story
    if "timeout" in story.task:
        return None  # so many seconds of this machine, in which a PowerShell may or may not have started
    if _goes_another_way(story, combination) or not all(_can_befall(fault, combination) for fault in story.faults):
        return None
    if everything:
        return story
    if not _has_its_turn(story, combination):
        return None
    # What happens after so many readings counts those of all phases.
    counted = any("after_reads" in happening["when"] for happening in story.scenario["happenings"])
    return story if counted else replace(story, phases=("run",))


def _goes_another_way(story: Story, combination: Combination) -> bool:
    """Whether a story is about a connection or a user that WS-Management refuses, and PowerShell does not.

    Over SSH a key stands for the password, and on the controller itself nobody logs in.
    """
    words = {**story.variables, **story.task}
    if combination.connection in ("ssh", "local") and words.keys() & {"ansible_user", "ansible_password"}:
        return True
    way = words.get("ansible_connection", "{{ lab_connection }}")
    return "lab_connection" not in way or bool(words.get("become") or words.get("ansible_become"))


def _can_befall(fault: t.Mapping[str, t.Any], combination: Combination) -> bool:
    """Whether a fault has a counterpart in PowerShell: not what is a matter of WS-Management messages alone."""
    do = Do(fault["do"])
    if fault.get("operation") in ("Handshake", "Pull", "Release"):
        return False
    if do in host.KILLS and (fault.get("operation") == "Get" or fault.get("class") == "Msvm_ConcreteJob"):
        return False  # guards and looks at jobs travel with the calls, and take their answers with them
    if do is Do.DUPLICATE and fault.get("method"):
        return False  # an object has each property once
    if do in (Do.TRUNCATE, Do.GARBAGE):
        return combination.connection in ("winrm", "ssh")  # of the others the lab does not read what PowerShell writes
    if combination.connection == "local" and do in host.KILLS:
        return False  # there is no connection that could break
    return do in host.IN_A_CALL or do in host.IN_A_PROCESS


def named(name: str) -> Combination:
    return next(combination for combination in COMBINATIONS if combination.name == name)
