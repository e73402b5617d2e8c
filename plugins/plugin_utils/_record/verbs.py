# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""The verbs, on one VM that may be lost: revert with nothing to revert, fail over, revert, and what the host shows.

The VM has to be a replica that is off, replicates and is alone with it; anything else is refused before a call is sent.
Each call is guarded by the state that it needs, and after each the VM is read before the next. Where it is not as
expected nothing more is called. The last thing is always a reading of the VM.
"""

from __future__ import annotations

import itertools
import typing as t
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Call,
    CimSession,
    Failed,
    Get,
    Guard,
    GuardResult,
    Instance,
    MethodCall,
    MethodResult,
    Query,
    Reference,
    Skipped,
    Step,
    Value,
    jobs_query,
    quote,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.reading import EVERY_JOB
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.recording import Moment, Recorder
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import read
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import Host, VirtualMachine
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    BACKGROUND_JOBS,
    JOB_RUNNING,
    Power,
    ReplicationMode,
    ReplicationState,
    ReturnCode,
    name_of,
)

SERVICE = Reference("Msvm_ReplicationService", ())
NO_SUCH_VM = Reference.of(
    "Msvm_ComputerSystem", CreationClassName="Msvm_ComputerSystem", Name="00000000-0000-0000-0000-000000000000"
)
_CHAIN = "verb"
_SLOWEST_POLL = 5.0

Condition = tuple[str, Callable[[VirtualMachine], bool]]

CONDITIONS: tuple[Condition, ...] = (
    ("it is not a replica (mode 2) on this host", lambda vm: vm.mode == ReplicationMode.REPLICA),
    ("it is not in state 3 (replicating)", lambda vm: vm.state == ReplicationState.REPLICATING),
    ("it is not off", lambda vm: vm.power == Power.OFF),
    ("it and its relationship show different states", lambda vm: vm.relationship_agrees),
    ("it has an extended relationship", lambda vm: vm.relationship(1) is None),
    ("a test copy of it exists", lambda vm: not vm.test_copies),
    ("a job works on its replication", lambda vm: all(job.type in BACKGROUND_JOBS for job in vm.jobs)),
    ("it has never received anything", lambda vm: vm.last_replication_time is not None),
)
"""What must hold of the VM, and what is said where it does not."""


class Refused(Exception):
    """Nothing was called. The text names no VM: it goes into the recording."""


class _Stopped(Exception):
    """Something is not as expected, so nothing more is called. The text as in Refused."""


@dataclass(frozen=True)
class Ending:
    """What became of it. ``stopped`` is empty where everything went its way."""

    stopped: str
    mode: int | None
    state: int | None
    power: int | None

    @property
    def as_before(self) -> bool:
        return (self.mode, self.state, self.power) == (
            ReplicationMode.REPLICA,
            ReplicationState.REPLICATING,
            Power.OFF,
        )

    def words(self) -> str:
        """The last sentence about the VM, without its name."""
        if self.mode is None:
            return "It could not be read at the end: look at it in Hyper-V Manager."
        now = (
            f"It is now in mode {self.mode} ({name_of(ReplicationMode, self.mode)}), state {self.state} "
            f"({name_of(ReplicationState, self.state)}), power {self.power} ({name_of(Power, self.power)})"
        )
        if self.as_before:
            return f"{now}, as before."
        if self.state == ReplicationState.FAILED_OVER:
            return f"{now}: it is still failed over. Cancel the failover in Hyper-V Manager."
        return f"{now}: look at it in Hyper-V Manager."


def chosen(host: Host, name: str) -> VirtualMachine:
    """The VM of this name or GUID, fit for it. Raises Refused."""
    wanted = read.guid(name)
    found = [vm for vm in host.virtual_machines if vm.id == wanted or vm.name.casefold() == name.strip().casefold()]
    if not found:
        raise Refused("no VM on this host has this name")
    if len(found) > 1:
        raise Refused("several VMs on this host have this name")
    for says, holds in CONDITIONS:
        if not holds(found[0]):
            raise Refused(says)
    return found[0]


def perform(
    session: CimSession,
    recorder: Recorder,
    name: str,
    *,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
    poll_interval: float,
    timeout: float,
) -> Ending:
    """The whole of it. Raises Refused, and ReplicaError where the host cannot be read; nothing was called then."""
    recorder.moment = Moment.BEFORE
    vm = chosen(read.read_host(session, gather=("recovery_points",)), name)
    play = _Play(session, recorder, vm, sleep, clock, poll_interval, timeout)
    stopped = ""
    try:
        end = play.play()
    except _Stopped as error:
        stopped = str(error)
        end = play.look(Moment.END)
    return Ending(stopped, end.mode, end.state, end.power)


class Position(t.NamedTuple):
    mode: int | None
    state: int | None
    power: int | None


class _Play:
    def __init__(
        self,
        session: CimSession,
        recorder: Recorder,
        vm: VirtualMachine,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
        poll_interval: float,
        timeout: float,
    ) -> None:
        self._session = session
        self._recorder = recorder
        self._vm = vm
        self._sleep = sleep
        self._clock = clock
        self._poll_interval = poll_interval
        self._timeout = timeout
        ids = " OR ".join(f"InstanceID = {quote(link.id)}" for link in vm.relationships)
        self._links = [Query(f"{read.RELATIONSHIPS.wql} WHERE {ids}")] if ids else []

    def play(self) -> Position:
        """The whole of it, and the last reading of the VM. Raises _Stopped.

        Over PowerShell each list of steps is a start of some seconds, so there is no reading that a guard makes anyway.
        """
        this: tuple[tuple[str, Value], ...] = (("ComputerSystem", self._vm.reference),)
        self._call(Moment.NOTHING_TO_REVERT, ReplicationState.REPLICATING, "RevertFailover", this)
        self._call(Moment.UNKNOWN_VM, ReplicationState.REPLICATING, "RevertFailover", (("ComputerSystem", NO_SUCH_VM),))
        latest = ("SnapshotSettingData", self._latest())
        self._call(Moment.FAILING_OVER, ReplicationState.REPLICATING, "InitiateFailover", (*this, latest))
        state = self.look(Moment.FAILED_OVER).state
        if state != ReplicationState.FAILED_OVER:
            raise _Stopped(f"after the failover the state is {state}")
        self._call(Moment.REVERTING, ReplicationState.FAILED_OVER, "RevertFailover", this)
        end = self.look(Moment.REVERTED)
        if end.state in (ReplicationState.FAILED_OVER, ReplicationState.FAILOVER_IN_PROGRESS, None):
            raise _Stopped(f"after the revert the state is {end.state}")
        return end

    def _latest(self) -> Reference | None:
        """The newest recovery point; None (the host takes its latest) where the VM shows none."""
        points = self._vm.recovery_points or ()
        return Reference.of("Msvm_VirtualSystemSettingData", InstanceID=points[-1].id) if points else None

    def look(self, moment: str) -> Position:
        """Read the VM and what belongs to it; its mode, state and power, where they could be read."""
        self._recorder.moment = moment
        steps: list[Step] = [Get(self._vm.reference), *self._links]
        points = Query(f"{read.RECOVERY_POINTS.wql} AND VirtualSystemIdentifier = {quote(self._vm.id)}")
        steps += [read.LAST_APPLIED, points, EVERY_JOB, read.AFFECTED]
        vm = self._session.run(steps)[0]
        numbers = [vm.get(name) if isinstance(vm, Instance) else None for name in _POSITION]
        return Position(*(number if isinstance(number, int) else None for number in numbers))

    def _call(
        self, moment: str, state: ReplicationState, method: str, arguments: tuple[tuple[str, Value], ...]
    ) -> None:
        """One call, guarded by the state that the VM must be in, and its job to the end."""
        self._recorder.moment = moment
        wanted = (int(ReplicationMode.REPLICA), int(state), int(Power.OFF))
        guard = Guard(
            _CHAIN, self._vm.reference, tuple((name, (one,)) for name, one in zip(_POSITION, wanted, strict=True))
        )
        held, answer = self._session.run([guard, Call(_CHAIN, MethodCall(SERVICE, method, arguments))])
        if isinstance(answer, Failed):
            if moment != Moment.UNKNOWN_VM:
                raise _Stopped(f"the call of {method} had no answer ({answer.error.kind.value})")
        elif isinstance(answer, Skipped) or (isinstance(held, GuardResult) and not held.held):
            raise _Stopped(f"right before the call of {method} the VM was not in mode, state and power {wanted}")
        elif isinstance(answer, MethodResult):
            self._wait(method, answer)

    def _wait(self, method: str, result: MethodResult) -> None:
        """Look at the VM, then at its job, until the job no longer runs. In this order: what the VM shows while the
        job is seen running afterwards is what it shows during the job."""
        if result.job is None:
            if result.return_value == ReturnCode.JOB_STARTED:
                raise _Stopped(f"{method} started a job and did not say which")
            return
        job_id = result.job.key("InstanceID") or ""
        end = self._clock() + self._timeout
        for tick in itertools.count():
            job = Query(jobs_query({job_id}, ""))
            steps: list[Step] = [Get(self._vm.reference), *self._links, job, Get(result.job), read.AFFECTED]
            found = self._session.run(steps)[steps.index(job)]
            if isinstance(found, Failed):
                raise _Stopped(f"the job of {method} could not be read ({found.error.kind.value})")
            jobs = found if isinstance(found, tuple) else ()
            if not any(job.get("JobState") in JOB_RUNNING for job in jobs):
                break
            if self._clock() >= end:
                raise _Stopped(f"the job of {method} still runs after {self._timeout:g} seconds")
            self._sleep(min(self._poll_interval * 1.2**tick, max(self._poll_interval, _SLOWEST_POLL)))


_POSITION = ("ReplicationMode", "ReplicationState", "EnabledState")
