# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each choice makes of relationships, networks, replica servers: further rows of ``test_world_assumptions``."""

from __future__ import annotations

import typing as t
from datetime import timedelta

from replica_lab.provider import Ref, Value
from replica_lab.world import embedded
from world_kit import MANAGEMENT, PRIMARY, REPLICA, SERVICE, Client, modes, relationship_text, settings_text

if t.TYPE_CHECKING:
    from replica_lab.world import World

    class Pair(t.Protocol):
        """A VM on both hosts, with one assumption switched: see ``test_world_assumptions``."""

        world: World
        replica: Client
        primary: Client

        def wait(self, seconds: float = 60) -> None: ...
        def states(self) -> tuple[int, int]: ...


NIC: dict[str, t.Any] = {"nics": [{"name": "NIC"}]}


def shut_down(client: Client, force: bool = False) -> int:
    (component,) = client.all("Msvm_ShutdownComponent")
    return client.invoke(component.ref, "InitiateShutdown", Force=force, Reason="drill")[0]


def power_while_shutting_down(pair: Pair) -> tuple[t.Any, t.Any]:
    shut_down(pair.primary)
    shown = pair.primary.vm()["EnabledState"]
    pair.wait()
    return shown, pair.primary.vm()["EnabledState"]


def error_of_unreachable(pair: Pair) -> t.Any:
    _code, job = pair.primary.enable("HV-NOBODY")
    pair.wait()
    return pair.primary.job(job)["ErrorCode"]


def new_replica_network(pair: Pair) -> tuple[int, bool]:
    for client in (pair.replica, pair.primary):
        add_switch(client, "LAN")
    pair.primary.truth().nics[0].switch = pair.primary.host.switches[0].id
    pair.primary.enable(REPLICA)
    pair.wait()
    (nic,) = pair.replica.truth().nics
    return len(pair.replica.truth().nics), bool(nic.switch)


def add_switch(client: Client, name: str) -> Ref:
    from replica_lab.world.model import Switch

    switch = Switch(client.world.new_id(), name)
    client.host.switches.append(switch)
    return Ref.of("Msvm_VirtualEthernetSwitch", CreationClassName="Msvm_VirtualEthernetSwitch", Name=switch.id)


def modify(client: Client, **settings: Value) -> int:
    return client.service("ModifyReplicationSettings", ReplicationSettingData=settings_text(**settings))[0]


def null_relationship(pair: Pair) -> int:
    return pair.primary.service("RemoveReplicationRelationshipEx", ReplicationRelationship=None)[0]


def orphans(pair: Pair) -> tuple[int, int]:
    code = pair.replica.remove()[0]
    pair.wait()
    return code, len(pair.replica.all("Msvm_ReplicaSystemDependency"))


def other_side_after_removal(pair: Pair) -> tuple[tuple[int, int], ...]:
    pair.replica.remove()
    pair.wait()
    return modes(pair.replica, pair.primary)


def reverse_without_settings(pair: Pair) -> tuple[t.Any, ...]:
    code = pair.replica.service("ReverseReplicationRelationship", ReplicationSettingData=None)[0]
    pair.wait()
    return (code, *modes(pair.replica, pair.primary))


def reverse_before_commit(pair: Pair) -> tuple[int, int]:
    unplanned = pair.replica.reverse()[0]
    pair.wait()
    pair.replica.truth().relationships[0].failed_over_type = 3
    return unplanned, pair.replica.reverse()[0]


def reverse_untold(pair: Pair) -> tuple[tuple[int, int], ...]:
    pair.replica.reverse()
    pair.wait()
    return modes(pair.replica, pair.primary)


def extended_after_failover(pair: Pair) -> int:
    pair.replica.failover()
    pair.wait()
    return pair.replica.truth().relationships[1].state


def continued(pair: Pair) -> tuple[tuple[int, int], ...]:
    text = relationship_text(pair.replica.truth(), 1)
    pair.replica.service("ChangeReplicationModeToPrimary", ReplicationRelationship=text)
    pair.wait()
    return modes(pair.replica)


def scheduled(pair: Pair) -> tuple[int, int]:
    pair.primary.begin(StartTime=pair.world.time + timedelta(hours=1))
    pair.wait()
    before = pair.states()[1]
    pair.wait(3600)
    return before, pair.states()[1]


def resume_unfinished(pair: Pair) -> tuple[int, int, int]:
    pair.primary.request(3)
    pair.wait(3)
    first = pair.states()[1]
    pair.wait()
    return (first, *pair.states())


def imported(pair: Pair) -> tuple[int, int]:
    pair.primary.begin(2, InitialReplicationExportLocation="D:\\Out")
    pair.wait()
    pair.replica.service("ImportInitialReplica", InitialReplicationImportLocation="E:\\In")
    pair.wait()
    return pair.states()


def bound_to_another(pair: Pair) -> tuple[int, int]:
    authorize(pair.replica, "Add", "HV-X")
    pair.wait()
    set_authorization(pair.replica, "HV-X")
    pair.wait()
    pair.primary.request(3)
    pair.wait()
    return pair.states()


def connections_of_test(pair: Pair) -> int:
    pair.replica.service("TestReplicaSystem", SnapshotSettingData=None)
    pair.wait()
    return len(pair.replica.all("Msvm_EthernetPortAllocationSettingData"))


def failover_text(client: Client, **values: Value) -> str:
    (settings,) = client.all("Msvm_FailoverNetworkAdapterSettingData")
    properties: dict[str, Value] = {
        "InstanceID": settings.properties["InstanceID"], "DHCPEnabled": False, "IPAddresses": [], **values
    }  # fmt: skip
    return embedded.write("Msvm_FailoverNetworkAdapterSettingData", properties)


def set_addresses(client: Client, **values: Value) -> tuple[int, Ref | None]:
    return client.service("SetFailoverNetworkAdapterSettings", NetworkSettings=[failover_text(client, **values)])


def connect(client: Client, switch: Ref | None, **values: Value) -> tuple[int, dict[str, Value]]:
    """Connect the adapter of the one VM that has one."""
    from replica_lab.world.found import object_path

    (connection,) = client.all("Msvm_EthernetPortAllocationSettingData")
    properties: dict[str, Value] = {
        "InstanceID": connection.properties["InstanceID"],
        "HostResource": [object_path(client.host, switch)] if switch else [],
        **values,
    }
    text = embedded.write("Msvm_EthernetPortAllocationSettingData", properties)
    return client.ask(Ref.of(MANAGEMENT), "ModifyResourceSettings", ResourceSettings=[text])


def resource_answer(pair: Pair) -> tuple[int, bool]:
    code, out = connect(pair.replica, add_switch(pair.replica, "LAN"))
    return code, bool(out["ResultingResourceSettings"])


def authorization_text(primary: str, **values: Value) -> str:
    properties: dict[str, Value] = {
        "AllowedPrimaryHostSystem": primary, "TrustGroup": "lab", "ReplicaStorageLocation": "C:\\", **values
    }  # fmt: skip
    return embedded.write("Msvm_ReplicationAuthorizationSettingData", properties)


def authorize(client: Client, verb: str, primary: str, **values: Value) -> int:
    text = authorization_text(primary, **values)
    return client.on_service(f"{verb}AuthorizationEntry", AuthorizationEntry=text)[0]


def cluster_settings(pair: Pair) -> int:
    pair.replica.host.cluster = True
    text = embedded.write("Msvm_ReplicationServiceSettingData", {"HttpPort": 81})
    return pair.replica.on_service("ModifyServiceSettings", SettingData=text)[0]


def set_authorization(client: Client, primary: str) -> int:
    return client.service("SetAuthorizationEntry", AuthorizationEntry=authorization_text(primary))[0]


def statistics(client: Client) -> tuple[int, dict[str, Value]]:
    return client.ask(
        Ref.of(SERVICE),
        "GetReplicationStatisticsEx",
        ComputerSystem=client.ref(),
        ReplicationRelationship=relationship_text(client.truth(), 0),
    )


def statistics_answer(pair: Pair) -> tuple[int, bool, bool]:
    code, out = statistics(pair.primary)
    return code, out["ReplicationStatistics"] is not None, out["Job"] is not None


def message_id(pair: Pair) -> t.Any:
    issues = t.cast("list[t.Any]", statistics(pair.primary)[1]["ReplicationHealthIssues"])
    return embedded.read(issues[0], "Msvm_Error").get("MessageID")


RUNNING = {"power": "running"}
EXTENDED = {"relationship_1": {"state": 3}}
READY = {"state": 1}

# name -> the two VMs, what is tried, and what is seen for each choice
ROWS: dict[str, tuple[dict[str, t.Any], dict[str, t.Any] | None, t.Callable[[t.Any], t.Any], dict[t.Any, t.Any]]] = {
    "POWER_WHILE_SHUTTING_DOWN": ({}, RUNNING, power_while_shutting_down, {4: (4, 3), 2: (2, 3)}),
    "SHUTDOWN_REFUSED": (
        {},
        {**RUNNING, "guest": "refuses"},
        lambda pair: shut_down(pair.primary, force=True),
        {32775: 32775, 32768: 32768, 32774: 32774},
    ),
    "SHUTDOWN_ANSWER": ({}, RUNNING, lambda pair: shut_down(pair.primary), {0: 0, 4096: 4096}),
    "CONNECTION_FAILURE_CODE": ({}, {"mode": "none"}, error_of_unreachable, {32768: 32768, 32777: 32777}),
    "NO_RECOVERY_PORT": (
        {},
        {"mode": "none"},
        lambda pair: pair.primary.enable(REPLICA)[0],
        {"accept": 4096, 32773: 32773},
    ),
    "EXTEND_BEFORE_REPLICATING": (
        {"state": 2},
        None,
        lambda pair: pair.replica.enable(PRIMARY)[0],
        {32775: 32775, "accept": 4096},
    ),
    "NEW_REPLICA_NETWORK": (
        {"name": "other"},
        {"mode": "none", **NIC},
        new_replica_network,
        {"disconnected": (1, False), "same_switch_name": (1, True)},
    ),
    "MODIFY_SETTINGS_ON_REPLICA": (
        {},
        {},
        lambda pair: modify(pair.replica, RecoveryHistory=1),
        {32775: 32775, "accept": 4096},
    ),
    "MODIFY_CONNECTION_POINT": (
        {},
        {},
        lambda pair: (modify(pair.primary, RecoveryConnectionPoint="HV-X"), modify(pair.replica, RecoveryHistory=1)),
        {32773: (32773, 32775), "accept": (4096, 32775)},
    ),
    "NULL_RELATIONSHIP": ({}, {}, null_relationship, {"primary": 4096, "refuse_32773": 32773}),
    "REMOVE_WHILE_FAILED_OVER": (
        {"state": 5},
        None,
        lambda pair: pair.replica.remove()[0],
        {"accept": 4096, 32775: 32775},
    ),
    "REMOVE_WITH_TEST_COPY": ({"test_copy": True}, None, orphans, {32775: (32775, 1), "accept": (4096, 0)}),
    "PRIMARY_AFTER_REPLICA_WAS_REMOVED": (
        {},
        {},
        other_side_after_removal,
        {8: ((0, 0), (1, 8)), 3: ((0, 0), (1, 3)), 7: ((0, 0), (1, 7))},
    ),
    "REVERSE_WITHOUT_SETTINGS": (
        {"state": 6, "failed_over_type": "planned"},
        {"state": 4},
        reverse_without_settings,
        {"refuse": (32773, (2, 6), (1, 4)), "accept": (4096, (1, 3), (2, 3))},
    ),
    "REVERSE_BEFORE_COMMIT": (
        {"state": 5},
        {"state": 8},
        reverse_before_commit,
        {"planned": (32775, 4096), "never": (32775, 32775), "any": (4096, 4096)},
    ),
    "REVERSE_TO_UNTOLD_PRIMARY": (
        {"state": 6},
        {"state": 8},
        reverse_untold,
        {"job_fails": ((2, 6), (1, 8)), "accept": ((1, 1), (2, 2))},
    ),
    "REVERSE_ON_THIRD_SITE": (
        {"mode": "extended_replica", "state": 6, "peer": "HV-X"},
        None,
        lambda pair: pair.replica.reverse(to="HV-X")[0],
        {"accept": 4096, 32775: 32775},
    ),
    "AS_REPLICA_FROM": (
        {},
        {},
        lambda pair: pair.primary.request(2)[0],
        {"any": 4096, "broken": 32775},
    ),
    "AS_REPLICA_RUNNING_VM": (
        {},
        {"state": 8, **RUNNING},
        lambda pair: pair.primary.request(2)[0],
        {32775: 32775, "accept": 4096},
    ),
    "EXTENDED_AFTER_FAILOVER": (EXTENDED, None, extended_after_failover, {"kept": 3, 7: 7, 8: 8}),
    "STATE_AFTER_CONTINUE": (
        {"state": 6, **EXTENDED},
        None,
        continued,
        {3: ((1, 3),), 7: ((1, 7),), 9: ((1, 9),)},
    ),
    "START_TIME_IN_THE_PAST": (
        {"state": 2},
        READY,
        lambda pair: pair.primary.begin(StartTime=pair.world.time - timedelta(seconds=1))[0],
        {"now": 4096, 32773: 32773},
    ),
    "STATE_UNTIL_SCHEDULED_START": ({"state": 2}, READY, scheduled, {1: (1, 3), 2: (2, 3)}),
    "IMPORT_LOCATION": ({"state": 2}, READY, imported, {"any": (3, 3), "as_exported": (2, 2)}),
    "RESUME_UNFINISHED_INITIAL_REPLICATION": (
        {"state": 2},
        {"state": 7, "last_replication": "never"},
        resume_unfinished,
        {True: (2, 3, 3), False: (3, 2, 3)},
    ),
    "RESUME_WHERE_RESYNC_IS_NEEDED": (
        {},
        {"state": 9},
        lambda pair: pair.primary.request(3)[0],
        {"accept": 4096, 32775: 32775},
    ),
    "DISCONNECTED_NETWORK": (NIC, None, connections_of_test, {"disabled": 2, "absent": 1}),
    "FAILOVER_NETWORK_JOB_TYPE": (
        NIC,
        None,
        lambda pair: pair.replica.job(set_addresses(pair.replica)[1])["JobType"],
        {92: 92, 0: 0},
    ),
    "FAILOVER_NETWORK_OF_UNREPLICATED": (
        {"mode": "none", **NIC},
        None,
        lambda pair: set_addresses(pair.replica)[0],
        {32775: 32775, "accept": 4096},
    ),
    "FAILOVER_SUBNETS_NOT_PARALLEL": (
        NIC,
        None,
        lambda pair: set_addresses(pair.replica, IPAddresses=["192.0.2.1"])[0],
        {32773: 32773, "accept": 4096},
    ),
    "FAILOVER_ADDRESS_THAT_IS_NONE": (
        NIC,
        None,
        lambda pair: set_addresses(pair.replica, DNSServers=["192.0.2"])[0],
        {32773: 32773, "accept": 4096},
    ),
    "RESOURCE_SETTINGS_ANSWER": (NIC, None, resource_answer, {"sync": (0, True), "job": (4096, False)}),
    "CLUSTER_NODE_SERVICE_SETTINGS": ({}, None, cluster_settings, {32770: 32770, "accept": 4096}),
    "AUTHORIZATION_THAT_EXISTS": (
        {},
        None,
        lambda pair: authorize(pair.replica, "Add", "*"),
        {32773: 32773, "accept": 4096},
    ),
    "UNKNOWN_AUTHORIZATION": (
        {},
        None,
        lambda pair: authorize(pair.replica, "Modify", "HV-X"),
        {32773: 32773, 32779: 32779},
    ),
    "AUTHORIZATION_WITH_BLANKS": (
        {},
        None,
        lambda pair: authorize(pair.replica, "Add", "HV-X", TrustGroup=None),
        {32773: 32773, "accept": 4096},
    ),
    "SET_AUTHORIZATION_UNKNOWN_TO_HOST": (
        {},
        None,
        lambda pair: set_authorization(pair.replica, "HV-X"),
        {32773: 32773, "accept": 4096},
    ),
    "AUTHORIZATION_OF_A_VM": ({}, {"state": 7}, bound_to_another, {"restricts": (3, 7), "noted": (3, 3)}),
    "STATISTICS_ANSWER": (
        {},
        {},
        statistics_answer,
        {"sync": (0, True, False), "job_with_results": (4096, True, True), "job": (4096, False, True)},
    ),
    "HEALTH_ISSUE_MESSAGE_ID": ({}, {"state": 8}, message_id, {"": "", "32086": "32086"}),
}
