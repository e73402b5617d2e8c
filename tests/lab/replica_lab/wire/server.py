# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host's listeners: HTTP for WinRM, who asks, which plugin answers, which fault strikes; and SSH beside it.

One :class:`HostServer` for each simulated host, all on one event loop. The world is asked directly on that
loop: its answers take microseconds to milliseconds, and order on the wire is then order in the world.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import typing as t
import weakref
from pathlib import Path

from aiohttp import web
from asyncssh import SSHAcceptor

from replica_lab.faults import HANDSHAKE, Do, Fault, FaultList, Subject
from replica_lab.powershell import psrp
from replica_lab.powershell.engine import Engine
from replica_lab.powershell.host import PowerShellHost
from replica_lab.provider import CimProvider
from replica_lab.wire import auth, spoil
from replica_lab.wire import messages as ws
from replica_lab.wire.assumptions import WireAssumptions
from replica_lab.wire.counters import Counters
from replica_lab.wire.messages import Answer, Request
from replica_lab.wire.shell import CMD, Dropped, Runner, ShellPlugin
from replica_lab.wire.ssh import Keys, SshListener
from replica_lab.wire.wmi import WmiPlugin

PATH = "/wsman"
LOOPBACK = "127.0.0.1"

_log = logging.getLogger(__name__)


class Plugin(t.Protocol):
    """What answers for the resources below one URI."""

    async def answer(self, request: Request, user: str) -> Answer:
        """Carry out one request of this user. Raises ``messages.Fault``."""


class _Aborted(Exception):
    """The connection is to end without (the rest of) an answer."""


def _hold(port: int) -> socket.socket:
    """A socket that is bound and does not listen: connections are refused, and only a listener of ours may follow."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((LOOPBACK, port))
    return held


class HostServer:
    """The listeners of one host. Everything but ``counters`` belongs to the event loop's thread."""

    def __init__(
        self,
        name: str,
        *,
        provider: CimProvider,
        authenticator: auth.Authenticator,
        faults: FaultList,
        counters: Counters,
        assumptions: WireAssumptions,
        runner: Runner,
        powershell: Engine | None,
        directory: Path,
        locale: str,
        find_vms: t.Callable[[str], t.Collection[tuple[str, str]]],
        ssh: Keys | None = None,
        users: t.Iterable[str] = (),
    ) -> None:
        self.name = name
        self.locale = locale
        self.errors: list[str] = []
        """Exceptions that no code of the lab expected: always a bug of the lab."""
        self._authenticator = authenticator
        self._faults = faults
        self._counters = counters
        self._find_vms = find_vms
        self.wmi = WmiPlugin(provider, assumptions)
        self.powershell = powershell and PowerShellHost(
            powershell,
            provider=provider,
            faults=faults,
            counters=counters,
            assumptions=assumptions,
            locale=locale,
            directory=directory,
            names=self._names,
            refuse=self.refuse,
            errors=self.errors,
        )
        run = self.powershell.run if self.powershell else runner
        self.shell = ShellPlugin(name, counters, run)
        self._ssh = ssh and SshListener(
            name, keys=ssh, users=users, runner=run, counters=counters, errors=self.errors
        )
        self._plugins: list[tuple[str, Plugin]] = [(ws.WMI, self.wmi), (CMD, self.shell)]
        self._pools = self.powershell and psrp.PsrpPlugin(self.powershell, counters)
        if self._pools:
            self._plugins.append((psrp.PREFIX, self._pools))
        self._machine = name if assumptions.identify_host_in_faults else ""
        self._known: weakref.WeakKeyDictionary[asyncio.BaseTransport, auth.Connection] = weakref.WeakKeyDictionary()
        self._hung: set[asyncio.Future[None]] = set()
        self._listeners: dict[str, asyncio.AbstractServer | SSHAcceptor] = {}
        self._held: dict[str, socket.socket] = {}
        """Sockets that keep the ports of a host that refuses connections: nobody else is to answer in its place."""
        self._web: web.Server | None = None
        self._tls: ssl.SSLContext | None = None
        self.ports: dict[str, int] = {}
        """The ports by scheme; kept while the host refuses connections."""

    # --- listening ---

    async def start(self, ports: t.Mapping[str, int], tls: ssl.SSLContext | None) -> None:
        """Listen on a port for each scheme; 0 takes a free one. Raises OSError for a port in use."""
        self._web = web.Server(self._handle, access_log=None, handler_cancellation=True)
        self._tls = tls
        self.ports = dict(ports)
        await self.listen()

    async def listen(self) -> None:
        """Listen (again)."""
        for scheme, port in self.ports.items():
            if scheme not in self._listeners and self._web is not None:
                self._listeners[scheme], self.ports[scheme] = await self._listen(scheme, port, self._web)
                self._give_back(scheme)

    async def _listen(
        self, scheme: str, port: int, http: web.Server
    ) -> tuple[asyncio.AbstractServer | SSHAcceptor, int]:
        """A listener, and its port."""
        if scheme == "ssh" and self._ssh is not None:
            acceptor = await self._ssh.listen(port)
            return acceptor, acceptor.get_port()
        context = self._tls if scheme == "https" else None
        listener = await asyncio.get_running_loop().create_server(http, LOOPBACK, port, ssl=context)
        return listener, listener.sockets[0].getsockname()[1]

    @property
    def listening(self) -> bool:
        """False while the host refuses connections."""
        return bool(self._listeners)

    def refuse(self) -> None:
        """Stop listening and drop every connection: the host is gone, its ports are kept."""
        for scheme, listener in self._listeners.items():
            listener.close()
            self._held[scheme] = _hold(self.ports[scheme])
        self._listeners.clear()
        for protocol in self._web.connections if self._web else ():
            if protocol.transport is not None:
                protocol.transport.abort()
        if self._ssh is not None:
            self._ssh.abort()

    def _give_back(self, scheme: str) -> None:
        held = self._held.pop(scheme, None)
        if held is not None:
            held.close()

    def release(self) -> None:
        """Let hanging requests go: their connections end without an answer."""
        for hung in self._hung:
            if not hung.done():
                hung.set_result(None)
        if self.powershell:
            self.powershell.release()

    async def stop(self) -> None:
        """End everything."""
        self.release()
        await self.shell.close()
        if self._pools and self.powershell:
            await self._pools.close()
            await self.powershell.close()
        self.refuse()
        for scheme in list(self._held):
            self._give_back(scheme)
        if self._web is not None:
            await self._web.shutdown(timeout=1.0)
            self._web = None

    def use(self, provider: CimProvider, assumptions: WireAssumptions, locale: str) -> None:
        """Another world behind the same listeners: open enumerations of the old one are forgotten."""
        self.locale = locale
        self.wmi = WmiPlugin(provider, assumptions)
        self._plugins[0] = (ws.WMI, self.wmi)
        if self.powershell:
            self.powershell.use(provider, assumptions, locale)

    @property
    def open_shells(self) -> int:
        """Shells and runspace pools not deleted yet."""
        return self.shell.open_shells + (self._pools.open_shells if self._pools else 0)

    # --- HTTP ---

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._http(request)
        except (web.HTTPException, ConnectionError):
            raise
        except _Aborted:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        except Exception as error:
            self.errors.append(f"{request.method} {request.path}: {error!r}")
            raise

    async def _http(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            raise _Aborted
        connection = self._known.get(transport)
        if connection is None:
            connection = self._known[transport] = auth.Connection()
            self._counters.add(connections=1)
        self._counters.add(http_requests=1)
        body = await request.read()
        self._counters.add(bytes_in=len(body))
        if request.path.rstrip("/") != PATH:
            return self._reply(404)
        if request.method != "POST":
            return self._reply(405, headers=[("Allow", "POST")])
        try:
            verdict = self._authenticator.judge(connection, request.headers, body, secure=request.secure)
        except auth.BadMessage as error:
            return self._reply(400, str(error).encode(), "text/plain")
        if verdict.status is None:
            return await self._soap(request, connection, verdict)
        struck = self._strike(Subject(self.name, HANDSHAKE))
        if struck is not None:
            return await self._strike_bare(request, struck)
        return self._reply(verdict.status, headers=verdict.headers)

    def _reply(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = "",
        headers: t.Iterable[tuple[str, str]] = (),
    ) -> web.Response:
        self._counters.add(bytes_out=len(body), unauthorized=int(status == 401))
        response = web.Response(status=status, body=body)
        response.headers.pop("Content-Type", None)
        if content_type:
            response.headers["Content-Type"] = content_type
        for name, value in headers:
            response.headers.add(name, value)
        response.headers["Server"] = "Microsoft-HTTPAPI/2.0"
        return response

    # --- SOAP ---

    async def _soap(
        self, http: web.BaseRequest, connection: auth.Connection, verdict: auth.Verdict
    ) -> web.StreamResponse:
        try:
            request = ws.parse(verdict.message)
        except ws.Unanswerable as refused:
            self._counters.count_request(refused.request.operation, encrypted=verdict.encrypted)
            return self._send(connection, verdict, *self._fault(refused.fault, refused.request.message_id))
        except ws.Fault as fault:
            return self._send(connection, verdict, *self._fault(fault, ""))
        subject = self._subject(request)
        method = f"{subject.class_name}.{subject.method}" if subject.method else ""
        self._counters.count_request(
            request.operation, encrypted=verdict.encrypted, query=request.filter, method=method
        )
        struck = self._strike(subject)
        if struck is not None:
            return await self._strike_request(http, connection, verdict, request, struck)
        return self._send(connection, verdict, *await self._answer(request, verdict.user))

    def _subject(self, request: Request) -> Subject:
        class_name = _class_in(request.filter) or request.class_name
        return Subject(
            host=self.name,
            operation=request.operation,
            class_name=class_name,
            method=request.method,
            mentions=lambda vm: self._mentions(request, vm),
        )

    def _mentions(self, request: Request, vm: str) -> bool:
        said = [value for _name, value in request.selectors]
        if request.body is not None:
            said += [element.text for element in request.body.iter() if element.text]
        return self._names(vm, said)

    def _names(self, vm: str, said: t.Iterable[str]) -> bool:
        """Whether what a request says names the VM: by its id anywhere, by its name in a query."""
        wanted = [
            part.upper() for vm_id, name in self._find_vms(vm) for part in (vm_id, f"'{name}'", f'"{name}"')
        ]
        return any(part in text.upper() for text in said for part in wanted)

    async def _answer(self, request: Request, user: str, struck: Fault | None = None) -> tuple[int, bytes]:
        """Status and message of the world's answer, spoilt where a fault says so."""
        try:
            answer = await self._ask(request, user)
        except ws.Fault as fault:
            return self._fault(fault, request.message_id)
        if struck is not None:
            spoil.spoil_answer(struck, answer)
        message = ws.envelope(answer.action, answer.body, relates_to=request.message_id, locale=self.locale)
        return 200, message if struck is None else spoil.spoil_message(struck, message)

    async def _ask(self, request: Request, user: str) -> Answer:
        for prefix, plugin in self._plugins:
            if request.resource_uri.lower().startswith(prefix.lower()):
                try:
                    return await plugin.answer(request, user)
                except ws.Fault:
                    raise
                except Dropped as dropped:
                    raise _Aborted from dropped
                except Exception as error:
                    # The client gets a fault, as from a host with a defect; the lab's owner gets the trace.
                    _log.exception("%s: %s %s", self.name, request.operation, request.resource_uri)
                    self.errors.append(f"{request.operation} {request.resource_uri}: {error!r}")
                    raise ws.Fault("internal", text=repr(error)) from error
        raise ws.Fault("unknown_resource", info=request.resource_uri)

    def _send(
        self, connection: auth.Connection, verdict: auth.Verdict, status: int, message: bytes
    ) -> web.Response:
        content_type = auth.SOAP_TYPE
        if verdict.encrypted and connection.context is not None:
            content_type, message = auth.encrypt(connection.context, message)
        return self._reply(status, message, content_type, verdict.headers)

    def _fault(self, fault: ws.Fault, relates_to: str) -> tuple[int, bytes]:
        message = ws.fault_envelope(fault, relates_to=relates_to, machine=self._machine, locale=self.locale)
        return 500, message

    # --- wire faults ---

    def _strike(self, subject: Subject) -> Fault | None:
        struck = self._faults.strike(subject)
        if struck is not None:
            self._counters.add(faults=1)
        return struck

    async def _strike_request(
        self,
        http: web.BaseRequest,
        connection: auth.Connection,
        verdict: auth.Verdict,
        request: Request,
        struck: Fault,
    ) -> web.StreamResponse:
        """Do to this request what the fault says."""
        outcome = await self._answer(request, verdict.user, struck) if struck.carried_out else None
        if struck.do is Do.DELAY:
            await asyncio.sleep(struck.seconds)
            outcome = outcome or await self._answer(request, verdict.user)
        elif outcome is None or spoil.replaces_answer(struck):
            fault = spoil.soap_fault(struck)
            if fault is not None:
                outcome = self._fault(fault, request.message_id)
            elif struck.do is Do.GARBAGE:
                outcome = 200, spoil.GARBAGE
            else:
                return await self._strike_bare(http, struck)
        answered = self._send(connection, verdict, *outcome)
        return await self._half(http, answered) if struck.do is Do.DROP_MIDWAY else answered

    async def _strike_bare(self, http: web.BaseRequest, struck: Fault) -> web.StreamResponse:
        """What can befall a request that was not understood, or need not be."""
        if struck.do is Do.DELAY:
            await asyncio.sleep(struck.seconds)
        elif struck.do is Do.HANG:
            await self._hang()
        elif struck.do is Do.REFUSE_PORT:
            self.refuse()
        elif struck.do is Do.HTML:
            return self._reply(struck.status or 200, (struck.body or spoil.HTML).encode(), "text/html")
        elif struck.do is Do.STATUS:
            status = struck.status or 500
            challenges = self._authenticator.challenges(http.secure) if status == 401 else ()
            return self._reply(status, struck.body.encode(), "text/plain" if struck.body else "", challenges)
        raise _Aborted

    async def _hang(self) -> None:
        hung: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hung.add(hung)
        try:
            await hung
        finally:
            self._hung.discard(hung)

    async def _half(self, http: web.BaseRequest, answered: web.Response) -> web.StreamResponse:
        """Half of the body that Content-Length promises, then the end of the connection."""
        body = t.cast(bytes, answered.body)
        response = web.StreamResponse(status=answered.status, headers=answered.headers)
        response.content_length = len(body)
        await response.prepare(http)
        await response.write(body[: len(body) // 2])
        raise _Aborted


def _class_in(query: str) -> str:
    """The class that a WQL text asks for, as far as counting and faults need it."""
    words = query.split()
    upper = [word.upper() for word in words]
    return words[upper.index("FROM") + 1] if "FROM" in upper[:-1] else ""
