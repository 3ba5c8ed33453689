# Five things anyone may want. Each makes its environment, .venv, first; it is made once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test e2e lint

demo: $(READY)  ## draw pictures, annotate the files, show masks and words
	$(BIN)/pam-labeling demo out/demo

test: $(READY)  ## all tests but the end-to-end ones, with coverage
	$(BIN)/python -m pytest --cov --cov-report=term

e2e: $(READY)  ## the built package, installed afresh, from the outside
	$(BIN)/python -m pytest tests/e2e

lint: $(READY)  ## style, formatting, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(READY): pyproject.toml constraints.txt scripts/set_up scripts/install_torch.py
	scripts/set_up $(PYTHON) $(VENV)
	@touch $@
