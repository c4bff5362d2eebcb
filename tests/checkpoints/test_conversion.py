"""Weights of every layout come under our names and go back to the bit."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from swin_dense.backbone import SwinTransformer
from swin_dense.checkpoints.conversion import convert_state_dict, table_window, to_layout
from swin_dense.checkpoints.key_maps import KEY_MAPS
from swin_dense.checkpoints.loading import load_weights
from swin_dense.configs import SwinConfig
from swin_dense.heads import UPerNetConfig, create_model

_CONFIG = SwinConfig(embed_dim=12, depths=(2, 1, 3, 2), num_heads=(1, 2, 3, 4), window_size=7)


def _randomise(module: nn.Module, generator: torch.Generator) -> None:
    for value in module.parameters():
        value.data = torch.randn(value.shape, generator=generator) * 0.1


def _backbone(generator: torch.Generator) -> dict[str, Tensor]:
    backbone = SwinTransformer(_CONFIG)
    _randomise(backbone, generator)
    return backbone.state_dict()


def _classifier(generator: torch.Generator) -> dict[str, Tensor]:
    state = {k: v for k, v in _backbone(generator).items() if not k.startswith("norm")}
    for name in ("norm.weight", "norm.bias"):
        state[name] = torch.randn(96, generator=generator)
    state["head.weight"] = torch.randn(5, 96, generator=generator)
    state["head.bias"] = torch.randn(5, generator=generator)
    return state


def _equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


# Whose keys `test_mask2former_keys.py` goes through.
_WHOLE_MODELS_ALONE = {"mask2former", "huggingface_mask2former", "huggingface5_mask2former"}
_WITH_HEAD = ("swin_dense", "microsoft", "ddp", "timm", "torchvision", "mmpretrain", "moby")
_WITH_NORMS = ("swin_dense", "microsoft", "ddp", "mm", "detectron2")


@pytest.mark.parametrize("name", [*_WITH_HEAD, "huggingface", "huggingface_v4"])
def test_classifier_goes_there_and_back_to_the_bit(name: str, generator: torch.Generator) -> None:
    state = _classifier(generator)
    converted = to_layout(state, name)
    translation = convert_state_dict(converted)
    assert translation.layout.name == name
    assert _equal(translation.state, state)
    assert _equal(to_layout(translation.state, name), converted)


@pytest.mark.parametrize("name", [*_WITH_NORMS, "huggingface", "huggingface_v4"])
def test_backbone_goes_there_and_back_to_the_bit(name: str, generator: torch.Generator) -> None:
    state = _backbone(generator)
    translation = convert_state_dict(to_layout(state, name))
    assert translation.layout.name == name
    assert not translation.is_whole
    assert _equal(translation.state, state)


@pytest.mark.parametrize(
    "name", ["swin_dense", "microsoft", "ddp", "mm", "huggingface", "huggingface_v4"]
)
@pytest.mark.parametrize("auxiliary", [8, None])
def test_segmentor_goes_there_and_back_to_the_bit(
    name: str, auxiliary: int | None, generator: torch.Generator
) -> None:
    model = create_model(
        UPerNetConfig(
            backbone=_CONFIG, num_classes=3, decoder_channels=8, auxiliary_channels=auxiliary
        )
    )
    _randomise(model, generator)
    translation = convert_state_dict(to_layout(model.state_dict(), name))
    assert translation.layout.name == name
    assert translation.is_whole
    assert _equal(translation.state, model.state_dict())


def test_merge_order_of_mm_is_that_of_unfold(generator: torch.Generator) -> None:
    tokens = torch.randn(1, 5, 4, 6, generator=generator)  # (B, C, H, W)
    ours = torch.randn(7, 20, generator=generator)
    state = _backbone(generator) | {"layers.0.downsample.reduction.weight": ours}
    theirs = to_layout(state, "mm")["stages.0.downsample.reduction.weight"]
    corners = [tokens[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
    expected = F.conv2d(torch.cat(corners, 1), ours[:, :, None, None]).flatten(2)
    unfolded = F.unfold(tokens, 2, stride=2)  # (B, 4*C, H*W/4)
    torch.testing.assert_close(theirs @ unfolded, expected)


def test_other_prefix_on_top_is_taken_off(generator: torch.Generator) -> None:
    state = _backbone(generator)
    converted = {f"module.{key}": value for key, value in to_layout(state, "mm").items()}
    translation = convert_state_dict(converted)
    assert (translation.layout.name, translation.prefix) == ("mm", "module.")
    assert _equal(translation.state, state)


def test_second_network_of_moby_is_dropped_and_said(generator: torch.Generator) -> None:
    state = {k: v for k, v in _classifier(generator).items() if not k.startswith("head")}
    file = to_layout(state, "moby")
    momentum = {key.replace("encoder.", "encoder_k."): value for key, value in file.items()}
    translation = convert_state_dict(file | momentum | {"queue1": torch.zeros(2)})
    assert translation.layout.name == "moby"
    assert _equal(translation.state, state)
    assert "queue1" in translation.dropped
    assert "encoder_k.norm.bias" in translation.dropped


def test_buffers_that_follow_from_the_window_are_dropped_and_rebuilt(
    generator: torch.Generator,
) -> None:
    state = _classifier(generator)
    for name, shape in (("microsoft", (49, 49)), ("torchvision", (2401,))):
        file = to_layout(state, name)
        indices = [key for key in file if key.endswith("relative_position_index")]
        assert len(indices) == sum(_CONFIG.depths)
        assert file[indices[0]].shape == shape
        assert set(convert_state_dict(file).dropped) == set(indices)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "no known layout fits its 0 keys"),
        ({"conv1.weight": torch.ones(1)}, r"no known layout fits its 1 keys \(conv1.weight\)"),
        ({"layers.0.blocks.0.attn.logit_scale": torch.ones(1)}, "Swin V2, which is not supp"),
    ],
)
def test_unknown_layouts_are_refused(state: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert_state_dict(state)


@pytest.mark.parametrize("layout", sorted(KEY_MAPS.keys() - {"moby"} - _WHOLE_MODELS_ALONE))
@pytest.mark.parametrize(
    "key",
    [
        "patch_embed.proj.weight",
        "layers.0.blocks.0.attn.proj.weight",
        "layers.0.downsample.reduction.weight",
        "layers.1.downsample.reduction.weight",
        "layers.2.downsample.norm.bias",
    ],
)
def test_whatever_one_key_is_missing_is_named(
    layout: str, key: str, generator: torch.Generator
) -> None:
    state = _backbone(generator)
    state = {name: value for name, value in state.items() if not name.startswith("norm")}
    del state[key]
    with pytest.raises(ValueError, match=rf"1 keys missing \({re.escape(key)}\)"):
        load_weights(SwinTransformer(_CONFIG), to_layout(state, layout))


def test_a_network_twice_in_a_file_is_told_apart_by_its_prefix(generator: torch.Generator) -> None:
    state = _backbone(generator)
    state |= {f"backbone.{key}": value for key, value in state.items()}
    with pytest.raises(ValueError, match=r"swin_dense \(ours\) and swin_dense .* under 'backbone"):
        convert_state_dict(state)


def test_two_networks_in_one_file_are_ambiguous(generator: torch.Generator) -> None:
    state = to_layout(_backbone(generator), "mm")
    with pytest.raises(ValueError, match=r"two layouts fit equally well: .*microsoft.*mm"):
        convert_state_dict(state | to_layout(_backbone(generator), "microsoft"))


def test_incomplete_or_odd_parts_are_refused(generator: torch.Generator) -> None:
    state = to_layout(_classifier(generator), "huggingface_v4")
    del state["swin.encoder.layers.2.blocks.1.attention.self.key.weight"]
    with pytest.raises(ValueError, match="query, key and value must come together"):
        convert_state_dict(state)
    state = to_layout(_backbone(generator), "mm")
    state["stages.0.downsample.norm.weight"] = torch.ones(7)
    with pytest.raises(ValueError, match=r"must be \(..., 4 \* C\) values, got shape \(7,\)"):
        convert_state_dict(state)


def test_what_a_layout_has_no_place_for_is_refused(generator: torch.Generator) -> None:
    with pytest.raises(ValueError, match=r"timm .* has no place for 8 of the weights \(norm0"):
        to_layout(_backbone(generator), "timm")
    with pytest.raises(ValueError, match=r"mm .* has no place for 4 of the weights"):
        to_layout(_classifier(generator), "mm")
    with pytest.raises(ValueError, match="unknown layout 'caffe'; choose one of swin_dense, "):
        to_layout({}, "caffe")
    with pytest.raises(ValueError, match="stores backbones only"):
        to_layout({f"backbone.{k}": v for k, v in _backbone(generator).items()}, "timm")
    whole = {f"backbone.{k}": v for k, v in _backbone(generator).items()}
    whole["neck.conv.weight"] = torch.ones(1)
    with pytest.raises(ValueError, match=r"transformers 5.* has no place for 1 of the weights"):
        to_layout(whole, "huggingface")


@pytest.mark.parametrize(("rows", "window"), [(169, 7), (529, 12), (1, 1), (168, None), (4, None)])
def test_table_window_is_the_side_of_a_square_of_offsets(rows: int, window: int | None) -> None:
    assert table_window(torch.zeros(rows, 2)) == window


# --------------------------------------------------- models of other libraries, random weights


def _build_timm(size: int = 448) -> nn.Module:
    timm = pytest.importorskip("timm")
    return timm.models.swin_transformer.SwinTransformer(
        img_size=size, embed_dim=12, depths=(2, 1, 3, 2), num_heads=(1, 2, 3, 4), num_classes=5
    )


def _build_torchvision() -> nn.Module:
    torchvision = pytest.importorskip("torchvision")
    return torchvision.models.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=12,
        depths=[2, 1, 3, 2],
        num_heads=[1, 2, 3, 4],
        window_size=[7, 7],
        num_classes=5,
    )


def _build_transformers(kind: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        transformers = pytest.importorskip("transformers")
        config = transformers.SwinConfig(
            embed_dim=12,
            depths=[2, 1, 3, 2],
            num_heads=[1, 2, 3, 4],
            num_labels=5,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        )
        if kind == "UperNetForSemanticSegmentation":
            config = transformers.UperNetConfig(
                backbone_config=config,
                hidden_size=8,
                auxiliary_channels=8,
                auxiliary_in_channels=48,
                num_labels=5,
            )
        return getattr(transformers, kind)(config)

    return build


_LIBRARIES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "timm": (_build_timm, "timm"),
    "torchvision": (_build_torchvision, "torchvision"),
    "classifier": (_build_transformers("SwinForImageClassification"), "huggingface"),
    "backbone": (_build_transformers("SwinBackbone"), "huggingface"),
    "upernet": (_build_transformers("UperNetForSemanticSegmentation"), "huggingface"),
}


@pytest.mark.parametrize("library", _LIBRARIES)
def test_models_of_libraries_come_back_to_the_bit(library: str, generator: torch.Generator) -> None:
    build, layout = _LIBRARIES[library]
    model, again = build(), build()
    _randomise(model, generator)
    translation = convert_state_dict(model.state_dict())
    assert translation.layout.name == layout
    converted = to_layout(translation.state, layout)
    again.load_state_dict(converted, strict=True)
    assert _equal(again.state_dict(), model.state_dict())


@pytest.mark.parametrize("library", ["classifier", "backbone", "upernet"])
def test_files_that_transformers_writes_come_back_to_the_bit(
    library: str, generator: torch.Generator, tmp_path: Any
) -> None:
    from safetensors.torch import load_file

    model: Any = _LIBRARIES[library][0]()
    _randomise(model, generator)
    model.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    translation = convert_state_dict(state)
    assert translation.layout.name == "huggingface_v4"
    assert _equal(to_layout(translation.state, "huggingface_v4"), state)
    assert _equal(translation.state, convert_state_dict(model.state_dict()).state)


def _stages(model: Any, library: str, pixels: Tensor) -> list[Tensor]:
    """Maps of the four stages without output norms, `(B, C, H, W)` each."""
    if library == "timm":
        return model.forward_intermediates(pixels, intermediates_only=True, norm=False)
    if library == "torchvision":
        maps, tokens = [], pixels
        for index, part in enumerate(model.features):
            tokens = part(tokens)
            if index % 2:
                maps.append(tokens.permute(0, 3, 1, 2))
        return maps
    return list(model(pixels).feature_maps)


@pytest.mark.parametrize("library", ["timm", "torchvision", "backbone"])
@torch.no_grad()
def test_features_are_those_of_the_library(library: str, generator: torch.Generator) -> None:
    # 448 px: no map is padded or smaller than a window, so that all implementations agree
    model = _LIBRARIES[library][0]().eval()
    _randomise(model, generator)
    backbone = SwinTransformer(_CONFIG).eval()
    report = load_weights(backbone, model.state_dict())
    pixels = torch.randn(1, 3, 448, 448, generator=generator)
    for index, (ours, theirs) in enumerate(
        zip(backbone(pixels), _stages(model, library, pixels), strict=True)
    ):
        if library != "backbone":
            assert f"norm{index}.weight" in report.new
            theirs = F.layer_norm(theirs.permute(0, 2, 3, 1), theirs.shape[1:2]).permute(0, 3, 1, 2)
        error = (ours - theirs).abs().max() / theirs.abs().max()
        assert error < 1e-5, f"stage {index}"  # float32 sums in another order


@pytest.mark.parametrize(
    ("library", "size", "agreeing"),
    [
        ("torchvision", 224, 3),  # stage 4 is one window: torchvision does not shift it
        ("torchvision", 96, 2),  # stages 3 and 4 are smaller than a window, as above
        ("timm", 224, 3),  # as torchvision
        ("timm", 512, 0),  # 128 tokens need padding, which timm adds behind the roll
    ],
)
@torch.no_grad()
def test_features_differ_where_a_library_left_the_published_semantics(
    library: str, size: int, agreeing: int, generator: torch.Generator
) -> None:
    # Ours are those of Microsoft's detection code, mmdetection, mmsegmentation and detectron2,
    # which the published detectors and segmentors were trained and measured with.
    model = (_build_timm(size) if library == "timm" else _build_torchvision()).eval()
    _randomise(model, generator)
    backbone = SwinTransformer(_CONFIG).eval()
    load_weights(backbone, model.state_dict())
    pixels = torch.randn(1, 3, size, size, generator=generator)
    errors = []
    for ours, theirs in zip(backbone(pixels), _stages(model, library, pixels), strict=True):
        theirs = F.layer_norm(theirs.permute(0, 2, 3, 1), theirs.shape[1:2]).permute(0, 3, 1, 2)
        errors.append(((ours - theirs).abs().max() / theirs.abs().max()).item())
    assert max([0.0, *errors[:agreeing]]) < 1e-5
    assert min(errors[agreeing:]) > 1e-4  # ten times what rounding gives; more with real weights


@torch.no_grad()
def test_torchvision_drops_the_pixels_that_fill_no_patch() -> None:
    pixels = torch.zeros(1, 3, 45, 50)
    ours = SwinTransformer(_CONFIG).eval()(pixels)[0]
    theirs = _stages(_build_torchvision().eval(), "torchvision", pixels)[0]
    assert (ours.shape[2:], theirs.shape[2:]) == ((12, 13), (11, 12))


def test_every_layout_is_tried() -> None:
    tried = {*_WITH_HEAD, *_WITH_NORMS, "huggingface", "huggingface_v4"}
    assert tried | _WHOLE_MODELS_ALONE == set(KEY_MAPS)
