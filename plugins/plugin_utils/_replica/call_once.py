# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""One call that is about a host and no VM: guard, call, wait, look. The rules are those of ``carry_out``.

It is sent once. If its answer is lost, the host is read for a while: what is wanted is there, or the end is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Call,
    CimSession,
    Failed,
    Guard,
    GuardResult,
    Kind,
    MethodCall,
    MethodResult,
    Reference,
    Sent,
    Step,
    Wait,
    WaitResult,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.carry_out import SETTLE_POLLS
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Job
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    JOB_CANCELLED,
    JOB_FAILED,
    JOB_SUCCEEDED,
    ReturnCode,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import (
    KINDS,
    LOST_ANSWERS,
    UNREACHABLE,
    Certainty,
    ErrorClass,
    ReplicaError,
    class_of_return_code,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import job_of
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.run import Clock
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Expected


@dataclass(frozen=True)
class HostAct:
    """One call about the host. ``shows``: whether the host shows its effect; None where it has none to show."""

    noun: str
    call: MethodCall
    shows: Callable[[], bool] | None = None
    """May raise ReplicaError where the host cannot be read."""
    guarded: Reference | None = None
    expected: Expected = ()


@dataclass
class Called:
    """What became of it."""

    act: HostAct
    error: ErrorClass | None = None
    cause: str = ""
    detail: str = ""
    hint: str = ""
    certainty: Certainty = Certainty.NOTHING_CHANGED
    changed: bool = False
    sent: bool = False
    lost: bool = False
    return_value: int | None = None
    job: Job | None = None
    unreachable: bool = False

    def fail(self, error: ErrorClass, cause: str, certainty: Certainty = Certainty.NOTHING_CHANGED) -> Called:
        self.error, self.cause, self.certainty = error, cause, certainty
        self.changed = certainty is not Certainty.NOTHING_CHANGED
        return self


def call_once(session: CimSession, clock: Clock, act: HostAct, *, timeout: float, poll: float) -> Called:
    """Carry out one act. Errors are in the answer; nothing is raised for them."""
    called = Called(act)
    steps: list[Step] = [Call("host", act.call)]
    if act.guarded is not None:
        steps.insert(0, Guard("host", act.guarded, act.expected))
    answers = session.run(steps)
    if act.guarded is not None and not _guard_held(called, answers[0]):
        return called
    answer = answers[-1]
    if isinstance(answer, Failed):
        called.detail, called.hint = answer.error.detail, answer.error.hint
        called.sent = answer.error.sent is Sent.MAYBE
        if called.sent:
            return _settle(called, KINDS[answer.error.kind], answer.error.message, clock, poll)
        called.unreachable = answer.error.kind in UNREACHABLE
        return called.fail(KINDS[answer.error.kind], answer.error.message)
    if not isinstance(answer, MethodResult):
        return called.fail(ErrorClass.CONNECTION_LOST, "The connection was lost before the call was sent.")
    called.sent, called.return_value = True, answer.return_value
    if answer.return_value == ReturnCode.COMPLETED:
        return _verify(called, clock, poll)
    if answer.return_value in LOST_ANSWERS:
        cause = f"The host answered {answer.return_value}, which does not say whether it acted."
        return _settle(called, class_of_return_code(answer.return_value), cause, clock, poll)
    if answer.return_value != ReturnCode.JOB_STARTED:
        cause = f"The host refused {act.noun} with return code {answer.return_value}."
        return _looked(called.fail(class_of_return_code(answer.return_value), cause))
    if answer.job is None:
        cause = "The host started a job and did not say which."
        return _settle(called, ErrorClass.STATUS_UNKNOWN, cause, clock, poll)
    return _follow(called, answer.job, session, clock, timeout, poll)


def _guard_held(called: Called, answer: object) -> bool:
    """Where guard and call were lost together the guard is Skipped, and the answer to the call speaks for both."""
    if isinstance(answer, Failed):
        called.detail, called.hint = answer.error.detail, answer.error.hint
        called.unreachable = answer.error.kind in UNREACHABLE
        called.fail(KINDS[answer.error.kind], answer.error.message)
        return False
    if isinstance(answer, GuardResult) and not answer.held:
        called.fail(
            ErrorClass.BUSY,
            "Somebody changed the settings after the task had read them, so the call was not sent.",
        )
        return False
    return True


def _follow(
    called: Called, job: Reference, session: CimSession, clock: Clock, timeout: float, poll: float
) -> Called:
    """Until the job has ended, is gone, or took too long."""
    deadline = clock.monotonic() + timeout
    trouble: Failed | None = None
    while True:
        seconds = max(0.0, min(session.waiting_slice, deadline - clock.monotonic()))
        (answer,) = session.run([Wait((job,), seconds, poll)])
        trouble = answer if isinstance(answer, Failed) else None
        if isinstance(answer, WaitResult):
            if answer.gone:
                cause = "The job disappeared before its end was seen."
                return _settle(called, ErrorClass.JOB_LOST, cause, clock, poll)
            if answer.jobs:
                called.job = job_of(answer.jobs[0])
                if not called.job.running:
                    return _job_ended(called, called.job, clock, poll)
        elif trouble is not None and trouble.error.kind in (Kind.AUTHENTICATION, Kind.ACCESS_DENIED):
            return called.fail(KINDS[trouble.error.kind], trouble.error.message, _unsure(called))
        else:
            clock.sleep(poll)
        if clock.monotonic() >= deadline:
            break
    if trouble is not None:
        cause = f"After {timeout:g} s the host could still not be asked about the job: {trouble.error.message}"
        return called.fail(KINDS[trouble.error.kind], cause, _unsure(called))
    cause = f"After {timeout:g} s the job {job.key('InstanceID')} still runs on the host."
    still = Certainty.BETWEEN_STATES if called.act.shows is not None else Certainty.NOTHING_CHANGED
    return called.fail(ErrorClass.JOB_TIMEOUT, cause, still)


def _job_ended(called: Called, job: Job, clock: Clock, poll: float) -> Called:
    called.detail = job.error_text
    noun = called.act.noun
    if job.state in JOB_SUCCEEDED:
        return _verify(called, clock, poll)
    if job.state in JOB_CANCELLED:
        cause = f"The job that carries out {noun} was cancelled (state {job.state})."
        return _looked(called.fail(ErrorClass.JOB_CANCELLED, cause))
    if job.state in JOB_FAILED:
        cause = f"The job that carries out {noun} failed with error code {job.error_code}."
        return _looked(called.fail(ErrorClass.JOB_FAILED, cause))
    cause = f"The job that carries out {noun} shows state {job.state}, which nobody documented."
    return called.fail(ErrorClass.STATUS_UNKNOWN, cause, _unsure(called))


def _unsure(called: Called) -> Certainty:
    """Of a call that changes nothing, nothing is unsure."""
    return Certainty.NOTHING_CHANGED if called.act.shows is None else Certainty.UNKNOWN


def _shows(called: Called) -> bool | None:
    """None: the host could not be read, or there is nothing to see."""
    if called.act.shows is None:
        return None
    try:
        return called.act.shows()
    except ReplicaError as error:
        called.detail = called.detail or error.message
        return None


def _looked(called: Called) -> Called:
    """A refusal or a failure, after one look at what the host shows."""
    if called.act.shows is not None:
        shown = _shows(called)
        called.certainty = {True: Certainty.CHANGED, False: Certainty.NOTHING_CHANGED, None: Certainty.UNKNOWN}[shown]
        called.changed = shown is not False
    return called


def _settle(called: Called, error: ErrorClass, cause: str, clock: Clock, poll: float) -> Called:
    """An answer was lost: does anything show what became of the call?"""
    called.lost = True
    if called.act.shows is None:
        return called.fail(error, cause)
    for attempt in range(SETTLE_POLLS):
        if attempt:
            clock.sleep(poll)
        if _shows(called):
            called.changed, called.certainty = True, Certainty.CHANGED
            return called
    cause += " Nothing on the host shows what became of the call; it was not sent again."
    return called.fail(error, cause, Certainty.UNKNOWN)


def _verify(called: Called, clock: Clock, poll: float) -> Called:
    """The host reported success: does it show it?"""
    if called.act.shows is None:
        return called
    shown: bool | None = None
    for attempt in range(SETTLE_POLLS):
        if attempt:
            clock.sleep(poll)
        shown = _shows(called)
        if shown:
            called.changed, called.certainty = True, Certainty.CHANGED
            return called
    if shown is None:
        cause = "The host reported success, but could not be read afterwards."
        return called.fail(ErrorClass.CONNECTION_LOST, cause, Certainty.UNKNOWN)
    cause = "The host reported success, but still shows what it did before."
    return called.fail(ErrorClass.METHOD_FAILED, cause, Certainty.UNKNOWN)
