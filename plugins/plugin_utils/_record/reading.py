# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""What is read from a host for a recording. Queries and gets only: nothing here changes anything.

The queries are those of the domain, some more that show the shape of a class or an association, and two questions
whose answer is an error: the fault for a job that is gone decides what becomes of a lost job, and the one for a class
that is not there makes the difference between Windows Server 2012 and its successors.
"""

from __future__ import annotations

import typing as t

from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import (
    Answer,
    CimSession,
    Get,
    Instance,
    Query,
    Reference,
    Step,
)
from ansible_collections.hyperv.replica.plugins.plugin_utils._record.recording import Moment, Recorder
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica import read

NO_SUCH_JOB = Get(Reference.of("Msvm_ConcreteJob", InstanceID="00000000-0000-0000-0000-000000000000"))
NO_SUCH_CLASS = Query("SELECT * FROM Msvm_ReplicationNoSuchClass")
"""Refused by the PowerShell module itself, so only WS-Management shows what a host makes of it."""

EVERY_JOB = Query("SELECT * FROM Msvm_ConcreteJob")
SERVICE = Query("SELECT * FROM Msvm_ReplicationService")

QUERIES: tuple[Query, ...] = (
    read.COMPUTER_SYSTEMS,
    read.RELATIONSHIPS,
    read.SETTINGS,
    EVERY_JOB,
    read.AFFECTED,
    read.TEST_COPIES,
    read.LAST_APPLIED,
    read.RECOVERY_POINTS,
    SERVICE,
    Query("SELECT * FROM Msvm_ReplicationServiceSettingData"),
    Query("SELECT * FROM Msvm_VirtualSystemManagementService"),
    Query("SELECT * FROM Msvm_SystemReplicationRelationship"),
    Query("SELECT * FROM Msvm_SettingsDefineState"),
)


def take(session: CimSession, recorder: Recorder) -> list[Answer]:
    """Read a host once. What fails is recorded as it failed; the answers are those of the first list of steps."""
    recorder.moment = Moment.READING
    steps: list[Step] = [*QUERIES, NO_SUCH_CLASS, NO_SUCH_JOB]
    answers = session.run(steps)
    known = [answer for answer in answers if isinstance(answer, tuple)]
    follow: list[Step] = [Get(reference) for reference in _one_of_each(known)]
    if follow:
        session.run(follow)
    return answers


def _one_of_each(answers: t.Iterable[tuple[Instance, ...]]) -> t.Iterator[Reference]:
    """The last instance of the classes that the domain fetches by their keys."""
    for instances in answers:
        if instances and instances[-1].class_name in ("Msvm_ComputerSystem", "Msvm_ConcreteJob"):
            reference = instances[-1].reference
            if reference is not None:
                yield reference
