"""The edge half: encode a picture, choose how many bits the link can carry, stream them. No torch."""

from edge_client.client import AsyncClient, Client
from edge_client.encoder import Encoder
from edge_client.results import ClassProbability, Prediction, Result

__all__ = ["AsyncClient", "ClassProbability", "Client", "Encoder", "Prediction", "Result"]
