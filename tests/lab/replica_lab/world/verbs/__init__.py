# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine: what each verb needs, shows while it runs, and does, here and on the other side.

A verb looks at a VM (or a host) and either answers at once (``Answered``) or returns a ``Plan``. It changes
nothing itself: the plan's ``begin`` and ``finish`` do, when and if the job's course lets them. Documented rules
are written down as they are; the rest asks ``assumptions``. One module for each subject; ``common`` is shared.
"""
