"""Sections of a report: curves of every loss, scores in the words of the task."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from run_writer import detection_evaluation, segmentation_evaluation, write_run

from swin_dense.tools.report.page import Section
from swin_dense.tools.report.sections import (
    class_section,
    confusion_section,
    over_steps,
    precision_section,
    score_section,
    training_section,
)
from swin_dense.tools.runs.folder import read_run
from swin_dense.tools.tasks.drawing import as_hex, class_colour


def _html(section: Section) -> str:
    return "".join(map(str, section.blocks))


def _titles(page: str) -> list[str]:
    return re.findall(r"<h3>(.*?)</h3>", page)


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
    page = _html(training_section(run))
    assert _titles(page)[:4] == ["Losses", *(f"Losses of stage {stage}" for stage in range(3))]
    assert _titles(page)[4:] == ["Learning rate:", "Images a second:", "Peak memory, GiB:"]
    assert _legend(page, "Losses") == ["total", "rpn_cls"]
    for stage in range(3):
        assert _legend(page, f"Losses of stage {stage}") == ["cls", "bbox", "mask"]


def test_losses_of_any_name_are_drawn_but_no_figure_is(tmp_path: Path) -> None:
    losses = {"giou": 0.1, "loss_cls": 0.2}
    run = read_run(write_run(tmp_path / "run", detection_evaluation(), losses=losses))
    assert _legend(_html(training_section(run)), "Losses") == ["total", "giou", "cls"]


def test_losses_of_a_decoders_layers_are_drawn_as_their_sum(tmp_path: Path) -> None:
    losses = {"loss_cls": 0.1, "loss_cls_0": 0.5, "loss_cls_1": 0.25, "loss_bce_0": 0.2}
    run = read_run(write_run(tmp_path / "run", detection_evaluation(), losses=losses))
    assert _legend(_html(training_section(run)), "Losses") == ["total", "cls", "bce_0"]
    assert over_steps(run, "loss_cls", "loss_cls_0", "loss_cls_1").y[0] == pytest.approx(0.85)


@pytest.mark.parametrize("names_task", [True, False])
def test_scores_have_the_words_of_the_runs_task(tmp_path: Path, names_task: bool) -> None:
    pages = [
        _html(score_section(read_run(write_run(tmp_path / name, *made, names_task=names_task))))
        for name, made in (
            ("d", (detection_evaluation(0.2), detection_evaluation(0.4))),
            ("s", (segmentation_evaluation(0.2), segmentation_evaluation(0.4))),
        )
    ]
    assert "<th>boxes</th><th>masks</th>" in pages[0]
    assert "AR is the recall" in pages[0]
    assert _legend(pages[0], "Scores over the training") == ["box AP", "mask AP"]
    assert "<th>score</th>" in pages[1]
    assert "AR is the recall" not in pages[1]
    assert _legend(pages[1], "Scores over the training") == ["mIoU", "mAcc", "aAcc"]


def test_classes_are_bars_the_best_first(tmp_path: Path) -> None:
    (record,) = read_run(write_run(tmp_path / "run", detection_evaluation(0.25))).evaluations
    names = re.findall(r'<span class="name" title="([^"]*)"', _html(class_section(record)))
    assert names == ["dog", "cat", "&lt;cow&gt; &amp; calf"]  # the last has no score


def test_without_scores_each_class_is_a_point(tmp_path: Path) -> None:
    (record,) = read_run(write_run(tmp_path / "run", segmentation_evaluation())).evaluations
    page = _html(precision_section(record))
    assert _titles(page) == ["A point for each class"]
    assert "share of its pixels that were found" in page
    (record,) = read_run(write_run(tmp_path / "other", detection_evaluation())).evaluations
    assert len(_titles(_html(precision_section(record)))) == 4 + 1


def test_what_is_no_segment_is_no_point(tmp_path: Path) -> None:
    made = segmentation_evaluation()
    counts = np.pad(made.confusion.counts, (0, 1), constant_values=7)
    confusion = replace(
        made.confusion,
        names=(*made.confusion.names, "no segment"),
        counts=counts,
        has_background=True,
    )
    run = read_run(write_run(tmp_path / "run", replace(made, confusion=confusion)))
    page = _html(precision_section(run.evaluations[0]))
    assert re.findall(r"text-anchor: start[^>]*>([^<]*)<", page) == [made.classes.names[0]]


def test_a_class_has_one_colour_in_bars_and_curves(tmp_path: Path) -> None:
    (record,) = read_run(write_run(tmp_path / "run", detection_evaluation(0.25))).evaluations
    bars, curves = _html(class_section(record)), _html(precision_section(record))
    for label, name in enumerate(("cat", "dog")):
        colour = as_hex(class_colour(label))
        drawn = re.search(rf'title="{name}".*?background:(#\w+)"></i><i.*?background:(#\w+)"', bars)
        assert drawn is not None
        assert drawn.groups() == (colour, colour)
        assert curves.count(f'style="--c:{colour}">{name}</span>') == 2
        assert curves.count(f"stroke: {colour}") == 2


def test_classes_have_the_colours_that_their_data_give_them(tmp_path: Path) -> None:
    made = segmentation_evaluation()
    colours = ("#aa0000", "#00aa00", "#0000aa")
    made = replace(made, classes=replace(made.classes, colours=colours))
    (record,) = read_run(write_run(tmp_path / "run", made)).evaluations
    assert all(f"background:{colour}" in _html(class_section(record)) for colour in colours)
    assert all(f"fill: {colour}" in _html(precision_section(record)) for colour in colours)


def test_a_curve_of_one_point_is_a_sentence_and_one_of_two_a_chart(tmp_path: Path) -> None:
    one = read_run(write_run(tmp_path / "one", detection_evaluation(0.5)))
    page = _html(score_section(one))
    assert "<svg" not in page
    assert "box AP 50.0, mask AP 25.0 at step 10." in page
    two = read_run(write_run(tmp_path / "two", detection_evaluation(0.4), detection_evaluation()))
    assert "<svg" in _html(score_section(two))


def test_the_best_threshold_is_said_unless_it_is_the_one_in_use(tmp_path: Path) -> None:
    (record,) = read_run(write_run(tmp_path / "run", detection_evaluation())).evaluations
    assert record.thresholds is not None
    assert "F1 is highest from a score of 0.60 on" in _html(confusion_section(record))
    best = replace(record, thresholds=replace(record.thresholds, shown=0.6))
    assert "No other threshold gives a higher F1." in _html(confusion_section(best))
    older = replace(record, thresholds=None)
    assert "F1" not in _html(confusion_section(older))
    assert "by score threshold" not in _html(precision_section(older))
