"""Whether the server on this machine takes work: what Docker asks every few seconds, so Python's own modules alone.

`python -m inference_server.health` ends with 0 if so, and else with a sentence and 1. Of the settings it reads those
that say where to ask. It speaks to its own machine, and sends nothing: whose certificate the server has is not checked.
Where the server wants one of us (mutual TLS) it shows the server's own; refused with that, the server lives at least.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys

ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
TIMEOUT_S = 2.5


def fault(host: str, port: int, certificate: str | None, key: str | None) -> str | None:
    """Why the server takes no work, None if it does. certificate, key: PEM files of the server, where it speaks TLS."""
    connection: http.client.HTTPConnection
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        if certificate:
            context.load_cert_chain(certificate, key)
        connection.connect()
        try:
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
        except (ssl.SSLError, ConnectionError):  # greeted, and then hung up on
            return None if certificate else f"The server on port {port} of {host} hung up."
    except (OSError, http.client.HTTPException) as error:
        return f"No server answers on port {port} of {host} ({error})."
    finally:
        connection.close()
    return None if status == 200 else f"The server takes no work (status {status}); it may be stopping."


def of_environment(host: str | None = None, http_port: int | None = None) -> str | None:
    """As `fault`, where the server's settings are those of the environment but for what is given."""
    asked = (host or os.environ.get("ARTOVEQ_HOST", "")).strip("[]")
    port = http_port or int(os.environ.get("ARTOVEQ_HTTP_PORT", "8080"))
    pair = (os.environ.get("ARTOVEQ_TLS_CERTIFICATE"), os.environ.get("ARTOVEQ_TLS_KEY"))
    return fault(ANY.get(asked, asked), port, *pair)


if __name__ == "__main__":
    sys.exit(of_environment())
