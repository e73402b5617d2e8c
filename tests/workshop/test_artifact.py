# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The artifact that `ansible-galaxy collection build` makes: what a play needs, and nothing of the workshop."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import tree

# Everything that may be in the artifact, by its first one or two path components.
ALLOWED = {
    "CHANGELOG.rst",
    "CODE_OF_CONDUCT.md",
    "COPYING",
    "FILES.json",
    "MANIFEST.json",
    "README.md",
    "changelogs/changelog.yaml",
    "docs/docsite",
    "extensions/patterns",
    "meta/execution-environment.yml",
    "meta/runtime.yml",
    "playbooks",
    "plugins/action",
    "plugins/doc_fragments",
    "plugins/module_utils",
    "plugins/modules",
    "plugins/plugin_utils",
    "requirements.txt",
    "roles",
}
# What every artifact of this collection has; `ALLOWED` may name more.
NEEDED = {"CHANGELOG.rst", "COPYING", "README.md", "meta/runtime.yml", "plugins/modules/failover.yml"}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files of an artifact built from a copy, in which traces of work lie about as they do in a real checkout."""
    directory = tmp_path_factory.mktemp("artifact")
    collection = tree.copy(directory)
    for trace in (".venv/bin/python", ".venv-lint/x", ".build/x", ".git/config", ".pytest_cache/x", "tests/output/x"):
        (collection / trace).parent.mkdir(parents=True, exist_ok=True)
        (collection / trace).write_text("", encoding="utf-8")
    galaxy = str(Path(sys.executable).with_name("ansible-galaxy"))
    command = [galaxy, "collection", "build", "--output-path", str(directory)]
    built = subprocess.run(command, cwd=collection, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (archive,) = directory.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        return [member.name for member in opened.getmembers() if member.isfile()]


def test_the_artifact_holds_nothing_of_the_workshop(artifact: list[str]) -> None:
    allowed = tuple(f"{top}/" for top in ALLOWED)
    assert [path for path in artifact if not f"{path}/".startswith(allowed)] == []


def test_the_artifact_holds_what_a_play_needs(artifact: list[str]) -> None:
    assert set(artifact) >= NEEDED


def test_the_artifact_holds_all_plugins_roles_and_playbooks(artifact: list[str]) -> None:
    shipped = [path for path in tree.files() if path.startswith(("plugins/", "roles/", "playbooks/"))]
    assert [path for path in shipped if path not in artifact] == []
