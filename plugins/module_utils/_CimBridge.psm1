# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

# What runs on the Hyper-V host. Ansible sends a list of steps (read this, check that, call this method, wait for those
# jobs); the functions below carry them out one after the other with the CIM cmdlets and answer what they saw. Nothing
# is decided here: which VM needs what is settled on the controller, before and after.
#
# Read it from the bottom: Invoke-CimBridge is the only function that is exported.
#
# It runs unchanged on Windows PowerShell 5.1 and PowerShell 7.

using namespace Microsoft.Management.Infrastructure
using namespace System.Collections
using namespace System.Management.Automation

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

# Everything happens in this namespace, with these classes, by these methods. All else is refused.
$script:Namespace = 'root\virtualization\v2'

$script:Classes = @(
    'Msvm_AffectedJobElement'
    'Msvm_ComputerSystem'
    'Msvm_ConcreteJob'
    'Msvm_ElementSettingData'
    'Msvm_EmulatedEthernetPortSettingData'
    'Msvm_EthernetPortAllocationSettingData'
    'Msvm_EthernetPortFailoverSettingDataComponent'
    'Msvm_FailoverNetworkAdapterSettingData'
    'Msvm_LastAppliedSnapshot'
    'Msvm_MostCurrentSnapshotInBranch'
    'Msvm_ParentChildSettingData'
    'Msvm_ReplicaSystemDependency'
    'Msvm_ReplicationAuthorizationSettingData'
    'Msvm_ReplicationRelationship'
    'Msvm_ReplicationService'
    'Msvm_ReplicationServiceSettingData'
    'Msvm_ReplicationSettingData'
    'Msvm_SettingsDefineState'
    'Msvm_ShutdownComponent'
    'Msvm_SnapshotOfVirtualSystem'
    'Msvm_SyntheticEthernetPortSettingData'
    'Msvm_SystemReplicationRelationship'
    'Msvm_VirtualEthernetSwitch'
    'Msvm_VirtualSystemManagementService'
    'Msvm_VirtualSystemSettingData'
    'Msvm_VirtualSystemSettingDataComponent'
)

$script:Methods = @{
    Msvm_ComputerSystem = @(
        'RequestStateChange(uint16 RequestedState, datetime TimeoutPeriod)'
        'RequestReplicationStateChange(uint16 RequestedState, datetime TimeoutPeriod)'
        'RequestReplicationStateChangeEx(string ReplicationRelationship, uint16 RequestedState, datetime TimeoutPeriod)'
    )
    Msvm_ConcreteJob = @(
        'GetError()'
        'GetErrorEx()'
        'RequestStateChange(uint16 RequestedState, datetime TimeoutPeriod)'
    )
    Msvm_ReplicationService = @(
        'RevertFailover(ref ComputerSystem)'
        'InitiateFailover(ref ComputerSystem, ref SnapshotSettingData)'
        'CommitFailover(ref ComputerSystem)'
        'ReverseReplicationRelationship(ref ComputerSystem, string ReplicationSettingData)'
        'TestReplicaSystem(ref ComputerSystem, ref SnapshotSettingData)'
        ('StartReplication(ref ComputerSystem, uint16 InitialReplicationType, ' +
            'string InitialReplicationExportLocation, datetime StartTime)')
        'Resynchronize(ref ComputerSystem, datetime StartTime)'
        'SetFailoverNetworkAdapterSettings(ref ComputerSystem, string[] NetworkSettings)'
        'CreateReplicationRelationship(ref ComputerSystem, string ReplicationSettingData)'
        'ModifyReplicationSettings(ref ComputerSystem, string ReplicationSettingData)'
        'RemoveReplicationRelationshipEx(ref ComputerSystem, string ReplicationRelationship)'
        'ChangeReplicationModeToPrimary(ref ComputerSystem, string ReplicationRelationship)'
        'ImportInitialReplica(ref ComputerSystem, string InitialReplicationImportLocation)'
        'ModifyServiceSettings(string SettingData)'
        'AddAuthorizationEntry(string AuthorizationEntry)'
        'ModifyAuthorizationEntry(string AuthorizationEntry)'
        'RemoveAuthorizationEntry(string AllowedPrimaryHostSystem)'
        'GetReplicationStatistics(ref ComputerSystem)'
        'GetReplicationStatisticsEx(ref ComputerSystem, string ReplicationRelationship)'
        ('TestReplicationConnection(string RecoveryConnectionPoint, uint16 RecoveryServerPortNumber, ' +
            'uint16 AuthenticationType, string CertificateThumbPrint, boolean BypassProxyServer)')
    )
    Msvm_ShutdownComponent = @(
        'InitiateShutdown(boolean Force, string Reason)'
    )
    Msvm_VirtualSystemManagementService = @(
        'DestroySystem(ref AffectedSystem)'
        'ModifyResourceSettings(string[] ResourceSettings)'
    )
}

# Seconds that WMI may work on one request.
$script:Timeout = 60

# A query for more jobs than this asks for all of them.
$script:ManyJobs = 40

# Msvm_ConcreteJob.JobState: New (2), Starting, Running, Suspended, Shutting Down (6).
$script:RunningJobStates = 2..6

# Return values with which a chain of steps goes on: completed, and job started.
$script:AcceptedReturnValues = @(0, 4096)

# A date as CIM writes it (DSP0004, 5.2.4): 20261008151536.684240+000
$script:DateFormat = "yyyyMMddHHmmss'.'ffffff"


# --- what is refused --------------------------------------------------------------------------------------------------

function Assert-Class {
    <#
    .SYNOPSIS
    Throws NotSupportedException for a class that is not in the list above.
    #>
    param ([string]$ClassName)

    if ($script:Classes -notcontains $ClassName) {
        throw [System.NotSupportedException]::new("The class '$ClassName' is not one that this collection uses.")
    }
}

function Assert-Query {
    <#
    .SYNOPSIS
    Throws NotSupportedException for a WQL query that reads anything but classes in the list above.
    .DESCRIPTION
    Allowed are SELECT * FROM a class, and ASSOCIATORS OF or REFERENCES OF an object with a ResultClass.
    #>
    param ([string]$Query)

    # Without the texts in quotes, whatever they hold, the words that count are left.
    $words = $Query -replace '"(\\.|[^"\\])*"|''(\\.|[^''\\])*''', '""'
    if ($words -match '^\s*SELECT\s+\*\s+FROM\s+(\w+)\s*(\sWHERE\s.*)?$') {
        Assert-Class -ClassName $Matches[1]
        return
    }
    if ($words -match '^\s*(ASSOCIATORS|REFERENCES)\s+OF\s+\{\s*(\w+)[.=][^{}]*\}\s*WHERE\s.*\bResultClass\s*=') {
        Assert-Class -ClassName $Matches[2]
        foreach ($match in [regex]::Matches($words, '(?i)\b(?:ResultClass|AssocClass)\s*=\s*(\w+)')) {
            Assert-Class -ClassName $match.Groups[1].Value
        }
        return
    }
    throw [System.NotSupportedException]::new("This is not a query that the collection makes: $Query")
}

function Get-MethodInput {
    <#
    .SYNOPSIS
    The types of a method's input parameters by their names. Throws NotSupportedException for a method not listed above.
    #>
    param ([string]$ClassName, [string]$MethodName)

    foreach ($signature in $script:Methods[$ClassName]) {
        $name, $parameters = $signature.TrimEnd(')') -split '\('
        if ($name -eq $MethodName) {
            $types = @{}
            foreach ($parameter in $parameters -split ', ' -ne '') {
                $type, $name = $parameter -split ' '
                $types[$name] = $type
            }
            return $types
        }
    }
    throw [System.NotSupportedException]::new("$ClassName.$MethodName is not a method that this collection calls.")
}


# --- reading ----------------------------------------------------------------------------------------------------------

function Get-InstanceByQuery {
    <#
    .SYNOPSIS
    All instances that a WQL query finds.
    #>
    param ([string]$Query)

    Assert-Query -Query $Query
    Get-CimInstance -Namespace $script:Namespace -Query $Query -OperationTimeoutSec $script:Timeout -ErrorAction Stop
}

function Get-InstanceByKey {
    <#
    .SYNOPSIS
    The instance that a reference names. No such instance is an error, as WMI gives it.
    .DESCRIPTION
    A reference is a class and its keys. Without keys it means the only instance of its class, such as a service.
    #>
    param ([IDictionary]$Reference)

    $className = $Reference['class']
    $keys = $Reference['keys']
    Assert-Class -ClassName $className
    if ($keys.Count -gt 0) {
        $names = @($keys.Keys)
        $space = $script:Namespace
        $key = New-CimInstance -ClientOnly -Namespace $space -ClassName $className -Property $keys -Key $names
        Get-CimInstance -InputObject $key -OperationTimeoutSec $script:Timeout -ErrorAction Stop
        return
    }

    $found = @(Get-InstanceByQuery -Query "SELECT * FROM $className")
    if ($found.Count -eq 0) {
        throw [ItemNotFoundException]::new("This host shows no $className.")
    }
    if ($found.Count -gt 1) {
        throw [System.InvalidOperationException]::new("This host shows $($found.Count) instances of $className.")
    }
    $found[0]
}

function Get-KnownInstance {
    <#
    .SYNOPSIS
    The instance that a reference names, to be handed to a method: fetched once in a run.
    #>
    param ([IDictionary]$Reference, [IDictionary]$Run)

    $name = Get-ReferenceName -Reference $Reference
    if (-not $Run.Instances.ContainsKey($name)) {
        $Run.Instances[$name] = Get-InstanceByKey -Reference $Reference
    }
    $Run.Instances[$name]
}

function Get-ReferenceName {
    <#
    .SYNOPSIS
    A text that is the same for two references to one object.
    #>
    param ([IDictionary]$Reference)

    $keys = foreach ($key in $Reference['keys'].Keys | Sort-Object) {
        '{0}="{1}"' -f $key, $Reference['keys'][$key]
    }
    '{0}.{1}' -f $Reference['class'], ($keys -join ',')
}


# --- values -----------------------------------------------------------------------------------------------------------

function ConvertTo-Answer {
    <#
    .SYNOPSIS
    A single CIM value as JSON can hold it.
    .DESCRIPTION
    Texts, numbers and booleans stay what they are. Dates (in UTC) and intervals become the text that CIM has for them.
    A reference becomes its class and its keys.
    #>
    param ([object]$Value)

    $invariant = [cultureinfo]::InvariantCulture
    if ($null -eq $Value -or $Value -is [string]) {
        return $Value
    }
    if ($Value -is [datetime]) {
        return $Value.ToUniversalTime().ToString($script:DateFormat, $invariant) + '+000'
    }
    if ($Value -is [timespan]) {
        $microseconds = [System.Math]::Floor(($Value.Ticks % [timespan]::TicksPerSecond) / 10)
        $parts = $Value.Days, $Value.Hours, $Value.Minutes, $Value.Seconds, $microseconds
        return [string]::Format($invariant, '{0:00000000}{1:00}{2:00}{3:00}.{4:000000}:000', $parts)
    }
    if ($Value -is [char]) {
        return [string]$Value
    }
    if ($Value -is [System.ValueType]) {
        return $Value
    }

    $keys = @{}
    foreach ($property in $Value.CimInstanceProperties) {
        if ($property.Flags -band [CimFlags]::Key) {
            $keys[$property.Name] = ConvertTo-Answer -Value $property.Value
        }
    }
    @{ class = $Value.CimSystemProperties.ClassName; keys = $keys }
}

function ConvertTo-AnswerTable {
    <#
    .SYNOPSIS
    Instances as tables: one for each class, with the names of the properties once and a row for each instance.
    .DESCRIPTION
    Property says which properties of a class are wanted; of a class that it does not name, all are.
    #>
    param ([object[]]$Instance, [IDictionary]$Property)

    $tables = [ordered]@{}
    foreach ($one in $Instance) {
        $className = $one.CimSystemProperties.ClassName
        $values = $one.CimInstanceProperties
        if (-not $tables.Contains($className)) {
            $names = @(foreach ($value in $values) { $value.Name })
            if ($Property.Keys -contains $className) {
                $names = @($names | Where-Object { $Property[$className] -contains $_ })
            }
            $tables[$className] = @{
                class = $className
                properties = $names
                rows = [ArrayList]::new()
            }
        }

        $names = $tables[$className].properties
        $row = [object[]]::new($names.Count)
        for ($i = 0; $i -lt $names.Count; $i++) {
            $value = $values[$names[$i]].Value
            if ($value -is [string] -or $value -is [uint16]) {
                # Most values are; a call for each would take longer than the query.
                $row[$i] = $value
            }
            elseif ($null -eq $value) {
                $row[$i] = Get-ShownValue -Instance $one -Name $names[$i]
            }
            elseif ($value -is [array]) {
                $row[$i] = @(foreach ($item in $value) { ConvertTo-Answer -Value $item })
            }
            else {
                $row[$i] = ConvertTo-Answer -Value $value
            }
        }
        $null = $tables[$className].rows.Add($row)
    }
    $tables.Values
}

function Get-ShownValue {
    <#
    .SYNOPSIS
    A property as scripts see it: NULL, or a reference. PowerShell on Linux shows references here only.
    #>
    param ([object]$Instance, [string]$Name)

    $property = $Instance.PSObject.Properties[$Name]
    if ($null -ne $property) {
        ConvertTo-Answer -Value $property.Value
    }
}

function ConvertTo-Argument {
    <#
    .SYNOPSIS
    The value for a parameter of a method, of the very type that the class declares.
    .DESCRIPTION
    Throws NotSupportedException for a value that does not fit. A reference becomes the instance itself, fetched.
    #>
    param ([string]$Name, [string]$Type, [object]$Value, [IDictionary]$Run)

    if ($Type -eq 'string' -and $Value -is [string]) {
        return $Value
    }
    if ($Type -eq 'string[]' -and $Value -is [array] -and @($Value | Where-Object { $_ -isnot [string] }).Count -eq 0) {
        return , [string[]]$Value
    }
    if ($Type -eq 'boolean' -and $Value -is [bool]) {
        return $Value
    }
    if ($Type -eq 'uint16' -and ($Value -is [int] -or $Value -is [long]) -and $null -ne ($Value -as [uint16])) {
        return [uint16]$Value
    }
    if ($Type -eq 'datetime' -and $Value -is [string]) {
        return ConvertTo-Date -Text $Value
    }
    if ($Type -eq 'ref' -and $Value -is [IDictionary]) {
        return Get-KnownInstance -Reference $Value -Run $Run
    }
    throw [System.NotSupportedException]::new("The argument $Name must be of the type $Type.")
}

function ConvertTo-Date {
    <#
    .SYNOPSIS
    The date (in UTC) or the interval that a CIM text stands for. Throws NotSupportedException if it is neither.
    #>
    param ([string]$Text)

    if ($Text -match '^(\d{8})(\d\d)(\d\d)(\d\d)\.(\d{6}):000$') {
        $time = [timespan]::new([int]$Matches[1], [int]$Matches[2], [int]$Matches[3], [int]$Matches[4])
        return $time.Add([timespan]::FromTicks(10 * [long]$Matches[5]))
    }
    $date = [datetime]::MinValue
    $universal = [System.Globalization.DateTimeStyles]'AssumeUniversal, AdjustToUniversal'
    $invariant = [cultureinfo]::InvariantCulture
    $format = "$script:DateFormat'+000'"
    if (-not [datetime]::TryParseExact($Text, $format, $invariant, $universal, [ref]$date)) {
        throw [System.NotSupportedException]::new("This is neither a date in UTC nor an interval: $Text")
    }
    $date
}

function ConvertTo-ErrorAnswer {
    <#
    .SYNOPSIS
    What is known of an error: its class, its numbers, its text. What it means is the controller's to say.
    .DESCRIPTION
    A CimException carries the CIM status (NativeErrorCode), and the HRESULT behind it in its MessageId ("HRESULT 0x..")
    or in its error data. Sent says whether a method may have run.
    #>
    param ([ErrorRecord]$ErrorRecord, [bool]$Sent)

    $exception = $ErrorRecord.Exception
    $answer = @{
        exception = $exception.GetType().FullName
        hresult = $exception.HResult -band 0xFFFFFFFFL
        status = $null
        code = $null
        message_id = $null
        message = $exception.Message
        sent = $Sent
    }
    if ($exception -is [CimException]) {
        $answer.status = [int]$exception.NativeErrorCode
        $answer.message_id = $exception.MessageId
        if ($null -ne $exception.ErrorData) {
            $code = $exception.ErrorData.CimInstanceProperties['error_Code']
            if ($null -ne $code) {
                $answer.code = $code.Value
            }
        }
    }
    $answer
}


# --- steps ------------------------------------------------------------------------------------------------------------

function Invoke-QueryStep {
    <#
    .SYNOPSIS
    Step "query": all instances that a WQL query finds.
    #>
    param ([IDictionary]$Step, [IDictionary]$Run)

    $found = @(Get-InstanceByQuery -Query $Step['wql'])
    @{ instances = @(ConvertTo-AnswerTable -Instance $found -Property $Run.Property) }
}

function Invoke-GetStep {
    <#
    .SYNOPSIS
    Step "get": one instance.
    #>
    param ([IDictionary]$Step, [IDictionary]$Run)

    $found = @(Get-InstanceByKey -Reference $Step['reference'])
    @{ instances = @(ConvertTo-AnswerTable -Instance $found -Property $Run.Property) }
}

function Invoke-GuardStep {
    <#
    .SYNOPSIS
    Step "guard": read an instance, and see whether each property named has one of the values that are acceptable.
    #>
    param ([IDictionary]$Step, [IDictionary]$Run)

    $instance = Get-InstanceByKey -Reference $Step['reference']
    $Run.Instances[(Get-ReferenceName -Reference $Step['reference'])] = $instance
    $held = $true
    foreach ($name in $Step['expected'].Keys) {
        $property = $instance.CimInstanceProperties[$name]
        # What was not read proves nothing.
        $held = $held -and $null -ne $property -and
            (Test-Expected -Value (ConvertTo-Answer -Value $property.Value) -Expected $Step['expected'][$name])
    }
    @{
        held = $held
        instances = @(ConvertTo-AnswerTable -Instance @($instance) -Property $Run.Property)
    }
}

function Test-Expected {
    <#
    .SYNOPSIS
    Whether a value is one of those expected. Texts compare exactly, with their case.
    #>
    param ([object]$Value, [object[]]$Expected)

    foreach ($one in $Expected) {
        if ($null -eq $one -or $null -eq $Value) {
            if ($null -eq $one -and $null -eq $Value) {
                return $true
            }
        }
        elseif ([string]::Equals([string]$one, [string]$Value, [System.StringComparison]::Ordinal)) {
            return $true
        }
    }
    $false
}

function Invoke-CallStep {
    <#
    .SYNOPSIS
    Step "call": one call of one method of one object. Never a second try.
    #>
    param ([IDictionary]$Step, [IDictionary]$Run)

    $method = $Step['method']
    $types = Get-MethodInput -ClassName $Step['target']['class'] -MethodName $method
    if ($Run.CheckMode) {
        throw [System.NotSupportedException]::new('In check mode no method is called.')
    }
    $target = Get-KnownInstance -Reference $Step['target'] -Run $Run
    $arguments = @{}
    foreach ($name in $Step['arguments'].Keys) {
        if (-not $types.ContainsKey($name)) {
            throw [System.NotSupportedException]::new("$method has no parameter $name.")
        }
        $value = $Step['arguments'][$name]
        $arguments[$name] = ConvertTo-Argument -Name $name -Type $types[$name] -Value $value -Run $Run
    }

    $call = @{ InputObject = $target; MethodName = $method; Arguments = $arguments }
    $Run.Sent = $true
    $result = @(Invoke-CimMethod @call -OperationTimeoutSec $script:Timeout -ErrorAction Stop)
    $result = @($result | Where-Object { $_.PSObject.Properties['ReturnValue'] })
    if ($result.Count -ne 1) {
        throw [System.InvalidOperationException]::new("$method gave $($result.Count) return values.")
    }

    $out = @{}
    foreach ($property in $result[0].PSObject.Properties) {
        if ($property.Name -eq 'ReturnValue' -or $property.Name -eq 'PSComputerName') {
            continue
        }
        if ($property.Value -is [array]) {
            $out[$property.Name] = @(foreach ($item in $property.Value) { ConvertTo-Answer -Value $item })
        }
        else {
            $out[$property.Name] = ConvertTo-Answer -Value $property.Value
        }
    }
    if ($null -ne $out['Job']) {
        $null = $Run.Jobs.Add($out['Job'])
    }
    @{ sent = $true; return_value = $result[0].ReturnValue; out = $out }
}

function Invoke-WaitStep {
    <#
    .SYNOPSIS
    Step "wait": look at jobs once a tick, until one of them is no longer running or the time is over.
    .DESCRIPTION
    Jobs that calls of the same run have started are watched as well. With nothing to watch, nothing is asked.
    #>
    param ([IDictionary]$Step, [IDictionary]$Run)

    $watched = @{}
    foreach ($job in @($Step['jobs']) + @($Run.Jobs)) {
        $watched[$job['keys']['InstanceID']] = $job
    }
    $seconds = [double]$Step['seconds']
    $seen = @{ Jobs = @(); Others = @(); Unseen = @() }
    $clock = [System.Diagnostics.Stopwatch]::StartNew()
    $goOn = $watched.Count -gt 0
    while ($goOn) {
        $pause = [double]$Step['poll_interval']
        if ($seconds -gt 0) {
            $pause = [System.Math]::Min($pause, $seconds - $clock.Elapsed.TotalSeconds)
        }
        Start-Sleep -Milliseconds ([int](1000 * [System.Math]::Max($pause, 0)))
        $seen = Get-WatchedJob -Watched $watched -Others $Step['others']
        $goOn = $seen.Ended -eq 0 -and $clock.Elapsed.TotalSeconds -lt $seconds
    }
    @{
        jobs = @(ConvertTo-AnswerTable -Instance $seen.Jobs -Property $Run.Property)
        others = @(ConvertTo-AnswerTable -Instance $seen.Others -Property $Run.Property)
        unseen = $seen.Unseen
    }
}

function Get-WatchedJob {
    <#
    .SYNOPSIS
    One look at the jobs: one query, and a fetch by its key for each job that the query did not show.
    .DESCRIPTION
    Jobs are those watched that were found, Unseen those that could not be fetched, each with its error, Others what
    else the query showed. Ended counts the jobs that are no longer running, or unseen.
    #>
    param ([IDictionary]$Watched, [string]$Others)

    $jobs = @{}
    $rest = [ArrayList]::new()
    foreach ($job in Get-InstanceByQuery -Query (Get-JobQuery -Id @($Watched.Keys) -Others $Others)) {
        $id = $job.CimInstanceProperties['InstanceID'].Value
        if ($Watched.ContainsKey($id)) {
            $jobs[$id] = $job
        }
        else {
            $null = $rest.Add($job)
        }
    }
    $unseen = @(
        foreach ($id in @($Watched.Keys | Where-Object { -not $jobs.ContainsKey($_) })) {
            try {
                $jobs[$id] = Get-InstanceByKey -Reference $Watched[$id]
            }
            catch {
                @{ reference = $Watched[$id]; error = ConvertTo-ErrorAnswer -ErrorRecord $_ -Sent $false }
            }
        }
    )
    $ended = @(
        foreach ($job in $jobs.Values) {
            if ($script:RunningJobStates -notcontains $job.CimInstanceProperties['JobState'].Value) {
                $job
            }
        }
    )
    @{ Jobs = @($jobs.Values); Others = @($rest); Unseen = $unseen; Ended = $ended.Count + $unseen.Count }
}

function Get-JobQuery {
    <#
    .SYNOPSIS
    The WQL query that shows the jobs with these ids, and those that fit the condition in Others.
    #>
    param ([string[]]$Id, [string]$Others)

    if ($Id.Count -gt $script:ManyJobs) {
        return 'SELECT * FROM Msvm_ConcreteJob'
    }
    $conditions = @(
        foreach ($one in $Id | Sort-Object) {
            'InstanceID = "{0}"' -f ($one -replace '(["\\])', '\$1')
        }
        if ($Others) {
            "($Others)"
        }
    )
    'SELECT * FROM Msvm_ConcreteJob WHERE {0}' -f ($conditions -join ' OR ')
}

function Invoke-Step {
    <#
    .SYNOPSIS
    One step of the list. An error is an answer, so that the answers of the steps before it are never lost.
    #>
    param ([IDictionary]$Step, [IDictionary]$Run)

    $Run.Sent = $false
    try {
        switch ($Step['do']) {
            'query' { return Invoke-QueryStep -Step $Step -Run $Run }
            'get' { return Invoke-GetStep -Step $Step -Run $Run }
            'guard' { return Invoke-GuardStep -Step $Step -Run $Run }
            'call' { return Invoke-CallStep -Step $Step -Run $Run }
            'wait' { return Invoke-WaitStep -Step $Step -Run $Run }
        }
        throw [System.NotSupportedException]::new("There is no step '$($Step['do'])'.")
    }
    catch {
        @{ error = ConvertTo-ErrorAnswer -ErrorRecord $_ -Sent $Run.Sent }
    }
}

function Test-ChainEnd {
    <#
    .SYNOPSIS
    Whether an answer ends its chain: an error, a guard that did not hold, or a return value that is no success.
    #>
    param ([IDictionary]$Answer)

    if ($Answer.Contains('error')) {
        return $true
    }
    if ($Answer.Contains('held')) {
        return -not $Answer.held
    }
    $Answer.Contains('return_value') -and $script:AcceptedReturnValues -notcontains $Answer.return_value
}

function Invoke-CimBridge {
    <#
    .SYNOPSIS
    Carries out a list of steps in order, and gives exactly one answer for each.
    .DESCRIPTION
    Guards and calls belong to a chain (one for each VM). Once a chain has ended, the rest of it is skipped; with
    StopOnError the rest of the whole list is.
    .PARAMETER Step
    The steps. Each is a dictionary; what it holds is documented in cim_bridge.yml.
    .PARAMETER Property
    Which properties of a class to answer: class name to property names. Of other classes all are answered.
    .PARAMETER CheckMode
    Refuse every method call.
    #>
    param (
        [object[]]$Step,
        [IDictionary]$Property,
        [bool]$StopOnError,
        [bool]$CheckMode
    )

    $run = @{
        Property = $Property
        CheckMode = $CheckMode
        Instances = @{}
        Jobs = [ArrayList]::new()
        Sent = $false
    }
    $ended = @{}
    $over = $false
    foreach ($one in $Step) {
        $chain = [string]$one['chain']
        if ($over -or $ended.ContainsKey($chain)) {
            @{ skipped = $true }
            continue
        }
        $answer = Invoke-Step -Step $one -Run $run
        $answer
        if (Test-ChainEnd -Answer $answer) {
            if ($chain) {
                $ended[$chain] = $true
            }
            $over = $StopOnError
        }
    }
}

Export-ModuleMember -Function Invoke-CimBridge
