# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PSRP messages in fragments (MS-PSRP 2.2.1, 2.2.4), as far as texts that a pipeline writes are concerned. No I/O."""

from __future__ import annotations

import re
import struct
import typing as t
from xml.etree import ElementTree as ET

PIPELINE_OUTPUT = 0x00041004
"""MS-PSRP 2.2.2.19: one object that a pipeline has written, as CLIXML."""

_FRAGMENT = struct.Struct(">QQBI")
"""Object id, fragment id, flags, length of what follows."""
_START, _END = 1, 2
_MESSAGE = struct.Struct("<II32x")
"""Destination, type, and the ids of pool and pipeline."""
_BOM = b"\xef\xbb\xbf"
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


class Rewriter:
    """Fragments of one pipeline in, fragments out, with each text that the pipeline wrote put through a function."""

    def __init__(self, change: t.Callable[[str], str]) -> None:
        self._change = change
        self._held = b""
        self._message = b""

    def take(self, data: bytes) -> bytes:
        """What is to be sent in place of these fragments: nothing, until a message has come to its end."""
        made = b""
        while data:
            object_id, _fragment_id, flags, length = _FRAGMENT.unpack_from(data)
            size = _FRAGMENT.size + length
            if flags & _START:
                self._held = self._message = b""
            self._held += data[:size]
            self._message += data[_FRAGMENT.size : size]
            data = data[size:]
            if flags & _END:
                message = self._changed(self._message)
                whole = _FRAGMENT.pack(object_id, 0, _START | _END, len(message)) + message
                made += self._held if message == self._message else whole
        return made

    def _changed(self, message: bytes) -> bytes:
        _destination, kind = _MESSAGE.unpack_from(message)
        body = message[_MESSAGE.size :].removeprefix(_BOM)
        element = ET.fromstring(body) if kind == PIPELINE_OUTPUT else None
        if element is None or element.tag.rpartition("}")[2] != "S":
            return message
        written = element.text or ""
        changed = self._change(written)
        if changed == written:
            return message
        # As MS-PSRP 2.2.5.3.2 has characters that are none in XML.
        element.text = _CONTROLS.sub(lambda match: f"_x{ord(match[0]):04X}_", changed)
        return message[: _MESSAGE.size] + ET.tostring(element)
