"""An edge that has nothing but an address fetches the encoder from the server, and trusts it with nothing."""

from __future__ import annotations

import logging

import grpc

from edge_client.cache import ModelCache
from edge_client.errors import DEADLINE_EXCEEDED, translated
from edge_client.transport.base import Metadata
from edge_client.transport.greeting import why_silent
from wire.artifact import Artifact, check_file, largest
from wire.cache import cache_bytes, cache_folder
from wire.exceptions import ArtifactError, ModelMismatch, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.manifest import MANIFEST, Manifest, parse_manifest
from wire.shown import without_secrets

log = logging.getLogger(__name__)

FETCHED_BYTES = 1 << 28
"""Largest file that is fetched; it has to fit into the cache, too."""
FETCH_S = 1800.0
"""How long a file may take: half a megabyte over a link of 2.4 kbit/s."""


async def provision(
    channel: grpc.aio.Channel, address: str, timeout: float, metadata: Metadata, fingerprint: str = ""
) -> Artifact:
    """The edge's part of the model that the server serves, from the cache where it is whole there.

    fingerprint: of the one model that is taken; where the cache has it, nobody is asked.

    Raises:
        ServerUnavailable: if nobody answers, or not fast enough.
        ModelMismatch: if the server has not the model of that fingerprint.
        ArtifactError: if what came is not what the manifest names, or not to be trusted.
    """
    cache = _cache()
    if fingerprint and (kept := cache.load(fingerprint)) is not None:
        return kept
    stub = RemoteInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
    try:
        request = pb.DescribeModelRequest(model=fingerprint)
        described = await stub.DescribeModel(request, timeout=timeout, metadata=metadata)
        manifest = parse_manifest(described.manifest, f"The manifest from {address}")
        check_pin(manifest, fingerprint)
        artifact = cache.load(manifest.fingerprint)
        if artifact is None:
            files = {name: await _fetch(stub, address, manifest, name, metadata) for name in manifest.edge_files}
            artifact = cache.store(manifest.fingerprint, {MANIFEST: described.manifest, **files})
    except grpc.RpcError as error:
        if isinstance(error, grpc.aio.AioRpcError) and error.code().value[0] == DEADLINE_EXCEEDED:
            raise ServerUnavailable(await why_silent(without_secrets(address), timeout)) from error
        raise translated(error, address) from error
    return artifact


def remember(address: str, fingerprint: str) -> None:
    """A model from this address has run: the next start without a link takes it, and a change is logged."""
    cache = _cache()
    before = cache.served(address)
    if before not in (None, fingerprint):
        log.warning("%s has another model now: %s, in place of %s.", address, fingerprint, before)
    cache.remember(address, fingerprint)


def check_pin(manifest: Manifest, fingerprint: str) -> None:
    """Raises ModelMismatch where a model is not the one that is taken; with an empty fingerprint any one is."""
    if fingerprint and manifest.fingerprint != fingerprint:
        raise ModelMismatch(
            f"The model {manifest.name} has the fingerprint {manifest.fingerprint}, and the one that is taken is "
            f"{fingerprint}; pin the new one if you trust it."
        )


def provisioned(address: str) -> Artifact | None:
    """The edge's part of the model that the server served last, from the cache; None where it is not there."""
    cache = _cache()
    fingerprint = cache.served(address)
    return None if fingerprint is None else cache.load(fingerprint)


async def _fetch(
    stub: RemoteInferenceServiceStub, address: str, manifest: Manifest, name: str, metadata: Metadata
) -> bytes:
    """A file of the model: as large as its first message says, and no larger."""
    request = pb.FetchFileRequest(fingerprint=manifest.fingerprint, name=name)
    limit, size, data = min(largest(name), FETCHED_BYTES, cache_bytes()), None, bytearray()
    chunks = stub.FetchFile(request, metadata=metadata, timeout=FETCH_S)
    try:
        async for chunk in chunks:
            size = chunk.file_bytes if size is None else size
            if size > limit:
                raise ArtifactError(
                    f"{name} of {address} has {size:,} bytes, and {limit:,} are fetched at most; copy the model's "
                    "folder to this machine if you trust it, and name it."
                )
            data += chunk.data
            if not chunk.data or len(data) > size:
                raise ArtifactError(f"{address} sends more of {name} than the {size:,} bytes that it announced.")
    except grpc.aio.AioRpcError as error:
        if error.code().value[0] != DEADLINE_EXCEEDED:
            raise
        raise ServerUnavailable(
            f"{address} did not send {name} within {FETCH_S:g} s; try again over a faster link, or copy the model's "
            "folder to this machine, and name it."
        ) from error
    finally:
        chunks.cancel()
    return check_file(manifest, name, bytes(data))


def _cache() -> ModelCache:
    return ModelCache(cache_folder(), cache_bytes())
