"""What every journal must do, whatever it keeps its records in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import attrs
import pytest

from personakit import (
    AudioFile,
    CoverRequest,
    ExtendRequest,
    JobFailed,
    JournalError,
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
from personakit.journal import (
    Account,
    Journal,
    MemoryJournal,
    SqliteJournal,
    SubmitRecord,
    SubmitState,
)
from personakit.journal.postgres import PostgresJournal
from personakit.journal.steps import (
    Abandon,
    Accept,
    Begin,
    Bind,
    Claim,
    Deliver,
    End,
    Lose,
    Loss,
    NotSent,
    Refuse,
    Return,
    Start,
    Step,
    Take,
    Verdict,
    Withdraw,
)
from personakit.receipt import Ability, Receipt

pytestmark = pytest.mark.looptime(False)

ME = Account("evolink", "https://api.example", "me")
OTHERS = (
    attrs.evolve(ME, provider="sunoapi"),
    attrs.evolve(ME, address="https://eu.example"),
    attrs.evolve(ME, name="you"),
)
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

Maker = Callable[[], Journal]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make_journal(request: pytest.FixtureRequest, tmp_path) -> Maker:
    """Return what makes an empty journal of each kind."""
    if request.param == "memory":
        return MemoryJournal
    return choose_store(request, tmp_path)


@pytest.fixture
async def journal(make_journal: Maker):
    """Make an empty journal of each kind."""
    made = make_journal()
    yield made
    await made.aclose()


@pytest.fixture(params=["sqlite", "postgres"])
def make_shared(request: pytest.FixtureRequest, tmp_path) -> Maker:
    """Return what opens the same journal for each process that asks."""
    return choose_store(request, tmp_path)


def choose_store(request: pytest.FixtureRequest, tmp_path) -> Maker:
    if request.param == "sqlite":
        return partial(SqliteJournal, tmp_path / "jobs.db")
    place = request.getfixturevalue("postgres").make_place()
    return partial(PostgresJournal, place)


@pytest.fixture
async def processes(make_shared: Maker):
    """Open one journal for two processes."""
    both = make_shared(), make_shared()
    yield both
    for one in both:
        await one.aclose()


def make(
    caller_key: str | None = None, kind: Ability = Ability.MUSIC, request=None
) -> Begin:
    return Begin(Receipt(ME.provider, kind), caller_key, request, "fingerprint")


async def begin(journal: Journal, caller_key: str | None = None) -> str:
    """Begin a submit, and return its key."""
    verdict = await journal.apply(ME, make(caller_key))
    assert verdict.record is not None
    return verdict.record.key


async def send(journal: Journal, caller_key: str | None = None) -> str:
    """Start the first attempt of a new submit, and return its key."""
    key = await begin(journal, caller_key)
    await journal.apply(ME, Start(key, 0))
    return key


async def accept(journal: Journal, job_id: str, caller_key: str | None = None) -> str:
    """Have a new submit accepted, and return its key."""
    key = await send(journal, caller_key)
    await journal.apply(ME, Accept(key, 1, job_id))
    return key


async def lose(journal: Journal) -> str:
    """Lose the answer to a new submit, and return its key."""
    key = await send(journal)
    await journal.apply(ME, Lose(key, 1))
    return key


def jobs(records: tuple[SubmitRecord, ...]) -> list[str | None]:
    return [record.receipt.job_id for record in records]


async def test_empty_journal(journal: Journal):
    """A new journal knows nothing."""
    assert await journal.unsettled(ME) == ()
    assert await journal.claim(ME) == ()
    assert await journal.personas(ME) == ()
    assert await journal.find(ME, "0" * 32) is None
    assert await journal.find_by_caller_key(ME, "order 1") is None
    assert await journal.known_jobs(ME, ["j"]) == frozenset()
    assert await journal.known_jobs(ME, []) == frozenset()
    assert await journal.forget(ME, "p") is False
    assert dict(await journal.accounts(ME.provider, ME.address)) == {}
    assert (await journal.apply(ME, Start("0" * 32, 0))) == Verdict(None, Loss.MISSING)


async def test_life_of_a_submit(journal: Journal):
    """Each step is found again as it was answered, to the delivery and after it."""
    step = make("order 1", request=MusicRequest(idea="rain"))
    key = step.key
    seen: list[SubmitRecord | None] = []
    for one in (
        step,
        Start(key, 0),
        Accept(key, 1, "j"),
        End(key, (TRACK,)),
        Take(key),
        Return(key, 2),
        Take(key),
        Deliver(key, 3),
    ):
        verdict = await journal.apply(ME, one)
        found = await journal.find(ME, key)
        assert verdict.is_won
        assert (
            found == verdict.record == await journal.find_by_caller_key(ME, "order 1")
        )
        seen.append(found)

    assert [record.state.value for record in seen if record] == [
        "intent",
        "sending",
        "accepted",
        "ended",
        "delivering",
        "ended",
        "delivering",
        "delivered",
    ]
    assert [len(record.open) for record in seen if record] == [0, 1, 0, 0, 0, 0, 0, 0]
    last = seen[-1]
    assert last is not None
    assert (last.receipt.job_id, last.result, last.attempt) == ("j", (TRACK,), 3)
    assert last.made_at <= last.ended_at <= last.delivered_at
    assert await journal.unsettled(ME) == ()


async def test_worker_of_a_record(journal: Journal):
    """Who works on a record is kept, until nobody does."""
    key = await send(journal)
    held = await journal.find(ME, key)
    lost = (await journal.apply(ME, Lose(key, 1))).record

    assert held is not None
    assert lost is not None
    assert (held.worker, held.is_held) == (journal.worker, True)
    assert (lost.worker, lost.is_held) == (None, False)


async def test_begin_under_a_key_that_is_taken(journal: Journal):
    """The second one is given the record of the first one."""
    first, second = make("order 1"), make("order 1")
    won = await journal.apply(ME, first)
    lost = await journal.apply(ME, second)

    assert won.is_won
    assert (lost.loss, lost.record) == (Loss.MOVED, won.record)
    assert await journal.find(ME, second.key) is None


async def test_refused_key_is_free(journal: Journal):
    """A new submit under the key of a refused one continues its record."""
    key = await send(journal, "order 1")
    refused = await journal.apply(ME, Refuse(key, 1))
    again = make("order 1", request=MusicRequest(idea="snow"))
    begun = await journal.apply(ME, attrs.evolve(again, fingerprint="other"))
    found = await journal.find(ME, key)

    assert refused.record is not None
    assert refused.record.state is SubmitState.REFUSED
    assert begun.is_won
    assert found is not None
    assert (found.state, found.attempt) == (SubmitState.INTENT, 2)
    assert (found.fingerprint, found.request) == ("other", MusicRequest(idea="snow"))


async def test_accounts_share_nothing(journal: Journal):
    """Keys, jobs and personas of one account are unknown to all others."""
    key = await accept(journal, "j", "order 1")
    await journal.remember(ME, PERSONA)
    for account in OTHERS:
        moved = await journal.apply(account, End(key))
        begun = await journal.apply(
            account, attrs.evolve(make("order 1"), receipt=Receipt("x", Ability.MUSIC))
        )

        assert moved == Verdict(None, Loss.MISSING)
        assert begun.is_won
        assert await journal.find(account, key) is None
        assert await journal.known_jobs(account, ["j"]) == frozenset()
        assert await journal.personas(account) == ()
        assert await journal.forget(account, PERSONA.id) is False
        assert await journal.claim(account) == ()
        assert len(await journal.unsettled(account)) == 1
    found = await journal.find_by_caller_key(ME, "order 1")

    assert found is not None
    assert found.key == key


async def test_unsettled_records_come_oldest_first(journal: Journal):
    """What is delivered, refused or abandoned is left out."""
    lost, sent, refused = await lose(journal), await send(journal), await send(journal)
    abandoned, delivered = await lose(journal), await accept(journal, "j")
    accepted = await accept(journal, "k")
    await journal.apply(ME, Refuse(refused, 1))
    await journal.apply(ME, Abandon(abandoned, 1))
    await journal.apply(ME, End(delivered, (TRACK,)))
    await journal.apply(ME, Deliver(delivered))

    records = await journal.unsettled(ME)
    assert [record.key for record in records] == [lost, sent, accepted]


async def test_one_job_of_two_submits(journal: Journal):
    """Both keep it; the second one is marked."""
    first, second = await accept(journal, "j"), await accept(journal, "j")
    records = [await journal.find(ME, key) for key in (first, second)]

    assert [record.is_shared for record in records if record] == [False, True]
    assert jobs(await journal.claim(ME)) == ["j", "j"]


async def test_second_job_of_one_submit(journal: Journal):
    """It is kept in a record of its own, once."""
    key = await accept(journal, "j", "order 1")
    verdicts = [await journal.apply(ME, Accept(key, 1, "k")) for _ in range(2)]
    extra = verdicts[0].extra

    assert extra is not None
    assert verdicts[1].extra is None
    assert await journal.find(ME, extra.key) == extra
    assert (extra.extra_of, extra.caller_key) == (key, None)
    assert jobs(await journal.unsettled(ME)) == ["j", "k"]


async def test_job_of_a_lost_record(journal: Journal):
    """A callback for a record that the journal lacks makes one."""
    receipt = Receipt(ME.provider, Ability.MUSIC)
    ignored = await journal.apply(ME, Accept(receipt.key, 1, "j"))
    made = await journal.apply(ME, Accept(receipt.key, 1, "j", receipt=receipt))

    assert ignored.loss is Loss.MISSING
    assert made.is_won
    assert jobs(await journal.claim(ME)) == ["j"]


async def test_bind(journal: Journal):
    """A job is bound to one record, and to none that has a rival."""
    await accept(journal, "known")
    first, second = await lose(journal), await lose(journal)
    asked: list[str] = []

    def is_rival(record: SubmitRecord) -> bool:
        asked.append(record.key)
        return True

    rival = await journal.apply(ME, Bind(first, 1, "j", is_rival))
    bound = await journal.apply(ME, Bind(first, 1, "known", lambda _: False))
    won = await journal.apply(ME, Bind(first, 1, "j", lambda _: False))
    late = await journal.apply(ME, Bind(second, 1, "j"))

    assert (rival.loss, bound.loss, late.loss) == (Loss.RIVAL, Loss.BOUND, Loss.BOUND)
    assert asked == [second]
    assert won.record is not None
    assert (won.record.receipt.job_id, won.record.open) == ("j", ())


async def test_rule_that_raises(journal: Journal):
    """What a caller's function raises is the caller's own error, and harms nothing."""
    first, _ = await lose(journal), await lose(journal)

    def is_rival(_: SubmitRecord) -> bool:
        raise LookupError("broken")

    with pytest.raises((JournalError, LookupError), match="broken"):
        await journal.apply(ME, Bind(first, 1, "j", is_rival))

    assert (await journal.apply(ME, Bind(first, 1, "j"))).is_won


async def test_claims(journal: Journal):
    """What is to be awaited or delivered is claimed: all, the oldest, or by key."""
    keys = [await accept(journal, str(number)) for number in range(4)]
    await send(journal)
    await journal.apply(ME, End(keys[1], (TRACK,)))
    await journal.apply(ME, End(keys[3], (TRACK,)))
    await journal.apply(ME, Take(keys[3]))
    claims = [
        await journal.claim(ME),
        await journal.claim(ME, limit=2),
        await journal.claim(ME, limit=0),
        await journal.claim(ME, keys=[keys[2], keys[3], "0" * 32]),
        await journal.claim(ME, keys=[]),
    ]

    assert [jobs(claim) for claim in claims] == [
        ["0", "1", "2"],
        ["0", "1"],
        [],
        ["2"],
        [],
    ]


async def test_known_jobs(journal: Journal):
    """Jobs stay known after delivery, also among unknown ones."""
    key = await accept(journal, "j")
    await journal.apply(ME, End(key, (TRACK,)))
    await journal.apply(ME, Deliver(key))

    assert await journal.known_jobs(ME, ["j", "k"]) == {"j"}


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: r.ability)
async def test_requests_are_kept(journal: Journal, request_):
    """What was asked for comes back as it was, also after further steps."""
    step = make(None, request_.ability, request_)
    await journal.apply(ME, step)
    await journal.apply(ME, Start(step.key, 0))
    found = await journal.find(ME, step.key)

    assert found is not None
    assert found.request == request_
    assert found.receipt.kind is request_.ability


@pytest.mark.parametrize(("kind", "result"), RESULTS)
@pytest.mark.parametrize("is_at_once", [True, False])
async def test_results_are_kept(journal: Journal, kind, result, is_at_once):
    """What a job made comes back, whenever it was known."""
    step = make(None, kind)
    await journal.apply(ME, step)
    await journal.apply(ME, Start(step.key, 0))
    await journal.apply(ME, Accept(step.key, 1, "j", result if is_at_once else None))
    ended = await journal.apply(ME, End(step.key, result))
    [record] = await journal.unsettled(ME)

    assert ended.is_won is not is_at_once
    assert record.result == result
    assert record.snapshot is not None
    assert (record.snapshot.job_id, record.snapshot.result) == ("j", result)


async def test_failures_are_kept(journal: Journal):
    """Why a job failed comes back."""
    key = await accept(journal, "j")
    await journal.apply(ME, End(key, failure=JobFailed("no voice", code="E7")))
    [record] = await journal.claim(ME)

    assert record.state is SubmitState.ENDED
    assert isinstance(record.failure, JobFailed)
    assert (record.failure.code, record.result) == ("E7", None)


async def test_rename(journal: Journal):
    """Everything of an account belongs to the new name, personas and keys too."""
    key = await accept(journal, "j", "order 1")
    new = attrs.evolve(ME, name="studio")
    await journal.remember(ME, PERSONA)
    await journal.remember(new, Persona("p1", "evolink", "Older"))
    moved = await journal.rename_account(ME, "studio")
    found = await journal.find_by_caller_key(new, "order 1")
    counts = await journal.accounts(ME.provider, ME.address)

    assert moved == 1
    assert found is not None
    assert (found.key, found.account) == (key, new)
    assert await journal.find(ME, key) is None
    assert await journal.unsettled(ME) == ()
    assert await journal.personas(new) == (PERSONA,)
    assert await journal.known_jobs(new, ["j"]) == {"j"}
    assert {name: count for name, count in counts.items() if count} == {"studio": 1}


async def test_rename_that_clashes(journal: Journal):
    """Nothing is renamed if both accounts used the same key."""
    new = attrs.evolve(ME, name="studio")
    for account in (ME, new):
        await journal.apply(account, make("order 1"))
    key = await begin(journal)
    await journal.remember(ME, PERSONA)
    with pytest.raises(JournalError, match="same key="):
        await journal.rename_account(ME, "studio")

    assert await journal.find(ME, key) is not None
    assert await journal.personas(ME) == (PERSONA,)
    counts = await journal.accounts(ME.provider, ME.address)
    assert dict(counts) == {"me": 2, "studio": 1}


async def test_personas_are_kept(journal: Journal):
    """They come oldest first, each once, with the latest of what is known."""
    bare, other = Persona("p1", "evolink"), Persona("p2", "evolink")
    for persona in (bare, other, PERSONA):
        await journal.remember(ME, persona)
    kept = await journal.personas(ME)
    forgotten = [await journal.forget(ME, "p2") for _ in range(2)]

    assert kept == (PERSONA, other)
    assert forgotten == [True, False]
    assert await journal.personas(ME) == (PERSONA,)


async def test_durations_are_kept(journal: Journal):
    """They come oldest first; a journal in memory leaves them to the client."""
    first, second = [("evolink music", 4.5), ("evolink persona", 2.5)], [("a", 1.0)]
    await journal.note(first)
    await journal.note(second)
    kept = () if isinstance(journal, MemoryJournal) else (*first, *second)

    assert await journal.durations() == kept


async def test_many_at_once(journal: Journal):
    """A thousand steps at once are all taken, in their order."""
    steps = [make(f"order {number}") for number in range(1000)]
    verdicts = await asyncio.gather(*(journal.apply(ME, step) for step in steps))
    records = await journal.unsettled(ME)

    assert all(verdict.is_won for verdict in verdicts)
    assert [record.key for record in records] == [step.key for step in steps]


async def test_steps_at_once_on_one_record(journal: Journal):
    """They are taken one after the other, as if each had waited for the last."""
    step = make("order 1")
    verdicts = await asyncio.gather(
        *(
            journal.apply(ME, one)
            for one in (
                step,
                make("order 1"),
                Start(step.key, 0),
                Start(step.key, 0),
                Accept(step.key, 1, "j"),
                Accept(step.key, 1, "k"),
                End(step.key, (TRACK,)),
            )
        )
    )

    won = [verdict.is_won for verdict in verdicts]
    assert won == [True, False, True, False, True, True, True]
    assert jobs(await journal.unsettled(ME)) == ["j", "k"]


@pytest.mark.parametrize("bad", ["\0", "\ud800", "a\0b\udfff"])
async def test_each_fails_alone(journal: Journal, bad: str):
    """Text that a store cannot keep hurts only the step that brings it."""
    keys = [await send(journal) for _ in range(9)]
    steps = [Accept(key, 1, f"j{number}") for number, key in enumerate(keys)]
    steps[4] = attrs.evolve(steps[4], job_id=bad)
    bad_begin = make(f"order {bad}")
    outcomes = await asyncio.gather(
        *(journal.apply(ME, step) for step in (*steps, bad_begin)),
        return_exceptions=True,
    )
    good = [outcome for at, outcome in enumerate(outcomes) if at not in {4, 9}]

    assert all(isinstance(one, Verdict) and one.is_won for one in good)
    assert all(isinstance(one, Verdict | JournalError) for one in outcomes)
    assert len(await journal.known_jobs(ME, [f"j{n}" for n in range(9)])) == 8
    assert (await journal.apply(ME, make())).is_won


async def test_cancelled_caller_harms_nobody(journal: Journal):
    """The others' steps are taken all the same, and the next ones."""
    steps = [make() for _ in range(3)]
    callers = [asyncio.create_task(journal.apply(ME, step)) for step in steps]
    await asyncio.sleep(0)
    callers[1].cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    found = [await journal.find(ME, step.key) for step in steps]

    assert found[0] is not None
    assert found[2] is not None
    assert (await journal.apply(ME, make())).is_won


async def test_closed_journal_opens_again(journal: Journal):
    """After closing, the next call finds everything as it was."""
    key = await lose(journal)
    before = await journal.find(ME, key)
    await journal.aclose()
    await journal.aclose()

    assert await journal.find(ME, key) == before


STEPS: tuple[Callable[[str, int, int], Step], ...] = (
    lambda key, attempt, n: Begin(
        Receipt("evolink", Ability.MUSIC, key=f"{n:032x}"), f"order {n % 3}", None, "f"
    ),
    lambda key, attempt, _: Start(key, attempt),
    lambda key, attempt, _: Start(key, attempt, after_unknown=True),
    lambda key, attempt, n: Accept(key, attempt, f"j{n % 4}"),
    lambda key, attempt, n: Accept(key, attempt, None, (TRACK,)),
    lambda key, attempt, _: Refuse(key, attempt),
    lambda key, attempt, _: NotSent(key, attempt),
    lambda key, attempt, _: NotSent(key, attempt, goes_on=True),
    lambda key, attempt, _: Lose(key, attempt),
    lambda key, attempt, _: Withdraw(key, attempt),
    lambda key, attempt, n: Bind(key, attempt, f"j{n % 4}"),
    lambda key, attempt, n: Bind(key, attempt, f"j{n % 4}", lambda r: r.attempt > 2),
    lambda key, attempt, _: Abandon(key, attempt),
    lambda key, attempt, _: End(key, (TRACK,)),
    lambda key, attempt, _: Take(key),
    lambda key, attempt, _: Deliver(key, attempt),
    lambda key, attempt, _: Deliver(key),
    lambda key, attempt, _: Return(key, attempt),
    lambda key, attempt, _: Claim(key),
)


def outline(record: SubmitRecord | None, *, has_key: bool = True) -> object:
    """Return what two stores must agree on."""
    if record is None:
        return None
    return (
        record.key if has_key else None,
        record.state,
        record.attempt,
        [one.number for one in record.open],
        record.worker is not None,
        record.is_held,
        record.caller_key,
        record.extra_of,
        record.receipt.job_id,
        record.is_shared,
        record.result,
    )


@pytest.mark.parametrize("seed", range(6))
async def test_stores_decide_alike(make_shared: Maker, seed: int):
    """Random steps, many at once, do in each store what they do one by one in memory.

    Jobs in extra records have random keys; those are compared by all else.
    """
    chance = random.Random(seed)
    store, model = make_shared(), MemoryJournal()
    for at_once in (1, 3, 40, 40, 40):
        steps = [
            chance.choice(STEPS)(f"{chance.randrange(6):032x}", chance.randrange(4), n)
            for n in (chance.randrange(6) for _ in range(at_once))
        ]
        verdicts = await asyncio.gather(*(store.apply(ME, step) for step in steps))
        for step, verdict in zip(steps, verdicts, strict=True):
            expected = await model.apply(ME, step)
            assert verdict.loss is expected.loss, step
            assert outline(verdict.record) == outline(expected.record), step
            left, right = (
                outline(one.extra, has_key=False) for one in (verdict, expected)
            )
            assert left == right, step
    found = [await one.unsettled(ME) for one in (store, model)]
    await store.aclose()

    assert sorted(str(outline(r, has_key=False)) for r in found[0]) == sorted(
        str(outline(r, has_key=False)) for r in found[1]
    )


# Several processes.


async def test_what_one_has_the_other_does_not_get(processes):
    """What a process submits or claims is its own, until it is gone."""
    one, two = processes
    mine, yours = await accept(one, "mine"), await accept(two, "yours")
    both = [jobs(await journal.claim(ME)) for journal in processes]
    seen = [(await one.find(ME, key)).is_held for key in (mine, yours)]
    left = await two.apply(ME, Lose(await send(one), 1, is_sender=False))
    await two.aclose()
    rest = jobs(await one.claim(ME))

    assert both == [["mine"], ["yours"]]
    assert seen == [True, True]
    assert left.loss is Loss.MOVED
    assert rest == ["mine", "yours"]


async def test_what_the_dead_were_sending(processes):
    """It is unknown then, and nobody may say that it was not charged."""
    one, two = processes
    key = await send(one)
    early = await two.apply(ME, Lose(key, 1, is_sender=False))
    await one.aclose()
    late = await two.apply(ME, Lose(key, 1, is_sender=False))
    verdict = await one.apply(ME, Refuse(key, 1))

    assert early.loss is Loss.MOVED
    assert late.record is not None
    assert late.record.state is SubmitState.UNKNOWN
    assert verdict.record is not None
    assert verdict.record.state is SubmitState.REFUSED


async def race(processes, make_step: Callable[[int], Step]) -> list[Verdict]:
    """Have two processes take twenty steps at once."""
    await asyncio.gather(*(process.unsettled(ME) for process in processes))
    return await asyncio.gather(
        *(processes[n % 2].apply(ME, make_step(n)) for n in range(20))
    )


async def test_one_begins(processes):
    """Under one caller key there is one record, whoever comes first."""
    steps = [make("order 1") for _ in range(20)]
    verdicts = await race(processes, lambda n: steps[n])

    assert len({verdict.record.key for verdict in verdicts}) == 1
    assert len(await processes[0].unsettled(ME)) == 1


async def test_one_starts(processes):
    """Of many that want to send, one does."""
    one, two = processes
    key = await begin(one)
    await one.aclose()  # nobody's any more
    verdicts = await race(processes, lambda _: Start(key, 0))

    assert sum(verdict.is_won for verdict in verdicts) == 1
    assert (await two.find(ME, key)).attempt == 1


async def test_one_job_id_belongs_to_one(processes):
    """Of many records with one job id, all but one are marked."""
    keys = [await send(processes[n % 2]) for n in range(20)]
    verdicts = await race(processes, lambda n: Accept(keys[n], 1, "j"))

    assert sum(not verdict.record.is_shared for verdict in verdicts) == 1
    assert {verdict.record.receipt.job_id for verdict in verdicts} == {"j"}


async def test_one_binds(processes):
    """Of many records that a job could be bound to, one gets it."""
    keys = [await lose(processes[n % 2]) for n in range(20)]
    verdicts = await race(processes, lambda n: Bind(keys[n], 1, "j"))

    assert sorted(str(verdict.loss) for verdict in verdicts) == sorted(
        ["None", *["bound"] * 19]
    )


async def test_one_delivers(processes):
    """Of many that want to deliver, one does."""
    key = await accept(processes[0], "j")
    await processes[0].apply(ME, End(key, (TRACK,)))
    verdicts = await race(processes, lambda _: Take(key))

    assert sum(verdict.is_won for verdict in verdicts) == 1


async def test_claims_at_once_never_meet(processes, make_shared):
    """Each job of a dead process goes to one of those that claim at the same time."""
    gone = make_shared()
    for number in range(60):
        await accept(gone, str(number))
    await gone.aclose()
    claims = await asyncio.gather(
        *(process.claim(ME, limit=5) for _ in range(5) for process in processes),
        *(process.claim(ME) for process in processes),
    )
    owners = {}
    for place, claim in enumerate(claims):
        for job in jobs(claim):
            owners.setdefault(job, set()).add(place % 2)

    assert len(owners) == 60
    assert all(len(who) == 1 for who in owners.values())


async def test_clock_of_a_record(journal: Journal):
    """Times are aware, and about now."""
    key = await send(journal)
    record = await journal.find(ME, key)
    now = datetime.now(UTC)

    assert record is not None
    assert abs(now - record.made_at) < timedelta(seconds=5)
    assert abs(now - record.open[0].sent_at) < timedelta(seconds=5)
    assert abs(now - record.receipt.at) < timedelta(seconds=5)


def test_source_of_a_request_keeps_its_kind():
    """The requests above have a track, its ids, and an address as source."""
    kinds = {type(r.source) for r in REQUESTS if hasattr(r, "source")}

    assert kinds == {Track, TrackRef, str}
    assert AudioFile("a.mp3", b"x") not in REQUESTS
