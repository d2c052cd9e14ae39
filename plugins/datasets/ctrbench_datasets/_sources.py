"""Which files hold a log, by what a user named: a file, a folder, a pattern or several.

In: the names. Out: the files in a fixed order, with the splits that their names indicate and notes of what is left out;
or what is wrong with the names.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from glob import glob
from itertools import chain
from pathlib import Path
from typing import Any

from ctrbench import Missing

from ctrbench_datasets._files import FORMATS, KNOWN, PACKINGS, kind_by_name, readable

SPLITS = ("train", "valid", "test")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Sources:
    """The files of a log, in the order in which rows are read; valid or test are empty where none is given."""

    train: tuple[Path, ...]
    valid: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()
    notes: tuple[Any, ...] = ()  # of str; Any, so that a dict of splits may be unpacked into the others

    @property
    def all(self) -> tuple[Path, ...]:
        """All files."""
        return self.train + self.valid + self.test


def find_sources(path: str | Sequence[str], valid: str = "", test: str = "") -> Sources | Missing:
    """The files that were named; those of a folder by name, as splits where they are called train, valid and test.

    A pattern with * ? [ counts as one only where no file has exactly that name. Files come in the order of their names,
    those of several paths in the order given. What is left out of a folder is noted.
    """
    given = {split: at for split, at in (("valid", valid), ("test", test)) if at}
    remarks = _Remarks()
    try:
        named = [path] if isinstance(path, str) else list(path)
        if len(named) == 1 and os.path.isdir(folder := expanded(named[0])):
            splits = _splits_in(folder, named[0], remarks)
            if splits:
                splits |= {split: tuple(_files_of(at, split, remarks)) for split, at in given.items()}
                return _once(remarks.noted(Sources(**splits)))
        found = [file for each in named for file in _files_of(each, "path", remarks)]
        parts = {split: tuple(_files_of(at, split, remarks)) for split, at in given.items()}
        return _once(remarks.noted(Sources(tuple(found), **parts)))
    except _Unusable as error:
        return Missing(str(error))


def expanded(path: str) -> Path:
    """The path, a ~ at its start replaced by a home folder unless it is the first letter of a file that is there."""
    if not path:
        raise _Unusable("the path is empty; name a file or folder")
    try:
        named_so = path[:2] not in ("~", "~/") and os.path.lexists(path)
        return Path(path) if named_so else Path(path).expanduser()
    except RuntimeError:  # the home folder of a user who does not exist
        raise _not_there("path", path) from None


@dataclass
class _Remarks:
    """What is to be noted of the folders, and what else may hold rows in each."""

    told: list[str] = field(default_factory=list)
    others: dict[Path, list[Path]] = field(default_factory=dict)

    def noted(self, sources: Sources) -> Sources:
        """The sources with notes; what has been named besides its folder is read, and not left out."""
        notes = list(self.told)
        for folder, others in self.others.items():
            if left_out := [each for each in others if each not in sources.all]:
                shown = _shown(left_out, folder)
                notes.append(
                    f"left out of the folder {folder.absolute().name}, by name: {shown}; name what is a log in path="
                )
        return replace(sources, notes=tuple(notes))


def _once(sources: Sources) -> Sources:
    """The sources without files of no bytes, as Spark writes some, and without second names of a file, both noted.

    Rows must not count twice, and none of test may be in train: a file named twice, or in two splits, is refused.
    """
    if twice := [file for file, times in Counter(sources.all).items() if times > 1]:
        raise _Unusable(f"{min(twice)} is named twice; name it once")
    notes, found, splits = list(sources.notes), dict[tuple[int, int], tuple[str, Path]](), {}
    for split in SPLITS:
        files: tuple[Path, ...] = getattr(sources, split)
        kept = []
        about = {}
        for file in files:
            with readable(file):
                about[file] = os.stat(file)
        for file in sorted(files, key=os.path.islink):
            known, of = found.setdefault((about[file].st_dev, about[file].st_ino), (split, file))
            if known != split:
                raise _Unusable(f"{of} in {known} and {file} in {split} are one file; give each split rows of its own")
            if of != file:
                notes.append(f"{file.name} is the file {of.name} by another name, and read once")
            elif not about[file].st_size and any(each.st_size for each in about.values()):
                notes.append(f"{file.name} has no bytes, and is left out")
            else:
                kept.append(file)
        splits[split] = tuple(file for file in files if file in kept)
    return Sources(**splits, notes=tuple(notes))


class _Unusable(Exception):
    """What is wrong with what the user named."""


def _not_there(parameter: str, text: str) -> _Unusable:
    fix = "name a file or folder that is"
    if "://" in text:
        fix = "addresses are not read: download the file, and name it by its path"
    elif "$" in text:
        fix = "$ stands for itself here: write the path out"
    return _Unusable(f"{parameter}={text} is not there or may not be read; {fix}")


def _files_of(text: str, parameter: str, remarks: _Remarks) -> list[Path]:
    path = expanded(text)
    try:
        if os.path.isfile(path):
            return [path]
        if os.path.isdir(path):
            files, others = _logs_below(path)
            if not files:
                raise _Unusable(f"the folder {parameter}={text} holds no readable log; logs end with .{KNOWN}")
            remarks.others[path] = others
            return files
        matches = sorted(map(Path, glob(str(path), recursive=True))) if re.search(r"[*?\[]", str(path)) else []
    except ValueError:  # a NUL in the path
        matches = []
    files = []
    for match in matches:
        below, others = ([match], []) if _is_file(match) else _logs_below(match)
        files += below
        remarks.others[match] = others
    if not files:
        raise _not_there(parameter, text)
    return files


def _logs_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """The logs in a folder and its sub-folders, such as one per day, by name; and what else there may hold rows."""
    logs, others = [], []
    for at, folders, files in os.walk(folder):
        here = Path(at)
        for name in files:
            if _known(name) and not name.startswith((".", "_")) and not _is_about(name):
                if _is_file(here / name):
                    logs.append(here / name)
            elif _may_hold_rows(name):
                others.append(here / name)
        below = [here / name for name in folders if not name.startswith(".")]
        apart = [each for each in below if each.name.startswith("_") or each.is_symlink()]  # links may form a circle
        others += [each for each in apart if each.is_symlink() or _logs_below(each)[0]]
        folders[:] = [each.name for each in below if each not in apart]
    return sorted(logs), sorted(others)


def _known(name: str) -> bool:
    return kind_by_name(Path(name))[0] is not None


def _is_file(path: Path) -> bool:
    """Whether it is a regular file, and no pipe or device, which may never end."""
    there = os.path.exists(path)
    if os.path.islink(path) and not there:
        raise _Unusable(f"{path} is a link to {os.readlink(path)}, which is not there; mend the link or delete it")
    return os.path.isfile(path) or not there  # reading says why it may not be read


_ABOUT = re.compile(
    r"(readme|licen[cs]e|copying|notice|citation|authors|changelog|checksums?|\w*(md5|sha\d+)sums?)(?![a-z])"
    r"|.*\.(crc|md5|sha\d+|sig|asc|md|rst|html?|pdf)$",
    re.IGNORECASE,
)


def _is_about(name: str) -> bool:
    """Whether a file is a text about the data, or a checksum."""
    return bool(_ABOUT.match(name)) and (not _known(name) or name.lower().endswith(".txt"))


def _may_hold_rows(name: str) -> bool:
    hidden = name.startswith(".") or (name.startswith("_") and not _known(name))  # such as _SUCCESS
    return not hidden and not _is_about(name)


def _shown(files: Sequence[Path], folder: Path) -> str:
    more = f" and {len(files) - 5:,} more" if len(files) > 5 else ""
    return ", ".join(str(file.relative_to(folder)) for file in files[:5]) + more


def _splits_in(folder: Path, text: str, remarks: _Remarks) -> dict[str, tuple[Path, ...]]:
    """The files of each split, by name; empty where no names are those of splits: the files are then one log."""
    here: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for entry in sorted(folder.iterdir()):
        split = SPLIT_NAMES.get(entry.name.lower().split(".")[0])
        if (split and entry.is_dir()) or (split and entry.is_file() and _known(entry.name)):
            here[split].append(entry)
    logs, others = _logs_below(folder)
    if not (here["train"] and here["test"]) and (parts := _parts_in(folder, logs, text, remarks)):
        remarks.others[folder] = others
        return parts
    if not any(here.values()):
        return {}
    for split, entries in here.items():
        if len(entries) > 1:
            raise _Unusable(
                f"the folder path={text} has both {entries[0].name} and {entries[1].name}; it needs one file a split"
            )
        if not entries and split != "valid":
            raise _Unusable(
                f"the folder path={text} has no readable {split} file beside those of other splits; it needs one "
                f"file a split (valid may be left out), which ends with .{KNOWN}"
            )
    found = {}
    for split, (entry,) in ((split, entries) for split, entries in here.items() if entries):
        found[split], within = _logs_below(entry) if entry.is_dir() else ([entry], [])
        if not found[split]:
            raise _Unusable(f"in the folder path={text}, {entry.name} holds no readable log; logs end with .{KNOWN}")
        others += within
    read = {*chain(*found.values()), *chain(*here.values())}
    remarks.others[folder] = sorted({*logs, *others} - read)
    return {split: tuple(files) for split, files in found.items()}


_PART = re.compile(rf"({'|'.join(SPLIT_NAMES)})(?![^\W\d_])", re.IGNORECASE)
"""How the name of a part of a split begins, as in train-00000-of-00002.parquet, test_x1.csv or valid2.csv."""


def _parts_in(folder: Path, logs: Sequence[Path], text: str, remarks: _Remarks) -> dict[str, tuple[Path, ...]]:
    """The logs by split, where all, or folders that they are in, are called like parts of train, test and valid."""
    found: dict[str, list[Path]] = {}
    for log in logs:
        begin = next(filter(None, map(_PART.match, log.relative_to(folder).parts)), None)
        found.setdefault(SPLIT_NAMES[begin[1].lower()] if begin else "", []).append(log)
    if not {"train", "test"} <= set(found):
        return {}
    if "" in found:
        remarks.told.append(
            f"{found['train'][0].name} and {found['test'][0].name} are called like splits, but {found[''][0].name} is "
            "not, so that all are one log; to keep them apart, name them in path=, valid= and test="
        )
        return {}
    bare: dict[Path, Path] = {}
    for log in logs:
        if (other := bare.setdefault(_without_suffixes(log), log)) != log:
            raise _Unusable(f"the folder path={text} has both {other.name} and {log.name}; it needs one of them")
    told = "; ".join(f"{split} is {_shown(found[split], folder)}" for split in SPLITS if split in found)
    remarks.told.append(f"the folder {folder.absolute().name} is split by the names of its files: {told}")
    return {split: tuple(files) for split, files in found.items()}


def _without_suffixes(path: Path) -> Path:
    while path.suffix.lower().lstrip(".") in {*FORMATS, *PACKINGS}:
        path = path.with_suffix("")
    return path
