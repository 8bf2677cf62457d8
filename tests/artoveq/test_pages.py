"""What is asked of a server's page, where a proxy answers in its place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from artoveq.pages import asked
from wire.exceptions import ServerError


class Proxy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<html><body><h1>503 Service Unavailable</h1></body></html>"
        self.send_response(503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_proxy_without_a_server_is_a_sentence(proxy: str) -> None:
    with pytest.raises(ServerError, match=f"^{proxy}: Service Unavailable$"), asked(proxy, "/readyz", None, None):
        pass
