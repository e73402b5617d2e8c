# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The lab compiles the sources beside this file into the assembly named here.
@{
    RootModule = 'CimCmdlets.dll'
    ModuleVersion = '7.0.0.0'
    GUID = 'e2c2e9a3-3c0c-4d3c-a0a4-3e2f5a4b7d10'
    Author = 'hyperv.replica contributors'
    Description = 'CIM cmdlets that speak to a simulated Hyper-V host'
    CmdletsToExport = 'Get-CimInstance', 'Get-CimAssociatedInstance', 'New-CimInstance', 'Invoke-CimMethod'
    FunctionsToExport = @()
    AliasesToExport = @()
}
