"""Whole models are built from files alone, published ones and our own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from swin_dense.checkpoints.containers import read_checkpoint
from swin_dense.checkpoints.conversion import to_layout
from swin_dense.configs import SwinConfig, SwinMLPConfig
from swin_dense.heads import (
    CascadeMaskRCNNConfig,
    CascadeRCNNConfig,
    ClassifierConfig,
    FasterRCNNConfig,
    MaskRCNNConfig,
    UPerNetConfig,
    create_model,
    from_checkpoint,
)
from swin_dense.heads.checkpoints import save_model
from swin_dense.heads.detection.config import BoxConfig, MaskConfig

_BACKBONE = SwinConfig(embed_dim=8, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4), window_size=4)
_MASK = MaskConfig(num_convs=2, channels=12)
_CONFIGS = {
    "mask_rcnn": MaskRCNNConfig(
        backbone=_BACKBONE,
        num_classes=3,
        fpn_channels=16,
        box=BoxConfig(fc_channels=24, num_fcs=3, roi_size=5),
        mask=_MASK,
    ),
    "cascade": CascadeMaskRCNNConfig(
        backbone=replace(_BACKBONE, window_size=3, mlp_ratio=2.0),
        num_classes=1,
        fpn_channels=8,
        box=BoxConfig(num_convs=3, conv_channels=12, num_fcs=2, fc_channels=20),
        mask=_MASK,
    ),
    "faster_rcnn": FasterRCNNConfig(
        backbone=_BACKBONE, num_classes=2, fpn_channels=12, box=BoxConfig(fc_channels=8, num_fcs=1)
    ),
    "cascade alone": CascadeRCNNConfig(
        backbone=_BACKBONE,
        num_classes=4,
        fpn_channels=8,
        box=BoxConfig(num_convs=1, conv_channels=12, num_fcs=1, fc_channels=20),
    ),
    "upernet": UPerNetConfig(
        backbone=_BACKBONE, num_classes=5, decoder_channels=12, auxiliary_channels=8
    ),
    "upernet alone": UPerNetConfig(
        backbone=_BACKBONE, num_classes=2, decoder_channels=8, auxiliary_channels=None
    ),
}


def _equal(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", _CONFIGS)
@pytest.mark.parametrize("layout", ["microsoft", "mm", "ddp"])
def test_architecture_and_weights_are_read_off_a_published_file(
    name: str, layout: str, tmp_path: Path
) -> None:
    config = _CONFIGS[name]
    model = create_model(config)
    names = tuple(f"class {i}" for i in range(config.num_classes))
    torch.save(
        {"state_dict": to_layout(model.state_dict(), layout), "meta": {"CLASSES": names}},
        tmp_path / "a.pth",
    )
    read = from_checkpoint(tmp_path / "a.pth")
    assert read.config == config
    assert read.class_names == names
    assert read.category_ids is None
    assert not read.training
    assert _equal(read, model)


@pytest.mark.parametrize("name", ["mask_rcnn", "cascade"])
def test_a_detectors_file_without_its_mask_head_is_one_without_masks(
    name: str, tmp_path: Path
) -> None:
    config = _CONFIGS[name]
    state = to_layout(create_model(config).state_dict(), "mm")
    kept = {key: value for key, value in state.items() if "mask_head" not in key}
    torch.save({"state_dict": kept}, tmp_path / "a.pth")
    read = from_checkpoint(tmp_path / "a.pth")
    expected = dict(vars(config))
    del expected["mask"]
    assert type(read.config) is {"mask_rcnn": FasterRCNNConfig, "cascade": CascadeRCNNConfig}[name]
    assert vars(read.config) == expected


def test_names_of_another_data_set_are_not_taken(tmp_path: Path) -> None:
    model = create_model(_CONFIGS["upernet"])
    torch.save(
        {"state_dict": model.state_dict(), "meta": {"CLASSES": ("a", "b")}}, tmp_path / "a.pth"
    )
    assert from_checkpoint(tmp_path / "a.pth").class_names is None


@pytest.mark.parametrize(
    ("folder", "config"),
    [
        (
            "det_mmdet_mask_rcnn",
            MaskRCNNConfig(
                backbone=SwinConfig(embed_dim=32, depths=(2,) * 4, num_heads=(2, 4, 8, 16)),
                fpn_channels=64,
                box=BoxConfig(fc_channels=128),
                mask=MaskConfig(channels=64),
            ),
        ),
        (
            "det_official_cascade",
            CascadeMaskRCNNConfig(
                backbone=SwinConfig(embed_dim=32, depths=(2,) * 4, num_heads=(2, 4, 8, 16)),
                fpn_channels=64,
                box=BoxConfig(num_convs=4, conv_channels=64, num_fcs=1, fc_channels=128),
                mask=MaskConfig(channels=64),
            ),
        ),
        (
            "seg_official_upernet",
            UPerNetConfig(
                backbone=SwinConfig(embed_dim=32, depths=(2,) * 4, num_heads=(2, 4, 8, 16)),
                num_classes=11,
                decoder_channels=64,
                auxiliary_channels=64,
            ),
        ),
    ],
)
def test_files_of_other_frameworks_are_built(shared: Path, folder: str, config: Any) -> None:
    model = from_checkpoint(shared / "golden" / folder / "model.pth")
    assert model.config == config
    assert model.class_names is not None
    assert len(model.class_names) == config.num_classes


@pytest.mark.parametrize("name", _CONFIGS)
def test_our_own_file_gives_the_same_model(name: str, tmp_path: Path) -> None:
    config = _CONFIGS[name]
    if isinstance(config, MaskRCNNConfig):
        # what weights do not tell comes back too
        config = replace(config, delta_stds=(0.2, 0.2, 0.4, 0.4))
    names = [f"class {i}" for i in range(config.num_classes)]
    ids = [7 * i + 1 for i in range(config.num_classes)]
    is_detector = not isinstance(config, UPerNetConfig)
    model = create_model(config, class_names=names, category_ids=ids if is_detector else None)
    save_model(model, tmp_path / "a.safetensors", metadata={"step": "12"})
    read = from_checkpoint(tmp_path / "a.safetensors")
    assert read.config == config
    assert read.class_names == tuple(names)
    assert read.category_ids == (tuple(ids) if is_detector else None)
    assert _equal(read, model)
    assert read_checkpoint(tmp_path / "a.safetensors").metadata["step"] == "12"
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_model_without_names_stays_without(tmp_path: Path) -> None:
    save_model(create_model(_CONFIGS["upernet"]), tmp_path / "a.safetensors")
    assert from_checkpoint(tmp_path / "a.safetensors").class_names is None


def test_saving_refuses_strangers_and_taken_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model must be one of mask_rcnn, .*got Linear"):
        save_model(nn.Linear(1, 1), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="metadata must not have 'config'"):
        save_model(
            create_model(_CONFIGS["upernet"]), tmp_path / "a.safetensors", metadata={"config": ""}
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "detr"}, "unknown model 'detr'; known are mask_rcnn"),
        ({"config": {"nonsense": 1}}, "unknown 'nonsense'; was it written by a newer version"),
        ({"config": {"num_classes": "many"}}, "config.num_classes must be .*int.*, got 'many'"),
        ({"config": {"backbone": {"depths": [1, "x"]}}}, "config.backbone.depths must be"),
    ],
)
def test_broken_config_of_ours_is_refused_by_name(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    save_model(create_model(_CONFIGS["upernet"]), path)
    metadata = dict(read_checkpoint(path).metadata)
    for key, value in change.items():
        stored = metadata[key]
        metadata[key] = {**stored, **value} if isinstance(stored, dict) else value
    text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
    save_file(load_file(path), path, metadata=text)
    with pytest.raises(ValueError, match=rf"a\.safetensors: .*{message}"):
        from_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "drop", "add", "message"),
    [
        ("mask_rcnn", "neck", {}, "its heads are none of mask_rcnn, .*, cascade_rcnn, upernet"),
        ("mask_rcnn", "roi_head.mask_head.convs", {}, "mask_head.convs.0.conv.weight is missing"),
        (
            "mask_rcnn",
            "",
            {"rpn_head.rpn_cls.weight": (9, 16, 1, 1)},
            "a cell must have 3 anchors, got 9",
        ),
        (
            "mask_rcnn",
            "",
            {"roi_head.bbox_head.fc_reg.weight": (4, 24)},
            r"refined per class \(12 values for 3 classes\), got 4",
        ),
        (
            "mask_rcnn",
            "",
            {"roi_head.bbox_head.shared_fcs.0.weight": (24, 16 * 26)},
            "must read square maps of 16 channels, got 416",
        ),
        ("mask_rcnn", "", {"roi_head.bbox_head.fc_cls.weight": (4,)}, "must have 2 dimensions"),
        ("mask_rcnn", "", {"neck.extra.weight": (1,)}, r"1 unexpected \(neck.extra.weight\)"),
        ("cascade", "roi_head.bbox_head.2", {}, "the cascade must have 3 stages, got 2"),
        ("upernet", "decode_head.psp_modules.3", {}, r"must have 4 grids \(1, 2, 3, 6\), got 3"),
        ("upernet", "auxiliary_head.convs", {}, "auxiliary_head.convs.0.conv.weight is missing"),
    ],
)
def test_heads_that_are_not_known_are_refused_by_name(
    name: str, drop: str, add: dict[str, tuple[int, ...]], message: str, tmp_path: Path
) -> None:
    state = create_model(_CONFIGS[name]).state_dict()
    state = {key: value for key, value in state.items() if not drop or not key.startswith(drop)}
    state |= {key: torch.zeros(shape) for key, shape in add.items()}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=rf"a\.pth.*{message}"):
        from_checkpoint(tmp_path / "a.pth")


def test_classifier_and_backbone_say_what_to_do_with_them(tmp_path: Path) -> None:
    state = create_model(_CONFIGS["upernet"]).backbone.state_dict()
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a backbone \(embed_dim 8.*train --init"):
        from_checkpoint(tmp_path / "a.pth")
    state |= {"head.weight": torch.zeros(9, 64), "head.bias": torch.zeros(9)}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="an image classifier with 9 classes"):
        from_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 10**12}, "num_classes is 1000000000000 in the config, 3 in the weights"),
        ({"fpn_channels": 10**9}, "fpn_channels is"),
        ({"box": {"num_convs": 10**9}}, r"box\.\w+ is"),
        ({"backbone": {"embed_dim": 8, "window_size": 7}}, "must|contradict"),
        ({"backbone": None}, "config.backbone must be"),
        ({}, "config must have 'backbone'"),
    ],
)
def test_a_config_that_contradicts_its_weights_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    save_model(create_model(_CONFIGS["mask_rcnn"]), path)
    checkpoint = read_checkpoint(path)
    stored = checkpoint.metadata["config"]
    assert isinstance(stored, dict)
    metadata = {"model": "mask_rcnn", "config": json.dumps(stored | change if change else {})}
    save_file(load_file(path), path, metadata=metadata)
    with pytest.raises(ValueError, match=rf"a\.safetensors: .*({message})"):
        from_checkpoint(path)


def test_a_config_with_another_window_does_not_resample_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_model(create_model(_CONFIGS["mask_rcnn"]), path)
    stored = read_checkpoint(path).metadata["config"]
    assert isinstance(stored, dict)
    stored["backbone"]["window_size"] = 7
    metadata = {"model": "mask_rcnn", "config": json.dumps(stored)}
    save_file(load_file(path), path, metadata=metadata)
    with pytest.raises(ValueError, match=r"backbone\.window_size is 7 in the config, 4 in the w"):
        from_checkpoint(path)


@pytest.mark.parametrize(
    ("ids", "message"),
    [("[null, 1, 2]", "whole number"), ("[1.5, 2, 3]", "whole"), ("[1]", "for each of")],
)
def test_category_ids_that_are_none_are_refused(ids: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    state = create_model(_CONFIGS["mask_rcnn"]).state_dict()
    save_file(state, path, metadata={"category_ids": ids})
    with pytest.raises(ValueError, match=rf"a\.safetensors: .*{message}"):
        from_checkpoint(path)


def test_a_config_of_another_kind_of_backbone_than_the_weights_is_refused(tmp_path: Path) -> None:
    sizes = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 1), "window_size": 2}
    config = ClassifierConfig(backbone=SwinMLPConfig(**sizes, out_indices=(1,)), num_classes=3)
    model = create_model(config)
    other = create_model(config, backbone=SwinConfig(**sizes, out_indices=(1,)))
    save_model(model, tmp_path / "a.safetensors", state=other.state_dict())
    with pytest.raises(ValueError, match="of kind swin_mlp, the weights are those of one of kind"):
        from_checkpoint(tmp_path / "a.safetensors")
