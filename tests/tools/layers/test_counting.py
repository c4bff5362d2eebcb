"""Counts of layers against published numbers, hand-worked ones, and a run with values."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import swin_dense as sd
from swin_dense.heads.segmentation.uper.uper_head import UPerHead
from swin_dense.tools.layers.counting import Layer, count_layers, describe_output
from swin_dense.windowing.token_maps import TokenMaps

TINY = sd.SwinConfig(
    embed_dim=8, depths=(1, 3), num_heads=(1, 2), window_size=2, out_indices=(0, 1)
)


def find(layer: Layer, *names: str) -> Layer:
    for name in names:
        (layer,) = [child for child in layer.children if child.name == name]
    return layer


@pytest.mark.parametrize(
    ("name", "published"),  # GFLOPs: Liu et al. 2021, tables 1 and 10; the released SwinMLPs
    [
        ("classifier_swin_t", 4.5),
        ("classifier_swin_b", 15.4),
        ("classifier_swin_l", 34.5),
        ("classifier_swin_t_c24", 5.9),
        ("classifier_swin_mixer_t_d24", 4.0),
        ("classifier_swin_mixer_b_d24", 10.4),
    ],
)
def test_classifiers_have_the_published_number(name: str, published: float) -> None:
    model = sd.heads.MODEL_VARIANTS[name]
    assert isinstance(model, sd.heads.ClassifierConfig)
    side = model.view.crop
    counts = count_layers(lambda: sd.heads.create_model(name), (side, side))
    assert round(counts.root.multiply_adds / 1e9, 1) == published


@pytest.mark.parametrize(
    ("name", "size", "published"),  # README files of the released repositories
    [("mask_rcnn_swin_t", (800, 1280), 267), ("upernet_swin_t", (512, 2048), 945)],
)
def test_whole_models_have_about_the_published_number(
    name: str, size: tuple[int, int], published: float
) -> None:
    # Theirs has norms and activations besides: up to 2 %.
    counts = count_layers(lambda: sd.heads.create_model(name), size)
    assert 0.98 * published < counts.root.multiply_adds / 1e9 < published


def test_layers_are_those_worked_out_by_hand() -> None:
    counts = count_layers(lambda: sd.create_backbone(TINY), (16, 24))  # 4 x 6 tokens
    root = counts.root
    assert (root.kind, root.output) == ("SwinTransformer", "1 x 8 x 4 x 6, ... (2)")
    embed = find(root, "patch_embed", "proj")
    assert (embed.parameters, embed.multiply_adds) == (3 * 16 * 8 + 8, 24 * 3 * 16 * 8)
    block = find(root, "layers 0", "blocks 0")
    assert find(block, "mlp").multiply_adds == 2 * 24 * 8 * 32
    assert find(block, "attn", "qkv").multiply_adds == 24 * 8 * 24
    # 4 hw C**2, and 2 M**2 hw C for the two products of the attention: section 3.2, Equation 2
    assert find(block, "attn").multiply_adds == 4 * 24 * 8**2 + 2 * 2**2 * 24 * 8
    merging = find(root, "layers 0", "downsample")
    assert merging.multiply_adds == 6 * 32 * 16  # beside the blocks, though called from without
    assert find(root, "layers 0").multiply_adds == block.multiply_adds + merging.multiply_adds
    assert find(root, "norm1").multiply_adds == 0


def test_blocks_that_are_alike_are_one_run() -> None:
    root = count_layers(lambda: sd.create_backbone(TINY), (16, 24)).root
    run = find(root, "layers 1", "blocks 0-2")
    assert (run.count, run.kind, run.output) == (3, "SwinBlock", "6 x 16")
    assert run.parameters == 3 * sum(child.parameters for child in run.children)
    assert find(root, "layers 0", "blocks 0").count == 1


def test_windows_that_are_shifted_by_padding_are_counted() -> None:
    config = sd.SwinMLPConfig(
        embed_dim=8, depths=(2,), num_heads=(2,), window_size=2, out_indices=(0,)
    )
    root = count_layers(lambda: sd.create_backbone(config), (16, 24)).root
    run = find(root, "layers 0", "blocks 0-1")
    mixing = (2 * 3 + 3 * 4) * 2**4 * 8  # windows of both blocks, each M**4 C
    assert run.multiply_adds == mixing + 2 * 2 * 24 * 8 * 32
    assert find(run, "spatial_mlp").multiply_adds == 2 * 3 * 2**4 * 8  # of one: the first


def test_a_run_with_values_has_the_same_products() -> None:
    backbone = replace(TINY, depths=(1, 2, 1), num_heads=(1, 2, 2), out_indices=(0, 1, 2))
    config = replace(sd.heads.MODEL_VARIANTS["upernet_swin_t"], backbone=backbone)
    config = replace(config, decoder_channels=8, auxiliary_channels=8, num_classes=3)
    counts = count_layers(lambda: sd.heads.create_model(config), (37, 50))
    model = sd.heads.create_model(config).eval()
    assert isinstance(model.decode_head, UPerHead)
    model.decode_head.fast = False
    with FlopCounterMode(display=False) as counter:
        model.decode_head(model.backbone(torch.zeros(1, 3, 37, 50)))
    assert counts.root.multiply_adds == counter.get_total_flops() // 2
    head = next(child for child in counts.root.children if child.name == "auxiliary_head")
    assert (head.output, head.multiply_adds) == ("", 0)  # for training alone
    assert head.parameters > 0


def test_parameters_that_two_modules_share_are_counted_once() -> None:
    class Twins(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = self.second = nn.Linear(3, 4)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(pixels)[..., :3])

    root = count_layers(Twins, (2, 3)).root
    assert root.parameters == 16
    assert root.multiply_adds == 2 * 3 * 2 * 12


def test_what_modules_give_is_told_by_its_shape() -> None:
    maps = torch.zeros(1, 2, 3)
    assert describe_output(maps) == "1 x 2 x 3"
    assert describe_output([maps, maps]) == "1 x 2 x 3, ... (2)"
    assert describe_output({"a": maps}) == "1 x 2 x 3"
    assert describe_output(TokenMaps(maps[0], ((1, 1, 2),))) == "2 x 3"
    assert describe_output(None) == ""
