"""The one rule by which a step changes a record.

A store runs each step in one transaction: it reads the record, calls `apply`, and
writes what `apply` returns. All stores share this pure function, so they decide a race
in the same way, and the loser is told. `tests/unit/journal/test_rules.py` explores it
with several processes that crash, freeze and lose answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import attrs

from personakit.journal.record import WITH_JOB, Attempt, SubmitRecord, SubmitState
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
    Step,
    Take,
    Verdict,
    Withdraw,
)
from personakit.receipt import Receipt

_DELIVERABLE = frozenset(
    {SubmitState.ACCEPTED, SubmitState.ENDED, SubmitState.DELIVERING}
)


def apply(record: SubmitRecord | None, step: Step, facts: Facts) -> Verdict:
    """Return what a step makes of a record; it changes nothing itself.

    Args:
        record: As it stands, None if there is none.
        step: What happened or is wanted.
        facts: What else the rule depends on.
    """
    if record is None:
        verdict = _apply_to_nothing(step, facts)
    else:
        verdict = _RULES[type(step)](record, step, facts)
    return Verdict(facts.see(verdict.record), verdict.loss, facts.see(verdict.extra))


def _apply_to_nothing(step: Step, facts: Facts) -> Verdict:
    if isinstance(step, Begin):
        return Verdict(
            SubmitRecord(
                step.receipt,
                facts.account,
                SubmitState.INTENT,
                worker=facts.me,
                caller_key=step.caller_key,
                fingerprint=step.fingerprint,
                made_at=facts.now,
                request=step.request,
            )
        )
    if isinstance(step, Accept) and step.receipt is not None:
        blank = SubmitRecord(
            step.receipt, facts.account, SubmitState.UNKNOWN, made_at=facts.now
        )
        return _accept(blank, step, facts)
    return Verdict(None, Loss.MISSING)


def _lost(record: SubmitRecord, loss: Loss = Loss.MOVED) -> Verdict:
    return Verdict(record, loss)


def _close(record: SubmitRecord, attempt: int) -> tuple[Attempt, ...]:
    """Return the open attempts without one of them."""
    return tuple(one for one in record.open if one.number != attempt)


def _begin(record: SubmitRecord, step: Begin, facts: Facts) -> Verdict:
    is_left = record.state is SubmitState.INTENT and facts.is_idle(record)
    is_free = record.state in {SubmitState.REFUSED, SubmitState.ABANDONED}
    if not (is_left or is_free):
        return _lost(record)
    if record.open and record.fingerprint != step.fingerprint:
        # What the lost attempts asked for must stay known, or their jobs would be
        # taken for those of other submits.
        return _lost(record)
    return Verdict(
        attrs.evolve(
            record,
            receipt=attrs.evolve(record.receipt, kind=step.receipt.kind),
            state=SubmitState.INTENT,
            attempt=record.attempt + 1,  # whoever wanted to send before comes too late
            worker=facts.me,
            fingerprint=step.fingerprint,
            request=step.request,
            ended_at=None,
        )
    )


def _start(record: SubmitRecord, step: Start, facts: Facts) -> Verdict:
    expected = SubmitState.UNKNOWN if step.after_unknown else SubmitState.INTENT
    if record.state is not expected or record.attempt != step.attempt:
        return _lost(record)
    if record.worker != facts.me and not facts.is_idle(record):
        return _lost(record)
    number = record.attempt + 1
    return Verdict(
        attrs.evolve(
            record,
            receipt=attrs.evolve(record.receipt, at=_whole(facts.now)),
            state=SubmitState.SENDING,
            attempt=number,
            open=(*record.open, Attempt(number, facts.now)),
            worker=facts.me,
        )
    )


def _whole(moment: datetime) -> datetime:
    """Return a moment in whole seconds, as receipts hold it."""
    return moment.replace(microsecond=0)


def _accept(record: SubmitRecord, step: Accept, facts: Facts) -> Verdict:
    if step.by_callback and facts.holder not in {None, record.key}:
        return _lost(record, Loss.BOUND)
    sent = [one.sent_at for one in record.open if one.number == step.attempt]
    record = attrs.evolve(record, open=_close(record, step.attempt))
    receipt = record.receipt
    if sent:
        receipt = attrs.evolve(receipt, at=_whole(sent[0]))
    if record.state in WITH_JOB:
        # Without an id, what an open attempt made is not what is known already.
        is_same = not sent if step.job_id is None else step.job_id == receipt.job_id
        if not is_same:
            return _accept_extra(receipt.at, record, step, facts)
        if record.state is not SubmitState.ACCEPTED or step.result is None:
            return Verdict(record)
    return Verdict(_with_job(receipt, record, step, facts))


def _accept_extra(
    at: datetime, record: SubmitRecord, step: Accept, facts: Facts
) -> Verdict:
    """Keep a second job of one submit in a record of its own, which is nobody's yet."""
    if facts.holder is not None:  # it was written down before
        return Verdict(record)
    extra = attrs.evolve(
        record,
        receipt=Receipt(record.receipt.provider, record.receipt.kind, at=at),
        attempt=step.attempt,
        open=(),
        worker=None,
        caller_key=None,
        extra_of=record.key,
        is_shared=False,
        made_at=facts.now,
        ended_at=None,
        delivered_at=None,
        result=None,
        failure=None,
    )
    return Verdict(record, extra=_with_job(extra.receipt, extra, step, facts))


def _with_job(
    receipt: Receipt, record: SubmitRecord, step: Accept, facts: Facts
) -> SubmitRecord:
    has_result = step.result is not None
    job_id = step.job_id or receipt.job_id
    is_known = job_id is not None and job_id == record.receipt.job_id
    is_shared = facts.holder not in {None, record.key}
    return attrs.evolve(
        record,
        receipt=receipt.with_job(job_id),
        state=SubmitState.ENDED if has_result else SubmitState.ACCEPTED,
        # A callback's receiver does not work on it, so `resume` is left to anybody.
        worker=None if facts.is_idle(record) else record.worker,
        is_shared=record.is_shared if is_known else is_shared,
        result=step.result,
        ended_at=facts.now if has_result else None,
    )


def _refuse(record: SubmitRecord, step: Refuse, facts: Facts) -> Verdict:
    return Verdict(_without(record, step.attempt, facts))


def _not_sent(record: SubmitRecord, step: NotSent, facts: Facts) -> Verdict:
    was_mine = _is_sending(record, step.attempt)
    after = _without(record, step.attempt, facts)
    if not (step.goes_on and was_mine):
        return Verdict(after)
    return Verdict(
        attrs.evolve(after, state=SubmitState.INTENT, worker=facts.me, ended_at=None)
    )


def _is_sending(record: SubmitRecord, attempt: int) -> bool:
    return record.state is SubmitState.SENDING and record.attempt == attempt


def _without(record: SubmitRecord, attempt: int, facts: Facts) -> SubmitRecord:
    """Return a record of which one attempt is known not to have been charged."""
    was_open = record.awaits(attempt)
    after = attrs.evolve(record, open=_close(record, attempt))
    is_undecided = record.state in {SubmitState.UNKNOWN, SubmitState.ABANDONED}
    if not was_open or not (_is_sending(record, attempt) or is_undecided):
        return after
    if not after.open:
        return attrs.evolve(
            after, state=SubmitState.REFUSED, worker=None, ended_at=facts.now
        )
    if record.state is SubmitState.ABANDONED:
        return after
    return attrs.evolve(after, state=SubmitState.UNKNOWN, worker=None)


def _lose(record: SubmitRecord, step: Lose, facts: Facts) -> Verdict:
    may_say = step.is_sender or facts.is_idle(record)
    if not may_say or not _is_sending(record, step.attempt):
        return _lost(record)
    return Verdict(attrs.evolve(record, state=SubmitState.UNKNOWN, worker=None))


def _withdraw(record: SubmitRecord, step: Withdraw, facts: Facts) -> Verdict:
    if record.state is not SubmitState.INTENT or record.attempt != step.attempt:
        return _lost(record)
    if record.worker != facts.me and not facts.is_idle(record):
        return _lost(record)
    if record.open:
        return Verdict(attrs.evolve(record, state=SubmitState.UNKNOWN, worker=None))
    if step.is_kept:
        return Verdict(attrs.evolve(record, worker=None))
    return Verdict(
        attrs.evolve(
            record,
            state=SubmitState.REFUSED,
            worker=None,
            ended_at=facts.now,
        )
    )


def _bind(record: SubmitRecord, step: Bind, facts: Facts) -> Verdict:
    if record.state is not SubmitState.UNKNOWN or record.attempt != step.attempt:
        return _lost(record)
    if facts.holder is not None:
        return _lost(record, Loss.BOUND)
    if step.is_rival is not None and any(map(step.is_rival, facts.others)):
        return _lost(record, Loss.RIVAL)
    return Verdict(
        attrs.evolve(
            record,
            receipt=record.receipt.with_job(step.job_id),
            state=SubmitState.ACCEPTED,
            # Of several attempts nobody knows which one became the job. All stay open:
            # an answer may still come to each, and its job is not another submit's.
            open=record.open if len(record.open) > 1 else (),
            worker=facts.me,
        )
    )


def _abandon(record: SubmitRecord, step: Abandon, facts: Facts) -> Verdict:
    if record.state is not SubmitState.UNKNOWN or record.attempt != step.attempt:
        return _lost(record)
    return Verdict(
        attrs.evolve(
            record,
            state=SubmitState.ABANDONED,
            worker=None,
            ended_at=facts.now,
        )
    )


def _end(record: SubmitRecord, step: End, facts: Facts) -> Verdict:
    if record.state is not SubmitState.ACCEPTED:
        return _lost(record)
    return Verdict(
        attrs.evolve(
            record,
            state=SubmitState.ENDED,
            result=step.result,
            failure=step.failure,
            ended_at=facts.now,
        )
    )


def _take(record: SubmitRecord, _: Take, facts: Facts) -> Verdict:
    is_left = record.state is SubmitState.DELIVERING and facts.is_idle(record)
    if record.state is not SubmitState.ENDED and not is_left:
        return _lost(record)
    return Verdict(
        attrs.evolve(
            record,
            state=SubmitState.DELIVERING,
            attempt=record.attempt + 1,
            worker=facts.me,
        )
    )


def _deliver(record: SubmitRecord, step: Deliver, facts: Facts) -> Verdict:
    is_mine = record.state is SubmitState.DELIVERING and record.attempt == step.attempt
    is_returned = record.state is SubmitState.ENDED and step.attempt is None
    if not (is_mine or is_returned):
        return _lost(record)
    return Verdict(
        attrs.evolve(
            record,
            state=SubmitState.DELIVERED,
            worker=None,
            delivered_at=facts.now,
        )
    )


def _return(record: SubmitRecord, step: Return, _: Facts) -> Verdict:
    if record.state is not SubmitState.DELIVERING or record.attempt != step.attempt:
        return _lost(record)
    return Verdict(attrs.evolve(record, state=SubmitState.ENDED, worker=None))


def _claim(record: SubmitRecord, _: Claim, facts: Facts) -> Verdict:
    is_free = facts.is_idle(record)
    is_mine = record.worker == facts.me and record.state is not SubmitState.DELIVERING
    if record.state not in _DELIVERABLE or not (is_free or is_mine):
        return _lost(record)
    if record.state is SubmitState.DELIVERING:  # the attempt fences its dead owner off
        record = attrs.evolve(
            record, state=SubmitState.ENDED, attempt=record.attempt + 1
        )
    return Verdict(attrs.evolve(record, worker=facts.me))


_RULES: Mapping[type[Step], Callable[..., Verdict]] = {
    Begin: _begin,
    Start: _start,
    Accept: _accept,
    Refuse: _refuse,
    NotSent: _not_sent,
    Lose: _lose,
    Withdraw: _withdraw,
    Bind: _bind,
    Abandon: _abandon,
    End: _end,
    Take: _take,
    Deliver: _deliver,
    Return: _return,
    Claim: _claim,
}
