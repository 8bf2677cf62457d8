"""The edge half: encode a picture, choose how many bits the link can carry, stream them. No torch.

A picture's way: client → preparation (rate/, encoder) → request → stream → transport/, and its answers back.
"""

import os

# ONNX Runtime would report its use over the very link that is to be saved; it asks this when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# What gRPC would log of a connection, an error of ours says in a sentence; it asks this when it is imported, too.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from edge_client.blocking import Client
from edge_client.client import AsyncClient
from edge_client.encoder import Encoder
from edge_client.modes import File, OneShot, Progressive
from edge_client.results import Answer, Result
from edge_client.spool import Kept, Spool
from edge_client.transport.security import Security
from wire.tasks.classification import ClassProbability

__all__ = [
    "Answer",
    "AsyncClient",
    "ClassProbability",
    "Client",
    "Encoder",
    "File",
    "Kept",
    "OneShot",
    "Progressive",
    "Result",
    "Security",
    "Spool",
]
