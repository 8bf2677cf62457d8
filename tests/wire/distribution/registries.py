"""Registries for tests: Debian's, as a process, and one in a thread that gives what it is told to."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from wire.artifact import Artifact
from wire.distribution.document import File, document
from wire.manifest import MANIFEST
from wire.manifest_json import sha256

USER, PASSWORD = "farm", "s3cret-of-the-farm"
HASHED = "farm:$2b$04$RYPNLvAPDHaTwNLIMIMSsuhLvOToDTrAGBUV/uoJ4zsk7tW0c.bpS"
"""As htpasswd -B writes it."""


@contextlib.contextmanager
def debians(folder: Path, *, password: bool = False) -> Iterator[str]:
    """docker-registry with its data in a folder; HOST:PORT."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    values: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host, "relativeurls": True},
    }
    folder.mkdir(exist_ok=True)
    if password:
        (folder / "users").write_text(HASHED + "\n")
        values["auth"] = {"htpasswd": {"realm": "farm", "path": str(folder / "users")}}
    (folder / "config.yml").write_text(json.dumps(values))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)
        try:
            name, _, port = host.rpartition(":")
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection((name, int(port))):
                    break
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
            yield host
        finally:
            process.terminate()
            process.wait(10)


@dataclass
class Answer:
    """What is said to a request: a status, headers, and pieces of the body; Content-Length is what `headers` say."""

    pieces: tuple[bytes, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_s: float = 0.0


Give = Callable[[str, Mapping[str, str]], Answer]


def plain(data: bytes, headers: Mapping[str, str]) -> Answer:
    """A blob, or its end, as an honest registry gives it."""
    begin = int(match[1]) if (match := re.match(r"bytes=(\d+)-", headers.get("Range", ""))) else 0
    more = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if begin else {}
    return Answer((data[begin:],), 206 if begin else 200, {"Content-Length": str(len(data) - begin), **more})


@contextlib.contextmanager
def telling(give: Give) -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """A registry that answers by the path alone; HOST:PORT, and the requests that came, with their headers."""
    came: list[tuple[str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            came.append((self.path, dict(self.headers)))
            answer = give(self.path, self.headers)  # type: ignore[arg-type]
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in answer.pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
                    time.sleep(answer.pause_s)

        do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", came
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Stored:
    """A model as a registry has it: its OCI manifest, and blobs by digest; a test may change either."""

    listed: bytes
    blobs: dict[str, bytes]

    @classmethod
    def of(cls, artifact: Artifact) -> Stored:
        """As it is in its folder."""
        files = {name: artifact.path(name).read_bytes() for name in (MANIFEST, *artifact.manifest.files)}
        listed = {name: File(sha256(data), len(data)) for name, data in files.items()}
        text = document(artifact.manifest, listed, File(sha256(b"{}"), 2))
        return cls(text, {sha256(data): data for data in files.values()})

    @property
    def digest(self) -> str:
        return sha256(self.listed)

    def give(self, path: str, headers: Mapping[str, str]) -> Answer:
        """As an honest registry."""
        if "/manifests/" in path:
            return plain(self.listed, {})
        return plain(self.blobs[path.rpartition(":")[2]], headers)
