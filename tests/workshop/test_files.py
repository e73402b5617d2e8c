# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every file of the repository: its licence, its banner, and nothing in it of the machine that it was written on."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from tree import ROOT, files

LICENCE = (
    "Copyright (c) 2026, hyperv.replica contributors",
    "GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "SPDX-License-Identifier: GPL-3.0-or-later",
)
BANNER = "This file is for the internal use of the hyperv.replica collection only."
# Files that a tool writes, or that are the licence.
WITHOUT_LICENCE = {"COPYING", "CHANGELOG.rst", "changelogs/changelog.yaml"}
# The brackets keep the patterns from matching themselves.
FOREIGN = {
    "a path of one machine": r"(?<![\w.:}<>])/([w]ork|[r]oot(?!/cimv2|/virtualization)|[h]ome/\w+|[t]mp|[o]pt/\w+)\b",
    "a host of a package index": r"pypi[.]org|pythonhosted[.]org|registry[.]npmjs|nuget[.]org|ci-files[.]testing",
}


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_the_list_of_files_is_that_of_git() -> None:
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout, or there is no git here")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    assert files() == sorted(path for path in set(listed) if path and (ROOT / path).exists())


def test_every_file_says_its_licence() -> None:
    missing = []
    for path in files():
        sidecar = f"{path}.license"
        text = text_of(sidecar if (ROOT / sidecar).exists() else path)
        head = "\n".join(text.splitlines()[:8])
        if text and path not in WITHOUT_LICENCE and not all(line in head for line in LICENCE):
            missing.append(path)
    assert missing == []


def test_private_files_say_that_they_are_private() -> None:
    private = [path for path in files() if re.match(r"plugins/(plugin_utils|module_utils)/", path)]
    assert [path for path in private if "/_" not in path] == []
    code = [path for path in private if not path.endswith("/__init__.py") or text_of(path)]
    assert [path for path in code if BANNER not in text_of(path)] == []


@pytest.mark.parametrize("what", sorted(FOREIGN))
def test_no_file_holds(what: str) -> None:
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in files()
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if re.search(FOREIGN[what], line)
    ]
    assert found == []


def test_the_ignore_files_of_ansible_test_are_not_there() -> None:
    assert [path for path in files() if path.startswith("tests/sanity/ignore-")] == []
