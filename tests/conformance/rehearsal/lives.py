# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lives of a replicated VM as data, and how one is played: each step checked, run and run again, on its host.

``replication_info`` on every host is the witness: what a step says of itself counts for nothing until all sides show
it.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from replica_lab.lab import Lab
from replica_lab.powershell.engine import Engine

from rehearsal.combinations import Combination, engine
from rehearsal.stage import playbook

A, B, C = "HV-A", "HV-B", "HV-C"
VM = "app01"
PHASES = ("check", "run", "again")
FAILOVER, REPLICATION = "hyperv.replica.failover", "hyperv.replica.replication"
TEST_FAILOVER = "hyperv.replica.test_failover"
CALLBACKS = Path(__file__).parents[1] / "callback_plugins"

_CALLS = {
    "prepared": ("RequestReplicationStateChangeEx",),
    "failed_over": ("InitiateFailover",),
    "committed": ("CommitFailover",),
    "reverted": ("RevertFailover",),
    "started": ("StartReplication",),
    "suspended": ("RequestReplicationStateChangeEx",),
    "replicating": ("RequestReplicationStateChangeEx",),
    "resynchronized": ("Resynchronize",),
    "reversed": ("ReverseReplicationRelationship",),
    "as_replica": ("RequestReplicationStateChangeEx",),
    "continued": ("ChangeReplicationModeToPrimary",),
}
"""What a state is asked for with, where its step does not say."""
_REMOVED = ("RemoveReplicationRelationshipEx",)


@dataclass(frozen=True)
class Step:
    """One task on one host, played in three phases."""

    host: str
    module: str
    options: t.Mapping[str, t.Any]
    shown: t.Mapping[str, str]
    """What the hosts show afterwards, in the words of :func:`in_words`."""
    outcomes: tuple[str, str, str] = ("would_change", "changed", "unchanged")
    error: str | None = None
    calls: tuple[str, ...] = ()
    """The methods that reach the world, all phases together."""

    @property
    def title(self) -> str:
        return f"{self.options['state']} on {self.host}"

    @property
    def looks(self) -> bool:
        """Whether its options come from what was shown before."""
        return any("{{" in str(value) for value in self.options.values())


@dataclass(frozen=True)
class Meanwhile:
    """What the hosts, or other people, do between two steps."""

    host: str
    do: str
    """An act of the lab; nothing where only time passes."""
    shown: t.Mapping[str, str]
    seconds: float = 0

    @property
    def title(self) -> str:
        return f"meanwhile {self.do or 'nothing'} on {self.host}"

    @property
    def looks(self) -> bool:
        return False


@dataclass(frozen=True)
class Life:
    steps: tuple[Step | Meanwhile, ...]
    assumptions: t.Mapping[str, t.Any] = field(default_factory=dict)
    fates: tuple[t.Mapping[str, t.Any], ...] = ()

    @property
    def hosts(self) -> list[str]:
        """Those that take part."""
        return sorted({host for step in self.steps for host in step.shown})

    @property
    def calls(self) -> list[str]:
        """What reaches the world in all of it: nothing twice, and nothing by a step that changes nothing."""
        steps = (step for step in self.steps if isinstance(step, Step))
        return [f"{step.host} {method}" for step in steps for method in step.calls]


def replication(host: str, state: str, shown: t.Mapping[str, str], **options: t.Any) -> Step:
    calls = _REMOVED if state == "absent" else _CALLS[state]
    return Step(host, REPLICATION, {"state": state, **options}, shown, calls=calls)


def enabled(host: str, method: str, shown: t.Mapping[str, str], **options: t.Any) -> Step:
    """Made or changed, as ``method`` says."""
    return Step(host, REPLICATION, {"state": "enabled", **options}, shown, calls=(method,))


def failover(host: str, state: str, shown: t.Mapping[str, str], **options: t.Any) -> Step:
    return Step(host, FAILOVER, {"state": state, **options}, shown, calls=_CALLS[state])


def refused(host: str, module: str, error: str, shown: t.Mapping[str, str], **options: t.Any) -> Step:
    return Step(host, module, options, shown, ("failed", "failed", "failed"), error)


def sides(first: str, second: str, *third: str) -> dict[str, str]:
    """What A and B show, and C where it takes part."""
    return dict(zip((A, B, C), (first, second, *third), strict=False))


@dataclass
class Played:
    """How a life went."""

    said: dict[str, dict[str, t.Any]]
    """Results by the name of the task, by host."""
    calls: list[str]
    world: dict[str, t.Any]
    status: int
    output: str

    def step(self, number: int, host: str, phase: str) -> t.Any:
        return self.said.get(_name(number, phase), {}).get(host)

    def shown(self, number: int, host: str) -> t.Any:
        return self.said.get(_name(number, "witness"), {}).get(host)


def perform(life: Life, combination: Combination, directory: Path, phases: t.Sequence[str] = PHASES) -> Played:
    """Play a life over a combination. With fewer phases the witness is asked where it is needed, and at the end."""
    found = engine()
    pwsh = found if isinstance(found, Engine) and combination.carries == "powershell" else None
    with Lab(scenario(life), https=combination.https, control_port=0, powershell=pwsh) as lab:
        inventory = lab.inventory(combination.connection, combination.auth, combination.https)
        inventory["all"]["children"]["hyperv"]["vars"].update(combination.variables)
        (directory / "hosts.yml").write_text(yaml.safe_dump(inventory), "utf-8")
        whole = list(plays(life, str(lab.control_url), phases))
        (directory / "play.yml").write_text(yaml.safe_dump(whole, sort_keys=False), "utf-8")
        ended = playbook(
            ["-i", "hosts.yml", "play.yml"],
            directory,
            ANSIBLE_STDOUT_CALLBACK="one_document",
            ANSIBLE_CALLBACK_PLUGINS=str(CALLBACKS),
            ANSIBLE_VERBOSE_TO_STDERR="true",
        )
        broken = [error for host in lab.hosts.values() for error in host.errors]
        assert not broken, f"the lab broke: {broken}"
        said: dict[str, dict[str, t.Any]] = {}
        for one in json.loads(ended.stdout)["results"]:
            said.setdefault(one["task"], {})[one["host"]] = one["result"]
        calls = [f"{call['host']} {call['method']}" for call in lab.calls]
        return Played(said, calls, lab.world.snapshot(), ended.returncode, ended.stderr)


def scenario(life: Life) -> dict[str, t.Any]:
    """A VM that nobody replicates, and the hosts on which it could live."""
    vm = {"name": VM, "nics": [{"name": "LAN", "switch": "Production"}]}
    return {
        "clock": {"rate": 20},
        "durations": {"initial_replication": 0},  # no task waits for it: none shall see it half done
        "users": {"operator": {"password": "replica-lab", "rights": "full"}},
        "assumptions": dict(life.assumptions),
        "fates": list(life.fates),
        "hosts": {
            A: {"switches": ["Production"], "vms": [vm]},
            **{host: {"switches": ["Production", "Drill"]} for host in life.hosts if host != A},
        },
    }


def plays(life: Life, control: str, phases: t.Sequence[str]) -> t.Iterator[dict[str, t.Any]]:
    for number, step in enumerate(life.steps):
        if isinstance(step, Meanwhile):
            yield _play("localhost", [_act(number, step, control)])
        else:
            yield _play(step.host, [_task(number, step, phase) for phase in phases])
        following = life.steps[number + 1 : number + 2]
        if len(phases) == len(PHASES) or not following or following[0].looks:
            witness = {"hyperv.replica.replication_info": {"gather": ["recovery_points"]}, "register": "shown"}
            yield _play(",".join(life.hosts), [{"name": _name(number, "witness"), **witness}])


def _play(hosts: str, tasks: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    return {
        "name": "A step",
        "hosts": hosts,
        "gather_facts": False,
        "module_defaults": {module: {"poll_interval": 0.1} for module in (FAILOVER, REPLICATION, TEST_FAILOVER)},
        "tasks": tasks,
    }


def _task(number: int, step: Step, phase: str) -> dict[str, t.Any]:
    return {
        "name": _name(number, phase),
        step.module: {"name": VM, **step.options},
        "check_mode": phase == "check",
        "diff": True,
        "ignore_errors": True,
    }


def _act(number: int, step: Meanwhile, control: str) -> dict[str, t.Any]:
    body = {"host": step.host, "vm": VM, "do": step.do} if step.do else {"advance": step.seconds}
    request = {"method": "POST", "body_format": "json", "body": body}
    return {
        "name": _name(number, "meanwhile"),
        "ansible.builtin.uri": {"url": f"{control}/{'act' if step.do else 'clock'}", **request},
    }


def _name(number: int, phase: str) -> str:
    return f"{number:02} {phase}"


def complaints(life: Life, played: Played, phases: t.Sequence[str] = PHASES) -> list[str]:
    """What of a life is not as it should be."""
    found = [] if played.status == 0 else [f"the play ended with {played.status}: {played.output[-1000:]}"]
    for number, step in enumerate(life.steps):
        for host in life.hosts:
            witness = played.shown(number, host)
            if witness is not None and in_words(witness) != step.shown.get(host):
                found.append(f"{number} {step.title}: {host} shows {in_words(witness)}, not {step.shown.get(host)}")
        if isinstance(step, Step):
            found += [f"{number} {step.title}: {line}" for line in _said_wrongly(number, step, played, phases)]
    if played.calls != life.calls:
        found.append(f"the calls were {played.calls}, not {life.calls}")
    return found


def _said_wrongly(number: int, step: Step, played: Played, phases: t.Sequence[str]) -> t.Iterator[str]:
    for phase in phases:
        outcome = step.outcomes[PHASES.index(phase)]
        changed = outcome in ("would_change", "changed") or (outcome == "in_progress" and phase == "run")
        result = played.step(number, step.host, phase) or {}
        vm = next(iter(result.get("vms") or []), {})
        found = vm.get("outcome"), vm.get("error_class"), bool(result.get("changed"))
        expected = outcome, step.error if outcome == "failed" else None, changed
        if found != expected:
            yield f"{phase} says {found}, not {expected}: {result.get('msg')}"
        if outcome == "failed" and vm.get("certainty") != "nothing_changed":
            yield f"{phase} is {vm.get('certainty')} of a refusal"
        if bool(result.get("diff")) is not changed:
            yield f"{phase} has the diff {result.get('diff')}"


def in_words(witness: t.Mapping[str, t.Any]) -> str | None:
    """What a host shows: mode and state of the VM, the state of its second relationship, its test copies."""
    vms = list(witness.get("vms", []))
    own = next((vm for vm in vms if vm["name"] == VM), None)
    if own is None:
        return None
    second = [link["state"] for link in own["relationships"] if link["index"] == 1]
    copies = {copy["id"] for copy in own["test_copies"]}
    others = [
        f"+ {vm['power']} copy" if vm["id"] in copies else f"+ {vm['mode']} {vm['name']}" for vm in vms if vm is not own
    ]
    return " ".join([own["mode"], own["state"], *second, *others])


# --- held against each other ----------------------------------------------------------------------------------


def told(life: Life, played: Played, phases: t.Sequence[str]) -> dict[str, t.Any]:
    """What has to be the same whatever carried it: what each step came to, and the end on all hosts."""
    last = len(life.steps) - 1
    return {
        "steps": {
            _name(number, phase): _gist(played.step(number, step.host, phase) or {})
            for number, step in enumerate(life.steps)
            if isinstance(step, Step)
            for phase in phases
        },
        "calls": played.calls,
        "shown": {host: (played.shown(last, host) or {}).get("vms") for host in life.hosts},
        "world": {name: [_truth(vm) for vm in host["vms"]] for name, host in played.world["hosts"].items()},
    }


_GIST = ("outcome", "certainty", "error_class", "action", "before", "after", "failed_over_point")


def _gist(result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    vms = [{name: vm[name] for name in _GIST if name in vm} for vm in result.get("vms") or []]
    return {"changed": result.get("changed"), "error_class": result.get("error_class"), "vms": vms}


def _truth(vm: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    names = ("id", "name", "mode", "state", "enabled_state", "test_copies")
    links = [(link["index"], link["state"], link["peer"]) for link in vm["relationships"]]
    return {**{name: vm[name] for name in names}, "relationships": links, "points": len(vm["recovery_points"])}


def ids(played: Played) -> frozenset[str]:
    """Those of the VMs at the end."""
    return frozenset(vm["id"] for host in played.world["hosts"].values() for vm in host["vms"])
