# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host: what it answers to whom. The rules of the world are elsewhere; this is the door."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from replica_lab import schema
from replica_lab.numbers import AuthenticationType, Code, JobState
from replica_lab.provider import AccessDenied, CimObject, InvalidCall, NotFound, Ref, Unavailable, Value
from replica_lab.world.found import SYSTEM, Found, system_ref
from replica_lab.world.instances import SERVED, shown_time
from replica_lab.world.jobs import Answered, Course, Job, JobFailed, Plan, nothing
from replica_lab.world.methods import METHODS, OnHost, OnJob
from replica_lab.world.model import UNSET_TIME, Authorization, Rights, Switch, User, Vm

if t.TYPE_CHECKING:
    from replica_lab.world import World


@dataclass(frozen=True)
class Version:
    """What an older Windows Server lacks."""

    extended: bool = True
    """Extended replication, the relationship class, numbered relationships, the Ex methods: 2012 R2 and later."""


VERSIONS = {"2012": Version(extended=False), **dict.fromkeys(("2012R2", "2016", "2019", "2022"), Version())}

_EXTENDED_CLASSES = frozenset({"Msvm_ReplicationRelationship", "Msvm_SystemReplicationRelationship"})
_EXTENDED_METHODS = frozenset(
    {
        "RequestReplicationStateChangeEx",
        "ChangeReplicationModeToPrimary",
        "InitiateFailback",
        "RemoveReplicationRelationshipEx",
        "GetReplicationStatisticsEx",
        "ResetReplicationStatisticsEx",
    }
)


@dataclass
class ReplicaServer:
    """Msvm_ReplicationServiceSettingData: whether and how the host takes replication."""

    enabled: bool = True
    authentication: int = AuthenticationType.KERBEROS
    """The allowed types: 1 Kerberos, 2 certificate, 3 both."""
    http_port: int = 80
    https_port: int = 443
    certificate: str = ""
    monitoring_interval: int = 43200
    monitoring_start: datetime = UNSET_TIME


@dataclass(eq=False, repr=False)
class Host:
    """A simulated Hyper-V host: a ``provider.CimProvider``, and what the world keeps about it."""

    world: World
    host_name: str
    locale: str = "en-US"
    domain: str = "lab.example"
    skew: timedelta = timedelta(0)
    """How far its own clock is ahead of the world's."""
    version_name: str = "2022"
    users: dict[str, User] = field(default_factory=dict)
    """Who can log on, by the name as the scenario writes it."""
    installed: datetime = UNSET_TIME
    stopped: bool = False
    """VMMS does not run."""
    jobs: list[Job] = field(default_factory=list)
    """What VMMS remembers."""
    history: list[Job] = field(default_factory=list)
    """Every job there ever was, for the witness."""
    switches: list[Switch] = field(default_factory=list)
    cluster: bool = False
    """A node of a cluster: the Replica Broker is the replica server, not the node."""
    server: ReplicaServer = field(default_factory=ReplicaServer)
    authorizations: list[Authorization] = field(default_factory=lambda: [Authorization("*", "lab", r"C:\Replica")])
    _vms: dict[str, Vm] = field(default_factory=dict)

    def is_called(self, name: str) -> bool:
        """Whether a connection point means this host: its name, short or full, without regard to case."""
        return name.casefold() in (self.host_name.casefold(), self.fqdn.casefold())

    def switch(self, wanted: str) -> Switch | None:
        """A switch by id or name."""
        return next((found for found in self.switches if wanted.upper() == found.id or wanted == found.name), None)

    # --- what belongs to it

    @property
    def version(self) -> Version:
        return VERSIONS[self.version_name]

    @property
    def fqdn(self) -> str:
        return f"{self.host_name}.{self.domain}" if self.domain else self.host_name

    @property
    def vms(self) -> tuple[Vm, ...]:
        """All VMs in the order in which they came, invisible ones too."""
        return tuple(self._vms.values())

    def vm(self, vm_id: str) -> Vm | None:
        return self._vms.get(vm_id.upper())

    def add(self, vm: Vm) -> None:
        vm.host = self
        self._vms[vm.id] = vm

    def remove(self, vm: Vm) -> None:
        self._vms.pop(vm.id, None)

    def vm_ref(self, vm: Vm) -> Ref:
        return system_ref(vm.id)

    def shown(self, when: datetime | None) -> datetime:
        """A time of the world as this host's clock tells it."""
        return shown_time(when, self.skew)

    def user(self, name: str) -> User | None:
        """A user by name, without regard to case, with or without ``DOMAIN\\`` before or ``@domain`` behind it."""
        wanted = name.casefold()
        bare = wanted.rpartition("\\")[2].partition("@")[0]
        by_name = {known.casefold(): user for known, user in self.users.items()}
        return by_name.get(wanted) or by_name.get(bare)

    # --- jobs

    def start(self, plan: Plan, course: Course, owner: str) -> Job:
        """Begin the work of a plan as a job."""
        seconds = self.world.durations[plan.kind] if course.seconds is None else course.seconds
        started = self.world.time - timedelta(seconds=seconds * course.percent_done / 100)
        job = Job(self, self.world.new_id(), plan, course, owner, started, seconds)
        self.jobs.append(job)
        self.history.append(job)
        job.begin()
        return job

    def forget(self, job: Job) -> None:
        if job in self.jobs:
            self.jobs.remove(job)

    def job_in_the_way(self, vm: Vm, besides: t.Collection[int] = ()) -> Job | None:
        """A running job that changes this VM, ``besides`` those of these types."""
        return next((job for job in self.jobs if job.vm is vm and job.blocks and job.type not in besides), None)

    def stop_jobs(self, vm: Vm, types: t.Collection[int]) -> None:
        """End the jobs of these types, as somebody's request does that they give way to."""
        for job in [job for job in self.jobs if job.vm is vm and job.type in types]:
            job.cancel(JobState.TERMINATED)

    # --- the provider

    def instances(self, class_name: str, user: str) -> list[CimObject]:
        """See ``provider.CimProvider``."""
        with self.world.lock:
            account = self._admit(user)
            served = self._classes(class_name)
            reads_systems = any(shape.name == SYSTEM for shape in served)
            found = [] if self.stopped else [self._object(shape, each) for shape, each in self._listed(served, account)]
            if reads_systems:
                self.world.read_systems(self)
            return found

    def get(self, ref: Ref, user: str) -> CimObject:
        """See ``provider.CimProvider``."""
        with self.world.lock:
            shape, found = self._find(ref, self._admit(user))
            return self._object(shape, found)

    def invoke(self, ref: Ref, method: str, arguments: dict[str, Value], user: str) -> tuple[int, dict[str, Value]]:
        """See ``provider.CimProvider``."""
        with self.world.lock:
            account = self._admit(user)
            if account.rights is Rights.READ_ONLY:
                raise AccessDenied(f"{user} may read, not call")
            named = self._vm_named_in(ref, arguments)
            self.world.before_call(self, method, named)
            shape, found = self._find(ref, account)
            outs = self._check_arguments(shape, method, arguments)
            code, out = self._answer(shape, found, method, arguments, account)
            code, answer = int(code), {**outs, **out}
            self.world.after_call(self, account, found.ref, method, named, arguments, code, answer)
            return code, answer

    def _answer(
        self, shape: schema.ClassShape, found: Found, method: str, arguments: dict[str, Value], account: User
    ) -> tuple[int, dict[str, Value]]:
        entry = METHODS.get((shape.name, method))
        vm = self._vm_of_call(found, arguments)
        fate = self.world.fates.match(self, method, vm)
        if fate is not None and fate.code is not None:
            fate.spend()
            return fate.code, {}
        if entry is None:
            return Code.NOT_SUPPORTED, {}
        try:
            if isinstance(entry, OnJob):
                assert found.job is not None
                return entry.work(found.job, arguments)
            if isinstance(entry, OnHost):
                plan = entry.verb(self, arguments)
            else:
                target = found.vm if entry.parameter is None else self._argument_vm(arguments[entry.parameter], account)
                if target is None:
                    raise Answered(Code.NOT_SUPPORTED)
                plan = entry.verb(target, arguments)
        except Answered as answered:
            return answered.code, {}
        if fate is not None:
            fate.spend()
        return self.carry_out(plan, fate.course if fate else Course(sync=plan.at_once), account.name)

    def carry_out(self, plan: Plan, course: Course, owner: str) -> tuple[int, dict[str, Value]]:
        """Do what was planned, in the way of this course: return value and out parameters."""
        if plan.jobless:
            return self._carry_out_unseen(plan, course)
        if course.sync:
            return self._carry_out_now(plan) if course.effect else (Code.COMPLETED, {})
        job = self.start(plan, course, owner)
        early = plan.out if plan.out_early else {}
        return Code.JOB_STARTED, {**early, "Job": job.ref if course.referenced else None}

    def _carry_out_unseen(self, plan: Plan, course: Course) -> tuple[int, dict[str, Value]]:
        """A method without Job: what a fate does to jobs it does to the work, that nobody can watch."""
        undo = plan.remember() if course.shows else nothing
        if course.shows and not (course.sync and not course.effect):
            plan.begin()
        seconds = self.world.durations[plan.kind] if course.seconds is None else course.seconds
        if course.hangs_at is None and (course.effect or not course.sync):
            when = self.world.time + timedelta(seconds=0 if course.sync else seconds)
            self.world.schedule.at(when, plan.finish if course.effect else undo)
        return plan.answer, dict(plan.out)

    @staticmethod
    def _carry_out_now(plan: Plan) -> tuple[int, dict[str, Value]]:
        undo = plan.remember()
        plan.begin()
        try:
            plan.finish()
        except JobFailed as failed:
            undo()
            return failed.code, {}
        return Code.COMPLETED, plan.out

    # --- who sees what

    def _admit(self, name: str) -> User:
        """Bring the world up to now and let the user in."""
        self.world.settle()
        account = self.user(name)
        if account is None or account.rights is Rights.DENIED:
            raise AccessDenied(f"{name} has no access to {self.host_name}")
        if self.stopped and self.world.assumptions.VMMS_STOPPED == "error":
            raise Unavailable(f"the Virtual Machine Management service of {self.host_name} does not run")
        return account

    def _sees(self, account: User, found: Found) -> bool:
        if found.vm is not None and not found.vm.visible:
            return False
        if account.rights is Rights.HIDDEN:
            return found.service and not self.world.assumptions.UAC_FILTER_HIDES_SERVICES
        return account.rights is not Rights.HIDDEN_VMS or found.vm is None

    def _listed(
        self, served: t.Sequence[schema.ClassShape], account: User
    ) -> t.Iterator[tuple[schema.ClassShape, Found]]:
        foreign_hidden = self.world.assumptions.FOREIGN_JOBS == "hidden"
        for shape in served:
            for found in SERVED[shape.name](self, self.vms):
                own = found.job is None or found.job.owner.casefold() == account.name.casefold()
                if found.listed and self._sees(account, found) and (own or not foreign_hidden):
                    yield shape, found

    # --- finding

    def _classes(self, class_name: str) -> list[schema.ClassShape]:
        served = [
            shape
            for shape in schema.concrete(class_name)
            if self.version.extended or shape.name not in _EXTENDED_CLASSES
        ]
        if not served:
            raise NotFound("class", f"there is no class {class_name}")
        return served

    def _find(self, ref: Ref, account: User) -> tuple[schema.ClassShape, Found]:
        wanted = {name.casefold(): value.casefold() for name, value in ref.keys}
        served = self._classes(ref.class_name)
        for name, _value in ref.keys:
            if not any(name.casefold() == key.casefold() for shape in served for key in shape.keys):
                raise InvalidCall(f"{name} is no key of {ref.class_name}")
        candidates = [
            (shape, found)
            for shape in served
            for found in ([] if self.stopped else SERVED[shape.name](self, self._meant_by(ref)))
            if self._sees(account, found)
        ]
        fitting = [each for each in candidates if each[1].ref == ref] or [
            each
            for each in candidates
            if wanted.items() <= {(key.casefold(), value.casefold()) for key, value in each[1].ref.keys}
        ]
        if len(fitting) != 1:
            how = "no instance has" if not fitting else "more than one instance has"
            raise NotFound("instance", f"{how} the keys {dict(ref.keys)} of {ref.class_name}")
        return fitting[0]

    def _meant_by(self, ref: Ref) -> tuple[Vm, ...]:
        """The VMs whose ids stand in a reference, so that a Get need not look at all; all where none does."""
        ids = {match.upper() for _name, value in ref.keys for match in _GUID.findall(value)}
        return tuple(vm for vm in map(self.vm, sorted(ids)) if vm is not None) or self.vms

    def _object(self, shape: schema.ClassShape, found: Found) -> CimObject:
        overrides = found.vm.overrides.get(shape.name, {}) if found.vm else {}
        return CimObject(found.ref, {**dict.fromkeys(shape.properties), **found.build(), **overrides})

    # --- method calls

    def _check_arguments(self, shape: schema.ClassShape, method: str, arguments: dict[str, Value]) -> dict[str, Value]:
        """The out parameters, all NULL; raises InvalidCall where the call does not fit the method."""
        found = shape.methods.get(method)
        if found is None or (method in _EXTENDED_METHODS and not self.version.extended):
            raise InvalidCall(f"{shape.name} has no method {method}")
        for name in arguments:
            if name not in found.inputs:
                raise InvalidCall(f"{method} has no argument {name}")
        for name, cim_type in found.inputs.items():
            if name not in arguments:
                if name not in found.optional:
                    raise InvalidCall(f"{method} needs the argument {name}")
            elif not schema.fits(arguments[name], cim_type):
                raise InvalidCall(f"{method}: {name} must be {cim_type}")
        return dict.fromkeys(found.outputs)

    def _argument_vm(self, argument: Value, account: User) -> Vm:
        """The VM that a REF argument means: one that the caller can see, not the host."""
        unknown = Answered(self.world.assumptions.UNKNOWN_VM)
        if not isinstance(argument, Ref):
            raise unknown
        try:
            _shape, found = self._find(argument, account)
        except (NotFound, InvalidCall):
            raise unknown from None
        if found.vm is None:
            raise unknown
        return found.vm

    def _vm_named_in(self, ref: Ref, arguments: t.Mapping[str, Value]) -> Vm | None:
        """The VM that a call is about, as far as its references tell: for the record and for fates."""
        for candidate in (ref, *arguments.values()):
            if isinstance(candidate, Ref):
                keys = {key.casefold(): value for key, value in candidate.keys}
                # A device of a VM names it as its system.
                of_system = candidate.class_name.casefold() == SYSTEM.casefold()
                vm = self.vm(keys.get("name" if of_system else "systemname", ""))
                if vm is not None:
                    return vm
        return None

    def _vm_of_call(self, found: Found, arguments: t.Mapping[str, Value]) -> Vm | None:
        return found.vm or self._vm_named_in(found.ref, arguments)


_GUID = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}", re.IGNORECASE)
