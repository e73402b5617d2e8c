# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the world's tests share: a world whose clock stands still until told, and a client without a wire."""

from __future__ import annotations

import typing as t

from replica_lab import scenario
from replica_lab.clock import Clock
from replica_lab.provider import CimObject, Ref, Value
from replica_lab.world import Host, Vm, World, embedded

REPLICA, PRIMARY, THIRD = "HV-REPLICA", "HV-PRIMARY", "HV-THIRD"
SERVICE = "Msvm_ReplicationService"
MANAGEMENT = "Msvm_VirtualSystemManagementService"
SYSTEM = "Msvm_ComputerSystem"
JOB = "Msvm_ConcreteJob"


def world_of(
    replica: t.Sequence[dict[str, t.Any]] = (), primary: t.Sequence[dict[str, t.Any]] = (), **top: t.Any
) -> World:
    """Two hosts with these VMs; everything else of the scenario as keywords."""
    hosts = {REPLICA: {"vms": list(replica)}, PRIMARY: {"vms": list(primary)}}
    return scenario.load({"hosts": hosts, **top}, clock=Clock(0))


def one(mode: str, state: int | str, power: int | str = "off", **more: t.Any) -> World:
    """A world with one VM, "vm", on HV-REPLICA."""
    assumptions = more.pop("assumptions", {})
    return world_of([{"name": "vm", "mode": mode, "state": state, "power": power, **more}], assumptions=assumptions)


class Client:
    """Somebody who looks at a host and calls its methods."""

    def __init__(self, world: World, host: str = REPLICA, user: str = "operator") -> None:
        self.world = world
        self.host: Host = world.hosts[host]
        self.user = user

    def all(self, class_name: str) -> list[CimObject]:
        return self.host.instances(class_name, self.user)

    def truth(self, name: str = "vm") -> Vm:
        return self.world.find_vm(self.host, name)

    def ref(self, name: str = "vm") -> Ref:
        return self.host.vm_ref(self.truth(name))

    def get(self, ref: Ref) -> CimObject:
        return self.host.get(ref, self.user)

    def vm(self, name: str = "vm") -> dict[str, t.Any]:
        return self.get(self.ref(name)).properties

    def invoke(self, ref: Ref, method: str, **arguments: t.Any) -> tuple[int, Ref | None]:
        code, out = self.host.invoke(ref, method, arguments, self.user)
        job = out.get("Job")
        assert job is None or isinstance(job, Ref)
        return code, job

    def service(self, method: str, name: str = "vm", **arguments: t.Any) -> tuple[int, Ref | None]:
        """A method of the replication service on a VM."""
        target = Ref.of(SERVICE, Name="replicasvc")
        return self.invoke(target, method, ComputerSystem=self.ref(name), **arguments)

    def on_service(self, method: str, **arguments: t.Any) -> tuple[int, Ref | None]:
        """A method of the replication service on its host."""
        return self.invoke(Ref.of(SERVICE, Name="replicasvc"), method, **arguments)

    def ask(self, ref: Ref, method: str, **arguments: t.Any) -> tuple[int, dict[str, Value]]:
        """Return value and all out parameters."""
        return self.host.invoke(ref, method, arguments, self.user)

    def enable(self, to: str, name: str = "vm", **settings: Value) -> tuple[int, Ref | None]:
        text = settings_text(RecoveryConnectionPoint=to, **settings)
        return self.service("CreateReplicationRelationship", name, ReplicationSettingData=text)

    def begin(self, kind: int = 1, name: str = "vm", **more: t.Any) -> tuple[int, Ref | None]:
        """StartReplication."""
        arguments = {"InitialReplicationExportLocation": None, "StartTime": None, **more}
        return self.service("StartReplication", name, InitialReplicationType=kind, **arguments)

    def reverse(self, to: str | None = None, name: str = "vm", **settings: Value) -> tuple[int, Ref | None]:
        """With the text that the vendor's sample sends, or with another recovery server."""
        own = next(each for each in self.all("Msvm_ReplicationSettingData") if each.properties["ElementName"] == name)
        target = to or own.properties["PrimaryConnectionPoint"]
        text = settings_text(RecoveryConnectionPoint=target, **settings)
        return self.service("ReverseReplicationRelationship", name, ReplicationSettingData=text)

    def remove(self, index: int = 0, name: str = "vm") -> tuple[int, Ref | None]:
        text = relationship_text(self.truth(name), index)
        return self.service("RemoveReplicationRelationshipEx", name, ReplicationRelationship=text)

    def resync(self, name: str = "vm", start: t.Any = None) -> tuple[int, Ref | None]:
        return self.service("Resynchronize", name, StartTime=start)

    def revert(self, name: str = "vm") -> tuple[int, Ref | None]:
        return self.service("RevertFailover", name)

    def failover(self, name: str = "vm", point: Ref | None = None) -> tuple[int, Ref | None]:
        return self.service("InitiateFailover", name, SnapshotSettingData=point)

    def power(self, requested: int, name: str = "vm") -> tuple[int, Ref | None]:
        return self.invoke(self.ref(name), "RequestStateChange", RequestedState=requested)

    def request(self, state: int, name: str = "vm", relationship: str | None = None) -> tuple[int, Ref | None]:
        return self.invoke(
            self.ref(name),
            "RequestReplicationStateChangeEx",
            ReplicationRelationship=relationship,
            RequestedState=state,
        )

    def job(self, ref: Ref | None) -> dict[str, t.Any]:
        assert ref is not None
        return self.get(ref).properties

    def listed_jobs(self) -> set[t.Any]:
        return {each.properties["InstanceID"] for each in self.all(JOB)}


def job_id(ref: Ref | None) -> str:
    assert ref is not None
    return dict(ref.keys)["InstanceID"]


def settings_text(**settings: Value) -> str:
    """An embedded Msvm_ReplicationSettingData."""
    return embedded.write("Msvm_ReplicationSettingData", settings)


def modes(*clients: Client, name: str = "vm") -> tuple[tuple[int, int], ...]:
    """(mode, state) of the same VM as several hosts show it."""
    shown = [client.vm(name) for client in clients]
    return tuple((each["ReplicationMode"], each["ReplicationState"]) for each in shown)


def relationship_text(vm: Vm, index: int) -> str:
    """The embedded instance that names a relationship."""
    return (
        '<INSTANCE CLASSNAME="Msvm_ReplicationRelationship"><PROPERTY NAME="InstanceID" TYPE="string">'
        rf"<VALUE>Microsoft:{vm.id}\HVR\{index}</VALUE></PROPERTY></INSTANCE>"
    )
