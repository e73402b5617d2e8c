# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole lives of relationships on three hosts, at random: what always holds, whatever anybody does."""

from __future__ import annotations

import json
import typing as t
from collections import Counter
from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from replica_lab import scenario
from replica_lab.assumptions import ASSUMPTIONS
from replica_lab.clock import Clock
from replica_lab.numbers import STATES_OF_MODE, JobType, Mode, State
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


Answer = tuple[int, t.Any]
Step = t.Callable[[Client, str], Answer]
_S = State


def onto_the_third_site(client: Client, name: str) -> Answer:
    text = relationship_text(client.truth(name), 1)
    return client.service("ChangeReplicationModeToPrimary", name, ReplicationRelationship=text)


def to_the_next_host(client: Client, name: str) -> Answer:
    return client.enable(HOSTS[(HOSTS.index(client.host.host_name) + 1) % len(HOSTS)], name)


def to_the_third_site(client: Client, name: str) -> Answer:
    return client.request(4, name, relationship_text(client.truth(name), 1))


STEPS: dict[str, Step] = {
    "enable": to_the_next_host,
    "begin": lambda client, name: client.begin(1, name),
    "turn_off": lambda client, name: client.power(3, name),
    "prepare": lambda client, name: client.request(4, name),
    "tell": lambda client, name: client.request(2, name),
    "revert": lambda client, name: client.revert(name),
    "resync": lambda client, name: client.resync(name),
    "fail_over": lambda client, name: client.failover(name),
    "commit": lambda client, name: client.service("CommitFailover", name),
    "reverse": lambda client, name: client.reverse(None, name),
    "cut_third": lambda client, name: client.remove(1, name),
    "prepare_third": to_the_third_site,
    "continue_third": onto_the_third_site,
}

ONWARD: dict[tuple[int, int], tuple[str, ...]] = {
    (Mode.NONE, _S.DISABLED): ("enable",),
    (Mode.PRIMARY, _S.READY_FOR_REPLICATION): ("begin",),
    (Mode.PRIMARY, _S.REPLICATING): ("turn_off", "prepare"),
    (Mode.PRIMARY, _S.PREPARED_FOR_PLANNED_FAILOVER): ("revert",),
    (Mode.PRIMARY, _S.CRITICAL): ("resync", "turn_off", "tell"),
    (Mode.REPLICA, _S.REPLICATING): ("fail_over", "prepare_third"),
    (Mode.REPLICA, _S.FAILED_OVER): ("reverse", "commit", "commit", "revert"),
    (Mode.REPLICA, _S.COMMITTED): ("continue_third", "cut_third", "reverse"),
    (Mode.EXTENDED_REPLICA, _S.REPLICATING): ("fail_over",),
    (Mode.EXTENDED_REPLICA, _S.FAILED_OVER): ("commit", "reverse"),
    (Mode.EXTENDED_REPLICA, _S.COMMITTED): ("reverse",),
}
"""What leads on in the life of a replication, by where it stands: left to chance, nearly nobody gets to its end."""

REACHED: Counter[str] = Counter()
"""How many jobs of each type have done their work, and in how many walks a VM stood where few get to."""
AT_LEAST = {
    "job CREATE_RELATIONSHIP": 5,
    "job INITIATE_FAILOVER": 20,
    "job REVERT_FAILOVER": 5,
    "job COMMIT_FAILOVER": 10,
    "job INITIATE_SYNCED_REPLICATION": 10,
    "job INITIATE_TEST_REPLICA": 3,
    "job REVERSE_RELATIONSHIP": 5,
    "job REMOVE_RELATIONSHIP": 10,
    "job SEND_INITIAL_REPLICA": 3,
    "job MODE_TO_PRIMARY": 3,
    "REPLICA COMMITTED": 5,
    "EXTENDED_REPLICA FAILED_OVER": 5,
    "EXTENDED_REPLICA COMMITTED": 3,
}


def ask_guests_to_shut_down(client: Client) -> None:
    if len(client.all("Msvm_ShutdownComponent")) == 1:
        shut_down(client)


def destroy_copies(client: Client) -> None:
    for vm in client.host.vms:
        if vm.mode == Mode.TEST_REPLICA:
            client.invoke(Ref.of(MANAGEMENT), "DestroySystem", AffectedSystem=Ref.of(SYSTEM, Name=vm.id))


def restart(client: Client) -> None:
    client.world.act(client.host.host_name, None, "restart_vmms")


def fated(fate: dict[str, t.Any]) -> t.Callable[[Client], None]:
    return lambda client: client.world.fate({**fate, "times": 1})


def time_passes(seconds: float) -> t.Callable[[Client], None]:
    return lambda client: client.world.advance(seconds)


DISTURBANCES: list[t.Callable[[Client], None]] = [
    ask_guests_to_shut_down,
    destroy_copies,
    restart,
    *(fated(fate) for fate in FATES),
    *(time_passes(seconds) for seconds in (0.5, 3, 20, 5000)),
]


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
        self.stood: set[tuple[int, int]] = set()

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

    # Hypothesis takes each rule equally often: twice the same one is a weight.
    @rule(host=HOST, name=NAME, first=st.integers(0, 3))
    def go_on_again(self, host: str, name: str, first: int) -> None:
        self.go_on(host, name, first)

    @rule(host=HOST, name=NAME, first=st.integers(0, 3))
    def go_on(self, host: str, name: str, first: int) -> None:
        """A step that leads on, and the time that it takes."""
        client = self.clients[host]
        vm = next((vm for vm in client.host.vms if vm.name == name), None)
        steps = ONWARD.get((vm.mode, vm.state), ()) if vm else ()
        at = first % len(steps) if steps else 0
        any(STEPS[step](client, name)[0] in (0, 4096) for step in (*steps[at:], *steps[:at]))
        self.world.advance(30)

    @rule(host=HOST, what=st.sampled_from(DISTURBANCES))
    def disturb(self, host: str, what: t.Callable[[Client], None]) -> None:
        what(self.clients[host])

    def vms(self) -> list[Vm]:
        return [vm for host in self.world.hosts.values() for vm in host.vms]

    @invariant()
    def states_are_documented_for_their_end(self) -> None:
        for vm in self.vms():
            for relationship in vm.relationships:
                mode = Mode.PRIMARY if relationship.index == 1 else Mode(vm.mode)
                assert relationship.state in STATES_OF_MODE[mode], (vm.host.host_name, vm.name, vm.mode)
            self.stood.add((vm.mode, vm.state))

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
            done = [job for host in self.world.hosts.values() for job in host.history if job.did == "its work"]
            REACHED.update(f"job {JobType(job.type).name}" for job in done)
            REACHED.update(f"{Mode(mode).name} {State(state).name}" for mode, state in self.stood)


def test_whatever_anybody_does_in_a_chain_of_three() -> None:
    """And enough is done: a walk that never gets to a commit says nothing of one."""
    REACHED.clear()
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=100,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert not {what: REACHED[what] for what, wanted in AT_LEAST.items() if REACHED[what] < wanted}
