# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tasks cost for hosts of different sizes: time, traffic and memory, measured against simulated hosts.

    python tests/benchmarks/benchmark.py [--sizes 1 100 2000] [--transports wsman powershell]

Every row is a real ansible-playbook with one task, on a host of its own. Requests and bytes are counted by the host.
The seconds are those of a simulated host on the same machine, and hold the start of Ansible, which the first row shows
by itself. Nothing is judged here: the counts that have to hold are tests of the conformance suite.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
import typing as t
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "conformance"))

from rehearsal.combinations import engine  # noqa: E402
from rehearsal.costs import FAILOVER, INFO, REVERT, Costs, big, play  # noqa: E402
from replica_lab.lab import Lab  # noqa: E402
from replica_lab.powershell.engine import Engine  # noqa: E402

SIZES = [1, 100, 2000]
RATE = 10
"""World seconds in a second: a revert takes the host four seconds, and nobody wants to measure those."""
MOST_REVERTED = 100
MIB = 1024 * 1024
HEADINGS = (
    "task", "transport", "VMs", "seconds", "requests", "KiB sent", "KiB received", "starts", "MiB", "result KiB",
)  # fmt: skip
LEGEND = (
    "requests: SOAP requests to the host, those of a shell included. sent, received: bodies on the wire. starts: of "
    "PowerShell. MiB: peak of the largest process on the controller. result: as JSON."
)


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    module: str
    arguments: t.Mapping[str, t.Any]
    count: int
    failed_over: int = 0

    def measure(self, transport: str) -> Costs:
        """Raises RuntimeError where the play does not end well."""
        found = engine()
        pwsh = found if isinstance(found, Engine) and transport == "powershell" else None
        world = big(self.count - self.failed_over, self.failed_over, RATE)
        with Lab(world, powershell=pwsh) as lab, tempfile.TemporaryDirectory() as directory:
            return play(lab, Path(directory), self.module, **self.arguments)


def cases(sizes: t.Sequence[int]) -> t.Iterator[Case]:
    for count in sizes:
        yield Case("replication_info", INFO, {}, count)
    for count in sizes:
        yield Case("failover, nothing to do", FAILOVER, REVERT, count)
    for count in sizes:
        if count <= MOST_REVERTED:
            yield Case("failover, all reverted", FAILOVER, REVERT, count, failed_over=count)


def row(name: str, transport: str, count: int | str, costs: Costs) -> tuple[str, ...]:
    counters = costs.counters
    return (
        name,
        transport,
        str(count),
        f"{costs.seconds:.1f}",
        str(costs.requests),
        f"{counters['bytes_in'] / 1024:.1f}",
        f"{counters['bytes_out'] / 1024:.1f}",
        str(counters["powershell"]),
        f"{costs.peak_memory / MIB:.0f}",
        f"{costs.result_size / 1024:.1f}",
    )


def table(rows: t.Sequence[tuple[str, ...]]) -> t.Iterator[str]:
    widths = [max(len(each[column]) for each in rows) for column in range(len(HEADINGS))]
    for each in rows:
        pairs = list(zip(each, widths, strict=True))
        words = [text.ljust(width) for text, width in pairs[:2]] + [text.rjust(width) for text, width in pairs[2:]]
        yield "  ".join(words)


def machine() -> str:
    versions = f"Python {platform.python_version()}, ansible-core {metadata.version('ansible-core')}"
    return f"{os.cpu_count()} processors, {versions}, {platform.system()} {platform.machine()}"


def main(arguments: t.Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure what tasks cost, against simulated hosts.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of VMs (default: %(default)s)")
    parser.add_argument("--transports", nargs="+", choices=["wsman", "powershell"], default=["wsman", "powershell"])
    options = parser.parse_args(arguments)
    if min(options.sizes) < 1:
        parser.error("a host has at least one VM")
    transports = list(options.transports)
    missing = engine()
    if "powershell" in transports and isinstance(missing, str):
        transports.remove("powershell")
        print(f"powershell is left out: {missing}")
    if not transports:
        return 1
    rows = [HEADINGS]
    nothing = Case("Ansible itself", "ansible.builtin.debug", {"msg": "nothing"}, 1)
    rows.append(row(nothing.name, "-", "-", nothing.measure("wsman")))
    for transport in transports:
        for case in cases(options.sizes):
            print(f"... {case.name}, {transport}, {case.count}", file=sys.stderr, flush=True)
            rows.append(row(case.name, transport, case.count, case.measure(transport)))
    for line in table(rows):
        print(line)
    print(f"\nmeasured against the lab on {time.strftime('%Y-%m-%d', time.gmtime())}: {machine()}")
    print(LEGEND)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
