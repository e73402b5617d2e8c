# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The control port: JSON over HTTP on loopback, for tests and for the commands of ``replica-lab``.

===================  ==========================================================================================
GET /state           the world as it truly is (``World.snapshot``), with ``listeners`` and ``faults`` beside it
GET /counters        {host: counters}
GET /calls           the method calls that reached the world, oldest first
POST /counters/reset
POST /faults         one wire fault, or a list of them (see ``faults``)
DELETE /faults       no wire faults any more; hanging requests end, closed ports listen again
POST /fates          one fate, or a list (``World.fate``)
POST /happenings     one happening, or a list (``World.happening``)
POST /act            {"host", "vm", "do", ...}: somebody else does something now (``World.act``)
POST /clock          {"advance": seconds} or {"rate": world seconds per second}
POST /pace           {"seconds": world seconds that pass with each query, "query": that this expression fits}
POST /reset          {"scenario": a name, a file or a mapping}; without it the same scenario anew
===================  ==========================================================================================

An error is ``{"error": text}`` with status 400 (what was asked makes no sense), 404, 405 or 500.
"""

from __future__ import annotations

import json
import typing as t

from aiohttp import web

from replica_lab.faults import Fault

if t.TYPE_CHECKING:
    from replica_lab.lab import Lab

_Handler = t.Callable[[web.Request], t.Awaitable[web.StreamResponse]]


class ControlError(ValueError):
    """What was asked makes no sense; the text says why."""


class Control:
    """The control port of one lab, on the lab's event loop."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> str:
        """Listen on 127.0.0.1; 0 takes a free port. The URL. Raises OSError for a port in use."""
        application = web.Application(middlewares=[_errors_as_json], client_max_size=16 * 1024 * 1024)
        application.add_routes(
            [
                web.get("/state", self._state),
                web.get("/counters", self._counters),
                web.get("/calls", self._calls),
                web.post("/counters/reset", self._reset_counters),
                web.post("/faults", self._add_faults),
                web.delete("/faults", self._remove_faults),
                web.post("/fates", self._add_fates),
                web.post("/happenings", self._add_happenings),
                web.post("/act", self._act),
                web.post("/clock", self._clock),
                web.post("/pace", self._pace),
                web.post("/reset", self._reset),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _state(self, _request: web.Request) -> web.Response:
        listeners = {
            name: {
                "url": host.url,
                "https_url": host.https_url,
                "listening": host.server.listening,
                "open_enumerations": host.open_enumerations,
                "open_shells": host.open_shells,
                "errors": host.errors,
            }
            for name, host in self._lab.hosts.items()
        }
        return _json({**self._lab.world.snapshot(), "listeners": listeners, "faults": self._lab.faults.as_list()})

    async def _counters(self, _request: web.Request) -> web.Response:
        return _json({name: host.counters.as_dict() for name, host in self._lab.hosts.items()})

    async def _calls(self, _request: web.Request) -> web.Response:
        return _json(list(self._lab.calls))

    async def _reset_counters(self, _request: web.Request) -> web.Response:
        self._lab.reset_counters()
        return _json({})

    async def _add_faults(self, request: web.Request) -> web.Response:
        for fault in [Fault.of(one) for one in await _one_or_more(request)]:
            await self._lab.add_fault(fault)
        return _json(self._lab.faults.as_list())

    async def _remove_faults(self, _request: web.Request) -> web.Response:
        await self._lab.remove_faults()
        return _json([])

    async def _add_fates(self, request: web.Request) -> web.Response:
        for fate in await _one_or_more(request):
            self._lab.world.fate(fate)
        return _json({})

    async def _add_happenings(self, request: web.Request) -> web.Response:
        for happening in await _one_or_more(request):
            self._lab.world.happening(happening)
        return _json({})

    async def _act(self, request: web.Request) -> web.Response:
        said = await _mapping(request)
        if not isinstance(said.get("host"), str) or not isinstance(said.get("do"), str):
            raise ControlError("an act needs host and do")
        arguments = {name: value for name, value in said.items() if name not in ("host", "vm", "do")}
        return _json(self._lab.world.act(said["host"], said.get("vm"), said["do"], **arguments))

    async def _clock(self, request: web.Request) -> web.Response:
        said = await _mapping(request)
        numbers = {name: value for name, value in said.items() if isinstance(value, (int, float))}
        if not said or numbers != said or not set(said) <= {"advance", "rate"}:
            raise ControlError("the clock takes advance or rate, and a number")
        world = self._lab.world
        if "rate" in numbers:
            world.clock.rate = numbers["rate"]
        world.advance(numbers.get("advance", 0))
        return _json({"time": world.time.isoformat(), "rate": world.clock.rate})

    async def _pace(self, request: web.Request) -> web.Response:
        said = await _mapping(request)
        if set(said) != {"seconds", "query"} or not isinstance(said["seconds"], (int, float)):
            raise ControlError("a pace needs seconds, a number, and query")
        self._lab.pace(said["seconds"], str(said["query"]))
        return _json({})

    async def _reset(self, request: web.Request) -> web.Response:
        said = await _mapping(request) if request.can_read_body else {}
        if not set(said) <= {"scenario"}:
            raise ControlError("a reset takes nothing but scenario")
        await self._lab.replace_world(said.get("scenario"))
        return _json({})


def _json(data: t.Any, status: int = 200) -> web.Response:
    return web.json_response(data, status=status)


@web.middleware
async def _errors_as_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _json({"error": f"{request.method} {request.path}: {error.reason}"}, error.status)
    except (ValueError, OSError) as error:  # the errors of labs, worlds, scenarios and faults are ValueErrors
        return _json({"error": str(error)}, 400)
    except Exception as error:
        # Whoever steers a lab from a test must see what broke, not an HTML page.
        return _json({"error": repr(error)}, 500)


async def _read(request: web.Request) -> t.Any:
    try:
        return json.loads(await request.read())
    except json.JSONDecodeError as error:
        raise ControlError(f"the body is no JSON: {error}") from error


async def _mapping(request: web.Request) -> dict[str, t.Any]:
    said = await _read(request)
    if not isinstance(said, dict):
        raise ControlError("the body is no mapping")
    return said


async def _one_or_more(request: web.Request) -> list[t.Any]:
    said = await _read(request)
    entries = said if isinstance(said, list) else [said]
    if not all(isinstance(entry, dict) for entry in entries):
        raise ControlError("the body is neither a mapping nor a list of mappings")
    return entries
