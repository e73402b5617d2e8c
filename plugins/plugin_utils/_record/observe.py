# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What a recording shows: one function for each thing that a row of the expectations is about.

Each gets evidence, of one host over one transport or of all, and yields what it finds; nothing where there is nothing
to be seen. What is expected is not known here.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import schema, wsman
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.hardened_xml import local
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
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


def vm_names(seen: Evidence) -> Iterator[Seen]:
    for vm in _vms(seen):
        name = str(vm.get("Name"))
        braces = " in braces" if name.startswith("{") else ""
        case = "upper-case" if name == name.upper() else "lower-case" if name == name.lower() else "mixed-case"
        yield f"{case} GUID{braces}"


def host_instances(seen: Evidence) -> Iterator[Seen]:
    systems = [one for exchange in seen.at(about=SYSTEM) if exchange.whole for one in exchange.instances]
    if systems:
        yield sum(not guid(str(one.get("Name"))) for one in systems)


def modes_and_states(seen: Evidence) -> Iterator[Seen]:
    for vm in _vms(seen, Moment.READING, *VERBS):
        yield f"{_number(vm, 'ReplicationMode')}/{_number(vm, 'ReplicationState')}"


def replication_on_the_vm(seen: Evidence) -> Iterator[Seen]:
    for vm in _vms(seen):
        yield _number(vm, "ReplicationMode") is not None and _number(vm, "ReplicationState") is not None


def states_agree(seen: Evidence) -> Iterator[Seen]:
    links = {_guid_of_link(one): _number(one, "ReplicationState") for one in _links(seen) if _index(one) == 0}
    for vm in _vms(seen):
        vm_id = guid(str(vm.get("Name")))
        if vm.get("ReplicationMode") in (1, 2, 4) and vm_id in links:
            yield links[vm_id] == _number(vm, "ReplicationState")


def unset_times(seen: Evidence) -> Iterator[Seen]:
    for vm in _vms(seen):
        value = vm.get("LastReplicationTime") if vm.get("ReplicationMode") == ReplicationMode.NONE else ...
        if value is not ...:
            yield str(value.year) if isinstance(value, datetime) else "NULL"


def test_copy_states(seen: Evidence) -> Iterator[Seen]:
    for vm in _vms(seen):
        state = _number(vm, "ReplicationState")
        if vm.get("ReplicationMode") == ReplicationMode.TEST_REPLICA and state is not None:
            yield state


def filtered(seen: Evidence) -> Iterator[Seen]:
    systems = [exchange for exchange in seen.at(about=SYSTEM) if exchange.whole]
    if systems and not any(exchange.instances or exchange.error for exchange in systems):
        for exchange in seen.at(about="Msvm_ReplicationService"):
            yield not exchange.instances


# --- relationships -----------------------------------------------------------------------------------

_LINK = re.compile(r"Microsoft:([0-9A-Fa-f-]{36})\\HVR(?:\\([01]))?")


def _links(seen: Evidence, *moments: str) -> Iterator[Instance]:
    for _exchange, instance in seen.instances(RELATIONSHIP, *moments):
        yield instance


def _guid_of_link(instance: Instance) -> str:
    """The id of the VM in the InstanceID of a relationship or its settings."""
    found = _LINK.fullmatch(str(instance.get("InstanceID")))
    return found[1].upper() if found else ""


def _index(instance: Instance) -> int | None:
    found = _LINK.fullmatch(str(instance.get("InstanceID")))
    return int(found[2] or 0) if found else None


def link_ids(seen: Evidence) -> Iterator[Seen]:
    for class_name in (RELATIONSHIP, "Msvm_ReplicationSettingData"):
        for _exchange, instance in seen.instances(class_name):
            text = str(instance.get("InstanceID"))
            found = _LINK.fullmatch(text)
            if found is None and class_name != RELATIONSHIP:
                continue  # a template of the host, of no VM
            yield r"Microsoft:<vm>\HVR" + (r"\<0|1>" if found[2] else "") if found else f"another form: {text}"


def links_of_vms(seen: Evidence) -> Iterator[Seen]:
    ids = {guid(str(vm.get("Name"))) for vm in _vms(seen)}
    for link in _links(seen):
        yield _guid_of_link(link) in ids


def links_without_replication(seen: Evidence) -> Iterator[Seen]:
    if not _read_whole(seen, RELATIONSHIP):
        return
    linked = {_guid_of_link(link) for link in _links(seen)}
    for vm in _vms(seen):
        if vm.get("ReplicationMode") == ReplicationMode.NONE:
            yield "present" if guid(str(vm.get("Name"))) in linked else "absent"


# --- the service -------------------------------------------------------------------------------------


def services(seen: Evidence) -> Iterator[Seen]:
    for exchange in seen.at(about="Msvm_ReplicationService"):
        if exchange.instances:
            yield len(exchange.instances)


def service_keys(seen: Evidence) -> Iterator[Seen]:
    for _exchange, service in seen.instances("Msvm_ReplicationService"):
        yield ", ".join(str(service.get(name)) for name in ("CreationClassName", "Name", "SystemCreationClassName"))


def service_system(seen: Evidence) -> Iterator[Seen]:
    hosts = {str(one.get("Name")).lower() for one in _systems(seen) if not guid(str(one.get("Name")))}
    for _exchange, service in seen.instances("Msvm_ReplicationService"):
        if hosts:
            yield str(service.get("SystemName")).lower() in hosts


# --- points ------------------------------------------------------------------------------------------


def point_types(seen: Evidence) -> Iterator[Seen]:
    for _exchange, point in seen.instances("Msvm_VirtualSystemSettingData", Moment.READING, Moment.FAILED_OVER):
        yield str(point.get("VirtualSystemType")).rpartition("Snapshot:")[2]


# --- jobs --------------------------------------------------------------------------------------------


def _jobs(seen: Evidence, *moments: str) -> Iterator[Instance]:
    for _exchange, instance in seen.instances(JOB, *moments):
        yield instance


def job_ids(seen: Evidence) -> Iterator[Seen]:
    for job in _jobs(seen, Moment.READING, *VERBS):
        yield "GUID" if guid(str(job.get("InstanceID"))) else "something else"


def job_states(seen: Evidence) -> Iterator[Seen]:
    for job in _jobs(seen, Moment.READING, *VERBS):
        yield _number(job, "JobState") or 0


def job_removal(seen: Evidence) -> Iterator[Seen]:
    for job in _jobs(seen, Moment.READING, *VERBS):
        value = job.get("TimeBeforeRemoval")
        yield f"{value.total_seconds():g} s" if isinstance(value, timedelta) else str(value)


def missing_jobs(seen: Evidence) -> Iterator[Seen]:
    for exchange in seen.at(about=JOB):
        if isinstance(exchange.step, Get) and exchange.step.reference == NO_SUCH_JOB.reference:
            error = exchange.error
            if exchange.answer is None:
                yield "not found"
            elif error is None or error.kind not in _NO_ANSWER:
                yield error.kind.value if error else "an instance"


def missing_classes(seen: Evidence) -> Iterator[Seen]:
    for exchange in seen.at(transport="wsman"):
        error = exchange.error
        if exchange.step == NO_SUCH_CLASS and (error is None or error.kind not in _NO_ANSWER):
            yield error.kind.value if error else "an empty list"


_NO_ANSWER = frozenset(
    {Kind.CONNECTION, Kind.AUTHENTICATION, Kind.CERTIFICATE, Kind.UNSUPPORTED, Kind.PROTOCOL, Kind.ACCESS_DENIED}
)
"""Errors that say nothing about what was asked."""


def primary_revert_jobs(seen: Evidence) -> Iterator[Seen]:
    primaries = {guid(str(vm.get("Name"))) for vm in _vms(seen) if vm.get("ReplicationMode") == ReplicationMode.PRIMARY}
    types = {str(job.get("InstanceID")): _number(job, "JobType") for job in _jobs(seen)}
    for _exchange, affected in seen.instances("Msvm_AffectedJobElement"):
        job_type = types.get(_key(affected, "AffectingElement", "InstanceID"))
        of_primary = guid(_key(affected, "AffectedElement", "Name")) in primaries
        if of_primary and job_type in (JobType.REVERT_FAILOVER, JobType.CANCEL_SYNCED_REPLICATION):
            yield job_type


def _key(instance: Instance, name: str, key: str) -> str:
    value = instance.get(name)
    return (value.key(key) or "") if isinstance(value, Reference) else ""


# --- the verbs ---------------------------------------------------------------------------------------


def codes(seen: Evidence, moment: str) -> Iterator[int]:
    for exchange in seen.at(moment):
        if exchange.result is not None:
            yield exchange.result.return_value


def revert_of_nothing(seen: Evidence) -> Iterator[Seen]:
    # A job that then does nothing is the same silent success as 0.
    return (0 if code == 4096 else code for code in codes(seen, Moment.NOTHING_TO_REVERT))


def _started(seen: Evidence, moment: str) -> Iterator[Exchange]:
    """The calls that were carried out."""
    return (one for one in seen.at(moment) if one.result is not None and one.result.return_value in (0, 4096))


def verb_codes(seen: Evidence) -> Iterator[Seen]:
    yield from codes(seen, Moment.FAILING_OVER)
    yield from codes(seen, Moment.REVERTING)


def job_references(seen: Evidence) -> Iterator[Seen]:
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


def types_of(moment: str) -> Callable[[Evidence], Iterator[Seen]]:
    return lambda seen: (_number(job, "JobType") or 0 for job in _verb_jobs(seen, moment))


def cancellable(seen: Evidence) -> Iterator[Seen]:
    for moment in (Moment.FAILING_OVER, Moment.REVERTING):
        for job in _verb_jobs(seen, moment):
            if job.get("JobState") in JOB_RUNNING:
                yield job.get("Cancellable") is True


def associations_of_ended(seen: Evidence) -> Iterator[Seen]:
    for moment in (Moment.FAILING_OVER, Moment.REVERTING):
        job: Instance | None = None
        for exchange in seen.at(moment):
            if exchange.about == JOB and isinstance(exchange.step, Get):
                # Only while the host still shows the job: what it has forgotten is associated with nothing.
                job = next((one for one in exchange.instances if one.get("JobState") in JOB_ENDED), None)
            elif exchange.about == "Msvm_AffectedJobElement" and exchange.error is None and job is not None:
                associated = {_key(one, "AffectingElement", "InstanceID") for one in exchange.instances}
                yield "kept" if job.get("InstanceID") in associated else "dropped"


def states_while(moment: str, before: int, target: int) -> Callable[[Evidence], Iterator[Seen]]:
    """The states that the VM showed while the job of the verb ran: 12, or what is before or behind it."""

    names: dict[int, Seen] = {before: "before", target: "target"}

    def states(seen: Evidence) -> Iterator[Seen]:
        shown: int | None = None
        for exchange in seen.at(moment):
            if exchange.about == SYSTEM and isinstance(exchange.step, Get):
                shown = next((_number(vm, "ReplicationState") for vm in exchange.instances), None)
            elif exchange.about == JOB and isinstance(exchange.step, Query):
                runs = any(job.get("JobState") in JOB_RUNNING for job in exchange.instances)
                if runs and shown is not None:
                    yield names.get(shown, shown)

    return states


def number_after(moment: str, name: str) -> Callable[[Evidence], Iterator[Seen]]:
    """A number of the VM as it was read after a verb that was carried out."""

    def read(seen: Evidence) -> Iterator[Seen]:
        verb = Moment.FAILING_OVER if moment == Moment.FAILED_OVER else Moment.REVERTING
        if any(True for _call in _started(seen, verb)):
            for vm in _vms(seen, moment):
                value = _number(vm, name)
                yield "NULL" if value is None else value

    return read


def failover_types_after(seen: Evidence) -> Iterator[Seen]:
    for value in number_after(Moment.REVERTED, "FailedOverReplicationType")(seen):
        yield "none" if value == FailoverType.NONE else "kept"


def configuration_touched(seen: Evidence) -> Iterator[Seen]:
    before = [vm.get("TimeOfLastConfigurationChange") for vm in _vms(seen, Moment.FAILING_OVER)]
    if before and any(True for _call in _started(seen, Moment.FAILING_OVER)):
        for vm in _vms(seen, Moment.FAILED_OVER):
            yield vm.get("TimeOfLastConfigurationChange") != before[0]


def applied(seen: Evidence) -> Iterator[Seen]:
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


def first_pages(seen: Evidence) -> Iterator[Seen]:
    for exchange in seen.at(transport="wsman"):
        if exchange.xml is not None and len(exchange.xml) and local(exchange.xml[0]) == "EnumerateResponse":
            names = {local(child) for child in exchange.xml[0]}
            yield "items" if "Items" in names else "a context only"


def reference_forms(seen: Evidence) -> Iterator[Seen]:
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


def namespace_selectors(seen: Evidence) -> Iterator[Seen]:
    for element in _reference_elements(seen):
        names = [one.get("Name", "").lower() for one in element.iter() if local(one) == "Selector"]
        yield "__cimnamespace" in names


_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")


def time_forms(seen: Evidence) -> Iterator[Seen]:
    for declared, element in _properties(seen):
        text = "".join(element.itertext()).strip()
        if declared.name == "datetime" and text:
            wrapper = local(element[0]) if len(element) else "text"
            found = _ISO.fullmatch(text)
            yield f"{wrapper}, " + ((found[2] or "no zone") if found else "duration" if text[0] == "P" else "other")


def null_forms(seen: Evidence) -> Iterator[Seen]:
    for declared, element in _properties(seen):
        if element.get(f"{{{wsman.XSI}}}nil", "") in ("true", "1"):
            yield "xsi:nil"
        elif declared.name != "string" and not len(element) and not (element.text or "").strip():
            yield "an empty element"


def property_order(seen: Evidence) -> Iterator[Seen]:
    for _class_name, element in _elements(seen):
        names = [local(child) for child in element]
        if len(names) > 1:
            yield "alphabetical" if names in (sorted(names), sorted(names, key=str.lower)) else "another"


def property_namespaces(seen: Evidence) -> Iterator[Seen]:
    for _class_name, element in _elements(seen):
        own = element.tag.rpartition("}")[0]
        yield all(child.tag.rpartition("}")[0] == own for child in element)


def null_out_parameters(seen: Evidence) -> Iterator[Seen]:
    for exchange in seen.at(*VERBS, Moment.UNKNOWN_VM, transport="wsman"):
        if exchange.result is None or exchange.result.job is not None or exchange.xml is None or not len(exchange.xml):
            continue
        jobs = [child for child in exchange.xml[0] if local(child) == "Job"]
        yield "absent" if not jobs else "nil" if jobs[0].get(f"{{{wsman.XSI}}}nil") else "an empty element"


def fault_machines(seen: Evidence) -> Iterator[Seen]:
    for exchange in seen.at(Moment.READING, *VERBS, Moment.UNKNOWN_VM, transport="wsman"):
        for element in exchange.xml.iter() if exchange.xml is not None else ():
            if local(element) == "WSManFault":
                yield bool(element.get("Machine"))


# --- both transports, both hosts ---------------------------------------------------------------------

_MOVES = frozenset(
    {
        "ElapsedTime",
        "JobRunTimes",
        "JobState",
        "LastApplyTime",
        "LastReplicationTime",
        "OnTimeInMilliseconds",
        "PercentComplete",
        "ProcessID",
        "TimeOfLastStateChange",
        "UntilTime",
    }
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


def same_instances(seen: Evidence) -> Iterator[Seen]:
    """The classes of which the transports show different instances; "all" where there is none. Jobs come and go."""
    for over_wsman, over_powershell in _over_both(seen):
        differing = {key[0] for key in over_wsman.keys() ^ over_powershell.keys()} - {JOB, "Msvm_AffectedJobElement"}
        yield from sorted(differing) or ["all"]


def same_values(seen: Evidence) -> Iterator[Seen]:
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


def empty_arrays(seen: Evidence) -> Iterator[Seen]:
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


def same_ids(seen: Evidence) -> Iterator[Seen]:
    """Whether the two sides of a pair have a VM in common, once both have replicated ones."""
    ids = {host: set[str]() for host in seen.hosts}
    for exchange, vm in seen.instances(SYSTEM):
        if vm.get("ReplicationMode") in (ReplicationMode.PRIMARY, ReplicationMode.REPLICA):
            ids[exchange.host].add(guid(str(vm.get("Name"))))
    sides = [found for found in ids.values() if found]
    if len(sides) > 1:
        yield any(one & other for one in sides for other in sides if one is not other)


def primaries_of_failed_over(seen: Evidence) -> Iterator[Seen]:
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
