"""Where things lie that tests read: the tests, this repository, and real logs beside it, if there are any."""

from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SHARED = ROOT.parent / "shared"
