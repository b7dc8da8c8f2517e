# Needs Python 3.11 or later and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types tests bench clean

demo: .venv/installed  ## from nothing to a repaired captioner, in about two minutes
	$(BIN)/capfix demo capfix-demo-$$(date +%Y%m%d-%H%M%S)

test: lint types tests  ## what must pass before anything lands

lint: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/tested
	$(BIN)/mypy

tests: .venv/tested
	$(BIN)/python -m pytest

bench: .venv/tested
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/generate_memory.py
	$(BIN)/python benchmarks/decoding_gru.py
	$(BIN)/python benchmarks/decoding_huggingface.py

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "capfix needs Python 3.11 or later: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/tested: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ .venv/installed

clean:
	rm -rf .venv
