# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs, from their start to the day after, and the fates that a story can give to a call."""

from __future__ import annotations

import enum
import typing as t
from datetime import timedelta

import pytest
from replica_lab.provider import InvalidCall, NotFound, Ref
from replica_lab.world import OUTCOMES, World, WorldError
from world_kit import JOB, PRIMARY, REPLICA, SERVICE, Client, job_id, one, world_of


def failed_over(**top: t.Any) -> tuple[World, Client]:
    world = world_of([{"name": "vm", "mode": "replica", "state": "failed_over"}], durations={"revert": 10}, **top)
    return world, Client(world)


def test_a_job_from_start_to_removal() -> None:
    world, client = failed_over()
    _code, ref = client.revert()
    seen = []
    for seconds in (0, 0.5, 4.5, 4, 1):
        world.advance(seconds)
        job = client.job(ref)
        seen.append((job["JobState"], job["PercentComplete"], job["ElapsedTime"].total_seconds()))
    assert seen == [(3, 0, 0.0), (3, 5, 0.5), (4, 50, 5.0), (4, 90, 9.0), (7, 100, 10.0)]
    assert (job["JobType"], job["ErrorCode"], job["Owner"]) == (98, 0, "operator")
    assert job["TimeOfLastStateChange"] - job["StartTime"] == timedelta(seconds=10)
    (association,) = client.all("Msvm_AffectedJobElement")
    assert association.properties["AffectedElement"] == client.ref()
    assert association.properties["AffectingElement"] == ref
    world.advance(299)
    assert client.listed_jobs() == {job_id(ref)}
    world.advance(1)
    assert client.listed_jobs() == set() and not client.all("Msvm_AffectedJobElement")
    with pytest.raises(NotFound):
        client.job(ref)


def test_effects_happen_at_their_own_time_however_late_anybody_looks() -> None:
    world, client = failed_over()
    client.revert()
    world.advance(100000)
    vm = client.vm()
    assert vm["ReplicationState"] == 3
    assert world.time - vm["TimeOfLastConfigurationChange"] == timedelta(seconds=100000 - 10)


@pytest.mark.parametrize("act", ["move_away", "cancel_job"])
def test_a_job_that_others_have_ended_shows_plain_numbers(act: str) -> None:
    """Up to Python 3.10 the text of an IntEnum is its name, and that would go over the wire."""
    world, client = failed_over()
    _code, ref = client.revert()
    world.act(REPLICA, "vm", act)
    job = client.job(ref)
    assert {name: job[name] for name, value in job.items() if isinstance(value, enum.Enum)} == {}
    assert str(job["ErrorCode"]).isdigit()


def strike(outcome: str, **parameters: t.Any) -> tuple[World, Client, int, Ref | None]:
    world, client = failed_over()
    world.fate({"outcome": outcome, "vm": "vm", "method": "RevertFailover", **parameters})
    return world, client, *client.revert()


@pytest.mark.parametrize("code", [0, *range(32768, 32780)])
def test_fate_return(code: int) -> None:
    world, client, answer, job = strike("return", code=code)
    world.advance(60)
    assert (answer, job, client.vm()["ReplicationState"]) == (code, None, 5)
    assert world.snapshot()["hosts"]["HV-REPLICA"]["jobs"] == []


def test_fate_no_effect_0() -> None:
    world, client, answer, job = strike("no_effect_0")
    world.advance(60)
    assert (answer, job, client.vm()["ReplicationState"]) == (0, None, 5)


def test_fate_sync() -> None:
    _world, client, answer, job = strike("sync")
    assert (answer, job, client.vm()["ReplicationState"]) == (0, None, 3)


FATES_OF_JOBS: list[tuple[str, dict[str, t.Any], int, int, int]] = [
    # outcome, parameters -> the state shown meanwhile, the job's last state, the state afterwards
    ("no_effect_job", {}, 5, 7, 5),
    ("job_fails", {"error_code": 32774, "text": "kaputt"}, 12, 10, 5),
    ("job_cancelled", {}, 12, 8, 5),
    ("job_cancelled", {"state": 9}, 12, 9, 5),
    ("job_warning", {}, 12, 32768, 3),
    ("job_unknown_state", {"state": 77}, 12, 77, 5),
    ("job_unknown_state", {"state": 11, "effect": True}, 12, 11, 3),
    ("job_hidden", {}, 12, 7, 3),
    ("lost_job_ref", {}, 12, 7, 3),
]


@pytest.mark.parametrize(("outcome", "parameters", "meanwhile", "last", "afterwards"), FATES_OF_JOBS)
def test_fates_of_jobs(outcome: str, parameters: dict[str, t.Any], meanwhile: int, last: int, afterwards: int) -> None:
    world, client, code, ref = strike(outcome, **parameters)
    assert code == 4096
    assert (ref is None) == (outcome == "lost_job_ref")
    assert client.vm()["ReplicationState"] == meanwhile
    (record,) = world.snapshot()["hosts"]["HV-REPLICA"]["jobs"]
    hidden = outcome == "job_hidden"
    assert (client.listed_jobs() == set()) == hidden
    assert (client.all("Msvm_AffectedJobElement") == []) == hidden
    reference = Ref.of(JOB, InstanceID=record["id"])
    assert client.job(reference)["JobState"] == 3
    world.advance(60)
    job = client.job(reference)
    assert (job["JobState"], job["ErrorCode"]) == (last, parameters.get("error_code", 0))
    assert job["ErrorDescription"] == parameters.get("text", "")
    assert client.vm()["ReplicationState"] == afterwards


@pytest.mark.parametrize(("effect", "afterwards"), [(True, 3), (False, 5)])
def test_fate_job_vanishes(effect: bool, afterwards: int) -> None:
    world, client, _code, ref = strike("job_vanishes", effect=effect, seconds=3)
    assert client.job(ref)["JobState"] in (3, 4)
    world.advance(3)
    assert client.listed_jobs() == set()
    with pytest.raises(NotFound):
        client.job(ref)
    assert client.vm()["ReplicationState"] == afterwards
    assert world.snapshot()["hosts"]["HV-REPLICA"]["jobs"][0]["known"] is False


def test_fate_job_hangs_until_released() -> None:
    world, client, _code, ref = strike("job_hangs", percent=62)
    world.advance(86400)
    assert (client.job(ref)["JobState"], client.job(ref)["PercentComplete"]) == (4, 62)
    assert client.vm()["ReplicationState"] == 12
    world.act("HV-REPLICA", "vm", "release_job")
    assert (client.job(ref)["JobState"], client.vm()["ReplicationState"]) == (7, 3)


def test_fate_job_slow() -> None:
    world, client, _code, ref = strike("job_slow", seconds=1000)
    world.advance(900)
    assert client.job(ref)["PercentComplete"] == 90
    world.advance(100)
    assert client.vm()["ReplicationState"] == 3


def test_every_outcome_has_its_test() -> None:
    tested = {"return", "no_effect_0", "sync", "job_vanishes", "job_hangs", "job_slow"}
    assert tested | {each[0] for each in FATES_OF_JOBS} == set(OUTCOMES)


def test_a_fate_strikes_as_often_as_it_is_told_and_only_calls_that_would_work() -> None:
    world, client = failed_over()
    world.fate({"outcome": "job_fails", "method": "RevertFailover", "times": 1})
    client.truth().in_backup = True
    assert client.revert()[0] == 32774  # refused anyway: the fate is kept
    client.truth().in_backup = False
    client.revert()
    world.advance(10)
    assert client.vm()["ReplicationState"] == 5
    client.revert()
    world.advance(10)
    assert client.vm()["ReplicationState"] == 3


def test_a_fate_is_for_its_host_vm_and_method() -> None:
    vms = [{"name": name, "mode": "replica", "state": 5} for name in ("a", "b")]
    world = world_of(vms, [{"name": "a", "mode": "primary", "state": 4}])
    world.fate({"outcome": "return", "code": 32778, "host": "hv-replica", "vm": "A", "method": "RevertFailover"})
    client = Client(world)
    assert client.revert("a")[0] == 32778
    assert client.revert("b")[0] == 4096
    assert Client(world, PRIMARY).revert("a")[0] == 4096
    assert client.service("CommitFailover", "a")[0] == 4096
    world.clear_fates()
    world.advance(60)
    assert client.revert("a")[0] == 32775  # committed


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "unknown outcome None"),
        ({"outcome": "job_fail"}, "did you mean 'job_fails'"),
        ({"outcome": "return"}, "needs code"),
        ({"outcome": "sync", "code": 3}, "unknown key 'code'"),
        ({"outcome": "sync", "vm": "nobody"}, "unknown VM 'nobody'"),
        ({"outcome": "sync", "vm": 7}, "quote it"),
        ({"outcome": "sync", "host": "nowhere"}, "unknown host 'nowhere'"),
        ({"outcome": "sync", "method": "RevertFailOver"}, "no class has a method 'RevertFailOver'"),
    ],
)
def test_a_fate_that_makes_no_sense_is_refused(spec: dict[str, t.Any], words: str) -> None:
    world, _client = failed_over()
    with pytest.raises(WorldError, match=words):
        world.fate(spec)


# --- methods of jobs ------------------------------------------------------------------------------------


def test_get_error_and_get_error_ex_tell_of_failures_only() -> None:
    world, client, _code, ref = strike("job_fails", text="no <room> left")
    assert ref is not None
    assert client.host.invoke(ref, "GetErrorEx", {}, "operator") == (0, {"Errors": None})
    world.advance(60)
    code, out = client.host.invoke(ref, "GetErrorEx", {}, "operator")
    (text,) = t.cast("list[str]", out["Errors"])
    assert code == 0 and text.startswith('<INSTANCE CLASSNAME="Msvm_Error">') and "no &lt;room&gt; left" in text
    assert client.host.invoke(ref, "GetError", {}, "operator") == (0, {"Error": text})


@pytest.mark.parametrize(("cancellable", "answer", "state", "afterwards"), [(True, 0, 9, 5), (False, 4097, 7, 3)])
def test_a_job_is_cancelled_where_it_can_be(cancellable: bool, answer: int, state: int, afterwards: int) -> None:
    world, client = failed_over(assumptions={"JOBS_CANCELLABLE": cancellable, "CANCELLED_JOB_ENDS_IN": 9})
    _code, ref = client.revert()
    assert ref is not None
    assert client.job(ref)["Cancellable"] is cancellable
    assert client.invoke(ref, "RequestStateChange", RequestedState=4, TimeoutPeriod=None)[0] == answer
    world.advance(60)
    assert (client.job(ref)["JobState"], client.vm()["ReplicationState"]) == (state, afterwards)
    assert client.invoke(ref, "RequestStateChange", RequestedState=4, TimeoutPeriod=None)[0] == 4097
    assert client.invoke(ref, "RequestStateChange", RequestedState=6, TimeoutPeriod=None)[0] == 5


def test_a_method_that_nobody_wrote_answers_not_supported_and_is_recorded() -> None:
    world, client = failed_over()
    code, _job = client.service("InitiateFailback", ReplicationSettingData=None, RecoveryPointIdentifier=None)
    assert code == 32770
    assert [(call["method"], call["return_value"]) for call in world.calls] == [("InitiateFailback", 32770)]
    host = Ref.of("Msvm_ComputerSystem", Name="HV-REPLICA")
    assert client.invoke(host, "RequestStateChange", RequestedState=3)[0] == 32770


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("Nonsense", {}),
        ("RevertFailover", {}),
        ("RevertFailover", {"ComputerSystem": "a text"}),
        ("RevertFailover", {"ComputerSystem": Ref.of(JOB, InstanceID="x")}),
        ("RevertFailover", {"ComputerSystem": None, "Force": True}),
        ("InitiateFailover", {"ComputerSystem": None}),
    ],
)
def test_a_call_that_does_not_fit_its_method_is_no_call(method: str, arguments: dict[str, t.Any]) -> None:
    world, client = failed_over()
    with pytest.raises(InvalidCall):
        client.invoke(Ref.of(SERVICE, Name="replicasvc"), method, **arguments)
    assert world.calls == []


@pytest.mark.parametrize("name", ["HV-REPLICA", "00000000-0000-0000-0000-000000000000", None])
def test_a_vm_that_is_none_is_an_invalid_parameter(name: str | None) -> None:
    world, client = failed_over()
    system = None if name is None else Ref.of("Msvm_ComputerSystem", Name=name)
    assert client.invoke(Ref.of(SERVICE), "RevertFailover", ComputerSystem=system) == (32773, None)
    assert world.calls[0]["vm_id"] is None


def test_a_call_is_recorded_with_all_that_matters() -> None:
    world, client = failed_over()
    _code, job = client.revert()
    (call,) = world.calls
    assert call == {
        "at": world.time.isoformat(),
        "host": "HV-REPLICA",
        "user": "operator",
        "class": SERVICE,
        "method": "RevertFailover",
        "target": {
            "CreationClassName": SERVICE,
            "Name": "replicasvc",
            "SystemCreationClassName": "Msvm_ComputerSystem",
            "SystemName": "HV-REPLICA",
        },
        "vm_id": client.truth().id,
        "vm_name": "vm",
        "arguments": {"ComputerSystem": {"class": "Msvm_ComputerSystem", "keys": dict(client.ref().keys)}},
        "return_value": 4096,
        "out": {"Job": {"class": JOB, "keys": {"InstanceID": job_id(job)}}},
    }


def test_a_power_change_can_be_synchronous() -> None:
    client = Client(one("replica", 5, "running", assumptions={"POWER_CHANGE_ANSWER": "sync"}))
    assert client.power(3) == (0, None)
    assert client.vm()["EnabledState"] == 3
