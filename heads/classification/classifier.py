"""Image classifier: backbone, mean over the cells of its last level, linear (Liu et al. 2021)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.classification.config import IMAGENET_1K, IMAGENET_22K, ClassifierConfig
from swin_dense.heads.classification.imagenet22k import imagenet1k_rows
from swin_dense.heads.eval_mode import in_eval_mode
from swin_dense.heads.whole_model import Model
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.pyramids import Pyramids

Labels = Sequence[int] | Sequence[Tensor] | Tensor


class Classifier(Model):
    """Classifier of whole images of any size.

    Arguments as `Model`'s.

    Raises:
        ValueError: see `Model`.
    """

    task: ClassVar[str] = "classification"
    class_layers: ClassVar[tuple[str, ...]] = ("head",)

    config: ClassifierConfig

    def __init__(
        self,
        config: ClassifierConfig,
        *,
        backbone: nn.Module | None = None,
        class_names: Sequence[str] | None = None,
        category_ids: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            config, backbone=backbone, class_names=class_names, category_ids=category_ids
        )
        self.head = nn.Linear(self.pyramid.channels[-1], config.num_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the head's initial values, as released: normal with deviation 0.02, cut at 2."""
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that are not decayed, as released for classification: vectors,
        among them every bias, and position tables (`set_weight_decay` of Microsoft's optimizer.py).
        """
        return {
            name
            for name, parameter in self.named_parameters()
            if parameter.ndim <= 1 or name.endswith("relative_position_bias_table")
        }

    def adapt_weights(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Of a head with ImageNet-22K's classes the rows of ImageNet-1K's, where the model has as
        many, as released."""
        rows = state["head.weight"].shape[0] if "head.weight" in state else 0
        if rows != IMAGENET_22K or self.config.num_classes != IMAGENET_1K:
            return state
        kept = torch.tensor(imagenet1k_rows())
        return {
            key: value[kept] if key.startswith("head.") else value for key, value in state.items()
        }

    def forward(self, images: Sequence[Tensor] | ImageBatch, targets: Labels) -> dict[str, Tensor]:
        """Compute the loss: cross-entropy with smoothed labels, its mean over the images.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
            targets: one label 0..K-1 an image; or `(B, K)` float, the shares of the classes in
                images that were mixed.

        Returns:
            `loss_cls`, a scalar.

        Raises:
            ValueError: there is another number of targets than of images, or (looked up on the CPU
                only) a label is out of range.
        """
        batch = self._batch(images)
        wanted = self._check_targets(targets, batch)
        logits = self._classify(batch)
        loss = F.cross_entropy(logits, wanted, label_smoothing=self.config.label_smoothing)
        return {"loss_cls": loss}

    @torch.no_grad()
    def logits(self, images: Sequence[Tensor] | ImageBatch) -> Tensor:
        """Logits `(B, K)` float32, as in eval mode whatever the mode of the model.

        An image's logits do not depend on the others: none is padded.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
        """
        with in_eval_mode(self):
            return self._classify(self._batch(images))

    @torch.no_grad()
    def predict(
        self,
        images: Sequence[Tensor] | ImageBatch,
        *,
        original_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> list[Tensor]:
        """Give the scores of the classes, as in eval mode whatever the mode of the model.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
            original_sizes: of no effect on scores of whole images.

        Returns:
            One `(K,)` float32 an image: scores 0..1 whose sum is 1.

        Raises:
            ValueError: there is another number of sizes than of images, or one is below 1 px.
        """
        if original_sizes is not None:
            if len(original_sizes) != len(images):
                raise ValueError(
                    f"original_sizes must be one an image, got {len(original_sizes)} for "
                    f"{len(images)} images"
                )
            if any(min(size) < 1 for size in original_sizes):
                raise ValueError(
                    f"original_sizes must be at least 1 px, got {list(original_sizes)}"
                )
        return list(self.logits(images).softmax(1))

    def _classify(self, batch: ImageBatch) -> Tensor:
        """`(B, K)` float32."""
        pyramids = Pyramids.of(self.backbone, batch)
        pooled = [levels[-1].mean((2, 3)) for levels in pyramids.maps]  # (B_g, C) each
        if len(pooled) == 1 and len(pyramids.groups[0].indices) == len(batch):
            features = pooled[0]  # in the order of the batch
        else:
            features = torch.stack(pyramids.join([list(group) for group in pooled]))
        logits: Tensor = self.head(features)
        return logits.float()

    def _batch(self, images: Sequence[Tensor] | ImageBatch) -> ImageBatch:
        """The images on the model's device, in its type, none of them padded."""
        weight = self.head.weight
        if not isinstance(images, ImageBatch):
            images = batch_images(images, weight.device, size_divisor=1)
        return replace(images.to(weight.device, weight.dtype), size_divisor=1)

    def _check_targets(self, targets: Labels, batch: ImageBatch) -> Tensor:
        """Labels `(B,)` int64, or shares `(B, K)` float32, on the device."""
        found = targets if isinstance(targets, Tensor) else torch.as_tensor(list(targets))
        num_classes = self.config.num_classes
        is_mixed = found.is_floating_point()
        shape = (len(batch), num_classes) if is_mixed else (len(batch),)
        if tuple(found.shape) != shape:
            raise ValueError(
                f"targets must be a label or {num_classes} shares an image, got "
                f"{tuple(found.shape)} for {len(batch)} images"
            )
        if not is_mixed and found.device.type == "cpu":
            wrong = found[(found < 0) | (found >= num_classes)].tolist()
            if wrong:
                raise ValueError(f"labels must be in 0..{num_classes - 1}, got {wrong[:8]}")
        dtype = torch.float32 if is_mixed else torch.int64
        return found.to(batch.pixels.device, dtype, non_blocking=True)
