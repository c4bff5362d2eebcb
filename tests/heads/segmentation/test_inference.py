"""Label maps by strips of rows against scores of the whole map at once."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from swin_dense.heads.segmentation import inference
from swin_dense.heads.segmentation.inference import (
    averaged_scores,
    label_map,
    probabilities,
    whole_scores,
    window_logits,
    window_origins,
    window_scores,
)

CPU = torch.device("cpu")


def enlarge(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """`(K, h, w)` to `(K, *size)`."""
    return F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]


@pytest.fixture(params=["one strip", "strips of a row"])
def strips(request, monkeypatch):
    if request.param != "one strip":
        monkeypatch.setattr(inference, "STRIP_BYTES", 1)


@pytest.mark.usefixtures("strips")
@pytest.mark.parametrize("size", [(40, 60), (33, 47), (90, 71)], ids=str)
def test_whole_map_is_resized_to_the_input_then_to_the_label_map(size, generator):
    logits = torch.randn(5, 10, 15, generator=generator)
    expected = enlarge(enlarge(logits, (40, 60)), size).argmax(dim=0)
    actual = label_map(whole_scores(logits, [(40, 60), size]), size, num_classes=5, device=CPU)
    assert actual.dtype == torch.int64
    assert actual.shape == size
    assert (actual == expected).float().mean() >= 0.999  # ties by rounding


@pytest.mark.usefixtures("strips")
@pytest.mark.parametrize("size", [(40, 60), (33, 47)], ids=str)
def test_windows_are_averaged_where_they_overlap(size, generator):
    window, input_size = (16, 24), (40, 60)
    origins = window_origins(input_size, window, (10, 17))
    logits = torch.randn(len(origins), 5, 4, 6, generator=generator)
    total, count = torch.zeros(5, *input_size), torch.zeros(input_size)
    for entry, (top, left) in zip(logits, origins, strict=True):
        total[:, top : top + 16, left : left + 24] += enlarge(entry, window)
        count[top : top + 16, left : left + 24] += 1
    expected = enlarge(total / count, size).argmax(dim=0)
    scores = window_scores(logits, origins, window, (input_size, size))
    actual = label_map(scores, size, num_classes=5, device=CPU)
    assert (actual == expected).float().mean() >= 0.999


@pytest.mark.usefixtures("strips")
def test_probabilities_of_views_are_averaged(generator):
    views = [torch.randn(5, 10, 15, generator=generator), torch.randn(5, 4, 6, generator=generator)]
    size = (40, 60)
    expected = sum(enlarge(view, size).softmax(dim=0) for view in views).argmax(dim=0)
    scores = averaged_scores([probabilities(whole_scores(view, [size])) for view in views])
    actual = label_map(scores, size, num_classes=5, device=CPU)
    assert (actual == expected).float().mean() >= 0.999


def test_averaged_probabilities_sum_to_one(generator):
    views = [whole_scores(torch.randn(3, 2, 2, generator=generator), [(4, 4)]) for _ in range(3)]
    sums = averaged_scores([*map(probabilities, views)])((1, 3)).sum(dim=-1)
    torch.testing.assert_close(sums, torch.ones(2, 4))


def test_the_last_window_is_moved_back_inside():
    assert window_origins((10, 7), (4, 7), (3, 5)) == [(0, 0), (3, 0), (6, 0)]
    assert window_origins((5, 9), (4, 4), (3, 3)) == [
        (0, 0), (0, 3), (0, 5), (1, 0), (1, 3), (1, 5),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 30), (21, 8)], ids=str)
def test_windows_cover_every_pixel(size):
    window = min(8, size[0]), min(8, size[1])
    covered = torch.zeros(size)
    for top, left in window_origins(size, window, (5, 8)):
        assert top + window[0] <= size[0]
        assert left + window[1] <= size[1]
        covered[top : top + window[0], left : left + window[1]] = 1
    assert covered.all()


def test_windows_are_decoded_in_batches_in_their_order(generator):
    pixels = torch.randn(3, 20, 20, generator=generator)
    origins = window_origins((20, 20), (8, 8), (4, 4))
    sizes = []

    def decode(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        return batch

    logits = window_logits(decode, pixels, origins, (8, 8))
    expected = torch.stack([pixels[:, t : t + 8, x : x + 8] for t, x in origins])
    assert torch.equal(torch.stack(logits), expected)
    assert max(sizes) < len(origins)
