# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What nobody documented, by name: how the lab answers where the vendor's pages are silent.

Every entry can be switched for one scenario (``assumptions:``). ``section`` points into the project's notes
on the Hyper-V Replica API; a recording of a real pair turns an entry into a fact or changes its default.
"""

from __future__ import annotations

import difflib
import typing as t
from dataclasses import dataclass

Choice = t.Union[bool, int, str]


@dataclass(frozen=True)
class Assumption:
    """One undocumented behaviour: what the lab does by default, what else it can do, and why."""

    name: str
    default: Choice
    alternatives: tuple[Choice, ...]
    """Empty where any number of seconds (0 or more) is allowed."""
    section: str
    reason: str

    def accepts(self, value: object) -> bool:
        if not self.alternatives:
            return isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return any(value == choice and type(value) is type(choice) for choice in (self.default, *self.alternatives))


_ALL = (
    # --- revert
    Assumption(
        "REVERT_RUNNING_VM", "refuse_32775", ("refuse_32774", "accept_and_power_off", "accept"), "10, 13.1",
        "The method's page is silent; the cmdlet cuts the power first, so a refusal is the likely reason.",
    ),
    Assumption(
        "REVERT_SAVED_VM", "refuse_32775", ("refuse_32774", "accept_and_power_off", "accept"), "10, 13.1",
        "Not handled by the cmdlet either; a saved state would belong to a disk that is thrown away.",
    ),
    Assumption(
        "REVERT_NOTHING", 32775, (0,), "13.2",
        "A method that has nothing to undo: 'invalid state', or the silent success that other methods give.",
    ),
    Assumption(
        "REVERT_IN_STATE_12", 32775, ("accept",), "7, 13.5",
        "The cmdlet lets state 12 pass; without a running job such a state is the remains of a broken change.",
    ),
    Assumption(
        "REVERT_WITH_TEST_COPY", "accept", (32774, 32775), "8, 13.16",
        "The method names only the replica, so it should leave its test copy alone.",
    ),
    Assumption(
        "REVERT_WITH_EXTENDED", "accept", (32775,), "13.7",
        "Nothing says that a second relationship hinders the revert of the first.",
    ),
    Assumption(
        "STATE_WHILE_REVERTING", 12, ("target", "before"), "3, 9",
        "State 12 is 'failover in progress'; a requested replication state is documented to show at once.",
    ),
    Assumption(
        "STATE_AFTER_REVERT_REPLICA", 3, (7, 8), "7, 13.3",
        "The page promises only that a failover may be started again; with the link down it may not be 3.",
    ),
    Assumption(
        "FAILED_OVER_TYPE_AFTER_REVERT", "none", ("kept",), "7, 13.3",
        "The type names the failover that is in force; after the revert there is none.",
    ),
    Assumption(
        "PRIMARY_REVERT_JOB_TYPE", 98, (101,), "13.4",
        "The method is RevertFailover, but a type 'cancel synced replication' exists.",
    ),
    Assumption(
        "PLANNED_POINT_AFTER_CALLING_OFF", "removed", ("kept",), "7",
        "The point stands for a state in which the primary was stopped, which is over.",
    ),
    # --- fail over, prepare, commit
    Assumption(
        "STATE_WHILE_FAILING_OVER", 12, ("target", "before"), "7",
        "State 12 is 'failover in progress'.",
    ),
    Assumption(
        "FAILOVER_FROM_SUSPENDED", 32775, ("accept",), "7",
        "The cmdlet requests state 3 first when it reads 7 or 10.",
    ),
    Assumption(
        "FAILOVER_TOUCHES_CONFIGURATION_TIME", True, (False,), "3",
        "A failover and its revert exchange the disks of the VM's configuration.",
    ),
    Assumption(
        "LAST_APPLIED_SNAPSHOT_AFTER_FAILOVER", True, (False,), "5.1",
        "A failover applies a recovery point; the association's page calls that the last applied snapshot.",
    ),
    Assumption(
        "PRIMARY_AFTER_UNPLANNED_FAILOVER", 8, (3, 7), "7",
        "The primary no longer replicates; its state is whatever the broken link gives.",
    ),
    Assumption(
        "RESYNC_NEEDED_AFTER", 3600, (), "7, 13.8",
        "Seconds until the log of a primary that cannot replicate is given up and 8 becomes 9; 0 is never.",
    ),
    Assumption(
        "RESUME_TO_FAILED_OVER_REPLICA", "job_fails", ("accept",), "7",
        "A replica that runs on its own disk has no place for the primary's changes.",
    ),
    Assumption(
        "CALL_OFF_BY_STATE_CHANGE", 32775, ("accept",), "13.6",
        "Whether a prepared relationship goes back by requesting state 3 is a guess.",
    ),
    Assumption(
        "STATE_WHILE_COMMITTING", "target", (12, "before"), "3",
        "As for a requested replication state.",
    ),
    Assumption(
        "MERGE_AFTER_COMMIT_SECONDS", 0, (), "3.1",
        "Seconds for which OperationalStatus still says 'merging disks' after the job that ended the recovery points: "
        "a commit, a reversal without one, a removal.",
    ),
    Assumption(
        "METHOD_WHILE_MERGING", "accept", (32774, 32775), "3.1",
        "The commit is done; whether the merge that goes on behind it keeps others away is not said.",
    ),
    # --- test failover, destroy
    Assumption(
        "TEST_COPY_NAME", "english", ("localised",), "10",
        "The suffix ' - Test' is known from English hosts only.",
    ),
    Assumption(
        "TEST_COPY_STATE", 0, (3,), "9",
        "A test copy replicates nothing, but it is made of a VM that does.",
    ),
    Assumption(
        "SECOND_TEST_COPY", 32775, ("accept",), "10",
        "A second test is possible when the first copy's association is broken, so it normally is not.",
    ),
    Assumption(
        "RESULTING_SYSTEM_WITH_JOB", False, (True,), "1.2",
        "With 4096 other out parameters are seen to be empty.",
    ),
    Assumption(
        "REMOVE_TEST_JOB_TYPE", 3, (103,), "6",
        "DestroySystem makes a destroy job; a type 'remove test replica' exists.",
    ),
    Assumption(
        "DESTROY_REPLICATED_VM", 32775, ("accept",), "7",
        "A VM with a replication relationship should first lose that.",
    ),
    # --- power
    Assumption(
        "POWER_CHANGE_ANSWER", "job", ("sync",), "3.1",
        "The page allows both.",
    ),
    Assumption(
        "POWER_ALREADY_THERE", 32775, (0,), "3.1",
        "Asking for the power state the VM has.",
    ),
    Assumption(
        "DROP_SAVED_STATE_BY_TURN_OFF", "accept", (32775,), "3.1",
        "Hyper-V Manager deletes a saved state by an action of its own; the method may or may not.",
    ),
    Assumption(
        "START_REPLICA", 32775, ("accept",), "7",
        "The disk of a replica that receives changes must not be written by a guest.",
    ),
    # --- shut down
    Assumption(
        "POWER_WHILE_SHUTTING_DOWN", 4, (2,), "3.1",
        "The value 'shutting down' exists; whether a host shows it while only the guest works is not said.",
    ),
    Assumption(
        "SHUTDOWN_REFUSED", 32775, (32768, 32774), "3.1",
        "A guest that says no: the method has a list of codes, without their reasons.",
    ),
    Assumption(
        "SHUTDOWN_ANSWER", 0, (4096,), "3.1",
        "InitiateShutdown has no Job to hand out; its list of codes holds 'job started' all the same.",
    ),
    # --- relationship: make, change, remove
    Assumption(
        "CONNECTION_FAILURE_CODE", 32768, (32777,), "6",
        "A job that could not reach the other host was seen to end with 'failed'; 'not available' would fit too.",
    ),
    Assumption(
        "NO_RECOVERY_PORT", "accept", (32773,), "5",
        "The property's default is 0; the service listens on 80 or 443 unless told otherwise.",
    ),
    Assumption(
        "EXTEND_BEFORE_REPLICATING", 32775, ("accept",), "7",
        "A replica that has not everything yet has nothing to pass on.",
    ),
    Assumption(
        "NEW_REPLICA_NETWORK", "disconnected", ("same_switch_name",), "5",
        "A new replica's adapters: not on any network, or on the switch that is called as the primary's.",
    ),
    Assumption(
        "MODIFY_SETTINGS_ON_REPLICA", 32775, ("accept",), "10",
        "Settings are the sender's; setters fail on the replica during a swap of roles, perhaps always.",
    ),
    Assumption(
        "MODIFY_CONNECTION_POINT", 32773, ("accept",), "1.2",
        "Another recovery server means another replica, which a change of settings does not make.",
    ),
    Assumption(
        "NULL_RELATIONSHIP", "primary", ("refuse_32773",), "2",
        "NULL is documented as the primary relationship for state changes, not for the methods of the service.",
    ),
    Assumption(
        "REMOVE_WHILE_FAILED_OVER", "accept", (32775,), "1.2",
        "A failed-over VM can be kept as it is, without replication.",
    ),
    Assumption(
        "REMOVE_WITH_TEST_COPY", 32775, ("accept",), "10",
        "The copy would lose its replica, by which alone it is found.",
    ),
    Assumption(
        "PRIMARY_AFTER_REPLICA_WAS_REMOVED", 8, (3, 7), "1.2",
        "Each side is removed separately; the sender then finds nobody.",
    ),
    # --- relationship: turn round
    Assumption(
        "REVERSE_WITHOUT_SETTINGS", "refuse", ("accept",), "1.2, 13.12",
        "The sample sends settings; the client fills in PrimaryConnectionPoint, the service may or may not.",
    ),
    Assumption(
        "REVERSE_BEFORE_COMMIT", "planned", ("never", "any"), "7",
        "After a planned failover the points are merged by the reverse; an unplanned one is committed first.",
    ),
    Assumption(
        "REVERSE_TO_UNTOLD_PRIMARY", "job_fails", ("accept",), "7",
        "After an unplanned failover the old primary must first be told to be a replica.",
    ),
    Assumption(
        "REVERSE_ON_THIRD_SITE", "accept", (32775,), "1.2",
        "The method is for replica and extended replica; what becomes of the chain is not said.",
    ),
    Assumption(
        "AS_REPLICA_FROM", "any", ("broken",), "2, 7",
        "No precondition is documented for requesting state 2: a primary that still replicates may not be safe.",
    ),
    Assumption(
        "AS_REPLICA_RUNNING_VM", 32775, ("accept",), "7",
        "A replica's guest does not run.",
    ),
    Assumption(
        "EXTENDED_AFTER_FAILOVER", "kept", (7, 8), "7",
        "What the second relationship does while the first is failed over.",
    ),
    Assumption(
        "STATE_AFTER_CONTINUE", 3, (7, 9), "7",
        "The third site follows the new primary; whether it has to be compared first is not said.",
    ),
    # --- initial replication, resynchronization
    Assumption(
        "START_TIME_IN_THE_PAST", "now", (32773,), "1.2",
        "A time that has passed means at once, or makes no sense.",
    ),
    Assumption(
        "STATE_UNTIL_SCHEDULED_START", 1, (2,), "1.2",
        "Nothing is under way before the time comes.",
    ),
    Assumption(
        "IMPORT_LOCATION", "any", ("as_exported",), "1.2",
        "The folder is carried to the other host by a person, who may put it anywhere.",
    ),
    Assumption(
        "RESUME_UNFINISHED_INITIAL_REPLICATION", True, (False,), "2",
        "Resuming what was suspended in state 2 can only go on with it; otherwise 3 is claimed without data.",
    ),
    Assumption(
        "RESUME_WHERE_RESYNC_IS_NEEDED", "accept", (32775,), "2",
        "The cmdlet requests state 3 from 9 as well; the name of the state says that more is needed.",
    ),
    # --- network
    Assumption(
        "DISCONNECTED_NETWORK", "disabled", ("absent",), "5",
        "An adapter on no network has a connection that is disabled, or none at all.",
    ),
    Assumption(
        "FAILOVER_NETWORK_JOB_TYPE", 92, (0,), "6",
        "The list of job types has none for failover addresses; they are settings of the relationship.",
    ),
    Assumption(
        "FAILOVER_NETWORK_OF_UNREPLICATED", 32775, ("accept",), "1.2",
        "A VM that is not replicated is never failed over.",
    ),
    Assumption(
        "FAILOVER_SUBNETS_NOT_PARALLEL", 32773, ("accept",), "5",
        "Subnets are parallel to the addresses.",
    ),
    Assumption(
        "FAILOVER_ADDRESS_THAT_IS_NONE", 32773, ("accept",), "5",
        "Whether the service looks at addresses, or hands them to the guest as they are.",
    ),
    Assumption(
        "RESOURCE_SETTINGS_ANSWER", "sync", ("job",), "1.1",
        "The page allows both.",
    ),
    # --- replica server, statistics
    Assumption(
        "CLUSTER_NODE_SERVICE_SETTINGS", 32770, ("accept",), "1.2",
        "Known of authorization entries only: on a node the Replica Broker has the settings.",
    ),
    Assumption(
        "AUTHORIZATION_THAT_EXISTS", 32773, ("accept",), "1.2",
        "Adding a host that is there already: refused, or as good as a modification.",
    ),
    Assumption(
        "UNKNOWN_AUTHORIZATION", 32773, (32779,), "1.2",
        "Changing or removing an entry that is not there.",
    ),
    Assumption(
        "AUTHORIZATION_WITH_BLANKS", 32773, ("accept",), "5",
        "The cmdlet demands a trust group and a storage location.",
    ),
    Assumption(
        "SET_AUTHORIZATION_UNKNOWN_TO_HOST", 32773, ("accept",), "1.2",
        "A VM can be bound to a primary only if its host takes anything from there.",
    ),
    Assumption(
        "AUTHORIZATION_OF_A_VM", "restricts", ("noted",), "1.2",
        "An entry for one VM: other primaries are refused from then on, or only its storage and trust group count.",
    ),
    Assumption(
        "STATISTICS_ANSWER", "sync", ("job_with_results", "job"), "1.2",
        "Out parameters are of use only to a caller who gets them with the answer.",
    ),
    Assumption(
        "HEALTH_ISSUE_MESSAGE_ID", "", ("32086",), "1.2",
        "The issues are Msvm_Error; no list of their numbers was found.",
    ),
    # --- jobs, host
    Assumption(
        "METHOD_WHILE_JOB_RUNS", 32775, (32774,), "1.1",
        "'Invalid state' and 'in use' both describe it.",
    ),
    Assumption(
        "METHOD_WHILE_BACKUP", 32774, (32775,), "1.1",
        "A backup or an export holds the VM.",
    ),
    Assumption(
        "UNKNOWN_VM", 32773, (32779,), "9",
        "A reference to a VM that is not there.",
    ),
    Assumption(
        "JOBS_CANCELLABLE", False, (True,), "6, 13.15",
        "Whether a revert can be cancelled is not known.",
    ),
    Assumption(
        "CANCELLED_JOB_ENDS_IN", 8, (9,), "6",
        "The client waits for either.",
    ),
    Assumption(
        "FOREIGN_JOBS", "visible", ("hidden",), "13.10",
        "Jobs of another user's session may be readable by reference only.",
    ),
    Assumption(
        "ENDED_JOB_ASSOCIATION", "kept", ("dropped",), "5.1",
        "Whether Msvm_AffectedJobElement outlives the job's work.",
    ),
    Assumption(
        "VMMS_RESTART_LOSES_JOBS", True, (False,), "6",
        "Jobs live in the memory of the service.",
    ),
    Assumption(
        "VMMS_RESTART_RUNNING_CHANGES", "roll_back", ("complete", "stay_between"), "6",
        "What becomes of a change whose job was lost.",
    ),
    Assumption(
        "VMMS_STOPPED", "error", ("empty",), "1",
        "The vendor's sample takes 'no instance' for a stopped service; a provider may also fail to load.",
    ),
    Assumption(
        "UAC_FILTER_HIDES_SERVICES", True, (False,), "3",
        "Filtered callers see no instances; whether the services count is not said.",
    ),
    Assumption(
        "RELATIONSHIP_WITHOUT_REPLICATION", "present", ("absent",), "5, 13.13",
        "Setting data exists before replication is enabled, and presumably the relationship too.",
    ),
)

ASSUMPTIONS: dict[str, Assumption] = {entry.name: entry for entry in _ALL}


class AssumptionError(ValueError):
    """There is no such assumption, or it has no such alternative."""


class Assumptions:
    """The assumptions in force in one world. Values are attributes: ``assumptions.REVERT_NOTHING``."""

    def __init__(self, switched: t.Mapping[str, Choice] | None = None) -> None:
        self._values: dict[str, Choice] = {name: entry.default for name, entry in ASSUMPTIONS.items()}
        for name, value in (switched or {}).items():
            self.switch(name, value)

    def switch(self, name: str, value: Choice) -> None:
        """Change one assumption. Raises AssumptionError, with what would have been possible."""
        entry = ASSUMPTIONS.get(name)
        if entry is None:
            near = difflib.get_close_matches(name, ASSUMPTIONS, 1, 0.5)
            raise AssumptionError(f"no assumption {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
        if not entry.accepts(value):
            choices = ", ".join(map(repr, (entry.default, *entry.alternatives))) if entry.alternatives else "seconds"
            raise AssumptionError(f"assumption {name} cannot be {value!r}; it takes {choices}")
        self._values[name] = value

    def switched(self) -> dict[str, Choice]:
        """Those that differ from their default."""
        return {name: value for name, value in self._values.items() if value != ASSUMPTIONS[name].default}

    def __getattr__(self, name: str) -> t.Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(name) from None
