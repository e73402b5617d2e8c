# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the test suites, each in a pytest process of its own, and close with one line for each.

    python tests/tools/suites.py [SUITE ...] [-- PYTEST-ARGUMENT ...]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from tree import ROOT

# In the order in which a failure tells most: the repository, the domain and the messages, the PowerShell part, the
# simulated hosts, the domain on them, whole plays on them, what a person with a real pair would run.
SUITES = ("workshop", "unit", "powershell", "lab", "domain", "conformance", "integration")


def counts(report: Path) -> str:
    """The closing line's numbers, from pytest's JUnit report (its stable interface for them)."""
    total = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    if report.exists():
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            for key in total:
                total[key] += int(suite.get(key, 0))
    failed = total["failures"] + total["errors"]
    passed = total["tests"] - failed - total["skipped"]
    return f"{passed} passed, {failed} failed" + (f", {total['skipped']} skipped" if total["skipped"] else "")


def run(suite: str, arguments: list[str]) -> tuple[bool, str]:
    """Run one suite. A suite that has no tests has failed (pytest's exit status 5)."""
    print(f"--- {suite}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
        command += [f"--junit-xml={report}", *arguments, f"tests/{suite}"]
        status = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode
        line = f"{suite}: {counts(report)}"
    if status not in (0, 1):
        line += f" (pytest ended with status {status}: {'no tests' if status == 5 else 'it could not run them all'})"
    return status == 0, line


def main() -> int:
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    chosen = arguments[:split] or list(SUITES)
    unknown = [suite for suite in chosen if suite not in SUITES]
    if unknown:
        print(f"unknown suite: {', '.join(unknown)}; there are: {', '.join(SUITES)}", file=sys.stderr)
        return 2
    results = [run(suite, arguments[split + 1 :]) for suite in chosen]
    print("---")
    for _passed, line in results:
        print(line)
    return 0 if all(passed for passed, _line in results) else 1


if __name__ == "__main__":
    sys.exit(main())
