# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules say that they return, held against what they return in the stories, over the first combination."""

from __future__ import annotations

import pytest
from documentation import public_modules
from rehearsal import returns
from rehearsal.combinations import COMBINATIONS
from rehearsal.season import Season

MODULES = (
    "failover",
    "failover_network",
    "replication",
    "replication_connection",
    "replication_info",
    "replication_server",
    "test_failover",
)
NEVER_SEEN = {
    # No page says what a host puts there for a health issue, and the simulated hosts leave both out.
    "hyperv.replica.replication_info": {"vms.health_issues.error_type", "vms.health_issues.status_code"},
}


@pytest.mark.parametrize("returns_of", [returns.COLLECTION + name for name in MODULES])
def test_what_is_returned_is_documented_and_what_is_documented_is_returned(returns_of: str, season: Season) -> None:
    performance = season.given(COMBINATIONS[0])
    complaints: dict[str, str] = {}
    seen: set[str] = set()
    for story in season.wanted(COMBINATIONS[0]):
        if returns.module_of(story.task) != returns_of:
            continue
        for name, phase in performance.phases[story.slug].items():
            for result in returns.results(phase.result):
                seen |= returns.keys_seen(result)
                for complaint in returns.complaints(returns_of, result):
                    complaints.setdefault(complaint, f"{story.file}: {story.name}: {name}")
    assert not complaints
    assert returns.every_key(returns_of) - seen == NEVER_SEEN.get(returns_of, set()), "documented, and never returned"


def test_every_module_is_among_them() -> None:
    assert sorted(MODULES) == sorted(public_modules())


DOCUMENTED = {
    "changed": {"type": "bool", "returned": "always"},
    "vms": {
        "type": "list",
        "elements": "dict",
        "returned": "always",
        "contains": {
            "name": {"type": "str", "returned": "always"},
            "power": {"type": "str", "returned": "always", "choices": ["on", "off"]},
            "size": {"type": "int", "returned": "on request"},
        },
    },
}


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ({"changed": False, "vms": [{"name": "a", "power": "on"}]}, ""),
        ({"changed": False, "vms": [{"name": "a", "power": None, "size": 3}]}, ""),
        ({"changed": False, "vms": [], "other": 1}, "other is returned and not documented"),
        ({"vms": []}, "changed is documented as always returned, and is not there"),
        ({"changed": 1, "vms": []}, "changed is documented as bool and is 1"),
        ({"changed": False, "vms": {}}, "vms is documented as list and is {}"),
        ({"changed": False, "vms": ["a"]}, "vms.0 is documented as dict and is 'a'"),
        ({"changed": False, "vms": [{"power": "on"}]}, "vms.0.name is documented as always returned, and is not there"),
        ({"changed": False, "vms": [{"name": "a", "power": "?"}]}, "vms.0.power is '?', which is none of its"),
        ({"changed": False, "vms": [{"name": "a", "power": "on", "size": True}]}, "vms.0.size is documented as int"),
    ],
)
def test_a_difference_is_seen(result: dict[str, object], complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returns, "documented", lambda module: DOCUMENTED)
    found = returns.complaints("any", result)
    assert len(found) == bool(complaint)
    assert "".join(found).startswith(complaint)
