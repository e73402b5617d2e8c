# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The carriers above the two libraries: what an exception means, what is sent again, what is given back.

The libraries and the connection plugins are stand-ins with their names and shapes, so that this runs where neither
is installed; the real ones carry the messages of the conformance suite.
"""

from __future__ import annotations

import socket
import ssl
import sys
import types
import typing as t
from http.client import RemoteDisconnected

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import carriers, hardened_xml
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.carriers import (
    Carrier,
    Dropped,
    open_psrp,
    open_winrm,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimError, Kind, Sent
from ansible_collections.hyperv.replica.tests.unit.plugins.plugin_utils.cim.helpers import answer, fault, output

PASSWORD = "s3cret!"
ANSWER = answer(output(0))
FAULT = answer(fault("w:AccessDenied", 5))


def lookalike(path: str, *bases: type[BaseException]) -> type[t.Any]:
    """An exception class that bears the name of one from a library."""
    module, _dot, name = path.rpartition(".")
    return type(name, bases or (Exception,), {"__module__": module})


# As requests and urllib3 have them.
HTTPError = lookalike("urllib3.exceptions.HTTPError")
ConnectTimeoutError = lookalike("urllib3.exceptions.ConnectTimeoutError", HTTPError)
NewConnectionError = lookalike("urllib3.exceptions.NewConnectionError", ConnectTimeoutError)
ProtocolError = lookalike("urllib3.exceptions.ProtocolError", HTTPError)
ReadTimeoutError = lookalike("urllib3.exceptions.ReadTimeoutError", HTTPError)
PoolSSLError = lookalike("urllib3.exceptions.SSLError", HTTPError)
PoolProxyError = lookalike("urllib3.exceptions.ProxyError", HTTPError)
RequestException = lookalike("requests.exceptions.RequestException", OSError)
ConnectionFailed = lookalike("requests.exceptions.ConnectionError", RequestException)
SSLFailed = lookalike("requests.exceptions.SSLError", ConnectionFailed)
ProxyFailed = lookalike("requests.exceptions.ProxyError", ConnectionFailed)
ReadTimeout = lookalike("requests.exceptions.ReadTimeout", RequestException)
ChunkedEncodingError = lookalike("requests.exceptions.ChunkedEncodingError", RequestException)
InvalidURL = lookalike("requests.exceptions.InvalidURL", RequestException, ValueError)
TooManyRedirects = lookalike("requests.exceptions.TooManyRedirects", RequestException)
WinRMError = lookalike("winrm.exceptions.WinRMError")
InvalidCredentials = lookalike("winrm.exceptions.AuthenticationError", WinRMError)
PsrpAuthentication = lookalike("pypsrp.exceptions.AuthenticationError")
SpnegoError = lookalike("spnego.exceptions.SpnegoError")


class TransportError(Exception):
    """WinRMTransportError, the same in both libraries: an HTTP status, and the answer's text."""

    def __init__(self, code: int, response_text: str | bytes) -> None:
        super().__init__("http", code, response_text)
        self.code = code
        self.response_text = response_text


def max_retries(reason: BaseException) -> BaseException:
    error: t.Any = lookalike("urllib3.exceptions.MaxRetryError", HTTPError)(f"Max retries exceeded: {reason}")
    error.reason = reason
    return t.cast("BaseException", error)


def caused(error: BaseException, by: BaseException) -> BaseException:
    error.__cause__ = by
    return error


NO_ROUTE = ConnectionFailed(max_retries(NewConnectionError("[Errno 113] No route to host")))
REFUSED = ConnectionFailed(max_retries(caused(NewConnectionError("refused"), ConnectionRefusedError(111, "refused"))))
UNRESOLVED = ConnectionFailed(max_retries(caused(NewConnectionError("?"), socket.gaierror(-2, "unknown"))))
RESET = ConnectionFailed(ProtocolError("Connection aborted.", ConnectionResetError(104, "reset")))
CLOSED = ConnectionFailed(ProtocolError("Connection aborted.", RemoteDisconnected("closed")))
UNTRUSTED = SSLFailed(max_retries(PoolSSLError(ssl.SSLCertVerificationError(1, "self-signed"))))
PROXY = ProxyFailed(max_retries(PoolProxyError("Cannot connect to proxy.", OSError("Tunnel failed: 502"))))

# What went wrong: its kind, and whether the message may have arrived.
MEANINGS: dict[str, tuple[Exception, Kind, Sent]] = {
    "refused": (REFUSED, Kind.CONNECTION, Sent.NO),
    "no route": (NO_ROUTE, Kind.CONNECTION, Sent.NO),
    "no such name": (UNRESOLVED, Kind.CONNECTION, Sent.NO),
    "no connection in time": (ConnectionFailed(max_retries(ConnectTimeoutError("slow"))), Kind.CONNECTION, Sent.NO),
    "no answer in time": (ReadTimeout(ReadTimeoutError("slow")), Kind.CONNECTION, Sent.MAYBE),
    "no rest of the answer in time": (ConnectionFailed(ReadTimeoutError("slow")), Kind.CONNECTION, Sent.MAYBE),
    "reset": (RESET, Kind.CONNECTION, Sent.MAYBE),
    "closed": (CLOSED, Kind.CONNECTION, Sent.MAYBE),
    "half an answer": (ChunkedEncodingError(ProtocolError("broken")), Kind.CONNECTION, Sent.MAYBE),
    "a socket's error that nobody wrapped": (BrokenPipeError(32, "broken pipe"), Kind.CONNECTION, Sent.MAYBE),
    "untrusted": (UNTRUSTED, Kind.CERTIFICATE, Sent.NO),
    "no TLS": (SSLFailed(max_retries(PoolSSLError(ssl.SSLError(1, "WRONG_VERSION")))), Kind.CERTIFICATE, Sent.MAYBE),
    "TLS cut off": (SSLFailed(max_retries(PoolSSLError(ssl.SSLEOFError(8, "EOF")))), Kind.CONNECTION, Sent.MAYBE),
    "no file of authorities": (OSError("Could not find a suitable TLS CA bundle"), Kind.CERTIFICATE, Sent.NO),
    "the proxy": (PROXY, Kind.CONNECTION, Sent.MAYBE),
    "a bad address": (InvalidURL("Failed to parse: http://hv:port"), Kind.UNSUPPORTED, Sent.NO),
    "sent from door to door": (TooManyRedirects("30"), Kind.PROTOCOL, Sent.MAYBE),
    "credentials, pywinrm": (InvalidCredentials("rejected"), Kind.AUTHENTICATION, Sent.NO),
    "credentials, pypsrp": (PsrpAuthentication("rejected"), Kind.AUTHENTICATION, Sent.NO),
    "no NTLM there": (PermissionError("no challenge"), Kind.AUTHENTICATION, Sent.MAYBE),
    "Kerberos": (SpnegoError("no ticket"), Kind.AUTHENTICATION, Sent.MAYBE),
    "status 500": (TransportError(500, ""), Kind.PROTOCOL, Sent.MAYBE),
    "status 503": (TransportError(503, "busy"), Kind.PROTOCOL, Sent.MAYBE),
    "a web page": (TransportError(404, b"<html>no</html>"), Kind.PROTOCOL, Sent.MAYBE),
    "the proxy's credentials": (TransportError(407, ""), Kind.AUTHENTICATION, Sent.NO),
    "no such encoding": (LookupError("unknown encoding: klingon"), Kind.PROTOCOL, Sent.MAYBE),
    "no Content-Type": (KeyError("Content-Type"), Kind.PROTOCOL, Sent.MAYBE),
    "a setting that is not possible": (WinRMError("encryption is not supported"), Kind.UNSUPPORTED, Sent.MAYBE),
    "a library that is not there": (ImportError("requests-credssp"), Kind.UNSUPPORTED, Sent.MAYBE),
}
BREAKS_A_KEPT_CONNECTION = {"reset", "closed", "half an answer", "a socket's error that nobody wrapped", "TLS cut off"}


class Session:
    """A requests.Session, as far as it is touched."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[t.Any]] = {"response": []}


class WinrmTransport:
    """winrm.transport.Transport: a session that is built when it is needed, and what sending does."""

    def __init__(self, *results: bytes | BaseException) -> None:
        self.endpoint = f"http://user:{PASSWORD}@hv01:5985/wsman"
        self.session: Session | None = None
        self.read_timeout_sec: t.Any = 30
        self.results = list(results)
        self.sent: list[bytes] = []
        self.hooks: list[int] = []
        self.closed = 0

    def build_session(self) -> None:
        # Up to 0.4.3 it returns nothing.
        assert self.session is None
        self.session = Session()

    def send_message(self, message: bytes) -> bytes:
        assert self.session is not None
        self.hooks.append(len(self.session.hooks["response"]))
        self.sent.append(message)
        result = self.results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return result

    def close_session(self) -> None:
        self.session = None
        self.closed += 1


class Protocol:
    def __init__(self, *results: bytes | BaseException) -> None:
        self.transport = WinrmTransport(*results)


class WinrmPlugin:
    """ansible.builtin.winrm: what it does with a shell_id that is there already, and when it closes."""

    def __init__(self, protocol: Protocol, transports: t.Sequence[str] = ("ntlm",), error: str = "") -> None:
        self.made = protocol
        self.protocol: Protocol | None = None
        self.shell_id: str | None = None
        self.log: list[str] = []
        self._transports = transports
        self._error = error

    def get_option(self, name: str) -> object:
        return {"remote_password": PASSWORD}[name]

    def _build_winrm_kwargs(self) -> None:
        self._winrm_transport = list(self._transports)

    def _connect(self) -> None:
        if self._error:
            raise RuntimeError(self._error)
        if not self.shell_id:
            self.log.append("open shell")
            self.shell_id = "SHELL-1"
        self.protocol = self.made

    def close(self) -> None:
        if self.protocol and self.shell_id:
            self.log.append("delete shell")
        self.shell_id = self.protocol = None


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both libraries are there, whatever the machine has."""
    for name in ("winrm", "requests", "xmltodict", "pypsrp"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    wsman: t.Any = types.ModuleType("pypsrp.wsman")
    wsman.WSMan = WSMan
    monkeypatch.setitem(sys.modules, "pypsrp.wsman", wsman)
    monkeypatch.setattr(WSMan, "made", [])
    monkeypatch.setattr(WSMan, "results", [])


class PsrpTransport:
    """pypsrp's HTTP transport: its session comes with the first message."""

    def __init__(self, owner: WSMan) -> None:
        self.endpoint = "https://hv01:5986/wsman"
        self.session: Session | None = None
        self.owner = owner

    def _build_session(self) -> Session:
        return Session()

    def send(self, message: bytes) -> bytes:
        self.owner.hooks.append(len(self.session.hooks["response"]) if self.session else -1)
        result = WSMan.results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return result


class WSMan:
    made: t.ClassVar[list[WSMan]] = []
    results: t.ClassVar[list[bytes | BaseException]] = []

    def __init__(self, **options: t.Any) -> None:
        if options.get("auth") == "impossible":
            raise ValueError(f"Cannot use message encryption with {options['password']}")
        self.options = options
        self.transport = PsrpTransport(self)
        self.hooks: list[int] = []
        self.closed = False
        self.made.append(self)

    def close(self) -> None:
        self.closed = True


class PsrpPlugin:
    """ansible.builtin.psrp: documented options, and the private pair of names that maps them."""

    def __init__(self, **options: t.Any) -> None:
        self.options: dict[str, t.Any] = {
            "configuration_name": "Microsoft.PowerShell",
            "remote_addr": "hv01",
            "remote_user": "operator",
            "remote_password": PASSWORD,
            "proxy": None,
            **options,
        }

    def get_option(self, name: str) -> t.Any:
        return self.options[name]


class KnownPsrpPlugin(PsrpPlugin):
    def _build_kwargs(self) -> None:
        self._psrp_conn_kwargs = {
            "server": "hv01",
            "password": PASSWORD,
            "read_timeout": self.options.get("read_timeout", 30),
            "reconnection_retries": self.options.get("reconnection_retries", 0),
            "reconnection_backoff": 0.0,
            "auth": self.options.get("auth", "ntlm"),
        }


def winrm(*results: bytes | BaseException) -> tuple[Carrier, WinrmTransport]:
    protocol = Protocol(*results)
    return open_winrm(WinrmPlugin(protocol), 70), protocol.transport


def psrp(*results: bytes | BaseException, **options: t.Any) -> Carrier:
    WSMan.results.extend(results)
    return open_psrp(KnownPsrpPlugin(**options), 70)


def failure(carrier: Carrier, changes: bool = True) -> CimError:
    with pytest.raises(CimError) as caught:
        carrier.exchange(b"<message/>", changes=changes)
    return caught.value


# --- what an exception means -----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(MEANINGS))
def test_an_exception_means_the_same_in_both_libraries(name: str) -> None:
    error, kind, sent = MEANINGS[name]
    for carrier in (winrm(error)[0], psrp(error)):
        found = failure(carrier)
        assert (found.kind, found.sent) == (kind, sent)
        # Where no HTTP came, the message is the same over both transports, and says nothing of the way.
        told = found.message if isinstance(error, TransportError) else found.detail
        assert told.startswith(f"{carrier.address}: ")
        assert not isinstance(found, Dropped)


@pytest.mark.parametrize("name", sorted(MEANINGS))
def test_a_read_has_no_effect_whatever_became_of_it(name: str) -> None:
    assert failure(winrm(MEANINGS[name][0])[0], changes=False).sent is Sent.NO


@pytest.mark.parametrize("name", sorted(MEANINGS))
def test_only_a_kept_connection_can_break_down(name: str) -> None:
    for carrier in (winrm(ANSWER, MEANINGS[name][0])[0], psrp(ANSWER, MEANINGS[name][0])):
        carrier.exchange(b"<message/>", changes=False)
        assert isinstance(failure(carrier), Dropped) is (name in BREAKS_A_KEPT_CONNECTION)


def test_what_was_encrypted_for_a_connection_that_is_gone_is_dropped_too() -> None:
    for carrier in (winrm(ANSWER, TransportError(400, ""))[0], psrp(ANSWER, TransportError(400, ""))):
        carrier.exchange(b"<message/>", changes=False)
        found = failure(carrier)
        assert isinstance(found, Dropped)
        assert (found.kind, found.sent) == (Kind.PROTOCOL, Sent.MAYBE)


@pytest.mark.parametrize("changes", [False, True])
def test_a_session_that_ended_is_followed_by_a_new_one(changes: bool) -> None:
    ended = carriers._SessionEnded()
    for carrier in (winrm(ANSWER, ended, ANSWER)[0], psrp(ANSWER, ended, ANSWER)):
        carrier.exchange(b"<message/>", changes=False)
        assert carrier.exchange(b"<message/>", changes=changes) == ANSWER


def test_a_session_that_ends_before_its_first_answer_is_refused() -> None:
    ended = carriers._SessionEnded()
    for carrier in (winrm(ended)[0], psrp(ended)):
        refused(carrier)
    for carrier in (winrm(ANSWER, ended, ended)[0], psrp(ANSWER, ended, ended)):
        carrier.exchange(b"<message/>", changes=False)
        refused(carrier)


def refused(carrier: Carrier) -> None:
    found = failure(carrier)
    assert (found.kind, found.sent) == (Kind.AUTHENTICATION, Sent.NO)
    assert found.message == "the host did not accept the credentials"


def test_bytes_that_a_library_could_not_show_as_text_are_an_answer() -> None:
    error = UnicodeDecodeError("utf-8", b"\xff<", 0, 1, "invalid start byte")
    for carrier in (winrm(error)[0], psrp(error)):
        assert carrier.exchange(b"<message/>", changes=True) == b"\xff<"


def test_a_connection_that_worked_is_not_misconfigured() -> None:
    for name in ("a setting that is not possible", "a library that is not there"):
        carrier = winrm(ANSWER, MEANINGS[name][0])[0]
        carrier.exchange(b"<message/>", changes=False)
        assert failure(carrier).kind is Kind.PROTOCOL


def test_an_exception_that_was_being_handled_does_not_decide() -> None:
    try:
        try:
            raise ConnectionRefusedError(111, "long ago")
        except ConnectionRefusedError:
            raise ReadTimeout("slow")  # noqa: B904
    except RequestException as error:
        assert failure(winrm(error)[0]).sent is Sent.MAYBE


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("as_text", [True, False])
def test_a_fault_is_an_answer(status: int, as_text: bool) -> None:
    error = TransportError(status, FAULT.decode() if as_text else FAULT)
    carrier, transport = winrm(error)
    assert carrier.exchange(b"<message/>", changes=True) == FAULT
    assert transport.closed == 0
    assert psrp(error).exchange(b"<message/>", changes=True) == FAULT


def test_an_interrupt_is_nobody_elses_business() -> None:
    with pytest.raises(KeyboardInterrupt):
        winrm(KeyboardInterrupt())[0].exchange(b"<message/>", changes=True)


# --- sending ---------------------------------------------------------------------------------------


def test_after_a_failure_the_session_is_a_new_one() -> None:
    carrier, transport = winrm(CLOSED, ANSWER)
    failure(carrier)
    assert transport.closed == 1
    assert carrier.exchange(b"<message/>", changes=False) == ANSWER

    other = psrp(CLOSED, ANSWER)
    failure(other)
    assert other.exchange(b"<message/>", changes=False) == ANSWER
    assert [(one.closed, len(one.hooks)) for one in WSMan.made] == [(True, 1), (False, 1)]


def test_only_a_connection_that_was_never_made_is_tried_again() -> None:
    carrier = psrp(REFUSED, UNRESOLVED, ANSWER, reconnection_retries=2)
    assert carrier.exchange(b"<message/>", changes=True) == ANSWER
    assert failure(psrp(REFUSED, REFUSED, REFUSED, reconnection_retries=2)).kind is Kind.CONNECTION
    assert WSMan.results == []
    for name, (error, kind, sent) in MEANINGS.items():
        if kind is not Kind.CONNECTION or sent is not Sent.NO:
            failure(psrp(error, ANSWER, reconnection_retries=2))
            assert WSMan.results == [ANSWER], name
            WSMan.results.clear()


def test_the_library_itself_never_sends_again() -> None:
    psrp(reconnection_retries=5)
    assert WSMan.made[0].options["reconnection_retries"] == 0


def test_an_answer_that_is_too_large_is_refused() -> None:
    large = b"<x>" + b" " * hardened_xml.MAX_BYTES
    found = failure(psrp(large))
    assert (found.kind, found.sent) == (Kind.PROTOCOL, Sent.MAYBE)
    assert "larger than 8 MB" in found.message


# --- the hook --------------------------------------------------------------------------------------


class Raw:
    """A urllib3 response whose body comes in pieces."""

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces
        self.read = 0
        self.closed = False
        self.reason = "OK"

    def stream(self, size: int, decode_content: bool = False) -> t.Iterator[bytes]:
        assert decode_content
        for _piece in range(self.pieces):
            self.read += 1
            yield b"x" * 1024 * 1024

    def close(self) -> None:
        self.closed = True


class Response:
    def __init__(
        self,
        pieces: int = 1,
        is_redirect: bool = False,
        status: int = 200,
        content: str = "",
        authorization: str = "",
    ) -> None:
        self.raw: t.Any = Raw(pieces)
        self.is_redirect = is_redirect
        self.status_code = 307 if is_redirect else status
        self.request = types.SimpleNamespace(headers={})
        if content:
            self.request.headers["Content-Type"] = content
        if authorization:
            self.request.headers["Authorization"] = authorization


def test_a_body_is_cut_off_while_it_arrives() -> None:
    response = Response(pieces=1000)
    raw = response.raw
    carriers._check(response)
    with pytest.raises(CimError) as caught:
        b"".join(response.raw.stream(1024, decode_content=True))
    assert "larger than 8 MB" in caught.value.message
    assert (raw.read, raw.closed) == (9, True)


def test_a_body_within_the_bound_is_read_to_its_end() -> None:
    response = Response(pieces=8)
    carriers._check(response)
    assert len(b"".join(response.raw.stream(1024, decode_content=True))) == hardened_xml.MAX_BYTES
    assert response.raw.reason == "OK"


def test_a_redirection_is_not_followed() -> None:
    with pytest.raises(CimError) as caught:
        carriers._check(Response(is_redirect=True))
    assert "HTTP status 307, a redirection" in caught.value.message


@pytest.mark.parametrize("content", ["multipart/encrypted", 'multipart/x-multi-encrypted;protocol="x"'])
@pytest.mark.parametrize(("status", "authorization"), [(401, ""), (401, "NTLM x"), (200, "NTLM x"), (500, "NTLM x")])
def test_what_was_encrypted_for_a_session_that_ended_has_no_answer(
    status: int, authorization: str, content: str
) -> None:
    with pytest.raises(carriers._SessionEnded):
        carriers._check(Response(status=status, content=content, authorization=authorization))


@pytest.mark.parametrize(
    ("status", "content", "authorization"),
    [
        (401, "", "NTLM x"),
        (401, "application/soap+xml", "Basic x"),
        (200, "application/soap+xml", "NTLM x"),
        (500, "multipart/encrypted", ""),
    ],
)
def test_every_other_answer_is_the_librarys_own(status: int, content: str, authorization: str) -> None:
    response = Response(status=status, content=content, authorization=authorization)
    raw = response.raw
    carriers._check(response)
    assert response.raw is raw  # channel binding looks for the certificate in urllib3's own object


def test_every_session_has_the_hook_once_and_is_given_back_without() -> None:
    carrier, transport = winrm(ANSWER, ANSWER, CLOSED, ANSWER)
    for _message in range(2):
        carrier.exchange(b"<message/>", changes=False)
    failure(carrier)
    carrier.exchange(b"<message/>", changes=False)
    assert transport.hooks == [1, 1, 1, 1]
    kept = transport.session
    carrier.close()
    assert kept is not None
    assert kept.hooks == {"response": []}

    other = psrp(ANSWER, ANSWER, ANSWER)
    for _message in range(3):
        other.exchange(b"<message/>", changes=False)
    assert WSMan.made[0].hooks == [1, 1, 1]


# --- the connection plugins ------------------------------------------------------------------------


def test_no_shell_is_opened_where_there_is_one_transport() -> None:
    plugin = WinrmPlugin(Protocol(ANSWER))
    carrier = open_winrm(plugin, 70)
    assert plugin.shell_id is None
    carrier.exchange(b"<message/>", changes=False)
    carrier.close()
    assert plugin.log == []
    assert (plugin.protocol, plugin.shell_id) == (None, None)
    assert plugin.made.transport.closed == 1


def test_with_several_transports_the_plugin_finds_out_with_a_shell() -> None:
    plugin = WinrmPlugin(Protocol(ANSWER), transports=("kerberos", "ntlm"))
    carrier = open_winrm(plugin, 70)
    carrier.exchange(b"<message/>", changes=False)
    carrier.close()
    assert plugin.log == ["open shell", "delete shell"]
    assert plugin.made.transport.closed == 1


def test_a_protocol_that_is_there_already_is_borrowed() -> None:
    plugin = WinrmPlugin(Protocol(ANSWER))
    plugin.protocol, plugin.shell_id = plugin.made, "SHELL-0"
    carrier = open_winrm(plugin, 70)
    assert plugin.made.transport.read_timeout_sec == (30, 70)
    carrier.exchange(b"<message/>", changes=False)
    carrier.close()
    assert (plugin.protocol, plugin.shell_id) == (plugin.made, "SHELL-0")
    assert (plugin.log, plugin.made.transport.closed) == ([], 0)
    assert plugin.made.transport.read_timeout_sec == 30


def test_closing_a_connection_that_is_gone_says_nothing() -> None:
    plugin = WinrmPlugin(Protocol(), transports=("kerberos", "ntlm"))
    carrier = open_winrm(plugin, 70)

    def close() -> None:
        raise RESET

    plugin.close = close  # type: ignore[method-assign]
    carrier.close()
    assert (plugin.protocol, plugin.shell_id) == (None, None)
    assert plugin.made.transport.closed == 1


def test_the_inventory_may_ask_for_more_time_but_not_for_less() -> None:
    for inventory, read in ((30, 70), (300, 300)):
        protocol = Protocol()
        protocol.transport.read_timeout_sec = inventory
        open_winrm(WinrmPlugin(protocol), 70)
        assert protocol.transport.read_timeout_sec == (inventory, read)
        psrp(read_timeout=inventory)
        assert WSMan.made[-1].options["read_timeout"] == read


BROKEN = "the connection broke before the answer was complete"
DISTRUSTED = "the certificate of the host is not trusted"
MISCONFIGURED = "this connection cannot be used as it is configured"
REJECTED = "the host did not accept the credentials"
UNUSABLE = "the credentials could not be used"


@pytest.mark.parametrize(
    ("transports", "text", "kind", "says"),
    [
        (["ntlm"], "ntlm: auth method ntlm requires a password", Kind.AUTHENTICATION, UNUSABLE),
        (["kerberos"], "Kerberos auth failure for principal a@B: preauth failed", Kind.AUTHENTICATION, UNUSABLE),
        (["kerberos"], "kerberos: the python kerberos library is not installed", Kind.UNSUPPORTED, MISCONFIGURED),
        (["x"], "The installed version of WinRM does not support transport(s) ['x']", Kind.UNSUPPORTED, MISCONFIGURED),
        (["ntlm"], "ntlm: read_timeout_sec must exceed operation_timeout_sec", Kind.UNSUPPORTED, MISCONFIGURED),
        (["a", "b"], "a: HTTPConnectionPool(host='hv01'): Max retries exceeded", Kind.CONNECTION, BROKEN),
        (["a", "b"], "a: kerberos library is not installed, b: ('Connection aborted.'", Kind.CONNECTION, BROKEN),
        (["a", "b"], "a: is not installed, b: the specified credentials were rejected", Kind.AUTHENTICATION, REJECTED),
        (["a", "b"], "a: HTTPSConnectionPool(SSLError(certificate verify failed))", Kind.CERTIFICATE, DISTRUSTED),
        (["a", "b"], "the connection attempt timed out", Kind.CONNECTION, "no connection could be made"),
        (["a", "b"], "something new", Kind.CONNECTION, "the host cannot be reached"),
    ],
)
def test_what_the_winrm_plugin_says(transports: list[str], text: str, kind: Kind, says: str) -> None:
    plugin = WinrmPlugin(Protocol(), transports, f"{text} ({PASSWORD})")
    with pytest.raises(CimError) as caught:
        open_winrm(plugin, 70)
    assert (caught.value.kind, caught.value.sent) == (kind, Sent.NO)
    assert caught.value.message == says
    assert text in caught.value.detail
    assert PASSWORD not in caught.value.detail
    assert plugin.shell_id is None


def test_a_winrm_plugin_of_tomorrow_is_not_half_used() -> None:
    class Tomorrow(WinrmPlugin):
        def _build_winrm_kwargs(self) -> None:
            raise AttributeError("_build_winrm_kwargs")

    plugin = Tomorrow(Protocol())
    with pytest.raises(CimError) as caught:
        open_winrm(plugin, 70)
    assert caught.value.kind is Kind.UNSUPPORTED
    assert (plugin.log, plugin.protocol, plugin.shell_id) == ([], None, None)


def test_the_options_of_psrp_are_mapped_where_the_plugin_does_not() -> None:
    options = {
        "port": None,
        "protocol": None,
        "message_encryption": "auto",
        "ignore_proxy": False,
        "cert_validation": "validate",
        "ca_cert": None,
        "auth": "kerberos",
        "path": "wsman",
        "connection_timeout": 30,
        "read_timeout": 30,
        "negotiate_service": None,
    }
    open_psrp(PsrpPlugin(**options), 70)
    assert WSMan.made[-1].options == {
        "server": "hv01",
        "port": 5986,
        "username": "operator",
        "password": PASSWORD,
        "ssl": True,
        "encryption": "auto",
        "no_proxy": False,
        "cert_validation": True,
        "auth": "kerberos",
        "path": "wsman",
        "connection_timeout": 30,
        "read_timeout": 70,
        "reconnection_retries": 0,
    }
    for more, expected in (
        ({"port": 5985}, {"ssl": False, "port": 5985}),
        ({"port": 8443}, {"ssl": True, "port": 8443}),
        ({"protocol": "http"}, {"ssl": False, "port": 5985}),
        ({"protocol": "https", "port": "5985"}, {"ssl": True, "port": 5985}),
        ({"cert_validation": "ignore", "ca_cert": "ca.pem"}, {"cert_validation": False}),
        ({"ca_cert": "ca.pem"}, {"cert_validation": "ca.pem"}),
    ):
        open_psrp(PsrpPlugin(**{**options, **more}), 70)
        assert expected.items() <= WSMan.made[-1].options.items()


def test_a_psrp_plugin_without_its_options_is_not_used() -> None:
    with pytest.raises(CimError) as caught:
        open_psrp(PsrpPlugin(), 70)
    assert caught.value.kind is Kind.UNSUPPORTED


@pytest.mark.parametrize("name", ["JEA.Operators", "PowerShell.7", None])
def test_another_session_configuration_is_refused(name: str | None) -> None:
    with pytest.raises(CimError) as caught:
        open_psrp(KnownPsrpPlugin(configuration_name=name), 70)
    assert caught.value.kind is Kind.UNSUPPORTED
    open_psrp(KnownPsrpPlugin(configuration_name="microsoft.powershell"), 70)


def test_an_impossible_setting_is_named_without_the_password() -> None:
    with pytest.raises(CimError) as caught:
        open_psrp(KnownPsrpPlugin(auth="impossible"), 70)
    assert caught.value.kind is Kind.UNSUPPORTED
    assert "Cannot use message encryption with ***" in caught.value.message


@pytest.mark.parametrize(
    ("opener", "plugin", "module", "package"),
    [
        (open_winrm, WinrmPlugin(Protocol()), "winrm", "pywinrm"),
        (open_winrm, WinrmPlugin(Protocol()), "xmltodict", "pywinrm"),
        (open_psrp, KnownPsrpPlugin(), "pypsrp", "pypsrp"),
    ],
)
def test_a_missing_library_is_named_as_pip_knows_it(
    opener: t.Any, plugin: object, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CimError) as caught:
        opener(plugin, 70)
    assert caught.value.kind is Kind.UNSUPPORTED
    assert module in caught.value.message
    assert f"pip install {package}" in caught.value.hint


# --- secrets ---------------------------------------------------------------------------------------


def test_no_text_holds_a_password() -> None:
    texts = [f"Failed to parse: http://admin:{PASSWORD}@proxy:3128", f"bad {PASSWORD}"]
    for text in texts:
        for carrier in (winrm(InvalidURL(text))[0], psrp(InvalidURL(text))):
            found = failure(carrier)
            for said in (found.message, found.detail, found.hint, carrier.address):
                assert PASSWORD not in said
                assert "admin" not in said


def test_a_text_loses_its_credentials_and_nothing_else() -> None:
    text = "see https://hv01:5986/wsman and http://a:b@proxy:1/x, or mail c@d"
    assert carriers.scrub(text, ()) == "see https://hv01:5986/wsman and http://***@proxy:1/x, or mail c@d"
    assert carriers.scrub("abc abc", ["b"]) == "a***c a***c"
    assert len(carriers.scrub("x" * 5000, ())) == 1000
