"""What the dialect sends and understands is what the OpenAPI file describes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

from personakit.models import Persona, TrackRef, VocalWindow
from personakit.providers.evolink import Evolink
from personakit.receipt import Ability
from personakit.requests import MusicRequest, PersonaRequest
from personakit.wire import Request
from tests.unit.providers.evolink.cases import CASES, MUSIC_JOB, Case

HOST = "https://api.evolink.ai"
FILE = Path(__file__).parents[1] / "data" / "evolink" / "openapi.yaml"
KEY = {"Authorization": "Bearer key"}

SOURCE = TrackRef(
    "task-unified-1774169216-ocqaqde7", "4fcc4507-a7ae-4441-ad8a-465c2f61d5bb"
)
VOICE = Persona("5c57d49ef834110496fae5aa14fec441", "evolink")
CUSTOM: dict[str, Any] = {"lyrics": "[Verse]\n月光照在窗台", "style": "s", "title": "t"}

REQUESTS = {
    "persona": PersonaRequest(SOURCE, name="n", description="d"),
    "persona, window": PersonaRequest(
        SOURCE, name="n", description="d", window=VocalWindow(0, 30), style="jazz"
    ),
    "idea": MusicRequest(idea="rain"),
    "longest idea": MusicRequest(idea="a" * 3000),
    "instrumental idea": MusicRequest(idea="rain", instrumental=True),
    "lyrics": MusicRequest(**CUSTOM),
    "instrumental": MusicRequest(instrumental=True, style="s", title="t"),
    "everything": MusicRequest(
        **CUSTOM,
        persona=VOICE,
        persona_mode="voice",
        model="suno-v6-beta",
        negative_style="metal",
        vocal_gender="male",
        style_weight=0,
        weirdness=1,
        audio_weight=0.55,
        duration=360,
    ),
    "longest": MusicRequest(lyrics="a" * 5000, style="b" * 1000, title="c" * 80),
    "longest v4": MusicRequest(
        lyrics="a" * 3000, style="b" * 200, title="c" * 80, model="suno-v4"
    ),
}


@pytest.fixture(scope="module")
def openapi() -> OpenAPI:
    """Read the description."""
    return OpenAPI.from_file_path(str(FILE))


def mock(request: Request) -> MockRequest:
    """Show a request to the validator as the transport would send it."""
    return MockRequest(
        HOST,
        request.method.lower(),
        request.path,
        headers=KEY,
        data=request.body,
        content_type="application/json",
    )


@pytest.mark.parametrize("wish", REQUESTS.values(), ids=REQUESTS)
def test_submits_are_as_described(openapi, wish):
    """Every body that is built is valid."""
    request = Evolink().build_submit(wish).request

    assert openapi.validate_request(mock(request)) is None


@pytest.mark.parametrize(
    "request_",
    [
        Evolink().build_read(MUSIC_JOB, Ability.MUSIC).request,
        Evolink().build_credits().request,
    ],
    ids=["read", "credits"],
)
def test_reads_are_as_described(openapi, request_):
    """Readings and the balance are asked for as described."""
    assert openapi.validate_request(mock(request_)) is None


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"model": "suno-persona", "model_params": {"name": "n"}}',
        b'{"model": "suno-v5", "custom_mode": true, "prompt": "p"}',
        b'{"model": "suno-v5", "prompt": "p", "duration": 60}',
    ],
)
def test_check_can_fail(openapi, body):
    """A body that breaks the description is found."""
    broken = Request("POST", "/v1/audios/generations", body=body, repeatable=False)
    with pytest.raises(OpenAPIError):
        openapi.validate_request(mock(broken))


def paths() -> list[Any]:
    """Return the recorded answers that the service itself documents."""
    where = {
        "submit": Evolink().build_submit(REQUESTS["idea"]).request,
        "music": Evolink().build_read(MUSIC_JOB, Ability.MUSIC).request,
        "persona": Evolink().build_read(MUSIC_JOB, Ability.PERSONA).request,
        "credits": Evolink().build_credits().request,
    }
    inferred = {
        "read-music-unknown-status",
        "read-music-failed-silently",
        "credits-without-key",
    }
    return [
        pytest.param(case, where[case.read_as], id=name)
        for name, case in CASES.items()
        if case.response and "error" not in case.expect and name not in inferred
    ]


@pytest.mark.parametrize(("case", "request_"), paths())
def test_recorded_answers_are_as_described(openapi, case: Case, request_: Request):
    """The answers that the dialect is tested on are valid themselves."""
    answer = MockResponse(
        json.dumps(case.response["body"]).encode(), content_type="application/json"
    )

    assert openapi.validate_response(mock(request_), answer) is None
