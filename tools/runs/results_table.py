"""`results.csv`: the log as a table that spreadsheets read."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from swin_dense.tools.files import atomic_write
from swin_dense.tools.runs.log import FIGURES

RESULTS_FILE = "results.csv"


def write_results_table(run: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    """Write a row for each line of `log.jsonl`: a log step or an evaluation.

    The first columns are always the same. Those of the losses' parts and of the metrics follow in
    the order in which they first came. A cell that a row does not have is empty.

    Args:
        run: the run's folder.
        lines: of its log.
    """
    rows = [{**line, **line.get("metrics", {})} for line in lines]
    columns = dict.fromkeys([*FIGURES, *(name for row in rows for name in row)])
    columns.pop("metrics", None)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(columns), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(run / RESULTS_FILE, text.getvalue())
    return run / RESULTS_FILE
