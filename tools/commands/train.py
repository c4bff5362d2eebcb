"""`swin-dense train`: a recipe from data to a trained model."""

from torch import distributed

from swin_dense.tools.recipes.table import RECIPES, find_recipe
from swin_dense.tools.training.options import Options
from swin_dense.tools.training.run import train

__all__ = ["Options", "choose_default", "describe_choices", "run", "train"]


def choose_default(recipe: str) -> Options:
    """Flags' defaults for a recipe's name."""
    return Options(recipe=find_recipe(recipe))


def describe_choices() -> str:
    """What to say when no recipe is named."""
    return (
        "usage: swin-dense train RECIPE [--field value ...]\n\nrecipes:\n"
        + "\n".join(f"  {name}" for name in RECIPES)
        + "\n\nswin-dense train RECIPE --help lists every field with its value in that recipe."
    )


def run(options: Options) -> None:
    """Train, and leave the last checkpoint, the log and the scores in the run's folder."""
    train(options)
    if distributed.is_initialized():
        distributed.destroy_process_group()
