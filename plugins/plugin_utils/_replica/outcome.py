# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What can become of a VM, in words a play can branch on and a person can act on.

Everything closed is an enumeration: error classes, certainty, outcomes. Every error class has one hint, every
return code of the service has one class. Sentences are made here and nowhere else.
"""

from __future__ import annotations

import enum
import typing as t

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimError, Kind
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import ReturnCode


class ErrorClass(enum.Enum):
    """Why something did not happen. Stable: plays branch on it."""

    NOT_REPLICATED = "not_replicated"
    TEST_COPY = "test_copy"
    TEST_COPY_PRESENT = "test_copy_present"
    WRONG_SIDE = "wrong_side"
    COMMITTED = "committed"
    WOULD_DISCARD = "would_discard"
    NOT_READY = "not_ready"
    SUSPENDED = "suspended"
    RESYNCHRONIZING = "resynchronizing"
    NOT_PREPARED = "not_prepared"
    NOT_CONFIRMED = "not_confirmed"
    POINT_NOT_FOUND = "point_not_found"
    OTHER_POINT = "other_point"
    NOT_FAILED_OVER = "not_failed_over"
    NOT_COMMITTED = "not_committed"
    IN_FAILOVER = "in_failover"
    PRODUCTION_SWITCH = "production_switch"
    EXTENDED_PRESENT = "extended_present"
    NOT_FOUND = "not_found"
    SETTINGS_CONFLICT = "settings_conflict"
    BUSY = "busy"
    EXTENDED_UNSUPPORTED = "extended_unsupported"
    UNEXPECTED_STATE = "unexpected_state"
    VM_RUNNING = "vm_running"
    VM_SAVED = "vm_saved"
    VM_BUSY = "vm_busy"
    SHUTDOWN_FAILED = "shutdown_failed"
    VM_NOT_FOUND = "vm_not_found"
    AMBIGUOUS_NAME = "ambiguous_name"
    TOO_MANY = "too_many"
    ACCESS_DENIED = "access_denied"
    ACCESS_FILTERED = "access_filtered"
    SERVICE_UNAVAILABLE = "service_unavailable"
    NOT_SUPPORTED = "not_supported"
    INVALID_STATE = "invalid_state"
    IN_USE = "in_use"
    HOST_TIMEOUT = "host_timeout"
    STATUS_UNKNOWN = "status_unknown"
    SYSTEM_UNAVAILABLE = "system_unavailable"
    INVALID_PARAMETER = "invalid_parameter"
    WRONG_TYPE = "wrong_type"
    OUT_OF_MEMORY = "out_of_memory"
    FILE_NOT_FOUND = "file_not_found"
    METHOD_FAILED = "method_failed"
    JOB_FAILED = "job_failed"
    JOB_CANCELLED = "job_cancelled"
    JOB_TIMEOUT = "job_timeout"
    JOB_LOST = "job_lost"
    CONNECTION_LOST = "connection_lost"
    PROTOCOL_ERROR = "protocol_error"
    UNSUPPORTED_CONNECTION = "unsupported_connection"
    INVALID_ARGUMENT = "invalid_argument"


class Certainty(enum.Enum):
    """What is known about changes on the host when something failed."""

    NOTHING_CHANGED = "nothing_changed"
    CHANGED = "changed"
    BETWEEN_STATES = "between_states"
    UNKNOWN = "unknown"


WORST_CERTAINTY = (Certainty.UNKNOWN, Certainty.BETWEEN_STATES, Certainty.CHANGED, Certainty.NOTHING_CHANGED)
"""From the one that needs a person most to the one that needs none."""


class Outcome(enum.Enum):
    """What became of one VM in one run."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    WOULD_CHANGE = "would_change"
    WOULD_WAIT = "would_wait"
    NOT_APPLICABLE = "not_applicable"
    NOT_HERE = "not_here"
    NOT_ATTEMPTED = "not_attempted"
    IN_PROGRESS = "in_progress"
    FAILED = "failed"


CALM = frozenset({Outcome.UNCHANGED, Outcome.NOT_APPLICABLE, Outcome.NOT_HERE})
"""Outcomes of VMs that needed nothing: left out of the result of ``all: true`` unless asked for."""

RETURN_CODES: dict[int, ErrorClass] = {
    ReturnCode.FAILED: ErrorClass.METHOD_FAILED,
    ReturnCode.ACCESS_DENIED: ErrorClass.ACCESS_DENIED,
    ReturnCode.NOT_SUPPORTED: ErrorClass.NOT_SUPPORTED,
    ReturnCode.STATUS_UNKNOWN: ErrorClass.STATUS_UNKNOWN,
    ReturnCode.TIMEOUT: ErrorClass.HOST_TIMEOUT,
    ReturnCode.INVALID_PARAMETER: ErrorClass.INVALID_PARAMETER,
    ReturnCode.IN_USE: ErrorClass.IN_USE,
    ReturnCode.INVALID_STATE: ErrorClass.INVALID_STATE,
    ReturnCode.INCORRECT_DATA_TYPE: ErrorClass.WRONG_TYPE,
    ReturnCode.SYSTEM_NOT_AVAILABLE: ErrorClass.SYSTEM_UNAVAILABLE,
    ReturnCode.OUT_OF_MEMORY: ErrorClass.OUT_OF_MEMORY,
    ReturnCode.FILE_NOT_FOUND: ErrorClass.FILE_NOT_FOUND,
}

LOST_ANSWERS = frozenset({ReturnCode.STATUS_UNKNOWN, ReturnCode.TIMEOUT})
"""Return codes that do not say whether the method ran: treated like an answer that never came."""

KINDS: dict[Kind, ErrorClass] = {
    Kind.AUTHENTICATION: ErrorClass.ACCESS_DENIED,
    Kind.ACCESS_DENIED: ErrorClass.ACCESS_DENIED,
    Kind.CONNECTION: ErrorClass.CONNECTION_LOST,
    Kind.CERTIFICATE: ErrorClass.CONNECTION_LOST,
    Kind.UNSUPPORTED: ErrorClass.UNSUPPORTED_CONNECTION,
    Kind.PROTOCOL: ErrorClass.PROTOCOL_ERROR,
    Kind.NOT_FOUND: ErrorClass.SERVICE_UNAVAILABLE,
    Kind.TIMED_OUT: ErrorClass.HOST_TIMEOUT,
    Kind.QUOTA: ErrorClass.SYSTEM_UNAVAILABLE,
    Kind.UNAVAILABLE: ErrorClass.SERVICE_UNAVAILABLE,
    Kind.INVALID: ErrorClass.INVALID_PARAMETER,
    Kind.HOST: ErrorClass.METHOD_FAILED,
}

UNREACHABLE = frozenset({Kind.AUTHENTICATION, Kind.CONNECTION, Kind.CERTIFICATE})
"""Errors that Ansible reports as an unreachable host, as long as no method call was sent."""

HINTS: dict[ErrorClass, str] = {
    ErrorClass.NOT_REPLICATED: "Name only VMs that Hyper-V Replica protects; all=true passes over the others.",
    ErrorClass.TEST_COPY: "This is the copy that a test failover made. Name the replica it was made of; a test "
    "copy is ended with a test failover clean-up, not with a revert.",
    ErrorClass.TEST_COPY_PRESENT: "Remove the test copy first (module test_failover, state=absent), then run again.",
    ErrorClass.WRONG_SIDE: "Run the task against the other host of the pair, or change the option side.",
    ErrorClass.COMMITTED: "A committed failover is final. Go forward: reverse the replication so that this host "
    "becomes the primary.",
    ErrorClass.WOULD_DISCARD: "Reverting throws away everything the guest has written since the failover. If that "
    "is meant, set discard_guest_writes to true.",
    ErrorClass.NOT_READY: "The first copy of this VM is not complete. Wait for it (or start it on the primary), "
    "then run again.",
    ErrorClass.SUSPENDED: "The replica may be older than it looks. Resume the replication first, or allow it with "
    "suspended=resume.",
    ErrorClass.RESYNCHRONIZING: "Wait until the resynchronization is complete (nothing here interrupts it), then run "
    "again.",
    ErrorClass.NOT_PREPARED: "Prepare the primary first (state=prepared on its host), or, if the primary is lost, ask "
    "for kind=unplanned.",
    ErrorClass.NOT_CONFIRMED: "This cannot be undone. If it is meant, say so with the option that the message names.",
    ErrorClass.POINT_NOT_FOUND: "See the recovery points with replication_info and gather=recovery_points; the oldest "
    "ones expire.",
    ErrorClass.OTHER_POINT: "Revert it first if the other point is meant; what the guest wrote since is lost by that.",
    ErrorClass.NOT_FAILED_OVER: "Fail the VM over first, or check that this is the right host.",
    ErrorClass.PRODUCTION_SWITCH: "Name a switch that leads to no other machine of this VM's network, best a private "
    "one.",
    ErrorClass.NOT_COMMITTED: "Commit the failover first (module failover, state=committed, which is final), or "
    "undo it with state=reverted.",
    ErrorClass.IN_FAILOVER: "End the failover first: undo it with the module failover (state=reverted), or, on the "
    "replica, keep it and turn the replication round with state=reversed.",
    ErrorClass.EXTENDED_PRESENT: "Remove the relationship 1 first, or continue the replication at the third site.",
    ErrorClass.NOT_FOUND: "Check the name that the message gives; the host shows no such object.",
    ErrorClass.SETTINGS_CONFLICT: "Nothing is removed or replaced silently. End the present relationship with "
    "state=absent first, if that is meant.",
    ErrorClass.BUSY: "Somebody or something else is working on this VM. Wait until it is done, then run again.",
    ErrorClass.EXTENDED_UNSUPPORTED: "The extended relationship of this VM is in a failover itself, and the host has "
    "no documented way to revert only one of the two. End that one on the host first.",
    ErrorClass.UNEXPECTED_STATE: "What was read does not fit what Microsoft documents, so nothing was decided on it. "
    "Look at the VM in Hyper-V Manager; if it is as it should be there, report the raw numbers.",
    ErrorClass.SHUTDOWN_FAILED: "The guest may still go off by itself: look at it. Then run again, with a longer "
    "shutdown_timeout, or with running_vm=turn_off if its unflushed writes may be lost.",
    ErrorClass.VM_RUNNING: "The VM must be off. Shut it down, or allow a hard power-off with running_vm=turn_off.",
    ErrorClass.VM_SAVED: "The VM holds a saved state, which would be lost. Allow it with running_vm=turn_off, "
    "or start the VM and shut it down.",
    ErrorClass.VM_BUSY: "The VM was still changing its power state after a minute. Run again when it is at rest.",
    ErrorClass.VM_NOT_FOUND: "Check the name on that host (wildcards are not expanded). On a cluster, set missing to "
    "ignore, so that each node passes over the VMs of the others.",
    ErrorClass.AMBIGUOUS_NAME: "Use the GUID of the VM that is meant in place of its name.",
    ErrorClass.TOO_MANY: "Look at the list; if all of them are meant, raise max_changes.",
    ErrorClass.ACCESS_DENIED: "Check user and password; the user needs to be a local administrator or a member of "
    "Hyper-V Administrators with remote WMI rights on this host.",
    ErrorClass.ACCESS_FILTERED: "The user is let in but sees no VM and not even the host itself: most often UAC "
    "filters a remote administrator. Use a domain account, or a member of Hyper-V Administrators.",
    ErrorClass.SERVICE_UNAVAILABLE: "Check that this is a Hyper-V host and that its Virtual Machine Management service "
    "(vmms) runs.",
    ErrorClass.NOT_SUPPORTED: "This host does not offer the operation. On a cluster, run it on the node of the VM.",
    ErrorClass.INVALID_STATE: "The host refused: the VM was not in a state for this at that moment. Look at power, "
    "checkpoints and running tasks of the VM, then run again.",
    ErrorClass.IN_USE: "A backup, an export or another operation holds the VM. Run again when it has ended.",
    ErrorClass.HOST_TIMEOUT: "The host did not answer in time. Look at the VM before running again.",
    ErrorClass.STATUS_UNKNOWN: "The host could not say what became of it. Look at the VM before running again.",
    ErrorClass.SYSTEM_UNAVAILABLE: "The host cannot serve this now. Run again later.",
    ErrorClass.INVALID_PARAMETER: "The host did not take the request. Please report it with the raw numbers.",
    ErrorClass.WRONG_TYPE: "The host did not take the request. Please report it with the raw numbers.",
    ErrorClass.OUT_OF_MEMORY: "The host is out of memory. Free some, then run again.",
    ErrorClass.FILE_NOT_FOUND: "A file of the VM is missing on the host. Check its storage before running again.",
    ErrorClass.METHOD_FAILED: "Look into the Hyper-V-VMMS event log of this host for the reason, then run again.",
    ErrorClass.JOB_FAILED: "Look into the Hyper-V-VMMS event log of this host for the reason, then run again.",
    ErrorClass.JOB_CANCELLED: "Somebody cancelled the job on the host. Run again if it is still wanted.",
    ErrorClass.JOB_TIMEOUT: "{noun} has not failed: its job still runs on the host. Run the same task again to "
    "go on waiting for it, with a larger wait_timeout if need be.",
    ErrorClass.JOB_LOST: "The job is gone and the VM does not show its effect. Look at the VM before running again.",
    ErrorClass.CONNECTION_LOST: "Check that the host is up and its WinRM listener or SSH server can be reached from "
    "the controller, then run again: the task reads the state first and does nothing twice.",
    ErrorClass.PROTOCOL_ERROR: "The answer is not what a Hyper-V host sends. Check address and port, what stands "
    "between the controller and the host, and that PowerShell there runs Ansible modules (with full language).",
    ErrorClass.UNSUPPORTED_CONNECTION: "Use a connection on which Ansible runs PowerShell modules on a Windows host: "
    "winrm, psrp or ssh.",
    ErrorClass.INVALID_ARGUMENT: "Correct the task; see the documentation of the module.",
}


def hint_of(error: ErrorClass, noun: str) -> str:
    """The hint of a class, for what was to be done (``the revert``)."""
    return HINTS[error].replace("{noun}", noun[0].upper() + noun[1:])


GATES = frozenset(
    {
        ErrorClass.NOT_REPLICATED,
        ErrorClass.TEST_COPY,
        ErrorClass.WRONG_SIDE,
        ErrorClass.COMMITTED,
        ErrorClass.NOT_FAILED_OVER,
    }
)
"""Refusals that under ``all: true`` only mean that the VM is not one of those asked for."""


def class_of_return_code(code: int) -> ErrorClass:
    """The one class of a return code; a number nobody documented is a failed method, never a success."""
    return RETURN_CODES.get(code, ErrorClass.METHOD_FAILED)


def sentence(error: CimError) -> str:
    """What the transport says of an error, to be followed by more."""
    return f"{error.message.rstrip('.')}."


NO_TRACE = " Nothing on the host shows what became of the call; it was not sent again."
"""Said of a call whose answer was lost, whether the host was read since or could not be read either."""


class ReplicaError(Exception):
    """An error of the whole run on one host, before or beside the VMs. Becomes text in ``_action`` only."""

    def __init__(
        self,
        error_class: ErrorClass,
        message: str,
        *,
        hint: str = "",
        certainty: Certainty = Certainty.NOTHING_CHANGED,
        unreachable: bool = False,
        data: t.Mapping[str, t.Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.message = message
        self.hint = hint or HINTS[error_class]
        self.certainty = certainty
        self.unreachable = unreachable
        self.data = dict(data or {})

    @classmethod
    def from_cim(cls, error: CimError, doing: str) -> ReplicaError:
        """An error of the transport while ``doing`` something that changes nothing (reading, connecting)."""
        return cls(
            KINDS[error.kind],
            f"{error.message} ({doing})" if doing else error.message,
            hint=error.hint,
            unreachable=error.kind in UNREACHABLE,
            data={"code": error.code, "detail": error.detail},
        )
