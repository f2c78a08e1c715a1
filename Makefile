# Two commands do all the set-up on a machine that has Python 3.11 or newer:
#   make demo   train a small language model by the plan, and by its rivals
#   make test   run the tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

.PHONY: demo demo-seeds test lint docs clean

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

# The documentation as a site, in site/. `--strict`: a broken link, or a page that no menu names, fails
# (not with `--quiet`, which drops the warnings that `--strict` counts).
docs: $(VENV)/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

# Tests compare with transformers and timm. They load only the layers of timm, since its dependency torchvision would
# install a CUDA build of torch.
$(VENV)/dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[dev]' transformers
	$(PIP) --no-deps timm
	touch $@ $(VENV)/run

$(VENV)/docs: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[docs]'
	touch $@ $(VENV)/run

clean:
	rm -rf $(VENV) site build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
