"""Reports of services: what they speed up and settle; forgeries do nothing."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from personakit import (
    InvalidRequest,
    JournalError,
    MusicRequest,
    OutcomeUnknown,
    PersonaKit,
)
from personakit.callbacks import BODY_LIMIT, BODY_TIMEOUT, Callbacks
from personakit.emulator import Emulator, Fault
from personakit.journal import MemoryJournal, SubmitState
from personakit.providers import PROVIDERS
from personakit.receipt import Ability, Receipt
from tests.conftest import connect as connect_evolink
from tests.contract.worlds import connect
from tests.journals import open_states, put

SECRET = "correct horse battery"
URL = "https://app.example/hooks"
SIGNED = {"kie", "kie-jobs", "musicmint"}
SONG = {"lyrics": "[Verse]\nBlue", "style": "jazz", "title": "Blue hour"}
IDEA = MusicRequest(idea="a rainy night")


def receive_with(kit: PersonaKit, **options) -> Callbacks:
    return kit.callbacks(**{"public_url": URL, "secret": SECRET, **options})


class Route:
    """Where an application takes reports; `take` can be set while it runs."""

    async def handle(self, request: web.Request) -> web.Response:
        return await self.take(request)

    @staticmethod
    async def take(_: web.Request) -> web.Response:
        return web.Response(status=500)


@asynccontextmanager
async def playing() -> AsyncIterator[tuple[Emulator, Route]]:
    """Run an emulator that reports to an application of the test's own."""
    app, route = web.Application(), Route()
    app.router.add_post("/hooks/{token}", route.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with Emulator(callbacks_to=address) as emulator:
            yield emulator, route
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("name", PROVIDERS)
async def test_reports_spare_readings(name):
    """On every service a job that is reported needs few readings, and ends in time."""
    async with playing() as (emulator, route), connect(emulator, name) as kit:
        secret = "emulator-secret" if name in SIGNED else None
        route.take = receive_with(kit, service_secret=secret).aiohttp_handler
        await kit.generate(**SONG)  # from here on reports are expected
        before, began = emulator.count("read"), asyncio.get_running_loop().time()
        tracks = await kit.generate(**SONG)
        reads = emulator.count("read") - before
        took = asyncio.get_running_loop().time() - began
    async with Emulator() as silent, connect(silent, name) as kit:
        await kit.generate(**SONG)
        usual, began = silent.count("read"), asyncio.get_running_loop().time()
        await kit.generate(**SONG)
        usual = silent.count("read") - usual
        lag = asyncio.get_running_loop().time() - began - took

    assert len(tracks) == 2
    assert reads <= 5 <= usual
    assert reads < usual
    assert lag >= -0.1
    if name != "kie-jobs":
        assert {delivery.status for delivery in emulator.callbacks} == {200}


@pytest.mark.parametrize("name", [n for n in PROVIDERS if n != "kie-jobs"])
async def test_lost_answer_is_found_by_its_report(name):
    """A callback's address names the submit it is for, even after a lost answer."""
    async with playing() as (emulator, route), connect(emulator, name) as kit:
        route.take = receive_with(kit).aiohttp_handler
        emulator.inject(Fault.drop(), on="submit")
        with pytest.raises(OutcomeUnknown) as caught:
            await kit.generate(**SONG)
        assert len(await kit.pending()) == 1
        await asyncio.sleep(200)
        [job] = [job async for job in kit.resume()]
        tracks = await job

        assert await kit.pending() == ()
        assert job.receipt.key == caught.value.receipt.key
        assert [charge.job_id for charge in emulator.charges] == [job.id]
        assert {track.title for track in tracks} == {"Blue hour"}


async def test_silence_brings_the_usual_pace_back():
    """When reports stop, a job that ends unreported makes further ones read as ever."""
    async with playing() as (emulator, route), connect(emulator, "evolink") as kit:
        route.take = receive_with(kit).aiohttp_handler
        await kit.generate(**SONG)
        route.take = Route.take
        await kit.generate(**SONG)
        before = emulator.count("read")
        await kit.generate(**SONG)

    assert emulator.count("read") - before > 5


# What is sent to the receiving end.


@pytest.fixture
async def job(kit):
    return await kit.submit(IDEA)


def token_of(callbacks: Callbacks, receipt: Receipt, attempt: int = 1) -> str:
    return callbacks.address(receipt, attempt).rsplit("/", 1)[-1]


def report(job_id: str) -> bytes:
    return json.dumps({"id": job_id, "status": "completed"}).encode()


async def test_answers(kit, emulator, job):
    """Every kind of callback has its answer."""
    callbacks = receive_with(kit)
    other = await kit.submit(IDEA)
    path = f"/any/where/{token_of(callbacks, job.receipt)}"
    good = report(job.id)
    answers = {
        "good": await callbacks.receive("POST", path, [], good),
        "again": await callbacks.receive("POST", path, [], good),
        "GET": await callbacks.receive("GET", path, [], b""),
        "large": await callbacks.receive("POST", path, [], b"x" * (BODY_LIMIT + 1)),
        "no token": await callbacks.receive("POST", "/hooks/", [], good),
        "no report": await callbacks.receive("POST", path, [], b"hello"),
        "another's": await callbacks.receive("POST", path, [], report(other.id)),
    }

    assert answers == {
        "good": 200,
        "again": 200,
        "GET": 405,
        "large": 413,
        "no token": 404,
        "no report": 400,
        "another's": 409,
    }
    assert job.receipt.key not in callbacks.address(job.receipt, 1)


@pytest.mark.parametrize("job_id", ["task-unified-1-unknown0", "no id of Evolink"])
async def test_report_of_a_job_that_is_none(kit, emulator, job_id):
    """A lost submit takes no job that the service does not know."""
    callbacks = receive_with(kit)
    receipt = await put(kit, SubmitState.UNKNOWN, IDEA)
    path = f"/{token_of(callbacks, receipt)}"

    assert await callbacks.receive("POST", path, [], report(job_id)) == 404
    assert await open_states(kit) == ((receipt, SubmitState.UNKNOWN),)


async def test_report_of_another_receipts_job(kit, job):
    """A lost submit takes no job that belongs to another one."""
    callbacks = receive_with(kit)
    receipt = Receipt("evolink", Ability.MUSIC)
    path = f"/{token_of(callbacks, receipt)}"

    assert await callbacks.receive("POST", path, [], report(job.id)) == 409


async def test_report_to_a_journal_that_forgot(emulator):
    """An address alone is enough to know a job again."""
    async with connect_evolink(emulator) as kit:
        callbacks = receive_with(kit)
        job = await kit.submit(IDEA)
        path = f"/{token_of(callbacks, job.receipt)}"
    async with connect_evolink(emulator) as kit:
        answers = await asyncio.gather(
            *(
                receive_with(kit).receive("POST", path, [], report(job.id))
                for _ in range(50)
            )
        )

        assert set(answers) == {200}
        assert await open_states(kit) == ((job.receipt, SubmitState.ACCEPTED),)


async def test_service_that_cannot_be_asked(kit, emulator, job):
    """Where the job cannot be read just now, the service shall report again."""
    callbacks = receive_with(kit)
    lost = Receipt("evolink", Ability.MUSIC)
    emulator.inject(Fault.status(503), on="read", times=99)
    path = f"/{token_of(callbacks, lost)}"

    assert await callbacks.receive("POST", path, [], report(job.id)) == 503


async def test_journal_that_cannot_be_used(emulator):
    """Nothing is answered with 2xx that the journal has not."""

    class Broken(MemoryJournal):
        async def find(self, account, key):
            raise JournalError("The disk is gone.")

    async with connect_evolink(emulator, journal=Broken()) as kit:
        callbacks = receive_with(kit)
        path = f"/{token_of(callbacks, Receipt('evolink', Ability.MUSIC))}"

        assert await callbacks.receive("POST", path, [], report("j")) == 503


@pytest.mark.parametrize("name", sorted(SIGNED))
async def test_signature_is_wanted_where_a_secret_is_set(emulator, name):
    """Without the service's own signature a callback is refused."""
    async with connect(emulator, name) as kit:
        callbacks = receive_with(kit, service_secret="emulator-secret")
        path = f"/{token_of(callbacks, Receipt(name, Ability.MUSIC))}"
        body = b'{"task_id": "t1", "data": {"task_id": "t1"}}'
        twice = [("x-signature", "a"), ("X-Signature", "a")]

        assert await callbacks.receive("POST", path, [], body) == 401
        assert await callbacks.receive("POST", path, twice, body) == 401


async def test_forgeries(kit, emulator, job):
    """Of 20,000 mutated addresses and bodies none is taken, none is a 5xx."""
    callbacks, chance = receive_with(kit), random.Random(4)
    token = token_of(callbacks, job.receipt)
    letters = "abcXYZ019-_=+/.%\u00fc "
    answers: dict[int, int] = {}
    reads = emulator.count("read")
    for _ in range(20_500):
        forged = list(token)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(forged))
            match chance.randrange(3):
                case 0:
                    forged[place] = chance.choice(letters)
                case 1:
                    del forged[place]
                case _:
                    forged.insert(place, chance.choice(letters))
        if "".join(forged).rsplit("/", 1)[-1] == token:
            continue
        body = chance.randbytes(20) if chance.random() < 0.2 else report(job.id)
        status = await callbacks.receive("POST", f"/{''.join(forged)}", [], body)
        answers[status] = answers.get(status, 0) + 1

    assert set(answers) == {404}
    assert sum(answers.values()) >= 20_000
    assert emulator.count("read") == reads


@pytest.mark.parametrize("other", ["sunoapi", "musicmint"])
async def test_address_of_another_service_or_secret(emulator, kit, other):
    """An address is good for one service and one secret; a changed one still counts."""
    receipt = Receipt("evolink", Ability.MUSIC)
    token = token_of(receive_with(kit), receipt)
    rotated = receive_with(kit, secret=("a new secret, long", SECRET))
    stranger = receive_with(kit, secret="a new secret, long")
    async with connect(emulator, other) as elsewhere:
        foreign = receive_with(elsewhere)

    assert rotated._read_token(token) == (receipt, 1)
    assert stranger._read_token(token) is None
    assert foreign._read_token(token) is None
    assert token_of(rotated, receipt) == token_of(stranger, receipt) != token


async def test_tokens_have_one_spelling(kit):
    """Base64 that decodes to the same bytes is no other address for the same submit."""
    callbacks = receive_with(kit)
    token = token_of(callbacks, Receipt("evolink", Ability.PERSONA))
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    same = [
        token[:-1] + letter
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        if base64.urlsafe_b64decode(token[:-1] + letter + "=" * (-len(token) % 4))
        == raw
    ]

    assert [callbacks._read_token(one) is not None for one in same] == [
        one == token for one in same
    ]
    assert len(same) > 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"public_url": "http://app.example"}, "public_url"),
        ({"public_url": "nonsense"}, "public_url"),
        ({"secret": "short"}, "secret"),
        ({"secret": ()}, "secret"),
        ({"secret": (SECRET, "short")}, "secret"),
        ({"service_secret": "x"}, "service_secret"),
    ],
)
async def test_bad_settings(kit, options, field):
    """What cannot work is refused when it is set up."""
    with pytest.raises(InvalidRequest) as caught:
        receive_with(kit, **options)

    assert caught.value.field == field


async def test_secrets_are_not_shown(kit):
    """Neither ours nor the service's stands in a representation."""
    shown = repr(receive_with(kit))

    assert SECRET not in shown
    assert URL in shown


@asynccontextmanager
async def listening(callbacks: Callbacks) -> AsyncIterator[int]:
    """Serve callbacks on a real socket, and yield its port."""
    app = web.Application(client_max_size=1)
    app.router.add_route("*", "/{token}", callbacks.aiohttp_handler)
    runner = web.AppRunner(app, lingering_time=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def begin(port: int, token: str, body: bytes, *, method: str = "POST") -> bytes:
    """Send the head of a request and less than its body; return the status line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    length = f"Content-Length: {BODY_LIMIT * 2}"
    writer.write(f"{method} /{token} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
    writer.write(body)
    answer = await reader.readline()
    writer.close()
    return answer


async def test_large_report_over_http(kit, job):
    """The handler reads no more than the limit."""
    callbacks = receive_with(kit)
    async with listening(callbacks) as port:
        large = b"x" * (BODY_LIMIT + 70_000)
        answer = await begin(port, token_of(callbacks, job.receipt), large)

    assert b" 413 " in answer


@pytest.mark.looptime(False)
async def test_forged_address_over_http_is_refused_unread(kit, job):
    """Of 200 that never end, those with a wrong address or method are answered."""
    callbacks, loop = receive_with(kit), asyncio.get_running_loop()
    token = token_of(callbacks, job.receipt)
    async with listening(callbacks) as port:
        began = loop.time()
        forged = await asyncio.gather(
            *(begin(port, "x" * 60, b"{") for _ in range(200))
        )
        wrong = await begin(port, token, b"{", method="PUT")
        took = loop.time() - began

    assert {answer.split()[1] for answer in forged} == {b"404"}
    assert wrong.split()[1] == b"405"
    assert took < 5


async def test_slow_body_over_http_is_not_awaited(kit, job):
    """A body that comes too slowly is given up, however many bytes still come."""
    callbacks, loop = receive_with(kit), asyncio.get_running_loop()
    async with listening(callbacks) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /{token_of(callbacks, job.receipt)} HTTP/1.1\r\nHost: x\r\n"
        writer.write(f"{head}Content-Length: 999\r\n\r\n".encode())
        began, answer = loop.time(), asyncio.ensure_future(reader.readline())
        while not answer.done():
            writer.write(b" ")
            await asyncio.wait([answer], timeout=1)
        took = loop.time() - began
        writer.close()

    assert b" 408 " in await answer
    assert took == pytest.approx(BODY_TIMEOUT, abs=1.1)


async def test_caller_that_leaves_is_no_report(kit, job, caplog):
    """A connection that breaks within the body changes nothing and logs nothing."""
    callbacks = receive_with(kit)
    async with listening(callbacks) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /{token_of(callbacks, job.receipt)} HTTP/1.1\r\nHost: x\r\n"
        writer.write(f"{head}Content-Length: 999\r\n\r\n{{".encode())
        await asyncio.sleep(1)
        writer.close()
        await asyncio.sleep(1)

    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def call_asgi(
    callbacks: Callbacks, path: str, pieces: list[bytes | None]
) -> list[object]:
    """Send one request to the ASGI side."""
    events = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces) - 1}
        if piece is not None
        else {"type": "http.disconnect"}
        for number, piece in enumerate(pieces)
    ]
    told: list[object] = []

    async def receive():
        return events.pop(0)

    async def send(event):
        told.append(event)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(b"x-signature", b"a")],
    }
    await callbacks.asgi(scope, receive, send)
    return told


async def test_asgi(kit, job):
    """The same by ASGI, with a body that comes in pieces."""
    callbacks = receive_with(kit)
    path, body = f"/{token_of(callbacks, job.receipt)}", report(job.id)
    start, end = await call_asgi(callbacks, path, [body[:5], body[5:]])
    large, _ = await call_asgi(callbacks, path, [b"x" * 200_000] * 9)
    cut, _ = await call_asgi(callbacks, path, [body[:5], None])

    assert start == {"type": "http.response.start", "status": 200, "headers": []}
    assert end == {"type": "http.response.body", "body": b""}
    assert large["status"] == 413
    assert cut["status"] == 400
    with pytest.raises(RuntimeError, match="not websocket"):
        await callbacks.asgi({"type": "websocket"}, asyncio.sleep, asyncio.sleep)


@pytest.mark.parametrize(
    ("method", "token", "status", "seconds"),
    [("POST", "x" * 60, 404, 0), ("PUT", None, 405, 0), ("POST", None, 408, 10)],
)
async def test_asgi_reads_only_what_is_ours(kit, job, method, token, status, seconds):
    """By ASGI too the address comes first, and reading the body has an end."""
    callbacks, loop = receive_with(kit), asyncio.get_running_loop()
    told: list[dict] = []

    async def receive():
        await asyncio.sleep(1)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(event):
        told.append(event)

    path, began = f"/{token or token_of(callbacks, job.receipt)}", loop.time()
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    await callbacks.asgi(scope, receive, send)

    assert told[0]["status"] == status
    assert loop.time() - began == pytest.approx(seconds)


@pytest.mark.looptime(False)
async def test_report_wakes_a_job_in_another_loop(service):
    """A job that is awaited in one thread is woken by a callback in another."""
    url = service.url("evolink")
    kit = PersonaKit("evolink", api_key=service.api_key, base_url=url)
    callbacks = receive_with(kit)
    started = threading.Event()
    told: list[object] = []

    async def wait() -> None:
        job = await kit.submit(IDEA)
        told.append(job)
        started.set()
        told.append(await job)
        await kit.aclose()

    thread = threading.Thread(target=asyncio.run, args=(wait(),))
    thread.start()
    await asyncio.to_thread(started.wait)
    await asyncio.sleep(0.5)  # of which the service makes 100 s
    path = f"/{token_of(callbacks, told[0].receipt)}"
    status = await callbacks.receive("POST", path, [], report(told[0].id))
    await asyncio.to_thread(thread.join)
    await kit.aclose()

    assert status == 200
    assert len(told[1]) == 2


async def test_flood_of_reports_reads_at_its_pace(kit, emulator, job):
    """However often the same report comes, the job is read twice a second at most."""
    callbacks = receive_with(kit)
    waiting = asyncio.create_task(job.result())
    await asyncio.sleep(1)
    path, before = f"/{token_of(callbacks, job.receipt)}", emulator.count("read")
    for _ in range(200):
        await callbacks.receive("POST", path, [], report(job.id))
        await asyncio.sleep(0.05)
    reads = emulator.count("read") - before
    await waiting

    assert 5 <= reads <= 21


async def test_address_names_the_attempt(kit):
    """After a second paid request, the callback on each is told apart."""
    callbacks = receive_with(kit)
    receipt = Receipt("evolink", Ability.MUSIC)
    token = token_of(callbacks, receipt, 7)

    assert callbacks._read_token(token) == (receipt, 7)


async def test_attempt_that_has_a_job_takes_no_other(kit, emulator, job):
    """A callback of somebody else's job does not become a second job of this submit."""
    callbacks = receive_with(kit)
    async with connect(emulator, "evolink") as other:
        foreign = await other.submit(IDEA)
    path = f"/{token_of(callbacks, job.receipt)}"

    assert await callbacks.receive("POST", path, [], report(foreign.id)) == 409
    assert [one.id async for one in kit.resume()] == [job.id]
