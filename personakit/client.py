"""`PersonaKit`, the client: what a program holds for as long as it lives."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import aiohttp
import attrs
from yarl import URL

from personakit.convert import parse_token
from personakit.download import save_track
from personakit.errors import AuthenticationError, refuse
from personakit.job import Job
from personakit.journal import Journal
from personakit.journal.memory import MemoryJournal
from personakit.models import Credits, Listed, Result, Snapshot, Track, TrackRef
from personakit.operations import Operations
from personakit.pace import Pace
from personakit.perloop import PerLoop
from personakit.poller import Poller
from personakit.providers import find_provider
from personakit.providers.base import Provider
from personakit.receipt import Ability, Receipt
from personakit.requests import JobRequest
from personakit.transport import Transport, check_base_url, is_loopback
from personakit.workflows import (
    Engine,
    ask,
    check_ability,
    check_timeout,
    deadline_in,
    submit,
)

T = TypeVar("T")

_KEY = re.compile(r"[!-~]+")

DEFAULT_TIMEOUT = 900.0
"""Seconds for one call from its submit to its result. Songs take one to five minutes;
what is not done by then runs on, and its receipt finds it."""
ASK_TIMEOUT = 60.0
"""Seconds for reading something at once, repetitions included."""


class PersonaKit(Operations):
    """One service, spoken to with one key.

    Make one and keep it: it may be used from any number of tasks, and from several
    event loops. Nothing is opened before the first call, and what a loop has opened is
    closed by `aclose`, by the end of ``async with``, or with the loop.

    Args:
        provider: Name of the service, one of `personakit.providers.PROVIDERS`; or a
            dialect of your own making.
        api_key: None to take it from the environment: ``EVOLINK_API_KEY``,
            ``SUNOAPI_API_KEY``, ``KIE_API_KEY`` or ``MUSICMINT_API_KEY``.
        base_url: None for the service's own address; MusicMint publishes none, so there
            it must be given. Must be https, except on this machine.
        files_url: Address that takes uploads, where that is another one; None for the
            service's own, unless `base_url` is given: then uploads need it too.
        callback_url: Where the service shall report on the way; it only speeds things
            up, and is never needed. None for nowhere.
        session: An `aiohttp.ClientSession` of the caller, borrowed and never closed;
            for a proxy, say, or TLS settings; its loop is then the only one that can
            be used. None to make our own, which heed no proxy variables. Paid
            requests on a borrowed session may meet an idle connection that breaks
            after they were sent, which makes their outcome unknown more often.
        timeout: Seconds that a call may take from submit to result, ``math.inf`` for
            no limit.
        pace: How often to look at a job; None for the usual.

    Raises:
        InvalidRequest: an argument breaks a rule.
        AuthenticationError: there is no key.
    """

    def __init__(
        self,
        provider: str | Provider,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        files_url: str | None = None,
        callback_url: str | None = None,
        session: aiohttp.ClientSession | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        pace: Pace | None = None,
    ) -> None:
        self._provider = find_provider(provider)
        self._base_url = _find_base_url(self._provider, base_url)
        files = files_url if base_url or files_url else self._provider.files_url
        self._files_url = None if files is None else check_base_url(files, "files_url")
        self._callback_url = callback_url
        self._key = _find_key(api_key, self._provider.key_variable)
        self._session = session
        self._timeout = check_timeout(timeout)
        self._pace = pace or Pace()
        self._journal: Journal = MemoryJournal()
        self._engines = PerLoop(self._open_engine, Engine.aclose)

    def _open_engine(self) -> Engine:
        return Engine(
            provider=self._provider,
            transport=Transport(
                self._base_url, self._key, self._session, self._files_url
            ),
            poller=Poller(self._pace),
            journal=self._journal,
            callback_url=self._callback_url,
        )

    def __repr__(self) -> str:
        return f"<PersonaKit {self._provider.name} at {self._base_url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what the running loop has opened; a later call opens it anew.

        Paid requests under way are given a moment to learn their job id. Jobs run on.
        """
        await self._engines.aclose()

    @property
    def provider(self) -> str:
        """Name of the service."""
        return self._provider.name

    def can(self, ability: Ability) -> bool:
        """Tell whether the service offers something."""
        return ability in self._provider.abilities

    def require(self, ability: Ability) -> None:
        """Raise Unsupported for what the service does not offer."""
        check_ability(self._provider, ability)

    def check(self, request: JobRequest[Any]) -> None:
        """Refuse a request that the service would refuse, without sending anything.

        Raises:
            InvalidRequest: a rule is broken.
            Unsupported: the service does not offer it.
        """
        self.require(request.ability)
        self._provider.build_submit(request)

    def deadline_in(self, timeout: float | None) -> float:
        """Turn seconds from now, None for the client's own, into loop time."""
        return deadline_in(self._timeout if timeout is None else timeout)

    async def run(self, request: JobRequest[T], *, deadline: float) -> T:
        """Submit a request and wait for its result until `deadline`, a loop time."""
        job = await self._submit(request, deadline)
        return await job.result_by(deadline)

    async def submit(
        self, request: JobRequest[T], *, timeout: float | None = None
    ) -> Job[T]:
        """Start a job with exactly one paid request, and do not wait for it.

        Args:
            request: Any of `PersonaRequest`, `MusicRequest` and their like.
            timeout: Seconds up to which "too many requests" and unreachable services
                are answered by another attempt; None for the client's own.

        Raises:
            InvalidRequest: a rule is broken; nothing was sent.
            OutcomeUnknown: the answer to the paid request is lost.
            PersonaKitError: the service refused, or was never reached.
        """
        return await self._submit(request, self.deadline_in(timeout))

    @overload
    def attach(self, found_by: str | Receipt) -> Job[Result]: ...
    @overload
    def attach(self, found_by: str | Receipt, of: type[JobRequest[T]]) -> Job[T]: ...
    def attach(
        self, found_by: str | Receipt, of: type[JobRequest[Any]] | None = None
    ) -> Job[Any]:
        """Take up a job again, from any process and at any later time.

        Args:
            found_by: A job's token or receipt, or the receipt of an error.
            of: What the job was submitted for, for example `MusicRequest`, so that the
                result has its type; None where any may come.

        Returns:
            The job; its first snapshot comes with the first reading.

        Raises:
            InvalidRequest: the token is damaged, belongs to another service or another
                kind of request, or names no job, because its outcome is unknown.
        """
        receipt = parse_token(found_by) if isinstance(found_by, str) else found_by
        if of is not None and receipt.kind is not of.ability:
            raise refuse("of", f"must fit a job for {receipt.kind}", "Pass its request")
        return self._attach(receipt)

    async def resume(self) -> AsyncGenerator[Job[Result]]:
        """Yield every job of this client that has not been seen to end.

        That includes those whose caller was cancelled before it got its `Job`.
        """
        for receipt, _ in await self._journal.unfinished():
            if receipt.job_id is not None:
                yield self._attach(receipt)

    async def download(
        self,
        track: Track,
        to: str | os.PathLike[str],
        *,
        timeout: float | None = None,
    ) -> Path:
        """Save the audio of a track.

        The file appears under its name only when it is whole. The key is not sent to
        the media host.

        Args:
            track: With an `audio_url`; mind its `expires_at`.
            to: A folder, which is made where it is missing and in which the file is
                named after the track's title and id; a track that is there already is
                not fetched again. Or the path of a file that does not exist yet. What
                has no ending, or ends in a slash, is a folder.
            timeout: Seconds, None for the client's own.

        Returns:
            The path of the file.

        Raises:
            InvalidRequest: the link is not https, or the file exists.
            NotFound: the link has expired.
            MalformedAnswer: what came is no audio.
            ServiceUnavailable: the media host gave no whole answer in time.
        """
        engine = await self._engines.here()
        return await save_track(
            engine.transport,
            track,
            to,
            deadline=self.deadline_in(timeout),
            loopback=is_loopback(self._base_url),
        )

    async def credits(self, *, timeout: float = ASK_TIMEOUT) -> Credits:
        """Read the balance; costs nothing, and is a good check of the key.

        Args:
            timeout: Seconds, repetitions included.

        Raises:
            Unsupported: the service does not tell.
            AuthenticationError: the key is wrong.
            ServiceUnavailable: no answer in time.
        """
        engine, deadline = await self._engines.here(), deadline_in(timeout)
        build = self._provider.build_credits
        return await ask(engine, Ability.CREDITS, build, deadline=deadline)

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
        engine, deadline = await self._engines.here(), deadline_in(timeout)
        told = await ask(
            engine,
            Ability.TRACK,
            lambda: self._provider.build_track(track.track_id),
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
        engine, seen = await self._engines.here(), set[str]()
        pages = itertools.count(1)
        while True:
            lines = await ask(
                engine,
                Ability.JOBS,
                partial(self._provider.build_jobs, next(pages)),
                deadline=deadline_in(timeout),
            )
            # New jobs push old ones to the next page, where they come up again.
            fresh = [line for line in lines if line.snapshot.job_id not in seen]
            if not fresh:
                return
            for line in fresh:
                seen.add(line.snapshot.job_id)
                yield self._adopt(line)

    async def _submit(self, request: JobRequest[T], deadline: float) -> Job[T]:
        engine = await self._engines.here()
        receipt, snapshot = await submit(engine, request, deadline=deadline)
        return Job(
            receipt,
            here=self._engines.here,
            timeout=self._timeout,
            request=request,
            snapshot=snapshot,
        )

    def _attach(self, receipt: Receipt) -> Job[Result]:
        if receipt.provider != self._provider.name:
            raise refuse(
                "receipt",
                f"must be one of {self._provider.name}, not {receipt.provider}",
                "Attach to it with a client of its own service",
            )
        if receipt.job_id is None:
            raise refuse(
                "receipt",
                "must name a job, and this one's outcome is unknown",
                "Look the job up with the service before paying again",
            )
        return self._job(receipt, self._provider.recall(receipt))

    def _adopt(self, line: Listed) -> Job[Result]:
        receipt = Receipt(self.provider, line.kind, job_id=line.snapshot.job_id)
        receipt = attrs.evolve(receipt, at=line.created_at or receipt.at)
        return self._job(receipt, line.snapshot)

    def _job(self, receipt: Receipt, snapshot: Snapshot[Result] | None) -> Job[Result]:
        return Job(
            receipt,
            here=self._engines.here,
            timeout=self._timeout,
            snapshot=snapshot,
        )


def _find_base_url(provider: Provider, given: str | None) -> URL:
    if given is None and provider.base_url is None:
        raise refuse(
            "base_url",
            f"must be given, since {provider.name} publishes none",
            "Pass the address that the service gave you",
        )
    return check_base_url(provider.base_url or "" if given is None else given)


def _find_key(given: str | None, variable: str) -> str:
    key = os.environ.get(variable, "") if given is None else given
    if not key:
        raise AuthenticationError(
            f"There is no API key. Pass api_key, or set {variable}."
        )
    if not _KEY.fullmatch(key):
        raise refuse(
            "api_key",
            "must be printable ASCII without spaces",
            "Copy it again from the service's dashboard",
        )
    return key
