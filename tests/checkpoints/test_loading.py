"""Weights go into a module wholly or not at all, and the report says what became of them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from swin_dense.backbone import SwinTransformer
from swin_dense.checkpoints.conversion import to_layout
from swin_dense.checkpoints.loading import check_values, initialise, load_weights, resample_table
from swin_dense.configs import SwinConfig
from swin_dense.creation import create_backbone
from swin_dense.heads import MaskRCNNConfig, UPerNetConfig, create_model
from swin_dense.heads.detection.config import BoxConfig, MaskConfig

_CONFIG = SwinConfig(embed_dim=8, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4), window_size=4)
_SEGMENTOR = UPerNetConfig(
    backbone=_CONFIG, num_classes=3, decoder_channels=8, auxiliary_channels=8
)
_DETECTOR = MaskRCNNConfig(
    backbone=_CONFIG,
    num_classes=3,
    fpn_channels=8,
    box=BoxConfig(fc_channels=8),
    mask=MaskConfig(channels=8),
)


def _randomised(module: nn.Module, generator: torch.Generator) -> nn.Module:
    for value in module.parameters():
        value.data = torch.randn(value.shape, generator=generator)
    return module


def _backbone(generator: torch.Generator) -> SwinTransformer:
    backbone = SwinTransformer(_CONFIG)
    _randomised(backbone, generator)
    return backbone


def _classifier(generator: torch.Generator) -> dict[str, Tensor]:
    state = _backbone(generator).state_dict()
    state = {key: value for key, value in state.items() if not key.startswith("norm")}
    return state | {
        "norm.weight": torch.ones(64),
        "norm.bias": torch.ones(64),
        "head.weight": torch.ones(5, 64),
        "head.bias": torch.ones(5),
    }


def test_state_dict_loads_and_all_of_it_is_reported(generator: torch.Generator) -> None:
    source, target = _backbone(generator), SwinTransformer(_CONFIG)
    report = load_weights(target, source.state_dict())
    assert all(
        torch.equal(value, source.state_dict()[key]) for key, value in target.state_dict().items()
    )
    assert report.layout == "swin_dense"
    assert report.num_loaded == len(source.state_dict())
    assert (report.dropped, report.resampled, report.new) == ((), (), ())


def test_classifier_leaves_output_norms_new_and_its_head_out(generator: torch.Generator) -> None:
    target = _backbone(generator)
    norms = {key: value.clone() for key, value in target.state_dict().items() if "norm0" in key}
    state = _classifier(generator)
    report = load_weights(target, state)
    assert report.new == tuple(f"norm{i}.{leaf}" for i in range(4) for leaf in ("weight", "bias"))
    assert report.dropped == ("norm.weight", "norm.bias", "head.weight", "head.bias")
    key = "layers.2.blocks.1.mlp.fc1.weight"
    assert torch.equal(target.state_dict()[key], state[key])
    assert all(torch.equal(target.state_dict()[key], value) for key, value in norms.items())
    assert "start anew: 8 (norm0, norm1, norm2, norm3)" in str(report)
    assert "not used: 4 (norm, head)" in str(report)


def test_backbone_takes_its_part_of_a_whole_model(generator: torch.Generator) -> None:
    model = _randomised(create_model(_SEGMENTOR), generator)
    target = SwinTransformer(_CONFIG)
    report = load_weights(target, to_layout(model.state_dict(), "mm"))
    assert report.layout == "mm"
    for key, value in target.state_dict().items():
        assert torch.equal(value, model.state_dict()[f"backbone.{key}"])
    assert "decode_head.conv_seg.weight" in report.dropped


def test_norms_of_maps_that_are_not_given_are_left_out(generator: torch.Generator) -> None:
    target = SwinTransformer(replace(_CONFIG, out_indices=(1, 3)))
    report = load_weights(target, _backbone(generator).state_dict())
    assert {key.split(".")[0] for key in report.dropped} == {"norm0", "norm2"}


def test_whole_model_refuses_a_backbone_and_says_where_it_goes(generator: torch.Generator) -> None:
    model = create_model(_SEGMENTOR)
    with pytest.raises(ValueError, match=r"holds a backbone only .*load_weights\(model.backbone"):
        load_weights(model, _classifier(generator))
    load_weights(model.backbone, _classifier(generator))


def test_misfit_is_refused_with_counts_and_names(tmp_path: Path) -> None:
    path = tmp_path / "swin_t.safetensors"
    save_file(create_backbone("swin_t").state_dict(), path)
    with pytest.raises(
        ValueError,
        match=r"swin_t\.safetensors does not fit swin_s: 156 keys missing "
        r"\(layers\.2\.blocks\.6\.norm1\.weight, .*, \.\.\.\), 0 unexpected, 0 of another shape",
    ):
        create_backbone("swin_s", weights=path)


def test_misfit_leaves_the_module_as_it_was(generator: torch.Generator) -> None:
    target = _backbone(generator)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    state = _backbone(generator).state_dict() | {"extra.weight": torch.ones(1)}
    state["norm2.bias"] = torch.ones(5)
    with pytest.raises(
        ValueError,
        match=r"0 keys missing, 1 unexpected \(extra.weight\), 1 of another shape "
        r"\(norm2.bias \(5,\) instead of \(32,\)\)",
    ):
        load_weights(target, state)
    assert all(torch.equal(value, before[key]) for key, value in target.state_dict().items())


def test_integer_weights_are_refused(generator: torch.Generator) -> None:
    state = _backbone(generator).state_dict()
    state["layers.0.blocks.0.mlp.fc1.weight"] = torch.zeros(32, 8, dtype=torch.int8)
    with pytest.raises(ValueError, match="1 not floating point"):
        load_weights(SwinTransformer(_CONFIG), state)


def test_half_precision_goes_into_the_modules_own(generator: torch.Generator) -> None:
    source, target = _backbone(generator).half(), SwinTransformer(_CONFIG)
    load_weights(target, source.state_dict())
    assert target.norm0.weight.dtype == torch.float32
    assert torch.equal(target.norm0.weight, source.norm0.weight.float())


def test_tables_of_another_window_are_resampled_and_said(generator: torch.Generator) -> None:
    target = SwinTransformer(replace(_CONFIG, window_size=6))
    source = _backbone(generator).state_dict()
    report = load_weights(target, source)
    assert len(report.resampled) == 5
    key = report.resampled[0]
    assert torch.equal(target.state_dict()[key], resample_table(source[key], window=6))
    assert "position tables resampled (bicubic) from another window: 5" in str(report)


def test_resampling_is_bicubic_per_head_on_the_grid_of_offsets(generator: torch.Generator) -> None:
    table = torch.randn(49, 3, generator=generator)  # window 4
    resampled = resample_table(table, window=6)  # (121, 3)
    for head in range(3):
        grid = table[:, head].reshape(1, 1, 7, 7)
        expected = F.interpolate(grid, size=(11, 11), mode="bicubic").flatten()
        torch.testing.assert_close(resampled[:, head], expected)
    torch.testing.assert_close(resample_table(table, window=4), table)
    constant = torch.full((49, 2), 0.25)
    torch.testing.assert_close(resample_table(constant, window=9), torch.full((289, 2), 0.25))


@pytest.mark.parametrize("config", [_SEGMENTOR, _DETECTOR], ids=["segmentor", "detector"])
def test_other_number_of_classes_needs_the_flag(
    config: UPerNetConfig | MaskRCNNConfig, generator: torch.Generator
) -> None:
    source = _randomised(create_model(config), generator)
    target = create_model(config, num_classes=5)
    with pytest.raises(ValueError, match="new_classes=True starts them anew"):
        load_weights(target, source.state_dict())
    report = load_weights(target, source.state_dict(), new_classes=True)
    layers = {key.rpartition(".")[0].split(".")[-1] for key in report.new}
    assert layers == ({"conv_seg"} if config is _SEGMENTOR else {"fc_cls", "fc_reg", "conv_logits"})
    loaded = target.state_dict()
    for key, value in source.state_dict().items():
        assert key in report.new or torch.equal(loaded[key], value)


def test_the_flag_excuses_nothing_but_classes(generator: torch.Generator) -> None:
    source = _randomised(create_model(_SEGMENTOR), generator)
    target = create_model(replace(_SEGMENTOR, decoder_channels=12))
    with pytest.raises(ValueError, match="of another shape"):
        load_weights(target, source.state_dict(), new_classes=True)


def test_training_starts_from_a_whole_file_of_the_same_kind_else_from_its_backbone(
    generator: torch.Generator,
) -> None:
    source = _randomised(create_model(_SEGMENTOR), generator)
    same, other = create_model(_SEGMENTOR, num_classes=5), create_model(_DETECTOR)
    report = initialise(same, source.state_dict(), new_classes=True)
    assert {key.split(".")[1] for key in report.new} == {"conv_seg"}
    for model, state in (
        (other, source.state_dict()),
        (create_model(_DETECTOR), source.backbone.state_dict()),
        (create_model(_SEGMENTOR), _classifier(generator)),
    ):
        before = {key: value.clone() for key, value in model.state_dict().items()}
        report = initialise(model, state)
        assert report.num_loaded + len(report.new) == len(model.backbone.state_dict())
        assert all(
            torch.equal(value, before[key])
            for key, value in model.state_dict().items()
            if not key.startswith("backbone.")
        )
    assert torch.equal(other.backbone.norm0.weight, source.backbone.norm0.weight)


def test_unknown_layout_names_the_file(tmp_path: Path) -> None:
    save_file({"conv.weight": torch.ones(1)}, tmp_path / "resnet.safetensors")
    with pytest.raises(ValueError, match=r"resnet\.safetensors: no known layout fits its 1 keys"):
        load_weights(SwinTransformer(_CONFIG), tmp_path / "resnet.safetensors")


def test_a_position_table_without_dimensions_is_a_misfit() -> None:
    config = SwinConfig(embed_dim=8, depths=(1, 1), num_heads=(1, 1), out_indices=(0, 1))
    state = SwinTransformer(config).state_dict()
    state["layers.0.blocks.0.attn.relative_position_bias_table"] = torch.tensor(1.0)
    with pytest.raises(ValueError, match="1 of another shape"):
        load_weights(SwinTransformer(config), state)


@pytest.mark.parametrize(
    ("value", "fault"),
    [(float("nan"), "nan"), (float("-inf"), "infinity"), (1e30, r"1e\+30"), (-2e9, r"-2e\+09")],
)
def test_values_that_no_training_ends_with_are_named_by_key(value: float, fault: str) -> None:
    module = SwinTransformer(_CONFIG)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    state = {key: tensor.clone() for key, tensor in before.items()}
    state["layers.1.blocks.0.mlp.fc2.weight"].view(-1)[5] = value
    with pytest.raises(ValueError, match=rf"{fault} in layers\.1\.blocks\.0\.mlp\.fc2\.weight"):
        load_weights(module, state)
    assert all(torch.equal(tensor, before[key]) for key, tensor in module.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_infinity_is_found_in_every_type(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match="infinity in a"):
        check_values({"a": torch.tensor([1.0, float("inf")], dtype=dtype)}, source="file")


def test_a_variance_below_zero_is_found() -> None:
    with pytest.raises(ValueError, match=r"a variance of -1e-03 in bn\.running_var"):
        check_values({"bn.running_var": torch.tensor([1.0, -1e-3])}, source="file")
