"""A web app: whoever posts an order gets a token, and follows the song by it.

EVOLINK_API_KEY=... python examples/fastapi_app.py
curl localhost:8080/songs -d '{"order": "1", "idea": "a rainy night"}'
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from personakit import Job, MusicRequest, PersonaKit, PersonaKitError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Have one client for the life of the app."""
    async with PersonaKit("evolink", journal="web.db") as kit:
        app.state.kit = kit
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/songs", status_code=202)
async def start(request: Request) -> dict[str, str]:
    """Submit a song; posted again with the same order, it is not paid again."""
    wish = await request.json()
    song, kit = MusicRequest(idea=wish["idea"]), request.app.state.kit
    return {"token": (await kit.submit(song, key=f"order {wish['order']}")).token}


@app.get("/songs")
async def follow(request: Request, token: str) -> StreamingResponse:
    """Tell of each change, at most once a second, by server-sent events."""
    job = request.app.state.kit.attach(token, MusicRequest)
    return StreamingResponse(tell(job), media_type="text/event-stream")


async def tell(job: Job[tuple]) -> AsyncIterator[str]:
    """Yield an event for each change."""
    async with aclosing(job.updates(every=1)) as updates:
        async for snapshot in updates:
            yield f"data: {json.dumps({'state': snapshot.state})}\n\n"
    links = [track.audio_url for track in await job]
    yield f"data: {json.dumps({'links': links})}\n\n"


@app.exception_handler(PersonaKitError)
async def explain(_: Request, error: PersonaKitError) -> JSONResponse:
    """Answer with what the library says of a mistake."""
    return JSONResponse({"error": str(error)}, status_code=400)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
