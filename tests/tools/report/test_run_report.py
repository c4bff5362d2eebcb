"""Reports: all sections from the folder alone, and plain words where something is missing."""

import re
import shutil
from html import unescape
from pathlib import Path

import pytest
from run_writer import detection_evaluation, segmentation_evaluation, write_run

from swin_dense.tools.cli import main
from swin_dense.tools.report.run_report import keep_evaluation, renew_report, write_run_report
from swin_dense.tools.runs.evaluations import list_records
from swin_dense.tools.runs.folder import read_run
from swin_dense.tools.runs.log import RunLog, read_log


def _text(page: Path) -> str:
    """The text that a reader sees, in one line."""
    body = re.sub(r"<style.*?</style>", " ", page.read_text(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


def _sections(page: Path) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page.read_text())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    published = [("box AP", 46.0), ("mask AP", 41.6)]
    return write_run(
        tmp_path / "my_run",
        detection_evaluation(0.4),
        detection_evaluation(0.25),
        published=published,
    )


def test_a_report_of_detection_has_every_section(run: Path) -> None:
    page = write_run_report([run])
    assert page == run / "report.html"
    assert _sections(page) == [
        *("Training", "Scores", "Classes", "Precision and recall"),
        *("Confusion matrix", "Best and worst images"),
    ]
    text = _text(page)
    assert "Recipe tiny_recipe, 2 images a step" in text
    assert "12 images, 3 classes" in text
    assert "20 of 100 steps done; scores are of step 20" in text
    assert "box AP 25.0 published 46 (−21.0), best 40.0 at step 10" in text  # noqa: RUF001
    assert "mask AP 12.5 41.6 −29.1 Published: a table." in text  # noqa: RUF001
    assert "APl – –" in text  # noqa: RUF001
    assert "AR100 25.0 12.5" in text
    assert "<cow> & calf" in text
    assert "cat dog 5 62.5%" in text  # of the most frequent confusions
    assert "image 11: 91.7" in text
    assert "F1 at IoU 0.5" in text
    assert page.read_text().count("data:image/jpeg") == 8
    assert page.read_text().count("<svg") == 1 + 1 + 4 + 1
    assert "Learning rate: 0.1 at every step." in text
    assert "Images a second: 8 at every step." in text
    assert "From a score of 0.3 on, 5 of 8 objects are found, and 5 detections are wrong" in text
    assert "precision 50.0, recall 62.5, F1 55.6. F1 is highest from a score of 0.60 on" in text
    assert "4 found, 0 wrong, precision 100.0, recall 50.0, F1 66.7." in text


def test_a_report_of_segmentation_has_every_section(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", segmentation_evaluation())
    text = _text(write_run_report([run], tmp_path / "page.html"))
    assert "mIoU 25.0" in text
    assert "This recipe has no published scores." in text
    assert "A point for each class" in text
    assert "20.0 k" in text  # pixels of a class
    assert "mIoU of the image" in text
    assert "F1" not in text
    assert "Scores over the training: mIoU 25.0, mAcc 12.5, aAcc 50.0 at step 10." in text
    assert not (run / "report.html").exists()


def test_the_page_is_the_same_wherever_the_folder_lies(run: Path, tmp_path: Path) -> None:
    first = write_run_report([run]).read_text()
    assert write_run_report([run]).read_text() == first
    copy = tmp_path / "elsewhere" / "my_run"
    shutil.copytree(run, copy)
    assert write_run_report([copy]).read_text() == first


def test_a_run_without_an_evaluation_or_a_log_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    text = _text(write_run_report([run]))
    assert "Nothing is logged yet." in text
    assert "There is no evaluation yet." in text
    other = write_run(tmp_path / "other", detection_evaluation())
    text = _text(write_run_report([run, other], tmp_path / "both.html"))
    assert "There is no evaluation yet in run." in text


def test_damaged_parts_are_left_out_and_said(run: Path) -> None:
    with (run / "log.jsonl").open("a") as log:
        log.write('{"step": 3\n')
    list_records(run)[1].write_text("{}")
    next(run.glob("evaluations/*10/best_1.jpg")).unlink()
    text = _text(write_run_report([run]))
    assert "log.jsonl has 1 damaged line, left out here: 21" in text
    assert "step_00000020.json cannot be read as the record of an evaluation" in text
    assert "box AP 40.0" in text
    assert "(the picture is missing)" in text


@pytest.mark.parametrize("names", [80, 151])
def test_many_classes_are_a_picture_a_list_and_a_matrix_with_names(
    names: int, tmp_path: Path
) -> None:
    many = [f"class number {place}" for place in range(names)]
    page = write_run_report([write_run(tmp_path / "run", detection_evaluation(names=many))])
    assert page.read_text().count("data:image/png") == 2
    assert "the 4 best and the 4 worst named" in _text(page)
    assert all(f">{name}</text>" in page.read_text() for name in many)


def test_two_runs_are_compared(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", detection_evaluation(0.25))
    second = write_run(tmp_path / "second", detection_evaluation(0.375), lr=0.2)
    page = write_run_report([first, second], tmp_path / "both.html")
    text = _text(page)
    assert "optimizer.lr 0.1 0.2" in text
    assert "box AP 25.0 37.5 +12.5" in text
    assert "box APl – – –" in text  # noqa: RUF001
    assert re.search(r"dog \+12.5 41.7 → 54.2", text)
    assert _sections(page) == [
        *("Recipes, where they differ", "Training", "Scores", "Classes"),
        "Precision and recall, mean over classes",
    ]
    same = _text(write_run_report([first, first], tmp_path / "same.html"))
    assert "Both runs have one recipe." in same


def test_runs_of_two_tasks_are_not_compared(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", detection_evaluation())
    second = write_run(tmp_path / "second", segmentation_evaluation())
    with pytest.raises(ValueError, match=r"of one task .*first for detection and .*second for s"):
        write_run_report([first, second], tmp_path / "both.html")


def test_the_command_writes_the_page_and_refuses_what_is_no_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").is_file()
    assert main(["report", str(run), str(run)]) == 0
    assert (run / "comparison.html").is_file()
    assert main(["report", str(run), "--out", str(tmp_path / "new" / "page.html")]) == 0
    assert (tmp_path / "new" / "page.html").is_file()
    capsys.readouterr()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "recipe.json").write_text("[]")
    for words, message in (
        ([str(tmp_path / "none")], "no such folder"),
        ([str(tmp_path)], "it has no recipe.json"),
        ([str(tmp_path / "bad")], "cannot be read as a recipe"),
        ([str(run)] * 3, "one or two runs, got 3"),
    ):
        assert main(["report", *words]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.startswith("error: ")
        assert error.count("\n") == 1


def test_a_folder_that_cannot_be_written_does_not_end_a_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", detection_evaluation())
    (run / "report.html").mkdir()
    (tmp_path / "file").write_text("")
    with RunLog(None) as log:
        keep_evaluation(tmp_path / "file", 10, detection_evaluation(), log)
        renew_report(run, log)
    printed = capsys.readouterr().err
    assert "the evaluation of step 10 could not be recorded" in printed
    assert "the report could not be written" in printed


def test_an_evaluation_is_recorded_and_shown_in_tensorboard(tmp_path: Path) -> None:
    shown = []
    with RunLog(tmp_path) as log:
        log.picture = lambda step, name, pixels: shown.append((step, name, pixels.shape))  # type: ignore[method-assign]
        keep_evaluation(tmp_path, 10, detection_evaluation(), log)
    assert shown == [(10, f"predictions/{place}", (30, 80, 3)) for place in (1, 2, 3, 4)]
    assert [path.stem for path in list_records(tmp_path)] == ["step_00000010"]


def test_the_length_of_a_run_of_epochs_follows_from_its_log(run: Path) -> None:
    folder = read_run(run)
    folder.recipe["steps"] = None
    assert len(folder.log) == len(read_log(run)) == 20
    assert folder.num_steps is None
    folder.log[-1].update({"seconds_left": 40.0, "seconds_per_step": 0.5})
    assert folder.num_steps == 100
