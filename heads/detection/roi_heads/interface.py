"""The second stage of a two-stage detector: what its RoI heads share, and what each defines."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from swin_dense.heads.detection.config import TwoStageDetectorConfig, mask_config
from swin_dense.heads.detection.roi_heads.mask_head import predict_masks
from swin_dense.heads.detection.roi_heads.postprocessing import (
    Detections,
    drop_low_scores,
    postprocess_boxes,
    rescale_to_original,
)
from swin_dense.heads.detection.targets import DetectionResult, DetectionTarget, MaskForm
from swin_dense.padding import ImageBatch
from swin_dense.pyramids import Pyramids


class RoIHeads(nn.Module):
    """Losses and detections from pyramids and their proposals; a subclass defines the heads.

    Args:
        config: of the whole model.
        strides: of the levels that boxes are pooled from, px.
    """

    def __init__(self, config: TwoStageDetectorConfig, *, strides: Sequence[int]) -> None:
        super().__init__()
        self.config = config
        self.strides = tuple(strides)

    def forward(
        self,
        pyramids: Pyramids,
        proposals: Sequence[Tensor],
        targets: Sequence[DetectionTarget],
        batch: ImageBatch,
        generators: Sequence[torch.Generator],
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            pyramids: of the batch.
            proposals: `(N, 4)` per image, xyxy, px of the input frame.
            targets: one per image.
            batch: the images that the pyramids were made from.
            generators: random source of each image's samples.

        Returns:
            Scalars by name.
        """
        raise NotImplementedError

    def predict(
        self,
        pyramids: Pyramids,
        proposals: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
        original_sizes: Sequence[tuple[int, int]],
        *,
        score_threshold: float = 0.0,
        mask_form: MaskForm = "bitmaps",
    ) -> list[DetectionResult]:
        """Detect objects.

        Args:
            pyramids: of the batch.
            proposals: `(N, 4)` per image, xyxy, px of the input frame.
            sizes: true (height, width) of each input image.
            original_sizes: (height, width) of each image before it was resized.
            score_threshold: smallest score of a result, 0..1, besides that of the config.
            mask_form: of the results.

        Returns:
            One result per image, in the original frame.
        """
        boxes, logits, deltas = self.predict_boxes(pyramids, proposals, sizes)
        detections: Sequence[Detections] = postprocess_boxes(
            boxes,
            logits,
            deltas,
            config=self.config.box,
            delta_stds=self.last_delta_stds,
            sizes=sizes,
        )
        detections = drop_low_scores(detections, score_threshold)
        mask, masks = mask_config(self.config), None
        if mask is not None:
            masks = predict_masks(
                self.mask_heads,
                pyramids,
                detections,
                strides=self.strides,
                roi_size=mask.roi_size,
            )
        return rescale_to_original(
            detections,
            masks,
            sizes=sizes,
            original_sizes=original_sizes,
            mask_form=mask_form,
        )

    def predict_boxes(
        self,
        pyramids: Pyramids,
        proposals: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
    ) -> tuple[Sequence[Tensor], Tensor, Tensor]:
        """Regions that the last box head looks at, and what it says of them.

        Args:
            pyramids: of the batch.
            proposals: `(N, 4)` per image, xyxy, px of the input frame.
            sizes: true (height, width) of each input image.

        Returns:
            Boxes `(R_i, 4)` per image, class logits `(R, K + 1)` and deltas `(R, K, 4)` of all.
        """
        raise NotImplementedError

    @property
    def last_delta_stds(self) -> Sequence[float]:
        """Scale of the deltas of `predict_boxes`."""
        raise NotImplementedError

    @property
    def mask_heads(self) -> list[nn.Module]:
        """Heads whose masks are averaged; asked for where the config has a mask head."""
        raise NotImplementedError
