"""Names and order under which each framework stores a Swin Transformer, or a Swin-MLP.

One table per framework leads from our names, which are those of Microsoft's detection repository,
to its own. In a template `{stage}` counts stages and `{block}` blocks from 0; `{next}`, `{odd}` and
`{even}` stand for stage + 1, 2 * stage + 1 and 2 * stage + 2; what stands in brackets may be
absent, in angle brackets only when it is read.

Two things besides names differ. Some frameworks store query, key and value apart. And patch merging
reads the four tokens of a 2 x 2 patch in one of two orders, which no shape betrays: one token after
the other, column by column (`concat`), or channel by channel as `nn.Unfold` gives them (`unfold`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from swin_dense.checkpoints.mask2former_keys import (
    HF_ALIASES,
    HF_BACKBONE,
    HF_HEADS,
    META_ALIASES,
    META_HEADS,
    UNUSED,
    HeadNames,
)

BACKBONE = "backbone."  # prefix of our names of a whole model's backbone

# Buffers that some frameworks store though they follow from the window's or the image's size.
DERIVED = ("relative_position_index", "attn_mask", "relative_coords_table")

TABLE = "relative_position_bias_table"
SPATIAL_MLP = ".spatial_mlp."  # in the names of a Swin-MLP's weights, which have no table
WRAPPER = "module."  # of DistributedDataParallel

_BLOCK = "layers.{stage}.blocks.{block}."
_OURS = {
    "patch_embed.proj": "patch_embed.proj",
    "patch_embed.norm": "patch_embed.norm",
    _BLOCK + "norm1": _BLOCK + "norm1",
    _BLOCK + "attn.qkv": _BLOCK + "attn.qkv",
    _BLOCK + "attn.proj": _BLOCK + "attn.proj",
    _BLOCK + "attn." + TABLE: _BLOCK + "attn." + TABLE,
    _BLOCK + "norm2": _BLOCK + "norm2",
    _BLOCK + "mlp.fc1": _BLOCK + "mlp.fc1",
    _BLOCK + "mlp.fc2": _BLOCK + "mlp.fc2",
    "layers.{stage}.downsample.norm": "layers.{stage}.downsample.norm",
    "layers.{stage}.downsample.reduction": "layers.{stage}.downsample.reduction",
    "norm{stage}": "norm{stage}",
    "norm": "norm",
    "head": "head",
}
# Swin-MLP's blocks have this in place of `attn`; it was released under these names alone.
_OURS_AND_MLP = {**_OURS, _BLOCK + "spatial_mlp": _BLOCK + "spatial_mlp"}


@dataclass(frozen=True)
class KeyMap:
    """Names and order of a Swin Transformer in the files of one framework.

    Attributes:
        name: layout as in `--to` and in reports.
        title: owner of these names, in words.
        names: our templates to theirs; three of theirs for one of ours are query, key and value.
            What is not in it, the framework has no place for.
        merge_order: of patch merging, see the module's docstring.
        whole: true if it also stores whole models, their backbone under `backbone.`.
        parts: modules that a whole model may have beside its backbone; empty means anything.
        stores_index: shape of the `relative_position_index` that the framework's loader asks for;
            None if it asks for none.
        brackets: condition under which names in brackets are written.
        wrapper: prefix of every key on top of all else.
        heads: pairs of (our part, their part) of the names of a whole model's heads.
        head_names: our names of the heads' weights to theirs, as templates, three of theirs for
            query, key and value; where it is given, the layout is of whole models of one kind.
        prefix: of the backbone's names in a whole model.
        aliases: pairs of (beginning of a name, the one that is meant).
        unused: beginnings of the names of what is passed over.
        drops_rest: true if the rest of a file beside the backbone is passed over: other networks,
            heads that we do not have.
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
    head_names: HeadNames | None = None
    prefix: str = BACKBONE
    aliases: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()
    drops_rest: bool = False

    def find_ours(self, key: str) -> tuple[str, int] | None:
        """Our key for one of theirs, and its part (0 query, 1 key, 2 value); None if unknown."""
        module, suffix = _split(key)
        for pattern, ours, part in self._patterns:
            found = pattern.fullmatch(module)
            if found is None or suffix is None:
                continue
            numbers = found.groupdict()
            stage = _read_stage(numbers)
            if stage is None and "{stage}" in ours:
                return None
            return ours.format(stage=stage, block=numbers.get("block")) + suffix, part
        return None

    def find_theirs(self, key: str, *, with_brackets: bool = True) -> tuple[str, ...] | None:
        """Their key for one of ours, or three for query, key and value; None without a place."""
        module, suffix = _split(key)
        for pattern, ours in _OUR_PATTERNS:
            found = pattern.fullmatch(module)
            if found is None or suffix is None or ours not in self.names:
                continue
            stage = int(found.groupdict().get("stage") or 0)
            numbers = {name: factor * stage + add for name, (factor, add) in _COUNTERS.items()}
            names = self.names[ours]
            return tuple(
                _fill(template, with_brackets).format(
                    **numbers, block=found.groupdict().get("block")
                )
                + suffix
                for template in _as_tuple(names)
            )
        return None

    def find_our_head(self, key: str) -> tuple[str, int] | None:
        """As `find_ours`, for a weight of the heads in `head_names`."""
        for pattern, ours, part in self._head_patterns:
            if found := pattern.fullmatch(key):
                return ours.format(**found.groupdict()), part
        return None

    def find_their_head(self, key: str) -> tuple[str, ...] | None:
        """As `find_theirs`, for a weight of the heads in `head_names`."""
        for pattern, theirs in self._our_head_patterns:
            if found := pattern.fullmatch(key):
                return tuple(name.format(**found.groupdict()) for name in theirs)
        return None

    def resolve_alias(self, key: str) -> str:
        """The name that is meant by one that may have another beginning."""
        for beginning, meant in self.aliases:
            if key.startswith(beginning):
                return meant + key.removeprefix(beginning)
        return key

    @property
    def splits_qkv(self) -> bool:
        """True if query, key and value are stored apart."""
        return not isinstance(self.names[_BLOCK + "attn.qkv"], str)

    @cached_property
    def _head_patterns(self) -> tuple[tuple[re.Pattern[str], str, int], ...]:
        return tuple(
            (_compile(theirs), ours, part)
            for ours, names in (self.head_names or {}).items()
            for part, theirs in enumerate(_as_tuple(names))
        )

    @cached_property
    def _our_head_patterns(self) -> tuple[tuple[re.Pattern[str], Sequence[str]], ...]:
        return tuple(
            (_compile(ours), _as_tuple(names)) for ours, names in (self.head_names or {}).items()
        )

    @cached_property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], str, int], ...]:
        return tuple(
            (_compile(theirs), ours, part)
            for ours, names in self.names.items()
            for part, theirs in enumerate(_as_tuple(names))
        )


def _as_tuple(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


# Numbers of a template for a stage: factor * stage + addend.
_COUNTERS = {"stage": (1, 0), "next": (1, 1), "odd": (2, 1), "even": (2, 2)}


def _compile(template: str) -> re.Pattern[str]:
    """A template as a pattern whose groups are its numbers."""
    pattern = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    pattern = re.sub(r"(?:\\\[|<)(.*?)(?:\\\]|>)", r"(?:\1)?", pattern)
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>\\d{1,4})", pattern))


def _fill(template: str, with_brackets: bool) -> str:
    """A template with or without what stands in brackets."""
    template = re.sub(r"\[(.*?)\]", r"\1" if with_brackets else "", template)
    return re.sub(r"[<>]", "", template)


_OUR_PATTERNS = tuple((_compile(template), template) for template in _OURS_AND_MLP)


def _split(key: str) -> tuple[str, str | None]:
    """The part of a key that a template names, and the rest; None for no weight of a table."""
    module, dot, leaf = key.rpartition(".")
    if leaf == TABLE:
        return key, ""
    return module, dot + leaf if leaf in ("weight", "bias") else None


def _read_stage(numbers: Mapping[str, str | None]) -> int | None:
    """The stage that a template's number stands for."""
    for name, (factor, addend) in _COUNTERS.items():
        if (number := numbers.get(name)) is not None:
            stage, remainder = divmod(int(number) - addend, factor)
            return stage if remainder == 0 and stage >= 0 else None
    return None


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
    _BLOCK + "attn." + TABLE: _MM_BLOCK + "attn.w_msa." + TABLE,
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
    _BLOCK + "attn." + TABLE: _TORCHVISION_BLOCK + "attn." + TABLE,
    _BLOCK + "norm2": _TORCHVISION_BLOCK + "norm2",
    _BLOCK + "mlp.fc1": _TORCHVISION_BLOCK + "mlp.0",
    _BLOCK + "mlp.fc2": _TORCHVISION_BLOCK + "mlp.3",
    "layers.{stage}.downsample.norm": "features.{even}.norm",
    "layers.{stage}.downsample.reduction": "features.{even}.reduction",
    "norm": "norm",
    "head": "head",
}
_HF_BLOCK = "[swin.]encoder.layers.{stage}.blocks.{block}."
_HF: dict[str, str | tuple[str, str, str]] = {
    "patch_embed.proj": "[swin.]embeddings.patch_embeddings.projection",
    "patch_embed.norm": "[swin.]embeddings.norm",
    _BLOCK + "norm1": _HF_BLOCK + "layernorm_before",
    _BLOCK + "attn.qkv": (
        _HF_BLOCK + "attention.q_proj",
        _HF_BLOCK + "attention.k_proj",
        _HF_BLOCK + "attention.v_proj",
    ),
    _BLOCK + "attn.proj": _HF_BLOCK + "attention.o_proj",
    _BLOCK + "attn." + TABLE: _HF_BLOCK + "attention.relative_position_bias." + TABLE,
    _BLOCK + "norm2": _HF_BLOCK + "layernorm_after",
    _BLOCK + "mlp.fc1": _HF_BLOCK + "mlp.fc1",
    _BLOCK + "mlp.fc2": _HF_BLOCK + "mlp.fc2",
    "layers.{stage}.downsample.norm": "[swin.]encoder.layers.{stage}.downsample.norm",
    "layers.{stage}.downsample.reduction": "[swin.]encoder.layers.{stage}.downsample.reduction",
    "norm{stage}": "hidden_states_norms.stage{next}",
    "norm": "<swin.>layernorm",
    "head": "classifier",
}
_HF_V4: dict[str, str | tuple[str, str, str]] = {
    **_HF,
    _BLOCK + "attn.qkv": (
        _HF_BLOCK + "attention.self.query",
        _HF_BLOCK + "attention.self.key",
        _HF_BLOCK + "attention.self.value",
    ),
    _BLOCK + "attn.proj": _HF_BLOCK + "attention.output.dense",
    _BLOCK + "attn." + TABLE: _HF_BLOCK + "attention.self." + TABLE,
    _BLOCK + "mlp.fc1": _HF_BLOCK + "intermediate.dense",
    _BLOCK + "mlp.fc2": _HF_BLOCK + "output.dense",
}
_HF_BACKBONE, _HF_V4_BACKBONE = (
    {ours: theirs for ours, theirs in names.items() if ours != "head"} for names in (_HF, _HF_V4)
)
_HF_PARTS = ("decode_head", "auxiliary_head")
_HF_HEADS = ((".conv_seg.", ".classifier."), (".bn.", ".batch_norm."))

KEY_MAPS: dict[str, KeyMap] = {
    layout.name: layout
    for layout in (
        KeyMap("swin_dense", "ours", _OURS_AND_MLP, whole=True),
        KeyMap("microsoft", "Microsoft", _OURS_AND_MLP, whole=True, stores_index="square"),
        KeyMap(
            "ddp",
            "Microsoft, saved from DistributedDataParallel",
            _OURS_AND_MLP,
            whole=True,
            stores_index="square",
            wrapper=WRAPPER,
        ),
        KeyMap(
            "moby",
            "Microsoft, self-supervised (MoBY)",
            _prefixed("encoder.", _without(_OURS, "norm{stage}")),
            stores_index="square",
            drops_rest=True,
        ),
        KeyMap(
            "detectron2",
            "detectron2",
            _prefixed("backbone.bottom_up.", _without(_OURS, "norm", "head")),
            stores_index="square",
            drops_rest=True,
        ),
        KeyMap(
            "timm",
            "timm",
            {
                **_without(_OURS, "norm{stage}"),
                "layers.{stage}.downsample.norm": "layers.{next}.downsample.norm",
                "layers.{stage}.downsample.reduction": "layers.{next}.downsample.reduction",
                "head": "head.fc",
            },
        ),
        KeyMap(
            "mm",
            "mmdetection and mmsegmentation",
            _MM,
            merge_order="unfold",
            whole=True,
            stores_index="square",
        ),
        KeyMap(
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
        KeyMap("torchvision", "torchvision", _TORCHVISION, stores_index="flat"),
        KeyMap(
            "huggingface",
            "transformers 5",
            _HF,
            whole=True,
            parts=_HF_PARTS,
            heads=_HF_HEADS,
        ),
        KeyMap(
            "huggingface_v4",
            "transformers 4, and the files of the Hugging Face hub",
            _HF_V4,
            whole=True,
            parts=_HF_PARTS,
            brackets="without output norms",
            heads=_HF_HEADS,
        ),
        KeyMap(
            "mask2former",
            "Meta's Mask2Former",
            _without(_OURS, "norm", "head"),
            whole=True,
            stores_index="square",
            head_names=META_HEADS,
            aliases=META_ALIASES,
            unused=UNUSED,
        ),
        KeyMap(
            "huggingface_mask2former",
            "transformers' Mask2Former",
            _HF_V4_BACKBONE,
            whole=True,
            brackets="without output norms",
            head_names=HF_HEADS,
            prefix=HF_BACKBONE,
            aliases=HF_ALIASES,
            unused=UNUSED,
        ),
        KeyMap(
            "huggingface5_mask2former",
            "Mask2Former in the memory of transformers 5",
            _HF_BACKBONE,
            whole=True,
            brackets="without output norms",
            head_names=HF_HEADS,
            prefix=HF_BACKBONE,
            aliases=HF_ALIASES,
            unused=UNUSED,
        ),
    )
}
