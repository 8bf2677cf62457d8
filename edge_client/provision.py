"""An edge that has nothing but an address fetches the encoder from the server, and checks it."""

from __future__ import annotations

import logging

import grpc

from edge_client.cache import ModelCache, cache_bytes, cache_folder
from edge_client.errors import translated
from edge_client.transport.base import Metadata
from wire.artifact import Artifact, check_file
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.manifest import MANIFEST, parse_manifest

log = logging.getLogger(__name__)


async def provision(channel: grpc.aio.Channel, address: str, timeout: float, metadata: Metadata) -> Artifact:
    """The edge's part of the model that the server serves, from the cache where it is whole there.

    Raises:
        ServerUnavailable: if nobody answers.
        ArtifactError: if what came does not have the hashes that the manifest names.
    """
    stub = RemoteInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
    cache = _cache()
    try:
        described = await stub.DescribeModel(pb.DescribeModelRequest(), timeout=timeout, metadata=metadata)
        manifest = parse_manifest(described.manifest, f"The manifest from {address}")
        before = cache.served(address)
        if before not in (None, manifest.fingerprint):
            log.warning("%s serves another model now: %s, in place of %s.", address, manifest.fingerprint, before)
        artifact = cache.load(manifest.fingerprint)
        if artifact is None:
            files = {MANIFEST: described.manifest}
            for name in manifest.edge_files:
                request = pb.FetchFileRequest(fingerprint=manifest.fingerprint, name=name)
                chunks = stub.FetchFile(request, metadata=metadata)
                files[name] = check_file(manifest, name, b"".join([chunk.data async for chunk in chunks]))
            artifact = cache.store(manifest.fingerprint, files)
    except grpc.RpcError as error:
        raise translated(error, address) from error
    cache.remember(address, manifest.fingerprint)
    return artifact


def provisioned(address: str) -> Artifact | None:
    """The edge's part of the model that the server served last, from the cache; None where it is not there."""
    cache = _cache()
    fingerprint = cache.served(address)
    return None if fingerprint is None else cache.load(fingerprint)


def _cache() -> ModelCache:
    return ModelCache(cache_folder(), cache_bytes())
