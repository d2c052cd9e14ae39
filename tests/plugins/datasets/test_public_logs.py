"""The public logs by name: their fields, splits, notes and published figures.

MovieLens 100K and the Open Bandit sample are read where they are; all others cannot be fetched here and are tested on
small files of the form that their publishers describe, written by the tests.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ctrbench import Context, Missing, Ready, Splits, UserError
from ctrbench.interfaces import Dataset
from ctrbench.params import locations, parse
from ctrbench.registry import load_registry
from ctrbench_datasets import kuairand, movielens, open_bandit, reczoo
from ctrbench_datasets.kuairand import KuaiRand
from ctrbench_datasets.movielens import MovieLens
from ctrbench_datasets.open_bandit import OpenBandit
from places import SHARED
from test_fetch import Web

DATA = SHARED / "data"


def real(folder: str) -> str:
    if not (DATA / folder).is_dir():
        pytest.skip(f"the real log is not at {DATA / folder}")
    return str(DATA / folder)


def load(dataset: Dataset, seed: int = 1) -> Splits:
    return dataset.load(seed=seed, context=Context())


def sizes(splits: Splits) -> list[tuple[int, int]]:
    return [(len(table), int(table.targets.sum())) for table in (splits.train, splits.valid, splits.test)]


def roles(splits: Splits) -> dict[str, list[str]]:
    fields = splits.train.schema.fields
    return {role: [f.name for f in fields if f.role == role] for role in ("user", "item", "context")}


# MovieLens


def test_movielens_100k_is_the_log_that_is_published():
    splits = load(MovieLens(path=real("ml-100k")))
    assert [rows for rows, _ in sizes(splits)] == [80_000, 10_000, 10_000]
    assert sum(clicks for _, clicks in sizes(splits)) == 55_375, "ratings of four and five stars"
    assert roles(splits) == {
        "user": ["user", "age", "gender", "occupation", "region"],
        "item": ["film", "year", "genres"],
        "context": ["hour", "weekday"],
    }
    vocabularies = {field.name: field.vocabulary for field in splits.train.schema.fields}
    assert [len(vocabularies[name]) for name in ("user", "gender", "occupation", "hour")] == [943, 2, 21, 24]
    assert vocabularies["age"] == ("18", "25", "35", "45", "50", "56", "under 18")
    assert "no redistribution" in splits.notes[0]
    assert not [note for note in splits.notes if "md5" in note]


def test_movielens_by_time_keeps_the_newest_ratings_for_test():
    splits = load(MovieLens(path=real("ml-100k"), split="time"))
    assert np.mean(splits.test.rows["user"] == 0) > 0.8
    assert any("most users of valid and test are not in train" in note for note in splits.notes)
    assert (splits.apart, load(MovieLens(path=real("ml-100k"))).apart) == ("time", "")
    assert splits.fingerprint == load(MovieLens(path=real("ml-100k"), split="time"), seed=2).fingerprint


def test_the_least_rating_of_a_click_may_be_another():
    clicks = [clicks for _, clicks in sizes(load(MovieLens(path=real("ml-100k"), click=5)))]
    assert sum(clicks) == 21_201


RATINGS = [
    (user, film, 1 + (user * film) % 5, 10**9 + 3601 * (user * 7 + film))
    for user in range(1, 9)
    for film in range(1, 31)
]


def written_1m(folder: Path) -> dict[str, str]:
    files = {
        "ratings.dat": "".join(f"{u}::{f}::{r}::{t}\n" for u, f, r, t in RATINGS),
        "users.dat": "".join(f"{u}::{'FM'[u % 2]}::{(1, 18, 56)[u % 3]}::{u % 4}::{u}0{u}\n" for u in range(1, 9)),
        "movies.dat": "".join(f"{f}::Café: {f} (19{50 + f})::{('Drama', 'War|Drama')[f % 2]}\n" for f in range(1, 31)),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="latin-1")
    return files


def test_movielens_1m_reads_two_colons_and_latin_1(tmp_path):
    written_1m(tmp_path)
    splits = load(MovieLens(size="1m", path=str(tmp_path)))
    assert sum(rows for rows, _ in sizes(splits)) == len(RATINGS)
    vocabularies = {field.name: field.vocabulary for field in splits.train.schema.fields}
    assert vocabularies["age"] == ("18", "56", "under 18")
    assert vocabularies["region"] == tuple("12345678")
    assert vocabularies["genres"] == ("Drama", "War|Drama")
    assert vocabularies["year"][0] == "1951"


def test_movielens_latest_has_no_fields_of_users_but_the_identifier(tmp_path):
    (tmp_path / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n" + "".join(f"{u},{f},{r - 0.5},{t}\n" for u, f, r, t in RATINGS)
    )
    (tmp_path / "movies.csv").write_text(
        "movieId,title,genres\n"
        + "".join(f'{f},"Film, The {f} (19{50 + f})",{("Drama", "War")[f % 2]}\n' for f in range(1, 31))
    )
    splits = load(MovieLens(size="latest-small", path=str(tmp_path), click=3.5))
    assert roles(splits)["user"] == ["user"]
    assert sum(clicks for _, clicks in sizes(splits)) == sum(r - 0.5 >= 3.5 for _, _, r, _ in RATINGS)


SPOILED = {
    "users.dat": ("1::F::1::1::101\n1::M::18::2::202\n", "user 1 is there twice"),
    "ratings.dat": ("1::1::5::yesterday\n1::2::3::1000000000\n", "timestamp=yesterday in row 1 is no number"),
    "movies.dat": ("", "the file is empty"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_file_that_is_not_the_published_one_is_named(tmp_path, name):
    written_1m(tmp_path)
    text, complaint = SPOILED[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        load(MovieLens(size="1m", path=str(tmp_path)))
    assert str(tmp_path / name) in str(caught.value)
    assert complaint in str(caught.value)


@pytest.fixture
def web(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CTRBENCH_DATA", raising=False)
    web = Web()
    yield web
    web.server.shutdown()
    web.server.server_close()


def test_a_log_is_downloaded_once_when_it_is_named(web, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in written_1m(tmp_path).items():
            archive.writestr(f"ml-1m/{name}", text.encode("latin-1"))
    web.pages["/ml-1m.zip"] = buffer.getvalue()
    sums = {"ml-1m.zip": hashlib.md5(buffer.getvalue()).hexdigest()}
    origin = replace(movielens.ORIGINS["1m"], hosts=((f"{web.address}/ml-1m.zip",),), archives=sums)
    monkeypatch.setitem(movielens.ORIGINS, "1m", origin)
    data = MovieLens(size="1m")
    missing = data.availability()
    assert isinstance(missing, Missing)
    assert missing.download
    assert "not on this machine (5.9 MB): named with -d it is downloaded" in missing.reason
    assert data.version() == sums["ml-1m.zip"]
    first = load(data)
    assert data.availability() == Ready()
    assert load(data).fingerprint == first.fingerprint
    assert len(web.asked) == 1
    assert isinstance(MovieLens(size="100k").availability(), Missing)


# Open Bandit


def test_the_open_bandit_sample_is_trained_on_one_policy_and_tested_on_random_exposure():
    splits = load(OpenBandit(path=real("open_bandit")))
    assert sizes(splits) == [(7262, 34), (2738, 8), (10_000, 38)]
    assert roles(splits)["item"] == ["item_id", *open_bandit.ITEM_FIELDS]
    items = splits.train.rows[["item_id", *open_bandit.ITEM_FIELDS]]
    assert items.drop_duplicates()["item_id"].is_unique
    assert (splits.test.rows[list(open_bandit.ITEM_FIELDS)] > 0).all().all(), "both logs share one table of items"
    shares = np.bincount(splits.test.rows["item_id"])[1:] / len(splits.test)
    assert shares.max() < 0.02, "every item is shown alike"
    assert not [note for note in splits.notes if "md5" in note]
    assert "CC BY 4.0" in splits.notes[0]


@pytest.mark.parametrize("policy", ["bts", "random"])
def test_one_policy_alone_is_split_by_whole_days(policy):
    splits = load(OpenBandit(path=real("open_bandit"), train=policy, test=policy))
    assert sum(rows for rows, _ in sizes(splits)) == 10_000
    assert all(clicks >= 3 for _, clicks in sizes(splits))


def written_open_bandit(folder: Path, campaign: str = "") -> None:
    affinities = [f"user-item_affinity_{n}" for n in range(3)]
    columns = ["timestamp", "item_id", "position", "click", "propensity_score", *open_bandit.USER_FIELDS, *affinities]
    for policy in ("bts", "random"):
        place = folder / policy / campaign
        place.mkdir(parents=True)
        rows = [["", *columns]]
        for n in range(140):
            when = f"2019-11-{24 + n // 20} {n % 24:02}:00:00.5+00:00"
            users = [f"u{n % (2 + k)}" for k in range(4)]
            rows.append([n, when, n % 3, 1 + n % 2, int(n % 5 == 0), 0.5, *users, 10, 20, 30])
        with open(place / "all.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
        (place / "item_context.csv").write_text(
            ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n"
            + "".join(f"{n},{n},0.{n},{policy}{n},b{n % 2},c{n}\n" for n in range(3))
        )


@pytest.mark.parametrize("campaign", ["", "all"])
def test_days_are_cut_whole_and_the_affinity_is_that_to_the_item_shown(tmp_path, campaign):
    written_open_bandit(tmp_path, campaign)
    splits = load(OpenBandit(path=str(tmp_path), train="random", test="bts"))
    assert [rows for rows, _ in sizes(splits)] == [100, 40, 140]
    assert splits.apart == "exposure", "metrics of synthetic rows have no verdict"
    assert [rows for rows, _ in sizes(load(OpenBandit(path=str(tmp_path), train="bts", test="bts")))] == [80, 20, 40]
    fields = {field.name: field for field in splits.train.schema.fields}
    assert fields["affinity"].vocabulary == ("10", "20", "30")
    assert splits.train.rows["affinity"].equals(splits.train.rows["item_id"])
    assert fields["item_feature_1"].vocabulary == ("random0", "random1", "random2")


def test_the_open_bandit_sample_is_downloaded_file_by_file_into_its_folders(web, tmp_path, monkeypatch):
    written_open_bandit(tmp_path / "host", "all")
    origin, sums = open_bandit.ORIGINS["all/"], {}
    for name in origin.files:
        body = (tmp_path / "host" / name).read_bytes()
        web.pages[f"/obd/{name}"], sums[name] = body, hashlib.md5(body).hexdigest()
    addresses = tuple(address.replace(open_bandit._RAW, f"{web.address}/obd") for address in origin.hosts[0])
    monkeypatch.setitem(open_bandit.ORIGINS, "all/", replace(origin, files=sums, hosts=(addresses,)))
    assert sizes(load(OpenBandit())) == sizes(load(OpenBandit(path=str(tmp_path / "host"))))
    assert len(web.asked) == 4


# KuaiRand


def written_kuairand(folder: Path, *, days=(8, 9, 20, 21)) -> None:
    def write(name, header, rows):
        with open(folder / name, "w", newline="") as file:
            csv.writer(file).writerows([header, *rows])

    log = ["user_id", "video_id", "date", "hourmin", "time_ms", "is_click", "is_like", "tab"]

    def impressions(dates):
        return [
            [n % 9, n % 11, date, 100 * (n % 24) + 30, 1, n % 3 // 2, 0, n % 4]
            for date in dates
            for n in range(50)
        ]  # fmt: skip

    write(kuairand.STANDARD, log, impressions([f"202204{day:02}" for day in days]))
    write(kuairand.RANDOM, log, impressions(["20220422", "20220508"]))
    write(kuairand.USERS, ["user_id", *kuairand.USER_FIELDS, "follow_user_num"], [
        [n, *(f"{name[-3:]}{n % 3}" for name in kuairand.USER_FIELDS), n] for n in range(9)
    ])  # fmt: skip
    write(kuairand.VIDEOS, ["video_id", *kuairand.VIDEO_FIELDS, "video_duration"], [
        [n, n % 4, "NORMAL", "Short", "public", n % 5, "", "12,7" if n % 2 else "9", n * 1000] for n in range(11)
    ])  # fmt: skip


def test_kuairand_is_tested_on_the_log_of_random_exposure(tmp_path):
    written_kuairand(tmp_path)
    splits = load(KuaiRand(path=str(tmp_path)))
    assert [rows for rows, _ in sizes(splits)] == [100, 100, 100]
    vocabularies = {field.name: field.vocabulary for field in splits.train.schema.fields}
    assert vocabularies["tag"] == ("12,7", "9")
    assert len(vocabularies["hour"]) == 24
    assert len(vocabularies["video_duration"]) == 11, "a bin for each of so few"
    assert splits.train.schema.fields[0].name == "user_id"
    assert any("video_type" in note and "left out" in note for note in splits.notes), "one value only"
    assert "CC BY-SA 4.0" in splits.notes[0]


def test_kuairand_without_days_enough_says_so(tmp_path):
    written_kuairand(tmp_path, days=(8, 9))
    with pytest.raises(UserError, match="covers 2 days; it takes 3 to split it"):
        load(KuaiRand(path=str(tmp_path)))


# RecZoo's


ENTRIES = [(made, split) for made in reczoo.DATASETS for split in made.splits]
IDS = [f"{made.name}-{split}" for made, split in ENTRIES]


def made_up(chosen: reczoo.PublishedSplit, folder: Path, rows: int = 240) -> list[str]:
    """The files of a split with the columns that its recipe names, and their names."""
    recipe = chosen.recipe
    named = [*recipe.user, *recipe.item, *recipe.numeric, *recipe.drop, *recipe.sequence, recipe.time]
    columns = list(dict.fromkeys(filter(None, [recipe.label, *(chosen.columns or [*named, "context_1", "context_2"])])))
    for place, name in enumerate(chosen.origin.files):
        with open(folder / name, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for n in range(rows if place == 0 else rows // 4):
                writer.writerow([value_of(column, recipe, n + 3 * place) for column in columns])
    return columns


def value_of(column: str, recipe: reczoo.Recipe, n: int) -> str:
    if column == recipe.label:
        return str(n % 3 // 2)
    if column == recipe.time:
        return f"14102{n % 7}{n % 24:02}"
    if column in recipe.sequence:
        return "^".join(str(k) for k in range(n % 4))
    if column in recipe.numeric:
        return "" if n % 10 == 0 else f"{n % 50}.5"
    return f"{column}{n % (2 + len(column) % 5)}"


@pytest.mark.parametrize(("made", "split"), ENTRIES, ids=IDS)
def test_a_log_of_the_table_is_read_by_its_entry(made, split, tmp_path):
    chosen = made.splits[split]
    columns = made_up(chosen, tmp_path)
    parameters = {"split": split} if len(made.splits) > 1 else {}
    data = made(path=str(tmp_path), **parameters)
    splits = load(data)
    names = set(splits.train.schema.names)
    recipe = chosen.recipe
    assert splits.train.schema.label == recipe.label
    left_out = {recipe.label, recipe.time, *recipe.drop, *recipe.sequence} - set(recipe.derive)
    assert {name.removesuffix(" (missing)") for name in names} == set(columns) - left_out | set(recipe.derive)
    assert [f.name for f in splits.train.schema.with_role("user") if "(missing)" not in f.name] == list(recipe.user)
    notes = "\n".join(splits.notes)
    assert splits.notes[0] == chosen.origin.licence
    assert all(f"{name} has the md5 sum" in notes for name in chosen.origin.files)
    assert all(f"column {name!r} holds several values a row" in notes for name in recipe.sequence)
    assert chosen.note in splits.notes
    assert splits.apart == chosen.apart
    whole = len(splits.train) + len(splits.valid) == 240 if len(chosen.origin.files) == 2 else len(splits.train) == 240
    assert whole
    assert ("valid is" in notes) == (len(chosen.origin.files) == 2)
    assert data.version() != replace(data, path="").version()


@pytest.mark.parametrize(("made", "split"), ENTRIES, ids=IDS)
def test_published_figures_say_what_they_are(made, split):
    for table in made.splits[split].published:
        assert table.metric == "auc"
        assert all(0.5 < value < 1 for value in table.figures.values())
        assert all(generator == "" and scenario == "original" for generator, scenario, _ in table.figures)
        assert set(table.deviations) == (set(table.figures) if "five runs" in table.title else set())
        assert "mean of five runs" in table.statistic or "one run" in table.statistic


def test_rows_of_a_large_log_may_be_drawn_by_chance(tmp_path):
    made = next(made for made in reczoo.DATASETS if made.name == "criteo")
    made_up(made.splits["x1"], tmp_path)
    splits = load(made(path=str(tmp_path), rows=120))
    assert [len(table) for table in (splits.train, splits.valid, splits.test)] == [120, 30, 30]
    assert any("rows=120: 50.00% of the rows of each file" in note for note in splits.notes)
    assert load(made(path=str(tmp_path), rows=120), seed=2).fingerprint != splits.fingerprint


def test_criteo_x4_puts_numbers_into_buckets_and_folds_what_is_rare(tmp_path):
    made = next(made for made in reczoo.DATASETS if made.name == "criteo")
    made_up(made.splits["x4"], tmp_path)
    splits = load(made(path=str(tmp_path), split="x4"))
    assert not splits.train.schema.numeric
    few = load(made(path=str(tmp_path), split="x4", min_count=1000))
    assert {field.vocabulary for field in few.train.schema.fields if field.name == "context_1"} <= {("(rare)",)}


def test_every_public_log_is_registered_under_its_name_and_downloaded_only_when_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CTRBENCH_DATA", raising=False)
    registry = load_registry()
    for name in (
        "frappe", "movielens", "open_bandit", "kuairand", "criteo", "avazu", "movielens_tag", "kkbox",
        "amazon_electronics", "taobao_ad", "kuaivideo", "microvideo", "ipinyou", "mind_small",
    ):  # fmt: skip
        log = registry.get("dataset", parse(name).name).plugin()
        assert locations(log) == ("path",), "where it lies is no part of what it is"
        state = log.availability()
        assert isinstance(state, Missing)
        assert state.download
        assert "CTRBENCH_DATA" in state.reason
