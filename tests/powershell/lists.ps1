# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Writes the lists and numbers in the module, and the queries it makes for some jobs, as JSON (test_agreement.py).

param ([Parameter(Mandatory)][string]$Module, [Parameter(Mandatory)][string]$JobQueries)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$bridge = Import-Module -Name $Module -PassThru
$queries = Get-Content -LiteralPath $JobQueries -Raw | ConvertFrom-Json
& $bridge {
    param ($queries)

    $methods = @{}
    foreach ($class in $script:Methods.Keys) {
        foreach ($signature in $script:Methods[$class]) {
            $name = ($signature -split '\(')[0]
            $methods["$class.$name"] = Get-MethodInput -ClassName $class -MethodName $name
        }
    }
    ConvertTo-Json -Depth 5 -Compress -InputObject @{
        namespace = $script:Namespace
        classes = $script:Classes
        methods = $methods
        timeout = $script:Timeout
        many_jobs = $script:ManyJobs
        running = $script:RunningJobStates
        accepted = $script:AcceptedReturnValues
        job_queries = @($queries | ForEach-Object { Get-JobQuery -Id $_.ids -Others $_.others })
    }
} $queries
