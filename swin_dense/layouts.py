"""Under which names, and in which order, each framework stores a Swin Transformer.

One table per framework leads from our names, which are those of Microsoft's detection repository,
to its own. In a template `{stage}` counts stages and `{block}` blocks from 0; `{next}`, `{odd}` and
`{even}` stand for stage + 1, 2 * stage + 1 and 2 * stage + 2; what stands in brackets may be
absent.

Two things besides names differ. Some frameworks store query, key and value apart. And patch merging
reads the four tokens of a 2 x 2 patch in one of two orders, which no shape betrays: one token after
the other, column by column (`concat`), or channel by channel as `nn.Unfold` gives them (`unfold`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Literal

import torch
from torch import Tensor

from swin_dense.windows import relative_position_index

BACKBONE = "backbone."  # what our names of a whole model's backbone start with

# Buffers that some frameworks store though they follow from the window's or the image's size.
_DERIVED = ("relative_position_index", "attn_mask", "relative_coords_table")

_TABLE = "relative_position_bias_table"
_BLOCK = "layers.{stage}.blocks.{block}."
_OURS = {
    "patch_embed.proj": "patch_embed.proj",
    "patch_embed.norm": "patch_embed.norm",
    _BLOCK + "norm1": _BLOCK + "norm1",
    _BLOCK + "attn.qkv": _BLOCK + "attn.qkv",
    _BLOCK + "attn.proj": _BLOCK + "attn.proj",
    _BLOCK + "attn." + _TABLE: _BLOCK + "attn." + _TABLE,
    _BLOCK + "norm2": _BLOCK + "norm2",
    _BLOCK + "mlp.fc1": _BLOCK + "mlp.fc1",
    _BLOCK + "mlp.fc2": _BLOCK + "mlp.fc2",
    "layers.{stage}.downsample.norm": "layers.{stage}.downsample.norm",
    "layers.{stage}.downsample.reduction": "layers.{stage}.downsample.reduction",
    "norm{stage}": "norm{stage}",
    "norm": "norm",
    "head": "head",
}


@dataclass(frozen=True)
class Layout:
    """How one framework stores a Swin Transformer.

    Attributes:
        name: how `--to` and reports call it.
        title: whose names these are, in words.
        names: our templates to theirs; three of theirs for one of ours are query, key and value.
            What is not in it, the framework has no place for.
        merge_order: of patch merging, see the module's docstring.
        whole: whether it also stores whole models, their backbone under `backbone.`.
        parts: what a whole model may have beside its backbone; empty means anything.
        stores_index: whether the framework's own loader asks for `relative_position_index`.
        brackets: when what stands in brackets is written.
        wrapper: what every key starts with on top of all else.
        heads: pairs of (our part, their part) of the names of a whole model's heads.
        drops_rest: whether a file holds other networks beside the backbone, which are passed over.
    """

    name: str
    title: str
    names: Mapping[str, str | tuple[str, str, str]]
    merge_order: Literal["concat", "unfold"] = "concat"
    whole: bool = False
    parts: tuple[str, ...] = ()
    stores_index: Literal["square", "flat"] | None = None
    brackets: Literal["always", "without output norms"] = "always"
    wrapper: str = ""
    heads: tuple[tuple[str, str], ...] = ()
    drops_rest: bool = False

    @cached_property
    def patterns(self) -> tuple[tuple[re.Pattern[str], str, int], ...]:
        """Their names as patterns, with our template and its part (0 query, 1 key, 2 value)."""
        return tuple(
            (_compile(theirs), ours, part)
            for ours, names in self.names.items()
            for part, theirs in enumerate((names,) if isinstance(names, str) else names)
        )


def _prefixed(prefix: str, names: Mapping[str, str]) -> dict[str, str]:
    return {ours: prefix + theirs for ours, theirs in names.items()}


def _without(names: Mapping[str, str], *absent: str) -> dict[str, str]:
    return {ours: theirs for ours, theirs in names.items() if ours not in absent}


_MM_BLOCK = "stages.{stage}.blocks.{block}."
_MM = {
    "patch_embed.proj": "patch_embed.projection",
    "patch_embed.norm": "patch_embed.norm",
    _BLOCK + "norm1": _MM_BLOCK + "norm1",
    _BLOCK + "attn.qkv": _MM_BLOCK + "attn.w_msa.qkv",
    _BLOCK + "attn.proj": _MM_BLOCK + "attn.w_msa.proj",
    _BLOCK + "attn." + _TABLE: _MM_BLOCK + "attn.w_msa." + _TABLE,
    _BLOCK + "norm2": _MM_BLOCK + "norm2",
    _BLOCK + "mlp.fc1": _MM_BLOCK + "ffn.layers.0.0",
    _BLOCK + "mlp.fc2": _MM_BLOCK + "ffn.layers.1",
    "layers.{stage}.downsample.norm": "stages.{stage}.downsample.norm",
    "layers.{stage}.downsample.reduction": "stages.{stage}.downsample.reduction",
    "norm{stage}": "norm{stage}",
}
_TORCHVISION_BLOCK = "features.{odd}.{block}."
_TORCHVISION = {
    "patch_embed.proj": "features.0.0",
    "patch_embed.norm": "features.0.2",
    _BLOCK + "norm1": _TORCHVISION_BLOCK + "norm1",
    _BLOCK + "attn.qkv": _TORCHVISION_BLOCK + "attn.qkv",
    _BLOCK + "attn.proj": _TORCHVISION_BLOCK + "attn.proj",
    _BLOCK + "attn." + _TABLE: _TORCHVISION_BLOCK + "attn." + _TABLE,
    _BLOCK + "norm2": _TORCHVISION_BLOCK + "norm2",
    _BLOCK + "mlp.fc1": _TORCHVISION_BLOCK + "mlp.0",
    _BLOCK + "mlp.fc2": _TORCHVISION_BLOCK + "mlp.3",
    "layers.{stage}.downsample.norm": "features.{even}.norm",
    "layers.{stage}.downsample.reduction": "features.{even}.reduction",
    "norm": "norm",
    "head": "head",
}
_HF_BLOCK = "[swin.]encoder.layers.{stage}.blocks.{block}."
_HF = {
    "patch_embed.proj": "[swin.]embeddings.patch_embeddings.projection",
    "patch_embed.norm": "[swin.]embeddings.norm",
    _BLOCK + "norm1": _HF_BLOCK + "layernorm_before",
    _BLOCK + "attn.qkv": (
        _HF_BLOCK + "attention.q_proj",
        _HF_BLOCK + "attention.k_proj",
        _HF_BLOCK + "attention.v_proj",
    ),
    _BLOCK + "attn.proj": _HF_BLOCK + "attention.o_proj",
    _BLOCK + "attn." + _TABLE: _HF_BLOCK + "attention.relative_position_bias." + _TABLE,
    _BLOCK + "norm2": _HF_BLOCK + "layernorm_after",
    _BLOCK + "mlp.fc1": _HF_BLOCK + "mlp.fc1",
    _BLOCK + "mlp.fc2": _HF_BLOCK + "mlp.fc2",
    "layers.{stage}.downsample.norm": "[swin.]encoder.layers.{stage}.downsample.norm",
    "layers.{stage}.downsample.reduction": "[swin.]encoder.layers.{stage}.downsample.reduction",
    "norm{stage}": "hidden_states_norms.stage{next}",
    "norm": "[swin.]layernorm",
    "head": "classifier",
}
_HF_V4 = {
    **_HF,
    _BLOCK + "attn.qkv": (
        _HF_BLOCK + "attention.self.query",
        _HF_BLOCK + "attention.self.key",
        _HF_BLOCK + "attention.self.value",
    ),
    _BLOCK + "attn.proj": _HF_BLOCK + "attention.output.dense",
    _BLOCK + "attn." + _TABLE: _HF_BLOCK + "attention.self." + _TABLE,
    _BLOCK + "mlp.fc1": _HF_BLOCK + "intermediate.dense",
    _BLOCK + "mlp.fc2": _HF_BLOCK + "output.dense",
}
_WRAPPER = "module."
_HF_PARTS = ("decode_head", "auxiliary_head")
_HF_HEADS = ((".conv_seg.", ".classifier."), (".bn.", ".batch_norm."))

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout("swin_dense", "ours", _OURS, whole=True),
        Layout("microsoft", "Microsoft", _OURS, whole=True, stores_index="square"),
        Layout(
            "ddp",
            "Microsoft, saved from DistributedDataParallel",
            _OURS,
            whole=True,
            stores_index="square",
            wrapper=_WRAPPER,
        ),
        Layout(
            "moby",
            "Microsoft, self-supervised (MoBY)",
            _prefixed("encoder.", _without(_OURS, "norm{stage}")),
            stores_index="square",
            drops_rest=True,
        ),
        Layout(
            "detectron2",
            "detectron2",
            _prefixed("backbone.bottom_up.", _without(_OURS, "norm", "head")),
            stores_index="square",
        ),
        Layout(
            "timm",
            "timm",
            {
                **_without(_OURS, "norm{stage}"),
                "layers.{stage}.downsample.norm": "layers.{next}.downsample.norm",
                "layers.{stage}.downsample.reduction": "layers.{next}.downsample.reduction",
                "head": "head.fc",
            },
        ),
        Layout(
            "mm",
            "mmdetection and mmsegmentation",
            _MM,
            merge_order="unfold",
            whole=True,
            stores_index="square",
        ),
        Layout(
            "mmpretrain",
            "mmpretrain",
            {
                **_prefixed("backbone.", _without(_MM, "norm{stage}")),
                "norm": "backbone.norm3",
                "head": "head.fc",
            },
            merge_order="unfold",
            stores_index="square",
        ),
        Layout("torchvision", "torchvision", _TORCHVISION, stores_index="flat"),
        Layout(
            "huggingface",
            "transformers 5",
            _HF,
            whole=True,
            parts=_HF_PARTS,
            heads=_HF_HEADS,
        ),
        Layout(
            "huggingface_v4",
            "transformers 4, and the files of the Hugging Face hub",
            _HF_V4,
            whole=True,
            parts=_HF_PARTS,
            brackets="without output norms",
            heads=_HF_HEADS,
        ),
    )
}


@dataclass(frozen=True)
class Translation:
    """A file's weights under our names.

    Attributes:
        layout: whose names the file had.
        prefix: what its names start with on top of the layout's.
        state: under our names; a whole model's backbone under `backbone.`.
        dropped: their names of what was passed over: buffers that can be computed, other networks.
    """

    layout: Layout
    prefix: str
    state: dict[str, Tensor]
    dropped: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether there is a model around the backbone."""
        return any(key.startswith(BACKBONE) for key in self.state)


@dataclass
class _Match:
    """The keys of a state dict as one layout reads them."""

    layout: Layout
    prefix: str
    parts: dict[str, dict[int, str]] = field(default_factory=dict)  # our key -> part -> their key
    rest: list[str] = field(default_factory=list)
    derived: list[str] = field(default_factory=list)

    @property
    def fits(self) -> bool:
        """Whether a stem, a first block and a patch merging between any two stages are there."""
        needed = ("patch_embed.proj.weight", "layers.0.blocks.0.attn.qkv.weight")
        if not all(key in self.parts for key in needed):
            return False
        stages = {_stage(key) for key in self.parts if ".attn.qkv.weight" in key}
        merges = {_stage(key) for key in self.parts if "downsample.reduction" in key}
        return merges == set(range(len(stages) - 1))


def translate(state: Mapping[str, Tensor]) -> Translation:
    """Recognise the layout of a state dict from its keys and give it under our names.

    Raises:
        ValueError: no layout fits, or two do that disagree.
    """
    if state and all(key.startswith(_WRAPPER) for key in state):
        inner = translate({key.removeprefix(_WRAPPER): value for key, value in state.items()})
        plain = inner.layout.name in ("swin_dense", "microsoft")
        layout = LAYOUTS["ddp"] if plain else inner.layout
        dropped = tuple(_WRAPPER + key for key in inner.dropped)
        return Translation(layout, _WRAPPER + inner.prefix, inner.state, dropped)
    return _rename(state, _recognise(state))


def to_layout(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Give weights under our names in another layout; undoes `translate` to the bit.

    Args:
        state: under our names, a whole model's backbone under `backbone.`.
        name: a name in `LAYOUTS`.

    Raises:
        ValueError: unknown layout, or it has no place for some of the weights.
    """
    if name not in LAYOUTS:
        raise ValueError(f"unknown layout {name!r}; choose one of {', '.join(LAYOUTS)}")
    layout = LAYOUTS[name]
    whole = any(key.startswith(BACKBONE) for key in state)
    if whole and not layout.whole:
        raise ValueError(
            f"layout {name} ({layout.title}) stores backbones only, and this is a whole model; "
            "convert its backbone alone (--backbone-only)"
        )
    prefix = BACKBONE if whole else ""
    has_norms = any(re.fullmatch(rf"{prefix}norm\d+\.weight", key) for key in state)
    brackets = layout.brackets == "always" or not has_norms
    result: dict[str, Tensor] = {}
    homeless = []
    for key, value in state.items():
        inner = key.removeprefix(prefix)
        if whole and not key.startswith(prefix):
            if layout.parts and key.split(".")[0] not in layout.parts:
                homeless.append(key)
            result[_rename_head(key, layout)] = value
            continue
        names = _their_keys(inner, layout, brackets=brackets)
        if names is None:
            homeless.append(key)
            continue
        if ".downsample." in inner and layout.merge_order == "unfold":
            value = _concat_to_unfold(value)
        values = value.chunk(3) if len(names) == 3 else (value,)
        result.update({prefix + theirs: v for theirs, v in zip(names, values, strict=True)})
        if inner.endswith(_TABLE) and layout.stores_index:
            index = _index(value, flat=layout.stores_index == "flat")
            result[prefix + names[0].removesuffix(_TABLE) + "relative_position_index"] = index
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
                f"two layouts fit equally well: {first.layout.name} ({first.layout.title}) and "
                f"{other.layout.name} ({other.layout.title})"
            )
        if (
            bool(other.layout.stores_index)
            == bool(first.derived)
            != bool(first.layout.stores_index)
        ):
            first = other  # the same names; ours has no derived buffers, Microsoft's has
    return first


def _matches(state: Mapping[str, Tensor]) -> list[_Match]:
    matches = []
    for layout in LAYOUTS.values():
        if layout.wrapper:
            continue  # taken off before
        for prefix in ("", BACKBONE) if layout.whole else ("",):
            match = _Match(layout, prefix)
            for key in state:
                _place(key, match)
            matches.append(match)
    return matches


def _place(key: str, match: _Match) -> None:
    """Note what one key is, as the layout reads it."""
    if key.rpartition(".")[2] in _DERIVED:
        match.derived.append(key)
        return
    inner = key.removeprefix(match.prefix)
    ours = _our_key(inner, match.layout) if key.startswith(match.prefix) else None
    if ours is None:
        match.rest.append(key)
    elif ours[1] in match.parts.get(ours[0], {}):
        match.rest.append(key)  # a second key for the same weights
    else:
        match.parts.setdefault(ours[0], {})[ours[1]] = key


def _our_key(key: str, layout: Layout) -> tuple[str, int] | None:
    """Our key for one of theirs, and which of query, key and value it is."""
    module, _, leaf = key.rpartition(".")
    if leaf == _TABLE:
        module, suffix = key, ""
    elif leaf in ("weight", "bias"):
        suffix = "." + leaf
    else:
        return None
    for pattern, ours, part in layout.patterns:
        found = pattern.fullmatch(module)
        if found is None:
            continue
        numbers = found.groupdict()
        stage = _stage_of(numbers)
        if stage is None and "{stage}" in ours:
            return None
        return ours.format(stage=stage, block=numbers.get("block")) + suffix, part
    return None


def _stage_of(numbers: Mapping[str, str | None]) -> int | None:
    """The stage that a template's number stands for."""
    for name, (factor, offset) in _COUNTERS.items():
        if numbers.get(name) is not None:
            stage, remainder = divmod(int(numbers[name] or 0) - offset, factor)
            return stage if remainder == 0 and stage >= 0 else None
    return None


_COUNTERS = {"stage": (1, 0), "next": (1, 1), "odd": (2, 1), "even": (2, 2)}  # factor, offset


@cache
def _compile(template: str) -> re.Pattern[str]:
    pattern = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>\\d{1,4})", pattern)
    return re.compile(re.sub(r"\\\[(.*?)\\\]", r"(?:\1)?", pattern))


def _stage(our_key: str) -> int:
    return int(our_key.split(".")[1])


def _describe_unknown(state: Mapping[str, Tensor]) -> str:
    keys = list(state)
    for sign, what in _FOREIGN.items():
        if any(sign in key for key in keys):
            return f"its weights are those of {what}, which is not supported; only Swin V1 is"
    return (
        f"no known layout fits its {len(keys)} keys ({shorten(keys)}); "
        f"known are {', '.join(LAYOUTS)}"
    )


_FOREIGN = {
    "logit_scale": "Swin V2",
    "cpb_mlp": "Swin V2",
    "spatial_mlp": "Swin-MLP",
}


# ----------------------------------------------------------------------------------- renaming


def _rename(state: Mapping[str, Tensor], match: _Match) -> Translation:
    layout, rest = match.layout, match.rest
    is_whole = bool(match.prefix) and bool(rest)
    prefix = BACKBONE if is_whole else ""
    result: dict[str, Tensor] = {}
    for ours, parts in match.parts.items():
        values = [state[parts[part]] for part in sorted(parts)]
        num_parts = 3 if ".attn.qkv" in ours and not isinstance(_qkv(layout), str) else 1
        if len(values) != num_parts:
            raise ValueError(f"query, key and value must come together, got {list(parts.values())}")
        value = torch.cat(values) if num_parts == 3 else values[0]
        if ".downsample." in ours and layout.merge_order == "unfold":
            value = _unfold_to_concat(value)
        result[prefix + ours] = value
    dropped = list(match.derived)
    if layout.drops_rest:
        dropped += rest
    else:
        result.update({_our_head(key, layout): state[key] for key in rest})
    return Translation(layout, match.prefix, result, tuple(dropped))


def _qkv(layout: Layout) -> str | tuple[str, str, str]:
    return layout.names[_BLOCK + "attn.qkv"]


def _their_keys(our_key: str, layout: Layout, *, brackets: bool) -> tuple[str, ...] | None:
    """Their key for one of ours, or three for query, key and value; None if they have no place."""
    found = _our_key(our_key, LAYOUTS["swin_dense"])
    if found is None:
        return None
    module = our_key if our_key.endswith(_TABLE) else our_key.rpartition(".")[0]
    suffix = our_key.removeprefix(module)
    for pattern, ours, _ in LAYOUTS["swin_dense"].patterns:
        match = pattern.fullmatch(module)
        if match is None or ours not in layout.names:
            continue
        names = layout.names[ours]
        numbers = {name: int(value) for name, value in match.groupdict().items()}
        stage = numbers.get("stage", 0)
        counters = {name: factor * stage + offset for name, (factor, offset) in _COUNTERS.items()}
        return tuple(
            re.sub(r"\[(.*?)\]", r"\1" if brackets else "", theirs).format(
                **counters, block=numbers.get("block")
            )
            + suffix
            for theirs in ((names,) if isinstance(names, str) else names)
        )
    return None


def _rename_head(key: str, layout: Layout) -> str:
    for ours, theirs in layout.heads:
        key = key.replace(ours, theirs)
    return key


def _our_head(key: str, layout: Layout) -> str:
    for ours, theirs in layout.heads:
        key = key.replace(theirs, ours)
    return key


# --------------------------------------------------------------------------------- reordering


def _unfold_to_concat(value: Tensor) -> Tensor:
    """`(..., 4*C)`, channel by channel and row by row, to token by token and column by column."""
    channels = value.shape[-1] // 4
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
    index = relative_position_index(window, torch.device("cpu"))  # (L, L)
    return index.flatten() if flat else index.clone()
