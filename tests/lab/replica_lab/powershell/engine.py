# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ``pwsh`` that the lab runs: found, given its CIM cmdlets, started and ended."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import typing as t
from pathlib import Path

VARIABLE = "REPLICA_LAB_PWSH"
"""The environment variable that names a ``pwsh`` to use."""

BESIDE = Path(__file__).resolve().parents[4].parent / "shared" / "powershell" / "install"
"""Unpacks a PowerShell engine once and prints its folder; only developers of this repository have it."""

MODULE = Path(__file__).with_name("CimCmdlets")

LINE_LIMIT = 4 * 1024 * 1024
"""A line of output may be that long: fragments come in lines."""

KILLED = 1
"""Exit code of a process that was ended from outside, as the task manager gives it."""

_NAMES = ("pwsh", "pwsh.exe", "powershell", "powershell.exe", "PowerShell")
"""Under which clients call it, and Ansible's wrappers look for it."""

_CHANGE_CODE_PAGE = "chcp.com"
"""What older releases of Ansible call first: a program of Windows that has nothing to do here."""

_KEPT = ("HOME", "LANG", "LC_ALL", "TZ", "XDG_CACHE_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR")
_SETTINGS = {
    "POWERSHELL_TELEMETRY_OPTOUT": "1",
    "POWERSHELL_UPDATECHECK": "Off",
    "DOTNET_CLI_TELEMETRY_OPTOUT": "1",
    "DOTNET_TieredPGO": "0",  # a process of one second has nothing to profile
    "TERM": "dumb",
    "NO_COLOR": "1",
}


class NoPowerShell(Exception):
    """No ``pwsh`` can be used here; the text says why."""


class Engine:
    """One ``pwsh``. ``path`` is its program, ``cache`` the folder for what is compiled once for all labs."""

    def __init__(self, path: Path, cache: Path | None = None) -> None:
        self.path = path
        self._cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "replica-lab"
        self._folder: Path | None = None
        self._making = threading.Lock()

    @classmethod
    def find(cls) -> Engine:
        """The one that REPLICA_LAB_PWSH names, else the one on PATH, else the engine that lies beside the repository.

        Raises NoPowerShell.
        """
        named = os.environ.get(VARIABLE)
        found = shutil.which(named or "pwsh")
        if found is not None:
            return cls(Path(found).resolve())
        if named:
            raise NoPowerShell(f"{VARIABLE} names no program: {named}")
        if not BESIDE.is_file():
            raise NoPowerShell(f"no pwsh on PATH, none named by {VARIABLE}")
        done = subprocess.run([BESIDE], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoPowerShell(f"no pwsh on PATH, and the engine beside the repository says: {done.stderr.strip()}")
        return cls(Path(done.stdout.splitlines()[-1]) / "pwsh")

    async def start(
        self, arguments: t.Sequence[str], environment: t.Mapping[str, str], directory: Path
    ) -> asyncio.subprocess.Process:
        """Start a process with pipes for its streams, in a process group of its own, in a folder of its own."""
        told = await asyncio.to_thread(self.environment, environment, directory)
        return await asyncio.create_subprocess_exec(
            self.path,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT,
            start_new_session=True,
            cwd=directory,
            env=told,
        )

    def environment(self, more: t.Mapping[str, str], directory: Path) -> dict[str, str]:
        """For a process in this folder, with what it needs (see ``prepare``) and these variables."""
        folder = self.prepare()
        return {
            **self._settings(),
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PSModulePath": str(folder / "Modules"),
            "PSModuleAnalysisCachePath": str(folder / "analysis-cache"),
            **dict.fromkeys(("TEMP", "TMP", "TMPDIR"), str(directory)),
            **more,
        }

    @staticmethod
    def _settings() -> dict[str, str]:
        return {**{name: os.environ[name] for name in _KEPT if name in os.environ}, **_SETTINGS}

    def prepare(self) -> Path:
        """The folder with what a process needs (``Modules``, ``bin``), made now if it never was: a second or two.

        Raises NoPowerShell when this ``pwsh`` cannot compile the CIM cmdlets.
        """
        with self._making:
            if self._folder is None:
                folder = self._cache / self._fingerprint()
                if not folder.is_dir():
                    self._make(folder)
                self._folder = folder
            return self._folder

    def _fingerprint(self) -> str:
        """What the compiled module depends on: its sources, and the program that compiled it."""
        known = self.path.stat()
        digest = hashlib.sha256(f"{self.path} {known.st_size} {known.st_mtime_ns}".encode())
        for source in sorted(MODULE.iterdir()):
            digest.update(source.read_bytes())
        return digest.hexdigest()[:16]

    def _make(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "made"
            (made / "bin").mkdir(parents=True)
            for name in _NAMES:
                (made / "bin" / name).symlink_to(self.path)
            (made / "bin" / _CHANGE_CODE_PAGE).write_text("#!/bin/sh\n", encoding="ascii")
            (made / "bin" / _CHANGE_CODE_PAGE).chmod(0o755)
            self._compile(made / "Modules" / MODULE.name)
            try:
                made.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another lab was quicker, and its result is used
                    raise

    def _compile(self, module: Path) -> None:
        module.mkdir(parents=True)
        shutil.copy(MODULE / "CimCmdlets.psd1", module)
        sources = ", ".join(f"'{source}'" for source in sorted(MODULE.glob("*.cs")))
        script = (
            f"$ErrorActionPreference = 'Stop'; Add-Type -Path {sources} -CompilerOptions /unsafe"
            " -ReferencedAssemblies Microsoft.Management.Infrastructure"
            f" -OutputType Library -OutputAssembly '{module / 'CimCmdlets.dll'}'"
        )
        done = subprocess.run(
            [self.path, "-NoProfile", "-NonInteractive", "-Command", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self._settings(),
            check=False,
        )
        if done.returncode or not (module / "CimCmdlets.dll").is_file():
            raise NoPowerShell(f"{self.path} cannot compile the CIM cmdlets: {done.stderr or done.stdout}")


async def end(process: asyncio.subprocess.Process) -> None:
    """End a process and everything that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
