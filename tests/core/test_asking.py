"""What plug-in code does when the driver asks it something: nothing of it ends the run, but Ctrl-C does."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ctrbench.asking import PATIENCE, NoAnswer, ask, patience
from ctrbench.errors import UserError
from toy_jobs import gone


def raises(error: BaseException) -> int:
    raise error


def test_an_answer_comes_back_as_it_is() -> None:
    assert ask(lambda: None) is None
    assert ask(lambda: 7) == 7


@pytest.mark.parametrize("error", [ValueError("no\nluck"), GeneratorExit("no luck"), MemoryError("no luck")])
def test_whatever_is_raised_is_no_answer_in_one_line(error: BaseException) -> None:
    told = ask(lambda: raises(error))
    assert isinstance(told, NoAnswer)
    assert told.mistake is None
    assert told.error == f"{type(error).__name__}: no luck"
    assert "in raises" in told.traceback


def test_a_mistake_without_a_word_is_the_plug_ins_failure() -> None:
    told = [ask(lambda said=said: raises(UserError(said))) for said in ("mend it", " \n")]
    assert [str(each.mistake) for each in told if isinstance(each, NoAnswer)] == ["mend it", "None"]
    assert [each.error for each in told if isinstance(each, NoAnswer)] == ["UserError: mend it", "UserError"]


def test_leaving_is_no_answer_either() -> None:
    told = ask(lambda: sys.exit(3))
    assert isinstance(told, NoAnswer)
    assert told.error == "SystemExit: 3"


def test_ctrl_c_passes() -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(lambda: raises(KeyboardInterrupt()))


apart = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all is asked in this process")


def test_a_mistake_of_the_user_s_is_told_as_one() -> None:
    for aside in (False, True):
        told = ask(lambda: raises(UserError("no such file")), apart=aside)
        assert isinstance(told, NoAnswer)
        assert isinstance(told.mistake, UserError)
        assert str(told.mistake) == "no such file"


@apart
@pytest.mark.parametrize(
    ("deed", "says"),
    [
        (lambda: os._exit(0), "ended the process (exit status 0)"),
        (lambda: os._exit(7), "ended the process (exit status 7)"),
        (lambda: ctypes.string_at(0), "ended the process (killed by SIGSEGV)"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "ended the process (killed by SIGKILL)"),
        (lambda: os.closerange(3, 100), "ended the process (exit status 0)"),
        (lambda: sys.exit(0), "raised SystemExit: 0"),
        (lambda: raises(KeyboardInterrupt()), "raised KeyboardInterrupt"),
        (lambda: lambda: None, "raised "),  # what pickle cannot take
    ],
    ids=["_exit 0", "_exit 7", "segfault", "kill", "closed line", "sys.exit", "Ctrl-C", "unpicklable"],
)
def test_code_of_others_ends_a_copy_of_the_process_only(deed, says) -> None:
    told = ask(deed, apart=True)
    assert isinstance(told, NoAnswer)
    assert told.says.startswith(says)


@apart
def test_code_of_others_is_waited_for_so_long_and_leaves_nothing_running(tmp_path: Path) -> None:
    def deed() -> None:
        (tmp_path / "number").write_text(str(subprocess.Popen(["sleep", "600"]).pid))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        while True:
            pass

    begun = time.monotonic()
    told = ask(deed, apart=True, seconds=5)
    assert isinstance(told, NoAnswer)
    assert told.says.startswith("took longer than 5 s and was stopped")
    assert time.monotonic() - begun < 15
    helper = Path("/proc", (tmp_path / "number").read_text(), "stat")
    for _ in range(100):
        if not helper.exists() or helper.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("what it started lives on")


@apart
@pytest.mark.parametrize("answers", [True, False])
def test_nothing_that_it_starts_outlives_an_answer_however_it_hides(tmp_path: Path, answers: bool) -> None:
    def deed() -> int:
        helpers = [subprocess.Popen(["sleep", "600"], env={}, start_new_session=True).pid]
        read, write = os.pipe()
        if not os.fork():
            os.setsid()
            if not os.fork():
                os.write(write, str(os.getpid()).encode())
                os.execve("/bin/sleep", ["sleep", "600"], {})
            os._exit(0)
        (tmp_path / "numbers").write_text(f"{helpers[0]} {os.read(read, 100).decode()}")
        return 5 if answers else os._exit(3)

    told = ask(deed, apart=True)
    assert told == 5 or (isinstance(told, NoAnswer) and told.says == "ended the process (exit status 3)")
    assert all(gone(int(number)) for number in (tmp_path / "numbers").read_text().split())


@apart
def test_half_an_answer_is_not_waited_for_longer_than_one() -> None:
    def deed() -> None:
        for file in set(os.listdir("/proc/self/fd")) - before:
            with contextlib.suppress(OSError):
                os.write(int(file), b"\0\0\x10\0")  # so many bytes will come
        time.sleep(600)

    before, begun = set(os.listdir("/proc/self/fd")), time.monotonic()
    told = ask(deed, apart=True, seconds=0.5)
    assert isinstance(told, NoAnswer)
    assert "took longer than 0.5 s" in told.says
    assert time.monotonic() - begun < 10


@apart
def test_an_answer_may_be_larger_than_a_pipe_holds_and_changes_nothing_here(capfd: pytest.CaptureFixture[str]) -> None:
    here: list[int] = []

    def deed() -> bytes:
        here.append(1)
        os.write(1, b"a word\n")
        return b"x" * 3_000_000

    assert ask(deed, apart=True) == b"x" * 3_000_000
    assert here == []
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", ""), "what it prints goes nowhere: it may hold anything"


@pytest.mark.parametrize("said", ["0", "-1", "nan", "inf", "1e7", "soon"])
def test_patience_is_a_number_of_seconds(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATIENCE, "2.5")
    assert patience() == 2.5
    monkeypatch.setenv(PATIENCE, said)
    with pytest.raises(UserError, match=f"{PATIENCE}={said}: it must be a number"):
        patience()
