"""Suno personas as awaitable coroutines that never pay twice and lose no job.

async with PersonaKit("evolink") as kit:
    persona = await kit.create_persona(track, name=..., description=...)
    tracks = await kit.generate(lyrics=..., style=..., title=..., persona=persona)
    path = await kit.download(tracks[0], "out/")
"""

from personakit.client import PersonaKit
from personakit.errors import (
    AuthenticationError,
    ContentRefused,
    InsufficientCredits,
    InvalidRequest,
    JobFailed,
    MalformedAnswer,
    NotFound,
    OutcomeUnknown,
    PersonaExists,
    PersonaKitError,
    RateLimited,
    ServiceUnavailable,
    Unsupported,
    WaitTimeout,
)
from personakit.job import Job
from personakit.models import (
    Credits,
    JobState,
    MusicRequest,
    Persona,
    PersonaRequest,
    Snapshot,
    Track,
    TrackRef,
    VocalWindow,
)
from personakit.receipt import Ability, Receipt
from personakit.version import __version__

__all__ = [
    "Ability",
    "AuthenticationError",
    "ContentRefused",
    "Credits",
    "InsufficientCredits",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "JobState",
    "MalformedAnswer",
    "MusicRequest",
    "NotFound",
    "OutcomeUnknown",
    "Persona",
    "PersonaExists",
    "PersonaKit",
    "PersonaKitError",
    "PersonaRequest",
    "RateLimited",
    "Receipt",
    "ServiceUnavailable",
    "Snapshot",
    "Track",
    "TrackRef",
    "Unsupported",
    "VocalWindow",
    "WaitTimeout",
    "__version__",
]
