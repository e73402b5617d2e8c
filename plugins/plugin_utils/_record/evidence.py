# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""A recording read back: what was asked, and what was answered, typed by the same readers that a session uses.

Only the file is read, masked as it is. So whoever gets it can check every verdict of its report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import hardened_xml, wsman
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.hardened_xml import local
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.over_powershell import PowerShellSession
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Answer,
    Call,
    CimError,
    Failed,
    Get,
    Guard,
    GuardResult,
    Instance,
    Kind,
    MethodCall,
    MethodResult,
    Query,
    Reference,
    Step,
    Wait,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.recording import Json, Moment

_FROM = re.compile(r"\bFROM\s+(\w+)(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Exchange:
    """One question and its answer; over WS-Management one message, which may be one page of several."""

    host: str
    transport: str
    moment: str
    step: Step
    answer: Answer
    xml: Element | None = None
    """The answer's s:Body, where there is one."""

    @property
    def about(self) -> str:
        """The class that was asked for, or the method that was called."""
        if isinstance(self.step, Query):
            found = _FROM.search(self.step.wql)
            return found[1] if found else ""
        if isinstance(self.step, (Get, Guard)):
            return self.step.reference.class_name
        return self.step.call.method if isinstance(self.step, Call) else ""

    @property
    def whole(self) -> bool:
        """Whether it asks for all instances of a class."""
        found = _FROM.search(self.step.wql) if isinstance(self.step, Query) else None
        return found is not None and not found[2].strip()

    @property
    def instances(self) -> tuple[Instance, ...]:
        if isinstance(self.answer, tuple):
            return self.answer
        found = self.answer.instance if isinstance(self.answer, GuardResult) else self.answer
        return (found,) if isinstance(found, Instance) else ()

    @property
    def result(self) -> MethodResult | None:
        return self.answer if isinstance(self.answer, MethodResult) else None

    @property
    def error(self) -> CimError | None:
        return self.answer.error if isinstance(self.answer, Failed) else None


@dataclass
class Evidence:
    """All of a recording."""

    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def hosts(self) -> list[str]:
        return list(dict.fromkeys(exchange.host for exchange in self.exchanges))

    def at(self, *moments: str, about: str = "", transport: str = "") -> Iterator[Exchange]:
        for exchange in self.exchanges:
            if (
                exchange.moment in (moments or _READINGS)
                and about in ("", exchange.about)
                and transport in ("", exchange.transport)
            ):
                yield exchange

    def instances(self, class_name: str, *moments: str, transport: str = "") -> Iterator[tuple[Exchange, Instance]]:
        for exchange in self.at(*moments, transport=transport):
            for instance in exchange.instances:
                if instance.class_name == class_name:
                    yield exchange, instance

    def groups(self) -> Iterator[tuple[str, Evidence]]:
        """Each host over each transport, by itself."""
        keys = dict.fromkeys((exchange.host, exchange.transport) for exchange in self.exchanges)
        for host, transport in keys:
            yield host, Evidence([e for e in self.exchanges if (e.host, e.transport) == (host, transport)])


_READINGS = (Moment.READING,)


def evidence(recording: Json) -> Evidence:
    """What a recording holds. An exchange that cannot be read is one with an error of the kind PROTOCOL."""
    found = Evidence()
    for part in recording["hosts"]:
        query: Query | None = None
        for exchange in part["exchanges"]:
            if exchange["transport"] == "powershell":
                found.exchanges.extend(_powershell(part["host"], exchange))
                continue
            one = _wsman(part["host"], exchange, query)
            if one is not None:
                query = one.step if isinstance(one.step, Query) else query
                found.exchanges.append(one)
    return found


# --- WS-Management -----------------------------------------------------------------------------------


def _wsman(host: str, exchange: Json, query: Query | None) -> Exchange | None:
    """A message. ``query``: the one that a Pull goes on with. None for a Release, which tells nothing."""
    envelope = hardened_xml.parse("\n".join(exchange["request"]), "a recorded request")
    header = {local(element): element for element in envelope[0]}
    header.update((local(element), element) for element in envelope[1].iter() if local(element) == "Filter")
    action, uri = (header[name].text or "" for name in ("Action", "ResourceURI"))
    message_id = (header["MessageID"].text or "").rpartition(":")[2]
    class_name = uri.rpartition("/")[2]
    operation = action.rpartition("/")[2]
    step: Step
    if operation == "Enumerate":
        step = Query(" ".join((header["Filter"].text or "").split()))
    elif operation == "Pull" and query is not None:
        step = query
    elif operation == "Get":
        step = Get(_selected(class_name, header))
    elif action == f"{uri}/{operation}":
        step = Call("", MethodCall(_selected(class_name, header), operation))
    else:
        return None
    about = Exchange(host, "wsman", exchange["moment"], step, None)
    method = operation if isinstance(step, Call) else ""
    base_class = class_name if class_name != "*" else about.about
    request = wsman.Request(action, uri, what=operation, base_class=base_class, method=method)
    answer, xml = _answered(exchange, step, request, message_id)
    return Exchange(host, "wsman", exchange["moment"], step, answer, xml)


def _selected(class_name: str, header: Mapping[str, Element]) -> Reference:
    selectors = header.get("SelectorSet", ())
    return Reference.of(class_name, **{one.get("Name", ""): one.text or "" for one in selectors})


def _answered(exchange: Json, step: Step, request: wsman.Request, message_id: str) -> tuple[Answer, Element | None]:
    if "response" not in exchange:
        error = exchange["error"]
        return Failed(CimError(Kind(error["kind"]), str(error["message"]), code=error["code"])), None
    document = "\n".join(exchange["response"]).encode("utf-8")
    xml = None
    try:
        root = hardened_xml.parse(document, "a recorded answer")
        xml = next((element for element in root if local(element) == "Body"), None)
        if isinstance(step, Query):
            return wsman.read_page(document, request, message_id).instances, xml
        if isinstance(step, Get):
            return wsman.read_instance(document, request, message_id), xml
        return wsman.read_result(document, request, message_id), xml
    except CimError as error:
        return (None if isinstance(step, Get) and wsman.is_missing_instance(error) else Failed(error)), xml


# --- PowerShell --------------------------------------------------------------------------------------


def _powershell(host: str, exchange: Json) -> Iterator[Exchange]:
    steps = [_step(step) for step in exchange["arguments"]["steps"]]
    answers = PowerShellSession(lambda _arguments: exchange.get("result", {})).run(steps)
    for step, answer in zip(steps, answers, strict=True):
        yield Exchange(host, "powershell", exchange["moment"], step, answer)


def _step(step: Json) -> Step:
    """A step as the module was given it."""
    if step["do"] == "query":
        return Query(step["wql"])
    if step["do"] == "get":
        return Get(_reference(step["reference"]))
    if step["do"] == "guard":
        expected = tuple((name, tuple(accepted)) for name, accepted in step["expected"].items())
        return Guard(step["chain"], _reference(step["reference"]), expected)
    if step["do"] == "call":
        return Call(step["chain"], MethodCall(_reference(step["target"]), step["method"]))
    return Wait((), 0, 0)


def _reference(reference: Json) -> Reference:
    return Reference.of(reference["class"], **reference["keys"])
