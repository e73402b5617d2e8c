# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""Masking: what leaves a host in a recording, and what is replaced.

The rule is a list of what may stay, not of what must go. Numbers, booleans and times stay where the schema table
declares them; so do the names of classes, properties and namespaces. Of identifiers and paths those words stay that are
Microsoft's own. Every other text is replaced as a whole: names, captions, owners, paths, addresses, thumbprints and
whatever the host says in its own language.

One text has one replacement in the whole recording, whatever property it is read from: ``Name-3`` here is ``Name-3``
there, so relations can still be followed. ``NAME-3``, ``name-3`` and ``Name-3`` are one text in upper, lower or mixed
case, because case is one of the things that a recording has to show. While hosts are recorded, each by a process of its
own, the number is a keyed digest; the key is thrown away, and :func:`renumbered` counts from 1.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import typing as t
from collections.abc import Callable
from xml.sax.saxutils import escape, unescape

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import hardened_xml, schema, wsman
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimError

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
_PSEUDONYM = re.compile(r"\b(FEEDFACE-0000-4000-8000|NAME)-([0-9a-f]{12})\b", re.IGNORECASE)
_DIGITS = 12

KNOWN_GUIDS = frozenset({"22391CDC-272C-4DDF-BA88-9BEFB1A0975C", "00000000-0000-0000-0000-000000000000"})
"""The provider that comes with Hyper-V (Msvm_ReplicationProvider), and the one that is nobody's: alike everywhere."""

_INTEGER = re.compile(r"[+-]?\d{1,20}")
_SMALL = re.compile(r"[0-9]{1,5}")
_QUOTED = re.compile(r"(\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')")
_CODE = re.compile(r"-?\d{1,10}|0[xX][0-9a-fA-F]{1,8}")
_BOOLEAN = re.compile(r"true|false", re.IGNORECASE)
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?"
    r"|-?P(?=.)(?:\d{1,9}[YMD])*(?:T(?:\d{1,9}(?:\.\d+)?[HMS])+)?"
    r"|\d{14}\.[\d*]{6}[+:-]\d{3}"
)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
_XML_TYPE = re.compile(r"[A-Za-z]\w{0,9}:(?:[A-Za-z_]\w{0,99}_Type|cim[A-Z]\w{0,30})", re.ASCII)
_EXCEPTION = re.compile(r"[A-Z]\w*(?:\.[A-Z]\w*)+", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z]{2,4}){0,2}")
_PROTOCOL_URI = re.compile(
    r"http://(?:schemas\.(?:xmlsoap\.org|dmtf\.org|microsoft\.com)|www\.w3\.org)/[\w./*-]*", re.ASCII
)
_ENDPOINT = re.compile(r"(https?://)(.+?)((?::\d{1,5})?/wsman)")
_MESSAGE_ID = re.compile(r"HRESULT 0x[0-9a-fA-F]{8}")

# --- what may stay -----------------------------------------------------------------------------------


def _listed(text: str) -> list[str]:
    return text.split()


_DECLARED: dict[str, set[str]] = {}
for _class in schema.CLASSES.values():
    for _name, _type in _class.properties.items():
        _DECLARED.setdefault(_name, set()).add(_type.name)
    for _method in _class.methods.values():
        for _name, _type in (*_method.inputs.items(), *_method.outputs.items()):
            _DECLARED.setdefault(_name, set()).add(_type.name)

_WORDS = frozenset(
    {
        *schema.CLASSES,
        *_DECLARED,
        *(name for known in schema.CLASSES.values() for name in known.methods),
        # InstanceID, VirtualSystemType, object paths
        *_listed("Microsoft Hyper-V HVR System Realized Planned Snapshot Recovery Missing Replica Standard"),
        *_listed(
            "ApplicationConsistent PlannedFailover ReplicationService replicasvc vmms root virtualization v2 uuid"
        ),
        # WQL
        *_listed("SELECT FROM WHERE AND OR NOT LIKE IS NULL TRUE FALSE ASSOCIATORS REFERENCES OF"),
        *_listed("ResultClass AssocClass __cimnamespace Msvm_ReplicationNoSuchClass"),
        # faults
        *_listed(
            "query get guard call wait GetObject ExecQuery ExecMethod CreateInstanceEnum WMI Provider CIMWin32 HRESULT"
        ),
        *_listed("VmmsWmiInstanceAndMethodProvider Windows System32 system32 WsmWmiPl dll"),
    }
)
_WORD = re.compile(r"[^\\/:.,;=<>\"'{}()\[\]|%*?&#!^~`\s]+")

# Texts whose parts say something: their known words stay.
_STRUCTURED = frozenset(
    {
        *_listed("InstanceID Name SystemName CreationClassName SystemCreationClassName DeviceID Parent"),
        *_listed("VirtualSystemType VirtualSystemIdentifier ConfigurationID ReplicationProvider IncludedDisks"),
        *_listed("EnumerationContext RelatesTo MessageID Operation ParameterInfo ProviderName"),
        *_listed("__cimnamespace message_id do chain method AffectedElement AffectingElement Antecedent Dependent"),
        *_listed("ManagedElement SettingData GroupComponent PartComponent"),
    }
)
_NUMBERS = frozenset(
    {
        *_listed("ReturnValue return_value hresult status code rc CIMStatusCode error_Code error_Category StatusCode"),
        *_listed("seconds poll_interval MaxElements MaxEnvelopeSize OperationTimeout Datetime Interval CIM_DateTime"),
    }
)
_URIS = frozenset({"Action", "ResourceURI", "Address", "FaultDetail", "ReplyTo", "Dialect", "To"})
_FAULT_CODES = frozenset(
    {*wsman.FAULT_SUBCODES, *_listed("Sender Receiver InternalError EncodingLimit EndpointUnavailable Concurrency")}
)
_EXACT: t.Mapping[str, re.Pattern[str]] = {
    "Status": re.compile(r"OK"),
    "JobStatus": re.compile(r"OK"),
    "Version": re.compile(r"\d{1,2}\.\d{1,2}"),
    "MessageID": _MESSAGE_ID,
    "message_id": _MESSAGE_ID,
    "error_Type": re.compile(r"HRESULT"),
    "exception": _EXCEPTION,
    "class": _IDENTIFIER,
    "properties": _IDENTIFIER,
    "Code": _CODE,
    "Value": re.compile(rf"(?:[a-z]{{1,8}}:)?(?:{'|'.join(sorted(_FAULT_CODES))})", re.ASCII),
    "type": _XML_TYPE,
    "lang": _LANGUAGE,
}


class Mask:
    """See the module. ``key``: the same for all hosts of one recording, unknown to everybody afterwards."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    # --- replacements ------------------------------------------------------------------------------

    def text(self, text: str) -> str:
        """A replacement for the whole text; of a qualified name (``host.domain``, ``DOMAIN\\user``) for each part."""
        if not text.strip() or _PSEUDONYM.fullmatch(text):
            return text
        bare = text.strip("{}")
        if _GUID.fullmatch(bare):
            return text.replace(bare, self._guid(bare))
        if not _IPV4.fullmatch(text) and re.fullmatch(r"[\w$-]+(?:[.\\@][\w$-]+)+", text):
            return re.sub(r"[\w$-]+", lambda part: self._name(part[0]), text)
        return self._name(text)

    def _name(self, text: str) -> str:
        return _in_case_of(text, "Name") + "-" + self.digest(text)

    def _guid(self, guid: str) -> str:
        if guid.upper() in KNOWN_GUIDS or _PSEUDONYM.fullmatch(guid):
            return guid
        return _in_case_of(guid, f"FeedFace-0000-4000-8000-{self.digest(guid)}")

    def digest(self, text: str) -> str:
        """What stands for a text until the hosts are together. Upper and lower case are one text."""
        return hmac.new(self._key, text.casefold().encode("utf-8"), hashlib.sha256).hexdigest()[:_DIGITS]

    def structured(self, text: str, numbers: re.Pattern[str] = re.compile(r"[0-9]{1,3}")) -> str:
        """An identifier or a path: Microsoft's words and short numbers stay, the rest is replaced word by word."""
        text = _GUID.sub(lambda found: self._guid(found[0]), text)
        text = _IPV4.sub(lambda found: self._name(found[0]), text)
        return _WORD.sub(lambda found: self._word(found[0], numbers), text)

    def _word(self, word: str, numbers: re.Pattern[str]) -> str:
        stays = (
            word in _WORDS
            or word.upper() in KNOWN_GUIDS
            or _PSEUDONYM.fullmatch(word)
            or numbers.fullmatch(word)
            or re.fullmatch(r"[A-Za-z@]|[-+]", word)
        )
        return word if stays else self._name(word)

    def _query(self, text: str) -> str:
        """A WQL query: its numbers stay, and its texts are treated as identifiers."""
        split = _QUOTED.split(text)
        # What the pattern splits at comes at every second place.
        return "".join(
            self.structured(part) if at % 2 else self.structured(part, _SMALL) for at, part in enumerate(split)
        )

    def value(self, name: str, text: str) -> str:
        """The value of a property, a parameter, a selector, an element or an attribute of this name."""
        if not text.strip():
            return text
        exact = _EXACT.get(name)
        if exact is not None and exact.fullmatch(text):
            return text
        if name in _URIS:
            return self._uri(text)
        if name in ("Filter", "wql", "others"):
            return self._query(text)
        if name in _STRUCTURED:
            return self.structured(text)
        types = _DECLARED.get(name, set())
        if name in _NUMBERS or (types and types.isdisjoint({"string", "ref"})):
            is_one = any(form.fullmatch(text.strip()) for form in (_INTEGER, _CODE, _BOOLEAN, _TIME))
            return text if is_one else self.text(text)
        if not types and any(form.fullmatch(text.strip()) for form in (_SMALL, _BOOLEAN, _TIME)):
            # Of a name that nobody knows here, a long number may be a serial number.
            return text
        return self.text(text)

    def _uri(self, text: str) -> str:
        if _PROTOCOL_URI.fullmatch(text.strip()):
            return text
        endpoint = _ENDPOINT.fullmatch(text.strip())
        return f"{endpoint[1]}{self.text(endpoint[2])}{endpoint[3]}" if endpoint else self.structured(text)

    # --- documents ---------------------------------------------------------------------------------

    def xml(self, document: bytes) -> list[str]:
        """A message, line by line; put together again it is the message, but for what was replaced.

        What is no XML is not recorded, only its size.
        """
        try:
            hardened_xml.parse(document, "a message")
            source = document.decode("utf-8")
        except (CimError, UnicodeDecodeError):
            return [f"({len(document)} bytes that are no XML message)"]
        masked = "".join(_MaskedXml(self.value).pieces(source))
        # Between tags only, and not inside of an empty element, whose value a line break would be.
        return re.sub(r"(?:</[^<>]*>|/>)(?=<)|>(?=<[^/])", lambda end: end[0] + "\n", masked).split("\n")

    def data(self, data: t.Any, name: str = "") -> t.Any:
        """What goes to the PowerShell module, or comes from it: the value of the name, of any depth."""
        if isinstance(data, t.Mapping):
            if {"class", "properties", "rows"} <= set(data):
                return self._table(data)
            return {self._key_name(key): self.data(value, str(key)) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return [self.data(item, name) for item in data]
        if isinstance(data, str):
            return self.value(name, data)
        if data is None or isinstance(data, (bool, float)):
            return data
        masked = self.value(name, str(data))
        return data if masked == str(data) else masked

    def _table(self, table: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        names = [str(name) for name in table["properties"]]
        return {
            "class": self.data(table["class"], "class"),
            "properties": self.data(names, "properties"),
            "rows": [[self.data(value, name) for name, value in zip(names, row, strict=True)] for row in table["rows"]],
        }

    def _key_name(self, key: object) -> str:
        text = str(key)
        return text if _IDENTIFIER.fullmatch(text) else self.text(text)

    def error(self, error: CimError) -> dict[str, t.Any]:
        """What is known of a request that had no answer. The words are masked: libraries put addresses into them."""
        said = self.text(error.message)
        return {"kind": error.kind.value, "sent": error.sent.value, "code": error.code, "message": said}


def _in_case_of(text: str, word: str) -> str:
    if text == text.lower():
        return word.lower()
    return word.upper() if text == text.upper() else word


def renumbered(documents: t.Sequence[str]) -> list[str]:
    """The texts with replacements counted from 1 in the order in which they first appear: two recordings compare."""
    numbers: dict[tuple[str, str], int] = {}

    def number(found: re.Match[str]) -> str:
        prefix, digest = found[1], found[2]
        counted = numbers.setdefault((prefix.lower(), digest.lower()), 0)
        if not counted:
            counted = sum(1 for kind, _digest in numbers if kind == prefix.lower())
            numbers[prefix.lower(), digest.lower()] = counted
        return f"{prefix}-{counted:012}" if prefix.lower() != "name" else f"{prefix}-{counted}"

    return [_PSEUDONYM.sub(number, document) for document in documents]


# --- XML ---------------------------------------------------------------------------------------------

_PIECE = re.compile(
    r"<!\[CDATA\[(?P<cdata>.*?)\]\]>|<!--.*?-->|<\?.*?\?>"
    r"|<(?P<close>/)?(?P<name>[^\s/>]+)(?P<attributes>(?:[^>\"']|\"[^\"]*\"|'[^']*')*?)(?P<empty>/)?>|(?P<text>[^<]+)",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"(\s+)([^\s=]+)(\s*=\s*)(\"[^\"]*\"|'[^']*')")
_LIKE = {"Machine": "SystemName", "path": "Parent", "provider": "ProviderName"}
"""Attributes of faults, and the property whose values look like theirs."""

_ENTITIES = {"&quot;": '"', "&apos;": "'"}
_CHARACTER = re.compile(r"&#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}));")


class _MaskedXml:
    """The text of a well-formed message, piece by piece, so that all but the values stays as the host wrote it."""

    def __init__(self, value: Callable[[str, str], str]) -> None:
        self._value = value
        self._path: list[str] = []

    def pieces(self, source: str) -> t.Iterator[str]:
        for piece in _PIECE.finditer(source):
            if piece["text"] is not None:
                yield self._text(piece["text"])
            elif piece["cdata"] is not None:
                masked = self._masked(piece["cdata"])
                yield piece[0] if masked == piece["cdata"] else f"<![CDATA[{masked}]]>"
            elif piece["name"] is not None:
                yield self._tag(piece)
            elif piece[0].startswith("<?xml "):
                yield piece[0]
            # Comments and other instructions hold no values; nobody knows what else is in them.

    def _tag(self, piece: re.Match[str]) -> str:
        if piece["close"]:
            self._path.pop()
            return piece[0]
        attributes = _ATTRIBUTE.sub(self._attribute, piece["attributes"])
        if not piece["empty"]:
            selector = re.search(r"\sName\s*=\s*[\"']([^\"']*)", piece["attributes"])
            name = piece["name"].rpartition(":")[2]
            self._path.append(selector[1] if name == "Selector" and selector else name)
        return f"<{piece['name']}{attributes}{piece['empty'] or ''}>"

    def _attribute(self, found: re.Match[str]) -> str:
        space, name, equals, quoted = found.groups()
        plain = _plain(quoted[1:-1])
        if name == "Name":
            masked = plain if _IDENTIFIER.fullmatch(plain) else self._value("", plain)
        elif name == "xmlns" or name.startswith("xmlns:"):
            masked = self._value("ResourceURI", plain)
        else:
            local = name.rpartition(":")[2]
            masked = self._value(_LIKE.get(local, local), plain)
        return found[0] if masked == plain else f"{space}{name}{equals}{quoted[0]}{_written(masked)}{quoted[0]}"

    def _text(self, text: str) -> str:
        plain = _plain(text)
        masked = self._masked(plain)
        return text if masked == plain else _written(masked)

    def _masked(self, plain: str) -> str:
        return self._value(self._path[-1] if self._path else "", plain)


def _plain(text: str) -> str:
    named = unescape(_CHARACTER.sub(lambda found: f"&#{found[0][2:]}", text), _ENTITIES)
    return _CHARACTER.sub(lambda found: chr(int(found[1], 16) if found[1] else int(found[2])), named)


def _written(text: str) -> str:
    return escape(text, {'"': "&quot;", "'": "&apos;"})
