"""Names of the files in a run's folder, and the check that a folder is one; without torch."""

from difflib import get_close_matches
from pathlib import Path

RECIPE_FILE = "recipe.json"
KEPT_FILE = "val_images.txt"  # names of the images that a run kept from its training, one a line
WEIGHTS_FILE = "model.safetensors"
EMA_FILE = "ema.safetensors"
REPORT_FILE = "report.html"
_MOST_NAMED = 5


def find_run_weights(path: Path) -> Path:
    """The weights of a run whose folder is given: of its best checkpoint, else of its last, the
    averaged ones where it keeps some; any other path as it is."""
    if not (path / RECIPE_FILE).is_file():
        return path
    for checkpoint in ("best", "last"):
        for name in (EMA_FILE, WEIGHTS_FILE):
            if (path / checkpoint / name).is_file():
                return path / checkpoint / name
    return path


def check_run(path: Path) -> None:
    """See that a folder is that of a run.

    Raises:
        ValueError: there is no such folder, or it has no recipe.
    """
    if not (path / RECIPE_FILE).is_file():
        fault = f"it has no {RECIPE_FILE}" if path.is_dir() else "no such folder"
        raise ValueError(
            f"RUN must be the folder of a run, got {path}: {fault}{suggest_runs(path)}"
        )


def suggest_runs(path: Path) -> str:
    """`; the runs there are: ...` for a path that is no run: those in it, or else beside it.

    Those with names like the path's come first; an empty string where there is none.
    """
    for folder in (path, path.parent, Path("runs")):
        found = sorted(recipe.parent for recipe in folder.glob(f"*/{RECIPE_FILE}"))
        if found:
            names = [run.name for run in found]
            near = get_close_matches(path.name, names, n=_MOST_NAMED, cutoff=0.5)
            ordered = [*near, *(name for name in names if name not in near)]
            more = ", ..." if len(ordered) > _MOST_NAMED else ""
            shown = ", ".join(str(folder / name) for name in ordered[:_MOST_NAMED])
            return f"; the runs there are: {shown}{more}"
    return ""
