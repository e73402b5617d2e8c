# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run every checker on a copy of the repository, two at a time, and close with one line for each.

    python tests/tools/lint.py [PART ...]

A copy, because Ansible's tools want the full path ansible_collections/hyperv/replica, ansible-test refuses a tree
that is reached through a symlink and wants a git of its own, and none of them should wander through virtual
environments.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import tree
from find_pwsh import NoPowerShell, find_pwsh

BIN = Path(sys.executable).parent
ENVIRONMENT = Path(sys.prefix)
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
STRICTLY_TYPED = ("_cim", "_record", "_replica")


@dataclass(frozen=True)
class Ended:
    """How one part ended: its whole output, and what it could not run, each with the reason."""

    passed: bool
    output: str
    notes: tuple[str, ...] = ()


def run(command: list[str], collection: Path, **environment: str) -> Ended:
    """Run a tool of this virtual environment in the copy."""
    variables = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_COLLECTIONS_PATH": str(collection.parents[2]),
        "NO_COLOR": "1",
        **environment,
    }
    ended = subprocess.run(
        command,
        cwd=collection,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return Ended(ended.returncode == 0, f"{ended.stdout.rstrip()}\n{command[0]} ended with status {ended.returncode}")


def ruff(collection: Path) -> Ended:
    return run(["ruff", "check", "--no-cache", "--output-format", "concise", "."], collection)


def mypy(collection: Path) -> Ended:
    packages = [f"ansible_collections.hyperv.replica.plugins.plugin_utils.{name}" for name in STRICTLY_TYPED]
    command = ["mypy", *(argument for package in packages for argument in ("-p", package))]
    return run(command, collection, MYPYPATH=str(collection.parents[2]), MYPY_CACHE_DIR=str(ENVIRONMENT / "mypy_cache"))


def ansible_lint(collection: Path) -> Ended:
    return run(["ansible-lint", "--profile", "production", "--offline", "--strict"], collection)


def antsibull_docs(collection: Path) -> Ended:
    return run(["antsibull-docs", "lint-collection-docs", "--plugin-docs", "."], collection)


def antsibull_changelog(collection: Path) -> Ended:
    return run(["antsibull-changelog", "lint"], collection)


def galaxy_importer(collection: Path) -> Ended:
    """What Galaxy and Automation Hub do with an upload, without ansible-lint, which is a part of its own here."""
    placeholder = "https://example.org/hyperv.replica"
    notes: tuple[str, ...] = ()
    metadata = collection / "galaxy.yml"
    text = metadata.read_text(encoding="utf-8")
    if "\nrepository:" not in text:
        metadata.write_text(f"{text}repository: {placeholder}\n", encoding="utf-8")
        notes = (f"galaxy.yml has no repository yet, which a release needs: {placeholder} stood in",)
    built = run(["ansible-galaxy", "collection", "build", "--output-path", "artifact"], collection)
    if not built.passed:
        return built
    (artifact,) = (collection / "artifact").iterdir()
    command = [sys.executable, "-m", "galaxy_importer.main", f"artifact/{artifact.name}"]
    imported = run(command, collection, GALAXY_IMPORTER_RUN_ANSIBLE_LINT="false")
    complaints = re.search(r"^(WARNING|ERROR)", imported.output, re.MULTILINE)
    return Ended(imported.passed and not complaints, imported.output, notes)


def ansible_test_home() -> Path:
    """A home directory for ansible-test, in which its environments get their pip from the package index.

    ansible-test fetches a bootstrap script for pip from a host of its own, which may be out of reach where a package
    index is not. It looks into its download cache first (its error message says where), so that is where a script
    of the same name is put, which runs the wheel of the very pip version that ansible-test asks for.
    """
    # ansible-test has no public way to tell which version it will ask for.
    from ansible_test._internal.python_requirements import get_venv_packages

    version = get_venv_packages(SimpleNamespace(version=PYTHON))["pip"]
    home = ENVIRONMENT / "ansible-test-home"
    cache = home / ".ansible" / "test" / "cache"
    script = cache / f"get_pip_{version.replace('.', '_')}.py"
    if not script.exists():
        cache.mkdir(parents=True, exist_ok=True)
        download = [sys.executable, "-m", "pip", "-qq", "download", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*download, "-d", str(cache), f"pip=={version}"], stdin=subprocess.DEVNULL, check=True)
        # The owner of the real home may have told pip where its index and its cache are.
        for settings in (".config/pip", ".pip", ".cache/pip"):
            if (Path.home() / settings).exists() and not (home / settings).exists():
                (home / settings).parent.mkdir(parents=True, exist_ok=True)
                (home / settings).symlink_to(Path.home() / settings)
        script.write_text(
            "import pathlib, runpy, sys\n"
            f"sys.path.insert(0, str(pathlib.Path(__file__).with_name('pip-{version}-py3-none-any.whl')))\n"
            "sys.argv[1:] = ['install', *(a for a in sys.argv[1:] if a not in ('--no-setuptools', '--no-wheel'))]\n"
            "runpy.run_module('pip', run_name='__main__', alter_sys=True)\n",
            encoding="utf-8",
        )
        print(f"ansible-test: pip {version} for its environments comes from the package index", flush=True)
    return home


def ansible_test(command: str, collection: Path, *arguments: str, **environment: str) -> Ended:
    """Run `ansible-test` on this interpreter. What it leaves out is one of its warnings, and becomes a note."""
    for git in (["git", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(git, cwd=collection, stdin=subprocess.DEVNULL, check=True)
    whole = ["ansible-test", command, "--python", PYTHON, "--color", "no", *arguments]
    ended = run(whole, collection, HOME=str(ENVIRONMENT / "ansible-test-home"), **environment)
    warnings = re.findall(r"^WARNING: (.*)", ended.output.split("WARNING: Reviewing previous")[0], re.MULTILINE)
    return Ended(ended.passed, ended.output, tuple(line for line in warnings if not line.startswith("Using locale")))


def sanity(collection: Path) -> Ended:
    ansible_test_home()
    notes, chosen = [], []
    try:
        pwsh: Path | None = find_pwsh()
    except NoPowerShell as reason:
        pwsh = None
        # validate-modules ends with an error where it meets a PowerShell module and has no PowerShell to read it with.
        modules = [path for path in tree.files() if path.startswith("plugins/modules/") and path.endswith(".ps1")]
        for module in modules:
            chosen += ["--exclude", module]
            notes.append(f"{module} was left out: {reason}")
    obstacle = pslint_obstacle(pwsh)
    if obstacle:
        chosen += ["--skip-test", "pslint"]
        notes.append(f"pslint did not run: {obstacle}")
    # First the environments of its tests, so that pip's chatter is not taken for theirs.
    path = {"PATH": f"{pwsh.parent}{os.pathsep}{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"} if pwsh else {}
    primed = ansible_test("sanity", collection, "--prime-venvs", *chosen, **path)
    if not primed.passed:
        return primed
    ended = ansible_test("sanity", collection, *chosen, **path)
    return Ended(ended.passed, ended.output, (*ended.notes, *notes))


def pslint_obstacle(pwsh: Path | None) -> str:
    """Why ansible-test's pslint can't run here, or an empty text."""
    if not any(path.endswith((".ps1", ".psm1", ".psd1")) for path in tree.files()):
        return "there is no PowerShell file to look at"
    if pwsh is None:
        return "no pwsh here"
    listing = "Get-Module -ListAvailable -Name PSScriptAnalyzer | ForEach-Object Name"
    command = [str(pwsh), "-NoProfile", "-Command", listing]
    listed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return "" if "PSScriptAnalyzer" in listed.stdout else "pwsh has no PSScriptAnalyzer here"


def units(collection: Path) -> Ended:
    return ansible_test("units", collection, "--num-workers", "2")


# The longest first: two run at a time.
PARTS: dict[str, Callable[[Path], Ended]] = {
    "sanity": sanity,
    "units": units,
    "galaxy-importer": galaxy_importer,
    "antsibull-docs": antsibull_docs,
    "ansible-lint": ansible_lint,
    "mypy": mypy,
    "ruff": ruff,
    "antsibull-changelog": antsibull_changelog,
}


def check(part: str, scratch: Path) -> tuple[bool, str]:
    """Run one part on a copy of its own, print what it said if it failed, and give its closing line."""
    started = time.monotonic()
    ended = PARTS[part](tree.copy(scratch / part))
    if not ended.passed:
        print(f"--- {part}\n{ended.output.strip()}\n", flush=True)
    line = f"{part}: {'passed' if ended.passed else 'FAILED'} in {time.monotonic() - started:.0f} s"
    return ended.passed, "\n".join((line, *(f"    {note}" for note in ended.notes)))


def main() -> int:
    chosen = sys.argv[1:] or list(PARTS)
    unknown = [part for part in chosen if part not in PARTS]
    if unknown:
        print(f"unknown part: {', '.join(unknown)}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="hyperv-replica-lint-") as directory, ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda part: check(part, Path(directory)), chosen))
    print("---")
    for _passed, line in results:
        print(line)
    return 0 if all(passed for passed, _line in results) else 1


if __name__ == "__main__":
    sys.exit(main())
