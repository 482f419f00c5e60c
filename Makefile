# Two commands for everybody: make demo, make test. Each makes its own environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
TORCH := $(shell grep '^torch==' constraints.txt)
MINUTES ?= 2
# Threads that spin while they wait slow every neighbour down; ours sleep.
export OMP_WAIT_POLICY ?= passive

.PHONY: help demo test test-gpu lint bench bench-nnunet wheel clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/base: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/dev: $(VENV)/base
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .[dev]
	touch $@

demo: $(VENV)/base ## phantoms (or DATA=<MSD folder>): train, evaluate, infer, report; MINUTES=2 of training
	rm -rf $(DEMO)
	$(if $(DATA),,$(BIN)/medseg phantom hippocampus_mri $(DEMO)/data --cases 32)
	$(BIN)/medseg run hippocampus_mri train --data "$(or $(DATA),$(DEMO)/data)" --out $(DEMO)/run minutes=$(MINUTES)
	$(BIN)/medseg run hippocampus_mri infer --data "$(or $(DATA),$(DEMO)/data)" --out $(DEMO)/predictions \
		checkpoint_file=$(DEMO)/run/bundle/models/model.pt
	$(BIN)/medseg run hippocampus_mri evaluate --data "$(or $(DATA),$(DEMO)/data)" --out $(DEMO)/run \
		subset=$(if $(DATA),validate,test)

# a headless Chromium for the tests of pages; where none can be had, they skip and say so
$(VENV)/browser: $(VENV)/dev tools/get_browser.py
	$(BIN)/python tools/get_browser.py $@
	mkdir -p $@
	touch $@

# files go out in their order, for the longest tests are in the first folder
test: lint $(VENV)/browser ## the whole suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-gpu: $(VENV)/dev ## what needs a CUDA device
	$(BIN)/python -m pytest -m gpu

lint: $(VENV)/dev ## ruff, import-linter, mypy
	$(BIN)/ruff check medseg tests tools
	$(BIN)/ruff format --check medseg tests tools
	$(BIN)/lint-imports
	$(BIN)/mypy medseg

$(VENV)/bench: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --no-deps medpy==0.5.2 surface-distance==0.1
	touch $@

bench: $(VENV)/bench ## ratios against named peers (tools/bench)
	$(BIN)/python tools/bench/startup.py
	$(BIN)/python tools/bench/train_step.py
	$(BIN)/python tools/bench/networks.py
	$(BIN)/python tools/bench/io.py
	$(BIN)/python tools/bench/metrics.py
	$(BIN)/python tools/bench/score.py

# torchvision without its dependencies: they would swap torch for a CUDA build of several gigabytes.
$(VENV)-nnunet/base: constraints.txt
	$(PYTHON) -m venv $(VENV)-nnunet
	$(VENV)-nnunet/bin/python -m pip install --quiet $(TORCH)
	$(VENV)-nnunet/bin/python -m pip install --quiet --no-deps torchvision==0.28.0
	$(VENV)-nnunet/bin/python -m pip install --quiet $(TORCH) nnunetv2==2.8.1
	touch $@

bench-nnunet: $(VENV)/dev $(VENV)-nnunet/base ## Dice per minute against nnU-Net v2 on DATA=<MSD Task04_Hippocampus>, 2 hours
	$(BIN)/python tools/bench/time_to_dice.py --data "$(DATA)" --nnunet $(VENV)-nnunet/bin

wheel: $(VENV)/dev ## dist/medseg-*.whl
	$(BIN)/python -m build --wheel

clean: ## remove what these commands made
	rm -rf $(VENV) $(VENV)-nnunet $(DEMO) bench build dist *.egg-info
