"""Files of Mask2Former: Meta's pickles, transformers' names, ours; from each to each."""

import pickle
from pathlib import Path

import published_keys as keys
import pytest
import torch
from torch import Tensor

import swin_dense as sd
from swin_dense.checkpoints.conversion import convert_state_dict, to_layout
from swin_dense.configs import SwinConfig
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.tools.commands.convert import convert_file

CONFIG = Mask2FormerConfig(
    backbone=SwinConfig(embed_dim=4, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2), window_size=2),
    num_classes=3,
    num_queries=5,
    channels=32,
    num_heads=2,
    encoder_layers=1,
    encoder_ffn_channels=8,
    decoder_layers=2,
    decoder_ffn_channels=8,
)
LAYOUTS = ("mask2former", "huggingface_mask2former", "huggingface5_mask2former")


@pytest.fixture
def state() -> dict[str, Tensor]:
    return sd.heads.create_model(CONFIG).state_dict()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_lead_there_and_back(layout: str, state: dict[str, Tensor]) -> None:
    theirs = to_layout(state, layout)
    found = convert_state_dict(theirs)
    assert found.layout.name == layout
    assert found.state.keys() == state.keys()
    assert all(torch.equal(found.state[key], state[key]) for key in state)


def test_metas_names_are_those_of_its_code() -> None:
    with torch.device("meta"):
        model = sd.heads.create_model("mask2former_swin_t", num_classes=7)
    theirs = to_layout(
        {k: v for k, v in model.state_dict().items() if "table" not in k}, LAYOUTS[0]
    )
    heads = keys.mask2former(model.config.backbone, num_classes=7, num_queries=100)
    del heads["criterion.empty_weight"]
    ours = {name: tuple(v.shape) for name, v in theirs.items() if name.startswith("sem_seg_head.")}
    assert ours == heads


def test_both_names_of_the_queries_and_unused_buffers_are_read(state: dict[str, Tensor]) -> None:
    theirs = to_layout(state, "mask2former")
    value = theirs.pop("sem_seg_head.predictor.static_query.weight")
    theirs["sem_seg_head.predictor.query_feat.weight"] = value
    theirs |= {"criterion.empty_weight": torch.ones(4), "pixel_mean": torch.ones(3)}
    found = convert_state_dict(theirs)
    assert found.state.keys() == state.keys()
    assert {"criterion.empty_weight", "pixel_mean"} <= set(found.dropped)


def test_early_conversions_are_read(state: dict[str, Tensor]) -> None:
    theirs = to_layout(state, "huggingface_mask2former")
    start = "model.pixel_level_module.encoder."
    early = {
        key.replace(start, f"{start}model.", 1) if f"{start}e" in key else key: value
        for key, value in theirs.items()
    }
    for i in range(4):
        for leaf in ("weight", "bias"):
            value = early.pop(f"{start}hidden_states_norms.stage{i + 1}.{leaf}")
            early[f"{start}hidden_states_norms.{i}.{leaf}"] = value
    assert convert_state_dict(early).state.keys() == state.keys()


def test_files_are_converted_from_each_layout_to_each(tmp_path: Path) -> None:
    model = sd.heads.create_model(CONFIG, class_names=["a", "b", "c"])
    files = {name: tmp_path / f"{name}.safetensors" for name in ("swin_dense", LAYOUTS[1])}
    files["mask2former"] = tmp_path / "meta.pkl"
    sd.heads.save_model(model, files["swin_dense"])
    convert_file(files["swin_dense"], files["mask2former"], layout="mask2former")
    with files["mask2former"].open("rb") as stream:
        assert "sem_seg_head.predictor.static_query.weight" in pickle.load(stream)["model"]
    convert_file(files["mask2former"], files[LAYOUTS[1]], layout=LAYOUTS[1])
    back = tmp_path / "back.safetensors"
    convert_file(files[LAYOUTS[1]], back, layout="swin_dense")
    image = torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)
    expected = model.eval().outputs([image])
    for path in (*files.values(), back):
        loaded = sd.heads.from_checkpoint(path)
        torch.testing.assert_close(loaded.outputs([image]), expected, rtol=0, atol=0)
        assert loaded.config.num_heads == 2


def test_a_backbone_or_another_model_has_no_place_there(state: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match="stores whole models only, and this is a backbone"):
        to_layout(sd.create_backbone(CONFIG.backbone).state_dict(), "mask2former")
    state["query_decoder.extra.weight"] = torch.ones(1)
    with pytest.raises(ValueError, match=r"no place for 1 of the weights \(query_decoder.extra"):
        to_layout(state, "mask2former")


def test_a_layer_that_is_missing_is_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    theirs = to_layout(state, "mask2former")
    del theirs["sem_seg_head.predictor.transformer_ffn_layers.1.linear1.weight"]
    path = tmp_path / "meta.pkl"
    content = {"model": {k: v.numpy() for k, v in theirs.items()}, "__author__": "x"}
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"1 keys missing \(query_decoder.layers.1.linear1.weight"):
        sd.heads.from_checkpoint(path)
