"""Callbacks reach one address on this machine, and are tried as each service does."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from aiohttp import web

from personakit.emulator import Emulator
from personakit.emulator.callbacks import CallbackQueue, CallbackSender, PlannedCallback
from personakit.emulator.clock import Clock


class Ear:
    """A server that hears callbacks, and answers by a list of statuses."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.heard = []

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._hear)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _hear(self, request):
        now = asyncio.get_running_loop().time()
        self.heard.append((now, request.path_qs, await request.json(), request.headers))
        status = self.statuses.pop(0) if self.statuses else 200
        if not status:
            request.transport.close()
        return web.Response(status=status or 200)


BODY = {"model": "suno-v5", "prompt": "rain", "callback_url": "https://h.example/a?t=1"}


async def submit(emulator, session):
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    url = f"{emulator.url('evolink')}/v1/audios/generations"
    async with session.post(url, json=BODY, headers=headers) as answer:
        return (await answer.json())["id"]


async def test_address_is_kept_but_for_the_machine(session):
    """Path and query are the caller's, scheme and host are the given ones."""
    async with Ear() as ear, Emulator(callbacks_to=ear.url) as emulator:
        job_id = await submit(emulator, session)
        await asyncio.sleep(200)
        told = emulator.callbacks

    assert [path for _, path, _, _ in ear.heard] == ["/a?t=1"] * 3
    assert {body["id"] for _, _, body, _ in ear.heard} == {job_id}
    assert [body["status"] for _, _, body, _ in ear.heard] == [
        "processing",
        "processing",
        "completed",
    ]
    assert [one.status for one in told] == [200, 200, 200]
    assert {one.url for one in told} == {"https://h.example/a?t=1"}


async def test_refused_callback_is_tried_again(session):
    """Evolink tries three times more, after 1, 2 and 4 seconds."""
    async with Ear(200, 200, 500, 0, 404) as ear:
        async with Emulator(callbacks_to=ear.url) as emulator:
            await submit(emulator, session)
            await asyncio.sleep(200)
            told = emulator.callbacks

    last = [at for at, *_ in ear.heard][2:]
    assert [round(b - a) for a, b in itertools.pairwise(last)] == [1, 2, 4]
    assert [one.status for one in told][2:] == [500, None, 404, 200]


async def test_skipped_time_delivers_at_once(session):
    """When the service's time is advanced, what is due is posted."""
    async with Ear() as ear, Emulator(callbacks_to=ear.url) as emulator:
        await submit(emulator, session)
        emulator.advance(300)
        await asyncio.sleep(1)

        assert len(emulator.callbacks) == 3


async def test_nothing_is_sent_unless_asked_for(session):
    """Without an address on this machine no callback leaves."""
    async with Ear() as ear, Emulator() as emulator:
        await submit(emulator, session)
        await asyncio.sleep(200)

        assert emulator.callbacks == ()
        assert ear.heard == []


async def test_stopping_ends_deliveries_under_way(session):
    """An emulator that stops leaves no post behind, and may start again."""
    async with Ear() as ear:
        emulator = Emulator(callbacks_to=ear.url)
        async with emulator:
            await submit(emulator, session)
            emulator.advance(300)
            await asyncio.sleep(0)
        async with emulator:
            await submit(emulator, session)
            emulator.advance(300)
            await asyncio.sleep(1)

    assert len(emulator.callbacks) >= 3


async def test_deliveries_under_way_are_cancelled():
    """A callback that hangs does not outlive the callback sender."""
    clock, queue = Clock(1.0), CallbackQueue()
    sender = CallbackSender(clock, queue, "http://127.0.0.1:9")
    waiting = asyncio.Event()

    async def hang(*_):
        waiting.set()
        await asyncio.Event().wait()

    sender._post = hang
    run = asyncio.create_task(sender.run())
    await asyncio.sleep(0)
    queue.add(make_callback())
    await waiting.wait()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)

    assert sender.callbacks == []
    assert sender._posts == set()


def make_callback():
    return PlannedCallback(0, "https://h.example/", lambda: (b"{}", {}), timeout=1)


@pytest.mark.parametrize("to", ["https://hooks.example", "http://10.0.0.1", "x"])
def test_other_machines_are_refused(to):
    """Nothing leaves this machine."""
    with pytest.raises(ValueError, match="on this machine"):
        Emulator(callbacks_to=to)


def test_courier_at_rest_can_be_woken():
    """Before it runs, waking it does nothing."""
    sender = CallbackSender(Clock(1.0), CallbackQueue(), "http://localhost:1")
    sender.wake()

    assert sender.callbacks == []
