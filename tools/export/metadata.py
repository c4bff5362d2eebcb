"""Description that an exported file carries: one JSON text, the same in every format."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swin_dense import __version__
from swin_dense.checkpoints.stored_configs import build_config
from swin_dense.ranges import LARGEST_SIDE, SMALLEST_SIDE

METADATA_KEY = "swin_dense"
"""Name of the text: in ONNX's `metadata_props`, and in the metadata of a package."""


@dataclass(frozen=True, kw_only=True)
class ExportMetadata:
    """Description of an exported file for the program that runs it.

    Attributes:
        part: "model" (the whole), "backbone" or "pyramid" (backbone and FPN).
        outputs: names of the outputs, in order.
        precision: "float32", "float16" or "int8" (weights of linear layers).
        any_batch: whether it takes any number of images of one size; else it takes one.
        kind: name of the kind of models, as in our weights files; None for a bare backbone.
        task: "detection", "segmentation", ...; None for a bare backbone.
        config: of the whole model or the backbone, as in our weights files.
        class_names: name of each label, if known.
        category_ids: id that each label is written with, if the data set has its own.
        scale: long and short side, px, that images are resized to before (keeping their ratio);
            None where there is no task.
        thresholds: scores and overlaps that are built in, by name.
        strides: px of the image per cell, of each level of a pyramid; empty for whole models.
        sides: smallest and largest side of an image, px.
        version: of swin_dense.
    """

    part: str
    outputs: tuple[str, ...]
    precision: str = "float32"
    any_batch: bool = False
    kind: str | None = None
    task: str | None = None
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    class_names: tuple[str, ...] | None = None
    category_ids: tuple[int, ...] | None = None
    scale: tuple[int, int] | None = None
    thresholds: dict[str, float] = dataclasses.field(default_factory=dict)
    strides: tuple[int, ...] = ()
    sides: tuple[int, int] = (SMALLEST_SIDE, LARGEST_SIDE)
    version: str = __version__

    def to_json(self) -> str:
        """The text that files store."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | None, *, source: object) -> "ExportMetadata":
        """Read the text that a file stores; None: it stores none.

        Raises:
            ValueError: there is none, or it is not what `to_json` gives.
        """
        if text is None:
            raise ValueError(
                f"{source} must be a file that `swin-dense export` wrote, got one without its "
                "metadata"
            )
        try:
            stored = json.loads(text)
            if not isinstance(stored, Mapping):
                raise ValueError("it must be a JSON table")
            tables = {name: stored.get(name, {}) for name in ("config", "thresholds")}
            if not all(isinstance(table, dict) for table in tables.values()):
                raise ValueError("config and thresholds must be JSON tables")
            rest = {name: value for name, value in stored.items() if name not in tables}
            built = build_config(cls, rest, where="metadata")
        except ValueError as error:
            raise ValueError(f"{source}: its metadata cannot be read: {error}") from error
        assert isinstance(built, cls)
        return dataclasses.replace(built, **tables)
