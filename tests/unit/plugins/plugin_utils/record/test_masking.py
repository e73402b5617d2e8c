# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Masking: planted secrets are gone, what a reader needs is still there, and one text has one replacement."""

from __future__ import annotations

import json
import re
import typing as t
from xml.sax.saxutils import escape, quoteattr

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import hardened_xml, schema
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimError, Kind
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.wsman import (
    ADDRESSING,
    ENUMERATION,
    RESOURCE,
    SOAP,
    WSMAN,
    XSI,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.masking import Mask, renumbered

VM = "6F9619FF-8B86-D011-B42D-00C04FC964FF"
FAULT = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"

SECRETS = [
    "Payroll",
    "SQL 01",
    "CONTOSO\\drill.admin",
    "drill@contoso.example",
    "hv-a.contoso.example",
    "10.20.30.40",
    "fe80::1ff:fe23:4567:890a",
    "00-15-5D-01-02-03",
    "C:\\Kundendaten\\Payroll\\platte 0.vhdx",
    "\\\\filer\\vms$\\payroll.vhdx",
    "4A7C1D3E9B2F4A7C1D3E9B2F4A7C1D3E9B2F4A7C",
    "Ærø büro 仮想",
    'a "quoted" & <odd> thing',
    "Nummer 1234567890",
    "https://drill:pass@proxy.contoso.example:3128/",
    "line one\nline two",
]
every_secret = pytest.mark.parametrize("secret", SECRETS)


@pytest.fixture
def mask() -> Mask:
    return Mask(b"a key of this test")


def parts(secret: str) -> set[str]:
    """The words of a secret that must not be found anywhere."""
    return {word for word in re.split(r"[^\w$]+", secret) if len(word) > 3}


def envelope(body: str, header: str = "") -> bytes:
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:n="{ENUMERATION}" xmlns:w="{WSMAN}"'
        f' xmlns:f="{FAULT}" xmlns:xsi="{XSI}"><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>'
    ).encode()


def instance(class_name: str, properties: str) -> bytes:
    return envelope(f'<p:{class_name} xmlns:p="{RESOURCE}/{class_name}">{properties}</p:{class_name}>')


def gone(secret: str, masked: t.Any) -> None:
    text = json.dumps(masked, ensure_ascii=False)
    assert [word for word in parts(secret) if word.lower() in text.lower()] == []


TEXTS = sorted(
    {
        (class_name, name)
        for class_name, known in schema.CLASSES.items()
        for name, declared in known.properties.items()
        if declared.name == "string"
    }
)


@every_secret
def test_no_property_lets_a_text_through(mask: Mask, secret: str) -> None:
    for class_name, name in [*TEXTS, ("Msvm_ComputerSystem", "EnabledState"), ("Msvm_Kvp", "GuestIntrinsicItems")]:
        gone(secret, mask.xml(instance(class_name, f"<p:{name}>{escape(secret)}</p:{name}>")))
        gone(secret, mask.data({"answers": [{"instances": [_table(class_name, name, secret)]}]}))


def _table(class_name: str, name: str, value: t.Any) -> dict[str, t.Any]:
    return {"class": class_name, "properties": [name], "rows": [[value]]}


@every_secret
def test_no_place_of_a_message_lets_a_text_through(mask: Mask, secret: str) -> None:
    text, quoted = escape(secret), quoteattr(secret)
    header = (
        f"<a:To>{text}</a:To><a:Action>{text}</a:Action><a:MessageID>{text}</a:MessageID><w:ResourceURI>{text}"
        "</w:ResourceURI><w:SelectorSet>"
        f'<w:Selector Name="Name">{text}</w:Selector><w:Selector Name="X">{text}</w:Selector></w:SelectorSet>'
        f"<w:Other at={quoted} Code={quoted} type={quoted} xml:lang={quoted}>{text}</w:Other>"
    )
    body = (
        f"<s:Fault><s:Code><s:Value>{text}</s:Value></s:Code><s:Reason><s:Text>{text}</s:Text></s:Reason><s:Detail>"
        f'<w:FaultDetail>{text}</w:FaultDetail><f:WSManFault Code="5" Machine={quoted}><f:Message>'
        f"<f:ProviderFault provider={quoted} path={quoted}>{text}</f:ProviderFault></f:Message></f:WSManFault>"
        f"<ParameterInfo>{text}</ParameterInfo><Operation>{text}</Operation><error_Code>{text}</error_Code>"
        f"<MessageID>{text}</MessageID><error_WindowsErrorMessage><![CDATA[{secret}]]></error_WindowsErrorMessage>"
        f"<n:EnumerationContext>{text}</n:EnumerationContext><w:Filter>SELECT * FROM X WHERE A = {quoted}</w:Filter>"
        f"</s:Detail></s:Fault><!-- {text.replace('--', '')} --><?note {secret}?>"
    )
    document = envelope(body, header)
    hardened_xml.parse(document, "the test's own message")
    masked = mask.xml(document)
    gone(secret, masked)
    hardened_xml.parse("\n".join(masked), "the masked message")


@every_secret
def test_nothing_of_the_module_lets_a_text_through(mask: Mask, secret: str) -> None:
    error = {"exception": secret, "message": secret, "message_id": secret, "status": secret, "code": secret}
    reference = {"class": "Msvm_ComputerSystem", "keys": {"Name": secret}}
    result = {
        "answers": [
            {"error": error},
            {"instances": [_table("Msvm_AffectedJobElement", "AffectedElement", reference)]},
            {"instances": [_table("Msvm_X", "Y", [secret, {"Z": secret}])], "out": {"Error": secret}},
        ],
        "msg": secret,
        "module_stderr": secret,
        "module_stdout": [secret],
    }
    gone(secret, mask.data(result))
    gone(secret, mask.data({"steps": [{"do": "query", "wql": f'SELECT * FROM X WHERE Name = "{secret}"'}]}))
    gone(secret, mask.error(CimError(Kind.CONNECTION, f"{secret}: refused", detail=secret)))


def test_what_is_no_xml_is_not_recorded(mask: Mask) -> None:
    assert mask.xml(b"<html>Payroll") == ["(13 bytes that are no XML message)"]
    assert mask.xml(b'<!DOCTYPE a [<!ENTITY b "Payroll">]><a>&b;</a>') == ["(46 bytes that are no XML message)"]


def test_what_a_reader_needs_stays(mask: Mask) -> None:
    properties = (
        "<p:CreationClassName>Msvm_ComputerSystem</p:CreationClassName><p:EnabledState>3</p:EnabledState>"
        '<p:InstallDate><cim:Datetime xmlns:cim="http://schemas.dmtf.org/wbem/wscim/1/common">2026-10-08T15:15:36.68424Z'
        "</cim:Datetime></p:InstallDate><p:OnTimeInMilliseconds>18446744073709551615</p:OnTimeInMilliseconds>"
        '<p:Roles xsi:nil="true"/><p:Status>OK</p:Status>'
    )
    document = instance("Msvm_ComputerSystem", properties)
    assert "".join(mask.xml(document)) == document.decode()


@pytest.mark.parametrize(
    ("name", "text", "pattern"),
    [
        ("Name", VM, r"FEEDFACE-0000-4000-8000-[0-9A-F]{12}"),
        ("Name", VM.lower(), r"feedface-0000-4000-8000-[0-9a-f]{12}"),
        ("InstanceID", f"Microsoft:{VM}\\HVR\\0", r"Microsoft:FEEDFACE-[0-9A-F-]{27}\\HVR\\0"),
        ("Name", "replicasvc", r"replicasvc"),
        ("SystemName", "HV-A", r"NAME-[0-9a-f]{12}"),
        ("VirtualSystemType", "Microsoft:Hyper-V:Snapshot:Replica:PlannedFailover", r".*:Replica:PlannedFailover"),
        ("ReplicationProvider", "22391CDC-272C-4DDF-BA88-9BEFB1A0975C", r"22391CDC-272C-4DDF-BA88-9BEFB1A0975C"),
        ("To", "https://hv-a.contoso.example:5986/wsman", r"https://(name-\w{12}\.){2}name-\w{12}:5986/wsman"),
        ("Filter", "SELECT * FROM Msvm_ConcreteJob WHERE JobType >= 90 AND JobState <> 32768", r"SELECT .* 32768"),
        ("Code", "2150858752", r"2150858752"),
        ("Value", "w:TimedOut", r"w:TimedOut"),
        ("ElementName", "007", r"name-\w{12}"),
        ("Version", "10.0", r"10\.0"),
        ("Version", "10.0.0.4", r"name-\w{12}"),
    ],
)
def test_texts_that_say_something(mask: Mask, name: str, text: str, pattern: str) -> None:
    assert re.fullmatch(pattern, mask.value(name, text)), mask.value(name, text)


def test_one_text_has_one_replacement_wherever_it_is(mask: Mask) -> None:
    masked = mask.value("Name", "HV-A")
    assert mask.value("ElementName", "HV-A") == masked
    assert mask.value("PrimaryHostSystem", "HV-A.contoso.example").startswith(f"{masked}.")
    assert mask.value("Owner", "HV-A\\drill").startswith(f"{masked}\\")
    assert mask.value("SystemName", "hv-a") == masked.lower()
    assert mask.value("SystemName", "hv-b") != masked.lower()
    assert Mask(b"a key of this test").value("Name", "HV-A") == masked
    assert Mask(b"another key").value("Name", "HV-A") != masked


def test_a_recording_counts_from_one_in_the_order_of_its_hosts(mask: Mask) -> None:
    first = f"{mask.text('web')} {mask.text(VM)} {mask.text('WEB')} {mask.text('db')}"
    second = f"{mask.text('db')} {mask.text(VM.lower())}"
    assert renumbered([first, second]) == [
        "name-1 FEEDFACE-0000-4000-8000-000000000001 NAME-1 name-2",
        "name-2 feedface-0000-4000-8000-000000000001",
    ]


def test_whatever_is_planted_is_gone() -> None:
    hypothesis = pytest.importorskip("hypothesis")
    st = hypothesis.strategies
    known = "|".join(sorted({name for known in schema.CLASSES.values() for name in (*known.properties, known.name)}))
    letters = st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"))
    words = st.text(letters, min_size=1, max_size=30).map(lambda text: f"zq{text}qz")
    mask = Mask(b"any key")

    @hypothesis.settings(max_examples=200, deadline=None)
    @hypothesis.given(words, st.sampled_from([*TEXTS, ("X", "Unknown"), ("X", "error_Code"), ("X", "Filter")]))
    def planted(secret: str, place: tuple[str, str]) -> None:
        class_name, name = place
        masked = [
            *mask.xml(instance(class_name, f"<p:{name}>{escape(secret)}</p:{name}>")),
            json.dumps(mask.data(_table(class_name, name, secret)), ensure_ascii=False),
        ]
        text = re.sub(known, "", "\n".join(masked))
        assert "zq" not in text.lower()
        assert "qz" not in text.lower()

    planted()
