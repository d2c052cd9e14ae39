"""Which fields belong together: figures counted by hand, those known of Frappe, and what must not be found."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from ctrbench import Context, Dependencies, Field, Schema, Table, digests, find_dependencies
from ctrbench.cli import main
from ctrbench.dependencies import Pair
from ctrbench_datasets.frappe import Frappe
from ctrbench_datasets.simulated import Simulated


def log(roles: dict[str, str] | None = None, **columns: np.ndarray) -> Table:
    """A table of coded columns; numbers with a point are numeric fields."""
    roles = roles or {}
    fields = []
    for name, values in columns.items():
        if values.dtype == np.float64:
            fields.append(Field(name, "numeric"))
        else:
            vocabulary = tuple(map(str, range(int(values.max(initial=0)))))
            fields.append(Field(name, role=roles.get(name, "context"), vocabulary=vocabulary))
    frame = pd.DataFrame({name: v if v.dtype == np.float64 else v.astype(np.int32) for name, v in columns.items()})
    return Table(frame, Schema(tuple(fields)), (np.arange(len(frame)) % 3 == 0).astype(np.int8))


def pair(found: Dependencies, first: str, second: str) -> Pair:
    return next(pair for pair in found.pairs if (pair.first, pair.second) == (first, second))


def counted_by_hand(train: Table, first: str, second: str) -> tuple[float, float]:
    a, b = train.rows[first].tolist(), train.rows[second].tolist()
    seen, n = set(zip(a, b, strict=True)), len(a)
    missing = sum(
        a.count(x) / n * b.count(y) / n for x in dict.fromkeys(a) for y in dict.fromkeys(b) if (x, y) not in seen
    )
    half = np.random.default_rng(0).integers(0, 2, n)
    shares = []
    for mine in (0, 1):
        ours = [row for row, side in zip(zip(a, b, strict=True), half, strict=True) if side == mine]
        theirs = {row for row, side in zip(zip(a, b, strict=True), half, strict=True) if side != mine}
        shares.append(sum(row not in theirs for row in ours) / len(ours))
    return missing, max(shares)


@pytest.mark.parametrize("values", [(4, 6), (40, 60)], ids=["few values", "more combinations than rows"])
def test_the_figures_are_those_counted_by_hand(values):
    rng = np.random.default_rng(3)
    a, b = (1 + (size * rng.random(400) ** 6).astype(int) for size in values)
    b = np.where(a % 2, b, 1)
    found = pair(find_dependencies(log(a=a, b=b)), "a", "b")
    assert (found.missing, found.new) == pytest.approx(counted_by_hand(log(a=a, b=b), "a", "b"))
    assert found.combinations == len(set(zip(a, b, strict=True)))
    assert found.possible == len(set(a)) * len(set(b))
    assert found.missing > 0
    assert found.new > 0


def test_a_dependency_with_exceptions_is_found():
    """As in Frappe: one city code stands in every country, so the city does not determine the country."""
    rng = np.random.default_rng(1)
    city = rng.integers(1, 31, 4000)
    country = np.where(city == 30, rng.integers(1, 7, 4000), 1 + city % 6)
    found = find_dependencies(log(city=city, hour=rng.integers(1, 25, 4000), country=country))
    assert found.groups == (("city", "country"),)
    assert not pair(found, "city", "hour").passes


def test_combinations_that_are_missing_because_the_log_is_short_are_no_dependency():
    rng = np.random.default_rng(1)
    found = find_dependencies(log(a=rng.integers(1, 101, 2000), b=rng.integers(1, 101, 2000)))
    assert pair(found, "a", "b").missing > 0.7
    assert pair(found, "a", "b").new > 0.5
    assert found.groups == ()


def test_pairs_that_share_a_field_become_one_group_in_the_schemas_order():
    rng = np.random.default_rng(1)
    street, day = rng.integers(1, 41, 4000), rng.integers(1, 8, 4000)
    found = find_dependencies(
        log(country=1 + street % 4, weekend=1 + (day > 5), street=street, day=day, town=1 + street % 8)
    )
    assert found.groups == (("country", "street", "town"), ("weekend", "day"))


def test_the_user_and_the_item_are_left_out_but_not_what_describes_them():
    rng = np.random.default_rng(1)
    user, item = rng.integers(1, 51, 8000), rng.integers(1, 41, 8000)
    roles = {"user": "user", "town": "user", "land": "user", "kind": "item", "item": "item", "maker": "item"}
    train = log(
        roles, user=user, town=1 + user % 10, land=1 + user % 5, kind=1 + item % 8, item=item, maker=1 + item % 4
    )
    found = find_dependencies(train)
    assert pair(found, "user", "town").passes
    assert not pair(found, "user", "town").taken
    assert found.groups == (("town", "land"), ("kind", "maker"))


def test_a_code_that_train_lacks_counts_as_a_value():
    a = np.tile([0, 0, 1, 2], 100)
    assert pair(find_dependencies(log(a=a, b=a)), "a", "b").missing == pytest.approx(1 - (0.25 + 2 / 16))


@pytest.mark.parametrize(
    "columns",
    [
        {"a": np.ones(50, int)},
        {"a": np.ones(50, int), "b": np.arange(50) % 2 + 1},
        {"price": np.linspace(0, 1, 50), "b": np.arange(50) % 2 + 1},
        {"a": np.zeros(0, int), "b": np.zeros(0, int)},
    ],
    ids=["one field", "a field with one value", "a numeric field", "no rows"],
)
def test_tables_without_anything_to_find(columns):
    found = find_dependencies(log(**columns))
    assert found.groups == ()
    assert all(pair.missing == 0 for pair in found.pairs)


def test_numeric_fields_are_in_no_pair():
    rng = np.random.default_rng(1)
    found = find_dependencies(log(a=rng.integers(1, 5, 50), price=rng.random(50), b=rng.integers(1, 5, 50)))
    assert [(pair.first, pair.second) for pair in found.pairs] == [("a", "b")]


def test_the_same_rows_give_the_same_figures_and_nothing_else_changes():
    rng = np.random.default_rng(1)
    train = log(a=rng.integers(1, 50, 500), b=rng.integers(1, 50, 500))
    before, state = train.digest(), np.random.get_state()[1].tolist()
    assert find_dependencies(train) == find_dependencies(train)
    assert train.digest() == before
    assert np.random.get_state()[1].tolist() == state


def test_halves_do_not_follow_a_pattern_in_the_file():
    """A file in which each click is followed by another row: even and odd rows would know nothing of each other."""
    a = np.tile([1, 2], 1000)
    assert pair(find_dependencies(log(a=a, b=a)), "a", "b").new == 0


def test_the_simulated_log_gives_its_own_rules():
    train = Simulated().load(seed=1, context=Context()).train
    assert find_dependencies(train).groups == (("city", "country"), ("category", "brand"), ("weekday", "weekend"))


def test_frappe_gives_the_known_figures(frappe_folder):
    train = Frappe(path=str(frappe_folder)).load(seed=1, context=Context()).train
    found = find_dependencies(train)
    assert len(found.pairs) == len(list(combinations(train.schema.names, 2))) == 45
    assert found.groups == (("weekday", "isweekend"), ("country", "city"))
    for names, missing, new in [
        (("country", "city"), 0.567, 0.0001),
        (("weekday", "isweekend"), 0.377, 0),
        (("user", "item"), 0.793, 0.728),
        (("item", "city"), 0.321, 0.339),
    ]:
        figures = pair(found, *names)
        assert figures.missing == pytest.approx(missing, abs=0.002)
        assert figures.new == pytest.approx(new, abs=0.006)


def test_describe_shows_pairs_verdicts_and_groups():
    shown = CliRunner().invoke(main, ["data", "describe", "simulated"])
    assert shown.exit_code == 0
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "city, country 40 of 320 0.8" in "\n".join(lines)
    assert any(line.startswith("user, city ") and line.endswith("no: the user or the item") for line in lines)
    assert any(line.startswith("user, item ") and line.endswith("no: too many new") for line in lines)
    assert "constraints=auto: ((city, country), (category, brand), (weekday, weekend))" in lines
    train = Simulated().load(seed=digests.seed(1, "data", "simulated"), context=Context()).train
    repeats = train.rows.assign(label=train.targets).duplicated().sum()
    assert repeats
    assert f"{repeats:,} rows of train repeat an earlier row in all fields and the label" in lines
    assert any("one-hot, train is a table of 14,000 × " in line for line in lines)
    assert max(map(len, shown.stdout.splitlines())) <= 100


def test_rows_of_round_numbers_are_told_apart(tmp_path):
    rng = np.random.default_rng(1)
    for split, rows in {"train": 50_000, "valid": 1000, "test": 1000}.items():
        frame = pd.DataFrame({f"n{at}": rng.integers(1000, size=rows) for at in range(3)})
        frame.insert(0, "label", rng.integers(2, size=rows))
        frame.to_csv(tmp_path / f"{split}.csv", index=False)
    repeats = pd.read_csv(tmp_path / "train.csv").duplicated().sum()
    log = f"csv_log[path={tmp_path},label=label,numeric=(n0,n1,n2)]"
    described = CliRunner().invoke(main, ["data", "describe", log])
    assert described.exit_code == 0, described.output
    assert f"{repeats} rows of train repeat an earlier row" in described.stdout


def test_the_analysis_costs_nothing_until_it_is_asked_for():
    code = "import sys, ctrbench, ctrbench_generators._constraints, ctrbench.cli; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
