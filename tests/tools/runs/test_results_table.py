"""The table of results: stable columns, whole rows, empty cells."""

from pathlib import Path

from swin_dense.tools.runs.results_table import RESULTS_FILE, ResultsTable


def _rows(run: Path) -> list[list[str]]:
    return [line.split(",") for line in (run / RESULTS_FILE).read_text().splitlines()]


def test_columns_stay_in_place_and_new_ones_go_to_the_end(tmp_path: Path) -> None:
    table = ResultsTable(tmp_path)
    before = _rows(tmp_path)[0]
    assert before[:3] == ["step", "loss", "rate"]
    table.add({"step": 1, "loss": 0.5, "loss_box": 0.25})
    table.add({"step": 1, "metrics": {"bbox/AP": 0.125}})
    table.add({"step": 2, "loss": None})
    header, *rows = _rows(tmp_path)
    assert header == [*before, "loss_box", "bbox/AP"]
    assert [(row[0], row[1], *row[-2:]) for row in rows] == [
        ("1", "0.5", "0.25", ""),
        ("1", "", "", "0.125"),
        ("2", "", "", ""),
    ]
    assert all(len(row) == len(header) for row in rows)
    assert [path.name for path in tmp_path.iterdir()] == [RESULTS_FILE]


def test_a_table_from_lines_is_the_table_that_grew(tmp_path: Path) -> None:
    lines = [{"step": 1, "loss": 0.1, "loss_a": 0.1}, {"step": 1, "metrics": {"mIoU": 1 / 3}}]
    table = ResultsTable(tmp_path)
    for line in lines:
        table.add(line)
    grown = (tmp_path / RESULTS_FILE).read_text()
    ResultsTable(tmp_path, lines)
    assert (tmp_path / RESULTS_FILE).read_text() == grown
