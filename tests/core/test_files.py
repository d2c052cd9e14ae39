"""Files that users name for a command to write."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from ctrbench.errors import UserError
from ctrbench.files import whole_file


def test_a_file_that_cannot_be_finished_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "r.md").write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "r.md") as target:
        target.write(b"half" + bytes(1 // 0))
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("r.md", "old")]


def test_a_link_stays_one_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "latest.md").symlink_to(Path("there", "r.md"))
    for text in (b"first", b"second"):
        with whole_file(tmp_path / "latest.md") as target:
            target.write(text)
        assert (tmp_path / "latest.md").is_symlink()
        assert (tmp_path / "there" / "r.md").read_bytes() == text


def test_a_folder_that_is_not_there_is_named_and_is_not_made(tmp_path: Path) -> None:
    missing = pytest.raises(UserError, match=r"there is no folder .*absent; make it, or name another file")
    with missing, whole_file(tmp_path / "absent" / "report.html"):
        raise AssertionError("nothing to write")
    assert not list(tmp_path.iterdir())


def test_a_pipe_is_written_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    with whole_file(pipe) as target:
        target.write(b"said")
    reader.join(10)
    assert heard == [b"said"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder; name a file"), whole_file(tmp_path):
        pass
