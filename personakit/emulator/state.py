"""What the emulated services remember: money for all, tasks and personas for each.

Whether a charge came back, whether a persona can be used: all of it is worked out from
the clock at the moment of asking.
"""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Mapping

import attrs

from personakit.emulator.clock import Clock
from personakit.emulator.tasks import SPREADS, Kind, Song, Task, TaskError


@attrs.frozen
class Charge:
    """One entry of the ledger.

    Attributes:
        job_id: The task that was paid for; of what is answered at once, what it made.
        kind: ``"music"``, ``"persona"``, ``"stems"`` or ``"upload"``.
        credits: What it cost.
        refunded: True once the task has failed and the credits came back.
    """

    job_id: str
    kind: Kind
    credits: float
    refunded: bool


class Account:
    """One balance and one ledger, which all services share.

    Args:
        clock: The services' time.
        balance: Credits at the beginning.
    """

    def __init__(self, clock: Clock, balance: float) -> None:
        self._clock = clock
        self._balance = balance
        self._charged: list[Task] = []
        self._doomed: list[Task] = []

    @property
    def credits(self) -> float:
        """Credits left, refunds included."""
        now = self._clock.now()
        refunds = (task.price for task in self._doomed if task.has_failed(now))
        return self._balance + sum(refunds)

    @property
    def charges(self) -> tuple[Charge, ...]:
        """Every charge ever made, oldest first."""
        now = self._clock.now()
        return tuple(
            Charge(task.id, task.kind, task.price, task.has_failed(now))
            for task in self._charged
        )

    def charge(self, task: Task) -> None:
        """Take the price of a task, and give it back should it fail."""
        self._balance -= task.price
        self._charged.append(task)
        if task.error:
            self._doomed.append(task)


class State:
    """Everything that was ever ordered of one service.

    Args:
        clock: The services' time.
        account: Who pays.
        seed: Decides how long tasks take, and all ids.

    Attributes:
        clock: The services' time.
        account: Who pays.
        tasks: Every task by its id, oldest first.
        songs: Every song by its track id.
    """

    def __init__(self, clock: Clock, account: Account, *, seed: int | str) -> None:
        self.clock = clock
        self.account = account
        self.tasks: dict[str, Task] = {}
        self.songs: dict[str, Song] = {}
        # Two sources, so that ids asked for never change how long tasks take.
        self._ids = random.Random(f"ids {seed}")
        self._seconds = random.Random(seed)
        self._persona_tasks: dict[str, Task] = {}
        self._persona_dates: dict[str, float] = {}

    def new_uuid(self) -> str:
        """Return a fresh random UUID."""
        return str(uuid.UUID(int=self._ids.getrandbits(128), version=4))

    def new_word(self, length: int, letters: str) -> str:
        """Return a fresh random word of `length` of these letters."""
        return "".join(self._ids.choices(letters, k=length))

    def estimate(self, kind: Kind) -> int:
        """Return how many seconds of real time such a task usually takes."""
        return max(1, math.ceil(SPREADS[kind].median / self.clock.speed))

    def order(
        self,
        kind: Kind,
        *,
        job_id: str,
        model: str,
        price: float,
        songs: tuple[Song, ...] = (),
        error: TaskError | None = None,
        seconds: float | None = None,
        memo: Mapping[str, object] | None = None,
    ) -> Task:
        """Accept and charge a task.

        Args:
            kind: What it makes.
            job_id: Id for the task.
            model: As the service names it.
            price: Credits to reserve.
            songs: The audio that it makes.
            error: How it shall fail, None for success.
            seconds: How long it takes; 0 for what is done at once, None to draw.
            memo: What else the service wants to remember of the request.
        """
        task = self._draw(kind, job_id=job_id, model=model, seconds=seconds)
        return self._charge(
            attrs.evolve(task, songs=songs, price=price, error=error, memo=memo or {})
        )

    def order_persona(
        self,
        track_id: str,
        *,
        job_id: str,
        model: str,
        price: float,
        error: TaskError | None = None,
        seconds: float | None = None,
        persona_id: str | None = None,
    ) -> Task:
        """Accept and charge a persona task for one song.

        Args:
            track_id: The song that the voice is taken from.
            job_id: Id for the task.
            model: As the service names it.
            price: Credits to reserve.
            error: How it shall fail, None for success.
            seconds: How long it takes; 0 for what is done at once, None to draw.
            persona_id: Id for the persona, None for a fresh one of 32 hexadecimal
                digits.
        """
        persona_id = persona_id or self.new_word(32, "0123456789abcdef")
        task = self._draw("persona", job_id=job_id, model=model, seconds=seconds)
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

    def find_persona(self, track_id: str) -> str | None:
        """Return the persona that exists or is being made of a song, None for none."""
        task = self._persona_tasks.get(track_id)
        if task is None or task.has_failed(self.clock.now()):
            return None
        return task.persona_id

    def knows_persona(self, persona_id: str) -> bool:
        """Tell whether a finished persona has this id."""
        return self._persona_dates.get(persona_id, math.inf) <= self.clock.now()

    def is_kept(self, song: Song) -> bool:
        """Tell whether the audio of a finished song is still kept."""
        return self.clock.now() <= self.tasks[song.job_id].end + song.life

    def _draw(
        self, kind: Kind, *, job_id: str, model: str, seconds: float | None
    ) -> Task:
        drawn = SPREADS[kind].draw(self._seconds) if seconds is None else seconds
        return Task(
            id=job_id,
            kind=kind,
            model=model,
            created=self.clock.now(),
            seconds=drawn,
            bend=self._seconds.uniform(0.6, 1.4),
        )

    def _charge(self, task: Task) -> Task:
        self.account.charge(task)
        return self._store(task)

    def _store(self, task: Task) -> Task:
        self.tasks[task.id] = task
        self.songs.update((song.track_id, song) for song in task.songs)
        return task
