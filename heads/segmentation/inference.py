"""Label maps from class logits: whole image, sliding window, several scales with mirroring.

A segmentor's logits are four times coarser than its input. The published procedure enlarges all of
them to the image, which for 150 classes on 4000 x 3000 px takes 7 GB, then keeps one number per
pixel. Here a *score source* gives any rows of the enlarged scores on demand, and `label_map` takes
a strip of rows at a time; the values are the same up to rounding.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from swin_dense.heads.segmentation.resizing import banded_matrix, mix_rows, resize_maps, resize_rows

Size = tuple[int, int]
# Given (first, last) rows of the label map, last excluded: scores (last - first, width, K).
ScoreSource = Callable[[tuple[int, int]], Tensor]

STRIP_BYTES = 64 * 2**20
_WINDOWS_PER_BATCH = 4


def label_map(scores: ScoreSource, size: Size, *, num_classes: int, device: torch.device) -> Tensor:
    """Pick the best class of each pixel, in float32 also under autocast.

    Args:
        scores: gives the scores of rows.
        size: `(height, width)` of the label map, px.
        num_classes: classes K; with the width it decides the height of a strip.
        device: of the scores.

    Returns:
        `(height, width)` int64 in 0..K-1.
    """
    height, width = size
    step = max(1, STRIP_BYTES // (4 * num_classes * width))
    labels = torch.empty(size, dtype=torch.int64, device=device)
    with torch.autocast(device.type, enabled=False):
        for top in range(0, height, step):
            bottom = min(top + step, height)
            labels[top:bottom] = scores((top, bottom)).argmax(dim=-1)
    return labels


def whole_scores(logits: Tensor, sizes: Sequence[Size]) -> ScoreSource:
    """Score a label map from the logits of a whole image.

    Args:
        logits: `(K, h, w)` floats.
        sizes: the logits are resized to each in turn: the input's size, then the label map's.
            The published code does both steps, and one step would give other values.
    """
    return lambda rows: resize_rows(logits[None], sizes, rows)[0].permute(1, 2, 0)


def window_scores(
    logits: Sequence[Tensor], origins: Sequence[Size], window: Size, sizes: tuple[Size, Size]
) -> ScoreSource:
    """Score a label map from the logits of overlapping windows, averaged where they overlap.

    Args:
        logits: `(K, h, w)` floats of each window.
        origins: `(top, left)` of each window in the input, px.
        window: `(height, width)` of each window, px.
        sizes: `(height, width)` of the input, which the windows must cover, and of the label map.
    """
    input_size, size = sizes

    def averaged(rows: tuple[int, int]) -> Tensor:
        """Average the windows in `rows` of the input: `(last - first, input width, K)`."""
        first, last = rows
        total = logits[0].new_zeros(last - first, input_size[1], len(logits[0]))
        count = logits[0].new_zeros(last - first, input_size[1], 1)
        for entry, (top, left) in zip(logits, origins, strict=True):
            begin, end = max(first, top), min(last, top + window[0])
            if begin < end:
                place = slice(begin - first, end - first), slice(left, left + window[1])
                enlarged = resize_rows(entry[None], [window], (begin - top, end - top))[0]
                total[place] += enlarged.permute(1, 2, 0)
                count[place] += 1
        return total / count

    def scores(rows: tuple[int, int]) -> Tensor:
        if size == input_size:
            return averaged(rows)
        matrix, needed = banded_matrix(input_size[0], size[0], rows, like=logits[0])
        maps = averaged(needed).permute(2, 0, 1)[None]  # (1, K, n, input width)
        maps = resize_maps(maps, (maps.shape[-2], size[1]))  # (1, K, n, width)
        return mix_rows(matrix, maps)[0].permute(1, 2, 0)  # (last - first, width, K)

    return scores


def probabilities(scores: ScoreSource) -> ScoreSource:
    """Softmax of logits."""
    return lambda rows: scores(rows).softmax(dim=-1)


def averaged_scores(views: Sequence[ScoreSource]) -> ScoreSource:
    """Average the scores of several views of one image."""

    def scores(rows: tuple[int, int]) -> Tensor:
        total = views[0](rows)
        for view in views[1:]:
            total = total + view(rows)
        return total / len(views)

    return scores


class MultiScaleSegmentor:
    """Base class of segmentors that average what they see in several versions of an image."""

    @torch.no_grad()
    def predict_multi_scale(
        self, views: Sequence[Tensor], *, original_size: Size, mirror: bool = True
    ) -> Tensor:
        """Give the label map of one image from several resized versions of it.

        Scores are averaged over the views. The published ones ("ms+flip") use the ratios 0.5, 0.75,
        1, 1.25, 1.5 and 1.75, each with its mirror image; `multi_scale_views` of the data sets'
        transforms resizes an image to them.

        Args:
            views: `(3, H, W)` uint8 RGB each, the same image at different sizes.
            original_size: `(height, width)` the label map shall have, px.
            mirror: also average the views' mirror images.

        Returns:
            `original_size` int64, 0..K-1, on the model's device.

        Raises:
            ValueError: there is no view.
        """
        if not len(views):
            raise ValueError("views must hold at least one image, got none")
        sources = [
            self._view_scores(view, original_size, is_mirrored=is_mirrored)
            for view in views
            for is_mirrored in ((False, True) if mirror else (False,))
        ]
        return self._label_map(averaged_scores(sources), original_size)

    def _view_scores(self, view: Tensor, original_size: Size, *, is_mirrored: bool) -> ScoreSource:
        """Scores 0..1 of the label map from one version of the image, as in eval mode.

        Args:
            view: `(3, H, W)` uint8 RGB.
            original_size: of the label map, px.
            is_mirrored: score it from the mirror image.
        """
        raise NotImplementedError

    def _label_map(self, scores: ScoreSource, size: Size) -> Tensor:
        """The best class of each pixel, on the model's device."""
        raise NotImplementedError


def window_origins(size: Size, window: Size, stride: Size) -> list[Size]:
    """Place windows row by row; the last of each axis is moved back so that it ends at the border.

    Args:
        size: `(height, width)` of the image, px.
        window: `(height, width)` of a window, not larger than the image.
        stride: vertical and horizontal step, px.

    Returns:
        `(top, left)` of each window.
    """
    tops, lefts = (
        sorted({min(start, extent - side) for start in range(0, extent - side + step, step)})
        for extent, side, step in zip(size, window, stride, strict=True)
    )
    return [(top, left) for top in tops for left in lefts]


def window_logits(
    decode: Callable[[Tensor], Tensor], pixels: Tensor, origins: Sequence[Size], window: Size
) -> list[Tensor]:
    """Decode windows of one image, a few at a time.

    Args:
        decode: gives logits `(n, K, h, w)` for `(n, 3, *window)` pixels.
        pixels: `(3, H, W)`, normalised.
        origins: `(top, left)` of each window, px.
        window: `(height, width)` of each window, px.

    Returns:
        `(K, h, w)` of each window.
    """
    crops = [pixels[:, top : top + window[0], left : left + window[1]] for top, left in origins]
    batches = (
        torch.stack(crops[start : start + _WINDOWS_PER_BATCH])  # (n, 3, *window)
        for start in range(0, len(crops), _WINDOWS_PER_BATCH)
    )
    return [logits for batch in batches for logits in decode(batch)]
