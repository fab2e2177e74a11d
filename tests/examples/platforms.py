"""The platforms of the bots, as far as the examples need them, on loopback."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import attrs
from aiohttp import web


@attrs.define
class Platform:
    """What a bot has said, and how it is told something.

    Attributes:
        url: Of the API.
        said: The texts that were sent, edited or played, in order.
        waiting: What the bot is told next.
    """

    url: str = ""
    said: list[str] = attrs.field(factory=list)
    waiting: asyncio.Queue[dict] = attrs.field(factory=asyncio.Queue)

    def heard(self, word: str) -> bool:
        """Tell whether the bot has said something with that word."""
        return any(word in text for text in self.said)


@asynccontextmanager
async def serve(app: web.Application, platform: Platform) -> AsyncIterator[Platform]:
    """Run a platform on a free port."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    platform.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield platform
    finally:
        await runner.cleanup()


def run_telegram():
    """Run a Bot API server with one chat."""
    platform, numbers = Platform(), itertools.count(1)
    chat = {"id": 42, "type": "private"}

    async def answer(request: web.Request) -> web.Response:
        form = dict(await request.post())
        method = request.match_info["method"].lower()
        result: object = True
        if method == "getme":
            result = {"id": 1, "is_bot": True, "first_name": "B", "username": "b"}
        elif method == "getupdates":
            result = []
            try:
                async with asyncio.timeout(1):
                    update = await platform.waiting.get()
            except TimeoutError:
                pass
            else:
                number = next(numbers)
                text = update["text"]
                command = {"type": "bot_command", "offset": 0, "length": 5}
                message = {"message_id": number, "date": 1, "chat": chat, "text": text}
                message["entities"] = [command]
                result = [{"update_id": number, "message": message}]
        elif method in {"sendmessage", "editmessagetext", "sendaudio"}:
            platform.said.append(str(form.get("text") or form.get("audio")))
            number = int(form.get("message_id") or next(numbers))
            result = {"message_id": number, "date": 1, "chat": chat, "text": "x"}
        return web.json_response({"ok": True, "result": result})

    app = web.Application()
    app.router.add_post("/bot{token}/{method}", answer)
    return serve(app, platform)


def reply(data: object) -> web.Response:
    """Answer as Discord does: its library takes no other spelling for JSON."""
    headers = {"Content-Type": "application/json"}
    return web.Response(body=json.dumps(data).encode(), headers=headers)


USER = {"id": "1", "username": "b", "discriminator": "0", "avatar": None}
APPLICATION = {
    "id": "1",
    "name": "b",
    "description": "",
    "icon": None,
    "bot_public": True,
    "bot_require_code_grant": False,
    "owner": USER,
    "verify_key": "x",
    "flags": 0,
}
MESSAGE = {
    "channel_id": "42",
    "author": USER,
    "timestamp": "2026-11-21T00:00:00+00:00",
    "edited_timestamp": None,
    "tts": False,
    "mention_everyone": False,
    "mentions": [],
    "mention_roles": [],
    "attachments": [],
    "embeds": [],
    "pinned": False,
    "type": 0,
}


@attrs.define
class Discord:
    """A REST API and a gateway with one channel."""

    platform: Platform
    numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1000))

    @property
    def gateway_url(self) -> str:
        return self.platform.url.replace("http", "ws") + "/ws"

    async def tell_gateway(self, _: web.Request) -> web.Response:
        limit = {"total": 9, "remaining": 9, "reset_after": 0, "max_concurrency": 1}
        told = {"url": self.gateway_url, "shards": 1, "session_start_limit": limit}
        return reply(told)

    async def serve_gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 30000}})
        telling: list[asyncio.Task[None]] = []
        async for message in socket:
            told = json.loads(message.data)
            if told["op"] == 1:
                await socket.send_json({"op": 11, "d": None})
            elif told["op"] == 2:
                telling.append(asyncio.create_task(self.tell(socket)))
        for task in telling:
            task.cancel()
        return socket

    async def tell(self, socket: web.WebSocketResponse) -> None:
        ready = {
            "v": 10,
            "user": USER,
            "guilds": [],
            "session_id": "s",
            "resume_gateway_url": self.gateway_url,
            "application": {"id": "1", "flags": 0},
        }
        await socket.send_json({"op": 0, "t": "READY", "s": 1, "d": ready})
        for number in itertools.count(2):
            data = await self.platform.waiting.get()
            event = {"op": 0, "t": "INTERACTION_CREATE", "s": number, "d": data}
            await socket.send_json(event)

    async def rest(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        body = await request.json() if request.can_read_body else {}
        known = {
            "users/@me": USER,
            "oauth2/applications/@me": APPLICATION,
            "applications/1/commands": [],
        }
        if path in known:
            return reply(known[path])
        if path.endswith("/callback"):
            self.platform.said.append(body["data"]["content"])
            made = {"id": "1", "type": 4, "response_message_id": "9"}
            return reply({"interaction": made, "resource": None})
        self.platform.said.append(body["content"])
        last = path.rsplit("/", 1)[-1]
        number = last if last.isdigit() else str(next(self.numbers))
        message = {**MESSAGE, "id": number, "content": body["content"]}
        return reply(message)


def run_discord():
    """Run a REST API and a gateway with one channel."""
    discord = Discord(Platform())
    app = web.Application()
    app.router.add_get("/ws", discord.serve_gateway)
    app.router.add_get("/gateway/bot", discord.tell_gateway)
    app.router.add_get("/gateway", discord.tell_gateway)
    app.router.add_route("*", "/{path:.*}", discord.rest)
    return serve(app, discord.platform)


def make_interaction(idea: str) -> dict:
    """Return what Discord tells of a /sing in the channel 42."""
    user = {"id": "7", "username": "u", "discriminator": "0", "avatar": None}
    option = {"name": "idea", "type": 3, "value": idea}
    command = {"id": "5", "name": "sing", "type": 1, "options": [option]}
    return {
        "id": "77",
        "application_id": "1",
        "type": 2,
        "token": "t",
        "version": 1,
        "channel_id": "42",
        "channel": {"id": "42", "type": 1, "recipients": [user]},
        "user": user,
        "data": command,
        "locale": "en-US",
        "attachment_size_limit": 1,
        "entitlements": [],
        "authorizing_integration_owners": {},
        "context": 1,
    }
