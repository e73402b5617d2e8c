# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab behind each story, and all of them played over one combination by one ``ansible-playbook``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from replica_lab.lab import Lab
from replica_lab.powershell.engine import Engine

from rehearsal.combinations import Combination, engine
from rehearsal.stories import OPTIONS_OF_A_RUN, PACE, Story

ROOT = Path(__file__).parents[3]
FORKS = {"wsman": 8, "powershell": 4}
"""Stories at a time: most of one over WS-Management is waiting, but a PowerShell that starts fills a processor."""
POLL_INTERVAL = 0.1
WAIT_TIMEOUT = 300
"""Seconds: more than any story takes that goes as it is told, also where each look starts PowerShell on a busy machine,
and the end of one that does not."""
LOOKS = (
    r"FROM (Msvm_ComputerSystem|Msvm_ReplicationServiceSettingData)\b"
    r"|FROM Msvm_ConcreteJob($| WHERE InstanceID)"
)
"""The queries with which a task looks anew: at the VMs, at the server, and at the jobs that it waits for."""
PATIENCE = {"wsman": 1, "powershell": 20}
"""How much longer a task takes for what it does at once: a PowerShell has to start, and to come back from a slice of
waiting before the controller knows what goes on."""
BEHIND = ".behind"
"""Added to a story's inventory host: the simulated host to which a task is delegated."""


@dataclass
class Phase:
    """What one phase of a story came to."""

    status: str
    result: dict[str, t.Any]
    calls: list[dict[str, t.Any]]
    """Those of this phase that reached the world."""
    counters: dict[str, dict[str, t.Any]]
    before: dict[str, t.Any]
    after: dict[str, t.Any]
    """The world (World.snapshot) at both ends of the phase."""


@dataclass
class Performance:
    """All stories over one combination."""

    combination: Combination
    seconds: float
    phases: dict[str, dict[str, Phase]]
    """By slug, then by phase."""
    stdout: str
    stderr: str
    status: int
    errors: dict[str, list[str]] = field(default_factory=dict)
    """Defects of the lab, by slug."""

    def lines_of(self, story: Story) -> list[str]:
        """What the tasks of a story wrote on stderr."""
        names = (f"{story.slug}: ", f"{story.slug}{BEHIND}: ")
        return [line for line in self.stderr.splitlines() if line.startswith(names)]


def perform(combination: Combination, stories: t.Sequence[Story], directory: Path) -> Performance:
    """Play the stories. What happened is in the answer; nothing is judged here."""
    found = engine()
    pwsh = found if isinstance(found, Engine) and combination.carries == "powershell" else None
    with contextlib.ExitStack() as stack:
        labs = {}
        for story in stories:
            scenario = {**story.scenario, "clock": {"rate": 0}}
            ways = {"https": combination.https, "ssh": combination.connection == "ssh"}
            lab = Lab(scenario, **ways, faults=story.faults, control_port=0, powershell=pwsh)
            labs[story.slug] = stack.enter_context(lab)
        first = {slug: lab.world.snapshot() for slug, lab in labs.items()}
        (directory / "inventory.json").write_text(json.dumps(inventory(combination, stories, labs)), "utf-8")
        for story in stories:
            (directory / f"{story.slug}.yml").write_text(yaml.safe_dump(tasks(story), sort_keys=False), "utf-8")
        (directory / "play.yml").write_text(yaml.safe_dump([_PLAY]), "utf-8")
        began = time.monotonic()
        ended = playbook(
            ["-i", "inventory.json", "--forks", str(FORKS[combination.carries]), "play.yml"],
            directory,
            ANSIBLE_CALLBACKS_ENABLED="witness",
            ANSIBLE_CALLBACK_PLUGINS=str(Path(__file__).parents[1] / "callback_plugins"),
            REHEARSAL_RECORDS=str(directory / "records.jsonl"),
        )
        played = phases(directory / "records.jsonl", first)
        if not played:
            raise RuntimeError(f"nothing was played: {ended.stdout[-2000:]}\n{ended.stderr[-2000:]}")
        return Performance(
            combination,
            time.monotonic() - began,
            played,
            ended.stdout,
            ended.stderr,
            ended.returncode,
            {slug: [error for host in lab.hosts.values() for error in host.errors] for slug, lab in labs.items()},
        )


_PLAY = {
    "name": "Every story",
    "hosts": "stage",
    "gather_facts": False,
    "strategy": "ansible.builtin.free",
    "module_defaults": {
        module: {"poll_interval": POLL_INTERVAL, "wait_timeout": WAIT_TIMEOUT} for module in OPTIONS_OF_A_RUN
    },
    "tasks": [{"name": "Tell it", "ansible.builtin.include_tasks": "{{ inventory_hostname }}.yml"}],
}


def tasks(story: Story) -> list[dict[str, t.Any]]:
    """The same task for each phase; check mode is a keyword of it."""
    return [
        {
            "name": phase,
            **story.task,
            "check_mode": phase == "check",
            "diff": True,
            "ignore_errors": True,
            "ignore_unreachable": True,
        }
        for phase in story.phases
    ]


def inventory(combination: Combination, stories: t.Iterable[Story], labs: t.Mapping[str, Lab]) -> dict[str, t.Any]:
    """One inventory host a story; where its task is delegated, a second one behind it."""
    stage: dict[str, t.Any] = {}
    behind: dict[str, t.Any] = {}
    for story in stories:
        lab = labs[story.slug]
        group = lab.inventory(combination.connection, combination.auth, combination.https)["all"]["children"]["hyperv"]
        host = {**group["vars"], **group["hosts"][story.host], **combination.variables}
        host["lab_connection"] = combination.connection
        host["lab_port"] = host.get("ansible_port")  # a local connection has none
        host["lab_transport"] = combination.carries
        host["lab_patience"] = PATIENCE[combination.carries]
        pace = {"seconds": PACE, "query": LOOKS}
        told = {"control": lab.control_url, "pace": pace, "between": [_control(step) for step in story.between]}
        if story.front is None:
            stage[story.slug] = {**host, **story.variables, "stage": told}
        else:
            behind[story.slug + BEHIND] = {**host, **story.variables}
            ways = {"lab_transport": combination.carries, "behind": story.slug + BEHIND}
            stage[story.slug] = {**story.front, **ways, "stage": told}
    return {"all": {"children": {"stage": {"hosts": stage}, "behind": {"hosts": behind}}}}


def _control(step: t.Mapping[str, t.Any]) -> tuple[str, t.Mapping[str, t.Any] | None]:
    """A step of ``between`` as a request to the control port."""
    if "advance" in step:
        return "/clock", step
    if "fault" in step:
        return "/faults", step["fault"]
    if "faults" in step:
        return "/faults", None
    return "/act", step


def phases(records: Path, first: t.Mapping[str, dict[str, t.Any]]) -> dict[str, dict[str, Phase]]:
    """The lines of the callback plugin, cut where one phase ends and the next begins."""
    found: dict[str, dict[str, Phase]] = {}
    calls = dict.fromkeys(first, 0)
    state = dict(first)
    for line in records.read_text("utf-8").splitlines() if records.exists() else ():
        record = json.loads(line)
        slug = record["story"]
        found.setdefault(slug, {})[record["phase"]] = Phase(
            record["status"],
            record["result"],
            record["calls"][calls[slug] :],
            record["counters"],
            state[slug],
            record["state"],
        )
        calls[slug], state[slug] = len(record["calls"]), record["next"]
    return found


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    returncode: int
    stdout: str
    stderr: str
    peak_memory: int
    """Bytes of the largest process among it and its children."""


def command(*arguments: str) -> list[str]:
    """``ansible-playbook`` of the environment that runs the tests."""
    return [sys.executable, "-m", "ansible", "playbook", *arguments]


def environment(directory: Path, **variables: str) -> dict[str, str]:
    """For an ``ansible-playbook`` that sees this collection and no settings of the person who runs the tests."""
    settings = directory / "ansible.cfg"
    settings.write_text("[defaults]\n", "utf-8")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {
        **inherited,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build"),
        "ANSIBLE_CONFIG": str(settings),
        "ANSIBLE_HOME": str(directory / "ansible-home"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_HOST_KEY_CHECKING": "false",
        **variables,
    }


# A process inherits the peak of whoever forked it, and pytest is larger than a play: a small one stands between them.
_MEASURED = """
import pathlib, resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
pathlib.Path("peak").write_text(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
"""


def playbook(arguments: t.Sequence[str], directory: Path, **variables: str) -> Ended:
    """Run ``ansible-playbook`` in a directory, to its end."""
    with start(arguments, directory, (sys.executable, "-c", _MEASURED), **variables) as process:
        try:
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)  # an interrupt does not reach its group by itself
            raise
    stdout, stderr = ((directory / name).read_text("utf-8", "replace") for name in ("stdout", "stderr"))
    return Ended(status, stdout, stderr, int((directory / "peak").read_text()) * 1024)


def start(
    arguments: t.Sequence[str], directory: Path, below: t.Sequence[str] = (), **variables: str
) -> subprocess.Popen[bytes]:
    """Begin to run ``ansible-playbook`` in a directory, in a process group of its own; output goes to files there."""
    with (directory / "stdout").open("wb") as stdout, (directory / "stderr").open("wb") as stderr:
        return subprocess.Popen(
            [*below, *command(*arguments)],
            cwd=directory,
            env=environment(directory, **variables),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
