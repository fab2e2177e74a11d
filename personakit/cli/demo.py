"""The main job from end to end on the built-in emulator: nothing is paid for real."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import attrs

from personakit.cli.progress import Show
from personakit.client import PersonaKit
from personakit.emulator import Emulator
from personakit.models import Persona, Track, VocalWindow
from personakit.polling.schedule import Pace
from personakit.requests import JobRequest, MusicRequest, PersonaRequest

T = TypeVar("T")

SPEED = 32.0
"""Seconds of the service's clock in one of ours: minutes become seconds."""
PACE = Pace(shortest=0.2, untold=1.0)
"""Not every service announces how long it takes, let alone in this time."""

SOURCE = MusicRequest(
    lyrics=(
        "[Verse]\nThe last train hums along the bay\n"
        "and paints the windows blue\n"
        "[Chorus]\nStay, night, stay"
    ),
    style="smooth jazz, brushed drums, warm baritone",
    title="Last train along the bay",
)
# Name, description, window and style are those of the second example of Evolink's
# persona page.
NAME = "Jazz Vocalist"
DESCRIPTION = (
    "Smooth jazz vocal style with warm tones and improvisational flair suitable for "
    "lounge music"
)
WINDOW = VocalWindow(15, 35)
STYLE = "jazz"
SONG = MusicRequest(
    lyrics=(
        "[Verse]\nA blue hour falls on quiet streets\n"
        "the lamps count one by one\n"
        "[Chorus]\nSing it low, sing it slow\n"
        "until the night is done"
    ),
    style="smooth jazz, upright bass, late night",
    title="Blue hour",
)


@attrs.frozen
class Summary:
    """What the demo created, paid and saved.

    Attributes:
        persona: The persona.
        source: The track whose voice it has.
        songs: The tracks that it sang.
        files: The audio of the source and of the songs, in this order.
        paid: What each job cost, by its id, or by that of what came at once; in the
            emulator's credits.
        credits_left: Of the emulator's account.
    """

    persona: Persona
    source: Track
    songs: tuple[Track, ...]
    files: tuple[Path, ...]
    paid: dict[str, float]
    credits_left: float


async def run_demo(folder: Path, show: Show, provider: str = "evolink") -> Summary:
    """Make a source song, extract a persona, and have it sing a new song.

    Args:
        folder: Where the audio goes.
        show: Is told of the progress.
        provider: Name of the service to emulate.
    """
    async with (
        Emulator(speed=SPEED) as emulator,
        PersonaKit(
            provider,
            api_key=emulator.api_key,
            base_url=emulator.url(provider),
            pace=PACE,
        ) as kit,
    ):
        source, *_ = await _follow(kit, "Source song", SOURCE, show)
        wanted = PersonaRequest(
            source,
            name=NAME,
            description=DESCRIPTION,
            window=WINDOW if provider == "evolink" else None,
            style=STYLE,
        )
        persona = await _follow(kit, f"Persona {NAME!r}", wanted, show)
        song = attrs.evolve(SONG, persona=persona)
        songs = await _follow(kit, f"Song by {NAME!r}", song, show)
        files = [await kit.download(track, folder) for track in (source, *songs)]
        return Summary(
            persona=persona,
            source=source,
            songs=songs,
            files=tuple(files),
            paid={charge.job_id: charge.credits for charge in emulator.charges},
            credits_left=emulator.credits,
        )


async def _follow(kit: PersonaKit, name: str, request: JobRequest[T], show: Show) -> T:
    job = await kit.submit(request)
    async for snapshot in job.updates():
        show(name, snapshot)
    return await job
