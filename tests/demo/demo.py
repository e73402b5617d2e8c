# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""End a failover drill on two simulated hosts, step by step, with a real ansible-playbook over WinRM.

Every step is checked, in the recap of the play and in the hosts themselves: what they received, and what their VMs
became. Ends with 0 when all was as it should be, with 1 when not. Leaves nothing running, also when interrupted.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import typing as t
import urllib.request
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = "playbooks/revert_failover.yml"

REPLICA, PRIMARY = "HV-REPLICA", "HV-PRIMARY"
SHOP = "5B0E1B52-7A1B-4E0D-9C3F-0A5D2C4E6F01"  # two VMs are called Shop; this is the one that is failed over
NAMES = ["SQL 01", "Web O'Brien", 'File "Archive"', "Ærø büro 仮想", "ERP Payroll", SHOP, "Payments"]

TO_REVERT = {REPLICA: set(NAMES) - {"Payments"}, PRIMARY: {"ERP Payroll", "Payments"}}
TO_TURN_OFF = {REPLICA: {"Web O'Brien"}}

REQUEST = {
    "revert_failover_names": NAMES,
    "revert_failover_max_parallel": 2,  # so that there is something to wait for, and to follow
}
CONSENT = {
    "revert_failover_discard_guest_writes": True,
    "revert_failover_running_vm": "turn_off",
}

SETTINGS = ["display_skipped_hosts = false", "localhost_warning = false"]

State = dict[tuple[str, str], dict[str, t.Any]]


class NotAsItShouldBe(Exception):
    """Something that the demo promises did not happen."""


class Demo:
    """A running lab and the files of one demo. A context manager: nothing is left of it afterwards."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._children: list[subprocess.Popen[str]] = []
        self.control = ""
        self.powershell = ""
        self.directory = Path()

    def __enter__(self) -> Demo:
        with contextlib.ExitStack() as stack:
            self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hyperv-replica-demo-")))
            stack.callback(self._end_children)
            self._serve()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def _start(self, command: list[str], **settings: t.Any) -> subprocess.Popen[str]:
        """A child in a process group of its own, so that an interrupt reaches it through us and in our order."""
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            **settings,
        )
        self._children.append(child)
        return child

    def _end_children(self) -> None:
        """The play first, then the lab that it talks to."""
        for child in reversed(self._children):
            # ansible-playbook says on an interrupt what is still under way; the lab only has to go.
            polite = signal.SIGTERM if child is self._children[0] else signal.SIGINT
            for number in (polite, signal.SIGTERM, signal.SIGKILL):
                if child.poll() is not None:
                    break
                os.killpg(child.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(5)

    def _serve(self) -> None:
        carried_by = "auto" if os.environ.get("POWERSHELL") else "none"
        command = [sys.executable, "-m", "replica_lab.cli", "serve", "drill", "--inventory", str(self.inventory)]
        command += ["--powershell", carried_by]
        lab = self._start(command)
        for line in t.cast("t.IO[str]", lab.stdout):
            if line.startswith("control: "):
                self.control = line.split()[1]
            if line.startswith("powershell: "):
                self.powershell = line.partition(" ")[2].strip()
            if line.startswith("replica-lab is ready"):
                return
        raise NotAsItShouldBe(f"the lab did not start (exit status {lab.wait()})")

    @property
    def inventory(self) -> Path:
        return self.directory / "hosts.yml"

    def _environment(self) -> dict[str, str]:
        """Ours, with a configuration of the demo's own in place of that of whoever runs it."""
        settings = self.directory / "ansible.cfg"
        lines = [f"collections_path = {ROOT / '.build'}", f"home = {self.directory / 'home'}", *SETTINGS]
        settings.write_text("\n".join(["[defaults]", *lines, ""]), encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        colour = {"ANSIBLE_FORCE_COLOR": "1"} if sys.stdout.isatty() else {}
        return {**kept, **colour, "ANSIBLE_CONFIG": str(settings), "PYTHONUNBUFFERED": "1"}

    def ask(self, what: str) -> t.Any:
        """What the control port of the lab says: the truth about its hosts, beside everything Ansible does."""
        with urllib.request.urlopen(f"{self.control}/{what}", timeout=10) as answer:
            return json.load(answer)

    def show(self) -> None:
        """The table of VMs that `replica-lab show` prints."""
        command = [sys.executable, "-m", "replica_lab.cli", "show", "--control", self.control]
        subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=True)

    def state(self) -> State:
        """The VMs of both hosts by host and name; the two with the same name by their GUID."""
        hosts = self.ask("state")["hosts"]
        return {
            (host, vm["id"] if vm["name"] == "Shop" else vm["name"]): vm
            for host, content in hosts.items()
            for vm in content["vms"]
        }

    def play(self, variables: dict[str, t.Any], *options: str) -> tuple[int, str]:
        """Run the playbook, show what it says, and give its exit status and its recap."""
        file = self.directory / "vars.yml"
        file.write_text(yaml.safe_dump(variables, allow_unicode=True, sort_keys=False), encoding="utf-8")
        print(f"$ ansible-playbook -i hosts.yml {PLAYBOOK} -e @vars.yml {' '.join(options)}".rstrip(), flush=True)
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(self.inventory), PLAYBOOK]
        child = self._start([*command, "-e", f"@{file}", *options], env=self._environment())
        output = ""
        for line in t.cast("t.IO[str]", child.stdout):
            print(line, end="", flush=True)
            output += line
        return child.wait(), re.sub(r"\x1b\[[\d;]*m", "", output).rpartition("PLAY RECAP")[2]


def step(number: int, text: str) -> None:
    print(f"\n=== {number}. {text}\n", flush=True)


def expect(what: str, found: t.Any, wanted: t.Any) -> None:
    if found != wanted:
        raise NotAsItShouldBe(f"{what}: {found!r}, and it should be {wanted!r}")
    print(f"    as it should be: {what}", flush=True)


def changed(recap: str) -> list[str]:
    """What the recap says of changes, host by host, in the order of their names."""
    return re.findall(r"changed=(\d+)", "\n".join(sorted(recap.splitlines())))


def calls(demo: Demo) -> Counter[tuple[str, str, str]]:
    """How often each method was called on each VM, as the hosts counted it."""
    return Counter(
        (call["host"], call["method"], call["vm_id"] if call["vm_name"] == "Shop" else call["vm_name"])
        for call in demo.ask("calls")
    )


def wanted_calls() -> Counter[tuple[str, str, str]]:
    wanted = {(host, "RevertFailover", name): 1 for host, names in TO_REVERT.items() for name in names}
    wanted |= {(host, "RequestStateChange", name): 1 for host, names in TO_TURN_OFF.items() for name in names}
    return Counter(wanted)


def look(vm: dict[str, t.Any]) -> tuple[str, str]:
    return vm["state_name"], vm["power_name"]


def run(demo: Demo) -> None:
    before = demo.state()

    step(1, "Half way through a drill: the VMs of a replica host and of its primary")
    demo.show()
    if demo.powershell.startswith("none"):
        print("The requests travel as WS-Management messages, which is what a demo has time for. A real host is asked")
        print("through PowerShell, unless you say otherwise; with POWERSHELL=1 these are too, where there is one.\n")
    else:
        print(f"The requests travel through PowerShell, as on any Windows host. Here it is {demo.powershell}.")
    print("The play is asked for seven of them, one by its GUID, because two are called Shop:\n")
    print("".join(f"    {line}\n" for line in yaml.safe_dump(REQUEST, allow_unicode=True).splitlines()))

    step(2, "Without consent nothing happens: a revert would discard what the guests wrote")
    status, recap = demo.play(REQUEST)
    expect("the play failed", status, 2)
    expect("it says that nothing changed", changed(recap), ["0", "0"])
    expect("no host received a call", calls(demo), Counter())

    step(3, "With consent, in check mode: what would happen")
    print("".join(f"    {line}\n" for line in yaml.safe_dump(CONSENT).splitlines()))
    status, recap = demo.play({**REQUEST, **CONSENT}, "--check", "--diff")
    expect("the play succeeded", status, 0)
    expect("it predicts a change on each host", changed(recap), ["1", "1"])
    expect("no host received a call", calls(demo), Counter())

    step(4, "For real: the replica side first, then the planned failovers on the primary side")
    status, recap = demo.play({**REQUEST, **CONSENT})
    expect("the play succeeded", status, 0)
    expect("it says that each host changed", changed(recap), ["1", "1"])
    expect("every VM was called on once, and no other", calls(demo), wanted_calls())
    after = demo.state()
    for host, names in TO_REVERT.items():
        for name in sorted(names):
            vm = after[host, name]
            expect(f"{vm['name']} on {host} replicates and is off", look(vm), ("replicating", "off"))
    others = {key: look(vm) for key, vm in after.items() if key[1] not in TO_REVERT[key[0]]}
    expect("no other VM was touched", others, {key: look(before[key]) for key in others})
    lost = after[REPLICA, "Web O'Brien"]["discarded_writes"]
    expect("the consent was needed: writes of a guest are gone", lost > 0, True)

    step(5, "Once more: there is nothing left to do")
    status, recap = demo.play({**REQUEST, **CONSENT})
    expect("the play succeeded", status, 0)
    expect("it says that nothing changed", changed(recap), ["0", "0"])
    expect("no host received another call", calls(demo), wanted_calls())

    step(6, "The VMs now")
    demo.show()
    for host, listener in demo.ask("state")["listeners"].items():
        left = [listener["errors"], listener["open_shells"], listener["open_enumerations"]]
        expect(f"nothing was left open on {host}", left, [[], 0, 0])
    print("\nThat was the demo. `make test` runs all tests; README.md says how to reach real hosts.", flush=True)


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell that runs this in the background
            signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        with Demo() as demo:
            run(demo)
    except NotAsItShouldBe as error:
        print(f"\nNOT as it should be: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
