# What people type. Every target works on a clean clone with Python 3.11 and make; `make` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUN := .venv/bin/python
VENV := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help up status down reset env

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
