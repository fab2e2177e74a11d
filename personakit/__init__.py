"""Suno personas as awaitable coroutines that never pay twice and lose no job.

async with PersonaKit("evolink") as kit:
    persona = await kit.create_persona(track, name=..., description=...)
    tracks = await kit.generate(lyrics=..., style=..., title=..., persona=persona)
    path = await kit.download(tracks[0], "out/")
"""

from importlib import import_module
from typing import TYPE_CHECKING

from personakit.version import __version__

if TYPE_CHECKING:
    from personakit.callbacks import Callbacks
    from personakit.client import PersonaKit
    from personakit.errors import (
        AlreadyDelivered,
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
    from personakit.jobs.batch import Outcome
    from personakit.jobs.job import Job
    from personakit.journal import SubmitRecord, SubmitState
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
    from personakit.operations import SungPersona
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

_HOMES = {
    "callbacks": ("Callbacks",),
    "client": ("PersonaKit",),
    "errors": (
        "AlreadyDelivered",
        "AuthenticationError",
        "ContentRefused",
        "InsufficientCredits",
        "InvalidRequest",
        "JobFailed",
        "JournalError",
        "MalformedAnswer",
        "NotFound",
        "OutcomeUnknown",
        "PersonaExists",
        "PersonaKitError",
        "RateLimited",
        "ServiceUnavailable",
        "Unsupported",
        "WaitTimeout",
    ),
    "jobs.batch": ("Outcome",),
    "jobs.job": ("Job",),
    "journal": (
        "SubmitRecord",
        "SubmitState",
    ),
    "models": (
        "Credits",
        "JobState",
        "Persona",
        "Snapshot",
        "Stems",
        "Track",
        "TrackRef",
        "VocalWindow",
    ),
    "operations": ("SungPersona",),
    "receipt": (
        "Ability",
        "Receipt",
    ),
    "requests": (
        "AudioFile",
        "CoverRequest",
        "ExtendRequest",
        "MashupRequest",
        "MusicRequest",
        "PersonaRequest",
        "StemsRequest",
        "UploadRequest",
    ),
}
"""Where the public names live. They are loaded when they are first asked for, so that
the import costs nothing."""

__all__ = [
    "Ability",
    "AlreadyDelivered",
    "AudioFile",
    "AuthenticationError",
    "Callbacks",
    "ContentRefused",
    "CoverRequest",
    "Credits",
    "ExtendRequest",
    "InsufficientCredits",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "JobState",
    "JournalError",
    "MalformedAnswer",
    "MashupRequest",
    "MusicRequest",
    "NotFound",
    "Outcome",
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
    "Stems",
    "StemsRequest",
    "SubmitRecord",
    "SubmitState",
    "SungPersona",
    "Track",
    "TrackRef",
    "Unsupported",
    "UploadRequest",
    "VocalWindow",
    "WaitTimeout",
    "__version__",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            found: object = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
