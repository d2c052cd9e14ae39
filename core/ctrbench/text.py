"""What the user reads: texts made safe to show, errors in one line, suggestions."""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
import signal
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import unquote, unquote_plus

_NO_LETTERS = "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
_CONTROL = re.compile(rf"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef{_NO_LETTERS}]+")
"""Controls, marks that end a line or turn the direction of writing, and what will never be a letter: XML refuses it."""


MOST_NAMES = 40
"""So many names are listed where none is like a misspelt word."""


def plain(text: str) -> str:
    """A text on one line, without control characters: nothing in it can move the cursor, end a row or turn it round."""
    return _CONTROL.sub(" ", encodable(text)).strip()


def plain_lines(text: str) -> str:
    """A text of several lines, such as a traceback, without other control characters."""
    return "\n".join(_CONTROL.sub(" ", line).rstrip() for line in encodable(text).split("\n"))


def encodable(text: str) -> str:
    """A text that can be stored and printed: what is no UTF-8, such as an odd file name, is written as an escape."""
    return str.encode(text, "utf-8", "backslashreplace").decode()


def markdown(text: str) -> str:
    """A text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\|*_`~<>\[\]#$&])", r"\\\1", plain(text))


def toml(value: object) -> str:
    """A value as TOML has it, on one line and without control characters: of a text these are written as escapes."""
    match value:
        case Mapping():
            return f"{{ {', '.join(f'{name} = {toml(each)}' for name, each in value.items())} }}"
        case list() | tuple():
            return f"[{', '.join(map(toml, value))}]"
        case str():
            quoted = json.dumps(encodable(value), ensure_ascii=False)
            return _CONTROL.sub(lambda found: "".join(f"\\U{ord(sign):08X}" for sign in found[0]), quoted)
        case _:
            return json.dumps(value)  # which writes numbers and truth as TOML does


LINE, PAGE = 2_000, 40_000
"""Letters of one message, and of one traceback, that are kept: an exception may carry megabytes of data."""

HIDDEN = "***"
"""What stands in the place of a secret."""

_SCHEME = re.compile(r"(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{1,63}:/+")  # none is longer, and text may be
_ADDRESS = re.compile(
    r"(?P<account>(?P<user>[\w.+-]*)(?::[^\s:/@?#\[\]]*)?@)?"
    r"(?P<place>(?:[\w.-]*|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?(?:/[\w./+-]*)?)(?:\?(?P<query>\S*))?"
)
_HARMLESS = re.compile(r"(?:host|port|user|dbname|sslmode|connect_timeout|application_name|mode|uri)=[\w.-]*")
_NAMES = re.compile(r"password|passfile|options|service|ssl\w*|krb\w*|gss\w*|channel_binding")
_OF_FILES = re.compile(r"(?:sqlite(?:\+\w+)?|file):", re.IGNORECASE)
_LIBRARIES = re.compile(r"/(?:site|dist)-packages/|/lib/python3|^<|/core/ctrbench/")
_FILE = re.compile(r"(?:sqlite(?:\+\w+)?|file):///+", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"(?is)((?<![\w-])(?=[\w-]*(?:passw(?:or)?d|passphrase|pwd|secret|token))[\w-]*\s*=\s*)\S.*"
)  # each word is looked at once, however long it is
_BREAK = re.compile(r"[\s'\")>,;]")
_KNOWN = re.compile(r"(?i)(?:postgres(?:ql)?|sqlite|mysql|mariadb|oracle|mssql)(?:\+\w+)?:")
_BARE = re.compile(r"(?s)(--?[\w-]+=)?[^\[\]=,:]*:.*@.*|(--?[\w-]+=)?//.*@.*")


def without_password(text: str) -> str:
    """A text in which nothing is left of an address that may be a password; what cannot be read as one is hidden whole.

    A password may hold any sign, so an address is taken to reach to the word that holds the last `@`.
    """
    shown, at, account = [], 0, text.rfind("@") + 1
    while found := _SCHEME.search(text, at):
        host = found.end() if _FILE.fullmatch(found[0]) else max(found.end(), account)
        end = stop.start() if (stop := _BREAK.search(text, host)) else len(text)
        shown += [_ASSIGNED.sub(rf"\1{HIDDEN}", text[at : found.start()]), shown_address(text[found.start() : end])]
        at = end
    return "".join(shown) + _ASSIGNED.sub(rf"\1{HIDDEN}", text[at:])


def shown_address(value: str) -> str:
    """One value that a user gave, such as the address of a database, as it may be shown and recorded.

    Of an address, scheme, user, host, port and path are left, and parameters that are known to hold no secret; one that
    is not written as addresses are is hidden, since nobody can tell where its password ends.
    """
    found = _SCHEME.search(value)
    if not found:
        return HIDDEN if _BARE.fullmatch(value) else _ASSIGNED.sub(rf"\1{HIDDEN}", value)
    before, scheme, rest = value[: found.start()], found[0], value[found.end() :]
    if _FILE.fullmatch(scheme):
        place, _, query = rest.partition("?")
        return before + scheme + place + _harmless(query)
    if not is_address(scheme + rest) or not (parts := _ADDRESS.fullmatch(rest)):
        return before + scheme + HIDDEN
    account = parts["account"] or ""
    user = f"{parts['user']}:{HIDDEN}@" if ":" in account else account
    return before + scheme + user + parts["place"] + _harmless(parts["query"])


def is_address(value: str) -> bool:
    """Whether a value is an address written so strictly that there is no doubt which of its parts is the password."""
    found = _SCHEME.match(value)
    if not found or _OF_FILES.match(value):  # a file's address has no host
        return bool(_FILE.match(value)) or value.endswith("://")
    parts = _ADDRESS.fullmatch(value, found.end()) if found[0].count("/") in (2, 3) else None
    return parts is not None and "@" not in (parts["query"] or "")


def may_be_address(value: str) -> bool:
    """Whether a value may be meant as an address, however it is written."""
    return any(sign.match(value) for sign in (_SCHEME, _BARE, _KNOWN)) or bool(_ASSIGNED.search(value))


def secrets_of(address: str) -> list[str]:
    """The parts of an address that nobody else may see, as they are written and as they are meant."""
    parts = None if _FILE.match(address) else _ADDRESS.fullmatch(_SCHEME.sub("", address, count=1))
    if not parts:
        return []
    secret = [(parts["account"] or "")[:-1].partition(":")[2]]
    for each in (parts["query"] or "").split("&"):
        name, _, value = each.partition("=")
        secret += [] if _HARMLESS.fullmatch(each) else [value, *([] if _NAMES.fullmatch(name) else [name])]
    return [text for each in secret for text in {each, unquote(each), unquote_plus(each)} if text]


def command_line(words: Sequence[str]) -> str:
    """A command as it may be recorded: each of its words as a shell takes it, without passwords."""
    return encodable(shlex.join(map(shown_address, words)))


def _harmless(query: str | None) -> str:
    """The parameters of an address, without the values of those that may be secret."""
    shown = [part if _HARMLESS.fullmatch(part) else HIDDEN for part in (query or "").split("&") if part]
    return "?" + "&".join(dict.fromkeys(shown)) if shown else ""


def message(error: BaseException) -> str:
    """What an exception says, on one line of bounded length; nothing where it cannot even be asked."""
    try:
        said = own(str(error))
    except KeyboardInterrupt:
        raise
    except BaseException:  # its own `__str__` fails
        return ""
    return encodable(" ".join(bounded(said, LINE).split()))


def one_line(error: BaseException) -> str:
    """An exception as one line: its class and its message."""
    name, said = " ".join(bounded(class_name(type(error)), LINE).split()), message(error)
    return f"{name}: {said}" if said else name


def fault(error: OSError) -> str:
    """What the system says of a file or folder that cannot be used, in a few words."""
    return encodable(error.strerror).lower() if isinstance(error.strerror, str) else one_line(error)


def trace(error: BaseException) -> str:
    """The traceback of an exception, of bounded length; without its last line where it cannot even be asked for it."""
    for read in (traceback.format_exception, lambda error: traceback.format_tb(error.__traceback__)):
        try:
            return encodable(bounded("".join(read(error)), PAGE))
        except KeyboardInterrupt:
            raise
        except BaseException:  # what it holds fails as it is asked
            continue
    return ""


def own(text: str) -> str:
    """A text of Python's own type: one of a class of its own may do anything when it is asked for its letters."""
    return str.__str__(text)


class_name: Callable[[type], str] = type.__dict__["__name__"].__get__
"""What a class is called, whatever its metaclass says."""


def is_a(error: BaseException, *kinds: type) -> bool:
    """Whether an exception is of one of these classes, whatever its `__class__` says."""
    return issubclass(type(error), kinds)


_FRAME = re.compile(r'^  File "([^"]+)", line (\d+)', re.MULTILINE)


def where(traceback: str, *, folder: bool = True, own: bool = False) -> str:
    """The file and line that a traceback ends at, in brackets; "" where it tells none, or none of its `own`.

    The last line of the plug-in's own is what its author can mend: a library that it calls may stand below it.
    """
    frames = _FRAME.findall(traceback)
    mine = [frame for frame in frames if not _LIBRARIES.search(frame[0])]  # not Python's, a library's or ctrbench's
    file, line = (mine or ([] if own else frames) or [("", "")])[-1]
    return f" ({plain(file if folder else os.path.basename(file))}:{line})" if file else ""


def signed(value: float, decimals: int = 5) -> str:
    """A difference with its sign, for people."""
    return f"{value:+z.{decimals}f}".replace("-", "−")


def bare_name(path: str) -> str:
    """What a file is called without its suffixes, and a pattern of files without the signs that stand for letters."""
    return re.sub(r"[-_. ]*[*?\[\]]+[-_. ]*", "", os.path.basename(os.path.normpath(path)).split(".")[0])


def bounded(text: str, length: int) -> str:
    """A text of at most so many letters: of a longer one the beginning and the end."""
    text = own(text)
    if len(text) <= length:
        return text
    left_out = f" [… {len(text) - length:,} letters …] "
    kept = max(0, length - len(left_out))
    return text[: kept - kept // 2] + left_out + text[len(text) - kept // 2 :]


def how_it_ended(status: int | None) -> str:
    """An exit status in words."""
    if status is None:
        return "cannot be killed"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    return f"killed by signal {-status}"


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """A suggestion for a misspelt word, or the list of what there is."""
    names = list(known)
    if close := closest(word, names):
        alike = close != word and unicodedata.normalize("NFC", close) == unicodedata.normalize("NFC", word)
        return f"did you mean {close!a}, and not {word!a}?" if alike else f"did you mean {close!r}?"
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return f"{otherwise} {', '.join(names[:MOST_NAMES])}{more}" if names else f"{otherwise} none"


def closest(word: str, known: Iterable[str]) -> str:
    """The name that a misspelt word was meant for; "" where none is like it.

    A name whose parts are all in the word comes before one that looks like it: roc_auc means auc, not pr_auc.
    """
    by_form: dict[str, str] = {}
    for name in known:
        by_form.setdefault(_form(name), name)
    if _form(word) in by_form:
        return by_form[_form(word)]
    parts = set(_parts(word))
    within = [name for name in by_form.values() if set(_parts(name)) < parts and len(name) > 2]
    close = difflib.get_close_matches(_form(word), by_form, n=1, cutoff=0.6)
    return max(within, key=len) if within else by_form[close[0]] if close else ""


def _form(word: str) -> str:
    """A word as it is compared: log-loss, log_loss and LogLoss are one."""
    return "".join(_parts(word)) or word


def _parts(word: str) -> list[str]:
    return re.findall(r"[^\W_]+", word.casefold())


def rounded(number: float, digits: int) -> str:
    """A number in so many significant digits, and all that stand before its point: 12,346, never 1.235e+04."""
    short = f"{number:,.{digits}g}"
    return f"{number:,.0f}" if abs(float(short.replace(",", ""))) >= 10**digits else short


def in_bytes(number: float) -> str:
    """A number of bytes in three digits: "820 kB", "34.5 MB", "2.9 GB"."""
    unit, scale = next((each for each in (("GB", 1e9), ("MB", 1e6)) if number >= each[1]), ("kB", 1e3))
    return f"{rounded(number / scale, 3)} {unit}"


def exact(number: float) -> str:
    """A number as short as it can be without meaning another one of fifteen digits; six digits at least."""
    shorts = (f"{number:.{digits}g}" for digits in range(6, 16))
    return next(short for short in shorts if float(short) == float(f"{number:.15g}"))


_PADDING = 2
"""Cells by which tabulate makes a column wider than its head."""


def folds(
    rows: Sequence[Sequence[str]], heads: Sequence[str], width: int, *, least: int, first: int | None = None
) -> list[int | None] | None:
    """To how many cells tabulate is to fold each column for a table to fit a width; None where it fits as it is.

    The widest are folded first, of the `first` columns or of all, and none to fewer than `least` or than its head has.
    """
    lows = [cells(head) + _PADDING for head in heads]
    widths = [max([low, *(cells(row[place]) for row in rows)]) for place, low in enumerate(lows)]
    over = sum(widths) + 2 * (len(widths) - 1) - width
    folded: list[int | None] = [None] * len(widths)
    for place in sorted(range(len(widths))[:first], key=lambda place: -widths[place]):
        narrower = max(least, lows[place], widths[place] - over)
        if narrower < widths[place] and over > 0:
            folded[place] = narrower
            over -= widths[place] - narrower
    return folded if rows and any(folded) else None


def cells(text: str) -> int:
    """How many cells of a terminal a text takes: two for a letter of Chinese or Japanese, none for a combining one."""
    from wcwidth import wcswidth

    wide: int = wcswidth(text)
    return wide if wide >= 0 else len(text)


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 cell", "2 cells"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def listed(names: Iterable[str]) -> str:
    """Names as a sentence has them: "a, b and c"."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
