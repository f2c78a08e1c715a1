# Two commands do all the set-up on a machine that has Python 3.11 or newer:
#   make demo   train a small language model with a context that pays, beside its rivals
#   make test   run the tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo demo-seeds test lint clean

demo: $(VENV)/run
	$(BIN)/shapeflow compare examples/bytes.shape -o runs/demo

demo-seeds: $(VENV)/run
	$(BIN)/shapeflow compare examples/bytes.shape -o runs/demo-seeds --seeds 0,1,2

test: $(VENV)/dev
	$(BIN)/python -m pytest

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shapeflow fmt --check examples/*.shape

$(VENV)/run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/run

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
