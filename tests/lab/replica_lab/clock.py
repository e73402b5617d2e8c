# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The world's clock: time that can run fast, stand still, and be pushed forward, but never goes back."""

from __future__ import annotations

import threading
import time
import typing as t
from datetime import datetime, timedelta, timezone


class Clock:
    """World time. With ``rate`` 10 a job of 30 world seconds takes 3 real seconds; with 0 time stands still.

    ``start`` is the world time at the beginning (default: the real time, so that a client's own clock agrees).
    ``ticks`` gives real seconds and must be monotonic.
    """

    def __init__(
        self, rate: float = 1.0, start: datetime | None = None, ticks: t.Callable[[], float] = time.monotonic
    ) -> None:
        self._lock = threading.Lock()
        self._ticks = ticks
        self._world = start or datetime.now(timezone.utc)
        self._real = ticks()
        self._rate = 0.0
        self.rate = rate

    def now(self) -> datetime:
        """World time, aware UTC."""
        with self._lock:
            return self._flow()

    def advance(self, seconds: float) -> None:
        """Push world time forward at once. ValueError for a negative number: time never goes back."""
        if seconds < 0:
            raise ValueError("the clock goes forward only")
        with self._lock:
            self._flow()
            self._world += timedelta(seconds=seconds)

    @property
    def rate(self) -> float:
        """World seconds in one real second."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        if rate < 0:
            raise ValueError("the clock goes forward only")
        with self._lock:
            self._flow()
            self._rate = float(rate)

    def _flow(self) -> datetime:
        real = self._ticks()
        self._world += timedelta(seconds=(real - self._real) * self._rate)
        self._real = real
        return self._world
