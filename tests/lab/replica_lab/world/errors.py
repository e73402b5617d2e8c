# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of those who write scenarios, fates and happenings: each says what is wrong and what was meant."""

from __future__ import annotations

import difflib
import typing as t


class WorldError(ValueError):
    """Something was asked of the world that it does not have or cannot do."""


def one_of(what: str, written: object, known: t.Collection[str]) -> str:
    """The word, if it is a known one. Raises WorldError with the nearest known word."""
    if isinstance(written, str) and written in known:
        return written
    raise WorldError(f"unknown {what} {written!r}{_hint(str(written), known)}")


def refuse_unknown(where: str, mapping: t.Mapping[str, object], known: t.Collection[str]) -> None:
    """Raise WorldError for the first key that is not known."""
    for key in mapping:
        if key not in known:
            raise WorldError(f"{where}: unknown key {key!r}{_hint(str(key), known)}")


def _hint(written: str, known: t.Collection[str]) -> str:
    near = difflib.get_close_matches(written, known, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(known))}"
