# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file is for the internal use of the hyperv.replica collection only. It may change in any
# release without notice; nothing outside the collection should import it.

"""The base class of the action plugins: arguments in, result out, and the one guard around everything between.

Whatever goes wrong becomes a result here and nowhere else. The domain says what happened, this file says it the way
Ansible wants to hear it.
"""

from __future__ import annotations

import time
import typing as t
from datetime import datetime, timezone

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.over_powershell import MODULE
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import CimError, CimSession
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.transport import VARIABLE, Transport, open_session
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.carry_out import Conductor
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.outcome import ErrorClass, ReplicaError
from ansible_collections.hyperv.replica.plugins.plugin_utils._replica.run import Progress, Run

display = Display()

PROGRESS_EVERY = 10.0
"""Seconds between two progress lines of one host, and before the first."""


HOST_SPEC: t.Final[dict[str, t.Any]] = {
    "transport": {"type": "str", "choices": [transport.value for transport in Transport]},
}
"""What every module takes that talks to a host; documented in doc_fragments/host.py."""


class SystemClock:
    """Real time."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def now(self) -> datetime:
        return datetime.now(timezone.utc)


class ReplicaAction(ActionBase):
    """One module of the collection. A subclass has a spec and an ``act``; it keeps no state between runs."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True
    _supports_async = True  # so that the refusal below, with its class and hint, is the one that is seen

    SPEC: t.ClassVar[dict[str, t.Any]] = {}

    def act(self, session: CimSession, arguments: dict[str, t.Any], talk: Talk) -> dict[str, t.Any]:
        """Do the work over an open session; the result without what all modules share."""
        raise NotImplementedError

    def check(self, arguments: dict[str, t.Any], written: t.Mapping[str, t.Any]) -> None:
        """What the spec cannot say about the arguments. ``written``: as they came. Raises ReplicaError."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        host = str(variables.get("inventory_hostname", ""))
        talk = Talk(host, quiet=bool(self._task.no_log))
        session: CimSession | None = None
        try:
            arguments = self._arguments()
            transport = self._transport(arguments["transport"], variables)
            session = open_session(transport, self._connection, self._bridge(variables), become=becomes(self))
            result["transport"] = session.transport
            result.update(self.act(session, arguments, talk))
        except CimError as error:
            result.update(failure(ReplicaError.from_cim(error, "")))
        except ReplicaError as error:
            result.update(failure(error))
        except BaseException:
            talk.abandoned()
            raise
        finally:
            if session is not None:
                session.close()
        return result

    def _arguments(self) -> dict[str, t.Any]:
        if self._task.async_val:
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT,
                "This module does not run with async: it waits for the jobs on the host itself.",
                hint="Leave async out. wait=false returns once the calls are sent; timeout bounds the whole task.",
            )
        try:
            _checked, arguments = self.validate_argument_spec(argument_spec=self.SPEC)
        except AnsibleError as error:
            # Core lists what a boolean may be in an order that differs from run to run.
            text = str(error).partition(" Valid booleans include")[0]
            raise ReplicaError(ErrorClass.INVALID_ARGUMENT, text) from error
        self.check(arguments, self._task.args)
        return t.cast("dict[str, t.Any]", arguments)

    def _transport(self, option: str | None, task_vars: dict[str, t.Any]) -> Transport:
        """What the task says, else the variable of the host that is acted on. Raises ReplicaError."""
        if option is not None:
            return Transport(option)
        delegate = self._task.delegate_to
        variables = task_vars.get("ansible_delegated_vars", {}).get(delegate, {}) if delegate else task_vars
        written = variables.get(VARIABLE)
        if written is None:
            return Transport.AUTO
        try:
            found = self._templar.copy_with_new_env(available_variables=variables).template(written)
        except AnsibleError as error:
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT, f"The variable {VARIABLE} cannot be templated: {error}"
            ) from error
        if found in (None, ""):  # an empty text field of a survey
            return Transport.AUTO
        known = [transport.value for transport in Transport]
        if found not in known:
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT,
                f"The variable {VARIABLE} is {found!r}; it must be one of: {', '.join(known)}.",
                hint=f"Correct the variable {VARIABLE} of {delegate or 'this host'}, or leave it out.",
            )
        return Transport(found)

    def _bridge(self, task_vars: dict[str, t.Any]) -> t.Callable[[dict[str, t.Any]], t.Mapping[str, t.Any]]:
        """How the session runs the module that carries its requests. Its result is the session's alone."""

        def execute(arguments: dict[str, t.Any]) -> t.Mapping[str, t.Any]:
            result: dict[str, t.Any] = self._execute_module(
                module_name=MODULE, module_args=arguments, task_vars=task_vars
            )
            return result

        return execute


class Talk:
    """What a person follows on stderr while the task runs. Silent under no_log."""

    def __init__(self, host: str, quiet: bool) -> None:
        self.host = host
        self.quiet = quiet
        self.conductor: Conductor | None = None
        self._next = time.monotonic() + PROGRESS_EVERY

    def progress(self, progress: Progress) -> None:
        if self.quiet:
            return
        if display.verbosity >= 2:
            # Not through display.vv, which writes to stdout.
            for name, phase, percent in progress.running:
                self.say(f"{name}: {phase}" + ("" if percent is None else f" {percent} %"))
        now = time.monotonic()
        if now < self._next or not progress.running:
            return
        self._next = now + PROGRESS_EVERY
        name, phase, percent = min(progress.running, key=lambda one: -1 if one[2] is None else one[2])
        share = "" if percent is None else f" {percent} %"
        self.say(
            f"{progress.done} of {progress.total} done, {len(progress.running)} running; "
            f"slowest: {name!r} ({phase}{share})"
        )

    def say(self, text: str) -> None:
        if not self.quiet:
            display.display(f"{self.host}: {text}", stderr=True)

    def abandoned(self) -> None:
        """The task is being ended from outside: name what goes on without it.

        Through Display like everything else: since core 2.19 the process of a task has no stderr of its own.
        """
        flying = [_flight(run) for run in (self.conductor.in_flight() if self.conductor else [])]
        if flying:
            self.say(
                f"the task ends while this goes on at the host: {'; '.join(flying)}. "
                "Run the same task again: it reads the state first and does nothing twice."
            )


def _flight(run: Run) -> str:
    vm = f"VM {run.before.name!r} ({run.before.id})"
    if not run.touched:
        return f"{vm}: its call is on its way, and its job is not known yet"
    job = run.job_reference.key("InstanceID") if run.job_reference else None
    return f"{vm}: {run.doing}" + (f", job {job}" if job else "")


def becomes(action: ActionBase) -> bool:
    return bool(getattr(action._connection, "become", None)) or bool(action._play_context.become)


def failure(error: ReplicaError) -> dict[str, t.Any]:
    """The result of an error that is not one VM's."""
    result: dict[str, t.Any] = {
        "msg": f"{error.message.rstrip('.')}. {_NOTHING}",
        "error_class": error.error_class.value,
        "certainty": error.certainty.value,
        "hint": error.hint,
        "changed": False,
    }
    result["unreachable" if error.unreachable else "failed"] = True
    detail = error.data.get("detail")
    if detail:
        result["msg"] += f" The host says: {detail}"
    return result


_NOTHING = "Nothing was changed."


def names_in(written: t.Mapping[str, t.Any], key: str) -> str:
    """Refuse elements that are no text; the text a list was split from, where it holds a comma.

    YAML reads an unquoted 01015 as the octal number 525, and Ansible would look for a VM called "525".
    """
    value = written.get(key)
    elements = value if isinstance(value, (list, tuple)) else [value]
    for element in elements:
        if element is not None and not isinstance(element, str):
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT,
                f"{key} holds {element!r}, which is not text. Names of VMs must be written in quotes.",
                hint=f'Quote it: {key}: ["{element}"]',
            )
    return value if isinstance(value, str) and "," in value else ""


def clean_names(names: t.Sequence[str] | None, key: str) -> list[str]:
    """The names without surrounding blanks. A blank one among others is refused, alone it is none."""
    stripped = [name.strip() for name in names or []]
    if stripped in ([], [""]):
        return []
    if "" in stripped:
        raise ReplicaError(ErrorClass.INVALID_ARGUMENT, f"{key} holds an empty name.")
    return stripped


def within(arguments: t.Mapping[str, t.Any], ranges: t.Mapping[str, tuple[float, float]]) -> None:
    """Refuse numbers out of their range. Raises ReplicaError."""
    for key, (least, most) in ranges.items():
        value = arguments.get(key)
        if value is not None and not least <= value <= most:
            raise ReplicaError(
                ErrorClass.INVALID_ARGUMENT, f"{key} is {value}; it must be from {least:g} to {most:g}."
            )


def thumbprint(written: str) -> str:
    """The digits of a certificate's thumbprint, without the blanks and colons that tools show between them."""
    digits = "".join(character for character in written if character not in " :\u200e").upper()
    if len(digits) != _THUMBPRINT or any(character not in "0123456789ABCDEF" for character in digits):
        raise ReplicaError(
            ErrorClass.INVALID_ARGUMENT,
            f"certificate_thumbprint is {written!r}, which is not {_THUMBPRINT} hexadecimal digits.",
            hint="Copy the thumbprint (SHA-1) of the certificate from the host.",
        )
    return digits


_THUMBPRINT = 40
