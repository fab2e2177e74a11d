"""Callers of the emulated services that check what they hear by the OpenAPI files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import attrs
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from yarl import URL

from personakit.emulator import Emulator

DATA = Path(__file__).parents[2] / "data"
HOSTS = {"musicmint": "https://api.example.com"}
DARK = ("/api/v1/vocal-removal/", "/files/", "/media/", "/api/v1/music/cover", "/x")


@cache
def description(name: str) -> OpenAPI:
    """Read the description of a service."""
    folder = "musicmint" if name == "musicmint" else "sunoapi"
    return OpenAPI.from_file_path(str(DATA / folder / "openapi.yaml"))


@attrs.frozen
class Reply:
    """One answer that was received."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> int:
        return self.json["code"]

    @property
    def data(self) -> Any:
        return self.json.get("data")


@attrs.frozen
class Caller:
    """Talks to one service as the emulator plays it."""

    emulator: Emulator
    session: aiohttp.ClientSession
    name: str

    async def post(self, path: str, body: Any = None, **more: Any) -> Reply:
        """Post JSON, or bytes as they are."""
        sent = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        return await self.ask("POST", path, data=sent, **more)

    async def ask(
        self, method: str, path: str, *, key: str | None = None, data: bytes = b""
    ) -> Reply:
        """Send one request, and check the answer where it is described."""
        key = self.emulator.api_key if key is None else key
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        url = self.emulator.url(self.name) + path
        async with self.session.request(method, url, data=data, headers=headers) as got:
            reply = Reply(got.status, await got.read())
        if not path.startswith(DARK) and reply.body:
            self._check(method, path, data, reply)
        return reply

    def _check(self, method: str, path: str, data: bytes, reply: Reply) -> None:
        """What the service accepts and says is what the file describes."""
        url = URL(path)
        request = MockRequest(
            HOSTS.get(self.name, "https://api.kie.ai"),
            method.lower(),
            url.path,
            args=dict(url.query),
            headers={"Authorization": "Bearer key"},
            data=data,
        )
        answer = MockResponse(
            reply.body, status_code=reply.status, content_type="application/json"
        )
        openapi = description(self.name)
        openapi.validate_response(request, answer)
        if reply.code in {0, 200}:
            openapi.validate_request(request)
