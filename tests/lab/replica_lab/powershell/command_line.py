# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a WinRM shell is told to run: a Windows command line, of which only PowerShell is there. No I/O."""

from __future__ import annotations

import base64
import re
import typing as t

_NAMES = frozenset({"powershell", "powershell.exe", "pwsh", "pwsh.exe"})

_ARGUMENT = re.compile(r'\s*((?:"(?:\\.|[^"\\])*"?|[^\s"])+)')
_BACKSLASHES_AND_QUOTE = re.compile(r'(\\*)"')


def powershell_arguments(words: t.Sequence[str]) -> list[str] | None:
    """The arguments for ``pwsh``, or None where another program is meant.

    Releases of Ansible before 2.19 let one PowerShell start another, which inherits its standard input: that works
    with Windows handles only. The outer one, which does nothing else, is left out here.
    """
    if not words or re.split(r"[\\/]", words[0])[-1].lower() not in _NAMES:
        return None
    inner = split(_encoded_command(words)) if words[-2:-1] == ["-EncodedCommand"] else []
    if inner[-2:-1] == ["-EncodedCommand"] and inner[:-1] == list(words[:-1]):
        return inner[1:]
    return list(words[1:])


def _encoded_command(words: t.Sequence[str]) -> str:
    """The script behind the last word, or nothing where that is no base64 of UTF-16."""
    try:
        return base64.b64decode(words[-1], validate=True).decode("utf-16-le")
    except ValueError:
        return ""


def split(command: str, arguments: t.Iterable[str] = ()) -> list[str]:
    """A command and its arguments, put together as WinRM does it, as words.

    Words are as a Windows program takes them from its command line ("Parsing C command-line arguments").
    """
    return [_BACKSLASHES_AND_QUOTE.sub(_unquoted, word) for word in _ARGUMENT.findall(" ".join([command, *arguments]))]


def _unquoted(match: re.Match[str]) -> str:
    """Backslashes before a quote stand for half as many; an odd one keeps the quote, else it only delimits."""
    pairs, odd = divmod(len(match[1]), 2)
    return "\\" * pairs + ('"' if odd else "")
