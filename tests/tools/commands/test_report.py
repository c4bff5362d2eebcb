"""The report as a function and as a command."""

from pathlib import Path

import pytest
from run_writer import detection_evaluation, write_run

from swin_dense.tools.commands.report import Options, report, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", detection_evaluation(0.25))


def test_a_run_gives_its_page_and_the_table_of_its_log(folder: Path) -> None:
    assert report(str(folder)) == folder / "report.html"
    lines = (folder / "results.csv").read_text().splitlines()
    assert lines[0].startswith("step,loss,rate,")
    assert len(lines) == 1 + 10


def test_a_page_elsewhere_leaves_the_run_as_it_is(folder: Path, tmp_path: Path) -> None:
    before = sorted(folder.iterdir())
    assert report(folder, out=str(tmp_path / "new" / "page.html")) == tmp_path / "new" / "page.html"
    assert sorted(folder.iterdir()) == before


def test_two_runs_give_a_comparison(folder: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", detection_evaluation(0.5))
    assert report(folder, other) == folder / "comparison.html"
    with pytest.raises(ValueError, match="one or two runs, got 3"):
        report(folder, other, other)


def test_a_folder_as_the_page_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must not be a folder"):
        report(folder, out=tmp_path)


def test_the_command_prints_where_the_page_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Options(runs=(folder,)))
    printed = capsys.readouterr()
    assert printed.err == f"{folder / 'report.html'}\n"
    assert printed.out == ""
