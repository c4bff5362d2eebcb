"""Roboflow's COCO export: `{train,valid,test}/_annotations.coco.json` beside the images.

Its category 0 is often the project's name, which no annotation uses, and its other ids may begin at
0 or 1; the table of each split is written anew.
"""

from collections.abc import Sequence
from pathlib import Path

from swin_dense.datasets.formats.coco_file import CocoFile
from swin_dense.datasets.formats.detection.annotation_files import read_annotation_file
from swin_dense.datasets.formats.folders import subfolders
from swin_dense.datasets.formats.split_names import order_splits

_FILE = "_annotations.coco.json"


def is_roboflow(root: Path) -> bool:
    """Tell whether a folder has a Roboflow split in it."""
    return bool(list_roboflow_splits(root))


def list_roboflow_splits(root: Path) -> list[str]:
    """Names of the folders with annotations beside the images."""
    return order_splits([folder.name for folder in subfolders(root) if (folder / _FILE).is_file()])


def read_roboflow(root: Path, split: str) -> tuple[CocoFile, Path]:
    """Annotations and image folder of a split; raises as `read_annotation_file`."""
    files = {name: root / name / _FILE for name in list_roboflow_splits(root)}

    def folders(name: str) -> Sequence[Path]:
        return (root / name,)

    return read_annotation_file(root, files, split, folders=folders)
