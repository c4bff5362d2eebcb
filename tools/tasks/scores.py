"""Scores in more detail than a few numbers: by class, by score threshold, by image."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swin_dense.tools.tasks.drawing import Picture, as_hex, class_colour

NUM_EXAMPLES = 4  # of the best, of the worst and of the first images
ABSENT = "\N{EN DASH}"


def in_percent(score: float | None) -> str:
    """`43.7`, as papers print it; a dash where there is none (nan, and COCO's -1, too)."""
    return f"{100 * score:.1f}" if score is not None and score >= 0 else ABSENT


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """The scores that stand for all classes.

    Attributes:
        columns: a heading for each column, such as "boxes"; "score" for the only one.
        rows: the name of each row, and its scores, one a column; None where not defined.
        prefixes: by column, what a score's full name begins with, such as "box ".
        words: the meaning of the names and of a dash, to be read above the table.
    """

    columns: tuple[str, ...]
    rows: Mapping[str, Sequence[float | None]]
    prefixes: tuple[str, ...] = ("",)
    words: str = "In percent."

    @property
    def by_name(self) -> dict[str, float | None]:
        """Every score under its full name, such as "box AP50", one column after the other."""
        return {
            f"{prefix}{name}": scores[place]
            for place, prefix in enumerate(self.prefixes)
            for name, scores in self.rows.items()
        }


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """Scores of each class.

    Attributes:
        names: of the K classes.
        scores: by the score's name a fraction for each class; None where it is not defined.
        counts: how much of each class there is to find.
        unit: of the counts, "objects" or "pixels".
        colours: "#rrggbb" of each class, as in the pictures; none: those of `class_colour`.
    """

    names: tuple[str, ...]
    scores: Mapping[str, Sequence[float | None]]
    counts: Sequence[int]
    unit: str
    colours: Sequence[str] = ()

    def colour_of(self, label: int) -> str:
        """Colour of a class in pictures and charts, "#rrggbb"."""
        return self.colours[label] if self.colours else as_hex(class_colour(label))


@dataclass(frozen=True, kw_only=True)
class PrecisionCurves:
    """Precision at equally spaced recalls from 0 to 1.

    Attributes:
        means: by the overlap it is at, the mean over the classes that occur, `(P,)` each.
        by_class: `(K, P)` at IoU 0.5; nan for a class that does not occur.
    """

    means: Mapping[str, NDArray[np.float64]]
    by_class: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ThresholdScores:
    """Counts of what is found from each score threshold on, over all classes.

    Attributes:
        thresholds: `(T,)` rising.
        num_right: `(T,)` predictions of at least this score that are right.
        num_found: `(T,)` predictions of at least this score.
        num_objects: what there is to find.
        shown: the threshold at which pictures and the confusion matrix are made.
    """

    thresholds: NDArray[np.float64]
    num_right: NDArray[np.int64]
    num_found: NDArray[np.int64]
    num_objects: int
    shown: float

    @property
    def precision(self) -> NDArray[np.float64]:
        """`(T,)`; nan where nothing is found."""
        found = self.num_found.astype(np.float64)
        return np.divide(self.num_right, found, out=np.full(len(found), np.nan), where=found > 0)

    @property
    def recall(self) -> NDArray[np.float64]:
        """`(T,)`; 0 where there is nothing to find."""
        return self.num_right / max(1, self.num_objects)

    @property
    def f1(self) -> NDArray[np.float64]:
        """`(T,)` harmonic mean of precision and recall."""
        return 2 * self.num_right / np.maximum(1, self.num_found + self.num_objects)

    @property
    def best(self) -> int:
        """Index of the threshold of the highest F1; of equal ones the lowest."""
        return int(self.f1.argmax())


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Counts of classes that are taken for others.

    Attributes:
        names: of rows and columns alike.
        counts: `(N, N)` int64; entry [i, j] of what is i and was taken for j.
        unit: of the counts, "objects" or "pixels".
        rule: how they were counted, a sentence.
        has_background: whether the last row and column are of what is no object, or not found.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    unit: str
    rule: str
    has_background: bool = False

    @property
    def is_read_in_shares(self) -> bool:
        """True where a cell is best read as a share of its row, not as a count: of pixels."""
        return self.unit.endswith("pixels")


class ScoredImage(NamedTuple):
    """An image and its score; None where there is nothing to find in it or wrong with it."""

    place: int
    image_id: int | str
    score: float | None


@dataclass(frozen=True)
class Example:
    """An image worth a look; `draw` puts ground truth and prediction side by side."""

    image: ScoredImage
    draw: Callable[[], Picture]


@dataclass(frozen=True, kw_only=True)
class ImageScores:
    """Scores of single images, and pictures of some.

    Attributes:
        rule: definition of the score, to be read by people.
        images: all, in the order of the data set.
        best: the best first.
        worst: the worst first; none of them is among the best.
        first: the first of the data set, the same at every evaluation.
    """

    rule: str
    images: Sequence[ScoredImage]
    best: Sequence[Example]
    worst: Sequence[Example]
    first: Sequence[Example]


def rank_images(
    images: Iterable[ScoredImage],
    draw: Callable[[ScoredImage], Picture],
    *,
    rule: str,
    num_examples: int = NUM_EXAMPLES,
) -> ImageScores:
    """Choose the best, the worst and the first images.

    Equal scores go by the place in the data set, so that the choice does not depend on the order in
    which, or the processes in which, the images were predicted.

    Args:
        images: all of the data set, in any order.
        draw: makes the picture of one of them.
        rule: definition of the score, to be read by people.
        num_examples: pictures of each kind, or fewer where there are too few images for both.
    """
    in_place = sorted(set(images))
    ranked = _rank(in_place)
    num_best = min(num_examples, (len(ranked) + 1) // 2)
    num_worst = min(num_examples, len(ranked) - num_best)

    def examples(chosen: Sequence[ScoredImage]) -> list[Example]:
        return [Example(image, partial(draw, image)) for image in chosen]

    return ImageScores(
        rule=rule,
        images=in_place,
        best=examples(ranked[:num_best]),
        worst=examples(ranked[::-1][:num_worst]),
        first=examples(in_place[:num_examples]),
    )


class KeptResults:
    """The results of images that may be among the best, the worst or the first; the others go.

    Memory is bounded: at most three times `num_examples` results stay.

    Attributes:
        images: all so far.
        results: what was packed, by the image's place.
    """

    def __init__(self, *, num_examples: int = NUM_EXAMPLES) -> None:
        self.images: list[ScoredImage] = []
        self.results: dict[int, Any] = {}
        self._num_examples = num_examples
        self._kept: list[ScoredImage] = []

    def add(self, image: ScoredImage, pack: Callable[[], Any]) -> None:
        """Note an image; `pack` is called only where its result may be needed."""
        self.images.append(image)
        candidates = sorted([*self._kept, image])
        ranked = _rank(candidates)
        number = self._num_examples
        chosen = {*candidates[:number], *ranked[:number], *ranked[::-1][:number]}
        self._kept = list(chosen)
        if image in chosen:
            self.results[image.place] = pack()
        self.results = {kept.place: self.results[kept.place] for kept in chosen}


def _rank(images: Iterable[ScoredImage]) -> list[ScoredImage]:
    """Those that have a score, the best first."""
    scored = [(-image.score, image) for image in images if image.score is not None]
    return [image for _, image in sorted(scored)]
