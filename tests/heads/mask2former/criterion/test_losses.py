"""Losses of Mask2Former, against the formulas for a case that can be worked by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from swin_dense.configs import SWIN_VARIANTS
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.mask2former.criterion.losses import ImagePredictions, mask2former_losses

CONFIG = Mask2FormerConfig(backbone=SWIN_VARIANTS["swin_t"], num_classes=2, num_points=16)


def predict(num_sets: int = 1) -> ImagePredictions:
    """Two queries whose masks are +8 or -8 everywhere, the first certain of class 1."""
    classes = torch.tensor([[0.0, 9, 0], [0, 0, 0]]).expand(num_sets, 2, 3)
    embeddings = torch.tensor([[8.0], [-8]]).expand(num_sets, 2, 1)
    return ImagePredictions(classes, embeddings, torch.ones(1, 4, 4), (16, 16))


def full_mask(label: int) -> dict:
    return {"labels": torch.tensor([label]), "masks": torch.ones(1, 16, 16, dtype=torch.bool)}


def test_a_mask_and_class_that_are_right_cost_little() -> None:
    losses = mask2former_losses([predict()], [full_mask(1)], CONFIG)
    assert losses.keys() == {"loss_cls", "loss_mask", "loss_dice"}
    classes = predict().class_logits[0].log_softmax(-1)
    expected = -(classes[0, 1] + 0.1 * classes[1, 2]) / 1.1
    torch.testing.assert_close(losses["loss_cls"], 2 * expected)
    # At the border the mask is half outside, where neither is known to more.
    assert float(losses["loss_dice"]) < 1
    assert float(losses["loss_mask"]) < 5


def test_every_set_is_matched_and_weighed_by_itself() -> None:
    torch.manual_seed(0)
    losses = mask2former_losses([predict(3)], [full_mask(1)], CONFIG)
    names = {
        f"loss_{part}{place}" for part in ("cls", "mask", "dice") for place in ("", "_0", "_1")
    }
    assert losses.keys() == names
    torch.testing.assert_close(losses["loss_cls_0"], losses["loss_cls"])


def test_masks_are_averaged_over_the_objects_of_the_batch() -> None:
    torch.manual_seed(0)
    one = mask2former_losses([predict()], [full_mask(1)], CONFIG)
    empty = {"labels": torch.zeros(0).long(), "masks": torch.zeros(0, 16, 16).bool()}
    torch.manual_seed(0)
    with_empty = mask2former_losses([predict(), predict()], [full_mask(1), empty], CONFIG)
    assert float(with_empty["loss_dice"]) == pytest.approx(float(one["loss_dice"]), rel=0.4)
    assert float(with_empty["loss_cls"]) != pytest.approx(float(one["loss_cls"]))


def test_more_objects_than_queries_are_matched_as_far_as_there_are_queries() -> None:
    target = {"labels": torch.tensor([0, 1, 1]), "masks": torch.ones(3, 16, 16).bool()}
    losses = mask2former_losses([predict()], [target], CONFIG)
    assert all(loss.isfinite() for loss in losses.values())


class Waits(TorchDispatchMode):
    """Counts the operators for which the host would wait for a device."""

    _WAITING = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)

    def __init__(self) -> None:
        super().__init__()
        self.num = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.num += func in self._WAITING
        return func(*args, **(kwargs or {}))


def test_the_host_waits_once_for_all_images_and_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = []
    to_cpu = Tensor.cpu
    monkeypatch.setattr(Tensor, "cpu", lambda tensor: copies.append(tensor.shape) or to_cpu(tensor))
    leaves = [part.requires_grad_() for part in (torch.randn(3, 2, 3), torch.randn(3, 2, 4))]
    predicted = ImagePredictions(*leaves, torch.randn(4, 4, 4), (16, 16))
    with Waits() as waits:
        losses = mask2former_losses([predicted] * 2, [full_mask(1), full_mask(0)], CONFIG)
        sum(losses.values()).backward()
    assert waits.num == 0
    assert copies == [(2 * 3 * 2,)]  # costs of two images, three sets and two queries


def test_no_mask_of_all_queries_is_made_and_no_floats_of_the_objects_masks() -> None:
    num_queries, side = 50, 32
    predicted = ImagePredictions(
        torch.randn(2, num_queries, 3), torch.randn(2, num_queries, 4), torch.randn(4, side, side),
        (4 * side, 4 * side),
    )  # fmt: skip
    target = {"labels": torch.tensor([0, 1]), "masks": torch.rand(2, 128, 128) > 0.5}
    largest = Sizes()
    with largest:
        mask2former_losses([predicted], [target], CONFIG)
    assert largest.numbers <= 2 * 2 * side * side  # of the pairs of both sets


class Sizes(TorchDispatchMode):
    """Notes the most numbers in a float tensor that an operator gives."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.is_floating_point():
            self.numbers = max(self.numbers, result.numel())
        return result
