# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs one file of cases in this process and writes what became of each, as JSON. pytest reads it (test_functions.py).
#
# A case is:   It 'what it shows' { ...; Assert-Equal $actual $expected }
# Each begins with an empty stand-in host. What is called inside "Use { ... }" runs in the module under test, and so
# reaches the functions that it does not export.

param (
    [Parameter(Mandatory)][string]$Cases,
    [Parameter(Mandatory)][string]$Module
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

Import-Module -Name CimCmdlets
$script:UnderTest = Import-Module -Name $Module -PassThru
$script:Outcomes = [ordered]@{}

function It {
    # Names that no case has: a case sees the variables of this function.
    param ([string]$TitleOfCase, [scriptblock]$BodyOfCase)

    Reset-StandIn
    try {
        $null = & $BodyOfCase
        $script:Outcomes[$TitleOfCase] = ''
    }
    catch {
        $script:Outcomes[$TitleOfCase] = "$_`n$($_.ScriptStackTrace)"
    }
}

function Use {
    param ([scriptblock]$Script)

    & $script:UnderTest $Script @args
}

function Assert-Equal {
    param ([object]$Actual, [object]$Expected)

    $texts = foreach ($value in $Actual, $Expected) {
        ConvertTo-Json -InputObject $value -Depth 20 -Compress
    }
    if ($texts[0] -cne $texts[1]) {
        throw "is   $($texts[0])`nnot  $($texts[1])"
    }
}

function Assert-Throw {
    param ([scriptblock]$Script, [string]$Class)

    try {
        $null = & $Script
    }
    catch {
        if ($_.Exception.GetType().Name -ne $Class) {
            throw "threw $($_.Exception.GetType().Name), not $Class`: $_"
        }
        return
    }
    throw "threw no $Class"
}

function Get-Utc {
    param ([string]$Text)

    [datetime]::Parse($Text, [cultureinfo]::InvariantCulture, 'AssumeUniversal, AdjustToUniversal')
}

function New-Vm {
    param ([string]$Name = 'A', [System.Collections.IDictionary]$Property = @{})

    $all = [ordered]@{ CreationClassName = 'Msvm_ComputerSystem'; Name = $Name }
    foreach ($one in $Property.Keys) {
        $all[$one] = $Property[$one]
    }
    New-StandInInstance -ClassName Msvm_ComputerSystem -Key CreationClassName, Name -Property $all
}

function New-Job {
    param ([string]$Id, [int]$State, [switch]$Reference)

    $property = [ordered]@{ InstanceID = $Id; JobState = [uint16]$State }
    New-StandInInstance -ClassName Msvm_ConcreteJob -Key InstanceID -Property $property -Reference:$Reference
}

function New-Service {
    $property = [ordered]@{ CreationClassName = 'Msvm_ReplicationService'; Name = 'replicasvc' }
    New-StandInInstance -ClassName Msvm_ReplicationService -Key CreationClassName, Name -Property $property
}

function Get-VmReference {
    param ([string]$Name = 'A')

    @{ class = 'Msvm_ComputerSystem'; keys = @{ CreationClassName = 'Msvm_ComputerSystem'; Name = $Name } }
}

function Get-JobReference {
    param ([string]$Id)

    @{ class = 'Msvm_ConcreteJob'; keys = @{ InstanceID = $Id } }
}

function Get-RevertCall {
    param ([string]$Name = 'A')

    @{
        do = 'call'
        chain = $Name
        target = @{ class = 'Msvm_ReplicationService'; keys = @{} }
        method = 'RevertFailover'
        arguments = @{ ComputerSystem = Get-VmReference -Name $Name }
    }
}

function Get-Wait {
    param ([object[]]$Jobs = @(), [double]$Seconds = 0, [string]$Others = '')

    @{ do = 'wait'; jobs = $Jobs; seconds = $Seconds; poll_interval = 0; others = $Others }
}

function Invoke-Bridge {
    param ([object[]]$Step, [System.Collections.IDictionary]$Property = @{}, [switch]$StopOnError, [switch]$CheckMode)

    # In a list that nothing unrolls: what is in it is what the module would turn into JSON.
    $answers = @(
        Invoke-CimBridge -Step $Step -Property $Property -StopOnError:$StopOnError -CheckMode:$CheckMode
    )
    , $answers
}

. $Cases
ConvertTo-Json -InputObject $script:Outcomes -Compress
