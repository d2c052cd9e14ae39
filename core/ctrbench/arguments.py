"""What a Python caller hands over, checked before any work.

In: the name of an argument and its value. Out: the value, of the type that the caller was asked for; UserError, one
line that names the argument, the value and what it must be, for anything else.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable
from functools import wraps
from inspect import BoundArguments
from numbers import Integral, Real
from typing import ParamSpec, TypeVar

from ctrbench.errors import UserError
from ctrbench.text import bounded, message, plain

P = ParamSpec("P")
T = TypeVar("T")


def same_as(other: Callable[P, object]) -> Callable[[Callable[[BoundArguments], T]], Callable[P, T]]:
    """A decorator: a function of a call's arguments takes what another one takes, with its defaults, and says so."""
    signature = inspect.signature(other)

    def decorated(function: Callable[[BoundArguments], T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            return function(given)

        told = inspect.signature(function).return_annotation
        vars(call)["__signature__"] = signature.replace(return_annotation=told)
        return call

    return decorated


def typed(name: str, value: object, kinds: type[T] | tuple[type[T], ...], wanted: str) -> T:
    """The value, which is of one of these types; a truth value is no number. `wanted` says what to give instead."""
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise UserError(f"{name}={shown(value)}: give {wanted}")
    return value


def whole(name: str, value: object, low: int, high: int) -> int:
    """A whole number in that range, of numpy's too."""
    wanted = f"a whole number from {low} to {high}"
    number = int(typed(name, value, Integral, wanted))
    if not low <= number <= high:
        raise UserError(f"{name}={shown(number)}: give {wanted}")
    return number


def number(name: str, value: object, wanted: str) -> float:
    """A finite number, of numpy's too."""
    try:
        found = float(typed(name, value, Real, wanted))
    except OverflowError:
        raise UserError(f"{name}={shown(value)}: give {wanted}") from None
    if not math.isfinite(found):
        raise UserError(f"{name}={found}: give {wanted}")
    return found


def native(value: object) -> object:
    """A number of numpy's as Python's own; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def flag(name: str, value: object) -> bool:
    """True or False."""
    return typed(name, value, bool, "True or False")


def path(name: str, value: object, wanted: str = "a path, as in 'results.db' or Path('results.db')") -> str:
    """A path as a text that is not empty."""
    kinds: tuple[type[str | os.PathLike[str]], ...] = (str, os.PathLike)
    text: object = os.fspath(typed(name, value, kinds, wanted))
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{name}={shown(value)}: give {wanted}")
    return text


def shown(value: object) -> str:
    """A value as an error shows it: on one line, of bounded length; of what is no plain value, its class."""
    if isinstance(value, type):
        return f"<class {value.__name__}>"
    if value is None or isinstance(value, str | bytes | int | float | list | tuple | dict | set):
        try:
            return plain(bounded(repr(value), 80))
        except Exception as error:  # what stands in it may refuse to be shown
            return f"<{type(value).__name__}: {message(error)}>"
    return f"<{type(value).__name__}>"
