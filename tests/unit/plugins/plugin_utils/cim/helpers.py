# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers of a host as bytes, and a carrier that hands them out. Nothing here knows what they mean."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Callable
from pathlib import Path

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.wsman import (
    ADDRESSING,
    ENUMERATION,
    RESOURCE,
    SOAP,
    WSMAN,
    XSI,
)

MESSAGE = "0A0B0C0D-1111-4222-8333-444455556666"
FIXTURES = Path(__file__).parent / "fixtures"
JOB_CLASS = f"{RESOURCE}/Msvm_ConcreteJob"
SERVICE_CLASS = f"{RESOURCE}/Msvm_ReplicationService"
VM_CLASS = f"{RESOURCE}/Msvm_ComputerSystem"


def fixture(name: str, message: str = MESSAGE) -> bytes:
    """A recorded or synthetic answer, related to a message. Each file says at its top which of the two it is."""
    return (FIXTURES / name).read_bytes().replace(b"uuid:MESSAGE", f"uuid:{message}".encode())


def answer(body: str, message: str = MESSAGE) -> bytes:
    """An answer with this body; the prefixes of MS-WSMV are declared."""
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:n="{ENUMERATION}" xmlns:w="{WSMAN}"'
        f' xmlns:xsi="{XSI}">'
        f"<s:Header><a:RelatesTo>uuid:{message}</a:RelatesTo></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def page(*items: str, context: str = "", message: str = MESSAGE) -> bytes:
    """A page of an enumeration: the last one, unless it names a context."""
    end = f"<n:EnumerationContext>{context}</n:EnumerationContext>" if context else "<n:EndOfSequence/>"
    return answer(f"<n:PullResponse><n:Items>{''.join(items)}</n:Items>{end}</n:PullResponse>", message)


def instance(class_name: str, **properties: object) -> str:
    """An instance element; a list is an array, None is nil."""

    def element(name: str, value: object) -> str:
        return f'<p:{name} xsi:nil="true"/>' if value is None else f"<p:{name}>{value}</p:{name}>"

    inside = "".join(
        element(name, item)
        for name, value in properties.items()
        for item in (value if isinstance(value, list) else [value])
    )
    return f'<p:{class_name} xmlns:p="{RESOURCE}/{class_name}">{inside}</p:{class_name}>'


def job(job_id: str, state: int = 4, **properties: object) -> str:
    return instance("Msvm_ConcreteJob", InstanceID=job_id, JobState=state, **properties)


def output(return_value: object = 0, job_id: str = "", method: str = "RevertFailover") -> str:
    """What a method answers."""
    reference = (
        f"<p:Job><a:Address/><a:ReferenceParameters><w:ResourceURI>{JOB_CLASS}</w:ResourceURI><w:SelectorSet>"
        f'<w:Selector Name="InstanceID">{job_id}</w:Selector></w:SelectorSet></a:ReferenceParameters></p:Job>'
    )
    return (
        f'<p:{method}_OUTPUT xmlns:p="{SERVICE_CLASS}">{reference if job_id else ""}'
        f"<p:ReturnValue>{return_value}</p:ReturnValue></p:{method}_OUTPUT>"
    )


def fault(subcode: str = "w:InternalError", code: object = "", text: str = "no") -> str:
    detail = f'<f:WSManFault xmlns:f="urn:f" Code="{code}"><f:Message>{text}</f:Message></f:WSManFault>' if code else ""
    return (
        f"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode></s:Code>"
        f"<s:Reason><s:Text>{text}</s:Text></s:Reason><s:Detail>{detail}</s:Detail></s:Fault>"
    )


NO_SUCH_OBJECT = fault("a:DestinationUnreachable", 0x80338000)


class Message:
    """A request as a host would take it apart: by plain text, not with the code under test."""

    def __init__(self, raw: bytes, changes: bool) -> None:
        self.text = raw.decode("utf-8")
        self.changes = changes

    def one(self, pattern: str) -> str:
        found = re.search(pattern, self.text, re.DOTALL)
        return found[1] if found else ""

    @property
    def id(self) -> str:
        return self.one(r"<a:MessageID>uuid:(.*?)</a:MessageID>")

    @property
    def operation(self) -> str:
        """Get, Enumerate, Pull, Release, or the name of a method."""
        return self.one(r"<a:Action[^>]*>([^<]*)</a:Action>").rpartition("/")[2]

    @property
    def body(self) -> str:
        return self.one(r"<s:Body>(.*)</s:Body>")

    @property
    def selectors(self) -> dict[str, str]:
        header = self.one(r"<s:Header>(.*)</s:Header>")
        return dict(re.findall(r'<w:Selector Name="([^"]*)">([^<]*)<', header))


Reply = t.Union[str, bytes, Exception, Callable[[Message], "str | bytes | Exception"]]
"""A body; a whole answer; an error; or what makes one of them from the message."""


class ScriptedCarrier:
    """Answers message after message from a list, and keeps what it was sent."""

    address = "http://hv01:5985/wsman"

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.messages: list[Message] = []
        self.resets = 0
        self.closed = False

    @property
    def operations(self) -> list[str]:
        return [message.operation for message in self.messages]

    def exchange(self, message: bytes, *, changes: bool) -> bytes:
        seen = Message(message, changes)
        self.messages.append(seen)
        reply = self.replies.pop(0)
        if callable(reply):
            reply = reply(seen)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, bytes):
            return reply.replace(f"uuid:{MESSAGE}".encode(), f"uuid:{seen.id}".encode())
        return answer(reply, seen.id)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True
