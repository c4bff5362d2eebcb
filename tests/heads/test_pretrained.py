"""Models go into folders of the hub's convention and come back."""

import json
from pathlib import Path

import pytest
import torch

from swin_dense.configs import SwinConfig
from swin_dense.heads import UPerNetConfig, create_model
from swin_dense.heads.pretrained import from_pretrained, save_pretrained

_CONFIG = UPerNetConfig(
    backbone=SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=2),
    num_classes=2,
    decoder_channels=8,
    auxiliary_channels=None,
)


def test_folder_gives_the_same_model(tmp_path: Path) -> None:
    model = create_model(_CONFIG, class_names=["a", "b"])
    save_pretrained(model, tmp_path / "new" / "folder")
    read = from_pretrained(tmp_path / "new" / "folder")
    assert read.config == model.config
    assert read.class_names == ("a", "b")
    for key, value in model.state_dict().items():
        assert torch.equal(read.state_dict()[key], value)


def test_config_is_plain_json_beside_the_weights(tmp_path: Path) -> None:
    save_pretrained(create_model(_CONFIG, class_names=["a", "b"]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model"] == "upernet"
    assert config["config"]["backbone"]["embed_dim"] == 8
    assert config["class_names"] == ["a", "b"]


def test_revision_of_a_local_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="revision must be None for the local folder"):
        from_pretrained(tmp_path, revision="main")


def test_name_that_is_none_of_the_hub_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match="must be hf://OWNER/NAME"):
        from_pretrained("no-such-folder")
