"""The examples, run as their readers would, killed in the middle and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from personakit.emulator import Emulator
from tests.examples.platforms import make_interaction, run_discord, run_telegram

pytestmark = [pytest.mark.looptime(False), pytest.mark.timeout(60)]

ROOT = Path(__file__).parents[2] / "examples"
APPS = ("aiohttp_app", "fastapi_app")
ALL = (*APPS, "telegram_bot", "discord_bot")


@pytest.fixture
async def service():
    """Run an emulator on which a song takes a few seconds."""
    async with Emulator(speed=10, credits=1e5) as running:
        yield running


@pytest.fixture
def run(service, tmp_path):
    """Return what runs an example in an empty folder, and kills it afterwards."""

    @asynccontextmanager
    async def run(
        *words: str, **more: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        environment = {
            **os.environ,
            "EVOLINK_API_KEY": service.api_key,
            "EVOLINK_BASE_URL": service.url("evolink"),
            **more,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, cwd=tmp_path, env=environment
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()

    return run


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens elsewhere."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", ALL)
def test_short_enough_to_be_read(name):
    """At most 65 lines."""
    assert len((ROOT / f"{name}.py").read_text().splitlines()) <= 65


@pytest.mark.parametrize("name", APPS)
async def test_web_apps(run, service, name):
    """A song is ordered twice and paid once; its token works after a restart."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    url, script = f"http://127.0.0.1:{port}/songs", str(ROOT / f"{name}.py")
    order = {"order": "1", "idea": "a rainy night"}
    async with aiohttp.ClientSession() as session:
        async with run(script, PORT=port):
            token = await post(session, url, order)
            again = await post(session, url, order)
            await until(lambda: len(service.charges) == 1)
        async with run(script, PORT=port):
            bad = await post(session, url, {"order": "1", "idea": "the sun"})
            async with session.get(url, params={"token": token}) as answer:
                text = await answer.text()
    events = [json.loads(line[6:]) for line in text.splitlines() if line]

    assert token == again
    assert json.loads(token)["job"] == service.charges[0].job_id
    assert "key must stand for one request" in bad
    assert events[-2]["state"] == "completed"
    assert len(events[-1]["links"]) == 2
    assert len(events) <= 7
    assert len(service.charges) == 1


async def post(session: aiohttp.ClientSession, url: str, order: dict[str, str]) -> str:
    """Post an order as soon as the app is there; return the token, or the error."""
    async with asyncio.timeout(20):
        while True:
            try:
                async with session.post(url, json=order) as answer:
                    text = await answer.text()
                    return json.loads(text)["token"] if answer.status == 202 else text
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)


async def test_telegram_bot(run, service):
    """A song that was asked for before a kill arrives after it, and is paid once."""
    script = str(ROOT / "telegram_bot.py")
    async with run_telegram() as platform:
        told = {"TELEGRAM_TOKEN": "1:t", "TELEGRAM_API": platform.url}
        async with run(script, **told):
            platform.waiting.put_nowait({"text": "/sing a rainy night"})
            await until(lambda: platform.heard("I have begun"))
        before = list(platform.said)
        async with run(script, **told):
            await until(lambda: platform.heard(".mp3") or platform.heard(".wav"))

    assert not any("http" in text for text in before)
    assert platform.heard("completed 100%")
    assert len(platform.said) <= 16
    assert len(service.charges) == 1


async def test_discord_bot(run, service):
    """A song that was asked for before a kill arrives after it, and is paid once."""
    script = str(ROOT / "discord_bot.py")
    async with run_discord() as platform:
        start = (
            "import discord.gateway, discord.http, runpy, yarl;"
            f"discord.http.Route.BASE = {platform.url!r};"
            "discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY ="
            f" yarl.URL({platform.url.replace('http', 'ws') + '/ws'!r});"
            f"runpy.run_path({script!r}, run_name='__main__')"
        )
        async with run("-c", start, DISCORD_TOKEN="t"):
            platform.waiting.put_nowait(make_interaction("a rainy night"))
            await until(lambda: platform.heard("Working"))
        before = list(platform.said)
        async with run("-c", start, DISCORD_TOKEN="t"):
            await until(lambda: platform.heard("http"))

    assert before[0] == "I have begun."
    assert not any("http" in text for text in before)
    assert platform.heard("completed 100%")
    assert len(platform.said) <= 16
    assert len(service.charges) == 1


async def test_batch(run, service, tmp_path):
    """A batch that is killed goes on, and pays for each line once."""
    titles = tmp_path / "titles.txt"
    titles.write_text("".join(f"Title {number}\n" for number in range(30)))
    words = (str(ROOT / "batch.py"), "titles.txt", "songs.jsonl")
    out = tmp_path / "songs.jsonl"
    async with run(*words):
        await until(lambda: out.exists() and bool(out.read_text()))
    before = len(out.read_text().splitlines())
    async with run(*words) as process:
        code = await process.wait()
    told = [json.loads(line) for line in out.read_text().splitlines()]

    assert code == 0
    assert sorted(line["number"] for line in told) == list(range(30))
    assert [line["error"] for line in told] == [None] * 30
    assert len(service.charges) == 30
    assert before < 30


async def test_fleet(tmp_path, postgres):
    """Two workers, one of them killed: every order is delivered and paid once."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "fleet" / "main.py"),
        cwd=tmp_path,
        env={**os.environ, "DATABASE_URL": postgres.make_place()},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(50):
        output, _ = await process.communicate()
    *lines, last = output.decode().splitlines()

    assert process.returncode == 0
    assert any("is killed" in line for line in lines)
    assert last == "20 orders, 20 paid, 20 songs"
