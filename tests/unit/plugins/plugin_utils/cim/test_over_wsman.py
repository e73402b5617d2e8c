# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The session over WS-Management: what a list of steps becomes on the wire, and what its answers are.

Below the session stands a carrier that hands out bytes; everything above it is the real thing.
"""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import over_wsman
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.carriers import Dropped
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.over_wsman import WsManSession, open_session
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Answer,
    Call,
    CimError,
    CimSession,
    Failed,
    Get,
    Guard,
    GuardResult,
    Instance,
    Kind,
    MethodCall,
    MethodResult,
    Query,
    Reference,
    Sent,
    Skipped,
    Step,
    Wait,
    WaitResult,
)
from ansible_collections.hyperv.replica.tests.unit.plugins.plugin_utils.cim.helpers import (
    NO_SUCH_OBJECT,
    Message,
    Reply,
    ScriptedCarrier,
    fault,
    instance,
    job,
    output,
    page,
)

VM = Reference.of("Msvm_ComputerSystem", CreationClassName="Msvm_ComputerSystem", Name="vm-1")
JOB = Reference.of("Msvm_ConcreteJob", InstanceID="job-1")
SERVICE = Reference.of("Msvm_ReplicationService", Name="replicasvc", SystemName="HV01")
ONLY_SERVICE = Reference("Msvm_ReplicationService", ())
VM_IN_5 = instance("Msvm_ComputerSystem", CreationClassName="Msvm_ComputerSystem", Name="vm-1", ReplicationState=5)
VM_IN_3 = VM_IN_5.replace(">5<", ">3<")
SERVICE_FOUND = instance(
    "Msvm_ReplicationService",
    CreationClassName="Msvm_ReplicationService",
    Name="replicasvc",
    SystemCreationClassName="Msvm_ComputerSystem",
    SystemName="HV01",
)
LOST = CimError(Kind.CONNECTION, "lost", sent=Sent.MAYBE)


def dropped() -> Dropped:
    return Dropped(Kind.CONNECTION, "the kept connection broke")


def revert(chain: str, service: Reference = SERVICE) -> Call:
    return Call(chain, MethodCall(service, "RevertFailover", (("ComputerSystem", VM),)))


def guard(chain: str, **expected: tuple[t.Any, ...]) -> Guard:
    return Guard(chain, VM, tuple(expected.items()) or (("ReplicationState", (5,)),))


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def session(*replies: Reply) -> tuple[WsManSession, ScriptedCarrier, Clock]:
    carrier = ScriptedCarrier(*replies)
    clock = Clock()
    return WsManSession(carrier, sleep=clock.sleep, clock=clock), carrier, clock


def run(steps: t.Sequence[Step], *replies: Reply, stop_on_error: bool = False) -> tuple[list[Answer], ScriptedCarrier]:
    host, carrier, _clock = session(*replies)
    answers = host.run(steps, stop_on_error=stop_on_error)
    assert carrier.replies == []
    assert len(answers) == len(steps)
    return answers, carrier


def error_of(answer: Answer) -> CimError:
    assert isinstance(answer, Failed)
    return answer.error


def shapes(answers: t.Iterable[Answer]) -> list[str]:
    return [type(answer).__name__ for answer in answers]


# --- reads -----------------------------------------------------------------------------------------


def test_a_query_is_pulled_to_its_end_with_the_newest_context() -> None:
    (found,), carrier = run(
        [Query("SELECT * FROM Msvm_ConcreteJob")],
        page(job("a"), context="c1"),
        page(job("b"), job("c"), context="c2"),
        page(),
    )
    assert isinstance(found, tuple)
    assert [one.get("InstanceID") for one in found] == ["a", "b", "c"]
    assert carrier.operations == ["Enumerate", "Pull", "Pull"]
    contexts = [message.one("<n:EnumerationContext>(.*?)</n:EnumerationContext>") for message in carrier.messages]
    assert contexts == ["", "c1", "c2"]
    assert all("<n:MaxElements>1000</n:MaxElements>" in message.body for message in carrier.messages[1:])


def test_every_message_has_an_id_of_its_own_and_the_time_the_host_may_take() -> None:
    carrier = ScriptedCarrier(page(context="c1"), page())
    WsManSession(carrier, operation_timeout=17).run([Query("SELECT * FROM Msvm_ConcreteJob")])
    first, second = carrier.messages
    assert first.id != second.id
    assert all("<w:OperationTimeout>PT17S<" in message.text for message in carrier.messages)
    assert all(f"<a:To>{carrier.address}<" in message.text for message in carrier.messages)


def test_an_object_that_is_not_there_is_none_and_a_class_that_is_not_there_an_error() -> None:
    (here, gone, no_class), _carrier = run(
        [Get(VM), Get(VM), Get(VM)], VM_IN_5, NO_SUCH_OBJECT, fault("w:InternalError", 0x80041010)
    )
    assert isinstance(here, Instance)
    assert here.reference == VM
    assert gone is None
    assert error_of(no_class).kind is Kind.NOT_FOUND


def test_a_query_that_cannot_be_read_to_its_end_is_released() -> None:
    for broken in (b"half a p", fault("w:TimedOut"), page().replace(b"EndOfSequence", b"End")):
        (found,), carrier = run([Query("SELECT * FROM Msvm_ConcreteJob")], page(job("a"), context="c1"), broken, "")
        assert error_of(found).kind in (Kind.PROTOCOL, Kind.TIMED_OUT)
        assert carrier.operations == ["Enumerate", "Pull", "Release"]
        assert carrier.messages[2].one("<n:EnumerationContext>(.*?)<") == "c1"


def test_what_releasing_says_does_not_hide_why() -> None:
    (found,), _carrier = run(
        [Query("SELECT * FROM Msvm_ConcreteJob")], page(context="c1"), b"half a p", fault("w:AccessDenied", 5)
    )
    assert "not well-formed" in error_of(found).message


def test_nothing_is_released_over_a_connection_that_is_gone() -> None:
    (found,), carrier = run([Query("SELECT * FROM Msvm_ConcreteJob")], page(context="c1"), LOST)
    assert error_of(found) is LOST
    assert carrier.operations == ["Enumerate", "Pull"]


def test_an_enumeration_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(over_wsman, "MAX_PARTS", 5)
    (found,), carrier = run([Query("SELECT * FROM Msvm_ConcreteJob")], *[page(job("a"), context="c")] * 3, "")
    assert error_of(found).kind is Kind.PROTOCOL
    assert "does not end: 6 pages and instances" in error_of(found).message
    assert carrier.operations == ["Enumerate", "Pull", "Pull", "Release"]


# --- broken connections ----------------------------------------------------------------------------


def test_a_read_whose_kept_connection_broke_is_repeated_once() -> None:
    (found, got, held), carrier = run(
        [Query("SELECT * FROM Msvm_ConcreteJob"), Get(VM), guard("a")],
        *(dropped(), page(job("a"))),
        *(dropped(), VM_IN_5),
        *(dropped(), VM_IN_5),
    )
    assert shapes([found, got, held]) == ["tuple", "Instance", "GuardResult"]
    assert carrier.operations == ["Enumerate", "Enumerate", "Get", "Get", "Get", "Get"]


def test_a_query_begins_anew_when_a_page_was_lost() -> None:
    # The context may have moved on with the lost answer.
    (found,), carrier = run(
        [Query("SELECT * FROM Msvm_ConcreteJob")],
        *(page(job("a"), context="c1"), dropped()),
        *(page(job("a"), context="c2"), page(job("b"))),
    )
    assert isinstance(found, tuple)
    assert [one.get("InstanceID") for one in found] == ["a", "b"]
    assert carrier.operations == ["Enumerate", "Pull", "Enumerate", "Pull"]


def test_a_second_break_is_an_error() -> None:
    (got, rest), carrier = run([Get(VM), Get(VM)], dropped(), dropped())
    assert error_of(got).kind is Kind.CONNECTION
    assert rest == Skipped()
    assert carrier.operations == ["Get", "Get"]


@pytest.mark.parametrize(
    "reply",
    [dropped(), LOST, b"half an ans", b"<html></html>", fault("w:TimedOut", 0x80338029), fault(), output("x")],
)
def test_a_call_is_sent_once_whatever_happens(reply: Reply) -> None:
    (called,), carrier = run([revert("a")], reply)
    assert isinstance(called, Failed)
    assert [(message.operation, message.changes) for message in carrier.messages] == [("RevertFailover", True)]


def test_an_answer_that_cannot_be_read_says_that_the_call_may_have_run() -> None:
    for reply in (b"half an ans", b"<html></html>", output("x"), fault("w:TimedOut"), fault()):
        (called,), _carrier = run([revert("a")], reply)
        assert error_of(called).sent is Sent.MAYBE
    for reply in (fault("w:AccessDenied", 5), fault("w:SchemaValidationError"), NO_SUCH_OBJECT):
        (called,), _carrier = run([revert("a")], reply)
        assert error_of(called).sent is Sent.NO


def test_reads_say_that_they_change_nothing() -> None:
    _answers, carrier = run([Query("SELECT * FROM Msvm_ConcreteJob"), Get(VM), guard("a")], page(), VM_IN_5, VM_IN_5)
    assert [message.changes for message in carrier.messages] == [False, False, False]


def test_after_an_answer_out_of_turn_the_connection_is_a_new_one() -> None:
    _answers, carrier = run([Get(VM), Get(VM)], b"half an ans", VM_IN_5)
    assert carrier.resets == 1
    _answers, carrier = run([Get(VM), Get(VM)], fault("w:AccessDenied", 5), VM_IN_5)
    assert carrier.resets == 0


def test_a_connection_that_stood_idle_is_not_trusted() -> None:
    host, carrier, clock = session(VM_IN_5, VM_IN_5, VM_IN_5)
    host.run([Get(VM)])
    clock.now += over_wsman.MAX_IDLE
    host.run([Get(VM)])
    assert carrier.resets == 0
    clock.now += over_wsman.MAX_IDLE + 1
    host.run([Get(VM)])
    assert carrier.resets == 1


# --- chains ----------------------------------------------------------------------------------------


def test_a_guard_reads_and_lets_the_call_through() -> None:
    (held, called), carrier = run([guard("a"), revert("a")], VM_IN_5, output(4096, "job-1"))
    assert isinstance(held, GuardResult)
    assert held.held
    assert held.instance is not None
    assert held.instance.get("ReplicationState") == 5
    assert called == MethodResult(4096, {"Job": JOB})
    assert carrier.operations == ["Get", "RevertFailover"]


@pytest.mark.parametrize(
    ("reply", "expected", "held"),
    [
        (VM_IN_5, {"ReplicationState": (4, 5)}, True),
        (VM_IN_5, {"ReplicationState": (5,), "Name": ("vm-1",)}, True),
        (VM_IN_5, {"ReplicationState": (5,), "Name": ("vm-2",)}, False),
        (VM_IN_3, {"ReplicationState": (5,)}, False),
        (VM_IN_5, {"ReplicationMode": (2,)}, False),
        # Not in the answer is not NULL.
        (VM_IN_5, {"ReplicationMode": (None,)}, False),
        (instance("Msvm_ComputerSystem", ReplicationMode=None), {"ReplicationMode": (None,)}, True),
        (NO_SUCH_OBJECT, {"ReplicationState": (5,)}, False),
    ],
)
def test_a_guard_holds_only_on_what_was_read(reply: str, expected: dict[str, tuple[t.Any, ...]], held: bool) -> None:
    (answer,), _carrier = run([guard("a", **expected)], reply)
    assert isinstance(answer, GuardResult)
    assert answer.held is held
    assert (answer.instance is None) is (reply is NO_SUCH_OBJECT)


ENDS_A_CHAIN: dict[str, Reply] = {
    "a guard that does not hold": VM_IN_3,
    "a guard whose object is gone": NO_SUCH_OBJECT,
    "a guard that could not be read": fault("w:AccessDenied", 5),
}


@pytest.mark.parametrize("name", sorted(ENDS_A_CHAIN))
def test_a_chain_ends_and_the_others_go_on(name: str) -> None:
    answers, carrier = run(
        [guard("a"), revert("a"), guard("a"), guard("b"), revert("b")],
        *(ENDS_A_CHAIN[name], VM_IN_5, output(0)),
    )
    assert [answers[1], answers[2]] == [Skipped(), Skipped()]
    assert answers[4] == MethodResult(0)
    assert carrier.operations == ["Get", "Get", "RevertFailover"]


@pytest.mark.parametrize("reply", [output(32775), output(1), fault("w:AccessDenied", 5), fault()])
def test_a_call_that_was_not_accepted_ends_its_chain(reply: Reply) -> None:
    answers, _carrier = run([revert("a"), revert("a"), revert("b"), Get(VM)], reply, output(0), VM_IN_5)
    assert answers[1] == Skipped()
    assert answers[2] == MethodResult(0)
    assert isinstance(answers[3], Instance)


@pytest.mark.parametrize("reply", [output(0), output(4096, "job-1")])
def test_a_call_that_was_accepted_does_not(reply: Reply) -> None:
    answers, _carrier = run([revert("a"), revert("a")], reply, output(0))
    assert shapes(answers) == ["MethodResult", "MethodResult"]


def test_a_read_that_failed_ends_nothing() -> None:
    answers, _carrier = run([Get(VM), guard("a"), revert("a")], fault("w:AccessDenied", 5), VM_IN_5, output(0))
    assert shapes(answers) == ["Failed", "GuardResult", "MethodResult"]


@pytest.mark.parametrize("reply", [VM_IN_3, fault("w:AccessDenied", 5)])
def test_asked_so_the_end_of_a_chain_is_the_end_of_the_list(reply: Reply) -> None:
    answers, _carrier = run([guard("a"), revert("a"), guard("b"), Get(VM)], reply, stop_on_error=True)
    assert answers[1:] == [Skipped(), Skipped(), Skipped()]


def test_asked_so_a_call_that_was_not_accepted_is_the_end_of_the_list() -> None:
    answers, _carrier = run([revert("a"), revert("b")], output(32775), stop_on_error=True)
    assert answers == [MethodResult(32775), Skipped()]


@pytest.mark.parametrize("kind", [Kind.CONNECTION, Kind.AUTHENTICATION, Kind.CERTIFICATE, Kind.UNSUPPORTED])
def test_nothing_is_sent_after_the_connection_is_gone(kind: Kind) -> None:
    gone = CimError(kind, "gone", sent=Sent.MAYBE)
    wait = Wait((JOB,), 0, 5)
    answers, carrier = run([revert("a"), revert("b"), Get(VM), guard("c"), wait], gone)
    assert error_of(answers[0]) is gone
    assert answers[1:] == [Skipped()] * 4
    assert len(carrier.messages) == 1


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in over_wsman._GONE])
def test_other_errors_leave_the_connection_alone(kind: Kind) -> None:
    answers, _carrier = run([revert("a"), revert("b")], CimError(kind, "no"), output(0))
    assert shapes(answers) == ["Failed", "MethodResult"]


def test_the_next_list_may_find_the_connection_again() -> None:
    host, _carrier, _clock = session(LOST, VM_IN_5)
    assert shapes(host.run([revert("a"), Get(VM)])) == ["Failed", "Skipped"]
    assert shapes(host.run([Get(VM)])) == ["Instance"]


def test_a_call_outside_of_the_table_is_not_sent() -> None:
    (called, other), carrier = run([Call("a", MethodCall(SERVICE, "StopService")), revert("b")], output(0))
    assert (error_of(called).kind, error_of(called).sent) == (Kind.INVALID, Sent.NO)
    assert other == MethodResult(0)
    assert carrier.operations == ["RevertFailover"]


# --- the only instance of a class ------------------------------------------------------------------


def test_a_service_is_asked_for_once_a_session() -> None:
    host, carrier, _clock = session(page(SERVICE_FOUND), output(0), output(0), output(0))
    host.run([revert("a", ONLY_SERVICE), revert("b", ONLY_SERVICE)])
    host.run([revert("c", ONLY_SERVICE)])
    assert carrier.operations == ["Enumerate", "RevertFailover", "RevertFailover", "RevertFailover"]
    assert "SELECT * FROM Msvm_ReplicationService<" in carrier.messages[0].text
    assert carrier.messages[1].selectors == {
        "CreationClassName": "Msvm_ReplicationService",
        "Name": "replicasvc",
        "SystemCreationClassName": "Msvm_ComputerSystem",
        "SystemName": "HV01",
    }


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (page(), Kind.NOT_FOUND),
        (page(SERVICE_FOUND, SERVICE_FOUND), Kind.PROTOCOL),
        (page(instance("Msvm_ReplicationService", Name="replicasvc")), Kind.PROTOCOL),
        (fault("w:AccessDenied", 5), Kind.ACCESS_DENIED),
    ],
)
def test_without_its_service_a_call_is_not_sent(reply: Reply, kind: Kind) -> None:
    (called,), carrier = run([revert("a", ONLY_SERVICE)], reply)
    assert (error_of(called).kind, error_of(called).sent) == (kind, Sent.NO)
    assert carrier.operations == ["Enumerate"]


# --- waiting ---------------------------------------------------------------------------------------


def wait(seconds: float = 0, *jobs: str, others: str = "", poll: float = 5) -> Wait:
    references = tuple(Reference.of("Msvm_ConcreteJob", InstanceID=name) for name in jobs)
    return Wait(references, seconds, poll, others)


def waited(step: Wait, *replies: Reply) -> tuple[WaitResult, ScriptedCarrier, Clock]:
    host, carrier, clock = session(*replies)
    (answer,) = host.run([step])
    assert isinstance(answer, WaitResult)
    assert carrier.replies == []
    return answer, carrier, clock


def states(result: WaitResult) -> list[t.Any]:
    return [(one.get("InstanceID"), one.get("JobState")) for one in result.jobs]


def test_one_tick_sleeps_once_and_asks_once_for_all_jobs() -> None:
    result, carrier, clock = waited(wait(0, "a", "b"), page(job("b", 4), job("a", 3)))
    assert states(result) == [("a", 3), ("b", 4)]
    assert (result.gone, result.others) == ((), ())
    assert clock.slept == [5]
    assert carrier.operations == ["Enumerate"]
    assert 'InstanceID = "a" OR InstanceID = "b"' in carrier.messages[0].text


def test_a_wait_ends_when_a_job_ends() -> None:
    result, _carrier, clock = waited(
        wait(60, "a", "b"),
        page(job("a"), job("b")),
        page(job("a"), job("b")),
        page(job("a"), job("b", 7)),
    )
    assert states(result) == [("a", 4), ("b", 7)]
    assert clock.slept == [5, 5, 5]


@pytest.mark.parametrize("state", [2, 3, 4, 5, 6])
def test_these_states_run_on(state: int) -> None:
    result, _carrier, clock = waited(wait(8, "a"), page(job("a", state)), page(job("a", state)))
    assert states(result) == [("a", state)]
    assert clock.slept == [5, 3]


@pytest.mark.parametrize("state", [0, 1, 7, 8, 9, 10, 11, 12, 32768, 65535])
def test_every_other_state_ends_the_wait(state: int) -> None:
    result, _carrier, clock = waited(wait(60, "a"), page(job("a", state)))
    assert states(result) == [("a", state)]
    assert clock.slept == [5]


def test_a_job_without_a_state_ends_the_wait() -> None:
    result, _carrier, _clock = waited(wait(60, "a"), page(instance("Msvm_ConcreteJob", InstanceID="a", JobState=None)))
    assert states(result) == [("a", None)]


def test_a_job_that_no_list_shows_is_fetched_by_name() -> None:
    result, carrier, _clock = waited(wait(0, "a", "b"), page(job("b")), job("a", 7))
    assert states(result) == [("a", 7), ("b", 4)]
    assert carrier.operations == ["Enumerate", "Get"]


def test_a_job_that_is_nowhere_is_gone_and_ends_the_wait() -> None:
    result, carrier, _clock = waited(wait(60, "a", "b"), page(job("b")), NO_SUCH_OBJECT)
    assert states(result) == [("b", 4)]
    assert result.gone == (Reference.of("Msvm_ConcreteJob", InstanceID="a"),)
    assert carrier.operations == ["Enumerate", "Get"]


def test_jobs_are_told_apart_by_their_keys_without_regard_to_case_or_subclass() -> None:
    result, carrier, _clock = waited(wait(0, "ABC"), page(job("abc").replace("Msvm_ConcreteJob", "Msvm_StorageJob")))
    assert states(result) == [("abc", 4)]
    assert carrier.operations == ["Enumerate"]


def test_other_jobs_are_shown_beside_ours() -> None:
    result, carrier, _clock = waited(wait(0, "a", others="JobType = 98"), page(job("x", 7), job("a"), job("y")))
    assert states(result) == [("a", 4)]
    assert [one.get("InstanceID") for one in result.others] == ["x", "y"]
    assert 'InstanceID = "a" OR (JobType = 98)' in carrier.messages[0].text


def test_the_jobs_of_calls_in_the_same_list_are_watched() -> None:
    answers, carrier = run(
        [revert("a"), revert("b"), revert("c"), wait(0, "old")],
        *(output(4096, "job-a"), output(0), output(4096, "job-c")),
        page(job("old"), job("job-a"), job("job-c", 7)),
    )
    result = answers[3]
    assert isinstance(result, WaitResult)
    assert states(result) == [("old", 4), ("job-a", 4), ("job-c", 7)]
    assert carrier.operations == ["RevertFailover"] * 3 + ["Enumerate"]


def test_with_nothing_to_watch_nothing_is_asked() -> None:
    answers, carrier = run([revert("a"), wait(60, others="JobType = 98")], output(32775))
    assert answers[1] == WaitResult(())
    assert carrier.operations == ["RevertFailover"]


def test_a_job_named_twice_is_watched_once() -> None:
    answers, _carrier = run([revert("a"), wait(0, "job-1")], output(4096, "JOB-1"), page(job("job-1")))
    result = answers[1]
    assert isinstance(result, WaitResult)
    assert states(result) == [("job-1", 4)]


def test_a_query_for_many_jobs_asks_for_all_of_them() -> None:
    names = [f"job-{number}" for number in range(200)]
    result, carrier, _clock = waited(wait(0, *names), page(*map(job, names), job("foreign")))
    assert len(result.jobs) == 200
    assert len(result.others) == 1
    assert "WHERE" not in carrier.messages[0].text


def test_a_lost_connection_ends_the_wait_as_an_error() -> None:
    host, carrier, clock = session(page(job("a")), LOST)
    (answer,) = host.run([wait(60, "a")])
    assert error_of(answer) is LOST
    assert clock.slept == [5, 5]
    assert carrier.operations == ["Enumerate", "Enumerate"]


# --- opening and closing ---------------------------------------------------------------------------


class Connection:
    """As much of a connection plugin as is looked at before anything else."""

    def __init__(self, transport: str | None, **options: object) -> None:
        if transport is not None:
            self.transport = transport
        self.options = options

    def get_option(self, name: str) -> object:
        return self.options[name]


@pytest.mark.parametrize("transport", ["ssh", "local", "paramiko", "smart", None])
def test_only_winrm_and_psrp_can_carry_it(transport: str | None) -> None:
    with pytest.raises(CimError) as caught:
        open_session(Connection(transport), become=False)
    assert caught.value.kind is Kind.UNSUPPORTED
    assert f"this one is {transport}" in caught.value.message
    assert "ansible_connection" in caught.value.hint


@pytest.mark.parametrize("transport", ["winrm", "psrp"])
def test_become_is_refused(transport: str) -> None:
    with pytest.raises(CimError) as caught:
        open_session(Connection(transport), become=True)
    assert caught.value.kind is Kind.UNSUPPORTED
    assert caught.value.message.startswith("become is not possible")


def test_a_session_configuration_is_not_gone_around() -> None:
    with pytest.raises(CimError) as caught:
        open_session(Connection("psrp", configuration_name="JEA.Operators"), become=False)
    assert caught.value.kind is Kind.UNSUPPORTED
    assert "JEA.Operators" in caught.value.message


def test_closing_gives_the_connection_back() -> None:
    host, carrier, _clock = session()
    host.close()
    assert carrier.closed
    assert (host.transport, host.waiting_slice) == ("wsman", 0.0)


def test_the_session_is_what_the_domain_expects() -> None:
    host: CimSession = session()[0]
    assert host.run([]) == []


def test_a_message_is_taken_apart_by_the_helper() -> None:
    # The tests above rest on it.
    seen: list[Message] = []

    def reply(message: Message) -> str:
        seen.append(message)
        return VM_IN_5

    run([Get(VM)], reply)
    assert (seen[0].operation, seen[0].selectors, seen[0].body) == ("Get", dict(VM.keys), "")
