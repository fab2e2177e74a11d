"""Steps: which record they are for, and what a rule may ask of the facts."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs

from personakit.journal.record import Account, SubmitRecord, SubmitState
from personakit.journal.steps import Begin, Facts, Loss, Verdict
from personakit.receipt import Ability, Receipt

ACCOUNT = Account("evolink", "https://service.test", "studio")
NOW = datetime(2026, 11, 21, tzinfo=UTC)
RECORD = SubmitRecord(
    Receipt("evolink", Ability.MUSIC, "a" * 32, NOW), ACCOUNT, SubmitState.SENDING
)


def test_begin_key():
    """A new record has the key of its receipt."""
    assert Begin(RECORD.receipt, "order 1", None, "digest").key == "a" * 32


def test_facts():
    """A record is held while the process that works on it is alive."""
    facts = Facts(ACCOUNT, "me", NOW, {"me": True, "gone": False}.__getitem__)
    mine, left = (attrs.evolve(RECORD, worker=name) for name in ("me", "gone"))

    assert [facts.is_idle(one) for one in (RECORD, mine, left)] == [True, False, True]
    assert facts.see(None) is None
    assert facts.see(mine).is_held
    assert not facts.see(left).is_held


def test_verdict():
    """A step that lost says why."""
    assert Verdict(RECORD).is_won
    assert not Verdict(RECORD, Loss.MOVED).is_won
