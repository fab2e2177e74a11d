"""What tests of one store ask for: steps in a row, and processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from personakit import MusicRequest
from personakit.journal import Account, Journal, SubmitRecord
from personakit.journal.steps import (
    Abandon,
    Accept,
    Begin,
    Deliver,
    End,
    Lose,
    Start,
    Step,
    Withdraw,
)
from personakit.models import Track
from personakit.receipt import Ability, Receipt
from personakit.serialization import make_fingerprint

ME = Account("evolink", "https://api.example", "me")
REQUEST = MusicRequest(idea="rain")
TRACKS = (Track("evolink", "j", "t", audio_url="https://m.example/a.mp3"),)


def make_begin(caller_key: str | None = None, key: str | None = None) -> Begin:
    """Make the first step of a submit."""
    receipt = Receipt("evolink", Ability.MUSIC)
    if key is not None:
        receipt = Receipt("evolink", Ability.MUSIC, key)
    return Begin(receipt, caller_key, REQUEST, make_fingerprint(REQUEST))


WAYS: dict[str, tuple[str, ...]] = {
    "intent": (),
    "refused": ("withdraw",),
    "sending": ("start",),
    "unknown": ("start", "lose"),
    "abandoned": ("start", "lose", "abandon"),
    "accepted": ("start", "accept"),
    "ended": ("start", "accept", "end"),
    "delivered": ("start", "accept", "end", "deliver"),
}


async def bring(
    journal: Journal, state: str, caller_key: str | None = None, job_id: str = "j"
) -> SubmitRecord:
    """Bring a new submit to a state, step by step, and return its record."""
    begin = make_begin(caller_key)
    key = begin.key
    steps: dict[str, Step] = {
        "withdraw": Withdraw(key, 0),
        "start": Start(key, 0),
        "lose": Lose(key, 1),
        "abandon": Abandon(key, 1),
        "accept": Accept(key, 1, job_id),
        "end": End(key, TRACKS),
        "deliver": Deliver(key),
    }
    verdict = await journal.apply(ME, begin)
    for name in WAYS[state]:
        verdict = await journal.apply(ME, steps[name])
        assert verdict.is_won
    assert verdict.record is not None
    assert verdict.record.state == state
    return verdict.record


def run_process(path: Path, script: str, lease: float = 15.0) -> subprocess.Popen[str]:
    """Run an async script in a process of its own, with ``journal`` and a ``say``.

    It says "ready" by itself as soon as its journal is open.
    """
    program = f"""
import asyncio, os, signal, sys
from personakit.journal import SqliteJournal
from personakit.journal.steps import *
from tests.unit.journal.stores import ME, bring, make_begin

def say(*words):
    print(*words, flush=True)

async def main():
    journal = SqliteJournal({str(path)!r}, lease={lease})
    await journal.unsettled(None)
    say("ready")
{_indent(script)}
    await journal.aclose()

asyncio.run(main())
"""
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


def _indent(script: str) -> str:
    return "\n".join(f"    {line}" for line in dedent(script).splitlines())
