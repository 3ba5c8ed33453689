# Six things anyone may want. Each makes its environment, .venv, first; it is made once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LABEL_STUDIO_PYTHON ?= $(PYTHON)
LABEL_STUDIO_VENV ?= .venv-label-studio
LABEL_STUDIO_READY := $(LABEL_STUDIO_VENV)/.ready
# FiftyOne supports Python up to 3.13; with FIFTYONE=0 it is neither installed nor tested.
FIFTYONE ?= $(shell $(PYTHON) -c 'import sys; print(int(sys.version_info < (3, 14)))')
ifeq ($(FIFTYONE),0)
# Without FiftyOne's package, coverage cannot reach what is demanded of it.
TESTS := tests --ignore tests/e2e --ignore tests/fiftyone_plugin --cov-fail-under 0
E2E_TESTS := tests/e2e --ignore tests/e2e/fiftyone --ignore tests/e2e/test_installed_plugin.py
else
TESTS := tests --ignore tests/e2e
E2E_TESTS := tests/e2e
endif

.PHONY: demo serve test e2e lint docs

demo: $(READY)  ## draw images, annotate the files, show masks and words
	$(BIN)/pam-labeling demo out/demo

serve: $(READY)  ## answer Label Studio at http://localhost:9090, with nano or PAM_MODEL
	$(BIN)/pam-labeling serve

# A process for each core, and each computes with one thread. A process takes the tests in their
# order, from another's far end when it has none left: so files mostly stay whole, as do the servers
# and models that their tests share. As `tests` is named, the first process, which runs no test,
# loads no folder's conftest.py, and so no torch.
test: $(READY)  ## all tests but the end-to-end ones, with coverage
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal \
		--cov --cov-report=term $(TESTS)

e2e: $(READY) $(LABEL_STUDIO_READY)  ## from the outside: the built package, a real Label Studio
	LABEL_STUDIO_VENV=$(LABEL_STUDIO_VENV) $(BIN)/python -m pytest $(E2E_TESTS)

lint: $(READY)  ## style, formatting, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/draw_architecture.py --check

docs: $(READY)  ## the documentation with the API reference, in out/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

$(READY): pyproject.toml constraints.txt scripts/set_up scripts/install_torch.py scripts/install_database
	FIFTYONE=$(FIFTYONE) scripts/set_up $(PYTHON) $(VENV)
	@touch $@

$(LABEL_STUDIO_READY): tests/e2e/label_studio/constraints.txt scripts/set_up_label_studio
	scripts/set_up_label_studio $(LABEL_STUDIO_PYTHON) $(LABEL_STUDIO_VENV)
	@touch $@
