# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""WS-Management messages as values: a request becomes bytes, an answer becomes instances. No I/O.

The parts follow MS-WSMV (the protocol as Windows speaks it), DSP0226 (WS-Management) and DSP0227 (its CIM
binding). Where these leave room, the choice made here is named, with its reason:

* NULL arguments are left out. To WMI an input that is not in the message is NULL; winrm.exe and the CIM
  cmdlets do the same, while ``xsi:nil`` on a reference parameter is nowhere recorded.
* References travel without an ``a:EndpointReference`` around them, as winrm.exe and libvirt send them; real
  hosts refuse the wrapper. When reading, both forms are accepted.
* An empty element where a reference is expected reads as NULL.
* An enumeration is complete when the host says so (EndOfSequence, or an empty EnumerationContext). An answer
  with neither is an error: a list cut short would look like VMs that need nothing.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import hardened_xml, schema, values
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.hardened_xml import local, malformed
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    NAMESPACE,
    CimError,
    Instance,
    Kind,
    MethodCall,
    MethodResult,
    Reference,
    Scalar,
    Sent,
    Value,
)

# MS-WSMV 2.2.1
SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
ENUMERATION = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
MS_WSMAN = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
CIM = "http://schemas.dmtf.org/wbem/wscim/1/common"
XSI = "http://www.w3.org/2001/XMLSchema-instance"

ANONYMOUS = f"{ADDRESSING}/role/anonymous"
WQL = "http://schemas.microsoft.com/wbem/wsman/1/WQL"
RESOURCE = f"http://schemas.microsoft.com/wbem/wsman/1/wmi/{NAMESPACE}"

_CLASS_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)

MAX_ENVELOPE = 512_000
"""Bytes a host may put into one answer. It takes its own limit where that is lower (MS-WSMV 3.1.4.1.7)."""

MAX_ELEMENTS = 1000
"""Instances in one page. Without it a host sends one for each Pull; the envelope is full long before 1000."""


# --- requests --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """One message to be: what its headers name, and its body as XML text (prefixes as in :func:`envelope`)."""

    action: str
    resource_uri: str
    body: str = ""
    selectors: tuple[tuple[str, str], ...] = ()
    what: str = ""
    """For error texts: ``Get of Msvm_ConcreteJob``, ``RevertFailover``."""
    base_class: str = ""
    """The class asked for: types the answer where a subclass comes that the schema table does not know."""
    method: str = ""
    """Set for an Invoke: the one request that changes something, and therefore is never sent twice."""


def enumerate_wql(wql: str) -> Request:
    """Enumerate with a WQL filter and the first page in the answer (MS-WSMV 3.1.4.1.16, 3.1.5.2.1).

    Use ``SELECT *``: a projection is answered with fragments that do not name their class.
    """
    body = (
        "<n:Enumerate><w:OptimizeEnumeration/>"
        f"<w:MaxElements>{MAX_ELEMENTS}</w:MaxElements>"
        f'<w:Filter Dialect="{WQL}">{_escaped(wql, "the query")}</w:Filter></n:Enumerate>'
    )
    base = queried_class(wql)
    return Request(f"{ENUMERATION}/Enumerate", f"{RESOURCE}/*", body, what=f"the query for {base}", base_class=base)


def queried_class(wql: str) -> str:
    """The class of what a query yields: ASSOCIATORS OF names it in ResultClass, the others in FROM."""
    classes = [re.search(rf"\b{clause}\s*(\w+)", wql, re.IGNORECASE) for clause in (r"ResultClass\s*=", r"FROM\s")]
    return next((match[1] for match in classes if match), "")


def pull(context: str, query: Request) -> Request:
    """The next page of the enumeration that ``query`` began."""
    body = (
        f"<n:Pull><n:EnumerationContext>{_escaped(context, 'the context')}</n:EnumerationContext>"
        f"<n:MaxElements>{MAX_ELEMENTS}</n:MaxElements></n:Pull>"
    )
    return Request(
        f"{ENUMERATION}/Pull", query.resource_uri, body, what=f"a page of {query.what}", base_class=query.base_class
    )


def release(context: str, query: Request) -> Request:
    """Give up an enumeration before its end; an open one counts against the user's quota."""
    body = f"<n:Release><n:EnumerationContext>{_escaped(context, 'the context')}</n:EnumerationContext></n:Release>"
    return Request(f"{ENUMERATION}/Release", query.resource_uri, body, what=f"the release of {query.what}")


def get(reference: Reference) -> Request:
    """One instance by its keys. A selector that is no key is refused by the host."""
    return Request(
        f"{TRANSFER}/Get",
        f"{RESOURCE}/{reference.class_name}",
        selectors=reference.keys,
        what=f"Get of {reference.class_name}",
        base_class=reference.class_name,
    )


def invoke(call: MethodCall) -> Request:
    """One method call (MS-WSMV 3.1.4.8, example 4.1.4).

    Raises CimError (INVALID, not sent) for a method or an argument that the schema table does not have.
    """
    class_name, method = call.target.class_name, call.method
    try:
        inputs = schema.method_parameters(class_name, method).inputs
    except KeyError:
        raise _refused(f"{class_name}.{method} is not among the methods this collection calls") from None
    arguments = dict(call.arguments)
    unknown = sorted(set(arguments) - set(inputs))
    if unknown:
        raise _refused(f"{class_name}.{method} has no parameter {', '.join(unknown)}")
    uri = f"{RESOURCE}/{class_name}"
    given = ((name, declared) for name, declared in inputs.items() if name in arguments)
    body = "".join(_argument(name, arguments[name], declared) for name, declared in given)
    return Request(
        f"{uri}/{method}",
        uri,
        f'<p:{method}_INPUT xmlns:p="{uri}">{body}</p:{method}_INPUT>',
        call.target.keys,
        what=method,
        base_class=class_name,
        method=method,
    )


def _argument(name: str, value: Value, declared: schema.CimType) -> str:
    if value is None:
        return f'<p:{name} xmlns:xsi="{XSI}" xsi:nil="true"/>'
    if isinstance(value, tuple) is not declared.array:
        raise _refused(f"the argument {name} must {'' if declared.array else 'not '}be an array")
    items = value if isinstance(value, tuple) else (value,)
    return "".join(f"<p:{name}>{_content(name, item, declared.name)}</p:{name}>" for item in items)


def _content(name: str, value: Scalar, cim_type: str) -> str:
    if value is None or not values.fits(value, cim_type):
        raise _refused(f"the argument {name} is {cim_type}, which cannot hold this {type(value).__name__}")
    if isinstance(value, Reference):
        return (
            f"<a:Address>{ANONYMOUS}</a:Address><a:ReferenceParameters>"
            f"<w:ResourceURI>{RESOURCE}/{_escaped(value.class_name, 'the class')}</w:ResourceURI>"
            f"{_selector_set(value.keys)}"
            "</a:ReferenceParameters>"
        )
    try:
        text = _escaped(values.xml_text(value), f"the argument {name}")
    except ValueError as error:
        raise _refused(f"the argument {name} is {error}") from None
    if isinstance(value, datetime):
        return f"<cim:Datetime>{text}</cim:Datetime>"
    if isinstance(value, timedelta):
        return f"<cim:Interval>{text}</cim:Interval>"
    return text


def _selector_set(selectors: t.Iterable[tuple[str, str]]) -> str:
    inside = "".join(
        f"<w:Selector Name={quoteattr(name)}>{_escaped(value, f'the key {name}')}</w:Selector>"
        for name, value in selectors
    )
    return f"<w:SelectorSet>{inside}</w:SelectorSet>" if inside else ""


def _escaped(text: str, what: str) -> str:
    """Text for an element. A carriage return would be read back as a line feed if it were not a reference."""
    try:
        return escape(hardened_xml.writable(text), {"\r": "&#13;"})
    except ValueError as error:
        raise _refused(f"{what}: {error}") from None


def _refused(message: str) -> CimError:
    return CimError(Kind.INVALID, message)


def envelope(request: Request, *, to: str, message_id: str, operation_timeout: int) -> bytes:
    """The whole message, with the headers of MS-WSMV 3.1.4.1.

    ``message_id`` without a prefix; the answer's RelatesTo must repeat it. ``operation_timeout`` in seconds: how
    long the host may work on it before it answers with a TimedOut fault.
    """
    text = (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:n="{ENUMERATION}" xmlns:w="{WSMAN}"'
        f' xmlns:m="{MS_WSMAN}" xmlns:cim="{CIM}">'
        "<s:Header>"
        f"<a:To>{_escaped(to, 'the address')}</a:To>"
        f'<w:ResourceURI s:mustUnderstand="true">{_escaped(request.resource_uri, "the class")}</w:ResourceURI>'
        f'<a:ReplyTo><a:Address s:mustUnderstand="true">{ANONYMOUS}</a:Address></a:ReplyTo>'
        f'<a:Action s:mustUnderstand="true">{_escaped(request.action, "the method")}</a:Action>'
        f'<w:MaxEnvelopeSize s:mustUnderstand="true">{MAX_ENVELOPE}</w:MaxEnvelopeSize>'
        f"<a:MessageID>uuid:{message_id}</a:MessageID>"
        '<w:Locale xml:lang="en-US" s:mustUnderstand="false"/>'
        '<m:DataLocale xml:lang="en-US" s:mustUnderstand="false"/>'
        f"<w:OperationTimeout>PT{operation_timeout}S</w:OperationTimeout>"
        f"{_selector_set(request.selectors)}"
        f"</s:Header><s:Body>{request.body}</s:Body></s:Envelope>"
    )
    return text.encode("utf-8")


# --- answers ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """Instances, and where the enumeration goes on (None: it is complete)."""

    instances: tuple[Instance, ...]
    context: str | None


def read_page(document: bytes, request: Request, message_id: str) -> Page:
    """The answer to an Enumerate or a Pull. Raises CimError: a fault, or an answer that is not one."""
    response = _content_of(document, request, message_id)
    if local(response) not in ("EnumerateResponse", "PullResponse"):
        raise _malformed(request, f"holds {local(response)} where a page was expected", document)
    instances: list[Instance] = []
    context: str | None = None
    complete = False
    for part in response:
        # Items and EndOfSequence come in WS-Man's namespace with an optimised Enumerate, else in Enumeration's.
        if local(part) == "Items":
            instances.extend(_instance(item, request, document) for item in part)
        elif local(part) == "EndOfSequence":
            complete = True
        elif local(part) == "EnumerationContext":
            context = _text(part).strip()
            complete = complete or not context
    if not complete and context is None:
        raise _malformed(request, "neither ends the enumeration nor says how it goes on", document)
    return Page(tuple(instances), None if complete else context)


def read_instance(document: bytes, request: Request, message_id: str) -> Instance:
    """The answer to a Get. Raises CimError."""
    return _instance(_content_of(document, request, message_id), request, document)


def read_released(document: bytes, request: Request, message_id: str) -> None:
    """The answer to a Release. Raises CimError."""
    _body_of(document, request, message_id)


def read_result(document: bytes, request: Request, message_id: str) -> MethodResult:
    """The answer to an Invoke. Raises CimError, whose ``sent`` is MAYBE unless the host refused the call."""
    try:
        return _result(document, request, message_id)
    except CimError as error:
        if error.kind is Kind.PROTOCOL:
            error.sent = Sent.MAYBE
        raise


def _result(document: bytes, request: Request, message_id: str) -> MethodResult:
    output = _content_of(document, request, message_id)
    if local(output) != f"{request.method}_OUTPUT":
        raise _malformed(request, f"holds {local(output)} instead of {request.method}_OUTPUT", document)
    declared = dict(schema.method_parameters(request.base_class, request.method).outputs)
    declared["ReturnValue"] = schema.CimType("uint32")
    out = _properties(output, declared, request, document)
    return_value = out.pop("ReturnValue", None)
    if not isinstance(return_value, int):
        raise _malformed(request, "has no ReturnValue", document)
    return MethodResult(return_value, out)


def _body_of(document: bytes, request: Request, message_id: str) -> Element:
    """The checked s:Body of an answer to this very message."""
    root = hardened_xml.parse(document, f"the answer to {request.what}")
    if root.tag != f"{{{SOAP}}}Envelope":
        raise _malformed(request, f"is {root.tag}, not a SOAP 1.2 envelope", document)
    body = root.find(f"{{{SOAP}}}Body")
    if body is None:
        raise _malformed(request, "has no s:Body", document)
    relates_to = root.findtext(f"{{{SOAP}}}Header/{{{ADDRESSING}}}RelatesTo")
    fault = body.find(f"{{{SOAP}}}Fault")
    # A host that could not read our headers has no MessageID to relate its fault to.
    if relates_to is None and fault is None:
        raise _malformed(request, "has no a:RelatesTo", document)
    if relates_to is not None and relates_to.strip().rpartition(":")[2].lower() != message_id.lower():
        raise _malformed(request, "belongs to another message (a:RelatesTo)", document)
    if fault is not None:
        raise _fault(fault, request)
    return body


def _content_of(document: bytes, request: Request, message_id: str) -> Element:
    body = _body_of(document, request, message_id)
    if not len(body):
        raise _malformed(request, "has an empty s:Body", document)
    return body[0]


def _malformed(request: Request, what: str, document: bytes) -> CimError:
    return malformed(f"the answer to {request.what} {what}", document)


# --- values ----------------------------------------------------------------------------------------


def _instance(element: Element, request: Request, document: bytes) -> Instance:
    class_name = local(element)
    known = schema.CLASSES.get(class_name) or schema.CLASSES.get(request.base_class)
    properties = _properties(element, known.properties if known else {}, request, document)
    keys = {name: properties.get(name) for name in known.keys} if known else {}
    texts = {name: value for name, value in keys.items() if isinstance(value, str)}
    reference = Reference.of(class_name, **texts) if texts and len(texts) == len(keys) else None
    return Instance(class_name, properties, reference)


def _properties(
    element: Element, declared: t.Mapping[str, schema.CimType], request: Request, document: bytes
) -> dict[str, Value]:
    """What the children say, by local name: their namespace is that of the real class."""
    found: dict[str, list[Element]] = {}
    for child in element:
        found.setdefault(local(child), []).append(child)
    properties: dict[str, Value] = {}
    for name, children in found.items():
        try:
            properties[name] = _value(children, declared.get(name))
        except ValueError as error:
            raise _malformed(request, f"has a {local(element)} whose {name} is {error}", document) from None
    return properties


def _value(elements: list[Element], declared: schema.CimType | None) -> Value:
    """One property. NULL is a single nil; a name the table does not know is an array if it comes repeatedly."""
    known = declared or schema.CimType("string", array=len(elements) > 1)
    if len(elements) > 1 and not known.array:
        raise ValueError("there more than once")
    if len(elements) == 1 and (not known.array or _is_nil(elements[0])):
        return _scalar(elements[0], known.name)
    return tuple(_scalar(element, known.name) for element in elements)


def _scalar(element: Element, cim_type: str) -> Scalar:
    if _is_nil(element):
        return None
    parameters = next(element.iter(f"{{{ADDRESSING}}}ReferenceParameters"), None)
    if parameters is not None:
        return _reference(parameters)
    text = _text(element)
    if cim_type == "ref":
        if text.strip():
            raise ValueError("no endpoint reference")
        return None
    return values.read(text, cim_type)


def _is_nil(element: Element) -> bool:
    return element.get(f"{{{XSI}}}nil", "").strip() in ("true", "1")


def _text(element: Element) -> str:
    """All the text inside, so that it does not matter how a datetime is wrapped (cim:Datetime, cim:Interval ..)."""
    return "".join(element.itertext())


def _reference(parameters: Element) -> Reference:
    uri = parameters.findtext(f"{{{WSMAN}}}ResourceURI", "").strip()
    class_name = uri.partition("?")[0].rpartition("/")[2]
    selectors = {selector.get("Name", ""): _text(selector) for selector in parameters.iter(f"{{{WSMAN}}}Selector")}
    # Some hosts name the namespace among the keys; sent back, it would be a selector that is no key.
    keys = {name: value for name, value in selectors.items() if name.lower() != "__cimnamespace"}
    if not _CLASS_NAME.fullmatch(class_name) or not keys or "" in keys:
        raise ValueError("a reference without a class or without keys")
    return Reference.of(class_name, **keys)


# --- faults ----------------------------------------------------------------------------------------

# What a code says, whatever the words beside it: WinRM and HRESULT codes as seen on hosts, WBEM codes from
# MS-WMI 2.2.11. Kinds that mean "it did not run" hold only codes that are given before a method starts.
FAULT_CODES: t.Mapping[int, Kind] = {
    0x00000005: Kind.ACCESS_DENIED,
    0x80070005: Kind.ACCESS_DENIED,
    0x80338104: Kind.ACCESS_DENIED,  # by the WMI service
    0x80041003: Kind.ACCESS_DENIED,  # WBEM_E_ACCESS_DENIED
    0x80338000: Kind.NOT_FOUND,  # instance or class
    0x8033803B: Kind.NOT_FOUND,  # resource URI
    0x80041002: Kind.NOT_FOUND,  # WBEM_E_NOT_FOUND
    0x8004100E: Kind.NOT_FOUND,  # WBEM_E_INVALID_NAMESPACE
    0x80041010: Kind.NOT_FOUND,  # WBEM_E_INVALID_CLASS
    0x80338029: Kind.TIMED_OUT,
    0x803381A6: Kind.QUOTA,  # operations of this user
    0x80338041: Kind.INVALID,  # the body lacks an element
    0x8033805B: Kind.INVALID,  # selectors
    0x80041017: Kind.INVALID,  # WBEM_E_INVALID_QUERY
    0x8004102E: Kind.INVALID,  # WBEM_E_INVALID_METHOD
    0x8004102F: Kind.INVALID,  # WBEM_E_INVALID_METHOD_PARAMETERS
    0x8004103A: Kind.INVALID,  # WBEM_E_INVALID_OBJECT_PATH
    0x80041011: Kind.UNAVAILABLE,  # WBEM_E_PROVIDER_NOT_FOUND
    0x80041013: Kind.UNAVAILABLE,  # WBEM_E_PROVIDER_LOAD_FAILURE
    0x80041014: Kind.UNAVAILABLE,  # WBEM_E_INITIALIZATION_FAILURE
    0x800706BA: Kind.UNAVAILABLE,  # RPC_S_SERVER_UNAVAILABLE
    0x800706BE: Kind.UNAVAILABLE,  # RPC_S_CALL_FAILED: the service ended while it was asked
}

# DSP0226 section 14; WinRM 2.0 gives a number where WinRM 3 gives a subcode, so both are read. EncodingLimit is
# missing on purpose: it also says that an *answer* was too large, and then the method has run.
FAULT_SUBCODES: t.Mapping[str, Kind] = {
    "AccessDenied": Kind.ACCESS_DENIED,
    "DestinationUnreachable": Kind.NOT_FOUND,
    "TimedOut": Kind.TIMED_OUT,
    "QuotaLimit": Kind.QUOTA,
    "ActionNotSupported": Kind.INVALID,
    "CannotProcessFilter": Kind.INVALID,
    "FilterDialectRequestedUnavailable": Kind.INVALID,
    "FilteringNotSupported": Kind.INVALID,
    "InvalidEnumerationContext": Kind.INVALID,
    "InvalidMessageInformationHeader": Kind.INVALID,
    "InvalidOptions": Kind.INVALID,
    "InvalidSelectors": Kind.INVALID,
    "MessageInformationHeaderRequired": Kind.INVALID,
    "MustUnderstand": Kind.INVALID,
    "SchemaValidationError": Kind.INVALID,
    "UnsupportedFeature": Kind.INVALID,
    "VersionMismatch": Kind.INVALID,
}

# DSP0200: what an MSFT_WmiError without a better code says.
_CIM_STATUS: t.Mapping[int, Kind] = {
    2: Kind.ACCESS_DENIED,
    3: Kind.NOT_FOUND,
    5: Kind.NOT_FOUND,
    6: Kind.NOT_FOUND,
}

UNSURE = frozenset({Kind.TIMED_OUT, Kind.HOST, Kind.UNAVAILABLE})
"""Kinds of faults that leave open whether a method has run."""

SAYS: t.Mapping[Kind, str] = {
    Kind.ACCESS_DENIED: "access denied",
    Kind.NOT_FOUND: "there is no such class or object",
    Kind.TIMED_OUT: "the host did not finish within its operation time-out",
    Kind.QUOTA: "the quota of this user is used up",
    Kind.UNAVAILABLE: "WMI or the service behind it does not answer",
    Kind.INVALID: "the host does not accept the message",
    Kind.HOST: "the host reports a fault",
}

_NOT_AN_INSTANCE = {0x8033803B, 0x8004100E, 0x80041010}


def is_missing_instance(error: CimError) -> bool:
    """Whether a fault says that an object does not exist, rather than its class or namespace."""
    return error.kind is Kind.NOT_FOUND and error.code not in _NOT_AN_INSTANCE


def _fault(fault: Element, request: Request) -> CimError:
    """A SOAP fault, in any of its three shapes: WinRM's own, one of the WMI plugin, and an MSFT_WmiError."""
    every: dict[str, list[Element]] = {}
    for element in fault.iter():
        every.setdefault(local(element), []).append(element)

    def numbers(name: str) -> list[int]:
        return [number for element in every.get(name, ()) if (number := _code(_text(element)))]

    # The innermost WSManFault is the cause; those around it only pass it on.
    winrm = [number for element in every.get("WSManFault", ()) if (number := _code(element.get("Code", "")))]
    codes = winrm[-1:] or numbers("error_Code")[:1]
    subcodes = [_text(value).strip().rpartition(":")[2] for value in fault.iter(f"{{{SOAP}}}Value")][::-1]
    kind = next(
        (
            found
            for found in (
                *map(FAULT_CODES.get, codes + numbers("StatusCode")),
                *map(FAULT_SUBCODES.get, subcodes),
                *map(_CIM_STATUS.get, numbers("CIMStatusCode")),
            )
            if found
        ),
        Kind.HOST,
    )
    code = codes[0] if codes else None
    # The subcode names the number that it comes with, and stands for the one that WinRM 2.0 has not got.
    named = f"0x{code:08X}" if code is not None else next(iter(subcodes), "no code")
    return CimError(
        kind,
        f"{request.what}: {SAYS[kind]} ({named})",
        sent=Sent.MAYBE if request.method and kind in UNSURE else Sent.NO,
        code=code,
        detail=_host_words(every),
    )


def _code(text: str) -> int | None:
    """A code as unsigned 32 bits. Captures show decimal, negative and hexadecimal spellings; 0 says nothing."""
    match = re.fullmatch(r"\s*(?:0[xX]([0-9a-fA-F]{1,8})|(-?[0-9]{1,10}))\s*", text)
    if not match:
        return None
    return (int(match[1], 16) if match[1] else int(match[2])) & 0xFFFFFFFF or None


def _host_words(every: t.Mapping[str, list[Element]]) -> str:
    """The host's own text: the innermost message, else the reason, and what the provider adds."""
    names = ("Message", "error_WindowsErrorMessage", "Text")
    texts = [" ".join(_text(element).split()) for name in names for element in every.get(name, ())[-1:]]
    words = next(filter(None, texts), "")
    for name in ("FaultDetail", "Operation", "ParameterInfo", "ProviderName"):
        for element in every.get(name, ())[:1]:
            extra = _text(element).strip().rpartition("/faultDetail/")[2]
            words += f" [{name}: {extra}]" if extra else ""
    return words.strip()[:1000]
