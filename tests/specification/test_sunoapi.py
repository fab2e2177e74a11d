"""The two Generate Persona pages of the sunoapi family, fact by fact."""

from __future__ import annotations

import json

import pytest

from personakit import (
    AuthenticationError,
    InsufficientCredits,
    InvalidRequest,
    MusicRequest,
    NotFound,
    OutcomeUnknown,
    PersonaExists,
    PersonaKit,
    PersonaRequest,
    RateLimited,
    ServiceUnavailable,
    Track,
    TrackRef,
    VocalWindow,
)
from personakit.emulator import Emulator, Fault
from personakit.http.messages import Response
from personakit.providers.sunoapi import SunoApi
from tests.contract.worlds import connect, seed

fact = pytest.mark.fact

LINK = "https://x.example/a.mp3"
REF = TrackRef("5c79****be8e", "e231****-****-****-****-****8cadc7dc")
EXAMPLE = {
    "name": "Electronic Pop Singer",
    "description": (
        "A modern electronic music style pop singer, skilled in dynamic rhythms and "
        "synthesizer tones"
    ),
}
SONG = {"lyrics": "[Verse] city lights", "style": "Electronic Pop", "title": "Lights"}
WISH = PersonaRequest(REF, **EXAMPLE)


@pytest.fixture
async def kit(emulator):
    """Open a client of the host that the specification names, as emulated."""
    async with connect(emulator, "sunoapi") as client:
        yield client


def parse(body, status=200, request=WISH):
    """Read an answer to a paid request."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return SunoApi().build_submit(request).parse(Response(status, {}, text))


def build(request):
    """Return the body of a paid request."""
    return json.loads(SunoApi().build_submit(request).request.body)


@fact("sunoapi-at-once", "sunoapi-answer")
async def test_persona_comes_at_once(kit, emulator):
    """One request brings the persona; nothing is polled."""
    persona = await kit.create_persona(seed(emulator, "sunoapi"), **EXAMPLE)
    told = parse(
        {
            "code": 200,
            "msg": "success",
            "data": {"personaId": "a1b2****c3d4", **EXAMPLE},
        }
    )

    assert [one.action for one in emulator.exchanges] == ["submit"]
    assert (persona.name, persona.description) == tuple(EXAMPLE.values())
    assert told.result.id == "a1b2****c3d4"


@fact("sunoapi-envelope")
def test_envelope_is_the_outcome():
    """Under HTTP 200 a code may refuse; its message is told."""
    with pytest.raises(InvalidRequest, match="vocalEnd is wrong") as caught:
        parse({"code": 422, "msg": "vocalEnd is wrong", "data": None})

    assert (caught.value.status, caught.value.code) == (200, "422")
    assert caught.value.charged == "no"


@fact("sunoapi-429-by-path")
def test_same_number_means_different_things():
    """429 is patience for a persona, and a top-up for a song."""
    refusal = {"code": 429, "msg": "no", "data": None}
    with pytest.raises(RateLimited) as persona:
        parse(refusal)
    with pytest.raises(InsufficientCredits) as song:
        parse(refusal, request=MusicRequest(idea="rain"))

    assert (persona.value.retry_safe, song.value.retry_safe) == (True, False)


@fact("sunoapi-once", "sunoapi-409")
async def test_voice_is_given_once(kit, emulator):
    """Both tracks of a task give their voice, each of them once."""
    first, second = await kit.generate(**SONG)
    made = [await kit.create_persona(one, **EXAMPLE) for one in (first, second)]
    with pytest.raises(PersonaExists) as caught:
        await kit.create_persona(first, **EXAMPLE)

    assert made[0].id != made[1].id
    assert (caught.value.code, caught.value.persona_id) == ("409", None)
    assert caught.value.charged == "no"


@fact("sunoapi-once")
async def test_lost_answer_is_not_sent_again(kit, emulator):
    """A lost answer is a lost id: another try would only meet 409."""
    emulator.inject(Fault.drop(), on="submit")
    with pytest.raises(OutcomeUnknown):
        await kit.create_persona(seed(emulator, "sunoapi"), **EXAMPLE)

    assert emulator.count("submit") == 1


@fact("sunoapi-window")
@pytest.mark.parametrize("window", [(0, 30), (0, 0.5), (3, 5), (10, 300)])
async def test_any_window_that_ends_after_it_starts(kit, emulator, window):
    """No length is prescribed: whatever ends after it starts is taken."""
    source = seed(emulator, "sunoapi")
    await kit.create_persona(source, **EXAMPLE, window=VocalWindow(*window))
    body = json.loads(emulator.exchanges[0].body)

    assert (body["vocalStart"], body["vocalEnd"]) == window


@fact("sunoapi-window")
@pytest.mark.parametrize("window", [(30, 30), (30, 0), (-1, 9), (0, -1)])
def test_window_that_does_not_end_later(window):
    """Negative ends, or an end that is not later, are refused before sending."""
    with pytest.raises(InvalidRequest):
        VocalWindow(*window)


@fact("sunoapi-window")
async def test_no_window_leaves_the_default(kit, emulator):
    """Without a window none is sent, and the service takes its own."""
    await kit.create_persona(seed(emulator, "sunoapi"), **EXAMPLE)

    assert b"vocal" not in emulator.exchanges[0].body


@fact("sunoapi-auth")
async def test_address_key_and_path(kit, emulator):
    """The page's host, path, key and content type."""
    await kit.create_persona(seed(emulator, "sunoapi"), **EXAMPLE)
    [sent] = emulator.exchanges

    assert SunoApi().base_url == "https://apibox.erweima.ai"
    assert sent.path == "/sunoapi/api/v1/generate/generate-persona"
    assert (sent.method, sent.key_seen) == ("POST", True)
    assert dict(sent.headers)["Content-Type"] == "application/json"


@fact("sunoapi-task-id")
@pytest.mark.parametrize("how", ["generate", "extend", "cover", "upload", "mashup"])
async def test_every_kind_of_task_gives_a_voice(kit, emulator, how):
    """No origin of a track is refused on our side, nor by the service."""
    source = seed(emulator, "sunoapi")
    match how:
        case "generate":
            tracks = await kit.generate(**SONG)
        case "extend":
            tracks = await kit.extend(source, at=2, **SONG)
        case "cover":
            tracks = await kit.cover(source, **SONG)
        case "upload":
            tracks = await kit.extend(LINK, at=2, **SONG)
        case _:
            tracks = await kit.mashup(source, LINK, **SONG)
    persona = await kit.create_persona(tracks[0], **EXAMPLE)

    assert persona.source == tracks[0].ref


@fact("sunoapi-audio-id")
async def test_track_must_be_of_its_task(kit, emulator):
    """A track of another task is not found."""
    one, other = seed(emulator, "sunoapi"), seed(emulator, "sunoapi")
    with pytest.raises(NotFound):
        await kit.create_persona(TrackRef(one.job_id, other.track_id), **EXAMPLE)

    assert build(WISH)["audioId"] == REF.track_id


@fact("sunoapi-name")
@pytest.mark.parametrize("size", [1, 10_000])
async def test_names_have_no_limit(kit, emulator, size):
    """Any length is sent and taken; blank text is not."""
    text = "我" * size
    persona = await kit.create_persona(
        seed(emulator, "sunoapi"), name=text, description=text
    )

    assert persona.name == persona.description == text
    with pytest.raises(InvalidRequest, match="description must not be blank"):
        PersonaRequest(REF, name="n", description=" ")


@fact("sunoapi-style")
def test_style_is_optional():
    """A label is sent as it is, and left out where there is none."""
    labelled = PersonaRequest(REF, **EXAMPLE, style="Electronic Pop")

    assert build(labelled)["style"] == "Electronic Pop"
    assert "style" not in build(WISH)


@fact("sunoapi-example")
def test_body_of_the_example():
    """The page's parameter example is what is sent."""
    request = PersonaRequest(
        REF, **EXAMPLE, window=VocalWindow(0.0, 30.0), style="Electronic Pop"
    )

    assert build(request) == {
        "taskId": "5c79****be8e",
        "audioId": "e231****-****-****-****-****8cadc7dc",
        "name": "Electronic Pop Singer",
        "description": EXAMPLE["description"],
        "vocalStart": 0.0,
        "vocalEnd": 30.0,
        "style": "Electronic Pop",
    }


@fact("sunoapi-finished")
async def test_source_must_be_done(kit, emulator):
    """Before SUCCESS a persona is refused, and a job yields no track to make it of."""
    job = await kit.submit(MusicRequest(**SONG))
    early = [
        (snapshot.service_state, snapshot.result is None)
        async for snapshot in job.updates()
    ]
    running = emulator.seed_song(provider="sunoapi", finished=False)
    with pytest.raises(InvalidRequest) as caught:
        await kit.create_persona(TrackRef(running.job_id, running.track_id), **EXAMPLE)

    assert early[-1] == ("SUCCESS", False)
    assert all(is_early for _, is_early in early[:-1])
    assert caught.value.charged == "no"


@fact("sunoapi-v4")
async def test_source_must_be_new_enough(kit, emulator):
    """V3_5 is refused before sending where it is known, and by the service else."""
    old = emulator.seed_song(provider="sunoapi", model="V3_5")
    known = Track("sunoapi", old.job_id, old.track_id, model="V3_5")
    with pytest.raises(InvalidRequest, match="must be made by V4 or newer"):
        await kit.create_persona(known, **EXAMPLE)
    before = emulator.count("submit")
    with pytest.raises(InvalidRequest):
        await kit.create_persona(known.ref, **EXAMPLE)

    assert before == 0


CODES = {
    401: AuthenticationError,
    402: InsufficientCredits,
    404: NotFound,
    409: PersonaExists,
    422: InvalidRequest,
    429: RateLimited,
    451: InvalidRequest,
    455: ServiceUnavailable,
}


@fact(
    "sunoapi-401",
    "sunoapi-402",
    "sunoapi-404",
    "sunoapi-409",
    "sunoapi-422",
    "sunoapi-429",
    "sunoapi-451",
    "sunoapi-455",
)
@pytest.mark.parametrize(("code", "error"), CODES.items())
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_documented_codes(code, error, is_mirrored):
    """Each code of the page is an error of its own, under 200 or its own status."""
    body = {"code": code, "msg": "said the service", "data": None}
    with pytest.raises(error) as caught:
        parse(body, code if is_mirrored else 200)

    assert type(caught.value) is error
    assert (caught.value.code, caught.value.charged) == (str(code), "no")
    assert caught.value.retry_safe is (code in {429, 455})
    assert "said the service" in caught.value.message


@fact("sunoapi-429", "sunoapi-455")
@pytest.mark.parametrize("code", [429, 455])
async def test_busy_service_is_tried_again(kit, emulator, code):
    """Too many requests and maintenance are waited out; the persona is made once."""
    body = json.dumps({"code": code, "msg": "later", "data": None}).encode()
    emulator.inject(Fault.text(body, processed=False), on="submit", times=2)
    persona = await kit.create_persona(seed(emulator, "sunoapi"), **EXAMPLE)

    first, second, third = (one.at for one in emulator.exchanges)
    pause = 10 if code == 429 else 60
    assert persona.id
    assert second - first == pytest.approx(pause, abs=0.1)
    assert third - second == pytest.approx(pause, abs=0.1)
    assert len(emulator.charges) == 1


@fact("sunoapi-500")
@pytest.mark.parametrize(
    ("body", "status"),
    [({"code": 500, "msg": "no"}, 200), ({"code": 500, "msg": "no"}, 500), (b"", 500)],
)
def test_fault_leaves_the_outcome_open(body, status):
    """After an unexpected error nobody knows whether the persona exists."""
    with pytest.raises(OutcomeUnknown) as caught:
        parse(body, status)

    assert (caught.value.charged, caught.value.retry_safe) == ("unknown", False)


@fact("sunoapi-callback")
async def test_persona_takes_no_callback():
    """Even with an address for callbacks, a persona's request has none."""
    async with Emulator() as emulator:
        url = "https://hooks.example.com/a"
        async with connect(emulator, "sunoapi", callback_url=url) as kit:
            assert isinstance(kit, PersonaKit)
            await kit.create_persona(seed(emulator, "sunoapi"), **EXAMPLE)

    assert b"callBack" not in emulator.exchanges[0].body
