"""Everything that can go wrong, and what it did to the money.

::

    PersonaKitError
    ├── InvalidRequest           the request breaks a rule
    │   └── Unsupported          the service has no such ability
    ├── AuthenticationError      the key is missing, wrong or not allowed to do this
    ├── InsufficientCredits      the account or the key has no credits left
    ├── NotFound                 no such job, or it has expired
    ├── PersonaExists            this track was made into a persona before
    ├── RateLimited              too many requests; nothing was done
    ├── ServiceUnavailable       no answer, or a fault on the service's side
    ├── MalformedAnswer          an answer that makes no sense
    ├── OutcomeUnknown           a paid request was sent and its answer is lost
    ├── JobFailed                the service ended the job without a result
    │   └── ContentRefused       ... because of what was asked for
    ├── WaitTimeout              the deadline came first; the job runs on
    ├── AlreadyDelivered         another block or caller has had the result
    └── JournalError             the journal cannot be used, so nothing was sent

Every error says whether it cost something (``charged``), whether the same call
may be made again without paying twice (``retry_safe``), and carries the receipt
by which a submitted job is found again. None of them ever holds an API key.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import attrs

from personakit.receipt import Receipt

Charged: TypeAlias = Literal["no", "yes", "unknown"]

OWN_RULE = "personakit"
"""The source of a rule that is this package's own, not a service's."""

_MONEY: dict[Charged, str] = {
    "no": "Nothing was charged.",
    "yes": "It was charged.",
    "unknown": "It may have been charged: look before paying again.",
}

# Half a surrogate pair cannot be encoded; control characters steer a terminal.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


@attrs.define(slots=False, eq=False)
class PersonaKitError(Exception):
    """Base of all errors of this package.

    Attributes:
        message: What happened, as a sentence.
        charged: What this call did to the credits: ``"no"``, ``"yes"`` or
            ``"unknown"``.
        retry_safe: True when the same call may succeed later and cannot be paid
            for twice.
        receipt: By which the job is found again; None when nothing was submitted.
        provider: Name of the service, None for errors that concern no service.
        code: The service's own error code, None when it gave none.
        status: HTTP status of the answer, None when there was no answer.
        request_id: The service's id of this exchange, for its support desk.
        retry_after: Seconds that the service asked to wait, None when it did not.
        persona_id: The persona that exists all the same: the one that this track was
            made into before, or that was made before a later step went wrong. None
            when there is none, or its id is not known.
    """

    message: str
    charged: Charged = "no"
    retry_safe: bool = False
    receipt: Receipt | None = None
    provider: str | None = None
    code: str | None = None
    status: int | None = None
    request_id: str | None = None
    retry_after: float | None = None
    persona_id: str | None = None

    def __attrs_post_init__(self) -> None:
        """Make every text printable: services send anything."""
        for name, value in tuple(vars(self).items()):
            if isinstance(value, str):
                setattr(self, name, _UNPRINTABLE.sub(_escape, value))

    def __str__(self) -> str:
        """Say what happened, to the money too, and where to look next."""
        known = {
            "provider": self.provider,
            "status": self.status,
            "code": self.code,
            "request": self.request_id,
        }
        details = ", ".join(f"{k} {v}" for k, v in known.items() if v is not None)
        where = f" ({details})" if details else ""
        voice = f" Persona: {self.persona_id}." if self.persona_id else ""
        found_by = f" Receipt: {self.receipt.token}" if self.receipt else ""
        return f"{self.message}{where} {_MONEY[self.charged]}{voice}{found_by}"


@attrs.define(slots=False, eq=False)
class InvalidRequest(PersonaKitError):
    """The request breaks a rule, found here before sending or by the service.

    Attributes:
        field: The field at fault, None when the service did not name one.
        rule: The rule that it breaks.
        remedy: What to do about it.
        source: Where the rule is written.
    """

    field: str | None = None
    rule: str | None = None
    remedy: str | None = None
    source: str | None = None


@attrs.define(slots=False, eq=False)
class Unsupported(InvalidRequest):
    """The service has no such ability; nothing was sent."""


@attrs.define(slots=False, eq=False)
class AuthenticationError(PersonaKitError):
    """The key is missing, wrong, expired, or not allowed to do this."""


@attrs.define(slots=False, eq=False)
class InsufficientCredits(PersonaKitError):
    """The account, or the limit of this key, has no credits left."""


@attrs.define(slots=False, eq=False)
class NotFound(PersonaKitError):
    """The service knows no such job or address, or has forgotten it."""


@attrs.define(slots=False, eq=False)
class PersonaExists(PersonaKitError):
    """This track was made into a persona before; a track allows only one."""


@attrs.define(slots=False, eq=False)
class RateLimited(PersonaKitError):
    """Too many requests or running jobs; the service did nothing with this one."""


@attrs.define(slots=False, eq=False)
class ServiceUnavailable(PersonaKitError):
    """The service could not be reached, or reports a fault of its own."""


@attrs.define(slots=False, eq=False)
class MalformedAnswer(PersonaKitError):
    """An answer that is not what the service documents.

    Attributes:
        path: Where in the answer, for example ``$.result_data.songs[1].duration``.
    """

    path: str = "$"


@attrs.define(slots=False, eq=False)
class OutcomeUnknown(PersonaKitError):
    """A paid request reached the service, and its answer never reached us.

    It is never sent again by itself, since that could pay twice. Not a subclass of
    `ServiceUnavailable`, so that no ``except`` clause meant for weather retries it.
    """

    charged: Charged = "unknown"


@attrs.define(slots=False, eq=False)
class JobFailed(PersonaKitError):
    """The service ended the job without a result."""


@attrs.define(slots=False, eq=False)
class ContentRefused(JobFailed):
    """What was asked for is not allowed, as found on submit or while the job ran."""


@attrs.define(slots=False, eq=False)
class WaitTimeout(PersonaKitError):
    """The deadline came before the end of the job, which runs on.

    Attributes:
        unknown_state: The service's own word for the last state, when it is none
            that this package knows; None otherwise.
    """

    charged: Charged = "yes"
    unknown_state: str | None = None


@attrs.define(slots=False, eq=False)
class AlreadyDelivered(PersonaKitError):
    """The result of the job was delivered before, by another block or caller.

    Attributes:
        result: The result, as `Job.result` returns it.
    """

    charged: Charged = "yes"
    result: object = attrs.field(default=None, repr=False)


@attrs.define(slots=False, eq=False)
class JournalError(PersonaKitError):
    """The journal cannot be read or written.

    Without a durable record of what is about to be paid for nothing is sent.
    """


def too_late() -> ServiceUnavailable:
    """Make the error for a request that was not sent before its deadline."""
    return ServiceUnavailable(
        "The deadline passed before the request was sent.", retry_safe=True
    )


def invalid(
    field: str, rule: str, remedy: str, source: str = OWN_RULE
) -> InvalidRequest:
    """Make the error for a request that is refused before anything is sent.

    Args:
        field: The field at fault, by its public name.
        rule: What must hold, as the end of "<field> ...".
        remedy: What to do about it, as a sentence without its full stop.
        source: Where the rule is written.
    """
    origin = "" if source == OWN_RULE else f" [{source}]"
    message = f"{field} {rule}. {remedy}.{origin}"
    return InvalidRequest(message, field=field, rule=rule, remedy=remedy, source=source)
