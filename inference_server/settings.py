"""Every setting of the server, with its default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from inference_server.self_signed import folder, own_names, self_signed
from wire.distribution.address import split_models
from wire.exceptions import SettingsError
from wire.pictures import MAX_PIXELS, memory_bytes

PREFIX = "ARTOVEQ_"


class Settings(BaseSettings):
    """Read once, by `artoveq serve`; its options win over the environment, and that over a file."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    model: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders of the artifacts that are served, or addresses of some in registries (oci://HOST/NAME:TAG), in one text
    separated by colons; the first one is taken where a caller names none."""
    models: Path | None = None
    """A folder whose folders are artifacts: those that come are served, too, and those that go no longer."""
    require_signature: Path | None = None
    """A public key (PEM); models that were not signed with its private key are not served."""
    versions: Literal["pinned", "latest"] = "pinned"
    """Which version of a model edges get. pinned: the one that they have, until another is promoted; latest: the
    one that came last."""
    versions_file: Path | None = None
    """Where it is kept which versions of models were added, and which of them edges get; empty: they are forgotten at
    the end."""
    models_memory_bytes: int = Field(0, ge=0)
    """Memory that loaded models may take together: those that were asked longest ago are unloaded, and loaded again
    when they are asked. 0: without limit."""
    host: str = "0.0.0.0"
    port: int = Field(50051, ge=0, le=65535)
    """Of gRPC; 0 takes a free one."""
    http_port: int = Field(8080, ge=0, le=65535)
    """Of REST; 0 takes a free one."""
    workers: int = Field(1, ge=1, le=64)
    """Processes that share the ports, before one decoder's process for each device; 1: one process does it all."""
    batch_pictures: int = Field(32, ge=1)
    """A batch holds at most this many pictures."""
    caller_batch_ms: float = Field(2.0, gt=0)
    """How much longer one caller's pictures may make a batch while other callers are about, as measured at the start;
    one picture each goes into it anyway."""
    batch_window_ms: float = Field(0.0, ge=0)
    """How long the first picture of a batch waits for company while the decoder is free; what comes while it is busy
    goes into one batch anyway."""
    queue_pictures: int = Field(1024, ge=1)
    """Pictures that may wait for a model's decoder; beyond that the server answers RESOURCE_EXHAUSTED."""
    encoding_pictures: int = Field(64, ge=1)
    """Picture files that may be read and encoded at once for a model; beyond that the server answers
    RESOURCE_EXHAUSTED."""
    caller_encodings: int = Field(16, ge=1)
    """Of those, files of one caller."""
    stream_pictures: int = Field(256, ge=1)
    """Unfinished pictures that one stream may have."""
    max_pixels: int = Field(MAX_PIXELS, ge=1)
    """Largest width × height of a picture that the server decodes."""
    max_upload_bytes: int = Field(16 * 1024 * 1024, ge=1)
    """Largest picture file."""
    upload_memory_bytes: int = Field(128 * 1024 * 1024, ge=1)
    """Bytes of picture files that are held at once, half of them at most of one caller."""
    upload_seconds: float = Field(60, gt=0)
    """How long a picture file may take to arrive."""
    caller_uploads: int = Field(16, ge=1)
    """Picture files that one caller may have under way."""
    message_bytes: int = Field(65536, ge=4096)
    """Largest message of a gRPC call; what is longer is refused before it is read. Larger files come in pieces."""
    connections: int = Field(4096, ge=1)
    """Connections that each port may have open; fewer where the process may not open so many files."""
    connection_calls: int = Field(100, ge=1)
    """Calls that one gRPC connection may have open."""
    calls: int = Field(8192, ge=1)
    """gRPC calls that may be open in all."""
    host_calls: int = Field(256, ge=1)
    """gRPC calls of one host whose request has not arrived yet."""
    host_watches: int = Field(32, ge=1)
    """Calls of one host that watch the health, or reflection."""
    greeting_seconds: float = Field(20, gt=0)
    """How long a connection may take to say what it wants: TLS, the greeting of HTTP/2, the headers of HTTP; and a call
    to send its request."""
    connection_idle_seconds: float = Field(300, gt=0)
    """A gRPC connection without a call is closed after so long."""
    connection_age_seconds: float = Field(0, ge=0)
    """A gRPC connection takes no new calls after so long, and is closed `drain_seconds` later; 0: it may stay."""
    keepalive_seconds: float = Field(120, gt=0)
    """After so long without a byte from a gRPC connection the server pings it."""
    keepalive_timeout_seconds: float = Field(20, gt=0)
    """A connection that does not answer a ping for so long is closed."""
    ping_seconds: float = Field(5, ge=0)
    """Clients may ping this often; a connection that pings more often is closed."""
    proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses or networks, separated by commas, of proxies whose X-Forwarded-For is believed."""
    proxy_certificate_header: Literal["", "client-cert", "x-forwarded-client-cert"] = ""
    """The header in which those proxies name the certificate that their caller showed them, which is then the caller;
    they must take away what callers send in it."""
    picture_memory_bytes: int = Field(512 * 1024 * 1024, ge=1)
    """Memory of all picture files that are being read at once; what finds no room waits."""
    http_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names, separated by commas, that HTTP answers to beside addresses and localhost. Empty: over TLS to any; else to
    those that no stranger can own."""
    http_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins, separated by commas, whose pages may use this server beside its own: https://app.example.com, or * for
    those of anybody."""
    hsts_seconds: int = Field(31536000, ge=0)
    """For so long browsers come back to this host over TLS alone, once they have; 0: they are not told so."""
    viewers: int = Field(32, ge=1)
    """Pages that may be open at once."""
    caller_viewers: int = Field(8, ge=1)
    """Of those, pages of one caller."""
    reporting_edges: int = Field(256, ge=1)
    """Edges whose reports, thumbnails and last hour are kept for the page, also when they have gone; where there are
    more, the caller that has most of them loses those of the one that has been silent longest."""
    tls_certificate: Path | None = None
    """PEM file of the certificate, with its chain; both ports then speak TLS alone."""
    tls_key: Path | None = None
    """PEM file of its private key."""
    tls_self_signed: bool = False
    """Where no certificate is named, the server makes its own, and keeps it."""
    tls_client_ca: Path | None = None
    """PEM file of the authority that edges' certificates must come from (mutual TLS); both ports then want
    one."""
    tokens_file: Path | None = None
    """Lines of NAME:TOKEN; callers must send one of the tokens."""
    admin_tokens_file: Path | None = None
    """Lines of NAME:TOKEN, of those who may change the models over HTTP; without it nobody may."""
    rate_pictures: float = Field(0, ge=0)
    """Pictures a second that one caller may send; 0 is without limit."""
    caller_streams: int = Field(1024, ge=1)
    """Streams that one caller may have open: one token, or, without tokens, one host."""
    caller_share: float = Field(0.2, gt=0, le=1)
    """Of the event loop's time, what one caller may take while others are about; 1: all that they leave."""
    stranger_requests: float = Field(50, ge=0)
    """Requests and calls a second of one host without a token, where tokens are wanted; further ones wait. 0: without
    limit."""
    idle_seconds: float = Field(600, gt=0)
    """A stream that says nothing for so long is ended; an edge opens it anew when it has a picture."""
    stream_age_seconds: float = Field(0, ge=0)
    """After so long, or up to a fifth earlier, an edge is told to open its stream anew, so that streams spread over
    servers that came later; 0: it may stay. An edge that does not understand that stays, too."""
    remembered_pictures: int = Field(8192, ge=1)
    """Answers that are kept for pictures that may be sent again, one of more than 1 KiB counting for each it has; where
    there are more, the caller that has most of them loses its oldest."""
    store: str = ""
    """redis://HOST:PORT/0 of Redis 7 or Valkey, in which several servers remember answers together, and tell how many
    streams they have; empty: each on its own. May have a user and a password."""
    store_seconds: float = Field(0.25, gt=0)
    """A store that does not answer for so long is away."""
    store_keeps_seconds: float = Field(3600, gt=0)
    """How long the store keeps an answer."""
    store_away: Literal["refuse", "answer"] = "refuse"
    """What becomes of a picture with a key while the store is away: it is refused with UNAVAILABLE, to be sent again
    later; or answered, and perhaps counted twice."""
    drain_notice_seconds: float = Field(0.0, ge=0)
    """How long a stopping server still takes new work while its health says NOT_SERVING, for load balancers."""
    drain_seconds: float = Field(2.0, ge=0)
    """How long a stopping server finishes what it has."""
    decoder: Literal["auto", "onnx", "torch", "fastest"] = "auto"
    """auto: torch where it finds a GPU, else ONNX Runtime. fastest: whichever is faster when the server starts."""
    precision: Literal["auto", "fp32", "int8"] = "fp32"
    """Of a decoder on the CPU; auto: of the two that an artifact has, the faster one when the server starts."""
    decoder_threads: int = Field(0, ge=0)
    """CPU threads of the decoder; 0 lets ONNX Runtime decide."""

    @field_validator("model", mode="before")
    @classmethod
    def _folders(cls, given: Any) -> Any:
        if isinstance(given, str):
            return tuple(split_models(given))
        return (given,) if isinstance(given, Path) else given

    @field_validator("proxies", "http_hosts", "http_origins", mode="before")
    @classmethod
    def _list(cls, given: Any) -> Any:
        return tuple(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else given


def read_settings(file: Mapping[str, Any] = MappingProxyType({}), /, **given: Any) -> Settings:
    """The settings given, the environment's for the rest, and for what is then left those of a file.

    Raises:
        SettingsError: naming the setting, and what it may be.
    """
    left = {name: value for name, value in file.items() if f"{PREFIX}{name.upper()}" not in os.environ}
    try:
        settings = Settings(**{**left, **given})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"The server cannot use these settings: {faults}.") from error
    if not settings.model and settings.models is None:
        raise SettingsError(
            "A server serves a model; name its folder with --model, or in ARTOVEQ_MODEL, or a folder of such with "
            "--models. `artoveq demo` says at its end where its own lies."
        )
    if settings.tls_self_signed and not settings.tls_certificate:
        made = dict(zip(("tls_certificate", "tls_key"), self_signed(folder(), own_names()), strict=True))
        # A browser that trusts it shall not want TLS of all that runs on this host.
        settings = settings.model_copy(update={**made, "hsts_seconds": 0})
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise SettingsError("TLS takes a certificate and its key; set ARTOVEQ_TLS_CERTIFICATE and ARTOVEQ_TLS_KEY.")
    if settings.tls_client_ca and not settings.tls_certificate:
        raise SettingsError("ARTOVEQ_TLS_CLIENT_CA checks edges over TLS; set ARTOVEQ_TLS_CERTIFICATE and _KEY, too.")
    largest = memory_bytes(settings.max_pixels, settings.max_upload_bytes)
    if largest > settings.picture_memory_bytes:
        raise SettingsError(
            f"To read a picture of {settings.max_pixels:,} pixels and {settings.max_upload_bytes:,} bytes takes "
            f"{largest:,} bytes; set ARTOVEQ_PICTURE_MEMORY_BYTES to no less, or the other two lower."
        )
    return settings
