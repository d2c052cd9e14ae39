"""Nothing is lost, doubled or changed by any fault: real runs, really disturbed at random moments.

`make test` injects a dozen faults, `make test-faults` two hundred (`--faults N`, `--fault-seed SEED`).
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from fault_chain import Broken, Chain, Way, Whole, small_disk, undisturbed
from fault_kinds import KINDS, QUICK, Kind, flip_bit
from ray_cluster import cluster
from tabulate import tabulate

LOCAL = Way("two workers, SQLite")
"""A way to run the same command. Each takes its turn, and all must show the same leaderboards as this one."""

WIDE = 20  # faults from which on a Ray cluster takes part
LONG = 100  # faults from which on kinds that need torch take part
COLUMNS = ("lost", "doubled", "unequal", "orphan", "told badly", "unfinished")


@dataclass
class Tally:
    """What was injected so far, and what broke."""

    wanted: dict[str, int]
    injected: Counter[str] = field(default_factory=Counter)
    broken: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    details: list[str] = field(default_factory=list)

    def left(self, kinds: Sequence[Kind]) -> list[Kind]:
        """The kinds of which more are wanted."""
        return [kind for kind in kinds if self.injected[kind.name] < self.wanted.get(kind.name, 0)]

    def table(self, lacking: dict[str, str]) -> str:
        """How many of each kind, and how often a promise did not hold."""
        rows = [[k, self.injected[k], *(self.broken[k][c] for c in COLUMNS)] for k in self.wanted]
        rows.append(["all", self.injected.total(), *(sum(b[c] for b in self.broken.values()) for c in COLUMNS)])
        said = [f"{name}: not injected: {why}" for name, why in lacking.items()]
        return "\n".join([tabulate(rows, ["fault", "injected", *COLUMNS]), *said])


@pytest.fixture
def ways(pytestconfig: pytest.Config) -> Iterator[list[Way]]:
    """The ways to run the command."""
    if pytestconfig.getoption("--faults") < WIDE:
        yield [LOCAL]
        return
    with cluster(0, 1, 1) as made:
        words = ("--executor", "ray", "--ray-address", made.address)
        kill, alive = made.exchange, made.ours
        ray = Way("Ray, SQLite", words, kill_node=kill, elsewhere=alive, environment=made.environment)
        yield [LOCAL, ray]


@pytest.mark.slow  # `make test-faults`, and `make test-slow` with a dozen
def test_after_any_fault_the_same_command_ends_with_the_same_leaderboards(
    tmp_path: Path, pytestconfig: pytest.Config, ways: list[Way]
) -> None:
    number, seed = pytestconfig.getoption("--faults"), pytestconfig.getoption("--fault-seed")
    rng = Random(seed)
    able = [(way, [kind for kind in KINDS if not kind.lacking(way)]) for way in ways]
    possible = [kind for kind in KINDS if any(kind in kinds for _, kinds in able)]
    lacking = {kind.name: kind.lacking(LOCAL) for kind in KINDS if kind not in possible}
    if number < LONG:
        lacking |= {kind.name: f"only from {LONG} faults on" for kind in possible if kind.words != QUICK}
    tally = Tally(apportion([kind for kind in possible if kind.name not in lacking], number))
    print(f"\n{number} faults, --fault-seed {seed}", flush=True)
    wholes: dict[tuple[str, ...], Whole] = {}
    for turn in range(20 * number):
        way, kinds = able[turn % len(able)]
        if not tally.left(possible):
            break
        if not (left := tally.left(kinds)):
            continue
        words = draw(left, tally, rng).words
        alike = [kind for kind in kinds if kind.words == words]
        if words not in wholes:
            wholes[words] = undisturbed(tmp_path / f"whole{len(wholes)}", LOCAL, **settings(alike[0]))
        whole = wholes[words]
        with small_disk(Chain(tmp_path / f"chain{turn}", way, **settings(alike[0]), tasks=len(whole.tasks))) as chain:
            disturb(chain, alike, tally, whole, rng)
    print(tally.table(lacking), flush=True)
    assert not tally.details, "\n\n".join(tally.details)
    assert not tally.left(possible), "faults that never hit"
    assert tally.injected.total() >= number


def disturb(chain: Chain, kinds: Sequence[Kind], tally: Tally, whole: Whole, rng: Random) -> None:
    """A few faults on one store, then the same command until it ends, then all that must hold."""
    kind = kinds[0]
    try:
        for _ in range(rng.randint(2, 6)):
            left = [k for k in tally.left(kinds) if (chain.artefacts() if k.at_rest else not chain.complete)]
            if not left:
                break
            kind = draw(left, tally, rng)
            missing = 1 - chain.number() / len(whole.tasks)
            hits = kind.inject(chain, rng, whole.seconds * (0.4 + 0.6 * missing))  # what is stored is not done again
            tally.injected[kind.name] += hits
            print(f"[{tally.injected.total()}] {kind.name} × {hits}", flush=True)
            if chain.complete:
                chain.compare(whole)
        chain.settle()
        chain.compare(whole)
    except Exception as error:  # of the suite itself too: the other faults are still to come
        tally.broken[kind.name][error.what if isinstance(error, Broken) else "unfinished"] += 1
        told = str(error) if isinstance(error, Broken) else traceback.format_exc()
        tally.details.append(f"{chain.way.name}, {kind.name}: {told}")
        print(f"BROKEN {tally.details[-1]}", flush=True)


def settings(kind: Kind) -> dict[str, object]:
    """How a chain runs the command of a kind."""
    path = os.pathsep.join(filter(None, [os.fspath(kind.plugin or ""), os.environ.get("PYTHONPATH", "")]))
    return {"words": kind.words, "environment": {"PYTHONPATH": path}}


def draw(kinds: Sequence[Kind], tally: Tally, rng: Random) -> Kind:
    """A kind by chance, the likelier the more of it are wanted."""
    return rng.choices(kinds, [tally.wanted[kind.name] - tally.injected[kind.name] for kind in kinds])[0]


def apportion(kinds: Sequence[Kind], number: int) -> dict[str, int]:
    """So many faults shared out, at least one of each kind."""
    shares = sum(kind.share for kind in kinds)
    wanted = {kind.name: max(1, kind.share * number // shares) for kind in kinds}
    wanted[kinds[0].name] += max(0, number - sum(wanted.values()))
    return wanted


@pytest.mark.slow
def test_the_suite_itself_notices_what_it_looks_for(tmp_path: Path) -> None:
    changes = {
        "lost": "delete from tasks where kind = 'score'",
        "doubled": "update tasks set finished = finished + 1",
        "unequal": "update tasks set \"values\" = '{}' where kind = 'score'",
    }
    with small_disk(Chain(tmp_path / "chain", LOCAL)) as chain:
        chain.start().end(0)
        whole, database = chain.whole(), sqlite3.connect(chain.disk / "results.db")
        before = sqlite3.connect(":memory:")
        database.backup(before)
        for what, change in changes.items():
            chain.compare(whole)
            with database:
                database.execute(change)
            with pytest.raises(Broken) as caught:
                chain.compare(whole)
            assert caught.value.what == what
            before.backup(database)
        flip_bit(chain.artefacts()[0], Random(1))
        with pytest.raises(Broken, match=r"unequal: artefact"):
            chain.compare(whole)
        sleeper = subprocess.Popen(["sleep", "60"], env={**os.environ, "CTRBENCH_FAULTS": chain.mark})
        assert [process.pid for process in chain.family()] == [sleeper.pid]
        sleeper.kill()
        sleeper.wait()
