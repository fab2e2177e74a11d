"""Steps in PostgreSQL: what is read when, and what a group writes."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from personakit.journal import Account, SubmitState
from personakit.journal.postgres import PostgresJournal
from personakit.journal.steps import Accept, Begin, End, Lose, Loss, Start
from personakit.receipt import Ability, Receipt

pytestmark = pytest.mark.looptime(False)

ME = Account("evolink", "https://api.example", "me")


@pytest.fixture
def place(postgres) -> str:
    return postgres.make_place()


@pytest.fixture
async def journal(place):
    made = PostgresJournal(place)
    yield made
    await made.aclose()


async def send(journal: PostgresJournal, caller_key: str | None = None) -> str:
    step = Begin(Receipt("evolink", Ability.MUSIC), caller_key, None, "f")
    await journal.apply(ME, step)
    await journal.apply(ME, Start(step.key, 0))
    return step.key


async def test_worker_that_shows_itself_during_a_wait(place, journal):
    """Who is alive is read after the row is locked: a wait makes nobody dead."""
    key = await send(journal)
    with psycopg.connect(place) as other:
        other.execute(
            "UPDATE personakit_submits SET worker = 'late' WHERE id = %s", (key,)
        )
        losing = asyncio.create_task(journal.apply(ME, Lose(key, 1, is_sender=False)))
        await asyncio.sleep(0.3)
        other.execute(
            "INSERT INTO personakit_workers VALUES ('late', clock_timestamp(), '15s')"
        )
    verdict = await losing

    assert verdict.loss is Loss.MOVED
    assert verdict.record.state is SubmitState.SENDING


async def test_step_that_waits_for_another_process(place, journal):
    """It sees what the other one wrote, and does not write over it."""
    step = Begin(Receipt("evolink", Ability.MUSIC), None, None, "f")
    await journal.apply(ME, step)
    with psycopg.connect(place) as other:
        other.execute(
            "UPDATE personakit_submits SET state = 'sending', attempt = 1"
            " WHERE id = %s",
            (step.key,),
        )
        starting = asyncio.create_task(journal.apply(ME, Start(step.key, 0)))
        await asyncio.sleep(0.3)
    verdict = await starting

    assert verdict.loss is Loss.MOVED
    assert (verdict.record.attempt, verdict.record.open) == (1, ())


async def test_two_first_submits_under_one_key(place, journal):
    """The second one waits for the first, and sees its record."""
    other = PostgresJournal(place)
    await asyncio.gather(journal.unsettled(ME), other.unsettled(ME))
    steps = [
        Begin(Receipt("x", Ability.MUSIC), f"k{n % 25}", None, "f") for n in range(50)
    ]
    verdicts = await asyncio.gather(
        *((journal, other)[n // 25].apply(ME, step) for n, step in enumerate(steps))
    )
    await other.aclose()

    assert sum(verdict.is_won for verdict in verdicts) == 25
    assert len(await journal.unsettled(ME)) == 25


async def test_groups_in_another_order(place, journal):
    """Two processes that write the same records at once do not block each other."""
    other = PostgresJournal(place)
    keys = [await send(journal) for _ in range(40)]
    both = [
        one.apply(ME, Accept(key, 1, key))
        for one, order in ((journal, keys), (other, keys[::-1]))
        for key in order
    ]
    async with asyncio.timeout(5):
        verdicts = await asyncio.gather(*both)
    await other.aclose()

    assert all(verdict.is_won for verdict in verdicts)
    assert len(await journal.known_jobs(ME, keys)) == 40


async def test_lost_step_writes_nothing(place, journal):
    """A row is left as it is by a step that changes nothing."""
    key = await send(journal, "order 1")

    def find_version() -> tuple[object, ...]:
        with psycopg.connect(place) as connection:
            read = connection.execute(
                "SELECT xmin::text, ctid::text FROM personakit_submits"
            )
            return read.fetchone()

    before = find_version()
    lost = await journal.apply(ME, Start(key, 0))
    again = await journal.apply(
        ME, Begin(Receipt("evolink", Ability.MUSIC), "order 1", None, "f")
    )

    assert (lost.is_won, again.is_won) == (False, False)
    assert find_version()[1] == before[1]


async def test_row_that_cannot_be_read(place, journal, caplog):
    """It is reported and passed over; only what asks for it fails."""
    good, bad = await send(journal), await send(journal)
    for key in (good, bad):
        await journal.apply(ME, Accept(key, 1, key))
    with psycopg.connect(place) as connection:
        connection.execute(
            "UPDATE personakit_submits SET kind = 'opera' WHERE id = %s", (bad,)
        )
    claimed, unsettled = await journal.claim(ME), await journal.unsettled(ME)
    outcomes = await asyncio.gather(
        *(journal.apply(ME, End(key)) for key in (good, bad)),
        journal.find(ME, bad),
        return_exceptions=True,
    )

    assert [record.key for record in claimed] == [good]
    assert [record.key for record in unsettled] == [good]
    assert bad in caplog.text
    assert outcomes[0].is_won
    assert "cannot read a record" in str(outcomes[1])
    assert "Use the version that wrote it" in str(outcomes[2])
    assert await journal.known_jobs(ME, [bad]) == {bad}


async def test_claims_pass_locked_rows_over_and_come_back(place, journal):
    """What another transaction holds for a moment is not missed."""
    gone = PostgresJournal(place)
    keys = [await send(gone) for _ in range(3)]
    for key in keys:
        await gone.apply(ME, Accept(key, 1, key))
    await gone.aclose()
    await journal.unsettled(ME)
    with psycopg.connect(place) as other:
        other.execute(
            "SELECT FROM personakit_submits WHERE id = %s FOR UPDATE", (keys[0],)
        )
        limited = await journal.claim(ME, limit=2)
        claiming = asyncio.create_task(journal.claim(ME))
        await asyncio.sleep(0.3)
        is_waiting = not claiming.done()
    claimed = await claiming

    assert [record.key for record in limited] == keys[1:]
    assert is_waiting
    assert [record.key for record in claimed] == keys
