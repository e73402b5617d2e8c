# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""A CimSession over WS-Management, on the ``winrm`` or ``psrp`` connection that Ansible already has.

One message a step, and one more for each further page of a query. A read whose connection broke down is repeated
once on a new one; an Invoke is sent once, whatever happens.
"""

from __future__ import annotations

import contextlib
import time
import typing as t
import uuid
from collections.abc import Callable

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import carriers, wsman
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Answer,
    Call,
    CimError,
    Failed,
    Get,
    Guard,
    GuardResult,
    Instance,
    Kind,
    MethodCall,
    MethodResult,
    Query,
    Reference,
    Skipped,
    Step,
    Wait,
    WaitResult,
    jobs_query,
)

OPERATION_TIMEOUT = 60
"""Seconds the host may work on one message: what Microsoft's clients ask for, and the most a host grants by default
(MS-WSMV 3.2.4.1.2, 2.2.4.10). Listing a busy host takes longer than the 20 s of the libraries."""

READ_TIMEOUT = 70
"""Seconds to wait for an answer. More than the above, so that the host's own word comes first."""

MAX_IDLE = 60.0
"""Seconds after which a kept connection is not trusted any more: Windows closes it after 120 s (HTTP.sys), and what was
encrypted for it would then arrive on another one, where nobody can read it."""

MAX_PARTS = 100_000
"""Pages and instances of one query together. A host has some thousand VMs; an enumeration must not go on for ever."""

RUNNING_JOB_STATES = frozenset(range(2, 7))
"""JobState New to Shutting Down (Msvm_ConcreteJob). Anything else ends a wait; what it means is the domain's to say."""

# After these the host cannot be reached in this run: what follows was not sent.
_GONE = frozenset({Kind.CONNECTION, Kind.AUTHENTICATION, Kind.CERTIFICATE, Kind.UNSUPPORTED})

# The return values with which a chain goes on: completed, and job started.
_ACCEPTED = (0, 4096)

T = t.TypeVar("T")


def open_session(
    connection: t.Any,
    become: bool,
    *,
    operation_timeout: int = OPERATION_TIMEOUT,
    read_timeout: int = READ_TIMEOUT,
    on_exchange: carriers.OnExchange | None = None,
) -> WsManSession:
    """A session on an Ansible connection plugin, which need not be connected yet.

    ``become``: whether the task asks for it. ``on_exchange`` hears of every message and its answer. Nothing is sent
    to the host, except that a ``winrm`` connection with several transports finds out which of them works. Raises
    CimError: UNSUPPORTED where WS-Management cannot do what the connection promises, AUTHENTICATION, CERTIFICATE or
    CONNECTION where the plugin itself failed.
    """
    transport = getattr(connection, "transport", None)
    openers = {"winrm": carriers.open_winrm, "psrp": carriers.open_psrp}
    if transport not in openers:
        raise CimError(
            Kind.UNSUPPORTED,
            f"WS-Management needs a winrm or a psrp connection, this one is {transport}",
            hint="Set ansible_connection to winrm or psrp, or use transport=powershell.",
        )
    if become:
        raise CimError(
            Kind.UNSUPPORTED,
            "become is not possible over WS-Management: Windows switches users in a process, and none is started",
            hint="Connect as a user who may manage Hyper-V, without become, or use transport=powershell.",
        )
    carrier = openers[transport](connection, read_timeout)
    if on_exchange is not None:
        carrier = carriers.Tapped(carrier, on_exchange)
    return WsManSession(carrier, operation_timeout=operation_timeout)


class WsManSession:
    """See :class:`~.session.CimSession`. ``sleep`` and ``clock`` (seconds) are there for tests."""

    transport = "wsman"
    waiting_slice = 0.0

    def __init__(
        self,
        carrier: carriers.Carrier,
        *,
        operation_timeout: int = OPERATION_TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._carrier = carrier
        self._operation_timeout = operation_timeout
        self._sleep = sleep
        self._clock = clock
        self._services: dict[str, Reference] = {}
        self._last_answer = clock()

    def run(self, steps: t.Sequence[Step], *, stop_on_error: bool = False) -> list[Answer]:
        """One answer for each step, in order. With ``stop_on_error`` whatever ends a chain, or fails, ends the list."""
        answers: list[Answer] = []
        ended: set[str] = set()
        over = False
        jobs: list[Reference] = []
        for step in steps:
            chain = step.chain if isinstance(step, (Guard, Call)) else None
            if over or chain in ended:
                answers.append(Skipped())
                continue
            answer = self._carry_out(step, jobs)
            answers.append(answer)
            if isinstance(answer, MethodResult) and answer.job:
                jobs.append(answer.job)
            if _ends(answer):
                if chain is not None:
                    ended.add(chain)
                over = stop_on_error or (isinstance(answer, Failed) and answer.error.kind in _GONE)
        return answers

    def close(self) -> None:
        self._carrier.close()

    # --- steps -------------------------------------------------------------------------------------

    def _carry_out(self, step: Step, jobs: t.Sequence[Reference]) -> Answer:
        try:
            if isinstance(step, Query):
                return self._query(step.wql)
            if isinstance(step, Get):
                return self._get(step.reference)
            if isinstance(step, Guard):
                return self._guard(step)
            if isinstance(step, Call):
                return self._call(step.call)
            return self._wait(step, jobs)
        except CimError as error:
            return Failed(error)

    def _query(self, wql: str) -> tuple[Instance, ...]:
        return self._repeatable(lambda: self._enumerate(wsman.enumerate_wql(wql)))

    def _enumerate(self, request: wsman.Request) -> tuple[Instance, ...]:
        page = self._ask(request, wsman.read_page)
        instances = list(page.instances)
        parts = 1 + len(instances)
        while page.context is not None:
            # The newest context only: every page may bring another one (MS-WSMV 4.1.2).
            context = page.context
            try:
                if parts > MAX_PARTS:
                    raise CimError(Kind.PROTOCOL, f"{request.what} does not end: {parts} pages and instances so far")
                page = self._ask(wsman.pull(context, request), wsman.read_page)
            except CimError as error:
                if error.kind not in _GONE:
                    self._release(wsman.release(context, request))
                raise
            instances.extend(page.instances)
            parts += 1 + len(page.instances)
        return tuple(instances)

    def _release(self, request: wsman.Request) -> None:
        # What made us give up is what gets reported; the host forgets the enumeration by itself after a while.
        with contextlib.suppress(CimError):
            self._ask(request, wsman.read_released)

    def _get(self, reference: Reference) -> Instance | None:
        try:
            request = wsman.get(self._resolved(reference))
            return self._repeatable(lambda: self._ask(request, wsman.read_instance))
        except CimError as error:
            if wsman.is_missing_instance(error):
                return None
            raise

    def _call(self, call: MethodCall) -> MethodResult:
        arguments = tuple(
            (name, self._resolved(value) if isinstance(value, Reference) else value) for name, value in call.arguments
        )
        call = MethodCall(self._resolved(call.target), call.method, arguments)
        return self._ask(wsman.invoke(call), wsman.read_result)

    def _resolved(self, reference: Reference) -> Reference:
        """The reference itself; where it has no keys, that of the only instance of its class."""
        if reference.keys:
            return reference
        if reference.class_name not in self._services:
            found = self._query(f"SELECT * FROM {reference.class_name}")
            if not found:
                raise CimError(Kind.NOT_FOUND, f"the host shows no {reference.class_name}")
            if len(found) > 1 or found[0].reference is None:
                raise CimError(Kind.PROTOCOL, f"the host does not show one {reference.class_name} with its keys")
            self._services[reference.class_name] = found[0].reference
        return self._services[reference.class_name]

    def _guard(self, step: Guard) -> GuardResult:
        instance = self._get(step.reference)
        held = instance is not None and all(
            # What the answer did not hold was not read, and proves nothing.
            name in instance.properties and instance.properties[name] in accepted
            for name, accepted in step.expected
        )
        return GuardResult(held, instance)

    def _wait(self, step: Wait, started: t.Sequence[Reference]) -> WaitResult:
        watched = tuple({_identity(job): job for job in (*step.jobs, *started)}.values())
        end = self._clock() + step.seconds
        result = WaitResult(())
        while watched:
            left = end - self._clock()
            self._sleep(min(step.poll_interval, left) if step.seconds > 0 else step.poll_interval)
            result = self._read_jobs(watched, step.others)
            if result.gone or any(job.get("JobState") not in RUNNING_JOB_STATES for job in result.jobs):
                break
            if self._clock() >= end:
                break
        return result

    def _read_jobs(self, watched: t.Sequence[Reference], others: str) -> WaitResult:
        ids = {key for job in watched if (key := job.key("InstanceID"))}
        found = self._query(jobs_query(ids, others)) if ids or others else ()
        shown = {_identity(job.reference): job for job in found if job.reference}
        jobs: list[Instance] = []
        gone: list[Reference] = []
        for reference in watched:
            # A host may hide a job from its lists and still hand it out by name.
            job = shown.pop(_identity(reference), None) or self._get(reference)
            if job is None:
                gone.append(reference)
            else:
                jobs.append(job)
        return WaitResult(tuple(jobs), tuple(gone), tuple(shown.values()))

    # --- messages ----------------------------------------------------------------------------------

    def _ask(self, request: wsman.Request, read: Callable[[bytes, wsman.Request, str], T]) -> T:
        message_id = str(uuid.uuid4()).upper()
        message = wsman.envelope(
            request,
            to=self._carrier.address,
            message_id=message_id,
            operation_timeout=self._operation_timeout,
        )
        if self._clock() - self._last_answer > MAX_IDLE:
            self._carrier.reset()
        answer = self._carrier.exchange(message, changes=bool(request.method))
        self._last_answer = self._clock()
        try:
            return read(answer, request, message_id)
        except CimError as error:
            if error.kind is Kind.PROTOCOL:
                # An answer that is not ours may be followed by more of the kind.
                self._carrier.reset()
            raise

    @staticmethod
    def _repeatable(read: Callable[[], T]) -> T:
        """A read from its beginning; once more if the connection that had worked so far broke down under it."""
        try:
            return read()
        except carriers.Dropped:
            pass
        return read()


def _ends(answer: Answer) -> bool:
    """Whether what follows in the same chain has lost its ground."""
    if isinstance(answer, GuardResult):
        return not answer.held
    if isinstance(answer, MethodResult):
        return answer.return_value not in _ACCEPTED
    return isinstance(answer, Failed)


def _identity(reference: Reference) -> tuple[tuple[str, str], ...]:
    """How jobs are told apart: by their keys. A list and a reference may name different classes of one object."""
    return tuple((name.lower(), value.lower()) for name, value in reference.keys)
