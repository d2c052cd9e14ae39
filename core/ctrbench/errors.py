"""What a plug-in or the harness may say instead of a result: the user's mistake, "not for me", "it came to nothing"."""

from __future__ import annotations


class UserError(Exception):
    """A mistake the user can fix: one line that names the value, where it came from and the fix; exit status 2."""


class RunFailed(Exception):
    """A run has no result, through no mistake of the user's: one line that says why; exit status 1."""


class Skip(Exception):
    """Raised by a plug-in that does not apply here, with the reason; recorded as `skipped`, never as a failure."""
