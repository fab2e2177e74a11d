"""A process of its own that uses a client, told by lines of JSON what to do.

`tests.processes` starts it. Its first line has the settings, each further line a
command; each command is answered by one line.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from typing import Any

from personakit import AlreadyDelivered, MusicRequest, PersonaKit, PersonaKitError
from personakit.journal import Journal, open_journal
from personakit.journal.postgres import PostgresJournal
from personakit.journal.steps import Step
from personakit.polling.schedule import Pace
from personakit.ratelimit.limits import Limits

LEASE = 3.0
"""Seconds after which a process that was killed is known to be dead, at the latest."""
SONG = MusicRequest(lyrics="[Verse]\nBlue", style="jazz", title="Blue hour")


class Deadly:
    """A journal that kills its process before or after one kind of step.

    Args:
        journal: That does the work.
        step: Name of the kind of step, for example ``"Start"``.
        when: ``"before"`` or ``"after"``.
    """

    def __init__(self, journal: Journal, step: str, when: str) -> None:
        self._journal, self._step, self._when = journal, step, when

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def apply(self, account: Any, step: Step) -> Any:
        """Take a step, and die at the one that was named."""
        is_last = type(step).__name__ == self._step
        if is_last and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        verdict = await self._journal.apply(account, step)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return verdict


def open_with_lease(place: str) -> Journal:
    """Open a journal; in a database, the dead are known by their lease alone."""
    if place.startswith("postgresql:"):
        return PostgresJournal(place, lease=LEASE)
    return open_journal(place)


def tell(value: object) -> None:
    """Write one line to the test."""
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


async def submit(kit: PersonaKit, *, key: str | None = None) -> object:
    """Submit the song and return the job's id."""
    return (await kit.submit(SONG, key=key)).id


async def generate(kit: PersonaKit) -> object:
    """Submit the song, wait for its end, and return the job's id."""
    return (await (await kit.submit(SONG)))[0].job_id


async def resubmit(kit: PersonaKit, *, accept: bool = False) -> object:
    """Submit again the only submit of unknown outcome, and return the job's id."""
    [record] = await kit.pending()
    job = await kit.resubmit(record.receipt, accept_possible_double_charge=accept)
    return job.id


async def resume(kit: PersonaKit) -> object:
    """Return the ids of the jobs that this process is to deliver."""
    return [job.id async for job in kit.resume()]


async def deliver(kit: PersonaKit, *, token: str, seconds: float = 0.0) -> object:
    """Deliver a job in a block that lasts a while; infinite: it kills the process."""
    async with kit.attach(token).deliver() as tracks:
        tell({"inside": tracks[0].job_id})
        if seconds < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(seconds)
    return "delivered"


COMMANDS = {one.__name__: one for one in (submit, generate, resubmit, resume, deliver)}


async def answer(kit: PersonaKit, name: str, arguments: dict[str, Any]) -> object:
    """Carry out one command, and return what the test is told."""
    try:
        return {"value": await COMMANDS[name](kit, **arguments)}
    except AlreadyDelivered as error:
        return {"error": "AlreadyDelivered", "job": error.result[0].job_id}
    except PersonaKitError as error:
        return {"error": type(error).__name__, "charged": error.charged}


async def main() -> None:
    """Do what the lines say until there are none."""
    loop = asyncio.get_running_loop()

    async def read() -> dict[str, Any] | None:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        return json.loads(line) if line else None

    settings = await read() or {}
    if days := settings.get("days", 0):
        real = time.time
        time.time = lambda: real() + days * 86400
    journal: Any = open_with_lease(settings["journal"])
    if dies := settings.get("dies"):
        journal = Deadly(journal, *dies)
    async with PersonaKit(
        "evolink",
        api_key=settings["api_key"],
        base_url=settings["address"],
        journal=journal,
        limits=Limits(),
        pace=Pace(shortest=0.05, untold=0.2),
    ) as kit:
        await kit.pending()  # from here on the journal is open
        tell("ready")
        while (command := await read()) is not None:
            name = command.pop("name")
            tell(await answer(kit, name, command))


if __name__ == "__main__":
    asyncio.run(main())
