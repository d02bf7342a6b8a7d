# What people type. Every target works on a clean clone with Python 3.11 and make; `make` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUN := .venv/bin/python
VENV := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help up status down reset env deploy destroy doctor admin logs

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { gsub(/[$$][$$]/, "$$", $$2); printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=<its path>.")'
	@test -x $(RUN) || $(PYTHON) -m venv .venv
	@test -x .venv/bin/uv || $(RUN) -m pip install --quiet --disable-pip-version-check "$$(grep -o '^uv==[^ ]*' requirements.txt)"
	@.venv/bin/uv pip sync --quiet --python $(RUN) requirements.txt
	@touch $@

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

# What an operator does on AWS; stage `local` is the platform on this machine. YES=1 agrees beforehand.
STAGED = $(or $(STAGE),$(error Say which stage, for instance STAGE=dev))

deploy: $(VENV)  ## deploy this tree: STAGE=dev; AWS_PROFILE and AWS_REGION say where
	@$(RUN) -m operations.deploy $(STAGED)

destroy: $(VENV)  ## stop what STAGE= made and delete its stacks; says what is kept and billed
	@$(RUN) -m operations.destroy $(STAGED)

doctor: $(VENV)  ## say what the AWS account lacks for STAGE=, and the command for it (JSON=1)
	@$(RUN) -m operations.doctor $(STAGED) $(if $(JSON),--json)

admin: $(VENV)  ## make USERNAME= an admin of STAGE=; EMAIL= creates the account
	@$(RUN) -m operations.admin $(STAGED) $(or $(USERNAME),$(error Say who: USERNAME=ada)) $(EMAIL)

logs: $(VENV)  ## print the log lines of REQUEST=<request_id> or JOB=<job id> of STAGE=
	@$(RUN) -m operations.logs $(STAGED) $(if $(JOB),job $(JOB),request $(or $(REQUEST),$(error Say what: REQUEST= or JOB=)))
