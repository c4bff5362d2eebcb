"""Masks of an image's queries in the frame of its result, any rows of them without the others.

Logits are enlarged to the input with its padding, cut to the image and resized to the result, two
bilinear steps as in the released code.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from swin_dense.heads.segmentation.inference import STRIP_BYTES, Size
from swin_dense.heads.segmentation.resizing import (
    banded_matrix,
    mix_rows,
    resize_maps,
    resize_rows,
)


@dataclass(frozen=True)
class QueryMasks:
    """Logits of one image's queries, and the frames on the way to its result.

    Attributes:
        class_logits: `(Q, K + 1)` float32.
        mask_logits: `(Q, h, w)` float32.
        frame: height and width of the input with its padding, px.
        size: of the image in it, px.
        original_size: of the result, px.
        is_mirrored: whether the input was the image's mirror image.
    """

    class_logits: Tensor
    mask_logits: Tensor
    frame: Size
    size: Size
    original_size: Size
    is_mirrored: bool = False

    def strips(self, num_maps: int) -> Iterator[tuple[int, int]]:
        """Rows of the result, a few at a time, so that so many maps of them fit into memory."""
        height, width = self.original_size
        step = max(1, STRIP_BYTES // (4 * max(1, num_maps) * width))
        for top in range(0, height, step):
            yield top, min(top + step, height)

    def rows(self, logits: Tensor, rows: tuple[int, int]) -> Tensor:
        """Some rows (first, last excluded) of `(n, h, w)` logits in the frame of the result.

        Returns:
            `(n, last - first, W)`.
        """
        return self._resize(lambda needed: self._input_rows(logits, needed), rows)

    def score_rows(self, rows: tuple[int, int], *, at_input: bool) -> Tensor:
        """Scores of all classes: sums over the queries of class score times mask score.

        Args:
            rows: first and last, excluded, of the result.
            at_input: score in the frame of the image that was given and resize the scores; else
                resize the logits and score them.

        Returns:
            `(K, last - first, W)`.
        """
        if at_input:
            return self._resize(lambda r: self._score(self._input_rows(self.mask_logits, r)), rows)
        return self._score(self.rows(self.mask_logits, rows))

    def _score(self, logits: Tensor) -> Tensor:
        classes = self.class_logits.softmax(-1)[:, :-1]  # (Q, K)
        return (classes.T @ logits.sigmoid().flatten(1)).unflatten(1, logits.shape[1:])

    def _input_rows(self, logits: Tensor, rows: tuple[int, int]) -> Tensor:
        """Rows of logits in the frame of the image that was given: `(n, last - first, w)`."""
        enlarged = resize_rows(logits[None], [self.frame], rows)[0][..., : self.size[1]]
        return enlarged.flip(-1) if self.is_mirrored else enlarged

    def _resize(
        self, input_rows: Callable[[tuple[int, int]], Tensor], rows: tuple[int, int]
    ) -> Tensor:
        """Rows of the result, from what gives rows of the image that was given."""
        if self.original_size == self.size:
            return input_rows(rows)
        (before, _), (after, width) = self.size, self.original_size
        matrix, needed = banded_matrix(before, after, rows, like=self.mask_logits)
        maps = input_rows(needed)[None]  # (1, n, needed, w)
        maps = resize_maps(maps, (maps.shape[-2], width))
        return mix_rows(matrix, maps)[0]  # (n, last - first, W)
