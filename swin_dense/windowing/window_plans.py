"""The geometry of windows as tensors on a device, made once and kept, as blocks read it.

`windows.py` computes; here its arrays become a plan for the blocks of a stage (`plan_blocks`) and
tables of a window (`window_table`). Both are remembered by size and device in bounded caches. Of
images of different sizes hardly two batches are alike, but many have maps of the same sizes; so the
windows of single maps are remembered too, and a batch's plan joins them.

Where a graph is traced, sizes may be symbols: then a plan is arithmetic, part of the graph
(`traced_windows.py`), and tokens stay in raster order.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from swin_dense.windowing.bounded_cache import BoundedCache
from swin_dense.windowing.traced_windows import TracedWindows, trace_windows
from swin_dense.windowing.windows import (
    TokenOrder,
    Windows,
    chunk_windows,
    cut_map,
    find_shift,
    invert,
    join_maps,
    sort_by_kind,
)

# Token maps of a batch, group by group: how many there are of a size, their height and width.
MapSizes: TypeAlias = tuple[tuple[int, int, int], ...]

_Plans: TypeAlias = "tuple[tuple[BlockPlan, ...], Permutation | None]"

# A forward needs a plan a stage, and the windows of each map, on the host, while it is made. For an
# image of 800 x 1216 px all plans take 2.7 MB, all windows 0.9 MB.
_plans: BoundedCache[Hashable, "_Plans"] = BoundedCache(max_values=256, max_bytes=2**26)
_maps: BoundedCache[Hashable, Windows] = BoundedCache(max_values=1024, max_bytes=2**26)
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
    groups: tuple[WindowGroup, ...] | tuple[TracedWindows, ...]


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
        permutation: brings the tokens from the order of the block before into this one's; None in
            a traced graph, where all are in raster order.
        chunks: what is worked on in one go, in order; they cover all tokens.
        image_indices: `(N,)` the image each token belongs to; None where nobody asked.
    """

    num_images: int
    permutation: Permutation | None
    chunks: tuple[Chunk, ...]
    image_indices: Tensor | None


def plan_blocks(
    sizes: MapSizes,
    orders: Sequence[TokenOrder],
    *,
    window: int,
    device: torch.device,
    shift_narrow_maps: bool = True,
    max_tokens: int | None,
    with_image_indices: bool,
) -> _Plans:
    """Plan the way of the tokens through blocks that work in the given orders.

    Args:
        sizes: the token maps, group by group: how many there are, their height and width, each at
            least 1.
        orders: of each block, in order; tokens come map by map, in raster order.
        window: side M of a window in tokens; the shift is M // 2.
        device: where the indices are kept.
        shift_narrow_maps: see `find_shift`.
        max_tokens: that a chunk may hold, though it holds at least one window; None: all.
        with_image_indices: whether the blocks need to know which token is whose.

    Returns:
        A plan a block, and the permutation that leads back to raster order. Equal arguments give
        the same object while it is remembered. In a traced graph the plans are part of it.
    """
    if torch.compiler.is_compiling():
        plans = _trace_plans(sizes, orders, window, device, shift_narrow_maps, with_image_indices)
        return plans, None
    return _kept_plans(
        tuple(sizes),
        tuple(orders),
        window,
        device,
        shift_narrow_maps,
        max_tokens,
        with_image_indices,
    )


def _trace_plans(
    sizes: MapSizes,
    orders: Sequence[TokenOrder],
    window: int,
    device: torch.device,
    shift_narrow_maps: bool,
    with_image_indices: bool,
) -> tuple[BlockPlan, ...]:
    num_tokens = sum(count * height * width for count, height, width in sizes)
    image_indices = None
    if with_image_indices:
        indices, first = [], 0
        for count, height, width in sizes:
            numbers = torch.arange(count * height * width, device=device)
            indices.append(numbers // (height * width) + first)
            first += count
        image_indices = torch.cat(indices)
    chunks = {
        order: Chunk(
            0,
            num_tokens,
            tuple(
                trace_windows(
                    size,
                    window=window,
                    shift=0 if order == "regular" else window // 2,
                    by_padding=order == "padded",
                    shift_narrow_maps=shift_narrow_maps,
                    device=device,
                )
                for size in sizes
            ),
        )
        for order in dict.fromkeys(orders)
    }
    num_images = sum(count for count, _, _ in sizes)
    return tuple(BlockPlan(num_images, None, (chunks[order],), image_indices) for order in orders)


def _kept_plans(*arguments: Any) -> _Plans:
    plans = _plans.get(arguments)
    if plans is None:
        plans = _make_plans(*arguments)
        _plans.put(arguments, plans, num_bytes=sum(tensor.nbytes for tensor in _tensors(plans)))
    return plans


@torch.inference_mode(False)  # what is remembered must also serve a later training
def _make_plans(
    sizes: MapSizes,
    orders: tuple[TokenOrder, ...],
    window: int,
    device: torch.device,
    shift_narrow_maps: bool,
    max_tokens: int | None,
    with_image_indices: bool,
) -> _Plans:
    areas = [height * width for count, height, width in sizes for _ in range(count)]
    image_of_token = np.repeat(np.arange(len(areas), dtype=np.int32), areas)
    tokens = {"raster": np.arange(len(image_of_token))}  # in each order
    places = {"raster": tokens["raster"]}  # of the tokens, in each order
    chunks = {}
    image_indices: dict[str, Tensor] = {}
    for order in dict.fromkeys(orders):
        maps: list[Windows] = []
        for count, height, width in sizes:
            shift = 0
            if order != "regular":
                shift = find_shift(
                    (height, width), window=window, shift_narrow_maps=shift_narrow_maps
                )
            maps += [_kept_map(height, width, window, shift, order == "padded")] * count
        windows = join_maps(maps)
        tokens[order] = windows.order
        places[order] = invert(tokens[order])
        chunks[order] = _make_chunks(windows, max_tokens, device)
        if with_image_indices:
            image_indices[order] = _to_device(image_of_token[tokens[order]], device)
    way = list(pairwise(("raster", *orders, "raster")))
    indices: dict[tuple[str, str], Tensor] = {}
    for source, target in way:
        for pair in ((source, target), (target, source)):
            if pair not in indices:
                indices[pair] = _to_device(_lead(*pair, tokens, places), device)
    permutations = [Permutation(indices[s, t], indices[t, s]) for s, t in way]
    plans = tuple(
        BlockPlan(len(areas), permutation, chunks[order], image_indices.get(order))
        for permutation, order in zip(permutations, orders, strict=False)
    )
    return plans, permutations[-1]


def _lead(
    source: str, target: str, tokens: dict[str, np.ndarray], places: dict[str, np.ndarray]
) -> np.ndarray:
    """`(N,)` the places in one order of the tokens of another."""
    if source == "raster":  # where a token's place is its number
        return tokens[target]
    return places[source] if target == "raster" else places[source][tokens[target]]


def _kept_map(height: int, width: int, window: int, shift: int, by_padding: bool) -> Windows:
    key = height, width, window, shift, by_padding
    windows = _maps.get(key)
    if windows is None:
        cut = cut_map(height, width, window=window, shift=shift, by_padding=by_padding)
        windows = sort_by_kind(cut)
        arrays = windows.slots, windows.kinds, windows.occupied, windows.num_tokens
        _maps.put(key, windows, num_bytes=sum(array.nbytes for array in arrays))
    return windows


def _tensors(plans: _Plans) -> Iterator[Tensor]:
    """Each tensor of a plan once."""
    blocks, back = plans
    permutations = [back, *(plan.permutation for plan in blocks)]
    found = [tensor for way in permutations if way for tensor in (way.index, way.inverse)]
    for plan in blocks:
        found += [] if plan.image_indices is None else [plan.image_indices]
        slots = [group.slots for chunk in plan.chunks for group in chunk.groups]
        found += [places for places in slots if places is not None]
    return iter({id(tensor): tensor for tensor in found}.values())


def _make_chunks(
    windows: Windows, max_tokens: int | None, device: torch.device
) -> tuple[Chunk, ...]:
    first_tokens = [0, *windows.num_tokens.cumsum().tolist()]
    chunks = []
    for runs in chunk_windows(windows, max_tokens=max_tokens):
        start, stop = first_tokens[runs[0].first], first_tokens[runs[-1].stop]
        groups = []
        for run in runs:
            slots = None
            if not run.is_full:  # index_copy takes no less than 64 bits
                occupied = np.flatnonzero(windows.occupied[run.first : run.stop])
                slots = _to_device(occupied, device, dtype=np.int64)
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
    host = torch.from_numpy(indices.astype(dtype, copy=False))
    if device.type == "cuda":
        return host.pin_memory().to(device, non_blocking=True)
    return host.to(device)


def window_table(
    compute: Callable[[int], np.ndarray], window: int, *, device: torch.device
) -> Tensor:
    """`compute(window)` as a tensor: `relative_position_index` or `shift_masks`."""
    return _cached_window_table(compute, window, device)


@lru_cache(maxsize=_CACHED_TABLES)
@torch.inference_mode(False)  # as above
def _cached_window_table(
    compute: Callable[[int], np.ndarray], window: int, device: torch.device
) -> Tensor:
    return torch.from_numpy(compute(window)).to(device)
