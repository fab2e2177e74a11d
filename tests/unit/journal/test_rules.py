"""The rule of the journal: each step in each state, and all interleavings.

The tables say what becomes of a record. The explorations say that this is enough: the
promises hold, whatever order the processes and their faults take. Each mutant takes one
guard out of the rule, and the explorer must notice.
"""

# ruff: noqa: E501  (tables, and guards as the source has them)

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from types import ModuleType

import attrs
import pytest

from personakit.errors import JobFailed
from personakit.journal import rules
from personakit.journal.record import WITH_JOB, Attempt, SubmitRecord, SubmitState
from personakit.journal.rules import apply
from personakit.journal.steps import (
    Abandon,
    Accept,
    Begin,
    Bind,
    Claim,
    Deliver,
    End,
    Facts,
    Lose,
    Loss,
    NotSent,
    Refuse,
    Return,
    Start,
    Take,
    Withdraw,
)
from personakit.models import Persona
from personakit.receipt import Ability, Receipt
from personakit.requests import MusicRequest
from tests.unit.journal.explorer import ACCOUNT, Bounds, Explorer

KEY = "a" * 32
SENT, NOW = (
    datetime(2026, 11, 21, 12, tzinfo=UTC),
    datetime(2026, 11, 21, 13, tzinfo=UTC),
)
RECEIPT = Receipt("evolink", Ability.MUSIC, KEY, SENT)
REQUEST = MusicRequest(idea="rain")
PERSONA = Persona("persona-1", "evolink")
UNDECIDED = {SubmitState.SENDING, SubmitState.UNKNOWN, SubmitState.ABANDONED}
NOBODYS = {
    *(SubmitState.UNKNOWN, SubmitState.DELIVERED),
    *(SubmitState.REFUSED, SubmitState.ABANDONED),
}


def make_record(state: str, *attempts: int, **changes: object) -> SubmitRecord:
    """Make a record of this process in its first attempt, as it is in that state."""
    state = SubmitState(state)
    if not attempts and state in UNDECIDED:
        attempts = (1,)
    receipt = RECEIPT.with_job("job-1" if state in WITH_JOB else None)
    record = SubmitRecord(
        receipt,
        ACCOUNT,
        state,
        attempt=max(1, *attempts, 1),
        open=tuple(Attempt(number, SENT) for number in attempts),
        worker=None if state in NOBODYS else "me",
        fingerprint="digest",
        made_at=SENT,
    )
    return attrs.evolve(record, **changes)


def make_facts(**changes: object) -> Facts:
    """Make the facts as this process finds them, which is alive like another one."""
    facts = Facts(ACCOUNT, "me", NOW, {"me": 1, "other": 1, "dead": 0}.__getitem__)
    return attrs.evolve(facts, **changes)


BEGIN = Begin(RECEIPT, "order 1", REQUEST, "digest")
STEPS = {
    "begin": BEGIN,
    "start": Start(KEY, 1),
    "start again": Start(KEY, 1, after_unknown=True),
    "accept": Accept(KEY, 1, "job-1"),
    "accept result": Accept(KEY, 1, None, PERSONA),
    "accept other": Accept(KEY, 1, "job-2"),
    "refuse": Refuse(KEY, 1),
    "not sent": NotSent(KEY, 1),
    "not sent, go on": NotSent(KEY, 1, goes_on=True),
    "lose": Lose(KEY, 1),
    "withdraw": Withdraw(KEY, 1),
    "bind": Bind(KEY, 1, "job-1"),
    "abandon": Abandon(KEY, 1),
    "end": End(KEY, PERSONA),
    "take": Take(KEY),
    "deliver": Deliver(KEY, 1),
    "deliver returned": Deliver(KEY),
    "return": Return(KEY, 1),
    "claim": Claim(KEY),
}
STATES = tuple(SubmitState)
TABLE = """
                 intent   sending  unknown   accepted  ended      delivering delivered refused  abandoned
begin            -        -        -         -         -          -          -         intent   intent
start            sending  -        -         -         -          -          -         -        -
start again      -        -        sending   -         -          -          -         -        -
accept           accepted accepted accepted  accepted  ended      delivering delivered accepted accepted
accept result    ended    ended    ended     ended     ended      delivering delivered ended    ended
accept other     accepted accepted accepted  accepted  ended      delivering delivered accepted accepted
refuse           intent   refused  refused   accepted  ended      delivering delivered refused  refused
not sent         intent   refused  refused   accepted  ended      delivering delivered refused  refused
not sent, go on  intent   intent   refused   accepted  ended      delivering delivered refused  refused
lose             -        unknown  -         -         -          -          -         -        -
withdraw         refused  -        -         -         -          -          -         -        -
bind             -        -        accepted  -         -          -          -         -        -
abandon          -        -        abandoned -         -          -          -         -        -
end              -        -        -         ended     -          -          -         -        -
take             -        -        -         -         delivering -          -         -        -
deliver          -        -        -         -         -          delivered  -         -        -
deliver returned -        -        -         -         delivered  -          -         -        -
return           -        -        -         -         -          ended      -         -        -
claim            -        -        -         accepted  ended      -          -         -        -
"""
CELLS = [
    (line[:16].strip(), state, cell)
    for line in TABLE.splitlines()[2:]
    for state, cell in zip(STATES, line[16:].split(), strict=True)
]


@pytest.mark.parametrize(("step", "state", "after"), CELLS)
def test_cell(step, state, after):
    """Each step in each state leads to the state of the table, or loses (-)."""
    record = make_record(state)
    verdict = apply(record, STEPS[step], make_facts())

    if after == "-":
        assert (verdict.record, verdict.loss) == (record, Loss.MOVED)
    else:
        assert (verdict.record.state, verdict.loss) == (after, None)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_no_record(step):
    """Without a record only the intent makes one; every other step loses."""
    verdict = apply(None, step, make_facts())

    if step is BEGIN:
        assert verdict.record.state is SubmitState.INTENT
        assert (verdict.record.worker, verdict.record.attempt) == ("me", 0)
        assert (verdict.record.request, verdict.record.is_held) == (REQUEST, True)
    else:
        assert (verdict.record, verdict.loss) == (None, Loss.MISSING)


# Beginning and starting.


@pytest.mark.parametrize("worker", ["dead", None])
def test_begin_takes_over(worker):
    """What a dead process wanted to send is sent by another, as that one wants it."""
    record = make_record("intent", worker=worker, fingerprint="old")
    step = Begin(
        attrs.evolve(RECEIPT, key="b" * 32, kind=Ability.COVER), "k", None, "new"
    )
    after = apply(record, step, make_facts()).record

    assert (after.key, after.receipt.kind) == (KEY, Ability.COVER)
    assert (after.worker, after.fingerprint) == ("me", "new")
    assert not apply(after, Start(KEY, 1), make_facts()).is_won


@pytest.mark.parametrize(("state", "is_won"), [("abandoned", False), ("refused", True)])
def test_begin_something_else(state, is_won):
    """Lost attempts keep what they asked for; a submit that was refused has none."""
    step = attrs.evolve(BEGIN, fingerprint="new")

    assert apply(make_record(state), step, make_facts()).is_won is is_won


def test_begin_keeps_open_attempts():
    """After giving up, the attempts stay open while the submit is sent again."""
    after = apply(make_record("abandoned"), BEGIN, make_facts()).record
    started = apply(after, Start(KEY, after.attempt), make_facts()).record

    assert [one.number for one in after.open] == [1]
    assert [one.number for one in started.open] == [1, started.attempt]


def test_start():
    """An attempt gets the next number, and its time in whole seconds."""
    moment = NOW + timedelta(milliseconds=5)
    facts = make_facts(now=moment)
    after = apply(make_record("intent", worker="dead"), Start(KEY, 1), facts).record

    assert (after.attempt, after.worker) == (2, "me")
    assert after.open == (Attempt(2, moment),)
    assert after.receipt.at == NOW


@pytest.mark.parametrize("step", [Start(KEY, 1), Withdraw(KEY, 1)])
def test_another_wants_to_send(step):
    """Nobody sends or withdraws what another living process wants to send."""
    record = make_record("intent", worker="other")

    assert apply(record, step, make_facts()).loss is Loss.MOVED


@pytest.mark.parametrize(
    ("state", "step"),
    [
        ("intent", Start(KEY, 0)),
        ("unknown", Start(KEY, 0, after_unknown=True)),
        ("sending", Lose(KEY, 0)),
        ("intent", Withdraw(KEY, 0)),
        ("unknown", Bind(KEY, 0, "job-1")),
        ("unknown", Abandon(KEY, 0)),
        ("delivering", Deliver(KEY, 0)),
        ("delivering", Deliver(KEY)),
        ("delivering", Return(KEY, 0)),
    ],
)
def test_too_late(state, step):
    """A step that was planned for another attempt changes nothing."""
    assert apply(make_record(state), step, make_facts()).loss is Loss.MOVED


@pytest.mark.parametrize(
    ("attempts", "state"), [((), "intent"), ((1,), "unknown")], ids=["unsent", "lost"]
)
def test_withdraw_and_keep(attempts, state):
    """A withdrawn intent may stay for others, unless an earlier attempt is unknown."""
    record = make_record("intent", open=tuple(Attempt(n, SENT) for n in attempts))
    after = apply(record, Withdraw(KEY, 1, is_kept=True), make_facts()).record

    assert (after.state, after.worker) == (state, None)


def test_callback_names_the_job_of_another_record():
    """A callback cannot give a record the job that another one has."""
    step = Accept(KEY, 1, "job-1", by_callback=True)
    record = make_record("unknown")
    verdict = apply(record, step, make_facts(holder="b" * 32))

    assert (verdict.record, verdict.loss) == (record, Loss.BOUND)


# Answers.


@pytest.mark.parametrize(
    ("state", "worker"), [("sending", "other"), ("sending", "dead"), ("unknown", None)]
)
def test_accept_leaves_job_to_its_sender(state, worker):
    """A callback's receiver does not hold the job: its sender does, or nobody."""
    record = make_record(state, worker=worker)
    after = apply(record, STEPS["accept"], make_facts()).record

    assert after.worker == ("other" if worker == "other" else None)
    assert after.receipt == RECEIPT.with_job("job-1")
    assert after.open == ()


def test_accept_result():
    """A result that comes at once ends the job, and its known id stays."""
    record = make_record("accepted")
    after = apply(record, STEPS["accept result"], make_facts()).record

    assert (after.result, after.ended_at) == (PERSONA, NOW)
    assert after.receipt.job_id == "job-1"


def test_accept_older_attempt():
    """The time of a job is that of the attempt that became it."""
    first, second = Attempt(1, SENT), Attempt(2, NOW)
    record = make_record("sending", 1, 2, open=(first, second))
    record = attrs.evolve(record, receipt=attrs.evolve(RECEIPT, at=NOW))
    after = apply(record, STEPS["accept"], make_facts()).record

    assert after.receipt.at == SENT
    assert after.open == (second,)


@pytest.mark.parametrize("job_id", ["job-2", None])
def test_accept_extra(job_id):
    """A second job of one submit gets a record of its own, which anybody may resume."""
    record = make_record("delivered", 2, caller_key="order 1", result=PERSONA)
    result = None if job_id else PERSONA
    verdict = apply(record, Accept(KEY, 2, job_id, result), make_facts())
    extra = verdict.extra

    assert verdict.record == attrs.evolve(record, open=())
    assert extra.state == ("accepted" if job_id else "ended")
    assert (extra.receipt.job_id, extra.receipt.at) == (job_id, SENT)
    assert (extra.extra_of, extra.caller_key, extra.worker) == (KEY, None, None)
    assert (extra.result, extra.delivered_at) == (result, None)
    assert extra.key != KEY


def test_accept_extra_once():
    """A second job that has a record is not written down again."""
    record = make_record("accepted", 2)
    facts = make_facts(holder="b" * 32)
    verdict = apply(record, Accept(KEY, 2, "job-2"), facts)

    assert (verdict.record.open, verdict.extra) == ((), None)


def test_accept_shared():
    """A service may answer two submits with one id; neither is lost."""
    facts = make_facts(holder="b" * 32)

    assert apply(make_record("sending"), STEPS["accept"], facts).record.is_shared
    assert not apply(
        make_record("sending"), STEPS["accept"], make_facts(holder=KEY)
    ).record.is_shared


def test_accept_without_record():
    """A signed callback brings the job of a record that was lost."""
    step = Accept(KEY, 2, "job-1", receipt=RECEIPT)
    after = apply(None, step, make_facts()).record

    assert (after.state, after.receipt) == ("accepted", RECEIPT.with_job("job-1"))


@pytest.mark.parametrize("step", [Refuse(KEY, 1), NotSent(KEY, 1)])
@pytest.mark.parametrize(
    ("state", "attempts", "after"),
    [
        ("sending", (1, 2), "sending"),
        ("intent", (1,), "intent"),
        ("unknown", (1, 2), "unknown"),
        ("unknown", (2,), "unknown"),
        ("abandoned", (1, 2), "abandoned"),
        ("accepted", (1,), "accepted"),
    ],
)
def test_one_of_several_attempts(step, state, attempts, after):
    """One attempt that was not charged says nothing of the others."""
    record = make_record(state, *attempts)
    verdict = apply(record, step, make_facts())

    assert verdict.record.state == after
    assert [one.number for one in verdict.record.open] == [a for a in attempts if a > 1]


@pytest.mark.parametrize(
    ("step", "after"),
    [(Refuse(KEY, 2), "unknown"), (NotSent(KEY, 2, goes_on=True), "intent")],
)
def test_resubmit_not_charged(step, after):
    """When a second attempt was not charged, the first one is still open."""
    verdict = apply(make_record("sending", 1, 2), step, make_facts())

    assert verdict.record.state == after
    assert verdict.record.worker == (None if after == "unknown" else "me")
    assert [one.number for one in verdict.record.open] == [1]


@pytest.mark.parametrize(("worker", "is_won"), [("other", False), ("dead", True)])
def test_lose_for_another(worker, is_won):
    """Only of a dead process another may say that its answer is lost."""
    record = make_record("sending", worker=worker)
    verdict = apply(record, Lose(KEY, 1, is_sender=False), make_facts())

    assert verdict.is_won is is_won
    assert verdict.record.worker == (None if is_won else "other")


def test_withdraw_with_open_attempts():
    """What may have been charged is not said to be refused."""
    record = make_record("intent", 1)

    assert apply(record, STEPS["withdraw"], make_facts()).record.state == "unknown"


# What becomes of an unknown outcome.


def test_bind_held_job():
    """A job that belongs to a record is bound to no other."""
    facts = make_facts(holder="b" * 32)

    assert apply(make_record("unknown"), STEPS["bind"], facts).loss is Loss.BOUND


@pytest.mark.parametrize("state", ["sending", "abandoned", "accepted"])
def test_bind_rival(state):
    """A job that may be another's is bound to none, unless the user names it."""
    other = make_record(state, 1, fingerprint="digest")
    facts = make_facts(others=[other])
    step = Bind(KEY, 1, "job-1", lambda one: one.fingerprint == "digest")
    mild = Bind(KEY, 1, "job-1", lambda one: one.fingerprint != "digest")

    assert apply(make_record("unknown"), step, facts).loss is Loss.RIVAL
    assert apply(make_record("unknown"), mild, facts).is_won
    assert apply(make_record("unknown"), STEPS["bind"], facts).is_won


def test_bind_one_of_several_attempts():
    """Nobody knows which attempt became the job, so each may still get an answer."""
    record = make_record("unknown", 1, 2)
    bound = apply(record, Bind(KEY, 2, "job-1"), make_facts()).record
    after = apply(bound, Accept(KEY, 2, "job-1"), make_facts()).record

    assert bound.open == record.open
    assert [one.number for one in after.open] == [1]


# The end and its delivery.


def test_end_with_failure():
    """A failure is kept like a result."""
    failure = JobFailed("No.")
    after = apply(make_record("accepted"), End(KEY, failure=failure), make_facts())

    assert (after.record.failure, after.record.ended_at) == (failure, NOW)


def test_delivery():
    """A delivery fences off those before it, and the last step says when it was."""
    taken = apply(make_record("ended", worker="other"), Take(KEY), make_facts()).record
    delivered = apply(taken, Deliver(KEY, 2), make_facts()).record

    assert (taken.attempt, taken.worker) == (2, "me")
    assert (delivered.worker, delivered.delivered_at) == (None, NOW)


@pytest.mark.parametrize(("worker", "is_won"), [("other", False), ("dead", True)])
def test_take_from_another(worker, is_won):
    """Only a dead process loses its delivery to another."""
    record = make_record("delivering", worker=worker)

    assert apply(record, Take(KEY), make_facts()).is_won is is_won


def test_return():
    """A delivery that failed is nobody's, so that anybody may resume it."""
    after = apply(make_record("delivering"), STEPS["return"], make_facts()).record

    assert (after.state, after.worker) == ("ended", None)


@pytest.mark.parametrize("state", ["accepted", "ended", "delivering"])
@pytest.mark.parametrize(
    ("worker", "is_won"), [("other", False), ("dead", True), (None, True)]
)
def test_claim_from_another(state, worker, is_won):
    """What a dead process left is resumed, and its delivery fenced off."""
    record = make_record(state, worker=worker)
    verdict = apply(record, Claim(KEY), make_facts())

    assert verdict.is_won is is_won
    if is_won:
        assert verdict.record.worker == "me"
        assert verdict.record.attempt == (2 if state == "delivering" else 1)


# All interleavings.

SAME_KEY = (("a",), ("a",), ())
"""Two processes with one submit, and a process that recovers."""
TWO_SUBMITS = (("a",), ("b",), ())
ONE_SUBMIT = (("a",), ())

CONFIGURATIONS = {
    "crash": (Bounds(SAME_KEY, {"crash": 1, "freeze": 1, "lost": 1}), 5_800),
    "refusal": (
        Bounds(SAME_KEY, {"refusal": 1, "late": 1, "cancel": 1}),
        600,
    ),
    "delivery": (Bounds(SAME_KEY, {"freeze": 1, "raise": 1, "crash": 1}), 11_000),
    "delivery twice": (Bounds(SAME_KEY, {"freeze": 2}), 10_000),
    "left delivery": (
        Bounds(SAME_KEY, {"raise": 1, "cancel": 1}, resuming=(-1,)),
        190,
    ),
    "awaiting": (
        Bounds(SAME_KEY, {"freeze": 1, "crash": 1}, awaiting=(0,)),
        4_300,
    ),
    "at once": (
        Bounds(SAME_KEY, {"freeze": 1, "resubmit": 1}, is_at_once=True),
        3_700,
    ),
    "something else": (
        Bounds(SAME_KEY, {"crash": 1, "freeze": 1, "abandon": 1}, differing=(1,)),
        20_000,
    ),
    "resubmit": (
        Bounds(ONE_SUBMIT, {"lost": 2, "resubmit": 1, "refusal": 1}, recovering=(0, 1)),
        1_700,
    ),
    "abandon": (
        Bounds(ONE_SUBMIT, {"lost": 2, "abandon": 1, "refusal": 1, "callback": 1}),
        8_000,
    ),
    "submit again": (Bounds(SAME_KEY, {"lost": 2, "abandon": 1, "late": 1}), 5_000),
    "callback": (
        Bounds(
            (("a",), (), ()),
            {"crash": 1, "lost": 1, "callback": 1},
            receiving=1,
            resuming=(0, 2),
        ),
        150,
    ),
    "late answer": (
        Bounds(ONE_SUBMIT, {"freeze": 1, "lost": 1, "resubmit": 1, "refusal": 1}),
        2_000,
    ),
    "withdraw": (Bounds(ONE_SUBMIT, {"lost": 1, "abandon": 1, "cancel": 1}), 600),
    "late decision": (
        Bounds(ONE_SUBMIT, {"lost": 2, "abandon": 1, "resubmit": 1}, recovering=(0, 1)),
        10_000,
    ),
    "shared": (
        Bounds(TWO_SUBMITS, {"shared": 1, "lost": 1, "callback": 1}, keyed=False),
        5_000,
    ),
    "list": (Bounds(TWO_SUBMITS, {"lost": 2}, keyed=False, listing="content"), 4_900),
    "list and resubmit": (
        Bounds(
            ONE_SUBMIT,
            {"lost": 2, "resubmit": 1, "callback": 1},
            keyed=False,
            listing="content",
        ),
        3_800,
    ),
    "list and abandon": (
        Bounds(TWO_SUBMITS, {"lost": 2, "abandon": 1}, keyed=False, listing="content"),
        22_000,
    ),
    "list by time": (
        Bounds(TWO_SUBMITS, {"lost": 2}, keyed=False, listing="time", is_alike=False),
        4_900,
    ),
    "list by content": (
        Bounds(
            TWO_SUBMITS,
            {"lost": 1, "foreign": 1},
            keyed=False,
            listing="content",
            is_alike=False,
        ),
        5_800,
    ),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_all_interleavings(name):
    """All promises hold in each state, and no state is left out unnoticed."""
    bounds, floor = CONFIGURATIONS[name]
    found = Explorer(bounds).explore()

    assert (found.violation, found.trace) == (None, ())
    assert found.states >= floor


def test_time_alone_goes_wrong():
    """By time alone a job of somebody else is bound, so that needs the user's word."""
    bounds = Bounds(ONE_SUBMIT, {"lost": 1, "foreign": 1}, listing="time")

    assert Explorer(bounds).explore().violation == (
        "job0 of somebody else belongs to a"
    )


# What the rule needs: without it, the explorer finds a broken promise.

MUTANTS = {
    "begin: takes over from the living": (
        "left delivery",
        "record.state is SubmitState.INTENT and facts.is_idle(record)",
        "record.state is SubmitState.INTENT",
    ),
    "begin: takes over from nobody": (
        "crash",
        "is_left = record.state is SubmitState.INTENT and facts.is_idle(record)",
        "is_left = False",
    ),
    "begin: an unknown outcome is free": (
        "crash",
        "{SubmitState.REFUSED, SubmitState.ABANDONED}\n    if not (is_left",
        "{SubmitState.REFUSED, SubmitState.UNKNOWN}\n    if not (is_left",
    ),
    "begin: no fence": (
        "something else",
        "attempt=record.attempt + 1,  # whoever",
        "# ",
    ),
    "begin: open attempts asked for something else": (
        "something else",
        "if record.open and record.fingerprint != step.fingerprint:",
        "if False:",
    ),
    "start: in any state": (
        "list and resubmit",
        "record.state is not expected or record.attempt != step.attempt",
        "record.attempt != step.attempt",
    ),
    "start: any attempt": (
        "resubmit",
        "record.state is not expected or record.attempt != step.attempt",
        "record.state is not expected",
    ),
    "start: not written before the first byte": (
        "crash",
        "state=SubmitState.SENDING,",
        "state=SubmitState.INTENT,",
    ),
    "start: not open": (
        "crash",
        "open=(*record.open, Attempt(number, facts.now)),",
        "",
    ),
    "start: forgets older attempts": (
        "resubmit",
        "open=(*record.open, Attempt(number, facts.now)),",
        "open=(Attempt(number, facts.now),),",
    ),
    "start: no new number": ("resubmit", "attempt=number,", ""),
    "start: nobody's": (
        "crash",
        "open=(*record.open, Attempt(number, facts.now)),\n            worker=facts.me,",
        "open=(*record.open, Attempt(number, facts.now)),\n            worker=None,",
    ),
    "accept: only from the sender": (
        "crash",
        "    sent = [one",
        "    if not _is_sending(record, step.attempt):\n        return _lost(record)\n    sent = [one",
    ),
    "accept: drops a second job": (
        "list and resubmit",
        "return _accept_extra(receipt.at, record, step, facts)",
        "return Verdict(record)",
    ),
    "accept: drops a second result": (
        "at once",
        "is_same = not sent if step.job_id is None else",
        "is_same = step.job_id is None or",
    ),
    "accept: overwrites the job": (
        "list and resubmit",
        "if not is_same:",
        "if False:",
    ),
    "accept: begins again": (
        "callback",
        "        if record.state is not SubmitState.ACCEPTED or step.result is None:\n            return Verdict(record)\n",
        "",
    ),
    "accept: held by who is told": (
        "callback",
        "worker=None if facts.is_idle(record) else record.worker",
        "worker=facts.me",
    ),
    "refuse: another one's attempt": (
        "late answer",
        "return record.state is SubmitState.SENDING and record.attempt == attempt",
        "return record.state is SubmitState.SENDING",
    ),
    "refuse: whatever is open": ("abandon", "if not after.open:", "if True:"),
    "refuse: never": ("refusal", "if not after.open:", "if False:"),
    "refuse: in any state": (
        "abandon",
        "if not was_open or not (_is_sending(record, attempt) or is_undecided):",
        "if not was_open:",
    ),
    "refuse: only while sending": (
        "late answer",
        "(_is_sending(record, attempt) or is_undecided)",
        "_is_sending(record, attempt)",
    ),
    "not sent: always goes on": (
        "submit again",
        "if not (step.goes_on and was_mine):",
        "if not was_mine:",
    ),
    "lose: of the living": (
        "crash",
        "may_say = step.is_sender or facts.is_idle(record)",
        "may_say = True",
    ),
    "lose: only by the sender": (
        "crash",
        "may_say = step.is_sender or facts.is_idle(record)",
        "may_say = step.is_sender",
    ),
    "lose: another one's attempt": (
        "late answer",
        "if not may_say or not _is_sending(record, step.attempt):",
        "if not may_say or record.state is not SubmitState.SENDING:",
    ),
    "lose: in any state": (
        "crash",
        "if not may_say or not _is_sending(record, step.attempt):",
        "if not may_say:",
    ),
    "withdraw: open attempts are not charged": (
        "withdraw",
        "    if record.open:\n",
        "    if False:\n",
    ),
    "bind: any state": (
        "list and resubmit",
        "    if record.state is not SubmitState.UNKNOWN or record.attempt != step.attempt:\n        return _lost(record)\n    if facts.holder",
        "    if facts.holder",
    ),
    "bind: what belongs to another": (
        "list",
        "    if facts.holder is not None:\n        return _lost(record, Loss.BOUND)\n",
        "",
    ),
    "bind: what may be another's": (
        "list",
        "if step.is_rival is not None and any(map(step.is_rival, facts.others)):",
        "if False:",
    ),
    "bind: closes the first attempt": (
        "list and resubmit",
        "open=record.open if len(record.open) > 1 else (),",
        "open=record.open[1:],",
    ),
    "abandon: another attempt": (
        "late decision",
        "    if record.state is not SubmitState.UNKNOWN or record.attempt != step.attempt:\n        return _lost(record)\n    return",
        "    if record.state is not SubmitState.UNKNOWN:\n        return _lost(record)\n    return",
    ),
    "abandon: in any state": (
        "abandon",
        "    if record.state is not SubmitState.UNKNOWN or record.attempt != step.attempt:\n        return _lost(record)\n    return",
        "    if record.attempt != step.attempt:\n        return _lost(record)\n    return",
    ),
    "abandon: forgets the attempts": (
        "abandon",
        "state=SubmitState.ABANDONED,",
        "state=SubmitState.ABANDONED, open=(),",
    ),
    "end: counts as delivered": (
        "crash",
        "state=SubmitState.ENDED,\n            result",
        "state=SubmitState.DELIVERED,\n            result",
    ),
    "end: in any state": (
        "delivery twice",
        "if record.state is not SubmitState.ACCEPTED:",
        "if False:",
    ),
    "take: from the living": (
        "crash",
        "is_left = record.state is SubmitState.DELIVERING and facts.is_idle(record)",
        "is_left = record.state is SubmitState.DELIVERING",
    ),
    "take: no new number": (
        "delivery",
        "state=SubmitState.DELIVERING,\n            attempt=record.attempt + 1,",
        "state=SubmitState.DELIVERING,",
    ),
    "return: another one's": (
        "delivery",
        "if record.state is not SubmitState.DELIVERING or record.attempt != step.attempt:",
        "if record.state is not SubmitState.DELIVERING:",
    ),
    "return: keeps its process": (
        "left delivery",
        "attrs.evolve(record, state=SubmitState.ENDED, worker=None)",
        "attrs.evolve(record, state=SubmitState.ENDED)",
    ),
    "claim: from nobody": (
        "crash",
        "is_free = facts.is_idle(record)",
        "is_free = False",
    ),
    "claim: from the living": (
        "crash",
        "is_free = facts.is_idle(record)",
        "is_free = True",
    ),
    "claim: not what is delivered": (
        "crash",
        "{SubmitState.ACCEPTED, SubmitState.ENDED, SubmitState.DELIVERING}",
        "{SubmitState.ACCEPTED, SubmitState.ENDED}",
    ),
}

RIVALS = {
    "abandoned ones": lambda record: record.state is not SubmitState.ABANDONED,
    "bound ones": lambda record: record.state not in WITH_JOB,
}
"""What a store must not leave out of the rivals."""


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant(mutant):
    """Each change of the rule breaks a promise, and the explorer finds it."""
    name, guard, change = MUTANTS[mutant]
    source = inspect.getsource(rules)

    assert source.count(guard) == 1

    changed = ModuleType("changed")
    exec(source.replace(guard, change), changed.__dict__)
    found = Explorer(CONFIGURATIONS[name][0], changed.apply).explore(40_000)

    assert found.violation is not None


@pytest.mark.parametrize(
    ("left_out", "bounds"),
    [
        ("abandoned ones", CONFIGURATIONS["list and abandon"][0]),
        (
            "bound ones",
            Bounds(
                TWO_SUBMITS,
                {"lost": 3, "resubmit": 1},
                keyed=False,
                listing="content",
            ),
        ),
    ],
)
def test_left_out_rivals(left_out, bounds):
    """A store that leaves out rivals lets a job go to the wrong submit."""
    found = Explorer(bounds, is_listed_rival=RIVALS[left_out]).explore(200_000)

    assert found.violation.endswith("belongs to b")
