# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""XML from a host is input from outside: read without DTDs, entities and surprises in size.

The standard library's ElementTree expands entities, so the tree is built here from expat's own events.
"""

from __future__ import annotations

import re
import typing as t
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimError, Kind

MAX_BYTES = 8 * 1024 * 1024
"""One answer. A page is at most the 500 KB a host sends by default; embedded texts and faults are far smaller."""

MAX_ELEMENTS = 200_000
"""One answer. A VM has about 60 elements, a page of 500 KB some 12,000."""

MAX_DEPTH = 64
"""The deepest documented answer, a fault with a provider's error inside, has 12 levels."""

_HTML = re.compile(r"\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)

_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Refused(Exception):
    """Found while reading; becomes a CimError with the document's beginning."""


def parse(document: bytes | str, what: str) -> Element:
    """The root element; names in ElementTree's ``{namespace}local`` form.

    ``what`` names the document in the error ("the answer to Get"). Raises CimError (PROTOCOL) for anything
    but well-formed XML within the bounds.
    """
    if len(document) > MAX_BYTES:
        raise malformed(f"{what} is larger than {MAX_BYTES // 1024 // 1024} MB", document)
    if _HTML.match(text_of(document[:2048])):
        hint = "Something else than WinRM listens there, or a proxy answers in its place."
        raise malformed(f"{what} is not a WinRM answer: it is an HTML page", document, hint)
    reader = _Reader()
    try:
        return reader.read(document)
    except _Refused as refused:
        raise malformed(f"{what} {refused}", document) from None
    except expat.ExpatError as error:
        reason = expat.errors.messages.get(error.code, "unreadable")
        where = f"line {error.lineno}, column {error.offset + 1}"
        raise malformed(f"{what} is not well-formed XML: {reason} at {where}", document) from None
    except (ValueError, LookupError) as error:
        # pyexpat raises these for an encoding that it cannot decode, and for one that Python does not know.
        raise malformed(f"{what} is in an unusable encoding ({error})", document) from None


class _Reader:
    """One document. expat calls back; the tree grows; what must not be there stops it."""

    def __init__(self) -> None:
        self._tree = TreeBuilder()
        self._names: dict[str, str] = {}
        self._depth = 0
        self._elements = 0
        parser = expat.ParserCreate(namespace_separator="}")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._tree.data
        parser.StartDoctypeDeclHandler = self._doctype
        self._parser = parser

    def read(self, document: bytes | str) -> Element:
        self._parser.Parse(document, True)
        return self._tree.close()

    def _name(self, name: str) -> str:
        return self._names.setdefault(name, "{" + name if "}" in name else name)

    def _start(self, name: str, attributes: t.Mapping[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH:
            raise _Refused(f"is nested deeper than {MAX_DEPTH} elements")
        if self._elements > MAX_ELEMENTS:
            raise _Refused(f"has more than {MAX_ELEMENTS} elements")
        self._tree.start(self._name(name), {self._name(key): value for key, value in attributes.items()})

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._tree.end(self._name(name))

    @staticmethod
    def _doctype(*_ignored: object) -> None:
        # Without a DTD there are no entities but XML's own five: one door to close.
        raise _Refused("has a DOCTYPE, which WS-Management does not allow")


def writable(text: str) -> str:
    """The text as it is. ValueError if it holds a character that no XML document can carry (XML 1.0, 2.2)."""
    found = _UNWRITABLE.search(text)
    if found:
        raise ValueError(f"the character {found[0]!a} cannot be sent in XML")
    return text


def local(element: Element) -> str:
    """The name of an element without its namespace: a subclass brings its own namespace along."""
    return element.tag.rpartition("}")[2]


def malformed(message: str, document: bytes | str, hint: str = "") -> CimError:
    """The error for an answer that is not what the protocol allows."""
    return CimError(Kind.PROTOCOL, message, hint=hint, detail=f"it begins with: {beginning(document)}")


def beginning(document: bytes | str, length: int = 120) -> str:
    """The first printable characters of a document, on one line."""
    text = text_of(document[: 4 * length])
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:length] or "(nothing)"


def text_of(document: bytes | str) -> str:
    return document if isinstance(document, str) else document.decode("utf-8", "replace").lstrip("\ufeff")
