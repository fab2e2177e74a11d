"""The values that callers hold: requests, jobs' states, tracks, personas, credits.

All are frozen. Requests check themselves when they are built; rules that only one
service has are checked by its dialect, before anything is sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import attrs

from personakit.errors import PersonaKitError, refuse
from personakit.receipt import Ability

T = TypeVar("T")

VocalGender: TypeAlias = Literal["female", "male"]
PersonaMode: TypeAlias = Literal["style", "voice"]


class JobState(StrEnum):
    """Where a job stands; closed, in contrast to the services' own words."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True when the job will never change again."""
        return not _NEXT[self]

    def can_become(self, state: JobState) -> bool:
        """Tell whether a reading of `state` may follow one of this state."""
        return state is self or state in _NEXT[self]


_NEXT: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset(JobState) - {JobState.QUEUED},
    JobState.RUNNING: frozenset(JobState) - {JobState.QUEUED, JobState.RUNNING},
    JobState.COMPLETED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


def number_or_none(value: object) -> float | None:
    """Return a finite number as a float, and None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


_Validator: TypeAlias = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def _label(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept any text that can be sent; half of a surrogate pair cannot."""
    if not isinstance(value, str) or any("\ud800" <= c <= "\udfff" for c in value):
        raise refuse(attribute.name, "must be valid Unicode text", "Mend or omit it")


def _text(owner: object, attribute: attrs.Attribute[Any], value: object) -> None:
    _label(owner, attribute, value)
    if not str(value).strip():
        raise refuse(attribute.name, "must not be blank", "Fill it in")


def _number(low: float, high: float) -> _Validator:
    def check(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
        if number_or_none(value) is None or not low <= value <= high:
            limits = f"from {low:g}" + ("" if high == math.inf else f" to {high:g}")
            raise refuse(
                attribute.name, f"must be a number {limits}", "Change or omit it"
            )

    return check


def _one_of(*allowed: str) -> _Validator:
    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in allowed:
            rule = "must be " + " or ".join(repr(word) for word in allowed)
            raise refuse(attribute.name, rule, "Change or omit it")

    return check


def _a(*shapes: type) -> _Validator:
    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, shapes):
            rule = "must be a " + " or a ".join(shape.__name__ for shape in shapes)
            raise refuse(attribute.name, rule, "Pass such a value")

    return check


_optional = attrs.validators.optional
_weight: float | None = attrs.field(default=None, validator=_optional(_number(0, 1)))
_optional_text: str | None = attrs.field(default=None, validator=_optional(_text))


@attrs.frozen
class TrackRef:
    """The ids by which a service knows one piece of audio.

    Attributes:
        job_id: The job that made it.
        track_id: The track among those that the job made.
    """

    job_id: str = attrs.field(validator=_text)
    track_id: str = attrs.field(validator=_text)


@attrs.frozen
class Track:
    """One finished piece of audio.

    Attributes:
        provider: The service that made it.
        job_id: The job that made it.
        track_id: The service's id of this track.
        audio_url: The final audio, None when the service sent none.
        stream_url: A stream of it, None when there is none.
        image_url: A cover picture, None when there is none.
        title: None when the service told none.
        style: The service's description of the style, None when it told none.
        duration: Length in seconds, None when not told.
        model: The model that sang it, None when not told.
        lyrics: What is sung, None when not known.
        expires_at: When the service stops keeping the links, aware UTC; None when
            not known.
    """

    provider: str
    job_id: str
    track_id: str
    audio_url: str | None = None
    stream_url: str | None = None
    image_url: str | None = None
    title: str | None = None
    style: str | None = None
    duration: float | None = None
    model: str | None = None
    lyrics: str | None = None
    expires_at: datetime | None = None

    @property
    def ref(self) -> TrackRef:
        """The ids alone."""
        return TrackRef(self.job_id, self.track_id)


@attrs.frozen
class Persona:
    """A reusable singing voice.

    Attributes:
        id: The service's id of it. Keep it: no service lists personas.
        provider: The service that made it, and the only one that can use it.
        name: None when it was found again by its job alone.
        description: As `name`.
        style: The style label it was given, None for none.
        source: The track whose voice it has, None when not known.
    """

    id: str = attrs.field(validator=_text)
    provider: str = attrs.field(validator=_text)
    name: str | None = None
    description: str | None = None
    style: str | None = None
    source: TrackRef | None = None


@attrs.frozen
class Credits:
    """The balance of an account.

    Attributes:
        remaining: What the account has left, in the service's own credits.
        used: What it has spent so far, None when not told.
        key_remaining: What this key may still spend; None for no limit of its own.
    """

    remaining: float
    used: float | None = None
    key_remaining: float | None = None

    @property
    def spendable(self) -> float:
        """What can be spent now with this key."""
        if self.key_remaining is None:
            return self.remaining
        return min(self.remaining, self.key_remaining)


@attrs.frozen
class VocalWindow:
    """The part of a track from which a voice is learned.

    Attributes:
        start: Seconds from the beginning, 0 or more.
        end: Seconds from the beginning, after `start`.
    """

    start: float = attrs.field(validator=_number(0, math.inf))
    end: float = attrs.field(validator=_number(0, math.inf))

    def __attrs_post_init__(self) -> None:
        if self.end <= self.start:
            raise refuse("window", "must end after it starts", "Swap or widen it")

    @property
    def length(self) -> float:
        """Seconds, free of the noise of binary fractions."""
        return round(self.end - self.start, 6)


class JobRequest(Generic[T]):
    """What a caller wants; ``T`` is what the finished job yields."""

    ability: ClassVar[Ability]

    def complete(self, result: T) -> T:
        """Add to a result what the service does not repeat, but the caller said."""
        return result


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

    source: Track | TrackRef = attrs.field(validator=_a(Track, TrackRef))
    name: str = attrs.field(kw_only=True, validator=_text)
    description: str = attrs.field(kw_only=True, validator=_text)
    window: VocalWindow | None = attrs.field(
        kw_only=True, default=None, validator=_optional(_a(VocalWindow))
    )
    style: str | None = attrs.field(
        kw_only=True, default=None, validator=_optional(_label)
    )

    @property
    def source_ref(self) -> TrackRef:
        """The ids of the source."""
        return self.source.ref if isinstance(self.source, Track) else self.source

    def complete(self, result: Persona) -> Persona:
        """Name the new persona and remember whose voice it has."""
        return attrs.evolve(
            result,
            name=self.name,
            description=self.description,
            style=self.style or None,
            source=self.source_ref,
        )


@attrs.frozen(kw_only=True)
class MusicRequest(JobRequest[tuple[Track, ...]]):
    """Generate tracks.

    Say what is sung by one of `lyrics` and `idea`, or ask for an `instrumental`.

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
        audio_weight: 0 to 1, how closely to follow the persona's audio; None: not
            said.
        duration: Wanted length in seconds, None for the service's choice.
    """

    ability: ClassVar[Ability] = Ability.MUSIC

    lyrics: str | None = _optional_text
    idea: str | None = _optional_text
    style: str | None = _optional_text
    title: str | None = _optional_text
    instrumental: bool = attrs.field(default=False, validator=_a(bool))
    persona: Persona | None = attrs.field(
        default=None, validator=_optional(_a(Persona))
    )
    persona_mode: PersonaMode | None = attrs.field(
        default=None, validator=_optional(_one_of("style", "voice"))
    )
    model: str | None = _optional_text
    negative_style: str | None = _optional_text
    vocal_gender: VocalGender | None = attrs.field(
        default=None, validator=_optional(_one_of("female", "male"))
    )
    style_weight: float | None = _weight
    weirdness: float | None = _weight
    audio_weight: float | None = _weight
    duration: float | None = attrs.field(
        default=None, validator=_optional(_number(1, math.inf))
    )

    def __attrs_post_init__(self) -> None:
        if self.lyrics is not None and self.idea is not None:
            raise refuse("idea", "cannot go with lyrics", "Pass only one of the two")
        if self.idea is None and self.lyrics is None and not self.instrumental:
            raise refuse(
                "lyrics",
                "or idea must say what is sung",
                "Pass one of the two, or instrumental=True",
            )
        if self.persona_mode is not None and self.persona is None:
            raise refuse("persona_mode", "has no effect alone", "Pass persona too")

    def complete(self, result: tuple[Track, ...]) -> tuple[Track, ...]:
        """Write the lyrics into tracks whose service does not repeat them."""
        return tuple(
            attrs.evolve(track, lyrics=track.lyrics or self.lyrics) for track in result
        )


Result: TypeAlias = Persona | tuple[Track, ...]
"""What a finished job may yield."""

T_co = TypeVar("T_co", covariant=True)


@attrs.frozen
class Snapshot(Generic[T_co]):
    """One reading of a job.

    Attributes:
        job_id: The service's id of the job.
        state: Where it stands. A word of the service that this package does not
            know counts as running.
        service_state: The service's own word for it.
        is_known_state: False when this package does not know that word.
        progress: 0 to 1, None when not told.
        estimated_time: The service's guess of the whole job in seconds, None when
            it makes none.
        result: What the job made; None until it is completed.
        failure: Why there is no result; None unless it failed or was cancelled.
    """

    job_id: str
    state: JobState
    service_state: str
    is_known_state: bool = True
    progress: float | None = None
    estimated_time: float | None = None
    result: T_co | None = None
    failure: PersonaKitError | None = None
