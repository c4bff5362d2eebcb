"""Stages and parts as plain data and in words."""

import json

import pytest

import swin_dense as sd
from swin_dense.tools.layers.summary import describe_layers, percent, short, summarise

TINY = sd.SwinMLPConfig(
    embed_dim=8, depths=(2, 3), num_heads=(1, 2), window_size=4, out_indices=(0, 1)
)


def test_stages_have_tokens_heads_and_windows() -> None:
    facts = summarise(lambda: sd.create_backbone(TINY), (34, 50))  # 9 x 13 tokens, then 5 x 7
    first, second = facts["stages"]
    assert (first["stride"], first["tokens"], first["channels"]) == (4, [9, 13], 8)
    assert (first["blocks"], first["heads"], first["window"]) == (2, 1, 4)
    assert first["windows"] == [3 * 4, 3 * 4]  # of 9 + 2 x 13 + 2 tokens, shifted by padding
    assert (second["tokens"], second["windows"]) == ([5, 7], [2 * 2, 2 * 3])
    shares = sum(stage["share"] for stage in facts["stages"])
    assert 0.9 < shares < 1  # the rest embeds the patches
    assert facts["parts"] == []
    assert json.loads(json.dumps(facts))["stages"] == facts["stages"]


def test_parts_of_a_whole_model_are_all_of_it() -> None:
    config = sd.heads.ClassifierConfig(backbone=TINY, num_classes=3)
    facts = summarise(lambda: sd.heads.create_model(config), (32, 32))
    assert [part["name"] for part in facts["parts"]] == ["backbone", "head"]
    for key in ("parameters", "multiply_adds"):
        assert sum(part[key] for part in facts["parts"]) == facts[key]
    assert facts["parameters"] == facts["tree"]["parameters"]


def test_words_fold_runs_and_say_what_is_counted() -> None:
    lines = describe_layers(summarise(lambda: sd.create_backbone(TINY), None)).splitlines()
    assert lines[0].startswith("32 x 32 px: ")  # the last map is one window
    (run,) = [line for line in lines if "blocks 0-2 (3 x SwinMLPBlock)" in line]
    assert run.startswith("    blocks")
    assert "16 x 16" in run
    (stage,) = [line for line in lines if line.startswith("stage 1")]
    assert "8 x 8 = 64" in stage
    assert "4 or 9 of 4 x 4" in stage
    assert "Counted are multiply-adds of matrix products" in lines[-1]


def test_levels_of_other_backbones_have_what_is_known() -> None:
    pytest.importorskip("timm", reason="needs timm")
    facts = summarise(lambda: sd.TimmConfig(name="test_convnext").build(), (64, 64))
    assert [level["tokens"] for level in facts["stages"]] == [[16, 16], [8, 8], [4, 4], [2, 2]]
    assert {level["windows"] for level in facts["stages"]} == {None}
    assert "level 0" in describe_layers(facts)


@pytest.mark.parametrize("size", [(0, 5), (5, 100_000)])
def test_sizes_that_cannot_be_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"size must be in 1\.\.8192 px, got {size[0]} x"):
        summarise(lambda: sd.create_backbone(TINY), size)


def test_numbers_are_short() -> None:
    assert [short(n) for n in (None, 7, 1234, 28_288_354, 4_490_566_656)] == [
        *("", "7", "1.23 K", "28.3 M", "4.49 G")
    ]
    assert (percent(None), percent(0.1254)) == ("", "12.5 %")
