"""The service as Ray's proxies carry it: where HAProxy has no replica, they pickle messages between processes."""

from __future__ import annotations

import copyreg
from typing import Any

from google.protobuf.message import Message

from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import add_RemoteInferenceServiceServicer_to_server


def message(name: str, data: bytes) -> Message:
    """The message of the service with this name, from its bytes."""
    found: Message = getattr(pb, name).FromString(data)
    return found


def _reduced(one: Message) -> tuple[Any, tuple[str, bytes]]:
    return message, (one.DESCRIPTOR.name, one.SerializeToString())


for _name in pb.DESCRIPTOR.message_types_by_name:  # generated classes name a module that is not theirs
    copyreg.pickle(getattr(pb, _name), _reduced)


def add_service(servicer: Any, server: Any) -> None:
    """What `grpc_servicer_functions` names, so that the proxies know the service, and this module."""
    add_RemoteInferenceServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
