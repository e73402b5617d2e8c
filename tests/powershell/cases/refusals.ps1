# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# What may be asked for at all.

$allowed = @(
    'SELECT * FROM Msvm_ComputerSystem'
    'select * from msvm_computersystem'
    'SELECT * FROM Msvm_ComputerSystem WHERE Name = "A" OR Name = ''x\'' FROM Win32_Process'''
    'ASSOCIATORS OF {Msvm_ComputerSystem.CreationClassName="x}",Name="A"} WHERE ResultClass = Msvm_ReplicationRelationship'
    'ASSOCIATORS OF {Msvm_ComputerSystem.Name="A"} WHERE AssocClass = Msvm_SystemReplicationRelationship ResultClass = Msvm_ReplicationRelationship'
    'REFERENCES OF {Msvm_ComputerSystem.Name="A"} WHERE ResultClass = Msvm_ReplicaSystemDependency'
)
foreach ($query in $allowed) {
    It "allows $query" {
        Use { Assert-Query -Query $args[0] } $query
    }
}

$refused = @(
    ''
    'Msvm_ComputerSystem'
    'SELECT * FROM Win32_Process'
    'SELECT * FROM meta_class'
    'SELECT Name FROM Msvm_ComputerSystem'
    'SELECT * FROM Msvm_ComputerSystem, Win32_Process'
    'SELECT * FROM Msvm_ComputerSystem; DELETE'
    'SELECT * FROM CIM_ManagedElement WHERE Name = "FROM Msvm_ComputerSystem"'
    'SELECT * FROM Msvm_ReplicationStatistics'
    'ASSOCIATORS OF {Msvm_ComputerSystem.Name="A"}'
    'ASSOCIATORS OF {Msvm_ComputerSystem.Name="A"} WHERE ResultClass = Msvm_SecurityElement'
    'ASSOCIATORS OF {Msvm_ComputerSystem.Name="A"} WHERE AssocClass = Msvm_Unknown ResultClass = Msvm_ConcreteJob'
    'ASSOCIATORS OF {Win32_Process.Handle="1"} WHERE ResultClass = Msvm_ConcreteJob'
    'REFERENCES OF {Msvm_ComputerSystem.Name="A"} WHERE Role = Dependent'
)
foreach ($query in $refused) {
    It "refuses the query '$query'" {
        Assert-Throw { Use { Assert-Query -Query $args[0] } $query } NotSupportedException
    }
}

It 'asks nothing of the host for a query that it refuses' {
    $answers = Invoke-Bridge -Step @{ do = 'query'; wql = 'SELECT * FROM Win32_Process' }
    Assert-Equal $answers[0].error.exception 'System.NotSupportedException'
    Assert-Equal $answers[0].error.sent $false
    Assert-Equal $global:StandIn.Log @()
}

It 'refuses to get an instance of another class' {
    $reference = @{ class = 'Win32_Process'; keys = @{ Handle = '1' } }
    Assert-Throw { Use { Get-InstanceByKey -Reference $args[0] } $reference } NotSupportedException
    Assert-Equal $global:StandIn.Log @()
}

foreach ($method in 'Msvm_ComputerSystem.Delete', 'Msvm_VirtualSystemManagementService.ModifySystemSettings', 'Win32_Process.Create') {
    It "refuses the method $method" {
        $null = New-Vm
        $class, $name = $method -split '\.'
        $call = @{ do = 'call'; chain = 'A'; target = @{ class = $class; keys = @{} }; method = $name; arguments = @{} }
        $answers = Invoke-Bridge -Step $call
        Assert-Equal $answers[0].error.exception 'System.NotSupportedException'
        Assert-Equal $answers[0].error.sent $false
        Assert-Equal $global:StandIn.Log @()
    }
}

It 'refuses an argument that the method does not have' {
    $null = New-Vm
    $null = New-Service
    $call = Get-RevertCall
    $call.arguments.Force = $true
    $answers = Invoke-Bridge -Step $call
    Assert-Equal $answers[0].error.exception 'System.NotSupportedException'
    Assert-Equal @($global:StandIn.Log | Where-Object { $_ -like '*RevertFailover*' }) @()
}

It 'refuses every method call in check mode, and still reads' {
    $null = New-Vm
    $null = New-Service
    $answers = Invoke-Bridge -CheckMode -Step @{ do = 'query'; wql = 'SELECT * FROM Msvm_ComputerSystem' }, (Get-RevertCall)
    Assert-Equal @($answers[0].instances[0].rows).Count 1
    Assert-Equal $answers[1].error.exception 'System.NotSupportedException'
    Assert-Equal $global:StandIn.Log @('SELECT * FROM Msvm_ComputerSystem')
}

It 'refuses a step that it does not know' {
    $answers = Invoke-Bridge -Step @{ do = 'delete' }
    Assert-Equal $answers[0].error.exception 'System.NotSupportedException'
}

It 'knows the parameters of a method' {
    $types = Use { Get-MethodInput -ClassName Msvm_ComputerSystem -MethodName RequestReplicationStateChangeEx }
    Assert-Equal @($types.Keys | Sort-Object) @('ReplicationRelationship', 'RequestedState', 'TimeoutPeriod')
    Assert-Equal $types.RequestedState 'uint16'
    Assert-Equal (Use { Get-MethodInput -ClassName Msvm_ConcreteJob -MethodName GetError }).Count 0
}
