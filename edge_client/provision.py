"""An edge that has nothing but an address fetches the encoder from the server, and checks it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import grpc

from edge_client.errors import translated
from edge_client.transport.base import Metadata
from wire.artifact import Artifact, check_file, load_artifact
from wire.exceptions import ArtifactError
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.manifest import MANIFEST, parse_manifest


def cache_folder() -> Path:
    """Where fetched encoders are kept: $ARTOVEQ_CACHE, or artoveq/ in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "artoveq"
    return Path(os.environ.get("ARTOVEQ_CACHE") or default)


async def provision(channel: grpc.aio.Channel, address: str, timeout: float, metadata: Metadata) -> Artifact:
    """The edge's part of the model that the server serves, from the cache where it is whole there.

    Raises:
        ServerUnavailable: if nobody answers.
        ArtifactError: if what came does not have the hashes that the manifest names.
    """
    stub = RemoteInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
    try:
        described = await stub.DescribeModel(pb.DescribeModelRequest(), timeout=timeout, metadata=metadata)
        manifest = parse_manifest(described.manifest, f"The manifest from {address}")
        folder = cache_folder() / manifest.fingerprint
        try:
            return load_artifact(folder, edge=True)
        except ArtifactError:
            pass  # not there yet, or damaged: fetch it
        files = {}
        for name in manifest.edge_files:
            request = pb.FetchFileRequest(fingerprint=manifest.fingerprint, name=name)
            chunks = stub.FetchFile(request, metadata=metadata)
            files[name] = check_file(manifest, name, b"".join([chunk.data async for chunk in chunks]))
    except grpc.RpcError as error:
        raise translated(error, address) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            _replace(folder / name, data)
        _replace(folder / MANIFEST, described.manifest)
    except OSError as error:
        raise ArtifactError(
            f"The encoder could not be stored in {folder} ({error.strerror}); free some space, or set ARTOVEQ_CACHE."
        ) from error
    return load_artifact(folder, edge=True)


def _replace(path: Path, data: bytes) -> None:
    descriptor, fresh = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(fresh, path)
    except OSError:
        os.unlink(fresh)
        raise
