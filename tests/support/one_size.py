"""A pyramid of images of one size as heads take it."""

from collections.abc import Sequence

from torch import Tensor

from swin_dense.padding import SizeGroup
from swin_dense.pyramids import Pyramids


def of_one_size(levels: Sequence[Tensor], *, stride: int = 4) -> Pyramids:
    """The group that all images are in.

    Args:
        levels: `(B, C, H_i, W_i)` each, fine to coarse.
        stride: of the finest.
    """
    height, width = levels[0].shape[-2:]
    group = SizeGroup(indices=tuple(range(len(levels[0]))), size=(height * stride, width * stride))
    return Pyramids((group,), (list(levels),))
