# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What a run is made of: the order of a play, and each VM on its way through it."""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass, field
from datetime import datetime

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Reference
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import Decision
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Job, VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import Certainty, ErrorClass, Outcome
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import DOING, Act, Verb


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

    verb: Verb
    every_vm: bool = False
    check_mode: bool = False
    wait: bool = True
    wait_timeout: float = 600.0
    poll_interval: float = 2.0
    shutdown_timeout: float = 300.0
    max_parallel: int = 10
    max_changes: int | None = None
    on_error: OnError = OnError.CONTINUE


class Phase(enum.Enum):
    """Where a run stands."""

    QUEUED = "queued"  # decided: its first call is due
    WAITING_FOR_POWER = "waiting for its power state"  # the VM is changing its power state
    WAITING_FOR_JOB = "waiting for a running job"  # somebody else's job leads where we want to go
    DUE = "due"  # one of its calls is done: the next one is due
    CALLED = "called"  # the job of its call runs
    GOING_OFF = "going off"  # the guest was asked to shut down
    SETTLING = "looking for a lost call"
    LOOKING_ON = "looking what was made"  # its calls are done: a reading tells whether more are due
    LOOKING_ANEW = "looking what is left"  # somebody else took away what was to go
    STUCK = "still running"  # waited for long enough; the job goes on
    ENDED = "ended"


ON_THE_HOST = frozenset({Phase.DUE, Phase.CALLED, Phase.GOING_OFF, Phase.SETTLING, Phase.LOOKING_ON, Phase.STUCK})
"""Phases that take one of the places of max_parallel. A job nobody waits for any more still burdens the host."""

NOTHING_SENT = frozenset({Phase.QUEUED, Phase.WAITING_FOR_POWER, Phase.WAITING_FOR_JOB, Phase.LOOKING_ANEW})
"""Phases before the first call."""


@dataclass
class Run:
    """One VM on its way."""

    before: VirtualMachine
    decision: Decision
    acts: tuple[Act, ...] = ()
    """The calls that lead to the wanted state, in order."""
    at: int = 0
    """Which of them is due, or under way."""
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
    """The call of the verb itself was sent, or may have been."""
    begun: bool = False
    """A call that comes before it was sent, or may have been."""
    powered_off: bool = False
    asked_off: bool = False
    """The guest was asked to shut down, and may do so at any time."""
    lost: bool = False
    """The answer of the last call was lost."""
    return_value: int | None = None
    job_reference: Reference | None = None
    job: Job | None = None
    job_gone: bool = False
    past_jobs: frozenset[str] = frozenset()
    """The ids of the jobs of the calls before."""
    succeeded: bool = False
    """The method is known to have ended well; the state has yet to confirm it."""
    point: str = ""
    out: dict[str, t.Any] = field(default_factory=dict)
    """The out parameters of the verb's call."""
    started: datetime | None = None
    ended: datetime | None = None
    deadline: float = 0.0
    polls: int = 0
    gone: bool = False
    """The VM is no longer on the host."""

    @property
    def act(self) -> Act:
        return self.acts[self.at]

    @property
    def touched(self) -> bool:
        """Whether anything was sent for this VM."""
        return self.sent or self.begun

    @property
    def doing(self) -> str:
        """The phase, for a person."""
        return DOING[self.act.part] if self.phase in (Phase.CALLED, Phase.DUE, Phase.GOING_OFF) else self.phase.value

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
