# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making, changing, turning round and ending a replication relationship."""

from __future__ import annotations

import re
import typing as t

from replica_lab.numbers import AuthenticationType, Code, FailoverType, Health, JobType, Mode, State
from replica_lab.provider import Value
from replica_lab.world import connection, embedded
from replica_lab.world.connection import Route
from replica_lab.world.jobs import Answered, JobFailed, Plan
from replica_lab.world.model import Relationship, Vm
from replica_lab.world.verbs.common import (
    REPLICA_SIDE,
    lose_connection,
    merge_points,
    need,
    need_choice,
    need_idle,
    touch_configuration,
)
from replica_lab.world.verbs.replication import takes_from

REPLICATED = frozenset({Mode.PRIMARY, *REPLICA_SIDE})

SETTINGS = "Msvm_ReplicationSettingData"

_KEPT = frozenset(
    {
        "AdditionalSettings",
        "ApplicationConsistentSnapshotInterval",
        "AuthenticationType",
        "AutoResynchronizeEnabled",
        "AutoResynchronizeIntervalEnd",
        "AutoResynchronizeIntervalStart",
        "BypassProxyServer",
        "CertificateThumbPrint",
        "CompressionEnabled",
        "IncludedDisks",
        "RecoveryConnectionPoint",
        "RecoveryHistory",
        "RecoveryServerPortNumber",
        "ReplicateHostKvpItems",
        "ReplicationInterval",
        "RootCertificateThumbPrint",
    }
)
"""What of the settings is somebody's to say; the rest (names, peers, ids) follows from the world."""

_ALLOWED: dict[str, t.Container[object]] = {
    "ApplicationConsistentSnapshotInterval": range(13),
    "AuthenticationType": frozenset(AuthenticationType),
    "RecoveryHistory": range(25),
    "ReplicationInterval": frozenset({30, 300, 900}),
}
"""Msvm_ReplicationSettingData, as its page limits the values."""


# --- the settings in a text -----------------------------------------------------------------------------------


def relationship_index(vm: Vm, identifier: str) -> int:
    r"""The relationship that an InstanceID names: ``Microsoft:<vmid>\HVR\<index>``, on 2012 without the index."""
    match = re.fullmatch(rf"Microsoft:{vm.id}\\HVR(?:\\([01]))?", identifier, re.IGNORECASE)
    if match is None:
        raise Answered(Code.INVALID_PARAMETER)
    return int(match[1] or 0)


def _stated(vm: Vm, text: Value) -> tuple[embedded.Properties, int | None]:
    """What a text says that can be said, and the relationship that it names."""
    found = embedded.read(text, SETTINGS)
    identifier = t.cast(str, found.get("InstanceID") or "")
    for name, allowed in _ALLOWED.items():
        need(name not in found or found[name] in allowed, Code.INVALID_PARAMETER)
    index = relationship_index(vm, identifier) if identifier else None
    return {name: value for name, value in found.items() if name in _KEPT}, index


def _need_certificate(settings: embedded.Properties) -> None:
    certificate = settings.get("AuthenticationType") == AuthenticationType.CERTIFICATE
    need(not certificate or bool(settings.get("CertificateThumbPrint")), Code.INVALID_PARAMETER)


# --- CreateReplicationRelationship ----------------------------------------------------------------------------


def create(vm: Vm, text: Value) -> Plan:
    """Enable replication: of a VM to its replica, or of a replica to a third site."""
    assumptions = vm.host.world.assumptions
    settings, _index = _stated(vm, text)
    route = Route.of(settings)
    need(bool(route.to) and not vm.host.is_called(route.to), Code.INVALID_PARAMETER)
    _need_certificate(settings)
    if not settings.get("RecoveryServerPortNumber"):
        need_choice(assumptions.NO_RECOVERY_PORT)
        settings["RecoveryServerPortNumber"] = route.port
    need_idle(vm)
    extends = vm.mode == Mode.REPLICA
    need(vm.mode == Mode.NONE or (extends and vm.host.version.extended and vm.relationship(1) is None))
    if extends and vm.state != State.REPLICATING:
        need_choice(assumptions.EXTEND_BEFORE_REPLICATING)

    def finish() -> None:
        there = connection.connect(vm.host, route)
        receiver = there.vm(vm.id)
        mode = Mode.EXTENDED_REPLICA if extends else Mode.REPLICA
        if receiver is None:
            receiver = _new_replica(vm, mode)
            there.add(receiver)
            _connect_nics(vm, receiver)
        elif not _waits_for(receiver, vm) or (extends and receiver.relationship(1) is not None):
            raise JobFailed  # also where the third site would have one of its own
        receiver.mode = mode
        own = Relationship(1) if extends else vm.relationships[0]
        vm.relationships = [*vm.relationships, own] if extends else [own]
        own.state, own.health, own.peer = State.READY_FOR_REPLICATION, Health.OK, there.fqdn
        other = receiver.relationships[0]
        other.state, other.health = State.WAITING_TO_COMPLETE_INITIAL_REPLICATION, Health.OK
        other.peer = vm.host.fqdn
        own.settings, other.settings = dict(settings), dict(settings)
        own.statistics.since = other.statistics.since = vm.host.world.time
        if not extends:
            vm.count_writes()
            vm.mode = Mode.PRIMARY

    return Plan("create", JobType.CREATE_RELATIONSHIP, vm, finish=finish)


def _waits_for(vm: Vm, sender: Vm) -> bool:
    """Whether this VM was made a replica (RequestedState 2) that still has no primary, or this one."""
    relationship = vm.relationships[0]
    waiting = relationship.state == State.WAITING_TO_COMPLETE_INITIAL_REPLICATION and vm.mode == Mode.REPLICA
    expected = not relationship.peer or sender.host.is_called(relationship.peer)
    return waiting and expected and takes_from(vm, sender.host) and idle(vm)


def idle(vm: Vm) -> bool:
    """Whether nothing on the other host keeps its VM from being changed from here."""
    return vm.is_off and not vm.in_backup and vm.host.job_in_the_way(vm) is None


def _new_replica(vm: Vm, mode: Mode) -> Vm:
    now = vm.host.world.time
    return Vm(
        vm.host, vm.id, vm.name, mode=mode, installed=now, configured=now, power_changed=now, counted=now
    )  # fmt: skip


def _connect_nics(vm: Vm, replica: Vm) -> None:
    """The adapters of a new replica: on the switch of the same name, if that is assumed and there is one."""
    for nic in vm.nics:
        switch = vm.host.switch(nic.switch)
        there = replica.host.switch(switch.name) if switch else None
        same = replica.host.world.assumptions.NEW_REPLICA_NETWORK == "same_switch_name"
        replica.add_nic(nic.name, switch=there.id if there and same else "")


# --- ModifyReplicationSettings ------------------------------------------------------------------------------


def modify(vm: Vm, text: Value) -> Plan:
    """Change what a text states of the settings; what it leaves out or has as NULL stays."""
    assumptions = vm.host.world.assumptions
    stated, index = _stated(vm, text)
    relationship = vm.relationship(index or 0)
    need(relationship is not None, Code.INVALID_PARAMETER)
    assert relationship is not None
    _need_certificate({**relationship.settings, **stated})
    need_idle(vm)
    need(vm.mode in REPLICATED)
    if not vm.sends(relationship.index):
        need_choice(assumptions.MODIFY_SETTINGS_ON_REPLICA)
    target = t.cast(str, stated.get("RecoveryConnectionPoint") or "")
    if target and not _same_place(vm, relationship, target):
        need_choice(assumptions.MODIFY_CONNECTION_POINT)

    def finish() -> None:
        partner = vm.partner(relationship.index)
        for end in (relationship, *([partner[1]] if partner else [])):
            end.settings.update(stated)

    return Plan("modify", JobType.MODIFY_RELATIONSHIP, vm, finish=finish)


def _same_place(vm: Vm, relationship: Relationship, name: str) -> bool:
    """Whether a connection point means the recovery server that this relationship has already."""
    if not vm.sends(relationship.index):
        return vm.host.is_called(name)
    there = connection.find(vm.host, relationship.peer)
    return there.is_called(name) if there else name.casefold() == relationship.peer.casefold()


# --- RemoveReplicationRelationship(Ex) ------------------------------------------------------------------------


def remove(vm: Vm, index: int = 0) -> Plan:
    """End a relationship on this side; the other side is told nothing, it only finds nobody there."""
    assumptions = vm.host.world.assumptions
    need_idle(vm)
    need(vm.mode in REPLICATED)
    relationship = vm.relationship(index)
    need(relationship is not None, Code.INVALID_PARAMETER)
    assert relationship is not None
    need(index == 1 or vm.relationship(1) is None)
    if index == 0 and vm.mode in REPLICA_SIDE and vm.state == State.FAILED_OVER:
        need_choice(assumptions.REMOVE_WHILE_FAILED_OVER)
    if index == 0 and vm.test_copies():
        need_choice(assumptions.REMOVE_WITH_TEST_COPY)

    def finish() -> None:
        partner = vm.partner(index)
        if index == 1:
            vm.relationships = [found for found in vm.relationships if found.index == 0]
        else:
            vm.keep_guest_writes()
            vm.unsent_writes = 0.0
            vm.mode, vm.authorization = Mode.NONE, None
            vm.relationships = [Relationship(0)]
            merge_points(vm)
            touch_configuration(vm)
            for copy in vm.test_copies():
                copy.replica = None
        if partner and partner[0].sends(partner[1].index) and partner[1].state == State.REPLICATING:
            lose_connection(*partner, state=assumptions.PRIMARY_AFTER_REPLICA_WAS_REMOVED)

    return Plan("remove", JobType.REMOVE_RELATIONSHIP, vm, finish=finish)


# --- ReverseReplicationRelationship ---------------------------------------------------------------------------


def reverse(vm: Vm, text: Value) -> Plan:
    """The failed-over replica becomes the primary, and replicates back."""
    assumptions = vm.host.world.assumptions
    relationship = vm.relationships[0]
    if text is None:
        need(assumptions.REVERSE_WITHOUT_SETTINGS == "accept", Code.INVALID_PARAMETER)
    stated, index = _stated(vm, text) if text is not None else ({}, None)
    need(index in (None, 0), Code.INVALID_PARAMETER)
    target = t.cast(str, stated.get("RecoveryConnectionPoint") or relationship.peer)
    settings = {**relationship.settings, **stated, "RecoveryConnectionPoint": target}
    need(bool(target) and not vm.host.is_called(target), Code.INVALID_PARAMETER)
    _need_certificate(settings)
    need_idle(vm)
    need(vm.mode in REPLICA_SIDE)
    need(vm.relationship(1) is None)  # a replica with a third site continues there
    planned = relationship.failed_over_type == FailoverType.PLANNED
    if vm.state == State.FAILED_OVER:
        need(assumptions.REVERSE_BEFORE_COMMIT == "any" or (planned and assumptions.REVERSE_BEFORE_COMMIT == "planned"))
    else:
        need(vm.state == State.COMMITTED)
    if vm.mode == Mode.EXTENDED_REPLICA:
        need_choice(assumptions.REVERSE_ON_THIRD_SITE)

    def finish() -> None:
        other = _future_replica(vm, Route.of(settings), planned)
        if other is not None:
            _become_replica(other, vm, settings, planned)
        vm.keep_guest_writes()
        vm.mode, vm.authorization = Mode.PRIMARY, None
        relationship.failed_over_type = FailoverType.NONE
        relationship.state = State.REPLICATING if planned else State.READY_FOR_REPLICATION
        relationship.health = Health.OK
        relationship.settings = settings
        relationship.peer = other.host.fqdn if other else target
        if not planned:
            relationship.last_time = None
        merge_points(vm)
        touch_configuration(vm)

    return Plan("reverse", JobType.REVERSE_RELATIONSHIP, vm, finish=finish)


def _future_replica(vm: Vm, route: Route, planned: bool) -> Vm | None:
    """The other side's VM, where it may become the replica; None outside of the world. Raises JobFailed."""
    there = connection.find(vm.host, route.to)
    if there is None and route.to.casefold() == vm.relationships[0].peer.casefold():
        return None
    other = connection.connect(vm.host, route).vm(vm.id)
    if other is None or not idle(other):
        raise JobFailed
    own = other.relationship(1 if vm.mode == Mode.EXTENDED_REPLICA else 0)
    prepared = own is not None and own.state == State.PREPARED_FOR_PLANNED_FAILOVER
    if planned and prepared:
        return other
    told = other.mode == Mode.REPLICA and other.state == State.WAITING_TO_COMPLETE_INITIAL_REPLICATION
    if planned or not (told or vm.host.world.assumptions.REVERSE_TO_UNTOLD_PRIMARY == "accept"):
        raise JobFailed(Code.INVALID_STATE)
    return other


def _become_replica(other: Vm, primary: Vm, settings: embedded.Properties, planned: bool) -> None:
    other.count_writes()
    other.mode = Mode.REPLICA
    relationship = other.relationships[0]
    other.relationships = [relationship]
    relationship.state = State.REPLICATING if planned else State.WAITING_TO_COMPLETE_INITIAL_REPLICATION
    relationship.health, relationship.peer = Health.OK, primary.host.fqdn
    relationship.failed_over_type = FailoverType.NONE
    relationship.settings = dict(settings)
    if planned:
        other.discard_unsent_writes()
    else:
        relationship.last_time = None


# --- ChangeReplicationModeToPrimary -----------------------------------------------------------------------------


def change_to_primary(vm: Vm, index: int) -> Plan:
    """A committed replica goes on as the primary of its third site."""
    assumptions = vm.host.world.assumptions
    need_idle(vm)
    need(index == 1, Code.INVALID_PARAMETER)
    extended = vm.relationship(1)
    need(vm.mode == Mode.REPLICA and vm.state == State.COMMITTED and extended is not None)
    assert extended is not None

    def finish() -> None:
        partner = vm.partner(1)
        vm.keep_guest_writes()
        extended.index = 0
        vm.relationships, vm.mode = [extended], Mode.PRIMARY
        if extended.state == State.REPLICATING:
            extended.state = t.cast(int, assumptions.STATE_AFTER_CONTINUE)
            extended.health = Health.OK if extended.state == State.REPLICATING else Health.CRITICAL
        if partner:
            partner[0].mode = Mode.REPLICA

    return Plan("mode_to_primary", JobType.MODE_TO_PRIMARY, vm, finish=finish)
