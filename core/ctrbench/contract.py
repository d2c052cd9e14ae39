"""What tables, pools, probabilities and scores must be: tasks and conformance checks hold every plug-in to it.

In: what a plug-in returned. Out: the same, in the harness's own types; `ContractError`, which says what is wrong, or
UserError where it is the log and not the plug-in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ctrbench.errors import UserError
from ctrbench.interfaces import Forecast, Missing, Proposal, Published, Ready, Score, Splits
from ctrbench.ranking import check_queries
from ctrbench.results import LARGEST
from ctrbench.table import MISSING, RARE, Field, FieldKind, Role, Schema, Stacked, Table
from ctrbench.text import LINE, PAGE, bounded, class_name, encodable, one_line, own
from ctrbench.vocabulary import Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ctrbench.results import Facts


MOST_FACTS, LONGEST_NAME = 1_000, 200
"""So many facts of a fit, details of a score or notes of a data set are kept, under names of so many letters."""


class ContractError(Exception):
    """What a plug-in returned is not what its interface promises."""


def expect(condition: object, complaint: str) -> None:
    """ContractError unless the condition holds."""
    if not condition:
        raise ContractError(complaint)


def expect_type(value: object, kind: type, method: str) -> None:
    """ContractError where a method returned something else than it should."""
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    expect(issubclass(type(value), kind), f"{method} returned {class_name(type(value))}, not {article} {kind.__name__}")


def check_version(told: object) -> str:
    """A text that can be stored."""
    expect_type(told, str, "version")
    assert isinstance(told, str)
    version = own(told)
    sound = encodable(version) == version and len(version) <= PAGE
    expect(sound, f"version returned {bounded(repr(version), LINE)}, which is no text that can be stored")
    return version


# Data sets


def check_splits(splits: object) -> Splits:
    """Three tables that can be trained on and compared, and what belongs to them, all of our own types."""
    expect_type(splits, Splits, "load")
    assert isinstance(splits, Splits)
    own_tables = {name: own_table(table, f"load's {name}") for name, table in tables(splits).items()}
    check_fields(own_tables["train"].schema)
    for name, table in own_tables.items():
        check_table(table, name, lowest=1 if name == "train" else 0)
        expect(table.schema == own_tables["train"].schema, f"the schema of {name} is not train's")
        expect(table.labels is not None, f"{name} has no labels")
        expect(table.weights is None, f"{name} has weights: they are a scenario's business")
    texts = isinstance(splits.notes, tuple | list) and all(isinstance(note, str) for note in splits.notes)
    expect(texts, f"notes must be a tuple of texts, not {_text(splits.notes)}")
    expect(isinstance(splits.apart, str), f"apart must be a word, not {_text(splits.apart)}")
    expect(isinstance(splits.true_probabilities, Mapping), "true_probabilities must map splits to arrays")
    found = Splits(
        **own_tables,
        ranking=None if splits.ranking is None else own_table(splits.ranking, "load's ranking"),
        true_probabilities=dict(splits.true_probabilities),
        notes=tuple(encodable(bounded(note, LINE)) for note in splits.notes[:MOST_FACTS]),
        apart=shown_name(splits.apart),
    )
    check_vocabularies(found.train)
    check_classes(found)
    check_ranking(found)
    return replace(found, true_probabilities=checked_truth(found))


def own_table(told: object, what: str) -> Table:
    """The same rows as a table of our own types: one of another's may say of itself whatever it likes."""
    expect_type(told, Table, what)
    assert isinstance(told, Table)
    if type(told) is Stacked and type(told.labels) is np.ndarray:  # the rows of which nobody has copied yet
        for part, _ in told.parts:
            own_table(part, what)
        return told
    import pandas as pd

    expect_type(told.rows, pd.DataFrame, f"{what}: its rows")
    types = {type(told.schema), *map(type, told.schema.fields)}
    types |= {type(field.vocabulary) for field in told.schema.fields}
    expect(types <= {Schema, Field, Vocabulary, type(None)}, f"{what}: its schema is not made of Schema and Field")
    beside = {"labels": told.labels, "weights": told.weights}
    arrays = (None if v is None else _whole_array(v, f"{what}: its {name}") for name, v in beside.items())
    return Table.unchecked(pd.DataFrame(told.rows), told.schema, *arrays)


def _whole_array(values: object, what: str) -> NDArray[Any]:
    """The values as a plain array, which knows no masks: none may lie behind one."""
    expect(not np.ma.is_masked(values), f"{what}: some values are masked")
    return np.asarray(values)


def check_fields(schema: Schema) -> None:
    """Names, each once, kinds and roles that there are, and where numbers are missing a field that says so."""
    names = [*schema.names, schema.label]
    odd = [name for name in names if not (isinstance(name, str) and encodable(name) == name)]
    expect(not odd, f"{_text(odd[0]) if odd else ''!r} is no name that can be stored")
    longest = max(map(len, names))
    expect(longest <= PAGE, f"a name of {longest:,} letters is too long")
    expect(schema.fields, "there is no field beside the label; a model needs at least one")
    twice = [name for name in names if names.count(name) > 1]
    expect(not twice, f"{twice[:1]} stands twice among the fields and the label")
    vocabularies = {field.name: field.vocabulary for field in schema.categorical}
    for field in schema.fields:
        expect(field.kind in get_args(FieldKind), f"the kind of {field.name!r} is {_text(field.kind)}")
        expect(field.role in get_args(Role), f"the role of {field.name!r} is {_text(field.role)}")
        if field.kind == "categorical":
            expect(field.vocabulary is not None, f"the categorical field {field.name!r} has no vocabulary")
        if field.missing_indicator is not None:
            known = MISSING in (vocabularies.get(field.missing_indicator) or ())
            expect(known, f"the missing_indicator of {field.name!r} is no categorical field that has {MISSING!r}")
        if field.imputed is not None:
            _number(field.imputed, f"the imputed number of {field.name!r}")


def tables(splits: Splits) -> dict[str, Table]:
    """The splits by name."""
    return {"train": splits.train, "valid": splits.valid, "test": splits.test}


def check_table(table: Table, what: str, *, lowest: int) -> None:
    """Columns as the schema says, finite numbers, codes from `lowest` to the end of the vocabulary, some rows."""
    try:
        table.check()
    except ValueError as error:
        raise ContractError(f"{what}: {error}") from None
    expect(len(table), f"{what} has no rows")
    for field in table.schema.categorical:
        codes = table.rows[field.name].to_numpy()
        inside = lowest <= codes.min() and codes.max() < field.vocab_size
        expect(inside, f"{what} holds codes of {field.name!r} outside {lowest} … {field.vocab_size - 1}")


def check_vocabularies(train: Table) -> None:
    """Each field's values rise, as numbers or as text, and none stands there twice."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for field in train.schema.categorical:
        strings = field.words.strings
        values = strings.filter(pc.invert(pc.is_in(strings, pa.array([MISSING, RARE], strings.type))))
        good = pc.count_distinct(strings).as_py() == len(strings) and _rises(values)
        expect(good, f"the vocabulary of {field.name!r} is not sorted or repeats itself")


def check_classes(splits: Splits) -> None:
    """Clicks and non-clicks in every split; UserError otherwise."""
    for name, table in tables(splits).items():
        if not 0 < table.click_rate < 1:
            raise UserError(f"{name} has {len(table)} rows of only one class: give it positives and negatives")


def checked_truth(splits: Splits) -> dict[str, NDArray[np.float64]]:
    """True probabilities that belong to a split each."""
    found = {}
    for name, probabilities in splits.true_probabilities.items():
        expect(name in tables(splits), f"true_probabilities names {name!r}, not train, valid or test")
        found[name] = check_probabilities(probabilities, len(tables(splits)[name]), f"true_probabilities of {name}")
    return found


def check_ranking(splits: Splits) -> None:
    """Queries that can be ranked, where there are some."""
    if splits.ranking is not None:
        check_table(splits.ranking, "ranking", lowest=0)
        try:
            check_queries(splits.ranking, splits.train.schema)
        except ValueError as error:
            raise ContractError(str(error)) from None


def _rises(values: Any) -> bool:
    import pyarrow.compute as pc

    if pc.all(pc.less_equal(values[:-1], values[1:])).as_py() is not False:
        return True
    with suppress(ValueError):
        numbers = np.array([float(value) for value in values.to_pylist()])
        return bool((numbers[:-1] <= numbers[1:]).all())
    return False


def check_availability(told: object) -> Ready | Missing:
    """That a data set is ready, or why it is not."""
    ready = isinstance(told, Ready) or (isinstance(told, Missing) and isinstance(told.reason, str))
    expect(ready, f"availability returned {_text(told)}, neither Ready() nor Missing(reason)")
    if not isinstance(told, Missing):
        return Ready()
    expect(own(told.reason).strip(), "availability returned Missing without a reason")
    return Missing(encodable(bounded(told.reason, LINE)), bool(told.download))


def check_proposal(told: object) -> Proposal | None:
    """How a data set would read a file, or nothing: parameters that a suite can hold, and texts."""
    if told is None:
        return None
    expect_type(told, Proposal, "propose")
    assert isinstance(told, Proposal)
    for parameters in (told.parameters, *told.fallbacks):
        odd = [name for name, value in parameters.items() if not (_is_word(name) and _fits_a_suite(value))]
        expect(not odd, f"propose returned the parameter {odd[:1]!r}, which no suite can hold")
    texts = [*told.notes, *told.reasons.values(), *(text for some in told.others.values() for text in some)]
    expect(all(isinstance(text, str) for text in texts), "propose returned reasons or notes that are no texts")
    return told


def _is_word(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier()


def _fits_a_suite(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_fits_a_suite, value))
    return isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def checked_tables(told: Iterable[object]) -> list[Published]:
    """The tables of figures of a data set, as far as anybody might read them."""
    return [check_published(table) for table in islice(told, MOST_FACTS)]


def check_published(told: object) -> Published:
    """A table of figures, and how they vary where that is known, each with three names."""
    expect_type(told, Published, "published")
    assert isinstance(told, Published)
    texts = {name: getattr(told, name) for name in ("title", "source", "metric", "statistic")}
    for name, text in texts.items():
        expect(isinstance(text, str), f"published: its {name} is {_text(text)}, not a text")
        texts[name] = encodable(bounded(text, LINE))
    return Published(**texts, figures=_figures(told.figures), deviations=_figures(told.deviations))


def _figures(told: Mapping[tuple[str, str, str], float]) -> dict[tuple[str, str, str], float]:
    found = {}
    for names, value in told.items():
        named = isinstance(names, tuple) and len(names) == 3 and all(isinstance(name, str) for name in names)
        expect(named, f"published: {names!r} is not (generator, scenario, model)")
        generator, scenario, model = map(shown_name, names)
        found[generator, scenario, model] = _number(value, f"published: the figure of {names!r}")
    return found


# Generators and models


def check_forecast(told: object) -> Forecast | None:
    """Finite numbers, none below 0, or nothing."""
    if told is None:
        return None
    expect_type(told, Forecast, "forecast")
    assert isinstance(told, Forecast)
    numbers = [_number(getattr(told, name), f"forecast's {name}") for name in ("operations", "memory")]
    expect(min(numbers) >= 0, f"forecast returned {told!r}")
    return Forecast(*numbers)


def check_pool(pool: object, train: Table, rows: int) -> Table:
    """So many new rows with labels, in train's schema, of values that train has."""
    expect_type(pool, Table, "sample")
    found = own_table(pool, "the pool")
    check_schema(found, train, "sample")
    expect(len(found) == rows, f"sample was asked for {rows} rows and returned {len(found)}")
    expect(found.weights is None, "sample returned rows with weights: they are a scenario's business")
    if rows:
        check_table(found, "the pool", lowest=1)
    return found


def check_schema(table: Table, train: Table, what: str) -> None:
    """Train's fields in train's order, and labels."""
    if table.schema != train.schema:
        wrong = sorted(set(table.schema.names) ^ set(train.schema.names)) or "their vocabularies, kinds or order"
        raise ContractError(f"{what} returned rows of another schema than train's; they differ in {wrong}")
    expect(table.labels is not None, f"{what} returned rows without labels")


def checked_facts(details: Mapping[str, float | str]) -> Facts:
    """What a plug-in says of its fit, as JSON can hold it: what is neither a number nor a text is written as one."""
    facts: dict[str, int | float | str] = {}
    for name, value in islice(details.items(), MOST_FACTS):
        facts[shown_name(name)] = _fact(value.item() if isinstance(value, np.generic) else value)
    return facts


def _fact(value: object) -> int | float | str:
    """One of them, in the very types that any process can read."""
    if isinstance(value, int) and abs(value) < 2**63:
        return value if isinstance(value, bool) else int(value)
    return float(value) if isinstance(value, float) and math.isfinite(value) else _text(value)


def shown_name(name: object) -> str:
    """A name of a plug-in's making, of bounded length, that can be stored."""
    return encodable(bounded(str(name), LONGEST_NAME))


def _text(value: object) -> str:
    try:
        return encodable(bounded(str(value), LINE))
    except Exception as error:  # a `__str__` of its author's, or an integer too long to be written
        return one_line(error)


# Models


def check_probabilities(values: object, rows: int, what: str = "predict") -> NDArray[np.float64]:
    """An array of floats in [0, 1], (rows,), copied: a predictor may write all its answers to the same memory."""
    expect(isinstance(values, np.ndarray), f"{what} returned {class_name(type(values))}, not an array")
    values = np.array(_whole_array(values, f"{what} returned an array"))
    expect(values.dtype.kind == "f", f"{what} returned an array of {values.dtype}, not of float64")
    expect(values.shape == (rows,), f"{what} returned the shape {values.shape}, not ({rows},)")
    odd = int((~np.isfinite(values)).sum())
    expect(not odd, f"{what} returned {odd} values that are not finite")
    if rows:
        lowest, highest = float(values.min()), float(values.max())
        expect(
            lowest >= 0 and highest <= 1,
            f"{what} returned values from {lowest:.9g} to {highest:.9g}, not probabilities",
        )
    return values.astype(np.float64, copy=False)


# Metrics


def check_score(score: object, rows: int | None = None) -> Score:
    """A score in plain numbers; `rows` is how many contributions it may have.

    The value must be finite; a baseline or a detail that is not, as 0/0, is not defined there and is left out.
    """
    expect_type(score, Score, "score")
    assert isinstance(score, Score)
    value = _number(score.value, "the score")
    baseline = None if _is_undefined(score.baseline) else _number(score.baseline, "the baseline")
    details = {
        shown_name(name): _number(number, f"the detail {shown_name(name)!r}")
        for name, number in islice(score.details.items(), MOST_FACTS)
        if number is None or not _is_undefined(number)
    }
    if "low" in details and "high" in details:
        low, high = details["low"], details["high"]
        expect(low <= high, f"the detail 'low' is {low:.9g}, above 'high', {high:.9g}: they are an interval's ends")
    flagged = None if score.flagged is None else bool(score.flagged)
    contributions = None
    if score.contributions is not None and rows is not None:
        contributions = _whole_array(score.contributions, "contributions").astype(np.float64, copy=False)
        good = contributions.shape == (rows,) and (np.abs(contributions) <= LARGEST).all()
        expect(good, f"contributions must be {rows} finite numbers, one a test row")
    return Score(value, baseline, details, flagged, contributions)


def _is_undefined(value: object) -> bool:
    return value is None or (isinstance(value, float | np.floating) and not math.isfinite(value))


def _number(value: object, what: str) -> float:
    real = isinstance(value, int | float | np.integer | np.floating)
    expect(real, f"{what} is {bounded(_text(value), 40)} ({class_name(type(value))}), not a number")
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    expect(math.isfinite(number) and abs(number) <= LARGEST, f"{what} is {number:g}, which no mean could hold")
    return number
