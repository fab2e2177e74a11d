"""How the entries of a submit may follow each other: every pair of marks."""

from __future__ import annotations

import itertools

import attrs
import pytest

from personakit import MusicRequest, Persona
from personakit.journal import Entry, Mark
from personakit.journal.entry import merge
from personakit.receipt import Ability, Receipt

RECEIPT = Receipt("evolink", Ability.MUSIC)
NAMED = attrs.evolve(RECEIPT, job_id="j")
MOVES = {
    (Mark.INTENT, Mark.SENDING),
    (Mark.INTENT, Mark.ACCEPTED),
    (Mark.INTENT, Mark.CLOSED),
    (Mark.SENDING, Mark.INTENT),
    (Mark.SENDING, Mark.UNKNOWN),
    (Mark.SENDING, Mark.ACCEPTED),
    (Mark.SENDING, Mark.CLOSED),
    (Mark.UNKNOWN, Mark.ACCEPTED),
    (Mark.UNKNOWN, Mark.CLOSED),
    (Mark.ACCEPTED, Mark.CLOSED),
    (Mark.CLOSED, Mark.ACCEPTED),  # without a job before
}


@pytest.mark.parametrize(("before", "now"), list(itertools.product(Mark, Mark)))
def test_every_pair(before, now):
    """A mark moves as the table says, and stays otherwise."""
    stands = merge(Entry(RECEIPT, before), Entry(RECEIPT, now))

    assert stands.mark is (now if (before, now) in MOVES else before)


@pytest.mark.parametrize("now", Mark)
def test_an_end_with_a_job_is_an_end(now):
    """Nothing follows the end of a job, or of what was answered at once."""
    persona = Persona("p", "evolink")
    ended = Entry(NAMED, Mark.CLOSED)
    given = Entry(RECEIPT, Mark.CLOSED, result=persona)

    assert merge(ended, Entry(NAMED, now)) == ended
    assert merge(given, Entry(RECEIPT, now)) == given


def test_what_is_known_stays_known():
    """Job, request and result of before win; what is new is added."""
    request, other = MusicRequest(idea="a"), MusicRequest(idea="b")
    before = Entry(NAMED, Mark.ACCEPTED, request)
    rival = attrs.evolve(RECEIPT, job_id="k")

    assert merge(None, before) == before
    assert merge(before, Entry(rival, Mark.ACCEPTED, other)) == before
    assert merge(Entry(RECEIPT, Mark.SENDING), before) == before


def test_snapshot_of_a_job_is_read_from_the_service():
    """Only what was answered at once has its end in the journal."""
    assert Entry(NAMED, Mark.ACCEPTED).snapshot is None


@pytest.mark.parametrize("before", [Mark.SENDING, Mark.UNKNOWN, Mark.ACCEPTED])
@pytest.mark.parametrize("now", Mark)
def test_what_is_sent_belongs_to_its_sender(before, now):
    """Of two that have the same key one sends; the other changes nothing of it."""
    stood = Entry(RECEIPT, before, sender="a")
    by_rival = merge(stood, Entry(RECEIPT, now, sender="b"))
    by_sender = merge(stood, Entry(RECEIPT, now, sender="a"))
    by_others = merge(stood, Entry(RECEIPT, now))
    moved = now if (before, now) in MOVES else before

    assert by_rival.mark is (moved if now is Mark.ACCEPTED else before)
    assert by_sender.mark is by_others.mark is moved
    assert {by_rival.sender, by_sender.sender} == {"a"}


def test_who_sends_first_is_known():
    """Before anything is sent anybody may; from then on it is the first one."""
    first = merge(Entry(RECEIPT, Mark.INTENT), Entry(RECEIPT, Mark.SENDING, sender="a"))
    second = merge(first, Entry(RECEIPT, Mark.SENDING, sender="b"))
    refused = merge(second, Entry(RECEIPT, Mark.INTENT, sender="a"))
    again = merge(refused, Entry(RECEIPT, Mark.SENDING, sender="b"))

    assert (second.mark, second.sender) == (Mark.SENDING, "a")
    assert refused.mark is Mark.INTENT
    assert (again.mark, again.sender) == (Mark.SENDING, "b")
