"""The one table of layouts of detection data; code outside adds to it.

A layout is recognised from the folder, and read into the checked form that COCO's files have, from
which everything else follows: targets, scores, pictures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swin_dense.datasets.formats.coco_file import CocoFile
from swin_dense.datasets.formats.coco_layout import is_coco_layout, list_splits, read_coco_split
from swin_dense.datasets.formats.detection.coco_files import (
    has_coco_files,
    list_coco_files_splits,
    read_coco_files,
)
from swin_dense.datasets.formats.detection.cvat import is_cvat, list_cvat_splits, read_cvat
from swin_dense.datasets.formats.detection.label_studio import (
    is_label_studio,
    list_label_studio_splits,
    read_label_studio,
)
from swin_dense.datasets.formats.detection.labelme import (
    is_labelme,
    list_labelme_splits,
    read_labelme,
)
from swin_dense.datasets.formats.detection.roboflow import (
    is_roboflow,
    list_roboflow_splits,
    read_roboflow,
)
from swin_dense.datasets.formats.detection.yolo import is_yolo, list_yolo_splits, read_yolo
from swin_dense.datasets.formats.folders import top_folders


def _no_splits(root: Path) -> Sequence[str]:
    del root
    return ()


@dataclass(frozen=True, kw_only=True)
class DetectionFormat:
    """One layout of folders and files.

    Attributes:
        name: in words.
        fits: whether a folder is in this layout.
        read: the folder and the name of a split to its annotations, and to the folder in which
            their images are; raises ValueError or FileNotFoundError, all faults in one line.
        splits: names of the splits in a folder, those for training first; none where only `read`
            can tell.
        is_trained_on: whether commands take such a folder as it is; else it is converted first.
        is_general: whether a layout that says more is taken before it.
    """

    name: str
    fits: Callable[[Path], bool]
    read: Callable[[Path, str], tuple[CocoFile, Path]]
    splits: Callable[[Path], Sequence[str]] = _no_splits
    is_trained_on: bool = True
    is_general: bool = False


DETECTION_FORMATS: dict[str, DetectionFormat] = {
    "coco": DetectionFormat(
        name="COCO", fits=is_coco_layout, read=read_coco_split, splits=list_splits
    ),
    "roboflow": DetectionFormat(
        name="Roboflow's COCO", fits=is_roboflow, read=read_roboflow, splits=list_roboflow_splits
    ),
    "cvat": DetectionFormat(
        name="CVAT's COCO", fits=is_cvat, read=read_cvat, splits=list_cvat_splits
    ),
    "label_studio": DetectionFormat(
        name="Label Studio's COCO",
        fits=is_label_studio,
        read=read_label_studio,
        splits=list_label_studio_splits,
    ),
    "coco_files": DetectionFormat(
        name="COCO files and images",
        fits=has_coco_files,
        read=read_coco_files,
        splits=list_coco_files_splits,
        is_general=True,
    ),
    "yolo": DetectionFormat(
        name="YOLO", fits=is_yolo, read=read_yolo, splits=list_yolo_splits, is_trained_on=False
    ),
    "labelme": DetectionFormat(
        name="LabelMe",
        fits=is_labelme,
        read=read_labelme,
        splits=list_labelme_splits,
        is_trained_on=False,
    ),
}


def find_detection_format(
    root: Path, name: str | None = None
) -> tuple[str | None, DetectionFormat, Path]:
    """The layout of a folder, or of the only folder in it, as archives are packed.

    Args:
        root: the folder.
        name: the layout in the table, where it is known.

    Returns:
        Its name in the table, the layout, and the folder that is in it; no name and COCO's layout,
        whose reader says what is missing, where none fits.

    Raises:
        ValueError: there is no layout of that name; several fit equally well.
    """
    if name is not None:
        if name not in DETECTION_FORMATS:
            raise ValueError(
                f"unknown layout {name!r}; choose one of {', '.join(DETECTION_FORMATS)}"
            )
        layout = DETECTION_FORMATS[name]
        return name, layout, next(filter(layout.fits, top_folders(root)), root)
    for inner in top_folders(root):
        found = _recognise(inner)
        if found is not None:
            return found, DETECTION_FORMATS[found], inner
    return None, DETECTION_FORMATS["coco"], root


def _recognise(folder: Path) -> str | None:
    """Name of the layout that fits a folder."""
    for is_general in (False, True):
        found = [
            name
            for name, layout in DETECTION_FORMATS.items()
            if layout.is_general is is_general and layout.fits(folder)
        ]
        if len(found) > 1:
            raise ValueError(
                f"{folder} fits {len(found)} layouts equally well: "
                + " and ".join(f"{name} ({DETECTION_FORMATS[name].name})" for name in found)
                + f"; choose one with --data.format {found[0]} (evaluate, inspect and convert: "
                f"--format {found[0]})"
            )
        if found:
            return found[0]
    return None
