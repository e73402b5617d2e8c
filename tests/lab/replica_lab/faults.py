# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad nights on the wire, on purpose: which request is struck, and how.

A fault is a mapping (in a scenario's test, over the control port) or a :class:`Fault`::

    {"do": "drop_after", "method": "RevertFailover", "vm": "web01"}
    {"do": "delay", "seconds": 3, "operation": "Enumerate", "skip": 1, "times": 2}
    {"do": "refuse_port", "host": "HV01"}

Faults are tried in the order in which they were given; the first that matches a request and has its ``skip``
behind it strikes: ``times`` times, or every time where that is not given. The world's own misfortunes (jobs
that fail, codes, hidden instances) are not here: they are the world's fates and happenings.
"""

from __future__ import annotations

import difflib
import enum
import threading
import typing as t
from dataclasses import MISSING, asdict, dataclass, fields


class Effect(enum.Enum):
    """Whether the world carries out the request that a fault strikes."""

    NEVER = "never"
    ALWAYS = "always"
    NO_UNLESS_ASKED = "no"
    YES_UNLESS_ASKED = "yes"


class Do(enum.Enum):
    """What happens to a request."""

    DROP_BEFORE = "drop_before"
    """The connection is aborted before the world sees the request."""
    DROP_AFTER = "drop_after"
    """The world does it; the connection is aborted before an answer is sent."""
    DROP_MIDWAY = "drop_midway"
    """The world does it; the connection is aborted in the middle of the answer."""
    DELAY = "delay"
    """The answer comes ``seconds`` later; with ``effect: false`` the world sees the request that much later."""
    HANG = "hang"
    """No answer until the client gives up or the faults are cleared; then the connection is aborted."""
    STATUS = "status"
    """An HTTP ``status`` (default 500) with ``body``, and no SOAP."""
    FAULT = "fault"
    """A SOAP fault of ``shape`` A, B or C with ``code``, ``subcode`` and ``text``."""
    TIMED_OUT = "timed_out"
    """The fault 0x80338029; ``effect`` says whether the world did it all the same (default: it did)."""
    QUOTA = "quota"
    """The fault 0x803381A6 (shape C): too many operations of this user."""
    HTML = "html"
    """An HTML page with ``status`` (default 200), as a web server or a proxy in the way would answer."""
    TRUNCATE = "truncate"
    """The first half of the XML, as a complete HTTP answer."""
    GARBAGE = "garbage"
    """Bytes that are no XML."""
    DOCTYPE = "doctype"
    """The answer with a DTD and nested entities in front, referred to in its header."""
    HUGE = "huge"
    """The answer with ``size`` bytes (default 10 MB) of filler in its header."""
    WRONG_RELATES_TO = "wrong_relates_to"
    """The answer to another request, by its RelatesTo."""
    DUPLICATE = "duplicate"
    """The last element of the answer twice: ReturnValue, the last item, or the instance."""
    MISSING_RETURN_VALUE = "missing_return_value"
    MISSING_JOB = "missing_job"
    JOB_AS_EPR = "job_as_epr"
    """The Job inside an EndpointReference element."""
    JOB_WITH_CIMNAMESPACE = "job_with_cimnamespace"
    """The Job with a ``__cimnamespace`` selector."""
    REFUSE_PORT = "refuse_port"
    """The host stops listening and drops its connections; the request that set it off is not carried out."""
    NO_POWERSHELL = "no_powershell"
    """There is no PowerShell on the host."""
    START_PORT = "start_port"
    """The host listens again. Takes effect when it is given, and takes nothing but ``host``."""


EFFECTS: dict[Do, Effect] = {
    Do.DROP_BEFORE: Effect.NEVER,
    Do.DROP_AFTER: Effect.ALWAYS,
    Do.DROP_MIDWAY: Effect.ALWAYS,
    Do.DELAY: Effect.YES_UNLESS_ASKED,
    Do.HANG: Effect.NO_UNLESS_ASKED,
    Do.STATUS: Effect.NO_UNLESS_ASKED,
    Do.FAULT: Effect.NO_UNLESS_ASKED,
    Do.TIMED_OUT: Effect.YES_UNLESS_ASKED,
    Do.QUOTA: Effect.NEVER,
    Do.HTML: Effect.NO_UNLESS_ASKED,
    Do.TRUNCATE: Effect.ALWAYS,
    Do.GARBAGE: Effect.YES_UNLESS_ASKED,
    Do.DOCTYPE: Effect.ALWAYS,
    Do.HUGE: Effect.ALWAYS,
    Do.WRONG_RELATES_TO: Effect.ALWAYS,
    Do.DUPLICATE: Effect.ALWAYS,
    Do.MISSING_RETURN_VALUE: Effect.ALWAYS,
    Do.MISSING_JOB: Effect.ALWAYS,
    Do.JOB_AS_EPR: Effect.ALWAYS,
    Do.JOB_WITH_CIMNAMESPACE: Effect.ALWAYS,
    Do.REFUSE_PORT: Effect.NO_UNLESS_ASKED,
    Do.NO_POWERSHELL: Effect.NEVER,
    Do.START_PORT: Effect.NEVER,
}

POWERSHELL = "PowerShell"
"""The operation of a PowerShell process, or of a pipeline in a PSRP session: a fault strikes it only by this name.

What its cmdlets ask are Enumerate, Get and Invoke, as on the wire."""
HANDSHAKE = "Handshake"
"""The operation of HTTP requests that carry no SOAP: a fault strikes them only when it names this operation."""

OPERATIONS = (
    "Enumerate", "Pull", "Release", "Get", "Invoke",
    "Create", "Command", "Send", "Receive", "Signal", "Delete",
    POWERSHELL, HANDSHAKE,
)


class FaultError(ValueError):
    """The description of a fault makes no sense; the text says why."""


@dataclass(frozen=True)
class Subject:
    """A request, as far as a fault can ask about it."""

    host: str
    operation: str
    class_name: str = ""
    method: str = ""
    mentions: t.Callable[[str], bool] = lambda vm: False
    """Whether the request names this VM: its id or name as a selector, in a reference or in the query."""
    possible: t.Collection[Do] | None = None
    """What can happen to it; None: everything. A fault that cannot happen waits for one to which it can."""


@dataclass(frozen=True)
class Fault:
    """One fault. What is left empty matches every request."""

    do: Do
    host: str = ""
    operation: str = ""
    class_name: str = ""
    """Written ``class`` in a mapping."""
    method: str = ""
    vm: str = ""
    """Id or name."""
    skip: int = 0
    times: int | None = None
    effect: bool | None = None
    """Whether the world carries the request out; None is the default of ``do``."""
    seconds: float = 0.0
    status: int = 0
    body: str = ""
    shape: str = "A"
    code: int = 0x80338012
    subcode: str = "w:InternalError"
    text: str = ""
    size: int = 10 * 1024 * 1024

    @classmethod
    def of(cls, description: Fault | t.Mapping[str, t.Any]) -> Fault:
        """Read a mapping. Raises FaultError, with what would have been possible."""
        if isinstance(description, Fault):
            return description
        if not isinstance(description, dict):
            raise FaultError(f"a fault is a mapping, not {description!r}")
        values = {"class_name" if name == "class" else name: value for name, value in description.items()}
        if "do" not in values:
            raise FaultError("a fault needs do: " + ", ".join(do.value for do in Do))
        known = {field.name: field for field in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise FaultError(f"a fault has no {name!r}{_hint(name, known)}")
            if name != "do" and not _fits(value, name, known[name].default):
                raise FaultError(f"{name} cannot be {value!r}")
        try:
            values["do"] = Do(values["do"])
        except ValueError:
            raise FaultError(f"do cannot be {values['do']!r}{_hint(values['do'], [do.value for do in Do])}") from None
        return cls(**values)

    def __post_init__(self) -> None:
        if self.effect is not None and EFFECTS[self.do] in (Effect.NEVER, Effect.ALWAYS):
            raise FaultError(f"{self.do.value} leaves no choice of effect: {EFFECTS[self.do].value}")
        if self.operation and self.operation not in OPERATIONS:
            raise FaultError(f"no operation {self.operation!r}: {', '.join(OPERATIONS)}")
        if self.shape not in ("A", "B", "C"):
            raise FaultError(f"shape is A, B or C, not {self.shape!r}")
        if self.do is Do.DELAY and self.seconds <= 0:
            raise FaultError("delay needs seconds")
        if min(self.skip, self.seconds, self.size) < 0 or (self.times is not None and self.times < 1):
            raise FaultError("skip, seconds and size are 0 or more, times is 1 or more")
        if self.do is Do.START_PORT and self.conditional:
            raise FaultError("start_port takes effect at once: only host can be said")

    @property
    def conditional(self) -> bool:
        """Whether it waits for a request; a refuse_port without any condition takes effect at once."""
        return bool(self.operation or self.class_name or self.method or self.vm or self.skip)

    @property
    def carried_out(self) -> bool:
        """Whether the world carries out the request."""
        if self.effect is not None:
            return self.effect
        return EFFECTS[self.do] in (Effect.ALWAYS, Effect.YES_UNLESS_ASKED)

    def matches(self, subject: Subject) -> bool:
        """Whether the fault is meant for this request."""
        if subject.operation in (HANDSHAKE, POWERSHELL) and self.operation != subject.operation:
            return False
        if subject.possible is not None and self.do not in subject.possible:
            return False
        wanted = (
            (self.host, subject.host),
            (self.operation, subject.operation),
            (self.class_name, subject.class_name),
            (self.method, subject.method),
        )
        if any(want and want.lower() != found.lower() for want, found in wanted):
            return False
        return not self.vm or subject.mentions(self.vm)

    def as_dict(self) -> dict[str, t.Any]:
        """The description again, without what is at its default."""
        defaults = {field.name: field.default for field in fields(self) if field.default is not MISSING}
        said = {name: value for name, value in asdict(self).items() if name == "do" or value != defaults[name]}
        said["do"] = self.do.value
        return {"class" if name == "class_name" else name: value for name, value in said.items()}


def _hint(written: object, known: t.Iterable[str]) -> str:
    words = list(known)
    near = difflib.get_close_matches(str(written), words, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(words)}"


def _fits(value: object, name: str, default: object) -> bool:
    if default is None:
        return value is None or isinstance(value, bool) is (name == "effect") and isinstance(value, int)
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(default)


@dataclass
class _Pending:
    fault: Fault
    skip: int
    left: int | None


class FaultList:
    """The faults in force. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[_Pending] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(_Pending(fault, fault.skip, fault.times))

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def strike(self, subject: Subject) -> Fault | None:
        """The fault for this request, counted off; None for none."""
        with self._lock:
            for pending in self._faults:
                if pending.left == 0 or not pending.fault.matches(subject):
                    continue
                if pending.skip:
                    pending.skip -= 1
                    continue
                if pending.left is not None:
                    pending.left -= 1
                return pending.fault
        return None

    def as_list(self) -> list[dict[str, t.Any]]:
        """All faults given, with what is still to be skipped, and how often each will strike yet (``left``)."""
        with self._lock:
            return [{**one.fault.as_dict(), "skip": one.skip, "left": one.left} for one in self._faults]
