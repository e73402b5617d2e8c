# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recorder against the lab: a pair as assumed is confirmed, and each assumption that is turned round is named.

Most tests record without a play, so that world time passes only where the recorder waits. The plays are at the end.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.over_wsman import open_session
from ansible_collections.hyperv.replica.plugins.plugin_utils._record import recording, report
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.evidence import evidence
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.expectations import ROWS
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.host import Verbs, record
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.masking import Mask
from rehearsal.stage import Ended, playbook
from replica_lab.assumptions import ASSUMPTIONS
from replica_lab.lab import Lab, LabHost
from replica_lab.powershell.engine import Engine, NoPowerShell
from replica_lab.wire.assumptions import WireAssumptions

SPARE = "Spare Wheel"
PLAYBOOK = "hyperv.replica.record_pair"
CONSENT = {"record_verbs": True, "record_vm": SPARE, "record_this_vm_may_be_lost": True}

WIRE = {field.name: field for field in dataclasses.fields(WireAssumptions)}
WIRE_ALTERNATIVES: dict[str, t.Any] = {
    "null_out_parameters": "absent",
    "empty_arrays": "nil",
    "identify_host_in_faults": False,
}
# Read by comparing two transports, or as a user who sees nothing.
NEED_POWERSHELL = {"empty-array", "same-instances", "same-values"}
NEED_A_FILTERED_USER = {"filtered-services"}

# Assumptions without a row: to see them, something would have to be done to a pair that a recording must not do.
NOT_CHECKED = {
    "REVERT_RUNNING_VM", "REVERT_SAVED_VM", "REVERT_IN_STATE_12", "REVERT_WITH_TEST_COPY", "REVERT_WITH_EXTENDED",
    "PLANNED_POINT_AFTER_CALLING_OFF", "FAILOVER_FROM_SUSPENDED", "RESYNC_NEEDED_AFTER", "CALL_OFF_BY_STATE_CHANGE",
    "RESUME_TO_FAILED_OVER_REPLICA", "STATE_WHILE_COMMITTING", "MERGE_AFTER_COMMIT_SECONDS", "METHOD_WHILE_MERGING",
    "TEST_COPY_NAME",
    "SECOND_TEST_COPY", "RESULTING_SYSTEM_WITH_JOB", "REMOVE_TEST_JOB_TYPE", "DESTROY_REPLICATED_VM",
    "POWER_CHANGE_ANSWER", "POWER_ALREADY_THERE", "DROP_SAVED_STATE_BY_TURN_OFF", "START_REPLICA",
    "METHOD_WHILE_JOB_RUNS", "METHOD_WHILE_BACKUP", "CANCELLED_JOB_ENDS_IN", "FOREIGN_JOBS",
    "VMMS_RESTART_LOSES_JOBS", "VMMS_RESTART_RUNNING_CHANGES", "VMMS_STOPPED",
    "parameters_in_order",
    # Of verbs that are not recorded.
    "AS_REPLICA_FROM", "AS_REPLICA_RUNNING_VM", "AUTHORIZATION_OF_A_VM", "AUTHORIZATION_THAT_EXISTS",
    "AUTHORIZATION_WITH_BLANKS", "CLUSTER_NODE_SERVICE_SETTINGS", "CONNECTION_FAILURE_CODE",
    "DISCONNECTED_NETWORK", "EXTENDED_AFTER_FAILOVER", "EXTEND_BEFORE_REPLICATING",
    "FAILOVER_ADDRESS_THAT_IS_NONE", "FAILOVER_NETWORK_JOB_TYPE", "FAILOVER_NETWORK_OF_UNREPLICATED",
    "FAILOVER_SUBNETS_NOT_PARALLEL", "HEALTH_ISSUE_MESSAGE_ID", "IMPORT_LOCATION", "MODIFY_CONNECTION_POINT",
    "MODIFY_SETTINGS_ON_REPLICA", "NEW_REPLICA_NETWORK", "NO_RECOVERY_PORT", "NULL_RELATIONSHIP",
    "POWER_WHILE_SHUTTING_DOWN", "PRIMARY_AFTER_REPLICA_WAS_REMOVED", "REMOVE_WHILE_FAILED_OVER",
    "REMOVE_WITH_TEST_COPY", "RESOURCE_SETTINGS_ANSWER", "RESUME_UNFINISHED_INITIAL_REPLICATION",
    "RESUME_WHERE_RESYNC_IS_NEEDED", "REVERSE_BEFORE_COMMIT", "REVERSE_ON_THIRD_SITE",
    "REVERSE_TO_UNTOLD_PRIMARY", "REVERSE_WITHOUT_SETTINGS", "SET_AUTHORIZATION_UNKNOWN_TO_HOST",
    "SHUTDOWN_ANSWER", "SHUTDOWN_REFUSED", "START_TIME_IN_THE_PAST", "STATE_AFTER_CONTINUE",
    "STATE_UNTIL_SCHEDULED_START", "STATISTICS_ANSWER", "UNKNOWN_AUTHORIZATION",
}  # fmt: skip


def pair(**assumptions: t.Any) -> dict[str, t.Any]:
    """A pair in which everything can be seen that a row reads; with texts that must not be found afterwards."""
    return {
        "users": {
            "operator": {"password": "replica-lab", "rights": "full"},
            "filtered": {"password": "replica-lab", "rights": "hidden"},
        },
        "clock": {"rate": 0},
        "assumptions": assumptions,
        "hosts": {
            "HV-REPLICA": {
                "domain": "contoso.example",
                "vms": [
                    {"name": SPARE, "mode": "replica"},
                    {"name": "Kundendaten", "mode": "replica"},
                    {"name": "Postamt", "mode": "replica", "state": "failed_over", "test_copy": True},
                    {"name": "Sprungbrett", "power": "running"},
                    {"name": "Laufend", "mode": "replica", "power": "running", "state": "failed_over"},
                ],
            },
            "HV-PRIMARY": {
                "domain": "contoso.example",
                "vms": [
                    {"name": SPARE, "mode": "primary", "power": "running"},
                    {"name": "Kundendaten", "mode": "primary"},
                    {"name": "Vorbereitet", "mode": "primary", "state": 4, "peer": "HV-C"},
                ],
                "jobs": [{"do": "revert", "vm": "Vorbereitet", "seconds": 600, "owner": "CONTOSO\\drill"}],
            },
        },
    }


PLANTED = (SPARE, "Kundendaten", "Postamt", "Sprungbrett", "Vorbereitet", "contoso", "HV-", "drill", "operator",
           "replica-lab", "127.0.0.1")  # fmt: skip


def connection(host: LabHost, user: str) -> t.Any:
    plugin = connection_loader.get("winrm", PlayContext(), None)
    options = {"ansible_winrm_scheme": "http", "ansible_winrm_transport": ["basic"], "_extras": {}}
    direct = {"remote_addr": "127.0.0.1", "remote_user": user, "remote_password": "replica-lab", "port": host.port}
    plugin.set_options(var_options=options, direct=direct)
    return plugin


@dataclasses.dataclass
class Recorded:
    whole: dict[str, t.Any]
    said: list[str]
    parts: list[dict[str, t.Any]]

    @property
    def verdicts(self) -> dict[str, str]:
        return {entry["id"]: entry["verdict"] for entry in self.whole["report"]}

    def those(self, verdict: str) -> set[str]:
        return {row for row, found in self.verdicts.items() if found == verdict}


def recorded(
    lab: Lab, vm: str = SPARE, *, user: str = "operator", hosts: t.Collection[str] = (), key: bytes = b"key"
) -> Recorded:
    """Record the hosts of a running lab over WS-Management, with verbs on a VM unless the name is empty."""
    parts, said = [], []

    def clock() -> float:
        return lab.world.time.timestamp()

    order = Verbs(vm, lab.world.advance, clock, 0.5, 60) if vm else None
    for name, host in lab.hosts.items():
        if hosts and name not in hosts:
            continue
        plugin = connection(host, user)
        openers = {"wsman": lambda one, p=plugin: open_session(p, False, on_exchange=one.on_exchange)}
        part, words = record(recording.Recorder(Mask(key)), name, openers, order)
        parts.append(part)
        said += words
    whole = recording.document(parts, {})
    whole["report"] = report.report(evidence(whole))
    return Recorded(recording.read(recording.written(whole)), said, parts)


def go_on(lab: Lab) -> None:
    """A failover without warning, by somebody else, before the recording."""
    lab.world.act("HV-REPLICA", "Kundendaten", "initiate_failover", seconds=0)


# --- the rows ----------------------------------------------------------------------------------------


def test_each_row_names_an_assumption_of_the_lab_with_its_default_or_a_section_of_the_notes() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert re.fullmatch(r"[RW]\d+(\.\d+)?(, [RW]\d+(\.\d+)?)*", row.section), row.id
        assert row.expected, row.id
        if row.assumption in ASSUMPTIONS:
            assert ASSUMPTIONS[row.assumption].default in row.expected, row.id
        elif row.assumption:
            assert WIRE[row.assumption].default in row.expected, row.id


def test_each_assumption_of_the_lab_has_a_row_or_is_named_as_unchecked() -> None:
    checked = {row.assumption for row in ROWS} - {""}
    assert checked | NOT_CHECKED == {*ASSUMPTIONS, *WIRE}
    assert checked & NOT_CHECKED == set()


# --- reading and verbs -------------------------------------------------------------------------------


def test_the_lab_as_it_is_confirms_every_row() -> None:
    with Lab(pair()) as lab:
        go_on(lab)
        result = recorded(lab)
        assert result.those("differs") == set()
        assert result.those("not seen") == NEED_POWERSHELL | NEED_A_FILTERED_USER
        assert [host.errors for host in lab.hosts.values()] == [[], []]


def test_a_recording_is_read_only_unless_it_is_told_otherwise() -> None:
    with Lab(pair()) as lab:
        before = lab.world.snapshot()
        result = recorded(lab, vm="")
        assert lab.calls == []
        assert lab.world.snapshot() == before
        assert all(set(host.counters.soap) <= {"Enumerate", "Pull", "Get"} for host in lab.hosts.values())
        assert [part["verbs"] for part in result.parts] == [{}, {}]
        assert "differs" not in result.verdicts.values()


SWITCHED = [row for row in ROWS if row.assumption and row.id not in NEED_POWERSHELL]


@pytest.mark.parametrize("row", SWITCHED, ids=lambda row: row.id)
def test_a_lab_that_deviates_from_an_assumption_is_named(row: t.Any) -> None:
    wire = WireAssumptions()
    scenario = pair()
    if row.assumption in ASSUMPTIONS:
        scenario = pair(**{row.assumption: ASSUMPTIONS[row.assumption].alternatives[0]})
    else:
        wire = WireAssumptions(**{row.assumption: WIRE_ALTERNATIVES[row.assumption]})
    with Lab(scenario, wire=wire) as lab:
        go_on(lab)
        result = recorded(lab, user="filtered" if row.id in NEED_A_FILTERED_USER else "operator")
    assert row.id in result.those("differs"), [e for e in result.whole["report"] if e["id"] == row.id]
    (line,) = [one for one in report.summary(result.whole, "x") if row.assumption in one]
    assert line.startswith(f"DIFFERS: {row.says}")


def test_a_user_who_sees_nothing_is_recorded_as_such() -> None:
    with Lab(pair()) as lab:
        assert "filtered-services" in recorded(lab, user="filtered").those("confirmed")


@pytest.mark.parametrize(
    ("do", "row"),
    [
        ({"do": "job_as_epr", "method": "RevertFailover"}, "reference"),
        ({"do": "job_with_cimnamespace", "method": "RevertFailover"}, "reference-namespace"),
    ],
)
def test_a_wire_that_deviates_is_named(do: dict[str, t.Any], row: str) -> None:
    with Lab(pair(), faults=[do]) as lab:
        assert row in recorded(lab).those("differs")


@pytest.mark.parametrize(
    ("overrides", "row"),
    [
        ({"Msvm_ComputerSystem": {"ReplicationState": 4}}, "mode-and-state"),
        ({"Msvm_ComputerSystem": {"ReplicationState": 7}}, "states-agree"),
        ({"Msvm_ComputerSystem": {"ReplicationMode": None}}, "replication-on-the-vm"),
        ({"Msvm_ReplicationRelationship": {"InstanceID": "HVR-1"}}, "relationship-id"),
    ],
)
def test_an_instance_that_deviates_is_named(overrides: dict[str, t.Any], row: str) -> None:
    scenario = pair()
    scenario["hosts"]["HV-REPLICA"]["vms"][1]["overrides"] = overrides
    with Lab(scenario) as lab:
        assert row in recorded(lab, vm="").those("differs")


def test_after_the_verbs_the_vm_is_as_before_and_every_call_is_in_the_recording() -> None:
    with Lab(pair()) as lab:
        result = recorded(lab)
        assert [(call["method"], call["return_value"]) for call in lab.calls] == [
            ("RevertFailover", 32775),
            ("RevertFailover", 32773),
            ("InitiateFailover", 4096),
            ("RevertFailover", 4096),
        ]
        told = [one for one in result.said if "done" in one]
        now = "It is now in mode 2 (replica), state 3 (replicating), power 3 (off), as before."
        assert told == [f"Verbs over wsman on {SPARE!r}: done. {now}"]
        found = {one["host"]: one["verbs"] for one in result.parts}
        assert {"wsman": {"stopped": "", "end": {"mode": 2, "state": 3, "power": 3}}} in found.values()
        text = "\n".join(line for part in result.parts for one in part["exchanges"] for line in one["request"])
        assert [text.count(f"/{name}</a:Action>") for name in ("RevertFailover", "InitiateFailover")] == [3, 1]


@pytest.mark.parametrize(
    ("vm", "because"),
    [
        ("nobody", "no VM on this host has this name"),
        ("Sprungbrett", "it is not a replica (mode 2) on this host"),
        ("Postamt", "it is not in state 3 (replicating)"),
        ("Laufend", "it is not in state 3 (replicating)"),
        ("HV-REPLICA", "no VM on this host has this name"),
    ],
)
def test_a_vm_that_is_not_as_it_has_to_be_is_not_touched(vm: str, because: str) -> None:
    with Lab(pair()) as lab:
        result = recorded(lab, vm, hosts=["HV-REPLICA"])
        assert lab.calls == []
        assert result.said == [f"Verbs over wsman: {vm!r} was not touched: {because}."]
        assert result.parts[0]["verbs"] == {"wsman": {"refused": because}}


@pytest.mark.parametrize(
    ("changed", "because"),
    [
        ({"power": "running"}, "it is not off"),
        ({"power": "saved"}, "it is not off"),
        ({"last_replication": "never"}, "it has never received anything"),
        ({"test_copy": True}, "a test copy of it exists"),
        ({"relationship_1": {"state": "replicating", "peer": "HV-C"}}, "it has an extended relationship"),
        ({"id": "5B0E1B52-7A1B-4E0D-9C3F-0A5D2C4E6F01"}, "several VMs on this host have this name"),
    ],
)
def test_a_spare_vm_that_is_busy_or_shared_is_not_touched(changed: dict[str, t.Any], because: str) -> None:
    scenario = pair()
    vms = scenario["hosts"]["HV-REPLICA"]["vms"]
    if "id" in changed:
        vms.append({**vms[0], **changed})
    else:
        vms[0].update(changed)
    with Lab(scenario) as lab:
        result = recorded(lab, hosts=["HV-REPLICA"])
        assert lab.calls == []
        assert result.parts[0]["verbs"] == {"wsman": {"refused": because}}


@pytest.mark.parametrize(
    ("method", "fate", "calls", "stopped", "state"),
    [
        ("InitiateFailover", {"outcome": "return", "code": 32774}, 3, "after the failover the state is 3", 3),
        ("InitiateFailover", {"outcome": "job_fails"}, 3, "after the failover the state is 3", 3),
        ("InitiateFailover", {"outcome": "job_hangs"}, 3, "the job of InitiateFailover still runs after 60", 12),
        ("RevertFailover", {"outcome": "job_fails"}, 4, "after the revert the state is 5", 5),
    ],
)
def test_where_something_goes_wrong_nothing_more_is_called_and_the_end_is_told(
    method: str, fate: dict[str, t.Any], calls: int, stopped: str, state: int
) -> None:
    with Lab(pair()) as lab:
        lab.world.fate({"method": method, "vm": SPARE, "times": 5, **fate})
        result = recorded(lab, hosts=["HV-REPLICA"])
        assert len(lab.calls) == calls
        assert result.parts[0]["verbs"]["wsman"]["stopped"].startswith(stopped)
        assert result.parts[0]["verbs"]["wsman"]["end"]["state"] == state
        assert f"state {state} (" in result.said[-1]


def test_an_answer_that_is_lost_ends_it_and_is_in_the_recording() -> None:
    with Lab(pair(), faults=[{"do": "drop_after", "method": "InitiateFailover", "times": 1}]) as lab:
        result = recorded(lab, hosts=["HV-REPLICA"])
        assert [call["method"] for call in lab.calls].count("InitiateFailover") == 1
        assert "the call of InitiateFailover had no answer" in result.parts[0]["verbs"]["wsman"]["stopped"]
        lost = [one for one in result.parts[0]["exchanges"] if "error" in one]
        assert [one["error"]["sent"] for one in lost] == ["maybe"]


def test_a_host_that_cannot_be_reached_is_a_part_without_answers() -> None:
    with Lab(pair(), faults=[{"do": "status", "status": 503}]) as lab:
        result = recorded(lab)
        assert {part["transports"]["wsman"] for part in result.parts} == {"not possible: protocol"}
        assert lab.calls == []
        assert set(result.verdicts.values()) == {"not seen"}


# --- the file ----------------------------------------------------------------------------------------


def planted_in(text: str) -> list[str]:
    return [word for word in PLANTED if word.lower() in text.lower()]


def test_no_name_and_no_credential_is_in_the_recording() -> None:
    faults = [{"do": "fault", "class": "Msvm_SettingsDefineState", "shape": "B", "text": "Kundendaten on HV-REPLICA"}]
    scenario = pair()
    scenario["hosts"]["HV-REPLICA"]["vms"][3]["overrides"] = {
        "Msvm_ComputerSystem": {
            "Caption": "Kundendaten",
            "OtherIdentifyingInfo": ["Kundendaten", "127.0.0.1"],
            "Roles": ["operator@contoso.example"],
        },
        "Msvm_ReplicationSettingData": {"CertificateThumbPrint": "contoso", "AdditionalSettings": "C:\\Kundendaten"},
    }
    with Lab(scenario, faults=faults) as lab:
        lab.world.fate({"method": "RevertFailover", "vm": SPARE, "outcome": "job_fails", "times": 5})
        result = recorded(lab)
        ids = [vm["id"] for host in lab.world.snapshot()["hosts"].values() for vm in host["vms"]]
    text = recording.written(result.whole)
    assert planted_in(text) == []
    assert [vm_id for vm_id in ids if vm_id.lower() in text.lower()] == []
    assert "Authorization" not in text


def test_two_recordings_of_one_pair_have_the_same_lines_but_for_times_and_keys() -> None:
    def lines(key: bytes) -> list[str]:
        with Lab(pair()) as lab:
            found = recording.written(recorded(lab, vm="", key=key).whole)
        return re.sub(r":\d+/wsman|\d{4}-\d\d-\d\dT[\d:.]+Z|<p:(ProcessID|OnTimeInMill).*", "", found).splitlines()

    assert lines(b"one") == lines(b"another")


def test_only_a_recording_is_read_as_one() -> None:
    with pytest.raises(ValueError, match="no hyperv.replica recording"):
        recording.read(json.dumps({"format": "something"}))


# --- plays -------------------------------------------------------------------------------------------

Labs = Callable[..., Lab]


def play(lab: Lab, directory: Path, *more: str, **variables: t.Any) -> Ended:
    (directory / "hosts.yml").write_text(yaml.safe_dump(lab.inventory("winrm", "ntlm")), "utf-8")
    variables = {"record_directory": "here", **variables}
    return playbook(["-i", "hosts.yml", PLAYBOOK, "-e", json.dumps(variables), *more], directory)


def moving(**assumptions: t.Any) -> dict[str, t.Any]:
    """The pair for a play: nobody moves its clock there, and a job lasts long enough to be seen."""
    return {**pair(**assumptions), "clock": {"rate": 1}, "durations": {"failover": 4, "revert": 4}}


def test_the_playbook_reads_and_leaves_one_file_and_its_report(lab: Labs, tmp_path: Path) -> None:
    running = lab(moving())
    ended = play(running, tmp_path, record_transports=["wsman"])
    assert ended.returncode == 0, ended.stdout
    assert running.calls == []
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["recording.json", "report.txt"]
    file = tmp_path / "here" / "recording.json"
    assert file.stat().st_mode & 0o777 == 0o600
    whole = recording.read(file.read_text("utf-8"))
    assert len(whole["hosts"]) == 2
    assert {"hyperv.replica", "ansible-core", "python", "pywinrm"} <= set(whole["made_with"])
    assert planted_in(file.read_text("utf-8")) == []
    assert planted_in((tmp_path / "here" / "report.txt").read_text("utf-8")) == []
    assert "0 differ" in ended.stdout
    assert str(file) in ended.stdout
    again = play(running, tmp_path, record_transports=["wsman"])
    assert again.returncode == 2
    assert "holds a recording already" in again.stdout


def test_the_playbook_names_a_deviation(lab: Labs, tmp_path: Path) -> None:
    ended = play(lab(moving(REVERT_NOTHING=0)), tmp_path, record_transports=["wsman"], **CONSENT)
    assert ended.returncode == 0, ended.stdout
    assert "DIFFERS: A revert with nothing to revert is refused. [REVERT_NOTHING] Seen: 0 (" in ended.stdout
    assert ended.stdout.count("DIFFERS") == 1
    assert f"Verbs over wsman on {SPARE!r}".replace("'", "") in ended.stdout.replace("'", "")


@pytest.mark.parametrize("missing", ["record_vm", "record_this_vm_may_be_lost"])
def test_the_verbs_need_all_three_words(lab: Labs, tmp_path: Path, missing: str) -> None:
    running = lab(moving())
    ended = play(running, tmp_path, **{**CONSENT, missing: ""})
    assert ended.returncode == 2
    assert "it is not said of a VM that it may be lost" in ended.stdout
    assert running.calls == []
    assert [dict(host.counters.soap) for host in running.hosts.values()] == [{}, {}]


def test_check_mode_reads_only(lab: Labs, tmp_path: Path) -> None:
    running = lab(moving())
    ended = play(running, tmp_path, "--check", record_transports=["wsman"], **CONSENT)
    assert ended.returncode == 0, ended.stdout
    assert running.calls == []


@pytest.fixture(scope="module")
def engine() -> Engine:
    try:
        return Engine.find()
    except NoPowerShell as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("wire", [{}, {"empty_arrays": "nil"}], ids=["as assumed", "another empty array"])
def test_both_transports_are_recorded_and_compared(
    lab: Labs, tmp_path: Path, engine: Engine, wire: dict[str, t.Any]
) -> None:
    running = lab(moving(), powershell=engine, wire=WireAssumptions(**wire))
    consent = {} if wire else CONSENT
    began = time.monotonic()
    ended = play(running, tmp_path, **consent)
    print(f"{time.monotonic() - began:.0f} s")
    assert ended.returncode == 0, ended.stdout
    text = (tmp_path / "here" / "recording.json").read_text("utf-8")
    whole = recording.read(text)
    assert planted_in(text) == []
    verdicts = {entry["id"]: entry["verdict"] for entry in whole["report"]}
    differing = {entry["id"]: entry["seen"] for entry in whole["report"] if entry["verdict"] == "differs"}
    assert set(differing) == ({"empty-array"} if wire else set()), differing
    assert NEED_POWERSHELL - set(differing) <= {row for row, verdict in verdicts.items() if verdict == "confirmed"}
    assert [part["transports"] for part in whole["hosts"]] == [{"powershell": None, "wsman": None}] * 2
    # Of a VM that does not exist PowerShell finds no instance that it could call with.
    assert len(running.calls) == (0 if wire else 4 + 3)
