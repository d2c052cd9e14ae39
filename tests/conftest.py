"""What several test files share: small tables, and the real Frappe log where it is at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import postgres
import pytest
import sqlalchemy as sa
from ctrbench.registry import Registry, load_registry
from ctrbench.store.store import Store
from hypothesis import settings
from places import SHARED, TESTS
from toys import TOYS

if "PYTEST_XDIST_WORKER" in os.environ:  # two processes of two threads each on two cores would wait for one another
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")

settings.register_profile("same", derandomize=True)  # a build is red for what was changed, not by chance
settings.load_profile("same")

THIRD_PARTY = TESTS / "third_party"
collect_ignore = ["third_party"]  # the toybox has tests of its own, for those who have it installed
FRAPPE = SHARED / "data" / "Frappe_x1"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", type=int, default=12, metavar="N", help="faults that tests/faults injects at least")
    parser.addoption("--fault-seed", type=int, default=1, help="seed of the kinds and moments of faults")


def install(target: Path, *projects: Path) -> None:
    """Put distributions into a folder, without a network."""
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, *projects], check=True)


@pytest.fixture(scope="session")
def toybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed toybox."""
    folder = tmp_path_factory.mktemp("third_party")
    project = shutil.copytree(THIRD_PARTY / "toybox", folder / "toybox")
    install(folder / "site", project)
    return folder / "site"


@pytest.fixture(scope="session")
def frappe_folder() -> Path:
    if not (FRAPPE / "train.csv").exists():
        pytest.skip(f"the Frappe_x1 log is not at {FRAPPE}: real-data cases are left out")
    return FRAPPE


@pytest.fixture(scope="session")
def toy_registry() -> Registry:
    return load_registry(TOYS)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread for torch: neural generators are then repeatable, and quicker on small tables."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server's URL, to which a database's name is to be added."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgres.cluster())
        except postgres.NoPostgresError as error:
            pytest.skip(f"PostgreSQL cases are left out: {error}")
        yield url


@pytest.fixture
def new_database(postgres_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty database; its artefacts go to the test's own folder."""
    monkeypatch.chdir(tmp_path)
    engine = sa.create_engine(postgres_server.format("postgres"), isolation_level="AUTOCOMMIT")
    name = f"t{uuid.uuid4().hex[:12]}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"create database {name}")
    engine.dispose()
    return postgres_server.format(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store may be made."""
    if request.param == "sqlite":
        return str(tmp_path / "results.db")
    url: str = request.getfixturevalue("new_database")
    return url


@pytest.fixture
def store(where: str) -> Store:
    return Store.open(where)
