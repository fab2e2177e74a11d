"""The journal in memory drops old requests and results, and never what is open."""

from __future__ import annotations

import asyncio
import math

import attrs
import pytest

from personakit import JournalError, Persona
from personakit.journal import MemoryJournal, SubmitState, memory
from personakit.journal.steps import Accept, Bind, Loss, Start
from tests.unit.journal.stores import ME, REQUEST, TRACKS, bring, make_begin


@pytest.fixture
def journal(monkeypatch) -> MemoryJournal:
    """Make a journal that keeps two settled submits."""
    monkeypatch.setattr(memory, "KEPT", 2)
    return MemoryJournal()


def test_lease_never_ends():
    """No other process can take this one for dead."""
    assert MemoryJournal().lease_end == math.inf
    assert MemoryJournal().worker != MemoryJournal().worker


async def test_old_deliveries_are_dropped_after_the_send_window(journal, monkeypatch):
    """Of what was delivered without a key only the latest is kept, after a while."""
    monkeypatch.setattr(memory, "SEND_WINDOW", memory.SEND_WINDOW * 0)
    done = [await bring(journal, "delivered", job_id=f"j{n}") for n in range(4)]
    refused = await bring(journal, "refused", "order 1")
    await bring(journal, "refused")
    await bring(journal, "refused")
    found = [await journal.find(ME, record.key) for record in (*done, refused)]

    assert found == [None] * 5
    assert await journal.find_by_caller_key(ME, "order 1") is None
    assert await journal.known_jobs(ME, ["j0", "j3"]) == frozenset()


async def test_deliveries_are_kept_for_the_send_window(journal):
    """A submit whose answer is lost is compared with those of its time."""
    done = [await bring(journal, "delivered", job_id=f"j{n}") for n in range(4)]
    found = [await journal.find(ME, record.key) for record in done]

    assert [one.state for one in found if one] == ["delivered"] * 4
    assert [one.request for one in found if one] == [None] * 4
    assert await journal.known_jobs(ME, ["j0"]) == {"j0"}


async def test_keys_are_kept_for_good(journal, monkeypatch):
    """M7: a delivered key is never forgotten; what is large goes."""
    monkeypatch.setattr(memory, "SEND_WINDOW", memory.SEND_WINDOW * 0)
    await bring(journal, "delivered", "order 1", job_id="first")
    kept = await journal.find_by_caller_key(ME, "order 1")
    for number in range(5):
        await bring(journal, "delivered", job_id=f"j{number}")
    later = await journal.find_by_caller_key(ME, "order 1")

    assert kept is not None
    assert later is not None
    assert (kept.result, later.result) == (TRACKS, None)
    assert later.receipt.job_id == "first"
    assert await journal.unsettled(ME) == ()


async def test_open_attempts_are_never_dropped(journal):
    """What may have been charged stays with its request."""
    given_up = await bring(journal, "abandoned")
    for number in range(5):
        await bring(journal, "delivered", job_id=f"j{number}")
    kept = await journal.find(ME, given_up.key)
    late = await journal.apply(ME, Accept(given_up.key, 1, "late"))

    assert kept is not None
    assert (kept.request, len(kept.open)) == (REQUEST, 1)
    assert late.record is not None
    assert late.record.state is SubmitState.ACCEPTED


async def test_job_of_two_records_stays_known(journal, monkeypatch):
    """Dropping a record that shares a job keeps that of the other."""
    monkeypatch.setattr(memory, "SEND_WINDOW", memory.SEND_WINDOW * 0)
    first = await bring(journal, "accepted", job_id="same")
    for _ in range(4):
        await bring(journal, "delivered", job_id="same")

    assert await journal.known_jobs(ME, ["same"]) == {"same"}
    assert await journal.find(ME, first.key) is not None


async def test_rival_with_an_open_attempt_is_seen(journal):
    """Binding compares with every other submit of the kind that has open attempts."""
    lost, rival = [await bring(journal, "unknown") for _ in range(2)]
    verdict = await journal.apply(ME, Bind(lost.key, 1, "j", lambda _: True))
    other = await journal.apply(ME, Bind(rival.key, 1, "j", lambda _: False))
    missing = await journal.apply(ME, Bind("0" * 32, 1, "k"))

    assert verdict.loss is Loss.RIVAL
    assert other.is_won
    assert missing.loss is Loss.MISSING


async def test_claims_stop_at_their_limit(journal):
    """The oldest come first; keys choose; what is lost is passed over."""
    await bring(journal, "unknown")
    records = [await bring(journal, "accepted", job_id=f"j{n}") for n in range(3)]
    keys = [record.key for record in records]
    claims = [
        await journal.claim(ME),
        await journal.claim(ME, limit=2),
        await journal.claim(ME, keys=keys[2:]),
        await journal.claim(attrs.evolve(ME, name="you")),
    ]

    assert [[one.key for one in found] for found in claims] == [
        keys,
        keys[:2],
        keys[2:],
        [],
    ]


async def test_accounts_are_renamed_or_clash(journal):
    """Everything moves at once, or nothing does."""
    new = attrs.evolve(ME, name="studio")
    await bring(journal, "accepted", "order 1")
    await bring(journal, "delivered", job_id="k")
    await journal.remember(ME, Persona("p", "evolink"))
    counts = await journal.accounts(ME.provider, ME.address)
    moved = await journal.rename_account(ME, "studio")
    await journal.apply(ME, make_begin("order 1"))
    with pytest.raises(JournalError, match="same key="):
        await journal.rename_account(ME, "studio")

    assert (counts, moved) == ({"me": 1}, 2)
    assert await journal.known_jobs(new, ["j", "k"]) == {"j", "k"}
    assert await journal.personas(new) == (Persona("p", "evolink"),)
    assert await journal.accounts("sunoapi", ME.address) == {}
    assert await journal.forget(new, "p")


async def test_one_of_many_starts(journal):
    """Of many that start the same attempt one wins."""
    begun = await journal.apply(ME, make_begin())
    assert begun.record is not None
    key = begun.record.key
    verdicts = await asyncio.gather(
        *(journal.apply(ME, Start(key, 0)) for _ in range(9))
    )

    assert sum(verdict.is_won for verdict in verdicts) == 1


async def test_durations_are_left_to_the_client(journal):
    """They live as long as the client, which has them."""
    await journal.note([("music", 1.0)])
    await journal.aclose()

    assert await journal.durations() == ()
