"""Error rules, and the reader of answers that applies them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import attrs

from personakit.decoding import parse_json
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
)
from personakit.http.messages import Response

T = TypeVar("T")
MESSAGE_LIMIT = 500
"""Characters of a service's own message that an error repeats."""
CODE_LIMIT = 100
"""The same for a service's own code."""


@attrs.frozen
class ServiceError:
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
class ErrorRule:
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

    def fits(self, failure: ServiceError, status: int, *, paid: bool) -> bool:
        """Tell whether this line is for such an answer."""
        if self.paid not in {None, paid} or (self.bare and failure.code is not None):
            return False
        return not self.when or failure.code in self.when or status in self.when


_CLIENT_ERRORS = tuple(range(400, 500))
STATUS_RULES: tuple[ErrorRule, ...] = (
    # 307 and 308 say that this address did not process the request; 301 to 303 do not.
    ErrorRule((307, 308), InvalidRequest, paid=True),
    ErrorRule((401,), AuthenticationError),
    ErrorRule((402,), InsufficientCredits),
    ErrorRule((404,), NotFound),
    ErrorRule((425, 429), RateLimited, retry_safe=True),
    # 408 is misused by gateways and 409 has many meanings: neither proves a refusal.
    ErrorRule((408, 409), OutcomeUnknown, paid=True),
    ErrorRule((408, 409), ServiceUnavailable, retry_safe=True, paid=False),
    # Without a code of the service it is a gateway that speaks: on a read, weather.
    ErrorRule(
        _CLIENT_ERRORS, ServiceUnavailable, retry_safe=True, paid=False, bare=True
    ),
    ErrorRule((403,), AuthenticationError),
    ErrorRule(_CLIENT_ERRORS, InvalidRequest),
    ErrorRule((), OutcomeUnknown, paid=True),
    ErrorRule((), ServiceUnavailable, retry_safe=True),
)
"""What a status means on every service, once the service's own codes are used up."""


def is_good_status(status: int, _: object) -> bool:
    """Tell whether an answer is good by its HTTP status alone."""
    return status in range(200, 300)


@attrs.frozen
class AnswerReader:
    """How one service's answers are read.

    Attributes:
        provider: Name of the service, for errors.
        table: The service's own lines, tried before `STATUS_RULES`.
        find_error: Finds what a parsed body says of a failure.
        is_good: Takes the HTTP status and the parsed body, and tells whether the
            service says that all went well.
    """

    provider: str
    table: tuple[ErrorRule, ...]
    find_error: Callable[[object], ServiceError]
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
        failure = self.find_error(data)
        is_silent = failure.code is None and failure.status is None
        if problem and is_silent and response.status in range(200, 300) and not paid:
            raise self._label(problem, response, retry_safe=True)
        raise self._error(response, failure, problem, paid=paid)

    def _error(
        self,
        response: Response,
        failure: ServiceError,
        problem: MalformedAnswer | None,
        *,
        paid: bool,
    ) -> PersonaKitError:
        status = failure.status or response.status
        rule = next(
            rule
            for rule in (*self.table, *STATUS_RULES)
            if rule.fits(failure, status, paid=paid)
        )
        message = _describe(self.provider, rule, status, failure, problem)
        error = self._label(rule.error(message), response, retry_safe=rule.retry_safe)
        error.code = failure.code and failure.code[:CODE_LIMIT]
        if error.retry_after is None:
            error.retry_after = rule.pause
        if isinstance(error, InvalidRequest):
            error.field = failure.field
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
    rule: ErrorRule,
    status: int,
    failure: ServiceError,
    problem: MalformedAnswer | None,
) -> str:
    said = shorten(failure.message)
    if rule.error is OutcomeUnknown:
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
