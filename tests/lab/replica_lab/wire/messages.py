# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""WS-Management messages as the service side sees them: bytes to a Request, values to XML. No I/O.

Sections named here are those of MS-WSMV and of DSP0226 (WS-Management) and DSP0227 (WS-CIM binding).
Texts are templates rather than element trees: an answer can hold thousands of instances.
"""

from __future__ import annotations

import re
import typing as t
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape, quoteattr

import defusedxml.ElementTree as safe_tree
from defusedxml.common import DefusedXmlException

from replica_lab.provider import CimObject, Ref, Value
from replica_lab.wire.fault_kinds import FAULTS, FaultShape, text_for

S = "http://www.w3.org/2003/05/soap-envelope"
A = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
W = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
N = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
X = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
M = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
F = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
B = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"
RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
CIM = "http://schemas.dmtf.org/wbem/wscim/1/common"
CIM_SCHEMA = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2"
XML = "http://www.w3.org/XML/1998/namespace"
"""The namespaces, under the prefixes that Windows gives them."""

ANONYMOUS = f"{A}/role/anonymous"
WMI = "http://schemas.microsoft.com/wbem/wsman/1/wmi/"
VIRTUALIZATION = WMI + "root/virtualization/v2"
WQL_DIALECT = "http://schemas.microsoft.com/wbem/wsman/1/WQL"

ENUMERATE, PULL, RELEASE = f"{N}/Enumerate", f"{N}/Pull", f"{N}/Release"
GET, CREATE, DELETE = f"{X}/Get", f"{X}/Create", f"{X}/Delete"
COMMAND, SEND, RECEIVE, SIGNAL = f"{RSP}/Command", f"{RSP}/Send", f"{RSP}/Receive", f"{RSP}/Signal"
OPERATIONS = {
    action: action.rpartition("/")[2]
    for action in (ENUMERATE, PULL, RELEASE, GET, CREATE, DELETE, COMMAND, SEND, RECEIVE, SIGNAL)
}
"""Action URI to the operation's name; every other action is the call of a method: Invoke."""

SERVER_MAX_ENVELOPE_SIZE = 500 * 1024
"""MaxEnvelopeSizekb of a current host, in bytes (MS-WSMV 2.2.4.10)."""
MIN_ENVELOPE_SIZE = 8192
"""A smaller MaxEnvelopeSize must be refused (MS-WSMV 3.1.4.1.7)."""
SERVER_MAX_TIMEOUT = 60.0
"""MaxTimeoutms of a host, in seconds (MS-WSMV 3.1.4.1.6)."""


def class_uri(class_name: str) -> str:
    """The resource URI of a class in root/virtualization/v2; also the XML namespace of its instances."""
    return f"{VIRTUALIZATION}/{class_name}"


# --- faults ----------------------------------------------------------------------------------------


class Fault(Exception):
    """A SOAP fault in the making: one line of the FAULTS table, with what is special about this case.

    ``kind`` is a key of the table; what is given besides replaces the table's value. ``info`` is the
    ParameterInfo of shape B: the object or the statement at fault.
    """

    def __init__(
        self,
        kind: str,
        info: str = "",
        *,
        text: str = "",
        code: int | None = None,
        subcode: str | None = None,
        shape: FaultShape | None = None,
    ) -> None:
        super().__init__(text or kind)
        line = FAULTS[kind]
        self.kind = kind
        self.info = info
        self.text = text
        self.code = line.code if code is None else code
        self.subcode = line.subcode if subcode is None else subcode
        self.shape = line.shape if shape is None else shape
        self.detail = line.detail
        self.sender = line.sender
        self.operation = line.operation


# --- requests --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """One request, as far as its headers say."""

    action: str
    resource_uri: str
    message_id: str
    selectors: tuple[tuple[str, str], ...] = ()
    options: t.Mapping[str, str] = field(default_factory=dict)
    max_envelope_size: int = SERVER_MAX_ENVELOPE_SIZE
    operation_timeout: float = SERVER_MAX_TIMEOUT
    body: Element | None = None
    """The first element of the Body."""

    @property
    def operation(self) -> str:
        return OPERATIONS.get(self.action, "Invoke")

    @property
    def class_name(self) -> str:
        """The last part of the resource URI: the class of a CIM request, or ``*``."""
        return self.resource_uri.rpartition("/")[2]

    @property
    def method(self) -> str:
        """The method's name, for an Invoke; else empty."""
        return "" if self.action in OPERATIONS else self.action.rpartition("/")[2]

    @property
    def filter(self) -> str:
        """The text of an Enumerate's filter, or empty."""
        return (self.body.findtext(f"{{{W}}}Filter") or "").strip() if self.body is not None else ""


_UNDERSTOOD = {
    f"{{{A}}}{name}" for name in ("To", "ReplyTo", "FaultTo", "From", "Action", "MessageID", "RelatesTo")
} | {
    f"{{{W}}}{name}"
    for name in ("ResourceURI", "MaxEnvelopeSize", "Locale", "OperationTimeout", "SelectorSet", "OptionSet")
} | {
    f"{{{M}}}{name}"
    for name in ("DataLocale", "SessionId", "OperationID", "SequenceId", "FunctionalCategory", "CompressionType")
}
"""Headers that a host acts upon, or knows that it may pass over."""


def parse(data: bytes) -> Request:
    """Read an envelope. Raises Fault for what is no request; DTDs and entities are refused with the rest."""
    try:
        envelope = safe_tree.fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise Fault("schema", text=f"The request is no well-formed XML: {error}") from error
    header, body = envelope.find(f"{{{S}}}Header"), envelope.find(f"{{{S}}}Body")
    if envelope.tag != f"{{{S}}}Envelope" or header is None or body is None:
        raise Fault("schema", text="The request is no SOAP 1.2 envelope with a header and a body")
    request = Request(
        action=_header(header, A, "Action"),
        resource_uri=_header(header, W, "ResourceURI"),
        message_id=_header(header, A, "MessageID"),
        selectors=selector_set(header),
        options={option.get("Name", ""): option.text or "" for option in header.findall(f"{{{W}}}OptionSet/*")},
        max_envelope_size=_envelope_size(header),
        operation_timeout=_timeout(header),
        body=next(iter(body), None),
    )
    for element in header:
        if element.tag not in _UNDERSTOOD and element.get(f"{{{S}}}mustUnderstand") in ("true", "1"):
            raise Unanswerable(Fault("must_understand", info=element.tag), request)
    if not request.action or not request.resource_uri or not request.message_id:
        raise Unanswerable(Fault("header_missing"), request)
    if request.max_envelope_size < MIN_ENVELOPE_SIZE:
        raise Unanswerable(Fault("envelope_size_too_small"), request)
    return request


class Unanswerable(Exception):
    """A request whose headers already forbid an answer; what could be read of it is needed for the fault."""

    def __init__(self, fault: Fault, request: Request) -> None:
        super().__init__(str(fault))
        self.fault = fault
        self.request = request


def _header(header: Element, namespace: str, name: str) -> str:
    return (header.findtext(f"{{{namespace}}}{name}") or "").strip()


def _envelope_size(header: Element) -> int:
    text = _header(header, W, "MaxEnvelopeSize")
    return min(int(text), SERVER_MAX_ENVELOPE_SIZE) if text.isdecimal() else SERVER_MAX_ENVELOPE_SIZE


_SECONDS = re.compile(r"P(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)\Z")


def _timeout(header: Element) -> float:
    match = _SECONDS.match(_header(header, W, "OperationTimeout"))
    if not match:
        return SERVER_MAX_TIMEOUT
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return min(hours * 3600 + minutes * 60 + seconds, SERVER_MAX_TIMEOUT)


def selector_set(parent: Element) -> tuple[tuple[str, str], ...]:
    """The selectors below an element (a header, or the ReferenceParameters of an EPR), in their order."""
    return tuple(
        (selector.get("Name", ""), selector.text or "")
        for selector in parent.findall(f"{{{W}}}SelectorSet/{{{W}}}Selector")
    )


def reference_from(element: Element) -> Ref | None:
    """The reference that an element holds as EPR children (Address and ReferenceParameters), or None."""
    parameters = element.find(f"{{{A}}}ReferenceParameters")
    if parameters is None or element.find(f"{{{A}}}Address") is None:
        return None
    uri = (parameters.findtext(f"{{{W}}}ResourceURI") or "").strip()
    if not uri.lower().startswith(VIRTUALIZATION.lower() + "/"):
        raise Fault("bad_parameters", info=uri)
    return Ref.of(uri.rpartition("/")[2], **keys_of(selector_set(parameters)))


def keys_of(selectors: t.Iterable[tuple[str, str]]) -> dict[str, str]:
    """Selectors as keys; ``__cimnamespace``, which clients copy from object paths, is none."""
    return {name: value for name, value in selectors if name.lower() != "__cimnamespace"}


# --- values as XML (DSP0227, 7) ---------------------------------------------------------------------


def value_element(name: str, value: Value, *, empty_arrays: str = "absent") -> str:
    """One property or parameter as ``p:`` element(s): an array repeats it, NULL is ``xsi:nil``."""
    if isinstance(value, list):
        if not value and empty_arrays == "absent":
            return ""
        return "".join(value_element(name, one) for one in value) or f'<p:{name} xsi:nil="true"/>'
    if value is None:
        return f'<p:{name} xsi:nil="true"/>'
    if isinstance(value, bool):
        return f"<p:{name}>{'true' if value else 'false'}</p:{name}>"
    if isinstance(value, datetime):
        return f"<p:{name}><cim:Datetime>{datetime_text(value)}</cim:Datetime></p:{name}>"
    if isinstance(value, timedelta):
        return f"<p:{name}><cim:Interval>{interval_text(value)}</cim:Interval></p:{name}>"
    if isinstance(value, Ref):
        return f"<p:{name}>{epr_children(value)}</p:{name}>"
    return f"<p:{name}>{text(str(value))}</p:{name}>"


_NO_XML_CHARACTER = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(value: str) -> str:
    """Character data: escaped, carriage returns kept, characters that XML cannot carry replaced."""
    return escape(_NO_XML_CHARACTER.sub("\ufffd", value), {"\r": "&#13;"})


def datetime_text(value: datetime) -> str:
    """ISO 8601 in UTC as the recordings have it: a fraction without trailing zeros, or none."""
    utc = value.astimezone(timezone.utc)
    fraction = f".{utc.microsecond:06d}".rstrip("0") if utc.microsecond else ""
    return f"{utc:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f"{fraction}Z"


def interval_text(value: timedelta) -> str:
    """An ISO 8601 duration, with days and never with months."""
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{value.microseconds:06d}".rstrip("0") if value.microseconds else ""
    return f"P{value.days}DT{hours}H{minutes}M{seconds}{fraction}S"


def epr_children(ref: Ref) -> str:
    """Address and ReferenceParameters of an endpoint reference: what a REF holds, without any wrapper."""
    selectors = "".join(
        f"<w:Selector Name={quoteattr(name)}>{text(value)}</w:Selector>" for name, value in ref.keys
    )
    return (
        f"<a:Address>{ANONYMOUS}</a:Address><a:ReferenceParameters>"
        f"<w:ResourceURI>{class_uri(ref.class_name)}</w:ResourceURI>"
        f"<w:SelectorSet>{selectors}</w:SelectorSet></a:ReferenceParameters>"
    )


def epr(ref: Ref) -> str:
    """An EndpointReference, as EnumerateEPR gives them out."""
    return f"<a:EndpointReference>{epr_children(ref)}</a:EndpointReference>"


def instance(found: CimObject, names: t.Sequence[str], *, empty_arrays: str = "absent") -> str:
    """An instance with the properties ``names``, in the namespace of its own class."""
    class_name = found.ref.class_name
    properties = found.properties
    inner = "".join([value_element(name, properties.get(name), empty_arrays=empty_arrays) for name in names])
    return (
        f'<p:{class_name} xmlns:p="{class_uri(class_name)}" xmlns:xsi="{XSI}" xmlns:cim="{CIM}"'
        f' xsi:type="p:{class_name}_Type">{inner}</p:{class_name}>'
    )


def fragment(found: CimObject) -> str:
    """A projection: the selected properties in an XmlFragment, without an element for the class (DSP0227, 7.1)."""
    inner = "".join(value_element(name, value) for name, value in found.properties.items())
    namespaces = f'xmlns:p="{class_uri(found.ref.class_name)}" xmlns:xsi="{XSI}" xmlns:cim="{CIM}"'
    return f"<w:XmlFragment {namespaces}>{inner}</w:XmlFragment>"


# --- answers ---------------------------------------------------------------------------------------


@dataclass
class Part:
    """One piece of an answer's body. ``ref`` is set where the piece is a reference."""

    name: str
    xml: str
    ref: Ref | None = None


@dataclass
class Answer:
    """The body of an answer in pieces, so that a wire fault can take one out or put one in twice."""

    action: str
    parts: list[Part] = field(default_factory=list)
    opening: str = ""
    closing: str = ""

    @property
    def body(self) -> str:
        return self.opening + "".join(part.xml for part in self.parts) + self.closing


_ENVELOPE = (
    '<s:Envelope xml:lang="{locale}" xmlns:s="' + S + '" xmlns:a="' + A + '" xmlns:x="' + X + '" xmlns:n="' + N
    + '" xmlns:w="' + W + '" xmlns:m="' + M + '"><s:Header><a:Action>{action}</a:Action>'
    "<a:MessageID>{message_id}</a:MessageID><a:To>" + ANONYMOUS + "</a:To>{relates_to}{extra}</s:Header>"
    "<s:Body>{body}</s:Body></s:Envelope>"
)


def envelope(action: str, body: str, *, relates_to: str, locale: str = "en-US", extra_header: str = "") -> bytes:
    """An answer's envelope, with a new MessageID."""
    return _ENVELOPE.format(
        locale=locale,
        action=text(action),
        message_id=f"uuid:{str(uuid.uuid4()).upper()}",
        relates_to=f"<a:RelatesTo>{text(relates_to)}</a:RelatesTo>" if relates_to else "",
        extra=extra_header,
        body=body,
    ).encode()


def fault_envelope(fault: Fault, *, relates_to: str, machine: str, locale: str) -> bytes:
    """A fault's envelope; its Detail in the fault's shape, its texts in the host's language."""
    reason = fault.text or text_for(fault.kind, locale)
    addressing = fault.subcode.startswith("a:")
    subcode = f"<s:Subcode><s:Value>{text(fault.subcode)}</s:Value></s:Subcode>" if fault.subcode else ""
    code = "s:MustUnderstand" if fault.kind == "must_understand" else "s:Sender" if fault.sender else "s:Receiver"
    body = (
        f"<s:Fault><s:Code><s:Value>{code}</s:Value>{subcode}</s:Code>"
        f'<s:Reason><s:Text xml:lang="{locale}">{text(reason)}</s:Text></s:Reason>'
        f"<s:Detail>{_DETAILS[fault.shape](fault, reason, machine)}</s:Detail></s:Fault>"
    )
    action = f"{A}/fault" if addressing else "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
    return envelope(action, body, relates_to=relates_to, locale=locale)


def _wsman_fault(fault: Fault, message: str, machine: str) -> str:
    return (
        f'<f:WSManFault xmlns:f="{F}" Code="{fault.code}" Machine={quoteattr(machine)}>'
        f"<f:Message>{message}</f:Message></f:WSManFault>"
    )


def _fault_detail(fault: Fault) -> str:
    uri = "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail"
    return f"<w:FaultDetail>{uri}/{fault.detail}</w:FaultDetail>" if fault.detail else ""


def _detail_a(fault: Fault, reason: str, machine: str) -> str:
    return _fault_detail(fault) + _wsman_fault(fault, text(reason), machine)


def _detail_b(fault: Fault, reason: str, machine: str) -> str:
    status = (
        f'<p:__ExtendedStatus xmlns:p="{CIM_SCHEMA}/__ExtendedStatus" xmlns:xsi="{XSI}"'
        ' xsi:type="p:__ExtendedStatus_Type">'
        '<p:Description xsi:nil="true"/>'
        f"<p:Operation>{text(fault.operation)}</p:Operation><p:ParameterInfo>{text(fault.info)}</p:ParameterInfo>"
        '<p:ProviderName>VmmsWmiInstanceAndMethodProvider</p:ProviderName><p:StatusCode xsi:nil="true"/>'
        "</p:__ExtendedStatus>"
    )
    provider = (
        '<f:ProviderFault provider="WMI Provider" path="C:\\Windows\\system32\\WsmWmiPl.dll">'
        f"{_wsman_fault(fault, text(reason), machine)}<f:ExtendedError>{status}</f:ExtendedError></f:ProviderFault>"
    )
    return _fault_detail(fault) + _wsman_fault(fault, provider, machine)


def _detail_c(fault: Fault, reason: str, machine: str) -> str:
    return (
        f'<p:MSFT_WmiError b:IsCIM_Error="true" xmlns:b="{B}" xmlns:p="{CIM_SCHEMA}/MSFT_WmiError"'
        f' xmlns:xsi="{XSI}" xsi:type="p:MSFT_WmiError_Type">'
        '<p:CIMStatusCode xsi:type="cim:cimUnsignedInt" xmlns:cim="' + CIM + '">27</p:CIMStatusCode>'
        f"<p:CIMStatusCodeDescription>{text(reason)}</p:CIMStatusCodeDescription>"
        '<p:ErrorSource xsi:nil="true"/><p:ErrorType>0</p:ErrorType>'
        f"<p:Message>{text(reason)}</p:Message><p:MessageID>HRESULT 0x{fault.code:08x}</p:MessageID>"
        '<p:OwningEntity xsi:nil="true"/><p:PerceivedSeverity>0</p:PerceivedSeverity>'
        '<p:ProbableCause>0</p:ProbableCause>'
        f"<p:error_Category>16</p:error_Category><p:error_Code>{fault.code}</p:error_Code>"
        f"<p:error_Type>HRESULT</p:error_Type><p:error_WindowsErrorMessage>{text(reason)}</p:error_WindowsErrorMessage>"
        "</p:MSFT_WmiError>"
    )


_DETAILS = {FaultShape.A: _detail_a, FaultShape.B: _detail_b, FaultShape.C: _detail_c}
