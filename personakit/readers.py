"""How the jobs of one engine are read: singly, or many in one request."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs

from personakit.errors import PersonaKitError, RateLimited
from personakit.models import Result, Snapshot
from personakit.providers.base import Provider
from personakit.receipt import Ability
from personakit.retry import attempt_call, fetch
from personakit.watch import Watch
from personakit.wire import Sender

STRIKES = 2
"""Times that joint readings may be found worse than single ones, one after another."""
_NO_SUCH_WAY = {400, 404, 405}


@attrs.define
class Together:
    """Whether a service tells of many jobs at once; found out by trying.

    Attributes:
        is_off: True once it has shown that it does not.
        is_doubted: True when the last attempt brought nothing.
        strikes: How often in a row that was not for the service being down, or was not
            worth the request.
    """

    is_off: bool = False
    is_doubted: bool = False
    strikes: int = 0

    def strike(self) -> None:
        """Count an attempt for which single readings would have done better."""
        self.is_doubted = False
        self.strikes += 1
        self.is_off = self.strikes >= STRIKES

    def succeed(self) -> None:
        """Forget what was held against it."""
        self.is_doubted, self.strikes = False, 0


@attrs.frozen
class JobReader:
    """Reads jobs of one kind.

    Attributes:
        kind: By which durations are compared.
        ability: What the jobs were submitted for.
        expects_reports: True where the service was asked to report on such jobs.
        provider: The dialect.
        sender: Sends.
        together: Whether the service tells of many jobs at once.
    """

    kind: str
    ability: Ability
    expects_reports: bool
    provider: Provider
    sender: Sender
    together: Together

    @property
    def at_once(self) -> int:
        """Jobs of which one reading may tell; 1 where each needs its own."""
        joint = self.provider.joint
        return 1 if joint is None or self.together.is_off else joint.at_once

    async def read(self, watch: Watch) -> Snapshot[Result]:
        """Read a job once; an answer as the last one gives the very same snapshot.

        Raises:
            PersonaKitError: what the answer, or the lack of one, means.
        """
        # Built anew each time: a dialect may have learned how it wants to be asked.
        call = self.provider.build_read(watch.job_id, self.ability)
        response = await fetch(self.sender, call.request, deadline=math.inf)
        fingerprint = hash((response.status, response.body))
        snapshot = watch.snapshot
        if snapshot is None or watch.fingerprint != fingerprint:
            snapshot = call.parse(response)
            watch.fingerprint = fingerprint
        if self.together.is_doubted:
            self.together.strike()
        return snapshot

    async def read_many(self, job_ids: Sequence[str]) -> Mapping[str, Snapshot[Result]]:
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
                self.together.is_doubted = not isinstance(error, RateLimited)
                raise
            self.together.is_off = True
            return {}
        if sum(job_id in told for job_id in job_ids) > 1:
            self.together.succeed()
        else:
            self.together.strike()
        return told
