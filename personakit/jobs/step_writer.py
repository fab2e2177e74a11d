"""Writes down what happened to a paid submit, and keeps it until it is written.

What a service answered must not be forgotten because a journal is away for a moment: a
step that cannot be written is kept in memory and written again, in its order, until the
journal takes it or the client is closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress

from personakit.errors import JournalError
from personakit.journal import Account, Journal
from personakit.journal.steps import Step, Verdict

FIRST_PAUSE = 0.2
"""Seconds before a step is written again, doubled for each further time."""
LONGEST_PAUSE = 10.0
"""Seconds between two tries at most."""

_log = logging.getLogger("personakit")


class StepWriter:
    """Writes the steps of one account in one event loop.

    Args:
        journal: To write to.
        account: Whose steps they are.
    """

    def __init__(self, journal: Journal, account: Account) -> None:
        self._journal, self._account = journal, account
        self._late: dict[str, deque[Step]] = {}
        self._writing: set[asyncio.Task[Verdict | None]] = set()
        self._writing_late: set[asyncio.Task[None]] = set()

    async def write(self, step: Step) -> Verdict | None:
        """Write a step; return None if it is written later.

        Cancelling the call does not cancel the step.
        """
        if step.key not in self._late:
            try:
                return await self._journal.apply(self._account, step)
            except JournalError as error:
                _log.error("%s is not written yet: %s", _describe(step), error)
                self._keep(step)
                return None
            except asyncio.CancelledError:
                self._keep(step)  # taking it twice does no harm
                raise
        self._keep(step)
        return None

    def put(self, step: Step) -> None:
        """Write a step in the background."""
        task = asyncio.get_running_loop().create_task(self.write(step))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def flush(self) -> None:
        """Wait until what was put was written, or is kept for later."""
        await asyncio.sleep(0)  # what ends in this turn of the loop is put first
        if self._writing:
            await asyncio.wait(self._writing)

    def _keep(self, step: Step) -> None:
        if step.key in self._late:
            self._late[step.key].append(step)
            return
        self._late[step.key] = deque([step])
        task = asyncio.get_running_loop().create_task(self._write_late(step.key))
        self._writing_late.add(task)
        task.add_done_callback(self._writing_late.discard)

    async def _write_late(self, key: str) -> None:
        """Write the steps of one record that are kept, until none is left."""
        steps, pause = self._late[key], FIRST_PAUSE
        while steps:
            try:
                await self._journal.apply(self._account, steps[0])
            except JournalError:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                steps.popleft()
        del self._late[key]

    async def aclose(self, grace: float) -> None:
        """Wait for what is not written yet, then report what still is not.

        Args:
            grace: Seconds.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.flush()
                await asyncio.gather(*self._writing_late, return_exceptions=True)
        # A call that is cancelled keeps its step, which begins another task.
        while left := (*self._writing, *self._writing_late):
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        for steps in self._late.values():
            for step in steps:
                _log.error("%s was never written", _describe(step))
        self._late.clear()


def _describe(step: Step) -> str:
    job = getattr(step, "job_id", None)
    name = type(step).__name__.lower()
    return f"The step {name} of {step.key}" + (f", job {job}," if job else "")
