"""`artoveq serve --ray`: Ray Serve on this machine, or on the cluster that RAY_ADDRESS names, until a signal comes."""

from __future__ import annotations

import os
import signal
import threading

from inference_server.lifetime import SIGNALS
from inference_server.ray_serve.replica import check_settings
from inference_server.settings import Settings
from wire.addresses import authority

ENVIRONMENT = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
}
"""Of Ray's processes, where nobody has set it: HAProxy leads streams to replicas, which answer on one event loop."""
SERVICE = "inference_server.ray_serve.messages.add_service"


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        SettingsError: for what Ray Serve cannot do.
    """
    check_settings(settings)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray  # reads the environment
    from ray import serve as engine

    from inference_server.ray_serve.application import NAME, application

    ray.init(address=os.environ.get("RAY_ADDRESS", "local"), log_to_driver=False)
    try:
        engine.start(
            proxy_location="EveryNode",
            http_options={"host": settings.host, "port": settings.http_port},
            grpc_options={"port": settings.port, "grpc_servicer_functions": [SERVICE]},
        )
        engine.run(application(settings.model_dump(mode="json")), name=NAME, route_prefix="/")
        stopping = threading.Event()
        for number in SIGNALS:
            signal.signal(number, lambda *_: stopping.set())
        print(
            f"Serving on Ray: gRPC on {authority(settings.host, settings.port)}, page and REST on "
            f"http://{authority(settings.host, settings.http_port)}/",
            flush=True,
        )
        stopping.wait()
        engine.shutdown()
    finally:
        ray.shutdown()
