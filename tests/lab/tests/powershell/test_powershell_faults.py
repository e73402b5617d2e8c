# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults that befall PowerShell: told as for the wire, so that one story serves both transports."""

from __future__ import annotations

import typing as t

import pytest
import requests
from pypsrp.exceptions import WSManFaultError
from pypsrp.powershell import PowerShell
from replica_lab.faults import FaultError
from replica_lab.wire import spoil

from .conftest import REVERT, SERVICE

METHOD = {"method": "RevertFailover", "vm": "SQL 01"}


def calls(running: t.Any) -> list[str]:
    return [call["method"] for call in running.lab.calls]


@pytest.mark.parametrize(
    ("do", "reached"), [("drop_before", []), ("drop_after", ["RevertFailover"]), ("drop_midway", ["RevertFailover"])]
)
def test_a_lost_answer_is_a_lost_connection(stage: t.Any, do: str, reached: list[str]) -> None:
    running = stage()
    running.lab.fault(do=do, times=1, **METHOD)
    with pytest.raises(requests.exceptions.ConnectionError):
        running.run(f"'before'; {REVERT}; 'after'")
    assert calls(running) == reached
    counters = running.host.counters.as_dict()
    assert (counters["faults"], counters["methods"]) == (1, {"Msvm_ReplicationService.RevertFailover": 1})


@pytest.mark.parametrize(("do", "reached"), [("drop_before", []), ("drop_after", ["RevertFailover"])])
def test_a_lost_answer_over_psrp(stage: t.Any, do: str, reached: list[str]) -> None:
    running = stage()
    running.lab.fault(do=do, times=1, **METHOD)
    pool = running.pool()
    pool.open()
    pipeline = PowerShell(pool)
    pipeline.add_script(REVERT)
    with pytest.raises((requests.exceptions.ConnectionError, WSManFaultError)):
        pipeline.invoke()
    assert calls(running) == reached


@pytest.mark.parametrize(
    ("fault", "native", "code"),
    [
        ({"do": "fault", "code": 0x80041013, "text": "provider"}, "Failed", 0x80041013),
        ({"do": "quota"}, "ServerLimitsExceeded", 0x803381A6),
        ({"do": "timed_out"}, "Failed", 0x80338029),
    ],
)
def test_a_fault_is_a_cim_error(stage: t.Any, fault: dict[str, t.Any], native: str, code: int) -> None:
    running = stage()
    running.lab.fault({**fault, **METHOD, "times": 1})
    error = running.error(f"$ErrorActionPreference = 'Stop'; {REVERT}")
    assert (error["native"], error["code"]) == (native, code)
    assert calls(running) == (["RevertFailover"] if fault["do"] == "timed_out" else [])


@pytest.mark.parametrize(("do", "lost"), [("missing_return_value", "ReturnValue"), ("missing_job", "Job")])
def test_a_result_without_a_part(stage: t.Any, do: str, lost: str) -> None:
    running = stage()
    running.lab.fault(do=do, times=1, **METHOD)
    names = running.value(f"$({REVERT}).psobject.Properties.Name")
    assert {"ReturnValue", "Job"} - set(names) == {lost}


def test_an_instance_twice(stage: t.Any) -> None:
    running = stage()
    running.lab.fault(do="duplicate", times=1, operation="Enumerate", **{"class": "Msvm_ReplicationService"})
    assert running.value("@(Get-CimInstance -Namespace root/virtualization/v2 Msvm_ReplicationService).Count") == 2


def test_output_that_is_half_or_garbage(stage: t.Any) -> None:
    running = stage()
    running.lab.fault(do="truncate", times=1, operation="PowerShell")
    assert running.run("'x' * 99") == ("x" * 50, "", 0)
    running.lab.fault(do="truncate", times=1, **METHOD)
    assert running.run(f"$null = {{ {REVERT} }}.Invoke(); 'x' * 99") == ("x" * 50, "", 0)
    running.lab.fault(do="garbage", times=1, operation="PowerShell")
    client = running.shell()
    shell = client.open_shell()
    out, _err, _code = client.get_command_output(shell, client.run_command(shell, "powershell -Command 1"))
    assert out == spoil.GARBAGE
    client.close_shell(shell)


def test_what_a_pipeline_writes_is_half_or_garbage(stage: t.Any) -> None:
    running = stage()
    with running.pool() as pool:

        def written(script: str) -> list[t.Any]:
            return list(PowerShell(pool).add_script(script).invoke())

        running.lab.fault(do="truncate", times=1, operation="PowerShell")
        assert written("'x' * 99; 'y' * 4; 5") == ["x" * 49, "yy", 5]
        running.lab.fault(do="truncate", times=1, **METHOD)
        assert written(f"$null = {{ {REVERT} }}.Invoke(); 'x' * 40000") == ["x" * 20000]
        running.lab.fault(do="garbage", times=1, operation="PowerShell")
        assert written("'x'") == [spoil.GARBAGE.decode("utf-8", "replace")]
        assert written("'x'") == ["x"]


def test_a_slow_and_a_hanging_call(stage: t.Any) -> None:
    running = stage()
    running.lab.fault(do="delay", times=1, seconds=2, **METHOD)
    error = running.error(f"$ErrorActionPreference = 'Stop'; {REVERT} -OperationTimeoutSec 1")
    assert (error["code"], calls(running)) == (0x80041069, ["RevertFailover"])
    running.lab.fault(do="hang", times=1, operation="Get")
    error = running.error(
        f"$ErrorActionPreference = 'Stop'; Get-CimInstance -InputObject {SERVICE} -OperationTimeoutSec 1"
    )
    assert error["code"] == 0x80041069
    running.lab.clear_faults()


def test_the_host_goes_away_in_the_middle(stage: t.Any) -> None:
    running = stage()
    running.lab.fault(do="refuse_port", times=1, **METHOD)
    with pytest.raises(OSError):
        running.run(REVERT)
    assert (calls(running), running.host.server.listening) == ([], False)


@pytest.mark.parametrize(("do", "ran"), [("drop_before", 0), ("drop_after", 1)])
def test_a_process_lost_as_a_whole(stage: t.Any, do: str, ran: int) -> None:
    running = stage()
    running.lab.fault(do=do, times=1, operation="PowerShell")
    assert running.run(REVERT) == ("", "", 1)
    assert (len(calls(running)), running.host.counters.as_dict()["powershell"]) == (ran, ran)


def test_no_powershell_on_the_host(stage: t.Any) -> None:
    running = stage()
    running.lab.fault(do="no_powershell", operation="PowerShell", times=2)
    out, err, code = running.run("1")
    assert (out, "'powershell' is not recognized" in err, code) == ("", True, 1)
    with pytest.raises(WSManFaultError):
        running.pool().open()
    assert running.run("1") == ("1\n", "", 0)


def test_a_pipeline_lost_as_a_whole(stage: t.Any) -> None:
    running = stage()
    running.lab.fault(do="drop_before", times=1, operation="PowerShell")
    pool = running.pool()
    pool.open()
    pipeline = PowerShell(pool)
    pipeline.add_script("1")
    with pytest.raises(WSManFaultError):
        pipeline.invoke()
    assert running.processes == 0


def test_what_cannot_happen_to_a_cmdlet_waits(stage: t.Any) -> None:
    running = stage()
    running.lab.fault(do="html", times=1, operation="Invoke")
    assert running.value(f"$({REVERT}).ReturnValue") == 4096
    assert running.lab.faults.as_list()[0]["left"] == 1


def test_a_fault_without_sense_is_refused(stage: t.Any) -> None:
    with pytest.raises(FaultError):
        stage().lab.fault(do="no_powershell", effect=True)
