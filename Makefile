# The two commands of a new user: `make demo` and `make test`. Both set up .venv first; Python and pip are all they need.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types setup clean

demo: setup
	$(BIN)/posewright demo

test: lint types
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $@

clean:
	rm -rf .venv out runs
