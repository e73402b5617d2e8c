# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the PowerShell part share: the engine, the files under test, and a stand-in for the CIM cmdlets."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
from find_pwsh import NoPowerShell, find_pwsh

HERE = Path(__file__).parent
STAND_IN = HERE / "stand_in"


@pytest.fixture(scope="session")
def pwsh() -> Path:
    """The engine; without one what needs it is skipped, with the reason."""
    try:
        return find_pwsh()
    except NoPowerShell as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def run_script(pwsh: Path) -> Callable[..., t.Any]:
    """Run a script of this folder and give the JSON that it writes."""

    def run(script: str, *arguments: str | Path) -> t.Any:
        command = [pwsh, "-NoProfile", "-NonInteractive", "-File", HERE / script, *arguments]
        # A zone with summer time, so that a mix-up of local time and UTC shows.
        environment = {**os.environ, "PSModulePath": str(STAND_IN), "TZ": "Europe/Berlin", "NO_COLOR": "1"}
        ended = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0 and not ended.stderr, f"{ended.stdout}{ended.stderr}"
        return json.loads(ended.stdout)

    return run
