"""Many kills per journal: processes that die and start again on the same orders.

One or two processes work at once on the same orders, each under a key, on one journal.
Each dies by SIGKILL, at a named point or at a random moment, and is started again,
while the service drops, delays and refuses. At each start a process resubmits,
reconciles, resumes and submits the same orders again. In the end nobody is killed any
more, and all has to come to rest.

Then the ledger is compared with a log, to which the processes append one line right
before a risk and one when a result was delivered: each charge was accepted, and its
result was delivered, once.

    python -m tests.endurance.crashes [FACTOR]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from personakit import (
    Ability,
    InvalidRequest,
    Job,
    JournalError,
    MusicRequest,
    OutcomeUnknown,
    PersonaKit,
    PersonaKitError,
    Receipt,
)
from personakit.emulator import Emulator, Fault
from personakit.errors import AlreadyDelivered
from personakit.journal import SqliteJournal, SubmitRecord, SubmitState
from personakit.polling.schedule import Pace
from personakit.ratelimit.limits import Limit, Limits
from tests.endurance.kills import KINDS, service
from tests.endurance.verdict import tell
from tests.endurance.victims import (
    OTHER_STEPS,
    STEPS,
    Forks,
    Trap,
    arm,
    die_in,
    serve_forks,
    sides,
    start_forks,
)
from tests.postgres import serve

KILLS = 12
"""Kills per journal."""
JOURNALS = {"sqlite": 4, "postgres": 2}
"""Journals of each setting, times the factor."""
AT_ONCE = 6
"""Journals worked on at once."""
SPEED = 200
LEASE = 1.0
"""Seconds after which a process that PostgreSQL does not hear of counts as dead."""
WINDOW = 6
"""Orders that a process works on at once."""
LIFE = {"sqlite": 0.8, "postgres": 2.5}
"""Seconds up to which a process lives that dies at a random moment."""
LONGEST = 60.0
"""Seconds after which a process that should have ended counts as hanging."""
LIMITS = Limits(starts=Limit(500), reads=Limit(500))
"""More than is needed. Under a limit that is not known, one refusal and the places of
processes that died may hold up an account for half a minute, which is slow, no loss."""
POINTS = (
    *sides(*STEPS, *OTHER_STEPS),
    *("connecting", "in flight", "after the answer", "reading"),
    *("in the block", "end of the block"),
)
FAULTS = (
    Fault.drop(),
    Fault.drop(processed=False),
    Fault.reset(),
    Fault.slow(0.3),
    Fault.slow(0.1),
    Fault.status(429, retry_after=1),
    Fault.status(503),
)


def order(number: int) -> MusicRequest:
    """Return what is wanted under a key; no title is part of another."""
    return MusicRequest(lyrics="[Verse]\nLa", style="pop", title=f"Order {number:05}")


def name_order(number: int) -> str:
    """Return the key of an order."""
    return f"order {number:05}"


# The processes that work and die.


@attrs.define
class Log:
    """An append-only file. Each line is one write, so that kills do not tear it.

    Attributes:
        path: Of the file.
        life: Number of the process that writes.
    """

    path: Path
    life: int

    def write(self, event: str, key: str | None, job: str = "") -> None:
        """Append a line."""
        line = json.dumps([event, self.life, key, job]) + "\n"
        with self.path.open("ab", buffering=0) as file:
            file.write(line.encode())


@attrs.define
class Life:
    """One life of a process.

    Attributes:
        kit: Its client.
        log: Where it tells what it does.
        chance: Decides what the user does.
        is_last: True for a process that is not killed: it settles everything.
        charged: Jobs that the user sees on the service's pages, by title.
    """

    kit: PersonaKit
    log: Log
    chance: random.Random
    trap: Trap
    is_last: bool
    charged: dict[str, list[str]]

    async def live(self, orders: Sequence[int]) -> dict[str, Any]:
        """Recover what there is, and have the orders done."""
        works = [self.submit(number) for number in orders]
        await asyncio.gather(self.recover(), *works)
        left = [job.id async for job in self.kit.resume()]
        pending = [str(record.state) for record in await self.kit.pending()]
        return {"left": left, "pending": pending}

    async def recover(self) -> None:
        """Do what a program does at its start."""
        pending = await self.kit.pending()
        resumed = self.kit.resume()
        works = [self.settle(record) for record in pending]
        works += [self.deliver_resumed(job) async for job in resumed]
        await asyncio.gather(*works)

    async def deliver_resumed(self, job: Job[Any]) -> None:
        with self.passing(job.key):
            await self.deliver(job)

    @contextlib.contextmanager
    def passing(self, key: str | None) -> Any:
        """Go on after an error that a service in trouble may cause."""
        try:
            yield
        except AlreadyDelivered:
            pass
        except OutcomeUnknown:
            self.log.write("unknown", key)
        except InvalidRequest as error:
            # The other process or another task was faster; an unsent submit may have
            # been sent since.
            if error.field not in {"receipt", "accept_possible_double_charge"}:
                raise
        except JournalError:
            raise
        except PersonaKitError as error:
            self.log.write("error", key, str(error)[:200])
            if self.is_last:
                raise

    async def settle(self, record: SubmitRecord) -> None:
        """Settle a submit whose outcome is unknown, or leave it."""
        with self.passing(record.shown_key):
            await self.decide(record)

    async def decide(self, record: SubmitRecord) -> None:
        """Decide what becomes of a submit whose outcome is unknown."""
        receipt, key = record.receipt, record.shown_key
        if record.state is SubmitState.INTENT:
            await self.deliver(await self.kit.resubmit(receipt))
            return
        job = await self.find(receipt)
        if job is not None:
            await self.deliver(job)
            return
        if self.is_last:
            await self.settle_by_sight(receipt, key)
            return
        if (luck := self.chance.random()) < 0.2:
            job = await self.accept_and_resubmit(receipt, key)
            await self.deliver(job)
        elif luck < 0.3:
            # The key is free again, and what was given up may be charged.
            self.log.write("risk", key)
            await self.kit.abandon(receipt)

    async def find(self, receipt: Receipt) -> Job[Any] | None:
        """Look for the job in the list, in the end until all songs are done."""
        has_list = self.kit.can(Ability.JOBS)
        tries = 7 if self.is_last and has_list else 1
        for _ in range(tries):
            job = await self.kit.reconcile(receipt)
            if job is not None or tries == 1:
                return job
            await asyncio.sleep(0.2)
        return None

    async def accept_and_resubmit(self, receipt: Receipt, key: str | None) -> Job[Any]:
        """Submit again, and accept that this one and the lost one are charged."""
        self.log.write("risk", key)
        try:
            return await self.kit.resubmit(receipt, accept_possible_double_charge=True)
        except InvalidRequest:
            self.log.write("no risk", key)
            raise

    async def settle_by_sight(self, receipt: Receipt, key: str | None) -> None:
        """Adopt what the user sees; if that is nothing, submit again."""
        for job_id in self.charged.get(key or "", []):
            with contextlib.suppress(InvalidRequest):  # belongs to another receipt
                job = await self.kit.adopt(receipt, job_id)
                self.log.write("adopted", key, job_id)
                await self.deliver(job)
                return
        await self.deliver(await self.accept_and_resubmit(receipt, key))

    async def submit(self, number: int) -> None:
        """Have an order done, whoever has begun it."""
        key = name_order(number)
        await asyncio.sleep(self.chance.uniform(0, 0.2))
        with self.passing(key):
            job = await self.kit.submit(order(number), key=key)
            await self.deliver(job)

    async def deliver(self, job: Job[Any]) -> None:
        """Log a result as delivered; now and then this fails at first."""
        with contextlib.suppress(_Clumsy, AlreadyDelivered):
            async with job.deliver(timeout=20) as tracks:
                self.trap.reach("in the block")
                if not self.is_last and self.chance.random() < 0.1:
                    raise _Clumsy
                self.log.write("delivered", job.key, tracks[0].job_id or "")
                await asyncio.sleep(self.chance.choice((0, 0, 0.02)))
                self.trap.reach("end of the block")
            self.log.write("left the block", job.key, job.id)


class _Clumsy(Exception):
    """Something failed while a result was being sent on."""


@asynccontextmanager
async def client(kind: str, url: str, journal: Any) -> AsyncIterator[PersonaKit]:
    """Open a client on the journal of this run."""
    async with PersonaKit(
        service(kind),
        api_key="emulator-key",
        base_url=url,
        journal=journal,
        timeout=20,
        pace=Pace(shortest=0.05, untold=0.3),
        limits=LIMITS,
    ) as kit:
        yield kit


def open_journal(place: str) -> Any:
    """Open the journal at a path or URL."""
    if "://" not in place:
        return SqliteJournal(place)
    from personakit.journal.postgres import PostgresJournal  # noqa: PLC0415

    return PostgresJournal(place, lease=LEASE)


async def run(task: dict[str, Any]) -> dict[str, Any]:
    """Do the task of a fork: one life."""
    trap = Trap(task["point"] or "", task["nth"])
    journal = open_journal(task["journal"])
    arm(trap, type(journal))
    if task["seconds"] is not None:
        die_in(task["seconds"])
    chance = random.Random(task["seed"])
    log = Log(Path(task["log"]), task["life"])
    async with client(task["kind"], task["url"], journal) as kit:
        life = Life(kit, log, chance, trap, task["is_last"], task["charged"])
        report = await life.live(task["orders"])
    log.write("end", None)
    return report


# The process that counts.


@attrs.define
class Trial:
    """One journal, and the processes that die on it.

    Attributes:
        place: Path or URL of the journal.
        kind: Of the service.
        width: Processes at once.
        kills: To come.
        lives: Begun so far.
        killed: The lives that ended by SIGKILL.
    """

    store: str
    place: str
    kind: str
    width: int
    folder: Path
    chance: random.Random
    emulator: Emulator
    count: Counter[str]
    kills: int = KILLS
    lives: int = 0
    killed: set[int] = attrs.field(factory=set)
    orders: int = WINDOW - 1

    async def run(self, forks: Sequence[Forks]) -> None:
        """Kill so often, then let all come to rest, and judge."""
        spoiling = asyncio.create_task(self.spoil())
        await asyncio.gather(*(self.keep_dying(one) for one in forks[: self.width]))
        spoiling.cancel()
        self.emulator.clear_faults()
        everything = list(range(self.orders))
        reports = await asyncio.gather(
            *(self.live(one, everything, is_last=True) for one in forks[: self.width])
        )
        if self.width > 1 or any(reports[0] or {}):  # nobody else is there any more
            reports = [await self.live(forks[0], everything, is_last=True)]
        self.judge(reports[0])

    async def keep_dying(self, forks: Forks) -> None:
        """Start one process after the other, until the kills are used up."""
        while self.kills > 0:
            self.kills -= 1
            self.orders += self.chance.choice((0, 1, 1, 2))
            window = range(max(0, self.orders - WINDOW), self.orders)
            life = await self.live(forks, list(window), is_last=False)
            self.kills += life is not None  # it came to its end: not killed

    async def live(
        self, forks: Forks, orders: list[int], *, is_last: bool
    ) -> dict[str, Any] | None:
        """Run one life; return its callback, None if it was killed."""
        self.lives += 1
        life, chance = self.lives, self.chance
        is_named = not is_last and chance.random() < 0.6
        longest = LIFE[self.store]
        seconds = 3 * longest if is_named else chance.uniform(0.02, longest)
        task = {
            "journal": self.place,
            "kind": self.kind,
            "url": self.emulator.url(service(self.kind)),
            "log": str(self.folder / "log"),
            "life": life,
            "seed": chance.random(),
            "point": chance.choice(POINTS) if is_named else None,
            "nth": chance.choice((1, 1, 2, 3, 5)),
            "seconds": None if is_last else seconds,
            "orders": orders,
            "is_last": is_last,
            "charged": self.find_charged() if is_last else {},
        }
        try:
            async with asyncio.timeout(LONGEST):
                code, report = await forks.run(**task)
        except TimeoutError:
            self.count["hanging"] += 1
            print("BAD hanging", task)
            raise
        if code == -signal.SIGKILL:
            self.killed.add(life)
            self.count["kills"] += 1
            return None
        if code != 0:
            self.count["failed processes"] += 1
            print("BAD exit", code, task)
        return report or {}

    async def spoil(self) -> None:
        """Have the service drop, delay and refuse now and then."""
        while True:
            await asyncio.sleep(self.chance.uniform(0.02, 0.2))
            self.emulator.clear_faults()
            on = self.chance.choice(("submit", "submit", "read"))
            self.emulator.inject(self.chance.choice(FAULTS), on=on)

    def find_charged(self) -> dict[str, list[str]]:
        """Return the ids of the jobs that were charged, by the key of their order."""
        tasks = self.emulator._played[service(self.kind)].state.tasks
        found: dict[str, list[str]] = {}
        for charge in self.emulator.charges:
            key = tasks[charge.job_id].songs[0].title.lower()
            found.setdefault(key, []).append(charge.job_id)
        return found

    def judge(self, report: dict[str, Any] | None) -> None:
        """Compare the ledger with the log."""
        count, before = self.count, sum(self.count[name] for name in BAD)
        lines = [
            json.loads(line) for line in (self.folder / "log").read_text().splitlines()
        ]
        events = Counter((event, key) for event, _, key, _ in lines)
        charged = self.find_charged()
        hidden = self.find_hidden()
        for number in range(self.orders):
            key = name_order(number)
            jobs = charged.get(key, [])
            risks = events["risk", key] - events["no risk", key]
            sent = [
                job for event, _, k, job in lines if (event, k) == ("delivered", key)
            ]
            missing = set(jobs) - set(sent)
            count["charged"] += len(jobs)
            count["delivered"] += len(set(sent))
            count["accepted risks"] += risks
            count["charged again, accepted"] += max(len(jobs) - 1, 0)
            count["paid twice"] += max(len(jobs) - 1 - risks, 0)
            count["without a result"] += not jobs
            count["swapped"] += len(set(sent) - set(jobs))
            # One record has one job. If two were accepted, and one answer is lost, that
            # one is an open attempt of the record.
            unknown = min(len(missing), hidden[key], risks)
            count["charged again, answer lost"] += unknown
            count["lost"] += len(missing) - unknown
            for job in set(sent):
                self.judge_repeats(job, lines)
        count["unknown, adopted"] += sum(line[0] == "adopted" for line in lines)
        count["unknown, raised"] += sum(line[0] == "unknown" for line in lines)
        count["left open"] += report is None or any(report.values())
        count["journals"] += 1
        if sum(count[name] for name in BAD) > before:
            print("BAD", self.store, self.kind, self.width, report, self.place)
            self.keep(charged, lines)

    def keep(self, charged: object, lines: list[Any]) -> None:
        """Keep what is needed to see what happened."""
        place = Path(tempfile.gettempdir(), f"crash-{os.getpid()}-{self.folder.name}")
        shutil.copytree(self.folder, place)
        (place / "charged").write_text(json.dumps(charged, indent=1))
        print("kept in", place)

    def judge_repeats(self, job: str, lines: list[Any]) -> None:
        """Count second deliveries of one job, by whether a kill explains them."""
        lives = [
            n for event, n, _, which in lines if (event, which) == ("delivered", job)
        ]
        left = [
            n
            for event, n, _, which in lines
            if (event, which) == ("left the block", job)
        ]
        cut = sum(n in self.killed and n not in left for n in lives)
        again = len(lives) - 1
        self.count["again, killed in the block"] += min(again, cut)
        self.count["delivered twice"] += max(again - cut, 0)

    def find_hidden(self) -> Counter[str]:
        """Count, by key, the attempts whose outcome the journal does not know."""
        query = "SELECT caller_key, open FROM {}submits WHERE open <> '[]'"
        if "://" in self.place:
            import psycopg  # noqa: PLC0415

            with psycopg.connect(self.place) as connection:
                rows = connection.execute(
                    query.format("personakit_").encode()
                ).fetchall()
        else:
            import sqlite3  # noqa: PLC0415

            with contextlib.closing(sqlite3.connect(self.place)) as file:
                rows = file.execute(query.format("")).fetchall()
        return Counter({key: len(json.loads(text)) for key, text in rows})


BAD = (
    "paid twice",
    "lost",
    "swapped",
    "delivered twice",
    "without a result",
    "left open",
    "failed processes",
    "hanging",
)


async def run_store(
    store: str, journals: int, make_place: Callable[[Path], str], count: Counter[str]
) -> None:
    """Run all trials of a store."""
    trials = [(k, w, n) for n in range(journals) for k in KINDS for w in (1, 2)]

    async def take_trials() -> None:
        async with contextlib.AsyncExitStack() as stack:
            forks = [
                await stack.enter_async_context(start_forks("tests.endurance.crashes"))
                for _ in range(2)
            ]
            while trials:
                kind, width, number = trials.pop()
                chance = random.Random(f"{store} {kind} {width} {number}")
                with tempfile.TemporaryDirectory() as folder:
                    place = make_place(Path(folder))
                    async with Emulator(speed=SPEED, credits=math.inf) as emulator:
                        trial = Trial(
                            *(store, place, kind, width, Path(folder)),
                            *(chance, emulator, count),
                        )
                        await trial.run(forks)

    await asyncio.gather(*(take_trials() for _ in range(AT_ONCE)))


async def main(factor: int, stores: Sequence[str] = tuple(JOURNALS)) -> int:
    """Run the trials on each store; return how much went wrong."""
    wrong = 0
    for store in stores:
        count: Counter[str] = Counter()
        began = time.perf_counter()
        journals = JOURNALS[store] * factor
        if store == "postgres":
            with serve() as server:
                await run_store(store, journals, lambda _: server.make_place(), count)
        else:
            await run_store(store, journals, lambda f: str(f / "jobs.db"), count)
        took = time.perf_counter() - began
        print(f"\nMany kills per journal: {store}, {KILLS} each, {took:.0f} s")
        print(json.dumps({name: n for name, n in count.items() if name not in BAD}))
        wrong += tell({name: count[name] for name in BAD})
    return wrong


if __name__ == "__main__":
    if "--forks" in sys.argv:
        serve_forks(run)
    else:
        times = int(sys.argv[1]) if len(sys.argv) > 1 else 1
        which = sys.argv[2:] or tuple(JOURNALS)
        sys.exit(min(asyncio.run(main(times, which)), 1))
