"""The tables of names: every one of our names leads to theirs and back."""

import pytest

from swin_dense.backbone import SwinTransformer
from swin_dense.checkpoints.key_maps import KEY_MAPS, KeyMap
from swin_dense.configs import SwinConfig

_CONFIG = SwinConfig(embed_dim=8, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2), window_size=2)


@pytest.mark.parametrize("layout", KEY_MAPS.values(), ids=KEY_MAPS)
@pytest.mark.parametrize("with_brackets", [True, False])
def test_names_lead_there_and_back(layout: KeyMap, with_brackets: bool) -> None:
    keys = [*SwinTransformer(_CONFIG).state_dict(), "norm.weight", "head.bias"]
    placed = 0
    for key in keys:
        theirs = layout.find_theirs(key, with_brackets=with_brackets)
        if theirs is None:
            assert key.startswith(("norm", "head"))
            continue
        placed += 1
        for part, name in enumerate(theirs):
            assert layout.find_ours(name) == (key, part)
    assert placed >= len(keys) - 10


@pytest.mark.parametrize(
    ("layout", "ours", "theirs"),
    [
        ("microsoft", "layers.1.downsample.norm.bias", "layers.1.downsample.norm.bias"),
        ("timm", "layers.1.downsample.norm.bias", "layers.2.downsample.norm.bias"),
        ("timm", "head.weight", "head.fc.weight"),
        ("torchvision", "layers.2.blocks.5.mlp.fc2.bias", "features.5.5.mlp.3.bias"),
        ("torchvision", "layers.2.downsample.reduction.weight", "features.6.reduction.weight"),
        ("mm", "layers.0.blocks.1.mlp.fc1.bias", "stages.0.blocks.1.ffn.layers.0.0.bias"),
        ("mmpretrain", "norm.bias", "backbone.norm3.bias"),
        ("moby", "norm.bias", "encoder.norm.bias"),
        ("huggingface_v4", "norm0.weight", "hidden_states_norms.stage1.weight"),
        ("huggingface", "patch_embed.norm.bias", "swin.embeddings.norm.bias"),
        ("detectron2", "norm3.bias", "backbone.bottom_up.norm3.bias"),
    ],
)
def test_some_names_by_hand(layout: str, ours: str, theirs: str) -> None:
    assert KEY_MAPS[layout].find_theirs(ours) == (theirs,)


def test_query_key_and_value_are_three_names() -> None:
    found = KEY_MAPS["huggingface_v4"].find_theirs("layers.0.blocks.1.attn.qkv.weight")
    assert found is not None
    assert [name.split(".")[-2] for name in found] == ["query", "key", "value"]


@pytest.mark.parametrize(
    "key",
    ["features.3.reduction.weight", "features.2.0.norm1.weight", "features.0.1.weight", "norm.x"],
)
def test_names_of_the_wrong_parity_or_kind_are_unknown(key: str) -> None:
    assert KEY_MAPS["torchvision"].find_ours(key) is None
