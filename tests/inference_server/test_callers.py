"""Who a caller is, and what it may have: rules, with the time as an argument."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from inference_server.access import Access
from inference_server.access.access import network_of
from inference_server.access.contents import READ_AGAIN_S
from inference_server.access.proxies import Sender
from inference_server.access.tokens import Caller, Tokens, read_tokens
from inference_server.rpc.service import peer_host
from inference_server.settings import Settings, read_settings
from tests.inference_server.conftest import TOKEN
from wire.exceptions import AccessDenied, ServerOverloaded, SettingsError

LATER = READ_AGAIN_S + 1


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("[::1]", "::1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:ffff::]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
    ],
)
def test_a_host_is_one_caller_whatever_address_it_takes(host: str, name: str) -> None:
    assert network_of(host) == name


def access(**settings: object) -> Access:
    return Access(Settings(model="nowhere", **settings))  # type: ignore[arg-type]


def test_an_allowance_fills_up_again() -> None:
    one = access(rate_pictures=2)
    one.spend(Caller("a"), 0.0)
    one.spend(Caller("a"), 0.0)
    with pytest.raises(ServerOverloaded) as full:
        one.spend(Caller("a"), 0.1)
    assert full.value.retry_after == pytest.approx(0.4)
    one.spend(Caller("b"), 0.1)  # somebody else's is untouched
    one.spend(Caller("a"), 0.5)
    with pytest.raises(ServerOverloaded):
        one.spend(Caller("a"), 0.5)


def test_less_than_one_picture_a_second_is_possible() -> None:
    one = access(rate_pictures=0.1)
    one.spend(Caller("a"), 0.0)
    with pytest.raises(ServerOverloaded):
        one.spend(Caller("a"), 9.0)
    one.spend(Caller("a"), 10.1)


@pytest.mark.parametrize("line", ["gate", "gate:short", ":0123456789abcdef"])
def test_a_tokens_file_of_another_form_is_refused_without_being_quoted(tmp_path: Path, line: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# comment\n{line}\n")
    with pytest.raises(SettingsError, match=r"Line 2 of .* is not NAME:TOKEN") as refused:
        read_tokens(path)
    assert line not in str(refused.value)


def test_tokens_files_that_let_nobody_in_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_tokens(tmp_path / "gone")
    (tmp_path / "empty").write_text("# nobody\n")
    with pytest.raises(SettingsError, match="no token in it"):
        read_tokens(tmp_path / "empty")


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True)])
def test_tokens_that_others_may_read_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool
) -> None:
    path = tmp_path / "tokens"
    path.write_text("gate: 0123456789abcdef\n")
    path.chmod(mode)
    Tokens(path, 0.0)
    assert ("chmod 600" in caplog.text) == warned


def test_a_tokens_file_that_changes_is_read_again(
    tokens: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("inference_server.access.access.time.monotonic", lambda: 0.0)
    one, other = access(tokens_file=tokens), "another-long-token"
    gate = one.caller(Sender("host", f"Bearer {TOKEN}"), 0.0)
    one.spend(gate, 0.0)
    with pytest.raises(AccessDenied, match="does not know"):
        one.caller(Sender("host", f"Bearer {other}"), 0.1)
    tokens.write_text(f"drone: {other}\n")
    with pytest.raises(AccessDenied, match="does not know"):
        one.caller(Sender("host", f"Bearer {other}"), 0.2)  # it is looked at now and then
    assert one.changes(0.2) == 0
    assert one.caller(Sender("host", f"Bearer {other}"), LATER).name == "drone"
    assert one.changes(LATER) == 1
    with pytest.raises(AccessDenied, match="does not know"):
        one.caller(Sender("host", f"Bearer {TOKEN}"), LATER)
    with pytest.raises(AccessDenied, match="no longer has this token of gate"):
        one.spend(gate, LATER)  # on a stream that is open
    tokens.write_text("drone\n")
    assert one.caller(Sender("host", f"Bearer {other}"), 2 * LATER).name == "drone"
    assert "stay as they were" in caplog.text and other not in caplog.text


def test_no_token_is_ever_shown(tokens: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    one = access(tokens_file=tokens)
    assert one.caller(Sender("host", f"Bearer {TOKEN}"), 0.0).name == "gate"
    with pytest.raises(AccessDenied) as refused:
        one.caller(Sender("host", f"Bearer {TOKEN}x"), 0.0)
    shown = [str(refused.value), repr(vars(one)), repr(vars(one._tokens)), caplog.text]
    assert not any(TOKEN in text for text in shown)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tls_certificate": "c.pem"}, "a certificate and its key"),
        ({"tls_key": "k.pem"}, "a certificate and its key"),
        ({"tls_client_ca": "ca.pem"}, "over TLS"),
    ],
)
def test_half_of_tls_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read_settings(model="nowhere", **given)


def test_callers_without_tokens_are_their_hosts() -> None:
    assert peer_host("ipv4:10.0.0.7:50123") == "10.0.0.7" == access().caller(Sender("10.0.0.7"), 0.0).name
    assert peer_host("ipv6:[::1]:50123") == "::1" == peer_host("ipv6:%5B::1%5D:50123")
    assert peer_host("ipv6:%5B::ffff:10.0.0.7%5D:50123") == "10.0.0.7"
