# Every target gets what it needs first; on a bare machine that is the Python environment in .venv.
# What takes minutes on a bare machine runs before pytest, which would hide its progress.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

READY := .venv/.bootstrapped
PYTHON := .venv/bin/python
SOURCES := operator/memorybank_operator app/memorybank tests e2e benchmarks scripts examples
SHELL_SCRIPTS := $(wildcard scripts/*.sh) .ci/run
CHART := charts/memorybank-operator
CHART_CRDS := $(CHART)/crds-files
TAG ?= dev
# It makes pods by a template that covers every setting and Secret: an upgrade from it could restart them all.
FROM ?= 8cf1108
MEMORYBANK_E2E_CLUSTER ?= memorybank-test
E2E_OPTIONS ?= -m "not full"
# The tests start our programs hundreds of times: what each imports is compiled once, not at every start.
unexport PYTHONDONTWRITEBYTECODE

help:  ## show every target
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

bootstrap: $(READY)  ## make .venv as locks/dev.txt says; every other target does it when needed

$(READY): scripts/bootstrap.sh locks/dev.txt locks/bootstrap.txt operator/pyproject.toml app/pyproject.toml
	@scripts/bootstrap.sh $@

format: $(READY)  ## format the code and mend what ruff can mend
	$(PYTHON) -m ruff format
	$(PYTHON) -m ruff check --fix

lint: $(READY)  ## style, layering, declared dependencies, shell scripts
	$(PYTHON) -m ruff check --quiet && $(PYTHON) -m ruff format --quiet --check
	.venv/bin/lint-imports --no-logo && for part in operator app; do (cd $$part && ../.venv/bin/deptry --no-ansi .) || exit 1; done
	.venv/bin/shellcheck $(SHELL_SCRIPTS)

type: $(READY)  ## mypy, strict
	$(PYTHON) -m mypy $(SOURCES)

unit: $(READY)  ## tests without a cluster, with promtool built from source when missing
	@$(PYTHON) -m e2e.cluster binary promtool >/dev/null
	$(PYTHON) -m pytest tests --ignore tests/integration --numprocesses auto --dist worksteal $(UNIT_OPTIONS)

fuzz: $(READY)  ## the fuzz tests of make unit for many minutes; FUZZ=20 times as many examples
	MEMORYBANK_FUZZ=$(or $(FUZZ),20) $(PYTHON) -m pytest tests/app/fuzz --numprocesses auto

chart-test: $(READY)  ## lint the Helm charts and render them, with Helm built from source when missing
	helm=$$($(PYTHON) -m e2e.cluster binary helm) && $$helm lint --strict --quiet --kube-version 1.34.0 charts/* && for each in charts/*; do $$helm template --kube-version 1.34.0 $$each >/dev/null || exit 1; done
	$(PYTHON) -m scripts.kustomize_base --check

docs: $(READY)  ## the documentation as a site in dist/site; broken links, anchors and pages without a place fail
	$(PYTHON) -m scripts.site

manifests: $(READY)  ## write gitops/kustomize, the chart as plain manifests, and all of it as dist/install.yaml
	$(PYTHON) -m scripts.kustomize_base && $(PYTHON) -m scripts.kustomize_base --install dist/install.yaml

integration: $(READY)  ## tests on a real API server
	@test -n "$$KUBEBUILDER_ASSETS" || for each in etcd kube-apiserver kubectl; do $(PYTHON) -m e2e.cluster binary $$each >/dev/null || exit 1; done
	@# What the garbage collector finds of a killed peer's connection is shown, and fails nothing.
	$(PYTHON) -m pytest tests/integration --numprocesses auto --dist worksteal -W default::pytest.PytestUnraisableExceptionWarning

proof: $(READY)  ## crashes, faults and random specs at length, on a real API server; minutes
	@test -n "$$KUBEBUILDER_ASSETS" || for each in etcd kube-apiserver; do $(PYTHON) -m e2e.cluster binary $$each >/dev/null || exit 1; done
	MEMORYBANK_PROOF=full $(PYTHON) -m pytest tests/integration/operator -m proof --numprocesses 2 --dist worksteal -rP -W default::pytest.PytestUnraisableExceptionWarning

e2e: $(READY)  ## tests on a real cluster, which stays up for the next run
	@$(PYTHON) -m e2e.images build && $(PYTHON) -m e2e.cluster up --name $(MEMORYBANK_E2E_CLUSTER)
	MEMORYBANK_E2E_CLUSTER=$(MEMORYBANK_E2E_CLUSTER) $(PYTHON) -m pytest e2e $(E2E_OPTIONS)

test: $(READY)  ## everything, up to e2e on a cluster of its own that is removed at the end
	$(PYTHON) -m scripts.suite lint type unit,docs,chart-test,integration/e2e

test-fast: $(READY)  ## lint, type, the quick unit tests: no cluster, about a minute
	@# Many of them wait for something: more processes than cores share the time.
	@MEMORYBANK_QUICK=1 $(MAKE) --no-print-directory --jobs 3 --output-sync=target lint type unit UNIT_OPTIONS='-m "not slow" --numprocesses 4'

e2e-full: $(READY)  ## e2e on every pinned Kubernetes version, with all servers that are built for minutes first: Ollama, Traefik, ...
	for each in e2e/cluster/modules/kubernetes-*; do E2E_OPTIONS= $(PYTHON) -m scripts.suite --kubernetes $${each##*-} e2e || exit 1; done

e2e-down: $(READY)  ## remove the cluster that e2e left up
	$(PYTHON) -m e2e.cluster down --name $(MEMORYBANK_E2E_CLUSTER)

generate: $(READY)  ## write the generated files: CRDs, docs/reference, Argo CD's ConfigMap, the chart's alerts and dashboards
	$(PYTHON) -m memorybank_operator.api.crd --output crds
	$(PYTHON) -m memorybank_operator.api.crd --output $(CHART_CRDS)
	for each in reference argocd rules dashboards; do $(PYTHON) -m scripts.$$each || exit 1; done

verify: $(READY)  ## generated files and locks equal what they are generated from
	for folder in crds $(CHART_CRDS); do $(PYTHON) -m memorybank_operator.api.crd --check --output $$folder || exit 1; done
	for each in reference argocd rules dashboards; do $(PYTHON) -m scripts.$$each --check || exit 1; done
	$(PYTHON) -m scripts.locks --check && $(PYTHON) -m scripts.release --check

lock: $(READY)  ## make the locks anew; UPGRADE=1 moves the pins
	$(PYTHON) -m scripts.locks $(if $(UPGRADE),--upgrade)

images: $(READY)  ## build both images; TAG=dev
	$(PYTHON) -m e2e.images build --tag $(TAG)

sbom: images  ## what is in both images, with licences, as CycloneDX in dist/sbom
	$(PYTHON) -m e2e.images sbom --tag $(TAG)

release: sbom  ## charts, install.yaml, definitions, bills of materials and checksums in dist/release
	$(PYTHON) -m scripts.release

demo: $(READY)  ## a cluster, the operator, a bank, a memory stored and found
	$(PYTHON) -m e2e.demo up

demo-down: $(READY)  ## remove the demo's cluster
	$(PYTHON) -m e2e.demo down

cluster-up: $(READY)  ## a cluster for development, without the operator
	$(PYTHON) -m e2e.cluster up

cluster-down: $(READY)  ## remove it
	$(PYTHON) -m e2e.cluster down

bench: $(READY)  ## measure the memory service for docs/benchmarks.md; half an hour on a quiet machine
	for part in engine service episodes agents scale "scale --tenants 1000" "scale --encrypted" "scale --chroma" "scale --ollama --memories 10000" postgres moving retrieval transfer durability "scale --memories 1000000"; do $(PYTHON) -m benchmarks.$$part || exit 1; done

bench-operator: $(READY)  ## measure the operator: a bank on a cluster, a thousand and more on simulated nodes; over an hour
	@# The banks of the first part are gone before the second one measures what the operator takes.
	$(PYTHON) -m benchmarks.cluster && $(PYTHON) -m e2e.cluster down --name memorybank-bench && $(PYTHON) -m benchmarks.operator $(OPTIONS)

bench-durability: $(READY)  ## measure what of a bank is in its bucket when all else is lost; over an hour
	$(PYTHON) -m benchmarks.backups $(OPTIONS)

bench-upgrade: $(READY)  ## measure an upgrade of the operator under 50 banks in use; FROM=<commit>, OPTIONS='--banks 5'
	$(PYTHON) -m benchmarks.upgrade --from $(FROM) $(OPTIONS)

clean:  ## remove what was made in the checkout; caches outside it stay
	rm -rf .venv .build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help bootstrap format lint type unit fuzz chart-test docs manifests integration proof e2e e2e-full e2e-down generate test test-fast verify lock \
	images sbom release demo demo-down cluster-up cluster-down bench bench-operator bench-durability bench-upgrade clean
