"""The emulator's own life: starting, stopping, recording, time."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time

import aiohttp
import pytest

from personakit.emulator import Emulator, Exchange, Fault

MUSIC = {"model": "suno-v5-beta", "prompt": "a rainy night"}


async def test_url(emulator):
    """A service's address is known while the emulator runs."""
    host, _, path = emulator.url("evolink").rpartition(":")

    assert host == "http://127.0.0.1"
    assert path.endswith("/evolink")


async def test_unknown_service(emulator):
    """An unknown service is refused with the names of the known ones."""
    with pytest.raises(ValueError, match="no service 'udio' here, only: evolink"):
        emulator.url("udio")


def test_url_needs_a_running_emulator():
    """Without a server there is no address."""
    with pytest.raises(RuntimeError, match="the emulator is not running"):
        Emulator().url("evolink")


async def test_other_key(caller_of):
    """The key can be chosen; no other one is accepted then."""
    async with Emulator(api_key="mine") as emulator:
        caller = caller_of(emulator)
        statuses = [
            (await caller.ask("GET", "/v1/credits", key=key)).status
            for key in ("mine", "emulator-key")
        ]

    assert emulator.api_key == "mine"
    assert statuses == [200, 401]


async def test_exchanges(emulator, caller):
    """Every request is recorded, without its key, with the status of the answer."""
    await asyncio.sleep(5)
    await caller.submit(MUSIC)
    exchange = emulator.exchanges[0]

    assert exchange == Exchange(
        action="submit",
        method="POST",
        path="/evolink/v1/audios/generations",
        at=pytest.approx(5, abs=0.1),
        key_seen=True,
        headers=exchange.headers,
        body=json.dumps(MUSIC).encode(),
        status=200,
    )
    assert dict(exchange.headers)["Authorization"] == "***"
    assert dict(exchange.headers)["Content-Type"] == "application/json"
    assert emulator.api_key not in repr(exchange)


async def test_actions(emulator, caller):
    """Requests are counted by what they want."""
    song = emulator.seed_song()
    base = emulator.url("evolink")
    await caller.submit(MUSIC)
    for _ in range(2):
        await caller.read(song.job_id)
    await caller.ask("GET", "/v1/credits")
    await caller.ask("GET", "/v1/models?page=1")
    await caller.fetch(f"{base}/media/{song.track_id}.wav")
    await caller.fetch(f"{base}/media/{song.track_id}.png")
    actions = ("submit", "read", "credits", "download", "other")

    assert [emulator.count(action) for action in actions] == [1, 2, 1, 1, 2]
    assert emulator.exchanges[4].path == "/evolink/v1/models?page=1"
    assert emulator.exchanges[4].status == 404
    assert not emulator.exchanges[5].key_seen


async def test_outside_of_the_services(emulator, caller):
    """A path of no service says which services there are, and is recorded."""
    reply = await caller.fetch(emulator.url("evolink").removesuffix("/evolink") + "/x")

    assert reply.status == 404
    assert reply.json == {
        "error": "/x is none of: /evolink, /sunoapi, /sunoapi.org, /kie, /kie-jobs, "
        "/musicmint"
    }
    assert emulator.count("other") == 1


async def test_speed(caller_of):
    """The service's clock runs faster, estimates are in real time."""
    async with Emulator(speed=30) as emulator:
        caller = caller_of(emulator)
        told = (await caller.submit(MUSIC)).json
        await asyncio.sleep(6)
        finished = (await caller.read(told["id"])).json

    assert told["task_info"]["estimated_time"] == 2
    assert finished["status"] == "completed"
    assert finished["created"] == told["created"]


async def test_created_is_the_time_of_day(caller):
    """Tasks carry the time of day, also where the loop's time is set back at first.

    Virtual time begins at zero, after the fixtures have run in real time.
    """
    told = (await caller.submit(MUSIC)).json

    assert told["created"] == pytest.approx(time.time(), abs=60)


async def test_states_follow_time(caller):
    """A task is pending, then makes progress, then is completed."""
    job_id = (await caller.submit(MUSIC)).json["id"]
    seen = []
    for _ in range(181):
        told = (await caller.read(job_id)).json
        seen.append((told["status"], told["progress"]))
        await asyncio.sleep(1)
    progress = [each for _, each in seen]

    assert list(dict(seen)) == ["pending", "processing", "completed"]
    assert progress == sorted(progress)
    assert seen[-1] == ("completed", 100)


async def test_advance(emulator, caller):
    """Service time can be skipped without waiting."""
    job_id = (await caller.submit(MUSIC)).json["id"]
    start = asyncio.get_running_loop().time()
    emulator.advance(180)
    told = (await caller.read(job_id)).json

    assert told["status"] == "completed"
    assert asyncio.get_running_loop().time() - start < 0.1


async def test_seed_song(emulator, caller):
    """A song can be there from the beginning, with everything chosen."""
    song = emulator.seed_song(
        job_id="task-unified-1-abcdefgh",
        track_id="4fcc4507-a7ae-4441-ad8a-465c2f61d5bb",
        model="suno-v4-beta",
        title="Forget Me Nots",
        style="R&B",
        persona_id="5c57d49ef834110496fae5aa14fec441",
    )
    told = (await caller.read("task-unified-1-abcdefgh")).json
    (one,) = told["result_data"]["songs"]
    audio = await caller.fetch(one["audio_url"])
    chosen = {
        **MUSIC,
        "custom_mode": True,
        "style": "pop",
        "title": "x",
        "persona_id": song.persona_id,
    }

    assert told["model"] == "suno-v4-beta"
    assert one["result_id"] == song.track_id
    assert (one["title"], one["tags"]) == ("Forget Me Nots", "R&B")
    assert one["duration"] == song.duration
    assert audio.body == song.audio
    assert emulator.charges == ()
    assert (await caller.submit(chosen)).status == 200


async def test_seed_song_before_start(caller_of):
    """A song can be added before anything runs, unfinished too."""
    emulator = Emulator()
    song = emulator.seed_song(finished=False)
    async with emulator:
        told = (await caller_of(emulator).read(song.job_id)).json

    assert told["status"] == "pending"
    assert song.job_id.startswith("task-unified-")


async def test_fault_for_some_time(emulator, caller):
    """A fault can last for some seconds of the event loop's time."""
    song = emulator.seed_song()
    emulator.inject(Fault.status(503), on="read", seconds=10)
    statuses = []
    for _ in range(4):
        statuses.append((await caller.read(song.job_id)).status)
        await asyncio.sleep(4)

    assert statuses == [503, 503, 503, 200]


async def test_clear_faults(emulator, caller):
    """Planned faults can be forgotten."""
    song = emulator.seed_song()
    emulator.inject(Fault.status(503), on="read", times=None)
    before = (await caller.read(song.job_id)).status
    emulator.clear_faults()

    assert before == 503
    assert (await caller.read(song.job_id)).status == 200


async def test_stop_during_hang_and_slow(caller_of):
    """Stopping ends what hangs at once and leaves no task behind."""
    emulator = Emulator()
    await emulator.start()
    emulator.inject(Fault.hang(), on="submit")
    emulator.inject(Fault.slow(3600), on="submit")
    caller, before = caller_of(emulator), asyncio.all_tasks()
    sending = [asyncio.create_task(caller.submit(MUSIC)) for _ in range(2)]
    await asyncio.sleep(1)
    start = asyncio.get_running_loop().time()
    await emulator.stop()
    stopped = asyncio.get_running_loop().time()
    ends = await asyncio.gather(*sending, return_exceptions=True)

    assert stopped - start < 0.1
    assert all(isinstance(end, aiohttp.ClientError) for end in ends)
    assert asyncio.all_tasks() == before
    assert [exchange.status for exchange in emulator.exchanges] == [None, None]
    assert len(emulator.charges) == 2


async def test_stop_while_nobody_reads(emulator):
    """Stopping does not wait for a caller that has stopped reading."""
    song = emulator.seed_song()
    before = asyncio.all_tasks()
    port = int(emulator.url("evolink").split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port)) as caller:
        request = f"GET /evolink/media/{song.track_id}.wav HTTP/1.1\r\nHost: x\r\n\r\n"
        for _ in range(20):
            caller.send(request.encode())
        await asyncio.sleep(1)
        start = asyncio.get_running_loop().time()
        await emulator.stop()

    assert asyncio.get_running_loop().time() - start < 0.1
    assert asyncio.all_tasks() == before


async def test_stop_twice():
    """Stopping what does not run is no error."""
    emulator = Emulator()
    await emulator.stop()
    await emulator.start()
    await emulator.stop()
    await emulator.stop()

    assert emulator.credits == 1000


async def test_address_in_use(emulator):
    """An address that is taken is an error that leaves nothing open."""
    port = int(emulator.url("evolink").split(":")[2].split("/")[0])
    second = Emulator(port=port)

    with pytest.raises(OSError, match="address"):
        await second.start()
    await second.stop()


async def test_caller_leaves_in_the_middle(emulator, caplog):
    """A request that never arrives whole is not recorded, and not talked about."""
    caplog.set_level(logging.DEBUG, "aiohttp")
    port = int(emulator.url("evolink").split(":")[2].split("/")[0])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /evolink/v1/audios/generations HTTP/1.1\r\n")
    writer.write(b"Host: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nhalf")
    await asyncio.sleep(1)
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(1)

    assert emulator.exchanges == ()
    assert [record for record in caplog.records if record.name != "asyncio"] == []


def test_several_event_loops():
    """One emulator lives through several event loops; its clock rests in between."""
    emulator, seen = Emulator(), []

    async def order():
        async with emulator, aiohttp.ClientSession() as session:
            url = emulator.url("evolink") + "/v1/audios/generations"
            headers = {"Authorization": f"Bearer {emulator.api_key}"}
            async with session.post(url, json=MUSIC, headers=headers) as answer:
                seen.append(answer.status)

    for _ in range(3):
        asyncio.run(order())

    assert seen == [200, 200, 200]
    assert emulator.credits == 970


@pytest.mark.looptime(False)
async def test_real_time(caller_of):
    """The emulator works in real time as well."""
    async with Emulator(speed=1e6) as emulator:
        caller = caller_of(emulator)
        job_id = (await caller.submit(MUSIC)).json["id"]
        while (await caller.read(job_id)).json["status"] != "completed":
            pass

    assert emulator.count("submit") == 1
