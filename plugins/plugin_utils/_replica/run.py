# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What a run is made of: the order of a play, and each VM on its way through it."""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Reference
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import Consent, Decision, Target
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Job, VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import Certainty, ErrorClass, Outcome


class Clock(t.Protocol):
    """Time, handed in so that the domain does no I/O."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def now(self) -> datetime: ...


class OnError(enum.Enum):
    CONTINUE = "continue"
    STOP = "stop"


@dataclass(frozen=True)
class Order:
    """What a play wants of one host."""

    target: Target
    consent: Consent = Consent()
    every_vm: bool = False
    check_mode: bool = False
    wait: bool = True
    wait_timeout: float = 600.0
    poll_interval: float = 2.0
    max_parallel: int = 10
    max_changes: int | None = None
    on_error: OnError = OnError.CONTINUE


class Phase(enum.Enum):
    """Where a run stands."""

    QUEUED = "queued"  # decided: a call is due
    WAITING_FOR_POWER = "waiting for its power state"  # the VM is changing its power state
    WAITING_FOR_JOB = "waiting for a running revert"  # somebody else's job leads where we want to go
    POWERING_OFF = "powering off"
    OFF = "off"  # powered off by us: the call is due
    CALLED = "running"  # the method runs as a job
    SETTLING = "looking for a lost call"
    STUCK = "still running"  # waited for long enough; the job goes on
    ENDED = "ended"


ON_THE_HOST = frozenset({Phase.POWERING_OFF, Phase.OFF, Phase.CALLED, Phase.SETTLING, Phase.STUCK})
"""Phases that take one of the places of max_parallel. A job nobody waits for any more still burdens the host."""


@dataclass
class Run:
    """One VM on its way."""

    before: VirtualMachine
    decision: Decision
    phase: Phase = Phase.ENDED
    after: VirtualMachine | None = None
    outcome: Outcome | None = None
    error: ErrorClass | None = None
    cause: str = ""
    """What happened, in a sentence, where error class and row do not say it all."""
    detail: str = ""
    """The host's own words."""
    hint: str = ""
    certainty: Certainty = Certainty.NOTHING_CHANGED
    changed: bool = False
    sent: bool = False
    """The target's method was sent, or may have been."""
    power_sent: bool = False
    powered_off: bool = False
    lost: bool = False
    """The answer of the last call was lost."""
    return_value: int | None = None
    job_reference: Reference | None = None
    job: Job | None = None
    job_gone: bool = False
    succeeded: bool = False
    """The method is known to have ended well; the state has yet to confirm it."""
    point: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    deadline: float = 0.0
    polls: int = 0
    gone: bool = False
    """The VM is no longer on the host."""

    @property
    def failed(self) -> bool:
        return self.error is not None


@dataclass(frozen=True)
class Progress:
    """What a person wants to see while waiting."""

    total: int
    done: int
    running: tuple[tuple[str, str, int | None], ...] = ()
    """Name, phase and percent of each VM on its way."""
