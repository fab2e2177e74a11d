"""One deadline over several calls, and what becomes of a job that is left."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from personakit import (
    Ability,
    MusicRequest,
    OutcomeUnknown,
    PersonaKit,
    Unsupported,
    WaitTimeout,
)
from personakit.emulator import Fault
from personakit.job import CANCEL_TIMEOUT
from personakit.providers import PROVIDERS
from personakit.providers.evolink import Evolink
from personakit.wire import Call, Request
from tests.conftest import connect

IDEA = MusicRequest(idea="a rainy night")


@attrs.frozen
class Stoppable(Evolink):
    """Evolink as if it had a way to stop jobs."""

    abilities: frozenset[Ability] = Evolink().abilities | {Ability.CANCEL}
    path: str = "/v1/credits"

    def build_cancel(self, job_id: str, kind: Ability, /) -> Call[object]:
        request = Request("GET", f"{self.path}?stop={job_id}&kind={kind}")
        return Call(request, lambda response: response.status)


async def test_one_deadline_over_several_calls(kit: PersonaKit):
    """Whatever the timeouts of the calls are, the block's deadline holds."""
    loop = asyncio.get_running_loop()
    with kit.deadline(75):
        tracks = await kit.generate(idea="rain", timeout=90)
        with pytest.raises(WaitTimeout) as late:
            await kit.generate(idea="rain", timeout=900)
        ended = loop.time()
        with pytest.raises(OutcomeUnknown):
            await kit.generate(idea="rain")
    job = kit.attach(late.value.receipt)

    assert len(tracks) == 2
    assert 0 <= ended - 75 <= 0.1
    assert len(await job) == 2  # after the block its deadline is gone


async def test_shorter_deadline_wins(kit: PersonaKit):
    """The shortest counts, be it the call's own or that of any block around it."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with kit.deadline(600), kit.deadline(900), kit.deadline(30):
        with pytest.raises(WaitTimeout):
            await kit.generate(idea="rain", timeout=10)
        first = loop.time() - began
        with pytest.raises(WaitTimeout):
            await kit.generate(idea="rain", timeout=100)

    assert first == pytest.approx(10, abs=0.1)
    assert loop.time() - began == pytest.approx(30, abs=0.1)


@pytest.fixture
async def stopping(emulator):
    async with connect(emulator, Stoppable()) as kit:
        yield kit


def stops(emulator) -> list[str]:
    return [e.path.split("?")[1] for e in emulator.exchanges if "stop=" in e.path]


async def test_job_is_stopped_at_the_deadline_on_request(emulator, stopping):
    """``on_timeout="cancel"`` tells the service, by default it is let run on."""
    job = await stopping.submit(IDEA)
    with pytest.raises(WaitTimeout):
        await job.result(timeout=5)
    before = stops(emulator)
    with pytest.raises(WaitTimeout):
        await job.result(timeout=5, on_timeout="cancel")

    assert before == []
    assert stops(emulator) == [f"stop={job.id}&kind=music"]


async def test_job_is_stopped_with_its_caller_on_request(emulator, stopping):
    """``on_cancel="cancel"`` tells the service, and the cancellation goes on."""
    job = await stopping.submit(IDEA)
    for ending in ("detach", "cancel"):
        call = asyncio.create_task(job.result(on_cancel=ending))
        await asyncio.sleep(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert stops(emulator) == [f"stop={job.id}&kind=music"]


async def test_service_that_does_not_hear_is_not_waited_for(emulator, stopping, caplog):
    """Telling it is bounded, and a failure is told to the log alone."""
    job = await stopping.submit(IDEA)
    emulator.inject(Fault.hang(), on="credits")
    call = asyncio.create_task(job.result(on_cancel="cancel"))
    await asyncio.sleep(1)
    began = asyncio.get_running_loop().time()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    took = asyncio.get_running_loop().time() - began

    assert took == pytest.approx(CANCEL_TIMEOUT, abs=0.1)
    assert "could not be cancelled" in caplog.text


@pytest.mark.parametrize("wish", ["on_timeout", "on_cancel"])
async def test_service_that_cannot_says_so_before_the_wait(kit, wish):
    """Where no job can be stopped, wishing for it is an error at once."""
    job = await kit.submit(IDEA)
    with pytest.raises(Unsupported, match="does not offer cancel"):
        await job.result(**{wish: "cancel"})
    with pytest.raises(Unsupported):
        await job.cancel()


@pytest.mark.parametrize("name", PROVIDERS)
def test_no_service_can_stop_jobs(name):
    """Every dialect refuses by name, since no page tells of a way."""
    with pytest.raises(Unsupported, match="does not offer cancel"):
        PROVIDERS[name]().build_cancel("j", Ability.MUSIC)
