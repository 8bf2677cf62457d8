"""What is said where a token would be readable on its way."""

from __future__ import annotations

import asyncio
import logging

import pytest

from edge_client.transport.security import Security

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("address", "security", "warned"),
    [
        ("server.example:50051", Security(token=TOKEN), True),
        ("10.0.0.7:50051", Security(token=TOKEN), True),
        ("[2001:db8::1]:50051", Security(token=TOKEN), True),
        ("dns:///server.example:50051", Security(token=TOKEN), True),
        ("server.example:50051", Security(token=TOKEN, tls=True), False),
        ("server.example:50051", Security(), False),
        ("localhost:50051", Security(token=TOKEN), False),
        ("127.0.0.2:50051", Security(token=TOKEN), False),
        ("[::1]:50051", Security(token=TOKEN), False),
        ("unix:/run/artoveq.sock", Security(token=TOKEN), False),
    ],
)
def test_a_token_that_leaves_the_machine_unencrypted_is_warned_of(
    address: str, security: Security, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        await security.open(address).close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert [address in record.getMessage() for record in caplog.records] == [True] * warned
    assert TOKEN not in caplog.text
