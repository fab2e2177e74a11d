"""What the calls of a client share in one event loop, and how they read.

A call flows ``client → submits → dialect builds a Call → retry → transport → the Call's
parser decides → journal → poller → result``. Each step is a plain function over an
`Engine`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TypeVar

import attrs

from personakit.errors import (
    JournalError,
    PersonaKitError,
    WaitTimeout,
)
from personakit.http.messages import Call, with_clock
from personakit.http.retry import attempt_call, repeat
from personakit.http.transport import Transport
from personakit.jobs.fetch import BatchSupport, StatusFetcher
from personakit.jobs.step_writer import StepWriter
from personakit.journal import Account, Journal
from personakit.journal.steps import Deliver, End
from personakit.models import Listed, Persona, Result, Snapshot
from personakit.polling.durations import DurationStats
from personakit.polling.poller import Poller
from personakit.providers.base import Provider, unsupported
from personakit.ratelimit.limiter import RateLimiter
from personakit.receipt import Ability, Receipt
from personakit.validation import check_timeout

T = TypeVar("T")

GRACE = 5.0
"""Seconds that closing a client waits for the answers to paid requests under way."""
VERDICT_TIME = 0.05
"""Seconds after its deadline in which a paid request may still say that it was not
sent. Promised is an overshoot of at most 0.1 s."""

RECALL_TIME = 5.0
"""Seconds for what the journal knows of a job, which the service tells as well."""
JOURNAL_TIME = 60.0
"""Seconds for reading or changing the journal, where the caller gives none."""

_log = logging.getLogger("personakit")


@attrs.frozen
class Engine:
    """What the calls of one client need in one event loop.

    Attributes:
        provider: The dialect.
        account: Whose submits, jobs and personas these are.
        transport: Sends.
        poller: Reads until the end.
        journal: Remembers; shared by all loops of the client.
        writer: Writes to the journal what happened to submits, until it is written.
        starts: Lets paid requests pass as the account's limit allows.
        reads: The same for everything else but downloads.
        duration_stats: What jobs have taken so far; shared by all loops of the client.
        address: Returns where the service shall report on an attempt of a submit, None
            for nowhere.
        fetchers: Of the jobs, by what they make and the model that makes it.
        batch_support: Whether the service tells of many jobs at once.
        sendings: Paid requests under way. They belong to the client: a caller who is
            cancelled stops waiting, but does not tear the request.
    """

    provider: Provider
    account: Account
    transport: Transport
    poller: Poller
    journal: Journal
    writer: StepWriter
    starts: RateLimiter
    reads: RateLimiter
    address: Callable[[Receipt, int], str | None]
    duration_stats: DurationStats = attrs.field(factory=DurationStats)
    fetchers: dict[tuple[Ability, str | None], StatusFetcher] = attrs.field(
        factory=dict[tuple[Ability, "str | None"], StatusFetcher], init=False
    )
    batch_support: BatchSupport = attrs.field(factory=BatchSupport, init=False)
    sendings: set[asyncio.Task[Any]] = attrs.field(
        factory=set[asyncio.Task[Any]], init=False
    )

    async def remember(self, persona: Persona) -> None:
        """Keep a persona in the registry, if the journal can be written."""
        try:
            await self.journal.remember(self.account, persona)
        except JournalError as error:
            _log.error("Persona %s is not in the registry: %s", persona.id, error)

    def deliver_soon(self, key: str) -> None:
        """Write down that a result was delivered, once its caller has gone on with it.

        The caller is the running task. If it is cancelled before the next turn of the
        loop, the result counts as not delivered.
        """
        task = asyncio.current_task()
        cancels = 0 if task is None else task.cancelling()

        def deliver() -> None:
            if task is None or task.cancelling() <= cancels:
                self.writer.put(Deliver(key))

        asyncio.get_running_loop().call_soon(deliver)

    async def aclose(self) -> None:
        """Let paid requests under way finish for a moment, then close everything."""
        if self.sendings:
            await asyncio.wait(self.sendings, timeout=GRACE)
        for task in tuple(self.sendings):
            task.cancel()
        await asyncio.gather(*self.sendings, return_exceptions=True)
        await self.writer.aclose(GRACE)
        await self.poller.aclose()  # its readings give their places back
        await self.starts.aclose()
        await self.reads.aclose()
        await self.transport.aclose()


_limit: ContextVar[float] = ContextVar("personakit_deadline", default=math.inf)


def deadline_in(timeout: float) -> float:
    """Turn seconds from now into a loop time, no later than that of `hold_deadline`.

    The result may be in the past; then `repeat` makes no attempt.

    Raises:
        InvalidRequest: not a positive number.
    """
    now = asyncio.get_running_loop().time()
    return min(now + check_timeout(timeout), _limit.get())


@contextmanager
def hold_deadline(timeout: float) -> Generator[None]:
    """Bound every call in this block by one deadline, that many seconds from now."""
    token = _limit.set(deadline_in(timeout))
    try:
        yield
    finally:
        _limit.reset(token)


def check_ability(provider: Provider, ability: Ability) -> None:
    """Refuse what the service does not offer.

    Raises:
        Unsupported: always then, and before any network use.
    """
    if ability not in provider.abilities:
        raise unsupported(provider.name, ability)


async def call_once(engine: Engine, call: Call[T], *, deadline: float) -> T:
    """Make one read when the account's limit has room for it.

    Args:
        engine: Of the running loop.
        call: The read.
        deadline: Loop time; ``math.inf`` for no deadline.

    Raises:
        RateLimited: the limit leaves no room before the deadline.
        PersonaKitError: the call failed.
    """
    await engine.reads.acquire(deadline)
    with engine.reads:
        return await attempt_call(engine.transport, call, deadline=deadline)


def make_fetcher(engine: Engine, receipt: Receipt, model: str | None) -> StatusFetcher:
    """Return what reads jobs like this one; one for all of a kind.

    Args:
        engine: Of the running loop.
        receipt: Of one of them.
        model: That makes them, None where it is not known.
    """
    provider, ability = engine.provider, receipt.kind
    name = (ability, model)
    if name not in engine.fetchers:
        is_supported = ability in provider.callbacks.kinds
        engine.fetchers[name] = StatusFetcher(
            kind=" ".join(filter(None, (provider.name, ability, model))),
            ability=ability,
            expects_callback=is_supported and engine.address(receipt, 0) is not None,
            provider=provider,
            sender=engine.transport,
            batch_support=engine.batch_support,
        )
    return engine.fetchers[name]


def find_age(receipt: Receipt) -> float:
    """Return the seconds since the paid request was sent, by the wall clock."""
    return max((datetime.now(UTC) - receipt.at).total_seconds(), 0.0)


def as_job_error(
    error: PersonaKitError, receipt: Receipt, provider: Provider
) -> PersonaKitError:
    """Return what ended a wait, for one of those who await the job.

    The job was accepted, so the error counts as charged, and is not safe to answer by
    a new submit.
    """
    return attrs.evolve(
        error,
        charged="yes",
        retry_safe=False,
        receipt=receipt,
        provider=provider.name,
    )


async def in_time(work: Awaitable[T], deadline: float) -> T:
    """Await something of the journal, for a caller who has a deadline.

    Args:
        work: What to await.
        deadline: Loop time; ``math.inf`` for no deadline.

    Raises:
        JournalError: the journal failed, or did not answer before the deadline.
    """
    try:
        async with asyncio.timeout_at(None if deadline == math.inf else deadline):
            return await work
    except TimeoutError:
        raise JournalError(
            "The journal did not answer before the deadline.", retry_safe=True
        ) from None


async def load_durations(engine: Engine, deadline: float) -> None:
    """Take from the journal, once, what jobs have taken before."""
    if engine.duration_stats.is_loaded:
        return
    engine.duration_stats.is_loaded = True
    until = min(deadline, asyncio.get_running_loop().time() + RECALL_TIME)
    with suppress(JournalError):  # they only save requests
        engine.duration_stats.load(await in_time(engine.journal.durations(), until))


async def close_job(engine: Engine, receipt: Receipt, final: Snapshot[Result]) -> None:
    """Write down how a job ended, and the persona that it made.

    It is durable when this returns, or kept in memory until it is.
    """
    await engine.writer.write(End(receipt.key, final.result, final.failure))
    if isinstance(final.result, Persona):
        await engine.remember(final.result)
    if durations := engine.duration_stats.take_unwritten():
        with suppress(JournalError):  # they only save requests
            await engine.journal.note(durations)


async def call_with_retry(
    engine: Engine,
    ability: Ability,
    build: Callable[[], Call[T]],
    *,
    deadline: float,
) -> T:
    """Make a read, and retry it until the deadline.

    Args:
        engine: Of the running loop.
        ability: The ability of the service that the read needs.
        build: Builds the request; not called if the service lacks the ability.
        deadline: Loop time; ``math.inf`` for no deadline.

    Raises:
        Unsupported: the service lacks the ability.
        PersonaKitError: the service refused, or there was no answer in time.
    """
    check_ability(engine.provider, ability)
    call = build()
    try:
        return await repeat(
            lambda: call_once(engine, call, deadline=deadline), deadline=deadline
        )
    except PersonaKitError as error:
        error.provider = engine.provider.name
        raise


def wait_timeout(
    receipt: Receipt,
    latest: Snapshot[Any] | None,
    error: PersonaKitError | None = None,
) -> WaitTimeout:
    """Make the error for a deadline that came before the end of the job.

    Args:
        receipt: Of the job.
        latest: The last reading, None if there was none.
        error: Why the last poll failed, None if it succeeded; chain it with ``from``.
    """
    strange = latest is not None and not latest.is_known_state
    state = "not read yet" if latest is None else latest.service_state
    failure = "" if error is None else f" The last poll failed: {error.message}"
    return WaitTimeout(
        f"The deadline came before the end of job {receipt.job_id}, last seen "
        f"{'in the unknown state ' if strange else ''}{state}. It runs on: await it "
        f"again, or attach to its receipt later.{failure}",
        receipt=receipt,
        provider=receipt.provider,
        unknown_state=state if strange else None,
    )


async def read_listed(
    engine: Engine, page: int, deadline: float
) -> tuple[tuple[Listed, ...], float | None]:
    """Read a page of the service's list of jobs.

    Returns:
        The lines, and the seconds by which the service's clock is ahead of ours, None
        if it does not tell.
    """
    return await call_with_retry(
        engine,
        Ability.JOBS,
        lambda: with_clock(engine.provider.build_jobs(page)),
        deadline=deadline,
    )
