# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CIM cmdlets in a real PowerShell: their objects, their errors, and whom they act for.

Starting PowerShell takes half a second, so each test asks for many things at once.
"""

from __future__ import annotations

import typing as t

import pytest

from .conftest import REVERT, V2

STRICT = "Set-StrictMode -Version Latest; $ErrorActionPreference = 'Stop';"
SYSTEMS = f"Get-CimInstance -Namespace {V2} -ClassName Msvm_ComputerSystem"
SQL = f"{SYSTEMS} -Filter \"ElementName = 'SQL 01'\""


def test_instances_are_cim_instances_with_typed_values(stage: t.Any) -> None:
    running = stage()
    found = running.value(
        f"""{STRICT}
        $vm = {SQL}
        $crm = {SYSTEMS} | Where-Object ElementName -eq 'CRM'
        $job = Get-CimAssociatedInstance -InputObject $crm -Association Msvm_AffectedJobElement
        $link = @(Get-CimInstance -Namespace {V2} -Query 'SELECT * FROM Msvm_AffectedJobElement')[0]
        $readonly = try {{ $vm.ReplicationState = 3; $false }} catch {{ $true }}
        $missing = try {{ $vm.Nothing; $false }} catch {{ $true }}
        [ordered]@{{
            type = $vm.GetType().FullName
            names = $vm.PSTypeNames
            text = "$vm"
            class = $vm.CimSystemProperties.ClassName
            space = $vm.CimSystemProperties.Namespace
            server = $vm.CimSystemProperties.ServerName
            state = $vm.ReplicationState.GetType().Name
            status = $vm.OperationalStatus.GetType().Name
            number = $vm.OnTimeInMilliseconds.GetType().Name
            null = $null -eq $vm.Dedicated
            time = $vm.LastReplicationTime.GetType().Name + ' ' + $vm.LastReplicationTime.Kind
            interval = $job.ElapsedTime.GetType().Name
            key = [string]$vm.CimInstanceProperties['name'].Flags
            cimtype = [string]$vm.CimInstanceProperties['ReplicationState'].CimType
            reference = $link.AffectedElement.GetType().Name
            followed = (Get-CimInstance -InputObject $link.AffectedElement).Name -eq $link.AffectedElement.Name
            unicode = @({SYSTEMS} | Where-Object ElementName -like '*büro*').Count
            readonly = $readonly
            missing = $missing
        }}"""
    )
    vm_id = next(vm.id for vm in running.lab.world.hosts["HV-REPLICA"].vms if vm.name == "SQL 01")
    assert found == {
        "type": "Microsoft.Management.Infrastructure.CimInstance",
        "names": [
            f"Microsoft.Management.Infrastructure.CimInstance#{V2}/Msvm_ComputerSystem",
            "Microsoft.Management.Infrastructure.CimInstance#Msvm_ComputerSystem",
            "Microsoft.Management.Infrastructure.CimInstance",
            "System.Object",
        ],
        "text": f'Msvm_ComputerSystem: CreationClassName = "Msvm_ComputerSystem", Name = "{vm_id}" (Virtual Machine)',
        "class": "Msvm_ComputerSystem",
        "space": V2,
        "server": "HV-REPLICA",
        "state": "UInt16",
        "status": "UInt16[]",
        "number": "UInt64",
        "null": True,
        "time": "DateTime Local",
        "interval": "TimeSpan",
        "key": "Property, Key, ReadOnly, NotModified",
        "cimtype": "UInt16",
        "reference": "CimInstance",
        "followed": True,
        "unicode": 1,
        "readonly": True,
        "missing": True,
    }


def test_a_method_call_and_its_job(stage: t.Any) -> None:
    running = stage()
    found = running.value(
        f"""{STRICT}
        $service = Get-CimInstance -Namespace {V2} -ClassName Msvm_ReplicationService
        $vm = {SQL}
        $result = $service | Invoke-CimMethod -MethodName RevertFailover -Arguments @{{ComputerSystem = $vm}}
        $job = Get-CimInstance -InputObject $result.Job
        $made = New-CimInstance -ClientOnly -Namespace {V2} -ClassName Msvm_ConcreteJob -Key InstanceID `
            -Property @{{InstanceID = $result.Job.InstanceID}}
        $other = Invoke-CimMethod -InputObject ({SYSTEMS} | Where-Object ElementName -eq 'DC 03') `
            -MethodName RequestStateChange -Arguments @{{RequestedState = 3; TimeoutPeriod = $null}}
        [ordered]@{{
            types = $result.PSTypeNames[0]
            code = $result.ReturnValue
            codetype = $result.ReturnValue.GetType().Name
            jobtype = $job.JobType
            same = (Get-CimInstance $made).InstanceID -eq $job.InstanceID
            null = $null -eq $other.Job -or $other.Job.InstanceID -ne $job.InstanceID
        }}"""
    )
    assert found == {
        "types": "Microsoft.Management.Infrastructure.CimMethodResult#Msvm_ReplicationService#RevertFailover",
        "code": 4096,
        "codetype": "UInt32",
        "jobtype": 98,
        "same": True,
        "null": True,
    }
    assert [call["method"] for call in running.lab.calls] == ["RevertFailover", "RequestStateChange"]
    counters = running.host.counters.as_dict()
    assert counters["methods"] == {
        "Msvm_ReplicationService.RevertFailover": 1,
        "Msvm_ComputerSystem.RequestStateChange": 1,
    }
    assert counters["queries"] == [
        "SELECT * FROM Msvm_ReplicationService",
        "SELECT * FROM Msvm_ComputerSystem WHERE ElementName = 'SQL 01'",
        "SELECT * FROM Msvm_ComputerSystem",
    ]
    assert (counters["cmdlets"], counters["powershell"]) == ({"Enumerate": 3, "Get": 2, "Invoke": 2}, 1)


def test_what_if_calls_nothing(stage: t.Any) -> None:
    running = stage()
    out, err, code = running.run(REVERT + " -WhatIf")
    assert ("RevertFailover" in out, err, code) == (True, "", 0)
    assert list(running.lab.calls) == []


@pytest.mark.parametrize(
    ("user", "script", "native", "code", "category"),
    [
        ("operator", "Get-CimInstance -ClassName Msvm_ComputerSystem", "InvalidClass", 0x80041010, "MetadataError"),
        ("stranger", SYSTEMS, "AccessDenied", 0x80041003, "PermissionDenied"),
    ],
)
def test_an_error_has_the_shape_of_the_real_ones(
    stage: t.Any, user: str, script: str, native: str, code: int, category: str
) -> None:
    error = stage().error(f"{STRICT} {script}", user)
    assert error.pop("message")
    assert error == {
        "type": "CimException",
        "id": f"HRESULT 0x{code:08x},Microsoft.Management.Infrastructure.CimCmdlets.GetCimInstanceCommand",
        "category": category,
        "native": native,
        "status": {"InvalidClass": 5, "AccessDenied": 2}[native],
        "code": code,
    }


def test_what_is_refused_on_the_way(stage: t.Any) -> None:
    running = stage()
    kinds = running.value(
        f"""{STRICT}
        $service = Get-CimInstance -Namespace {V2} -ClassName Msvm_ReplicationService
        $vm = {SQL}
        $made = New-CimInstance -ClientOnly -Namespace {V2} -ClassName Msvm_ReplicationService -Key Name `
            -Property @{{Name = 'x'}}
        $tries = [ordered]@{{
            text = {{ Invoke-CimMethod $service @{{ComputerSystem = $vm.Name}} RevertFailover }}
            boxed = {{ Invoke-CimMethod $service @{{ComputerSystem = [ref]$vm}} RevertFailover }}
            argument = {{ Invoke-CimMethod $service @{{System = $vm}} RevertFailover }}
            range = {{ Invoke-CimMethod $vm @{{RequestedState = 70000}} RequestStateChange }}
            classless = {{ Invoke-CimMethod $made @{{ComputerSystem = $vm}} RevertFailover }}
            create = {{ New-CimInstance -Namespace {V2} -ClassName Msvm_ComputerSystem -Property @{{Name = 'x'}} }}
            instance = {{ Get-CimInstance -InputObject 'x' }}
        }}
        $kinds = [ordered]@{{}}
        foreach ($name in $tries.Keys) {{
            $kinds[$name] = try {{ & $tries[$name]; 'accepted' }} catch {{ $_.Exception.GetType().Name }}
        }}
        $ErrorActionPreference = 'Continue'
        Get-CimInstance -ClassName Msvm_ComputerSystem -ErrorAction SilentlyContinue -ErrorVariable silent
        $kinds.silent = $silent[0].Exception.GetType().Name
        $kinds"""
    )
    assert kinds == {
        "text": "InvalidCastException",
        "boxed": "InvalidCastException",
        "argument": "ArgumentException",
        "range": "OverflowException",
        "classless": "NullReferenceException",
        "create": "CimException",
        "instance": "ParameterBindingException",
        "silent": "CimException",
    }
    assert list(running.lab.calls) == []
    assert running.host.counters.as_dict()["methods"] == {}


def test_a_token_is_worthless_after_its_process(stage: t.Any) -> None:
    running = stage()
    out, _err, _code = running.run("$env:REPLICA_LAB_CIM; $env:REPLICA_LAB_TOKEN")
    address, token = out.split()
    error = running.error(f"$env:REPLICA_LAB_CIM = '{address}'; $env:REPLICA_LAB_TOKEN = '{token}'; {STRICT} {SYSTEMS}")
    assert (error["native"], error["code"]) == ("Failed", 0x800706BA)


def test_another_world_behind_the_same_cmdlets(stage: t.Any) -> None:
    running = stage()
    names = running.value(f"({SYSTEMS}).ElementName")
    running.lab.world.act("HV-REPLICA", "Jump Box", "disappear")
    assert set(names) - set(running.value(f"({SYSTEMS}).ElementName")) == {"Jump Box"}
    running.lab.reset()
    assert running.value(f"({SYSTEMS}).ElementName") == names
