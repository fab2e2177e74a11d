"""What can be read of an account beside its single jobs, and from media hosts."""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from functools import partial
from os import PathLike
from pathlib import Path

import attrs

from personakit.http.download import Progress, save_track
from personakit.http.messages import Call, with_clock
from personakit.jobs.engine import Engine, call_with_retry, deadline_in
from personakit.jobs.job import Job
from personakit.models import Credits, Listed, Ping, Result, Track, TrackRef
from personakit.receipt import Ability
from personakit.validation import expect, expect_function

CALL_TIMEOUT = 60.0
"""Seconds for reading something at once, repetitions included."""


class Service(ABC):
    """What `PersonaKit` offers to look at; nothing here costs anything."""

    @abstractmethod
    async def _here(self) -> Engine:
        """Return the engine of the running loop."""

    @abstractmethod
    def deadline_in(self, timeout: float | None) -> float:
        """Turn seconds from now, None for the client's own, into loop time."""

    @abstractmethod
    def _take_listed(self, kind: Ability, line: Listed) -> Job[Result]:
        """Make the handle of a line of the service's list."""

    async def credits(self, *, timeout: float = CALL_TIMEOUT) -> Credits:
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
        return await call_with_retry(engine, Ability.CREDITS, build, deadline=deadline)

    async def ping(self, *, timeout: float = CALL_TIMEOUT) -> Ping:
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

        def build() -> Call[tuple[object, float | None]]:
            if can_tell_credits:
                return with_clock(provider.build_credits())
            return with_clock(provider.build_jobs(1))

        began = loop.time()
        _, clock = await call_with_retry(engine, ability, build, deadline=deadline)
        return Ping(loop.time() - began, clock)

    async def download(
        self,
        track: Track,
        to: str | PathLike[str],
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Save the audio of a track.

        The file appears under its name only when it is whole, and never in place of
        another. A transfer that breaks is resumed where it broke. A host that does not
        send the length of a file (no Content-Length, no chunked encoding) is accepted
        for WAV files only, because their header has the length. The key is not sent to
        the media host, and hosts at private addresses are not opened.

        Args:
            track: With an `audio_url`; mind its `expires_at`.
            to: A folder, which is made where it is missing and in which the file is
                named after the track's title and id; a track that is there already is
                not fetched again. Or the path of a file that does not exist yet. What
                has no ending, or ends in a slash, is a folder.
            timeout: Seconds, None for the client's own.
            progress: Is called with the bytes received so far and those of the whole
                file, None where the host does not tell; from within the event loop.

        Returns:
            The path of the file.

        Raises:
            InvalidRequest: the link is not https or leads to a private address, the
                file exists, or nothing can be written at `to`.
            NotFound: the link has expired.
            MalformedAnswer: what came is no audio, or its end cannot be known.
            ServiceUnavailable: the media host refused, or sent no whole file in time.
            PersonaKitError: the disk is full or broken.
        """
        expect("track", track, "one Track", Track, remedy="Pass one, as in tracks[0]")
        expect("to", to, "a path", str, PathLike, remedy="Pass a folder")
        expect_function("progress", progress)
        engine = await self._here()
        return await save_track(
            engine.transport,
            track,
            to,
            deadline=self.deadline_in(timeout),
            loopback=engine.transport.is_local,
            progress=progress,
        )

    async def track(
        self, track: Track | TrackRef, *, timeout: float = CALL_TIMEOUT
    ) -> Track:
        """Read a track again by its id, with links that are fresh.

        Args:
            track: The track, or its ids.
            timeout: Seconds, repetitions included.

        Raises:
            Unsupported: the service does not tell; await the track's job again.
            NotFound: there is no such track, or it has expired.
        """
        expect("track", track, "a Track or a TrackRef", Track, TrackRef)
        engine, deadline = await self._here(), deadline_in(timeout)
        told = await call_with_retry(
            engine,
            Ability.TRACK,
            lambda: engine.provider.build_track(track.track_id),
            deadline=deadline,
        )
        return attrs.evolve(told, job_id=track.job_id)

    async def jobs(
        self, *, timeout: float = CALL_TIMEOUT
    ) -> AsyncGenerator[Job[Result]]:
        """Yield the account's jobs as the service lists them, newest first.

        Their snapshots tell the state alone; await a job for its result. Jobs come in
        pages, which are read one by one as they are needed. Jobs that this package
        cannot submit, Evolink's images for example, are skipped.

        Args:
            timeout: Seconds for one page, repetitions included.

        Raises:
            Unsupported: the service has no such list.
        """
        engine, seen = await self._here(), set[str]()
        pages = itertools.count(1)
        while True:
            lines = await call_with_retry(
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
                if line.kind is not None:
                    yield self._take_listed(line.kind, line)
