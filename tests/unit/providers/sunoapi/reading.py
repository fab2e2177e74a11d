"""How the recorded answers of the sunoapi family are read, each by its path."""

from __future__ import annotations

from functools import partial
from typing import Any

from personakit.http.messages import Response
from personakit.models import Track, TrackRef
from personakit.providers.sunoapi import SunoApi
from personakit.providers.sunoapi.jobs import KieJobs
from personakit.providers.sunoapi.presets import KIE
from personakit.receipt import Ability
from personakit.requests import (
    MashupRequest,
    MusicRequest,
    PersonaRequest,
    UploadRequest,
)

JOB = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
LINK = "https://x.example/a.mp3"
SONG = MusicRequest(idea="rain")
VOICE = PersonaRequest(TrackRef("j", "t"), name="n", description="d")
MASHUP = MashupRequest(LINK, Track("sunoapi", "j", "t", audio_url=LINK), idea="rain")

PLAIN, KIE_HOST, JOBS = SunoApi(), SunoApi(KIE), KieJobs()
CALLS = {
    "persona": partial(PLAIN.build_submit, VOICE),
    "submit": partial(PLAIN.build_submit, SONG),
    "kie-submit": partial(KIE_HOST.build_submit, SONG),
    "mashup": partial(PLAIN.build_submit, MASHUP),
    "music": partial(PLAIN.build_read, JOB, Ability.MUSIC),
    "stems": partial(PLAIN.build_read, JOB, Ability.STEMS),
    "credits": PLAIN.build_credits,
    "upload": partial(KIE_HOST.build_submit, UploadRequest(LINK)),
    "jobs-submit": partial(JOBS.build_submit, SONG),
    "jobs-submit-persona": partial(JOBS.build_submit, VOICE),
    "jobs-music": partial(JOBS.build_read, JOB, Ability.MUSIC),
    "jobs-persona": partial(JOBS.build_read, JOB, Ability.PERSONA),
}
PAID = {how for how, call in CALLS.items() if not call().request.repeatable}
HOSTS = {"kie-submit": "kie", "upload": "kie"}


def read(how: str, answer: Response) -> Any:
    """Have the dialect read an answer as what it is to."""
    return CALLS[how]().parse(answer)


def host(how: str) -> str:
    """Return the name of the service that answers so."""
    return "kie-jobs" if how.startswith("jobs") else HOSTS.get(how, "sunoapi")
