"""The server's certificate and the authority of its callers', for both ports, from files that may change meanwhile."""

from __future__ import annotations

import logging
import ssl

import grpc

from inference_server.access.contents import contents
from inference_server.settings import Settings
from wire.exceptions import SettingsError

log = logging.getLogger(__name__)


class Certificates:
    """Whoever connects gets the newest ones; connections that are open go on.

    Raises:
        SettingsError: if a file cannot be read, or they do not belong together.
    """

    def __init__(self, settings: Settings) -> None:
        assert settings.tls_certificate is not None and settings.tls_key is not None
        self._certificate, self._key, self._client_ca = (
            settings.tls_certificate, settings.tls_key, settings.tls_client_ca,
        )  # fmt: skip
        self._paths = tuple(filter(None, (self._certificate, self._key, self._client_ca)))
        self._contents = contents(*self._paths)
        self._context, self._configuration = self._load()
        self._given = self._configuration

    def read_again(self) -> None:
        """Takes over files that have changed; where they do not belong together, the log says so, and they are not."""
        found = contents(*self._paths)
        if found == self._contents:
            return
        self._contents = found
        try:
            self._context, self._configuration = self._load()
        except SettingsError as error:
            log.warning("The certificates stay as they were: %s", error)
        else:
            log.info("The certificates have changed; new connections get them.")

    def rpc_credentials(self) -> grpc.ServerCredentials:
        """For gRPC's port, which asks before each handshake."""

        def newest() -> grpc.ServerCertificateConfiguration | None:
            """In a thread of gRPC's."""
            if self._given is self._configuration:
                return None
            self._given = self._configuration
            return self._given

        return grpc.dynamic_ssl_server_credentials(
            self._configuration,
            newest,  # type: ignore[arg-type]  # None: no change
            self._client_ca is not None,
        )

    def http_context(self) -> ssl.SSLContext:
        """For HTTP's port: one that hands each handshake over to the newest."""
        first, _ = self._load()

        def hand_over(connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
            connection.context = self._context

        first.sni_callback = hand_over
        return first

    def _load(self) -> tuple[ssl.SSLContext, grpc.ServerCertificateConfiguration]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self._certificate, self._key, password=lambda: "")  # else it would ask
            if self._client_ca:
                context.load_verify_locations(self._client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
                # A session that goes on shows no certificate again: it would outlive the authority of its own.
                context.minimum_version, context.num_tickets = ssl.TLSVersion.TLSv1_3, 0
            pair = (self._key.read_bytes(), self._certificate.read_bytes())
            client_ca = self._client_ca.read_bytes() if self._client_ca else None
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            files = ", ".join(map(str, self._paths))
            raise SettingsError(f"TLS cannot use {files} ({error}); name PEM files that belong together.") from error
        return context, grpc.ssl_server_certificate_configuration([pair], client_ca)
