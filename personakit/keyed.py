"""Submits under a key of the caller's: whoever comes again takes up what there is.

A process that died and was started anew, a queue that delivers a task twice, two
machines with the same work: all of them lead to one paid request, because the journal
lets only one of them send.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import abstractmethod
from typing import Any, TypeVar

from personakit.errors import OutcomeUnknown, PersonaKitError, refuse
from personakit.job import Job
from personakit.journal import Entry, Mark
from personakit.models import Snapshot
from personakit.receipt import Receipt
from personakit.recovery import Recovery
from personakit.requests import JobRequest
from personakit.submits import Contended, submit
from personakit.workflows import Engine

T = TypeVar("T")

LOOK_AGAIN = 0.5
"""Seconds after which is looked again at what another call or process sends."""

KEY_LENGTH = 250
"""Characters of a caller's own key at the most."""

_UNSENT = {Mark.INTENT, Mark.SENDING}


class Keyed(Recovery):
    """What `PersonaKit` does for submits that may come twice."""

    @abstractmethod
    def _job(
        self,
        receipt: Receipt,
        snapshot: Snapshot[Any] | None,
        request: JobRequest[Any] | None = None,
        key: str | None = None,
    ) -> Job[Any]:
        """Make the handle of a job."""

    async def submit(
        self,
        request: JobRequest[T],
        *,
        key: str | None = None,
        timeout: float | None = None,
    ) -> Job[T]:
        """Start a job with exactly one paid request, and do not wait for it.

        Args:
            request: Any of `PersonaRequest`, `MusicRequest` and their like.
            key: Any text that stands for this wish and no other, an order number say.
                Submitted again under it, in this process or in any that shares the
                journal, the first job is taken up and nothing is paid. What was
                refused gets another chance. The journal keeps it: `Job.key` tells
                after a restart whose job it is. None submits in any case.
            timeout: Seconds up to which "too many requests" and unreachable services
                are answered by another attempt; None for the client's own.

        Raises:
            InvalidRequest: a rule is broken, or the key stands for another request;
                nothing was sent.
            OutcomeUnknown: the answer to the paid request is lost, now or when it was
                first submitted under the key.
            PersonaKitError: the service refused, or was never reached.
        """
        deadline = self.deadline_in(timeout)
        if key is None:
            return await self._submit(request, deadline)
        return await self._submit_once(
            request, _check_key(key), deadline=deadline, is_own=True
        )

    async def run(
        self, request: JobRequest[T], *, deadline: float, key: str | None = None
    ) -> T:
        """Submit a request and wait for its result.

        Args:
            request: What is wanted.
            deadline: Loop time.
            key: Under which it is submitted once, whatever it is; None for none.
        """
        if key is None:
            job = await self._submit(request, deadline)
        else:
            job = await self._submit_once(request, key, deadline=deadline)
        return await job.result_by(deadline)

    async def _submit_once(
        self,
        request: JobRequest[T],
        key: str,
        *,
        deadline: float,
        is_own: bool = False,
    ) -> Job[T]:
        """Submit a request, or take up what was submitted under the same key.

        What was refused, or given up, gets another chance.

        Args:
            request: What is wanted.
            key: Any text that stands for this wish and no other.
            deadline: Loop time.
            is_own: True where the caller chose the key: the journal keeps it then, and
                it must not have stood for another request.

        Raises:
            InvalidRequest: it has.
            OutcomeUnknown: it was sent before, and its answer is lost.
        """
        engine = await self._here()
        while True:
            name, entry = await self._find_latest(key)
            if entry is not None and is_own:
                _compare(entry, request)
            if entry is not None and _is_on_its_way(engine, entry):
                await _wait_for(entry, deadline)
                continue
            if entry is not None and await self._has_moved(entry):
                continue
            if entry is not None and entry.mark is not Mark.INTENT:
                await engine.journal.claim(self.provider, keys=[name])
                return await self._go_on(entry)
            try:
                wish = key if is_own else None
                return await self._submit(request, deadline, key=name, wish=wish)
            except Contended:
                continue

    async def _submit(
        self,
        request: JobRequest[T],
        deadline: float,
        *,
        key: str | None = None,
        wish: str | None = None,
    ) -> Job[T]:
        engine = await self._here()
        receipt, snapshot = await submit(
            engine, request, deadline=deadline, key=key, wish=wish
        )
        return self._job(receipt, snapshot, request, wish)

    async def _has_moved(self, entry: Entry) -> bool:
        """Tell whether a sending has ended while it was being looked up."""
        if entry.mark is not Mark.SENDING:
            return False
        latest = await (await self._here()).journal.find(entry.receipt.key)
        return latest is not None and latest.mark is not Mark.SENDING

    async def _find_latest(self, key: str) -> tuple[str, Entry | None]:
        """Return the receipt's key of the attempt that counts, and its entry."""
        journal = (await self._here()).journal
        attempt = 0
        while True:
            text = "\0".join((self.provider, key, str(attempt)))
            name = hashlib.sha256(text.encode()).hexdigest()[:32]
            entry = await journal.find(name)
            if entry is None or not _is_void(entry):
                return name, entry
            attempt += 1

    async def _go_on(self, entry: Entry) -> Job[Any]:
        if entry.receipt.job_id is not None or entry.result is not None:
            return self._take_up(entry)
        job = await self.reconcile(entry.receipt)
        if job is not None:
            return job
        raise OutcomeUnknown(
            "This was submitted before, and its answer is lost.",
            receipt=entry.receipt,
            provider=self.provider,
        )


def _is_on_its_way(engine: Engine, entry: Entry) -> bool:
    """Tell whether somebody who is alive submits this just now."""
    is_elsewhere = entry.is_held and entry.mark in _UNSENT
    return is_elsewhere or engine.is_sending(entry.receipt.key)


def _check_key(key: str) -> str:
    """Refuse what no journal can keep."""
    if not (0 < len(key) <= KEY_LENGTH and key.isprintable()):
        raise refuse(
            "key", f"must have 1 to {KEY_LENGTH} printable characters", "Change it"
        )
    return key


def _compare(entry: Entry, request: JobRequest[Any]) -> None:
    """Refuse a key that was used for something else."""
    is_other = entry.request is not None and entry.request != request
    if is_other or entry.receipt.kind is not request.ability:
        raise refuse(
            "key", "must stand for one request, and had another", "Use a new one"
        )


async def _wait_for(entry: Entry, deadline: float) -> None:
    if asyncio.get_running_loop().time() + LOOK_AGAIN > deadline:
        raise PersonaKitError(
            "This is being submitted just now, by another call or process.",
            receipt=entry.receipt,
            provider=entry.receipt.provider,
            retry_safe=True,
        )
    await asyncio.sleep(LOOK_AGAIN)


def _is_void(entry: Entry) -> bool:
    """Tell whether a submit has ended without any job."""
    has_job = entry.receipt.job_id is not None or entry.result is not None
    return entry.mark is Mark.CLOSED and not has_job
