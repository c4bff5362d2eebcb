"""A page to look at a store: what the features of each level tell apart in some images.

Each level's principal components are colours, the same in all images; a click on a cell shows the
cells that are most like it, by the cosine of their leading components. One file, nothing fetched.
"""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from swin_dense.datasets.features.feature_store import FeatureStore, ImageFeatures
from swin_dense.datasets.features.inputs import ImageFile
from swin_dense.datasets.images import read_image
from swin_dense.tools.features.preview_script import SCRIPT, STYLE
from swin_dense.tools.features.principal_components import (
    as_colours,
    as_directions,
    principal_components,
)
from swin_dense.tools.report.page import paragraph, write_page

_IMAGES = 12
_LONGEST_SIDE = 480  # px, of the photographs on the page
_MOST_CELLS = 64  # along a side; finer maps are averaged
_COMPONENTS = 24  # that cells are compared by


def write_preview(store: FeatureStore, images: Mapping[str, ImageFile], path: Path) -> None:
    """Write the page, beside its final name and renamed.

    Args:
        store: of which some images, evenly spread, are shown.
        images: their files, by id; those that are not among them are not shown.
        path: of the page.
    """
    shown = _choose([image_id for image_id in store.ids if image_id in images])
    items = [store[image_id] for image_id in shown]
    photographs = [_photograph(images[item["id"]]) for item in items]
    levels = [
        [few_cells(item["features"][level], _MOST_CELLS) for item in items]
        for level in range(len(store.strides) if items else 0)
    ]
    components = [principal_components(maps, count=_COMPONENTS) for maps in levels]
    colours = [as_colours(maps) for maps in components]
    content = {
        "levels": [
            {"name": f"level {number}", "stride": stride, "length": _COMPONENTS}
            for number, stride in zip(store.description.levels, store.strides, strict=True)
        ],
        "images": [
            _image_content(item, [maps[place] for maps in map(as_directions, components)])
            for place, item in enumerate(items)
        ],
    }
    blocks = [
        paragraph(_describe(store, len(items)), kind="muted"),
        *(
            _row(item, photographs[place], [maps[place] for maps in colours], content["levels"])
            for place, item in enumerate(items)
        ),
        _RESULT,
        f'<script type="application/json" id="content">{_as_json(content)}</script>',
    ]
    write_page(path, "Features", blocks, style=STYLE, script=SCRIPT)


_RESULT = (
    '<div class="result" id="result" hidden><p id="chosen" aria-live="polite"></p>'
    '<div class="patches" id="patches"></div></div>'
)


def _describe(store: FeatureStore, num_shown: int) -> str:
    description = store.description
    what = "the feature pyramid network" if description.pyramid == "fpn" else "the backbone"
    text = (
        f"{num_shown} of {len(store):,} images. {description.model}, {what}, {description.dtype}. "
        "Colours are the first three principal components of a level, the same in all images: what "
        "has one colour has like features."
    )
    return (
        f"{text} Click into a map to see the cells that are most like that one."
        if num_shown
        else text
    )


def _row(
    item: ImageFeatures,
    photograph: np.ndarray,
    colours: Sequence[np.ndarray],
    levels: Sequence[Mapping[str, Any]],
) -> str:
    """A photograph and the maps of its levels, each under a canvas that is drawn on by a click."""
    name = html.escape(item["id"])
    height, width = photograph.shape[:2]
    frame = f'<div class="frame" style="aspect-ratio: {width} / {height}">'
    figures = [
        f'<figure class="photograph">{frame}<img src="{as_jpeg(photograph)}" alt="{name}">'
        f"<canvas></canvas></div><figcaption>{name}</figcaption></figure>"
    ]
    for level, maps in zip(levels, colours, strict=True):
        caption = f"{level['name']}, stride {level['stride']}"
        figures.append(
            f'<figure class="map" tabindex="0" role="img" aria-label="{name}, {caption}">{frame}'
            f'<img src="{as_png(maps)}" alt=""><canvas></canvas></div>'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return f'<div class="maps">{"".join(figures)}</div>'


def _image_content(item: ImageFeatures, directions: Sequence[np.ndarray]) -> dict[str, Any]:
    """Sizes of an image, and the cells of each of its levels."""
    height, width = item["size"]
    return {
        "id": item["id"],
        "size": [height, width],
        "original": list(item["original_size"]),
        "maps": [
            {
                "size": list(part.shape[:2]),
                "cells": base64.b64encode(np.ascontiguousarray(part).tobytes()).decode(),
            }
            for part in directions
        ],
    }


def _choose(ids: Sequence[str]) -> list[str]:
    """Some ids, evenly spread over all."""
    count = min(_IMAGES, len(ids))
    return [ids[place * len(ids) // count] for place in range(count)]


def _photograph(file: ImageFile) -> np.ndarray:
    """`(h, w, 3)` uint8 RGB, small."""
    pixels = read_image(file.path, stated_size=file.stated_size)
    factor = min(1.0, _LONGEST_SIDE / max(pixels.shape[:2]))
    size = [max(1, round(side * factor)) for side in pixels.shape[1::-1]]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def few_cells(maps: np.ndarray, most: int) -> np.ndarray:
    """`(C, h, w)` floats averaged to sides of at most `most` cells, float32."""
    _, height, width = maps.shape
    factor = min(1.0, most / max(height, width))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return F.adaptive_avg_pool2d(torch.from_numpy(maps).float(), size).numpy()


def as_jpeg(pixels: np.ndarray) -> str:
    """`(h, w, 3)` uint8 RGB as the address of an image that holds it."""
    return _as_address(pixels, ".jpg", "jpeg", [cv2.IMWRITE_JPEG_QUALITY, 85])


def as_png(pixels: np.ndarray) -> str:
    """`(h, w, 3)` uint8 RGB as the address of an image that holds it without loss."""
    return _as_address(pixels, ".png", "png", [])


def _as_address(pixels: np.ndarray, ending: str, kind: str, options: list[int]) -> str:
    _, encoded = cv2.imencode(ending, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"


def _as_json(content: Any) -> str:
    """JSON that cannot end the element it stands in."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
