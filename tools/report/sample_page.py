"""A page of augmented training samples with their annotations drawn, to be looked at first.

Faults of a data set show there at a glance: names that moved by one, boxes of another
size of image, masks upside down, label maps in other numbers, objects that augmentation cuts away.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.tools.report.page import (
    Section,
    paragraph,
    picture,
    pictures,
    table,
    write_page,
)
from swin_dense.tools.tasks.drawing import reduce_picture, save_picture
from swin_dense.tools.tasks.task import Sample, Task

PAGE_FILE = "samples.html"
NUM_SHOWN = 12
_PICTURE_FOLDER = "samples"
_LONGEST_SIDE = 1000  # px of a picture on the page


def write_sample_page(
    run: Path, title: str, *, task: Task, dataset: Any, samples: Sequence[Sample]
) -> Path:
    """Write `samples.html`, one file that needs nothing else, into the folder of a run.

    Args:
        run: the folder; the pictures are also left there, in `samples`.
        title: of the page.
        task: draws a sample and counts its annotations.
        dataset: the training data, for the names of the classes and for what was left out.
        samples: to be drawn, the first of them.

    Returns:
        The page's path.
    """
    (run / _PICTURE_FOLDER).mkdir(exist_ok=True)
    counts = [task.class_counts(sample, len(dataset.class_names)) for sample in samples]
    figures = []
    for place, (sample, count) in enumerate(zip(samples[:NUM_SHOWN], counts, strict=False)):
        path = run / _PICTURE_FOLDER / f"{place:02d}.jpg"
        drawn = task.draw_sample(dataset, sample)
        save_picture(reduce_picture(drawn, _LONGEST_SIDE), path)
        caption = _describe(sample, int(count.sum()), task.annotation_unit)
        figures.append(picture(path, caption))
    left_out = getattr(dataset, "report", {})
    seen = paragraph("How often each was seen in the samples that were looked at.", kind="muted")
    class_table = table(("class", "label", task.annotation_unit), _count_classes(dataset, counts))
    blocks: list[str | Section] = [
        paragraph(
            f"{len(dataset)} images and {len(dataset.class_names)} classes. The first "
            f"{len(figures)} samples of the training, augmented, as the model is given them. A "
            "click opens a picture and closes it."
        ),
        Section(title="Samples", blocks=[pictures(figures)]),
        Section(title="Classes", blocks=[seen, class_table]),
        *_left_out_sections(left_out),
    ]
    write_page(run / PAGE_FILE, title, blocks)
    return run / PAGE_FILE


def _describe(sample: Sample, count: int, unit: str) -> str:
    """The image, its size before and after augmentation, and how much is annotated in it."""
    height, width = sample["image"].shape[1:]
    before = sample["original_size"]
    return (
        f"image {sample['image_id']}, {before[1]} x {before[0]} px, given as {width} x {height}, "
        f"{count:,} {unit.removesuffix('s') if count == 1 else unit}"
    )


def _count_classes(dataset: Any, counts: Sequence[np.ndarray]) -> list[tuple[str, str, str]]:
    """Rows of class, label and count."""
    total = np.sum(counts, axis=0)
    return [
        (name, str(label), f"{count:,}")
        for label, (name, count) in enumerate(zip(dataset.class_names, total.tolist(), strict=True))
    ]


def _left_out_sections(left_out: Mapping[str, int]) -> list[Section]:
    """Annotations that are not trained on."""
    if not left_out:
        return []
    rows = [(reason, f"{count:,}") for reason, count in left_out.items()]
    counts = table(("annotations", "how many"), rows)
    return [Section(title="Left out of the training", blocks=[counts])]
