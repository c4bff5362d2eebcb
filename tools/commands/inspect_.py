"""`swin-dense inspect`: what a weights file or a folder of data holds."""

import dataclasses
import json
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from swin_dense.checkpoints.download import find_source
from swin_dense.checkpoints.key_maps import BACKBONE
from swin_dense.checkpoints.published import SUPERSEDED, find_published
from swin_dense.configs import BACKBONE_VARIANTS, BackboneConfig, ShiftedWindowConfig
from swin_dense.heads.model_config import ModelConfig
from swin_dense.tools.files import make_file_writable
from swin_dense.tools.flags import document_flags, make_options
from swin_dense.tools.printable import printable

if TYPE_CHECKING:
    from torch import nn

    from swin_dense.checkpoints.containers import Checkpoint
    from swin_dense.checkpoints.conversion import ConvertedState
    from swin_dense.tools.report.folders.facts import FolderFacts

_SHOWN_SIZES = ("kind", "name", "embed_dim", "depths", "num_heads", "window_size")
_EXPORT_SUFFIXES = (".onnx", ".pt2")
_NUM_DRAWN = 12
_LONGEST_SIDE = 1000  # px of a picture on the page


@dataclass(frozen=True, kw_only=True)
class Options:
    """Describe a weights file (layout, model, sizes, classes), an exported file, or a folder of
    data (layout, splits, classes). Nothing in it is run."""

    file: Annotated[Path, tyro.conf.Positional]
    """Weights file, the name of a published one, an exported file, or a folder of data."""
    json: bool = False
    """Print JSON instead of text."""
    format: str | None = None
    """Layout of the folder, where several fit; None: recognised from it."""
    html: Path | None = None
    """Page to write: about a folder with its first images and their annotations drawn, about a
    weights file's layers with its stages drawn."""
    layers: bool = False
    """Look inside the model of a weights file: the tree of its modules with shapes and parameters,
    and tokens, channels, heads, windows and multiply-adds of each stage."""
    size: tuple[int, int] | None = None
    """HEIGHT WIDTH of the image that layers are looked at with, px; None: a classifier's crop, 800
    1216 for objects, 512 512 for label maps, one window in the last stage of a backbone."""


@document_flags(Options)
def inspect(file: str | PathLike[str], **flags: Any) -> dict[str, Any]:
    """The content of a weights file or of a folder of data as plain data.

    Args:
        file: the file, the name of a published one, or the folder.
        flags: of `swin-dense inspect`, such as `html="page.html"`.

    Returns:
        As `inspect_file`, `exported_facts` of an exported file, or `inspect_folder`; with `layers`
        of a weights file also `layers`, see `tools.layers.summary.summarise`.

    Raises:
        ValueError: the file cannot be read safely, no known layout fits, or several do.
        FileNotFoundError: there is no such file.
    """
    return _inspect(make_options(Options, {"file": file, **flags}))[0]


def run(options: Options) -> None:
    """Print what the file or the folder holds; raises as `inspect`."""
    facts, text = _inspect(options)
    shown = json.dumps(facts, indent=2) if options.json else text
    print(shown.replace("\x7f", "\\u007f"))  # the one control that JSON does not escape


def _inspect(options: Options) -> tuple[dict[str, Any], str]:
    """The content as plain data and in words."""
    if options.size is not None and not options.layers:
        raise ValueError("--size is the size that layers are looked at with; it must have --layers")
    is_export = options.file.suffix.lower() in _EXPORT_SUFFIXES
    if options.layers and (is_export or options.file.is_dir()):
        raise ValueError(f"--layers is for weights files, got {options.file}")
    if options.file.is_dir():
        facts, lines = inspect_folder(options.file, layout=options.format, html=options.html)
        return facts, "\n".join(printable(line) for line in lines)
    if options.format is not None:
        raise ValueError(f"--format is for folders of data, got the file {options.file}")
    if options.html is not None and not options.layers:
        raise ValueError(
            f"--html is for folders of data, and with --layers for weights, got the file "
            f"{options.file}"
        )
    if is_export:
        from swin_dense.tools.export.description import describe_exported, exported_facts

        found = exported_facts(options.file)
        return found, describe_exported(found)
    found = inspect_file(options.file)
    if not options.layers:
        return found, describe(found)
    layers, text = _inspect_layers(options)
    return found | {"layers": layers}, f"{describe(found)}\n\n{text}"


def _inspect_layers(options: Options) -> tuple[dict[str, Any], str]:
    """The layers of the file's model, or of its backbone where it is no model known here."""
    from swin_dense.checkpoints.classification.whole_classifiers import whole_classifier
    from swin_dense.checkpoints.containers import read_checkpoint
    from swin_dense.checkpoints.conversion import convert_checkpoint
    from swin_dense.heads.checkpoints import read_model_config
    from swin_dense.heads.models import create_model, find_spec
    from swin_dense.tools.layers.page import write_layers_page
    from swin_dense.tools.layers.summary import describe_layers, summarise

    if options.html is not None:
        make_file_writable(options.html)
    checkpoint = read_checkpoint(options.file)
    converted = whole_classifier(convert_checkpoint(checkpoint))
    try:
        config = read_model_config(checkpoint, converted.state, layout=converted.layout.name)
    except ValueError:  # what is amiss stands among the warnings
        backbone = _read_backbone(checkpoint, converted).without_pretrained()
        layers, title = summarise(backbone.build, options.size), backbone.title
    else:
        layers = summarise(lambda: create_model(config), options.size)
        title = f"{find_spec(config).name} on {config.backbone.title}"
    if options.html is not None:
        write_layers_page(options.html, title, layers)
    text = "\n".join(map(printable, describe_layers(layers).split("\n")))
    return layers, text


def inspect_folder(
    root: Path, *, layout: str | None = None, html: Path | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Describe the data sets that a folder holds.

    Args:
        root: of the data.
        layout: its name, where several fit.
        html: page to write, with samples drawn.

    Returns:
        `folder` and `data`, a list with `task`, `layout`, `layout_title`, `root`, `class_names`,
        `splits` (`images`, `annotations`, `classes` of each) and `notes` of each data set; and a
        line about each.

    Raises:
        ValueError: no layout fits, or several do, or the data have faults.
        FileNotFoundError: a file is missing.
    """
    from swin_dense.tools.report.folders.table import find_folder_kinds

    if html is not None:
        make_file_writable(html)
    found = [kind.describe(root, layout) for kind in find_folder_kinds(root, layout)]
    if html is not None:
        _write_data_page(html, root, found)
    data = [
        {
            "task": facts.task,
            "layout": facts.layout,
            "layout_title": facts.layout_title,
            "root": str(facts.root),
            "class_names": list(facts.class_names),
            "splits": facts.splits,
            "notes": list(facts.notes),
        }
        for facts in found
    ]
    return {"folder": str(root), "data": data}, [facts.line for facts in found]


def _write_data_page(path: Path, root: Path, found: "list[FolderFacts]") -> None:
    """Write the page of a folder: a line, counts and samples of each data set in it."""
    from swin_dense.tools.report.page import (
        heading,
        paragraph,
        picture,
        pictures,
        table,
        write_page,
    )
    from swin_dense.tools.tasks.drawing import reduce_picture, save_picture

    blocks = []
    for facts in found:
        rows = [
            (name, *(f"{split['classes'].get(name, 0):,}" for split in facts.splits.values()))
            for name in facts.class_names
        ]
        images = ("images", *(f"{split['images']:,}" for split in facts.splits.values()))
        blocks += [
            heading(f"{facts.layout_title} layout, {facts.task}"),
            paragraph(facts.line),
            table(("annotations", *facts.splits), [*rows, images]),
        ]
        with tempfile.TemporaryDirectory() as folder:
            figures = []
            for place, (drawn, caption) in enumerate(facts.samples(_NUM_DRAWN)):
                file = Path(folder) / f"{place}.jpg"
                save_picture(reduce_picture(drawn, _LONGEST_SIDE), file)
                figures.append(picture(file, caption))
            blocks.append(pictures(figures))
    write_page(path, f"Data in {root}", blocks)


def inspect_file(file: Path) -> dict[str, Any]:
    """Describe what a weights file holds, as plain data.

    Returns:
        `file`, `container`, `layout`, `layout_title`, `prefix`; `holds` (`mask_rcnn`,
        `cascade_mask_rcnn`, `faster_rcnn`, `cascade_rcnn`, `upernet`, `classifier`, `backbone` or
        `unknown heads`); `backbone` (its config, with the variant's name); `model` (the whole
        model's config, or None); `num_classes`, `class_names`, `category_ids`; `num_tensors`,
        `num_parameters`, `dtypes`; `dropped` (names of what loading passes over);
        `other_entries` of the file; `published` (what is known of a file of that name, or None);
        `warnings`.

    Raises:
        ValueError: the file cannot be read safely, or no known layout fits it.
        FileNotFoundError: there is no such file.
    """
    find_source(file)

    from swin_dense.checkpoints.classification.whole_classifiers import whole_classifier
    from swin_dense.checkpoints.containers import read_checkpoint
    from swin_dense.checkpoints.conversion import convert_checkpoint
    from swin_dense.checkpoints.stored_configs import config_as_json

    checkpoint = read_checkpoint(file)
    converted = whole_classifier(convert_checkpoint(checkpoint))
    try:
        backbone = _read_backbone(checkpoint, converted)
    except ValueError as error:
        raise ValueError(f"{checkpoint.source}: {error}") from error
    values = list(converted.state.values())
    facts: dict[str, Any] = {
        "file": checkpoint.source,
        "container": checkpoint.container,
        "layout": converted.layout.name,
        "layout_title": converted.layout.title,
        "prefix": converted.prefix,
        "backbone": {"variant": _find_variant(backbone), **config_as_json(backbone)},
        "num_tensors": len(values),
        "num_parameters": sum(value.numel() for value in values if value.is_floating_point()),
        "dtypes": dict(Counter(str(value.dtype).removeprefix("torch.") for value in values)),
        "dropped": list(converted.dropped),
        "other_entries": list(checkpoint.entries),
        "class_names": checkpoint.class_names,
        "category_ids": checkpoint.category_ids,
    }
    facts |= _describe_model(checkpoint, converted)
    warnings = facts["warnings"]
    facts |= _describe_published(Path(file))
    facts["warnings"] = warnings + facts["warnings"]
    return facts


def describe(facts: dict[str, Any]) -> str:
    """Put what `inspect_file` found into words."""
    backbone = facts["backbone"]
    sizes = {name: backbone[name] for name in _SHOWN_SIZES if name in backbone}
    variant = backbone["variant"]
    lines = [
        f"file       {facts['file']} ({facts['container']})",
        f"layout     {facts['layout']} ({facts['layout_title']})"
        + (f", names start with {facts['prefix']!r}" if facts["prefix"] else ""),
        f"holds      {facts['holds']}",
        f"backbone   {variant}: {_flatten(sizes)}" if variant else f"backbone   {_flatten(sizes)}",
        f"weights    {facts['num_tensors']} tensors, {facts['num_parameters'] / 1e6:.1f} M values, "
        + ", ".join(f"{count} {dtype}" for dtype, count in facts["dtypes"].items()),
    ]
    if facts["model"] is not None:
        sizes = {k: v for k, v in facts["model"].items() if k != "backbone"}
        lines.append(f"model      {_flatten(sizes)}")
    if facts["num_classes"] is not None:
        lines.append(f"classes    {facts['num_classes']}: {_shorten(facts['class_names'])}")
    if facts["dropped"]:
        kinds = Counter(key.rpartition(".")[2] for key in facts["dropped"])
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        lines.append(f"dropped    {counts}")
    if facts["other_entries"]:
        lines.append(f"beside     {', '.join(facts['other_entries'])}")
    if facts["published"] is not None:
        lines.append(f"published  {_flatten(facts['published'])}")
    lines += [f"warning    {text}" for text in facts["warnings"]]
    return "\n".join(map(printable, lines))


def _read_backbone(checkpoint: "Checkpoint", converted: "ConvertedState") -> BackboneConfig:
    """Read off the weights; a backbone that is no Swin Transformer, off the config beside them."""
    from swin_dense.checkpoints.architecture import read_backbone_config
    from swin_dense.heads.checkpoints import read_stored_config

    stored = read_stored_config(checkpoint)
    if stored is not None and not isinstance(stored.backbone, ShiftedWindowConfig):
        return stored.backbone
    return read_backbone_config(converted.state)


def _find_variant(backbone: BackboneConfig) -> str | None:
    """Name of the variant of these sizes, if it has one."""
    return backbone.title if backbone.title in BACKBONE_VARIANTS else None


def _describe_model(checkpoint: "Checkpoint", converted: "ConvertedState") -> dict[str, Any]:
    """Name the model; a file without one that is known here is no error."""
    from swin_dense.checkpoints.stored_configs import config_as_json
    from swin_dense.heads.checkpoints import read_model_config
    from swin_dense.heads.models import find_spec

    try:
        layout = converted.layout.name
        config = read_model_config(checkpoint, converted.state, layout=layout)
    except ValueError as error:
        head = converted.state.get("head.weight")
        holds = "backbone" if head is None else "classifier"
        warnings = [str(error)] if converted.is_whole else []
        if converted.is_whole:
            parts = {k.split(".")[0] for k in converted.state if not k.startswith(BACKBONE)}
            holds = f"unknown heads ({', '.join(sorted(parts))})"
        num_classes = head.shape[0] if head is not None and head.ndim else None
        warnings += _describe_misfit(checkpoint, converted, None)
        return {"holds": holds, "model": None, "num_classes": num_classes, "warnings": warnings}
    return {
        "holds": find_spec(config).name,
        "model": config_as_json(config),
        "num_classes": config.num_classes,
        "warnings": _describe_misfit(checkpoint, converted, config),
    }


def _describe_misfit(
    checkpoint: "Checkpoint", converted: "ConvertedState", config: ModelConfig | None
) -> list[str]:
    """Why the file will not load, if it will not: as a model, or without one as a backbone."""
    from swin_dense.checkpoints.architecture import check_fit
    from swin_dense.checkpoints.loading import check_values
    from swin_dense.heads.models import create_model

    def build() -> "nn.Module":
        if config is not None:
            return create_model(config)
        return _read_backbone(checkpoint, converted).build()

    try:
        check_fit(build, converted, source=checkpoint.source)
        check_values(converted.state, source=checkpoint.source)
    except ValueError as error:
        return [str(error)]
    return []


def _describe_published(file: Path) -> dict[str, Any]:
    """Known facts of a file of that name. The name proves nothing of the content."""
    warnings: list[str] = []
    if re.search(rf"-({'|'.join(SUPERSEDED)})\b", file.name):
        warnings.append(
            "an upload of this name was replaced by a newer one; check the patch merging order by "
            "the scores that it reaches"
        )
    known = find_published(file.name) or find_published(str(file))
    published = None if known is None else dataclasses.asdict(known)
    return {"published": published, "warnings": warnings}


def _flatten(values: dict[str, Any], prefix: str = "") -> str:
    """`a 1, b.c 2` for nested tables."""
    parts = []
    for key, value in values.items():
        if isinstance(value, dict):
            parts.append(_flatten(value, f"{prefix}{key}."))
        elif value not in (None, ""):
            parts.append(f"{prefix}{key} {value}")
    return ", ".join(part for part in parts if part)


def _shorten(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "the file stores no names"
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
