# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The faults that the lab's WinRM can give, as a table, and their texts in the languages of its hosts.

Codes and subcodes: MS-WSMV 2.2.4.43, MS-WMI 2.2.11 and public recordings. Those marked "stand-in" were
never seen from a host: a client must not decide on them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class FaultShape(enum.Enum):
    """What the Detail of a fault holds."""

    A = "A"
    """WSManFault: WinRM itself."""
    B = "B"
    """WSManFault with a ProviderFault inside: the WMI plugin, with the provider's extended status."""
    C = "C"
    """MSFT_WmiError: the error object of the management infrastructure."""


@dataclass(frozen=True)
class FaultKind:
    """One line of the table. Codes are unsigned 32-bit numbers; the subcode carries its prefix."""

    code: int
    subcode: str
    shape: FaultShape = FaultShape.A
    detail: str = ""
    """Last part of the faultDetail URI."""
    sender: bool = True
    """Whether the fault's code is Sender (else Receiver)."""
    operation: str = "ExecQuery"
    """Operation in the extended status of shape B."""


FAULTS: dict[str, FaultKind] = {
    "access_denied": FaultKind(5, "w:AccessDenied"),
    "not_found": FaultKind(
        0x80338000, "a:DestinationUnreachable", FaultShape.B, "InvalidResourceURI", operation="GetObject"
    ),
    "unknown_resource": FaultKind(0x8033803B, "a:DestinationUnreachable", FaultShape.A, "InvalidResourceURI"),
    "schema": FaultKind(0x80338041, "w:SchemaValidationError"),
    "unexpected_selectors": FaultKind(0x8033805B, "w:InvalidSelectors", FaultShape.A, "UnexpectedSelectors"),
    "missing_selectors": FaultKind(0x8033805B, "w:InvalidSelectors", FaultShape.A, "InsufficientSelectors"),
    "bad_parameters": FaultKind(
        0x8004102F, "w:InternalError", FaultShape.B, sender=False, operation="ExecMethod"
    ),
    "unavailable": FaultKind(0x80041013, "w:InternalError", FaultShape.B, sender=False),  # code: stand-in
    "timed_out": FaultKind(0x80338029, "w:TimedOut", sender=False),
    "quota": FaultKind(0x803381A6, "w:InternalError", FaultShape.C, sender=False),
    "bad_query": FaultKind(0x8033801A, "n:CannotProcessFilter"),  # code: stand-in
    "wrong_dialect": FaultKind(0x8033804B, "n:FilterDialectRequestedUnavailable"),  # code: stand-in
    "filter_not_supported": FaultKind(0x8033804B, "n:FilteringNotSupported"),  # code: stand-in
    "bad_context": FaultKind(0x80338040, "n:InvalidEnumerationContext", sender=False),  # code: stand-in
    "envelope_size_too_small": FaultKind(
        0x80338011, "w:EncodingLimit", FaultShape.A, "MinimumEnvelopeLimit"
    ),  # code: stand-in
    "envelope_size_exceeded": FaultKind(
        0x80338011, "w:EncodingLimit", FaultShape.A, "MaxEnvelopeSizeExceeded"
    ),  # code: stand-in
    "unknown_action": FaultKind(0x80338001, "a:ActionNotSupported"),  # code: stand-in
    "must_understand": FaultKind(0x80338041, ""),  # code: stand-in
    "header_missing": FaultKind(0x80338041, "a:MessageInformationHeaderRequired"),  # code: stand-in
    "internal": FaultKind(0x80338012, "w:InternalError", sender=False),  # code: stand-in
}

_TEXTS: dict[str, dict[str, str]] = {
    "en-US": {
        "access_denied": "You are not allowed to do this.",
        "not_found": "What the request names does not exist on this host.",
        "unknown_resource": "No plugin of this host serves that resource.",
        "schema": "The message does not fit its schema.",
        "unexpected_selectors": "The selectors are not those of the resource.",
        "missing_selectors": "The request needs selectors.",
        "bad_parameters": "The method's parameters are not valid.",
        "unavailable": "The provider could not be loaded.",
        "timed_out": "The operation did not end within its time.",
        "quota": "This user has too many operations under way.",
        "bad_query": "The filter is not a valid query.",
        "wrong_dialect": "The filter's dialect is not known here.",
        "filter_not_supported": "This resource takes no filter.",
        "bad_context": "The enumeration context is not valid.",
        "envelope_size_too_small": "The maximum envelope size is too small.",
        "envelope_size_exceeded": "The answer does not fit the maximum envelope size.",
        "unknown_action": "The resource does not know this action.",
        "must_understand": "The request insists on a header that is not understood.",
        "header_missing": "The request lacks a header that it needs.",
        "internal": "The service failed.",
    },
    "de-DE": {
        "access_denied": "Das ist Ihnen nicht erlaubt.",
        "not_found": "Was die Anforderung nennt, gibt es auf diesem Host nicht.",
        "unknown_resource": "Kein Plug-In dieses Hosts bedient diese Ressource.",
        "schema": "Die Nachricht passt nicht zu ihrem Schema.",
        "unexpected_selectors": "Die Selektoren gehören nicht zu dieser Ressource.",
        "missing_selectors": "Der Anforderung fehlen Selektoren.",
        "bad_parameters": "Die Parameter der Methode sind ungültig.",
        "unavailable": "Der Anbieter konnte nicht geladen werden.",
        "timed_out": "Der Vorgang wurde nicht rechtzeitig fertig.",
        "quota": "Für diesen Benutzer laufen zu viele Vorgänge.",
        "bad_query": "Der Filter ist keine gültige Abfrage.",
        "bad_context": "Der Aufzählungskontext ist ungültig.",
        "internal": "Der Dienst ist fehlgeschlagen.",
    },
    "ja-JP": {
        "access_denied": "この操作は許可されていません。",
        "not_found": "要求された対象はこのホストに存在しません。",
        "unknown_resource": "このリソースを扱うプラグインはありません。",
        "schema": "メッセージがスキーマに合っていません。",
        "unexpected_selectors": "セレクターがこのリソースのものではありません。",
        "missing_selectors": "要求にセレクターがありません。",
        "bad_parameters": "メソッドのパラメーターが正しくありません。",
        "unavailable": "プロバイダーを読み込めませんでした。",
        "timed_out": "操作が時間内に終わりませんでした。",
        "quota": "このユーザーの操作が多すぎます。",
        "bad_query": "フィルターは正しいクエリではありません。",
        "bad_context": "列挙コンテキストが正しくありません。",
        "internal": "サービスでエラーが起きました。",
    },
    "zh-TW": {
        "access_denied": "您不能執行這項作業。",
        "not_found": "這部主機上沒有要求所指的對象。",
        "unknown_resource": "沒有外掛程式處理這個資源。",
        "schema": "訊息不符合其結構描述。",
        "unexpected_selectors": "選取器不屬於這個資源。",
        "missing_selectors": "要求缺少選取器。",
        "bad_parameters": "方法的參數不正確。",
        "unavailable": "無法載入提供者。",
        "timed_out": "作業沒有在時間內完成。",
        "quota": "這位使用者進行中的作業太多。",
        "bad_query": "篩選不是有效的查詢。",
        "bad_context": "列舉內容不正確。",
        "internal": "服務發生錯誤。",
    },
}
"""Our own words: hosts say it in theirs. What a language lacks is said in English, as on real hosts."""


def text_for(kind: str, locale: str) -> str:
    """The text of a fault in the host's language, or in English."""
    return _TEXTS.get(locale, {}).get(kind) or _TEXTS["en-US"][kind]
