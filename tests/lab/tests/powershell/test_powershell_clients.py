# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""WinRM shells and runspace pools that run a real PowerShell, as real client libraries see them."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import typing as t
from pathlib import Path

import pytest
from pypsrp.complex_objects import PSInvocationState
from pypsrp.exceptions import WSManFaultError
from pypsrp.host import PSHost, PSHostUserInterface
from pypsrp.powershell import PowerShell
from replica_lab.powershell.engine import Engine, NoPowerShell
from winrm.exceptions import WinRMOperationTimeoutError

from .conftest import REVERT, V2


def encoded(script: str) -> str:
    return base64.b64encode(script.encode("utf-16-le")).decode()


def invoke(pool: t.Any, script: str, given: t.Any = None) -> PowerShell:
    pipeline = PowerShell(pool)
    pipeline.add_script(script)
    pipeline.invoke(given)
    return pipeline


# --- the engine --------------------------------------------------------------------------------------------


def test_a_name_that_is_no_program_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICA_LAB_PWSH", "no-such-program")
    with pytest.raises(NoPowerShell, match="no-such-program"):
        Engine.find()


def test_the_cmdlets_are_compiled_once(engine: Engine, tmp_path: t.Any) -> None:
    for _turn in range(2):
        folder = Engine(engine.path, tmp_path).prepare()
    assert [folder] == list(tmp_path.iterdir())
    assert (folder / "Modules" / "CimCmdlets" / "CimCmdlets.dll").is_file()


# --- WinRM shells ------------------------------------------------------------------------------------------


def test_streams_exit_code_and_surroundings(stage: t.Any) -> None:
    out, err, code = stage().run(
        "'büro 仮想'; $env:COMPUTERNAME; $env:USERNAME; Test-Path $env:TEMP; [Console]::Error.WriteLine('bad'); exit 7"
    )
    assert (out.split("\n")[:4], err, code) == (["büro 仮想", "HV-REPLICA", "operator", "True"], "bad\n", 7)


def test_standard_input_and_output_of_some_size(stage: t.Any) -> None:
    running = stage()
    client = running.shell()
    shell = client.open_shell()
    script = "$n = 0; foreach ($line in $input) { $n += $line.Length }; $n; 'y' * 600000"
    command = client.run_command(shell, "PowerShell", ["-NoProfile", "-EncodedCommand", encoded(script)])
    client.send_command_input(shell, command, "x" * 150000)
    client.send_command_input(shell, command, "\nz\n", end=True)
    out, err, code = client.get_command_output(shell, command)
    assert (out.decode().split(), err, code) == (["150001", "y" * 600000], b"", 0)
    client.close_shell(shell)


def test_other_programs_are_not_there(stage: t.Any) -> None:
    client = stage().shell()
    shell = client.open_shell()
    out, err, code = client.get_command_output(shell, client.run_command(shell, "ipconfig", ["/all"]))
    assert (out, err.splitlines()[0], code) == (
        b"", b"'ipconfig' is not recognized as an internal or external command,", 1,
    )  # fmt: skip
    client.close_shell(shell)


def gone(process: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here to look for processes")
@pytest.mark.parametrize("end", ["cleanup_command", "close_shell", "lab"])
def test_a_command_that_runs_on_is_ended_with_what_it_started(stage: t.Any, tmp_path: Path, end: str) -> None:
    running = stage()
    child = tmp_path / "child"
    script = f"sh -c 'echo $$ > {child}; exec sleep 600'"
    client = running.shell(operation_timeout=1)
    shell = client.open_shell()
    command = client.run_command(shell, "powershell", ["-NoProfile", "-EncodedCommand", encoded(script)])
    while not child.exists() or not child.read_text(encoding="ascii").endswith("\n"):
        with pytest.raises(WinRMOperationTimeoutError):
            client.get_command_output_raw(shell, command)
    assert running.processes == 1
    assert not gone(int(child.read_text(encoding="ascii")))
    if end == "lab":
        running.lab.stop()
    else:
        getattr(client, end)(shell, *([command] if end == "cleanup_command" else []))
    assert running.processes == 0
    assert gone(int(child.read_text(encoding="ascii")))


# --- runspace pools ----------------------------------------------------------------------------------------


def test_pipelines_of_one_pool_share_a_process(stage: t.Any) -> None:
    running = stage()
    with running.pool() as pool:
        first = invoke(pool, "$kept = 5; $PID; Write-Warning 'w'; Write-Error 'e'")
        again = invoke(pool, "$PID; $kept; $env:COMPUTERNAME")
        big = invoke(pool, "$input | ForEach-Object Length; 'y' * 600000", ["x" * 200000, "b"])
        assert running.host.open_shells == 1
    assert again.output == [first.output[0], 5, "HV-REPLICA"]
    assert (len(first.streams.warning), len(first.streams.error)) == (1, 1)
    assert big.output == [200000, 1, "y" * 600000]
    counters = running.host.counters.as_dict()
    assert (counters["powershell"], counters["pipelines"], counters["plain"]) == (1, 3, 0)
    assert running.host.open_shells == 0


def test_a_pipeline_can_be_stopped_and_waited_for(stage: t.Any) -> None:
    with stage().pool(operation_timeout=1) as pool:
        slow = PowerShell(pool)
        slow.add_script("Start-Sleep 600")
        slow.begin_invoke()
        slow.poll_invoke()  # nothing yet: the fault of a timeout, which the client takes for an empty answer
        assert slow.state == PSInvocationState.RUNNING
        slow.stop()
        assert invoke(pool, "Start-Sleep 2; 'on'").output == ["on"]


def test_a_script_can_ask_its_client(stage: t.Any) -> None:
    class Clerk(PSHostUserInterface):
        def ReadLine(self, runspace: t.Any = None, pipeline: t.Any = None) -> str:
            return "yes, 仮想"

    host = PSHost(None, None, False, "test", None, Clerk(), None)
    with stage().pool(host=host) as pool:
        assert invoke(pool, "$Host.UI.ReadLine()").output == ["yes, 仮想"]


def test_a_pool_is_its_users_own_and_of_the_default_configuration(stage: t.Any) -> None:
    running = stage()
    with running.pool() as pool:
        other = running.pool("auditor")
        other.id = pool.id
        other.shell.id = pool.shell.id
        other.shell._selector_set = pool.shell._selector_set
        with pytest.raises(WSManFaultError) as foreign:
            other.shell.receive("stdout")
    with pytest.raises(WSManFaultError) as configuration:
        running.pool(configuration_name="Contoso.Restricted").open()
    assert (foreign.value.code, configuration.value.code) == (0x8033805B, 0x8033803B)


def test_a_pool_whose_process_died_says_so(stage: t.Any) -> None:
    running = stage()
    pool = running.pool()
    pool.open()
    (process,) = invoke(pool, "$PID").output
    os.kill(process, signal.SIGKILL)
    with pytest.raises(WSManFaultError) as died:
        invoke(pool, "1")
    assert died.value.code == 995
    assert (running.processes, running.host.open_shells) == (0, 0)


def test_a_lab_that_stops_takes_its_pools_along(stage: t.Any) -> None:
    running = stage()
    pool = running.pool()
    pool.open()
    (process,) = invoke(pool, "$PID").output
    running.lab.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


# --- a client on this machine ------------------------------------------------------------------------------


def local(running: t.Any, script: str) -> subprocess.CompletedProcess[str]:
    inventory = running.lab.inventory("local")["all"]["children"]["hyperv"]["hosts"]["HV-REPLICA"]
    words = [inventory["ansible_pwsh_interpreter"], "-NoProfile", "-Command", script]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)


def test_a_program_on_this_machine_is_on_the_host_and_counted(stage: t.Any) -> None:
    running = stage()
    script = f"$env:COMPUTERNAME; (Get-CimInstance -Namespace {V2} -ClassName Msvm_ReplicationService).Name; exit 7"
    done = local(running, script)
    assert (done.stdout.split(), done.stderr, done.returncode) == (["HV-REPLICA", "replicasvc"], "", 7)
    assert running.host.counters.powershell == 1


def test_faults_befall_a_program_on_this_machine(stage: t.Any) -> None:
    running = stage()
    running.lab.fault(do="no_powershell", operation="PowerShell", times=1)
    assert local(running, "1").returncode == 127
    running.lab.fault(do="drop_before", operation="PowerShell", times=1)
    assert local(running, "1").returncode == -signal.SIGKILL
    running.lab.fault(do="drop_after", method="RevertFailover", times=1)
    assert local(running, REVERT).returncode == -signal.SIGKILL
    assert [call["method"] for call in running.lab.calls] == ["RevertFailover"]
