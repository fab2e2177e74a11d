"""Suno personas as awaitable coroutines that never pay twice and lose no job.

async with PersonaKit("evolink") as kit:
    persona = await kit.create_persona(track, name=..., description=...)
    tracks = await kit.generate(lyrics=..., style=..., title=..., persona=persona)
    path = await kit.download(tracks[0], "out/")
"""

from personakit.batch import Outcome
from personakit.callbacks import Callbacks
from personakit.client import PersonaKit
from personakit.errors import (
    AuthenticationError,
    ContentRefused,
    InsufficientCredits,
    InvalidRequest,
    JobFailed,
    JournalError,
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
from personakit.journal import Entry, Mark
from personakit.models import (
    Credits,
    JobState,
    Persona,
    Snapshot,
    Stems,
    Track,
    TrackRef,
    VocalWindow,
)
from personakit.operations import Performance
from personakit.receipt import Ability, Receipt
from personakit.requests import (
    AudioFile,
    CoverRequest,
    ExtendRequest,
    MashupRequest,
    MusicRequest,
    PersonaRequest,
    StemsRequest,
    UploadRequest,
)
from personakit.version import __version__

__all__ = [
    "Ability",
    "AudioFile",
    "AuthenticationError",
    "Callbacks",
    "ContentRefused",
    "CoverRequest",
    "Credits",
    "Entry",
    "ExtendRequest",
    "InsufficientCredits",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "JobState",
    "JournalError",
    "MalformedAnswer",
    "Mark",
    "MashupRequest",
    "MusicRequest",
    "NotFound",
    "Outcome",
    "OutcomeUnknown",
    "Performance",
    "Persona",
    "PersonaExists",
    "PersonaKit",
    "PersonaKitError",
    "PersonaRequest",
    "RateLimited",
    "Receipt",
    "ServiceUnavailable",
    "Snapshot",
    "Stems",
    "StemsRequest",
    "Track",
    "TrackRef",
    "Unsupported",
    "UploadRequest",
    "VocalWindow",
    "WaitTimeout",
    "__version__",
]
