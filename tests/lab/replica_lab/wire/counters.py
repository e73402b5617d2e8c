# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What went over the wire to one host, counted."""

from __future__ import annotations

import collections
import threading
import typing as t


class Counters:
    """Thread safe. Everything a request asks for is counted when it arrives, also when a wire fault swallows it.

    http_requests   HTTP requests, those of a handshake included
    connections     TCP connections that carried at least one request
    unauthorized    answers with status 401, those of a handshake included
    bytes_in, bytes_out   HTTP bodies as they were on the wire (encrypted, where they were)
    soap            {operation: requests}: Enumerate, Pull, Release, Get, Invoke, Create, Command, Send, Receive, ...
    encrypted, plain      SOAP requests that came encrypted on the message level, and those that did not
    queries         the WQL texts of all Enumerate requests, in order
    methods         {"Class.Method": requests}
    shells          shells opened, runspace pools included
    powershell      PowerShell processes started
    pipelines       pipelines that PSRP clients started in them
    cmdlets         {operation: calls} of the CIM cmdlets in them: Enumerate, Get, Invoke; their queries and
                    methods are counted with those of the wire
    faults          wire faults that struck
    """

    def __init__(self, on_query: t.Callable[[str], None] = lambda _query: None) -> None:
        """``on_query`` hears of every query when it is counted: before it is answered."""
        self._lock = threading.Lock()
        self._on_query = on_query
        self.reset()

    def reset(self) -> None:
        """Back to zero."""
        with self._lock:
            self.http_requests = 0
            self.connections = 0
            self.unauthorized = 0
            self.bytes_in = 0
            self.bytes_out = 0
            self.encrypted = 0
            self.plain = 0
            self.shells = 0
            self.powershell = 0
            self.pipelines = 0
            self.faults = 0
            self.soap: collections.Counter[str] = collections.Counter()
            self.cmdlets: collections.Counter[str] = collections.Counter()
            self.queries: list[str] = []
            self.methods: collections.Counter[str] = collections.Counter()

    def add(self, **amounts: int) -> None:
        """Add to the plain numbers."""
        with self._lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)

    def count_request(self, operation: str, *, encrypted: bool, query: str = "", method: str = "") -> None:
        """One SOAP request. ``method`` is ``Class.Method``."""
        with self._lock:
            self.soap[operation] += 1
            if encrypted:
                self.encrypted += 1
            else:
                self.plain += 1
            self._count(query, method)
        self._tell(query)

    def count_cmdlet(self, operation: str, *, query: str = "", method: str = "") -> None:
        """One call of a CIM cmdlet."""
        with self._lock:
            self.cmdlets[operation] += 1
            self._count(query, method)
        self._tell(query)

    def _tell(self, query: str) -> None:
        if query:
            self._on_query(query)

    def _count(self, query: str, method: str) -> None:
        if query:
            self.queries.append(query)
        if method:
            self.methods[method] += 1

    @property
    def soap_requests(self) -> int:
        """All SOAP requests."""
        with self._lock:
            return sum(self.soap.values())

    def as_dict(self) -> dict[str, t.Any]:
        """All of it at one moment, ready for JSON."""
        with self._lock:
            return {
                "http_requests": self.http_requests,
                "connections": self.connections,
                "unauthorized": self.unauthorized,
                "bytes_in": self.bytes_in,
                "bytes_out": self.bytes_out,
                "soap": dict(self.soap),
                "encrypted": self.encrypted,
                "plain": self.plain,
                "queries": list(self.queries),
                "methods": dict(self.methods),
                "shells": self.shells,
                "powershell": self.powershell,
                "pipelines": self.pipelines,
                "cmdlets": dict(self.cmdlets),
                "faults": self.faults,
            }
