"""Features of images from a file of weights: levels of the backbone, or of a detector's FPN."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from swin_dense.checkpoints.architecture import backbone_from_checkpoint
from swin_dense.checkpoints.classification.whole_classifiers import is_whole_classifier
from swin_dense.checkpoints.containers import read_checkpoint
from swin_dense.checkpoints.conversion import convert_checkpoint
from swin_dense.checkpoints.loading import describe_module
from swin_dense.configs import ShiftedWindowConfig
from swin_dense.datasets.features.layout import StoreDescription
from swin_dense.datasets.features.members import array_names
from swin_dense.heads.checkpoints import find_kind, from_checkpoint, read_stored_config
from swin_dense.heads.whole_model import Model
from swin_dense.padding import PIXEL_MEAN, PIXEL_STD, batch_images
from swin_dense.pyramids import Pyramids
from swin_dense.tools.tasks.evaluation import autocast, choose_device
from swin_dense.tools.tasks.table import find_task

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
_SIZE_DIVISOR = 32  # px; of a backbone alone, as `batch_images` pads


@dataclass(frozen=True, kw_only=True)
class ExtractorConfig:
    """Settings of an extractor, for this process or another.

    Attributes:
        weights: file of a whole model or of a backbone, or the name of a published one.
        pyramid: "backbone", or "fpn" of a detector.
        levels: of the pyramid, from 0, fine to coarse; None: all.
        dtype: of the features, "float16", "bfloat16" or "float32".
        pool: "mean" for one vector a level besides; "none".
        scale: LONG SHORT side of the keep-ratio resize, px; None: as the model's task predicts,
            and for a backbone alone images as they are.
        precision: of the computation, "fp32", "bf16" or "fp16".
        device: "auto", "cpu" or "cuda".
        threads: of the computation on the CPU.
    """

    weights: str
    pyramid: str
    levels: tuple[int, ...] | None
    dtype: str
    pool: str
    scale: tuple[int, int] | None
    precision: str
    device: str
    threads: int


class ImageArrays(NamedTuple):
    """Features of an image as a shard holds them, or the reason why there are none."""

    arrays: dict[str, np.ndarray]
    error: str = ""


class Extractor:
    """A model that gives features of images.

    Attributes:
        description: of the store that it fills.
        device: where it computes.

    Raises:
        FileNotFoundError: there are no such weights.
        ValueError: the weights cannot be read, or have no such pyramid or levels.
    """

    def __init__(self, config: ExtractorConfig) -> None:
        self._config = config
        self.device = choose_device(config.device)
        torch.set_num_threads(config.threads)
        module, path = _load(config.weights)
        module = module.eval().requires_grad_(False).to(self.device)
        self._backbone = _find_backbone(module)
        self._neck = _find_neck(module) if config.pyramid == "fpn" else None
        channels, strides = tuple(self._backbone.channels), tuple(self._backbone.strides)
        if self._neck is not None:
            channels = tuple(conv.conv.out_channels for conv in self._neck.fpn_convs)
        levels = _choose_levels(config.levels, len(strides))
        self.description = StoreDescription(
            weights=_hash(path),
            model=describe_module(module),
            pyramid=config.pyramid,
            levels=levels,
            strides=tuple(strides[level] for level in levels),
            channels=tuple(channels[level] for level in levels),
            dtype=config.dtype,
            pool=config.pool,
            precision=config.precision,
            scale=config.scale or _scale_of_task(module),
            size_divisor=_size_divisor(module),
            mean=PIXEL_MEAN,
            std=PIXEL_STD,
        )

    @torch.no_grad()
    def start(self, images: Sequence[np.ndarray]) -> "PendingFeatures":
        """Compute the features of some images; on a GPU they may still be under way.

        Args:
            images: `(H, W, 3)` uint8 RGB each, resized.
        """
        with autocast(self.device, self._config.precision):
            maps = self._compute(images)
        finest = torch.finfo(_DTYPES[self._config.dtype])
        is_good = torch.stack(
            [
                torch.stack([_is_within(level, finest.max) for level in image]).all()
                for image in maps
            ]
        )
        return PendingFeatures(
            [self._store(image) for image in maps], is_good, dtype=self._config.dtype
        )

    def _compute(self, images: Sequence[np.ndarray]) -> list[list[Tensor]]:
        """`(C, h, w)` of the chosen levels of each image, computed as if it were alone."""
        tensors = [torch.from_numpy(image).permute(2, 0, 1) for image in images]  # (3, H, W)
        divisor = self.description.size_divisor
        batch = batch_images(tensors, self.device, size_divisor=divisor)
        pyramids = Pyramids.of(self._backbone, batch)
        if self._neck is not None:
            pyramids = pyramids.apply(self._neck)
        maps = []
        for size, (group, place) in zip(batch.sizes, pyramids.places, strict=True):
            shapes = self.description.map_sizes(size)
            levels = [pyramids.maps[group][level][place] for level in self.description.levels]
            maps.append(
                [
                    level[:, :height, :width]
                    for level, (_, height, width) in zip(levels, shapes, strict=True)
                ]
            )
        return maps

    def _store(self, levels: list[Tensor]) -> dict[str, Tensor]:
        """Maps, and vectors where they are asked for, of the type of the store, on the CPU."""
        dtype = _DTYPES[self._config.dtype]
        values = [level.float().mean((1, 2)) for level in levels] if self._has_vectors else []
        stored = [
            value.to(dtype).contiguous().to("cpu", non_blocking=True)
            for value in [*values, *levels]
        ]
        names = array_names(self.description.levels, pooled=self._has_vectors)
        return dict(zip(names, stored, strict=True))

    @property
    def _has_vectors(self) -> bool:
        return self._config.pool != "none"


class PendingFeatures:
    """Features of a batch on their way to the CPU."""

    def __init__(self, images: list[dict[str, Tensor]], is_good: Tensor, *, dtype: str) -> None:
        self._images, self._dtype = images, dtype
        self._is_good = is_good.to("cpu", non_blocking=True)
        self._arrival = None
        if is_good.is_cuda:
            self._arrival = torch.cuda.Event()
            self._arrival.record()

    def wait(self) -> list[ImageArrays]:
        """The features of each image, once they are there."""
        if self._arrival is not None:
            self._arrival.synchronize()
        return [
            ImageArrays({name: _as_array(value) for name, value in image.items()})
            if is_good
            else ImageArrays({}, f"its features are not finite, or too large for {self._dtype}")
            for image, is_good in zip(self._images, self._is_good.tolist(), strict=True)
        ]


def _is_within(values: Tensor, largest: float) -> Tensor:
    """True, as a tensor, if all values are finite and of at most that size."""
    lowest, highest = torch.aminmax(values)  # nan where there is one
    return (lowest >= -largest) & (highest <= largest)


def _as_array(value: Tensor) -> np.ndarray:
    if value.dtype == torch.bfloat16:  # unknown to numpy
        value = value.view(torch.uint16)
    return value.numpy()


# ------------------------------------------------------------------------------------ the weights


def _load(source: str) -> tuple[nn.Module, Path]:
    """The whole model of a file, or its backbone where there is no more; and the file.

    A classifier on a Swin Transformer is its backbone, with all levels, as published ones are.
    """
    checkpoint = read_checkpoint(source)
    stored = read_stored_config(checkpoint)
    is_swin = stored is None or isinstance(stored.backbone, ShiftedWindowConfig)
    state = convert_checkpoint(checkpoint).state if is_swin else None
    if state is not None and is_whole_classifier(state):
        return backbone_from_checkpoint(source), Path(checkpoint.source)
    if stored is not None or (state is not None and find_kind(state)):
        return from_checkpoint(source), Path(checkpoint.source)
    return backbone_from_checkpoint(source), Path(checkpoint.source)


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _find_backbone(module: nn.Module) -> Any:
    return module.backbone if isinstance(module, Model) else module


def _find_neck(module: nn.Module) -> Any:
    """The FPN of a detector.

    Raises:
        ValueError: the model is none.
    """
    if not isinstance(module, Model) or module.task != "detection" or not hasattr(module, "neck"):
        raise ValueError(
            "--pyramid fpn must have weights of a detector with an FPN, got "
            f"{describe_module(module)}; use --pyramid backbone"
        )
    return module.neck


def _choose_levels(levels: tuple[int, ...] | None, count: int) -> tuple[int, ...]:
    if levels is None:
        return tuple(range(count))
    if not levels or len(set(levels)) != len(levels) or not set(levels) <= set(range(count)):
        shown = " ".join(map(str, levels)) or "none"
        raise ValueError(f"--levels must be different levels of 0..{count - 1}, got {shown}")
    return tuple(sorted(levels))


def _scale_of_task(module: nn.Module) -> tuple[int, int] | None:
    if not isinstance(module, Model):
        return None
    task = find_task(module.task)
    return task.predictor(task.prediction_flags(), module).scale


def _size_divisor(module: nn.Module) -> int:
    """The padding with which the model itself is evaluated."""
    if not isinstance(module, Model):
        return _SIZE_DIVISOR
    return int(getattr(module.config, "size_divisor", 1))
