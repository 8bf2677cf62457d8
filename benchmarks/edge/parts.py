"""What an edge can do with a picture, each opened on one core: half of the network, all of it, or a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.picture_files import write_file
from edge_client import Encoder
from edge_client.codec import write_webp
from inference_server.decoder import OnnxDecoder
from wire.artifact import Artifact
from wire.pictures import Picture, fit_picture, pictures_in, read_picture

SAMPLES = Path(__file__).parents[2] / "artoveq" / "demo" / "pictures"
QUALITY = {"webp": 90, "jpeg": 90, "avif": 60}
"""The best that accuracy was measured at."""
ON_THE_EDGE = ("encode", "edge", "whole", *QUALITY)
SERVER = "server"
"""The decoder, for a server that is such a core, too."""

Part = Callable[[Picture], object]


def opened(part: str, artifact: Artifact, whole: Path) -> Part:
    """Takes pictures (S, S, 3) of the encoder's size. whole: the file of `graphs.whole_network`.

    "encode" gives indices of the finest point, "edge" their payload, and a codec's name a file.
    """
    if part in QUALITY:
        return lambda picture: _file(picture, part)
    if part == "whole":
        return _whole(whole)
    if part == SERVER:
        return _server(artifact)
    encoder = Encoder(artifact, threads=1)
    point, codec = encoder.finest, encoder.codec
    if part == "encode":
        return lambda picture: encoder.encode_batch(picture[None], point)
    return lambda picture: codec.write_block(encoder.encode_batch(picture[None], point)[0], point)


def samples(size: int) -> list[Picture]:
    """The sample pictures, at an encoder's size."""
    return [fit_picture(read_picture(path), size) for path in pictures_in(SAMPLES)]


def _file(picture: Picture, codec: str) -> bytes:
    """A picture (S, S, 3) as a file; WebP as an edge writes it, who has less time for it."""
    write = write_webp if codec == "webp" else partial(write_file, codec=codec)
    return write(picture, side=len(picture), quality=QUALITY[codec])


def _whole(file: Path) -> Part:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(file), options, ["CPUExecutionProvider"])
    beside = {i.name: np.ones(i.shape, np.int32) for i in session.get_inputs() if i.name != "edge.picture"}
    return lambda picture: session.run(None, {"edge.picture": picture[None], **beside})


def _server(artifact: Artifact) -> Part:
    decoder, manifest = OnnxDecoder(artifact, threads=1), artifact.manifest
    point, asked = len(manifest.points), manifest.task.questions
    sizes, indices = np.array([manifest.point(point).sizes], np.int32), np.zeros((1, manifest.sub_vectors), np.int32)
    question = None if asked is None else np.ones((1, asked.longest), np.int32)
    return lambda _: decoder.decode(indices, sizes, np.array([point]), question)
