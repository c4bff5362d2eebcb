"""A model as the page needs it, whatever file it comes from.

A weights file of ours, a published one and an exported one serve alike: what is asked of a model is
its task, the names of its classes, and `predict`. One that has a backbone shows its pyramid too.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from swin_dense.checkpoints.loading import describe_module
from swin_dense.datasets.images import image_size
from swin_dense.padding import batch_images
from swin_dense.pyramids import Pyramids
from swin_dense.tools.tasks.evaluation import autocast
from swin_dense.tools.tasks.task import Predictor, Task


class Servable(Protocol):
    """Protocol of a model that is served.

    Attributes:
        config: with `num_classes`.
        class_names: name of each label, if known.
        category_ids: id that each label is written with, if known.
    """

    config: Any
    class_names: tuple[str, ...] | None
    category_ids: tuple[int, ...] | None

    @property
    def task(self) -> str:
        """Name of its task."""

    def predict(
        self,
        images: Sequence[Tensor],
        *,
        original_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> list[Any]:
        """Give the results, one an image `(3, H, W)` uint8 RGB."""


class ServedModel:
    """A model that computes one image at a time, for any number of users.

    Args:
        model: to serve.
        task: of the model.
        predictor: of the task.
        precision: "fp32", "bf16" or "fp16".

    Attributes:
        device: where the model computes.
        pyramids: names of the pyramids that `pyramid` gives.
    """

    def __init__(
        self,
        model: Servable,
        task: Task,
        predictor: Predictor,
        *,
        precision: str = "fp32",
    ) -> None:
        self.model, self.task, self.device = model, task, _find_device(model)
        self._predictor, self._precision = predictor, precision
        self._lock = threading.Lock()
        has_backbone = hasattr(getattr(model, "backbone", None), "strides")
        has_neck = has_backbone and isinstance(getattr(model, "neck", None), torch.nn.Module)
        has_neck &= model.task == "detection"
        self.pyramids = ("backbone",) * has_backbone + ("fpn",) * has_neck

    @property
    def title(self) -> str:
        """The model in words: "MaskRCNN on swin_t"."""
        named = getattr(self.model, "title", None)
        if isinstance(named, str):
            return named
        if isinstance(self.model, torch.nn.Module):
            return describe_module(self.model)
        return type(self.model).__name__

    def predict(self, pixels: np.ndarray) -> tuple[Any, tuple[int, int], float]:
        """Results of the model for an image.

        Args:
            pixels: `(H, W, 3)` uint8 RGB.

        Returns:
            The result in the frame of the image, the size (height, width) of the network's input,
            and the seconds that it took.
        """
        with self._lock:
            start = time.perf_counter()
            resized = self.task.resize(pixels, self._predictor.scale)
            with torch.no_grad(), autocast(self.device, self._precision):
                (result,) = self._predictor.predict(self.model, [resized], [image_size(pixels)])
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - start
        return result, (int(resized.shape[1]), int(resized.shape[2])), seconds

    def pyramid(self, pixels: np.ndarray, name: str) -> list[tuple[int, np.ndarray]]:
        """Feature maps of an image.

        Args:
            pixels: `(H, W, 3)` uint8 RGB.
            name: one of `pyramids`.

        Returns:
            Stride in px and `(C, h, w)` float32 of each level, fine to coarse; what belongs to the
            padding is cut off.

        Raises:
            ValueError: there is no such pyramid.
        """
        if name not in self.pyramids:
            known = (
                " or ".join(self.pyramids) or "none, as exported files keep theirs to themselves"
            )
            raise ValueError(f"pyramid must be {known}, got {name!r}")
        model: Any = self.model
        with self._lock, torch.no_grad(), autocast(self.device, self._precision):
            resized = self.task.resize(pixels, self._predictor.scale)
            divisor = int(getattr(model.config, "size_divisor", 1))
            batch = batch_images([resized], self.device, size_divisor=divisor)
            pyramids = Pyramids.of(model.backbone, batch)
            if name == "fpn":
                pyramids = pyramids.apply(model.neck)
            height, width = batch.sizes[0]
            return [
                (
                    stride,
                    level[0, :, : -(-height // stride), : -(-width // stride)]
                    .float()
                    .cpu()
                    .numpy(),
                )
                for stride, level in zip(model.backbone.strides, pyramids.maps[0], strict=False)
            ]


def _find_device(model: Servable) -> torch.device:
    """Where a model's weights are; of one without, the CPU."""
    weights = model.parameters() if isinstance(model, torch.nn.Module) else iter(())
    first = next(weights, None)
    return torch.device("cpu") if first is None else first.device
