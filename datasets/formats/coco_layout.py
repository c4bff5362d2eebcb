"""COCO's folders: `annotations/instances_{split}.json` and `{split}/*.jpg`."""

from pathlib import Path

from swin_dense.datasets.formats.coco_file import CocoFile, read_coco
from swin_dense.datasets.formats.detection.box_forms import check_box_form
from swin_dense.datasets.formats.detection.cvat import is_cvat


def is_coco_layout(root: Path) -> bool:
    """Tell whether a folder has annotations where COCO has them, and its images not as CVAT has."""
    return any(root.glob("annotations/instances_*.json")) and not is_cvat(root)


def read_coco_split(root: Path, split: str) -> tuple[CocoFile, Path]:
    """Annotations and image folder of a split.

    Raises as `find_split`, `read_coco` and `check_box_form`.
    """
    annotation_file, image_folder = find_split(root, split)
    coco = read_coco(annotation_file, image_folder=image_folder)
    check_box_form(coco)
    return coco, image_folder


def find_split(root: str | Path, split: str) -> tuple[Path, Path]:
    """The annotation file and the image folder of one split.

    Raises:
        FileNotFoundError: one of them is missing; the splits that exist are named.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no data folder {root}")
    annotation_file, image_folder = root / "annotations" / f"instances_{split}.json", root / split
    for path in (annotation_file, image_folder):
        if not path.exists():
            splits = list_splits(root)
            there = f"splits there: {', '.join(splits)}" if splits else "no split is there"
            raise FileNotFoundError(f"no split '{split}' in {root}: {path} is missing; {there}")
    return annotation_file, image_folder


def list_splits(root: str | Path) -> list[str]:
    """Names of the splits a data root has in COCO layout, sorted; empty if it has none."""
    root = Path(root)
    names = (
        path.stem.removeprefix("instances_") for path in root.glob("annotations/instances_*.json")
    )
    return sorted(name for name in names if (root / name).is_dir())
