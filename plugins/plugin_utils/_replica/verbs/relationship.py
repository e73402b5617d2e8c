# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What the verbs have in common that change one of the two relationships of a VM.

A primary sends over its relationship 0. The replica in the middle of a chain receives over its relationship 0 and
sends over its relationship 1, to the third site. Which end a VM is decides what may be asked of it, so that the tables
look at :attr:`Fact.SENDS` and not at the mode.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.embedded import write_instance
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import MethodCall, Reference
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import PAIR, PRIMARY, Effect, Fact, Row
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import ReplicationMode, ReplicationState
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import (
    Act,
    Expected,
    Part,
    Verb,
    expecting,
    request_replication_state,
    with_state,
)

_S = ReplicationState

SENDING = frozenset({Fact.SENDS})

AT_WORK = frozenset({_S.REPLICATING, _S.WAITING_TO_COMPLETE_INITIAL_REPLICATION})
IN_A_FAILOVER = frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER, _S.FAILED_OVER, _S.COMMITTED})

NO_SUCH = Row(
    Effect.REFUSE,
    "The VM has no relationship to a third site.",
    ErrorClass.NOT_FOUND,
    modes=PAIR,
    when=frozenset({Fact.NO_RELATIONSHIP}),
    hint="Leave relationship out for the relationship of a pair; 1 is that of a replica to a third site.",
)
FAILOVER = (
    Row(
        Effect.REFUSE,
        "The VM is prepared for a planned failover.",
        ErrorClass.IN_FAILOVER,
        modes=PAIR,
        states=frozenset({_S.PREPARED_FOR_PLANNED_FAILOVER}),
        when=SENDING,
    ),
    Row(
        Effect.REFUSE,
        "The VM is failed over.",
        ErrorClass.IN_FAILOVER,
        modes=PAIR,
        states=frozenset({_S.FAILED_OVER, _S.COMMITTED}),
        unless=SENDING,
    ),
)
"""Rows of verbs that have nothing to say while a failover is in force."""
RECEIVES = Row(
    Effect.REFUSE,
    "The VM is at the receiving end here: this is done on the host that sends.",
    ErrorClass.WRONG_SIDE,
    modes=PAIR,
    unless=SENDING,
)


@dataclass(frozen=True)
class OfRelationship(Verb):
    """``relationship``: 0 for that of the pair, 1 for that of a replica to a third site."""

    relationship: int = 0

    @property
    def link(self) -> int:
        return self.relationship

    def facts(self, vm: VirtualMachine) -> frozenset[Fact]:
        holds = {
            Fact.SECOND: self.link == 1,
            Fact.SENDS: sends(vm, self.link),
            Fact.NO_RELATIONSHIP: self.link == 1 and vm.relationship(1) is None,
        }
        return super().facts(vm) | {fact for fact, held in holds.items() if held}

    def act(
        self,
        call: MethodCall,
        vm: VirtualMachine,
        noun: str,
        jobs: frozenset[int],
        *,
        part: Part = Part.MAIN,
        state: int | None = None,
        off_by_us: bool = False,
        needs_off: bool = False,
    ) -> Act:
        """A call on a VM whose relationship must still be as it was read, or, after an act before it, in ``state``."""
        expected = expecting(vm, off_by_us=off_by_us, any_power=not needs_off)
        own = vm.relationship(self.link)
        also: tuple[tuple[Reference, Expected], ...] = ()
        if self.link and own is not None:
            of_relationship = (("ReplicationState", (own.state if state is None else state,)),)
            also = ((Reference.of("Msvm_ReplicationRelationship", InstanceID=own.id), of_relationship),)
        elif state is not None:
            expected = with_state(expected, ReplicationState(state))
        return Act(part, noun, call, vm.reference, expected, jobs, self.reading, also)

    def request(self, vm: VirtualMachine, state: ReplicationState) -> MethodCall:
        """RequestReplicationStateChangeEx of the relationship that is meant."""
        return request_replication_state(vm, state, embedded_relationship(vm, self.link) if self.link else None)


def sends(vm: VirtualMachine, link: int) -> bool:
    """Whether changes go out from here over this relationship."""
    return vm.mode in PRIMARY if link == 0 else vm.mode == ReplicationMode.REPLICA


def embedded_relationship(vm: VirtualMachine, link: int) -> str:
    """The text by which methods name a relationship."""
    own = vm.relationship(link)
    return write_instance("Msvm_ReplicationRelationship", {"InstanceID": own.id if own else None})
