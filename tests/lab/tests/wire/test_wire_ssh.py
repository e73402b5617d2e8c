# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenSSH's own client as a client of the lab."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import subprocess
import threading
import typing as t

import pytest
from replica_lab.lab import Lab, LabError
from replica_lab.wire.shell import Dropped, ShellCommand, ShellResult

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh on PATH")

WORLD = {
    "users": {"operator": {"password": "replica-lab", "rights": "full"}},
    "hosts": {"HV-A": {"vms": []}},
}


class Told:
    """A runner that remembers what it was told, and does what its command says."""

    def __init__(self) -> None:
        self.commands: list[ShellCommand] = []
        self.waits = threading.Event()
        self.cancelled = threading.Event()

    async def __call__(self, command: ShellCommand) -> ShellResult:
        self.commands.append(command)
        if command.command == "drop":
            raise Dropped
        if command.command == "wait":
            self.waits.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return ShellResult(command.stdin.upper(), b"aside\n", 7)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def lab(told: Told) -> t.Iterator[Lab]:
    with Lab(WORLD, ssh=True, runner=told) as running:
        yield running
        assert running.hosts["HV-A"].errors == []


def command_line(lab: Lab, *command: str, user: str = "operator", key: str = "") -> list[str]:
    shared = lab.inventory("ssh")["all"]["children"]["hyperv"]["vars"]
    key = key or shared["ansible_ssh_private_key_file"]
    port = str(lab.hosts["HV-A"].ssh_port)
    settings = shlex.split(shared["ansible_ssh_args"])
    return ["ssh", *settings, "-o", "BatchMode=yes", "-i", key, "-p", port, f"{user}@127.0.0.1", *command]


def ssh(lab: Lab, *command: str, **others: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command_line(lab, *command, **others), input=b"some input", capture_output=True, check=False, timeout=60
    )


def test_a_command_gets_its_input_and_gives_both_streams_and_its_exit_code(lab: Lab, told: Told) -> None:
    done = ssh(lab, "echo", "it", user="Operator")
    assert (done.stdout, done.stderr, done.returncode) == (b"SOME INPUT", b"aside\n", 7)
    (got,) = told.commands
    assert (got.host, got.user, got.command, got.stdin) == ("HV-A", "Operator", "echo it", b"some input")


def test_nobody_comes_in_without_the_key_or_under_another_name(lab: Lab, told: Told, tmp_path: t.Any) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    for refused in (ssh(lab, "echo", key=str(other)), ssh(lab, "echo", user="stranger")):
        assert refused.returncode == 255
        assert b"Permission denied" in refused.stderr
    assert told.commands == []


def test_a_run_that_is_lost_ends_the_connection(lab: Lab) -> None:
    assert ssh(lab, "drop").returncode == 255


def test_a_host_that_refuses_connections_refuses_these_too_until_it_is_back(lab: Lab) -> None:
    lab.fault(do="refuse_port")
    gone = ssh(lab, "echo")
    lab.fault(do="start_port")
    assert (gone.returncode, ssh(lab, "echo").returncode) == (255, 7)
    assert b"Connection refused" in gone.stderr


def test_what_runs_ends_with_its_client(lab: Lab, told: Told) -> None:
    with subprocess.Popen(command_line(lab, "wait"), stdin=subprocess.DEVNULL) as client:
        assert told.waits.wait(60)
        client.kill()
    assert told.cancelled.wait(60)


def test_a_lab_without_ssh_has_no_inventory_for_it() -> None:
    with Lab(WORLD) as plain, pytest.raises(LabError, match="without SSH"):
        plain.inventory("ssh")
