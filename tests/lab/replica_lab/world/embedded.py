# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Embedded instances: the CIM-XML text (DSP0201) of "settings" arguments and of results.

What is wrong with a text is answered as the method would: 32773 for what is no instance of the class, 32776 for
a value or an array of another type than the class has ("incorrect data type").
"""

from __future__ import annotations

import typing as t
from datetime import datetime, timedelta, timezone
from xml.etree.ElementTree import Element, SubElement, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from replica_lab import schema, wql
from replica_lab.numbers import Code
from replica_lab.provider import Scalar, Value
from replica_lab.world.jobs import Answered

Properties = dict[str, Value]


def read(text: Value, class_name: str) -> Properties:
    """The properties that a text states, typed by the class; one without a value is NULL, and not in the answer.

    Qualifiers are passed over: texts made by System.Management carry them. Raises Answered.
    """
    if not isinstance(text, str):
        raise Answered(Code.INVALID_PARAMETER)
    try:
        root = fromstring(text)
    except (ParseError, DefusedXmlException, ValueError):
        raise Answered(Code.INVALID_PARAMETER) from None
    if root.tag != "INSTANCE" or root.get("CLASSNAME", "").casefold() != class_name.casefold():
        raise Answered(Code.INVALID_PARAMETER)
    types = schema.classes()[class_name].properties
    spelling = {name.casefold(): name for name in types}
    found: Properties = {}
    for element in root:
        if element.tag not in ("PROPERTY", "PROPERTY.ARRAY"):
            continue
        name = spelling.get(element.get("NAME", "").casefold())
        if name is None:
            raise Answered(Code.INVALID_PARAMETER)
        value = _value(element, types[name])
        if value is not None:
            found[name] = value
    return found


def _value(element: Element, cim_type: str) -> Value:
    item_type = cim_type.removesuffix("[]")
    is_array = element.tag == "PROPERTY.ARRAY"
    if is_array is not cim_type.endswith("[]") or element.get("TYPE", "").casefold() != item_type:
        raise Answered(Code.INCORRECT_DATA_TYPE)
    if is_array:
        array = element.find("VALUE.ARRAY")
        return None if array is None else [_scalar(item, item_type) for item in array]
    value = element.find("VALUE")
    return None if value is None else _scalar(value, item_type)


def _scalar(element: Element, cim_type: str) -> Scalar:
    text = "".join(element.itertext())
    try:
        value = _READERS.get(cim_type, int)(text)
    except (KeyError, ValueError):
        raise Answered(Code.INCORRECT_DATA_TYPE) from None
    if not schema.fits(value, cim_type):
        raise Answered(Code.INCORRECT_DATA_TYPE)
    return value


def _time(text: str) -> datetime | timedelta:
    return wql.parse_interval(text) if text.endswith(":000") else wql.parse_datetime(text)


_READERS: dict[str, t.Callable[[str], Scalar]] = {
    "string": str,
    "datetime": _time,
    "boolean": lambda text: {"true": True, "false": False}[text.strip().lower()],
}


def write(class_name: str, properties: t.Mapping[str, Value]) -> str:
    """The text of an instance: all properties that the class has and that are given, NULL without a value."""
    root = Element("INSTANCE", CLASSNAME=class_name)
    for name, cim_type in schema.classes()[class_name].properties.items():
        if name not in properties:
            continue
        value = properties[name]
        is_array = cim_type.endswith("[]")
        element = SubElement(root, "PROPERTY.ARRAY" if is_array else "PROPERTY", NAME=name)
        element.set("TYPE", cim_type.removesuffix("[]"))
        if isinstance(value, list):
            element = SubElement(element, "VALUE.ARRAY")
        for item in value if isinstance(value, list) else [] if value is None else [value]:
            SubElement(element, "VALUE").text = _text(item)
    return tostring(root, encoding="unicode")


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        return f"{value.astimezone(timezone.utc):%Y%m%d%H%M%S.%f}+000".rjust(25, "0")
    if isinstance(value, timedelta):
        hours, rest = divmod(value.seconds, 3600)
        return f"{value.days:08}{hours:02}{rest // 60:02}{rest % 60:02}.{value.microseconds:06}:000"
    return str(value)
