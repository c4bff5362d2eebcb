"""Time how soon a command answers: help, version, and what is wrong with flags and paths.

    cd benchmarks
    python -m programs.startup [--rounds 10]

Each line is a process of its own, from its start to its end; the rounds run all lines in turn, and
the table has the median of each. `import torch` is what any answer would cost if it came first.
"""

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

from measuring.timing import time_in_turn

_PROGRAM = str(Path(sys.executable).parent / "swin-dense")
_LINES = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import swin_dense'": [sys.executable, "-c", "import swin_dense"],
    "python -c 'import torch'": [sys.executable, "-c", "import torch"],
    **{
        f"swin-dense {line}": [_PROGRAM, *line.split()]
        for line in (
            "--help",
            "--version",
            "recipes",
            "train --help",
            "train mask_rcnn_demo --help",
            "evaluate --help",
            "predict --help",
            "convert --help",
            "train mask_rcnn_demo --batch-sise 4",
            "train mask_rcnn_demo --data.root absent",
            "evaluate --weights absent.pth --data absent",
            "predict absent.jpg --weights absent.pth --out found",
            "report absent",
        )
    },
}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    runs = {name: partial(_run, words) for name, words in _LINES.items()}
    seconds = time_in_turn(runs, rounds=rounds, warmups=0)
    print(f"median of {rounds}, seconds")
    for name, value in seconds.items():
        print(f"{value:6.2f}  {name}")


def _run(words: list[str]) -> None:
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    main()
