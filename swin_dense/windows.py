"""Geometry of (shifted) windows on a grid of tokens of any size.

Liu et al. 2021, sections 3.2 and 3.3. A map of `H x W` tokens is padded at the bottom and the
right to a multiple of the window, rolled up and left by `shift`, and cut into windows of `M x M`.
Here nothing
is padded, rolled or cut: the whole journey is one permutation of the real tokens, in which the
tokens of a window stand together, and padding exists only inside the attention of the windows that
have some.

A window is of one of four kinds, by the edges of the rolled map it touches: inside, right, bottom,
corner. Only there do tokens from opposite sides of the image meet, so that four masks serve every
window of every map. Windows of a kind stand together, those without padding first.

The order of all tokens of a batch is called an order: `"raster"` (image, row, column), `"regular"`
or `"shifted"`. Everything here depends on sizes alone and is kept in a bounded cache.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

TokenOrder = Literal["raster", "regular", "shifted"]

INSIDE, RIGHT, BOTTOM, CORNER = range(4)
# What a token of another region of the window loses in the logits; finite, as in the published
# code.
MASK_VALUE = -100.0
# The attention bias is read in rows whose start is a multiple of this many elements: the fused GPU
# kernels would otherwise copy it into such rows for every window.
_ROW_ALIGNMENT = 8
# (size, device) pairs that are remembered; a forward needs one a stage.
_CACHED_GRIDS = 32


@dataclass(frozen=True)
class WindowGroup:
    """Neighbouring windows of one kind, all or none of them with padding.

    Attributes:
        kind: INSIDE, RIGHT, BOTTOM or CORNER.
        num_windows: how many.
        start: first token, counted from the start of the chunk that holds the group.
        stop: behind the last token.
        slots: `(stop - start,)` where in the `num_windows * L` slots each real token stands; None
            where every slot holds one, in order.
    """

    kind: int
    num_windows: int
    start: int
    stop: int
    slots: Tensor | None


@dataclass(frozen=True)
class Chunk:
    """Tokens `start` to `stop` of an order, whole windows, worked on in one go."""

    start: int
    stop: int
    groups: tuple[WindowGroup, ...]


@dataclass(frozen=True)
class Permutation:
    """A permutation of all tokens: `new[i] = old[index[i]]`, `old[i] = new[inverse[i]]`."""

    index: Tensor
    inverse: Tensor


@dataclass(frozen=True)
class BlockPlan:
    """What one block needs to know of the maps it works on.

    Attributes:
        batch: number of images.
        permutation: brings the tokens from the order of the block before into this one's.
        chunks: what is worked on in one go, in order; they cover all tokens.
        image_indices: `(B*H*W,)` the image each token belongs to; None where nobody asked.
    """

    batch: int
    permutation: Permutation
    chunks: tuple[Chunk, ...]
    image_indices: Tensor | None


class WindowGrid:
    """The windows of a batch of token maps of one size."""

    def __init__(
        self, batch: int, height: int, width: int, *, window: int, device: torch.device
    ) -> None:
        self.batch, self.height, self.width = batch, height, width
        self._window = window
        self._device = device
        self._ordered: dict[str, _OrderedTokens] = {}
        self._permutations: dict[tuple[str, str], Permutation] = {}
        self._chunks: dict[tuple[str, int | None], tuple[Chunk, ...]] = {}
        self._image_indices: dict[str, Tensor] = {}

    def permutation(self, source: TokenOrder, target: TokenOrder) -> Permutation:
        """The permutation that turns one order into another."""
        key = (source, target)
        if key not in self._permutations:
            tokens_at_source = self._ordered_tokens(source).tokens
            position_in_source = np.empty_like(tokens_at_source)
            position_in_source[tokens_at_source] = np.arange(len(tokens_at_source))
            index = position_in_source[self._ordered_tokens(target).tokens]
            inverse = np.empty_like(index)
            inverse[index] = np.arange(len(index))
            self._permutations[key] = Permutation(self._to_device(index), self._to_device(inverse))
        return self._permutations[key]

    def chunks(self, order: TokenOrder, *, max_tokens: int | None) -> tuple[Chunk, ...]:
        """Cut an order into chunks of whole windows: up to `max_tokens` tokens, or one window.

        With None everything is one chunk.
        """
        key = (order, max_tokens)
        if key not in self._chunks:
            ordered = self._ordered_tokens(order)
            self._chunks[key] = self._cut(ordered, max_tokens or ordered.occupied.size)
        return self._chunks[key]

    def image_indices(self, order: TokenOrder) -> Tensor:
        """`(B*H*W,)` which image of the batch each token of an order belongs to."""
        if order not in self._image_indices:
            images = self._ordered_tokens(order).tokens // (self.height * self.width)
            self._image_indices[order] = self._to_device(images)
        return self._image_indices[order]

    def _ordered_tokens(self, order: TokenOrder) -> "_OrderedTokens":
        if order not in self._ordered:
            if order == "raster":
                num_tokens = self.batch * self.height * self.width
                self._ordered[order] = _OrderedTokens(
                    np.arange(num_tokens), np.empty((0, 0)), np.empty(0)
                )
            else:
                shift = self._window // 2 if order == "shifted" else 0
                size = (self.batch, self.height, self.width)
                self._ordered[order] = _window_order(size, window=self._window, shift=shift)
        return self._ordered[order]

    def _cut(self, ordered: "_OrderedTokens", max_tokens: int) -> tuple[Chunk, ...]:
        num_slots = self._window**2
        first_tokens = np.concatenate([[0], ordered.occupied.sum(axis=1).cumsum()])
        chunks: list[Chunk] = []
        groups: list[WindowGroup] = []
        chunk_start = 0
        for kind, window, count in _runs(ordered.kinds, ordered.is_full):
            while count:
                room = max_tokens - (int(first_tokens[window]) - chunk_start)
                if groups and room < num_slots:
                    stop = int(first_tokens[window])
                    chunks.append(Chunk(chunk_start, stop, tuple(groups)))
                    chunk_start, groups = stop, []
                    room = max_tokens
                taken = min(count, max(1, room // num_slots))
                occupied = ordered.occupied[window : window + taken].ravel()
                groups.append(
                    WindowGroup(
                        kind=kind,
                        num_windows=taken,
                        start=int(first_tokens[window]) - chunk_start,
                        stop=int(first_tokens[window + taken]) - chunk_start,
                        slots=None if occupied.all() else self._slots(occupied),
                    )
                )
                window, count = window + taken, count - taken
        chunks.append(Chunk(chunk_start, int(first_tokens[-1]), tuple(groups)))
        return tuple(chunks)

    def _slots(self, occupied: np.ndarray) -> Tensor:
        return self._to_device(np.flatnonzero(occupied), dtype=np.int64)  # index_copy takes no less

    def _to_device(self, indices: np.ndarray, *, dtype: type = np.int32) -> Tensor:
        host = torch.from_numpy(indices.astype(dtype))
        if self._device.type == "cuda":
            return host.pin_memory().to(self._device, non_blocking=True)
        return host.to(self._device)


@torch.compiler.disable
@torch.inference_mode(False)  # what is remembered must also serve a later training
def plan_blocks(
    size: tuple[int, int, int],
    orders: Sequence[TokenOrder],
    *,
    window: int,
    device: torch.device,
    max_tokens: int | None,
    with_image_indices: bool,
) -> tuple[tuple[BlockPlan, ...], Permutation]:
    """Plan the way of the tokens through blocks that work in the given orders.

    Args:
        size: batch, height and width of the token maps.
        orders: of each block, in order; tokens come in raster order.
        window: side M of a window in tokens; the shift is M // 2.
        device: where the indices are kept.
        max_tokens: see `WindowGrid.chunks`.
        with_image_indices: whether the blocks need to know which token is whose.

    Returns:
        A plan a block, and the permutation that leads back to raster order.
    """
    grid = window_grid(*size, window=window, device=device)
    plans = []
    before: TokenOrder = "raster"
    for order in orders:
        plans.append(
            BlockPlan(
                batch=grid.batch,
                permutation=grid.permutation(before, order),
                chunks=grid.chunks(order, max_tokens=max_tokens),
                image_indices=grid.image_indices(order) if with_image_indices else None,
            )
        )
        before = order
    return tuple(plans), grid.permutation(before, "raster")


def _cached(make: Callable[[int, torch.device], Tensor]) -> Callable[..., Tensor]:
    """Make a tensor once per size and device; torch.compile takes it as a constant."""
    # Inference mode is left: what is remembered must also serve a later training.
    cached = lru_cache(maxsize=16)(torch.inference_mode(False)(make))

    @torch.compiler.assume_constant_result
    @wraps(make)
    def remembered(window: int, device: torch.device) -> Tensor:
        return cached(window, device)

    return remembered


@lru_cache(maxsize=_CACHED_GRIDS)
def window_grid(
    batch: int, height: int, width: int, *, window: int, device: torch.device
) -> WindowGrid:
    """The (remembered) geometry of `batch` maps of `height x width` tokens.

    Args:
        batch: number of images, at least 1.
        height: of the token map, at least 1.
        width: of the token map, at least 1.
        window: side M of a window in tokens; the shift is M // 2.
        device: where the indices are kept.

    Returns:
        The grid; equal arguments give the same object while it is remembered.
    """
    return WindowGrid(batch, height, width, window=window, device=device)


@_cached
def relative_position_index(window: int, device: torch.device) -> Tensor:
    """Which row of the bias table each pair of tokens of a window reads.

    Liu et al. 2021, section 3.2: offsets run over -(M-1)..M-1 on both axes; row
    `(dy + M - 1) * (2M - 1) + dx + M - 1`, with `d` the query's position less the key's.

    Returns:
        `(L, L)` int64, query first.
    """
    position = torch.arange(window, device=device)
    rows, columns = (axis.flatten() for axis in torch.meshgrid(position, position, indexing="ij"))
    row_offset = rows[:, None] - rows[None, :] + window - 1  # (L, L)
    column_offset = columns[:, None] - columns[None, :] + window - 1  # (L, L)
    return row_offset * (2 * window - 1) + column_offset


@_cached
def shift_masks(window: int, device: torch.device) -> Tensor:
    """The masks of the four kinds of windows of an order that is shifted by `window // 2`.

    Liu et al. 2021, section 3.3. A window at the bottom edge of the rolled map holds, below its
    first `M - shift` rows, rows of the top of the image; at the right edge likewise.

    Returns:
        `(4, L, L)` float32 in the order INSIDE, RIGHT, BOTTOM, CORNER: 0 where two tokens see each
        other, else -100.
    """
    wrapped = torch.arange(window, device=device) >= window - window // 2  # (M,)
    none = torch.zeros_like(wrapped)
    masks = []
    for rows, columns in ((none, none), (none, wrapped), (wrapped, none), (wrapped, wrapped)):
        region = (rows[:, None] * 2 + columns[None, :] * 1).flatten()  # (L,)
        masks.append((region[:, None] != region[None, :]) * MASK_VALUE)  # (L, L)
    return torch.stack(masks)


def aligned_rows(bias: Tensor) -> Tensor:
    """The same `(..., L, L)` values, each row starting at a multiple of 8 elements."""
    length = bias.shape[-1]
    padded = torch.nn.functional.pad(bias, (0, -length % _ROW_ALIGNMENT))
    return padded[..., :length]


@dataclass(frozen=True)
class _OrderedTokens:
    """The tokens of all images in window order, and the windows they stand in.

    Attributes:
        tokens: `(B*H*W,)` raster index of each token.
        occupied: `(num windows, L)` bool, which slots hold a real token.
        kinds: kind of each window.
    """

    tokens: np.ndarray
    occupied: np.ndarray
    kinds: np.ndarray

    @property
    def is_full(self) -> np.ndarray:
        """Whether each window holds real tokens alone."""
        return np.asarray(self.occupied.all(axis=1))


def _window_order(size: tuple[int, int, int], *, window: int, shift: int) -> _OrderedTokens:
    batch, height, width = size
    rows, row_is_real = _axis_of_windows(height, window=window, shift=shift)  # (nh, M)
    columns, column_is_real = _axis_of_windows(width, window=window, shift=shift)  # (nw, M)
    tokens = rows[:, None, :, None] * width + columns[None, :, None, :]  # (nh, nw, M, M)
    occupied = row_is_real[:, None, :, None] & column_is_real[None, :, None, :]
    tokens, occupied = (grid.reshape(-1, window**2) for grid in (tokens, occupied))  # (nW, L)
    kinds = np.zeros((len(rows), len(columns)), dtype=np.int64)
    if shift:
        kinds[:, -1] += RIGHT
        kinds[-1, :] += BOTTOM

    image = np.repeat(np.arange(batch), len(tokens))
    tokens = np.tile(tokens, (batch, 1)) + (image * height * width)[:, None]  # (B*nW, L)
    occupied = np.tile(occupied, (batch, 1))
    kinds = np.tile(kinds.ravel(), batch)
    sequence = np.lexsort((~occupied.all(axis=1), kinds))
    tokens, occupied, kinds = tokens[sequence], occupied[sequence], kinds[sequence]
    return _OrderedTokens(tokens[occupied], occupied, kinds)


def _axis_of_windows(length: int, *, window: int, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the slots of each window lie on one axis of the map: `(n, M)` positions, `(n, M)`
    real."""
    num_windows = -(-length // window)
    slots = np.arange(num_windows * window).reshape(num_windows, window)
    positions = (slots + shift) % (num_windows * window)
    return positions, positions < length


def _runs(kinds: np.ndarray, is_full: np.ndarray) -> list[tuple[int, int, int]]:
    """Neighbouring windows that are alike: (kind, first window, number of windows)."""
    changes = np.flatnonzero((np.diff(kinds) != 0) | (np.diff(is_full.astype(int)) != 0)) + 1
    bounds = [0, *changes.tolist(), len(kinds)]
    return [(int(kinds[start]), start, stop - start) for start, stop in pairwise(bounds)]
