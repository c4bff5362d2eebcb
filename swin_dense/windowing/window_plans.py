"""The geometry of windows as tensors on a device, made once and kept, as blocks read it.

`windows.py` computes; here its arrays become a plan for the blocks of a stage (`plan_blocks`) and
tables of a window (`window_table`). Both are remembered by size and device in a bounded cache.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from swin_dense.windowing.windows import (
    TokenOrder,
    Windows,
    chunk_windows,
    cut_map,
    invert,
    join_maps,
    permutation_between,
    sort_by_kind,
)

# Token maps of a batch, group by group: how many there are of a size, their height and width.
MapSizes: TypeAlias = tuple[tuple[int, int, int], ...]

# A forward needs one a stage.
_CACHED_PLANS = 32
_CACHED_TABLES = 32


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
    """Geometry of the maps that one block works on.

    Attributes:
        num_images: number of images.
        permutation: brings the tokens from the order of the block before into this one's.
        chunks: what is worked on in one go, in order; they cover all tokens.
        image_indices: `(N,)` the image each token belongs to; None where nobody asked.
    """

    num_images: int
    permutation: Permutation
    chunks: tuple[Chunk, ...]
    image_indices: Tensor | None


def plan_blocks(
    sizes: MapSizes,
    orders: Sequence[TokenOrder],
    *,
    window: int,
    device: torch.device,
    max_tokens: int | None,
    with_image_indices: bool,
) -> tuple[tuple[BlockPlan, ...], Permutation]:
    """Plan the way of the tokens through blocks that work in the given orders.

    Args:
        sizes: the token maps, group by group: how many there are, their height and width, each at
            least 1.
        orders: of each block, in order; tokens come map by map, in raster order.
        window: side M of a window in tokens; the shift is M // 2.
        device: where the indices are kept.
        max_tokens: that a chunk may hold, though it holds at least one window; None: all.
        with_image_indices: whether the blocks need to know which token is whose.

    Returns:
        A plan a block, and the permutation that leads back to raster order. Equal arguments give
        the same object while it is remembered.
    """
    arguments = (tuple(sizes), tuple(orders), window, device, max_tokens, with_image_indices)
    if torch.compiler.is_compiling():
        from swin_dense.windowing.untraced import call_untraced

        return call_untraced(_plan_blocks, *arguments)
    return _plan_blocks(*arguments)


@lru_cache(maxsize=_CACHED_PLANS)
@torch.inference_mode(False)  # what is remembered must also serve a later training
def _plan_blocks(
    sizes: MapSizes,
    orders: tuple[TokenOrder, ...],
    window: int,
    device: torch.device,
    max_tokens: int | None,
    with_image_indices: bool,
) -> tuple[tuple[BlockPlan, ...], Permutation]:
    areas = [height * width for count, height, width in sizes for _ in range(count)]
    image_of_token = np.repeat(np.arange(len(areas)), areas)
    tokens = {"raster": np.arange(len(image_of_token), dtype=np.int32)}
    chunks = {}
    image_indices: dict[str, Tensor] = {}
    for order in dict.fromkeys(orders):
        shift = window // 2 if order == "shifted" else 0
        cut = [
            (cut_map(height, width, window=window, shift=shift), count)
            for count, height, width in sizes
        ]
        windows = sort_by_kind(join_maps([one for one, count in cut for _ in range(count)]))
        tokens[order] = windows.order
        chunks[order] = _make_chunks(windows, max_tokens, device)
        if with_image_indices:
            image_indices[order] = _to_device(image_of_token[tokens[order]], device)
    way = list(pairwise(("raster", *orders, "raster")))
    permutations: dict[tuple[str, str], Permutation] = {}
    for source, target in way:
        if (source, target) not in permutations:
            index = permutation_between(tokens[source], tokens[target])
            there, back = (_to_device(places, device) for places in (index, invert(index)))
            permutations[source, target] = Permutation(there, back)
            permutations[target, source] = Permutation(back, there)
    plans = tuple(
        BlockPlan(
            len(areas), permutations[source, target], chunks[target], image_indices.get(target)
        )
        for source, target in way[:-1]
    )
    return plans, permutations[way[-1]]


def _make_chunks(
    windows: Windows, max_tokens: int | None, device: torch.device
) -> tuple[Chunk, ...]:
    first_tokens = [0, *windows.num_tokens.cumsum().tolist()]
    chunks = []
    for runs in chunk_windows(windows, max_tokens=max_tokens):
        start, stop = first_tokens[runs[0].first], first_tokens[runs[-1].stop]
        groups = []
        for run in runs:
            occupied = windows.occupied[run.first : run.stop].ravel()
            slots = None
            if not occupied.all():  # index_copy takes no less than 64 bits
                slots = _to_device(np.flatnonzero(occupied), device, dtype=np.int64)
            groups.append(
                WindowGroup(
                    kind=run.kind,
                    num_windows=run.stop - run.first,
                    start=first_tokens[run.first] - start,
                    stop=first_tokens[run.stop] - start,
                    slots=slots,
                )
            )
        chunks.append(Chunk(start, stop, tuple(groups)))
    return tuple(chunks)


def _to_device(indices: np.ndarray, device: torch.device, *, dtype: type = np.int32) -> Tensor:
    host = torch.from_numpy(indices.astype(dtype))
    if device.type == "cuda":
        return host.pin_memory().to(device, non_blocking=True)
    return host.to(device)


def window_table(
    compute: Callable[[int], np.ndarray], window: int, *, device: torch.device
) -> Tensor:
    """`compute(window)` as a tensor: `relative_position_index` or `shift_masks`.

    torch.compile takes it as a constant.
    """
    if torch.compiler.is_compiling():
        from swin_dense.windowing.untraced import call_for_constant

        return call_for_constant(_window_table, compute, window, device)
    return _window_table(compute, window, device)


def _window_table(
    compute: Callable[[int], np.ndarray], window: int, device: torch.device
) -> Tensor:
    return _cached_window_table(compute, window, device)


@lru_cache(maxsize=_CACHED_TABLES)
@torch.inference_mode(False)  # as above
def _cached_window_table(
    compute: Callable[[int], np.ndarray], window: int, device: torch.device
) -> Tensor:
    return torch.from_numpy(compute(window)).to(device)
