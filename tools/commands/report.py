"""`swin-dense report`: the page of a run made again, or two runs compared."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Annotated

import tyro

from swin_dense.tools.files import make_file_writable
from swin_dense.tools.printable import write_line
from swin_dense.tools.runs.names import check_run


@dataclass(frozen=True, kw_only=True)
class Options:
    """Make the report of a run again from its folder, or compare two runs in one page."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN2]")]
    """Folders of runs, finished or not."""
    out: Path | None = None
    """The file; None: report.html in the run's folder, of two runs comparison.html in the first."""


def report(*runs: str | PathLike[str], out: str | PathLike[str] | None = None) -> Path:
    """Make the report of a run, or the comparison of two: a page that needs no other file.

    Args:
        runs: one or two folders of runs, finished or not.
        out: the file; None: `report.html` in the run's folder, of two runs `comparison.html` in
            the first.

    Returns:
        The page.

    Raises:
        ValueError: a folder is not that of a run, the runs cannot be compared, or the file cannot
            be written.
    """
    page = None if out is None else make_file_writable(Path(out))
    for run in runs:
        check_run(Path(run))

    from swin_dense.tools.report.run_report import write_run_report

    return write_run_report([Path(run) for run in runs], page)


def run(options: Options) -> None:
    """Make the page and print where it is; raises as `report`."""
    write_line(str(report(*options.runs, out=options.out)))
