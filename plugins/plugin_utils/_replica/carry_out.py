# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""One run over many VMs of one host: guard, call, wait, for each act of a verb in turn; then verify.

The run is a list of :class:`Run` objects, one a VM, each in one :class:`Phase`. A round sends what is due for all of
them as one list of steps and digests the answers; rounds follow until every run has ended. Nothing is decided here
that ``decide`` could decide.

The rules that make it safe:

* Right before each call the VM is read again; if anything differs from what was decided on, the call is not sent.
* A method is sent once for a decision. If its answer is lost, the VM and its jobs are read for a settle time: a new
  job of ours is followed, a state that moved is a success, and anything else ends as unknown.
* A run is done when its job succeeded *and* the VM no longer shows a state that contradicts it.
"""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import replace

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Answer,
    Call,
    CimError,
    CimSession,
    Failed,
    Guard,
    GuardResult,
    Instance,
    Kind,
    MethodResult,
    Query,
    Reference,
    Sent,
    Step,
    Wait,
    WaitResult,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    Decision,
    Effect,
    PowerState,
    power_state,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.judge import conclude, started
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Job, VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    JOB_CANCELLED,
    JOB_FAILED,
    JOB_SUCCEEDED,
    ReturnCode,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import (
    GATES,
    KINDS,
    LOST_ANSWERS,
    NO_TRACE,
    Certainty,
    ErrorClass,
    Outcome,
    ReplicaError,
    class_of_return_code,
    sentence,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import (
    LAST_APPLIED,
    RUNNING_REPLICATION_JOBS,
    answered_again,
    answered_host,
    failed_over_points,
    job_of,
    queries_again,
    queries_of,
    read_affected,
    read_again,
    read_host,
    read_job,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.run import (
    NOTHING_SENT,
    ON_THE_HOST,
    Clock,
    OnError,
    Order,
    Phase,
    Progress,
    Run,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Part, Reading

POWER_WAIT = 60.0
"""How long (s) a VM may go on changing its power state before it is given up as busy."""
POWER_OFF_HANGS = (
    "Nothing else was sent. Look at the power of the VM on the host; when it is at rest, run the same task again."
)
SETTLE_POLLS = 5
"""How many readings in a row must show no trace of a lost call before its outcome is called unknown."""


def along(session: CimSession, order: Order) -> frozenset[str]:
    """What to read beside what the verb needs (names in EXTRA), before the order is carried out.

    The point that a VM is failed over to is shown in the result and is gone after a revert. Where each request is
    answered by itself it is asked for right before the first call, and by a run with nothing to do not at all. Where a
    whole list has one answer, it would be lost with that of the calls; there it comes with the first reading.
    """
    return frozenset({"failed_over_point"} if session.waiting_slice and not order.check_mode else ())


class Conductor:
    """Carries out one order on one host. Holds the runs, so that an interrupted one can say what is in flight."""

    def __init__(
        self,
        session: CimSession,
        order: Order,
        clock: Clock,
        on_progress: t.Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self.session = session
        self.order = order
        self.clock = clock
        self.on_progress = on_progress
        self.runs: list[Run] = []
        self._points_read = "failed_over_point" in order.verb.gather
        self._points: dict[str, str] | None = None
        """VM id → the point it is failed over to, where that was read with the host; shown once there were calls."""
        self._poll_error: CimError | None = None
        """Why the newest tick could not be read; None when it could."""
        self._sending: list[Run] = []
        """The runs whose calls are on their way, and whose answers are not here yet."""
        self._sent_at = clock.monotonic()
        """When the newest list of steps was sent."""
        self._heeded: set[str] = set()
        self._read_last: dict[str, VirtualMachine] | None = None
        """The VMs as they were at the end of the newest list of steps, where it read them."""

    # --- deciding --------------------------------------------------------------------------------

    def plan(self, vms: t.Sequence[VirtualMachine], *, refused: bool = False) -> ReplicaError | None:
        """Decide for each VM. Nothing is sent.

        ``refused``: a name could not be resolved, so nothing will be done to the others either. Returns the error
        that keeps the whole order from being carried out (too_many), or None.
        """
        if not self._points_read and all(vm.failed_over_point is not None for vm in vms):
            self._points = {vm.id: vm.failed_over_point or "" for vm in vms}
            vms = [replace(vm, failed_over_point=None) for vm in vms]
        for vm in vms:
            run = Run(vm, self._decide(vm), after=vm)
            self.runs.append(run)
            self._enter(run)
        due = [run for run in self.runs if run.phase in (Phase.QUEUED, Phase.WAITING_FOR_POWER)]
        allowed = self.order.max_changes
        error = None
        if refused:
            self._leave("Not started: another name that the task gave cannot be acted on.")
        elif allowed is not None and len(due) > allowed:
            names = ", ".join(repr(run.before.name) for run in due[:10]) + (", ..." if len(due) > 10 else "")
            error = ReplicaError(
                ErrorClass.TOO_MANY, f"{len(due)} VMs would be changed, and max_changes allows {allowed}: {names}."
            )
            self._leave(f"Not started: more VMs than max_changes ({allowed}) allows would be changed.")
        self._stop_if_asked()
        if self.order.check_mode:
            self._predict()
        return error

    def _decide(self, vm: VirtualMachine) -> Decision:
        return self.order.verb.decide(vm)

    def _enter(self, run: Run) -> None:
        """The phase that follows from a decision."""
        decision = run.decision
        if decision.effect is Effect.NOTHING:
            self._end(run, Outcome.NOT_APPLICABLE if self.order.every_vm else Outcome.UNCHANGED)
        elif decision.effect is Effect.REFUSE:
            if self.order.every_vm and decision.error in GATES:
                self._end(run, Outcome.NOT_APPLICABLE)
            else:
                self._fail(run, decision.error or ErrorClass.UNEXPECTED_STATE)
        elif decision.effect is Effect.CALL:
            run.acts, run.at = self.order.verb.acts(run.before, decision), 0
            run.phase = Phase.QUEUED
        elif decision.wait_for_power:
            run.phase = Phase.WAITING_FOR_POWER
            run.deadline = self.clock.monotonic() + POWER_WAIT
        else:
            run.phase = Phase.WAITING_FOR_JOB
            jobs = self.order.verb.jobs(run.before)
            run.job = next((job for job in jobs if job.type in self.order.verb.target.own_jobs), None)
            run.job_reference = run.job.reference if run.job else None
            run.deadline = self.clock.monotonic() + self.order.wait_timeout

    def _predict(self) -> None:
        for run in self.runs:
            if run.phase is Phase.QUEUED:
                self._end(run, Outcome.WOULD_CHANGE)
                run.changed = True
            elif run.phase in (Phase.WAITING_FOR_POWER, Phase.WAITING_FOR_JOB):
                self._end(run, Outcome.WOULD_WAIT)

    # --- the rounds ------------------------------------------------------------------------------

    def run(self) -> None:
        """Carry out what was planned. Errors of single VMs end in their runs; nothing is raised for them."""
        while True:
            self._look()
            self._stop_if_asked()
            if not self._round():
                break
        self._verify()

    def _round(self) -> bool:
        """One list of steps for all runs. False when nothing is left to send or to wait for."""
        starting = self._starting()
        steps: list[Step] = []
        owners: list[tuple[Run, Step]] = []
        points = bool(starting) and not self._points_read
        if points and self._points is not None:
            self._take_points(self._points)
            points = False
        if points:
            steps.append(LAST_APPLIED)
        for run in starting:
            for step in self._steps(run):
                owners.append((run, step))
                steps.append(step)
        watched = self._watched()
        waiting = [run for run in self.runs if run.phase is not Phase.ENDED and run.phase is not Phase.STUCK]
        if not self.order.wait and not self._unsent(waiting, starting):
            # Everything is sent with this round: nobody asked to wait for the ends.
            watched = []
            wait = False
        else:
            wait = bool(watched or starting)
        if not steps and not wait:
            return self._idle(waiting)
        if wait:
            steps.append(self._wait_step(watched))
        verified = self._verified_along(waiting, starting)
        queries = self._again(verified) if verified else []
        self._sending, self._sent_at = starting, self.clock.monotonic()
        answers = self.session.run([*steps, *queries])
        self._read_last = None
        if verified:
            with contextlib.suppress(ReplicaError):  # then _verify reads again
                self._read_last = self._read(verified, queries, answers[len(steps) :])
            answers = answers[: len(steps)]
        if points:
            self._digest_points(answers[0])
            answers = answers[1:]
        for (run, step), answer in zip(owners, answers, strict=False):
            self._digest(run, step, answer)
        self._sending = []
        if wait:
            self._digest_wait(answers[-1])
        self._expire()
        self._tell()
        return True

    def _verified_along(self, waiting: list[Run], starting: list[Run]) -> list[VirtualMachine]:
        """The VMs to read at the end of this list of steps, in case that it is the last one.

        Where a list costs a start at the host, a further query costs nothing, and a list of its own a lot.
        """
        if not self.session.waiting_slice or self._unsent(waiting, starting):
            return []
        return [run.before for run in self.runs if (run.touched and not run.gone) or run in starting]

    def _unsent(self, waiting: list[Run], starting: list[Run]) -> bool:
        """Whether a call of ours is still to be sent after this round."""

        def at_last(run: Run) -> bool:
            return run.at == len(run.acts) - 1 and not self.order.verb.goes_on

        sending = [run for run in starting if at_last(run)]
        return any(
            run not in sending
            and (
                run.phase in ON_THE_HOST - {Phase.CALLED, Phase.STUCK} | NOTHING_SENT - {Phase.WAITING_FOR_JOB}
                or (run.phase is Phase.CALLED and not at_last(run))
            )
            for run in waiting
        )

    def _idle(self, waiting: list[Run]) -> bool:
        """Nothing to send and no job to watch: sleep if somebody has to be looked at again, else it is over."""
        if not self.order.wait:
            for run in waiting:
                if run.phase in (Phase.CALLED, Phase.WAITING_FOR_JOB):
                    run.phase = Phase.STUCK
                    run.outcome = Outcome.IN_PROGRESS
                    run.changed = run.sent
                    run.certainty = Certainty.BETWEEN_STATES if run.sent else Certainty.NOTHING_CHANGED
            waiting = [run for run in waiting if run.phase is not Phase.STUCK]
        looking = [run for run in waiting if run.phase is not Phase.QUEUED]
        if looking:
            self.clock.sleep(self.order.poll_interval)
            self._expire()
            self._tell()
            return True
        for run in waiting:
            # Every place is taken by jobs that did not end in time: starting more would only spread the trouble.
            run.cause = "Not started: the jobs of other VMs on this host did not end in time."
            self._end(run, Outcome.NOT_ATTEMPTED)
        return False

    def _starting(self) -> list[Run]:
        """The runs whose next call is due and for which the host has a place."""
        due = [run for run in self.runs if run.phase is Phase.DUE]
        queued = [run for run in self.runs if run.phase is Phase.QUEUED]
        if self.order.max_parallel:
            taken = sum(1 for run in self.runs if run.phase in ON_THE_HOST)
            queued = queued[: max(0, self.order.max_parallel - taken)]
        return due + queued

    def _steps(self, run: Run) -> list[Step]:
        act, chain = run.act, run.before.id
        guards = [Guard(chain, reference, expected) for reference, expected in act.guards]
        return [*guards, Call(chain, act.call)]

    def _watched(self) -> list[Run]:
        return [
            run
            for run in self.runs
            if run.job_reference is not None
            and run.phase in (Phase.CALLED, Phase.WAITING_FOR_JOB, Phase.SETTLING)
        ]

    def _wait_step(self, watched: list[Run]) -> Wait:
        references = tuple(run.job_reference for run in watched if run.job_reference is not None)
        queue = any(run.phase is Phase.QUEUED for run in self.runs)
        now = self.clock.monotonic()
        left = min([run.deadline - now for run in watched] + [self.order.wait_timeout])
        seconds = max(0.0, min(self.session.waiting_slice, left))
        return Wait(references, seconds, self.order.poll_interval, RUNNING_REPLICATION_JOBS if queue else "")

    # --- digesting answers -----------------------------------------------------------------------

    def _digest_points(self, answer: object) -> None:
        self._take_points(failed_over_points(answer) if isinstance(answer, tuple) else {})

    def _take_points(self, points: t.Mapping[str, str]) -> None:
        self._points_read = True
        for run in self.runs:
            run.point = points.get(run.before.id, "")

    def _digest(self, run: Run, step: Step, answer: object) -> None:
        if isinstance(step, Guard):
            if isinstance(answer, GuardResult) and not answer.held:
                self._guard_failed(run, step, answer.instance)
            elif isinstance(answer, Failed):
                self._not_sent(run, answer.error, step.reference)
        elif isinstance(step, Call):
            if isinstance(answer, MethodResult):
                self._called(run, answer)
            elif isinstance(answer, Failed):
                if answer.error.sent is Sent.MAYBE:
                    self._mark_sent(run)
                    self._settle(run, KINDS[answer.error.kind], sentence(answer.error))
                    run.detail = answer.error.detail
                else:
                    self._not_sent(run, answer.error, step.call.target)
            elif run.phase in (Phase.QUEUED, Phase.DUE) and run.act.call is step.call:
                # Skipped although its guard held: the connection went before the call was sent.
                run.cause = "The connection to the host was lost before the call for this VM was sent."
                self._fail(run, ErrorClass.CONNECTION_LOST)

    def _guard_failed(self, run: Run, guard: Guard, seen: Instance | None) -> None:
        if seen is None and self.order.verb.ends_in_absence and run.polls < SETTLE_POLLS:
            self._taken_away(run, guard.reference)
            return
        if seen is None:
            run.gone = guard.reference == run.before.reference
            what = "VM" if run.gone else "object that the call needs"
            run.cause = f"The {what} was there when the task began and is no longer on this host."
            self._fail(run, ErrorClass.VM_NOT_FOUND)
            return
        differences = [
            f"{name} was {', '.join(map(str, values))} and is {seen.get(name)}"
            for name, values in guard.expected
            if seen.get(name) not in values
        ]
        run.cause = (
            "Somebody changed the VM after the task had read it, so the call was not sent: "
            + "; ".join(differences)
            + "."
        )
        power = seen.get("EnabledState")
        restarted = run.powered_off and isinstance(power, int) and power_state(power) is not PowerState.OFF
        self._fail(run, ErrorClass.VM_RUNNING if restarted else ErrorClass.BUSY)

    def _taken_away(self, run: Run, reference: Reference) -> None:
        """Somebody else took away what was to go: its acts are dropped."""
        rest = tuple(act for act in run.acts[run.at :] if act.guarded != reference)
        run.acts = (*run.acts[: run.at], *rest)
        if rest:
            run.phase = Phase.DUE
        elif run.touched:
            run.at -= 1
            run.gone = reference == run.before.reference
            self._succeed(run)  # and the last reading decides
        else:
            run.polls += 1
            run.phase = Phase.LOOKING_ANEW
            run.deadline = self.clock.monotonic() + self.order.wait_timeout

    def _not_sent(self, run: Run, error: CimError, asked: Reference) -> None:
        """``asked``: the object the step went to. Only where that is the VM does "not found" speak of the VM."""
        run.cause = sentence(error)
        run.detail = error.detail
        run.hint = error.hint
        missing = error.kind is Kind.NOT_FOUND and asked == run.before.reference
        self._fail(run, ErrorClass.VM_NOT_FOUND if missing else KINDS[error.kind])

    def _mark_sent(self, run: Run) -> None:
        run.started = run.started or self.clock.now()
        run.deadline = self._sent_at + self.order.wait_timeout
        if run.act.part is Part.MAIN:
            run.sent = True
        else:
            run.begun = True

    def _called(self, run: Run, result: MethodResult) -> None:
        self._mark_sent(run)
        if run.act.part is Part.MAIN:
            run.return_value, run.out = result.return_value, dict(result.out)
        run.job, run.job_gone, run.job_reference = None, False, result.job
        if result.return_value == ReturnCode.COMPLETED:
            self._ended_well(run)
        elif result.return_value == ReturnCode.JOB_STARTED:
            run.phase = Phase.CALLED
            if result.job is None:
                self._settle(run, ErrorClass.STATUS_UNKNOWN, "The host started a job and did not say which.")
        elif result.return_value in LOST_ANSWERS:
            self._settle(
                run,
                class_of_return_code(result.return_value),
                f"The host answered {result.return_value}, which does not say whether it acted.",
            )
        else:
            run.cause = f"The host refused {run.act.noun} with return code {result.return_value}."
            self._fail(run, class_of_return_code(result.return_value))

    def _settle(self, run: Run, error: ErrorClass, cause: str) -> None:
        """From here on the VM is read until it is clear what became of the call."""
        run.lost = True
        if run.act.part is Part.SHUT_DOWN:
            self._ended_well(run)  # asked or not: whether the VM goes off will show
            return
        run.phase = Phase.SETTLING
        run.deadline = self.clock.monotonic() + self.order.wait_timeout
        run.polls = 0
        run.cause = cause
        run.error = None
        run.decision = replace(run.decision, error=error)
        run.job_reference = None

    def _digest_wait(self, answer: object) -> None:
        if not isinstance(answer, WaitResult):
            # A tick that failed is repeated: reading is safe, and the deadline of each run ends it.
            if isinstance(answer, Failed) and answer.error.kind in (Kind.AUTHENTICATION, Kind.ACCESS_DENIED):
                for run in self._watched():
                    run.cause = f"{answer.error.message} (while waiting for the job)."
                    run.certainty = Certainty.UNKNOWN
                    self._fail(run, KINDS[answer.error.kind])
                return
            self._poll_error = answer.error if isinstance(answer, Failed) else self._poll_error
            self.clock.sleep(self.order.poll_interval)
            return
        self._poll_error = None
        read = {job.id: job for job in (job_of(instance) for instance in answer.jobs)}
        gone = {reference.key("InstanceID") for reference in answer.gone}
        for run in self._watched():
            job_id = run.job_reference.key("InstanceID") if run.job_reference else None
            if job_id in read:
                run.job = read[job_id]
                self._job_read(run, run.job)
            elif job_id in gone:
                run.job_gone = True
                run.job = Job.forgotten(run.job_reference) if run.job_reference else None
                run.job_reference = None
                if run.phase is not Phase.WAITING_FOR_JOB:
                    self._settle(run, ErrorClass.JOB_LOST, "The job disappeared before its end was seen.")
        self._heed_others([job_of(instance) for instance in answer.others])

    def _job_read(self, run: Run, job: Job) -> None:
        if job.running:
            return
        if run.phase is Phase.WAITING_FOR_JOB:
            run.job_reference = None  # it ended: _look reads the VM and decides again
            return
        run.detail = job.error_text
        if job.state in JOB_SUCCEEDED:
            self._ended_well(run)
            return
        what = "turns the VM off" if run.act.part is Part.TURN_OFF else f"carries out {run.act.noun}"
        if job.state in JOB_CANCELLED:
            run.cause = f"The job that {what} was cancelled (state {job.state})."
            self._fail(run, ErrorClass.JOB_CANCELLED)
        elif job.state in JOB_FAILED:
            run.cause = f"The job that {what} failed with error code {job.error_code}."
            self._fail(run, ErrorClass.JOB_FAILED)
        else:
            run.cause = f"The job that {what} shows state {job.state}, which nobody documented."
            run.certainty = Certainty.UNKNOWN
            self._fail(run, ErrorClass.STATUS_UNKNOWN)

    def _heed_others(self, jobs: list[Job]) -> None:
        """Jobs of others that began meanwhile: VMs they concern are decided on again before their call."""
        ours = {run.job_reference for run in self.runs if run.job_reference}
        known = {job.id for run in self.runs for job in self.order.verb.jobs(run.before)}
        known |= self._heeded
        foreign = [job for job in jobs if job.running and job.reference not in ours and job.id not in known]
        queued = {run.before.id: run for run in self.runs if run.phase is Phase.QUEUED}
        if not foreign or not queued:
            return
        try:
            affected = read_affected(self.session, foreign)
        except ReplicaError:
            return  # the guard reads each VM anyway, and the next tick shows these jobs again
        self._heeded.update(job.id for job in foreign)
        for vm_id, theirs in affected.items():
            if vm_id in queued:
                run = queued[vm_id]
                run.before = replace(run.before, jobs=(*run.before.jobs, *theirs))
                run.decision = self._decide(run.before)
                self._enter(run)

    # --- looking again ---------------------------------------------------------------------------

    def _look(self) -> None:
        """Read the host for the runs that are not waiting for a job of their own."""
        looking = [
            run
            for run in self.runs
            if run.phase in (Phase.WAITING_FOR_POWER, Phase.GOING_OFF, Phase.LOOKING_ON, Phase.LOOKING_ANEW)
            or (run.phase is Phase.SETTLING and run.job_reference is None)
            or (run.phase is Phase.WAITING_FOR_JOB and run.job_reference is None)
        ]
        if not looking:
            return
        try:
            if all(run.phase is Phase.GOING_OFF for run in looking):
                seen = read_again(self.session, [run.before for run in looking])
            else:
                host = read_host(self.session, gather=self.order.verb.gather)
                seen = {vm.id: vm for vm in host.virtual_machines}
        except ReplicaError as error:
            for run in looking:
                run.detail = run.detail or error.message
            return
        for run in looking:
            vm = seen.get(run.before.id)
            run.after = vm or run.after
            if vm is None:
                self._vanished(run)
            elif run.phase is Phase.SETTLING:
                self._settled(run, vm)
            elif run.phase is Phase.LOOKING_ON:
                self._go_on(run, vm)
            elif run.phase is Phase.GOING_OFF:
                if power_state(vm.power) is PowerState.OFF:
                    self._next(run)
            else:
                self._decide_again(run, vm)

    def _vanished(self, run: Run) -> None:
        if self.order.verb.ends_in_absence and run.phase is Phase.SETTLING and run.sent:
            run.cause = ""
            self._ended_well(run)  # and the last reading will not find it either
            return
        run.gone = True
        if self.order.verb.ends_in_absence and not run.touched:
            self._end(run, Outcome.UNCHANGED)  # somebody else brought it there
            return
        run.cause = "The VM is no longer on this host."
        run.certainty = Certainty.UNKNOWN if run.touched else Certainty.NOTHING_CHANGED
        self._fail(run, ErrorClass.VM_NOT_FOUND)

    def _decide_again(self, run: Run, vm: VirtualMachine) -> None:
        deadline, phase = run.deadline, run.phase
        run.before = vm
        run.decision = self._decide(vm)
        self._enter(run)
        if run.phase is phase:
            run.deadline = deadline  # still the same wait

    def _settled(self, run: Run, vm: VirtualMachine) -> None:
        """A reading after a lost answer: does anything show what became of the call?"""
        run.polls += 1
        act = run.act
        job = self._own_job(run, vm)
        if job is not None:
            run.job, run.job_reference = job, job.reference
            run.phase = Phase.CALLED
            run.cause = ""
            self._job_read(run, job)
            return
        reading = act.shows(run.before, vm)
        if reading is Reading.LEFT and not (vm.jobs and act.part is Part.MAIN):
            run.cause = ""
            self._ended_well(run)
            return
        moves_power = act.part in (Part.TURN_OFF, Part.AFTER)
        moved = vm.power != run.before.power if moves_power else vm.position[1:] != run.before.position[1:]
        if self.order.wait and not run.job_gone and reading is Reading.PENDING and moved:
            run.polls = 0  # something changes the VM, though its job does not show
        if run.polls >= SETTLE_POLLS:
            error = run.decision.error or ErrorClass.STATUS_UNKNOWN
            run.cause += NO_TRACE
            run.certainty = Certainty.UNKNOWN
            self._fail(run, error)

    def _go_on(self, run: Run, vm: VirtualMachine) -> None:
        """All calls are done: what was made may need more of them, and only now they can be known."""
        verb = self.order.verb
        decision = verb.decide(vm)
        acts = verb.acts(vm, decision) if decision.effect is Effect.CALL else ()
        seen = all(act.shows(run.before, vm) is Reading.LEFT for act in run.acts) and decision.effect is not Effect.WAIT
        sent = {act.call for act in run.acts}
        if not seen or any(act.part is Part.MAIN or act.call in sent for act in acts):
            # The effect of the calls does not show yet; whatever happens they are not made again.
            run.polls += 1
            if run.polls >= SETTLE_POLLS:
                self._succeed(run)  # and the last reading decides
        elif decision.effect is Effect.REFUSE:
            run.cause = decision.row.reason
            run.hint = decision.hint
            self._fail(run, decision.error or ErrorClass.UNEXPECTED_STATE)
        elif acts:
            run.acts += acts
            run.at += 1
            run.polls = 0
            run.phase = Phase.DUE
        else:
            self._succeed(run)

    def _own_job(self, run: Run, vm: VirtualMachine) -> Job | None:
        """A job of the wanted type that did not exist when the host was read before the call."""
        if run.job_gone:
            return None
        jobs = self.order.verb.jobs(vm)
        for job_id in sorted(vm.jobs_known - run.before.jobs_known - run.past_jobs):
            job = next((job for job in jobs if job.id == job_id), None)
            try:
                job = job or read_job(self.session, Reference.of("Msvm_ConcreteJob", InstanceID=job_id))
            except ReplicaError:
                continue  # the next reading tries again
            if job is not None and job.type in run.act.jobs:
                return job
        return None

    # --- ends ------------------------------------------------------------------------------------

    def _ended_well(self, run: Run) -> None:
        """The host says that the last call succeeded. The next guard, or the last reading, checks it."""
        if run.act.part is Part.SHUT_DOWN:
            # The guest was asked, which says nothing yet: the VM is looked at until it is off.
            run.asked_off = True
            run.phase = Phase.GOING_OFF
            run.deadline = self.clock.monotonic() + self.order.shutdown_timeout
        else:
            self._next(run)

    def _next(self, run: Run) -> None:
        """The act is done: on to the next one, if there is one."""
        run.powered_off = run.powered_off or run.act.part in (Part.TURN_OFF, Part.SHUT_DOWN)
        if run.job is not None:
            run.past_jobs |= {run.job.id}
        run.job_reference = None
        if run.at + 1 == len(run.acts) and self.order.verb.goes_on:
            run.polls = 0
            run.phase = Phase.LOOKING_ON
        elif run.at + 1 == len(run.acts):
            self._succeed(run)
        else:
            run.at += 1
            run.polls = 0
            run.phase = Phase.DUE

    def _succeed(self, run: Run) -> None:
        run.succeeded = True
        run.job_reference = None
        run.polls = 0
        run.phase = Phase.ENDED
        run.ended = self.clock.now()

    def _fail(self, run: Run, error: ErrorClass) -> None:
        run.error = error
        self._end(run, Outcome.FAILED)

    def _end(self, run: Run, outcome: Outcome) -> None:
        run.outcome = outcome
        run.phase = Phase.ENDED
        run.job_reference = None
        if run.touched:
            run.ended = self.clock.now()

    def _expire(self) -> None:
        """Waits that took too long."""
        now = self.clock.monotonic()
        for run in self.runs:
            if run.phase is Phase.CALLED and now >= run.deadline and self._poll_error:
                run.cause = (
                    f"After {self.order.wait_timeout:g} s the host could still not be asked about the job: "
                    f"{sentence(self._poll_error)}"
                )
                run.certainty = Certainty.UNKNOWN
                self._fail(run, KINDS[self._poll_error.kind])
            elif run.phase is Phase.CALLED and now >= run.deadline:
                run.phase = Phase.STUCK
                run.outcome = Outcome.IN_PROGRESS
                run.error = ErrorClass.JOB_TIMEOUT
                run.certainty = Certainty.BETWEEN_STATES
                run.changed = True
                job_id = run.job_reference.key("InstanceID") if run.job_reference else None
                noun = run.act.noun
                after = f"After {self.order.wait_timeout:g} s the job {job_id}"
                if run.act.part is Part.TURN_OFF:
                    run.cause = f"{after} that turns the VM off still runs."
                    run.hint = POWER_OFF_HANGS
                else:
                    run.cause = f"{after} still runs on the host. {noun[0].upper()}{noun[1:]} itself has not failed."
            elif run.phase is Phase.GOING_OFF and now >= run.deadline:
                run.cause = (
                    f"The guest was asked to shut down, and in {self.order.shutdown_timeout:g} s it was not seen off. "
                    f"It was not turned off, and {self.order.verb.target.noun} was not sent."
                )
                self._fail(run, ErrorClass.SHUTDOWN_FAILED)
            elif run.phase is Phase.WAITING_FOR_JOB and now >= run.deadline:
                run.outcome = Outcome.IN_PROGRESS
                run.phase = Phase.STUCK
                run.error = ErrorClass.JOB_TIMEOUT
                noun = self.order.verb.target.noun
                run.cause = (
                    f"After {self.order.wait_timeout:g} s {noun} that somebody else started still runs"
                    f"{f' (job {run.job.id})' if run.job else ''}. It has not failed, and this task sent nothing."
                )
            elif run.phase is Phase.WAITING_FOR_POWER and now >= run.deadline:
                run.cause = f"After {POWER_WAIT:g} s the VM is still changing its power state."
                self._fail(run, ErrorClass.VM_BUSY)
            elif run.phase is Phase.LOOKING_ANEW and now >= run.deadline:
                run.cause = (
                    "Somebody else took away what was to go, and in "
                    f"{self.order.wait_timeout:g} s the host could not be read again."
                )
                self._fail(run, ErrorClass.CONNECTION_LOST)
            elif run.phase is Phase.LOOKING_ON and now >= run.deadline:
                self._succeed(run)  # and the last reading decides
            elif run.phase is Phase.SETTLING and now >= run.deadline:
                run.cause += NO_TRACE
                run.certainty = Certainty.UNKNOWN
                self._fail(run, run.decision.error or ErrorClass.STATUS_UNKNOWN)

    def _stop_if_asked(self) -> None:
        if self.order.on_error is OnError.STOP and any(run.failed for run in self.runs):
            self._leave("Not started: another VM failed, and on_error is stop.")

    def _leave(self, cause: str) -> None:
        """Give up on every VM to which nothing was sent yet."""
        for run in self.runs:
            if run.phase in NOTHING_SENT:
                run.cause = cause
                self._end(run, Outcome.NOT_ATTEMPTED)

    def _tell(self) -> None:
        running = tuple(
            (run.before.name, run.doing, run.job.percent if run.job else None)
            for run in self.runs
            if run.phase not in (Phase.ENDED, Phase.QUEUED)
        )
        involved = [run for run in self.runs if run.phase is not Phase.ENDED or run.touched]
        done = sum(1 for run in involved if run.phase is Phase.ENDED)
        self.on_progress(Progress(len(involved), done, running))

    def in_flight(self) -> list[Run]:
        """The runs whose call was sent, or is on its way, and whose end was not seen."""
        flying = [run for run in self.runs if run.phase in ON_THE_HOST and run.touched]
        return flying + [run for run in self._sending if run not in flying]

    # --- verifying -------------------------------------------------------------------------------

    def _verify(self) -> None:
        """Read every VM to which something was sent, and let its state have the last word."""
        # Also a VM that is gone: what was sent for it was sent, and what became of that is not known.
        touched = [run for run in self.runs if run.touched]
        for run in touched:
            run.after = None
        for attempt in range(SETTLE_POLLS):
            # A success that the state does not show yet is given a few readings more.
            pending = [run for run in touched if not run.gone and not self._settled_in(run)]
            if not pending:
                break
            if attempt:
                self.clock.sleep(self.order.poll_interval)
            now, self._read_last = self._read_last, None
            try:
                now = now if now is not None else self._now([run.before for run in pending])
            except ReplicaError as error:
                for run in pending:
                    run.detail = run.detail or error.message
                continue
            for run in pending:
                run.after = now.get(run.before.id)
                run.gone = run.after is None
        for run in touched:
            if run.outcome is not Outcome.IN_PROGRESS:
                conclude(self.order.verb, run)

    def _again(self, before: t.Sequence[VirtualMachine]) -> list[Query]:
        """What shows the VMs as they are now, as far as the verb looks at them."""
        verb = self.order.verb
        return queries_of(verb.gather) if verb.rereads else queries_again(before)

    def _read(
        self, before: t.Sequence[VirtualMachine], queries: t.Sequence[Query], answered: t.Sequence[Answer]
    ) -> dict[str, VirtualMachine]:
        """The VMs as they are now, from the answers to those queries. Raises ReplicaError."""
        if not self.order.verb.rereads:
            return answered_again(before, queries, answered)
        wanted = {vm.id for vm in before}
        return {vm.id: vm for vm in answered_host(queries, answered).virtual_machines if vm.id in wanted}

    def _now(self, before: t.Sequence[VirtualMachine]) -> dict[str, VirtualMachine]:
        queries = self._again(before)
        return self._read(before, queries, self.session.run(list(queries)))

    def _settled_in(self, run: Run) -> bool:
        if run.after is None:
            return False
        verb = self.order.verb
        unseen = not verb.leaves_no_trace and verb.reading(run.before, run.after) is Reading.PENDING
        return not (run.succeeded and (unseen or not started(run)))
