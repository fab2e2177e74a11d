"""MusicMint as the emulator plays it: envelope, tasks, and what comes at once."""

from __future__ import annotations

import asyncio
import hmac

import pytest

from personakit.emulator import Emulator, Fault
from personakit.emulator.services.musicmint import sign
from tests.unit.emulator.callers import Caller
from tests.unit.emulator.test_callbacks import Ear

SPEC = {
    "prompt": "[Verse]\n月光照在窗台\n风轻轻吹来\n[Chorus]\n你是我心中的光",
    "title": "心中的光",
    "tags": "流行 抒情 女声",
}


@pytest.fixture
def mint(emulator, session):
    return Caller(emulator, session, "musicmint")


@pytest.fixture
def clip(emulator):
    return emulator.seed_song(provider="musicmint").track_id


async def finish(mint, **body):
    """Generate, wait, and return the task."""
    accepted = await mint.post("/api/v1/music/generate", {**SPEC, **body})
    await asyncio.sleep(200)
    return (await mint.ask("GET", f"/api/v1/task/{accepted.data['task_id']}")).data


async def test_generation_of_the_specification(mint, emulator):
    """Its example is queued, processed, and completed with two clips."""
    accepted = await mint.post("/api/v1/music/generate", SPEC)
    path = f"/api/v1/task/{accepted.data['task_id']}"
    states = []
    for _ in range(3):
        states.append((await mint.ask("GET", path)).data)
        await asyncio.sleep(30 if len(states) == 1 else 200)
    first, second = states[-1]["results"]

    assert accepted.json["code"] == 0
    assert accepted.json["request_id"].startswith("req-")
    assert accepted.data["status"] == "queuing"
    assert [one["status"] for one in states] == ["queuing", "processing", "completed"]
    assert first["title"] == "心中的光"
    assert first["tags"] == "流行 抒情 女声"
    assert first["id"] != second["id"]
    assert first["expire_at"] - states[-1]["created_at"] > 7 * 86_400_000
    assert [one.credits for one in emulator.charges] == [5]


async def test_failed_task_comes_under_code_0(mint, emulator):
    """The envelope is good, the task is not."""
    emulator.inject(Fault.fails("x", "all platforms unavailable"), on="submit")
    task = await finish(mint)

    assert (task["status"], task["error"]) == ("failed", "all platforms unavailable")
    assert "results" not in task
    assert emulator.credits == 1000


async def test_task_is_read_by_either_verb(mint):
    """GET and POST tell the same, unless one is switched off."""
    accepted = await mint.post("/api/v1/music/generate", SPEC)
    path = f"/api/v1/task/{accepted.data['task_id']}"
    by_get, by_post = await mint.ask("GET", path), await mint.post(path)

    assert by_get.data == by_post.data


@pytest.mark.parametrize(("verb", "other"), [("GET", "POST"), ("POST", "GET")])
async def test_one_verb_alone(session, verb, other):
    """A verb that is switched off meets a bare 405."""
    async with Emulator(poll_verbs=[verb]) as emulator:
        mint = Caller(emulator, session, "musicmint")
        accepted = await mint.post("/api/v1/music/generate", SPEC)
        path = f"/api/v1/task/{accepted.data['task_id']}"

        assert (await mint.ask(verb, path)).code == 0
        refused = await mint.ask(other, path)
        assert (refused.status, refused.body) == (405, b"")


async def test_persona_comes_at_once(mint, clip, emulator):
    """The answer has the id, complete; the same clip gives the same id again."""
    body = {"name": "我的歌手", "clip_id": clip}
    first = await mint.post("/api/v1/music/persona", body)
    again = await mint.post("/api/v1/music/persona", body)
    [item] = first.data["items"]

    assert item["id"].startswith("persona-")
    assert item["status"] == "complete"
    assert first.data["taskBatchId"].startswith("batch-")
    assert again.data["items"] == [item]
    assert [one.kind for one in emulator.charges] == ["persona", "persona"]


async def test_second_persona_may_be_a_conflict(session):
    """Switched so, the second persona of one clip is refused."""
    async with Emulator(persona_again="conflict") as emulator:
        mint = Caller(emulator, session, "musicmint")
        song = emulator.seed_song(provider="musicmint")
        body = {"name": "n", "clip_id": song.track_id}
        first = await mint.post("/api/v1/music/persona", body)
        again = await mint.post("/api/v1/music/persona", body)

    assert (first.code, again.code) == (0, 4009)


async def test_persona_sings_in_both_modes(mint, clip, emulator):
    """The voice is applied to lyrics and to ideas alike."""
    made = await mint.post("/api/v1/music/persona", {"name": "n", "clip_id": clip})
    voice = made.data["items"][0]["id"]
    for body in (SPEC, {"gpt_description_prompt": "a bright song"}):
        sent = {**body, "persona_id": voice}
        assert (await mint.post("/api/v1/music/generate", sent)).code == 0

    unknown = {**SPEC, "persona_id": "persona-x"}
    assert (await mint.post("/api/v1/music/generate", unknown)).code == 4004


async def test_stem_is_no_clip(mint, clip):
    """The voice is served, but its id makes no persona; its upload does."""
    stem = (await mint.post("/api/v1/music/stem", {"clip_id": clip})).data
    wrong = {"name": "n", "clip_id": stem["id"]}
    refused = await mint.post("/api/v1/music/persona", wrong)
    body = {"audio_url": stem["vocal_audio_url"]}
    upload = (await mint.post("/api/v1/music/upload", body)).data
    right = {"name": "n", "clip_id": upload["clipId"]}

    assert (stem["source_clip_id"], stem["status"]) == (clip, "complete")
    assert refused.code == 4002
    assert upload["status"] == 1
    assert isinstance(upload["duration"], int)
    assert (await mint.post("/api/v1/music/persona", right)).code == 0


async def test_stem_of_a_part(mint, clip):
    """A part of the clip may be taken apart."""
    body = {"clip_id": clip, "vocal_start_s": 1, "vocal_end_s": 2.5}
    stem = (await mint.post("/api/v1/music/stem", body)).data

    assert (stem["vocal_start_s"], stem["vocal_end_s"]) == (1, 2.5)


async def test_clip_expires(mint):
    """After its retention a clip is gone for every operation."""
    task = await finish(mint, retention_days=1)
    clip = task["results"][0]["id"]
    before = await mint.post(f"/api/v1/music/{clip}")
    mint.emulator.advance(2 * 86_400)
    after = await mint.post(f"/api/v1/music/{clip}")
    persona = await mint.post("/api/v1/music/persona", {"name": "n", "clip_id": clip})

    assert before.data["id"] == clip
    assert (after.code, after.json["message"]) == (4005, "Music result has expired")
    assert "data" not in after.json
    assert persona.code == 4005


async def test_seeded_clip_lives_for_ever(mint, clip):
    """A life without end is told as 0."""
    assert (await mint.post(f"/api/v1/music/{clip}")).data["expire_at"] == 0
    assert (await mint.post("/api/v1/music/unknown")).code == 4002


async def test_list(mint):
    """Tasks are listed newest first, by state and page, without results."""
    await finish(mint)
    newest = await mint.post("/api/v1/music/cover", {"cover_clip_id": await made(mint)})
    everything = (await mint.post("/api/v1/tasks")).data
    done = (await mint.post("/api/v1/tasks", {"status": 2})).data
    second = (await mint.post("/api/v1/tasks", {"page": 2, "page_size": 1})).data

    assert everything["items"][0]["id"] == newest.data["task_id"]
    assert everything["total"] == 3
    assert {one["status"] for one in done["items"]} == {"completed"}
    assert len(second["items"]) == 1
    assert not any("results" in one for one in everything["items"])


async def made(mint):
    """Return the id of a fresh finished clip."""
    return (await finish(mint))["results"][0]["id"]


async def test_cover(mint):
    """A cover is a task like any other."""
    body = {"cover_clip_id": await made(mint), "tags": "jazz", "mv": "chirp-v3-5"}
    accepted = await mint.post("/api/v1/music/cover", body)

    assert accepted.data["status"] == "queuing"


@pytest.mark.parametrize(
    ("end", "code"), [("-disabled", 1003), ("-deleted", 1004), ("x", 1001)]
)
async def test_keys(mint, end, code):
    """A key that is switched off or gone is told so."""
    told = await mint.post("/api/v1/tasks", key=mint.emulator.api_key + end)

    assert (told.status, told.code) == (200, code)


async def test_statuses_may_mirror_refusals(session):
    """Switched so, refusals have an HTTP status of their own."""
    async with Emulator(mirror_status=True) as emulator:
        mint = Caller(emulator, session, "musicmint")
        told = [
            await mint.post("/api/v1/tasks", key="x"),
            await mint.post("/api/v1/music/unknown"),
            await mint.post("/api/v1/music/persona", {}),
        ]

    assert [one.status for one in told] == [401, 404, 400]


async def test_empty_account(session):
    """Nothing is made without credits."""
    async with Emulator(credits=0) as emulator:
        mint = Caller(emulator, session, "musicmint")

        assert (await mint.post("/api/v1/music/generate", SPEC)).code == 4006
        assert emulator.charges == ()


async def test_what_is_not_there(mint):
    """Unknown tasks and paths are refused."""
    assert (await mint.ask("GET", "/api/v1/task/x")).code == 4003
    assert (await mint.ask("GET", "/x")).status == 404


async def test_callback_is_signed_and_comes_once(session):
    """One POST at the end, not enveloped, with the signature of its bytes."""
    async with Ear(500) as ear, Emulator(callbacks_to=ear.url) as emulator:
        mint = Caller(emulator, session, "musicmint")
        url = {"callback_url": "https://h.example/c"}
        good = await mint.post("/api/v1/music/generate", {**SPEC, **url})
        emulator.inject(Fault.fails("x", "No."), on="submit")
        bad = await mint.post("/api/v1/music/generate", {**SPEC, **url})
        await asyncio.sleep(300)
        told = {one.body: dict(one.headers) for one in emulator.callbacks}

    bodies = {body["task_id"]: body for _, _, body, _ in ear.heard}
    assert len(ear.heard) == 2
    assert bodies[good.data["task_id"]]["status"] == "completed"
    assert len(bodies[good.data["task_id"]]["results"]) == 2
    assert bodies[bad.data["task_id"]]["error"] == "No."
    assert all(
        hmac.compare_digest(head["X-Signature"], sign(b"emulator-secret", body))
        for body, head in told.items()
    )


def test_signature_of_the_fact_sheet():
    """The computed test vector holds."""
    body = b'{"task_id":"t1","status":"failed","error":"x"}'

    assert sign(b"whsec-test", body) == (
        "f31a18b2c3d4e2c49319745e8d83880ab03c35a1c808d802968079819dcf2bfa"
    )
