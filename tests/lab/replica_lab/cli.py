# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command ``replica-lab``: serve a lab, show a running one, list the scenarios."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
import typing as t
from pathlib import Path

import aiohttp
import yaml
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from replica_lab import scenario as scenarios
from replica_lab.lab import Lab, LabError
from replica_lab.numbers import Health, JobState, JobType, name_of
from replica_lab.powershell.engine import Engine, NoPowerShell
from replica_lab.world import WorldError

CONTROL_VARIABLE = "replica_lab_control"
"""The inventory variable with the URL of the control port."""

PIPED_WIDTH = 120

_TIMEOUT = aiohttp.ClientTimeout(total=30)


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0, or 1 with the reason on stderr (2 for a wrong command line)."""
    said = _parser().parse_args(arguments)
    try:
        return t.cast(int, said.run(said))
    except (LabError, WorldError, OSError) as error:
        print(f"replica-lab: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="replica-lab", description="Simulated Hyper-V Replica hosts on loopback.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="start the hosts of a scenario and keep them until interrupted")
    serve.add_argument("scenario", nargs="?", default="drill", help="a file, or one of `replica-lab scenarios`")
    serve.add_argument("--inventory", type=Path, metavar="FILE", help="write an Ansible inventory (YAML) for the hosts")
    serve.add_argument(
        "--connection", choices=("winrm", "psrp", "ssh"), default="winrm", help="connection in the inventory"
    )
    serve.add_argument("--auth", choices=("basic", "ntlm"), default="ntlm", help="authentication in the inventory")
    serve.add_argument("--user", help="who logs on, in the inventory (default: the scenario's first user)")
    serve.add_argument("--https", action="store_true", help="listen with TLS too, and let the inventory use it")
    serve.add_argument("--control-port", type=int, default=0, metavar="N", help="0 (default): a free one")
    serve.add_argument(
        "--port-base", type=int, default=0, metavar="N",
        help="HTTP ports N, N+1, ... in the scenario's order, then the HTTPS ports; 0 (default): free ones",
    )
    serve.add_argument(
        "--powershell", choices=("auto", "none"), default="auto",
        help="run PowerShell in shells and runspace pools where a pwsh can be found (default), or never",
    )
    serve.set_defaults(run=_serve)

    show = commands.add_parser("show", help="print the virtual machines of a running lab")
    where = show.add_mutually_exclusive_group(required=True)
    where.add_argument("--inventory", type=Path, metavar="FILE", help="the file that `serve` wrote")
    where.add_argument("--control", metavar="URL", help="the control port that `serve` printed")
    show.set_defaults(run=_show)

    listing = commands.add_parser("scenarios", help="list the built-in scenarios")
    listing.set_defaults(run=_scenarios)
    return parser


# --- serve -----------------------------------------------------------------------------------------


def _serve(said: argparse.Namespace) -> int:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    engine = _engine(said.powershell)
    lab = Lab(
        said.scenario,
        https=said.https,
        ssh=said.connection == "ssh",
        control_port=said.control_port,
        port_base=said.port_base,
        powershell=engine if isinstance(engine, Engine) else None,
    )
    with lab:
        inventory = lab.inventory(said.connection, said.auth, said.https, said.user)
        if said.inventory is not None:
            _write_inventory(said.inventory, inventory)
        try:
            for name, host in lab.hosts.items():
                print(f"{name}: {host.url}" + (f" {host.https_url}" if host.https_url else ""))
            print(f"control: {lab.control_url}")
            print(f"powershell: {engine.path if isinstance(engine, Engine) else engine}")
            if said.inventory is not None:
                print(f"inventory: {said.inventory}")
            print(f"replica-lab is ready: scenario {lab.world.name}, {len(lab.hosts)} hosts", flush=True)
            ended.wait()
        finally:
            if said.inventory is not None:
                said.inventory.unlink(missing_ok=True)
    print("replica-lab has stopped", flush=True)
    return 0


def _engine(choice: str) -> Engine | str:
    """The PowerShell to run, or why there is none."""
    if choice == "none":
        return "none"
    try:
        return Engine.find()
    except NoPowerShell as error:
        return f"none ({error})"


def _write_inventory(path: Path, inventory: dict[str, t.Any]) -> None:
    """Passwords of a scenario are no secrets, but the file looks like one that holds some: for its owner only."""
    path.touch(mode=0o600)
    path.write_text(
        "# Written by replica-lab for as long as it runs.\n" + yaml.safe_dump(inventory, sort_keys=False),
        encoding="utf-8",
    )


# --- show ------------------------------------------------------------------------------------------


def _show(said: argparse.Namespace) -> int:
    url = said.control or _control_of(said.inventory)
    _print(_table(asyncio.run(_fetch(url.rstrip("/") + "/state"))))
    return 0


def _control_of(path: Path) -> str:
    if not path.is_file():
        raise LabError(f"no inventory {path}: does a lab run? (replica-lab serve --inventory {path})")
    try:
        inventory = yaml.safe_load(path.read_text(encoding="utf-8"))
        return str(inventory["all"]["children"]["hyperv"]["vars"][CONTROL_VARIABLE])
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise LabError(f"{path} is no inventory that replica-lab wrote: {error!r}") from error


async def _fetch(url: str) -> dict[str, t.Any]:
    try:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, session.get(url) as answer:
            state = await answer.json()
    except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
        raise LabError(f"no lab answers at {url}: {error}") from error
    if not isinstance(state, dict) or "hosts" not in state:
        raise LabError(f"what answers at {url} is no lab")
    return state


def _table(state: t.Mapping[str, t.Any]) -> Table:
    """One line a VM; names with the raw numbers beside them."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("host", "VM", "mode", "state", "power", "health", "jobs"):
        table.add_column(column, overflow="fold")
    for host_name, host in state["hosts"].items():
        jobs: dict[str, list[str]] = {}
        for job in host["jobs"]:
            if job["running"]:
                jobs.setdefault(job["vm_id"], []).append(_job(job))
        table.add_section()
        for vm in host["vms"]:
            table.add_row(
                Text(host_name),
                Text(vm["name"]),
                _words(vm["mode_name"], vm["mode"]),
                _words(vm["state_name"], vm["state"]),
                _words(vm["power_name"], vm["enabled_state"]),
                _words(name_of(Health, vm["health"]), vm["health"]),
                _several(jobs.get(vm["id"], [])),
            )
    return table


def _words(name: str, raw: int) -> str:
    """A number's name as people write it, and the number."""
    return str(raw) if name == str(raw) else f"{name.replace('_', ' ')} ({raw})"


def _job(job: t.Mapping[str, t.Any]) -> str:
    text = f"{_words(name_of(JobType, job['type']), job['type'])} {job['percent']}%"
    state = _words(name_of(JobState, job["state"]), job["state"])
    return text if job["state"] in (JobState.STARTING, JobState.RUNNING) else f"{text} {state}"


def _several(jobs: t.Sequence[str]) -> str:
    return ", ".join(jobs[:2]) + (f" and {len(jobs) - 2} more" if len(jobs) > 2 else "")


# --- scenarios -------------------------------------------------------------------------------------


def _scenarios(_said: argparse.Namespace) -> int:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, description in scenarios.names().items():
        table.add_row(Text(name), Text(description))
    _print(table)
    return 0


def _print(table: Table) -> None:
    """As wide as the terminal; a pipe or a file gets plain text without trailing blanks."""
    console = Console()
    if console.is_terminal:
        console.print(table)
        return
    console = Console(width=PIPED_WIDTH)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


if __name__ == "__main__":
    sys.exit(main())
