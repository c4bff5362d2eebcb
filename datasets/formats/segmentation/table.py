"""The one table of layouts of segmentation data; code outside adds to it.

A layout is recognised from the folder, and gives the pairs of image and label map of each split.
What the label maps' numbers or colours mean follows from the layout, else from the files
(`reading`); from there on all layouts are alike.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from swin_dense.datasets.categories import ClassList, read_classes
from swin_dense.datasets.formats.folders import innermost_folder, list_folder
from swin_dense.datasets.formats.segmentation.ade20k_layout import find_ade20k, is_ade20k_layout
from swin_dense.datasets.formats.segmentation.cityscapes import (
    find_cityscapes,
    is_cityscapes_layout,
)
from swin_dense.datasets.formats.segmentation.label_encoding import Colours, NumberTable
from swin_dense.datasets.formats.segmentation.paired_folders import find_folders, is_folder_pair
from swin_dense.datasets.formats.segmentation.pairs import (
    NUM_READERS,
    LabelledImage,
    LayoutFiles,
    SplitFiles,
)
from swin_dense.datasets.formats.segmentation.pascal_voc import find_voc, is_voc_layout
from swin_dense.datasets.formats.segmentation.reading import (
    Evidence,
    Reading,
    decide,
    gather_evidence,
    is_settled,
)
from swin_dense.datasets.formats.split_names import (
    ADE20K_NAMES,
    TRAINING_NAMES,
    VALIDATION_NAMES,
    find_name,
)
from swin_dense.datasets.label_maps import IGNORED_LABEL
from swin_dense.datasets.splits import split_names

_NUM_NAMED = 4  # classes in the line about a folder
_NUM_LISTED = 8  # entries of a folder that no layout fits
_NUM_COUNTED = 500  # label maps whose pixels are counted


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


@dataclass(frozen=True, kw_only=True)
class ClassCounts:
    """Labelled pixels of a split, or of a part of it.

    Attributes:
        pixels: `(K,)` int64, pixels of each class.
        images: `(K,)` int64, images in which each class occurs.
        ignored: pixels without a class.
        num_counted: label maps that were read, spread evenly over the split.
        num_images: images of the split.
    """

    pixels: np.ndarray
    images: np.ndarray
    ignored: int
    num_counted: int
    num_images: int

    @property
    def words(self) -> str:
        """Part that was counted: "all 40 label maps"."""
        if self.num_counted == self.num_images:
            return f"all {self.num_images} label maps"
        return f"{self.num_counted} of {self.num_images} label maps, evenly spread"


@dataclass(frozen=True, kw_only=True)
class SegmentationFolder:
    """A data set of any layout, recognised.

    Attributes:
        layout: name in words.
        root: folder that was given.
        splits: by name.
        reading: its classes, and how its label maps are read.
    """

    layout: str
    root: Path
    splits: Mapping[str, SplitFiles]
    reading: Reading

    def find_split(self, name: str) -> tuple[str, SplitFiles]:
        """The split of a name, or of another word for the same: `train` for `training`.

        Raises:
            FileNotFoundError: there is none; those that exist are named.
        """
        found = find_name(name, self.splits)
        if found is None:
            there = ", ".join(f"{key} ({len(files.images)})" for key, files in self.splits.items())
            is_whole = not any(key in VALIDATION_NAMES for key in self.splits)
            part = ", or divide it with --data.val-fraction 0.1" if is_whole else ""
            raise FileNotFoundError(
                f"no split {name!r} in {self.root}; there are: {there or 'none'}; name one with "
                f"--data.train-split or --data.val-split (evaluate: --split){part}"
            )
        return found, self.splits[found]

    def describe(self) -> str:
        """Layout, images, splits and classes in one line."""
        names, reading = self.reading.classes.names, self.reading
        sizes = ", ".join(f"{key} {len(files.images)}" for key, files in self.splits.items())
        total = sum(len(files.images) for files in self.splits.values())
        named = ", ".join(names[:_NUM_NAMED]) + (", ..." if len(names) > _NUM_NAMED else "")
        classes = "1 class" if len(names) == 1 else f"{len(names)} classes"
        return (
            f"{self.root}: {self.layout} layout, {total} images ({sizes}), {classes} "
            f"({reading.names_from}: {named}); {reading.encoding.words}"
        )

    def count_classes(self, split: str, *, most: int = _NUM_COUNTED) -> ClassCounts:
        """Count the pixels of each class in a split, in up to `most` label maps spread over it.

        Raises:
            FileNotFoundError: no such split.
            ValueError: a label map cannot be read, or has a number that is no class.
        """
        pairs = self.find_split(split)[1].images
        chosen = pairs[:: max(1, -(-len(pairs) // most))]
        num_classes = len(self.reading.classes.names)

        def count(pair: LabelledImage) -> np.ndarray:
            labels = self.reading.encoding.read(pair.label_map)
            return np.bincount(labels.ravel(), minlength=IGNORED_LABEL + 1)

        pixels = np.zeros(IGNORED_LABEL + 1, np.int64)
        images = np.zeros(IGNORED_LABEL + 1, np.int64)
        with ThreadPoolExecutor(max_workers=NUM_READERS) as pool:
            for areas in pool.map(count, chosen):
                pixels += areas
                images += areas > 0
        return ClassCounts(
            pixels=pixels[:num_classes],
            images=images[:num_classes],
            ignored=int(pixels[IGNORED_LABEL]),
            num_counted=len(chosen),
            num_images=len(pairs),
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
    listed = _list_classes(files, (given, place), class_names, default_names)
    reading = _read(files, given, listed, reduce_zero_label)
    num_classes = len(reading.classes.names)
    if not 1 <= num_classes <= IGNORED_LABEL:
        raise ValueError(f"class names must be 1..255, got {num_classes} for {given}")
    return SegmentationFolder(layout=layout.name, root=given, splits=files.splits, reading=reading)


def _list_classes(
    files: LayoutFiles,
    places: Sequence[Path],
    class_names: Sequence[str] | None,
    default_names: Sequence[str] | None,
) -> tuple[ClassList, str] | None:
    """The classes that somebody names, and who; None where nobody does."""
    found = next((classes for classes in map(read_classes, places) if classes), None)
    listed = (found, "the folder's list") if found else files.classes
    if class_names is not None:
        names = tuple(class_names)
        known = listed or files.assumed
        same = known is not None and known[0].names == names
        return (known[0] if same and known else ClassList(names), "the recipe's names")
    if listed is None and default_names is not None:
        return ClassList(tuple(default_names)), "the model's names, as no classes.txt has any"
    return listed


def _read(
    files: LayoutFiles,
    root: Path,
    listed: tuple[ClassList, str] | None,
    reduce_zero_label: bool | None,
) -> Reading:
    """Classes and encoding, by the layout or by the files."""
    label_maps = [pair.label_map for split in files.splits.values() for pair in split.images]
    if files.encoding is not None:
        return _read_by_layout(files, root, listed, label_maps)
    rule = files.reduce_zero_label if reduce_zero_label is None else reduce_zero_label
    assumed = files.assumed
    if assumed is not None:
        assumed = (assumed[0], f"no classes.txt, so {assumed[1]} names are assumed")
    known = listed or assumed
    if rule is None and listed is not None and listed[0].first_number is not None:
        rule = listed[0].first_number == 1
    num_classes = len(known[0].names) if known else None

    def is_enough(evidence: Evidence) -> bool:
        return is_settled(evidence, num_classes=num_classes, reduce_zero_label=rule)

    evidence = gather_evidence(label_maps, is_enough)
    reading = decide(
        evidence,
        where=root,
        listed=listed,
        assumed=assumed,
        reduce_zero_label=rule,
        is_stated=reduce_zero_label is not None,
    )
    if reduce_zero_label is not None and isinstance(reading.encoding, Colours):
        raise ValueError(
            "--data.reduce-zero-label is for label maps of class numbers, got colours in those of "
            f"{root}"
        )
    return reading


def _read_by_layout(
    files: LayoutFiles,
    root: Path,
    listed: tuple[ClassList, str] | None,
    label_maps: Sequence[Path],
) -> Reading:
    """The layout's own encoding, for as many classes as it has."""
    assert files.classes is not None
    assert files.encoding is not None
    classes, names_from = listed or files.classes
    num_classes = len(files.classes[0].names)
    if len(classes.names) != num_classes:
        raise ValueError(
            f"classes must be {num_classes} in this layout, got {len(classes.names)} "
            f"({names_from}) for {root}"
        )
    if isinstance(files.encoding, NumberTable):
        _check_ids(gather_evidence(label_maps[:_NUM_COUNTED]), num_classes, root)
    return Reading(
        classes=classes,
        names_from=names_from,
        encoding=files.encoding,
        reduce_zero_label=files.reduce_zero_label,
    )


def _check_ids(evidence: Evidence, num_classes: int, root: Path) -> None:
    """Refuse training ids under the name of ids."""
    numbers = set(evidence.numbers)
    if 255 in numbers and max(numbers - {255}, default=num_classes) < num_classes:
        raise ValueError(
            f"labelIds must be ids of 0..33, got training ids (255, and none above "
            f"{num_classes - 1}) in {evidence.words} of {root}; name the files "
            "*_labelTrainIds.png if that is what they are"
        )


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
