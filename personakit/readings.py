"""What can be read of an account beside its single jobs."""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from functools import partial

import attrs

from personakit.job import Job
from personakit.models import Credits, Listed, Ping, Result, Track, TrackRef
from personakit.receipt import Ability
from personakit.wire import Call, Response
from personakit.workflows import Engine, ask, deadline_in

ASK_TIMEOUT = 60.0
"""Seconds for reading something at once, repetitions included."""


class Readings(ABC):
    """What `PersonaKit` offers to look at; nothing here costs anything."""

    @abstractmethod
    async def _here(self) -> Engine:
        """Return the engine of the running loop."""

    @abstractmethod
    def _take_listed(self, line: Listed) -> Job[Result]:
        """Make the handle of a line of the service's list."""

    async def credits(self, *, timeout: float = ASK_TIMEOUT) -> Credits:
        """Read the balance; costs nothing, and is a good check of the key.

        Args:
            timeout: Seconds, repetitions included.

        Raises:
            Unsupported: the service does not tell.
            AuthenticationError: the key is wrong.
            ServiceUnavailable: no answer in time.
        """
        engine, deadline = await self._here(), deadline_in(timeout)
        build = engine.provider.build_credits
        return await ask(engine, Ability.CREDITS, build, deadline=deadline)

    async def ping(self, *, timeout: float = ASK_TIMEOUT) -> Ping:
        """Ask the service for something small, to see that it answers; costs nothing.

        Args:
            timeout: Seconds, repetitions included.

        Raises:
            AuthenticationError: the key is wrong.
            ServiceUnavailable: no answer in time.

        Source: the services' pages on credits, MusicMint's on its list of tasks.
        """
        engine, deadline = await self._here(), deadline_in(timeout)
        provider, loop = engine.provider, asyncio.get_running_loop()
        can_tell_credits = Ability.CREDITS in provider.abilities
        ability = Ability.CREDITS if can_tell_credits else Ability.JOBS

        def build() -> Call[datetime | None]:
            call = (
                provider.build_credits() if can_tell_credits else provider.build_jobs(1)
            )

            def parse(response: Response) -> datetime | None:
                call.parse(response)
                return response.date

            return Call(call.request, parse)

        began = loop.time()
        date = await ask(engine, ability, build, deadline=deadline)
        seconds = loop.time() - began
        if date is None:
            return Ping(seconds)
        return Ping(seconds, (date - datetime.now(UTC)).total_seconds())

    async def track(
        self, track: Track | TrackRef, *, timeout: float = ASK_TIMEOUT
    ) -> Track:
        """Read a track again by its id, with links that are fresh.

        Args:
            track: The track, or its ids.
            timeout: Seconds, repetitions included.

        Raises:
            Unsupported: the service does not tell; await the track's job again.
            NotFound: there is no such track, or it has expired.
        """
        engine, deadline = await self._here(), deadline_in(timeout)
        told = await ask(
            engine,
            Ability.TRACK,
            lambda: engine.provider.build_track(track.track_id),
            deadline=deadline,
        )
        return attrs.evolve(told, job_id=track.job_id)

    async def jobs(
        self, *, timeout: float = ASK_TIMEOUT
    ) -> AsyncGenerator[Job[Result]]:
        """Yield the account's jobs as the service lists them, newest first.

        Their snapshots tell the state alone; await a job for its result. Jobs come in
        pages, which are read one by one as they are needed.

        Args:
            timeout: Seconds for one page, repetitions included.

        Raises:
            Unsupported: the service has no such list.
        """
        engine, seen = await self._here(), set[str]()
        pages = itertools.count(1)
        while True:
            lines = await ask(
                engine,
                Ability.JOBS,
                partial(engine.provider.build_jobs, next(pages)),
                deadline=deadline_in(timeout),
            )
            # New jobs push old ones to the next page, where they come up again.
            fresh = [line for line in lines if line.snapshot.job_id not in seen]
            if not fresh:
                return
            for line in fresh:
                seen.add(line.snapshot.job_id)
                yield self._take_listed(line)
