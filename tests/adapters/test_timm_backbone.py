"""timm's models under the backbone's protocol: sizes, freezing, decay, blocks, what is refused."""

import sys

import pytest
import torch
from torch import Tensor, nn

from swin_dense.adapters.timm_backbone import TimmBackbone
from swin_dense.configs import TimmConfig
from swin_dense.protocol import Backbone

timm = pytest.importorskip("timm", reason="needs timm")

# A convolutional one whose levels are all wanted, one with a level of stride 2 and BatchNorm, and
# timm's Swin with its maps in NHWC (as small as it gets).
NAMES = ("test_convnext", "test_resnet", "swin_tiny_patch4_window7_224")


def build(name: str, **changes: object) -> TimmBackbone:
    torch.manual_seed(0)
    return TimmConfig(name=name, **changes).build()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (37, 65), (64, 96)])
def test_maps_have_the_protocols_shapes_for_any_size(
    name: str, size: tuple[int, int], generator: torch.Generator
) -> None:
    backbone = build(name).eval()
    assert isinstance(backbone, Backbone)
    with torch.no_grad():
        features = backbone(torch.randn(2, 3, *size, generator=generator))
    expected = [
        (2, channels, -(-size[0] // stride), -(-size[1] // stride))
        for channels, stride in zip(backbone.channels, (4, 8, 16, 32), strict=True)
    ]
    assert [tuple(feature.shape) for feature in features] == expected
    assert all(feature.is_contiguous() for feature in features)


@pytest.mark.parametrize("name", NAMES)
def test_maps_are_timms_own(name: str, generator: torch.Generator) -> None:
    backbone = build(name).eval()
    reference = timm.create_model(name, features_only=True).eval()
    reference.load_state_dict(backbone.net.state_dict())
    pixels = torch.randn(1, 3, 224, 224, generator=generator)
    with torch.no_grad():
        expected: list[Tensor] = reference(pixels)[-4:]
        if name.startswith("swin"):
            expected = [maps.permute(0, 3, 1, 2) for maps in expected]
        # the same sums in another order at most
        torch.testing.assert_close(backbone(pixels), expected, rtol=1e-5, atol=1e-5)


def test_padding_is_below_and_right_and_zero(generator: torch.Generator) -> None:
    backbone = build("test_convnext").eval()
    pixels = torch.randn(1, 3, 40, 50, generator=generator)
    padded = torch.zeros(1, 3, 64, 64)
    padded[:, :, :40, :50] = pixels
    with torch.no_grad():
        for cropped, whole in zip(backbone(pixels), backbone(padded), strict=True):
            assert torch.equal(cropped, whole[:, :, : cropped.shape[2], : cropped.shape[3]])


@pytest.mark.parametrize("name", ["test_convnext", "test_resnet"])
def test_frozen_stages_have_no_gradient_and_keep_their_statistics(name: str) -> None:
    backbone = build(name, frozen_stages=1).train()
    sum(maps.sum() for maps in backbone(torch.ones(2, 3, 64, 64))).backward()
    frozen = [n for n, p in backbone.named_parameters() if not p.requires_grad]
    trained = [n for n, p in backbone.named_parameters() if p.grad is not None]
    first, second = ("layer1", "layer2") if name == "test_resnet" else ("stages_0", "stages_1")
    assert any(first in n for n in frozen)
    assert not any(first in n for n in trained)
    assert any(second in n for n in trained)
    for module_name, module in backbone.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training == (f"{module_name}.weight" not in frozen), module_name


def test_all_parameters_are_trained_unless_stages_are_frozen() -> None:
    backbone = build("test_convnext")
    sum(maps.sum() for maps in backbone(torch.ones(2, 3, 64, 64))).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_norms_and_biases_are_not_decayed(name: str) -> None:
    backbone = build(name)
    undecayed = backbone.no_weight_decay()
    parameters = dict(backbone.named_parameters())
    assert {n for n, parameter in parameters.items() if parameter.ndim == 1} <= undecayed
    assert not any(parameters[n].ndim == 4 for n in undecayed)
    has_tables = any("relative_position_bias_table" in n for n in undecayed)
    assert has_tables == name.startswith("swin")


@pytest.mark.parametrize("name", NAMES)
def test_each_block_is_called_once_a_forward(name: str) -> None:
    backbone = build(name).eval()
    calls: list[nn.Module] = []
    blocks = backbone.blocks()
    for block in blocks:
        block.register_forward_hook(lambda module, *_: calls.append(module))
    backbone(torch.zeros(1, 3, 64, 64))
    assert calls == blocks
    assert blocks


def test_checkpointed_gradients_are_the_same(generator: torch.Generator) -> None:
    pixels = torch.randn(1, 3, 64, 64, generator=generator)
    gradients = []
    for checkpointing in (False, True):
        backbone = build("test_convnext", gradient_checkpointing=checkpointing).train()
        sum(maps.square().sum() for maps in backbone(pixels)).backward()
        gradients.append([parameter.grad for parameter in backbone.parameters()])
    torch.testing.assert_close(*gradients)


def test_a_config_for_weights_of_a_file_fetches_nothing() -> None:
    config = TimmConfig(name="resnet18", pretrained=True, frozen_stages=2)
    assert config.without_pretrained() == TimmConfig(name="resnet18", frozen_stages=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "resnet5000"}, r"has no model 'resnet5000'; near are resnet"),
        ({"name": "test_vit"}, r"must have maps of strides 4, 8, 16 and 32, got \[16, 16, 16\]"),
        ({"name": "test_resnet", "frozen_stages": 5}, r"must be -1 or in 1\.\.4 .*, got 5"),
        ({"name": "test_resnet", "frozen_stages": 0}, r"must be -1 or in 1\.\.4 .*, got 0"),
        ({"name": "test_convnext", "drop_path_rate": 1.5}, r"must be in \[0, 1\), got 1.5"),
    ],
)
def test_what_cannot_be_built_is_one_clear_line(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        TimmConfig(**changes).build()
    assert "\n" not in str(caught.value)


def test_options_that_a_model_does_not_know_are_named() -> None:
    with pytest.raises(ValueError, match=r"timm cannot make hrnet_w18_small with .*drop_path_rate"):
        build("hrnet_w18_small", drop_path_rate=0.1)


def test_without_timm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match="needs timm, which is not installed; pip install timm"):
        TimmConfig(name="resnet18").build()


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (torch.zeros(3, 8, 8), r"must be \(B, 3, H, W\)"),
        (torch.zeros(1, 4, 8, 8), r"must be \(B, 3, H, W\)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "must be floating point"),
    ],
)
def test_pixels_of_another_kind_are_refused(pixels: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("test_convnext")(pixels)
