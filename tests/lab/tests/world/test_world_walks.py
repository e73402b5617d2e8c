# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole lives of relationships on three hosts, at random: what always holds, whatever anybody does."""

from __future__ import annotations

import json
import typing as t
from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from replica_lab import scenario
from replica_lab.assumptions import ASSUMPTIONS
from replica_lab.clock import Clock
from replica_lab.numbers import STATES_OF_MODE, Mode
from replica_lab.provider import Ref
from replica_lab.world import Vm
from world_kit import MANAGEMENT, PRIMARY, REPLICA, SYSTEM, THIRD, Client, relationship_text
from world_rows import shut_down

HOSTS = (PRIMARY, REPLICA, THIRD)
HOST = st.sampled_from(HOSTS)
NAME = st.sampled_from(["one", "two"])
FATES: list[dict[str, t.Any]] = [
    {"outcome": "job_fails"},
    {"outcome": "job_vanishes", "effect": True},
    {"outcome": "no_effect_job"},
    {"outcome": "sync"},
    {"outcome": "job_slow", "seconds": 100},
]
SERVICE_METHODS: dict[str, dict[str, t.Any]] = {
    "RevertFailover": {},
    "InitiateFailover": {"SnapshotSettingData": None},
    "CommitFailover": {},
    "TestReplicaSystem": {"SnapshotSettingData": None},
    "ImportInitialReplica": {"InitialReplicationImportLocation": "D:\\"},
    "Resynchronize": {"StartTime": None},
    "RemoveReplicationRelationship": {},
    "GetReplicationStatistics": {},
    "ResetReplicationStatistics": {},
    "ReverseReplicationRelationship": {"ReplicationSettingData": None},
}


class Life(RuleBasedStateMachine):
    """A chain of three, a VM that nobody replicates, and people who do as they please."""

    @initialize(switches=st.dictionaries(st.sampled_from(sorted(ASSUMPTIONS)), st.integers(0, 2), max_size=6))
    def begin(self, switches: dict[str, int]) -> None:
        assumptions: dict[str, t.Any] = {"REVERSE_WITHOUT_SETTINGS": "accept"}
        for name, index in switches.items():
            entry = ASSUMPTIONS[name]
            choices = (entry.default, *(entry.alternatives or (0, 7)))
            assumptions[name] = choices[index % len(choices)]
        assumptions["VMMS_STOPPED"] = "empty"
        nics = [{"switch": "LAN"}]
        hosts = {
            PRIMARY: [{"name": "one", "mode": "primary"}, {"name": "two", "nics": nics}],
            REPLICA: [{"name": "one", "mode": "replica", "relationship_1": {}, "nics": nics}],
            THIRD: [{"name": "one", "mode": "extended_replica"}],
        }
        document = {
            "assumptions": assumptions,
            "hosts": {name: {"switches": ["LAN"], "vms": vms} for name, vms in hosts.items()},
        }
        self.world = scenario.load(document, clock=Clock(0))
        self.clients = {host: Client(self.world, host) for host in HOSTS}

    def steps(self, client: Client, name: str) -> list[t.Callable[[], tuple[int, t.Any]]]:
        """Everything that can be asked about one VM on one host."""

        def service(method: str, **arguments: t.Any) -> t.Callable[[], tuple[int, t.Any]]:
            return lambda: client.service(method, name, **arguments)

        def request(state: int, index: int) -> t.Callable[[], tuple[int, t.Any]]:
            return lambda: client.request(state, name, texts[index])

        texts = [relationship_text(client.truth(name), index) for index in (0, 1)]
        steps = [service(method, **arguments) for method, arguments in SERVICE_METHODS.items()]
        steps += [request(state, index) for state in (1, 2, 3, 4, 7, 9) for index in (0, 1)]
        steps += [partial(client.enable, to, name) for to in HOSTS]
        steps += [partial(client.reverse, to, name) for to in HOSTS]
        steps += [partial(client.remove, index, name) for index in (0, 1)]
        steps += [partial(client.power, power, name) for power in (2, 3)]
        steps += [
            partial(client.begin, kind, name, InitialReplicationExportLocation="D:\\") for kind in (1, 1, 1, 2, 3)
        ]
        return [*steps, service("ChangeReplicationModeToPrimary", ReplicationRelationship=texts[1])]

    @rule(host=HOST, name=NAME, first=st.integers(0, 50), wait=st.sampled_from([0.5, 20, 20, 20]))
    def step(self, host: str, name: str, first: int, wait: float) -> None:
        """The first of all steps, counted from somewhere, that is possible now; a refusal changes nothing."""
        client = self.clients[host]
        if not any(vm.name == name for vm in client.host.vms):
            return
        steps = self.steps(client, name)
        at = first % len(steps)
        before = self.world.snapshot()
        for step in (*steps[at:], *steps[:at]):
            code, _job = step()
            if code in (0, 4096):
                break
            assert self.world.snapshot() == before
        self.world.advance(wait)

    @rule(host=HOST)
    def shut_down(self, host: str) -> None:
        if len(self.clients[host].all("Msvm_ShutdownComponent")) == 1:
            shut_down(self.clients[host])

    @rule(host=HOST)
    def destroy_copies(self, host: str) -> None:
        client = self.clients[host]
        for vm in client.host.vms:
            if vm.mode == Mode.TEST_REPLICA:
                client.invoke(Ref.of(MANAGEMENT), "DestroySystem", AffectedSystem=Ref.of(SYSTEM, Name=vm.id))

    @rule(host=HOST)
    def restart(self, host: str) -> None:
        self.world.act(host, None, "restart_vmms")

    @rule(fate=st.sampled_from(FATES))
    def fate(self, fate: dict[str, t.Any]) -> None:
        self.world.fate({**fate, "times": 1})

    @rule(seconds=st.sampled_from([0.5, 3, 20, 20, 5000]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    def vms(self) -> list[Vm]:
        return [vm for host in self.world.hosts.values() for vm in host.vms]

    @invariant()
    def states_are_documented_for_their_end(self) -> None:
        for vm in self.vms():
            for relationship in vm.relationships:
                mode = Mode.PRIMARY if relationship.index == 1 else Mode(vm.mode)
                assert relationship.state in STATES_OF_MODE[mode], (vm.host.host_name, vm.name, vm.mode)

    @invariant()
    def only_a_replica_has_a_second_relationship(self) -> None:
        for vm in self.vms():
            assert [each.index for each in vm.relationships] in ([0], [0, 1])
            assert len(vm.relationships) == 1 or vm.mode == Mode.REPLICA

    @invariant()
    def partners_know_each_other(self) -> None:
        for vm in self.vms():
            for relationship in vm.relationships:
                partner = vm.partner(relationship.index)
                if partner:
                    assert partner[0].partner(partner[1].index) == (vm, relationship)
                    assert partner[0].sends(partner[1].index) != vm.sends(relationship.index)

    @invariant()
    def writes_are_counted(self) -> None:
        for vm in self.vms():
            assert vm.guest_writes >= 0 and vm.unsent_writes >= 0 and vm.discarded_writes >= 0
            assert vm.guest_writes == 0 or vm.failed_over
        json.dumps(self.world.snapshot())

    @invariant()
    def every_instance_can_be_read(self) -> None:
        for client in self.clients.values():
            for each in client.all("CIM_ManagedElement"):
                assert each.ref.class_name

    def teardown(self) -> None:
        """Jobs end, and are forgotten."""
        if hasattr(self, "world"):
            self.world.advance(1000)
            for host in self.world.hosts.values():
                assert host.jobs == []
                assert all(job.ended is not None for job in host.history)


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
