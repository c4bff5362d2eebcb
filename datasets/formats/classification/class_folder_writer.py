"""Writing of folders of classes as ImageNet's are: `{train,val,test}/CLASS`, images copied."""

import shutil
from pathlib import Path

from swin_dense.datasets.formats.classification.class_folders import (
    ClassFolders,
    kept_names,
    read_split,
)
from swin_dense.datasets.formats.split_names import (
    WHOLE,
    find_training_split,
    is_training_name,
    published_name,
)

_NAMES = ("train", "val", "test")


def write_class_folders(
    folders: ClassFolders,
    out: Path,
    *,
    val_fraction: float | None = None,
    val_list: Path | None = None,
) -> None:
    """Copy the images of every split into the folders of their classes.

    Args:
        folders: where they are.
        out: a new or empty folder.
        val_fraction: share of each class's images of the training split to write as `val`.
        val_list: file with the names of these images instead.

    Raises:
        ValueError: the data have faults, `out` is not empty, or two splits have one meaning.
    """
    if out.is_dir() and any(out.iterdir()):
        raise ValueError(f"OUT must be a new or empty folder, got {out}")
    is_divided = val_fraction is not None or val_list is not None
    divided = find_training_split(list(folders.splits)) if is_divided else None
    places: dict[str, list[tuple[Path, str]]] = {}
    for split, folder in folders.splits.items():
        images = read_split(
            folder, class_names=folders.class_names, is_for_training=is_training_name(split)
        )
        kept: set[str] = set()
        if split == divided:
            kept = set(kept_names(images, folder, fraction=val_fraction, list_file=val_list))
        name = "train" if split == WHOLE else published_name(split, _NAMES)
        for part, chosen in ((name, set(images.names) - kept), ("val", kept)):
            if chosen and part in places:
                raise ValueError(
                    f"splits must have names of different meaning, got "
                    f"{', '.join(folders.splits)} in {folders.root}"
                )
            if chosen:
                places[part] = [(folder, image) for image in sorted(chosen)]
    for part, copies in places.items():
        for folder, image in copies:
            target = out / part / image
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / image, target)
