"""What differs between the hosts of the sunoapi family.

They share one API. The sources are those of the package's docstring.
"""

from __future__ import annotations

from datetime import timedelta

import attrs

from personakit.errors import (
    AuthenticationError,
    InsufficientCredits,
    InvalidRequest,
    NotFound,
    PersonaExists,
    RateLimited,
    ServiceUnavailable,
)
from personakit.providers.answers import ErrorRule
from personakit.providers.callbacks import (
    KIE_CALLBACKS,
    SUNOAPI_CALLBACKS,
    CallbackFormat,
)
from personakit.ratelimit.limits import Limit, Limits
from personakit.receipt import Ability

MAINTENANCE_PAUSE = 60.0
"""Seconds between two tries during maintenance (inferred: minutes)."""
WINDOW_PAUSE = 10.0
"""Seconds of the window in which requests are counted [docs]."""

# Codes are texts here, and so mean those of the envelope alone: the same number as a
# mere HTTP status is a gateway's.
ERRORS_A = (
    # [docs] sunoapi.org and api.box, but for personas and mashups
    ErrorRule(("400", "413"), InvalidRequest),
    ErrorRule(("401",), AuthenticationError),
    ErrorRule(("405", "430"), RateLimited, retry_safe=True),
    ErrorRule(("429",), InsufficientCredits),
    ErrorRule(("455",), ServiceUnavailable, retry_safe=True, pause=MAINTENANCE_PAUSE),
)
ERRORS_B = (
    # [spec] for personas on every host; [docs] for everything on kie, mashups elsewhere
    ErrorRule(("401",), AuthenticationError),
    ErrorRule(("402", "433"), InsufficientCredits),  # 433: quota of a sub-key [docs]
    ErrorRule(("413", "422", "451"), InvalidRequest, paid=True),
    ErrorRule(("429",), RateLimited, retry_safe=True, pause=WINDOW_PAUSE),
    ErrorRule(("430",), RateLimited, retry_safe=True),  # [docs]
    ErrorRule(("455",), ServiceUnavailable, retry_safe=True, pause=MAINTENANCE_PAUSE),
    ErrorRule(("505",), InvalidRequest),  # [docs] the feature is off
)
ERRORS_PERSONA = (ErrorRule(("409",), PersonaExists, paid=True), *ERRORS_B)
READ_ERRORS = (
    # That an account is empty is no reason to refuse a reading.
    ErrorRule(("429",), RateLimited, retry_safe=True, pause=WINDOW_PAUSE, paid=False),
    # A task is unknown for a moment after it was made, later for good (inferred).
    ErrorRule(("404", "422"), NotFound, paid=False),
    ErrorRule(("451",), ServiceUnavailable, retry_safe=True, paid=False),  # [docs]
)


@attrs.frozen
class WindowRule:
    """What a host demands of the part from which a voice is learned.

    Attributes:
        shortest: Seconds.
        longest: Seconds.
        step: Seconds of which both ends must be multiples, 0 for any.
        source: The page that says so.
    """

    shortest: float
    longest: float
    step: float
    source: str


_STARTS = Limits(starts=Limit(20, 10.0))  # [docs] 20 new tasks in 10 s


@attrs.frozen
class Preset:
    """One host of the family.

    Attributes:
        name: Of the service, in receipts and personas.
        base_url: Where it lives.
        files_url: Where it takes files, None where no such address is known.
        key_variable: Environment variable of the key.
        credits_path: Where it tells the balance.
        errors: What codes mean on everything but personas and mashups.
        window: Its rule for vocal windows beyond "end after start", None for none.
        longest_title: Characters.
        link_life: How long the links of a track are kept.
        callbacks: How it reports to callback addresses, and signs that.
        limits: What an account may ask in how much time.
    """

    name: str
    base_url: str
    files_url: str | None
    key_variable: str
    credits_path: str
    errors: tuple[ErrorRule, ...]
    window: WindowRule | None
    longest_title: int
    link_life: timedelta
    callbacks: CallbackFormat = SUNOAPI_CALLBACKS
    limits: Limits = _STARTS

    @property
    def abilities(self) -> frozenset[Ability]:
        """What the host offers."""
        offered = {
            Ability.PERSONA,
            Ability.MUSIC,
            Ability.EXTEND,
            Ability.COVER,
            Ability.MASHUP,
            Ability.STEMS,
            Ability.CREDITS,
        }
        return frozenset(offered | ({Ability.UPLOAD} if self.files_url else set()))


_TWO_WEEKS = timedelta(days=14)  # [docs] 14 or 15 days, by page

SUNOAPI = Preset(
    name="sunoapi",
    base_url="https://apibox.erweima.ai",  # [spec]
    files_url=None,
    key_variable="SUNOAPI_API_KEY",
    credits_path="/api/v1/generate/credit",  # [docs]
    errors=ERRORS_A,
    window=None,  # [spec]
    longest_title=100,  # [docs] the widest of any model
    link_life=_TWO_WEEKS,
)
"""The host of the supplied specification, api.box."""

SUNOAPI_ORG = Preset(
    name="sunoapi.org",
    base_url="https://api.sunoapi.org",  # [docs]
    files_url="https://sunoapiorg.redpandaai.co",  # inferred
    key_variable="SUNOAPI_API_KEY",
    credits_path="/api/v1/generate/credit",  # [docs]
    errors=ERRORS_A,
    window=WindowRule(10, 30, 0, "sunoapi.org, Generate persona"),
    longest_title=100,  # [docs]
    link_life=_TWO_WEEKS,
)
"""sunoapi.org; most likely the same backend as `SUNOAPI`."""

KIE = Preset(
    name="kie",
    base_url="https://api.kie.ai",  # [docs]
    files_url="https://kieai.redpandaai.co",  # [docs]
    key_variable="KIE_API_KEY",
    credits_path="/api/v1/chat/credit",  # [docs]
    errors=ERRORS_B,
    window=WindowRule(10, 30, 0.01, "kie.ai, Generate persona"),
    longest_title=100,  # [docs] 80 on generate, up to 100 elsewhere
    link_life=timedelta(hours=24),  # inferred; files themselves 14 days [docs]
    callbacks=KIE_CALLBACKS,
)
"""kie.ai, by the older form of its paths."""
