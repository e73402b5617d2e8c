# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the module replication: what is refused before any host is asked, and what they come to."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.hyperv.replica.plugins.action.replication import ARGUMENT_SPEC, VERBS, ActionModule
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError


def verb_of(**options):
    """The verb of a task with these options, the others as the spec has them."""
    arguments = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
    return ActionModule.verb(object.__new__(ActionModule), {**arguments, **options})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"state": "reversed", "relationship": 1}, "about the relationship of the pair"),
        ({"state": "as_replica", "relationship": 1}, "about the relationship of the pair"),
        ({"state": "continued", "relationship": 1}, "about the relationship of the pair"),
        ({"state": "enabled", "all": True}, "every VM"),
        ({"state": "enabled", "replica_port": 0}, "replica_port is 0; it must be from 1 to 65535"),
        ({"state": "enabled", "replica_port": 65536}, "from 1 to 65535"),
        ({"state": "enabled", "recovery_history": 25}, "from 0 to 24"),
        ({"state": "enabled", "recovery_history": -1}, "from 0 to 24"),
        ({"state": "enabled", "app_consistent_interval": 13}, "from 0 to 12"),
        ({"state": "enabled", "certificate_thumbprint": "none"}, "no thumbprint"),
        ({"state": "enabled", "auto_resync_start": "25:00"}, "no time of day"),
        ({"state": "enabled", "auto_resync_end": "1110"}, "no time of day"),
        ({"state": "suspended", "recovery_history": 25}, "from 0 to 24"),
        ({"state": "started", "initial": "export"}, "needs export_path"),
        ({"state": "started", "initial": "export", "export_path": " "}, "needs export_path"),
        ({"state": "started", "export_path": "E:"}, "needs initial=export"),
        ({"state": "started", "initial": "export", "export_path": "E:", "start_time": "2026-11-30"}, "at once"),
        ({"state": "started", "start_time": "tonight"}, "no time in ISO 8601"),
        ({"state": "resynchronized", "start_time": "22:00"}, "no time in ISO 8601"),
    ],
)
def test_what_is_refused(options, says):
    with pytest.raises(ReplicaError, match=says) as caught:
        verb_of(**options)
    assert caught.value.error_class is ErrorClass.INVALID_ARGUMENT
    assert caught.value.hint


@pytest.mark.parametrize("state", VERBS)
def test_every_state_makes_a_verb_of_its_name(state):
    assert verb_of(state=state).target.name == state


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-30T22:00:00Z", datetime(2026, 11, 30, 22, tzinfo=timezone.utc)),
        ("2026-11-30T22:00:00", datetime(2026, 11, 30, 22, tzinfo=timezone.utc)),
        ("2026-11-30 23:00:00+01:00", datetime(2026, 11, 30, 22, tzinfo=timezone.utc)),
        ("", None),
    ],
)
def test_a_time_to_begin_is_in_utc(text, moment):
    assert verb_of(state="started", start_time=text).at == moment


def test_settings_as_people_write_them():
    stated = verb_of(
        state="enabled",
        replica_server=" HV-B ",
        certificate_thumbprint="\u200eaa bb:" + "c" * 36,
        auto_resync_start="18:30",
        auto_resync_end="6:00",
    ).settings
    assert stated.replica_server == "HV-B"
    assert stated.certificate_thumbprint == "AABB" + "C" * 36
    assert (stated.auto_resync_start, stated.auto_resync_end) == (timedelta(hours=18, minutes=30), timedelta(hours=6))


def test_what_is_not_said_is_not_set():
    assert verb_of(state="enabled").settings.values() == {}
