"""Where ONNX Runtime opens a graph of an artifact, and runs it: with what was checked, and its faults as sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from wire.artifact import Artifact
from wire.base import bound
from wire.exceptions import ArtifactError

CPU = "CPUExecutionProvider"
SESSION_BYTES = 1 << 30
"""What bounded graphs of a process may have in memory at once, on the CPU."""


class GraphSession:
    """A graph of an artifact, opened.

    threads: of the CPU; 0 lets ONNX Runtime decide. providers: tried in this order.
    base: tensors that inputs of these names are bound to, once: what is computed of them alone is computed now.
    bounded: it gets `SESSION_BYTES` and no more. A short file can ask for any amount of memory, by shapes that are
    computed; where constants are folded, even while it is opened, so that they are not. Exported graphs have none.

    Raises:
        ArtifactError: if it is not a graph that can be run.
    """

    def __init__(
        self,
        artifact: Artifact,
        file: str,
        *,
        threads: int,
        providers: Sequence[str] = (CPU,),
        bounded: bool = False,
        base: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        self._named = f"{file} of the model {artifact.manifest.name}"
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what is fatal; the rest comes as an exception
        options.add_session_config_entry("session.load_model_format", "ONNX")
        unused = []
        if bounded:
            _bound_memory()
            options.add_session_config_entry("session.use_env_allocators", "1")
            unused = ["ConstantFolding"]
        data = artifact.read(file)
        if base:
            data = bound(data, base)
        try:
            self._session = ort.InferenceSession(data, options, list(providers), disabled_optimizers=unused)
        except Exception as error:  # its exceptions have no base of their own
            raise ArtifactError(f"{self._named} cannot be opened ({_first_line(error)}); export it again.") from error

    @property
    def provider(self) -> str:
        """What it runs on."""
        return str(self._session.get_providers()[0])

    def run(self, output: str | None, inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The output of this name, or the only one.

        Raises:
            ArtifactError: if it cannot be run.
        """
        (found,) = self._run(output and [output], inputs)
        return found

    def run_both(self, outputs: tuple[str, str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """As `run`, of two outputs."""
        return self._run(list(outputs), inputs)

    def _run(self, outputs: Any, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        try:
            return [np.asarray(found) for found in self._session.run(outputs, dict(inputs))]
        except Exception as error:
            raise ArtifactError(f"{self._named} cannot be run ({_first_line(error)}); export it again.") from error


@cache
def _bound_memory() -> None:
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(SESSION_BYTES, -1, -1, -1))


def _first_line(error: Exception) -> str:
    """What ONNX Runtime says, which may quote the graph, fit to be printed."""
    return ascii(str(error).partition("\n")[0])[1:-1][:200]
