"""Names of the files in a run's folder, and the check that a folder is one; without torch."""

from pathlib import Path

RECIPE_FILE = "recipe.json"
WEIGHTS_FILE = "model.safetensors"
EMA_FILE = "ema.safetensors"
REPORT_FILE = "report.html"


def check_run(path: Path) -> None:
    """See that a folder is that of a run.

    Raises:
        ValueError: there is no such folder, or it has no recipe.
    """
    if not path.is_dir():
        raise ValueError(f"RUN must be the folder of a run, got {path}: no such folder")
    if not (path / RECIPE_FILE).is_file():
        raise ValueError(f"RUN must be the folder of a run, got {path}: it has no {RECIPE_FILE}")
