"""A listener: it hears what is announced, and says when it is deaf."""

from __future__ import annotations

import asyncio
import logging

import psycopg
import pytest

from personakit.journal.postgres import listener as module
from personakit.journal.postgres.connection import Connections
from personakit.journal.postgres.listener import NOTIFY, NotificationListener
from personakit.journal.postgres.schema import migrate
from tests.postgres import through

pytestmark = pytest.mark.looptime(False)


class Ears:
    """A listener with a database, and what it does."""

    def __init__(self, place: str):
        self.heard: list[str] = []
        self.shown = self.tidied = 0
        self.more = False
        self.trouble: Exception | None = None
        listener = NotificationListener(
            beat=0.1, show=self.show, tidy=self.tidy, on_notify=self.heard.append
        )
        self.connections = Connections(
            place,
            patience=5,
            prepare=migrate,
            heartbeat=listener.run,
            release=self.leave,
        )

    async def show(self, connection) -> None:
        self.shown += 1
        await connection.execute("SELECT 1")

    async def tidy(self, _) -> bool:
        self.tidied += 1
        if self.trouble is not None:
            raise self.trouble
        return not self.more

    async def leave(self, _) -> None:
        return None

    async def announce(self, word: str) -> None:
        await self.connections.run(lambda c: c.execute(NOTIFY, (word,)))

    async def wait_for(self, condition, *, announcing: str = "") -> None:
        async with asyncio.timeout(10):
            while not condition():
                if announcing:
                    await self.announce(announcing)
                await asyncio.sleep(0.05)


@pytest.fixture
def place(postgres) -> str:
    return postgres.make_place()


@pytest.fixture
async def ears(place):
    made = Ears(place)
    yield made
    await made.connections.aclose()


async def test_announcements_are_heard(ears):
    """What is announced arrives, and the process shows itself all the time."""
    await ears.wait_for(lambda: "task-1" in ears.heard, announcing="task-1")
    shown = ears.shown
    await ears.wait_for(lambda: ears.shown > shown + 2)

    assert set(ears.heard) == {"task-1"}


async def test_schemas_share_nothing(postgres, ears):
    """What is announced in another schema is not heard."""
    other = Ears(postgres.make_place())
    await ears.wait_for(lambda: "x" in ears.heard, announcing="x")
    await other.wait_for(lambda: "y" in other.heard, announcing="y")
    await ears.announce("z")
    await ears.wait_for(lambda: "z" in ears.heard)
    await other.connections.aclose()

    assert "y" not in ears.heard
    assert "z" not in other.heard


async def test_connection_that_breaks(postgres, ears):
    """Another one is made."""
    await ears.wait_for(lambda: "x" in ears.heard, announcing="x")
    await asyncio.to_thread(postgres.restart)
    await ears.wait_for(lambda: "y" in ears.heard, announcing="y")

    assert "y" in ears.heard


async def test_tables_that_are_gone(place, ears):
    """The listener comes back when they are there again."""
    await ears.announce("x")
    with psycopg.connect(place, autocommit=True) as connection:
        await ears.wait_for(lambda: ears.shown)
        connection.execute("ALTER TABLE personakit_submits RENAME TO hidden")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND application_name = 'personakit'"
        )
        await asyncio.sleep(1)
        shown = ears.shown
        connection.execute("ALTER TABLE hidden RENAME TO personakit_submits")
    await ears.wait_for(lambda: ears.shown > shown)

    assert ears.shown > shown


@pytest.mark.parametrize("is_deaf", [True, False])
async def test_pooler_that_drops_notifications(place, monkeypatch, caplog, is_deaf):
    """PgBouncer in transaction mode does so: it is said once, and all else goes on."""
    monkeypatch.setattr(module, "PROBE", 0.3)
    caplog.set_level(logging.WARNING)
    asked: list[bytes] = []
    breaking: list[bytes] = []

    def on_request(data: bytes) -> bytes | None:
        if b"LISTEN" in data:
            asked.append(data)
        if breaking and b"SELECT 1" in data:
            return None if breaking.pop() else data
        return data

    async with through(place) as proxy:
        proxy.on_request = on_request
        if is_deaf:
            proxy.on_answer = lambda data: b"" if data[:1] == b"A" else data
        ears = Ears(proxy.url)
        await ears.announce("x")
        await asyncio.sleep(1)
        breaking.append(b"once")
        await ears.wait_for(lambda: not breaking)
        shown = ears.shown
        await ears.wait_for(lambda: ears.shown > shown + 1)
        await asyncio.sleep(0.5)
        await ears.connections.aclose()

    warnings = [r.message for r in caplog.records if "do not arrive" in r.message]
    assert len(warnings) == is_deaf
    assert len(asked) == (1 if is_deaf else 2)


async def test_tidying(ears, monkeypatch, caplog):
    """It goes on in slices until all is done, and again after a failure."""
    monkeypatch.setattr(module, "TIDY_EVERY", 0.3)
    monkeypatch.setattr(module, "_SLICES", 0.01)
    ears.more = True
    await ears.announce("x")
    await ears.wait_for(lambda: ears.tidied > 5)
    ears.more, ears.trouble = False, psycopg.errors.UndefinedTable("no table")
    tidied = ears.tidied
    await ears.wait_for(lambda: ears.tidied > tidied + 1)

    assert "cannot be dropped" in caplog.text
    assert "no table" in caplog.text


async def test_probe_without_an_answer(ears, monkeypatch, caplog):
    """A database that fails meanwhile is not taken for a deaf connection."""
    monkeypatch.setattr(module, "PROBE", 0.1)
    monkeypatch.setattr(module, "NOTIFY", "SELECT nonsense(%s)")
    await ears.connections.run(lambda c: c.execute("SELECT 1"))
    await asyncio.sleep(0.6)

    assert "do not arrive" not in caplog.text
