"""Geometry of (shifted) windows: pure functions of sizes, as numpy arrays.

Liu et al. 2021, Figures 2 and 4, on a map of 2 x 3 tokens with windows of M = 2 and a shift of 1.
The paper pads the map to whole windows, rolls it up and left by the shift, and cuts it:

    tokens      padded       rolled       cut
    0 1 2       0 1 2 .      4 5 . 3      4 5 | . 3
    3 4 5       3 4 5 .      1 2 . 0      1 2 | . 0

Each window attends within itself, but tokens that only the roll has brought together (4 5 of the
last row and 1 2 of the first) do not see each other. Then everything is led back the same way.

Here the map of token *numbers* is padded, rolled and cut, once a size (`cut_map`). Read window by
window, without the padding, the numbers are an order of the tokens:

    order       4 5 1 2   3 0       each token once, those of a window together
    slots       0 1 2 3   1 3       where each stands among the M * M slots of its window
    kind        BOTTOM    CORNER    the edges of the rolled map that the window touches

The tokens themselves are brought into that order by one indexing; none is padded, rolled or cut.
Between two blocks one permutation leads from the order of the one to the order of the other: here
from the regular windows' 0 1 3 4, 2 5 to the shifted ones' 4 5 1 2, 3 0. The padding exists only
inside the attention of the windows that have some.

Only windows at the bottom and the right edge of the rolled map hold tokens from opposite sides of
the image, so that the masks of four kinds serve every window of every map. Windows of a kind stand
together, those without padding first.

A batch is a list of maps, of one size or of many (`join_maps`). A second map of 1 x 2 tokens, 6 and
7, is one more window, which the shift brings apart again:

    order       4 5 1 2   3 0   7 6
    kind        BOTTOM  CORNER  CORNER

So images of different sizes are worked on together, and nothing between them exists.

Swin-MLP, which has no masks, shifts by padding instead: M less the shift rows above the map and
columns left of it, whole windows below and right. No window holds tokens from opposite sides then:

    padded      . . . .      cut    . . | . .
                . 0 1 2             . 0 | 1 2
                . 3 4 5             . 3 | 4 5
                . . . .             . . | . .

`window_plans.py` makes device tensors of all this, and keeps them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Literal

import numpy as np

# How the tokens of a batch stand: image by image and row by row, or window by window; windows are
# shifted by rolling the map (`shifted`) or by padding it (`padded`).
TokenOrder = Literal["raster", "regular", "shifted", "padded"]

INSIDE, RIGHT, BOTTOM, CORNER = range(4)
PADDING = -1
# What a token of another region of the window loses in the logits; finite, as in the published
# code.
MASK_VALUE = -100.0


@dataclass(frozen=True)
class Windows:
    """Windows of one map or of several, one after the other.

    Attributes:
        slots: `(nW, L)` number of the token in each slot, or PADDING.
        kinds: `(nW,)` INSIDE, RIGHT, BOTTOM or CORNER.
    """

    slots: np.ndarray
    kinds: np.ndarray

    @cached_property
    def occupied(self) -> np.ndarray:
        """`(nW, L)` bool, the slots that hold a token."""
        return self.slots != PADDING

    @cached_property
    def num_tokens(self) -> np.ndarray:
        """`(nW,)` how many tokens each window holds."""
        return np.count_nonzero(self.occupied, axis=1)

    @property
    def is_full(self) -> np.ndarray:
        """`(nW,)` bool, the windows without padding."""
        return self.num_tokens == self.slots.shape[1]

    @cached_property
    def runs(self) -> list["WindowRun"]:
        """The windows, cut where the kind changes, or whether there is padding."""
        is_full = self.is_full
        changes = np.diff(self.kinds).astype(bool) | np.diff(is_full)
        bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), len(self.kinds)]
        return [
            WindowRun(int(self.kinds[first]), bool(is_full[first]), first, stop)
            for first, stop in pairwise(bounds)
        ]

    @property
    def order(self) -> np.ndarray:
        """`(N,)` int64, the numbers of the tokens, window by window."""
        return self.slots[self.occupied].astype(np.int64)  # numpy indexes fastest by 64 bits


@dataclass(frozen=True)
class WindowRun:
    """Neighbouring windows, `first` up to `stop`, of one kind, all or none of them full."""

    kind: int
    is_full: bool
    first: int
    stop: int


def cut_map(
    height: int, width: int, *, window: int, shift: int, by_padding: bool = False
) -> Windows:
    """Pad, roll and cut one map, as the paper does. Liu et al. 2021, sections 3.2 and 3.3.

    Args:
        height: of the map, in tokens.
        width: of the map, in tokens.
        window: side M of a window, in tokens.
        shift: 0, or by how many tokens the map is rolled up and left.
        by_padding: shift by rows above and columns left of the map instead.

    Returns:
        The windows, row by row; tokens are numbered row by row from 0.
    """
    before = window - shift if shift and by_padding else 0  # rows and columns
    down, across = (-(-(before + side) // window) for side in (height, width))  # windows
    padded = np.full((down * window, across * window), PADDING, dtype=np.int32)
    tokens = np.arange(height * width).reshape(height, width)
    padded[before : before + height, before : before + width] = tokens
    rolled = padded if by_padding else np.roll(padded, (-shift, -shift), axis=(0, 1))
    cut = rolled.reshape(down, window, across, window).swapaxes(1, 2)  # (down, across, M, M)
    kinds = np.full((down, across), INSIDE)
    if shift and not by_padding:
        kinds[:, -1] += RIGHT
        kinds[-1, :] += BOTTOM
    return Windows(cut.reshape(-1, window * window), kinds.ravel())


def find_shift(size: tuple[int, int], *, window: int, shift_narrow_maps: bool) -> int:
    """By how many tokens a map is shifted: half a window, rounded down.

    Args:
        size: of the map, in tokens.
        window: side M of a window, in tokens.
        shift_narrow_maps: whether a map whose short side is no longer than a window is shifted,
            too: as in the published code for detection and segmentation, other than in that for
            classification.
    """
    return window // 2 if shift_narrow_maps or min(size) > window else 0


def sort_by_kind(windows: Windows) -> Windows:
    """Bring windows of a kind together, those without padding first, else as they stood."""
    sequence = np.lexsort((~windows.is_full, windows.kinds))
    return Windows(windows.slots[sequence], windows.kinds[sequence])


def join_maps(maps: Sequence[Windows]) -> Windows:
    """Join the windows of several maps, so that they stand as `sort_by_kind` lets those of one.

    Tokens are numbered on: a map's first token follows the last of the one before.

    Args:
        maps: at least one, each from `sort_by_kind`, with windows of one size.
    """
    ends = accumulate(int(windows.num_tokens.sum()) for windows in maps)
    pieces = [
        (run, windows.slots[run.first : run.stop], first_token)
        for windows, first_token in zip(maps, [0, *ends], strict=False)
        for run in windows.runs
    ]
    pieces.sort(key=lambda piece: (piece[0].kind, not piece[0].is_full))  # stable
    lengths = [len(slots) for _, slots, _ in pieces]
    joined = np.concatenate([slots for _, slots, _ in pieces])
    first_tokens = np.repeat(np.array([first for *_, first in pieces], joined.dtype), lengths)
    np.add(joined, first_tokens[:, None], out=joined, where=joined != PADDING)
    return Windows(joined, np.repeat([run.kind for run, *_ in pieces], lengths))


def invert(permutation: np.ndarray) -> np.ndarray:
    """The permutation that undoes another: `(N,)` int32, places of 0, 1, 2, ... in it."""
    inverse = np.empty(len(permutation), np.int32)
    inverse[permutation] = np.arange(len(permutation), dtype=np.int32)
    return inverse


def chunk_windows(windows: Windows, *, max_tokens: int | None) -> list[list[WindowRun]]:
    """Cut a sequence of windows into chunks that are worked on in one go.

    Args:
        windows: at least one.
        max_tokens: that a chunk may hold, though it holds at least one window; None: all.

    Returns:
        The runs of each chunk, in order.
    """
    num_tokens = windows.num_tokens
    num_slots = windows.slots.shape[1]
    limit = windows.slots.size if max_tokens is None else max_tokens
    chunks: list[list[WindowRun]] = [[]]
    room = limit
    for run in windows.runs:
        first = run.first
        while first < run.stop:
            if room < num_slots and chunks[-1]:
                chunks.append([])
                room = limit
            stop = min(run.stop, first + max(1, room // num_slots))
            chunks[-1].append(WindowRun(run.kind, run.is_full, first, stop))
            room -= int(num_tokens[first:stop].sum())
            first = stop
    return chunks


def relative_position_index(window: int) -> np.ndarray:
    """The row of the bias table that each pair of tokens of a window reads.

    Liu et al. 2021, section 3.2: offsets run over -(M-1)..M-1 on both axes; row
    `(dy + M - 1) * (2M - 1) + dx + M - 1`, with `d` the query's position less the key's.

    Returns:
        `(L, L)` int64, query first.
    """
    rows, columns = np.divmod(np.arange(window * window, dtype=np.int64), window)  # (L,)
    row_offset = rows[:, None] - rows[None, :] + window - 1  # (L, L)
    column_offset = columns[:, None] - columns[None, :] + window - 1  # (L, L)
    return row_offset * (2 * window - 1) + column_offset


def shift_masks(window: int) -> np.ndarray:
    """The masks of the four kinds of windows of an order that is shifted by `window // 2`.

    Liu et al. 2021, section 3.3 and Figure 4. A window at the bottom edge of the rolled map holds,
    below its first `M - shift` rows, rows of the top of the image; at the right edge likewise.

    Returns:
        `(4, L, L)` float32 in the order INSIDE, RIGHT, BOTTOM, CORNER: 0 where two tokens see each
        other, else -100.
    """
    rows, columns = np.divmod(np.arange(window * window), window)  # (L,)
    is_from_top, is_from_left = (axis >= window - window // 2 for axis in (rows, columns))
    inside = np.zeros(window * window, dtype=np.int64)
    regions = np.stack(
        [inside, is_from_left, is_from_top, 2 * is_from_top + is_from_left]
    )  # (4, L)
    is_hidden = regions[:, :, None] != regions[:, None, :]  # (4, L, L)
    return np.where(is_hidden, MASK_VALUE, 0.0).astype(np.float32)
