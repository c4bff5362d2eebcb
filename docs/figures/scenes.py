"""Draw the picture that the README opens with: the objects that models find in drawn scenes.

The models are the demo's; no data set contains these scenes. From the repository's root:

    swin-dense demo --out demo
    python docs/figures/scenes.py --weights demo/{detection,segmentation}/last/model.safetensors
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from swin_dense.datasets.shapes import draw_shapes
from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.tools.tasks.drawing import (
    Picture,
    class_colour,
    draw_detections,
    draw_label_map,
    draw_legend,
    side_by_side,
)

_SIDE = 338  # px of a scene in the picture: three and the legend are about 1200 px wide
_STREAM = 2  # of random numbers; `write_shapes` draws from streams 0 and 1
_GAP = 8  # px
_BACKGROUND_COLOUR = (128, 128, 128)  # of a class that the detector does not have
_MAX_BYTES = 400_000
_KMEANS_ROUNDS = 4  # of the palette; without them rare colours are lost


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the models, find objects in the scenes, write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--weights", type=Path, nargs=2, required=True, help="files of the detector, the segmentor"
    )
    parser.add_argument(
        "--scenes", type=int, nargs="+", default=[6, 7, 10], help="numbers of the scenes to draw"
    )
    parser.add_argument(
        "--input-size", type=int, default=128, help="side of the images trained on, px"
    )
    parser.add_argument("--score-threshold", type=float, default=0.5, help="least score drawn")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("found.png"))
    options = parser.parse_args(arguments)
    detector, segmentor = (from_checkpoint(path) for path in options.weights)
    for model, task in ((detector, "detection"), (segmentor, "segmentation")):
        if model.task != task:
            parser.error(
                f"--weights must be a detector and a segmentor, got {model.task} for {task}"
            )
    scenes = [draw_scene(number) for number in options.scenes]
    detections = [
        keep_scores(result, options.score_threshold)
        for result in find(detector, scenes, input_size=options.input_size)
    ]
    label_maps = find(segmentor, scenes, input_size=options.input_size)
    picture = draw_figure(
        scenes,
        detections,
        label_maps,
        detector_names=detector.class_names,
        segmentor_names=segmentor.class_names,
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(encode_png(picture, max_bytes=_MAX_BYTES))
    print(f"{options.out}: {picture.shape[1]} x {picture.shape[0]} px")


def draw_scene(number: int) -> np.ndarray:
    """Scene of that number, `(S, S, 3)` uint8 RGB; no training or validation set contains it."""
    return draw_shapes(np.random.default_rng((0, _STREAM, number)), size=_SIDE).pixels


def find(model: Any, scenes: Sequence[np.ndarray], *, input_size: int) -> list[Any]:
    """Results of the model in the frame of the scenes, which it sees at `input_size` px."""
    images = [to_tensor(resize(scene, input_size)) for scene in scenes]
    results: list[Any] = model.predict(images, original_sizes=[(_SIDE, _SIDE)] * len(scenes))
    return results


def keep_scores(result: dict[str, Tensor], threshold: float) -> dict[str, Tensor]:
    """The detections that score at least `threshold`."""
    return {name: value[result["scores"] >= threshold] for name, value in result.items()}


def draw_figure(
    scenes: Sequence[np.ndarray],
    detections: Sequence[dict[str, Tensor]],
    label_maps: Sequence[Tensor],
    *,
    detector_names: Sequence[str],
    segmentor_names: Sequence[str],
) -> Picture:
    """A row of detections, a row of label maps with a legend; a class has one colour in both."""
    colours = np.array(
        [
            class_colour(detector_names.index(name))
            if name in detector_names
            else _BACKGROUND_COLOUR
            for name in segmentor_names
        ],
        np.uint8,
    )
    images = [to_tensor(scene) for scene in scenes]
    boxes = [
        draw_detections(image, result, detector_names)
        for image, result in zip(images, detections, strict=True)
    ]
    tinted = [
        draw_label_map(to_tensor(to_grey(scene)), labels, colours)
        for scene, labels in zip(scenes, label_maps, strict=True)
    ]
    labels = list(range(len(segmentor_names)))
    legend = draw_legend(labels, segmentor_names, colours, height=len(tinted[0]))
    untitled = [""] * (len(scenes) - 1)
    top = side_by_side(boxes, ["detection: boxes, classes, scores, masks", *untitled], gap=_GAP)
    bottom = side_by_side(
        [*tinted, legend], ["segmentation: a class for every pixel", *untitled, ""], gap=_GAP
    )
    beside_legend = np.full((len(top), bottom.shape[1] - top.shape[1], 3), 255, np.uint8)
    return np.concatenate([np.concatenate([top, beside_legend], axis=1), bottom])


def encode_png(picture: Picture, *, max_bytes: int) -> bytes:
    """A PNG with as many colours, 256 at most, as `max_bytes` allow.

    Raises:
        ValueError: it would have fewer than 32.
    """
    image = Image.fromarray(picture)
    for num_colours in (256, 192, 128, 96, 64, 48, 32):
        content = io.BytesIO()
        reduced = image.quantize(num_colours, kmeans=_KMEANS_ROUNDS, dither=Image.Dither.NONE)
        reduced.save(content, format="PNG", optimize=True)
        if content.tell() <= max_bytes:
            return content.getvalue()
    raise ValueError(f"a picture with 32 colours must take {max_bytes} bytes, got {content.tell()}")


def resize(image: np.ndarray, side: int) -> np.ndarray:
    """Make a square image smaller by averaging."""
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def to_grey(image: np.ndarray) -> np.ndarray:
    """The image without colour, so that those of a label map are seen as they are."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def to_tensor(image: np.ndarray) -> Tensor:
    """`(H, W, 3)` to `(3, H, W)`."""
    return torch.from_numpy(image).permute(2, 0, 1)


if __name__ == "__main__":
    main()
