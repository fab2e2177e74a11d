"""Evolink as the emulator plays it, over HTTP and against its description."""

from __future__ import annotations

import json
import re

import pytest

from personakit.emulator import Charge, Emulator, Fault
from personakit.emulator.callbacks import CallbackQueue
from personakit.emulator.clock import Clock
from personakit.emulator.services.evolink import Evolink
from personakit.emulator.services.evolink_rules import Refusal, read_task_ids
from personakit.emulator.state import Account, State

MUSIC = {
    "model": "suno-v5-beta",
    "custom_mode": True,
    "style": "smooth jazz",
    "title": "Blue hour",
    "prompt": "[Verse]\nLate again",
}
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def persona_of(song, **changes):
    params = {
        "source_task_id": song.job_id,
        "result_id": song.track_id,
        "name": "Jazz Vocalist",
        "description": "Warm lounge jazz voice",
    }
    return {"model": "suno-persona", "model_params": {**params, **changes}}


async def test_accepted_music(caller):
    """A music request is acknowledged in the documented shape, with the full name."""
    reply = await caller.submit({**MUSIC, "model": "suno-v5"})

    assert reply.status == 200
    assert re.fullmatch(r"task-unified-\d{10}-[a-z0-9]{8}", reply.json["id"])
    assert reply.json == {
        "created": reply.json["created"],
        "id": reply.json["id"],
        "model": "suno-v5-beta",
        "object": "audio.generation.task",
        "progress": 0,
        "status": "pending",
        "task_info": {"can_cancel": True, "estimated_time": 60},
        "type": "audio",
        "usage": {
            "billing_rule": "per_call",
            "credits_reserved": 10,
            "user_group": "default",
        },
    }
    assert reply.headers["X-Request-Id"]


async def test_accepted_persona(emulator, caller):
    """A persona request is acknowledged in the shape of the specification."""
    song = emulator.seed_song()

    reply = await caller.submit(persona_of(song, vocal_start=15, vocal_end=35))

    assert reply.status == 200
    assert reply.json["model"] == "suno-persona"
    assert reply.json["task_info"] == {"can_cancel": False, "estimated_time": 15}
    assert reply.json["usage"]["credits_reserved"] == 1


async def test_finished_music(emulator, caller):
    """A finished music task names two songs whose links work without a key."""
    job_id = (await caller.submit(MUSIC)).json["id"]
    emulator.advance(180)

    told = (await caller.read(job_id)).json
    songs = told["result_data"]["songs"]
    audio = await caller.fetch(songs[0]["audio_url"])
    image = await caller.fetch(songs[0]["image_url"])

    assert (told["status"], told["progress"]) == ("completed", 100)
    assert told["task_info"] == {"can_cancel": False}
    assert "usage" not in told
    assert told["results"] == [song["audio_url"] for song in songs]
    assert len(songs) == 2
    assert all(re.fullmatch(UUID, song["result_id"]) for song in songs)
    assert songs[0]["title"] == "Blue hour"
    assert songs[0]["tags"] == "smooth jazz"
    assert (audio.status, audio.headers["Content-Type"]) == (200, "audio/wav")
    assert songs[0]["duration"] == (len(audio.body) - 44) / 32_000
    assert (image.status, image.headers["Content-Type"]) == (200, "image/png")


async def test_older_song_shape(caller_of):
    """On request, songs come as the bare array of the older documentation."""
    async with Emulator(song_shape="array") as emulator:
        song = emulator.seed_song()

        told = (await caller_of(emulator).read(song.job_id)).json

    assert [each["result_id"] for each in told["result_data"]] == [song.track_id]


async def test_finished_persona_can_be_used(emulator, caller):
    """A finished persona task names an id of 32 hex digits that music accepts."""
    song = emulator.seed_song()
    job_id = (await caller.submit(persona_of(song))).json["id"]
    emulator.advance(45)

    told = (await caller.read(job_id)).json
    persona_id = told["result_data"]["persona_id"]
    music = await caller.submit({**MUSIC, "persona_id": persona_id})

    assert told["status"] == "completed"
    assert set(told["result_data"]) == {"persona_id"}
    assert "results" not in told
    assert re.fullmatch("[0-9a-f]{32}", persona_id)
    assert music.status == 200


async def test_failed_task_is_refunded(emulator, caller):
    """A failed task tells its error, and its credits come back at that moment."""
    emulator.inject(Fault.fails("content_policy_violation", "Blocked."), on="submit")
    job_id = (await caller.submit(MUSIC)).json["id"]
    before = emulator.charges, emulator.credits
    emulator.advance(180)

    told = (await caller.read(job_id)).json

    assert before == ((Charge(job_id, "music", 10, refunded=False),), 990)
    assert emulator.charges == (Charge(job_id, "music", 10, refunded=True),)
    assert emulator.credits == 1000
    assert (told["status"], told["progress"]) == ("failed", 0)
    assert told["task_info"] == {"can_cancel": False}
    assert told["error"] == {
        "code": "content_policy_violation",
        "message": "Blocked.",
        "type": "task_error",
    }
    assert "result_data" not in told


async def test_failed_persona_frees_its_song(emulator, caller):
    """One song has one persona task at a time, until that task fails."""
    song = emulator.seed_song()
    emulator.inject(Fault.fails(), on="submit")
    first = await caller.submit(persona_of(song))
    second = await caller.submit(persona_of(song))
    emulator.advance(45)
    third = await caller.submit(persona_of(song))

    assert (first.status, second.status, third.status) == (200, 400, 200)
    assert second.error == {
        "code": "invalid_request",
        "message": "a persona already exists for this result_id",
        "type": "invalid_request_error",
    }
    assert [charge.refunded for charge in emulator.charges] == [True, False]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/audios/generations"),
        ("GET", "/v1/tasks/task-unified-1-abcdefgh"),
        ("GET", "/v1/credits"),
    ],
)
@pytest.mark.parametrize("key", ["", "wrong"])
async def test_wrong_key(caller, method, path, key):
    """Every API path refuses a missing and a wrong key."""
    reply = await caller.ask(method, path, key=key)

    assert reply.status == 401
    assert reply.error == {
        "code": "unauthorized",
        "message": "Invalid or expired token",
        "type": "authentication_error",
    }


async def test_credits_run_out(caller_of):
    """A request that costs more than is left is refused and not charged."""
    async with Emulator(credits=15) as emulator:
        caller = caller_of(emulator)
        first = await caller.submit(MUSIC)
        second = await caller.submit(MUSIC)

        assert (first.status, second.status) == (200, 402)
        assert second.error == {
            "code": "insufficient_quota",
            "message": "Insufficient quota. Please top up your account.",
            "type": "insufficient_quota",
        }
        assert len(emulator.charges) == 1


async def test_validation_comes_before_credits(caller_of):
    """An impossible request is told what is wrong with it, even without credits."""
    async with Emulator(credits=0) as emulator:
        reply = await caller_of(emulator).submit({**MUSIC, "model": "udio"})

    assert reply.status == 400


async def test_credits(caller):
    """The balance is told for the key and for the account."""
    await caller.submit(MUSIC)

    reply = await caller.ask("GET", "/v1/credits")

    assert reply.json == {
        "data": {
            "token": {
                "remaining_credits": 990,
                "used_credits": 10,
                "unlimited_credits": False,
            },
            "user": {"remaining_credits": 990, "used_credits": 10},
        },
        "message": "",
        "success": True,
    }


async def test_malformed_task_id(caller):
    """A task id of another kind is refused before it is looked up."""
    reply = await caller.read("task-1")

    assert reply.status == 400
    assert reply.error == {
        "code": "invalid_task_id",
        "message": "Invalid task ID format, must start with 'task-unified-'",
        "type": "invalid_request_error",
        "param": "task_id",
    }


async def test_unknown_task(caller):
    """A task that does not exist is not found."""
    reply = await caller.read("task-unified-1774170584-su75smg7")

    assert reply.status == 404
    assert reply.error == {
        "code": "task_not_found",
        "message": "Task not found or expired",
        "type": "not_found_error",
        "param": "task_id",
    }


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v2/songs"), ("POST", "/v1/models")]
)
async def test_unknown_path(caller, method, path):
    """An unknown path is not found, in the service's own error shape."""
    reply = await caller.ask(method, path)

    assert reply.status == 404
    assert reply.error == {
        "code": "not_found",
        "message": f"Invalid URL ({method} {path})",
        "type": "not_found_error",
    }


@pytest.mark.parametrize("suffix", ["wav", "png"])
async def test_media_of_unfinished_and_unknown_songs(emulator, caller, suffix):
    """Media exist only once their task is finished."""
    song = emulator.seed_song(finished=False)
    base = f"{emulator.url('evolink')}/media"

    early = await caller.fetch(f"{base}/{song.track_id}.{suffix}")
    unknown = await caller.fetch(f"{base}/unknown.{suffix}")
    emulator.advance(60)
    finished = await caller.fetch(f"{base}/{song.track_id}.{suffix}")

    assert (early.status, unknown.status, finished.status) == (404, 404, 200)


async def test_audio_is_resumed_by_range(emulator, caller):
    """A download may begin in the middle."""
    song = emulator.seed_song()
    url = f"{emulator.url('evolink')}/media/{song.track_id}.wav"

    rest = await caller.fetch(url, Range="bytes=1000-")

    assert rest.status == 206
    assert rest.body == song.audio[1000:]


async def test_simple_mode_forgets_the_persona(emulator, caller):
    """In simple mode, style, title and persona are ignored without a word."""
    emulator.seed_song(persona_id="5c57d49ef834110496fae5aa14fec441")
    simple = {
        "model": "suno-v5-beta",
        "prompt": "a rainy night in the city",
        "title": "My title",
        "style": "jazz",
        "persona_id": "no such persona",
        "persona_model": "voice_persona",
    }
    job_id = (await caller.submit(simple)).json["id"]
    emulator.advance(180)

    (song, _) = (await caller.read(job_id)).json["result_data"]["songs"]

    assert song["title"] == "a rainy night in"
    assert song["tags"] == "a rainy night in the city"


@pytest.mark.parametrize(
    ("status", "code", "action", "expected"),
    [
        (400, None, "submit", ("invalid_request", "invalid_request_error")),
        (400, "invalid_task_id", "read", ("invalid_task_id", "invalid_request_error")),
        (401, None, "read", ("unauthorized", "authentication_error")),
        (402, None, "submit", ("insufficient_quota", "insufficient_quota")),
        (403, None, "submit", ("key_model_not_allowed", "permission_error")),
        (404, None, "read", ("task_not_found", "not_found_error")),
        (404, None, "submit", ("not_found", "not_found_error")),
        (409, None, "submit", ("paid_outcome_unknown", "api_error")),
        (413, None, "submit", ("request_too_large", "invalid_request_error")),
        (429, None, "read", ("rate_limit_exceeded", "rate_limit_error")),
        (500, None, "read", ("internal_error", "api_error")),
        (502, None, "read", ("upstream_error", "upstream_error")),
        (503, None, "read", ("service_unavailable", "service_unavailable_error")),
        (425, None, "read", (None, None)),
        (520, None, "read", (None, None)),
        (400, "brand_new", "read", ("brand_new", "invalid_request_error")),
    ],
)
def test_error_codes(status, code, action, expected):
    """Each status has its documented code and type, a gateway's own has none."""
    state = State(clock := Clock(1.0), Account(clock, 0), seed=0)
    evolink = Evolink(state, api_key="key", song_shape="object", queue=CallbackQueue())

    answer = evolink.refuse(status, code=code, action=action)
    error = json.loads(answer.body)["error"]

    assert answer.status == status
    assert (error.get("code"), error.get("type")) == expected


async def test_tasks_are_listed_newest_first(caller, emulator):
    """A page tells the states of tasks without their results (inferred shape)."""
    emulator.seed_song()
    newest = (await caller.submit({"model": "suno-v5", "prompt": "rain"})).json["id"]
    told = (await caller.ask("GET", "/v1/tasks?page=1&page_size=1")).json
    rest = (await caller.ask("GET", "/v1/tasks?page=2&page_size=1")).json

    assert [one["id"] for one in told["data"]] == [newest]
    assert (told["total"], told["page"]) == (2, 1)
    assert rest["data"][0]["status"] == "completed"
    assert emulator.count("list") == 2


async def test_many_tasks_in_one_read(caller, emulator):
    """Tasks come back in the order asked for; unknown ids are missing (inferred)."""
    song = emulator.seed_song()
    first = (await caller.submit({"model": "suno-v5", "prompt": "rain"})).json["id"]
    ids = [first, "task-unified-1-unknown0", song.job_id, first]
    body = json.dumps({"task_ids": ids}).encode()
    told = await caller.ask("POST", "/v1/tasks/batch", data=body)

    assert [one["id"] for one in told.json["data"]] == [first, song.job_id]
    assert told.json["data"][1] == (await caller.read(song.job_id)).json
    assert emulator.count("read") == 2


@pytest.mark.parametrize("ids", [None, "one", [], ["x"] * 51, ["a", 1]])
def test_bad_batch_of_ids(ids):
    """A batch is a list of 1 to 50 texts; no answer to another is described."""
    with pytest.raises(Refusal) as refused:
        read_task_ids({"task_ids": ids})

    assert refused.value.status == 400
    assert "task_ids" in str(refused.value.message)
