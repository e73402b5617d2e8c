# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recorder's ears, and the file they fill."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.carriers import Tapped
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimError, Kind, Query, Sent
from ansible_collections.hyperv.replica.plugins.plugin_utils._record import recording
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.evidence import evidence
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.masking import Mask

ALL = "SELECT * FROM Msvm_ComputerSystem"


class Line:
    """A carrier that answers with what it was given, or raises it."""

    address = "http://hv-a:5985/wsman"

    def __init__(self, answer: bytes | CimError) -> None:
        self.answer = answer
        self.said: list[str] = []

    def exchange(self, message: bytes, *, changes: bool) -> bytes:
        if isinstance(self.answer, CimError):
            raise self.answer
        return self.answer

    def reset(self) -> None:
        self.said.append("reset")

    def close(self) -> None:
        self.said.append("close")


@pytest.fixture
def recorder() -> recording.Recorder:
    return recording.Recorder(Mask(b"key"))


def part(recorder: recording.Recorder, host: str, place: int = 0) -> dict[str, t.Any]:
    return {"host": host, "transports": {}, "verbs": {}, "exchanges": recorder.exchanges, "place": place}


def test_a_tap_hears_what_passes_and_changes_nothing(recorder: recording.Recorder) -> None:
    line = Line(b"<answer/>")
    tapped = Tapped(line, recorder.on_exchange)
    assert tapped.exchange(b"<question/>", changes=False) == b"<answer/>"
    tapped.reset()
    tapped.close()
    assert (tapped.address, line.said) == (line.address, ["reset", "close"])
    assert recorder.exchanges == [
        {"moment": "reading", "transport": "wsman", "request": ["<question/>"], "response": ["<answer/>"]}
    ]


def test_a_tap_hears_of_an_answer_that_did_not_come(recorder: recording.Recorder) -> None:
    error = CimError(Kind.CONNECTION, "hv-a: the connection broke", sent=Sent.MAYBE)
    with pytest.raises(CimError) as raised:
        Tapped(Line(error), recorder.on_exchange).exchange(b"<question/>", changes=True)
    assert raised.value is error
    (exchange,) = recorder.exchanges
    assert (exchange["error"]["kind"], exchange["error"]["sent"]) == ("connection", "maybe")
    assert "hv-a" not in str(exchange)


def test_the_module_is_asked_for_every_property_and_its_answer_is_kept(recorder: recording.Recorder) -> None:
    asked: list[dict[str, t.Any]] = []
    row = {"class": "Msvm_ComputerSystem", "properties": ["ElementName", "ReplicationState"], "rows": [["web", 3]]}
    answer = {"answers": [{"instances": [row]}], "invocation": {"module_args": "web"}, "msg": "web"}

    def execute(arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        asked.append(arguments)
        return answer

    steps = [{"do": "query", "wql": ALL}]
    arguments = {"steps": steps, "properties": {"Msvm_ComputerSystem": ["Name"]}, "stop_on_error": False}
    assert recorder.listening(execute)(arguments) is answer
    assert asked == [{"steps": steps, "properties": {}, "stop_on_error": False}]
    assert "web" not in str(recorder.exchanges)
    whole = recording.document([part(recorder, "NAME-aaaaaaaaaaaa")], {})
    (seen,) = evidence(whole).exchanges
    assert (seen.step, seen.about, seen.whole, seen.host) == (Query(ALL), "Msvm_ComputerSystem", True, "NAME-1")
    assert [one.properties["ReplicationState"] for one in seen.instances] == [3]


def test_a_module_that_did_not_run_is_an_exchange_with_an_error(recorder: recording.Recorder) -> None:
    def execute(arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        raise RuntimeError("hv-a is gone")

    with pytest.raises(RuntimeError):
        recorder.listening(execute)({"steps": [{"do": "query", "wql": ALL}]})
    assert "hv-a" not in str(recorder.exchanges)
    (seen,) = evidence(recording.document([part(recorder, "NAME-aaaaaaaaaaaa")], {})).exchanges
    assert seen.error is not None
    assert seen.error.kind is Kind.PROTOCOL


def test_hosts_stand_in_their_places_whatever_they_are_called(recorder: recording.Recorder) -> None:
    parts = [part(recorder, "name-bbbbbbbbbbbb", 1), part(recorder, "name-ffffffffffff", 0)]
    whole = recording.document(parts, {"python": "3"})
    assert [one["host"] for one in whole["hosts"]] == ["name-1", "name-2"]
    assert "place" not in whole["hosts"][0]
    assert recording.read(recording.written(whole)) == whole


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": "hyperv.replica recording", "version": 2}', "no JSON"])
def test_anything_else_is_no_recording(text: str) -> None:
    with pytest.raises(ValueError):
        recording.read(text)
