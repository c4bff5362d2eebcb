"""Backbones go into folders of the hub's convention, to a hub, and come back."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from hub_server import HubServer

import swin_dense as sd
from swin_dense.adapters.hub.backbones import from_pretrained

CONFIG = sd.SwinConfig(
    embed_dim=8,
    depths=(1, 1, 1, 1),
    num_heads=(1, 1, 2, 2),
    window_size=2,
    activation="relu",
    drop_path_rate=0.25,
)


@pytest.fixture
def backbone() -> sd.SwinTransformer:
    torch.manual_seed(0)
    return sd.create_backbone(CONFIG)


def test_a_folder_gives_the_same_backbone(backbone: sd.SwinTransformer, tmp_path: Path) -> None:
    backbone.save_pretrained(tmp_path / "new" / "folder")
    read = sd.SwinTransformer.from_pretrained(tmp_path / "new" / "folder")
    assert read.config == CONFIG
    assert not read.training
    for key, value in backbone.state_dict().items():
        assert torch.equal(read.state_dict()[key], value)


def test_the_folder_has_weights_config_and_card(
    backbone: sd.SwinTransformer, tmp_path: Path
) -> None:
    backbone.save_pretrained(tmp_path / "mine", metrics={"mIoU": 0.5}, dataset="drawn shapes")
    names = sorted(path.name for path in (tmp_path / "mine").iterdir())
    assert names == ["README.md", "config.json", "model.safetensors"]
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    assert config["backbone"]["activation"] == "relu"
    _, header, text = (tmp_path / "mine" / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(header)
    assert card["library_name"] == "swin_dense"
    assert card["pipeline_tag"] == "image-feature-extraction"
    assert card["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.5
    assert 'sd.SwinTransformer.from_pretrained("mine")' in text


def test_a_card_that_was_edited_stays(backbone: sd.SwinTransformer, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("by hand")
    backbone.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "by hand"


def test_a_whole_models_folder_gives_its_backbone(tmp_path: Path) -> None:
    model = sd.heads.create_model(
        sd.heads.UPerNetConfig(
            backbone=CONFIG, num_classes=2, decoder_channels=8, auxiliary_channels=None
        )
    )
    model.save_pretrained(tmp_path)
    read = sd.SwinTransformer.from_pretrained(tmp_path)
    assert read.config == CONFIG
    assert torch.equal(read.norm0.weight, model.backbone.norm0.weight)
    with pytest.raises(ValueError, match=r"a backbone .*, no whole model"):
        sd.heads.from_pretrained(_backbone_folder(tmp_path / "alone"))


def _backbone_folder(folder: Path) -> Path:
    sd.create_backbone(CONFIG).save_pretrained(folder)
    return folder


def test_a_folder_serves_as_weights(backbone: sd.SwinTransformer, tmp_path: Path) -> None:
    backbone.save_pretrained(tmp_path)
    other = sd.create_backbone(CONFIG, weights=tmp_path)
    assert torch.equal(other.norm0.weight, backbone.norm0.weight)


def test_a_backbone_of_timm_goes_the_same_way(tmp_path: Path, generator: torch.Generator) -> None:
    pytest.importorskip("timm", reason="needs timm")
    backbone = sd.create_backbone(sd.TimmConfig(name="test_convnext")).eval()
    backbone.save_pretrained(tmp_path)
    read = from_pretrained(tmp_path)
    pixels = torch.randn(1, 3, 40, 40, generator=generator)
    assert all(map(torch.equal, read(pixels), backbone(pixels)))
    with pytest.raises(ValueError, match="must hold a SwinTransformer, got a TimmBackbone"):
        sd.SwinTransformer.from_pretrained(tmp_path)


def test_what_its_config_does_not_build_is_not_written(
    backbone: sd.SwinTransformer, tmp_path: Path
) -> None:
    backbone.config = dataclasses.replace(CONFIG, depths=(2, 1, 1, 1))
    with pytest.raises(ValueError, match=r"this SwinTransformer does not fit .* keys missing"):
        backbone.save_pretrained(tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_config_of_an_unknown_kind_is_refused(
    backbone: sd.SwinTransformer, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    metadata = {"format": "pt", "backbone": json.dumps({"kind": "unheard of"})}
    save_file(backbone.state_dict(), tmp_path / "model.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=r"backbone is of the unknown kind 'unheard of'"):
        from_pretrained(tmp_path)


def test_a_backbone_goes_to_the_hub_and_comes_back(
    backbone: sd.SwinTransformer, hub: HubServer
) -> None:
    address = backbone.push_to_hub("me/tiny", commit_message="First")
    assert address.startswith(f"{hub.address}/me/tiny/commit/")
    assert sorted(hub.repositories["me/tiny"]) == ["README.md", "config.json", "model.safetensors"]
    assert b'from_pretrained("me/tiny")' in hub.repositories["me/tiny"]["README.md"]
    read = sd.SwinTransformer.from_pretrained("me/tiny", revision="main")
    assert read.config == CONFIG
    assert torch.equal(read.norm0.weight, backbone.norm0.weight)
    assert hub.authorizations == []  # nobody asked for a token


def test_a_token_is_read_when_it_is_asked_for(backbone: sd.SwinTransformer, hub: HubServer) -> None:
    hub.token = "hf_of_the_environment"
    with pytest.raises(ValueError, match=r"me/tiny cannot be pushed to \(.*\); token=True uses"):
        backbone.push_to_hub("me/tiny")
    assert hub.authorizations == []
    backbone.push_to_hub("me/tiny", token=True)
    with pytest.raises(FileNotFoundError, match="hf://me/tiny cannot be fetched"):
        sd.SwinTransformer.from_pretrained("me/tiny")
    assert sd.SwinTransformer.from_pretrained("me/tiny", token=True).config == CONFIG
    hub.token = "hf_given"
    backbone.push_to_hub("me/other", token="hf_given")
    assert set(hub.authorizations) == {"Bearer hf_of_the_environment", "Bearer hf_given"}


def test_an_absent_repository_is_one_line(hub: HubServer) -> None:
    with pytest.raises(FileNotFoundError, match="hf://me/nothing cannot be fetched") as caught:
        sd.SwinTransformer.from_pretrained("me/nothing")
    assert "\n" not in str(caught.value)


def test_without_the_hubs_library_one_line_says_what_to_install(
    backbone: sd.SwinTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    backbone.save_pretrained(tmp_path)  # a folder needs no hub
    assert sd.SwinTransformer.from_pretrained(tmp_path).config == CONFIG
    hint = r"needs huggingface_hub, which is not installed; pip install 'swin-dense\[hub\]'"
    with pytest.raises(ModuleNotFoundError, match=f"push_to_hub {hint}"):
        backbone.push_to_hub("me/tiny")
    with pytest.raises(FileNotFoundError, match=f"hf://me/tiny {hint}"):
        sd.SwinTransformer.from_pretrained("me/tiny")


def test_the_module_is_imported_by_the_first_call_alone() -> None:
    assert sd.SwinTransformer.hub_module == "swin_dense.adapters.hub.backbones"
    assert importlib.import_module(sd.SwinTransformer.hub_module)
