"""Each fault as a client sees it, and the script that plans them."""

from __future__ import annotations

import asyncio
import json
import logging

import aiohttp
import pytest

from personakit.emulator import Fault
from personakit.emulator.faults import Script

MUSIC = json.dumps({"model": "suno-v5-beta", "prompt": "a rainy night"}).encode()
LOST = [Fault.drop, Fault.reset, Fault.cut, Fault.garbage, Fault.html]


async def raw(emulator, method="POST", path="/v1/audios/generations", body=MUSIC):
    """Send a request over a plain socket; return all that comes until it ends."""
    port = int(emulator.url("evolink").split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"{method} /evolink{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {emulator.api_key}\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    try:
        return await reader.read()
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_drop(emulator):
    """A drop ends the connection in the orderly way, without a byte."""
    emulator.inject(Fault.drop(), on="submit")

    assert await raw(emulator) == b""
    assert emulator.exchanges[0].status is None
    assert len(emulator.charges) == 1


async def test_reset(emulator):
    """A reset tears the connection down."""
    emulator.inject(Fault.reset(), on="submit")

    with pytest.raises(ConnectionResetError):
        await raw(emulator)

    assert emulator.exchanges[0].status is None
    assert len(emulator.charges) == 1


async def test_garbage(emulator, session):
    """Garbage is no HTTP for any client."""
    emulator.inject(Fault.garbage(), on="submit", times=2)
    seen = await raw(emulator)

    with pytest.raises(aiohttp.ClientResponseError):
        await session.post(
            emulator.url("evolink") + "/v1/audios/generations",
            data=MUSIC,
            headers={"Authorization": f"Bearer {emulator.api_key}"},
        )

    assert not seen.startswith(b"HTTP")
    assert len(seen) > 10
    assert len(emulator.charges) == 2


async def test_cut(emulator):
    """A cut answer announces its whole body and sends the first half."""
    emulator.inject(Fault.cut(), on="submit")
    head, _, body = (await raw(emulator)).partition(b"\r\n\r\n")
    announced = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert int(announced) // 2 == len(body) > 100
    assert emulator.exchanges[0].status == 200


async def test_cut_download(emulator, caller):
    """A download can be cut in the middle of the audio, and be taken up again."""
    song = emulator.seed_song()
    url = f"{emulator.url('evolink')}/media/{song.track_id}.wav"
    emulator.inject(Fault.cut(), on="download")

    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.fetch(url)
    rest = await caller.fetch(url, Range=f"bytes={len(song.audio) // 2}-")

    assert rest.body == song.audio[len(song.audio) // 2 :]


async def test_hang_until_the_caller_leaves(emulator, caller):
    """A hanging request is charged for, and ends when the caller gives up."""
    emulator.inject(Fault.hang(), on="submit")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30):
            await caller.submit(MUSIC)
    await asyncio.sleep(1)

    assert emulator.exchanges[0].status is None
    assert len(emulator.charges) == 1


async def test_slow(emulator, caller):
    """A slow answer is the proper one, late; the work was done before."""
    emulator.inject(Fault.slow(20), on="submit")
    start = asyncio.get_running_loop().time()
    answering = asyncio.create_task(caller.submit(MUSIC))
    await asyncio.sleep(1)
    charged = len(emulator.charges)
    reply = await answering

    assert charged == 1
    assert reply.status == 200
    assert asyncio.get_running_loop().time() - start == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("fault", [*LOST, Fault.hang])
async def test_work_not_done(emulator, fault):
    """A fault can also show before the service has done its work."""
    emulator.inject(fault(processed=False), on="submit")

    sending = asyncio.create_task(raw(emulator))
    await asyncio.wait((sending,), timeout=30)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)

    assert emulator.count("submit") == 1
    assert emulator.charges == ()


@pytest.mark.parametrize("status", [200, 502])
async def test_html(emulator, status):
    """A proxy's page comes under any status, even a good one."""
    emulator.inject(Fault.html(status), on="submit")
    answer = await raw(emulator)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Content-Type: text/html" in answer
    assert b"<!DOCTYPE html>" in answer
    assert len(emulator.charges) == 1


async def test_text(emulator):
    """Any body comes under any status and content type."""
    fault = Fault.text(b'{"id": ', status=201, content_type="text/plain")
    emulator.inject(fault, on="submit")
    answer = await raw(emulator)

    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b"Content-Type: text/plain\r\n" in answer
    assert answer.endswith(b'\r\n\r\n{"id": ')


TOO_MANY = (
    "rate_limit_exceeded",
    "Too many requests, please try again later",
    "rate_limit_error",
)
PAUSED = (
    "service_unavailable",
    "Service temporarily unavailable",
    "service_unavailable_error",
)
DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
HOME = "https://example.com/"


@pytest.mark.parametrize(
    ("fault", "status", "header", "error"),
    [
        (Fault.status(429, retry_after=30), 429, "Retry-After: 30", TOO_MANY),
        (Fault.status(429, retry_after=0), 429, "Retry-After: 0", TOO_MANY),
        (Fault.status(503, retry_after=DATE), 503, f"Retry-After: {DATE}", PAUSED),
        (
            Fault.status(302, "moved", "Elsewhere", location=HOME),
            302,
            f"Location: {HOME}",
            ("moved", "Elsewhere"),
        ),
    ],
)
async def test_status(emulator, fault, status, header, error):
    """An error comes in the service's own shape, before any work is done."""
    emulator.inject(fault, on="submit")
    head, _, body = (await raw(emulator)).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")

    assert lines[0].startswith(f"HTTP/1.1 {status} ")
    assert header in lines
    assert any(line.startswith("X-Request-Id: ") for line in lines)
    assert json.loads(body) == {
        "error": dict(zip(("code", "message", "type"), error, strict=False))
    }
    assert emulator.charges == ()


async def test_status_without_headers(emulator, caller):
    """Nothing is announced that was not asked for, and a read has its own code."""
    emulator.inject(Fault.status(404), on="read")
    reply = await caller.read("task-unified-1")

    assert reply.error["code"] == "task_not_found"
    assert "Retry-After" not in reply.headers
    assert "Location" not in reply.headers


async def test_status_after_the_work(emulator, caller):
    """An error can also hide that the work was done."""
    emulator.inject(Fault.status(500, processed=True), on="submit")
    reply = await caller.submit(MUSIC)

    assert reply.status == 500
    assert len(emulator.charges) == 1


async def test_patch(emulator):
    """Members of the proper answer are replaced and removed; the rest stays."""
    emulator.inject(Fault.patch({"status": "queued"}, remove=("id",)), on="submit")
    answer = await raw(emulator)
    told = json.loads(answer.partition(b"\r\n\r\n")[2])

    assert told["status"] == "queued"
    assert "id" not in told
    assert told["model"] == "suno-v5-beta"
    assert b"X-Request-Id" in answer
    assert len(emulator.charges) == 1


async def test_patch_without_work(emulator):
    """A refusal can come under status 200, with nothing else in the answer."""
    refusal = {"error": {"code": "rate_limit_exceeded"}}
    emulator.inject(Fault.patch(refusal, processed=False), on="submit")
    answer = await raw(emulator)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == refusal
    assert emulator.charges == ()


async def test_fails(emulator, caller):
    """A doomed task is accepted like any other."""
    emulator.inject(Fault.fails(), on="submit")
    job_id = (await caller.submit(MUSIC)).json["id"]
    emulator.advance(180)
    told = (await caller.read(job_id)).json

    assert told["error"]["code"] == "service_error"


@pytest.mark.parametrize("fault", [*LOST, lambda: Fault.status(500)])
async def test_downloads(emulator, caller, fault):
    """Faults happen to downloads as well, and only as often as planned."""
    song = emulator.seed_song()
    path = f"/media/{song.track_id}.wav"
    emulator.inject(fault(), on="download")
    (first,) = await asyncio.gather(
        raw(emulator, "GET", path, b""), return_exceptions=True
    )
    second = await caller.fetch(emulator.url("evolink") + path)

    assert isinstance(first, ConnectionResetError) or song.audio not in first
    assert second.body == song.audio


@pytest.mark.parametrize("fault", [*LOST, Fault.hang])
async def test_faults_are_quiet(emulator, fault, caplog):
    """Nothing is logged about connections that end on purpose."""
    caplog.set_level(logging.DEBUG, "aiohttp")
    emulator.inject(fault(), on="submit")
    sending = asyncio.create_task(raw(emulator))
    await asyncio.wait((sending,), timeout=30)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await asyncio.sleep(1)

    assert [record for record in caplog.records if record.name != "asyncio"] == []


def test_name():
    """A fault shows what it is and whether the work is done."""
    assert repr(Fault.drop(processed=False)) == (
        "Fault(name='drop', processed=False, task_error=None)"
    )


@pytest.mark.parametrize(
    ("fault", "on", "message"),
    [
        (Fault.fails(), "read", "fails cannot happen on 'read', only on: submit"),
        (
            Fault.patch({}),
            "download",
            "patch cannot happen on 'download', only on: credits, read, submit",
        ),
        (
            Fault.drop(),
            "other",
            "drop cannot happen on 'other', only on: credits, download, read, submit",
        ),
    ],
)
def test_impossible_plans(fault, on, message):
    """A fault that could never happen is refused when it is planned."""
    with pytest.raises(ValueError, match=message):
        Script().inject(fault, on, times=1, until=None)


def test_order():
    """Each request is hit by the first fault left for its action."""
    script = Script()
    drop, reset, hang = Fault.drop(), Fault.reset(), Fault.hang()
    script.inject(drop, "submit", times=2, until=None)
    script.inject(reset, "read", times=1, until=None)
    script.inject(hang, "submit", times=None, until=None)
    taken = [
        script.take(action, 0.0)
        for action in ("submit", "read", "read", "submit", "submit", "submit")
    ]
    script.clear()

    assert taken == [drop, reset, None, drop, hang, hang]
    assert script.take("submit", 0.0) is None


def test_period():
    """A fault that is limited in time hits everything until then."""
    script, drop = Script(), Fault.drop()
    script.inject(drop, "read", times=None, until=10.0)

    assert [script.take("read", now) for now in (0.0, 9.9, 10.0)] == [drop, drop, None]
