"""No first byte of a paid request leaves too late, and what may have left is known."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from yarl import URL

from personakit.http.flight import Flight, NotSentError
from personakit.http.messages import NoAnswer, Request, file_request, paid_request
from personakit.http.transport import Transport
from personakit.requests import AudioFile
from tests.servers import answer, raw_server

PAID = paid_request("/v1/songs", {"title": "rain"})
LARGE = file_request("/v1/files", {}, AudioFile("a.mp3", b"x" * 3_000_000))


class Looks:
    """A `may_send` that returns False from the given call on."""

    def __init__(self, allowed: float = math.inf) -> None:
        self.allowed = allowed
        self.count = 0

    def __call__(self) -> bool:
        self.count += 1
        return self.count <= self.allowed


@pytest.fixture(params=[False, True], ids=["own", "borrowed"])
async def session(request) -> AsyncIterator[aiohttp.ClientSession | None]:
    """Give no session, so that the transport makes its own, or a caller's."""
    if not request.param:
        yield None
        return
    async with aiohttp.ClientSession() as borrowed:
        yield borrowed


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Transport]]:
    """Make transports that are closed after the test."""
    made: list[Transport] = []

    def make(url: str, session: aiohttp.ClientSession | None = None) -> Transport:
        made.append(Transport(URL(url), "sk-secret-key", session, URL(url)))
        return made[-1]

    yield make
    for transport in made:
        await transport.aclose()


async def lose(transport: Transport, request: Request = PAID, **options) -> NoAnswer:
    """Send, and return why there is no answer."""
    options = {"deadline": math.inf, **options}
    with pytest.raises(NoAnswer) as caught:
        await transport.send(request, **options)
    return caught.value


@pytest.mark.parametrize("allowed", [0, 1])
async def test_forbidden_request_sends_no_byte(connect, allowed):
    """It is looked at before the headers and before the body, on the connection."""
    looks = Looks(allowed)
    async with raw_server(answer()) as heard:
        lost = await lose(connect(heard.url), may_send=looks)
        await asyncio.sleep(1)

    assert not lost.sent
    assert "no longer allowed" in lost.reason
    assert looks.count == allowed + 1
    assert heard.requests == []


@pytest.mark.parametrize("request_", [PAID, LARGE], ids=["small", "large"])
async def test_begun_request_is_not_stopped(connect, request_):
    """Once its first byte has left, nothing is looked at any more."""
    looks = Looks()
    async with raw_server(answer()) as heard:
        response = await connect(heard.url).send(
            request_, deadline=math.inf, may_send=looks
        )

    assert response.status == 200
    assert looks.count == 2
    assert heard.requests[0].endswith(request_.body)


@pytest.mark.parametrize("last_look", [1])
async def test_busy_loop_sends_no_byte_after_the_deadline(connect, last_look):
    """The deadline may pass between two steps, while the loop is busy otherwise."""
    loop, looks = asyncio.get_running_loop(), Looks()

    def look_and_be_busy() -> bool:
        looks()
        if looks.count == last_look:
            loop.setup_looptime(start=loop.time() + 7)
        return True

    async with raw_server(answer()) as heard:
        lost = await lose(connect(heard.url), deadline=5, may_send=look_and_be_busy)
        await asyncio.sleep(1)

    assert not lost.sent
    assert lost.reason == "the deadline had passed"
    assert looks.count == last_look
    assert heard.requests == []


async def test_connecting_ends_at_the_deadline(connect, session):
    """A handshake without end is given up then, and nothing was sent."""

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(handler=hang, scheme="https") as heard:
        lost = await lose(connect(heard.url, session), deadline=2.5)

    assert not lost.sent
    assert asyncio.get_running_loop().time() == pytest.approx(2.5, abs=0.01)


async def test_passed_deadline_opens_no_connection(connect, session):
    """What is too late from the start costs the service nothing either."""
    await asyncio.sleep(3)
    async with raw_server(answer()) as heard:
        lost = await lose(connect(heard.url, session), deadline=3)

    assert not lost.sent
    assert heard.connections == 0


async def test_answer_to_a_paid_request_may_come_after_the_deadline(connect, session):
    """The deadline does not tear what has begun: the answer is money's worth."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(60)
        writer.write(answer(b'{"id": 1}'))

    async with raw_server(handler=serve) as heard:
        response = await connect(heard.url, session).send(PAID, deadline=5)

    assert response.body == b'{"id": 1}'
    assert asyncio.get_running_loop().time() == pytest.approx(60, abs=0.1)


async def test_request_without_a_body_is_looked_at_too():
    """Its headers are written at once, so the look before them is the last."""
    flight = Flight(deadline=5, may_send=None, sent=False)
    flight.begin_headers()
    began = flight.sent
    await asyncio.sleep(5)
    with pytest.raises(NotSentError):
        Flight(deadline=5, may_send=None, sent=False).begin_headers()

    assert began
