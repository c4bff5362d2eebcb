"""A short fuzz: hostile inputs of every family end in one clear line; `fuzz.py` runs a long one."""

import subprocess
import sys
from pathlib import Path


def test_hostile_inputs_of_every_family_end_in_one_clear_line() -> None:
    command = [sys.executable, str(Path(__file__).with_name("fuzz.py"))]
    run = subprocess.run(
        [*command, "--cases", "60", "--seed", "0"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    families = (
        "weights",
        "safetensors",
        "pickles",
        "queries",
        "coco",
        "classes",
        "images",
        "flags",
    )
    assert all(f"5 {family}" in run.stdout for family in families), run.stdout
