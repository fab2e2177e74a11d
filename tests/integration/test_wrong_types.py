"""Every public call refuses what it cannot use, by name, before anything is sent."""

from __future__ import annotations

import inspect
import math

import pytest

from personakit import (
    InvalidRequest,
    MusicRequest,
    PersonaKit,
    PersonaRequest,
    Track,
    TrackRef,
)
from personakit.providers.evolink import Evolink
from personakit.ratelimit.limits import Limit, Limits
from personakit.receipt import Ability, Receipt
from personakit.requests import JobRequest
from tests.conftest import connect

SONG = MusicRequest(idea="rain")
TRACK = Track("evolink", "task-unified-1", "t", audio_url="https://media.example/a")
REF = TrackRef("task-unified-1", "t")
TOKEN = Receipt("evolink", Ability.MUSIC, job_id="task-unified-1").token
LOST = Receipt("evolink", Ability.MUSIC)
URL, SECRET = "https://app.example/hooks", "correct horse battery"
NAMED = {"name": "n", "description": "d"}
HELD = {**NAMED, "voice_of": REF}


def make(**options: object) -> PersonaKit:
    return PersonaKit(**{"provider": "evolink", "api_key": "k", **options})


CALLS = [
    ("provider", lambda kit: make(provider=5)),
    ("provider", lambda kit: make(provider=[])),
    ("provider", lambda kit: make(provider=Evolink)),
    ("api_key", lambda kit: make(api_key=5)),
    ("base_url", lambda kit: make(base_url=5)),
    ("files_url", lambda kit: make(files_url=5)),
    ("callback_url", lambda kit: make(callback_url=5)),
    ("session", lambda kit: make(session="x")),
    ("journal", lambda kit: make(journal=True)),
    ("journal", lambda kit: make(journal=5)),
    ("timeout", lambda kit: make(timeout="5")),
    ("timeout", lambda kit: make(timeout=math.nan)),
    ("pace", lambda kit: make(pace=3)),
    ("pace", lambda kit: make(pace=[])),
    ("limits", lambda kit: make(limits=5)),
    ("starts", lambda kit: Limits(starts=5)),
    ("total", lambda kit: Limits(total=5)),
    ("limit", lambda kit: Limit("3")),
    ("limit", lambda kit: Limit(period=None)),
    ("limit", lambda kit: Limit(math.nan)),
    ("ability", lambda kit: kit.can("exted")),
    ("ability", lambda kit: kit.can([])),
    ("request", lambda kit: kit.check("rain")),
    ("timeout", lambda kit: kit.deadline("x")),
    ("timeout", lambda kit: kit.deadline(None)),
    ("found_by", lambda kit: kit.attach(None)),
    ("found_by", lambda kit: kit.attach(b"{}")),
    ("token", lambda kit: kit.attach("\ud800")),
    ("of", lambda kit: kit.attach(TOKEN, "music")),
    ("of", lambda kit: kit.attach(TOKEN, JobRequest)),
    ("of", lambda kit: kit.attach(TOKEN, PersonaRequest)),
    ("public_url", lambda kit: kit.callbacks(public_url=None, secret=SECRET)),
    ("secret", lambda kit: kit.callbacks(public_url=URL, secret=7)),
    ("secret", lambda kit: kit.callbacks(public_url=URL, secret=None)),
    ("secret", lambda kit: kit.callbacks(public_url=URL, secret=(SECRET, 7))),
    ("secret", lambda kit: kit.callbacks(public_url=URL, secret=SECRET.encode())),
    ("secret", lambda kit: kit.callbacks(public_url=URL, secret="\ud800" * 20)),
    (
        "service_secret",
        lambda kit: kit.callbacks(public_url=URL, secret=SECRET, service_secret=7),
    ),
    ("request", lambda kit: kit.submit({"idea": "rain"})),
    ("request", lambda kit: kit.submit("rain")),
    ("request", lambda kit: kit.submit(MusicRequest)),
    ("request", lambda kit: kit.submit(JobRequest())),
    ("key", lambda kit: kit.submit(SONG, key=5)),
    ("key", lambda kit: kit.submit(SONG, key=b"a")),
    ("timeout", lambda kit: kit.submit(SONG, timeout="5")),
    ("timeout", lambda kit: kit.submit(SONG, timeout=math.nan)),
    ("lyrics", lambda kit: kit.generate("a rainy night")),
    ("prompt", lambda kit: kit.generate(prompt="a rainy night")),
    ("styl", lambda kit: kit.generate(idea="rain", styl="jazz")),
    ("prompt", lambda kit: kit.extend(REF, prompt="on")),
    ("prompt", lambda kit: kit.cover(REF, prompt="on")),
    ("prompt", lambda kit: kit.mashup(REF, REF, prompt="on")),
    ("timeout", lambda kit: kit.generate(idea="rain", timeout="5")),
    ("source", lambda kit: kit.create_persona("x", **NAMED)),
    ("source", lambda kit: kit.create_persona(None, **NAMED)),
    ("name", lambda kit: kit.create_persona(REF, name=5, description="d")),
    ("window", lambda kit: kit.create_persona(REF, **NAMED, window=(1, 20))),
    ("if_exists", lambda kit: kit.create_persona(REF, **NAMED, if_exists="skip")),
    ("if_exists", lambda kit: kit.create_persona(REF, **NAMED, if_exists=[])),
    ("source", lambda kit: kit.extend(5)),
    ("source", lambda kit: kit.cover(None)),
    ("first", lambda kit: kit.mashup(5, REF)),
    ("source", lambda kit: kit.separate_stems(5)),
    ("audio", lambda kit: kit.upload(5)),
    ("audio", lambda kit: kit.upload(b"sound")),
    ("song", lambda kit: kit.sing("rain", **HELD)),
    ("isolate", lambda kit: kit.sing(SONG, **HELD, isolate="no")),
    ("key", lambda kit: kit.sing(SONG, **HELD, key=5)),
    ("requests", lambda kit: kit.batch(5)),
    ("requests", lambda kit: kit.batch(SONG)),
    ("requests", lambda kit: kit.batch("rain")),
    ("concurrency", lambda kit: kit.batch([SONG], concurrency=math.nan)),
    ("concurrency", lambda kit: kit.batch([SONG], concurrency="3")),
    ("concurrency", lambda kit: kit.batch([SONG], concurrency=0)),
    ("concurrency", lambda kit: kit.batch([SONG], concurrency=True)),
    ("name", lambda kit: kit.batch([SONG], name=5)),
    ("on_error", lambda kit: kit.batch([SONG], on_error="ignore")),
    ("timeout", lambda kit: kit.batch([SONG], timeout="5")),
    ("jobs", lambda kit: kit.as_completed(5)),
    ("jobs", lambda kit: kit.as_completed([TOKEN])),
    ("timeout", lambda kit: kit.as_completed([], timeout="5")),
    ("track", lambda kit: kit.download("https://media.example/a", "out")),
    ("track", lambda kit: kit.download((TRACK, TRACK), "out")),
    ("track", lambda kit: kit.download(REF, "out")),
    ("to", lambda kit: kit.download(TRACK, None)),
    ("to", lambda kit: kit.download(TRACK, b"out")),
    ("progress", lambda kit: kit.download(TRACK, "out", progress=True)),
    ("timeout", lambda kit: kit.download(TRACK, "out", timeout="5")),
    ("track", lambda kit: kit.track("t")),
    ("timeout", lambda kit: kit.credits(timeout="5")),
    ("timeout", lambda kit: kit.ping(timeout=None)),
    ("timeout", lambda kit: kit.jobs(timeout="5")),
    ("name_or_id", lambda kit: kit.personas.get(5)),
    ("source", lambda kit: kit.personas.of("t")),
    ("persona", lambda kit: kit.personas.add("x")),
    ("persona", lambda kit: kit.personas.forget(5)),
    ("limit", lambda kit: kit.resume(limit="3")),
    ("limit", lambda kit: kit.resume(limit=-1)),
    ("receipt", lambda kit: kit.reconcile("x")),
    ("receipt", lambda kit: kit.adopt(None, "task-unified-1")),
    ("job_id", lambda kit: kit.adopt(LOST, 5)),
    ("receipt", lambda kit: kit.abandon("x")),
    ("receipt", lambda kit: kit.resubmit(5)),
    ("timeout", lambda kit: kit.attach(TOKEN).result(timeout="5")),
    ("every", lambda kit: kit.attach(TOKEN).updates(every="1")),
    ("every", lambda kit: kit.attach(TOKEN).updates(every=math.nan)),
    ("every", lambda kit: kit.attach(TOKEN).updates(every=-1)),
]


async def finish(call, kit: PersonaKit) -> None:
    """Call, and await what has to be awaited."""
    outcome = call(kit)
    if inspect.isasyncgen(outcome):
        await anext(outcome)
    elif inspect.isawaitable(outcome):
        await outcome


@pytest.mark.parametrize(("field", "call"), CALLS)
async def test_wrong_arguments_are_named(emulator, field, call):
    """The error names argument, rule and remedy, and nothing is sent."""
    async with connect(emulator) as kit:
        with pytest.raises(InvalidRequest) as caught:
            await finish(call, kit)

    error = caught.value
    assert error.field == field
    assert error.rule
    assert error.remedy
    assert str(error).startswith(f"{field} ")
    assert error.charged == "no"
    assert emulator._exchanges == []


@pytest.mark.parametrize("call", [PersonaKit.generate, PersonaKit.extend])
async def test_prompt_is_called_idea_or_lyrics_here(kit, call):
    """Whoever knows other services finds the two names in the error."""
    source = [] if call is PersonaKit.generate else [REF]
    with pytest.raises(InvalidRequest, match=r"idea .* lyrics "):
        await call(kit, *source, prompt="a rainy night")


async def test_ability_may_be_named(kit):
    """The word of an ability is as good as its constant."""
    assert kit.can("music") is True
    assert kit.can("stems") is False
