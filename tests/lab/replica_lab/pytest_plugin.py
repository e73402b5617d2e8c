# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pytest fixture, there wherever the package is installed::

    def test_something(lab):
        running = lab("drill", https=True)
        running.hosts["HV01"].url
"""

from __future__ import annotations

import contextlib
import typing as t

import pytest

if t.TYPE_CHECKING:
    from replica_lab.lab import Lab


@pytest.fixture
def lab() -> t.Iterator[t.Callable[..., Lab]]:
    """Makes running labs (the arguments are those of ``Lab``), stops them when the test is over.

    A test in which the lab itself broke fails, whatever the client made of it.
    """
    from replica_lab.lab import Lab  # not every run of pytest that sees this plugin needs a web server

    running: list[Lab] = []
    with contextlib.ExitStack() as stack:

        def make(*arguments: t.Any, **settings: t.Any) -> Lab:
            running.append(stack.enter_context(Lab(*arguments, **settings)))
            return running[-1]

        yield make
        errors = [error for one in running for host in one.hosts.values() for error in host.errors]
    assert not errors, f"the lab broke: {errors}"
