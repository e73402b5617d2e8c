# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PowerShell on the simulated hosts: a real ``pwsh``, with CIM cmdlets that ask the host's provider.

``engine``          finds ``pwsh``, compiles the cmdlets once, starts processes
``cim_front``       what a cmdlet asks, as values: the second front of a CimProvider beside the wire
``host``            the processes of one host, the loopback endpoint that they ask, and the faults that befall them
``command_line``    what a WinRM shell is told to run
``out_of_process``  the framing that ``pwsh -ServerMode`` speaks on its standard streams
``psrp``            the PowerShell resource of WinRM, bridged to it
``CimCmdlets``      the module that those processes find, in C#
"""
