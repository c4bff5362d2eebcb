"""Weights of any known layout under our names, and back.

`convert_state_dict` recognises the layout from the keys: a layout fits if it finds position tables
of blocks (or what Swin-MLP has in their place) and patch merging only between two stages; of those
that fit, the one that explains the most keys is meant. `to_layout` undoes it to the bit.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from swin_dense.checkpoints.containers import Checkpoint
from swin_dense.checkpoints.key_maps import (
    BACKBONE,
    DERIVED,
    KEY_MAPS,
    SPATIAL_MLP,
    TABLE,
    WRAPPER,
    KeyMap,
)
from swin_dense.windowing.windows import relative_position_index

_FOREIGN = {  # part of a key: whose it is
    "logit_scale": "Swin V2",
    "cpb_mlp": "Swin V2",
}


@dataclass(frozen=True)
class ConvertedState:
    """A file's weights under our names.

    Attributes:
        layout: whose names the file had.
        prefix: what its names start with on top of the layout's.
        state: under our names; a whole model's backbone under `backbone.`.
        dropped: their names of what was passed over: buffers that can be computed, other networks.
    """

    layout: KeyMap
    prefix: str
    state: dict[str, Tensor]
    dropped: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """True where there is a model around the backbone."""
        return any(key.startswith(BACKBONE) for key in self.state)


@dataclass
class _Match:
    """The keys of a state dict as one layout reads them."""

    layout: KeyMap
    prefix: str
    parts: dict[str, dict[int, str]] = field(default_factory=dict)  # our key -> part -> their key
    heads: dict[str, dict[int, str]] = field(default_factory=dict)  # of `head_names`, as `parts`
    rest: list[str] = field(default_factory=list)
    derived: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """The layout, for messages."""
        prefix = f" under {self.prefix!r}" if self.prefix else ""
        return f"{self.layout.name} ({self.layout.title}){prefix}"

    @property
    def fits(self) -> bool:
        """True where blocks are there, and patch merging only between two stages.

        What else is missing is for the strict load to say.
        """
        stages = {_stage(key) for key in self.parts if key.endswith(TABLE) or SPATIAL_MLP in key}
        merges = {_stage(key) for key in self.parts if ".downsample." in key}
        has_heads = bool(self.heads) == (self.layout.head_names is not None)
        return bool(stages) and merges <= set(range(max(stages))) and has_heads


def convert_state_dict(state: Mapping[str, Tensor]) -> ConvertedState:
    """Recognise the layout of a state dict from its keys and give it under our names.

    Raises:
        ValueError: no layout fits, or two do that disagree.
    """
    if state and all(key.startswith(WRAPPER) for key in state):
        inner = convert_state_dict(
            {key.removeprefix(WRAPPER): value for key, value in state.items()}
        )
        plain = inner.layout.name in ("swin_dense", "microsoft")
        layout = KEY_MAPS["ddp"] if plain else inner.layout
        dropped = tuple(WRAPPER + key for key in inner.dropped)
        return ConvertedState(layout, WRAPPER + inner.prefix, inner.state, dropped)
    return _rename(state, _recognise(state))


def own_layout(state: Mapping[str, Tensor]) -> ConvertedState:
    """Weights that have our names already."""
    return ConvertedState(KEY_MAPS["swin_dense"], "", dict(state))


def convert_checkpoint(checkpoint: Checkpoint) -> ConvertedState:
    """Give a file's weights under our names.

    One of our own files that is a backbone alone, or whose backbone is no Swin Transformer, says
    so; its names are ours.

    Raises:
        ValueError: see `convert_state_dict`; names the file.
    """
    config = checkpoint.metadata.get("config")
    backbone = config.get("backbone") if isinstance(config, dict) else None
    is_other = isinstance(backbone, dict) and "kind" in backbone
    if is_other or isinstance(checkpoint.metadata.get("backbone"), dict):
        return own_layout(checkpoint.state)
    try:
        return convert_state_dict(checkpoint.state)
    except ValueError as error:
        raise ValueError(f"{checkpoint.source}: {error}") from error


def to_layout(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Give weights under our names in another layout; undoes `convert_state_dict` to the bit.

    Args:
        state: under our names, a whole model's backbone under `backbone.`.
        name: a name in `KEY_MAPS`.

    Raises:
        ValueError: unknown layout, or it has no place for some of the weights.
    """
    if name not in KEY_MAPS:
        raise ValueError(f"unknown layout {name!r}; choose one of {', '.join(KEY_MAPS)}")
    layout = KEY_MAPS[name]
    whole = any(key.startswith(BACKBONE) for key in state)
    if not whole and layout.head_names is not None:
        raise ValueError(
            f"layout {name} ({layout.title}) stores whole models only, and this is a backbone; "
            "choose another layout"
        )
    if whole and not layout.whole:
        raise ValueError(
            f"layout {name} ({layout.title}) stores backbones only, and this is a whole model; "
            "convert its backbone alone (--backbone-only)"
        )
    prefix = BACKBONE if whole else ""
    has_norms = any(re.fullmatch(rf"{prefix}norm\d+\.weight", key) for key in state)
    with_brackets = layout.brackets == "always" or not has_norms
    result: dict[str, Tensor] = {}
    homeless = []
    for key, value in state.items():
        inner = key.removeprefix(prefix)
        if whole and not key.startswith(prefix):
            if layout.head_names is not None:
                heads = layout.find_their_head(key)
                if heads is None:
                    homeless.append(key)
                else:
                    result.update(zip(heads, value.chunk(len(heads)), strict=True))
                continue
            if layout.parts and key.split(".")[0] not in layout.parts:
                homeless.append(key)
            result[_rename_head(key, layout)] = value
            continue
        names = layout.find_theirs(inner, with_brackets=with_brackets)
        if names is None:
            homeless.append(key)
            continue
        if ".downsample." in inner and layout.merge_order == "unfold":
            value = _concat_to_unfold(value)
        values = value.chunk(3) if len(names) == 3 else (value,)
        start = layout.prefix if whole else ""
        result.update({start + theirs: v for theirs, v in zip(names, values, strict=True)})
        if inner.endswith(TABLE) and layout.stores_index:
            index = _index(value, flat=layout.stores_index == "flat")
            result[start + names[0].removesuffix(TABLE) + "relative_position_index"] = index
    if homeless:
        raise ValueError(
            f"layout {name} ({layout.title}) has no place for {len(homeless)} of the weights "
            f"({shorten(homeless)})"
        )
    return {layout.wrapper + key: value.contiguous() for key, value in result.items()}


def shorten(names: list[str] | tuple[str, ...], most: int = 3) -> str:
    """The first few of a list of names."""
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])


def table_window(table: Tensor) -> int | None:
    """The window side whose relative positions fill a `((2*M - 1)**2, nH)` table, or None."""
    if table.ndim != 2:
        return None
    side = round(table.shape[0] ** 0.5)
    return (side + 1) // 2 if side % 2 and side * side == table.shape[0] else None


# ---------------------------------------------------------------------------------- recognising


def _recognise(state: Mapping[str, Tensor]) -> _Match:
    """The layout that explains the most keys of those that find all they need."""
    fitting = [match for match in _matches(state) if match.fits]
    if not fitting:
        raise ValueError(_describe_unknown(state))
    fewest = min(len(match.rest) for match in fitting)
    best = [match for match in fitting if len(match.rest) == fewest]
    first = best[0]
    for other in best[1:]:
        same_order = other.layout.merge_order == first.layout.merge_order
        if other.parts != first.parts or not same_order:
            raise ValueError(
                f"two layouts fit equally well: {first.describe()} and {other.describe()}"
            )
        # The same names; ours has no derived buffers, Microsoft's has. Swin-MLP has none to store.
        has_buffers = bool(first.derived) or not any(key.endswith(TABLE) for key in first.parts)
        if bool(other.layout.stores_index) == has_buffers != bool(first.layout.stores_index):
            first = other
    return first


def _matches(state: Mapping[str, Tensor]) -> list[_Match]:
    """The keys as each layout reads them."""
    matches = []
    for layout in KEY_MAPS.values():
        if layout.wrapper:
            continue  # taken off before
        prefixes = ("", layout.prefix) if layout.whole else ("",)
        for prefix in prefixes if layout.head_names is None else (layout.prefix,):
            match = _Match(layout, prefix)
            for key in state:
                _place(key, match)
            matches.append(match)
    return matches


def _place(key: str, match: _Match) -> None:
    """Note what one key is, as the layout reads it."""
    if key.rpartition(".")[2] in DERIVED:
        match.derived.append(key)
        return
    meant = match.layout.resolve_alias(key)
    inner = meant.removeprefix(match.prefix)
    ours = match.layout.find_ours(inner) if meant.startswith(match.prefix) else None
    if ours is None and (head := match.layout.find_our_head(meant)) is not None:
        if head[1] in match.heads.get(head[0], {}):
            match.rest.append(key)
        else:
            match.heads.setdefault(head[0], {})[head[1]] = key
    elif ours is None and match.layout.unused and key.startswith(match.layout.unused):
        match.derived.append(key)
    elif ours is None:
        match.rest.append(key)
    elif ours[1] in match.parts.get(ours[0], {}):
        match.rest.append(key)  # a second key for the same weights
    else:
        match.parts.setdefault(ours[0], {})[ours[1]] = key


def _stage(our_key: str) -> int:
    return int(our_key.split(".")[1])


def _describe_unknown(state: Mapping[str, Tensor]) -> str:
    keys = list(state)
    for sign, what in _FOREIGN.items():
        if any(sign in key for key in keys):
            return (
                f"its weights are those of {what}, which is not supported; only Swin V1 and "
                "Swin-MLP are"
            )
    return (
        f"no known layout fits its {len(keys)} keys ({shorten(keys)}); "
        f"known are {', '.join(KEY_MAPS)}"
    )


# ----------------------------------------------------------------------------------- renaming


def _rename(state: Mapping[str, Tensor], match: _Match) -> ConvertedState:
    layout, rest = match.layout, match.rest
    is_whole = bool(match.prefix) and bool(rest or match.heads)
    prefix = BACKBONE if is_whole else ""
    result: dict[str, Tensor] = {}
    for ours, parts in match.parts.items():
        values = [state[parts[part]] for part in sorted(parts)]
        value = values[0]
        if ".attn.qkv." in ours and layout.splits_qkv:
            value = _fuse(values, list(parts.values()))
        if ".downsample." in ours and layout.merge_order == "unfold":
            value = _unfold_to_concat(value, name=parts[0])
        result[prefix + ours] = value
    for ours, parts in match.heads.items():
        names = layout.find_their_head(ours) or ()
        values = [state[parts[part]] for part in sorted(parts)]
        result[ours] = values[0] if len(names) == 1 else _fuse(values, list(parts.values()))
    dropped = list(match.derived)
    if layout.drops_rest:
        dropped += rest
    else:
        result.update({_our_head(key, layout): state[key] for key in rest})
    return ConvertedState(layout, match.prefix, result, tuple(dropped))


def _fuse(values: list[Tensor], keys: list[str]) -> Tensor:
    """Query, key and value on top of each other."""
    shapes = [tuple(value.shape) for value in values]
    if len(values) != 3 or len(set(shapes)) != 1 or not shapes[0]:
        raise ValueError(
            f"query, key and value must come together in one shape, got {shapes} for {keys}"
        )
    return torch.cat(values)


def _rename_head(key: str, layout: KeyMap) -> str:
    for ours, theirs in layout.heads:
        key = key.replace(ours, theirs)
    return key


def _our_head(key: str, layout: KeyMap) -> str:
    for ours, theirs in layout.heads:
        key = key.replace(theirs, ours)
    return key


# --------------------------------------------------------------------------------- reordering


def _unfold_to_concat(value: Tensor, *, name: str) -> Tensor:
    """`(..., 4*C)`, channel by channel and row by row, to token by token and column by column."""
    channels, rest = divmod(value.shape[-1], 4) if value.ndim else (0, 1)
    if rest or not channels:
        raise ValueError(f"{name} must be (..., 4 * C) values, got shape {tuple(value.shape)}")
    split = value.unflatten(-1, (channels, 2, 2))  # (..., C, row, column)
    return split.movedim(-3, -1).transpose(-3, -2).flatten(-3)  # (..., column, row, C)


def _concat_to_unfold(value: Tensor) -> Tensor:
    """Undoes `_unfold_to_concat`."""
    channels = value.shape[-1] // 4
    split = value.unflatten(-1, (2, 2, channels))  # (..., column, row, C)
    return split.transpose(-3, -2).movedim(-1, -3).flatten(-3)  # (..., C, row, column)


def _index(table: Tensor, *, flat: bool) -> Tensor:
    """The buffer that says which row of the table a pair of tokens uses."""
    window = table_window(table)
    if window is None:
        raise ValueError(f"{table.shape[0]} rows are no square of an odd number")
    index = torch.from_numpy(relative_position_index(window))  # (L, L)
    return index.flatten() if flat else index
