# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules that talk to a Hyper-V host have in common."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  transport:
    description:
      - What carries the requests to the host. RV(transport) says which one did.
      - With V(powershell), a module of this collection runs in PowerShell on the host, over any connection on which
        Ansible runs PowerShell modules.
      - With V(wsman), WS-Management messages go to the host over a C(winrm) or C(psrp) connection, and no PowerShell is
        started. Method calls over it were tried against simulated hosts only, so it has to be asked for.
      - V(auto) is PowerShell. If that cannot be run, the task ends, and nothing is tried over WS-Management.
      - The default is the variable C(hyperv_replica_transport), which may be a template. With C(delegate_to) it is
        that of the host that the task is delegated to. Where it is not set, the default is V(auto).
    type: str
    choices:
      - auto
      - powershell
      - wsman
requirements:
  - On the controller, C(pywinrm) for the connection P(ansible.builtin.winrm#connection), or C(pypsrp) for the
    connection P(ansible.builtin.psrp#connection). P(ansible.builtin.ssh#connection) needs nothing more.
  - On the host, Windows Server 2012 or newer with the Hyper-V role, and a WinRM listener or an SSH server. No Python is
    needed there.
  - For PowerShell, Windows PowerShell 5.1 or PowerShell 7 on the host, in a session with full language.
attributes:
  action:
    support: full
  action_group:
    description: Use C(group/hyperv.replica.replica) in C(module_defaults).
    support: full
    membership:
      - hyperv.replica.replica
  async:
    support: none
    details:
      - The task is refused. A host works by itself once it was asked to, so nothing is left for the background.
  become:
    support: partial
    details:
      - Over PowerShell only. With O(transport=wsman) the task is refused, because WS-Management acts as the user of the
        connection, and as nobody else.
  bypass_host_loop:
    support: none
  connection:
    support: partial
    details:
      - Over PowerShell, every connection on which Ansible runs PowerShell modules. A restricted session configuration
        (JEA) runs none, and is refused.
      - With O(transport=wsman), P(ansible.builtin.winrm#connection) and P(ansible.builtin.psrp#connection), the latter
        with the default session configuration. Any other is refused.
  delegation:
    support: full
  platform:
    platforms: windows
notes:
  - Nothing here has run against a real Windows host yet. It was built from Microsoft's documentation and is tested
    against the simulated hosts in the repository of this collection.
  - Each host is asked about its own VMs only. No host connects to another, so there is no double hop and no need for
    CredSSP or delegation.
seealso:
  - name: Hyper-V WMI provider (V2)
    description: Microsoft's documentation of the classes and methods that are used.
    link: https://learn.microsoft.com/windows/win32/hyperv_v2/windows-virtualization-portal
  - name: Set up Hyper-V Replica
    description: Microsoft's guide to the feature itself.
    link: https://learn.microsoft.com/windows-server/virtualization/hyper-v/manage/set-up-hyper-v-replica
"""
