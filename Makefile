# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

PYTHON ?= python3
CORE ?=

# Every interpreter or core that was asked for gets an environment of its own; plain `make` uses .venv.
SUFFIX := $(if $(filter file,$(origin PYTHON)),,-$(notdir $(PYTHON)))$(if $(CORE),-core$(CORE))
VENV := .venv$(SUFFIX)
CORE_REQUIREMENT := $(if $(CORE),'ansible-core ~= $(CORE).0',-r tests/requirements-core.txt)
LAB := $(if $(wildcard tests/lab/pyproject.toml),-e tests/lab)
PIP_INSTALL := -m pip -qq --disable-pip-version-check --no-input install

.PHONY: venv
venv: $(VENV)/.ready

$(VENV)/.ready: tests/requirements.txt tests/requirements-core.txt $(wildcard tests/lab/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(PIP_INSTALL) $(CORE_REQUIREMENT) -r tests/requirements.txt $(LAB)
	mkdir -p .build/ansible_collections/hyperv
	ln -sfn ../../.. .build/ansible_collections/hyperv/replica
	touch $@
