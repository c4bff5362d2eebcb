"""The one table of kinds of data folders; code outside adds to it."""

from pathlib import Path

from swin_dense.tools.report.folders.classification_folders import ClassificationFolders
from swin_dense.tools.report.folders.detection_folders import DetectionFolders
from swin_dense.tools.report.folders.facts import FolderKind
from swin_dense.tools.report.folders.panoptic_folders import PanopticFolders
from swin_dense.tools.report.folders.segmentation_folders import SegmentationFolders

FOLDER_KINDS: dict[str, FolderKind] = {
    "detection": DetectionFolders(),
    "segmentation": SegmentationFolders(),
    "panoptic": PanopticFolders(),
    "classification": ClassificationFolders(),
}
_LAST_RESORT = "classification"  # any folders with images could be classes


def find_folder_kinds(root: Path, layout: str | None) -> list[FolderKind]:
    """Kinds of data that a folder holds: one root may have a data set of each.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: there is none in it, or several readings of it.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no data folder {root}")
    fitting = {name: kind for name, kind in FOLDER_KINDS.items() if kind.fits(root, layout)}
    others = [kind for name, kind in fitting.items() if name != _LAST_RESORT]
    kinds = others or list(fitting.values())
    if not kinds and layout is not None:
        raise ValueError(f"unknown layout {layout!r}; choose one of {', '.join(_layouts())}")
    if not kinds:
        there = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
        more = ", ..." if len(there) > 8 else ""
        raise ValueError(
            f"{root} must hold data for {' or '.join(FOLDER_KINDS)} in a layout that is known, "
            f"found: {', '.join(there[:8]) or 'nothing'}{more}"
        )
    return kinds


def _layouts() -> list[str]:
    return [name for kind in FOLDER_KINDS.values() for name in kind.layouts()]
