"""What every dialect shares: its interface, and how an answer becomes an error.

A dialect does no I/O. It builds `Call` values, and their parsers decide what an
answer means. What the answer to a paid request does not prove is an unknown outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import attrs

from personakit.errors import (
    InvalidRequest,
    Unsupported,
    invalid,
)
from personakit.http.messages import Call
from personakit.models import Credits, Listed, Result, Snapshot, Track
from personakit.providers.callbacks import CallbackFormat
from personakit.ratelimit.limits import Limits
from personakit.receipt import Ability, Receipt
from personakit.requests import JobRequest

T = TypeVar("T")


@attrs.frozen
class JointRead:
    """How many jobs are read in one request.

    Attributes:
        at_once: The most that one request may ask for.
        build: Builds it for jobs of one kind. Its result may lack some of them, and may
            tell of an end without what came of it.
    """

    at_once: int
    build: Callable[[Sequence[str], Ability], Call[Mapping[str, Snapshot[Result]]]]


@runtime_checkable
class Provider(Protocol):
    """One service: what it can do, and how it is spoken to."""

    @property
    def name(self) -> str:
        """The name of the service in receipts, personas, tracks and errors."""
        ...

    @property
    def base_url(self) -> str | None:
        """Where the service lives unless the caller says otherwise; None: must say."""
        ...

    @property
    def files_url(self) -> str | None:
        """Where the service takes files, None where it takes none elsewhere."""
        ...

    @property
    def key_variable(self) -> str:
        """The environment variable that holds the key unless one is passed."""
        ...

    @property
    def abilities(self) -> frozenset[Ability]:
        """What the service offers."""
        ...

    @property
    def limits(self) -> Limits:
        """What an account may ask in how much time, as far as it is published."""
        ...

    @property
    def joint(self) -> JointRead | None:
        """How many jobs are read in one request, None where each needs its own."""
        ...

    @property
    def callbacks(self) -> CallbackFormat:
        """How the service reports to callback addresses."""
        ...

    def build_submit(
        self, request: JobRequest[Any], *, callback_url: str | None = None
    ) -> Call[Snapshot[Result]]:
        """Build the paid request that starts a job; it must never be repeated.

        Args:
            request: What is wanted.
            callback_url: Where the service shall report, None for nowhere; not sent
                where the service takes none.

        Returns:
            A call whose snapshot is final already, with its result, where the service
            answers with the result itself.

        Raises:
            InvalidRequest: the service would refuse or silently ignore something.
        """
        ...

    def build_read(self, job_id: str, kind: Ability) -> Call[Snapshot[Result]]:
        """Build the request that reads a job once.

        Raises:
            InvalidRequest: `job_id` cannot be one of this service's.
        """
        ...

    def recall(self, receipt: Receipt, /) -> Snapshot[Result] | None:
        """Tell the end of a job that its receipt alone tells, None to go and ask.

        So it is with results that the service names only once, in its answer to the
        submit: the receipt then holds the id of the result itself.
        """
        ...

    def build_credits(self) -> Call[Credits]:
        """Build the request that reads the balance."""
        ...

    def build_jobs(self, page: int, /) -> Call[tuple[Listed, ...]]:
        """Build the request for one page of the account's jobs, newest first.

        Args:
            page: From 1; an empty page is the end.
        """
        ...

    def build_track(self, track_id: str, /) -> Call[Track]:
        """Build the request that tells of one track again."""
        ...


def unsupported(provider: str, ability: Ability) -> Unsupported:
    """Make the error for an ability that the service does not have."""
    return Unsupported(
        f"{provider} does not offer {ability}. Choose another service; "
        "kit.can(...) tells beforehand.",
        provider=provider,
        field="ability",
        rule=f"must be one that {provider} offers",
        remedy="Choose another service",
    )


def not_a_job(provider: str, kind: Ability) -> InvalidRequest:
    """Make the error for reading what the service answered at once."""
    return invalid(
        "receipt",
        f"must be that of a job, and {provider} makes no job of {kind}",
        "Use the result that came with the submit",
    )
