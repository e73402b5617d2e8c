# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is asking: Basic and Negotiate (NTLM) on WinRM's terms, with message encryption.

Negotiate belongs to the TCP connection, not to the request: once its handshake is complete, requests come
without a header, and encrypted (MS-WSMV 2.2.9.1). SPNEGO and NTLM themselves are pyspnego's.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import os
import struct
import threading
import typing as t
from dataclasses import dataclass
from pathlib import Path

import spnego
import spnego.exceptions

BOUNDARY = "Encrypted Boundary"
PROTOCOL = "application/HTTP-SPNEGO-session-encrypted"
SOAP_TYPE = "application/soap+xml;charset=UTF-8"

_DELIMITER = f"--{BOUNDARY}\r\n".encode()
_LAST_DELIMITER = f"--{BOUNDARY}--\r\n".encode()
_OCTETS = b"\tContent-Type: application/octet-stream\r\n"
_OPTIONS = spnego.NegotiateOptions.use_negotiate | spnego.NegotiateOptions.wrapping_winrm
_environment = threading.Lock()


class BadMessage(Exception):
    """The body is not what its Content-Type says, or was not encrypted with this connection's key."""


@dataclass
class Connection:
    """What one TCP connection has shown so far."""

    context: spnego.ContextProxy | None = None
    user: str | None = None
    """Set once a Negotiate handshake is complete."""


@dataclass(frozen=True)
class Verdict:
    """What is to be done with a request.

    ``status`` is set where the answer is final without a look at the body (401, or 200 at the end of a
    handshake); else ``user`` says who asks, and ``message`` holds the SOAP text.
    """

    status: int | None = None
    headers: t.Sequence[tuple[str, str]] = ()
    user: str = ""
    message: bytes = b""
    encrypted: bool = False


@dataclass
class Authenticator:
    """The users of a host and the schemes that it accepts. Raises ValueError for an impossible setting.

    ``users``: name to password. ``domains``: what may stand before the name (``DOMAIN\\name``) or behind it
    (``name@domain``). ``schemes``: ``basic``, ``ntlm`` (offered as Negotiate, as WinRM does; clients that send
    the bare NTLM scheme are served too). ``store``: a file for the credentials of NTLM.
    ``allow_unencrypted``: what WinRM's setting of that name allows: Basic, and Negotiate without message
    encryption, over plain HTTP.
    """

    users: t.Mapping[str, str]
    domains: t.Collection[str]
    schemes: t.Collection[str]
    store: Path
    allow_unencrypted: bool = True

    def __post_init__(self) -> None:
        unknown = set(self.schemes) - {"basic", "ntlm"}
        if unknown or not self.schemes:
            raise ValueError(f"auth takes basic, ntlm or both, not {', '.join(map(str, self.schemes)) or 'nothing'}")
        for name, password in self.users.items():
            if set(name + password) & set(":\n") or set(name) & set("\\@"):
                raise ValueError(f"user {name}: no colon or line end in name or password, no \\ or @ in the name")
        self._names = {name.lower(): name for name in self.users}
        self.store.touch(mode=0o600)
        self.store.write_text("".join(self._store_lines()), encoding="utf-8")

    def _store_lines(self) -> t.Iterator[str]:
        """DOMAIN:user:password, for each way in which a client may write the name."""
        for name, password in self.users.items():
            for domain in {"", ".", *self.domains}:
                yield f"{domain}:{name}:{password}\n"
                yield f":{name}@{domain}:{password}\n"

    def _known(self, name: str) -> str | None:
        """The user's name as the host knows it, of ``name``, ``DOMAIN\\name`` or ``name@domain``."""
        before, _backslash, account = name.rpartition("\\")
        account, _at, behind = account.partition("@")
        allowed = {"", ".", *(domain.lower() for domain in self.domains)}
        return self._names.get(account.lower()) if {before.lower(), behind.lower()} <= allowed else None

    def judge(self, connection: Connection, headers: t.Mapping[str, str], body: bytes, *, secure: bool) -> Verdict:
        """Look at one request. Raises BadMessage for an encrypted body that cannot be read."""
        scheme, _blank, token = headers.get("Authorization", "").partition(" ")
        clear = secure or self.allow_unencrypted
        if scheme.lower() == "basic":
            user = self._basic(token) if "basic" in self.schemes and clear else None
            return Verdict(user=user, message=body) if user else self._unauthorized(clear)
        if scheme.lower() in ("negotiate", "ntlm"):
            return self._negotiate(connection, scheme, token, headers, body, clear)
        if connection.user is None or connection.context is None:
            return self._unauthorized(clear)
        if _is_encrypted(headers):
            return Verdict(user=connection.user, message=decrypt(connection.context, body), encrypted=True)
        return Verdict(user=connection.user, message=body) if clear else self._unauthorized(clear)

    def challenges(self, clear: bool) -> list[tuple[str, str]]:
        """The WWW-Authenticate headers of a 401."""
        offered = [("WWW-Authenticate", "Negotiate")] if "ntlm" in self.schemes else []
        if "basic" in self.schemes and clear:
            offered.append(("WWW-Authenticate", 'Basic realm="WSMAN"'))
        return offered

    def _unauthorized(self, clear: bool) -> Verdict:
        return Verdict(401, self.challenges(clear))

    def _basic(self, token: str) -> str | None:
        try:
            said = base64.b64decode(token, validate=True)
        except binascii.Error:
            return None
        # Nothing in Basic says how the text is encoded: libraries send UTF-8 or Latin-1.
        for encoding in ("utf-8", "latin-1"):
            name, _colon, password = said.decode(encoding, "replace").partition(":")
            known = self._known(name)
            if known is not None and hmac.compare_digest(self.users[known].encode(), password.encode()):
                return known
        return None

    def _negotiate(
        self,
        connection: Connection,
        scheme: str,
        token: str,
        headers: t.Mapping[str, str],
        body: bytes,
        clear: bool,
    ) -> Verdict:
        if "ntlm" not in self.schemes:
            return self._unauthorized(clear)
        if connection.context is None or connection.context.complete:
            connection.context, connection.user = self._new_context(), None
        try:
            with self._credential_store():
                answer = connection.context.step(base64.b64decode(token, validate=True))
        except (spnego.exceptions.SpnegoError, binascii.Error, ValueError):
            connection.context = None
            return self._unauthorized(clear)
        told = [("WWW-Authenticate", f"{scheme} {base64.b64encode(answer).decode()}")] if answer else []
        if not connection.context.complete:
            return Verdict(401, told)
        user = connection.user = self._known(str(connection.context.client_principal))
        if user is None:
            return self._unauthorized(clear)
        if not body:
            return Verdict(200, told)
        if _is_encrypted(headers):
            # Sealed for a connection that is gone and sent again on this one, as pywinrm does: nobody can read it.
            return Verdict(user=user, message=decrypt(connection.context, body), headers=told, encrypted=True)
        return Verdict(user=user, message=body, headers=told) if clear else self._unauthorized(clear)

    def _new_context(self) -> spnego.ContextProxy:
        with self._credential_store():
            return spnego.server(protocol="negotiate", options=_OPTIONS)

    @contextlib.contextmanager
    def _credential_store(self) -> t.Iterator[None]:
        """pyspnego's acceptor reads passwords only from the file that this variable names.

        Set for the moment of the call and put back, so that several labs and any other user of NTLM in this
        process keep out of each other's way.
        """
        with _environment:
            before = os.environ.get("NTLM_USER_FILE")
            os.environ["NTLM_USER_FILE"] = str(self.store)
            try:
                yield
            finally:
                if before is None:
                    del os.environ["NTLM_USER_FILE"]
                else:
                    os.environ["NTLM_USER_FILE"] = before


def _is_encrypted(headers: t.Mapping[str, str]) -> bool:
    return headers.get("Content-Type", "").lower().startswith("multipart/encrypted")


def decrypt(context: spnego.ContextProxy, body: bytes) -> bytes:
    """The SOAP text of a multipart/encrypted body (MS-WSMV 2.2.9.1). Raises BadMessage."""
    parts = body.split(_DELIMITER, 2)
    if len(parts) != 3 or parts[0] or not parts[2].startswith(_OCTETS) or not parts[2].endswith(_LAST_DELIMITER):
        raise BadMessage("the body is not multipart/encrypted")
    sealed = parts[2][len(_OCTETS) : -len(_LAST_DELIMITER)]
    size = struct.unpack("<i", sealed[:4])[0] if len(sealed) >= 4 else -1
    if not 0 < size <= len(sealed) - 4:
        raise BadMessage("the encrypted part is too short")
    try:
        return context.unwrap_winrm(sealed[4 : 4 + size], sealed[4 + size :])
    except spnego.exceptions.SpnegoError as error:
        raise BadMessage(f"the message cannot be decrypted: {error}") from error


def encrypt(context: spnego.ContextProxy, message: bytes) -> tuple[str, bytes]:
    """Content-Type and body of an encrypted answer (MS-WSMV 2.2.9.1)."""
    sealed = context.wrap_winrm(message)
    length = len(message) + sealed.padding_length
    body = b"".join(
        (
            _DELIMITER,
            f"\tContent-Type: {PROTOCOL}\r\n\tOriginalContent: type={SOAP_TYPE};Length={length}\r\n".encode(),
            _DELIMITER,
            _OCTETS,
            struct.pack("<i", len(sealed.header)),
            sealed.header,
            sealed.data,
            _LAST_DELIMITER,
        )
    )
    return f'multipart/encrypted;protocol="{PROTOCOL}";boundary="{BOUNDARY}"', body
