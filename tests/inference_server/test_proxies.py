"""Whom a proxy of ours speaks for: hosts and certificates in headers, and what becomes of those that lie."""

from __future__ import annotations

import base64
import contextlib
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import NameOID
from hypothesis import given
from hypothesis import strategies as st

from inference_server.access.forwarded_certificates import subject_of
from inference_server.access.proxies import Proxies, Sender, joined
from wire.exceptions import AccessDenied, SettingsError


@pytest.mark.parametrize(
    ("peer", "forwarded", "host"),
    [
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.7", None, "10.0.0.7"),
        ("10.0.0.7", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.7", "203.0.113.5, 198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("10.0.0.7", "invented", "10.0.0.7"),
        ("::ffff:10.0.0.7", "198.51.100.7", "198.51.100.7"),
        ("[fd00::1]", "2001:db8::2", "2001:db8::2"),
        ("unix", "198.51.100.7", "unix"),
    ],
)
def test_a_proxy_of_ours_names_the_host_that_calls(peer: str, forwarded: str | None, host: str) -> None:
    assert Proxies(("10.0.0.0/8", "fd00::1")).host(peer, forwarded) == host


def test_a_certificate_is_believed_from_proxies_of_ours_alone() -> None:
    proxies, sent = Proxies(("10.0.0.7",), "client-cert"), {"client-cert": ":ab:", "x-forwarded-for": "198.51.100.7"}
    assert proxies.sender("10.0.0.7", sent, None) == Sender("198.51.100.7", None, ":ab:")
    assert proxies.sender("10.0.0.8", sent, "Bearer x") == Sender("10.0.0.8", "Bearer x")
    assert Proxies(("10.0.0.7",)).sender("10.0.0.7", sent, None) == Sender("198.51.100.7")
    with pytest.raises(SettingsError, match="ARTOVEQ_PROXIES"):
        Proxies((), "client-cert")
    assert joined([("a", "1"), ("b", "2"), ("a", "3")]) == {"a": "1,3", "b": "2"}


def client_cert(name: x509.Name) -> str:
    """As RFC 9440 has it in a header."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(days=1)).sign(key, SHA256())
    return f":{base64.b64encode(made.public_bytes(Encoding.DER)).decode()}:"


def test_a_certificate_names_its_subject() -> None:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "farm"), x509.NameAttribute(NameOID.COMMON_NAME, "gate")]
    of_gate = client_cert(x509.Name(names))
    assert subject_of(of_gate) == "CN=gate,O=farm"
    for header, subject in {
        'Subject="CN=gate,O=farm"': "CN=gate,O=farm",
        'Hash=ab12;Cert="x%20y";Subject="CN=\\"gate\\", O=farm";URI=': 'CN="gate", O=farm',
        'Subject="CN=somebody",By=spiffe://proxy;Hash=ab12': "SHA-256 ab12",
        'Subject="";Hash=ab12': "SHA-256 ab12",
    }.items():
        assert subject_of(header) == subject
    lies = [f"{of_gate}, {of_gate}", of_gate[:-9] + ":", client_cert(x509.Name([])), ":::", "gate", 'Subject="CN=gate']
    for lie in [*lies, "By=spiffe://proxy", "Subject=;", 'Subject="CN=gate" Hash=ab', 'Subject="CN=gate",']:
        with pytest.raises(AccessDenied, match="cannot be read"):
            subject_of(lie)


@given(st.text(alphabet='aS=",;\\: ', max_size=30))
def test_whatever_a_proxy_says_is_read_or_refused(header: str) -> None:
    with contextlib.suppress(AccessDenied):
        assert subject_of(header)


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(SettingsError, match="address or a network"):
        Proxies(("everybody",))
