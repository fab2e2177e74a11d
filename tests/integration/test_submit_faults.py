"""The fault matrix over a paid submit: it is never paid for twice.

Every fault that can hide a charge is played with the charge made, the worst case.
"""

from __future__ import annotations

import asyncio
import math
import socket

import pytest

from personakit import (
    AuthenticationError,
    ContentRefused,
    InsufficientCredits,
    InvalidRequest,
    JournalError,
    MusicRequest,
    NotFound,
    OutcomeUnknown,
    PersonaKit,
    RateLimited,
    ServiceUnavailable,
)
from personakit.emulator import Emulator, Fault
from personakit.journal import MemoryJournal, SubmitState
from personakit.ratelimit.limiter import LONGEST_ASKED
from tests.conftest import connect
from tests.journals import open_states
from tests.servers import raw_server

IDEA = MusicRequest(idea="a rainy night")


UNKNOWN = {
    "drop": Fault.drop(),
    "reset": Fault.reset(),
    "hang": Fault.hang(),
    "late": Fault.slow(1000),
    "cut body": Fault.cut(),
    "garbage": Fault.garbage(),
    "html": Fault.html(),
    "no json": Fault.text(b"{"),
    "empty": Fault.text(b""),
    "null": Fault.text(b"null"),
    "deep": Fault.text(b"[" * 100_000),
    "no id": Fault.patch({}, remove=("id",)),
    "null id": Fault.patch({"id": None}),
    "foreign id": Fault.patch({"id": "job-1"}),
    "huge id": Fault.patch({"id": "task-unified-" + "1" * 999}),
    "unknown error under 200": Fault.patch({"error": {"code": "?"}}, remove=("id",)),
    **{
        str(status): Fault.status(status, processed=True)
        for status in (408, 409, 500, 502, 503, 504, 520, 524)
    },
    "503 with Retry-After": Fault.status(503, retry_after=1, processed=True),
    **{
        str(status): Fault.status(status, location="/elsewhere", processed=True)
        for status in (301, 302, 303)
    },
}

REPEATED = {
    "429": Fault.status(429),
    "429 with seconds": Fault.status(429, retry_after=7),
    "429 with a date": Fault.status(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
    "425": Fault.status(425),
    "429 under 200": Fault.text(
        b'{"error": {"code": "rate_limit_exceeded"}}', processed=False
    ),
    "model down": Fault.status(400, code="no_available_channel"),
}

REFUSED = {
    "400": (Fault.status(400), InvalidRequest),
    "401": (Fault.status(401), AuthenticationError),
    "402": (Fault.status(402), InsufficientCredits),
    "403": (Fault.status(403), AuthenticationError),
    "403 of a gateway": (Fault.html(403, processed=False), AuthenticationError),
    "404": (Fault.status(404), NotFound),
    "405": (Fault.status(405), InvalidRequest),
    "413": (Fault.html(413, processed=False), InvalidRequest),
    "415": (Fault.status(415), InvalidRequest),
    "422": (Fault.status(422), InvalidRequest),
    "307": (Fault.status(307, location="/elsewhere"), InvalidRequest),
    "308": (Fault.status(308, location="/elsewhere"), InvalidRequest),
    "402 under 200": (
        Fault.text(b'{"error": {"code": "insufficient_quota"}}', processed=False),
        InsufficientCredits,
    ),
    "content": (
        Fault.status(400, code="content_policy_violation"),
        ContentRefused,
    ),
}


def rows(table):
    """Turn a table into parameters named after its rows."""
    return [
        pytest.param(*(row if isinstance(row, tuple) else (row,)), id=name)
        for name, row in table.items()
    ]


@pytest.mark.parametrize("fault", rows(UNKNOWN))
async def test_lost_answer_is_never_paid_again(kit, emulator, fault):
    """Where the charge may be made, one POST is sent and the outcome is unknown."""
    emulator.inject(fault, on="submit", times=None)
    with pytest.raises(OutcomeUnknown) as caught:
        await kit.generate(idea="a rainy night")

    error = caught.value
    assert emulator.count("submit") == 1
    assert len(emulator.charges) == 1
    assert (error.charged, error.retry_safe) == ("unknown", False)
    assert error.receipt is not None
    assert error.receipt.job_id is None
    assert error.provider == "evolink"
    assert await open_states(kit) == ((error.receipt, SubmitState.UNKNOWN),)


@pytest.mark.parametrize("fault", rows(REPEATED))
async def test_sure_refusal_is_repeated_within_the_deadline(kit, emulator, fault):
    """What the service surely did not do is asked again, and paid once."""
    emulator.inject(fault, on="submit", times=2)
    tracks = await kit.generate(idea="a rainy night")

    assert len(tracks) == 2
    assert emulator.count("submit") == 3
    assert len(emulator.charges) == 1


async def test_pause_that_the_service_asks_for_is_kept(kit, emulator):
    """The second POST comes exactly when the service said."""
    emulator.inject(Fault.status(429, retry_after=7), on="submit")
    await kit.submit(IDEA)

    first, second = (one.at for one in emulator.exchanges if one.method == "POST")
    assert second - first == pytest.approx(7, abs=0.1)


async def test_refusals_without_end_stop_at_the_deadline(kit, emulator):
    """A service that stays busy is left in time, with nothing paid."""
    emulator.inject(Fault.status(429), on="submit", times=None)
    with pytest.raises(RateLimited) as caught:
        await kit.submit(IDEA, timeout=60)

    assert asyncio.get_running_loop().time() <= 60.1
    assert caught.value.charged == "no"
    assert caught.value.receipt is not None
    assert emulator.charges == ()
    assert await open_states(kit) == ()


@pytest.mark.parametrize(("fault", "error"), rows(REFUSED))
async def test_final_refusal_is_raised_and_free(kit, emulator, fault, error):
    """A definite refusal is raised at once with its own class, and nothing is paid."""
    emulator.inject(fault, on="submit", times=None)
    with pytest.raises(error) as caught:
        await kit.submit(IDEA)

    assert type(caught.value) is error
    assert (caught.value.charged, caught.value.retry_safe) == ("no", False)
    assert emulator.count("submit") == 1
    assert emulator.charges == ()
    assert await open_states(kit) == ()


async def test_redirect_names_the_address_to_mend(kit, emulator):
    """A service that moved is a matter of base_url, and says so."""
    emulator.inject(Fault.status(308, location="https://x.example/"), on="submit")
    with pytest.raises(InvalidRequest, match="Pass the right base_url"):
        await kit.submit(IDEA)


async def test_service_that_comes_up_late_is_paid_once():
    """While nobody listens nothing is lost: the submit waits within its deadline."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    emulator = Emulator(port=port)
    address = f"http://127.0.0.1:{port}/evolink"
    async with connect_at(address, emulator.api_key) as kit:
        submit = asyncio.create_task(kit.submit(IDEA))
        await asyncio.sleep(20)
        async with emulator:
            tracks = await (await submit)

    assert len(tracks) == 2
    assert emulator.count("submit") == 1
    assert len(emulator.charges) == 1


async def test_service_that_stays_down_is_left_at_the_deadline():
    """A service that never listens costs nothing and ends in time."""
    async with connect_at("http://127.0.0.1:1", "key") as kit:
        with pytest.raises(ServiceUnavailable) as caught:
            await kit.submit(IDEA, timeout=30)

    assert asyncio.get_running_loop().time() <= 30.1
    assert (caught.value.charged, caught.value.retry_safe) == ("no", True)


async def test_tls_failure_sends_nothing():
    """A peer that does not speak TLS hears no request, however often it is tried."""

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with (
        raw_server(handler=babble, scheme="https") as heard,
        connect_at(heard.url, "key") as kit,
    ):
        with pytest.raises(ServiceUnavailable) as caught:
            await kit.submit(IDEA, timeout=30)

    assert heard.connections > 1
    assert caught.value.charged == "no"


def connect_at(address: str, key: str):
    """Make a client of an address where perhaps nobody listens."""
    return PersonaKit("evolink", api_key=key, base_url=address, timeout=math.inf)


async def test_journal_that_cannot_write_stops_the_submit(kit, emulator):
    """Without a receipt in the journal nothing is sent."""

    class Full(MemoryJournal):
        async def apply(self, account, step):
            raise JournalError("No space left on device.")

    async with connect(emulator, journal=Full()) as broken:
        with pytest.raises(JournalError, match="No space left"):
            await broken.submit(IDEA)

    assert [one for one in emulator.exchanges if one.method == "POST"] == []


@pytest.mark.parametrize("asked", ["0.000001", "0.000000001", "0"])
async def test_tiny_retry_after_gives_no_flood(kit, emulator, asked):
    """A service that asks for no pause worth mentioning gets a few attempts."""
    emulator.inject(Fault.status(429, retry_after=asked), on="submit", times=None)
    with pytest.raises(RateLimited) as caught:
        await kit.submit(IDEA, timeout=10)

    assert caught.value.charged == "no"
    assert 2 <= emulator.count("submit") <= 8


async def test_huge_retry_after_is_respected_up_to_the_deadline(kit, emulator):
    """A start waits as long as it was asked to if there is time, or fails at once.

    The call that was refused fails at once. The next one closes the account no longer
    than `LONGEST_ASKED`; it is refused too, and has the time to wait.
    """
    loop = asyncio.get_running_loop()
    emulator.inject(Fault.status(429, retry_after=3000), on="submit", times=2)
    with pytest.raises(RateLimited) as caught:
        await kit.submit(IDEA, timeout=2000)
    gave_up = loop.time()
    await kit.submit(IDEA, timeout=9000)

    assert gave_up < 1
    assert caught.value.charged == "no"
    assert loop.time() == pytest.approx(LONGEST_ASKED + 3000, abs=1)
    assert emulator.count("submit") == 3
