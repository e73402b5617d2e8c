# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The session over PowerShell: what it asks of the module, and what it makes of each kind of result."""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import schema
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.over_powershell import (
    READ,
    PowerShellSession,
    open_session,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Answer,
    Call,
    CimError,
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
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import read

VM = Reference.of("Msvm_ComputerSystem", CreationClassName="Msvm_ComputerSystem", Name="A")
JOB = Reference.of("Msvm_ConcreteJob", InstanceID="J")
SERVICE = Reference.of("Msvm_ReplicationService")
QUERY = Query("SELECT * FROM Msvm_ComputerSystem")
GUARD = Guard("A", VM, (("EnabledState", (3,)),))
REVERT = Call("A", MethodCall(SERVICE, "RevertFailover", (("ComputerSystem", VM),)))
WAIT = Wait((JOB,), 20.0, 2.0, "JobType = 98")

# As the library has them, which need not be there.
BrokenConnection = type("ConnectionError", (OSError,), {"__module__": "requests.exceptions"})
HTTPError = type("HTTPError", (OSError,), {"__module__": "requests.exceptions"})
ReadTimeout = type("ReadTimeout", (OSError,), {"__module__": "requests.exceptions"})

Json = dict[str, t.Any]


class Module:
    """Stands for the execution of the module: hands out one result after the other, and keeps the arguments."""

    def __init__(self, *results: Json | Exception) -> None:
        self.results = list(results)
        self.arguments: list[Json] = []

    def __call__(self, arguments: Json) -> Json:
        self.arguments.append(arguments)
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def run(steps: t.Sequence[Step], *results: Json | Exception) -> list[Answer]:
    return PowerShellSession(Module(*results)).run(steps)


def answers(*each: Json) -> Json:
    return {"changed": False, "answers": list(each)}


def table(class_name: str, **properties: t.Any) -> Json:
    return {"class": class_name, "properties": list(properties), "rows": [list(properties.values())]}


def error(status: int | None = 1, **more: t.Any) -> Json:
    return {
        "error": {
            "exception": "Microsoft.Management.Infrastructure.CimException",
            "hresult": 0x80131500,
            "status": status,
            "code": None,
            "message_id": None,
            "message": "Allgemeiner Fehler",
            "sent": False,
            **more,
        }
    }


def failed(answer: Answer) -> CimError:
    assert isinstance(answer, Failed)
    return answer.error


# --- what is asked ---------------------------------------------------------------------------------


def asked(*steps: Step, stop_on_error: bool = False) -> Json:
    module = Module(answers(*({"skipped": True} for _step in steps)))
    PowerShellSession(module).run(steps, stop_on_error=stop_on_error)
    return module.arguments[0]


def test_all_steps_travel_in_one_execution() -> None:
    reference = {"class": "Msvm_ComputerSystem", "keys": {"CreationClassName": "Msvm_ComputerSystem", "Name": "A"}}
    assert asked(QUERY, Get(VM), GUARD, REVERT, WAIT)["steps"] == [
        {"do": "query", "wql": "SELECT * FROM Msvm_ComputerSystem"},
        {"do": "get", "reference": reference},
        {"do": "guard", "chain": "A", "reference": reference, "expected": {"EnabledState": [3]}},
        {
            "do": "call",
            "chain": "A",
            "target": {"class": "Msvm_ReplicationService", "keys": {}},
            "method": "RevertFailover",
            "arguments": {"ComputerSystem": reference},
        },
        {
            "do": "wait",
            "jobs": [{"class": "Msvm_ConcreteJob", "keys": {"InstanceID": "J"}}],
            "seconds": 20.0,
            "poll_interval": 2.0,
            "others": "JobType = 98",
        },
    ]


def test_nothing_to_do_starts_nothing() -> None:
    module = Module()
    assert PowerShellSession(module).run([]) == []
    assert module.arguments == []


@pytest.mark.parametrize("stop", [True, False])
def test_stop_on_error_is_handed_on(stop: bool) -> None:
    assert asked(QUERY, stop_on_error=stop)["stop_on_error"] is stop


def test_null_arguments_are_left_out_and_dates_are_those_of_cim() -> None:
    arguments = (("RequestedState", 3), ("TimeoutPeriod", None))
    assert asked(Call("A", MethodCall(VM, "RequestStateChange", arguments)))["steps"][0]["arguments"] == {
        "RequestedState": 3
    }
    zone = timezone(timedelta(hours=2))
    expected = (
        ("LastReplicationTime", (datetime(2026, 10, 8, 17, 15, 36, 684240, zone), None)),
        ("ElapsedTime", (timedelta(minutes=5),)),
    )
    assert asked(Guard("A", VM, expected))["steps"][0]["expected"] == {
        "LastReplicationTime": ["20261008151536.684240+000", None],
        "ElapsedTime": ["00000000000500.000000:000"],
    }


def test_a_date_without_a_zone_is_left_to_the_module_to_refuse() -> None:
    call = Call("A", MethodCall(SERVICE, "StartReplication", (("StartTime", datetime(2026, 10, 8)),)))
    assert asked(call)["steps"][0]["arguments"] == {"StartTime": "2026-10-08 00:00:00"}


def test_texts_of_an_array_argument_stay_a_list() -> None:
    call = Call("A", MethodCall(SERVICE, "SetFailoverNetworkAdapterSettings", (("NetworkSettings", ("<a/>",)),)))
    assert asked(call)["steps"][0]["arguments"] == {"NetworkSettings": ["<a/>"]}


def test_the_properties_asked_for_include_keys_and_what_a_guard_expects() -> None:
    properties = asked(Guard("A", VM, (("Description", ("x",)),)))["properties"]
    assert {"CreationClassName", "Name", "EnabledState", "Description"} <= set(properties["Msvm_ComputerSystem"])
    assert "Description" not in asked(QUERY)["properties"]["Msvm_ComputerSystem"]
    assert properties["Msvm_AffectedJobElement"] == ["AffectedElement", "AffectingElement"]
    assert "Msvm_LastAppliedSnapshot" not in properties


class Recorder(dict[str, t.Any]):
    """The properties of an instance; writes down which of them are looked at."""

    def __init__(self, class_name: str, seen: set[tuple[str, str]], **values: t.Any) -> None:
        super().__init__(values)
        self.class_name = class_name
        self.seen = seen

    def get(self, name: str, default: t.Any = None) -> t.Any:
        self.seen.add((self.class_name, name))
        return super().get(name, default)


def test_whatever_the_domain_reads_is_asked_for() -> None:
    vm_id = "11111111-2222-3333-4444-555555555555"
    vm = Reference.of("Msvm_ComputerSystem", CreationClassName="Msvm_ComputerSystem", Name=vm_id)
    hvr = f"Microsoft:{vm_id}\\HVR\\0"
    values: dict[str, dict[str, t.Any]] = {
        "Msvm_ComputerSystem": {"Name": vm_id, "CreationClassName": "Msvm_ComputerSystem"},
        "Msvm_ReplicationRelationship": {"InstanceID": hvr},
        "Msvm_ReplicationSettingData": {"InstanceID": hvr},
        "Msvm_ConcreteJob": {"InstanceID": "J"},
        "Msvm_AffectedJobElement": {"AffectedElement": vm, "AffectingElement": JOB},
        "Msvm_ReplicaSystemDependency": {"Antecedent": vm, "Dependent": vm},
        "Msvm_VirtualSystemSettingData": {"VirtualSystemIdentifier": vm_id},
    }
    seen: set[tuple[str, str]] = set()

    class Host:
        transport = "powershell"
        waiting_slice = 0.0

        def run(self, steps: t.Sequence[Step], *, stop_on_error: bool = False) -> list[Answer]:
            return [self._answer(step) for step in steps]

        @staticmethod
        def _answer(step: Step) -> Answer:
            assert isinstance(step, Query)
            name = step.wql.split()[3]
            return (Instance(name, Recorder(name, seen, **values[name])),)

        def close(self) -> None: ...

    host = read.read_host(Host(), gather=["recovery_points"])
    (found,) = host.virtual_machines
    assert found.recovery_points and found.settings and found.relationships and found.jobs
    read.read_again(Host(), host.virtual_machines)
    assert {name for name, _property in seen} == set(values)
    properties = asked(QUERY)["properties"]
    assert {(name, wanted) for name, wanted in seen if name in properties and wanted not in properties[name]} == set()


def test_what_is_asked_for_exists() -> None:
    for name, wanted in READ.items():
        assert set(wanted) <= set(schema.CLASSES[name].properties), name


# --- what is answered ------------------------------------------------------------------------------


def test_a_query_gives_typed_instances_with_their_references() -> None:
    (found,) = run(
        [QUERY],
        answers(
            {
                "instances": [
                    {
                        "class": "Msvm_ComputerSystem",
                        "properties": [
                            "CreationClassName",
                            "Name",
                            "EnabledState",
                            "OperationalStatus",
                            "LastReplicationTime",
                            "OnTimeInMilliseconds",
                            "InstallDate",
                        ],
                        "rows": [
                            [
                                "Msvm_ComputerSystem",
                                "A",
                                3,
                                [2],
                                "20261008151536.684240+000",
                                18446744073709551615,
                                None,
                            ],
                            ["Msvm_ComputerSystem", "B", None, None, None, None, None],
                        ],
                    },
                    table(
                        "Msvm_ConcreteJob", InstanceID="J", Cancellable=True, ElapsedTime="00000000000500.000000:000"
                    ),
                ]
            }
        ),
    )
    assert isinstance(found, tuple)
    first, second, job = found
    assert first.reference == VM
    assert first.properties == {
        "CreationClassName": "Msvm_ComputerSystem",
        "Name": "A",
        "EnabledState": 3,
        "OperationalStatus": (2,),
        "LastReplicationTime": datetime(2026, 10, 8, 15, 15, 36, 684240, timezone.utc),
        "OnTimeInMilliseconds": 2**64 - 1,
        "InstallDate": None,
    }
    assert second.properties["EnabledState"] is None
    assert job == Instance(
        "Msvm_ConcreteJob", {"InstanceID": "J", "Cancellable": True, "ElapsedTime": timedelta(minutes=5)}, JOB
    )


def test_what_the_schema_does_not_know_is_text_as_on_the_other_transport() -> None:
    unknown = table("Msvm_StorageJob", InstanceID="J", JobState=4, Cancellable=False, Names=["a", "b"])
    (found,) = run([QUERY], answers({"instances": [unknown]}))
    assert found == (
        Instance(
            "Msvm_StorageJob",
            {"InstanceID": "J", "JobState": "4", "Cancellable": "false", "Names": ("a", "b")},
            None,
        ),
    )


def test_an_association_has_its_ends_as_references() -> None:
    ends = {"AffectedElement": {"class": VM.class_name, "keys": dict(VM.keys)}, "AffectingElement": None}
    (found,) = run([QUERY], answers({"instances": [table("Msvm_AffectedJobElement", **ends)]}))
    assert found == (Instance("Msvm_AffectedJobElement", {"AffectedElement": VM, "AffectingElement": None}),)


def test_a_query_that_finds_nothing_is_an_empty_answer() -> None:
    assert run([QUERY], answers({"instances": []})) == [()]


def test_get_and_guard_give_the_instance() -> None:
    instance = Instance("Msvm_ConcreteJob", {"InstanceID": "J"}, JOB)
    one = {"instances": [table("Msvm_ConcreteJob", InstanceID="J")]}
    assert run([Get(JOB), GUARD, GUARD], answers(one, {**one, "held": True}, {**one, "held": False})) == [
        instance,
        GuardResult(True, instance),
        GuardResult(False, instance),
    ]


def test_what_does_not_exist_is_an_answer_where_it_was_looked_for() -> None:
    missing = error(6, message_id="HRESULT 0x80041002")
    assert run([Get(VM), GUARD], answers(missing, missing)) == [None, GuardResult(False, None)]
    assert run([Get(VM)], answers(error(6))) == [None]


@pytest.mark.parametrize(("status", "code"), [(5, 0x80041010), (3, 0x8004100E)])
def test_a_class_or_namespace_that_does_not_exist_is_an_error(status: int, code: int) -> None:
    for answer in run([Get(VM), GUARD, QUERY], answers(*[error(status)] * 3)):
        assert (failed(answer).kind, failed(answer).code) == (Kind.NOT_FOUND, code)


def test_a_call_gives_return_value_and_out_parameters() -> None:
    out = {"Job": {"class": "Msvm_ConcreteJob", "keys": {"InstanceID": "J"}}}
    (result,) = run([REVERT], answers({"sent": True, "return_value": 4096, "out": out}))
    assert result == MethodResult(4096, {"Job": JOB})
    assert isinstance(result, MethodResult)
    assert result.job == JOB
    assert run([REVERT], answers({"sent": True, "return_value": 32775, "out": {"Job": None}})) == [
        MethodResult(32775, {"Job": None})
    ]
    errors = Call("J", MethodCall(JOB, "GetErrorEx"))
    assert run([errors], answers({"sent": True, "return_value": 0, "out": {"Errors": ["<a/>"]}})) == [
        MethodResult(0, {"Errors": ("<a/>",)})
    ]


def test_a_wait_tells_jobs_others_and_those_that_are_gone() -> None:
    job, other = table("Msvm_ConcreteJob", InstanceID="J", JobState=7), table("Msvm_ConcreteJob", InstanceID="O")
    gone = {"reference": {"class": "Msvm_ConcreteJob", "keys": {"InstanceID": "G"}}, **error(6)}
    (found,) = run([WAIT], answers({"jobs": [job], "others": [other], "unseen": [gone]}))
    assert found == WaitResult(
        (Instance("Msvm_ConcreteJob", {"InstanceID": "J", "JobState": 7}, JOB),),
        (Reference.of("Msvm_ConcreteJob", InstanceID="G"),),
        (Instance("Msvm_ConcreteJob", {"InstanceID": "O"}, Reference.of("Msvm_ConcreteJob", InstanceID="O")),),
    )


def test_a_job_that_could_not_be_asked_for_is_not_gone() -> None:
    unseen = {"reference": {"class": "Msvm_ConcreteJob", "keys": {"InstanceID": "J"}}, **error(2)}
    (answer,) = run([WAIT], answers({"jobs": [], "others": [], "unseen": [unseen]}))
    assert failed(answer).kind is Kind.ACCESS_DENIED


def test_a_skipped_step() -> None:
    assert run([QUERY, REVERT], answers({"skipped": True}, {"skipped": True})) == [Skipped(), Skipped()]


# --- errors of a step ------------------------------------------------------------------------------

CODES = [
    (0x80041003, Kind.ACCESS_DENIED),
    (0x80070005, Kind.ACCESS_DENIED),
    (0x80041002, Kind.NOT_FOUND),
    (0x80041010, Kind.NOT_FOUND),
    (0x8004100E, Kind.NOT_FOUND),
    (0x80041017, Kind.INVALID),
    (0x8004102E, Kind.INVALID),
    (0x8004102F, Kind.INVALID),
    (0x800706BA, Kind.UNAVAILABLE),
    (0x80041013, Kind.UNAVAILABLE),
    (0x80041069, Kind.TIMED_OUT),
    (0x8004106C, Kind.QUOTA),
    (0x80041001, Kind.HOST),
]
LEAVE_IT_OPEN = {Kind.UNAVAILABLE, Kind.TIMED_OUT, Kind.HOST}


@pytest.mark.parametrize(("code", "kind"), CODES)
@pytest.mark.parametrize("place", ["code", "message_id"])
def test_a_code_decides_whatever_the_status_says(code: int, kind: Kind, place: str) -> None:
    value = code if place == "code" else f"HRESULT 0x{code:08x}"
    (answer,) = run([REVERT], answers(error(1, sent=True, **{place: value})))
    found = failed(answer)
    assert (found.kind, found.code) == (kind, code)
    assert found.sent is (Sent.MAYBE if kind in LEAVE_IT_OPEN else Sent.NO)
    assert found.detail == "Allgemeiner Fehler"
    assert "RevertFailover" in found.message and f"0x{code:08X}" in found.message


def test_a_code_in_signed_spelling() -> None:
    (answer,) = run([QUERY], answers(error(1, code=0x80041003 - 2**32)))
    assert (failed(answer).kind, failed(answer).code) == (Kind.ACCESS_DENIED, 0x80041003)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (1, Kind.HOST),
        (2, Kind.ACCESS_DENIED),
        (3, Kind.NOT_FOUND),
        (4, Kind.HOST),  # WMI gives it before and after a method has run
        (5, Kind.NOT_FOUND),
        (6, Kind.NOT_FOUND),
        (7, Kind.HOST),
        (15, Kind.INVALID),
        (16, Kind.INVALID),
        (17, Kind.INVALID),
        (27, Kind.QUOTA),
        (28, Kind.HOST),
    ],
)
def test_the_status_decides_where_there_is_no_code(status: int, kind: Kind) -> None:
    (answer,) = run([REVERT], answers(error(status, sent=True)))
    assert failed(answer).kind is kind
    assert failed(answer).sent is (Sent.MAYBE if kind in LEAVE_IT_OPEN else Sent.NO)


def test_the_hresult_of_the_exception_itself_says_nothing() -> None:
    # Every CimException bears COR_E_EXCEPTION.
    (answer,) = run([QUERY], answers(error(1, hresult=0x80070005)))
    assert failed(answer).kind is Kind.HOST


def test_an_error_before_the_call_leaves_nothing_open() -> None:
    (answer,) = run([REVERT], answers(error(1, sent=False)))
    assert failed(answer).sent is Sent.NO


@pytest.mark.parametrize(
    ("exception", "kind"),
    [
        ("System.NotSupportedException", Kind.INVALID),
        ("System.Management.Automation.ItemNotFoundException", Kind.NOT_FOUND),
        ("System.Management.Automation.CommandNotFoundException", Kind.UNSUPPORTED),
        ("System.InvalidOperationException", Kind.PROTOCOL),
        ("System.OutOfMemoryException", Kind.PROTOCOL),
    ],
)
def test_the_class_decides_of_what_is_no_cim_error(exception: str, kind: Kind) -> None:
    for sent in (True, False):
        (answer,) = run([REVERT], answers(error(None, exception=exception, message="Nein", sent=sent)))
        assert failed(answer).kind is kind
        assert failed(answer).sent is (Sent.MAYBE if sent and kind is Kind.PROTOCOL else Sent.NO)


def test_a_service_that_no_query_shows_is_not_an_object_that_is_gone() -> None:
    missing = error(None, exception="System.Management.Automation.ItemNotFoundException")
    (answer,) = run([REVERT], answers(missing))
    assert (failed(answer).kind, failed(answer).sent) == (Kind.NOT_FOUND, Sent.NO)


MALFORMED: list[tuple[Step, Json]] = [
    (QUERY, {}),
    (QUERY, {"instances": None}),
    (QUERY, {"instances": {}}),
    (QUERY, {"instances": ""}),
    (QUERY, {"instances": [{"class": "Msvm_ComputerSystem", "properties": ["Name"], "rows": {}}]}),
    (QUERY, {"instances": [{"class": "Msvm_ComputerSystem", "properties": ["Name"], "rows": ["A"]}]}),
    (QUERY, {"instances": [{"class": "Msvm_ComputerSystem", "properties": ["Name"], "rows": [["A", "B"]]}]}),
    (QUERY, {"instances": [table("Msvm_ComputerSystem", EnabledState="running")]}),
    (QUERY, {"instances": [table("Msvm_ComputerSystem", EnabledState=70000)]}),
    (QUERY, {"instances": [table("Msvm_ComputerSystem", EnabledState=3.5)]}),
    (QUERY, {"instances": [table("Msvm_ComputerSystem", EnabledState=True)]}),
    (QUERY, {"instances": [table("Msvm_ComputerSystem", EnabledState=[3])]}),
    (QUERY, {"instances": [table("Msvm_ComputerSystem", OperationalStatus=2)]}),
    (QUERY, {"instances": [table("Msvm_ComputerSystem", LastReplicationTime="8.10.2026")]}),
    (QUERY, {"instances": [table("Msvm_AffectedJobElement", AffectedElement="A")]}),
    (QUERY, {"instances": [table("Msvm_AffectedJobElement", AffectedElement={"class": "X", "keys": {}})]}),
    (Get(VM), {"instances": []}),
    (Get(VM), {"instances": [table("Msvm_ConcreteJob"), table("Msvm_ConcreteJob")]}),
    (GUARD, {"instances": [table("Msvm_ConcreteJob")]}),
    (GUARD, {"instances": [table("Msvm_ConcreteJob")], "held": "yes"}),
    (GUARD, {"instances": [table("Msvm_ConcreteJob")], "held": 1}),
    (REVERT, {"sent": True}),
    (REVERT, {"sent": True, "return_value": None, "out": {}}),
    (REVERT, {"sent": True, "return_value": "done", "out": {}}),
    (REVERT, {"sent": True, "return_value": 0, "out": {"Job": "J"}}),
    (REVERT, {"error": "no"}),
    (WAIT, {"jobs": []}),
    (WAIT, {"jobs": [], "others": [], "unseen": {}}),
    (WAIT, {"jobs": [], "others": [], "unseen": [{}]}),
]


@pytest.mark.parametrize(("step", "answer"), MALFORMED)
def test_an_answer_that_is_none_is_a_protocol_error(step: Step, answer: Json) -> None:
    found = failed(run([step], answers(answer))[0])
    assert found.kind is Kind.PROTOCOL
    assert found.sent is (Sent.MAYBE if isinstance(step, Call) else Sent.NO)


def test_one_malformed_answer_does_not_spoil_the_others() -> None:
    spoiled, good = run([QUERY, QUERY], answers({}, {"instances": []}))
    assert failed(spoiled).kind is Kind.PROTOCOL
    assert good == ()


# --- lost executions -------------------------------------------------------------------------------

RESULTS: list[Json] = [
    {"skipped": True, "changed": False},
    {"failed": True, "msg": "MODULE FAILURE", "module_stderr": "no language mode", "rc": 1},
    {"failed": True, "msg": "internal error", "answers": [{"instances": []}] * 4},
    {"changed": False},
    {},
    answers(),
    answers({"instances": []}),
    answers(*[{"instances": []}] * 5),
    {"answers": None},
    {"answers": {"0": {}}},
    {"answers": ["", "", "", ""]},
]


@pytest.mark.parametrize("result", RESULTS)
def test_a_result_that_is_not_the_modules_is_a_protocol_error_and_never_an_empty_host(result: Json) -> None:
    query, guard, call, wait = run([QUERY, GUARD, REVERT, WAIT], result)
    assert [failed(answer).kind for answer in (query, call, wait)] == [Kind.PROTOCOL] * 3
    assert [failed(answer).sent for answer in (query, call, wait)] == [Sent.NO, Sent.MAYBE, Sent.NO]
    assert guard == Skipped()


def test_what_the_wrapper_says_is_kept() -> None:
    found = failed(run([QUERY], {"failed": True, "msg": "MODULE FAILURE", "module_stderr": "no language mode"})[0])
    assert found.detail == "MODULE FAILURE | no language mode"


def test_output_that_is_no_text_comes_as_one_line_that_can_be_written() -> None:
    garbage = bytes(range(256)).decode("utf-8", "surrogateescape")
    found = failed(run([QUERY], {"failed": True, "msg": "no JSON", "module_stdout": garbage})[0])
    assert found.detail.encode()
    assert len(found.detail.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        # What a psrp connection makes of the errors of a session without a language, and of one with little of it.
        ("Keine Skripte.\r\n    + FullyQualifiedErrorId : ScriptsNotAllowed\r\n", 1),
        ("    + FullyQualifiedErrorId : PropertyReferenceNotSupportedInDataSection\r\n", 1),
        ("    + FullyQualifiedErrorId : MethodInvocationNotSupportedInConstrainedLanguage\r\n", 1),
        ("/bin/sh: 1: /usr/bin/pwsh: not found", 127),
    ],
)
def test_a_session_that_may_run_no_module_is_unsupported(words: str, code: int) -> None:
    found = failed(run([QUERY], {"failed": True, "msg": "MODULE FAILURE", "module_stderr": words, "rc": code})[0])
    assert found.kind is Kind.UNSUPPORTED
    assert "JEA" in found.hint


class ConnectionPlugin:
    """A connection plugin, as far as it is looked at."""

    def __init__(self, transport: str, windows: bool = True, **options: int) -> None:
        self.transport = transport
        self._shell = SimpleNamespace(_IS_WINDOWS=windows)
        self.options = options

    def has_option(self, name: str) -> bool:
        return name in self.options

    def set_option(self, name: str, value: int) -> None:
        self.options[name] = value

    def reset(self) -> None:
        """Nothing is connected."""


def test_a_connection_that_repeats_requests_is_told_not_to() -> None:
    ssh, winrm = ConnectionPlugin("ssh", reconnection_retries=3), ConnectionPlugin("winrm")
    for connection in (ssh, winrm):
        open_session(connection, Module())
    assert (ssh.options, winrm.options) == ({"reconnection_retries": 0}, {})


@pytest.mark.parametrize(
    ("windows", "core", "usable"), [(True, "2.16.1", True), (False, "2.20.9", False), (False, "2.21.0b1", True)]
)
def test_where_this_core_runs_powershell(
    monkeypatch: pytest.MonkeyPatch, windows: bool, core: str, usable: bool
) -> None:
    monkeypatch.setattr("ansible.release.__version__", core)
    connection = ConnectionPlugin("ssh", windows)
    if usable:
        assert open_session(connection, Module()).transport == "powershell"
        return
    with pytest.raises(CimError) as caught:
        open_session(connection, Module())
    assert caught.value.kind is Kind.UNSUPPORTED
    assert "this ssh connection leads to none" in caught.value.message
    assert "ansible_connection" in caught.value.hint


FAILURES = [
    (
        AnsibleConnectionFailure("ntlm: HTTPSConnectionPool(host='h', port=5986): Max retries exceeded"),
        Kind.CONNECTION,
        "the connection broke before the answer was complete",
    ),
    (AnsibleConnectionFailure("winrm connection error: Read timed out."), Kind.CONNECTION, "no answer came in time"),
    (
        AnsibleConnectionFailure("Read from remote host h: Connection timed out"),
        Kind.CONNECTION,
        "no answer came in time",
    ),
    (AnsibleConnectionFailure("kex_exchange_identification"), Kind.CONNECTION, "the host cannot be reached"),
    (
        AnsibleError("pypsrp or dependencies are not installed: x"),
        Kind.UNSUPPORTED,
        "this connection cannot be used as it is configured",
    ),
    (
        AnsibleError("something that no release says today"),
        Kind.UNSUPPORTED,
        "this connection cannot be used as it is configured",
    ),
    (
        AnsibleError("winrm send_input failed; stdout: stderr"),
        Kind.CONNECTION,
        "the connection broke before the answer was complete",
    ),
    (
        ConnectionResetError("reset by peer"),
        Kind.CONNECTION,
        "the connection broke before the answer was complete",
    ),
    (ReadTimeout("read"), Kind.CONNECTION, "no answer came in time"),
    (RuntimeError("what no library is known to raise"), Kind.PROTOCOL, "the answer could not be read"),
]

NEVER_MADE = [
    (
        AnsibleConnectionFailure("ntlm: HTTPConnectionPool: NewConnectionError([Errno 111] Connection refused)"),
        Kind.CONNECTION,
        "the connection was refused",
    ),
    (
        AnsibleConnectionFailure("ssh: Could not resolve hostname h"),
        Kind.CONNECTION,
        "the name of the host does not resolve",
    ),
    (
        AnsibleConnectionFailure("ntlm: the specified credentials were rejected by the server"),
        Kind.AUTHENTICATION,
        "the host did not accept the credentials",
    ),
    (
        AnsibleConnectionFailure("failed to authenticate with the server: no"),
        Kind.AUTHENTICATION,
        "the host did not accept the credentials",
    ),
    (
        AnsibleConnectionFailure("ssl: certificate verify failed"),
        Kind.CERTIFICATE,
        "the certificate of the host is not trusted",
    ),
    (
        AnsibleAuthenticationFailure("Permission denied"),
        Kind.AUTHENTICATION,
        "the host did not accept the credentials",
    ),
    (
        AnsibleConnectionFailure("... over ssh: operator@h: Permission denied (publickey)."),
        Kind.AUTHENTICATION,
        "the host did not accept the credentials",
    ),
    (
        AnsibleConnectionFailure("... via ssh: ssh: connect to host h port 22: Connection timed out"),
        Kind.CONNECTION,
        "no connection could be made",
    ),
]


@pytest.mark.parametrize(("raised", "kind", "says"), FAILURES)
def test_an_execution_that_raises_leaves_every_call_open(raised: Exception, kind: Kind, says: str) -> None:
    query, guard, call, wait = run([QUERY, GUARD, REVERT, WAIT], raised)
    assert [failed(answer).kind for answer in (query, call, wait)] == [kind] * 3
    assert [failed(answer).sent for answer in (query, call, wait)] == [Sent.NO, Sent.MAYBE, Sent.NO]
    assert guard == Skipped()
    assert failed(call).message == says  # and not one word of the library or the plugin, which go into the detail
    assert failed(call).detail == f"{type(raised).__name__}: {raised}"


@pytest.mark.parametrize(("raised", "kind", "says"), NEVER_MADE)
def test_over_a_connection_that_was_never_made_nothing_was_sent(raised: Exception, kind: Kind, says: str) -> None:
    first, *rest = run([REVERT, WAIT, QUERY], raised)
    assert (failed(first).kind, failed(first).sent, failed(first).message) == (kind, Sent.NO, says)
    assert rest == [Skipped(), Skipped()]


def test_what_a_plugin_says_goes_before_what_it_handled() -> None:
    """pypsrp makes its exception of a 401 out of that of the library, and the plugin its own out of that."""

    def execute(_arguments: Json) -> Json:
        try:
            raise HTTPError("401 Client Error")
        except HTTPError:
            raise AnsibleConnectionFailure("failed to authenticate with the server: 401")  # noqa: B904

    (answer,) = PowerShellSession(execute).run([QUERY])
    assert failed(answer).kind is Kind.AUTHENTICATION


def test_a_refused_clean_up_says_nothing_of_the_call_before_it() -> None:
    refused = BrokenConnection("refused")
    refused.__cause__ = ConnectionRefusedError("refused")
    assert failed(run([REVERT], refused)[0]).sent is Sent.MAYBE


def test_a_clean_up_that_fails_does_not_hide_what_went_before() -> None:
    """What the winrm plugin does: it cleans up, over the connection that has just broken."""

    def execute(_arguments: Json) -> Json:
        try:
            raise BrokenConnection("aborted")
        finally:
            raise BrokenConnection("refused") from ConnectionRefusedError("refused")

    (answer,) = PowerShellSession(execute).run([REVERT])
    assert failed(answer).message == "the connection broke before the answer was complete"
    assert failed(answer).detail == "ConnectionError: aborted"


def test_a_guard_without_a_call_has_its_own_error() -> None:
    (answer,) = run([GUARD], AnsibleConnectionFailure("gone"))
    assert failed(answer).kind is Kind.CONNECTION


def test_an_unreachable_host() -> None:
    query, call = run([QUERY, REVERT], {"unreachable": True, "msg": "no route"})
    assert failed(query).kind is Kind.CONNECTION
    assert failed(call).sent is Sent.MAYBE


def test_an_interrupt_is_not_an_answer() -> None:
    def interrupted(_arguments: Json) -> Json:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PowerShellSession(interrupted).run([REVERT])


class Connection:
    """Counts how often it was asked to come back, and fails the first ``failures`` times."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1
        if self.resets <= self.failures:
            raise AnsibleConnectionFailure("still down")


def test_a_lost_connection_is_made_anew_before_the_next_execution_and_only_then() -> None:
    connection = Connection()
    module = Module(ConnectionResetError("gone"), answers({"instances": []}), answers({"instances": []}))
    session = PowerShellSession(module, connection.reset)
    session.run([REVERT])
    assert connection.resets == 0
    assert session.run([QUERY]) == [()]
    assert session.run([QUERY]) == [()]
    assert connection.resets == 1


def test_what_was_not_sent_because_the_host_is_still_down_was_not_sent() -> None:
    connection = Connection(failures=2)
    module = Module(ConnectionResetError("gone"), answers({"instances": []}))
    session = PowerShellSession(module, connection.reset)
    session.run([QUERY])
    first, second = session.run([REVERT, WAIT])
    assert (failed(first).kind, failed(first).sent) == (Kind.CONNECTION, Sent.NO)
    assert second == Skipped()
    assert len(module.arguments) == 1
    assert session.run([QUERY]) == [()]


@pytest.mark.parametrize("steps", [[QUERY, Get(VM)], [Get(JOB)]])
@pytest.mark.parametrize(
    "broken",
    [
        ConnectionResetError("gone"),
        AnsibleConnectionFailure("Failed to connect to the host via ssh: Connection to h closed by remote host."),
    ],
)
def test_a_reading_that_breaks_is_repeated_once_on_a_new_connection(steps: list[Step], broken: Exception) -> None:
    connection = Connection()
    answered = [{"instances": []} if isinstance(step, Query) else error(6) for step in steps]
    module = Module(broken, answers(*answered))
    found = PowerShellSession(module, connection.reset).run(steps)
    assert found == [() if isinstance(step, Query) else None for step in steps]
    assert (connection.resets, len(module.arguments)) == (1, 2)
    assert module.arguments[0] == module.arguments[1]


def test_a_reading_that_breaks_twice_is_given_up() -> None:
    connection = Connection()
    module = Module(ConnectionResetError("gone"), ConnectionResetError("again"), answers({"instances": []}))
    (answer,) = PowerShellSession(module, connection.reset).run([QUERY])
    assert (failed(answer).kind, failed(answer).detail) == (Kind.CONNECTION, "ConnectionResetError: again")
    assert len(module.arguments) == 2


@pytest.mark.parametrize("steps", [[REVERT], [QUERY, GUARD, REVERT], [WAIT]])
def test_what_holds_a_call_or_a_wait_is_never_repeated(steps: list[Step]) -> None:
    module = Module(ConnectionResetError("gone"), answers(*[{"instances": []}] * len(steps)))
    assert failed(PowerShellSession(module).run(steps)[-1]).kind is Kind.CONNECTION
    assert len(module.arguments) == 1


@pytest.mark.parametrize(
    "raised",
    [
        AnsibleConnectionFailure("ntlm: HTTPConnectionPool: NewConnectionError([Errno 111] Connection refused)"),
        AnsibleConnectionFailure("winrm connection error: Read timed out."),
        AnsibleError("pypsrp or dependencies are not installed: x"),
        RuntimeError("what no library is known to raise"),
    ],
)
def test_a_host_that_was_not_reached_is_not_asked_twice(raised: Exception) -> None:
    module = Module(raised, answers({"instances": []}))
    assert isinstance(PowerShellSession(module).run([QUERY])[0], Failed)
    assert len(module.arguments) == 1


def test_a_broken_result_does_not_ask_for_a_new_connection() -> None:
    connection = Connection()
    session = PowerShellSession(Module({}, answers({"instances": []})), connection.reset)
    session.run([QUERY])
    session.run([QUERY])
    assert connection.resets == 0


def test_plain_values_come_out_whatever_core_has_made_of_them() -> None:
    class Tagged(str):
        """As the releases of core wrap or tag the texts of a result."""

    wrapped = table("Msvm_ConcreteJob", InstanceID=Tagged("J"))
    wrapped["class"] = Tagged("Msvm_ConcreteJob")
    (found,) = run([QUERY], answers({"instances": [wrapped]}))
    assert isinstance(found, tuple)
    assert found[0].class_name.__class__ is str
    assert t.cast(str, found[0].properties["InstanceID"]).__class__ is str


def test_it_says_what_it_is() -> None:
    session = PowerShellSession(Module())
    assert (session.transport, session.waiting_slice) == ("powershell", 20.0)
    session.close()
