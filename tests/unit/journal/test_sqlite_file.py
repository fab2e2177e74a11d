"""The file of a journal: what damages it, what it prunes, who is alive by it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from personakit import JournalError
from personakit.journal import SubmitState, sqlite_file
from personakit.journal.rows import to_row
from personakit.journal.sqlite_file import File, open_file
from personakit.journal.steps import (
    Accept,
    Bind,
    Deliver,
    End,
    Lose,
    Start,
    Step,
    Verdict,
    Withdraw,
)
from personakit.receipt import Ability
from tests.unit.journal.stores import ME, TRACKS, make_begin

MONTH = 30 * 24 * 3600.0


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def file(path) -> Iterator[File]:
    """Open the file as the process ``me``."""
    opened = open_file(path, "me", 15.0)
    yield opened
    opened.connection.close()


def take(file: File, *steps: Step) -> Verdict:
    """Take steps, each in a transaction, and return the last verdict."""
    for step in steps:
        [verdict] = file.transact([lambda f, s=step: f.apply(ME, s)])
        if isinstance(verdict, Exception):
            raise verdict
        assert isinstance(verdict, Verdict)
    return verdict


def bring(file: File, *steps: Step, caller_key: str | None = None) -> str:
    """Begin a submit, take steps that name no key yet, and return its key."""
    begin = make_begin(caller_key)
    take(file, begin, *(attrs.evolve(step, key=begin.key) for step in steps))
    return begin.key


def fill(file: File, count: int, state: str, **changes: object) -> None:
    """Write many rows quickly, all the same but for their ids."""
    verdict = take(file, make_begin())
    assert verdict.record is not None
    row = to_row(attrs.evolve(verdict.record, **changes))
    file.connection.execute("DELETE FROM submits")
    columns = ", ".join(sqlite_file.COLUMNS)
    marks = ", ".join("?" * len(row))
    place = sqlite_file.COLUMNS.index
    rows: list[tuple[object, ...]] = []
    for number in range(count):
        one: list[object] = [*row]
        one[0], one[place("state")] = f"{number:032x}", state
        one[place("caller_key")] = f"order {number}"
        one[place("job_id")] = None if state == "refused" else f"job-{number}"
        rows.append(tuple(one))
    file.connection.execute("BEGIN")
    file.connection.executemany(
        f"INSERT INTO submits ({columns}) VALUES ({marks})", rows
    )
    file.connection.execute("COMMIT")


def count(file: File, condition: str) -> int:
    query = f"SELECT count(*) FROM submits WHERE {condition}"
    return int(file.connection.execute(query).fetchone()[0])


def prune(file: File, retention: float = MONTH) -> list[float]:
    """Prune to the end, and return how long each transaction took."""
    times: list[float] = []
    is_left: object = True
    while is_left is True:
        began = time.perf_counter()
        [is_left] = file.transact([lambda f: f.prune(retention)])
        times.append(time.perf_counter() - began)
    assert is_left is False
    return times


# Pruning.

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def test_old_deliveries_are_pruned_in_slices(file):
    """J7, M7: of 100,000 old deliveries only key and job id stay, slice by slice."""
    fill(
        file,
        100_000,
        "delivered",
        delivered_at=LONG_AGO,
        ended_at=LONG_AGO,
        result=TRACKS,
    )
    times = prune(file)
    [found] = file.transact([lambda f: f.find_by_caller_key(ME, "order 99999")])

    assert len(times) == 201
    assert sorted(times)[len(times) // 2] < 0.1
    assert count(file, "coalesce(request, result, failure) IS NOT NULL") == 0
    assert count(file, "caller_key IS NOT NULL AND job_id IS NOT NULL") == 100_000
    assert found.receipt.job_id == "job-99999"
    assert (found.state, found.request, found.result) == ("delivered", None, None)


def test_pruning_costs_nothing_where_nothing_is_old(file):
    """J7: rows that are kept are not even looked at."""
    now = datetime.now(UTC)
    fill(file, 100_000, "delivered", delivered_at=now, ended_at=now, result=TRACKS)
    [took] = prune(file)

    assert took < 0.05
    assert count(file, "result IS NOT NULL") == 100_000


def test_refused_submits_are_pruned_whole(file):
    """J7: what was not charged goes with its key, so that it is free again."""
    fill(file, 1200, "refused", ended_at=LONG_AGO)
    times = prune(file)

    assert len(times) == 3
    assert count(file, "1") == 0


@pytest.mark.parametrize(
    "state", ["intent", "sending", "unknown", "accepted", "ended", "delivering"]
)
def test_open_submits_are_never_pruned(file, state):
    """J7: what is not delivered is kept with its request, however old it is."""
    fill(file, 10, state, made_at=LONG_AGO, ended_at=LONG_AGO, result=TRACKS)
    prune(file, 0.0)

    assert count(file, "request IS NOT NULL AND result IS NOT NULL") == 10


def test_open_attempts_keep_a_request_longer(file):
    """J7: what a lost attempt asked for is known for its send window at least."""
    key = bring(file, Start("", 0), Lose("", 1), Start("", 1, after_unknown=True))
    take(file, Accept(key, 2, "j"), End(key, TRACKS), Deliver(key))
    done = bring(file, Start("", 0), Accept("", 1, "k"), End("", TRACKS), Deliver(""))
    prune(file, -1.0)
    kept, gone = [file.find(ME, one) for one in (key, done)]
    aged = time.time() - sqlite_file.SEND_WINDOW - 1
    file.connection.execute("UPDATE submits SET delivered_at = ?", (aged,))
    prune(file, -1.0)
    later = file.find(ME, key)

    assert kept is not None
    assert gone is not None
    assert later is not None
    assert (kept.request is None, gone.request, later.request) == (False, None, None)
    assert later.receipt.job_id == "j"


def test_dead_processes_are_forgotten(file):
    """The table of processes does not grow with every start."""
    file.show()
    row = ("dead", time.monotonic() - 99, 15.0, sqlite_file.find_boot(), "")
    older = ("older", time.monotonic(), 15.0, "another boot", "")
    for one in (row, older):
        file.connection.execute("INSERT INTO workers VALUES (?, ?, ?, ?, ?)", one)
    prune(file)
    names = file.connection.execute("SELECT name FROM workers").fetchall()

    assert names == [("me",)]


# Who is alive.


@pytest.mark.parametrize(
    ("seen", "boot", "is_alive"),
    [
        (-1.0, None, True),
        (-16.0, None, False),  # past its lease
        (99.0, None, False),  # another start of the machine, of which no name is known
        (-1.0, "another", False),
    ],
)
def test_leases_by_the_machines_own_clock(file, seen, boot, is_alive):
    """A process is alive for its lease, by a clock that nobody sets."""
    boot = boot or sqlite_file.find_boot()
    row = ("other", time.monotonic() + seen, 15.0, boot, "")
    file.connection.execute("INSERT INTO workers VALUES (?, ?, ?, ?, ?)", row)

    assert file.is_alive("other") is is_alive
    assert file.is_alive("me")
    assert not file.is_alive("nobody")
    assert not file.is_alive(None)


def test_ended_process_is_dead_at_once(file):
    """J8: where the system knows that a process is gone, no lease is waited for."""
    space, pid, started = sqlite_file.describe_process().split()
    gone = f"{space} {pid} {int(started) - 1}"
    row = ("other", time.monotonic(), 15.0, sqlite_file.find_boot(), gone)
    file.connection.execute("INSERT INTO workers VALUES (?, ?, ?, ?, ?)", row)

    assert not file.is_alive("other")


def test_closing_lets_others_work(path, file):
    """What a process held is free as soon as it has closed the file."""
    other = open_file(path, "other", 15.0)
    other.show()
    before = file.is_alive("other")
    other.leave()
    [after] = file.transact([lambda f: f.is_alive("other")])

    assert (before, after) == (True, False)


# Rows that cannot be read.


def test_unreadable_row_is_refused_by_its_key(file):
    """J2: a key whose record cannot be read is not taken for a free one."""
    bring(file, caller_key="order 1")
    file.connection.execute("UPDATE submits SET state = 'postponed'")
    with pytest.raises(JournalError, match=r"cannot read.*Use the version that wrote"):
        take(file, make_begin("order 1"))

    assert count(file, "1") == 1


def test_unreadable_rows_do_not_hide_the_others(file, caplog):
    """J2: what is damaged, even as text, is passed over by readings of many."""
    accepted = bring(file, Start("", 0), Accept("", 1, "j"))
    bad = [bring(file, Start("", 0), Accept("", 1, f"b{n}")) for n in range(3)]
    changes = (
        ("state", b"\xff\xfe".decode("latin-1")),
        ("open", "[" * 100_000),
        ("at", 1e300),
    )
    for key, (column, value) in zip(bad, changes, strict=True):
        query = f"UPDATE submits SET {column} = ? WHERE id = ?"
        file.connection.execute(query, (value, key))
    query = "UPDATE submits SET state = CAST(x'fffe' AS TEXT) WHERE id = ?"
    file.connection.execute(query, (bad[0],))
    unsettled = [record.key for record in file.find_unsettled(ME)]
    everyone = [record.key for record in file.find_unsettled(None)]
    claimed = [record.key for record in file.claim(ME, None, None)]
    named = [record.key for record in file.claim(ME, [*bad, accepted], None)]

    assert unsettled == everyone == claimed == named == [accepted]
    assert len(caplog.records) == 3


def test_unreadable_rival_stops_a_binding(file):
    """M4: what cannot be read may be a rival, so no job is bound past it by itself."""
    lost, rival = [bring(file, Start("", 0), Lose("", 1)) for _ in range(2)]
    file.connection.execute(
        "UPDATE submits SET state = 'postponed' WHERE id = ?", (rival,)
    )
    with pytest.raises(JournalError, match="cannot read"):
        take(file, Bind(lost, 1, "j", lambda _: False))
    by_hand = take(file, Bind(lost, 1, "j"))

    assert by_hand.is_won


# Steps.


def test_lost_steps_write_nothing(file):
    """A step that comes too late leaves the row as it was."""
    key = bring(file, Start("", 0), Lose("", 1))
    before = file.connection.execute("SELECT total_changes()").fetchone()
    verdict = take(file, Start(key, 0))
    after = file.connection.execute("SELECT total_changes()").fetchone()

    assert not verdict.is_won
    assert after == before


def test_second_job_of_a_submit_has_a_record_of_its_own(file):
    """A job that was paid in addition is kept, and found by its id."""
    key = bring(file, Start("", 0), Lose("", 1), Start("", 1, after_unknown=True))
    take(file, Accept(key, 2, "j"), Accept(key, 1, "k"))
    records = file.find_unsettled(ME)

    assert [record.receipt.job_id for record in records] == ["j", "k"]
    assert [record.extra_of for record in records] == [None, key]
    assert file.find_known(ME, ["j", "k", "l"]) == {"j", "k"}


def test_refused_key_may_ask_for_something_else(file):
    """The kind of a record changes with what is submitted under its key."""
    take(file, begin := make_begin("order 1"), Withdraw(begin.key, 0))
    receipt = attrs.evolve(begin.receipt, kind=Ability.STEMS)
    take(file, attrs.evolve(begin, receipt=receipt))
    [record] = file.find_unsettled(ME)

    assert record.receipt.kind is Ability.STEMS


def test_job_of_two_submits_stays_shared(file):
    """A result that comes at once later does not make a shared job its own."""
    bring(file, Start("", 0), Accept("", 1, "j"))
    key = bring(file, Start("", 0), Accept("", 1, "j"))
    take(file, Accept(key, 9, None, TRACKS))

    assert [one.is_shared for one in file.find_unsettled(ME)] == [False, True]


def test_claims_by_key_or_up_to_a_limit(file):
    """The oldest come first, each claimed once; settled ones are passed over."""
    keys = [bring(file, Start("", 0), Accept("", 1, f"j{n}")) for n in range(3)]
    lost = bring(file, Start("", 0), Lose("", 1))
    taken = [
        file.claim(ME, None, None),
        file.claim(ME, None, 2),
        file.claim(ME, [keys[2], lost, "0" * 32, keys[0]], None),
    ]

    assert [[one.key for one in records] for records in taken] == [
        keys,
        keys[:2],
        [keys[0], keys[2]],
    ]


def test_unreachable_work_of_the_dead_is_claimed(path, file):
    """J8: a claim takes over what a dead process held, and nothing of the living."""
    other = open_file(path, "other", 15.0)
    other.show()
    key = bring(other, Start("", 0), Accept("", 1, "j"))
    held = file.claim(ME, None, None)
    other.leave()
    [free] = file.transact([lambda f: f.claim(ME, None, None)])

    assert held == []
    assert [(one.key, one.worker) for one in free] == [(key, "me")]


# Transactions.


def test_work_that_fails_alone_is_undone_alone(file):
    """J1: of several in one transaction only the one that fails is rolled back."""

    def fail(f: File) -> None:
        f.apply(ME, make_begin("order 2"))
        raise ValueError("No.")

    outcomes = file.transact(
        [
            lambda f: f.apply(ME, make_begin("order 1")),
            fail,
            lambda f: f.apply(ME, make_begin("order 3")),
        ]
    )

    assert [isinstance(one, ValueError) for one in outcomes] == [False, True, False]
    assert count(file, "caller_key IN ('order 1', 'order 3')") == count(file, "1") == 2


def fill_disk(file: File) -> None:
    for _ in range(1000):
        bring(file)


def test_full_disk_undoes_the_whole_transaction(file):
    """J3: a full disk is reported as that, and not as a rollback that failed."""
    bring(file)
    pages = file.connection.execute("PRAGMA page_count").fetchone()[0]
    file.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        fill_disk(file)
    written = count(file, "1")
    file.connection.execute("PRAGMA max_page_count = 4294967294")
    bring(file)

    assert count(file, "1") == written + 1


# Opening.


def test_settings_are_durable(file):
    """Every commit waits for the disk."""
    pragmas = [
        file.connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("synchronous", "journal_mode", "user_version")
    ]

    assert pragmas == [2, "wal", len(sqlite_file.MIGRATIONS)]


def test_older_file_is_brought_up_to_date(path, monkeypatch):
    """A file of the version before gets the new tables, and keeps what it has."""
    file = open_file(path, "me", 15.0)
    key = bring(file)
    file.leave()
    newer = (*sqlite_file.MIGRATIONS, "CREATE TABLE more (x); CREATE TABLE less (x);")
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", newer)
    again = open_file(path, "me", 15.0)
    found = again.find(ME, key)
    [[version]] = again.connection.execute("PRAGMA user_version")
    again.leave()

    assert found is not None
    assert version == len(newer)


def test_failed_upgrade_changes_nothing(path, monkeypatch):
    """An upgrade that breaks in the middle leaves the file as it was."""
    file = open_file(path, "me", 15.0)
    key = bring(file)
    file.leave()
    broken = (*sqlite_file.MIGRATIONS, "CREATE TABLE more (x); NONSENSE;")
    with monkeypatch.context() as bad:
        bad.setattr(sqlite_file, "MIGRATIONS", broken)
        with pytest.raises(sqlite3.OperationalError, match="syntax error"):
            open_file(path, "me", 15.0)
    again = open_file(path, "me", 15.0)
    tables = again.connection.execute(
        "SELECT name FROM sqlite_schema WHERE name = 'more'"
    ).fetchall()
    found = again.find(ME, key)
    again.leave()

    assert tables == []
    assert found is not None
    assert found.state is SubmitState.INTENT


def change(path: Path, *statements: str) -> None:
    other = sqlite3.connect(path)
    for statement in statements:
        other.execute(statement)
    other.commit()
    other.close()


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (["CREATE TABLE songs (title TEXT)"], "another program"),
        (
            ["CREATE TABLE submits (id)", "PRAGMA application_id = 1347111473"],
            "another program",
        ),
        (["PRAGMA user_version = 99"], "newer version"),
    ],
    ids=["foreign", "first layout", "newer"],
)
def test_file_of_another_program_is_left_alone(path, statements, reason):
    """A file that is not ours, or of another version, is refused unchanged."""
    if "newer" in reason:
        open_file(path, "me", 15.0).leave()
    change(path, *statements)
    with pytest.raises(sqlite3.DatabaseError, match=reason):
        open_file(path, "me", 15.0)
    other = sqlite3.connect(path)
    tables = other.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table'")
    [[found]] = tables
    other.close()

    assert found == (4 if "newer" in reason else 1)


def write_many(path: Path) -> None:
    file = open_file(path, "me", 15.0)
    fill(file, 500, "delivered", delivered_at=LONG_AGO)
    file.leave()


@pytest.mark.parametrize("size", [10, 100, 5000, 9000])
def test_truncated_file(path, size):
    """A file that was cut off is refused as damaged, and left as it is."""
    write_many(path)
    content = path.read_bytes()
    path.write_bytes(content[:size])
    with pytest.raises(
        sqlite3.DatabaseError, match=r"malformed|damaged|not a database"
    ):
        open_file(path, "me", 15.0)

    assert path.read_bytes() == content[:size]


def test_scribbled_file(path):
    """A file of which a part was overwritten is refused before anything is written."""
    write_many(path)
    with path.open("r+b") as scribbled:
        scribbled.seek(5 * 4096)
        scribbled.write(b"x" * 4096)

    with pytest.raises(sqlite3.DatabaseError, match="damaged"):
        open_file(path, "me", 15.0)


def test_text_file(path):
    """A file that is no database is refused."""
    path.write_text("jobs of today\n" * 100)

    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        open_file(path, "me", 15.0)


def test_missing_folder(tmp_path):
    """J3: a folder that is missing is named."""
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        open_file(tmp_path / "no" / "jobs.db", "me", 15.0)


def connecting(monkeypatch: pytest.MonkeyPatch, **more: object) -> None:
    """Have SQLite connect in another way."""
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite_file.sqlite3,
        "connect",
        lambda path, **usual: connect(**{"database": path, **usual, **more}),
    )


def test_no_write_ahead_log(path, monkeypatch):
    """Where the file system cannot have one, the journal says so."""
    connecting(monkeypatch, database=":memory:")

    with pytest.raises(sqlite3.OperationalError, match="no write-ahead log"):
        open_file(path, "me", 15.0)


def test_log_that_is_refused_at_once_is_asked_for_again(path, monkeypatch):
    """SQLite does not wait by itself where two set the same file up together."""
    refusals = [sqlite3.SQLITE_BUSY] * 3

    class Busy(sqlite3.Connection):
        def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
            if "journal_mode" in statement and refusals:
                error = sqlite3.OperationalError("locked")
                error.sqlite_errorcode = refusals.pop()
                raise error
            return super().execute(statement, *values)

    connecting(monkeypatch, factory=Busy)
    open_file(path, "me", 15.0).leave()
    left = [*refusals]
    refusals.append(sqlite3.SQLITE_IOERR)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        open_file(path, "me", 15.0)

    assert left == []
