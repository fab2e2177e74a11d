"""Explore the rule of the journal within larger bounds than the test suite does.

    python -m tests.endurance.rules [NAME...]

Prints states, transitions and seconds of each configuration. Exits with 1 if a promise
is broken, and shows how it comes to that.
"""

from __future__ import annotations

import sys
import time

from tests.unit.journal.explorer import Bounds, Explorer

SAME_KEY = (("a",), ("a",), ())
TWO_SUBMITS = (("a",), ("b",), ())
CONFIGURATIONS = {
    "one key, all faults once": Bounds(
        SAME_KEY,
        {"crash": 1, "freeze": 1, "lost": 1, "late": 1, "refusal": 1, "cancel": 1},
    ),
    "one key in three processes": Bounds(
        (("a",), ("a",), ("a",)),
        {"crash": 1, "freeze": 1, "lost": 1},
    ),
    "resubmit and callback": Bounds(
        SAME_KEY,
        {"crash": 1, "lost": 2, "resubmit": 1, "callback": 1},
    ),
    "two recoveries": Bounds(
        (("a",), (), ()),
        {"freeze": 1, "lost": 2, "resubmit": 1},
        recovering=(1, 2),
    ),
    "abandon and submit again": Bounds(
        SAME_KEY,
        {"lost": 2, "abandon": 1, "cancel": 1, "refusal": 1, "callback": 1},
    ),
    "something else under one key": Bounds(
        SAME_KEY,
        {"lost": 1, "cancel": 1, "abandon": 1, "crash": 1, "freeze": 1},
        differing=(1,),
    ),
    "delivery": Bounds(SAME_KEY, {"freeze": 2, "raise": 1, "crash": 1, "cancel": 1}),
    "awaited and delivered": Bounds(
        SAME_KEY, {"freeze": 2, "crash": 1, "raise": 1}, awaiting=(0,)
    ),
    "one list, two submits": Bounds(
        TWO_SUBMITS,
        {"lost": 2, "resubmit": 1},
        keyed=False,
        listing="content",
    ),
    "one list, two keys, abandon": Bounds(
        TWO_SUBMITS, {"lost": 2, "abandon": 1, "crash": 1}, listing="content"
    ),
    "one list, callback, foreign job": Bounds(
        TWO_SUBMITS,
        {"lost": 2, "callback": 1, "foreign": 1},
        keyed=False,
        listing="content",
    ),
    "ids given twice": Bounds(
        TWO_SUBMITS,
        {"shared": 1, "lost": 1, "callback": 1, "crash": 1},
        keyed=False,
    ),
}


def main(names: list[str]) -> int:
    """Explore some configurations, all if none is named; return how many broke."""
    broken = 0
    for name in names or CONFIGURATIONS:
        began = time.perf_counter()
        found = Explorer(CONFIGURATIONS[name]).explore()
        took = time.perf_counter() - began
        print(
            f"{name}: {found.states:,} states, {found.transitions:,} transitions, "
            f"{took:.0f} s",
            flush=True,
        )
        if found.violation is not None:
            broken += 1
            print(found.violation, *found.trace, sep="\n    ", flush=True)
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
