"""What all stores share beside the rule."""

from __future__ import annotations

from personakit.journal.base import clash


def test_clash_says_that_nothing_changed():
    """The error names the account and the way out."""
    error = clash("studio")

    assert "studio" in str(error)
    assert "Nothing was renamed. Choose another name." in str(error)
