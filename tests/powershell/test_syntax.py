# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The PowerShell files as the engine reads them: nothing in them that Windows PowerShell 5.1 does not have.

There is no 5.1 here to run them, so everything that they use is compared with lists of what it has.
"""

from __future__ import annotations

import functools
import json
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
from tree import ROOT, files

FILES = [path for path in files() if path.startswith("plugins/") and path.endswith((".ps1", ".psm1"))]
COMMANDS: dict[str, t.Any] = json.loads(
    (Path(__file__).parent / "data" / "windows-powershell-5.1.json").read_text(encoding="utf-8")
)
COMMON = {"Debug", "ErrorAction", "ErrorVariable", "OutVariable", "PipelineVariable", "Verbose", "WarningAction"}

# What .NET Framework 4.5.2 and Windows PowerShell 5.1 have; a name that is used newly is looked up and added.
TYPES = {
    "Ansible.Basic.AnsibleModule",
    "ArrayList",
    "CimException",
    "CimFlags",
    "ErrorRecord",
    "IDictionary",
    "ItemNotFoundException",
    "System.Diagnostics.Stopwatch",
    "System.Globalization.DateTimeStyles",
    "System.InvalidOperationException",
    "System.Math",
    "System.NotSupportedException",
    "System.StringComparison",
    "System.ValueType",
    "array",
    "bool",
    "char",
    "cultureinfo",
    "datetime",
    "double",
    "int",
    "long",
    "object",
    "object[]",
    "ordered",
    "ref",
    "regex",
    "string",
    "string[]",
    "timespan",
    "uint16",
}
STATIC_MEMBERS = {
    "Ansible.Basic.AnsibleModule.Create",
    "ArrayList.new",
    "CimFlags.Key",
    "ItemNotFoundException.new",
    "System.Diagnostics.Stopwatch.StartNew",
    "System.InvalidOperationException.new",
    "System.Math.Floor",
    "System.Math.Max",
    "System.Math.Min",
    "System.NotSupportedException.new",
    "System.StringComparison.Ordinal",
    "cultureinfo.InvariantCulture",
    "datetime.MinValue",
    "datetime.TryParseExact",
    "object[].new",
    "regex.Matches",
    "string.Equals",
    "string.Format",
    "timespan.FromTicks",
    "timespan.TicksPerSecond",
    "timespan.new",
}

# Line of the sample -> what has to be said about it.
TOO_NEW = [
    ("$a = $true ? 1 : 2", "ternary operator"),
    ("$a = $b ?? 1", "null-coalescing operator"),
    ("$a ??= 1", "null-coalescing assignment"),
    ("${a}?.b", "null-conditional operator"),
    ("${a}?.b()", "null-conditional operator"),
    ("${a}?[0]", "null-conditional operator"),
    ("Get-Date && Get-Date", "pipeline chain"),
    ("Get-Date || Get-Date", "pipeline chain"),
    ("Get-Date &", "background operator"),
    ("class A { }", "class or enum (5.1 has them, modules of Ansible do not)"),
    ("enum C { B }", "class or enum (5.1 has them, modules of Ansible do not)"),
    ("function f { clean { } }", "clean block"),
    ("$a = 5us", "number 5us"),
    ("$a = 5y", "number 5y"),
    ("$a = 5n", "number 5n"),
    ("$a = 5ul", "number 5ul"),
    ("$a = 0b101", "number 0b101"),
    ('$a = "`e[0m"', "escape sequence"),
    ('$a = "x`u{2195}"', "escape sequence"),
    ("$a = $IsWindows", "variable $IsWindows"),
    ("$a = $PSStyle.Reset", "variable $PSStyle"),
    ("Get-Date\n    | Out-Null", "pipe at the beginning of a line"),
    ("Get-Date @a", "the splatted $a is not one hashtable, so nobody can tell what it holds"),
]
OLD_ENOUGH = """
using namespace System.Collections
function f {
    param ([string]$Name)
    $a = @{ Year = 5; Month = 0xFF; Day = 1kb; Hour = 5l; Minute = 0x1dL; Second = 1d }
    $b = "``e ```$x", '`e', "`n`t`0"
    Get-Date @a |
        Where-Object { $_ -and $b[0].Length -or -not $Name }
    if ($a) { $a.x } else { & $b; . $b }
    "x" -replace 'a', 'b' -split ',' -join '-'
}
"""


@pytest.fixture(scope="module")
def read(run_script: Callable[..., t.Any]) -> Callable[[Path], dict[str, t.Any]]:
    """What is in a file, each read once."""
    return functools.cache(lambda path: run_script("syntax.ps1", path))


@pytest.fixture(params=FILES)
def shipped(request: pytest.FixtureRequest, read: Callable[[Path], dict[str, t.Any]]) -> dict[str, t.Any]:
    return read(ROOT / request.param)


def test_there_is_something_to_read() -> None:
    assert FILES == ["plugins/module_utils/_CimBridge.psm1", "plugins/modules/cim_bridge.ps1"]


def test_it_has_no_syntax_errors(shipped: dict[str, t.Any]) -> None:
    assert shipped["errors"] == []


def test_it_uses_no_syntax_newer_than_5_1(shipped: dict[str, t.Any]) -> None:
    assert shipped["newer"] == []


def test_it_calls_only_commands_of_5_1_and_its_own(
    shipped: dict[str, t.Any], read: Callable[[Path], dict[str, t.Any]]
) -> None:
    own = {function["name"] for path in FILES for function in read(ROOT / path)["functions"]}
    assert wrong_commands(shipped["commands"], own) == []


def test_it_uses_only_types_and_static_members_of_5_1(shipped: dict[str, t.Any]) -> None:
    assert set(shipped["types"]) - TYPES == set()
    assert {name for name in shipped["members"] if not name.startswith(".")} - STATIC_MEMBERS == set()


def test_every_function_is_short_says_what_it_does_and_types_its_parameters(shipped: dict[str, t.Any]) -> None:
    for function in shipped["functions"]:
        assert function["synopsis"], function["name"]
        assert function["untyped"] == [], function["name"]
        assert function["lines"] <= 50, function["name"]


def wrong_commands(commands: list[dict[str, t.Any]], own: set[str]) -> list[str]:
    """The commands and parameters that are not there; of CIM cmdlets also parameters that do not go together."""
    wrong = []
    for command in commands:
        name, given = command["name"], set(command["parameters"]) - COMMON
        known = COMMANDS.get(name)
        if name in own:
            continue
        if known is None:
            wrong.append(f"line {command['line']}: there is no {name}")
        elif given - set(known):
            wrong.append(f"line {command['line']}: {name} has no {sorted(given - set(known))}")
        elif isinstance(known, dict):
            sets = [set(known[parameter]) for parameter in given if known[parameter] != ["(All)"]]
            if sets and not set.intersection(*sets):
                wrong.append(f"line {command['line']}: {name} does not take {sorted(given)} together")
    return wrong


# --- the checks check ------------------------------------------------------------------------------


@pytest.fixture
def read_text(tmp_path: Path, run_script: Callable[..., t.Any]) -> Callable[[str], dict[str, t.Any]]:
    def read(text: str) -> dict[str, t.Any]:
        path = tmp_path / "sample.ps1"
        path.write_text(text, encoding="utf-8")
        found: dict[str, t.Any] = run_script("syntax.ps1", path)
        return found

    return read


def test_newer_syntax_is_found(read_text: Callable[[str], dict[str, t.Any]]) -> None:
    text, expected = "", []
    for sample, what in TOO_NEW:
        line = text.count("\n") + 1 + sample.count("\n")
        text += f"{sample}\n"
        expected.append(f"line {line}: {what}")
    found = read_text(text)
    assert found["errors"] == []
    assert sorted(found["newer"]) == sorted(expected)


def test_older_syntax_is_left_alone(read_text: Callable[[str], dict[str, t.Any]]) -> None:
    found = read_text(OLD_ENOUGH)
    assert (found["errors"], found["newer"]) == ([], [])
    assert wrong_commands(found["commands"][:2], set()) == []


def test_a_syntax_error_is_found(read_text: Callable[[str], dict[str, t.Any]]) -> None:
    assert read_text("if ($a {")["errors"] != []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Get-Uptime", "there is no Get-Uptime"),
        ("gci", "there is no gci"),
        ("ConvertFrom-Json -AsHashtable", "ConvertFrom-Json has no ['AsHashtable']"),
        ("$a = @{ Shuffle = $true }; Get-Random @a", "Get-Random has no ['Shuffle']"),
        (
            "Get-CimInstance -Query x -Filter y",
            "Get-CimInstance does not take ['Filter', 'Query'] together",
        ),
    ],
)
def test_a_command_that_5_1_does_not_have_is_found(
    read_text: Callable[[str], dict[str, t.Any]], text: str, says: str
) -> None:
    assert wrong_commands(read_text(text)["commands"], set()) == [f"line 1: {says}"]


def test_a_function_without_help_and_types_is_found(read_text: Callable[[str], dict[str, t.Any]]) -> None:
    (function,) = read_text("function f {\n    param ($a, [int]$b)\n}\n")["functions"]
    assert (function["synopsis"], function["untyped"], function["lines"]) == ("", ["a"], 3)
