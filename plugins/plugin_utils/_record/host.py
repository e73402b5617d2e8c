# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""One host of a pair: read over each transport that there is, then, if asked to, the verbs over each of them."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Answer,
    CimError,
    CimSession,
    Failed,
    Instance,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._record import reading, verbs
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.recording import Json, Recorder
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ReplicaError
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import guid

Openers = Mapping[str, Callable[[Recorder], CimSession]]


@dataclass(frozen=True)
class Verbs:
    """The consent: what the verbs may be tried on, and how long their jobs may take."""

    vm: str
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    poll_interval: float
    timeout: float


def record(recorder: Recorder, name: str, openers: Openers, order: Verbs | None) -> tuple[Json, list[str]]:
    """The part of one host, and what a person should hear of it. ``name``: that of the inventory, for want of another.

    Both readings come before the verbs, so that they can be compared. Sessions are opened and closed one after the
    other: both transports may want the same connection.
    """
    transports: dict[str, str | None] = {}
    tried: Json = {}
    said: list[str] = []
    host = ""

    def over(transport: str, work: Callable[[CimSession], None]) -> None:
        session = None
        try:
            session = openers[transport](recorder)
            work(session)
        except CimError as error:
            transports[transport] = f"not possible: {error.kind.value}"
            said.append(" ".join(f"{transport}: {error.message}. {error.hint}".split()))
        finally:
            if session is not None:
                session.close()

    def read(session: CimSession) -> None:
        nonlocal host
        answers = reading.take(session, recorder)
        transports[session.transport] = _missing(answers)
        host = host or _host_name(answers)

    def try_verbs(session: CimSession) -> None:
        nonlocal order
        if order is not None:
            told, as_before = _verbs(session, recorder, order, tried)
            said.append(told)
            order = order if as_before else None

    for transport in openers:
        over(transport, read)
    for transport in openers:
        if order is not None and transports[transport] is None:
            over(transport, try_verbs)
    part: Json = {
        "host": recorder.mask.value("Name", host or name),
        "transports": transports,
        "verbs": tried,
        "exchanges": recorder.exchanges,
    }
    return part, said


def _missing(answers: t.Sequence[Answer]) -> str | None:
    """Why there is no reading, where every question but those meant to fail did so."""
    questions = answers[: len(reading.QUERIES)]
    failed = [answer for answer in questions if not isinstance(answer, tuple)]
    if len(failed) < len(questions):
        return None
    first = failed[0]
    return f"not possible: {first.error.kind.value}" if isinstance(first, Failed) else "not possible: not answered"


def _host_name(answers: t.Sequence[Answer]) -> str:
    systems = answers[0] if isinstance(answers[0], tuple) else ()
    names = (str(one.get("Name")) for one in systems if isinstance(one, Instance))
    return next((name for name in names if not guid(name)), "")


def _verbs(session: CimSession, recorder: Recorder, order: Verbs, tried: Json) -> tuple[str, bool]:
    """What is told of it, and whether the VM is again as it was."""
    transport = session.transport
    try:
        ending = verbs.perform(
            session,
            recorder,
            order.vm,
            sleep=order.sleep,
            clock=order.clock,
            poll_interval=order.poll_interval,
            timeout=order.timeout,
        )
    except verbs.Refused as refused:
        tried[transport] = {"refused": str(refused)}
        return f"Verbs over {transport}: {order.vm!r} was not touched: {refused}.", False
    except ReplicaError as error:
        tried[transport] = {"refused": f"the host could not be read ({error.error_class.value})"}
        return f"Verbs over {transport}: {order.vm!r} was not touched: {error.message}", False
    tried[transport] = {
        "stopped": ending.stopped,
        "end": {"mode": ending.mode, "state": ending.state, "power": ending.power},
    }
    because = f"stopped, {ending.stopped}" if ending.stopped else "done"
    return f"Verbs over {transport} on {order.vm!r}: {because}. {ending.words()}", ending.as_before
