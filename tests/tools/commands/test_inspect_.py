"""`inspect` says what a file holds."""

import json
from pathlib import Path

import pytest
import torch

import swin_dense as sd
from swin_dense.backbone import SwinTransformer
from swin_dense.checkpoints.conversion import to_layout
from swin_dense.configs import SWIN_VARIANTS, SwinConfig
from swin_dense.heads import UPerNetConfig, create_model
from swin_dense.heads.checkpoints import save_model
from swin_dense.tools.cli import main
from swin_dense.tools.commands.inspect_ import Options, describe, inspect, inspect_file, run

_BACKBONE = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=2)


def _segmentor() -> UPerNetConfig:
    return UPerNetConfig(
        backbone=_BACKBONE, num_classes=2, decoder_channels=8, auxiliary_channels=None
    )


def test_whole_model_of_ours_is_described(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_model(create_model(_segmentor(), class_names=["cat", "dog"]), path)
    facts = inspect_file(path)
    assert (facts["layout"], facts["holds"], facts["num_classes"]) == ("swin_dense", "upernet", 2)
    assert facts["class_names"] == ("cat", "dog")
    assert facts["model"]["decoder_channels"] == 8
    assert facts["backbone"]["window_size"] == 2
    assert facts["published"] is None
    text = describe(facts)
    assert "classes    2: cat, dog" in text
    assert "holds      upernet" in text


def test_golden_file_is_described(shared: Path) -> None:
    facts = inspect_file(shared / "golden" / "det_mmdet_mask_rcnn" / "model.pth")
    assert (facts["layout"], facts["holds"]) == ("mm", "mask_rcnn")
    assert facts["num_classes"] == 80
    assert len(facts["dropped"]) == 8
    assert "message_hub" in facts["other_entries"]
    assert "dropped    8 relative_position_index" in describe(facts)


def test_classifier_and_its_published_score_are_described(tmp_path: Path) -> None:
    path = tmp_path / "swin_tiny_patch4_window7_224.pth"
    with torch.device("meta"):
        state = SwinTransformer(SWIN_VARIANTS["swin_t"]).state_dict()
    state = {
        key: torch.zeros(1).expand(value.shape).clone()
        for key, value in state.items()
        if not key.startswith("norm")
    }
    state |= {"norm.weight": torch.ones(768), "norm.bias": torch.ones(768)}
    state |= {"head.weight": torch.zeros(3, 768), "head.bias": torch.zeros(3)}
    torch.save({"model": state}, path)
    facts = inspect_file(path)
    assert (facts["holds"], facts["num_classes"]) == ("classifier", 3)
    assert facts["backbone"]["variant"] == "swin_t"
    assert facts["published"]["scores"] == {"top-1": 81.2, "top-5": 95.5}
    assert "scores.top-1 81.2" in describe(facts)


def test_foreign_heads_and_superseded_uploads_are_said(tmp_path: Path) -> None:
    state = create_model(_segmentor()).backbone.state_dict()
    state = {f"backbone.{key}": value for key, value in state.items()}
    path = tmp_path / "upernet_20210531-b0d75c08.pth"
    torch.save({"state_dict": state | {"bbox_head.x.weight": torch.ones(1)}}, path)
    facts = inspect_file(path)
    assert facts["holds"] == "unknown heads (bbox_head)"
    assert "its heads are none of" in facts["warnings"][0]
    assert "replaced by a newer one" in facts["warnings"][1]
    assert "warning" in describe(facts)


def test_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(SwinTransformer(_BACKBONE).state_dict(), tmp_path / "a.pth")
    run(Options(file=tmp_path / "a.pth", json=True))
    facts = json.loads(capsys.readouterr().out)
    assert (facts["holds"], facts["model"], facts["num_classes"]) == ("backbone", None, None)
    run(Options(file=tmp_path / "a.pth"))
    assert "embed_dim 8, depths (1, 1, 1, 1)" in capsys.readouterr().out


def test_unknown_file_is_refused_by_name(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth: no known layout fits"):
        inspect_file(tmp_path / "a.pth")


def test_layouts_are_told_apart(tmp_path: Path) -> None:
    state = SwinTransformer(_BACKBONE).state_dict()
    for layout in ("swin_dense", "microsoft", "mm", "detectron2", "huggingface_v4", "huggingface"):
        torch.save(to_layout(state, layout), tmp_path / "a.pth")
        assert inspect_file(tmp_path / "a.pth")["layout"] == layout


def test_a_file_that_will_not_load_is_said_to_be_one(tmp_path: Path) -> None:
    config = SwinConfig(embed_dim=8, depths=(1, 1), num_heads=(1, 1), out_indices=(0, 1))
    state = SwinTransformer(config).state_dict()
    state |= {"absolute_pos_embed": torch.zeros(1, 49, 8), "head.weight": torch.tensor(1.0)}
    torch.save(state, tmp_path / "a.pth")
    facts = inspect_file(tmp_path / "a.pth")
    assert facts["num_classes"] is None
    assert any("1 unexpected (absolute_pos_embed)" in text for text in facts["warnings"])


def test_layers_are_told_of_a_file_and_drawn(tmp_path: Path, capsys) -> None:
    config = sd.heads.ClassifierConfig(
        backbone=sd.SwinConfig(
            embed_dim=8, depths=(1, 2), num_heads=(1, 2), window_size=2, out_indices=(0, 1)
        ),
        num_classes=3,
    )
    sd.heads.save_model(sd.heads.create_model(config), tmp_path / "a.safetensors")
    facts = inspect(
        tmp_path / "a.safetensors", layers=True, size=(16, 24), html=tmp_path / "a.html"
    )
    assert facts["holds"] == "classifier"
    assert facts["layers"]["size"] == [16, 24]
    assert [stage["tokens"] for stage in facts["layers"]["stages"]] == [[4, 6], [2, 3]]
    assert "<h1>classifier on Swin" in (tmp_path / "a.html").read_text()
    words = ["inspect", str(tmp_path / "a.safetensors"), "--layers", "--size", "16", "24"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "blocks 0-1 (2 x SwinBlock)" in shown
    assert "16 x 24 px: " in shown


def test_layers_of_a_file_without_known_heads_are_those_of_its_backbone(tmp_path: Path) -> None:
    backbone = sd.SwinConfig(embed_dim=8, depths=(1, 1), num_heads=(1, 2), out_indices=(0, 1))
    torch.save(sd.create_backbone(backbone).state_dict(), tmp_path / "a.pth")
    facts = inspect(tmp_path / "a.pth", layers=True)
    assert facts["layers"]["tree"]["kind"] == "SwinTransformer"
    assert facts["layers"]["size"] == [56, 56]


def test_flags_of_layers_are_refused_for_other_things(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="must have --layers"):
        inspect(tmp_path / "a.pth", size=(16, 16))
    with pytest.raises(ValueError, match="with --layers for weights, got the file"):
        inspect(tmp_path / "a.pth", html=tmp_path / "a.html")
    with pytest.raises(ValueError, match="--layers is for weights files, got"):
        inspect(tmp_path, layers=True)
