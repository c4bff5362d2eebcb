"""Exported files as models: what `predict` gives is what the model gives that they were made from.

The file is the network. Everything else is the code of the models themselves: for detectors the
pasting of masks and the frame of the results, for segmentors windows, scales and the resizing of
logits.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor, nn

from swin_dense.checkpoints.stored_configs import build_config
from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.heads.detection.roi_heads.postprocessing import (
    Detections,
    drop_low_scores,
    rescale_to_original,
)
from swin_dense.heads.detection.targets import DetectionResult, MaskForm
from swin_dense.heads.detection.two_stage import TwoStageDetector
from swin_dense.heads.model_config import ModelConfig
from swin_dense.heads.models import MODEL_SPECS
from swin_dense.heads.segmentation.uper.upernet import UPerNet
from swin_dense.heads.whole_model import Model
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.tools.export.metadata import ExportMetadata
from swin_dense.tools.export.runtimes import Runtime, is_exported, open_exported
from swin_dense.tools.tasks.evaluation import choose_device


def open_model(
    weights: str | os.PathLike[str], *, device: str = "auto", precision: str = "fp32"
) -> Model:
    """The model that a command predicts with: from weights, or an exported file.

    Args:
        weights: weights file of a whole model, the name of a published one, or an exported file.
        device: "cpu", "cuda", or "auto": a GPU where there is one.
        precision: that the command was asked to compute in; an exported file has its own.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as of `from_checkpoint` and `load_exported`, or there is no such device.
    """
    if not is_exported(weights):
        return from_checkpoint(weights).to(choose_device(device))
    if precision != "fp32":
        raise ValueError(
            f"--precision must not be given with an exported file, which has its own, got "
            f"{precision}"
        )
    choose_device(device)
    return load_exported(weights, device=device)


def load_exported(path: str | os.PathLike[str], *, device: str = "auto") -> Model:
    """Open an exported file of a whole model, to predict with.

    A package (`*.pt2`) is compiled code: open only those of people whom you trust.

    Args:
        path: `*.onnx` or `*.pt2`, from `swin-dense export`.
        device: "cpu", "cuda", or "auto": a GPU where there is one that the file can run on.

    Returns:
        A model whose `predict` takes images and gives results as that of the model it was made
        from. It has no weights to train.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no file that `swin-dense export` wrote of a whole model, or what runs it
            is not installed.
    """
    path = Path(path)
    return model_of(_open_on(path, device), path)


def model_of(runtime: Runtime, path: Path) -> Model:
    """The model whose network an opened file is; `path` is for errors, which are those above."""
    kind = runtime.metadata.kind
    if runtime.metadata.part != "model" or kind is None:
        raise ValueError(
            f"{path} must be a whole model to predict with, got a {runtime.metadata.part}; "
            "`swin-dense export` without --part makes one"
        )
    if kind not in MODEL_SPECS:
        raise ValueError(f"{path}: unknown model {kind!r}; known are {', '.join(MODEL_SPECS)}")
    spec = MODEL_SPECS[kind]
    try:
        config = cast(
            ModelConfig, build_config(spec.config, runtime.metadata.config, where="config")
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if issubclass(spec.model, TwoStageDetector):
        return ExportedDetector(runtime, config)
    if issubclass(spec.model, UPerNet):
        return ExportedSegmentor(runtime, config)
    raise ValueError(f"{path} must be a detector or a UPerNet to predict with, got a {kind}")


def _open_on(path: Path, device: str) -> Runtime:
    """The file on a device; with "auto" on the GPU if it can run there, else on the CPU."""
    if device == "auto" and torch.cuda.is_available():
        with contextlib.suppress(ValueError):
            return open_exported(path, device="cuda")
    return open_exported(path, device="cpu" if device == "auto" else device)


class ExportedModel(Model):
    """Common part of exported models.

    Args:
        runtime: the file, opened.
        config: of the model it was made from.
    """

    def __init__(self, runtime: Runtime, config: Any) -> None:
        nn.Module.__init__(self)  # without the parts: the file has them
        self.runtime = runtime
        self.config = config
        self.class_names = runtime.metadata.class_names
        self.category_ids = runtime.metadata.category_ids
        # Results are where a model's weights are.
        self._place = nn.Parameter(torch.empty(0), requires_grad=False)
        self.eval()

    @property
    def metadata(self) -> ExportMetadata:
        """Description that the file carries."""
        return self.runtime.metadata

    @property
    def title(self) -> str:
        """The model in words: "upernet, exported in float32"."""
        return f"{self.metadata.kind}, exported in {self.metadata.precision}"

    def forward(self, images: Any, targets: Any) -> NoReturn:
        """Refuse: an exported model has no losses."""
        raise ValueError(
            "an exported model cannot be trained; train the weights that it was made from"
        )

    def run_network(self, image: Tensor) -> dict[str, Tensor]:
        """The outputs, by name and on the model's device, of an image `(3, H, W)` of 0..255."""
        smallest, largest = self.metadata.sides
        height, width = image.shape[-2:]
        if not all(smallest <= side <= largest for side in (height, width)):
            raise ValueError(
                f"images of an exported model must have sides of {smallest} to {largest} px, got "
                f"{height} x {width}; --scale resizes them"
            )
        pixels = np.ascontiguousarray(image.cpu().to(torch.uint8).numpy()[None])
        outputs = self.runtime.run(pixels)
        return {
            name: torch.from_numpy(np.ascontiguousarray(value)).to(self._place.device)
            for name, value in outputs.items()
        }

    def _batch(self, images: Sequence[Tensor] | ImageBatch) -> ImageBatch:
        """The images as they are, which the file normalises and pads itself."""
        if isinstance(images, ImageBatch) or any(image.is_floating_point() for image in images):
            raise ValueError("an exported model takes a list of (3, H, W) uint8 images")
        return batch_images(images, "cpu", size_divisor=1, mean=(0, 0, 0), std=(1, 1, 1))


class ExportedDetector(ExportedModel, TwoStageDetector):
    """A detector whose network is an exported file. Arguments as `ExportedModel`'s."""

    def __init__(self, runtime: Runtime, config: Any) -> None:
        ExportedModel.__init__(self, runtime, config)
        self.gives_masks = "masks" in runtime.metadata.outputs  # type: ignore[misc]

    def _predict(
        self,
        batch: ImageBatch,
        original_sizes: Sequence[tuple[int, int]],
        score_threshold: float,
        mask_form: MaskForm,
    ) -> list[DetectionResult]:
        results: list[DetectionResult] = []
        for image, size, original in zip(batch, batch.sizes, original_sizes, strict=True):
            found = self.run_network(image)
            kept = found["scores"] >= score_threshold
            (detections,) = drop_low_scores(
                [Detections(found["boxes"], found["scores"], found["labels"])], score_threshold
            )
            results += rescale_to_original(
                [detections],
                [found["masks"][kept]] if self.gives_masks else None,
                sizes=[size],
                original_sizes=[original],
                mask_form=mask_form,
            )
        return results


class ExportedSegmentor(ExportedModel, UPerNet):
    """A segmentor whose network is an exported file. Arguments as `ExportedModel`'s."""

    def __init__(self, runtime: Runtime, config: Any) -> None:
        ExportedModel.__init__(self, runtime, config)
        self.backbone = _Images()

    def _decode(self, features: Sequence[Tensor]) -> Tensor:
        """Logits of images, which are all that the "backbone" gives."""
        (images,) = features
        return torch.cat([self.run_network(image)["logits"].float() for image in images])

    @property
    def _device(self) -> torch.device:
        return self._place.device


class _Images(nn.Module):
    """In place of a backbone: gives the images themselves."""

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images]
