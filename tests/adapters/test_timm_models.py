"""Our models as timm makes them: maps, sizes, channels, weights, heads, and what is refused."""

import copy
import importlib
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

import swin_dense as sd
from swin_dense.checkpoints import containers

timm = pytest.importorskip("timm", reason="needs timm")
timm_models = pytest.importorskip("swin_dense.adapters.timm_models")

NAMES = ["swin_dense_b", "swin_dense_b_w12", "swin_dense_l", "swin_dense_l_w12"]
NAMES += ["swin_dense_s", "swin_dense_t"]
TINY = {"embed_dim": 8, "depths": (1, 2, 1, 1), "num_heads": (1, 1, 2, 2), "window_size": 2}
CONFIG = sd.SwinConfig(**TINY)
CHANNELS = [8, 16, 32, 64]


def create(**options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model("swin_dense_t", **TINY | options).eval()


def bare_backbone(**changes: object) -> sd.SwinTransformer:
    """A backbone with values that no two parameters share."""
    backbone = sd.create_backbone(sd.SwinConfig(**TINY | changes)).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in backbone.parameters():
        parameter.data = torch.rand(parameter.shape, generator=generator) / 4
    return backbone


@pytest.fixture
def classifier_file(tmp_path: Path) -> Path:
    """A file in the layout of Microsoft's classifiers, of 7 classes."""
    state = {
        key: value
        for key, value in bare_backbone().state_dict().items()
        if not key.startswith("norm")
    }
    generator = torch.Generator().manual_seed(2)
    for key, shape in {
        "norm.weight": (64,),
        "norm.bias": (64,),
        "head.weight": (7, 64),
        "head.bias": (7,),
        "layers.0.blocks.0.attn.relative_position_index": (4, 4),
    }.items():
        state[key] = torch.rand(shape, generator=generator)
    torch.save({"model": state}, tmp_path / "tiny.pth")
    return tmp_path / "tiny.pth"


def test_the_variants_are_registered_with_their_weights() -> None:
    assert timm.list_models("swin_dense*") == NAMES
    assert set(NAMES) <= set(timm_models.__all__)
    tags = timm.list_pretrained("swin_dense_t*")
    assert tags == [f"swin_dense_t.{tag}" for tag in ("ms_in1k", "ms_in22k", "ms_in22k_ft_in1k")]
    settings = timm.models.get_pretrained_cfg("swin_dense_b_w12.ms_in22k")
    assert (settings.file, settings.num_classes, settings.input_size, settings.pool_size) == (
        "swin_base_patch4_window12_384_22k",
        21841,
        (3, 384, 384),
        (12, 12),
    )
    assert settings.mean == pytest.approx((0.485, 0.456, 0.406), abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_each_variant_has_its_sizes(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
        features = timm.create_model(name, features_only=True)
    config = sd.SWIN_VARIANTS[name.replace("_dense", "")]
    assert features.feature_info.channels() == list(config.stage_channels)
    assert features.feature_info.reduction() == [4, 8, 16, 32]
    assert model.num_features == model.head_hidden_size == config.stage_channels[-1]
    assert all(parameter.is_meta for parameter in model.parameters())
    names = {key.removeprefix("model.") for key in features.state_dict()}
    with torch.device("meta"):
        assert names == sd.create_backbone(config).state_dict().keys()


@pytest.mark.parametrize("size", [(1, 1), (37, 65), (64, 96)])
@pytest.mark.parametrize("feature_cls", [None, "getter", "hook", "fx"])
def test_features_are_the_bare_backbones(
    size: tuple[int, int], feature_cls: str | None, generator: torch.Generator
) -> None:
    features = create(features_only=True, feature_cls=feature_cls)
    backbone = bare_backbone()
    state = {key.removeprefix("model."): value for key, value in features.state_dict().items()}
    if feature_cls in (None, "getter"):
        features.load_state_dict(
            {f"model.{key}": value for key, value in backbone.state_dict().items()}
        )
    else:  # under names of the wrapper's own
        for key in state:
            inner = key.removeprefix("body.").removeprefix("graph_module.")
            features.state_dict()[key].copy_(backbone.state_dict()[inner])
    pixels = torch.randn(2, 3, *size, generator=generator)
    with torch.no_grad():
        found, expected = features(pixels), backbone(pixels)
    assert all(map(torch.equal, found, expected))
    assert all(maps.is_contiguous() for maps in found)
    assert str(features.output_fmt) == "Format.NCHW"


def test_no_map_is_copied(generator: torch.Generator) -> None:
    features = create(features_only=True)
    given: list[Tensor] = []
    for name in ("norm0", "norm1", "norm2", "norm3"):
        norm = features.model.get_submodule(name)
        norm.register_forward_hook(lambda *call: given.append(call[-1]))
    found = features(torch.randn(1, 3, 37, 65, generator=generator))
    assert all(maps is level for maps, level in zip(found, given, strict=True))


def test_chosen_levels_drop_what_they_do_not_need(generator: torch.Generator) -> None:
    features = create(features_only=True, out_indices=(0, 2)).train()
    assert features.feature_info.channels() == [8, 32]
    assert features.feature_info.module_name() == ["norm0", "norm2"]
    maps = features(torch.randn(2, 3, 40, 50, generator=generator))
    assert [tuple(level.shape) for level in maps] == [(2, 8, 10, 13), (2, 32, 3, 4)]
    sum(level.sum() for level in maps).backward()
    assert all(parameter.grad is not None for parameter in features.parameters())
    assert not any("layers.3" in name for name, _ in features.named_parameters())


def test_last_levels_are_counted_from_the_end() -> None:
    assert create(features_only=True, out_indices=(-1,)).feature_info.channels() == [64]
    assert create(features_only=True, out_indices=2).feature_info.channels() == [32, 64]


@pytest.mark.parametrize("in_chans", [1, 4])
def test_images_may_have_other_channels(in_chans: int, classifier_file: Path) -> None:
    overlay = {"file": str(classifier_file)}
    model = create(
        in_chans=in_chans, num_classes=7, pretrained=True, pretrained_cfg_overlay=overlay
    )
    assert model.in_chans == in_chans
    assert model(torch.ones(1, in_chans, 20, 20)).shape == (1, 7)
    kernel = bare_backbone().patch_embed.proj.weight
    found = model.patch_embed.proj.weight
    expected = kernel.sum(1) if in_chans == 1 else kernel[:, 0] * 3 / 4
    torch.testing.assert_close(found[:, 0], expected)


def test_a_classifier_goes_through_its_parts(generator: torch.Generator) -> None:
    model = create(num_classes=5)
    pixels = torch.randn(2, 3, 37, 65, generator=generator)
    features = model.forward_features(pixels)
    assert features.shape == (2, 64, 2, 3)
    pooled = model.forward_head(features, pre_logits=True)
    torch.testing.assert_close(pooled, features.mean((2, 3)))
    torch.testing.assert_close(model(pixels), model.get_classifier()(pooled))
    assert model(pixels).shape == (2, 5)


def test_a_classifier_can_lose_and_change_its_head(generator: torch.Generator) -> None:
    model = create(global_pool="max")
    pixels = torch.randn(2, 3, 37, 65, generator=generator)
    features = model.forward_features(pixels)
    model.reset_classifier(3)
    assert model.num_classes == 3
    assert model(pixels).shape == (2, 3)
    model.reset_classifier(0)
    assert model.num_classes == 0
    torch.testing.assert_close(model(pixels), features.amax((2, 3)))
    model.reset_classifier(0, "")
    torch.testing.assert_close(model(pixels), features)
    assert create(num_classes=0)(pixels).shape == (2, 64)


def test_intermediates_are_the_stages_and_the_norm_is_the_last_ones(
    generator: torch.Generator,
) -> None:
    model = create()
    pixels = torch.randn(2, 3, 37, 65, generator=generator)
    final, maps = model.forward_intermediates(pixels)
    assert torch.equal(final, model.forward_features(pixels))
    assert [level.shape[1] for level in maps] == CHANNELS
    assert not torch.equal(maps[-1], final)
    (normed,) = model.forward_intermediates(pixels, indices=1, norm=True, intermediates_only=True)
    assert torch.equal(normed, final)
    middle, (same,) = model.forward_intermediates(pixels, indices=[1], stop_early=True)
    assert torch.equal(middle, maps[1])
    assert torch.equal(same, maps[1])
    with pytest.raises(ValueError, match="output_fmt must be NCHW, got 'NLC'"):
        model.forward_intermediates(pixels, output_fmt="NLC")


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_pruned_classifier_ends_at_its_stage(stage: int, generator: torch.Generator) -> None:
    model = create(num_classes=5)
    pixels = torch.randn(2, 3, 37, 65, generator=generator)
    _, maps = model.forward_intermediates(pixels)
    pruned = copy.deepcopy(model)
    assert pruned.prune_intermediate_layers([stage], prune_norm=True) == [stage]
    assert pruned.num_features == CHANNELS[stage]
    assert torch.equal(pruned.forward_features(pixels), maps[stage])
    pruned.forward_features(pixels).sum().backward()
    assert all(parameter.grad is not None for parameter in pruned.parameters())
    whole = copy.deepcopy(model)
    whole.prune_intermediate_layers([3], prune_head=False)
    assert torch.equal(whole(pixels), model(pixels))


def test_all_parameters_are_trained_and_checkpointing_changes_no_gradient(
    generator: torch.Generator,
) -> None:
    pixels = torch.randn(2, 3, 37, 65, generator=generator)
    for options in ({"num_classes": 3}, {"features_only": True}):
        gradients = []
        for checkpointing in (False, True):
            model = create(**options).train()
            model.set_grad_checkpointing(checkpointing)
            outputs = model(pixels)
            outputs = outputs if isinstance(outputs, list) else [outputs]
            sum(output.square().sum() for output in outputs).backward()
            gradients.append([parameter.grad for parameter in model.parameters()])
            assert all(gradient is not None for gradient in gradients[-1])
        torch.testing.assert_close(*gradients)


def test_layer_decay_and_weight_decay_know_every_parameter() -> None:
    model = create(num_classes=3)
    groups = timm.models.group_parameters(model, model.group_matcher(), reverse=True)
    assert groups["patch_embed.proj.weight"] == 0
    assert groups["layers.1.blocks.1.mlp.fc1.weight"] == 3
    assert groups["layers.1.downsample.reduction.weight"] == 3
    assert groups["norm.weight"] == groups["layers.3.blocks.0.norm1.weight"] == 5
    assert groups["head.fc.weight"] == 6
    coarse = timm.models.group_parameters(model, model.group_matcher(coarse=True), reverse=True)
    assert coarse["layers.3.blocks.0.norm1.weight"] == 4
    names = dict(create(features_only=True).named_parameters())
    assert model.no_weight_decay() <= dict(model.named_parameters()).keys()
    undecayed = create(features_only=True).no_weight_decay()
    assert undecayed <= names.keys()
    assert "model.norm0.weight" in undecayed


def test_a_published_classifier_is_loaded_by_path_or_name(
    classifier_file: Path, monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    by_path = create(
        num_classes=7, pretrained=True, pretrained_cfg_overlay={"file": str(classifier_file)}
    )
    asked: list[str] = []
    monkeypatch.setattr(containers, "resolve", lambda name: asked.append(name) or classifier_file)
    by_tag = create(num_classes=7, pretrained=True)
    by_name = create(
        num_classes=7, pretrained=True, pretrained_cfg_overlay={"file": "some_published_name"}
    )
    assert asked == ["swin_tiny_patch4_window7_224", "some_published_name"]
    monkeypatch.undo()
    by_checkpoint = create(num_classes=7, checkpoint_path=classifier_file)
    weights = torch.load(classifier_file)["model"]
    pixels = torch.randn(1, 3, 37, 65, generator=generator)
    for model in (by_path, by_tag, by_name, by_checkpoint):
        assert torch.equal(model.head.fc.weight, weights["head.weight"])
        assert torch.equal(model.norm.bias, weights["norm.bias"])
        assert torch.equal(model(pixels), by_path(pixels))


def test_a_classifier_that_timm_saved_comes_back_whole(tmp_path: Path) -> None:
    model = create(num_classes=3)
    for parameter in model.parameters():
        parameter.data.add_(1)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "trained.pth.tar")
    overlay = {"file": str(tmp_path / "trained.pth.tar")}
    for options in (
        {"pretrained": True, "pretrained_cfg_overlay": overlay},
        {"checkpoint_path": tmp_path / "trained.pth.tar"},
    ):
        same = create(num_classes=3, **options)
        assert all(map(torch.equal, same.parameters(), model.parameters()))
        features = create(features_only=True, **options)  # which have no use for the head
        assert torch.equal(features.model.patch_embed.proj.bias, model.patch_embed.proj.bias)


def test_a_head_of_other_classes_starts_anew(classifier_file: Path) -> None:
    overlay = {"file": str(classifier_file)}
    model = create(num_classes=3, pretrained=True, pretrained_cfg_overlay=overlay)
    weights = torch.load(classifier_file)["model"]
    assert model.head.fc.weight.shape == (3, 64)
    assert torch.equal(model.norm.weight, weights["norm.weight"])
    with pytest.raises(ValueError, match="0 unexpected, 2 of another shape"):
        create(num_classes=3, checkpoint_path=classifier_file)
    headless = create(num_classes=0, pretrained=True, pretrained_cfg_overlay=overlay)
    assert torch.equal(headless.norm.weight, weights["norm.weight"])


def test_features_take_a_classifiers_and_a_backbones_file(
    classifier_file: Path, tmp_path: Path, generator: torch.Generator
) -> None:
    backbone = bare_backbone()
    torch.save(backbone.state_dict(), tmp_path / "backbone.pth")
    pixels = torch.randn(1, 3, 37, 65, generator=generator)
    for options in (
        {"checkpoint_path": tmp_path / "backbone.pth"},
        {"pretrained": True, "pretrained_cfg_overlay": {"file": str(tmp_path / "backbone.pth")}},
        {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": backbone.state_dict()}},
    ):
        features = create(features_only=True, **options)
        assert all(map(torch.equal, features(pixels), backbone(pixels)))
    features = create(features_only=True, checkpoint_path=classifier_file)
    plain = sd.create_backbone(CONFIG, weights=classifier_file).eval()
    assert all(map(torch.equal, features(pixels), plain(pixels)))


def test_a_whole_models_file_gives_its_backbone(tmp_path: Path) -> None:
    model = sd.heads.create_model(
        sd.heads.UPerNetConfig(
            backbone=CONFIG, num_classes=2, decoder_channels=8, auxiliary_channels=None
        )
    )
    sd.heads.save_model(model, tmp_path / "model.safetensors")
    overlay = {"file": str(tmp_path / "model.safetensors")}
    features = create(features_only=True, pretrained=True, pretrained_cfg_overlay=overlay)
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(features.state_dict()[f"model.{name}"], value)
    classifier = create(num_classes=3, pretrained=True, pretrained_cfg_overlay=overlay)
    kernel = "layers.0.blocks.0.attn.qkv.weight"
    assert torch.equal(classifier.state_dict()[kernel], model.backbone.state_dict()[kernel])


def test_a_file_that_does_not_fit_is_one_line(classifier_file: Path) -> None:
    overlay = {"file": str(classifier_file)}
    with pytest.raises(ValueError, match=r"tiny\.pth does not fit .* keys missing") as caught:
        create(depths=(2, 2, 1, 1), pretrained=True, pretrained_cfg_overlay=overlay)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no such file, and no published file"):
        create(pretrained=True, pretrained_cfg_overlay={"file": "swin_tiny_nowhere"})


def test_a_saved_state_goes_back_into_the_same_model() -> None:
    for options in ({"num_classes": 3}, {"features_only": True}):
        model = create(**options)
        other = create(**options)
        for parameter in model.parameters():
            parameter.data.add_(1)
        other.load_state_dict(model.state_dict())
        assert all(
            torch.equal(ours, theirs)
            for ours, theirs in zip(model.parameters(), other.parameters(), strict=True)
        )


def test_the_device_and_the_type_are_timms_to_choose() -> None:
    model = create(num_classes=3, device="meta", dtype=torch.float64)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    pixels = torch.empty(1, 3, 40, 40, device="meta", dtype=torch.float64)
    assert model(pixels).shape == (1, 3)
    model.reset_classifier(4)
    assert model.get_classifier().weight.is_meta


def test_options_of_timms_swin_about_sizes_change_nothing(generator: torch.Generator) -> None:
    model = create(features_only=True, img_size=512, strict_img_size=False, output_stride=32)
    pixels = torch.randn(1, 3, 30, 50, generator=generator)
    maps = create(features_only=True)(pixels)
    assert all(map(torch.equal, model(pixels), maps))
    model.model.set_input_size(img_size=(320, 256))
    assert all(map(torch.equal, model(pixels), maps))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"not_an_option": 1}, TypeError, "not_an_option"),
        ({"output_stride": 16}, ValueError, "output_stride must be 32 .*, got 16"),
        ({"features_only": True, "feature_cls": "list"}, ValueError, "must be getter, hook or fx"),
        ({"num_heads": (3, 3, 3, 3)}, ValueError, "divisible by its num_heads, got 8 and 3"),
    ],
)
def test_what_cannot_be_made_says_so(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        create(**options)


def test_pixels_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pixels must be \(B, 3, H, W\)"):
        create(features_only=True)(torch.zeros(1, 4, 8, 8))


def test_our_heads_stand_on_the_registered_backbone(generator: torch.Generator) -> None:
    backbone = sd.create_backbone(sd.TimmConfig(name="swin_dense_t", gradient_checkpointing=True))
    assert backbone.channels == (96, 192, 384, 768)
    assert len(backbone.blocks()) > 0
    pixels = torch.randn(1, 3, 33, 20, generator=generator)
    shapes: list[Tensor] = backbone(pixels)
    assert [tuple(maps.shape[-2:]) for maps in shapes] == [(9, 5), (5, 3), (3, 2), (2, 1)]


def test_without_timm_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm.models", None)
    monkeypatch.delitem(sys.modules, "swin_dense.adapters.timm_models")
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("swin_dense.adapters.timm_models")
    assert str(caught.value) == (
        "swin_dense.adapters.timm_models needs timm, which is not installed; "
        "pip install 'swin-dense[timm]'"
    )
