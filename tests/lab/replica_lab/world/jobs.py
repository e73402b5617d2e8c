# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs: what a verb wants to do (Plan), how it goes this time (Course), and the job that does it (Job)."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from replica_lab.numbers import BACKGROUND_JOB_TYPES, Code, JobState
from replica_lab.provider import Ref, Value

if t.TYPE_CHECKING:
    from replica_lab.world.host import Host
    from replica_lab.world.model import Vm

REMOVED_AFTER = timedelta(minutes=5)
"""Msvm_ConcreteJob, TimeBeforeRemoval."""

STARTING_PART = 0.1
"""The part of its time for which a job shows 3 (starting) before 4 (running)."""


class Answered(Exception):
    """A verb answers at once with this code, and nothing happens."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class JobFailed(Exception):
    """The work of a job cannot be done after all."""

    def __init__(self, code: int = Code.FAILED) -> None:
        super().__init__(code)
        self.code = code


def nothing() -> None:
    """The work of a job that has none."""


@dataclass
class Plan:
    """What an accepted call does: the look of the world while it runs, and its effect."""

    kind: str
    """Names its duration."""
    job_type: int
    vm: Vm | None
    begin: t.Callable[[], None] = nothing
    finish: t.Callable[[], None] = nothing
    out: dict[str, Value] = field(default_factory=dict)
    """Out parameters beside Job, known when the work is done."""
    undo: t.Callable[[], None] = nothing
    """Takes back what ``begin`` showed beyond the replication states of the VM itself, e.g. on the other side."""
    jobless: bool = False
    """The method has no Job: it returns ``answer`` at once, and the work goes on by itself."""
    answer: int = Code.COMPLETED
    at_once: bool = False
    """Done before the method returns, unless a fate makes a job of it."""
    out_early: bool = False
    """The out parameters come with the job, before its work is done."""

    def remember(self) -> t.Callable[[], None]:
        """What takes back whatever ``begin`` is about to show."""
        restore = self.vm.remember() if self.vm is not None else nothing

        def undo() -> None:
            restore()
            self.undo()

        return undo


@dataclass(frozen=True)
class Course:
    """How a job goes. The default is a job that does its work and ends well."""

    seconds: float | None = None
    """World seconds; None is the duration of its kind."""
    sync: bool = False
    """No job: the call returns 0 when the work is done."""
    shows: bool = True
    """Whether the world looks changed while the job runs."""
    effect: bool = True
    ends_in: int = JobState.COMPLETED
    error_code: int = 0
    text: str = ""
    hangs_at: int | None = None
    """The percentage at which it stays until released."""
    vanishes: bool = False
    """Disappears at its end, before anybody can see that."""
    hidden: bool = False
    """Not enumerated, but there for who knows its id."""
    referenced: bool = True
    """Whether the call hands out the reference."""
    percent_done: float = 0.0


@dataclass(eq=False, repr=False)
class Job:
    """An Msvm_ConcreteJob, with a memory of what it did that outlives its instance."""

    host: Host
    id: str
    plan: Plan
    course: Course
    owner: str
    started: datetime
    seconds: float
    undo: t.Callable[[], None] = nothing
    ended: datetime | None = None
    ended_in: int = JobState.COMPLETED
    error_code: int = 0
    text: str = ""
    did: str = "nothing"
    """nothing (yet), its work, or rolled_back."""

    @property
    def ref(self) -> Ref:
        return Ref.of("Msvm_ConcreteJob", InstanceID=self.id)

    @property
    def vm(self) -> Vm | None:
        return self.plan.vm

    @property
    def type(self) -> int:
        return self.plan.job_type

    @property
    def running(self) -> bool:
        return self.ended is None

    @property
    def blocks(self) -> bool:
        """Whether other verbs have to wait for it."""
        return self.running and self.type not in BACKGROUND_JOB_TYPES

    def _progress(self) -> float:
        elapsed = ((self.ended or self.host.world.time) - self.started).total_seconds()
        return elapsed / self.seconds if self.seconds else 1.0

    @property
    def state(self) -> int:
        if not self.running:
            return self.ended_in
        return JobState.STARTING if self._progress() < STARTING_PART else JobState.RUNNING

    @property
    def percent(self) -> int:
        if not self.running and self.ended_in in (JobState.COMPLETED, JobState.COMPLETED_WITH_WARNINGS):
            return 100
        return min(int(self._progress() * 100), 99 if self.course.hangs_at is None else self.course.hangs_at)

    def begin(self) -> None:
        """Take up the work, and come back when it is due."""
        if self.course.shows:
            self.undo = self.plan.remember()
            self.plan.begin()
        if self.course.hangs_at is None:
            self.host.world.schedule.at(self.started + timedelta(seconds=self.seconds), self.finish)

    def finish(self) -> None:
        """Come to the end that the course has for it."""
        if not self.running:
            return
        state, code, text = self.course.ends_in, self.course.error_code, self.course.text
        if self.course.effect:
            try:
                self.plan.finish()
                self.did = "its work"
            except JobFailed as failure:
                state, code = JobState.EXCEPTION, failure.code
        self._end(state, code, text)

    def cancel(self, state: int, code: int = 0) -> None:
        """End without effect: cancelled by somebody, or killed."""
        if self.running:
            self._end(state, code, "")

    def lose(self, fate: str) -> None:
        """The service that ran it is gone: roll_back, complete or stay_between."""
        if not self.running:
            return
        if fate == "complete":
            self.finish()
        elif fate == "roll_back":
            self._end(JobState.TERMINATED, 0, "")
        else:
            self.ended = self.host.world.time
            self.ended_in = JobState.TERMINATED

    def _end(self, state: int, code: int, text: str) -> None:
        if self.did == "nothing" and self.course.shows and self.undo is not nothing:
            self.undo()
            self.did = "rolled_back"
        self.ended = self.host.world.time
        self.ended_in, self.error_code, self.text = int(state), int(code), text
        if self.course.vanishes:
            self.host.forget(self)
        else:
            self.host.world.schedule.at(self.ended + REMOVED_AFTER, lambda: self.host.forget(self))
        self.host.world.job_ended(self)
