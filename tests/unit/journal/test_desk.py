"""A desk: entries gather, and are written in their order."""

from __future__ import annotations

import asyncio

import pytest

from personakit import JournalError
from personakit.journal import Entry, Mark
from personakit.journal.desk import AT_ONCE, Desk
from personakit.receipt import Ability, Receipt


class Database:
    """Takes its time, and may be away."""

    def __init__(self):
        self.is_away = self.is_closed = False

    async def do(self, work):
        await asyncio.sleep(1)
        if self.is_away:
            raise JournalError("away")
        return await work(None)

    async def aclose(self):
        self.is_closed = True


@pytest.fixture
def written() -> list[list[Entry]]:
    return []


@pytest.fixture
def desk(written):
    async def write(_, entries):
        written.append(list(entries))
        return list(entries)

    return Desk(Database(), write)


def make(count: int) -> list[Entry]:
    return [Entry(Receipt("evolink", Ability.MUSIC), Mark.INTENT) for _ in range(count)]


async def test_entries_gather(desk, written):
    """What comes together is written together, so much at a time, in its order."""
    entries = make(AT_ONCE + 50)
    stand = await asyncio.gather(*(desk.write(entry) for entry in entries))

    assert stand == entries
    assert [len(some) for some in written] == [AT_ONCE, 50]
    assert [*written[0], *written[1]] == entries


async def test_each_writer_has_an_error_of_its_own(desk):
    """An error is told to all, and the next entry has another chance."""
    desk.database.is_away = True
    errors = await asyncio.gather(
        *(desk.write(entry) for entry in make(2)), return_exceptions=True
    )
    desk.database.is_away = False
    [entry] = make(1)

    assert [str(error) for error in errors] == ["away Nothing was charged."] * 2
    assert errors[0] is not errors[1]
    assert await desk.write(entry) is entry


async def test_closing_waits_for_what_is_written(desk, written):
    """A caller who was cancelled has its entry written all the same."""
    writers = [asyncio.create_task(desk.write(entry)) for entry in make(2)]
    await asyncio.sleep(0.5)
    writers[0].cancel()
    await desk.aclose()

    assert [len(some) for some in written] == [2]
    assert writers[0].cancelled()
    assert desk.database.is_closed
