"""The coroutines that submit and wait in one line, for whoever can run a request."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Never, TypeAlias, TypeVar, Unpack

import attrs

from personakit.errors import PersonaExists, PersonaKitError, invalid
from personakit.jobs.personas import Personas
from personakit.journal.record import INTERNAL
from personakit.models import (
    Persona,
    Stems,
    Track,
    TrackRef,
    VocalWindow,
)
from personakit.receipt import Ability
from personakit.requests import (
    AudioFile,
    CoverRequest,
    ExtendRequest,
    JobRequest,
    MashupRequest,
    MusicRequest,
    PersonaRequest,
    SongFields,
    SongRequest,
    Source,
    StemsRequest,
    UploadRequest,
    check_song,
)
from personakit.validation import NoneType, expect, expect_one_of

T = TypeVar("T")

IfExists: TypeAlias = Literal["raise", "return"]

FILE_LIMIT = 100 * 1024 * 1024
"""Bytes of a file to upload, the most that kie recommends (documented)."""
_log = logging.getLogger("personakit")
_UPLOADED = "uploaded"  # stands for the id of what is not uploaded yet


@attrs.frozen
class SungPersona:
    """A new persona, and what it sang first.

    Attributes:
        persona: The persona.
        tracks: The tracks, all variants that the service made.
    """

    persona: Persona
    tracks: tuple[Track, ...]


def _read_file(path: Path) -> AudioFile:
    try:
        size = path.stat().st_size
        if not 0 < size <= FILE_LIMIT:
            raise invalid(
                "audio",
                f"must have from 1 to {FILE_LIMIT} bytes, not {size}",
                "Pass another file",
            )
        return AudioFile(path.name, path.read_bytes())
    except OSError as error:
        raise invalid(
            "audio",
            f"must be a file that can be read ({error.strerror})",
            "Pass the path of one",
        ) from error


class Operations(ABC):
    """What `PersonaKit` offers, put together from single submits.

    All raise, besides what they name: InvalidRequest (a rule is broken; nothing was
    sent), Unsupported (the service does not offer it; nothing was sent),
    InsufficientCredits, OutcomeUnknown (the answer to the paid request is lost),
    JobFailed, ContentRefused, and WaitTimeout (the time is up; the job runs on).
    """

    @property
    @abstractmethod
    def provider(self) -> str:
        """Name of the service."""

    @property
    @abstractmethod
    def personas(self) -> Personas:
        """The personas that are known of this service."""

    @abstractmethod
    def can(self, ability: Ability) -> bool:
        """Tell whether the service offers something."""

    @abstractmethod
    def check(self, request: JobRequest[Any]) -> None:
        """Refuse a request that the service would refuse, without sending anything."""

    @abstractmethod
    def require(self, ability: Ability) -> None:
        """Raise Unsupported for what the service does not offer."""

    @abstractmethod
    def deadline_in(self, timeout: float | None) -> float:
        """Turn seconds from now, None for the usual ones, into loop time."""

    @abstractmethod
    async def run(
        self, request: JobRequest[T], *, deadline: float, key: str | None = None
    ) -> T:
        """Submit a request, under a key once, and wait until that loop time."""

    async def create_persona(
        self,
        source: Track | TrackRef,
        *,
        name: str,
        description: str,
        window: VocalWindow | None = None,
        style: str | None = None,
        if_exists: IfExists = "raise",
        timeout: float | None = None,
    ) -> Persona:
        """Make a reusable voice from a finished track, and wait for it.

        Args:
            source: The track, or its ids. A track can become a persona only once.
            name: What to call it.
            description: What the voice sounds like; the more detail, the better.
                MusicMint has no place for it, and it stays on the `Persona` alone.
            window: The part to learn from, None for the service's choice. On Evolink,
                sunoapi.org and kie 10 to 30 s long; MusicMint takes none.
            style: A style label, None for none; MusicMint takes none.
            if_exists: What to do where the track is a persona already: ``"raise"``, or
                ``"return"`` the one that `personas` knows, without paying where that
                is known beforehand.
            timeout: Seconds for all of it, None for the client's own.

        Raises:
            PersonaExists: the track is a persona already, where the service says so,
                and it is not known which, or not wanted.

        Source: the persona pages of Evolink, the sunoapi family and MusicMint.
        """
        expect_one_of("if_exists", if_exists, ("raise", "return"))
        request = PersonaRequest(
            source, name=name, description=description, window=window, style=style
        )
        deadline = self.deadline_in(timeout)
        if if_exists == "raise":
            return await self.run(request, deadline=deadline)
        if (known := await self.personas.of(source)) is not None:
            return known
        try:
            return await self.run(request, deadline=deadline)
        except PersonaExists as error:
            if error.persona_id is None:
                raise
            return request.complete(Persona(error.persona_id, self.provider))

    async def generate(
        self, *text: Never, timeout: float | None = None, **song: Unpack[SongFields]
    ) -> tuple[Track, ...]:
        """Generate tracks, with a persona or without, and wait for them.

        On Evolink and the sunoapi family a persona needs `style` and `title`, and
        `lyrics` unless `instrumental`: beside `idea` it would be ignored, and paid
        for. On MusicMint it sings in both ways.

        Args:
            *text: Nothing; pass the texts by name.
            timeout: Seconds for all of it, None for the client's own.
            **song: The fields of `MusicRequest`.

        Returns:
            All variants that the service made, usually two.

        Source: the generation pages of the services (documented).
        """
        check_song(song, *text)
        request = MusicRequest(**song)
        return await self.run(request, deadline=self.deadline_in(timeout))

    async def extend(
        self,
        source: Source,
        *,
        at: float | None = None,
        timeout: float | None = None,
        **song: Unpack[SongFields],
    ) -> tuple[Track, ...]:
        """Continue a track, and wait for what comes of it.

        Args:
            source: A track, its ids, or the https address of audio. The sunoapi family
                takes all three; MusicMint takes addresses after `upload`.
            at: Second from which to continue, None for the end.
            timeout: Seconds for all of it, None for the client's own.
            **song: The fields of `ExtendRequest`.

        Source: sunoapi extend-music and upload-and-extend-audio, MusicMint generate.
        """
        check_song(song)
        request = ExtendRequest(source, at=at, **song)
        return await self.run(request, deadline=self.deadline_in(timeout))

    async def cover(
        self,
        source: Source,
        *,
        timeout: float | None = None,
        **song: Unpack[SongFields],
    ) -> tuple[Track, ...]:
        """Perform audio anew, in another style or voice, and wait for it.

        Args:
            source: On the sunoapi family a track with its address, or an https address;
                on MusicMint a track, or its ids.
            timeout: Seconds for all of it, None for the client's own.
            **song: The fields of `CoverRequest`.

        Source: sunoapi upload-and-cover-audio, MusicMint cover (documented).
        """
        check_song(song)
        request = CoverRequest(source, **song)
        return await self.run(request, deadline=self.deadline_in(timeout))

    async def mashup(
        self,
        first: Source,
        second: Source,
        *,
        timeout: float | None = None,
        **song: Unpack[SongFields],
    ) -> tuple[Track, ...]:
        """Blend two pieces of audio, and wait for what comes of it.

        Args:
            first: A track with its address, or an https address.
            second: Another one.
            timeout: Seconds for all of it, None for the client's own.
            **song: The fields of `MashupRequest`.

        Source: sunoapi generate-mashup (documented).
        """
        check_song(song)
        request = MashupRequest(first, second, **song)
        return await self.run(request, deadline=self.deadline_in(timeout))

    async def separate_stems(
        self,
        source: Source,
        *,
        window: VocalWindow | None = None,
        timeout: float | None = None,
    ) -> Stems:
        """Separate the voice of a track from the rest, and wait for it.

        Each call is paid for again, even for the same track.

        Args:
            source: A track or its ids; the sunoapi family takes an https address too.
            window: The part of it, None for all. Only MusicMint takes one.
            timeout: Seconds for all of it, None for the client's own. MusicMint may
                take five minutes to answer.

        Source: sunoapi vocal separation, MusicMint stem separation (documented).
        """
        request = StemsRequest(source, window=window)
        return await self.run(request, deadline=self.deadline_in(timeout))

    async def upload(
        self, audio: str | PathLike[str], *, timeout: float | None = None
    ) -> Track:
        """Give audio from elsewhere to the service.

        Args:
            audio: An https address, or the path of a file where the service takes
                files: kie and sunoapi.org do, MusicMint does not.
            timeout: Seconds for all of it, None for the client's own.

        Returns:
            What the service knows the audio as; other operations take it as source.

        Source: MusicMint upload, kie file upload (documented).
        """
        expect("audio", audio, "an https address or a path", str, PathLike)
        deadline = self.deadline_in(timeout)
        if isinstance(audio, str):
            request = UploadRequest(audio)
        else:
            request = UploadRequest(await asyncio.to_thread(_read_file, Path(audio)))
        return await self.run(request, deadline=deadline)

    async def sing(
        self,
        song: SongRequest,
        *,
        voice_of: Source,
        name: str,
        description: str,
        window: VocalWindow | None = None,
        style: str | None = None,
        isolate: bool | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> SungPersona:
        """Make a persona of a track's voice and have it sing, in one go.

        The whole workflow: isolate the voice (separate the stems, and upload the voice
        alone), make a persona of it, generate with the persona, wait. Each step is paid
        for once. Should a step fail after the persona was made, the error has its
        `persona_id`; should it be cancelled, the log has it.

        Args:
            song: What to sing; its persona is filled in.
            voice_of: A track or its ids; an https address where the service takes
                uploads as sources of personas, which MusicMint does.
            name: What to call the persona.
            description: What the voice sounds like.
            window: The part to learn from, None for the service's choice.
            style: A style label of the persona, None for none.
            isolate: Whether to isolate the voice first, as MusicMint recommends for
                clean personas; None does so where the service can.
            key: As for `submit`, for all steps: run again under it, those that were
                paid for are taken up, and the rest follows. None submits in any case.
            timeout: Seconds for all of it, None for the client's own.

        Source: MusicMint, Persona, "Complete workflow" (the specification).
        """
        expect("song", song, "a MusicRequest or another SongRequest", SongRequest)
        expect("isolate", isolate, "True, False or None", bool, NoneType)
        expect("key", key, "text", str, NoneType)
        if song.persona is not None:
            raise invalid("song", "must leave its persona open", "Omit song.persona")
        if isolate or isinstance(voice_of, str):
            self.require(Ability.VOICE)
        # The last step is checked before the first one is paid for.
        stand_in = Persona("not made yet", self.provider)
        self.check(attrs.evolve(song, persona=stand_in))
        wanted = PersonaRequest(
            TrackRef(_UPLOADED, _UPLOADED) if isinstance(voice_of, str) else voice_of,
            name=name,
            description=description,
            window=window,
            style=style,
        )
        self.check(wanted)
        deadline = self.deadline_in(timeout)
        steps = _Steps(self, key, deadline)
        source = await self._find_voice(voice_of, steps, isolate=isolate)
        persona = await steps.run("persona", attrs.evolve(wanted, source=source))
        try:
            tracks = await steps.run("song", attrs.evolve(song, persona=persona))
        except PersonaKitError as error:
            error.persona_id = persona.id
            raise
        except asyncio.CancelledError:
            _log.warning("Cancelled after persona %s was made", persona.id)
            raise
        return SungPersona(persona, tracks)

    async def _find_voice(
        self, source: Source, steps: _Steps, *, isolate: bool | None
    ) -> Track | TrackRef:
        """Return what to make the persona of: the source, or its voice alone."""
        if isolate is None:
            isolate = self.can(Ability.VOICE)
        if isinstance(source, str):
            source = await steps.run("upload", UploadRequest(source))
        if not isolate:
            return source
        stems = await steps.run("stems", StemsRequest(source))
        # A stem has no id that personas are made of; its upload has one.
        voice = UploadRequest(stems.vocals.audio_url or "")
        return await steps.run("voice", voice)


@attrs.frozen
class _Steps:
    """The paid steps of a workflow, each under a key of its own if it has one."""

    kit: Operations
    key: str | None
    deadline: float

    async def run(self, step: str, request: JobRequest[T]) -> T:
        key = None if self.key is None else f"{self.key}{INTERNAL}{step}"
        return await self.kit.run(request, deadline=self.deadline, key=key)
