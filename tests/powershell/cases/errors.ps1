# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The one shape of errors.

function Get-ErrorAnswer {
    param ([object]$Exception)

    $global:StandIn.BeforeRequest = { throw $Exception }.GetNewClosure()
    (Invoke-Bridge -Step @{ do = 'query'; wql = 'SELECT * FROM Msvm_ComputerSystem' })[0].error
}

It 'gives the numbers and the text of a CIM error' {
    $answer = Get-ErrorAnswer (New-StandInError -Status 2 -MessageId 'HRESULT 0x80041003' -Message 'Zugriff verweigert' -Code 0x80041003L)
    Assert-Equal $answer.status 2
    Assert-Equal $answer.message_id 'HRESULT 0x80041003'
    Assert-Equal $answer.code 0x80041003L
    Assert-Equal $answer.hresult 0x80131500L
    Assert-Equal $answer.message 'Zugriff verweigert'
    Assert-Equal $answer.sent $false
}

It 'gives what there is of a CIM error without data' {
    $answer = Get-ErrorAnswer (New-StandInError -Status 1)
    Assert-Equal $answer.status 1
    Assert-Equal $answer.code $null
    Assert-Equal ([string]$answer.message_id) ''
}

It 'gives the class of any other error' {
    $answer = Get-ErrorAnswer ([System.OutOfMemoryException]::new('x'))
    Assert-Equal $answer.exception 'System.OutOfMemoryException'
    Assert-Equal $answer.status $null
    Assert-Equal $answer.hresult 0x8007000EL
}

It 'gives a host without CIM cmdlets away' {
    $answer = Get-ErrorAnswer ([System.Management.Automation.CommandNotFoundException]::new('Get-CimInstance'))
    Assert-Equal $answer.exception 'System.Management.Automation.CommandNotFoundException'
}

It 'has the same keys for every error' {
    $keys = 'code,exception,hresult,message,message_id,sent,status'
    foreach ($exception in (New-StandInError -Status 1), ([System.OutOfMemoryException]::new('x'))) {
        Assert-Equal (((Get-ErrorAnswer $exception).Keys | Sort-Object) -join ',') $keys
    }
}

It 'looks for everything in the one namespace' {
    $null = New-Vm
    $instance = Use { Get-InstanceByKey -Reference $args[0] } (Get-VmReference)
    Assert-Equal $instance.CimSystemProperties.Namespace 'root\virtualization\v2'
    Assert-Equal (Use { $script:Namespace }) 'root\virtualization\v2'
}
