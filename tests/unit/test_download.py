"""A link becomes a whole, playable file with a name of our own, or an error."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

import personakit.download
from personakit.download import save_track
from personakit.errors import (
    InvalidRequest,
    MalformedAnswer,
    NotFound,
    ServiceUnavailable,
)
from personakit.models import Track
from personakit.transport import Transport
from tests.servers import answer, raw_server, read_request

# Files are written by threads, which virtual time does not wait for.
pytestmark = pytest.mark.looptime(False)

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(200_000)
TRACK = Track("evolink", "task-unified-1", "4fcc4507-a7ae", title="Blue hour")
NAME = "Blue hour 4fcc4507-a7ae.wav"


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    """Make a transport whose key must never leave for a media host."""
    made = Transport(URL("https://api.example"), "sk-canary", None)
    yield made
    await made.aclose()


async def save(transport: Transport, url: str, to, **changes: object) -> Path:
    """Save the track as found at an address."""
    track = Track(**{**_fields(TRACK), "audio_url": url, **changes})
    within = asyncio.get_running_loop().time() + 5
    return await save_track(transport, track, to, deadline=within, loopback=True)


def _fields(track: Track) -> dict[str, object]:
    return {name: getattr(track, name) for name in Track.__annotations__}


async def test_track_is_saved_whole_under_a_name_of_ours(transport, tmp_path):
    """A folder gets the audio under title and id, with the ending of its kind."""
    async with raw_server(answer(WAV)) as heard:
        path = await save(transport, f"{heard.url}/..%2f..%2fevil.exe", tmp_path)

    assert path == tmp_path / NAME
    assert path.read_bytes() == WAV
    assert b"canary" not in heard.requests[0]
    assert os.listdir(tmp_path) == [NAME]


@pytest.mark.parametrize(
    ("head", "ending"),
    [
        (b"ID3\x04" + bytes(20), ".mp3"),
        (b"\xff\xfb" + bytes(20), ".mp3"),
        (b"OggS" + bytes(20), ".ogg"),
        (b"fLaC" + bytes(20), ".flac"),
        (b"\0\0\0\x1cftypM4A " + bytes(20), ".m4a"),
    ],
)
async def test_ending_tells_the_kind_of_audio(transport, tmp_path, head, ending):
    """The ending comes from the audio itself."""
    async with raw_server(answer(head)) as heard:
        path = await save(transport, heard.url, tmp_path)

    assert path.suffix == ending


@pytest.mark.parametrize("to", ["new/", "new", "deep/er/new"])
async def test_missing_folders_are_made(transport, tmp_path, to):
    """What has no ending is a folder, and is made."""
    async with raw_server(answer(WAV)) as heard:
        path = await save(transport, heard.url, f"{tmp_path}/{to}")

    assert path == tmp_path / to / NAME


async def test_path_of_a_file_is_kept(transport, tmp_path):
    """A path with an ending is the file's own."""
    async with raw_server(answer(WAV)) as heard:
        path = await save(transport, heard.url, tmp_path / "a.b" / "song.audio")

    assert path == tmp_path / "a.b" / "song.audio"
    assert path.read_bytes() == WAV


async def test_track_in_the_folder_is_not_fetched_again(transport, tmp_path):
    """A second download into the same folder opens no connection."""
    async with raw_server(answer(WAV)) as heard:
        first = await save(transport, heard.url, tmp_path)
        second = await save(transport, heard.url, tmp_path)

    assert first == second
    assert heard.connections == 1


async def test_existing_file_is_never_overwritten(transport, tmp_path):
    """A path that exists is refused before anything is opened."""
    precious = tmp_path / "song.wav"
    precious.write_bytes(b"precious")
    async with raw_server(answer(WAV)) as heard:
        with pytest.raises(InvalidRequest, match="to must not exist yet"):
            await save(transport, heard.url, precious)

    assert precious.read_bytes() == b"precious"
    assert heard.connections == 0


@pytest.mark.parametrize(
    ("title", "track_id", "name"),
    [
        ("../../etc/passwd", "../x", "etc passwd _x.wav"),
        ("a\0b\nc", "id", "a b c id.wav"),
        (None, "id", "track id.wav"),
        ("...", "id", "track id.wav"),
        ("心中的光", "id", "心中的光 id.wav"),
        ("心" * 500, "id", "心" * 40 + " id.wav"),
    ],
)
async def test_hostile_names_stay_in_the_folder(
    transport, tmp_path, title, track_id, name
):
    """Whatever the service calls a track, its file lies in the folder."""
    async with raw_server(answer(WAV)) as heard:
        path = await save(
            transport, heard.url, tmp_path, title=title, track_id=track_id
        )

    assert path == tmp_path / name


@pytest.mark.parametrize("body", [b"<html>expired</html>", b"", b"RIFF"])
async def test_what_is_no_audio_is_not_saved(transport, tmp_path, body):
    """A page where the audio should be is an error, and leaves no file."""
    async with raw_server(answer(body)) as heard:
        with pytest.raises(MalformedAnswer, match="no audio"):
            await save(transport, heard.url, tmp_path)

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "410 Gone"])
async def test_expired_link_is_named(transport, tmp_path, status):
    """A link that works no more says so at once."""
    async with raw_server(answer(status=status)) as heard:
        with pytest.raises(NotFound, match="expired"):
            await save(transport, heard.url, tmp_path)

    assert heard.connections == 1


async def test_broken_transfer_is_repeated_and_leaves_no_half_file(transport, tmp_path):
    """A cut body, a fault of the host, then the audio: one whole file."""
    replies = [answer(WAV[:99_999], length=len(WAV)), answer(status="503 Busy")]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(replies.pop(0) if replies else answer(WAV))
        await writer.drain()

    async with raw_server(handler=serve) as heard:
        path = await save(transport, heard.url, tmp_path)

    assert heard.connections == 3
    assert path.read_bytes() == WAV
    assert os.listdir(tmp_path) == [NAME]


async def test_host_that_never_delivers_ends_with_the_deadline(transport, tmp_path):
    """When time is up the last fault is raised, and no file is left."""
    track = Track("evolink", "j", "t", audio_url="http://127.0.0.1:1/a")
    soon = asyncio.get_running_loop().time() + 0.4
    with pytest.raises(ServiceUnavailable, match="media host stopped sending"):
        await save_track(transport, track, tmp_path, deadline=soon, loopback=True)

    assert os.listdir(tmp_path) == []


async def test_redirects_are_followed_a_few_times_within_the_rules(transport, tmp_path):
    """A media host may move the file, also by a relative address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        moved = answer(status="302 Found", headers="Location: /there\r\n")
        writer.write(answer(WAV) if b"GET /there " in request else moved)
        await writer.drain()

    async with raw_server(handler=serve) as heard:
        path = await save(transport, f"{heard.url}/here", tmp_path)

    assert path.read_bytes() == WAV


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://media.example/a"])
async def test_redirect_to_a_forbidden_place_is_refused(transport, tmp_path, location):
    """A redirect obeys the same rules as the link."""
    moved = answer(status="302 Found", headers=f"Location: {location}\r\n")
    async with raw_server(moved) as heard:
        with pytest.raises(InvalidRequest, match="audio_url must be an https link"):
            await save(transport, heard.url, tmp_path)

    assert os.listdir(tmp_path) == []


async def test_endless_redirects_end(transport, tmp_path):
    """A link that leads in circles is given up."""
    moved = answer(status="302 Found", headers="Location: /again\r\n")
    async with raw_server(moved) as heard:
        with pytest.raises(NotFound, match="redirects more than 3 times"):
            await save(transport, heard.url, tmp_path)

    assert heard.connections == 4


async def test_size_is_bounded(transport, tmp_path, monkeypatch):
    """A file over the limit is given up and removed."""
    monkeypatch.setattr(personakit.download, "SIZE_LIMIT", 150_000)
    async with raw_server(answer(WAV)) as heard:
        with pytest.raises(MalformedAnswer, match="over 150000 bytes"):
            await save(transport, heard.url, tmp_path)

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://media.example/a",
        "file:///a",
        "https://127.0.0.1/a",
        "https://[",
        "",
        None,
    ],
)
async def test_forbidden_links_are_not_opened(transport, tmp_path, url):
    """Only https links to other machines are opened for a service elsewhere."""
    track = Track("evolink", "j", "t", audio_url=url)
    with pytest.raises(InvalidRequest):
        await save_track(transport, track, tmp_path, deadline=math.inf)

    assert os.listdir(tmp_path) == []
