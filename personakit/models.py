"""The values that come back: jobs' states and snapshots, tracks, personas, credits.

All are frozen. What callers ask for is in ``requests``.
"""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

import attrs

from personakit.errors import PersonaKitError, invalid
from personakit.receipt import Ability
from personakit.validation import number, text


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


@attrs.frozen
class TrackRef:
    """The ids by which a service knows one piece of audio.

    Attributes:
        job_id: The job that made it.
        track_id: The track among those that the job made.
    """

    job_id: str = attrs.field(validator=text)
    track_id: str = attrs.field(validator=text)


@attrs.frozen
class Track:
    """One finished piece of audio.

    Attributes:
        provider: The service that made it, and the only one that knows its ids.
        job_id: The job that made it. No job makes an upload: there it is `track_id`.
        track_id: The service's id of this track.
        audio_url: The final audio, never a preview; None when the service sent none.
        stream_url: A stream of it, which may be a preview; None when there is none.
        image_url: A cover picture, None when there is none.
        title: None when the service told none.
        style: The service's description of the style, None when it told none.
        duration: Length in seconds, None when not told.
        model: The model that made it, by the name that requests use, as far as the
            service told; None when it did not.
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

    id: str = attrs.field(validator=text)
    provider: str = attrs.field(validator=text)
    name: str | None = None
    description: str | None = None
    style: str | None = None
    source: TrackRef | None = None


@attrs.frozen
class Stems:
    """A track taken apart.

    Attributes:
        vocals: The voice alone.
        instrumental: The rest alone, None where the service gives only the voice.
    """

    vocals: Track
    instrumental: Track | None = None


@attrs.frozen
class Ping:
    """How a service answered.

    Attributes:
        seconds: Until its answer was there.
        clock: Seconds by which its clock is ahead of ours, None when not told.
    """

    seconds: float
    clock: float | None = None


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

    start: float = attrs.field(validator=number(0, math.inf))
    end: float = attrs.field(validator=number(0, math.inf))

    def __attrs_post_init__(self) -> None:
        if self.end <= self.start:
            raise invalid("window", "must end after it starts", "Swap or widen it")

    @property
    def length(self) -> float:
        """Seconds, free of the noise of binary fractions."""
        return round(self.end - self.start, 6)


Result: TypeAlias = Persona | tuple[Track, ...] | Stems | Track
"""What a finished job may yield."""

T_co = TypeVar("T_co", covariant=True)


@attrs.frozen
class Snapshot(Generic[T_co]):
    """One reading of a job.

    Attributes:
        job_id: The service's id of the job. Where the service answers a submit with
            the result itself, the id of what it made; empty where that is too long
            for a receipt.
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

    @property
    def is_settled(self) -> bool:
        """True when nothing is left to read: there is a result or a failure."""
        return self.result is not None or self.failure is not None


@attrs.frozen
class Listed:
    """One line of a service's list of jobs.

    Attributes:
        kind: What the job makes; None if this package cannot submit such jobs.
        snapshot: State of the job; lists contain no results.
        created_at: When the service accepted it, aware UTC, by the service's clock;
            None if the list does not contain it.
        model: The service's name of the model; None if the list does not contain it.
    """

    kind: Ability | None
    snapshot: Snapshot[Result]
    created_at: datetime | None = None
    model: str | None = None
