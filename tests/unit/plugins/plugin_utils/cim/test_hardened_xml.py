# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""XML from outside: what is read, and what is refused before it can do anything."""

from __future__ import annotations

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import hardened_xml
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimError, Kind

LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<lolz>&c;</lolz>"""

REFUSED = {
    "nested entities": (LAUGHS, "DOCTYPE"),
    "an external entity": (b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', "DOCTYPE"),
    "a DTD elsewhere": (b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>', "DOCTYPE"),
    "a DTD that declares nothing": (b"<!DOCTYPE x><x/>", "DOCTYPE"),
    "an entity that nobody declared": (b"<x>&e;</x>", "undefined entity"),
    "half a document": (b"<x><y>", "no element found"),
    "a document cut in a tag": (b"<x><y", "unclosed token"),
    "nothing": (b"", "no element found"),
    "text": (b"Service Unavailable", "syntax error"),
    "bytes that are no UTF-8": (b"<x>\xff\xfe</x>", "not well-formed"),
    "a character that XML does not have": (b"<x>\x01</x>", "not well-formed"),
    "two documents": (b"<x/><x/>", "junk after document element"),
    "the same attribute twice": (b'<x a="1" a="2"/>', "duplicate attribute"),
    "a prefix that nobody declared": (b"<a:x/>", "unbound prefix"),
    "an encoding that nobody knows": (b'<?xml version="1.0" encoding="klingon"?><x/>', "encoding"),
    "an encoding of several bytes": (b'<?xml version="1.0" encoding="shift_jis"?><x/>', "encoding"),
    "a web page": (b"\xef\xbb\xbf\n<!DOCTYPE html><html><title>Welcome</title></html>", "HTML page"),
    "an old web page": (b'<?xml version="1.0"?><HTML lang="en"><body></body></HTML>', "HTML page"),
    "too deep a document": (b"<x>" * (hardened_xml.MAX_DEPTH + 1), "nested deeper"),
    "too many elements": (b"<x>" + b"<y/>" * hardened_xml.MAX_ELEMENTS, "more than"),
    "too large a document": (b"<x>" + b" " * hardened_xml.MAX_BYTES + b"</x>", "larger than 8 MB"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_and_named(name: str) -> None:
    document, says = REFUSED[name]
    with pytest.raises(CimError) as caught:
        hardened_xml.parse(document, "the answer")
    error = caught.value
    assert error.kind is Kind.PROTOCOL
    assert error.message.startswith("the answer ")
    assert says in error.message
    assert error.detail.startswith("it begins with: ")
    assert len(error.detail) < 200
    assert error.detail.isprintable()


def test_the_bounds_themselves_are_allowed() -> None:
    deep = b"<x>" * hardened_xml.MAX_DEPTH + b"</x>" * hardened_xml.MAX_DEPTH
    assert hardened_xml.parse(deep, "the answer").tag == "x"
    many = b"<x>" + b"<y/>" * (hardened_xml.MAX_ELEMENTS - 1) + b"</x>"
    assert len(hardened_xml.parse(many, "the answer")) == hardened_xml.MAX_ELEMENTS - 1
    large = b"<x>" + b"a" * (hardened_xml.MAX_BYTES - 7) + b"</x>"
    assert len(hardened_xml.parse(large, "the answer").text or "") == hardened_xml.MAX_BYTES - 7


@pytest.mark.parametrize(
    "document",
    [
        b'<p:a xmlns:p="urn:n" p:k="v">x &amp; <![CDATA[<y>]]></p:a>',
        '\ufeff<p:a xmlns:p="urn:n" p:k="v">x &amp; &#60;y&gt;</p:a>'.encode(),
        '<?xml version="1.0" encoding="utf-16"?><p:a xmlns:p="urn:n" p:k="v">x &amp; &lt;y></p:a>'.encode("utf-16"),
        '<!-- first --><p:a xmlns:p="urn:n" p:k="v">x &amp;<!-- then --> &lt;y></p:a>',
    ],
)
def test_what_xml_has_to_offer_is_read(document: bytes | str) -> None:
    root = hardened_xml.parse(document, "the answer")
    assert (root.tag, root.attrib, root.text) == ("{urn:n}a", {"{urn:n}k": "v"}, "x & <y>")
    assert hardened_xml.local(root) == "a"


def test_the_beginning_is_printable_and_on_one_line() -> None:
    assert hardened_xml.beginning(b"\xef\xbb\xbf  a\x00b\r\n\x1b[31mc") == "a b [31mc"
    assert hardened_xml.beginning(b"") == "(nothing)"
    assert hardened_xml.beginning("é" * 500) == "é" * 120


@pytest.mark.parametrize("text", ["a\x00", "\x0b", "\ud800", "\ufffe", "\x1f"])
def test_what_xml_cannot_carry_is_not_written(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be sent in XML"):
        hardened_xml.writable(text)


def test_everything_else_is_written_as_it_is() -> None:
    text = "\t\n\r aé仮\U0001f600<&>\"'"
    assert hardened_xml.writable(text) == text
