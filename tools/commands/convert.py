"""`swin-dense convert`: a weights file under other names, or data in a published layout."""

import os
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import tyro

from swin_dense.checkpoints.download import find_source
from swin_dense.checkpoints.key_maps import BACKBONE, KEY_MAPS
from swin_dense.tools.flags import document_flags, make_options
from swin_dense.tools.printable import write_line

if TYPE_CHECKING:
    from torch import Tensor, nn

    from swin_dense.checkpoints.containers import Checkpoint
    from swin_dense.checkpoints.conversion import ConvertedState

LayoutName = Literal[
    "swin_dense",
    "microsoft",
    "ddp",
    "moby",
    "detectron2",
    "timm",
    "mm",
    "mmpretrain",
    "torchvision",
    "huggingface",
    "huggingface_v4",
    "mask2former",
    "huggingface_mask2former",
    "huggingface5_mask2former",
]


DataLayoutName = Literal["coco", "ade20k", "coco_panoptic", "image_folder"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write FILE in another layout as OUT: a weights file, where the way back gives the same bits,
    or a folder of data."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """Weights file, the name of a published one, or a folder of data."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """File to write: .safetensors, .pth, .pt or .bin; .pkl for detectron2 and mask2former.
    For data, a new folder."""
    to: LayoutName | DataLayoutName
    """Whose names to use for weights; the published layout for data."""
    backbone_only: bool = False
    """Leave out heads, and norms that the layout has no place for."""
    format: str | None = None
    """Layout of a folder of data, where several fit; None: recognised from it."""
    val_fraction: float | None = None
    """Share of a data set's images to write as its validation split, 0..1."""
    val_list: Path | None = None
    """File with the names of those images instead, one a line."""


@document_flags(Options)
def convert(file: str | PathLike[str], out: str | PathLike[str], **flags: Any) -> Path:
    """Write FILE in another layout as OUT: `convert(FILE, OUT, to="timm")`; gives `OUT`.

    `flags` are those of `swin-dense convert`, with underscores; raises as `convert_file` and
    `convert_folder`.
    """
    options = make_options(Options, {"file": file, "out": out, **flags})
    _convert(options)
    return options.out


def run(options: Options) -> None:
    """Convert, and say what was left out.

    Raises:
        ValueError: the input cannot be read, or the layout has no place for it.
        FileNotFoundError: there is no such file.
    """
    for line in _convert(options):
        write_line(line)
    write_line(str(options.out), sys.stdout)


def _convert(options: Options) -> list[str]:
    """Convert; gives what there is to say."""
    written_as = get_args(DataLayoutName)
    if options.file.is_dir():
        if options.to not in written_as:
            raise ValueError(
                f"--to must be {' or '.join(written_as)} for a folder of data, got {options.to}"
            )
        return [convert_folder(options)]
    if options.to in written_as:
        raise ValueError(f"--to {options.to} is for a folder of data, got {options.file}")
    for name in ("format", "val_fraction", "val_list"):
        if getattr(options, name) is not None:
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag} is for a folder of data, got {options.file}")
    left_out = convert_file(
        options.file, options.out, layout=options.to, backbone_only=options.backbone_only
    )
    if not left_out:
        return []
    from swin_dense.checkpoints.conversion import shorten

    return [f"left out: {len(left_out)} ({shorten(left_out, most=8)})"]


def convert_folder(options: Options) -> str:
    """Write the data of a folder in the published layout of their kind.

    Returns:
        A line about what was read.

    Raises:
        ValueError: the folder has no such data, or they have faults, or OUT is not empty.
        FileNotFoundError: a file is missing.
    """
    from swin_dense.tools.report.folders.table import find_folder_kinds

    if options.backbone_only:
        raise ValueError(f"--backbone-only is for weights, got the folder {options.file}")
    kinds = [
        kind
        for kind in find_folder_kinds(options.file, options.format)
        if kind.written_as == options.to
    ]
    if not kinds:
        raise ValueError(f"{options.file} has no data that are written as {options.to}")
    line = kinds[0].describe(options.file, options.format).line
    kinds[0].write(options.file, options.out, options)
    return line


def convert_file(
    file: Path, out: Path, *, layout: str, backbone_only: bool = False
) -> tuple[str, ...]:
    """Write a weights file in another layout.

    A whole model in our own layout gets its config, class names and category ids; other layouts get
    the class names where their own files have them.

    Args:
        file: any file that `load_weights` reads.
        out: what to write; its suffix says the container.
        layout: a name in `key_maps.KEY_MAPS`.
        backbone_only: leave out heads, and norms that the layout has no place for.

    Returns:
        Our names of the weights that were left out.

    Raises:
        ValueError: the file cannot be read, the layout has no place for its weights, a weight is
            nan, infinite or beyond any trained one, or the suffix is not one of the layout's.
        FileNotFoundError: there is no such file.
    """
    _check_suffix(out, layout)
    find_source(file)

    from swin_dense.checkpoints.classification.whole_classifiers import (
        bare_classifier,
        whole_classifier,
    )
    from swin_dense.checkpoints.containers import read_checkpoint
    from swin_dense.checkpoints.conversion import convert_checkpoint, to_layout
    from swin_dense.checkpoints.loading import check_values
    from swin_dense.heads.checkpoints import from_checkpoint

    checkpoint = read_checkpoint(file)
    converted = convert_checkpoint(checkpoint)
    if layout == "swin_dense" and not backbone_only:
        converted = whole_classifier(converted)
    else:
        converted = bare_classifier(converted)
    state = converted.state
    left_out: list[str] = []
    if backbone_only:
        state, left_out = _take_backbone(converted, layout)
    check_values(state, source=checkpoint.source)
    is_our_model = layout == "swin_dense" and converted.is_whole and not backbone_only
    try:
        renamed = state if is_our_model else to_layout(state, layout)
    except ValueError as error:
        raise ValueError(f"{checkpoint.source}: {error}") from error
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial{out.suffix}")
    try:
        if is_our_model:
            _write_model(from_checkpoint(file), state, partial)
        else:
            _write(renamed, partial, layout, checkpoint)
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return tuple(left_out)


def _check_suffix(out: Path, layout: str) -> None:
    suffixes = {
        "swin_dense": (".safetensors",),
        "detectron2": (".pkl",),
        "mask2former": (".pkl",),
    }.get(layout, (".safetensors", ".pth", ".pt", ".bin"))
    if layout in KEY_MAPS and out.suffix not in suffixes:
        raise ValueError(f"{out} must end in {' or '.join(suffixes)} for layout {layout}")


def _take_backbone(
    converted: "ConvertedState", layout: str
) -> "tuple[dict[str, Tensor], list[str]]":
    """The backbone's weights that the layout has a place for, and the names of the rest."""
    names = KEY_MAPS[layout].names if layout in KEY_MAPS else {}
    kept, left_out = {}, []
    for key, value in converted.state.items():
        inner = key.removeprefix(BACKBONE)
        is_head = converted.is_whole and not key.startswith(BACKBONE)
        module = inner.rpartition(".")[0]
        is_extra = module in ("norm", "head") or module.removeprefix("norm").isdigit()
        template = "norm{stage}" if module.removeprefix("norm").isdigit() else module
        if is_head or module == "head" or (is_extra and template not in names):
            left_out.append(key)
        else:
            kept[inner] = value
    return kept, left_out


def _write_model(model: "nn.Module", state: "Mapping[str, Tensor]", path: Path) -> None:
    """Write a whole model as our own files are, its values in the types that they came in."""
    from safetensors.torch import save_file

    from swin_dense.heads.checkpoints import describe_model

    values = {key: state[key].contiguous() for key in model.state_dict()}
    save_file(values, path, metadata=describe_model(model))


def _write(
    state: "Mapping[str, Tensor]", path: Path, layout: str, checkpoint: "Checkpoint"
) -> None:
    """Write the container in which the framework's own files come."""
    import torch
    from safetensors.torch import save_file

    names = checkpoint.class_names
    if path.suffix == ".safetensors":
        save_file(dict(state), path, metadata={"format": "pt"})
    elif path.suffix == ".pkl":
        arrays = {key: value.numpy() for key, value in state.items()}
        content = {"model": arrays, "__author__": "swin_dense", "matching_heuristics": False}
        with path.open("wb") as stream:
            pickle.dump(content, stream, protocol=pickle.HIGHEST_PROTOCOL)
    elif layout in ("mm", "mmpretrain") or any("head." in key for key in state):
        meta = {} if names is None else {"CLASSES": names, "dataset_meta": {"classes": names}}
        torch.save({"meta": meta, "state_dict": dict(state)}, path)
    elif layout in ("microsoft", "ddp", "moby"):
        torch.save({"model": dict(state)}, path)
    else:
        torch.save(dict(state), path)
