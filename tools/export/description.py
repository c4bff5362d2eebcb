"""An exported file in words and as plain data: what `swin-dense inspect` says of it."""

from pathlib import Path
from typing import Any

from swin_dense.tools.export.reading import read_metadata
from swin_dense.tools.printable import printable

_SHOWN_SIZES = ("kind", "name", "embed_dim", "depths", "num_heads", "window_size")


def exported_facts(file: Path) -> dict[str, Any]:
    """Describe a file that `export` wrote, as plain data; nothing of it is run.

    Returns:
        `file`, `format` ("onnx" or "package"), `part`, `holds` (the kind of model, or "backbone"),
        `task`, `precision`, `inputs` and `outputs` (names), `sides` (smallest and largest of an
        image, px), `scale`, `thresholds`, `strides`, `num_classes`, `class_names`, `category_ids`,
        `model` (its config) and `version` of the package that wrote it.

    Raises:
        ValueError: it is no such file.
        FileNotFoundError: there is none.
    """
    metadata = read_metadata(file)
    names = metadata.class_names
    return {
        "file": str(file),
        "format": "onnx" if file.suffix.lower() == ".onnx" else "package",
        "part": metadata.part,
        "holds": metadata.kind or "backbone",
        "task": metadata.task,
        "precision": metadata.precision,
        "inputs": ["image"],
        "outputs": list(metadata.outputs),
        "sides": list(metadata.sides),
        "scale": metadata.scale,
        "thresholds": metadata.thresholds,
        "strides": list(metadata.strides),
        "num_classes": metadata.config.get("num_classes"),
        "class_names": names,
        "category_ids": metadata.category_ids,
        "model": metadata.config,
        "version": metadata.version,
    }


def describe_exported(facts: dict[str, Any]) -> str:
    """Put what `exported_facts` found into words."""
    smallest, largest = facts["sides"]
    part = "" if facts["part"] == "model" else f", its {facts['part']} alone"
    lines = [
        f"file       {facts['file']} ({facts['format']}, exported by swin_dense "
        f"{facts['version']})",
        f"holds      {facts['holds']}{part}, {facts['precision']}",
        f"takes      image (N, 3, H, W) uint8 RGB, sides of {smallest} to {largest} px",
        f"gives      {', '.join(facts['outputs'])}",
    ]
    if facts["scale"] is not None:
        lines.append(f"scale      images resized to {facts['scale'][0]} x {facts['scale'][1]} px")
    if facts["thresholds"]:
        lines.append(f"built in   {_join(facts['thresholds'])}")
    if facts["num_classes"] is not None:
        lines.append(f"classes    {facts['num_classes']}: {_shorten(facts['class_names'])}")
    backbone = facts["model"].get("backbone", facts["model"])
    shown = {name: backbone[name] for name in _SHOWN_SIZES if name in backbone}
    lines.append(f"backbone   {_join(shown)}")
    return "\n".join(map(printable, lines))


def _join(values: dict[str, Any]) -> str:
    """`a 1, b 2`."""
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _shorten(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "the file stores no names"
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
