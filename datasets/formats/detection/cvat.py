"""CVAT's COCO export: `annotations/instances_{default,...}.json`, images in `images/`.

A project's export has its subsets' names in place of `default`, and their images in
`images/{subset}`. CVAT marks every mask that is not a polygon as a crowd; they are objects here.
"""

from collections.abc import Sequence
from pathlib import Path

from swin_dense.datasets.formats.coco_file import CocoFile
from swin_dense.datasets.formats.detection.annotation_files import read_annotation_file
from swin_dense.datasets.formats.split_names import order_splits

_PREFIX = "instances_"


def is_cvat(root: Path) -> bool:
    """Tell whether a folder has COCO's annotation files, but its images in `images/`."""
    splits = list_cvat_splits(root)
    if not splits or not (root / "images").is_dir():
        return False
    return not any((root / split).is_dir() for split in splits)


def list_cvat_splits(root: Path) -> list[str]:
    """Names of the subsets."""
    files = (root / "annotations").glob(f"{_PREFIX}*.json")
    return order_splits([path.stem.removeprefix(_PREFIX) for path in files])


def read_cvat(root: Path, split: str) -> tuple[CocoFile, Path]:
    """Annotations and image folder of a subset; raises as `read_annotation_file`."""
    files = {
        name: root / "annotations" / f"{_PREFIX}{name}.json" for name in list_cvat_splits(root)
    }

    def folders(name: str) -> Sequence[Path]:
        return (root / "images" / name, root / "images", root)

    return read_annotation_file(root, files, split, folders=folders, crowds_are_objects=True)
