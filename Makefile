# `make demo` and `make test` are all the set-up there is: each makes .venv and installs into it.
# Another interpreter than python3: `make demo PYTHON=python3.12`.

PYTHON ?= python3
VENV ?= .venv
CONFIG ?= configs/digits.py
WORKDIR ?= runs/digits
# Which tests `make test` runs, as a pytest marker expression.
SELECT ?= not slow
# Further arguments for pytest, for example PYTEST_ARGS=tests/search.
PYTEST_ARGS ?=
# Processes that share the tests, a file at a time.
WORKERS ?= 2

BIN := $(VENV)/bin
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist=loadfile
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test test-all lint format wheel bazel-files buildifier upgrade clean clean-all
.DEFAULT_GOAL := help

help:
	@echo "make demo         install into $(VENV) and run the main job: $(CONFIG) -> $(WORKDIR)"
	@echo "make test         install the test extra, lint, run the quick tests"
	@echo "make test-all     the same with the slow tests"
	@echo "make lint         ruff check and ruff format --check"
	@echo "make format       let ruff mend what it can"
	@echo "make wheel        sdist and wheel into dist/"
	@echo "make bazel-files  write the lists of modules and tests in BUILD again"
	@echo "make buildifier   let buildifier check the Bazel files (npx of Node.js)"
	@echo "make upgrade      newest versions into a fresh environment, then into constraints.txt"
	@echo "make clean        remove what building and testing leave behind; clean-all: $(VENV) too"

demo: $(VENV)/.installed
	$(BIN)/joslim run --config=$(CONFIG) --workdir=$(WORKDIR)

# pytest comes last: its closing line is the last line.
test: lint
	$(PYTEST) -m "$(SELECT)" $(PYTEST_ARGS)

test-all: lint
	$(PYTEST) $(PYTEST_ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(VENV)/.installed-test
	$(BIN)/python -m build --outdir dist .

bazel-files:
	$(PYTHON) tools/bazel/write_build.py

BAZEL_FILES := BUILD WORKSPACE MODULE.bazel $(shell find tools/bazel -name '*.bzl' -o -name '*.bazel' -o -name WORKSPACE)

buildifier:
	npx --yes @bazel/buildifier@8.2.1 -mode=check -lint=warn $(BAZEL_FILES)

# The environment. The stamps make pip run again only when a file it reads has changed; the test
# extra contains all of the plain installation, so it leaves both stamps.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) \
	else "keras_joslim needs Python 3.11, 3.12 or 3.13; $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.py pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-test: setup.py pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[test]'
	@touch $@ $(VENV)/.installed

upgrade:
	rm -rf _upgrade && $(PYTHON) -m venv _upgrade
	_upgrade/bin/python -m pip install --quiet '.[test]' setuptools
	{ sed -n '/^#/p' constraints.txt; _upgrade/bin/python -m pip freeze --all \
	| grep -vE '^(pip|keras[_-]joslim)\b'; } > constraints.new
	mv constraints.new constraints.txt && rm -rf _upgrade

clean:
	rm -rf dist _setuptools _upgrade *.egg-info .pytest_cache .ruff_cache .hypothesis
	find keras_joslim tflite configs tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +

clean-all: clean
	rm -rf $(VENV)
