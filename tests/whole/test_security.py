"""What SECURITY.md promises: hostile names in reports and on terminals, stores that run nothing, no network, no SQL."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from ctrbench import formats, leaderboard
from ctrbench.cli import main
from ctrbench.cli.show import _recipe
from ctrbench.digests import digest
from ctrbench.formats import FORMATS
from ctrbench.ids import PoolId, TaskKind
from ctrbench.interfaces import Score
from ctrbench.results import (
    Environment,
    Stage,
    Status,
    TaskResult,
)
from ctrbench.scenarios import ClassShares, Scenario
from ctrbench.store.artefacts import Artefacts, LostArtefactError
from ctrbench.store.store import Store
from ctrbench.suite import parse_suite
from ctrbench.text import encodable
from hostile import HOSTILE, UNSAFE, hostile_run
from rich.text import Text
from toys import log

CORE = Path(leaderboard.__file__).parent


def printed(text: str, style: str) -> str:
    return formats.leaderboards(hostile_run(text), leaderboard.DEFAULT_VIEWS, style=style)


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_no_report_holds_anything_that_moves_a_cursor_or_turns_the_direction_of_writing(kind: str, style: str) -> None:
    text = printed(HOSTILE[kind], style)
    assert not UNSAFE.search(text)
    text.encode()


@pytest.mark.parametrize("style", ["table", "markdown", "latex", "csv"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_no_name_adds_a_row_to_a_report(kind: str, style: str) -> None:
    assert printed(HOSTILE[kind], style).count("\n") == printed("harmless", style).count("\n")


@pytest.mark.parametrize("kind", HOSTILE)
def test_markdown_keeps_its_columns_and_runs_no_html(kind: str) -> None:
    said = printed(HOSTILE[kind], "markdown")
    columns = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in said.splitlines() if line.startswith("|")]
    assert columns == [
        len(re.findall(r"\|", line)) for line in printed("x", "markdown").splitlines() if line.startswith("|")
    ]
    assert not re.search(r"(?<!\\)(?:\\\\)*[<>\[\]`]", said.replace("**", "")), "tags, links, code"
    assert not re.search(r"(?<!\\)(?:\\\\)*&", said), "entities"


@pytest.mark.parametrize("kind", HOSTILE)
def test_latex_sees_no_command_of_anybody_else(kind: str) -> None:
    ours = "hline|textbf|textbackslash|textasciitilde|textasciicircum|Delta|pm|begin|end|toprule|midrule|bottomrule"
    for line in printed(HOSTILE[kind], "latex").splitlines():
        rest = re.sub(rf"\\(?:{ours})\b|\\[&%$#_{{}}\\]", "", line.removeprefix("% "))
        assert "\\" not in rest
        assert "%" not in rest, "nothing after it would be read"


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_place_of_a_csv_is_a_formula(kind: str) -> None:
    rows = list(csv.reader(io.StringIO(printed(HOSTILE[kind], "csv"))))
    assert len({len(row) for row in rows}) == 1
    for text in (place for row in rows for place in row):
        assert not text.strip().startswith(("=", "+", "@", "-"))


def test_a_plug_in_cannot_pass_another_number_off_as_its_score() -> None:
    records = [r for b in json.loads(printed("m", "json"))["boards"] if b["view"] == "privacy" for r in b["records"]]
    assert [record["value"] for record in records] == [1.0]


@pytest.mark.parametrize("kind", HOSTILE)
def test_progress_and_notes_of_a_run_show_hostile_names_as_text(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    from ctrbench.costs import Costs
    from ctrbench.executors import Progress
    from ctrbench.plan import Task
    from ctrbench.progress import PlainWatcher

    task = Task(PoolId(HOSTILE[kind], "0123", 0, HOSTILE[kind]), HOSTILE[kind], lambda results: None)
    with PlainWatcher(1, Costs({}, 1)) as watcher:
        watcher.note(HOSTILE[kind])
        watcher.begun(task)
        watcher.progressed(task, Progress(task.name, 1, 2, {HOSTILE[kind]: 1.0}))
        watcher.ended(task, TaskResult(Status.FAILED, HOSTILE[kind], Stage.FIT, HOSTILE[kind]), "done")
    said = capsys.readouterr().err
    assert said.count("\n") == 3
    assert not UNSAFE.search(said)
    if kind == "rich":
        assert "[bold red]x[/]" in said


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_scenario_is_shown_as_a_suite_can_have_it_whatever_its_help_says(kind: str) -> None:
    scenario = Scenario("own", synthetic=ClassShares(0.5), help=f"{HOSTILE[kind]}\x7f")
    shown = _recipe(scenario)
    assert not UNSAFE.search(shown)
    assert parse_suite(shown, "own", "own.toml").own_scenarios == (replace(scenario, help=encodable(scenario.help)),)


LOG = "label,{name},item\n" + "".join(f"{n % 2},{{value}}{n % 3},{n % 5}\n" for n in range(200))
NAMES = {kind: text for kind, text in HOSTILE.items() if kind not in ("surrogate", "nul")}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CTRBENCH_STORE", raising=False)
    return tmp_path


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


@pytest.mark.parametrize("kind", NAMES)
def test_hostile_columns_and_values_of_a_log_pass_through_every_command(here: Path, kind: str) -> None:
    text = LOG.format(name=quoted(NAMES[kind]), value=NAMES[kind].replace('"', "").replace(",", "").splitlines()[0])
    Path("log.csv").write_text(text, encoding="utf-8", newline="")
    data = "csv_log[path=log.csv, item=item]"
    commands = [
        ["data", "describe", data],
        ["data", "describe", "csv_log[path=log.csv, label=absent]"],
        ["data", "describe", "csv_log[path=log.csv, label=item]"],
        ["run", "-d", data, "-g", "independent", "-m", "item_rate", "-s", "S5", "--executor", "inline"],
        ["leaderboard", "--format", "markdown"],
    ]
    for words in commands:
        result = CliRunner().invoke(main, words)
        assert result.exit_code == (2 if "absent" in words[-1] or "label=item" in words[-1] else 0), result.output
        assert not UNSAFE.search(result.output)
        if result.exit_code:
            assert result.stderr.count("\n") == 1


# Nothing read from a store runs code


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("sprung",)


def test_the_harness_reads_no_pickle_and_evaluates_no_text() -> None:
    forbidden = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in imported} & forbidden, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile", "__import__"), path


def test_a_file_put_into_the_store_by_somebody_is_not_even_parsed(here: Path) -> None:
    artefacts = Artefacts(here)
    digest = artefacts.put_table(log(50, 1))
    next(here.rglob("*.parquet")).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(LostArtefactError, match="corrupt"):
        artefacts.get_table(digest)
    assert not Path("sprung").exists()


def test_a_checkpoint_that_is_a_pickle_is_set_aside_unread(here: Path) -> None:
    from ctrbench_generators import _fitting

    for content in (pickle.dumps(Trap(), protocol=2), b""):
        path = here / "fit.pt"
        path.write_bytes(content)
        assert _fitting._load(path) is None
        assert not path.exists()
    assert not Path("sprung").exists()


@pytest.mark.parametrize(
    "digest", ["../../mine", "/etc/passwd", "..", "", "a" * 63, "A" * 64, "a" * 64 + "/../x", "\x00"]
)
def test_a_digest_from_a_hostile_store_is_never_a_path(here: Path, digest: str) -> None:
    mine = here / "mine.parquet"
    mine.write_text("my diary")
    with pytest.raises(LostArtefactError):
        Artefacts(here / "a" / "b").get_table(digest)
    assert mine.read_text() == "my diary"
    assert sorted(path.name for path in here.iterdir()) == ["mine.parquet"]


# SQL


@pytest.mark.parametrize("text", [*HOSTILE.values(), "'; drop table tasks; --", "%s", ":run", "?"])
def test_no_text_is_ever_sql(here: Path, text: str) -> None:
    store = Store.open("results.db")
    good, key = TaskResult(Status.OK, "m", output=Score(1.0)), digest(encodable(text))
    task = replace(good, plugin=encodable(text).replace("\0", r"\x00"))
    run = store.begin_run(text, text, Environment(cpu=encodable(text)))
    store.keep(run, text, TaskKind.SCORE, key, task)
    assert store.find(key) == task
    assert store.find(encodable(text)) is None
    refused = CliRunner().invoke(main, ["leaderboard", "--store", "results.db", f"--run={text}"])
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert set(sa.inspect(store.database._engine).get_table_names()) >= {"tasks", "runs"}
    store.close()


def test_statements_are_never_put_together_from_text() -> None:
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
            if called in ("text", "exec_driver_sql", "execute", "literal_column") and node.args:
                assert not isinstance(node.args[0], ast.JoinedStr | ast.BinOp), f"{path}:{node.lineno}"


# The network

SENTRY = """
import os, sys
def sentry(event, words):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(words[1], (str, bytes)):
        return  # a socket of this machine's file system
    if event.startswith(("socket.connect", "socket.send", "socket.getaddrinfo", "socket.gethostby", "urllib.Request")):
        with open(os.environ["SENTRY"], "a") as file:
            file.write(f"{event} {words[1:]}\\n")
        raise PermissionError(f"no network here: {event}")
sys.addaudithook(sentry)
"""
WITHOUT_TORCH = ["-g", "smoten", "-g", "independent", "-m", "logistic", "-m", "item_rate", "-s", "S1", "-s", "S5"]
EVERYTHING = ["--all", "--budget", "0.02", "--timeout", "240"]


@pytest.mark.parametrize("words", [WITHOUT_TORCH, pytest.param(EVERYTHING, marks=pytest.mark.slow)])
def test_a_run_on_data_at_hand_asks_nothing_of_the_network(here: Path, words: list[str]) -> None:
    (here / "site").mkdir()
    (here / "site" / "sitecustomize.py").write_text(SENTRY)
    path = os.pathsep.join(filter(None, [str(here / "site"), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path, "SENTRY": str(here / "heard.txt"), "CTRBENCH_DATA": "none"}
    small = "simulated[train_rows=400, valid_rows=200, test_rows=200]"

    def ctrbench(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)

    probe = ctrbench("-c", "import socket; socket.create_connection(('127.0.0.1', 9))")
    assert "no network here" in probe.stderr, "the sentry is on guard"
    (here / "heard.txt").unlink()
    run = ctrbench("-m", "ctrbench", "run", "-d", small, "-k", "auc", "-k", "identical", *words)
    assert not (here / "heard.txt").exists(), (here / "heard.txt").read_text()
    assert run.returncode == 0, run.stderr


def test_rich_reads_no_markup_from_what_it_shows() -> None:
    assert Text(HOSTILE["rich"]).plain == HOSTILE["rich"]


# The folder in which it is started


def test_no_module_in_the_working_directory_is_imported_by_a_worker(here: Path) -> None:
    for name in ("multiprocessing", "json", "numpy", "pandas", "ctrbench", "random"):
        Path(f"{name}.py").write_text("open('ran', 'a').write(__name__)\nraise SystemExit(77)\n")
    program = Path(sys.executable).with_name("ctrbench")
    small = "simulated[train_rows=400, valid_rows=200, test_rows=200]"
    words = ["run", "-d", small, "-g", "none", "-m", "item_rate", "-k", "auc", "--workers", "1"]
    done = subprocess.run([program, *words], capture_output=True, text=True)
    assert not Path("ran").exists()
    assert done.returncode == 0, done.stderr


def test_the_commit_of_a_folder_is_found_and_no_program_of_its_configuration_is_run(here: Path) -> None:
    from ctrbench.environment import _git_commit

    def git(*words: str, where: str = "tree") -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@x"]
        return subprocess.run(["git", *identity, *words], cwd=where, capture_output=True, text=True, check=True).stdout

    Path("tree/deep").mkdir(parents=True)
    git("init", "-q")
    Path("tree/a.txt").write_text("a")
    git("add", "a.txt")
    git("commit", "-qm", "one")
    wanted = git("rev-parse", "HEAD")[:12]
    git("worktree", "add", "-q", "../other")
    trap = here / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {here}/sprung\ncat\n")
    trap.chmod(0o755)
    for name in (
        "filter.x.clean",
        "filter.x.smudge",
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "diff.external",
    ):
        git("config", name, str(trap))
    Path("tree/.gitattributes").write_text("* filter=x\n")
    Path("tree/a.txt").write_text("b")
    os.utime("tree/a.txt", (1, 1))
    for folder in ("tree", "tree/deep", "other"):
        assert _git_commit(here / folder) == wanted
    git("pack-refs", "--all")
    assert _git_commit(here / "tree") == wanted
    assert _git_commit(here) == ""
    assert not Path("sprung").exists()
    Path("tree/.git/HEAD").write_text("ref: ../../../etc/passwd\n")
    assert _git_commit(here / "tree") == ""


# Metadata, streams, texts


def distribution(site: Path, name: str, metadata: str | None, entries: bytes) -> None:
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    if metadata is not None:
        (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_bytes(entries)


def test_metadata_of_others_may_be_missing_malformed_or_hostile(here: Path) -> None:
    esc = "\x1b[31m"
    named = "Metadata-Version: 2.1\nName: {}\nVersion: 1{}\n"
    distribution(here / "site", "bare", None, b"[ctrbench]\nbare = absent_bare\n[ctrbench.commands]\nb = bare:b\n")
    distribution(here / "site", "torn", named.format("torn", ""), b"no section\n[ctrbench\n===\n")
    distribution(here / "site", "nameless", "Metadata-Version: 2.1\n", b"[ctrbench]\nnameless = absent_nameless\n")
    distribution(here / "site", "broken", named.format("broken", ""), b"[ctrbench]\nthis is no entry\n")
    distribution(here / "site", "binary", named.format("binary", ""), b"[ctrbench]\n\xff\xfe = x\n")
    distribution(here / "site", "odd", named.format("odd", ""), b"[ctrbench]\nodd = ::: not a module\n")
    distribution(
        here / "site",
        "loud",
        named.format("loud", esc),
        f"[ctrbench]\nloud = absent_loud\n[ctrbench.commands]\nx{esc}y = absent:z\n".encode(),
    )
    distribution(here / "site", "alien", named.format("alien", ""), b"[something.else]\nthis is no entry\n")
    environment = {**os.environ, "PYTHONPATH": str(here / "site")}
    for words, status in ((["--help"], 0), (["list"], 0), (["plugins"], 1), (["show", "dnn"], 0)):
        done = subprocess.run(
            [sys.executable, "-m", "ctrbench", *words], capture_output=True, text=True, env=environment
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        assert not UNSAFE.search(done.stdout + done.stderr)
        if words == ["plugins"]:
            assert all(name in done.stdout for name in ("bare", "nameless", "broken", "torn", "binary", "odd", "loud"))
            assert "alien" not in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("{} list >&-", "standard output is closed"),
        ("{} list >/dev/full", "standard output cannot be written"),
        ("mkdir gone && cd gone && rmdir ../gone && {} list", "working directory does not exist"),
        ("ulimit -v 800000; {} list", "ulimit -v 800000"),
        ("{} leaderboard 2>/dev/full", ""),
    ],
)
def test_odd_surroundings_are_one_line_and_status_2(here: Path, words: str, said: str) -> None:
    program = Path(sys.executable).with_name("ctrbench")
    done = subprocess.run(["bash", "-c", words.format(program)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == bool(said)


def test_letters_that_an_encoding_lacks_are_written_as_escapes(here: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-m", "ctrbench", "show", "ctgan"], capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert rb"\u2265" in done.stdout


def test_python_without_docstrings_finds_the_same_plug_ins(here: Path) -> None:
    done = subprocess.run([sys.executable, "-OO", "-m", "ctrbench", "plugins"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:]


def odd_errors() -> list[BaseException]:
    """Exceptions that do something else when they are asked what they are."""

    class Meta(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise SystemExit(0)

    class Said(str):
        """A text that lets nobody look at its letters."""

        def split(self, *_: object) -> list[str]:  # type: ignore[override]
            raise SystemExit(0)

        encode = __len__ = __getitem__ = split  # type: ignore[assignment]

    class NameLessError(Exception, metaclass=Meta):
        __class__ = property(lambda self: 1 / 0)  # type: ignore[assignment]

        def __str__(self) -> str:
            return Said("said")

    return [NameLessError(), type("Two\nlines", (Exception,), {})("said"), SyntaxError("said", ("f", 1, 1, 5))]  # type: ignore[arg-type, list-item]


def test_an_exceptions_text_is_bounded_and_may_be_unreadable() -> None:
    from ctrbench.text import LINE, PAGE, one_line, trace
    from toys import FlawedError

    assert one_line(FlawedError()) == "FlawedError"
    said = ["NameLessError: said", "Two lines: said", "SyntaxError: said (f, line 1)"]
    assert [one_line(error) for error in odd_errors()] == said
    assert all(isinstance(trace(error), str) for error in odd_errors())
    with pytest.raises(ValueError, match="begin") as caught:
        raise ValueError("begin" + "x" * 5_000_000 + "end")
    told = one_line(caught.value)
    assert len(told) <= LINE + 50
    assert "begin" in told
    assert told.endswith("end")
    assert len(trace(caught.value)) <= PAGE
