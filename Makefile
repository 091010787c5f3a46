# What this project can be asked to do; `make` alone lists it. A verb that needs more than a line lives in scripts/.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV ?= .venv
PYTHON := $(VENV)/bin/python
PYTEST := $(PYTHON) -m pytest
# What a verb takes: `make logs NAME=api FOLLOW=1`, `make send TASK=tasks.check_status N=100`, `make down NOW=1`.
NAME ?=
FOLLOW ?=
NOW ?=
JSON ?=
TASK ?= tasks.check_status
N ?= 1
ARGS ?=
UPGRADE ?=
# Where to deploy: ENV=kind, and if need be CONTEXT=, NAMESPACE=, VALUES=file.yaml, TIMEOUT=seconds. A shell's own ENV is
# something else.
ifneq ($(origin ENV),command line)
ENV :=
endif
CONTEXT ?=
NAMESPACE ?=
VALUES ?=
TIMEOUT ?= 300
json := $(if $(JSON),--json)
where = --env "$(ENV)" --context "$(CONTEXT)" --namespace "$(NAMESPACE)" --values "$(VALUES)" --timeout "$(TIMEOUT)" $(json)
# A variable given to make reaches the stack as if it stood in the environment.
export STACK_DIR STACK_REDIS_PORT STACK_SMTP_PORT STACK_SANDBOX_PORT STACK_FLOWER_PORT STACK_API_PORT STACK_EXPORTER_PORT
export STACK_PROMETHEUS_PORT STACK_METRICS_PORT
STACK_DIR ?= .stack
STACK_REDIS_PORT ?=
STACK_SMTP_PORT ?=
STACK_SANDBOX_PORT ?=
STACK_FLOWER_PORT ?=
STACK_API_PORT ?=
STACK_EXPORTER_PORT ?=
STACK_PROMETHEUS_PORT ?=
STACK_METRICS_PORT ?=
# The same for containers: `make compose-up PROFILE=full PORT_API=8100 SCALE="worker-email=3"`.
export PORT_API PORT_FLOWER PORT_EXPORTER PORT_PROMETHEUS PORT_GRAFANA PORT_SANDBOX
PORT_API ?=
PORT_FLOWER ?=
PORT_EXPORTER ?=
PORT_PROMETHEUS ?=
PORT_GRAFANA ?=
PORT_SANDBOX ?=
PROFILE ?=
SCALE ?=
PURGE ?=

##@ Start here
.PHONY: help venv up down status logs
help: ## List what this project can be asked to do
	@awk -F ':.*## ' '/^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' Makefile

venv: ## Make the Python environment from the locked requirements (every verb does it when needed)
	@scripts/venv.sh $(VENV) requirements/dev.txt

up: venv ## Start the whole stack on this machine and send real work through it (JSON=1)
	@$(PYTHON) -m scripts.stack up $(json)

down: venv ## Stop the stack after its running tasks, or at once (NOW=1)
	@$(PYTHON) -m scripts.stack down $(json) $(if $(NOW),--now)

status: venv ## Show the stack's processes, or an environment's workloads (ENV=kind, JSON=1)
	@$(PYTHON) -m $(if $(ENV),scripts.deploy status $(where),scripts.stack status $(json))

logs: venv ## Show the newest log lines (NAME=worker-email, FOLLOW=1)
	@$(PYTHON) -m scripts.stack logs $(if $(FOLLOW),--follow) $(NAME)

##@ Use the running stack
.PHONY: send queues
send: venv ## Send tasks and wait for them (TASK=tasks.check_status N=100 ARGS='--queue default')
	@$(PYTHON) -m scripts.stack exec -- $(PYTHON) -m app.producer $(TASK) -n $(N) $(ARGS)

queues: venv ## Show the queues: what waits, what runs, what died (ARGS='pause email')
	@$(PYTHON) -m scripts.stack exec -- $(PYTHON) -m app.queue_cli $(or $(ARGS),inspect)

##@ Docker Compose
.PHONY: compose-up compose-down compose-smoke
compose-up: venv ## Start the stack in containers and send real work through it (PROFILE=light, SCALE=worker-email=3, JSON=1)
	@$(PYTHON) -m scripts.compose up $(json) --profile "$(PROFILE)" --scale "$(SCALE)"

compose-down: venv ## End it after its running tasks, or at once (NOW=1); its volumes stay, or go (PURGE=1)
	@$(PYTHON) -m scripts.compose down $(json) $(if $(NOW),--now) $(if $(PURGE),--purge)

compose-smoke: venv ## Send a task through every queue of it, and ask everything else how it is (JSON=1)
	@$(PYTHON) -m scripts.compose smoke $(json)

##@ Kubernetes
.PHONY: cluster-up cluster-down image deploy undeploy smoke scale-status
cluster-up: venv ## Make a Kubernetes of three nodes on this machine: kind, KEDA, metrics-server (JSON=1)
	@$(PYTHON) -m scripts.cluster up $(json)

cluster-down: venv ## Take it away without a trace
	@$(PYTHON) -m scripts.cluster down $(json)

image: venv ## Build the image that runs every component but the broker
	@$(PYTHON) -m scripts.image build $(json)

deploy: venv ## Install or upgrade the chart and wait until it is ready (ENV=kind; VALUES=, CONTEXT=, NAMESPACE=, ARGS=)
	@$(PYTHON) -m scripts.deploy up $(where) -- $(ARGS)

undeploy: venv ## Uninstall it after its running tasks; the broker's volume stays (ENV=kind)
	@$(PYTHON) -m scripts.deploy down $(where)

smoke: venv ## Send a task through every queue of the deployed release (ENV=kind)
	@$(PYTHON) -m scripts.deploy smoke $(where)

scale-status: venv ## Show what scales each worker group, how far it has got, and why (ENV=kind, JSON=1)
	@$(PYTHON) -m scripts.deploy scale-status $(where)

##@ AWS, and Terraform
.PHONY: tf-fmt tf-validate tf-test tf-plan tf-apply tf-destroy tf-cost
# ENV=aws or ENV=local (with CONTEXT=name for another cluster); YES=1 agrees to the plan where nobody is asked;
# ARGS='-var name=celery' goes to terraform plan.
YES ?=
PRICES ?= terraform/prices.example.yaml
COUNTS ?=
terraform = $(PYTHON) -m scripts.terraform

tf-fmt: ## Format Terraform's files
	terraform fmt -recursive terraform

tf-validate: venv ## Check modules and environments, those whose providers can be had
	@$(terraform) validate

tf-test: venv ## Test them where emulators play AWS, and scan for policies (about 4 min; what needs Helm's provider where it is)
	@scripts/tools.sh unshare:util-linux ip:iproute2
	@$(PYTHON) -m scripts.toolbox helm kubectl >/dev/null
	@$(PYTHON) -m scripts.terraform.packages
	@$(terraform) test modules/release environments/aws environments/local
	@# A file to a process, the longest first: its environment is made once.
	$(PYTEST) tests/terraform -n 3 --dist loadfile --no-loadscope-reorder

tf-plan: venv ## Show what Terraform would change (ENV=aws or ENV=local)
	@$(terraform) plan --env "$(ENV)" --context "$(CONTEXT)" -- $(ARGS)

tf-apply: venv ## Make it, after a look at the plan (ENV=aws, YES=1)
	@$(terraform) apply --env "$(ENV)" --context "$(CONTEXT)" $(if $(YES),--yes) -- $(ARGS)

tf-destroy: venv ## Take all of it away, after a look at the plan (ENV=aws, YES=1)
	@$(terraform) destroy --env "$(ENV)" --context "$(CONTEXT)" $(if $(YES),--yes) -- $(ARGS)

tf-cost: venv ## Reckon a month's cost from a plan, or counts, and your prices (PRICES=, COUNTS=, JSON=1)
	@$(terraform) cost --env "$(or $(ENV),aws)" --prices "$(PRICES)" $(if $(COUNTS),--counts "$(COUNTS)") $(json) -- $(ARGS)

##@ Test
.PHONY: test test-unit test-contract test-chart alerts-test test-stack test-faults test-dashboards test-image test-compose test-kind test-cluster
test: test-unit test-contract test-chart test-stack ## Run the fast tiers: unit, contract, chart, stack (see tests/README.md)

test-unit: venv ## Functions and a real Redis of their own (about 2 min)
	$(PYTEST) tests/unit -n 2

test-contract: venv ## Files that must agree with each other (seconds)
	@$(PYTHON) -m scripts.toolbox helm >/dev/null
	$(PYTEST) tests/contract -n 2

test-chart: venv ## Render the chart in every way (1 to 2 min; builds Helm where there is none)
	@$(PYTHON) -m scripts.toolbox helm helm3 promtool >/dev/null
	$(PYTEST) tests/chart -n 2

alerts-test: venv ## Play the alerts' cases, and break each rule in turn (about 2 min; builds promtool where there is none)
	@$(PYTHON) -m scripts.toolbox promtool >/dev/null
	$(PYTEST) tests/alerts -n 2

test-stack: venv ## A whole stack on free ports, beside your own (about 5 min; builds Prometheus where there is none)
	@scripts/tools.sh curl:curl ps:procps ss:iproute2
	@$(PYTHON) -m scripts.toolbox prometheus >/dev/null
	$(PYTEST) tests/stack

test-faults: venv ## Kill, hang and starve the real processes (about 8 min)
	@scripts/tools.sh redis-server:redis-server
	$(PYTEST) tests/faults -n 4

test-dashboards: venv ## Ask every query of every dashboard of a Prometheus that has read a real run (about 3 min)
	@$(PYTHON) -m scripts.toolbox prometheus >/dev/null
	$(PYTEST) tests/dashboards

test-image: venv ## Build the image and run each of its commands in a container
	$(PYTEST) tests/image

test-compose: venv ## The containers of Docker Compose: killed under load, scaled, taken away (a Docker Engine, about 6 min)
	$(PYTEST) tests/compose

test-kind: venv ## The engine and the cluster themselves: killed, mended, taken away (root, about 7 min)
	@scripts/tools.sh dockerd:docker.io jq:jq
	$(PYTEST) tests/kind

test-cluster: venv ## The promises on a real Kubernetes: kind with three nodes, or any other (CONTEXT=)
	@export CLUSTER_CONTEXT="$(CONTEXT)"; failed=0; \
	  $(PYTEST) tests/cluster -m "not alone" -n 2 --dist loadfile || failed=$$?; [ $$failed -ne 2 ] || exit 2; \
	  $(PYTEST) tests/cluster -m alone || failed=$$?; exit $$failed

##@ Measure
.PHONY: bench bench-autoscaling bench-kind soak
bench: venv ## Time a worker's start against Celery as it comes, and the chart's rendering
	$(PYTHON) -m benchmarks.worker_start
	$(PYTHON) -m benchmarks.chart_render

bench-kind: venv ## Send one burst to the chart's scaling and to a list-length trigger, on the cluster of make cluster-up
	$(PYTHON) -m benchmarks.autoscaling.on_kind

soak: venv ## Ask the exporter without a pause for 30 minutes and watch its memory and page (ARGS='--minutes 5')
	$(PYTHON) -m benchmarks.exporter_soak $(ARGS)

bench-autoscaling: venv ## Simulate the autoscaling policies on recorded kinds of load (seconds)
	@$(PYTHON) -m benchmarks.autoscaling run

##@ Change it
.PHONY: lint fmt lock manifests golden dashboards dashboard-pictures docs verify clean
lint: venv verify ## Check style, types (mypy strict on app/, grafana/ and scripts/), the Dockerfile and generated files
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m scripts.image lint

fmt: venv ## Format and fix what can be fixed
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

lock: venv ## Compile requirements/*.in into *.txt with hashes (UPGRADE=1 takes the newest versions)
	@for name in app dev sandbox terraform checkov; do \
	  $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    $(if $(UPGRADE),--upgrade) requirements/$$name.in --output-file requirements/$$name.txt; \
	done
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  $(if $(UPGRADE),--upgrade) -c requirements/app.txt tests/cluster/tiny/requirements.in --output-file tests/cluster/tiny/requirements.txt

manifests: venv ## Write k8s/ from the chart
	$(PYTHON) -m scripts.manifests

golden: venv ## Write what the chart makes of each example into tests/golden
	$(PYTHON) -m scripts.golden

dashboards: venv ## Write the dashboards' JSON from the programs in grafana/
	$(PYTHON) -m grafana

dashboard-pictures: venv ## Draw docs/pictures from what the dashboards show of a real run
	DASHBOARD_PICTURES=$(CURDIR)/docs/pictures $(PYTEST) tests/dashboards

docs: venv ## Write the generated parts of the documents
	$(PYTHON) -m scripts.task_table
	$(PYTHON) -m scripts.values_table

verify: venv ## Check that all generated files are what make manifests, golden, dashboards and docs would write
	$(PYTHON) -m scripts.task_table --check
	$(PYTHON) -m scripts.values_table --check
	$(PYTHON) -m scripts.manifests --check
	$(PYTHON) -m scripts.golden --check
	$(PYTHON) -m grafana --check

clean: down ## Stop the stack and remove its data, the environment and the caches in this folder
	rm -rf $(STACK_DIR) $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
