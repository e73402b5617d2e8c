# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command lines and PSRP framing: texts in, values out."""

from __future__ import annotations

import base64
import struct

import pytest
from replica_lab.powershell import command_line
from replica_lab.powershell.fragments import PIPELINE_OUTPUT, Rewriter
from replica_lab.powershell.out_of_process import POOL, Packet, decode

ID = "6f0c3a1e-0000-4000-8000-00000000000a"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("powershell.exe  -NoProfile", ["powershell.exe", "-NoProfile"]),
        ('pwsh -Command "a  b" c', ["pwsh", "-Command", "a  b", "c"]),
        (r'pwsh -Command "say \"hi\"" x', ["pwsh", "-Command", 'say "hi"', "x"]),
        (r'pwsh C:\a\b "C:\my dir\\"', ["pwsh", r"C:\a\b", "C:\\my dir\\"]),
        ('pwsh a"b c"d ""', ["pwsh", "ab cd", ""]),
    ],
)
def test_words_of_a_command_line(line: str, words: list[str]) -> None:
    assert command_line.split(line) == words


def test_arguments_that_came_apart_belong_to_the_line() -> None:
    assert command_line.split("PowerShell", ["-NoProfile -Command x", "y"]) == [
        "PowerShell", "-NoProfile", "-Command", "x", "y",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["PowerShell", "powershell.exe", r"C:\Windows\System32\powershell.exe", "pwsh"])
def test_powershell_by_its_names(name: str) -> None:
    assert command_line.powershell_arguments([name, "-Command", "1"]) == ["-Command", "1"]


@pytest.mark.parametrize("words", [[], ["cmd", "/c", "dir"], ["powershell_ise.exe"]])
def test_other_programs_are_not_there(words: list[str]) -> None:
    assert command_line.powershell_arguments(words) is None


def test_a_powershell_that_only_starts_another_is_left_out() -> None:
    def encoded(script: str) -> str:
        return base64.b64encode(script.encode("utf-16-le")).decode()

    inner = ["PowerShell", "-NoProfile", "-EncodedCommand", encoded("'real'")]
    outer = ["PowerShell", "-NoProfile", "-EncodedCommand", encoded(" ".join(inner))]
    assert command_line.powershell_arguments(outer) == inner[1:]
    more = [*outer[:-1], encoded(" ".join(inner) + "; exit 3")]
    assert command_line.powershell_arguments(more) == more[1:]
    assert command_line.powershell_arguments(inner) == inner[1:]


@pytest.mark.parametrize(
    ("packet", "line", "acknowledgement"),
    [
        (
            Packet("Data", data=b"\0\xff", stream="PromptResponse"),
            f"<Data Stream='PromptResponse' PSGuid='{POOL}'>AP8=</Data>\n",
            ("DataAck", POOL),
        ),
        (Packet("Command", ID), f"<Command PSGuid='{ID}' />\n", ("CommandAck", ID)),
        (Packet("Close", ID), f"<Close PSGuid='{ID}' />\n", ("CloseAck", ID)),
    ],
)
def test_packets_to_the_engine(packet: Packet, line: str, acknowledgement: tuple[str, str]) -> None:
    assert packet.encode() == line.encode()
    assert packet.acknowledgement == acknowledgement


def test_packets_from_the_engine() -> None:
    assert decode(f"<DataAck PSGuid='{ID.upper()}' />\n".encode()) == Packet("DataAck", ID)
    assert decode(f"<Data Stream='Default' PSGuid='{ID}'>AP8=</Data>\r\n".encode()) == Packet("Data", ID, b"\0\xff")
    assert decode(b"some program wrote this\n") is None


def fragments(message: bytes, size: int, object_id: int = 7) -> list[bytes]:
    """A message as a server sends it (MS-PSRP 2.2.4)."""
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    last = len(pieces) - 1
    return [
        struct.pack(">QQBI", object_id, number, (number == 0) | (number == last) << 1, len(piece)) + piece
        for number, piece in enumerate(pieces)
    ]


def message(body: str, kind: int = PIPELINE_OUTPUT) -> bytes:
    return struct.pack("<II", 1, kind) + bytes(32) + b"\xef\xbb\xbf" + body.encode()


@pytest.mark.parametrize("size", [5, 1000])
def test_texts_of_a_pipeline_are_put_through_a_function(size: int) -> None:
    rewriter = Rewriter(lambda text: f"{text[::-1]}\n")
    sent = fragments(message("<S>a &lt; b</S>"), size) + fragments(message("<I32>5</I32>"), size)
    got = b"".join(map(rewriter.take, sent))
    first, rest = got[: got.index(b"</S>") + 4], got[got.index(b"</S>") + 4 :]
    assert first == b"".join(fragments(message("")[:40] + b"<S>b &lt; a_x000A_</S>", 1000))
    assert rest == b"".join(fragments(message("<I32>5</I32>"), size))


@pytest.mark.parametrize("size", [5, 1000])
def test_fragments_in_which_nothing_changes_stay_as_they_are(size: int) -> None:
    sent = fragments(message("<S>\u4eee\u60f3</S>"), size) + fragments(message("<Obj/>", kind=0x00041006), size)
    rewriter = Rewriter(lambda text: text)
    assert rewriter.take(b"".join(sent)) == b"".join(sent)
