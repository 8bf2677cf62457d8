"""A certificate of the server's own, where no authority issues one: browsers hand the camera to pages over TLS alone.

Nobody vouches for it: who connects compares its fingerprint, or trusts the file (`--ca-file`).
"""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wire.exceptions import SettingsError

LASTS, RENEWED = timedelta(days=365), timedelta(days=30)
"""How long a certificate is good for, and how long before its end another one is made."""
ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses of nobody (RFC 5737, 3849); to ask for the way there sends nothing."""


def folder() -> Path:
    """Where it is kept, so that who has trusted it once need not again."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "artoveq" / "tls"


def own_addresses() -> list[str]:
    """Addresses under which other machines of the network reach this one; of IPv4 first."""
    found = []
    for family, elsewhere in ELSEWHERE:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((elsewhere, 9))
            except OSError:  # no such network
                continue
            found.append(probe.getsockname()[0])
    return found


def own_names() -> list[str]:
    """All that this machine is called."""
    host = socket.gethostname()
    return ["localhost", host, f"{host}.local", "127.0.0.1", "::1", *own_addresses()]


def self_signed(kept: Path, names: Sequence[str], now: datetime | None = None) -> tuple[Path, Path]:
    """Certificate and key for these names and addresses, as PEM files in a folder; new ones where those do not do.

    Raises:
        SettingsError: if they cannot be written.
    """
    now = now or datetime.now(timezone.utc)
    certificate, key = kept / "certificate.pem", kept / "key.pem"
    try:
        if not (key.exists() and _does(certificate, names, now)):
            kept.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(certificate, key, names, now)
    except OSError as error:
        raise SettingsError(
            f"The certificate cannot be kept in {kept} ({error}); set XDG_STATE_HOME to a folder of yours."
        ) from error
    return certificate, key


def fingerprint_of(certificate: Path) -> str:
    """The SHA-256 of a certificate, as browsers show it: AB:CD:…"""
    first = certificate.read_text().partition(ssl.PEM_FOOTER)[0] + ssl.PEM_FOOTER
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first[first.index(ssl.PEM_HEADER) :])).digest().hex(":").upper()


def _does(certificate: Path, names: Sequence[str], now: datetime) -> bool:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        listed = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
        return False
    return found.not_valid_after_utc > now + RENEWED and {*_general(names)} <= {*listed}


def _general(names: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _write(certificate: Path, key: Path, names: Sequence[str], now: datetime) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "artoveq")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # a phone's clock may be slow
        .not_valid_after(now + LASTS)
        .add_extension(x509.SubjectAlternativeName(_general(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    unlocked = serialization.NoEncryption()
    for path, data in (
        (key, private.private_bytes(pem, serialization.PrivateFormat.PKCS8, unlocked)),
        (certificate, made.public_bytes(pem)),
    ):
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with open(new, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(data)
        new.replace(path)
