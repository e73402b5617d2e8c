# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the collection declares about itself: runtime metadata, roles, and which way its imports point."""

from __future__ import annotations

import ast
import sys
import typing as t
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import suites
import yaml
from documentation import modules_with_actions, public_modules
from tree import ROOT, files

PLUGINS = ROOT / "plugins"
ROLES = sorted(path.name for path in (ROOT / "roles").glob("*") if path.is_dir())
PREFIX = "ansible_collections.hyperv.replica."
# What a package may import, beside the standard library, while it is being imported itself. `_replica` knows neither
# Ansible nor the network; a client library may be missing, so `_cim` imports it where it is used.
MAY_IMPORT = {
    # The texts of embedded instances are values as well: what a method is given, the same over every transport.
    "plugin_utils/_replica": ("plugin_utils._replica", "plugin_utils._cim.session", "plugin_utils._cim.embedded"),
    "plugin_utils/_cim": ("plugin_utils._cim",),
}


def load(path: Path) -> t.Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_action_group_holds_the_public_modules() -> None:
    runtime = load(ROOT / "meta" / "runtime.yml")
    assert sorted(runtime["action_groups"]) == ["replica"]
    assert sorted(runtime["action_groups"]["replica"]) == public_modules()


def test_every_public_module_has_its_action_and_every_action_its_module() -> None:
    actions = modules_with_actions()
    assert [name for name in public_modules() if name not in actions] == []
    assert [name for name in actions if not (PLUGINS / "modules" / f"{name}.yml").is_file()] == []


def test_the_oldest_ansible_core_is_a_whole_version() -> None:
    assert load(ROOT / "meta" / "runtime.yml")["requires_ansible"] == ">=2.16.0"


def test_the_execution_environment_names_files_that_exist() -> None:
    for path in load(ROOT / "meta" / "execution-environment.yml")["dependencies"].values():
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_complete(role: str) -> None:
    directory = ROOT / "roles" / role
    for path in ("README.md", "meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml"):
        assert (directory / path).is_file(), path


@pytest.mark.parametrize("role", ROLES)
def test_the_defaults_of_a_role_are_those_of_its_argument_spec(role: str) -> None:
    directory = ROOT / "roles" / role
    options = load(directory / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    documented = {name: option["default"] for name, option in options.items() if "default" in option}
    defaults = directory / "defaults" / "main.yml"
    assert documented == (load(defaults) if defaults.exists() else {})


def imports(path: Path) -> t.Iterator[str]:
    """The modules that a file imports when it is imported itself; not those of its functions or for type checkers."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} is a relative import"
            yield node.module or ""
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("t.TYPE_CHECKING", "TYPE_CHECKING"):
            waiting.extend(node.orelse)
        else:
            waiting.extend(ast.iter_child_nodes(node))


def wrong_imports(directory: Path, allowed: tuple[str, ...]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted(directory.rglob("*.py"))
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names and not f"{name}.".startswith(allowed)
    ]


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_point_one_way(package: str) -> None:
    assert wrong_imports(PLUGINS / package, tuple(f"{PREFIX}plugins.{name}." for name in MAY_IMPORT[package])) == []


def test_the_plugins_import_nothing_but_ansible_while_they_are_loaded() -> None:
    assert wrong_imports(PLUGINS, (PREFIX, "ansible.")) == []


def test_every_test_belongs_to_a_suite() -> None:
    tests = [path.split("/") for path in files() if fnmatchcase(path, "tests/*/test_*.py")]
    assert {directory for _tests, directory, *_rest in tests} == set(suites.SUITES)
