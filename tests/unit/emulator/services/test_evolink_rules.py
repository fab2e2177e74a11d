"""What Evolink refuses: one row for each documented rule."""

from __future__ import annotations

import json

import pytest

from personakit.emulator.clock import Clock
from personakit.emulator.services.evolink_rules import (
    MusicOrder,
    Refusal,
    read_body,
    read_music,
    read_persona,
)
from personakit.emulator.state import Account, State
from personakit.emulator.tasks import Song

SOURCE = "task-unified-1774169216-ocqaqde7"
RESULT = "4fcc4507-a7ae-4441-ad8a-465c2f61d5bb"
OTHER = "555f4ea2-cfef-4622-8355-baa5f2ce6a59"
PERSONA = "5c57d49ef834110496fae5aa14fec441"
CUSTOM = {
    "model": "suno-v5-beta",
    "custom_mode": True,
    "style": "jazz",
    "title": "Blue hour",
    "prompt": "[Verse]\nLate again",
}
SIMPLE = {"model": "suno-v5-beta", "prompt": "a rainy night"}


def seeded(job_id, track_id, model="suno-v5-beta"):
    return Song(job_id, track_id, "Title", "pop", model)


@pytest.fixture
def state():
    state = State(clock := Clock(1.0), Account(clock, 100), seed=0)
    state.add_song(seeded(SOURCE, RESULT), finished=True)
    state.add_song(seeded("task-unified-running", OTHER), finished=False)
    state.add_song(seeded("task-unified-old", OTHER, "suno-v3.5"), finished=True)
    state.add_song(seeded("task-unified-odd", OTHER, "qwen3-tts-vd"), finished=True)
    state.order_persona(
        OTHER, job_id="task-unified-persona", model="suno-persona", price=1
    )
    return state


def persona_body(changes):
    params = {
        "source_task_id": SOURCE,
        "result_id": RESULT,
        "name": "Jazz Vocalist",
        "description": "Warm lounge jazz voice",
    }
    return {"model": "suno-persona", "model_params": {**params, **changes}}


WINDOW = "vocal_end - vocal_start must be between 10 and 30 seconds"
TOGETHER = "vocal_start and vocal_end must be provided together"
NEGATIVE = "vocal_start and vocal_end must not be negative"
BACKWARDS = "vocal_end must be greater than vocal_start"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_task_id": None}, "model_params.source_task_id is required"),
        ({"result_id": ""}, "model_params.result_id is required"),
        ({"name": "  "}, "model_params.name is required"),
        ({"description": None}, "model_params.description is required"),
        ({"source_task_id": 7}, "model_params.source_task_id must be a string"),
        ({"name": ["x"]}, "model_params.name must be a string"),
        ({"style": 1}, "model_params.style must be a string"),
        ({"result_id": "song-1"}, "model_params.result_id must be a UUID"),
        (
            {"source_task_id": "task-unified-xxx"},
            "源任务不存在或不属于当前用户: task-unified-xxx",
        ),
        (
            {"source_task_id": "task-unified-persona"},
            "不能从 Persona 任务创建新的 Persona: task-unified-persona",
        ),
        (
            {"source_task_id": "task-unified-running"},
            "源任务未完成: task-unified-running",
        ),
        (
            {"source_task_id": "task-unified-old"},
            "源任务模型版本必须为 suno-v4 及以上: suno-v3.5",
        ),
        (
            {"source_task_id": "task-unified-odd"},
            "源任务模型版本必须为 suno-v4 及以上: qwen3-tts-vd",
        ),
        ({"result_id": OTHER}, f"result_id not found in source task: {OTHER}"),
        ({"vocal_start": 10}, TOGETHER),
        ({"vocal_end": 30}, TOGETHER),
        ({"vocal_start": -1, "vocal_end": 20}, NEGATIVE),
        ({"vocal_start": 30, "vocal_end": 10}, BACKWARDS),
        ({"vocal_start": 10, "vocal_end": 10}, BACKWARDS),
        ({"vocal_start": 0, "vocal_end": 9.99}, WINDOW),
        ({"vocal_start": 0, "vocal_end": 30.01}, WINDOW),
        (
            {"vocal_start": "10", "vocal_end": 30},
            "model_params.vocal_start must be a number",
        ),
        (
            {"vocal_start": True, "vocal_end": 30},
            "model_params.vocal_start must be a number",
        ),
        (
            {"vocal_start": 10, "vocal_end": float("inf")},
            "model_params.vocal_end must be a number",
        ),
    ],
)
def test_refused_personas(state, changes, message):
    """Each rule of the persona page is kept, with its text where that is known."""
    with pytest.raises(Refusal) as refusal:
        read_persona(persona_body(changes), state)

    assert refusal.value.message == message
    assert refusal.value.status == 400


@pytest.mark.parametrize("params", [None, [], "text"])
def test_missing_params(state, params):
    """The nested object of a persona request must be there."""
    with pytest.raises(Refusal, match="model_params is required"):
        read_persona({"model": "suno-persona", "model_params": params}, state)


def test_second_persona(state):
    """A song that has a persona, or waits for one, gets no second."""
    state.order_persona(RESULT, job_id="first", model="suno-persona", price=1)

    with pytest.raises(Refusal, match="a persona already exists for this result_id"):
        read_persona(persona_body({}), state)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"vocal_start": None, "vocal_end": None, "style": None},
        {"vocal_start": 15, "vocal_end": 35, "style": "jazz"},
        {"vocal_start": 0, "vocal_end": 10, "style": ""},
        {"vocal_start": 10.1, "vocal_end": 40.1},
        {"vocal_start": 0.3, "vocal_end": 10.3},
    ],
)
def test_accepted_personas(state, changes):
    """What the page allows is accepted, both ends of the window included."""
    assert read_persona(persona_body(changes), state) == RESULT


PUBLIC = "callback_url must be a public https address"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": None}, "model is required"),
        ({"model": 5}, "model must be a string"),
        ({"model": "suno-v3.5"}, "unsupported model: suno-v3.5"),
        ({"custom_mode": "false"}, "custom_mode must be a boolean"),
        ({"instrumental": 0}, "instrumental must be a boolean"),
        ({"style": None}, "style is required"),
        ({"title": " "}, "title is required"),
        ({"prompt": ""}, "prompt is required"),
        ({"prompt": "x" * 5_001}, "prompt must not exceed 5000 characters"),
        ({"style": "x" * 1_001}, "style must not exceed 1000 characters"),
        ({"title": "x" * 81}, "title must not exceed 80 characters"),
        (
            {"model": "suno-v4", "prompt": "x" * 3_001},
            "prompt must not exceed 3000 characters",
        ),
        (
            {"model": "suno-v4", "style": "x" * 201},
            "style must not exceed 200 characters",
        ),
        ({"negative_tags": []}, "negative_tags must be a string"),
        ({"vocal_gender": "female"}, "vocal_gender must be one of: m, f"),
        ({"style_weight": 1.01}, "style_weight must be between 0 and 1"),
        (
            {"weirdness_constraint": -0.1},
            "weirdness_constraint must be between 0 and 1",
        ),
        ({"audio_weight": "0.5"}, "audio_weight must be a number"),
        (
            {"persona_model": "voice"},
            "persona_model must be one of: style_persona, voice_persona",
        ),
        (
            {"model": "suno-v4.5", "persona_model": "voice_persona"},
            "voice_persona requires suno-v5-beta or later",
        ),
        ({"persona_id": "unknown"}, "persona not found: unknown"),
        ({"persona_id": 5}, "persona_id must be a string"),
        ({"duration": 9}, "duration must be an integer between 10 and 360"),
        ({"duration": 361}, "duration must be an integer between 10 and 360"),
        ({"duration": 60.5}, "duration must be an integer between 10 and 360"),
        ({"duration": True}, "duration must be a number"),
        ({"duration": 60}, "duration is not supported by this model"),
        ({"duration": 60, "custom_mode": False}, "duration requires custom_mode"),
        ({"callback_url": "http://example.com/"}, PUBLIC),
        ({"callback_url": "https://"}, PUBLIC),
        ({"callback_url": "https://[::1"}, PUBLIC),
        ({"callback_url": "https://[::1]/x"}, PUBLIC),
        ({"callback_url": "https://localhost:8443/"}, PUBLIC),
        ({"callback_url": "https://app.localhost/"}, PUBLIC),
        ({"callback_url": "https://127.0.0.1/"}, PUBLIC),
        ({"callback_url": "https://192.168.1.5/hook"}, PUBLIC),
        (
            {"callback_url": "https://example.com/" + "x" * 2_048},
            "callback_url must not exceed 2048 characters",
        ),
    ],
)
def test_refused_music(state, changes, message):
    """Each rule of the music page is kept in custom mode."""
    with pytest.raises(Refusal) as refusal:
        read_music({**CUSTOM, **changes}, state)

    assert refusal.value.message == message
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (None, "prompt is required"),
        ("x" * 3_001, "prompt must not exceed 3000 characters"),
    ],
)
def test_refused_simple_music(state, prompt, message):
    """Simple mode needs an idea of bounded length, and nothing else."""
    with pytest.raises(Refusal, match=message):
        read_music({**SIMPLE, "prompt": prompt}, state)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"custom_mode": True, "instrumental": True, "prompt": None},
        {"model": "suno-v4", "prompt": "x" * 3_000, "style": "x" * 200},
        {"model": "suno-v6-wild", "duration": 10, "prompt": "x" * 5_000},
        {"style_weight": 0, "weirdness_constraint": 1, "audio_weight": 0.55},
        {"persona_model": "style_persona", "vocal_gender": "f", "negative_tags": "x"},
        {"callback_url": "https://example.com/hook"},
        {"callback_url": "https://8.8.8.8/hook"},
    ],
)
def test_accepted_music(state, changes):
    """What some generation of the page allows is accepted."""
    order = read_music({**CUSTOM, **changes}, state)

    assert order.title == "Blue hour"


def test_custom_order(state):
    """Custom mode takes everything as it was asked for."""
    state.add_song(
        Song("task-unified-x", "x", "x", "x", "suno-v5", PERSONA), finished=True
    )

    order = read_music({**CUSTOM, "model": "suno-v4.5", "persona_id": PERSONA}, state)

    assert order == MusicOrder(
        model="suno-v4.5-beta",
        title="Blue hour",
        style="jazz",
        persona_id=PERSONA,
        instrumental=False,
    )


def test_simple_order(state):
    """Simple mode forgets style, title and persona, even an unknown one."""
    order = read_music(
        {
            **SIMPLE,
            "title": "Mine",
            "style": "jazz",
            "persona_id": "unknown",
            "persona_model": "voice_persona",
            "instrumental": True,
        },
        state,
    )

    assert order == MusicOrder(
        model="suno-v5-beta",
        title="a rainy night",
        style="a rainy night",
        persona_id=None,
        instrumental=True,
    )


def test_persona_in_the_making(state):
    """A persona can be used once its task has finished, and not before."""
    task = state.order_persona(RESULT, job_id="first", model="suno-persona", price=1)
    body = {**CUSTOM, "persona_id": task.persona_id}

    with pytest.raises(Refusal, match="persona not found"):
        read_music(body, state)
    state.clock.advance(45)

    assert read_music(body, state).persona_id == task.persona_id


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "request body is not valid JSON"),
        (b"{", "request body is not valid JSON"),
        (b'{"model": NaN}', "request body is not valid JSON"),
        (b"\xff\xfe\xfd", "request body is not valid JSON"),
        (b"[" * 100_000, "request body is not valid JSON"),
        (b"[]", "request body must be a JSON object"),
        (b"null", "request body must be a JSON object"),
    ],
)
def test_malformed_bodies(body, message):
    """A body must be a JSON object."""
    with pytest.raises(Refusal, match=message):
        read_body(body)


def test_body():
    """A JSON object is read as it is."""
    assert read_body(json.dumps(SIMPLE).encode()) == SIMPLE
