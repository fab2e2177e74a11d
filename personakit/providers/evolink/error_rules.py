"""What Evolink's error codes mean, on an answer and in a task that failed."""

from __future__ import annotations

from personakit.errors import (
    AuthenticationError,
    ContentRefused,
    InsufficientCredits,
    InvalidRequest,
    JobFailed,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    ServiceUnavailable,
)
from personakit.providers.answers import ErrorRule

ERRORS = (
    # Codes come before statuses, which proxies may alter (inferred).
    ErrorRule(("unauthorized",), AuthenticationError),  # [spec]
    ErrorRule(("key_disabled", "key_expired"), AuthenticationError),  # inferred
    ErrorRule(("key_model_not_allowed",), AuthenticationError),  # inferred
    ErrorRule(("insufficient_quota",), InsufficientCredits),  # [spec]
    ErrorRule(("insufficient_user_quota",), InsufficientCredits),  # inferred
    ErrorRule(("insufficient_token_quota",), InsufficientCredits),  # inferred
    ErrorRule(("token_daily_quota_exceeded",), InsufficientCredits),  # inferred
    ErrorRule(("rate_limit_exceeded",), RateLimited, retry_safe=True),  # [spec]
    ErrorRule(
        ("no_available_channel",), ServiceUnavailable, retry_safe=True
    ),  # inferred
    ErrorRule(("content_policy_violation",), ContentRefused),  # inferred
    ErrorRule(("task_not_found",), NotFound),  # inferred
    ErrorRule(("invalid_request",), InvalidRequest),  # [spec]
    ErrorRule(("invalid_task_id",), InvalidRequest),  # [tasks]
    ErrorRule(("invalid_parameter",), InvalidRequest),  # inferred
    ErrorRule(("paid_outcome_unknown",), OutcomeUnknown, paid=True),  # inferred
)

FAILURES: dict[str, tuple[type[JobFailed], bool]] = {
    # [tasks] Why a task failed, and whether the same may succeed later, as a new job
    # with a charge of its own.
    "content_policy_violation": (ContentRefused, False),
    "service_error": (JobFailed, True),
    "service_unavailable": (JobFailed, True),
    "generation_timeout": (JobFailed, True),
    "resource_exhausted": (JobFailed, True),
    "quota_exceeded": (JobFailed, True),
}
