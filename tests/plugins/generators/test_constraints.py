"""Constraints: joined columns are split without loss, only train's combinations are made, mistakes are one line."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Sampler, Schema, Table, UserError, find_dependencies, params
from ctrbench_datasets.frappe import Frappe
from ctrbench_generators._constraints import join
from ctrbench_generators.gaussian_copula import GaussianCopula


def log(rows: int = 600, seed: int = 5) -> Table:
    """Cities lie in one country each but for the last; a weekend has two of the seven days."""
    rng = np.random.default_rng(seed)
    city, day = rng.integers(1, 13, rows), rng.integers(1, 8, rows)
    columns = {
        "user": rng.integers(1, 9, rows),
        "country": np.where(city == 12, rng.integers(1, 5, rows), 1 + city % 4),
        "price": np.round(rng.gamma(2, 3, rows), 2),
        "day": day,
        "city": city,
        "weekend": 1 + (day > 5),
    }
    sizes = {"user": 8, "country": 4, "day": 7, "city": 12, "weekend": 2}
    fields = tuple(
        Field(name, vocabulary=tuple(f"{name} {value}" for value in range(sizes[name])))
        if name in sizes
        else Field(name, "numeric")
        for name in columns
    )
    frame = pd.DataFrame({name: v.astype(np.int32) if name in sizes else v for name, v in columns.items()})
    return Table(frame, Schema(fields, "clicked"), (rng.random(rows) < 0.1 + 0.06 * city).astype(np.int8))


def unseen(pool: Table, train: Table, *columns: str) -> float:
    """Share of the pool's rows whose combination train lacks."""
    known = set(map(tuple, train.rows[list(columns)].to_numpy()))
    return float(np.mean([tuple(row) not in known for row in pool.rows[list(columns)].to_numpy()]))


class AnyCode(Sampler):
    """Every code of every field alike, as a method that has learned nothing."""

    def __init__(self, like: Table, below: int = 1) -> None:
        self.like, self.below = like, below

    def sample(self, rows: int, *, seed: int) -> Table:
        rng = np.random.default_rng(seed)
        columns = {
            field.name: rng.random(rows)
            if field.kind == "numeric"
            else rng.integers(self.below, field.vocab_size, rows).astype(np.int32)
            for field in self.like.schema.fields
        }
        return Table(pd.DataFrame(columns), self.like.schema, rng.integers(0, 2, rows).astype(np.int8))

    @property
    def details(self) -> Mapping[str, float | str]:
        return {"loss": 0.5}


def test_a_group_becomes_one_field_where_its_first_column_stood():
    train = log()
    table = join(train, (("city", "country"),), "ctgan").table
    assert table.schema.names == ("user", "country+city", "price", "day", "weekend")
    assert table.schema.label == "clicked"
    joined, combinations = table.rows["country+city"], train.rows[["country", "city"]].drop_duplicates()
    assert sorted(set(joined)) == list(range(1, len(combinations) + 1))
    vocabulary = table.schema.fields[1].vocabulary
    assert len(set(vocabulary)) == len(vocabulary) == len(combinations)
    np.testing.assert_array_equal(table.targets, train.targets)
    for name in ("user", "price", "day", "weekend"):
        np.testing.assert_array_equal(table.rows[name], train.rows[name])


@pytest.mark.parametrize(
    "groups",
    ["auto", None, ("city", "country"), (("user", "day", "city"),), (("weekend", "country"), ("user", "city"))],
    ids=str,
)
def test_what_was_joined_is_split_into_the_same_rows(groups):
    train = log()
    train = Table(train.rows, train.schema, train.labels, np.linspace(0, 1, len(train), dtype=np.float32))
    before = train.digest()
    joined = join(train, groups, "ctgan")
    assert joined.split(joined.table).digest() == train.digest() == before


def test_wide_groups_are_joined_as_narrow_ones_are():
    """More combinations than a table of them could hold; the unseen code 0 is a value as well."""
    rng = np.random.default_rng(0)
    columns = {f"f{place}": rng.integers(0, 50_000, 300).astype(np.int32) for place in range(5)} | {
        "other": np.ones(300, np.int32)
    }
    vocabulary = tuple(map(str, range(50_000)))
    schema = Schema(tuple(Field(name, vocabulary=vocabulary) for name in columns))
    train = Table(pd.DataFrame(columns), schema, np.zeros(300, np.int8))
    joined = join(train, (schema.names[:-1],), "ctgan")
    assert joined.table.schema.fields[0].vocab_size == 301
    assert joined.split(joined.table).digest() == train.digest()


def test_whatever_a_method_makes_has_combinations_of_train_only():
    train = log()
    joined = join(train, (("country", "city", "user"), ("day", "weekend")), "ctgan")
    pool = joined.sampler(AnyCode(joined.table)).sample(2000, seed=1)
    assert pool.schema == train.schema
    assert len(pool) == 2000
    assert unseen(pool, train, "country", "city", "user") == unseen(pool, train, "day", "weekend") == 0
    assert unseen(pool, train, "user", "day", "country") > 0
    assert unseen(AnyCode(train).sample(2000, seed=1), train, "country", "city") > 0.5


def test_details_name_the_groups_beside_the_methods_own():
    joined = join(log(), "auto", "ctgan")
    details = joined.sampler(AnyCode(joined.table)).details
    assert details == {"loss": 0.5, "constraints": "country+city, day+weekend"}


@pytest.mark.parametrize("seed", [1, 2])
def test_without_a_group_nothing_is_wrapped(seed):
    train = log(seed=seed)
    independent = Table(train.rows[["user", "day"]], Schema((train.schema.fields[0], train.schema.fields[3])))
    for table, constraints in [(train, None), (independent, "auto")]:
        joined = join(table, constraints, "ctgan")
        inner = AnyCode(table)
        assert joined.table is table
        assert joined.sampler(inner) is inner


def test_a_code_that_stands_for_no_combination_is_a_bug_and_said():
    joined = join(log(), ("country", "city"), "ctgan")
    with pytest.raises(ValueError, match=r"codes of 'country\+city' lie outside 1 … 15"):
        joined.sampler(AnyCode(joined.table, below=0)).sample(500, seed=1)


def test_a_column_that_already_bears_the_joined_name_stays_itself():
    train = log()
    frame = train.rows.rename(columns={"user": "country+city"})
    fields = (Field("country+city", vocabulary=train.schema.fields[0].vocabulary), *train.schema.fields[1:])
    clash = Table(frame, Schema(fields, "clicked"), train.labels)
    joined = join(clash, ("country", "city"), "ctgan")
    assert joined.table.schema.names[:2] == ("country+city", "(country+city)")
    assert joined.split(joined.table).digest() == clash.digest()


@pytest.mark.parametrize(
    ("constraints", "complaint"),
    [
        ((("country", "citty"),), "ctgan: constraints=(country, citty): no column 'citty'; did you mean 'city'?"),
        (("country", "xyz"), "no column 'xyz'; there are user, country, price, day, city, weekend"),
        ((("country",),), "a group needs two columns or more, not (country)"),
        ((("city", "city"),), "a group needs two columns or more, not (city, city)"),
        ((("city", "country", "city"),), "names 'city' twice"),
        ((("country", "city"), ("city", "day")), "names 'city' twice; write columns that belong together as one group"),
        (("country", "price"), "'price' is numeric, and only categorical columns combine; leave it out"),
        (("country", "clicked"), "'clicked' is the label, which every field may go with; leave it out"),
        ((), "names no column; write constraints=none, or a group such as (country, city)"),
        (((),), "names no column"),
        (((), ("country", "city")), "a group needs two columns or more, not ()"),
    ],
    ids=str,
)
def test_groups_that_cannot_be_are_refused_in_one_line(constraints, complaint):
    with pytest.raises(UserError) as error:
        join(log(), constraints, "ctgan")
    assert complaint in str(error.value)
    assert str(error.value).startswith("ctgan: constraints=(")
    assert "\n" not in str(error.value)


def test_a_group_of_all_columns_leaves_nothing_to_learn():
    train = log()
    names = ("user", "country")
    small = Table(train.rows[list(names)], Schema(train.schema.fields[:2], "clicked"), train.labels)
    with pytest.raises(UserError, match=r"constraints=\(user, country\) leaves nothing to learn"):
        join(small, names, "ctgan")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("auto", "auto"),
        ("none", None),
        ("(country, city)", ("country", "city")),
        ("((country, city),)", (("country", "city"),)),
        ("((country, city), (day, weekend))", (("country", "city"), ("day", "weekend"))),
    ],
)
def test_constraints_are_written_on_the_command_line_as_the_help_says(text, value):
    given = params.parse(f"gaussian_copula[constraints={text}]").values
    copula = params.build(GaussianCopula, "gaussian_copula", given)
    assert copula == GaussianCopula(constraints=value)
    again = params.parse(params.label(copula, given)).values
    assert params.build(GaussianCopula, "gaussian_copula", again) == copula
    (parameter,) = [one for one in params.parameters(GaussianCopula) if one.name == "constraints"]
    assert "none, (country, city), ((a, b), (c, d)), or auto" in parameter.help


def test_a_word_that_is_no_constraint_is_refused():
    with pytest.raises(UserError, match=r"constraints=automatic should be auto \| "):
        params.build(GaussianCopula, "gaussian_copula", {"constraints": "automatic"})


def test_the_gaussian_copula_makes_only_cities_of_the_country():
    train = log()
    free = GaussianCopula(constraints=None).fit(train, seed=1, context=Context())
    bound = GaussianCopula().fit(train, seed=1, context=Context())
    assert unseen(free.sample(600, seed=2), train, "country", "city") > 0.3
    pool = bound.sample(600, seed=2)
    assert unseen(pool, train, "country", "city") == unseen(pool, train, "day", "weekend") == 0
    assert pool.schema == train.schema
    assert bound.details == {"constraints": "country+city, day+weekend"}
    assert free.details == {}
    for name in ("user", "country", "city", "day"):
        marginals = (table.rows[name].value_counts(normalize=True) for table in (pool, train))
        assert pd.concat(marginals, axis=1).fillna(0).diff(axis=1).iloc[:, 1].abs().max() < 0.08
    assert pool.digest() == GaussianCopula().fit(train, seed=1, context=Context()).sample(600, seed=2).digest()


@pytest.mark.parametrize("rows", [15_000, pytest.param(None, marks=pytest.mark.slow)])
def test_more_than_half_of_frappes_rows_would_have_an_unseen_pair(frappe_folder, rows):
    train = Frappe(path=str(frappe_folder)).load(seed=1, context=Context()).train
    if rows:
        train = train.take(np.random.default_rng(0).permutation(len(train))[:rows])
    shares = {}
    for constraints in ("auto", None):
        sampler = GaussianCopula(constraints=constraints).fit(train, seed=1, context=Context())
        shares[constraints] = unseen(sampler.sample(len(train), seed=2), train, "country", "city")
    assert shares["auto"] == 0
    assert shares[None] == pytest.approx(0.57, abs=0.02)


def test_auto_leaves_a_group_of_all_columns_alone():
    rng = np.random.default_rng(1)
    city = rng.integers(1, 21, 2000).astype(np.int32)
    rows = pd.DataFrame({"city": city, "country": (city + 3) // 4})
    fields = (Field("city", vocabulary=tuple(map(str, range(20)))), Field("country", vocabulary=tuple("abcde")))
    train = Table(rows, Schema(fields), rng.integers(0, 2, 2000, np.int8))
    assert find_dependencies(train).groups == (("city", "country"),)
    assert join(train, "auto", "ctgan").joints == ()
