# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which stories are played over which combinations, and the table of them at the end."""

from __future__ import annotations

import os
import typing as t

import pytest
from rehearsal import stories
from rehearsal.combinations import COMBINATIONS, as_played, combinations, why_not
from rehearsal.returns import module_of
from rehearsal.season import Season

STORIES = stories.load()
EVERYTHING = bool(os.environ.get("EVERYTHING"))
"""Whether everything is played over PowerShell as well."""
_SEASON = pytest.StashKey[Season]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SEASON] = Season()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not {"combination", "story"} <= set(metafunc.fixturenames):
        return
    asked_for = []
    for combination in combinations():
        for story in () if combination.missing else STORIES:
            reason = why_not(story, combination, EVERYTHING)
            if reason:
                metafunc.config.stash[_SEASON].leave_out(combination, story, reason)
            else:
                played = as_played(story, combination, EVERYTHING)
                asked_for.append(pytest.param(combination, played, id=f"{combination.name}-{story.slug}"))
    metafunc.parametrize(("combination", "story"), asked_for)


def pytest_collection_finish(session: pytest.Session) -> None:
    """The stories of a combination are played together, so it has to be known which tests were selected."""
    season = session.config.stash[_SEASON]
    for item in session.items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if {"combination", "story"} <= set(parameters):
            season.want(parameters["combination"], parameters["story"])
        if "returns_of" in parameters:
            for story in STORIES:
                played = not why_not(story, COMBINATIONS[0], EVERYTHING)
                if played and module_of(story.task) == parameters["returns_of"]:
                    season.want(COMBINATIONS[0], story)


@pytest.fixture(scope="session")
def season(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Season:
    """The performances, each given when it is first asked for."""
    found = request.config.stash[_SEASON]
    found.make_directory = lambda name: tmp_path_factory.mktemp(name, numbered=False)
    return found


def pytest_terminal_summary(terminalreporter: t.Any, config: pytest.Config) -> None:
    for line in config.stash[_SEASON].table():
        terminalreporter.write_line(line)
    for combination in combinations():
        if combination.missing:
            terminalreporter.write_line(f"missing column {combination.name}: {combination.missing}")
