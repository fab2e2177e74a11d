"""Errors say what happened, to the money too, and survive any journey."""

from __future__ import annotations

import copy
import pickle

import attrs
import pytest

from personakit import errors
from personakit.errors import PersonaKitError, invalid
from personakit.receipt import Ability, Receipt

RECEIPT = Receipt("evolink", Ability.MUSIC, job_id="task-unified-1")
CLASSES = [
    thing
    for thing in vars(errors).values()
    if isinstance(thing, type) and issubclass(thing, PersonaKitError)
]
FULL = {
    "message": "It broke.",
    "charged": "unknown",
    "retry_safe": True,
    "receipt": RECEIPT,
    "provider": "evolink",
    "code": "some_code",
    "status": 503,
    "request_id": "r1",
    "retry_after": 7.0,
    "persona_id": "persona-1",
}


def fill(kind: type[PersonaKitError]) -> PersonaKitError:
    """Make an error with every field set."""
    rest = {
        field.name: f"{field.name} text"
        for field in attrs.fields(kind)
        if field.name not in FULL
    }
    return kind(**FULL, **rest)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "journey",
    [
        lambda error: pickle.loads(pickle.dumps(error)),
        copy.copy,
        copy.deepcopy,
        attrs.evolve,
    ],
    ids=["pickle", "copy", "deepcopy", "evolve"],
)
def test_errors_survive(kind, journey):
    """Every error comes out of a pickle or a copy with all of its fields."""
    error = fill(kind)
    again = journey(error)

    assert type(again) is kind
    assert again is not error
    assert attrs.asdict(again, recurse=False) == attrs.asdict(error, recurse=False)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_changed_errors_survive(kind):
    """A field that was set after the error was made travels too."""
    error = kind("It broke.")
    error.receipt = RECEIPT

    assert pickle.loads(pickle.dumps(error)).receipt == RECEIPT


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_one_sentence_is_enough(kind):
    """Every error can be made of its message alone."""
    assert str(kind("It broke.")).startswith("It broke. ")


@pytest.mark.parametrize(
    ("charged", "words"),
    [
        ("no", "Nothing was charged."),
        ("yes", "It was charged."),
        ("unknown", "It may have been charged: look before paying again."),
    ],
)
def test_text_tells_of_the_money(charged, words):
    """The text says what became of the credits."""
    assert str(PersonaKitError("It broke.", charged=charged)) == f"It broke. {words}"


def test_text_tells_where_to_look():
    """Service, status, code, request and receipt stand in the text."""
    text = str(fill(PersonaKitError))

    assert text == (
        "It broke. (provider evolink, status 503, code some_code, request r1) "
        "It may have been charged: look before paying again. Persona: persona-1. "
        f"Receipt: {RECEIPT.token}"
    )


@pytest.mark.parametrize(
    ("kind", "charged"),
    [
        (errors.OutcomeUnknown, "unknown"),
        (errors.WaitTimeout, "yes"),
        (errors.InvalidRequest, "no"),
        (errors.JobFailed, "no"),
    ],
)
def test_money_by_default(kind, charged):
    """An error that says nothing else tells the usual of its kind."""
    error = kind("It broke.")

    assert (error.charged, error.retry_safe) == (charged, False)


def test_tree_is_as_drawn():
    """The tree in the module's docstring is the real one."""
    drawn: dict[str, str] = {}
    parents = {0: "Exception"}
    for line in (errors.__doc__ or "").splitlines():
        stem = line.strip().lstrip("│ ├└─")
        name = stem.split(" ")[0]
        if name in vars(errors) and line.startswith("    "):
            depth = (len(line) - 4 - len(stem)) // 4
            drawn[name] = parents[depth]
            parents[depth + 1] = name

    assert drawn == {kind.__name__: kind.__mro__[1].__name__ for kind in CLASSES}


def test_unknown_outcome_is_no_weather():
    """No except clause meant for weather catches an unknown outcome."""
    assert not issubclass(errors.OutcomeUnknown, errors.ServiceUnavailable)


def test_refusal_names_field_rule_remedy_and_source():
    """A local refusal tells what is wrong, what to do, and who says so."""
    error = invalid("window", "must be longer", "Widen it", "Some page")

    assert error.message == "window must be longer. Widen it. [Some page]"
    assert (error.field, error.rule) == ("window", "must be longer")
    assert (error.remedy, error.source) == ("Widen it", "Some page")
    assert (error.charged, error.retry_safe) == ("no", False)

    own = invalid("a", "b", "C")
    assert (own.message, own.source) == ("a b. C.", "personakit")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_errors_are_themselves_only(kind):
    """Two errors of the same content stay two, as tracebacks and groups need it."""
    first, second = fill(kind), fill(kind)

    assert first != second
    assert len({first, second, first}) == 2


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_tells_of_money_and_receipt(kind):
    """The text of every class names the money and the receipt."""
    text = str(fill(kind))

    assert "It may have been charged: look before paying again." in text
    assert text.endswith(f"Receipt: {RECEIPT.token}")


ODD = "half \ud800, \x1b[2J, \0, \x9b"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "journey",
    [lambda error: error, copy.copy, attrs.evolve],
    ids=["new", "copy", "evolve"],
)
def test_texts_can_be_printed(kind, journey):
    """Whatever a service writes, an error can be printed, encoded and stored."""
    names = {"message", "code", "request_id", "persona_id", "provider"}
    names |= {field.name for field in attrs.fields(kind)} - FULL.keys()
    error = journey(kind(**dict.fromkeys(names, ODD)))

    assert r"half \ud800, \x1b[2J, \x00, \x9b" in str(error)
    for name in names:
        assert getattr(error, name) == r"half \ud800, \x1b[2J, \x00, \x9b"
    for arg in error.args:
        str(arg).encode()


def test_printable_texts_stay_as_they_are():
    """Other languages, emoji and line ends are not changed."""
    text = "心中的光 👩\u200d🎤\n\tline"

    assert PersonaKitError(text, code=text).message == text
