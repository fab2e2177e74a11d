"""A running emulator, and callers that check every answer by the OpenAPI file."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import attrs
import pytest
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from yarl import URL

from personakit.emulator import Emulator

DESCRIPTION = Path(__file__).parents[2] / "data" / "evolink" / "openapi.yaml"
DOCUMENTED = ("/v1/audios/generations", "/v1/tasks/", "/v1/credits")


@attrs.frozen
class Reply:
    """One answer that was received."""

    status: int
    headers: object
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]


class Caller:
    """Talks to Evolink as the emulator plays it."""

    def __init__(self, emulator, session, description):
        self._emulator = emulator
        self._session = session
        self._description = description

    async def submit(self, body, **more):
        """Send a paid request; `body` is JSON text or a value."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = "/v1/audios/generations"
        return await self.ask("POST", path, data=text, **more)

    async def read(self, job_id, **more):
        """Read one task."""
        return await self.ask("GET", f"/v1/tasks/{job_id}", **more)

    async def ask(self, method, path, *, key=None, data=None, headers=None):
        """Send one request and check the answer where it is documented."""
        key = self._emulator.api_key if key is None else key
        sent = {"Content-Type": "application/json", **(headers or {})}
        if key:
            sent["Authorization"] = f"Bearer {key}"
        url = self._emulator.url("evolink") + path
        async with self._session.request(
            method, url, data=data, headers=sent, allow_redirects=False
        ) as got:
            reply = Reply(got.status, got.headers, await got.read())
        if path.startswith(DOCUMENTED):
            self._check(method, path, data, reply)
        return reply

    async def fetch(self, url, **headers):
        """Download one file without a key."""
        async with self._session.get(url, headers=headers) as got:
            return Reply(got.status, got.headers, await got.read())

    def _check(self, method, path, data, reply):
        request = MockRequest(
            "https://api.evolink.ai",
            method.lower(),
            URL(path).path,
            headers={"Authorization": "Bearer key"},
            data=data,
        )
        response = MockResponse(
            reply.body, status_code=reply.status, headers=dict(reply.headers)
        )
        self._description.validate_response(request, response)
        if reply.status == 200:
            self._description.validate_request(request)


@pytest.fixture(scope="session")
def description():
    return OpenAPI.from_file_path(str(DESCRIPTION))


@pytest.fixture
async def emulator():
    async with Emulator() as running:
        yield running


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def caller(emulator, session, description):
    return Caller(emulator, session, description)


@pytest.fixture
def caller_of(session, description):
    """Make a caller for an emulator of the test's own."""
    return lambda emulator: Caller(emulator, session, description)
