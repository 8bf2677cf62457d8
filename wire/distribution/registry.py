"""A registry of OCI artifacts, by `oras`: every answer bounded in bytes and time, every fault a sentence."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any
from urllib.parse import urlsplit

import oras.provider
import requests
import urllib3.exceptions
from oras.container import Container
from requests.adapters import HTTPAdapter

from wire.distribution.address import Address
from wire.distribution.document import DOCUMENT_BYTES, MEDIA_TYPE
from wire.exceptions import RegistryError, RegistryUnavailable
from wire.manifest_json import sha256

SILENCE_S = 20.0
"""How long a registry may say nothing."""
PAUSES_S = (0.5, 2.0)
"""Before what failed on the way is asked for again."""
PIECE_BYTES = 1 << 16
BUSY = (429, 500, 502, 503, 504)
logging.getLogger("oras.logger").setLevel(logging.CRITICAL)  # faults are said once, by us
ON_THE_WAY = (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError)


class Registry(oras.provider.Registry):  # type: ignore[misc]
    """Where the model of an address is; all that is asked there may take so many seconds."""

    def __init__(self, address: Address, seconds: float) -> None:
        super().__init__(hostname=address.host, insecure=address.local)
        self.address, self.deadline, self._authorisation = address, time.monotonic() + seconds, ""
        self.container = Container(f"{address.name}:{address.tag}", registry=address.host)
        self.session.adapters.clear()  # nothing is led away from TLS
        for scheme in ("http://", "https://") if address.local else ("https://",):
            self.session.mount(scheme, _Bounded(self.deadline))
        self.session.max_redirects = 5
        self.session.headers["Accept-Encoding"] = "identity"  # what is compressed has no bound
        folder = os.environ.get("DOCKER_CONFIG")
        try:
            self.auth.load_configs(self.container, [os.path.join(folder, "config.json")] if folder else None)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            raise RegistryError(
                f"The users of registries in {folder or '~/.docker'}/config.json cannot be read; say `docker login "
                f"{address.host}` anew."
            ) from None

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def do_request(
        self,
        url: str,
        method: str = "GET",
        data: Any = None,
        headers: dict[str, str] | None = None,
        json: Any = None,
        stream: bool = False,
    ) -> requests.Response:
        """As oras asks: once more with what the registry wants to know, and without its pauses of minutes."""
        ours = urlsplit(url).netloc == self.address.host  # who gives uploads a place elsewhere learns no password
        given = dict(headers or {})
        for retry in range(2):
            if ours and self._authorisation:
                given["Authorization"] = self._authorisation
            response: requests.Response = self.session.request(
                method, url, data=data, json=json, headers=given, stream=stream
            )
            if response.status_code != 401 or not ours or retry:
                break
            self._authorisation = self._authorised(response)
        if response.status_code >= 400 and not (method == "HEAD" and response.status_code == 404):
            with response:
                raise _refused(response, self.address)
        return response

    def _authorised(self, response: requests.Response) -> str:
        """What the registry wants in the header Authorization."""
        challenge = response.headers.get("Www-Authenticate", "")
        if challenge.lower().startswith("basic"):
            known = getattr(self.auth, "_basic_auth", None)  # of the token's backend, which asks with it, too
            return f"Basic {known}" if known else ""
        realm = re.search(r'realm="([^"]*)"', challenge)
        if realm is None or (self.prefix == "https" and not realm[1].startswith("https://")):
            raise RegistryError(f"{self.address.host} asks for a password without TLS; it gets none.")
        headers, changed = self.auth.authenticate_request(response, {}, refresh=True)
        return str(headers.get("Authorization", "")) if changed else ""

    def document(self) -> bytes:
        """The OCI manifest of the address.

        Raises:
            RegistryError: if it does not come, or is not the one of the address's digest.
        """
        address, wanted = self.address, f"sha256:{self.address.digest}" if self.address.digest else self.address.tag
        with sentences(address):
            url = f"{self.prefix}://{self.container.manifest_url(wanted)}"
            data: bytes = again(lambda: self.do_request(url, headers={"Accept": MEDIA_TYPE})).content
        if address.digest and sha256(data) != address.digest:
            raise RegistryError(f"{address.host} gives something else for {address}; ask whoever runs it.")
        return data

    def pieces(self, digest: str, begin: int) -> tuple[int, Generator[bytes, None, None]]:
        """The bytes of a blob from `begin` on, or from where the registry begins, which comes first."""
        url = f"{self.prefix}://{self.container.get_blob_url(f'sha256:{digest}')}"
        headers = {"Range": f"bytes={begin}-"} if begin else {}
        response = self.do_request(url, headers=headers, stream=True)
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {begin}-")
        return begin if begins and response.status_code == 206 else 0, _pieces(response, self.deadline)


class _Bounded(HTTPAdapter):
    """Connections whose answers are read here, and no further than an OCI manifest's end, unless they are streamed."""

    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, timeout: Any = None, *rest: Any, **more: Any
    ) -> requests.Response:
        patience = max(0.001, min(SILENCE_S, self._deadline - time.monotonic()))
        response = super().send(request, True, patience, *rest, **more)
        if response.is_redirect or response.status_code >= 400 or not stream:
            body = bytearray()
            for piece in () if response.is_redirect else _pieces(response, self._deadline):
                body += piece
                if len(body) > DOCUMENT_BYTES:
                    raise requests.RequestException("an answer without end")
            response.raw.close()
            response.raw = io.BytesIO(body)
        return response


def _pieces(response: requests.Response, deadline: float) -> Generator[bytes, None, None]:
    with contextlib.closing(response.raw) as raw:
        while piece := raw.read1(PIECE_BYTES):
            yield piece
            if time.monotonic() > deadline:
                raise requests.Timeout


def again(ask: Callable[[], Any]) -> Any:
    """What `ask` gives, which is called anew where it failed on the way."""
    for pause in PAUSES_S:
        try:
            return ask()
        except (*ON_THE_WAY, RegistryUnavailable):
            time.sleep(pause)
    return ask()


@contextlib.contextmanager
def sentences(address: Address) -> Iterator[None]:
    """What oras and its connections raise, as ours; nothing of what they say, which may name addresses with secrets."""
    host = address.host
    try:
        yield
    except requests.exceptions.SSLError:
        raise RegistryUnavailable(
            f"{host} shows no certificate that is trusted here; name its authority's file in REQUESTS_CA_BUNDLE."
        ) from None
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        raise RegistryUnavailable(f"{host} takes too long; try again: what has arrived is kept.") from None
    except ON_THE_WAY:
        raise RegistryUnavailable(
            f"No registry answers at {host}, or it hangs up; check the address, or try again: what has arrived is kept."
        ) from None
    except (requests.RequestException, ValueError, LookupError, TypeError, AttributeError):
        raise RegistryError(f"{host} does not answer as a registry does; check the address.") from None


def _refused(response: requests.Response, address: Address) -> RegistryError:
    """What a status means. Of the registry's own words only codes are shown: it knows our password."""
    status, host = response.status_code, address.host
    if status in (401, 403):
        return RegistryError(f"{host} wants a user who may do that with {address.name}; say `docker login {host}`.")
    if status == 404:
        return RegistryError(f"{host} has no {address}; `artoveq push` brings a model there.")
    if status in BUSY:
        return RegistryUnavailable(f"{host} cannot answer now ({status}); try again later.")
    with contextlib.suppress(Exception):
        codes = [one["code"] for one in response.json()["errors"] if re.fullmatch(r"[A-Z_]{1,40}", one["code"])]
        return RegistryError(f"{host} refuses that ({status}, {', '.join(codes[:3])}); check name and tag.")
    return RegistryError(f"{host} refuses that ({status}); check name and tag.")
