"""Sections of a report: curves of every loss, scores in the words of the task."""

import re
from pathlib import Path

import pytest
from run_writer import detection_evaluation, segmentation_evaluation, write_run

from swin_dense.tools.report.sections import (
    class_blocks,
    precision_blocks,
    score_blocks,
    training_blocks,
)
from swin_dense.tools.runs.folder import read_run


def _titles(blocks: list[str]) -> list[str]:
    return re.findall(r"<h3>(.*?)</h3>", "".join(blocks))


def _legend(block: str, title: str) -> list[str]:
    """Names in the legend of the chart of that title."""
    chart = block.partition(f"<h3>{title}</h3>")[2].partition("</figure>")[0]
    return re.findall(r">([^<]*)</span>", chart.partition('class="legend"')[2])


def test_the_losses_of_each_stage_of_a_cascade_are_a_chart(tmp_path: Path) -> None:
    losses = {"loss_rpn_cls": 0.1}
    for stage in range(3):
        losses |= {
            f"s{stage}.loss_cls": 0.2,
            f"s{stage}.loss_bbox": 0.1,
            f"s{stage}.loss_mask": 0.3,
        }
    run = read_run(write_run(tmp_path / "run", detection_evaluation(), losses=losses))
    blocks = training_blocks(run)
    assert _titles(blocks)[:4] == ["Losses", *(f"Losses of stage {stage}" for stage in range(3))]
    assert _titles(blocks)[4:] == ["Learning rate", "Images a second", "Peak memory, GiB"]
    page = "".join(blocks)
    assert _legend(page, "Losses") == ["total", "rpn_cls"]
    for stage in range(3):
        assert _legend(page, f"Losses of stage {stage}") == ["cls", "bbox", "mask"]


def test_losses_of_any_name_are_drawn_but_no_figure_is(tmp_path: Path) -> None:
    losses = {"giou": 0.1, "loss_cls": 0.2}
    run = read_run(write_run(tmp_path / "run", detection_evaluation(), losses=losses))
    assert _legend("".join(training_blocks(run)), "Losses") == ["total", "giou", "cls"]


@pytest.mark.parametrize("names_task", [True, False])
def test_scores_have_the_words_of_the_runs_task(tmp_path: Path, names_task: bool) -> None:
    pages = [
        "".join(score_blocks(read_run(write_run(tmp_path / name, made, names_task=names_task))))
        for name, made in (("d", detection_evaluation()), ("s", segmentation_evaluation()))
    ]
    assert "<th>boxes</th><th>masks</th>" in pages[0]
    assert "AR is the recall" in pages[0]
    assert _legend(pages[0], "Scores over the training") == ["box AP", "mask AP"]
    assert "<th>score</th>" in pages[1]
    assert "AR is the recall" not in pages[1]
    assert _legend(pages[1], "Scores over the training") == ["mIoU", "mAcc", "aAcc"]


def test_classes_are_bars_the_best_first(tmp_path: Path) -> None:
    (record,) = read_run(write_run(tmp_path / "run", detection_evaluation(0.25))).evaluations
    names = re.findall(r'<span class="name" title="([^"]*)"', "".join(class_blocks(record)))
    assert names == ["dog", "cat", "&lt;cow&gt; &amp; calf"]  # the last has no score


def test_without_scores_each_class_is_a_point(tmp_path: Path) -> None:
    (record,) = read_run(write_run(tmp_path / "run", segmentation_evaluation())).evaluations
    page = "".join(precision_blocks(record))
    assert _titles([page]) == ["A point for each class"]
    assert "share of its pixels that were found" in page
    (record,) = read_run(write_run(tmp_path / "other", detection_evaluation())).evaluations
    assert len(_titles(precision_blocks(record))) == 4
