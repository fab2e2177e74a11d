"""Which job of the service's list a lost submit became.

The list is read first, and the job is bound afterwards in one step: what the list shows
was sent before, so its record had an open attempt then, and has one still or is bound.
So the rule sees every rival.
"""

from __future__ import annotations

from functools import partial

import attrs

from personakit.errors import PersonaKitError
from personakit.jobs.engine import Engine, call_with_retry, in_time, read_listed
from personakit.jobs.matching import CLOCK_SKEW, could_be, fits, fits_result
from personakit.journal import SubmitRecord, SubmitState
from personakit.journal.steps import Bind
from personakit.models import Listed, Result, Snapshot
from personakit.receipt import Ability, Receipt

PAGES = 20
"""Pages of the service's list that are looked through at most."""


async def read_once(
    engine: Engine, receipt: Receipt, deadline: float
) -> Snapshot[Result]:
    """Read the job of a receipt once, to see that the service knows it.

    Raises:
        NotFound: it does not.
        InvalidRequest: this can be no job of it.
        PersonaKitError: it cannot be asked now.
    """
    build = partial(engine.provider.build_read, receipt.job_id or "", receipt.kind)
    return await call_with_retry(engine, receipt.kind, build, deadline=deadline)


@attrs.frozen
class _Candidate:
    """A job of the service's list that may be the one of a lost submit.

    Attributes:
        line: Of the list.
        result: What the job made, None if it has not ended.
        clock: Seconds by which the service's clock is ahead, None if not known.
    """

    line: Listed
    result: Result | None
    clock: float | None

    def fits(self, record: SubmitRecord) -> bool | None:
        """Compare with a record: True if told texts agree, None if nothing is told."""
        sent_at = [attempt.sent_at for attempt in record.open]
        if not could_be(record.receipt.kind, sent_at, self.line, self.clock):
            return False
        told = {
            fits(record.request, self.line),
            fits_result(record.request, self.result),
        }
        return False if False in told else (True if True in told else None)


async def reconcile(
    engine: Engine,
    record: SubmitRecord,
    deadline: float,
    *,
    by_time_alone: bool = False,
) -> SubmitRecord:
    """Bind the one job of the service's list that a submit can have become.

    Args:
        engine: Of the running loop.
        record: In any state; only UNKNOWN is looked for.
        deadline: Loop time.
        by_time_alone: True to bind a job of which the service tells no text.

    Returns:
        The record as it stands then.
    """
    can_list = Ability.JOBS in engine.provider.abilities
    if record.state is not SubmitState.UNKNOWN or not can_list:
        return record
    candidates = [
        candidate
        for candidate in await _list_candidates(engine, record, deadline)
        if candidate.fits(record) is not False
    ]
    if len(candidates) != 1:
        return record
    [only] = candidates
    if only.fits(record) is None and not by_time_alone:
        return record

    def is_rival(other: SubmitRecord) -> bool:
        return only.fits(other) is not False

    step = Bind(record.key, record.attempt, only.line.snapshot.job_id, is_rival)
    binding = engine.journal.apply(engine.account, step)
    verdict = await in_time(binding, deadline)
    return verdict.record or record


async def _list_candidates(
    engine: Engine, record: SubmitRecord, deadline: float
) -> list[_Candidate]:
    """Return the jobs of the list that fit in time and belong to no record."""
    sent_at = [attempt.sent_at for attempt in record.open]
    earliest = min(sent_at, default=record.receipt.at) - CLOCK_SKEW
    found: dict[str, _Candidate] = {}
    for page in range(1, PAGES + 1):
        lines, clock = await read_listed(engine, page, deadline)
        for line in lines:
            if could_be(record.receipt.kind, sent_at, line, clock):
                found[line.snapshot.job_id] = _Candidate(line, None, clock)
        times = [line.created_at for line in lines if line.created_at is not None]
        if not lines or (times and min(times) < earliest):
            break
    else:
        # Without its end the list cannot show that a match is the only one.
        raise PersonaKitError("The service's list is too long to find the job in it.")
    looking = engine.journal.known_jobs(engine.account, found)
    known = await in_time(looking, deadline)
    unclaimed = [found[job_id] for job_id in found.keys() - known]
    return [await _read_candidate(engine, one, record, deadline) for one in unclaimed]


async def _read_candidate(
    engine: Engine, candidate: _Candidate, record: SubmitRecord, deadline: float
) -> _Candidate:
    """Read what a finished job of the list made, since lists tell no texts."""
    if not candidate.line.snapshot.state.is_final:
        return candidate
    receipt = record.receipt.with_job(candidate.line.snapshot.job_id)
    snapshot = await read_once(engine, receipt, deadline)
    return attrs.evolve(candidate, result=snapshot.result)
