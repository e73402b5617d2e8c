# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""``state: started``: the initial replication is under way, or done.

Source: StartReplication method of Msvm_ReplicationService. A time that is set for later is not to be read anywhere, so
that a task with a time sets it again until the state shows that the time has come.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    LAST_ROW,
    PAIR,
    Decision,
    Effect,
    Row,
    Target,
    gates,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    InitialReplicationType,
    JobType,
    ReplicationState,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.relationship import (
    NO_SUCH,
    RECEIVES,
    OfRelationship,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Act, Reading, on_service

_S = ReplicationState


class Initial(enum.Enum):
    """How the first copy gets across."""

    NETWORK = "network"
    EXPORT = "export"
    SEEDED = "seeded"


_TYPES = {
    Initial.NETWORK: InitialReplicationType.NETWORK,
    Initial.EXPORT: InitialReplicationType.EXPORT,
    Initial.SEEDED: InitialReplicationType.SEEDED,
}

_STARTED = frozenset(
    {
        _S.WAITING_TO_COMPLETE_INITIAL_REPLICATION,
        _S.REPLICATING,
        _S.PREPARED_FOR_PLANNED_FAILOVER,
        _S.SUSPENDED,
        _S.CRITICAL,
        _S.WAITING_TO_START_RESYNCHRONIZATION,
        _S.RESYNCHRONIZING,
        _S.RESYNCHRONIZATION_SUSPENDED,
        _S.DISK_UPDATE_IN_PROGRESS,
        _S.DISK_UPDATE_CRITICAL,
    }
)

STARTED = Target(
    name="started",
    methods=("StartReplication",),
    noun="the start of the replication",
    action="start_replication",
    done="replicated for the first time",
    foretold="waiting_to_complete_initial_replication",
    own_jobs=frozenset({JobType.START_INITIAL_REPLICATION, JobType.EXPORT_INITIAL_REPLICATION}),
    rows=(
        *gates("a start of the replication"),
        NO_SUCH,
        RECEIVES,
        Row(
            Effect.CALL,
            "The VM is ready for its initial replication.",
            modes=PAIR,
            states=frozenset({_S.READY_FOR_REPLICATION}),
        ),
        Row(
            Effect.NOTHING,
            "The initial replication was started (whether the replication goes on now is another question).",
            modes=PAIR,
            states=_STARTED,
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class StartReplication(OfRelationship):
    """``at``: when to begin; None is now. ``export_path``: the folder of an export, as the host sees it."""

    initial: Initial = Initial.NETWORK
    export_path: str = ""
    at: datetime | None = None

    @property
    def target(self) -> Target:
        return STARTED

    @property
    def leaves_no_trace(self) -> bool:
        return self.at is not None

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        call = on_service(
            "StartReplication",
            ComputerSystem=vm.reference,
            InitialReplicationType=int(_TYPES[self.initial]),
            InitialReplicationExportLocation=self.export_path or None,
            StartTime=self.at,
        )
        # The page of the job names a type of its own for each way to begin.
        jobs = STARTED.own_jobs | {int(JobType.SEND_RESYNCHRONIZATION)}
        return (self.act(call, vm, "the start of the replication", jobs),)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        state = self.state_of(after)
        if after.mode != before.mode:
            return Reading.ODD
        if state in _STARTED:
            return Reading.LEFT
        return Reading.PENDING if state == self.state_of(before) else Reading.ODD

    def foretold(self, vm: VirtualMachine, decision: Decision) -> dict[str, str]:
        if self.at is None:
            return super().foretold(vm, decision)
        return {"state": f"replicated for the first time from {self.at.isoformat()}"}

    def hint(self, before: VirtualMachine, done: bool) -> str:
        if self.at is not None:
            return "The host begins by itself at that time; no property shows the time that was set."
        if self.initial is Initial.EXPORT:
            return "Carry the folder to the host of the replica and import it there (Import-VMInitialReplication)."
        return "The first copy goes over by itself; replication_info shows when the state is replicating."
