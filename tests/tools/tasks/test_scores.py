"""The choice of images worth a look, and what is kept for it."""

import itertools

import numpy as np
import pytest

from swin_dense.tools.tasks.scores import ImageScores, KeptResults, ScoredImage, rank_images

Image = ScoredImage


def _rank(scores: list[float | None], *, num_examples: int = 2) -> ImageScores:
    images = [Image(place, f"i{place}", score) for place, score in enumerate(scores)]
    return rank_images(
        reversed(images),
        lambda image: np.full((1, 1, 3), image.place, np.uint8),
        rule="F1",
        num_examples=num_examples,
    )


def _places(ranked: ImageScores) -> list[list[int]]:
    return [
        [example.image.place for example in examples]
        for examples in (ranked.best, ranked.worst, ranked.first)
    ]


def test_best_worst_and_first_are_chosen_and_drawn_when_asked() -> None:
    ranked = _rank([0.5, None, 0.9, 0.1, 0.7])
    assert _places(ranked) == [[2, 4], [3, 0], [0, 1]]
    assert ranked.best[0].draw()[0, 0, 0] == 2
    assert [image.image_id for image in ranked.images] == ["i0", "i1", "i2", "i3", "i4"]


@pytest.mark.parametrize(
    ("scores", "best", "worst"),
    [
        ([0.5, 0.6, 0.7], [2, 1], [0]),
        ([0.5], [0], []),
        ([None, None], [], []),
        ([], [], []),
        ([0.0, 0.0, 0.0, 0.0], [0, 1], [3, 2]),
    ],
)
def test_no_image_is_both_best_and_worst(
    scores: list[float | None], best: list[int], worst: list[int]
) -> None:
    assert _places(_rank(scores))[:2] == [best, worst]


def test_results_of_few_images_stay_whatever_their_order() -> None:
    images = [Image(place, place, (place * 7 % 5) / 5) for place in range(10)]
    images += [Image(10, 10, None)]
    ranked = rank_images(images, lambda _: np.zeros((1, 1, 3), np.uint8), rule="", num_examples=2)
    wanted = set(itertools.chain(*_places(ranked)))
    for order in (images, images[::-1], images[5:] + images[:5]):
        kept = KeptResults(num_examples=2)
        most = 0
        for image in order:
            kept.add(image, lambda image=image: f"result {image.place}")
            most = max(most, len(kept.results))
        assert most <= 6
        assert wanted <= kept.results.keys()
        assert all(kept.results[place] == f"result {place}" for place in wanted)
        assert len(kept.images) == 11


def test_a_result_that_does_not_stay_is_not_packed() -> None:
    kept = KeptResults(num_examples=1)
    for place, score in enumerate([0.9, 0.1]):
        kept.add(Image(place, place, score), lambda: "packed")
    kept.add(Image(2, 2, 0.5), lambda: pytest.fail("packed"))
