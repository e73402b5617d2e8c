# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The PowerShell resource of WinRM (PSRP over WS-Man), bridged to ``pwsh -ServerMode``.

MS-PSRP 3.1.5.3: a shell is a runspace pool, a command is a pipeline. Client and server exchange fragments, which
are carried from one framing to the other as they are, unless a fault spoils what a pipeline writes. Only the
default session configuration is there. What is not: Disconnect and Reconnect, and CommandState Done, for which one
would have to know the end of a pipeline (clients go by its state, which is in the fragments).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import collections
import contextlib
import typing as t
from xml.etree.ElementTree import Element

from replica_lab.faults import Do
from replica_lab.powershell.fragments import Rewriter
from replica_lab.powershell.host import AT_THE_START, IN_A_PIPELINE, SPOILS, PowerShellHost, Session, spoilt_output
from replica_lab.powershell.out_of_process import POOL, Packet, decode
from replica_lab.wire import messages as ws
from replica_lab.wire import shell
from replica_lab.wire.counters import Counters
from replica_lab.wire.messages import Answer, Fault, Request

PREFIX = "http://schemas.microsoft.com/powershell/"
CONFIGURATION = f"{PREFIX}Microsoft.PowerShell"
"""Resource URI of the default session configuration."""

_CREATION_XML = "{http://schemas.microsoft.com/powershell}creationXml"
_TERMINATE = "terminate"

ABORTED = 995
"""ERROR_OPERATION_ABORTED: what a Receive ends with when the host process is gone. Stand-in."""

MARGIN = 4
"""A fragment is never cut; base64 makes four bytes of three."""


class _Ended(Exception):
    """The process of a pool has ended."""


class _Pool:
    """One ``pwsh -ServerMode``: what was sent to it is acknowledged, what it sends is kept until it is asked for."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._process = t.cast(asyncio.subprocess.Process, session.process)
        self._received: dict[str, collections.deque[bytes]] = {POOL: collections.deque()}
        self._written: dict[str, Rewriter] = {}
        self._news = asyncio.Condition()
        self._turn = asyncio.Lock()
        self._acknowledgements: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._ended = False
        self._reading = asyncio.ensure_future(self._read())
        self._draining = asyncio.ensure_future(t.cast(asyncio.StreamReader, self._process.stderr).read())

    @property
    def user(self) -> str:
        return self.session.user

    def knows(self, target: str) -> bool:
        return target in self._received

    def add(self, target: str) -> None:
        """A pipeline from which something can be received."""
        if target not in self._received:
            self._received[target] = collections.deque()
            self._written[target] = Rewriter(self._spoilt)

    def forget(self, target: str) -> None:
        self._received.pop(target, None)
        self._written.pop(target, None)

    def _spoilt(self, text: str) -> str:
        do = self.session.spoilt
        return text if do is None else spoilt_output(text.encode(), do).decode("utf-8", "replace")

    async def send(self, packet: Packet) -> None:
        """Send a packet and wait until it is acknowledged: the server takes packets in any order. Raises _Ended."""
        stdin = t.cast(asyncio.StreamWriter, self._process.stdin)
        async with self._turn:
            if self._ended:
                raise _Ended
            acknowledged = asyncio.get_running_loop().create_future()
            self._acknowledgements[packet.acknowledgement] = acknowledged
            try:
                stdin.write(packet.encode())
                await stdin.drain()
                await acknowledged
            except ConnectionError as error:
                raise _Ended from error
            finally:
                self._acknowledgements.pop(packet.acknowledgement, None)

    async def receive(self, target: str, room: int, timeout: float) -> list[bytes]:
        """Fragments in order, as many as fit, at least one. Raises TimeoutError, and _Ended when none will come."""
        queue = self._received[target]
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: queue or self._ended), timeout)
        if not queue:
            raise _Ended
        pieces: list[bytes] = []
        while queue and (not pieces or sum(map(len, pieces)) + len(queue[0]) + MARGIN * (len(pieces) + 1) <= room):
            pieces.append(queue.popleft())
        return pieces

    async def _read(self) -> None:
        stdout = t.cast(asyncio.StreamReader, self._process.stdout)
        with contextlib.suppress(ConnectionError):
            while line := await stdout.readline():
                packet = decode(line)
                if packet is not None:
                    await self._take(packet)
        async with self._news:
            self._ended = True
            for waiting in self._acknowledgements.values():
                if not waiting.done():
                    waiting.set_exception(_Ended())
            self._news.notify_all()

    async def _take(self, packet: Packet) -> None:
        if packet.kind == "Data":
            rewriter = self._written.get(packet.target)
            data = packet.data if rewriter is None else rewriter.take(packet.data)
            if data and packet.target in self._received:
                async with self._news:
                    self._received[packet.target].append(data)
                    self._news.notify_all()
            return
        waiting = self._acknowledgements.get((packet.kind, packet.target))
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def close(self) -> None:
        """Wait for the tasks that read: the process has ended before."""
        await asyncio.gather(self._reading, self._draining, return_exceptions=True)


class PsrpPlugin:
    """The ``Microsoft.PowerShell`` resource of one host."""

    def __init__(self, powershell: PowerShellHost, counters: Counters) -> None:
        self._powershell = powershell
        self._counters = counters
        self._pools: dict[str, _Pool] = {}

    @property
    def open_shells(self) -> int:
        """Runspace pools not deleted yet."""
        return len(self._pools)

    async def close(self) -> None:
        """End every pool."""
        for shell_id in list(self._pools):
            await self._end(shell_id)

    async def answer(self, request: Request, user: str) -> Answer:
        """Carry out one request. Raises Fault."""
        if request.resource_uri.lower() != CONFIGURATION.lower():
            raise Fault("unknown_resource", info=request.resource_uri)
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
        try:
            return await steps[request.operation](request, user)
        except _Ended as error:
            pool = self._pools.get(_shell_id(request))
            await self._end(_shell_id(request))
            if pool is not None and pool.session.dropped:
                raise shell.Dropped from error
            raise Fault("internal", code=ABORTED, text="The process that served this session has ended.") from error

    async def _create(self, request: Request, user: str) -> Answer:
        body = shell.body(request, "Shell")
        shell_id = body.get("ShellId") or shell.new_id()
        fragments = _decoded(body.find(_CREATION_XML))
        struck = self._powershell.strike_run(AT_THE_START)
        if struck is not None:
            raise Fault("internal", text="The PowerShell host process cannot be started.")
        arguments = ["-NoLogo", "-NoProfile", "-ServerMode"]
        pool = _Pool(await self._powershell.start(arguments, user, spoilable=True))
        self._pools[shell_id] = pool
        self._counters.add(shells=1)
        await pool.send(Packet("Data", POOL, fragments))
        return shell.created(CONFIGURATION, shell_id, user, inputs="stdin pr", outputs="stdout")

    async def _command(self, request: Request, user: str) -> Answer:
        pool = self._pool(request, user)
        body = shell.body(request, "CommandLine")
        command_id = body.get("CommandId") or shell.new_id()
        target = command_id.lower()
        struck = self._powershell.strike_run(IN_A_PIPELINE)
        pool.session.spoilt = struck.do if struck is not None and struck.do in SPOILS else None
        if struck is not None and struck.do not in SPOILS:
            await self._powershell.wait(struck)
            if struck.do is not Do.DELAY:
                await pool.session.kill()
        self._counters.add(pipelines=1)
        await pool.send(Packet("Command", target))
        pool.add(target)
        for argument in body.findall(f"{{{ws.RSP}}}Arguments"):
            await pool.send(Packet("Data", target, _decoded(argument)))
        return shell.response("Command", f"<rsp:CommandId>{ws.text(command_id)}</rsp:CommandId>")

    async def _send(self, request: Request, user: str) -> Answer:
        pool = self._pool(request, user)
        for element in shell.body(request, "Send").findall(f"{{{ws.RSP}}}Stream"):
            target = _target(pool, element)
            stream = "PromptResponse" if element.get("Name") == "pr" else "Default"
            await pool.send(Packet("Data", target, _decoded(element), stream))
        return shell.response("Send", "")

    async def _receive(self, request: Request, user: str) -> Answer:
        pool = self._pool(request, user)
        desired = shell.body(request, "Receive").find(f"{{{ws.RSP}}}DesiredStream")
        if desired is None:
            raise Fault("schema", text="Receive needs a DesiredStream")
        command_id = desired.get("CommandId", "")
        room = (request.max_envelope_size - shell.ROOM_FOR_ENVELOPE) // 4 * 3
        try:
            pieces = await pool.receive(_target(pool, desired), room, request.operation_timeout)
        except asyncio.TimeoutError:
            raise Fault("timed_out") from None
        xml = shell.stream("stdout", command_id, base64.b64encode(b"".join(pieces)).decode())
        if command_id:
            state = f"{ws.RSP}/CommandState/Running"
            xml += f'<rsp:CommandState CommandId="{ws.text(command_id)}" State="{state}"/>'
        return shell.response("Receive", xml)

    async def _signal(self, request: Request, user: str) -> Answer:
        pool = self._pool(request, user)
        body = shell.body(request, "Signal")
        target = _target(pool, body)
        code = (body.findtext(f"{{{ws.RSP}}}Code") or "").rpartition("/")[2].lower()
        if code != _TERMINATE:
            await pool.send(Packet("Signal", target))
        elif target != POOL:
            await pool.send(Packet("Close", target))
            pool.forget(target)
        return shell.response("Signal", "")

    async def _delete(self, request: Request, user: str) -> Answer:
        self._pool(request, user)
        await self._end(_shell_id(request))  # whatever still runs there ends with it
        return Answer(f"{ws.X}/DeleteResponse")

    def _pool(self, request: Request, user: str) -> _Pool:
        pool = self._pools.get(_shell_id(request))
        if pool is None or pool.user != user:
            raise Fault("unexpected_selectors", info=_shell_id(request))
        return pool

    async def _end(self, shell_id: str) -> None:
        pool = self._pools.pop(shell_id, None)
        if pool is not None:
            await self._powershell.end(pool.session)
            await pool.close()


def _shell_id(request: Request) -> str:
    return dict(request.selectors).get("ShellId", "")


def _target(pool: _Pool, element: Element) -> str:
    """The pipeline that an element names by its CommandId, or the pool."""
    target = element.get("CommandId", "").lower() or POOL
    if not pool.knows(target):
        raise Fault("unexpected_selectors", info=target)
    return target


def _decoded(element: Element | None) -> bytes:
    try:
        return base64.b64decode((element.text if element is not None else "") or "", validate=True)
    except binascii.Error as error:
        raise Fault("schema", text="The fragments are not base64") from error
