"""The page of published files, `published.md`, made from the table in the code.

`python docs/published_table.py` writes it; a test compares the page with the table.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from swin_dense.checkpoints.published import PUBLISHED, PublishedFile

PAGE = Path(__file__).with_name("published.md")

_INTRODUCTION = """\
# Published files

A name from these tables stands for its file wherever a command or a function takes one:

```bash
swin-dense predict --weights mask_rcnn_swin_tiny_patch4_window7 image.jpg --out found
```

The file is downloaded when it is first used, into the folder of the environment variable
`SWIN_DENSE_CACHE`, else into `~/.cache/swin_dense`. A part of the hash in the file's name is
checked. Files on the Hugging Face hub need the extra `hub`.

Scores are the publishers', with the publishers' code; none was measured here. Sizes follow from the
number of parameters, at 4 bytes each. A recipe trains such a model: `swin-dense train RECIPE`. The
licences are listed [below the tables](#licences). `swin-dense recipes` prints the same in a
terminal.
"""
_TITLES = {  # by task, in the order of the page
    "detection": "Detection: COCO val2017",
    "segmentation": "Segmentation: ADE20K validation",
    "panoptic": "Panoptic segmentation: COCO val2017",
    "classification": "Classification: ImageNet-1K validation",
}
_REMARKS = {
    "detection": "Box and mask AP in %; on ADE20K or Cityscapes where the name says so.",
    "segmentation": (
        "mIoU in %, at one scale and (ms+flip) at several scales with mirrors; on Cityscapes\n"
        "where the name says so."
    ),
    "panoptic": (
        "Panoptic quality in %, mask AP of the things and mIoU; on ADE20K or Cityscapes where the\n"
        "name says so."
    ),
    "classification": (
        "Top-1 and top-5 accuracy in %, at 224 px, or at 384 px where the window is 12 (`_w12`).\n"
        "A file with the 21841 classes of ImageNet-22K has no such score. The backbones of\n"
        "detectors and segmentors start from these files."
    ),
}
_COLUMNS = ("name", "model", "published scores", "size and address", "recipe", "licence", "note")


def published_table() -> str:
    """The page as Markdown: a section for each task, and one for the licences."""
    parts = [_INTRODUCTION]
    for task, title in _TITLES.items():
        files = [file for file in PUBLISHED.values() if file.task == task]
        parts.append(f"## {title}\n\n{_REMARKS[task]}\n\n{_table(map(_row, files))}")
    licences = dict.fromkeys(file.licence for file in PUBLISHED.values())
    listed = "".join(f"- {licence}\n" for licence in licences)
    parts.append(f"## Licences\n\nAs far as the publishers state them:\n\n{listed}")
    return "\n".join(parts)


def _table(rows: Iterable[Iterable[str]]) -> str:
    lines = (_COLUMNS, ["---"] * len(_COLUMNS), *rows)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _row(file: PublishedFile) -> Iterator[str]:
    size = "unknown" if file.megabytes is None else f"{file.megabytes:.0f} MB"
    address = file.url.replace("hf://", "https://huggingface.co/")
    yield f"`{file.name}`"
    yield f"`{file.model}`"
    yield ", ".join(f"{name} {score}" for name, score in file.scores.items()) or "none stated"
    yield f"[{size}]({address})"
    yield "" if file.recipe is None else f"`{file.recipe}`"
    yield re.split(r" \(|;", file.licence)[0]
    yield file.note


def main() -> None:
    """Write the page."""
    PAGE.write_text(published_table(), encoding="utf-8")


if __name__ == "__main__":
    main()
