"""The interface of RoI heads: the second stage of a two-stage detector."""

from collections.abc import Sequence

from torch import Tensor, nn

from swin_dense.heads.detection.targets import DetectionResult, DetectionTarget, MaskForm
from swin_dense.padding import ImageBatch


class RoIHeads(nn.Module):
    """Losses and detections from a pyramid and its proposals; a subclass defines them."""

    def forward(
        self,
        pyramid: Sequence[Tensor],
        proposals: Sequence[Tensor],
        targets: Sequence[DetectionTarget],
        batch: ImageBatch,
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            pyramid: `(B, C, H_i, W_i)` each, fine to coarse.
            proposals: `(N, 4)` per image, xyxy, px of the input frame.
            targets: one per image.
            batch: the images that the pyramid was made from.

        Returns:
            Scalars by name.
        """
        raise NotImplementedError

    def predict(
        self,
        pyramid: Sequence[Tensor],
        proposals: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
        original_sizes: Sequence[tuple[int, int]],
        *,
        score_threshold: float = 0.0,
        mask_form: MaskForm = "bitmaps",
    ) -> list[DetectionResult]:
        """Detect objects.

        Args:
            pyramid: `(B, C, H_i, W_i)` each, fine to coarse.
            proposals: `(N, 4)` per image, xyxy, px of the input frame.
            sizes: true (height, width) of each input image.
            original_sizes: (height, width) of each image before it was resized.
            score_threshold: smallest score of a result, 0..1, besides that of the config.
            mask_form: of the results.

        Returns:
            One result per image, in the original frame.
        """
        raise NotImplementedError
