# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Reads a PowerShell file as the engine does, without running it, and writes as JSON what test_syntax.py judges:
# errors, syntax that Windows PowerShell 5.1 does not have, and the commands, types, members and functions in it.

param ([Parameter(Mandatory)][string]$Path)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$tokens = $null
$errors = $null
$ast = [System.Management.Automation.Language.Parser]::ParseFile($Path, [ref]$tokens, [ref]$errors)
$all = @($ast.FindAll({ $true }, $true))
$newer = [System.Collections.ArrayList]::new()

function Add-Newer {
    param ([string]$What, [object]$Extent)

    $null = $newer.Add(('line {0}: {1}' -f $Extent.StartLineNumber, $What))
}

# --- the syntax tree

$newVariables = @(
    'EnabledExperimentalFeatures', 'IsCoreCLR', 'IsLinux', 'IsMacOS', 'IsWindows', 'PSStyle'
    'PSNativeCommandArgumentPassing', 'PSNativeCommandUseErrorActionPreference'
)
foreach ($node in $all) {
    $kind = $node.GetType().Name
    switch ($kind) {
        'TernaryExpressionAst' { Add-Newer 'ternary operator' $node.Extent }
        'PipelineChainAst' { Add-Newer 'pipeline chain' $node.Extent }
        'TypeDefinitionAst' { Add-Newer 'class or enum (5.1 has them, modules of Ansible do not)' $node.Extent }
        'BinaryExpressionAst' {
            if ($node.Operator -eq 'QuestionQuestion') {
                Add-Newer 'null-coalescing operator' $node.Extent
            }
        }
        'AssignmentStatementAst' {
            if ($node.Operator -eq 'QuestionQuestionEquals') {
                Add-Newer 'null-coalescing assignment' $node.Extent
            }
        }
        'PipelineAst' {
            if ($node.Background) {
                Add-Newer 'background operator' $node.Extent
            }
        }
        'NamedBlockAst' {
            if ($node.BlockKind -eq 'Clean') {
                Add-Newer 'clean block' $node.Extent
            }
        }
        'UsingStatementAst' {
            if ($node.UsingStatementKind -ne 'Namespace') {
                Add-Newer 'using module or assembly (Ansible loads modules otherwise)' $node.Extent
            }
        }
        'VariableExpressionAst' {
            if ($newVariables -contains $node.VariablePath.UserPath) {
                Add-Newer ('variable ${0}' -f $node.VariablePath.UserPath) $node.Extent
            }
        }
    }
    if ($kind -match '^(Member|InvokeMember|Index)ExpressionAst$' -and $node.NullConditional) {
        Add-Newer 'null-conditional operator' $node.Extent
    }
}

# --- the tokens

$lines = @(Get-Content -LiteralPath $Path)
foreach ($token in $tokens) {
    if ($token.Kind -eq 'Number' -and $token.Text -match '^[+-]?0b|[suyn]') {
        Add-Newer ('number {0}' -f $token.Text) $token.Extent
    }
    if ($token.Kind -match 'StringExpandable$' -and $token.Text -match '(?<!`)(``)*`(e|u\{)') {
        Add-Newer 'escape sequence' $token.Extent
    }
    if ($token.Kind -eq 'Pipe') {
        $before = $lines[$token.Extent.StartLineNumber - 1].Substring(0, $token.Extent.StartColumnNumber - 1)
        if (-not $before.Trim()) {
            Add-Newer 'pipe at the beginning of a line' $token.Extent
        }
    }
}

# --- what is used

function Get-SplattedName {
    # The keys of the hashtable that a splatted variable was set to in the same function.
    param ([object]$Variable)

    $scope = $Variable
    while ($scope.Parent -and $scope -isnot [System.Management.Automation.Language.FunctionDefinitionAst]) {
        $scope = $scope.Parent
    }
    $name = $Variable.VariablePath.UserPath
    $tables = @(
        $scope.FindAll({ $args[0] -is [System.Management.Automation.Language.AssignmentStatementAst] }, $true) |
            Where-Object { $_.Left.Extent.Text -eq ('${0}' -f $name) } |
            ForEach-Object { $_.Right.Find({ $args[0] -is [System.Management.Automation.Language.HashtableAst] }, $false) }
    )
    if ($tables.Count -ne 1) {
        Add-Newer ('the splatted ${0} is not one hashtable, so nobody can tell what it holds' -f $name) $Variable.Extent
        return
    }
    foreach ($pair in $tables[0].KeyValuePairs) {
        $pair.Item1.Value
    }
}

$commands = @(
    foreach ($node in $all | Where-Object { $_ -is [System.Management.Automation.Language.CommandAst] }) {
        $parameters = @(
            foreach ($element in $node.CommandElements) {
                if ($element -is [System.Management.Automation.Language.CommandParameterAst]) {
                    $element.ParameterName
                }
                elseif ($element -is [System.Management.Automation.Language.VariableExpressionAst] -and $element.Splatted) {
                    Get-SplattedName $element
                }
            }
        )
        @{ line = $node.Extent.StartLineNumber; name = [string]$node.GetCommandName(); parameters = $parameters }
    }
)
$functions = @(
    foreach ($node in $all | Where-Object { $_ -is [System.Management.Automation.Language.FunctionDefinitionAst] }) {
        $help = $node.GetHelpContent()
        @{
            name = $node.Name
            lines = $node.Extent.EndLineNumber - $node.Extent.StartLineNumber + 1
            synopsis = if ($help) { [string]$help.Synopsis } else { '' }
            untyped = @(
                if ($node.Body.ParamBlock) {
                    foreach ($parameter in $node.Body.ParamBlock.Parameters) {
                        if (-not ($parameter.Attributes | Where-Object { $_ -is [System.Management.Automation.Language.TypeConstraintAst] })) {
                            $parameter.Name.VariablePath.UserPath
                        }
                    }
                }
            )
        }
    }
)
$types = $all | ForEach-Object {
    if ($_ -is [System.Management.Automation.Language.TypeExpressionAst] -or $_ -is [System.Management.Automation.Language.AttributeBaseAst]) {
        $_.TypeName.FullName
    }
}
$members = $all | ForEach-Object {
    if ($_ -is [System.Management.Automation.Language.MemberExpressionAst]) {
        $left = if ($_.Expression -is [System.Management.Automation.Language.TypeExpressionAst]) { $_.Expression.TypeName.FullName } else { '' }
        '{0}.{1}' -f $left, $_.Member.Extent.Text
    }
}

ConvertTo-Json -Depth 5 -Compress -InputObject @{
    errors = @($errors | ForEach-Object { 'line {0}: {1}' -f $_.Extent.StartLineNumber, $_.Message })
    newer = @($newer)
    commands = $commands
    functions = $functions
    types = @($types | Sort-Object -Unique)
    members = @($members | Sort-Object -Unique)
}
