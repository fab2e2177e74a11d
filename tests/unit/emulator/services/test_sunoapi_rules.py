"""What the sunoapi family refuses, field by field."""

from __future__ import annotations

import pytest

from personakit.emulator.clock import Clock
from personakit.emulator.services.fields import Fields
from personakit.emulator.services.sunoapi_rules import (
    ORDERS,
    PROFILES,
    Refusal,
    invalid,
    invalid_old,
    read_persona,
    read_stems,
    upstream,
)
from personakit.emulator.state import Account, State
from personakit.emulator.tasks import Song

BACK = {"callBackUrl": "https://h.example/cb"}
SONG = {
    "customMode": True,
    "instrumental": False,
    "model": "V5",
    "prompt": "la",
    "style": "s",
    "title": "t",
    **BACK,
}
LINK = {"uploadUrl": "https://x.example/a"}
FLAG = {"defaultParamFlag": True, "continueAt": 2}
PERSONA = {"taskId": "j1", "audioId": "t1", "name": "n", "description": "d"}
PLAIN, ORG, KIE = PROFILES


@pytest.fixture
def state():
    clock = Clock(1.0)
    state = State(clock, Account(clock, 100), seed=0)
    state.add_song(Song("j1", "t1", "Title", "pop", "V5", "p1"), finished=True)
    state.add_song(Song("j2", "t2", "Title", "pop", "V5"), finished=False)
    state.add_song(Song("j3", "t3", "Title", "pop", "V3_5"), finished=True)
    return state


def order(state, operation, body, refuse=invalid):
    return ORDERS[operation](Fields(body, refuse), state)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("generate", SONG),
        ("generate", {**SONG, "customMode": False, "duration": None}),
        ("generate", {**SONG, "instrumental": True, "prompt": None}),
        ("generate", {**SONG, "personaId": "p1", "personaModel": "voice_persona"}),
        ("generate", {**SONG, "model": "V6", "style": None, "title": None}),
        ("generate", {**SONG, "model": "V6", "lyrics": "a" * 5000, "duration": 360}),
        ("generate", {**SONG, "title": "a" * 100}),
        ("extend", {**SONG, **FLAG, "audioId": "t1"}),
        ("extend", {**BACK, "defaultParamFlag": False, "audioId": "t1", "model": "V5"}),
        ("upload-cover", {**SONG, **LINK}),
        ("upload-cover", {"model": "V6", **LINK, **BACK}),
        ("upload-extend", {"model": "V5", **LINK, **FLAG, **BACK}),
        ("mashup", {**SONG, "uploadUrlList": ["https://a", "https://b"]}),
    ],
)
def test_orders(state, operation, body):
    """What the pages allow becomes a song that lives for two weeks."""
    assert order(state, operation, body).life == 14 * 86_400


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("generate", {**SONG, "customMode": None}),
        ("generate", {**SONG, "instrumental": None}),
        ("generate", {**SONG, "model": None}),
        ("generate", {**SONG, "model": "V4.5"}),
        ("generate", {**SONG, "callBackUrl": None}),
        ("generate", {**SONG, "callBackUrl": "h.example"}),
        ("generate", {**SONG, "style": None}),
        ("generate", {**SONG, "title": None}),
        ("generate", {**SONG, "prompt": None}),
        ("generate", {**SONG, "customMode": False, "prompt": None}),
        ("generate", {**SONG, "model": "V6", "style": None, "prompt": None}),
        ("generate", {**SONG, "model": "V4", "prompt": "a" * 3001}),
        ("generate", {**SONG, "model": "V4", "style": "a" * 201}),
        ("generate", {**SONG, "title": "a" * 101}),
        ("generate", {**SONG, "customMode": False, "prompt": "a" * 3001}),
        ("generate", {**SONG, "model": "V4", "personaModel": "style_persona"}),
        ("generate", {**SONG, "personaModel": "x"}),
        ("generate", {**SONG, "vocalGender": "x"}),
        ("generate", {**SONG, "styleWeight": 1.1}),
        ("generate", {**SONG, "duration": 60}),
        ("generate", {**SONG, "model": "V6", "duration": 9}),
        ("generate", {**SONG, "model": "V6", "customMode": False, "duration": 60}),
        ("extend", {**SONG, "audioId": "t1", "continueAt": 2}),
        ("extend", {**SONG, "defaultParamFlag": True, "audioId": "t1"}),
        ("extend", {**SONG, **FLAG, "audioId": "t1", "model": "V6"}),
        ("extend", {**SONG, **FLAG, "audioId": "t1", "continueAt": 999}),
        ("extend", {**SONG, **FLAG, "audioId": "t1", "continueAt": 0}),
        ("upload-cover", {**SONG, "uploadUrl": "a.mp3"}),
        ("upload-cover", SONG),
        ("upload-extend", {**SONG, **LINK, "defaultParamFlag": True}),
        ("mashup", {**SONG, "uploadUrlList": ["https://a"]}),
        ("mashup", SONG),
    ],
)
@pytest.mark.parametrize(("refuse", "code"), [(invalid, 422), (invalid_old, 400)])
def test_refused_orders(state, operation, body, refuse, code):
    """What the pages forbid is refused, by the code of the host's table."""
    with pytest.raises(Refusal) as caught:
        order(state, operation, body, refuse)

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("operation", "body", "code"),
    [
        ("generate", {**SONG, "personaId": "x"}, 404),
        ("extend", {**SONG, **FLAG, "audioId": "x"}, 404),
        ("extend", {**SONG, **FLAG, "audioId": "t2"}, 422),
    ],
)
def test_what_is_not_there(state, operation, body, code):
    """Unknown ids are 404, an unfinished source is 422."""
    with pytest.raises(Refusal) as caught:
        order(state, operation, body)

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"taskId": None}, 422),
        ({"audioId": ""}, 422),
        ({"name": " "}, 422),
        ({"description": None}, 422),
        ({"style": 7}, 422),
        ({"taskId": "x"}, 404),
        ({"audioId": "x"}, 404),
        ({"taskId": "j2"}, 404),
        ({"taskId": "j2", "audioId": "t2"}, 422),
        ({"taskId": "j3", "audioId": "t3"}, 422),
        ({"vocalStart": 30}, 422),
        ({"vocalStart": 5, "vocalEnd": 5}, 422),
        ({"vocalStart": -1}, 422),
        ({"vocalEnd": "30"}, 422),
    ],
)
@pytest.mark.parametrize("profile", PROFILES, ids=lambda one: one.name)
def test_refused_personas(state, profile, body, code):
    """What the specification forbids is refused on every host."""
    with pytest.raises(Refusal) as caught:
        read_persona(Fields({**PERSONA, **body}, invalid), state, profile)

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("profile", "window", "is_taken"),
    [
        (PLAIN, (0, 1), True),
        (PLAIN, (0, 500), True),
        (ORG, (0, 10), True),
        (ORG, (0.001, 10.001), True),
        (ORG, (0, 9.99), False),
        (ORG, (0, 30.01), False),
        (ORG, (490, 500), False),
        (KIE, (0.01, 10.01), True),
        (KIE, (0.001, 10.001), False),
    ],
)
def test_windows(state, monkeypatch, profile, window, is_taken):
    """The host of the specification takes any window, the others 10 to 30 s."""
    monkeypatch.setattr("personakit.emulator.audio.duration", lambda _: 60.0)
    body = {**PERSONA, "vocalStart": window[0], "vocalEnd": window[1]}
    try:
        taken = read_persona(Fields(body, invalid), state, profile) is not None
    except Refusal:
        taken = False

    assert taken is is_taken


def test_stems(state):
    """A song is named by its ids, audio from elsewhere by its address."""
    own = Fields({"taskId": "j1", "audioId": "t1", **BACK}, invalid)
    other = Fields({"audioUrl": "https://x.example/a", **BACK}, invalid)

    assert read_stems(own, state).track_id == "t1"
    assert read_stems(other, state) is None


@pytest.mark.parametrize(
    "body",
    [{}, BACK, {"audioUrl": "https://x.example/a"}, {"type": "split_stem", **BACK}],
)
def test_refused_stems(state, body):
    """Ids or an address, and an address for callbacks, are required."""
    with pytest.raises(Refusal):
        read_stems(Fields(body, invalid), state)


@pytest.mark.parametrize(
    ("model", "name"), [("V4", "chirp-v4"), ("V5", "chirp-v5"), ("V6", "chirp-v6")]
)
def test_names_of_the_upstream(model, name):
    """The upstream has names of its own."""
    assert upstream(model) == name
