"""`convert` writes every layout, and the way back gives the same bits."""

from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

from swin_dense.backbone import SwinTransformer
from swin_dense.checkpoints.classification.whole_classifiers import bare_names
from swin_dense.checkpoints.containers import read_checkpoint
from swin_dense.checkpoints.key_maps import KEY_MAPS
from swin_dense.configs import SwinConfig
from swin_dense.heads import UPerNetConfig, create_model, from_checkpoint
from swin_dense.heads.checkpoints import save_model
from swin_dense.tools.cli import main
from swin_dense.tools.commands.convert import LayoutName, Options, convert_file, run

_BACKBONE = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=2)


def _state(path: Path) -> dict[str, Tensor]:
    return read_checkpoint(path).state


def _equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    state = SwinTransformer(_BACKBONE).state_dict()
    state = {key: value for key, value in state.items() if not key.startswith("norm")}
    state |= {"norm.weight": torch.ones(64), "norm.bias": torch.zeros(64)}
    state |= {"head.weight": torch.ones(3, 64), "head.bias": torch.zeros(3)}
    torch.save(state, tmp_path / "classifier.pth")
    return tmp_path / "classifier.pth"


@pytest.fixture
def segmentor(tmp_path: Path) -> Path:
    config = UPerNetConfig(
        backbone=_BACKBONE, num_classes=2, decoder_channels=8, auxiliary_channels=8
    )
    path = tmp_path / "segmentor.safetensors"
    save_model(create_model(config, class_names=["cat", "dog"]), path)
    return path


@pytest.mark.parametrize("layout", [name for name, keys in KEY_MAPS.items() if not keys.head_names])
def test_backbone_goes_to_every_layout_and_back(
    layout: str, classifier: Path, tmp_path: Path
) -> None:
    out = tmp_path / (
        "out" + {"detectron2": ".pkl", "swin_dense": ".safetensors"}.get(layout, ".pth")
    )
    backbone_only = layout in ("mm", "detectron2")  # these have no place for a classifier
    left_out = convert_file(classifier, out, layout=layout, backbone_only=backbone_only)
    convert_file(out, tmp_path / "back.safetensors", layout="swin_dense")
    expected = {key: value for key, value in _state(classifier).items() if key not in left_out}
    assert _equal(bare_names(_state(tmp_path / "back.safetensors")), expected)
    names = ("norm.weight", "norm.bias", "head.weight", "head.bias") if backbone_only else ()
    assert left_out == names


@pytest.mark.parametrize("layout", ["microsoft", "ddp", "mm", "huggingface", "huggingface_v4"])
def test_whole_model_goes_there_and_back(layout: str, segmentor: Path, tmp_path: Path) -> None:
    convert_file(segmentor, tmp_path / "out.pth", layout=layout)
    model = from_checkpoint(tmp_path / "out.pth")
    assert model.class_names == ("cat", "dog")
    assert _equal(model.state_dict(), from_checkpoint(segmentor).state_dict())
    convert_file(tmp_path / "out.pth", tmp_path / "back.safetensors", layout="swin_dense")
    back = from_checkpoint(tmp_path / "back.safetensors")
    assert back.config == from_checkpoint(segmentor).config
    assert _equal(_state(tmp_path / "back.safetensors"), _state(segmentor))


def test_files_of_other_frameworks_come_back_to_the_bit(shared: Path, tmp_path: Path) -> None:
    for folder, layout, other in (
        ("det_mmdet_mask_rcnn", "mm", "microsoft"),
        ("det_official_cascade", "microsoft", "mm"),
        ("seg_official_upernet", "microsoft", "huggingface_v4"),
    ):
        source = shared / "golden" / folder / "model.pth"
        convert_file(source, tmp_path / "out.pth", layout=other)
        convert_file(tmp_path / "out.pth", tmp_path / "back.pth", layout=layout)
        assert _equal(_state(tmp_path / "back.pth"), _state(source))
        names = read_checkpoint(source).class_names
        assert read_checkpoint(tmp_path / "back.pth").class_names == names


def test_backbone_of_a_whole_model_goes_to_a_layout_without_heads(
    segmentor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.pth"
    with pytest.raises(ValueError, match=r"segmentor\.safetensors: layout timm .*--backbone-only"):
        run(Options(file=segmentor, out=out, to="timm"))
    assert not out.exists()
    run(Options(file=segmentor, out=out, to="timm", backbone_only=True))
    assert all(key.startswith(("patch_embed", "layers")) for key in _state(out))
    assert "left out" in capsys.readouterr().err


def test_backbone_alone_keeps_the_norms_that_have_a_place(segmentor: Path, tmp_path: Path) -> None:
    convert_file(segmentor, tmp_path / "out.pth", layout="mm", backbone_only=True)
    assert "norm3.weight" in _state(tmp_path / "out.pth")
    assert not any(key.startswith("backbone.") for key in _state(tmp_path / "out.pth"))


def test_suffix_must_be_one_of_the_layouts(segmentor: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"out.pth must end in \.safetensors for layout swin_dense"
    ):
        convert_file(segmentor, tmp_path / "out.pth", layout="swin_dense")
    with pytest.raises(ValueError, match="unknown layout 'caffe'"):
        convert_file(segmentor, tmp_path / "out.pth", layout="caffe")


@pytest.mark.parametrize("layout", ["swin_dense", "timm", "mm"])
def test_weights_that_are_nan_are_named_by_key_and_not_written(
    layout: str, segmentor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = from_checkpoint(segmentor)
    model.get_parameter("backbone.layers.0.blocks.0.norm1.bias").data[3] = float("nan")
    bad, out = tmp_path / "bad.safetensors", tmp_path / "out.safetensors"
    save_model(model, bad)
    words = ["convert", str(bad), str(out), "--to", layout]
    assert main([*words, *(["--backbone-only"] if layout == "timm" else [])]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: {bad} must have finite weights below ")
    assert "nan in " in line
    assert "layers.0.blocks.0.norm1.bias" in line
    assert not out.exists()


def test_nothing_is_left_behind(segmentor: Path, tmp_path: Path) -> None:
    convert_file(segmentor, tmp_path / "out.safetensors", layout="mm")
    assert {path.name for path in tmp_path.iterdir()} == {segmentor.name, "out.safetensors"}


def test_flag_names_every_layout() -> None:
    assert set(get_args(LayoutName)) == set(KEY_MAPS)


def test_whole_models_keep_half_precision_on_the_way(segmentor: Path, tmp_path: Path) -> None:
    convert_file(segmentor, tmp_path / "mm.pth", layout="mm")
    state = {
        k: v.half() if v.is_floating_point() else v for k, v in _state(tmp_path / "mm.pth").items()
    }
    torch.save({"state_dict": state}, tmp_path / "half.pth")
    convert_file(tmp_path / "half.pth", tmp_path / "ours.safetensors", layout="swin_dense")
    convert_file(tmp_path / "ours.safetensors", tmp_path / "back.pth", layout="mm")
    back = _state(tmp_path / "back.pth")
    assert _equal(state, back)
    assert all(back[key].dtype == state[key].dtype for key in state)
