"""The geometry of `windows.py` as tensor arithmetic, for graphs that run at any size.

A tracer (torch.compile, torch.export) sees height and width as symbols. So nothing here looks at
their values: indices come from `arange`, comparisons stand in for branches. On the map of 2 x 3
tokens of `windows.py`, with M = 2 and a shift of 1:

    slots       4 5 1 2   6 3 6 0   6 6 6 6   number of the token in each slot; 6: a zero token
    places      7 2 3 5 0 1                   slot of each token, row by row
    kinds       BOTTOM    CORNER    any

Tokens keep their raster order; one gather brings them into windows and one leads them back. Slots
without a token take part in the attention like any other, as in the published code.

The last window is empty. A tracer takes sizes of 0 and 1 for special, and would trace again for
each stage of which an image is a single window; so no size here may be 1 in one image and more in
another. For the same reason there is nothing of the size of a row or a column of windows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from swin_dense.windowing.windows import BOTTOM, MASK_VALUE, RIGHT


@dataclass(frozen=True)
class TracedWindows:
    """Windows of maps of one size. All numbers may be symbols.

    Attributes:
        num_images: maps B.
        num_tokens: of each map, N = H * W.
        num_windows: of each map, nW, with the empty one.
        slots: `(nW*L,)` number of the token in each slot, 0..N-1; N where there is none.
        places: `(N,)` the slot of each token.
        kinds: `(nW,)` INSIDE, RIGHT, BOTTOM or CORNER.
    """

    num_images: int
    num_tokens: int
    num_windows: int
    slots: Tensor
    places: Tensor
    kinds: Tensor


def trace_windows(
    size: tuple[int, int, int],
    *,
    window: int,
    shift: int,
    by_padding: bool = False,
    shift_narrow_maps: bool = True,
    device: torch.device,
) -> TracedWindows:
    """Pad, roll and cut maps, as `cut_map` does.

    Args:
        size: number of maps, height and width.
        window: side M of a window, in tokens.
        shift: 0, or by how many tokens the maps are rolled up and left.
        by_padding: shift by rows above and columns left of the map instead.
        shift_narrow_maps: see `find_shift`.
        device: where the indices are made.
    """
    count, height, width = size
    num_slots = window * window
    before = window - shift if shift and by_padding else 0  # rows and columns
    down, across = (  # windows
        (before + side + window - 1) // window for side in (height, width)
    )
    num_windows = down * across + 1

    in_row, in_column = _divide(torch.arange(num_windows, device=device), across)  # (nW,)
    kinds = (in_row == down - 1).long() * BOTTOM + (in_column == across - 1).long() * RIGHT
    if by_padding:
        kinds = kinds * 0
    # Padding in front of the map is padding behind it, rolled the other way.
    roll: int | Tensor = -before if by_padding else shift
    if shift and not shift_narrow_maps:
        sides = torch.full((1,), window, device=device)
        is_wide = ((sides < height) & (sides < width)).long()  # (1,)
        roll, kinds = is_wide * roll, kinds * is_wide

    slots = torch.arange(num_windows * num_slots, device=device)  # (nW*L,)
    in_window, offset = _divide(slots, num_slots)
    in_row, in_column = _divide(in_window, across)
    down_offset, right_offset = _divide(offset, window)
    _, row = _divide(in_row * window + down_offset + roll + down * window, down * window)
    _, column = _divide(in_column * window + right_offset + roll + across * window, across * window)
    is_empty = (in_row >= down) | (row >= height) | (column >= width)
    tokens = torch.where(is_empty, height * width, row * width + column)

    row, column = _divide(torch.arange(height * width, device=device), width)  # (N,)
    _, row = _divide(row - roll + down * window, down * window)  # of the rolled map
    _, column = _divide(column - roll + across * window, across * window)
    in_row, down_offset = _divide(row, window)
    in_column, right_offset = _divide(column, window)
    places = (in_row * across + in_column) * num_slots + down_offset * window + right_offset
    return TracedWindows(
        num_images=count,
        num_tokens=height * width,
        num_windows=num_windows,
        slots=tokens,
        places=places,
        kinds=kinds,
    )


def _divide(numbers: Tensor, by: int) -> tuple[Tensor, Tensor]:
    """Quotient and remainder; `%` with a symbol has no translation to ONNX."""
    quotient = numbers // by
    return quotient, numbers - quotient * by


def trace_relative_position_index(window: int, *, device: torch.device) -> Tensor:
    """`relative_position_index` of `windows.py`: `(L, L)` int64."""
    rows, columns = _slots_of_window(window, device)  # (L,)
    row_offset = rows[:, None] - rows + window - 1  # (L, L)
    column_offset = columns[:, None] - columns + window - 1  # (L, L)
    return row_offset * (2 * window - 1) + column_offset


def trace_shift_masks(window: int, *, device: torch.device) -> Tensor:
    """`shift_masks` of `windows.py`: `(4, L, L)` float32."""
    first = window - window // 2
    is_from_top, is_from_left = (
        (axis >= first).long() for axis in _slots_of_window(window, device)
    )
    regions = torch.stack(
        [0 * is_from_top, is_from_left, is_from_top, 2 * is_from_top + is_from_left]
    )  # (4, L)
    is_hidden = regions[:, :, None] != regions[:, None, :]  # (4, L, L)
    return is_hidden.float() * MASK_VALUE


def _slots_of_window(window: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Row and column of each slot of a window, `(L,)` int64."""
    slots = torch.arange(window * window, device=device)
    return slots // window, slots % window
