# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a run over several VMs is carried out: the same for every module that acts on VMs."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  wait:
    description:
      - Whether to wait for the jobs on the host, and to read the state again when they have ended.
      - With V(false), the task ends once the calls were sent, and the VMs are RV(vms[].outcome=in_progress). The next
        run tells what became of them.
      - Check mode never waits.
    type: bool
    default: true
  wait_timeout:
    description:
      - How long to wait for a VM, in seconds, counted from the moment its call was sent.
      - After that the VM is RV(vms[].outcome=in_progress) with RV(vms[].error_class=job_timeout), and the task fails.
        What was started has not failed, and goes on. The same task again waits for the job that runs and sends
        nothing.
    type: int
    default: 600
  poll_interval:
    description:
      - How often to look at the jobs, in seconds, at least 0.1. It is one query for all of them.
    type: float
    default: 2.0
  max_parallel:
    description:
      - How many VMs of this host are worked on at the same time. V(0) means no limit.
      - Each change moves or drops disks, and is carried out by the one management service of a host that may be
        carrying the production load right now. Ten keep that service busy. And if the storage breaks meanwhile, ten
        VMs are between two states, and not hundreds.
    type: int
    default: 10
  on_error:
    description:
      - What to do with the VMs that are still to come when one has failed.
      - With V(continue), they are worked on all the same, and the task fails at the end.
      - With V(stop), no further call is sent. What runs already is waited for, and the rest are
        RV(vms[].outcome=not_attempted).
    type: str
    choices:
      - continue
      - stop
    default: continue
  report:
    description:
      - What RV(vms) lists when O(all=true).
      - With V(touched), the VMs that needed something, or failed.
      - With V(all), every VM of the host.
      - With O(name), every VM that was named is listed in any case.
    type: str
    choices:
      - touched
      - all
    default: touched
"""
