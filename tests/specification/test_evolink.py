"""The Suno persona page of Evolink, fact by fact."""

from __future__ import annotations

import json

import pytest

from personakit import (
    AuthenticationError,
    InsufficientCredits,
    InvalidRequest,
    JobState,
    MusicRequest,
    OutcomeUnknown,
    Persona,
    PersonaRequest,
    RateLimited,
    Track,
    TrackRef,
    VocalWindow,
)
from personakit.emulator import Fault
from personakit.http.messages import Response
from personakit.providers.evolink import Evolink
from personakit.receipt import Ability
from tests.conftest import connect

fact = pytest.mark.fact

TASK = "task-unified-1774169216-ocqaqde7"
SONG = "4fcc4507-a7ae-4441-ad8a-465c2f61d5bb"
JOB = "task-unified-1774170584-su75smg7"
REF = TrackRef(TASK, SONG)
LEAST = {
    "name": "Electronic Pop Singer",
    "description": (
        "Modern electronic style with energetic beats and synthesizer tones for dance "
        "music"
    ),
}
FULL = {
    "name": "Jazz Vocalist",
    "description": (
        "Smooth jazz vocal style with warm tones and improvisational flair suitable "
        "for lounge music"
    ),
}
IDEA = MusicRequest(idea="rain")


def answer(body, status=200):
    """Make an answer of the service."""
    return Response(status, {}, json.dumps(body).encode())


def read(body, kind=Ability.PERSONA):
    """Read one reading of the page's task."""
    return Evolink().build_read(JOB, kind).parse(answer({"id": JOB, **body}))


def build(request, **more):
    """Return the body of a paid request."""
    return json.loads(Evolink().build_submit(request, **more).request.body)


@fact("evolink-base", "evolink-auth", "evolink-json")
async def test_address_key_and_json(kit, emulator, source):
    """The service's address is known; every call has the key, and JSON both ways."""
    await kit.create_persona(source, **LEAST)
    heads = [dict(one.headers) for one in emulator.exchanges if one.method == "POST"]

    assert Evolink().base_url == "https://api.evolink.ai"
    assert all(one.key_seen for one in emulator.exchanges)
    assert {head["Content-Type"] for head in heads} == {"application/json"}
    assert json.loads(emulator.exchanges[0].body)["model"] == "suno-persona"


@fact("evolink-work")
async def test_submit_gives_a_task_that_is_polled(kit, emulator, source):
    """The submit brings an id alone; readings of that task bring the result."""
    job = await kit.submit(PersonaRequest(source, **LEAST))
    first = job.snapshot
    persona = await job

    reads = [one.path for one in emulator.exchanges if one.action == "read"]
    assert job.id.startswith("task-unified-")
    assert (first.state, first.result) == (JobState.QUEUED, None)
    assert set(reads) == {f"/evolink/v1/tasks/{job.id}"}
    assert isinstance(persona, Persona)


@fact("evolink-body", "evolink-examples")
def test_bodies_of_the_examples():
    """The page's two bodies are built as they stand there; a song's body is flat."""
    least = build(PersonaRequest(REF, **LEAST))
    full = build(PersonaRequest(REF, **FULL, window=VocalWindow(15, 35), style="jazz"))

    assert least == {
        "model": "suno-persona",
        "model_params": {"source_task_id": TASK, "result_id": SONG, **LEAST},
    }
    assert full == {
        "model": "suno-persona",
        "model_params": {
            "source_task_id": TASK,
            "result_id": SONG,
            **FULL,
            "vocal_start": 15,
            "vocal_end": 35,
            "style": "jazz",
        },
    }
    assert "model_params" not in build(IDEA)


@fact("evolink-source", "evolink-400-source")
async def test_sources_that_are_refused(kit, emulator, source):
    """Unknown tasks, unfinished ones, and persona tasks give no voice."""
    running = emulator.seed_song(finished=False)
    made = await kit.submit(PersonaRequest(source, **LEAST))
    await made
    refs = [
        TrackRef("task-unified-1-x", SONG),
        TrackRef(running.job_id, running.track_id),
        TrackRef(made.id, SONG),
    ]
    told = []
    for ref in refs:
        with pytest.raises(InvalidRequest) as caught:
            await kit.create_persona(ref, **LEAST)
        told.append(caught.value)

    assert [one.code for one in told] == ["invalid_request"] * 3
    assert told[0].message == (
        "evolink says: 源任务不存在或不属于当前用户: task-unified-1-x"
    )
    assert [one.charged for one in told] == ["no"] * 3


@fact("evolink-source")
async def test_old_source_is_refused_before_sending(kit, emulator):
    """A track of generation 3.5 is known to give no voice; 4 and later do."""
    old = Track("evolink", TASK, SONG, model="suno-v3.5")
    new = emulator.seed_song(model="suno-v4")
    with pytest.raises(InvalidRequest, match="must be made by suno-v4 or newer"):
        await kit.create_persona(old, **LEAST)
    persona = await kit.create_persona(TrackRef(new.job_id, new.track_id), **LEAST)

    assert emulator.count("submit") == 1
    assert persona.id


@fact("evolink-result-id")
async def test_track_is_named_by_its_result_id(kit, emulator):
    """The id of a finished song's track is the result_id that personas are made of."""
    track, _ = await kit.generate(idea="rain")
    await kit.create_persona(track, **LEAST)

    submits = [one for one in emulator.exchanges if one.action == "submit"]
    sent = json.loads(submits[-1].body)["model_params"]
    assert sent["result_id"] == track.track_id
    assert len(track.track_id) == 36
    with pytest.raises(InvalidRequest, match="must be a UUID, the result_id"):
        build(PersonaRequest(TrackRef(TASK, "1"), **LEAST))


@fact("evolink-once")
async def test_voice_is_given_once(kit, emulator, source):
    """A second persona of one song is an error that costs nothing."""
    await kit.create_persona(source, **LEAST)
    with pytest.raises(InvalidRequest) as caught:
        await kit.create_persona(source, **LEAST)

    assert (caught.value.charged, caught.value.retry_safe) == ("no", False)
    assert len(emulator.charges) == 1


@fact("evolink-once")
async def test_lost_answer_is_not_sent_again(kit, emulator, source):
    """A second submit could meet the duplicate's error, so none is made."""
    emulator.inject(Fault.drop(), on="submit")
    with pytest.raises(OutcomeUnknown):
        await kit.create_persona(source, **LEAST)

    assert emulator.count("submit") == len(emulator.charges) == 1


@fact("evolink-name")
@pytest.mark.parametrize("size", [1, 10_000])
async def test_names_have_no_limit(kit, source, size):
    """Any length of name and description is sent and taken."""
    text = "我" * size
    persona = await kit.create_persona(source, name=text, description=text)

    assert persona.name == persona.description == text


@fact("evolink-name", "evolink-400-missing")
@pytest.mark.parametrize("field", ["name", "description"])
def test_missing_fields(field):
    """A blank field is refused here; the service would answer that it is required."""
    with pytest.raises(InvalidRequest, match=f"{field} must not be blank"):
        PersonaRequest(REF, **{**LEAST, field: " "})


@fact("evolink-window")
def test_window_has_both_ends():
    """Both ends are sent, or none of them."""
    with_window = build(PersonaRequest(REF, **LEAST, window=VocalWindow(0, 10)))
    without = build(PersonaRequest(REF, **LEAST))

    assert with_window["model_params"].keys() - without["model_params"].keys() == {
        "vocal_start",
        "vocal_end",
    }


@fact("evolink-window")
@pytest.mark.parametrize(
    ("start", "end", "is_taken"),
    [
        (0, 10, True),
        (0, 30, True),
        (15, 35, True),
        (10.2, 40.2, True),
        (0, 9.99, False),
        (0, 30.01, False),
    ],
)
async def test_windows(kit, emulator, source, start, end, is_taken):
    """10 to 30 s are taken by the service, and anything else is refused before it."""
    request = PersonaRequest(source, **LEAST, window=VocalWindow(start, end))
    try:
        taken = (await kit.submit(request)) is not None
    except InvalidRequest as error:
        taken = error.field != "window"

    assert taken is is_taken
    assert emulator.count("submit") == is_taken


@fact("evolink-style")
@pytest.mark.parametrize(("style", "sent"), [("自由 free", True), ("", False)])
async def test_style_is_free_and_may_be_empty(kit, emulator, source, style, sent):
    """Any text is sent; an empty one would be ignored, and is left out."""
    persona = await kit.create_persona(source, **LEAST, style=style)
    body = json.loads(emulator.exchanges[0].body)["model_params"]

    assert ("style" in body) is sent
    assert persona.style == (style or None)


@fact("evolink-callback")
async def test_persona_takes_no_callback(emulator, source):
    """Even with an address for callbacks, a persona's request has none."""
    url = "https://hooks.example.com/a"
    async with connect(emulator, callback_url=url) as kit:
        await kit.create_persona(source, **LEAST)

    assert b"callback" not in emulator.exchanges[0].body


@fact("evolink-accepted")
def test_accepted_task():
    """The page's accepted task is read: its id and its estimate."""
    body = {
        "created": 1774170584,
        "id": JOB,
        "model": "suno-persona",
        "object": "audio.generation.task",
        "progress": 0,
        "status": "pending",
        "task_info": {"can_cancel": False, "estimated_time": 15},
        "type": "audio",
        "usage": {
            "billing_rule": "per_call",
            "credits_reserved": 1,
            "user_group": "default",
        },
    }
    told = Evolink().build_submit(PersonaRequest(REF, **LEAST)).parse(answer(body))

    assert (told.job_id, told.state) == (JOB, JobState.QUEUED)
    assert (told.service_state, told.estimated_time) == ("pending", 15)


REFUSALS = [
    (
        400,
        "invalid_request",
        "invalid_request_error",
        "model_params.source_task_id is required",
        InvalidRequest,
    ),
    (
        400,
        "invalid_request",
        "invalid_request_error",
        "源任务不存在或不属于当前用户: task-unified-xxx",
        InvalidRequest,
    ),
    (
        400,
        "invalid_request",
        "invalid_request_error",
        "vocal_end - vocal_start must be between 10 and 30 seconds",
        InvalidRequest,
    ),
    (
        401,
        "unauthorized",
        "authentication_error",
        "Invalid or expired token",
        AuthenticationError,
    ),
    (
        402,
        "insufficient_quota",
        "insufficient_quota",
        "Insufficient quota. Please top up your account.",
        InsufficientCredits,
    ),
    (
        429,
        "rate_limit_exceeded",
        "rate_limit_error",
        "Too many requests, please try again later",
        RateLimited,
    ),
]


@fact(
    "evolink-400-missing",
    "evolink-400-source",
    "evolink-400-window",
    "evolink-401",
    "evolink-402",
    "evolink-429",
    "evolink-error-shape",
)
@pytest.mark.parametrize(("status", "code", "kind", "message", "error"), REFUSALS)
def test_documented_refusals(status, code, kind, message, error):
    """Each refusal of the page is an error of its own class, and free."""
    body = {"error": {"code": code, "message": message, "type": kind}}
    call = Evolink().build_submit(PersonaRequest(REF, **LEAST))
    with pytest.raises(error) as caught:
        call.parse(answer(body, status))

    assert type(caught.value) is error
    assert (caught.value.code, caught.value.status) == (code, status)
    assert (caught.value.charged, message in caught.value.message) == ("no", True)
    assert caught.value.retry_safe is (status == 429)


@fact("evolink-429")
async def test_too_many_requests_are_tried_again(kit, emulator, source):
    """A busy service is asked again within the deadline, and paid once."""
    emulator.inject(Fault.status(429), on="submit", times=2)
    persona = await kit.create_persona(source, **LEAST)

    assert persona.id
    assert emulator.count("submit") == 3
    assert len(emulator.charges) == 1


@fact("evolink-500")
def test_fault_leaves_the_outcome_open():
    """After a fault of the service nobody knows whether the task exists."""
    error = {
        "code": "internal_error",
        "message": "Internal server error",
        "type": "api_error",
    }
    call = Evolink().build_submit(PersonaRequest(REF, **LEAST))
    with pytest.raises(OutcomeUnknown) as caught:
        call.parse(answer({"error": error}, 500))

    assert (caught.value.code, caught.value.charged) == ("internal_error", "unknown")


@fact("evolink-messages")
@pytest.mark.parametrize("message", ["Insufficient quota.", "余额不足", "", None])
def test_language_decides_nothing(message):
    """The class follows from the code alone, in whatever language it is explained."""
    body = {"error": {"code": "insufficient_quota", "message": message}}
    with pytest.raises(InsufficientCredits):
        Evolink().build_submit(IDEA).parse(answer(body, 402))


@fact("evolink-use")
@pytest.mark.parametrize("model", ["suno-v4", "suno-v4.5", "suno-v5", "suno-v6"])
async def test_any_model_may_use_a_persona(kit, emulator, model):
    """A persona of a V4 song is sent with any model."""
    old = emulator.seed_song(model="suno-v4-beta")
    persona = await kit.create_persona(TrackRef(old.job_id, old.track_id), **LEAST)
    tracks = await kit.generate(
        lyrics="la", style="s", title="t", persona=persona, model=model
    )

    assert len(tracks) == 2


@fact("evolink-created", "evolink-progress", "evolink-estimate")
def test_task_tells_date_progress_and_estimate():
    """A reading tells progress and estimate; the date gives the links' end."""
    running = read(
        {"status": "processing", "progress": 50, "task_info": {"estimated_time": 15}}
    )
    songs = {"songs": [{"result_id": SONG, "audio_url": "https://m.example/a.mp3"}]}
    done = read(
        {"status": "completed", "created": 1774170584, "result_data": songs},
        Ability.MUSIC,
    )

    assert (running.progress, running.estimated_time) == (0.5, 15)
    assert done.result[0].expires_at.timestamp() > 1774170584


@fact("evolink-status")
@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("pending", JobState.QUEUED),
        ("processing", JobState.RUNNING),
        ("completed", JobState.COMPLETED),
        ("failed", JobState.FAILED),
    ],
)
def test_four_statuses(status, state):
    """The page's four words are known."""
    told = read({"status": status, "result_data": {"persona_id": "p"}})

    assert (told.state, told.is_known_state) == (state, True)


@fact("evolink-result-data", "evolink-array")
@pytest.mark.parametrize("shape", ["object", "array"])
def test_songs_stand_in_result_data(shape):
    """Both shapes are read; the page's is the object with songs."""
    songs = [{"result_id": SONG, "audio_url": "https://m.example/a.mp3"}]
    data = {"songs": songs} if shape == "object" else songs
    told = read({"status": "completed", "result_data": data}, Ability.MUSIC)

    assert [track.track_id for track in told.result] == [SONG]


@fact("evolink-cancel")
@pytest.mark.parametrize(
    "info", [{"can_cancel": False}, {"can_cancel": True}, {}, None]
)
def test_nothing_depends_on_can_cancel(info):
    """Whether it is told or not, a reading is the same."""
    told = read({"status": "processing", "task_info": info})

    assert told.state is JobState.RUNNING
