"""`results.csv`: the log as a table that spreadsheets read."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from swin_dense.tools.files import atomic_write

RESULTS_FILE = "results.csv"

_FIRST_COLUMNS = (
    *("step", "loss", "rate", "images_per_second", "seconds_per_step"),
    *("seconds_waiting_for_data", "memory_mib", "seconds_left"),
)


class ResultsTable:
    """A row for each line of `log.jsonl`: a log step or an evaluation.

    The first columns are always the same. Those of the losses' parts and of the metrics follow in
    the order in which they first came; a new one goes to the end, and the file is then written
    anew. What a row does not have is empty.

    Args:
        run: the run's folder.
        lines: of the log so far, which the table starts with.
    """

    def __init__(self, run: Path, lines: Iterable[Mapping[str, Any]] = ()) -> None:
        self._path = run / RESULTS_FILE
        self._columns = list(_FIRST_COLUMNS)
        rows = [_as_row(line) for line in lines]
        for row in rows:
            self._extend(row)
        self._write(rows)

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line of the log."""
        row = _as_row(line)
        if self._extend(row):
            with self._path.open(newline="") as table:
                before: list[Mapping[str, Any]] = list(csv.DictReader(table))
            self._write([*before, row])
            return
        with self._path.open("a", newline="") as table:
            table.write(self._as_text([row]))

    def _extend(self, row: Mapping[str, Any]) -> bool:
        """Add the columns that are missing; whether there were any."""
        new = [name for name in row if name not in self._columns]
        self._columns += new
        return bool(new)

    def _as_text(self, rows: Iterable[Mapping[str, Any]], *, header: bool = False) -> str:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def _write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        atomic_write(self._path, self._as_text(rows, header=True))


def _as_row(line: Mapping[str, Any]) -> dict[str, Any]:
    """One level; None becomes an empty cell."""
    return {name: value for name, value in line.items() if name != "metrics"} | dict(
        line.get("metrics", {})
    )
