"""Uses the public API as callers do; only type-checked, never run."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import aiohttp

from personakit import (
    Ability,
    Credits,
    ExtendRequest,
    Job,
    MusicRequest,
    Outcome,
    Persona,
    PersonaKit,
    PersonaKitError,
    PersonaRequest,
    Receipt,
    Snapshot,
    Stems,
    StemsRequest,
    SubmitRecord,
    SungPersona,
    Track,
    TrackRef,
    VocalWindow,
)
from personakit.emulator import Emulator, Fault


async def main_job(session: aiohttp.ClientSession) -> None:
    """Results have their own types."""
    async with PersonaKit("evolink", session=session, timeout=60) as kit:
        assert_type(kit, PersonaKit)
        persona = await kit.create_persona(
            TrackRef("task-unified-1", "t"),
            name="Voice",
            description="Warm",
            window=VocalWindow(15, 35),
        )
        assert_type(persona, Persona)
        tracks = await kit.generate(
            lyrics="La", style="jazz", title="La", persona=persona
        )
        assert_type(tracks, tuple[Track, ...])
        assert_type(await kit.download(tracks[0], Path("out")), Path)
        assert_type(await kit.credits(), Credits)
        assert_type(kit.can(Ability.TRACK), bool)


async def jobs(kit: PersonaKit, source: Track) -> None:
    """A job knows what it yields, also when it is found again."""
    song = await kit.submit(MusicRequest(idea="rain"))
    assert_type(song, Job[tuple[Track, ...]])
    assert_type(await song, tuple[Track, ...])
    voice = await kit.submit(PersonaRequest(source, name="V", description="d"))
    assert_type(voice, Job[Persona])
    assert_type(await voice.result(timeout=9), Persona)
    assert_type(voice.snapshot, Snapshot[Persona] | None)
    assert_type(kit.attach(voice.token, PersonaRequest), Job[Persona])
    assert_type(
        kit.attach(voice.token), Job[Persona | tuple[Track, ...] | Stems | Track]
    )
    async for snapshot in song.updates(every=1.5):
        assert_type(snapshot, Snapshot[tuple[Track, ...]])
    async for found in kit.resume():
        assert_type(found, Job[Persona | tuple[Track, ...] | Stems | Track])


async def operations(kit: PersonaKit, source: Track) -> None:
    """Every operation knows what it yields."""
    song = MusicRequest(idea="rain")
    sung = await kit.sing(song, voice_of=source, name="V", description="d")
    assert_type(sung, SungPersona)
    assert_type(sung.persona, Persona)
    assert_type(sung.tracks, tuple[Track, ...])
    assert_type(await kit.extend(source, at=30, lyrics="la"), tuple[Track, ...])
    assert_type(await kit.cover("https://x.example/a", style="s"), tuple[Track, ...])
    assert_type(await kit.mashup(source, source.ref, style="s"), tuple[Track, ...])
    assert_type(await kit.separate_stems(source), Stems)
    assert_type(await kit.upload(Path("a.mp3")), Track)
    assert_type(await kit.track(source), Track)
    assert_type(await kit.submit(StemsRequest(source)), Job[Stems])
    assert_type(kit.attach("token", ExtendRequest), Job[tuple[Track, ...]])
    async for job in kit.jobs():
        assert_type(job, Job[Persona | tuple[Track, ...] | Stems | Track])


async def batches(kit: PersonaKit) -> None:
    """The outcomes of a batch have the type of its requests' results."""
    async for outcome in kit.batch([MusicRequest(idea="rain")], name="rains"):
        assert_type(outcome, Outcome[tuple[Track, ...]])
        assert_type(outcome.result, tuple[Track, ...] | None)


async def recovery(kit: PersonaKit, receipt: Receipt) -> None:
    """What a crash or a lost answer left behind is typed like anything else."""
    assert_type(await kit.pending(), tuple[SubmitRecord, ...])
    found = await kit.reconcile(receipt)
    assert_type(found, Job[Persona | tuple[Track, ...] | Stems | Track] | None)
    assert_type(await kit.personas.get("Jazz"), Persona | None)
    callbacks = kit.callbacks(public_url="https://a.example", secret="s" * 16)
    assert_type(await callbacks.receive("POST", "/x", [], b""), int)
    with kit.deadline(60):
        await kit.abandon(receipt)


def errors(error: PersonaKitError) -> None:
    """Errors tell of the money."""
    assert_type(error.receipt, Receipt | None)
    assert_type(error.retry_safe, bool)
    assert_type(error.persona_id, str | None)


async def emulator() -> None:
    """The emulator is typed for callers too."""
    async with Emulator(speed=60) as service:
        service.inject(Fault.drop(), on="submit")
        assert_type(service.url("evolink"), str)
        assert_type(service.credits, float)
