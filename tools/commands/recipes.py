"""`swin-dense recipes`: list the recipes and the published files with their published scores."""

from collections.abc import Mapping
from dataclasses import dataclass

from swin_dense.checkpoints.published import PUBLISHED, PublishedFile
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import RECIPES

_PLAIN_WIDTH = 200  # columns of the table where the output is no terminal


@dataclass(frozen=True, kw_only=True)
class Options:
    """List the recipes and the published files, with their published scores."""


def recipes() -> dict[str, Recipe]:
    """All recipes by name; `published` has the published scores of each, in percent."""
    return dict(RECIPES)


def run(options: Options) -> None:
    """Print the recipes and the published files on stdout."""
    del options

    from rich.table import Table

    from swin_dense.tools.console import Console

    console = Console(width=None if Console().is_terminal else _PLAIN_WIDTH)
    table = Table(title="Recipes")
    for column in ("recipe", "length", "published"):
        table.add_column(column, no_wrap=True)
    table.add_column("source", overflow="fold")
    table.add_column("note", overflow="fold")
    for recipe in RECIPES.values():
        length = f"{recipe.steps} steps" if recipe.steps else f"{recipe.epochs} epochs"
        scores = _in_words(dict(recipe.published))
        table.add_row(recipe.name, length, scores, recipe.source, recipe.note)
    console.print(table)
    for task in dict.fromkeys(file.task for file in PUBLISHED.values()):
        print(f"\nPublished files: {task}\n")
        for file in PUBLISHED.values():
            if file.task == task:
                print(_describe(file))
    print(
        "\nA file's name stands for the file in --weights and --init; it is fetched when it is "
        "first used.\nScores and licences are as their publishers state them; none was measured "
        "here."
    )


def _describe(file: PublishedFile) -> str:
    """The file's name, then what it is and scores, where it is, and its licence."""
    size = "size not known" if file.megabytes is None else f"about {file.megabytes:.0f} MB"
    about = [file.model, _in_words(file.scores), size]
    if file.recipe is not None:
        about.append(f"recipe {file.recipe}")
    if file.note:
        about.append(file.note)
    return f"{file.name}\n    {'; '.join(about)}\n    {file.url}\n    licence: {file.licence}"


def _in_words(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value}" for name, value in scores.items()) or "no published score"
