"""What Evolink refuses: reads the bodies of paid requests, or raises `Refusal`.

Types, enumerations, ranges and lengths are checked in every mode, as the schema has
them. What only matters in custom mode is not looked at in simple mode: the service
ignores it there without a word, and so does the emulator. Where the generations of the
documentation disagree, the widest limit counts.

Sources: the persona page (the specification) and the music generation page of the
Evolink API manual (documented). Messages are documented where a comment says so, and
are otherwise chosen; code and status are ``invalid_request`` and 400 throughout.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import attrs

from personakit.emulator.state import State
from personakit.emulator.tasks import Task

PERSONA_MODEL = "suno-persona"
"""The model name that turns a submit into a persona request (documented)."""

_PERSONA_TEXTS = ("source_task_id", "result_id", "name", "description")
_WINDOW = (10.0, 30.0)  # seconds between vocal_start and vocal_end; both ends allowed
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_GENERATION = re.compile(r"suno-v(\d+)")
_OLDEST_SOURCE = 4  # suno-v4 and later can give their voice

_SIMPLE_PROMPT = 3_000  # characters; 500 in spring 2026
_TITLE = 80  # characters
_DURATION = (10, 360)  # seconds
_CALLBACK = 2_048  # characters
_BATCH = 50  # task ids (inferred)
_GENDERS = ("m", "f")
_PERSONA_MODES = ("style_persona", "voice_persona")
_WEIGHTS = ("style_weight", "weirdness_constraint", "audio_weight")


@attrs.frozen
class _Model:
    """What one music model can do; lengths in characters."""

    prompt: int = 5_000
    style: int = 1_000
    voice_persona: bool = False
    duration: bool = False


# Music generation page, model table; the last four are of autumn 2026.
_MODELS = {
    "suno-v4-beta": _Model(prompt=3_000, style=200),
    "suno-v4.5-beta": _Model(),
    "suno-v4.5plus-beta": _Model(),
    "suno-v4.5all-beta": _Model(),
    "suno-v5-beta": _Model(voice_persona=True),
    "suno-v5.5-beta": _Model(voice_persona=True, duration=True),
    "suno-v6-beta": _Model(voice_persona=True, duration=True),
    "suno-v6-mini-beta": _Model(voice_persona=True, duration=True),
    "suno-v6-wild-beta": _Model(voice_persona=True, duration=True),
}


class Refusal(Exception):
    """The service says no.

    Attributes:
        message: Text for people.
        status: HTTP status.
        code: The service's code, None for the usual one of that status.
    """

    def __init__(
        self, message: str | None, *, status: int = 400, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code


@attrs.frozen
class MusicOrder:
    """A music request that the service accepts.

    Attributes:
        model: With ``-beta``, whatever the caller wrote.
        title: As asked for, or the first words of the idea.
        style: As asked for, or the idea.
        persona_id: Who shall sing, None for nobody in particular.
        instrumental: True when nobody shall sing.
    """

    model: str
    title: str
    style: str
    persona_id: str | None
    instrumental: bool


@attrs.frozen
class _Fields:
    """Typed reading of a JSON object; null and blank text count as absent."""

    values: Mapping[str, object]
    prefix: str = ""

    def text(self, name: str, *, most: int | None = None) -> str:
        value = self.values.get(name, "")
        if not isinstance(value, str | None):
            raise Refusal(f"{self.prefix}{name} must be a string")
        if most is not None and len(value or "") > most:
            raise Refusal(f"{self.prefix}{name} must not exceed {most} characters")
        return value if value and value.strip() else ""

    def required(self, name: str) -> str:
        if not (value := self.text(name)):
            raise Refusal(f"{self.prefix}{name} is required")  # documented
        return value

    def flag(self, name: str) -> bool:
        value = self.values.get(name)
        if not isinstance(value, bool | None):
            raise Refusal(f"{self.prefix}{name} must be a boolean")
        return value or False

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name)
        if value and value not in allowed:
            raise Refusal(f"{self.prefix}{name} must be one of: {', '.join(allowed)}")
        return value

    def number(self, name: str) -> float | None:
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise Refusal(f"{self.prefix}{name} must be a number")
        if value is not None and not math.isfinite(value):
            raise Refusal(f"{self.prefix}{name} must be a number")
        return value


def read_body(body: bytes) -> Mapping[str, object]:
    """Return the JSON object in a body.

    Raises:
        Refusal: it is not JSON, or not an object.
    """
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Refusal("request body is not valid JSON") from None
    if not isinstance(value, dict):
        raise Refusal("request body must be a JSON object")
    return cast("dict[str, object]", value)


def read_task_ids(body: Mapping[str, object]) -> list[str]:
    """Return the ids of which a batch read asks, each once.

    Raises:
        Refusal: ``task_ids`` is not a list of 1 to 50 texts (inferred).
    """
    ids = body.get("task_ids")
    if not isinstance(ids, list) or not 1 <= len(cast("list[object]", ids)) <= _BATCH:
        raise Refusal(f"task_ids must be a list of 1 to {_BATCH} task ids")
    if not all(isinstance(one, str) for one in cast("list[object]", ids)):
        raise Refusal("task_ids must hold texts only")
    return list(dict.fromkeys(cast("list[str]", ids)))


def read_persona(body: Mapping[str, object], state: State) -> str:
    """Return the track id of the song that a persona may be made of.

    Raises:
        Refusal: a field is missing or wrong, or the song cannot give its voice.
    """
    params = body.get("model_params")
    if not isinstance(params, dict):
        raise Refusal("model_params is required")
    fields = _Fields(cast("dict[str, object]", params), "model_params.")
    job_id, track_id, *_ = [fields.required(name) for name in _PERSONA_TEXTS]
    fields.text("style")
    _check_window(fields)
    if not _UUID.fullmatch(track_id):
        raise Refusal("model_params.result_id must be a UUID")
    source = _find_source(job_id, state)
    if track_id not in {song.track_id for song in source.songs}:
        raise Refusal(f"result_id not found in source task: {track_id}")
    if state.find_persona(track_id):
        raise Refusal("a persona already exists for this result_id")
    return track_id


def read_music(body: Mapping[str, object], state: State) -> MusicOrder:
    """Return what a music request orders.

    Raises:
        Refusal: a field is missing or wrong, or the model cannot do it.
    """
    fields = _Fields(body)
    name, model = _find_model(fields.required("model"))
    custom, instrumental = fields.flag("custom_mode"), fields.flag("instrumental")
    _check_values(fields, model)
    _check_duration(fields, model, custom=custom)
    _check_callback(fields.text("callback_url", most=_CALLBACK))
    if custom:
        persona_id = _find_persona(fields, model, state)
        if not instrumental:
            fields.required("prompt")
        title, style = fields.required("title"), fields.required("style")
        return MusicOrder(name, title, style, persona_id, instrumental)
    fields.text("prompt", most=_SIMPLE_PROMPT)
    idea = fields.required("prompt")
    title = " ".join(idea.split()[:4])[:_TITLE]
    return MusicOrder(name, title, idea, None, instrumental)


def _refuse_constant(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


def _check_window(fields: _Fields) -> None:
    start, end = fields.number("vocal_start"), fields.number("vocal_end")
    if start is None and end is None:
        return
    if start is None or end is None:
        raise Refusal("vocal_start and vocal_end must be provided together")
    if start < 0 or end < 0:
        raise Refusal("vocal_start and vocal_end must not be negative")
    if end <= start:
        raise Refusal("vocal_end must be greater than vocal_start")
    # Decimal bounds have no exact difference: 40.2 - 10.2 is a little more than 30.
    if not _WINDOW[0] <= round(end - start, 6) <= _WINDOW[1]:
        # documented
        raise Refusal("vocal_end - vocal_start must be between 10 and 30 seconds")


def _find_source(job_id: str, state: State) -> Task:
    task = state.tasks.get(job_id)
    if task is None:
        raise Refusal(f"源任务不存在或不属于当前用户: {job_id}")  # documented
    if task.kind == "persona":
        raise Refusal(f"不能从 Persona 任务创建新的 Persona: {job_id}")
    generation = _GENERATION.match(task.model)
    if generation is None or int(generation[1]) < _OLDEST_SOURCE:
        raise Refusal(f"源任务模型版本必须为 suno-v4 及以上: {task.model}")
    if task.stage(state.clock.now()).status != "completed":
        raise Refusal(f"源任务未完成: {job_id}")
    return task


def _find_model(name: str) -> tuple[str, _Model]:
    full = name if name.endswith("-beta") else f"{name}-beta"
    if full not in _MODELS:
        raise Refusal(f"unsupported model: {name}")
    return full, _MODELS[full]


def _check_values(fields: _Fields, model: _Model) -> None:
    fields.text("prompt", most=model.prompt)
    fields.text("style", most=model.style)
    fields.text("title", most=_TITLE)
    fields.text("negative_tags")
    fields.text("persona_id")
    fields.choice("vocal_gender", _GENDERS)
    fields.choice("persona_model", _PERSONA_MODES)
    for name in _WEIGHTS:
        if not 0 <= (fields.number(name) or 0) <= 1:
            raise Refusal(f"{name} must be between 0 and 1")


def _check_duration(fields: _Fields, model: _Model, *, custom: bool) -> None:
    seconds = fields.number("duration")
    if seconds is None:
        return
    if not isinstance(seconds, int) or not _DURATION[0] <= seconds <= _DURATION[1]:
        raise Refusal("duration must be an integer between 10 and 360")
    if not custom:
        raise Refusal("duration requires custom_mode")
    if not model.duration:
        raise Refusal("duration is not supported by this model")


def _check_callback(url: str) -> None:
    if url and not _is_public(url):
        raise Refusal("callback_url must be a public https address")


def _is_public(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = parts.hostname or "localhost"
    if parts.scheme != "https" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return True  # a name, which nobody looks up here


def _find_persona(fields: _Fields, model: _Model, state: State) -> str | None:
    voice = fields.text("persona_model") == "voice_persona"
    if voice and not model.voice_persona:
        raise Refusal("voice_persona requires suno-v5-beta or later")
    persona_id = fields.text("persona_id")
    if persona_id and not state.knows_persona(persona_id):
        raise Refusal(f"persona not found: {persona_id}")
    return persona_id or None
