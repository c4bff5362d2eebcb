"""Classes and encoding of a folder's label maps: by its layout, by its lists or by its files."""

from collections.abc import Sequence
from pathlib import Path

from swin_dense.datasets.categories import ClassList, read_classes
from swin_dense.datasets.formats.segmentation.label_encoding import Colours, NumberTable, Reading
from swin_dense.datasets.formats.segmentation.pairs import LayoutFiles
from swin_dense.datasets.formats.segmentation.reading.decision import decide, is_settled
from swin_dense.datasets.formats.segmentation.reading.evidence import Evidence, gather_evidence

_NUM_CHECKED = 500  # label maps whose numbers are looked at where the layout has said all


def list_classes(
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


def read_folder(
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
        _check_ids(gather_evidence(label_maps[:_NUM_CHECKED]), num_classes, root)
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
