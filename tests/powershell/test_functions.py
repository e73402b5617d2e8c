# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The functions of ``_CimBridge.psm1``, one by one and together, in the engine. The cases are PowerShell themselves."""

from __future__ import annotations

import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
from tree import ROOT

BRIDGE = ROOT / "plugins" / "module_utils" / "_CimBridge.psm1"
CASES = sorted(path.stem for path in (Path(__file__).parent / "cases").glob("*.ps1"))


@pytest.mark.parametrize("cases", CASES)
def test_the_cases_of(cases: str, run_script: Callable[..., t.Any]) -> None:
    outcomes = run_script("harness.ps1", Path(__file__).parent / "cases" / f"{cases}.ps1", BRIDGE)
    assert outcomes
    assert "\n\n".join(f"{case}\n{error}" for case, error in outcomes.items() if error) == ""


def test_a_case_that_fails_is_seen(tmp_path: Path, run_script: Callable[..., t.Any]) -> None:
    file = tmp_path / "cases.ps1"
    file.write_text(
        "It 'is wrong' { Assert-Equal @(1) 1 }\n"
        "It 'is broken' { Get-Nothing }\n"
        "It 'throws nothing' { Assert-Throw { } NotSupportedException }\n"
        "It 'is right' { Assert-Equal @(1) @(1) }\n",
        encoding="utf-8",
    )
    outcomes = run_script("harness.ps1", file, BRIDGE)
    assert [case for case, error in outcomes.items() if not error] == ["is right"]
    assert len(outcomes) == 4
