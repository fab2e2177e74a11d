"""The transport sends once, follows nothing, and knows what may have left."""

from __future__ import annotations

import asyncio
import gzip
import math
import socket
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
import trustme
from yarl import URL

from personakit.errors import InvalidRequest, PersonaKitError
from personakit.http.fast_path import BODY_LIMIT
from personakit.http.messages import NoAnswer, Request, file_request, paid_request
from personakit.http.transport import (
    CONNECT_TIMEOUT,
    Transport,
    check_base_url,
    is_allowed,
)
from personakit.requests import AudioFile
from personakit.version import __version__
from tests.servers import answer, raw_server, read_request

KEY = "sk-secret-canary"
READ = Request("GET", "/v1/thing")
PAID = paid_request("/v1/songs", {"title": "心中的光"})


@pytest.fixture
async def transport() -> AsyncIterator[type[Transport]]:
    """Make transports that are closed after the test."""
    made: list[Transport] = []

    class Kept(Transport):
        def __init__(
            self,
            url: str,
            session: aiohttp.ClientSession | None = None,
            files_url: URL | None = None,
        ) -> None:
            super().__init__(URL(url), KEY, session, files_url)
            made.append(self)

    yield Kept
    for one in made:
        await one.aclose()


async def lost(transport: Transport, request: Request, within: float) -> NoAnswer:
    """Send, and return the fact that there is no answer."""
    with pytest.raises(NoAnswer) as caught:
        await transport.send(
            request, deadline=asyncio.get_running_loop().time() + within
        )
    assert KEY not in repr(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


async def test_request_reaches_the_service_with_key_agent_and_body(transport):
    """A request goes to base address plus path, in UTF-8, with key and agent."""
    async with raw_server(answer(b'{"a": 1}', headers="X-Request-Id: r1\r\n")) as heard:
        response = await transport(f"{heard.url}/prefix/").send(PAID, deadline=9)

    request = heard.requests[0]
    assert (response.status, response.body) == (200, b'{"a": 1}')
    assert response.request_id == "r1"
    assert request.startswith(b"POST /prefix/v1/songs HTTP/1.1\r\n")
    assert f"Authorization: Bearer {KEY}\r\n".encode() in request
    assert f"User-Agent: personakit/{__version__}\r\n".encode() in request
    assert '{"title": "心中的光"}'.encode() in request


async def test_file_goes_to_the_address_that_takes_files(transport):
    """A file is sent with its own content type, and with the key."""
    upload = file_request("/up", {}, AudioFile("a.mp3", b"sound"))
    async with raw_server(answer()) as heard:
        made = transport("https://api.example", None, URL(f"{heard.url}/files/"))
        await made.send(upload, deadline=9)

    request = heard.requests[0]
    assert request.startswith(b"POST /files/up HTTP/1.1\r\n")
    assert f"Content-Type: {upload.content_type}\r\n".encode() in request
    assert f"Authorization: Bearer {KEY}\r\n".encode() in request
    assert b"\r\n\r\nsound\r\n--" in request


async def test_file_without_such_an_address_is_not_sent(transport):
    """Where no address for files is known, the caller has to name one."""
    upload = file_request("/up", {}, AudioFile("a.mp3", b"sound"))
    async with raw_server(answer()) as heard:
        with pytest.raises(InvalidRequest, match="files_url must be given"):
            await transport(heard.url).send(upload, deadline=9)

    assert heard.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(transport, status):
    """A redirect is an answer like any other, and its target hears nothing."""
    async with raw_server(answer()) as other:
        headers = f"Location: {other.url}\r\n"
        reply = answer(status=f"{status} Elsewhere", headers=headers)
        async with raw_server(reply) as heard:
            response = await transport(heard.url).send(PAID, deadline=9)

    assert response.status == status
    assert other.connections == 0


async def test_key_echoed_by_a_service_is_hidden(transport):
    """A service that repeats the key in its answer does not put it into errors."""
    async with raw_server(answer(f'"bad key {KEY}"'.encode())) as heard:
        response = await transport(heard.url).send(READ, deadline=9)

    assert response.body == b'"bad key ***"'


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"[1]", ""),
        (gzip.compress(b"[1]"), "Content-Encoding: gzip\r\n"),
    ],
    ids=["plain", "packed"],
)
async def test_answers_are_unpacked(transport, body, headers):
    """A body comes as the service meant it."""
    async with raw_server(answer(body, headers=headers)) as heard:
        response = await transport(heard.url).send(READ, deadline=9)

    assert response.body == b"[1]"


async def test_short_key_spoils_no_answer():
    """What is too short for a secret is not hidden wherever it occurs."""
    async with raw_server(answer(b'"task"')) as heard:
        made = Transport(check_base_url(heard.url), "k", None)
        response = await made.send(READ, deadline=9)
        await made.aclose()

    assert response.body == b'"task"'


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"x" * (BODY_LIMIT + 1), ""),
        (gzip.compress(b"x" * 50_000_000), "Content-Encoding: gzip\r\n"),
    ],
    ids=["endless", "bomb"],
)
async def test_answers_are_bounded(transport, body, headers):
    """An answer over the limit is none, counted after decompression."""
    async with raw_server(answer(body, headers=headers)) as heard:
        fact = await lost(transport(heard.url), PAID, 9)

    assert fact.sent


async def test_refused_connection_sent_nothing(transport):
    """Where nobody listens nothing was sent."""
    async with raw_server() as heard:
        pass
    fact = await lost(transport(heard.url), PAID, 9)

    assert not fact.sent
    assert not fact.hopeless
    assert fact.reason.startswith("ClientConnectorError: ")


@pytest.mark.parametrize("within", [0.0, -1.0])
async def test_passed_deadline_sends_nothing(transport, within):
    """After the deadline no connection is opened."""
    async with raw_server(answer()) as heard:
        fact = await lost(transport(heard.url), PAID, within)

    assert not fact.sent
    assert heard.connections == 0


@pytest.mark.parametrize("within", [math.inf, CONNECT_TIMEOUT, 2.5])
async def test_connection_that_never_comes_about_sent_nothing(transport, within):
    """A handshake without end is given up in time, and sent nothing."""

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    loop = asyncio.get_running_loop()
    async with raw_server(handler=hang, scheme="https") as heard:
        fact = await lost(transport(heard.url), PAID, within)

    assert not fact.sent
    assert loop.time() == pytest.approx(min(within, CONNECT_TIMEOUT), abs=0.1)


async def test_full_listen_queue_sent_nothing(transport):
    """A host that does not take the connection was sent nothing."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        fact = await lost(transport(f"http://127.0.0.1:{port}"), PAID, math.inf)

    assert not fact.sent
    assert fact.reason == "ConnectionTimeoutError"


async def test_plaintext_peer_sent_nothing(transport):
    """A peer that does not speak TLS was sent nothing."""

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with raw_server(handler=babble, scheme="https") as heard:
        fact = await lost(transport(heard.url), PAID, 9)

    assert not fact.sent


async def test_wrong_certificate_is_hopeless(transport):
    """An untrusted certificate sent nothing, and patience does not mend it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with raw_server(
        answer(), tls=context, scheme="https", host="localhost"
    ) as heard:
        fact = await lost(transport(heard.url), PAID, 9)

    assert not fact.sent
    assert fact.hopeless
    assert heard.requests == []


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"nonsense\r\n\r\n",
        answer(b'{"id": ', length=100),
        answer(b"no gzip", headers="Content-Encoding: gzip\r\n"),
    ],
    ids=["drop", "half head", "garbage", "cut body", "bad encoding"],
)
async def test_broken_answer_counts_as_sent(transport, reply):
    """Once the service may have read the request, no answer proves nothing."""
    async with raw_server(reply) as heard:
        fact = await lost(transport(heard.url), PAID, 9)

    assert fact.sent
    assert len(heard.requests) == 1


async def test_request_id_of_a_cut_answer_is_kept(transport):
    """The head of an answer whose body is lost still names the exchange."""
    reply = answer(b"{", length=100, headers="X-Oneapi-Request-Id: r7\r\n")
    async with raw_server(reply) as heard:
        fact = await lost(transport(heard.url), PAID, 9)

    assert fact.request_id == "r7"


@pytest.mark.parametrize(
    ("request_", "waited"),
    [(READ, 7.25), (PAID, CONNECT_TIMEOUT + PAID.timeout)],
    ids=["read", "paid"],
)
async def test_silence_after_the_request_counts_as_sent(transport, request_, waited):
    """A read is left at the deadline; a paid request only after its own timeout."""

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await reader.read()

    async with raw_server(handler=hang) as heard:
        fact = await lost(transport(heard.url), request_, 7.25)

    assert fact.sent
    assert asyncio.get_running_loop().time() == pytest.approx(waited, abs=0.1)


async def test_answer_may_take_the_time_of_its_request(transport):
    """Without a deadline the request's own timeout bounds the silence."""

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(handler=hang) as heard:
        await lost(transport(heard.url), READ, math.inf)

    waited = asyncio.get_running_loop().time()
    assert waited == pytest.approx(CONNECT_TIMEOUT + READ.timeout, abs=0.1)


async def test_paid_requests_use_a_fresh_connection_each(transport):
    """Reads share a connection, paid requests never meet an idle one."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(answer())
            await writer.drain()

    async with raw_server(handler=serve) as heard:
        one = transport(heard.url)
        for _ in range(3):
            await one.send(READ, deadline=9)
        reads = heard.connections
        for _ in range(3):
            await one.send(PAID, deadline=9)

    assert reads == 1
    assert heard.connections == 1 + 3


async def test_borrowed_session_is_used_and_left_open(transport):
    """The caller's session sends, keeps its own TLS settings, and stays open."""
    authority = trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    connector = aiohttp.TCPConnector(ssl=client_side)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with raw_server(
            answer(), tls=server_side, scheme="https", host="localhost"
        ) as heard:
            one = transport(heard.url, session)
            response = await one.send(PAID, deadline=9)
        await one.aclose()

        assert response.status == 200
        assert not session.closed


async def test_borrowed_session_without_a_witness_rules_nothing_out(transport):
    """A timeout on a borrowed session counts as sent, a refused connection does not."""

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with aiohttp.ClientSession() as session:
        async with raw_server(handler=hang) as heard:
            timed_out = await lost(transport(heard.url, session), PAID, 3)
        refused = await lost(transport(heard.url, session), PAID, 3)

    assert timed_out.sent
    assert not refused.sent


async def test_closed_session_is_refused(transport):
    """A borrowed session that was closed is named as what is wrong."""
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(InvalidRequest, match="session must be open"):
        await transport("http://127.0.0.1:1", session).send(PAID, deadline=9)


async def test_closing_leaves_nothing_open(transport):
    """After closing no session takes a request."""
    one = transport("http://127.0.0.1:1")
    await one.aclose()
    with pytest.raises(PersonaKitError, match="client was closed before"):
        await one.send(READ, deadline=9)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.evolink.ai",
        "https://example.test/prefix/",
        "http://127.0.0.1:8000",
        "http://localhost:8000/evolink",
        "http://[::1]:8000",
    ],
)
def test_plain_addresses_are_accepted(base_url):
    """A base address is https, or http on this machine."""
    assert check_base_url(base_url) == URL(base_url)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.evolink.ai",
        "https://user:secret@api.evolink.ai",
        "https://api.evolink.ai/?a=1",
        "https://api.evolink.ai/#a",
        "ftp://127.0.0.1",
        "api.evolink.ai",
        "https://",
        "https://[::1",
        "",
    ],
)
def test_other_addresses_are_refused(base_url):
    """The key is never sent in the clear or to something that is no plain address."""
    with pytest.raises(InvalidRequest, match="base_url must be") as caught:
        check_base_url(base_url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "loopback", "expected"),
    [
        ("https://media.example", False, True),
        ("http://media.example", True, False),
        ("http://127.0.0.1/a", False, False),
        ("https://localhost/a", False, False),
        ("http://127.0.0.1/a", True, True),
        ("file:///etc/passwd", True, False),
    ],
)
def test_which_links_may_be_opened(url, loopback, expected):
    """Links lead by https to other machines, and to this one only where allowed."""
    assert is_allowed(URL(url), loopback=loopback) is expected


async def test_media_host_gets_no_key(transport):
    """A link is opened without key, without session defaults, unencoded."""
    async with raw_server(answer(b"RIFF")) as heard:
        async with transport(heard.url).open(URL(heard.url), within=9) as download:
            body = b"".join([chunk async for chunk in download.chunks])

    assert (download.status, body) == (200, b"RIFF")
    assert download.headers["content-length"] == "4"
    assert b"uthorization" not in heard.requests[0]
    assert b"Accept-Encoding: identity\r\n" in heard.requests[0]


@pytest.mark.parametrize("reply", [b"", answer(b"RI", length=9)], ids=["drop", "cut"])
async def test_media_host_that_stops_is_reported(transport, reply):
    """A link that breaks before or within its body gives no answer."""
    async with raw_server(reply) as heard:
        with pytest.raises(NoAnswer):
            async with transport(heard.url).open(URL(heard.url), within=9) as download:
                assert [chunk async for chunk in download.chunks]


async def test_download_after_its_deadline_opens_nothing(transport):
    """A deadline that has passed is no lack of one."""
    async with raw_server(answer()) as heard:
        with pytest.raises(NoAnswer, match="deadline") as late:
            async with transport(heard.url).open(URL(heard.url), within=0):
                raise AssertionError

    assert not late.value.sent
    assert heard.connections == 0
