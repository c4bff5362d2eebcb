"""Label Studio's COCO export: `result.json` and `images/`.

Its file names have folders, of the export or of the server, in either slash, and a hash before the
name that the image was uploaded under. Images that it could not open have no width and height
there.
"""

from collections.abc import Sequence
from pathlib import Path

from swin_dense.datasets.formats.coco_file import CocoFile
from swin_dense.datasets.formats.detection.annotation_files import (
    is_coco_content,
    read_annotation_file,
)
from swin_dense.datasets.formats.split_names import WHOLE

_FILE = "result.json"


def is_label_studio(root: Path) -> bool:
    """Tell whether a folder has Label Studio's file of results in COCO's form."""
    return (root / _FILE).is_file() and is_coco_content(root / _FILE)


def list_label_studio_splits(root: Path) -> list[str]:
    """The whole: the export has no parts."""
    del root
    return [WHOLE]


def read_label_studio(root: Path, split: str) -> tuple[CocoFile, Path]:
    """Annotations and image folder; raises as `read_annotation_file`."""

    def folders(name: str) -> Sequence[Path]:
        del name
        return (root / "images", root)

    files = {WHOLE: root / _FILE}
    return read_annotation_file(root, files, split, folders=folders, sizes_of_files=True)
