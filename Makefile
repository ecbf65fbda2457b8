# make predict [CLIP=file] [TEXT=words-or-file]   answer for a clip; sets up .venv the first time
# make check                                      ruff and mypy
# make test                                       check, then the tests
# TORCH=cpu or TORCH=cuda chooses the build of torch; without it, CUDA only where a GPU is seen.

TORCH ?= auto
VENV  ?= .venv
BIN   := $(VENV)/bin

# The first Python that is new enough; empty if there is none.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

EXAMPLE := examples/smile.mp4
CLIP    ?= $(EXAMPLE)
ifeq ($(CLIP),$(EXAMPLE))
TEXT    ?= $(EXAMPLE:.mp4=.txt)
endif
# Through the environment, so that quotes and spaces in a name or a sentence stay what they are.
export CLIP TEXT

# A stamp for each choice of torch, so that another choice installs again.
RUNTIME := $(VENV)/.installed-$(TORCH)
DEV     := $(VENV)/.installed-dev-$(TORCH)
INPUTS  := pyproject.toml tools/install_torch.py

.PHONY: predict check test
.DELETE_ON_ERROR:

predict: $(RUNTIME)
	@$(BIN)/emotion-llama predict "$$CLIP" $(if $(TEXT),--text "$$TEXT")

check: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every worker gets one thread, otherwise each would start one for every core.
test: check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python of at least 3.11 found: install one, or name it with PYTHON=..." >&2; exit 1; fi
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Could not make $(VENV): on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }

$(RUNTIME): $(INPUTS) | $(BIN)/python
	@$(BIN)/python tools/install_torch.py $(TORCH)
	@echo "installing emotion-llama and what it needs"
	@$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@rm -f $(VENV)/.installed-*
	@touch $@

$(DEV): $(RUNTIME)
	@echo "installing what the tests need"
	@$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@
