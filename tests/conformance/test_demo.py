# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `make demo` runs, from its first step to its last, and where somebody interrupts it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import typing as t
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rehearsal.stage import ROOT

MARK = "HYPERV_REPLICA_TEST_MARK"
DEMO = [sys.executable, "tests/demo/demo.py"]
PATIENCE = 60


class Started:
    """A demo whose processes can be told from all others: they inherit a mark in their environment."""

    def __init__(self, directory: Path) -> None:
        self.mark = uuid.uuid4().hex
        self.directory = directory
        self.process = subprocess.Popen(
            DEMO,
            cwd=ROOT,
            env={**os.environ, MARK: self.mark, "TMPDIR": str(directory)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            # Who runs the tests in the background has them ignore Ctrl-C, and a child would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def read_until(self, text: str) -> str:
        """What it says, up to a line that holds the text; all of it where none does."""
        output = ""
        for line in t.cast("t.IO[str]", self.process.stdout):
            output += line
            if text and text in line:
                break
        return output

    def alive(self) -> dict[int, str]:
        """Its processes by their ids, whoever is their parent by now."""
        wanted = f"{MARK}={self.mark}".encode()
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it has just ended, or is not ours
        return found

    def all_gone(self) -> bool:
        """Whether nothing of it is left, after a moment for the system to bury the dead."""
        deadline = time.monotonic() + PATIENCE
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.1)
        return not self.alive()

    def kill(self) -> None:
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="no /proc here, which tells who belongs to a demo"
)


Starter = Callable[[], Started]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts a demo. Whatever is left of it when its time is over is killed, so that no test waits for it for ever."""
    started: list[Started] = []
    watchdog = threading.Timer(3 * PATIENCE, lambda: [demo.kill() for demo in started])

    def begin() -> Started:
        started.append(Started(tmp_path))
        watchdog.start()
        return started[0]

    yield begin
    watchdog.cancel()
    for demo in started:
        demo.kill()


def test_the_demo_comes_to_its_end_and_leaves_nothing(start: Starter, tmp_path: Path) -> None:
    demo = start()
    output = demo.read_until("")
    assert demo.process.wait() == 0, output
    assert "That was the demo." in output
    assert demo.all_gone(), demo.alive()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        pytest.param(signal.SIGINT, "=== 2.", id="Ctrl-C in a play"),
        pytest.param(signal.SIGINT, "discard_guest_writes: true", id="Ctrl-C before check mode"),
        pytest.param(signal.SIGTERM, "=== 4.", id="terminated in the real run"),
    ],
)
def test_an_interrupted_demo_leaves_nothing(
    start: Starter, tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    demo = start()
    before = demo.read_until(moment)
    assert moment in before
    assert len(demo.alive()) > 1
    # As a terminal does: the signal is for the whole process group.
    os.killpg(demo.process.pid, number)
    assert demo.process.wait() == 128 + number
    assert demo.all_gone(), demo.alive()
    assert "That was the demo." not in demo.read_until("")
    assert list(tmp_path.iterdir()) == []
