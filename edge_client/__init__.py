"""The edge half: encode a picture, choose how many bits the link can carry, stream them. No torch."""

import os

# ONNX Runtime would report its use over the very link that is to be saved; it asks this when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from edge_client.blocking import Client
from edge_client.channel import Security
from edge_client.client import AsyncClient
from edge_client.encoder import Encoder
from edge_client.results import ClassProbability, Prediction, Result
from edge_client.spool import Kept, Spool

__all__ = ["AsyncClient", "ClassProbability", "Client", "Encoder", "Kept", "Prediction", "Result", "Security", "Spool"]
