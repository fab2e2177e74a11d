"""A link becomes a whole, playable file with a name of our own, or an error."""

from __future__ import annotations

import asyncio
import gzip
import math
import os
import random
import re
import resource
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

import personakit.http.download
from personakit.errors import (
    InvalidRequest,
    MalformedAnswer,
    NotFound,
    PersonaKitError,
    ServiceUnavailable,
)
from personakit.http.download import save_track
from personakit.http.transport import Transport
from personakit.models import Track
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


async def save(
    transport: Transport, url: str, to, *, within: float = 5, **changes: object
) -> Path:
    """Save the track as found at an address."""
    track = Track(**{**_fields(TRACK), "audio_url": url, **changes})
    end = asyncio.get_running_loop().time() + within
    return await save_track(transport, track, to, deadline=end, loopback=True)


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
        ("../../etc/passwd", "../x", "etc passwd _x-d6b96a97d147.wav"),
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
    monkeypatch.setattr(personakit.http.download, "SIZE_LIMIT", 150_000)
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


TAG = 'ETag: "v1"\r\n'


def part_of(body: bytes, start: int, *, tag: str = TAG) -> bytes:
    """Build the answer with the rest of a file."""
    place = f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}\r\n"
    return answer(body[start:], status="206 Partial Content", headers=tag + place)


async def serve_all(replies: list[bytes], requests: list[bytes], transport, tmp_path):
    """Save from a host that gives these answers, one to each request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_request(reader))
        writer.write(replies.pop(0))
        await writer.drain()

    async with raw_server(handler=serve) as heard:
        return await save(transport, heard.url, tmp_path)


async def test_broken_transfer_goes_on_where_it_broke(transport, tmp_path):
    """The host is asked for the rest, if the file is still the same."""
    starts: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        wanted = re.search(rb"Range: bytes=(\d+)-\r\n", request)
        assert wanted is None or b'If-Range: "v1"' in request
        starts.append(int(wanted[1]) if wanted else 0)
        whole = part_of(WAV, starts[-1]) if wanted else answer(WAV, headers=TAG)
        writer.write(whole if len(starts) > 2 else whole[:80_000])
        await writer.drain()

    async with raw_server(handler=serve) as heard:
        path = await save(transport, heard.url, tmp_path)

    assert path.read_bytes() == WAV
    assert len(starts) == 3
    assert 0 == starts[0] < starts[1] < starts[2]
    assert os.listdir(tmp_path) == [NAME]


async def test_file_that_changed_is_begun_anew(transport, tmp_path):
    """A host that answers with the whole file again has another one now."""
    other = WAV[:-1] + b"!"
    cut = answer(WAV[:99_999], length=len(WAV), headers=TAG)
    requests: list[bytes] = []
    path = await serve_all([cut, answer(other)], requests, transport, tmp_path)

    assert path.read_bytes() == other


@pytest.mark.parametrize(
    "odd",
    [
        part_of(WAV, 5),
        answer(WAV, status="206 Partial Content"),
        answer(b"", status="416 Range Not Satisfiable"),
        part_of(WAV, 99_999).replace(b"bytes 99999", b"bytes x"),
    ],
)
async def test_part_that_does_not_fit_is_not_used(transport, tmp_path, odd):
    """What is not the very rest is thrown away, and the whole file asked for."""
    cut = answer(WAV[:99_999], length=len(WAV), headers=TAG)
    requests: list[bytes] = []
    path = await serve_all([cut, odd, answer(WAV)], requests, transport, tmp_path)

    assert path.read_bytes() == WAV
    assert b"Range" not in requests[2]


@pytest.mark.parametrize("headers", ["", 'ETag: W/"v1"\r\n', "ETag: v1\r\n"])
async def test_without_a_strong_tag_the_whole_is_asked_for(
    transport, tmp_path, headers
):
    """A host that cannot tell whether the file is the same is not asked for a part."""
    cut = answer(WAV[:99_999], length=len(WAV), headers=headers)
    requests: list[bytes] = []
    path = await serve_all([cut, answer(WAV)], requests, transport, tmp_path)

    assert path.read_bytes() == WAV
    assert b"Range" not in requests[1]


async def test_progress_is_told(transport, tmp_path):
    """It grows up to the whole, which is known from the first bytes on."""
    told: list[tuple[int, int | None]] = []
    async with raw_server(answer(WAV)) as heard:
        track = Track(**{**_fields(TRACK), "audio_url": heard.url})
        await save_track(
            transport,
            track,
            tmp_path,
            loopback=True,
            progress=lambda done, total: told.append((done, total)),
        )

    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (len(WAV), len(WAV))
    assert {total for _, total in told} == {len(WAV)}


UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE_WAV = b"RIFF" + (100_004).to_bytes(4, "little") + b"WAVEfmt " + bytes(99_996)
MP3 = b"ID3\x04" + bytes(100_000)


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


async def test_unknown_length(transport, tmp_path):
    """Without an announced length, the file's own header says whether it is whole."""
    requests: list[bytes] = []
    cut, whole = UNTIL_CLOSE + WHOLE_WAV[:-1], UNTIL_CLOSE + WHOLE_WAV
    path = await serve_all([cut, whole], requests, transport, tmp_path)

    assert len(requests) == 2
    assert path.read_bytes() == WHOLE_WAV


@pytest.mark.parametrize(
    "body",
    [
        MP3,
        MP3[:9],
        b"RIFF\0\0\0\0WAVE" + bytes(9),
        b"RIFF\xff\xff\xff\xffWAVE" + bytes(9),
    ],
    ids=["mp3", "short", "no size", "streamed"],
)
async def test_end_that_cannot_be_known(transport, tmp_path, body):
    """A file that may be a half one is not saved, and not asked for again."""
    async with raw_server(UNTIL_CLOSE + body) as heard:
        with pytest.raises(MalformedAnswer, match="does not send the length"):
            await save(transport, heard.url, tmp_path)

    assert heard.connections == 1
    assert os.listdir(tmp_path) == []


async def test_cut_chunks(transport, tmp_path):
    """A body in chunks is whole only with its last chunk."""
    requests: list[bytes] = []
    cuts = [CHUNKED + chunked(MP3), CHUNKED + chunked(MP3)[:-9]]
    whole = CHUNKED + chunked(MP3) + chunked(b"")
    path = await serve_all([*cuts, whole], requests, transport, tmp_path)

    assert len(requests) == 3
    assert path.read_bytes() == MP3


async def test_names_of_headers_have_no_case(transport, tmp_path):
    """A length announced in lower case counts."""
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(MP3)
    async with raw_server(reply + MP3) as heard:
        path = await save(transport, heard.url, tmp_path)

    assert path.read_bytes() == MP3


REFUSALS = [204, 206, 300, 304, 305, 400, 402, 405, 406, 409, 414, 416, 422, 451]


@pytest.mark.parametrize("status", REFUSALS)
async def test_definite_status_is_not_repeated(transport, tmp_path, status):
    """What will not change ends the download at once."""
    reply = answer(b"", status=f"{status} No", headers="X-Odd: yes\r\n")
    async with raw_server(reply) as h:
        with pytest.raises(ServiceUnavailable, match=f"answered {status}") as caught:
            await save(transport, h.url, tmp_path)

    assert h.connections == 1
    assert (caught.value.status, caught.value.retry_safe) == (status, False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_passing_status_is_repeated(transport, tmp_path, status):
    """What may change is tried again."""
    requests: list[bytes] = []
    replies = [answer(status=f"{status} Later"), answer(WAV)]
    path = await serve_all(replies, requests, transport, tmp_path)

    assert path.read_bytes() == WAV


async def test_location_of_no_redirect_is_not_followed(transport, tmp_path):
    """Only a redirect leads elsewhere."""
    async with raw_server(answer(WAV, headers="Location: /b\r\n")) as heard:
        await save(transport, heard.url, tmp_path)

    assert heard.connections == 1


ODD_PLACES = [
    b"http://[",
    b"https://x.example:99999/a",
    b"https://x.example:port/a",
    b"https://m\xe9dia.example\xff/a",
    b"/\xff\xfe",
    b"https://%s.example/a" % (b"a" * 70),
    b"https://a..b.example/a",
    b"https://.example/a",
    b"https://xn--\xc3\xa4.example/a",
    b"https://\xf0\x9f\x8e\xb5.example:0/a",
    b"https:///a",
    b"//",
    b"data:audio/wav,RIFF",
    b"https://user:word@media.example/a",
    b"%",
    b"?" * 7000,
]


@pytest.mark.parametrize("place", ODD_PLACES, ids=lambda place: ascii(place[:30]))
async def test_odd_redirects_are_typed_errors(transport, tmp_path, place, monkeypatch):
    """Whatever a host writes as an address, the error is one of ours."""

    async def resolve(_: object, host, port, **more: int):  # without the network
        more["flags"] = more.get("flags", 0) | socket.AI_NUMERICHOST
        return socket.getaddrinfo(host, port, **more)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
    reply = answer(status="302 Found", headers="Location: X\r\n").replace(b"X", place)
    async with raw_server(reply) as heard:
        with pytest.raises(PersonaKitError) as caught:
            await save(transport, heard.url, tmp_path, within=0.2)

    str(caught.value).encode()
    assert os.listdir(tmp_path) == []


async def test_unreadable_redirect_is_named(transport, tmp_path):
    """An address that is none is the host's fault."""
    reply = answer(status="302 Found", headers="Location: http://[\r\n")
    async with raw_server(reply) as heard:
        with pytest.raises(MalformedAnswer, match="address that cannot be read"):
            await save(transport, heard.url, tmp_path)

    assert heard.connections == 1


@pytest.mark.parametrize(
    "url",
    [f"https://{'a' * 70}.example/a", "https://a..b/c", "https://\ud800/a", 7],
    ids=ascii,
)
async def test_odd_links_are_refused(transport, tmp_path, url):
    """A link that nobody can open is not tried twice."""
    track = Track("evolink", "j", "t", audio_url=url)
    with pytest.raises(InvalidRequest, match="audio_url must"):
        await save_track(transport, track, tmp_path, deadline=math.inf)


async def test_nothing_is_opened_after_the_deadline(transport, tmp_path):
    """A download whose time is up before it begins sends nothing."""
    now = asyncio.get_running_loop().time()
    async with raw_server(answer(WAV)) as heard:
        track = Track("evolink", "j", "t", audio_url=heard.url)
        with pytest.raises(ServiceUnavailable, match="deadline passed"):
            await save_track(transport, track, tmp_path, deadline=now, loopback=True)

    assert heard.connections == 0


async def test_file_that_grows_too_large_for_the_disk(transport, tmp_path):
    """A file that cannot be written is an error with its path, not repeated."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with raw_server(answer(WAV)) as heard:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            with pytest.raises(PersonaKitError, match="cannot be written") as caught:
                await save(transport, heard.url, tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert type(caught.value) is PersonaKitError
    assert str(tmp_path) in caught.value.message
    assert heard.connections == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "to", ["x" * 300, "x" * 300 + ".wav", "a\0b", "a\0b.wav", "\ud800/", "file/a.wav"]
)
async def test_paths_that_cannot_be(transport, tmp_path, to):
    """A path that no file system takes is refused, and nothing is opened."""
    (tmp_path / "file").write_text("a file")
    async with raw_server(answer(WAV)) as heard:
        with pytest.raises(InvalidRequest, match="to must be writable"):
            await save(transport, heard.url, f"{tmp_path}/{to}")

    assert heard.connections == 0


async def test_long_ids_are_cut_but_stay_different(transport, tmp_path):
    """No id is too long for a file name, and no two tracks share one."""
    async with raw_server(answer(WAV)) as heard:
        paths = [
            await save(
                transport, heard.url, tmp_path, title="心" * 999, track_id=number
            )
            for number in ("x" * 5000 + "1", "x" * 5000 + "2", "a/b", "a_b", "a.b")
        ]

    assert len(set(paths)) == 5
    assert all(len(os.fsencode(path.name)) < 255 for path in paths)


async def test_errors_of_the_callers_own_progress_pass(transport, tmp_path):
    """What the caller's function raises is not mistaken for the network."""

    def fail(*_: object) -> None:
        raise BrokenPipeError

    async with raw_server(answer(WAV)) as heard:
        track = Track("evolink", "j", "t", audio_url=heard.url)
        with pytest.raises(BrokenPipeError):
            await save_track(transport, track, tmp_path, loopback=True, progress=fail)

    assert os.listdir(tmp_path) == []


async def test_announced_size_is_bounded(transport, tmp_path, monkeypatch):
    """A file that is announced as too large is not even begun."""
    monkeypatch.setattr(personakit.http.download, "SIZE_LIMIT", 10)
    async with raw_server(answer(b"RIFF", length=11)) as heard:
        with pytest.raises(MalformedAnswer, match="over 10 bytes"):
            await save(transport, heard.url, tmp_path)

    assert os.listdir(tmp_path) == []


async def test_endless_body_ends_at_the_limit(transport, tmp_path, monkeypatch):
    """A host that never stops is given up at the limit, with little memory."""
    monkeypatch.setattr(personakit.http.download, "SIZE_LIMIT", 4_000_000)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + WAV)
        while True:
            writer.write(bytes(100_000))
            await writer.drain()

    async with raw_server(handler=serve) as heard:
        with pytest.raises(MalformedAnswer, match="over 4000000 bytes"):
            await save(transport, heard.url, tmp_path)

    assert os.listdir(tmp_path) == []


async def test_compressed_bomb_is_not_unpacked(transport, tmp_path):
    """What was sent compressed against our wish is no audio, and stays packed."""
    bomb = gzip.compress(WAV[:44] + bytes(50_000_000))
    reply = answer(bomb, headers="Content-Encoding: gzip\r\n")
    async with raw_server(reply) as heard:
        with pytest.raises(MalformedAnswer, match="no audio"):
            await save(transport, heard.url, tmp_path)

    assert os.listdir(tmp_path) == []


async def test_file_that_appears_meanwhile_is_kept(transport, tmp_path):
    """Two who save the same track at once both get it; nothing is overwritten."""
    async with raw_server(answer(WAV)) as heard:
        paths = await asyncio.gather(
            *(save(transport, heard.url, tmp_path) for _ in range(5))
        )

    assert set(paths) == {tmp_path / NAME}
    assert os.listdir(tmp_path) == [NAME]


async def test_path_that_is_taken_meanwhile_is_refused(transport, tmp_path):
    """A path of the caller's own is never overwritten, not even at the last moment."""
    path = tmp_path / "song.wav"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        path.write_text("precious")
        writer.write(answer(WAV))
        await writer.drain()

    async with raw_server(handler=serve) as heard:
        with pytest.raises(InvalidRequest, match="must not exist yet"):
            await save(transport, heard.url, path)

    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == ["song.wav"]


async def test_file_system_without_links(transport, tmp_path, monkeypatch):
    """Where a file cannot be linked it is renamed."""

    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("personakit.http.part_file.os.link", refuse)
    async with raw_server(answer(WAV)) as heard:
        path = await save(transport, heard.url, tmp_path)

    assert path.read_bytes() == WAV
    assert os.listdir(tmp_path) == [NAME]


@pytest.mark.parametrize("target", ["missing", "outside.txt"])
async def test_symbolic_links_are_not_followed(transport, tmp_path, target):
    """A link where the file would lie leads nowhere."""
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "outside.txt").write_text("precious")
    (folder / "song.wav").symlink_to(tmp_path / target)
    (folder / NAME).symlink_to(tmp_path / "missing")
    async with raw_server(answer(WAV)) as heard:
        for to in (folder / "song.wav", folder):
            with pytest.raises(InvalidRequest, match="must not exist yet"):
                await save(transport, heard.url, to)

    assert (tmp_path / "outside.txt").read_text() == "precious"
    assert heard.connections == 0


def hostile_names() -> list[str]:
    """Make 600 names that would like to lie elsewhere."""
    chance = random.Random(11)
    pieces = ["..", "/", "\\", "\0", "~", "C:", "CON", "\u202e", "\ud800", "%2e%2e%2f"]
    pieces += ["\n", "\r", "\u2028", ".", " ", "$(x)", "`x`", "|", "*", "é", "🎵"]
    lengths = [chance.randint(1, 40) for _ in range(600)]
    return ["".join(chance.choices(pieces, k=length)) for length in lengths]


async def test_hundreds_of_hostile_names(tmp_path):
    """Whatever title and id are, the file's name is one safe part of a path."""
    names = set()
    for title, number in zip(hostile_names(), reversed(hostile_names()), strict=True):
        track = Track("evolink", "j", number, title=title)
        place = personakit.http.download._choose_place(track, tmp_path)
        name = f"{place.stem}.mp3"
        names.add(name)
        assert place.folder == tmp_path
        assert (tmp_path / name).resolve().parent == tmp_path.resolve()
        assert re.fullmatch(r"[\w -]+ [\w-]+\.mp3", name)
        assert len(os.fsencode(name)) < 255

    assert len(names) > 400
