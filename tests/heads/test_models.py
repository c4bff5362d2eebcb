"""One battery for every whole model: losses, gradients, predictions, degenerate input."""

import dataclasses
import json
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from swin_dense.checkpoints.loading import initialise, load_weights
from swin_dense.configs import SwinConfig, SwinMLPConfig
from swin_dense.heads import MODEL_VARIANTS, create_model
from swin_dense.heads.checkpoints import from_checkpoint, save_model
from swin_dense.heads.classification.config import ClassifierConfig
from swin_dense.heads.detection.config import (
    BoxConfig,
    CascadeMaskRCNNConfig,
    CascadeRCNNConfig,
    FasterRCNNConfig,
    MaskConfig,
    MaskRCNNConfig,
    RPNConfig,
)
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.segmentation.unet.config import UNetConfig
from swin_dense.heads.segmentation.uper.config import UPerNetConfig
from swin_dense.padding import batch_images

NUM_CLASSES = 3
BACKBONE = SwinConfig(embed_dim=8, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2), window_size=4)
SWIN_MLP = SwinMLPConfig(embed_dim=8, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2), window_size=4)
RPN = RPNConfig(train_nms_pre=100, train_max_proposals=50, test_nms_pre=50, test_max_proposals=20)
MASK = MaskConfig(num_convs=1, channels=8)
DETECTOR = {"backbone": BACKBONE, "num_classes": NUM_CLASSES, "fpn_channels": 8}
STANDARD = {**DETECTOR, "rpn": RPN, "box": BoxConfig(fc_channels=16, num_samples=32)}
CASCADE = {
    **DETECTOR,
    "rpn": dataclasses.replace(RPN, allowed_border=0, smooth_l1_beta=1 / 9),
    "box": BoxConfig(num_convs=1, conv_channels=8, num_fcs=1, fc_channels=16, num_samples=32),
}
MASK2FORMER = Mask2FormerConfig(
    backbone=BACKBONE,
    num_classes=NUM_CLASSES,
    num_queries=6,
    channels=64,  # GroupNorm has two channels a group then: one cell is enough
    num_heads=2,
    encoder_layers=1,
    encoder_ffn_channels=16,
    decoder_layers=3,
    decoder_ffn_channels=16,
    num_points=32,
    object_score=0.3,
)
CONFIGS = {
    "mask_rcnn": MaskRCNNConfig(**STANDARD, mask=MASK),
    "cascade_mask_rcnn": CascadeMaskRCNNConfig(**CASCADE, mask=MASK),
    "faster_rcnn": FasterRCNNConfig(**STANDARD),
    "cascade_rcnn": CascadeRCNNConfig(**CASCADE),
    "upernet": UPerNetConfig(
        backbone=BACKBONE, num_classes=NUM_CLASSES, decoder_channels=8, auxiliary_channels=8
    ),
    "unet": UNetConfig(
        backbone=BACKBONE, num_classes=NUM_CLASSES, decoder_channels=(16, 8, 8, 4, 4)
    ),
    "mask2former": MASK2FORMER,
    "mask2former_semantic": dataclasses.replace(MASK2FORMER, task="semantic"),
    "classifier": ClassifierConfig(backbone=BACKBONE, num_classes=NUM_CLASSES),
    "mask2former_panoptic": dataclasses.replace(MASK2FORMER, task="panoptic", stuff_classes=(2,)),
}
CONFIGS |= {
    f"{name}_swin_mlp": dataclasses.replace(CONFIGS[name], backbone=SWIN_MLP)
    for name in ("mask_rcnn", "upernet", "classifier")
}
DETECTORS = ["mask_rcnn", "cascade_mask_rcnn", "faster_rcnn", "cascade_rcnn"]
WITH_MASKS = ["mask_rcnn", "cascade_mask_rcnn"]
SIZES = ((64, 96), (50, 33))


@pytest.fixture(params=list(CONFIGS))
def model(request: pytest.FixtureRequest) -> nn.Module:
    """A tiny model with fixed random weights, in training mode."""
    torch.manual_seed(0)
    return create_model(CONFIGS[request.param])


@pytest.fixture
def images(generator: torch.Generator) -> list[Tensor]:
    """Two noisy images of different odd sizes."""
    return [
        torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in SIZES
    ]


def targets_for(model: nn.Module, sizes: Sequence[tuple[int, int]] = SIZES) -> list:
    """Two objects, a label map, or a label per image."""
    if model.task == "classification":
        return [index % NUM_CLASSES for index, _ in enumerate(sizes)]
    if model.task == "segmentation":
        return [torch.arange(h * w).view(h, w) % NUM_CLASSES for h, w in sizes]
    targets = []
    for size in sizes:
        masks = torch.zeros(2, *size, dtype=torch.bool)
        masks[0, 2:30, 2:25], masks[1, 10:20, 5:31] = True, True
        boxes = torch.tensor([[2.0, 2, 25, 30], [5, 10, 31, 20]])
        target = {"boxes": boxes, "labels": torch.tensor([0, 2])}
        targets.append(target | ({"masks": masks} if model.gives_masks else {}))
    return targets


def empty_targets_for(model: nn.Module) -> list:
    """Nothing to learn from in any image."""
    if model.task == "classification":
        return torch.zeros(len(SIZES), NUM_CLASSES)
    if model.task == "segmentation":
        return [torch.full(size, 255) for size in SIZES]
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    if not model.gives_masks:
        return [none for _ in SIZES]
    return [none | {"masks": torch.zeros(0, *size)} for size in SIZES]


def check_losses(model: nn.Module, losses: dict[str, Tensor]) -> None:
    """Finite float32 scalars whose sum gives every parameter a finite gradient."""
    assert all(loss.shape == () and loss.dtype == torch.float32 for loss in losses.values())
    assert all(loss.isfinite() for loss in losses.values()), losses
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def check_result(model: nn.Module, result: dict | Tensor, size: tuple[int, int]) -> None:
    """The shapes and types that predict promises for an image of that size."""
    if model.task == "classification":
        assert result.shape == (NUM_CLASSES,)
        assert result.dtype == torch.float32
        torch.testing.assert_close(result.sum(), torch.tensor(1.0))
        return
    if model.task == "segmentation":
        assert result.shape == size
        assert result.dtype == torch.int64
        return
    if model.task == "panoptic":
        assert result["panoptic"].shape == size
        assert result["panoptic"].dtype == torch.int64
        ids = {segment["id"] for segment in result["segments"]}
        assert ids == set(result["panoptic"].unique().tolist()) - {0}
        return
    num = len(result["scores"])
    assert result["boxes"].shape == (num, 4)
    assert result["boxes"].dtype == result["scores"].dtype == torch.float32
    assert result["labels"].shape == (num,)
    assert result["labels"].dtype == torch.int64
    assert ("masks" in result) == model.gives_masks
    if model.gives_masks:
        assert result["masks"].shape == (num, *size)
        assert result["masks"].dtype == torch.bool
    limits = torch.tensor([size[1], size[0]] * 2) + 1e-3
    assert (result["boxes"] <= limits).all()
    assert (result["scores"].diff() <= 0).all()


def test_losses_are_finite_and_reach_every_parameter(
    model: nn.Module, images: list[Tensor]
) -> None:
    check_losses(model, model(images, targets_for(model)))


def test_losses_without_anything_to_learn_are_finite_and_reach_every_parameter(
    model: nn.Module, images: list[Tensor]
) -> None:
    check_losses(model, model(images, empty_targets_for(model)))


def test_losses_do_not_depend_on_the_mode_or_on_batching_beforehand(
    model: nn.Module, images: list[Tensor]
) -> None:
    model.eval()
    torch.manual_seed(1)
    expected = model(images, targets_for(model))
    torch.manual_seed(1)
    losses = model(batch_images(images), targets_for(model))
    assert losses.keys() == expected.keys() == model.train()(images, targets_for(model)).keys()
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name])


def test_predictions_have_the_frame_of_the_images(model: nn.Module, images: list[Tensor]) -> None:
    for result, size in zip(model.eval().predict(images), SIZES, strict=True):
        check_result(model, result, size)


def test_predictions_have_the_frame_of_the_original_images(
    model: nn.Module, images: list[Tensor]
) -> None:
    originals = [(31, 47), (101, 70)]
    results = model.eval().predict(images, original_sizes=originals)
    for result, size in zip(results, originals, strict=True):
        check_result(model, result, size)


@pytest.mark.parametrize("name", DETECTORS)
def test_boxes_without_area_cost_nothing_and_break_nothing(name: str, images: list[Tensor]) -> None:
    model = create_model(CONFIGS[name])
    targets = targets_for(model)
    for target in targets:
        target["boxes"] = torch.tensor([[5.0, 5, 5, 9], [7, 3, 20, 3]])
    losses = model(images, targets)
    assert all(loss == 0 for key, loss in losses.items() if key.endswith(("bbox", "mask")))
    check_losses(model, losses)


@pytest.mark.parametrize("name", WITH_MASKS)
def test_boxes_are_learned_from_all_objects_and_masks_from_those_that_have_one(
    name: str, images: list[Tensor]
) -> None:
    model = create_model(CONFIGS[name]).eval()

    def losses(first_mask: int, has_mask: list[bool] | None) -> dict[str, Tensor]:
        targets = targets_for(model)
        for target in targets:
            target["masks"] = target["masks"].clone()
            target["masks"][0] = first_mask
            if has_mask is not None:
                target["has_mask"] = torch.tensor(has_mask)
        torch.manual_seed(1)
        return model(images, targets)

    both, second = losses(0, None), losses(0, [False, True])
    torch.testing.assert_close(losses(0, [True, True]), both, rtol=0, atol=0)
    torch.testing.assert_close(losses(1, [False, True]), second, rtol=0, atol=0)
    for key, loss in second.items():
        assert (loss == both[key]) == ("mask" not in key), key
    check_losses(model, second)


@pytest.mark.parametrize("name", WITH_MASKS)
def test_a_batch_without_any_mask_costs_no_mask_loss(name: str, images: list[Tensor]) -> None:
    model = create_model(CONFIGS[name])
    targets = [target | {"has_mask": torch.zeros(2).bool()} for target in targets_for(model)]
    losses = model(images, targets)
    assert all((loss == 0) == ("mask" in key) for key, loss in losses.items())
    check_losses(model, losses)


@pytest.mark.parametrize(("name", "without"), list(zip(WITH_MASKS, DETECTORS[2:], strict=True)))
def test_a_detector_without_masks_is_the_one_with_masks_less_its_mask_head(
    name: str, without: str, images: list[Tensor]
) -> None:
    model, plain = create_model(CONFIGS[name]).eval(), create_model(CONFIGS[without]).eval()
    report = initialise(plain, model.state_dict())
    assert report.dropped
    assert all(key.startswith("roi_head.mask_head.") for key in report.dropped)
    assert "roi_head.mask_head" in str(report)
    for full, result in zip(model.predict(images), plain.predict(images), strict=True):
        del full["masks"]
        torch.testing.assert_close(result, full, rtol=0, atol=0)
    torch.manual_seed(1)
    losses = plain(images, targets_for(model))  # masks are not looked at
    torch.manual_seed(1)
    expected = model(images, targets_for(model))
    expected = {key: loss for key, loss in expected.items() if "mask" not in key}
    torch.testing.assert_close(losses, expected, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"unexpected \(roi_head.mask_head"):
        load_weights(plain, model.state_dict())


def test_only_detectors_with_masks_ask_for_masks(images: list[Tensor]) -> None:
    targets = targets_for(create_model(CONFIGS["faster_rcnn"]))
    with pytest.raises(ValueError, match="target of image 0 must have masks"):
        create_model(CONFIGS["mask_rcnn"])(images, targets)


@pytest.mark.parametrize("name", DETECTORS)
def test_no_proposals_give_finite_losses_and_empty_results(name: str, images: list[Tensor]) -> None:
    config = CONFIGS[name]
    rpn = dataclasses.replace(config.rpn, train_max_proposals=0, test_max_proposals=0)
    model = create_model(dataclasses.replace(config, rpn=rpn))
    check_losses(model, model(images, empty_targets_for(model)))
    assert all(buffer.isfinite().all() for buffer in model.buffers())
    for result, size in zip(model.eval().predict(images), SIZES, strict=True):
        assert len(result["scores"]) == 0
        check_result(model, result, size)


@pytest.mark.parametrize("name", DETECTORS)
def test_nothing_found_gives_empty_results(name: str, images: list[Tensor]) -> None:
    config = CONFIGS[name]
    box = dataclasses.replace(config.box, score_threshold=1.0)
    model = create_model(dataclasses.replace(config, box=box)).eval()
    for result, size in zip(model.predict(images), SIZES, strict=True):
        assert len(result["scores"]) == 0
        check_result(model, result, size)


@pytest.mark.parametrize("size", [(1, 1), (7, 129), (33, 2)])
def test_images_of_any_size_train_and_predict(
    model: nn.Module, size: tuple[int, int], generator: torch.Generator
) -> None:
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
    (result,) = model.eval().predict([image])
    check_result(model, result, size)
    if model.task == "classification":
        target = 1
    elif model.task != "segmentation":
        target = {
            "boxes": torch.tensor([[0.0, 0, size[1], size[0]]]),
            "labels": torch.tensor([1]),
            "masks": torch.ones(1, *size),  # which one without masks does not look at
        }
    else:
        target = torch.ones(size, dtype=torch.int64)
    check_losses(model, model.train()([image], [target]))


def test_bfloat16_autocast_gives_float32_losses_and_results(
    model: nn.Module, images: list[Tensor]
) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(images, targets_for(model))
        results = model.eval().predict(images)
    check_losses(model, losses)
    for result, size in zip(results, SIZES, strict=True):
        check_result(model, result, size)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_models_of_another_float_type_train_and_predict(
    model: nn.Module, images: list[Tensor], dtype: torch.dtype
) -> None:
    model = model.to(dtype)
    check_losses(model, model(images, targets_for(model)))
    for result, size in zip(model.predict(batch_images(images)), SIZES, strict=True):
        check_result(model, result, size)


def test_predictions_ignore_the_mode_and_leave_it_as_it_was(
    model: nn.Module, images: list[Tensor]
) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = model.eval().predict(images)
    model.train().backbone.eval()
    torch.testing.assert_close(model.predict(images), expected, rtol=0, atol=0)
    assert model.training
    assert not model.backbone.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_original_sizes_without_pixels_are_refused(model: nn.Module, images: list[Tensor]) -> None:
    with pytest.raises(ValueError, match="original_sizes must be at least 1 px, got"):
        model.predict(images, original_sizes=[(10, 0), (5, 5)])


def test_predicting_leaves_weights_and_statistics_as_they_are(
    model: nn.Module, images: list[Tensor]
) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.eval().predict(images)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_saved_models_come_back_as_they_were(
    model: nn.Module, images: list[Tensor], tmp_path
) -> None:
    save_model(model, tmp_path / "model.safetensors")
    loaded = from_checkpoint(tmp_path / "model.safetensors")
    assert loaded.config == model.config
    for first, second in zip(model.eval().predict(images), loaded.predict(images), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_configs_survive_json(model: nn.Module) -> None:
    text = json.dumps(dataclasses.asdict(model.config))
    assert json.loads(text)["num_classes"] == NUM_CLASSES


@pytest.mark.parametrize("name", list(MODEL_VARIANTS))
def test_every_named_model_can_be_built(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name, num_classes=5)
    assert model.config.num_classes == 5
    assert model.config.backbone == MODEL_VARIANTS[name].backbone


def test_names_and_ids_of_classes_travel_with_the_model() -> None:
    model = create_model(CONFIGS["mask_rcnn"], class_names=["cat", "dog"], category_ids=[17, 18])
    assert model.config.num_classes == 2
    assert model.class_names == ("cat", "dog")
    assert model.category_ids == (17, 18)


def test_unknown_names_and_numbers_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown model 'swin_x'; choose one of mask_rcnn_swin_t"):
        create_model("swin_x")
    with pytest.raises(ValueError, match=r"config must be one of Mask.* got SwinConfig"):
        create_model(BACKBONE, num_classes=3)
    with pytest.raises(ValueError, match="class_names must have one entry for each of 3 classes"):
        create_model(CONFIGS["mask_rcnn"], num_classes=3, class_names=["cat"])
