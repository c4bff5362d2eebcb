"""Models go into folders of the hub's convention and come back."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from hub_server import HubServer

from swin_dense.configs import SwinConfig
from swin_dense.heads import MaskRCNN, Model, UPerNet, UPerNetConfig, create_model
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
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["README.md", "config.json", "model.safetensors"]
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


def test_the_card_says_task_classes_and_metrics(tmp_path: Path) -> None:
    model = create_model(_CONFIG, class_names=["a|b", "sky"], category_ids=[3, 7])
    metrics = {"mIoU": 0.5, "IoU": [0.4, 0.6]}
    model.save_pretrained(tmp_path / "mine", metrics=metrics, dataset="streets")
    _, header, text = (tmp_path / "mine" / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(header)
    assert (card["library_name"], card["pipeline_tag"]) == ("swin_dense", "image-segmentation")
    (result,) = card["model-index"][0]["results"]
    assert result["dataset"] == {"name": "streets", "type": "streets"}
    assert result["metrics"] == [{"type": "mIoU", "name": "mIoU", "value": 0.5}]
    assert "| 0 | a\\|b | 3 |" in text
    assert "| mIoU | 0.5 |" in text
    assert 'sd.heads.from_pretrained("mine")' in text


def test_a_class_gives_its_own_models_alone(tmp_path: Path) -> None:
    create_model(_CONFIG).save_pretrained(tmp_path)
    assert type(UPerNet.from_pretrained(tmp_path)) is UPerNet
    assert type(Model.from_pretrained(tmp_path)) is UPerNet
    with pytest.raises(ValueError, match="must hold a MaskRCNN, got a UPerNet"):
        MaskRCNN.from_pretrained(tmp_path)


def test_a_model_goes_to_the_hub_and_comes_back(hub: HubServer) -> None:
    model = create_model(_CONFIG, class_names=["road", "sky"])
    model.push_to_hub("me/streets", metrics={"mIoU": 0.5}, private=True)
    assert b"| mIoU | 0.5 |" in hub.repositories["me/streets"]["README.md"]
    read = from_pretrained("me/streets")
    assert read.class_names == ("road", "sky")
    for key, value in model.state_dict().items():
        assert torch.equal(read.state_dict()[key], value)
    assert hub.authorizations == []  # nobody asked for a token
