# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole lives of a replicated VM, as plays: each step is checked, run and run again, and all hosts are read after it.

A life is a list of steps, which are data. ``replication_info`` on every host is the witness: what a step says of itself
counts for nothing until both sides show it.
"""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from rehearsal.stage import playbook
from replica_lab.lab import Lab

A, B, C = "HV-A", "HV-B", "HV-C"
PHASES = ("check", "run", "again")
FAILOVER, REPLICATION = "hyperv.replica.failover", "hyperv.replica.replication"
NOTHING_YET = "none disabled"


@dataclass(frozen=True)
class Step:
    """One task on one host."""

    host: str
    module: str
    options: t.Mapping[str, t.Any]
    shown: t.Mapping[str, str]
    """What the hosts show of the VM afterwards: mode, state, and the state of its second relationship."""
    outcomes: tuple[str, str, str] = ("would_change", "changed", "unchanged")
    error: str | None = None

    @property
    def title(self) -> str:
        return f"{self.options['state']} on {self.host}"


def refused(host: str, module: str, error: str, shown: t.Mapping[str, str], **options: t.Any) -> Step:
    return Step(host, module, options, shown, ("failed", "failed", "failed"), error)


def replication(host: str, state: str, shown: t.Mapping[str, str], **options: t.Any) -> Step:
    return Step(host, REPLICATION, {"state": state, **options}, shown)


def failover(host: str, state: str, shown: t.Mapping[str, str], **options: t.Any) -> Step:
    return Step(host, FAILOVER, {"state": state, **options}, shown)


def lives(primary: str, replica: str, *more: str) -> dict[str, str]:
    """What A and B show, and C where it takes part."""
    return dict(zip((A, B, C), (primary, replica, *more), strict=False))


REPLICATES = lives("primary replicating", "replica replicating")
PREPARED = lives("primary prepared_for_planned_failover", "replica replicating")
LOST = {"kind": "unplanned", "primary_is_down": True}

BUILD = (
    replication(A, "enabled", lives("primary ready_for_replication", "replica waiting_to_complete_initial_replication"),
                replica_server=B, interval=30, recovery_history=4),
    replication(A, "enabled", lives("primary ready_for_replication", "replica waiting_to_complete_initial_replication"),
                compression=False, app_consistent_interval=2),
    replication(A, "started", REPLICATES),
)  # fmt: skip
PLANNED = (
    failover(A, "prepared", PREPARED),
    failover(B, "failed_over", lives("primary prepared_for_planned_failover", "replica failed_over"), kind="planned"),
    replication(B, "reversed", lives("replica replicating", "primary replicating")),
)
UNPLANNED = failover(B, "failed_over", lives("primary critical", "replica failed_over"), **LOST)
REVERTED = failover(B, "reverted", lives("primary critical", "replica replicating"), discard_guest_writes=True)
TOO_LATE = lives("primary waiting_to_start_resynchronization", "replica replicating")
WAITS = lives("replica waiting_to_complete_initial_replication", "replica committed")


@dataclass(frozen=True)
class Life:
    steps: tuple[Step, ...]
    assumptions: t.Mapping[str, t.Any] = field(default_factory=dict)


LIVES = {
    "build a pair from nothing, suspend, resume, end it": Life(
        (
            *BUILD,
            replication(A, "suspended", lives("primary suspended", "replica replicating")),
            replication(A, "replicating", REPLICATES),
            replication(B, "suspended", lives("primary replicating", "replica suspended")),
            replication(B, "replicating", REPLICATES),
            refused(A, REPLICATION, "settings_conflict", REPLICATES, state="enabled", replica_server=C),
            refused(A, REPLICATION, "not_confirmed", REPLICATES, state="absent"),
            replication(A, "absent", lives(NOTHING_YET, "replica replicating"), confirm=True),
            replication(B, "absent", lives(NOTHING_YET, NOTHING_YET), confirm=True),
        )
    ),
    "a planned failover is turned round without a commit, and back": Life(
        (
            *BUILD,
            *PLANNED,
            Step(B, REPLICATION, {"state": "started"}, lives("replica replicating", "primary replicating"),
                 ("unchanged",) * 3),
            failover(B, "prepared", lives("replica replicating", "primary prepared_for_planned_failover")),
            failover(A, "failed_over", lives("replica failed_over", "primary prepared_for_planned_failover"),
                     kind="planned"),
            replication(A, "reversed", REPLICATES),
        )
    ),
    "an unplanned failover is reverted while the primary is critical, and resumed": Life(
        (*BUILD, UNPLANNED, REVERTED, replication(A, "replicating", REPLICATES)),
        {"RESYNC_NEEDED_AFTER": 0},
    ),
    "an unplanned failover is reverted when the primary needs a resynchronization": Life(
        (
            *BUILD,
            failover(B, "failed_over", lives("primary waiting_to_start_resynchronization", "replica failed_over"),
                     **LOST),
            failover(B, "reverted", TOO_LATE, discard_guest_writes=True),
            refused(A, REPLICATION, "resynchronizing", TOO_LATE, state="replicating"),
            replication(A, "resynchronized", REPLICATES),
        ),
        {"RESYNC_NEEDED_AFTER": 1},
    ),
    "an unplanned failover is committed and turned round, with the old primary coming back": Life(
        (
            *BUILD,
            UNPLANNED,
            refused(B, REPLICATION, "not_committed", UNPLANNED.shown, state="reversed"),
            failover(B, "committed", lives("primary critical", "replica committed"), confirm=True),
            refused(A, REPLICATION, "not_confirmed", lives("primary critical", "replica committed"),
                    state="as_replica"),
            replication(A, "as_replica", WAITS, confirm=True),
            replication(B, "reversed",
                        lives("replica waiting_to_complete_initial_replication", "primary ready_for_replication")),
            replication(B, "started", lives("replica replicating", "primary replicating")),
        ),
        {"RESYNC_NEEDED_AFTER": 0},
    ),
    "a third site is in the way of a reversal, and the replication goes on there": Life(
        (
            *BUILD,
            replication(B, "enabled",
                        lives("primary replicating", "replica replicating ready_for_replication",
                              "extended_replica waiting_to_complete_initial_replication"),
                        relationship=1, replica_server=C),
            replication(B, "started",
                        lives("primary replicating", "replica replicating replicating", "extended_replica replicating"),
                        relationship=1),
            failover(B, "failed_over",
                     lives("primary critical", "replica failed_over replicating", "extended_replica replicating"),
                     **LOST),
            failover(B, "committed",
                     lives("primary critical", "replica committed replicating", "extended_replica replicating"),
                     confirm=True),
            refused(B, REPLICATION, "extended_present",
                    lives("primary critical", "replica committed replicating", "extended_replica replicating"),
                    state="reversed"),
            replication(B, "continued", lives("primary critical", "primary replicating", "replica replicating"),
                        confirm=True),
            replication(A, "absent", lives(NOTHING_YET, "primary replicating", "replica replicating"), confirm=True),
        ),
        {"RESYNC_NEEDED_AFTER": 0},
    ),
}  # fmt: skip


def scenario(life: Life) -> dict[str, t.Any]:
    return {
        "clock": {"rate": 20},
        "durations": {"initial_replication": 1},
        "users": {"operator": {"password": "replica-lab", "rights": "full"}},
        "assumptions": dict(life.assumptions),
        "hosts": {A: {"vms": [{"name": "app01"}]}, B: {}, C: {}},
    }


def play(life: Life) -> dict[str, t.Any]:
    """Every step three times, the witness after it, and what they said in a file for each host."""
    tasks: list[dict[str, t.Any]] = []
    for step in life.steps:
        for phase in PHASES:
            tasks.append(
                {
                    "name": f"{step.title}: {phase}",
                    step.module: {"name": "app01", **step.options},
                    "check_mode": phase == "check",
                    "diff": True,
                    "ignore_errors": True,
                    "register": phase,
                    "when": f"inventory_hostname == '{step.host}'",
                }
            )
        tasks.append({"name": f"After {step.title}", "hyperv.replica.replication_info": {}, "register": "shown"})
        said = "{'shown': shown, 'check': check, 'run': run, 'again': again}"
        kept = f"{{{{ kept | default([]) + [{said}] }}}}"
        tasks.append({"name": "Remember it", "ansible.builtin.set_fact": {"kept": kept}})
    tasks.append(
        {
            "name": "Write it down",
            "ansible.builtin.copy": {
                "content": "{{ kept | to_json }}",
                "dest": "{{ playbook_dir }}/{{ inventory_hostname }}.json",
                "mode": "0600",
            },
            "delegate_to": "localhost",
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        }
    )
    return {
        "name": "A life",
        "hosts": "hyperv",
        "gather_facts": False,
        "vars": {"hyperv_replica_transport": "wsman"},
        "module_defaults": {module: {"poll_interval": 0.1} for module in (FAILOVER, REPLICATION)},
        "tasks": tasks,
    }


def complaints(step: Step, said: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """What of a step is not as it should be. ``said``: by host."""
    for host, kept in said.items():
        vms = {vm["name"]: vm for vm in kept["shown"].get("vms", [])}
        shown = _in_words(vms["app01"]) if "app01" in vms else None
        if shown != step.shown.get(host):
            yield f"{host} shows {shown}, not {step.shown.get(host)}"
        if host != step.host:
            continue
        for phase, outcome in zip(PHASES, step.outcomes, strict=True):
            result = kept[phase]
            vm = next(iter(result.get("vms") or []), {})
            found = vm.get("outcome"), vm.get("error_class"), bool(result.get("changed"))
            expected = outcome, step.error, outcome in ("would_change", "changed")
            if found != expected:
                yield f"{phase} says {found}, not {expected}: {result.get('msg')}"
            if bool(result.get("diff")) is not expected[2]:
                yield f"{phase} has the diff {result.get('diff')}"


def _in_words(vm: t.Mapping[str, t.Any]) -> str:
    second = [link["state"] for link in vm["relationships"] if link["index"] == 1]
    return " ".join([vm["mode"], vm["state"], *second])


@pytest.mark.parametrize("name", LIVES)
def test_every_step_of_a_life_is_foretold_done_once_and_seen_on_all_hosts(
    name: str, lab: Callable[..., Lab], tmp_path: Path
) -> None:
    life = LIVES[name]
    stage = lab(scenario(life))
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(stage.inventory()), "utf-8")
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play(life)]), "utf-8")
    ended = playbook(["-i", "hosts.yml", "play.yml"], tmp_path)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]
    said = {host: json.loads((tmp_path / f"{host}.json").read_text("utf-8")) for host in (A, B, C)}
    wrong = [
        f"{number} {step.title}: {complaint}"
        for number, step in enumerate(life.steps)
        for complaint in complaints(step, {host: kept[number] for host, kept in said.items()})
    ]
    assert not wrong, "\n".join(wrong)
    # Nothing is sent twice, and nothing by a step that changes nothing.
    changing = [step for step in life.steps if step.outcomes[1] == "changed"]
    assert len(stage.calls) == len(changing), stage.calls
