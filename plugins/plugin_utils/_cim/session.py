# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""The port between the domain and whatever carries a CIM request to a host.

The domain hands over *steps* and gets one answer for each, in order. A list of steps, not single
requests, because one transport (PowerShell) pays dearly for every start and nothing for a further
step, while the other (WS-Management) sends one message a step. What a step means is the same for both.
"""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timedelta

NAMESPACE = "root/virtualization/v2"


def quote(text: str) -> str:
    """A WQL string literal: in double quotes, backslash and quote escaped (WQL, "WQL string literals")."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_MANY_JOBS = 40


def jobs_query(ids: t.Collection[str], others: str) -> str:
    """The WQL query that shows the jobs with these ids, and those that fit the condition ``others``.

    Beyond some dozens of ids the query asks for all jobs: a long list of conditions costs the host more
    than the instances it spares.
    """
    if len(ids) > _MANY_JOBS:
        return "SELECT * FROM Msvm_ConcreteJob"
    conditions = [f"InstanceID = {quote(job_id)}" for job_id in sorted(ids)]
    if others:
        conditions.append(f"({others})")
    return f"SELECT * FROM Msvm_ConcreteJob WHERE {' OR '.join(conditions)}"


@dataclass(frozen=True)
class Reference:
    """A CIM reference: the class and the keys of one instance.

    Key names compare as written in the MOF; values are text, as in an object path. Only the keys a host
    returned belong in here: how a key looks is the host's business. A reference without keys means the
    only instance of its class (a service): the transport asks the host for it before the first call that
    names it, once a session; none is an error of kind NOT_FOUND, and nothing was sent.
    """

    class_name: str
    keys: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, class_name: str, **keys: str) -> Reference:
        return cls(class_name, tuple(sorted(keys.items())))

    def key(self, name: str) -> str | None:
        """The value of one key, or None when the reference does not carry it."""
        return dict(self.keys).get(name)


Scalar = t.Union[None, bool, int, str, datetime, timedelta, Reference]
Value = t.Union[Scalar, tuple[Scalar, ...]]


@dataclass(frozen=True)
class Instance:
    """One CIM instance, its values typed by the schema table.

    ``properties`` holds every property that the answer carried: None is a NULL, a missing name was not
    in the answer. Arrays are tuples, datetimes are aware (UTC), intervals are timedelta.
    ``reference`` is set where the transport knows the keys.
    """

    class_name: str
    properties: t.Mapping[str, Value]
    reference: Reference | None = None

    def get(self, name: str) -> Value:
        return self.properties.get(name)


@dataclass(frozen=True)
class MethodCall:
    """One call of a method on one object. Arguments in the order of the MOF.

    A Reference travels as a reference, str/int/bool as such, an embedded instance as its CIM-XML text,
    None as NULL, datetime/timedelta as a CIM datetime. What the MOF marks as optional may be left out altogether.
    """

    target: Reference
    method: str
    arguments: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True)
class MethodResult:
    """What the method answered: its return value as it is (0, 4096, 32768..), and the out parameters."""

    return_value: int
    out: t.Mapping[str, Value] = field(default_factory=dict)

    @property
    def job(self) -> Reference | None:
        job = self.out.get("Job")
        return job if isinstance(job, Reference) else None


# --- steps -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Query:
    """All instances that a WQL ``SELECT *`` finds. Answer: tuple of Instance."""

    wql: str


@dataclass(frozen=True)
class Get:
    """One instance by its keys. Answer: an Instance, or None when the host says there is no such object."""

    reference: Reference


@dataclass(frozen=True)
class Guard:
    """What must still hold, read right before what follows in the same chain.

    ``expected`` maps a property to the values that are acceptable. Answer: a GuardResult. If it does not
    hold, the rest of the chain is Skipped. A guard never changes anything.
    """

    chain: str
    reference: Reference
    expected: tuple[tuple[str, tuple[Value, ...]], ...]


@dataclass(frozen=True)
class GuardResult:
    held: bool
    instance: Instance | None
    """What was read; None when the object is gone."""


@dataclass(frozen=True)
class Call:
    """One method call. Answer: a MethodResult, or a Failed. Anything but 0 or 4096 ends the chain."""

    chain: str
    call: MethodCall


@dataclass(frozen=True)
class Wait:
    """Watch jobs, for at most ``seconds``; return as soon as any of them is no longer running.

    Besides ``jobs`` it watches the jobs returned by calls earlier in the same list. One query a tick
    whatever the number of jobs (:func:`jobs_query`); a job that the query does not show is fetched once
    by reference before it counts as gone. With nothing to watch it returns at once, and asks the host
    nothing. Answer: a WaitResult.
    """

    jobs: tuple[Reference, ...]
    seconds: float
    """0: one tick."""
    poll_interval: float
    """Pause (s) before each tick."""
    others: str = ""
    """A WQL condition: jobs that it fits are shown in the answer too, though not waited for."""


@dataclass(frozen=True)
class WaitResult:
    """The newest reading of the jobs. ``gone`` are those that neither query nor Get found.

    ``others`` are instances that the query showed beside the jobs asked for.
    """

    jobs: tuple[Instance, ...]
    gone: tuple[Reference, ...] = ()
    others: tuple[Instance, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """The step was not carried out because an earlier step of its chain (or, asked so, of the list) ended it."""


@dataclass(frozen=True)
class Failed:
    """The step ended with an error. For a Call, ``error.sent`` says whether it may have had an effect."""

    error: CimError


Step = t.Union[Query, Get, Guard, Call, Wait]
Answer = t.Union["tuple[Instance, ...]", Instance, None, GuardResult, MethodResult, WaitResult, Skipped, Failed]


# --- errors ----------------------------------------------------------------------------------------


class Kind(enum.Enum):
    """What went wrong on the way to the host, or on it, before any method gave a return value."""

    AUTHENTICATION = "authentication"  # the credentials were refused
    ACCESS_DENIED = "access_denied"  # authenticated, but not allowed
    CONNECTION = "connection"  # refused, reset, timed out, name not found
    CERTIFICATE = "certificate"  # TLS could not be trusted or agreed on
    UNSUPPORTED = "unsupported"  # this connection cannot carry the request (ssh, become, missing library ..)
    PROTOCOL = "protocol"  # the answer is not what the protocol allows; the part is named
    NOT_FOUND = "not_found"  # class, namespace or instance does not exist
    TIMED_OUT = "timed_out"  # the host's own operation time-out; a method may have run
    QUOTA = "quota"  # too many operations of this user
    UNAVAILABLE = "unavailable"  # WMI, or the service behind it, does not answer there; a method may have run
    INVALID = "invalid"  # the host refused the message or its arguments; it did not run
    HOST = "host"  # any other fault of the host


class Sent(enum.Enum):
    """Whether the request may have had an effect."""

    NO = "no"  # positively not carried out: not sent, or refused before it ran
    MAYBE = "maybe"  # sent, and the answer is lost or says nothing about it


class CimError(Exception):
    """An error with its data. The text is for people; decisions use ``kind``, ``sent`` and ``code``."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        sent: Sent = Sent.NO,
        code: int | None = None,
        hint: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.sent = sent
        self.code = code
        """WinRM, WBEM or HRESULT code as an unsigned 32-bit number, where the host gave one."""
        self.hint = hint
        """What a person can do, where the transport knows better than the error class."""
        self.detail = detail
        """The host's own words. Localised: never decide on them."""


class CimSession(t.Protocol):
    """A conversation with one host. One list of steps at a time; not for use from several threads."""

    transport: str
    """``wsman`` or ``powershell``: named in the result."""

    waiting_slice: float
    """How long (s) one Wait may stay at the host before the controller wants to hear of it; 0: one tick."""

    def run(self, steps: t.Sequence[Step], *, stop_on_error: bool = False) -> list[Answer]:
        """Carry out the steps in order; exactly one answer for each.

        Errors of a step do not raise: the answer is Failed, so that the answers of calls before it are
        never lost. A Failed Guard or Call ends its chain (the rest is Skipped); with ``stop_on_error``
        it ends the list. Once the connection is gone (CONNECTION, AUTHENTICATION, CERTIFICATE,
        UNSUPPORTED) every step after it is Skipped: it was not sent.
        """

    def close(self) -> None:
        """Give the connection back as it was found. Never raises for a connection that is gone already."""
