# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the CIM cmdlets ask and get: requests and answers as JSON values, on a CimProvider. No I/O.

A request is a mapping with ``do``::

    {"do": "enumerate", "namespace": n, "class": c}
    {"do": "query", "namespace": n, "query": wql}
    {"do": "get", "instance": i}
    {"do": "associators", "namespace": n, "instance": i, "association": c or None, "result_class": c or None}
    {"do": "invoke", "namespace": n, "class": c, "instance": i or None, "method": m, "arguments": {name: value}}

where an instance is ``{"class", "namespace", "keys", "from_host"}`` and a value is JSON's own, or one of
``{"datetime": ISO 8601}``, ``{"interval": microseconds}``, ``{"reference": instance}``, ``{"other": type name}``.
The answer is one of::

    {"host": name, "classes": {class: [[property, CIM type, is key], ...]}, "instances": [[class, [value, ...]], ...]}
    {"out": [[name, CIM type, value], ...]}
    {"error": {"exception": name, "message": text, ...}}

What the real cmdlets refuse is refused here with their exception. Their behaviour is read from the public source
of PowerShell (MIT) for what happens on the client, and from the table of MI result codes; what WMI itself answers
to a method that does not exist, or to an instance method called on the class, was not recorded: it is inferred.
"""

from __future__ import annotations

import contextlib
import enum
import typing as t
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from replica_lab import provider as cim
from replica_lab import schema, wql
from replica_lab.provider import CimObject, CimProvider, Ref, Value
from replica_lab.wire.assumptions import WireAssumptions
from replica_lab.wire.fault_kinds import text_for

Json = t.Mapping[str, t.Any]

NAMESPACE = "root/virtualization/v2"
OTHER_NAMESPACES = frozenset({"root", "root/cimv2", "root/virtualization"})
"""Those that a host has, without any of the lab's classes."""


class Kind(enum.Enum):
    """A CIM error: MI result code (= CIM status), HRESULT, PowerShell's ErrorCategory, and whose text it bears."""

    FAILED = (1, 0x80041001, 0, "internal")
    UNAVAILABLE = (1, 0x80041013, 0, "unavailable")
    ACCESS_DENIED = (2, 0x80041003, 18, "access_denied")
    NO_NAMESPACE = (3, 0x8004100E, 10, "not_found")
    INVALID_PARAMETER = (4, 0x80041008, 5, "bad_parameters")
    INVALID_METHOD_PARAMETERS = (4, 0x8004102F, 5, "bad_parameters")
    NO_CLASS = (5, 0x80041010, 10, "not_found")
    NO_INSTANCE = (6, 0x80041002, 13, "not_found")
    BAD_QUERY = (15, 0x80041017, 5, "bad_query")
    NO_METHOD = (17, 0x8004102E, 10, "bad_parameters")
    QUOTA = (27, 0x803381A6, 19, "quota")
    TIMED_OUT = (1, 0x80338029, 15, "timed_out")


class CimError(Exception):
    """A CIM error in the making; what is given besides replaces the kind's value."""

    def __init__(self, kind: Kind, *, hresult: int | None = None, text: str = "") -> None:
        super().__init__(text or kind.name)
        self.kind = kind
        self.hresult = hresult
        self.text = text

    def as_json(self, locale: str) -> Json:
        status, hresult, category, text_kind = self.kind.value
        return {
            "exception": "CimException",
            "native": status,
            "status": status,
            "hresult": hresult if self.hresult is None else self.hresult,
            "category": category,
            "message": self.text or text_for(text_kind, locale),
        }


class ClientError(Exception):
    """What the real cmdlet throws before it asks anybody; the exception's .NET class and its text."""

    def __init__(self, exception: str, message: str) -> None:
        super().__init__(message)
        self.exception = exception

    def as_json(self, locale: str) -> Json:
        return {"exception": self.exception, "message": str(self)}


def answer(request: Json, provider: CimProvider, user: str, locale: str, assumptions: WireAssumptions) -> Json:
    """Carry out one request of this user."""
    try:
        return _STEPS[request["do"]](request, provider, user, assumptions)
    except (CimError, ClientError) as error:
        return {"error": error.as_json(locale)}


def check(request: Json) -> None:
    """Raises ClientError for what never leaves the client: no host is asked."""
    if request["do"] == "invoke":
        with contextlib.suppress(CimError):
            _call(request)


def refusal(error: cim.CimFailure) -> CimError:
    """A provider's refusal as the client sees it."""
    if isinstance(error, cim.NotFound):
        return CimError(Kind.NO_CLASS if error.what == "class" else Kind.NO_INSTANCE)
    return CimError(next((kind for failure, kind in _REFUSALS if isinstance(error, failure)), Kind.FAILED))


_REFUSALS = (
    (cim.AccessDenied, Kind.ACCESS_DENIED),
    (cim.InvalidCall, Kind.INVALID_METHOD_PARAMETERS),
    (cim.Unavailable, Kind.UNAVAILABLE),
    (wql.WqlError, Kind.BAD_QUERY),
)


def _check_namespace(namespace: str) -> None:
    name = namespace.replace("\\", "/").strip("/").lower()
    if name != NAMESPACE:
        raise CimError(Kind.NO_CLASS if name in OTHER_NAMESPACES else Kind.NO_NAMESPACE)


# --- instances --------------------------------------------------------------------------------------


def _found(provider: CimProvider, query: t.Callable[[], list[CimObject]]) -> Json:
    """The answer of a query: rows of values in the order of their class."""
    try:
        objects = query()
    except cim.CimFailure as error:
        raise refusal(error) from error
    classes = {one.ref.class_name: _properties(one) for one in objects}
    return {
        "host": provider.host_name,
        "classes": classes,
        "instances": [
            [
                one.ref.class_name,
                [_to_json(one.properties.get(name)) for name, _type, _key in classes[one.ref.class_name]],
            ]
            for one in objects
        ],
    }


def _properties(one: CimObject) -> list[tuple[str, str, bool]]:
    """All properties of the class; what a projection left out is NULL, keys included."""
    shape = schema.shape(one.ref.class_name)
    assert shape is not None, one.ref.class_name
    return [(name, cim_type, name in shape.keys) for name, cim_type in shape.properties.items()]


def _enumerate(request: Json, provider: CimProvider, user: str, _assumptions: WireAssumptions) -> Json:
    _check_namespace(request["namespace"])
    return _found(provider, lambda: provider.instances(request["class"], user))


def _query(request: Json, provider: CimProvider, user: str, _assumptions: WireAssumptions) -> Json:
    _check_namespace(request["namespace"])
    return _found(provider, lambda: wql.evaluate(provider, request["query"], user))


def _get(request: Json, provider: CimProvider, user: str, _assumptions: WireAssumptions) -> Json:
    ref = reference(request["instance"])
    return _found(provider, lambda: [provider.get(ref, user)])


def _associators(request: Json, provider: CimProvider, user: str, _assumptions: WireAssumptions) -> Json:
    _check_namespace(request["namespace"])
    options = {"AssocClass": request["association"], "ResultClass": request["result_class"]}
    around = wql.Around(
        False, reference(request["instance"]), {name: value for name, value in options.items() if value}
    )
    return _found(provider, lambda: wql.run(provider, around, user))


def reference(instance: Json) -> Ref:
    """The reference that an instance is: its key properties. Raises CimError for one without any."""
    _check_namespace(instance["namespace"])
    if not instance["keys"]:
        raise CimError(Kind.INVALID_PARAMETER)
    return Ref.of(instance["class"], **{name: str(value) for name, value in instance["keys"].items()})


# --- methods ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call:
    """A method call that the cmdlet lets pass."""

    shape: schema.ClassShape
    name: str
    arguments: dict[str, Value]

    @property
    def method(self) -> schema.MethodShape:
        return self.shape.methods[self.name]


def _call(request: Json) -> _Call:
    """Look the arguments up in the class. Raises ClientError, and CimError for a class or method that is not there."""
    instance, given = request["instance"], request["arguments"]
    if instance is not None and given and not instance["from_host"]:
        # The types of the arguments are those of the instance's class, and this instance knows none.
        raise ClientError("NullReferenceException", "Object reference not set to an instance of an object.")
    _check_namespace(request["namespace"])
    shape = schema.shape(request["class"])
    if shape is None:
        raise CimError(Kind.NO_CLASS)
    name = _spelling(request["method"], shape.methods)
    if name is None:
        raise CimError(Kind.NO_METHOD)
    inputs = shape.methods[name].inputs
    # MI gives a parameter that nobody names the value NULL before the provider sees it.
    arguments: dict[str, Value] = dict.fromkeys(inputs)
    for said, value in given.items():
        parameter = _spelling(said, inputs)
        if parameter is None:
            raise ClientError("ArgumentException", f"{shape.name}.{name} has no parameter '{said}'.")
        arguments[parameter] = _argument(parameter, value, inputs[parameter])
    return _Call(shape, name, arguments)


def _invoke(request: Json, provider: CimProvider, user: str, assumptions: WireAssumptions) -> Json:
    call = _call(request)
    if request["instance"] is None:
        raise CimError(Kind.INVALID_METHOD_PARAMETERS)
    try:
        return_value, out = provider.invoke(reference(request["instance"]), call.name, call.arguments, user)
    except cim.CimFailure as error:
        raise refusal(error) from error
    result = [
        (parameter, cim_type, _to_json(out.get(parameter)))
        for parameter, cim_type in call.method.outputs.items()
        if out.get(parameter) is not None or assumptions.null_out_parameters == "nil"
    ]
    return {"out": [*result, ("ReturnValue", "uint32", return_value)]}


def _spelling(said: str, names: t.Iterable[str]) -> str | None:
    """A name as the MOF spells it; names are free in case."""
    return next((name for name in names if name.lower() == said.lower()), None)


def _argument(name: str, value: t.Any, cim_type: str) -> Value:
    """An argument in the declared type. Raises ClientError for what cannot be converted without loss of sense."""
    if value is None:
        return None
    if cim_type.endswith("[]"):
        items = value if isinstance(value, list) else [value]
        return [t.cast(cim.Scalar, _argument(name, item, cim_type[:-2])) for item in items]
    family = "int" if "int" in cim_type else cim_type.partition(" ")[0]
    converted = _CONVERSIONS[family](value)
    if converted is None:
        said = value.get("other", next(iter(value))) if isinstance(value, dict) else type(value).__name__
        raise ClientError("InvalidCastException", f"{name}: a value of the type {said} is no {cim_type}.")
    if isinstance(converted, int) and not schema.fits(converted, cim_type):
        raise ClientError("OverflowException", f"{name}: {converted} does not fit {cim_type}.")
    return converted


def _integer(value: t.Any) -> Value:
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _time(value: t.Any) -> Value:
    if not isinstance(value, dict):
        return None
    if "interval" in value:
        return timedelta(microseconds=value["interval"])
    return datetime.fromisoformat(value["datetime"].replace("Z", "+00:00")) if "datetime" in value else None


_CONVERSIONS: dict[str, t.Callable[[t.Any], Value]] = {
    "int": _integer,
    "boolean": lambda value: value if isinstance(value, bool) else None,
    "string": lambda value: value if isinstance(value, str) else None,
    "datetime": _time,
    "ref": lambda value: reference(value["reference"]) if isinstance(value, dict) and "reference" in value else None,
}


def _to_json(value: Value) -> t.Any:
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, Ref):
        return {"class": value.class_name, "keys": dict(value.keys)}
    return value


_STEPS: dict[str, t.Callable[[Json, CimProvider, str, WireAssumptions], Json]] = {
    "enumerate": _enumerate,
    "query": _query,
    "get": _get,
    "associators": _associators,
    "invoke": _invoke,
}
