"""Every error that artoveq raises on purpose. Messages are sentences that say what to do.

ArtoveqError
 ├─ UsageError               an argument that cannot be used
 ├─ PictureError             the picture cannot be read, or is larger than the limit
 ├─ QuestionError            a question that this model cannot answer, or none where it wants one
 ├─ PointError               an operating point, or a level, that this model does not have
 ├─ ProtocolError            payloads of the wrong length, out of order, repeated, for an unknown picture
 ├─ ArtifactError            a folder that is not a whole artifact of a version we read
 │   └─ SignatureError       a model that is not signed by whom it must be
 ├─ RegistryError            a registry of models does not give or take one as asked
 │   └─ RegistryUnavailable  it does not answer now
 ├─ DataError                a data set that cannot be trained or measured on
 ├─ RecipeError              a recipe with unknown or impossible values
 ├─ CheckpointError          a checkpoint that cannot be resumed from, or could not be written
 ├─ TrainingError            training that cannot go on
 ├─ SettingsError            a setting of the server that is not possible
 ├─ SpoolError               pictures that cannot be kept on the disk
 ├─ FrameError               a camera, video or folder that gives no frames
 ├─ SinkError                an address that takes no results
 └─ ServerError              the server did not answer as asked
     ├─ ServerUnavailable    nobody listens there, it went away, or it is draining
     ├─ AccessDenied         it wants a token that it knows
     ├─ ServerOverloaded     its queue is full; try again later
     ├─ ModelMismatch        the two halves belong to different models
     └─ PictureNotKept       it has no picture any more that a further question is about
"""

PICTURE_NOT_KEPT = "PICTURE_NOT_KEPT"
"""The reason beside the code of `PictureNotKept` on the wire."""


class ArtoveqError(Exception):
    """Base of every error that artoveq raises on purpose."""


class UsageError(ArtoveqError):
    """An argument that cannot be used; the message says what can."""


class PictureError(ArtoveqError):
    """The picture cannot be read, or is larger than the limit."""


class QuestionError(ArtoveqError):
    """A question that this model cannot answer, or none where it wants one."""


class PointError(ArtoveqError):
    """The model does not have this operating point, or cannot be used in this way."""


class ProtocolError(ArtoveqError):
    """A message that breaks the rules stated in remote_inference.proto."""


class ArtifactError(ArtoveqError):
    """The folder is not a whole artifact of a format version that we read."""


class SignatureError(ArtifactError):
    """The model is not signed by whom it must be, or cannot be signed."""


class RegistryError(ArtoveqError):
    """A registry of models does not give or take one as asked."""


class RegistryUnavailable(RegistryError):
    """The registry does not answer now."""


class DataError(ArtoveqError):
    """The data set cannot be trained or measured on."""


class RecipeError(ArtoveqError):
    """The recipe has unknown or impossible values."""


class CheckpointError(ArtoveqError):
    """The checkpoint cannot be resumed from, or could not be written."""


class TrainingError(ArtoveqError):
    """Training cannot go on."""


class SettingsError(ArtoveqError):
    """A setting of the server is not possible."""


class SpoolError(ArtoveqError):
    """Pictures cannot be kept on the disk."""


class FrameError(ArtoveqError):
    """The camera, video or folder gives no frames."""


class SinkError(ArtoveqError):
    """The address takes no results."""


class ServerError(ArtoveqError):
    """The server did not answer as asked."""


class ServerUnavailable(ServerError):
    """Nobody listens at the address, the server went away, or it is draining."""


class AccessDenied(ServerError):
    """The server wants a token that it knows."""


class ServerOverloaded(ServerError):
    """The server's queue is full. retry_after: seconds after which there may be room."""

    def __init__(self, message: str, retry_after: float = 0.05) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ModelMismatch(ServerError):
    """Edge and server hold halves of different models."""


class PictureNotKept(ServerError):
    """The server has no picture any more that a further question is about; ask with the picture."""
