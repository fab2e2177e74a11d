"""A web app: whoever posts an order gets a token, and follows the song by it.

EVOLINK_API_KEY=... python examples/aiohttp_app.py
curl localhost:8080/songs -d '{"order": "1", "idea": "a rainy night"}'
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing

from aiohttp import web
from aiohttp.typedefs import Handler

from personakit import MusicRequest, PersonaKit, PersonaKitError

KIT = web.AppKey("kit", PersonaKit)


async def open_kit(app: web.Application) -> AsyncIterator[None]:
    """Have one client for the life of the app."""
    async with PersonaKit("evolink", journal="web.db") as app[KIT]:
        yield


async def start(request: web.Request) -> web.Response:
    """Submit a song; posted again with the same order, it is not paid again."""
    wish = await request.json()
    song = MusicRequest(idea=wish["idea"])
    job = await request.app[KIT].submit(song, key=f"order {wish['order']}")
    return web.json_response({"token": job.token}, status=202)


async def follow(request: web.Request) -> web.StreamResponse:
    """Tell of each change, at most once a second, by server-sent events."""
    job = request.app[KIT].attach(request.query["token"], MusicRequest)
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    async with aclosing(job.updates(every=1)) as updates:
        async for snapshot in updates:
            told = json.dumps({"state": snapshot.state})
            await answer.write(f"data: {told}\n\n".encode())
    links = [track.audio_url for track in await job]
    await answer.write(f"data: {json.dumps({'links': links})}\n\n".encode())
    return answer


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with what the library says of a mistake."""
    try:
        return await handler(request)
    except PersonaKitError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


if __name__ == "__main__":
    app = web.Application(middlewares=[explain])
    app.cleanup_ctx.append(open_kit)
    app.add_routes([web.post("/songs", start), web.get("/songs", follow)])
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
