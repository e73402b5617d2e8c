# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the wire share: a tiny world made by hand, and clients that know nothing of the lab."""

from __future__ import annotations

import contextlib
import typing as t
import uuid
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

import pypsrp.wsman
import pytest
import requests
from replica_lab.provider import CimObject, InvalidCall, NotFound, Ref, Value
from replica_lab.world import Host, User, World
from winrm.protocol import Protocol

USER, PASSWORD = "operator", "se cret-ü"

NS = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "w": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
    "n": "http://schemas.xmlsoap.org/ws/2004/09/enumeration",
    "x": "http://schemas.xmlsoap.org/ws/2004/09/transfer",
    "f": "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault",
    "b": "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd",
    "cim": "http://schemas.dmtf.org/wbem/wscim/1/common",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "rsp": "http://schemas.microsoft.com/wbem/wsman/1/windows/shell",
    "status": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/__ExtendedStatus",
    "error": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/MSFT_WmiError",
}
ANONYMOUS = f"{NS['a']}/role/anonymous"
V2 = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/virtualization/v2"
WQL = "http://schemas.microsoft.com/wbem/wsman/1/WQL"
SYSTEMS = "SELECT * FROM Msvm_ComputerSystem"


# --- a tiny world --------------------------------------------------------------------------------------


class TinyHost(Host):
    """A provider over a list of instances; ``methods`` says what each method answers."""

    objects: list[CimObject]
    methods: dict[str, t.Callable[[dict[str, Value]], tuple[int, dict[str, Value]]]]
    invoked: list[tuple[Ref, str, dict[str, Value], str]]

    def instances(self, class_name: str, user: str) -> list[CimObject]:
        found = [one for one in self.objects if one.ref.class_name == class_name]
        if not found and not class_name.startswith("Msvm_"):
            raise NotFound("class", class_name)
        return found

    def get(self, ref: Ref, user: str) -> CimObject:
        found = [
            one
            for one in self.objects
            if one.ref.class_name == ref.class_name and set(ref.keys) <= set(one.ref.keys)
        ]
        if len(found) != 1:
            raise NotFound("instance", str(ref))
        return found[0]

    def invoke(self, ref: Ref, method: str, arguments: dict[str, Value], user: str) -> tuple[int, dict[str, Value]]:
        self.invoked.append((ref, method, arguments, user))
        if method not in self.methods:
            raise InvalidCall(method)
        return self.methods[method](arguments)


def system(name: str, **properties: Value) -> CimObject:
    """A computer system with just these properties beside its keys."""
    keys = {"CreationClassName": "Msvm_ComputerSystem", "Name": name}
    return CimObject(Ref.of("Msvm_ComputerSystem", **keys), {**keys, **properties})


def tiny_world(*objects: CimObject, locale: str = "en-US", **methods: t.Any) -> World:
    """A world of one host, HV01, that holds just these instances."""
    world = World("tiny")
    host = TinyHost(world, "HV01", locale=locale, users={USER: User(USER, PASSWORD)})
    host.objects, host.methods, host.invoked = list(objects), methods, []
    world.hosts["HV01"] = host
    return world


# --- clients -------------------------------------------------------------------------------------------


class Answer:
    """An HTTP answer with its XML, if it is one."""

    def __init__(self, response: requests.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.content = response.content
        self.root: ET.Element | None = None
        """None for what is no XML."""
        with contextlib.suppress(ET.ParseError):
            self.root = ET.fromstring(response.content)

    def find(self, path: str) -> ET.Element:
        """The one element at the path below the envelope."""
        assert self.root is not None, self.content
        found = self.root.findall(path, NS)
        assert len(found) == 1, (path, self.content)
        return found[0]

    def all(self, path: str) -> list[ET.Element]:
        assert self.root is not None, self.content
        return self.root.findall(path, NS)

    def text(self, path: str) -> str:
        return self.find(path).text or ""

    @property
    def fault(self) -> tuple[str, int]:
        """Subcode and innermost code of a fault."""
        codes = [int(one.attrib["Code"]) for one in self.all(".//f:WSManFault")]
        codes += [int(one.text or "") for one in self.all(".//error:error_Code")]
        subcodes = self.all("s:Body/s:Fault/s:Code/s:Subcode/s:Value")
        assert self.status == 500
        return (subcodes[0].text or "") if subcodes else "", codes[-1]


def selectors(**keys: str) -> str:
    inner = "".join(f"<w:Selector Name={quoteattr(name)}>{escape(value)}</w:Selector>" for name, value in keys.items())
    return f"<w:SelectorSet>{inner}</w:SelectorSet>"


def envelope(action: str, uri: str, body: str = "", header: str = "", size: int = 153600) -> str:
    """A request as the clients of other makers write it, or with whatever a test puts in its place."""
    namespaces = " ".join(f'xmlns:{prefix}="{NS[prefix]}"' for prefix in ("s", "a", "w", "n", "x", "cim", "xsi", "rsp"))
    return (
        f"<s:Envelope {namespaces}><s:Header><a:To>http://hv01:5985/wsman</a:To>"
        f'<w:ResourceURI s:mustUnderstand="true">{uri}</w:ResourceURI>'
        f'<a:ReplyTo><a:Address s:mustUnderstand="true">{ANONYMOUS}</a:Address></a:ReplyTo>'
        f'<a:Action s:mustUnderstand="true">{action}</a:Action>'
        f'<w:MaxEnvelopeSize s:mustUnderstand="true">{size}</w:MaxEnvelopeSize>'
        f"<a:MessageID>uuid:{uuid.uuid4()}</a:MessageID><w:OperationTimeout>PT20S</w:OperationTimeout>"
        f"{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )


class Raw:
    """Plain HTTP with Basic authentication: nothing between the test and the bytes."""

    def __init__(self, lab: t.Any, user: str = USER, password: str = PASSWORD, host: str = "HV01") -> None:
        self.url = lab.hosts[host].url
        self.session = requests.Session()
        self.session.trust_env = False
        self.auth = (user.encode(), password.encode())

    def post(self, message: str | bytes, **arguments: t.Any) -> Answer:
        data = message if isinstance(message, bytes) else message.encode()
        headers = {"Content-Type": "application/soap+xml;charset=UTF-8"}
        return Answer(self.session.post(self.url, data=data, auth=self.auth, headers=headers, timeout=20, **arguments))

    def enumerate(
        self, wql: str = SYSTEMS, *, uri: str = f"{V2}/*", count: int | None = 100, optimize: bool = True,
        mode: str = "", size: int = 153600,
    ) -> Answer:
        body = "<w:OptimizeEnumeration/>" if optimize else ""
        body += f"<w:MaxElements>{count}</w:MaxElements>" if count is not None else ""
        body += f"<w:EnumerationMode>{mode}</w:EnumerationMode>" if mode else ""
        body += f'<w:Filter Dialect="{WQL}">{escape(wql)}</w:Filter>' if wql else ""
        return self.post(envelope(f"{NS['n']}/Enumerate", uri, f"<n:Enumerate>{body}</n:Enumerate>", size=size))

    def pull(self, context: str, count: int | None = None, size: int = 153600) -> Answer:
        body = f"<n:EnumerationContext>{context}</n:EnumerationContext>"
        body += f"<n:MaxElements>{count}</n:MaxElements>" if count is not None else ""
        return self.post(envelope(f"{NS['n']}/Pull", f"{V2}/*", f"<n:Pull>{body}</n:Pull>", size=size))

    def get(self, class_name: str, **keys: str) -> Answer:
        header = selectors(**keys) if keys else ""
        return self.post(envelope(f"{NS['x']}/Get", f"{V2}/{class_name}", header=header))

    def invoke(
        self, class_name: str, method: str, arguments: str = "", *, keys: dict[str, str] | None = None,
        namespace: str | None = None, action: str | None = None,
    ) -> Answer:
        uri = f"{V2}/{class_name}"
        header = selectors(**({"CreationClassName": class_name} if keys is None else keys)) if keys != {} else ""
        body = f'<p:{method}_INPUT xmlns:p="{namespace or uri}">{arguments}</p:{method}_INPUT>'
        return self.post(envelope(action or f"{uri}/{method}", uri, body, header))


def epr(class_name: str = "Msvm_ComputerSystem", **keys: str) -> str:
    return (
        f"<a:Address>{ANONYMOUS}</a:Address><a:ReferenceParameters>"
        f"<w:ResourceURI>{V2}/{class_name}</w:ResourceURI>{selectors(**keys)}</a:ReferenceParameters>"
    )


def revert(client: Raw, vm_id: str) -> Answer:
    """RevertFailover, as documented."""
    vm = epr(CreationClassName="Msvm_ComputerSystem", Name=vm_id)
    return client.invoke("Msvm_ReplicationService", "RevertFailover", f"<p:ComputerSystem>{vm}</p:ComputerSystem>")


class Library:
    """One of the two libraries that Ansible uses, behind the few words that the tests need."""

    def __init__(self, name: str, lab: t.Any, host: str = "HV01", user: str = USER, password: str = PASSWORD) -> None:
        self.name, scheme, auth = name.split("-")
        found = lab.hosts[host]
        secure = scheme == "https"
        if self.name == "pypsrp":
            self.wsman = pypsrp.wsman.WSMan(
                "127.0.0.1", port=found.https_port if secure else found.port, ssl=secure, username=user,
                password=password, auth=auth, encryption="never" if auth == "basic" else "auto",
                cert_validation=str(lab.ca_file) if secure else True, no_proxy=True, read_timeout=10,
            )  # fmt: skip
        else:
            self.protocol = Protocol(
                found.https_url if secure else found.url, transport=auth, username=user, password=password,
                ca_trust_path=str(lab.ca_file) if secure else None, proxy=None, read_timeout_sec=10,
                operation_timeout_sec=5,
            )  # fmt: skip

    def send(self, action: str, uri: str, body: str = "", **keys: str) -> ET.Element:
        """Through the library's own way of sending a message; the envelope of the answer."""
        declared = " ".join(f'xmlns:{prefix}="{NS[prefix]}"' for prefix in ("a", "w", "n", "x"))
        if self.name == "pypsrp":
            selector_set = pypsrp.wsman.SelectorSet()
            for name, value in keys.items():
                selector_set.add_option(name, value)
            resource = ET.fromstring(f"<root {declared}>{body}</root>")[0] if body else None
            return self.wsman.invoke(action, uri, resource, selector_set=selector_set if keys else None)
        message = envelope(action, uri, body, selectors(**keys) if keys else "")
        return ET.fromstring(self.protocol.send_message(message))

    def query(self, wql: str = SYSTEMS) -> list[str]:
        """The ElementNames of what a query finds."""
        body = (
            "<n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>100</w:MaxElements>"
            f'<w:Filter Dialect="{WQL}">{escape(wql)}</w:Filter></n:Enumerate>'
        )
        answer = self.send(f"{NS['n']}/Enumerate", f"{V2}/*", body)
        return [one.text or "" for one in answer.iterfind(".//{*}ElementName")]

    def close(self) -> None:
        if self.name == "pypsrp":
            self.wsman.close()
        else:
            self.protocol.transport.close_session()


LIBRARIES = [
    f"{library}-{scheme}-{auth}"
    for library, auths in (("pypsrp", ("basic", "ntlm", "negotiate")), ("pywinrm", ("basic", "ntlm")))
    for scheme in ("http", "https")
    for auth in auths
]


@pytest.fixture(scope="session")
def wire() -> t.Any:
    """This module, for the tests: pytest's import mode gives them no other way to it."""
    import sys

    return sys.modules[__name__]
