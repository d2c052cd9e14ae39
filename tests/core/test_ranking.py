"""Rankings of all items, from a data set's queries to the top-k metrics: against brute force, and through a run."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.metadata import EntryPoint
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import toys
from ctrbench import Context, Field, Predictions, Rankings, Schema, Skip, Splits, Table, UserError, ranking
from ctrbench.encoding import encode_splits
from ctrbench.executors import Finished
from ctrbench.executors.inline import InlineExecutor
from ctrbench.failures import failures
from ctrbench.jobs import (
    Compute,
    DataRef,
    Job,
    PluginCall,
    PoolJob,
    ScorePredictionsJob,
    TrainJob,
    ingredients,
    key,
    reads,
)
from ctrbench.limits import Limits
from ctrbench.perform import Workspace, perform
from ctrbench.ranking import check_queries, rank, with_ranking
from ctrbench.registry import load_registry
from ctrbench.scenarios import ORIGINAL, Scenario
from ctrbench.store.artefacts import Artefacts
from ctrbench.suite import Suite
from ctrbench_datasets.csv_log import CsvLog
from ctrbench_metrics.coverage import Coverage
from ctrbench_metrics.diversity import Diversity
from ctrbench_metrics.novelty import Novelty
from ctrbench_metrics.recall_at_k import RecallAtK
from hypothesis import given, settings
from hypothesis import strategies as st
from recording import Bench

SCHEMA = Schema(
    (
        Field("item", role="item", vocabulary=tuple("uvwxyz")),
        Field("user", role="user", vocabulary=tuple("abcd")),
        Field("price", "numeric", "item"),
        Field("hour", vocabulary=tuple("012")),
    )
)
row_in_train = st.tuples(*map(st.integers, [1, 1, 0, 1, 0], [6, 4, 1, 3, 1]))
row_of_query = st.tuples(*map(st.integers, [0, 0, 0, 0, 1], [6, 4, 1, 3, 1]))


def log(rows: list[tuple[int, ...]]) -> Table:
    frame = pd.DataFrame([row[:-1] for row in rows], columns=list(SCHEMA.names))
    dtypes = {"item": "int32", "user": "int32", "price": "float64", "hour": "int32"}
    return Table(frame.astype(dtypes), SCHEMA, np.array([row[-1] for row in rows], np.int8))


def probability(item: int, user: int, price: float, hour: int) -> float:
    """A model with many ties, for which user, item and context matter."""
    return ((3 * item + 5 * user * item + 2 * price + hour * item) % 7) / 7


def predict(rows: Table) -> np.ndarray:
    assert rows.labels is None
    assert len(rows) <= ranking.BLOCK_ROWS
    return np.array([probability(*row) for row in rows.rows.itertuples(index=False)])


@pytest.mark.parametrize("block", [1 << 16, 30, 5])
@given(st.lists(row_in_train, min_size=1, max_size=30), st.lists(row_of_query, min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_rankings_by_brute_force(block, train, queries) -> None:
    """An item is a pair of values here; blocks are larger than all pairs, than a query's items, or smaller."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "BLOCK_ROWS", block)
        patch.setattr(ranking, "TOP", 4)
        found = rank(predict, log(train), log(queries))
    items = list(dict.fromkeys((row[0], row[2]) for row in train + queries))
    in_train = {(row[0], row[2]) for row in train}
    assert found.clicks.tolist() == [sum((r[0], r[2]) == item and r[-1] for r in train) for item in items]
    for at, (own_item, user, own_price, hour, _) in enumerate(queries):
        own = own_item, own_price
        liked = {(r[0], r[2]) for r in train if r[1] == user and r[-1]}
        candidates = [i for i in items if i == own or (i in in_train and i not in liked)]
        scores = {i: probability(i[0], user, i[1], hour) for i in candidates}
        above = sum(score > scores[own] for score in scores.values())
        ties = sum(score == scores[own] for score in scores.values()) - 1
        assert found.ranks[at] == 1 + above + ties / 2
        assert found.candidates[at] == len(candidates)
        best = [items.index(i) for i in sorted(candidates, key=lambda i: -scores[i])][:4]
        assert found.top[at].tolist() == best + [-1] * (min(4, len(items)) - len(best))


def test_progress_counts_queries(monkeypatch) -> None:
    monkeypatch.setattr(ranking, "BLOCK_ROWS", 4)
    heard = []
    rows = log([(1, 1, 0, 1, 1), (2, 1, 0, 1, 0)])
    rank(predict, rows, log([(1, 1, 0, 1, 1)] * 5), lambda *done: heard.append(done))
    assert heard == [(2, 5), (4, 5), (5, 5)]


def toy_splits() -> Splits:
    return Splits(toys.log(200, 1), toys.log(80, 2), toys.log(100, 3))


def test_queries_are_clicks_of_test_chosen_by_the_seed() -> None:
    splits = toy_splits()
    first, again, other = (with_ranking(splits, 20, seed=seed, source="toy") for seed in (1, 1, 2))
    assert len(first.ranking) == 20
    assert first.ranking.targets.all()
    test = set(map(tuple, splits.test.rows[splits.test.targets == 1].to_numpy()))
    assert set(map(tuple, first.ranking.rows.to_numpy())) <= test
    assert first.ranking.digest() == again.ranking.digest() != other.ranking.digest()
    every = with_ranking(splits, 1000, seed=1, source="toy").ranking
    assert len(every) == splits.test.targets.sum()
    assert with_ranking(splits, 0, seed=1, source="toy") is splits


def test_a_log_without_users_or_items_cannot_have_queries() -> None:
    for role in ("user", "item"):
        fields = [replace(f, role="context") if f.role == role else f for f in toys.SCHEMA.fields]
        frames = [t.rows.assign(label=t.labels) for t in (toys.log(50, seed) for seed in range(3))]
        splits = encode_splits(*frames, label="label", fields=fields, source="toy")
        with pytest.raises(UserError, match=f"toy: ranking=5 needs a field that is the {role}"):
            with_ranking(splits, 5, seed=1, source="toy")


def test_any_log_can_be_asked_for_queries(tmp_path: Path) -> None:
    rows = toys.log(200, 1)
    rows.rows.assign(label=rows.labels).to_csv(tmp_path / "log.csv", index=False)
    told = {"path": str(tmp_path / "log.csv"), "ranking": 7}
    queries = CsvLog(user="user", item="item", **told).load(seed=1, context=Context()).ranking
    check_queries(queries, queries.schema)
    assert len(queries) == 7
    with pytest.raises(UserError, match=r"log.csv\): ranking=7 needs a field that is the item"):
        CsvLog(user="user", **told).load(seed=1, context=Context())


def test_queries_of_third_parties_are_looked_at() -> None:
    clicks = toys.log(50, 1)
    with pytest.raises(ValueError, match="clicked rows"):
        check_queries(clicks, clicks.schema)
    with pytest.raises(ValueError, match="schema of ranking"):
        check_queries(log([(1, 1, 0, 1, 1)]), clicks.schema)
    bare = Schema(tuple(replace(f, role="context") for f in toys.SCHEMA.fields))
    with pytest.raises(ValueError, match="roles user and item"):
        check_queries(Table(clicks.rows, bare, np.ones(50, np.int8)), bare)


def test_queries_change_no_pool_and_no_training_without_them() -> None:
    splits = toy_splits()
    asked = with_ranking(splits, 20, seed=1, source="toy")
    assert asked.fingerprint == splits.fingerprint
    call = PluginCall("toy", "toy", "toys", "Rate", {}, "source")
    without, with_queries = DataRef("fingerprint", {}), DataRef("fingerprint", {}, "queries")
    pools = [key(PoolJob(call, data, 1, Compute(), (0.5, 0.5))) for data in (without, with_queries)]
    assert pools[0] == pools[1]
    jobs = [TrainJob(call, data, None, ORIGINAL, 1, 2, Compute()) for data in (without, with_queries)]
    assert len({key(job) for job in jobs}) == 2
    assert [ingredients(job)["ranking"] for job in jobs] == ["", "queries"]
    assert jobs[0].identity()[-1] == vars(Compute())
    scores = [
        ScorePredictionsJob(call, data, "test", "valid", 0.5, rankings)
        for data, rankings in ((without, ""), (with_queries, "a"), (with_queries, "b"))
    ]
    assert len({key(job) for job in scores}) == 3
    assert scores[0].identity() == ["score", call.identity(), "fingerprint", "test", "valid", 0.5]


def test_weights_count_in_the_click_rate_that_metrics_are_told() -> None:
    assert ORIGINAL.seen_click_rate(0.2) == 0.2
    assert Scenario("weighted", class_weight="balanced").seen_click_rate(0.2) == 0.5


def test_arrays_of_two_dimensions_come_back_as_they_were(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    arrays = {"one": np.arange(3) / 7, "two": np.arange(12, dtype=np.int32).reshape(3, 4)}
    back = artefacts.get_arrays(artefacts.put_arrays(arrays))
    assert list(back) == ["one", "two"]
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert np.array_equal(back[name], array)


def seen(rankings: Rankings | None) -> Predictions:
    rows = toys.log(4, 1)
    return Predictions(rows, np.full(4, 0.5), rows, 0.5, rankings=rankings)


def rankings_of(tops: list[list[int]], clicks: list[int]) -> Rankings:
    return Rankings(np.ones(len(tops)), np.full(len(tops), len(clicks), np.int32), np.array(tops), np.array(clicks))


def test_recall_by_hand() -> None:
    ranks, candidates = np.array([1, 2.5, 3, 40]), np.array([10, 10, 40, 2], np.int32)
    score = RecallAtK(k=2).score(seen(Rankings(ranks, candidates, np.zeros((4, 3), np.int32), np.ones(40, int))))
    assert score.value == 0.25
    assert score.baseline == pytest.approx((0.2 + 0.2 + 0.05 + 1) / 4)
    assert score.details["queries"] == 4
    assert score.details["candidates"] == 15.5
    assert score.details["reciprocal_rank"] == pytest.approx((1 + 1 / 2.5 + 1 / 3 + 1 / 40) / 4)


def test_novelty_by_hand() -> None:
    """Shares of clicks are 4/8, 2/8, 1/8, 1/8 once every item is given one."""
    score = Novelty(k=2).score(seen(rankings_of([[0, 1, 2], [3, 0, 1], [2, -1, -1]], [3, 1, 0, 0])))
    assert score.value == pytest.approx((1 + 2 + 3 + 1 + 3) / 5)
    assert score.baseline == pytest.approx((1 + 2 + 3 + 3) / 4)


@given(st.integers(2, 6), st.integers(1, 5), st.data())
@settings(max_examples=60, deadline=None)
def test_coverage_and_diversity_by_brute_force(queries, k, data) -> None:
    tops = [data.draw(st.permutations(range(6))) for _ in range(queries)]
    given_ = seen(rankings_of(tops, [1] * 6))
    lists = [set(top[:k]) for top in tops]
    score = Coverage(k=k).score(given_)
    assert score.value == len(set.union(*lists)) / 6
    apart = [1 - len(a & b) / k for a, b in combinations(lists, 2)]
    assert Diversity(k=k).score(given_).value == pytest.approx(np.mean(apart))


def test_baselines_are_those_of_random_lists() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(300):
        given_ = seen(rankings_of([rng.permutation(30).tolist() for _ in range(8)], [1] * 30))
        found.append((Coverage(k=5).score(given_), Diversity(k=5).score(given_)))
    for scores in zip(*found, strict=True):
        assert scores[0].baseline == pytest.approx(np.mean([score.value for score in scores]), rel=0.02)


@pytest.mark.parametrize("metric", [RecallAtK(), Novelty(), Coverage(), Diversity()], ids=lambda metric: metric.name)
def test_without_queries_there_are_no_top_k_metrics(metric) -> None:
    with pytest.raises(Skip, match="ranking=1000"):
        metric.score(seen(None))


def test_lists_may_be_longer_than_the_catalogue() -> None:
    short = seen(rankings_of([[0, 1], [1, 0]], [1, 1]))
    assert (Coverage().score(short).value, Diversity().score(short).value) == (1, 0)
    with pytest.raises(Skip, match="two queries"):
        Diversity().score(seen(rankings_of([[0, 1]], [1, 1])))


BUILT_IN = {
    "simulated": "datasets", "logistic": "models", "auc": "metrics", "recall_at_k": "metrics", "novelty": "metrics",
    "calibration_ratio": "metrics", "ece": "metrics", "identical": "metrics", "membership_density": "metrics",
    "independent": "generators",
}  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    points = [EntryPoint(n, f"ctrbench_{kind}.{n}", "ctrbench") for n, kind in BUILT_IN.items()]
    return Bench(tmp_path, load_registry(points))


def suite(data: str) -> Suite:
    metrics = ("auc", "recall_at_k", "novelty", "calibration_ratio")
    return Suite("toys", "", (data,), (), ("logistic",), metrics, ("original", "class_weight"))


def test_a_run_with_queries_ranks_and_one_without_says_why_not(bench: Bench) -> None:
    sizes = "users=40, items=30, train_rows=600, valid_rows=200, test_rows=300"
    _, plain = bench.run(suite(f"simulated[{sizes}]"))
    _, asked = bench.run(suite(f"simulated[{sizes}, ranking=25]"))
    reason = plain.cells[0].failed_scores["recall_at_k"].reason
    assert "ranking=1000" in reason
    for cell in asked.cells:
        assert 0 <= cell.scores["recall_at_k"].value <= 1
        assert cell.scores["recall_at_k"].details["queries"] == 25
        assert math.log2(30) - 3 < cell.scores["novelty"].value < 10
    assert [c.scores["auc"].value for c in asked.cells] == [c.scores["auc"].value for c in plain.cells]
    rates = [cell.scores["calibration_ratio"].details["after_prior"] for cell in asked.cells]
    assert rates[1] < rates[0] == pytest.approx(asked.cells[0].scores["calibration_ratio"].value)
    again, _ = bench.run(suite(f"simulated[{sizes}, ranking=25]"))
    assert again.done == []


class Elsewhere(InlineExecutor):
    """Does each job in a folder that holds only what the job says it reads, as another machine would."""

    def submit(self, task: str, job: Job, limits: Limits) -> None:
        here, there = Artefacts(self._settings.artefacts), Artefacts(self._settings.artefacts / "there" / key(job))
        for digest in reads(job):
            with open(here.path(digest), "rb") as file:
                there.take_in(digest, file)
        result = perform(job, Workspace(there, self._settings.checkpoints))
        for digest in result.artefacts.values():
            with open(there.path(digest), "rb") as file:
                here.take_in(digest, file)
        self._events.append(Finished(task, result))


def test_every_job_says_all_that_it_reads(bench: Bench) -> None:
    log = "simulated[users=40, items=30, train_rows=600, valid_rows=200, test_rows=300, ranking=25]"
    metrics = ("auc", "ece", "recall_at_k", "novelty", "identical", "membership_density")
    asked = Suite("toys", "", (log,), ("independent",), ("logistic",), metrics, ("original", "S3"))
    _, results = replace(bench, executor=Elsewhere).run(asked)
    assert failures(results) == []
    assert [sorted(cell.scores) for cell in results.cells] == [["auc", "ece", "novelty", "recall_at_k"]] * 2
    assert set(results.pools[0].scores) == {"identical", "membership_density"}


@pytest.mark.parametrize("k", [3, 10, 20])
def test_lists_shorter_than_asked_for_are_compared_by_what_they_could_share(k: int) -> None:
    def diversity(*lists: list[int]) -> float:
        whole = [each + [-1] * (20 - len(each)) for each in lists]
        return Diversity(k=k).score(seen(rankings_of(whole, [1] * 20))).value

    eight = list(range(8))
    assert diversity(eight, eight, eight) == pytest.approx(0)
    assert diversity(eight, eight[:2]) == pytest.approx(0)
    assert diversity(eight[:4], eight[4:]) == 1
    with pytest.raises(Skip, match="two queries"):
        diversity(eight)
