# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The step that waits for jobs.

function Set-Ticks {
    # What is done before the first, second .. request to the host.
    param ([scriptblock[]]$Tick)

    $state = @{ Ticks = $Tick; Number = 0 }
    $global:StandIn.BeforeRequest = {
        if ($state.Number -lt $state.Ticks.Count) {
            $tick = $state.Ticks[$state.Number]
            $state.Number++
            & $tick
        }
    }.GetNewClosure()
}

It 'asks nothing with nothing to wait for' {
    Assert-Equal (Invoke-Bridge -Step (Get-Wait -Seconds 60)) @(, @{ jobs = @(); others = @(); unseen = @() })
    Assert-Equal $global:StandIn.Log @()
}

It 'looks once where it may stay for no time' {
    $null = New-Job -Id J -State 4
    $answers = Invoke-Bridge -Step (Get-Wait -Jobs (Get-JobReference J))
    Assert-Equal $answers[0].jobs[0].rows @(, @('J', 4))
    Assert-Equal $global:StandIn.Log @('SELECT * FROM Msvm_ConcreteJob WHERE InstanceID = "J"')
}

It 'comes back as soon as one job has ended, with the reading of all' {
    $job = New-Job -Id J1 -State 4
    $null = New-Job -Id J2 -State 4
    Set-Ticks { }, { }, { $job.CimInstanceProperties.Set('JobState', [uint16]7, $false) }.GetNewClosure()
    $answers = Invoke-Bridge -Step (Get-Wait -Seconds 60 -Jobs (Get-JobReference J1), (Get-JobReference J2))
    Assert-Equal @($answers[0].jobs[0].rows | Sort-Object { $_[0] }) @(@('J1', 7), @('J2', 4))
    Assert-Equal $global:StandIn.Log.Count 3
}

foreach ($state in 2, 3, 4, 5, 6) {
    It "goes on waiting in the job state $state" {
        $job = New-Job -Id J -State $state
        Set-Ticks { }, { $job.CimInstanceProperties.Set('JobState', [uint16]7, $false) }.GetNewClosure()
        $null = Invoke-Bridge -Step (Get-Wait -Seconds 60 -Jobs (Get-JobReference J))
        Assert-Equal $global:StandIn.Log.Count 2
    }
}

foreach ($state in 0, 7, 8, 9, 10, 11, 12, 32768) {
    It "does not wait in the job state $state" {
        $null = New-Job -Id J -State $state
        $null = Invoke-Bridge -Step (Get-Wait -Seconds 60 -Jobs (Get-JobReference J))
        Assert-Equal $global:StandIn.Log.Count 1
    }
}

It 'comes back when its time is over' {
    $null = New-Job -Id J -State 4
    $wait = Get-Wait -Seconds 0.05 -Jobs (Get-JobReference J)
    $wait.poll_interval = 0.02
    $answers = Invoke-Bridge -Step $wait
    Assert-Equal $answers[0].jobs[0].rows @(, @('J', 4))
}

It 'fetches a job that the query hides' {
    (New-Job -Id J -State 4).Listed = $false
    $answers = Invoke-Bridge -Step (Get-Wait -Jobs (Get-JobReference J))
    Assert-Equal $answers[0].jobs[0].rows @(, @('J', 4))
    Assert-Equal $answers[0].unseen @()
    Assert-Equal $global:StandIn.Log @('SELECT * FROM Msvm_ConcreteJob WHERE InstanceID = "J"', 'Get Msvm_ConcreteJob')
}

It 'comes back for a job that is gone, and says what WMI said' {
    $null = New-Job -Id J2 -State 4
    $answers = Invoke-Bridge -Step (Get-Wait -Seconds 60 -Jobs (Get-JobReference J1), (Get-JobReference J2))
    Assert-Equal $answers[0].unseen.Count 1
    Assert-Equal $answers[0].unseen[0].reference.keys @{ InstanceID = 'J1' }
    Assert-Equal $answers[0].unseen[0].error.status 6
    Assert-Equal $answers[0].jobs[0].rows @(, @('J2', 4))
}

It 'shows the jobs of others, and does not wait for them' {
    $job = New-Job -Id J -State 4
    $other = New-Job -Id O -State 7
    $other.Always = $true
    Set-Ticks { }, { $job.CimInstanceProperties.Set('JobState', [uint16]7, $false) }.GetNewClosure()
    $answers = Invoke-Bridge -Step (Get-Wait -Seconds 60 -Jobs (Get-JobReference J) -Others 'JobType = 98')
    Assert-Equal $answers[0].others[0].rows @(, @('O', 7))
    Assert-Equal $global:StandIn.Log @(
        'SELECT * FROM Msvm_ConcreteJob WHERE InstanceID = "J" OR (JobType = 98)'
        'SELECT * FROM Msvm_ConcreteJob WHERE InstanceID = "J" OR (JobType = 98)'
    )
}

It 'waits for the jobs that calls of the same list have started' {
    $null = New-Vm
    $null = New-Service
    $global:StandIn.Methods['Msvm_ReplicationService.RevertFailover'] = {
        @{ ReturnValue = [uint32]4096; Job = New-Job -Id NEW -State 7 }
    }
    $null = New-Job -Id OLD -State 4
    $answers = Invoke-Bridge -Step (Get-RevertCall), (Get-Wait -Seconds 60 -Jobs (Get-JobReference OLD))
    Assert-Equal @($answers[1].jobs[0].rows | ForEach-Object { $_[0] } | Sort-Object) @('NEW', 'OLD')
}

It 'watches a job once that is named twice, in any case' {
    $null = New-Job -Id J -State 7
    $answers = Invoke-Bridge -Step (Get-Wait -Jobs (Get-JobReference J), (Get-JobReference j))
    Assert-Equal $answers[0].jobs[0].rows.Count 1
}

It 'answers a query that fails with its error' {
    $null = New-Job -Id J -State 4
    $global:StandIn.BeforeRequest = { throw (New-StandInError -Status 2 -MessageId 'HRESULT 0x80041003') }
    $answers = Invoke-Bridge -Step (Get-Wait -Seconds 60 -Jobs (Get-JobReference J))
    Assert-Equal $answers[0].error.status 2
    Assert-Equal $answers[0].error.sent $false
}
