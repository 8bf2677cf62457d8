"""Addresses of models in registries, and which of them stand in one text."""

from __future__ import annotations

from pathlib import Path

import pytest

from wire.distribution import model_folder
from wire.distribution.address import Address, is_address, parse_address, split_models
from wire.exceptions import UsageError

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("oci://host/dogs", Address("host", "dogs")),
        ("oci://host:5000/farm/dogs:v1.2", Address("host:5000", "farm/dogs", "v1.2")),
        (f"oci://[::1]:5000/dogs@sha256:{DIGEST}", Address("[::1]:5000", "dogs", "latest", DIGEST)),
        (f"oci://a.example/dogs:v1@sha256:{DIGEST}", Address("a.example", "dogs", "v1", DIGEST)),
    ],
)
def test_an_address_is_read_also_where_a_path_was_made_of_it(text: str, address: Address) -> None:
    assert parse_address(text) == parse_address(str(Path(text))) == address
    assert is_address(Path(text)) and not is_address("models/dogs") and not is_address("oci")
    assert parse_address(str(address)) == Address(
        address.host, address.name, "latest" if address.digest else address.tag, address.digest
    )


@pytest.mark.parametrize(
    "text",
    [
        "oci://host",
        "oci://host/",
        "oci://host/Dogs",
        "oci://host/../dogs",
        "oci://host/dogs:",
        "oci://host/dogs@sha256:12",
        "oci://host/dogs?x=1",
        "oci://-host/dogs",
        f"oci://host/{'a' * 256}",
        "https://host/dogs:v1",
    ],
)
def test_what_is_none_says_how_one_looks(text: str) -> None:
    with pytest.raises(UsageError, match=r"write oci://HOST/NAME:TAG"):
        parse_address(text)


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError, match="docker login HOST") as refused:
        parse_address("oci://me:s3cret@host/dogs:v1")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost:5000", True),
        ("127.0.0.9", True),
        ("[::1]:5000", True),
        ("localhost.example", False),
        ("10.0.0.1", False),
    ],
)
def test_tls_is_left_out_on_this_machine_alone(host: str, local: bool) -> None:
    assert Address(host, "dogs").local == local


def test_a_folder_stays_what_it_is() -> None:
    assert model_folder("models/dogs") == Path("models/dogs") == model_folder(Path("models/dogs"))


@pytest.mark.parametrize(
    "models",
    [
        ["models/a", "/models/b"],
        ["oci://host:5000/a:v1", "models/b", f"oci://host/b@sha256:{DIGEST}", "oci://host/c:v2"],
        ["oci://host/a", "/models/b"],
        ["oci://host/a", "models/b"],
    ],
)
def test_colons_separate_models_and_are_parts_of_addresses(models: list[str]) -> None:
    assert split_models(":".join(models)) == models
