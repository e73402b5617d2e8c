# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""A CimSession through the module ``cim_bridge``, on any connection on which Ansible runs PowerShell.

All steps of one :meth:`PowerShellSession.run` travel in one execution of the module, and all answers come back in one.
What the module answers is typed here by the schema table, with the same reader that types WS-Management's answers.

When the execution fails as a whole (connection lost, no JSON, a missing key) nobody knows how far it came. Then every
Call of the list is Failed with MAYBE; a Guard before a Call of its chain is Skipped, because the Call speaks for both;
all else is Failed.
"""

from __future__ import annotations

import json
import re
import typing as t
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import carriers, schema, values, wsman
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Answer,
    Call,
    CimError,
    Failed,
    Get,
    Guard,
    GuardResult,
    Instance,
    Kind,
    MethodResult,
    Query,
    Reference,
    Scalar,
    Sent,
    Skipped,
    Step,
    Value,
    WaitResult,
)

Json = t.Mapping[str, t.Any]
Execute = Callable[[dict[str, t.Any]], Mapping[str, t.Any]]

MODULE = "hyperv.replica.cim_bridge"

WAITING_SLICE = 20.0
"""Seconds the module may stay at the host for one Wait. Each slice starts PowerShell anew, which takes seconds on a
busy host; longer ones would let progress and time-outs of the play wait."""

READ: t.Mapping[str, tuple[str, ...]] = {
    "Msvm_AffectedJobElement": (),
    "Msvm_ComputerSystem": (
        "ElementName",
        "EnabledState",
        "FailedOverReplicationType",
        "LastReplicationTime",
        "ReplicationHealth",
        "ReplicationMode",
        "ReplicationState",
        "TimeOfLastConfigurationChange",
    ),
    "Msvm_ConcreteJob": (
        "ErrorCode",
        "ErrorDescription",
        "JobState",
        "JobType",
        "Owner",
        "PercentComplete",
        "StartTime",
    ),
    "Msvm_ReplicationRelationship": (
        "FailedOverReplicationType",
        "LastApplicationConsistentReplicationTime",
        "LastApplyTime",
        "LastReplicationTime",
        "LastReplicationType",
        "ReplicationHealth",
        "ReplicationState",
    ),
    "Msvm_ReplicationSettingData": (
        "AdditionalSettings",
        "ApplicationConsistentSnapshotInterval",
        "AuthenticationType",
        "AutoResynchronizeEnabled",
        "AutoResynchronizeIntervalEnd",
        "AutoResynchronizeIntervalStart",
        "BypassProxyServer",
        "CertificateThumbPrint",
        "CompressionEnabled",
        "IncludedDisks",
        "PrimaryConnectionPoint",
        "PrimaryHostSystem",
        "RecoveryConnectionPoint",
        "RecoveryHistory",
        "RecoveryHostSystem",
        "RecoveryServerPortNumber",
        "ReplicateHostKvpItems",
        "ReplicationInterval",
        "ReplicationProvider",
        "RootCertificateThumbPrint",
    ),
    "Msvm_EthernetPortFailoverSettingDataComponent": (),
    "Msvm_FailoverNetworkAdapterSettingData": (
        "DHCPEnabled",
        "DNSServers",
        "DefaultGateways",
        "IPAddresses",
        "ProtocolIFType",
        "Subnets",
    ),
    "Msvm_SyntheticEthernetPortSettingData": (
        "Address",
        "ElementName",
    ),
    "Msvm_VirtualSystemSettingData": (
        "CreationTime",
        "ElementName",
        "VirtualSystemIdentifier",
        "VirtualSystemType",
    ),
}
"""What the domain reads of the classes that come by the thousand, beside their keys. The module answers these and no
others, which makes its work and its answer a fifth. Of a class that is not in here it answers every property."""


def open_session(connection: t.Any, execute: Execute) -> PowerShellSession:
    """A session on an Ansible connection plugin, which need not be connected yet. Nothing is sent to the host.

    Raises CimError (UNSUPPORTED) where this release of ansible-core runs no PowerShell module on the connection.
    """
    if not getattr(getattr(connection, "_shell", None), "_IS_WINDOWS", False) and not _runs_pwsh():
        raise CimError(
            Kind.UNSUPPORTED,
            f"this ansible-core runs PowerShell on Windows only, and this {_name(connection)} connection leads to none",
            hint=_CONNECT,
        )
    if connection.has_option(_RETRIES):
        connection.set_option(_RETRIES, 0)
    return PowerShellSession(execute, connection.reset)


_RETRIES = "reconnection_retries"
"""An option of ssh and of psrp, with which the plugin repeats a request whose answer was lost, method calls and all."""


def _runs_pwsh() -> bool:
    """Whether this core runs PowerShell modules in ``pwsh`` where the remote shell is a POSIX one: since 2.21."""
    from ansible.release import __version__

    major, minor = __version__.split(".")[:2]
    return (int(major), int(minor)) >= (2, 21)


def _name(connection: t.Any) -> str:
    return str(getattr(connection, "transport", None) or connection.__class__.__name__)


class _NeverMade(CimError):
    """There was no connection, so nothing was sent."""


class PowerShellSession:
    """See :class:`~.session.CimSession`.

    ``execute`` runs the module once: its arguments in, the result of ``_execute_module`` out; it may raise what
    connection plugins raise. ``reconnect`` is called before the next execution once one was lost with its connection.
    """

    transport = "powershell"
    waiting_slice = WAITING_SLICE

    def __init__(self, execute: Execute, reconnect: Callable[[], object] = lambda: None) -> None:
        self._execute = execute
        self._reconnect = reconnect
        self._broken = False

    def run(self, steps: t.Sequence[Step], *, stop_on_error: bool = False) -> list[Answer]:
        if not steps:
            return []
        answers, dropped = self._attempt(steps, stop_on_error)
        if dropped and all(isinstance(step, (Query, Get)) for step in steps):
            answers, _dropped = self._attempt(steps, stop_on_error)
        return answers

    def _attempt(self, steps: t.Sequence[Step], stop_on_error: bool) -> tuple[list[Answer], bool]:
        """The answers, and whether a connection that had worked broke down before they were here."""
        try:
            self._mend()
            answers = _answers(self._once(_arguments(steps, stop_on_error)), len(steps))
        except _NeverMade as error:
            return [Failed(error), *(Skipped() for _step in steps[1:])], False
        except CimError as error:
            return _lost(steps, error), isinstance(error, carriers.Dropped)
        return [_answer(step, answer) for step, answer in zip(steps, answers, strict=True)], False

    def close(self) -> None:
        """Nothing to give back: the connection is Ansible's, and each execution of the module ends by itself."""

    def _mend(self) -> None:
        if not self._broken:
            return
        try:
            self._reconnect()
        except Exception as error:
            failure = _failure(error)
            raise _NeverMade(failure.kind, failure.message, hint=failure.hint, detail=failure.detail) from error
        self._broken = False

    def _once(self, arguments: dict[str, t.Any]) -> Mapping[str, t.Any]:
        try:
            result = self._execute(arguments)
        except Exception as error:
            # Whatever a plugin or a library raises has one meaning here: there is no answer. _failure tells them apart.
            self._broken = True
            raise _failure(error) from error
        if result.get("unreachable"):
            self._broken = True
            words = _words(result)
            raise _error_of(carriers.core_cause(words, carriers.UNREACHED), words)
        return result


# --- what the module is asked ----------------------------------------------------------------------


def _arguments(steps: t.Sequence[Step], stop_on_error: bool) -> dict[str, t.Any]:
    properties = {name: {*read, *schema.keys(name)} for name, read in READ.items()}
    for step in steps:
        if isinstance(step, Guard) and step.reference.class_name in properties:
            properties[step.reference.class_name].update(name for name, _accepted in step.expected)
    return {
        "steps": [_step(step) for step in steps],
        "properties": {name: sorted(wanted) for name, wanted in properties.items()},
        "stop_on_error": stop_on_error,
    }


def _step(step: Step) -> dict[str, t.Any]:
    if isinstance(step, Query):
        return {"do": "query", "wql": step.wql}
    if isinstance(step, Get):
        return {"do": "get", "reference": _input(step.reference)}
    if isinstance(step, Guard):
        expected = {name: [_input(value) for value in accepted] for name, accepted in step.expected}
        return {"do": "guard", "chain": step.chain, "reference": _input(step.reference), "expected": expected}
    if isinstance(step, Call):
        return {
            "do": "call",
            "chain": step.chain,
            "target": _input(step.call.target),
            "method": step.call.method,
            # NULL is left out: the CIM cmdlets give every parameter that nobody names the value NULL.
            "arguments": {name: _input(value) for name, value in step.call.arguments if value is not None},
        }
    return {
        "do": "wait",
        "jobs": [_input(job) for job in step.jobs],
        "seconds": step.seconds,
        "poll_interval": step.poll_interval,
        "others": step.others,
    }


def _input(value: Value) -> t.Any:
    """A value as JSON. Dates in CIM's own spelling: PowerShell 7 turns those of ISO 8601 into something else."""
    if isinstance(value, Reference):
        return {"class": value.class_name, "keys": dict(value.keys)}
    if isinstance(value, (datetime, timedelta)):
        try:
            return values.cim_text(value)
        except ValueError:
            return str(value)  # no CIM date: the module refuses it, at its place in the list
    return [_input(item) for item in value] if isinstance(value, tuple) else value


# --- what it answers -------------------------------------------------------------------------------


def _answers(result: Mapping[str, t.Any], count: int) -> list[Json]:
    """The answers in the result of the module. Raises CimError (PROTOCOL) if this is not one of its results."""
    if result.get("skipped"):
        raise _protocol("the module was skipped on the host", result)
    if "answers" not in result:
        words = _words(result)
        if result.get("rc") == _NOT_FOUND or re.search(_RESTRICTED, words):
            raise CimError(
                Kind.UNSUPPORTED,
                "the connection leads to no PowerShell that may run a module",
                hint=_NO_POWERSHELL,
                detail=words,
            )
        raise _protocol("PowerShell on the host ran no module to its end", result)
    # Plain values, whatever the core has wrapped or tagged them with.
    answers = json.loads(json.dumps(result["answers"]))
    if not isinstance(answers, list) or len(answers) != count or not all(isinstance(one, dict) for one in answers):
        raise _protocol(f"the module gave no list of {count} answers", result)
    if result.get("failed"):
        raise _protocol("the module failed with answers", result)
    return answers


def _lost(steps: t.Sequence[Step], error: CimError) -> list[Answer]:
    """The answers to a list of which nobody knows how far it was carried out."""
    called = {step.chain for step in steps if isinstance(step, Call)}
    unsure = CimError(error.kind, error.message, sent=Sent.MAYBE, code=error.code, hint=error.hint, detail=error.detail)
    answers: list[Answer] = []
    for step in steps:
        if isinstance(step, Call):
            answers.append(Failed(unsure))
        elif isinstance(step, Guard) and step.chain in called:
            answers.append(Skipped())
        else:
            answers.append(Failed(error))
    return answers


def _answer(step: Step, answer: Json) -> Answer:
    try:
        if answer.get("skipped") is True:
            return Skipped()
        if "error" in answer:
            return _error_answer(step, _error(answer["error"], _what(step)))
        return _success(step, answer)
    except CimError as error:
        return Failed(error)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        sent = Sent.MAYBE if isinstance(step, Call) else Sent.NO
        words = json.dumps(answer)[:500]
        return Failed(
            CimError(Kind.PROTOCOL, f"the answer to {_what(step)} is malformed ({error})", sent=sent, detail=words)
        )


def _success(step: Step, answer: Json) -> Answer:
    if isinstance(step, Query):
        return _instances(answer["instances"])
    if isinstance(step, Get):
        return _only(answer["instances"])
    if isinstance(step, Guard):
        return GuardResult(_boolean(answer["held"]), _only(answer["instances"]))
    if isinstance(step, Call):
        types = schema.method_parameters(step.call.target.class_name, step.call.method).outputs
        out = {name: _value(value, types.get(name)) for name, value in answer["out"].items()}
        return MethodResult(t.cast(int, values.read(_text(answer["return_value"]), "uint32")), out)
    gone = []
    for job in _list(answer["unseen"]):
        error = _error(job["error"], "Get of Msvm_ConcreteJob")
        if not wsman.is_missing_instance(error):
            raise error
        gone.append(_reference(job["reference"]))
    return WaitResult(_instances(answer["jobs"]), tuple(gone), _instances(answer["others"]))


def _error_answer(step: Step, error: CimError) -> Answer:
    """An object that does not exist is an answer where it was only looked for."""
    if isinstance(step, Get) and wsman.is_missing_instance(error):
        return None
    if isinstance(step, Guard) and wsman.is_missing_instance(error):
        return GuardResult(False, None)
    return Failed(error)


def _what(step: Step) -> str:
    if isinstance(step, Query):
        return f"the query for {wsman.queried_class(step.wql)}"
    if isinstance(step, (Get, Guard)):
        return f"Get of {step.reference.class_name}"
    return step.call.method if isinstance(step, Call) else "the query for jobs"


# --- values ----------------------------------------------------------------------------------------


def _instances(tables: object) -> tuple[Instance, ...]:
    return tuple(instance for table in _list(tables) for instance in _table(table))


def _only(tables: object) -> Instance:
    (instance,) = _instances(tables)
    return instance


def _table(table: Json) -> t.Iterator[Instance]:
    class_name, names = table["class"], _list(table["properties"])
    known = schema.CLASSES.get(class_name)
    types = [known.properties.get(name) if known else None for name in names]
    for row in _list(table["rows"]):
        properties = {
            name: _value(value, declared) for name, value, declared in zip(names, _list(row), types, strict=True)
        }
        yield Instance(class_name, properties, _own_reference(class_name, properties))


def _own_reference(class_name: str, properties: t.Mapping[str, Value]) -> Reference | None:
    keys = {name: properties.get(name) for name in schema.keys(class_name)}
    texts = {name: value for name, value in keys.items() if isinstance(value, str)}
    return Reference.of(class_name, **texts) if texts and len(texts) == len(keys) else None


def _value(value: t.Any, declared: schema.CimType | None) -> Value:
    if isinstance(value, list):
        if declared is not None and not declared.array:
            raise ValueError("an array where a single value is declared")
        return tuple(_scalar(item, declared) for item in value)
    if value is not None and declared is not None and declared.array:
        raise ValueError("a single value where an array is declared")
    return _scalar(value, declared)


def _scalar(value: t.Any, declared: schema.CimType | None) -> Scalar:
    if value is None:
        return None
    if isinstance(value, dict):
        return _reference(value)
    if declared is not None and declared.name == "ref":
        raise ValueError("no reference where one is declared")
    return values.read(_text(value), declared.name if declared else "string")


def _text(value: t.Any) -> str:
    """The text that CIM-XML has for a JSON value; a number that is no integer is refused by its reader."""
    if not isinstance(value, (str, int, float)):
        raise ValueError(f"{type(value).__name__} in place of a value")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _reference(value: Json) -> Reference:
    keys = value["keys"]
    if not value["class"] or not keys or not all(isinstance(text, str) for text in keys.values()):
        raise ValueError("a reference without a class or without keys")
    return Reference.of(value["class"], **keys)


def _list(value: object) -> list[t.Any]:
    """What is a list must come as one: anything else that is empty would look like a host without VMs."""
    if not isinstance(value, list):
        raise ValueError(f"{value.__class__.__name__} in place of a list")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("no boolean")
    return value


# --- errors ----------------------------------------------------------------------------------------

# The status of a CimException (NativeErrorCode) as the WBEM code that says the same, where it has none of its own.
_STATUS: t.Mapping[int, int] = {
    2: 0x80041003,  # AccessDenied
    3: 0x8004100E,  # InvalidNamespace
    5: 0x80041010,  # InvalidClass
    6: 0x80041002,  # NotFound
    15: 0x80041017,  # InvalidQuery
    16: 0x8004102E,  # MethodNotAvailable
    17: 0x8004102E,  # MethodNotFound
    27: 0x803381A6,  # ServerLimitsExceeded
}

# Codes that come from WMI on the host itself; WinRM puts its own in their place.
_LOCAL_CODES: t.Mapping[int, Kind] = {
    0x80041069: Kind.TIMED_OUT,  # WBEM_E_TIMED_OUT
    0x8004106C: Kind.QUOTA,  # WBEM_E_QUOTA_VIOLATION
}

# Exceptions that are no CimException. The first two are the module's own; the third is a host without the CIM cmdlets.
_EXCEPTIONS: t.Mapping[str, Kind] = {
    "System.Management.Automation.ItemNotFoundException": Kind.NOT_FOUND,
    "System.NotSupportedException": Kind.INVALID,
    "System.Management.Automation.CommandNotFoundException": Kind.UNSUPPORTED,
}

_CONNECT = (
    "Set ansible_connection to winrm or psrp, or to ssh with ansible_shell_type powershell or cmd."
)

_NO_POWERSHELL = (
    "The connection must lead to a session with full language (no restricted JEA endpoint) on Windows PowerShell 5.1 "
    "or PowerShell 7."
)

_NOT_FOUND = 127
"""What a POSIX shell returns for a program that it does not find (POSIX, Shell Command Language, 2.8.2)."""

_RESTRICTED = r"\b(?:ScriptsNotAllowed|\w+ConstrainedLanguage|\w+InDataSection)\b"
"""In the ids of the errors with which PowerShell refuses Ansible's script in a session without full language. Ids are
the same in every language, other than texts."""


def _error(error: Json, what: str) -> CimError:
    """The module's one error shape. Numbers decide; the text is the host's and may be in any language."""
    code = _code(error)
    sent = _boolean(error["sent"])
    if code is None and error["status"] is None:
        kind = _EXCEPTIONS.get(error["exception"], Kind.PROTOCOL)
        says = error["message"] if error["exception"] in _EXCEPTIONS else f"{error['exception']} in the module"
    else:
        known = code if code is not None else 0
        kind = wsman.FAULT_CODES.get(known) or _LOCAL_CODES.get(known, Kind.HOST)
        says = f"{wsman.SAYS[kind]} ({f'0x{known:08X}' if code is not None else 'CIM status ' + str(error['status'])})"
    unsure = sent and (kind in wsman.UNSURE or kind is Kind.PROTOCOL)
    return CimError(
        kind,
        f"{what}: {says}",
        sent=Sent.MAYBE if unsure else Sent.NO,
        code=code,
        detail=" ".join(str(error["message"]).split())[:1000],
    )


def _code(error: Json) -> int | None:
    """The HRESULT behind a CimException: in its error data, in its MessageId, or as its status implies."""
    if error["status"] is None:
        return None
    in_id = re.search(r"0x([0-9a-fA-F]{8})\b", error["message_id"] or "")
    found = error["code"] or (int(in_id[1], 16) if in_id else None) or _STATUS.get(error["status"])
    return None if found is None else int(found) & 0xFFFFFFFF


def _failure(error: Exception) -> CimError:
    """What became of an execution that raised: by core's own words, which are English, or by the library's classes."""
    from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError

    first = _first(error)
    text = carriers.scrub(" ".join(str(first).split()), ())
    if isinstance(first, AnsibleAuthenticationFailure):
        cause = carriers.NOT_LET_IN
    elif isinstance(first, AnsibleConnectionFailure):
        cause = carriers.core_cause(text, carriers.UNREACHED)
    elif isinstance(first, AnsibleError):
        cause = carriers.core_cause(text, carriers.NOT_USABLE)
    else:
        cause = carriers.cause_of(first, answered=True)
    # What the libraries say of a clean-up, or of one of several messages, does not tell; what a plugin says does.
    never_made = cause.unsent and isinstance(first, AnsibleConnectionFailure)
    return _error_of(cause, f"{first.__class__.__name__}: {text}", never_made=never_made)


def _error_of(cause: carriers.Cause, detail: str, *, never_made: bool = False) -> CimError:
    kind = _NeverMade if never_made else carriers.Dropped if cause.dropped else CimError
    return kind(cause.kind, cause.says, hint=cause.hint, detail=detail)


def _first(error: Exception) -> Exception:
    """The exception with which it began.

    The winrm plugin cleans up behind what failed, and on a broken connection that fails as well: the exception of the
    library that comes out then speaks of the clean-up alone. What a plugin words itself speaks of what it handled.
    """
    first, inner = error, error.__context__
    while inner is not None and type(error).__module__.partition(".")[0] == "requests":
        if isinstance(inner, Exception) and type(inner).__module__.partition(".")[0] in ("ansible", "requests"):
            first = inner
        inner = inner.__context__
    return first


def _protocol(message: str, result: Mapping[str, t.Any]) -> CimError:
    return CimError(Kind.PROTOCOL, message, detail=_words(result))


def _words(result: Mapping[str, t.Any]) -> str:
    """What the result says beside answers, in one line. Bytes that are no text come in it as lone surrogates."""
    said = (str(result.get(name) or "") for name in ("msg", "module_stderr", "module_stdout"))
    lines = (" ".join(text.encode("utf-8", "replace").decode().split()) for text in said)
    return " | ".join(line[:500] for line in lines if line)
