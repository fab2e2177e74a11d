"""How the recorded answers of MusicMint are read, each by its path."""

from __future__ import annotations

from functools import partial
from typing import Any

from personakit.http.messages import Response
from personakit.models import TrackRef
from personakit.providers.musicmint import MusicMint
from personakit.receipt import Ability
from personakit.requests import (
    MusicRequest,
    PersonaRequest,
    StemsRequest,
    UploadRequest,
)

TASK = "64f3a1b2c8d9e0f1a2b3c4d5"
CLIP = TrackRef(TASK, "abc123def456")
HERE = MusicMint()
CALLS = {
    "persona": partial(
        HERE.build_submit, PersonaRequest(CLIP, name="n", description="d")
    ),
    "submit": partial(HERE.build_submit, MusicRequest(idea="rain")),
    "stems": partial(HERE.build_submit, StemsRequest(CLIP)),
    "upload": partial(HERE.build_submit, UploadRequest("https://x.example/a.mp3")),
    "music": partial(MusicMint().build_read, TASK, Ability.MUSIC),
    "track": partial(HERE.build_track, "clip-abc123"),
    "jobs": partial(HERE.build_jobs, 1),
}
PAID = {how for how, call in CALLS.items() if not call().request.repeatable}


def read(how: str, answer: Response) -> Any:
    """Have the dialect read an answer as what it is to."""
    return CALLS[how]().parse(answer)
