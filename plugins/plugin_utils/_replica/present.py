# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""Results as plain data: what a play sees, and the sentences a person reads.

The keys are documented in the RETURN of the modules; a test compares them. Names stand beside raw numbers.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.carry_out import Conductor
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.choose import Choice, Refusal
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.decide import (
    Effect,
    Fact,
    RunningVm,
    decide,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.model import (
    Host,
    Job,
    NetworkAdapter,
    Relationship,
    TestCopy,
    VirtualMachine,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.numbers import (
    FailoverType,
    JobState,
    JobType,
    Power,
    ProtocolType,
    ReplicationHealth,
    ReplicationMode,
    ReplicationState,
    Severity,
    name_of,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import (
    CALM,
    HINTS,
    WORST_CERTAINTY,
    Certainty,
    ErrorClass,
    Outcome,
    ReplicaError,
    hint_of,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.run import Order, Run
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.statistics import Counted
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.reverted import Revert

_LINES = 10

_CERTAINTY_TEXT = {
    Certainty.NOTHING_CHANGED: "Nothing was changed.",
    Certainty.CHANGED: "The VM was changed.",
    Certainty.BETWEEN_STATES: "The VM is between two states.",
    Certainty.UNKNOWN: "Whether anything changed is not known; nothing was sent twice.",
}

_PROTECTION_ON_A_PRIMARY: dict[int, str] = {
    ReplicationState.REPLICATING: "replicating",
    ReplicationState.SUSPENDED: "needs_resume",
    ReplicationState.CRITICAL: "needs_resume",
    ReplicationState.WAITING_TO_START_RESYNCHRONIZATION: "needs_resync",
    ReplicationState.RESYNCHRONIZATION_SUSPENDED: "needs_resync",
    ReplicationState.DISK_UPDATE_CRITICAL: "needs_resync",
}

JsonDict = dict[str, t.Any]


def time_text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def named(key: str, kind: t.Any, raw: int | None) -> JsonDict:
    """A number as two keys: its name, and itself."""
    return {key: name_of(kind, raw), f"{key}_raw": raw}


def state_dict(vm: VirtualMachine, link: int = 0) -> JsonDict:
    """Mode, state, health and power of one reading; state and health of this relationship."""
    found = vm.relationship(link)
    state, health = (vm.state, vm.health) if not link else (found.state, found.health) if found else (None, None)
    return {
        **named("mode", ReplicationMode, vm.mode),
        **named("state", ReplicationState, state),
        **named("health", ReplicationHealth, health),
        **named("power", Power, vm.power),
    }


def job_dict(job: Job | None) -> JsonDict | None:
    if job is None:
        return None
    return {
        "id": job.id,
        **named("type", JobType, job.type),
        **named("state", JobState, job.state),
        "percent": job.percent,
        "error_code": job.error_code,
        "error_text": job.error_text,
        "owner": job.owner,
    }


def copy_dict(copy: TestCopy) -> JsonDict:
    """A test copy."""
    return {"id": copy.id, "name": copy.name, **named("power", Power, copy.power)}


def protection(run: Run) -> str:
    """Whether the VM is protected again, as far as this side alone can tell.

    A replica right after a revert shows "replicating" whatever its primary does: that is no protection yet.
    """
    vm = run.after or run.before
    if vm.mode == ReplicationMode.PRIMARY:
        return "unknown" if vm.state is None else _PROTECTION_ON_A_PRIMARY.get(vm.state, "unknown")
    at_ease = vm.state == ReplicationState.REPLICATING and vm.health == ReplicationHealth.OK
    return "replicating" if at_ease and not run.changed and vm.mode != ReplicationMode.TEST_REPLICA else "unknown"


def vm_dict(run: Run, order: Order, host: str) -> JsonDict:
    """One entry of ``vms``."""
    vm = run.before
    shown = run.after or vm
    outcome = run.outcome or Outcome.FAILED
    copy = shown.test_copies[0] if shown.test_copies else None
    link = order.verb.link
    relationship = vm.relationship(link) or shown.relationship(link)
    return {
        "id": vm.id,
        "name": vm.name,
        "relationship_id": relationship.id if relationship else None,
        **state_dict(shown, link),
        "before": state_dict(vm, link),
        "after": state_dict(run.after, link) if run.after is not None and not order.check_mode else None,
        "action": order.verb.target.action if _acted(run) else "none",
        "changed": run.changed,
        "return_value": run.return_value,
        "job": job_dict(run.job or next(iter(order.verb.jobs(vm)), None)),
        "failed_over_point": _failed_over_point(run),
        "last_replication_time": time_text(shown.last_replication_time),
        "peer_host": vm.peer_host,
        "test_copy": copy_dict(copy) if copy else None,
        "protection": protection(run),
        "powered_off": run.powered_off,
        "started": time_text(run.started),
        "ended": time_text(run.ended),
        "outcome": outcome.value,
        "certainty": run.certainty.value,
        "error_class": run.error.value if run.error else None,
        "msg": _sentence(run, order, host),
        "hint": _hint(run, order),
    }


def _failed_over_point(run: Run) -> JsonDict | None:
    """What the VM is failed over to, or was before the run."""
    for vm in (run.after, run.before):
        if vm is not None and vm.failover_type:
            return {"id": vm.failed_over_point or run.point, **named("type", FailoverType, vm.failover_type)}
    return None


def _acted(run: Run) -> bool:
    return run.touched or run.outcome is Outcome.WOULD_CHANGE


def _sentence(run: Run, order: Order, host: str) -> str:
    """What happened, to which VM on which host, and what it means."""
    vm = run.before
    what = _what(run, order)
    state = order.verb.state_of(vm)
    read = (
        f"Read: mode {name_of(ReplicationMode, vm.mode)} ({vm.mode}), state {name_of(ReplicationState, state)} "
        f"({state}), power {name_of(Power, vm.power)} ({vm.power})."
    )
    parts = [f"VM {vm.name!r} ({vm.id}) on {host}: {what}"]
    if run.error is not None or run.outcome is Outcome.NOT_ATTEMPTED:
        parts.append(read)
        parts.append(_CERTAINTY_TEXT[run.certainty])
    if run.detail and run.error is not None:
        parts.append(f"The host says: {run.detail}")
    return " ".join(parts)


def _what(run: Run, order: Order) -> str:
    outcome, row, target = run.outcome, run.decision.row, order.verb.target
    noun = target.noun[0].upper() + target.noun[1:]
    if run.cause:
        return run.cause
    if run.error is ErrorClass.VM_RUNNING:
        return f"{row.reason} It must be off for that, and it is not."
    if run.error is ErrorClass.VM_SAVED:
        return f"{row.reason} It must be off for that, and it holds a saved state."
    if run.error is ErrorClass.UNEXPECTED_STATE and run.decision.row.effect is Effect.CALL:
        return f"{row.reason} It must be off for that, and its power state is one that nobody documented."
    if run.error is ErrorClass.BUSY:
        return f"{row.reason}{_jobs_text(order.verb.jobs(run.before))}"
    if outcome is Outcome.CHANGED:
        after = run.after
        state = f"; it is now {name_of(ReplicationState, order.verb.state_of(after))}" if after else ""
        lost = " Its answer had been lost, and the state shows that it worked." if run.lost else ""
        return f"{row.reason} {noun} is done{state}.{lost}"
    if outcome is Outcome.WOULD_CHANGE:
        return f"{row.reason} It would be {target.done}.{_FIRST.get(run.decision.power_off, '')}"
    if outcome is Outcome.WOULD_WAIT:
        if run.decision.wait_for_power:
            return f"{row.reason} It is changing its power state; a run would wait for that and decide again."
        return f"{row.reason} A run would wait for it and decide again."
    if outcome is Outcome.IN_PROGRESS:
        return f"{row.reason} {noun} runs as a job; nobody waits for it."
    return row.reason


_FIRST: dict[RunningVm | None, str] = {
    RunningVm.TURN_OFF: " It would be turned off hard first.",
    RunningVm.SHUT_DOWN: " Its guest would be asked to shut down first.",
}


def _jobs_text(jobs: t.Iterable[Job]) -> str:
    texts = [
        f" Job {job.id}: {name_of(JobType, job.type)} ({job.type}), state {name_of(JobState, job.state)} ({job.state}),"
        f" {job.percent if job.percent is not None else '?'} %, owner {job.owner or 'unknown'},"
        f" since {time_text(job.start_time) or 'unknown'}."
        for job in jobs
    ]
    return "".join(texts)


def _hint(run: Run, order: Order) -> str:
    hints = []
    verb = order.verb
    if run.error is not None:
        decided = run.decision.hint if run.decision.error is run.error else ""
        hints.append(run.hint or decided or hint_of(run.error, run.act.noun if run.touched else verb.target.noun))
        if run.error is ErrorClass.WOULD_DISCARD:
            situation = verb.situation(run.before)
            allowed = replace(situation, facts=situation.facts | {Fact.MAY_DISCARD})
            power = decide(verb.target, allowed, run.before.power, verb.running_vm)
            if power.consent_missing:
                hints.append("The VM is not off either: " + HINTS[power.error or ErrorClass.VM_RUNNING])
    if run.powered_off and run.error is not None:
        hints.append("This run has turned the VM off and starts nothing by itself; Start-VM on the host starts it.")
    if run.error is None and (run.outcome is Outcome.CHANGED or run.decision.row.effect is Effect.CALL):
        hints.append(verb.hint(run.before, run.outcome is Outcome.CHANGED))
    return " ".join(filter(None, hints))


def refusal_dict(refusal: Refusal, host: str) -> JsonDict:
    """An entry of ``vms`` for a name that leads to no VM."""
    return _nameless(
        refusal.name,
        Outcome.FAILED,
        refusal.error_class,
        f"{refusal.message} Host {host}. Nothing was changed.",
        HINTS[refusal.error_class],
    )


def absent_dict(name: str, host: str) -> JsonDict:
    """An entry of ``vms`` for a name that this host does not have, where that is allowed."""
    return _nameless(name, Outcome.NOT_HERE, None, f"VM {name!r} is not on {host}.", "")


def _nameless(name: str, outcome: Outcome, error: ErrorClass | None, msg: str, hint: str) -> JsonDict:
    nothing = {f"{key}{suffix}": None for key in ("mode", "state", "health", "power") for suffix in ("", "_raw")}
    return {
        "id": "",
        "name": name,
        "relationship_id": None,
        **nothing,
        "before": None,
        "after": None,
        "action": "none",
        "changed": False,
        "return_value": None,
        "job": None,
        "failed_over_point": None,
        "last_replication_time": None,
        "peer_host": "",
        "test_copy": None,
        "protection": "unknown",
        "powered_off": False,
        "started": None,
        "ended": None,
        "outcome": outcome.value,
        "certainty": Certainty.NOTHING_CHANGED.value,
        "error_class": error.value if error else None,
        "msg": msg,
        "hint": hint,
    }


def result_of(
    conductor: Conductor, host: str, choice: Choice, refused: ReplicaError | None, *, everyone: bool, diff: bool
) -> JsonDict:
    """The result of a run on one host.

    ``refused``: what kept the whole order from being carried out. ``everyone``: list also the VMs that needed nothing.
    """
    runs, order = conductor.runs, conductor.order
    counts = Counter((run.outcome or Outcome.FAILED) for run in runs)
    counts[Outcome.NOT_HERE] += len(choice.not_here)
    counts[Outcome.FAILED] += len(choice.refusals)
    shown = [run for run in runs if everyone or run.outcome not in CALM]
    result: JsonDict = {
        "changed": any(run.changed for run in runs),
        "host": host,
        "vms": [refusal_dict(refusal, host) for refusal in choice.refusals]
        + [vm_dict(run, order, host) for run in shown]
        + [absent_dict(name, host) for name in choice.not_here],
        "summary": summary(counts),
    }
    troubles = troubles_of(conductor, host, choice, refused)
    if troubles:
        worst = troubles[0]
        result.update(
            failed=True,
            error_class=worst.error.value,
            certainty=overall_certainty(runs).value,
            hint=worst.hint,
        )
        if lost_before_anything_was_sent(runs):
            result["unreachable"] = True
            del result["failed"]
    warnings = [
        f"VM {run.before.name!r} on {host}: {warning}."
        for run in runs
        if run.powered_off or run.outcome is Outcome.WOULD_CHANGE
        for warning in [order.verb.warning(run.decision)]
        if warning
    ]
    if warnings:
        result["warnings"] = warnings
    result["msg"] = message(host, order, counts, troubles)
    if diff:
        result["diff"] = [diff_of(run, order, host) for run in runs if run.changed]
    return result


@dataclass(frozen=True)
class Trouble:
    """Something a person must read: a VM, a name or the whole order that failed."""

    error: ErrorClass
    certainty: Certainty
    text: str
    hint: str


def troubles_of(conductor: Conductor, host: str, choice: Choice, refused: ReplicaError | None) -> list[Trouble]:
    """All failures, those that need a person most in front."""
    order = conductor.order
    troubles = (
        []
        if refused is None
        else [Trouble(refused.error_class, refused.certainty, f"{refused.message} Nothing was changed.", refused.hint)]
    )
    troubles += [
        Trouble(
            refusal.error_class,
            Certainty.NOTHING_CHANGED,
            f"{refusal.message} Nothing was changed.",
            HINTS[refusal.error_class],
        )
        for refusal in choice.refusals
    ]
    troubles += [
        Trouble(run.error, run.certainty, _sentence(run, order, host), _hint(run, order))
        for run in conductor.runs
        if run.error is not None
    ]
    return sorted(troubles, key=lambda trouble: WORST_CERTAINTY.index(trouble.certainty))


def lost_before_anything_was_sent(runs: t.Sequence[Run]) -> bool:
    """Whether the host went away between the reading and the first call: for Ansible it is unreachable then."""
    failing = {run.error for run in runs if run.error is not None}
    return failing == {ErrorClass.CONNECTION_LOST} and not any(run.touched for run in runs)


def summary(counts: t.Mapping[Outcome, int]) -> JsonDict:
    result: JsonDict = {outcome.value: counts.get(outcome, 0) for outcome in Outcome}
    result["total"] = sum(result.values())
    return result


def overall_certainty(runs: t.Iterable[Run]) -> Certainty:
    """The worst there is: one VM that was changed makes "nothing was changed" untrue for the whole."""
    seen = {run.certainty for run in runs}  # of a prediction it is "nothing changed", of a change "changed"
    return next((certainty for certainty in WORST_CERTAINTY if certainty in seen), Certainty.NOTHING_CHANGED)


def message(host: str, order: Order, counts: t.Mapping[Outcome, int], troubles: t.Sequence[Trouble]) -> str:
    """At most ten lines: the counts, then the worst VMs with their hints."""
    told = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts.get(outcome))
    mode = " (check mode: nothing was sent)" if order.check_mode else ""
    lines = [f"{host}: {told or 'no VMs'}{mode}."]
    room = _LINES - 2
    lines += [f"{trouble.text} {trouble.hint}" for trouble in troubles[:room]]
    if len(troubles) > room:
        lines.append(f"... and {len(troubles) - room} more; see vms.")
    return "\n".join(lines)


def diff_of(run: Run, order: Order, host: str) -> JsonDict:
    """Before and after of one VM. In check mode the state is named by what is certain: that it is left."""
    before = order.verb.lines(run.before)
    if order.check_mode:
        after = {**before, **order.verb.foretold(run.before, run.decision)}
    else:
        gone = "gone" if run.gone and order.verb.ends_in_absence else "unknown"
        after = order.verb.lines(run.after) if run.after else dict.fromkeys(before, gone)
    header = f"{run.before.name} ({run.before.id}) on {host}"
    return {
        "before_header": header,
        "after_header": header,
        "before": _diff_text(before),
        "after": _diff_text(after),
    }


def diff_text(diffs: t.Iterable[t.Mapping[str, str]]) -> str:
    """A diff for people, where Ansible shows none."""
    return "\n".join(
        f"{diff['before_header']}: {' '.join(diff['before'].split())} -> {' '.join(diff['after'].split())}"
        for diff in diffs
    )


def _diff_text(lines: t.Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


def relationship_dict(link: Relationship) -> JsonDict:
    return {
        "id": link.id,
        "index": link.index,
        **named("state", ReplicationState, link.state),
        **named("health", ReplicationHealth, link.health),
        **named("failed_over_type", FailoverType, link.failover_type),
        **named("last_replication_type", FailoverType, link.last_replication_type),
        "last_replication_time": time_text(link.last_replication_time),
        "last_application_consistent_replication_time": time_text(link.last_application_consistent_replication_time),
        "last_apply_time": time_text(link.last_apply_time),
    }


_REVERTIBLE = Revert(running_vm=RunningVm.TURN_OFF, discard_guest_writes=True)
"""With everything allowed: what the state alone has to say."""


def info_dict(vm: VirtualMachine) -> JsonDict:
    """One VM as ``replication_info`` shows it."""
    decision = _REVERTIBLE.decide(vm)
    primary = vm.relationship(0)
    consistent = primary.last_application_consistent_replication_time if primary else None
    result: JsonDict = {
        "id": vm.id,
        "name": vm.name,
        **state_dict(vm),
        **named("failed_over_type", FailoverType, vm.failover_type),
        "last_replication_time": time_text(vm.last_replication_time),
        "last_application_consistent_replication_time": time_text(consistent),
        "relationships": [relationship_dict(link) for link in vm.relationships],
        "settings": [
            {
                "index": settings.index,
                "primary_host": settings.primary_host,
                "recovery_host": settings.recovery_host,
                "primary_connection_point": settings.primary_connection_point,
                "recovery_connection_point": settings.recovery_connection_point,
                "recovery_port": settings.recovery_port,
                "authentication_type_raw": settings.authentication_type,
                "replication_interval": settings.replication_interval,
            }
            for settings in vm.settings
        ],
        "peer_host": vm.peer_host,
        "jobs": [job_dict(job) for job in vm.jobs],
        "test_copies": [{"id": copy.id, "name": copy.name} for copy in vm.test_copies],
        "replica_id": vm.replica_id,
        "revertible": decision.effect is Effect.CALL,
        "consistent": vm.relationship_agrees,
    }
    if vm.adapters is not None:
        result["network"] = [network_adapter_dict(adapter) for adapter in vm.adapters]
    if vm.recovery_points is not None:
        result["recovery_points"] = [
            {"id": point.id, "name": point.name, "type": point.type, "time": time_text(point.time)}
            for point in vm.recovery_points
        ]
    return result


def network_adapter_dict(adapter: NetworkAdapter) -> JsonDict:
    """One network adapter, and what it is given after a failover, as the host has it."""
    found = adapter.failover
    return {
        "name": adapter.name,
        "mac": adapter.mac,
        "failover": None
        if found is None
        else {
            **named("protocol", ProtocolType, found.protocol),
            "dhcp": found.dhcp,
            "addresses": list(found.addresses),
            "subnets": list(found.subnets),
            "gateways": list(found.gateways),
            "dns_servers": list(found.dns_servers),
        },
    }


def counted_dict(counted: t.Sequence[Counted] | None, asked: t.Collection[str]) -> JsonDict:
    """What was asked for of a VM, one entry a relationship; null where it was not gathered."""
    result: JsonDict = dict.fromkeys(sorted(asked))
    if counted is None:
        return result
    if "statistics" in asked:
        result["statistics"] = [
            {
                "index": each.index,
                **{name: time_text(time) for name, time in each.times.items()},
                **each.numbers,
                "health": name_of(ReplicationHealth, each.numbers["health_raw"]),
            }
            for each in counted
            if each.numbers is not None and each.times is not None
        ]
    if "pending" in asked:
        result["pending"] = [
            {"index": each.index, "size": each.numbers["pending_size"]} for each in counted if each.numbers is not None
        ]
    if "health_issues" in asked:
        result["health_issues"] = [
            {
                "index": each.index,
                "class": issue.kind,
                "message_id": issue.message_id,
                "message": issue.message,
                **named("severity", Severity, issue.severity),
                "error_type": issue.error_type,
                "probable_cause": issue.probable_cause,
                "status_code": issue.status_code,
            }
            for each in counted
            for issue in each.issues or ()
        ]
    return result


def info_result(
    host: Host,
    host_name: str,
    choice: Choice,
    asked: t.Collection[str] = (),
    counted: t.Mapping[str, t.Sequence[Counted]] | None = None,
) -> JsonDict:
    """The result of replication_info. What could not be read fails it, and the rest is still shown.

    ``asked``: the subsets that only a method tells; ``counted``: what it told, None where it was not asked.
    """
    result: JsonDict = {
        "changed": False,
        "host": host_name,
        "vms": [
            {**info_dict(vm), **counted_dict(None if counted is None else counted[vm.id], asked)} for vm in choice.vms
        ],
        "unattributed_jobs": [job_dict(job) for job in host.unattributed_jobs],
        "not_here": list(choice.not_here),
    }
    if choice.refusals:
        worst = choice.refusals[0]
        result.update(
            failed=True,
            msg="\n".join(f"{refusal.message} Host {host_name}." for refusal in choice.refusals[:_LINES]),
            error_class=worst.error_class.value,
            certainty=Certainty.NOTHING_CHANGED.value,
            hint=HINTS[worst.error_class],
        )
    else:
        silent = [
            (vm, each) for vm in choice.vms for each in (counted or {}).get(vm.id, ()) if each.error is not None
        ]
        if silent:
            worst_class = silent[0][1].error or ErrorClass.STATUS_UNKNOWN
            result.update(
                failed=True,
                msg="\n".join(
                    f"VM {vm.name!r} ({vm.id}) on {host_name}, relationship {each.index}: {each.message}"
                    for vm, each in silent[:_LINES]
                ),
                error_class=worst_class.value,
                certainty=Certainty.NOTHING_CHANGED.value,
                hint=HINTS[worst_class],
            )
    return result
