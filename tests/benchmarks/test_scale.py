"""The arithmetic of fleets, against figures that can be checked by hand."""

from __future__ import annotations

import pytest

from benchmarks.service.scale import CONNECTIONS, CORE_MONTH, Measured, needs, scale_table

ONE = Measured(pictures=1000, cores=2, stream_kib=32, up=125, down=250)


def test_where_pictures_are_many_they_are_the_bound() -> None:
    found = needs(CONNECTIONS, 1.0, ONE)
    assert (found.servers, found.bound) == (9, "pictures"), "4096 a second, of which a server has 500"
    assert (found.up, found.down) == pytest.approx((4.096, 8.192)), "1,000 and 2,000 bits a picture"
    assert found.memory_mib == 128 and found.words == 81 and found.dollars == 18 * CORE_MONTH


def test_where_they_are_few_connections_are() -> None:
    found = needs(2 * CONNECTIONS + 1, 100.0, ONE)
    assert (found.servers, found.bound) == (3, "connections")
    assert found.pictures == pytest.approx(81.93)


def test_the_table_is_of_what_was_measured() -> None:
    one = Measured.read()
    assert one is not None and f"{one.pictures:,.0f} pictures a second" in scale_table()
