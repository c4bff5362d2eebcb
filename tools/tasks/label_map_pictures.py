"""Pictures of label maps with their classes beside them."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from swin_dense.datasets.categories import ade20k_classes
from swin_dense.datasets.label_maps import IGNORED_LABEL
from swin_dense.datasets.shapes import GROUND_NAME
from swin_dense.heads.whole_model import Model
from swin_dense.tools.tasks.drawing import (
    LABEL_OPACITY,
    Picture,
    class_colour,
    draw_label_map,
    draw_legend,
    side_by_side,
)

_BACKGROUNDS = ("background", "_background_", GROUND_NAME)
_GREY = (138, 148, 160)


def class_names_of(model: Model) -> tuple[str, ...]:
    """Names of a segmentor's classes; published files that store none are ADE20K's."""
    if model.class_names is not None:
        return model.class_names
    names = ade20k_classes().names
    num_classes = model.config.num_classes
    return names if num_classes == len(names) else tuple(f"class {i}" for i in range(num_classes))


def class_colours(num_classes: int, given: np.ndarray | None = None) -> np.ndarray:
    """`(K, 3)` uint8: those given with the data, else ADE20K's for its 150, else made."""
    if given is not None:
        return given
    ade20k = ade20k_classes()
    if ade20k.colours is not None and num_classes == len(ade20k.names):
        return ade20k.colours
    return np.array([class_colour(label) for label in range(num_classes)], np.uint8)


def background_labels(class_names: Sequence[str]) -> list[int]:
    """Labels of classes that stand for "none of the others"; pictures leave their pixels as is.

    It goes by the name: "background", or the "ground" of drawn shapes.
    """
    return [label for label, name in enumerate(class_names) if name.lower() in _BACKGROUNDS]


def chart_colours(class_names: Sequence[str], colours: np.ndarray) -> np.ndarray:
    """The colours `(K, 3)` with grey for the background, which has none in the pictures."""
    shown = colours.copy()
    shown[background_labels(class_names)] = _GREY
    return shown


def class_areas(labels: Tensor, num_classes: int) -> np.ndarray:
    """Pixels of each class `(K,)`; ignored ones are not counted."""
    counts = np.bincount(labels.cpu().numpy().ravel(), minlength=IGNORED_LABEL + 1)
    return counts[:num_classes]


def largest_first(areas: np.ndarray) -> list[int]:
    """Labels that occur."""
    return [int(label) for label in np.argsort(-areas, kind="stable") if areas[label]]


def draw_with_legend(
    image: Tensor,
    label_maps: Sequence[Tensor],
    titles: Sequence[str],
    *,
    class_names: Sequence[str],
    colours: np.ndarray,
) -> Picture:
    """One picture for each label map of an image, and last the classes that occur, largest first.

    The background is not painted.

    Args:
        image: `(3, H, W)` uint8 RGB.
        label_maps: `(H, W)` each, 255 is ignored.
        titles: one for each label map.
        class_names: name of every label.
        colours: `(K, 3)` uint8 RGB.
    """
    unpainted = background_labels(class_names)
    pictures = [
        draw_label_map(image, labels, colours, unpainted=unpainted) for labels in label_maps
    ]
    areas = sum(class_areas(labels, len(colours)) for labels in label_maps)
    legend = draw_legend(
        largest_first(np.asarray(areas)),
        class_names,
        colours,
        height=len(pictures[0]),
        unpainted=unpainted,
    )
    return side_by_side([*pictures, legend], [*titles, "classes"])


def draw_with_shares(
    image: Tensor,
    labels: Tensor,
    class_names: Sequence[str],
    colours: np.ndarray,
    *,
    opacity: float = LABEL_OPACITY,
    hidden: Sequence[int] = (),
) -> Picture:
    """A label map over its image, and beside it the classes that occur, with their shares.

    The background is not painted.

    Args:
        image: `(3, H, W)` uint8 RGB.
        labels: `(H, W)`, 255 is ignored.
        class_names: name of every label.
        colours: `(K, 3)` uint8 RGB.
        opacity: of the colours, 0..1.
        hidden: labels that are left out.
    """
    unpainted = background_labels(class_names)
    picture = draw_label_map(
        image, labels, colours, unpainted=[*unpainted, *hidden], opacity=opacity
    )
    areas = class_areas(labels, len(colours))
    shown = [label for label in largest_first(areas) if label not in hidden]
    legend = draw_legend(
        shown,
        class_names,
        colours,
        height=len(picture),
        remarks=[f"{100 * areas[label] / labels.numel():.1f}%" for label in shown],
        unpainted=unpainted,
    )
    return np.concatenate([picture, legend], axis=1)
