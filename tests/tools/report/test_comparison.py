"""Two runs beside each other: names, differences, classes in common."""

from dataclasses import replace
from pathlib import Path

from run_writer import detection_evaluation, segmentation_evaluation, write_run

from swin_dense.tools.report.comparison import comparison_blocks
from swin_dense.tools.runs.folder import RunFolder, read_run


def _html(first: RunFolder, second: RunFolder) -> str:
    blocks = comparison_blocks(first, second)
    parts = [[block] if isinstance(block, str) else block.blocks for block in blocks]
    return "".join(str(block) for part in parts for block in part)


def test_a_run_of_an_older_version_differs_by_no_task(tmp_path: Path) -> None:
    older = read_run(write_run(tmp_path / "older", detection_evaluation(), names_task=False))
    newer = read_run(write_run(tmp_path / "newer", detection_evaluation()))
    page = _html(older, newer)
    assert "Both runs have one recipe." in page


def test_folders_of_one_name_are_named_by_their_paths(tmp_path: Path) -> None:
    runs = [
        read_run(write_run(tmp_path / parent / "run", detection_evaluation(score)))
        for parent, score in (("a", 0.25), ("b", 0.5))
    ]
    page = _html(*runs)
    assert str(tmp_path / "a" / "run") in page
    assert "+25.0" in page


def test_a_run_without_masks_is_compared_with_one_that_has_some(tmp_path: Path) -> None:
    full = detection_evaluation(0.25)
    boxes = replace(
        detection_evaluation(0.5),
        metrics={"bbox": full.metrics["bbox"]},
        headline={key: value for key, value in full.headline.items() if "bbox" in key},
        curves={"boxes": full.curves["boxes"]},
    )
    runs = [
        read_run(write_run(tmp_path / name, evaluation))
        for name, evaluation in (("masks", full), ("boxes", boxes))
    ]
    for pair in (runs, runs[::-1]):
        page = _html(*pair)
        assert "<td>mask AP50</td>" in page
        assert "Boxes, IoU 0.50" in page
        assert "Masks, IoU" not in page


def test_scores_of_segmentation_are_compared_under_their_names(tmp_path: Path) -> None:
    runs = [
        read_run(write_run(tmp_path / name, segmentation_evaluation(score)))
        for name, score in (("a", 0.5), ("b", 0.25))
    ]
    page = _html(*runs)
    assert "<td>mIoU</td><td>50.0</td><td>25.0</td><td>−25.0</td>" in page  # noqa: RUF001
    assert "Precision and recall" not in page


def test_runs_without_a_class_in_common_say_so(tmp_path: Path) -> None:
    runs = [
        read_run(write_run(tmp_path / name, detection_evaluation(names=names)))
        for name, names in (("a", ("cat", "dog")), ("b", ("car", "bus")))
    ]
    assert "no class in common that occurs" in _html(*runs)
