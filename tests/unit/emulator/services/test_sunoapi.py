"""The sunoapi family as the emulator plays it."""

from __future__ import annotations

import asyncio
import json

import pytest

from personakit.emulator import Emulator, Fault
from personakit.emulator.services.sunoapi import sign
from tests.unit.emulator.callers import Caller
from tests.unit.emulator.test_callbacks import Ear

HOSTS = ["sunoapi", "sunoapi.org", "kie"]
BACK = {"callBackUrl": "https://h.example/cb"}
SONG = {
    "customMode": True,
    "instrumental": False,
    "model": "V5",
    "prompt": "[Verse]\n月光照在窗台",
    "style": "流行 抒情",
    "title": "心中的光",
    **BACK,
}
NAMED = {"name": "Electronic Pop Singer", "description": "d"}
RECORD = "/api/v1/generate/record-info?taskId="
PERSONA = "/api/v1/generate/generate-persona"


@pytest.fixture
def host(emulator, session):
    return Caller(emulator, session, "sunoapi")


def source(emulator, name="sunoapi", **more):
    """Seed a song, and return what a persona request calls it."""
    song = emulator.seed_song(provider=name, **more)
    return {"taskId": song.job_id, "audioId": song.track_id}


async def finish(host, path="/api/v1/generate", body=SONG):
    """Start a task, wait, and return its details."""
    accepted = await host.post(path, body)
    await asyncio.sleep(200)
    return (await host.ask("GET", RECORD + accepted.data["taskId"])).data


@pytest.mark.parametrize("name", HOSTS)
async def test_stages(emulator, session, name):
    """A task goes from PENDING over text and first track to SUCCESS."""
    host = Caller(emulator, session, name)
    accepted = await host.post("/api/v1/generate", SONG)
    stages = {}
    for _ in range(60):
        told = (await host.ask("GET", RECORD + accepted.data["taskId"])).data
        stages.setdefault(told["status"], told["response"])
        await asyncio.sleep(3)
    audio = {
        status: [bool(one["audioUrl"]) for one in response["sunoData"]]
        for status, response in stages.items()
        if response
    }

    assert list(stages) == ["PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS", "SUCCESS"]
    assert stages["PENDING"] is None
    assert audio == {
        "TEXT_SUCCESS": [False, False],
        "FIRST_SUCCESS": [True, False],
        "SUCCESS": [True, True],
    }
    assert [one.credits for one in emulator.charges] == [12]


async def test_details_tell_the_request_and_the_song(host):
    """The request is stored as sorted text, the song told in the upstream's words."""
    told = await finish(host)
    song = told["response"]["sunoData"][0]

    assert json.loads(told["param"]) == SONG
    assert told["param"].startswith('{"callBackUrl"')
    assert (told["operationType"], told["type"]) == ("generate", "chirp-v5")
    assert (song["title"], song["tags"]) == ("心中的光", "流行 抒情")
    assert song["modelName"] == "chirp-v5"
    assert isinstance(song["createTime"], int)


async def test_quickstart_s_shape(session):
    """Switched so, tracks are told under another name in snake_case."""
    async with Emulator(suno_shape="data") as emulator:
        told = await finish(Caller(emulator, session, "sunoapi"))

    assert set(told["response"]) == {"taskId", "data"}
    assert {"audio_url", "createTime"} <= set(told["response"]["data"][0])


@pytest.mark.parametrize(
    ("code", "status", "number"),
    [
        ("CREATE_TASK_FAILED", "CREATE_TASK_FAILED", None),
        ("GENERATE_AUDIO_FAILED", "GENERATE_AUDIO_FAILED", None),
        ("CALLBACK_EXCEPTION", "CALLBACK_EXCEPTION", None),
        ("SENSITIVE_WORD_ERROR", "SENSITIVE_WORD_ERROR", None),
        ("531", "GENERATE_AUDIO_FAILED", 531),
        ("service_error", "GENERATE_AUDIO_FAILED", 500),
    ],
)
async def test_four_ways_to_fail(host, emulator, code, status, number):
    """A task ends in one of the four, with a number where it has one."""
    emulator.inject(Fault.fails(code, "It broke."), on="submit")
    told = await finish(host)

    assert (told["status"], told["errorCode"]) == (status, number)
    assert told["errorMessage"] == "It broke."


@pytest.mark.parametrize("name", HOSTS)
async def test_persona_comes_at_once_and_only_once(emulator, session, name):
    """The answer has the id; a second try is code 409, without an id."""
    host, body = Caller(emulator, session, name), {**source(emulator, name), **NAMED}
    first, again = await host.post(PERSONA, body), await host.post(PERSONA, body)

    assert len(first.data["personaId"]) == 32
    assert first.data["name"] == "Electronic Pop Singer"
    assert (again.status, again.code, again.data) == (200, 409, None)
    assert [one.kind for one in emulator.charges] == ["persona"]


async def test_second_persona_may_overwrite(session):
    """As was observed once, the same id may come again."""
    async with Emulator(persona_again="overwrite") as emulator:
        host = Caller(emulator, session, "sunoapi")
        body = {**source(emulator), **NAMED}
        first, again = await host.post(PERSONA, body), await host.post(PERSONA, body)

    assert again.data["personaId"] == first.data["personaId"]


async def test_both_tracks_of_a_task_give_their_voice(host):
    """Each track can become a persona, whatever made its task."""
    told = await finish(host)
    made = [
        await host.post(
            PERSONA, {"taskId": told["taskId"], "audioId": one["id"], **NAMED}
        )
        for one in told["response"]["sunoData"]
    ]

    assert [one.code for one in made] == [200, 200]


async def test_simple_mode_ignores_a_persona(host):
    """A persona beside an idea is stored, and not heard."""
    body = {**SONG, "customMode": False, "personaId": "unknown"}
    told = await finish(host, body=body)

    assert json.loads(told["param"])["personaId"] == "unknown"


@pytest.mark.parametrize(
    ("path", "more", "operation"),
    [
        ("extend", {"defaultParamFlag": True, "continueAt": 2}, "extend"),
        ("upload-cover", {"uploadUrl": "https://x.example/a"}, "upload_cover"),
        (
            "upload-extend",
            {
                "uploadUrl": "https://x.example/a",
                "defaultParamFlag": True,
                "continueAt": 2,
            },
            "upload_extend",
        ),
        ("mashup", {"uploadUrlList": ["https://x.example/a"] * 2}, "mashup"),
    ],
)
async def test_other_operations(host, emulator, path, more, operation):
    """Every operation is a task that is read like a generation."""
    if path == "extend":
        more = {**more, "audioId": source(emulator)["audioId"]}
    told = await finish(host, f"/api/v1/generate/{path}", {**SONG, **more})

    assert (told["operationType"], told["status"]) == (operation, "SUCCESS")


async def test_stems(host, emulator):
    """A separation has voice and rest, and its own details."""
    body = {**source(emulator), "type": "separate_vocal", **BACK}
    accepted = await host.post("/api/v1/vocal-removal/generate", body)
    path = f"/api/v1/vocal-removal/record-info?taskId={accepted.data['taskId']}"
    before = (await host.ask("GET", path)).data
    await asyncio.sleep(200)
    after = (await host.ask("GET", path)).data
    async with host.session.get(after["response"]["vocalUrl"]) as voice:
        status = voice.status

    assert (before["successFlag"], before["response"]) == ("PENDING", None)
    assert after["successFlag"] == "SUCCESS"
    assert after["musicId"] == body["audioId"]
    assert after["response"]["instrumentalUrl"] != after["response"]["vocalUrl"]
    assert status == 200


async def test_stems_that_fail(host, emulator):
    """A separation may fail, too; audio from elsewhere has no music id."""
    emulator.inject(Fault.fails("500", "It broke."), on="submit")
    body = {"audioUrl": "https://x.example/a", **BACK}
    accepted = await host.post("/api/v1/vocal-removal/generate", body)
    await asyncio.sleep(200)
    path = f"/api/v1/vocal-removal/record-info?taskId={accepted.data['taskId']}"
    told = (await host.ask("GET", path)).data

    assert (told["successFlag"], told["errorCode"]) == ("GENERATE_AUDIO_FAILED", 500)
    assert told["musicId"] is None


async def test_upload(emulator, session):
    """A file or an address becomes a link that is served."""
    kie = Caller(emulator, session, "kie")
    told = await kie.post("/files/api/file-url-upload", {"fileUrl": "https://x/a"})
    async with session.get(told.data["downloadUrl"]) as fetched:
        status = fetched.status

    assert told.json["success"] is True
    assert told.data["filePath"].startswith("personakit/")
    assert status == 200
    assert (await kie.post("/files/api/file-stream-upload", b"--x")).code == 200


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("sunoapi", "/api/v1/generate/credit"),
        ("sunoapi.org", "/api/v1/generate/credit"),
        ("kie", "/api/v1/chat/credit"),
    ],
)
async def test_balance(emulator, session, name, path):
    """Each host tells a bare number at its own path."""
    assert (await Caller(emulator, session, name).ask("GET", path)).data == 1000


@pytest.mark.parametrize(
    ("name", "no_credits", "no_callback"),
    [("sunoapi", 429, 400), ("sunoapi.org", 429, 400), ("kie", 402, 422)],
)
async def test_tables_of_codes(session, name, no_credits, no_callback):
    """The same trouble has another number on another host, and on personas."""
    async with Emulator(credits=0) as emulator:
        host = Caller(emulator, session, name)
        silent = {name: SONG[name] for name in SONG if name != "callBackUrl"}
        mashup = {**SONG, "uploadUrlList": ["https://x.example/a"] * 2}

        assert (await host.post("/api/v1/generate", SONG)).code == no_credits
        assert (await host.post("/api/v1/generate", silent)).code == no_callback
        assert (await host.post("/api/v1/generate/mashup", mashup)).code == 402
        assert (await host.post(PERSONA, {})).code == 422


async def test_statuses_may_mirror_codes(session):
    """Switched so, a refusal has its code for an HTTP status."""
    async with Emulator(mirror_status=True) as emulator:
        host = Caller(emulator, session, "sunoapi")
        told = [
            await host.ask("GET", RECORD + "x"),
            await host.ask("GET", RECORD + "x", key="wrong"),
            await host.post(PERSONA, {**source(emulator), "name": "n"}),
        ]

    assert [(one.status, one.code) for one in told] == [
        (422, 422),
        (401, 401),
        (422, 422),
    ]


async def test_what_is_not_there(host):
    """Unknown tasks are 422, unknown paths 404."""
    assert (await host.ask("GET", RECORD + "x")).code == 422
    assert (await host.ask("GET", "/x")).status == 404


@pytest.mark.parametrize(("name", "status"), [("sunoapi", 441), ("kie", 404)])
async def test_expired_audio(emulator, session, name, status):
    """After two weeks the audio is gone, and so is the voice."""
    host = Caller(emulator, session, name)
    told = await finish(host)
    song = told["response"]["sunoData"][0]
    emulator.advance(15 * 86_400)
    async with session.get(song["audioUrl"]) as gone:
        gone_status = gone.status
    body = {"taskId": told["taskId"], "audioId": song["id"], **NAMED}

    assert gone_status == status
    assert (await host.post(PERSONA, body)).code == 404


@pytest.mark.parametrize(("name", "is_signed"), [("sunoapi", False), ("kie", True)])
async def test_callbacks_have_stages(session, name, is_signed):
    """text, first and complete come in snake_case; kie signs them."""
    async with Ear() as ear, Emulator(callbacks_to=ear.url) as emulator:
        host = Caller(emulator, session, name)
        accepted = await host.post("/api/v1/generate", SONG)
        await asyncio.sleep(300)

    bodies = [body for _, _, body, _ in ear.heard]
    heads = [head for *_, head in ear.heard]
    task = accepted.data["taskId"]
    assert [one["data"]["callbackType"] for one in bodies] == [
        "text",
        "first",
        "complete",
    ]
    assert {one["data"]["task_id"] for one in bodies} == {task}
    assert [len(one["data"]["data"]) for one in bodies] == [0, 2, 2]
    assert bodies[2]["data"]["data"][0]["audio_url"]
    assert all(("X-Webhook-Signature" in head) is is_signed for head in heads)
    if is_signed:
        moment = heads[0]["X-Webhook-Timestamp"]
        signed = sign("emulator-secret", task, moment)
        assert heads[0]["X-Webhook-Signature"] == signed


@pytest.mark.parametrize(("code", "number"), [("531", 531), ("x", 500)])
async def test_callback_of_a_failure(session, code, number):
    """A failed task reports once, with its number."""
    async with Ear() as ear, Emulator(callbacks_to=ear.url) as emulator:
        emulator.inject(Fault.fails(code, "It broke."), on="submit")
        await Caller(emulator, session, "sunoapi").post("/api/v1/generate", SONG)
        await asyncio.sleep(300)

    [(_, _, body, _)] = ear.heard
    assert body["code"] == number
    assert body["data"]["callbackType"] == "error"


def test_signature_of_the_fact_sheet():
    """The computed test vector holds."""
    signed = sign(
        "unit-test-webhook-key", "5c79aabbccddeeff001122334455be8e", "1760000000"
    )

    assert signed == "Smhr1q+IpBrO3FrwJVwbwSfrj7WHfMT2ys0DGKVp8i4="
