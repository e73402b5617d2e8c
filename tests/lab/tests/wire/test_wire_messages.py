# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The messages of the wire, byte for byte: instances, pages, references, faults, and what is refused."""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta, timezone

import pytest
from replica_lab.provider import AccessDenied, CimObject, Ref, Unavailable
from replica_lab.wire import wmi
from replica_lab.wire.assumptions import WireAssumptions

VM = "7F3A52B9-0000-4000-8000-000000000001"


@pytest.fixture
def tiny(lab: t.Any, wire: t.Any) -> t.Callable[..., t.Any]:
    """A lab with a tiny world, and a plain client for it."""

    def make(*objects: CimObject, settings: dict[str, t.Any] | None = None, **world: t.Any) -> t.Any:
        running = lab(wire.tiny_world(*objects, **world), **(settings or {}))
        client = wire.Raw(running)
        client.lab, client.host = running, running.world.hosts["HV01"]
        return client

    return make


def many(wire: t.Any, count: int) -> list[CimObject]:
    return [wire.system(f"{index:03}", ElementName=f"vm{index:03}") for index in range(count)]


def names(answer: t.Any) -> list[str]:
    return [one.text for one in answer.all(".//{*}ElementName")]


# --- instances -----------------------------------------------------------------------------------------


def test_an_instance_has_every_property_of_its_class_in_order_and_typed(tiny: t.Any, wire: t.Any) -> None:
    time = datetime(2026, 10, 8, 15, 15, 36, 684240, timezone.utc)
    answer = tiny(
        wire.system(
            VM,
            ElementName='a <b> & "c" 仮想\r',
            OnTimeInMilliseconds=18446744073709551615,
            OperationalStatus=[2],
            StatusDescriptions=["one", "two"],
            Roles=[],
            InstallDate=time,
            LastReplicationTime=datetime(1601, 1, 1, tzinfo=timezone.utc),
        )
    ).enumerate()
    instance = answer.find("s:Body/n:EnumerateResponse/w:Items/*")
    uri = f"{wire.V2}/Msvm_ComputerSystem"
    assert instance.tag == f"{{{uri}}}Msvm_ComputerSystem"
    assert instance.get(f"{{{wire.NS['xsi']}}}type") == "p:Msvm_ComputerSystem_Type"
    tags = [child.tag.partition("}")[2] for child in instance]
    assert tags == sorted(tags)
    assert "Roles" not in tags
    assert len(set(tags)) == 45  # 46 properties, one of them an empty array

    def texts(name: str) -> list[str | None]:
        return [child.text for child in instance.findall(f"{{{uri}}}{name}")]

    assert texts("ElementName") == ['a <b> & "c" 仮想\r']
    assert texts("OnTimeInMilliseconds") == ["18446744073709551615"]
    assert texts("OperationalStatus") == ["2"]
    assert texts("StatusDescriptions") == ["one", "two"]
    assert instance.find(f"{{{uri}}}Caption").get(f"{{{wire.NS['xsi']}}}nil") == "true"
    assert instance.findtext(f"{{{uri}}}InstallDate/cim:Datetime", None, wire.NS) == "2026-10-08T15:15:36.68424Z"
    assert instance.findtext(f"{{{uri}}}LastReplicationTime/cim:Datetime", None, wire.NS) == "1601-01-01T00:00:00Z"


def test_booleans_intervals_and_references(tiny: t.Any, wire: t.Any) -> None:
    job = CimObject(
        Ref.of("Msvm_ConcreteJob", InstanceID="J"),
        {"Cancellable": False, "DeleteOnCompletion": True, "ElapsedTime": timedelta(1, 3723, 500000)},
    )
    ends = {
        "AffectedElement": Ref.of("Msvm_ComputerSystem", CreationClassName="Msvm_ComputerSystem", Name="a<b"),
        "AffectingElement": job.ref,
    }
    link = CimObject(Ref.of("Msvm_AffectedJobElement", **dict.fromkeys(ends, "x")), ends)
    client = tiny(job, link)
    got = client.get("Msvm_ConcreteJob", InstanceID="J")
    assert got.text(".//{*}Cancellable") == "false"
    assert got.text(".//{*}DeleteOnCompletion") == "true"
    assert got.text(".//{*}ElapsedTime/cim:Interval") == "P1DT1H2M3.5S"
    answer = client.enumerate("SELECT * FROM Msvm_AffectedJobElement")
    reference = answer.find(".//{*}AffectedElement")
    assert [child.tag.partition("}")[2] for child in reference] == ["Address", "ReferenceParameters"]
    assert reference.findtext(".//w:ResourceURI", None, wire.NS) == f"{wire.V2}/Msvm_ComputerSystem"
    assert {one.get("Name"): one.text for one in reference.iterfind(".//w:Selector", wire.NS)} == {
        "CreationClassName": "Msvm_ComputerSystem",
        "Name": "a<b",
    }


def test_every_answer_relates_to_its_request_under_a_new_id(tiny: t.Any, wire: t.Any) -> None:
    client = tiny()
    message = wire.envelope(f"{wire.NS['x']}/Get", f"{wire.V2}/Msvm_ConcreteJob", header=wire.selectors(InstanceID="x"))
    first, second = client.post(message), client.post(message)
    sent = message.partition("<a:MessageID>")[2].partition("<")[0]
    assert first.text("s:Header/a:RelatesTo") == second.text("s:Header/a:RelatesTo") == sent
    assert first.text("s:Header/a:MessageID") != second.text("s:Header/a:MessageID")
    assert first.headers["Content-Type"] == "application/soap+xml;charset=UTF-8"


# --- enumerations --------------------------------------------------------------------------------------


def test_an_optimized_enumeration_that_is_complete_leaves_nothing_open(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(*many(wire, 3))
    answer = client.enumerate()
    assert names(answer) == ["vm000", "vm001", "vm002"]
    assert answer.find("s:Body/n:EnumerateResponse/w:EndOfSequence") is not None
    assert answer.text("s:Body/n:EnumerateResponse/n:EnumerationContext") == ""
    assert client.lab.hosts["HV01"].open_enumerations == 0


def test_pages_are_pulled_each_with_a_new_context(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(*many(wire, 5))
    first = client.enumerate(count=2)
    context = first.text(".//n:EnumerationContext")
    second = client.pull(context, 2)
    newer = second.text(".//n:EnumerationContext")
    assert context != newer
    assert client.pull(context, 2).fault[0] == "n:InvalidEnumerationContext"
    third = client.pull(newer, 2)
    assert [names(page) for page in (first, second, third)] == [["vm000", "vm001"], ["vm002", "vm003"], ["vm004"]]
    assert third.all("s:Body/n:PullResponse/n:EndOfSequence")
    assert not second.all(".//n:EndOfSequence")
    assert client.lab.hosts["HV01"].open_enumerations == 0


def test_without_optimization_the_first_answer_holds_a_context_only(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(*many(wire, 1))
    answer = client.enumerate(optimize=False)
    assert not names(answer)
    page = client.pull(answer.text(".//n:EnumerationContext"))
    assert names(page) == ["vm000"]
    assert page.all(".//n:EndOfSequence")


def test_without_max_elements_a_page_holds_one_item(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(*many(wire, 3))
    answer = client.enumerate(count=None)
    assert names(answer) == ["vm000"]
    assert names(client.pull(answer.text(".//n:EnumerationContext"))) == ["vm001"]


def test_pages_fit_the_envelope(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(*many(wire, 20))
    answer = client.enumerate(size=12000)
    found = names(answer)
    assert 1 < len(found) < 20
    pages = 1
    while not answer.all(".//n:EndOfSequence"):
        assert len(answer.content) <= 12000
        answer = client.pull(answer.text(".//n:EnumerationContext"), 100, size=12000)
        found += names(answer)
        pages += 1
    assert found == [f"vm{index:03}" for index in range(20)]
    assert pages > 3


def test_an_item_that_fits_no_envelope_is_a_fault(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(wire.system(VM, Description="x" * 9000))
    answer = client.enumerate(size=8192)
    assert answer.fault[0] == "w:EncodingLimit"
    assert answer.text(".//w:FaultDetail").endswith("/MaxEnvelopeSizeExceeded")


def test_a_released_enumeration_is_gone(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(*many(wire, 3))
    context = client.enumerate(count=1).text(".//n:EnumerationContext")
    assert client.lab.hosts["HV01"].open_enumerations == 1
    body = f"<n:Release><n:EnumerationContext>{context}</n:EnumerationContext></n:Release>"
    released = client.post(wire.envelope(f"{wire.NS['n']}/Release", f"{wire.V2}/*", body))
    assert released.status == 200
    assert released.text("s:Header/a:Action") == f"{wire.NS['n']}/ReleaseResponse"
    assert client.lab.hosts["HV01"].open_enumerations == 0
    assert client.pull(context).fault[0] == "n:InvalidEnumerationContext"


def test_too_many_open_enumerations_are_the_user_s_quota(
    tiny: t.Any, wire: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wmi, "MAX_OPEN_ENUMERATIONS", 2)
    client = tiny(*many(wire, 3))
    contexts = [client.enumerate(count=1).text(".//n:EnumerationContext") for _turn in range(2)]
    assert client.enumerate(count=1).fault == ("w:InternalError", 0x803381A6)
    client.pull(contexts[0], 100)
    assert client.enumerate(count=1).status == 200


def test_references_and_both_together(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(wire.system(VM, ElementName="vm"))
    only = client.enumerate(mode="EnumerateEPR")
    reference = only.find("s:Body/n:EnumerateResponse/w:Items/a:EndpointReference")
    assert [one.text for one in reference.iterfind(".//w:Selector", wire.NS)] == ["Msvm_ComputerSystem", VM]
    assert not names(only)
    both = client.enumerate(mode="EnumerateObjectAndEPR")
    item = both.find("s:Body/n:EnumerateResponse/w:Items/w:Item")
    assert [child.tag.partition("}")[2] for child in item] == ["Msvm_ComputerSystem", "EndpointReference"]


def test_a_class_uri_enumerates_without_filter(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(*many(wire, 2))
    assert names(client.enumerate("", uri=f"{wire.V2}/Msvm_ComputerSystem")) == ["vm000", "vm001"]
    assert client.enumerate("").fault[0] == "w:SchemaValidationError"


def test_a_projection_is_a_fragment(tiny: t.Any, wire: t.Any) -> None:
    answer = tiny(wire.system(VM, ElementName="vm")).enumerate("SELECT elementname, Caption FROM Msvm_ComputerSystem")
    fragment = answer.find(".//w:Items/w:XmlFragment")
    assert [child.tag.partition("}")[2] for child in fragment] == ["ElementName", "Caption"]


# --- methods -------------------------------------------------------------------------------------------

JOB = Ref.of("Msvm_ConcreteJob", InstanceID="J-1")
SERVICE = CimObject(Ref.of("Msvm_ReplicationService", CreationClassName="Msvm_ReplicationService"), {})


def test_an_answer_carries_return_value_and_job_as_reference(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(SERVICE, RevertFailover=lambda arguments: (4096, {"Job": JOB}))
    answer = wire.revert(client, VM)
    output = answer.find("s:Body/*")
    uri = f"{wire.V2}/Msvm_ReplicationService"
    assert output.tag == f"{{{uri}}}RevertFailover_OUTPUT"
    assert answer.text("s:Header/a:Action") == f"{uri}/RevertFailoverResponse"
    assert output.findtext(f"{{{uri}}}ReturnValue") == "4096"
    selector = output.find(f"{{{uri}}}Job/a:ReferenceParameters/w:SelectorSet/w:Selector", wire.NS)
    assert (selector.get("Name"), selector.text) == ("InstanceID", "J-1")
    vm = Ref.of("Msvm_ComputerSystem", CreationClassName="Msvm_ComputerSystem", Name=VM)
    assert client.host.invoked == [(SERVICE.ref, "RevertFailover", {"ComputerSystem": vm}, wire.USER)]


@pytest.mark.parametrize(("written", "expected"), [("nil", ["true"]), ("absent", [])])
def test_an_out_parameter_without_value(tiny: t.Any, wire: t.Any, written: str, expected: list[str]) -> None:
    client = tiny(
        SERVICE,
        settings={"wire": WireAssumptions(null_out_parameters=written)},
        RevertFailover=lambda arguments: (0, {"Job": None}),
    )
    jobs = wire.revert(client, VM).all(".//{*}Job")
    assert [one.get(f"{{{wire.NS['xsi']}}}nil") for one in jobs] == expected


def test_a_code_is_no_fault(tiny: t.Any, wire: t.Any) -> None:
    answer = wire.revert(tiny(SERVICE, RevertFailover=lambda arguments: (32775, {"Job": None})), VM)
    assert answer.status == 200
    assert answer.text(".//{*}ReturnValue") == "32775"


def test_arguments_arrive_in_the_types_of_the_class(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(wire.system(VM), RequestReplicationStateChangeEx=lambda arguments: (0, {"Job": None}))
    relationship = "&lt;INSTANCE CLASSNAME=&quot;x&quot;/&gt;"
    answer = client.invoke(
        "Msvm_ComputerSystem",
        "RequestReplicationStateChangeEx",
        f"<p:ReplicationRelationship>{relationship}</p:ReplicationRelationship>"
        "<p:RequestedState>4</p:RequestedState>"
        "<p:TimeoutPeriod><cim:Interval>P0DT0H1M0S</cim:Interval></p:TimeoutPeriod>",
        keys={"Name": VM},
    )
    assert answer.status == 200
    assert client.host.invoked[0][2] == {
        "ReplicationRelationship": '<INSTANCE CLASSNAME="x"/>',
        "RequestedState": 4,
        "TimeoutPeriod": timedelta(minutes=1),
    }


@pytest.mark.parametrize(
    ("xml", "value"),
    [
        ('<p:StartTime xsi:nil="true"/>', None),
        ("<p:StartTime>20261008151536.684240+060</p:StartTime>", "2026-10-08T14:15:36.684240+00:00"),
        ("<p:StartTime><cim:Datetime>2026-10-08T15:15:36.68424Z</cim:Datetime></p:StartTime>",
         "2026-10-08T15:15:36.684240+00:00"),
        ("<p:StartTime>2026-10-08T15:15:36+01:00</p:StartTime>", "2026-10-08T14:15:36+00:00"),
    ],
)  # fmt: skip
def test_times_in_every_spelling(tiny: t.Any, wire: t.Any, xml: str, value: str | None) -> None:
    client = tiny(SERVICE, Resynchronize=lambda arguments: (0, {}))
    vm = f"<p:ComputerSystem>{wire.epr(Name=VM)}</p:ComputerSystem>"
    assert client.invoke("Msvm_ReplicationService", "Resynchronize", vm + xml).status == 200
    time = client.host.invoked[0][2]["StartTime"]
    assert (time and time.isoformat()) == value


def test_arrays_are_repeated_elements(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(SERVICE, SetFailoverNetworkAdapterSettings=lambda arguments: (0, {}))
    body = f"<p:ComputerSystem>{wire.epr(Name=VM)}</p:ComputerSystem>"
    body += "<p:NetworkSettings>one</p:NetworkSettings><p:NetworkSettings>two</p:NetworkSettings>"
    assert client.invoke("Msvm_ReplicationService", "SetFailoverNetworkAdapterSettings", body).status == 200
    assert client.host.invoked[0][2]["NetworkSettings"] == ["one", "two"]


# --- what is refused -----------------------------------------------------------------------------------


def _refusals(wire: t.Any) -> dict[str, tuple[t.Callable[[t.Any], t.Any], str, int]]:
    service, system_class = "Msvm_ReplicationService", "Msvm_ComputerSystem"
    vm = wire.epr(CreationClassName=system_class, Name=VM)
    get, enumerate_ = f"{wire.NS['x']}/Get", f"{wire.NS['n']}/Enumerate"

    def revert(arguments: str, **options: t.Any) -> t.Callable[[t.Any], t.Any]:
        return lambda client: client.invoke(service, "RevertFailover", arguments, **options)

    def send(*arguments: t.Any, **options: t.Any) -> t.Callable[[t.Any], t.Any]:
        return lambda client: client.post(wire.envelope(*arguments, **options))

    parameter = f"<p:ComputerSystem>{vm}</p:ComputerSystem>"
    wrapped = f"<p:ComputerSystem><a:EndpointReference>{vm}</a:EndpointReference></p:ComputerSystem>"
    more = f"<p:ComputerSystem>{vm}<a:Action>x</a:Action></p:ComputerSystem>"
    foreign = f'<p:ComputerSystem xmlns:p="{wire.V2}/Other">{vm}</p:ComputerSystem>'
    tree = f"{parameter}<p:ReplicationSettingData><INSTANCE/></p:ReplicationSettingData>"
    swapped = f"<p:ReplicationSettingData>x</p:ReplicationSettingData>{parameter}"
    schema, parameters, unreachable = "w:SchemaValidationError", "w:InternalError", "a:DestinationUnreachable"
    return {
        "EPR wrapper": (revert(wrapped), schema, 0x80338041),
        "EPR with more": (revert(more), schema, 0x80338041),
        "no selector": (revert(parameter, keys={}), parameters, 0x8004102F),
        "foreign selector": (revert(parameter, keys={"ElementName": "x"}), "w:InvalidSelectors", 0x8033805B),
        "namespace of _INPUT": (revert(parameter, namespace=wire.V2), schema, 0x80338041),
        "namespace of a parameter": (revert(foreign), schema, 0x80338041),
        "element tree in a string": (
            lambda client: client.invoke(service, "ReverseReplicationRelationship", tree), schema, 0x80338041,
        ),
        "parameter order": (
            lambda client: client.invoke(service, "ReverseReplicationRelationship", swapped), schema, 0x80338041,
        ),
        "parameter twice": (revert(parameter * 2), schema, 0x80338041),
        "unknown method": (lambda client: client.invoke(service, "Undo", ""), parameters, 0x8004102F),
        "action of another class": (
            revert(parameter, action=f"{wire.V2}/{system_class}/RevertFailover"), "a:ActionNotSupported", 0x80338001,
        ),
        "no number": (
            lambda client: client.invoke(
                system_class, "RequestStateChange", "<p:RequestedState>off</p:RequestedState>", keys={"Name": VM}
            ),
            parameters, 0x8004102F,
        ),
        "empty body": (send(enumerate_, f"{wire.V2}/*"), schema, 0x80338041),
        "no such instance": (lambda client: client.get(system_class, Name="none"), unreachable, 0x80338000),
        "no such class": (lambda client: client.enumerate("SELECT * FROM No_Class"), unreachable, 0x80338000),
        "Get without selectors": (lambda client: client.get(system_class), "w:InvalidSelectors", 0x8033805B),
        "Get with another property": (
            lambda client: client.get(system_class, ElementName="vm"), "w:InvalidSelectors", 0x8033805B,
        ),
        "another namespace": (
            send(get, wire.V2.replace("virtualization/v2", "cimv2") + "/Win32_Process",
                 header=wire.selectors(Handle="1")), unreachable, 0x80338000,
        ),
        "unknown resource": (
            send(get, "http://schemas.microsoft.com/wbem/wsman/1/config"), unreachable, 0x8033803B,
        ),
        "PowerShell": (
            send(f"{wire.NS['x']}/Create", "http://schemas.microsoft.com/powershell/Microsoft.PowerShell"),
            unreachable, 0x8033803B,
        ),
        "unknown action": (
            send(f"{wire.NS['x']}/Put", f"{wire.V2}/{system_class}"), "a:ActionNotSupported", 0x80338001,
        ),
        "bad WQL": (lambda client: client.enumerate("SELECT FROM"), "n:CannotProcessFilter", 0x8033801A),
        "envelope below 8192": (
            send(get, f"{wire.V2}/{system_class}", header=wire.selectors(Name=VM), size=8191),
            "w:EncodingLimit", 0x80338011,
        ),
        "mustUnderstand": (
            send(get, f"{wire.V2}/{system_class}", header='<w:Strange s:mustUnderstand="true"/>'), "", 0x80338041,
        ),
        "no action": (send("", f"{wire.V2}/{system_class}"), "a:MessageInformationHeaderRequired", 0x80338041),
        "no XML": (lambda client: client.post("not <xml"), schema, 0x80338041),
        "no envelope": (lambda client: client.post("<x/>"), schema, 0x80338041),
        "DTD": (
            lambda client: client.post('<!DOCTYPE x [<!ENTITY e "e">]>' + wire.envelope(get, f"{wire.V2}/x")),
            schema, 0x80338041,
        ),
    }  # fmt: skip


REFUSED = [
    "EPR wrapper", "EPR with more", "no selector", "foreign selector", "namespace of _INPUT",
    "namespace of a parameter", "element tree in a string", "parameter order", "parameter twice", "unknown method",
    "action of another class",
    "no number", "empty body", "no such instance", "no such class", "Get without selectors",
    "Get with another property", "another namespace", "unknown resource", "PowerShell", "unknown action", "bad WQL",
    "envelope below 8192", "mustUnderstand", "no action", "no XML", "no envelope", "DTD",
]  # fmt: skip


@pytest.mark.parametrize("mistake", REFUSED)
def test_a_mistake_is_refused_and_nothing_runs(tiny: t.Any, wire: t.Any, mistake: str) -> None:
    refusals = _refusals(wire)
    assert set(refusals) == set(REFUSED)
    send, subcode, code = refusals[mistake]
    ran: list[object] = []

    def run(arguments: object) -> tuple[int, dict[str, t.Any]]:
        ran.append(arguments)
        return 0, {}

    client = tiny(
        SERVICE, wire.system(VM), RevertFailover=run, ReverseReplicationRelationship=run, RequestStateChange=run
    )
    answer = send(client)
    assert answer.fault == (subcode, code)
    assert not ran


def test_a_cimnamespace_selector_is_passed_over(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(wire.system(VM, ElementName="vm"))
    assert names(client.get("Msvm_ComputerSystem", Name=VM, __cimnamespace="root/virtualization/v2")) == ["vm"]


# --- faults --------------------------------------------------------------------------------------------


def failing(wire: t.Any, error: Exception, **world: t.Any) -> t.Any:
    def fail(arguments: object) -> t.NoReturn:
        raise error

    return {"RevertFailover": fail, **world}


def test_shape_a_is_winrm_itself(tiny: t.Any, wire: t.Any) -> None:
    answer = wire.revert(tiny(SERVICE, **failing(wire, AccessDenied("no"))), VM)
    assert answer.fault == ("w:AccessDenied", 5)
    fault = answer.find("s:Body/s:Fault/s:Detail/f:WSManFault")
    assert fault.get("Machine") == "HV01"
    assert fault.findtext("f:Message", "", wire.NS) == answer.text("s:Body/s:Fault/s:Reason/s:Text")


def test_shape_b_holds_the_provider_and_its_words(tiny: t.Any, wire: t.Any) -> None:
    answer = tiny().get("Msvm_ComputerSystem", Name="gone")
    assert answer.text("s:Body/s:Fault/s:Detail/w:FaultDetail").endswith("/faultDetail/InvalidResourceURI")
    inner = answer.find("s:Body/s:Fault/s:Detail/f:WSManFault/f:Message/f:ProviderFault/f:WSManFault")
    assert inner.get("Code") == "2150858752"
    assert answer.text(".//f:ProviderFault/f:ExtendedError/status:__ExtendedStatus/status:Operation") == "GetObject"
    assert "gone" in answer.text(".//status:ParameterInfo")


def test_shape_c_is_an_error_object(tiny: t.Any, wire: t.Any) -> None:
    client = tiny()
    client.lab.fault(do="quota")
    answer = client.enumerate()
    assert answer.fault == ("w:InternalError", 0x803381A6)
    error = answer.find("s:Body/s:Fault/s:Detail/error:MSFT_WmiError")
    assert error.get(f"{{{wire.NS['b']}}}IsCIM_Error") == "true"
    assert error.findtext("error:MessageID", "", wire.NS) == "HRESULT 0x803381a6"


@pytest.mark.parametrize(
    ("locale", "word"), [("en-US", "not allowed"), ("de-DE", "nicht erlaubt"), ("ja-JP", "許可"), ("zh-TW", "不能")]
)
def test_texts_are_in_the_host_s_language(tiny: t.Any, wire: t.Any, locale: str, word: str) -> None:
    answer = wire.revert(tiny(SERVICE, **failing(wire, AccessDenied("no"), locale=locale)), VM)
    text = answer.find("s:Body/s:Fault/s:Reason/s:Text")
    assert word in (text.text or "")
    assert text.get("{http://www.w3.org/XML/1998/namespace}lang") == locale


def test_a_stopped_service_is_a_provider_fault(tiny: t.Any, wire: t.Any) -> None:
    answer = wire.revert(tiny(SERVICE, **failing(wire, Unavailable("stopped"))), VM)
    assert answer.fault == ("w:InternalError", 0x80041013)


def test_a_defect_of_the_lab_is_a_fault_that_its_owner_hears_of(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(SERVICE, **failing(wire, KeyError("oops")))
    assert wire.revert(client, VM).fault[0] == "w:InternalError"
    errors = client.lab.hosts["HV01"].errors
    assert len(errors) == 1
    assert "oops" in errors[0]
    errors.clear()


# --- HTTP ----------------------------------------------------------------------------------------------


def test_only_post_to_wsman(tiny: t.Any, wire: t.Any) -> None:
    client = tiny()
    assert client.session.get(client.url, timeout=5).status_code == 405
    assert client.session.post(client.url + "/x", timeout=5).status_code == 404


def test_without_credentials_the_schemes_are_offered(tiny: t.Any, wire: t.Any) -> None:
    client = tiny()
    refused = client.session.post(client.url, timeout=5)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == 'Negotiate, Basic realm="WSMAN"'
    assert refused.headers["Content-Length"] == "0"


@pytest.mark.parametrize("password", ["", "wrong", "se cret-u"])
def test_a_wrong_password_is_401(tiny: t.Any, wire: t.Any, password: str) -> None:
    client = tiny()
    client.auth = (wire.USER, password)
    assert client.enumerate().status == 401
    assert client.lab.hosts["HV01"].counters.soap == {}


@pytest.mark.parametrize("user", ["operator", "OPERATOR", "LAB\\operator", "HV01\\operator", "operator@lab.example"])
def test_a_user_by_every_name(tiny: t.Any, wire: t.Any, user: str) -> None:
    client = tiny()
    client.auth = (user, wire.PASSWORD.encode())
    assert client.enumerate().status == 200


@pytest.mark.parametrize("user", ["OTHER\\operator", "operator@else.where", "operato"])
def test_no_user_of_this_host(tiny: t.Any, wire: t.Any, user: str) -> None:
    client = tiny()
    client.auth = (user, wire.PASSWORD.encode())
    assert client.enumerate().status == 401


def test_basic_over_http_needs_the_setting_that_allows_it(tiny: t.Any, wire: t.Any) -> None:
    client = tiny(settings={"allow_unencrypted": False})
    refused = client.enumerate()
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"] == "Negotiate"
