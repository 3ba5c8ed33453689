# Each target first makes the environment .venv, unless it is there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CONTAINER ?= docker
LABEL_STUDIO_PYTHON ?= $(PYTHON)
LABEL_STUDIO_VENV ?= .venv-label-studio
LABEL_STUDIO_READY := $(LABEL_STUDIO_VENV)/.ready
FORMATS_VENV ?= .venv-formats
FORMATS_READY := $(FORMATS_VENV)/.ready
# FiftyOne supports Python up to 3.13; with FIFTYONE=0 it is neither installed nor tested.
FIFTYONE ?= $(shell $(PYTHON) -c 'import sys; print(int(sys.version_info < (3, 14)))')
# A clip of the parity tests takes minutes.
SLOW := tests/e2e tests/parity/test_golden_video.py
QUICK := tests $(SLOW:%=--ignore %)
ifeq ($(FIFTYONE),0)
TESTS := $(QUICK) --ignore tests/fiftyone_plugin
# Without FiftyOne, coverage cannot reach its limit.
COVERAGE_LIMIT := --cov-fail-under 0
E2E_TESTS := $(SLOW) --ignore tests/e2e/fiftyone --ignore tests/e2e/test_installed_plugin.py
else
TESTS := $(QUICK)
E2E_TESTS := $(SLOW)
endif
# Tracing each line makes the tests take a third longer.
ifdef COVERAGE
MEASURE := --cov --cov-report=term $(COVERAGE_LIMIT)
endif

.PHONY: demo serve test e2e lint docs image

demo: $(READY)  ## draw images, annotate them, show regions and words
	$(BIN)/pam-labeling demo out/demo

serve: $(READY)  ## serve Label Studio at http://localhost:9090, with nano or PAM_MODEL
	$(BIN)/pam-labeling serve

# Each core has one process, which computes with one thread. A process runs its tests in order; when it
# has none left, it takes some from the end of another's. Most files therefore stay in one process, with
# the servers and models that their tests share. Because the argument is `tests`, the first process,
# which runs no tests, loads no folder's conftest.py, and therefore no torch.
test: $(READY)  ## run all tests except the end-to-end tests; COVERAGE=1 measures what they run
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal \
		$(MEASURE) $(TESTS)

e2e: $(READY) $(LABEL_STUDIO_READY) $(FORMATS_READY)  ## test the built package with a real Label Studio
	LABEL_STUDIO_VENV=$(LABEL_STUDIO_VENV) FORMATS_VENV=$(FORMATS_VENV) $(BIN)/python -m pytest $(E2E_TESTS)

image:  ## build the backend's container image; CONTAINER=podman or buildah
	$(CONTAINER) build --file docker/Dockerfile --tag pam-labeling:cpu .

lint: $(READY)  ## check style, format, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/draw_architecture.py --check

docs: $(READY)  ## build the documentation with the API reference in out/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

$(READY): pyproject.toml constraints.txt scripts/set_up scripts/install_torch.py scripts/install_database
	FIFTYONE=$(FIFTYONE) scripts/set_up $(PYTHON) $(VENV)
	@touch $@

$(LABEL_STUDIO_READY): tests/e2e/label_studio/constraints.txt scripts/set_up_label_studio
	scripts/set_up_label_studio $(LABEL_STUDIO_PYTHON) $(LABEL_STUDIO_VENV)
	@touch $@

$(FORMATS_READY): tests/e2e/formats/constraints.txt constraints.txt scripts/set_up_formats scripts/install_torch.py
	scripts/set_up_formats $(LABEL_STUDIO_PYTHON) $(FORMATS_VENV)
	@touch $@
