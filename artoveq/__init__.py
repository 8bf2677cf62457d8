"""Remote inference over links that keep changing: everything that a program needs to ask a server.

from artoveq import Client

with Client("localhost:50051") as client:
    print(client.predict("dog.jpg", budget="50ms").best.name)
"""

from edge_client import (
    Answer,
    AsyncClient,
    ClassProbability,
    Client,
    File,
    Kept,
    OneShot,
    Progressive,
    Result,
    Security,
    Spool,
)
from wire.exceptions import (
    AccessDenied,
    ArtifactError,
    ArtoveqError,
    ModelMismatch,
    PictureError,
    PictureNotKept,
    PointError,
    ProtocolError,
    QuestionError,
    RegistryError,
    ServerError,
    ServerOverloaded,
    ServerUnavailable,
    SettingsError,
    SignatureError,
    SpoolError,
    UsageError,
)

__version__ = "0.1.0"
__all__ = [
    "AccessDenied",
    "Answer",
    "ArtifactError",
    "ArtoveqError",
    "AsyncClient",
    "ClassProbability",
    "Client",
    "File",
    "Kept",
    "ModelMismatch",
    "OneShot",
    "PictureError",
    "PictureNotKept",
    "PointError",
    "Progressive",
    "ProtocolError",
    "QuestionError",
    "RegistryError",
    "Result",
    "Security",
    "ServerError",
    "ServerOverloaded",
    "ServerUnavailable",
    "SettingsError",
    "SignatureError",
    "Spool",
    "SpoolError",
    "UsageError",
]
