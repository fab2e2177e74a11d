"""Tasks for Procrastinate: paid jobs on any number of workers and machines.

Procrastinate keeps its queue in PostgreSQL, as the journal may. It delivers a task at
least once: a worker that dies has its tasks given to another. The journal makes that
harmless, because each task has a key under which it pays once.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeAlias, TypeVar, cast

import attrs
from procrastinate import App, JobContext, RetryDecision
from procrastinate.job_context import AbortReason
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy
from procrastinate.tasks import Task

from personakit.client import PersonaKit
from personakit.errors import (
    AlreadyDelivered,
    JournalError,
    PersonaKitError,
    ServiceUnavailable,
    WaitTimeout,
    invalid,
)
from personakit.models import Result, Track, TrackRef, VocalWindow
from personakit.operations import SungPersona
from personakit.per_loop import PerLoop
from personakit.receipt import JOB_KINDS, Ability
from personakit.requests import JobRequest, PersonaRequest, SongRequest
from personakit.serialization import dump, load_request

T = TypeVar("T")

LEASE = 10.0
"""Seconds after which a worker that does not show itself counts as dead."""
GRACE = 5.0
"""Seconds that a worker which is told to stop gives its tasks, before others go on."""
LONGEST_PAUSE = 300
"""Seconds between two attempts at the most."""
ATTEMPTS = 30
"""Attempts after which a task ends with its last error."""

_PASSING = (JournalError, ServiceUnavailable, WaitTimeout)
_SING = "sing"

_log = logging.getLogger("personakit")


@attrs.frozen
class Delivery(Generic[T]):
    """What became of a task.

    Attributes:
        key: Under which it was deferred.
        result: What it made, None where it made nothing.
        error: Why it made nothing, None where it did; with its ``receipt``.
    """

    key: str
    result: T | None = None
    error: PersonaKitError | None = None


Deliver: TypeAlias = Callable[[Delivery[Result | SungPersona]], Awaitable[object]]


class Again(Exception):
    """A task has not come to its end; it is to be run again."""


class _DeliveryFailed(Exception):
    """The function that delivers has raised.

    Attributes:
        error: What it raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


@attrs.frozen
class _Later(BaseRetryStrategy):
    """Runs a task again, at once where a worker stops, else after longer and longer."""

    def get_retry_decision(
        self, *, exception: BaseException, job: Job
    ) -> RetryDecision | None:
        if isinstance(exception, Again) and exception.__cause__ is None:
            return RetryDecision(retry_in={"seconds": 0})  # however often it moves
        if job.attempts >= ATTEMPTS or not isinstance(exception, Exception):
            return None
        pause = min(2 ** min(job.attempts, 16), LONGEST_PAUSE)
        return RetryDecision(retry_in={"seconds": pause})


class PersonaTasks:
    """Ready tasks of an application: `submit` and `sing` from anywhere, run by workers.

    Needs the extra ``procrastinate``. Make one in the module of the application that
    its workers import. The tasks are named ``personakit:music``, ``personakit:persona``
    and so on, and ``personakit:sing``; their arguments are the request and its key,
    never a secret.

    Args:
        app: Of Procrastinate.
        open_kit: Makes the client of a worker. Its journal must be one that all workers
            share, so a database; else a task that moves to another worker may pay anew.
        deliver: Is called on the worker with what became of each task, at least once,
            and once more only if it raised or its worker died meanwhile.
    """

    def __init__(
        self, app: App, open_kit: Callable[[], PersonaKit], deliver: Deliver
    ) -> None:
        self._app, self._deliver = app, deliver
        self._kits = PerLoop(open_kit, PersonaKit.aclose)
        register: Callable[..., Task[..., Any, ...]] = app.task
        self._tasks = {
            name: register(
                self._run,
                name=f"personakit:{name}",
                retry=_Later(),
                pass_context=True,
            )
            for name in (*sorted(JOB_KINDS), _SING)
        }

    async def submit(self, request: JobRequest[Any], *, key: str, **more: Any) -> int:
        """Have a request submitted and waited for, by whichever worker has time.

        Args:
            request: What is wanted. No file can be sent along: upload it before.
            key: Any text that stands for this wish and no other, an order number say.
            **more: For Procrastinate: ``queue``, ``priority``, ``schedule_at``,
                ``lock`` and so on.

        Returns:
            Procrastinate's number of the task.

        Raises:
            InvalidRequest: the request cannot be sent along; nothing is deferred.
        """
        text = dump(request)
        if text is None:
            raise invalid("request", "must not hold a file", "Upload it before")
        return await self._defer(request.ability, key, json.loads(text), more)

    async def sing(
        self,
        song: SongRequest,
        *,
        voice_of: Track | TrackRef,
        name: str,
        description: str,
        key: str,
        window: VocalWindow | None = None,
        style: str | None = None,
        **more: Any,
    ) -> int:
        """Have a persona made of a track's voice, and sing; see `PersonaKit.sing`.

        What is delivered is a `SungPersona`. Each step is paid for once, on whichever
        worker it happens.

        Args:
            song: What to sing.
            voice_of: The track.
            name: What to call the persona.
            description: What the voice sounds like.
            key: As for `submit`.
            window: The part to learn from, None for the service's choice.
            style: A style label of the persona, None for none.
            **more: For Procrastinate.
        """
        wanted = PersonaRequest(
            voice_of, name=name, description=description, window=window, style=style
        )
        request = {
            "song": json.loads(dump(song) or ""),
            "kind": song.ability,
            "voice": json.loads(dump(wanted) or ""),
        }
        return await self._defer(_SING, key, request, more)

    async def run_worker(self, *, lease: float = LEASE, **options: Any) -> None:
        """Run a worker that also rescues the tasks of workers that died.

        Args:
            lease: Seconds after which a worker that does not show itself counts as
                dead; the same on all workers.
            **options: Of ``App.run_worker_async``, ``concurrency`` for example.
        """
        usual: dict[str, Any] = {
            "concurrency": 100,
            "shutdown_graceful_timeout": GRACE,
            "update_heartbeat_interval": lease / 4,
            "stalled_worker_timeout": lease * 3,
        }
        rescuing = asyncio.create_task(self._rescue_all(lease))
        try:
            await self._app.run_worker_async(**{**usual, **options})
        finally:
            rescuing.cancel()
            await asyncio.gather(rescuing, return_exceptions=True)
            await self._kits.aclose()

    async def rescue(self, *, lease: float = LEASE) -> int:
        """Give the tasks of dead workers to others, and return how many there were.

        `run_worker` does it now and then. Whoever starts workers otherwise calls it
        from a periodic task.
        """
        manager = self._app.job_manager
        stalled = [*await manager.get_stalled_jobs(seconds_since_heartbeat=lease)]
        for job in stalled:
            await manager.retry_job(job)
        return len(stalled)

    async def _rescue_all(self, lease: float) -> None:
        while True:
            await asyncio.sleep(lease / 4)
            try:
                if count := await self.rescue(lease=lease):
                    _log.warning("%d tasks of dead workers are run again", count)
            except Exception:  # the database may be away, and come back
                _log.exception("The tasks of dead workers cannot be looked up just now")

    async def _defer(
        self, task: str, key: str, request: Any, more: dict[str, Any]
    ) -> int:
        deferrer = self._tasks[task].configure(**more)
        return await deferrer.defer_async(key=key, request=request)

    async def _run(
        self, context: JobContext, *, key: str, request: dict[str, Any]
    ) -> None:
        task = context.job.task_name.removeprefix("personakit:")
        try:
            await self._work(task, key, request)
        except asyncio.CancelledError:
            if context.abort_reason() is AbortReason.SHUTDOWN:
                raise Again from None  # another worker goes on
            raise
        except _DeliveryFailed as failed:
            raise failed.error from None
        except AlreadyDelivered:
            return  # by a worker that died before it could say so
        except PersonaKitError as error:
            is_passing = error.retry_safe or isinstance(error, _PASSING)
            if is_passing and context.job.attempts < ATTEMPTS:
                raise Again(str(error)) from error
            await self._deliver(Delivery(key, error=error))

    async def _work(self, task: str, key: str, request: dict[str, Any]) -> None:
        """Submit, wait and deliver."""
        kit = await self._kits.here()
        if task != _SING:
            job = await kit.submit(_load(Ability(task), request), key=key)
            async with job.deliver() as result:
                await self._deliver_result(key, result)
            return
        voice = cast("PersonaRequest", _load(Ability.PERSONA, request["voice"]))
        song = cast("SongRequest", _load(Ability(request["kind"]), request["song"]))
        made = await kit.sing(
            song,
            voice_of=voice.source,
            name=voice.name,
            description=voice.description,
            window=voice.window,
            style=voice.style,
            key=key,
        )
        await self._deliver_result(key, made)

    async def _deliver_result(self, key: str, result: Result | SungPersona) -> None:
        """Deliver, and tell an error of the delivery from those of the job."""
        try:
            await self._deliver(Delivery(key, result))
        except Exception as error:
            raise _DeliveryFailed(error) from error


def _load(kind: Ability, told: Any) -> JobRequest[Any]:
    request = load_request(kind, json.dumps(told))
    if request is None:
        raise invalid(
            "request",
            "must be one that this version of the worker knows",
            "Run the same version everywhere, and defer it anew",
        )
    return request
