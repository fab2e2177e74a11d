"""What Evolink's answers mean, case by recorded case."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as some

from personakit.errors import MalformedAnswer, OutcomeUnknown, PersonaKitError
from personakit.http.messages import Response
from personakit.models import Credits, JobState, Persona, Snapshot, Track
from personakit.providers.answers import MESSAGE_LIMIT, STATUS_RULES, ServiceError
from personakit.providers.evolink.error_rules import ERRORS, FAILURES
from personakit.providers.evolink.parse import _STATES, find_error
from tests.unit.providers.drift import drifted
from tests.unit.providers.evolink.cases import CASES, MUSIC_JOB, PERSONA_JOB, read
from tests.unit.providers.recorded import (
    Case,
    check_error,
    check_value,
    parameters,
)


@pytest.mark.parametrize("case", parameters(CASES, failing=True))
def test_bad_answers(case: Case):
    """Every recorded bad answer is the error that it should be."""
    check_error(case, read, "evolink")


@pytest.mark.parametrize("case", parameters(CASES, failing=False))
def test_good_answers(case: Case):
    """Every recorded good answer is read as it should be."""
    check_value(case, read)


def recorded(name: str):
    """Read a recorded answer."""
    return read(CASES[name].read_as, CASES[name].answer())


def test_track_carries_everything_told():
    """A track has the ids, links, names and length of the song, and its expiry."""
    [track] = recorded("read-music-completed").result

    created = datetime.fromtimestamp(1766319090, UTC)
    assert track == Track(
        provider="evolink",
        job_id=MUSIC_JOB,
        track_id="4fcc4507-a7ae-4441-ad8a-465c2f61d5bb",
        audio_url="https://media.evolink.ai/xxx.mp3",
        stream_url="https://media.evolink.ai/xxx.mp3",
        image_url="https://media.evolink.ai/xxx.jpeg",
        title="Forget Me Nots",
        style="R&B",
        duration=91.2,
        model="suno-v5-beta",
        expires_at=created + timedelta(hours=24),
    )


def test_both_shapes_mean_the_same():
    """Songs in an object and songs in the bare array are the same tracks."""
    as_object = recorded("read-music-completed")
    as_array = recorded("read-music-completed-array")

    assert as_object == as_array


def change(name: str, **members: object) -> Response:
    """Return a recorded answer with other members; None removes one."""
    body = copy.deepcopy(CASES[name].response["body"])
    for member, value in members.items():
        if value is None:
            del body[member]
        else:
            body[member] = value
    return Response(200, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("name", "members", "path"),
    [
        ("read-music-pending", {"id": 7}, "$.id"),
        ("read-music-pending", {"id": None}, "$.id"),
        ("read-music-pending", {"id": "task-unified-other"}, "$.id"),
        ("read-music-pending", {"status": 7}, "$.status"),
        ("read-music-pending", {"status": None}, "$.status"),
        ("read-music-completed", {"result_data": None}, "$.result_data"),
        ("read-music-completed", {"result_data": "x"}, "$.result_data"),
        ("read-music-completed", {"result_data": {}}, "$.result_data.songs"),
        ("read-music-completed", {"result_data": {"songs": []}}, "$.result_data"),
        ("read-music-completed", {"result_data": []}, "$.result_data"),
        (
            "read-music-completed",
            {"result_data": {"songs": [{"result_id": "a"}, {}]}},
            "$.result_data.songs[1].result_id",
        ),
        (
            "read-music-completed",
            {"result_data": [{"result_id": "a", "duration": "91.2"}]},
            "$.result_data[0].duration",
        ),
        (
            "read-music-completed",
            {"result_data": {"songs": [{"result_id": ""}]}},
            "$.result_data.songs[0].result_id",
        ),
        ("read-persona-completed", {"result_data": {}}, "$.result_data.persona_id"),
        (
            "read-persona-completed",
            {"result_data": {"persona_id": None}},
            "$.result_data.persona_id",
        ),
        *(
            (
                "read-persona-completed",
                {"result_data": {"persona_id": wrong}},
                "$.result_data.persona_id",
            )
            for wrong in ("", "  ", "\ud800", 7, ["p"], {})
        ),
        *(
            (
                "read-music-completed",
                {"result_data": {"songs": [{"result_id": wrong}]}},
                "$.result_data.songs[0].result_id",
            )
            for wrong in ("  ", "\ud800", 7, None, [])
        ),
        ("read-music-completed", {"result_data": {"songs": {}}}, "$.result_data.songs"),
        (
            "read-music-completed",
            {"result_data": {"songs": ["a"]}},
            "$.result_data.songs[0]",
        ),
        *(
            (
                "read-music-completed",
                {"result_data": [{"result_id": "a", member: 7}]},
                f"$.result_data[0].{member}",
            )
            for member in (
                "audio_url",
                "stream_audio_url",
                "image_url",
                "title",
                "tags",
            )
        ),
        ("read-music-completed", {"model": 7}, "$.model"),
    ],
)
def test_changed_answers_name_the_place(name, members, path):
    """What a result needs and does not find is named by its place, and is no result."""
    with pytest.raises(MalformedAnswer) as caught:
        read("persona" if "persona" in name else "music", change(name, **members))

    assert caught.value.path == path
    assert caught.value.retry_safe


@pytest.mark.parametrize(
    "members",
    [
        {"progress": "half"},
        {"progress": None},
        {"progress": True},
        {"task_info": 7},
        {"task_info": {"estimated_time": "soon"}},
        {"created": "yesterday"},
        {"created": 1e300},
        {"new_member": {"a": 1}},
        {"usage": None},
        {"type": "video"},
    ],
)
@pytest.mark.parametrize("name", ["read-music-completed"])
def test_hints_of_another_type_cost_nothing(name, members):
    """What only helps the wait may change without costing anybody a result."""
    recorded = copy.deepcopy(CASES[name].response["body"])
    recorded |= {key: value for key, value in members.items() if value is not None}
    for key, value in members.items():
        if value is None:
            recorded.pop(key, None)
    told = read("music", Response(200, {}, json.dumps(recorded).encode()))

    assert told.state is JobState.COMPLETED
    assert len(told.result) == 1


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 400])
def test_lengths_beyond_all_bounds_are_no_numbers(number):
    """A number that no float can hold is malformed, not infinite."""
    recorded = json.dumps(CASES["read-music-completed"].response["body"])
    changed = recorded.replace("91.2", number)
    with pytest.raises(MalformedAnswer) as caught:
        read("music", Response(200, {}, changed.encode()))

    assert caught.value.path == "$.result_data.songs[0].duration"


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 400])
def test_balances_beyond_all_bounds_are_no_numbers(number):
    """Nobody is told of infinite credits."""
    recorded = json.dumps(CASES["credits"].response["body"])
    changed = recorded.replace("1095.3996", number)
    with pytest.raises(MalformedAnswer) as caught:
        read("credits", Response(200, {}, changed.encode()))

    assert caught.value.path == "$.data.user.remaining_credits"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "$.data"),
        ({"success": True}, "$.data"),
        ({"success": True, "data": None}, "$.data"),
        ({"success": True, "data": {}}, "$.data.user"),
        ({"success": True, "data": {"user": {}}}, "$.data.user.remaining_credits"),
        (
            {"success": True, "data": {"user": {"remaining_credits": "5"}}},
            "$.data.user.remaining_credits",
        ),
        (
            {"success": True, "data": {"user": {"remaining_credits": 5}, "token": []}},
            "$.data.token",
        ),
        ({"data": {"user": {"remaining_credits": 5}}}, "$.success"),
        ({"data": {"user": {"remaining_credits": 5}}, "success": 1}, "$.success"),
        ({"data": {"user": {"remaining_credits": 5}}, "success": False}, "$.success"),
    ],
)
def test_changed_balances_name_the_place(body, path):
    """A balance that is not as documented is named by its place."""
    with pytest.raises(MalformedAnswer) as caught:
        read("credits", Response(200, {}, json.dumps(body).encode()))

    assert caught.value.path == path
    assert caught.value.retry_safe
    assert caught.value.provider == "evolink"


@pytest.mark.parametrize(
    "body",
    [
        {"id": wrong}
        for wrong in (
            None,
            7,
            True,
            "",
            " ",
            [],
            {},
            "job-1",
            "task-unified-",
            "\ud800",
        )
    ]
    + [
        {"id": "task-unified-" + "1" * 108},
        {"id": "task-unified-1/2"},
        {},
        [],
        "id",
        7,
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202])
def test_accepted_without_a_job_is_of_unknown_outcome(status, body):
    """A good status without the id of a task proves neither a job nor a refusal."""
    with pytest.raises(OutcomeUnknown) as caught:
        read("submit", Response(status, {}, json.dumps(body).encode()))

    assert (caught.value.charged, caught.value.retry_safe) == ("unknown", False)
    assert (caught.value.provider, caught.value.status) == ("evolink", status)


@pytest.mark.parametrize("info", [None, 7, "soon", [], {}, {"estimated_time": "15"}])
@pytest.mark.parametrize("status", [None, 7, "completed", "brand_new"])
def test_accepted_needs_only_an_id(info, status):
    """Once there is an id there is a job, whatever else the answer holds."""
    body = {"id": MUSIC_JOB, "task_info": info, "status": status, "progress": "x"}
    told = read("submit", Response(200, {}, json.dumps(body).encode()))

    word = status if isinstance(status, str) else "pending"
    assert told == Snapshot(MUSIC_JOB, JobState.QUEUED, word)


def test_long_reasons_are_cut():
    """A failed task that tells a novel is quoted briefly."""
    reason = {"code": "service_error", "message": "x" * 9999}
    answer = change("read-music-failed-service-error", error=reason)
    failure = read("music", answer).failure

    assert len(failure.message) <= MESSAGE_LIMIT + 100


@pytest.mark.parametrize(
    "error", [None, 7, "text", [], {}, {"code": 7}, {"message": 7}]
)
@pytest.mark.parametrize(
    ("name", "charged"),
    [("read-music-failed-silently", "no"), ("read-music-cancelled", "unknown")],
)
def test_failure_of_any_shape_is_a_failure(name, charged, error):
    """However a failed task explains itself, it has failed, and is not tried again."""
    body = dict(CASES[name].response["body"], error=error)
    told = read("music", Response(200, {}, json.dumps(body).encode()))

    assert told.state.is_final
    assert told.result is None
    assert told.failure.charged == charged
    assert told.failure.retry_safe is False
    assert told.failure.message == (
        "evolink ended the job without a result: no reason was given"
    )


def test_link_of_unknown_age_has_no_expiry():
    """Without a readable date of the task nothing is claimed of its links."""
    answers = [
        change("read-music-completed", created=created)
        for created in ("x", 1e300, -1e300)
    ]

    assert [read("music", answer).result[0].expires_at for answer in answers] == [
        None
    ] * 3


@pytest.mark.parametrize(
    ("progress", "fraction"), [(0, 0.0), (45, 0.45), (100, 1.0), (250, 1.0), (-5, 0.0)]
)
def test_progress_is_a_fraction(progress, fraction):
    """Percent become a fraction from 0 to 1, whatever is sent."""
    told = read("music", change("read-music-pending", progress=progress))

    assert told.progress == fraction


def test_every_code_has_a_case():
    """No line of the error table is without a recorded answer."""
    seen = {find_error(case.response.get("body")).code for case in answers()}

    assert {code for row in ERRORS for code in row.when} - seen == set()


def test_every_failure_and_state_has_a_case():
    """No line of the failure and status tables is without a recorded task."""
    bodies = [
        case.response["body"]
        for case in answers()
        if case.read_as == "music" and isinstance(case.response.get("body"), dict)
    ]
    failures = {body["error"]["code"] for body in bodies if body.get("error")}
    states = {body.get("status") for body in bodies}

    assert set(FAILURES) - failures == set()
    assert set(_STATES) - states == set()


def test_every_status_line_has_a_case():
    """No line of the common status table is without a recorded answer."""
    used = set()
    for case in answers():
        failure = find_error(case.response.get("body"))
        status = failure.status or case.response["status"]
        paid = case.read_as == "submit"
        fitting = (row for row in STATUS_RULES if row.fits(failure, status, paid=paid))
        used.add(STATUS_RULES.index(next(fitting)))

    assert used == set(range(len(STATUS_RULES)))


def answers() -> list[Case]:
    """Return all cases with an answer."""
    return [case for case in CASES.values() if case.response]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, ServiceError()),
        ([], ServiceError()),
        ({}, ServiceError()),
        ({"error": "text"}, ServiceError()),
        ({"error": {"code": True}}, ServiceError()),
        ({"error": {"code": "c", "message": 7, "param": None}}, ServiceError(code="c")),
        ({"error": {"code": 402}}, ServiceError(status=402)),
        (
            {"error": {"code": "c", "message": "m", "param": "p"}},
            ServiceError("c", None, "m", "p"),
        ),
    ],
)
def test_refusal_is_read_as_far_as_it_is_there(data, expected):
    """An error body of any shape is read without failing."""
    assert find_error(data) == expected


@given(data=some.data(), name=some.sampled_from(sorted(c.name for c in answers())))
def test_drift_is_an_error_or_ignored(data, name):
    """However an answer drifts, it is read or it is a known error, never a crash."""
    case = CASES[name]
    body = copy.deepcopy(case.response.get("body"))
    body = data.draw(drifted(body))
    answer = attrs.evolve(case.answer(), body=json.dumps(body).encode())
    try:
        told = read(case.read_as, answer)
    except PersonaKitError as error:
        told = error

    assert isinstance(told, Snapshot | Credits | PersonaKitError)
    assert has_result_if_completed(told, case.read_as)
    if isinstance(told, PersonaKitError) and case.read_as == "submit":
        assert is_proven(answer) or type(told) is OutcomeUnknown
        assert told.charged == ("unknown" if type(told) is OutcomeUnknown else "no")
        assert not told.retry_safe or told.charged == "no"


def has_result_if_completed(told: object, how: str) -> bool:
    """Tell whether a completed reading has what its kind of job makes."""
    if not isinstance(told, Snapshot) or told.state is not JobState.COMPLETED:
        return not isinstance(told, Snapshot) or told.result is None
    if how == "persona":
        return isinstance(told.result, Persona) and bool(told.result.id.strip())
    return bool(told.result) and all(
        isinstance(track, Track) and track.track_id.strip() and track.job_id
        for track in told.result
    )


REFUSING = {code for row in ERRORS for code in row.when if not row.paid}


def is_proven(answer: Response) -> bool:
    """Tell whether an answer to a paid request is a definite refusal."""
    told = json.loads(answer.body)
    error = told.get("error") if isinstance(told, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and code in REFUSING:
        return True
    status = code if type(code) is int and code else answer.status
    refusing = 400 <= status < 500 and status not in {408, 409}
    return refusing or status in {307, 308}


@given(
    status=some.integers(min_value=100, max_value=599),
    body=some.recursive(
        some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
        lambda inner: (
            some.lists(inner)
            | some.dictionaries(
                some.sampled_from(["id", "status", "error", "code", "message", "data"]),
                inner,
            )
        ),
    ),
)
@pytest.mark.parametrize("how", ["submit", "music", "persona", "credits"])
def test_any_json_is_an_error_or_a_value(how, status, body):
    """Whatever JSON comes under whatever status, only the two outcomes exist."""
    try:
        told = read(how, Response(status, {}, json.dumps(body).encode()))
    except PersonaKitError as error:
        told = error

    assert isinstance(told, Snapshot | Credits | PersonaKitError)
    assert status in range(200, 300) or isinstance(told, PersonaKitError)
    if how == "submit" and status not in range(300, 500):
        assert not isinstance(told, PersonaKitError) or told.charged in {
            "unknown",
            "no",
        }


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html><body>Hello</body></html>",
        b"NaN",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5_000,
        b"\xff",
        b'{"id": "a"',
    ],
    ids=["empty", "html", "nan", "deep", "deep objects", "long", "encoding", "cut"],
)
@pytest.mark.parametrize(
    ("how", "error"), [("submit", OutcomeUnknown), ("music", MalformedAnswer)]
)
def test_text_that_is_no_json(how, error, text):
    """Text that cannot be read proves nothing of a submit, and only delays a read."""
    with pytest.raises(error) as caught:
        read(how, Response(200, {}, text))

    assert caught.value.retry_safe is (error is MalformedAnswer)


def test_other_job_is_no_answer():
    """An answer about another job is not taken for this one's."""
    body = dict(CASES["read-persona-completed"].response["body"], id=MUSIC_JOB)
    with pytest.raises(MalformedAnswer, match="another task"):
        read("persona", Response(200, {}, json.dumps(body).encode()))

    assert PERSONA_JOB != MUSIC_JOB
