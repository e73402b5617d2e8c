# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab: the hosts of a scenario behind real WinRM listeners on loopback, in this process."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
import tempfile
import threading
import typing as t
from dataclasses import dataclass
from pathlib import Path

from replica_lab import scenario as scenarios
from replica_lab import schema
from replica_lab.control import Control
from replica_lab.faults import Do, Fault, FaultError, FaultList
from replica_lab.numbers import Mode
from replica_lab.powershell.engine import Engine
from replica_lab.wire import certificates
from replica_lab.wire.assumptions import WireAssumptions
from replica_lab.wire.auth import Authenticator
from replica_lab.wire.counters import Counters
from replica_lab.wire.server import LOOPBACK, PATH, HostServer
from replica_lab.wire.shell import Runner, no_shell
from replica_lab.wire.ssh import Keys
from replica_lab.world import World
from replica_lab.world.fates import is_named
from replica_lab.world.host import Host

T = t.TypeVar("T")
Scenario = t.Union[str, Path, t.Mapping[str, t.Any], World]
"""A built-in name, a file, its content, or a world made by hand."""


class LabError(ValueError):
    """The lab cannot do that; the text is for people."""


@dataclass
class LabHost:
    """One simulated host, seen from outside."""

    name: str
    counters: Counters
    server: HostServer

    @property
    def port(self) -> int:
        """The HTTP port on 127.0.0.1."""
        return self.server.ports["http"]

    @property
    def https_port(self) -> int | None:
        """The HTTPS port on 127.0.0.1, where the lab has TLS."""
        return self.server.ports.get("https")

    @property
    def ssh_port(self) -> int | None:
        """The SSH port on 127.0.0.1, where the lab has SSH."""
        return self.server.ports.get("ssh")

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}{PATH}"

    @property
    def https_url(self) -> str | None:
        return f"https://{LOOPBACK}:{self.https_port}{PATH}" if self.https_port else None

    @property
    def open_enumerations(self) -> int:
        """Enumerations that a client neither pulled to their end nor released."""
        return self.server.wmi.open_enumerations

    @property
    def open_shells(self) -> int:
        """Shells that a client opened and did not delete."""
        return self.server.open_shells

    @property
    def errors(self) -> list[str]:
        """Defects of the lab itself that requests ran into. Empty, or the lab is broken."""
        return self.server.errors


class Lab:
    """A context manager; or ``start()`` and ``stop()``.

    ``https``: listen with TLS too, on a port of its own. ``ssh``: be SSH servers as well, which run what shells run.
    ``auth``: any of ``basic`` and ``ntlm``.
    ``faults``: wire faults from the start. ``allow_unencrypted``: WinRM's setting of that name.
    ``port_base``: the first host's HTTP port, the next ones follow, then the HTTPS and the SSH ports; 0: free ones.
    ``control_port``: also open a control port (0: a free one). ``powershell``: what runs in shells and runspace
    pools (``Engine.find()``); without it, ``runner`` carries out what shells are asked.
    """

    def __init__(
        self,
        scenario: Scenario = "drill",
        *,
        https: bool = False,
        ssh: bool = False,
        auth: t.Sequence[str] = ("basic", "ntlm"),
        faults: t.Iterable[Fault | t.Mapping[str, t.Any]] = (),
        allow_unencrypted: bool = True,
        port_base: int = 0,
        control_port: int | None = None,
        runner: Runner = no_shell,
        powershell: Engine | None = None,
        wire: WireAssumptions | None = None,
    ) -> None:
        self._scenario = scenario
        self.world = _load(scenario)
        self.https = https
        self.ssh = ssh
        self.auth = tuple(auth)
        self.allow_unencrypted = allow_unencrypted
        self.hosts: dict[str, LabHost] = {}
        """By name, in the scenario's order; filled by ``start()``."""
        self.control_url: str | None = None
        self.ca_file: Path | None = None
        """The authority that signed the hosts' certificate, with ``https``."""
        self.faults = FaultList()
        self._pace: tuple[float, re.Pattern[str]] | None = None
        self._first_faults = [Fault.of(fault) for fault in faults]
        self._port_base = port_base
        self._control_port = control_port
        self._runner = runner
        self._powershell = powershell
        self._wire = wire or WireAssumptions()
        self._directory: Path | None = None
        self._keys: Keys | None = None
        self._control: Control | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # --- life ---

    def __enter__(self) -> Lab:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def start(self) -> Lab:
        """Listen. Raises LabError for a port in use or an impossible setting; then nothing is left behind."""
        if self._loop is not None:
            raise LabError("the lab is running already")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="replica-lab", daemon=True)
        self._thread.start()
        try:
            self._directory = Path(tempfile.mkdtemp(prefix="replica-lab-"))
            self._run(self._start(self._directory))
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every connection, the listeners and the thread, and remove the files. May be called twice."""
        if self._loop is None or self._thread is None:
            return
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None
        if self._directory is not None:
            shutil.rmtree(self._directory)
        self._directory = self.ca_file = None

    async def _start(self, directory: Path) -> None:
        tls = None
        if self.https:
            made = certificates.make(directory, self.world.hosts)
            self.ca_file, tls = made.ca, made.server_context()
        if self.ssh:
            self._keys = Keys.make(directory)
        for index, host in enumerate(self.world.hosts.values()):
            await self._start_host(host, index, directory, tls)
        if self._control_port is not None:
            self._control = Control(self)
            try:
                self.control_url = await self._control.start(self._control_port)
            except OSError as error:
                raise LabError(f"control port {self._control_port}: {_reason(error)}") from error
        for fault in self._first_faults:
            await self.add_fault(fault)

    async def _start_host(self, host: Host, index: int, directory: Path, tls: ssl.SSLContext | None) -> None:
        counters = Counters(self._asked)
        try:
            authenticator = Authenticator(
                users={user.name: user.password for user in host.users.values()},
                domains=(host.host_name, host.domain, host.domain.partition(".")[0]),
                schemes=self.auth,
                store=directory / f"users-{index}",
                allow_unencrypted=self.allow_unencrypted,
            )
        except ValueError as error:
            raise LabError(f"host {host.host_name}: {error}") from error
        temporary = directory / f"temporary-{index}"
        temporary.mkdir()
        server = HostServer(
            host.host_name,
            provider=host,
            authenticator=authenticator,
            faults=self.faults,
            counters=counters,
            assumptions=self._wire,
            runner=self._runner,
            powershell=self._powershell,
            directory=temporary,
            locale=host.locale,
            find_vms=self._find_vms,
            ssh=self._keys,
            users=[user.name for user in host.users.values()],
        )
        self.hosts[host.host_name] = LabHost(host.host_name, counters, server)
        schemes = ["http", *(["https"] if tls is not None else []), *(["ssh"] if self._keys is not None else [])]
        ports = {
            scheme: self._port_base and self._port_base + number * len(self.world.hosts) + index
            for number, scheme in enumerate(schemes)
        }
        try:
            await server.start(ports, tls)
        except OSError as error:
            wanted = " and ".join(map(str, ports.values()))
            raise LabError(f"host {host.host_name} cannot listen on port {wanted}: {_reason(error)}") from error

    async def _stop(self) -> None:
        if self._control is not None:
            await self._control.stop()
            self._control = self.control_url = None
        for host in self.hosts.values():
            await host.server.stop()
        others = asyncio.all_tasks() - {t.cast("asyncio.Task[t.Any]", asyncio.current_task())}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_default_executor()

    def _run(self, work: t.Coroutine[t.Any, t.Any, T]) -> T:
        if self._loop is None or threading.current_thread() is self._thread:
            work.close()
            raise LabError("the lab is not running" if self._loop is None else "this would wait for itself")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # --- what a test or an operator does with it ---

    @property
    def calls(self) -> t.Sequence[t.Any]:
        """The method calls that reached the world, in order."""
        return self.world.calls

    def fault(self, description: Fault | t.Mapping[str, t.Any] | None = None, **fields: t.Any) -> None:
        """Add a wire fault: a description, or its fields. Raises FaultError.

        ``lab.fault(do="drop_after", method="RevertFailover", times=1)``
        """
        self._run(self.add_fault(Fault.of(fields if description is None else description)))

    async def add_fault(self, fault: Fault) -> None:
        """The same on the lab's event loop."""
        self._check(fault)
        servers = [host.server for name, host in self.hosts.items() if fault.host.lower() in ("", name.lower())]
        if fault.do is Do.START_PORT:
            for server in servers:
                await server.listen()
        elif fault.do is Do.REFUSE_PORT and not fault.conditional:
            for server in servers:
                server.refuse()
        else:
            self.faults.add(fault)

    def _check(self, fault: Fault) -> None:
        """A fault that can never strike is a slip of the pen."""
        methods = {method.lower() for shape in schema.classes().values() for method in shape.methods}
        if fault.host and fault.host.lower() not in {name.lower() for name in self.hosts}:
            raise FaultError(f"no host {fault.host!r}: {', '.join(self.hosts)}")
        if fault.class_name and schema.shape(fault.class_name) is None:
            raise FaultError(f"no class {fault.class_name!r}")
        if fault.method and fault.method.lower() not in methods:
            raise FaultError(f"no method {fault.method!r}")
        if fault.vm and not self._find_vms(fault.vm):
            raise FaultError(f"no VM {fault.vm!r}")

    def _find_vms(self, written: str) -> set[tuple[str, str]]:
        """Id and name of every VM that a person may mean by this id or name."""
        with self.world.lock:
            found = (vm for host in self.world.hosts.values() for vm in host.vms)
            return {(vm.id, vm.name) for vm in found if is_named(vm, written)}

    def clear_faults(self) -> None:
        """No wire fault any more: hanging requests end, closed ports listen again."""
        self._run(self.remove_faults())

    async def remove_faults(self) -> None:
        """The same on the lab's event loop."""
        self.faults.clear()
        for host in self.hosts.values():
            host.server.release()
            await host.server.listen()

    def pace(self, seconds: float, query: str) -> None:
        """Let time pass by what is asked: so many world seconds with each query that the regular expression fits.

        They have passed when the query is answered. With a clock of rate 0 nothing depends on how fast the machine is.
        Raises ValueError.
        """
        if seconds < 0:
            raise ValueError("the clock goes forward only")
        try:
            self._pace = (seconds, re.compile(query, re.IGNORECASE)) if seconds else None
        except re.error as error:
            raise ValueError(f"{query!r} is no regular expression: {error}") from error

    def _asked(self, query: str) -> None:
        if self._pace is not None and self._pace[1].search(query):
            self.world.advance(self._pace[0])

    def reset_counters(self) -> None:
        """All counters of all hosts back to zero."""
        for host in self.hosts.values():
            host.counters.reset()

    def reset(self, scenario: Scenario | None = None) -> None:
        """Begin anew, with the same scenario or another one with the same hosts and users, on the same ports.

        Faults are removed and counters reset. Raises LabError when the hosts or the users differ.
        """
        self._run(self.replace_world(scenario))

    async def replace_world(self, scenario: Scenario | None = None) -> None:
        """The same on the lab's event loop."""
        world = _load(self._scenario if scenario is None else scenario)
        if list(world.hosts) != list(self.hosts):
            raise LabError(f"the lab's hosts are {', '.join(self.hosts)}, the scenario's {', '.join(world.hosts)}")
        if any(world.hosts[name].users != host.users for name, host in self.world.hosts.items()):
            raise LabError("the scenario has other users than the lab")
        self.world = world
        for name, host in self.hosts.items():
            host.server.use(world.hosts[name], self._wire, world.hosts[name].locale)
        await self.remove_faults()
        self.reset_counters()

    # --- inventory ---

    def inventory(
        self, connection: str = "winrm", auth: str | None = None, https: bool = False, user: str | None = None
    ) -> dict[str, t.Any]:
        """An Ansible inventory: group ``hyperv``, in it ``hyperv_primaries`` and ``hyperv_replicas``.

        Those are the hosts that hold a VM of that side now; a host can be in both, or in none. Where the lab runs no
        PowerShell, the collection is told to do without.

        ``connection``: ``winrm``, ``psrp``; ``ssh``, with a key; or ``local``, with a program in place of ``pwsh`` that
        is on the host (ansible-core 2.21). The last two know nothing of ``auth`` and ``https``.
        ``auth``: ``basic`` or ``ntlm`` (default: the lab's first).
        ``user``: who logs on (default: each host's first user). Raises LabError for what the lab has not.
        """
        auth = auth or self.auth[0]
        if connection not in _CONNECTIONS:
            raise LabError(f"connection is {' or '.join(_CONNECTIONS)}, not {connection}")
        if auth not in self.auth:
            raise LabError(f"the lab accepts {' and '.join(self.auth)}, not {auth}")
        if https and not self.https:
            raise LabError("the lab listens without TLS")
        if connection == "ssh" and self._keys is None:
            raise LabError("the lab listens without SSH")
        if connection == "local" and self._powershell is None:
            raise LabError("the lab runs no PowerShell")
        shared: dict[str, t.Any] = {
            "ansible_host": LOOPBACK,
            "ansible_connection": connection,
            **_CONNECTIONS[connection](_Way(auth, https, str(self.ca_file), self._keys)),
        }
        if self._powershell is None:
            shared["hyperv_replica_transport"] = "wsman"
        if self.control_url is not None:
            shared["replica_lab_control"] = self.control_url
        hosts: dict[str, t.Any] = {}
        for name, host in self.hosts.items():
            known = self.world.hosts[name]
            account = known.user(user) if user else next(iter(known.users.values()))
            if account is None:
                raise LabError(f"host {name} has no user {user!r}: {', '.join(known.users)}")
            hosts[name] = {
                "ansible_port": host.server.ports["ssh" if connection == "ssh" else "https" if https else "http"],
                "ansible_user": account.name,
                **({} if connection == "ssh" else {"ansible_password": account.password}),
            }
            if connection == "local" and host.server.powershell:
                hosts[name] = {"ansible_pwsh_interpreter": str(self._run(host.server.powershell.program(account.name)))}
        group: dict[str, t.Any] = {"vars": shared, "hosts": hosts}
        sides = {side: self._hosts_with(modes) for side, modes in _SIDES.items()}
        group["children"] = {side: {"hosts": dict.fromkeys(found, {})} for side, found in sides.items() if found}
        return {"all": {"children": {"hyperv": group}}}

    def _hosts_with(self, modes: t.Collection[int]) -> list[str]:
        with self.world.lock:
            return [name for name, host in self.world.hosts.items() if any(vm.mode in modes for vm in host.vms)]


_SIDES = {"hyperv_primaries": {Mode.PRIMARY}, "hyperv_replicas": {Mode.REPLICA, Mode.EXTENDED_REPLICA}}


@dataclass(frozen=True)
class _Way:
    """How a client is to come in."""

    auth: str
    https: bool
    ca_file: str
    keys: Keys | None


def _winrm(way: _Way) -> dict[str, t.Any]:
    variables: dict[str, t.Any] = {"ansible_winrm_transport": way.auth, "ansible_winrm_scheme": "http"}
    if way.https:
        variables["ansible_winrm_scheme"] = "https"
        variables["ansible_winrm_server_cert_validation"] = "validate"
        variables["ansible_winrm_ca_trust_path"] = way.ca_file
    return variables


def _psrp(way: _Way) -> dict[str, t.Any]:
    variables: dict[str, t.Any] = {"ansible_psrp_auth": way.auth, "ansible_psrp_protocol": "http"}
    if way.https:
        variables["ansible_psrp_protocol"] = "https"
        variables["ansible_psrp_cert_validation"] = "validate"
        variables["ansible_psrp_ca_cert"] = way.ca_file
    elif way.auth == "basic":
        # pypsrp refuses Basic over plain HTTP unless it is told that nothing will be encrypted.
        variables["ansible_psrp_message_encryption"] = "never"
    return variables


def _ssh(way: _Way) -> dict[str, t.Any]:
    keys = t.cast(Keys, way.keys)
    return {
        "ansible_shell_type": "powershell",
        "ansible_ssh_args": keys.options(),
        "ansible_ssh_private_key_file": str(keys.client_file),
    }


def _local(_way: _Way) -> dict[str, t.Any]:
    return {"ansible_pipelining": True}  # else the module comes in a file, with arguments that not every pwsh knows


_CONNECTIONS = {"winrm": _winrm, "psrp": _psrp, "ssh": _ssh, "local": _local}


def _reason(error: OSError) -> str:
    """asyncio wraps the reason into a sentence of its own."""
    return os.strerror(error.errno) if error.errno else str(error)


def _load(scenario: Scenario) -> World:
    return scenario if isinstance(scenario, World) else scenarios.load(scenario)
