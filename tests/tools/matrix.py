# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the suites under several releases of ansible-core, each with an interpreter that it supports.

    python tests/tools/matrix.py [SUITE ...]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tree import ROOT

# The oldest supported release, the last one for Python 3.11, the current one; and the newest Python with what it gets.
PAIRS = (("2.16", "3.10"), ("2.19", "3.11"), ("2.21", "3.12"), ("2.21", "3.13"))


def interpreter(version: str) -> str | None:
    """A Python of that version that really starts (a version manager's shim may not): from PATH, or from pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))]
    for candidate in candidates:
        if candidate:
            command = [str(candidate), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
            if answer == version:
                return str(candidate)
    return None


def run(core: str, version: str, suites: list[str]) -> str:
    """Run the suites for one pair; say how it ended."""
    python = interpreter(version)
    if not python:
        return f"not run: no Python {version} here"
    print(f"=== ansible-core {core}, Python {version}", flush=True)
    targets = [f"test-{suite}" for suite in suites] or ["test"]
    command = ["make", "--no-print-directory", *targets, f"PYTHON={python}", f"CORE={core}"]
    ended = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    return "FAILED" if ended.returncode else "passed"


def main() -> int:
    results = {pair: run(*pair, sys.argv[1:]) for pair in PAIRS}
    print("---")
    for (core, version), result in results.items():
        print(f"ansible-core {core}, Python {version}: {result}")
    return 1 if "FAILED" in results.values() or "passed" not in results.values() else 0


if __name__ == "__main__":
    sys.exit(main())
