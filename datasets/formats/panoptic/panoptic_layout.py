"""Where panoptic data are: COCO's folders, and ADE20K's in the same format."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from swin_dense.datasets.formats.split_names import (
    ADE20K_NAMES,
    find_name,
    find_training_split,
    find_validation_split,
    order_splits,
    published_name,
)


class PanopticPlaces(NamedTuple):
    """The JSON file of a split, and the folders of its PNGs and of its images."""

    annotation_file: Path
    png_folder: Path
    image_folder: Path


def is_panoptic_layout(root: Path) -> bool:
    """Tell whether a folder has panoptic annotations."""
    return bool(list_panoptic_splits(root))


def list_panoptic_splits(root: str | Path) -> list[str]:
    """Names of the splits that a folder has panoptic annotations of; empty if it has none."""
    return order_splits(list(_annotation_files(Path(root))))


def find_panoptic_split(root: str | Path, split: str) -> PanopticPlaces:
    """Files of one split.

    COCO's: `annotations/panoptic_{split}.json`, PNGs in the folder of that name beside it, or in
    the root; images in `{split}`. ADE20K's: `ade20k_panoptic_{split}.json` and the folder of that
    name, images in `images/training` or `images/validation`.

    Raises:
        FileNotFoundError: one of them is missing; the splits that exist are named.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no data folder {root}")
    files = _annotation_files(root)
    annotation_file = files.get(split) or root / "annotations" / f"panoptic_{split}.json"
    folders = [annotation_file.with_suffix(""), root / annotation_file.stem]
    png_folder = next((folder for folder in folders if folder.is_dir()), folders[0])
    images = [root / split]
    if annotation_file.parent == root:
        images = [root / "images" / published_name(split, ADE20K_NAMES), *images]
    image_folder = next((folder for folder in images if folder.is_dir()), images[0])
    for path in (annotation_file, png_folder, image_folder):
        if not path.exists():
            there = f"splits there: {', '.join(order_splits(list(files)))}"
            raise FileNotFoundError(
                f"no panoptic split '{split}' in {root}: {path} is missing; "
                f"{there if files else 'no split is there'}{_hint(split, files)}"
            )
    return PanopticPlaces(annotation_file, png_folder, image_folder)


def _hint(split: str, there: Iterable[str]) -> str:
    """Words for data that have no validation split."""
    is_validation = find_validation_split([split]) is not None
    if (
        not is_validation
        or find_validation_split(list(there))
        or not find_training_split(list(there))
    ):
        return ""
    return "; val-fraction 0.1 or val-list FILE keeps some of its images for validation"


def find_split_to_divide(root: str | Path, name: str) -> str:
    """The split for training, of which a part is kept for evaluation.

    Args:
        root: of the data.
        name: asked for; a name that means the same will do, or the only one that is no test split.

    Raises:
        FileNotFoundError: there is none; the splits that exist are named.
        ValueError: there is a validation split already.
    """
    there = list_panoptic_splits(root)
    validation = find_validation_split(there)
    if validation is not None:
        raise ValueError(
            "a fraction or a list for validation is for data without a validation split, got "
            f"{validation} in {root}"
        )
    found = find_name(name, there) or find_training_split(there)
    if found is None:
        splits = f"splits there: {', '.join(there)}" if there else "no split is there"
        raise FileNotFoundError(f"no panoptic split '{name}' to divide in {root}; {splits}")
    return found


def _annotation_files(root: Path) -> dict[str, Path]:
    """JSON file of each split."""
    found: dict[str, Path] = {}
    for pattern in ("annotations/panoptic_*.json", "ade20k_panoptic_*.json"):
        for path in sorted(root.glob(pattern)):
            found.setdefault(path.stem.split("panoptic_", 1)[1], path)
    return found
