"""What callers ask for: frozen values that check themselves when they are built.

Rules that only one service has are checked by its dialect, before anything is sent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Generic, Literal, TypeAlias, TypedDict, TypeVar

import attrs

from personakit.errors import invalid
from personakit.models import Persona, Stems, Track, TrackRef, VocalWindow
from personakit.receipt import Ability
from personakit.validation import (
    a,
    a_or_address,
    expect,
    label,
    number,
    one_of,
    optional,
    text,
)

T = TypeVar("T")

VocalGender: TypeAlias = Literal["female", "male"]
PersonaMode: TypeAlias = Literal["style", "voice"]
Source: TypeAlias = Track | TrackRef | str
"""A track of the service, its ids, or the https address of audio from elsewhere."""

_weight: float | None = attrs.field(default=None, validator=optional(number(0, 1)))
_optional_text: str | None = attrs.field(default=None, validator=optional(text))
_window: VocalWindow | None = attrs.field(
    kw_only=True, default=None, validator=optional(a(VocalWindow))
)
_is_source = a_or_address(Track, TrackRef)


class JobRequest(Generic[T]):
    """What a caller wants; ``T`` is what the finished job yields."""

    ability: ClassVar[Ability]

    def complete(self, result: T) -> T:
        """Add to a result what the service does not repeat, but the caller said."""
        return result


def check_request(request: object) -> None:
    """Refuse what is not a request.

    Raises:
        InvalidRequest: it is not.
    """
    rule, example = "a request", "Build one, for example MusicRequest(idea=...)"
    expect("request", request, rule, JobRequest, remedy=example)
    if type(request) is JobRequest:
        raise invalid("request", f"must be {rule} of a certain kind", example)


@attrs.frozen
class PersonaRequest(JobRequest[Persona]):
    """Make a persona from a finished track.

    Attributes:
        source: The track, or its ids.
        name: What to call the persona.
        description: What the voice sounds like.
        window: The part to learn from; None leaves the choice to the service.
        style: A style label, None or blank for none.
    """

    ability: ClassVar[Ability] = Ability.PERSONA

    source: Track | TrackRef = attrs.field(validator=a(Track, TrackRef))
    name: str = attrs.field(kw_only=True, validator=text)
    description: str = attrs.field(kw_only=True, validator=text)
    window: VocalWindow | None = _window
    style: str | None = attrs.field(
        kw_only=True, default=None, validator=optional(label)
    )

    @property
    def source_ref(self) -> TrackRef:
        """The ids of the source."""
        return self.source.ref if isinstance(self.source, Track) else self.source

    def complete(self, result: Persona) -> Persona:
        """Name the new persona and remember whose voice it has."""
        style = (self.style or "").strip() and self.style
        return attrs.evolve(
            result,
            name=self.name,
            description=self.description,
            style=style or None,
            source=self.source_ref,
        )


class SongFields(TypedDict, total=False):
    """The fields of `SongRequest`, for signatures."""

    lyrics: str | None
    idea: str | None
    style: str | None
    title: str | None
    instrumental: bool
    persona: Persona | None
    persona_mode: PersonaMode | None
    model: str | None
    negative_style: str | None
    vocal_gender: VocalGender | None
    style_weight: float | None
    weirdness: float | None
    audio_weight: float | None
    duration: float | None


def check_song(fields: Mapping[str, object], *positional: object) -> None:
    """Refuse arguments that are not fields of a song.

    Args:
        fields: The arguments by name.
        *positional: Arguments without a name.

    Raises:
        InvalidRequest: there are such.
    """
    texts = "Pass idea for a description, or lyrics for the text that is sung"
    if positional:
        raise invalid("lyrics", "or idea must be passed by name", texts)
    for name in fields.keys() - SongFields.__annotations__.keys():
        known = f"Use one of {', '.join(SongFields.__annotations__)}"
        remedy = texts if name == "prompt" else known
        raise invalid(name, "must not be passed, a song has no such field", remedy)


@attrs.frozen(kw_only=True)
class SongRequest(JobRequest[tuple[Track, ...]]):
    """What all requests for new tracks have in common.

    Attributes:
        lyrics: Sung as written. None for none.
        idea: What the song is about; the service writes the lyrics. None for none.
        style: Genre, mood, instruments. None for none.
        title: None for none.
        instrumental: True for music without a voice.
        persona: The voice that sings, None for any.
        persona_mode: What to take from the persona: its ``"style"`` or its
            ``"voice"``; None leaves it to the service.
        model: The service's name of a model, None for the package's choice.
        negative_style: What to avoid, None for nothing.
        vocal_gender: ``"female"`` or ``"male"``, a wish only; None for no wish.
        style_weight: 0 to 1, how closely to follow `style`; None: not said.
        weirdness: 0 to 1, how far to stray; None: not said.
        audio_weight: 0 to 1, how closely to follow the persona's or the source's
            audio; None: not said.
        duration: Wanted length in seconds, None for the service's choice.
    """

    lyrics: str | None = _optional_text
    idea: str | None = _optional_text
    style: str | None = _optional_text
    title: str | None = _optional_text
    instrumental: bool = attrs.field(default=False, validator=a(bool))
    persona: Persona | None = attrs.field(default=None, validator=optional(a(Persona)))
    persona_mode: PersonaMode | None = attrs.field(
        default=None, validator=optional(one_of("style", "voice"))
    )
    model: str | None = _optional_text
    negative_style: str | None = _optional_text
    vocal_gender: VocalGender | None = attrs.field(
        default=None, validator=optional(one_of("female", "male"))
    )
    style_weight: float | None = _weight
    weirdness: float | None = _weight
    audio_weight: float | None = _weight
    duration: float | None = attrs.field(
        default=None, validator=optional(number(1, math.inf))
    )

    def __attrs_post_init__(self) -> None:
        if self.lyrics is not None and self.idea is not None:
            raise invalid("idea", "cannot go with lyrics", "Pass only one of the two")
        if self.persona_mode is not None and self.persona is None:
            raise invalid("persona_mode", "has no effect alone", "Pass persona too")
        self.check()

    def check(self) -> None:
        """Refuse what this kind of request cannot do without."""

    def complete(self, result: tuple[Track, ...]) -> tuple[Track, ...]:
        """Write into tracks what was asked for, where the service did not tell."""
        return tuple(
            attrs.evolve(
                track,
                lyrics=track.lyrics or self.lyrics,
                title=track.title or self.title,
                style=track.style or self.style,
                model=track.model or self.model,
            )
            for track in result
        )


@attrs.frozen(kw_only=True)
class MusicRequest(SongRequest):
    """Generate tracks; the fields are those of `SongRequest`.

    Say what is sung by one of `lyrics` and `idea`, or ask for an `instrumental`.
    """

    ability: ClassVar[Ability] = Ability.MUSIC

    def check(self) -> None:
        """Refuse a song of which nothing is said."""
        if self.idea is None and self.lyrics is None and not self.instrumental:
            raise invalid(
                "lyrics",
                "or idea must say what is sung",
                "Pass one of the two, or instrumental=True",
            )


@attrs.frozen
class ExtendRequest(SongRequest):
    """Continue a track; the other fields are those of `SongRequest`.

    Attributes:
        source: What to continue: a track, its ids, or an https address.
        at: Second of the source from which to continue, None for its end.
    """

    ability: ClassVar[Ability] = Ability.EXTEND

    source: Source = attrs.field(validator=_is_source)
    at: float | None = attrs.field(
        kw_only=True, default=None, validator=optional(number(0, math.inf))
    )

    def check(self) -> None:
        """Refuse a place beyond the end of a track whose length is known."""
        length = self.source.duration if isinstance(self.source, Track) else None
        if self.at is not None and length is not None and self.at >= length:
            raise invalid(
                "at",
                f"must lie before the end of the source, which is {length:g} s long",
                "Move it, or omit it to continue from the end",
            )


@attrs.frozen
class CoverRequest(SongRequest):
    """Perform audio anew in another style; the other fields are `SongRequest`'s.

    Attributes:
        source: What to perform: a track, its ids, or an https address.
    """

    ability: ClassVar[Ability] = Ability.COVER

    source: Source = attrs.field(validator=_is_source)


@attrs.frozen
class MashupRequest(SongRequest):
    """Blend two pieces of audio; the other fields are those of `SongRequest`.

    Attributes:
        first: A track, its ids, or an https address.
        second: Another one.
    """

    ability: ClassVar[Ability] = Ability.MASHUP

    first: Source = attrs.field(validator=_is_source)
    second: Source = attrs.field(validator=_is_source)


@attrs.frozen
class StemsRequest(JobRequest[Stems]):
    """Separate the voice from the rest.

    Attributes:
        source: What to take apart: a track, its ids, or an https address.
        window: The part of it, None for all.
    """

    ability: ClassVar[Ability] = Ability.STEMS

    source: Source = attrs.field(validator=_is_source)
    window: VocalWindow | None = _window


@attrs.frozen
class AudioFile:
    """Audio as it lies in a file.

    Attributes:
        name: With its ending, without folders.
        content: All of it.
    """

    name: str = attrs.field(validator=text)
    content: bytes = attrs.field(repr=False, validator=a(bytes))


@attrs.frozen
class UploadRequest(JobRequest[Track]):
    """Give audio from elsewhere to the service.

    Attributes:
        audio: Its https address, or the audio itself.
    """

    ability: ClassVar[Ability] = Ability.UPLOAD

    audio: str | AudioFile = attrs.field(validator=a_or_address(AudioFile))
