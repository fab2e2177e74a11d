"""How a call flows: intent to the journal, one POST, readings until the end.

``client → workflows → dialect builds a Call → retry → transport → the Call's parser
decides → journal → poller → result``. Each step is a plain function over an `Engine`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, TypeVar

import attrs

from personakit.checks import number_or_none
from personakit.errors import OutcomeUnknown, PersonaKitError, WaitTimeout, refuse
from personakit.journal import Journal, Mark
from personakit.models import Result, Snapshot
from personakit.poller import Poller
from personakit.providers.base import Provider, unsupported
from personakit.receipt import Ability, Receipt
from personakit.requests import JobRequest
from personakit.retry import attempt_call, repeat
from personakit.transport import Transport
from personakit.wire import Call

T = TypeVar("T")

GRACE = 5.0
"""Seconds that closing a client waits for the answers to paid requests under way."""

_log = logging.getLogger("personakit")


@attrs.frozen
class Engine:
    """What the calls of one client need in one event loop.

    Attributes:
        provider: The dialect.
        transport: Sends.
        poller: Reads until the end.
        journal: Remembers; shared by all loops of the client.
        callback_url: Where the service shall report, None for nowhere.
        sendings: Paid requests under way. They belong to the client: a caller who is
            cancelled stops waiting, but does not tear the request.
    """

    provider: Provider
    transport: Transport
    poller: Poller
    journal: Journal
    callback_url: str | None = None
    sendings: set[asyncio.Task[Any]] = attrs.field(
        factory=set[asyncio.Task[Any]], init=False
    )

    async def own(
        self, sending: Coroutine[Any, Any, T], receipt: Receipt, within: float
    ) -> T:
        """Await a paid request that goes on even if this caller does not.

        Args:
            sending: The request.
            receipt: Its trace, for errors.
            within: Seconds that the caller has; may be infinite.

        Raises:
            OutcomeUnknown: the client was closed, or the time was up, before the
                answer came.
        """
        task = asyncio.get_running_loop().create_task(sending)
        self.sendings.add(task)
        task.add_done_callback(self.sendings.discard)
        try:
            async with asyncio.timeout(None if within == math.inf else within):
                return await asyncio.shield(task)
        except TimeoutError:
            task.add_done_callback(_report_orphan)
            raise _lose("The deadline came", receipt) from None
        except asyncio.CancelledError:
            task.add_done_callback(_report_orphan)
            if task.cancelled() and not _is_cancelled():
                raise _lose("The client was closed", receipt) from None
            raise

    async def aclose(self) -> None:
        """Let paid requests under way finish for a moment, then close everything."""
        if self.sendings:
            await asyncio.wait(self.sendings, timeout=GRACE)
        for task in tuple(self.sendings):
            task.cancel()
        await asyncio.gather(*self.sendings, return_exceptions=True)
        await self.poller.aclose()
        await self.transport.aclose()


def _lose(event: str, receipt: Receipt) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{event} while a paid request was under way. As long as the client is open, "
        "its answer still goes to the journal, and resume() tells.",
        receipt=receipt,
        provider=receipt.provider,
    )


def _is_cancelled() -> bool:
    """Tell whether the running task itself is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _report_orphan(task: asyncio.Task[Any]) -> None:
    """Tell the log what became of a request whose caller is gone."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("A request whose caller was cancelled ended so: %s", error)


def check_timeout(timeout: float) -> float:
    """Return the seconds as they are.

    Raises:
        InvalidRequest: not a positive number.
    """
    if timeout != math.inf and (number_or_none(timeout) or 0) <= 0:
        raise refuse(
            "timeout",
            "must be a positive number of seconds, or math.inf for no limit",
            "Change it, or omit it for the usual one",
        )
    return timeout


def deadline_in(timeout: float) -> float:
    """Turn seconds from now into loop time; see `check_timeout`."""
    return asyncio.get_running_loop().time() + check_timeout(timeout)


def check_ability(provider: Provider, ability: Ability) -> None:
    """Refuse what the service does not offer.

    Raises:
        Unsupported: always then, and before any network use.
    """
    if ability not in provider.abilities:
        raise unsupported(provider.name, ability)


async def submit(
    engine: Engine, request: JobRequest[Any], *, deadline: float
) -> tuple[Receipt, Snapshot[Result]]:
    """Start a job: exactly one paid request that counts.

    Args:
        engine: Of the running loop.
        request: What is wanted.
        deadline: Loop time up to which refusals may be answered by another attempt.

    Returns:
        The receipt with its job id, and the first snapshot; it is final where the
        service answers with the result itself.

    Raises:
        InvalidRequest: a rule is broken; nothing was sent.
        OutcomeUnknown: the answer to the paid request is lost.
        PersonaKitError: the service refused, or was never reached.
    """
    check_ability(engine.provider, request.ability)
    call = engine.provider.build_submit(request, callback_url=engine.callback_url)
    receipt = Receipt(engine.provider.name, request.ability)

    async def attempt(within: float) -> Snapshot[Result]:
        return await engine.own(_send_paid(engine, call, receipt), receipt, within)

    snapshot = await repeat(attempt, deadline=deadline)
    return attrs.evolve(receipt, job_id=snapshot.job_id or None), snapshot


async def _send_paid(
    engine: Engine, call: Call[Snapshot[Result]], receipt: Receipt
) -> Snapshot[Result]:
    """Send once, and leave in the journal whatever came of it.

    The caller's deadline does not tear it: what was paid for is worth its answer.
    """
    await engine.journal.record(receipt, Mark.SENDING)
    try:
        snapshot = await attempt_call(engine.transport, call, math.inf)
    except PersonaKitError as error:
        is_lost = isinstance(error, OutcomeUnknown)
        await engine.journal.record(receipt, Mark.UNKNOWN if is_lost else Mark.CLOSED)
        error.receipt = receipt
        error.provider = engine.provider.name
        raise
    accepted = attrs.evolve(receipt, job_id=snapshot.job_id or None)
    await engine.journal.record(accepted, Mark.ACCEPTED)
    return snapshot


async def follow(
    engine: Engine,
    receipt: Receipt,
    *,
    latest: Snapshot[Result] | None,
    every: float = 0.0,
) -> AsyncGenerator[Snapshot[Result], None]:
    """Yield a job's snapshots up to the final one, and close its receipt then.

    Args:
        engine: Of the running loop.
        receipt: With a job id.
        latest: The last known reading, None for none.
        every: Least seconds between two snapshots.

    Raises:
        PersonaKitError: further readings are pointless. The job was accepted, so the
            error counts as charged, and is not safe to answer by a new submit.
    """
    job_id = receipt.job_id or ""

    async def read() -> Snapshot[Result]:
        # Built anew each time: a dialect may have learned how it wants to be asked.
        call = engine.provider.build_read(job_id, receipt.kind)
        return await attempt_call(engine.transport, call, math.inf)

    age = max((datetime.now(UTC) - receipt.at).total_seconds(), 0.0)
    snapshots = engine.poller.follow(job_id, read, latest=latest, age=age, every=every)
    try:
        async with aclosing(snapshots):
            async for snapshot in snapshots:
                if snapshot.state.is_final:
                    await engine.journal.record(receipt, Mark.CLOSED)
                yield snapshot
    except PersonaKitError as error:
        # A copy for each who awaits the job: they share the poller's own.
        raise attrs.evolve(
            error,
            charged="yes",
            retry_safe=False,
            receipt=receipt,
            provider=engine.provider.name,
        ) from None


async def ask(
    engine: Engine,
    ability: Ability,
    build: Callable[[], Call[T]],
    *,
    deadline: float,
) -> T:
    """Read something, repeating through weather up to the deadline.

    Args:
        engine: Of the running loop.
        ability: What the service must offer for it.
        build: Builds the request; called only where the service offers it.
        deadline: Loop time.

    Raises:
        Unsupported: the service does not offer it.
        PersonaKitError: it refused, or was not reached in time.
    """
    check_ability(engine.provider, ability)
    call = build()

    async def attempt(within: float) -> T:
        return await attempt_call(engine.transport, call, within)

    try:
        return await repeat(attempt, deadline=deadline)
    except PersonaKitError as error:
        error.provider = engine.provider.name
        raise


def time_out(receipt: Receipt, latest: Snapshot[Result] | None) -> WaitTimeout:
    """Make the error for a deadline that came before the end of the job."""
    strange = latest is not None and not latest.is_known_state
    state = "not read yet" if latest is None else latest.service_state
    return WaitTimeout(
        f"The deadline came before the end of job {receipt.job_id}, last seen "
        f"{'in the unknown state ' if strange else ''}{state}. It runs on: await it "
        "again, or attach to its receipt later.",
        receipt=receipt,
        provider=receipt.provider,
        unknown_state=state if strange else None,
    )
