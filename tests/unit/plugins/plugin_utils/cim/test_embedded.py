# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Embedded instances: what is written is read back, and what a host writes is read."""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.embedded import read_instance, write_instance
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimError, Kind, Reference, Value

SETTINGS: dict[str, Value] = {
    "InstanceID": "Microsoft:11111111-1111-4111-8111-111111111111\\HVR\\0",
    "RecoveryConnectionPoint": 'hv<02> & "co" \'é 仮\n\ttab',
    "AuthenticationType": 1,
    "CompressionEnabled": True,
    "BypassProxyServer": False,
    "IncludedDisks": ("a", "", "b>c"),
    "Notes": (),
    "AutoResynchronizeIntervalStart": timedelta(hours=18, minutes=30),
    "CreationTime": datetime(2026, 10, 8, 15, 15, 36, 684240, tzinfo=timezone.utc),
    "CertificateThumbPrint": None,
    "LogDataRoot": "",
}


def test_the_text_is_that_of_dsp0201() -> None:
    text = write_instance(
        "Msvm_ReplicationSettingData",
        {"RecoveryServerPortNumber": 80, "CompressionEnabled": True, "IncludedDisks": ("a & b", None), "Caption": None},
    )
    assert text == (
        '<INSTANCE CLASSNAME="Msvm_ReplicationSettingData">'
        '<PROPERTY NAME="RecoveryServerPortNumber" TYPE="uint16"><VALUE>80</VALUE></PROPERTY>'
        '<PROPERTY NAME="CompressionEnabled" TYPE="boolean"><VALUE>true</VALUE></PROPERTY>'
        '<PROPERTY.ARRAY NAME="IncludedDisks" TYPE="string"><VALUE.ARRAY><VALUE>a &amp; b</VALUE><VALUE.NULL />'
        "</VALUE.ARRAY></PROPERTY.ARRAY>"
        '<PROPERTY NAME="Caption" TYPE="string" /></INSTANCE>'
    )


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_property_comes_back_as_it_was(name: str) -> None:
    read = read_instance(write_instance("Msvm_ReplicationSettingData", {name: SETTINGS[name]}))
    assert read.class_name == "Msvm_ReplicationSettingData"
    assert read.properties == {name: SETTINGS[name]}
    assert type(read.get(name)) is type(SETTINGS[name])


def test_a_whole_instance_comes_back_in_its_order() -> None:
    read = read_instance(write_instance("Msvm_ReplicationSettingData", SETTINGS))
    assert list(read.properties.items()) == list(SETTINGS.items())


@pytest.mark.parametrize(
    ("class_name", "properties", "says"),
    [
        ("Win32_Process", {}, "not in the schema table"),
        ("Msvm_ReplicationSettingData", {"Colour": "red"}, "no property Colour"),
        ("Msvm_AffectedJobElement", {"AffectedElement": None}, "no property AffectedElement"),
        ("Msvm_ReplicationSettingData", {"IncludedDisks": "a"}, "IncludedDisks is an array"),
        ("Msvm_ReplicationSettingData", {"AuthenticationType": (1,)}, "AuthenticationType is not an array"),
        ("Msvm_ReplicationSettingData", {"AuthenticationType": 70000}, "is uint16, which cannot hold this int"),
        ("Msvm_ReplicationSettingData", {"AuthenticationType": "1"}, "is uint16, which cannot hold this str"),
        ("Msvm_ReplicationSettingData", {"AuthenticationType": True}, "is uint16, which cannot hold this bool"),
        ("Msvm_ReplicationSettingData", {"Caption": Reference.of("C", K="1")}, "is string"),
        ("Msvm_ReplicationSettingData", {"CreationTime": datetime(2026, 1, 1)}, "is datetime"),
        ("Msvm_ReplicationSettingData", {"Caption": "a\x00"}, "cannot be sent in XML"),
    ],
)
def test_what_cannot_be_written_is_refused(class_name: str, properties: t.Mapping[str, Value], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        write_instance(class_name, properties)


def test_what_a_host_writes_is_read() -> None:
    # Synthetic, after the WmiDtd20 text of the documented samples: qualifiers, origins, values in upper case.
    read = read_instance(
        """
        <INSTANCE CLASSNAME="Msvm_Error"><QUALIFIER NAME="dynamic" TYPE="boolean"><VALUE>TRUE</VALUE></QUALIFIER>
          <PROPERTY NAME="CIMStatusCode" CLASSORIGIN="CIM_Error" TYPE="uint32"><VALUE> 32768 </VALUE></PROPERTY>
          <PROPERTY NAME="Message" CLASSORIGIN="CIM_Error" TYPE="string"><VALUE>&lt;失敗&gt; </VALUE></PROPERTY>
          <PROPERTY NAME="Fatal" TYPE="boolean"><VALUE>TRUE</VALUE></PROPERTY>
          <PROPERTY NAME="OwningEntity" TYPE="string"></PROPERTY>
          <PROPERTY NAME="Since" TYPE="datetime"><VALUE>20261008151536.684240+000</VALUE></PROPERTY>
          <PROPERTY.ARRAY NAME="MessageArguments" TYPE="string">
            <VALUE.ARRAY><VALUE>a</VALUE></VALUE.ARRAY>
          </PROPERTY.ARRAY>
          <PROPERTY.ARRAY NAME="RecommendedActions" TYPE="string"></PROPERTY.ARRAY>
          <PROPERTY.REFERENCE NAME="Source" REFERENCECLASS="CIM_Job"></PROPERTY.REFERENCE>
        </INSTANCE>"""
    )
    assert read.class_name == "Msvm_Error"
    assert read.properties == {
        "CIMStatusCode": 32768,
        "Message": "<失敗> ",
        "Fatal": True,
        "OwningEntity": None,
        "Since": datetime(2026, 10, 8, 15, 15, 36, 684240, tzinfo=timezone.utc),
        "MessageArguments": ("a",),
        "RecommendedActions": None,
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not well-formed"),
        ("not XML", "not well-formed"),
        ("<!DOCTYPE INSTANCE><INSTANCE CLASSNAME='C'/>", "DOCTYPE"),
        ("<CLASS NAME='C'/>", "no INSTANCE with a CLASSNAME"),
        ("<INSTANCE/>", "no INSTANCE with a CLASSNAME"),
        ("<INSTANCE CLASSNAME='C'><PROPERTY NAME='A'/></INSTANCE>", "without NAME or TYPE"),
        ("<INSTANCE CLASSNAME='C'><PROPERTY TYPE='string'/></INSTANCE>", "without NAME or TYPE"),
        (
            "<INSTANCE CLASSNAME='C'><PROPERTY NAME='A' TYPE='uint16'><VALUE>x</VALUE></PROPERTY></INSTANCE>",
            "of C: A is no uint16: 'x'",
        ),
    ],
)
def test_what_is_no_embedded_instance_is_named(text: str, says: str) -> None:
    with pytest.raises(CimError) as caught:
        read_instance(text)
    assert caught.value.kind is Kind.PROTOCOL
    assert says in caught.value.message
