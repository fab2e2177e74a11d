"""The shorter way for reads: the same answers, and a way back wherever it may fail."""

from __future__ import annotations

import asyncio
import gzip
import math

import aiohttp
import pytest
from yarl import URL

from personakit.http import fast_path as module
from personakit.http.fast_path import BODY_LIMIT, Shortcut
from personakit.http.messages import NoAnswer, Request, Response, paid_request
from personakit.http.transport import Transport
from tests.servers import Heard, answer, raw_server, read_request

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n"
READ = Request("GET", "/v1/thing")
GOOD = answer(b'{"a": 1}', headers="X-Request-Id: r1\r\n")


class Server:
    """Answers one request after the other on each connection, as it is told."""

    def __init__(self, *replies: bytes, close: bool = False) -> None:
        self.replies = [*replies]
        self.texts: list[bytes] = []
        self.close = close

    async def handle(self, reader, writer) -> None:
        while True:
            self.texts.append(await read_request(reader))
            reply = self.replies.pop(0) if self.replies else GOOD
            writer.write(reply)
            await writer.drain()
            if self.close and not self.replies:
                return
            if reply == b"":
                return


@pytest.fixture
async def connect():
    """Return what makes a transport that knows the shortcut already."""
    made: list[Transport] = []

    async def connect(heard: Heard) -> Transport:
        transport = Transport(URL(f"{heard.url}/prefix"), "sk-secret-key", None)
        made.append(transport)
        await transport.send(READ, deadline=math.inf)
        return transport

    yield connect
    for transport in made:
        await transport.aclose()


@pytest.fixture
def short(monkeypatch):
    """Make sure that no session is used from here on."""

    def forbid():
        monkeypatch.setattr(aiohttp.ClientSession, "_request", None)

    return forbid


async def read(transport: Transport, request: Request = READ) -> Response:
    return await transport.send(request, deadline=math.inf)


async def test_requests_are_the_same(connect, short):
    """What is sent differs in nothing, and one connection serves all."""
    server = Server()
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
        short()
        responses = [await read(transport) for _ in range(3)]

    assert len(server.texts) == 4
    assert len(set(server.texts)) == 1
    assert heard.connections == 1
    assert {response.body for response in responses} == {b'{"a": 1}'}
    assert responses[0].status == 200
    assert responses[0].request_id == "r1"


async def test_paths_differ(connect, short):
    """Each path is asked for by its name."""
    server = Server()
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
        short()
        await read(transport, Request("GET", "/v1/tasks/a%20b?x=1"))

    assert server.texts[1].startswith(b"GET /prefix/v1/tasks/a%20b?x=1 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("reply", "status", "body"),
    [
        (
            answer(gzip.compress(b"[1]"), headers="Content-Encoding: gzip\r\n"),
            200,
            b"[1]",
        ),
        (answer(b"no", status="404 Not Found"), 404, b"no"),
        (answer(b"", status="302 Found", headers="Location: /x\r\n"), 302, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, 200, b'{"a": 1}'),
        (
            CHUNKED,
            200,
            b"[1]",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (answer(b'"sk-secret-key"'), 200, b'"***"'),
    ],
    ids=["packed", "missing", "redirect", "interim", "chunks", "empty", "key"],
)
async def test_answers(connect, short, reply, status, body):
    """Every kind of answer is read as a session would, and the next one as well."""
    server = Server(GOOD, reply)
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
        short()
        response = await read(transport)
        after = await read(transport)

    assert (response.status, response.body) == (status, body)
    assert after.body == b'{"a": 1}'
    assert heard.connections == 1


async def test_answer_without_a_length(connect, short):
    """A body that ends with its connection is whole."""
    server = Server(GOOD, b"HTTP/1.1 200 OK\r\n\r\n[1]", close=True)
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
        short()
        response = await read(transport)

    assert response.body == b"[1]"


async def test_idle_connection_that_was_closed(connect, short):
    """It is noticed or met, and another one is used: once, as sessions do."""
    server = Server(GOOD, close=True)
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
        short()
        await asyncio.sleep(0.1)
        response = await read(transport)

    assert response.body == b'{"a": 1}'
    assert heard.connections == 2


async def test_lost_answer_is_asked_for_once_more(connect, short):
    """A second loss is told; a service that is down is not asked a third time."""
    server = Server(GOOD, b"", b"")
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
        short()
        with pytest.raises(NoAnswer) as caught:
            await read(transport)

    assert len(server.texts) == 3
    assert "Disconnected" in caught.value.reason


async def test_one_lost_answer_is_not_noticed(connect, short):
    """The second attempt brings it."""
    server = Server(GOOD, b"", GOOD)
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
        short()
        response = await read(transport)

    assert response.body == b'{"a": 1}'


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        answer(b"x" * (BODY_LIMIT + 1)),
        answer(
            gzip.compress(b"x" * (BODY_LIMIT + 1)), headers="Content-Encoding: gzip\r\n"
        ),
    ],
    ids=["no HTTP", "cut", "long", "bomb"],
)
async def test_broken_answers(connect, short, reply):
    """They are no answer, as over a session; the shortcut stays."""
    server = Server(GOOD, reply, close=True)
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
        short()
        with pytest.raises(NoAnswer):
            await read(transport)
        after = await read(transport)

    assert after.body == b'{"a": 1}'
    assert not transport._short_reads.is_off


async def test_service_that_is_gone(connect, short):
    """Nobody listens: that is told at once, and nothing was sent."""
    server = Server(GOOD, close=True)
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
    short()
    await asyncio.sleep(0.1)
    with pytest.raises(NoAnswer) as caught:
        await read(transport)

    assert not caught.value.sent


async def test_silence_ends(connect, short):
    """A service that says nothing is given up in time."""

    async def listen(reader, writer) -> None:
        await read_request(reader)
        if not heard_first:
            heard_first.append(1)
            writer.write(GOOD)
            await read_request(reader)
        await asyncio.sleep(3600)

    heard_first: list[int] = []
    async with raw_server(handler=listen) as heard:
        transport = await connect(heard)
        short()
        began = asyncio.get_running_loop().time()
        with pytest.raises(NoAnswer):
            await read(transport)

    assert asyncio.get_running_loop().time() - began < 60


async def test_cancelled_read_leaves_no_connection_behind(connect, short):
    """Half an answer is never taken for that of the next request."""
    server = Server(GOOD, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
        short()
        reading = asyncio.create_task(read(transport))
        await asyncio.sleep(1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        after = await read(transport)

    assert after.body == b'{"a": 1}'
    assert heard.connections == 2


async def test_connection_that_ends_before_it_is_used(connect, short, monkeypatch):
    """A connection that closes counts as closed, and another one is taken."""
    server = Server()
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
        short()
        connector, calls = transport._reads.connector, []
        usual = connector.connect

        async def connect_closed(*words):
            connection = await usual(*words)
            if not calls:
                connection.transport.close()
            calls.append(1)
            return connection

        monkeypatch.setattr(connector, "connect", connect_closed)
        response = await read(transport)

    assert response.body == b'{"a": 1}'
    assert len(calls) == 2


@pytest.mark.parametrize("error", [AttributeError("a"), TypeError("b"), KeyError("c")])
async def test_other_versions_of_aiohttp(connect, monkeypatch, error):
    """Where aiohttp is not as expected the session reads, from then on always."""
    server, tries = Server(), []
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)

        async def fail(*_, **__) -> None:
            tries.append(1)
            raise error

        monkeypatch.setattr(module, "_converse", fail)
        responses = [await read(transport) for _ in range(3)]

    assert [response.body for response in responses] == [b'{"a": 1}'] * 3
    assert len(tries) == 1
    assert transport._short_reads.is_off


async def test_request_that_cannot_be_learned_from(monkeypatch):
    """Where requests look otherwise than expected there is no shortcut."""

    class Strange:
        headers = None

    shortcut = Shortcut("http://127.0.0.1", aiohttp.ClientTimeout())
    shortcut._learn(Strange())
    shortcut._learn(Strange())

    assert shortcut.is_off
    assert await shortcut.send(READ, "/a", print) is None


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "/v1/a\r\nX: y"),
        Request("GET", "/v1/ü"),
    ],
    ids=["line", "letters"],
)
async def test_what_is_not_usual_goes_over_the_session(connect, monkeypatch, request_):
    """Anything but a plain read of a plain path."""
    server = Server()
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)

        async def fail(*_, **__) -> None:
            raise RuntimeError("the shortcut was taken")

        monkeypatch.setattr(Shortcut, "_exchange", fail)
        response = await read(transport, request_)

    assert response.body == b'{"a": 1}'


async def test_only_usual_requests_are_learned_from():
    """A first read with headers of its own is no example for the others."""
    server = Server()
    async with raw_server(handler=server.handle) as heard:
        transport = Transport(URL(heard.url), "sk-secret-key", None)
        more = {"X-More": "1"}
        async with transport._reads.get(f"{heard.url}/a", headers=more):
            pass
        before = transport._short_reads._request
        await read(transport)
        after = transport._short_reads._request
        await transport.aclose()

    assert before is None
    assert after is not None


async def test_borrowed_session_has_none(monkeypatch):
    """A caller's session does what its caller made it for: a proxy, say."""
    server = Server()
    async with (
        raw_server(handler=server.handle) as heard,
        aiohttp.ClientSession() as own,
    ):
        transport = Transport(URL(heard.url), "sk-secret-key", own)
        for _ in range(3):
            await read(transport)
        learned = transport._short_reads._request
        await transport.aclose()

    assert learned is None


async def test_key_is_not_shown(connect, caplog):
    """Neither the shortcut's picture nor the log of its end holds the key."""
    caplog.set_level("INFO")
    server = Server()
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
        shown = repr(transport._short_reads)
        transport._short_reads._give_up(ValueError("sk-secret-key"))

    assert transport._short_reads.is_off
    assert "longer way" in caplog.text
    assert "sk-secret-key" not in shown + caplog.text


async def test_many_at_once(connect, short):
    """Hundreds at the same time each get their own answer."""

    async def echo(reader, writer) -> None:
        while True:
            text = await read_request(reader)
            path = text.split(b" ", 2)[1]
            writer.write(answer(path))
            await writer.drain()

    async with raw_server(handler=echo) as heard:
        transport = await connect(heard)
        short()
        paths = [f"/{number}" for number in range(300)]
        responses = await asyncio.gather(
            *(read(transport, Request("GET", path)) for path in paths)
        )

    assert [r.body.decode() for r in responses] == [f"/prefix{path}" for path in paths]
    assert heard.connections <= 101


MANY = Request("POST", "/v1/tasks/batch", body=b'{"task_ids": ["a"]}')


async def test_read_with_a_body(connect, short):
    """A read of many jobs is a POST; over a lost connection it is repeated as well."""
    server = Server(GOOD, GOOD, b"", GOOD)
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
        short()
        responses = [await read(transport, MANY) for _ in range(2)]

    assert [response.body for response in responses] == [b'{"a": 1}'] * 2
    assert len(server.texts) == 4
    assert len(set(server.texts[1:])) == 1
    assert server.texts[1].startswith(b"POST /prefix/v1/tasks/batch HTTP/1.1\r\n")
    assert server.texts[1].endswith(b"\r\n\r\n" + MANY.body)


async def test_connection_that_is_not_as_expected(connect, monkeypatch):
    """Where no connection comes in the expected way the session reads."""
    server = Server()
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)
        monkeypatch.setattr(transport._short_reads, "_connector", None)
        response = await read(transport)

    assert response.body == b'{"a": 1}'
    assert transport._short_reads.is_off


async def test_paid_requests_go_over_the_session(connect, monkeypatch):
    """The shortcut is for reads alone."""
    server = Server()
    async with raw_server(handler=server.handle) as heard:
        transport = await connect(heard)

        async def fail(*_, **__) -> None:
            raise RuntimeError("the shortcut was taken")

        monkeypatch.setattr(Shortcut, "_exchange", fail)
        response = await read(transport, paid_request("/v1/songs", {}))

    assert response.body == b'{"a": 1}'
    assert b"Connection: close\r\n" in server.texts[-1]
