"""Hosts and ports as text."""

from __future__ import annotations

import pytest

from wire.addresses import authority, check_address, host_alone
from wire.exceptions import SettingsError


def test_ipv6_stands_in_brackets_beside_a_port_alone() -> None:
    assert authority("::1", 80) == authority("[::1]", 80) == "[::1]:80"
    assert authority("10.0.0.7", 80) == "10.0.0.7:80" and authority("localhost", 80) == "localhost:80"
    assert host_alone("[2001:DB8::1]") == host_alone(" 2001:db8:0::1") == "2001:db8::1"
    assert host_alone("::ffff:10.0.0.7") == host_alone("10.0.0.7") == "10.0.0.7"
    assert host_alone("example.com") == "example.com"


def test_an_address_without_its_brackets_is_refused() -> None:
    for address in ("localhost:50051", "10.0.0.7:1", "[::1]:50051", "unix:///run/artoveq", "localhost"):
        check_address(address)
    for address in ("::1", "::1:50051", "2001:db8::1"):
        with pytest.raises(SettingsError, match="in brackets"):
            check_address(address)


def test_an_address_that_is_none_of_grpc_is_refused() -> None:
    for address in ("http://localhost:8080", "https://a:secret@localhost"):
        with pytest.raises(SettingsError, match="is a page's address; write HOST:PORT") as refused:
            check_address(address)
        assert "secret" not in str(refused.value)
