# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shell plugin of the lab's WinRM (winrs): what ``cmd`` shells need, with a pluggable runner behind it.

MS-WSMV 3.1.4.5 to 3.1.4.14. A command starts when its standard input ends, or when its output is first asked
for; the runner gets all of the input at once and answers with both streams and the exit code.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import typing as t
import uuid
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from replica_lab.wire import messages as ws
from replica_lab.wire.counters import Counters
from replica_lab.wire.messages import Answer, Fault, Part, Request

CMD = f"{ws.RSP}/cmd"
"""Resource URI of a cmd shell."""
ROOM_FOR_ENVELOPE = 2500


@dataclass(frozen=True)
class ShellCommand:
    """What a client wants to be run."""

    host: str
    user: str
    command: str
    arguments: tuple[str, ...]
    stdin: bytes
    environment: t.Mapping[str, str]
    directory: str
    options: t.Mapping[str, str]
    """WINRS_… options of the shell and of the command."""


@dataclass(frozen=True)
class ShellResult:
    """What came of it."""

    stdout: bytes
    stderr: bytes
    exit_code: int


Runner = t.Callable[[ShellCommand], t.Awaitable[ShellResult]]
"""Runs a command on the lab's event loop. It is cancelled when the client terminates the command, deletes the
shell, or the lab stops: what it started must then end."""


async def no_shell(command: ShellCommand) -> ShellResult:
    """The default runner."""
    return ShellResult(b"", b"no PowerShell in this lab\r\n", 1)


class Dropped(Exception):
    """What ran in a shell was lost together with the connection that waits for its output."""


@dataclass
class _Command:
    line: str
    arguments: tuple[str, ...]
    options: t.Mapping[str, str]
    stdin: bytearray = field(default_factory=bytearray)
    task: asyncio.Task[ShellResult] | None = None
    sent: dict[str, int] = field(default_factory=lambda: {"stdout": 0, "stderr": 0})


@dataclass
class _Shell:
    user: str
    environment: t.Mapping[str, str]
    directory: str
    options: t.Mapping[str, str]
    commands: dict[str, _Command] = field(default_factory=dict)


class ShellPlugin:
    """The ``cmd`` resource of one host."""

    def __init__(self, host_name: str, counters: Counters, runner: Runner) -> None:
        self._host_name = host_name
        self._counters = counters
        self._runner = runner
        self._shells: dict[str, _Shell] = {}

    @property
    def open_shells(self) -> int:
        """Shells not deleted yet."""
        return len(self._shells)

    async def close(self) -> None:
        """End every command."""
        for shell in self._shells.values():
            for command in shell.commands.values():
                await _cancel(command)
        self._shells.clear()

    async def answer(self, request: Request, user: str) -> Answer:
        """Carry out one request. Raises Fault."""
        steps = {
            "Create": self._create,
            "Command": self._command,
            "Send": self._send,
            "Receive": self._receive,
            "Signal": self._signal,
            "Delete": self._delete,
        }
        if request.operation not in steps:
            raise Fault("unknown_action", info=request.action)
        return await steps[request.operation](request, user)

    async def _create(self, request: Request, user: str) -> Answer:
        element = body(request, "Shell")
        shell_id = element.get("ShellId") or new_id()
        self._shells[shell_id] = _Shell(
            user=user,
            environment={
                variable.get("Name", ""): variable.text or ""
                for variable in element.findall(f"{{{ws.RSP}}}Environment/{{{ws.RSP}}}Variable")
            },
            directory=element.findtext(f"{{{ws.RSP}}}WorkingDirectory") or "",
            options=request.options,
        )
        self._counters.add(shells=1)
        return created(CMD, shell_id, user, inputs="stdin", outputs="stdout stderr")

    async def _command(self, request: Request, user: str) -> Answer:
        shell = self._shell(request, user)
        element = body(request, "CommandLine")
        command_id = element.get("CommandId") or new_id()
        shell.commands[command_id] = _Command(
            line=element.findtext(f"{{{ws.RSP}}}Command") or "",
            arguments=tuple(argument.text or "" for argument in element.findall(f"{{{ws.RSP}}}Arguments")),
            options={**shell.options, **request.options},
        )
        return response("Command", f"<rsp:CommandId>{ws.text(command_id)}</rsp:CommandId>")

    async def _send(self, request: Request, user: str) -> Answer:
        shell = self._shell(request, user)
        for piece in body(request, "Send").findall(f"{{{ws.RSP}}}Stream"):
            command = _of(shell, piece)
            if command.task is not None:
                raise Fault("schema", text="The command takes no more input")
            try:
                command.stdin += base64.b64decode(piece.text or "", validate=True)
            except binascii.Error as error:
                raise Fault("schema", text="The input is not base64") from error
            if (piece.get("End") or "").lower() in ("true", "1"):
                self._start(shell, command)
        return response("Send", "")

    async def _receive(self, request: Request, user: str) -> Answer:
        shell = self._shell(request, user)
        desired = body(request, "Receive").find(f"{{{ws.RSP}}}DesiredStream")
        if desired is None:
            raise Fault("schema", text="Receive needs a DesiredStream")
        command = _of(shell, desired)
        command_id = desired.get("CommandId", "")
        task = self._start(shell, command)
        await asyncio.wait({task}, timeout=request.operation_timeout)
        if not task.done():
            raise Fault("timed_out")
        if task.cancelled():
            raise Fault("unexpected_selectors", info=command_id)
        result = task.result()
        room = (request.max_envelope_size - ROOM_FOR_ENVELOPE) // 4 * 3
        xml = ""
        for name, data in (("stdout", result.stdout), ("stderr", result.stderr)):
            piece = data[command.sent[name] : command.sent[name] + room]
            if piece:
                xml += stream(name, command_id, base64.b64encode(piece).decode())
            command.sent[name] += len(piece)
            room -= len(piece)
        done = command.sent == {"stdout": len(result.stdout), "stderr": len(result.stderr)}
        if done:
            xml += stream("stdout", command_id, "", end=True) + stream("stderr", command_id, "", end=True)
        exit_code = f"<rsp:ExitCode>{result.exit_code}</rsp:ExitCode>" if done else ""
        xml += (
            f'<rsp:CommandState CommandId="{ws.text(command_id)}"'
            f' State="{ws.RSP}/CommandState/{"Done" if done else "Running"}">{exit_code}</rsp:CommandState>'
        )
        return response("Receive", xml)

    async def _signal(self, request: Request, user: str) -> Answer:
        shell = self._shell(request, user)
        command_id = body(request, "Signal").get("CommandId", "")
        command = shell.commands.pop(command_id, None)
        if command is not None:
            await _cancel(command)
        return response("Signal", "")

    async def _delete(self, request: Request, user: str) -> Answer:
        shell = self._shell(request, user)
        self._shells = {shell_id: one for shell_id, one in self._shells.items() if one is not shell}
        for command in shell.commands.values():
            await _cancel(command)
        return Answer(f"{ws.X}/DeleteResponse")

    def _shell(self, request: Request, user: str) -> _Shell:
        shell_id = dict(request.selectors).get("ShellId", "")
        shell = self._shells.get(shell_id)
        if shell is None or shell.user != user:
            raise Fault("unexpected_selectors", info=shell_id)
        return shell

    def _start(self, shell: _Shell, command: _Command) -> asyncio.Task[ShellResult]:
        if command.task is None:
            command.task = asyncio.ensure_future(
                self._runner(
                    ShellCommand(
                        host=self._host_name,
                        user=shell.user,
                        command=command.line,
                        arguments=command.arguments,
                        stdin=bytes(command.stdin),
                        environment=shell.environment,
                        directory=shell.directory,
                        options=command.options,
                    )
                )
            )
        return command.task


async def _cancel(command: _Command) -> None:
    if command.task is not None and not command.task.done():
        command.task.cancel()
        await asyncio.wait({command.task})


def _of(shell: _Shell, element: Element) -> _Command:
    command = shell.commands.get(element.get("CommandId", ""))
    if command is None:
        raise Fault("unexpected_selectors", info=element.get("CommandId", ""))
    return command


# --- what every plugin for shells needs ---


def body(request: Request, name: str) -> Element:
    """The body's element, which must be this one. Raises Fault."""
    if request.body is None or request.body.tag != f"{{{ws.RSP}}}{name}":
        raise Fault("schema", text=f"The body needs the element {name}")
    return request.body


def stream(name: str, command_id: str, data: str, *, end: bool = False) -> str:
    """A piece of output, base64 already; without a command it is the shell's own."""
    command = f' CommandId="{ws.text(command_id)}"' if command_id else ""
    last = ' End="true"' if end else ""
    return f'<rsp:Stream Name="{name}"{command}{last}>{data}</rsp:Stream>'


def response(operation: str, inner: str) -> Answer:
    """The answer to Command, Send, Receive or Signal."""
    xml = f'<rsp:{operation}Response xmlns:rsp="{ws.RSP}">{inner}</rsp:{operation}Response>'
    return Answer(f"{ws.RSP}/{operation}Response", [Part(f"{operation}Response", xml)])


def created(resource_uri: str, shell_id: str, user: str, *, inputs: str, outputs: str) -> Answer:
    """The answer to Create."""
    resource = (
        f"<x:ResourceCreated><a:Address>{ws.ANONYMOUS}</a:Address><a:ReferenceParameters>"
        f"<w:ResourceURI>{ws.text(resource_uri)}</w:ResourceURI><w:SelectorSet>"
        f'<w:Selector Name="ShellId">{ws.text(shell_id)}</w:Selector></w:SelectorSet>'
        "</a:ReferenceParameters></x:ResourceCreated>"
    )
    shell = (
        f'<rsp:Shell xmlns:rsp="{ws.RSP}"><rsp:ShellId>{ws.text(shell_id)}</rsp:ShellId>'
        f"<rsp:ResourceUri>{ws.text(resource_uri)}</rsp:ResourceUri><rsp:Owner>{ws.text(user)}</rsp:Owner>"
        f"<rsp:ClientIP>127.0.0.1</rsp:ClientIP><rsp:InputStreams>{inputs}</rsp:InputStreams>"
        f"<rsp:OutputStreams>{outputs}</rsp:OutputStreams></rsp:Shell>"
    )
    return Answer(f"{ws.X}/CreateResponse", [Part("ResourceCreated", resource), Part("Shell", shell)])


def new_id() -> str:
    """A ShellId or CommandId, where the client gives none."""
    return str(uuid.uuid4()).upper()
