"""What tests ask of journals."""

from __future__ import annotations

import uuid
from typing import Any

import attrs

from personakit import PersonaKit
from personakit.journal import Journal, MemoryJournal, SubmitState
from personakit.journal.steps import (
    Abandon,
    Accept,
    Begin,
    Lose,
    Start,
    Step,
    Withdraw,
)
from personakit.receipt import Receipt
from personakit.requests import JobRequest
from personakit.serialization import make_fingerprint


async def open_states(
    of: PersonaKit | Journal,
) -> tuple[tuple[Receipt, SubmitState], ...]:
    """Return what is not settled in the journal of a client, oldest first."""
    journal = of
    if isinstance(of, PersonaKit):
        journal = of._journal
        await (await of._here()).writer.flush()
    return tuple(
        (record.receipt, record.state) for record in await journal.unsettled(None)
    )


def restart(kit: PersonaKit) -> None:
    """Let what a client's journal in memory holds belong to a process that died."""
    journal = kit._journal
    assert isinstance(journal, MemoryJournal)
    journal.worker = uuid.uuid4().hex
    for key, record in journal._records.items():
        journal._records[key] = attrs.evolve(record, is_held=False)


async def put(
    of: PersonaKit,
    state: SubmitState,
    request: JobRequest[Any],
    *,
    caller_key: str | None = None,
    job_id: str = "task-unified-1",
    by: Journal | None = None,
) -> Receipt:
    """Bring a submit to a state, step by step, and return its receipt.

    Args:
        of: The client whose account it belongs to.
        state: Where to stop.
        request: What was asked for.
        caller_key: The caller's own key, None if not set.
        job_id: Of the job, where the state has one.
        by: The journal of another process that does it; None for the client's own.
    """
    journal, account = by or of._journal, (await of._here()).account
    receipt = Receipt(of.provider, request.ability)
    key = receipt.key
    begin = Begin(receipt, caller_key, request, make_fingerprint(request))
    way: dict[SubmitState, tuple[Step, ...]] = {
        SubmitState.INTENT: (begin,),
        SubmitState.REFUSED: (begin, Withdraw(key, 0)),
        SubmitState.SENDING: (begin, Start(key, 0)),
        SubmitState.UNKNOWN: (begin, Start(key, 0), Lose(key, 1)),
        SubmitState.ABANDONED: (begin, Start(key, 0), Lose(key, 1), Abandon(key, 1)),
        SubmitState.ACCEPTED: (begin, Start(key, 0), Accept(key, 1, job_id)),
    }
    verdict = None
    for step in way[state]:
        verdict = await journal.apply(account, step)
        assert verdict.is_won
    assert verdict is not None
    assert verdict.record is not None
    return verdict.record.receipt
