# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of the modules: what it says is what the code takes, and what it shows works."""

from __future__ import annotations

import importlib
import re
import typing as t

import pytest
import yaml
from documentation import ansible_doc, module_of, modules_with_actions, tasks
from tree import ROOT, files

MODULES = modules_with_actions()
ATTRIBUTES = {"action", "async", "become", "check_mode", "connection", "delegation", "diff_mode", "platform"}
DOCUMENTS = [path for path in files() if path.endswith((".md", ".rst")) and path != "CHANGELOG.rst"]
CODE_BLOCKS = {
    ".md": re.compile(r"^ *```ya?ml\n(?P<text>.*?)^ *```", re.MULTILINE | re.DOTALL),
    ".rst": re.compile(
        r"^(?P<indent> *)\.\. code-block:: ya?ml[^\n]*\n\n(?P<text>(?:(?P=indent) +[^\n]*\n|\n)+)", re.MULTILINE
    ),
}


def options_of(described: dict[str, t.Any], inner: str) -> dict[str, t.Any]:
    """The comparable part of documented options, or of an argument spec: `inner` is where options of options are."""
    return {
        name: {
            "type": option.get("type", "str"),
            "required": bool(option.get("required", False)),
            "default": option.get("default"),
            "choices": list(option["choices"]) if option.get("choices") else None,
            "elements": option.get("elements"),
            "aliases": sorted(option.get("aliases") or []),
            "options": options_of(option.get(inner) or {}, inner),
        }
        for name, option in described.items()
    }


def check_task(task: dict[str, t.Any]) -> None:
    """A task names an existing module in full, and only options that this module has."""
    module = module_of(task)
    known = ansible_doc(module)[module]["doc"].get("options") or {}
    names = set(known).union(*(option.get("aliases") or [] for option in known.values()))
    given = task[module]
    if isinstance(given, dict) and module not in ("ansible.builtin.set_fact", "ansible.builtin.add_host"):
        assert set(given) <= names, f"{module} has no option {sorted(set(given) - names)}"
        missing = {name for name, option in known.items() if option.get("required")} - set(given)
        assert not missing, f"{module} needs {sorted(missing)}"
        for name, value in given.items():
            choices = known.get(name, {}).get("choices")
            if choices and not isinstance(value, (list, dict)) and "{{" not in str(value):
                assert value in choices, f"{module}: {name} is one of {list(choices)}, not {value!r}"


@pytest.mark.parametrize("name", MODULES)
def test_the_documented_options_are_those_of_the_action(name: str) -> None:
    action = importlib.import_module(f"ansible_collections.hyperv.replica.plugins.action.{name}")
    fqcn = f"hyperv.replica.{name}"
    documented = options_of(ansible_doc(fqcn)[fqcn]["doc"]["options"], "suboptions")
    assert documented == options_of(action.ARGUMENT_SPEC, "options")


@pytest.mark.parametrize("name", MODULES)
def test_every_attribute_is_answered(name: str) -> None:
    fqcn = f"hyperv.replica.{name}"
    attributes = ansible_doc(fqcn)[fqcn]["doc"].get("attributes", {})
    # Ansible's own fragments describe an attribute; only the module can answer it.
    answered = {name for name, answer in attributes.items() if answer.get("support") or answer.get("platforms")}
    assert sorted(ATTRIBUTES - answered) == []


@pytest.mark.parametrize("name", MODULES)
def test_the_module_file_beside_the_documentation_holds_comments_only(name: str) -> None:
    lines = (ROOT / "plugins" / "modules" / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/python"
    assert [line for line in lines if line and not line.startswith("#")] == []


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_are_tasks_that_ansible_would_take(name: str) -> None:
    fqcn = f"hyperv.replica.{name}"
    examples = list(tasks(yaml.safe_load(ansible_doc(fqcn)[fqcn]["examples"])))
    assert fqcn in [module_of(task) for task in examples]
    for task in examples:
        assert task.get("name"), task
        check_task(task)


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_returns_is_described(name: str) -> None:
    fqcn = f"hyperv.replica.{name}"

    def check(returned: dict[str, t.Any], path: str) -> None:
        for key, value in returned.items():
            assert value.get("description"), f"{path}{key}"
            assert value.get("type"), f"{path}{key}"
            assert value["type"] != "list" or value.get("elements"), f"{path}{key}"
            check(value.get("contains") or {}, f"{path}{key}.")

    returned = ansible_doc(fqcn)[fqcn]["return"]
    assert returned
    check(returned, "")
    assert [key for key, value in returned.items() if not value.get("returned")] == []


def code_blocks() -> t.Iterator[t.Any]:
    """The YAML blocks of the documents, each as a parameter that bears its place."""
    for path in DOCUMENTS:
        text = (ROOT / path).read_text(encoding="utf-8")
        for match in CODE_BLOCKS["." + path.rsplit(".", 1)[1]].finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield pytest.param(match["text"], id=f"{path}:{line}")


@pytest.mark.parametrize("text", list(code_blocks()))
def test_the_yaml_in_the_documents_is_what_ansible_would_take(text: str) -> None:
    content = yaml.safe_load(text)
    assert content is not None
    if isinstance(content, list) and all(isinstance(item, dict) for item in content):
        for task in tasks(content):
            check_task(task)
