"""The handle: what it shows without asking anybody."""

from __future__ import annotations

import pytest

from personakit import (
    Job,
    JobState,
    MusicRequest,
    Persona,
    PersonaKit,
    PersonaRequest,
    Snapshot,
)
from personakit.errors import JobFailed
from personakit.journal import SubmitState
from personakit.models import TrackRef
from personakit.receipt import Ability, Receipt
from tests.journals import open_states, put

RECEIPT = Receipt("evolink", Ability.PERSONA, job_id="task-unified-1")
VOICE = PersonaRequest(TrackRef("task-unified-0", "t"), name="V", description="d")
NOBODY = "http://127.0.0.1:1"


async def nobody():
    raise AssertionError("no engine is needed here")


def make(**more) -> Job[Persona]:
    """Make a handle that may not ask the service anything."""
    return Job(RECEIPT, here=nobody, timeout=9, **more)


def test_handle_shows_id_receipt_and_token():
    """Id, receipt and token are known without a request."""
    job = make()

    assert (job.id, job.receipt, job.token) == (
        "task-unified-1",
        RECEIPT,
        RECEIPT.token,
    )


def test_repr_tells_kind_id_and_state():
    """A handle in a log line tells what it is."""
    queued = Snapshot("task-unified-1", JobState.QUEUED, "pending")

    assert repr(make()) == "<Job persona task-unified-1 not read yet>"
    assert repr(make(snapshot=queued)) == "<Job persona task-unified-1 queued>"


async def test_job_that_is_over_from_the_start_needs_no_reading():
    """It yields its one snapshot, and its end is written down, but not delivered."""
    final = Snapshot("j", JobState.COMPLETED, "done", result=Persona("p", "evolink"))
    async with PersonaKit("evolink", api_key="k", base_url=NOBODY) as kit:
        receipt = await put(kit, SubmitState.ACCEPTED, VOICE, job_id="j")
        job = Job(receipt, here=kit._here, timeout=9, snapshot=final)
        before = await open_states(kit)
        seen = [one async for one in job.updates()]
        seen += [one async for one in job.updates()]
        after = await open_states(kit)

    assert before == ((receipt, SubmitState.ACCEPTED),)
    assert [one.result.id for one in seen] == ["p", "p"]
    assert after == ((receipt, SubmitState.ENDED),)


def test_result_is_completed_by_the_request():
    """A persona gets the name that the caller gave it."""
    source = TrackRef("task-unified-0", "t")
    wanted = PersonaRequest(source, name="Voice", description="Warm", style="")
    final = Snapshot("j", JobState.COMPLETED, "done", result=Persona("p", "evolink"))
    done = make(request=wanted)._complete(final)

    assert done.result == Persona("p", "evolink", "Voice", "Warm", None, source)


def test_failure_carries_the_receipt():
    """A failed job's error finds it again."""
    failed = Snapshot("j", JobState.FAILED, "failed", failure=JobFailed("no"))
    done = make(request=MusicRequest(idea="rain"))._complete(failed)

    assert done.failure is not None
    assert done.failure.receipt == RECEIPT


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_unfinished_snapshot_is_left_alone(state):
    """There is nothing to complete before the end."""
    snapshot = Snapshot("j", state, "word")

    assert make(request=MusicRequest(idea="rain"))._complete(snapshot) is snapshot
