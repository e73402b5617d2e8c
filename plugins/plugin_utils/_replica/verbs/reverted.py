# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""``state: reverted``: no failover is in force. Source: RevertFailover method of Msvm_ReplicationService.

On the replica a revert throws the failed-over disk away, with all that the guest wrote to it. On the primary it calls
off a planned failover that is prepared.
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
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import (
    Act,
    Part,
    Reading,
    Verb,
    expecting,
    on_service,
)

_S = ReplicationState

AT_REST_ON_A_REPLICA = frozenset(
    {
        _S.DISABLED,
        _S.WAITING_TO_COMPLETE_INITIAL_REPLICATION,
        _S.REPLICATING,
        _S.SUSPENDED,
        _S.CRITICAL,
        _S.RESYNCHRONIZING,
        _S.RESYNCHRONIZATION_SUSPENDED,
        _S.DISK_UPDATE_IN_PROGRESS,
        _S.DISK_UPDATE_CRITICAL,
    }
)
AT_REST_ON_A_PRIMARY = AT_REST_ON_A_REPLICA | {_S.READY_FOR_REPLICATION, _S.WAITING_TO_START_RESYNCHRONIZATION}

IN_A_FAILOVER = frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER, _S.FAILED_OVER, _S.FAILOVER_IN_PROGRESS})

REVERTED = Target(
    name="reverted",
    methods=("RevertFailover",),
    noun="the revert",
    action="revert",
    done="reverted",
    foretold="not in a failover",
    # On a primary the host may run it as type 101 (not documented): both are ours to wait for.
    own_jobs=frozenset({JobType.REVERT_FAILOVER, JobType.CANCEL_SYNCED_REPLICATION}),
    rows=(
        *gates("a revert", frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER, _S.FAILED_OVER})),
        Row(
            Effect.REFUSE,
            "The extended relationship of this VM (to a third site) is in a failover.",
            ErrorClass.EXTENDED_UNSUPPORTED,
            modes=frozenset({ReplicationMode.REPLICA}),
            when=frozenset({Fact.EXTENDED_IN_FAILOVER}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is failed over, and a test copy of it exists.",
            ErrorClass.TEST_COPY_PRESENT,
            modes=REPLICA,
            states=frozenset({_S.FAILED_OVER}),
            when=frozenset({Fact.TEST_COPY}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is failed over. Reverting it would discard what the guest wrote since, and discard_guest_writes is "
            "not set.",
            ErrorClass.WOULD_DISCARD,
            modes=REPLICA,
            states=frozenset({_S.FAILED_OVER}),
            unless=frozenset({Fact.MAY_DISCARD}),
            consent="discard_guest_writes",
        ),
        Row(
            Effect.CALL,
            "The VM is failed over.",
            modes=REPLICA,
            states=frozenset({_S.FAILED_OVER}),
            needs_off=True,
        ),
        Row(
            Effect.CALL,
            "The VM is prepared for a planned failover, which is called off.",
            modes=PRIMARY,
            states=frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER}),
            needs_off=True,
        ),
        Row(
            Effect.REFUSE,
            "The failover is committed: there is nothing left to revert to.",
            ErrorClass.COMMITTED,
            modes=REPLICA,
            states=frozenset({_S.COMMITTED}),
        ),
        Row(
            Effect.NOTHING,
            "The VM is a primary and not in a failover (also when a failover was committed and reversed).",
            modes=PRIMARY,
            states=AT_REST_ON_A_PRIMARY,
        ),
        Row(
            Effect.NOTHING,
            "The VM is a replica and not failed over.",
            modes=REPLICA,
            states=AT_REST_ON_A_REPLICA,
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class Revert(Verb):
    """``discard_guest_writes``: what the guest wrote since the failover may be lost."""

    discard_guest_writes: bool = False

    @property
    def target(self) -> Target:
        return REVERTED

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        return super().facts(vm) | ({Fact.MAY_DISCARD} if self.discard_guest_writes else set())

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        expected = expecting(vm, off_by_us=decision.power_off is not None, unmoved=True)
        call = on_service("RevertFailover", ComputerSystem=vm.reference)
        return (Act(Part.MAIN, "the revert", call, vm.reference, expected, REVERTED.own_jobs, self.reading),)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        if after.mode != before.mode or after.state_is_unknown:
            return Reading.ODD
        # Not "replicating": with the link down it may be suspended or critical (the method's page promises neither).
        return Reading.PENDING if after.state in IN_A_FAILOVER else Reading.LEFT

    def hint(self, before: VirtualMachine, done: bool) -> str:
        if before.mode == ReplicationMode.PRIMARY:
            return "Calling off a planned failover does not touch the replica: make sure that it is not failed over."
        if not done:
            return ""
        return "The primary is not mended by this: check its replication, and resume or resynchronize it there."
