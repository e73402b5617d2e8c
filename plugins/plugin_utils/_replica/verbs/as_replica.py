# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""``state: as_replica``: the old primary, after an unplanned failover, waits to receive from the new one.

Source: RequestReplicationStateChangeEx method of Msvm_ComputerSystem, RequestedState 2. The data of this side will be
overwritten by that of the other. No precondition is documented; a VM that is prepared for a planned failover is not
told, because the reversal on the other host turns it round by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    LAST_ROW,
    PRIMARY,
    REPLICA,
    Decision,
    Effect,
    Fact,
    Row,
    Target,
    gates,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    JobType,
    ReplicationMode,
    ReplicationState,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.relationship import FAILOVER, OfRelationship
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reverted import AT_REST_ON_A_REPLICA
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Act, Reading, said

_S = ReplicationState

_MAY_TURN = frozenset(
    {
        _S.REPLICATING,
        _S.SUSPENDED,
        _S.CRITICAL,
        _S.WAITING_TO_START_RESYNCHRONIZATION,
        _S.RESYNCHRONIZATION_SUSPENDED,
    }
)

AS_REPLICA = Target(
    name="as_replica",
    methods=("RequestReplicationStateChangeEx (2)",),
    noun="the change to a replica",
    action="make_replica",
    done="made a replica, whose data is overwritten by that of the other side",
    foretold="waiting_to_complete_initial_replication",
    own_jobs=frozenset({JobType.CHANGE_REPLICATION_STATE}),
    rows=(
        *gates("a change of the replication state"),
        Row(
            Effect.REFUSE,
            "The VM is failed over here: the old primary is on the other host.",
            ErrorClass.WRONG_SIDE,
            modes=REPLICA,
            states=frozenset({_S.FAILED_OVER, _S.COMMITTED}),
        ),
        Row(
            Effect.NOTHING,
            "The VM is a replica here.",
            modes=REPLICA,
            states=AT_REST_ON_A_REPLICA - {_S.DISABLED},
        ),
        FAILOVER[0],
        Row(
            Effect.REFUSE,
            "The initial replication of the VM is not complete: there is no other side that could be the primary.",
            ErrorClass.NOT_READY,
            modes=PRIMARY,
            states=frozenset({_S.READY_FOR_REPLICATION, _S.WAITING_TO_COMPLETE_INITIAL_REPLICATION}),
            hint="If it was never failed over on the other host, start its replication (state=started), or end it "
            "(state=absent).",
        ),
        Row(
            Effect.REFUSE,
            "The VM is in a resynchronization.",
            ErrorClass.RESYNCHRONIZING,
            modes=PRIMARY,
            states=frozenset({_S.RESYNCHRONIZING}),
        ),
        Row(
            Effect.REFUSE,
            "The set of disks of the VM is being changed, or that has failed.",
            ErrorClass.BUSY,
            modes=PRIMARY,
            states=frozenset({_S.DISK_UPDATE_IN_PROGRESS, _S.DISK_UPDATE_CRITICAL}),
        ),
        Row(
            Effect.REFUSE,
            "The VM would become a replica, and its data would be overwritten by that of the other side. confirm is "
            "not set.",
            ErrorClass.NOT_CONFIRMED,
            modes=PRIMARY,
            states=_MAY_TURN,
            unless=frozenset({Fact.CONFIRMED}),
            consent="confirm",
        ),
        Row(
            Effect.CALL,
            "The VM is a primary.",
            modes=PRIMARY,
            states=_MAY_TURN,
            needs_off=True,
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class AsReplica(OfRelationship):
    """``confirm``: what the guest of the old primary has written may be overwritten."""

    confirm: bool = False

    @property
    def target(self) -> Target:
        return AS_REPLICA

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        return super().facts(vm) | ({Fact.CONFIRMED} if self.confirm else set())

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        call = self.request(vm, _S.WAITING_TO_COMPLETE_INITIAL_REPLICATION)
        off_by_us = decision.power_off is not None
        noun, jobs = AS_REPLICA.noun, AS_REPLICA.own_jobs
        return (self.act(call, vm, noun, jobs, needs_off=True, off_by_us=off_by_us),)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        if after.mode in REPLICA:
            return Reading.LEFT
        # While the request runs the state shows 2, and the mode is still that of a primary.
        pending = (before.state, _S.WAITING_TO_COMPLETE_INITIAL_REPLICATION)
        return Reading.PENDING if after.mode == before.mode and after.state in pending else Reading.ODD

    def foretold(self, vm: VirtualMachine, decision: Decision) -> dict[str, str]:
        return {**super().foretold(vm, decision), "mode": said(ReplicationMode, ReplicationMode.REPLICA)}

    def hint(self, before: VirtualMachine, done: bool) -> str:
        if not done:
            return ""
        return "Next, on the other host: state=reversed, then state=started. Until then the VM is not protected."
