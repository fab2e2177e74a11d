"""The emulator itself: a local HTTP server that plays the services.

Every request is read, recorded, met by the first fault that is planned for it, worked
on by its service and answered. Each connection is one task of the event loop; `stop`
ends them all, whatever they are waiting for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from email.utils import formatdate
from functools import partial
from types import TracebackType
from typing import Self

import attrs
from aiohttp import web

from personakit.emulator.callbacks import Callback, CallbackQueue, CallbackSender
from personakit.emulator.clock import Clock
from personakit.emulator.faults import Fault, Script
from personakit.emulator.meter import Meters
from personakit.emulator.services import Options, Played, open_services
from personakit.emulator.services.evolink import SongShape
from personakit.emulator.services.sunoapi import PersonaAgain
from personakit.emulator.services.sunoapi_records import SunoShape
from personakit.emulator.state import Account, Charge
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
    again: the account stays, the address changes unless `port` was given.

    Args:
        speed: The service's clock runs this many times faster than the event loop's.
        credits: Credits in the account at the beginning.
        api_key: The one key that is accepted.
        seed: Decides how long tasks take, and all ids.
        host: Address to listen on.
        port: Port to listen on, 0 for any free one.
        song_shape: How Evolink tells of finished songs: ``"object"`` as in the
            specification, ``"array"`` as in older documentation.
        suno_shape: How the sunoapi family does: ``"sunoData"`` as on its reference
            pages, ``"data"`` as in its quickstart.
        mirror_status: Whether the sunoapi family and MusicMint refuse under an HTTP
            status of its own, instead of 200.
        persona_again: What a second persona of one track gets there: ``"conflict"``, or
            ``"overwrite"`` for the first one's id again, as was observed. None for the
            documented conflict, and on MusicMint, where nothing is documented, the id.
        poll_verbs: HTTP methods by which MusicMint lets its tasks be read.
        callbacks_to: Address on this machine to which callbacks go, instead of scheme,
            host and port of the address that a caller gave; path and query are kept.
            None sends none.
        signing_secret: Signs the callbacks of kie and MusicMint.
        starts_limit: How many submits an account may make in how many seconds, None for
            any number; what is more is refused as each service does it.
        reads_limit: The same for readings.

    Attributes:
        api_key: The one key that is accepted.

    Raises:
        ValueError: `speed` is not above 0, or `callbacks_to` is not on this machine.
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
        suno_shape: SunoShape = "sunoData",
        mirror_status: bool = False,
        persona_again: PersonaAgain | None = None,
        poll_verbs: Collection[str] = ("GET", "POST"),
        callbacks_to: str | None = None,
        signing_secret: str = "emulator-secret",  # noqa: S107 - none that matters
        starts_limit: tuple[int, float] | None = None,
        reads_limit: tuple[int, float] | None = None,
    ) -> None:
        self.api_key = api_key
        self._host = host
        self._port = port
        self._clock = Clock(speed)
        self._account = Account(self._clock, credits)
        self._queue = CallbackQueue()
        self._sender: CallbackSender | None = None
        if callbacks_to is not None:
            self._sender = CallbackSender(self._clock, self._queue, callbacks_to)
        self._delivering: asyncio.Task[None] | None = None
        options = Options(
            api_key=api_key,
            seed=seed,
            song_shape=song_shape,
            suno_shape=suno_shape,
            mirror_status=mirror_status,
            persona_again=persona_again,
            poll_verbs=poll_verbs,
            signing_secret=signing_secret,
        )
        self._played = open_services(self._clock, self._account, self._queue, options)
        self._script = Script()
        self._meters = Meters(starts_limit, reads_limit)
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
        if self._sender is not None:
            self._delivering = asyncio.create_task(self._sender.run())

    async def stop(self) -> None:
        """Close everything; records and the account can still be read. Idempotent."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        self._clock.stop()
        if self._delivering is not None:
            self._delivering.cancel()
            await asyncio.gather(self._delivering, return_exceptions=True)
        await runner.cleanup()

    def url(self, provider: str) -> str:
        """Return the base address of one service, without a slash at the end.

        Args:
            provider: Name of a service: ``"evolink"``, ``"sunoapi"``,
                ``"sunoapi.org"``, ``"kie"``, ``"kie-jobs"`` or ``"musicmint"``.

        Raises:
            ValueError: no such service is played here.
            RuntimeError: the emulator is not running.
        """
        self._find(provider)
        if self._runner is None:
            raise RuntimeError("the emulator is not running")
        port = self._runner.addresses[0][1]
        return f"http://{self._host}:{port}/{provider}"

    def _find(self, provider: str) -> Played:
        if provider not in self._played:
            known = ", ".join(self._played)
            raise ValueError(f"no service {provider!r} here, only: {known}")
        return self._played[provider]

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

    @property
    def callbacks(self) -> tuple[Callback, ...]:
        """Every callback that was posted or tried, oldest first."""
        return () if self._sender is None else tuple(self._sender.callbacks)

    def count(self, action: Action) -> int:
        """Return how many requests of one action reached the server."""
        return sum(exchange.action == action for exchange in self._exchanges)

    def refused(self, action: Action) -> int:
        """Return how many submits or readings the account's limit has refused."""
        return self._meters.refused(action)

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
        if self._sender is not None:
            self._sender.wake()

    def seed_song(
        self,
        *,
        provider: str = "evolink",
        job_id: str | None = None,
        track_id: str | None = None,
        model: str | None = None,
        title: str = "Emulated song",
        style: str = "pop",
        persona_id: str | None = None,
        finished: bool = True,
    ) -> Song:
        """Add a task that nobody paid for, with one song.

        Args:
            provider: The service that knows it.
            job_id: Its task's id, None for a fresh one in the service's form.
            track_id: Its own id, None for a fresh one. Evolink makes personas only of
                songs whose id is a UUID.
            model: As the service names it, None for a usual one; ``"suno-v3.5"`` and
                ``"V3_5"`` are too old for a persona.
            title: As in the answers.
            style: As in the answers.
            persona_id: Who sings it, None for the neutral voice. The service knows
                this persona from now on.
            finished: False for a task that starts now and takes a minute of service
                time.

        Raises:
            ValueError: no such service is played here.
        """
        played = self._find(provider)
        song = Song(
            job_id=job_id or played.service.new_job_id(),
            track_id=track_id or played.service.new_track_id(),
            title=title,
            style=style,
            model=model or played.model,
            persona_id=persona_id,
        )
        return played.state.add_song(song, finished=finished)

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=0)
        for name, played in self._played.items():
            for route in played.service.routes:
                self._mount(application, f"/{name}", played.service, route)
        outside = Route("other", "*", "/{tail:.*}", self._outside)
        self._mount(application, "", self._played["evolink"].service, outside)
        application.on_shutdown.append(self._end_connections)
        return application

    def _mount(
        self, application: web.Application, prefix: str, service: Service, route: Route
    ) -> None:
        handler = partial(self._serve, prefix, service, route)
        application.router.add_route(route.method, prefix + route.path, handler)

    def _outside(self, query: Query) -> Answer:
        known = ", ".join(f"/{name}" for name in self._played)
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
            parameters=request.query,
            headers=request.headers,
            body=await request.read(),
        )
        number = self._record(route.action, request, query.body)
        at = self._exchanges[number].at
        fault = self._script.take(route.action, at) or self._meters.take(
            prefix, route.action, at
        )
        response = await _answer(service, route, request, query, fault or _NO_FAULT)
        if response is None:
            return web.Response()  # goes nowhere: the connection is closed by now
        self._exchanges[number] = attrs.evolve(
            self._exchanges[number], status=response.status
        )
        if not response.prepared:
            response.headers.setdefault("Date", self._date())
        return response

    def _date(self) -> str:
        return formatdate(self._clock.unix(self._clock.now()), usegmt=True)

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
