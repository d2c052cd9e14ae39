"""Tables of the report: digits, parts, heads."""

from __future__ import annotations

import pytest
from ctrbench.report.tables import WIDTH, Grid, grids, shortened


@pytest.mark.parametrize(
    ("text", "least", "shown"),
    [
        ("0.98765", 0, "0.988"),
        ("0.98765", 4, "0.9877"),
        ("+0.00123 ▲", 0, "+0.00123 ▲"),
        ("−0.12345", 0, "−0.123"),
        ("1,234.5678", 0, "1,235"),
        ("0.98401 ±0.00050", 0, "0.98401 ±0.00050"),
        ("+0.01234 ±0.01051 △", 0, "+0.012 ±0.011 △"),
        ("0.1234 to 0.5678", 0, "0.123 to 0.568"),
        ("2.13.0", 0, "2.13.0"),
        ("12 of 345", 0, "12 of 345"),
        ("0.00000", 0, "0.00000"),
        ("−0.00003 ±0.00197", 0, "+0.0000 ±0.0020"),
    ],
)
def test_numbers_have_three_digits_and_as_many_places_as_their_errors(text: str, least: int, shown: str) -> None:
    assert shortened(text, least) == shown


def names(part: Grid) -> list[str]:
    return [name for head in part.heads for name, _ in head.columns]


def test_numbers_of_a_column_keep_what_tells_them_apart() -> None:
    [made] = grids(["model", "auc"], [["dnn", "0.98388"], ["lr", "0.98422"]])
    assert [row.cells[1].short for row in made.rows] == ["0.98388", "0.98422"]


def test_brackets_in_a_columns_name_are_never_taken_apart() -> None:
    columns = [
        "generator",
        "log[rows=600, ratios=(0.8, 0.2)]",
        "dnn[layers=2, rate=1], here",
        "dnn[layers=2, rate=1], there",
    ]
    parts = grids(columns, [["smoten", "+0.1", "+0.2", "+0.3"]])
    assert [(head.group, [name for name, _ in head.columns]) for part in parts for head in part.heads] == [
        ("", ["generator", "log[rows=600, ratios=(0.8, 0.2)]"]),
        ("dnn[layers=2, rate=1]", ["here", "there"]),
    ]


def test_a_dash_among_numbers_stands_below_them() -> None:
    [made] = grids(["generator", "auc", "in"], [["gan", "—", "—"], ["vae", "+0.1", "S3"]])
    assert [cell.look for cell in made.rows[0].cells] == ["", "n", ""]


def test_a_wide_table_is_broken_between_groups_and_each_part_names_its_rows() -> None:
    columns = ["generator", *(f"model_{m}, {what}" for m in range(4) for what in ("published", "here ± 95 %"))]
    rows = [["smoten", *["0.98401", "0.98401 ±0.00050"] * 4], ["copy", *["0.9", "0.98401 ±0.00050"] * 4]]
    made = grids(columns, rows, controls=["copy"])
    assert len(made) > 1
    assert [[head.group for head in part.heads] for part in made] == [
        ["", "model_0", "model_1"],
        ["", "model_2", "model_3"],
    ]
    assert all(names(part)[0] == "generator" for part in made)
    assert all(sum(len(cell.full) for cell in row.cells) <= WIDTH for part in made for row in part.rows)
    assert [row.control for row in made[0].rows] == [False, True]


def test_each_part_names_its_rows_though_a_name_takes_several_lines() -> None:
    columns = ["generator", "helps in", *(f"a log of the year {year}" for year in range(2001, 2008))]
    long = "bayes_net[smoothing=0.3, reject_copies=true]"
    rows = [[name, "0 of 7", *["+0.00050 ±0.00071"] * 7] for name in (long, "mst")]
    for ranked in (False, True):
        made = grids(["rank"] * ranked + columns, [["1"] * ranked + row for row in rows])
        assert len(made) > 1
        assert all([row.cells[ranked].full for row in part.rows] == [long, "mst"] for part in made)
        assert [name for part in made for name in names(part)[1 + ranked :]] == columns[1:]
