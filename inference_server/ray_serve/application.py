"""The deployment as Ray Serve runs it, for `artoveq serve --ray` and for a Serve config file (deploy/ray)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.context import _get_global_client

import inference_server.ray_serve.messages  # noqa: F401 (a replica says what the proxies can carry)
from inference_server.ray_serve.replica import Replica, check_settings
from inference_server.settings import read_settings

NAME = "artoveq"
MOST_STREAMS = 10_000
"""Of a replica: to Ray each stream is a request that goes on. The server has limits of its own."""
SCALING = {
    "min_replicas": 1,
    "max_replicas": 8,
    "look_back_period_s": 20,
    "upscale_delay_s": 10,
    "downscale_delay_s": 300,
    "policy": {"policy_function": "inference_server.ray_serve.autoscaling:QueueTime"},
}


@serve.deployment(
    name=NAME,
    max_ongoing_requests=MOST_STREAMS,
    autoscaling_config=SCALING,
    health_check_period_s=5,
    graceful_shutdown_wait_loop_s=0.5,
    graceful_shutdown_timeout_s=60,
)
@serve.ingress()
class RemoteInference:
    """The service's methods by their names on the wire."""

    def __init__(self, values: Mapping[str, Any]) -> None:  # on the replica's event loop
        self._replica = Replica(read_settings(**values))
        self._watching = asyncio.create_task(self._replica.watch(_stopping))

    def __serve_build_asgi_app__(self) -> FastAPI:
        return self._replica.app()

    async def check_health(self) -> None:
        """That it is called at all says that the event loop turns."""

    async def record_autoscaling_stats(self) -> dict[str, float]:
        return self._replica.load()

    async def Stream(self, requests: Any, grpc_context: Any) -> AsyncGenerator[Any, None]:
        async for response in self._replica.responses("Stream", requests, grpc_context):
            yield response

    async def Predict(self, request: Any, grpc_context: Any) -> Any:
        return await self._replica.answer("Predict", request, grpc_context)

    async def PredictPicture(self, requests: Any, grpc_context: Any) -> Any:
        return await self._replica.answer("PredictPicture", requests, grpc_context)

    async def DescribeModel(self, request: Any, grpc_context: Any) -> Any:
        return await self._replica.answer("DescribeModel", request, grpc_context)

    async def FetchFile(self, request: Any, grpc_context: Any) -> AsyncGenerator[Any, None]:
        async for response in self._replica.responses("FetchFile", request, grpc_context):
            yield response


async def _stopping() -> bool:
    """Whether Ray Serve stops this replica: its controller says so to who asks, nobody to the replica."""
    context = serve.get_replica_context()
    details = await asyncio.to_thread(lambda: _get_global_client().get_serve_details())
    replicas = details["applications"][context.app_name]["deployments"][context.deployment]["replicas"]
    return {"STOPPING"} == {one["state"] for one in replicas if one["replica_id"] == context.replica_tag}


def application(settings: Mapping[str, Any]) -> serve.Application:
    """settings: of the server, as docs/settings.md lists them; the environment's of this process for the rest.

    Raises:
        SettingsError: naming the setting, and what it may be.
    """
    read = read_settings(**settings)
    check_settings(read)
    folders = [str(folder.resolve()) for folder in read.model]
    values = {**read.model_dump(mode="json"), "model": folders}
    return RemoteInference.bind(values)  # type: ignore[attr-defined]
