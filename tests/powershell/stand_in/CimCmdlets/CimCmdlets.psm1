# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# A stand-in for the module CimCmdlets: the cmdlets and parameters that the bridge uses, over instances in memory.
#
# A test makes the instances with New-StandInInstance, says in Methods what a method does, and reads in Log what was
# asked. What the real cmdlets refuse on the client is refused here as well.

Set-StrictMode -Version Latest

if (-not ('StandIn.Instance' -as [type])) {
    Add-Type -Path (Join-Path $PSScriptRoot 'StandIn.cs') -ReferencedAssemblies @(
        [Microsoft.Management.Infrastructure.CimFlags].Assembly.Location
        'System.Collections'
        'System.Runtime'
        'netstandard'
    )
}

$script:Namespace = 'root\virtualization\v2'

function Reset-StandIn {
    <# .SYNOPSIS An empty host. #>
    $global:StandIn = @{
        Instances = [System.Collections.ArrayList]::new()
        Methods = @{}
        BeforeRequest = { }
        Log = [System.Collections.ArrayList]::new()
    }
}

function New-StandInInstance {
    <# .SYNOPSIS An instance on the host; those of its properties that Key names are its keys. #>
    param ([string]$ClassName, [string[]]$Key, [System.Collections.IDictionary]$Property, [switch]$Reference)

    $instance = [StandIn.Instance]::new()
    $instance.CimSystemProperties.ClassName = $ClassName
    $instance.CimSystemProperties.Namespace = $script:Namespace
    foreach ($name in $Property.Keys) {
        $instance.CimInstanceProperties.Set($name, $Property[$name], $Key -contains $name)
    }
    if (-not $Reference) {
        $null = $global:StandIn.Instances.Add($instance)
    }
    $instance
}

function New-StandInError {
    <# .SYNOPSIS What the cmdlets raise: a CIM status, and the HRESULT behind it. #>
    param ([int]$Status, [string]$MessageId, [string]$Message = 'Zugriff verweigert', [object]$Code)

    $data = $null
    if ($null -ne $Code) {
        $data = New-StandInInstance -Reference -ClassName MSFT_WmiError -Property @{ error_Code = [uint32]$Code }
    }
    [StandIn.Error]::new($Status, $MessageId, $Message, $data)
}

function Find-Instance {
    param ([string]$Query)

    if ($Query -notmatch '^SELECT \* FROM (\w+)(?: WHERE (.*))?$') {
        throw (New-StandInError -Status 15 -MessageId 'HRESULT 0x80041017' -Message 'Invalid query')
    }
    $className, $condition = $Matches[1], $Matches[2]
    # A condition fits an instance when one of its texts in quotes is one of the instance's values. That will do here.
    $texts = @([regex]::Matches($condition, '"((?:\\.|[^"\\])*)"') | ForEach-Object { $_.Groups[1].Value -replace '\\(.)', '$1' })
    foreach ($instance in @($global:StandIn.Instances)) {
        $fits = -not $condition -or $instance.Always
        foreach ($property in $instance.CimInstanceProperties) {
            $fits = $fits -or ($property.Value -is [string] -and $texts -contains $property.Value)
        }
        if ($fits -and $instance.Listed -and $instance.CimSystemProperties.ClassName -eq $className) {
            $instance
        }
    }
}

function Find-InstanceByKey {
    param ([object]$Key)

    foreach ($instance in @($global:StandIn.Instances)) {
        $fits = $instance.CimSystemProperties.ClassName -eq $Key.CimSystemProperties.ClassName
        foreach ($property in $Key.CimInstanceProperties) {
            $own = $instance.CimInstanceProperties[$property.Name]
            $fits = $fits -and $null -ne $own -and $own.Value -eq $property.Value
        }
        if ($fits) {
            return $instance
        }
    }
    throw (New-StandInError -Status 6 -MessageId 'HRESULT 0x80041002' -Message 'Nicht gefunden')
}

function Assert-Namespace {
    param ([string]$Namespace)

    if ($Namespace -ne $script:Namespace) {
        throw (New-StandInError -Status 3 -MessageId 'HRESULT 0x8004100e' -Message "No namespace $Namespace")
    }
}

function Get-CimInstance {
    [CmdletBinding()]
    param (
        [Parameter(Mandatory, ParameterSetName = 'QueryComputerSet')]
        [string]$Query,

        [Parameter(ParameterSetName = 'QueryComputerSet')]
        [string]$Namespace = 'root/cimv2',

        [Parameter(Mandatory, ParameterSetName = 'CimInstanceComputerSet')]
        [StandIn.Instance]$InputObject,

        [uint32]$OperationTimeoutSec
    )

    try {
        if ($InputObject) {
            $request = 'Get {0}' -f $InputObject.CimSystemProperties.ClassName
            Assert-Namespace -Namespace $InputObject.CimSystemProperties.Namespace
        }
        else {
            $request = $Query
            Assert-Namespace -Namespace $Namespace
        }
        $null = $global:StandIn.Log.Add($request)
        & $global:StandIn.BeforeRequest $request
        if ($InputObject) {
            $found = Find-InstanceByKey -Key $InputObject
        }
        else {
            $found = Find-Instance -Query $Query
        }
    }
    catch {
        # The real one writes an error that ends nothing, unless the caller wants it to.
        $PSCmdlet.WriteError($_)
        return
    }
    $found
}

function New-CimInstance {
    [CmdletBinding()]
    param (
        [Parameter(Mandatory)][string]$ClassName,
        [string[]]$Key,
        [System.Collections.IDictionary]$Property,
        [string]$Namespace = 'root/cimv2',
        [Parameter(Mandatory)][switch]$ClientOnly
    )

    $instance = New-StandInInstance -Reference -ClassName $ClassName -Key $Key -Property $Property
    $instance.CimSystemProperties.Namespace = $Namespace
    $instance
}

function Invoke-CimMethod {
    [CmdletBinding()]
    param (
        [Parameter(Mandatory)][StandIn.Instance]$InputObject,
        [Parameter(Mandatory)][string]$MethodName,
        [System.Collections.IDictionary]$Arguments,
        [uint32]$OperationTimeoutSec
    )

    $name = '{0}.{1}' -f $InputObject.CimSystemProperties.ClassName, $MethodName
    $types = foreach ($key in $Arguments.Keys | Sort-Object) {
        '{0}={1}' -f $key, $Arguments[$key].GetType().Name
    }
    $null = $global:StandIn.Log.Add(('{0}({1})' -f $name, ($types -join ', ')))
    if (-not $global:StandIn.Methods.ContainsKey($name)) {
        $PSCmdlet.WriteError(
            [System.Management.Automation.ErrorRecord]::new(
                (New-StandInError -Status 17 -MessageId 'HRESULT 0x8004102e' -Message 'No such method'),
                'HRESULT 0x8004102e', 'ObjectNotFound', $InputObject
            )
        )
        return
    }
    try {
        $out = & $global:StandIn.Methods[$name] $InputObject $Arguments
    }
    catch {
        $PSCmdlet.WriteError($_)
        return
    }
    $result = [pscustomobject]$out
    $result | Add-Member -NotePropertyName PSComputerName -NotePropertyValue $null
    $result
}

if (-not (Get-Variable -Name StandIn -Scope Global -ErrorAction Ignore)) {
    Reset-StandIn
    if ($env:CIM_STAND_IN_WORLD) {
        . $env:CIM_STAND_IN_WORLD
    }
}

Export-ModuleMember -Function *-CimInstance, *-CimMethod, *-StandIn*
