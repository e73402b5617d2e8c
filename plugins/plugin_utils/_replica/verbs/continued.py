# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""``state: continued``: a failed-over replica goes on as the primary of its third site.

Source: ChangeReplicationModeToPrimary method of Msvm_ReplicationService. The failover must be committed. The
relationship to the old primary ends with it, and the third site follows the new one.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    LAST_ROW,
    PRIMARY,
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
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.relationship import (
    OfRelationship,
    embedded_relationship,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reverted import (
    AT_REST_ON_A_PRIMARY,
    AT_REST_ON_A_REPLICA,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Act, Reading, on_service, said

_S = ReplicationState

_MIDDLE = frozenset({ReplicationMode.REPLICA})
_COMMITTED = frozenset({_S.COMMITTED})

CONTINUED = Target(
    name="continued",
    methods=("ChangeReplicationModeToPrimary",),
    noun="the continuation",
    action="continue",
    done="made the primary of its third site",
    foretold="replicating",
    own_jobs=frozenset({JobType.CHANGE_MODE_TO_PRIMARY}),
    changing=frozenset({_S.FAILED_OVER, _S.COMMITTED}),
    rows=(
        *gates("a continuation", frozenset({_S.FAILED_OVER, _S.COMMITTED})),
        Row(
            Effect.NOTHING,
            "The VM is a primary here.",
            modes=PRIMARY,
            states=AT_REST_ON_A_PRIMARY - {_S.DISABLED},
        ),
        Row(
            Effect.NOTHING,
            "The VM is a primary here, prepared for a planned failover.",
            modes=PRIMARY,
            states=frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is the third site here: the replication is continued on the replica that was failed over.",
            ErrorClass.WRONG_SIDE,
            modes=frozenset({ReplicationMode.EXTENDED_REPLICA}),
        ),
        Row(
            Effect.REFUSE,
            "The VM is failed over, and the failover is not committed.",
            ErrorClass.NOT_COMMITTED,
            modes=_MIDDLE,
            states=frozenset({_S.FAILED_OVER}),
        ),
        Row(
            Effect.REFUSE,
            "The VM has no third site to go on with.",
            ErrorClass.NOT_FOUND,
            modes=_MIDDLE,
            states=_COMMITTED,
            unless=frozenset({Fact.EXTENDED}),
            hint="Turn the replication round with state=reversed.",
        ),
        Row(
            Effect.REFUSE,
            "The extended relationship of this VM (to a third site) is in a failover.",
            ErrorClass.EXTENDED_UNSUPPORTED,
            modes=_MIDDLE,
            states=_COMMITTED,
            when=frozenset({Fact.EXTENDED_IN_FAILOVER}),
        ),
        Row(
            Effect.REFUSE,
            "The relationship to the old primary would end, and confirm is not set.",
            ErrorClass.NOT_CONFIRMED,
            modes=_MIDDLE,
            states=_COMMITTED,
            unless=frozenset({Fact.CONFIRMED}),
            consent="confirm",
        ),
        Row(
            Effect.CALL,
            "The VM is failed over and committed, and has a third site.",
            modes=_MIDDLE,
            states=_COMMITTED,
        ),
        Row(
            Effect.REFUSE,
            "The VM is a replica that is not failed over.",
            ErrorClass.NOT_FAILED_OVER,
            modes=_MIDDLE,
            states=AT_REST_ON_A_REPLICA,
        ),
        LAST_ROW,
    ),
)


@dataclass(frozen=True)
class Continue(OfRelationship):
    """``confirm``: the old primary is given up."""

    confirm: bool = False

    @property
    def target(self) -> Target:
        return CONTINUED

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        return super().facts(vm) | ({Fact.CONFIRMED} if self.confirm else set())

    def main_acts(self, vm: VirtualMachine, decision: Decision) -> tuple[Act, ...]:
        extended = embedded_relationship(vm, 1)
        call = on_service(
            "ChangeReplicationModeToPrimary", ComputerSystem=vm.reference, ReplicationRelationship=extended
        )
        return (self.act(call, vm, CONTINUED.noun, CONTINUED.own_jobs),)

    def reading(self, before: VirtualMachine, after: VirtualMachine) -> Reading:
        if after.mode in PRIMARY:
            return Reading.ODD if after.state_is_unknown else Reading.LEFT
        return Reading.PENDING if (after.mode, after.state) == (before.mode, before.state) else Reading.ODD

    def foretold(self, vm: VirtualMachine, decision: Decision) -> dict[str, str]:
        return {**super().foretold(vm, decision), "mode": said(ReplicationMode, ReplicationMode.PRIMARY)}

    def hint(self, before: VirtualMachine, done: bool) -> str:
        if not done:
            return ""
        return "The old primary keeps its side of the old relationship: end it there with state=absent."
