# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of this repository: what git would track, found without git."""

from __future__ import annotations

import os
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _ignored(root: Path) -> tuple[str, ...]:
    """The patterns of .gitignore. Only its simple forms are used there: names, globs, a leading or trailing slash."""
    lines = (root / ".gitignore").read_text(encoding="utf-8").splitlines()
    return (".git/", *(line for line in lines if line and not line.startswith("#")))


def _matches(path: str, is_directory: bool, pattern: str) -> bool:
    if pattern.endswith("/") and not is_directory:
        return False
    anchored = "/" in pattern.rstrip("/")
    return fnmatchcase(path if anchored else path.rsplit("/", 1)[-1], pattern.strip("/"))


def files(root: Path = ROOT) -> list[str]:
    """Every file under `root` that .gitignore does not leave out, as sorted posix paths relative to it."""
    patterns = _ignored(root)
    found = []
    for directory, subdirectories, names in os.walk(root):
        prefix = Path(directory).relative_to(root)
        kept = []
        for name in subdirectories:
            path = (prefix / name).as_posix()
            if not any(_matches(path, True, pattern) for pattern in patterns):
                kept.append(name)
        subdirectories[:] = kept
        for name in names:
            path = (prefix / name).as_posix()
            if not any(_matches(path, False, pattern) for pattern in patterns):
                found.append(path)
    return sorted(found)


def copy(destination: Path, root: Path = ROOT) -> Path:
    """Copy those files to `destination`/ansible_collections/hyperv/replica; return that directory."""
    collection = destination / "ansible_collections" / "hyperv" / "replica"
    for path in files(root):
        target = collection / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, target, follow_symlinks=False)
    return collection
