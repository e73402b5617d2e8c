# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SSH server of one host: a command that a client sends goes to the runner that WinRM's shells have.

Real SSH by asyncssh, on loopback, with keys that the lab makes for itself. There is no SFTP, no terminal and no
forwarding: Ansible sends a PowerShell module on standard input and reads standard output.
"""

from __future__ import annotations

import asyncio
import typing as t
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from replica_lab.wire.counters import Counters
from replica_lab.wire.shell import Dropped, Runner, ShellCommand

_KIND = "ssh-ed25519"
_HOST = "[127.0.0.1]:*"


@dataclass(frozen=True)
class Keys:
    """The key of all hosts of a lab, and the one with which its users log on."""

    host: asyncssh.SSHKey
    client: asyncssh.SSHKey
    client_file: Path
    known_hosts: Path
    """For the client: the host key, for every port of 127.0.0.1."""

    @classmethod
    def make(cls, directory: Path) -> Keys:
        """New keys; those that a client needs are written to the folder."""
        host, client = asyncssh.generate_private_key(_KIND), asyncssh.generate_private_key(_KIND)
        client_file, known_hosts = directory / "ssh-key", directory / "ssh-known-hosts"
        client_file.touch(0o600)
        client.write_private_key(client_file)
        known_hosts.write_bytes(_HOST.encode() + b" " + host.export_public_key())
        return cls(host, client, client_file, known_hosts)

    def options(self) -> str:
        """For ``ssh``: trust these keys and no settings of the person who runs it, and leave no process behind."""
        known = f"UserKnownHostsFile={self.known_hosts}"
        settings = ("ControlMaster=no", "ControlPath=none", "IdentitiesOnly=yes", known)
        return " ".join(["-F none", *(f"-o {setting}" for setting in settings)])


class SshListener:
    """Listens for one host. Belongs to the lab's event loop.

    ``users``: the names that may log on. ``runner``: carries out commands. ``errors``: takes what no code expected.
    """

    def __init__(
        self,
        name: str,
        *,
        keys: Keys,
        users: t.Iterable[str],
        runner: Runner,
        counters: Counters,
        errors: list[str],
    ) -> None:
        self._name = name
        self._keys = keys
        self._users = {user.lower() for user in users}
        self._runner = runner
        self._counters = counters
        self._errors = errors
        self._connections: set[asyncssh.SSHServerConnection] = set()

    async def listen(self, port: int) -> asyncssh.SSHAcceptor:
        """Listen on 127.0.0.1; 0 takes a free port. Raises OSError for a port in use."""
        return await asyncssh.create_server(
            lambda: _Logon(self),
            "127.0.0.1",
            port,
            server_host_keys=[self._keys.host],
            process_factory=self._serve,
            encoding=None,
            allow_pty=False,
        )

    def abort(self) -> None:
        """Drop every connection."""
        for connection in list(self._connections):
            connection.abort()

    def may_log_on(self, user: str, key: asyncssh.SSHKey) -> bool:
        """Whether this key opens this account."""
        return user.lower() in self._users and key.public_data == self._keys.client.public_data

    def begun(self, connection: asyncssh.SSHServerConnection) -> None:
        """A client has connected."""
        self._connections.add(connection)
        self._counters.add(connections=1)

    def ended(self, connection: asyncssh.SSHServerConnection) -> None:
        """Its connection is gone."""
        self._connections.discard(connection)

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Run one command. A client that goes away takes it along."""
        running = asyncio.ensure_future(self._run(process))
        gone = asyncio.ensure_future(process.channel.wait_closed())
        try:
            await asyncio.wait({running, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (running, gone):
                task.cancel()
            await asyncio.wait({running, gone})

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        try:
            command = ShellCommand(
                host=self._name,
                user=process.get_extra_info("username"),
                command=process.command or "",
                arguments=(),
                stdin=await process.stdin.read(),
                environment={},
                directory="",
                options={},
            )
            self._counters.add(shells=1)
            result = await self._runner(command)
        except (Dropped, ConnectionError):
            process.get_extra_info("connection").abort()
            return
        except Exception as error:
            # The client sees its connection end; the lab's owner gets the reason.
            self._errors.append(f"a command over SSH: {error!r}")
            process.get_extra_info("connection").abort()
            raise
        process.stdout.write(result.stdout)
        process.stderr.write(result.stderr)
        process.exit(result.exit_code)


class _Logon(asyncssh.SSHServer):
    """One connection: who may log on, and when it is gone."""

    def __init__(self, listener: SshListener) -> None:
        self._listener = listener
        self._connection: asyncssh.SSHServerConnection | None = None
        self._user = ""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._listener.begun(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._listener.ended(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True  # nobody comes in without a key

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._listener.may_log_on(username, key)
