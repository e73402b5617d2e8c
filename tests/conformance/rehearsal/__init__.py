# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays of a real ``ansible-playbook`` against the lab, told as stories.

``stories`` reads the files; ``combinations`` says over which connections they are played; ``stage`` puts a lab
behind each story and plays them all in one process; ``verdict`` holds what happened against what a story expects;
``alike`` holds what happened over one combination against what happened over another.
"""

from __future__ import annotations
