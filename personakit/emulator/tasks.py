"""What a service makes, and how a task comes to its end: values without memory.

Nothing runs in the background. How far a task is follows from the moment of asking.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from functools import cached_property
from typing import Literal, TypeAlias

import attrs

from personakit.emulator import audio

Kind: TypeAlias = Literal["music", "persona", "stems", "upload"]
Status: TypeAlias = Literal["pending", "processing", "completed", "failed"]

PENDING_SHARE = 0.06
"""The part of a task's time that it spends in the queue."""


@attrs.frozen
class Spread:
    """How long a kind of task takes: a lognormal distribution between two bounds.

    Attributes:
        median: Seconds; also the estimate that the service announces.
        sigma: Standard deviation of the logarithm.
        shortest: Seconds.
        longest: Seconds.
    """

    median: float
    sigma: float
    shortest: float
    longest: float

    def draw(self, dice: random.Random) -> float:
        """Draw the seconds that one task takes."""
        seconds = dice.lognormvariate(math.log(self.median), self.sigma)
        return min(max(seconds, self.shortest), self.longest)


# The persona's median is the `estimated_time` of the persona page's example. The rest
# is chosen: the vendor's own application waits at most 300 s for music, 60 s for a
# persona (inferred from its code).
SPREADS: dict[Kind, Spread] = {
    "music": Spread(60.0, 0.45, 15.0, 180.0),
    "persona": Spread(15.0, 0.25, 6.0, 45.0),
    "stems": Spread(40.0, 0.3, 15.0, 120.0),
    "upload": Spread(3.0, 0.2, 1.0, 8.0),
}
"""How long tasks take, in seconds of the service's clock."""


@attrs.frozen
class Song:
    """One piece of audio of a music task.

    Attributes:
        job_id: The task that made it.
        track_id: Its own id in the service's form.
        title: As asked for, or taken from the idea.
        style: As asked for, or the idea.
        model: As the service names it.
        persona_id: Who sings it, None for the neutral voice.
        instrumental: True when nobody sings.
        lyrics: What is sung, as asked for; empty where the service wrote it.
        life: Seconds of the service's clock for which the audio is kept.
    """

    job_id: str
    track_id: str
    title: str
    style: str
    model: str
    persona_id: str | None = None
    instrumental: bool = False
    lyrics: str = ""
    life: float = math.inf

    @cached_property
    def duration(self) -> float:
        """Length of the audio in seconds."""
        return audio.duration(self.track_id)

    @cached_property
    def audio(self) -> bytes:
        """The WAV file, rendered when it is first asked for."""
        return audio.render(
            self.track_id, persona_id=self.persona_id, instrumental=self.instrumental
        )


@attrs.frozen
class TaskError:
    """Why a task ends badly, in the service's own words."""

    code: str
    message: str


@attrs.frozen
class Stage:
    """Where a task stands: its status, and its progress from 0 to 100."""

    status: Status
    progress: int

    @property
    def is_final(self) -> bool:
        """True when the task will not change again."""
        return self.status in ("completed", "failed")


@attrs.frozen(kw_only=True)
class Task:
    """One task, from its submission to its end; its stage follows from the time.

    Attributes:
        id: As the service names it.
        kind: What it makes.
        model: As the service names it.
        created: Second of the service's clock.
        seconds: How long it takes on the service's clock.
        bend: Exponent of the progress curve: below 1 it starts fast, above 1 slowly.
        price: Credits; 0 for a task that was there from the beginning.
        songs: What a music task makes.
        persona_id: What a persona task makes.
        error: How it fails, None when it will succeed.
        memo: What else the service remembers of the request, by its own names.
    """

    id: str
    kind: Kind
    model: str
    created: float
    seconds: float
    bend: float = 1.0
    price: float = 0.0
    songs: tuple[Song, ...] = ()
    persona_id: str | None = None
    error: TaskError | None = None
    memo: Mapping[str, object] = attrs.field(factory=dict[str, object])

    @property
    def end(self) -> float:
        """Second of the service's clock at which it ends."""
        return self.created + self.seconds

    def stage(self, now: float) -> Stage:
        """Return where it stands at `now`, a second of the service's clock."""
        if now >= self.end:
            return Stage("failed", 0) if self.error else Stage("completed", 100)
        done = (now - self.created) / self.seconds
        if done < PENDING_SHARE:
            return Stage("pending", 0)
        share = (done - PENDING_SHARE) / (1 - PENDING_SHARE)
        return Stage("processing", 1 + int(98 * share**self.bend))

    def has_failed(self, now: float) -> bool:
        """Tell whether it has ended badly by `now`."""
        return self.error is not None and now >= self.end
