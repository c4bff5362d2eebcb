"""Facts of a folder of data, and the protocol of a kind of data."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from swin_dense.datasets.formats.detection_folder import name_counts
from swin_dense.datasets.formats.parts import Part
from swin_dense.tools.tasks.drawing import Picture


@dataclass(frozen=True, kw_only=True)
class FolderFacts:
    """Content of a folder of data.

    Attributes:
        task: name of the task that it is for.
        layout: name of its layout in the table of its task; `layout_title` in words.
        root: the folder that is in the layout.
        class_names: of all splits.
        splits: of each split, `images`, `annotations`, and `classes`: annotations by class name.
        notes: sentences on what was left out, or read in a way that is not plain.
        samples: the first images with their annotations drawn, each with a caption.
    """

    task: str
    layout: str
    layout_title: str
    root: Path
    class_names: tuple[str, ...]
    splits: dict[str, dict[str, Any]]
    notes: tuple[str, ...]
    samples: Callable[[int], Iterator[tuple[Picture, str]]]

    @property
    def line(self) -> str:
        """All of it in a line."""
        sizes = ", ".join(f"{name} {split['images']:,}" for name, split in self.splits.items())
        counts: Counter[str] = Counter(dict.fromkeys(self.class_names, 0))
        for split in self.splits.values():
            counts.update(split["classes"])
        number = len(self.class_names)
        line = (
            f"{self.root}: {self.layout_title} layout for {self.task}, images: {sizes}; "
            f"{number} class{'' if number == 1 else 'es'}, annotations: "
            f"{name_counts(list(counts.items()))}"
        )
        return "; ".join([line, *self.notes])


class FolderKind(Protocol):
    """A kind of data: recognised, described, and written in a published form.

    Attributes:
        written_as: name of that form, as `convert --to` has it.
    """

    written_as: str

    def layouts(self) -> list[str]:
        """Names of the layouts."""

    def fits(self, root: Path, layout: str | None) -> bool:
        """Tell whether a folder is in one of the kind's layouts, or that it is stated to be."""

    def describe(self, root: Path, layout: str | None) -> FolderFacts:
        """Read every split; raises ValueError or FileNotFoundError, all faults in one line."""

    def write(self, root: Path, out: Path, flags: Any) -> None:
        """Write the data in the published form; `flags` are those of `convert`."""


def two_parts(flags: Any) -> dict[str, Part | None]:
    """The parts of a split to write, by COCO's names; `flags` are those of `convert`."""
    return {
        name: Part(is_for_validation=is_kept, fraction=flags.val_fraction, list_file=flags.val_list)
        for name, is_kept in (("train2017", False), ("val2017", True))
    }
