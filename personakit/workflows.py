"""What the calls of a client share in one event loop, and how they read.

A call flows ``client → submits → dialect builds a Call → retry → transport → the Call's
parser decides → journal → poller → result``. Each step is a plain function over an
`Engine`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TypeVar

import attrs

from personakit.checks import number_or_none
from personakit.errors import (
    JournalError,
    OutcomeUnknown,
    PersonaKitError,
    WaitTimeout,
    refuse,
)
from personakit.history import History
from personakit.journal import Entry, Journal, Mark
from personakit.lanes import Lane
from personakit.models import Persona, Result, Snapshot
from personakit.poller import Poller
from personakit.providers.base import Provider, unsupported
from personakit.readers import JobReader, Together
from personakit.receipt import Ability, Receipt
from personakit.retry import attempt_call, repeat
from personakit.transport import Transport
from personakit.wire import Call

T = TypeVar("T")

GRACE = 5.0
"""Seconds that closing a client waits for the answers to paid requests under way."""

_log = logging.getLogger("personakit")


def _nowhere(_: Receipt) -> None:
    """Be the address of clients that want no reports."""


@attrs.frozen
class Engine:
    """What the calls of one client need in one event loop.

    Attributes:
        provider: The dialect.
        transport: Sends.
        poller: Reads until the end.
        journal: Remembers; shared by all loops of the client.
        starts: Lets paid requests pass as the account's limit allows.
        reads: The same for everything else but downloads.
        history: What jobs have taken so far; shared by all loops of the client.
        address: Where the service shall report on a submit, None for nowhere.
        readers: Of the jobs, by what they make and the model that makes it.
        together: Whether the service tells of many jobs at once.
        sendings: Paid requests under way, with their keys. They belong to the client: a
            caller who is cancelled stops waiting, but does not tear the request.
    """

    provider: Provider
    transport: Transport
    poller: Poller
    journal: Journal
    starts: Lane
    reads: Lane
    address: Callable[[Receipt], str | None] = _nowhere
    history: History = attrs.field(factory=History)
    readers: dict[tuple[Ability, str | None], JobReader] = attrs.field(
        factory=dict[tuple[Ability, "str | None"], JobReader], init=False
    )
    together: Together = attrs.field(factory=Together, init=False)
    sendings: dict[asyncio.Task[Any], str] = attrs.field(
        factory=dict[asyncio.Task[Any], str], init=False
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
        self.sendings[task] = receipt.key
        task.add_done_callback(self.sendings.pop)
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

    def is_sending(self, key: str) -> bool:
        """Tell whether a paid request with that key is under way."""
        return key in self.sendings.values()

    async def aclose(self) -> None:
        """Let paid requests under way finish for a moment, then close everything."""
        if self.sendings:
            await asyncio.wait(self.sendings, timeout=GRACE)
        for task in tuple(self.sendings):
            task.cancel()
        await asyncio.gather(*self.sendings, return_exceptions=True)
        await self.poller.aclose()  # its readings give their places back
        await self.starts.aclose()
        await self.reads.aclose()
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


_limit: ContextVar[float] = ContextVar("personakit_deadline", default=math.inf)


def deadline_in(timeout: float) -> float:
    """Turn seconds from now into loop time, no later than `hold_deadline` says.

    Raises:
        InvalidRequest: not a positive number.
    """
    now = asyncio.get_running_loop().time()
    return min(now + check_timeout(timeout), _limit.get())


@contextmanager
def hold_deadline(timeout: float) -> Generator[None]:
    """Let no call in this block last longer than to that many seconds from now."""
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


async def look(engine: Engine, call: Call[T], within: float) -> T:
    """Read something once, when the account's limit has room for it.

    Raises:
        RateLimited: there is no room in time.
        PersonaKitError: what the answer, or the lack of one, means.
    """
    until = asyncio.get_running_loop().time() + within
    await engine.reads.enter(within)
    with engine.reads:
        left = until - asyncio.get_running_loop().time()
        return await attempt_call(engine.transport, call, left)


def make_reader(engine: Engine, receipt: Receipt, model: str | None) -> JobReader:
    """Return what reads jobs like this one; one for all of a kind.

    Args:
        engine: Of the running loop.
        receipt: Of one of them.
        model: That makes them, None where it is not known.
    """
    provider, ability = engine.provider, receipt.kind
    name = (ability, model)
    if name not in engine.readers:
        is_reported = ability in provider.reports.kinds
        engine.readers[name] = JobReader(
            kind=" ".join(filter(None, (provider.name, ability, model))),
            ability=ability,
            expects_reports=is_reported and engine.address(receipt) is not None,
            provider=provider,
            sender=engine.transport,
            together=engine.together,
        )
    return engine.readers[name]


def find_age(receipt: Receipt) -> float:
    """Return the seconds since a submit."""
    return max((datetime.now(UTC) - receipt.at).total_seconds(), 0.0)


def explain(
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


async def recall_durations(engine: Engine) -> None:
    """Take from the journal, once, what jobs have taken before."""
    if engine.history.is_loaded:
        return
    engine.history.is_loaded = True
    with suppress(JournalError):  # they only save requests
        engine.history.load(await engine.journal.durations())


async def conclude(
    engine: Engine, receipt: Receipt, snapshot: Snapshot[Result]
) -> None:
    """Write down that the end of a job has been seen, and the persona that it made."""
    try:
        if isinstance(snapshot.result, Persona):
            await engine.journal.remember(snapshot.result)
        await engine.journal.record(Entry(receipt, Mark.CLOSED))
        if durations := engine.history.take_unwritten():
            await engine.journal.note(durations)
    except JournalError as error:
        _log.error("The end of job %s is not written down: %s", receipt.job_id, error)


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
        return await look(engine, call, within)

    try:
        return await repeat(attempt, deadline=deadline)
    except PersonaKitError as error:
        error.provider = engine.provider.name
        raise


def time_out(receipt: Receipt, latest: Snapshot[Any] | None) -> WaitTimeout:
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
