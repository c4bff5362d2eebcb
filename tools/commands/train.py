"""`swin-dense train`: a recipe from data to a trained model."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from swin_dense.checkpoints.download import find_source
from swin_dense.configs import BACKBONE_VARIANTS
from swin_dense.tools.flags import document_flags, make_options, replace_fields
from swin_dense.tools.recipes.recipe import Recipe, with_backbone
from swin_dense.tools.recipes.table import RECIPES, find_recipe
from swin_dense.tools.runs.names import EMA_FILE, WEIGHTS_FILE, find_run_weights
from swin_dense.tools.training.options import Options

__all__ = [
    *("Options", "Run", "choose_default", "describe_choices", "run", "train"),
    *("with_fields", "with_found_files"),
]


_BACKBONE = "model.backbone"


def choose_default(words: Sequence[str]) -> tuple[Options, list[str]]:
    """Flags' defaults by a recipe's name, and by the name of a backbone where one is given.

    Args:
        words: the recipe, then flags.

    Returns:
        The options, and the words that are left to parse.
    """
    recipe, *rest = words
    found = find_recipe(recipe)
    name, rest = _take_flag(f"--{_BACKBONE}", rest)
    if name is not None:
        found = with_backbone(found, name)
    return Options(recipe=found), rest


def _take_flag(flag: str, words: list[str]) -> tuple[str | None, list[str]]:
    """The value of a flag and the words without both; None where it is not given."""
    for place, word in enumerate(words):
        if word == flag:
            if place + 1 == len(words):
                raise ValueError(f"{flag} must be followed by the name of a backbone, got nothing")
            return words[place + 1], words[:place] + words[place + 2 :]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2], words[:place] + words[place + 1 :]
    return None, words


def describe_choices() -> str:
    """Usage, for a command line that names no recipe."""
    return (
        "usage: swin-dense train RECIPE [--field value ...]\n\nrecipes:\n"
        + "\n".join(f"  {name}" for name in RECIPES)
        + "\n\nswin-dense train RECIPE --help lists every field with its value in that recipe;\n"
        + textwrap.fill(
            f"--{_BACKBONE} NAME puts another backbone in place, whose fields are then flags: NAME "
            f"is {', '.join(BACKBONE_VARIANTS)}, or timm:MODEL for any model of timm with a "
            "pyramid.",
            break_on_hyphens=False,
        )
    )


@dataclass(frozen=True)
class Run:
    """A training that has come to its end, or was stopped.

    Attributes:
        folder: of the run.
        metrics: the machine-readable scores after the last step, as `evaluate` gives them; None
            where the run was stopped before.
    """

    folder: Path
    metrics: dict[str, Any] | None

    @property
    def best(self) -> Path:
        """Weights file of the checkpoint with the highest score; with `ema` the averaged ones."""
        return self._weights("best")

    @property
    def last(self) -> Path:
        """Weights file of the last checkpoint; with `ema` the averaged ones."""
        return self._weights("last")

    def _weights(self, checkpoint: str) -> Path:
        averaged = self.folder / checkpoint / EMA_FILE
        return averaged if averaged.is_file() else self.folder / checkpoint / WEIGHTS_FILE


@document_flags(Options)
def train(recipe: str | Recipe, fields: Mapping[str, Any] | None = None, **flags: Any) -> Run:
    """Train a recipe.

    Args:
        recipe: its name (`swin-dense recipes` lists them), or a recipe.
        fields: what to change in it, by dotted names: `{"data.root": "my_data", "steps": 500}`;
            "model.backbone" is a config, or a name such as "swin_s" or "timm:convnext_tiny".
        flags: of `swin-dense train`, such as `init=FILE` or `new_classes=True`, with underscores;
            its `--help` explains each.

    Returns:
        The run: its folder, the files of its weights, and its scores.

    Raises:
        ValueError: a name is not known; recipe, flags, data or weights are wrong or do not fit each
            other; the folder holds a run (without `resume`) or none (with it); a loss is not
            finite.
        FileNotFoundError: the data or the weights are missing.
    """
    named = find_recipe(recipe) if isinstance(recipe, str) else recipe
    changed = with_fields(named, fields or {})
    return _train(make_options(Options, {"recipe": changed, **flags}))


def with_fields(recipe: Recipe, fields: Mapping[str, Any]) -> Recipe:
    """The recipe with other values in fields, by dotted names, as `train` takes them.

    Raises:
        ValueError: a name is not known, or a value is of another type or not allowed.
    """
    changes = dict(fields)
    if isinstance(changes.get(_BACKBONE), str):
        recipe = with_backbone(recipe, changes.pop(_BACKBONE))
    return replace_fields(recipe, changes)


def run(options: Options) -> None:
    """Train, and leave the last checkpoint, the log and the scores in the run's folder."""
    _train(options)


def with_found_files(options: Options) -> Options:
    """The options with the file of the weights to start from; data and weights are looked for.

    Raises:
        FileNotFoundError: the data or the weights are missing.
    """
    options.recipe.data.check_root()
    if options.init is None:
        return options
    init = find_run_weights(options.init)
    find_source(init)
    return replace(options, init=init)


def _train(options: Options) -> Run:
    options = with_found_files(options)

    from torch import distributed

    from swin_dense.tools.training.run import train as train_run

    evaluation = train_run(options)
    if distributed.is_initialized():
        distributed.destroy_process_group()
    return Run(options.run, None if evaluation is None else evaluation.metrics)
