"""COCO-format files in other places than COCO's: one per split, with one table of classes."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from swin_dense.datasets.formats.coco_file import CocoCategory, CocoFile, read_coco
from swin_dense.datasets.formats.detection.box_forms import check_box_form
from swin_dense.datasets.formats.detection.image_files import SizeFinder, locate_images
from swin_dense.datasets.formats.panoptic.panoptic_file import is_panoptic_content

_MAX_NAMED = 5


class CategoryTable(NamedTuple):
    """Categories of one file by name, and those that an annotation of it uses."""

    ids: dict[str, int]
    used: frozenset[str]


def is_coco_content(path: Path) -> bool:
    """Tell whether a file is JSON with COCO's three lists, and not of panoptic segments."""
    return path.is_file() and _read_table(path) is not None


def read_annotation_file(
    root: Path,
    files: Mapping[str, Path],
    split: str,
    *,
    folders: Callable[[str], Sequence[Path]],
    crowds_are_objects: bool = False,
    sizes_of_files: bool = False,
) -> tuple[CocoFile, Path]:
    """Read the file of one split, with the classes of all of them.

    Categories that no annotation of any split uses are left out. Ids are those of the first file
    that has annotations; the other files' are translated by name.

    Args:
        root: of the data set.
        files: of each split.
        split: to read.
        folders: where the images of a split may be, the likeliest first.
        crowds_are_objects: masks marked as crowds are single objects, as CVAT writes them.
        sizes_of_files: images without width and height have those of their files.

    Returns:
        The annotations, and the folder that their file names are relative to.

    Raises:
        FileNotFoundError: there is no such split; the others are named.
        ValueError: as `read_coco` and `locate_images`; or the files have different classes.
    """
    if split not in files:
        there = ", ".join(files) or "none"
        raise FileNotFoundError(f"no split '{split}' in {root}; splits there: {there}")
    sizes = SizeFinder(root, folders(split)) if sizes_of_files else None
    coco = read_coco(files[split], find_size=sizes)
    if sizes is not None and sizes.num_found:
        note = f"sizes of {sizes.num_found} images, which it does not state, read from their files"
        coco = coco._replace(notes=(*coco.notes, note))
    check_box_form(coco)
    tables = {name: table for name, path in files.items() if (table := _read_table(path))}
    coco = _with_one_table(coco, tables, split=split, root=root)
    if crowds_are_objects:
        coco = _with_crowds_as_objects(coco)
    else:
        coco = coco._replace(notes=(*coco.notes, *_describe_crowds(coco)))
    return locate_images(coco, root, folders(split))


def _with_one_table(
    coco: CocoFile, tables: Mapping[str, CategoryTable], *, split: str, root: Path
) -> CocoFile:
    """The file with the category ids of all splits, without those that none of them uses."""
    used = frozenset().union(*(table.used for table in tables.values()))
    kept = {
        name: {key: number for key, number in table.ids.items() if key in used or not used}
        for name, table in tables.items()
    }
    first = next(iter(kept))
    for name, ids in kept.items():
        differing = sorted(ids.keys() ^ kept[first].keys())
        if differing:
            named = ", ".join(
                f"{key!r} only in {first if key in kept[first] else name}"
                for key in differing[:_MAX_NAMED]
            )
            raise ValueError(
                f"{root} must have the same categories in all splits, got {len(differing)} that "
                f"differ between {first} and {name}: {named}"
            )
    unused = sorted(set(tables[split].ids) - set(kept[split]))
    new_ids = {tables[split].ids[key]: kept[first][key] for key in kept[split]}
    notes = list(coco.notes)
    if unused:
        named = ", ".join(repr(key) for key in unused[:_MAX_NAMED])
        notes.append(
            f"{len(unused)} categor{'y' if len(unused) == 1 else 'ies'} that no annotation uses "
            f"left out ({named}{', ...' if len(unused) > _MAX_NAMED else ''})"
        )
    return coco._replace(
        categories=sorted(
            CocoCategory(new_ids[category.id], category.name)
            for category in coco.categories
            if category.id in new_ids
        ),
        annotations=[
            annotation._replace(category_id=new_ids[annotation.category_id])
            for annotation in coco.annotations
        ],
        notes=tuple(notes),
    )


def _with_crowds_as_objects(coco: CocoFile) -> CocoFile:
    """The file with its masks in run lengths as objects, whatever `iscrowd` says."""
    marked = {
        annotation.id
        for annotation in coco.annotations
        if annotation.is_crowd and annotation.run_lengths is not None
    }
    if not marked:
        return coco
    annotations = [
        annotation._replace(is_crowd=annotation.is_crowd and annotation.id not in marked)
        for annotation in coco.annotations
    ]
    note = f"{len(marked)} masks with iscrowd, as CVAT writes every mask, read as objects"
    return coco._replace(annotations=annotations, notes=(*coco.notes, note))


def _describe_crowds(coco: CocoFile) -> list[str]:
    """A note for each class that is mostly crowds, which are not trained on."""
    total = Counter(annotation.category_id for annotation in coco.annotations)
    crowds = Counter(
        annotation.category_id for annotation in coco.annotations if annotation.is_crowd
    )
    return [
        f"{crowds[category.id]} of {total[category.id]} annotations of {category.name!r} are "
        "marked iscrowd and not trained on: set iscrowd to 0 if each is one object"
        for category in coco.categories
        if 2 * crowds[category.id] > total[category.id]
    ]


def _read_table(path: Path) -> CategoryTable | None:
    state = path.stat()
    return _read_table_of(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=256)
def _read_table_of(path: Path, modified: int, size: int) -> CategoryTable | None:
    """The categories of a COCO file; None for any other file. What is malformed is passed over."""
    del modified, size  # they make it another file
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    lists = [content.get(section) for section in ("images", "annotations", "categories")]
    if not all(isinstance(entries, list) for entries in lists) or is_panoptic_content(content):
        return None
    categories = [
        (entry["id"], entry["name"])
        for entry in content["categories"]
        if isinstance(entry, dict)
        and isinstance(entry.get("id"), int | float)
        and isinstance(entry.get("name"), str)
    ]
    counts = Counter(name for _, name in categories)
    names = {
        int(number): name if counts[name] == 1 else f"{name} (id {int(number)})"
        for number, name in categories
    }
    used = {_category_of(entry) for entry in content["annotations"] if isinstance(entry, dict)}
    return CategoryTable(
        ids={name: number for number, name in names.items()},
        used=frozenset(name for number, name in names.items() if number in used),
    )


def _category_of(entry: Mapping[str, Any]) -> int | float | None:
    value = entry.get("category_id")
    return value if isinstance(value, int | float) else None
