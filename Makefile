# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PYTHON: the interpreter (3.10 or newer). CORE: an ansible-core release such as 2.16 (default: the newest tested one
# for that interpreter, see tests/requirements-core.txt). Both together: make test PYTHON=python3.10 CORE=2.16
PYTHON ?= python3
CORE ?=

# An interpreter or core that was asked for gets environments of its own, so that a matrix does not rebuild them.
SUFFIX := $(if $(filter file,$(origin PYTHON)),,-$(notdir $(PYTHON)))$(if $(CORE),-core$(CORE))
VENV := .venv$(SUFFIX)
VENV_LINT := .venv-lint$(SUFFIX)
CORE_REQUIREMENT := $(if $(CORE),'ansible-core ~= $(CORE).0',-r tests/requirements-core.txt)
PIP_INSTALL := -m pip -qq --disable-pip-version-check --no-input install
COLLECTION := .build/ansible_collections/hyperv/replica

.DELETE_ON_ERROR:
.PHONY: help venv demo test matrix benchmark lint artifact clean

help:
	@echo 'make demo      revert failed-over VMs of two simulated hosts, step by step'
	@echo 'make test      every test; one suite: make test-unit; some of its tests: make test-unit ARGS="-k NAME"'
	@echo 'make matrix    every test under several releases of ansible-core, each with an interpreter that it runs on'
	@echo 'make benchmark what tasks cost on simulated hosts of 1, 100 and 2,000 VMs; fewer: ARGS="--sizes 1 100"'
	@echo 'make lint      every checker; some of them: make lint PARTS="ruff mypy"'
	@echo 'make artifact  the collection as ansible-galaxy installs it, in .build/'
	@echo 'make clean     remove everything that make has made'

venv: $(VENV)/.ready

demo: venv
	@$(VENV)/bin/python tests/demo/demo.py

test: venv
	@$(VENV)/bin/python tests/tools/suites.py $(if $(ARGS),-- $(ARGS))

test-%: venv
	@$(VENV)/bin/python tests/tools/suites.py $* $(if $(ARGS),-- $(ARGS))

matrix:
	@$(PYTHON) tests/tools/matrix.py $(ONLY)

benchmark: venv
	@$(VENV)/bin/python tests/benchmarks/benchmark.py $(ARGS)

lint: $(VENV_LINT)/.ready
	@$(VENV_LINT)/bin/python tests/tools/lint.py $(PARTS)

artifact: venv
	$(VENV)/bin/ansible-galaxy collection build --force --output-path .build

clean:
	rm -rf .venv* .build

$(VENV)/.ready: tests/requirements-core.txt tests/requirements.txt tests/lab/pyproject.toml | $(COLLECTION)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(PIP_INSTALL) $(CORE_REQUIREMENT) -r tests/requirements.txt -e tests/lab
	@touch $@

$(VENV_LINT)/.ready: tests/requirements-core.txt tests/requirements.txt tests/requirements-lint.txt | $(COLLECTION)
	$(PYTHON) -m venv $(VENV_LINT)
	$(VENV_LINT)/bin/python $(PIP_INSTALL) $(CORE_REQUIREMENT) -r tests/requirements.txt -r tests/requirements-lint.txt
	@touch $@

# Ansible and Python find the collection only under its full path.
$(COLLECTION):
	@mkdir -p $(@D)
	@ln -sfn ../../.. $@
