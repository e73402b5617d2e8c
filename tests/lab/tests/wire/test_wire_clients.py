# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two libraries that Ansible uses, unpatched, with every authentication the lab offers; and shells."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
import typing as t
from pathlib import Path

import pypsrp.exceptions
import pypsrp.powershell
import pypsrp.wsman
import pytest
import requests
import winrm.exceptions
from replica_lab.wire.shell import ShellCommand, ShellResult
from winrm.protocol import Protocol

LIBRARIES = [
    f"{library}-{scheme}-{auth}"
    for library, auths in (("pypsrp", ("basic", "ntlm", "negotiate")), ("pywinrm", ("basic", "ntlm")))
    for scheme in ("http", "https")
    for auth in auths
]
SERVICE_KEYS = {"CreationClassName": "Msvm_ReplicationService"}


# --- CIM through the libraries ---------------------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_revert_from_query_to_job(lab: t.Any, wire: t.Any, library: str) -> None:
    running = lab("pair", https="https" in library)
    client = wire.Library(library, running, "HV-REPLICA", "operator", "replica-lab")
    vm = running.world.hosts["HV-REPLICA"].vms[0]
    assert client.query(f"SELECT * FROM Msvm_ComputerSystem WHERE Name='{vm.id}'") == ["App 01"]
    uri = f"{wire.V2}/Msvm_ReplicationService"
    argument = f"<p:ComputerSystem>{wire.epr(CreationClassName='Msvm_ComputerSystem', Name=vm.id)}</p:ComputerSystem>"
    body = f'<p:RevertFailover_INPUT xmlns:p="{uri}">{argument}</p:RevertFailover_INPUT>'
    answer = client.send(f"{uri}/RevertFailover", uri, body, **SERVICE_KEYS)
    assert answer.findtext(".//{*}ReturnValue") == "4096"
    job_id = answer.findtext(".//{*}Job//{*}Selector") or ""
    running.world.advance(60)
    job = client.send(f"{wire.NS['x']}/Get", f"{wire.V2}/Msvm_ConcreteJob", InstanceID=job_id)
    assert job.findtext(".//{*}JobState") == "7"
    client.close()

    assert [call["method"] for call in running.calls] == ["RevertFailover"]
    assert vm.state == 3
    counters = running.hosts["HV-REPLICA"].counters
    assert counters.soap == {"Enumerate": 1, "Invoke": 1, "Get": 1}
    assert counters.methods == {"Msvm_ReplicationService.RevertFailover": 1}
    assert counters.shells == 0
    assert counters.connections == 1
    sealed = "http-" in library and "basic" not in library
    assert (counters.encrypted, counters.plain) == ((3, 0) if sealed else (0, 3))


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_fault_arrives_as_the_library_s_fault(lab: t.Any, wire: t.Any, library: str) -> None:
    running = lab(wire.tiny_world(), https="https" in library)
    client = wire.Library(library, running)
    kinds = (winrm.exceptions.WSManFaultError, pypsrp.exceptions.WSManFaultError)
    with pytest.raises(kinds) as caught:
        client.send(f"{wire.NS['x']}/Get", f"{wire.V2}/Msvm_ConcreteJob", InstanceID="gone")
    code = getattr(caught.value, "wsman_fault_code", None) or caught.value.code
    assert code == 0x80338000
    client.close()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_wrong_password_reaches_no_host(lab: t.Any, wire: t.Any, library: str) -> None:
    running = lab(wire.tiny_world(), https="https" in library)
    client = wire.Library(library, running, password="wrong")
    with pytest.raises((winrm.exceptions.InvalidCredentialsError, pypsrp.exceptions.AuthenticationError)):
        client.query()
    counters = running.hosts["HV01"].counters
    assert not counters.soap
    assert counters.unauthorized > 0
    client.close()


@pytest.mark.parametrize("library", [name for name in LIBRARIES if "http-" in name and "basic" not in name])
def test_a_long_conversation_stays_encrypted_on_one_connection(lab: t.Any, wire: t.Any, library: str) -> None:
    running = lab(wire.tiny_world(*(wire.system(f"{index:03}", ElementName="é") for index in range(50))))
    client = wire.Library(library, running)
    for _turn in range(20):
        assert set(client.query()) == {"é"}
    client.close()
    counters = running.hosts["HV01"].counters
    assert counters.plain == 0
    assert counters.encrypted == counters.soap_requests
    assert counters.connections == 1
    assert counters.http_requests == counters.soap_requests + 3  # the handshake


@pytest.mark.parametrize(("allowed", "status"), [(False, 401), (True, 200)])
def test_a_plain_request_on_an_encrypted_connection_needs_the_setting(
    lab: t.Any, wire: t.Any, allowed: bool, status: int
) -> None:
    running = lab(wire.tiny_world(), allow_unencrypted=allowed)
    client = wire.Library("pywinrm-http-ntlm", running)
    client.query()
    body = f"<n:Enumerate><w:Filter Dialect='{wire.WQL}'>{wire.SYSTEMS}</w:Filter></n:Enumerate>"
    message = wire.envelope(f"{wire.NS['n']}/Enumerate", f"{wire.V2}/*", body)
    session = client.protocol.transport.session
    session.auth, session.trust_env = None, False  # the same connection, without a header
    plain = session.post(running.hosts["HV01"].url, message, headers={"Content-Type": "application/soap+xml"})
    client.close()
    assert plain.status_code == status
    counters = running.hosts["HV01"].counters
    assert (counters.encrypted, counters.plain, counters.connections) == (1, int(allowed), 1)


def test_a_handshake_without_encryption_needs_the_setting(lab: t.Any, wire: t.Any) -> None:
    running = lab(wire.tiny_world(), allow_unencrypted=False)
    client = Protocol(
        running.hosts["HV01"].url, transport="ntlm", username=wire.USER, password=wire.PASSWORD,
        message_encryption="never", proxy=None, ca_trust_path=None,
    )  # fmt: skip
    with pytest.raises(winrm.exceptions.InvalidCredentialsError):
        client.send_message(wire.envelope(f"{wire.NS['x']}/Get", f"{wire.V2}/Msvm_ConcreteJob"))
    client.transport.close_session()
    assert not running.hosts["HV01"].counters.soap


def test_several_users_and_labs_in_one_process(
    lab: t.Any, wire: t.Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    others = tmp_path / "users"
    others.write_text(":operator:third\n", encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(others))

    def world(password: str) -> dict[str, t.Any]:
        return {"users": {"operator": {"password": password}}, "hosts": {"HV01": {"vms": [{"name": password}]}}}

    for password, other in (("one", lab(world("two"))), ("two", lab(world("one")))):
        with pytest.raises(pypsrp.exceptions.AuthenticationError):
            wire.Library("pypsrp-http-ntlm", other, password=password).query()
        right = "two" if password == "one" else "one"
        assert right in wire.Library("pypsrp-http-ntlm", other, password=right).query()
    assert os.environ["NTLM_USER_FILE"] == str(others)


def test_tls_is_trusted_by_the_lab_s_authority_only(lab: t.Any, wire: t.Any) -> None:
    running = lab(wire.tiny_world(), https=True)
    found = running.hosts["HV01"]
    stranger = pypsrp.wsman.WSMan(
        "127.0.0.1", port=found.https_port, ssl=True, auth="basic", username=wire.USER, password=wire.PASSWORD,
        no_proxy=True,
    )  # fmt: skip
    with pytest.raises(requests.exceptions.SSLError):
        stranger.get(f"{wire.V2}/Msvm_ComputerSystem")
    assert found.counters.http_requests == 0


# --- shells ----------------------------------------------------------------------------------------------


def protocol(running: t.Any, wire: t.Any, **arguments: t.Any) -> Protocol:
    return Protocol(
        running.hosts["HV01"].url, transport="ntlm", username=wire.USER, password=wire.PASSWORD, proxy=None,
        ca_trust_path=None, **arguments,
    )


def send_input(client: Protocol, wire: t.Any, shell: str, command: str, piece: bytes, last: bool) -> None:
    """A piece of standard input, as Ansible's winrm plugin sends it."""
    stream = base64.b64encode(piece).decode()
    end = ' End="true"' if last else ""
    body = f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{command}"{end}>{stream}</rsp:Stream></rsp:Send>'
    header = wire.selectors(ShellId=shell)
    client.send_message(wire.envelope(f"{wire.NS['rsp']}/Send", f"{wire.NS['rsp']}/cmd", body, header))


def test_the_default_runner_says_that_there_is_no_powershell(lab: t.Any, wire: t.Any) -> None:
    running = lab(wire.tiny_world())
    client = protocol(running, wire)
    shell = client.open_shell()
    command = client.run_command(shell, "powershell", ["-EncodedCommand", "AAAA"])
    assert client.get_command_output(shell, command) == (b"", b"no PowerShell in this lab\r\n", 1)
    client.cleanup_command(shell, command)
    assert running.hosts["HV01"].open_shells == 1
    client.close_shell(shell)
    counters = running.hosts["HV01"].counters
    assert counters.soap == {"Create": 1, "Command": 1, "Receive": 1, "Signal": 1, "Delete": 1}
    assert counters.shells == 1
    assert counters.plain == 0
    assert running.hosts["HV01"].open_shells == 0


def test_a_runner_gets_the_command_and_all_of_its_input(lab: t.Any, wire: t.Any) -> None:
    seen: list[ShellCommand] = []

    async def echo(command: ShellCommand) -> ShellResult:
        seen.append(command)
        return ShellResult(command.stdin.upper(), b"e" * 300_000, 7)

    running = lab(wire.tiny_world(), runner=echo)
    client = protocol(running, wire)
    shell = client.open_shell(working_directory="C:\\temp", env_vars={"A": "b"}, codepage=65001)
    command = client.run_command(shell, "tool", ["one", "two words"], skip_cmd_shell=True)
    for piece, last in ((b"first ", False), (b"second", True)):
        send_input(client, wire, shell, command, piece, last)
    out, error, code = client.get_command_output(shell, command)
    client.close_shell(shell)
    assert (out, len(error), code) == (b"FIRST SECOND", 300_000, 7)
    assert running.hosts["HV01"].counters.soap["Receive"] == 3  # as much as an envelope holds, each time
    assert [(one.host, one.user, one.command, one.arguments) for one in seen] == [
        ("HV01", wire.USER, "tool", ("one two words",))  # pywinrm joins them
    ]
    assert seen[0].environment == {"A": "b"}
    assert seen[0].directory == "C:\\temp"
    assert seen[0].options["WINRS_SKIP_CMD_SHELL"] == "TRUE"
    assert seen[0].options["WINRS_CODEPAGE"] == "65001"


def test_output_that_does_not_come_in_time_is_asked_for_again(lab: t.Any, wire: t.Any) -> None:
    go = threading.Event()

    async def slow(command: ShellCommand) -> ShellResult:
        while not go.is_set():
            await asyncio.sleep(0.01)
        return ShellResult(b"late", b"", 0)

    running = lab(wire.tiny_world(), runner=slow)
    client = protocol(running, wire, operation_timeout_sec=1)
    shell = client.open_shell()
    command = client.run_command(shell, "tool")
    with pytest.raises(winrm.exceptions.WinRMOperationTimeoutError):
        client.get_command_output_raw(shell, command)
    go.set()
    assert client.get_command_output(shell, command) == (b"late", b"", 0)


@pytest.mark.parametrize("how", ["terminate", "delete", "stop"])
def test_a_command_ends_with_its_shell(lab: t.Any, wire: t.Any, how: str) -> None:
    started, ended = threading.Event(), threading.Event()

    async def endless(command: ShellCommand) -> ShellResult:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    running = lab(wire.tiny_world(), runner=endless)
    client = protocol(running, wire)
    shell = client.open_shell()
    command = client.run_command(shell, "tool")
    send_input(client, wire, shell, command, b"", last=True)
    assert started.wait(10)
    assert not ended.is_set()
    if how == "terminate":
        client.cleanup_command(shell, command)
    elif how == "delete":
        client.close_shell(shell)
    else:
        running.stop()
    assert ended.is_set()


def test_a_shell_that_is_not_there(lab: t.Any, wire: t.Any) -> None:
    client = protocol(lab(wire.tiny_world()), wire)
    with pytest.raises(winrm.exceptions.WSManFaultError) as caught:
        client.run_command("11111111-1111-1111-1111-111111111111", "tool")
    assert caught.value.wsman_fault_code == 0x8033805B
    assert caught.value.fault_subcode == "w:InvalidSelectors"


def test_powershell_remoting_is_not_there_yet(lab: t.Any, wire: t.Any) -> None:
    running = lab(wire.tiny_world())
    client = pypsrp.wsman.WSMan(
        "127.0.0.1", port=running.hosts["HV01"].port, ssl=False, auth="ntlm", username=wire.USER,
        password=wire.PASSWORD, no_proxy=True,
    )  # fmt: skip
    with pytest.raises(pypsrp.exceptions.WSManFaultError) as caught:
        pypsrp.powershell.RunspacePool(client).open()
    assert caught.value.code == 0x8033803B
    client.close()
