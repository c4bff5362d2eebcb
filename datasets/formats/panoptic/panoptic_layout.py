"""Where panoptic data are: COCO's folders, and ADE20K's in the same format."""

from pathlib import Path
from typing import NamedTuple

from swin_dense.datasets.formats.split_names import ADE20K_NAMES, order_splits, published_name


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
                f"{there if files else 'no split is there'}"
            )
    return PanopticPlaces(annotation_file, png_folder, image_folder)


def _annotation_files(root: Path) -> dict[str, Path]:
    """JSON file of each split."""
    found: dict[str, Path] = {}
    for pattern in ("annotations/panoptic_*.json", "ade20k_panoptic_*.json"):
        for path in sorted(root.glob(pattern)):
            found.setdefault(path.stem.split("panoptic_", 1)[1], path)
    return found
