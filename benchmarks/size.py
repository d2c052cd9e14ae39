"""What a log of real size costs: a Criteo-shaped log is generated, and each piece of work runs in its own process.

In: rows. Out: a line for each piece of work: CPU and wall seconds, peak memory of its own (private) and in all, both
also as multiples of the coded size (4 bytes per field and row), in which a mapped file does not count as its own.

    python benchmarks/size.py --rows 1e6
    python benchmarks/size.py --rows 5e6 --only load --only auc --folder /tmp/size
    python benchmarks/size.py --rows 3.3e7 --only run
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ctrbench import resources
from tabulate import tabulate

VALUES = (1_460, 583, 3_000_000, 350_000, 305, 24, 12_517, 633, 3, 93_145, 5_683, 1_500_000, 3_194, 27, 14_992, 546_000,
          10, 5_652, 2_173, 4, 704_000, 18, 15, 286_000, 105, 142_000)  # fmt: skip
"""Distinct values of the categorical fields, much as Criteo's."""

MISSING = (0.45, 0.0, 0.22, 0.22, 0.03, 0.22, 0.04, 0.0, 0.04, 0.45, 0.04, 0.76, 0.22)
"""The missing shares of the 13 numbers, as Criteo's."""

SPLITS = {"train": 0.8, "valid": 0.1, "test": 0.1}
CHUNK = 1_000_000
MODEL = "dnn[epochs=1]"


@click.command()
@click.option("--rows", default=1e6, show_default=True, help="in all three splits")
@click.option("--only", multiple=True, help="what to measure; by default everything")
@click.option("--folder", type=click.Path(path_type=Path), help="keep the log and what was made of it there")
@click.option("--words", is_flag=True, help="values of the id as long as URLs' hashes, not 8 characters")
@click.option("--work", hidden=True)
def main(rows: float, only: tuple[str, ...], folder: Path | None, words: bool, work: str | None) -> None:
    """Measure, and print a Markdown table."""
    if work:
        assert folder is not None
        return _do(work, folder)
    with tempfile.TemporaryDirectory() if folder is None else nullcontext(folder) as place:
        home = Path(place)
        size = int(rows)
        if not (home / "log" / "test.parquet").exists():
            _make(home / "log", size, 32 if words else 8)
        coded = 4 * size * (len(VALUES) + len(MISSING))
        table = []
        for name in only or WORK:
            told = _measured(name, home)
            table.append([name, *(f"{told[key]:,.1f}" for key in ("cpu", "wall")),
                          *(f"{told[key] / 1e9:.2f}" for key in ("own", "peak")),
                          *(f"{told[key] / coded:.1f}" for key in ("own", "peak")), told["said"]])  # fmt: skip
            click.echo(f"{name}: {told}", err=True)
        header = ["work", "CPU s", "wall s", "own GB", "in all GB", "own / coded", "in all / coded", "stages, s"]
        click.echo(f"{size:,} rows × {len(VALUES) + len(MISSING)}, coded {coded / 2**20:,.0f} MiB\n")
        click.echo(tabulate(table, header, "pipe"))
    return None


def _make(folder: Path, rows: int, letters: int) -> None:
    """Three Parquet files; a click is likelier for low numbers and frequent values."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    names = [_words(at, size, letters if size == max(VALUES) else 8) for at, size in enumerate(VALUES)]
    for split, share in SPLITS.items():
        writer = None
        left = round(rows * share)
        while left:
            chunk = min(left, CHUNK)
            left -= chunk
            columns = _rows(chunk, names, rng)
            writer = writer or pq.ParquetWriter(folder / f"{split}.parquet", columns.schema)
            writer.write_table(columns)
        assert writer is not None
        writer.close()


def _words(at: int, size: int, letters: int) -> pa.Array:
    numbers = (np.arange(size, dtype=np.uint64) + np.uint64(at << 32)) * np.uint64(0x9E3779B97F4A7C15)
    return pa.array([f"{number:016x}"[:8].ljust(letters, "0") + (f"{n:x}" if letters > 8 else "")
                     for n, number in enumerate(numbers.tolist())])  # fmt: skip


def _rows(rows: int, names: list[pa.Array], rng: np.random.Generator) -> pa.Table:
    columns: dict[str, Any] = {}
    score = np.full(rows, -1.6)
    for at, share in enumerate(MISSING):
        numbers = np.floor(rng.lognormal(1.5, 1.5, rows)).astype(np.int64)
        score -= 0.05 * np.log1p(numbers)
        columns[f"I{at + 1}"] = pa.array(numbers, mask=rng.random(rows) < share)
    for at, values in enumerate(names):
        # a Zipf distribution with exponent 1.05, by its inverse on [1, size]
        drawn = (1 - rng.random(rows) * (1 - len(values) ** -0.05)) ** -20.0
        ranks = np.minimum(drawn.astype(np.int64), len(values)) - 1
        score += 0.15 * ((ranks * 2654435761 >> 7) % 7 - 3)
        columns[f"C{at + 1}"] = values.take(pa.array(ranks))
    labels = (rng.random(rows) < 1 / (1 + np.exp(-score))).astype(np.int8)
    return pa.table({"label": labels, **columns})


def _measured(work: str, home: Path) -> dict[str, Any]:
    """Seconds and peak bytes of one piece of work; memory is read twenty times a second."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, __file__, "--work", work, "--folder", str(home)]
    # as our workers have it, which know it before they load Arrow
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "mimalloc" if work == "pyarrow" else "system"}
    with tempfile.TemporaryFile("w+") as output, subprocess.Popen(command, stdout=output, env=environment) as child:
        own = peak = 0
        while child.poll() is None:
            memory = _memory(child.pid)
            own, peak = max(own, memory[0]), max(peak, memory[1])
            time.sleep(0.05)
        output.seek(0)
        said = output.read().strip().splitlines()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = "" if work in ("describe", "run") or not said else said[-1]
    if child.returncode:
        told = f"exit status {child.returncode}"
    return {"cpu": cpu, "wall": time.perf_counter() - start, "own": own, "peak": peak, "said": told}


def _memory(process: int) -> tuple[int, int]:
    """Private and resident bytes of a process and all that it started."""
    own = resident = 0
    with suppress(psutil.Error):
        root = psutil.Process(process)
        for each in (root, *root.children(recursive=True)):
            own += resources.own_memory(each.pid)
            resident += each.memory_info().rss
    return own, resident


# The pieces of work, each in a process of its own


def _do(work: str, home: Path) -> None:
    resources.keep_freed_memory()  # as a worker does
    said = WORK[work](home)
    click.echo(" ".join(f"{stage} {seconds:.2f}" for stage, seconds in said.items()))


def _libraries(home: Path) -> dict[str, float]:
    """What every worker imports."""
    import torch  # noqa: F401
    from ctrbench import perform  # noqa: F401
    from fuxictr.pytorch import models  # noqa: F401

    return {}


def _pyarrow(home: Path) -> dict[str, float]:
    """The same file coded by pyarrow alone, one column at a time: a lower bound for `load`."""
    files = [home / "log" / f"{split}.parquet" for split in SPLITS]
    start = time.process_time()
    kept, sizes = [], list[int]()
    for name in pq.read_schema(files[0]).names:
        columns = [pq.read_table(file, columns=[name], use_threads=False)[name] for file in files]
        if not name.startswith("C"):
            kept.append([column.to_numpy() for column in columns])
            continue
        train = columns[0].dictionary_encode().unify_dictionaries()
        values = train.chunk(0).dictionary
        order = values.take(pc.sort_indices(values))
        sizes.append(len(order))
        kept.append([pc.fill_null(pc.index_in(column, value_set=order), -1).to_numpy() + 1 for column in columns])
    spent = time.process_time() - start
    (home / "sizes.json").write_text(json.dumps(sizes))
    return {"code": spent}


def _load(home: Path) -> dict[str, float]:
    """`load` alone, as a worker does it before it stores the tables."""
    from ctrbench import Context

    start = time.process_time()
    _call("dataset", _log(home)).make().load(seed=1, context=Context())
    return {"load": time.process_time() - start}


def _describe(home: Path) -> dict[str, float]:
    os.execv(sys.executable, [sys.executable, "-m", "ctrbench", "data", "describe", _log(home)])


def _data(home: Path) -> dict[str, float]:
    from ctrbench.jobs import DataJob

    return _perform(home, "data", DataJob(_call("dataset", _log(home)), "", 1))


def _pool(home: Path) -> dict[str, float]:
    from ctrbench.jobs import Compute, PoolJob

    call = _call("generator", "random_oversampling")
    return _perform(home, "pool", PoolJob(call, _data_ref(home), 1, Compute(), (0.5, 0.5)))


def _train(home: Path, scenario: str) -> dict[str, float]:
    from ctrbench.jobs import Compute, PoolRef, TrainJob
    from ctrbench.scenarios import BUILT_IN

    pool = None
    if scenario != "original":
        made = _kept(home, "pool")
        pool = PoolRef(made.output.fingerprint, made.artefacts["pool"], "random_oversampling")
    recipe = next(each for each in BUILT_IN if each.name == scenario)
    job = TrainJob(_call("model", MODEL), _data_ref(home), pool, recipe, 1, 1, Compute())
    return _perform(home, scenario, job)


def _score(home: Path, metric: str) -> dict[str, float]:
    from ctrbench.jobs import PoolRef, ScorePoolJob, ScorePredictionsJob

    call = _call("metric", metric)
    if metric == "auc":
        made = _kept(home, "original").artefacts
        job: Any = ScorePredictionsJob(call, _data_ref(home), made["test"], made["valid"], 0.25)
    else:
        pool = _kept(home, "pool")
        ref = PoolRef(pool.output.fingerprint, pool.artefacts["pool"], "random_oversampling")
        job = ScorePoolJob(call, _data_ref(home), ref, 1)
    return _perform(home, metric, job)


def _plain_torch(home: Path) -> dict[str, float]:
    """Steps of plain torch on codes in memory, to compare our steps with."""
    import torch

    rng = np.random.default_rng(1)
    sizes = json.loads((home / "sizes.json").read_text())
    fields, rows = len(sizes), 400_000
    codes = torch.from_numpy(np.stack([rng.integers(1, size, rows, dtype=np.int32) for size in sizes]))
    tables = torch.nn.ModuleList(torch.nn.Embedding(size + 1, 10) for size in sizes)
    widths = (10 * fields, 400, 400, 400)
    hidden = [(torch.nn.Linear(*pair), torch.nn.ReLU()) for pair in pairwise(widths)]
    layers = torch.nn.Sequential(*chain(*hidden), torch.nn.Linear(400, 1))
    adam = torch.optim.Adam([*tables.parameters(), *layers.parameters()])
    loss_of = torch.nn.BCEWithLogitsLoss()
    labels = torch.from_numpy((rng.random((rows, 1)) < 0.25).astype(np.float32))
    torch.set_num_threads(1)
    start, steps = time.process_time(), 20
    for _ in range(steps):
        index = torch.randint(rows, (4096,))
        batch = codes.index_select(1, index).long()
        embedded = torch.cat([table(batch[at]) for at, table in enumerate(tables)], dim=1)
        adam.zero_grad()
        loss_of(layers(embedded), labels[index]).backward()
        torch.nn.utils.clip_grad_norm_([*tables.parameters(), *layers.parameters()], 10.0)
        adam.step()
    return {"a step": (time.process_time() - start) / steps}


def _wide(home: Path) -> dict[str, float]:
    """A field of 10 million values: fingerprinted, stored, read, and its words asked for."""
    import pandas as pd
    from ctrbench.store.artefacts import Artefacts
    from ctrbench.table import Field, Schema, Table

    words = pc.utf8_lpad(pa.array(np.arange(10_000_000)).cast(pa.string()), 8, "0")
    rows = pd.DataFrame({"id": np.arange(1, 10_000_001, dtype=np.int32)})
    table = Table(rows, Schema((Field("id", vocabulary=words),)), np.zeros(len(rows), np.int8))
    store, at, spent = Artefacts(home / "artefacts"), [time.process_time()], {}
    kept: list[str] = []
    steps: dict[str, Callable[[], Any]] = {
        "fingerprint": table.digest,
        "keep": lambda: kept.append(store.put_table(table)),
        "read": lambda: store.get_table(kept[0]),
        "a word": lambda: (store.get_table(kept[0]).schema.fields[0].vocabulary or ())[-1],
    }
    for name, step in steps.items():
        step()
        at.append(time.process_time())
        spent[name] = at[-1] - at[-2]
    return spent


def _run(home: Path) -> dict[str, float]:
    """A whole run of two workers: `original` and a pool scenario; rare values folded as BARS does for Criteo_x1."""
    log = _log(home, ",min_count=10")
    asked = ["-g", "random_oversampling", "-m", MODEL, "-s", "original", "-s", "S3", "-k", "auc", "--repeats", "1"]
    store = ["--store", str(home / "run.db"), "--workers", "2", "--threads", "1", "--yes"]
    os.execv(sys.executable, [sys.executable, "-m", "ctrbench", "run", "-d", log, *asked, *store])


def _log(home: Path, more: str = "") -> str:
    numbers = ",".join(f"I{at + 1}" for at in range(len(MISSING)))
    return f"csv_log[path={home / 'log'},label=label,numeric=({numbers}),user=C3{more}]"


def _call(kind: str, text: str) -> Any:
    from ctrbench import params
    from ctrbench.jobs import PluginCall
    from ctrbench.registry import load_registry

    spec = params.parse(text)
    registered = load_registry().get(kind, spec.name)
    return PluginCall.of(registered, params.build(registered.plugin, str(registered), spec.values))


def _perform(home: Path, name: str, job: Any) -> dict[str, float]:
    """Do a job as a worker does it, and keep its result for the next piece of work."""
    from ctrbench.perform import Workspace, perform
    from ctrbench.store.artefacts import Artefacts

    result = perform(job, Workspace(Artefacts(home / "artefacts"), home / "checkpoints"))
    if not result.ok:
        raise SystemExit(result.describe() + result.traceback)
    (home / f"{name}.result").write_bytes(pickle.dumps(result))
    return {str(stage): seconds for stage, seconds in result.seconds.items()}


def _kept(home: Path, name: str) -> Any:
    return pickle.loads((home / f"{name}.result").read_bytes())


def _data_ref(home: Path) -> Any:
    from ctrbench.jobs import DataRef

    made = _kept(home, "data")
    return DataRef(made.output.fingerprint, made.artefacts)


WORK: dict[str, Callable[[Path], dict[str, float]]] = {
    "libraries": _libraries,
    "pyarrow": _pyarrow,
    "load": _load,
    "describe": _describe,
    "data": _data,
    "pool": _pool,
    "original": lambda home: _train(home, "original"),
    "S3": lambda home: _train(home, "S3"),
    "plain torch": _plain_torch,
    "auc": lambda home: _score(home, "auc"),
    "10 M values": _wide,
    "identical": lambda home: _score(home, "identical"),
    "run": _run,
}


if __name__ == "__main__":
    main()
