# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole lives of a replicated VM, as plays: each step is checked, run and run again, and all hosts are read after it.

Over PowerShell a start costs more than a second of the processor, so that over the other combinations the whole life
and a short one are run once each; EVERYTHING=1 plays all of all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rehearsal.alike import difference
from rehearsal.combinations import combinations, named
from rehearsal.lives import (
    FAILOVER,
    PHASES,
    REPLICATION,
    TEST_FAILOVER,
    A,
    B,
    C,
    Life,
    Meanwhile,
    Played,
    Step,
    complaints,
    enabled,
    failover,
    ids,
    perform,
    refused,
    replication,
    sides,
    told,
)

NOTHING_YET = "none disabled"
REPLICATES = sides("primary replicating", "replica replicating")
PREPARED = sides("primary prepared_for_planned_failover", "replica replicating")
FAILED_OVER_PREPARED = sides("primary prepared_for_planned_failover", "replica failed_over")
TURNED_ROUND = sides("replica replicating", "primary replicating")
LOST = {"kind": "unplanned", "primary_is_down": True}

NEW = sides("primary ready_for_replication", "replica waiting_to_complete_initial_replication")
BUILD = (
    enabled(A, "CreateReplicationRelationship", NEW, replica_server=B, interval=30, recovery_history=4),
    enabled(A, "ModifyReplicationSettings", NEW, compression=False, app_consistent_interval=2),
    replication(A, "started", REPLICATES),
)
PLANNED = (
    failover(A, "prepared", PREPARED),
    failover(B, "failed_over", FAILED_OVER_PREPARED, kind="planned"),
    replication(B, "reversed", TURNED_ROUND),
)
TESTED = (
    Step(B, TEST_FAILOVER, {"state": "present", "switch": "Drill", "start_vm": True},
         sides("primary replicating", "replica replicating + running copy"),
         calls=("TestReplicaSystem", "ModifyResourceSettings", "RequestStateChange")),
    refused(B, FAILOVER, "test_copy_present", sides("primary replicating", "replica replicating + running copy"),
            state="failed_over", **LOST),
    Step(B, TEST_FAILOVER, {"state": "absent"}, REPLICATES, calls=("RequestStateChange", "DestroySystem")),
)  # fmt: skip
UNPLANNED = failover(B, "failed_over", sides("primary critical", "replica failed_over"), **LOST)
COMMITTED = sides("primary critical", "replica committed")
FINAL = failover(B, "committed", COMMITTED, confirm=True)
REVERTED = failover(B, "reverted", sides("primary critical", "replica replicating"), discard_guest_writes=True)
TOO_LATE = sides("primary waiting_to_start_resynchronization", "replica replicating")
OLD_PRIMARY_IS_BACK = (
    refused(A, REPLICATION, "not_confirmed", COMMITTED, state="as_replica"),
    replication(A, "as_replica", sides("replica waiting_to_complete_initial_replication", "replica committed"),
                confirm=True),
    replication(B, "reversed",
                sides("replica waiting_to_complete_initial_replication", "primary ready_for_replication")),
    replication(B, "started", TURNED_ROUND),
)  # fmt: skip
BROKEN_FOR_AS_LONG_AS_IT_TAKES = {"RESYNC_NEEDED_AFTER": 0}
HOURS = 100_000
"""Seconds of the world that do not pass by themselves while a test runs."""
OLDEST = "{{ (shown.vms | selectattr('name', 'equalto', 'app01') | first).recovery_points[0].id }}"
"""The oldest recovery point that the witness saw on this host."""
CHAIN = (
    enabled(B, "CreateReplicationRelationship",
            sides("primary replicating", "replica replicating ready_for_replication",
                  "extended_replica waiting_to_complete_initial_replication"),
            relationship=1, replica_server=C),
    replication(B, "started",
                sides("primary replicating", "replica replicating replicating", "extended_replica replicating"),
                relationship=1),
)  # fmt: skip
WHOLE = "all of it, from building a pair to replicating the other way"
RESUMED = "an unplanned failover is reverted while the primary is critical, and resumed"

LIVES = {
    WHOLE: Life(
        (
            *BUILD,
            *TESTED,
            failover(A, "prepared", PREPARED),
            failover(A, "reverted", REPLICATES),
            Meanwhile(B, "replicate", REPLICATES),
            failover(A, "prepared", PREPARED),
            failover(B, "failed_over", FAILED_OVER_PREPARED, kind="planned"),
            refused(B, FAILOVER, "would_discard", FAILED_OVER_PREPARED, state="reverted"),
            failover(B, "reverted", PREPARED, discard_guest_writes=True),
            failover(A, "reverted", REPLICATES),
            failover(B, "failed_over", UNPLANNED.shown, recovery_point=OLDEST, **LOST),
            refused(B, FAILOVER, "other_point", UNPLANNED.shown, state="failed_over", **LOST),
            refused(B, FAILOVER, "not_confirmed", UNPLANNED.shown, state="committed"),
            FINAL,
            refused(B, FAILOVER, "committed", COMMITTED, state="reverted", discard_guest_writes=True),
            *OLD_PRIMARY_IS_BACK,
        ),
        BROKEN_FOR_AS_LONG_AS_IT_TAKES,
    ),
    "build a pair from nothing, suspend, resume, end it": Life(
        (
            *BUILD,
            replication(A, "suspended", sides("primary suspended", "replica replicating")),
            replication(A, "replicating", REPLICATES),
            replication(B, "suspended", sides("primary replicating", "replica suspended")),
            replication(B, "replicating", REPLICATES),
            refused(A, REPLICATION, "settings_conflict", REPLICATES, state="enabled", replica_server=C),
            refused(A, REPLICATION, "not_confirmed", REPLICATES, state="absent"),
            replication(A, "absent", sides(NOTHING_YET, "replica replicating"), confirm=True),
            replication(B, "absent", sides(NOTHING_YET, NOTHING_YET), confirm=True),
        )
    ),
    "a planned failover is turned round without a commit, and back": Life(
        (
            *BUILD,
            *PLANNED,
            Step(B, REPLICATION, {"state": "started"}, TURNED_ROUND, ("unchanged",) * 3),
            failover(B, "prepared", sides("replica replicating", "primary prepared_for_planned_failover")),
            failover(A, "failed_over", sides("replica failed_over", "primary prepared_for_planned_failover"),
                     kind="planned"),
            replication(A, "reversed", REPLICATES),
        )
    ),
    "a planned failover is undone on the primary first, and mended": Life(
        (
            *BUILD,
            *PLANNED[:2],
            failover(A, "reverted", UNPLANNED.shown),
            # Only the other host knows that it is no prepared primary any more, so that check mode cannot.
            Step(B, REPLICATION, {"state": "reversed"}, UNPLANNED.shown, ("would_change", "failed", "failed"),
                 "job_failed", ("ReverseReplicationRelationship",) * 2),
            REVERTED,
            replication(A, "replicating", REPLICATES),
        ),
        BROKEN_FOR_AS_LONG_AS_IT_TAKES,
    ),
    RESUMED: Life(
        (*BUILD, UNPLANNED, REVERTED, replication(A, "replicating", REPLICATES)),
        BROKEN_FOR_AS_LONG_AS_IT_TAKES,
    ),
    "an unplanned failover is reverted when the primary needs a resynchronization": Life(
        (
            *BUILD,
            failover(B, "failed_over", sides("primary waiting_to_start_resynchronization", "replica failed_over"),
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
            FINAL,
            *OLD_PRIMARY_IS_BACK,
        ),
        BROKEN_FOR_AS_LONG_AS_IT_TAKES,
    ),
    "a third site is in the way of a reversal, and the replication goes on there": Life(
        (
            *BUILD,
            *CHAIN,
            failover(B, "failed_over",
                     sides("primary critical", "replica failed_over replicating", "extended_replica replicating"),
                     **LOST),
            failover(B, "committed",
                     sides("primary critical", "replica committed replicating", "extended_replica replicating"),
                     confirm=True),
            refused(B, REPLICATION, "extended_present",
                    sides("primary critical", "replica committed replicating", "extended_replica replicating"),
                    state="reversed"),
            replication(B, "continued", sides("primary critical", "primary replicating", "replica replicating"),
                        confirm=True),
            replication(A, "absent", sides(NOTHING_YET, "primary replicating", "replica replicating"), confirm=True),
        ),
        BROKEN_FOR_AS_LONG_AS_IT_TAKES,
    ),
    "the third site takes over for good, and goes on alone": Life(
        (
            *BUILD,
            *CHAIN,
            failover(C, "failed_over",
                     sides("primary replicating", "replica replicating critical", "extended_replica failed_over"),
                     **LOST),
            refused(C, FAILOVER, "not_confirmed",
                    sides("primary replicating", "replica replicating critical", "extended_replica failed_over"),
                    state="committed"),
            failover(C, "committed",
                     sides("primary replicating", "replica replicating critical", "extended_replica committed"),
                     confirm=True),
            replication(C, "absent", sides("primary replicating", "replica replicating critical", NOTHING_YET),
                        confirm=True),
            replication(B, "absent", sides("primary replicating", "replica replicating", NOTHING_YET),
                        relationship=1, confirm=True),
        ),
        BROKEN_FOR_AS_LONG_AS_IT_TAKES,
    ),
    "a commit takes long": Life(
        (
            *BUILD,
            UNPLANNED,
            Step(B, FAILOVER, {"state": "committed", "confirm": True, "wait": False}, COMMITTED,
                 ("would_change", "in_progress", "in_progress"), calls=("CommitFailover",)),
            refused(B, FAILOVER, "busy", COMMITTED, state="reverted", discard_guest_writes=True),
            refused(B, REPLICATION, "busy", COMMITTED, state="reversed"),
            Meanwhile(B, "release_job", COMMITTED),
            Step(B, FAILOVER, {"state": "committed", "confirm": True}, COMMITTED, ("unchanged",) * 3),
            *OLD_PRIMARY_IS_BACK,
        ),
        BROKEN_FOR_AS_LONG_AS_IT_TAKES,
        ({"method": "CommitFailover", "outcome": "job_hangs"},),
    ),
    "the disks merge long after the commit, and the host takes no call meanwhile": Life(
        (
            *BUILD,
            UNPLANNED,
            FINAL,
            OLD_PRIMARY_IS_BACK[1],
            # Only the host knows, so that check mode cannot. Each run asks it anew.
            Step(B, REPLICATION, {"state": "reversed"}, OLD_PRIMARY_IS_BACK[1].shown,
                 ("would_change", "failed", "failed"), "in_use", ("ReverseReplicationRelationship",) * 2),
            Meanwhile(B, "", OLD_PRIMARY_IS_BACK[1].shown, seconds=HOURS),
            *OLD_PRIMARY_IS_BACK[2:],
        ),
        {**BROKEN_FOR_AS_LONG_AS_IT_TAKES, "MERGE_AFTER_COMMIT_SECONDS": HOURS, "METHOD_WHILE_MERGING": 32774},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LIVES)
def test_every_step_of_a_life_is_foretold_done_once_and_seen_on_all_hosts(name: str, tmp_path: Path) -> None:
    life = LIVES[name]
    played = perform(life, named("winrm-basic"), tmp_path)
    wrong = complaints(life, played)
    assert not wrong, "\n".join(wrong)


# --- over the other combinations --------------------------------------------------------------------------------

EVERYTHING = bool(os.environ.get("EVERYTHING"))
FIRST = "winrm-basic"
OTHERS = ("psrp-ntlm", "powershell-winrm", *(("winrm-https", "powershell-psrp") if EVERYTHING else ()))
ONCE = PHASES if EVERYTHING else ("run",)
Performances = Callable[[str, str], Played]


@pytest.fixture(scope="module")
def performances(tmp_path_factory: pytest.TempPathFactory) -> Performances:
    """A life over a combination, by their names; each is played once."""
    given: dict[tuple[str, str], Played] = {}

    def performance(combination: str, life: str) -> Played:
        key = combination, life
        if key not in given:
            given[key] = perform(LIVES[life], named(combination), tmp_path_factory.mktemp("life"), ONCE)
        return given[key]

    return performance


@pytest.mark.parametrize("name", LIVES if EVERYTHING else (WHOLE, RESUMED))
@pytest.mark.parametrize("combination", OTHERS)
def test_a_life_comes_to_the_same_whatever_carries_it(combination: str, name: str, performances: Performances) -> None:
    missing = next(one.missing for one in combinations() if one.name == combination)
    if missing:
        pytest.skip(missing)
    life = LIVES[name]
    first, other = performances(FIRST, name), performances(combination, name)
    wrong = [*complaints(life, other, ONCE), *difference(told(life, first, ONCE), told(life, other, ONCE), ids(first))]
    assert not wrong, "\n".join(wrong)
    carried = {one["transport"] for results in other.said.values() for one in results.values() if "transport" in one}
    assert carried == {named(combination).carries}
