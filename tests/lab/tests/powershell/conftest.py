# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the lab's PowerShell share: the engine, and a lab with it and its clients."""

from __future__ import annotations

import base64
import json
import time
import typing as t
from dataclasses import dataclass

import pytest
from pypsrp.powershell import RunspacePool
from pypsrp.wsman import WSMan
from replica_lab.lab import Lab, LabHost
from replica_lab.powershell.engine import Engine, NoPowerShell
from winrm.protocol import Protocol

REPLICA = "HV-REPLICA"
V2 = "root/virtualization/v2"
SERVICE = f"(Get-CimInstance -Namespace {V2} -ClassName Msvm_ReplicationService)"
REVERT = (
    f"$vm = Get-CimInstance -Namespace {V2} -ClassName Msvm_ComputerSystem -Filter \"ElementName = 'SQL 01'\"; "
    f"Invoke-CimMethod -InputObject {SERVICE} -MethodName RevertFailover -Arguments @{{ ComputerSystem = $vm }}"
)


@dataclass
class Stage:
    """A running lab with PowerShell, and what a test does with its replica host."""

    lab: Lab

    @property
    def host(self) -> LabHost:
        return self.lab.hosts[REPLICA]

    @property
    def processes(self) -> int:
        powershell = self.host.server.powershell
        assert powershell is not None
        return powershell.processes

    def account(self, user: str) -> tuple[str, str]:
        known = self.lab.world.hosts[REPLICA].user(user)
        assert known is not None
        return known.name, known.password

    def shell(self, user: str = "operator", operation_timeout: int = 20) -> Protocol:
        """A client of the WinRM shell."""
        return Protocol(
            self.host.url,
            "basic",
            *self.account(user),
            operation_timeout_sec=operation_timeout,
            read_timeout_sec=operation_timeout + 10,
        )

    def run(self, script: str, user: str = "operator") -> tuple[str, str, int]:
        """A script in PowerShell in a WinRM shell: its output, its error output and its exit code."""
        client = self.shell(user)
        shell = client.open_shell()
        encoded = base64.b64encode(script.encode("utf-16-le")).decode()
        command = client.run_command(shell, "powershell.exe", ["-NoProfile", "-EncodedCommand", encoded])
        out, err, code = client.get_command_output(shell, command)
        client.cleanup_command(shell, command)
        client.close_shell(shell)
        return out.decode(), err.decode(), code

    def value(self, script: str, user: str = "operator") -> t.Any:
        """What a script returns, as JSON."""
        out, err, code = self.run(f"& {{ {script} }} | ConvertTo-Json -Depth 4 -Compress", user)
        assert (err, code) == ("", 0), (out, err)
        return json.loads(out)

    def error(self, script: str, user: str = "operator") -> dict[str, t.Any]:
        """The terminating error of a script."""
        return t.cast("dict[str, t.Any]", self.value(f"try {{ {script} }} catch {{ {DESCRIBE} }}", user))

    def pool(self, user: str = "operator", **settings: t.Any) -> RunspacePool:
        """A runspace pool of a PSRP client."""
        name, password = self.account(user)
        connection = WSMan(
            "127.0.0.1", port=self.host.port, ssl=False, auth="ntlm", username=name, password=password,
            operation_timeout=settings.pop("operation_timeout", 20),
        )  # fmt: skip
        return RunspacePool(connection, **settings)


DESCRIBE = """
    $e = $_.Exception
    $cim = $e -is [Microsoft.Management.Infrastructure.CimException]
    [ordered]@{
        type = $e.GetType().Name
        message = $e.Message
        id = $_.FullyQualifiedErrorId
        category = [string]$_.CategoryInfo.Category
        native = if ($cim) { [string]$e.NativeErrorCode }
        status = if ($cim) { $e.StatusCode }
        code = if ($cim) { $e.ErrorData.error_Code }
    }
"""


@pytest.fixture(scope="session")
def engine() -> Engine:
    try:
        return Engine.find()
    except NoPowerShell as error:
        pytest.skip(str(error))


@pytest.fixture
def stage(lab: t.Callable[..., Lab], engine: Engine) -> t.Iterator[t.Callable[..., Stage]]:
    """Makes labs with PowerShell; at the end of the test no process may be left in them."""
    made: list[Stage] = []

    def make(scenario: t.Any = "drill", **settings: t.Any) -> Stage:
        made.append(Stage(lab(scenario, powershell=engine, **settings)))
        return made[-1]

    yield make
    deadline = time.monotonic() + 10  # what a fault killed may still be on its way out
    while any(one.processes for one in made) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [one.processes for one in made] == [0] * len(made)
