"""`swin-dense report`: the page of a run made again, or two runs compared."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from swin_dense.tools.files import make_file_writable
from swin_dense.tools.report.run_report import write_run_report


@dataclass(frozen=True, kw_only=True)
class Options:
    """Make the report of a run again from its folder, or compare two runs in one page."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """RUN [RUN2]: folders of runs, finished or not."""
    out: Path | None = None
    """The file; None: report.html in the run's folder, of two runs comparison.html in the first."""


def run(options: Options) -> None:
    """Write the page, which needs no network and no other file.

    Raises:
        ValueError: a folder is not that of a run, the runs cannot be compared, or the file cannot
            be written.
    """
    if options.out is not None:
        make_file_writable(options.out)
    print(write_run_report(options.runs, options.out), file=sys.stderr)
