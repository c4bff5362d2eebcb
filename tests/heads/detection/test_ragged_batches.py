"""A batch changes nothing: images of any sizes together against each of them alone."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from swin_dense.configs import SwinConfig
from swin_dense.heads import create_model
from swin_dense.heads.detection import rpn
from swin_dense.heads.detection.config import (
    BoxConfig,
    CascadeMaskRCNNConfig,
    CascadeRCNNConfig,
    FasterRCNNConfig,
    MaskConfig,
    MaskRCNNConfig,
    RPNConfig,
)
from swin_dense.heads.detection.roi_heads import cascade, standard
from swin_dense.heads.detection.two_stage import TwoStageDetector
from swin_dense.padding import batch_images
from swin_dense.pyramids import Pyramids

NUM_CLASSES = 3
RPN = RPNConfig(
    num_samples=24,
    train_nms_pre=40,
    train_max_proposals=40,
    test_nms_pre=30,
    test_max_proposals=30,
)
SHARED: dict[str, Any] = {
    "backbone": SwinConfig(
        embed_dim=8, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2), window_size=4, drop_path_rate=0.0
    ),
    "num_classes": NUM_CLASSES,
    "fpn_channels": 8,
}
STANDARD = SHARED | {"rpn": RPN, "box": BoxConfig(fc_channels=16, num_samples=16)}
CASCADE = SHARED | {
    "rpn": dataclasses.replace(RPN, allowed_border=0, smooth_l1_beta=1 / 9),
    "box": BoxConfig(num_convs=1, conv_channels=8, num_fcs=1, fc_channels=16, num_samples=16),
}
MASK = MaskConfig(roi_size=7, num_convs=1, channels=8)
CONFIGS = {
    "mask_rcnn": MaskRCNNConfig(**STANDARD, mask=MASK),
    "cascade_mask_rcnn": CascadeMaskRCNNConfig(**CASCADE, mask=MASK),
    "faster_rcnn": FasterRCNNConfig(**STANDARD),
    "cascade_rcnn": CascadeRCNNConfig(**CASCADE),
}
# Padded to five sizes, one of them by nothing; and to two.
SIZES = ((70, 101), (64, 96), (33, 130), (96, 40), (1, 1))
TWICE = ((70, 101), (33, 130), (96, 128), (64, 150), (90, 97))
Sizes = Sequence[tuple[int, int]]


@pytest.fixture(params=list(CONFIGS))
def model(request: pytest.FixtureRequest) -> TwoStageDetector:
    """A tiny detector in eval mode."""
    return make_model(CONFIGS[request.param])


def make_model(config: Any, *, gain: float = 1.5) -> TwoStageDetector:
    """Weights so large, and biases so far from zero, that all that is read matters."""
    torch.manual_seed(0)
    model: Any = create_model(config)
    source = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if name.startswith("backbone."):
            continue
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 10.0
        nn.init.normal_(parameter, std=gain / fan_in**0.5, generator=source)
    return model.eval()


def make_images(sizes: Sizes, generator: torch.Generator) -> list[Tensor]:
    """Noise in blocks, so that coarse levels see something."""
    images = []
    for height, width in sizes:
        noise = torch.rand(1, 3, -(-height // 8), -(-width // 8), generator=generator) * 255
        enlarged = nn.functional.interpolate(noise, scale_factor=8)[0, :, :height, :width]
        images.append(enlarged.to(torch.uint8))
    return images


def make_targets(model: TwoStageDetector, sizes: Sizes) -> list[Any]:
    """Two objects in each image of some size, none in others."""
    targets = []
    for height, width in sizes:
        num = 2 if min(height, width) >= 20 else 0
        boxes = torch.tensor([[4.0, 3, 32, 30], [2.0, 6, width - 1, height - 3]])[:num]
        target = {"boxes": boxes, "labels": torch.tensor([0, 2])[:num]}
        if model.gives_masks:
            masks = torch.zeros(num, height, width, dtype=torch.bool)
            for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
                mask[y1:y2, x1 : (x1 + x2) // 2] = True
            target["masks"] = masks
        targets.append(target)
    return targets


def check_detections(
    found: dict[str, Any], alone: dict[str, Any], *, score: float, box: float
) -> None:
    """One to one in order: scores and boxes (px) to what is given, masks but for edges."""
    assert found["labels"].tolist() == alone["labels"].tolist()
    torch.testing.assert_close(found["scores"], alone["scores"], rtol=0, atol=score)
    torch.testing.assert_close(found["boxes"], alone["boxes"], rtol=0, atol=box)
    if "masks" in alone:
        # An edge runs through the centre of a pixel here and there.
        assert (found["masks"] != alone["masks"]).sum() <= 2e-3 * alone["masks"].sum()


# The larger the weights, the more they enlarge rounding: with a gain of 1.5 one image's scores in
# float32 are up to 7e-5 from those in float64, with 1.2 those of a batch 2e-5 from those alone.
@pytest.mark.parametrize(
    ("dtype", "gain", "score", "box"),
    [(torch.float64, 1.5, 1e-6, 1e-4), (torch.float32, 1.2, 1e-4, 0.05)],
)
@pytest.mark.parametrize("name", list(CONFIGS))
@pytest.mark.parametrize("sizes", [SIZES, TWICE], ids=["five sizes", "padded to two sizes"])
def test_not_one_detection_changes(
    name: str,
    sizes: Sizes,
    dtype: torch.dtype,
    gain: float,
    score: float,
    box: float,
    generator: torch.Generator,
) -> None:
    model = make_model(CONFIGS[name], gain=gain).to(dtype)
    images = make_images(sizes, generator)
    together = model.predict(images)
    from_batch = model.predict(batch_images(images, size_divisor=1))
    num_found = 0
    for image, found, other in zip(images, together, from_batch, strict=True):
        (alone,) = model.predict([image])
        num_found += len(alone["scores"])
        check_detections(found, alone, score=score, box=box)
        check_detections(other, alone, score=score, box=box)
    assert num_found > 50


def test_without_objects_losses_are_those_of_each_image_combined(
    model: TwoStageDetector, generator: torch.Generator
) -> None:
    images, targets = make_images(SIZES, generator), make_targets(model, [(1, 1)] * len(SIZES))
    for target, size in zip(targets, SIZES, strict=True):
        if model.gives_masks:
            target["masks"] = torch.zeros(0, *size)
    losses, samples = losses_and_samples(model, images, targets)
    total = 0.0
    for image, target in zip(images, targets, strict=True):
        alone, its_samples = losses_and_samples(model, [image], [target])
        total += alone["loss_rpn_cls"].item() * its_samples.divisor("loss_rpn_cls")
    expected = total / samples.divisor("loss_rpn_cls")
    assert losses["loss_rpn_cls"].item() == pytest.approx(expected, rel=1e-5)
    assert all(loss == 0 for name, loss in losses.items() if name.endswith(("bbox", "mask")))


def test_an_image_draws_the_same_samples_whatever_its_neighbours(
    generator: torch.Generator,
) -> None:
    model = make_model(CONFIGS["cascade_mask_rcnn"])
    images, targets = make_images(SIZES, generator), make_targets(model, SIZES)

    def samples_of_last(chosen: Sequence[int]) -> list[Tensor]:
        boxes: list[Tensor] = []
        original = cascade.sample_rois

        def watched(*args: Any, **kwargs: Any) -> Any:
            samples = original(*args, **kwargs)
            boxes.append(samples.boxes)
            return samples

        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(cascade, "sample_rois", watched)
            torch.manual_seed(7)
            model([images[i] for i in chosen], [targets[i] for i in chosen])
        return boxes[len(chosen) - 1 :: len(chosen)]  # of the three stages

    alone = samples_of_last([0])
    assert [len(boxes) for boxes in alone] == [16, 16, 16]
    for chosen in ([3, 0], [1, 2, 4, 0]):
        torch.testing.assert_close(samples_of_last(chosen), alone, rtol=0, atol=0.05)


def test_pyramids_are_those_of_each_image(generator: torch.Generator) -> None:
    model = make_model(CONFIGS["mask_rcnn"])
    images = make_images(SIZES + TWICE, generator)
    batch = batch_images(images)
    with torch.no_grad():
        pyramids = Pyramids.of(model.backbone, batch).apply(model.neck)
        groups = [(0, 5, 7, 9), (1,), (2, 6, 8), (3,), (4,)]
        assert [group.indices for group in pyramids.groups] == groups
        found = pyramids.join([list(zip(*levels, strict=True)) for levels in pyramids.maps])
        for image, levels in zip(images, found, strict=True):
            alone = model.neck(model.backbone(batch_images([image]).pixels))
            for level, expected in zip(levels, alone, strict=True):
                torch.testing.assert_close(level, expected[0], rtol=1e-5, atol=1e-5)


class Samples:
    """Numbers of samples that the losses of one call are divided by, by the kind of loss."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of_rpn: list[float] = []
        self.of_rois: list[tuple[int, int]] = []  # all, and positives
        self._watch(monkeypatch, rpn, "sample_anchors", self._note_anchors)
        for module in (standard, cascade):
            self._watch(monkeypatch, module, "sample_rois", self._note_rois)

    def divisor(self, name: str) -> float:
        """Divisor of the loss of that name, a sum over images."""
        if "rpn" in name:
            return sum(self.of_rpn)
        stage, num_stages = int(name[1]) if name[0] == "s" else 0, 3 if name[0] == "s" else 1
        num_images = len(self.of_rois) // num_stages
        counts = self.of_rois[stage * num_images : (stage + 1) * num_images]
        return sum(count["mask" in name] for count in counts)

    def _watch(
        self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, note: Callable
    ) -> None:
        original = getattr(module, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            note(result)
            return result

        monkeypatch.setattr(module, name, watched)

    def _note_anchors(self, samples: Any) -> None:
        for positive, negative in zip(samples.positive, samples.negative, strict=True):
            self.of_rpn.append(max(1, int(positive.sum())) + max(1, int(negative.sum())))

    def _note_rois(self, samples: Any) -> None:
        self.of_rois.append((len(samples.labels), samples.num_positive))


def losses_and_samples(
    model: TwoStageDetector, images: Any, targets: Sequence[Any]
) -> tuple[dict[str, Tensor], Samples]:
    """Losses, by what is drawn after a fixed seed, and what they are divided by."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        samples = Samples(monkeypatch)
        torch.manual_seed(7)
        return model(images, targets), samples


@pytest.mark.parametrize("sizes", [SIZES, TWICE], ids=["five sizes", "padded to two sizes"])
def test_losses_and_gradients_are_those_of_each_image_combined(
    model: TwoStageDetector, sizes: Sizes, generator: torch.Generator
) -> None:
    model = model.double()  # else sums in another order are seen first; boxes stay float32
    images, targets = make_images(sizes, generator), make_targets(model, sizes)
    losses, samples = losses_and_samples(model, images, targets)
    gradients = torch.autograd.grad(sum(losses.values()), list(model.parameters()))
    expected = dict.fromkeys(losses, 0.0)
    expected_gradients = [torch.zeros_like(parameter) for parameter in model.parameters()]
    for image, target in zip(images, targets, strict=True):
        alone, its_samples = losses_and_samples(model, [image], [target])
        shares = {
            name: loss * its_samples.divisor(name) / samples.divisor(name)
            for name, loss in alone.items()
        }
        for name, share in shares.items():
            expected[name] += share.item()
        of_image = torch.autograd.grad(sum(shares.values()), list(model.parameters()))
        for total, part in zip(expected_gradients, of_image, strict=True):
            total += part
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name], rel=1e-5, abs=1e-7), name
        assert loss > 0, name
    for (name, _), gradient, total in zip(
        model.named_parameters(), gradients, expected_gradients, strict=True
    ):
        error = (gradient - total).norm() / total.norm().clamp(min=1e-6)
        assert error < 1e-6, name
