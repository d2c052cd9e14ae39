"""A throwaway PostgreSQL cluster from Debian's binaries, on a socket in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

USER = "ctrbench"


class NoPostgresError(Exception):
    """There is none to be started here, and why."""


@contextmanager
def cluster() -> Iterator[str]:
    """A cluster while it is needed: the URL of its server, to which a database's name is to be added."""
    binaries = _binaries()
    become = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="ctrbench-pg-"))  # a socket's path must be short
    if become:
        shutil.chown(folder, become[-1], None)

    def do(program: str, *words: str) -> None:
        command = [*become, str(binaries / program), *words] if become else [str(binaries / program), *words]
        log = folder / "said"
        with open(log, "ab") as said:
            done = subprocess.run(command, cwd=folder, stdout=said, stderr=said, timeout=240)
        if done.returncode:
            raise NoPostgresError(f"{program} failed: {log.read_text(errors='replace')[-800:]}")

    data = str(folder / "data")
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off -c max_connections=50"
    try:
        do("initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        do("pg_ctl", "-D", data, "-w", "-t", "200", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql+psycopg://{USER}@/{{}}?host={folder}"
        finally:
            do("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    """The folder of the newest version's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        raise NoPostgresError("no PostgreSQL here: apt-get install postgresql brings one")
    return found[-1].parent if found else Path(on_path or "").parent


def _unprivileged() -> list[str]:
    """The words before a command that make it another user's: PostgreSQL refuses to run as root."""
    if os.geteuid():
        return []
    import pwd

    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        if shutil.which("setpriv"):
            return ["setpriv", "--clear-groups", f"--regid={pwd.getpwnam(name).pw_gid}", "--reuid", name]
    raise NoPostgresError("root cannot start PostgreSQL, and there is no other user or no setpriv to become one")


def cut_lines(where: str) -> int:
    """Ends every other connection to a PostgreSQL database; how many."""
    engine = sa.create_engine(where)
    with engine.connect() as connection:
        cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
        number = len(connection.exec_driver_sql(f"{cut} and pid <> pg_backend_pid()").all())
    engine.dispose()
    return number
