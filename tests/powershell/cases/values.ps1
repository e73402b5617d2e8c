# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Values, both ways.

$plain = @{
    'a text' = @{ Value = 'Ä "\ </x>'; Answer = 'Ä "\ </x>' }
    'an empty text' = @{ Value = ''; Answer = '' }
    'NULL' = @{ Value = $null; Answer = $null }
    'a boolean' = @{ Value = $false; Answer = $false }
    'the largest number' = @{ Value = [uint64]::MaxValue; Answer = [uint64]::MaxValue }
    'a negative number' = @{ Value = [int16]-3; Answer = -3 }
    'a character' = @{ Value = [char]'x'; Answer = 'x' }
    'an interval' = @{ Value = [timespan]::FromTicks(9375045678901); Answer = '00000010202504.567890:000' }
    'five minutes' = @{ Value = [timespan]::FromMinutes(5); Answer = '00000000000500.000000:000' }
    'the longest interval' = @{ Value = [timespan]::MaxValue; Answer = '10675199024805.477580:000' }
    'a date in UTC' = @{
        Value = (Get-Utc '2026-10-08T15:15:36.6842409')
        Answer = '20261008151536.684240+000'
    }
    'the date of what never happened' = @{
        Value = (Get-Utc '1601-01-01T00:00:00').ToLocalTime()
        Answer = '16010101000000.000000+000'
    }
}
foreach ($name in $plain.Keys) {
    It "answers $name" {
        Assert-Equal (Use { ConvertTo-Answer -Value $args[0] } $plain[$name].Value) $plain[$name].Answer
    }
}

It 'answers a local date in UTC' {
    $zone = [TimeZoneInfo]::Local
    Assert-Equal $zone.Id 'Europe/Berlin'
    $local = [TimeZoneInfo]::ConvertTimeFromUtc((Get-Utc '2026-07-01T10:00:00'), $zone)
    Assert-Equal (Use { ConvertTo-Answer -Value $args[0] } ([datetime]::SpecifyKind($local, 'Local'))) '20260701100000.000000+000'
}

It 'keeps the two hours apart that a clock shows twice in autumn' {
    foreach ($hour in 0, 1) {
        $local = (Get-Utc "2026-10-25T0$($hour):30:00").ToLocalTime()
        Assert-Equal $local.Hour 2
        Assert-Equal (Use { ConvertTo-Answer -Value $args[0] } $local) "202610250${hour}3000.000000+000"
    }
}

It 'answers a date alike whatever the language and calendar of the host' {
    $before = [cultureinfo]::CurrentCulture
    try {
        $culture = [cultureinfo]::new('')
        $culture.DateTimeFormat.TimeSeparator = '.'
        $culture.NumberFormat.NegativeSign = '~'
        [cultureinfo]::CurrentCulture = $culture
        $date = (Get-Utc '2026-10-08T15:15:36')
        Assert-Equal (Use { ConvertTo-Answer -Value $args[0] } $date) '20261008151536.000000+000'
    }
    finally {
        [cultureinfo]::CurrentCulture = $before
    }
}

It 'answers a reference as class and keys, without what is no key' {
    $vm = New-Vm -Name A -Property @{ ElementName = 'web' }
    $answer = Use { ConvertTo-Answer -Value $args[0] } $vm
    Assert-Equal $answer.class 'Msvm_ComputerSystem'
    Assert-Equal @($answer.keys.Keys | Sort-Object) @('CreationClassName', 'Name')
    Assert-Equal $answer.keys.Name 'A'
}

It 'makes one table of each class' {
    $instances = @((New-Vm -Name A), (New-Job -Id J -State 4), (New-Vm -Name B))
    $tables = @(Use { ConvertTo-AnswerTable -Instance $args[0] -Property @{} } $instances)
    Assert-Equal @($tables | ForEach-Object { $_.class }) @('Msvm_ComputerSystem', 'Msvm_ConcreteJob')
    Assert-Equal $tables[0].properties @('CreationClassName', 'Name')
    Assert-Equal $tables[0].rows @(@('Msvm_ComputerSystem', 'A'), @('Msvm_ComputerSystem', 'B'))
    Assert-Equal $tables[1].rows @(, @('J', 4))
}

It 'keeps an array an array, of one element or none' {
    $vm = New-Vm -Property ([ordered]@{ One = [uint16[]]@(2); None = [string[]]@(); Two = [string[]]@('a', 'b'); Null = $null })
    $tables = @(Use { ConvertTo-AnswerTable -Instance $args[0] -Property @{} } @($vm))
    Assert-Equal $tables[0].rows @(, @('Msvm_ComputerSystem', 'A', @(2), @(), @('a', 'b'), $null))
}

It 'answers the properties that were asked for, and of another class all' {
    $instances = @((New-Vm -Property @{ ElementName = 'web'; EnabledState = [uint16]3 }), (New-Job -Id J -State 4))
    $wanted = @{ Msvm_ComputerSystem = @('EnabledState', 'NotOnThisHost', 'Name') }
    $tables = @(Use { ConvertTo-AnswerTable -Instance $args[0] -Property $args[1] } $instances $wanted)
    Assert-Equal @($tables[0].properties | Sort-Object) @('EnabledState', 'Name')
    Assert-Equal $tables[1].properties @('InstanceID', 'JobState')
}

It 'makes no table of nothing' {
    Assert-Equal @(Use { ConvertTo-AnswerTable -Instance @() -Property @{} }) @()
}

$arguments = @{
    'a text' = @{ Type = 'string'; Value = '5'; Class = 'String' }
    'a number' = @{ Type = 'uint16'; Value = 4; Class = 'UInt16' }
    'a number that came as a long' = @{ Type = 'uint16'; Value = [long]4; Class = 'UInt16' }
    'a boolean' = @{ Type = 'boolean'; Value = $true; Class = 'Boolean' }
    'a date' = @{ Type = 'datetime'; Value = '20261008151536.684240+000'; Class = 'DateTime' }
    'an interval' = @{ Type = 'datetime'; Value = '00000000000500.000000:000'; Class = 'TimeSpan' }
    'texts' = @{ Type = 'string[]'; Value = @('<a/>'); Class = 'String[]' }
    'no texts' = @{ Type = 'string[]'; Value = @(); Class = 'String[]' }
}
foreach ($name in $arguments.Keys) {
    It "takes $name as an argument" {
        $case = $arguments[$name]
        $value = Use { $a = @{}; $a.v = ConvertTo-Argument -Name X -Type $args[0] -Value $args[1] -Run @{}; $a } $case.Type $case.Value
        Assert-Equal $value.v.GetType().Name $case.Class
    }
}

It 'reads the dates and intervals that it writes' {
    foreach ($text in '20261008151536.684240+000', '16010101000000.000000+000', '00000010202504.567890:000') {
        Assert-Equal (Use { ConvertTo-Answer -Value (ConvertTo-Date -Text $args[0]) } $text) $text
    }
}

$misfits = @{
    'a number for a text' = @('string', 5)
    'a text for a number' = @('uint16', '5')
    'too large a number' = @('uint16', 65536)
    'a negative number' = @('uint16', -1)
    'a broken number' = @('uint16', 5.5)
    'a boolean for a number' = @('uint16', $true)
    'a number for a boolean' = @('boolean', 1)
    'a text for a reference' = @('ref', '\\H\root\virtualization\v2:Msvm_ComputerSystem.Name="A"')
    'a date without a zone' = @('datetime', '2026-10-08 15:15:36')
    'a date in another zone' = @('datetime', '20261008151536.684240+060')
    'the 31st of February' = @('datetime', '20260231151536.684240+000')
    'a text for texts' = @('string[]', 'a')
    'a number among texts' = @('string[]', @('a', 5))
    'a type that nobody knows' = @('real64', 5)
}
foreach ($name in $misfits.Keys) {
    It "refuses $name as an argument" {
        $type, $value = $misfits[$name]
        Assert-Throw { Use { ConvertTo-Argument -Name X -Type $args[0] -Value $args[1] -Run @{} } $type $value } NotSupportedException
    }
}

$same = @(
    @('a', @('b', 'a')), @(5, @(4, 5)), @($null, @($null)), @($true, @($true)), @([uint16]5, @([long]5))
)
foreach ($pair in $same) {
    It "finds '$($pair[0])' among '$($pair[1])'" {
        Assert-Equal (Use { Test-Expected -Value $args[0] -Expected $args[1] } $pair[0] $pair[1]) $true
    }
}

$different = @(
    @('a', @('A')), @(5, @(4)), @($null, @(0)), @('', @($null)), @($true, @($false)), @(1, @($true)), @('b', @()),
    @("a$([char]0x200D)", @('a'))
)
foreach ($pair in $different) {
    It "does not find '$($pair[0])' among '$($pair[1])'" {
        Assert-Equal (Use { Test-Expected -Value $args[0] -Expected $args[1] } $pair[0] $pair[1]) $false
    }
}
