"""A model's stages and parts at a size, as plain data and in words."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from swin_dense.backbone import SwinTransformer
from swin_dense.configs import BackboneConfig, ShiftedWindowConfig, SwinMLPConfig
from swin_dense.heads.whole_model import Model
from swin_dense.tools.layers.counting import COUNTED, Counts, count_layers
from swin_dense.tools.layers.passes import default_size
from swin_dense.windowing.windows import cut_map, find_shift

_LONGEST = 8192  # px of a side: the windows of a map are planned for each of its tokens


def summarise(build: Callable[[], nn.Module], size: tuple[int, int] | None) -> dict[str, Any]:
    """Count a model's layers.

    Args:
        build: makes the model; it is called on torch's `meta` device.
        size: (height, width) of the image, px; None: `default_size`.

    Returns:
        `size`, `padded_size`, `counted`, `note`, `parameters`, `multiply_adds`; `parts`, the
        modules of a whole model with `name`, `parameters`, `multiply_adds` and `share` of it all;
        `stages` of the backbone with `name`, `stride`, `tokens` (height and width), `channels`,
        `blocks`, `heads`, `window`, `windows` (of blocks that are not shifted, and that are),
        `parameters`, `multiply_adds` and `share`, where None is what a backbone has not; `tree`.

    Raises:
        ValueError: the model cannot be built, or the size is none.
    """
    with torch.device("meta"):
        module = build()
    size = size or default_size(module)
    if not 1 <= min(size) <= max(size) <= _LONGEST:
        raise ValueError(f"size must be in 1..{_LONGEST} px, got {size[0]} x {size[1]}")
    counts = count_layers(lambda: module, size)
    total = counts.root.multiply_adds
    stages = list(_stages(module, counts))
    for entry in stages:
        entry["share"] = _share(entry["multiply_adds"], total)
    parts = [
        {
            "name": layer.name,
            "parameters": layer.parameters,
            "multiply_adds": layer.multiply_adds,
            "share": _share(layer.multiply_adds, total),
        }
        for layer in counts.root.children
        if isinstance(module, Model)
    ]
    return {
        "size": list(counts.size),
        "padded_size": list(counts.padded),
        "counted": COUNTED,
        "note": counts.note,
        "parameters": counts.root.parameters,
        "multiply_adds": total,
        "parts": parts,
        "stages": stages,
        "tree": dataclasses.asdict(counts.root),
    }


def _share(count: int | None, total: int) -> float | None:
    return None if count is None else count / max(total, 1)


def _stages(module: nn.Module, counts: Counts) -> Iterator[dict[str, Any]]:
    """The stages of a hierarchy of windows; the levels of another backbone."""
    backbone: Any = getattr(module, "backbone", module)
    prefix = "" if backbone is module else "backbone."
    config: BackboneConfig = backbone.config
    if not (isinstance(backbone, SwinTransformer) and isinstance(config, ShiftedWindowConfig)):
        levels = counts.outputs["backbone" if prefix else ""]
        for place, level in enumerate(levels):
            tokens, stride = [int(side) for side in level.shape[-2:]], backbone.strides[place]
            yield _stage(f"level {place}", stride, tokens, backbone.channels[place])
        return
    layers = dict(backbone.named_modules())
    for i, depth in enumerate(config.depths):
        name = f"layers.{i}"
        ((_, height, width),) = counts.outputs[prefix + name].sizes
        stage = _stage(
            f"stage {i + 1}",
            config.patch_size * 2**i,
            [height, width],
            config.stage_channels[i],
        )
        stage |= {
            "blocks": depth,
            "heads": config.num_heads[i],
            "window": config.window_size,
            "windows": _count_windows(config, (height, width)),
            "parameters": sum(value.numel() for value in layers[name].parameters()),
            "multiply_adds": counts.totals[prefix + name],
        }
        yield stage


def _stage(name: str, stride: int, tokens: Sequence[int], channels: int) -> dict[str, Any]:
    unknown = ("blocks", "heads", "window", "windows", "parameters", "multiply_adds")
    named = {"name": name, "stride": stride, "tokens": list(tokens), "channels": channels}
    return named | dict.fromkeys(unknown)


def _count_windows(config: ShiftedWindowConfig, size: tuple[int, int]) -> list[int]:
    """Windows of a map in a block that is not shifted, and in one that is."""
    window = config.window_size
    shift = find_shift(size, window=window, shift_narrow_maps=config.shift_narrow_maps)
    by_padding = isinstance(config, SwinMLPConfig)
    maps = (cut_map(*size, window=window, shift=some, by_padding=by_padding) for some in (0, shift))
    return [len(found.kinds) for found in maps]


# ----------------------------------------------------------------------------------------- words

STAGE_COLUMNS = (
    *("", "stride", "tokens", "channels", "blocks", "heads", "windows", "parameters"),
    *("multiply-adds", "share"),
)
TREE_COLUMNS = ("", "gives", "parameters", "multiply-adds", "share")


def headline(facts: dict[str, Any]) -> str:
    """Size, parameters and multiply-adds, in a line."""
    height, width = facts["size"]
    padded = (
        ""
        if facts["padded_size"] == facts["size"]
        else (" (padded to {} x {})".format(*facts["padded_size"]))
    )
    return (
        f"{height} x {width} px{padded}: {short(facts['parameters'])} parameters, "
        f"{short(facts['multiply_adds'])} multiply-adds"
    )


def stage_rows(facts: dict[str, Any]) -> list[tuple[str, ...]]:
    """The rows of `STAGE_COLUMNS`: stages, then the parts of the whole model, then all."""
    rows: list[tuple[str, ...]] = []
    for stage in facts["stages"]:
        height, width = stage["tokens"]
        rows.append(
            (
                stage["name"],
                str(stage["stride"]),
                f"{height} x {width} = {height * width:,}",
                f"{stage['channels']:,}",
                *("" if stage[key] is None else str(stage[key]) for key in ("blocks", "heads")),
                _windows_text(stage),
                *(short(stage[key]) for key in ("parameters", "multiply_adds")),
                percent(stage["share"]),
            )
        )
    whole = {"name": "all", "share": 1.0 if facts["multiply_adds"] else None}
    whole |= {key: facts[key] for key in ("parameters", "multiply_adds")}
    for part in (*facts["parts"], whole):
        numbers = (short(part["parameters"]), short(part["multiply_adds"]), percent(part["share"]))
        rows.append((part["name"], *[""] * 6, *numbers))
    return rows


def _windows_text(stage: dict[str, Any]) -> str:
    if stage["windows"] is None:
        return ""
    regular, shifted = stage["windows"]
    number = f"{regular:,}" if regular == shifted else f"{regular:,} or {shifted:,}"
    return f"{number} of {stage['window']} x {stage['window']}"


def tree_rows(facts: dict[str, Any]) -> list[tuple[str, ...]]:
    """The rows of `TREE_COLUMNS`, names with the indentation of the tree."""
    rows: list[tuple[str, ...]] = []

    def add(layer: dict[str, Any], depth: int) -> None:
        many = f"{layer['count']} x " if layer["count"] > 1 else ""
        name = f"{layer['name']} ({many}{layer['kind']})" if layer["name"] else layer["kind"]
        share = _share(layer["multiply_adds"], facts["multiply_adds"])
        rows.append(
            (
                "  " * depth + name,
                layer["output"],
                short(layer["parameters"]),
                short(layer["multiply_adds"]),
                percent(share),
            )
        )
        for child in layer["children"]:
            add(child, depth + 1)

    add(facts["tree"], 0)
    return rows


def describe_layers(facts: dict[str, Any]) -> str:
    """The tree, the stages and what is counted, as lines."""
    lines = [headline(facts), "", *_aligned([TREE_COLUMNS, *tree_rows(facts)], num_texts=2)]
    lines += ["", *_aligned([STAGE_COLUMNS, *stage_rows(facts)], num_texts=1)]
    lines += ["", RUN_NOTE, f"Counted are {facts['counted']}."]
    return "\n".join([*lines, facts["note"]] if facts["note"] else lines)


RUN_NOTE = "Below a run of equal modules (6 x ...) stands one of them."


def _aligned(rows: Sequence[Sequence[str]], *, num_texts: int) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < num_texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def short(number: int | None) -> str:
    """A number with its unit: 28.3 M; "" for None."""
    if number is None:
        return ""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "K")):
        if number >= unit:
            digits = 2 if number < 10 * unit else 1
            return f"{number / unit:.{digits}f} {name}"
    return str(number)


def percent(share: float | None) -> str:
    """A share of the whole: 12.5 %."""
    return "" if share is None else f"{100 * share:.1f} %"
