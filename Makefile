# Everything there is to do with a checkout. `make demo` and `make test` set up what they need.
VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
export OMP_NUM_THREADS := 1
export HF_HUB_OFFLINE := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: setup demo test torture bench docs engines test-engines

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

# verl and other frameworks are heavy and want versions of their own: their tests have an environment of theirs.
ENGINES := .venv-engines
engines: $(ENGINES)/.ready

$(ENGINES)/.ready: pyproject.toml constraints-engines.txt
	python3 -m venv $(ENGINES)
	$(ENGINES)/bin/python -m pip install --quiet -c constraints-engines.txt torch
	$(ENGINES)/bin/python -m pip install --quiet -c constraints-engines.txt -e '.[verl]' hypothesis pytest pytest-timeout
	touch $@

test-engines: $(ENGINES)/.ready
	$(ENGINES)/bin/python -m pytest -o filterwarnings=default tests/engines_verl tests/frameworks

# Kills, failing disks, damaged and hostile inputs: about an hour.
torture: $(READY)
	$(PYTHON) -m scripts.torture.kills --sample 44
	$(PYTHON) -m scripts.torture.inputs --count 100000 --seconds 3600

bench: $(READY)
	$(PYTHON) -m concord bench --speed
	for file in benchmarks/*.py; do $(PYTHON) $$file || exit 1; done

docs: $(READY)
	$(PYTHON) -m pip install --quiet -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict
