# Makes the environment and calls scripts; what they do stands in scripts/ and marina/.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup setup-test setup-playground setup-roads build serve playground test test-built test-served no-tested-store cells parity slow dashboards formats tuning study benchmark growth faults fuzz swarm api-server policies schema lint lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-13s %s\n", $$1, $$2}'

setup: $(VENV)/.serve  ## make .venv from the locked requirements

setup-test: $(VENV)/.test

setup-playground: $(VENV)/playground/.done
setup-roads: $(VENV)/.roads  ## make .venv/roads, the packages that only make parity needs (300 MB)
setup-peers: $(VENV)/.peers $(VENV)/.peers-mlserver  ## make .venv/peers and .venv/peers-mlserver, the servers that make benchmark compares with (450 MB)

serve: setup  ## build what config/deployment.yaml names, serve it, until Ctrl-C
	@$(BIN)/python scripts/serve_models.py

playground: setup-playground  ## open a page in the browser that asks every arm, beside a running make serve
	@$(VENV)/playground/bin/python scripts/open_playground.py

build: setup  ## build the archives that config/deployment.yaml names
	@$(BIN)/python scripts/build_mar.py --deployed

test: lint test-built test-served  ## run all tests that this machine can; make -j2 test runs both halves at once

# Both build the shipped specs in one store. Without make's own variables, since tests call make themselves.
test-built test-served: export TESTED_STORE := $(CURDIR)/.pytest_cache/store

test-built: setup-test no-tested-store  ## run the tests of handlers, archives and scripts
	MAKEFLAGS= MAKELEVEL= $(BIN)/pytest tests/unit tests/build tests/fuzz

test-served: setup-test no-tested-store  ## run the tests with a real TorchServe, those of the compose stack, and some faults
	MAKEFLAGS= MAKELEVEL= $(BIN)/pytest tests/serve tests/stack tests/faults

no-tested-store:
	@rm -rf .pytest_cache/store

cells: setup-test  ## build and serve every cell of the table in docs/tasks.md, half an hour; UPDATE=1 writes the table
	$(BIN)/pytest tests/cells $(if $(UPDATE),--update)

parity: setup-test setup-roads  ## run every road to production and compare it with the eager network, half an hour; UPDATE=1 writes docs/roads.md
	$(BIN)/pytest tests/parity $(if $(UPDATE),--update)

faults: setup-test  ## try every fault on a house under load, and write the table of docs/reliability.md, a quarter of an hour as root
	$(BIN)/pytest tests/faults -m "slow or not slow" --update

fuzz: setup-test  ## try thousands of hostile requests and files on every handler and reader, half an hour; SEED=n tries the same again
	FUZZ=1 FUZZ_SEED=$(SEED) $(BIN)/pytest tests/fuzz --timeout 3000

swarm: setup-test  ## run the compose stack on Docker Swarm: exchange, kill, add and take away replicas under load, ten minutes as root
	$(BIN)/pytest tests/stack/test_swarm.py -m slow -s

api-server: setup-test  ## build Kubernetes' API server from Debian's source (ten minutes, once), and ask it what it holds of the manifests
	test -x $(VENV)/kubernetes/bin/kube-apiserver || tests/cluster/build_api_server.sh $(VENV)/kubernetes
	$(BIN)/pytest tests/cluster

policies: setup-test  ## ask checkov, in an environment of its own, what it holds of the manifests
	$(PYTHON) -m venv $(VENV)/checkov
	$(VENV)/checkov/bin/pip install --disable-pip-version-check -q checkov==3.3.30
	$(BIN)/python scripts/export_kubernetes.py --store tests/kubernetes --to $(VENV)/checkov/manifests
	$(VENV)/checkov/bin/checkov --config-file config/kubernetes/checkov.yaml --directory $(VENV)/checkov/manifests

slow: setup-test  ## run what make test leaves out, an hour: sources by every runtime, killed builds and recorders, many inputs and mixtures
	$(BIN)/pytest -m slow
	SLOW=1 $(BIN)/pytest tests/build/test_sources.py tests/build/test_killed_builds.py tests/unit/test_recorder.py tests/serve/test_mixtures.py

lint: setup-test  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock:  ## lock requirements/*.in anew (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" requirements/serve.in -o requirements/serve.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" requirements/test.in -o requirements/test.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" requirements/playground.in -o requirements/playground.txt
	uv pip compile -q --universal --python-version 3.11 --no-deps --generate-hashes --custom-compile-command "make lock" requirements/roads.in -o requirements/roads.txt
	uv pip compile -q --universal --python-version 3.11 --no-deps --generate-hashes --custom-compile-command "make lock" requirements/peers.in -o requirements/peers.txt
	uv pip compile -q --universal --python-version 3.11 --no-deps --generate-hashes --custom-compile-command "make lock" requirements/peers-mlserver.in -o requirements/peers-mlserver.txt

schema: setup  ## write model_store/model.schema.json anew, by which editors check model.yaml
	@$(BIN)/python -m marina.store.schema

dashboards: setup  ## write config/grafana/dashboards anew, from marina/watching/dashboards
	@$(BIN)/python -m marina.watching.dashboards

formats: setup-test  ## build ResNet-18 and VGG16 in every format, and print the table of docs/formats.md (some 30 minutes)
	@$(BIN)/python benchmarks/formats.py

tuning: setup-test  ## serve every point of a space and see what the search of tune_model.py finds of it, 40 quiet minutes; resumed
	@$(BIN)/python benchmarks/tuning.py

study: setup-test  ## simulate the judge until trusted, beside gbstats, and draw the pictures of docs/verdict.md (some five minutes)
	$(PYTHON) -m venv $(VENV)/gbstats
	$(VENV)/gbstats/bin/pip install --disable-pip-version-check -q gbstats==0.8.0
	$(BIN)/python benchmarks/verdict_study.py --gbstats $(VENV)/gbstats/bin/python

benchmark: setup-test setup-peers setup-roads  ## measure all goals beside stock and peers, an hour on a quiet machine; GOALS=resnet18,vgg16 measures some again
	@PYTHONPATH=$(CURDIR)/tests:$(CURDIR)/handlers $(BIN)/python benchmarks/measure_goals.py $(if $(GOALS),--goals $(GOALS))

growth: setup-test  ## measure how cost grows, with pictures, an hour and a half; CURVES=connections,workers measures some again
	@PYTHONPATH=$(CURDIR)/tests:$(CURDIR)/handlers $(BIN)/python benchmarks/measure_growth.py $(if $(CURVES),--curves $(CURVES))

clean:  ## remove the environment and everything that was built
	rm -rf $(VENV) model_store/archives model_store/sboms model_store/weights model_store/samples model_store/index.json logs

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) was not found: install Python 3.11, or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v[:2] != (3, 11) and f"error: Python 3.11 is required, {sys.executable} is {v.major}.{v.minor}: make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) cannot make a virtual environment: install its venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@touch $@

$(VENV)/.serve $(VENV)/.test: $(VENV)/.%: requirements/%.txt pyproject.toml $(VENV)/.python
	@echo "Installing $< (some 5 GB at the first time, most of it PyTorch; a minute or two)"
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r $<
	@$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/playground/.done: requirements/playground.txt pyproject.toml $(VENV)/.python
	@echo "Installing $< (some 400 MB at the first time)"
	@$(PYTHON) -m venv $(VENV)/playground
	@$(VENV)/playground/bin/python -m pip install --disable-pip-version-check --require-hashes -r $<
	@$(VENV)/playground/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
# Behind the house's own packages, without dependencies: Triton's Python needs an older numpy than the house has, MLServer an older FastAPI.
$(VENV)/.roads $(VENV)/.peers $(VENV)/.peers-mlserver: $(VENV)/.%: requirements/%.txt $(VENV)/.test
	@$(PYTHON) -m venv --without-pip $(VENV)/$*
	@$(BIN)/python -c 'import site; print(*site.getsitepackages(), sep="\n")' > $(VENV)/$*/lib/python3.11/site-packages/house.pth
	@$(BIN)/python -m pip --python $(VENV)/$*/bin/python install --disable-pip-version-check --no-deps --no-build-isolation --require-hashes -r $<
	@touch $@
