"""The one table of layouts of segmentation data; code outside adds to it.

A layout is recognised from the folder, and gives the pairs of image and label map of each split.
What the label maps' numbers or colours mean follows from the layout, else from the files
(room `reading`); from there on all layouts are alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from swin_dense.datasets.formats.folders import innermost_folder, list_folder
from swin_dense.datasets.formats.segmentation.ade20k_layout import find_ade20k, is_ade20k_layout
from swin_dense.datasets.formats.segmentation.cityscapes import (
    find_cityscapes,
    is_cityscapes_layout,
)
from swin_dense.datasets.formats.segmentation.paired_folders import find_folders, is_folder_pair
from swin_dense.datasets.formats.segmentation.pairs import (
    LayoutFiles,
    SplitFiles,
)
from swin_dense.datasets.formats.segmentation.pascal_voc import find_voc, is_voc_layout
from swin_dense.datasets.formats.segmentation.reading.folder_reading import (
    list_classes,
    read_folder,
)
from swin_dense.datasets.formats.segmentation.segmentation_folder import SegmentationFolder
from swin_dense.datasets.formats.split_names import (
    ADE20K_NAMES,
    TRAINING_NAMES,
    find_name,
)
from swin_dense.datasets.label_maps import IGNORED_LABEL
from swin_dense.datasets.splits import split_names

_NUM_LISTED = 8  # entries of a folder that no layout fits


@dataclass(frozen=True, kw_only=True)
class SegmentationFormat:
    """One layout of folders and files.

    Attributes:
        name: in words.
        sign: folders by which people know it.
        fits: whether a folder is in this layout.
        find: the files of every split of a folder; raises ValueError for files that contradict
            each other, while images without label maps are faults of their split.
    """

    name: str
    sign: str
    fits: Callable[[Path], bool]
    find: Callable[[Path], LayoutFiles]


SEGMENTATION_FORMATS: dict[str, SegmentationFormat] = {
    "ade20k": SegmentationFormat(
        name="ADE20K", sign="images and annotations", fits=is_ade20k_layout, find=find_ade20k
    ),
    "pascal_voc": SegmentationFormat(
        name="Pascal VOC",
        sign="JPEGImages and SegmentationClass",
        fits=is_voc_layout,
        find=find_voc,
    ),
    "cityscapes": SegmentationFormat(
        name="Cityscapes",
        sign="leftImg8bit and gtFine",
        fits=is_cityscapes_layout,
        find=find_cityscapes,
    ),
}
# Tried where no other layout fits: the names of its folders are anybody's.
FOLDERS = SegmentationFormat(
    name="images and label maps",
    sign="images and masks, or x.jpg and x_mask.png",
    fits=is_folder_pair,
    find=find_folders,
)


def find_segmentation_format(root: Path) -> SegmentationFormat:
    """The layout of a folder.

    Raises:
        ValueError: two layouts fit it.
        FileNotFoundError: none does.
    """
    found = [layout for layout in SEGMENTATION_FORMATS.values() if layout.fits(root)]
    if len(found) > 1:
        signs = " and ".join(f"{layout.name} ({layout.sign})" for layout in found)
        raise ValueError(
            f"{root} must be in one layout, got {signs}; move what belongs to the other away"
        )
    if found:
        return found[0]
    if FOLDERS.fits(root):
        return FOLDERS
    entries = [entry.name + "/" * entry.is_dir() for entry in list_folder(root)]
    more = f" and {len(entries) - _NUM_LISTED} more" if len(entries) > _NUM_LISTED else ""
    raise FileNotFoundError(
        f"{root} must hold the folders {_known_signs()}; found: "
        f"{', '.join(entries[:_NUM_LISTED]) or 'nothing'}{more}"
    )


def _known_signs() -> str:
    layouts = (*SEGMENTATION_FORMATS.values(), FOLDERS)
    return "; or ".join(f"{layout.sign} ({layout.name})" for layout in layouts)


def open_segmentation(
    root: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    default_names: Sequence[str] | None = None,
    reduce_zero_label: bool | None = None,
    val_fraction: float | None = None,
    val_list: Path | None = None,
    train_split: str = "training",
) -> SegmentationFolder:
    """Recognise a folder: its layout, splits and classes, and what its label maps' numbers mean.

    Label maps are read where the layout leaves open what they mean, 2000 at the most.

    Args:
        root: folder, or one in which a single folder holds all.
        class_names: of the labels; None: those that the folder or the layout names.
        default_names: where neither does; None: the layout's usual ones.
        reduce_zero_label: 0 is "ignored" and the classes are 1..K; or they are 0..K-1; None: the
            layout or the files say.
        val_fraction: part of the images of `train_split`, or of the one split there is, to keep for
            validation; for data without a validation split.
        val_list: file with the names of these images instead, one a line.
        train_split: the split to divide.

    Raises:
        FileNotFoundError: no such folder, or no layout fits it.
        ValueError: two layouts fit, or two readings of the label maps, or none; a class list
            cannot be read; or `val_fraction` is out of range or not needed.
    """
    given = Path(root)
    if not given.is_dir():
        raise FileNotFoundError(
            f"no data folder {given}; it must hold the folders {_known_signs()}"
        )
    place = innermost_folder(given)
    layout = find_segmentation_format(place)
    files = layout.find(place)
    if reduce_zero_label and files.reduce_zero_label is False:
        raise ValueError(
            f"--data.reduce-zero-label must not be true in the layout of {layout.name}, whose "
            f"numbers have one meaning, got it for {given}"
        )
    if val_fraction is not None or val_list is not None:
        choose: Callable[[list[str]], tuple[list[str], list[str]]]
        choose = partial(split_names, fraction=val_fraction or 0)
        if val_list is not None:
            choose = partial(_split_by_list, path=val_list)
        files = replace(files, splits=_divide(files.splits, choose, train_split, given))
    listed = list_classes(files, (given, place), class_names, default_names)
    reading = read_folder(files, given, listed, reduce_zero_label)
    num_classes = len(reading.classes.names)
    if not 1 <= num_classes <= IGNORED_LABEL:
        raise ValueError(f"class names must be 1..255, got {num_classes} for {given}")
    return SegmentationFolder(layout=layout.name, root=given, splits=files.splits, reading=reading)


def _split_by_list(names: Sequence[str], path: Path) -> tuple[list[str], list[str]]:
    """Names that a file does not list, and those that it does, with endings or without."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must list names of images in UTF-8: {error}") from error
    listed = [line for line in lines if line]
    known = set(names)
    wanted = {line if line in known else str(Path(line).with_suffix("")) for line in listed}
    missing = sorted(wanted - known)
    if missing or not wanted or wanted == known:
        got = f"no image {missing[0]!r}" if missing else f"{len(wanted)} of {len(known)} images"
        raise ValueError(f"{path} must list some of the images to train on, got {got}")
    return [name for name in names if name not in wanted], [
        name for name in names if name in wanted
    ]


def _divide(
    splits: Mapping[str, SplitFiles],
    choose: Callable[[list[str]], tuple[list[str], list[str]]],
    train_split: str,
    root: Path,
) -> dict[str, SplitFiles]:
    """Training and validation parts of the images of one split."""
    validation = find_name(ADE20K_NAMES[1], splits)
    if validation is not None:
        raise ValueError(
            f"--data.val-fraction is for data without a validation split, got {validation} "
            f"({len(splits[validation].images)} images) in {root}"
        )
    name = find_name(train_split, splits)
    if name is None and len(splits) == 1:
        name = next(iter(splits))
    if name is None:
        raise ValueError(
            f"--data.val-fraction must know the split to divide, got {', '.join(splits)} in "
            f"{root}; name it with --data.train-split"
        )
    whole = splits[name]
    training, kept = choose([pair.id for pair in whole.images])
    parts = {ADE20K_NAMES[0]: set(training), ADE20K_NAMES[1]: set(kept)}
    if name not in TRAINING_NAMES and train_split == name:
        parts = {name: set(training), ADE20K_NAMES[1]: set(kept)}
    divided = {
        part: replace(whole, images=tuple(pair for pair in whole.images if pair.id in ids))
        for part, ids in parts.items()
    }
    return divided | {key: files for key, files in splits.items() if key != name}
