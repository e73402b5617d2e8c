# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""WS-Management messages: what is sent, and what each answer of a host means. Values in, values out."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import wsman
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    CimError,
    Instance,
    Kind,
    MethodCall,
    MethodResult,
    Reference,
    Sent,
    Value,
    quote,
)
from ansible_collections.hyperv.replica.tests.unit.plugins.plugin_utils.cim.helpers import (
    MESSAGE,
    NO_SUCH_OBJECT,
    answer,
    fault,
    fixture,
    instance,
    output,
    page,
)

GUID = "11111111-1111-4111-8111-111111111111"
VM = Reference.of("Msvm_ComputerSystem", CreationClassName="Msvm_ComputerSystem", Name=GUID)
JOB = Reference.of("Msvm_ConcreteJob", InstanceID="JOB-1")
SERVICE = Reference.of(
    "Msvm_ReplicationService",
    CreationClassName="Msvm_ReplicationService",
    Name="replicasvc",
    SystemCreationClassName="Msvm_ComputerSystem",
    SystemName="HV01",
)
REVERT = MethodCall(SERVICE, "RevertFailover", (("ComputerSystem", VM),))
UTC = timezone.utc

NAMESPACES = {"s": wsman.SOAP, "a": wsman.ADDRESSING, "n": wsman.ENUMERATION, "w": wsman.WSMAN, "m": wsman.MS_WSMAN}


def sent(request: wsman.Request) -> ElementTree.Element:
    """The message on the wire, read by somebody else than us."""
    return ElementTree.fromstring(
        wsman.envelope(request, to="http://hv01:5985/wsman", message_id=MESSAGE, operation_timeout=60)
    )


def header(root: ElementTree.Element) -> dict[str, str | None]:
    """The headers by name; what is inside of a header by its own name."""
    found = root.find("s:Header", NAMESPACES)
    assert found is not None
    return {element.tag.rpartition("}")[2]: element.text for element in found}


def selectors(root: ElementTree.Element, within: str) -> dict[str | None, str | None]:
    return {one.get("Name"): one.text for one in root.findall(f"{within}/w:SelectorSet/w:Selector", NAMESPACES)}


def body(root: ElementTree.Element) -> ElementTree.Element:
    found = root.find("s:Body", NAMESPACES)
    assert found is not None
    assert len(found) == 1
    return found[0]


def refusal(call: MethodCall) -> CimError:
    with pytest.raises(CimError) as caught:
        sent(wsman.invoke(call))
    return caught.value


def protocol_error(document: bytes, request: wsman.Request | None = None) -> CimError:
    """The error that reading such an answer ends in: to a method call, unless another request is given."""
    reads = {"Get": wsman.read_instance, "Enumerate": wsman.read_page, "Release": wsman.read_released}
    asked = request or wsman.invoke(REVERT)
    with pytest.raises(CimError) as caught:
        reads.get(asked.action.rpartition("/")[2], wsman.read_result)(document, asked, MESSAGE)
    assert caught.value.kind is Kind.PROTOCOL
    assert caught.value.sent is (Sent.NO if request else Sent.MAYBE)
    return caught.value


# --- requests --------------------------------------------------------------------------------------


def test_every_request_has_the_headers_of_the_specification() -> None:
    root = sent(wsman.get(JOB))
    assert header(root) == {
        "To": "http://hv01:5985/wsman",
        "ResourceURI": f"{wsman.RESOURCE}/Msvm_ConcreteJob",
        "ReplyTo": None,
        "Action": "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get",
        "MaxEnvelopeSize": "512000",
        "MessageID": f"uuid:{MESSAGE}",
        "Locale": None,
        "DataLocale": None,
        "OperationTimeout": "PT60S",
        "SelectorSet": None,
    }
    assert root.findtext("s:Header/a:ReplyTo/a:Address", namespaces=NAMESPACES) == wsman.ANONYMOUS
    must = {"ResourceURI": "w", "Action": "a", "MaxEnvelopeSize": "w"}
    for name, prefix in must.items():
        element = root.find(f"s:Header/{prefix}:{name}", NAMESPACES)
        assert element is not None
        assert element.get(f"{{{wsman.SOAP}}}mustUnderstand") == "true"


def test_get_selects_by_the_keys_and_has_an_empty_body() -> None:
    root = sent(wsman.get(VM))
    assert selectors(root, "s:Header") == {"CreationClassName": "Msvm_ComputerSystem", "Name": GUID}
    assert len(root.findall("s:Body/*", NAMESPACES)) == 0


def test_a_query_asks_for_the_first_page_at_once_in_the_order_of_winrm() -> None:
    wql = f"SELECT * FROM Msvm_ComputerSystem WHERE ElementName = {quote('a<b> & c')}"
    root = sent(wsman.enumerate_wql(wql))
    assert header(root)["ResourceURI"] == f"{wsman.RESOURCE}/*"
    assert header(root)["Action"] == "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Enumerate"
    assert "SelectorSet" not in header(root)
    request = body(root)
    assert [element.tag.rpartition("}")[2] for element in request] == ["OptimizeEnumeration", "MaxElements", "Filter"]
    assert request[1].text == "1000"
    assert request[2].get("Dialect") == "http://schemas.microsoft.com/wbem/wsman/1/WQL"
    assert request[2].text == wql


@pytest.mark.parametrize(
    ("wql", "base"),
    [
        ("SELECT * FROM Msvm_ConcreteJob WHERE JobState = 4", "Msvm_ConcreteJob"),
        ("select * from Msvm_ConcreteJob", "Msvm_ConcreteJob"),
        (
            "ASSOCIATORS OF {x} WHERE AssocClass=Msvm_ElementSettingData ResultClass = Msvm_ReplicationSettingData",
            "Msvm_ReplicationSettingData",
        ),
        ("REFERENCES OF {x}", ""),
    ],
)
def test_a_query_knows_the_class_it_asks_for(wql: str, base: str) -> None:
    assert wsman.enumerate_wql(wql).base_class == base


def test_the_next_page_names_the_context_and_how_much_it_may_hold() -> None:
    query = wsman.enumerate_wql("SELECT * FROM Msvm_ConcreteJob")
    request = body(sent(wsman.pull("uuid:<1>", query)))
    assert [(element.tag.rpartition("}")[2], element.text) for element in request] == [
        ("EnumerationContext", "uuid:<1>"),
        ("MaxElements", "1000"),
    ]
    root = sent(wsman.release("uuid:<1>", query))
    assert header(root)["Action"] == "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Release"
    assert header(root)["ResourceURI"] == f"{wsman.RESOURCE}/*"
    assert body(root).findtext("n:EnumerationContext", namespaces=NAMESPACES) == "uuid:<1>"


def test_a_method_call_selects_the_service_and_passes_a_bare_reference() -> None:
    root = sent(wsman.invoke(REVERT))
    uri = f"{wsman.RESOURCE}/Msvm_ReplicationService"
    assert header(root)["Action"] == f"{uri}/RevertFailover"
    assert header(root)["ResourceURI"] == uri
    assert selectors(root, "s:Header") == dict(SERVICE.keys)
    call = body(root)
    assert call.tag == f"{{{uri}}}RevertFailover_INPUT"
    (parameter,) = call
    assert parameter.tag == f"{{{uri}}}ComputerSystem"
    assert [element.tag.rpartition("}")[2] for element in parameter] == ["Address", "ReferenceParameters"]
    vm_uri = parameter.findtext("a:ReferenceParameters/w:ResourceURI", namespaces=NAMESPACES)
    assert vm_uri == f"{wsman.RESOURCE}/Msvm_ComputerSystem"
    assert selectors(parameter, "a:ReferenceParameters") == dict(VM.keys)


def arguments(method: str, **values: Value) -> dict[str, list[str]]:
    """What goes over the wire for these arguments, by parameter, in the order of the message."""
    call = body(sent(wsman.invoke(MethodCall(SERVICE, method, tuple(values.items())))))
    found: dict[str, list[str]] = {}
    for element in call:
        inner = element[0] if len(element) else element
        kind = f"{inner.tag.rpartition('}')[2]}:" if len(element) else ""
        found.setdefault(element.tag.rpartition("}")[2], []).append(kind + (inner.text or ""))
    return found


def test_arguments_travel_in_the_order_of_the_mof_each_in_its_spelling() -> None:
    start = datetime(2026, 10, 8, 15, 15, 36, tzinfo=UTC)
    found = arguments(
        "StartReplication",
        StartTime=start,
        InitialReplicationExportLocation="\\\\nas\\<seed> & more\r\n",
        InitialReplicationType=2,
        ComputerSystem=VM,
    )
    assert list(found.items()) == [
        ("ComputerSystem", [f"Address:{wsman.ANONYMOUS}"]),
        ("InitialReplicationType", ["2"]),
        ("InitialReplicationExportLocation", ["\\\\nas\\<seed> & more\r\n"]),
        ("StartTime", ["Datetime:2026-10-08T15:15:36.000000Z"]),
    ]


def test_null_is_said_and_what_nobody_gave_is_left_out() -> None:
    found = arguments("InitiateFailover", ComputerSystem=VM, SnapshotSettingData=None)
    assert found["SnapshotSettingData"] == [""]
    call = MethodCall(SERVICE, "InitiateFailover", (("ComputerSystem", VM), ("SnapshotSettingData", None)))
    assert 'SnapshotSettingData xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"' in (
        wsman.invoke(call).body
    )
    assert list(arguments("InitiateFailover", ComputerSystem=VM)) == ["ComputerSystem"]


def test_an_array_is_its_element_repeated() -> None:
    found = arguments("SetFailoverNetworkAdapterSettings", ComputerSystem=VM, NetworkSettings=("<INSTANCE/>", "b"))
    assert found["NetworkSettings"] == ["<INSTANCE/>", "b"]
    assert "NetworkSettings" not in arguments(
        "SetFailoverNetworkAdapterSettings", ComputerSystem=VM, NetworkSettings=()
    )


def test_a_boolean_and_an_interval() -> None:
    found = arguments("TestReplicationConnection", BypassProxyServer=True)
    assert found == {"BypassProxyServer": ["true"]}
    call = MethodCall(VM, "RequestStateChange", (("RequestedState", 3), ("TimeoutPeriod", timedelta(minutes=5))))
    assert "<cim:Interval>P0DT0H5M0.000000S</cim:Interval>" in wsman.invoke(call).body


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (MethodCall(SERVICE, "StopService"), "Msvm_ReplicationService.StopService is not among the methods"),
        (MethodCall(Reference.of("Win32_Process", Handle="1"), "Terminate"), "Win32_Process.Terminate is not among"),
        (MethodCall(SERVICE, "RevertFailover", (("VirtualMachine", VM),)), "has no parameter VirtualMachine"),
        (MethodCall(SERVICE, "RevertFailover", (("Job", JOB),)), "has no parameter Job"),
        (MethodCall(SERVICE, "RevertFailover", (("ComputerSystem", GUID),)), "is ref, which cannot hold this str"),
        (MethodCall(SERVICE, "RevertFailover", (("ComputerSystem", (VM,)),)), "ComputerSystem must not be an array"),
        (MethodCall(SERVICE, "StartReplication", (("InitialReplicationType", 65536),)), "is uint16"),
        (MethodCall(SERVICE, "StartReplication", (("StartTime", datetime(2026, 1, 1)),)), "is datetime"),
        (MethodCall(SERVICE, "SetFailoverNetworkAdapterSettings", (("NetworkSettings", "x"),)), "must be an array"),
        (MethodCall(SERVICE, "SetFailoverNetworkAdapterSettings", (("NetworkSettings", (None,)),)), "is string"),
        (MethodCall(SERVICE, "StartReplication", (("StartTime", timedelta(seconds=-1)),)), "a negative interval"),
        (
            MethodCall(SERVICE, "ReverseReplicationRelationship", (("ReplicationSettingData", "a\x00"),)),
            "cannot be sent in XML",
        ),
        (MethodCall(Reference.of("Msvm_ReplicationService", Name="a\x00"), "RevertFailover"), "the key Name"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused_before_it_is_sent(call: MethodCall, says: str) -> None:
    error = refusal(call)
    assert (error.kind, error.sent) == (Kind.INVALID, Sent.NO)
    assert says in error.message


@pytest.mark.parametrize(
    "name", ["O'Neill", 'say "x"', "back\\slash", "Größe 仮 \U0001f600", "a<b>&c", " tab\t", "\r\n"]
)
def test_names_survive_the_way_into_the_message(name: str) -> None:
    root = sent(wsman.get(Reference.of("Msvm_ComputerSystem", Name=name)))
    assert selectors(root, "s:Header") == {"Name": name}
    query = body(sent(wsman.enumerate_wql(f"SELECT * FROM Msvm_ComputerSystem WHERE ElementName = {quote(name)}")))
    literal = (query[2].text or "").partition(" = ")[2]
    unescaped = literal[1:-1].replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\")
    assert (literal[0], literal[-1], unescaped) == ('"', '"', name)


def test_no_part_of_a_reference_can_become_markup() -> None:
    odd = Reference.of("Msvm_</w:ResourceURI><x/>", **{'K"><x/>': "</w:Selector><x/>"})
    call = body(sent(wsman.invoke(MethodCall(SERVICE, "RevertFailover", (("ComputerSystem", odd),)))))
    assert [element.tag for element in call.iter() if element.tag == "x"] == []
    assert selectors(call[0], "a:ReferenceParameters") == dict(odd.keys)
    root = sent(wsman.get(odd))
    assert header(root)["ResourceURI"] == f"{wsman.RESOURCE}/{odd.class_name}"
    assert selectors(root, "s:Header") == dict(odd.keys)


# --- answers ---------------------------------------------------------------------------------------


def test_an_instance_is_typed_by_the_table() -> None:
    read = wsman.read_instance(fixture("get_virtual_machine.xml"), wsman.get(VM), MESSAGE)
    assert read == Instance(
        "Msvm_ComputerSystem",
        {
            "Caption": "仮想マシン",
            "CommunicationStatus": None,
            "CreationClassName": "Msvm_ComputerSystem",
            "ElementName": "vm",
            "EnabledState": 3,
            "FailedOverReplicationType": 0,
            "InstallDate": datetime(2026, 10, 8, 15, 15, 36, 684240, tzinfo=UTC),
            "LastReplicationTime": datetime(1601, 1, 1, tzinfo=UTC),
            "Name": GUID,
            "OnTimeInMilliseconds": 2**64 - 1,
            "OperationalStatus": (2,),
            "ReplicationMode": 0,
            "ReplicationState": 0,
        },
        VM,
    )
    # Absent is not NULL.
    assert "CommunicationStatus" in read.properties
    assert "ReplicationHealth" not in read.properties


def test_an_enumeration_in_pages() -> None:
    query = wsman.enumerate_wql("SELECT * FROM Msvm_ComputerSystem")
    first = wsman.read_page(fixture("enumerate_first_page.xml"), query, MESSAGE)
    assert first.context == "uuid:CONTEXT-1"
    assert [vm.get("ElementName") for vm in first.instances] == ["vm & <one>"]
    last = wsman.read_page(fixture("pull_last_page.xml"), wsman.pull("uuid:CONTEXT-1", query), MESSAGE)
    assert last.context is None
    assert [vm.get("Roles") for vm in last.instances] == [("a", "b")]


@pytest.mark.parametrize(
    ("inside", "context", "count"),
    [
        ("<w:Items/><w:EndOfSequence/>", None, 0),
        ("<n:Items/><n:EndOfSequence/>", None, 0),
        ("<w:Items>X</w:Items><w:EndOfSequence/>", None, 1),
        ("<n:EnumerationContext>c1</n:EnumerationContext>", "c1", 0),
        ("<n:EnumerationContext> c1 </n:EnumerationContext><n:Items>X</n:Items>", "c1", 1),
        ("<n:EnumerationContext>c1</n:EnumerationContext><w:Items>X</w:Items><w:EndOfSequence/>", None, 1),
        ("<n:EnumerationContext/><w:Items>X</w:Items>", None, 1),
    ],
)
def test_where_an_enumeration_stands(inside: str, context: str | None, count: int) -> None:
    document = answer(
        f"<n:EnumerateResponse>{inside}</n:EnumerateResponse>".replace("X", instance("Msvm_ConcreteJob", JobState=4))
    )
    read = wsman.read_page(document, wsman.enumerate_wql("SELECT * FROM Msvm_ConcreteJob"), MESSAGE)
    assert (read.context, len(read.instances)) == (context, count)


def test_references_are_read_without_a_wrapper() -> None:
    query = wsman.enumerate_wql("SELECT * FROM Msvm_AffectedJobElement")
    (read,) = wsman.read_page(fixture("enumerate_affected_job.xml"), query, MESSAGE).instances
    assert read.properties == {
        "AffectedElement": VM,
        "AffectingElement": JOB,
        "ElementEffects": (0,),
        "OtherElementEffectsDescriptions": None,
    }
    # Its keys are references, which are no texts of an object path.
    assert read.reference is None


def one(element: str, base: str = "Msvm_ConcreteJob") -> Instance:
    query = wsman.enumerate_wql(f"SELECT * FROM {base}")
    (read,) = wsman.read_page(page(element), query, MESSAGE).instances
    return read


def test_a_subclass_keeps_its_name_and_is_typed_by_what_was_asked_for() -> None:
    read = one(instance("Msvm_StorageJob", InstanceID="J", JobState=4, OperationalStatus=[2], Child=[1, 2], Parent=3))
    assert read.class_name == "Msvm_StorageJob"
    assert read.reference == Reference.of("Msvm_StorageJob", InstanceID="J")
    assert read.get("JobState") == 4
    assert read.get("OperationalStatus") == (2,)
    # What neither class knows is text, and an array where it comes repeatedly.
    assert read.get("Child") == ("1", "2")
    assert read.get("Parent") == "3"


def test_a_class_that_nobody_knows_is_text_without_a_reference() -> None:
    read = one(instance("Win32_Process", Handle=29, Name=None), base="Win32_Process")
    assert read == Instance("Win32_Process", {"Handle": "29", "Name": None}, None)


def test_arrays_null_and_their_elements() -> None:
    read = one(instance("Msvm_ComputerSystem", OperationalStatus=None, StatusDescriptions=["", None, "x"], Roles=[""]))
    assert read.get("OperationalStatus") is None
    assert read.get("StatusDescriptions") == ("", None, "x")
    assert read.get("Roles") == ("",)


def test_a_key_that_is_null_or_absent_makes_no_reference() -> None:
    assert one(instance("Msvm_ComputerSystem", Name="x")).reference is None
    assert one(instance("Msvm_ComputerSystem", Name="x", CreationClassName=None)).reference is None


@pytest.mark.parametrize(
    "wrapped",
    [
        "<cim:Datetime xmlns:cim='urn:c'>2026-10-08T15:15:36Z</cim:Datetime>",
        "\n  <cim:CIM_DateTime xmlns:cim='urn:c'>\n2026-10-08T15:15:36Z</cim:CIM_DateTime>\n",
        "<CIM_DateTime><Datetime>2026-10-08T15:15:36Z</Datetime></CIM_DateTime>",
        "20261008151536.000000+000",
    ],
)
def test_a_datetime_in_whatever_element_it_comes(wrapped: str) -> None:
    assert one(instance("Msvm_ConcreteJob", StartTime=wrapped)).get("StartTime") == datetime(
        2026, 10, 8, 15, 15, 36, tzinfo=UTC
    )
    interval = "<cim:Interval xmlns:cim='urn:c'>P0DT0H5M0S</cim:Interval>"
    read = one(instance("Msvm_ConcreteJob", TimeBeforeRemoval=interval))
    assert read.get("TimeBeforeRemoval") == timedelta(minutes=5)


@pytest.mark.parametrize("name", ["revert_started.xml", "revert_started_wrapped.xml"])
def test_a_started_job_is_handed_out_wrapped_or_not(name: str) -> None:
    result = wsman.read_result(fixture(name), wsman.invoke(REVERT), MESSAGE)
    assert result == MethodResult(4096, {"Job": JOB})
    assert result.job == JOB


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (fixture("revert_completed.xml"), MethodResult(0, {"Job": None})),
        (answer(output(0)), MethodResult(0, {})),
        (answer(output(32775)), MethodResult(32775, {})),
        (answer(output(4096).replace("<p:Ret", "<p:Job/><p:Ret")), MethodResult(4096, {"Job": None})),
        (answer(output(" 4294967295 ")), MethodResult(4294967295, {})),
    ],
)
def test_a_return_value_is_an_answer_whatever_it_says(document: bytes, expected: MethodResult) -> None:
    assert wsman.read_result(document, wsman.invoke(REVERT), MESSAGE) == expected


def test_out_parameters_are_typed_by_the_signature() -> None:
    call = MethodCall(SERVICE, "GetReplicationStatisticsEx", (("ComputerSystem", VM),))
    text = output(0, method="GetReplicationStatisticsEx").replace(
        "<p:Ret", "<p:ReplicationStatistics>&lt;INSTANCE/&gt;</p:ReplicationStatistics><p:More>7</p:More><p:Ret"
    )
    result = wsman.read_result(answer(text), wsman.invoke(call), MESSAGE)
    assert result == MethodResult(0, {"ReplicationStatistics": ("<INSTANCE/>",), "More": "7"})


@pytest.mark.parametrize("related", [MESSAGE, MESSAGE.lower(), f"urn:uuid:{MESSAGE}", f"\n{MESSAGE}\n"])
def test_an_answer_belongs_to_its_message(related: str) -> None:
    document = answer(output(0)).replace(f"uuid:{MESSAGE}".encode(), related.encode())
    assert wsman.read_result(document, wsman.invoke(REVERT), MESSAGE).return_value == 0


def test_a_released_enumeration_has_an_empty_answer() -> None:
    request = wsman.release("c", wsman.enumerate_wql("SELECT * FROM Msvm_ConcreteJob"))
    wsman.read_released(answer(""), request, MESSAGE)
    assert "Fault" not in protocol_error(b"<x/>", request).message


# --- answers that are none -------------------------------------------------------------------------

MALFORMED_RESULTS = {
    "nothing": (b"", "not well-formed XML"),
    "half an answer": (fixture("revert_started.xml")[:-200], "not well-formed XML"),
    "a web page": (b"<html><body>It works</body></html>", "it is an HTML page"),
    "another XML document": (b"<rss/>", "is rss, not a SOAP 1.2 envelope"),
    "an envelope of SOAP 1.1": (
        answer(output(0)).replace(wsman.SOAP.encode(), b"http://schemas.xmlsoap.org/soap/envelope/"),
        "not a SOAP 1.2 envelope",
    ),
    "no body": (answer("").replace(b"<s:Body></s:Body>", b""), "has no s:Body"),
    "an empty body": (answer(""), "has an empty s:Body"),
    "no RelatesTo": (answer(output(0)).replace(b"RelatesTo", b"InReplyTo"), "has no a:RelatesTo"),
    "the answer to another message": (answer(output(0), MESSAGE[::-1]), "belongs to another message"),
    "the answer to another method": (answer(output(0, method="CommitFailover")), "instead of RevertFailover_OUTPUT"),
    "no return value": (answer(output(0).replace("ReturnValue", "Returned")), "has no ReturnValue"),
    "a return value of NULL": (
        answer(output(0).replace("<p:ReturnValue>", '<p:ReturnValue xsi:nil="true">')),
        "has no ReturnValue",
    ),
    "two return values": (
        answer(output(0).replace("</p:Rev", "<p:ReturnValue>1</p:ReturnValue></p:Rev")),
        "whose ReturnValue is there more than once",
    ),
    "a return value that is no number": (answer(output("done")), "whose ReturnValue is no uint32: 'done'"),
    "a negative return value": (answer(output(-1)), "whose ReturnValue is no uint32: '-1'"),
    "a job that is no reference": (
        answer(output(4096).replace("<p:Ret", "<p:Job>JOB-1</p:Job><p:Ret")),
        "whose Job is no endpoint reference",
    ),
    "a job without a class": (
        fixture("revert_started.xml").replace(b"Msvm_ConcreteJob</w:Res", b"</w:Res"),
        "whose Job is a reference without a class or without keys",
    ),
    "a job whose class is no name": (
        fixture("revert_started.xml").replace(b"Msvm_ConcreteJob</w:Res", b"Msvm_&lt;/w:ResourceURI&gt;</w:Res"),
        "whose Job is a reference without a class or without keys",
    ),
    "a job without keys": (
        fixture("revert_started.xml").replace(b"w:Selector ", b"w:Chosen ").replace(b"/w:Selector>", b"/w:Chosen>"),
        "whose Job is a reference without a class or without keys",
    ),
    "a key without a name": (
        fixture("revert_started.xml").replace(b'Name="InstanceID"', b""),
        "whose Job is a reference without a class or without keys",
    ),
}


@pytest.mark.parametrize("name", sorted(MALFORMED_RESULTS))
def test_an_answer_to_a_call_that_cannot_be_read_names_the_part(name: str) -> None:
    document, says = MALFORMED_RESULTS[name]
    error = protocol_error(document)
    assert says in error.message
    assert error.message.startswith("the answer to RevertFailover ")
    assert error.detail.startswith("it begins with: ")


END = "</n:Items><n:EndOfSequence/></n:PullResponse>"
MALFORMED_PAGES = {
    "neither an end nor a context": ("<n:PullResponse><n:Items/></n:PullResponse>", "neither ends the enumeration"),
    "no page": ("<n:GetResponse/>", "holds GetResponse where a page was expected"),
    "a number that is none": (
        f"<n:PullResponse><n:Items>{instance('Msvm_ConcreteJob', JobState='running')}{END}",
        "has a Msvm_ConcreteJob whose JobState is no uint16: 'running'",
    ),
    "a property twice": (
        f"<n:PullResponse><n:Items>{instance('Msvm_ConcreteJob', JobState=[4, 7])}{END}",
        "whose JobState is there more than once",
    ),
}


@pytest.mark.parametrize("name", sorted(MALFORMED_PAGES))
def test_a_page_that_cannot_be_read_names_the_part(name: str) -> None:
    text, says = MALFORMED_PAGES[name]
    query = wsman.enumerate_wql("SELECT * FROM Msvm_ConcreteJob")
    assert says in protocol_error(answer(text), query).message


# --- faults ----------------------------------------------------------------------------------------


def fault_of(document: bytes, request: wsman.Request | None = None) -> CimError:
    with pytest.raises(CimError) as caught:
        wsman.read_result(document, request or wsman.invoke(REVERT), MESSAGE)
    return caught.value


def test_a_fault_of_winrm_itself() -> None:
    error = fault_of(fixture("fault_winrm.xml"))
    assert (error.kind, error.sent, error.code) == (Kind.ACCESS_DENIED, Sent.NO, 5)
    assert error.message == "RevertFailover: access denied (0x00000005)"
    assert error.detail == "アクセスは許可されていません。"


def test_a_fault_of_the_wmi_plugin_is_that_of_its_innermost_cause() -> None:
    error = fault_of(fixture("fault_wmi_plugin.xml"), wsman.get(JOB))
    assert (error.kind, error.sent, error.code) == (Kind.NOT_FOUND, Sent.NO, 0x80338000)
    assert error.message == "Get of Msvm_ConcreteJob: there is no such class or object (0x80338000)"
    assert error.detail == (
        "There is no such job. [FaultDetail: InvalidResourceURI] [Operation: GetObject]"
        ' [ParameterInfo: Msvm_ConcreteJob.InstanceID="JOB-1"] [ProviderName: VmmsWmiInstanceAndMethodProvider]'
    )


def test_a_fault_that_is_an_mi_error() -> None:
    error = fault_of(fixture("fault_mi_error.xml"))
    assert (error.kind, error.sent, error.code) == (Kind.QUOTA, Sent.NO, 0x803381A6)
    assert error.detail == "Too many operations of this user."


@pytest.mark.parametrize("spelled", ["2150858752", "-2144108544", "0x80338000", "0X80338000", " 2150858752 "])
def test_a_code_in_every_spelling(spelled: str) -> None:
    assert fault_of(answer(fault(code=spelled))).code == 0x80338000


@pytest.mark.parametrize(("code", "kind"), wsman.FAULT_CODES.items())
def test_a_known_code_decides_whatever_the_subcode_says(code: int, kind: Kind) -> None:
    error = fault_of(answer(fault("w:InternalError", code)))
    assert (error.kind, error.code) == (kind, code)
    assert error.sent is (Sent.MAYBE if kind in (Kind.TIMED_OUT, Kind.UNAVAILABLE) else Sent.NO)


@pytest.mark.parametrize(("subcode", "kind"), wsman.FAULT_SUBCODES.items())
def test_a_subcode_decides_where_the_code_is_not_known(subcode: str, kind: Kind) -> None:
    for code in ("", 0x8033FFFF):
        error = fault_of(answer(fault(f"w:{subcode}", code)))
        assert error.kind is kind
        assert error.sent is (Sent.MAYBE if kind in (Kind.TIMED_OUT, Kind.UNAVAILABLE) else Sent.NO)


@pytest.mark.parametrize(("status", "kind"), [(2, Kind.ACCESS_DENIED), (6, Kind.NOT_FOUND), (1, Kind.HOST)])
def test_the_status_of_an_mi_error_decides_where_nothing_else_does(status: int, kind: Kind) -> None:
    document = fixture("fault_mi_error.xml").replace(b"2150859174", b"1").replace(b">27<", f">{status}<".encode())
    assert fault_of(document).kind is kind


def test_the_status_of_the_provider_counts_where_it_gives_one() -> None:
    document = fixture("fault_wmi_plugin.xml").replace(
        b'<p:StatusCode xsi:nil="true"/>', b"<p:StatusCode>2147749891</p:StatusCode>"
    )
    unknown = document.replace(b"2150858752", b"2150858999").replace(b"DestinationUnreachable", b"InternalError")
    assert fault_of(unknown).kind is Kind.ACCESS_DENIED


@pytest.mark.parametrize(
    "document",
    [
        answer(fault()),
        answer(fault("w:EncodingLimit", 0x80338999)),
        answer(fault("w:InternalError", 0x80041001)),
        answer(fault("x:Something", 0xFFFFFFFF)),
        answer(fault(code="many")),
        answer("<s:Fault/>"),
    ],
)
def test_an_unknown_fault_of_a_call_may_have_come_after_the_effect(document: bytes) -> None:
    error = fault_of(document)
    assert (error.kind, error.sent) == (Kind.HOST, Sent.MAYBE)
    assert fault_of(document, wsman.get(JOB)).sent is Sent.NO


def test_a_host_that_could_not_read_the_message_cannot_relate_its_fault() -> None:
    document = answer(fault("s:MustUnderstand")).replace(b"RelatesTo", b"Nothing")
    assert fault_of(document).kind is Kind.INVALID


def test_the_fault_of_another_message_says_nothing_about_this_one() -> None:
    error = protocol_error(answer(fault("w:AccessDenied", 5), MESSAGE[::-1]))
    assert "belongs to another message" in error.message


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (NO_SUCH_OBJECT, True),
        (fault("a:DestinationUnreachable"), True),
        (fault("w:InternalError", 0x80041002), True),
        (fault("a:DestinationUnreachable", 0x8033803B), False),
        (fault("w:InternalError", 0x80041010), False),
        (fault("w:InternalError", 0x8004100E), False),
        (fault("w:AccessDenied", 5), False),
    ],
)
def test_an_object_that_is_gone_is_told_from_a_class_that_never_was(text: str, missing: bool) -> None:
    assert wsman.is_missing_instance(fault_of(answer(text), wsman.get(JOB))) is missing


def test_a_long_text_of_a_host_is_cut() -> None:
    assert len(fault_of(answer(fault(text="x" * 5000, code=5))).detail) == 1000
