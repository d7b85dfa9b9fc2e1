# The project's commands. Needs git, make, python3 with pip, and a C++ compiler (docs/decisions.md says what for).

UV_VERSION := 0.13.8
BUNDLED_UV := .tools/uv-$(UV_VERSION)/bin/uv
# UV=… wins, then a uv on PATH that is at least as new, then one of the project's own.
UV ?= $(shell printf 'uv %s\n%s\n' $(UV_VERSION) "$$(uv --version 2>/dev/null)" | sort -CV && echo uv || echo $(BUNDLED_UV))
VENV := $(or $(UV_PROJECT_ENVIRONMENT),.venv)
SYNCED := $(VENV)/.synced
BENCHMARKS := $(wildcard benchmarks/[!_]*.py)
# What the two stacks' libraries do differently shows here, if anywhere; and how many seconds it may take.
NEWER := $(wildcard tests/pipelines/dag $(addprefix tests/components/, evaluator export serving windows))
NEWER_LIMIT_S := 1500
# What says most first: what there is no time for is not begun.
CLUSTER := $(foreach part,manifests training serving retraining prism pipelines,tests/cluster/test_cluster_$(part).py)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test format-check lint types imports unit unit-newer containers cluster format benchmarks $(BENCHMARKS) clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

setup: $(SYNCED)  ## install everything that uv.lock pins into .venv

demo: setup  ## run the whole MNIST pipeline on the embedded digits
	$(VENV)/bin/millrace demo

test: format-check lint types imports unit  ## the whole gate: the five below

format-check: setup  ## is every file formatted?
	$(VENV)/bin/ruff format --check .

lint: setup  ## ruff
	$(VENV)/bin/ruff check .

types: setup  ## mypy, strict
	$(VENV)/bin/mypy

imports: setup  ## import-linter: the layers
	$(VENV)/bin/lint-imports

# Two processes, since one keeps two cores busy for half the time alone. The longest files first: a long one must not
# be left over at the end.
unit: setup  ## all tests, slow ones too
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

unit-newer:  ## all tests on Python 3.13, in a container, where root and apt allow it
	tests/containers/tests.sh 7200

containers: setup  ## the DAG in containers of the image, then the tests of DAGs, models and serving on Python 3.13
	UV='$(UV)' tests/containers/run.sh
	tests/containers/tests.sh $(NEWER_LIMIT_S) $(NEWER)

cluster: setup  ## manifests, training on two hosts, serving and retraining on a real Kubernetes, where root and Go allow it
	@if missing=$$($(VENV)/bin/python tests/cluster/missing.py 2>&1); \
	  then MILLRACE_CLUSTER=1 $(VENV)/bin/python -m pytest $(CLUSTER); \
	  else echo "cluster: not run: $$missing"; fi

format: setup  ## format, and repair what ruff can
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

benchmarks: $(BENCHMARKS)  ## run every measurement with its defaults

$(BENCHMARKS): setup
	$(VENV)/bin/python $@

clean:  ## remove the environment, the bundled uv and all caches; models and data stay
	rm -rf .venv .tools .*_cache .hypothesis dist
	find . -name __pycache__ -prune -exec rm -rf {} +

# Bytecode is compiled once, here: elsewhere it may not be written, and importing TensorFlow takes twice as long without.
$(SYNCED): pyproject.toml uv.lock .python-version | $(filter $(BUNDLED_UV),$(UV))
	@$(UV) sync --frozen --compile-bytecode || { command -v c++ >/dev/null || echo "make setup: expected a C++ compiler to build pyfarmhash with, found no c++ on PATH; on Debian and Ubuntu: apt-get install g++ python3-dev" >&2; exit 1; }
	@touch $@

# From / because pyenv refuses to start a python3 where .python-version names one that it lacks. Renamed when whole.
$(BUNDLED_UV):
	@rm -rf .tools/part
	@cd / && { PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --no-deps --target '$(CURDIR)/.tools/part' uv==$(UV_VERSION) \
	  || { python3 -m venv --clear '$(CURDIR)/.tools/part' && '$(CURDIR)/.tools/part/bin/pip' install --quiet uv==$(UV_VERSION); }; }
	@mv .tools/part $(@:/bin/uv=)
