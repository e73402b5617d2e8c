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
"""The files with the stories of the revert: all of them are played over every combination."""
IN_TURN = ("powershell-winrm", "powershell-psrp")
"""Over these, stories of the other verbs are played by turns."""
_UNUSED = {"ssh": {"ansible_user", "ansible_password"}, "local": {"ansible_host", "ansible_user", "ansible_password"}}
"""Variables without a meaning: over SSH a key stands for the password, and on the controller itself nobody logs in."""
_WHOLE_MESSAGES = frozenset({"Handshake", "Pull", "Release"})
"""Operations of WS-Management without a counterpart in PowerShell."""


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


def why_not(story: Story, combination: Combination, everything: bool) -> str:
    """Why a story is not played over a combination; empty where it is.

    Starting PowerShell takes up to two seconds of the processor, and a story starts it several times. So of the other
    verbs only the stories in which nothing goes wrong are played over PowerShell, and over one of two connections;
    ``everything`` (EVERYTHING=1 in the environment) plays them all, over all.
    """
    if story.only and combination.name not in story.only:
        return "of some connections alone"
    if combination.carries == "wsman":
        return ""
    own = next((reason for reason, holds in _NOT_OVER_POWERSHELL if holds(story, combination)), "")
    faults = next((reason for fault in story.faults if (reason := _no_counterpart(fault, combination))), "")
    turn = IN_TURN[zlib.crc32(story.slug.encode()) % len(IN_TURN)]
    has_its_turn = everything or story.file in REVERT or (story.calm and combination.name == turn)
    return own or faults or ("" if has_its_turn else "not its turn: EVERYTHING=1 plays it")


def as_played(story: Story, combination: Combination, everything: bool) -> Story:
    """The story with the phases that are played: over PowerShell the run alone, unless everything is."""
    # What happens after so many readings counts those of all phases.
    counted = any("after_reads" in happening["when"] for happening in story.scenario["happenings"])
    whole = everything or counted or combination.carries == "wsman"
    return story if whole else replace(story, phases=("run",))


def _words(story: Story) -> dict[str, t.Any]:
    return {**story.variables, **story.task}


_NOT_OVER_POWERSHELL: tuple[tuple[str, t.Callable[[Story, Combination], bool]], ...] = (
    (
        "refused by WS-Management, not by PowerShell",
        lambda story, _combination: (
            "lab_connection" not in _words(story).get("ansible_connection", "lab_connection")
            or bool(_words(story).get("become") or _words(story).get("ansible_become"))
        ),
    ),
    (
        "that connection has no use for its variables",
        lambda story, combination: not _words(story).keys().isdisjoint(_UNUSED.get(combination.connection, ())),
    ),
)
"""Reasons, and of which stories and combinations each is true."""


def _no_counterpart(fault: t.Mapping[str, t.Any], combination: Combination) -> str:
    """Why a fault cannot befall a combination that PowerShell carries; empty where it can."""
    do = Do(fault["do"])
    on_the_way = fault.get("operation") == "Get" or fault.get("class") == "Msvm_ConcreteJob"
    rows = (
        (fault.get("operation") in _WHOLE_MESSAGES, "its fault is one of a WS-Management message"),
        (do in host.KILLS and combination.connection == "local", "there is no connection that could break"),
        (do in host.KILLS and on_the_way, "guards and looks at jobs travel with the calls"),
        (do is Do.DUPLICATE and bool(fault.get("method")), "an object has each property once"),
        (do in host.SPOILS and combination.connection == "local", "the lab does not read what PowerShell writes there"),
        (do not in host.IN_A_CALL | host.IN_A_PROCESS, "its fault is one of a WS-Management message"),
    )
    return next((reason for holds, reason in rows if holds), "")


def named(name: str) -> Combination:
    return next(combination for combination in COMBINATIONS if combination.name == name)
