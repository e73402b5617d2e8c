# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PowerShell on one simulated host: its processes, what their CIM cmdlets ask, and the faults that befall them.

A process gets the address of a loopback endpoint and a token of its own; the token says which host and which
user its cmdlets stand for, and is worthless once the process has ended.

Wire faults strike here too, so that a story can be told over either transport: a cmdlet's call is an Enumerate,
a Get or an Invoke like the request that it stands for. Where a connection would be dropped, the process is
killed, and the connection that waits for its output is dropped; where an answer would be half or garbage, the
process's output is. ``PowerShell`` is the operation of a process, or of a pipeline of a PSRP session, as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import sys
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from replica_lab.faults import POWERSHELL, Do, Fault, FaultList, Subject
from replica_lab.powershell import cim_front, command_line, engine
from replica_lab.powershell.cim_front import CimError, ClientError, Json, Kind
from replica_lab.provider import CimProvider
from replica_lab.wire import spoil
from replica_lab.wire.assumptions import WireAssumptions
from replica_lab.wire.counters import Counters
from replica_lab.wire.shell import Dropped, ShellCommand, ShellResult

LOOPBACK = "127.0.0.1"

OPERATIONS = {
    "enumerate": "Enumerate",
    "query": "Enumerate",
    "associators": "Enumerate",
    "get": "Get",
    "invoke": "Invoke",
}
"""What a cmdlet does, as the operation that faults and counters know."""

_WAITS = frozenset({Do.DELAY, Do.HANG})
KILLS = frozenset({Do.DROP_BEFORE, Do.DROP_AFTER, Do.DROP_MIDWAY, Do.HANG, Do.REFUSE_PORT})
"""What a connection does not survive."""
_REFUSES = frozenset({Do.FAULT, Do.TIMED_OUT, Do.QUOTA})
_CHANGES = frozenset({Do.DUPLICATE, Do.MISSING_RETURN_VALUE, Do.MISSING_JOB})
SPOILS = frozenset({Do.TRUNCATE, Do.GARBAGE})
"""What can befall the output of a process, where the lab reads it."""

IN_A_CALL = KILLS | _WAITS | _REFUSES | _CHANGES
"""What can befall the call of a cmdlet; SPOILS too where the lab reads what the process writes."""
AT_THE_START = frozenset({Do.NO_POWERSHELL})
"""What can befall the start of PowerShell."""
_BEFORE = frozenset({Do.DROP_BEFORE}) | _WAITS
IN_A_PIPELINE = _BEFORE | SPOILS
"""What can befall a pipeline of a PSRP session as a whole. (Its end is told in fragments that nobody reads here.)"""
IN_A_PROGRAM = AT_THE_START | _BEFORE
"""What can befall a process that a client on this machine starts: its output is not the lab's."""
IN_A_PROCESS = AT_THE_START | IN_A_PIPELINE | {Do.DROP_AFTER}
"""What can befall a process that a WinRM shell runs."""

NO_PROGRAM = 127
"""What a POSIX shell returns for a program that it does not find."""

NOT_THERE = b"'powershell' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"

# Stands where a client on this machine expects a pwsh. The lab tells it what to become. Its connection stays open in
# what it becomes, so that the lab sees the process end.
_PROGRAM = """\
#!{python}
import json, os, socket, sys
lab = socket.create_connection(("127.0.0.1", {port}))
lab.sendall(json.dumps({{"token": "{token}", "pid": os.getpid()}}).encode() + b"\\n")
told = json.loads(lab.makefile().readline())
if told.get("exit", 0) < 0:
    os.kill(os.getpid(), -told["exit"])
if "exit" in told:
    sys.stderr.write("pwsh: not found\\n")
    sys.exit(told["exit"])
lab.set_inheritable(True)
os.execve(told["program"], [told["program"], *sys.argv[1:]], told["environment"])
"""

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Session:
    """One process, and who its cmdlets act for."""

    user: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    process: asyncio.subprocess.Process | None = None
    pid: int | None = None
    """Of a process that the lab did not start."""
    spoilable: bool = False
    """Whether the lab can spoil what the process writes."""
    spoilt: Do | None = None
    """How, if it is to."""
    dropped: bool = False
    """Whether the connection that waits for its output goes with it."""

    async def kill(self) -> None:
        if self.process is not None:
            await engine.end(self.process)
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class PowerShellHost:
    """PowerShell on one host. Belongs to the lab's event loop; ``run`` is a ``wire.shell.Runner``.

    ``directory``: an existing folder for temporary files. ``refuse``: makes the host's listeners go away.
    ``names``: whether one of these texts names a VM.
    ``errors``: takes exceptions that no code of the lab expected.
    """

    def __init__(
        self,
        pwsh: engine.Engine,
        *,
        provider: CimProvider,
        faults: FaultList,
        counters: Counters,
        assumptions: WireAssumptions,
        locale: str,
        directory: Path,
        names: t.Callable[[str, t.Iterable[str]], bool],
        refuse: t.Callable[[], None],
        errors: list[str],
    ) -> None:
        self._pwsh = pwsh
        self._faults = faults
        self._counters = counters
        self._directory = directory
        self._names = names
        self._refuse = refuse
        self._errors = errors
        self._sessions: dict[str, Session] = {}
        self._programs: dict[str, str] = {}
        self._endpoint: asyncio.Server | None = None
        self._released = asyncio.Event()
        self.use(provider, assumptions, locale)

    def use(self, provider: CimProvider, assumptions: WireAssumptions, locale: str) -> None:
        """Another world behind the same cmdlets."""
        self._provider = provider
        self._assumptions = assumptions
        self._locale = locale

    @property
    def processes(self) -> int:
        """Processes that have not ended."""
        return len(self._sessions)

    def release(self) -> None:
        """Let what hangs by a fault go on."""
        self._released.set()
        self._released = asyncio.Event()

    async def close(self) -> None:
        """End every process and the endpoint."""
        for session in list(self._sessions.values()):
            await self.end(session)
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None

    # --- processes ---

    async def start(
        self,
        arguments: t.Sequence[str],
        user: str,
        environment: t.Mapping[str, str] | None = None,
        *,
        spoilable: bool = False,
    ) -> Session:
        """Start ``pwsh`` for this user. The caller must ``end`` the session. Raises NoPowerShell."""
        session = Session(user, spoilable=spoilable)
        told = {**await self._told(session), **(environment or {})}
        session.process = await self._pwsh.start(arguments, told, self._directory)
        self._sessions[session.token] = session
        self._counters.add(powershell=1)
        return session

    async def _told(self, session: Session) -> dict[str, str]:
        """What a process has to know to be on this host."""
        return {
            "COMPUTERNAME": self._provider.host_name,
            "USERNAME": session.user,
            "REPLICA_LAB_CIM": f"{LOOPBACK}:{await self._port()}",
            "REPLICA_LAB_TOKEN": session.token,
        }

    async def _port(self) -> int:
        if self._endpoint is None:
            self._endpoint = await asyncio.start_server(self._serve, LOOPBACK, 0, limit=engine.LINE_LIMIT)
        return t.cast(int, self._endpoint.sockets[0].getsockname()[1])

    async def program(self, user: str) -> Path:
        """A ``pwsh`` for a client on this machine: whoever starts it is on this host, as this user."""
        token = secrets.token_urlsafe(16)
        self._programs[token] = user
        path = self._directory / f"pwsh-{len(self._programs)}"
        path.write_text(_PROGRAM.format(python=sys.executable, port=await self._port(), token=token), "utf-8")
        path.chmod(0o700)
        return path

    async def _begun(self, pid: int, user: str) -> tuple[Session | None, Json]:
        """A program asks what it has to become. Faults that befall a process strike here."""
        struck = self.strike_run(IN_A_PROGRAM)
        if struck is not None and struck.do is Do.NO_POWERSHELL:
            return None, {"exit": NO_PROGRAM}
        if struck is not None:
            await self.wait(struck)
            if struck.do is not Do.DELAY:
                return None, {"exit": -signal.SIGKILL}
        session = Session(user, pid=pid)
        environment = await asyncio.to_thread(self._pwsh.environment, await self._told(session), self._directory)
        self._sessions[session.token] = session
        self._counters.add(powershell=1)
        return session, {"program": str(self._pwsh.path), "environment": environment}

    async def end(self, session: Session) -> None:
        """The end of a session, and of its process if it still runs."""
        self._sessions.pop(session.token, None)
        await session.kill()

    def strike_run(self, possible: t.Collection[Do]) -> Fault | None:
        """The fault for the process or the pipeline that is about to start."""
        return self._strike(POWERSHELL, possible)

    async def run(self, command: ShellCommand) -> ShellResult:
        """Run what a WinRM shell was told to; there is nothing but PowerShell."""
        words = command_line.split(command.command, command.arguments)
        arguments = command_line.powershell_arguments(words)
        if arguments is None:
            name = "".join(words[:1]).encode()
            return ShellResult(b"", NOT_THERE.replace(b"powershell", name), 1)
        struck = self.strike_run(IN_A_PROCESS)
        do = struck.do if struck else None
        if do is Do.NO_POWERSHELL:
            return ShellResult(b"", NOT_THERE, 1)
        if struck is not None and not struck.carried_out:
            await self.wait(struck)
            if do is not Do.DELAY:
                return ShellResult(b"", b"", engine.KILLED)
        session = await self.start(arguments, command.user, command.environment, spoilable=True)
        process = t.cast(asyncio.subprocess.Process, session.process)
        try:
            stdout, stderr = await process.communicate(command.stdin)
        finally:
            await self.end(session)
        if struck is not None and struck.carried_out:
            await self.wait(struck)
        if session.dropped:
            raise Dropped
        exit_code = process.returncode or 0
        if exit_code < 0 or do is Do.DROP_AFTER:
            return ShellResult(b"", b"", engine.KILLED)
        return ShellResult(spoilt_output(stdout, do if do in SPOILS else session.spoilt), stderr, exit_code)

    async def wait(self, fault: Fault) -> None:
        """What a fault makes its victim wait."""
        if fault.do is Do.DELAY:
            await asyncio.sleep(fault.seconds)
        elif fault.do is Do.HANG:
            await self._released.wait()

    # --- what the cmdlets ask ---

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: a request a line, an answer a line. That of a program ends with the process."""
        begun = None
        try:
            while line := await reader.readline():
                request = json.loads(line)
                session = self._sessions.get(request["token"])
                if request["token"] in self._programs:
                    begun, answer = await self._begun(request["pid"], self._programs[request["token"]])
                else:
                    answer = None if session is None else await self._answer(request, session)
                if answer is None:
                    break
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            _log.debug("a process ended while it was being answered")
        except json.JSONDecodeError:
            _log.debug("a stranger, who had known another server by this port")
        except Exception as error:
            # The cmdlet sees its connection end; the lab's owner gets the trace.
            _log.exception("a cmdlet's request")
            self._errors.append(f"a cmdlet's request: {error!r}")
        finally:
            if begun is not None:
                self._sessions.pop(begun.token, None)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, request: Json, session: Session) -> Json | None:
        """The answer; None where the process was killed in place of one."""
        try:
            cim_front.check(request)
        except ClientError as error:
            return {"error": error.as_json(self._locale)}
        operation = OPERATIONS[request["do"]]
        class_name, method = _class_of(request), request.get("method", "")
        query = _query_of(request)
        self._counters.count_cmdlet(operation, query=query, method=f"{class_name}.{method}" if method else "")
        possible = IN_A_CALL | SPOILS if session.spoilable else IN_A_CALL
        struck = self._strike(operation, possible, class_name, method, lambda vm: self._names(vm, _texts(request)))
        if struck is None:
            return self._ask(request, session)
        answer = self._ask(request, session) if struck.carried_out else None
        await self.wait(struck)
        if struck.do in KILLS:
            if struck.do is Do.REFUSE_PORT:
                self._refuse()
            session.dropped = struck.do is not Do.HANG
            await session.kill()
            return None
        if struck.do in _REFUSES:
            return {"error": _refusal(struck).as_json(self._locale)}
        if struck.do in SPOILS:
            session.spoilt = struck.do
            if not struck.carried_out:
                return {"error": CimError(Kind.TIMED_OUT).as_json(self._locale)}  # what is written of it is spoilt
        answer = self._ask(request, session) if answer is None else answer
        return _change(struck.do, answer)

    def _ask(self, request: Json, session: Session) -> Json:
        return cim_front.answer(request, self._provider, session.user, self._locale, self._assumptions)

    def _strike(
        self,
        operation: str,
        possible: t.Collection[Do],
        class_name: str = "",
        method: str = "",
        mentions: t.Callable[[str], bool] = lambda _vm: False,
    ) -> Fault | None:
        subject = Subject(self._provider.host_name, operation, class_name, method, mentions, possible)
        struck = self._faults.strike(subject)
        if struck is not None:
            self._counters.add(faults=1)
        return struck


def _class_of(request: Json) -> str:
    """The class that a request asks for, as far as counting and faults need it."""
    words = request.get("query", "").split()
    upper = [word.upper() for word in words]
    if "FROM" in upper[:-1]:
        return t.cast(str, words[upper.index("FROM") + 1])
    instance = request.get("instance") or {}
    return t.cast(str, request.get("class") or request.get("result_class") or instance.get("class", ""))


def _query_of(request: Json) -> str:
    """The request as the query that it is: reads of both transports are counted alike."""
    if request["do"] == "enumerate":
        return f"SELECT * FROM {request['class']}"
    return t.cast(str, request.get("query", ""))


def _texts(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _refusal(fault: Fault) -> CimError:
    if fault.do is Do.FAULT:
        return CimError(Kind.FAILED, hresult=fault.code, text=fault.text)
    return CimError(Kind.QUOTA if fault.do is Do.QUOTA else Kind.TIMED_OUT)


def _change(do: Do, answer: Json) -> Json:
    """Take something out of an answer, or double it."""
    if do is Do.DUPLICATE and answer.get("instances"):
        return {**answer, "instances": [*answer["instances"], answer["instances"][-1]]}
    lost = {Do.MISSING_RETURN_VALUE: "ReturnValue", Do.MISSING_JOB: "Job"}.get(do)
    if lost and "out" in answer:
        return {"out": [one for one in answer["out"] if one[0] != lost]}
    return answer


def spoilt_output(output: bytes, do: Do | None) -> bytes:
    """What a client gets in place of what a process has written."""
    if do is Do.TRUNCATE:
        return output[: len(output) // 2]
    return spoil.GARBAGE if do is Do.GARBAGE else output
