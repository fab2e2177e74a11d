"""Each service as the contract tests see it: what it offers, and how it says no."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from personakit import (
    Ability,
    AuthenticationError,
    ContentRefused,
    CoverRequest,
    ExtendRequest,
    InsufficientCredits,
    InvalidRequest,
    MashupRequest,
    MusicRequest,
    NotFound,
    Persona,
    PersonaKit,
    PersonaRequest,
    Stems,
    StemsRequest,
    Track,
    UploadRequest,
)
from personakit.emulator import Emulator, Fault
from personakit.providers import PROVIDERS, find_provider
from personakit.receipt import JOB_KINDS
from personakit.requests import JobRequest

LINK = "https://x.example/a.mp3"
SONG = {"lyrics": "[Verse]\n月光照在窗台", "style": "流行 抒情", "title": "心中的光"}
NAMED = {"name": "我的歌手", "description": "Smooth and warm"}

RESULTS: dict[Ability, type] = {
    Ability.PERSONA: Persona,
    Ability.STEMS: Stems,
    Ability.UPLOAD: Track,
}
"""What a kind of job yields; tracks in a tuple where it is not said here."""


def connect(emulator: Emulator, name: str, **options: Any) -> PersonaKit:
    """Make a client of one emulated service."""
    address = emulator.url(name)
    own = {
        "api_key": emulator.api_key,
        "base_url": address,
        "files_url": f"{address}/files",
    }
    return PersonaKit(name, **{**own, **options})


def seed(emulator: Emulator, name: str) -> Track:
    """Put a finished song into the service, and return it as the service would."""
    song = emulator.seed_song(provider=name)
    return Track(
        name,
        song.job_id,
        song.track_id,
        audio_url=f"{emulator.url(name)}/media/{song.track_id}.wav",
        duration=song.duration,
        model=song.model,
    )


def make_request(ability: Ability, source: Track) -> JobRequest[Any]:
    """Make a request that every service which offers it accepts."""
    requests = {
        Ability.PERSONA: PersonaRequest(source, **NAMED),
        Ability.MUSIC: MusicRequest(**SONG),
        Ability.EXTEND: ExtendRequest(source, at=2, **SONG),
        Ability.COVER: CoverRequest(source, **SONG),
        Ability.MASHUP: MashupRequest(source, LINK, **SONG),
        Ability.STEMS: StemsRequest(source),
        Ability.UPLOAD: UploadRequest(LINK),
    }
    return requests[ability]


def refusal(body: Mapping[str, Any], status: int = 200) -> Fault:
    """Answer with an error in the service's own shape, without doing anything."""
    return Fault.text(json.dumps(body).encode(), status, processed=False)


def code(number: int, status: int = 200, *, name: str = "msg") -> Fault:
    """Answer with an envelope that carries a code."""
    return refusal({"code": number, name: "no", "data": None}, status)


@attrs.frozen
class World:
    """One service.

    Attributes:
        name: Of the service.
        idless: Answers to a submit from which the id is missing, the charge made.
        busy: Answers that surely refuse a submit for now.
        final: Answers that surely refuse it for good, and what they mean.
        ok: Members of a good answer's envelope.
    """

    name: str
    idless: Mapping[str, Fault]
    busy: Mapping[str, Fault]
    final: Mapping[str, tuple[Fault, type[Exception]]]

    @property
    def kinds(self) -> list[Ability]:
        """The kinds of job that it offers."""
        return sorted(JOB_KINDS & find_provider(self.name).abilities)

    def knows_jobs(self, ability: Ability) -> bool:
        """Tell whether it answers such a submit with a job to wait for."""
        at_once = {
            "musicmint": {Ability.PERSONA, Ability.STEMS, Ability.UPLOAD},
            "evolink": set[Ability](),
            "kie-jobs": set[Ability](),
        }
        usual = {Ability.PERSONA, Ability.UPLOAD}
        return ability not in at_once.get(self.name, usual)


_GATEWAY: dict[str, tuple[Fault, type[Exception]]] = {
    "403 of a gateway": (Fault.html(403, processed=False), AuthenticationError),
    "404 of a gateway": (Fault.html(404, processed=False), NotFound),
    "413 of a gateway": (Fault.html(413, processed=False), InvalidRequest),
    "308": (Fault.html(308, processed=False), InvalidRequest),
}
_WITHOUT_DATA = {
    "no data": Fault.patch({}, remove=("data",)),
    "null data": Fault.patch({"data": None}),
    "empty data": Fault.patch({"data": {}}),
    "data of wrong type": Fault.patch({"data": [7]}),
    "no code": Fault.patch({}, remove=("code",)),
    "code of wrong type": Fault.patch({"code": "200"}),
    "unknown code": Fault.patch({"code": 777777, "data": None}),
    "true for a code": Fault.patch({"code": True}),
}


def _suno(name: str, *, rate: int) -> World:
    return World(
        name,
        idless={**_WITHOUT_DATA, "500 under 200": Fault.patch({"code": 500})},
        busy={
            "too many": code(rate),
            "too many, mirrored": code(rate, rate),
            "430": code(430),
            "maintenance": code(455),
            "429 of a gateway": Fault.html(429, processed=False),
        },
        final={
            **_GATEWAY,
            "401": (code(401), AuthenticationError),
            "401, mirrored": (code(401, 401), AuthenticationError),
            "404": (code(404), NotFound),
            "413": (code(413), InvalidRequest),
        },
    )


WORLDS = {
    world.name: world
    for world in (
        World(
            "evolink",
            idless={
                "no id": Fault.patch({}, remove=("id",)),
                "null id": Fault.patch({"id": None}),
                "foreign id": Fault.patch({"id": "job-1"}),
                "huge id": Fault.patch({"id": "task-unified-" + "1" * 999}),
                "unknown error": Fault.patch({"error": {"code": "?"}}, remove=("id",)),
            },
            busy={
                "429": Fault.status(429),
                "429 under 200": refusal({"error": {"code": "rate_limit_exceeded"}}),
                "model down": Fault.status(400, code="no_available_channel"),
            },
            final={
                **_GATEWAY,
                "400": (Fault.status(400), InvalidRequest),
                "401": (Fault.status(401), AuthenticationError),
                "402": (Fault.status(402), InsufficientCredits),
                "402 under 200": (
                    refusal({"error": {"code": "insufficient_quota"}}),
                    InsufficientCredits,
                ),
                "content": (
                    Fault.status(400, code="content_policy_violation"),
                    ContentRefused,
                ),
            },
        ),
        _suno("sunoapi", rate=405),
        _suno("sunoapi.org", rate=405),
        _suno("kie", rate=429),
        _suno("kie-jobs", rate=429),
        World(
            "musicmint",
            idless={
                **_WITHOUT_DATA,
                "data of a list": Fault.patch({"data": []}),
                "code of another family": Fault.patch({"code": 5000}),
            },
            busy={"429 of a gateway": Fault.html(429, processed=False)},
            final={
                **_GATEWAY,
                "1003": (code(1003, name="message"), AuthenticationError),
                "1004": (code(1004, 401, name="message"), AuthenticationError),
                "4005": (code(4005, name="message"), NotFound),
            },
        ),
    )
}


def every_kind() -> list[Any]:
    """Return every kind of job of every service, as parameters."""
    return [
        pytest.param(world, ability, id=f"{world.name}-{ability}")
        for world in WORLDS.values()
        for ability in world.kinds
    ]


def every_row(table: str) -> list[Any]:
    """Return every line of one of the services' tables, for songs, as parameters."""
    return [
        pytest.param(world, row, id=f"{world.name}-{name}")
        for world in WORLDS.values()
        for name, row in getattr(world, table).items()
    ]


def every_absence() -> list[Any]:
    """Return every kind of job that a service lacks, as parameters."""
    return [
        pytest.param(name, ability, id=f"{name}-{ability}")
        for name in PROVIDERS
        for ability in sorted(JOB_KINDS - find_provider(name).abilities)
    ]
