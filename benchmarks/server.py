"""A neutral service on loopback: canned answers, in a process of its own.

It speaks just enough HTTP/1.1 to be cheaper than every client, so that a comparison
shows the clients. Paths are those of Evolink and of each peer's own service.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

READS_TO_END = 3
"""Readings after which a job with `COUNTED` in its id is completed."""
COUNTED = "counted"
DONE = "done"
BATCH = "/v1/tasks/batch"
COUNT = "/count"
"""Tells how many readings of jobs there have been."""

_HEADERS = (
    "Content-Type: application/json\r\n"
    "Date: Sat, 21 Nov 2026 08:00:00 GMT\r\n"
    "Server: nginx\r\n"
    "X-Request-Id: 0f8fad5bd9cb469fa16570867728950e\r\n"
    "Vary: Origin, Accept-Encoding\r\n"
    "Cache-Control: no-store\r\n"
    "X-Frame-Options: DENY\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n"
)
_REQUEST = re.compile(rb"(\w+) (\S+) HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_TASK = re.compile(r"task-unified-[\w-]+")


def pending_task(task_id: str) -> dict[str, Any]:
    """Return what Evolink answers while a task runs: about 300 bytes of JSON."""
    return {
        "created": 1_763_700_000,
        "id": task_id,
        "model": "suno-v5-beta",
        "object": "audio.generation.task",
        "progress": 30,
        "status": "processing",
        "task_info": {"can_cancel": False, "estimated_time": 60},
        "type": "audio",
        "usage": {
            "credits_reserved": 12.5,
            "user_group": "default",
        },
    }


def completed_task(task_id: str) -> dict[str, Any]:
    """Return what Evolink answers at the end: two songs, 2.8 KB of JSON."""
    media = "https://media.example.com/2026/11/21/audio"
    lyrics = "[Verse]\nA light goes on above the bay, and every shadow leans away\n" * 9
    song = {
        "audio_url": f"{media}/{task_id}.mp3",
        "duration": 182.4,
        "image_url": f"{media}/{task_id}.jpeg",
        "lyrics": lyrics,
        "result_id": "d9428888-122b-11e1-b85c-61cd3cbb3210",
        "stream_audio_url": f"{media}/{task_id}.m3u8",
        "tags": "dream pop, slow, warm analogue synthesizers, female voice",
        "title": "A light above the bay",
    }
    return {
        **pending_task(task_id),
        "progress": 100,
        "result_data": {"songs": [song, song]},
        "results": [song["audio_url"], song["audio_url"]],
        "status": "completed",
    }


def _openai(video_id: str) -> dict[str, Any]:
    return {
        "id": video_id,
        "object": "video",
        "created_at": 1_763_700_000,
        "model": "sora-2",
        "progress": 30,
        "seconds": "4",
        "size": "1280x720",
        "status": "in_progress",
        "prompt": "A light goes on above the bay, and every shadow leans away",
        "quality": "standard",
    }


def _replicate(prediction_id: str) -> dict[str, Any]:
    return {
        "id": prediction_id,
        "model": "a/b",
        "version": "v1",
        "input": {"prompt": "A light goes on above the bay"},
        "logs": "",
        "output": None,
        "error": None,
        "status": "processing",
        "created_at": "2026-11-21T08:00:00Z",
        "started_at": "2026-11-21T08:00:01Z",
        "urls": {"get": "https://example.com/v1/predictions/x"},
    }


def _runway(task_id: str) -> dict[str, Any]:
    return {
        "id": task_id,
        "status": "RUNNING",
        "createdAt": "2026-11-21T08:00:00Z",
        "progress": 0.3,
        "note": "A light goes on above the bay, and every shadow leans away" * 2,
    }


def _fal(request_id: str) -> dict[str, Any]:
    return {
        "status": "IN_PROGRESS",
        "request_id": request_id,
        "response_url": "https://example.com/a/b/requests/x",
        "logs": [],
        "note": "A light goes on above the bay, and every shadow leans away" * 2,
    }


PEER_JOBS: tuple[tuple[str, Callable[[str], dict[str, Any]], str], ...] = (
    ("/openai/", _openai, "completed"),
    ("/v1/predictions/", _replicate, "succeeded"),
    ("/runway/", _runway, "SUCCEEDED"),
    ("/fal/", _fal, "COMPLETED"),
)
"""Where each peer reads, what it is told of a running job, and its word for the end."""


class _Service:
    """Answers by path; remembers how often a counted task was read."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._reads_in_all = 0
        self._reads: dict[str, int] = {}
        self._ready: dict[str, bytes] = {}

    def answer(self, method: bytes, path: str, body: bytes) -> bytes:
        """Return the whole answer."""
        if path == COUNT:
            return _pack(str(self._reads_in_all))
        if method == b"GET":
            self._reads_in_all += 1
            return self._read(path)
        if path == BATCH:
            ids: list[str] = json.loads(body)["task_ids"]
            self._reads_in_all += len(ids)
            return _pack(json.dumps({"data": [self._task(one) for one in ids]}))
        return _pack(json.dumps(pending_task(self._new_id())))

    def _read(self, path: str) -> bytes:
        for prefix, make, _ in PEER_JOBS:
            if path.startswith(prefix):
                return self._once(path, partial(make, "task-1"))
        task = _TASK.search(path)
        if task is None:
            return _pack('{"error": {"message": "no such path"}}', "404 Not Found")
        if COUNTED in task[0]:
            return _pack(json.dumps(self._task(task[0])))
        return self._once(path, lambda: self._task(task[0]))

    def _once(self, path: str, make: Callable[[], dict[str, Any]]) -> bytes:
        if path not in self._ready:
            self._ready[path] = _pack(json.dumps(make()))
        return self._ready[path]

    def _new_id(self) -> str:
        return f"task-unified-1763700000-{COUNTED}{next(self._numbers):08d}"

    def _task(self, task_id: str) -> dict[str, Any]:
        is_done = DONE in task_id
        if COUNTED in task_id:
            count = self._reads[task_id] = self._reads.get(task_id, 0) + 1
            is_done = count >= READS_TO_END
        return completed_task(task_id) if is_done else pending_task(task_id)


def _pack(text: str, status: str = "200 OK") -> bytes:
    body = text.encode()
    return (
        f"HTTP/1.1 {status}\r\n{_HEADERS}Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


class _Connection(asyncio.Protocol):
    def __init__(self, service: _Service) -> None:
        self._service = service
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the types
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[: end + 4]
            length = int(found[1]) if (found := _LENGTH.search(head)) else 0
            whole = end + 4 + length
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            request = _REQUEST.match(head)
            if request is None:
                self._transport.close()
                return
            self._transport.write(
                self._service.answer(request[1], request[2].decode(), body)
            )
            if _CLOSE.search(head):
                self._transport.close()


async def _serve() -> None:
    service = _Service()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(service), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def serving() -> Generator[str]:
    """Run the service in a process of its own, and give its address."""
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", __spec__.name], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - for the types
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve())
