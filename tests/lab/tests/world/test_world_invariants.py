# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever anybody does in whatever order, some things always hold."""

from __future__ import annotations

import json
import typing as t

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from replica_lab.assumptions import ASSUMPTIONS
from replica_lab.numbers import STATES_OF_MODE, Mode
from replica_lab.provider import Ref
from world_kit import MANAGEMENT, PRIMARY, REPLICA, SYSTEM, Client, world_of

SIDES = st.sampled_from([REPLICA, PRIMARY])
NAMES = st.sampled_from(["one", "two"])
PLAIN_ACTS = ("break_link", "mend_link", "expire_points", "checkpoint", "begin_backup", "end_backup")
OUTCOMES: list[dict[str, t.Any]] = [
    {"outcome": "job_fails"},
    {"outcome": "job_cancelled", "state": 9},
    {"outcome": "job_vanishes", "effect": True},
    {"outcome": "job_vanishes", "effect": False},
    {"outcome": "job_hidden"},
    {"outcome": "job_slow", "seconds": 100},
    {"outcome": "no_effect_job"},
    {"outcome": "no_effect_0"},
    {"outcome": "sync"},
    {"outcome": "lost_job_ref"},
]


class Life(RuleBasedStateMachine):
    """Two VMs on two hosts, and people who do as they please."""

    @initialize(switches=st.dictionaries(st.sampled_from(sorted(ASSUMPTIONS)), st.integers(0, 2), max_size=6))
    def begin(self, switches: dict[str, int]) -> None:
        assumptions = {}
        for name, index in switches.items():
            entry = ASSUMPTIONS[name]
            choices = (entry.default, *(entry.alternatives or (0, 7)))
            assumptions[name] = choices[index % len(choices)]
        assumptions["VMMS_STOPPED"] = "empty"
        self.world = world_of(
            [{"name": name, "mode": "replica"} for name in ("one", "two")],
            [{"name": name, "mode": "primary"} for name in ("one", "two")],
            assumptions=assumptions,
        )
        self.clients = {host: Client(self.world, host) for host in (REPLICA, PRIMARY)}
        self.discarded: dict[str, int] = {}

    @rule(host=SIDES, name=NAMES, method=st.sampled_from(["RevertFailover", "CommitFailover"]))
    def service(self, host: str, name: str, method: str) -> None:
        self.clients[host].service(method, name)

    @rule(name=NAMES, point=st.integers(-3, 3))
    def failover(self, name: str, point: int) -> None:
        client = self.clients[REPLICA]
        points = client.truth(name).points
        chosen = points[point].id if points and -len(points) <= point < len(points) else None
        ref = Ref.of("Msvm_VirtualSystemSettingData", InstanceID=f"Microsoft:{chosen}") if chosen else None
        client.failover(name, ref)

    @rule(host=SIDES, name=NAMES, state=st.sampled_from([1, 2, 3, 4, 7, 9, 15]))
    def request(self, host: str, name: str, state: int) -> None:
        self.clients[host].request(state, name)

    @rule(host=SIDES, name=NAMES, power=st.sampled_from([2, 3, 6, 9]))
    def power(self, host: str, name: str, power: int) -> None:
        self.clients[host].power(power, name)

    @rule(name=NAMES)
    def test_copy(self, name: str) -> None:
        self.clients[REPLICA].service("TestReplicaSystem", name, SnapshotSettingData=None)

    @rule()
    def destroy_copies(self) -> None:
        client = self.clients[REPLICA]
        for vm in client.host.vms:
            if vm.replica is not None:
                system = Ref.of(SYSTEM, Name=vm.id)
                client.invoke(Ref.of(MANAGEMENT), "DestroySystem", AffectedSystem=system)

    @rule(host=SIDES, name=NAMES, act=st.sampled_from(PLAIN_ACTS))
    def act(self, host: str, name: str, act: str) -> None:
        self.world.act(host, name, act)

    @rule(host=SIDES)
    def restart(self, host: str) -> None:
        self.world.act(host, None, "restart_vmms")

    @rule(fate=st.sampled_from(OUTCOMES))
    def fate(self, fate: dict[str, t.Any]) -> None:
        self.world.fate({**fate, "times": 1})

    @rule(seconds=st.sampled_from([0.5, 3, 20, 1000]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @invariant()
    def states_are_documented_for_their_mode(self) -> None:
        for client in self.clients.values():
            for vm in client.host.vms:
                for relationship in vm.relationships:
                    assert relationship.state in STATES_OF_MODE[Mode(vm.mode)]

    @invariant()
    def what_clients_see_is_one_world(self) -> None:
        for client in self.clients.values():
            shown = {each.properties["Name"]: each.properties["ReplicationState"] for each in client.all(SYSTEM)[1:]}
            assert shown == {vm.id: vm.state for vm in client.host.vms}
            vms = set(shown)
            for each in client.all("Msvm_AffectedJobElement"):
                assert dict(t.cast(Ref, each.properties["AffectedElement"]).keys)["Name"] in vms

    @invariant()
    def writes_are_discarded_by_reverts_only(self) -> None:
        snapshot = self.world.snapshot()
        for host, content in snapshot["hosts"].items():
            reverted = {
                job["vm_id"] for job in content["jobs"] if job["type"] in (98, 101) and job["did"] == "its work"
            } | {call["vm_id"] for call in self.world.calls if call["method"] == "RevertFailover"}
            for vm in content["vms"]:
                key = f"{host} {vm['id']}"
                assert vm["discarded_writes"] >= self.discarded.get(key, 0)
                assert vm["discarded_writes"] == 0 or vm["id"] in reverted
                self.discarded[key] = vm["discarded_writes"]
        json.dumps(snapshot)

    @invariant()
    def one_change_of_a_vm_at_a_time(self) -> None:
        for client in self.clients.values():
            busy = [job.vm for job in client.host.jobs if job.blocks]
            assert len(busy) == len(set(map(id, busy)))

    def teardown(self) -> None:
        """Jobs end, and are forgotten."""
        if hasattr(self, "world"):
            self.world.advance(1000)
            for host in self.world.hosts.values():
                assert [job for job in host.jobs if job.running] == []
                assert host.jobs == []
                assert all(job.ended is not None for job in host.history)


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_has_its_states(mode: Mode) -> None:
    assert STATES_OF_MODE[mode]
