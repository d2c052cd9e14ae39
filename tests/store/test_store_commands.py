"""`ctrbench store`, and what befalls a store in real runs: damage, a full disk, a read-only one, a server."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import CTRBENCH, FAST, ctrbench, refused, tables
from ctrbench.store.store import Store
from postgres import cut_lines

SMALL = [*FAST, "--workers", "1"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CTRBENCH_STORE", raising=False)


def in_a_process(*words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*CTRBENCH, *words], capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def sound(store: str) -> None:
    checked = ctrbench("store", "check", "--store", store)
    assert checked.exit_code == 0, checked.output
    assert "all sound" in checked.stdout


def test_a_store_is_checked_pruned_exported_and_imported() -> None:
    run = ctrbench(*SMALL, "--executor", "inline")
    assert run.exit_code == 0, run.output
    sound("ctrbench.db")
    assert "nothing to remove" in ctrbench("store", "gc", "--dry-run").stdout
    assert "1 run, 21 results" in ctrbench("store", "export", "all.zip").stdout
    assert "21 new results" in ctrbench("store", "import", "all.zip", "--store", "b.db").stdout
    assert "21 known before" in ctrbench("store", "import", "all.zip", "--store", "b.db").stdout
    sound("b.db")
    again = ctrbench(*SMALL, "--executor", "inline", "--store", "b.db")
    assert "0 tasks done" in again.stderr
    assert tables(again.stdout) == tables(run.stdout)


def test_gc_shows_first_and_removes_then() -> None:
    ctrbench(*SMALL, "--executor", "inline")
    lost = Path("ctrbench-artefacts/ab", "ab" * 32 + ".parquet")
    lost.parent.mkdir(exist_ok=True)
    lost.write_bytes(b"x" * 10**6)
    os.utime(lost, (0, 0))
    shown = ctrbench("store", "gc", "--dry-run")
    assert lost.name in shown.stdout
    assert lost.exists()
    assert "1.0" in ctrbench("store", "gc").stdout
    assert not lost.exists()
    sound("ctrbench.db")


def test_json_says_where_every_result_comes_from() -> None:
    ctrbench(*SMALL, "--executor", "inline")
    found = json.loads(ctrbench("leaderboard", "--format", "json").stdout)["provenance"]
    [environment] = found["environments"]
    assert environment["plugins"].keys() == {"ctrbench"}
    assert {"cpu", "gpu", "threads", "host", "git", "working_directory", "libraries"} <= environment.keys()
    for each in [*found["cells"], *found["pools"]]:
        task = each["task"]
        assert task["run"] == environment["run"]
        assert task["host"] == environment["host"]
        assert found["started"] < task["started"] < found["finished"]
        assert task["peak_memory"] > 0
        assert {"data"} < task["inputs"].keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check"], "there is no store yet"),
        (["gc"], "there is no store yet"),
        (["export", "a.zip"], "there is no store yet"),
        (["import", "a.zip"], "a.zip: there is no such file"),
        (["gc", "--older-than", "0"], "--older-than"),
        (["gc", "--older-than", "nan"], "--older-than nan"),
    ],
)
def test_a_mistake_is_one_line_and_makes_no_file(words: list[str], said: str, tmp_path: Path) -> None:
    refused(ctrbench("store", *words), said)
    assert not list(tmp_path.iterdir())


def test_a_pipe_is_not_said_to_be_missing() -> None:
    os.mkfifo("all.zip")
    refused(ctrbench("store", "import", "all.zip"), "all.zip: is a pipe or a device, and an archive is read more than")
    assert os.listdir() == ["all.zip"]


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_run_makes_damaged_artefacts_again_and_comes_to_the_same(damage: str) -> None:
    undisturbed = ctrbench(*SMALL, "--executor", "inline")
    files = sorted(Path("ctrbench-artefacts").glob("??/*.parquet"))
    before = {path: path.read_bytes() for path in files}
    for path, data in before.items():
        if damage == "remove":
            path.unlink()
        else:
            path.write_bytes(data[: len(data) // 2] if damage == "truncate" else bytes([data[0] ^ 1]) + data[1:])
    checked = ctrbench("store", "check")
    assert checked.exit_code == 1
    assert checked.stdout.count("has been set aside") == (0 if damage == "remove" else len(files))
    again = ctrbench(*SMALL, "--executor", "inline")
    assert again.exit_code == 0, again.output
    assert tables(again.stdout) == tables(undisturbed.stdout)
    assert {path: path.read_bytes() for path in files} == before
    sound("ctrbench.db")


# Disks


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 32 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cases on a small disk are left out: nothing can be mounted here ({error})")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


ROOMS = [(executor, room) for executor in ("local", "inline") for room in (0, 30, 150, 300)]  # kB that are left
IN_SHORT = [("local", 150)]


@pytest.mark.parametrize(
    ("executor", "room"),
    [pytest.param(*each, marks=[] if each in IN_SHORT else pytest.mark.slow) for each in ROOMS],
)
def test_a_full_disk_ends_in_one_line_and_the_same_command_finishes_later(disk: Path, executor: str, room: int) -> None:
    undisturbed = ctrbench(*SMALL, "--executor", "inline", "--store", "whole.db")
    store = str(disk / "r.db")
    assert ctrbench("run", *SMALL[1:5], "-m", "item_rate", "--executor", "inline", "--store", store).exit_code == 0
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    ballast.write_bytes(b"\0" * max(0, free.f_bavail * free.f_frsize - room * 1024))
    full = in_a_process(*SMALL, "--store", store, "--executor", executor)
    assert full.returncode in (1, 2), full.stdout
    assert "No space left" in full.stderr or "full" in full.stderr or "disk I/O error" in full.stderr, full.stderr
    ballast.unlink()
    later = ctrbench(*SMALL, "--executor", "inline", "--store", store)
    assert later.exit_code == 0, later.output
    assert tables(later.stdout) == tables(undisturbed.stdout)
    sound(store)


def test_a_read_only_store_can_be_read_and_a_run_on_it_is_refused_in_one_line(disk: Path) -> None:
    store = str(disk / "r.db")
    run = in_a_process(*SMALL, "--executor", "inline", "--store", store)
    in_a_process("store", "export", str(disk / "a.zip"), "--store", store)
    before = sorted((path, path.stat().st_mtime_ns) for path in disk.rglob("*") if path.is_file())
    mount("-o", "remount,ro", str(disk))
    done = in_a_process(*SMALL, "--store", store, "--seed", "2")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    imported = in_a_process("store", "import", str(disk / "a.zip"), "--store", store)
    assert (imported.returncode, imported.stderr.count("\n")) == (2, 1)
    shown = in_a_process("leaderboard", "--view", "verdict", "--store", store)
    assert shown.returncode == 0, shown.stderr
    assert tables(shown.stdout) == tables(run.stdout)
    assert in_a_process("store", "check", "--store", store).returncode == 0
    mount("-o", "remount,rw", str(disk))
    assert sorted((path, path.stat().st_mtime_ns) for path in disk.rglob("*") if path.is_file()) == before
    assert ctrbench(*SMALL, "--executor", "inline", "--store", store).exit_code == 0


# A server


def test_a_run_on_a_server_comes_to_the_same_and_resumes(new_database: str) -> None:
    here = ctrbench(*SMALL, "--executor", "inline", "--store", "here.db")
    there = in_a_process(*SMALL, "--store", new_database)
    assert there.returncode == 0, there.stderr
    assert tables(there.stdout) == tables(here.stdout)
    again = ctrbench(*SMALL, "--executor", "inline", "--store", new_database)
    assert "0 tasks done" in again.stderr
    [folder] = set(Path().glob("*-artefacts")) - {Path("here-artefacts")}
    assert list(folder.glob("??/*.parquet"))
    sound(new_database)
    ctrbench("store", "export", "there.zip", "--store", new_database)
    ctrbench("store", "import", "there.zip", "--store", "back.db")
    assert "0 tasks done" in ctrbench(*SMALL, "--executor", "inline", "--store", "back.db").stderr


def test_a_run_whose_lines_to_the_server_are_cut_again_and_again_comes_to_the_same(new_database: str) -> None:
    here = ctrbench(*SMALL, "--executor", "inline", "--store", "here.db")
    Store.open(new_database).close()
    run = subprocess.Popen(
        [*CTRBENCH, *SMALL, "--store", new_database], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    cut = 0
    for wait in (0.5, 0.5, 1, 1, 2, 2, 4, 4):  # the longer it takes here, the more can be done between two cuts
        if run.poll() is None:
            cut += cut_lines(new_database)
            time.sleep(wait)
    table, said = run.communicate()
    assert run.returncode == 0, said
    assert cut >= 1
    assert tables(table) == tables(here.stdout)
    assert "0 tasks done" in ctrbench(*SMALL, "--executor", "inline", "--store", new_database).stderr
    sound(new_database)
