"""What a program may rely on: `from artoveq import …`."""

import artoveq
from wire import exceptions

NAMES = """
AccessDenied Answer ArtifactError ArtoveqError AsyncClient ClassProbability Client File Kept ModelMismatch OneShot
PictureError PictureNotKept PointError Progressive ProtocolError QuestionError RegistryError Result Security ServerError
ServerOverloaded ServerUnavailable SettingsError SignatureError Spool SpoolError UsageError
"""


def test_the_public_names() -> None:
    assert artoveq.__all__ == NAMES.split() == sorted(artoveq.__all__)
    assert all(hasattr(artoveq, name) for name in artoveq.__all__)


def test_every_error_that_a_client_raises_is_public() -> None:
    raised = {
        "UsageError",
        "PictureError",
        "PointError",
        "QuestionError",
        "ProtocolError",
        "ArtifactError",
        "SettingsError",
        "SpoolError",
        "RegistryError",
        "SignatureError",
    }
    servers = exceptions.ServerError.__subclasses__()
    raised |= {kind.__name__ for kind in servers if kind.__module__ == exceptions.__name__}
    raised |= {"ServerError", "ArtoveqError"}
    assert raised <= set(artoveq.__all__)
