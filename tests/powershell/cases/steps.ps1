# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Steps, one by one and in a list.

function Get-Guard {
    param ([string]$Name = 'A', [System.Collections.IDictionary]$Expected)

    @{ do = 'guard'; chain = $Name; reference = Get-VmReference -Name $Name; expected = $Expected }
}

function Set-Revert {
    # RevertFailover starts the job J-<name of the VM>.
    $global:StandIn.Methods['Msvm_ReplicationService.RevertFailover'] = {
        param ($target, $arguments)
        $id = 'J-{0}' -f $arguments.ComputerSystem.CimInstanceProperties['Name'].Value
        @{ ReturnValue = [uint32]4096; Job = New-Job -Id $id -State 4 }
    }
}

It 'answers a query with rows' {
    $null = New-Vm -Name A
    $null = New-Vm -Name B
    $answers = Invoke-Bridge -Step @{ do = 'query'; wql = 'SELECT * FROM Msvm_ComputerSystem' }
    Assert-Equal @($answers[0].Keys) @('instances')
    Assert-Equal $answers[0].instances[0].rows.Count 2
}

It 'answers a query that finds nothing with no table' {
    $answers = Invoke-Bridge -Step @{ do = 'query'; wql = 'SELECT * FROM Msvm_ComputerSystem' }
    Assert-Equal $answers @(, @{ instances = @() })
}

It 'gets an instance by its keys' {
    $null = New-Vm -Name A
    $null = New-Vm -Name B
    $answers = Invoke-Bridge -Step @{ do = 'get'; reference = Get-VmReference -Name B }
    Assert-Equal $answers[0].instances[0].rows @(, @('Msvm_ComputerSystem', 'B'))
    Assert-Equal $global:StandIn.Log @('Get Msvm_ComputerSystem')
}

It 'gets an instance that no query shows' {
    (New-Vm -Name A).Listed = $false
    $answers = Invoke-Bridge -Step @{ do = 'get'; reference = Get-VmReference }
    Assert-Equal $answers[0].instances.Count 1
}

It 'says what WMI says of an instance that is not there' {
    $answers = Invoke-Bridge -Step @{ do = 'get'; reference = Get-VmReference }
    Assert-Equal $answers[0].error.status 6
    Assert-Equal $answers[0].error.message_id 'HRESULT 0x80041002'
    Assert-Equal $answers[0].error.sent $false
}

It 'gets the only instance of a class' {
    $null = New-Service
    $answers = Invoke-Bridge -Step @{ do = 'get'; reference = @{ class = 'Msvm_ReplicationService'; keys = @{} } }
    Assert-Equal $answers[0].instances[0].class 'Msvm_ReplicationService'
}

It 'does not choose among several where one is expected' {
    $null = New-Service
    $null = New-Service
    $answers = Invoke-Bridge -Step @{ do = 'get'; reference = @{ class = 'Msvm_ReplicationService'; keys = @{} } }
    Assert-Equal $answers[0].error.exception 'System.InvalidOperationException'
}

It 'does not find the only instance of a class that has none' {
    $answers = Invoke-Bridge -Step @{ do = 'get'; reference = @{ class = 'Msvm_ReplicationService'; keys = @{} } }
    Assert-Equal $answers[0].error.exception 'System.Management.Automation.ItemNotFoundException'
}

$held = [ordered]@{
    'the value' = @{ EnabledState = @(3) }
    'one of the values' = @{ EnabledState = @(32786, 3) }
    'a date' = @{ LastReplicationTime = @('20261008151536.684240+000') }
    'NULL' = @{ Nothing = @($null) }
    'nothing' = @{}
    'all of several' = @{ EnabledState = @(3); ElementName = @('web') }
}
$broken = [ordered]@{
    'another value' = @{ EnabledState = @(2) }
    'a date a microsecond later' = @{ LastReplicationTime = @('20261008151536.684241+000') }
    'a property that is not there' = @{ NotOnThisHost = @($null) }
    'one of several' = @{ EnabledState = @(3); ElementName = @('Web') }
}
$guarded = @{
    EnabledState = [uint16]3
    ElementName = 'web'
    Nothing = $null
    LastReplicationTime = (Get-Utc '2026-10-08T15:15:36.6842400').ToLocalTime()
}
foreach ($name in $held.Keys) {
    It "holds where a guard expects $name" {
        $null = New-Vm -Property $guarded
        $answers = Invoke-Bridge -Step (Get-Guard -Expected $held[$name])
        Assert-Equal $answers[0].held $true
        Assert-Equal $answers[0].instances.Count 1
    }
}
foreach ($name in $broken.Keys) {
    It "does not hold where a guard expects $name, and skips the call" {
        $null = New-Vm -Property $guarded
        $null = New-Service
        Set-Revert
        $answers = Invoke-Bridge -Step (Get-Guard -Expected $broken[$name]), (Get-RevertCall)
        Assert-Equal $answers[0].held $false
        Assert-Equal $answers[1] @{ skipped = $true }
        Assert-Equal $global:StandIn.Log @('Get Msvm_ComputerSystem')
    }
}

It 'skips the call where the object of the guard is gone' {
    $answers = Invoke-Bridge -Step (Get-Guard -Expected @{}), (Get-RevertCall)
    Assert-Equal $answers[0].error.status 6
    Assert-Equal $answers[1] @{ skipped = $true }
}

It 'calls a method of the only instance with the instance that a reference names' {
    $null = New-Vm
    $null = New-Service
    Set-Revert
    $answers = Invoke-Bridge -Step (Get-RevertCall)
    Assert-Equal $answers[0].return_value 4096
    Assert-Equal $answers[0].out.Job @{ class = 'Msvm_ConcreteJob'; keys = @{ InstanceID = 'J-A' } }
    Assert-Equal $answers[0].out.Count 1
    Assert-Equal $answers[0].sent $true
    Assert-Equal $global:StandIn.Log[-1] 'Msvm_ReplicationService.RevertFailover(ComputerSystem=Instance)'
}

It 'reads what a call needs once: the VM was read by the guard, the service by the first call' {
    $null = New-Vm -Name A
    $null = New-Vm -Name B
    $null = New-Service
    Set-Revert
    $steps = (Get-Guard -Name A -Expected @{}), (Get-RevertCall -Name A), (Get-Guard -Name B -Expected @{}), (Get-RevertCall -Name B)
    $null = Invoke-Bridge -Step $steps
    Assert-Equal $global:StandIn.Log @(
        'Get Msvm_ComputerSystem'
        'SELECT * FROM Msvm_ReplicationService'
        'Msvm_ReplicationService.RevertFailover(ComputerSystem=Instance)'
        'Get Msvm_ComputerSystem'
        'Msvm_ReplicationService.RevertFailover(ComputerSystem=Instance)'
    )
}

It 'hands each argument over in the type of the class' {
    $null = New-Vm
    $global:StandIn.Methods['Msvm_ComputerSystem.RequestStateChange'] = { @{ ReturnValue = [uint32]0; Job = $null } }
    $call = @{
        do = 'call'
        chain = 'A'
        target = Get-VmReference
        method = 'RequestStateChange'
        arguments = @{ RequestedState = 3; TimeoutPeriod = '00000000000500.000000:000' }
    }
    $answers = Invoke-Bridge -Step $call
    Assert-Equal $answers[0].out @{ Job = $null }
    Assert-Equal $global:StandIn.Log[-1] 'Msvm_ComputerSystem.RequestStateChange(RequestedState=UInt16, TimeoutPeriod=TimeSpan)'
}

It 'answers texts that a method hands out as an array' {
    $null = New-Job -Id J -State 10
    $global:StandIn.Methods['Msvm_ConcreteJob.GetErrorEx'] = { @{ ReturnValue = [uint32]0; Errors = [string[]]@('<INSTANCE/>') } }
    $call = @{ do = 'call'; chain = 'J'; target = Get-JobReference -Id J; method = 'GetErrorEx'; arguments = @{} }
    $answers = Invoke-Bridge -Step $call
    Assert-Equal $answers[0].out @{ Errors = @('<INSTANCE/>') }
}

foreach ($code in 32768, 32775, 5, 1) {
    It "ends the chain with the return value $code, and no other chain" {
        $null = New-Vm -Name A
        $null = New-Vm -Name B
        $null = New-Service
        $global:StandIn.Methods['Msvm_ReplicationService.RevertFailover'] = { @{ ReturnValue = [uint32]$code; Job = $null } }.GetNewClosure()
        $steps = (Get-RevertCall -Name A), (Get-Guard -Name A -Expected @{}), (Get-Guard -Name B -Expected @{})
        $answers = Invoke-Bridge -Step $steps
        Assert-Equal $answers[0].return_value $code
        Assert-Equal $answers[1] @{ skipped = $true }
        Assert-Equal $answers[2].held $true
    }
}

It 'goes on in the chain after 0 and 4096' {
    foreach ($code in 0, 4096) {
        $null = New-Vm -Name A
        $null = New-Service
        $global:StandIn.Methods['Msvm_ReplicationService.RevertFailover'] = { @{ ReturnValue = [uint32]$code; Job = $null } }.GetNewClosure()
        $answers = Invoke-Bridge -Step (Get-RevertCall -Name A), (Get-Guard -Name A -Expected @{})
        Assert-Equal $answers[1].held $true
        Reset-StandIn
    }
}

It 'does not stop for a failed query, unless asked' {
    $steps = @{ do = 'get'; reference = Get-VmReference }, @{ do = 'query'; wql = 'SELECT * FROM Msvm_ComputerSystem' }
    Assert-Equal (Invoke-Bridge -Step $steps)[1].Contains('instances') $true
    Assert-Equal (Invoke-Bridge -Step $steps -StopOnError)[1] @{ skipped = $true }
}

It 'stops the list where a guard does not hold, if asked' {
    $null = New-Vm -Name A -Property $guarded
    $null = New-Vm -Name B -Property $guarded
    $steps = (Get-Guard -Name A -Expected @{ EnabledState = @(2) }), (Get-Guard -Name B -Expected @{}), (Get-Wait)
    $answers = Invoke-Bridge -Step $steps -StopOnError
    Assert-Equal @($answers | ForEach-Object { $_.Contains('skipped') }) @($false, $true, $true)
}

It 'says that a method may have run once it was called' {
    $null = New-Vm
    $null = New-Service
    $global:StandIn.Methods['Msvm_ReplicationService.RevertFailover'] = { throw (New-StandInError -Status 1 -MessageId 'HRESULT 0x800706be') }
    $answers = Invoke-Bridge -Step (Get-RevertCall), (Get-RevertCall)
    Assert-Equal $answers[0].error.sent $true
    Assert-Equal $answers[0].error.status 1
    Assert-Equal $answers[1] @{ skipped = $true }
}

It 'says that nothing was called where the VM of the argument is gone' {
    $null = New-Service
    Set-Revert
    $answers = Invoke-Bridge -Step (Get-RevertCall)
    Assert-Equal $answers[0].error.status 6
    Assert-Equal $answers[0].error.sent $false
}

It 'does not carry the mark of a call over to the next step' {
    $null = New-Vm
    $null = New-Service
    Set-Revert
    $answers = Invoke-Bridge -Step (Get-RevertCall), @{ do = 'get'; reference = Get-VmReference -Name B }
    Assert-Equal $answers[1].error.sent $false
}

It 'takes a method without a return value for an error after the call' {
    $null = New-Vm
    $null = New-Service
    $global:StandIn.Methods['Msvm_ReplicationService.RevertFailover'] = { @{ Job = $null } }
    $answers = Invoke-Bridge -Step (Get-RevertCall)
    Assert-Equal $answers[0].error.exception 'System.InvalidOperationException'
    Assert-Equal $answers[0].error.sent $true
}
