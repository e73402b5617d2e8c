# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which VMs of a host are meant: the same for every module that acts on VMs."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  missing:
    description:
      - What to do when a name of O(name) fits no VM on this host.
      - V(fail) ends the task with RV(error_class=vm_not_found) before anything is changed.
      - V(ignore) passes over the name. On a cluster a VM lives on one of the nodes, so each node passes over
        the VMs of the others.
    type: str
    choices:
      - fail
      - ignore
    default: fail
  name:
    description:
      - The VMs that are meant, by name or by GUID (with or without braces).
      - Names compare without regard to case. They are never expanded as wildcards, and never match the host itself.
      - A name that fits more than one VM ends the task with RV(error_class=ambiguous_name) and the GUIDs of all of
        them, before anything is changed.
      - A name that looks like a number needs quotes in YAML.
      - Exactly one of O(name) and O(all=true) is needed.
    type: list
    elements: str
  all:
    description:
      - Means every VM of the host to which the wanted state applies.
      - The others are never touched and are no failure. This holds for VMs that are not replicated, are test copies,
        are on the other side of their pair, or are past the point where the wanted state could be reached. They are
        RV(vms[].outcome=not_applicable).
      - Exactly one of O(name) and O(all=true) is needed.
    type: bool
    default: false
  exclude:
    description:
      - VMs to leave out of O(all=true), by name or by GUID, as in O(name). It does not go with O(name).
      - A name that is not on this host fails the task, like one in O(name), unless O(missing=ignore). A mistyped
        exclusion would leave a VM in that somebody wanted out.
    type: list
    elements: str
    default: []
  max_changes:
    description:
      - If more VMs than this would be changed on this host, the task fails with RV(error_class=too_many) before the
        first call.
      - Unlimited when left out.
    type: int
"""
