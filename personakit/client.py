"""`PersonaKit`, the client: what a program holds for as long as it lives."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import aiohttp

from personakit.convert import parse_token
from personakit.download import save_track
from personakit.errors import AuthenticationError, refuse
from personakit.job import Job
from personakit.journal import Journal
from personakit.journal.memory import MemoryJournal
from personakit.models import (
    Credits,
    JobRequest,
    MusicRequest,
    Persona,
    PersonaMode,
    PersonaRequest,
    Result,
    Track,
    TrackRef,
    VocalGender,
    VocalWindow,
)
from personakit.pace import Pace
from personakit.perloop import PerLoop
from personakit.poller import Poller
from personakit.providers import find_provider
from personakit.receipt import Ability, Receipt
from personakit.transport import Transport, check_base_url, is_loopback
from personakit.workflows import (
    Engine,
    check_timeout,
    deadline_in,
    read_credits,
    submit,
)

T = TypeVar("T")

_KEY = re.compile(r"[!-~]+")

DEFAULT_TIMEOUT = 900.0
"""Seconds for one call from its submit to its result. Songs take one to five minutes;
what is not done by then runs on, and its receipt finds it."""
CREDITS_TIMEOUT = 60.0
"""Seconds for reading the balance, repetitions included."""


class PersonaKit:
    """One service, spoken to with one key.

    Make one and keep it: it may be used from any number of tasks, and from several
    event loops. Nothing is opened before the first call, and what a loop has opened is
    closed by `aclose`, by the end of ``async with``, or with the loop.

    Args:
        provider: Name of the service: ``"evolink"``.
        api_key: None to take it from the environment (``EVOLINK_API_KEY``).
        base_url: None for the service's own address. Must be https, except on this
            machine.
        session: An `aiohttp.ClientSession` of the caller, borrowed and never closed;
            for a proxy, say, or TLS settings; its loop is then the only one that can
            be used. None to make our own, which heed no proxy variables. Paid
            requests on a borrowed session may meet an idle connection that breaks
            after they were sent, which makes their outcome unknown more often.
        timeout: Seconds that a call may take from submit to result, ``math.inf`` for
            no limit.

    Raises:
        InvalidRequest: an argument breaks a rule.
        AuthenticationError: there is no key.
    """

    def __init__(
        self,
        provider: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        session: aiohttp.ClientSession | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self._provider = find_provider(provider)
        self._base_url = check_base_url(
            self._provider.base_url if base_url is None else base_url
        )
        self._key = _find_key(api_key, self._provider.key_variable)
        self._session = session
        self._timeout = check_timeout(timeout)
        self._journal: Journal = MemoryJournal()
        self._engines = PerLoop(self._open_engine, Engine.aclose)

    def _open_engine(self) -> Engine:
        return Engine(
            provider=self._provider,
            transport=Transport(self._base_url, self._key, self._session),
            poller=Poller(Pace()),
            journal=self._journal,
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

    def can(self, ability: Ability) -> bool:
        """Tell whether the service offers something."""
        return ability in self._provider.abilities

    async def create_persona(
        self,
        source: Track | TrackRef,
        *,
        name: str,
        description: str,
        window: VocalWindow | None = None,
        style: str | None = None,
        timeout: float | None = None,
    ) -> Persona:
        """Make a reusable voice from a finished track, and wait for it.

        Args:
            source: The track, or its ids. A track can become a persona only once.
            name: What to call it.
            description: What the voice sounds like; the more detail, the better.
            window: The part to learn from, None for the service's choice. On Evolink
                10 to 30 s long.
            style: A style label, None for none.
            timeout: Seconds for all of it, None for the client's own.

        Raises:
            InvalidRequest: a rule is broken, or the service refuses the source.
            PersonaExists: the track is a persona already, where the service says so.
            OutcomeUnknown: the answer to the paid request is lost.
            JobFailed: the service could not do it.
            WaitTimeout: the time is up; the job runs on.

        Source: Evolink, Suno Persona creation (documented).
        """
        request = PersonaRequest(
            source, name=name, description=description, window=window, style=style
        )
        return await self._run(request, timeout)

    async def generate(  # noqa: D417 - MusicRequest describes its fields
        self,
        *,
        lyrics: str | None = None,
        idea: str | None = None,
        style: str | None = None,
        title: str | None = None,
        instrumental: bool = False,
        persona: Persona | None = None,
        persona_mode: PersonaMode | None = None,
        model: str | None = None,
        negative_style: str | None = None,
        vocal_gender: VocalGender | None = None,
        style_weight: float | None = None,
        weirdness: float | None = None,
        audio_weight: float | None = None,
        duration: float | None = None,
        timeout: float | None = None,
    ) -> tuple[Track, ...]:
        """Generate tracks, with a persona or without, and wait for them.

        On Evolink a persona needs `style` and `title`, and `lyrics` unless
        `instrumental`: beside `idea` it would be ignored, and paid for.

        Args:
            timeout: Seconds for all of it, None for the client's own.

        The other arguments are the fields of `MusicRequest`.

        Returns:
            All variants that the service made, usually two.

        Raises:
            InvalidRequest: a rule is broken; nothing was sent.
            InsufficientCredits: the account is empty.
            OutcomeUnknown: the answer to the paid request is lost.
            ContentRefused: lyrics, idea or style are not allowed.
            JobFailed: the service could not do it.
            WaitTimeout: the time is up; the job runs on.

        Source: Evolink, Suno music generation (documented).
        """
        request = MusicRequest(
            lyrics=lyrics,
            idea=idea,
            style=style,
            title=title,
            instrumental=instrumental,
            persona=persona,
            persona_mode=persona_mode,
            model=model,
            negative_style=negative_style,
            vocal_gender=vocal_gender,
            style_weight=style_weight,
            weirdness=weirdness,
            audio_weight=audio_weight,
            duration=duration,
        )
        return await self._run(request, timeout)

    async def submit(
        self, request: JobRequest[T], *, timeout: float | None = None
    ) -> Job[T]:
        """Start a job with exactly one paid request, and do not wait for it.

        Args:
            request: A `PersonaRequest` or a `MusicRequest`.
            timeout: Seconds up to which "too many requests" and unreachable services
                are answered by another attempt; None for the client's own.

        Raises:
            InvalidRequest: a rule is broken; nothing was sent.
            OutcomeUnknown: the answer to the paid request is lost.
            PersonaKitError: the service refused, or was never reached.
        """
        return await self._submit(request, self._deadline(timeout))

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
            of: What the job was submitted for, `PersonaRequest` or `MusicRequest`, so
                that the result has its type; None where either may come.

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
            deadline=self._deadline(timeout),
            loopback=is_loopback(self._base_url),
        )

    async def credits(self, *, timeout: float = CREDITS_TIMEOUT) -> Credits:
        """Read the balance; costs nothing, and is a good check of the key.

        Args:
            timeout: Seconds, repetitions included.

        Raises:
            Unsupported: the service does not tell.
            AuthenticationError: the key is wrong.
            ServiceUnavailable: no answer in time.
        """
        engine = await self._engines.here()
        return await read_credits(engine, deadline=deadline_in(timeout))

    async def _run(self, request: JobRequest[T], timeout: float | None) -> T:
        deadline = self._deadline(timeout)
        job = await self._submit(request, deadline)
        return await job.result_by(deadline)

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
        return Job(receipt, here=self._engines.here, timeout=self._timeout)

    def _deadline(self, timeout: float | None) -> float:
        return deadline_in(self._timeout if timeout is None else timeout)


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
