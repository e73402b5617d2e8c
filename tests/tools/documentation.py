# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Ansible itself reads from the documentation, and the tasks that the documentation shows."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import typing as t
from collections.abc import Iterator
from pathlib import Path

from tree import ROOT

BUILD = ROOT / ".build"


def public_modules() -> list[str]:
    """The modules that users see: those with a documentation file that does not call itself internal."""
    found = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.yml"))
    described = ansible_doc(*(f"hyperv.replica.{name}" for name in found))
    return [
        name
        for name in found
        if not described[f"hyperv.replica.{name}"]["doc"]["short_description"].startswith("Internal:")
    ]


def modules_with_actions() -> list[str]:
    """The modules that are action plugins, internal ones among them."""
    return sorted(path.stem for path in (ROOT / "plugins" / "action").glob("*.py") if path.stem != "__init__")


@functools.cache
def ansible_doc(*modules: str) -> dict[str, t.Any]:
    """What `ansible-doc` says of the modules: read by Ansible's own loaders, with the doc fragments merged in."""
    if not modules:
        return {}
    command = [str(Path(sys.executable).with_name("ansible-doc")), "--type", "module", "--json", *modules]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(BUILD), "ANSIBLE_NOCOLOR": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    described: dict[str, t.Any] = json.loads(ended.stdout or "{}")
    unreadable = {name for name in modules if "doc" not in described.get(name, {})}
    if unreadable:
        raise LookupError(f"ansible-doc cannot read {', '.join(sorted(unreadable))}: {ended.stderr.strip()}")
    return described


def tasks(items: t.Any) -> Iterator[dict[str, t.Any]]:
    """The tasks of a list of tasks or plays, those in blocks included. Imported playbooks and roles are not tasks."""
    for item in items:
        for section in ("block", "rescue", "always", "pre_tasks", "tasks", "post_tasks", "handlers"):
            yield from tasks(item.get(section) or [])
        if not {"block", "hosts", "import_playbook", "ansible.builtin.import_playbook"} & item.keys():
            yield item


def module_of(task: dict[str, t.Any]) -> str:
    """The name of the module that a task uses; it has to be a fully qualified one, and there has to be one only."""
    dotted = [key for key in task if key.count(".") >= 2]
    if len(dotted) != 1:
        raise ValueError(f"not one fully qualified module name in the task {task.get('name', task)!r}: {dotted}")
    return dotted[0]
