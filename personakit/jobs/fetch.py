"""How the jobs of one engine are read: singly, or many in one request."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs

from personakit.errors import PersonaKitError, RateLimited
from personakit.http.messages import Sender
from personakit.http.retry import attempt_call, fetch
from personakit.models import Result, Snapshot
from personakit.polling.polled_job import PolledJob
from personakit.providers.base import Provider
from personakit.receipt import Ability

MISSES = 2
"""Times that joint readings may be found worse than single ones, one after another."""
_NO_SUCH_WAY = {400, 404, 405}


@attrs.define
class BatchSupport:
    """Whether a service tells of many jobs at once; found out by trying.

    Attributes:
        is_off: True once it has shown that it does not.
        is_doubted: True when the last attempt brought nothing.
        misses: How often in a row that was not for the service being down, or was not
            worth the request.
    """

    is_off: bool = False
    is_doubted: bool = False
    misses: int = 0

    def record_miss(self) -> None:
        """Count an attempt for which single readings would have done better."""
        self.is_doubted = False
        self.misses += 1
        self.is_off = self.misses >= MISSES

    def succeed(self) -> None:
        """Forget what was held against it."""
        self.is_doubted, self.misses = False, 0


@attrs.frozen
class StatusFetcher:
    """Reads jobs of one kind.

    Attributes:
        kind: By which durations are compared.
        ability: What the jobs were submitted for.
        expects_callback: True where the service was asked to report on such jobs.
        provider: The dialect.
        sender: Sends.
        batch_support: Whether the service tells of many jobs at once.
    """

    kind: str
    ability: Ability
    expects_callback: bool
    provider: Provider
    sender: Sender
    batch_support: BatchSupport

    @property
    def at_once(self) -> int:
        """Jobs of which one reading may tell; 1 where each needs its own."""
        joint = self.provider.joint
        return 1 if joint is None or self.batch_support.is_off else joint.at_once

    async def poll(self, job: PolledJob) -> Snapshot[Result]:
        """Read a job once; an answer as the last one gives the very same snapshot.

        Raises:
            PersonaKitError: what the answer, or the lack of one, means.
        """
        # Built anew each time: a dialect may have learned how it wants to be asked.
        call = self.provider.build_read(job.job_id, self.ability)
        response = await fetch(self.sender, call.request, deadline=math.inf)
        fingerprint = hash((response.status, response.body))
        snapshot = job.snapshot
        if snapshot is None or job.fingerprint != fingerprint:
            snapshot = call.parse(response)
            job.fingerprint = fingerprint
        if self.batch_support.is_doubted:
            self.batch_support.record_miss()
        return snapshot

    async def poll_many(self, job_ids: Sequence[str]) -> Mapping[str, Snapshot[Result]]:
        """Read jobs together; those that are missing want a reading of their own.

        That a service cannot do it is no error: nothing is told then, and it is not
        asked again.

        Raises:
            PersonaKitError: the service cannot be asked just now.
        """
        joint = self.provider.joint
        if joint is None:
            return {}
        call = joint.build(job_ids, self.ability)
        try:
            told = await attempt_call(self.sender, call, deadline=math.inf)
        except PersonaKitError as error:
            if error.status not in _NO_SUCH_WAY and error.retry_safe:
                self.batch_support.is_doubted = not isinstance(error, RateLimited)
                raise
            self.batch_support.is_off = True
            return {}
        if sum(job_id in told for job_id in job_ids) > 1:
            self.batch_support.succeed()
        else:
            self.batch_support.record_miss()
        return told
