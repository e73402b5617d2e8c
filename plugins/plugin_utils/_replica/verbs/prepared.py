# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""``state: prepared``: the primary has sent its last changes, and is ready to be failed over without a loss.

Source: RequestReplicationStateChangeEx method of Msvm_ComputerSystem, RequestedState 4. There is no method of its own.
While the request runs the state shows 4 already, so only the end of the job tells that it is reached.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    LAST_ROW,
    PRIMARY,
    REPLICA,
    Decision,
    Effect,
    Row,
    RunningVm,
    Target,
    gates,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import JobType, ReplicationState
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import (
    Act,
    Part,
    Reading,
    Verb,
    expecting,
    request_replication_state,
)

_S = ReplicationState

PREPARED = Target(
    name="prepared",
    methods=("RequestReplicationStateChangeEx (4)",),
    noun="the preparation",
    action="prepare",
    done="prepared for a planned failover",
    foretold="prepared_for_planned_failover",
    own_jobs=frozenset({JobType.INITIATE_SYNCED_REPLICATION}),
    rows=(
        *gates("a preparation", frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER})),
        Row(
            Effect.REFUSE,
            "The VM is a replica here: a planned failover is prepared on the host of its primary.",
            ErrorClass.WRONG_SIDE,
            modes=REPLICA,
        ),
        Row(
            Effect.NOTHING,
            "The VM is prepared for a planned failover.",
            modes=PRIMARY,
            states=frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER}),
        ),
        Row(
            Effect.CALL,
            "The VM is a primary that replicates.",
            modes=PRIMARY,
            states=frozenset({_S.REPLICATING}),
            needs_off=True,
        ),
        Row(
            Effect.REFUSE,
            "The initial replication of the VM is not complete.",
            ErrorClass.NOT_READY,
            modes=PRIMARY,
            states=frozenset({_S.DISABLED, _S.READY_FOR_REPLICATION, _S.WAITING_TO_COMPLETE_INITIAL_REPLICATION}),
        ),
        Row(
            Effect.REFUSE,
            "The replication of the VM is suspended.",
            ErrorClass.SUSPENDED,
            modes=PRIMARY,
            states=frozenset({_S.SUSPENDED}),
            hint="Resume the replication first (module replication, state=replicating), then run again.",
        ),
        Row(
            Effect.REFUSE,
            "The replication of the VM has stopped with an error.",
            ErrorClass.SUSPENDED,
            modes=PRIMARY,
            states=frozenset({_S.CRITICAL, _S.DISK_UPDATE_CRITICAL}),
            hint="Resume or resynchronize the replication first (module replication), then run again.",
        ),
        Row(
            Effect.REFUSE,
            "The VM waits for a resynchronization, or is in one.",
            ErrorClass.RESYNCHRONIZING,
            modes=PRIMARY,
            states=frozenset(
                {
                    _S.WAITING_TO_START_RESYNCHRONIZATION,
                    _S.RESYNCHRONIZING,
                    _S.RESYNCHRONIZATION_SUSPENDED,
                }
            ),
        ),
        Row(
            Effect.REFUSE,
            "The set of disks of the VM is being changed.",
            ErrorClass.BUSY,
            modes=PRIMARY,
            states=frozenset({_S.DISK_UPDATE_IN_PROGRESS}),
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class Prepare(Verb):
    @property
    def target(self) -> Target:
        return PREPARED

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        call = request_replication_state(vm, _S.PREPARED_FOR_PLANNED_FAILOVER)
        expected = expecting(vm, off_by_us=decision.power_off is not None)
        return (Act(Part.MAIN, "the preparation", call, vm.reference, expected, PREPARED.own_jobs, self.reading),)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        if after.mode != before.mode:
            return Reading.ODD
        if after.state == _S.PREPARED_FOR_PLANNED_FAILOVER:
            return Reading.LEFT
        return Reading.PENDING if after.state in (before.state, _S.FAILOVER_IN_PROGRESS) else Reading.ODD

    def hint(self, before: VirtualMachine, done: bool) -> str:
        return (
            "The VM cannot be started here until the planned failover is called off (state=reverted) or carried out on "
            "the replica (state=failed_over, kind=planned)."
            if done
            else ""
        )

    def warning(self, decision: Decision) -> str:
        if decision.power_off is not RunningVm.TURN_OFF:
            return ""
        return "it is turned off hard: what its guest had not yet written to its disks does not reach the replica"
