"""Recipes against tables typed from the released configurations, number by number."""

import inspect
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from swin_dense import padding
from swin_dense.checkpoints.published import PUBLISHED
from swin_dense.configs import SwinConfig
from swin_dense.heads.detection.boxes import matching
from swin_dense.heads.detection.roi_heads import cascade, mask_pasting, standard
from swin_dense.heads.models import create_model
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import RECIPES, find_recipe, unchanged
from swin_dense.tools.training.optimizer import create_optimizer

# Width, depths, heads of the backbones.
_T = (96, (2, 2, 6, 2), (3, 6, 12, 24))
_S = (96, (2, 2, 18, 2), (3, 6, 12, 24))
_B = (128, (2, 2, 18, 2), (4, 8, 16, 32))
_L = (192, (2, 2, 18, 2), (6, 12, 24, 48))

# Backbone, drop path, epochs, epochs of the drops, steps of warm-up, box AP, mask AP, what the note
# says about the paper or about precision.
_COCO: dict[str, tuple[Any, ...]] = {
    "mask_rcnn_swin_t_coco_1x": (_T, 0.1, 12, (8, 11), 500, 43.7, 39.8, "drop path 0.2"),
    "mask_rcnn_swin_t_coco_3x": (_T, 0.2, 36, (27, 33), 500, 46.0, 41.6, "fp16"),
    "mask_rcnn_swin_s_coco_3x": (_S, 0.2, 36, (27, 33), 500, 48.5, 43.3, "fp16"),
    "cascade_mask_rcnn_swin_t_coco_1x": (_T, 0.0, 12, (8, 11), 500, 48.1, 41.7, "drop path 0.2"),
    "cascade_mask_rcnn_swin_t_coco_3x": (_T, 0.2, 36, (27, 33), 500, 50.4, 43.7, "50.5 / 43.7"),
    "cascade_mask_rcnn_swin_s_coco_3x": (_S, 0.2, 36, (27, 33), 500, 51.9, 45.0, "51.8 / 44.7"),
    "cascade_mask_rcnn_swin_b_coco_3x": (_B, 0.3, 36, (27, 33), 500, 51.9, 45.0, "drop path 0.2"),
    "mask_rcnn_swin_t_mmdet_coco_1x": (_T, 0.2, 12, (8, 11), 1000, 42.7, 39.3, "one scale"),
    "mask_rcnn_swin_t_mmdet_coco_3x": (_T, 0.2, 36, (27, 33), 1000, 46.0, 41.6, "46.0 / 41.7"),
    "mask_rcnn_swin_s_mmdet_coco_3x": (_S, 0.2, 36, (27, 33), 1000, 48.2, 43.2, "fp16"),
}

# Backbone, window, mIoU at one scale and at several with mirror images.
_ADE20K: dict[str, tuple[Any, ...]] = {
    "upernet_swin_t_ade20k_160k": (_T, 7, 44.51, 45.81),
    "upernet_swin_s_ade20k_160k": (_S, 7, 47.64, 49.47),
    "upernet_swin_b_ade20k_160k": (_B, 7, 48.13, 49.72),
    "upernet_swin_b_w12_ade20k_160k": (_B, 12, 48.35, 49.65),
    "upernet_swin_l_ade20k_160k": (_L, 7, 51.17, 52.99),
    "upernet_swin_l_w12_ade20k_160k": (_L, 12, 52.25, 54.12),
}

_DETECTORS = {
    "num_classes": 80,
    "fpn_channels": 256,
    "size_divisor": 32,
    "mask": {"roi_size": 14, "num_convs": 4, "channels": 256},
}
_RPN = {
    "anchor_scale": 8.0,
    "anchor_ratios": (0.5, 1.0, 2.0),
    "positive_iou": 0.7,
    "negative_iou": 0.3,
    "min_positive_iou": 0.3,
    "allowed_border": None,  # -1 in the configurations: any
    "num_samples": 256,
    "positive_fraction": 0.5,
    "smooth_l1_beta": 0.0,  # L1
    "nms_iou": 0.7,
    "train_nms_pre": 2000,
    "train_max_proposals": 1000,
    "test_nms_pre": 1000,
    "test_max_proposals": 1000,
}
_BOX = {
    "roi_size": 7,
    "num_convs": 0,
    "conv_channels": 256,
    "num_fcs": 2,
    "fc_channels": 1024,
    "num_samples": 512,
    "positive_fraction": 0.25,
    "score_threshold": 0.05,
    "nms_iou": 0.5,
    "max_detections": 100,
}
_MASK_RCNN = _DETECTORS | {
    "rpn": _RPN,
    "box": _BOX,
    "positive_iou": 0.5,
    "delta_stds": (0.1, 0.1, 0.2, 0.2),
}
_CASCADE = _DETECTORS | {
    "rpn": _RPN | {"allowed_border": 0, "smooth_l1_beta": 1 / 9, "train_max_proposals": 2000},
    "box": _BOX | {"num_convs": 4, "num_fcs": 1},
    "stage_ious": (0.5, 0.6, 0.7),
    "stage_delta_stds": (
        (0.1, 0.1, 0.2, 0.2),
        (0.05, 0.05, 0.1, 0.1),
        (0.033, 0.033, 0.067, 0.067),
    ),
    "stage_loss_weights": (1.0, 0.5, 0.25),
    "giou_weight": 10.0,
}
_UPERNET = {
    "num_classes": 150,
    "decoder_channels": 512,
    "pool_scales": (1, 2, 3, 6),
    "dropout": 0.1,
    "auxiliary_channels": 256,
    "auxiliary_weight": 0.4,
}

_COCO_DATA = {
    "train_split": "train2017",
    "val_split": "val2017",
    "format": None,
    "val_fraction": None,
    "val_list": None,
    "flip": 0.5,
    "train_shorts": (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800),
    "train_long": 1333,
    "crop_shorts": (400, 500, 600),
    "crop_range": (384, 600),
    "scale": (1333, 800),
}
_ADE20K_DATA = {
    "train_split": "training",
    "val_split": "validation",
    "val_fraction": None,
    "val_list": None,
    "class_names": (),
    "reduce_zero_label": None,  # True by the files' own names, which the layout's test has
    "scale": (2048, 512),
    "ratios": (0.5, 2.0),
    "crop": (512, 512),
    "cat_max_ratio": 0.75,
    "flip": 0.5,
    "photometric": True,
}


def _without(config: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != name}


def _check_backbone(recipe: Recipe, shape: tuple[Any, ...], window: int, drop_path: float) -> None:
    width, depths, heads = shape
    assert asdict(recipe.model.backbone) == {
        "embed_dim": width,
        "depths": depths,
        "num_heads": heads,
        "window_size": window,
        "patch_size": 4,
        "in_channels": 3,
        "mlp_ratio": 4.0,
        "qkv_bias": True,
        "activation": "gelu",
        "drop_path_rate": drop_path,
        "patch_norm": True,
        "shift_narrow_maps": True,
        "out_indices": (0, 1, 2, 3),
        "frozen_stages": -1,
        "gradient_checkpointing": False,
    }


@pytest.mark.parametrize("name", _COCO)
def test_coco_recipes_train_as_released(name: str) -> None:
    backbone, drop_path, epochs, drops, warmup, box_ap, mask_ap, note = _COCO[name]
    recipe = find_recipe(name)
    assert recipe.published == (("box AP", box_ap), ("mask AP", mask_ap))
    assert note in recipe.note
    _check_backbone(recipe, backbone, 7, drop_path)
    assert (recipe.batch_size, recipe.epochs, recipe.steps) == (16, epochs, None)
    optimizer = recipe.optimizer
    assert (optimizer.lr, optimizer.betas, optimizer.weight_decay) == (1e-4, (0.9, 0.999), 0.05)
    assert optimizer.clip_norm is None
    schedule = recipe.schedule
    assert (schedule.warmup_steps, schedule.warmup_ratio, schedule.gamma) == (warmup, 0.001, 0.1)
    steps_per_epoch = 7330  # 117266 images with objects, 16 a step
    num_steps = recipe.num_steps(steps_per_epoch)
    assert num_steps == epochs * steps_per_epoch
    dropped = [
        step
        for step in range(warmup, num_steps)
        if schedule.factor(step, num_steps=num_steps)
        < 0.2 * schedule.factor(step - 1, num_steps=num_steps)
    ]
    assert dropped == [drop * steps_per_epoch for drop in drops]


@pytest.mark.parametrize("name", _COCO)
def test_coco_recipes_have_the_released_heads(name: str) -> None:
    config = _without(asdict(find_recipe(name).model), "backbone")
    assert config == (_CASCADE if name.startswith("cascade") else _MASK_RCNN)


_WITHOUT_MASKS = {
    **{f"faster_rcnn_swin_{name}": f"mask_rcnn_swin_{name}" for name in ("t_coco_1x", "t_coco_3x")},
    "faster_rcnn_swin_s_coco_3x": "mask_rcnn_swin_s_coco_3x",
    "faster_rcnn_swin_t_finetune": "mask_rcnn_swin_t_finetune",
    "cascade_rcnn_swin_t_coco_1x": "cascade_mask_rcnn_swin_t_coco_1x",
    "cascade_rcnn_swin_t_coco_3x": "cascade_mask_rcnn_swin_t_coco_3x",
    "cascade_rcnn_swin_s_coco_3x": "cascade_mask_rcnn_swin_s_coco_3x",
    "cascade_rcnn_swin_b_coco_3x": "cascade_mask_rcnn_swin_b_coco_3x",
}


@pytest.mark.parametrize("name", _WITHOUT_MASKS)
def test_recipes_without_masks_are_those_with_masks_in_all_else(name: str) -> None:
    recipe, other = find_recipe(name), find_recipe(_WITHOUT_MASKS[name])
    assert not recipe.published
    assert "not published" in recipe.source
    assert _without(asdict(other.model), "mask") == asdict(recipe.model)
    assert asdict(recipe.data) == asdict(other.data)
    assert (recipe.data.with_masks, other.data.with_masks) == (False, True)
    for field in ("batch_size", "epochs", "steps", "evaluate_every", "optimizer", "schedule"):
        assert getattr(recipe, field) == getattr(other, field), field


@pytest.mark.parametrize(
    ("variant", "module", "low_quality"),
    [
        ("mask_rcnn", standard, [True]),
        ("cascade_mask_rcnn", cascade, [False] * 3),
        ("faster_rcnn", standard, [True]),
        ("cascade_rcnn", cascade, [False] * 3),
    ],
)
def test_what_no_config_holds_is_as_released(
    variant: str, module: Any, low_quality: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    config = find_recipe(f"{variant}_swin_t_coco_1x").model
    model = create_model(replace(config, backbone=small, fpn_channels=8))
    assert model.rpn_head.strides == (4, 8, 16, 32, 64)
    classifiers = [name for name in model.state_dict() if name.endswith("fc_cls.weight")]
    assert len(classifiers) == len(low_quality)  # a cascade has one a stage
    seen = []

    def sample_rois(*args: Any, **options: Any) -> Any:
        seen.append(options)
        return matching.sample_rois(*args, **options)

    monkeypatch.setattr(module, "sample_rois", sample_rois)
    targets = [
        {
            "boxes": torch.tensor([[2.0, 2.0, 30.0, 30.0]]),
            "labels": torch.tensor([1]),
            "masks": torch.ones(1, 32, 32, dtype=torch.bool),
        }
    ]
    model([torch.zeros(3, 32, 32, dtype=torch.uint8)], targets)
    assert [options["match_low_quality"] for options in seen] == low_quality
    assert {options["num_samples"] for options in seen} == {512}
    assert {options["positive_fraction"] for options in seen} == {0.25}
    threshold = inspect.signature(mask_pasting.paste_masks).parameters["threshold"].default
    assert threshold == 0.5
    assert padding.PIXEL_MEAN == (123.675, 116.28, 103.53)
    assert padding.PIXEL_STD == (58.395, 57.12, 57.375)


@pytest.mark.parametrize("name", _COCO)
def test_coco_recipes_augment_as_detr_but_for_mmdetections_1x(name: str) -> None:
    data = _without(asdict(find_recipe(name).data), "root")
    one_scale = {"train_shorts": (800,), "crop_shorts": ()}
    assert data == _COCO_DATA | (one_scale if name.endswith("mmdet_coco_1x") else {})


@pytest.mark.parametrize("name", _ADE20K)
def test_ade20k_recipes_train_as_released(name: str) -> None:
    backbone, window, single, multi = _ADE20K[name]
    recipe = find_recipe(name)
    assert recipe.published == (("mIoU", single), ("mIoU (ms+flip)", multi))
    assert "the paper's text has drop path 0.2" in recipe.note
    _check_backbone(recipe, backbone, window, 0.3)
    assert _without(asdict(recipe.model), "backbone") == _UPERNET
    assert _without(asdict(recipe.data), "root") == _ADE20K_DATA
    assert (recipe.batch_size, recipe.num_steps(1263)) == (16, 160_000)
    optimizer = recipe.optimizer
    assert (optimizer.lr, optimizer.betas, optimizer.weight_decay) == (6e-5, (0.9, 0.999), 0.01)
    assert optimizer.clip_norm is None
    schedule = recipe.schedule
    assert (schedule.warmup_steps, schedule.warmup_ratio, schedule.power) == (1500, 1e-6, 1.0)
    factors = [schedule.factor(step, num_steps=160_000) for step in (0, 750, 1500, 80_000, 160_000)]
    # Half-way through the warm-up half of what the falling line would give.
    halfway = (1 - 750 / 160_000) * (1 - 0.5 * (1 - 1e-6))
    assert factors == pytest.approx([1e-6, halfway, 1 - 1500 / 160_000, 0.5, 0])


def test_every_published_recipe_is_in_a_table() -> None:
    published = {
        name
        for name, recipe in RECIPES.items()
        # those of others are in files of their own
        if recipe.published and not name.startswith(("mask2former", "classifier"))
    }
    assert published == _COCO.keys() | _ADE20K.keys()


@pytest.mark.parametrize("name", ["cascade_mask_rcnn_swin_t_coco_1x", "upernet_swin_t_ade20k_160k"])
def test_norms_and_position_tables_are_not_decayed_and_biases_are(name: str) -> None:
    recipe = find_recipe(name)
    model = create_model(recipe.model)
    names = {parameter: key for key, parameter in model.named_parameters()}
    groups = create_optimizer(model, recipe.optimizer).param_groups
    assert [group["weight_decay"] for group in groups] == [recipe.optimizer.weight_decay, 0]
    decayed, undecayed = ({names[parameter] for parameter in group["params"]} for group in groups)
    assert decayed | undecayed == set(names.values())
    assert undecayed == {
        key for key in names.values() if "relative_position_bias_table" in key or "norm" in key
    }
    assert {
        "backbone.patch_embed.norm.weight",
        "backbone.layers.0.blocks.0.norm1.bias",
        "backbone.layers.0.downsample.norm.weight",
        "backbone.norm0.weight",
        "backbone.layers.0.blocks.0.attn.relative_position_bias_table",
    } <= undecayed
    # BatchNorm of the heads is called `bn`.
    head = "decode_head.bottleneck" if "upernet" in name else "roi_head.bbox_head.0.shared_convs.0"
    assert {
        "backbone.patch_embed.proj.bias",
        "backbone.layers.0.blocks.0.attn.qkv.bias",
        "backbone.layers.0.downsample.reduction.weight",
        f"{head}.bn.weight",
        f"{head}.bn.bias",
    } <= decayed


def test_small_sets_start_from_a_published_whole_model_and_train_shortly() -> None:
    for name, published in (
        ("mask_rcnn_swin_t_finetune", "mask_rcnn_swin_t_coco_3x"),
        ("faster_rcnn_swin_t_finetune", "faster_rcnn_swin_t_coco_3x"),
        ("cascade_rcnn_swin_t_finetune", "cascade_rcnn_swin_t_coco_3x"),
        ("upernet_swin_t_finetune", "upernet_swin_t_ade20k_160k"),
    ):
        recipe, reference = find_recipe(name), find_recipe(published)
        assert not recipe.published
        assert "--init FILE --new-classes" in recipe.note
        assert recipe.optimizer == reference.optimizer
        assert recipe.batch_size == reference.batch_size / 4
        assert recipe.num_steps(3) == recipe.num_steps(75) == 3000  # 10 or 300 images
        assert recipe.schedule.warmup_steps == 100
        assert recipe.evaluate_every == 300
        assert recipe.model.backbone.frozen_stages == 1
        assert recipe.model.backbone.drop_path_rate == 0.1
        assert _without(asdict(recipe.model), "backbone") == _without(
            asdict(reference.model), "backbone"
        )
        assert _without(asdict(recipe.data), "root") == _without(asdict(reference.data), "root")


def test_every_published_file_with_our_heads_has_a_recipe_of_its_model() -> None:
    for file in PUBLISHED.values():
        if file.recipe:
            backbone = RECIPES[file.recipe].model.backbone
            assert file.has_our_heads
            if not file.model.startswith("mask2former"):  # its B and L have no others
                assert file.model.endswith(("_w12",)) == (backbone.window_size == 12)
            assert file.recipe.startswith(file.model)
        elif file.has_our_heads:
            # MoBY's configurations are not known, Cityscapes and ADE20K's instances have no recipe;
            # conversions name no scores.
            # torchvision's classifiers had more augmentation and an average of the weights.
            others = ("moby_", "mask2former_")
            is_other = file.name.startswith(others) or file.layout == "torchvision"
            assert is_other or not file.scores


def test_an_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(ValueError, match="unknown recipe 'mask_rcnn'; choose one of mask_rcnn_sw"):
        find_recipe("mask_rcnn")


def test_a_recipe_is_compared_with_the_one_of_its_name() -> None:
    recipe = find_recipe("mask_rcnn_demo")
    assert unchanged(replace(recipe, seed=3)) == recipe
    renamed = replace(recipe, name="of_a_user", seed=3)
    assert unchanged(renamed) is renamed
