"""Tiny artifacts of each kind, and a server of all of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx2
import pytest
from PIL import Image

from tests import tiny
from tests.inference_server.serving import Running, serving
from wire.artifact import Artifact
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.pictures import Picture

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="session")
def progressive(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny.progressive(tmp_path_factory.mktemp("models") / "progressive")


@pytest.fixture(scope="session")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny.progressive(tmp_path_factory.mktemp("models") / "coded", coded=True)


@pytest.fixture(scope="session")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny.nested(tmp_path_factory.mktemp("models") / "nested", coded=True)


@pytest.fixture(scope="session")
def any_size(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny.any_size(tmp_path_factory.mktemp("models") / "any-size", coded=True)


@pytest.fixture(scope="session")
def reconstruction(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny.reconstruction(tmp_path_factory.mktemp("models") / "reconstruction")


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny.questions(tmp_path_factory.mktemp("models") / "asked")


@pytest.fixture(scope="session")
def server(
    progressive: Artifact, coded: Artifact, nested: Artifact, any_size: Artifact, reconstruction: Artifact
) -> Iterator[Running]:
    with serving(*(one.folder for one in (progressive, coded, nested, any_size, reconstruction))) as running:
        yield running


@pytest.fixture
def stub(server: Running) -> Iterator[RemoteInferenceServiceStub]:
    with grpc.insecure_channel(server.address) as channel:
        yield RemoteInferenceServiceStub(channel)


@pytest.fixture
def http(server: Running) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url) as client:
        yield client


def png(colour: str) -> bytes:
    """A picture file in the colour of a class."""
    return file_of(tiny.picture(colour))


def file_of(picture: Picture) -> bytes:
    """As a PNG file."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# who may come in\ngate: {TOKEN}\n")
    return path
