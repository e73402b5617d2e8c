# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What carries a WS-Management message: the library behind the connection that Ansible already has.

pywinrm behind ``winrm``, pypsrp behind ``psrp``, neither of them patched. Both send any envelope they are given,
with the authentication and the encryption of the user's inventory; both hand back the bytes of the answer,
or an exception that holds them. No shell and no runspace is opened for it.

Read for this: the two connection plugins of ansible-core 2.16 to 2.22, pywinrm 0.4.3 and 0.5.0, pypsrp 0.8.1 and
0.9.1. Names of theirs that are not documented, each with its reason, stand in ``open_winrm`` and ``open_psrp``;
where one of them is gone the connection is ``unsupported``, never half used.

Nothing is sent twice from here. pywinrm's session has no retries. pypsrp would repeat a request after a TLS error
in its middle if ``reconnection_retries`` is set, so it gets 0, and only a connection that could not be made is
tried again here: then nothing has left yet. A 401 in a handshake makes both send the body again; the host has
not read the first one. Where messages are encrypted they do so in the middle of a session as well, with a body for
the session that has just ended, which no host can read; what it answers to that is of no interest. The message is
encrypted anew for a new session, once, and a 401 there means that the credentials are refused.

How large an answer may be is checked while it arrives.
"""

from __future__ import annotations

import importlib
import re
import time
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import hardened_xml
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimError, Kind, Sent


class Dropped(CimError):
    """A connection that had worked broke down. A read may be repeated once, on a new one."""


class Carrier(t.Protocol):
    """Bytes there, bytes back; one at a time."""

    address: str
    """The URL of the listener, without credentials."""

    def exchange(self, message: bytes, *, changes: bool) -> bytes:
        """The SOAP answer to a SOAP message, faults included.

        ``changes``: the message may have an effect, so an error says MAYBE unless it surely was not carried out.
        Raises CimError; after one the next message goes over a new connection.
        """

    def reset(self) -> None:
        """Let the next message go over a new connection."""

    def close(self) -> None:
        """Give the connection back. Never raises."""


OnExchange = Callable[[bytes, t.Union[bytes, CimError]], None]
"""Hears of a message and its answer, or of the error that came in place of one."""


class Tapped:
    """A carrier to whose exchanges somebody listens. What the listener raises, it raises to the sender."""

    def __init__(self, carrier: Carrier, on_exchange: OnExchange) -> None:
        self._carrier = carrier
        self._on_exchange = on_exchange
        self.address = carrier.address

    def exchange(self, message: bytes, *, changes: bool) -> bytes:
        try:
            answer = self._carrier.exchange(message, changes=changes)
        except CimError as error:
            self._on_exchange(message, error)
            raise
        self._on_exchange(message, answer)
        return answer

    def reset(self) -> None:
        self._carrier.reset()

    def close(self) -> None:
        self._carrier.close()


# --- what went wrong -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cause:
    """Why a message, or what else was on its way, has no answer: the same words whatever carried it."""

    kind: Kind
    says: str
    unsent: bool = False
    """The message positively did not leave, or was turned away at the door."""
    dropped: bool = False
    """A connection that was kept alive may simply have been closed meanwhile."""
    hint: str = ""


_TLS_HINT = "Is this the HTTPS port of the listener, and does its certificate name the host as the inventory does?"

_NO_NAME = Cause(Kind.CONNECTION, "the name of the host does not resolve", unsent=True)
_REFUSED = Cause(Kind.CONNECTION, "the connection was refused", unsent=True)
_NOT_MADE = Cause(Kind.CONNECTION, "no connection could be made", unsent=True)
_UNTRUSTED = Cause(Kind.CERTIFICATE, "the certificate of the host is not trusted", unsent=True, hint=_TLS_HINT)
_NO_TLS = Cause(Kind.CERTIFICATE, "no TLS connection could be agreed on", hint=_TLS_HINT)
_TOO_LATE = Cause(Kind.CONNECTION, "no answer came in time")
_BROKEN = Cause(Kind.CONNECTION, "the connection broke before the answer was complete", dropped=True)
UNREACHED = Cause(Kind.CONNECTION, "the host cannot be reached")
NOT_LET_IN = Cause(Kind.AUTHENTICATION, "the host did not accept the credentials", unsent=True)
_NO_CREDENTIALS = Cause(Kind.AUTHENTICATION, "the credentials could not be used")
NOT_USABLE = Cause(Kind.UNSUPPORTED, "this connection cannot be used as it is configured")

# The first line that names a class of the exception, or of one that it carries, decides.
_CAUSES: tuple[tuple[tuple[str, ...], Cause], ...] = (
    (("socket.gaierror",), _NO_NAME),
    (("builtins.ConnectionRefusedError",), _REFUSED),
    (("urllib3.exceptions.ConnectTimeoutError", "urllib3.exceptions.NewConnectionError"), _NOT_MADE),
    (("ssl.SSLCertVerificationError", "urllib3.exceptions.CertificateError"), _UNTRUSTED),
    (
        ("ssl.SSLEOFError", "ssl.SSLZeroReturnError"),
        Cause(Kind.CONNECTION, "the host closed the TLS connection", dropped=True, hint=_TLS_HINT),
    ),
    (("ssl.SSLError", "urllib3.exceptions.SSLError", "requests.exceptions.SSLError"), _NO_TLS),
    (("requests.exceptions.ReadTimeout", "urllib3.exceptions.ReadTimeoutError"), _TOO_LATE),
    (("requests.exceptions.ProxyError",), Cause(Kind.CONNECTION, "the proxy did not connect")),
    (
        ("urllib3.exceptions.ProtocolError", "requests.exceptions.ConnectionError", "http.client.HTTPException"),
        _BROKEN,
    ),
    (
        ("requests.exceptions.InvalidURL", "requests.exceptions.MissingSchema", "requests.exceptions.InvalidSchema"),
        Cause(Kind.UNSUPPORTED, "the address or the proxy of this connection is not usable", unsent=True),
    ),
    (("requests.exceptions.RequestException",), Cause(Kind.PROTOCOL, "the answer is not valid HTTP")),
    (("winrm.exceptions.AuthenticationError", "pypsrp.exceptions.AuthenticationError"), NOT_LET_IN),
    ((f"{__name__}._SessionEnded",), NOT_LET_IN),
    # requests_ntlm's word for a host that does not speak NTLM.
    (("builtins.PermissionError",), Cause(Kind.AUTHENTICATION, "the host did not accept the credentials")),
    (("builtins.OSError",), _BROKEN),
    (
        ("builtins.UnicodeEncodeError",),
        Cause(Kind.AUTHENTICATION, "user or password hold letters that cannot be sent this way", unsent=True),
    ),
    (("builtins.UnicodeError", "builtins.LookupError"), Cause(Kind.PROTOCOL, "the answer cannot be decoded")),
)


class _SessionEnded(Exception):
    """A 401 to a message that was encrypted for a session: the host knows it no longer and has read nothing."""


# Packages whose exceptions all are about the credentials.
_CREDENTIALS = ("spnego", "gssapi", "krb5", "kerberos", "requests_credssp", "winrm.vendor")


def _carried(error: BaseException) -> Iterator[BaseException]:
    """The exception and those inside it, as requests and urllib3 nest them. Not ``__context__``: it need not belong."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        found = waiting.pop(0)
        if isinstance(found, BaseException) and id(found) not in seen:
            seen.add(id(found))
            yield found
            inner = (getattr(found, "reason", None), getattr(found, "original_error", None), found.__cause__)
            waiting += [*found.args, *inner]


def cause_of(error: Exception, answered: bool) -> Cause:
    """What an exception of the library or of those below it means. ``answered``: this connection worked before."""
    if error.__class__ is OSError:
        # requests says so before it connects; everything of a socket it wraps.
        return Cause(Kind.CERTIFICATE, "a file of certificates or keys cannot be read", unsent=True)
    classes = [kind for carried in _carried(error) for kind in type(carried).__mro__]
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in classes}
    if any(name.startswith(_CREDENTIALS) for name in names):
        return _NO_CREDENTIALS
    for wanted, cause in _CAUSES:
        if names.intersection(wanted):
            return cause
    if answered:
        return Cause(Kind.PROTOCOL, "the answer could not be read")
    return NOT_USABLE


def _http_status(status: int, body: bytes, answered: bool) -> CimError:
    """The error for an HTTP status that came without a SOAP answer."""
    detail = f"it begins with: {hardened_xml.beginning(body)}"
    if status == 407:
        return CimError(Kind.AUTHENTICATION, "the proxy did not accept the credentials (HTTP 407)", detail=detail)
    hint = {
        404: "No WinRM listener answers at this path.",
        503: "The WinRM service of the host, or what stands before it, is not running.",
    }.get(status, "")
    # A body that was encrypted for a connection which is gone comes back as a bare 400.
    kind = Dropped if status == 400 and answered else CimError
    return kind(Kind.PROTOCOL, f"HTTP status {status} instead of a WinRM answer", hint=hint, detail=detail)


# --- the carriers ----------------------------------------------------------------------------------


class _LibraryCarrier:
    """What both have in common. The subclass says how to send, and how to begin anew."""

    address = ""

    def __init__(self, secrets: t.Iterable[object], connect_retries: int = 0, backoff: float = 0.0) -> None:
        self._secrets = [str(secret) for secret in secrets if secret]
        self._connect_retries = connect_retries
        self._backoff = backoff
        self._answered = False

    def _send(self, message: bytes) -> bytes:
        raise NotImplementedError

    def _drop(self) -> None:
        raise NotImplementedError

    def reset(self) -> None:
        self._answered = False
        self._drop()

    def exchange(self, message: bytes, *, changes: bool) -> bytes:
        attempt = 0
        while True:
            try:
                answer = self._exchange(message)
                self._answered = True
                return answer
            except CimError as error:
                # The encryption of a connection that failed is unusable, and pywinrm would then send in the clear.
                answered = self._answered
                self.reset()
                if answered and isinstance(error.__cause__, _SessionEnded):
                    continue  # over a new session; nothing was answered there yet, so this happens once
                if error.kind is Kind.CONNECTION and error.sent is Sent.NO and attempt < self._connect_retries:
                    time.sleep(self._backoff * 2**attempt)
                    attempt += 1
                    continue
                if not changes:
                    error.sent = Sent.NO
                raise

    def _exchange(self, message: bytes) -> bytes:
        try:
            return self._send(message)
        except CimError:
            raise
        except UnicodeDecodeError as error:
            # The library wanted to show the answer as text. Its bytes are judged like those of any other answer.
            return error.object
        except Exception as error:
            # Whatever a library raises has one meaning here: this message has no answer. cause_of tells them apart.
            body, status = getattr(error, "response_text", None), getattr(error, "code", None)
            if isinstance(body, (str, bytes)) and isinstance(status, int):
                body = body.encode("utf-8") if isinstance(body, str) else body
                if b"Envelope" in body[:2048]:
                    return body
                failure = _http_status(status, body, self._answered)
                failure.sent = Sent.NO if failure.kind is Kind.AUTHENTICATION else Sent.MAYBE
                failure.message = f"{self.address}: {failure.message}"
                raise failure from error
            cause = cause_of(error, self._answered)
            kind = Dropped if cause.dropped and self._answered else CimError
            raise kind(
                cause.kind,
                cause.says,
                sent=Sent.NO if cause.unsent else Sent.MAYBE,
                hint=cause.hint,
                detail=scrub(" ".join(f"{self.address}: {type(error).__name__}: {error}".split()), self._secrets),
            ) from error


def scrub(text: str, secrets: t.Iterable[str]) -> str:
    """The text without passwords: neither one of ours, nor credentials in the URL of a proxy."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return re.sub(r"(?<=://)[^/@\s]+(?=@)", "***", text)[:1000]


class _WinrmCarrier(_LibraryCarrier):
    def __init__(
        self, protocol: t.Any, close: Callable[[], None], read_timeout: int, secrets: t.Iterable[object]
    ) -> None:
        super().__init__(secrets)
        self._transport = protocol.transport
        self._close = close
        self.address = _without_credentials(self._transport.endpoint)
        # pywinrm hands this to requests, which takes a pair: how long to connect (as the inventory has it), and how
        # long to wait for an answer.
        self._inventory_timeout = self._transport.read_timeout_sec
        self._transport.read_timeout_sec = (self._inventory_timeout, max(read_timeout, self._inventory_timeout))

    def _send(self, message: bytes) -> bytes:
        if self._transport.session is None:
            self._transport.build_session()
        _guard(self._transport.session)
        answer: bytes = self._transport.send_message(message)
        return answer

    def _drop(self) -> None:
        self._transport.close_session()

    def close(self) -> None:
        self._transport.read_timeout_sec = self._inventory_timeout
        if self._transport.session is not None:
            _unguard(self._transport.session)
        self._close()


class _PsrpCarrier(_LibraryCarrier):
    def __init__(self, make: Callable[[], t.Any], secrets: t.Iterable[object], retries: int, backoff: float) -> None:
        super().__init__(secrets, retries, backoff)
        self._make = make
        self._wsman = make()
        self.address = _without_credentials(self._wsman.transport.endpoint)

    def _send(self, message: bytes) -> bytes:
        transport = self._wsman.transport
        if transport.session is None:
            # What its send() does first; here, so that the first answer meets the checks of all the others.
            transport.session = transport._build_session()
        _guard(transport.session)
        answer: bytes = self._wsman.transport.send(message)
        if len(answer) > hardened_xml.MAX_BYTES:
            raise _too_large()
        return answer

    def _drop(self) -> None:
        self._wsman.close()
        self._wsman = self._make()

    def close(self) -> None:
        self._wsman.close()


def _without_credentials(url: str) -> str:
    return scrub(url, ())


# --- bounds on what arrives ------------------------------------------------------------------------


def _bound(raw: t.Any) -> None:
    """Let a response body end in an error where it grows beyond the bound.

    The object stays the one that it is: for channel binding both libraries look into urllib3's own response.
    """
    unbounded = raw.stream

    def stream(*args: t.Any, **kwargs: t.Any) -> Iterator[bytes]:
        size = 0
        for chunk in unbounded(*args, **kwargs):
            size += len(chunk)
            if size > hardened_xml.MAX_BYTES:
                raw.close()
                raise _too_large()
            yield chunk

    raw.stream = stream


def _check(response: t.Any, *_args: t.Any, **_kwargs: t.Any) -> None:
    """A requests hook: runs when the headers are there and the body is not."""
    if response.is_redirect:
        # Followed, a 307 would send the message a second time, to somebody else.
        says = f"HTTP status {response.status_code}, a redirection, instead of a WinRM answer"
        raise CimError(Kind.PROTOCOL, says, sent=Sent.MAYBE)
    headers = response.request.headers
    encrypted = headers.get("Content-Type", "").startswith("multipart/")
    # In a session nothing is authorized singly: where there is an Authorization, the library has met a 401.
    if encrypted and (response.status_code == 401 or "Authorization" in headers):
        raise _SessionEnded("HTTP status 401 in the middle of an encrypted session")
    _bound(response.raw)


def _too_large() -> CimError:
    limit = hardened_xml.MAX_BYTES // 1024 // 1024
    return CimError(Kind.PROTOCOL, f"the answer is larger than {limit} MB", sent=Sent.MAYBE)


def _guard(session: t.Any) -> None:
    if _check not in session.hooks["response"]:
        session.hooks["response"].append(_check)


def _unguard(session: t.Any) -> None:
    if _check in session.hooks["response"]:
        session.hooks["response"].remove(_check)


# --- Ansible's connections -------------------------------------------------------------------------


def open_winrm(connection: t.Any, read_timeout: int) -> Carrier:
    """The pywinrm Protocol of a ``winrm`` connection plugin.

    ``read_timeout`` in seconds: how long to wait for an answer, unless the inventory says longer. Raises CimError.

    Undocumented names used: ``_connect``, ``_build_winrm_kwargs`` and ``_winrm_transport`` (how the plugin turns
    its options, kinit included, into a Protocol), and that a ``shell_id`` set beforehand keeps ``_connect`` from
    opening a shell. With several transports the shell is how the plugin finds out which of them works, so then it
    may open one; closing the connection deletes it again.
    """
    _need("pywinrm", "winrm", "requests", "xmltodict")
    secrets = [connection.get_option("remote_password")]
    if connection.protocol is not None:
        return _WinrmCarrier(connection.protocol, lambda: None, read_timeout, secrets)

    default = UNREACHED
    try:
        connection._build_winrm_kwargs()
        if len(connection._winrm_transport) == 1:
            # Nothing is sent, so that whatever fails is the configuration.
            default = NOT_USABLE
            connection.shell_id = "not opened"
            try:
                connection._connect()
            finally:
                connection.shell_id = None
        else:
            connection._connect()
    except (AttributeError, ImportError) as error:
        raise _unsupported(f"this release of the winrm connection plugin is not known ({error})") from error
    except Exception as error:
        text = scrub(str(error), [str(secret) for secret in secrets if secret])
        cause = core_cause(text, default)
        raise CimError(cause.kind, cause.says, hint=cause.hint, detail=text) from error

    protocol: t.Any = connection.protocol

    def close() -> None:
        try:
            connection.close()
        except Exception:
            # The host is gone, so there is no shell to delete; the plugin must not believe that it has one.
            connection.shell_id = connection.protocol = None
        protocol.transport.close_session()

    return _WinrmCarrier(protocol, close, read_timeout, secrets)


# The plugins turn exceptions into texts of their own or of the library: English, and written on this side.
# With several transports a text holds what became of each, so what comes from the host goes before what does not.
_CORE_TEXTS = (
    (r"credentials were rejected|failed to authenticate", NOT_LET_IN),
    (r"requires a (?:username|password)", _NO_CREDENTIALS),
    (r"certificate verify failed|CERTIFICATE_VERIFY_FAILED", _UNTRUSTED),
    (r"certificate|SSLError", _NO_TLS),
    (r"NameResolutionError|not resolve|name or service not known|getaddrinfo failed", _NO_NAME),
    (r"connection refused", _REFUSED),
    (r"NewConnectionError|ConnectTimeout|connect to host .* timed out|connection attempt timed out", _NOT_MADE),
    (r"timed out", _TOO_LATE),
    (r"HTTPS?Connection|Connection aborted|send_input failed", _BROKEN),
    # Of OpenSSH.
    (r"permission denied \(", NOT_LET_IN),
    (r"connection reset|closed by remote host|connection closed|broken pipe", _BROKEN),
    (r"not installed|not support", NOT_USABLE),
    (r"kerberos", _NO_CREDENTIALS),
)


def core_cause(text: str, default: Cause) -> Cause:
    """What a text of one of core's connection plugins says; the default where it says nothing that is known here."""
    return next((cause for pattern, cause in _CORE_TEXTS if re.search(pattern, text, re.IGNORECASE)), default)


def open_psrp(connection: t.Any, read_timeout: int) -> Carrier:
    """A pypsrp WSMan made from the options of a ``psrp`` connection plugin; nothing is sent yet.

    ``read_timeout`` as in :func:`open_winrm`. Raises CimError.

    Undocumented names used: ``_build_kwargs`` and ``_psrp_conn_kwargs`` (where they are missing, the options are
    mapped here), ``WSMan.transport._build_session``, which its ``send`` calls first, and ``WSMan.transport.send``,
    which ``WSMan.invoke`` uses itself: it returns the bytes as they came, so that they are read with the same care
    as those of the other library.
    """
    configuration = connection.get_option("configuration_name")
    if str(configuration).lower() != "microsoft.powershell":
        raise _unsupported(
            f"the psrp connection names the session configuration {configuration}",
            "WS-Management goes past a session configuration, with the user's own rights. Use transport=powershell.",
        )
    _need("pypsrp", "pypsrp", "requests")
    password, proxy = connection.get_option("remote_password"), connection.get_option("proxy")
    secrets = [str(secret) for secret in (password, proxy) if secret]
    try:
        options = _psrp_options(connection)
        retries = int(options.get("reconnection_retries") or 0)
        backoff = float(options.get("reconnection_backoff") or 0)
        options["reconnection_retries"] = 0
        options["read_timeout"] = max(read_timeout, int(options.get("read_timeout") or 0))
        wsman = importlib.import_module("pypsrp.wsman").WSMan
        return _PsrpCarrier(lambda: wsman(**options), secrets, retries, backoff)
    except (AttributeError, ImportError, KeyError) as error:
        raise _unsupported(f"this release of the psrp connection plugin is not known ({error})") from error
    except (TypeError, ValueError) as error:
        raise _unsupported(f"the psrp connection could not be set up: {scrub(str(error), secrets)}") from error


# Options of the plugin that WSMan knows by the same name.
_SAME_NAME = (
    "auth",
    "certificate_key_password",
    "certificate_key_pem",
    "certificate_pem",
    "connection_timeout",
    "credssp_auth_mechanism",
    "credssp_disable_tlsv1_2",
    "credssp_minimum_version",
    "negotiate_delegate",
    "negotiate_hostname_override",
    "negotiate_send_cbt",
    "negotiate_service",
    "path",
    "proxy",
    "read_timeout",
    "reconnection_backoff",
    "reconnection_retries",
)


def _psrp_options(connection: t.Any) -> dict[str, t.Any]:
    """The keywords for WSMan: the plugin's own, else what its documented options say."""
    if hasattr(connection, "_build_kwargs"):
        connection._build_kwargs()
        return dict(connection._psrp_conn_kwargs)
    option = connection.get_option
    port = option("port")
    ssl = option("protocol") == "https" if option("protocol") else port is None or int(port) != 5985
    return {
        "server": option("remote_addr"),
        "port": int(port or (5986 if ssl else 5985)),
        "username": option("remote_user"),
        "password": option("remote_password"),
        "ssl": ssl,
        "encryption": option("message_encryption"),
        "no_proxy": bool(option("ignore_proxy")),
        "cert_validation": False if option("cert_validation") == "ignore" else option("ca_cert") or True,
        **{name: value for name in _SAME_NAME if (value := _optional(connection, name)) is not None},
    }


def _optional(connection: t.Any, name: str) -> t.Any:
    """An option that not every release of the plugin has; what is not set is left to the library."""
    try:
        return connection.get_option(name)
    except KeyError:
        return None


def _need(package: str, *modules: str) -> None:
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise _unsupported(
                f"the Python library {module} is missing on the controller ({error})",
                f"Install it into the environment that runs Ansible: pip install {package}",
            ) from error


def _unsupported(message: str, hint: str = "") -> CimError:
    return CimError(Kind.UNSUPPORTED, message, hint=hint)
