"""Every published file is known to load before it is downloaded."""

import json
import re
from dataclasses import replace
from pathlib import Path

import published_keys as keys
import pytest
import torch
from torch import Tensor

from swin_dense.checkpoints.architecture import read_backbone_config
from swin_dense.checkpoints.classification.whole_classifiers import whole_classifier
from swin_dense.checkpoints.containers import Checkpoint
from swin_dense.checkpoints.conversion import convert_state_dict
from swin_dense.checkpoints.key_maps import KEY_MAPS
from swin_dense.checkpoints.loading import load_converted
from swin_dense.checkpoints.published import PUBLISHED, PublishedFile, find_published
from swin_dense.configs import BACKBONE_VARIANTS, SWIN_VARIANTS, SwinConfig, SwinMLPConfig
from swin_dense.heads import MODEL_VARIANTS, create_model
from swin_dense.heads.checkpoints import read_model_config
from swin_dense.heads.classification.config import ClassifierConfig
from swin_dense.heads.mask2former.config import Mask2FormerConfig

_GOLDEN = SwinConfig(embed_dim=32, depths=(2, 2, 2, 2), num_heads=(2, 4, 8, 16))


def _distinct(*, whole: bool) -> list[PublishedFile]:
    """One file of each kind: files that differ in their weights only are not tried twice."""
    files = {
        (file.model, file.layout, file.num_classes): file
        for file in PUBLISHED.values()
        if file.has_our_heads == whole
    }
    return list(files.values())


def _shapes(file: PublishedFile) -> keys.Shapes:
    """Keys and shapes of a published file."""
    if not file.has_our_heads:
        config = SWIN_VARIANTS[file.model]
        prefix, foreign = "backbone.", "bbox_head.reppoints_cls_conv.weight"
        if file.layout == "detectron2":
            prefix, foreign = "backbone.bottom_up.", "backbone.fpn_lateral2.weight"
        return keys.under(prefix, keys.microsoft(config)) | {foreign: (1,)}
    if file.task == "classification":
        config = BACKBONE_VARIANTS[file.model.removeprefix("classifier_")]
        if isinstance(config, SwinMLPConfig):
            return keys.microsoft_mlp(config, num_classes=file.num_classes)
        write = {
            "microsoft": keys.microsoft,
            "timm": keys.timm,
            "torchvision": keys.torchvision,
            "huggingface_v4": keys.transformers_v4,
        }[file.layout]
        return write(config, num_classes=file.num_classes)
    config = MODEL_VARIANTS[file.model].backbone
    if file.layout == "mask2former":
        few = "panoptic" not in file.name and "coco" not in file.name
        heads = keys.mask2former(
            config,
            num_classes=file.num_classes,
            num_queries=200 if file.model.endswith("_l") and not few else 100,
        )
        return keys.under("backbone.", keys.microsoft(config)) | heads
    backbone = {
        "microsoft": keys.microsoft,
        "mm": keys.mm,
        "huggingface_v4": keys.transformers_v4,
    }[file.layout](config)
    kind = file.model.partition("_swin")[0]
    heads = {
        "mask_rcnn": keys.mask_rcnn,
        "cascade_mask_rcnn": keys.cascade,
        "upernet": keys.upernet,
    }[kind](config, num_classes=file.num_classes)
    if file.layout == "huggingface_v4":
        heads = {
            key.replace(".bn.", ".batch_norm.").replace("conv_seg", "classifier"): shape
            for key, shape in heads.items()
        }
    return keys.under("backbone.", backbone) | heads


def _empty(shapes: keys.Shapes) -> dict[str, Tensor]:
    """Tensors that have a shape and no values."""
    return {
        key: torch.empty(
            shape, device="meta", dtype=torch.int64 if key.endswith("tracked") else torch.float32
        )
        for key, shape in shapes.items()
    }


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        (
            "det_mmdet_mask_rcnn",
            keys.under("backbone.", keys.mm(_GOLDEN))
            | keys.mask_rcnn(_GOLDEN, num_classes=80, fpn=64, fc=128),
        ),
        (
            "det_official_cascade",
            keys.under("backbone.", keys.microsoft(_GOLDEN))
            | keys.cascade(_GOLDEN, num_classes=80, fpn=64, fc=128),
        ),
        (
            "seg_official_upernet",
            keys.under("backbone.", keys.microsoft(_GOLDEN))
            | keys.upernet(_GOLDEN, num_classes=11, channels=64, auxiliary=64),
        ),
    ],
    ids=["mm", "cascade", "upernet"],
)
def test_keys_as_written_down_are_those_of_real_files(
    shared: Path, folder: str, expected: keys.Shapes
) -> None:
    real = json.loads((shared / "golden" / folder / "keys.json").read_text())
    assert {key: list(shape) for key, shape in expected.items()} == real


@pytest.mark.parametrize("file", _distinct(whole=True), ids=lambda file: file.name)
def test_whole_model_is_recognised_and_fits(file: PublishedFile) -> None:
    translation = whole_classifier(convert_state_dict(_empty(_shapes(file))))
    assert translation.layout.name == file.layout
    config = read_model_config(
        Checkpoint(file.name, "torch", {}), translation.state, layout=file.layout
    )
    expected = replace(MODEL_VARIANTS[file.model], num_classes=file.num_classes)
    if isinstance(config, Mask2FormerConfig) and isinstance(expected, Mask2FormerConfig):
        # what its number of classes tells is for the tests of its architecture
        read = {name: getattr(config, name) for name in ("task", "stuff_classes", "num_queries")}
        expected = replace(expected, **read)
    if isinstance(config, ClassifierConfig) and isinstance(expected, ClassifierConfig):
        sides = re.findall(r"224|256|384", file.name) or ["224"]  # torchvision's names tell none
        assert config.view.crop == int(sides[0])
        expected = replace(expected, view=config.view)  # for the tests of its config
    assert config == expected
    with torch.device("meta"):
        model = create_model(config)
    report = load_converted(model, translation, source=file.name)
    assert report.num_loaded == len(model.state_dict())
    assert not report.new
    unused = ("relative_position_index", "criterion.empty_weight")
    assert all(key.endswith(unused) for key in report.dropped)
    num_parameters = sum(value.numel() for value in model.parameters())
    assert num_parameters / 1e6 == pytest.approx(file.parameters, abs=1.01)  # published rounded


_BACKBONES = [
    *_distinct(whole=False),
    *(file for file in _distinct(whole=True) if file.task == "classification"),
]


@pytest.mark.parametrize("file", _BACKBONES, ids=lambda file: file.name)
def test_backbone_is_recognised_and_fits(file: PublishedFile) -> None:
    translation = convert_state_dict(_empty(_shapes(file)))
    assert translation.layout.name == file.layout
    config = read_backbone_config(translation.state)
    assert config == BACKBONE_VARIANTS[file.model.removeprefix("classifier_")]
    with torch.device("meta"):
        backbone = config.build()
    report = load_converted(backbone, translation, source=file.name)
    is_classifier = file.task == "classification"
    assert all(re.match(r"norm\d", key) for key in report.new)
    assert len(report.new) == (8 if is_classifier else 0)
    assert report.num_loaded + len(report.new) == len(backbone.state_dict())
    with pytest.raises(ValueError, match="its backbone loads with"):
        read_model_config(Checkpoint(file.name, "torch", {}), translation.state)


def test_table_is_consistent() -> None:
    assert len(PUBLISHED) == len({file.url for file in PUBLISHED.values()})
    for file in PUBLISHED.values():
        assert file.layout in KEY_MAPS
        assert file.model in (MODEL_VARIANTS if file.has_our_heads else SWIN_VARIANTS)
        assert re.match(r"https://.*\.(pth|pkl)$|hf://[\w.-]+/[\w.-]+$", file.url)
        assert file.licence
        assert file.has_our_heads or "backbone loads" in file.note
        assert all(0 < score < 100 for score in file.scores.values())


def test_files_are_found_by_name_and_by_file_name() -> None:
    file = PUBLISHED["mask_rcnn_swin-t-p4-w7_fpn_1x_coco"]
    assert find_published(file.name) is file
    assert find_published(f"some/folder/{file.file_name}") is file
    assert find_published("timm/swin_tiny_patch4_window7_224.ms_in1k") is not None
    assert find_published("swin_tiny_patch4_window7_224.pth") is not None
    assert find_published("swin_tiny_patch4_window7_224.bin") is None


def test_size_follows_from_the_parameters() -> None:
    assert PUBLISHED["mask_rcnn_swin_tiny_patch4_window7"].megabytes == 4 * 48
    assert PUBLISHED["cascade_mask_rcnn_swin_l_in21k"].megabytes is None
