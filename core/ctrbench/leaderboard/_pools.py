"""What metrics say of synthetic rows: how far they tell of the real ones, and how like them they are."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ctrbench.effects import Arm
from ctrbench.interfaces import Aspect, Score
from ctrbench.leaderboard._board import Board, Entry, Record
from ctrbench.leaderboard._part import Part
from ctrbench.results import PoolResult, TaskResult, most_flagged, without_verdict
from ctrbench.text import rounded

FLAG, NO_VERDICT = "!", "?"


def privacy(part: Part) -> list[Board]:
    """Each metric of privacy, beside what real rows of the holdout would give."""
    return _summary(part, "privacy")


def fidelity(part: Part) -> list[Board]:
    """Each metric of fidelity, and how much of the real data's use the pool alone has."""
    return _summary(part, "fidelity")


def details(part: Part) -> list[Board]:
    """Everything that each metric of synthetic rows says, a table a metric (`identical` is the paper's Table 1)."""
    made = []
    for metric, told in part.results.info.synthetic_metrics.items():
        scores = [p.scores[metric] for pools in part.pools.values() for p in pools if metric in p.scores]
        names = list(dict.fromkeys(name for score in scores for name in score.details))
        columns = ["generator", "click rate", f"{metric} ({told.unit})", "expected of real rows", *names]
        board = part.board("details", metric, columns)
        for generator, pools in part.pools.items():
            causes, found = _causes(pools, metric), [p.scores.get(metric) for p in pools]
            row = [Entry(generator), _click_rate(board, pools, causes)]
            row.append(board.mean([s.value if s else None for s in found], causes))
            if any(s is not None and s.baseline is None for s in found):
                row.append(Entry(""))
            else:
                row.append(board.mean([s.baseline if s else None for s in found], causes))
            row += [board.mean([s.details.get(d) if s else None for s in found], causes) for d in names]
            board.rows.append(row)
            board.records += [_record(p, metric) for p in pools]
        if board.rows:
            made.append(board.finish(*part.shared_pools()))
    return made


def _summary(part: Part, aspect: Aspect) -> list[Board]:
    told = part.results.info.synthetic_metrics
    metrics = [name for name in told if told[name].aspect == aspect]
    alone = [name for name in part.effects.pool_scenarios if name not in part.effects.kept_scenarios]
    alone = alone[:1] if aspect == "fidelity" and part.metric else []
    if not part.pools or not (metrics or alone):
        return []
    promised = any(_promise(pools) for pools in part.pools.values())
    columns = ["generator", *["ε (δ)"] * promised, "click rate"]
    columns += [f"{name} ({told[name].unit})" for name in metrics]
    columns += [f"{scenario} / original {part.metric}" for scenario in alone]
    board = part.board(aspect, f"{aspect} of synthetic rows, in brackets what real rows would give", columns)
    for generator, pools in part.pools.items():
        row = [Entry(generator), *[Entry(_promise(pools) or "none")] * promised]
        row.append(_click_rate(board, pools, _causes(pools, "")))
        for metric in metrics:
            row.append(_judged(board, pools, metric))
            board.records += [_record(p, metric) for p in pools]
        board.rows.append(row + [_realism(part, board, generator, scenario) for scenario in alone])
    verdict = (
        f"{FLAG} the metric's own verdict: worse than real rows by more than chance, in more than half of the repeats"
    )
    every = [[p.scores.get(m) for p in pools] for pools in part.pools.values() for m in metrics]
    named = [[score for score in scores if score] for scores in every if None not in scores]  # others are footnotes
    notes = [verdict] if any(map(most_flagged, named)) else []
    if promised:
        notes.append("ε and δ are a promise against whoever does not know the noise, and for one pool")
    if any(map(without_verdict, named)):
        notes.append(f"{NO_VERDICT} no verdict: the metric cannot give one here, which is not a pass")
    if aspect == "privacy":
        notes.append(
            "a pool that no metric flags is not thereby private: `ctrbench show NAME` says what each can and cannot see"
        )
    return [board.finish(*part.shared_pools(), *notes)]


def _promise(pools: Sequence[PoolResult]) -> str:
    """What a generator says it proves; "" where it proves nothing."""
    promised = dict.fromkeys(pool.promise for pool in pools)
    return ", ".join(f"{pair[0]:g} ({pair[1]:.0e})" for pair in promised if pair)


def _judged(board: Board, pools: Sequence[PoolResult], metric: str) -> Entry:
    """A metric's mean over repeats, the real rows', and a flag."""
    found = [p.scores[metric] for p in pools if metric in p.scores]
    if len(found) < len(pools):
        return board.missing(_causes(pools, metric))
    value = statistics.fmean(score.value for score in found)
    baselines = [score.baseline for score in found if score.baseline is not None]
    beside = f" ({rounded(statistics.fmean(baselines), 4)})" if len(baselines) == len(found) else ""
    flag = f" {FLAG}" if most_flagged(found) else f" {NO_VERDICT}" if without_verdict(found) else ""
    return Entry(f"{f'{round(value):,}' if _whole(found) else rounded(value, 4)}{beside}{flag}")


def _whole(scores: Sequence[Score]) -> bool:
    """Whether a metric counts."""
    return all(float(score.value).is_integer() for score in scores) and any(score.value > 1 for score in scores)


def _realism(part: Part, board: Board, generator: str, scenario: str) -> Entry:
    """The score of models trained on the pool alone, over that of models trained on real rows (Noble et al.)."""
    models = part.effects.compared
    arms = [Arm(generator, scenario, model) for model in models]
    found = [part.effects.scores(arm) for arm in arms]
    if not all(part.effects.whole(arm) for arm in arms) or not arms:
        return board.missing(part.effects.causes(arms))
    mine = [score for scores in found for score in scores if score is not None]
    real = [s for model in models for s in part.effects.scores(Arm("", "original", model)) if s is not None]
    return Entry(f"{statistics.fmean(mine) / statistics.fmean(real):.4f}" if any(real) else "—")


def _click_rate(board: Board, pools: Sequence[PoolResult], causes: Sequence[TaskResult]) -> Entry:
    return board.mean([p.click_rate for p in pools], causes, ".3f")


def _causes(pools: Sequence[PoolResult], metric: str) -> list[TaskResult]:
    return [p.cause(metric) for p in pools]


def _record(pool: PoolResult, metric: str) -> Record:
    score = pool.scores.get(metric)
    epsilon, delta = pool.promise or (None, None)
    record: Record = {
        "dataset": pool.dataset,
        "generator": pool.generator,
        "repeat": pool.repeat,
        "metric": metric,
        "value": score.value if score else None,
        "baseline": score.baseline if score else None,
        "flagged": score.flagged if score else None,
        "status": str(pool.cause(metric).status),
        "dp_epsilon": epsilon,
        "dp_delta": delta,
    }
    return {**record, **(score.details if score else {}), **record}  # what a plug-in calls "value" is not the value
