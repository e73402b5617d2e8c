# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a wire fault makes of an answer: functions from an answer to a worse one. No I/O."""

from __future__ import annotations

import re

from replica_lab.faults import Do, Fault
from replica_lab.provider import Ref
from replica_lab.wire import messages as ws
from replica_lab.wire.fault_kinds import FaultShape
from replica_lab.wire.messages import Answer, Part

GARBAGE = bytes(range(256)) * 8
HTML = "<!DOCTYPE html><html><head><title>Not this server</title></head><body><h1>It works</h1><br></body></html>"

_ENTITIES = "".join(
    f'<!ENTITY e{level} "{f"&e{level - 1};" * 10 if level else "lab" * 10}">' for level in range(9)
)
DOCTYPE = f"<!DOCTYPE s:Envelope [{_ENTITIES}]>"


def soap_fault(fault: Fault) -> ws.Fault | None:
    """The SOAP fault that answers in place of the world, for the faults that are one."""
    if fault.do is Do.TIMED_OUT:
        return ws.Fault("timed_out")
    if fault.do is Do.QUOTA:
        return ws.Fault("quota")
    if fault.do is Do.FAULT:
        shape = FaultShape(fault.shape)
        return ws.Fault("internal", text=fault.text, code=fault.code, subcode=fault.subcode, shape=shape)
    return None


def replaces_answer(fault: Fault) -> bool:
    """Whether the client gets something else than the world's answer, or nothing."""
    return fault.do in _IN_PLACE_OF_AN_ANSWER


_IN_PLACE_OF_AN_ANSWER = {
    Do.DROP_AFTER, Do.HANG, Do.STATUS, Do.FAULT, Do.TIMED_OUT, Do.QUOTA, Do.HTML, Do.GARBAGE, Do.REFUSE_PORT,
}


def spoil_answer(fault: Fault, answer: Answer) -> None:
    """Take out, double or distort a piece of the answer's body."""
    if fault.do is Do.DUPLICATE and answer.parts:
        answer.parts.append(answer.parts[-1])
    elif fault.do is Do.MISSING_RETURN_VALUE:
        answer.parts = [part for part in answer.parts if part.name != "ReturnValue"]
    elif fault.do is Do.MISSING_JOB:
        answer.parts = [part for part in answer.parts if part.name != "Job"]
    elif fault.do in (Do.JOB_AS_EPR, Do.JOB_WITH_CIMNAMESPACE):
        answer.parts = [_other_job(fault.do, part) for part in answer.parts]


def _other_job(do: Do, part: Part) -> Part:
    if part.name != "Job" or part.ref is None:
        return part
    if do is Do.JOB_AS_EPR:
        return Part("Job", f"<p:Job>{ws.epr(part.ref)}</p:Job>", part.ref)
    ref = Ref(part.ref.class_name, (("__cimnamespace", "root\\virtualization\\v2"), *part.ref.keys))
    return Part("Job", ws.value_element("Job", ref), ref)


_RELATES_TO = re.compile(rb"<a:RelatesTo>[^<]*</a:RelatesTo>")


def spoil_message(fault: Fault, message: bytes) -> bytes:
    """Do the same to the finished message."""
    if fault.do is Do.TRUNCATE:
        return message[: len(message) // 2]
    if fault.do is Do.DOCTYPE:
        return DOCTYPE.encode() + _in_header(message, b"<m:Filler>&e8;</m:Filler>")
    if fault.do is Do.HUGE:
        return _in_header(message, b"<m:Filler>" + b"x" * fault.size + b"</m:Filler>")
    if fault.do is Do.WRONG_RELATES_TO:
        other = b"<a:RelatesTo>uuid:00000000-0000-0000-0000-000000000000</a:RelatesTo>"
        return _RELATES_TO.sub(other, message, count=1)
    return message


def _in_header(message: bytes, element: bytes) -> bytes:
    return message.replace(b"</s:Header>", element + b"</s:Header>", 1)
