# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""CIM values and the texts that stand for them: one reading for every transport, and both ways of writing.

WS-Management writes date and time as XML Schema does (``2026-10-08T15:15:36.68424Z``, ``P0DT0H5M0S``);
CIM-XML and PowerShell write the 25 characters of DSP0004 5.2.4 (``20261008151536.684240+000``,
``00000000000500.000000:000``). A text that is none of them, or a number outside of its type, is a
ValueError that says what was found: nothing is guessed.
"""

from __future__ import annotations

import re
import typing as t
from datetime import datetime, timedelta, timezone

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Reference, Scalar

_INTEGERS = {f"{sign}int{bits}": bits for sign in ("u", "s") for bits in (8, 16, 32, 64)}
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

_XML_DATETIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))?", re.ASCII
)
_XML_DURATION = re.compile(
    r"P(?=.)(?:(\d{1,9})D)?(?:T(?=.)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})(?:\.(\d+))?S)?)?", re.ASCII
)
_CIM_DATETIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)\.([\d*]{6})([+-])(\d{3})", re.ASCII)
_CIM_INTERVAL = re.compile(r"(\d{8})(\d\d)(\d\d)(\d\d)\.([\d*]{6}):000", re.ASCII)


def read(text: str, cim_type: str) -> Scalar:
    """The value of one CIM text. ``string`` and types not in the table stay text, blanks and all.

    A date without a zone is UTC, as DSP0227 has it. Fractions finer than a microsecond are cut off.
    Raises ValueError, worded to follow "X is".
    """
    if cim_type in _INTEGERS:
        return _integer(text.strip(), cim_type)
    if cim_type == "boolean":
        try:
            return _BOOLEANS[text.strip().lower()]
        except KeyError:
            raise ValueError(f"no boolean: {text[:40]!r}") from None
    if cim_type == "datetime":
        return _datetime(text.strip())
    return text


def _integer(text: str, cim_type: str) -> int:
    if not _INTEGER.fullmatch(text) or not _in_range(int(text), cim_type):
        raise ValueError(f"no {cim_type}: {text[:40]!r}")
    return int(text)


def _in_range(number: int, cim_type: str) -> bool:
    bits = _INTEGERS[cim_type]
    low, high = (0, 1 << bits) if cim_type.startswith("u") else (-1 << bits - 1, 1 << bits - 1)
    return low <= number < high


def _datetime(text: str) -> datetime | timedelta:
    """One of the four spellings; the text alone says which. Aware (UTC), or an interval."""
    try:
        if match := _XML_DATETIME.fullmatch(text):
            *clock, fraction, sign, hours, minutes = match.groups()
            return _moment(clock, fraction, sign, 60 * int(hours or 0) + int(minutes or 0))
        if match := _CIM_DATETIME.fullmatch(text):
            *clock, fraction, sign, minutes = match.groups()
            return _moment(clock, fraction, sign, int(minutes))
        if match := _XML_DURATION.fullmatch(text) or _CIM_INTERVAL.fullmatch(text):
            days, hours, minutes, seconds, fraction = match.groups()
            whole = (int(days or 0) * 24 + int(hours or 0)) * 60 + int(minutes or 0)
            return timedelta(minutes=whole, seconds=int(seconds or 0), microseconds=_microseconds(fraction))
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"neither a date nor an interval: {text[:40]!r}")


def _moment(clock: t.Sequence[str], fraction: str | None, sign: str | None, offset: int) -> datetime:
    year, month, day, hour, minute, second = map(int, clock)
    local = datetime(year, month, day, hour, minute, second, _microseconds(fraction), timezone.utc)
    return local + timedelta(minutes=offset) * (1 if sign == "-" else -1)


def _microseconds(fraction: str | None) -> int:
    """``*`` stands for a digit that is not known (DSP0004): read as 0."""
    return int((fraction or "").replace("*", "0")[:6].ljust(6, "0"))


def fits(value: Scalar, cim_type: str) -> bool:
    """Whether a value that is to be sent is one of this type, and within its range."""
    if cim_type in _INTEGERS:
        return isinstance(value, int) and not isinstance(value, bool) and _in_range(value, cim_type)
    if cim_type == "datetime":
        return isinstance(value, timedelta) or (isinstance(value, datetime) and value.tzinfo is not None)
    if cim_type == "ref":
        return isinstance(value, Reference)
    return isinstance(value, bool if cim_type == "boolean" else str)


def cim_text(value: bool | int | str | datetime | timedelta) -> str:
    """The text of a value in CIM-XML. A naive datetime is refused (ValueError): its zone would be a guess."""
    if isinstance(value, datetime):
        return _utc(value).strftime("%Y%m%d%H%M%S.%f+000").rjust(25, "0")
    if isinstance(value, timedelta):
        days, hours, minutes, seconds = _parts(value)
        return f"{days:08}{hours:02}{minutes:02}{seconds:02}.{value.microseconds:06}:000"
    return _plain(value)


def xml_text(value: bool | int | str | datetime | timedelta) -> str:
    """The text of a value in a WS-Management message (XML Schema). A naive datetime is refused (ValueError)."""
    if isinstance(value, datetime):
        return _utc(value).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
    if isinstance(value, timedelta):
        days, hours, minutes, seconds = _parts(value)
        return f"P{days}DT{hours}H{minutes}M{seconds}.{value.microseconds:06}S"
    return _plain(value)


def _plain(value: bool | int | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a datetime without a time zone")
    return value.astimezone(timezone.utc)


def _parts(value: timedelta) -> tuple[int, int, int, int]:
    if value < timedelta(0):
        raise ValueError("a negative interval")
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return value.days, hours, minutes, seconds
