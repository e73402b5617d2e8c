# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pair made, prepared and turned round with Invoke-CimMethod: texts in texts, arrays, datetimes, references."""

from __future__ import annotations

import typing as t
from datetime import timedelta

from replica_lab.clock import Clock
from replica_lab.scenario import load
from replica_lab.world import embedded

from .conftest import SERVICE, V2

PRIMARY, REPLICA = "HV-PRIMARY", "HV-REPLICA"
WILD = 'Ærø & <仮想> "two" ]]>'
STRICT = "Set-StrictMode -Version Latest; $ErrorActionPreference = 'Stop';"
VM = f"(Get-CimInstance -Namespace {V2} -ClassName Msvm_ComputerSystem -Filter \"ElementName = 'vm'\")"
CALL = f"""
    $service = {SERVICE}
    function call([string] $method, [hashtable] $arguments) {{
        $arguments['ComputerSystem'] = {VM}
        Invoke-CimMethod -InputObject $service -MethodName $method -Arguments $arguments
    }}
"""


def text_of(name: str, **properties: t.Any) -> str:
    """An embedded instance, as a PowerShell literal."""
    return "'" + embedded.write(name, properties).replace("'", "''") + "'"


def host_of(mode: str, **more: t.Any) -> dict[str, t.Any]:
    return {"switches": ["LAN"], "vms": [{"name": "vm", "mode": mode, "nics": [{"name": "A"}, {"name": "B"}], **more}]}


def test_texts_and_a_start_time_reach_the_methods(stage: t.Any) -> None:
    world = load({"hosts": {REPLICA: host_of("none"), PRIMARY: {}}}, clock=Clock(0))
    running = stage(world)
    text = text_of("Msvm_ReplicationSettingData", RecoveryConnectionPoint=PRIMARY, AdditionalSettings=WILD)
    made = running.value(
        f"""{STRICT} {CALL}
        [int](call 'CreateReplicationRelationship' @{{ ReplicationSettingData = {text} }}).ReturnValue"""
    )
    world.advance(20)
    assert made == 4096
    (there,) = world.hosts[PRIMARY].vms
    assert there.relationships[0].settings["AdditionalSettings"] == WILD
    when = world.time + timedelta(hours=1)
    begun = running.value(
        f"""{STRICT} {CALL}
        $time = [datetime]::Parse('{when.isoformat()}').ToUniversalTime()
        $begin = @{{ InitialReplicationType = [uint16]1; InitialReplicationExportLocation = $null; StartTime = $time }}
        [int](call 'StartReplication' $begin).ReturnValue"""
    )
    world.advance(20)
    assert (begun, there.state) == (4096, 2)
    world.advance(3500)
    assert there.state == 2
    world.advance(120)
    assert there.state == 3


def test_arrays_references_and_the_results_of_statistics(stage: t.Any) -> None:
    world = load({"hosts": {REPLICA: host_of("replica"), PRIMARY: host_of("primary")}}, clock=Clock(0))
    world.act(PRIMARY, "vm", "prepare", seconds=0)
    running = stage(world)
    vm = world.find_vm(world.hosts[REPLICA], "vm")
    relationship = text_of("Msvm_ReplicationRelationship", InstanceID=rf"Microsoft:{vm.id}\HVR\0")
    back = text_of("Msvm_ReplicationSettingData", RecoveryConnectionPoint=PRIMARY)
    array = '<PROPERTY.ARRAY NAME="{}" TYPE="string"><VALUE.ARRAY><VALUE>{}</VALUE></VALUE.ARRAY></PROPERTY.ARRAY>'
    arrays = array.format("IPAddresses", "192.0.2.9") + array.format("Subnets", "24")
    found = running.value(
        f"""{STRICT} {CALL}
        $class = 'Msvm_FailoverNetworkAdapterSettingData'
        $texts = foreach ($each in Get-CimInstance -Namespace {V2} -ClassName $class) {{
            "<INSTANCE CLASSNAME='$class'><PROPERTY NAME='InstanceID' TYPE='string'>" +
            "<VALUE>$($each.InstanceID)</VALUE></PROPERTY>" +
            "<PROPERTY NAME='DHCPEnabled' TYPE='boolean'><VALUE>FALSE</VALUE></PROPERTY>" +
            '{arrays}' + '</INSTANCE>'
        }}
        $points = Get-CimInstance -Namespace {V2} -ClassName Msvm_VirtualSystemSettingData
        $planned = @($points | Where-Object VirtualSystemType -like '*PlannedFailover')[0]
        $statistics = call 'GetReplicationStatisticsEx' @{{ ReplicationRelationship = {relationship} }}
        $set = call 'SetFailoverNetworkAdapterSettings' @{{ NetworkSettings = [string[]]$texts }}
        Invoke-CimMethod -InputObject (Get-CimInstance -InputObject $set.Job) -MethodName GetError | Out-Null
        [ordered]@{{
            set = [int]$set.ReturnValue
            statistics = [int]$statistics.ReturnValue
            type = $statistics.ReplicationStatistics.GetType().Name
            numbers = $statistics.ReplicationStatistics[0]
            job = $null -eq $statistics.Job
            point = $planned.InstanceID
        }}"""
    )
    assert (found["set"], found["statistics"], found["type"], found["job"]) == (4096, 0, "String[]", True)
    assert embedded.read(found["numbers"], "Msvm_ReplicationStatistics")["ElementName"] == "vm"
    world.advance(20)
    assert [nic.failover["IPAddresses"] for nic in vm.nics] == [["192.0.2.9"]] * 2
    failed_over = running.value(
        f"""{STRICT} {CALL}
        $points = Get-CimInstance -Namespace {V2} -ClassName Msvm_VirtualSystemSettingData
        $planned = @($points | Where-Object VirtualSystemType -like '*PlannedFailover')[0]
        [int](call 'InitiateFailover' @{{ SnapshotSettingData = $planned }}).ReturnValue"""
    )
    world.advance(20)
    assert (failed_over, vm.state, f"Microsoft:{vm.failed_over_point}") == (4096, 5, found["point"])
    turned_round = running.value(
        f"""{STRICT} {CALL}
        [int](call 'ReverseReplicationRelationship' @{{ ReplicationSettingData = {back} }}).ReturnValue"""
    )
    world.advance(20)
    assert turned_round == 4096
    assert [(end.mode, end.state) for end in (vm, world.find_vm(world.hosts[PRIMARY], "vm"))] == [(1, 3), (2, 3)]
