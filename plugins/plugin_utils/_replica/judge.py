# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""The last word: what a VM to which something was sent has come to, judged by what it shows at the end."""

from __future__ import annotations

from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import Certainty, ErrorClass, Outcome
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.run import Run
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.verbs.verb import Part, Reading, Verb


def started(run: Run) -> bool:
    """Whether the VM shows what the task wanted on top of the verb, if it wanted anything: that it runs."""
    after = run.after
    last = [act for act in run.acts if act.part is Part.AFTER]
    return all(after is not None and act.shows(run.before, after) is Reading.LEFT for act in last)


def conclude(verb: Verb, run: Run) -> None:
    """Outcome and certainty of a VM to which something was sent, from its last reading."""
    after, before = run.after, run.before
    reading = None if after is None else verb.reading(before, after)
    if run.gone and verb.ends_in_absence and run.touched:
        reading = Reading.LEFT
    traceless = verb.leaves_no_trace and reading is Reading.PENDING
    if run.succeeded and (reading is Reading.LEFT or traceless) and started(run):
        run.outcome, run.changed, run.certainty = Outcome.CHANGED, True, Certainty.CHANGED
        return
    run.changed = True
    if run.succeeded:
        run.outcome = Outcome.FAILED
        run.error, run.certainty, run.cause = _unconfirmed(run, reading)
    elif run.certainty is Certainty.UNKNOWN:
        pass  # a later reading does not tell whose work it shows
    elif run.sent and reading is Reading.LEFT:
        run.certainty = Certainty.CHANGED
    elif after is None or (run.sent and reading is Reading.ODD):
        run.certainty = Certainty.UNKNOWN
    elif run.powered_off or run.asked_off or verb.moved(before, after):
        run.certainty = Certainty.BETWEEN_STATES
    else:
        run.certainty, run.changed = Certainty.NOTHING_CHANGED, False


def _unconfirmed(run: Run, reading: Reading | None) -> tuple[ErrorClass, Certainty, str]:
    """The host reported success, and the VM does not show it: what to call that."""
    if run.gone:
        cause = "The host reported success, and the VM is no longer on this host."
        return ErrorClass.VM_NOT_FOUND, Certainty.UNKNOWN, cause
    if run.after is None:
        cause = "The host reported success, but the VM could not be read afterwards."
        return ErrorClass.CONNECTION_LOST, Certainty.UNKNOWN, cause
    if reading is Reading.LEFT:
        cause = "The host reported success for the start as well, and the VM does not run."
        return ErrorClass.METHOD_FAILED, Certainty.CHANGED if run.sent else Certainty.UNKNOWN, cause
    if reading is Reading.ODD:
        cause = "The host reported success, and the VM shows a mode or state that does not belong after it."
        return ErrorClass.UNEXPECTED_STATE, Certainty.CHANGED, cause
    if run.after.configuration_time != run.before.configuration_time and not run.powered_off:
        cause = "The host reported success, and the VM shows the state of before: somebody changed it anew."
        return ErrorClass.BUSY, Certainty.CHANGED, cause
    cause = "The host reported success, but the VM still shows the state of before."
    return ErrorClass.METHOD_FAILED, Certainty.UNKNOWN, cause
