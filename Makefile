# Each target makes .venv and installs what it needs; `make run` and `make test` are all a newcomer has to know.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DOCS_INSTALLED := .venv/.installed-docs

# Where it is forbidden to keep compiled modules, each of the hundreds of processes that tests start compiles all of them anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-slow test-faults test-lowest lint docs docs-links quality bench gpu results clean

FAULTS ?= 200
SEED ?= 1
NEW_SEED ?= $(shell date +%s)

run: $(INSTALLED)
	$(BIN)/ctrbench run

test: $(INSTALLED)
	$(BIN)/pytest -m "not slow" --numprocesses 2 --dist loadfile

test-slow: $(INSTALLED)
	$(BIN)/pytest -m slow

test-faults: $(INSTALLED)
	$(BIN)/pytest tests/faults -s --timeout 0 --faults $(FAULTS) --fault-seed $(SEED)

# The tests with the oldest releases that pyproject.toml allows; torch alone, of which each is gigabytes, is that of constraints.txt.
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch uv
	.venv-lowest/bin/pip freeze | grep '^torch==' > .venv-lowest/torch.txt
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --constraint .venv-lowest/torch.txt --editable ".[dev]"
	.venv-lowest/bin/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What Sphinx warns of, a link to a heading that is not there included, is an error.
docs: $(DOCS_INSTALLED)
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --jobs 2 docs docs/_build/html
	@echo "docs/_build/html/index.html"

# The links that lead out; needs the internet, so it is no part of `make docs`.
docs-links: $(DOCS_INSTALLED)
	$(BIN)/sphinx-build --quiet --builder linkcheck docs docs/_build/links

# A failed task (status 1) is left to the comparison, which names it.
quality: $(INSTALLED)
	rm -rf .quality && mkdir .quality
	$(BIN)/ctrbench run --suite benchmarks/quality/suite.toml --seed $(NEW_SEED) --store .quality/quality.db > .quality/tables.txt || [ $$? = 1 ]
	$(BIN)/ctrbench compare benchmarks/quality/baseline.json --store .quality/quality.db --fail-on auc,logloss,identical --margin logloss=0.02 --junit .quality/junit.xml --markdown .quality/summary.md

bench: $(INSTALLED)
	mkdir -p .benchmarks
	$(BIN)/pytest benchmarks --benchmark-enable --benchmark-only --benchmark-columns=min,median,rounds --benchmark-json=.benchmarks/latest.json

# On a machine with an NVIDIA GPU: every engine and model against its CPU numbers, times, a forecast.
gpu: $(INSTALLED)
	$(BIN)/python benchmarks/gpu.py

# The tables and the picture of docs/results, from its archives.
results: $(INSTALLED)
	$(BIN)/python benchmarks/replication/results.py

clean:
	rm -rf .venv .venv-lowest

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "ctrbench needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[docs]"
	touch $@
