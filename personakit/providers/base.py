"""What every dialect shares: its interface, and how an answer becomes an error.

A dialect does no I/O. It builds `Call` values, and their parsers decide what an
answer means. What the answer to a paid request does not prove is an unknown outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import attrs

from personakit.convert import parse_json
from personakit.errors import (
    AuthenticationError,
    InsufficientCredits,
    InvalidRequest,
    MalformedAnswer,
    NotFound,
    OutcomeUnknown,
    PersonaKitError,
    RateLimited,
    ServiceUnavailable,
    Unsupported,
    refuse,
)
from personakit.limits import Limits
from personakit.models import Credits, Listed, Result, Snapshot, Track
from personakit.providers.reports import Reports
from personakit.receipt import Ability, Receipt
from personakit.requests import JobRequest
from personakit.wire import Call, Response

T = TypeVar("T")

MESSAGE_LIMIT = 500
"""Characters of a service's own message that an error repeats."""
CODE_LIMIT = 100
"""The same for a service's own code."""


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
    def reports(self) -> Reports:
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


@attrs.frozen
class Refusal:
    """What the body of an answer says of a failure.

    Attributes:
        code: The service's own word, None when it gave none.
        status: A number in the body that outranks the HTTP status, None for none.
        message: For people, in any language: never decided upon.
        field: The wire's name of the field at fault, None when not told.
    """

    code: str | None = None
    status: int | None = None
    message: str | None = None
    field: str | None = None


@attrs.frozen
class Row:
    """One line of an error table; the first that fits decides.

    Attributes:
        when: Codes and statuses that it is for; empty for any.
        error: What it means.
        retry_safe: True where nothing was done and a later try may succeed.
        paid: Only for paid requests (True), only for reads (False), or both (None).
        bare: True to fit only answers without a code of the service.
        pause: Seconds to wait before a later try, unless the answer itself asks for
            some; None for no wish.
    """

    when: tuple[str | int, ...]
    error: type[PersonaKitError]
    retry_safe: bool = False
    paid: bool | None = None
    bare: bool = False
    pause: float | None = None

    def fits(self, refusal: Refusal, status: int, *, paid: bool) -> bool:
        """Tell whether this line is for such an answer."""
        if self.paid not in {None, paid} or (self.bare and refusal.code is not None):
            return False
        return not self.when or refusal.code in self.when or status in self.when


_CLIENT_ERRORS = tuple(range(400, 500))

STATUS_ROWS: tuple[Row, ...] = (
    # 307 and 308 say that this address did not process the request; 301 to 303 do not.
    Row((307, 308), InvalidRequest, paid=True),
    Row((401,), AuthenticationError),
    Row((402,), InsufficientCredits),
    Row((404,), NotFound),
    Row((425, 429), RateLimited, retry_safe=True),
    # 408 is misused by gateways and 409 has many meanings: neither proves a refusal.
    Row((408, 409), OutcomeUnknown, paid=True),
    Row((408, 409), ServiceUnavailable, retry_safe=True, paid=False),
    # Without a code of the service it is a gateway that speaks: on a read, weather.
    Row(_CLIENT_ERRORS, ServiceUnavailable, retry_safe=True, paid=False, bare=True),
    Row((403,), AuthenticationError),
    Row(_CLIENT_ERRORS, InvalidRequest),
    Row((), OutcomeUnknown, paid=True),
    Row((), ServiceUnavailable, retry_safe=True),
)
"""What a status means on every service, once the service's own codes are used up."""


def is_good_status(status: int, _: object) -> bool:
    """Tell whether an answer is good by its HTTP status alone."""
    return status in range(200, 300)


@attrs.frozen
class Reader:
    """How one service's answers are read.

    Attributes:
        provider: Name of the service, for errors.
        table: The service's own lines, tried before `STATUS_ROWS`.
        find_refusal: Finds what a parsed body says of a failure.
        is_good: Takes the HTTP status and the parsed body, and tells whether the
            service says that all went well.
    """

    provider: str
    table: tuple[Row, ...]
    find_refusal: Callable[[object], Refusal]
    is_good: Callable[[int, object], bool] = is_good_status

    def read(
        self, response: Response, finish: Callable[[object], T], *, paid: bool
    ) -> T:
        """Return what `finish` makes of a good answer, or raise what a bad one means.

        Args:
            response: The answer.
            finish: Reads the parsed body of a good answer; raises MalformedAnswer
                when it is none.
            paid: True when the request may have cost something.
        """
        data: object = None
        problem: MalformedAnswer | None = None
        try:
            data = parse_json(response.body)
            if self.is_good(response.status, data):
                return finish(data)
        except MalformedAnswer as error:
            problem = error
        refusal = self.find_refusal(data)
        is_silent = refusal.code is None and refusal.status is None
        if problem and is_silent and response.status in range(200, 300) and not paid:
            raise self._label(problem, response, retry_safe=True)
        raise self._error(response, refusal, problem, paid=paid)

    def _error(
        self,
        response: Response,
        refusal: Refusal,
        problem: MalformedAnswer | None,
        *,
        paid: bool,
    ) -> PersonaKitError:
        status = refusal.status or response.status
        row = next(
            row
            for row in (*self.table, *STATUS_ROWS)
            if row.fits(refusal, status, paid=paid)
        )
        message = _describe(self.provider, row, status, refusal, problem)
        error = self._label(row.error(message), response, retry_safe=row.retry_safe)
        error.code = refusal.code and refusal.code[:CODE_LIMIT]
        if error.retry_after is None:
            error.retry_after = row.pause
        if isinstance(error, InvalidRequest):
            error.field = refusal.field
        return error

    def _label(
        self, error: PersonaKitError, response: Response, *, retry_safe: bool
    ) -> PersonaKitError:
        return attrs.evolve(
            error,
            retry_safe=retry_safe,
            provider=self.provider,
            status=response.status,
            request_id=response.request_id,
            retry_after=response.retry_after,
        )


def shorten(message: str | None) -> str:
    """Return a service's message as it may be quoted, empty for none."""
    return (message or "").strip()[:MESSAGE_LIMIT]


def _describe(
    provider: str,
    row: Row,
    status: int,
    refusal: Refusal,
    problem: MalformedAnswer | None,
) -> str:
    said = shorten(refusal.message)
    if row.error is OutcomeUnknown:
        reason = said or (problem and problem.message)
        return (
            f"{provider} got a paid request, and its answer (status {status}) does "
            f"not prove whether the job exists. {reason or ''}".rstrip()
        )
    if status in {307, 308}:
        return (
            f"base_url must be the address of {provider} itself, and this one "
            "redirects. Pass the right base_url."
        )
    return f"{provider} says: {said}" if said else f"{provider} answered {status}."


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


def no_job(provider: str, kind: Ability) -> InvalidRequest:
    """Make the error for reading what the service answered at once."""
    return refuse(
        "receipt",
        f"must be that of a job, and {provider} makes no job of {kind}",
        "Use the result that came with the submit",
    )
