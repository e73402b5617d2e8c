#!powershell

# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

#AnsibleRequires -CSharpUtil Ansible.Basic
#AnsibleRequires -PowerShell ..module_utils._CimBridge

$spec = @{
    options = @{
        steps = @{ type = 'list'; elements = 'dict'; required = $true }
        properties = @{ type = 'dict'; default = @{} }
        stop_on_error = @{ type = 'bool'; default = $false }
    }
    supports_check_mode = $true
}
$module = [Ansible.Basic.AnsibleModule]::Create($args, $spec)

$steps = $module.Params.steps
$properties = $module.Params.properties
$stopOnError = $module.Params.stop_on_error
$answers = @(
    Invoke-CimBridge -Step $steps -Property $properties -StopOnError $stopOnError -CheckMode $module.CheckMode
)

$module.Result.answers = $answers
$module.Result.changed = @($answers | Where-Object { $_.Contains('sent') -and $_.sent }).Count -gt 0
$module.ExitJson()
