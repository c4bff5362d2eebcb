"""Runs of a model in each way of `benchmark`: from files to a function of an image."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.heads.whole_model import Model
from swin_dense.tools.benchmark.peers import make_peer
from swin_dense.tools.benchmark.ways import WAYS, Run
from swin_dense.tools.export.exported_models import load_exported, model_of
from swin_dense.tools.export.reading import read_metadata


def make_run(name: str, *, weights: str, exported: Path | None, device: torch.device) -> Run:
    """Make ready what a way runs.

    Args:
        name: of `WAYS`.
        weights: file of the model.
        exported: its exported file, of the way's suffix.
        device: where it runs.

    Returns:
        A function of an image `(3, H, W)` uint8, which gives what `predict` gives of it.
    """
    if WAYS[name].is_peer:
        return make_peer(name, from_checkpoint(weights).config, device)
    if name in ("eager", "compiled"):
        model = from_checkpoint(weights).to(device)
        if name == "compiled":
            model.backbone.compile()
    else:
        assert exported is not None
        model = _open_openvino(exported) if name == "openvino" else _open(exported, device)
    return lambda image: model.predict([image])[0]


def _open(exported: Path, device: torch.device) -> Model:
    return load_exported(exported, device=device.type)


def _open_openvino(exported: Path) -> Model:
    return model_of(OpenVinoRuntime(exported), exported)


class OpenVinoRuntime:
    """An ONNX file in OpenVINO, as an `export.runtimes.Runtime`; on the CPU."""

    def __init__(self, path: Path) -> None:
        import openvino

        self.metadata = read_metadata(path)
        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
        self.compiled = openvino.compile_model(openvino.convert_model(path), "CPU", settings)

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the outputs, by name, of `(1, 3, H, W)` uint8 RGB."""
        values = self.compiled([image])
        names = self.metadata.outputs
        return {name: np.array(values[place]) for place, name in enumerate(names)}


def comparable(result: Any) -> dict[str, np.ndarray]:
    """A result as arrays that a process can send: of detections boxes, scores and labels."""
    if isinstance(result, Tensor):
        return {"label_map": result.cpu().numpy()}
    names = ("boxes", "scores", "labels")
    return {name: result[name].cpu().numpy() for name in names}
