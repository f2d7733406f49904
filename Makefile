# Everything there is to do with a checkout. `make demo` and `make test` set up what they need.
VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
export OMP_NUM_THREADS := 1
export HF_HUB_OFFLINE := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: setup demo test bench docs

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet -c constraints.txt torch
	$(PYTHON) -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# Trains the model that ships on the task that ships: about two minutes on two cores.
demo: $(READY)
	rm -rf runs/demo
	$(PYTHON) -m concord train demo

test: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PYTHON) -m pytest -n 2

bench: $(READY)
	for file in benchmarks/*.py; do $(PYTHON) $$file || exit 1; done

docs: $(READY)
	$(PYTHON) -m pip install --quiet -c constraints.txt -e '.[docs]'
	$(VENV)/bin/mkdocs build --strict
