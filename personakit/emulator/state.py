"""What the emulated service remembers: time, money, tasks, songs and personas.

Nothing runs in the background. How far a task is, whether a charge came back, whether a
persona can be used: all of it is worked out from the clock at the moment of asking.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
import uuid
from functools import cached_property
from typing import Literal, TypeAlias

import attrs

from personakit.emulator import audio

Kind: TypeAlias = Literal["music", "persona"]
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
}
"""How long tasks take, in seconds of the service's clock."""


@attrs.frozen
class Charge:
    """One entry of the ledger.

    Attributes:
        job_id: The task that was paid for.
        kind: ``"music"`` or ``"persona"``.
        credits: What it cost.
        refunded: True once the task has failed and the credits came back.
    """

    job_id: str
    kind: Kind
    credits: float
    refunded: bool


@attrs.frozen
class Song:
    """One piece of audio of a music task.

    Attributes:
        job_id: The task that made it.
        track_id: Evolink's ``result_id``.
        title: As asked for, or taken from the idea.
        style: As asked for, or the idea.
        model: As the service names it.
        persona_id: Who sings it, None for the neutral voice.
        instrumental: True when nobody sings.
    """

    job_id: str
    track_id: str
    title: str
    style: str
    model: str
    persona_id: str | None = None
    instrumental: bool = False

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
        kind: ``"music"`` or ``"persona"``.
        model: As the service names it.
        created: Second of the service's clock.
        seconds: How long it takes on the service's clock.
        bend: Exponent of the progress curve: below 1 it starts fast, above 1 slowly.
        price: Credits; 0 for a task that was there from the beginning.
        songs: What a music task makes.
        persona_id: What a persona task makes.
        error: How it fails, None when it will succeed.
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


class Clock:
    """The service's time in seconds since the emulator was made.

    It follows the event loop's time, `speed` times as fast, and stands still while the
    emulator is stopped.
    """

    def __init__(self, speed: float) -> None:
        if speed <= 0:
            raise ValueError("speed must be above 0")
        self.speed = speed
        self._birth = time.time()
        self._passed = 0.0
        self._since = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Follow the time of the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()

    def stop(self) -> None:
        """Stand still, and let go of the event loop."""
        self._passed, self._loop = self.now(), None

    def advance(self, seconds: float) -> None:
        """Skip seconds of the service's time.

        Raises:
            ValueError: `seconds` is negative; the past does not come back.
        """
        if seconds < 0:
            raise ValueError("seconds must not be negative")
        self._passed += seconds

    def now(self) -> float:
        """Return the second of the service's time."""
        if self._loop is None:
            return self._passed
        seen = self._loop.time()
        # A test that switches to virtual time after `start` sets the loop's time back.
        self._since = min(self._since, seen)
        return self._passed + (seen - self._since) * self.speed

    def unix(self, moment: float) -> int:
        """Return a moment of the service's time as Unix seconds."""
        return int(self._birth + moment)


class State:
    """One account of the service, with everything that was ever ordered on it.

    Attributes:
        clock: The service's time.
        tasks: Every task by its id.
        songs: Every song by its track id.
    """

    def __init__(self, *, clock: Clock, balance: float, seed: int) -> None:
        self.clock = clock
        self.tasks: dict[str, Task] = {}
        self.songs: dict[str, Song] = {}
        # Two sources, so that ids asked for never change how long tasks take.
        self._ids = random.Random(f"ids {seed}")
        self._seconds = random.Random(seed)
        self._balance = balance
        self._charged: list[Task] = []
        self._doomed: list[Task] = []
        self._persona_tasks: dict[str, Task] = {}
        self._persona_dates: dict[str, float] = {}

    @property
    def credits(self) -> float:
        """Credits left, refunds included."""
        now = self.clock.now()
        refunds = (task.price for task in self._doomed if task.has_failed(now))
        return self._balance + sum(refunds)

    @property
    def charges(self) -> tuple[Charge, ...]:
        """Every charge ever made, oldest first."""
        now = self.clock.now()
        return tuple(
            Charge(task.id, task.kind, task.price, task.has_failed(now))
            for task in self._charged
        )

    def new_uuid(self) -> str:
        """Return a fresh random UUID."""
        return str(uuid.UUID(int=self._ids.getrandbits(128), version=4))

    def new_word(self, length: int, letters: str) -> str:
        """Return a fresh random word of `length` of these letters."""
        return "".join(self._ids.choices(letters, k=length))

    def estimate(self, kind: Kind) -> int:
        """Return how many seconds of real time such a task usually takes."""
        return max(1, math.ceil(SPREADS[kind].median / self.clock.speed))

    def order_music(
        self, songs: tuple[Song, ...], *, price: float, error: TaskError | None = None
    ) -> Task:
        """Accept and charge a music task.

        Args:
            songs: What it makes; they name the task and the model.
            price: Credits to reserve.
            error: How it shall fail, None for success.
        """
        task = self._draw("music", job_id=songs[0].job_id, model=songs[0].model)
        return self._charge(attrs.evolve(task, songs=songs, price=price, error=error))

    def order_persona(
        self,
        track_id: str,
        *,
        job_id: str,
        model: str,
        price: float,
        error: TaskError | None = None,
    ) -> Task:
        """Accept and charge a persona task for one song.

        Args:
            track_id: The song that the voice is taken from.
            job_id: Id for the task.
            model: As the service names it.
            price: Credits to reserve.
            error: How it shall fail, None for success.
        """
        persona_id = self.new_word(32, "0123456789abcdef")
        task = self._draw("persona", job_id=job_id, model=model)
        task = attrs.evolve(task, persona_id=persona_id, price=price, error=error)
        self._persona_tasks[track_id] = task
        self._persona_dates[persona_id] = math.inf if error else task.end
        return self._charge(task)

    def add_song(self, song: Song, *, finished: bool) -> Song:
        """Add a song nobody was charged for, and know the persona that sings it.

        Args:
            song: Its task must not exist yet.
            finished: False for one whose task starts now and takes the usual time.
        """
        now, seconds = self.clock.now(), SPREADS["music"].median
        self._store(
            Task(
                id=song.job_id,
                kind="music",
                model=song.model,
                # Long ago, so that no rounding leaves it unfinished.
                created=now - 2 * seconds if finished else now,
                seconds=seconds,
                songs=(song,),
            )
        )
        if song.persona_id is not None:
            self._persona_dates.setdefault(song.persona_id, now)
        return song

    def has_persona(self, track_id: str) -> bool:
        """Tell whether a persona of this song exists or is being made."""
        task = self._persona_tasks.get(track_id)
        return task is not None and not task.has_failed(self.clock.now())

    def knows_persona(self, persona_id: str) -> bool:
        """Tell whether a finished persona has this id."""
        return self._persona_dates.get(persona_id, math.inf) <= self.clock.now()

    def _draw(self, kind: Kind, *, job_id: str, model: str) -> Task:
        return Task(
            id=job_id,
            kind=kind,
            model=model,
            created=self.clock.now(),
            seconds=SPREADS[kind].draw(self._seconds),
            bend=self._seconds.uniform(0.6, 1.4),
        )

    def _charge(self, task: Task) -> Task:
        self._balance -= task.price
        self._charged.append(task)
        if task.error:
            self._doomed.append(task)
        return self._store(task)

    def _store(self, task: Task) -> Task:
        self.tasks[task.id] = task
        self.songs.update((song.track_id, song) for song in task.songs)
        return task
