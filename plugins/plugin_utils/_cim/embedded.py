# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""Embedded instances: the CIM-XML text (DSP0201) that Hyper-V's "settings" parameters and results carry.

Written once, here, so that both transports send the same bytes. A string property that is qualified
EmbeddedInstance holds this text and nothing else; an element tree in its place is refused by real hosts.
"""

from __future__ import annotations

import typing as t
from xml.etree.ElementTree import Element, SubElement, tostring

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import hardened_xml, schema, values
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Instance, Reference, Scalar, Value


def write_instance(class_name: str, properties: t.Mapping[str, Value]) -> str:
    """The text of an instance of a class in the schema table; properties in the order given.

    None becomes a property without a value, which is NULL in CIM-XML; what is left out is not in the text.
    Raises ValueError for a class or property not in the table, or a value that its type cannot hold.
    """
    if class_name not in schema.CLASSES:
        raise ValueError(f"{class_name} is not in the schema table")
    root = Element("INSTANCE", CLASSNAME=class_name)
    for name, value in properties.items():
        declared = schema.CLASSES[class_name].properties.get(name)
        if declared is None or declared.name == "ref":
            raise ValueError(f"{class_name} has no property {name} that can be embedded")
        if value is not None and isinstance(value, tuple) is not declared.array:
            raise ValueError(f"{class_name}.{name} is {'an array' if declared.array else 'not an array'}")
        # An array sent as a PROPERTY is answered with 32776 (incorrect data type).
        tag = "PROPERTY.ARRAY" if declared.array else "PROPERTY"
        element = SubElement(root, tag, NAME=name, TYPE=declared.name)
        if isinstance(value, tuple):
            element = SubElement(element, "VALUE.ARRAY")
        for item in value if isinstance(value, tuple) else () if value is None else (value,):
            if item is None:
                SubElement(element, "VALUE.NULL")
            else:
                SubElement(element, "VALUE").text = _text(item, declared.name, f"{class_name}.{name}")
    return tostring(root, encoding="unicode")


def _text(value: Scalar, cim_type: str, name: str) -> str:
    if value is None or isinstance(value, Reference) or not values.fits(value, cim_type):
        raise ValueError(f"{name} is {cim_type}, which cannot hold this {type(value).__name__}")
    return hardened_xml.writable(values.cim_text(value))


def read_instance(text: str) -> Instance:
    """The instance in a text that a host returned, typed as the text says (its TYPE attributes).

    Qualifiers are passed over, and so are properties that hold references or objects: the classes that
    travel embedded here have none. Raises CimError (PROTOCOL).
    """
    what = "an embedded instance"
    root = hardened_xml.parse(text, what)
    if root.tag != "INSTANCE" or not root.get("CLASSNAME"):
        raise hardened_xml.malformed(f"{what} has no INSTANCE with a CLASSNAME at its top", text)
    class_name = root.get("CLASSNAME", "")
    properties: dict[str, Value] = {}
    for element in root:
        if element.tag not in ("PROPERTY", "PROPERTY.ARRAY"):
            continue
        name, cim_type = element.get("NAME", ""), element.get("TYPE", "")
        if not name or not cim_type:
            raise hardened_xml.malformed(f"{what} of {class_name} has a {element.tag} without NAME or TYPE", text)
        try:
            properties[name] = _read_property(element, cim_type)
        except ValueError as error:
            raise hardened_xml.malformed(f"{what} of {class_name}: {name} is {error}", text) from None
    return Instance(class_name, properties)


def _read_property(element: Element, cim_type: str) -> Value:
    if element.tag == "PROPERTY.ARRAY":
        array = element.find("VALUE.ARRAY")
        return None if array is None else tuple(_read_value(item, cim_type) for item in array)
    value = element.find("VALUE")
    return None if value is None else _read_value(value, cim_type)


def _read_value(element: Element, cim_type: str) -> Scalar:
    return None if element.tag == "VALUE.NULL" else values.read("".join(element.itertext()), cim_type)
