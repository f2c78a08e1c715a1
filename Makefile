# These two commands install everything they need; they require Python 3.11 or newer:
#   make demo   train a small language model at two context lengths, and compare it with its rivals
#   make test   run the tests
# `make fuzz MINUTES=60 JOBS=2` looks for inputs that break the commands.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

.PHONY: demo demo-seeds test lint docs fuzz clean

demo: $(VENV)/run
	$(BIN)/shapeflow compare examples/bytes.shape -o runs/demo --rival last --rival random

demo-seeds: $(VENV)/run
	$(BIN)/shapeflow compare examples/bytes.shape -o runs/demo-seeds --seeds 0,1,2 --rival last --rival random

test: $(VENV)/dev editors/node_modules
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shapeflow fmt --check examples/*.shape

# Feed mutated inputs to the commands for some minutes. What breaks them is added to tests/fuzz/corpus.
MINUTES ?= 60
SEED ?= 0
JOBS ?= 1
fuzz: $(VENV)/dev
	$(BIN)/python tests/fuzz/campaign.py --minutes $(MINUTES) --seed $(SEED) --jobs $(JOBS)

# Build the documentation in site/. `--strict` fails on broken links and on pages that are missing from the menu.
# Do not add `--quiet`: it hides the warnings that `--strict` counts.
docs: $(VENV)/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

# Tests compare with transformers and timm, and carry out plans in the trainers of transformers, TRL and Lightning.
# timm is installed without its dependencies: the tests use only its layers, and torchvision would install a CUDA build of torch.
$(VENV)/dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[dev,hf,lightning,lsp]'
	$(PIP) --no-deps timm
	touch $@ $(VENV)/run

# A test colours files by the libraries of VS Code. Without npm it is skipped.
editors/node_modules: editors/package.json editors/package-lock.json
	if command -v npm > /dev/null; then npm ci --prefix editors --ignore-scripts --no-audit --no-fund && touch $@; fi

$(VENV)/docs: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[docs]'
	touch $@ $(VENV)/run

clean:
	rm -rf $(VENV) editors/node_modules site build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
