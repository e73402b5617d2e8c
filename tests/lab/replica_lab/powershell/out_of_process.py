# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The framing of ``pwsh -ServerMode``: PSRP fragments over standard streams, one packet a line. No I/O.

The packets are those that PowerShell uses for its own background jobs: ``<Data>`` carries fragments as base64,
and each packet has an acknowledgement of its own, ``<DataAck>`` and so on. An all-zero id means the runspace
pool, any other one a pipeline. What the fragments hold is nobody's business here.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

POOL = "00000000-0000-0000-0000-000000000000"

_PACKET = re.compile(r"<(\w+)(?: Stream='\w+')? PSGuid='([0-9A-Fa-f-]{36})' ?(?:/>|>([A-Za-z0-9+/=]*)</Data>)\s*\Z")


@dataclass(frozen=True)
class Packet:
    """One packet: Data, Command, Signal, Close, or the acknowledgement of one of them."""

    kind: str
    target: str = POOL
    """The id of the pipeline, in lower case, or POOL."""
    data: bytes = b""
    stream: str = "Default"
    """Of Data: ``Default``, or ``PromptResponse`` for answers to what the host asked its user."""

    @property
    def acknowledgement(self) -> tuple[str, str]:
        """Kind and target of the packet that answers this one."""
        return f"{self.kind}Ack", self.target

    def encode(self) -> bytes:
        """The packet as a line."""
        if self.kind != "Data":
            return f"<{self.kind} PSGuid='{self.target}' />\n".encode()
        body = base64.b64encode(self.data).decode()
        return f"<Data Stream='{self.stream}' PSGuid='{self.target}'>{body}</Data>\n".encode()


def decode(line: bytes) -> Packet | None:
    """The packet of a line; None for a line that is none (a program that a pipeline ran may write anything)."""
    match = _PACKET.match(line.decode("utf-8", "replace"))
    if match is None:
        return None
    return Packet(match[1], match[2].lower(), base64.b64decode(match[3] or ""))
