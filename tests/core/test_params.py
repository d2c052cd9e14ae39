from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import pytest
from annotated_types import Ge, Gt
from ctrbench import Budgeted, UserError, params
from ctrbench.interfaces import Plugin
from ctrbench.registry import Registered
from ctrbench_generators.from_file import FromFile
from hypothesis import example, given
from hypothesis import strategies as st


@dataclass(frozen=True)
class Thing(Plugin):
    """A thing."""

    name: ClassVar[str] = "thing"
    epochs: Annotated[int, "passes", Ge(1), Budgeted()] = 300
    rate: Annotated[float, "step", Ge(0)] = 0.1
    dims: Annotated[tuple[int, ...], "widths"] = (256, 256)
    how: Annotated[Literal["auto", "none"] | int, "way"] = "auto"
    path: Annotated[str, "a place"] = ""
    limit: Annotated[int | None, "most"] = None
    fast: Annotated[bool, "hurry"] = False
    mark: Annotated[float | str, "a number or a word"] = ""
    level: Annotated[Literal[1, 2], "one of two"] = 1
    share: Annotated[float | Literal["auto"], "a range that no text has", Gt(0)] = "auto"
    edges: Annotated[tuple[float | None, ...], "bounds"] = ()


@dataclass(frozen=True)
class Loose(Plugin):
    """Things of which no budget can be told."""

    name: ClassVar[str] = "loose"
    epochs: Annotated[int | None, "passes", Budgeted()] = None
    words: Annotated[str, "a word", Budgeted()] = "w"
    more: Annotated[str, "a word", Budgeted()] = "x"
    huge: Annotated[int, "many", Budgeted()] = 10**400
    some: Annotated[float, "some", Budgeted()] = 2.0


def test_an_effort_that_is_no_number_is_one() -> None:
    assert params.effort(Loose()) == 1.0
    assert params.effort(Loose(huge=3)) == 6.0


class Own(int):
    """A number that nobody else can make."""


def test_the_values_of_parameters_are_of_pythons_own_types() -> None:
    assert type(params.values(Thing(epochs=Own(3)))["epochs"]) is int


THING = Registered("generator", "thing", Thing, "ctrbench-thing", "0.3")


def built(text: str) -> Plugin:
    return params.build(Thing, str(THING), params.parse(text).values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("thing", Thing()),
        ("thing[]", Thing()),
        (" thing [ epochs = 5 , rate=1e-3 ] ", Thing(epochs=5, rate=1e-3)),
        ("thing[dims=(64, 32)]", Thing(dims=(64, 32))),
        ("thing[dims=()]", Thing(dims=())),
        ("thing[dims=(64,)]", Thing(dims=(64,))),
        ("thing[path=../data/Frappe_x1]", Thing(path="../data/Frappe_x1")),
        ('thing[path="a, b] (c)"]', Thing(path="a, b] (c)")),
        (r"thing[path='it\'s \\ here']", Thing(path=r"it's \ here")),
        ("thing[limit=none, fast=true]", Thing(fast=True)),
        ("thing[limit=7]", Thing(limit=7)),
        ("thing[how=12]", Thing(how=12)),
        ("thing[mark=12]", Thing(mark=12.0)),
        ("thing[mark=-.5e3]", Thing(mark=-500.0)),
        ('thing[mark="12"]', Thing(mark="12")),
        ("thing[mark=007]", Thing(mark="007")),
        ("thing[mark=1_000]", Thing(mark="1_000")),
        ("thing[mark=nan]", Thing(mark="nan")),
        ("thing[level=2]", Thing(level=2)),
        ("thing[share=auto]", Thing()),
        ("thing[share=.5]", Thing(share=0.5)),
        ("thing[edges=(1, none, 2.5)]", Thing(edges=(1.0, None, 2.5))),
    ],
)
def test_a_spec_becomes_the_plug_in_it_describes(text: str, expected: Thing) -> None:
    assert built(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("thing[epochs=0]", "thing (ctrbench-thing 0.3): epochs=0 should be greater than or equal to 1"),
        ("thing[epochs=many]", "epochs=many should be a valid integer"),
        ("thing[rate=nan]", "rate=nan should be a finite number"),
        ("thing[epoch=5]", "no parameter 'epoch'; did you mean 'epochs'?"),
        ("thing[dims=(1, x)]", "dims[1]=x should be a valid integer"),
        ("thing[how=best]", "how"),
        ("thing[level=3]", "level=3 should be 1 or 2"),
        ("thing[share=much]", "share=much should be float | auto"),
        ("thing[share=0]", "share=0 should be greater than 0"),
        ("thing[epochs]", "expected key=value"),
        ("thing[epochs=]", "expected a value"),
        ("thing[epochs=5", "expected , or ]"),
        ("thing[epochs=5]]", "expected , or ]"),
        ("thing[dims=(1, 2]", "expected , or )"),
        ("thing[path='x]", "the quote ' is not closed"),
        ("thing[path=“x”]", "“ is no quote here, but was pasted from a page"),
        ("thing[epochs=5, epochs=6]", "epochs is given twice"),
        ("thing(5)", "expected [ after the name"),
        ("", "does not begin with a name"),
    ],
)
def test_a_bad_spec_is_one_line_that_names_the_value(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        built(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_later_layer_wins() -> None:
    assert params.build(Thing, str(THING), {"epochs": 10, "dims": [8, 4]}, {"epochs": "20"}) == Thing(
        epochs=20, dims=(8, 4)
    )


def test_the_budget_scales_only_what_is_marked_and_rounds_up() -> None:
    assert params.scaled(Thing(), 0.01) == Thing(epochs=3)
    assert params.scaled(Thing(epochs=1), 0.01) == Thing(epochs=1)


def test_a_message_about_a_value_is_one_line() -> None:
    with pytest.raises(UserError, match=r"path=\(0, a uto\) should be a valid string$"):
        params.build(Thing, str(THING), {"path": (0, "a\nuto")})


@given(st.text(max_size=20), st.lists(st.integers(), max_size=3), st.text(max_size=9) | st.floats(0, 1e9))
@example("»", [], "12")
@example("7", [], 12.0)
def test_a_label_reads_back_as_the_same_plug_in(path: str, dims: list[int], mark: float | str) -> None:
    thing = Thing(path=path, dims=tuple(dims), mark=mark)
    assert built(params.label(thing, ["path", "dims", "mark"])) == thing
    assert params.rebuilt(thing, "thing") == thing
    assert type(built(params.label(thing, ["mark"])).mark) is type(mark)


def test_a_label_names_a_file_that_lies_elsewhere_by_its_name() -> None:
    rows = FromFile(path="/data/made/rows.csv")
    assert params.label(rows, ["path"], whole=False) == "from_file[path=rows.csv]"
    assert params.label(rows, ["path"]) == "from_file[path=/data/made/rows.csv]"


def complaint(text: str) -> str:
    """What is said of a spec; empty where it is read."""
    try:
        params.parse(text)
    except UserError as error:
        return str(error)
    return ""


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    assert "\n" not in complaint(text)


def test_help_tells_type_default_range_and_budget() -> None:
    first = params.parameters(Thing)[0]
    assert (first.name, first.type, first.default, first.limits, first.help, first.budgeted) == (
        "epochs", "int", 300, "≥ 1", "passes", True,
    )  # fmt: skip


def test_a_budget_is_rounded_up_only_where_something_is_left_over():
    assert params.scaled(Thing(epochs=100), 0.07).epochs == 7
    assert params.scaled(Thing(epochs=100), 0.071).epochs == 8


def test_an_alias_stands_before_a_plug_in_and_is_no_part_of_it() -> None:
    spec = params.parse('dcn=thing[epochs=5, path="a=b"]')
    assert (spec.alias, spec.name, spec.values) == ("dcn", "thing", {"epochs": "5", "path": "a=b"})
    assert params.parse("thing[epochs=5]").alias == ""


@pytest.mark.parametrize("text", ["=thing", "a==thing", "a=", "1=thing"])
def test_an_alias_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        params.parse(text)
