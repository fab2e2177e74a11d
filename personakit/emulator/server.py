"""The emulator itself: a local HTTP server that plays the services.

Every request is read, recorded, met by the first fault that is planned for it, worked
on by its service and answered. Each connection is one task of the event loop; `stop`
ends them all, whatever they are waiting for.
"""

from __future__ import annotations

import asyncio
from functools import partial
from types import TracebackType
from typing import Self

import attrs
from aiohttp import web

from personakit.emulator.clock import Clock
from personakit.emulator.evolink import Evolink, SongShape
from personakit.emulator.faults import Fault, Script
from personakit.emulator.state import Account, Charge, State
from personakit.emulator.tasks import Song
from personakit.emulator.traffic import (
    Action,
    Answer,
    Exchange,
    Query,
    Route,
    Service,
    json_answer,
)

_BLANK = json_answer(200, {})  # what a fault spoils when no work is done
_NO_FAULT = Fault("none")


class Emulator:
    """A music service on this machine: accounts, tasks, audio, and scripted faults.

    Use it as an async context manager, or call `start` and `stop`. It may be started
    again: the account stays, the address changes unless `port` was given. It answers
    requests only; callbacks are not sent yet.

    Args:
        speed: The service's clock runs this many times faster than the event loop's.
        credits: Credits in the account at the beginning.
        api_key: The one key that is accepted.
        seed: Decides how long tasks take, and all ids.
        host: Address to listen on.
        port: Port to listen on, 0 for any free one.
        song_shape: How Evolink tells of finished songs: ``"object"`` as in the
            specification, ``"array"`` as in older documentation.

    Attributes:
        api_key: The one key that is accepted.

    Raises:
        ValueError: `speed` is not above 0.
    """

    def __init__(
        self,
        *,
        speed: float = 1.0,
        credits: float = 1000.0,  # noqa: A002 - the word that users know
        api_key: str = "emulator-key",
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        song_shape: SongShape = "object",
    ) -> None:
        self.api_key = api_key
        self._host = host
        self._port = port
        self._clock = Clock(speed)
        self._account = Account(self._clock, credits)
        self._state = State(self._clock, self._account, seed=seed)
        evolink = Evolink(self._state, api_key=api_key, song_shape=song_shape)
        self._evolink: Service = evolink
        self._services: dict[str, Service] = {"evolink": evolink}
        self._script = Script()
        self._exchanges: list[Exchange] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, and let the service's clock run with the running event loop's.

        Raises:
            OSError: the address cannot be had.
        """
        runner = web.AppRunner(
            self._application(), access_log=None, handler_cancellation=True
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._clock.start()

    async def stop(self) -> None:
        """Close everything; records and the account can still be read. Idempotent."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        self._clock.stop()
        await runner.cleanup()

    def url(self, provider: str) -> str:
        """Return the base address of one service, without a slash at the end.

        Args:
            provider: ``"evolink"``.

        Raises:
            ValueError: no such service is played here.
            RuntimeError: the emulator is not running.
        """
        if provider not in self._services:
            known = ", ".join(self._services)
            raise ValueError(f"no service {provider!r} here, only: {known}")
        if self._runner is None:
            raise RuntimeError("the emulator is not running")
        port = self._runner.addresses[0][1]
        return f"http://{self._host}:{port}/{provider}"

    @property
    def credits(self) -> float:
        """Credits left; those of failed tasks have come back."""
        return self._account.credits

    @property
    def charges(self) -> tuple[Charge, ...]:
        """Every charge ever made, oldest first."""
        return self._account.charges

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every request that reached the server, oldest first."""
        return tuple(self._exchanges)

    def count(self, action: Action) -> int:
        """Return how many requests of one action reached the server."""
        return sum(exchange.action == action for exchange in self._exchanges)

    def inject(
        self,
        fault: Fault,
        *,
        on: Action,
        times: int | None = 1,
        seconds: float | None = None,
    ) -> None:
        """Plan a fault. Of several for one action, the first injected comes first.

        Args:
            fault: What happens.
            on: The action that it happens to.
            times: How many requests it hits, None for all until `clear_faults`.
            seconds: When given, it hits all requests in this much time of the event
                loop, and `times` does not count.

        Raises:
            ValueError: this fault cannot happen to that action.
            RuntimeError: `seconds` is given and no event loop is running.
        """
        if seconds is None:
            self._script.inject(fault, on, times=times, until=None)
        else:
            until = asyncio.get_running_loop().time() + seconds
            self._script.inject(fault, on, times=None, until=until)

    def clear_faults(self) -> None:
        """Forget all planned faults; one that is being played goes on."""
        self._script.clear()

    def advance(self, seconds: float) -> None:
        """Skip service time without waiting.

        Args:
            seconds: On the service's clock, whatever its speed.

        Raises:
            ValueError: `seconds` is negative.
        """
        self._clock.advance(seconds)

    def seed_song(
        self,
        *,
        job_id: str | None = None,
        track_id: str | None = None,
        model: str = "suno-v5-beta",
        title: str = "Emulated song",
        style: str = "pop",
        persona_id: str | None = None,
        finished: bool = True,
    ) -> Song:
        """Add a task that nobody paid for, with one song.

        Args:
            job_id: Its task's id, None for a fresh one in Evolink's form.
            track_id: Its own id, None for a fresh one. Evolink makes personas only of
                songs whose id is a UUID.
            model: As the service names it; ``"suno-v3.5"`` is too old for a persona.
            title: As in the answers.
            style: As in the answers.
            persona_id: Who sings it, None for the neutral voice. The service knows
                this persona from now on.
            finished: False for a task that starts now and takes a minute of service
                time.
        """
        song = Song(
            job_id=job_id or self._evolink.new_job_id(),
            track_id=track_id or self._state.new_uuid(),
            title=title,
            style=style,
            model=model,
            persona_id=persona_id,
        )
        return self._state.add_song(song, finished=finished)

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=0)
        for name, service in self._services.items():
            for route in service.routes:
                self._mount(application, f"/{name}", service, route)
        outside = Route("other", "*", "/{tail:.*}", self._outside)
        self._mount(application, "", self._evolink, outside)
        application.on_shutdown.append(self._end_connections)
        return application

    def _mount(
        self, application: web.Application, prefix: str, service: Service, route: Route
    ) -> None:
        handler = partial(self._serve, prefix, service, route)
        application.router.add_route(route.method, prefix + route.path, handler)

    def _outside(self, query: Query) -> Answer:
        known = ", ".join(f"/{name}" for name in self._services)
        return json_answer(404, {"error": f"{query.path} is none of: {known}"})

    async def _end_connections(self, _: web.Application) -> None:
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(
        self, prefix: str, service: Service, route: Route, request: web.Request
    ) -> web.StreamResponse:
        self._watch(request.task)
        query = Query(
            base=f"http://{request.host}{prefix}",
            method=request.method,
            path=request.path.removeprefix(prefix),
            parts=request.match_info,
            headers=request.headers,
            body=await request.read(),
        )
        number = self._record(route.action, request, query.body)
        fault = self._script.take(route.action, self._exchanges[number].at)
        response = await _answer(service, route, request, query, fault or _NO_FAULT)
        if response is None:
            return web.Response()  # goes nowhere: the connection is closed by now
        self._exchanges[number] = attrs.evolve(
            self._exchanges[number], status=response.status
        )
        return response

    def _watch(self, connection: asyncio.Task[None]) -> None:
        """Know a connection until it ends; it may bring many requests."""
        if connection not in self._connections:
            self._connections.add(connection)
            connection.add_done_callback(self._connections.discard)

    def _record(self, action: Action, request: web.Request, body: bytes) -> int:
        """Keep what came, and return its number."""
        headers = [
            (name, "***" if name.lower() == "authorization" else value)
            for name, value in request.headers.items()
        ]
        exchange = Exchange(
            action=action,
            method=request.method,
            path=request.path_qs,
            at=asyncio.get_running_loop().time(),
            key_seen="Authorization" in request.headers,
            headers=tuple(headers),
            body=body,
        )
        self._exchanges.append(exchange)
        return len(self._exchanges) - 1


async def _answer(
    service: Service, route: Route, request: web.Request, query: Query, fault: Fault
) -> web.StreamResponse | None:
    """Have the work done and answered, in the way that the fault allows."""
    answer = _BLANK
    if fault.processed:
        answer = route.work(attrs.evolve(query, task_error=fault.task_error))
    spoilt = fault.rewrite(answer, service, route.action)
    return await fault.deliver(request, spoilt)
