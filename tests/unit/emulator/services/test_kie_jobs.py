"""kie.ai's newer form as the emulator plays it."""

from __future__ import annotations

import asyncio
import json

import pytest

from personakit.emulator import Fault
from tests.unit.emulator.callers import Caller

CREATE = "/api/v1/jobs/createTask"
RECORD = "/api/v1/jobs/recordInfo?taskId="
SONG = {
    "custom_mode": True,
    "instrumental": False,
    "prompt": "la",
    "style": "s",
    "title": "t",
}


@pytest.fixture
def jobs(emulator, session):
    return Caller(emulator, session, "kie-jobs")


async def run(jobs, model, told):
    """Start a job, wait, and return its first and last details."""
    accepted = await jobs.post(
        CREATE, {"model": f"ai-music-api/{model}", "input": told}
    )
    path = RECORD + accepted.data["taskId"]
    first = (await jobs.ask("GET", path)).data
    await asyncio.sleep(200)
    return first, (await jobs.ask("GET", path)).data


async def test_song(jobs):
    """A song is a job whose result is JSON text; V6 is the usual model."""
    first, last = await run(jobs, "generate", SONG)
    songs = json.loads(last["resultJson"])["data"]

    assert (first["state"], first["resultJson"]) == ("queuing", None)
    assert last["state"] == "success"
    assert len(songs) == 2
    assert songs[0]["model_name"] == "chirp-v6"
    assert last["creditsConsumed"] == 12


async def test_persona_is_a_job(jobs, emulator):
    """A persona is polled like a song, and shares the classic form's memory."""
    song = emulator.seed_song(provider="kie")
    told = {
        "task_id": song.job_id,
        "audio_id": song.track_id,
        "name": "n",
        "description": "d",
    }
    first, last = await run(jobs, "generate-persona", told)
    again = await jobs.post(
        CREATE, {"model": "ai-music-api/generate-persona", "input": told}
    )

    assert first["state"] == "queuing"
    assert len(json.loads(last["resultJson"])["persona_id"]) == 32
    assert again.code == 409


async def test_job_that_fails(jobs, emulator):
    """A failure has a code as text, and words."""
    emulator.inject(Fault.fails("531", "It broke."), on="submit")
    _, last = await run(jobs, "generate", SONG)

    assert (last["state"], last["failCode"]) == ("fail", "531")
    assert last["failMsg"] == "It broke."


@pytest.mark.parametrize(
    "body",
    [
        {"model": "ai-music-api/dance", "input": {}},
        {"model": "ai-music-api/generate", "input": 7},
        {},
    ],
)
async def test_refusals(jobs, body):
    """An unknown operation, or one without input, is refused."""
    assert (await jobs.post(CREATE, json.dumps(body).encode())).code == 422


async def test_unknown_job(jobs):
    """A job that does not exist is 422; paths of the classic form are there, too."""
    assert (await jobs.ask("GET", RECORD + "x")).code == 422
    assert (await jobs.ask("GET", "/api/v1/chat/credit")).data == 1000


async def test_scripted_errors_have_the_family_s_shape(jobs, emulator):
    """A scripted status is an envelope here, too."""
    emulator.inject(Fault.status(503), on="read")
    told = await jobs.ask("GET", RECORD + "x")

    assert (told.status, told.code) == (503, 503)
