# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The session over WS-Management on Ansible's own connection plugins and the real libraries, against the lab.

No play: what is counted here is what a library sends, and what it makes of every kind of answer. Whatever a host does,
both libraries have to end in the same error, and a method call has to be on the wire once.
"""

from __future__ import annotations

import contextlib
import http.server
import re
import socket
import ssl
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.over_wsman import WsManSession, open_session
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Answer,
    Call,
    CimError,
    Failed,
    Get,
    Instance,
    Kind,
    MethodCall,
    MethodResult,
    Query,
    Reference,
    Sent,
)
from replica_lab.lab import Lab, LabHost
from replica_lab.wire import certificates

USER, PASSWORD = "operator", "replica-lab"
ALL_VMS = Query("SELECT * FROM Msvm_ComputerSystem")
SERVICE = Reference("Msvm_ReplicationService", ())
JOB = Reference.of("Msvm_ConcreteJob", InstanceID="none of the name")

# Connection plugin, scheme, and what the inventory says.
WAYS: dict[str, tuple[str, str, dict[str, t.Any]]] = {
    "winrm-basic": ("winrm", "http", {"ansible_winrm_transport": ["basic"]}),
    "winrm-ntlm": ("winrm", "http", {"ansible_winrm_transport": ["ntlm"]}),
    "winrm-basic-https": ("winrm", "https", {"ansible_winrm_transport": ["basic"]}),
    "winrm-ntlm-https": ("winrm", "https", {"ansible_winrm_transport": ["ntlm"]}),
    "psrp-basic": ("psrp", "http", {"ansible_psrp_auth": "basic", "ansible_psrp_message_encryption": "never"}),
    "psrp-ntlm": ("psrp", "http", {"ansible_psrp_auth": "ntlm"}),
    "psrp-basic-https": ("psrp", "https", {"ansible_psrp_auth": "basic"}),
    "psrp-ntlm-https": ("psrp", "https", {"ansible_psrp_auth": "ntlm"}),
}
ENCRYPTED = {"winrm-ntlm", "psrp-ntlm"}
every_way = pytest.mark.parametrize("way", WAYS)


def connection(kind: str, scheme: str, port: int, variables: dict[str, t.Any], password: str = PASSWORD) -> t.Any:
    """A connection plugin with its options, as the task executor makes it; not connected yet."""
    plugin = connection_loader.get(kind, PlayContext(), None)
    options = {
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_user": USER,
        "ansible_password": password,
        "ansible_winrm_scheme": scheme,
        "ansible_psrp_protocol": scheme,
        **variables,
    }
    direct = {"remote_addr": "127.0.0.1", "remote_user": USER, "remote_password": password, "port": port}
    known = {"ansible_winrm_scheme", "ansible_winrm_transport"}
    options["_extras"] = {
        name: value for name, value in options.items() if name.startswith(f"ansible_{kind}_") and name not in known
    }
    plugin.set_options(var_options=options, direct=direct)
    return plugin


def trusting(ca: Path | None) -> dict[str, str]:
    return {"ansible_winrm_ca_trust_path": str(ca), "ansible_psrp_ca_cert": str(ca)} if ca else {}


def to_host(lab: Lab, way: str, password: str = PASSWORD) -> t.Any:
    kind, scheme, variables = WAYS[way]
    host = replica(lab)
    port = host.https_port if scheme == "https" else host.port
    assert port is not None
    return connection(kind, scheme, port, {**variables, **trusting(lab.ca_file)}, password)


@contextlib.contextmanager
def opened(plugin: t.Any, read_timeout: int = 70) -> Iterator[WsManSession]:
    session = open_session(plugin, become=False, read_timeout=read_timeout)
    try:
        yield session
    finally:
        session.close()


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab("drill", https=True) as running:
        yield running
        assert [host.errors for host in running.hosts.values()] == [[], []]


def replica(lab: Lab) -> LabHost:
    return lab.hosts["HV-REPLICA"]


def failed_over(session: WsManSession) -> Reference:
    """A VM that can be reverted."""
    (found,) = session.run([Query(f"{ALL_VMS.wql} WHERE ReplicationState = 5 AND EnabledState = 3")])
    assert isinstance(found, tuple)
    assert found[0].reference is not None
    return found[0].reference


def revert(vm: Reference) -> Call:
    return Call(vm.key("Name") or "", MethodCall(SERVICE, "RevertFailover", (("ComputerSystem", vm),)))


def error_of(answer: Answer) -> CimError:
    assert isinstance(answer, Failed), answer
    return answer.error


def only_error(plugin: t.Any) -> CimError:
    """What the first query over this connection ends in."""
    with opened(plugin) as session:
        return error_of(session.run([ALL_VMS])[0])


# --- reading and calling ---------------------------------------------------------------------------


@every_way
def test_reading_opens_no_shell_and_gives_the_connection_back(lab: Lab, way: str) -> None:
    host = replica(lab)
    plugin = to_host(lab, way)
    with opened(plugin) as session:
        vms, job = session.run([ALL_VMS, Get(JOB)])
        assert isinstance(vms, tuple)
        assert [vm.get("Name") for vm in vms if not isinstance(vm.get("ReplicationState"), int)] == []
        assert job is None
        again = session.run([Get(vm.reference) for vm in vms if vm.reference])
        assert [vm.reference for vm in again if isinstance(vm, Instance)] == [vm.reference for vm in vms]
    assert host.counters.shells == 0
    assert host.open_enumerations == 0
    assert (host.counters.encrypted > 0, host.counters.plain > 0) == (way in ENCRYPTED, way not in ENCRYPTED)
    if WAYS[way][0] == "winrm":
        assert (plugin.protocol, plugin.shell_id, plugin.connected) == (None, None, False)


def test_with_several_transports_the_shell_of_the_plugin_is_deleted_again(lab: Lab) -> None:
    host = replica(lab)
    plugin = connection("winrm", "http", host.port, {"ansible_winrm_transport": ["basic", "ntlm"]})
    with opened(plugin) as session:
        assert isinstance(session.run([ALL_VMS])[0], tuple)
    assert (host.counters.shells, host.open_shells) == (1, 0)


@every_way
def test_a_call_and_its_job(lab: Lab, way: str) -> None:
    with opened(to_host(lab, way)) as session:
        vm = failed_over(session)
        (called,) = session.run([revert(vm)])
        assert isinstance(called, MethodResult)
        assert called.return_value == 4096
        assert called.job is not None
        (job,) = session.run([Get(called.job)])
        assert isinstance(job, Instance)
        assert job.get("JobType") == 98
    assert dict(replica(lab).counters.methods) == {"Msvm_ReplicationService.RevertFailover": 1}


# --- bad nights ------------------------------------------------------------------------------------

# A fault on the call: how it ends, and whether the host has carried it out.
NIGHTS: dict[str, tuple[dict[str, t.Any], Kind, Sent, int]] = {
    "dropped before": ({"do": "drop_before"}, Kind.CONNECTION, Sent.MAYBE, 0),
    "dropped after": ({"do": "drop_after"}, Kind.CONNECTION, Sent.MAYBE, 1),
    "dropped midway": ({"do": "drop_midway"}, Kind.CONNECTION, Sent.MAYBE, 1),
    "status 500": ({"do": "status", "status": 500}, Kind.PROTOCOL, Sent.MAYBE, 0),
    "status 500 after the effect": ({"do": "status", "status": 500, "effect": True}, Kind.PROTOCOL, Sent.MAYBE, 1),
    "status 503": ({"do": "status", "status": 503, "body": "busy"}, Kind.PROTOCOL, Sent.MAYBE, 0),
    "timed out": ({"do": "timed_out"}, Kind.TIMED_OUT, Sent.MAYBE, 1),
    "quota": ({"do": "quota"}, Kind.QUOTA, Sent.NO, 0),
    "a fault of WinRM": ({"do": "fault", "shape": "A", "code": 5}, Kind.ACCESS_DENIED, Sent.NO, 0),
    "a fault of WMI": ({"do": "fault", "shape": "B", "code": 0x80041003}, Kind.ACCESS_DENIED, Sent.NO, 0),
    "a fault of MI": ({"do": "fault", "shape": "C", "code": 0x80338104}, Kind.ACCESS_DENIED, Sent.NO, 0),
    "an unknown fault": ({"do": "fault"}, Kind.HOST, Sent.MAYBE, 0),
    "a web page": ({"do": "html"}, Kind.PROTOCOL, Sent.MAYBE, 0),
    "a web page, 404": ({"do": "html", "status": 404}, Kind.PROTOCOL, Sent.MAYBE, 0),
    "half the XML": ({"do": "truncate"}, Kind.PROTOCOL, Sent.MAYBE, 1),
    "garbage": ({"do": "garbage"}, Kind.PROTOCOL, Sent.MAYBE, 1),
    "a DTD": ({"do": "doctype"}, Kind.PROTOCOL, Sent.MAYBE, 1),
    "10 MB": ({"do": "huge"}, Kind.PROTOCOL, Sent.MAYBE, 1),
    "another answer": ({"do": "wrong_relates_to"}, Kind.PROTOCOL, Sent.MAYBE, 1),
    "two return values": ({"do": "duplicate"}, Kind.PROTOCOL, Sent.MAYBE, 1),
    "no return value": ({"do": "missing_return_value"}, Kind.PROTOCOL, Sent.MAYBE, 1),
}


@every_way
@pytest.mark.parametrize("night", NIGHTS)
def test_a_call_is_on_the_wire_once_whatever_becomes_of_its_answer(lab: Lab, way: str, night: str) -> None:
    fault, kind, sent, carried_out = NIGHTS[night]
    with opened(to_host(lab, way)) as session:
        vm = failed_over(session)
        lab.fault(**fault, method="RevertFailover", times=1)
        (called,) = session.run([revert(vm)])
        assert (error_of(called).kind, error_of(called).sent) == (kind, sent)
        assert len(lab.calls) == carried_out
        assert replica(lab).counters.methods["Msvm_ReplicationService.RevertFailover"] == 1
        assert PASSWORD not in f"{error_of(called).message} {error_of(called).detail}"
        # The session can be used again.
        assert isinstance(session.run([Get(vm)])[0], Instance)


@every_way
def test_a_call_that_gets_no_answer_in_time_is_not_repeated(lab: Lab, way: str) -> None:
    kind, scheme, variables = WAYS[way]
    host = replica(lab)
    port = host.https_port if scheme == "https" else host.port
    # The inventory's time counts where it is longer, so it has to be short.
    short = {
        "ansible_winrm_operation_timeout_sec": 1,
        "ansible_winrm_read_timeout_sec": 2,
        "ansible_psrp_read_timeout": 2,
    }
    assert port is not None
    plugin = connection(kind, scheme, port, {**variables, **trusting(lab.ca_file), **short})
    with opened(plugin, read_timeout=2) as session:
        vm = failed_over(session)
        lab.fault(do="hang", method="RevertFailover", times=1)
        (called,) = session.run([revert(vm)])
        assert (error_of(called).kind, error_of(called).sent) == (Kind.CONNECTION, Sent.MAYBE)
        assert "no answer came in time" in error_of(called).message
    assert host.counters.methods["Msvm_ReplicationService.RevertFailover"] == 1


@every_way
@pytest.mark.parametrize(("times", "repeated"), [(1, True), (2, False)])
def test_a_read_is_repeated_once_over_a_new_connection(lab: Lab, way: str, times: int, repeated: bool) -> None:
    with opened(to_host(lab, way)) as session:
        vm = failed_over(session)
        for do in ("drop_before", "drop_midway"):
            lab.fault(do=do, operation="Get", times=times)
            before = replica(lab).counters.soap["Get"]
            (got,) = session.run([Get(vm)])
            assert isinstance(got, Instance) is repeated
            assert replica(lab).counters.soap["Get"] == before + 2
            session.run([ALL_VMS])


@pytest.mark.parametrize("way", sorted(ENCRYPTED))
def test_a_session_that_the_host_has_forgotten_is_made_anew(lab: Lab, way: str) -> None:
    with opened(to_host(lab, way)) as session:
        vm = failed_over(session)
        lab.fault(do="status", status=401, operation="Get", times=1)
        assert isinstance(session.run([Get(vm)])[0], Instance)
        lab.fault(do="status", status=401, operation="Invoke", times=1)
        (called,) = session.run([revert(vm)])
        assert isinstance(called, MethodResult)
        assert len(lab.calls) == 1


@every_way
def test_a_host_that_lets_nobody_in_any_more(lab: Lab, way: str) -> None:
    with opened(to_host(lab, way)) as session:
        vm = failed_over(session)
        lab.fault(do="status", status=401, operation="Invoke")
        (called,) = session.run([revert(vm)])
        assert (error_of(called).kind, error_of(called).sent) == (Kind.AUTHENTICATION, Sent.NO)
        assert "did not accept the credentials" in error_of(called).message
        assert lab.calls == []


# --- hosts that are none ---------------------------------------------------------------------------


@every_way
def test_a_wrong_password(lab: Lab, way: str) -> None:
    error = only_error(to_host(lab, way, password="wrong-one"))
    assert error.kind is Kind.AUTHENTICATION
    assert "wrong-one" not in f"{error.message} {error.detail}"


@every_way
def test_a_closed_port(way: str) -> None:
    kind, scheme, variables = WAYS[way]
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    error = only_error(connection(kind, scheme, port, variables))
    assert (error.kind, error.sent) == (Kind.CONNECTION, Sent.NO)
    assert "refused" in error.message


@pytest.mark.parametrize("way", [way for way in WAYS if way.endswith("https")])
def test_a_certificate_that_nobody_vouches_for(lab: Lab, way: str) -> None:
    kind, _scheme, variables = WAYS[way]
    port = replica(lab).https_port
    assert port is not None
    error = only_error(connection(kind, "https", port, variables))
    assert error.kind is Kind.CERTIFICATE
    assert "not trusted" in error.message


@pytest.mark.parametrize("way", [way for way in WAYS if way.endswith("https")])
def test_tls_to_a_port_that_speaks_none(lab: Lab, way: str) -> None:
    kind, _scheme, variables = WAYS[way]
    error = only_error(connection(kind, "https", replica(lab).port, variables))
    assert error.kind is Kind.CERTIFICATE
    assert "HTTPS port" in error.hint


@every_way
def test_a_server_that_is_no_winrm(way: str) -> None:
    kind, scheme, variables = WAYS[way]
    if scheme == "https":
        # The answer of a web server reads the same; what TLS adds has its tests above.
        scheme = "http"
        variables = {**variables, "ansible_psrp_message_encryption": "never"}

    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(404)

        def log_message(self, *_arguments: object) -> None:
            """Nothing on stderr."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            error = only_error(connection(kind, scheme, server.server_address[1], variables))
        finally:
            server.shutdown()
    assert error.kind is Kind.PROTOCOL
    assert "HTTP status 404 instead of a WinRM answer" in error.message


class BreaksTls:
    """A listener that takes a whole request over TLS, and then writes what no TLS peer can read."""

    def __init__(self, directory: Path) -> None:
        made = certificates.make(directory, ["hv01"])
        self.ca = made.ca
        self.requests = 0
        self._context = made.server_context()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                raw, _address = self._listener.accept()
            except OSError:
                return
            with self._context.wrap_socket(raw, server_side=True) as tls:
                self._read_request(tls)
                self.requests += 1
                with socket.socket(fileno=tls.detach()) as beneath:
                    beneath.sendall(b"\x17\x03\x03\x00\x20" + b"z" * 32)

    @staticmethod
    def _read_request(tls: ssl.SSLSocket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += tls.recv(65536)
        head, _blank, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while length and len(body) < int(length[1]):
            body += tls.recv(65536)


@pytest.mark.parametrize("way", ["winrm-basic-https", "psrp-basic-https"])
def test_tls_that_breaks_after_a_call_was_sent_sends_it_no_second_time(way: str, tmp_path: Path) -> None:
    # pypsrp by itself takes such an error for one of the connection phase, and sends again.
    host = BreaksTls(tmp_path)
    try:
        kind, scheme, variables = WAYS[way]
        again = {"ansible_psrp_reconnection_retries": 3, "ansible_psrp_reconnection_backoff": 0}
        plugin = connection(kind, scheme, host.port, {**variables, **trusting(host.ca), **again})
        service = Reference.of("Msvm_ReplicationService", Name="replicasvc")
        vm = Reference.of("Msvm_ComputerSystem", Name="vm")
        with opened(plugin) as session:
            call = Call("a", MethodCall(service, "RevertFailover", (("ComputerSystem", vm),)))
            error = error_of(session.run([call])[0])
        assert (error.kind, error.sent) == (Kind.CERTIFICATE, Sent.MAYBE)
        assert host.requests == 1
    finally:
        host.stop()
