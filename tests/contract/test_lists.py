"""What the services' lists and readings return of what was submitted."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from personakit import Ability, MusicRequest, PersonaKit
from personakit.emulator import Emulator
from personakit.http.messages import with_clock
from personakit.jobs.engine import call_with_retry, deadline_in
from personakit.jobs.matching import could_be, fits, fits_result
from personakit.models import Listed, Result
from tests.contract.worlds import SONG, connect, make_request, seed

DAY = 86_400.0
KINDS = [
    ("evolink", Ability.PERSONA),
    ("evolink", Ability.MUSIC),
    ("musicmint", Ability.MUSIC),
    ("musicmint", Ability.EXTEND),
    ("musicmint", Ability.COVER),
]
"""What the two lists contain; what MusicMint answers at once is not in its list."""


async def read_list(kit: PersonaKit) -> tuple[Listed, float | None]:
    """Return the newest line of the list, and the difference of the clocks."""
    engine = await kit._here()
    lines, clock = await call_with_retry(
        engine,
        Ability.JOBS,
        lambda: with_clock(engine.provider.build_jobs(1)),
        deadline=deadline_in(60),
    )
    return lines[0], clock


async def read_job(kit: PersonaKit, line: Listed, kind: Ability) -> Result | None:
    """Return what a reading of a listed job contains, without the request."""
    engine = await kit._here()
    snapshot = await call_with_retry(
        engine,
        kind,
        lambda: engine.provider.build_read(line.snapshot.job_id, kind),
        deadline=deadline_in(60),
    )
    return snapshot.result


@pytest.mark.parametrize(("name", "kind"), KINDS)
async def test_new_job_is_in_the_list(emulator: Emulator, name, kind):
    """The newest line has the job's id, a time at its submit, and the right kind."""
    request = make_request(kind, seed(emulator, name))
    async with connect(emulator, name) as kit:
        job = await kit.submit(request)
        line, clock = await read_list(kit)

    sent_at = [job.receipt.at]
    assert line.snapshot.job_id == job.id
    assert could_be(kind, sent_at, line, clock)
    assert not could_be(kind, [sent_at[0] - timedelta(days=1)], line, clock)
    assert fits(request, line) is None


@pytest.mark.parametrize(("name", "kind"), KINDS)
async def test_wrong_clock_is_corrected(emulator: Emulator, name, kind):
    """The answer's date shows by how much a service's clock, and its times, are off."""
    request = make_request(kind, seed(emulator, name))
    emulator.advance(DAY)
    async with connect(emulator, name) as kit:
        job = await kit.submit(request)
        line, clock = await read_list(kit)

    assert clock == pytest.approx(DAY, abs=30)
    assert could_be(kind, [job.receipt.at], line, clock)
    assert not could_be(kind, [job.receipt.at], line, None)


@pytest.mark.parametrize(
    ("name", "model"), [("evolink", "suno-v5-beta"), ("musicmint", None)]
)
async def test_model_of_the_list(emulator: Emulator, name, model):
    """Evolink's list has the model, by its long name; MusicMint's has none."""
    asked = MusicRequest(**SONG, model="suno-v5" if model else None)
    async with connect(emulator, name) as kit:
        await kit.submit(asked)
        line, _ = await read_list(kit)

    other = MusicRequest(**SONG, model="suno-v4")
    assert line.model == model
    assert fits(asked, line) is None
    assert fits(other, line) is (False if model else None)


@pytest.mark.parametrize(("name", "kind"), KINDS[1:])
async def test_finished_songs_identify_their_request(emulator: Emulator, name, kind):
    """A reading has title and style, on MusicMint lyrics too; others contradict it."""
    request = make_request(kind, seed(emulator, name))
    async with connect(emulator, name) as kit:
        await (await kit.submit(request))
        line, _ = await read_list(kit)
        result = await read_job(kit, line, kind)

    other_words = attrs.evolve(request, lyrics="Something else", title=None, style=None)
    assert fits_result(request, result) is True
    assert fits_result(attrs.evolve(request, title="Another"), result) is False
    assert fits_result(attrs.evolve(request, style="heavy metal"), result) is False
    assert fits_result(other_words, result) is (False if name == "musicmint" else None)


async def test_personas_cannot_be_identified(emulator: Emulator):
    """A reading of Evolink's persona has its id alone."""
    request = make_request(Ability.PERSONA, seed(emulator, "evolink"))
    async with connect(emulator, "evolink") as kit:
        await (await kit.submit(request))
        line, _ = await read_list(kit)
        persona = await read_job(kit, line, Ability.PERSONA)

    assert (persona.name, persona.description, persona.source) == (None, None, None)
    assert fits_result(request, persona) is None


async def test_idea_identifies_nothing_on_evolink(emulator: Emulator):
    """The service chooses title and style, and returns no lyrics."""
    request = MusicRequest(idea="a rainy night")
    async with connect(emulator, "evolink") as kit:
        await (await kit.submit(request))
        line, _ = await read_list(kit)
        result = await read_job(kit, line, Ability.MUSIC)

    assert fits_result(request, result) is None
