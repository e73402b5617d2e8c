# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab's life, its inventory, its control port and its command."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import typing as t
from pathlib import Path

import pytest
import requests
import yaml
from replica_lab import cli
from replica_lab import scenario as scenarios
from replica_lab.lab import Lab, LabError


@pytest.fixture
def own_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for temporary files that no other process uses."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_behind(folder: Path) -> set[str]:
    """Threads and files that a lab may have."""
    threads = {thread.name for thread in threading.enumerate() if "replica" in thread.name or "asyncio" in thread.name}
    return threads | {path.name for path in folder.iterdir()}


def free_ports(count: int) -> int:
    """The first of so many free ports in a row, outside the range from which the system takes its own."""
    for base in random.SystemRandom().sample(range(12000, 30000, 10), 200):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(base, base + count):
                stack.enter_context(contextlib.closing(socket.create_server(("127.0.0.1", port))))
            return base
    raise AssertionError("no free ports")


# --- life ------------------------------------------------------------------------------------------------


def test_nothing_is_left_of_a_lab(wire: t.Any, own_files: Path) -> None:
    before = left_behind(own_files)
    with Lab("pair", https=True, control_port=0) as running:
        url, control = running.hosts["HV-REPLICA"].url, running.control_url
        client = wire.Raw(running, "operator", "replica-lab", "HV-REPLICA")
        assert client.enumerate().status == 200
        assert len(left_behind(own_files) - before) == 2
    assert left_behind(own_files) <= before
    for gone in (url, f"{control}/state"):
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(gone, timeout=5)
    running.stop()


def test_a_lab_can_be_started_again(wire: t.Any) -> None:
    running = Lab("pair")
    for _turn in range(2):
        with running:
            assert wire.Raw(running, "operator", "replica-lab", "HV-PRIMARY").enumerate().status == 200


def test_a_lab_that_cannot_start_leaves_nothing(wire: t.Any, own_files: Path) -> None:
    before = left_behind(own_files)
    base = free_ports(2)
    with contextlib.closing(socket.create_server(("127.0.0.1", base + 1))):
        with pytest.raises(LabError, match="HV-PRIMARY cannot listen on port"):
            Lab("pair", port_base=base).start()
        with pytest.raises(LabError, match="control port"):
            Lab("pair", control_port=base + 1).start()
    with pytest.raises(LabError, match="auth takes"):
        Lab("pair", auth=["kerberos"]).start()
    with pytest.raises(LabError, match="no colon"):
        Lab({"users": {"a": {"password": "b:c"}}, "hosts": {"HV01": {}}}).start()
    assert left_behind(own_files) <= before


def test_ports_from_a_base(lab: t.Any) -> None:
    base = free_ports(4)
    hosts = lab("pair", https=True, port_base=base).hosts.values()
    assert [(host.port, host.https_port) for host in hosts] == [(base, base + 2), (base + 1, base + 3)]


def test_only_loopback_listens(lab: t.Any) -> None:
    running = lab("pair", https=True, control_port=0)
    ports = [host.port for host in running.hosts.values()] + [host.https_port for host in running.hosts.values()]
    ports.append(int(running.control_url.rpartition(":")[2]))
    listening = Path("/proc/net/tcp").read_text(encoding="ascii") + Path("/proc/net/tcp6").read_text(encoding="ascii")
    for port in ports:
        places = [line.split()[1] for line in listening.splitlines() if f":{port:04X} " in line and " 0A " in line]
        assert places == [f"0100007F:{port:04X}"]


def test_counters_start_again(lab: t.Any, wire: t.Any) -> None:
    running = lab("pair")
    client = wire.Raw(running, "operator", "replica-lab", "HV-REPLICA")
    vm = running.world.hosts["HV-REPLICA"].vms[0].id
    client.enumerate()
    wire.revert(client, vm)
    wire.revert(client, vm)
    counters = running.hosts["HV-REPLICA"].counters
    counted = counters.as_dict()
    assert counted.pop("bytes_in") > 1000
    assert counted.pop("bytes_out") > 3000
    assert counted == {
        "http_requests": 3, "connections": 1, "unauthorized": 0, "soap": {"Enumerate": 1, "Invoke": 2}, "encrypted": 0,
        "plain": 3, "queries": [wire.SYSTEMS], "methods": {"Msvm_ReplicationService.RevertFailover": 2}, "shells": 0,
        "powershell": 0, "pipelines": 0, "cmdlets": {}, "faults": 0,
    }  # fmt: skip
    assert running.hosts["HV-PRIMARY"].counters.http_requests == 0
    running.reset_counters()
    assert counters.soap_requests == counters.bytes_out == 0
    assert counters.queries == []


def test_nobody_takes_the_port_of_a_host_that_went_away(wire: t.Any) -> None:
    """Another lab beside it would answer in its place, and its own return would fail."""

    def taken() -> bool:
        with socket.socket() as stranger:
            try:
                stranger.bind(("127.0.0.1", port))
            except OSError:
                return True
            return False

    with Lab("pair") as running:
        port = running.hosts["HV-REPLICA"].port
        for _turn in range(2):
            running.fault(do="refuse_port", host="HV-REPLICA")
            assert taken()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            running.fault(do="start_port")
            assert wire.Raw(running, "operator", "replica-lab", "HV-REPLICA").enumerate().status == 200
        running.fault(do="refuse_port", host="HV-REPLICA")
    assert not taken()


def test_a_reset_brings_the_first_world_back_on_the_same_ports(lab: t.Any, wire: t.Any) -> None:
    running = lab("pair")
    client = wire.Raw(running, "operator", "replica-lab", "HV-REPLICA")
    vm = running.world.hosts["HV-REPLICA"].vms[0].id
    wire.revert(client, vm)
    open_enumeration = client.enumerate(count=1).text(".//n:EnumerationContext")
    running.fault(do="quota")
    running.fault(do="refuse_port", host="HV-PRIMARY")
    running.reset()
    assert running.calls == []
    assert running.world.hosts["HV-REPLICA"].vms[0].state == 5
    assert wire.revert(client, vm).text(".//{*}ReturnValue") == "4096"
    assert client.pull(open_enumeration).fault[0] == "n:InvalidEnumerationContext"
    assert wire.Raw(running, "operator", "replica-lab", "HV-PRIMARY").enumerate().status == 200
    running.reset("quiet")
    assert len(running.world.hosts["HV-REPLICA"].vms) > 1
    with pytest.raises(LabError, match="the lab's hosts are HV-REPLICA, HV-PRIMARY"):
        running.reset({"hosts": {"OTHER": {}}})
    with pytest.raises(LabError, match="other users"):
        running.reset({"users": {"x": {"password": "y"}}, "hosts": {"HV-REPLICA": {}, "HV-PRIMARY": {}}})


def test_the_fixture_fails_a_test_in_which_the_lab_broke(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text(
        "def test_broken(lab):\n    lab('pair').hosts['HV-PRIMARY'].errors.append('oops')\n", encoding="utf-8"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 1
    assert "the lab broke: ['oops']" in ran.stdout


# --- inventory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("https", [False, True])
@pytest.mark.parametrize("auth", ["basic", "ntlm"])
@pytest.mark.parametrize("connection", ["winrm", "psrp"])
def test_an_inventory_for_each_way_in(lab: t.Any, connection: str, auth: str, https: bool) -> None:
    running = lab("pair", https=https)
    group = running.inventory(connection, auth, https)["all"]["children"]["hyperv"]
    shared = group["vars"]
    assert (shared["ansible_connection"], shared["ansible_host"]) == (connection, "127.0.0.1")
    assert shared["ansible_winrm_transport" if connection == "winrm" else "ansible_psrp_auth"] == auth
    scheme = shared["ansible_winrm_scheme" if connection == "winrm" else "ansible_psrp_protocol"]
    assert scheme == ("https" if https else "http")
    trusted = shared.get("ansible_winrm_ca_trust_path" if connection == "winrm" else "ansible_psrp_ca_cert")
    assert trusted == (str(running.ca_file) if https else None)
    never = connection == "psrp" and auth == "basic" and not https
    assert shared.get("ansible_psrp_message_encryption") == ("never" if never else None)
    assert shared["hyperv_replica_transport"] == "wsman"  # there is no PowerShell in this lab
    host = running.hosts["HV-REPLICA"]
    assert group["hosts"]["HV-REPLICA"] == {
        "ansible_port": host.https_port if https else host.port,
        "ansible_user": "operator",
        "ansible_password": "replica-lab",
    }
    assert group["children"] == {
        "hyperv_primaries": {"hosts": {"HV-PRIMARY": {}}},
        "hyperv_replicas": {"hosts": {"HV-REPLICA": {}}},
    }


def test_an_inventory_that_the_lab_cannot_serve_is_refused(lab: t.Any) -> None:
    running = lab("pair", auth=["basic"])
    for arguments, says in (
        ({"connection": "telnet"}, "winrm or psrp or ssh or local, not telnet"),
        ({"connection": "ssh"}, "without SSH"),
        ({"connection": "local"}, "runs no PowerShell"),
        ({"auth": "ntlm"}, "accepts basic"),
        ({"https": True}, "without TLS"),
        ({"user": "nobody"}, "no user 'nobody': operator"),
    ):
        with pytest.raises(LabError, match=says):
            running.inventory(**arguments)


@pytest.mark.skipif(shutil.which("ansible", path=str(Path(sys.executable).parent)) is None, reason="no ansible here")
def test_ansible_reaches_the_shell_through_the_inventory(lab: t.Any, tmp_path: Path) -> None:
    running = lab("pair", https=True)
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(yaml.safe_dump(running.inventory("winrm", "ntlm", https=True)), encoding="utf-8")
    ansible = Path(sys.executable).with_name("ansible")
    ran = subprocess.run(
        [ansible, "hyperv", "-i", inventory, "-m", "ansible.builtin.raw", "-a", "hostname"],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert ran.stdout.count("no PowerShell in this lab") == 2, ran.stdout + ran.stderr
    assert all(host.counters.shells and not host.open_shells for host in running.hosts.values())


# --- control port ----------------------------------------------------------------------------------------


class Controls:
    def __init__(self, running: Lab) -> None:
        self.running = running

    def __call__(self, method: str, path: str, body: t.Any = None, status: int = 200) -> t.Any:
        data = None if body is None else body if isinstance(body, str) else json.dumps(body)
        answer = requests.request(method, f"{self.running.control_url}{path}", data=data, timeout=10)
        assert answer.status_code == status, answer.text
        assert answer.headers["Content-Type"].startswith("application/json")
        return answer.json()


@pytest.fixture
def control(lab: t.Any) -> Controls:
    return Controls(lab("pair", control_port=0))


def test_state_calls_and_counters(control: Controls, wire: t.Any) -> None:
    running = control.running
    client = wire.Raw(running, "operator", "replica-lab", "HV-REPLICA")
    vm = running.world.hosts["HV-REPLICA"].vms[0].id
    wire.revert(client, vm)
    client.enumerate(count=1)
    state = control("GET", "/state")
    assert state["hosts"]["HV-REPLICA"]["vms"][0]["name"] == "App 01"
    assert state["faults"] == []
    assert state["listeners"]["HV-REPLICA"] == {
        "url": running.hosts["HV-REPLICA"].url, "https_url": None, "listening": True, "open_enumerations": 1,
        "open_shells": 0, "errors": [],
    }  # fmt: skip
    assert [call["vm_id"] for call in control("GET", "/calls")] == [vm]
    assert control("GET", "/counters")["HV-REPLICA"]["soap"] == {"Invoke": 1, "Enumerate": 1}
    control("POST", "/counters/reset")
    assert control("GET", "/counters")["HV-REPLICA"]["soap"] == {}


def test_faults_over_the_control_port(control: Controls, wire: t.Any) -> None:
    client = wire.Raw(control.running, "operator", "replica-lab", "HV-REPLICA")
    added = control("POST", "/faults", [{"do": "quota", "times": 1}, {"do": "refuse_port", "host": "HV-PRIMARY"}])
    assert added == [{"do": "quota", "times": 1, "skip": 0, "left": 1}]
    assert not control("GET", "/state")["listeners"]["HV-PRIMARY"]["listening"]
    assert client.enumerate().status == 500
    assert client.enumerate().status == 200
    control("DELETE", "/faults")
    assert control("GET", "/state")["faults"] == []
    assert control("GET", "/state")["listeners"]["HV-PRIMARY"]["listening"]


def test_the_world_over_the_control_port(control: Controls, wire: t.Any) -> None:
    running = control.running
    client = wire.Raw(running, "operator", "replica-lab", "HV-REPLICA")
    vm = running.world.hosts["HV-REPLICA"].vms[0]
    control("POST", "/fates", {"outcome": "return", "code": 32768, "method": "RevertFailover", "times": 1})
    assert wire.revert(client, vm.id).text(".//{*}ReturnValue") == "32768"
    control("POST", "/happenings", [{"when": {"after_reads": 1}, "host": "HV-REPLICA", "do": "rename", "vm": "App 01",
                                     "name": "App 02"}])  # fmt: skip
    client.enumerate()
    assert vm.name == "App 02"
    answer = control("POST", "/act", {"host": "HV-REPLICA", "vm": "App 02", "do": "revert"})
    assert answer["return_value"] == 4096
    before = control("GET", "/state")["time"]
    clock = control("POST", "/clock", {"rate": 0, "advance": 3600})
    assert clock["rate"] == 0
    assert clock["time"] > before
    assert control("GET", "/state")["time"] == clock["time"]
    assert vm.state == 3
    control("POST", "/reset")
    assert running.world.hosts["HV-REPLICA"].vms[0].state == 5
    control("POST", "/reset", {"scenario": "quiet"})
    assert running.world.name == "quiet"


def test_time_can_pass_by_what_is_asked(control: Controls, wire: t.Any) -> None:
    running = control.running
    client = wire.Raw(running, "operator", "replica-lab", "HV-REPLICA")
    control("POST", "/clock", {"rate": 0})
    began = running.world.clock.now()
    control("POST", "/pace", {"seconds": 30, "query": "from msvm_computersystem$"})
    for query in ("SELECT * FROM Msvm_ComputerSystem", "SELECT * FROM Msvm_ComputerSystem WHERE Name = 'x'"):
        client.enumerate(query)
    assert (running.world.clock.now() - began).total_seconds() == 30
    control("POST", "/pace", {"seconds": 0, "query": ""})
    client.enumerate("SELECT * FROM Msvm_ComputerSystem")
    assert (running.world.clock.now() - began).total_seconds() == 30


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/nothing", None, 404, "GET /nothing"),
        ("DELETE", "/state", None, 405, "DELETE /state"),
        ("POST", "/faults", "nonsense", 400, "no JSON"),
        ("POST", "/faults", [1], 400, "neither a mapping"),
        ("POST", "/faults", {"do": "explode"}, 400, "explode"),
        ("POST", "/faults", {"do": "hang", "host": "HV99"}, 400, "no host 'HV99'"),
        ("POST", "/fates", {"outcome": "glory"}, 400, "glory"),
        ("POST", "/happenings", {"do": "revert"}, 400, "when is missing"),
        ("POST", "/act", {"do": "revert"}, 400, "host and do"),
        ("POST", "/act", {"host": "HV-REPLICA", "vm": "App 01", "do": "dance"}, 400, "dance"),
        ("POST", "/act", [], 400, "no mapping"),
        ("POST", "/clock", {"advance": "1"}, 400, "advance or rate"),
        ("POST", "/clock", {"advance": -1}, 400, "forward only"),
        ("POST", "/clock", {}, 400, "advance or rate"),
        ("POST", "/pace", {"seconds": -1, "query": "x"}, 400, "forward only"),
        ("POST", "/pace", {"seconds": 1, "query": "("}, 400, "regular expression"),
        ("POST", "/pace", {"seconds": "1", "query": "x"}, 400, "a number"),
        ("POST", "/pace", {"seconds": 1}, 400, "and query"),
        ("POST", "/reset", {"scenario": "nowhere"}, 400, "nowhere"),
        ("POST", "/reset", {"hosts": 1}, 400, "nothing but scenario"),
    ],
)
def test_errors_are_json_with_a_text(
    control: Controls, method: str, path: str, body: t.Any, status: int, says: str
) -> None:
    assert says in control(method, path, body, status)["error"]


# --- the command -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(*arguments: str) -> t.Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A lab in a process of its own, and what it printed until it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "replica_lab.cli", "serve", *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        printed = []
        for line in process.stdout:
            printed.append(line.rstrip("\n"))
            if line.startswith("replica-lab is ready"):
                break
        yield process, printed
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


SHOWN = {
    "hosts": {
        "HV01": {
            "vms": [
                {"name": "SQL [bold]01[/] :smile:", "mode": "replica", "state": "failed_over"},
                {"name": "Datenbank Müller 会計", "mode": "replica", "state": 17, "power": 42},
            ],
            "jobs": [{"do": "revert", "vm": "SQL [bold]01[/] :smile:", "seconds": 600, "percent": 20}],
        }
    }
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_show_and_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    def show(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["show", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    scenario, inventory = tmp_path / "shown.yml", tmp_path / "inventory.yml"
    scenario.write_text(yaml.safe_dump(SHOWN), encoding="utf-8")
    with serving(str(scenario), "--inventory", str(inventory), "--connection", "psrp", "--https") as (process, printed):
        assert printed[-1] == "replica-lab is ready: scenario shown, 1 hosts"
        written = yaml.safe_load(inventory.read_text(encoding="utf-8"))["all"]["children"]["hyperv"]
        assert written["vars"]["ansible_connection"] == "psrp"
        assert written["vars"]["ansible_psrp_auth"] == "ntlm"
        control = written["vars"]["replica_lab_control"]
        assert f"control: {control}" in printed
        assert inventory.stat().st_mode & 0o077 == 0
        assert any(str(written["hosts"]["HV01"]["ansible_port"]) in line for line in printed)
        code, shown, _err = show("--inventory", str(inventory))
        assert code == 0
        assert show("--control", control)[0] == 0
        lines = shown.splitlines()
        assert max(map(len, lines)) <= 120
        assert not any(line.endswith(" ") for line in lines)
        assert lines[1].split() == ["host", "VM", "mode", "state", "power", "health", "jobs"]
        text = " ".join(shown.split())
        assert "SQL [bold]01[/] :smile: replica (2) failover in" in text
        assert "(12)" in text
        assert "revert failover (98) 20%" in text
        assert "replica (2) unknown (17) 42" in text
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stdout.read() == "replica-lab has stopped\n"
        assert process.wait(10) == 0
    assert not inventory.exists()
    code, _out, says = show("--inventory", str(inventory))
    assert code == 1
    assert "does a lab run?" in says
    assert "no lab answers" in show("--control", control)[2]


def test_the_command_says_what_is_wrong(
    tmp_path: Path, lab: t.Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest keeps its own handlers
    other = tmp_path / "inventory.yml"
    other.write_text("all: {}\n", encoding="utf-8")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        for arguments, says in (
            (("serve", "nowhere"), "no scenario 'nowhere'"),
            (("serve", "pair", "--port-base", port), f"cannot listen on port {port}"),
            (("serve", "pair", "--control-port", port), f"control port {port}"),
            (("serve", "pair", "--user", "nobody"), "no user 'nobody'"),
            (("serve", "pair", "--inventory", str(tmp_path / "no" / "where")), "No such file"),
            (("show", "--inventory", str(other)), "no inventory that replica-lab wrote"),
        ):
            assert cli.main(arguments) == 1
            said = capsys.readouterr().err
            assert said.startswith("replica-lab: ")
            assert says in said
    not_a_lab = lab("pair").hosts["HV-REPLICA"].url.removesuffix("/wsman")
    assert cli.main(["show", "--control", not_a_lab]) == 1
    assert "no lab answers" in capsys.readouterr().err


def test_the_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["scenarios"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in scenarios.names())
    assert "drill" in printed
