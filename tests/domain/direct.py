# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The domain on the lab's world without a wire between them: no sockets, no real time, thousands of nights a minute."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from datetime import datetime

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.over_wsman import WsManSession
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Answer,
    Call,
    CimError,
    Failed,
    Guard,
    Instance,
    Kind,
    MethodCall,
    MethodResult,
    Reference,
    Sent,
    Skipped,
    Step,
    Wait,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.carry_out import Conductor
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.choose import choose
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.present import result_of
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import read_host
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.run import Order
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reverted import Revert
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Verb
from replica_lab.provider import AccessDenied, CimFailure, InvalidCall, NotFound, Ref, Unavailable
from replica_lab.world import World
from replica_lab.wql import evaluate

USER = "operator"
MOST_LISTS = 2000
"""Lists of steps that a run may send. The longest waits here take a few hundred; more is a run that never ends."""

_KINDS: dict[type[CimFailure], Kind] = {
    NotFound: Kind.NOT_FOUND,
    AccessDenied: Kind.ACCESS_DENIED,
    InvalidCall: Kind.INVALID,
    Unavailable: Kind.UNAVAILABLE,
}


@dataclass
class Loss:
    """One answer that does not arrive: to the ``nth`` call of a method, lost before or after its effect."""

    method: str
    after_effect: bool
    nth: int = 1
    silence: int = 0
    """How many reads after it fail as well."""


class WorldClock:
    """The domain's time is the world's: sleeping makes it pass."""

    def __init__(self, world: World) -> None:
        self.world = world

    def monotonic(self) -> float:
        return self.world.clock.now().timestamp()

    def sleep(self, seconds: float) -> None:
        self.world.advance(seconds)

    def now(self) -> datetime:
        return self.world.clock.now()


@dataclass
class Sends:
    """What went over the missing wire."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    """Method, and the name of the VM it was about."""
    requested: list[tuple[str, str, t.Any]] = field(default_factory=list)
    """The same with the state that the method asks for, None where it has no such argument."""
    queries: int = 0
    gets: int = 0
    lists: int = 0
    """Lists of steps: over PowerShell, each starts it once."""
    waits: int = 0
    """Those of them in which something was waited for."""


class DirectSession(WsManSession):
    """The order of steps is the real one; only the messages are left out."""

    def __init__(self, world: World, host: str, losses: t.Sequence[Loss] = (), waiting_slice: float = 0.0) -> None:
        self.waiting_slice = waiting_slice
        self.clock = WorldClock(world)
        self._sleep = self.clock.sleep
        self._clock = self.clock.monotonic
        self._services = {}
        self.provider = world.hosts[host]
        self.losses = list(losses)
        self.silence = 0
        self.sends = Sends()

    def run(self, steps: t.Sequence[Step], *, stop_on_error: bool = False) -> list[Answer]:
        self.sends.lists += 1
        assert self.sends.lists <= MOST_LISTS, f"no end after {MOST_LISTS} lists of steps: {self.sends.calls[-5:]}"
        self.sends.waits += any(isinstance(step, Wait) for step in steps)
        answers = super().run(steps, stop_on_error=stop_on_error)
        if not self.waiting_slice:
            return answers
        # Over PowerShell a guard travels with its call: they are lost together, and the call speaks for both.
        lost = {
            step.chain
            for step, answer in zip(steps, answers, strict=True)
            if isinstance(step, Call) and isinstance(answer, Failed) and answer.error.sent is Sent.MAYBE
        }
        return [
            Skipped() if isinstance(step, Guard) and step.chain in lost else answer
            for step, answer in zip(steps, answers, strict=True)
        ]

    def close(self) -> None:
        pass

    def _query(self, wql: str) -> tuple[Instance, ...]:
        self.sends.queries += 1
        return tuple(self._answer(lambda: [_instance(found) for found in evaluate(self.provider, wql, USER)]))

    def _get(self, reference: Reference) -> Instance | None:
        self.sends.gets += 1
        try:
            return self._answer(lambda: _instance(self.provider.get(_ref(reference), USER)))
        except CimError as error:
            if error.kind is Kind.NOT_FOUND:
                return None
            raise

    def _call(self, call: MethodCall) -> MethodResult:
        target = self._resolved(call.target)
        about = next((value for _name, value in call.arguments if isinstance(value, Reference)), target)
        vm_id = about.key("SystemName" if about.class_name == "Msvm_ShutdownComponent" else "Name") or ""
        self.sends.calls.append((call.method, vm_id))
        self.sends.requested.append((call.method, vm_id, dict(call.arguments).get("RequestedState")))
        arguments = {
            name: _ref(value) if isinstance(value, Reference) else list(value) if isinstance(value, tuple) else value
            for name, value in call.arguments
        }
        loss = next((loss for loss in self.losses if loss.method == call.method), None)
        if loss is not None:
            loss.nth -= 1
            if loss.nth == 0:
                self.losses.remove(loss)
                self.silence = loss.silence
                if loss.after_effect:
                    self.provider.invoke(_ref(target), call.method, arguments, USER)
                raise CimError(Kind.CONNECTION, "the answer was lost", sent=Sent.MAYBE)
        code, out = self._answer(lambda: self.provider.invoke(_ref(target), call.method, arguments, USER))
        return MethodResult(code, {name: _value(value) for name, value in out.items()})

    def _answer(self, ask: t.Callable[[], t.Any]) -> t.Any:
        if self.silence:
            self.silence -= 1
            raise CimError(Kind.CONNECTION, "the host does not answer")
        try:
            return ask()
        except CimFailure as failure:
            raise CimError(_KINDS[type(failure)], str(failure)) from failure


def _ref(reference: Reference) -> Ref:
    return Ref(reference.class_name, reference.keys)


def _value(value: t.Any) -> t.Any:
    if isinstance(value, Ref):
        return Reference(value.class_name, value.keys)
    return tuple(_value(item) for item in value) if isinstance(value, list) else value


def _instance(found: t.Any) -> Instance:
    return Instance(
        found.ref.class_name,
        {name: _value(value) for name, value in found.properties.items()},
        Reference(found.ref.class_name, found.ref.keys),
    )


def perform(
    verb: Verb,
    world: World,
    host: str,
    names: t.Sequence[str] | None = None,
    *,
    losses: t.Sequence[Loss] = (),
    waiting_slice: float = 0.0,
    **order: t.Any,
) -> tuple[dict[str, t.Any], Sends]:
    """What a module does with a verb; the result and what was sent."""
    session = DirectSession(world, host, losses, waiting_slice)
    wanted = Order(verb, every_vm=names is None, **order)
    read = read_host(session, gather=verb.gather)
    choice = choose(read, names)
    conductor = Conductor(session, wanted, session.clock)
    refused = conductor.plan(choice.vms, refused=bool(choice.refusals))
    if refused is None and not wanted.check_mode:
        conductor.run()
    return result_of(conductor, read.name, choice, refused, everyone=True, diff=True), session.sends


def revert(
    world: World, host: str, names: t.Sequence[str] | None = None, **order: t.Any
) -> tuple[dict[str, t.Any], Sends]:
    """What the failover module does with ``state: reverted``."""
    verb = Revert(**{key: order.pop(key) for key in ("discard_guest_writes", "running_vm", "side") if key in order})
    return perform(verb, world, host, names, **order)
