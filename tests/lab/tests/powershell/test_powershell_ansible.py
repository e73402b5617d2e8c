# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An unmodified Ansible runs PowerShell on a lab host: a module, a raw command, a script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

MODULE = """#!powershell
#AnsibleRequires -CSharpUtil Ansible.Basic
$spec = @{ options = @{ name = @{ type = 'str'; required = $true } }; supports_check_mode = $true }
$module = [Ansible.Basic.AnsibleModule]::Create($args, $spec)
Set-StrictMode -Version Latest
$query = "SELECT * FROM Msvm_ComputerSystem WHERE ElementName = '$($module.Params.name)'"
$module.Result.state = (Get-CimInstance -Namespace root/virtualization/v2 -Query $query).ReplicationState
$module.Result.check = $module.CheckMode
$module.Result.host = $env:COMPUTERNAME
$module.ExitJson()
"""

PLAY = """
- hosts: HV-REPLICA
  gather_facts: false
  tasks:
    - test.powershell.vm_state: {name: SQL 01}
      register: found
    - test.powershell.vm_state: {name: Ærø büro 仮想}
      check_mode: true
      register: checked
    - raw: "'büro'; exit 3"
      register: raw
      failed_when: raw.rc != 3
    - script: said.ps1 one
      register: said
    - assert:
        that:
          - (found.state, found.check, found.host) == (5, false, 'HV-REPLICA')
          - (checked.state, checked.check) == (5, true)
          - raw.stdout | trim == 'büro'
          - said.stdout | trim == 'script got one'
"""


@pytest.mark.skipif(shutil.which("ansible", path=str(Path(sys.executable).parent)) is None, reason="no ansible here")
@pytest.mark.parametrize(
    ("connection", "auth", "https", "started"),
    [("winrm", "ntlm", True, (7, 0)), ("psrp", "ntlm", False, (4, 7))],
)
def test_a_play(
    stage: t.Any, tmp_path: Path, connection: str, auth: str, https: bool, started: tuple[int, int]
) -> None:
    modules = tmp_path / "ansible_collections" / "test" / "powershell" / "plugins" / "modules"
    modules.mkdir(parents=True)
    (modules / "vm_state.ps1").write_text(MODULE, encoding="utf-8")
    (tmp_path / "said.ps1").write_text('param($word) "script got $word"', encoding="utf-8")
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    running = stage(https=https)
    inventory = yaml.safe_dump(running.lab.inventory(connection, auth, https))
    (tmp_path / "inventory.yml").write_text(inventory, encoding="utf-8")
    ansible = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [ansible, "-i", "inventory.yml", "play.yml"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path), "ANSIBLE_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    counters = running.host.counters.as_dict()
    assert (counters["powershell"], counters["pipelines"]) == started
    assert counters["cmdlets"] == {"Enumerate": 2}
    assert running.host.open_shells == 0
