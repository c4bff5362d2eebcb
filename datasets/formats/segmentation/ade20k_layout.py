"""ADE20K's folders: `images/{split}` and `annotations/{split}`."""

from pathlib import Path

from swin_dense.datasets.categories import ade20k_classes
from swin_dense.datasets.formats.folders import list_folders
from swin_dense.datasets.formats.segmentation.pairs import (
    LABEL_SUFFIXES,
    LayoutFiles,
    list_images,
    pair_files,
)

_PUBLISHED_PREFIXES = ("ADE_train_", "ADE_val_")


def is_ade20k_layout(root: Path) -> bool:
    """Tell whether a folder has splits of images and of annotations."""
    return bool(_list_splits(root))


def find_ade20k(root: Path) -> LayoutFiles:
    """Every split. ADE20K's own files store 0 for "ignored"; others may store 0 for a class."""
    splits = {
        split: pair_files(
            list_images(root / "images" / split),
            list_images(root / "annotations" / split, LABEL_SUFFIXES),
            where=f"{root / 'images' / split} and {root / 'annotations' / split}",
        )
        for split in _list_splits(root)
    }
    pairs = [pair for split in splits.values() for pair in split.images]
    is_published = bool(pairs) and all(
        Path(pair.id).name.startswith(_PUBLISHED_PREFIXES) for pair in pairs
    )
    return LayoutFiles(
        splits=splits,
        assumed=(ade20k_classes(), "ADE20K's"),
        reduce_zero_label=True if is_published else None,
    )


def _list_splits(root: Path) -> list[str]:
    """Folders that images and annotations have in common."""
    annotated = set(list_folders(root / "annotations"))
    return [name for name in list_folders(root / "images") if name in annotated]
