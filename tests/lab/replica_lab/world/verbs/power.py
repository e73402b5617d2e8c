# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start, power cut, save, pause, shut down, destroy."""

from __future__ import annotations

from dataclasses import dataclass

from replica_lab.numbers import POWERED_OFF, STATE_SAVED, JobType, Mode, Power, State
from replica_lab.world.jobs import Plan
from replica_lab.world.model import NOT_APPLICABLE, Guest, Vm
from replica_lab.world.verbs.common import REPLICA_SIDE, need, need_choice, need_idle


@dataclass(frozen=True)
class PowerChange:
    """One row of what the power state may be asked to become."""

    to: Power
    allowed: frozenset[Power]
    job_type: JobType
    meanwhile: Power
    kind: str


_RUNNING = frozenset({Power.RUNNING, Power.RUNNING_CRITICAL})
_PAUSED = frozenset({Power.PAUSED, Power.PAUSED_CRITICAL})

POWER_CHANGES = (
    PowerChange(Power.RUNNING, POWERED_OFF, JobType.START_VM, Power.STARTING, "start"),
    PowerChange(Power.RUNNING, STATE_SAVED, JobType.RESTORE_VM, Power.STARTING, "start"),
    PowerChange(Power.RUNNING, _PAUSED, JobType.RESUME_VM, Power.RESUMING, "start"),
    PowerChange(
        Power.OFF,
        _RUNNING | _PAUSED | STATE_SAVED | {Power.SHUTTING_DOWN},
        JobType.POWER_OFF_VM,
        Power.SHUTTING_DOWN,
        "turn_off",
    ),
    PowerChange(Power.SAVED, _RUNNING | _PAUSED, JobType.SAVE_VM, Power.SAVING, "save"),
    PowerChange(Power.PAUSED, _RUNNING, JobType.PAUSE_VM, Power.PAUSING, "pause"),
)
"""RequestStateChange method of Msvm_ComputerSystem; job types as on the Msvm_ConcreteJob page."""


def request_power(vm: Vm, requested: int) -> Plan:
    """Start (2), power cut (3), save (6) or pause (9)."""
    assumptions = vm.host.world.assumptions
    need_idle(vm)
    need(vm.power != requested, assumptions.POWER_ALREADY_THERE)
    row = next((row for row in POWER_CHANGES if row.to == requested and vm.power in row.allowed), None)
    need(row is not None)
    assert row is not None
    if requested == Power.OFF and vm.power in STATE_SAVED:
        need_choice(assumptions.DROP_SAVED_STATE_BY_TURN_OFF)
    if requested == Power.RUNNING:
        need(vm.mode != Mode.PRIMARY or vm.state != State.PREPARED_FOR_PLANNED_FAILOVER)
        if vm.mode in REPLICA_SIDE and vm.state not in (State.FAILED_OVER, State.COMMITTED):
            need_choice(assumptions.START_REPLICA)

    def begin() -> None:
        vm.requested_power = requested
        vm.set_power(row.meanwhile)

    def finish() -> None:
        vm.requested_power = NOT_APPLICABLE
        vm.set_power(row.to)

    at_once = assumptions.POWER_CHANGE_ANSWER == "sync"
    return Plan(row.kind, row.job_type, vm, begin, finish, at_once=at_once)


def has_shutdown_component(vm: Vm) -> bool:
    """Whether there is an Msvm_ShutdownComponent: of VMs that run, with integration services in the guest."""
    return vm.guest is not Guest.NO_SERVICES and vm.power in _RUNNING | {Power.SHUTTING_DOWN}


def shut_down(vm: Vm, force: bool = False) -> Plan:
    """Ask the guest to shut down (InitiateShutdown); the method has no job, and a guest takes its time."""
    assumptions = vm.host.world.assumptions
    need_idle(vm)
    need(has_shutdown_component(vm) and vm.power in _RUNNING)
    need(vm.guest is not Guest.REFUSES and (force or vm.guest is not Guest.NEEDS_FORCE), assumptions.SHUTDOWN_REFUSED)
    shown = Power(assumptions.POWER_WHILE_SHUTTING_DOWN)

    def begin() -> None:
        vm.set_power(shown)
        vm.shutting_down = True

    def finish() -> None:
        # Somebody may have cut the power meanwhile, and even started it again.
        if vm.shutting_down and vm.power == shown and vm.guest is not Guest.HANGS:
            vm.set_power(Power.OFF)

    return Plan("shut_down", 0, vm, begin, finish, jobless=True, answer=assumptions.SHUTDOWN_ANSWER)


def destroy(vm: Vm) -> Plan:
    """DestroySystem: the VM must be off or saved (documented)."""
    assumptions = vm.host.world.assumptions
    need_idle(vm)
    need(vm.power in POWERED_OFF | STATE_SAVED)
    if vm.mode not in (Mode.NONE, Mode.TEST_REPLICA):
        need_choice(assumptions.DESTROY_REPLICATED_VM)
    job_type = assumptions.REMOVE_TEST_JOB_TYPE if vm.mode == Mode.TEST_REPLICA else JobType.DESTROY_VM
    return Plan("destroy", job_type, vm, finish=lambda: vm.host.remove(vm))
