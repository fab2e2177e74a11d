"""Every way in which an answer can go wrong, on submits, readings, files and reports.

Virtual time, real sockets. Counted is what the ledger says against what callers were
told: charged twice, lost, taken for another job, a verdict "not sent" for what the
server saw, errors without a type, and events told twice.

    python -m tests.endurance.faults [REPETITIONS]
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import looptime

from personakit import (
    MusicRequest,
    OutcomeUnknown,
    PersonaKit,
    PersonaKitError,
    ServiceUnavailable,
    Track,
)
from personakit.emulator import Emulator, Fault
from personakit.emulator.traffic import Action
from personakit.journal import SubmitState
from tests.endurance.clocks import WallClock, emulate
from tests.endurance.kills import KINDS, SONG, service

REPETITIONS = 12
TIMEOUT = 150.0
SONG_TIME = 200.0
"""Seconds in which every song ends; lists tell texts of finished songs only."""

PROCESSED = {
    "drop": Fault.drop(),
    "reset": Fault.reset(),
    "hang": Fault.hang(),
    "late": Fault.slow(200),
    "slow": Fault.slow(20),
    "cut": Fault.cut(),
    "garbage": Fault.garbage(),
    "page": Fault.html(),
    "no JSON": Fault.text(b"{"),
    "empty": Fault.text(b""),
    "null": Fault.text(b"null"),
    "list": Fault.text(b"[]"),
    "NaN": Fault.text(b'{"code": NaN}'),
    "deep": Fault.text(b"[" * 50_000),
    "not UTF-8": Fault.text(b'{"id": "\xff"}'),
    "too large": Fault.text(b" " * 9_000_000),
    "no members": Fault.text(b"{}"),
    "code alone": Fault.text(b'{"code": 200, "msg": "success"}'),
    **{
        f"{status} after the work": Fault.html(status)
        for status in (202, 301, 302, 303, 408, 409, 500, 502, 503, 504, 520, 524)
    },
}
UNPROCESSED = {
    "drop before": Fault.drop(processed=False),
    "reset before": Fault.reset(processed=False),
    "hang before": Fault.hang(processed=False),
    "garbage before": Fault.garbage(processed=False),
    **{
        f"{status} refusal": Fault.status(status)
        for status in (400, 401, 402, 403, 404, 405, 413, 422, 425, 429, 500, 503)
    },
    **{
        f"429, Retry-After {value}": Fault.status(429, retry_after=value)
        for value in (
            0,
            7,
            -5,
            999_999,
            "soon",
            formatdate(time.time() + 9, usegmt=True),
        )
    },
}
FAULTS = {**PROCESSED, **UNPROCESSED}

Trial: TypeAlias = Callable[[str, str, random.Random, Counter[str]], Awaitable[None]]


def connect(emulator: Emulator, kind: str, **options: Any) -> PersonaKit:
    """Make a client of a kind of service."""
    name = service(kind)
    own = {
        "api_key": emulator.api_key,
        "base_url": emulator.url(name),
        "timeout": TIMEOUT,
    }
    return PersonaKit(name, **{**own, **options})


def plan(emulator: Emulator, fault: str, on: Action, chance: random.Random) -> None:
    """Have the fault happen, once, a few times, or twice with another between."""
    emulator.inject(FAULTS[fault], on=on, times=chance.choice((1, 1, 2, 5)))
    if chance.random() < 0.3:
        emulator.inject(FAULTS[chance.choice(list(FAULTS))], on=on)


async def try_submit(
    kind: str, fault: str, chance: random.Random, count: Counter[str]
) -> None:
    """Submit, and hold what the caller is told against the ledger."""
    async with emulate() as emulator:
        async with connect(emulator, kind) as kit:
            plan(emulator, fault, "submit", chance)
            told: object
            try:
                told = await kit.submit(SONG)
            except PersonaKitError as error:
                told = error
            emulator.clear_faults()
            paid = [charge.job_id for charge in emulator.charges]
            pending = await kit.pending()
            count["charged"] += len(paid)
            count["twice"] += len(paid) > 1
            if isinstance(told, OutcomeUnknown):
                count["unknown"] += 1
                await settle(kit, kind, told, paid, count)
            elif isinstance(told, PersonaKitError):
                count["refused"] += 1
                count["lost"] += bool(paid)
                is_unsent = isinstance(told, ServiceUnavailable) and told.status is None
                count["wrongly unsent"] += is_unsent and bool(emulator.exchanges)
                count["left open"] += bool(pending)
            else:
                count["wrong job"] += [told.id] != paid
                count["left open"] += bool(pending)


async def settle(
    kit: PersonaKit,
    kind: str,
    lost: OutcomeUnknown,
    paid: list[str],
    count: Counter[str],
) -> None:
    """Look for the job of a lost answer."""
    [record] = await kit.pending()
    assert lost.receipt is not None
    count["lost"] += (
        record.key != lost.receipt.key or record.state is not SubmitState.UNKNOWN
    )
    await asyncio.sleep(SONG_TIME)
    try:
        job = await kit.reconcile(lost.receipt)
    except PersonaKitError:  # the service wants to be left alone for an hour, say
        count["not asked"] += 1
        return
    if job is not None:
        count["found"] += 1
        count["wrong job"] += [job.id] != paid
    elif paid and kind != "neither":
        count["lost"] += 1


async def try_read(
    kind: str, fault: str, chance: random.Random, count: Counter[str]
) -> None:
    """Wait through faulty readings; every job comes to its true end, told once."""
    async with emulate() as emulator:
        async with connect(emulator, kind, timeout=9000) as kit:
            job = await kit.submit(SONG)
            plan(emulator, fault, "read", chance)
            ends = 0
            try:
                async for snapshot in job.updates():
                    ends += snapshot.state.is_final
                tracks = await job
            except PersonaKitError:
                # A refusal of the key, say: the job is found when that has passed.
                count["interrupted"] += 1
                emulator.clear_faults()
                tracks = await kit.attach(job.token, MusicRequest)
                ends += 1
            count["ended"] += 1
            count["told twice"] += ends != 1
            count["wrong job"] += {track.job_id for track in tracks} != {job.id}
            count["twice"] += len(emulator.charges) > 1


async def try_report(
    kind: str, fault: str, chance: random.Random, count: Counter[str]
) -> None:
    """Let reports, doubled and in any order, race with faulty readings."""
    async with emulate() as emulator:
        async with connect(emulator, kind, timeout=9000) as kit:
            callbacks = kit.callbacks(public_url="https://a.example", secret="s" * 16)
            job = await kit.submit(SONG)
            plan(emulator, fault, "read", chance)
            body = json.dumps({"id": job.id, "data": {"task_id": job.id}}).encode()
            path = callbacks.address(job.receipt, 1)
            ends: list[object] = []

            async def watch() -> None:
                try:
                    ends.extend([s async for s in job.updates() if s.state.is_final])
                except PersonaKitError:
                    count["interrupted"] += 1
                    emulator.clear_faults()
                    ends.append(await kit.attach(job.token))

            async def report() -> None:
                await asyncio.sleep(chance.uniform(0, 90))
                status = await callbacks.receive("POST", path, [], body)
                count["not taken"] += status != HTTPStatus.OK

            reports = (report() for _ in range(chance.randint(1, 12)))
            await asyncio.gather(watch(), watch(), *reports)
            count["told twice"] += len(ends) != WATCHERS
            async for one in kit.resume():
                async with one.deliver() as tracks:
                    count["delivered"] += 1
                    count["wrong job"] += {t.job_id for t in tracks} != {job.id}
            count["left open"] += len([one async for one in kit.resume()])


async def try_download(
    _: str, fault: str, chance: random.Random, count: Counter[str]
) -> None:
    """Save a file through faults; it is whole or not there."""
    async with emulate() as emulator:
        song = emulator.seed_song()
        url = f"{emulator.url('evolink')}/media/{song.track_id}.wav"
        plan(emulator, fault, "download", chance)
        with tempfile.TemporaryDirectory() as folder:
            async with connect(emulator, "list", timeout=2) as kit:
                track = Track("evolink", song.job_id, song.track_id, audio_url=url)
                try:
                    path = await kit.download(track, folder)
                except PersonaKitError:
                    count["not saved"] += 1
                else:
                    count["saved"] += 1
                    emulator.clear_faults()
                    other = await kit.download(track, Path(folder, "again.wav"))
                    count["half files"] += path.read_bytes() != other.read_bytes()
            left = [path for path in Path(folder).iterdir() if path.suffix == ".part"]
            count["left behind"] += len(left)


BAD = (
    "twice",
    "lost",
    "wrong job",
    "wrongly unsent",
    "left open",
    "told twice",
    "half files",
    "left behind",
    "untyped",
)
WATCHERS = 2


@attrs.frozen
class Plan:
    """What is tried.

    Attributes:
        trial: Tries one fault once.
        on: What the fault happens to.
        kinds: The kinds of service.
        divisor: By how much less often than submits.
        at_once: Trials at the same time: several where real time passes.
    """

    trial: Trial
    on: Action
    kinds: tuple[str, ...] = KINDS
    divisor: int = 1
    at_once: int = 1


PLANS = {
    "submit": Plan(try_submit, "submit"),
    "read": Plan(try_read, "read"),
    "report": Plan(try_report, "read", divisor=3),
    # Files are written by threads, for which virtual time does not wait.
    "download": Plan(try_download, "download", ("any",), divisor=2, at_once=16),
}


async def run(name: str, plan: Plan, times: int) -> Counter[str]:
    """Try every fault on every kind of service, so often."""
    count: Counter[str] = Counter()
    runs = [
        (kind, fault, number)
        for number in range(times)
        for kind in plan.kinds
        for fault in FAULTS
        if plan.on in FAULTS[fault].actions
    ]

    async def take_runs() -> None:
        while runs:
            kind, fault, number = runs.pop()
            chance = random.Random(f"{name} {kind} {fault} {number}")
            before = sum(count[name] for name in BAD)
            try:
                await plan.trial(kind, fault, chance, count)
            except Exception as error:
                count["untyped"] += 1
                print("BAD", name, kind, fault, number, repr(error)[:200])
            count["tried"] += 1
            if plan.at_once == 1 and sum(count[name] for name in BAD) > before:
                print("BAD", name, kind, fault, number)

    await asyncio.gather(*(take_runs() for _ in range(plan.at_once)))
    return count


def main(repetitions: int) -> int:
    """Run all trials, print what was counted, return how much was wrong."""
    wrong = 0
    WallClock.install()
    print(f"\nFaults: {len(FAULTS)}, {len(KINDS)} kinds of service")
    for name, plan in PLANS.items():
        began = time.perf_counter()
        is_virtual = plan.at_once == 1
        loop = looptime.new_event_loop() if is_virtual else asyncio.new_event_loop()
        times = max(1, repetitions // plan.divisor)
        count = loop.run_until_complete(run(name, plan, times))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        wrong += sum(count[name] for name in BAD)
        took = time.perf_counter() - began
        print(f"{name}: {dict(sorted(count.items()))} in {took:.0f} s")
    print("wrong:", wrong, "(must be 0)")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(int(sys.argv[1]) if len(sys.argv) > 1 else REPETITIONS), 1))
