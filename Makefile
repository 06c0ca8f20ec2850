# `make demo` and `make test` do all of their own set-up, in .venv of this folder; PYTHON may name another Python 3.10-3.13.
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)

.PHONY: demo test check lint types docs clean

demo: .venv/installed  ## the whole mini recipe, from making its corpus to its report
	cd egs/mini && ./run.sh $(DEMO)

test: .venv/installed  ## the test suite
	pytest -n 2 --dist loadfile $(TESTS)

check: lint types test

lint: .venv/installed
	ruff check .
	ruff format --check .

types: .venv/installed
	mypy

docs: .venv/installed  ## the site, in site/; a dead link is an error
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	@echo "open site/index.html; to search it, too: python -m http.server -d site"

.venv/installed: setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) else f"unitdisc needs Python 3.10 to 3.13, {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	@echo "installing into .venv: some minutes, 6 GB"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

clean:  ## what the tools leave; trainings, data and corpora of the recipes stay
	rm -rf .venv build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
