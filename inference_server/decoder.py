"""The server half of the network: indices of any operating points, mixed in one batch, to the task's output."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from inference_server.programs import cuda_devices, open_program, torch_device
from wire.artifact import Artifact
from wire.base import base_tensors
from wire.exceptions import SettingsError
from wire.manifest import DECODER, INT8_DECODER, TORCH_DECODER, Manifest
from wire.payload import Indices
from wire.questions import Question
from wire.sessions import GraphSession
from wire.tasks import Output, task_of

log = logging.getLogger(__name__)

Sizes = NDArray[np.int32]
"""Codebook sizes, per picture and segment (B, S)."""
Points = NDArray[np.int64]
"""Operating points, per picture (B,); they choose the temperature."""
Replay = Callable[[Sequence[NDArray[np.int32]]], Any]

TRIAL_PICTURES, TRIALS = 16, 5


class Decoder(Protocol):
    """What the runner needs of a decoder."""

    device: str

    def decode(self, indices: Indices, sizes: Sizes, points: Points, questions: Question | None = None) -> Output:
        """indices (B, M), with sizes (B, S), of these points (B,), to the task's output (B, …).

        questions: (B, longest), where the model answers questions.
        """
        ...


class OnnxDecoder:
    """decoder.onnx on the CPU, or decoder-int8.onnx."""

    device = "cpu"

    def __init__(self, artifact: Artifact, threads: int = 0, *, int8: bool = False) -> None:
        self.precision = "int8" if int8 else "fp32"
        base = base_tensors(artifact.manifest)
        self._session = GraphSession(artifact, INT8_DECODER if int8 else DECODER, threads=threads, base=base)
        self._task, self._temperatures = task_of(artifact.manifest), temperatures(artifact.manifest)
        self._asks = artifact.manifest.task.questions is not None

    def decode(self, indices: Indices, sizes: Sizes, points: Points, questions: Question | None = None) -> Output:
        inputs = {"indices": indices, "sizes": sizes}
        if self._asks:
            assert questions is not None
            inputs["questions"] = questions
        return self._task.postprocess(self._session.run(None, inputs), self._temperatures[points])


class TorchDecoder:
    """decoder.pt2 on a GPU in bfloat16, or on the CPU as it is.

    On a GPU each batch is filled up to a power of two, for which the kernels were captured once as a graph:
    launching them one by one would take longer than they do.
    """

    def __init__(self, artifact: Artifact, device: str = "cuda") -> None:
        self._module = open_program(artifact, TORCH_DECODER, device)
        import torch  # behind the sentence that says how to install it

        self.device = device
        self._torch = torch
        self._task, self._temperatures = task_of(artifact.manifest), temperatures(artifact.manifest)
        self._asks = artifact.manifest.task.questions is not None
        speaks = artifact.manifest.task.free_text is not None  # then the base is that of its language model
        base = {} if speaks else base_tensors(artifact.manifest)
        self._base = [[torch.from_numpy(tensor).to(device) for tensor in base.values()]] if base else []
        self._graphs: dict[int, Replay] = {}

    def decode(self, indices: Indices, sizes: Sizes, points: Points, questions: Question | None = None) -> Output:
        torch, count = self._torch, len(indices)
        inputs = [indices, sizes]
        if self._asks:
            assert questions is not None
            inputs.append(questions)
        with torch.inference_mode():
            if self.device == "cpu":
                output = self._output(*map(torch.from_numpy, inputs))
            else:
                batch = 1 << (count - 1).bit_length()
                if batch not in self._graphs:
                    self._graphs[batch] = self._captured(batch, [one.shape[1] for one in inputs])
                output = self._graphs[batch](inputs)[:count]
            return self._task.postprocess(cast(Output, output.cpu().numpy()), self._temperatures[points])

    def _output(self, *inputs: Any) -> Any:
        with self._torch.autocast(self.device, self._torch.bfloat16, enabled=self.device != "cpu"):
            return self._module(*inputs, *self._base).float()

    def _captured(self, batch: int, widths: Sequence[int]) -> Replay:
        """A graph for batches of this size, whose inputs are so wide; what it is called with may be shorter."""
        torch = self._torch
        inputs = [torch.zeros(batch, width, dtype=torch.int32, device=self.device) for width in widths]
        inputs[1] += 1  # sizes
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):  # what is allocated and chosen at the first run must not be captured
            for _ in range(3):
                self._output(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = self._output(*inputs)

        def replay(new: Sequence[NDArray[np.int32]]) -> Any:
            # What lies behind a shorter batch keeps older indices and sizes, which fit each other.
            for held, given in zip(inputs, new, strict=True):
                held[: len(given)].copy_(torch.from_numpy(given))
            graph.replay()
            return output

        return replay


def sizes_of(manifest: Manifest) -> Sizes:
    """By point (P + 1, S); 0 is no point."""
    return np.array([[1] * len(manifest.segments), *(point.sizes for point in manifest.points)], np.int32)


def temperatures(manifest: Manifest) -> NDArray[np.float32]:
    """By point; 0 is no point."""
    return np.array([1.0, *(point.temperature for point in manifest.points)], np.float32)


def open_decoder(artifact: Artifact, threads: int = 0, kind: str = "auto", precision: str = "fp32") -> Decoder:
    """The decoder of this kind and precision, as `Settings` names them; logs which it is.

    Raises:
        SettingsError: if the artifact has none for this runtime, or of this precision.
    """
    makers: dict[str, Callable[[], Decoder]] = {
        "onnx": lambda: _of_precision(artifact, threads, precision),
        "torch": lambda: TorchDecoder(artifact, torch_device()),
    }
    files = {"onnx": DECODER, "torch": TORCH_DECODER}
    there = [runtime for runtime, file in files.items() if artifact.has(file)]
    if kind == "auto":
        kind = "torch" if "torch" in there and (cuda_devices() or "onnx" not in there) else "onnx"
    if kind == "fastest" and there:
        decoder = min((makers[runtime]() for runtime in there), key=lambda one: trial(one, artifact.manifest))
    elif kind in there:
        decoder = makers[kind]()
    else:
        raise SettingsError(
            f"{artifact.manifest.name} has no decoder for {kind}; it has one for {' and '.join(there) or 'nothing'}. "
            "Set ARTOVEQ_DECODER=auto, or export the model again."
        )
    of = f" in {decoder.precision}" if isinstance(decoder, OnnxDecoder) else ""
    log.info("The decoder of %s is %s%s on %s.", artifact.manifest.name, type(decoder).__name__, of, decoder.device)
    return decoder


def _of_precision(artifact: Artifact, threads: int, precision: str) -> OnnxDecoder:
    """On the CPU: as it was trained, in int8, or for `auto` whichever is faster here."""
    name = artifact.manifest.name
    if precision == "int8" and not artifact.has(INT8_DECODER):
        raise SettingsError(
            f"{name} has no decoder in int8; serve it with --precision fp32, or make one with `artoveq int8`."
        )
    if precision != "auto" or not artifact.has(INT8_DECODER):
        return OnnxDecoder(artifact, threads, int8=precision == "int8")
    both = [OnnxDecoder(artifact, threads, int8=int8) for int8 in (False, True)]
    taken = [trial(decoder, artifact.manifest) / TRIAL_PICTURES * 1000 for decoder in both]
    log.info(
        "A picture of %s takes %.2f ms in fp32 and %.2f ms in int8 on this processor, which has %s.",
        name, *taken, "VNNI" if has_vnni() else "no VNNI",
    )  # fmt: skip
    return both[taken[1] < taken[0]]


def has_vnni(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has the instructions that int8 is fast with; Linux says so of x86."""
    try:
        return "_vnni" in cpuinfo.read_text()
    except OSError:
        return False


def pictures_within(seconds: float, decoder: Decoder, manifest: Manifest, most: int) -> int:
    """How many pictures more, from 1 to `most`, make a batch so many seconds longer."""
    if most == 1:
        return 1
    few = min(most, TRIAL_PICTURES)
    further = (trial(decoder, manifest, few) - trial(decoder, manifest, 1)) / (few - 1)
    return most if further * most <= seconds else max(1, int(seconds / further))


def trial(decoder: Decoder, manifest: Manifest, pictures: int = TRIAL_PICTURES) -> float:
    """Seconds that a batch takes, at best of a few."""
    indices = np.zeros((pictures, manifest.sub_vectors), np.int32)
    sizes = np.tile(np.array(manifest.points[-1].sizes, np.int32), (pictures, 1))
    points = np.full(pictures, len(manifest.points), np.int64)
    asked = manifest.task.questions
    questions = None if asked is None else np.ones((pictures, asked.longest), np.int32)
    times = []
    for _ in range(1 + TRIALS):
        began = time.perf_counter()
        decoder.decode(indices, sizes, points, questions)
        times.append(time.perf_counter() - began)
    return min(times[1:])
