"""What segmentors of pixels share: losses, inference whole, in windows and at several scales."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.eval_mode import in_eval_mode
from swin_dense.heads.segmentation.inference import (
    MultiScaleSegmentor,
    ScoreSource,
    Size,
    label_map,
    probabilities,
    whole_scores,
    window_logits,
    window_origins,
    window_scores,
)
from swin_dense.heads.segmentation.resizing import map_size, resize_maps
from swin_dense.heads.whole_model import Model, result_sizes
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.pyramids import Pyramids

IGNORED_LABEL = 255


class Segmentor(MultiScaleSegmentor, Model):
    """Semantic segmentor that classifies each cell of a map, of a decoder over the pyramid.

    Arguments as `Model`'s.

    Attributes:
        decode_head: from the pyramid's levels to logits `(B, K, h, w)`; its last layer is
            `conv_seg`.
    """

    task: ClassVar[str] = "segmentation"
    class_layers: ClassVar[tuple[str, ...]] = ("conv_seg",)

    decode_head: nn.Module

    def forward(
        self, images: Sequence[Tensor] | ImageBatch, targets: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Give the losses.

        Images that differ in size are padded to the largest with zeros, and label maps with 255.
        An `ImageBatch` is taken as it is padded, for instance to the training crop.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
            targets: for each image its `(H, W)` int64 label map: 0..K-1, and 255 is ignored.

        Returns:
            Scalars: `loss_seg`, and of UPerNet with an auxiliary head `loss_aux`, weighted already.
            Cross-entropy is averaged over all pixels, ignored ones counting as 0, as the published
            models were trained; 0 where all are ignored.

        Raises:
            ValueError: label maps do not fit the images in number, size or type, or (looked up on
                the CPU only, where it costs no waiting) hold labels out of range.
        """
        batch = self._batch(images)
        labels = self._pad_label_maps(targets, batch)  # (B, H, W)
        return self._losses(self.backbone(batch.pixels), labels)

    @torch.no_grad()
    def predict(
        self,
        images: Sequence[Tensor] | ImageBatch,
        *,
        original_sizes: Sequence[tuple[int, int]] | None = None,
        mode: str = "whole",
        crop: tuple[int, int] = (512, 512),
        stride: tuple[int, int] = (341, 341),
    ) -> list[Tensor]:
        """Give the label map of each image, as in eval mode whatever the mode of the model.

        An image's label map does not depend on the others: none is padded. The backbone runs once
        over all images (`Pyramids`), the decoder over those of one size.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
            original_sizes: `(height, width)` each label map shall have, px; None: the image's own.
            mode: "whole" decodes an image in one piece, "slide" in windows whose logits are
                averaged where they overlap.
            crop: `(height, width)` of a window, px; cut to the image.
            stride: vertical and horizontal step of the windows, px; at most `crop`.

        Returns:
            `(height, width)` int64 each, 0..K-1, on the model's device.

        Raises:
            ValueError: unknown mode, a stride that is 0 or leaves gaps, or another number of sizes
                than of images.
        """
        if mode not in ("whole", "slide"):
            raise ValueError(f"unknown mode {mode!r}; choose one of whole, slide")
        if mode == "slide" and not all(1 <= s <= c for s, c in zip(stride, crop, strict=True)):
            raise ValueError(f"stride must be in 1..crop, got {stride} for crop {crop}")
        batch = self._unpadded(images)
        wanted = result_sizes(batch, original_sizes)
        with in_eval_mode(self):
            if mode == "whole":
                return self._predict_whole(batch, wanted)
            return [
                self._predict_windows(image, target, crop, stride)
                for image, target in zip(batch, wanted, strict=True)
            ]

    def _losses(self, features: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        """The losses of a pyramid and its padded label maps `(B, H, W)`."""
        return {"loss_seg": mean_cross_entropy(self.decode_head(features), labels)}

    def _view_scores(self, view: Tensor, original_size: Size, *, is_mirrored: bool) -> ScoreSource:
        pixels = self._unpadded([view]).pixels  # (1, 3, H, W)
        with in_eval_mode(self):
            (logits,) = self._decode_pixels(pixels.flip(-1) if is_mirrored else pixels)
        logits = logits.flip(-1) if is_mirrored else logits  # (K, h, w)
        return probabilities(whole_scores(logits, [map_size(view), original_size]))

    def _predict_whole(self, batch: ImageBatch, wanted: Sequence[Size]) -> list[Tensor]:
        features = Pyramids.of(self.backbone, batch)
        groups = zip(features.groups, features.maps, features.split(wanted), strict=True)
        return features.join(
            [
                [
                    self._label_map(whole_scores(logits, [group.size, target]), target)
                    for logits, target in zip(self._decode(levels), targets, strict=True)
                ]
                for group, levels, targets in groups
            ]
        )

    def _predict_windows(self, image: Tensor, target: Size, crop: Size, stride: Size) -> Tensor:
        size = map_size(image)
        window = min(crop[0], size[0]), min(crop[1], size[1])
        origins = window_origins(size, window, stride)
        logits = window_logits(self._decode_pixels, image, origins, window)  # (K, h, w) each
        return self._label_map(window_scores(logits, origins, window, (size, target)), target)

    def _decode_pixels(self, pixels: Tensor) -> Tensor:
        """Logits of normalised pixels `(B, 3, H, W)`, as `_decode`."""
        return self._decode(self.backbone(pixels))

    def _decode(self, features: Sequence[Tensor]) -> Tensor:
        """Logits `(B, K, H/4, W/4)` in float32, in which they are resized and compared."""
        return self.decode_head(features).float()

    def _label_map(self, scores: ScoreSource, size: Size) -> Tensor:
        return label_map(scores, size, num_classes=self.config.num_classes, device=self._device)

    @property
    def _device(self) -> torch.device:
        return self._conv_seg.weight.device

    @property
    def _conv_seg(self) -> nn.Conv2d:
        layer = self.decode_head.conv_seg
        assert isinstance(layer, nn.Conv2d)
        return layer

    def _batch(self, images: Sequence[Tensor] | ImageBatch) -> ImageBatch:
        """The images on the model's device, in its type; padded no further than to the largest."""
        if not isinstance(images, ImageBatch):
            images = batch_images(images, self._device, size_divisor=1)
        return images.to(self._device, self._conv_seg.weight.dtype)

    def _unpadded(self, images: Sequence[Tensor] | ImageBatch) -> ImageBatch:
        """The images as `_batch`, each to be decoded without any padding."""
        return replace(self._batch(images), size_divisor=1)

    def _pad_label_maps(self, targets: Sequence[Tensor], batch: ImageBatch) -> Tensor:
        """Check the label maps and pad them with 255 to the batch: `(B, H, W)` on its device."""
        if len(targets) != len(batch):
            raise ValueError(
                f"targets must be one label map per image, got {len(targets)} for {len(batch)}"
            )
        labels = torch.full(
            (len(batch), *batch.pixels.shape[-2:]), IGNORED_LABEL, device=batch.pixels.device
        )
        for index, (target, size) in enumerate(zip(targets, batch.sizes, strict=True)):
            if target.dtype != torch.int64 or tuple(target.shape) != size:
                raise ValueError(
                    f"label map {index} must be int64 of its image's size {size}, "
                    f"got {target.dtype} of {tuple(target.shape)}"
                )
            if target.device.type == "cpu":
                self._check_labels(target, index)
            labels[index, : size[0], : size[1]] = target.to(labels.device, non_blocking=True)
        return labels

    def _check_labels(self, target: Tensor, index: int) -> None:
        wrong = ((target < 0) | (target >= self.config.num_classes)) & (target != IGNORED_LABEL)
        if wrong.any():
            values = target[wrong].unique().tolist()
            raise ValueError(
                f"labels must be in 0..{self.config.num_classes - 1} or {IGNORED_LABEL}, "
                f"got {values[:8]} in label map {index}"
            )


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over all pixels at the size of `labels` `(B, H, W)`; ignored pixels count as 0."""
    logits = resize_maps(logits.float(), map_size(labels))  # (B, K, H, W)
    losses = F.cross_entropy(logits, labels, ignore_index=IGNORED_LABEL, reduction="none")
    return losses.mean()
