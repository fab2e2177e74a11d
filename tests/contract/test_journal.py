"""What every journal must do, whatever it keeps its entries in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import attrs
import pytest

from personakit import (
    AudioFile,
    CoverRequest,
    ExtendRequest,
    MashupRequest,
    MusicRequest,
    Persona,
    PersonaRequest,
    Stems,
    StemsRequest,
    Track,
    TrackRef,
    UploadRequest,
    VocalWindow,
)
from personakit.journal import Entry, Journal, Mark, MemoryJournal, SqliteJournal
from personakit.journal.postgres import PostgresJournal
from personakit.receipt import Ability, Receipt

pytestmark = pytest.mark.looptime(False)

TRACK = Track(
    "evolink",
    "task-unified-1",
    "t",
    audio_url="https://m.example/a.mp3",
    title="心中的光",
    duration=61.25,
    expires_at=datetime(2026, 11, 24, tzinfo=UTC),
)
PERSONA = Persona("p1", "evolink", "Jazz", "Warm", source=TRACK.ref)
REQUESTS = (
    PersonaRequest(TRACK, name="Jazz", description="Warm", window=VocalWindow(1, 20)),
    PersonaRequest(TRACK.ref, name="爵士", description="Warm", style="jazz"),
    MusicRequest(lyrics="[Verse]\n月光", style="s", title="t", persona=PERSONA),
    MusicRequest(idea="rain", instrumental=True, weirdness=0.25, vocal_gender="male"),
    ExtendRequest("https://x.example/a.mp3", at=2.5, idea="more"),
    CoverRequest(TRACK, style="bossa"),
    MashupRequest(TRACK.ref, "https://x.example/b.mp3"),
    StemsRequest(TRACK.ref),
    UploadRequest("https://x.example/c.mp3"),
)
RESULTS = (
    (Ability.PERSONA, PERSONA),
    (Ability.STEMS, Stems(TRACK, attrs.evolve(TRACK, track_id="i"))),
    (Ability.UPLOAD, TRACK),
    (Ability.MUSIC, (TRACK, TRACK)),
)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make_journal(request: pytest.FixtureRequest, tmp_path):
    """Return what makes an empty journal of each kind."""
    if request.param == "memory":
        return MemoryJournal
    if request.param == "sqlite":
        return partial(SqliteJournal, tmp_path / "jobs.db")
    place = request.getfixturevalue("postgres").make_place()
    return partial(PostgresJournal, place)


@pytest.fixture
async def journal(make_journal: Callable[[], Journal]):
    """Make an empty journal of each kind."""
    made = make_journal()
    yield made
    await made.aclose()


def make(provider="evolink", **changes) -> Receipt:
    return Receipt(provider, Ability.MUSIC, **changes)


async def test_empty_journal(journal: Journal):
    """A new journal knows nothing."""
    assert await journal.unfinished("evolink") == ()
    assert await journal.personas("evolink") == ()
    assert await journal.find("0" * 32) is None
    assert await journal.known_jobs("evolink", ["j"]) == frozenset()
    assert await journal.forget("evolink", "p") is False


async def test_unfinished_entries_come_oldest_first(journal: Journal):
    """What is not closed is returned with its last mark, of the service alone."""
    first, second, other = make(), make(), make("sunoapi")
    accepted = attrs.evolve(first, job_id="task-unified-1")
    for receipt in (first, second, other):
        await journal.record(Entry(receipt, Mark.INTENT))
    await journal.record(Entry(second, Mark.SENDING))
    await journal.record(Entry(second, Mark.UNKNOWN))
    stands = await journal.record(Entry(accepted, Mark.ACCEPTED))

    assert stands == Entry(accepted, Mark.ACCEPTED)
    assert await journal.unfinished("evolink") == (
        Entry(accepted, Mark.ACCEPTED),
        Entry(second, Mark.UNKNOWN),
    )
    assert await journal.unfinished("sunoapi") == (Entry(other, Mark.INTENT),)


async def test_closed_entries_are_found_by_key_alone(journal: Journal):
    """What is closed is not unfinished, and its job is known still."""
    receipt = make(job_id="j")
    await journal.record(Entry(receipt, Mark.ACCEPTED))
    await journal.record(Entry(receipt, Mark.CLOSED))

    assert await journal.unfinished("evolink") == ()
    assert await journal.find(receipt.key) == Entry(receipt, Mark.CLOSED)
    assert await journal.known_jobs("evolink", ["j", "k"]) == {"j"}
    assert await journal.known_jobs("sunoapi", ["j"]) == frozenset()


async def test_who_sends_is_kept(journal: Journal):
    """Of two that send under one key, both are told who is the one."""
    receipt = make()
    await journal.record(Entry(receipt, Mark.INTENT))
    stands = await asyncio.gather(
        *(journal.record(Entry(receipt, Mark.SENDING, sender=name)) for name in "ab")
    )
    found = await journal.find(receipt.key)

    assert [entry.sender for entry in stands] == ["a", "a"]
    assert found is not None
    assert found.sender == "a"


async def test_wishes_are_kept(journal: Journal):
    """The caller's own key stays with its submit, to the end."""
    receipt = make(job_id="j")
    await journal.record(Entry(receipt, Mark.INTENT, wish="order 1"))
    for mark in (Mark.SENDING, Mark.ACCEPTED):
        await journal.record(Entry(receipt, mark))
    [entry] = await journal.claim("evolink")

    assert entry.wish == "order 1"


async def test_claims(journal: Journal):
    """What is open is claimed, all of it, the oldest, or what is named."""
    receipts = [make(job_id=str(number)) for number in range(3)]
    closed = make(job_id="closed")
    for receipt in (*receipts, closed):
        await journal.record(Entry(receipt, Mark.ACCEPTED))
    await journal.record(Entry(closed, Mark.CLOSED))
    last = receipts[2].key
    claims = [
        await journal.claim("evolink"),
        await journal.claim("evolink", limit=2),
        await journal.claim("evolink", keys=[last, closed.key]),
        await journal.claim("sunoapi"),
    ]

    assert [[e.receipt.job_id for e in entries] for entries in claims] == [
        ["0", "1", "2"],
        ["0", "1"],
        ["2"],
        [],
    ]


async def test_a_job_is_never_lost_again(journal: Journal):
    """Whatever is written after a job id is known, it stays known."""
    receipt = make()
    known = attrs.evolve(receipt, job_id="j")
    await journal.record(Entry(receipt, Mark.SENDING))
    await journal.record(Entry(known, Mark.ACCEPTED))
    late = [
        await journal.record(Entry(receipt, mark))
        for mark in (Mark.INTENT, Mark.SENDING, Mark.UNKNOWN)
    ]
    closed = await journal.record(Entry(receipt, Mark.CLOSED))
    again = await journal.record(Entry(known, Mark.ACCEPTED))

    assert late == [Entry(known, Mark.ACCEPTED)] * 3
    assert closed == again == Entry(known, Mark.CLOSED)


async def test_given_up_submit_whose_job_comes_late(journal: Journal):
    """What was closed without a job is opened again by one, since that is paid for."""
    receipt = make()
    await journal.record(Entry(receipt, Mark.UNKNOWN))
    await journal.record(Entry(receipt, Mark.CLOSED))
    stays = await journal.record(Entry(receipt, Mark.SENDING))
    known = attrs.evolve(receipt, job_id="j")
    opened = await journal.record(Entry(known, Mark.ACCEPTED))

    assert stays.mark is Mark.CLOSED
    assert opened == Entry(known, Mark.ACCEPTED)
    assert await journal.unfinished("evolink") == (opened,)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: r.ability)
async def test_requests_are_kept(journal: Journal, request_):
    """What was asked for comes back as it was, also after further marks."""
    receipt = Receipt("evolink", request_.ability)
    await journal.record(Entry(receipt, Mark.INTENT, request_))
    await journal.record(Entry(receipt, Mark.SENDING))

    assert await journal.find(receipt.key) == Entry(receipt, Mark.SENDING, request_)


@pytest.mark.parametrize(("kind", "result"), RESULTS)
async def test_results_are_kept(journal: Journal, kind, result):
    """What was answered at once comes back as the end of the job."""
    receipt = Receipt("evolink", kind, job_id="j")
    await journal.record(Entry(receipt, Mark.ACCEPTED, result=result))
    [entry] = await journal.unfinished("evolink")

    assert entry.result == result
    assert entry.snapshot is not None
    assert (entry.snapshot.job_id, entry.snapshot.result) == ("j", result)


async def test_personas_are_kept(journal: Journal):
    """They come oldest first, each once, with the latest of what is known."""
    bare, other = Persona("p1", "evolink"), Persona("p2", "evolink")
    for persona in (bare, other, Persona("p1", "sunoapi"), PERSONA):
        await journal.remember(persona)
    kept = await journal.personas("evolink")
    forgotten = [await journal.forget("evolink", "p2") for _ in range(2)]

    assert kept == (PERSONA, other)
    assert forgotten == [True, False]
    assert await journal.personas("evolink") == (PERSONA,)
    assert len(await journal.personas("sunoapi")) == 1


async def test_durations_are_kept(journal: Journal):
    """They come oldest first; a journal in memory leaves them to the client."""
    first, second = [("evolink music", 4.5), ("evolink persona", 2.5)], [("a", 1.0)]
    await journal.note(first)
    await journal.note(second)
    kept = () if isinstance(journal, MemoryJournal) else (*first, *second)

    assert await journal.durations() == kept


async def test_many_at_once(journal: Journal):
    """A thousand writers at once are all heard, in order."""
    receipts = [make() for _ in range(1000)]
    await asyncio.gather(*(journal.record(Entry(r, Mark.INTENT)) for r in receipts))
    entries = await journal.unfinished("evolink")

    assert [entry.receipt for entry in entries] == receipts


async def test_closed_journal_opens_again(journal: Journal):
    """After closing, the next call finds everything as it was."""
    receipt = make()
    await journal.record(Entry(receipt, Mark.UNKNOWN))
    await journal.aclose()
    await journal.aclose()

    assert await journal.find(receipt.key) == Entry(receipt, Mark.UNKNOWN)


def test_source_of_a_request_keeps_its_kind():
    """The requests above have a track, its ids, and an address as source."""
    kinds = {type(r.source) for r in REQUESTS if hasattr(r, "source")}

    assert kinds == {Track, TrackRef, str}
    assert AudioFile("a.mp3", b"x") not in REQUESTS
