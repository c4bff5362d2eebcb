"""A folder of detection data in a known layout, and its splits."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swin_dense.datasets.formats.coco_file import CocoFile
from swin_dense.datasets.formats.parts import Part, describe_part
from swin_dense.datasets.formats.split_names import (
    find_training_split,
    find_validation_split,
    is_training_name,
)
from swin_dense.datasets.formats.table import DetectionFormat, find_detection_format

_MAX_NAMED = 5


@dataclass(frozen=True)
class DetectionFolder:
    """A folder and its layout.

    Attributes:
        root: the folder that is in the layout, which may lie in the one that was given.
        key: name of the layout in `table.DETECTION_FORMATS`; None where none fits.
        layout: COCO's where none fits.
        splits: names of the splits; empty where the layout cannot tell.
    """

    root: Path
    key: str | None
    layout: DetectionFormat
    splits: tuple[str, ...]

    def read(self, split: str, part: Part | None = None) -> tuple[CocoFile, Path]:
        """Annotations and image folder of a split or of its part; raises as the layout's `read`."""
        coco, image_folder = self.layout.read(self.root, split)
        return (coco if part is None else _take_part(coco, part)), image_folder

    def choose_training_split(self, name: str, *, default: str) -> str:
        """The split of that name; in place of the default the one that the folder has for it.

        Raises:
            FileNotFoundError: there is none; the splits that there are are named.
        """
        if not self.splits or name in self.splits:
            return name
        found = find_training_split(self.splits) if name == default else None
        if found is None:
            raise FileNotFoundError(
                f"no split '{name}' in {self.root}; splits there: {', '.join(self.splits)}; name "
                "the one to train on with --data.train-split"
            )
        return found

    def choose_split_to_divide(self, name: str, *, default: str) -> str:
        """The split for training, of which a part is kept for evaluation.

        Raises:
            FileNotFoundError: there is none; the splits that there are are named.
            ValueError: there is a validation split already.
        """
        validation = find_validation_split(self.splits)
        if validation is not None:
            raise ValueError(
                "a fraction or a list for validation is for data without a validation split, got "
                f"{validation} in {self.root}"
            )
        return self.choose_training_split(name, default=default)

    def choose_validation_split(self, name: str, *, default: str, trains: bool) -> str:
        """The same for evaluation; without training, the whole of a folder without splits is it.

        Args:
            name: asked for.
            default: the name that stands for none.
            trains: whether another part of the folder is trained on.

        Raises:
            FileNotFoundError: there is none; the splits that there are are named.
        """
        if not self.splits or name in self.splits:
            return name
        found = find_validation_split(self.splits) if name == default else None
        if found is None and name == default and not trains and len(self.splits) == 1:
            found = None if is_training_name(self.splits[0]) else self.splits[0]
        if found is None:
            flags = "--data.val-split" if trains else "--split"
            keep = "--data.val-fraction 0.1 or --data.val-list FILE"
            raise FileNotFoundError(
                f"no split '{name}' in {self.root}; splits there: {', '.join(self.splits)}; name "
                f"the one to evaluate on with {flags}, or keep some of the images for it with "
                f"{keep if trains else keep.replace('data.', '')}"
            )
        return found


def open_detection_folder(root: str | Path, layout: str | None = None) -> DetectionFolder:
    """Recognise a folder of detection data.

    Args:
        root: the folder, or one around it as archives have.
        layout: name in `table.DETECTION_FORMATS`, where it is known.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no layout has that name, several fit equally well, or the layout's files cannot
            be listed.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no data folder {root}")
    key, found, inner = find_detection_format(root, layout)
    return DetectionFolder(inner, key, found, tuple(found.splits(inner)))


def describe_split(
    folder: DetectionFolder, coco: CocoFile, *, split: str, part: Part | None = None
) -> str:
    """A line on what was read: layout, images, annotations a class, and what else is there."""
    counts = Counter(annotation.category_id for annotation in coco.annotations)
    classes = [(category.name, counts[category.id]) for category in coco.categories]
    words = [
        f"{folder.root}: {folder.layout.name} layout, split {split}{describe_part(part)}: "
        f"{_count(len(coco.images), 'image')}, {_count(len(classes), 'class')}, "
        f"{_count(len(coco.annotations), 'annotation')} ({name_counts(classes)})"
    ]
    others = [name for name in folder.splits if name != split]
    if others:
        words.append(f"other splits: {', '.join(others)}")
    return "; ".join([*words, *coco.notes])


def _take_part(coco: CocoFile, part: Part) -> CocoFile:
    """The part of a file; raises as `Part.places`."""
    places = part.places([image.file_name for image in coco.images], coco.path)
    images = [coco.images[place] for place in places]
    ids = {image.id for image in images}
    annotations = [entry for entry in coco.annotations if entry.image_id in ids]
    return coco._replace(images=images, annotations=annotations)


def name_counts(classes: Sequence[tuple[str, int]]) -> str:
    """Classes with their counts, the most frequent first, cut after a few."""
    ordered = sorted(classes, key=lambda entry: -entry[1])
    named = ", ".join(f"{name} {count:,}" for name, count in ordered[:_MAX_NAMED])
    return f"{named}, ..." if len(ordered) > _MAX_NAMED else named


def _count(number: int, noun: str) -> str:
    plural = "classes" if noun == "class" else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
