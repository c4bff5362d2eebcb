"""Symbolic tracers see parts of the backbone as nodes, with names that stay, at any size."""

import pickle

import pytest
import torch
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

import swin_dense as sd
from swin_dense.tracing import one_node

CONFIG = sd.SwinConfig(embed_dim=8, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2), window_size=2)
LEVELS = ["norm0", "norm1", "norm2", "norm3"]


class Halving(nn.Module):
    @one_node
    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        """Half of the tensor, which must be even in number: no tracer could go through."""
        return tensor / 2 if len(tensor) % 2 == 0 else tensor


@pytest.fixture
def backbone() -> sd.SwinTransformer:
    torch.manual_seed(0)
    return sd.create_backbone(CONFIG).eval()


def test_a_module_of_one_node_bears_its_own_name():
    model = nn.Sequential(Halving(), nn.ReLU(), Halving())
    traced = torch.fx.symbolic_trace(model)
    calls = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    assert calls == ["0", "1", "2"]
    assert torch.equal(traced(torch.full((4,), 8.0)), torch.full((4,), 2.0))
    assert torch.equal(traced(torch.full((3,), 8.0)), torch.full((3,), 8.0))


def test_the_maps_stand_under_the_names_of_their_norms(backbone, generator):
    extractor = create_feature_extractor(backbone, LEVELS).eval()
    for size in ((1, 1), (37, 65), (64, 32)):
        pixels = torch.randn(2, 3, *size, generator=generator)
        found = extractor(pixels)
        assert list(found) == LEVELS
        for maps, expected in zip(found.values(), backbone(pixels), strict=True):
            assert torch.equal(maps, expected)
            assert maps.is_contiguous()


def test_names_are_the_same_in_both_modes_and_hold_each_stage(backbone):
    train, evaluation = get_graph_node_names(backbone)
    assert train == evaluation
    stages = [name for name in train if name.startswith(("patch", "layers"))]
    assert stages[:3] == ["patch_embed", "layers.0", "layers.0.downsample"]
    assert stages[-1] == "layers.3"


def test_an_extractor_trains_and_can_be_pickled(backbone, generator):
    extractor = create_feature_extractor(backbone, {"norm3": "maps"}).train()
    pixels = torch.randn(1, 3, 20, 20, generator=generator)
    extractor(pixels)["maps"].sum().backward()
    assert all(parameter.grad is not None for parameter in extractor.parameters())
    copy = pickle.loads(pickle.dumps(extractor)).eval()
    assert torch.equal(copy(pixels)["maps"], backbone.eval()(pixels)[3])


def test_hooks_see_the_maps_as_they_are_given(backbone, generator):
    seen = []
    for name in LEVELS:
        backbone.get_submodule(name).register_forward_hook(lambda *call: seen.append(call[-1]))
    features = backbone(torch.randn(1, 3, 30, 40, generator=generator))
    assert all(map(torch.equal, seen, features))


@pytest.mark.parametrize("gradient", [False, True])
def test_the_meta_device_gives_the_shapes(gradient):
    with torch.device("meta"):
        backbone = sd.create_backbone(CONFIG)
    with torch.set_grad_enabled(gradient):
        features = backbone(torch.empty(2, 3, 37, 65, device="meta"))
    assert [tuple(maps.shape) for maps in features] == [
        (2, 8, 10, 17),
        (2, 16, 5, 9),
        (2, 32, 3, 5),
        (2, 64, 2, 3),
    ]
    assert all(maps.is_meta for maps in features)
