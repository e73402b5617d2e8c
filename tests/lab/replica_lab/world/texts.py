# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts of hosts in different languages: composed here, for programs that must not decide on them.

Translations are uneven on purpose, as on real hosts: what a language lacks comes in English, so that on a
Japanese host the host's Description is translated and a VM's is not.
"""

from __future__ import annotations

DEFAULT_LOCALE = "en-US"

_TEXTS: dict[str, dict[str, str]] = {
    "en-US": {
        "host_caption": "Hosting Computer System",
        "host_description": "Microsoft Hosting Computer System",
        "vm_caption": "Virtual Machine",
        "vm_description": "Microsoft Virtual Computer System",
        "replication_service_caption": "Hyper-V Replica Service",
        "replication_service_description": "Replication Service",
        "management_service_caption": "Hyper-V Virtual System Management Service",
        "management_service_description": "Virtual System Management Service",
        "ok": "OK",
        "running_normally": "Operating normally",
        "merging": "Merging disks",
        "relationship": "Replication Relationship",
        "replication_settings": "Replication Settings",
        "settings": "Virtual Machine Settings",
        "test_suffix": " - Test",
        "adapter": "Network Adapter",
        "connection": "Ethernet Connection",
        "failover_network": "Failover Network Settings",
        "shutdown": "Guest Shutdown",
        "switch": "Virtual Switch",
        "issue_critical": "Replication of '{name}' does not get through.",
        "issue_resync": "'{name}' has to be resynchronized.",
        "issue_suspended": "Replication of '{name}' is suspended.",
        "issue_committed": "'{name}' was failed over and is not replicated back.",
        "issue_failed_over": "'{name}' runs on a recovery point.",
        "issue_other": "Replication of '{name}' needs attention.",
        "job": "Background task",
        "job.3": "Deleting the virtual machine",
        "job.12": "Starting the virtual machine",
        "job.13": "Turning off the virtual machine",
        "job.14": "Saving the virtual machine",
        "job.26": "Pausing the virtual machine",
        "job.96": "Changing the replication state",
        "job.97": "Failing over",
        "job.98": "Cancelling the failover",
        "job.99": "Removing recovery points",
        "job.100": "Preparing for planned failover",
        "job.101": "Cancelling the planned failover",
        "job.102": "Testing the failover",
        "job.103": "Removing the test virtual machine",
        "job.104": "Reversing the replication",
        "job.107": "Resynchronizing",
        "job.116": "Sending the initial replica",
        "job_failed": "The operation failed for virtual machine '{name}'. Error {code}.",
        "job_summary": "The operation failed.",
    },
    "de-DE": {
        "host_caption": "Hostcomputersystem",
        "host_description": "Microsoft-Hostcomputersystem",
        "vm_caption": "Virtueller Computer",
        "vm_description": "Virtuelles Microsoft-Computersystem",
        "replication_service_caption": "Hyper-V-Replikatdienst",
        "ok": "OK",
        "running_normally": "Normaler Betrieb",
        "merging": "Datenträger werden zusammengeführt",
        "relationship": "Replikationsbeziehung",
        "test_suffix": " – Test",
        "job": "Hintergrundaufgabe",
        "job.13": "Der virtuelle Computer wird ausgeschaltet",
        "job.97": "Failover wird ausgeführt",
        "job.98": "Failover wird abgebrochen",
        "job.99": "Wiederherstellungspunkte werden entfernt",
        "job_failed": "Fehler beim Vorgang für den virtuellen Computer \u201e{name}\u201c. Fehler {code}.",
        "job_summary": "Fehler beim Vorgang.",
    },
    "ja-JP": {
        "host_caption": "ホスト コンピューター システム",
        "host_description": "Microsoft ホスト コンピューター システム",
        "vm_caption": "仮想マシン",
        "replication_service_caption": "Hyper-V レプリカ サービス",
        "running_normally": "正常に動作しています",
        "merging": "ディスクを結合しています",
        "relationship": "レプリケーション関係",
        "test_suffix": " - テスト",
        "job": "バックグラウンド タスク",
        "job.97": "フェールオーバーしています",
        "job.98": "フェールオーバーを取り消しています",
        "job_failed": "仮想マシン '{name}' の操作に失敗しました。エラー {code}。",
        "job_summary": "操作に失敗しました。",
    },
}

LOCALES = tuple(_TEXTS)


def text(locale: str, key: str, **values: object) -> str:
    """One text in the host's language; English where the language has none."""
    found = _TEXTS[locale].get(key) or _TEXTS[DEFAULT_LOCALE][key]
    return found.format(**values) if values else found


def job_text(locale: str, job_type: int) -> str:
    """What a job of this type calls itself."""
    key = f"job.{job_type}"
    return text(locale, key if key in _TEXTS[DEFAULT_LOCALE] else "job")
