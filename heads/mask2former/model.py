"""Mask2Former: backbone, pixel decoder and query decoder assembled (Cheng et al. 2022)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn

from swin_dense.heads.detection.targets import MaskForm
from swin_dense.heads.eval_mode import in_eval_mode
from swin_dense.heads.mask2former.config import MASK_TASKS, Mask2FormerConfig, MaskTask
from swin_dense.heads.mask2former.criterion.losses import ImagePredictions, mask2former_losses
from swin_dense.heads.mask2former.criterion.targets import mask_targets, semantic_targets
from swin_dense.heads.mask2former.decoders.pixel_decoder import PixelDecoder
from swin_dense.heads.mask2former.decoders.query_decoder import (
    QueryDecoder,
    QueryState,
    mask_logits,
)
from swin_dense.heads.mask2former.query_masks import QueryMasks
from swin_dense.heads.mask2former.results import (
    instance_result,
    panoptic_result,
    semantic_scores,
)
from swin_dense.heads.segmentation.inference import (
    MultiScaleSegmentor,
    ScoreSource,
    Size,
    label_map,
)
from swin_dense.heads.whole_model import Model, result_sizes
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.pyramids import Pyramids

_NUM_LEVELS = 4  # of the backbone
_TASKS = {"instance": "detection", "semantic": "segmentation", "panoptic": "panoptic"}


class Mask2Former(MultiScaleSegmentor, Model):
    """Segmentor of instances, of classes or of both, by the task of its config.

    Arguments as `Model`'s.

    Raises:
        ValueError: see `Model`; or the backbone gives another number of levels than four.
    """

    task: ClassVar[str] = "panoptic"
    class_layers: ClassVar[tuple[str, ...]] = ("class_embed",)
    gives_masks: ClassVar[bool] = True
    is_resized_by_pillow: ClassVar[bool] = True

    config: Mask2FormerConfig

    def __init__(
        self,
        config: Mask2FormerConfig,
        *,
        backbone: nn.Module | None = None,
        class_names: Sequence[str] | None = None,
        category_ids: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            config, backbone=backbone, class_names=class_names, category_ids=category_ids
        )
        self.task = _TASKS[config.task]  # type: ignore[misc]  # here alone, a model's own
        channels = self.pyramid.channels
        if len(channels) != _NUM_LEVELS:
            raise ValueError(f"backbone must give {_NUM_LEVELS} levels, got {len(channels)}")
        mask_channels = config.mask_channels or config.channels
        query_channels = config.query_channels or config.channels
        is_projected = config.enforce_input_projection or query_channels != config.channels
        self.pixel_decoder = PixelDecoder(
            channels,
            config.channels,
            mask_channels=mask_channels,
            num_heads=config.num_heads,
            num_layers=config.encoder_layers,
            ffn_channels=config.encoder_ffn_channels,
        )
        self.query_decoder = QueryDecoder(
            query_channels,
            config.num_classes,
            mask_channels=mask_channels,
            in_channels=config.channels if is_projected else None,
            num_queries=config.num_queries,
            num_heads=config.num_heads,
            num_layers=config.decoder_layers,
            ffn_channels=config.decoder_ffn_channels,
            pre_norm=config.pre_norm,
        )

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that are not decayed: of the heads norms and embeddings.

        The pixel decoder's levels, which are no embedding in the released code, are decayed.
        """
        kinds = (nn.LayerNorm, nn.GroupNorm, nn.Embedding)
        return self._undecayed_backbone() | {
            f"{name}.{parameter}"
            for name, module in self.named_modules()
            if isinstance(module, kinds) and not name.startswith("backbone.")
            for parameter, _ in module.named_parameters(recurse=False)
        }

    def forward(
        self, images: Sequence[Tensor] | ImageBatch, targets: Sequence[Any]
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
            targets: one an image: of semantic segmentation its `(H, W)` int64 label map, 0..K-1,
                and 255 is ignored; else its objects or segments, see `MaskTarget`.

        Returns:
            Scalars, already weighted: see `mask2former_losses`.

        Raises:
            ValueError: targets do not fit the images.
        """
        batch = self._batch(images)
        check = semantic_targets if self.config.task == "semantic" else mask_targets
        objects = check(
            targets, batch.sizes, num_classes=self.config.num_classes, device=batch.pixels.device
        )
        pyramids = Pyramids.of(self.backbone, batch)
        predictions = []
        for group, levels in zip(pyramids.groups, pyramids.maps, strict=True):
            pixels = self.pixel_decoder(levels)
            states = self.query_decoder(pixels)
            predictions.append(_split(states, pixels.mask_features, group.size))
        with torch.autocast(batch.pixels.device.type, enabled=False):
            return mask2former_losses(pyramids.join(predictions), objects, self.config)

    @torch.no_grad()
    def outputs(self, images: Sequence[Tensor] | ImageBatch) -> tuple[Tensor, Tensor]:
        """Logits of the last layer for images of one size, as in eval mode.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.

        Returns:
            Of the classes `(B, Q, K + 1)`, "no object" last, and of the masks `(B, Q, H/4, W/4)`,
            of the images padded to `size_divisor`; float32.

        Raises:
            ValueError: images differ in their padded size.
        """
        found = self._outputs(self._batch(images))
        shapes = {tuple(masks.shape[-2:]) for _, masks, _ in found}
        if len(shapes) > 1:
            raise ValueError(f"images must be padded to one size, got masks of {sorted(shapes)}")
        return (
            torch.stack([classes for classes, _, _ in found]),
            torch.stack([masks for _, masks, _ in found]),
        )

    @torch.no_grad()
    def predict(
        self,
        images: Sequence[Tensor] | ImageBatch,
        *,
        original_sizes: Sequence[tuple[int, int]] | None = None,
        task: MaskTask | None = None,
        score_threshold: float = 0.0,
        masks: MaskForm = "bitmaps",
    ) -> list[Any]:
        """Segment images, as in eval mode whatever the mode of the model.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
            original_sizes: (height, width) of each image before it was resized; results are then in
                that frame. None: results are in the frame of the images given.
            task: kind of results; None: the config's.
            score_threshold: of instances, the smallest score of a result, 0..1.
            masks: of instances: "bitmaps" or "run_lengths", see `TwoStageDetector.predict`.

        Returns:
            One an image: a `DetectionResult`, an `(H, W)` int64 label map, or a `PanopticResult`.

        Raises:
            ValueError: there is another number of sizes than of images, or one is below 1 px; or
                the task, the score or the form of masks is none.
        """
        task = self.config.task if task is None else task
        if task not in MASK_TASKS:
            raise ValueError(f"task must be one of {', '.join(MASK_TASKS)}, got {task!r}")
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold must be in 0..1, got {score_threshold}")
        if masks not in get_args(MaskForm):
            raise ValueError(f"masks must be 'bitmaps' or 'run_lengths', got {masks!r}")
        results: list[Any] = []
        for found in self._query_masks(self._batch(images), original_sizes):
            if task == "semantic":
                scores = semantic_scores(found, self.config)
                results.append(self._label_map(scores, found.original_size))
            elif task == "panoptic":
                results.append(panoptic_result(found, self.config))
            else:
                results.append(
                    instance_result(
                        found, self.config, score_threshold=score_threshold, mask_form=masks
                    )
                )
        return results

    def _view_scores(self, view: Tensor, original_size: Size, *, is_mirrored: bool) -> ScoreSource:
        view = view.flip(-1) if is_mirrored else view
        (found,) = self._query_masks(self._batch([view]), [original_size])
        return semantic_scores(replace(found, is_mirrored=is_mirrored), self.config)

    def _label_map(self, scores: ScoreSource, size: Size) -> Tensor:
        return label_map(
            scores,
            size,
            num_classes=max(self.config.num_classes, self.config.num_queries),
            device=self.query_decoder.class_embed.weight.device,
        )

    def _query_masks(
        self, batch: ImageBatch, original_sizes: Sequence[tuple[int, int]] | None
    ) -> list[QueryMasks]:
        """Logits of each image's queries, on the way to results of these sizes."""
        sizes = result_sizes(batch, original_sizes)
        return [
            QueryMasks(classes, masks, frame, size, original)
            for (classes, masks, frame), size, original in zip(
                self._outputs(batch), batch.sizes, sizes, strict=True
            )
        ]

    def _outputs(self, batch: ImageBatch) -> list[tuple[Tensor, Tensor, tuple[int, int]]]:
        """Class logits, mask logits and frame of each image, from the last layer."""
        found = []
        with in_eval_mode(self):
            pyramids = Pyramids.of(self.backbone, batch)
            for group, levels in zip(pyramids.groups, pyramids.maps, strict=True):
                pixels = self.pixel_decoder(levels)
                (state,) = self.query_decoder(pixels, last_only=True)
                with torch.autocast(batch.pixels.device.type, enabled=False):
                    masks = mask_logits(state.mask_embeddings.float(), pixels.mask_features.float())
                classes = state.class_logits.float()
                found.append([(c, m, group.size) for c, m in zip(classes, masks, strict=True)])
        return pyramids.join(found)

    def _batch(self, images: Sequence[Tensor] | ImageBatch) -> ImageBatch:
        """The images on the model's device, in its type, to be padded as its config says."""
        weight, divisor = self.query_decoder.class_embed.weight, self.config.size_divisor
        if not isinstance(images, ImageBatch):
            images = batch_images(images, weight.device, size_divisor=divisor)
        return images.padded_to_multiple(divisor).to(weight.device, weight.dtype)


def _split(
    states: Sequence[QueryState], mask_features: Tensor, frame: tuple[int, int]
) -> list[ImagePredictions]:
    """Predictions of each image of a group; the last layer's stand first."""
    order = [states[-1], *states[:-1]]
    classes = torch.stack([state.class_logits.float() for state in order], 1)  # (B, S, Q, K+1)
    embeddings = torch.stack([state.mask_embeddings.float() for state in order], 1)  # (B, S, Q, C)
    return [
        ImagePredictions(*parts, frame=frame)
        for parts in zip(classes, embeddings, mask_features.float(), strict=True)
    ]
