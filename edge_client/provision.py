"""An edge that has nothing but an address fetches the encoder from the server, and trusts it with nothing."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from weakref import WeakValueDictionary

import grpc

from edge_client.cache import ModelCache
from edge_client.errors import DEADLINE_EXCEEDED, translated
from edge_client.signers import Signers
from edge_client.transport.base import Metadata
from edge_client.transport.greeting import why_silent
from wire.artifact import SIGNATURE, SIGNER, Artifact, check_file, largest, read_file
from wire.cache import cache_bytes, cache_folder
from wire.exceptions import ArtifactError, ModelMismatch, ServerUnavailable
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.manifest import MANIFEST, Manifest
from wire.manifest_json import parse_manifest
from wire.shown import without_secrets

log = logging.getLogger(__name__)

FETCHED_BYTES = 1 << 28
"""Largest file that is fetched; it has to fit into the cache, too."""
FETCH_S = 1800.0
"""How long a file may take: half a megabyte over a link of 2.4 kbit/s."""

_used: WeakValueDictionary[str, Artifact] = WeakValueDictionary()


async def provision(
    channel: grpc.aio.Channel,
    address: str,
    timeout: float,
    metadata: Metadata,
    fingerprint: str = "",
    *,
    pinned: bool = False,
) -> Artifact:
    """The edge's part of the model that the server serves, from the cache where it is whole there.

    fingerprint: of the one model that is wanted. pinned: it is the one that is taken, whoever has signed it or not, and
    where the cache has it nobody is asked.

    Raises:
        ServerUnavailable: if nobody answers, or not fast enough.
        ModelMismatch: if the server has not the model of that fingerprint.
        ArtifactError: if what came is not what the manifest names, or not to be trusted.
        SignatureError: if it is not signed as the address's models were.
    """
    cache = _cache()
    kept = _kept(cache, fingerprint) if fingerprint else None
    if pinned and kept is not None:
        return kept
    stub = RemoteInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
    try:
        if kept is not None:
            raw, manifest = read_file(kept.folder, MANIFEST), kept.manifest
        else:
            request = pb.DescribeModelRequest(model=fingerprint)
            raw = (await stub.DescribeModel(request, timeout=timeout, metadata=metadata)).manifest
            manifest = parse_manifest(raw, f"The manifest from {address}")
            check_pin(manifest, fingerprint)
        fetched = partial(_fetch, stub, address, manifest.fingerprint, metadata=metadata)
        if not pinned:
            await Signers(cache.folder).check(address, raw, partial(_signature, fetched))
        artifact = kept or _kept(cache, manifest.fingerprint)
        if artifact is None:
            files = {name: check_file(manifest, name, await fetched(name)) for name in manifest.edge_files}
            artifact = cache.store(manifest.fingerprint, {MANIFEST: raw, **files})
    except grpc.RpcError as error:
        if isinstance(error, grpc.aio.AioRpcError) and error.code().value[0] == DEADLINE_EXCEEDED:
            raise ServerUnavailable(await why_silent(without_secrets(address), timeout)) from error
        raise translated(error, address) from error
    return artifact


def _kept(cache: ModelCache, fingerprint: str) -> Artifact | None:
    """As the cache's; what this process has read, and still uses, is not read again."""
    artifact = _used.get(fingerprint)
    if artifact is None or artifact.folder.parent != cache.folder or not artifact.folder.exists():
        artifact = cache.load(fingerprint)
        if artifact is not None:
            _used[fingerprint] = artifact
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


async def _signature(fetched: Callable[[str], Awaitable[bytes]]) -> tuple[bytes, bytes] | None:
    """A model's signature, and the key to check it; None where the server has none, or knows of none."""
    try:
        return await fetched(SIGNATURE), await fetched(SIGNER)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise


async def _fetch(
    stub: RemoteInferenceServiceStub, address: str, fingerprint: str, name: str, metadata: Metadata
) -> bytes:
    """A file of the model: as large as its first message says, and no larger."""
    request = pb.FetchFileRequest(fingerprint=fingerprint, name=name)
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
    return bytes(data)


def _cache() -> ModelCache:
    return ModelCache(cache_folder(), cache_bytes())
