"""The delivery of a result: by one block at a time, and acknowledged at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from personakit.errors import AlreadyDelivered
from personakit.jobs.engine import Engine, in_time, wait_timeout
from personakit.journal import SubmitState
from personakit.journal.steps import Deliver, Return, Take, Verdict
from personakit.receipt import Receipt

LOOK_AGAIN = 0.5
"""Seconds between two looks at a result that another block delivers."""

_log = logging.getLogger("personakit")


@asynccontextmanager
async def deliver(
    engine: Engine, receipt: Receipt, result: object, deadline: float
) -> AsyncGenerator[None]:
    """Hold the only delivery of a result for the block, and write down how it ended.

    Args:
        engine: Of the running loop.
        receipt: Of the job, which has ended.
        result: What the job made, for the error.
        deadline: Loop time until which another block is waited for.

    Raises:
        AlreadyDelivered: another block or caller has delivered it.
        WaitTimeout: another block still delivers it at the deadline.
        JournalError: the journal cannot be used; the block does not run.
    """
    attempt = await _take(engine, receipt, result, deadline)
    try:
        yield
    except BaseException:
        if attempt is not None:
            await engine.writer.write(Return(receipt.key, attempt))
        raise
    if attempt is not None:
        verdict = await engine.writer.write(Deliver(receipt.key, attempt))
        if verdict is not None and not verdict.is_won:
            _log.warning(
                "The block that delivered job %s took longer than the lease of its "
                "process: the result may be delivered twice",
                receipt.job_id,
            )


async def _take(
    engine: Engine, receipt: Receipt, result: object, deadline: float
) -> int | None:
    """Return the number of this delivery, None if the journal lacks the job."""
    loop = asyncio.get_running_loop()
    while True:
        step = Take(receipt.key)
        taking = loop.create_task(engine.journal.apply(engine.account, step))
        try:
            verdict = await in_time(asyncio.shield(taking), deadline)
        except BaseException:  # it may be written all the same
            taking.add_done_callback(partial(_give_back, engine))
            raise
        if verdict.record is None:
            return None
        if verdict.is_won:
            return verdict.record.attempt
        if verdict.record.state is SubmitState.DELIVERED:
            raise AlreadyDelivered(
                f"The result of job {receipt.job_id} was delivered before.",
                receipt=receipt,
                provider=receipt.provider,
                result=result,
            )
        if loop.time() + LOOK_AGAIN >= deadline:
            raise wait_timeout(receipt, verdict.record.snapshot)
        await asyncio.sleep(LOOK_AGAIN)


def _give_back(engine: Engine, taking: asyncio.Task[Verdict]) -> None:
    """Return a delivery that was taken after its caller had left."""
    if taking.cancelled() or taking.exception() is not None:
        return
    verdict = taking.result()
    if verdict.is_won and verdict.record is not None:
        record = verdict.record
        engine.writer.put(Return(record.key, record.attempt))
