# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make benchmark` on the smallest host, so that it goes on working. What it measures is nobody's promise."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from rehearsal.combinations import engine
from rehearsal.stage import ROOT
from replica_lab.powershell.engine import Engine

TASKS = ("replication_info", "failover, nothing to do", "failover, all reverted")
NAMES = ("seconds", "requests", "sent", "received", "starts", "memory", "result")


def benchmark(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "tests/benchmarks/benchmark.py", *arguments]
    ended = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def rows(printed: str) -> dict[tuple[str, str], dict[str, float]]:
    """The lines of the table with numbers, by task and transport."""
    found = {}
    for line in printed.splitlines():
        match = re.fullmatch(r"(\S.*?)\s{2,}(wsman|powershell|-)\s+(1|-)((?:\s+[\d.]+){7})", line)
        if match:
            found[match[1], match[2]] = dict(zip(NAMES, map(float, match[4].split()), strict=True))
    return found


@pytest.mark.parametrize("transport", ["wsman", "powershell"])
def test_each_task_is_measured(transport: str) -> None:
    if transport == "powershell" and not isinstance(engine(), Engine):
        pytest.skip(str(engine()))
    status, printed = benchmark("--sizes", "1", "--transports", transport)
    assert status == 0, printed
    table = rows(printed)
    assert set(table) == {("Ansible itself", "-"), *((task, transport) for task in TASKS)}, printed
    assert table["Ansible itself", "-"]["requests"] == 0
    for task in TASKS:
        measured = table[task, transport]
        assert all(measured[name] > 0 for name in NAMES if name != "starts"), (task, measured)
        assert (measured["starts"] > 0) is (transport == "powershell")
    assert table[TASKS[2], transport]["requests"] > table[TASKS[1], transport]["requests"]  # it was carried out
    assert "measured against the lab on" in printed


def test_a_size_that_there_is_not_is_refused() -> None:
    status, printed = benchmark("--sizes", "0")
    assert status == 2
    assert "at least one VM" in printed
