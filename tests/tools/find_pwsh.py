# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where PowerShell is: a real one on PATH, else the engine that comes beside the repository.

    python tests/tools/find_pwsh.py

prints the path of the program, or says why there is none and ends with status 1.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

from tree import ROOT

INSTALLER = ROOT.parent / "shared" / "powershell" / "install"
"""Puts the engine somewhere, if it is not there yet, and prints the folder that holds ``pwsh`` as its last line."""


class NoPowerShell(Exception):
    """There is none; the text is the reason to show for what cannot run."""


@functools.cache
def find_pwsh() -> Path:
    """The program. Raises NoPowerShell; an installer that is there and fails is an error, not a reason to skip."""
    on_path = shutil.which("pwsh")
    if on_path:
        return Path(on_path).resolve()
    if not INSTALLER.is_file():
        raise NoPowerShell(f"no pwsh on PATH, and no ../{INSTALLER.relative_to(ROOT.parent)} beside the repository")
    installed = subprocess.run([INSTALLER], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    lines = installed.stdout.split("\n")
    program = Path(lines[-2] if len(lines) > 1 else "") / "pwsh"
    if installed.returncode or not program.is_file():
        raise RuntimeError(f"{INSTALLER} ended with {installed.returncode}: {installed.stdout}{installed.stderr}")
    return program


def main() -> int:
    try:
        print(find_pwsh())
    except NoPowerShell as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
