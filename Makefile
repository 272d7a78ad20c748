# make run    serves the portal on http://127.0.0.1:8000
# make dev    serves it with sample data and restarts it when code changes
# make check  format, lint, types and the fast tests, in one to two minutes
# make test   lint, types and all tests
# make benchmark  measures what answers, uploads and training cost (docs/performance.md)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run dev setup check test setup-dev faults benchmark format lock

run: setup
	$(BIN)/python manage.py up

dev: setup-dev
	$(BIN)/python -m dev

setup: $(VENV)/.runtime

setup-dev: $(VENV)/.dev

check: setup-dev
	tests/check

test: setup-dev
	tests/run

# Breaks a running portal in every way we know, and counts what became of the uploads (half an hour).
faults: setup-dev
	$(BIN)/python -m tests.faults
	$(BIN)/python -m tests.faults --embedded

# Ten minutes on an idle machine. PICTURES is a folder of X-rays; without it, X-rays are drawn.
benchmark: setup-dev
	$(BIN)/python -m benchmarks.performance --write $(if $(PICTURES),--pictures "$(PICTURES)")

format: setup-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The stamps make a second start install nothing: they are newer than the pins they came from.
$(VENV)/.runtime: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	touch $@

$(VENV)/.dev: requirements-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	touch $(VENV)/.runtime $@

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Callus needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# Pins all dependencies by hash. Needs uv on the PATH.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --extra train pyproject.toml -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    -c requirements.txt --extra train --group dev pyproject.toml -o requirements-dev.txt
