"""The table of results: stable columns, whole rows, empty cells."""

from pathlib import Path
from typing import Any

from swin_dense.tools.runs.log import FIGURES
from swin_dense.tools.runs.results_table import RESULTS_FILE, write_results_table


def _rows(run: Path) -> list[list[str]]:
    return [line.split(",") for line in (run / RESULTS_FILE).read_text().splitlines()]


def test_columns_stay_in_place_and_new_ones_go_to_the_end(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"step": 1, "loss": 0.5, "loss_box": 0.25},
        {"step": 1, "metrics": {"bbox/AP": 0.125}},
        {"step": 2, "loss": None},
    ]
    assert write_results_table(tmp_path, lines) == tmp_path / RESULTS_FILE
    header, *rows = _rows(tmp_path)
    assert header == [*FIGURES, "loss_box", "bbox/AP"]
    assert header[:3] == ["step", "loss", "rate"]
    assert [(row[0], row[1], *row[-2:]) for row in rows] == [
        ("1", "0.5", "0.25", ""),
        ("1", "", "", "0.125"),
        ("2", "", "", ""),
    ]
    assert all(len(row) == len(header) for row in rows)
    assert [path.name for path in tmp_path.iterdir()] == [RESULTS_FILE]


def test_a_log_without_lines_is_a_header(tmp_path: Path) -> None:
    write_results_table(tmp_path, [])
    assert _rows(tmp_path) == [list(FIGURES)]
