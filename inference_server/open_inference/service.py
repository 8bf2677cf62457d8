"""The protocol over gRPC, as proto/inference/open_inference.proto has it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict

from inference_server.deployment import Deployment
from inference_server.open_inference.inference import Asked, about_server, infer, metadata, model_of
from inference_server.open_inference.tensors import BYTES, Tensor, TensorError, from_raw, from_values, to_raw
from inference_server.rpc.service import Context, refuse, sender_of
from wire.exceptions import ArtoveqError, ModelMismatch
from wire.generated import open_inference_pb2 as pb
from wire.generated.open_inference_pb2_grpc import GRPCInferenceServiceServicer

CONTENTS = {
    BYTES: "bytes_contents",
    "FP32": "fp32_contents",
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
}
"""Where a type's values stand that are not raw."""


class OpenInferenceService(GRPCInferenceServiceServicer):
    """The same models, callers and limits as those of RemoteInferenceService."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=not self._deployment.leaving)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:
        try:
            model_of(self._deployment, request.name, request.version)
        except ModelMismatch:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=not self._deployment.leaving)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Context) -> pb.ServerMetadataResponse:
        return ParseDict(about_server(), pb.ServerMetadataResponse())

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Context) -> pb.ModelMetadataResponse:
        try:
            self._caller(context)
            model = model_of(self._deployment, request.name, request.version)
        except ArtoveqError as error:
            await refuse(context, error)
        return ParseDict(metadata(self._deployment, model), pb.ModelMetadataResponse())

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:
        try:
            caller = self._caller(context)
            model = model_of(self._deployment, request.model_name, request.model_version)
            work = infer(self._deployment, caller, model, _asked(request))
            found = await self._deployment.access.turns.piece(caller.name, work)
        except ArtoveqError as error:
            await refuse(context, error)
        response = pb.ModelInferResponse(
            model_name=model.manifest.name, model_version=model.manifest.fingerprint, id=request.id
        )
        for tensor in found:
            response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            response.raw_output_contents.append(to_raw(tensor))
        return response

    def _caller(self, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        return self._deployment.access.caller(sender_of(context, self._deployment.proxies), time.monotonic())


def _asked(request: pb.ModelInferRequest) -> Asked:
    """Raises TensorError where a tensor is not what it says."""
    raw, tensors = request.raw_input_contents, list[Tensor]()
    if raw and len(raw) != len(request.inputs):
        raise TensorError(f"The request has {len(request.inputs)} inputs, and raw contents for {len(raw)}.")
    for number, one in enumerate(request.inputs):
        if raw:
            tensors.append(from_raw(one.name, one.datatype, one.shape, raw[number]))
        else:
            values = getattr(one.contents, CONTENTS.get(one.datatype, "int_contents"))
            tensors.append(from_values(one.name, one.datatype, one.shape, values))
    return Asked(tensors, _parameters(request.parameters), [one.name for one in request.outputs])


def _parameters(given: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
    return {
        name: getattr(value, chosen)
        for name, value in given.items()
        if (chosen := value.WhichOneof("parameter_choice")) is not None
    }
