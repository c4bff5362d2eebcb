"""The one table of layouts of detection data; code outside adds to it.

A layout is recognised from the folder, and read into the checked form that COCO's files have, from
which everything else follows: targets, scores, pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swin_dense.datasets.formats.coco_file import CocoFile
from swin_dense.datasets.formats.coco_layout import is_coco_layout, read_coco_split


@dataclass(frozen=True, kw_only=True)
class DetectionFormat:
    """One layout of folders and files.

    Attributes:
        name: in words.
        fits: whether a folder is in this layout.
        read: the folder and the name of a split to its annotations, and to the folder in which
            their images are; raises ValueError or FileNotFoundError, all faults in one line.
    """

    name: str
    fits: Callable[[Path], bool]
    read: Callable[[Path, str], tuple[CocoFile, Path]]


_COCO = DetectionFormat(name="COCO", fits=is_coco_layout, read=read_coco_split)
DETECTION_FORMATS: dict[str, DetectionFormat] = {"coco": _COCO}


def find_detection_format(root: Path) -> DetectionFormat:
    """The layout of a folder; COCO's, whose reader says what is missing, where none fits."""
    return next((found for found in DETECTION_FORMATS.values() if found.fits(root)), _COCO)
