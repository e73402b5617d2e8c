# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What is assumed of a real pair of hosts, one row each, and how a recording shows whether it is so.

``assumption`` names the switch of the simulated hosts (tests/lab) that a row checks; a row without one checks the shape
of what a host answers, on which the readers of this collection rely. ``section`` points into the project's notes: ``R``
on the Hyper-V Replica API, ``W`` on WS-Management.

A row reads values from the recording and says which of them are expected. None read is "not seen", which is no
confirmation. Assumptions that cannot be checked without doing harm have no row: a revert of a running VM, a commit, a
second operator, a service that is stopped.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import schema, wsman
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.hardened_xml import local
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Call,
    Get,
    Instance,
    Kind,
    Query,
    Reference,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.evidence import Evidence, Exchange
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.reading import NO_SUCH_CLASS, NO_SUCH_JOB
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.recording import Moment
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    JOB_ENDED,
    JOB_RUNNING,
    FailoverType,
    JobType,
    Power,
    ReplicationMode,
    ReplicationState,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.read import guid

Seen = t.Union[bool, int, str]

SYSTEM = "Msvm_ComputerSystem"
RELATIONSHIP = "Msvm_ReplicationRelationship"
JOB = "Msvm_ConcreteJob"

VERBS = (
    Moment.BEFORE,
    Moment.NOTHING_TO_REVERT,
    Moment.FAILING_OVER,
    Moment.FAILED_OVER,
    Moment.REVERTING,
    Moment.REVERTED,
    Moment.END,
)


@dataclass(frozen=True)
class Expectation:
    """One row. ``read`` gets what one host answered over one transport; with ``pair``, the whole recording."""

    id: str
    says: str
    section: str
    expected: Collection[Seen]
    read: Callable[[Evidence], Iterable[Seen]]
    assumption: str = ""
    pair: bool = False


# --- VMs and hosts -----------------------------------------------------------------------------------


def _systems(seen: Evidence, *moments: str) -> Iterator[Instance]:
    for _exchange, instance in seen.instances(SYSTEM, *moments):
        yield instance


def _vms(seen: Evidence, *moments: str) -> Iterator[Instance]:
    return (one for one in _systems(seen, *moments) if guid(str(one.get("Name"))))


def _number(instance: Instance, name: str) -> int | None:
    value = instance.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _read_whole(seen: Evidence, class_name: str) -> bool:
    """Whether all instances of the class were read."""
    return any(exchange.whole and exchange.error is None for exchange in seen.at(about=class_name))


def _vm_names(seen: Evidence) -> Iterator[Seen]:
    for vm in _vms(seen):
        name = str(vm.get("Name"))
        braces = " in braces" if name.startswith("{") else ""
        case = "upper-case" if name == name.upper() else "lower-case" if name == name.lower() else "mixed-case"
        yield f"{case} GUID{braces}"


def _host_instances(seen: Evidence) -> Iterator[Seen]:
    systems = [one for exchange in seen.at(about=SYSTEM) if exchange.whole for one in exchange.instances]
    if systems:
        yield sum(not guid(str(one.get("Name"))) for one in systems)


def _modes_and_states(seen: Evidence) -> Iterator[Seen]:
    for vm in _vms(seen, Moment.READING, *VERBS):
        yield f"{_number(vm, 'ReplicationMode')}/{_number(vm, 'ReplicationState')}"


_PAIRS: t.Mapping[int, t.Collection[int]] = {
    ReplicationMode.NONE: (0,),
    ReplicationMode.PRIMARY: (0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 15, 16, 18, 19, 20),
    ReplicationMode.REPLICA: (0, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 18, 21),
    ReplicationMode.TEST_REPLICA: (0, 3),
    ReplicationMode.EXTENDED_REPLICA: (0, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 18, 21),
}


def _replication_on_the_vm(seen: Evidence) -> Iterator[Seen]:
    for vm in _vms(seen):
        yield _number(vm, "ReplicationMode") is not None and _number(vm, "ReplicationState") is not None


def _states_agree(seen: Evidence) -> Iterator[Seen]:
    links = {guid_of_link(one): _number(one, "ReplicationState") for one in _links(seen) if _index(one) == 0}
    for vm in _vms(seen):
        vm_id = guid(str(vm.get("Name")))
        if vm.get("ReplicationMode") in (1, 2, 4) and vm_id in links:
            yield links[vm_id] == _number(vm, "ReplicationState")


def _unset_times(seen: Evidence) -> Iterator[Seen]:
    for vm in _vms(seen):
        value = vm.get("LastReplicationTime") if vm.get("ReplicationMode") == ReplicationMode.NONE else ...
        if value is not ...:
            yield str(value.year) if isinstance(value, datetime) else "NULL"


def _test_copy_states(seen: Evidence) -> Iterator[Seen]:
    for vm in _vms(seen):
        state = _number(vm, "ReplicationState")
        if vm.get("ReplicationMode") == ReplicationMode.TEST_REPLICA and state is not None:
            yield state


def _filtered(seen: Evidence) -> Iterator[Seen]:
    systems = [exchange for exchange in seen.at(about=SYSTEM) if exchange.whole]
    if systems and not any(exchange.instances or exchange.error for exchange in systems):
        for exchange in seen.at(about="Msvm_ReplicationService"):
            yield not exchange.instances


# --- relationships -----------------------------------------------------------------------------------

_LINK = re.compile(r"Microsoft:([0-9A-Fa-f-]{36})\\HVR(?:\\([01]))?")


def _links(seen: Evidence, *moments: str) -> Iterator[Instance]:
    for _exchange, instance in seen.instances(RELATIONSHIP, *moments):
        yield instance


def guid_of_link(instance: Instance) -> str:
    """The id of the VM in the InstanceID of a relationship or its settings."""
    found = _LINK.fullmatch(str(instance.get("InstanceID")))
    return found[1].upper() if found else ""


def _index(instance: Instance) -> int | None:
    found = _LINK.fullmatch(str(instance.get("InstanceID")))
    return int(found[2] or 0) if found else None


def _link_ids(seen: Evidence) -> Iterator[Seen]:
    for class_name in (RELATIONSHIP, "Msvm_ReplicationSettingData"):
        for _exchange, instance in seen.instances(class_name):
            text = str(instance.get("InstanceID"))
            found = _LINK.fullmatch(text)
            if found is None and class_name != RELATIONSHIP:
                continue  # a template of the host, of no VM
            yield r"Microsoft:<vm>\HVR" + (r"\<0|1>" if found[2] else "") if found else f"another form: {text}"


def _links_of_vms(seen: Evidence) -> Iterator[Seen]:
    ids = {guid(str(vm.get("Name"))) for vm in _vms(seen)}
    for link in _links(seen):
        yield guid_of_link(link) in ids


def _links_without_replication(seen: Evidence) -> Iterator[Seen]:
    if not _read_whole(seen, RELATIONSHIP):
        return
    linked = {guid_of_link(link) for link in _links(seen)}
    for vm in _vms(seen):
        if vm.get("ReplicationMode") == ReplicationMode.NONE:
            yield "present" if guid(str(vm.get("Name"))) in linked else "absent"


# --- the service -------------------------------------------------------------------------------------


def _services(seen: Evidence) -> Iterator[Seen]:
    for exchange in seen.at(about="Msvm_ReplicationService"):
        if exchange.instances:
            yield len(exchange.instances)


def _service_keys(seen: Evidence) -> Iterator[Seen]:
    for _exchange, service in seen.instances("Msvm_ReplicationService"):
        yield ", ".join(str(service.get(name)) for name in ("CreationClassName", "Name", "SystemCreationClassName"))


def _service_system(seen: Evidence) -> Iterator[Seen]:
    hosts = {str(one.get("Name")).lower() for one in _systems(seen) if not guid(str(one.get("Name")))}
    for _exchange, service in seen.instances("Msvm_ReplicationService"):
        if hosts:
            yield str(service.get("SystemName")).lower() in hosts


# --- points ------------------------------------------------------------------------------------------


def _point_types(seen: Evidence) -> Iterator[Seen]:
    for _exchange, point in seen.instances("Msvm_VirtualSystemSettingData", Moment.READING, Moment.FAILED_OVER):
        yield str(point.get("VirtualSystemType")).rpartition("Snapshot:")[2]


# --- jobs --------------------------------------------------------------------------------------------


def _jobs(seen: Evidence, *moments: str) -> Iterator[Instance]:
    for _exchange, instance in seen.instances(JOB, *moments):
        yield instance


def _job_ids(seen: Evidence) -> Iterator[Seen]:
    for job in _jobs(seen, Moment.READING, *VERBS):
        yield "GUID" if guid(str(job.get("InstanceID"))) else "something else"


def _job_states(seen: Evidence) -> Iterator[Seen]:
    for job in _jobs(seen, Moment.READING, *VERBS):
        yield _number(job, "JobState") or 0


def _job_removal(seen: Evidence) -> Iterator[Seen]:
    for job in _jobs(seen, Moment.READING, *VERBS):
        value = job.get("TimeBeforeRemoval")
        yield f"{value.total_seconds():g} s" if isinstance(value, timedelta) else str(value)


def _missing_jobs(seen: Evidence) -> Iterator[Seen]:
    for exchange in seen.at(about=JOB):
        if isinstance(exchange.step, Get) and exchange.step.reference == NO_SUCH_JOB.reference:
            error = exchange.error
            yield "not found" if exchange.answer is None else error.kind.value if error else "an instance"


def _missing_classes(seen: Evidence) -> Iterator[Seen]:
    for exchange in seen.at(transport="wsman"):
        if exchange.step == NO_SUCH_CLASS:
            yield exchange.error.kind.value if exchange.error else "an empty list"


def _primary_revert_jobs(seen: Evidence) -> Iterator[Seen]:
    primaries = {guid(str(vm.get("Name"))) for vm in _vms(seen) if vm.get("ReplicationMode") == ReplicationMode.PRIMARY}
    types = {str(job.get("InstanceID")): _number(job, "JobType") for job in _jobs(seen)}
    for _exchange, affected in seen.instances("Msvm_AffectedJobElement"):
        job_type = types.get(_key(affected, "AffectingElement", "InstanceID"))
        if job_type in (JobType.REVERT_FAILOVER, JobType.CANCEL_SYNCED_REPLICATION):
            if guid(_key(affected, "AffectedElement", "Name")) in primaries:
                yield job_type


def _key(instance: Instance, name: str, key: str) -> str:
    value = instance.get(name)
    return (value.key(key) or "") if isinstance(value, Reference) else ""


# --- the verbs ---------------------------------------------------------------------------------------


def _codes(seen: Evidence, moment: str) -> Iterator[int]:
    for exchange in seen.at(moment):
        if exchange.result is not None:
            yield exchange.result.return_value


def _revert_of_nothing(seen: Evidence) -> Iterator[Seen]:
    # A job that then does nothing is the same silent success as 0.
    return (0 if code == 4096 else code for code in _codes(seen, Moment.NOTHING_TO_REVERT))


def _started(seen: Evidence, moment: str) -> Iterator[Exchange]:
    """The calls that were carried out."""
    return (one for one in seen.at(moment) if one.result is not None and one.result.return_value in (0, 4096))


def _verb_codes(seen: Evidence) -> Iterator[Seen]:
    yield from _codes(seen, Moment.FAILING_OVER)
    yield from _codes(seen, Moment.REVERTING)


def _job_references(seen: Evidence) -> Iterator[Seen]:
    for moment in (Moment.FAILING_OVER, Moment.REVERTING):
        for exchange in _started(seen, moment):
            if exchange.result is not None and exchange.result.job is not None:
                yield exchange.result.job.class_name


def _verb_jobs(seen: Evidence, moment: str) -> Iterator[Instance]:
    """Every reading of the job that the verb of this moment started."""
    ids = {
        exchange.result.job.key("InstanceID")
        for exchange in _started(seen, moment)
        if exchange.result is not None and exchange.result.job is not None
    }
    return (job for job in _jobs(seen, moment) if job.get("InstanceID") in ids)


def _types_of(moment: str) -> Callable[[Evidence], Iterator[Seen]]:
    return lambda seen: (_number(job, "JobType") or 0 for job in _verb_jobs(seen, moment))


def _cancellable(seen: Evidence) -> Iterator[Seen]:
    for moment in (Moment.FAILING_OVER, Moment.REVERTING):
        for job in _verb_jobs(seen, moment):
            if job.get("JobState") in JOB_RUNNING:
                yield job.get("Cancellable") is True


def _associations_of_ended(seen: Evidence) -> Iterator[Seen]:
    for moment in (Moment.FAILING_OVER, Moment.REVERTING):
        job: Instance | None = None
        for exchange in seen.at(moment):
            if exchange.about == JOB and isinstance(exchange.step, Get):
                # Only while the host still shows the job: what it has forgotten is associated with nothing.
                job = next((one for one in exchange.instances if one.get("JobState") in JOB_ENDED), None)
            elif exchange.about == "Msvm_AffectedJobElement" and exchange.error is None and job is not None:
                associated = {_key(one, "AffectingElement", "InstanceID") for one in exchange.instances}
                yield "kept" if job.get("InstanceID") in associated else "dropped"


def _while(moment: str, before: int, target: int) -> Callable[[Evidence], Iterator[Seen]]:
    """The states that the VM showed while the job of the verb ran: 12, or what is before or behind it."""

    def states(seen: Evidence) -> Iterator[Seen]:
        shown: int | None = None
        for exchange in seen.at(moment):
            if exchange.about == SYSTEM and isinstance(exchange.step, Get):
                shown = next((_number(vm, "ReplicationState") for vm in exchange.instances), None)
            elif exchange.about == JOB and isinstance(exchange.step, Query) and shown is not None:
                if any(job.get("JobState") in JOB_RUNNING for job in exchange.instances):
                    yield {before: "before", target: "target"}.get(shown, shown)

    return states


def _after(moment: str, name: str) -> Callable[[Evidence], Iterator[Seen]]:
    """A number of the VM as it was read after a verb that was carried out."""

    def read(seen: Evidence) -> Iterator[Seen]:
        verb = Moment.FAILING_OVER if moment == Moment.FAILED_OVER else Moment.REVERTING
        if any(True for _call in _started(seen, verb)):
            for vm in _vms(seen, moment):
                value = _number(vm, name)
                yield "NULL" if value is None else value

    return read


def _failover_types_after(seen: Evidence) -> Iterator[Seen]:
    for value in _after(Moment.REVERTED, "FailedOverReplicationType")(seen):
        yield "none" if value == FailoverType.NONE else "kept"


def _configuration_touched(seen: Evidence) -> Iterator[Seen]:
    before = [vm.get("TimeOfLastConfigurationChange") for vm in _vms(seen, Moment.FAILING_OVER)]
    if before and any(True for _call in _started(seen, Moment.FAILING_OVER)):
        for vm in _vms(seen, Moment.FAILED_OVER):
            yield vm.get("TimeOfLastConfigurationChange") != before[0]


def _applied(seen: Evidence) -> Iterator[Seen]:
    if not any(True for _call in _started(seen, Moment.FAILING_OVER)):
        return
    vms = {guid(str(vm.get("Name"))) for vm in _vms(seen, Moment.FAILED_OVER)}
    for exchange in seen.at(Moment.FAILED_OVER, about="Msvm_LastAppliedSnapshot"):
        if exchange.error is None:
            ends = [end for one in exchange.instances for end in one.properties.values() if isinstance(end, Reference)]
            yield bool(vms & {guid(end.key("Name") or "") for end in ends})


# --- the wire ----------------------------------------------------------------------------------------

_INSTANCE_URI = re.compile(r"\{http://schemas\.microsoft\.com/wbem/wsman/1/wmi/root/virtualization/v2/(\w+)\}(\w+)")


def _elements(seen: Evidence) -> Iterator[tuple[str, Element]]:
    """The class and the element of every instance in an answer."""
    for exchange in seen.at(Moment.READING, *VERBS, transport="wsman"):
        for element in exchange.xml.iter() if exchange.xml is not None else ():
            found = _INSTANCE_URI.fullmatch(element.tag)
            if found and found[1] == found[2]:
                yield found[1], element


def _properties(seen: Evidence) -> Iterator[tuple[schema.CimType, Element]]:
    for class_name, element in _elements(seen):
        known = schema.CLASSES.get(class_name)
        for child in element:
            declared = known.properties.get(local(child)) if known else None
            if declared is not None:
                yield declared, child


def _first_pages(seen: Evidence) -> Iterator[Seen]:
    for exchange in seen.at(transport="wsman"):
        if exchange.xml is not None and len(exchange.xml) and local(exchange.xml[0]) == "EnumerateResponse":
            names = {local(child) for child in exchange.xml[0]}
            yield "items" if "Items" in names else "a context only"


def _reference_forms(seen: Evidence) -> Iterator[Seen]:
    for element in _reference_elements(seen):
        names = {local(child) for child in element}
        yield "plain" if "ReferenceParameters" in names else "wrapped" if "EndpointReference" in names else "no EPR"


def _reference_elements(seen: Evidence) -> Iterator[Element]:
    for declared, element in _properties(seen):
        if declared.name == "ref" and len(element):
            yield element
    for exchange in seen.at(*VERBS, transport="wsman"):
        if exchange.result is not None and exchange.xml is not None:
            yield from (child for output in exchange.xml for child in output if local(child) == "Job" and len(child))


def _namespace_selectors(seen: Evidence) -> Iterator[Seen]:
    for element in _reference_elements(seen):
        names = [one.get("Name", "").lower() for one in element.iter() if local(one) == "Selector"]
        yield "__cimnamespace" in names


_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")


def _time_forms(seen: Evidence) -> Iterator[Seen]:
    for declared, element in _properties(seen):
        text = "".join(element.itertext()).strip()
        if declared.name == "datetime" and text:
            wrapper = local(element[0]) if len(element) else "text"
            found = _ISO.fullmatch(text)
            yield f"{wrapper}, " + ((found[2] or "no zone") if found else "duration" if text[0] == "P" else "other")


def _null_forms(seen: Evidence) -> Iterator[Seen]:
    for declared, element in _properties(seen):
        if element.get(f"{{{wsman.XSI}}}nil", "") in ("true", "1"):
            yield "xsi:nil"
        elif declared.name != "string" and not len(element) and not (element.text or "").strip():
            yield "an empty element"


def _property_order(seen: Evidence) -> Iterator[Seen]:
    for _class_name, element in _elements(seen):
        names = [local(child) for child in element]
        if len(names) > 1:
            yield "alphabetical" if names in (sorted(names), sorted(names, key=str.lower)) else "another"


def _property_namespaces(seen: Evidence) -> Iterator[Seen]:
    for _class_name, element in _elements(seen):
        own = element.tag.rpartition("}")[0]
        yield all(child.tag.rpartition("}")[0] == own for child in element)


def _null_out_parameters(seen: Evidence) -> Iterator[Seen]:
    for exchange in seen.at(*VERBS, Moment.UNKNOWN_VM, transport="wsman"):
        if exchange.result is None or exchange.result.job is not None or exchange.xml is None or not len(exchange.xml):
            continue
        jobs = [child for child in exchange.xml[0] if local(child) == "Job"]
        yield "absent" if not jobs else "nil" if jobs[0].get(f"{{{wsman.XSI}}}nil") else "an empty element"


def _fault_machines(seen: Evidence) -> Iterator[Seen]:
    for exchange in seen.at(Moment.READING, *VERBS, Moment.UNKNOWN_VM, transport="wsman"):
        for element in exchange.xml.iter() if exchange.xml is not None else ():
            if local(element) == "WSManFault":
                yield bool(element.get("Machine"))


# --- both transports, both hosts ---------------------------------------------------------------------

_MOVES = frozenset(
    "ElapsedTime JobState LastApplyTime LastReplicationTime OnTimeInMilliseconds PercentComplete ProcessID "
    "TimeOfLastStateChange UntilTime JobRunTimes".split()
)
"""Properties that change from one reading to the next while nobody does anything."""

Key = tuple[str, ...]


def _identity(instance: Instance) -> Key:
    """The class and the values of the keys; of a key that is a reference, its own keys."""
    texts = [instance.class_name]
    for name in schema.keys(instance.class_name):
        value = instance.get(name)
        own = ",".join(text for _key_name, text in value.keys) if isinstance(value, Reference) else value
        texts.append("" if own is None else str(own))
    return tuple(texts)


def _by_key(seen: Evidence, host: str, transport: str) -> dict[Key, Instance]:
    """Everything that was asked for as a whole."""
    return {
        _identity(instance): instance
        for exchange in seen.at(transport=transport)
        if exchange.host == host and isinstance(exchange.step, Query)
        for instance in exchange.instances
    }


def _over_both(seen: Evidence) -> Iterator[tuple[dict[Key, Instance], dict[Key, Instance]]]:
    for host in seen.hosts:
        over_wsman, over_powershell = (_by_key(seen, host, transport) for transport in ("wsman", "powershell"))
        if over_wsman and over_powershell:
            yield over_wsman, over_powershell


def _same_instances(seen: Evidence) -> Iterator[Seen]:
    """The classes of which the transports show different instances; "all" where there is none. Jobs come and go."""
    for over_wsman, over_powershell in _over_both(seen):
        differing = {key[0] for key in over_wsman.keys() ^ over_powershell.keys()} - {JOB, "Msvm_AffectedJobElement"}
        yield from sorted(differing) or ["all"]


def _same_values(seen: Evidence) -> Iterator[Seen]:
    """The names of properties that are not the same over both transports; "all" where none differs."""
    for over_wsman, over_powershell in _over_both(seen):
        differing = {
            f"{one.class_name}.{name}"
            for key in over_wsman.keys() & over_powershell.keys()
            for one, other in [(over_wsman[key], over_powershell[key])]
            for name in (one.properties.keys() & other.properties.keys()) - _MOVES
            # Texts come in the language of the session, which is not the same for both.
            if schema.property_type(one.class_name, name) not in (None, "string", "ref")
            and (one.get(name) or None) != (other.get(name) or None)
        }
        yield from sorted(differing) or ["all"]


def _empty_arrays(seen: Evidence) -> Iterator[Seen]:
    """How WS-Management writes an array of which PowerShell says that it has no elements."""
    written: dict[tuple[str, str], set[str]] = {}
    nil: dict[tuple[str, str], set[str]] = {}
    for exchange in seen.at(transport="wsman"):
        for class_name, element in _elements(Evidence([exchange])):
            key = exchange.host, f"{class_name}.{_text(element, schema.keys(class_name))}"
            written[key] = {local(child) for child in element}
            nil[key] = {local(child) for child in element if child.get(f"{{{wsman.XSI}}}nil")}
    for exchange in seen.at(transport="powershell"):
        for instance in exchange.instances:
            ids = [str(instance.get(name)) for name in schema.keys(instance.class_name)]
            key = exchange.host, f"{instance.class_name}.{ids}"
            for name, value in instance.properties.items():
                if value == () and key in written:
                    yield "absent" if name not in written[key] else "nil" if name in nil[key] else "an empty element"


def _text(element: Element, names: Iterable[str]) -> list[str]:
    texts = {local(child): child.text or "" for child in element}
    return [texts.get(name, "") for name in names]


def _same_ids(seen: Evidence) -> Iterator[Seen]:
    """Whether the two sides of a pair have a VM in common, once both have replicated ones."""
    ids = {host: set[str]() for host in seen.hosts}
    for exchange, vm in seen.instances(SYSTEM):
        if vm.get("ReplicationMode") in (ReplicationMode.PRIMARY, ReplicationMode.REPLICA):
            ids[exchange.host].add(guid(str(vm.get("Name"))))
    sides = [found for found in ids.values() if found]
    if len(sides) > 1:
        yield any(one & other for one in sides for other in sides if one is not other)


def _primaries_of_failed_over(seen: Evidence) -> Iterator[Seen]:
    """The state of a primary whose replica, on the other host, was failed over without warning."""
    failed_over = {
        guid(str(vm.get("Name")))
        for _exchange, vm in seen.instances(SYSTEM)
        if vm.get("ReplicationMode") == ReplicationMode.REPLICA
        and vm.get("ReplicationState") == ReplicationState.FAILED_OVER
        and vm.get("FailedOverReplicationType") in (FailoverType.REGULAR, FailoverType.APPLICATION_CONSISTENT)
    }
    for _exchange, vm in seen.instances(SYSTEM):
        if vm.get("ReplicationMode") == ReplicationMode.PRIMARY and guid(str(vm.get("Name"))) in failed_over:
            yield _number(vm, "ReplicationState") or 0


# --- the rows ----------------------------------------------------------------------------------------

_S = ReplicationState

ROWS: tuple[Expectation, ...] = (
    # --- VMs and hosts
    Expectation("vm-name", "The Name of a VM is its GUID.", "R3", ("upper-case GUID",), _vm_names),
    Expectation("host-instance", "The host is one Msvm_ComputerSystem whose Name is no GUID.", "R3", (1,), _host_instances),
    Expectation(
        "mode-and-state", "Modes and states come in the documented pairs.", "R4",
        frozenset(f"{int(mode)}/{state}" for mode, states in _PAIRS.items() for state in states), _modes_and_states,
    ),
    Expectation("replication-on-the-vm", "A VM shows its mode and state itself.", "R3.2", (True,), _replication_on_the_vm),
    Expectation("states-agree", "A VM and its relationship 0 show one state.", "R3.2", (True,), _states_agree),
    Expectation("unset-time", "A time that was never set is in the year 1601.", "W2.2", ("1601",), _unset_times),
    Expectation("same-ids", "A VM has one GUID on both hosts.", "R3", (True,), _same_ids, pair=True),
    Expectation(
        "test-copy-state", "The copy of a test failover is in state 0.", "R9", (0,), _test_copy_states,
        "TEST_COPY_STATE",
    ),
    Expectation(
        "primary-after-failover", "After a failover without warning the primary is critical, later in need of a resync.",
        "R7", (_S.CRITICAL, _S.WAITING_TO_START_RESYNCHRONIZATION), _primaries_of_failed_over,
        "PRIMARY_AFTER_UNPLANNED_FAILOVER", pair=True,
    ),
    Expectation(
        "filtered-services", "Who sees no VM and no host sees no service.", "R3", (True,), _filtered,
        "UAC_FILTER_HIDES_SERVICES",
    ),
    # --- relationships, services, points
    Expectation(
        "relationship-id", "The id of a relationship names its VM and its number.", "R5", (r"Microsoft:<vm>\HVR\<0|1>",),
        _link_ids,
    ),
    Expectation("relationship-vm", "A relationship belongs to a VM of the host.", "R5", (True,), _links_of_vms),
    Expectation(
        "relationship-without-replication", "A VM that is not replicated has a relationship too.", "R5, R13.13",
        ("present",), _links_without_replication, "RELATIONSHIP_WITHOUT_REPLICATION",
    ),
    Expectation("one-service", "There is one replication service.", "R1", (1,), _services),
    Expectation(
        "service-keys", "The replication service has these keys.", "R1",
        ("Msvm_ReplicationService, replicasvc, Msvm_ComputerSystem",), _service_keys,
    ),
    Expectation("service-system", "The SystemName of the service is the Name of the host.", "R1", (True,), _service_system),
    Expectation(
        "point-types", "Recovery points are of the documented types.", "R5",
        ("Replica:Standard", "Replica:ApplicationConsistent", "Replica:PlannedFailover"), _point_types,
    ),
    # --- jobs
    Expectation("job-id", "The InstanceID of a job is a GUID.", "R6", ("GUID",), _job_ids),
    Expectation("job-state", "A job is in a documented state.", "R6", frozenset({*JOB_RUNNING, *JOB_ENDED}), _job_states),
    Expectation("job-removal", "A job stays for five minutes.", "R6", ("300 s",), _job_removal),
    Expectation("job-that-is-gone", "Get of a job that is gone says so.", "W2.3", ("not found",), _missing_jobs),
    Expectation(
        "class-that-is-not-there", "A query for a class that is not there is an error.", "W3", (Kind.NOT_FOUND.value,),
        _missing_classes,
    ),
    Expectation(
        "primary-revert-job", "Calling off a planned failover is a job of type 98.", "R13.4", (98,),
        _primary_revert_jobs, "PRIMARY_REVERT_JOB_TYPE",
    ),
    # --- the verbs
    Expectation(
        "revert-nothing", "A revert with nothing to revert is refused.", "R13.2", (32775,), _revert_of_nothing,
        "REVERT_NOTHING",
    ),
    Expectation(
        "unknown-vm", "A call for a VM that is not there is refused.", "R9", (32773,),
        lambda seen: _codes(seen, Moment.UNKNOWN_VM), "UNKNOWN_VM",
    ),
    Expectation("verbs-answer", "A verb is done or a job.", "R1.1", (0, 4096), _verb_codes),
    Expectation("verbs-job", "The job of a verb is an Msvm_ConcreteJob.", "W2.4", (JOB,), _job_references),
    Expectation("failover-job", "A failover is a job of type 97.", "R6", (97,), _types_of(Moment.FAILING_OVER)),
    Expectation("revert-job", "A revert is a job of type 98.", "R6", (98,), _types_of(Moment.REVERTING)),
    Expectation(
        "job-cancellable", "A failover or a revert cannot be cancelled.", "R6, R13.15", (False,), _cancellable,
        "JOBS_CANCELLABLE",
    ),
    Expectation(
        "ended-job", "Which VM a job was about can be read after its end.", "R5.1", ("kept",), _associations_of_ended,
        "ENDED_JOB_ASSOCIATION",
    ),
    Expectation(
        "state-while-failing-over", "During a failover the VM shows state 12.", "R7", (12,),
        _while(Moment.FAILING_OVER, _S.REPLICATING, _S.FAILED_OVER), "STATE_WHILE_FAILING_OVER",
    ),
    Expectation("state-failed-over", "After a failover the VM is in state 5.", "R7", (5,), _after(Moment.FAILED_OVER, "ReplicationState")),
    Expectation("power-failed-over", "A failover does not start the VM.", "R7", (int(Power.OFF),), _after(Moment.FAILED_OVER, "EnabledState")),
    Expectation(
        "failover-type", "A failed-over VM says to what kind of point.", "R7", (1, 2, 3),
        _after(Moment.FAILED_OVER, "FailedOverReplicationType"),
    ),
    Expectation(
        "failover-configuration", "A failover changes the configuration of the VM.", "R3", (True,),
        _configuration_touched, "FAILOVER_TOUCHES_CONFIGURATION_TIME",
    ),
    Expectation(
        "last-applied", "A failed-over VM has its point as the last applied snapshot.", "R5.1", (True,), _applied,
        "LAST_APPLIED_SNAPSHOT_AFTER_FAILOVER",
    ),
    Expectation(
        "state-while-reverting", "During a revert the VM shows state 12.", "R3, R9", (12,),
        _while(Moment.REVERTING, _S.FAILED_OVER, _S.REPLICATING), "STATE_WHILE_REVERTING",
    ),
    Expectation(
        "state-reverted", "After a revert the VM is in state 3.", "R7, R13.3", (3,),
        _after(Moment.REVERTED, "ReplicationState"), "STATE_AFTER_REVERT_REPLICA",
    ),
    Expectation("power-reverted", "A revert leaves the VM off.", "R7", (int(Power.OFF),), _after(Moment.REVERTED, "EnabledState")),
    Expectation(
        "type-reverted", "After a revert the VM is failed over to nothing.", "R7, R13.3", ("none",),
        _failover_types_after, "FAILED_OVER_TYPE_AFTER_REVERT",
    ),
    # --- the wire
    Expectation("first-page", "The answer to Enumerate holds the first items.", "W2.1", ("items",), _first_pages),
    Expectation("reference", "A reference is an address and its parameters, without a wrapper.", "W2.4", ("plain",), _reference_forms),
    Expectation("reference-namespace", "A reference has no selector for the namespace.", "W2.4", (False,), _namespace_selectors),
    Expectation(
        "time", "Dates are in cim:Datetime, in UTC; intervals in cim:Interval.", "W2.2",
        ("Datetime, Z", "Interval, duration"), _time_forms,
    ),
    Expectation("null", "A property without a value is xsi:nil.", "W2.2", ("xsi:nil",), _null_forms),
    Expectation("property-order", "Properties come in alphabetical order.", "W2.2", ("alphabetical",), _property_order),
    Expectation("property-namespace", "Properties are in the namespace of the class.", "W2.2", (True,), _property_namespaces),
    Expectation(
        "null-out", "A method that started no job answers Job as xsi:nil.", "W2.4", ("nil",), _null_out_parameters,
        "null_out_parameters",
    ),
    Expectation(
        "empty-array", "An array without elements is left out.", "W2.2", ("absent",), _empty_arrays, "empty_arrays",
        pair=True,
    ),
    Expectation(
        "fault-machine", "A fault of WinRM names the host.", "W3", (True,), _fault_machines, "identify_host_in_faults",
    ),
    # --- both transports
    Expectation(
        "same-instances", "Both transports show the same instances.", "W2", ("all",), _same_instances, pair=True,
    ),
    Expectation(
        "same-values", "Both transports show the same values.", "W2", ("all",), _same_values, pair=True,
    ),
)  # fmt: skip
