# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wire faults: each reaches the client as it should, and the world knows or does not know of the call."""

from __future__ import annotations

import threading
import time
import typing as t

import defusedxml
import defusedxml.ElementTree
import pytest
import requests
from replica_lab.faults import EFFECTS, Do, Effect, Fault, FaultError, FaultList, Subject

GONE = (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)


@pytest.fixture
def night(lab: t.Any, wire: t.Any) -> t.Any:
    """The pair, and a client on the replica that can revert its VM."""
    running = lab("pair")
    client = wire.Raw(running, "operator", "replica-lab", "HV-REPLICA")
    client.lab, client.counters = running, running.hosts["HV-REPLICA"].counters
    client.vm = running.world.hosts["HV-REPLICA"].vms[0]
    client.revert = lambda: wire.revert(client, client.vm.id)
    return client


def reached(night: t.Any) -> int:
    """How many calls reached the world."""
    return len(night.lab.calls)


def wait_for_strike(night: t.Any, thread: threading.Thread) -> None:
    """Until the request of that thread has met its fault."""
    while thread.is_alive() and not night.counters.faults:
        time.sleep(0.005)
    assert night.counters.faults == 1


# --- connections -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("do", "calls"), [("drop_before", 0), ("drop_after", 1), ("drop_midway", 1)])
def test_a_dropped_connection(night: t.Any, do: str, calls: int) -> None:
    night.lab.fault(do=do, method="RevertFailover", times=1)
    with pytest.raises(GONE):
        night.revert()
    assert reached(night) == calls
    assert night.counters.methods == {"Msvm_ReplicationService.RevertFailover": 1}
    assert night.counters.faults == 1
    assert night.enumerate().status == 200


@pytest.mark.parametrize(("effect", "calls"), [(False, 0), (True, 1)])
def test_a_request_that_hangs_until_the_client_gives_up(night: t.Any, wire: t.Any, effect: bool, calls: int) -> None:
    night.lab.fault(do="hang", operation="Invoke", effect=effect)
    uri = f"{wire.V2}/Msvm_ReplicationService"
    message = wire.envelope(
        f"{uri}/RevertFailover", uri,
        f'<p:RevertFailover_INPUT xmlns:p="{uri}"><p:ComputerSystem>{wire.epr(Name=night.vm.id)}</p:ComputerSystem>'
        "</p:RevertFailover_INPUT>",
        wire.selectors(CreationClassName="Msvm_ReplicationService"),
    )  # fmt: skip
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(night.url, message.encode(), auth=night.auth, timeout=0.3)
    assert reached(night) == calls


def test_clearing_the_faults_lets_hanging_requests_go(night: t.Any) -> None:
    night.lab.fault(do="hang")
    ended: list[str] = []

    def ask() -> None:
        try:
            night.enumerate()
        except GONE:
            ended.append("gone")

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for_strike(night, thread)
    night.lab.clear_faults()
    thread.join(10)
    assert ended == ["gone"]
    assert night.enumerate().status == 200


@pytest.mark.parametrize("effect", [False, True])
def test_a_late_answer(night: t.Any, effect: bool) -> None:
    night.lab.fault(do="delay", seconds=0.4, method="RevertFailover", effect=effect)
    answers: list[t.Any] = []
    thread = threading.Thread(target=lambda: answers.append(night.revert()))
    thread.start()
    wait_for_strike(night, thread)
    early = night.lab.world.snapshot()["hosts"]["HV-REPLICA"]["jobs"]
    thread.join(10)
    assert len(early) == int(effect)
    assert answers[0].status == 200
    assert reached(night) == 1


def test_a_host_that_goes_away_and_comes_back(night: t.Any) -> None:
    assert night.enumerate().status == 200
    night.lab.fault(do="refuse_port", host="hv-replica")
    with pytest.raises(requests.exceptions.ConnectionError):
        night.enumerate()
    url = night.url
    night.lab.fault(do="start_port")
    assert night.lab.hosts["HV-REPLICA"].url == url
    assert night.enumerate().status == 200


@pytest.mark.parametrize(("effect", "calls"), [(False, 0), (True, 1)])
def test_a_host_that_goes_away_when_it_is_called(night: t.Any, effect: bool, calls: int) -> None:
    night.lab.fault(do="refuse_port", method="RevertFailover", effect=effect)
    assert night.enumerate().status == 200
    for _turn in range(2):
        with pytest.raises(requests.exceptions.ConnectionError):
            night.revert()
    assert reached(night) == calls
    night.lab.clear_faults()
    assert night.enumerate().status == 200


# --- answers that are none -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_status_without_soap(night: t.Any, status: int) -> None:
    night.lab.fault(do="status", status=status, body="the proxy is tired", operation="Invoke")
    answer = night.revert()
    assert answer.status == status
    assert answer.content == b"the proxy is tired"
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert reached(night) == 0


@pytest.mark.parametrize("status", [200, 500])
def test_an_html_page(night: t.Any, status: int) -> None:
    night.lab.fault(do="html", status=status)
    answer = night.revert()
    assert answer.status == status
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.content.startswith(b"<!DOCTYPE html>")
    assert reached(night) == 0


def test_a_server_that_is_no_winrm_at_all(night: t.Any, wire: t.Any) -> None:
    night.lab.fault(do="html", operation="Handshake")
    answer = requests.post(night.url, timeout=5)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")
    assert night.enumerate().status == 200  # with credentials it is a request, not a handshake


def test_half_an_answer(night: t.Any) -> None:
    night.lab.fault(do="truncate")
    answer = night.revert()
    assert answer.root is None
    assert answer.content.startswith(b"<s:Envelope")
    assert (answer.status, reached(night)) == (200, 1)


@pytest.mark.parametrize(("effect", "calls"), [(None, 1), (False, 0)])
def test_garbage(night: t.Any, effect: bool | None, calls: int) -> None:
    night.lab.fault(do="garbage", effect=effect)
    answer = night.revert()
    assert answer.root is None
    assert (answer.status, reached(night)) == (200, calls)


def test_an_answer_with_a_dtd(night: t.Any) -> None:
    night.lab.fault(do="doctype")
    content = night.revert().content
    assert content.startswith(b"<!DOCTYPE s:Envelope [<!ENTITY e0 ")
    assert b"&e8;" in content
    with pytest.raises(defusedxml.EntitiesForbidden):
        defusedxml.ElementTree.fromstring(content)
    assert reached(night) == 1


def test_a_huge_answer_that_would_be_right(night: t.Any) -> None:
    night.lab.fault(do="huge", times=1)
    answer = night.revert()
    assert len(answer.content) > 10 * 1024 * 1024
    assert answer.text(".//{*}ReturnValue") == "4096"
    night.lab.fault(do="huge", size=1000)
    assert 1000 < len(night.enumerate().content) < 20000


# --- answers that are wrong ------------------------------------------------------------------------------


def test_an_answer_to_another_request(night: t.Any) -> None:
    night.lab.fault(do="wrong_relates_to")
    answer = night.revert()
    assert answer.text("s:Header/a:RelatesTo") == "uuid:00000000-0000-0000-0000-000000000000"
    assert answer.text(".//{*}ReturnValue") == "4096"


def test_elements_twice(night: t.Any) -> None:
    night.lab.fault(do="duplicate")
    assert [one.text for one in night.revert().all(".//{*}ReturnValue")] == ["4096", "4096"]
    listed = [one.text for one in night.enumerate().all(".//w:Items/*/{*}ElementName")]
    assert listed == ["HV-REPLICA", "App 01", "App 01"]
    assert len(night.get("Msvm_ComputerSystem", Name=night.vm.id).all("s:Body/*")) == 2


def test_an_answer_without_return_value(night: t.Any) -> None:
    night.lab.fault(do="missing_return_value")
    answer = night.revert()
    assert answer.all(".//{*}Job")
    assert not answer.all(".//{*}ReturnValue")


def test_an_answer_without_job(night: t.Any) -> None:
    night.lab.fault(do="missing_job")
    answer = night.revert()
    assert answer.text(".//{*}ReturnValue") == "4096"
    assert not answer.all(".//{*}Job")


def test_a_job_in_a_wrapper(night: t.Any) -> None:
    night.lab.fault(do="job_as_epr")
    selector = night.revert().find(".//{*}Job/a:EndpointReference/a:ReferenceParameters/w:SelectorSet/w:Selector")
    assert selector.get("Name") == "InstanceID"


def test_a_job_with_a_namespace_among_its_keys(night: t.Any) -> None:
    night.lab.fault(do="job_with_cimnamespace")
    found = night.revert().all(".//{*}Job/a:ReferenceParameters/w:SelectorSet/w:Selector")
    assert [one.get("Name") for one in found] == ["__cimnamespace", "InstanceID"]


# --- SOAP faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["A", "B", "C"])
@pytest.mark.parametrize("effect", [False, True])
def test_a_fault_of_each_shape(night: t.Any, shape: str, effect: bool) -> None:
    night.lab.fault(do="fault", shape=shape, code=0x80041003, subcode="w:AccessDenied", text="Nö", effect=effect)
    answer = night.revert()
    assert answer.fault == ("w:AccessDenied", 0x80041003)
    assert answer.text("s:Body/s:Fault/s:Reason/s:Text") == "Nö"
    assert bool(answer.all(".//error:MSFT_WmiError")) == (shape == "C")
    assert bool(answer.all(".//f:ProviderFault")) == (shape == "B")
    assert reached(night) == int(effect)


@pytest.mark.parametrize(("effect", "calls"), [(None, 1), (False, 0)])
def test_a_time_out_of_the_host_s_own(night: t.Any, effect: bool | None, calls: int) -> None:
    night.lab.fault(do="timed_out", method="RevertFailover", effect=effect)
    assert night.revert().fault == ("w:TimedOut", 0x80338029)
    assert reached(night) == calls


def test_too_many_operations(night: t.Any) -> None:
    night.lab.fault(do="quota")
    assert night.revert().fault == ("w:InternalError", 0x803381A6)
    assert reached(night) == 0


# --- encrypted connections ---------------------------------------------------------------------------------

IN_PLACE_OF_AN_ANSWER = {
    "fault": {"shape": "B", "effect": True}, "timed_out": {}, "quota": {}, "garbage": {}, "truncate": {},
    "doctype": {}, "huge": {"size": 100_000}, "wrong_relates_to": {}, "status": {"status": 500, "effect": True},
}  # fmt: skip


@pytest.mark.parametrize("library", ["pypsrp-http-ntlm", "pywinrm-http-ntlm"])
@pytest.mark.parametrize("do", IN_PLACE_OF_AN_ANSWER)
def test_after_a_fault_an_encrypted_connection_still_works(lab: t.Any, wire: t.Any, library: str, do: str) -> None:
    running = lab("pair")
    client = wire.Library(library, running, "HV-REPLICA", "operator", "replica-lab")
    client.query()
    running.fault(do=do, times=1, **IN_PLACE_OF_AN_ANSWER[do])
    try:
        client.query()
    except Exception as error:
        assert not isinstance(error, AssertionError), error
    assert client.query() == ["HV-REPLICA", "App 01"]
    counters = running.hosts["HV-REPLICA"].counters
    assert (counters.plain, counters.encrypted, counters.faults, counters.connections) == (0, 3, 1, 1)
    client.close()


# --- which request is struck -----------------------------------------------------------------------------


def strikes(description: dict[str, t.Any], **subject: t.Any) -> bool:
    revert = {"class_name": "Msvm_ReplicationService", "method": "RevertFailover"}
    asked = Subject(**{"host": "HV01", "operation": "Invoke", **revert, **subject})
    return Fault.of({"do": "drop_before", **description}).matches(asked)


@pytest.mark.parametrize(
    ("description", "struck"),
    [
        ({}, True),
        ({"host": "hv01"}, True),
        ({"host": "HV02"}, False),
        ({"operation": "Invoke"}, True),
        ({"operation": "Get"}, False),
        ({"class": "msvm_replicationservice"}, True),
        ({"class": "Msvm_ConcreteJob"}, False),
        ({"method": "revertfailover"}, True),
        ({"method": "CommitFailover"}, False),
        ({"host": "HV01", "operation": "Invoke", "method": "CommitFailover"}, False),
        ({"operation": "Handshake"}, False),
    ],
)
def test_every_condition_must_hold(description: dict[str, t.Any], struck: bool) -> None:
    assert strikes(description) is struck


def test_a_handshake_is_struck_only_by_name() -> None:
    assert not strikes({}, operation="Handshake")
    assert strikes({"operation": "Handshake"}, operation="Handshake")


def test_skip_and_times_and_order() -> None:
    faults = FaultList()
    for description in ({"do": "drop_before", "skip": 1, "times": 2}, {"do": "delay", "seconds": 1, "method": "x"}):
        faults.add(Fault.of(description))
    struck = [faults.strike(Subject("HV01", "Invoke", method="x")) for _turn in range(5)]
    assert [fault and fault.do for fault in struck] == [
        Do.DELAY, Do.DROP_BEFORE, Do.DROP_BEFORE, Do.DELAY, Do.DELAY
    ]  # fmt: skip
    assert [one["left"] for one in faults.as_list()] == [0, None]
    faults.clear()
    assert faults.strike(Subject("HV01", "Invoke")) is None


TWO = {
    "name": "two",
    "hosts": {
        "HV01": {"vms": [{"name": name, "mode": "replica", "state": "failed_over"} for name in ("web", "web01")]},
    },
}


@pytest.mark.parametrize("how", ["id", "name", "braces"])
def test_only_requests_that_name_the_vm(lab: t.Any, wire: t.Any, how: str) -> None:
    running = lab(TWO)
    client = wire.Raw(running, password="replica-lab")
    web, web01 = running.world.hosts["HV01"].vms
    running.fault(do="quota", vm={"id": web.id.lower(), "name": "WEB", "braces": f"{{{web.id}}}"}[how])
    assert wire.revert(client, web01.id).status == 200
    assert wire.revert(client, web.id).status == 500
    assert client.get("Msvm_ComputerSystem", Name=web01.id).status == 200
    assert client.get("Msvm_ComputerSystem", Name=web.id).status == 500
    assert client.get("Msvm_ReplicationRelationship", InstanceID=f"Microsoft:{web.id}\\HVR\\0").status == 500
    query = "SELECT * FROM Msvm_ComputerSystem WHERE ElementName"
    assert client.enumerate(f"{query} = 'web01'").status == 200
    assert client.enumerate(f"{query} = 'Web'").status == 500
    assert client.enumerate().status == 200


def test_the_class_of_a_query_is_the_one_it_asks_for(night: t.Any) -> None:
    night.lab.fault(do="quota", **{"class": "Msvm_ConcreteJob"})
    assert night.enumerate().status == 200
    assert night.enumerate("select * from msvm_concretejob where JobState=4").status == 500


# --- how a fault is written --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("description", "says"),
    [
        ({}, "needs do"),
        ({"do": "drop"}, "did you mean 'drop_after'"),
        ({"do": "hang", "methd": "x"}, "did you mean 'method'"),
        ({"do": "hang", "skip": "1"}, "skip cannot be '1'"),
        ({"do": "hang", "times": 0}, "times is 1 or more"),
        ({"do": "hang", "skip": -1}, "0 or more"),
        ({"do": "hang", "operation": "Fetch"}, "no operation 'Fetch'"),
        ({"do": "fault", "shape": "D"}, "shape is A, B or C"),
        ({"do": "delay"}, "needs seconds"),
        ({"do": "drop_after", "effect": False}, "no choice of effect"),
        ({"do": "quota", "effect": True}, "no choice of effect"),
        ({"do": "start_port", "method": "RevertFailover"}, "takes effect at once"),
        ("hang", "a fault is a mapping"),
    ],
)
def test_a_fault_that_makes_no_sense_says_why(description: t.Any, says: str) -> None:
    with pytest.raises(FaultError, match=says):
        Fault.of(description)


@pytest.mark.parametrize(
    ("description", "says"),
    [
        ({"host": "HV99"}, "no host 'HV99': HV-REPLICA, HV-PRIMARY"),
        ({"class": "Msvm_Nothing"}, "no class"),
        ({"method": "Undo"}, "no method"),
        ({"vm": "nobody"}, "no VM"),
    ],
)
def test_a_fault_that_can_never_strike_is_refused(night: t.Any, description: dict[str, t.Any], says: str) -> None:
    with pytest.raises(FaultError, match=says):
        night.lab.fault({"do": "hang", **description})


def test_every_kind_of_fault_says_what_becomes_of_the_request() -> None:
    assert set(EFFECTS) == set(Do)
    for do, effect in EFFECTS.items():
        fault = Fault(do, seconds=1.0)
        assert fault.carried_out is (effect in (Effect.ALWAYS, Effect.YES_UNLESS_ASKED))
        assert Fault.of(fault.as_dict()) == fault


def test_faults_from_the_start(lab: t.Any, wire: t.Any) -> None:
    running = lab("pair", faults=[{"do": "quota", "host": "HV-PRIMARY"}])
    assert wire.Raw(running, "operator", "replica-lab", "HV-PRIMARY").enumerate().status == 500
    assert wire.Raw(running, "operator", "replica-lab", "HV-REPLICA").enumerate().status == 200
