"""Four processes on one PostgreSQL journal, one of them killed every second.

python -m tests.endurance.fleet [JOBS]
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Iterator

import attrs
import psycopg

from personakit import MusicRequest, OutcomeUnknown, PersonaKit
from personakit.emulator import Emulator
from personakit.journal.postgres import PostgresJournal
from personakit.polling.schedule import Pace
from personakit.ratelimit.limits import Limits
from tests.endurance.verdict import tell
from tests.postgres import serve

JOBS = 800
KILLS = 10
WORKERS = 4
SPEED = 50
LEASE = 2.0

_WATCH = """
    CREATE TABLE owners (
        at DOUBLE PRECISION DEFAULT extract(epoch FROM clock_timestamp()),
        number BIGINT, worker TEXT, state TEXT
    );
    CREATE FUNCTION note_owner() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' OR NEW.worker IS DISTINCT FROM OLD.worker
            OR NEW.state <> OLD.state
        THEN
            INSERT INTO owners (number, worker, state)
            VALUES (NEW.number, NEW.worker, NEW.state);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER owners AFTER INSERT OR UPDATE ON personakit_submits
        FOR EACH ROW EXECUTE FUNCTION note_owner();
"""


def songs(count: int, share: int) -> Iterator[MusicRequest]:
    """Yield the requests of one share."""
    for number in range(share, count, WORKERS):
        yield MusicRequest(lyrics="[Verse]\nLa", style="pop", title=f"Song {number}")


def connect(url: str, place: str) -> tuple[PersonaKit, PostgresJournal]:
    """Open a client, and the journal that it shares."""
    journal = PostgresJournal(place, lease=LEASE)
    kit = PersonaKit(
        "sunoapi",
        api_key="emulator-key",
        base_url=url,
        journal=journal,
        pace=Pace(shortest=0.1, untold=0.6),
        limits=Limits(),
    )
    return kit, journal


async def work(url: str, place: str, count: int, share: int) -> None:
    """Do one share, telling of each outcome as soon as it is known."""
    kit, journal = connect(url, place)
    print(json.dumps({"worker": journal.worker}), flush=True)
    async with kit:
        requests = songs(count, share)
        async for outcome in kit.batch(requests, name=str(share), concurrency=200):
            told = {"title": outcome.request.title}
            if outcome.result is not None:
                told["job"] = outcome.result[0].job_id
            elif not isinstance(outcome.error, OutcomeUnknown):
                told["error"] = str(outcome.error)
            print(json.dumps(told), flush=True)
        # What others have left behind; nothing where they are alive.
        async for job in kit.as_completed([job async for job in kit.resume()]):
            await job


@attrs.define
class Fleet:
    """The processes, and what they have told.

    Attributes:
        told: The last word on each song.
        ends: When each worker ended, by its name.
        names: The worker in each place.
        recoveries: Seconds after each kill until all that it had was settled.
    """

    url: str
    place: str
    count: int
    told: dict[str, dict[str, str]] = attrs.field(factory=dict)
    ends: dict[str, float] = attrs.field(factory=dict)
    names: dict[int, str] = attrs.field(factory=dict)
    processes: dict[int, Process] = attrs.field(factory=dict)
    recoveries: list[float] = attrs.field(factory=list)

    async def keep_working(self, share: int) -> None:
        """Have a share worked on, by one process after the other, until it is done."""
        while True:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.endurance.fleet", "--work"),
                *(self.url, self.place, str(self.count), str(share)),
                stdout=asyncio.subprocess.PIPE,
            )
            assert process.stdout is not None
            self.processes[share] = process
            name = ""
            async for line in process.stdout:
                try:
                    told = json.loads(line)
                except ValueError:
                    continue  # cut by the kill
                name = told.get("worker", name)
                self.names[share] = name
                if "title" in told:
                    self.told[told["title"]] = told
            code = await process.wait()
            self.ends.setdefault(name, time.time())
            if code != -signal.SIGKILL:
                return

    async def kill_one(self, chance: random.Random) -> None:
        """Kill a process, and measure how long its jobs are left alone."""
        running = [s for s, p in self.processes.items() if p.returncode is None]
        share = chance.choice(running)
        name = self.names.get(share, "")
        self.processes[share].send_signal(signal.SIGKILL)
        self.ends[name] = killed_at = time.time()
        query = "SELECT number FROM personakit_submits WHERE worker = %s"
        async with await psycopg.AsyncConnection.connect(self.place) as connection:
            read = await connection.execute(query, (name,))
            numbers = [number for (number,) in await read.fetchall()]
        is_left = """
            SELECT count(*) FROM personakit_submits
            WHERE number = ANY(%s)
            AND state NOT IN ('unknown', 'delivered', 'refused', 'abandoned')
        """
        while True:
            async with await psycopg.AsyncConnection.connect(self.place) as connection:
                [[left]] = await (
                    await connection.execute(is_left, (numbers,))
                ).fetchall()
            if not left:
                self.recoveries.append(time.time() - killed_at)
                return
            await asyncio.sleep(0.1)

    def count_delivered(self) -> tuple[int, int]:
        """Return how many records were delivered, and how many of them twice."""
        query = "SELECT number FROM owners WHERE state = 'delivered'"
        with psycopg.connect(self.place) as connection:
            numbers = [number for (number,) in connection.execute(query).fetchall()]
        return len(set(numbers)), len(numbers) - len(set(numbers))

    def count_left(self) -> int:
        """Return how many jobs were not delivered."""
        query = """
            SELECT count(*) FROM personakit_submits
            WHERE job_id IS NOT NULL AND state <> 'delivered'
        """
        with psycopg.connect(self.place) as connection:
            [[left]] = connection.execute(query).fetchall()
        return int(left)

    def count_stolen(self) -> int:
        """Count the jobs that changed hands while who had them was alive."""
        with psycopg.connect(self.place) as connection:
            rows = connection.execute(
                "SELECT number, worker, at FROM owners ORDER BY number, at"
            ).fetchall()
        stolen, last = 0, (0, "")
        for number, worker, at in rows:
            if last[0] == number and last[1] and worker and last[1] != worker:
                stolen += self.ends.get(last[1], at) >= at
            last = (number, worker)
        return stolen


async def main(count: int) -> int:
    """Kill so often, let all come to an end, and return how much was wrong."""
    chance, began = random.Random(5), time.perf_counter()
    with serve() as server:
        place = server.make_place()
        first = PostgresJournal(place)
        await first.durations()  # makes the tables
        await first.aclose()
        with psycopg.connect(place) as connection:
            connection.execute(_WATCH.encode())
        async with Emulator(speed=SPEED, credits=1e9) as emulator:
            fleet = Fleet(emulator.url("sunoapi"), place, count)
            working = [
                asyncio.create_task(fleet.keep_working(share))
                for share in range(WORKERS)
            ]
            await asyncio.sleep(2)
            killing = []
            for _ in range(KILLS):
                if all(task.done() for task in working):
                    break
                killing.append(asyncio.create_task(fleet.kill_one(chance)))
                await asyncio.sleep(1)
            await asyncio.gather(*working, *killing)
            paid = [charge.job_id for charge in emulator.charges]
        stolen = fleet.count_stolen()
        delivered, again = fleet.count_delivered()
        left = fleet.count_left()
    jobs = [told["job"] for told in fleet.told.values() if "job" in told]
    unknown = sum(len(told) == 1 for told in fleet.told.values())
    wrong = {
        "without an outcome": count - len(fleet.told),
        "paid twice": max(len(paid) - count, 0) + len(jobs) - len(set(jobs)),
        "lost": max(len(set(paid) - set(jobs)) - unknown, 0),
        "results never paid": len(set(jobs) - set(paid)),
        "other errors": sum("error" in told for told in fleet.told.values()),
        "claimed twice at once": stolen,
        "not delivered": left,
        "delivered twice": again,
    }
    took = time.perf_counter() - began
    times = " ".join(f"{seconds:.1f}" for seconds in sorted(fleet.recoveries))
    print(f"\nA fleet: {count} jobs, {WORKERS} workers, {len(killing)} kills, ", end="")
    print(f"{took:.0f} s: {len(paid)} charges, {delivered} delivered, ", end="")
    print(f"{unknown} unknown outcomes")
    print(f"seconds from a kill to the end of all that it left: {times}")
    return tell(wrong)


if __name__ == "__main__":
    if "--work" in sys.argv:
        address, schema, jobs_, own = sys.argv[2:]
        asyncio.run(work(address, schema, int(jobs_), int(own)))
    else:
        given = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
        sys.exit(min(asyncio.run(main(given)), 1))
