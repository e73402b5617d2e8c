# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scenarios: worlds written down as YAML, read with errors that say where and what.

A scenario, with every key it may have::

    description: what it is for
    clock: {rate: 1.0}                     # world seconds in a real second
    parameters: {count: 2000}              # "$count" anywhere below is replaced by it
    assumptions: {REVERT_NOTHING: 0}       # see assumptions.py
    durations: {revert: 4}                 # world seconds of a job of that kind
    users:
      operator: {password: secret, rights: full}   # full, hidden, hidden_vms, read_only, denied
    hosts:
      HV-REPLICA:
        locale: en-US                      # en-US, de-DE, ja-JP
        domain: lab.example
        version: "2022"                    # 2012, 2012R2, 2016, 2019, 2022
        skew: 0                            # seconds its clock is ahead
        users: {}                          # beside, or in place of, those above
        cluster: false                     # a node of a cluster: the Replica Broker has the settings
        replica_server: {enabled: true, authentication: 1, http_port: 80, https_port: 443, certificate: ""}
        authorizations: [{primary: "*", trust_group: lab, storage: 'C:\\Replica'}]
        switches: [LAN, Test]
        vms:
          - name: SQL 01
            id: GUID                       # default: made from the name, so alike on both hosts
            count: 10                      # that many VMs; "{n}" in the name is the number
            mode: replica                  # numbers by name, or raw
            state: failed_over
            health: ok
            power: off
            last_replication: 300          # seconds ago, or never
            last_app_consistent: 3600
            points: [{type: standard, age: 300, id: GUID}, {type: application_consistent, age: 3600}]
            failed_over_point: -1          # which of them, oldest first; of VMs in 5 and 6 the latest
            failed_over_type: regular      # default: that of the point
            guest_writes: 1200
            unsent_writes: 0               # of a primary: what no replica has yet
            guest: willing                 # willing, no_services, hangs, needs_force, refuses: asked to shut down
            nics: [{name: Network Adapter, switch: LAN, test_switch: Test, failover: {IPAddresses: [192.0.2.1]}}]
            settings: {ReplicationInterval: 30}          # properties of Msvm_ReplicationSettingData
            relationship_1: {state: replicating, health: ok, last_replication: 300, peer: HV-C}
            test_copy: {name: copy, power: running}      # or true
            peer: HV-PRIMARY               # only where the other side is not in the scenario, or is not its partner
            visible: true
            in_backup: false
            overrides: {Msvm_ComputerSystem: {ReplicationState: null}}
        jobs:                              # in flight when the curtain rises
          - {do: commit, vm: SQL 01, seconds: 600, percent: 20, owner: LAB\\\\jo}
          - {type: 105, vm: SQL 01, count: 200, seconds: 600}
    fates: []                              # World.fate
    happenings: []                         # World.happening
"""

from __future__ import annotations

import typing as t
import uuid
from datetime import timedelta
from pathlib import Path

import yaml

from replica_lab import schema
from replica_lab.assumptions import AssumptionError, Assumptions
from replica_lab.clock import Clock
from replica_lab.numbers import FailoverType, Health, Mode, Power, State, number
from replica_lab.world import DURATIONS, Host, Rights, User, Vm, World, WorldError
from replica_lab.world.acts import OTHER_OPERATOR, PLANNED, perform
from replica_lab.world.errors import one_of, refuse_unknown
from replica_lab.world.host import VERSIONS
from replica_lab.world.jobs import Course, Plan
from replica_lab.world.model import Authorization, Guest, Point, PointType, Relationship, Statistics, Switch
from replica_lab.world.texts import LOCALES
from replica_lab.world.verbs.common import REPLICA_SIDE
from replica_lab.world.verbs.failover import new_test_copy

_FOLDER = Path(__file__).with_name("scenarios")
_ID_NAMESPACE = uuid.UUID("8c3f9a52-5d0c-4c1b-9a55-6d4f0f6f7b11")
DEFAULT_USERS = {"operator": {"password": "replica-lab", "rights": "full"}}

_REPLICATED = frozenset({Mode.PRIMARY, Mode.REPLICA, Mode.EXTENDED_REPLICA})
_NEVER_SENT = frozenset({State.DISABLED, State.READY_FOR_REPLICATION, State.WAITING_TO_COMPLETE_INITIAL_REPLICATION})


class ScenarioError(WorldError):
    """A scenario that cannot be read: the text says where and what."""


def names() -> dict[str, str]:
    """The built-in scenarios with their descriptions."""
    return {path.stem: _parse(path).get("description", "") for path in sorted(_FOLDER.glob("*.yml"))}


def load(
    source: str | Path | t.Mapping[str, t.Any],
    parameters: t.Mapping[str, t.Any] | None = None,
    clock: Clock | None = None,
) -> World:
    """Build the world of a scenario: the name of a built-in one, a YAML file, or the mapping itself.

    ``parameters`` replaces values of the scenario's own ``parameters``. A ``clock`` given here is used as it
    is. Raises ScenarioError.
    """
    name, document = _find(source)
    try:
        document = _with_parameters(document, parameters or {})
        return _world(name, _Section("scenario", document), clock)
    except ScenarioError:
        raise
    except (WorldError, AssumptionError) as error:
        raise ScenarioError(f"{name}: {error}") from None


def _find(source: str | Path | t.Mapping[str, t.Any]) -> tuple[str, t.Any]:
    if isinstance(source, t.Mapping):
        return str(source.get("name", "scenario")), {key: value for key, value in source.items() if key != "name"}
    built_in = _FOLDER / f"{source}.yml"
    path = built_in if built_in.parent == _FOLDER and built_in.is_file() else Path(source)
    if not path.is_file():
        known = ", ".join(each.stem for each in sorted(_FOLDER.glob("*.yml")))
        raise ScenarioError(f"no scenario {str(source)!r}: neither a file nor one of {known}")
    return path.stem, _parse(path)


def _parse(path: Path) -> t.Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path.name}: {error}") from None


def _with_parameters(document: t.Any, given: t.Mapping[str, t.Any]) -> t.Any:
    own = dict(document.get("parameters") or {}) if isinstance(document, t.Mapping) else {}
    refuse_unknown("parameters", given, own)
    values = {f"${name}": value for name, value in {**own, **given}.items()}

    def replace(node: t.Any) -> t.Any:
        if isinstance(node, t.Mapping):
            return {key: replace(value) for key, value in node.items()}
        if isinstance(node, list):
            return [replace(item) for item in node]
        return values.get(node, node) if isinstance(node, str) else node

    return replace(document)


# --- reading with good errors -----------------------------------------------------------------------------


class _Section:
    """A mapping of the document that knows where it stands, and which of its keys were taken."""

    def __init__(self, where: str, mapping: object) -> None:
        if not isinstance(mapping, t.Mapping):
            raise ScenarioError(f"{where} must be a mapping, not {mapping!r}")
        self.where = where
        self._mapping = mapping
        self._known: list[str] = []

    def take(self, key: str, read: t.Callable[[t.Any], t.Any], default: t.Any = None) -> t.Any:
        """The value of a key, read; the default where it is missing or null."""
        self._known.append(key)
        value = self._mapping.get(key)
        if value is None:
            return default
        try:
            return read(value)
        except ScenarioError:
            raise
        except (ValueError, TypeError) as error:
            raise ScenarioError(f"{self.where}: {key}: {error}") from None

    def has(self, key: str) -> bool:
        return self._mapping.get(key) is not None

    def sections(self, key: str) -> list[_Section]:
        """The mappings of a list."""
        entries = self.take(key, _list, [])
        return [_Section(f"{self.where}, {key}[{index}]", entry) for index, entry in enumerate(entries)]

    def named_sections(self, key: str) -> dict[str, _Section]:
        """The mappings of a mapping."""
        entries = self.take(key, _mapping, {})
        return {str(name): _Section(f"{self.where}, {key}: {name}", entry or {}) for name, entry in entries.items()}

    def done(self) -> None:
        """Every key must have been taken."""
        refuse_unknown(self.where, self._mapping, self._known)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a text, not {value!r}: quote it")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r}")
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"must be a whole number, not {value!r}")
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError(f"must be a number of seconds, not {value!r}")
    return float(value)


def _list(value: object) -> list[t.Any]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list, not {value!r}")
    return value


def _mapping(value: object) -> dict[str, t.Any]:
    if not isinstance(value, t.Mapping):
        raise ValueError(f"must be a mapping, not {value!r}")
    return dict(value)


def _guid(value: object) -> str:
    return str(uuid.UUID(_text(value))).upper()


def _numbered(kind: t.Any) -> t.Callable[[t.Any], int]:
    return lambda value: number(kind, "off" if value is False and kind is Power else value)  # YAML reads off as false


def _word(what: str, known: t.Collection[str]) -> t.Callable[[t.Any], str]:
    return lambda value: one_of(what, value, known)


def _ago(value: object) -> float | None:
    return None if value == "never" else _seconds(value)


# --- building ---------------------------------------------------------------------------------------------


def _world(name: str, root: _Section, clock: Clock | None) -> World:
    timing = _Section("clock", root.take("clock", _mapping, {}))
    rate = timing.take("rate", _seconds, 1.0)
    timing.done()
    durations = root.take("durations", _mapping, {})
    refuse_unknown("durations", durations, DURATIONS)
    root.take("parameters", _mapping)
    world = World(
        name,
        clock or Clock(rate),
        Assumptions(root.take("assumptions", _mapping, {})),
        {kind: _seconds(value) for kind, value in durations.items()},
    )
    world.description = root.take("description", _text, "")
    users = root.named_sections("users") or {user: _Section("users", entry) for user, entry in DEFAULT_USERS.items()}
    world.users = _users(users)
    hosts = root.named_sections("hosts")
    fates, happenings = root.take("fates", _list, []), root.take("happenings", _list, [])
    root.done()
    for host_name, section in hosts.items():
        _add_host(world, host_name, section)
    _introduce(world)
    for host_name, section in hosts.items():
        for job in section.sections("jobs"):
            _add_jobs(world.hosts[host_name], job)
        section.done()
    for fate in fates:
        world.fate(fate)
    for happening in happenings:
        world.happening(happening)
    return world


def _introduce(world: World) -> None:
    """Each end of a relationship knows the other's name, and goes on to do so when their modes no longer fit."""
    for host in world.hosts.values():
        for vm in host.vms:
            for relationship in vm.relationships:
                partner = vm.partner(relationship.index)
                if partner and not relationship.peer:
                    relationship.peer = partner[0].host.fqdn


def _users(sections: t.Mapping[str, _Section]) -> dict[str, User]:
    users = {}
    rights = {each.value: each for each in Rights}
    for name, section in sections.items():
        users[name] = User(
            name,
            section.take("password", _text, ""),
            rights[section.take("rights", _word("rights", rights), "full")],
        )
        section.done()
    return users


def _add_host(world: World, name: str, section: _Section) -> None:
    host = Host(
        world,
        name,
        locale=section.take("locale", _word("locale", LOCALES), "en-US"),
        domain=section.take("domain", _text, "lab.example"),
        skew=timedelta(seconds=section.take("skew", _seconds, 0.0)),
        version_name=section.take("version", _word("version", VERSIONS), "2022"),
        users={**world.users, **_users(section.named_sections("users"))},
        installed=world.time - timedelta(days=90),
        cluster=section.take("cluster", _flag, False),
    )
    world.hosts[name] = host
    serving = _Section(f"{section.where}, replica_server", section.take("replica_server", _mapping, {}))
    for field, read in _SERVER_FIELDS.items():
        setattr(host.server, field, serving.take(field, read, getattr(host.server, field)))
    serving.done()
    entries = section.sections("authorizations")
    if section.has("authorizations"):
        host.authorizations = [_authorization(entry) for entry in entries]
    for switch in section.take("switches", _list, []):
        switch_id = str(uuid.uuid5(_ID_NAMESPACE, f"{name} {_text(switch)}")).upper()
        host.switches.append(Switch(switch_id, switch))
    for entry in section.sections("vms"):
        _add_vms(host, entry)


_SERVER_FIELDS: dict[str, t.Callable[[t.Any], t.Any]] = {
    "enabled": _flag,
    "authentication": _integer,
    "http_port": _integer,
    "https_port": _integer,
    "certificate": _text,
}


def _authorization(section: _Section) -> Authorization:
    entry = Authorization(
        section.take("primary", _text, "*"),
        section.take("trust_group", _text, "lab"),
        section.take("storage", _text, r"C:\Replica"),
    )
    section.done()
    return entry


def _add_nics(vm: Vm, section: _Section) -> None:
    for entry in section.sections("nics"):
        named = entry.take("switch", _text, "")
        switch = vm.host.switch(named) if named else None
        if named and switch is None:
            known = ", ".join(each.name for each in vm.host.switches) or "none"
            raise ScenarioError(f"{entry.where}: {vm.host.host_name} has no switch {named!r}; there are: {known}")
        shape = schema.classes()["Msvm_FailoverNetworkAdapterSettingData"]
        vm.add_nic(
            entry.take("name", _text, "Network Adapter"),
            switch=switch.id if switch else "",
            test_switch=entry.take("test_switch", _text, ""),
            failover=_properties(entry, "failover", shape),
        )
        entry.done()


def _properties(section: _Section, key: str, shape: schema.ClassShape) -> dict[str, t.Any]:
    """Properties of a class as somebody writes them down, in their types."""
    values: dict[str, t.Any] = section.take(key, _mapping, {})
    refuse_unknown(f"{section.where}, {key}", values, shape.properties)
    for name, value in values.items():
        if not schema.fits(value, shape.properties[name]):
            raise ScenarioError(f"{section.where}: {shape.name}.{name} is {shape.properties[name]}, not {value!r}")
    return values


def _add_vms(host: Host, section: _Section) -> None:
    name = section.take("name", _text)
    if not name:
        raise ScenarioError(f"{section.where}: a VM needs a name")
    count = section.take("count", _integer)
    own_id = section.take("id", _guid)
    if count is None:
        _add_vm(host, section, name, own_id)
        section.done()
        return
    if own_id or "{n}" not in name:
        raise ScenarioError(f"{section.where}: with count, the name must hold {{n}} and there is no id")
    for number_of_vm in range(1, count + 1):
        _add_vm(host, section, name.replace("{n}", f"{number_of_vm:0{len(str(count))}}"), None)
    if count:
        section.done()


def _add_vm(host: Host, section: _Section, name: str, own_id: str | None) -> None:
    vm_id = own_id or str(uuid.uuid5(_ID_NAMESPACE, name)).upper()
    if host.vm(vm_id) is not None:
        raise ScenarioError(f"{section.where}: {name!r} has the id of another VM of {host.host_name}: give it an id")
    mode = section.take("mode", _numbered(Mode), Mode.NONE)
    now = host.world.time
    primary = _relationship(host, section, 0, State.REPLICATING if mode in _REPLICATED else State.DISABLED)
    vm = Vm(
        host,
        vm_id,
        name,
        mode=mode,
        power=section.take("power", _numbered(Power), Power.OFF),
        relationships=[primary],
        guest_writes=section.take("guest_writes", _seconds, 0.0),
        unsent_writes=section.take("unsent_writes", _seconds, 0.0),
        guest=Guest(section.take("guest", _word("guest", {each.value: each for each in Guest}), "willing")),
        counted=now,
        visible=section.take("visible", _flag, True),
        in_backup=section.take("in_backup", _flag, False),
        installed=now - timedelta(days=30),
        configured=now - timedelta(days=1),
        power_changed=now - timedelta(hours=1),
        overrides=_overrides(section),
    )
    extended = section.take("relationship_1", _mapping)
    if extended is not None:
        entry = _Section(f"{section.where}, relationship_1", extended)
        vm.relationships.append(_relationship(host, entry, 1, State.REPLICATING))
        entry.take("failed_over_type", _numbered(FailoverType))
        entry.done()
    _add_points(vm, section)
    _add_nics(vm, section)
    host.add(vm)
    _add_test_copy(vm, section)


def _relationship(host: Host, section: _Section, index: int, state: State) -> Relationship:
    state = section.take("state", _numbered(State), state)
    never = state in _NEVER_SENT
    sent = section.take("last_replication", _ago, None if never else 300.0)
    consistent = section.take("last_app_consistent", _ago, None)
    return Relationship(
        index,
        state,
        section.take("health", _numbered(Health), _usual_health(state)),
        section.take("failed_over_type", _numbered(FailoverType), FailoverType.NONE),
        FailoverType.NONE if sent is None else FailoverType.REGULAR,
        _past(host, sent),
        _past(host, consistent),
        _past(host, sent),
        section.take("peer", _text, ""),
        _properties(section, "settings", schema.classes()["Msvm_ReplicationSettingData"]),
        Statistics(since=host.world.time),
    )


def _usual_health(state: int) -> Health:
    if state == State.DISABLED:
        return Health.NOT_APPLICABLE
    if state in (State.CRITICAL, State.WAITING_TO_START_RESYNCHRONIZATION):
        return Health.CRITICAL
    return Health.WARNING if state in (State.COMMITTED, State.SUSPENDED) else Health.OK


def _past(host: Host, seconds: float | None) -> t.Any:
    return None if seconds is None else host.world.time - timedelta(seconds=seconds)


def _add_points(vm: Vm, section: _Section) -> None:
    """The recovery points, and the one that a failed-over VM runs on."""
    default: list[t.Any] = []
    if vm.mode in REPLICA_SIDE and vm.state != State.COMMITTED and vm.relationships[0].last_time:
        default = [{"type": "application_consistent", "age": 3600}, {"type": "standard", "age": 300}]
    kinds = {kind.name.lower(): kind for kind in PointType}
    for index, entry in enumerate(section.take("points", _list, default)):
        point = _Section(f"{section.where}, points[{index}]", entry)
        kind = kinds[point.take("type", _word("point type", kinds), "standard")]
        point_id = point.take("id", _guid) or vm.host.world.new_id()
        vm.points.append(Point(point_id, kind, _past(vm.host, point.take("age", _seconds, 300.0))))
        point.done()
    position = section.take("failed_over_point", _integer, -1)
    vm.failed_over = vm.mode in REPLICA_SIDE and vm.state in (State.FAILED_OVER, State.COMMITTED)
    if not vm.failed_over:
        return
    points = vm.recovery_points()
    failover_type = FailoverType.REGULAR
    if points and vm.state == State.FAILED_OVER:
        try:
            applied = points[position]
        except IndexError:
            raise ScenarioError(f"{section.where}: there is no recovery point {position}") from None
        vm.failed_over_point, failover_type = applied.id, applied.type.failover_type
    if not section.has("failed_over_type"):
        vm.relationships[0].failed_over_type = failover_type


def _add_test_copy(vm: Vm, section: _Section) -> None:
    written = section.take("test_copy", lambda value: value)
    if not written:
        return
    entry = _Section(f"{section.where}, test_copy", {} if written is True else written)
    fields = {
        "name": entry.take("name", _text),
        "id": entry.take("id", _guid),
        "power": entry.take("power", _numbered(Power)),
    }
    entry.done()
    vm.host.add(new_test_copy(vm, **{name: value for name, value in fields.items() if value is not None}))


def _overrides(section: _Section) -> dict[str, dict[str, t.Any]]:
    entries: dict[str, t.Any] = section.take("overrides", _mapping, {})
    overrides = _Section(f"{section.where}, overrides", entries)
    return {
        name: _properties(overrides, name, schema.classes()[one_of("class", name, schema.classes())])
        for name in entries
    }


def _add_jobs(host: Host, section: _Section) -> None:
    """Jobs in flight: a verb half done, or jobs of a type that only take time."""
    named = section.take("vm", _text)
    vm = host.world.find_vm(host, named) if named is not None else None
    if section.has("do"):
        verb = section.take("do", _word("verb", PLANNED))
        rest = {key: section.take(key, lambda value: value) for key in _JOB_ARGUMENTS}
        section.done()
        answer = perform(host, vm, verb, {key: value for key, value in rest.items() if value is not None})
        if answer["job"] is None:
            raise ScenarioError(f"{section.where}: {verb} is refused with {answer['return_value']}")
        return
    job_type = section.take("type", _integer)
    if job_type is None:
        raise ScenarioError(f"{section.where}: a job needs do (a verb) or type (a number)")
    course = Course(
        seconds=section.take("seconds", _seconds),
        percent_done=section.take("percent", _integer, 0),
        hangs_at=section.take("hangs_at", _integer),
        hidden=section.take("hidden", _flag, False),
    )
    owner = section.take("owner", _text, OTHER_OPERATOR)
    for _nth in range(section.take("count", _integer, 1)):
        host.start(Plan("other", job_type, vm), course, owner)
    section.done()


_JOB_ARGUMENTS = ("seconds", "percent", "owner", "hangs_at", "point", "relationship")
