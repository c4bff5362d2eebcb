"""Our backbone in transformers: the contract, and inside three of its models."""

import importlib
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import swin_dense as sd

transformers = pytest.importorskip("transformers", reason="needs transformers")
models = pytest.importorskip("swin_dense.adapters.transformers_models")

TINY = {"embed_dim": 8, "depths": [1, 2, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 2}


@pytest.fixture(autouse=True)
def registered() -> None:
    torch.manual_seed(0)
    sd.adapters.register_with_transformers()


def tiny_config(**options: object) -> models.SwinDenseConfig:
    return transformers.AutoConfig.for_model("swin_dense", **TINY | options)


@pytest.mark.parametrize("size", [(1, 1), (37, 65), (64, 96)])
def test_feature_maps_are_the_bare_backbones(
    size: tuple[int, int], generator: torch.Generator
) -> None:
    model = transformers.AutoBackbone.from_config(tiny_config()).eval()
    bare = sd.create_backbone(model.config.swin, weights=model.swin.state_dict()).eval()
    pixels = torch.randn(2, 3, *size, generator=generator)
    with torch.no_grad():
        found, expected = model(pixels).feature_maps, bare(pixels)
    assert isinstance(found, tuple)
    assert all(map(torch.equal, found, expected))
    assert all(maps.is_contiguous() for maps in found)
    assert (model.channels, model.num_features) == ([8, 16, 32, 64], [8, 8, 16, 32, 64])


def test_no_map_is_copied(generator: torch.Generator) -> None:
    model = transformers.AutoBackbone.from_config(tiny_config()).eval()
    given: list[torch.Tensor] = []
    for name in ("norm0", "norm1", "norm2", "norm3"):
        norm = model.swin.get_submodule(name)
        norm.register_forward_hook(lambda *call: given.append(call[-1]))
    found = model(torch.randn(1, 3, 37, 65, generator=generator)).feature_maps
    assert all(maps is level for maps, level in zip(found, given, strict=True))


def test_features_are_chosen_by_name_or_number(generator: torch.Generator) -> None:
    pixels = torch.randn(1, 3, 37, 65, generator=generator)
    whole = transformers.AutoBackbone.from_config(tiny_config()).eval()
    for options in ({"out_features": ["stem", "stage2"]}, {"out_indices": [0, 2]}):
        model = transformers.AutoBackbone.from_config(tiny_config(**options)).eval()
        assert (model.out_features, model.out_indices) == (["stem", "stage2"], [0, 2])
        assert model.channels == [8, 16]
        model.swin.load_state_dict(
            {key: whole.swin.state_dict()[key] for key in model.swin.state_dict()}
        )
        stem, stage = model(pixels).feature_maps
        everything = whole(pixels, output_hidden_states=True)
        assert torch.equal(stem, everything.hidden_states[0])
        assert torch.equal(stage, everything.feature_maps[1])


def test_features_can_be_chosen_anew_among_those_it_has(generator: torch.Generator) -> None:
    model = transformers.AutoBackbone.from_config(
        tiny_config(out_features=["stage1", "stage2", "stage4"])
    ).eval()
    pixels = torch.randn(1, 3, 37, 65, generator=generator)
    first, _, last = model(pixels).feature_maps
    model.out_features = ["stem", "stage1", "stage4"]
    found = model(pixels).feature_maps
    assert [maps.shape[1] for maps in found] == model.channels == [8, 8, 64]
    assert torch.equal(found[1], first)
    assert torch.equal(found[2], last)
    model.out_features = ["stage3"]
    with pytest.raises(ValueError, match=r"made with, got stage3, which has no norm"):
        model(pixels)


def test_hidden_states_are_the_stem_and_the_stages_before_their_norms(
    generator: torch.Generator,
) -> None:
    model = transformers.AutoBackbone.from_config(tiny_config()).eval()
    pixels = torch.randn(1, 3, 37, 65, generator=generator)
    output = model(pixels, output_hidden_states=True)
    assert [tuple(state.shape) for state in output.hidden_states] == [
        (1, 8, 10, 17),
        (1, 8, 10, 17),
        (1, 16, 5, 9),
        (1, 32, 3, 5),
        (1, 64, 2, 3),
    ]
    last = output.hidden_states[-1].permute(0, 2, 3, 1)
    assert torch.equal(model.swin.norm3(last), output.feature_maps[-1])
    assert isinstance(model(pixels, return_dict=False), tuple)
    with pytest.raises(ValueError, match="output_attentions must be False"):
        model(pixels, output_attentions=True)


def test_a_variant_gives_the_sizes_and_the_config_survives_json(tmp_path: Path) -> None:
    config = tiny_config(variant="swin_b_w12", window_size=None, out_features=["stage3"])
    assert config.window_size == 12
    config.save_pretrained(tmp_path)
    read = transformers.AutoConfig.from_pretrained(tmp_path)
    assert type(read) is models.SwinDenseConfig
    assert read.swin == config.swin
    assert read.out_features == ["stage3"]
    variant = transformers.AutoConfig.for_model("swin_dense", variant="swin_l").swin
    assert variant == sd.SWIN_VARIANTS["swin_l"]
    with pytest.raises(ValueError, match="unknown variant 'swin_x'; choose one of swin_t"):
        tiny_config(variant="swin_x")


def test_what_a_file_has_not_is_drawn_as_ours(tmp_path: Path) -> None:
    model = transformers.AutoBackbone.from_config(tiny_config())
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    state = model.state_dict()
    lost = [key for key in state if "layers.2" in key or "norm0" in key]
    torch.save({key: state[key] for key in state if key not in lost}, tmp_path / "weights.bin")
    (tmp_path / "weights.bin").rename(tmp_path / "pytorch_model.bin")
    read = models.SwinDenseBackbone.from_pretrained(tmp_path)
    for key, value in read.state_dict().items():
        if key not in lost:
            assert torch.equal(value, state[key]), key
        elif key.endswith(("norm0.weight", "norm1.weight", "norm2.weight", "norm.weight")):
            assert torch.equal(value, torch.ones_like(value)), key
        elif value.ndim == 2:
            assert 0.01 < value.std() < 0.03, key
            assert value.abs().max() < 2, key


def test_bare_names_are_those_of_the_backbone_within(tmp_path: Path) -> None:
    bare = sd.create_backbone(tiny_config().swin)
    torch.save(bare.state_dict(), tmp_path / "backbone.pth")
    model = transformers.AutoBackbone.from_config(tiny_config())
    sd.load_weights(model.swin, tmp_path / "backbone.pth")
    assert torch.equal(model.swin.norm0.weight, bare.norm0.weight)


def upernet() -> nn.Module:
    config = transformers.UperNetConfig(
        backbone_config=tiny_config(),
        hidden_size=8,
        num_labels=3,
        pool_scales=[1, 2],
        auxiliary_channels=8,
        auxiliary_in_channels=32,
    )
    return transformers.UperNetForSemanticSegmentation(config)


def mask2former() -> nn.Module:
    config = transformers.Mask2FormerConfig(
        backbone_config=tiny_config(),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=4,
        num_queries=5,
        num_labels=3,
        train_num_points=50,
    )
    return transformers.Mask2FormerForUniversalSegmentation(config)


def detr() -> nn.Module:
    config = transformers.DetrConfig(
        backbone_config=tiny_config(),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=5,
        num_labels=3,
    )
    return transformers.DetrForObjectDetection(config)


UPERNET_LABELS = {"labels": torch.zeros(2, 64, 64, dtype=torch.long)}
MASKS = torch.zeros(1, 64, 64).index_fill_(1, torch.arange(9, 30), 1.0)
MASK2FORMER_LABELS = {
    "mask_labels": [MASKS, MASKS],
    "class_labels": [torch.tensor([1]), torch.tensor([2])],
}
BOXES = {"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.3, 0.2]])}
CASES = [
    pytest.param(upernet, UPERNET_LABELS, "logits", id="UperNet"),
    pytest.param(mask2former, MASK2FORMER_LABELS, "masks_queries_logits", id="Mask2Former"),
    pytest.param(detr, {"labels": [BOXES, BOXES]}, "pred_boxes", id="DETR"),
]


@pytest.mark.parametrize(("build", "labels", "name"), CASES)
def test_a_model_trains_a_step_and_comes_back_from_its_folder(
    build, labels, name, tmp_path: Path, generator: torch.Generator
) -> None:
    if build is detr:
        pytest.importorskip("scipy", reason="DETR's matcher needs scipy")
    model = build().train()
    backbone = next(part for part in model.modules() if isinstance(part, models.SwinDenseBackbone))
    optimizer = torch.optim.SGD(backbone.parameters(), lr=0.1)
    pixels = torch.randn(2, 3, 64, 64, generator=generator)
    before = backbone.swin.patch_embed.proj.weight.clone()
    loss = model(pixel_values=pixels, **labels).loss
    loss.backward()
    assert torch.isfinite(loss)
    used = [key for key, value in backbone.named_parameters() if value.grad is not None]
    assert "swin.layers.3.blocks.0.mlp.fc2.weight" in used
    optimizer.step()
    assert not torch.equal(before, backbone.swin.patch_embed.proj.weight)
    model.eval().save_pretrained(tmp_path)
    read = type(model).from_pretrained(tmp_path)
    sizes = [(64, 64), (50, 70)] if build is upernet else [(64, 64), (64, 96)]
    for size in sizes:
        image = torch.randn(1, 3, *size, generator=generator)
        with torch.no_grad():
            expected, found = (getattr(part(image), name) for part in (model, read))
        # the same weights at another place of the memory: sums in another order
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_checkpointing_changes_no_gradient(generator: torch.Generator) -> None:
    model = transformers.AutoBackbone.from_config(tiny_config()).train()
    pixels = torch.randn(1, 3, 37, 65, generator=generator)
    gradients = []
    for enable in (False, True):
        if enable:
            model._set_gradient_checkpointing(True)  # what every release's public door calls
            assert all(stage.gradient_checkpointing for stage in model.swin.layers)
        model.zero_grad()
        sum(maps.square().sum() for maps in model(pixels).feature_maps).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*gradients)


def test_the_registered_timm_model_serves_timm_backbone(generator: torch.Generator) -> None:
    pytest.importorskip("swin_dense.adapters.timm_models", reason="needs timm")
    config = transformers.TimmBackboneConfig(backbone="swin_dense_t", out_indices=[1, 3])
    model = transformers.AutoBackbone.from_config(config).eval()
    maps = model(torch.randn(1, 3, 33, 20, generator=generator)).feature_maps
    assert [tuple(level.shape) for level in maps] == [(1, 192, 5, 3), (1, 768, 2, 1)]
    assert model.channels == [192, 768]


def test_without_transformers_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "swin_dense.adapters.transformers_models")
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("swin_dense.adapters.transformers_models")
    assert str(caught.value) == (
        "swin_dense.adapters.transformers_models needs transformers, which is not installed; "
        "pip install 'swin-dense[transformers]'"
    )
