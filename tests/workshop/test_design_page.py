# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The design page says what the code does: its tables are those of the code, its lists are complete."""

from __future__ import annotations

import json
import re

import pytest
import tables
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import schema
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import Certainty, ErrorClass, Outcome
from tree import ROOT

TEXT = tables.PAGE.read_text(encoding="utf-8")


def first_cells(heading: str) -> list[str]:
    """The words in the first column of the table under a heading, each with a text beside it."""
    section = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    (found,) = [part for part in section if part.startswith(f"{heading}\n")]
    return re.findall(r"^\| `([a-z_]+)` \| [^|\s][^|]* \|$", found, re.MULTILINE)


def test_every_table_of_the_code_is_on_the_page_once() -> None:
    assert re.findall(r"<!-- table: ([a-z_ ]+) -->", TEXT) == list(tables.TABLES)


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_table_is_that_of_the_code(name: str) -> None:
    assert tables.places(TEXT)[name] == tables.TABLES[name](), "write it anew with tests/tools/tables.py"


def test_every_error_class_has_its_line() -> None:
    assert first_cells("Error classes") == [error.value for error in ErrorClass]


def test_every_certainty_has_its_line() -> None:
    assert first_cells("Certainty") == [certainty.value for certainty in Certainty]


def test_every_outcome_has_its_line() -> None:
    assert first_cells("Outcomes") == [outcome.value for outcome in Outcome]


def test_every_method_of_the_service_is_used_or_has_its_reason() -> None:
    classes = json.loads((ROOT / "tests" / "lab" / "replica_lab" / "cim-schema.json").read_text(encoding="utf-8"))
    methods = set(classes["classes"]["Msvm_ReplicationService"]["methods"])
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "plugins/plugin_utils/_replica").rglob("*.py")]
    quoted = {name for source in sources for name in re.findall(r'"(\w+)"', source)}
    used = methods & quoted & set(schema.CLASSES["Msvm_ReplicationService"].methods)
    (section,) = re.findall(r"^## Methods of Msvm_ReplicationService.*?(?=^## )", TEXT, re.MULTILINE | re.DOTALL)
    listed = re.findall(r"^\| `(\w+)` \| [^|\s][^|]* \|$", section, re.MULTILINE)
    assert sorted(used & set(listed)) == []
    assert sorted(listed) == sorted(methods - used)
