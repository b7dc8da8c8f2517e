# Needs Python 3.11 or later and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

# A process a core, each on one thread: many small tensors are quickest so. Hashes are fixed, so that
# sets have the same order in every process.
PYTEST := OMP_NUM_THREADS=1 PYTHONHASHSEED=0 $(BIN)/python -m pytest -n auto

.PHONY: demo test lint types tests quick coverage zoo bench docs clean

demo: .venv/installed  ## from nothing to a repaired captioner, in about two minutes
	$(BIN)/capfix demo capfix-demo-$$(date +%Y%m%d-%H%M%S)

test: lint types tests  ## what must pass before anything lands

lint: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/tested
	$(BIN)/mypy

tests: .venv/tested
	$(PYTEST)

quick: .venv/tested  ## the stages, each on its own: what to run while you write
	$(PYTEST) tests/unit -m "not slow"

coverage: .venv/tested
	$(PYTEST) --cov capfix_cli --cov-report term:skip-covered

docs: .venv/tested  ## write the parts of the docs that are made from the code
	$(BIN)/python -m benchmarks.pages.architecture
	$(BIN)/python -m benchmarks.pages.cause_docs
	$(BIN)/python -m benchmarks.pages.fix_docs
	$(BIN)/python -m benchmarks.pages.foreign_docs
	$(BIN)/python -m benchmarks.pages.schemas

# Captioners in other people's styles, each with every kind of fault; ESC10=PATH adds real audio.
zoo: .venv/tested  ## how often a diagnosis is right away from home: the small form
	$(BIN)/python -m benchmarks.accuracy.foreign --work .zoo --worlds pairs \
		--architectures conv-pool,cells $(if $(ESC10),--esc10 "$(ESC10)")

bench: .venv/tested
	$(BIN)/python -m benchmarks.speed.startup
	$(BIN)/python -m benchmarks.speed.memory
	$(BIN)/python -m benchmarks.speed.generate_memory
	$(BIN)/python -m benchmarks.speed.decoding_gru
	$(BIN)/python -m benchmarks.speed.decoding_huggingface

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
