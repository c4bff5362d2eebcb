"""Time how soon a command answers: help, version, and what is wrong with flags and paths.

    python benchmarks/startup.py [--rounds 10]

Each line is a process of its own, from its start to its end; the rounds run all lines in turn, and
the table has the median of each. `import torch` is what any answer would cost if it came first.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

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
    seconds: dict[str, list[float]] = {name: [] for name in _LINES}
    for _ in range(rounds):
        for name, words in _LINES.items():
            start = time.perf_counter()
            subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            seconds[name].append(time.perf_counter() - start)
    print(f"median of {rounds}, seconds")
    for name, values in seconds.items():
        print(f"{statistics.median(values):6.2f}  {name}")


if __name__ == "__main__":
    main()
