# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a campaign of bad nights needs to know of each verb: machines, options, calls, and what it may and must do."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import RunningVm
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.committed import Commit
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.failed_over import FailOver, FailoverKind
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.prepared import Prepare
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reverted import Revert
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Verb
from hypothesis import strategies as st

Options = t.Mapping[str, t.Any]
HOST, FAR = "HV", "HV-FAR"
OTHER_MODE = {"primary": "replica", "replica": "primary", "extended_replica": "replica", "none": "none"}
OTHER_STATES: dict[str, list[int | None]] = {
    "primary": [3, 3, 3, 7, 5, None],
    "replica": [3, 3, 4, 8, 9, None],
    "extended_replica": [3, None],
    "none": [None],
}
"""What the VM of the same name on the other host of the pair may show; None: there is none."""


class Seen(t.NamedTuple):
    """What a VM truly is, for tests."""

    mode: int
    state: int
    power: int
    discarded_writes: float
    failed_over_type: int
    failed_over_point: str


@dataclass(frozen=True)
class Campaign:
    """One verb under fire."""

    verb: type[Verb]
    options: st.SearchStrategy[dict[str, t.Any]]
    machines: st.SearchStrategy[dict[str, t.Any]]
    calls: tuple[str, ...]
    """The methods that the verb sends, one way or another."""
    arrived: t.Callable[[Seen], bool]
    """Whether a VM shows what the verb leads to, or what needs no more."""
    consents: tuple[tuple[str, t.Callable[[Options, Seen], bool]], ...] = ()
    """Method, and whether the task's options allow it for such a VM."""


POWERS = ["off", "off", "running", "running", "paused", "saved", "off_critical", "starting"]
GUESTS = ["willing", "willing", "hangs", "refuses", "needs_force", "no_services"]
POINTS: list[list[dict[str, t.Any]]] = [
    [{"type": "application_consistent", "age": 3600}, {"type": "standard", "age": 300}],
    [{"type": "standard", "age": 900}],
    [{"type": "standard", "age": 900}, {"type": "planned_failover", "age": 100}],
    [{"type": "planned_failover", "age": 900}],
    [],
]


def machines(
    mode: str, states: t.Sequence[int], powers: t.Sequence[str] = ("off",), **more: t.Any
) -> st.SearchStrategy[dict[str, t.Any]]:
    """VMs of a mode; a list as a further value is what may stand there.

    ``other`` is the state of the VM on the other host of the pair.
    """
    choices = {
        name: st.sampled_from(value) if isinstance(value, list) else st.just(value) for name, value in more.items()
    }
    return st.fixed_dictionaries(
        {
            "mode": st.just(mode),
            "state": st.sampled_from(states),
            "power": st.sampled_from(powers),
            "guest": st.sampled_from(GUESTS),
            "other": st.sampled_from(OTHER_STATES[mode]),
            **choices,
        }
    )


_NOT_REPLICATED = machines("none", [0], POWERS)
_RUNNING_VM = st.sampled_from(RunningVm)
_MOSTLY = st.sampled_from([True, True, True, False])
"""A consent: most nights are those in which something is done."""

CAMPAIGNS = {
    "reverted": Campaign(
        Revert,
        st.fixed_dictionaries({"discard_guest_writes": _MOSTLY, "running_vm": _RUNNING_VM}),
        st.one_of(
            machines("replica", [5], POWERS, guest_writes=1000),
            machines("replica", [3, 6, 7, 8, 10, 12]),
            machines("primary", [3, 4, 4, 8, 9], POWERS),
            _NOT_REPLICATED,
        ),
        ("RevertFailover", "RequestStateChange", "InitiateShutdown"),
        lambda vm: vm.state not in (4, 5, 12),
        (("RevertFailover", lambda options, vm: vm.mode == 1 or options["discard_guest_writes"]),),
    ),
    "prepared": Campaign(
        Prepare,
        st.fixed_dictionaries({"running_vm": _RUNNING_VM}),
        st.one_of(
            machines("primary", [3], POWERS),
            machines("primary", [1, 2, 4, 7, 8, 9, 10, 12, 15, 16]),
            machines("replica", [3, 5]),
            _NOT_REPLICATED,
        ),
        ("RequestReplicationStateChangeEx", "RequestStateChange", "InitiateShutdown"),
        lambda vm: (vm.mode, vm.state) == (1, 4),
    ),
    "failed_over": Campaign(
        FailOver,
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from([FailoverKind.PLANNED, FailoverKind.UNPLANNED, FailoverKind.UNPLANNED]),
                "primary_is_down": _MOSTLY,
                "point": st.sampled_from(["latest", "latest", "latest_app_consistent", "no such point"]),
                "resume": _MOSTLY,
                "start_vm": st.booleans(),
                "running_vm": _RUNNING_VM,
            }
        ),
        st.one_of(
            machines("replica", [3, 3, 7, 15], points=POINTS),
            machines("replica", [3, 3, 7], points=POINTS[:3]),
            machines("replica", [3, 7], POWERS),
            machines("extended_replica", [3, 7]),
            machines("replica", [3], test_copy=[True, None], last_replication=[300, "never"]),
            machines("replica", [5], ["off", "running"], failed_over_point=[0, -1]),
            machines("replica", [2, 6, 8, 10, 11, 12]),
            machines("primary", [3]),
            _NOT_REPLICATED,
        ),
        ("InitiateFailover", "RequestReplicationStateChangeEx", "RequestStateChange", "InitiateShutdown"),
        lambda vm: vm.mode in (2, 4) and vm.state in (5, 6),
        (
            (
                "InitiateFailover",
                lambda options, vm: options["kind"] is FailoverKind.PLANNED or options["primary_is_down"],
            ),
            ("RequestReplicationStateChangeEx", lambda options, vm: options["resume"]),
        ),
    ),
    "committed": Campaign(
        Commit,
        st.fixed_dictionaries({"confirm": _MOSTLY}),
        st.one_of(
            machines("replica", [5], POWERS, guest_writes=1000),
            machines("extended_replica", [5], ["off", "running"]),
            machines("replica", [3, 6, 7, 12], test_copy=[True, None]),
            machines("primary", [3, 4]),
            _NOT_REPLICATED,
        ),
        ("CommitFailover",),
        lambda vm: vm.mode in (2, 4) and vm.state == 6,
        (("CommitFailover", lambda options, vm: options["confirm"]),),
    ),
}

OUTCOMES: list[dict[str, t.Any]] = [
    *({"outcome": "return", "code": code} for code in (*range(32768, 32780), 40000)),
    {"outcome": "no_effect_0"},
    {"outcome": "no_effect_job"},
    {"outcome": "sync"},
    {"outcome": "job_fails", "error_code": 32768},
    {"outcome": "job_cancelled"},
    {"outcome": "job_warning"},
    {"outcome": "job_unknown_state", "state": 77},
    {"outcome": "job_unknown_state", "state": 11, "effect": True},
    *({"outcome": "job_hangs"} for _weight in range(4)),
    {"outcome": "job_vanishes", "effect": True},
    {"outcome": "job_vanishes", "effect": False},
    {"outcome": "job_hidden"},
    {"outcome": "job_slow", "seconds": 45},
    {"outcome": "lost_job_ref"},
]

FATES = st.builds(lambda times, what: {"times": times, **what}, st.integers(1, 2), st.sampled_from(OUTCOMES))
"""What may befall a call, of whatever method."""

SWITCHES = st.fixed_dictionaries(
    {},
    optional={
        "STATE_WHILE_REVERTING": st.sampled_from(["target", "before"]),
        "STATE_AFTER_REVERT_REPLICA": st.sampled_from([7, 8]),
        "PRIMARY_REVERT_JOB_TYPE": st.just(101),
        "STATE_WHILE_FAILING_OVER": st.sampled_from(["target", "before"]),
        "STATE_WHILE_COMMITTING": st.sampled_from([12, "before"]),
        "LAST_APPLIED_SNAPSHOT_AFTER_FAILOVER": st.just(False),
        "POWER_CHANGE_ANSWER": st.just("sync"),
        "POWER_WHILE_SHUTTING_DOWN": st.just(2),
        "SHUTDOWN_REFUSED": st.sampled_from([32768, 32774]),
        "SHUTDOWN_ANSWER": st.just(4096),
        "FAILOVER_TOUCHES_CONFIGURATION_TIME": st.just(False),
        "DROP_SAVED_STATE_BY_TURN_OFF": st.just(32775),
        "ENDED_JOB_ASSOCIATION": st.just("dropped"),
    },
)
