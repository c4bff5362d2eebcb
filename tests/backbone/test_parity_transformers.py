"""The backbone against Hugging Face's `SwinBackbone`, which keeps the published semantics."""

import pytest
import torch

import swin_dense as sd

transformers = pytest.importorskip("transformers", reason="needs transformers (the test extra)")

WIDE = sd.SWIN_VARIANTS["swin_t"]
WINDOW_12 = sd.SwinConfig(embed_dim=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=12)
SMALL_SIZES = [(1, 1), (96, 60), (224, 224)]
LARGE_SIZES = [
    (333, 517),
    pytest.param((512, 512), marks=pytest.mark.slow),
    pytest.param((800, 1216), marks=pytest.mark.slow),
]


def make_pair(config: sd.SwinConfig) -> tuple[sd.SwinTransformer, torch.nn.Module]:
    """Both backbones with the same random weights, biases large enough to matter."""
    torch.manual_seed(0)
    theirs = transformers.SwinBackbone(
        transformers.SwinConfig(
            embed_dim=config.embed_dim,
            depths=list(config.depths),
            num_heads=list(config.num_heads),
            window_size=config.window_size,
            drop_path_rate=0.0,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        )
    ).eval()
    for name, parameter in theirs.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    ours = sd.create_backbone(config, weights=theirs.state_dict()).eval()
    return ours, theirs


@pytest.fixture(scope="module", params=[WIDE, WINDOW_12], ids=["swin_t", "window_12"])
def pair(request):
    return make_pair(request.param)


@pytest.mark.parametrize("size", SMALL_SIZES + LARGE_SIZES, ids=str)
def test_features_match_the_independent_implementation(pair, size, generator):
    ours, theirs = pair
    pixels = torch.randn(1, 3, *size, generator=generator)
    with torch.inference_mode():
        features, expected = ours(pixels), theirs(pixels).feature_maps
    for feature, other in zip(features, expected, strict=True):
        assert feature.shape == other.shape
        error = (feature - other).abs().max() / other.abs().max()
        assert error <= 1e-5  # float32, a dozen blocks
