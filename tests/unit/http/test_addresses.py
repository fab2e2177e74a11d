"""Which addresses are dialled: whatever a link says, none that is not public."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
from asyncio.base_events import BaseEventLoop
from asyncio.selector_events import BaseSelectorEventLoop

import aiohttp
import pytest
from yarl import URL

from personakit.errors import InvalidRequest, PersonaKitError
from personakit.http.addresses import (
    ForbiddenAddress,
    is_forbidden,
    is_here,
    is_public,
    make_guard,
)
from personakit.http.download import save_track
from personakit.http.transport import Transport
from personakit.models import Track
from tests.servers import answer, raw_server

pytestmark = pytest.mark.looptime(False)

PRIVATE = (
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "nonsense",
    "",
)
PUBLIC = ("8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8")


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address):
    """None of these is public, by whatever name it is registered."""
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address):
    """These are, and none of them is this machine."""
    assert is_public(address)
    assert not is_here(address)


def test_this_machine():
    """Loopback in both families, and nothing else."""
    here = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]

    assert [is_here(address) for address in here] == [True] * 4
    assert not any(map(is_here, ("10.0.0.1", "0.0.0.0", "nonsense")))


def test_guard_opens_what_is_allowed():
    """A socket is made for an allowed address only."""
    guard = make_guard(is_here)
    stream = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
    guard((*stream, ("127.0.0.1", 80))).close()
    with pytest.raises(ForbiddenAddress) as caught:
        guard((*stream, ("10.0.0.1", 80)))

    assert caught.value.errno == errno.EACCES
    assert is_forbidden(caught.value)
    assert not is_forbidden(OSError())


HOSTS = (
    *(f"[{one}]" if ":" in one else one for one in PRIVATE if one and "%" not in one),
    "localhost",
    "localhost.",
    "LOCALHOST",
    "127.1",
    "127.0.1",
    "0",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "2130706433",
    "017700000001",
    "3232235777",
    "0xa9fea9fe",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "１２７.0.0.1",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:7f00:1]",
    "[0000::1]",
    "rebind.example",
    "six.example",
    "user@127.0.0.1",
    "public.example@127.0.0.1",
    "127.0.0.1#.public.example",
)
FORMS = [
    *(
        f"https://{host}{port}/a.mp3"
        for host, port in itertools.product(HOSTS, ("", ":443"))
    ),
    *(
        f"{scheme}://public.example/a.mp3"
        for scheme in ("http", "file", "ftp", "gopher", "data", "javascript", "ws")
    ),
    "//127.0.0.1/a",
    "/etc/passwd",
    "https:///a",
    "https://",
    "https://[::1",
]


@pytest.fixture
def dialled(monkeypatch) -> list[object]:
    """Note every address that is dialled, and dial none; names resolve as told here."""
    seen: list[object] = []
    names = {"rebind.example": "127.0.0.1", "six.example": "fd00::1"}

    async def connect(_: object, __: object, address: object) -> None:
        seen.append(address)
        raise OSError(errno.ECONNREFUSED, "not in a test")

    async def resolve(_: object, host, port, **more: int):
        host = names.get(str(host).rstrip("."), host)
        more["flags"] = more.get("flags", 0) | socket.AI_NUMERICHOST
        return socket.getaddrinfo(host, port, **more)

    monkeypatch.setattr(BaseSelectorEventLoop, "sock_connect", connect)
    monkeypatch.setattr(BaseEventLoop, "getaddrinfo", resolve)
    return seen


def test_there_are_many_forms():
    """The list below is long enough to mean something."""
    assert len(set(FORMS)) >= 120


@pytest.mark.parametrize("url", FORMS)
async def test_no_private_address_is_dialled(dialled, tmp_path, url):
    """Every form of a private address ends in an error without a connection."""
    transport = Transport(URL("https://api.example"), "key", None)
    track = Track("evolink", "j", "t", audio_url=url)
    soon = asyncio.get_running_loop().time() + 0.4
    try:
        with pytest.raises(PersonaKitError):
            await save_track(transport, track, tmp_path, deadline=soon)
    finally:
        await transport.aclose()

    assert dialled == []
    assert os.listdir(tmp_path) == []


async def test_public_address_is_dialled(dialled, tmp_path):
    """The same test would notice a connection."""
    transport = Transport(URL("https://api.example"), "key", None)
    track = Track("evolink", "j", "t", audio_url="https://93.184.216.34/a.mp3")
    soon = asyncio.get_running_loop().time() + 0.4
    with pytest.raises(PersonaKitError):
        await save_track(transport, track, tmp_path, deadline=soon)
    await transport.aclose()

    assert dialled
    assert set(dialled) == {("93.184.216.34", 443)}


@pytest.mark.parametrize("url", ["https://rebind.example/a", "https://0x7f.1/a"])
async def test_private_address_is_named_as_the_reason(dialled, tmp_path, url):
    """The error says what is wrong with the link, and is not repeated."""
    transport = Transport(URL("https://api.example"), "key", None)
    track = Track("evolink", "j", "t", audio_url=url)
    with pytest.raises(InvalidRequest, match="audio_url must lead to the open"):
        await save_track(transport, track, tmp_path)
    await transport.aclose()


async def test_redirect_to_a_private_address(tmp_path):
    """A media host on this machine cannot lead into the network around it."""
    location = "Location: https://10.0.0.1/a\r\n"
    transport = Transport(URL("http://127.0.0.1"), "key", None)
    async with raw_server(answer(status="302 Found", headers=location)) as heard:
        track = Track("evolink", "j", "t", audio_url=heard.url)
        with pytest.raises(InvalidRequest, match="private address"):
            await save_track(transport, track, tmp_path, loopback=True)
    await transport.aclose()


async def test_name_of_this_machine_reaches_this_machine_only(monkeypatch, tmp_path):
    """``localhost`` that resolves to somewhere else is not dialled."""

    async def resolve(_: object, __: object, port, **more: object):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port))]

    monkeypatch.setattr(BaseEventLoop, "getaddrinfo", resolve)
    transport = Transport(URL("http://localhost"), "key", None)
    track = Track("evolink", "j", "t", audio_url="http://localhost:1/a")
    with pytest.raises(InvalidRequest, match="private address"):
        await save_track(transport, track, tmp_path, loopback=True)
    await transport.aclose()


def test_connector_error_is_looked_into():
    """Aiohttp wraps what the guard raises."""
    refused = ForbiddenAddress(errno.EACCES, "no")
    wrapped = aiohttp.ClientConnectorError(None, refused)

    assert is_forbidden(wrapped)
