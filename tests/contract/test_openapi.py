"""What the dialects send and understand is what the OpenAPI files describe."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse
from yarl import URL

from personakit.http.messages import Request
from personakit.models import Persona, Track, TrackRef, VocalWindow
from personakit.providers import PROVIDERS, find_provider
from personakit.receipt import Ability
from personakit.requests import (
    CoverRequest,
    ExtendRequest,
    MashupRequest,
    MusicRequest,
    PersonaRequest,
    StemsRequest,
    UploadRequest,
)
from tests.unit.providers.evolink.cases import MUSIC_JOB
from tests.unit.providers.recorded import Case, load
from tests.unit.providers.sunoapi.reading import CALLS as SUNO_CALLS
from tests.unit.providers.sunoapi.reading import host

DATA = Path(__file__).parents[1] / "data"
HOSTS = {
    "evolink": "https://api.evolink.ai",
    "sunoapi": "https://apibox.erweima.ai",
    "sunoapi.org": "https://api.sunoapi.org",
    "kie": "https://api.kie.ai",
    "kie-jobs": "https://api.kie.ai",
    "musicmint": "https://api.example.com",
}
FOLDERS = {"evolink": "evolink", "musicmint": "musicmint"}
KEY = {"Authorization": "Bearer key"}
LINK = "https://x.example/a.mp3"
SONG: dict[str, Any] = {"lyrics": "[Verse]\n月光照在窗台", "style": "s", "title": "t"}
TUNED: dict[str, Any] = {
    **SONG,
    "negative_style": "metal",
    "vocal_gender": "male",
    "style_weight": 0,
    "weirdness": 1,
    "audio_weight": 0.55,
    "duration": 360,
}
LONGEST = {"lyrics": "a" * 5000, "style": "b" * 1000, "title": "c" * 80}


@cache
def openapi(name: str) -> OpenAPI:
    """Read the description of a service."""
    folder = FOLDERS.get(name, "sunoapi")
    return OpenAPI.from_file_path(str(DATA / folder / "openapi.yaml"))


def mock(name: str, request: Request) -> MockRequest:
    """Show a request to the validator as the transport would send it."""
    url = URL(request.path)
    return MockRequest(
        HOSTS[name],
        request.method.lower(),
        url.path,
        args=dict(url.query),
        headers=KEY,
        data=request.body,
        content_type="application/json",
    )


def requests(name: str) -> dict[str, Any]:
    """Return requests of every kind, from the least to the most that is possible."""
    job_id = MUSIC_JOB if name == "evolink" else "5c79aabbccddeeff001122334455be8e"
    ref = TrackRef(job_id, "4fcc4507-a7ae-4441-ad8a-465c2f61d5bb")
    model = "suno-v5-beta" if name == "evolink" else "V5"
    source = Track(
        name, ref.job_id, ref.track_id, audio_url=LINK, duration=60, model=model
    )
    named = {"name": "我的歌手", "description": "d"}
    voice = Persona("5c57d49ef834110496fae5aa14fec441", name)
    newest = "suno-v6-beta" if name == "evolink" else "V6"
    told = {
        "persona": PersonaRequest(ref, **named),
        "lyrics": MusicRequest(**SONG),
        "instrumental": MusicRequest(instrumental=True, style="s", title="t"),
        "idea": MusicRequest(idea="rain"),
        "instrumental idea": MusicRequest(idea="rain", instrumental=True),
        "longest": MusicRequest(**LONGEST),
        "with a persona": MusicRequest(**SONG, persona=voice),
        "extend": ExtendRequest(source, at=30, **SONG),
        "inherit": ExtendRequest(source),
        "extend audio": ExtendRequest(LINK, at=30, **SONG),
        "inherit audio": ExtendRequest(LINK),
        "cover": CoverRequest(source, **SONG),
        "mashup": MashupRequest(source, LINK, **SONG),
        "stems": StemsRequest(source),
        "upload": UploadRequest(LINK),
    }
    if name == "musicmint":
        return {
            **told,
            "stems of a part": StemsRequest(source, window=VocalWindow(3, 9)),
        }
    everything = {**TUNED, "persona": voice, "persona_mode": "voice", "model": newest}
    return {
        **told,
        "persona, window": PersonaRequest(
            ref, **named, window=VocalWindow(0, 30), style="jazz"
        ),
        "everything": MusicRequest(**everything),
        "cover with everything": CoverRequest(source, **everything),
    }


NOT_POSSIBLE = {
    ("musicmint", "inherit"),
    ("musicmint", "extend audio"),
    ("musicmint", "inherit audio"),
}
NOT_DESCRIBED = {
    "/api/v1/vocal-removal/generate",
    "/api/file-url-upload",
    "/api/v1/music/cover",
}


def every_request() -> list[Any]:
    """Return every request that a service takes and its file describes."""
    return [
        pytest.param(name, request, id=f"{name}-{what}")
        for name in PROVIDERS
        for what, request in requests(name).items()
        if request.ability in find_provider(name).abilities
        and (name, what) not in NOT_POSSIBLE
        and build(name, request).path not in NOT_DESCRIBED
    ]


def build(name: str, request: Any) -> Request:
    """Build the paid request for a wish."""
    return find_provider(name).build_submit(request).request


@pytest.mark.parametrize(("name", "wanted"), every_request())
def test_submits_are_as_described(name, wanted):
    """Every body that is built is valid."""
    assert openapi(name).validate_request(mock(name, build(name, wanted))) is None


def every_reading() -> list[Any]:
    """Return every request that reads something."""
    found = []
    for name in PROVIDERS:
        provider = find_provider(name)
        reads = {"task": provider.build_read(MUSIC_JOB, Ability.MUSIC)}
        if Ability.CREDITS in provider.abilities:
            reads["credits"] = provider.build_credits()
        if name == "musicmint":
            reads |= {
                "jobs": provider.build_jobs(1),
                "track": provider.build_track("c"),
            }
        found += [
            pytest.param(name, reads[one].request, id=f"{name}-{one}") for one in reads
        ]
    return found


@pytest.mark.parametrize(("name", "request_"), every_reading())
def test_reads_are_as_described(name, request_):
    """Readings, balances and lists are asked for as described."""
    assert openapi(name).validate_request(mock(name, request_)) is None


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("evolink", "/v1/audios/generations", b"{}"),
        ("evolink", "/v1/audios/generations", b'{"model": "suno-v5", "duration": 60}'),
        (
            "evolink",
            "/v1/audios/generations",
            b'{"model": "suno-persona", "model_params": {"name": "n"}}',
        ),
        ("sunoapi", "/api/v1/generate", b'{"model": "V5"}'),
        ("sunoapi", "/api/v1/generate/generate-persona", b'{"taskId": "t"}'),
        ("kie-jobs", "/api/v1/jobs/createTask", b'{"model": "m"}'),
        ("musicmint", "/api/v1/music/generate", b'{"title": "t"}'),
        (
            "musicmint",
            "/api/v1/music/generate",
            b'{"gpt_description_prompt": "a", "tags": "b"}',
        ),
    ],
)
def test_check_can_fail(name, path, body):
    """A body that breaks the description is found."""
    broken = Request("POST", path, body=body, repeatable=False)
    with pytest.raises(OpenAPIError):
        openapi(name).validate_request(mock(name, broken))


def every_documented_answer() -> list[Any]:
    """Return the recorded good answers that a page, not a guess, tells of."""
    found = []
    for folder in ("evolink", "sunoapi", "musicmint"):
        for case in load(folder).values():
            is_good = case.response and "error" not in case.expect
            if not is_good or "inferred)" in case.source:
                continue
            name = host(case.read_as) if folder == "sunoapi" else folder
            asked = ask(name, case)
            if URL(asked.path).path not in DARK:
                found.append(
                    pytest.param(name, asked, case, id=f"{folder}-{case.name}")
                )
    return found


DARK = {"/api/v1/vocal-removal/record-info", "/api/file-url-upload"}


def ask(name: str, case: Case) -> Request:
    """Return the request that an answer belongs to."""
    if name not in FOLDERS:
        return SUNO_CALLS[case.read_as]().request
    provider, wanted = find_provider(name), requests(name)
    match case.read_as:
        case "credits":
            return provider.build_credits().request
        case "track":
            return provider.build_track("clip-abc123").request
        case "submit":
            return build(name, wanted["idea"])
        case "persona" | "stems" | "upload" if name == "musicmint":
            return build(name, wanted[case.read_as])
        case _:
            return provider.build_read(MUSIC_JOB, Ability.MUSIC).request


@pytest.mark.parametrize(("name", "request_", "case"), every_documented_answer())
def test_recorded_answers_are_as_described(name, request_, case: Case):
    """The answers that the dialects are tested on are valid themselves."""
    answer = MockResponse(
        json.dumps(case.response["body"]).encode(), content_type="application/json"
    )

    assert openapi(name).validate_response(mock(name, request_), answer) is None
