#!/usr/bin/python
# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# hyperv.replica.replication_server is an action plugin, plugins/action/replication_server.py: it runs
# on the controller.
# Its documentation is in replication_server.yml beside this file. This file is here so that Ansible finds the name.
