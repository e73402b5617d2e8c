# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""``state: committed``: the failover is final. Source: CommitFailover method of Msvm_ReplicationService.

The recovery points are merged into the disk that runs. There is no way back, so the task has to say that it means it.
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
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reverted import AT_REST_ON_A_REPLICA
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import (
    Act,
    Part,
    Reading,
    Verb,
    expecting,
    on_service,
)

_S = ReplicationState
_FAILED_OVER = frozenset({_S.FAILED_OVER})

COMMITTED = Target(
    name="committed",
    methods=("CommitFailover",),
    noun="the commit",
    action="commit",
    done="committed",
    foretold="committed",
    own_jobs=frozenset({JobType.COMMIT_FAILOVER}),
    rows=(
        *gates("a commit", frozenset({_S.FAILED_OVER, _S.COMMITTED})),
        Row(
            Effect.REFUSE,
            "The VM is a primary here: a failover is committed on the host of the replica.",
            ErrorClass.WRONG_SIDE,
            modes=PRIMARY,
        ),
        Row(
            Effect.REFUSE,
            "The extended relationship of this VM (to a third site) is in a failover.",
            ErrorClass.EXTENDED_UNSUPPORTED,
            modes=frozenset({ReplicationMode.REPLICA}),
            when=frozenset({Fact.EXTENDED_IN_FAILOVER}),
        ),
        Row(
            Effect.NOTHING,
            "The failover of the VM is committed.",
            modes=REPLICA,
            states=frozenset({_S.COMMITTED}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is failed over, and a test copy of it exists.",
            ErrorClass.TEST_COPY_PRESENT,
            modes=REPLICA,
            states=_FAILED_OVER,
            when=frozenset({Fact.TEST_COPY}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is failed over. Committing it is final: its other recovery points are gone and it cannot be "
            "reverted any more, and confirm is not set.",
            ErrorClass.NOT_CONFIRMED,
            modes=REPLICA,
            states=_FAILED_OVER,
            unless=frozenset({Fact.CONFIRMED}),
            consent="confirm",
            hint="If this is the point that the VM shall go on from, set confirm to true.",
        ),
        Row(
            Effect.CALL,
            "The VM is failed over.",
            modes=REPLICA,
            states=_FAILED_OVER,
        ),
        Row(
            Effect.REFUSE,
            "The VM is a replica that is not failed over.",
            ErrorClass.NOT_FAILED_OVER,
            modes=REPLICA,
            states=AT_REST_ON_A_REPLICA,
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class Commit(Verb):
    """``confirm``: the task says that it means it."""

    confirm: bool = False

    @property
    def target(self) -> Target:
        return COMMITTED

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        return super().facts(vm) | ({Fact.CONFIRMED} if self.confirm else set())

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        call = on_service("CommitFailover", ComputerSystem=vm.reference)
        expected = expecting(vm, any_power=True, unmoved=True)
        return (Act(Part.MAIN, "the commit", call, vm.reference, expected, COMMITTED.own_jobs, self.reading),)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        if after.mode != before.mode:
            return Reading.ODD
        if after.state == _S.COMMITTED:
            return Reading.LEFT
        return Reading.PENDING if after.state in (before.state, _S.FAILOVER_IN_PROGRESS) else Reading.ODD

    def hint(self, before: VirtualMachine, done: bool) -> str:
        return (
            "The VM is not protected until its replication is reversed (module replication, state=reversed)."
            if done
            else ""
        )
