# Copyright (c) 2026, hyperv.replica contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CIM texts and the values they stand for."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim import values
from ansible_collections.hyperv.replica.plugins.plugin_utils._cim.session import Reference

UTC = timezone.utc
UNSET = datetime(1601, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "cim_type", "value"),
    [
        ("3", "uint16", 3),
        (" 3\n", "uint16", 3),
        ("65535", "uint16", 65535),
        ("18446744073709551615", "uint64", 2**64 - 1),
        ("-128", "sint8", -128),
        ("true", "boolean", True),
        ("TRUE", "boolean", True),
        ("False", "boolean", False),
        ("0", "boolean", False),
        ("", "string", ""),
        (" a\n", "string", " a\n"),
        ("007", "string", "007"),
        ("\\\\hv01\\root", "ref", "\\\\hv01\\root"),
        ("x", "a type of tomorrow", "x"),
    ],
)
def test_texts_of_plain_types(text: str, cim_type: str, value: object) -> None:
    read = values.read(text, cim_type)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-10-08T15:15:36.68424Z", datetime(2026, 10, 8, 15, 15, 36, 684240, tzinfo=UTC)),
        ("2026-10-08T15:15:36.6842401Z", datetime(2026, 10, 8, 15, 15, 36, 684240, tzinfo=UTC)),
        ("2026-10-08T15:15:36Z", datetime(2026, 10, 8, 15, 15, 36, tzinfo=UTC)),
        ("2026-10-08T15:15:36", datetime(2026, 10, 8, 15, 15, 36, tzinfo=UTC)),
        ("2026-10-08T15:15:36+09:00", datetime(2026, 10, 8, 6, 15, 36, tzinfo=UTC)),
        ("2026-10-08T15:15:36-00:30", datetime(2026, 10, 8, 15, 45, 36, tzinfo=UTC)),
        ("1601-01-01T00:00:00Z", UNSET),
        ("16010101000000.000000-000", UNSET),
        ("20261008151536.684240+000", datetime(2026, 10, 8, 15, 15, 36, 684240, tzinfo=UTC)),
        ("20261008151536.684240+540", datetime(2026, 10, 8, 6, 15, 36, 684240, tzinfo=UTC)),
        ("20261008151536.******-060", datetime(2026, 10, 8, 16, 15, 36, tzinfo=UTC)),
        ("P0DT0H5M0S", timedelta(minutes=5)),
        ("P1DT2H3M4.5S", timedelta(1, 4, 500000, 0, 3, 2)),
        ("PT90S", timedelta(seconds=90)),
        ("P3D", timedelta(3)),
        ("00000000000500.000000:000", timedelta(minutes=5)),
        ("00000001020304.500000:000", timedelta(1, 4, 500000, 0, 3, 2)),
    ],
)
def test_a_datetime_in_every_spelling(text: str, value: datetime | timedelta) -> None:
    assert values.read(text, "datetime") == value


@pytest.mark.parametrize(
    ("text", "cim_type", "says"),
    [
        ("", "uint16", "no uint16: ''"),
        ("65536", "uint16", "no uint16: '65536'"),
        ("-1", "uint64", "no uint64"),
        ("128", "sint8", "no sint8"),
        ("3.0", "uint16", "no uint16"),
        ("0x10", "uint32", "no uint32"),
        ("٣", "uint16", "no uint16"),
        ("9" * 5000, "uint64", "no uint64"),
        ("yes", "boolean", "no boolean: 'yes'"),
        ("", "boolean", "no boolean: ''"),
        ("", "datetime", "neither a date nor an interval: ''"),
        ("yesterday", "datetime", "neither a date nor an interval: 'yesterday'"),
        ("2026-13-08T15:15:36Z", "datetime", "neither a date nor an interval"),
        ("0000-01-01T00:00:00Z", "datetime", "neither a date nor an interval"),
        ("9999-12-31T23:59:59-12:00", "datetime", "neither a date nor an interval"),
        ("P", "datetime", "neither a date nor an interval"),
        ("PT", "datetime", "neither a date nor an interval"),
        ("P1Y", "datetime", "neither a date nor an interval"),
        ("P999999999DT999999999H", "datetime", "neither a date nor an interval"),
    ],
)
def test_what_is_not_of_its_type_says_what_was_found(text: str, cim_type: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        values.read(text, cim_type)
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    "value",
    [
        UNSET,
        datetime(2026, 10, 8, 15, 15, 36, 684240, tzinfo=UTC),
        datetime(2026, 10, 8, 15, 15, 36, tzinfo=timezone(timedelta(hours=9))),
        timedelta(0),
        timedelta(days=99999999, hours=23, minutes=59, seconds=59, microseconds=999999),
    ],
)
def test_date_and_time_survive_both_ways_of_writing(value: datetime | timedelta) -> None:
    assert values.read(values.xml_text(value), "datetime") == value
    assert values.read(values.cim_text(value), "datetime") == value
    assert len(values.cim_text(value)) == 25


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), timedelta(seconds=-1)])
def test_a_date_without_a_zone_and_a_negative_interval_are_not_written(value: datetime | timedelta) -> None:
    for write in (values.xml_text, values.cim_text):
        with pytest.raises(ValueError, match="time zone|negative"):
            write(value)


def test_plain_values_are_written_alike() -> None:
    for write in (values.xml_text, values.cim_text):
        assert [write(value) for value in (True, False, 3, "a<b")] == ["true", "false", "3", "a<b"]


@pytest.mark.parametrize(
    ("value", "cim_type", "fits"),
    [
        (3, "uint16", True),
        (65536, "uint16", False),
        (-1, "uint8", False),
        (True, "uint16", False),
        ("3", "uint16", False),
        (True, "boolean", True),
        (1, "boolean", False),
        ("x", "string", True),
        (3, "string", False),
        (UNSET, "datetime", True),
        (datetime(2026, 1, 1), "datetime", False),
        (timedelta(1), "datetime", True),
        (Reference.of("C", K="1"), "ref", True),
        ("path", "ref", False),
        (None, "string", False),
    ],
)
def test_what_may_be_sent_as_what(value: object, cim_type: str, fits: bool) -> None:
    assert values.fits(value, cim_type) is fits  # type: ignore[arg-type]
