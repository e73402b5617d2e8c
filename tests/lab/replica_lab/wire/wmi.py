# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The WMI plugin of the lab's WinRM: Enumerate, Pull, Release, Get and Invoke on a CimProvider.

Strict where real hosts are, since a client that gets away with something here fails in the night it counts:
an EndpointReference around a reference, missing and foreign selectors, a wrong namespace of ``_INPUT``, an
element tree in place of embedded CIM-XML (sources: MS-WSMV 3.1.4, and what public clients report).
"""

from __future__ import annotations

import re
import typing as t
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from xml.etree.ElementTree import Element

from replica_lab import provider as cim
from replica_lab import schema, wql
from replica_lab.provider import CimObject, CimProvider, Ref, Value
from replica_lab.wire import messages as ws
from replica_lab.wire.assumptions import WireAssumptions
from replica_lab.wire.messages import Answer, Fault, Part, Request

ROOM_FOR_ENVELOPE = 1500
"""Bytes of an answer kept for everything but its items."""
DEFAULT_MAX_ELEMENTS = 1
"""What a Pull without MaxElements gives: recordings hold one item each (DSP0226 8.4)."""
MAX_OPEN_ENUMERATIONS = 1500
"""MaxConcurrentOperationsPerUser of a current host: an open enumeration counts as an operation."""


@dataclass
class Enumeration:
    """What is left of an enumeration: rendered when it is asked for."""

    user: str
    items: list[CimObject]
    render: t.Callable[[CimObject], str]
    at: int = 0

    @property
    def exhausted(self) -> bool:
        return self.at >= len(self.items)


class WmiPlugin:
    """Everything below ``…/wbem/wsman/1/wmi/`` on one host."""

    def __init__(self, provider: CimProvider, assumptions: WireAssumptions) -> None:
        self._provider = provider
        self._assumptions = assumptions
        self._enumerations: dict[str, Enumeration] = {}
        self._names: dict[str, tuple[str, ...]] = {}

    @property
    def open_enumerations(self) -> int:
        """Enumerations neither pulled to their end nor released."""
        return len(self._enumerations)

    async def answer(self, request: Request, user: str) -> Answer:
        """Carry out one request. Raises Fault."""
        if not request.resource_uri.lower().startswith(ws.VIRTUALIZATION.lower() + "/"):
            raise Fault("not_found", info=request.resource_uri.removeprefix(ws.WMI))
        steps = {
            "Enumerate": self._enumerate,
            "Pull": self._pull,
            "Release": self._release,
            "Get": self._get,
            "Invoke": self._invoke,
        }
        if request.operation not in steps:
            raise Fault("unknown_action", info=request.action)
        try:
            return steps[request.operation](request, user)
        except wql.WqlError as error:
            raise Fault("bad_query", info=str(error)) from error
        except cim.NotFound as error:
            raise Fault("not_found", info=str(error)) from error
        except cim.AccessDenied as error:
            raise Fault("access_denied", info=str(error)) from error
        except cim.InvalidCall as error:
            raise Fault("bad_parameters", info=str(error)) from error
        except cim.Unavailable as error:
            raise Fault("unavailable", info=str(error)) from error

    # --- Enumerate, Pull, Release (DSP0226, 8) ---

    def _enumerate(self, request: Request, user: str) -> Answer:
        body = _expect(request, ws.N, "Enumerate")
        items, whole = self._found(request, body, user)
        mode = (body.findtext(f"{{{ws.W}}}EnumerationMode") or "").strip()
        if mode not in self._renderers:
            raise Fault("schema", text=f"unknown EnumerationMode {mode}")
        render = self._renderers[mode] if whole or mode else (lambda _self, found: ws.fragment(found))
        if sum(one.user == user for one in self._enumerations.values()) >= MAX_OPEN_ENUMERATIONS:
            raise Fault("quota")
        enumeration = Enumeration(user, items, lambda found: render(self, found))
        answer = Answer(f"{ws.N}/EnumerateResponse", [], "<n:EnumerateResponse>", "</n:EnumerateResponse>")
        if body.find(f"{{{ws.W}}}OptimizeEnumeration") is None:
            answer.opening += f"<n:EnumerationContext>{self._keep(enumeration)}</n:EnumerationContext>"
            return answer
        answer.parts = self._page(request, enumeration, _max_elements(body, ws.W))
        if enumeration.exhausted:
            answer.opening += "<n:EnumerationContext/><w:Items>"
            answer.closing = "</w:Items><w:EndOfSequence/>" + answer.closing
        else:
            answer.opening += f"<n:EnumerationContext>{self._keep(enumeration)}</n:EnumerationContext><w:Items>"
            answer.closing = "</w:Items>" + answer.closing
        return answer

    def _found(self, request: Request, body: Element, user: str) -> tuple[list[CimObject], bool]:
        """The instances, and whether they are whole (no projection)."""
        selection = body.find(f"{{{ws.W}}}Filter")
        if selection is None:
            if request.class_name == "*":
                raise Fault("schema", text="An enumeration of all classes needs a filter")
            return self._provider.instances(request.class_name, user), True
        if selection.get("Dialect") != ws.WQL_DIALECT:
            raise Fault("wrong_dialect", info=selection.get("Dialect", ""))
        query = wql.parse(request.filter)
        return wql.run(self._provider, query, user), not (isinstance(query, wql.Select) and query.names)

    def _pull(self, request: Request, user: str) -> Answer:
        body = _expect(request, ws.N, "Pull")
        enumeration = self._take(body, user)
        parts = self._page(request, enumeration, _max_elements(body, ws.N))
        opening, closing = "<n:PullResponse>", "</n:Items>"
        if enumeration.exhausted:
            closing += "<n:EndOfSequence/>"
        else:
            opening += f"<n:EnumerationContext>{self._keep(enumeration)}</n:EnumerationContext>"
        return Answer(f"{ws.N}/PullResponse", parts, opening + "<n:Items>", closing + "</n:PullResponse>")

    def _release(self, request: Request, user: str) -> Answer:
        self._take(_expect(request, ws.N, "Release"), user)
        return Answer(f"{ws.N}/ReleaseResponse")

    def _keep(self, enumeration: Enumeration) -> str:
        """A new context for what is left: the one before is spent."""
        context = f"uuid:{str(uuid.uuid4()).upper()}"
        self._enumerations[context] = enumeration
        return context

    def _take(self, body: Element, user: str) -> Enumeration:
        context = (body.findtext(f"{{{ws.N}}}EnumerationContext") or "").strip()
        enumeration = self._enumerations.get(context)
        if enumeration is None or enumeration.user != user:
            raise Fault("bad_context")
        return self._enumerations.pop(context)

    def _page(self, request: Request, enumeration: Enumeration, max_elements: int) -> list[Part]:
        """As many items as asked for, as long as they fit the envelope."""
        room = request.max_envelope_size - ROOM_FOR_ENVELOPE
        parts: list[Part] = []
        while not enumeration.exhausted and len(parts) < max_elements:
            found = enumeration.items[enumeration.at]
            xml = enumeration.render(found)
            room -= len(xml.encode())
            if room < 0:
                break
            parts.append(Part(found.ref.class_name, xml, found.ref))
            enumeration.at += 1
        if not parts and not enumeration.exhausted:
            raise Fault("envelope_size_exceeded")
        return parts

    def _whole(self, found: CimObject) -> str:
        return ws.instance(found, self._property_names(found), empty_arrays=self._assumptions.empty_arrays)

    def _property_names(self, found: CimObject) -> t.Sequence[str]:
        """All properties of the class in alphabetical order, NULL or not, as hosts write them."""
        class_name = found.ref.class_name
        if class_name not in self._names:
            shape = schema.shape(class_name)
            self._names[class_name] = tuple(sorted(shape.properties)) if shape else ()
        return self._names[class_name] or sorted(found.properties)

    _renderers: t.ClassVar[dict[str, t.Callable[[WmiPlugin, CimObject], str]]] = {
        "": lambda self, found: self._whole(found),
        "EnumerateEPR": lambda self, found: ws.epr(found.ref),
        "EnumerateObjectAndEPR": lambda self, found: f"<w:Item>{self._whole(found)}{ws.epr(found.ref)}</w:Item>",
    }

    # --- Get ---

    def _get(self, request: Request, user: str) -> Answer:
        found = self._provider.get(self._target(request, "missing_selectors"), user)
        part = Part(found.ref.class_name, self._whole(found), found.ref)
        if len(part.xml.encode()) + ROOM_FOR_ENVELOPE > request.max_envelope_size:
            raise Fault("envelope_size_exceeded")
        return Answer(f"{ws.X}/GetResponse", [part])

    def _target(self, request: Request, without: str) -> Ref:
        """The instance that the selectors name; a subset of the keys is left to the provider."""
        keys = ws.keys_of(request.selectors)
        shape = schema.shape(request.class_name)
        if not keys:
            raise Fault(without, info=request.class_name)
        known = {key.lower() for key in shape.keys} if shape and shape.keys else None
        if len(keys) != len({key.lower() for key in keys}) or (known and not {key.lower() for key in keys} <= known):
            raise Fault("unexpected_selectors", info=request.class_name)
        return Ref.of(request.class_name, **keys)

    # --- Invoke (MS-WSMV 4.1.4) ---

    def _invoke(self, request: Request, user: str) -> Answer:
        if request.action != f"{request.resource_uri}/{request.method}":
            raise Fault("unknown_action", info=request.action)
        target = self._target(request, "bad_parameters")
        shape = schema.shape(request.class_name)
        method = shape.methods.get(request.method) if shape else None
        types = method.inputs if method else {}
        arguments = self._arguments(request, types)
        return_value, out = self._provider.invoke(target, request.method, arguments, user)
        parts = [
            Part(name, ws.value_element(name, value), value if isinstance(value, Ref) else None)
            for name, value in out.items()
            if value is not None or self._assumptions.null_out_parameters == "nil"
        ]
        parts.append(Part("ReturnValue", f"<p:ReturnValue>{return_value}</p:ReturnValue>"))
        opening = (
            f'<p:{request.method}_OUTPUT xmlns:p="{request.resource_uri}" xmlns:xsi="{ws.XSI}" xmlns:cim="{ws.CIM}">'
        )
        return Answer(f"{request.action}Response", parts, opening, f"</p:{request.method}_OUTPUT>")

    def _arguments(self, request: Request, types: t.Mapping[str, str]) -> dict[str, Value]:
        body = _expect(request, request.resource_uri, f"{request.method}_INPUT")
        arguments: dict[str, Value] = {}
        order = list(types)
        for element in body:
            namespace, _brace, name = element.tag[1:].rpartition("}")
            if namespace != request.resource_uri:
                raise Fault("schema", text=f"The parameter {name} is not in the namespace of the class")
            value = _argument(element, types.get(name, ""))
            known = arguments.get(name)
            if name in arguments and not isinstance(known, list):
                raise Fault("schema", text=f"The parameter {name} is there twice")
            arguments[name] = [*known, *value] if isinstance(known, list) and isinstance(value, list) else value
        given = [name for name in arguments if name in types]
        if self._assumptions.parameters_in_order and given != sorted(given, key=order.index):
            raise Fault("schema", text="The parameters are not in the order of the class definition")
        return arguments


def _expect(request: Request, namespace: str, name: str) -> Element:
    """The body's element, which must be this one."""
    if request.body is None or request.body.tag != f"{{{namespace}}}{name}":
        raise Fault("schema", text=f"The body needs the element {name} of the namespace {namespace}")
    return request.body


def _max_elements(body: Element, namespace: str) -> int:
    text = (body.findtext(f"{{{namespace}}}MaxElements") or "").strip()
    if not text:
        return DEFAULT_MAX_ELEMENTS
    if not text.isdecimal() or not int(text):
        raise Fault("schema", text=f"MaxElements is {text}")
    return int(text)


def _argument(element: Element, cim_type: str) -> Value:
    """The value of one parameter element; what does not fit its type is refused as bad parameters."""
    if element.get(f"{{{ws.XSI}}}nil") in ("true", "1"):
        return None
    item_type = cim_type.removesuffix("[]")
    value = _single_argument(element, item_type)
    return [value] if cim_type.endswith("[]") else value


def _single_argument(element: Element, cim_type: str) -> cim.Scalar:
    children = [child.tag for child in element]
    if children:
        reference = ws.reference_from(element)
        if reference is not None and len(children) == 2:
            return reference
        if len(children) == 1 and children[0].startswith(f"{{{ws.CIM}}}"):
            return _time(element[0].text or "")
        raise Fault("schema", text=f"{element.tag.rpartition('}')[2]} holds elements that do not belong there")
    text = element.text or ""
    try:
        if cim_type == "boolean":
            return {"true": True, "1": True, "false": False, "0": False}[text.strip().lower()]
        if "int" in cim_type:
            return int(text)
        if cim_type == "datetime":
            return _time(text)
    except (KeyError, ValueError) as error:
        raise Fault("bad_parameters", info=f"{element.tag.rpartition('}')[2]}={text}") from error
    return text


_INTERVAL = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?\Z")


def _time(text: str) -> datetime | timedelta:
    """A datetime or an interval, in the wire's spelling or in CIM's."""
    text = text.strip()
    interval = _INTERVAL.match(text)
    if interval:
        days, hours, minutes, seconds = (float(part or 0) for part in interval.groups())
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    for read in (wql.parse_datetime, wql.parse_interval, _iso_time):
        try:
            return read(text)
        except ValueError:
            continue
    raise Fault("bad_parameters", info=text)


_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?(Z|[+-]\d\d:\d\d)\Z")


def _iso_time(text: str) -> datetime:
    match = _ISO.match(text)
    if not match:
        raise ValueError(f"not an ISO 8601 time: {text}")
    # Python 3.10 reads neither Z nor a fraction of any other length than 3 or 6.
    offset = "+00:00" if match[3] == "Z" else match[3]
    return datetime.fromisoformat(f"{match[1]}.{(match[2] or '').ljust(6, '0')}{offset}").astimezone(timezone.utc)
