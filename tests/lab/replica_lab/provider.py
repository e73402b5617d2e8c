# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a simulated host answers, before anything knows of XML: the seam between the world and its fronts.

The world (``world``) implements :class:`CimProvider`, one for each host. The fronts (WS-Management, and
the CimCmdlets module of the lab's PowerShell) turn it into what a client sees. Neither knows the other.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Ref:
    """A reference to an instance: its real class, and its keys by MOF name."""

    class_name: str
    keys: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, class_name: str, **keys: str) -> Ref:
        return cls(class_name, tuple(sorted(keys.items())))


Scalar = t.Union[None, bool, int, str, datetime, timedelta, Ref]
Value = t.Union[Scalar, list[Scalar]]


@dataclass
class CimObject:
    """An instance: its real class, its reference, and its properties (aware UTC datetimes; None = NULL)."""

    ref: Ref
    properties: dict[str, Value]


class CimFailure(Exception):
    """The provider refuses; the front renders it as a fault or a CIM error."""


class NotFound(CimFailure):
    """No such class (``what='class'``) or no such instance (``what='instance'``)."""

    def __init__(self, what: str, text: str) -> None:
        super().__init__(text)
        self.what = what


class AccessDenied(CimFailure):
    """The user may not do this. (Hidden instances are not this: they are simply absent from answers.)"""


class InvalidCall(CimFailure):
    """Unknown method or argument, a missing argument or a wrong type: WBEM_E_INVALID_METHOD_PARAMETERS."""


class Unavailable(CimFailure):
    """The provider is not running (VMMS stopped)."""


class CimProvider(t.Protocol):
    """One simulated host. Thread safe: every method takes the world's lock."""

    host_name: str

    def instances(self, class_name: str, user: str) -> list[CimObject]:
        """All instances of the class and its subclasses that the user can see, in a stable order."""

    def get(self, ref: Ref, user: str) -> CimObject:
        """One instance. A subset of the keys is enough where it fits exactly one. Raises NotFound."""

    def invoke(self, ref: Ref, method: str, arguments: dict[str, Value], user: str) -> tuple[int, dict[str, Value]]:
        """Call a method; the return value and the out parameters (``Job`` a Ref or None)."""
